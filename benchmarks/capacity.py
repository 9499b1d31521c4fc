"""What work costs the database: rows, bytes, log and pages of each kind, for the model in docs/scaling.md.

Everything goes through the API. Before and after each kind of work the database is asked what its tables
hold and what it has written since; the differences are divided by the number of operations. Nothing here
is a rate.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psycopg

from benchmarks import load, stream
from benchmarks.place import (
    FIRST_CUSTOMER,
    Account,
    new_account,
    new_milestone,
    running_postgres,
    running_service,
)

CONNECTIONS = 32
TARGETS = 3
FAR_APART = 150
"""Customers between two whose rows share no page."""

TABLES = """
SELECT c.relname, pg_relation_size(c.oid) + coalesce(pg_total_relation_size(c.reltoastrelid), 0),
       pg_indexes_size(c.oid), c.reltuples::bigint
FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'
"""
# A checkpoint has been made just before, so that every page that was changed has been written by then.
WRITTEN = """
SELECT (SELECT wal_bytes FROM pg_stat_wal), (SELECT wal_fpi FROM pg_stat_wal),
       (SELECT sum(fsyncs) FROM pg_stat_io WHERE object = 'wal'),
       (SELECT sum(writes) FROM pg_stat_io WHERE object = 'relation'),
       (SELECT xact_commit FROM pg_stat_database WHERE datname = current_database())
"""
COLUMNS = (
    "rows",
    "table B",
    "index B",
    "WAL B",
    "page images",
    "WAL fsyncs",
    "page writes",
    "commits",
)


@dataclass(frozen=True)
class Place:
    """A service with an organisation, and the owner's way into its database."""

    url: str
    owner_url: str
    client: httpx.Client
    account: Account

    def load(self, path: str, body: str, customers: int, **more: Any) -> None:
        """Send a request for each customer, or as `more` says; all must be answered 200."""
        ids = list(range(FIRST_CUSTOMER, FIRST_CUSTOMER + customers))
        load.send(
            load.Load(
                url=self.url,
                path=path,
                body=body,
                authorization=self.account.authorization,
                connections=CONNECTIONS,
                ids=ids,
                **more,
            )
        )

    def stream(self, file: Path, count: int) -> None:
        """Send activities in one NDJSON call."""
        stream.send(stream.Stream(self.url, self.account.authorization, [[str(file)]]), count)

    @contextmanager
    def measured(self, what: str, operations: int) -> Iterator[None]:
        """Print what the work of the block has cost, by operation."""
        before = self._look()
        tables_before = self._tables()
        yield
        after = self._look()
        tables = self._tables()
        grown = [
            sum(
                row[place] - tables_before.get(name, (0, 0, 0))[place]
                for name, row in tables.items()
            )
            for place in (2, 0, 1)
        ]
        wal, images, flushes, pages, commits = (
            (later - earlier) for later, earlier in zip(after, before, strict=True)
        )
        figures = (*grown, wal, images, flushes, pages, commits)
        told = " ".join(
            f"{value / operations:>11,.{0 if place in (1, 2, 3) else 2}f}"
            for place, value in enumerate(figures)
        )
        print(f"{what:<38} {operations:>9,} {told}", flush=True)

    def _look(self) -> tuple[float, ...]:
        with psycopg.connect(self.owner_url, autocommit=True) as connection:
            connection.execute("CHECKPOINT")
            connection.execute("SELECT pg_stat_force_next_flush()")
            row = connection.execute(WRITTEN).fetchone()
        assert row is not None
        return tuple(float(value) for value in row)

    def _tables(self) -> dict[str, tuple[int, int, int]]:
        with psycopg.connect(self.owner_url, autocommit=True) as connection:
            connection.execute("ANALYZE")
            return {
                name: (heap, index, rows) for name, heap, index, rows in connection.execute(TABLES)
            }

    def print_tables(self) -> None:
        """Bytes by row of each table that has any, as it is after all of this."""
        print(f"\n{'table':<24} {'rows':>10} {'table B/row':>12} {'index B/row':>12}")
        for name, (heap, index, rows) in sorted(self._tables().items()):
            if rows >= 1_000:
                print(f"{name:<24} {rows:>10,} {heap / rows:>12,.0f} {index / rows:>12,.0f}")


