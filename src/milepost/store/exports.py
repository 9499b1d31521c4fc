"""What is kept of one customer, page by page, for an export: each page follows from the key of the last.

What views show is read as they read it (`store/views.py`); here is the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from milepost.database import Tenant, Tx
from milepost.rules.activities import Activity
from milepost.rules.effects import Earn, Issual, Redemption
from milepost.store.activities import read_activity
from milepost.store.pipeline import ask

ASK_REGISTERED = "SELECT FROM customers WHERE org_id = %b AND customer_id = %b"

ASK_ACTIVITIES = """
SELECT activity_id, customer_id, type, occurred_at, event_name, net_amount, gross_amount, store_id, zone_id,
       concept_id, line_items::text, attributes::text, return_of, is_full
FROM activities WHERE org_id = %b AND customer_id = %b AND activity_id > %b
ORDER BY activity_id LIMIT %b
"""

ASK_ISSUALS = """
SELECT issual_id, promotion_id, issued_at, expires_at, is_dummy, entry_id, ended_at, ended_as
FROM issuals WHERE org_id = %b AND customer_id = %b AND (promotion_id, issual_id) > (%b::bigint, %b::bigint)
ORDER BY promotion_id, issual_id LIMIT %b
"""

ASK_EARNS = """
SELECT earn_id, promotion_id, issual_id, earned_at, expires_at, entry_id, redemptions, points, ended_at,
       ended_as
FROM earns WHERE org_id = %b AND customer_id = %b AND (promotion_id, earn_id) > (%b::bigint, %b::bigint)
ORDER BY promotion_id, earn_id LIMIT %b
"""

ASK_REDEMPTIONS = """
SELECT promotion_id, paid_for, earn_id, occurred_at, redeemed_at, points
FROM redemptions WHERE org_id = %b AND customer_id = %b AND (promotion_id, paid_for) > (%b::bigint, %b::text)
ORDER BY promotion_id, paid_for LIMIT %b
"""

FIRST = -(2**63)
"""Before every id."""


async def load_activities(
    tx: Tx, tenant: Tenant, customer_id: int, after: Sequence[object], count: int
) -> list[Activity] | None:
    """The next activities in the order of their ids."""
    rows = await _page(tx, tenant, ASK_ACTIVITIES, customer_id, after, count)
    return None if rows is None else [read_activity(*row) for row in rows]


async def load_issuals(
    tx: Tx, tenant: Tenant, customer_id: int, after: Sequence[object], count: int
) -> list[Issual] | None:
    """The next enrolments in promotions, by (promotion id, id)."""
    rows = await _page(tx, tenant, ASK_ISSUALS, customer_id, after, count)
    return None if rows is None else [Issual(*row) for row in rows]


async def load_earns(
    tx: Tx, tenant: Tenant, customer_id: int, after: Sequence[object], count: int
) -> list[Earn] | None:
    """The next promotions that were issued, by (promotion id, id)."""
    rows = await _page(tx, tenant, ASK_EARNS, customer_id, after, count)
    return None if rows is None else [Earn(*row) for row in rows]


async def load_redemptions(
    tx: Tx, tenant: Tenant, customer_id: int, after: Sequence[object], count: int
) -> list[Redemption] | None:
    """What promotions paid next, by (promotion id, what was paid for)."""
    rows = await _page(tx, tenant, ASK_REDEMPTIONS, customer_id, after, count)
    return None if rows is None else [Redemption(*row) for row in rows]


async def _page(
    tx: Tx, tenant: Tenant, statement: str, customer_id: int, after: Sequence[object], count: int
) -> Sequence[tuple[Any, ...]] | None:
    """A page of rows; None if the hierarchy does not have the customer (any more)."""
    customer = await ask(tx, ASK_REGISTERED, tenant.root_org_id, customer_id)
    reply = await ask(tx, statement, tenant.org_id, customer_id, *after, count)
    if not await customer.rows():
        return None
    return await reply.rows()
