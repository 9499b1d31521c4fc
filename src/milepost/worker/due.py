"""The worker: wakes when something falls due, and looks every minute whether anything was left.

A job is an alarm clock and no more. What is due, and how far it is done, stands in the definitions and
in `passes`; so a job that is lost, late, rung twice or killed costs a minute and never a settlement.
Any number of workers may run: they take turns within an organisation.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

from procrastinate import App, JobContext, PsycopgConnector
from procrastinate.exceptions import ProcrastinateException
from procrastinate.jobs import Status

from milepost import clock
from milepost.actions.retention import forget
from milepost.actions.settlement import settle_due
from milepost.database import DatabaseUnavailable, Tenant, Tx, database, jobs_pool
from milepost.logs import log
from milepost.runner import Runner
from milepost.settings import Settings
from milepost.store.passes import load_orgs_with_due_work
from milepost.traces import span
from milepost.worker import deliveries
from milepost.worker.deliveries import Post, add_deliveries, open_post
from milepost.worker.erasures import finish_erasures
from milepost.worker.simulations import simulate

QUEUE = "due"
TASK = "settle"
"""Both, and the task's arguments, are what the database's function `jobs.set_alarms` writes."""
ORGS_AT_ONCE = 2
POLL_SECONDS = 1.0
"""How late an alarm may ring. Nothing tells when the time of one has come."""
HEARTBEAT_SECONDS = 5.0
STALLED_SECONDS = 30.0
RETRY_SECONDS = 1.0
EARLY_SECONDS_MAX = 60.0
"""How far this clock may be behind the database's and still be waited for."""
ABORT_SECONDS = 1.0
"""How long a batch in flight may take when the worker stops; then it is undone."""


async def work(settings: Settings, stop: asyncio.Event) -> None:
    """Do due work, dry runs, deliveries and erasures until `stop` is set.

    A batch in flight then is finished or undone.
    """
    few = replace(settings, pool_size_max=ORGS_AT_ONCE + 2)
    runner = Runner(database(settings.database_url, few))
    pool = jobs_pool(settings.database_url, few)
    app = create_jobs(runner)
    # Connections of their own: receivers that keep the deliveries busy keep nobody's cycle waiting.
    post = open_post(Runner(database(settings.database_url, few), runner.definitions), settings)
    add_deliveries(app, post)
    await runner.database.open()
    await post.runner.database.open()
    await pool.open()
    await app.open_async(pool)
    tasks = [
        asyncio.create_task(_ring(app, QUEUE, ORGS_AT_ONCE, POLL_SECONDS)),
        asyncio.create_task(
            _ring(app, deliveries.QUEUE, deliveries.ENDPOINTS_AT_ONCE, deliveries.POLL_SECONDS)
        ),
        asyncio.create_task(_sweep(app, runner, post, settings)),
        asyncio.create_task(simulate(runner)),
        asyncio.create_task(deliveries.look(post)),
        asyncio.create_task(finish_erasures(runner)),
    ]
    tasks.append(asyncio.create_task(_until(stop)))
    ended, running = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    post.is_ending = True
    # Again and again: the job queue, told to end while it starts, takes that for the end of one run.
    while running:
        for task in running:
            task.cancel()
        _, running = await asyncio.wait(running, timeout=ABORT_SECONDS)
    await asyncio.gather(*tasks, return_exceptions=True)
    await post.close()
    await pool.close(timeout=1)
    await post.runner.database.close()
    await runner.database.close()
    for task in ended:
        task.result()  # a defect ends the process, and its parent starts another


async def _until(stop: asyncio.Event) -> None:
    await stop.wait()


def create_jobs(runner: Runner) -> App:
    """The job queue's only task, on connections that it is given when it is opened."""
    app = App(connector=PsycopgConnector())

    @app.task(name=TASK, queue=QUEUE, pass_context=True)
    async def settle(context: JobContext, org_id: int, root_org_id: int) -> None:
        """Do what is due in an organisation. The database's clock may be ahead of this one."""
        if context.job.scheduled_at is not None:
            early = (context.job.scheduled_at - clock.now()).total_seconds()
            await asyncio.sleep(min(max(early, 0), EARLY_SECONDS_MAX))
        await _settle(runner, Tenant(org_id, root_org_id))

    return app


async def _ring(app: App, queue: str, concurrency: int, poll_seconds: float) -> None:
    """Run the jobs of a queue as they ring, for ever."""
    while True:
        try:
            await app.run_worker_async(
                queues=[queue],
                name=queue,
                concurrency=concurrency,
                fetch_job_polling_interval=poll_seconds,
                listen_notify=False,
                shutdown_graceful_timeout=ABORT_SECONDS,
                update_heartbeat_interval=HEARTBEAT_SECONDS,
                stalled_worker_timeout=STALLED_SECONDS,
                delete_jobs="always",
                install_signal_handlers=False,
            )
        except ProcrastinateException as error:
            log("alarms_unavailable", "warning", cause=type(error).__name__)
        await asyncio.sleep(RETRY_SECONDS)


async def _sweep(app: App, runner: Runner, post: Post, settings: Settings) -> None:
    """Do what was left, now and again and again: what no alarm rang for, or what its job did not end.

    And forget what has been kept long enough.
    """
    while True:
        try:
            for tenant in await runner.operate(_orgs_with_due_work):
                await _settle(runner, tenant)
            await forget(runner, settings)
            await deliveries.clear_log(post)
            # Nobody does these any more, and there is no need to: this was what they were for.
            stalled = await app.job_manager.get_stalled_jobs(
                seconds_since_heartbeat=STALLED_SECONDS
            )
            for job in stalled:
                await app.job_manager.finish_job(job, Status.FAILED, delete_job=True)
        except (DatabaseUnavailable, ProcrastinateException) as error:
            log("sweep_unavailable", "warning", cause=type(error).__name__)
        await asyncio.sleep(settings.sweep_seconds)


async def _orgs_with_due_work(tx: Tx) -> list[Tenant]:
    return await load_orgs_with_due_work(tx, clock.now())


async def _settle(runner: Runner, tenant: Tenant) -> None:
    try:
        with span("due work", {"milepost.org_id": tenant.org_id}):
            await settle_due(runner, tenant, clock.now())
    except DatabaseUnavailable as error:
        log("due_work_unavailable", "warning", org=tenant.org_id, cause=str(error))
    except Exception as error:  # noqa: BLE001 - one organisation's must not end the others'
        log("due_work_failed", "error", org=tenant.org_id, error=error)
