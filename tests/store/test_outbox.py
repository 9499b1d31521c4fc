"""What a batch writes of what brands are told: a row per customer and version, in the same statement."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from milepost.actions.activities import RECORD
from milepost.actions.enrolment import ENROLMENT
from milepost.database import Tenant
from milepost.rules.activities import TRANSACTION, TRANSACTION_ADD, Activity
from milepost.rules.enrolment import Enrol
from milepost.rules.recording import RecordActivity
from milepost.runner import Runner
from tests.store.world import World


def enrol(world: World, customer: int) -> Enrol:
    return Enrol(world.group_id, world.group_id, customer, "c1", 1000)


@pytest.fixture
def heard(world: World) -> None:
    world.run(
        "INSERT INTO webhooks (org_id, webhook_id, name_key, active, hears_children, webhook, secret) "
        "VALUES (%(org)s, 'a', 'a', true, false, '{}', '') ON CONFLICT DO NOTHING"
    )
    world.run(
        "UPDATE orgs SET is_notified = true, definitions_revision = definitions_revision + 1 "
        "WHERE org_id = %(org)s"
    )


@pytest.mark.one_server
@pytest.mark.parametrize("size", [1, 200])
async def test_being_heard_costs_a_batch_no_statement_whatever_its_size(
    world: World,
    runner: Runner,
    tenant: Tenant,
    heard: None,
    size: int,
    statements: list[str],
) -> None:
    first = 10_000 * size
    world.register(*range(first, first + size))
    await runner.run(ENROLMENT, tenant, [enrol(world, -1)])  # the definitions are cached now
    statements.clear()
    commands = [enrol(world, first + n) for n in range(size)]
    assert await runner.run(ENROLMENT, tenant, commands) == list(range(first, first + size))
    # As many as tests/store/test_members.py counts where nobody listens.
    assert len(statements) == 8
    rows = world.run(
        "SELECT count(*), min(version), max(version) FROM webhook_outbox "
        "WHERE org_id = %(org)s AND customer_id >= %(first)s",
        first=first,
    )
    assert rows == [(size, 1, 1)]


async def test_what_has_nothing_to_tell_is_not_in_the_outbox(
    world: World, runner: Runner, tenant: Tenant, heard: None
) -> None:
    world.register(5)
    at = datetime(2026, 6, 2, tzinfo=UTC)
    await runner.run(
        RECORD, tenant, [RecordActivity(Activity("a", 5, TRANSACTION, at, TRANSACTION_ADD))]
    )
    assert world.run("SELECT version FROM customer_versions WHERE customer_id = 5") == [(1,)]
    assert world.run("SELECT FROM webhook_outbox WHERE customer_id = 5") == []


async def test_a_batch_that_is_undone_leaves_nothing_to_tell(
    world: World, runner: Runner, tenant: Tenant, heard: None
) -> None:
    world.register(6)

    class Broken(type(ENROLMENT)):  # type: ignore[misc]
        async def save(self, *rest: Any) -> None:
            await super().save(*rest)
            raise RuntimeError("after the save")

    with pytest.raises(RuntimeError):
        await runner.run(Broken(), tenant, [enrol(world, 6)])
    assert world.run("SELECT FROM webhook_outbox WHERE customer_id = 6") == []
