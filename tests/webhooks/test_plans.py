"""The worker's statements walk indexes, planned while the tables were empty or full (house law 3)."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import pytest

from milepost.database import Tenant, Tx, database
from milepost.rules.deliveries import Answer, Delivery, Health, after_try
from milepost.rules.webhooks import Webhook
from milepost.runner import Runner
from milepost.settings import Settings
from milepost.store import deliveries as store
from milepost.store.deliveries import Expected
from milepost.store.occurrences import Told, load_told
from milepost.store.pipeline import Reply, act_for
from milepost.store.webhooks import Endpoint
from tests.store.world import World, make_world

T = TypeVar("T")

NOW = datetime(2026, 6, 15, tzinfo=UTC)
ENDPOINT = Endpoint(Tenant(1, 1), Webhook("a", "a", "http://a/"), ("",), Health(), NOW)
CUSTOMERS = 20_000
PENDING = """
INSERT INTO deliveries (org_id, customer_id, webhook_id, source_org_id, version, ordinal, place, event_id,
                        event_name, request_id, ingested_at, next_attempt_at)
SELECT 1, c, 'a', 1, v, 0, 0, gen_random_uuid(), 'e', 'r', timestamptz '2026-06-15', timestamptz '2026-06-15'
FROM generate_series(%(first)s::bigint, %(last)s::bigint) c, generate_series(1, 2) v
"""


@pytest.fixture(scope="module", params=["no statistics", "statistics of an empty table"])
def world(request: pytest.FixtureRequest, database_url: str) -> World:
    org = 1
    if request.param == "no statistics":
        made = make_world(database_url, org)
        made.run(PENDING, first=1, last=CUSTOMERS)
        return made
    made = World(database_url, org, org * 1000)
    made.run("DELETE FROM deliveries")
    made.run(PENDING, first=1, last=10)
    made.run("ANALYZE")
    made.run(PENDING, first=11, last=CUSTOMERS)
    return made


@pytest.fixture
async def runner(world: World) -> AsyncIterator[Runner]:
    made = Runner(database(world.url, Settings()))
    await made.database.open()
    yield made
    await made.database.close()


class Explaining:
    """A transaction that asks for the plan of every statement before it asks the statement."""

    def __init__(self, tx: Tx) -> None:
        self._tx = tx
        self._plans: list[Reply] = []
        self.is_distributed = tx.is_distributed

    def ask(self, sql: str, parameters: Sequence[object] = ()) -> Reply:
        self._plans.append(self._tx.ask("EXPLAIN " + sql, parameters))
        return self._tx.ask(sql, parameters)

    async def plans(self) -> list[str]:
        found = ["\n".join(row[0] for row in await reply.rows()) for reply in self._plans]
        assert found
        return found


async def explained(
    runner: Runner, work: Callable[[Tx], Awaitable[T]], tenant: Tenant | None = None
) -> tuple[T, list[str]]:
    """What `work` returns, and the plans of its statements; as the operator, or for a tenant."""
    async with runner.database.transaction(operator=tenant is None) as tx:
        if tenant is not None:
            await act_for(tx, tenant)
        explaining = Explaining(tx)
        found = await work(explaining)  # type: ignore[arg-type]
        return found, await explaining.plans()


def assert_indexed(plan: str, *tables: str) -> None:
    for table in tables:
        assert not re.search(rf"Seq Scan on {table}\b", plan), plan
        assert f" on {table}" in plan, plan


async def test_what_is_due_is_found_by_index(world: World, runner: Runner) -> None:
    async def load(tx: Tx) -> list[Delivery]:
        return await store.load_due(tx, ENDPOINT, [(1, 1), (2, 1)], 500, 20)

    due, (plan,) = await explained(runner, load)
    assert len(due) == 500  # of half as many customers
    assert_indexed(plan, "deliveries")
    assert "deliveries_due" in plan, plan
    assert "Sort Key: w." not in plan, plan


async def test_what_came_of_tries_is_saved_by_index(world: World, runner: Runner) -> None:
    tried = [
        after_try(Delivery(c, 1, 1, 0, 0, "", "e", 0, NOW), Answer(500), NOW, NOW, 7, 0.5)
        for c in range(101, 601)
    ]

    async def save(tx: Tx) -> None:
        await store.save_tried(tx, ENDPOINT, tried)
        await store.hold_back(
            tx, ENDPOINT, [((c, 1), NOW + timedelta(hours=1)) for c in range(101, 601)]
        )

    _, plans = await explained(runner, save)
    for plan in plans:
        assert_indexed(plan, "deliveries")
        assert "Hash" not in plan, plan
        assert "Merge" not in plan, plan
    counted = world.run(
        "SELECT count(*) FROM deliveries WHERE next_attempt_at > '2026-06-15 00:30Z'"
    )
    assert counted == [(1_000,)]


async def test_outboxes_are_expanded_by_index(world: World, runner: Runner) -> None:
    customers = range(201, 701)
    taken = [(c, 9, "") for c in customers]
    expected = [
        Expected(1, "a", c, 9, 0, 0, "6f1c7f0e-8a3b-5d4e-9c52-1f2e3d4c5b6a", "e", "r")
        for c in customers
    ]

    async def expand(tx: Tx) -> None:
        await store.expand(tx, Tenant(1, 1), taken, expected, NOW)

    _, (plan,) = await explained(runner, expand)
    assert_indexed(plan, "deliveries")


async def test_what_is_told_is_read_by_index(world: World, runner: Runner) -> None:
    world.run(
        "INSERT INTO journal SELECT 1, c, 1, 0, now(), 'ENROLLED', 'ENROLLED' "
        "FROM generate_series(1, 20000) c "
        "ON CONFLICT DO NOTHING"
    )

    async def load(tx: Tx) -> Told:
        return await load_told(tx, Tenant(1, 1), [(c, 1) for c in range(1, 501)])

    told, plans = await explained(runner, load, Tenant(1, 1))
    assert len(told.occurrences) == 500
    for plan in plans:
        assert not re.search(r"Seq Scan on journal\b", plan), plan
