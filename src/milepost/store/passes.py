"""Due work of dated cycles: what is unfinished, and how far the enrolled have been gone through.

A *pass* is one piece of due work of a period, on its way through the enrolled customers of the group in
the order of their ids. Its row is compared and set with each batch, in the batch's own transaction.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from milepost.database import Tenant, Tx
from milepost.rules.due import Due
from milepost.rules.effects import OwnCycleEnd
from milepost.store.pipeline import Reply, Rows, ask, tell
from milepost.store.shards import on_shards

_INT64_MIN = -(2**63)

# What `rules/due.py` says, as far as columns can tell; it has the last word. A period that a previous
# release wrote has no closes_at: it may be due from its end on.
_UNFINISHED = """
FROM target_periods p
CROSS JOIN LATERAL (
    SELECT g.tracking_type FROM target_groups g
    WHERE g.org_id = p.org_id AND g.target_group_id = p.target_group_id
      AND g.deleted_at IS NULL AND g.evaluation_type = 'FIXED_CALENDAR_WINDOW' OFFSET 0
) AS g
CROSS JOIN LATERAL (
    VALUES ('START', p.starts_at), ('END', p.ends_at), ('SETTLE', coalesce(p.closes_at, p.ends_at))
) AS d (kind, due_at)
LEFT JOIN LATERAL (
    SELECT q.finished_at FROM passes q
    WHERE q.org_id = p.org_id AND q.period_id = p.period_id AND q.kind = d.kind OFFSET 0
) AS q ON true
WHERE p.org_id = {org} AND p.starts_at <= %b AND d.due_at <= %b
  AND (p.created_at < d.due_at OR d.kind = 'SETTLE' AND p.closes_at IS NULL)
  AND (d.kind <> 'END' OR g.tracking_type = 'STREAKS')
  AND q.finished_at IS NULL
"""

ASK_UNFINISHED = f"SELECT p.period_id, d.kind {_UNFINISHED.format(org='%b')}"

ASK_ORGS_WITH_DUE_WORK = f"""
SELECT o.org_id, o.root_org_id FROM orgs o
WHERE NOT o.sandbox AND (
    EXISTS (SELECT {_UNFINISHED.format(org="o.org_id")})
    OR EXISTS (SELECT FROM cycle_ends c WHERE c.org_id = o.org_id AND c.due_at <= %b)
    OR EXISTS (
        SELECT FROM issuals i
        WHERE i.org_id = o.org_id AND i.expires_at <= %b AND i.ended_at IS NULL AND NOT i.is_dummy
    )
    OR EXISTS (
        SELECT FROM earns e WHERE e.org_id = o.org_id AND e.expires_at <= %b AND e.ended_at IS NULL
    )
)
ORDER BY o.org_id
"""  # noqa: S608 - ours

# There each table is gone through by itself, and organisations are found in what came of that.
_DUE_NOW = """(
    SELECT org_id FROM cycle_ends WHERE due_at <= %b
    UNION SELECT org_id FROM issuals WHERE expires_at <= %b AND ended_at IS NULL AND NOT is_dummy
    UNION SELECT org_id FROM earns WHERE expires_at <= %b AND ended_at IS NULL
)"""
on_shards(
    ASK_ORGS_WITH_DUE_WORK,
    f"""
