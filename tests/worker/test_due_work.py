"""The worker's process: it settles real organisations by itself, and survives being killed."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import httpx
import pytest

from milepost import clock, embedded
from milepost.child import start_child
from milepost.settings import Settings
from milepost.worker.due import work
from tests.harness import Org
from tests.scenarios.vocabulary import VOUCHER, data, define_milestone
from tests.store.world import World, make_world
from tests.test_server import Running, alive, serving

DEADLINE_SECONDS = 30.0
_org_ids = count(100)


def wait_for(happened: Callable[[], bool]) -> None:
    """Until it has happened; fails if that takes very long."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not happened():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


@contextmanager
def worker(database_url: str, sweep_seconds: float = 60.0) -> Iterator[subprocess.Popen[bytes]]:
    """A worker's process on a database, told to end afterwards."""
    settings = Settings(database_url=database_url, sweep_seconds=sweep_seconds)
    child = start_child("milepost.worker", settings)
    try:
        yield child
        assert child.stdin is not None
        child.stdin.close()
        assert child.wait(10) in (0, -signal.SIGKILL)
    finally:
        child.kill()
        child.wait()
        for pipe in (child.stdin, child.stdout):
            assert pipe is not None
            pipe.close()


async def test_told_to_end_while_it_starts_it_ends(database_url: str) -> None:
    """The job queue takes that for the end of one run, and would begin another."""
    for milliseconds in range(4, 64, 4):
        stop = asyncio.Event()
        working = asyncio.create_task(work(Settings(database_url=database_url), stop))
        await asyncio.sleep(milliseconds / 1000)
        stop.set()
        async with asyncio.timeout(DEADLINE_SECONDS):
            await working


def real_org(database_url: str, customers: int) -> World:
    """A real organisation with a milestone of months in the past, and everybody enrolled in it."""
    world = make_world(database_url, next(_org_ids))
    world.run("UPDATE orgs SET sandbox = false, sandbox_now = NULL WHERE org_id = %(org)s")
    world.run("UPDATE target_groups SET reward_allocation = 'PERIOD_END' WHERE org_id = %(org)s")
    world.run(
        "UPDATE target_periods SET created_at = '2020-01-01', "
        "starts_at = (starts_at AT TIME ZONE 'UTC' - interval '5 years') AT TIME ZONE 'UTC', "
        "ends_at = (ends_at AT TIME ZONE 'UTC' - interval '5 years') AT TIME ZONE 'UTC' "
        "WHERE org_id = %(org)s"
    )
    first = world.group_id + 1
    enrol_everybody(world, customers, world.group_id, first)
    return world


def enrol_everybody(world: World, customers: int, target_id: int, first_period_id: int) -> None:
    """Customers enrolled from the first cycle on, who have achieved it."""
    ids = {"customers": customers, "target": target_id, "period": first_period_id}
    world.register(*range(1, customers + 1))
    world.run(
        "INSERT INTO enrolments (org_id, customer_id, target_id, stint, enrolment_id, enrolled_at, "
        "from_period_id, attempt) SELECT %(org)s, c, %(target)s, 1, c, '2020-01-01', %(period)s, 1 "
        "FROM generate_series(1, %(customers)s) c",
        **ids,
    )
    world.run(
        "INSERT INTO progress (org_id, customer_id, target_id, period_id, attempt, value, achieved_at) "
        "SELECT %(org)s, c, %(target)s, %(period)s, 1, 1000, '2021-06-10' "
        "FROM generate_series(1, %(customers)s) c",
        **ids,
    )


def settled(world: World) -> bool:
    found = world.run(
        "SELECT 1 FROM passes WHERE org_id = %(org)s AND kind = 'SETTLE' AND finished_at IS NOT NULL"
    )
    return len(found) == 3


def counts(world: World) -> list[tuple[object, ...]]:
    """What is in the journal and in the ledger: how often, and for how many customers."""
    return world.run(
        "SELECT what, number::integer, count(*), count(DISTINCT customer_id) "
        "FROM journal JOIN target_periods USING (org_id, period_id) WHERE org_id = %(org)s GROUP BY 1, 2 "
        "UNION ALL SELECT 'ledger', number::integer, count(*), count(DISTINCT customer_id) "
        "FROM rewards JOIN target_periods USING (org_id, period_id) WHERE org_id = %(org)s GROUP BY 1, 2 "
        "ORDER BY 1, 2"
    )


