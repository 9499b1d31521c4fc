"""Rebuild on a database: each kind of row is damaged by SQL, found, and repaired where it may be."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from milepost.actions.activities import RECORD
from milepost.actions.enrolment import ENROLMENT
from milepost.actions.rebuild import CUSTOMERS_MAX, ENTRIES_MAX, REPAIR, rebuild
from milepost.database import Tenant
from milepost.rules.activities import Activity
from milepost.rules.enrolment import Enrol, Unenrol
from milepost.rules.recording import RecordActivity
from milepost.runner import LOST, Runner
from milepost.store import rebuild as store
from milepost.store.pipeline import act_for
from tests.store.world import World, make_world

STREAK_GROUP, STREAK = 1500, 1500
STREAK_OF_DAYS = """
INSERT INTO target_groups
VALUES (%(org)s, 1500, 's', 's', '', true, 1, 'STREAKS', 'FIXED_CALENDAR_WINDOW', 'DAILY', 1, 30, 30,
        '2026-06-01', '2026-07-01', 'UTC', false, false, 'IMMEDIATE', false, 0, false, NULL, NULL, now(), 1,
        now(), 1)
""", """
INSERT INTO target_periods
SELECT %(org)s, 1500, 1500 + n, n, 'd' || n, '', timestamptz '2026-06-01' + (n - 1) * interval '1 day',
       timestamptz '2026-06-01' + n * interval '1 day', true, now(), 1, now(), 1
FROM generate_series(1, 30) n
""", """
INSERT INTO targets
VALUES (%(org)s, 1500, 1500, 'u', 'u', '', true, 'TRANSACTION', 'COUNT', 'TransactionAdd', 'true', NULL, '[]',
        'IMPORT', NULL, NULL, '[]', '[]', now(), 1, now(), 1)
""", """
INSERT INTO target_values SELECT %(org)s, 1500, 1500 + n, 1500 + n, 1 FROM generate_series(1, 30) n
""", """
INSERT INTO streak_levels
VALUES (%(org)s, 1500, 1599, 'l', 'l', 1,
        '[{"name": "Badge", "type": "BADGE", "value": "1", "reference": null}]', now(), 1, now(), 1)
