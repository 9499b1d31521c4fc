"""The loads of a customer's views: a fixed number of statements, each along a primary key."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from decimal import Decimal

import psycopg
import pytest
from psycopg import sql

from milepost.database import Tenant, Tx
from milepost.rules.effects import Effect
from milepost.runner import Moment, Runner
from milepost.statements import read_statement
from milepost.store import views
from milepost.store.pipeline import Rows, act_for
from milepost.store.tracked_events import (
    ASK_ENROLLED_ONCE,
    ASK_TRACKED_EVENTS,
    load_tracked_events,
)
from milepost.store.views import Focus, Page
from tests.store.world import World

CUSTOMER, STRANGER = 1, 2
EVERYTHING = Page(10_000)

FILL = """
INSERT INTO enrolments
SELECT %(org)s, %(customer)s, t, 1, %(customer)s * 1000 + t, now(), 1, NULL, 1 FROM generate_series(1, %(rows)s) t;
INSERT INTO progress
SELECT %(org)s, %(customer)s, t, p, 1, p, NULL FROM generate_series(1, %(rows)s) t, generate_series(1, 3) p;
INSERT INTO journal
SELECT %(org)s, %(customer)s, v, o, now(), 'ENROLLED', 'ENROLLED', 1, v, NULL, '{"stint": 1}', NULL, NULL
FROM generate_series(1, %(rows)s) v, generate_series(0, 1) o;
INSERT INTO level_achievements
SELECT %(org)s, %(customer)s, t, l, 1, 1, CASE WHEN l = 1 THEN now() END
FROM generate_series(1, %(rows)s) t, generate_series(1, 2) l;
INSERT INTO rewards (org_id, customer_id, target_id, period_id, attempt, ordinal, name, type, value, granted_at, cause)
SELECT %(org)s, %(customer)s, t, 1, 1, 0, 'r', 'POINTS', 1, now(), 'ENROLMENT' FROM generate_series(1, %(rows)s) t;
"""  # noqa: E501

Load = Callable[[Tx, Tenant, int], Awaitable[object]]
LOADS: dict[str, Load] = {
    "standing": views.load_standing,
    "enrolments": views.load_enrolments,
    "journal": lambda tx, tenant, customer: views.load_journal(tx, tenant, customer, EVERYTHING),
    "rewards": lambda tx, tenant, customer: views.load_rewards(tx, tenant, customer, EVERYTHING),
    "points": views.load_points,
    "occurrences": lambda tx, tenant, customer: views.load_occurrences(
        tx, tenant, customer, EVERYTHING
    ),
    "tracked": lambda tx, tenant, customer: load_tracked_events(
        tx, tenant, customer, 1, None, 100, 0
    ),
}


def fill(world: World, customer: int, rows: int) -> None:
    with psycopg.ClientCursor(psycopg.connect(world.url, autocommit=True)) as cursor:
        cursor.execute(FILL, {"org": world.org_id, "customer": customer, "rows": rows})
        cursor.connection.close()


async def read(runner: Runner, tenant: Tenant, load: Load, customer: int) -> object:
    async def query(tx: Tx, tenant: Tenant, _: Moment) -> object:
        return await load(tx, tenant, customer)

    return await runner.read(tenant, query)


@pytest.mark.parametrize(
    ("name", "of_load"),
    [
        ("standing", 7),
        ("enrolments", 4),
        ("journal", 3),
        ("rewards", 3),
        ("points", 3),
        ("occurrences", 6),
        ("tracked", 3),
    ],
)
@pytest.mark.one_server
@pytest.mark.parametrize("rows", [0, 1, 50])
async def test_a_view_takes_the_same_statements_however_much_there_is_to_show(
    world: World,
    runner: Runner,
    tenant: Tenant,
    name: str,
    of_load: int,
    rows: int,
    statements: list[str],
) -> None:
    customer = 1000 + 100 * list(LOADS).index(name) + rows
    world.register(customer)
    fill(world, customer, rows)
    await read(runner, tenant, LOADS[name], -1)  # the definitions are cached now
    statements.clear()
    assert await read(runner, tenant, LOADS[name], customer) is not None
    # The tenant, the moment; then the load's own, sent together.
    assert len(statements) == 2 + of_load


@pytest.mark.parametrize("name", LOADS)
async def test_an_unknown_customer_is_none(runner: Runner, tenant: Tenant, name: str) -> None:
    assert await read(runner, tenant, LOADS[name], -1) is None


async def test_only_the_customers_own_rows_are_loaded(
    world: World, runner: Runner, tenant: Tenant
) -> None:
    world.register(CUSTOMER, STRANGER)
    fill(world, CUSTOMER, 2)
    found = await read(runner, tenant, LOADS["standing"], STRANGER)
    assert isinstance(found, views.Standing)
    assert found.enrolments == {}
    for name in ("journal", "rewards", "points"):
        assert await read(runner, tenant, LOADS[name], STRANGER) == []


async def test_levels_are_loaded_with_the_enrolment_taken_back_or_not(
    world: World, runner: Runner, tenant: Tenant
) -> None:
    customer = 78
    world.register(customer)
    fill(world, customer, 2)
    found = await read(runner, tenant, LOADS["standing"], customer)
    assert isinstance(found, views.Standing)
    for enrolment in found.enrolments.values():
        assert set(enrolment.levels) == {(1, 1), (2, 1)}
        assert enrolment.levels[1, 1].achieved_at is not None
        assert enrolment.levels[2, 1].achieved_at is None


async def test_the_points_are_exact_sums_by_target(
    world: World, runner: Runner, tenant: Tenant
) -> None:
    customer = 79
    world.register(customer)
    for target, value, kind in (
        (1, "0.1", "POINTS"),
        (1, "0.2", "POINTS"),
        (2, "1e15", "POINTS"),
        (2, "7", "COUPON"),
    ):
        world.run(
            "INSERT INTO rewards (org_id, customer_id, target_group_id, target_id, period_id, attempt,"
            " ordinal, name, type, value, granted_at, cause) SELECT %(org)s, %(customer)s, 5, %(target)s,"
            " nextval('reward_ids'), 1, 0, 'r', %(kind)s, %(value)s, now(), 'ACTIVITY'",
            customer=customer,
            target=target,
            value=Decimal(value),
            kind=kind,
        )
    assert await read(runner, tenant, LOADS["points"], customer) == [
        views.PointsLine(5, 1, Decimal("0.3")),
        views.PointsLine(5, 2, Decimal(10**15)),
    ]


async def test_pages_of_the_journal_meet_without_gap_or_overlap(
    world: World, runner: Runner, tenant: Tenant
) -> None:
    customer = 77
    world.register(customer)
    fill(world, customer, 5)

    async def page(page: Page, focus: Focus | None = None) -> list[int]:
        async def load(tx: Tx, tenant: Tenant, customer: int) -> object:
            return await views.load_journal(tx, tenant, customer, page, focus)

        found = await read(runner, tenant, load, customer)
        assert isinstance(found, list)
        return [line.id for line in found]

    every = await page(Page(100))
    assert len(every) == 10
    assert every == sorted(every)
    assert await page(Page(3)) == every[-3:]
    assert await page(Page(3, before=every[-3])) == every[-6:-3]
    assert await page(Page(4, after=every[0])) == every[1:5]
    assert await page(Page(4, after=every[-1])) == []
    assert await page(Page(4, before=every[0])) == []
    assert await page(Page(4, after=-1)) == every[:4]
    assert await page(Page(4, before=2**63 - 1)) == every[-4:]
    assert await page(Page(4), Focus(3)) == every[4:6]


LINES = """
INSERT INTO journal (org_id, customer_id, version, ordinal, at, what, reason, target_id, details)
VALUES (%(org)s, %(customer)s, 1, 0, now(), 'ENROLLED', 'ENROLLED', 70, '{}'),
       (%(org)s, %(customer)s, 2, 0, now(), 'ACTIVITY', 'EVENT', NULL,
        '{"activity": "e", "eventName": "run", "effects": [[7, 70, 1, "ADDED", 3, "0.1", "9.3", "10", null]]}'),
       (%(org)s, %(customer)s, 2, 1, now(), 'ACHIEVED', 'REACHED', 70, '{}'),
       (%(org)s, %(customer)s, 3, 0, now(), 'ACTIVITY', 'EVENT', NULL,
        '{"activity": "f", "eventName": "run", "effects": [[70, 71, 70, "ADDED", 70, "1", "1", "1", "2026-06-01"]]}'),
       (%(org)s, %(customer)s, 4, 0, now(), 'STARTED', 'CYCLE_STARTED', 70, '{}'),
       (%(org)s, %(customer)s, 5, 0, now(), 'ACTIVITY', 'EVENT', NULL,
        '{"activity": "g", "eventName": "swim", "effects": []}'),
       (%(org)s, %(customer)s, 6, 0, now(), 'TARGET_VALUE', 'OWN_TARGET_VALUE', 70, '{}')
