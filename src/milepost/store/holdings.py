"""What customers have of promotions, as stored, and how much of promotions is used by all.

Of both only as much is loaded as a batch depends on.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from milepost.database import Tenant, Tx
from milepost.rules.definitions import UNLIMITED, Definitions, Promotion
from milepost.rules.effects import Changes, Earn, Issual, Usage
from milepost.rules.holdings import REVOKED, Redeemed, Standings
from milepost.rules.redemption import HoldingsNeeded
from milepost.store.pipeline import Reply, Rows, ask, tell
from milepost.store.shards import on_shards

# The open rows of a customer are those whose `ended_as` is null, not `ended_at`: the indexes of what is due
# know only the latter, and the planner would take one of these while it has no statistics of a new table.

# Of a pair: how many there ever were, and the enrolment and records that have not been ended.
ASK_COUNTS = """
SELECT k.customer_id, k.promotion_id, i.issuals, i.revoked, e.earned, e.revoked
FROM unnest(%b::bigint[], %b::bigint[]) AS k (customer_id, promotion_id)
CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE NOT is_dummy) AS issuals,
           count(*) FILTER (WHERE ended_as = 'REVOKED') AS revoked
    FROM issuals i
    WHERE i.org_id = %b AND i.customer_id = k.customer_id AND i.promotion_id = k.promotion_id OFFSET 0
) AS i
CROSS JOIN LATERAL (
    SELECT count(*) AS earned, count(*) FILTER (WHERE ended_as = 'REVOKED') AS revoked
    FROM earns e
    WHERE e.org_id = %b AND e.customer_id = k.customer_id AND e.promotion_id = k.promotion_id OFFSET 0
) AS e
"""

on_shards(
    ASK_COUNTS,
    """
WITH k AS MATERIALIZED (
    SELECT customer_id, promotion_id FROM unnest(%b::bigint[], %b::bigint[]) AS k (customer_id, promotion_id)
), i AS MATERIALIZED (
    SELECT i.customer_id, i.promotion_id, count(*) FILTER (WHERE NOT i.is_dummy) AS issuals,
           count(*) FILTER (WHERE i.ended_as = 'REVOKED') AS revoked
    FROM issuals i JOIN k ON k.customer_id = i.customer_id AND k.promotion_id = i.promotion_id
    WHERE i.org_id = %b AND i.customer_id = ANY ($1::bigint[]) GROUP BY i.customer_id, i.promotion_id
), e AS MATERIALIZED (
    SELECT e.customer_id, e.promotion_id, count(*) AS earned,
           count(*) FILTER (WHERE e.ended_as = 'REVOKED') AS revoked
    FROM earns e JOIN k ON k.customer_id = e.customer_id AND k.promotion_id = e.promotion_id
    WHERE e.org_id = %b AND e.customer_id = ANY ($1::bigint[]) GROUP BY e.customer_id, e.promotion_id
)
SELECT k.customer_id, k.promotion_id, coalesce(i.issuals, 0), coalesce(i.revoked, 0), coalesce(e.earned, 0),
       coalesce(e.revoked, 0)