"""  # fmt: skip


@pytest.fixture(scope="module")
def world(database_url: str) -> World:
    """A milestone of months and a streak of days, at noon of 15 June."""
    made = make_world(database_url)
    for statement in STREAK_OF_DAYS:
        made.run(statement)
    made.run("UPDATE orgs SET sandbox_now = '2026-06-15T12:00:00Z'")
    return made


@dataclass
class Checks:
    """Runs the rebuild and keeps its lines, without the organisation."""

    runner: Runner
    lines: list[str] = field(default_factory=list)

    async def check(self, *, repair: bool = False, org_id: int | None = None) -> tuple[int, int]:
        """Differences found and left."""
        self.lines = []
        summary = await rebuild(self.runner, self.lines.append, org_id=org_id, repair=repair)
        assert summary is not None
        assert summary.differences == len(self.lines)
        return summary.differences, summary.left

    @property
    def places(self) -> list[str]:
        """Each line without its values."""
        return [re.sub(r"^org \d+, |: stored .*$", "", line) for line in self.lines]


@pytest.fixture
def checks(runner: Runner) -> Checks:
    return Checks(runner)


def at(day: int, hour: int = 10) -> datetime:
    return datetime(2026, 6, day, hour, tzinfo=UTC)


def bill(customer: int, name: str, amount: int = 100, day: int = 15) -> RecordActivity:
    money = Decimal(amount)
    return RecordActivity(
        Activity(name, customer, "TRANSACTION", at(day), "TransactionAdd", money, money)
    )


async def live(world: World, runner: Runner, tenant: Tenant, customer: int) -> None:
    """Two enrolments, a balance, a level reached, a milestone achieved."""
    world.register(customer)
    await runner.run(
        ENROLMENT,
        tenant,
        [
            Enrol(world.group_id, world.group_id, customer, "c1", 50),
            Enrol(STREAK_GROUP, STREAK, customer),
        ],
    )
    await runner.run(RECORD, tenant, [bill(customer, "a", 300), bill(customer, "b", 700)])


HERE = "WHERE org_id = %(org)s AND customer_id = %(customer)s"
MONTH = "target 1000, cycle 1001 (c1): "
DAY = "target 1500, cycle 1515 (d15): "
REPAIRED: dict[str, tuple[str, list[str]]] = {
    "value": (
        f"UPDATE progress SET value = 7 {HERE} AND target_id = 1000",
        [MONTH + "progress value"],
    ),
    "attempt": (
        f"UPDATE progress SET attempt = 4 {HERE} AND target_id = 1000",
        [MONTH + "progress attempt"],
    ),
    "achieved_at": (
        f"UPDATE progress SET achieved_at = NULL {HERE} AND target_id = 1000",
        [MONTH + "progress achieved_at"],
    ),
    "rewarded_attempt": (
        f"UPDATE progress SET rewarded_attempt = NULL {HERE} AND target_id = 1000",
        [MONTH + "progress rewarded_attempt"],
    ),
    "own_target_value": (
        f"UPDATE progress SET own_target_value = 1 {HERE} AND target_id = 1000",
        [MONTH + "progress own_target_value"],
    ),
    "days": (
        f"""UPDATE progress SET days = '{{"2026-06-01": "1"}}' {HERE} AND target_id = 1000""",
        [MONTH + "progress days"],
    ),
    "a row of progress lost": (
        f"DELETE FROM progress {HERE} AND target_id = 1000",
        [MONTH + "progress"],
    ),
    "a row of progress made up": (
        "INSERT INTO progress VALUES (%(org)s, %(customer)s, 1000, 1002, 1, 5)",
        ["target 1000, cycle 1002 (c2): progress"],
    ),
    "a counter": (
        f"UPDATE progress SET achieved_at = NULL {HERE} AND target_id = 1500",
        [DAY + "progress achieved_at", "target 1500: counter"],
    ),
    "a level taken back": (
        f"UPDATE level_achievements SET achieved_at = NULL {HERE}",
        [DAY + "level 1599 attempt 1 achieved_at"],
    ),
    "a level lost": (f"DELETE FROM level_achievements {HERE}", [DAY + "level 1599 attempt 1"]),
    "a level made up": (
        "INSERT INTO level_achievements VALUES (%(org)s, %(customer)s, 1500, 1598, 1, 1515, now())",
        [DAY + "level 1598 attempt 1"],
    ),
}
REPORTED: dict[str, tuple[str, list[str]]] = {
    "a stint left": (
        f"UPDATE enrolments SET left_at = now() {HERE} AND target_id = 1000",
        ["target 1000: stint 1 left_at"],
    ),
    "a stint of another cycle": (
        f"UPDATE enrolments SET from_period_id = 1002 {HERE} AND target_id = 1000",
        ["target 1000: stint 1 from_period_id"],
    ),
    "a stint lost": (
        f"DELETE FROM enrolments {HERE} AND target_id = 1500",
        ["target 1500: stint 1"],
    ),
    "a reward lost": (
        f"DELETE FROM rewards {HERE} AND target_id = 1000",
        [MONTH + "reward 'Voucher' attempt 1 ordinal 0"],
    ),
    "a reward made up": (
        """
        INSERT INTO rewards
        VALUES (%(org)s, %(customer)s, nextval('reward_ids'), 1000, 1000, 1002, NULL, 1, 0, 'Gift', 'POINTS',
                1, NULL, now(), 'ACTIVITY')
        """,
        ["target 1000, cycle 1002 (c2): reward 'Gift' attempt 1 ordinal 0"],
    ),
    "the points of a reward": (
        f"UPDATE rewards SET value = 11 {HERE} AND target_id = 1000",
        [MONTH + "reward 'Voucher' attempt 1 ordinal 0 value"],
    ),
    "a reward of a level": (
        f"UPDATE rewards SET attempt = 2 {HERE} AND streak_level_id IS NOT NULL",
        [
            DAY + "reward 'Badge' of level 1599 attempt 1 ordinal 0",
            DAY + "reward 'Badge' of level 1599 attempt 2 ordinal 0",
        ],
    ),
    "an activity that points elsewhere": (
        f"UPDATE activities SET ordinal = 99 {HERE} AND activity_id = 'a'",
        ["activity 'a'"],
    ),
    "an activity of another date": (
        f"UPDATE activities SET occurred_at = now() {HERE} AND activity_id = 'a'",
        ["activity 'a'"],
    ),
    "an activity lost": (f"DELETE FROM activities {HERE} AND activity_id = 'b'", ["activity 'b'"]),
    "an entry lost": (
        f"DELETE FROM journal {HERE} AND what = 'ACHIEVED' AND target_id = 1000",
        [MONTH + "progress achieved_at"],
    ),
    "the version of a restored table": (
        f"UPDATE customer_versions SET version = 1 {HERE}",
        ["version"],
    ),
}


async def test_nothing_differs_after_a_life(
    world: World, runner: Runner, tenant: Tenant, checks: Checks
) -> None:
    await live(world, runner, tenant, 1)
    await runner.run(ENROLMENT, tenant, [Unenrol(world.group_id, world.group_id, 1)])
    await runner.run(ENROLMENT, tenant, [Enrol(world.group_id, world.group_id, 1, "c1", 0)])
    assert await checks.check() == (0, 0)
    assert await checks.check(repair=True) == (0, 0)


@pytest.fixture
def versions(world: World) -> Callable[[], object]:
    return lambda: world.run("SELECT * FROM customer_versions ORDER BY 1, 2")


@pytest.mark.parametrize(("number", "name"), list(enumerate(REPAIRED, start=100)))
async def test_a_damage_to_progress_or_levels_is_found_and_repaired(
    world: World, runner: Runner, tenant: Tenant, checks: Checks, number: int, name: str
) -> None:
    await live(world, runner, tenant, number)
    statement, expected = REPAIRED[name]
    rows = "SELECT * FROM progress WHERE customer_id = %(customer)s ORDER BY target_id, period_id"
    levels = "SELECT * FROM level_achievements WHERE customer_id = %(customer)s"
    before = [world.run(sql, customer=number) for sql in (rows, levels)]
    world.run(statement, customer=number)
    damaged = [world.run(sql, customer=number) for sql in (rows, levels)]
    assert await checks.check() == (len(expected), len(expected))
    assert checks.places == [f"customer {number}, {place}" for place in expected]
    assert [world.run(sql, customer=number) for sql in (rows, levels)] == damaged
    assert await checks.check(repair=True) == (len(expected), 0)
    assert [world.run(sql, customer=number) for sql in (rows, levels)] == before
    assert await checks.check() == (0, 0)


@pytest.mark.parametrize(("number", "name"), list(enumerate(REPORTED, start=200)))
async def test_a_damage_to_what_only_grows_is_reported(
    world: World, runner: Runner, tenant: Tenant, checks: Checks, number: int, name: str
) -> None:
    await live(world, runner, tenant, number)
    statement, expected = REPORTED[name]
    world.run(statement, customer=number)
    places = [
        f"customer {number}, {place}" if place[0] == "t" else f"customer {number}: {place}"
        for place in expected
    ]
    found = (await checks.check())[0]
    for table in (
        "journal", "activities", "rewards", "enrolments", "progress", "level_achievements",
        "customer_versions",
    ):  # fmt: skip
        world.run(f"DELETE FROM {table} {HERE}", customer=number)
    assert checks.places == places
    assert found == len(expected)


async def test_what_only_grows_is_left_to_a_person(
    world: World, runner: Runner, tenant: Tenant, checks: Checks
) -> None:
    await live(world, runner, tenant, 300)
    world.run(f"DELETE FROM rewards {HERE} AND target_id = 1000", customer=300)
    world.run(f"UPDATE progress SET value = 1 {HERE} AND target_id = 1000", customer=300)
    assert await checks.check(repair=True) == (2, 1)
    assert await checks.check() == (1, 1)
    assert "stored nothing; rebuilt target_id 1000" in checks.lines[0]
    world.run(f"DELETE FROM journal {HERE} AND what = 'REWARDED'", customer=300)
    world.run(f"DELETE FROM rewards {HERE}", customer=300)
    assert await checks.check() == (0, 0)


async def test_a_line_has_organisation_customer_target_cycle_field_and_both_sides(
    world: World, runner: Runner, tenant: Tenant, checks: Checks
) -> None:
    await live(world, runner, tenant, 310)
    world.run(f"UPDATE progress SET value = 7.50 {HERE} AND target_id = 1000", customer=310)
    await checks.check(repair=True)
    assert checks.lines == [
        "org 1, customer 310, target 1000, cycle 1001 (c1): progress value: stored 7.5; rebuilt 1050"
    ]


async def test_a_repair_claims_the_version_and_gives_way_to_other_writers(
    world: World, runner: Runner, tenant: Tenant, checks: Checks
) -> None:
    await live(world, runner, tenant, 320)
    world.run(f"UPDATE progress SET value = 7 {HERE} AND target_id = 1000", customer=320)
    ((before,),) = world.run(f"SELECT version FROM customer_versions {HERE}", customer=320)

    class Late(type(REPAIR)):  # type: ignore[misc]
        """Lets an activity commit between its load and its claim."""

        async def claim(self, *rest: object) -> set[int]:
            await runner.run(RECORD, tenant, [bill(320, "late", 5)])
            return await super().claim(*rest)  # type: ignore[no-any-return]

    assert await runner.run(Late(), tenant, [320]) == [LOST]
    # The activity built on the damaged value, and the journal says so for good.
    assert await checks.check(repair=True) == (2, 1)
    assert checks.places == [
        f"customer 320, {MONTH}{what}" for what in ("journal", "progress value")
    ]
    assert world.run(f"SELECT value FROM progress {HERE} AND target_id = 1000", customer=320) == [
        (Decimal(1055),)
    ]
    ((after,),) = world.run(f"SELECT version FROM customer_versions {HERE}", customer=320)
    assert (before, after) == (2, 4)
    world.run(f"DELETE FROM customer_versions {HERE}", customer=320)


async def test_a_database_at_work_is_as_good_as_one_at_rest(
    world: World, runner: Runner, tenant: Tenant, checks: Checks
) -> None:
    customers = list(range(1_000, 1_000 + CUSTOMERS_MAX + 20))
    world.register(*customers)
    enrols = [Enrol(world.group_id, world.group_id, customer, "c1", 0) for customer in customers]
    await runner.run(ENROLMENT, tenant, enrols)
    done = asyncio.Event()

    async def work() -> None:
        for turn in range(12):
            await runner.run(
                RECORD, tenant, [bill(customer, f"w{turn}", 10) for customer in customers]
            )
        done.set()

    working = asyncio.create_task(work())
    turns = 0
    while not done.is_set():
        assert await checks.check() == (0, 0)
        turns += 1
    await working
    assert turns > 1
    assert await checks.check() == (0, 0)


async def test_a_life_longer_than_a_page_is_read_page_by_page(
    world: World, runner: Runner, tenant: Tenant, checks: Checks
) -> None:
    world.register(400)
    await runner.run(ENROLMENT, tenant, [Enrol(world.group_id, world.group_id, 400, "c1", 0)])
    many = [bill(400, f"many-{n}", 1) for n in range(2 * ENTRIES_MAX + 7)]
    await runner.run(RECORD, tenant, many)
    assert await checks.check() == (0, 0)
    world.run(f"UPDATE progress SET value = 1 {HERE} AND target_id = 1000", customer=400)
    assert await checks.check(repair=True) == (1, 0)
    assert world.run(f"SELECT value FROM progress {HERE} AND target_id = 1000", customer=400) == [
        (Decimal(2 * ENTRIES_MAX + 7),)
    ]


async def test_organisations_are_compared_each_for_itself(
    world: World, runner: Runner, tenant: Tenant, checks: Checks
) -> None:
    other = make_world(world.url, org_id=2)
    other.register(9)
    theirs = Tenant(2, 2)
    await runner.run(ENROLMENT, theirs, [Enrol(other.group_id, other.group_id, 9, "c1", 3)])
    other.run("UPDATE progress SET value = 4 WHERE org_id = %(org)s")
    assert await checks.check(org_id=world.org_id) == (0, 0)
    assert await checks.check(org_id=2) == (1, 1)
    assert checks.lines[0].startswith("org 2, customer 9, target 2000, cycle 2001 (c1): ")
    assert await checks.check() == (1, 1)
    assert await rebuild(runner, checks.lines.append, org_id=77, repair=False) is None
    assert await checks.check(repair=True) == (1, 0)


@pytest.mark.one_server
async def test_the_reads_walk_the_primary_keys_whatever_the_statistics_say(
    world: World, runner: Runner, tenant: Tenant
) -> None:
    """Planned while the tables were empty or full, each key is one index scan (house law 3)."""
    keys = list(range(1_000, 1_100))
    org = world.org_id
    places = (keys, [0] * len(keys), [0] * len(keys), org, 250)
    for statement, parameters in (
        (store.ASK_VERSIONS, (keys, org)),
        (store.ASK_PROGRESS, (keys, org)),
        (store.ASK_LEVELS, (keys, org)),
        (store.ASK_GRANTS, (keys, org)),
        (store.ASK_JOURNAL, places),
        (store.ASK_STRAY_ACTIVITIES, (keys, org, keys, org)),
    ):
        async with runner.database.transaction() as tx:
            await act_for(tx, tenant)
            rows = await tx.ask("EXPLAIN " + statement, parameters).rows()
        plan = "\n".join(row[0] for row in rows)
        assert "Nested Loop" in plan
        scans = re.findall(r"(\w[\w ]* Scan)(?: using (\w+))? on (\w+)", plan)
        kinds = {scan[0] for scan in scans}
        assert kinds <= {"Index Scan", "Index Only Scan", "Function Scan", "Subquery Scan"}, plan