WITH unfinished AS MATERIALIZED (
    SELECT DISTINCT p.org_id {_UNFINISHED.format(org="p.org_id").replace(" OFFSET 0", "")}
), due AS MATERIALIZED {_DUE_NOW}
SELECT o.org_id, o.root_org_id FROM orgs o
WHERE NOT o.sandbox AND (
    o.org_id IN (SELECT org_id FROM unfinished) OR o.org_id IN (SELECT org_id FROM due)
)
ORDER BY o.org_id
""",  # noqa: S608 - ours
)

ASK_OLDEST_DUE = f"""
SELECT min(least(
    (SELECT min(d.due_at) {_UNFINISHED.format(org="o.org_id")}),
    (SELECT min(c.due_at) FROM cycle_ends c WHERE c.org_id = o.org_id AND c.due_at <= %b),
    (SELECT min(i.expires_at) FROM issuals i
     WHERE i.org_id = o.org_id AND i.expires_at <= %b AND i.ended_at IS NULL AND NOT i.is_dummy),
    (SELECT min(e.expires_at) FROM earns e
     WHERE e.org_id = o.org_id AND e.expires_at <= %b AND e.ended_at IS NULL)
))
FROM orgs o WHERE NOT o.sandbox
"""  # noqa: S608 - ours

on_shards(
    ASK_OLDEST_DUE,
    f"""
WITH unfinished AS MATERIALIZED (
    SELECT p.org_id, min(d.due_at) AS due_at
    {_UNFINISHED.format(org="p.org_id").replace(" OFFSET 0", "")} GROUP BY p.org_id
), ends AS MATERIALIZED (
    SELECT org_id, min(due_at) AS due_at FROM cycle_ends WHERE due_at <= %b GROUP BY org_id
), issued AS MATERIALIZED (
    SELECT org_id, min(expires_at) AS due_at FROM issuals
    WHERE expires_at <= %b AND ended_at IS NULL AND NOT is_dummy GROUP BY org_id
), earned AS MATERIALIZED (
    SELECT org_id, min(expires_at) AS due_at FROM earns
    WHERE expires_at <= %b AND ended_at IS NULL GROUP BY org_id
)
SELECT min(d.due_at) FROM (
    SELECT * FROM unfinished UNION ALL SELECT * FROM ends
    UNION ALL SELECT * FROM issued UNION ALL SELECT * FROM earned
) AS d
WHERE d.org_id IN (SELECT org_id FROM orgs WHERE NOT sandbox)
""",  # noqa: S608 - ours
)

ASK_PASSES = """
SELECT k.period_id, k.kind, p.step, p.cursor_customer_id, p.pending, p.finished_at IS NOT NULL
FROM unnest(%b::bigint[], %b::text[]) AS k (period_id, kind)
CROSS JOIN LATERAL (
    SELECT * FROM passes p
    WHERE p.org_id = %b AND p.period_id = k.period_id AND p.kind = k.kind OFFSET 0
) AS p
"""

# Each target is asked for a whole page, so fewer customers than that are the last ones.
ASK_PAGE = """
SELECT DISTINCT e.customer_id
FROM unnest(%b::bigint[]) AS k (target_id)
CROSS JOIN LATERAL (
    SELECT DISTINCT e.customer_id FROM enrolments e
    WHERE e.org_id = %b AND e.target_id = k.target_id AND e.customer_id > %b
    ORDER BY e.customer_id LIMIT %b
) AS e
ORDER BY e.customer_id LIMIT %b
"""

# On shards each of them answers for the customers that it has.
on_shards(
    ASK_PAGE,
    """
WITH asked AS MATERIALIZED (
    SELECT %b::bigint[] AS targets, %b::bigint AS org_id, %b::bigint AS after, %b::integer AS size
)
SELECT DISTINCT e.customer_id FROM enrolments e
WHERE e.org_id = (SELECT org_id FROM asked) AND e.target_id = ANY ((SELECT targets FROM asked)::bigint[])
  AND e.customer_id > (SELECT after FROM asked)
