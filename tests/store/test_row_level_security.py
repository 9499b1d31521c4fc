"""Tenancy by the database itself (house law 7): every table, both roles."""

from __future__ import annotations

import psycopg
import pytest

from milepost.database import Tenant
from milepost.distribution import DISTRIBUTED
from milepost.runner import Runner
from milepost.store.pipeline import act_for, tell
from milepost.transaction import Transaction
from tests.store.world import World, make_world

TABLES = """
SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND n.nspname = 'public' AND c.relname <> 'alembic_version' ORDER BY 1
"""
OPERATORS_ONLY = {"credentials", "access_groups", "signing_keys", "revoked_tokens"}
SHARED_BY_HIERARCHY = {"customers", "customer_profiles", "customer_identifiers"}


@pytest.fixture(scope="module")
def other(world: World) -> World:
    """Another organisation of the same database, with rows in every table."""
    made = make_world(world.url, org_id=2)
    for org in (world, made):
        org.register(7)
        org.run("INSERT INTO customer_versions VALUES (%(org)s, 7, 1)")
        org.run("INSERT INTO customer_profiles VALUES (%(org)s, 7, 'INSTORE')")
        org.run(
            "INSERT INTO customer_identifiers VALUES (%(org)s, 'mobile', '911', 7, '{INSTORE}')"
        )
        org.run("INSERT INTO enrolments VALUES (%(org)s, 7, 1, 1, 1, now(), 1, NULL, 1)")
        org.run("INSERT INTO progress VALUES (%(org)s, 7, 1, 1, 1, 1)")
        org.run("INSERT INTO journal VALUES (%(org)s, 7, 1, 0, now(), 'ENROLLED', 'ENROLLED')")
        org.run(
            "INSERT INTO rewards VALUES (%(org)s, 7, 1, 1, 1, 1, NULL, 1, 0, 'r', 'POINTS', 1, NULL, now(), "
            "'ENROLMENT')"
        )
        org.run("INSERT INTO passes VALUES (%(org)s, %(group)s + 1, 'START', now(), 1)")
        org.run(
            "INSERT INTO event_definitions VALUES (%(org)s, 'runLogged', '', '[]', '[]', now(), 1)"
        )
        org.run("INSERT INTO programs VALUES (%(org)s, 469, 'p', now(), 1, now(), 1)")
        org.run("INSERT INTO promotions VALUES (%(org)s, 1, 469, 'p', 'p', '{}')")
        org.run(
            "INSERT INTO promotion_changes VALUES (%(org)s, 1, 1, now(), 'CREATED', '{}', '', 1)"
        )
        org.run("INSERT INTO issuals VALUES (%(org)s, 7, 1, 1, now(), now(), false, 1)")
        org.run("INSERT INTO earns VALUES (%(org)s, 7, 1, 1, 1, now(), now(), 1, 0, 0)")
        org.run("INSERT INTO redemptions VALUES (%(org)s, 7, 1, 'a', 1, now(), now(), 0)")
        org.run("INSERT INTO promotion_usage VALUES (%(org)s, 1, 1, 0, 0, 0)")
        org.run("INSERT INTO rate_usage VALUES (%(org)s, 1, 'POST /v2/customers', now(), 1)")
        org.run("INSERT INTO cycle_ends VALUES (%(org)s, 7, 1, 1, now())")
        org.run("INSERT INTO level_achievements VALUES (%(org)s, 7, 1, 1, 1, 1, now())")
        org.run(
            "INSERT INTO activities (org_id, customer_id, activity_id, type, occurred_at, event_name, "
            "net_amount, gross_amount, version, ordinal) "
            "VALUES (%(org)s, 7, 'a', 'EVENT', now(), 'e', 0, 0, 1, 0)"
        )
        org.run(
            "INSERT INTO imports (org_id, kind, digest, holder, started_at) "
            "VALUES (%(org)s, 'customers', 'd', 'h', now())"
        )
        org.run(
            "INSERT INTO import_results SELECT org_id, import_id, 1, 1, 1, '' FROM imports "
            "WHERE org_id = %(org)s"
        )
        org.run(
            "INSERT INTO simulations (org_id, status, definition, starts_at, ends_at, created_at, "
            "created_by) VALUES (%(org)s, 'DONE', '{}', now(), now(), now(), 1)"
        )
        org.run("INSERT INTO idempotency_keys VALUES (%(org)s, 'key', '', 200, '', now())")
        org.run(
            "INSERT INTO webhooks VALUES (%(org)s, 'a', 'a', true, false, '{}', 'whsec_', NULL, NULL)"
        )
        org.run("INSERT INTO webhook_outbox VALUES (%(org)s, 7, 1)")
        org.run("INSERT INTO webhook_replays VALUES (%(org)s, 'a', now())")
        org.run(
            "INSERT INTO deliveries (org_id, customer_id, webhook_id, source_org_id, version, ordinal, "
            "place, event_id, event_name, request_id, ingested_at, next_attempt_at) VALUES (%(org)s, 7, 'a', "
            "%(org)s, 1, 0, 0, gen_random_uuid(), 'e', 'r', now(), now())"
        )
        org.run(
            "INSERT INTO streak_levels VALUES (%(org)s, %(group)s, 1, 'l', 'l', 1, '[]', now(), 1, now(), 1)"
        )
        org.run("INSERT INTO stores VALUES (%(org)s, 7, 'c', 'n', NULL, NULL, NULL, NULL, now())")
        org.run(
            "INSERT INTO credentials (org_id, kind, name, secret_hash, created_at) "
            "VALUES (%(org)s, 'TILL', 'till.' || %(org)s, 'x', now())"
        )
        org.run(
            "INSERT INTO audit_entries (org_id, at, recorded_at, request_id, action, subject_type, "
            "subject_id, changes) VALUES (%(org)s, now(), now(), '', 'CREATED', 'PROGRAM', '469', '{}')"
        )
        org.run("INSERT INTO erasures VALUES (%(org)s, 8, now(), '\\x00')")
    return made


