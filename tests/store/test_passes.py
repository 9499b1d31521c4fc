"""Settlement on a real database: batches, kills, races, and plans that stay what they are."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest

from milepost.actions.enrolment import ENROLMENT
from milepost.actions.settlement import Settlement, finish_due, settle_due
from milepost.database import Tenant, database
from milepost.rules.due import due
from milepost.rules.enrolment import Enrol, Unenrol
from milepost.runner import Moment, Runner
from milepost.settings import Settings
from milepost.store import passes
from milepost.store.passes import load_orgs_with_due_work, load_unfinished
from milepost.store.pipeline import act_for
from tests.store.world import World, make_world

START = datetime(2026, 6, 1, tzinfo=UTC)
END = datetime(2026, 7, 1, tzinfo=UTC)
LATE = datetime(2026, 8, 15, tzinfo=UTC)
SMALL = Settlement(customers_max=7)
CUSTOMERS = 50

_org_ids = count(100)


@pytest.fixture
async def own(database_url: str) -> World:
    """An organisation of the test's own: a milestone of three months that pays at the period's end,
    made in May, with 50 customers enrolled from the start; the even ones have achieved June.
    """
    return populated(make_world(database_url, next(_org_ids)))


@pytest.fixture
async def runner(database_url: str) -> AsyncIterator[Runner]:
    made = Runner(database(database_url, Settings()))
    await made.database.open()
    yield made
    await made.database.close()


def populated(world: World, customers: int = CUSTOMERS) -> World:
    world.run("UPDATE target_groups SET reward_allocation = 'PERIOD_END' WHERE org_id = %(org)s")
    world.run("UPDATE target_periods SET created_at = '2026-05-01' WHERE org_id = %(org)s")
    world.register(*range(1, customers + 1))
    world.run(
        "INSERT INTO enrolments (org_id, customer_id, target_id, stint, enrolment_id, enrolled_at, "
        "from_period_id, attempt) SELECT %(org)s, c, %(group)s, 1, c, '2026-05-20', %(group)s + 1, 1 "
        "FROM generate_series(1, %(customers)s) c",
        customers=customers,
    )
    world.run(
        "INSERT INTO progress (org_id, customer_id, target_id, period_id, attempt, value, achieved_at) "
        "SELECT %(org)s, c, %(group)s, %(group)s + 1, 1, 1000, '2026-06-10' "
        "FROM generate_series(2, %(customers)s, 2) c",
        customers=customers,
    )
    return world


def tenant_of(world: World) -> Tenant:
    return Tenant(world.org_id, world.org_id)


def journal(world: World) -> dict[tuple[str, str], tuple[int, int]]:
    """By (what, cycle): how many entries, of how many customers."""
    rows = world.run(
        "SELECT what, 'c' || (period_id - %(group)s), count(*), count(DISTINCT customer_id) FROM journal "
        "WHERE org_id = %(org)s GROUP BY 1, 2"
    )
    return {(what, cycle): (entries, customers) for what, cycle, entries, customers in rows}  # type: ignore[misc]


def result(world: World) -> list[tuple[object, ...]]:
    """All that settlement has to bring about, however it was disturbed."""
    return world.run(
        "SELECT customer_id, at, what, reason, period_id - %(group)s, details, NULL, NULL, NULL FROM journal "
        "WHERE org_id = %(org)s "
        "UNION ALL SELECT customer_id, granted_at, 'reward', name, period_id - %(group)s, NULL, attempt, "
        "value, cause FROM rewards WHERE org_id = %(org)s "
        "UNION ALL SELECT customer_id, NULL, 'progress', NULL, period_id - %(group)s, NULL, "
        "rewarded_attempt, value, NULL FROM progress WHERE org_id = %(org)s ORDER BY 1, 2, 3, 4, 5"
    )


async def test_every_enrolled_customer_is_settled_once(own: World, runner: Runner) -> None:
    await settle_due(runner, tenant_of(own), END, SMALL)
    assert journal(own) == {
        ("STARTED", "c1"): (50, 50),
        ("STARTED", "c2"): (50, 50),
        ("SETTLED", "c1"): (50, 50),
        ("REWARDED", "c1"): (25, 25),
    }
    rewards = (
        "SELECT DISTINCT granted_at, cause, count(*) OVER () FROM rewards WHERE org_id = %(org)s"
    )
    assert own.run(rewards) == [(END, "SETTLEMENT", 25)]


async def test_nothing_is_done_again(own: World, runner: Runner) -> None:
    await settle_due(runner, tenant_of(own), END)
    before = result(own)
    await settle_due(runner, tenant_of(own), END)
    await settle_due(runner, tenant_of(own), END + timedelta(days=10))
    assert result(own) == before


async def test_a_pass_says_how_far_it_is_and_when_it_was_finished(
    own: World, runner: Runner
) -> None:
    await settle_due(runner, tenant_of(own), END)
    found = own.run(
        "SELECT period_id - %(group)s, kind, due_at, cursor_customer_id, pending, finished_at "
        "FROM passes WHERE org_id = %(org)s ORDER BY due_at, kind"
    )
    now = datetime(2026, 6, 15, tzinfo=UTC)  # the sandbox clock of the world
    assert found == [
        (1, "START", START, 50, [], now),
        (1, "SETTLE", END, 50, [], now),
        (2, "START", END, 50, [], now),
    ]


async def test_the_size_of_the_batches_and_the_number_of_steps_change_nothing(
    database_url: str, runner: Runner
) -> None:
    results = []
    for size, stops in ((1, [LATE]), (3, [START, END, LATE]), (50, [LATE]), (2_000, [END, LATE])):
        world = populated(make_world(database_url, next(_org_ids)), 20)
        for stop in stops:
            await settle_due(runner, tenant_of(world), stop, Settlement(size))
        results.append(result(world))
    assert results[1:] == results[:1] * 3
    assert len(results[0]) > 100


class Killed(Exception):
    """The process ends here."""


class Dying(Settlement):
    """Ends in the middle of its n-th batch: before the claim, after it, or after everything is sent."""

    def __init__(self, batches: int, place: str) -> None:
        super().__init__(customers_max=7)
        self._left, self._place = batches, place

    def _live(self, place: str) -> None:
        if place == self._place:
            self._left -= 1
            if not self._left:
                raise Killed

    async def claim(self, *rest: Any) -> set[object]:
        self._live("before")
        won = await super().claim(*rest)
        self._live("claimed")
        return won

    async def save(self, *rest: Any) -> None:
        await super().save(*rest)
        self._live("saved")


@pytest.mark.parametrize("place", ["before", "claimed", "saved"])
async def test_killed_at_any_point_it_loses_nothing_and_does_nothing_twice(
    database_url: str, own: World, runner: Runner, place: str
) -> None:
    await settle_due(runner, tenant_of(own), LATE)
    killed = populated(make_world(database_url, next(_org_ids)))
    deaths = 0
    for batch in (1, 2, 3, 1, 5):
        try:
            await settle_due(runner, tenant_of(killed), LATE, Dying(batch, place))
        except Killed:
            deaths += 1
    assert deaths == 5
    await settle_due(runner, tenant_of(killed), LATE, SMALL)
    assert result(killed) == result(own)


async def test_several_workers_at_once_share_the_work_and_double_none_of_it(
    database_url: str, own: World, runner: Runner
) -> None:
    alone = populated(make_world(database_url, next(_org_ids)))
    await settle_due(runner, tenant_of(alone), LATE)
    async with AsyncExitStack() as stack:
        workers = [Runner(database(database_url, Settings())) for _ in range(4)]
        for worker in workers:
            await worker.database.open()
            stack.push_async_callback(worker.database.close)
        await asyncio.gather(
            *(settle_due(worker, tenant_of(own), LATE, SMALL) for worker in workers)
        )
    assert result(own) == result(alone)
    # Three passes began at the same time and went together; each step was one worker's.
    steps = own.run("SELECT max(step), min(step) FROM passes WHERE org_id = %(org)s")
    assert steps == [(8, 8)]


class Disturbed(Settlement):
    """Lets a customer be written to between the load and the claim of its first batch."""

    def __init__(self, runner: Runner, tenant: Tenant, commands: list[Enrol | Unenrol]) -> None:
        super().__init__(customers_max=7)
        self._runner, self._tenant, self._commands = runner, tenant, commands
        self.pending: list[list[int]] = []
        """After each batch."""

    async def claim(self, *rest: Any) -> set[object]:
        commands, self._commands = self._commands, []
        if commands:
            done = await self._runner.run(ENROLMENT, self._tenant, commands)
            assert done == [command.customer_id for command in commands]
        return await super().claim(*rest)

    async def save(self, tx: Any, *rest: Any) -> None:
        await super().save(tx, *rest)
        reply = tx.ask("SELECT pending FROM passes WHERE kind = 'START' ORDER BY due_at")
        self.pending.append((await reply.rows())[0][0])


async def test_a_customer_whom_somebody_else_changed_meanwhile_is_taken_again(
    own: World, runner: Runner
) -> None:
    """Customers 2 and 4 leave on 15 June, while what is due on 1 June is being done late."""
    tenant = tenant_of(own)
    leaving: list[Enrol | Unenrol] = [Unenrol(own.group_id, own.group_id, c) for c in (2, 4)]
    settlement = Disturbed(runner, tenant, leaving)
    await settle_due(runner, tenant, END, settlement)
    assert settlement.pending == [[2, 4], *[[]] * 7]
    assert journal(own)["STARTED", "c1"] == (50, 50)
    assert journal(own)["SETTLED", "c1"] == (48, 48)


async def test_who_is_being_enrolled_at_the_instant_itself_is_not_overlooked(
    own: World, runner: Runner, database_url: str
) -> None:
    """An enrolment that was decided before the end, and commits after the settlement has begun."""
    own.register(900)
    tenant = tenant_of(own)
    decided, go_on = asyncio.Event(), asyncio.Event()

    class Slow(type(ENROLMENT)):  # type: ignore[misc]
        async def claim(self, *rest: object) -> set[int]:
            decided.set()
            await go_on.wait()
            return await super().claim(*rest)  # type: ignore[no-any-return]

    command = Enrol(own.group_id, own.group_id, 900, "c1", 1000)
    enrolling = asyncio.create_task(runner.run(Slow(), tenant, [command]))
    await decided.wait()
    settling = asyncio.create_task(settle_due(runner, tenant, END))
    waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    while own.run(waiting) == [(0,)]:  # noqa: ASYNC110 - the lock is the database's
        await asyncio.sleep(0.01)
    go_on.set()
    assert await enrolling == [900]
    await settling
    rewards = "SELECT cause FROM rewards WHERE org_id = %(org)s AND customer_id = 900"
    assert own.run(rewards) == [("SETTLEMENT",)]


async def test_own_cycles_are_settled_when_they_are_due_and_followed_by_the_next(
    own: World, runner: Runner
) -> None:
    cyclic(own)
    own.run(
        "INSERT INTO cycle_ends SELECT %(org)s, c, %(group)s, %(group)s + 1, "
        "timestamptz '2026-06-10' + c * interval '1 hour' FROM generate_series(1, 20) c"
    )
    await settle_due(runner, tenant_of(own), datetime(2026, 6, 10, 8, tzinfo=UTC), SMALL)
    assert journal(own) == {
        ("SETTLED", "c1"): (8, 8),
        ("STARTED", "c2"): (8, 8),
        ("REWARDED", "c1"): (4, 4),
    }
    ends = (
        "SELECT period_id - %(group)s, count(*) FROM cycle_ends WHERE org_id = %(org)s GROUP BY 1"
    )
    assert sorted(own.run(ends)) == [(1, 12), (2, 8)]
    await settle_due(runner, tenant_of(own), LATE, SMALL)
    assert journal(own)["SETTLED", "c3"] == (20, 20)
    assert own.run(ends) == []


async def test_own_cycles_settled_by_several_workers_are_settled_once(
    own: World, runner: Runner
) -> None:
    cyclic(own)
    own.run(
        "INSERT INTO cycle_ends SELECT %(org)s, c, %(group)s, %(group)s + 1, "
        "timestamptz '2026-06-10' + c * interval '1 hour' FROM generate_series(1, 20) c"
    )
    await asyncio.gather(*(settle_due(runner, tenant_of(own), LATE, SMALL) for _ in range(4)))
    assert {journal(own)["SETTLED", f"c{n}"] for n in (1, 2, 3)} == {(20, 20)}


def cyclic(world: World) -> None:
    """Cycles of nine days, each customer's own from 1 June plus as many hours as its id."""
    world.run(
        "UPDATE target_groups SET evaluation_type = 'CYCLIC_WINDOW', frequency_type = 'DAILY', frequency = 9 "
        "WHERE org_id = %(org)s"
    )
    world.run(
        "UPDATE enrolments SET from_period_id = NULL, "
        "anchored_at = (timestamp '2026-06-01' + customer_id * interval '1 hour') AT TIME ZONE 'UTC' "
        "WHERE org_id = %(org)s"
    )