ORDER BY e.customer_id LIMIT %b
""",
)

# Each kind is asked for a whole batch, of which those come first that fell due first.
ASK_CUSTOMERS_WITH_OWN = """
SELECT DISTINCT o.customer_id FROM (
    SELECT o.customer_id FROM (
        (SELECT customer_id, due_at FROM cycle_ends
         WHERE org_id = %b AND due_at <= %b ORDER BY due_at LIMIT %b)
        UNION ALL
        (SELECT customer_id, expires_at FROM issuals
         WHERE org_id = %b AND expires_at <= %b AND ended_at IS NULL AND NOT is_dummy
         ORDER BY expires_at LIMIT %b)
        UNION ALL
        (SELECT customer_id, expires_at FROM earns
         WHERE org_id = %b AND expires_at <= %b AND ended_at IS NULL ORDER BY expires_at LIMIT %b)
    ) AS o
    ORDER BY o.due_at LIMIT %b
) AS o
ORDER BY o.customer_id
"""

ASK_ENDS = """
SELECT k.customer_id, c.target_id, c.period_id, c.due_at
FROM unnest(%b::bigint[]) AS k (customer_id)
CROSS JOIN LATERAL (
    SELECT * FROM cycle_ends c
    WHERE c.org_id = %b AND c.customer_id = k.customer_id AND c.due_at <= %b OFFSET 0
) AS c
"""

CLAIM = """
INSERT INTO passes AS p (org_id, period_id, kind, due_at, step)
SELECT %b, k.period_id, k.kind, k.due_at, k.step + 1
FROM unnest(%b::bigint[], %b::text[], %b::timestamptz[], %b::integer[]) AS k (period_id, kind, due_at, step)
ORDER BY k.period_id, k.kind
ON CONFLICT (org_id, period_id, kind) DO UPDATE SET step = excluded.step, due_at = excluded.due_at
    WHERE p.step = excluded.step - 1 AND p.finished_at IS NULL
RETURNING p.period_id
"""

# By the primary key's index, as every other write: the rows are there since the claim.
SAVE = """
INSERT INTO passes AS p (org_id, period_id, kind, due_at, step, cursor_customer_id, pending, finished_at)
SELECT %b, k.period_id, k.kind, k.due_at, k.step, %b::bigint, %b::bigint[], %b::timestamptz
FROM unnest(%b::bigint[], %b::text[], %b::timestamptz[], %b::integer[]) AS k (period_id, kind, due_at, step)
ON CONFLICT (org_id, period_id, kind) DO UPDATE
SET cursor_customer_id = excluded.cursor_customer_id, pending = excluded.pending,
    finished_at = excluded.finished_at
"""

DELETE_ENDS = """
DELETE FROM cycle_ends WHERE ctid = ANY (ARRAY(
    SELECT c.ctid
    FROM unnest(%b::bigint[], %b::bigint[], %b::bigint[]) AS k (customer_id, target_id, period_id)
    CROSS JOIN LATERAL (
        SELECT c.ctid FROM cycle_ends c
        WHERE c.org_id = %b AND c.customer_id = k.customer_id AND c.target_id = k.target_id
          AND c.period_id = k.period_id OFFSET 0
    ) AS c
))
"""
on_shards(
    DELETE_ENDS,
    """
DELETE FROM cycle_ends c
USING unnest(%b::bigint[], %b::bigint[], %b::bigint[]) AS k (customer_id, target_id, period_id)
WHERE c.org_id = %b AND c.customer_id = k.customer_id AND c.target_id = k.target_id
  AND c.period_id = k.period_id
