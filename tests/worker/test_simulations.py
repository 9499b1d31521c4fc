"""The worker's process runs what is queued, and what a killed one left, without being called."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from milepost.actions.activities import RECORD
from milepost.actions.simulations import SIMULATIONS, Queue
from milepost.database import Tenant, database
from milepost.rules.activities import EVENT, Activity
from milepost.rules.recording import RecordActivity
from milepost.runner import Runner
from milepost.settings import Settings
from tests.store.world import World, make_world
from tests.worker.test_due_work import wait_for, worker

JUNE, JULY = datetime(2026, 6, 1, tzinfo=UTC), datetime(2026, 7, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
async def world(database_url: str) -> World:
    """Three hundred customers with an activity each, and two simulations of them queued."""
    made = make_world(database_url)
    customers = range(1, 301)
    made.register(*customers)
    runner = Runner(database(database_url, Settings()))
    await runner.database.open()
    commands = [
        RecordActivity(Activity("a", customer, EVENT, JUNE, "walk")) for customer in customers
    ]
    await runner.run(RECORD, Tenant(1, 1), commands)
    for _ in range(2):
        await runner.run(SIMULATIONS, Tenant(1, 1), [Queue(1, JUNE, JULY, made.group_id)])
    await runner.database.close()
    return made


def test_what_is_queued_or_was_left_is_run(world: World, database_url: str) -> None:
    # As a worker leaves one that is killed right after its first step.
    world.run(
        """
        UPDATE simulations SET status = 'RUNNING', step = 1, started_at = now(), held_until = now()
        WHERE simulation_id = (SELECT min(simulation_id) FROM simulations)
        """
    )
    with worker(database_url):
        wait_for(lambda: world.run("SELECT 1 FROM simulations WHERE status <> 'DONE'") == [])
    rows = world.run("SELECT customers_done, tally ->> 'customers' FROM simulations")
    assert rows == [(300, "300")] * 2
