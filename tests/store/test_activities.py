"""Recording activities: repetitions are known, nothing is lost between processes, statements are few."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from milepost.actions.activities import RECORD
from milepost.actions.enrolment import ENROLMENT
from milepost.coalescer import Coalescer
from milepost.database import Tenant, database
from milepost.errors import INVALID_INPUT, Refusal
from milepost.rules.activities import (
    RETURN,
    RETURN_BILL,
    TRANSACTION,
    TRANSACTION_ADD,
    Activity,
    LineItem,
)
from milepost.rules.enrolment import Enrol
from milepost.rules.recording import RecordActivity, Recorded
from milepost.runner import LOST, Runner
from milepost.settings import Settings
from milepost.store import activities, members
from milepost.store.pipeline import act_for
from tests.store.world import World

AT = datetime(2026, 6, 10, 12, 30, 15, 123456, tzinfo=UTC)


def purchase(number: str, customer: int, net: str = "12.50", **fields: Any) -> RecordActivity:
    amount = Decimal(net)
    return RecordActivity(
        Activity(number, customer, TRANSACTION, AT, TRANSACTION_ADD, amount, amount, **fields)
    )


def given_back(number: str, customer: int, of: str, net: str) -> RecordActivity:
    amount = Decimal(net)
    return RecordActivity(
        Activity(number, customer, RETURN, AT, RETURN_BILL, amount, amount, return_of=of)
    )


async def enrol(world: World, runner: Runner, tenant: Tenant, customers: Sequence[int]) -> None:
    world.register(*customers)
    commands = [Enrol(world.group_id, world.group_id, customer, "c1") for customer in customers]
    assert await runner.run(ENROLMENT, tenant, commands) == list(customers)


def value(world: World, customer: int) -> object:
    return world.run("SELECT value FROM progress WHERE customer_id = %(c)s", c=customer)[0][0]


async def test_what_was_stored_is_known_again_with_all_its_fields(
    world: World, runner: Runner, tenant: Tenant
) -> None:
    await enrol(world, runner, tenant, [1])
    rich: dict[str, Any] = {
        "store_id": 7,
        "zone_id": 8,
        "concept_id": 9,
        "line_items": (
            LineItem("A", Decimal("1.5"), Decimal("3.1"), Decimal(4), {"size": Decimal("0.1")}),
        ),
        "attributes": {"km": Decimal("5.20"), "n": 3, "ok": True, "deep": {"list": [1, "ä", None]}},
    }
    first = await runner.run(RECORD, tenant, [purchase("rich", 1, **rich)])
    assert [outcome.status for outcome in first] == ["ACCEPTED"]
    again = purchase("rich", 1, "12.5", **rich)
    other = purchase("rich", 1, "12.51", **rich)
    outcomes = await runner.run(RECORD, tenant, [again, other])
    assert outcomes[0] == Recorded("DUPLICATE")
    assert isinstance(outcomes[1], Refusal)
    assert outcomes[1].error is INVALID_INPUT
    assert value(world, 1) == Decimal("12.5")


async def test_a_return_finds_its_transaction_and_earlier_returns_stored_or_in_the_same_batch(
    world: World, runner: Runner, tenant: Tenant
) -> None:
    await enrol(world, runner, tenant, [2, 3])
    one_batch = [
        purchase("sale", 2, "100"),
        given_back("r1", 2, "sale", "30"),
        given_back("r2", 2, "sale", "71"),
        given_back("r3", 2, "sale", "70"),
    ]
    together = await runner.run(RECORD, tenant, one_batch)
    apart = []
    for command in one_batch:
        activity = Activity(
            **{
                name: getattr(command.activity, name)
                for name in Activity.__dataclass_fields__
                if name != "customer_id"
            },
            customer_id=3,
        )
        apart += await runner.run(RECORD, tenant, [RecordActivity(activity)])
    for outcomes in (together, apart):
        assert [isinstance(outcome, Refusal) for outcome in outcomes] == [False, False, True, False]
    assert value(world, 2) == value(world, 3) == 0


async def test_two_processes_that_record_for_the_same_customers_lose_nothing(
    world: World, runner: Runner, tenant: Tenant
) -> None:
    customers = list(range(100, 120))
    await enrol(world, runner, tenant, customers)
    others = Runner(database(world.url, Settings()))
    await others.database.open()
    here, there = Coalescer(runner, Settings()), Coalescer(others, Settings())

    def commands(name: str) -> list[RecordActivity]:
        return [purchase(f"{name}-{n}", customers[n % 20], "1") for n in range(400)]

    answers = await asyncio.gather(
        here.submit_all(RECORD, tenant, commands("a")),
        there.submit_all(RECORD, tenant, commands("b")),
        there.submit_all(RECORD, tenant, commands("a")),
    )
    await others.database.close()
    statuses = [outcome.status for outcomes in answers for outcome in outcomes]
    assert (statuses.count("ACCEPTED"), statuses.count("DUPLICATE")) == (800, 400)
    assert {value(world, customer) for customer in customers} == {Decimal(40)}


@pytest.mark.one_server
@pytest.mark.parametrize("size", [1, 10, 300])
async def test_the_number_of_statements_does_not_depend_on_the_size_of_the_batch(
    world: World, runner: Runner, tenant: Tenant, size: int, statements: list[str]
) -> None:
    first = 10_000 * size
    await enrol(world, runner, tenant, range(first, first + size))
    statements.clear()
    commands = [purchase("p", first + n, "1000") for n in range(size)]
    outcomes = await runner.run(RECORD, tenant, commands)
    assert [len(outcome.effects[0].rewards) for outcome in outcomes] == [1] * size
    # Tenant, moment; who, where enrolled, which activities; the progress; claim, reward ids; the save.
    assert len(statements) == 9
    assert LOST not in outcomes
    ids = [outcome.effects[0].rewards[0].id for outcome in outcomes]
    stored = world.run("SELECT reward_id FROM rewards WHERE customer_id >= %(c)s", c=first)
    assert sorted(ids) == sorted(row[0] for row in stored[-size:])  # type: ignore[type-var]


@pytest.mark.one_server
async def test_the_loads_walk_indexes_whatever_the_statistics_say(
    world: World, runner: Runner, tenant: Tenant
) -> None:
    """Planned while the tables were empty or full, each key is one index scan (house law 3)."""
    world.run(
        "INSERT INTO activities SELECT %(org)s, c, 'a' || c, 'RETURN', now(), 'e', 1, 1, NULL, NULL, NULL, "
        "NULL, NULL, 'b', false, 1, 0 FROM generate_series(1000000, 1020000) c"
    )
    keys = list(range(1_000_000, 1_001_000))
    names = [f"a{key}" for key in keys]
    ones = [1] * len(keys)
    for statement, parameters in (
        (activities.ASK_ACTIVITIES, (keys, names, world.org_id)),
        (activities.ASK_RETURNS, (keys, names, world.org_id)),
        (members.ASK_STINTS_OF_CUSTOMERS, (keys, world.org_id)),
        (members.ASK_PROGRESS_OF_CYCLES, (keys, ones, ones, world.org_id)),
        (members.ASK_LEVELS, (keys, ones, world.org_id)),
    ):
        async with runner.database.transaction() as tx:
            await act_for(tx, tenant)
            rows = await tx.ask("EXPLAIN " + statement, parameters).rows()
        plan = "\n".join(row[0] for row in rows)
        scans = re.findall(r"(\w[\w ]* Scan)(?: using (\w+))? on (\w+)", plan)
        assert {scan[0] for scan in scans} <= {"Index Scan", "Function Scan"}, plan
        assert "Nested Loop" in plan
