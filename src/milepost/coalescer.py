"""Concurrent requests join one batch.

A lane is an action for one organisation. While a batch of a lane is in the database, the commands that
arrive wait in the lane and go together with the next one: alone on a quiet service, hundreds at a time
on a busy one, with no timer in between. Sizes are bounded everywhere; a full queue refuses at once.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from milepost.database import DatabaseUnavailable, Tenant
from milepost.errors import INTERNAL, UNAVAILABLE, Refusal
from milepost.logs import log
from milepost.runner import LOST, Action, Runner
from milepost.settings import Settings

ROUNDS_MAX = 10
"""How often a command may lose its boundary to another process before it is answered 503."""

C = TypeVar("C")


@dataclass(slots=True)
class _Waiting:
    command: Any
    boundary: Hashable
    future: asyncio.Future[Any]
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
        self._lanes: dict[tuple[str, int], _Lane] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._waiting = 0
        self._closed = False

    async def submit(self, action: Action[C], tenant: Tenant, command: C) -> Any:
        """The outcome of `command`, once its batch is committed: the action's answer or a `Refusal`.

        Answers `UNAVAILABLE` at once when the queue is full or the service is stopping. Who gives
        up waiting takes the command back only if its batch has not begun.
        """
        if self._closed or self._waiting >= self._queue_size_max:
            return Refusal(UNAVAILABLE)
        (waiting,) = self._enqueue(action, tenant, (command,))
        return await waiting.future

    async def submit_all(
        self, action: Action[C], tenant: Tenant, commands: Sequence[C]
    ) -> list[Any]:
        """The outcomes of `commands`, in order, as those of `submit`: they share batches with others.

        All are refused at once when the queue is full. Commands of one boundary are decided in order.
        """
        if self._closed or self._waiting >= self._queue_size_max:
            return [Refusal(UNAVAILABLE)] * len(commands)
        waiting = self._enqueue(action, tenant, commands)
        # Gathered, because to cancel that is to cancel them all at once, before a batch takes them.
        return list(await asyncio.gather(*(each.future for each in waiting)))

    def _enqueue(self, action: Action[C], tenant: Tenant, commands: Sequence[C]) -> list[_Waiting]:
        loop = asyncio.get_running_loop()
        key = (action.name, tenant.org_id)
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = _Lane(action, tenant)
        waiting = [
            _Waiting(command, action.boundary(command), loop.create_future())
            for command in commands
        ]
        lane.queue.extend(waiting)
        self._waiting += len(waiting)
        self._schedule(lane)
        return waiting

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
            lane.boundaries.update(waiting.boundary for waiting in batch)
            task = asyncio.create_task(self._run(lane, batch))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        if not lane.queue and not lane.batches:
            # An idle lane costs memory for nothing; the next command makes it anew.
            self._lanes.pop((lane.action.name, lane.tenant.org_id), None)

    def _take(self, lane: _Lane) -> list[_Waiting]:
        """The next batch, in order of arrival, without the boundaries that are in flight."""
        size_max = lane.action.batch_size_max or self._batch_size_max
        batch: list[_Waiting] = []
        held: list[_Waiting] = []
        while lane.queue and len(batch) < size_max:
            waiting = lane.queue.popleft()
            if waiting.future.done():  # its request went away before its turn
                self._waiting -= 1
            elif waiting.boundary in lane.boundaries:
                held.append(waiting)
            else:
                batch.append(waiting)
        lane.queue.extendleft(reversed(held))
        return batch

    async def _run(self, lane: _Lane, batch: list[_Waiting]) -> None:
        try:
            outcomes = await self._outcomes(lane, batch)
        except BaseException:
            # Only a defect or a cancelled loop comes here; nobody may wait for ever.
            outcomes = [Refusal(INTERNAL)] * len(batch)
            raise
        finally:
            lost: list[_Waiting] = []
            for waiting, outcome in zip(batch, outcomes, strict=True):
                if outcome is LOST and waiting.rounds < ROUNDS_MAX:
                    waiting.rounds += 1
                    lost.append(waiting)
                    continue
                self._waiting -= 1
                if not waiting.future.done():
                    waiting.future.set_result(Refusal(UNAVAILABLE) if outcome is LOST else outcome)
            lane.boundaries.difference_update(waiting.boundary for waiting in batch)
            lane.queue.extendleft(reversed(lost))
            lane.batches -= 1
            self._start(lane)

    async def _outcomes(self, lane: _Lane, batch: Sequence[_Waiting]) -> list[Any]:
        """The batch's outcomes, whatever happens.

        A batch that cannot be taken is run command by command, so the one that spoils it harms
        nobody else.
        """
        commands = [waiting.command for waiting in batch]
        try:
            return await self._runner.run(lane.action, lane.tenant, commands)
        except DatabaseUnavailable as error:
            log("batch_unavailable", "warning", action=lane.action.name, cause=str(error))
            return [Refusal(UNAVAILABLE)] * len(batch)
        except Exception as error:  # noqa: BLE001 - whatever it is, every caller gets an answer
            if len(batch) > 1:
                log("batch_split", "warning", action=lane.action.name, cause=type(error).__name__)
                return [(await self._outcomes(lane, [waiting]))[0] for waiting in batch]
            log("command_failed", "error", action=lane.action.name, error=error)
            return [Refusal(INTERNAL)]
