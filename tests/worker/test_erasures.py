"""The worker's process finishes the erasures that nobody waits for, without being called."""

from __future__ import annotations

from datetime import UTC, datetime

from milepost.actions.activities import RECORD
from milepost.actions.erasure import erase
from milepost.database import Tenant, database
from milepost.rules.activities import EVENT, Activity
from milepost.rules.recording import RecordActivity
from milepost.runner import Runner
from milepost.settings import Settings
from tests.store.world import make_world
from tests.worker.test_due_work import wait_for, worker

JUNE = datetime(2026, 6, 1, tzinfo=UTC)


async def test_erasures_that_are_under_way_are_finished(database_url: str) -> None:
    world, tenant = make_world(database_url), Tenant(1, 1)
    world.register(1, 2)
    runner = Runner(database(database_url, Settings()))
    await runner.database.open()
    for number in range(10):
        commands = [
            RecordActivity(Activity(f"run {number}", customer, EVENT, JUNE, "run"))
            for customer in (1, 2)
        ]
        await runner.run(RECORD, tenant, commands)
    for customer in (1, 2):
        await erase(runner, tenant, customer, 1, entries_at_once=2, batches_max=customer)
    await runner.database.close()
    assert len(world.run("SELECT 1 FROM activities WHERE activity_id LIKE 'run %%'")) == 14
    with worker(database_url):
        wait_for(lambda: world.run("SELECT 1 FROM erasures WHERE finished_at IS NULL") == [])
    assert world.run("SELECT 1 FROM activities WHERE activity_id LIKE 'run %%'") == []
    assert world.run("SELECT 1 FROM journal WHERE details ->> 'activity' LIKE 'run %%'") == []