@pytest.mark.one_server
@pytest.mark.parametrize("size", [5, 50])
async def test_the_number_of_statements_does_not_depend_on_the_size_of_the_batch(
    own: World, runner: Runner, size: int, statements: list[str]
) -> None:
    await settle_due(
        runner, tenant_of(own), START - timedelta(days=1)
    )  # the definitions are cached now
    statements.clear()
    await finish_due(runner, tenant_of(own), START, Settlement(size))
    batches = statements.count(passes.ASK_PASSES)
    assert batches == 50 // size + 1
    # What is due, asked before and after: tenant, moment, dues; then own cycles.
    asked = 3 + 4
    # Tenant, moment, turn, passes, page; versions, stints, ends, two kinds of expiries, progress; passes and
    # customers claimed; the save, and how far it is now. The last batch finds no customers.
    assert len(statements) == asked + (batches - 1) * 15 + 7


@pytest.mark.one_server
async def test_the_next_page_is_read_from_the_index_whatever_the_statistics_say(
    own: World, runner: Runner
) -> None:
    own.run("ANALYZE enrolments")
    own.run(
        "INSERT INTO enrolments (org_id, customer_id, target_id, stint, enrolment_id, enrolled_at, attempt) "
        "SELECT %(org)s, c, %(group)s, 1, c, '2026-05-20', 1 FROM generate_series(1000, 60000) c"
    )
    async with runner.database.transaction() as tx:
        await act_for(tx, tenant_of(own))
        shown = tx.ask("EXPLAIN " + passes.ASK_PAGE, ([own.group_id], own.org_id, 5_000, 100, 100))
        plan = "\n".join(row[0] for row in await shown.rows())
    assert "enrolments_of_target" in plan
    assert "Seq Scan" not in plan
    assert "Sort Key: e_1.customer_id" not in plan