FROM k LEFT JOIN i USING (customer_id, promotion_id) LEFT JOIN e USING (customer_id, promotion_id)
""",
)

_ISSUAL = """
    i.issual_id, i.promotion_id, i.issued_at, i.expires_at, i.is_dummy, i.entry_id, i.ended_at, i.ended_as"""
_EARN = """
    e.earn_id, e.promotion_id, e.issual_id, e.earned_at, e.expires_at, e.entry_id, e.redemptions, e.points,
    e.ended_at, e.ended_as"""

ASK_OPEN_ISSUALS = f"""
SELECT i.customer_id, {_ISSUAL}
FROM unnest(%b::bigint[], %b::bigint[]) AS k (customer_id, promotion_id)
CROSS JOIN LATERAL (
    SELECT * FROM issuals i
    WHERE i.org_id = %b AND i.customer_id = k.customer_id AND i.promotion_id = k.promotion_id
      AND i.ended_at IS NULL OFFSET 0
) AS i
"""  # noqa: S608 - ours

ASK_OPEN_EARNS = f"""
SELECT e.customer_id, {_EARN}
FROM unnest(%b::bigint[], %b::bigint[]) AS k (customer_id, promotion_id)
CROSS JOIN LATERAL (
    SELECT * FROM earns e
    WHERE e.org_id = %b AND e.customer_id = k.customer_id AND e.promotion_id = k.promotion_id
      AND e.ended_as IS NULL OFFSET 0
) AS e
ORDER BY e.customer_id, e.earn_id
"""  # noqa: S608 - ours

ASK_EARNS_WITHIN = f"""
SELECT e.customer_id, {_EARN}
FROM unnest(%b::bigint[], %b::timestamptz[], %b::timestamptz[]) AS k (customer_id, first, last)
CROSS JOIN LATERAL (
    SELECT * FROM earns e
    WHERE e.org_id = %b AND e.customer_id = k.customer_id AND e.promotion_id = ANY (%b::bigint[])
      AND e.ended_as IS DISTINCT FROM '{REVOKED}' AND e.earned_at <= k.last AND e.expires_at > k.first
    OFFSET 0
) AS e
ORDER BY e.customer_id, e.earn_id
"""  # noqa: S608 - ours

ASK_REDEEMED = """
SELECT k.customer_id, k.promotion_id, t.times, t.points, r.paid_for, r.occurred_at, r.points
FROM unnest(%b::bigint[], %b::bigint[], %b::timestamptz[]) AS k (customer_id, promotion_id, since)
CROSS JOIN LATERAL (
    SELECT count(*) AS times, coalesce(sum(r.points), 0) AS points FROM redemptions r
    WHERE r.org_id = %b AND r.customer_id = k.customer_id AND r.promotion_id = k.promotion_id OFFSET 0
) AS t
LEFT JOIN LATERAL (
    SELECT * FROM redemptions r
    WHERE r.org_id = %b AND r.customer_id = k.customer_id AND r.promotion_id = k.promotion_id
      AND r.occurred_at > k.since OFFSET 0
) AS r ON true
"""

on_shards(
    ASK_REDEEMED,
    """
WITH k AS MATERIALIZED (
    SELECT customer_id, promotion_id, since
    FROM unnest(%b::bigint[], %b::bigint[], %b::timestamptz[]) AS k (customer_id, promotion_id, since)
), t AS MATERIALIZED (
    SELECT r.customer_id, r.promotion_id, count(*) AS times, sum(r.points) AS points
    FROM redemptions r JOIN k ON k.customer_id = r.customer_id AND k.promotion_id = r.promotion_id
    WHERE r.org_id = %b AND r.customer_id = ANY ($1::bigint[]) GROUP BY r.customer_id, r.promotion_id
), r AS MATERIALIZED (
    SELECT r.customer_id, r.promotion_id, r.paid_for, r.occurred_at, r.points
    FROM redemptions r JOIN k ON k.customer_id = r.customer_id AND k.promotion_id = r.promotion_id
    WHERE r.org_id = %b AND r.customer_id = ANY ($1::bigint[]) AND r.occurred_at > k.since
)
SELECT k.customer_id, k.promotion_id, coalesce(t.times, 0), coalesce(t.points, 0), r.paid_for, r.occurred_at,
       r.points
FROM k LEFT JOIN t USING (customer_id, promotion_id) LEFT JOIN r USING (customer_id, promotion_id)
""",
)

ASK_USAGE = """
SELECT promotion_id, earns, revoked_earns, redemptions, points FROM promotion_usage
WHERE org_id = %b AND promotion_id = ANY (%b::bigint[])
"""

ASK_REDEEMED_BY_ALL = """
SELECT k.promotion_id, r.occurred_at
FROM unnest(%b::bigint[], %b::timestamptz[], %b::timestamptz[], %b::bigint[])
    AS k (promotion_id, since, until, most)
CROSS JOIN LATERAL (
    SELECT r.occurred_at FROM redemptions r
    WHERE r.org_id = %b AND r.promotion_id = k.promotion_id
      AND r.occurred_at > k.since AND r.occurred_at <= k.until AND r.occurred_at > '-infinity'
    ORDER BY r.occurred_at DESC LIMIT k.most OFFSET 0
) AS r
"""

on_shards(
    ASK_REDEEMED_BY_ALL,
    """
