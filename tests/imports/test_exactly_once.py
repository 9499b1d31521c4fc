"""Importing: killed or repeated, no row is done twice or left out, and the results are whole."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from milepost.database import DatabaseUnavailable, Tenant, database
from milepost.imports.kinds import ENROLMENTS
from milepost.imports.running import BATCH_ROWS_MAX, import_file
from milepost.runner import Action, KeyedCall, Runner
from milepost.settings import Settings
from tests.api import payloads
from tests.harness import Org, Service
from tests.imports.vocabulary import (
    query,
    results_of,
    run_import,
    start_import,
    state,
    statuses,
    words,
    write_rows,
)

ROWS = 3 * BATCH_ROWS_MAX + 100
GOOD_ROWS = ROWS - ROWS // 50


@pytest.fixture
def url(database_url: str) -> str:
    return database_url


class Shop:
    """An organisation with a milestone, and the rows of an import into it."""

    def __init__(self, service: Service, url: str, folder: Path, kind: str, rows: int) -> None:
        self.url = url
        self.kind = kind
        self.org: Org = service.new_org()
        group = self.org.define(
            **payloads.milestone(
                targets=[
                    payloads.target("T", rewards=[{"name": "Fifty", "type": "POINTS", "value": 50}])
                ]
            )
        )
        self.group, self.target = group["id"], group["targets"][0]["id"]
        if kind != "customers":
            query(
                url,
                "INSERT INTO customers SELECT %s, n, %s, 'loyalty', now() FROM generate_series(1, %s) n",
                self.org.id,
                self.org.id,
                rows,
            )
        folder.mkdir()
        self.file = write_rows(folder / "rows.ndjson", [self._row(n + 1) for n in range(rows)])

    def _row(self, number: int) -> dict[str, Any]:
        if number % 50 == 0:
            return {"bad": number}
        if self.kind == "customers":
            return {"customerId": number, "mobile": f"91{number:010d}", "source": "INSTORE"}
        if self.kind == "activities":
            return {
                "id": f"tx-{number}",
                "customerId": number % 500 + 1,
                "type": "TRANSACTION",
                "occurredAt": "2026-06-01T00:00:00Z",
                "netAmount": number,
            }
        # Each a first enrolment with a balance; some achieve the cycle.
        balance = 1000 if number % 3 == 0 else 5
        ids = {"targetGroupId": self.group, "targetId": self.target}
        return {**ids, "customerId": number, "initialBalance": balance}

    def run(self, *more: str) -> None:
        done = run_import(self.kind, self.file, self.org.id, self.url, *more)
        assert done.returncode == 0, done.stderr

    def start(self) -> Any:
        return start_import(self.kind, self.file, self.org.id, self.url)

    @property
    def results(self) -> Path:
        return Path(f"{self.file}.results.ndjson")

    def enrolled(self) -> int:
        """How many enrolments there are."""
        sql = "SELECT count(*) FROM enrolments WHERE org_id = %s"
        ((found,),) = query(self.url, sql, self.org.id)
        return int(found)

    def state(self) -> dict[str, list[tuple[Any, ...]]]:
        return state(self.url, self.org.id)


def kill_when(shop: Shop, grown_to: int) -> bool:
    """Start the import and kill it once its results have so many bytes; False if it ended before."""
    process = shop.start()
    while process.poll() is None:
        if shop.results.exists() and shop.results.stat().st_size >= grown_to:
            process.send_signal(signal.SIGKILL)
            break
        time.sleep(0.001)
    return bool(process.wait(60) == -signal.SIGKILL)


@pytest.mark.parametrize("kind", ["customers", "enrolments", "activities"])
def test_killed_at_every_batch_it_ends_as_if_nothing_had_happened(
    service: Service, url: str, tmp_path: Path, kind: str
) -> None:
    undisturbed = Shop(service, url, tmp_path / "undisturbed", kind, ROWS)
    undisturbed.run()
    shop = Shop(service, url, tmp_path / "killed", kind, ROWS)
    kills = 0
    for grown_to in (1, 60_000, 150_000, 250_000):
        kills += kill_when(shop, grown_to)
        if shop.results.exists():  # a torn line, as a crash of the machine may leave it
            os.truncate(shop.results, max(0, shop.results.stat().st_size - 17))
    assert kills >= 2
    shop.run()
    assert shop.results.read_bytes() == undisturbed.results.read_bytes()
    assert [line for line, *_ in results_of(shop.file)] == list(range(1, ROWS + 1))
    assert shop.state() == undisturbed.state()


@contextmanager
def batches_held(shop: Shop) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
    """A batch can be loaded and claimed, and not be noted as done."""
    with psycopg.connect(shop.url) as connection:
        connection.execute("LOCK TABLE import_results IN SHARE MODE")
        yield connection
        connection.rollback()


def test_killed_before_the_commit_a_batch_has_done_nothing(
    service: Service, url: str, tmp_path: Path
) -> None:
    shop = Shop(service, url, tmp_path / "x", "enrolments", ROWS)
    assert kill_when(shop, 1)
    done = shop.enrolled()
    with batches_held(shop) as connection:
        process = shop.start()
        wait_for_a_lock(connection)
        process.kill()
        process.wait(60)
    assert 0 < shop.enrolled() == done < GOOD_ROWS
    shop.run()
    assert shop.enrolled() == GOOD_ROWS


def test_results_that_were_committed_but_not_written_are_written_by_the_next_start(
    service: Service, url: str, tmp_path: Path
) -> None:
    shop = Shop(service, url, tmp_path / "x", "enrolments", ROWS)
    assert kill_when(shop, 1)
    shop.results.unlink()
    shop.run()
    assert [line for line, *_ in results_of(shop.file)] == list(range(1, ROWS + 1))
    assert statuses(shop.file).count("ACCEPTED") == GOOD_ROWS


def test_a_finished_file_again_does_only_what_was_rejected(
    service: Service, url: str, tmp_path: Path
) -> None:
    shop = Shop(service, url, tmp_path / "x", "enrolments", 200)
    query(url, "DELETE FROM customers WHERE org_id = %s AND customer_id <= 20", shop.org.id)
    shop.run()
    assert statuses(shop.file)[:20] == ["REJECTED"] * 20
    for number in range(1, 21):
        shop.org.register(number)
    # Who has left is not enrolled again, with its balance, by a repetition.
    assert shop.org.unenrol(shop.group, shop.target, 21).status_code == 200
    shop.run()
    assert statuses(shop.file)[:22] == ["ACCEPTED"] * 20 + ["DUPLICATE"] * 2
    shop.run()
    assert statuses(shop.file).count("DUPLICATE") == 196
    shop.run("--again")
    assert results_of(shop.file)[19:22] == [
        (20, "REJECTED", [310119]),
        (21, "ACCEPTED", []),
        (22, "REJECTED", [310119]),
    ]


def test_a_running_service_may_change_the_same_customers_meanwhile(
    service: Service, url: str, tmp_path: Path
) -> None:
    shop = Shop(service, url, tmp_path / "x", "activities", ROWS)
    stop = threading.Event()

    def post() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            body = {
                "id": f"live-{number}",
                "customerId": number % 500 + 1,
                "type": "EVENT",
                "eventName": "e",
                "occurredAt": "2026-06-01T00:00:00Z",
            }
            assert shop.org.post("/milepost/v1/activities", [body]).status_code == 200

    thread = threading.Thread(target=post)
    thread.start()
    try:
        shop.run()
    finally:
        stop.set()
        thread.join()
    assert statuses(shop.file).count("ACCEPTED") == GOOD_ROWS
    (imported,) = query(
        url,
        "SELECT count(*) FROM activities WHERE org_id = %s AND activity_id LIKE 'tx-%%'",
        shop.org.id,
    )
    assert imported == (GOOD_ROWS,)


def test_two_imports_of_one_file_do_not_run_at_once(
    service: Service, url: str, tmp_path: Path
) -> None:
    shop = Shop(service, url, tmp_path / "x", "enrolments", ROWS)
    assert kill_when(shop, 1)
    with batches_held(shop) as connection:
        first = shop.start()
        wait_for_a_lock(connection)
        second = run_import(shop.kind, shop.file, shop.org.id, url)
        assert (second.returncode, "another import" in second.stderr) == (2, True)
        connection.rollback()
        assert first.wait(60) == 0
    assert statuses(shop.file).count("ACCEPTED") == GOOD_ROWS


def test_a_copy_of_a_file_takes_over_and_the_first_one_stops(
    service: Service, url: str, tmp_path: Path
) -> None:
    shop = Shop(service, url, tmp_path / "x", "enrolments", ROWS)
    copy = tmp_path / "copy.ndjson"
    copy.write_bytes(shop.file.read_bytes())
    with psycopg.connect(url) as connection:
        # Both are at their first batch when customers can be changed again.
        connection.execute("LOCK TABLE customer_versions IN SHARE MODE")
        first = shop.start()
        wait_for_a_lock(connection)
        second = start_import("enrolments", copy, shop.org.id, url)
        wait_for_a_lock(connection, 2)
        connection.rollback()
    assert sorted((first.wait(60), second.wait(60))) == [0, 1]
    assert statuses(copy).count("ACCEPTED") == GOOD_ROWS
    assert shop.enrolled() == GOOD_ROWS


def test_a_row_that_the_database_cannot_take_harms_no_other(
    service: Service, url: str, tmp_path: Path
) -> None:
    shop = Shop(service, url, tmp_path / "x", "enrolments", 40)
    query(
        url,
        "ALTER TABLE enrolments ADD CONSTRAINT no_seven "
        f"CHECK (org_id <> {shop.org.id} OR customer_id <> 7)",
    )
    shop.run()
    query(url, "ALTER TABLE enrolments DROP CONSTRAINT no_seven")
    rejected = [
        (line, codes) for line, status, codes in results_of(shop.file) if status != "ACCEPTED"
    ]
    assert rejected == [(7, [500])]


def test_ten_thousand_rows_take_no_more_memory_than_a_batch(
    service: Service, url: str, tmp_path: Path
) -> None:
    small = Shop(service, url, tmp_path / "small", "enrolments", BATCH_ROWS_MAX)
    large = Shop(service, url, tmp_path / "large", "enrolments", 5 * BATCH_ROWS_MAX)
    grown = peak_bytes(large) - peak_bytes(small)
    assert grown < 20 * 1024 * 1024


def peak_bytes(shop: Shop) -> int:
    """The most memory that the import took at any moment."""
    command = words(shop.kind, shop.file, shop.org.id, shop.url)
    child = os.posix_spawn(command[0], command, os.environ)
    _, status, usage = os.wait4(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    return usage.ru_maxrss * 1024


def test_statistics_are_renewed_after_an_import(service: Service, url: str, tmp_path: Path) -> None:
    shop = Shop(service, url, tmp_path / "x", "enrolments", 40)
    since = query(url, "SELECT now()")[0][0]
    shop.run()
    for table in ENROLMENTS.tables:
        analyzed = query(
            url,
            "SELECT last_analyze >= %s FROM pg_stat_user_tables WHERE relname = %s",
            since,
            table,
        )
        assert analyzed == [(True,)], table


def test_rows_are_known_in_the_journal_by_their_import_and_line(
    service: Service, url: str, tmp_path: Path
) -> None:
    shop = Shop(service, url, tmp_path / "x", "enrolments", 2)
    shop.run()
    ((import_id,),) = query(url, "SELECT import_id FROM imports WHERE org_id = %s", shop.org.id)
    found = query(
        url, "SELECT DISTINCT request_id FROM journal WHERE org_id = %s ORDER BY 1", shop.org.id
    )
    assert found == [(f"import-{import_id}-1",), (f"import-{import_id}-2",)]


def test_a_file_that_is_changed_meanwhile_stops_the_import(
    service: Service, url: str, tmp_path: Path
) -> None:
    shop = Shop(service, url, tmp_path / "x", "enrolments", ROWS)
    assert kill_when(shop, 1)
    with batches_held(shop) as connection:
        process = shop.start()
        wait_for_a_lock(connection)
        with shop.file.open("a") as file:
            file.write(json.dumps({"bad": 1}) + "\n")
        connection.rollback()
        assert process.wait(60) == 1


def wait_for_a_lock(connection: psycopg.Connection[Any], sessions: int = 1) -> None:
    """Wait until so many sessions of the database wait for a lock."""
    deadline = time.monotonic() + 20
    with psycopg.connect(connection.info.dsn, autocommit=True) as watching:
        while time.monotonic() < deadline:
            (waiting,) = watching.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
                "AND wait_event_type = 'Lock'"
            ).fetchone() or (0,)
            if waiting >= sessions:
                return
            time.sleep(0.01)
    raise AssertionError("nobody waits")


def test_a_connection_that_breaks_is_replaced_and_the_batch_done_again(
    service: Service, url: str, tmp_path: Path
) -> None:
    shop = Shop(service, url, tmp_path / "x", "enrolments", ROWS)
    assert kill_when(shop, 1)
    with batches_held(shop) as connection:
        process = shop.start()
        wait_for_a_lock(connection)
        query(
            url,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND wait_event_type = 'Lock'",
        )
        connection.rollback()
    assert process.wait(60) == 0
    assert statuses(shop.file).count("ACCEPTED") == GOOD_ROWS
    assert shop.enrolled() == GOOD_ROWS


class Interrupted(Runner):
    """A runner that never hears of its commits."""

    async def run(
        self,
        action: Action[Any],
        tenant: Tenant,
        commands: Sequence[Any],
        calls: Sequence[tuple[slice, KeyedCall]] = (),
    ) -> list[Any]:
        await super().run(action, tenant, commands, calls)
        raise DatabaseUnavailable("the connection broke off at that very moment")


async def test_a_batch_whose_commit_was_not_heard_of_is_not_done_again(
    service: Service, url: str, tmp_path: Path
) -> None:
    shop = Shop(service, url, tmp_path / "x", "enrolments", 2 * BATCH_ROWS_MAX)
    runner = Interrupted(database(url, Settings()))
    await runner.database.open()
    heard: list[int] = []
    done = await import_file(
        runner, shop.org.id, ENROLMENTS, shop.file, lambda standing: heard.append(standing.rows)
    )
    await runner.database.close()
    assert heard == [0, BATCH_ROWS_MAX, 2 * BATCH_ROWS_MAX]
    assert (done.accepted, done.rejected) == (shop.enrolled(), 2 * BATCH_ROWS_MAX // 50)
    assert [line for line, *_ in results_of(shop.file)] == list(range(1, 2 * BATCH_ROWS_MAX + 1))


def test_a_customer_whom_somebody_else_changed_meanwhile_is_decided_on_again(
    service: Service, url: str, tmp_path: Path
) -> None:
    shop = Shop(service, url, tmp_path / "x", "enrolments", 40)
    with psycopg.connect(url) as connection:
        connection.execute("LOCK TABLE customer_versions IN SHARE MODE")
        process = shop.start()
        wait_for_a_lock(connection)
        connection.execute("INSERT INTO customer_versions VALUES (%s, 5, 1)", (shop.org.id,))
        connection.commit()
    assert process.wait(60) == 0
    assert statuses(shop.file) == ["ACCEPTED"] * 40
    versions = query(
        url,
        "SELECT DISTINCT customer_id = 5, version FROM customer_versions WHERE org_id = %s "
        "ORDER BY 1",
        shop.org.id,
    )
    assert versions == [(False, 1), (True, 2)]
