"""Which server a row is on, once `milepost distribute` has distributed a database with the Citus extension.

A customer is the boundary of consistency (house law 8), so what is kept of customers goes to the workers by
their ids, and all of one customer lies on one of them. Definitions are few, and copied to every server. What
is nobody's in particular stays on the coordinator, which every service talks to.
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterator
from dataclasses import dataclass

import psycopg

from milepost.migrate import LOCK_KEY, answer_of, newest_revision, why

Owner = psycopg.Connection[tuple[object, ...]]

SHARDS = 12
"""Parts of the customers, which can be moved from server to server: as many for each of 2, 3, 4, 6 or 12."""
ROLES = ("milepost_app", "milepost_operator")

REFERENCE = (
    "target_groups",
    "target_periods",
    "targets",
    "target_values",
    "streak_levels",
    "programs",
    "promotions",
    "event_definitions",
)
"""Copied to every server, each after those that its foreign keys point to."""

DISTRIBUTED = {
    "customer_versions": "customer_id",
    "customers": "customer_id",
    "customer_profiles": "customer_id",
    "erasures": "customer_id",
    "enrolments": "customer_id",
    "progress": "customer_id",
    "level_achievements": "customer_id",
    "cycle_ends": "customer_id",
    "activities": "customer_id",
    "journal": "customer_id",
    "rewards": "customer_id",
    "issuals": "customer_id",
    "earns": "customer_id",
    "redemptions": "customer_id",
    # How a customer is found: by what nobody knows the customer of.
    "customer_identifiers": "value",
}
"""Divided among the workers by a column. Those with the same one lie together, row beside row."""

LOCAL = (
    # Read first by every batch, and written by functions that act as the owner.
    "orgs",
    # Who calls.
    "credentials",
    "access_groups",
    "stores",
    "signing_keys",
    "revoked_tokens",
    "rate_usage",
    "idempotency_keys",
    # One row for all customers together.
    "promotion_usage",
    # How far work is, and the queue of deliveries.
    "passes",
    "imports",
    "import_results",
    "simulations",
    "webhooks",
    "webhook_outbox",
    "webhook_replays",
    "deliveries",
    # What was changed, by whom.
    "promotion_changes",
    "audit_entries",
    "alembic_version",
)
"""On the coordinator alone, as on one server; so is the schema `jobs`."""

TABLES = """
SELECT relname FROM pg_class
WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND relname <> ALL (%s)
  AND NOT EXISTS (
    SELECT FROM pg_depend WHERE classid = 'pg_class'::regclass AND objid = pg_class.oid AND deptype = 'e')
ORDER BY relname
"""
FOREIGN_KEYS = """
SELECT k.conname, t.relname, r.relname
FROM pg_constraint k JOIN pg_class t ON t.oid = k.conrelid JOIN pg_class r ON r.oid = k.confrelid
WHERE k.contype = 'f' AND t.relnamespace = 'public'::regnamespace
ORDER BY t.relname, k.conname
"""
# What Citus leaves of a table on the coordinator when it copies the rows to their servers.
LEFT_BEHIND = """
SELECT p.logicalrelid::regclass::text, pg_relation_size(p.logicalrelid) > 0
FROM pg_dist_partition p JOIN pg_class c ON c.oid = p.logicalrelid
WHERE c.relnamespace = 'public'::regnamespace
"""
SERVICES = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND application_name = ANY (%s)
"""
ROLE_SETTINGS = """
SELECT r.rolname, r.rolcanlogin, coalesce(s.setconfig, '{}')
FROM pg_roles r LEFT JOIN pg_db_role_setting s ON s.setrole = r.oid AND s.setdatabase = 0
WHERE r.rolname = ANY (%s) ORDER BY r.rolname
"""
ON_WORKERS = {"jit": "off", "lock_timeout": "5s", "timezone": "UTC"}
"""What a session of a role is set to on a worker, where it does not bring what the service sets it to."""


class DistributionError(RuntimeError):
    """The database cannot be distributed as it is; the message says what to do."""


@dataclass(frozen=True, slots=True)
class _Found:
    """What there is: foreign keys (name, of, to); by distributed table, whether rows were left behind; of
    each role, whether it may log in, and its settings.
    """

    foreign_keys: Collection[tuple[str, str, str]]
    distributed: dict[str, bool]
    roles: Collection[tuple[str, bool, Collection[str]]]