def tables(world: World) -> list[str]:
    return [str(row[0]) for row in world.run(TABLES)]


def test_every_table_carries_org_id_and_has_row_level_security(world: World) -> None:
    for table in tables(world):
        columns = world.run(
            "SELECT 1 FROM information_schema.columns WHERE table_name = %(t)s AND column_name = 'org_id'",
            t=table,
        )
        assert columns, f"{table} has no org_id"
        assert world.run("SELECT relrowsecurity FROM pg_class WHERE relname = %(t)s", t=table) == [
            (True,)
        ], table


def test_every_per_customer_table_begins_its_primary_key_with_org_and_customer(
    world: World,
) -> None:
    """So it can be distributed by customer_id (house law 8)."""
    keys = world.run(
        """
        SELECT c.relname, array_agg(a.attname ORDER BY k.place) FROM pg_class c
        JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary
        CROSS JOIN LATERAL unnest(i.indkey) WITH ORDINALITY k (attnum, place)
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.attnum
        WHERE EXISTS (SELECT FROM pg_attribute WHERE attrelid = c.oid AND attname = 'customer_id')
        GROUP BY 1
        """
    )
    found = {str(table): list(columns)[:2] for table, columns in keys}  # type: ignore[call-overload]
    # The look-up by identifier is how a customer is found: it cannot be keyed by who it finds.
    assert found.pop("customer_identifiers") == ["org_id", "kind"]
    assert len(found) >= 7
    assert set(map(tuple, found.values())) == {("org_id", "customer_id")}


def test_no_foreign_key_joins_customers_state_to_anything(world: World) -> None:
    rows = world.run(
        """
        SELECT conname FROM pg_constraint WHERE contype = 'f' AND EXISTS (
            SELECT FROM pg_attribute a
            WHERE a.attrelid IN (conrelid, confrelid) AND a.attname = 'customer_id')
        """
    )
    assert rows == []


async def assert_refused(runner: Runner, statement: str, tenant: Tenant | None = None) -> None:
    """The statement is forbidden to the operator, or to a request of a tenant."""

    async def attempt() -> None:
        async with runner.database.transaction(operator=tenant is None) as tx:
            if tenant is not None:
                await act_for(tx, tenant)
            await tx.ask(statement).rows()

    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        await attempt()


