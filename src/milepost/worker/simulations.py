"""Dry runs: taken up as they are queued, and again where their process is not heard of any more."""

from __future__ import annotations

import asyncio

from milepost.actions.simulations import run_simulation, unfinished_simulations
from milepost.database import DatabaseUnavailable
from milepost.logs import log
from milepost.runner import Runner

POLL_SECONDS = 1.0


async def simulate(runner: Runner) -> None:
    """Run dry runs, one after the other, for ever. One that is cancelled here goes on elsewhere, or later."""
    while True:
        try:
            for tenant, simulation_id in await unfinished_simulations(runner):
                await run_simulation(runner, tenant, simulation_id)
        except DatabaseUnavailable as error:
            log("simulations_unavailable", "warning", cause=str(error))
        await asyncio.sleep(POLL_SECONDS)
