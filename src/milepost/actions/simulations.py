"""Dry runs: queue one, run it batch by batch, cancel it (rules/simulation.py says what one is).

What has been counted is saved every second or so, over the step before; so a run that was killed goes
on where it was saved, and of two processes at one run the slower gives up. By the wall clock, also for
a sandbox organisation.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import count
from typing import Final

from milepost import clock
from milepost.actions.definitions import drafted_group
from milepost.actions.expressions import evaluate
from milepost.database import DatabaseUnavailable, Tenant, Tx
from milepost.errors import INVALID_INPUT, TARGET_GROUP_NOT_FOUND, Refusal
from milepost.logs import log
from milepost.rules import simulation as rules
from milepost.rules.definitions import Actor, Definitions, TargetGroup
from milepost.rules.drafts import GroupDraft
from milepost.rules.simulation import Plan, Tally, blank_tally, plan
from milepost.runner import LOST, Decided, Moment, Runner
from milepost.store import simulations as store
from milepost.store.simulations import Place, Progress, Simulation

RANGE_DAYS_MAX = 400
UNFINISHED_MAX = 5
"""That may wait or run in an organisation."""
KEPT_MAX = 50
"""In an organisation; the oldest finished ones go."""
CUSTOMERS_MAX = 100
"""In one batch."""
ACTIVITIES_MAX = 50
"""Of each customer in one page: memory does not grow with the length of a life."""
_BEFORE_ALL = -(2**63)
_UNSAVED_GROUP_ID = 0
QUEUE: Final = "queue"


@dataclass(frozen=True, slots=True)
class Pace:
    """How often a run is saved, and how long nobody else resumes one that is not saved any more."""

    save_seconds: float = 1.0
    hold_seconds: float = 15.0


_PACE = Pace()


@dataclass(frozen=True, slots=True)
class Queue:
    """Ask for a dry run over [starts_at, ends_at) of a group, or of a definition as sent."""

    credential_id: int
    starts_at: datetime
    ends_at: datetime
    target_group_id: int | None = None
    draft: GroupDraft | None = None


@dataclass(frozen=True, slots=True)
class Cancel:
    """Take a dry run away, with its result; one that runs stops."""

    simulation_id: int


@dataclass(frozen=True, slots=True)
class Hold:
    """Begin or resume a dry run, unless another process is at it."""

    simulation_id: int
    now: datetime
    until: datetime


@dataclass(frozen=True, slots=True)
class Fail:
    """End a dry run that cannot be run."""

    simulation_id: int
    now: datetime


Command = Queue | Cancel | Hold | Progress | Fail


@dataclass(slots=True)
class Queued:
    """An accepted dry run; `id` and `created_at` (wall clock) are given when it is saved."""

    target_group_id: int | None
    group: TargetGroup
    command: Queue
    id: int = 0
    created_at: datetime | None = None


class Simulations:
    """Outcome: `Queued` or a `Refusal`, or True; LOST where another process was there first.

    Boundary: the dry run, or the organisation's queue.
    """

    name = "simulations"
    batch_size_max: int | None = 1

    def boundary(self, command: Command) -> int | str:
        """The dry run, or the queue."""
        return QUEUE if isinstance(command, Queue) else command.simulation_id

    async def load(
        self,
        tx: Tx,
        tenant: Tenant,
        commands: Sequence[Command],
        moment: Callable[[], Awaitable[Moment]],
    ) -> int:
        """How many wait or run, or, to cancel one, whether it is there."""
        (command,) = commands
        if isinstance(command, Queue):
            await store.take_turn(tx, tenant)
            return await store.count_unfinished(tx, tenant)
        if isinstance(command, Cancel):
            known = await store.load_simulations(tx, tenant)
            return sum(each.id == command.simulation_id for each in known)
        return 1

    def decide(self, state: int, commands: Sequence[Command], moment: Moment) -> Decided:
        """Check what is asked for; the rest is up to the claim."""
        (command,) = commands
        if isinstance(command, Queue):
            queued = _queued(moment.definitions, command, state)
            if isinstance(queued, Refusal):
                return Decided([queued])
            return Decided([queued], {QUEUE: queued})
        if not state:
            return Decided([unknown(command.simulation_id)])
        return Decided([True], {command.simulation_id: command})

    async def claim(
        self, tx: Tx, tenant: Tenant, changes: Mapping[int | str, object], moment: Moment
    ) -> set[int | str]:
        """The dry run, if it is there and nobody else is at it; the queue always: its turn was taken."""
        ((boundary, change),) = changes.items()
        won = True
        match change:
            case Cancel():
                won = await store.drop_simulation(tx, tenant, change.simulation_id)
            case Hold():
                won = await store.hold_simulation(
                    tx, tenant, change.simulation_id, change.now, change.until
                )
            case Progress():
                won = await store.save_progress(tx, tenant, change)
            case Fail():
                won = await store.fail_simulation(tx, tenant, change.simulation_id, change.now)
        return {boundary} if won else set()

    async def save(self, tx: Tx, tenant: Tenant, changes: Mapping[int | str, object]) -> None:
        """The new dry run; the others were saved with their claim."""
        for queued in changes.values():
            if isinstance(queued, Queued):
                queued.created_at = clock.now()
                queued.id = await store.insert_simulation(
                    tx,
                    tenant,
                    queued.target_group_id,
                    queued.group,
                    (queued.command.starts_at, queued.command.ends_at),
                    queued.created_at,
                    queued.command.credential_id,
                    KEPT_MAX,
                )


SIMULATIONS = Simulations()


@dataclass(slots=True)
class _Run:
    """A dry run under way in this process."""

    simulation: Simulation
    plan: Plan
    tally: Tally

    @property
    def bounds(self) -> tuple[datetime, datetime]:
        return self.plan.starts_at, self.plan.ends_at


def unknown(simulation_id: int) -> Refusal:
    """300004: there is no such dry run in the organisation."""
    return Refusal(INVALID_INPUT, f"There is no simulation {simulation_id}.")


async def unfinished_simulations(runner: Runner) -> list[tuple[Tenant, int]]:
    """The dry runs of all organisations that wait, or whose process is not heard of any more."""

    async def read(tx: Tx) -> list[tuple[Tenant, int]]:
        return await store.load_unfinished(tx, clock.now())

    return await runner.operate(read)


async def run_simulation(
    runner: Runner, tenant: Tenant, simulation_id: int, pace: Pace = _PACE
) -> None:
    """Run a dry run to its end, from where it was saved last. Nothing if it is done, gone or held.

    Raises `DatabaseUnavailable`; then, and after a kill, whoever calls this later goes on.
    """
    now = clock.now()
    hold = Hold(simulation_id, now, now + timedelta(seconds=pace.hold_seconds))
    (held,) = await runner.run(SIMULATIONS, tenant, [hold])
    if held is LOST:
        return
    try:
        under_way = await _begin(runner, tenant, simulation_id)
        if under_way is not None:
            await _run(runner, tenant, under_way, pace)
    except DatabaseUnavailable:
        raise
    except Exception as error:  # noqa: BLE001 - whatever fails in it is its own end only
        log("simulation_failed", "error", org=tenant.org_id, simulation=simulation_id, error=error)
        await runner.run(SIMULATIONS, tenant, [Fail(simulation_id, clock.now())])


async def _begin(runner: Runner, tenant: Tenant, simulation_id: int) -> _Run | None:
    async def query(tx: Tx, tenant: Tenant, moment: Moment) -> _Run | None:
        found = await store.load_simulation(tx, tenant, simulation_id)
        if found is None:
            return None
        simulation, group, tally = found
        bounds = simulation.starts_at, simulation.ends_at
        prepared = plan(moment.definitions, group, *bounds)
        return _Run(simulation, prepared, tally or blank_tally(group, *bounds))

    return await runner.read(tenant, query)


async def _run(runner: Runner, tenant: Tenant, under_way: _Run, pace: Pace) -> None:
    saved = time.monotonic()
    while customers := await _count_batch(runner, tenant, under_way):
        simulation = under_way.simulation
        under_way.simulation = replace(
            simulation,
            cursor=customers[-1],
            customers_done=simulation.customers_done + len(customers),
        )
        if time.monotonic() - saved >= pace.save_seconds:
            until = clock.now() + timedelta(seconds=pace.hold_seconds)
            if not await _save(runner, tenant, under_way, held_until=until):
                return
            saved = time.monotonic()
    await _save(runner, tenant, under_way, finished_at=clock.now())


async def _count_batch(runner: Runner, tenant: Tenant, under_way: _Run) -> list[int]:
    """Run the next customers, in one snapshot, and count what became of them; returns them."""

    async def query(tx: Tx, tenant: Tenant, _: Moment) -> list[int]:
        cursor = under_way.simulation.cursor
        after = _BEFORE_ALL if cursor is None else cursor
        customers = await store.load_customers_after(tx, tenant, after, CUSTOMERS_MAX)
        if not customers:
            return []
        returned = await store.load_returned(tx, tenant, customers, under_way.bounds)
        trials = {
            customer: rules.begin(under_way.plan, customer, returned.get(customer, ()))
            for customer in customers
        }
        places = dict.fromkeys(customers, Place())
        while places:
            page = await store.load_activities(tx, tenant, places, under_way.bounds, ACTIVITIES_MAX)
            read = dict.fromkeys(places, 0)
            for place, activity in page:
                customer = activity.customer_id
                rules.take(under_way.plan, trials[customer], activity, evaluate)
                places[customer] = place
                read[customer] += 1
            places = {c: places[c] for c, taken in read.items() if taken == ACTIVITIES_MAX}
        for trial in trials.values():
            rules.finish(under_way.plan, trial, under_way.tally, evaluate)
        return customers

    return await runner.read(tenant, query)


async def _save(
    runner: Runner,
    tenant: Tenant,
    under_way: _Run,
    held_until: datetime | None = None,
    finished_at: datetime | None = None,
) -> bool:
    """Save how far the run is; False when it was cancelled, or another process is at it."""
    simulation = under_way.simulation
    progress = Progress(
        simulation.id,
        simulation.step,
        simulation.cursor,
        simulation.customers_done,
        under_way.tally,
        held_until,
        finished_at,
    )
    (outcome,) = await runner.run(SIMULATIONS, tenant, [progress])
    under_way.simulation = replace(simulation, step=simulation.step + 1)
    return outcome is not LOST


def _queued(definitions: Definitions, command: Queue, unfinished: int) -> Queued | Refusal:
    """What is asked for, checked; a definition as if it were made at the beginning of the range."""
    if (command.target_group_id is None) == (command.draft is None):
        return _refusal("Either targetGroupId or targetGroup must be given, and not both")
    if command.starts_at >= command.ends_at:
        return _refusal("from must be before to")
    if command.ends_at - command.starts_at > timedelta(days=RANGE_DAYS_MAX):
        return _refusal(f"from and to may be {RANGE_DAYS_MAX} days apart")
    group: TargetGroup | Refusal | None
    if command.draft is None:
        group = definitions.groups.get(command.target_group_id or 0)
        if group is None:
            return Refusal(TARGET_GROUP_NOT_FOUND)
    else:
        actor = Actor(command.credential_id, command.starts_at)
        group = drafted_group(definitions, command.draft, count(1), actor, _UNSAVED_GROUP_ID)
        if isinstance(group, Refusal):
            return group
    if unfinished >= UNFINISHED_MAX:
        return _refusal(f"{UNFINISHED_MAX} simulations of the organisation wait or run already")
    return Queued(command.target_group_id, group, command)


def _refusal(reason: str) -> Refusal:
    return Refusal(INVALID_INPUT, f"{reason}.")