async def test_another_organisations_rows_are_invisible_and_cannot_be_written(
    world: World, other: World, runner: Runner
) -> None:
    for table in tables(world):
        if table in OPERATORS_ONLY:
            continue
        async with runner.database.transaction() as tx:
            await act_for(tx, Tenant(world.org_id, world.org_id))
            rows = await tx.ask(f"SELECT DISTINCT org_id FROM {table}").rows()
            assert rows == [(world.org_id,)], table
        # On a distributed database a row without the column that says where it goes goes nowhere.
        place = DISTRIBUTED.get(table)
        names, values = (f", {place}", ", '7'") if place else ("", "")
        written = f"INSERT INTO {table} (org_id{names}) VALUES ({other.org_id}{values})"
        await assert_refused(runner, written, Tenant(world.org_id, world.org_id))


async def test_without_a_tenant_nothing_is_visible(
    world: World, other: World, runner: Runner
) -> None:
    for table in tables(world):
        if table in OPERATORS_ONLY:
            continue
        async with runner.database.transaction() as tx:
            rows = await tx.ask(f"SELECT FROM {table}").rows()
            assert rows == [], table


async def test_a_finished_transaction_leaves_no_tenant_behind(
    world: World, other: World, runner: Runner, tenant: Tenant
) -> None:
    async with runner.database.app.connection() as connection:
        first = Transaction(connection)
        await act_for(first, tenant)
        await first.commit()
        then = Transaction(connection)
        assert await then.ask("SELECT count(*) FROM enrolments").rows() == [(0,)]
        await then.end()


async def test_credentials_and_what_belongs_to_them_are_out_of_reach_of_requests(
    world: World, other: World, runner: Runner, tenant: Tenant
) -> None:
    for table in sorted(OPERATORS_ONLY):
        await assert_refused(runner, f"SELECT FROM {table}", tenant)


async def test_the_journal_and_the_ledger_only_grow(
    world: World, other: World, runner: Runner, tenant: Tenant
) -> None:
    for statement in (
        "UPDATE journal SET what = 'x'",
        "DELETE FROM journal",
        "UPDATE rewards SET value = 0",
        "DELETE FROM rewards",
        "UPDATE audit_entries SET action = 'x'",
        "DELETE FROM audit_entries",
        "DELETE FROM erasures",
    ):
        await assert_refused(runner, statement, tenant)


async def test_the_audit_trail_only_grows_for_the_operator_too(
    world: World, other: World, runner: Runner
) -> None:
    """And of the books an erasure may change what can be personal, and nothing else."""
    for statement in (
        "UPDATE audit_entries SET action = 'x'",
        "DELETE FROM audit_entries",
        "DELETE FROM journal",
        "UPDATE journal SET what = 'x'",
        "UPDATE activities SET net_amount = 0",
        "UPDATE rewards SET value = 0",
        "UPDATE progress SET value = 0",
    ):
        await assert_refused(runner, statement)


async def test_the_salt_of_an_erasure_is_out_of_reach_of_requests(
    world: World, other: World, runner: Runner, tenant: Tenant
) -> None:
    await assert_refused(runner, "SELECT salt FROM erasures", tenant)


async def test_the_role_survives_a_reset(runner: Runner, world: World) -> None:
    """It is the connection's own, so no statement gets the owner back."""
    async with runner.database.transaction() as tx:
        await tell(tx, "RESET ROLE")
        assert await tx.ask("SELECT current_user::text").rows() == [("milepost_app",)]


async def test_an_organisation_reads_the_names_of_its_own_credentials_and_nothing_else_of_them(
    world: World, other: World, runner: Runner, tenant: Tenant
) -> None:
    async with runner.database.transaction() as tx:
        await act_for(tx, tenant)
        rows = await tx.ask("SELECT to_jsonb(c) FROM callers c").rows()
        assert {tuple(sorted(row)) for (row,) in rows} == {("credential_id", "name", "org_id")}
        assert {row["org_id"] for (row,) in rows} == {world.org_id}
    async with runner.database.transaction() as tx:
        assert await tx.ask("SELECT FROM callers").rows() == []