""",
)


@dataclass(frozen=True, slots=True)
class Pass:
    """How far a pass is. `step` is 0 before its first batch; `cursor` None before its first customer."""

    step: int = 0
    cursor: int | None = None
    pending: tuple[int, ...] = ()
    finished: bool = False


async def load_unfinished(tx: Tx, tenant: Tenant, to: datetime) -> set[tuple[int, str]]:
    """The keys of what may have fallen due in an organisation up to `to`, and is not finished."""
    rows = await (await ask(tx, ASK_UNFINISHED, tenant.org_id, to, to)).rows()
    return {(period_id, kind) for period_id, kind in rows}


async def load_orgs_with_due_work(tx: Tx, now: datetime) -> list[Tenant]:
    """The organisations, sandboxes left out, in which something is due at `now`; as operator."""
    rows = await (await ask(tx, ASK_ORGS_WITH_DUE_WORK, now, now, now, now, now)).rows()
    return [Tenant(*row) for row in rows]


async def load_oldest_due(tx: Tx, now: datetime) -> datetime | None:
    """Since when the oldest due work of all organisations, sandboxes left out, has been due; as operator."""
    rows = await (await ask(tx, ASK_OLDEST_DUE, now, now, now, now, now)).rows()
    oldest: datetime | None = rows[0][0]
    return oldest


async def ask_passes(tx: Tx, tenant: Tenant, dues: Sequence[Due]) -> Reply:
    """The passes of due work that have begun, for `read_passes`."""
    return await ask(
        tx, ASK_PASSES, [due.period_id for due in dues], [due.kind for due in dues], tenant.org_id
    )


def read_passes(rows: Rows) -> dict[tuple[int, str], Pass]:
    """Passes by the key of their work; one that has not begun is missing."""
    return {
        (period_id, kind): Pass(step, cursor, tuple(pending), finished)
        for period_id, kind, step, cursor, pending, finished in rows
    }


async def load_page(
    tx: Tx, tenant: Tenant, target_ids: Sequence[int], after: int | None, size: int
) -> list[int]:
    """The next `size` customers who ever were enrolled in any of the targets, by id; fewer: the last."""
    cursor = _INT64_MIN if after is None else after
    reply = await ask(tx, ASK_PAGE, target_ids, tenant.org_id, cursor, size, size)
    return [row[0] for row in await reply.rows()]


async def load_customers_with_own(tx: Tx, tenant: Tenant, to: datetime, size: int) -> list[int]:
    """Customers of whom something of their own is due at `to`, the end of a cycle or an expiry: those of
    the `size` that fell due first.
    """
    due = (tenant.org_id, to, size)
    rows = await (await ask(tx, ASK_CUSTOMERS_WITH_OWN, *due, *due, *due, size)).rows()
    return [row[0] for row in rows]


async def ask_ends(tx: Tx, tenant: Tenant, customers: Sequence[int], to: datetime) -> Reply:
    """What is due at `to` of the customers' own cycles, for `read_ends`."""
    return await ask(tx, ASK_ENDS, customers, tenant.org_id, to)


def read_ends(rows: Rows) -> dict[int, list[OwnCycleEnd]]:
    """Ends of own cycles by customer id."""
    found: dict[int, list[OwnCycleEnd]] = {}
    for customer, *columns in rows:
        found.setdefault(customer, []).append(OwnCycleEnd(*columns))
    return found


async def claim_passes(tx: Tx, tenant: Tenant, dues: Sequence[tuple[Due, Pass]]) -> bool:
    """Take the next step of passes, from where they were loaded; False if any is elsewhere by now."""
    reply = await ask(tx, CLAIM, tenant.org_id, *_columns(dues))
    return len(await reply.rows()) == len(dues)


async def save_passes(
    tx: Tx,
    tenant: Tenant,
    dues: Sequence[tuple[Due, Pass]],
    cursor: int | None,
    pending: Sequence[int],
    finished_at: datetime | None,
) -> None:
    """Say how far claimed passes are now."""
    await tell(tx, SAVE, tenant.org_id, cursor, list(pending), finished_at, *_columns(dues))


async def delete_ends(tx: Tx, tenant: Tenant, ends: Iterable[tuple[int, OwnCycleEnd]]) -> None:
    """Forget ends of own cycles, each with its customer's id, that are settled."""
    rows = [(customer, end.target_id, end.period_id) for customer, end in ends]
    if rows:
        await tell(tx, DELETE_ENDS, *map(list, zip(*rows, strict=True)), tenant.org_id)


def _columns(dues: Sequence[tuple[Due, Pass]]) -> tuple[list[object], ...]:
    return (
        [due.period_id for due, _ in dues],
        [due.kind for due, _ in dues],
        [due.due_at for due, _ in dues],
        [known.step for _, known in dues],
    )