"""  # noqa: E501


async def test_the_journal_of_one_target_has_what_names_it_what_changed_it_and_what_might_have(
    world: World, runner: Runner, tenant: Tenant
) -> None:
    customer = 80
    world.register(customer)
    world.run(LINES, customer=customer)

    async def versions(focus: Focus | None) -> list[int]:
        async def load(tx: Tx, tenant: Tenant, customer: int) -> object:
            return await views.load_journal(tx, tenant, customer, EVERYTHING, focus)

        found = await read(runner, tenant, load, customer)
        assert isinstance(found, list)
        return [line.id >> 15 for line in found]

    assert await versions(None) == [1, 2, 2, 3, 5]
    assert await versions(Focus(70)) == [1, 2, 2]
    assert await versions(Focus(70, ["swim"])) == [1, 2, 2, 5]
    assert await versions(Focus(71)) == [3]
    assert await versions(Focus(72)) == []


PROMOTION_LINES = """
INSERT INTO journal (org_id, customer_id, version, ordinal, at, what, reason, target_id, details)
SELECT %(org)s, %(customer)s, v, 0, now(), w, r, t, d::jsonb
FROM (VALUES
    (1, 'ENROLLED', 'PROMOTION_ENROLLED', NULL::bigint, '{"promotion": 21, "issual": 70}'),
    (2, 'ENROLLED', 'ENROLLED', 21, '{"stint": 21}'),
    (3, 'ACTIVITY', 'EVENT', NULL, '{"activity": "a", "eventName": "run", "effects": [[21, 21, 21, "ADDED", 1, "1",
        "1", "9", null]]}'),
    (4, 'ACTIVITY', 'EVENT', NULL, '{"activity": "b", "eventName": "run", "effects": [],
        "promotions": [[22, "CRITERIA_NOT_MET", 21, null, null, null], [21, "REDEEMED", 8, null, null, null]]}'),
    (5, 'ACTIVITY', 'COMPLETION', NULL, '{"effects": [], "promotions": [[22, "REDEEMED", null, 7, 70, 21]]}'),
    (6, 'ACTIVITY', 'EVENT', NULL, '{"activity": "c", "eventName": "swim", "effects": []}'),
    (7, 'UNACHIEVED', 'PROMOTION_EARN_REVOKED', NULL, '{"promotion": 22, "earns": [21]}'),
    (8, 'UNACHIEVED', 'PROMOTION_EARN_EXPIRED', NULL, '{"promotion": 21, "earns": [8]}')
) AS v (v, w, r, t, d)
"""  # noqa: E501


async def test_the_journal_of_one_promotion_has_what_names_it_what_it_paid_and_what_it_might_have(
    world: World, runner: Runner, tenant: Tenant
) -> None:
    customer = 84
    world.register(customer)
    world.run(PROMOTION_LINES, customer=customer)

    async def versions(focus: Focus | None) -> list[int]:
        async def load(tx: Tx, tenant: Tenant, customer: int) -> object:
            return await views.load_journal(tx, tenant, customer, EVERYTHING, focus)

        found = await read(runner, tenant, load, customer)
        assert isinstance(found, list)
        return [line.id >> 15 for line in found]

    assert await versions(None) == [1, 2, 3, 4, 5, 6, 7, 8]
    assert await versions(Focus(promotion_id=21)) == [1, 4, 8]
    assert await versions(Focus(promotion_id=22)) == [4, 5, 7]
    assert await versions(Focus(promotion_id=22, event_names=["swim"])) == [4, 5, 6, 7]
    assert await versions(Focus(promotion_id=23)) == []
    assert await versions(Focus(70)) == [5]
    assert await versions(Focus(21)) == [2, 3]


async def test_of_what_was_taken_back_in_promotions_brands_are_notified_of_what_was_revoked(
    world: World, runner: Runner, tenant: Tenant
) -> None:
    customer = 85
    world.register(customer)
    world.run(PROMOTION_LINES, customer=customer)
    found = await read(runner, tenant, LOADS["occurrences"], customer)
    assert isinstance(found, tuple)
    assert [each.version for each in found[1]] == [1, 2, 3, 7]


async def test_the_rewards_and_points_of_a_promotion_are_told_apart(
    world: World, runner: Runner, tenant: Tenant
) -> None:
    customer = 86
    world.register(customer)
    for target, promotion, value in ((1, None, 1), (None, 21, 2), (None, 22, 3), (None, 21, 4)):
        world.run(
            "INSERT INTO rewards (org_id, customer_id, target_group_id, target_id, period_id, attempt,"
            " ordinal, name, type, value, granted_at, cause, promotion_id) SELECT %(org)s, %(customer)s,"
            " %(target)s, %(target)s, %(target)s, 1, 0, 'r', 'POINTS', %(value)s, now(), 'ACTIVITY',"
            " %(promotion)s",
            customer=customer,
            target=target,
            promotion=promotion,
            value=value,
        )
    found = await read(runner, tenant, LOADS["rewards"], customer)
    assert isinstance(found, list)
    assert [line.promotion_id for line in found] == [None, 21, 22, 21]
    assert await read(runner, tenant, LOADS["points"], customer) == [
        views.PointsLine(1, 1, Decimal(1)),
        views.PointsLine(None, None, Decimal(6), 21),
        views.PointsLine(None, None, Decimal(3), 22),
    ]


MORE_LINES = """
INSERT INTO journal (org_id, customer_id, version, ordinal, at, what, reason, target_id, details)
SELECT %(org)s, %(customer)s, 9, n, now(), w, r, 70, d::jsonb
FROM (VALUES
    (0, 'ACHIEVED', 'REACHED', '{"activity": "e"}'),
    (1, 'REWARDED', 'LEVEL_REWARD', '{}'),
    (2, 'UNACHIEVED', 'RETURNED', '{}'),
    (3, 'UNACHIEVED', 'LEVEL_LOST', '{"level": {}}'),
    (4, 'BROKEN', 'CYCLE_MISSED', '{}'),
    (5, 'ACTIVITY', 'EVENT', '{"effects": [[7, 70, 1, "SAME_DAY", 1, "0E-7", "1", "9", null]]}'),
    (6, 'ACTIVITY', 'EVENT', '{"effects": [[7, 70, 1, "ADDED", 1, "-0.05", "1", "9", null]]}')
) AS v (n, w, r, d)
"""
AN_ACTIVITY = """
INSERT INTO activities (org_id, customer_id, activity_id, type, occurred_at, event_name, net_amount,
                        gross_amount, version, ordinal)
