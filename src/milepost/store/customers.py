"""Customers, their identifiers and profiles: of the root of a hierarchy, for all of it.

Lock order: identifiers, then customers, then profiles, each in the order of its key, so two batches
never wait for each other in a circle.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime

import msgspec

from milepost.database import Tenant, Tx
from milepost.rules.customers import Additions, Identifier, Known, Registry
from milepost.store.pipeline import Reply, ask, tell
from milepost.store.shards import on_shards

ASK_IDENTIFIERS = """
SELECT i.kind, i.value, i.customer_id, i.sources
FROM unnest(%b::text[], %b::text[]) AS k (kind, value)
CROSS JOIN LATERAL (
    SELECT * FROM customer_identifiers i
    WHERE i.org_id = %b AND i.kind = k.kind AND i.value = k.value OFFSET 0
) AS i
"""

ASK_CUSTOMERS = """
SELECT k.customer_id
FROM unnest(%b::bigint[]) AS k (customer_id)
CROSS JOIN LATERAL (
    SELECT FROM customers c WHERE c.org_id = %b AND c.customer_id = k.customer_id OFFSET 0
) AS known
"""

# The id of an erased customer stays taken: the books go by it.
ASK_TAKEN_IDS = """
SELECT k.customer_id
FROM unnest(%b::bigint[]) AS k (customer_id)
CROSS JOIN LATERAL (
    SELECT FROM customers c WHERE c.org_id = %b AND c.customer_id = k.customer_id
    UNION ALL
    SELECT FROM erasures e WHERE e.org_id = %b AND e.customer_id = k.customer_id OFFSET 0
) AS taken
"""

on_shards(
    ASK_TAKEN_IDS,
    """
WITH k AS (SELECT %b::bigint[] AS customers)
SELECT customer_id FROM customers WHERE org_id = %b AND customer_id = ANY ($1::bigint[])
UNION ALL
SELECT customer_id FROM erasures WHERE org_id = %b AND customer_id = ANY ($1::bigint[])
""",
)

# Ids that were moved in may lie where the sequence comes to: it goes on to the next that are free.
ALLOT_IDS = """
SELECT k.customer_id
FROM (SELECT nextval('customer_ids') AS customer_id, generate_series(1, 2147483647)) AS k
WHERE (SELECT true FROM customers c WHERE c.org_id = %b AND c.customer_id = k.customer_id) IS NULL
  AND (SELECT true FROM erasures e WHERE e.org_id = %b AND e.customer_id = k.customer_id) IS NULL
LIMIT %b
"""

# Fewer, where some are taken: then it is asked again.
on_shards(
    ALLOT_IDS,
    """
WITH asked AS MATERIALIZED (SELECT %b::bigint AS root, %b::bigint AS same_root, %b::integer AS count),
k AS MATERIALIZED (
    SELECT nextval('customer_ids') AS customer_id FROM generate_series(1, (SELECT count FROM asked))
)
SELECT customer_id FROM k
WHERE customer_id NOT IN (
    SELECT customer_id FROM customers
    WHERE org_id = (SELECT root FROM asked) AND customer_id IN (SELECT customer_id FROM k)
) AND customer_id NOT IN (
    SELECT customer_id FROM erasures
    WHERE org_id = (SELECT root FROM asked) AND customer_id IN (SELECT customer_id FROM k)
)
""",
)

# Sources are only ever added. So an identifier is as it was decided on if it still names the customer
# and none of the sources to add has come meanwhile; others that have come are kept.
CLAIM_IDENTIFIERS = r"""
INSERT INTO customer_identifiers AS i (org_id, kind, value, customer_id, sources)
SELECT %b, k.kind, k.value, k.customer_id, string_to_array(k.sources, E'\n')
FROM unnest(%b::text[], %b::text[], %b::bigint[], %b::text[]) AS k (kind, value, customer_id, sources)
ORDER BY k.kind COLLATE "C", k.value COLLATE "C"
ON CONFLICT ON CONSTRAINT customer_identifiers_pkey DO UPDATE SET sources = i.sources || excluded.sources
    WHERE i.customer_id = excluded.customer_id AND NOT i.sources && excluded.sources
RETURNING i.kind, i.value, i.sources
"""

CLAIM_CUSTOMERS = """
INSERT INTO customers (org_id, customer_id, registered_org_id, loyalty_type, created_at)
SELECT %b, k.customer_id, %b, k.loyalty_type, %b
FROM unnest(%b::bigint[], %b::text[]) AS k (customer_id, loyalty_type)
ORDER BY k.customer_id
ON CONFLICT (org_id, customer_id) DO NOTHING
RETURNING customer_id
"""

# Not ROLLBACK TO SAVEPOINT: the savepoint would cost every batch a statement.
DELETE_IDENTIFIERS = """
DELETE FROM customer_identifiers i USING unnest(%b::text[], %b::text[]) AS k (kind, value)
WHERE i.org_id = %b AND i.kind = k.kind AND i.value = k.value
"""

RESTORE_SOURCES = r"""
UPDATE customer_identifiers i SET sources = string_to_array(k.sources, E'\n')
FROM unnest(%b::text[], %b::text[], %b::text[]) AS k (kind, value, sources)
WHERE i.org_id = %b AND i.kind = k.kind AND i.value = k.value
"""

DELETE_CUSTOMERS = """
DELETE FROM customers WHERE customer_id = ANY (%b::bigint[]) AND org_id = %b
"""

SAVE_PROFILES = """
INSERT INTO customer_profiles (org_id, customer_id, source, account_id, first_name, last_name,
                               comm_channels, fields)
SELECT %b, k.customer_id, k.source, k.account_id, k.first_name, k.last_name, k.comm_channels::jsonb,
       k.fields::jsonb
