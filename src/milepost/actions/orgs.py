"""Organisations, as their operator makes, lists and changes them: contract §2."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from milepost import clock
from milepost.actions.audit import note_change
from milepost.actions.credentials import (
    NewCredential,
    new_oauth_client,
    new_till,
    save_credential,
)
from milepost.database import Tx
from milepost.errors import INVALID_INPUT, Refusal, Refused
from milepost.rules import calendar
from milepost.runner import Runner
from milepost.store.access import load_group, lock_org
from milepost.store.orgs import Org, insert_org, load_org, load_orgs, update_org

NAME_CHARACTERS_MAX = 200


@dataclass(frozen=True, slots=True)
class OrgDraft:
    """What an operator asks an organisation to be.

    `sandbox` None: its parent's, or no sandbox. `now` is the text of an instant, only for a sandbox
    without a parent; None: the wall clock's.
    """

    name: str
    time_zone: str
    parent_org_id: int | None = None
    sandbox: bool | None = None
    now: str | None = None
    returns_adjust_targets: bool | None = None
    revokes_restore_limits: bool | None = None


@dataclass(frozen=True, slots=True)
class CreatedOrg:
    """A new organisation and its first credentials, which may do everything and are shown once."""

    org: Org
    till: NewCredential
    oauth: NewCredential


async def create_org(
    runner: Runner,
    draft: OrgDraft,
    *,
    till: NewCredential | None = None,
    oauth: NewCredential | None = None,
) -> CreatedOrg | Refusal:
    """Make an organisation with its first credentials, which are new ones unless given.

    300004 for a blank or long name, an unknown zone, a parent that is unknown or a child itself, what
    contradicts the parent, a bad `now`, or a credential's name that is taken.
    """
    now = _check(draft)
    if isinstance(now, Refusal):
        return now
    first_till = await _given_or_new(till, new_till)
    first_oauth = await _given_or_new(oauth, new_oauth_client)

    async def write(tx: Tx) -> CreatedOrg | Refusal:
        sandbox = bool(draft.sandbox)
        if draft.parent_org_id is not None:
            parent = await load_org(tx, draft.parent_org_id)
            if parent is None or parent.parent_org_id is not None:
                return _refusal("The parent is unknown or a child itself.")
            if draft.sandbox not in (None, parent.sandbox):
                return _refusal("A child shares its parent's sandbox: leave it out.")
            sandbox = parent.sandbox
        created_at = clock.now()
        org_id = await insert_org(
            tx,
            name=draft.name,
            time_zone=draft.time_zone,
            parent_org_id=draft.parent_org_id,
            sandbox=sandbox,
            sandbox_now=(now or created_at) if sandbox and draft.parent_org_id is None else None,
            returns_adjust_targets=draft.returns_adjust_targets is not False,
            revokes_restore_limits=draft.revokes_restore_limits is True,
            created_at=created_at,
        )
        org = await load_org(tx, org_id)
        assert org is not None
        await note_change(tx, org_id, "ORGANISATION", org_id, None, org)
        till_id: int | None = None
        for made in (first_till, first_oauth):
            # What the first OAuth client does counts for the first till, unless it says otherwise.
            till_id = await save_credential(tx, org_id, made, None, till_id)
            if till_id is None:
                # The organisation must not stay: an exception undoes the transaction.
                raise Refused(INVALID_INPUT, f"The name {made.name} is taken.")
        return CreatedOrg(org, first_till, first_oauth)

    try:
        return await runner.operate(write)
    except Refused as refused:
        return refused.refusal


async def list_orgs(runner: Runner) -> list[Org]:
    """Every organisation, oldest first."""
    return await runner.operate(load_orgs)


async def change_org(
    runner: Runner,
    org_id: int,
    *,
    name: str | None,
    returns_adjust_targets: bool | None,
    revokes_restore_limits: bool | None,
    default_access_group_id: int | None = None,
) -> Org | Refusal:
    """Change the name and settings that are not None; 300004 for a bad name or an unknown id."""
    if name is not None and (refusal := _refuse_name(name)) is not None:
        return refusal

    async def write(tx: Tx) -> Org | Refusal | None:
        await lock_org(tx, org_id)
        before = await load_org(tx, org_id)
        group = default_access_group_id
        if group is not None and await load_group(tx, org_id, group) is None:
            return _refusal("No access group of the organisation has this defaultAccessGroupId.")
        after = await update_org(
            tx,
            org_id,
            name=name,
            returns_adjust_targets=returns_adjust_targets,
            revokes_restore_limits=revokes_restore_limits,
            default_access_group_id=group,
        )
        if after is not None:
            await note_change(tx, org_id, "ORGANISATION", org_id, before, after)
        return after

    return await runner.operate(write) or _refusal("No organisation has this id.")


async def _given_or_new(
    given: NewCredential | None, make: Callable[[], NewCredential]
) -> NewCredential:
    return given if given is not None else await asyncio.to_thread(make)


def _check(draft: OrgDraft) -> datetime | Refusal | None:
    """The instant of `now`, or why the draft cannot be whatever its parent is."""
    if (refusal := _refuse_name(draft.name)) is not None:
        return refusal
    zone = calendar.zone(draft.time_zone)
    if isinstance(zone, Refusal):
        return zone
    if draft.now is None:
        return None
    if draft.parent_org_id is not None:
        return _refusal("A child shares its parent's clock: now must be null.")
    if not draft.sandbox:
        return _refusal("Only a sandbox has a clock of its own: now must be null.")
    return calendar.parse_instant(draft.now)


def _refuse_name(name: str) -> Refusal | None:
    if name.strip() and len(name) <= NAME_CHARACTERS_MAX and "\x00" not in name:
        return None
    return _refusal(f"name must have 1 to {NAME_CHARACTERS_MAX} characters.")


def _refusal(detail: str) -> Refusal:
    return Refusal(INVALID_INPUT, detail)
