"""Organisations: their moment (clock and definitions revision), and the operator's view of them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from milepost.database import Tenant, Tx
from milepost.store.pipeline import Reply, ask, tell

# A child has no clock of its own: the root's row has it.
ASK_MOMENT = """
SELECT o.definitions_revision, r.sandbox_now
FROM orgs o JOIN orgs r ON r.org_id = o.root_org_id
WHERE o.org_id = %b
"""

ORG_COLUMNS = """
    o.org_id, o.root_org_id, o.name, o.time_zone, o.sandbox, r.sandbox_now, o.returns_adjust_targets,
    o.revokes_restore_limits, o.default_access_group_id
FROM orgs o JOIN orgs r ON r.org_id = o.root_org_id
"""

# The payload is what `listener.py` reads.
UPDATE_ORG = """
WITH changed AS (
    UPDATE orgs
    SET name = coalesce(%b::text, name),
        returns_adjust_targets = coalesce(%b::boolean, returns_adjust_targets),
        revokes_restore_limits = coalesce(%b::boolean, revokes_restore_limits),
        default_access_group_id = coalesce(%b::bigint, default_access_group_id),
        definitions_revision = definitions_revision + 1
    WHERE org_id = %b
    RETURNING org_id, root_org_id, definitions_revision
)
SELECT pg_notify('milepost_definitions', concat_ws(' ', org_id, root_org_id, definitions_revision))
FROM changed
"""


@dataclass(frozen=True, slots=True)
class Org:
    """An organisation as its operator sees it. `sandbox_now` is its root's clock."""

    org_id: int
    root_org_id: int
    name: str
    time_zone: str
    sandbox: bool
    sandbox_now: datetime | None
    returns_adjust_targets: bool
    revokes_restore_limits: bool
    default_access_group_id: int | None

    @property
    def parent_org_id(self) -> int | None:
        """The parent of a child, None for everybody else."""
        return self.root_org_id if self.root_org_id != self.org_id else None


async def ask_org_moment(tx: Tx, tenant: Tenant) -> Reply:
    """One row: (definitions revision, sandbox clock or null)."""
    return await ask(tx, ASK_MOMENT, tenant.org_id)


async def load_org(tx: Tx, org_id: int) -> Org | None:
    """One organisation, as operator or as itself."""
    rows = await (await ask(tx, f"SELECT {ORG_COLUMNS} WHERE o.org_id = %b", org_id)).rows()
    return Org(*rows[0]) if rows else None


async def load_orgs(tx: Tx) -> list[Org]:
    """Every organisation, oldest first, as operator."""
    rows = await (await ask(tx, f"SELECT {ORG_COLUMNS} ORDER BY o.org_id")).rows()
    return [Org(*row) for row in rows]


async def load_family(tx: Tx, root_org_id: int) -> list[Org]:
    """A root and its children with all there is to say of them, the root first, as operator."""
    reply = await ask(
        tx,
        f"SELECT {ORG_COLUMNS} WHERE o.root_org_id = %b ORDER BY o.org_id <> o.root_org_id, o.org_id",
        root_org_id,
    )
    return [Org(*row) for row in await reply.rows()]


async def load_hierarchy(tx: Tx, root_org_id: int) -> list[Tenant]:
    """A root and its children, the root first, as operator."""
    reply = await ask(
        tx,
        "SELECT org_id, root_org_id FROM orgs WHERE root_org_id = %b ORDER BY org_id <> root_org_id, org_id",
        root_org_id,
    )
    return [Tenant(*row) for row in await reply.rows()]


async def insert_org(
    tx: Tx,
    *,
    name: str,
    time_zone: str,
    parent_org_id: int | None,
    sandbox: bool,
    sandbox_now: datetime | None,
    returns_adjust_targets: bool,
    revokes_restore_limits: bool,
    created_at: datetime,
) -> int:
    """Make an organisation; returns its id. `sandbox_now` only for a sandbox without a parent."""
    reply = await ask(
        tx,
        """
        INSERT INTO orgs (root_org_id, name, time_zone, sandbox, sandbox_now, returns_adjust_targets,
                          revokes_restore_limits, created_at, is_notified, org_id)
        SELECT coalesce(%b, n.id), %b, %b, %b, %b, %b, %b, %b,
               EXISTS (SELECT FROM webhooks WHERE org_id = %b AND active AND hears_children), n.id
        FROM (SELECT nextval('orgs_org_id_seq') AS id) n
        RETURNING org_id
        """,
        parent_org_id, name, time_zone, sandbox, sandbox_now, returns_adjust_targets,
        revokes_restore_limits, created_at, parent_org_id,
    )  # fmt: skip
    org_id: int = (await reply.rows())[0][0]
    return org_id


async def update_org(
    tx: Tx,
    org_id: int,
    *,
    name: str | None,
    returns_adjust_targets: bool | None,
    revokes_restore_limits: bool | None,
    default_access_group_id: int | None,
) -> Org | None:
    """Change what an operator may change, None leaves it; the organisation then, None if unknown.

    The revision rises, for definitions hold what the rules need of their organisation.
    """
    await tell(
        tx,
        UPDATE_ORG,
        name, returns_adjust_targets, revokes_restore_limits, default_access_group_id, org_id,
    )  # fmt: skip
    return await load_org(tx, org_id)


async def move_clock(tx: Tx, root_org_id: int, now: datetime) -> None:
    """Set a sandbox root's clock; the row must be locked and `now` not before it."""
    await tell(tx, "UPDATE orgs SET sandbox_now = %b WHERE org_id = %b", now, root_org_id)


async def lock_clock(tx: Tx, root_org_id: int) -> datetime | None:
    """The clock of a sandbox root, locked until the transaction ends; None for any other."""
    reply = await ask(
        tx, "SELECT sandbox_now FROM orgs WHERE org_id = %b FOR NO KEY UPDATE", root_org_id
    )
    rows = await reply.rows()
    return rows[0][0] if rows else None
