"""The loads of a customer's views: a fixed number of statements, each along a primary key."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable

import psycopg
import pytest

from milepost.database import Tenant, Tx
from milepost.runner import Moment, Runner
from milepost.store import views
from milepost.store.pipeline import act_for
from milepost.store.views import Page
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
INSERT INTO rewards (org_id, customer_id, target_id, period_id, attempt, ordinal, name, type, value, granted_at, cause)
SELECT %(org)s, %(customer)s, t, 1, 1, 0, 'r', 'POINTS', 1, now(), 'ENROLMENT' FROM generate_series(1, %(rows)s) t;
"""  # noqa: E501

Load = Callable[[Tx, Tenant, int], Awaitable[object]]
LOADS: dict[str, Load] = {
    "standing": views.load_standing,
    "enrolments": views.load_enrolments,
    "journal": lambda tx, tenant, customer: views.load_journal(tx, tenant, customer, EVERYTHING),
    "rewards": lambda tx, tenant, customer: views.load_rewards(tx, tenant, customer, EVERYTHING),
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
    ("name", "of_load"), [("standing", 6), ("enrolments", 3), ("journal", 2), ("rewards", 2)]
)
@pytest.mark.parametrize("rows", [0, 1, 50])
async def test_a_view_takes_the_same_statements_however_much_there_is_to_show(
    world: World,
    runner: Runner,
    tenant: Tenant,
    name: str,
    of_load: int,
    rows: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    customer = 1000 + 100 * list(LOADS).index(name) + rows
    world.register(customer)
    fill(world, customer, rows)
    await read(runner, tenant, LOADS[name], -1)  # the definitions are cached now
    statements: list[str] = []
    execute = psycopg.AsyncCursor.execute

    async def counted(self: object, query: str, *rest: object, **more: object) -> object:
        statements.append(query)
        return await execute(self, query, *rest, **more)  # type: ignore[call-overload]

    monkeypatch.setattr(psycopg.AsyncCursor, "execute", counted)
    assert await read(runner, tenant, LOADS[name], customer) is not None
    # The snapshot, the tenant, the moment; then the load's own, sent together.
    assert len(statements) == 3 + of_load


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
    assert (found.enrolments, found.achieved_levels) == ({}, [])
    assert await read(runner, tenant, LOADS["journal"], STRANGER) == []
    assert await read(runner, tenant, LOADS["rewards"], STRANGER) == []


async def test_pages_of_the_journal_meet_without_gap_or_overlap(
    world: World, runner: Runner, tenant: Tenant
) -> None:
    customer = 77
    world.register(customer)
    fill(world, customer, 5)

    async def page(page: Page, target_id: int | None = None) -> list[int]:
        async def load(tx: Tx, tenant: Tenant, customer: int) -> object:
            return await views.load_journal(tx, tenant, customer, page, target_id)

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
    assert await page(Page(4), 3) == every[4:6]


async def test_the_loads_walk_indexes_whatever_the_statistics_say(
    world: World, runner: Runner, tenant: Tenant
) -> None:
    for table, columns in (
        ("enrolments", "%(org)s, c, 1, 1, c, now(), 1, NULL, 1"),
        ("progress", "%(org)s, c, 1, 1, 1, 1"),
        ("journal", "%(org)s, c, 1, 0, now(), 'a', 'a'"),
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
        (views.ASK_ACHIEVED_LEVELS, member),
        (views.ASK_JOURNAL_BEFORE, (*member, None, None, 2**40, 0, 1000)),
        (views.ASK_JOURNAL_AFTER, (*member, 1, 1, 0, 0, 1000)),
        (views.ASK_REWARDS_BEFORE, (*member, 2**40, 1000)),
        (views.ASK_REWARDS_AFTER, (*member, 0, 1000)),
    ):
        async with runner.database.transaction() as tx:
            await act_for(tx, tenant)
            rows = await (await tx.execute("EXPLAIN " + statement, parameters)).fetchall()
        plan = "\n".join(row[0] for row in rows)
        tables = re.findall(r"Seq Scan on (\w+)", plan)
        assert set(tables) <= {"target_periods", "streak_levels"}, plan  # a page or two
