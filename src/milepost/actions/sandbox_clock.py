"""The clock of a sandbox organisation: it stands still until it is moved forward (contract §2)."""

from __future__ import annotations

from datetime import datetime

from milepost.database import Tenant, Tx
from milepost.errors import INVALID_INPUT, Refusal
from milepost.runner import Moment, Runner
from milepost.store.orgs import load_org, lock_clock, move_clock


async def read_clock(runner: Runner, tenant: Tenant) -> datetime | Refusal:
    """The instant that a sandbox stands at, a child's being its root's; 300004 for no sandbox."""

    async def read(tx: Tx, tenant: Tenant, _: Moment) -> datetime | Refusal:
        org = await load_org(tx, tenant.org_id)
        return org.sandbox_now if org is not None and org.sandbox_now else _no_sandbox()

    return await runner.read(tenant, read)


async def set_clock(runner: Runner, tenant: Tenant, to: datetime) -> datetime | Refusal:
    """Move a sandbox's clock, and so that of its whole hierarchy, forward to `to`; answers `to`.

    `to` is within what `rules/calendar.py` reads. Backwards and no sandbox are 300004; to the
    same instant there is nothing to do. Concurrent moves come one after the other.
    """

    async def write(tx: Tx) -> datetime | Refusal:
        now = await lock_clock(tx, tenant.root_org_id)
        if now is None:
            return _no_sandbox()
        if to < now:
            return Refusal(INVALID_INPUT, f"The clock stands at {now.isoformat()} already.")
        if to > now:
            await _advance(tx, tenant.root_org_id, to)
        return to

    return await runner.operate(write)


async def _advance(tx: Tx, root_org_id: int, to: datetime) -> None:
    """Go the way to `to`. Whatever falls due on it belongs here, in due order, before the last step."""
    await move_clock(tx, root_org_id, to)


def _no_sandbox() -> Refusal:
    return Refusal(INVALID_INPUT, "Only a sandbox has a clock of its own.")