SELECT promotion_id, occurred_at
FROM (
    SELECT k.promotion_id, k.most, r.occurred_at, row_number() OVER (
               PARTITION BY k.promotion_id, k.since, k.until ORDER BY r.occurred_at DESC) AS place
    FROM unnest(%b::bigint[], %b::timestamptz[], %b::timestamptz[], %b::bigint[])
        AS k (promotion_id, since, until, most)
    JOIN redemptions r ON r.org_id = %b AND r.promotion_id = k.promotion_id
        AND r.occurred_at > k.since AND r.occurred_at <= k.until AND r.occurred_at > '-infinity'
) AS r
WHERE place <= most
""",
)

ASK_DUE_EARNS = f"""
SELECT e.customer_id, {_EARN}
FROM unnest(%b::bigint[]) AS k (customer_id)
CROSS JOIN LATERAL (
    SELECT * FROM earns e
    WHERE e.org_id = %b AND e.customer_id = k.customer_id AND e.ended_as IS NULL AND e.expires_at <= %b
    OFFSET 0
) AS e
ORDER BY e.customer_id, e.earn_id
"""  # noqa: S608 - ours

ASK_DUE_ISSUALS = f"""
SELECT i.customer_id, {_ISSUAL}
FROM unnest(%b::bigint[]) AS k (customer_id)
CROSS JOIN LATERAL (
    SELECT * FROM issuals i
    WHERE i.org_id = %b AND i.customer_id = k.customer_id AND i.ended_as IS NULL AND NOT i.is_dummy
      AND i.expires_at <= %b
    OFFSET 0
) AS i
ORDER BY i.customer_id, i.issual_id
"""  # noqa: S608 - ours

ASK_ISSUAL_IDS = "SELECT nextval('issual_ids') FROM generate_series(1, %b::integer)"
ASK_EARN_IDS = "SELECT nextval('earn_ids') FROM generate_series(1, %b::integer)"

# A use is counted if the limits leave room for it, however much others have used meanwhile. Where a window
# limits it, nobody may have redeemed since it was looked at. The rows are locked in the order of their ids
# first: joined as it likes, the update would take them in any, and batches would wait in a circle.
CLAIM_USAGE = """
WITH k AS MATERIALIZED (
    SELECT k.*
    FROM (
        SELECT * FROM unnest(%b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[], %b::numeric[],
                             %b::bigint[], %b::bigint[], %b::numeric[], %b::bigint[])
            AS k (promotion_id, earns, revoked, redemptions, points, earns_max, redemptions_max, points_max,
                  seen)
        ORDER BY promotion_id OFFSET 0
    ) AS k
    CROSS JOIN LATERAL (
        SELECT FROM promotion_usage u
        WHERE u.org_id = %b AND u.promotion_id = k.promotion_id OFFSET 0 FOR NO KEY UPDATE
    ) AS locked
)
UPDATE promotion_usage AS u
SET earns = u.earns + k.earns, revoked_earns = u.revoked_earns + k.revoked,
    redemptions = u.redemptions + k.redemptions, points = u.points + k.points
FROM k
WHERE u.org_id = %b AND u.promotion_id = k.promotion_id
  AND (k.earns = 0 OR k.earns_max IS NULL
       OR u.earns + k.earns - CASE WHEN %b THEN u.revoked_earns + k.revoked ELSE 0 END <= k.earns_max)
  AND (k.redemptions = 0 OR k.redemptions_max IS NULL OR u.redemptions + k.redemptions <= k.redemptions_max)
  AND (k.points = 0 OR k.points_max IS NULL OR u.points + k.points <= k.points_max)
  AND (k.redemptions = 0 OR k.seen IS NULL OR u.redemptions = k.seen)
RETURNING u.promotion_id
"""

# Of rows that this transaction has.
GIVE_BACK_USAGE = """
UPDATE promotion_usage AS u
SET earns = u.earns - k.earns, revoked_earns = u.revoked_earns - k.revoked,
    redemptions = u.redemptions - k.redemptions, points = u.points - k.points
FROM unnest(%b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[], %b::numeric[])
    AS k (promotion_id, earns, revoked, redemptions, points)
WHERE u.org_id = %b AND u.promotion_id = k.promotion_id
"""

SAVE_ISSUALS = """
INSERT INTO issuals (org_id, customer_id, issual_id, promotion_id, issued_at, expires_at, is_dummy, entry_id,
                     ended_at, ended_as)
SELECT %b, k.*
FROM unnest(%b::bigint[], %b::bigint[], %b::bigint[], %b::timestamptz[], %b::timestamptz[], %b::boolean[],
            %b::bigint[], %b::timestamptz[], %b::text[])
    AS k (customer_id, issual_id, promotion_id, issued_at, expires_at, is_dummy, entry_id, ended_at, ended_as)
ON CONFLICT (org_id, customer_id, promotion_id, issual_id) DO UPDATE
SET ended_at = excluded.ended_at, ended_as = excluded.ended_as
"""

SAVE_EARNS = """
INSERT INTO earns (org_id, customer_id, earn_id, promotion_id, issual_id, earned_at, expires_at, entry_id,
                   redemptions, points, ended_at, ended_as)