def distribute(
    url: str, *, shards: int = SHARDS, dry_run: bool = False
) -> Generator[str, None, None]:
    """Distribute the migrated database at `url`, the coordinator's, as its owner; yields each statement
    before it is run, or only that.

    Each is a transaction of its own: what is done stays done, and the next run goes on from there. Raises
    `DistributionError` where something has to be done first, and where a statement fails.
    """
    try:
        connecting = psycopg.connect(url, autocommit=True, connect_timeout=10)
    except psycopg.Error as error:
        raise DistributionError(f"cannot reach the database: {why(error)}") from None
    with connecting as connection:
        if not answer_of(connection, "SELECT pg_try_advisory_lock(%s)", LOCK_KEY):
            raise DistributionError("another process is migrating or distributing the database")
        _check(connection, dry_run=dry_run)
        found = _look(connection)
        for statement in _statements(found, shards):
            yield statement
            if not dry_run:
                try:
                    connection.execute(statement.encode())
                except psycopg.Error as error:
                    raise DistributionError(
                        f"{str(error).strip()}\nwhile running: {statement}"
                    ) from None


def _check(connection: Owner, *, dry_run: bool) -> None:
    has_citus = answer_of(connection, "SELECT to_regclass('pg_catalog.pg_dist_node') IS NOT NULL")
    if has_citus and answer_of(connection, "SELECT groupid <> 0 FROM pg_dist_local_group"):
        raise DistributionError("this server is a worker: give the coordinator's --database-url")
    if answer_of(connection, "SELECT to_regclass('public.alembic_version') IS NULL") or (
        answer_of(connection, "SELECT version_num::text FROM public.alembic_version")
        != newest_revision()
    ):
        raise DistributionError(
            "the database is not at this release's schema: run milepost migrate"
        )
    if not has_citus:
        raise DistributionError(
            "the database has no Citus extension: as a superuser, on every server, CREATE EXTENSION citus"
        )
    if not answer_of(connection, "SELECT EXISTS (SELECT FROM pg_dist_node WHERE groupid = 0)"):
        raise DistributionError(
            "the workers don't know this server: on the coordinator, as a superuser, "
            "SELECT citus_set_coordinator_host('its name', its port)"
        )
    if not answer_of(
        connection, "SELECT EXISTS (SELECT FROM pg_dist_node WHERE isactive AND shouldhaveshards)"
    ):
        raise DistributionError(
            "there is no worker: as a superuser, on the coordinator, SELECT citus_add_node('name', port)"
        )
    if not dry_run and answer_of(connection, SERVICES, [*ROLES, "milepost_listener"]):
        raise DistributionError(
            "a service is connected to the database: stop every one, and try again"
        )


def _look(connection: Owner) -> _Found:
    def rows(statement: str, *parameters: object) -> list[tuple[object, ...]]:
        return connection.execute(statement.encode(), parameters).fetchall()

    known = [*REFERENCE, *DISTRIBUTED, *LOCAL]
    if unknown := rows(TABLES, known):
        raise DistributionError(f"nobody has said where the table {unknown[0][0]} belongs")
    return _Found(
        [(str(name), str(of), str(to)) for name, of, to in rows(FOREIGN_KEYS)],
        {str(table): bool(left) for table, left in rows(LEFT_BEHIND)},
        [
            (str(role), bool(login), [str(each).lower() for each in settings])  # type: ignore[attr-defined]
            for role, login, settings in rows(ROLE_SETTINGS, list(ROLES))
        ],
    )


def _statements(found: _Found, shards: int) -> Iterator[str]:
    """What is left to do, in an order in which each can be run."""
    # Citus knows no key from a copied table to one that is on the coordinator only, nor the other way.
    for name, of, to in found.foreign_keys:
        if _place(of) != _place(to):
            yield f"ALTER TABLE {of} DROP CONSTRAINT {name}"
    to_do = [table for table in (*REFERENCE, *DISTRIBUTED) if table not in found.distributed]
    for table in to_do:
        yield _distribution(table, shards)
    for table in reversed((*REFERENCE, *DISTRIBUTED)):
        if table in to_do or found.distributed.get(table):
            yield f"SELECT truncate_local_data_after_distributing_table('{table}')"
    # Citus connects to a worker as whoever asks the coordinator. Last, for it copies roles as they are.
    for role, may_log_in, settings in found.roles:
        if not may_log_in:
            yield f"ALTER ROLE {role} LOGIN"
        for name, value in ON_WORKERS.items():
            if f"{name}={value}".lower() not in settings:
                yield f"ALTER ROLE {role} SET {name} = '{value}'"
    if to_do:
        yield f"ANALYZE {', '.join(to_do)}"


def _distribution(table: str, shards: int) -> str:
    if table in REFERENCE:
        return f"SELECT create_reference_table('{table}')"
    column = DISTRIBUTED[table]
    first = next(each for each, by in DISTRIBUTED.items() if by == column)
    beside = f"'none', shard_count => {shards}" if table == first else f"'{first}'"
    return f"SELECT create_distributed_table('{table}', '{column}', colocate_with => {beside})"


def _place(table: str) -> str:
    if table in REFERENCE:
        return "reference"
    return DISTRIBUTED.get(table, "local")
