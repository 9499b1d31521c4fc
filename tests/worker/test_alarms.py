"""Alarms: jobs that join the transaction of a definition's edit."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import psycopg
import pytest
from procrastinate import App

from milepost import clock
from milepost.actions.definitions import DEFINITION_EDITS, DefineGroup, Edited, EditGroup
from milepost.actions.orgs import CreatedOrg, OrgDraft, create_org
from milepost.database import Tenant, database, jobs_pool
from milepost.rules.definitions import TargetGroup
from milepost.rules.drafts import GroupDraft, PeriodDraft
from milepost.runner import Runner
from milepost.settings import Settings
from milepost.store.jobs import set_alarms
from milepost.store.pipeline import act_for
from milepost.worker.due import QUEUE, TASK, create_jobs

_names = count(1)


@pytest.fixture
async def runner(database_url: str) -> AsyncIterator[Runner]:
    made = Runner(database(database_url, Settings()))
    await made.database.open()
    yield made
    await made.database.close()


async def new_org(runner: Runner, *, sandbox: bool = False) -> Tenant:
    made = await create_org(runner, OrgDraft("Test", "UTC", sandbox=sandbox))
    assert isinstance(made, CreatedOrg)
    return Tenant(made.org.org_id, made.org.root_org_id)


async def define(runner: Runner, tenant: Tenant, **fields: Any) -> TargetGroup:
    """A milestone of three days from 2100 on."""
    days = [
        PeriodDraft(start_date=f"2100-01-0{n}", end_date=f"2100-01-0{n}", ref_code=f"c{n}")
        for n in (1, 2, 3)
    ]
    draft = GroupDraft(
        name=f"G{next(_names)}", tracking_type="DEFAULT", periods=tuple(days), **fields
    )
    (edited,) = await runner.run(DEFINITION_EDITS, tenant, [DefineGroup(5, draft)])
    assert isinstance(edited, Edited), edited
    assert edited.after is not None
    return edited.after


def alarms(database_url: str, tenant: Tenant) -> list[datetime]:
    """When the organisation's alarms ring, in order."""
    with psycopg.connect(database_url) as connection:
        rows = connection.execute(
            "SELECT scheduled_at FROM jobs.procrastinate_jobs "
            "WHERE (args ->> 'org_id')::bigint = %s ORDER BY 1",
            (tenant.org_id,),
        )
        return [row[0] for row in rows]


def january(*days: int) -> list[datetime]:
    return [datetime(2100, 1, day, tzinfo=UTC) for day in days]


async def test_an_edit_sets_an_alarm_at_each_instant_at_which_something_falls_due(
    runner: Runner, database_url: str
) -> None:
    tenant = await new_org(runner)
    await define(runner, tenant)
    assert alarms(database_url, tenant) == january(1, 2, 3, 4)


async def test_two_groups_share_the_alarms_of_one_instant(
    runner: Runner, database_url: str
) -> None:
    tenant = await new_org(runner)
    await define(runner, tenant)
    await define(runner, tenant, settlement_delay_days=3)
    assert alarms(database_url, tenant) == january(1, 2, 3, 4, 5, 6, 7)


async def test_a_later_edit_adds_alarms_for_new_instants_only(
    runner: Runner, database_url: str
) -> None:
    tenant = await new_org(runner)
    group = await define(runner, tenant)
    longer = EditGroup(5, group.id, GroupDraft(settlement_delay_days=1))
    await runner.run(DEFINITION_EDITS, tenant, [longer])
    assert alarms(database_url, tenant) == january(1, 2, 3, 4, 5)


async def test_a_sandbox_has_none_for_its_clock_stands_still(
    runner: Runner, database_url: str
) -> None:
    tenant = await new_org(runner, sandbox=True)
    await define(runner, tenant)
    assert alarms(database_url, tenant) == []


async def test_an_edit_that_is_not_committed_sets_none(runner: Runner, database_url: str) -> None:
    tenant = await new_org(runner)

    class Failing(type(DEFINITION_EDITS)):  # type: ignore[misc]
        async def save(self, *rest: object) -> None:
            await super().save(*rest)
            raise ZeroDivisionError

    draft = GroupDraft(
        name="Never", tracking_type="DEFAULT", frequency_type="DAILY", recurring_cycles=3
    )
    with pytest.raises(ZeroDivisionError):
        await runner.run(Failing(), tenant, [DefineGroup(5, draft)])
    assert alarms(database_url, tenant) == []


async def test_a_request_sets_alarms_for_its_own_organisation_and_sees_no_job(
    runner: Runner, database_url: str
) -> None:
    tenant, other = await new_org(runner), await new_org(runner)
    async with runner.database.transaction() as tx:
        await act_for(tx, tenant)
        await set_alarms(tx, january(9))
    assert (alarms(database_url, tenant), alarms(database_url, other)) == (january(9), [])
    async with runner.database.transaction() as tx:
        await set_alarms(tx, january(9))  # for nobody
    for statement in (
        "SELECT FROM jobs.procrastinate_jobs",
        "DELETE FROM jobs.procrastinate_jobs",
        "SELECT jobs.procrastinate_fetch_job_v2(NULL, 1)",
        "SELECT jobs.procrastinate_cancel_job_v1(1, true, true)",
    ):

        async def attempt(sql: str) -> None:
            async with runner.database.transaction() as tx:
                await act_for(tx, tenant)
                await tx.ask(sql).rows()

        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            await attempt(statement)


async def test_an_alarm_that_rings_is_a_job_of_the_workers_task(
    runner: Runner, database_url: str
) -> None:
    tenant = await new_org(runner)
    async with runner.database.transaction() as tx:
        await act_for(tx, tenant)
        await set_alarms(tx, [clock.now() - timedelta(seconds=1)])
    app, pool = create_jobs(runner), jobs_pool(database_url, Settings())
    await pool.open()
    await app.open_async(pool)
    assert await jobs(app, tenant, "todo") == [
        {"org_id": tenant.org_id, "root_org_id": tenant.root_org_id}
    ]
    async with asyncio.timeout(20):
        await app.run_worker_async(
            queues=[QUEUE], wait=False, listen_notify=False, install_signal_handlers=False
        )
    assert len(await jobs(app, tenant, "succeeded")) == 1
    await pool.close()


async def jobs(app: App, tenant: Tenant, status: str) -> list[dict[str, Any]]:
    """The arguments of the worker's jobs for an organisation."""
    found = await app.job_manager.list_jobs_async(queue=QUEUE, task=TASK, status=status)
    arguments = [dict(job.task_kwargs) for job in found]
    return [each for each in arguments if each["org_id"] == tenant.org_id]


async def test_jobs_stay_out_of_the_schema_of_the_tables(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        found = connection.execute(
            "SELECT DISTINCT n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
            "WHERE c.relname LIKE 'procrastinate%' OR c.relname LIKE 'idx_procrastinate%'"
        ).fetchall()
        assert found == [("jobs",)]
        path = connection.execute("SHOW search_path").fetchone()
    assert path is not None
    assert "jobs" not in path[0]
