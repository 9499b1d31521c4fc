"""Bills by the number that their sale was answered with, and the names of customers."""

from __future__ import annotations

from collections.abc import Collection

from milepost.database import Tenant, Tx
from milepost.store.pipeline import Reply, ask
from milepost.store.shards import on_shards

# The number is `rules/bills.py: created_id`, which is kept nowhere: the customer's bills are few.
ASK_BILLS_BY_NUMBER = """
SELECT k.customer_id, k.number, a.activity_id
FROM unnest(%b::bigint[], %b::bigint[]) AS k (customer_id, number)
CROSS JOIN LATERAL (
    SELECT activity_id FROM activities a
    WHERE a.org_id = %b AND a.customer_id = k.customer_id AND a.type = 'TRANSACTION'
      AND k.number = ('x' || left(
          encode(sha256(convert_to(a.customer_id || '/' || a.activity_id, 'UTF8')), 'hex'), 13
      ))::bit(52)::bigint
    LIMIT 1
) AS a
"""

on_shards(
    ASK_BILLS_BY_NUMBER,
    """
SELECT k.customer_id, k.number, min(a.activity_id)
FROM unnest(%b::bigint[], %b::bigint[]) AS k (customer_id, number)
JOIN activities a ON a.org_id = %b AND a.customer_id = k.customer_id AND a.type = 'TRANSACTION'
    AND k.number = ('x' || left(
        encode(sha256(convert_to(a.customer_id || '/' || a.activity_id, 'UTF8')), 'hex'), 13
    ))::bit(52)::bigint
GROUP BY k.customer_id, k.number
""",
)

# Of several profiles, the one that has a name.
ASK_NAMES = """
SELECT k.customer_id, p.first_name, p.last_name
FROM unnest(%b::bigint[]) AS k (customer_id)
CROSS JOIN LATERAL (
    SELECT first_name, last_name FROM customer_profiles p
    WHERE p.org_id = %b AND p.customer_id = k.customer_id
    ORDER BY p.first_name = '' AND p.last_name = '', p.source, p.account_id LIMIT 1
) AS p
"""
on_shards(
    ASK_NAMES,
    """
SELECT DISTINCT ON (p.customer_id) p.customer_id, p.first_name, p.last_name
FROM unnest(%b::bigint[]) AS k (customer_id)
JOIN customer_profiles p ON p.org_id = %b AND p.customer_id = k.customer_id
ORDER BY p.customer_id, p.first_name = '' AND p.last_name = '', p.source, p.account_id
""",
)


async def ask_bills_by_number(tx: Tx, tenant: Tenant, keys: Collection[tuple[int, int]]) -> Reply:
    """Rows of (customer id, number, activity id) of those (customer id, number) that there are."""
    customers, numbers = [customer for customer, _ in keys], [number for _, number in keys]
    return await ask(tx, ASK_BILLS_BY_NUMBER, customers, numbers, tenant.org_id)


async def ask_names(tx: Tx, tenant: Tenant, customers: Collection[int]) -> Reply:
    """Rows of (customer id, first name, last name), empty where there is none."""
    return await ask(tx, ASK_NAMES, sorted(set(customers)), tenant.root_org_id)
