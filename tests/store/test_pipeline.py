"""What is sent down the pipeline arrives, however large it is."""

from __future__ import annotations

import asyncio

from milepost.actions.activities import RECORD
from milepost.database import Tenant
from milepost.runner import Runner
from tests.store.test_activities import enrol, purchase
from tests.store.world import World


async def test_a_save_larger_than_any_buffer_does_not_wait_for_an_answer_to_what_was_not_sent(
    world: World, runner: Runner, tenant: Tenant
) -> None:
    customers = list(range(1, 1_001))
    await enrol(world, runner, tenant, customers)
    rows = {"text": "x" * 2_000}
    async with asyncio.timeout(60):
        for number in range(8):
            batch = [purchase(f"p{number}", customer, attributes=rows) for customer in customers]
            outcomes = await runner.run(RECORD, tenant, batch)
            assert {outcome.status for outcome in outcomes} == {"ACCEPTED"}
