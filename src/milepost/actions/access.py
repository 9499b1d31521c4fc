"""Access groups and stores, as an operator makes, lists and changes them."""

from __future__ import annotations

from milepost import clock
from milepost.actions.audit import note_change
from milepost.database import Tx
from milepost.errors import INVALID_INPUT, Refusal
from milepost.rules.access import Access
from milepost.runner import Runner
from milepost.store.access import (
    AccessGroup,
    Store,
    StoreFields,
    insert_group,
    insert_store,
    load_group,
    load_groups,
    load_store,
    load_stores,
    lock_org,
    update_group,
    update_store,
)
from milepost.store.orgs import load_org

LISTED_MAX = 10_000
_GROUP, _STORE = "ACCESS_GROUP", "STORE"
"""In the audit trail."""


async def list_groups(runner: Runner, org_id: int) -> list[AccessGroup] | Refusal:
    """The access groups of an organisation, oldest first; 300004 if there is none such."""

    async def read(tx: Tx) -> list[AccessGroup] | Refusal:
        if await load_org(tx, org_id) is None:
            return _no_org()
        return await load_groups(tx, org_id, LISTED_MAX)

    return await runner.operate(read)


async def create_group(
    runner: Runner, org_id: int, name: str, access: Access
) -> AccessGroup | Refusal:
    """Make an access group; 300004 for an unknown organisation or a name that is taken in it."""

    async def write(tx: Tx) -> AccessGroup | Refusal:
        if not await lock_org(tx, org_id):
            return _no_org()
        made = await insert_group(tx, org_id, name, access, clock.now())
        if made is None:
            return _name_taken()
        await note_change(tx, org_id, _GROUP, made.access_group_id, None, made)
        return made

    return await runner.operate(write)


async def change_group(
    runner: Runner, org_id: int, access_group_id: int, name: str, access: Access
) -> AccessGroup | Refusal:
    """Replace a group's fields, for all who have it; 300004 if it is unknown or the name taken."""

    async def write(tx: Tx) -> AccessGroup | Refusal:
        if not await lock_org(tx, org_id):
            return _no_org()
        before = await load_group(tx, org_id, access_group_id)
        if before is None:
            return _refusal("No access group of the organisation has this id.")
        after = await update_group(tx, org_id, access_group_id, name, access)
        if after is None:
            return _name_taken()
        await note_change(tx, org_id, _GROUP, access_group_id, before, after)
        return after

    return await runner.operate(write)


async def list_stores(runner: Runner, org_id: int) -> list[Store] | Refusal:
    """The stores of an organisation, by their ids; 300004 if there is none such."""

    async def read(tx: Tx) -> list[Store] | Refusal:
        if await load_org(tx, org_id) is None:
            return _no_org()
        return await load_stores(tx, org_id, LISTED_MAX)

    return await runner.operate(read)


async def create_store(
    runner: Runner, org_id: int, store_id: int | None, fields: StoreFields
) -> Store | Refusal:
    """Make a store, with a new id unless given.

    300004 for an unknown organisation or access group, and for an id, code, name or external id that
    another store of the organisation has.
    """

    async def write(tx: Tx) -> Store | Refusal:
        refusal = await _store_refusal(tx, org_id, fields)
        if refusal is not None:
            return refusal
        made = await insert_store(tx, org_id, store_id, fields, clock.now())
        if made is None:
            return _known()
        await note_change(tx, org_id, _STORE, made.store_id, None, made.fields)
        return made

    return await runner.operate(write)


async def change_store(
    runner: Runner, org_id: int, store_id: int, fields: StoreFields
) -> Store | Refusal:
    """Replace all fields of a store; 300004 as `create_store`, and for an unknown store."""

    async def write(tx: Tx) -> Store | Refusal:
        refusal = await _store_refusal(tx, org_id, fields)
        if refusal is not None:
            return refusal
        before = await load_store(tx, org_id, store_id)
        if before is None:
            return _refusal("No store of the organisation has this id.")
        after = await update_store(tx, org_id, store_id, fields)
        if after is None:
            return _known()
        await note_change(tx, org_id, _STORE, store_id, before.fields, after.fields)
        return after

    return await runner.operate(write)


async def _store_refusal(tx: Tx, org_id: int, fields: StoreFields) -> Refusal | None:
    if not await lock_org(tx, org_id):
        return _no_org()
    group = fields.access_group_id
    if group is not None and await load_group(tx, org_id, group) is None:
        return _refusal("No access group of the organisation has this accessGroupId.")
    return None


def _no_org() -> Refusal:
    return _refusal("No organisation has this id.")


def _name_taken() -> Refusal:
    return _refusal("Another access group of the organisation has this name.")


def _known() -> Refusal:
    return _refusal("Another store of the organisation has this id, code, name or external id.")


def _refusal(detail: str) -> Refusal:
    return Refusal(INVALID_INPUT, detail)