FROM unnest(%b::bigint[], %b::text[], %b::text[], %b::text[], %b::text[], %b::text[], %b::text[])
    AS k (customer_id, source, account_id, first_name, last_name, comm_channels, fields)
ORDER BY k.customer_id, k.source COLLATE "C", k.account_id COLLATE "C"
ON CONFLICT (org_id, customer_id, source, account_id) DO NOTHING
"""

_encode = msgspec.json.Encoder().encode


async def load_known(
    tx: Tx, tenant: Tenant, identifiers: Collection[Identifier]
) -> dict[Identifier, Known]:
    """Those of the identifiers that name somebody; `id` among them: two statements, one round trip."""
    named = await _ask_identifiers(tx, tenant, [key for key in identifiers if key.kind != "id"])
    ids = await _ask_customers(
        tx, tenant, [int(key.value) for key in identifiers if key.kind == "id"]
    )
    known = await _known(named)
    for (customer_id,) in await ids.rows():
        known[Identifier("id", str(customer_id))] = Known(customer_id, frozenset())
    return known


async def load_registry(
    tx: Tx,
    tenant: Tenant,
    identifiers: Collection[Identifier],
    asked_ids: Collection[int],
    count: int,
) -> Registry:
    """Whom the identifiers name, which of the ids asked for are taken, and `count` unused ids less
    those asked for: three statements, one round trip.
    """
    named = await _ask_identifiers(tx, tenant, identifiers)
    root = tenant.root_org_id
    taken = await ask(tx, ASK_TAKEN_IDS, sorted(set(asked_ids)), root, root)
    reply = await ask(tx, ALLOT_IDS, root, root, count)
    known = await _known(named)
    taken_ids = {customer_id for (customer_id,) in await taken.rows()}
    allotted = [customer_id for (customer_id,) in await reply.rows()]
    while len(allotted) < count:
        more = await ask(tx, ALLOT_IDS, root, root, count - len(allotted))
        allotted += [customer_id for (customer_id,) in await more.rows()]
    return Registry(known, taken_ids, deque(each for each in allotted if each not in asked_ids))


async def claim(
    tx: Tx, tenant: Tenant, additions: Sequence[Additions], created_at: datetime
) -> list[Additions]:
    """Take the identifiers and ids of each of the additions, whole or not at all; returns the winners.

    What one that lost to another transaction had got by then is given back.
    """
    identifiers = [
        (*identifier, customer_id, "\n".join(sorted(sources)))
        for added in additions
        for identifier, (customer_id, sources) in added.identifiers.items()
    ]
    customers = [item for added in additions for item in added.customers.items()]
    root = tenant.root_org_id
    named = await ask(tx, CLAIM_IDENTIFIERS, root, *_columns(identifiers, 4))
    made = await ask(tx, CLAIM_CUSTOMERS, root, tenant.org_id, created_at, *_columns(customers, 2))
    sources_of = {Identifier(*key): sources for *key, sources in await named.rows()}
    ids = {customer_id for (customer_id,) in await made.rows()}
    lost = [
        added
        for added in additions
        if not (added.identifiers.keys() <= sources_of.keys() and added.customers.keys() <= ids)
    ]
    if lost:
        await _give_back(tx, root, lost, sources_of, ids)
    losers = set(lost)
    return [added for added in additions if added not in losers]


async def save_profiles(tx: Tx, tenant: Tenant, additions: Iterable[Additions]) -> None:
    """Send the profiles of additions that were claimed; those that exist stay as they are."""
    rows = [
        (customer_id, source, account_id, profile.first_name, profile.last_name,
         _encode(profile.comm_channels).decode(), _encode(profile.fields).decode())
        for added in additions
        for (customer_id, source, account_id), profile in added.profiles.items()
    ]  # fmt: skip
    await tell(tx, SAVE_PROFILES, tenant.root_org_id, *_columns(rows, 7))


async def _give_back(
    tx: Tx,
    root_org_id: int,
    lost: Sequence[Additions],
    sources_of: Mapping[Identifier, Sequence[str]],
    ids: Collection[int],
) -> None:
    """Undo what was claimed: `sources_of` the identifiers as they are now, and the customers `ids`."""
    left = [
        (*identifier, "\n".join(s for s in sources_of[identifier] if s not in sources))
        for added in lost
        for identifier, (_, sources) in added.identifiers.items()
        if identifier in sources_of
    ]
    deleted = [row for row in left if not row[2]]
    restored = [row for row in left if row[2]]
    customers = [key for added in lost for key in added.customers if key in ids]
    await tell(tx, DELETE_IDENTIFIERS, *_columns(deleted, 2), root_org_id)
    await tell(tx, RESTORE_SOURCES, *_columns(restored, 3), root_org_id)
    await tell(tx, DELETE_CUSTOMERS, customers, root_org_id)


async def _ask_identifiers(tx: Tx, tenant: Tenant, identifiers: Collection[Identifier]) -> Reply:
    keys = sorted(set(identifiers))
    return await ask(tx, ASK_IDENTIFIERS, *_columns(keys, 2), tenant.root_org_id)


async def _ask_customers(tx: Tx, tenant: Tenant, customer_ids: Collection[int]) -> Reply:
    return await ask(tx, ASK_CUSTOMERS, sorted(set(customer_ids)), tenant.root_org_id)


async def _known(reply: Reply) -> dict[Identifier, Known]:
    return {
        Identifier(kind, value): Known(customer_id, frozenset(sources))
        for kind, value, customer_id, sources in await reply.rows()
    }


def _columns(rows: Sequence[Sequence[object]], count: int) -> list[list[object]]:
    """Rows as `count` columns, which are empty lists when there are no rows."""
    return [[row[place] for row in rows] for place in range(count)]
