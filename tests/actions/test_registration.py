"""Registration in batches: statements, races, and what a loser leaves behind."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from psycopg import AsyncConnection

from milepost.actions.customers import REGISTRATION
from milepost.actions.orgs import CreatedOrg, OrgDraft, create_org
from milepost.database import Tenant, database
from milepost.errors import CUSTOMER_EXISTS, Refusal
from milepost.rules.customers import Identifier, Profile, Registered, Registration
from milepost.runner import LOST, Runner
from milepost.settings import Settings

NOW = datetime(2026, 6, 1, tzinfo=UTC)
TABLES = ("customers", "customer_identifiers", "customer_profiles")


@pytest.fixture
async def runner(database_url: str) -> AsyncIterator[Runner]:
    """A runner of the module's database."""
    running = Runner(database(database_url, Settings()))
    await running.database.open()
    yield running
    await running.database.close()


@pytest.fixture
async def tenant(runner: Runner) -> Tenant:
    """A new organisation."""
    made = await create_org(runner, OrgDraft("Test", "UTC"))
    assert isinstance(made, CreatedOrg)
    return Tenant(made.org.org_id, made.org.root_org_id)


def command(*keys: str, source: str = "INSTORE", keep: int | None = None) -> Registration:
    """A registration of externalIds."""
    identifiers = tuple(Identifier("externalId", key) for key in keys)
    return Registration((Profile(source, "", identifiers),), keep)


def rows(database_url: str, tenant: Tenant) -> dict[str, list[tuple[Any, ...]]]:
    with psycopg.connect(database_url) as connection:
        return {
            table: connection.execute(
                f"SELECT * FROM {table} WHERE org_id = %s ORDER BY 2, 3", (tenant.org_id,)
            ).fetchall()
            for table in TABLES
        }


async def test_a_batch_takes_the_same_few_statements_whatever_its_size(
    runner: Runner, database_url: str, tenant: Tenant, statements: list[str]
) -> None:
    joins = [command("1000-0", "j", source="LINE")]
    joins += [command(f"1000-{number}", source="LINE") for number in range(1, 900)]
    batches = [[command(f"{size}-{number}") for number in range(size)] for size in (1, 10, 1_000)]
    await runner.run(REGISTRATION, tenant, [command("the definitions are cached now")])
    for batch in (*batches, joins):
        statements.clear()
        outcomes = await runner.run(REGISTRATION, tenant, batch)
        assert all(isinstance(outcome, Registered) for outcome in outcomes)
        # Tenant, moment; three to load, one to claim, two to save.
        assert len(statements) == 8
    found = rows(database_url, tenant)
    assert [len(found[table]) for table in TABLES] == [1_012, 1_013, 1_912]


async def test_an_import_of_thousands_is_one_batch(
    runner: Runner, tenant: Tenant, database_url: str
) -> None:
    batch = [command(f"a{number}", f"b{number}") for number in range(5_000)]
    outcomes = await runner.run(REGISTRATION, tenant, batch)
    assert len({outcome.customer_id for outcome in outcomes}) == 5_000
    again = await runner.run(REGISTRATION, tenant, batch)
    assert [outcome.subject for outcome in again] == [outcome.customer_id for outcome in outcomes]
    assert len(rows(database_url, tenant)["customers"]) == 5_000


async def test_new_ids_step_over_a_thousand_that_were_moved_in(
    runner: Runner, tenant: Tenant
) -> None:
    (first,) = await runner.run(REGISTRATION, tenant, [command("first")])
    taken = range(first.customer_id + 1, first.customer_id + 1_001)
    await runner.run(REGISTRATION, tenant, [command(f"k{number}", keep=number) for number in taken])
    batch = [command("x", keep=taken.stop), command("y"), command("z")]
    outcomes = await runner.run(REGISTRATION, tenant, batch)
    assert [outcome.customer_id for outcome in outcomes] == [
        taken.stop,
        taken.stop + 1,
        taken.stop + 2,
    ]


@asynccontextmanager
async def meanwhile(
    database_url: str, tenant: Tenant, statement: str, *parameters: object
) -> AsyncIterator[Callable[[Awaitable[Any]], Awaitable[Any]]]:
    """Holds `statement` uncommitted until what is awaited through the yielded function waits for it."""
    async with await AsyncConnection.connect(database_url) as other:
        await other.execute(statement, (tenant.org_id, *parameters))
        mine = other.info.backend_pid

        async def race(work: Awaitable[Any]) -> Any:
            task = asyncio.ensure_future(work)
            async with await AsyncConnection.connect(database_url, autocommit=True) as watching:
                waits = (
                    "SELECT count(*) FROM pg_stat_activity WHERE %s = ANY (pg_blocking_pids(pid))"
                )
                while not task.done():
                    row = await (await watching.execute(waits, (mine,))).fetchone()
                    if row is not None and row[0]:
                        break
            assert not task.done(), "it did not wait"
            await other.commit()
            return await task

        yield race


