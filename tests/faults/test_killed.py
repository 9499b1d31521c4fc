"""Killed at any moment and started again: what is stored is what would be there without the kill.

`MILEPOST_TEST_KILLS` is how often each test kills; `MILEPOST_TEST_SEED` when. The log of a test that
failed says both.
"""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from random import Random

import httpx
import psycopg
import pytest

from milepost import clock
from milepost.imports.kinds import CUSTOMERS, ENROLMENTS
from tests.faults.process import VICTIMS, Process, wait_for
from tests.faults.shop import (
    CUSTOMER_COUNT,
    FIRST_DAY,
    SETTLEMENT_DELAY_DAYS,
    STREAK_DAYS,
    Customers,
    Shop,
    Till,
    calls,
    enrolling,
    import_rows,
    open_shop,
)
from tests.harness import Org, assert_rebuilt
from tests.scenarios.vocabulary import Challenge, define_milestone, period
from tests.test_server import run

KILLS = int(os.environ.get("MILEPOST_TEST_KILLS", "4"))
SEED = int(os.environ.get("MILEPOST_TEST_SEED", "1"))

log = logging.getLogger(__name__)


@pytest.fixture
def random() -> Random:
    log.warning("MILEPOST_TEST_KILLS=%d MILEPOST_TEST_SEED=%d", KILLS, SEED)
    return Random(SEED)


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Process]:
    monkeypatch.setenv("MILEPOST_SWEEP_SECONDS", "0.5")
    with Process(tmp_path / "data") as running:
        yield running


def assert_as_undisturbed(killed: Shop, undisturbed: Shop) -> None:
    expected, found = undisturbed.standing(), killed.standing()
    for table, rows in expected.items():
        assert rows, table
        assert found[table] == rows
    assert killed.shown() == undisturbed.shown()
    place = ("--org", str(killed.org.id), "--data", str(killed.service.data_dir))
    checked = run("rebuild", "--check", *place)
    assert checked.returncode == 0, checked.stdout


def test_killed_while_activities_stream_in_and_sent_again_it_ends_as_if_undisturbed(
    service: Process, tmp_path: Path, random: Random
) -> None:
    customers = Customers(random)
    per_till = calls((*customers.rounds(0, 8), *customers.rounds(0, 8)), tills=2)
    undisturbed, killed = (open_shop(service, tmp_path) for _ in range(2))
    for shop in (undisturbed, killed):
        shop.org.move_clock("2026-06-09T12:00:00Z")
    with ThreadPoolExecutor(2) as threads:
        alone = [Till(undisturbed, each) for each in per_till]
        assert list(threads.map(Till.run, alone)) == [None, None]
        assert sum(till.disturbances for till in alone) == 0
        sent = sum(len(till.accepted) for till in alone)

        tills = [Till(killed, each) for each in per_till]
        running = [threads.submit(till.run) for till in tills]
        for number in range(KILLS):
            share, delay_seconds = (number + random.random()) / (KILLS + 1), random.uniform(0, 0.03)
            wait_for(
                lambda share=share: (  # type: ignore[misc]
                    sum(len(till.accepted) for till in tills) >= share * sent or failed(running)
                )
            )
            time.sleep(delay_seconds)
            kill(service, VICTIMS[number % 2], f"{share:.3f} of all and {delay_seconds:.4f} s")
            service.recover(VICTIMS[number % 2])
        for each in running:
            each.result()
        assert sum(till.disturbances for till in tills) >= KILLS // 2
        # What was acknowledged, before the kills or between them, is still there.
        for till in (*alone, *tills):
            till.run()
    assert_as_undisturbed(killed, undisturbed)


def failed(running: list[Future[None]]) -> bool:
    return any(each.done() and each.exception() for each in running)


def kill(service: Process, victim: str, when: str) -> None:
    log.warning("killed %s after %s", victim, when)
    service.kill(victim)


def test_killed_while_cycles_are_settled_and_asked_again_it_ends_as_if_undisturbed(
    service: Process, tmp_path: Path, random: Random
) -> None:
    customers = Customers(random)
    undisturbed, killed = (open_shop(service, tmp_path) for _ in range(2))
    shares = [(number + random.random()) / KILLS for number in range(KILLS)]
    shares[0] /= 10  # at the very beginning
    random.shuffle(shares)
    answered: list[bool] = []
    day = 0
    for number, share in enumerate(shares):
        day = 1 + (number + 1) * (STREAK_DAYS - 11) // KILLS
        began = time.monotonic()
        assert move(undisturbed.org, day)
        delay_seconds = share * (time.monotonic() - began)
        victim = VICTIMS[number % 2]
        with ThreadPoolExecutor(1) as thread:
            moving = thread.submit(move, killed.org, day)
            time.sleep(delay_seconds)
            kill(service, victim, f"{delay_seconds:.4f} s, {share:.3f} of a settlement")
            answered.append(moving.result())
        service.recover(victim)
        wait_for(lambda day=day: move(killed.org, day))  # type: ignore[misc]
        assert move(killed.org, day)
        (sent,) = calls(customers.rounds(max(0, day - 9), day - 1))
        for shop in (undisturbed, killed):
            Till(shop, sent).run()
    assert not all(answered)
    weeks, delay_days = (day - SETTLEMENT_DELAY_DAYS["Week"]) // 7, SETTLEMENT_DELAY_DAYS["Streak"]
    assert settled_customers(killed) == {
        **{("Week", f"w{n}"): once(CUSTOMER_COUNT) for n in range(weeks)},
        **{("Streak", f"c{n}"): once(CUSTOMER_COUNT) for n in range(1, day - delay_days + 1)},
    }
    assert_as_undisturbed(killed, undisturbed)