def main(customers: int) -> None:
    """Do each kind of work for so many customers, and print what it took."""
    with tempfile.TemporaryDirectory() as folder, running_postgres() as postgres:
        print(f"{customers:,} customers, PostgreSQL 18; what one operation costs the database")
        print(f"{'':<38} {'done':>9} " + " ".join(f"{name:>11}" for name in COLUMNS))
        with (
            running_service(postgres.url) as service,
            httpx.Client(base_url=service.url, timeout=None) as client,  # noqa: S113 - as long as it takes
        ):
            account = new_account(client, sandbox=True, now="2026-06-01T00:00:00Z")
            place = Place(service.url, postgres.url, client, account)
            _members(place, customers, Path(folder))
            _promotions(place, customers)
            place.print_tables()


def _members(place: Place, customers: int, folder: Path) -> None:
    with place.measured("register a customer", customers):
        place.load(
            "/v2/customers",
            '{"customerId":{id},"profiles":[{"firstName":"Ada","lastName":"Byron","source":"INSTORE",'
            '"identifiers":[{"type":"mobile","value":"91{id}"},{"type":"email","value":"ada{id}@example.org"}]}]}',
            customers,
        )
    group = _milestone(place, 1)
    path = f"/v3/targetGroups/{group['id']}/targets/{group['targets'][0]['id']}/enroll"
    with place.measured("enrol", customers):
        place.load(path, '[{"customerId":{id}}]', customers)
    with place.measured("activity that achieves its one target", customers):
        place.stream(_activities(folder, range(customers), "a", 1100), customers)
    for number in range(2, TARGETS + 1):
        further = _milestone(place, number)
        path = f"/v3/targetGroups/{further['id']}/targets/{further['targets'][0]['id']}/enroll"
        place.load(path, '[{"customerId":{id}}]', customers)
    with place.measured(f"activity that moves {TARGETS} targets", customers):
        place.stream(_activities(folder, range(customers), "b", 50), customers)
    with place.measured("activity that moves them again", customers):
        place.stream(_activities(folder, range(customers), "c", 50), customers)
    far_apart = range(0, customers, FAR_APART)
    with place.measured("the same, each on pages of its own", len(far_apart)):
        place.stream(_activities(folder, far_apart, "d", 50), len(far_apart))
    with place.measured("settle an enrolment, 1/3 with a reward", customers * TARGETS):
        answer = place.client.put(
            "/milepost/v1/clock",
            json={"now": "2026-07-01T00:00:00Z"},
            headers={"Authorization": place.account.authorization},
        )
        answer.raise_for_status()


def _promotions(place: Place, customers: int) -> None:
    headers = {"Authorization": place.account.authorization}

    def make(path: str, body: dict[str, Any]) -> Any:
        answer = place.client.post(f"/milepost/v1/{path}", json=body, headers=headers)
        answer.raise_for_status()
        return answer.json()["data"]

    program = make("programs", {"name": "Capacity"})["programId"]
    dates = {"startDate": "2026-01-01T00:00:00Z", "endDate": "2099-12-31T23:59:59Z"}
    promotion = make(
        "promotions",
        {"programId": program, "name": "Capacity", "type": "LOYALTY_EARNING", **dates},
    )["promotionId"]
    for action, what in (
        ("ENROL", "enrol in a promotion (of 100)"),
        ("EARN", "issue a promotion (of 100)"),
    ):
        with place.measured(what, customers):
            place.load(
                "/v2/promotion/bulk/enrolAndEarn",
                f'{{"type":"CUSTOMER","bulkAction":"{action}","promotionDetails":{{"programId":{program},'
                f'"promotionId":{promotion}}},"identifierName":"id","customers":[{{items}}]}}',
                customers,
                item='{"identifierValue":"{id}","source":"INSTORE"}',
                per_request=100,
            )


def _milestone(place: Place, number: int) -> Any:
    """A milestone; the first, which everybody achieves, rewards at the end of its cycle."""
    more = {"rewardAllocation": "PERIOD_END"} if number == 1 else {}
    return new_milestone(place.client, place.account, f"Capacity {number}", **more)


def _activities(folder: Path, customers: range, prefix: str, amount: int) -> Path:
    """One activity of each of the customers."""
    file = folder / f"{prefix}.ndjson"
    with file.open("w") as lines:
        for number in customers:
            lines.write(
                f'{{"id":"{prefix}-{number}","customerId":{FIRST_CUSTOMER + number},"type":"TRANSACTION",'
                f'"occurredAt":"2026-06-01T00:00:00Z","netAmount":{amount}.25,"storeId":7,'
                f'"attributes":{{"channel":"web"}}}}\n'
            )
    return file


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.capacity", description=__doc__)
    parser.add_argument("--customers", type=int, default=50_000, help="a multiple of 100")
    main(parser.parse_args().customers)