SELECT %b, k.*
FROM unnest(%b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[], %b::timestamptz[], %b::timestamptz[],
            %b::bigint[], %b::integer[], %b::numeric[], %b::timestamptz[], %b::text[])
    AS k (customer_id, earn_id, promotion_id, issual_id, earned_at, expires_at, entry_id, redemptions,
          points, ended_at, ended_as)
ON CONFLICT (org_id, customer_id, promotion_id, earn_id) DO UPDATE
SET redemptions = excluded.redemptions, points = excluded.points, ended_at = excluded.ended_at,
    ended_as = excluded.ended_as
"""

SAVE_REDEMPTIONS = """
INSERT INTO redemptions (org_id, customer_id, promotion_id, paid_for, earn_id, occurred_at, redeemed_at,
                         points)
SELECT %b, k.*
FROM unnest(%b::bigint[], %b::bigint[], %b::text[], %b::bigint[], %b::timestamptz[], %b::timestamptz[],
            %b::numeric[])
    AS k (customer_id, promotion_id, paid_for, earn_id, occurred_at, redeemed_at, points)
"""

Row = tuple[object, ...]


class Asked(NamedTuple):
    """Questions that have been sent, for `read_needed`."""

    earns: Reply | None
    redeemed: Reply | None
    usage: Reply | None
    overall: Reply | None


async def load_pairs(
    tx: Tx,
    tenant: Tenant,
    standings: Standings,
    pairs: Collection[tuple[int, int]],
    counted: Collection[int],
) -> None:
    """Add what (customer id, promotion id) pairs have, and the use of counted promotions.

    Four statements at most, one round trip.
    """
    columns = [customer for customer, _ in pairs], [promotion for _, promotion in pairs]
    org = tenant.org_id
    usage = await ask(tx, ASK_USAGE, org, sorted(counted)) if counted else None
    counts = await ask(tx, ASK_COUNTS, *columns, org, org)
    issuals = await ask(tx, ASK_OPEN_ISSUALS, *columns, org)
    earns = await ask(tx, ASK_OPEN_EARNS, *columns, org)
    if usage is not None:
        _add_usage(standings, await usage.rows())
    for customer, promotion, *numbers in await counts.rows():
        holding = standings.holding(customer, promotion)
        holding.issuals, holding.revoked_issuals, holding.earned, holding.revoked_earns = numbers
    for customer, *row in await issuals.rows():
        issual = Issual(*row)
        standings.holding(customer, issual.promotion_id).issual = issual
    _add_earns(standings, await earns.rows())


async def ask_needed(tx: Tx, tenant: Tenant, needed: HoldingsNeeded) -> Asked:
    """Ask for what a batch needs of promotions, nothing where it needs nothing; for `read_needed`."""
    org = tenant.org_id
    spans, pairs = needed.spans, needed.redeemed
    # Use before the redemptions that it is compared with: what comes in between then shows.
    usage = await ask(tx, ASK_USAGE, org, sorted(needed.counted)) if needed.counted else None
    earns = redeemed = by_all = None
    if spans:
        firsts = [first for first, _ in spans.values()]
        lasts = [last for _, last in spans.values()]
        ids = sorted(needed.promotion_ids)
        earns = await ask(tx, ASK_EARNS_WITHIN, list(spans), firsts, lasts, org, ids)
    if pairs:
        customers, promotions = [key[0] for key in pairs], [key[1] for key in pairs]
        redeemed = await ask(
            tx, ASK_REDEEMED, customers, promotions, list(pairs.values()), org, org
        )
    stretches = [
        (promotion_id, *span)
        for promotion_id, lookback in needed.overall.items()
        for span in lookback.spans()
    ]
    if stretches:
        columns = map(list, zip(*stretches, strict=True))
        by_all = await ask(tx, ASK_REDEEMED_BY_ALL, *columns, org)
    return Asked(earns, redeemed, usage, by_all)


async def read_needed(asked: Asked, standings: Standings) -> None:
    """Add what was asked for."""
    if asked.usage is not None:
        _add_usage(standings, await asked.usage.rows())
    if asked.earns is not None:
        _add_earns(standings, await asked.earns.rows())
    if asked.redeemed is not None:
        for customer, promotion, times, points, *row in await asked.redeemed.rows():
            holding = standings.holding(customer, promotion)
            holding.times, holding.points = times, points
            if row[0] is not None:
                holding.redeemed.append(Redeemed(*row))
    if asked.overall is not None:
        for promotion, occurred_at in await asked.overall.rows():
            standings.redeemed.setdefault(promotion, []).append(occurred_at)
        for dates in standings.redeemed.values():
            dates.sort()


async def ask_expiries(
    tx: Tx, tenant: Tenant, customers: Sequence[int], to: datetime
) -> tuple[Reply, Reply]:
    """What of the customers' enrolments and earned records expires by `to`, for `read_expiries`."""
    issuals = await ask(tx, ASK_DUE_ISSUALS, customers, tenant.org_id, to)
    return issuals, await ask(tx, ASK_DUE_EARNS, customers, tenant.org_id, to)