def move(org: Org, day: int) -> bool:
    """Move the clock to the first instant of a day; whether that was answered."""
    now = f"{FIRST_DAY + timedelta(days=day)}T00:00:00Z"
    with suppress(httpx.TransportError):
        answer = org.client.put("/milepost/v1/clock", json={"now": now})
        assert answer.status_code in (200, 503), answer.text
        return answer.status_code == 200
    return False


def once(customers: int) -> tuple[int, int]:
    """How many entries that many customers have, and how many customers have one."""
    return customers, customers


def settled_customers(shop: Shop) -> dict[tuple[str, str], tuple[int, int]]:
    """For each target that all are enrolled in, and each cycle, what is in the journal."""
    with psycopg.connect(shop.service.database_url) as connection:
        found = connection.execute(
            "SELECT name, ref_code, count(*), count(DISTINCT customer_id) "
            "FROM journal JOIN targets USING (org_id, target_id) "
            "JOIN target_periods USING (org_id, period_id) "
            "WHERE journal.org_id = %s AND what = 'SETTLED' AND name <> 'Month' GROUP BY 1, 2",
            (shop.org.id,),
        )
        return {(name, cycle): (entries, each) for name, cycle, entries, each in found}


def test_a_real_organisation_whose_worker_is_killed_at_a_cycles_end_is_settled_once(
    service: Process, tmp_path: Path, random: Random
) -> None:
    org, customers = service.new_org(), range(1, CUSTOMER_COUNT + 1)
    rows = ({"customerId": customer, "source": "INSTORE"} for customer in customers)
    import_rows(service, org, CUSTOMERS, tmp_path, rows)
    for _ in range(0, KILLS, 2):
        delay = timedelta(seconds=random.uniform(-0.2, 1.2))
        milestone = pays_at_the_end(service, org, tmp_path)
        now = clock.now()
        last = now.replace(microsecond=now.microsecond // 1000 * 1000) + timedelta(seconds=2)
        milestone.move_end("c1", last.isoformat(timespec="milliseconds"))
        ends_at = last + timedelta(milliseconds=1)

        wait_for(lambda at=ends_at + delay: clock.now() >= at)  # type: ignore[misc]
        kill_worker(service, f"{delay} from the end")
        # Another one takes over, and is not left in peace either.
        wait_for(lambda of=milestone: progress(service, of) is not None)  # type: ignore[misc]
        kill_worker(service, "it had begun")
        wait_for(lambda of=milestone: progress(service, of) == "finished")  # type: ignore[misc]
        half = once(CUSTOMER_COUNT // 2)
        assert entries(service, milestone) == {
            ("SETTLED_ACHIEVED", ends_at): half,
            ("SETTLED_UNACHIEVED", ends_at): half,
            ("PERIOD_END", ends_at): half,
            ("ledger", ends_at): half,
        }
    assert_rebuilt(service.database_url)


def pays_at_the_end(service: Process, org: Org, folder: Path) -> Challenge:
    """A milestone whose cycle ends tomorrow. All are enrolled, and every other one has achieved it."""
    today = clock.now().date()
    milestone = define_milestone(
        org,
        asked=100,
        rewardAllocation="PERIOD_END",
        periods=[period("c1", today - timedelta(days=1), today + timedelta(days=1))],
    )
    rows = (
        {**row, "initialBalance": 100 - row["customerId"] % 2}
        for row in enrolling([milestone], range(1, CUSTOMER_COUNT + 1))
    )
    import_rows(service, org, ENROLMENTS, folder, rows)
    return milestone


def kill_worker(service: Process, when: str) -> None:
    wait_for(lambda: service.worker() is not None)
    worker = service.worker()
    assert worker is not None
    log.warning("killed the worker: %s", when)
    os.kill(worker, signal.SIGKILL)


def progress(service: Process, milestone: Challenge) -> str | None:
    """How far the settlement of the milestone's only cycle is."""
    with psycopg.connect(service.database_url) as connection:
        found = connection.execute(
            "SELECT CASE WHEN finished_at IS NULL THEN 'begun' ELSE 'finished' END FROM passes "
            "WHERE kind = 'SETTLE' AND org_id = %s AND period_id = %s",
            (milestone.org.id, milestone.periods["c1"]["id"]),
        ).fetchone()
        return found[0] if found else None


def entries(service: Process, milestone: Challenge) -> dict[tuple[str, datetime], tuple[int, int]]:
    """What the end of the milestone's cycle has come to."""
    with psycopg.connect(service.database_url) as connection:
        found = connection.execute(
            "SELECT reason, at, count(*), count(DISTINCT customer_id) FROM journal "
            "WHERE org_id = %(org)s AND target_id = %(target)s AND what IN ('SETTLED', 'REWARDED') "
            "GROUP BY 1, 2 UNION ALL "
            "SELECT 'ledger', granted_at, count(*), count(DISTINCT customer_id) FROM rewards "
            "WHERE org_id = %(org)s AND target_id = %(target)s GROUP BY 1, 2",
            {"org": milestone.org.id, "target": milestone.target_id},
        )
        return {(what, at): (rows, each) for what, at, rows, each in found}
