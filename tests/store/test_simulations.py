"""Dry runs on a database: counted batch by batch, resumed, cancelled, and nothing else is written."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from milepost.actions.activities import RECORD
from milepost.actions.simulations import (
    ACTIVITIES_MAX,
    CUSTOMERS_MAX,
    SIMULATIONS,
    UNFINISHED_MAX,
    Cancel,
    Pace,
    Queue,
    Queued,
    run_simulation,
    unfinished_simulations,
)
from milepost.database import Tenant, Tx, database
from milepost.errors import Refusal
from milepost.rules.activities import Activity
from milepost.rules.definitions import TargetGroup
from milepost.rules.recording import RecordActivity
from milepost.rules.simulation import Tally
from milepost.runner import Moment, Runner
from milepost.settings import Settings
from milepost.store import simulations as store
from milepost.store.pipeline import act_for
from milepost.store.simulations import Simulation
from tests.harness import contents
from tests.store.world import World, make_world

JUNE, JULY = datetime(2026, 6, 1, tzinfo=UTC), datetime(2026, 7, 1, tzinfo=UTC)
CUSTOMERS = 4 * CUSTOMERS_MAX + 30
EAGER = Pace(save_seconds=0, hold_seconds=0)


@pytest.fixture(scope="module")
async def world(database_url: str) -> World:
    """Customers 1 … with a bill of 10 × their number; the last one has more than a page of bills."""
    made = make_world(database_url)
    customers = range(1, CUSTOMERS + 1)
    made.register(*customers)
    activities = [bill(customer, "a", 10 * customer) for customer in customers]
    activities += [bill(CUSTOMERS, f"b{n}", 1) for n in range(2 * ACTIVITIES_MAX)]
    working = Runner(database(database_url, Settings()))
    await working.database.open()
    for first in range(0, len(activities), 1_000):
        await working.run(RECORD, Tenant(1, 1), activities[first : first + 1_000])
    await working.database.close()
    return made


@pytest.fixture(autouse=True)
def nothing_waits(world: World) -> None:
    world.run("DELETE FROM simulations")


def bill(customer: int, name: str, amount: int, day: int = 5) -> RecordActivity:
    at = datetime(2026, 6, day, 12, tzinfo=UTC)
    money = Decimal(amount)
    return RecordActivity(
        Activity(name, customer, "TRANSACTION", at, "TransactionAdd", money, money)
    )


async def queue(runner: Runner, tenant: Tenant, world: World, starts_at: datetime = JUNE) -> int:
    command = Queue(1, starts_at, JULY, world.group_id)
    (queued,) = await runner.run(SIMULATIONS, tenant, [command])
    assert isinstance(queued, Queued)
    assert queued.id > 1000
    return queued.id


async def read(
    runner: Runner, tenant: Tenant, simulation_id: int
) -> tuple[Simulation, TargetGroup, Tally | None] | None:
    async def query(
        tx: Tx, tenant: Tenant, _: Moment
    ) -> tuple[Simulation, TargetGroup, Tally | None] | None:
        return await store.load_simulation(tx, tenant, simulation_id)

    return await runner.read(tenant, query)


async def result(runner: Runner, tenant: Tenant, simulation_id: int) -> tuple[str, int, Tally]:
    """Status, customers done, and the tally."""
    found = await read(runner, tenant, simulation_id)
    assert found is not None
    simulation, _, tally = found
    assert tally is not None
    return simulation.status, simulation.customers_done, tally


async def test_a_simulation_runs_to_its_end_and_writes_its_result_and_nothing_else(
    world: World, runner: Runner, tenant: Tenant
) -> None:
    before = contents(world.url)
    simulation_id = await queue(runner, tenant, world)
    assert await unfinished_simulations(runner) == [(tenant, simulation_id)]
    await run_simulation(runner, tenant, simulation_id)
    status, done, tally = await result(runner, tenant, simulation_id)
    assert (status, done) == ("DONE", CUSTOMERS)
    assert (tally.customers, tally.activities) == (CUSTOMERS, CUSTOMERS + 2 * ACTIVITIES_MAX)
    june = tally.cycles[world.group_id, world.group_id + 1]
    # A bill of 1000 is customer 100's.
    assert (june.customers, june.achieved) == (CUSTOMERS, CUSTOMERS - 99)
    assert june.others == [9, *[10] * 9]
    (reward,) = tally.rewards.values()
    assert reward.granted == CUSTOMERS - 99
    assert reward.points == 10 * (CUSTOMERS - 99)
    after = contents(world.url)
    assert {table for table in after if after[table] != before[table]} == {"simulations"}
    assert await unfinished_simulations(runner) == []


async def test_activities_outside_the_range_do_not_count(
    world: World, runner: Runner, tenant: Tenant
) -> None:
    simulation_id = await queue(runner, tenant, world, datetime(2026, 6, 5, 12, 0, 1, tzinfo=UTC))
    await run_simulation(runner, tenant, simulation_id)
    status, done, tally = await result(runner, tenant, simulation_id)
    assert (status, done, tally.customers) == ("DONE", CUSTOMERS, 0)


async def test_one_that_is_done_is_not_run_again(
    world: World, runner: Runner, tenant: Tenant
) -> None:
    simulation_id = await queue(runner, tenant, world)
    await run_simulation(runner, tenant, simulation_id)
    once = contents(world.url)
    await run_simulation(runner, tenant, simulation_id)
    await run_simulation(runner, tenant, 1)
    assert contents(world.url) == once


async def test_one_that_was_killed_goes_on_where_it_was_saved(
    world: World, runner: Runner, tenant: Tenant
) -> None:
    undisturbed = await queue(runner, tenant, world)
    await run_simulation(runner, tenant, undisturbed)
    killed = await queue(runner, tenant, world)
    steps = []
    for _ in range(20):
        running = asyncio.create_task(run_simulation(runner, tenant, killed, EAGER))
        before = (await seen(runner, tenant, killed)).customers_done
        while not running.done():
            now = await seen(runner, tenant, killed)
            if now.customers_done > before and now.status != "DONE":
                running.cancel()
                break
        await asyncio.gather(running, return_exceptions=True)
        steps.append((await seen(runner, tenant, killed)).customers_done)
        if (await seen(runner, tenant, killed)).status == "DONE":
            break
    assert len(steps) > 1
    assert steps == sorted(steps)
    assert await result(runner, tenant, killed) == await result(runner, tenant, undisturbed)


async def seen(runner: Runner, tenant: Tenant, simulation_id: int) -> Simulation:
    found = await read(runner, tenant, simulation_id)
    assert found is not None
    return found[0]


async def test_of_several_processes_at_one_simulation_each_customer_is_counted_once(
    world: World, runner: Runner, tenant: Tenant
) -> None:
    simulation_id = await queue(runner, tenant, world)
    await asyncio.gather(*(run_simulation(runner, tenant, simulation_id, EAGER) for _ in range(3)))
    status, done, tally = await result(runner, tenant, simulation_id)
    assert (status, done, tally.customers) == ("DONE", CUSTOMERS, CUSTOMERS)


async def test_one_that_is_held_is_left_to_its_holder_until_it_is_not_heard_of(
    world: World, runner: Runner, tenant: Tenant
) -> None:
    simulation_id = await queue(runner, tenant, world)
    world.run("UPDATE simulations SET status = 'RUNNING', held_until = now() + interval '1 minute'")
    assert await unfinished_simulations(runner) == []
    await run_simulation(runner, tenant, simulation_id)
    assert (await seen(runner, tenant, simulation_id)).status == "RUNNING"
    world.run("UPDATE simulations SET held_until = now()")
    assert await unfinished_simulations(runner) == [(tenant, simulation_id)]
    await run_simulation(runner, tenant, simulation_id)
    assert (await seen(runner, tenant, simulation_id)).status == "DONE"


async def test_one_that_is_cancelled_stops_and_leaves_nothing(
    world: World, runner: Runner, tenant: Tenant
) -> None:
    simulation_id = await queue(runner, tenant, world)

    running = asyncio.create_task(run_simulation(runner, tenant, simulation_id, EAGER))
    status = "QUEUED"
    while status == "QUEUED":
        status = (await seen(runner, tenant, simulation_id)).status
    assert await runner.run(SIMULATIONS, tenant, [Cancel(simulation_id)]) == [True]
    await running
    assert await read(runner, tenant, simulation_id) is None
    (outcome,) = await runner.run(SIMULATIONS, tenant, [Cancel(simulation_id)])
    assert isinstance(outcome, Refusal)


async def test_one_that_cannot_be_run_fails_and_harms_no_other(
    world: World, runner: Runner, tenant: Tenant
) -> None:
    failing, good = [await queue(runner, tenant, world) for _ in range(2)]
    world.run(
        """UPDATE activities SET line_items = '[{"of": "another kind"}]' WHERE customer_id = 150"""
    )
    await run_simulation(runner, tenant, failing)
    assert (await seen(runner, tenant, failing)).status == "FAILED"
    world.run("UPDATE activities SET line_items = NULL")
    await run_simulation(runner, tenant, failing)
    await run_simulation(runner, tenant, good)
    assert [(await seen(runner, tenant, each)).status for each in (failing, good)] == [
        "FAILED",
        "DONE",
    ]


async def test_the_queue_of_an_organisation_has_a_length_however_many_join_at_once(
    world: World, runner: Runner, tenant: Tenant
) -> None:
    command = Queue(1, JUNE, JULY, world.group_id)
    outcomes = await asyncio.gather(
        *(runner.run(SIMULATIONS, tenant, [command]) for _ in range(2 * UNFINISHED_MAX))
    )
    accepted: Sequence[object] = [each for (each,) in outcomes if isinstance(each, Queued)]
    assert len(accepted) == UNFINISHED_MAX


async def test_what_is_finished_makes_room_the_oldest_first(
    world: World, runner: Runner, tenant: Tenant
) -> None:
    world.run(
        """
        INSERT INTO simulations (org_id, simulation_id, status, definition, starts_at, ends_at, created_at,
                                 created_by)
        SELECT %(org)s, n, CASE n WHEN 1 THEN 'QUEUED' ELSE 'DONE' END, '{}', now(), now(), now(), 1
        FROM generate_series(1, 70) n
        """
    )
    newest = await queue(runner, tenant, world)
    ids = [row[0] for row in world.run("SELECT simulation_id FROM simulations ORDER BY 1")]
    assert ids == [1, *range(22, 71), newest]


async def test_the_group_is_simulated_as_it_was_when_that_was_asked_for(
    world: World, runner: Runner, tenant: Tenant
) -> None:
    simulation_id = await queue(runner, tenant, world)
    world.run("UPDATE target_values SET value = 1")
    world.run("UPDATE orgs SET definitions_revision = definitions_revision + 1")
    await run_simulation(runner, tenant, simulation_id)
    _, _, tally = await result(runner, tenant, simulation_id)
    assert tally.cycles[world.group_id, world.group_id + 1].achieved == CUSTOMERS - 99
    world.run("UPDATE target_values SET value = 1000")
    world.run("UPDATE orgs SET definitions_revision = definitions_revision + 1")


@pytest.mark.one_server
async def test_the_loads_walk_the_primary_keys_whatever_the_statistics_say(
    world: World, runner: Runner, tenant: Tenant
) -> None:
    keys = list(range(1, CUSTOMERS_MAX + 1))
    bounds = (JUNE, JUNE + timedelta(days=30))
    zeros = [0] * len(keys)
    for statement, parameters in (
        (store.ASK_RETURNED, (keys, world.org_id, *bounds)),
        (store.ASK_ACTIVITIES, (keys, zeros, zeros, world.org_id, *bounds, 50)),
    ):
        async with runner.database.transaction() as tx:
            await act_for(tx, tenant)
            rows = await tx.ask("EXPLAIN " + statement, parameters).rows()
        plan = "\n".join(row[0] for row in rows)
        assert "Nested Loop" in plan
        scans = {kind for kind, _ in re.findall(r"(\w[\w ]* Scan)(?: using \w+)? on (\w+)", plan)}
        assert scans <= {"Index Scan", "Index Only Scan", "Function Scan", "Subquery Scan"}, plan
