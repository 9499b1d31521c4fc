"""Hears that definitions changed and refreshes them before the next request needs them.

Only a hurry-up: every batch checks the revision itself, so a lost notification costs a reload and
never an old decision.
"""

from __future__ import annotations

import asyncio

from milepost.database import DatabaseUnavailable, Tenant, Tx
from milepost.logs import log
from milepost.runner import Runner

CHANNEL = "milepost_definitions"
RETRY_SECONDS = 1.0


async def listen(runner: Runner) -> None:
    """Refresh the definitions that this process caches whenever a process changes them; for ever."""
    while True:
        try:
            async for payload in runner.database.notifications(CHANNEL):
                await _refresh(runner, payload)
        except DatabaseUnavailable as error:
            log("listener_lost", "warning", cause=str(error))
        await asyncio.sleep(RETRY_SECONDS)


async def _refresh(runner: Runner, payload: str) -> None:
    try:
        org_id, root_org_id, revision = (int(part) for part in payload.split())
    except ValueError:
        return  # anybody who may connect may notify: what is not ours must not end the listening
    known = runner.definitions.known_revision(org_id)
    if known is not None and known < revision:
        # Any read brings the definitions up to the revision that it meets.
        await runner.read(Tenant(org_id, root_org_id), _nothing)


async def _nothing(tx: Tx, tenant: Tenant, moment: object) -> None:
    return None
