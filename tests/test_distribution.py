"""`milepost distribute`: every table has a place, and what cannot be distributed as it is gets told why.

What needs a Citus cluster runs where `MILEPOST_TEST_CITUS_URL` names one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import psycopg
import pytest
from typer.testing import CliRunner

from milepost.cli import app
from milepost.database import Tenant, database
from milepost.distribution import DISTRIBUTED, LOCAL, REFERENCE, DistributionError, distribute
from milepost.migrate import migrate
from milepost.settings import Settings
from milepost.store import holdings, members, passes
from milepost.store.pipeline import act_for
from milepost.store.shards import as_on_shards
from tests.citus import SHARDS, citus_database
from tests.harness import ADMIN_TOKEN, Service, assert_rebuilt

TABLES = "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')"
UNIQUE = """
SELECT t.relname, i.indexrelid::regclass::text, array_agg(a.attname)::text[]
FROM pg_index i JOIN pg_class t ON t.oid = i.indrelid
JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
WHERE i.indisunique AND t.relname = ANY (%s) GROUP BY 1, 2
"""
KEYS = """
SELECT t.relname, r.relname FROM pg_constraint k
JOIN pg_class t ON t.oid = k.conrelid JOIN pg_class r ON r.oid = k.confrelid
WHERE k.contype = 'f' AND t.relnamespace = 'public'::regnamespace
"""


@pytest.mark.one_server
def test_every_table_has_exactly_one_place(database_url: str) -> None:
    placed = [*REFERENCE, *DISTRIBUTED, *LOCAL]
    with psycopg.connect(database_url) as connection:
        tables = {name for (name,) in connection.execute(TABLES)}
    assert set(placed) == tables, "say in distribution.py where the table belongs"
    assert len(placed) == len(set(placed))


@pytest.mark.one_server
def test_whatever_is_unique_in_a_distributed_table_is_so_within_one_place(
    database_url: str,
) -> None:
    """Citus refuses any other index: nobody could hold it without asking every server."""
    with psycopg.connect(database_url) as connection:
        found = connection.execute(UNIQUE, (list(DISTRIBUTED),)).fetchall()
    assert len(found) >= len(DISTRIBUTED)
    for table, index, columns in found:
        assert DISTRIBUTED[table] in columns, index


@pytest.mark.one_server
def test_the_foreign_keys_that_a_distributed_database_does_without_are_known(
    database_url: str,
) -> None:
    def place(table: str) -> str:
        return "reference" if table in REFERENCE else DISTRIBUTED.get(table, "local")

    with psycopg.connect(database_url) as connection:
        keys = connection.execute(KEYS).fetchall()
    crossing = {(of, to) for of, to in keys if place(of) != place(to)}
    # Each of the three is upheld without it: organisations and periods are never deleted.
    assert crossing == {
        ("target_groups", "orgs"),
        ("programs", "orgs"),
        ("passes", "target_periods"),
    }


@pytest.mark.one_server
def test_a_database_without_the_extension_is_refused_with_what_to_do(database_url: str) -> None:
    with pytest.raises(DistributionError, match="CREATE EXTENSION citus"):
        list(distribute(database_url))


@pytest.mark.one_server
def test_a_database_that_is_not_migrated_is_refused_with_what_to_do(server_url: str) -> None:
    with pytest.raises(DistributionError, match="milepost migrate"):
        list(distribute(server_url, dry_run=True))


def test_fences_come_down_where_rows_are_on_workers_and_stay_where_they_are_not() -> None:
    assert "OFFSET 0" in members.ASK_STINTS
    assert "OFFSET 0" not in as_on_shards(members.ASK_STINTS)
    assert "e.customer_id = ANY ($1::bigint[])" in as_on_shards(members.ASK_STINTS)
    assert as_on_shards(passes.ASK_PASSES) == passes.ASK_PASSES
    assert (
        as_on_shards("SELECT 1 FROM orders LIMIT %b OFFSET 0")
        == "SELECT 1 FROM orders LIMIT %b OFFSET 0"
    )


@pytest.fixture(scope="module")
def engine() -> Iterator[str]:
    """An engine on one server of the cluster, with the extension, and with customers who are enrolled."""
    with citus_database(os.environ["MILEPOST_TEST_CITUS_URL"]) as url:
        migrate(url)
        with Service(Settings(database_url=url, admin_token=ADMIN_TOKEN)) as service:
            org = service.new_org()
            group = org.define(
                name="Spend 100", active=True, trackingType="DEFAULT", preferredTillId=1,
                targetEvaluationType="FIXED_CALENDAR_WINDOW", frequencyType="MONTHLY", frequency=1,
                totalPeriods=3, recurringCycles=3,
                targets=[{"name": "t", "targetEntity": "TRANSACTION", "targetType": "SALES",
                          "defaultValues": [{"defaultValue": 100}]}],
            )  # fmt: skip
            for customer in range(1, 21):
                org.register(customer)
                target = group["targets"][0]["id"]
                assert org.enrol(group["id"], target, customer, initialBalance=5).status_code == 200
        yield url


def rows(url: str) -> dict[str, int]:
    with psycopg.connect(url, autocommit=True) as connection:
        return {
            table: connection.execute(f"SELECT count(*) FROM {table}".encode()).fetchall()[0][0]
            for table in (*REFERENCE, *DISTRIBUTED, *LOCAL)
        }


@pytest.mark.citus
def test_an_engine_is_distributed_with_all_that_it_has_and_a_second_time_nothing_happens(
    engine: str,
) -> None:
    before = rows(engine)
    assert before["enrolments"] == 20
    command = ["distribute", "--shards", str(SHARDS), "--database-url", engine]
    dry = CliRunner().invoke(app, [*command, "--dry-run"])
    assert dry.exit_code == 0
    with psycopg.connect(engine, autocommit=True) as connection:
        assert connection.execute("SELECT count(*) FROM pg_dist_partition").fetchall() == [(0,)]
    done = CliRunner().invoke(app, command)
    assert (done.exit_code, done.stdout) == (0, dry.stdout)
    assert rows(engine) == before
    with psycopg.connect(engine, autocommit=True) as connection:
        placed: dict[str, str] = dict(
            connection.execute(
                "SELECT table_name::text, coalesce(nullif(distribution_column, '<none>'), citus_table_type) "
                "FROM citus_tables"
            ).fetchall()
        )
    assert placed == {**DISTRIBUTED, **dict.fromkeys(REFERENCE, "reference")}
    again = CliRunner().invoke(app, command)
    assert (again.exit_code, again.stdout) == (
        0,
        "-- The database is distributed: there is nothing to do.\n",
    )
    assert_rebuilt(engine)


@pytest.mark.citus
def test_an_interrupted_distribution_goes_on_where_it_was() -> None:
    with citus_database(os.environ["MILEPOST_TEST_CITUS_URL"]) as url:
        migrate(url)
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(
                "INSERT INTO customers SELECT 1, n, 1, 'loyalty', now() FROM generate_series(1, 100) n"
            )
            statements = distribute(url, shards=SHARDS)
            first = [next(statements) for _ in range(15)]
            statements.close()
            assert any("'customers'" in each for each in first[:-1])
            left = list(distribute(url, shards=SHARDS))
            assert left[0] == first[-1]
            assert "SELECT truncate_local_data_after_distributing_table('customers')" in left
            assert list(distribute(url, shards=SHARDS)) == []
            found = connection.execute(
                "SELECT count(*), pg_relation_size('customers') FROM customers"
            )
            assert found.fetchall() == [(100, 0)]


@pytest.mark.citus
def test_nothing_is_distributed_under_a_service(engine: str) -> None:
    with (
        Service(Settings(database_url=engine, admin_token=ADMIN_TOKEN)),
        pytest.raises(DistributionError, match="stop every one"),
    ):
        list(distribute(engine))


@pytest.mark.citus
def test_a_later_migration_reaches_the_workers(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("ALTER TABLE progress ADD COLUMN tried integer")
        connection.execute("CREATE INDEX progress_tried ON progress (org_id, customer_id, tried)")
        found = connection.execute(
            "SELECT DISTINCT result FROM run_command_on_shards('progress', "
            "'SELECT count(*) FROM pg_attribute WHERE attrelid = ''%s''::regclass AND attname = ''tried''')"
        ).fetchall()
    assert found == [("1",)]


@pytest.mark.citus
async def test_one_customer_is_asked_of_one_shard(database_url: str) -> None:
    reached = database(database_url, Settings())
    await reached.open()
    try:
        for statement, parameters in (
            (members.ASK_VERSIONS, ([5], 1, 1)),
            (members.ASK_KEPT_VERSIONS, ([5], 1)),
            (members.ASK_STINTS, ([5], [1], 1)),
            (holdings.ASK_COUNTS, ([5], [1], 1, 1)),
        ):
            async with reached.transaction() as tx:
                await act_for(tx, Tenant(1, 1))
                plan = await tx.ask(f"EXPLAIN {as_on_shards(statement)}", parameters).rows()
            counts = {row[0].strip() for row in plan if "Task Count" in row[0]}
            assert counts == {"Task Count: 1"}, plan
    finally:
        await reached.close()
