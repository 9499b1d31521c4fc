"""Erase a customer: who it was goes at once, for the whole hierarchy; the books keep balances and counts.

Nobody writes in the hierarchy while the person is deleted, which takes a moment. So whatever was on its
way is there by then, and whatever comes later meets a customer who is unknown: nothing of the person
can come back. What the books hold of them is then gone through in batches, each a transaction that also
says how far it is; so it may be as much as it likes, and be interrupted at any point.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import msgspec

from milepost import clock, logs
from milepost.database import Tenant, Tx
from milepost.errors import INVALID_INPUT, INVALID_USER, Refusal
from milepost.rules.audit import AuditEntry
from milepost.runner import Runner
from milepost.store.audit import insert_audit
from milepost.store.erasure import (
    Erasure,
    Gone,
    erase_person,
    load_erasure,
    load_unfinished,
    scrub_entries,
)
from milepost.store.orgs import load_hierarchy, load_org
from milepost.store.pipeline import await_writers

ENTRIES_AT_ONCE = 2_000
"""Entries of the journal that one transaction goes through."""
BATCHES_ANSWERED_MAX = 5
"""Batches that a caller waits for; the worker does the rest."""
UNFINISHED_AT_ONCE = 100
SALT_BYTES = 32


def _gone() -> Gone:
    refusal = Refusal(INVALID_INPUT, "The first answer is gone: a customer of it was erased.")
    item = {"code": refusal.error.code, "message": refusal.message}
    return Gone(
        refusal.error.status,
        msgspec.json.encode({"data": None, "errors": [item], "warnings": None}),
        msgspec.json.encode({"errors": [{"status": False, **item}], "warnings": []}),
    )


GONE = _gone()


@dataclass(frozen=True, slots=True)
class Erased:
    """A customer who is erased; RUNNING: nobody finds them any more, but the books are not done with."""

    customer_id: int
    erased_at: datetime
    status: Literal["DONE", "RUNNING"]


async def erase(
    runner: Runner,
    tenant: Tenant,
    customer_id: int,
    credential_id: int,
    *,
    entries_at_once: int = ENTRIES_AT_ONCE,
    batches_max: int = BATCHES_ANSWERED_MAX,
) -> Erased | Refusal:
    """Erase a customer of the hierarchy, or go on with it; safe to repeat. 310011 for an unknown one."""

    async def begin(tx: Tx) -> Erasure | Refusal:
        return await _begin(tx, tenant, customer_id, credential_id)

    begun = await runner.operate(begin)
    if isinstance(begun, Refusal):
        return begun
    finished = begun.finished or await scrub(
        runner, tenant.root_org_id, customer_id, entries_at_once, batches_max
    )
    return Erased(customer_id, begun.erased_at, "DONE" if finished else "RUNNING")


async def scrub(
    runner: Runner,
    root_org_id: int,
    customer_id: int,
    entries_at_once: int = ENTRIES_AT_ONCE,
    batches_max: int | None = None,
) -> bool:
    """Go on through the books of an erased customer, `batches_max` batches at most; whether it is done."""

    async def batch(tx: Tx) -> bool:
        return await scrub_entries(tx, root_org_id, customer_id, entries_at_once, GONE, clock.now())

    done = 0
    while batches_max is None or done < batches_max:
        if await runner.operate(batch):
            return True
        done += 1
    return False


async def unfinished_erasures(
    runner: Runner, after: tuple[int, int] = (0, 0)
) -> list[tuple[int, int]]:
    """The next erasures of which the books are not done with: (root organisation, customer)."""
    return await runner.operate(lambda tx: load_unfinished(tx, after, UNFINISHED_AT_ONCE))


async def _begin(tx: Tx, tenant: Tenant, customer_id: int, credential_id: int) -> Erasure | Refusal:
    root = tenant.root_org_id
    known = await load_erasure(tx, root, customer_id)
    if known is not None:
        return known
    await await_writers(tx, root)
    known = await load_erasure(tx, root, customer_id)
    if known is not None:
        return known
    org = await load_org(tx, tenant.org_id)
    assert org is not None
    erased_at = org.sandbox_now or clock.now()
    salt = secrets.token_bytes(SALT_BYTES)
    if not await erase_person(tx, root, customer_id, erased_at, salt):
        return Refusal(INVALID_USER)
    act = (erased_at, credential_id, logs.request_id.get(), "ERASED", "CUSTOMER", str(customer_id))
    # Every organisation of the hierarchy loses what it had of them.
    members = await load_hierarchy(tx, root)
    await insert_audit(tx, [AuditEntry(member.org_id, *act) for member in members])
    return Erasure(erased_at, finished=False)