TAKE = """
INSERT INTO customer_identifiers (org_id, kind, value, customer_id, sources)
VALUES (%s, 'externalId', %s, %s, %s)
"""
TAKE_ID = """
INSERT INTO customers (org_id, customer_id, registered_org_id, loyalty_type, created_at)
VALUES (%s, %s, 1, 'loyalty', now())
"""


async def test_who_loses_an_identifier_leaves_nothing_behind_and_harms_nobody(
    runner: Runner, tenant: Tenant, database_url: str
) -> None:
    (known,) = await runner.run(REGISTRATION, tenant, [command("known")])
    batch = [
        command("a", "hot"),  # loses "hot"
        command("known", "a", source="LINE"),  # the same customer as `known` and as the first: 8006
        command("known", "b", source="JD"),
        command("b", source="JD"),  # 8006 of the one before
        command("c", keep=5),
        command("d", "a", source="TMALL"),  # rests on the first
    ]
    async with meanwhile(database_url, tenant, TAKE, "hot", 77, ["INSTORE"]) as race:
        outcomes = await race(runner.run(REGISTRATION, tenant, batch))
    # What shares anything with the loser is undone with it, what does not has won.
    assert outcomes[:4] == [LOST] * 4
    assert outcomes[4] == Registered(5)
    assert outcomes[5] is LOST
    found = rows(database_url, tenant)
    assert [row[1] for row in found["customers"]] == [5, known.customer_id]
    assert [row[2:] for row in found["customer_identifiers"]] == [
        ("c", 5, ["INSTORE"]),
        ("hot", 77, ["INSTORE"]),
        ("known", known.customer_id, ["INSTORE"]),
    ]
    assert [row[1:3] for row in found["customer_profiles"]] == [
        (5, "INSTORE"),
        (known.customer_id, "INSTORE"),
    ]

    outcomes = await runner.run(REGISTRATION, tenant, batch)
    assert [outcome.subject for outcome in outcomes if isinstance(outcome, Refusal)] == [
        77,
        known.customer_id,
        5,
    ]
    assert outcomes[2] == Registered(known.customer_id, combined=True)


async def test_who_loses_an_id_leaves_nothing_behind(
    runner: Runner, tenant: Tenant, database_url: str
) -> None:
    async with meanwhile(database_url, tenant, TAKE_ID, 423) as race:
        batch = [command("a", keep=423), command("b", keep=424)]
        outcomes = await race(runner.run(REGISTRATION, tenant, batch))
    assert outcomes == [LOST, Registered(424)]
    found = rows(database_url, tenant)
    assert [row[2] for row in found["customer_identifiers"]] == ["b"]
    assert [row[1] for row in found["customer_profiles"]] == [424]
    (again,) = await runner.run(REGISTRATION, tenant, batch[:1])
    assert (again.error, again.subject) == (CUSTOMER_EXISTS, 423)


async def test_a_source_that_comes_meanwhile_loses_and_another_source_does_not(
    runner: Runner, tenant: Tenant, database_url: str
) -> None:
    (made,) = await runner.run(REGISTRATION, tenant, [command("a")])
    add = "UPDATE customer_identifiers SET sources = sources || 'LINE'::text WHERE org_id = %s"
    async with meanwhile(database_url, tenant, add) as race:
        assert await race(runner.run(REGISTRATION, tenant, [command("a", source="JD")])) == [
            Registered(made.customer_id, combined=True)
        ]
    assert rows(database_url, tenant)["customer_identifiers"][0][4] == ["INSTORE", "LINE", "JD"]
    add = add.replace("LINE", "TMALL")
    async with meanwhile(database_url, tenant, add) as race:
        assert await race(runner.run(REGISTRATION, tenant, [command("a", source="TMALL")])) == [
            LOST
        ]
    (again,) = await runner.run(REGISTRATION, tenant, [command("a", source="TMALL")])
    assert (again.error, again.subject) == (CUSTOMER_EXISTS, made.customer_id)


async def test_batches_that_contend_for_the_same_identifiers_end_with_one_customer_each(
    runner: Runner, tenant: Tenant, database_url: str
) -> None:
    names = [f"n{number}" for number in range(40)]

    async def register(turn: int) -> list[Any]:
        shuffled = names[turn:] + names[:turn]
        waiting = [command(name, f"{name}-{turn}") for name in shuffled]
        done: list[Any] = []
        while waiting:
            outcomes = await runner.run(REGISTRATION, tenant, waiting)
            done += [outcome for outcome in outcomes if outcome is not LOST]
            waiting = [one for one, out in zip(waiting, outcomes, strict=True) if out is LOST]
        return done

    results = await asyncio.gather(*(register(turn) for turn in range(8)))
    accepted = [out for done in results for out in done if isinstance(out, Registered)]
    assert len(accepted) == 40
    found = rows(database_url, tenant)
    assert [len(found[table]) for table in TABLES] == [40, 80, 40]
    assert {row[1] for row in found["customers"]} == {
        row[3] for row in found["customer_identifiers"]
    }
