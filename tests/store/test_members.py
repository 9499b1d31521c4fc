"""The save of a batch: compare-and-set of versions, a constant number of statements, stable plans."""

from __future__ import annotations

import asyncio
import re

import pytest

from milepost.actions.enrolment import ENROLMENT, Command
from milepost.database import Tenant, database
from milepost.errors import ALREADY_ENROLLED, Refusal
from milepost.rules.enrolment import Enrol, Unenrol
from milepost.runner import LOST, Runner
from milepost.settings import Settings
from milepost.store import members
from milepost.store.pipeline import act_for
from tests.store.world import World


def enrol(world: World, customer: int, balance: int | None = 100) -> Enrol:
    return Enrol(world.group_id, world.group_id, customer, "c1", balance)


async def test_an_enrolment_writes_one_row_per_table(
    world: World, runner: Runner, tenant: Tenant
) -> None:
    world.register(1)
    assert await runner.run(ENROLMENT, tenant, [enrol(world, 1)]) == [1]
    for table in ("customer_versions", "enrolments", "progress", "journal"):
        rows = world.run(f"SELECT count(*) FROM {table} WHERE org_id = %(org)s AND customer_id = 1")
        assert rows == [(1,)], table


async def test_a_refused_command_writes_nothing(
    world: World, runner: Runner, tenant: Tenant
) -> None:
    world.register(2)
    commands: list[Command] = [Unenrol(world.group_id, world.group_id, 2), enrol(world, -1)]
    outcomes = await runner.run(ENROLMENT, tenant, commands)
    assert all(isinstance(outcome, Refusal) for outcome in outcomes)
    assert world.run("SELECT FROM customer_versions WHERE customer_id = 2") == []


async def test_of_two_batches_that_loaded_the_same_version_one_loses_and_writes_nothing(
    world: World, runner: Runner, tenant: Tenant
) -> None:
    world.register(3)

    class Late(type(ENROLMENT)):  # type: ignore[misc]
        """Lets another batch commit between its load and its claim."""

        async def claim(self, *rest: object) -> set[int]:
            assert await runner.run(ENROLMENT, tenant, [enrol(world, 3, 200)]) == [3]
            return await super().claim(*rest)  # type: ignore[no-any-return]

    assert await runner.run(Late(), tenant, [enrol(world, 3), enrol(world, 3)]) == [LOST, LOST]
    assert world.run("SELECT value FROM progress WHERE customer_id = 3")[0][0] == 200
    assert world.run("SELECT version FROM customer_versions WHERE customer_id = 3") == [(1,)]


async def test_one_who_loses_does_not_keep_the_others_of_its_batch_from_winning(
    world: World, runner: Runner, tenant: Tenant
) -> None:
    world.register(4, 5)

    class Late(type(ENROLMENT)):  # type: ignore[misc]
        async def claim(self, *rest: object) -> set[int]:
            await runner.run(ENROLMENT, tenant, [enrol(world, 4)])
            return await super().claim(*rest)  # type: ignore[no-any-return]

    assert await runner.run(Late(), tenant, [enrol(world, 4), enrol(world, 5)]) == [LOST, 5]


async def test_batches_over_the_same_customers_in_any_order_never_deadlock(
    world: World, runner: Runner, tenant: Tenant
) -> None:
    customers = list(range(100, 150))
    world.register(*customers)
    batches = [customers, customers[::-1], customers[::2] + customers[1::2]] * 3
    contending = Runner(database(world.url, Settings()))
    await contending.database.open()
    found = await asyncio.gather(
        *(contending.run(ENROLMENT, tenant, [enrol(world, c) for c in batch]) for batch in batches)
    )
    # The runner would try again after a deadlock; the server counts them, and tells when its sessions end.
    await contending.database.close()
    deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    assert world.run(deadlocks) == [(0,)]
    winners = [o for outcomes in found for o in outcomes if isinstance(o, int)]
    assert sorted(winners) == customers
    rest = {o if o is LOST else o.error for outcomes in found for o in outcomes if o not in winners}
    assert rest <= {LOST, ALREADY_ENROLLED}


@pytest.mark.one_server
@pytest.mark.parametrize("size", [1, 10, 200])
async def test_the_number_of_statements_does_not_depend_on_the_size_of_the_batch(
    world: World, runner: Runner, tenant: Tenant, size: int, statements: list[str]
) -> None:
    first = 10_000 * size
    world.register(*range(first, first + size))
    await runner.run(ENROLMENT, tenant, [enrol(world, -1)])  # the definitions are cached now
    statements.clear()
    commands = [enrol(world, first + n, 1000) for n in range(size)]
    assert await runner.run(ENROLMENT, tenant, commands) == list(range(first, first + size))
    # Tenant, moment, three loads; the claim, ids for the rewards; the save.
    assert len(statements) == 8


@pytest.mark.one_server
async def test_the_loads_walk_the_primary_keys_whatever_the_statistics_say(
    world: World, runner: Runner, tenant: Tenant
) -> None:
    """Planned while the tables were empty or full, each key is one index scan (house law 3)."""
    world.run(
        "INSERT INTO progress SELECT %(org)s, c, 1, 1, 1, 1 FROM generate_series(1000000, 1020000) c"
    )
    world.run(
        "INSERT INTO enrolments SELECT %(org)s, c, 1, 1, c, now(), 1, NULL, 1 "
        "FROM generate_series(1000000, 1020000) c"
    )
    keys = list(range(1_000_000, 1_001_000))
    pairs = (keys, [1] * len(keys), world.org_id)
    for statement, parameters in (
        (members.ASK_VERSIONS, (keys, world.org_id, world.org_id)),
        (members.ASK_STINTS, pairs),
        (members.ASK_PROGRESS, pairs),
    ):
        async with runner.database.transaction() as tx:
            await act_for(tx, tenant)
            rows = await tx.ask("EXPLAIN " + statement, parameters).rows()
        plan = "\n".join(row[0] for row in rows)
        assert "Nested Loop" in plan
        scans = re.findall(r"(\w[\w ]* Scan)(?: using (\w+))? on (\w+)", plan)
        assert {scan[0] for scan in scans} <= {"Index Scan", "Index Only Scan", "Function Scan"}, (
            plan
        )
        # Both begin with the organisation and have the customer and the target whole.
        keyed = ("_pkey", "enrolments_of_target")
        assert all(name.endswith(keyed) for _, name, table in scans if name), plan