async def read_expiries(asked: tuple[Reply, Reply]) -> dict[int, list[Issual | Earn]]:
    """Enrolments and earned records by customer id."""
    found: dict[int, list[Issual | Earn]] = {}
    for customer, *row in await asked[0].rows():
        found.setdefault(customer, []).append(Issual(*row))
    for customer, *row in await asked[1].rows():
        found.setdefault(customer, []).append(Earn(*row))
    return found


async def ask_ids(tx: Tx, count: int) -> tuple[Reply, Reply]:
    """As many unused ids of enrolments and of earned records, ascending. What is not used is lost."""
    return await ask(tx, ASK_ISSUAL_IDS, count), await ask(tx, ASK_EARN_IDS, count)


async def claim_usage(
    tx: Tx, tenant: Tenant, definitions: Definitions, used: Mapping[int, Usage]
) -> set[int]:
    """Count uses of promotions that are limited for all customers together; returns those with room.

    The others are as they were.
    """
    rows = [
        (
            promotion_id,
            *_usage_row(usage),
            *_room(definitions.promotions[promotion_id]),
            usage.seen,
        )
        for promotion_id, usage in sorted(used.items())
    ]
    reply = await ask(
        tx,
        CLAIM_USAGE,
        *map(list, zip(*rows, strict=True)),
        tenant.org_id,
        tenant.org_id,
        definitions.revokes_restore_limits,
    )
    return {row[0] for row in await reply.rows()}


async def give_back_usage(tx: Tx, tenant: Tenant, used: Mapping[int, Usage]) -> None:
    """Take counted uses back, of customers whose changes are not saved after all."""
    rows = [(promotion_id, *_usage_row(usage)) for promotion_id, usage in sorted(used.items())]
    await tell(tx, GIVE_BACK_USAGE, *map(list, zip(*rows, strict=True)), tenant.org_id)


def issual_rows(changes: Sequence[Changes]) -> list[Row]:
    """The rows of `SAVE_ISSUALS`; of a customer older ones first, for one is ended before another is open."""
    return [
        (c.customer_id, i.id, i.promotion_id, i.issued_at, i.expires_at, i.is_dummy, i.entry_id,
         i.ended_at, i.ended_as)
        for c in changes
        for _, i in sorted(c.issuals.items())
    ]  # fmt: skip


def earn_rows(changes: Sequence[Changes]) -> list[Row]:
    """The rows of `SAVE_EARNS`."""
    return [
        (c.customer_id, e.id, e.promotion_id, e.issual_id, e.earned_at, e.expires_at, e.entry_id,
         e.redemptions, e.points, e.ended_at, e.ended_as)
        for c in changes
        for e in c.earns.values()
    ]  # fmt: skip


def redemption_rows(changes: Sequence[Changes]) -> list[Row]:
    """The rows of `SAVE_REDEMPTIONS`."""
    return [
        (c.customer_id, r.promotion_id, r.paid_for, r.earn_id, r.occurred_at, r.redeemed_at, r.points)
        for c in changes
        for r in c.redemptions
    ]  # fmt: skip


def _add_usage(standings: Standings, rows: Rows) -> None:
    for promotion_id, *numbers in rows:
        usage = Usage(*numbers)
        standings.usage[promotion_id] = usage
        standings.seen[promotion_id] = usage.redemptions


def _add_earns(standings: Standings, rows: Rows) -> None:
    for customer, *row in rows:
        earn = Earn(*row)
        standings.holding(customer, earn.promotion_id).earns[earn.id] = earn


def _usage_row(usage: Usage) -> tuple[object, ...]:
    return usage.earns, usage.revoked_earns, usage.redemptions, usage.points


def _room(promotion: Promotion) -> tuple[Any, ...]:
    """The limits for all customers together, whatever their window: earns, redemptions, points."""
    earns = promotion.limits.earns_per_promotion
    limits = [
        limit
        for limit in promotion.redemption_limits
        if limit.on == "PROMOTION" and limit.window is None
    ]
    times = [int(limit.most) for limit in limits if limit.kpi == "TIMES"]
    points = [limit.most for limit in limits if limit.kpi == "POINTS"]
    return (
        None if earns == UNLIMITED else earns,
        min(times, default=None),
        min(points, default=None),
    )