async def test_the_database_finds_due_what_the_rules_say_is_due(
    database_url: str, runner: Runner
) -> None:
    """A milestone, a streak, a cyclic and a deleted group; periods made before and after their dates."""
    for number, change in enumerate(
        (
            "reward_allocation = 'IMMEDIATE'",
            "tracking_type = 'STREAKS'",
            "tracking_type = 'NON_CONTINUOUS_STREAKS', settlement_delay_days = 5",
            "evaluation_type = 'CYCLIC_WINDOW'",
            "evaluation_type = 'PERIOD_AGNOSTIC_WINDOW'",
            "active = false",
            "deleted_at = now(), name_key = NULL",
        )
    ):
        world = make_world(database_url, next(_org_ids))
        world.run(f"UPDATE target_groups SET {change} WHERE org_id = %(org)s")
        world.run(
            "UPDATE target_periods "
            "SET created_at = (timestamp '2026-05-01' + %(n)s * interval '17 days') AT TIME ZONE 'UTC', "
            "closes_at = (ends_at AT TIME ZONE 'UTC' + interval '1 day' * ("
            "SELECT settlement_delay_days FROM target_groups WHERE org_id = %(org)s)) AT TIME ZONE 'UTC' "
            "WHERE org_id = %(org)s",
            n=number,
        )
        tenant = tenant_of(world)
        for to in (START, END, LATE, datetime(2027, 1, 1, tzinfo=UTC)):

            async def both(
                tx: Any, tenant: Tenant, moment: Moment, to: datetime = to
            ) -> tuple[set[tuple[int, str]], set[tuple[int, str]]]:
                ruled = {each.key for each in due(moment.definitions, to)}
                return await load_unfinished(tx, tenant, to), ruled

            found, ruled = await runner.read(tenant, both)
            assert found == ruled, (change, to)


async def test_the_sweep_finds_real_organisations_in_which_something_is_due(
    database_url: str, runner: Runner
) -> None:
    real, idle, ends_only = (populated(make_world(database_url, next(_org_ids))) for _ in "abc")
    for world in (real, idle, ends_only):
        world.run("UPDATE orgs SET sandbox = false, sandbox_now = NULL WHERE org_id = %(org)s")
    for world in (idle, ends_only):
        world.run(
            "UPDATE target_periods SET starts_at = '2100-01-01', ends_at = '2100-02-01' "
            "WHERE org_id = %(org)s"
        )
    ends_only.run(
        "INSERT INTO cycle_ends VALUES (%(org)s, 1, %(group)s, %(group)s + 1, '2026-06-01')"
    )

    async def found() -> set[int]:
        tenants = await runner.operate(lambda tx: load_orgs_with_due_work(tx, LATE))
        return {tenant.org_id for tenant in tenants}

    assert await found() == {real.org_id, ends_only.org_id}
    await settle_due(runner, tenant_of(real), LATE)
    await settle_due(runner, tenant_of(ends_only), LATE)
    assert await found() == set()
