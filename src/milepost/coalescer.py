"""Concurrent requests join one batch.

A lane is an action for one organisation. While a batch of a lane is in the database, the commands that
arrive wait in the lane and go together with the next one: alone on a quiet service, hundreds at a time
on a busy one, with no timer in between. Sizes are bounded everywhere; a full queue refuses at once.
All lanes together have fewer batches in the database than there are connections.

Two lanes may change the same customer at the same time; one of them loses then. Who has lost goes first:
until it is done, what comes for its boundaries in any lane of the organisation waits.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Hashable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from milepost import traces
from milepost.database import DatabaseUnavailable, Tenant
from milepost.errors import INTERNAL, UNAVAILABLE, Refusal
from milepost.logs import log
from milepost.runner import LOST, Action, KeyedCall, Runner
from milepost.settings import Settings

ROUNDS_MAX = 10
"""How often a command may lose its boundary to another process before it is answered 503."""

C = TypeVar("C")


@dataclass(slots=True)
class _Waiting:
    """What goes into one batch or not at all: a command, or all those of a keyed call."""

    commands: Sequence[Any]
    boundaries: Sequence[Hashable]
    future: asyncio.Future[Sequence[Any]]
    """An outcome per command."""
    call: KeyedCall | None = None
    trace: Any = None
    """The span of its request."""
    rounds: int = 0


@dataclass(slots=True)
class _Lane:
    action: Action[Any]
    tenant: Tenant
    queue: deque[_Waiting] = field(default_factory=deque)
    boundaries: set[Hashable] = field(default_factory=set)
    """Those of the batches in flight."""
    batches: int = 0
    scheduled: bool = False


class Coalescer:
    """Collects the commands of concurrent requests and runs them in batches. One per process."""

    def __init__(self, runner: Runner, settings: Settings) -> None:
        self._runner = runner
        self._batch_size_max = settings.batch_size_max
        self._batches_max = settings.batches_in_flight_max
        self._queue_size_max = settings.queue_size_max
        # Reads want a connection too, whatever there is to write.
        self._places = asyncio.Semaphore(
            min(settings.concurrent_batches_max, settings.pool_size_max - 1)
        )
        self._place_timeout_seconds = settings.pool_timeout_seconds
        self._lanes: dict[tuple[str, int], _Lane] = {}
        self._first: dict[int, Counter[Hashable]] = {}
        """By organisation: the boundaries of those that have lost and are not done yet."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._waiting = 0
        self._closed = False

    async def submit(self, action: Action[C], tenant: Tenant, command: C) -> Any:
        """The outcome of `command`, once its batch is committed: the action's answer or a `Refusal`.

        Answers `UNAVAILABLE` at once when the queue is full or the service is stopping. Who gives
        up waiting takes the command back only if its batch has not begun.
        """
        return (await self.submit_all(action, tenant, (command,)))[0]

    async def submit_all(
        self,
        action: Action[C],
        tenant: Tenant,
        commands: Sequence[C],
        call: KeyedCall | None = None,
    ) -> Sequence[Any]:
        """The outcomes of `commands`, in order, as those of `submit`: they share batches with others.

        All are refused at once when the queue is full. Commands of one boundary are decided in order.
        Those of a `call` are done in one transaction with its answer, or not at all.
        """
        if self._closed or self._waiting >= self._queue_size_max:
            return [Refusal(UNAVAILABLE)] * len(commands)
        if not commands:
            return []
        parts = (commands,) if call is not None else [(command,) for command in commands]
        waiting = self._enqueue(action, tenant, parts, call)
        if len(waiting) == 1:
            return await waiting[0].future
        # Gathered, because to cancel that is to cancel them all at once, before a batch takes them.
        outcomes = await asyncio.gather(*(each.future for each in waiting))
        return [outcome for (outcome,) in outcomes]

    def _enqueue(
        self,
        action: Action[C],
        tenant: Tenant,
        parts: Sequence[Sequence[C]],
        call: KeyedCall | None,
    ) -> list[_Waiting]:
        loop = asyncio.get_running_loop()
        key = (action.name, tenant.org_id)
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = _Lane(action, tenant)
        trace = traces.current()
        waiting = [
            _Waiting(
                part, [action.boundary(each) for each in part], loop.create_future(), call, trace
            )
            for part in parts
        ]
        lane.queue.extend(waiting)
        self._waiting += sum(len(part) for part in parts)
        self._schedule(lane)
        return waiting

    def waiting_by_action(self) -> dict[str, int]:
        """How many wait for a batch, by the name of the action."""
        found: dict[str, int] = {}
        for lane in self._lanes.values():
            commands = sum(len(waiting.commands) for waiting in lane.queue)
            found[lane.action.name] = found.get(lane.action.name, 0) + commands
        return found

    async def close(self) -> None:
        """Take no more commands and wait for those that were taken."""
        self._closed = True
        while self._tasks or self._waiting:
            await asyncio.sleep(0)
            if self._tasks:
                await asyncio.wait(self._tasks)

    def _schedule(self, lane: _Lane) -> None:
        """Fill batches at the end of this turn of the loop, so that its other requests join."""
        if not lane.scheduled and lane.batches < self._batches_max:
            lane.scheduled = True
            asyncio.get_running_loop().call_soon(self._start, lane)

    def _start(self, lane: _Lane) -> None:
        lane.scheduled = False
        while lane.batches < self._batches_max:
            batch = self._take(lane)
            if not batch:
                break
            lane.batches += 1
            lane.boundaries.update(key for waiting in batch for key in waiting.boundaries)
            task = asyncio.create_task(self._run(lane, batch))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        if not lane.queue and not lane.batches:
            # An idle lane costs memory for nothing; the next command makes it anew.
            self._lanes.pop((lane.action.name, lane.tenant.org_id), None)

    def _take(self, lane: _Lane) -> list[_Waiting]:
        """The next batch, in order of arrival, without the boundaries that are in flight.

        A keyed call larger than a batch has one to itself.
        """
        room = lane.action.batch_size_max or self._batch_size_max
        batch: list[_Waiting] = []
        held: list[_Waiting] = []
        # With those that a held one waits for: what came after it does not overtake it.
        closed = lane.boundaries
        first = self._first.get(lane.tenant.org_id, ())
        while lane.queue and room > 0:
            waiting = lane.queue.popleft()
            if waiting.future.done():  # its request went away before its turn
                self._waiting -= len(waiting.commands)
                self._let_others(lane, waiting)
            elif any(
                key in closed or (key in first and not waiting.rounds) for key in waiting.boundaries
            ):
                held.append(waiting)
                if len(waiting.boundaries) > 1:
                    closed = closed.union(waiting.boundaries)
            elif batch and len(waiting.commands) > room:
                lane.queue.appendleft(waiting)
                break
            else:
                batch.append(waiting)
                room -= len(waiting.commands)
        lane.queue.extendleft(reversed(held))
        return batch

    async def _run(self, lane: _Lane, batch: list[_Waiting]) -> None:
        try:
            outcomes = await self._outcomes(lane, batch)
        except BaseException:
            # Only a defect or a cancelled loop comes here; nobody may wait for ever.
            outcomes = _alike(batch, Refusal(INTERNAL))
            raise
        finally:
            lost: list[_Waiting] = []
            for waiting, of_it in zip(batch, outcomes, strict=True):
                # A call is lost whole; alone, its boundaries are lost or its outcomes are what they are.
                if LOST in of_it:
                    if waiting.rounds < ROUNDS_MAX:
                        self._let_go_first(lane, waiting)
                        lost.append(waiting)
                        continue
                    of_it = [Refusal(UNAVAILABLE)] * len(waiting.commands)  # noqa: PLW2901
                self._waiting -= len(waiting.commands)
                self._let_others(lane, waiting)
                if not waiting.future.done():
                    waiting.future.set_result(of_it)
            lane.boundaries.difference_update(key for each in batch for key in each.boundaries)
            lane.queue.extendleft(reversed(lost))
            lane.batches -= 1
            self._start(lane)

    def _let_go_first(self, lane: _Lane, waiting: _Waiting) -> None:
        """Who has lost goes before whatever else wants its boundaries, in all lanes of the organisation."""
        waiting.rounds += 1
        if waiting.rounds == 1:
            self._first.setdefault(lane.tenant.org_id, Counter()).update(waiting.boundaries)

    def _let_others(self, lane: _Lane, waiting: _Waiting) -> None:
        """Once who had lost is done, those that waited for it have their turn."""
        if not waiting.rounds:
            return
        org_id = lane.tenant.org_id
        self._first[org_id] -= Counter(waiting.boundaries)
        if not self._first[org_id]:
            del self._first[org_id]
        for other in [each for each in self._lanes.values() if each.tenant.org_id == org_id]:
            self._schedule(other)

    async def _outcomes(self, lane: _Lane, batch: Sequence[_Waiting]) -> list[Sequence[Any]]:
        """The batch's outcomes, whatever happens.

        A batch that cannot be taken is run command by command (call by call), so the one that spoils it
        harms nobody else.
        """
        commands: list[Any] = []
        places: list[slice] = []
        calls: list[tuple[slice, KeyedCall]] = []
        for waiting in batch:
            places.append(slice(len(commands), len(commands) + len(waiting.commands)))
            commands.extend(waiting.commands)
            if waiting.call is not None:
                calls.append((places[-1], waiting.call))
        try:
            async with self._place():
                with traces.on_behalf_of([waiting.trace for waiting in batch]):
                    outcomes = await self._runner.run(lane.action, lane.tenant, commands, calls)
        except DatabaseUnavailable as error:
            log("batch_unavailable", "warning", action=lane.action.name, cause=str(error))
            return _alike(batch, Refusal(UNAVAILABLE))
        except Exception as error:  # noqa: BLE001 - whatever it is, every caller gets an answer
            if len(batch) > 1:
                log("batch_split", "warning", action=lane.action.name, cause=type(error).__name__)
                return [(await self._outcomes(lane, [waiting]))[0] for waiting in batch]
            log("command_failed", "error", action=lane.action.name, error=error)
            return _alike(batch, Refusal(INTERNAL))
        return [outcomes[place] for place in places]

    @asynccontextmanager
    async def _place(self) -> AsyncIterator[None]:
        """One of the batches that may be in the database at once, of all lanes together.

        Raises `DatabaseUnavailable` when none gets free in the time that a connection is waited for.
        """
        try:
            async with asyncio.timeout(self._place_timeout_seconds):
                await self._places.acquire()
        except TimeoutError:
            raise DatabaseUnavailable("too many batches") from None
        try:
            yield
        finally:
            self._places.release()


def _alike(batch: Sequence[_Waiting], outcome: object) -> list[Sequence[Any]]:
    return [[outcome] * len(waiting.commands) for waiting in batch]
