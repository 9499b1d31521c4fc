"""What one customer has and had of promotions, for the views (domain: promotions §3.6–3.8)."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from milepost.database import Tenant, Tx
from milepost.rules.customer_promotions import Records
from milepost.rules.definitions import Definitions
from milepost.rules.effects import Earn, Issual
from milepost.rules.holdings import WINDOWS, Lookback, Redeemed, windows_of_all
from milepost.rules.redemption import HoldingsNeeded
from milepost.store.holdings import ask_needed, read_needed
from milepost.store.pipeline import ask

RECORDS_MAX = 10_000
"""How many of the latest enrolments, earned records and redemptions are looked at, of each kind. The counts
are of all."""

ASK_COUNTS = """
SELECT promotion_id, sum(issuals)::bigint, sum(revoked)::bigint, sum(earned)::bigint,
       sum(revoked_earns)::bigint, sum(times)::bigint, sum(points)
FROM (
    SELECT promotion_id, count(*) FILTER (WHERE NOT is_dummy) AS issuals,
           count(*) FILTER (WHERE ended_as = 'REVOKED') AS revoked, 0 AS earned, 0 AS revoked_earns,
           0 AS times, 0::numeric AS points
    FROM issuals WHERE org_id = %b AND customer_id = %b GROUP BY promotion_id
    UNION ALL
    SELECT promotion_id, 0, 0, count(*), count(*) FILTER (WHERE ended_as = 'REVOKED'), 0, 0
    FROM earns WHERE org_id = %b AND customer_id = %b GROUP BY promotion_id
    UNION ALL
    SELECT promotion_id, 0, 0, 0, 0, count(*), sum(points)
    FROM redemptions WHERE org_id = %b AND customer_id = %b GROUP BY promotion_id
) AS found
GROUP BY promotion_id
"""

ASK_ISSUALS = f"""
SELECT issual_id, promotion_id, issued_at, expires_at, is_dummy, entry_id, ended_at, ended_as
FROM issuals WHERE org_id = %b AND customer_id = %b ORDER BY issual_id DESC LIMIT {RECORDS_MAX}
"""  # noqa: S608 - ours

ASK_EARNS = f"""
SELECT earn_id, promotion_id, issual_id, earned_at, expires_at, entry_id, redemptions, points, ended_at,
       ended_as
FROM earns WHERE org_id = %b AND customer_id = %b ORDER BY earn_id DESC LIMIT {RECORDS_MAX}
"""  # noqa: S608 - ours

ASK_RECENT = f"""
SELECT promotion_id, paid_for, occurred_at, points FROM redemptions
WHERE org_id = %b AND customer_id = %b AND occurred_at > %b ORDER BY occurred_at DESC LIMIT {RECORDS_MAX}
"""  # noqa: S608 - ours

ASK_BENEFITS = """
SELECT type, name, reference, count(*), sum(value), max(granted_at) FROM rewards
WHERE org_id = %b AND customer_id = %b AND promotion_id = %b
GROUP BY type, name, reference ORDER BY min(reward_id)
"""


class Benefit(NamedTuple):
    """What a promotion has granted to a customer of one reward, all together."""

    type: str
    name: str
    reference: str | None
    times: int
    value: Decimal
    last_at: datetime


async def load_customer_promotions(
    tx: Tx, tenant: Tenant, customer_id: int, definitions: Definitions, now: datetime
) -> Records:
    """What a customer has and had, and how much everybody has used of the promotions that are limited for
    all: six statements at most, one round trip.
    """
    key = tenant.org_id, customer_id
    counted = [promotion for promotion in definitions.promotions.values() if promotion.is_counted]
    needed = HoldingsNeeded(counted={promotion.id for promotion in counted})
    for promotion in counted:
        at_all = windows_of_all(promotion)
        if at_all:
            longest = max(WINDOWS[limit.window] for limit in at_all if limit.window is not None)
            most = max(int(limit.most) for limit in at_all)
            needed.overall[promotion.id] = Lookback(longest, most, {(now, now)})
    counts = await ask(tx, ASK_COUNTS, *key, *key, *key)
    issuals = await ask(tx, ASK_ISSUALS, *key)
    earns = await ask(tx, ASK_EARNS, *key)
    recent = await ask(tx, ASK_RECENT, *key, now - max(WINDOWS.values()))
    overall = await ask_needed(tx, tenant, needed)
    records = Records(customer_id, definitions.revokes_restore_limits)
    for promotion_id, *numbers in await counts.rows():
        holding = records.standings.holding(customer_id, promotion_id)
        (
            holding.issuals,
            holding.revoked_issuals,
            holding.earned,
            holding.revoked_earns,
            holding.times,
            holding.points,
        ) = numbers
    for issual in reversed(await issuals.rows()):
        records.add_issual(Issual(*issual))
    for earn in reversed(await earns.rows()):
        records.add_earn(Earn(*earn))
    for promotion_id, *redeemed in reversed(await recent.rows()):
        records.standings.holding(customer_id, promotion_id).redeemed.append(Redeemed(*redeemed))
    await read_needed(overall, records.standings)
    return records


async def load_benefits(
    tx: Tx, tenant: Tenant, customer_id: int, promotion_id: int
) -> list[Benefit]:
    """What a promotion has granted to a customer, by reward, in the order of their first grants."""
    reply = await ask(tx, ASK_BENEFITS, tenant.org_id, customer_id, promotion_id)
    return [Benefit(*row) for row in await reply.rows()]