def expected(customers: int) -> list[tuple[object, ...]]:
    each = (customers, customers)
    return [
        ("REWARDED", 1, *each),
        *(("SETTLED", cycle, *each) for cycle in (1, 2, 3)),
        *(("STARTED", cycle, *each) for cycle in (1, 2, 3)),
        ("ledger", 1, *each),
    ]


def test_what_was_left_is_done_when_the_worker_starts(database_url: str) -> None:
    world = real_org(database_url, 10)
    with worker(database_url):
        wait_for(lambda: settled(world))
    assert counts(world) == expected(10)


def test_what_no_alarm_rang_for_is_found_by_the_sweep(database_url: str) -> None:
    with worker(database_url, sweep_seconds=0.2):
        world = real_org(database_url, 10)
        wait_for(lambda: settled(world))
    assert counts(world) == expected(10)


def test_killed_in_the_middle_of_a_settlement_it_loses_nothing_and_doubles_nothing(
    database_url: str,
) -> None:
    world = real_org(database_url, 6_000)
    begun = (
        "SELECT 1 FROM passes WHERE org_id = %(org)s AND cursor_customer_id > %(cursor)s LIMIT 1"
    )
    for cursor in (0, 2_000):
        with worker(database_url) as child:
            wait_for(lambda cursor=cursor: bool(world.run(begun, cursor=cursor)))  # type: ignore[misc]
            child.kill()
            child.wait()
    assert not settled(world)
    with worker(database_url), worker(database_url):
        wait_for(lambda: settled(world))
    assert counts(world) == expected(6_000)


def test_told_to_end_in_the_middle_of_a_settlement_it_ends_and_goes_on_later(
    database_url: str,
) -> None:
    world = real_org(database_url, 6_000)
    begun = "SELECT 1 FROM passes WHERE org_id = %(org)s AND cursor_customer_id > 0 LIMIT 1"
    with worker(database_url) as child:
        wait_for(lambda: bool(world.run(begun)))
        assert child.stdin is not None
        child.stdin.close()
        assert child.wait(10) == 0
    assert not settled(world)
    with worker(database_url):
        wait_for(lambda: settled(world))
    assert counts(world) == expected(6_000)


def test_the_jobs_of_a_killed_worker_are_cleared_away(database_url: str) -> None:
    world = make_world(database_url, next(_org_ids))
    world.run(
        "INSERT INTO jobs.procrastinate_jobs (queue_name, task_name, status, args) "
        "VALUES ('due', 'settle', 'doing', '{\"org_id\": 1, \"root_org_id\": 1}')"
    )
    with worker(database_url):
        wait_for(lambda: world.run("SELECT 1 FROM jobs.procrastinate_jobs") == [])


def children(process: int) -> list[int]:
    """The due work's process among a service's children."""
    found = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return [
        int(pid)
        for pid in found
        if b"milepost.worker" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    ]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with serving(tmp_path_factory.mktemp("due") / "data") as service:
        yield service


def new_org(service: Running, **fields: object) -> Org:
    """An organisation of a served Milepost: a real one, unless `fields` differ."""
    token = (service.data_dir / "admin-token").read_text()
    made = service.client.post(
        "/milepost/v1/orgs",
        json={"name": "Test", "timeZone": "UTC", **fields},
        headers={"Authorization": f"Bearer {token}"},
        auth=httpx.Auth(),
    )
    till = data(made)["till"]
    client = httpx.Client(
        base_url=service.client.base_url, auth=(till["username"], till["password"]), timeout=20
    )
    return Org(data(made)["orgId"], client, till["username"], till["password"])


