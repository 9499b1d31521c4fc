"""Do what falls due: go through the enrolled customers of each group, batch by batch (contract §2, §4).

All due work that has come equally far goes together: a batch of customers gets every piece of it, in
due order, in one transaction that also says how far it all is then. So being killed at any point loses
nothing and does nothing twice, and a year of daily cycles of a few customers is one batch.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import takewhile
from typing import Final

from milepost.actions.expressions import evaluate
from milepost.database import DatabaseUnavailable, Tenant, Tx
from milepost.rules.coverage import Members
from milepost.rules.definitions import Definitions
from milepost.rules.due import Due, due
from milepost.rules.effects import Changes, Earn, Issual, OwnCycleEnd
from milepost.rules.settlement import (
    Work,
    prepare,
    progress_needed,
    promotions_needed,
    settle,
)
from milepost.runner import LOST, Decided, Moment, Runner
from milepost.store import members, passes
from milepost.store.holdings import ask_expiries, ask_needed, read_expiries, read_needed
from milepost.store.passes import Pass
from milepost.store.pipeline import await_writers, take_turn

DUES_MAX = 200
"""Pieces of due work that go together."""
FIRST_CUSTOMERS = 50
"""Customers of the first batch of a walk; how large the next one is follows from what it did."""
WORK_MAX = 7_000
"""Customers and journal entries that a batch should not have many more of together."""
TRIES_MAX = 100
"""How often a batch may lose its passes to another process before its caller hears 503."""

STEP: Final = "step"


@dataclass(frozen=True, slots=True)
class Walk:
    """Do one batch of `dues`, in due order, and of what is due by `until` of a customer's own besides:
    the ends of own cycles, and expiries of promotions.

    Without `dues`: a batch of customers of whom something of their own is due. It has at most
    `customers`.
    """

    dues: tuple[Due, ...]
    until: datetime
    customers: int


@dataclass(slots=True)
class Step:
    """A batch: the work and customers it takes, and, once it is claimed, how it left them."""

    works: Sequence[Work]
    passes: Sequence[tuple[Due, Pass]]
    customers: Sequence[int]
    until: datetime
    cursor: int | None
    pending: tuple[int, ...]
    """Those still waiting for their second try."""
    is_last: bool
    ends: Mapping[int, Sequence[OwnCycleEnd]] = field(default_factory=dict)
    expiries: Mapping[int, Sequence[Issual | Earn]] = field(default_factory=dict)
    members: Members = field(default_factory=lambda: Members({}, {}))
    finished_at: datetime | None = None

    @property
    def work(self) -> int:
        """How much there was to do: the customers, and the entries that they got."""
        entries = sum(len(change.journal) for change in self.members.changes.values())
        return len(self.customers) + entries

    @property
    def is_over(self) -> bool:
        """Whether there is nothing left to do of the work that it took."""
        return self.finished_at is not None if self.passes else not self.customers


class Settlement:
    """Outcome: the `Step`. Boundary: the step, and with it each customer, who may lose alone."""

    name = "settlement"
    batch_size_max: int | None = 1

    def __init__(self, customers_max: int = 2_000) -> None:
        self.customers_max = customers_max

    def boundary(self, command: Walk) -> str:
        """The passes of the organisation."""
        return STEP

    async def load(
        self,
        tx: Tx,
        tenant: Tenant,
        commands: Sequence[Walk],
        moment: Callable[[], Awaitable[Moment]],
    ) -> Step:
        """Where the passes are, then the customers whose turn it is and what is stored of them."""
        (walk,) = commands
        await take_turn(tx, tenant)
        reply = await passes.ask_passes(tx, tenant, walk.dues) if walk.dues else None
        definitions = (await moment()).definitions
        known = passes.read_passes(await reply.rows()) if reply is not None else {}
        step = await _next_step(tx, tenant, definitions, walk, known)
        if not step.customers:
            return step
        customers = sorted(step.customers)
        versions = await members.ask_kept_versions(tx, tenant, customers)
        stints = await members.ask_stints_of_customers(tx, tenant, customers)
        ends = await passes.ask_ends(tx, tenant, customers, step.until)
        expiries = await ask_expiries(tx, tenant, customers, step.until)
        step.members = Members(
            dict(await versions.rows()), members.read_stints(await stints.rows())
        )
        step.ends = passes.read_ends(await ends.rows())
        step.expiries = await read_expiries(expiries)
        promotions = await ask_needed(
            tx,
            tenant,
            promotions_needed(definitions, customers, step.works, step.ends, step.until),
        )
        needed = progress_needed(definitions, step.members, step.works, step.ends)
        await members.load_progress(tx, tenant, step.members.enrolments, *needed)
        await read_needed(promotions, step.members.standings)
        return step

    def decide(self, state: Step, commands: Sequence[Walk], moment: Moment) -> Decided:
        """Each customer's work, in due order."""
        state.finished_at = moment.now if state.is_last else None
        for customer in state.members.versions:
            settle(
                moment.definitions,
                state.members,
                customer,
                state.works,
                state.ends.get(customer, ()),
                state.until,
                evaluate,
                state.expiries.get(customer, ()),
            )
        changes: dict[object, object] = {
            customer: change
            for customer, change in state.members.changes.items()
            if change.journal or customer in state.ends
        }
        if changes or state.passes:
            changes[STEP] = state
        return Decided([state], changes)

    async def claim(
        self, tx: Tx, tenant: Tenant, changes: Mapping[object, object], moment: Moment
    ) -> set[object]:
        """The passes, then the customers; of these, those who lose wait for a later batch."""
        step = changes[STEP]
        assert isinstance(step, Step)
        if step.passes and not await passes.claim_passes(tx, tenant, step.passes):
            return set()
        changed = _customers(changes)
        won = await members.claim(tx, tenant, changed, moment.definitions) if changed else set()
        lost = [change.customer_id for change in changed if change.customer_id not in won]
        step.pending += tuple(lost)
        if step.pending:
            step.finished_at = None
        return {STEP, *won}

    async def save(self, tx: Tx, tenant: Tenant, changes: Mapping[object, object]) -> None:
        """What the batch changed, and how far the passes are with it."""
        step = changes[STEP]
        assert isinstance(step, Step)
        changed = _customers(changes)
        settled = [
            (c.customer_id, end) for c in changed for end in step.ends.get(c.customer_id, ())
        ]
        await passes.delete_ends(tx, tenant, settled)
        await members.save_changes(tx, tenant, changed)
        if step.passes:
            await passes.save_passes(
                tx, tenant, step.passes, step.cursor, step.pending, step.finished_at
            )


