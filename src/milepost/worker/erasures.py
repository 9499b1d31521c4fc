"""Erasures: what their callers did not wait for, or a process that was killed has left."""

from __future__ import annotations

import asyncio

from milepost.actions.erasure import scrub, unfinished_erasures
from milepost.database import DatabaseUnavailable
from milepost.logs import log
from milepost.runner import Runner

POLL_SECONDS = 5.0


async def finish_erasures(runner: Runner) -> None:
    """Go through the books of erased customers, one after the other, for ever."""
    while True:
        try:
            await finish_erasures_once(runner)
        except DatabaseUnavailable as error:
            log("erasures_unavailable", "warning", cause=str(error))
        await asyncio.sleep(POLL_SECONDS)


async def finish_erasures_once(runner: Runner) -> None:
    """Finish every erasure that is under way now."""
    after = (0, 0)
    while unfinished := await unfinished_erasures(runner, after):
        for root_org_id, customer_id in unfinished:
            await scrub(runner, root_org_id, customer_id)
        after = unfinished[-1]
