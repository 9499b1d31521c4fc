"""Programs and promotions: read whole with the other definitions, saved one by one, with their history."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec

from milepost.database import Tenant, Tx
from milepost.rules.definitions import Actor, Program, Promotion
from milepost.rules.names import name_key
from milepost.store.pipeline import Reply, Rows, ask, await_writers, tell

ASK_PROGRAMS = """
SELECT program_id, name, created_by, created_at, updated_by, updated_at
FROM programs WHERE org_id = %b ORDER BY program_id
"""

ASK_PROMOTIONS = """
SELECT promotion_id, promotion::text FROM promotions WHERE org_id = %b ORDER BY promotion_id
"""

SAVE_PROGRAM = """
INSERT INTO programs (org_id, program_id, name, created_at, created_by, updated_at, updated_by)
VALUES (%b, %b, %b, %b, %b, %b, %b)
"""

SAVE_PROMOTION = """
INSERT INTO promotions (org_id, promotion_id, program_id, name_key, identifier, promotion)
VALUES (%b, %b, %b, %b, %b, %b::jsonb)
ON CONFLICT (org_id, promotion_id) DO UPDATE
SET name_key = excluded.name_key, identifier = excluded.identifier, promotion = excluded.promotion
"""

# Whoever listens is told of it: of the organisation itself, which is customer 0.
SAVE_CHANGE = """
WITH told AS (
    INSERT INTO webhook_outbox (org_id, customer_id, version)
    SELECT org_id, 0, %b FROM orgs WHERE org_id = %b AND is_notified
)
INSERT INTO promotion_changes (org_id, promotion_id, revision, at, what, promotion, request_id, credential_id)
VALUES (%b, %b, %b, %b, %b, %b::jsonb, %b, %b)
"""

# What there is of some promotions of an organisation: rare, so that it needs no index.
_COUNTED = """
    SELECT k.promotion_id, coalesce(e.earns, 0) AS earns, coalesce(e.revoked, 0) AS revoked,
           coalesce(r.redemptions, 0) AS redemptions, coalesce(r.points, 0) AS points
    FROM unnest(%b::bigint[]) AS k (promotion_id)
    LEFT JOIN (
        SELECT promotion_id, count(*) AS earns, count(*) FILTER (WHERE ended_as = 'REVOKED') AS revoked
        FROM earns WHERE org_id = %b GROUP BY promotion_id
    ) AS e USING (promotion_id)
    LEFT JOIN (
        SELECT promotion_id, count(*) AS redemptions, sum(points) AS points
        FROM redemptions WHERE org_id = %b GROUP BY promotion_id
    ) AS r USING (promotion_id)"""

# Once: from then on each batch adds what it uses.
COUNT_USAGE = f"""
INSERT INTO promotion_usage (org_id, promotion_id, earns, revoked_earns, redemptions, points)
SELECT %b, c.* FROM ({_COUNTED}) AS c
ON CONFLICT (org_id, promotion_id) DO UPDATE
SET earns = excluded.earns, revoked_earns = excluded.revoked_earns, redemptions = excluded.redemptions,
    points = excluded.points
"""  # noqa: S608 - ours

ASK_WRONG_USAGE = f"""
SELECT u.promotion_id, ARRAY[u.earns, u.revoked_earns, u.redemptions, u.points]::text[],
       ARRAY[c.earns, c.revoked, c.redemptions, c.points]::text[]
FROM ({_COUNTED}) AS c JOIN promotion_usage u ON u.org_id = %b AND u.promotion_id = c.promotion_id
WHERE (u.earns, u.revoked_earns, u.redemptions, u.points)
      IS DISTINCT FROM (c.earns, c.revoked, c.redemptions, c.points)