SETTLEMENT = Settlement()


async def settle_due(
    runner: Runner, tenant: Tenant, to: datetime, settlement: Settlement = SETTLEMENT
) -> None:
    """Do all that has fallen due in an organisation up to `to`, included, and was not finished.

    Whatever is written at the moment is waited for first, so that nobody enrolled before an instant is
    overlooked at it. Raises `DatabaseUnavailable`; what was done until then is committed.
    """

    async def write(tx: Tx) -> None:
        await await_writers(tx, tenant.root_org_id)

    await runner.operate(write)
    await finish_due(runner, tenant, to, settlement)


async def finish_due(
    runner: Runner, tenant: Tenant, to: datetime, settlement: Settlement = SETTLEMENT
) -> None:
    """`settle_due` for who has seen to it that nothing is being written from before `to`."""
    size = min(FIRST_CUSTOMERS, settlement.customers_max)

    async def plan(tx: Tx, tenant: Tenant, moment: Moment) -> Walk | None:
        dues = due(moment.definitions, to, await passes.load_unfinished(tx, tenant, to))
        if len(dues) > DUES_MAX:
            return Walk(tuple(dues[:DUES_MAX]), dues[DUES_MAX - 1].due_at, size)
        if dues or await passes.load_customers_with_own(tx, tenant, to, 1):
            return Walk(tuple(dues), to, size)
        return None

    while (walk := await runner.read(tenant, plan)) is not None:
        while not (step := await _batch(runner, tenant, walk, settlement)).is_over:
            fitting = len(step.customers) * WORK_MAX // max(1, step.work)
            walk = replace(walk, customers=max(1, min(fitting, settlement.customers_max)))


async def _batch(runner: Runner, tenant: Tenant, walk: Walk, settlement: Settlement) -> Step:
    for _ in range(TRIES_MAX):
        (step,) = await runner.run(settlement, tenant, [walk])
        if step is not LOST:
            assert isinstance(step, Step)
            return step
    raise DatabaseUnavailable(f"another process was faster {TRIES_MAX} times")


async def _next_step(
    tx: Tx,
    tenant: Tenant,
    definitions: Definitions,
    walk: Walk,
    known: Mapping[tuple[int, str], Pass],
) -> Step:
    """The next batch of a walk, its customers not loaded yet."""
    left = [(each, known.get(each.key, Pass())) for each in walk.dues]
    left = [(each, where) for each, where in left if not where.finished]
    if not left:
        found = []
        if not walk.dues:
            found = await passes.load_customers_with_own(tx, tenant, walk.until, walk.customers)
        return Step((), (), found, walk.until, None, (), is_last=True)
    _, first = left[0]
    together = list(
        takewhile(
            lambda each: (each[1].cursor, each[1].pending) == (first.cursor, first.pending), left
        )
    )
    until = walk.until if len(together) == len(left) else together[-1][0].due_at
    works = prepare(definitions, [each for each, _ in together])
    again, pending = first.pending[: walk.customers], first.pending[walk.customers :]
    targets = sorted({target.id for work in works for target in work.group.targets})
    wanted = walk.customers - len(again)
    page = await passes.load_page(tx, tenant, targets, first.cursor, wanted) if wanted else []
    return Step(
        works,
        together,
        [*again, *page],
        until,
        page[-1] if page else first.cursor,
        pending,
        is_last=len(page) < wanted and not pending,
    )


def _customers(changes: Mapping[object, object]) -> list[Changes]:
    return [change for change in changes.values() if isinstance(change, Changes)]
