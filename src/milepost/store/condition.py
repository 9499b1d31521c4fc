"""What the database says of its own condition, for `milepost doctor`. As its owner; changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from milepost.database import Tx
from milepost.store.pipeline import ask

# The connection's own beginning tells the server's clock without asking for it.
SERVER = """
SELECT current_setting('server_version'), pg_encoding_to_char(d.encoding),
       current_setting('max_connections')::bigint
           - current_setting('superuser_reserved_connections')::bigint,
       a.backend_start, pg_database_size(d.oid),
       (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend')
FROM pg_stat_activity a JOIN pg_database d ON d.datname = current_database()
WHERE a.pid = pg_backend_pid()
"""

ROLES = """
SELECT k.name, r.oid IS NOT NULL,
       r.oid IS NOT NULL AND pg_has_role(r.oid, 'USAGE'),
       coalesce(r.rolbypassrls OR r.rolsuper, false)
FROM unnest(%b::text[]) AS k (name) LEFT JOIN pg_roles r ON r.rolname = k.name
ORDER BY k.name
"""

ALARMS = """
SELECT count(*) FILTER (WHERE status = 'todo' AND scheduled_at < %b::timestamptz), count(*)
FROM jobs.procrastinate_jobs
"""


@dataclass(frozen=True, slots=True)
class Server:
    """`began_at`: when this connection began, by the server's clock."""

    version: str
    encoding: str
    connections_max: int
    began_at: datetime
    size_bytes: int
    connections: int


@dataclass(frozen=True, slots=True)
class Role:
    """A role of the service's. `usable`: the owner may take it; `unbound`: it bypasses row-level security."""

    name: str
    exists: bool
    usable: bool
    unbound: bool


async def load_server(tx: Tx) -> Server:
    """What server and database are like."""
    return Server(*(await (await ask(tx, SERVER)).rows())[0])


async def load_roles(tx: Tx, names: Sequence[str]) -> list[Role]:
    """Whether the roles are there and can be taken."""
    return [Role(*row) for row in await (await ask(tx, ROLES, list(names))).rows()]


async def load_revision(tx: Tx) -> str:
    """The number of the last migration that was applied; empty: none was."""
    found = await (await ask(tx, "SELECT to_regclass('public.alembic_version') IS NULL")).rows()
    if found[0][0]:
        return ""
    rows = await (await ask(tx, "SELECT version_num::text FROM public.alembic_version")).rows()
    return str(rows[0][0]) if rows else ""


async def load_alarms(tx: Tx, before: datetime) -> tuple[int, int]:
    """Alarms that should have rung before an instant and did not, and all that are set."""
    overdue, alarms = (await (await ask(tx, ALARMS, before)).rows())[0]
    return overdue, alarms
