"""Access groups and stores of organisations. Operator transactions only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from milepost.database import Tx
from milepost.rules.access import Grants
from milepost.store.pipeline import ask

SELECT_GROUPS = "SELECT access_group_id, name, access FROM access_groups"
SELECT_STORES = """
SELECT store_id, code, name, external_id, external_id_1, external_id_2, access_group_id FROM stores
"""
INSERT_GROUP = """
INSERT INTO access_groups (org_id, name, access, created_at) VALUES (%b, %b, %s::jsonb, %b)
ON CONFLICT DO NOTHING RETURNING access_group_id, name, access
"""
UPDATE_GROUP = """
UPDATE access_groups SET name = %b, access = %s::jsonb
WHERE org_id = %b AND access_group_id = %b AND NOT EXISTS (
    SELECT FROM access_groups o WHERE o.org_id = %b AND o.name = %b AND o.access_group_id <> %b)
RETURNING access_group_id, name, access
"""
INSERT_STORE = """
INSERT INTO stores (org_id, code, name, external_id, external_id_1, external_id_2, access_group_id,
                    created_at, store_id)
VALUES (%b, %b, %b, %b, %b, %b, %b, %b, coalesce(%b::bigint, nextval('store_ids')))
ON CONFLICT DO NOTHING
RETURNING store_id, code, name, external_id, external_id_1, external_id_2, access_group_id
"""
UPDATE_STORE = """
UPDATE stores s SET code = n.code, name = n.name, external_id = n.external_id,
    external_id_1 = n.external_id_1, external_id_2 = n.external_id_2, access_group_id = n.access_group_id
FROM (SELECT %b::text AS code, %b::text AS name, %b::text AS external_id, %b::text AS external_id_1,
             %b::text AS external_id_2, %b::bigint AS access_group_id) n
WHERE s.org_id = %b AND s.store_id = %b AND NOT EXISTS (
    SELECT FROM stores o
    WHERE o.org_id = s.org_id AND o.store_id <> s.store_id
      AND (o.code = n.code OR o.name = n.name OR o.external_id = n.external_id
           OR o.external_id_1 = n.external_id_1 OR o.external_id_2 = n.external_id_2))
RETURNING s.store_id, s.code, s.name, s.external_id, s.external_id_1, s.external_id_2, s.access_group_id
"""

INHERITED = """
SELECT sg.access, dg.access FROM stores s JOIN orgs o ON o.org_id = s.org_id
LEFT JOIN access_groups sg ON sg.org_id = s.org_id AND sg.access_group_id = s.access_group_id
LEFT JOIN access_groups dg ON dg.org_id = o.org_id AND dg.access_group_id = o.default_access_group_id
WHERE s.org_id = %b AND s.store_id = %b
"""


@dataclass(frozen=True, slots=True)
class AccessGroup:
    """A named set of permissions: by resource; one that is not named is NONE."""

    access_group_id: int
    name: str
    access: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class StoreFields:
    """What a store is known by, and the access group of its tills; None: it has none."""

    code: str
    name: str
    external_id: str | None = None
    external_id_1: str | None = None
    external_id_2: str | None = None
    access_group_id: int | None = None


@dataclass(frozen=True, slots=True)
class Store:
    """A store of an organisation."""

    store_id: int
    fields: StoreFields


async def lock_org(tx: Tx, org_id: int) -> bool:
    """Let nobody else change groups, stores and tills of the organisation until the transaction ends.

    False: there is no such organisation. What is unique can so be looked at before it is written.
    """
    reply = await ask(tx, "SELECT org_id FROM orgs WHERE org_id = %b FOR NO KEY UPDATE", org_id)
    return bool(await reply.rows())


async def load_group(tx: Tx, org_id: int, access_group_id: int) -> AccessGroup | None:
    """One access group of the organisation."""
    reply = await ask(
        tx,
        f"{SELECT_GROUPS} WHERE org_id = %b AND access_group_id = %b",
        org_id,
        access_group_id,
    )
    return _group(await reply.rows())


async def load_groups(tx: Tx, org_id: int, limit: int) -> list[AccessGroup]:
    """The access groups of the organisation, oldest first: at most `limit`."""
    reply = await ask(
        tx,
        f"{SELECT_GROUPS} WHERE org_id = %b ORDER BY 1 LIMIT %b",
        org_id,
        limit,
    )
    return [AccessGroup(*row) for row in await reply.rows()]


async def insert_group(
    tx: Tx, org_id: int, name: str, access: Mapping[str, str], created_at: datetime
) -> AccessGroup | None:
    """Make an access group; None when the name is taken."""
    reply = await ask(tx, INSERT_GROUP, org_id, name, _json(access), created_at)
    return _group(await reply.rows())


async def update_group(
    tx: Tx,
    org_id: int,
    access_group_id: int,
    name: str,
    access: Mapping[str, str],
) -> AccessGroup | None:
    """Replace a group's fields; None when there is no such group, or another one has the name."""
    reply = await ask(
        tx, UPDATE_GROUP, name, _json(access), org_id, access_group_id, org_id, name, access_group_id
    )  # fmt: skip
    return _group(await reply.rows())


async def load_store(tx: Tx, org_id: int, store_id: int) -> Store | None:
    """One store of the organisation."""
    reply = await ask(
        tx,
        f"{SELECT_STORES} WHERE org_id = %b AND store_id = %b",
        org_id,
        store_id,
    )
    return _store(await reply.rows())


async def load_inherited(tx: Tx, org_id: int, store_id: int) -> Grants | None:
    """What a till of the store inherits; None when the organisation has no such store."""
    reply = await ask(tx, INHERITED, org_id, store_id)
    rows = await reply.rows()
    return Grants(None, True, *rows[0]) if rows else None


async def load_stores(tx: Tx, org_id: int, limit: int) -> list[Store]:
    """The stores of the organisation, by their ids: at most `limit`."""
    reply = await ask(
        tx,
        f"{SELECT_STORES} WHERE org_id = %b ORDER BY 1 LIMIT %b",
        org_id,
        limit,
    )
    return [Store(row[0], StoreFields(*row[1:])) for row in await reply.rows()]


async def insert_store(
    tx: Tx, org_id: int, store_id: int | None, fields: StoreFields, created_at: datetime
) -> Store | None:
    """Make a store, with a new id unless given; None when anything it is known by is taken."""
    reply = await ask(tx, INSERT_STORE, org_id, *_columns(fields), created_at, store_id)
    return _store(await reply.rows())


async def update_store(tx: Tx, org_id: int, store_id: int, fields: StoreFields) -> Store | None:
    """Replace a store's fields; None when there is no such store, or one of them is taken."""
    reply = await ask(tx, UPDATE_STORE, *_columns(fields), org_id, store_id)
    return _store(await reply.rows())


def _columns(fields: StoreFields) -> tuple[object, ...]:
    return (
        fields.code,
        fields.name,
        fields.external_id,
        fields.external_id_1,
        fields.external_id_2,
        fields.access_group_id,
    )


def _json(access: Mapping[str, str]) -> str:
    return msgspec.json.encode(access).decode()


def _group(rows: Any) -> AccessGroup | None:
    return AccessGroup(*rows[0]) if rows else None


def _store(rows: Any) -> Store | None:
    return Store(rows[0][0], StoreFields(*rows[0][1:])) if rows else None