ORDER BY u.promotion_id
"""  # noqa: S608 - ours

ASK_CHANGES = """
SELECT revision, promotion_id, at, what, promotion::text, request_id, credential_id
FROM promotion_changes WHERE org_id = %b AND revision {} %b
ORDER BY revision {} LIMIT %b
"""
ASK_CHANGES_BEFORE = ASK_CHANGES.format("<", "DESC")
ASK_CHANGES_AFTER = ASK_CHANGES.format(">", "")

_LAST = 2**63 - 1
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Promotion).decode


@dataclass(frozen=True, slots=True)
class PromotionChange:
    """One version of a promotion: CREATED or UPDATED, as it was then. `revision` rises with each edit."""

    revision: int
    at: datetime
    what: str
    promotion: Promotion
    request_id: str
    credential_id: int


async def ask_programs(tx: Tx, tenant: Tenant) -> Reply:
    """The organisation's programs, for `read_programs`."""
    return await ask(tx, ASK_PROGRAMS, tenant.org_id)


async def ask_promotions(tx: Tx, tenant: Tenant) -> Reply:
    """The organisation's promotions, for `read_promotions`."""
    return await ask(tx, ASK_PROMOTIONS, tenant.org_id)


def read_programs(rows: Rows) -> dict[int, Program]:
    """Programs by id."""
    return {
        program_id: Program(program_id, name, Actor(*actors[:2]), Actor(*actors[2:]))
        for program_id, name, *actors in rows
    }


def read_promotions(rows: Rows) -> dict[int, Promotion]:
    """Promotions by id."""
    return {promotion_id: _decode(text) for promotion_id, text in rows}


async def save_program(tx: Tx, tenant: Tenant, program: Program) -> None:
    """Add a program. The definitions must be claimed."""
    created, updated = program.created, program.updated
    if created is None or updated is None:
        raise ValueError("a definition without its author")
    await tell(
        tx,
        SAVE_PROGRAM,
        tenant.org_id,
        program.id,
        program.name,
        created.at,
        created.credential_id,
        updated.at,
        updated.credential_id,
    )


async def save_promotion(tx: Tx, tenant: Tenant, change: PromotionChange) -> None:
    """Make a promotion true, and keep this version of it. The definitions must be claimed."""
    promotion = change.promotion
    text = _encode(promotion).decode()
    await tell(
        tx,
        SAVE_PROMOTION,
        tenant.org_id,
        promotion.id,
        promotion.program_id,
        name_key(promotion.name),
        promotion.identifier,
        text,
    )
    await tell(
        tx,
        SAVE_CHANGE,
        change.revision,
        tenant.org_id,
        tenant.org_id,
        promotion.id,
        change.revision,
        change.at,
        change.what,
        text,
        change.request_id,
        change.credential_id,
    )


async def count_usage(tx: Tx, tenant: Tenant, promotion_ids: Sequence[int]) -> None:
    """Count how much promotions have been used by all customers, now that this is limited.

    Whoever is deciding by them as they were is waited for, and who begins meanwhile waits for this
    transaction, so that nothing is missed.
    """
    await await_writers(tx, tenant.root_org_id)
    org = tenant.org_id
    await tell(tx, COUNT_USAGE, org, list(promotion_ids), org, org)


async def load_wrong_usage(
    tx: Tx, tenant: Tenant, counted: Sequence[int]
) -> list[tuple[int, list[str], list[str]]]:
    """Those of the counted promotions whose use is not what there is: id, and both sides in the order
    earned records, revoked ones, redemptions, points.
    """
    org = tenant.org_id
    reply = await ask(tx, ASK_WRONG_USAGE, list(counted), org, org, org)
    return [(promotion_id, stored, rebuilt) for promotion_id, stored, rebuilt in await reply.rows()]


async def load_changes(
    tx: Tx, tenant: Tenant, limit: int, before: int | None, after: int | None
) -> Sequence[PromotionChange]:
    """Versions of promotions, oldest first: the last ones before a revision, or the first after one."""
    statement, at = (
        (ASK_CHANGES_AFTER, after)
        if after is not None
        else (ASK_CHANGES_BEFORE, before if before is not None else _LAST)
    )
    rows = await (await ask(tx, statement, tenant.org_id, at, limit)).rows()
    changes = [read_change(*row) for row in rows]
    return changes if after is not None else changes[::-1]


def read_change(
    revision: int,
    promotion_id: int,
    at: datetime,
    what: str,
    text: str,
    request_id: str,
    credential_id: int,
) -> PromotionChange:
    """A version of a promotion of its row."""
    return PromotionChange(revision, at, what, _decode(text), request_id, credential_id)