def granted_within_seconds(org: Org) -> tuple[datetime, dict[str, object]]:
    """A cycle that ends in a moment and pays then: its end, and the reward it was paid."""
    customer, ends_at = org.register(), clock.now() + timedelta(seconds=2)
    group = org.define(
        name=f"Blink of {customer}",
        trackingType="DEFAULT",
        rewardAllocation="PERIOD_END",
        periods=[
            {
                "refCode": "c1",
                "startDate": (ends_at - timedelta(days=1)).isoformat(),
                "endDate": (ends_at - timedelta.resolution).isoformat(),
            }
        ],
        targets=[
            {
                "name": f"Blink of {customer}",
                "targetEntity": "TRANSACTION",
                "targetType": "SALES",
                "defaultValues": [{"defaultValue": 100}],
                "rewards": [VOUCHER],
            }
        ],
    )
    target = group["targets"][0]["id"]
    enrolled = org.enrol(group["id"], target, customer, periodName="c1", initialBalance=100)
    assert enrolled.status_code == 200, enrolled.text
    path = f"/milepost/v1/customers/{customer}/rewards"
    wait_for(lambda: bool(data(org.get(path))))
    (reward,) = data(org.get(path))
    return ends_at, reward


def test_serve_settles_a_real_organisation_by_itself_at_the_end_of_its_cycle(
    served: Running,
) -> None:
    org = new_org(served)
    ends_at, reward = granted_within_seconds(org)
    assert reward["cause"] == "SETTLEMENT"
    granted_at = datetime.fromisoformat(str(reward["grantedAt"]))
    assert granted_at == ends_at.replace(microsecond=ends_at.microsecond // 1000 * 1000).astimezone(
        UTC
    )
    org.client.close()


def test_a_killed_worker_is_started_again(served: Running) -> None:
    wait_for(lambda: len(children(served.process.pid)) == 1)
    (first,) = children(served.process.pid)
    os.kill(first, signal.SIGKILL)
    wait_for(lambda: children(served.process.pid) not in ([], [first]))
    org = new_org(served)
    granted_within_seconds(org)
    org.client.close()


def test_no_worker_outlives_its_service(tmp_path: Path) -> None:
    with serving(tmp_path / "data") as service:
        wait_for(lambda: len(children(service.process.pid)) == 1)
        (child,) = children(service.process.pid)
        service.process.kill()
        service.ended()
        wait_for(lambda: not alive(child))
    with serving(tmp_path / "data") as service:  # which stops the database that was left running
        assert service.stop() == 0


@pytest.mark.parametrize("victim", ["service", "PostgreSQL"])
def test_killed_while_a_sandbox_clock_is_moved_the_same_move_does_the_rest(
    tmp_path: Path, victim: str
) -> None:
    data_dir = tmp_path / "data"
    begun = "SELECT 1 FROM passes WHERE org_id = %(org)s AND cursor_customer_id > 0 LIMIT 1"
    with serving(data_dir) as service:
        org = new_org(service, sandbox=True, now="2026-05-01T00:00:00Z")
        milestone = define_milestone(org, cycles=3, rewardAllocation="PERIOD_END")
        url = embedded.running_url(data_dir / "pg")
        assert url is not None
        world = World(url, org.id, milestone.group_id)
        enrol_everybody(world, 6_000, milestone.target_id, milestone.periods["c1"]["id"])
        with ThreadPoolExecutor(1) as thread:
            moving = thread.submit(move, org)
            wait_for(lambda: bool(world.run(begun)))
            if victim == "service":
                service.process.kill()
                service.ended()
            else:
                pid = (data_dir / "pg" / "postmaster.pid").read_text().split()[0]
                os.kill(int(pid), signal.SIGKILL)
            assert moving.result() != 200
        if victim == "service":
            org.client.close()
        else:
            wait_for(lambda: move(org) == 200)
            org.client.close()
    with serving(data_dir) as service:
        url = embedded.running_url(data_dir / "pg")
        assert url is not None
        with httpx.Client(
            base_url=service.client.base_url, auth=(org.username, org.password), timeout=60
        ) as client:
            again = Org(org.id, client, org.username, org.password)
            assert move(again) == 200
            assert move(again) == 200
        assert counts(World(url, org.id, milestone.group_id)) == expected(6_000)


def move(org: Org) -> int:
    """Move the clock past all cycles; the answer's status, 0 for none."""
    try:
        return org.client.put(
            "/milepost/v1/clock", json={"now": "2026-10-01T00:00:00Z"}
        ).status_code
    except httpx.HTTPError:
        return 0


def test_a_service_may_leave_due_work_to_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILEPOST_DUE_WORK", "0")
    with serving(tmp_path / "data") as service:
        org = new_org(service)
        org.register()
        org.client.close()
        assert children(service.process.pid) == []
        assert service.stop() == 0
