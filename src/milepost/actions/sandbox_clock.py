"""The clock of a sandbox organisation: it stands still until it is moved forward (contract §2)."""

from __future__ import annotations

from datetime import datetime

from milepost import logs
from milepost.actions.settlement import finish_due
from milepost.database import Tenant, Tx
from milepost.errors import INVALID_INPUT, Refusal
from milepost.rules.audit import AuditEntry, changed
from milepost.runner import Moment, Runner
from milepost.store.audit import insert_audit
from milepost.store.orgs import load_hierarchy, load_org, lock_clock, move_clock
from milepost.store.pipeline import await_writers


async def read_clock(runner: Runner, tenant: Tenant) -> datetime | Refusal:
    """The instant that a sandbox stands at, a child's being its root's; 300004 for no sandbox."""

    async def read(tx: Tx, tenant: Tenant, _: Moment) -> datetime | Refusal:
        org = await load_org(tx, tenant.org_id)
        return org.sandbox_now if org is not None and org.sandbox_now else _no_sandbox()

    return await runner.read(tenant, read)


async def set_clock(
    runner: Runner, tenant: Tenant, to: datetime, credential_id: int | None = None
) -> datetime | Refusal:
    """Move a sandbox's clock, and so that of its whole hierarchy, forward to `to`; answers `to`.

    `to` is within what `rules/calendar.py` reads. Backwards and no sandbox are 300004; to the same
    instant is no move. Before this returns, everything that has fallen due by `to` is done, in due
    order and as of its due instant, also what an earlier move was interrupted at. What happens
    meanwhile is decided at `to`. `credential_id` is who moves it. Raises `DatabaseUnavailable`: then the
    same move does the rest.
    """

    async def write(tx: Tx) -> list[Tenant] | Refusal:
        # Before the clock's own row, which a writer may be waiting for.
        await await_writers(tx, tenant.root_org_id)
        now = await lock_clock(tx, tenant.root_org_id)
        if now is None:
            return _no_sandbox()
        if to < now:
            return Refusal(INVALID_INPUT, f"The clock stands at {now.isoformat()} already.")
        hierarchy = await load_hierarchy(tx, tenant.root_org_id)
        if to > now:
            await move_clock(tx, tenant.root_org_id, to)
            told = changed({"now": now}, {"now": to})
            act = (now, credential_id, logs.request_id.get(), "MOVED", "CLOCK")
            root = str(tenant.root_org_id)
            entries = [AuditEntry(member.org_id, *act, root, told) for member in hierarchy]
            await insert_audit(tx, entries)
        return hierarchy

    hierarchy = await runner.operate(write)
    if isinstance(hierarchy, Refusal):
        return hierarchy
    for member in hierarchy:
        await finish_due(runner, member, to)
    return to


def _no_sandbox() -> Refusal:
    return Refusal(INVALID_INPUT, "Only a sandbox has a clock of its own.")