VALUES (%(org)s, %(customer)s, 'e', 'EVENT', now(), 'run', 0, 0, 2, 0)
"""


async def test_what_brands_are_notified_of_is_loaded_with_the_activity_behind_it(
    world: World, runner: Runner, tenant: Tenant
) -> None:
    customer = 82
    world.register(customer)
    for statement in (LINES, MORE_LINES, AN_ACTIVITY):
        world.run(statement, customer=customer)
    found = await read(runner, tenant, LOADS["occurrences"], customer)
    assert isinstance(found, tuple)
    recipient, occurrences = found
    assert (recipient.org_id, recipient.customer_id) == (world.org_id, customer)
    places = [(each.version, each.ordinal) for each in occurrences]
    assert places == [(1, 0), (2, 0), (2, 1), (3, 0), (4, 0), (6, 0), (9, 0), (9, 3), (9, 6)]
    causes = {(each.version, each.ordinal): each.cause for each in occurrences if each.cause}
    assert set(causes) == {(9, 0)}
    assert causes[9, 0].details["eventName"] == "run"
    assert causes[9, 0].effects[0].amount == Decimal("0.1")


async def test_effects_come_back_exactly_as_they_were_noted(
    world: World, runner: Runner, tenant: Tenant
) -> None:
    customer = 81
    world.register(customer)
    world.run(LINES, customer=customer)
    found = await read(runner, tenant, LOADS["journal"], customer)
    assert isinstance(found, list)
    entries = [line.entry for line in found if line.entry.what == "ACTIVITY"]
    assert entries[0].effects == (
        Effect(7, 70, 1, "ADDED", 3, Decimal("0.1"), Decimal("9.3"), Decimal(10), None),
    )
    assert entries[1].effects[0].day == "2026-06-01"
    assert entries[2].effects == ()
    assert dict(entries[0].details) == {"activity": "e", "eventName": "run"}


@pytest.mark.one_server
async def test_the_loads_walk_indexes_whatever_the_statistics_say(
    world: World, runner: Runner, tenant: Tenant
) -> None:
    for table, columns in (
        ("enrolments", "%(org)s, c, 1, 1, c, now(), 1, NULL, 1"),
        ("progress", "%(org)s, c, 1, 1, 1, 1"),
        ("level_achievements", "%(org)s, c, 1, 1, 1, 1, now()"),
        ("journal", "%(org)s, c, 1, 0, now(), 'a', 'a'"),
        (
            "activities",
            "%(org)s, c, 'a', 'EVENT', now(), 'a', 0, 0, 1, 1, 1, '[]', '{}', 'b', false, 1, 0",
        ),
        ("customers", "%(org)s, c, %(org)s, 'loyalty', now()"),
        ("customer_profiles", "%(org)s, c, 'INSTORE'"),
        ("customer_identifiers", "%(org)s, 'mobile', c, c, '{INSTORE}'"),
    ):
        world.run(f"INSERT INTO {table} SELECT {columns} FROM generate_series(1000000, 1020000) c")
    world.run(
        "INSERT INTO rewards (org_id, customer_id, target_id, period_id, attempt, ordinal, name, type, value,"
        " granted_at, cause) SELECT %(org)s, c, 1, 1, 1, 0, 'r', 'POINTS', 1, now(), 'ENROLMENT' "
        "FROM generate_series(1000000, 1020000) c"
    )
    member = (world.org_id, 1_000_500)
    for statement, parameters in (
        (views.ASK_CUSTOMER, member),
        (views.ASK_PROFILES, member),
        (views.ASK_IDENTIFIERS, member),
        (views.ASK_STINTS, member),
        (views.ASK_PROGRESS, member),
        (views.ASK_LEVELS, member),
        (views.ASK_POINTS, member),
        (views.ASK_JOURNAL_BEFORE, (None, None, [], *member, 2**40, 0, 1000)),
        (views.ASK_JOURNAL_AFTER, (1, None, ["TransactionAdd"], *member, 0, 0, 1000)),
        (views.ASK_JOURNAL_AFTER, (None, 1, ["TransactionAdd"], *member, 0, 0, 1000)),
        (views.ASK_ENROLMENT_IDS, member),
        (views.ASK_OCCURRENCES_BEFORE, (*member, 2**40, 0, 1000)),
        (views.ASK_OCCURRENCES_AFTER, (*member, 0, 0, 1000)),
        (ASK_TRACKED_EVENTS, (1, *member, *member, 1, None, None, 10, 0)),
        (ASK_ENROLLED_ONCE, (*member, 1)),
        (views.ASK_REWARDS_BEFORE, (*member, 2**40, 1000)),
        (views.ASK_REWARDS_AFTER, (*member, 0, 1000)),
    ):
        async with runner.database.transaction() as tx:
            await act_for(tx, tenant)
            planned_anew = await tx.ask("EXPLAIN " + statement, parameters).rows()
            planned_once = await kept_plan(tx, statement, parameters)
        for plan in ("\n".join(row[0] for row in rows) for rows in (planned_anew, planned_once)):
            tables = re.findall(r"Seq Scan on (\w+)", plan)
            # A page or two.
            assert set(tables) <= {"target_periods", "streak_levels", "credentials", "stores"}, plan


async def kept_plan(tx: Tx, statement: str, parameters: Sequence[object]) -> Rows:
    """The plan that serves all parameters, of which the views' transactions make use."""
    await tx.ask("SET LOCAL plan_cache_mode = force_generic_plan").rows()
    text = read_statement(statement).text.decode()
    await tx.ask("PREPARE asked AS " + text.replace("%", "%%")).rows()
    given = ", ".join(sql.Literal(each).as_string() for each in parameters)
    rows = await tx.ask(f"EXPLAIN EXECUTE asked ({given})").rows()
    await tx.ask("DEALLOCATE asked").rows()
    return rows


@pytest.mark.one_server
async def test_a_view_is_planned_once_and_all_else_with_each_execution(
    runner: Runner, tenant: Tenant
) -> None:
    ask_mode = "SELECT current_setting('plan_cache_mode')"
    async with runner.database.transaction(snapshot=True) as tx:
        await act_for(tx, tenant)
        assert await tx.ask(ask_mode).rows() == [("force_custom_plan",)]
        await views.load_standing(tx, tenant, CUSTOMER)
        assert await tx.ask(ask_mode).rows() == [("auto",)]
    for _ in range(20):  # whichever connection it is
        async with runner.database.transaction() as tx:
            assert await tx.ask(ask_mode).rows() == [("force_custom_plan",)]
