"""Customers per second through bulk calls of 100, beside pgbench: one stored function with the same rows.

Each call enrols 100 customers in a promotion, or issues it to them: version, record and journal of each,
committed before the answer. pgbench is the limit: the rows of 100 customers in one call, without HTTP,
authentication or rules. The rounds alternate, because these machines are noisy; the medians are compared.
"""

from __future__ import annotations

import asyncio
import os
import re
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import msgspec
import psycopg

from benchmarks.enrolments import pgbench_path
from benchmarks.load import Load, Result
from benchmarks.place import (
    FIRST_CUSTOMER,
    Account,
    new_account,
    peak_memory_mib,
    running_service,
)
from milepost import embedded
from milepost.actions.issuing import ISSUING
from milepost.database import Tenant, database
from milepost.migrate import migrate
from milepost.rules.issuing import ENROL
from milepost.rules.issuing_calls import CallDraft, read_call
from milepost.runner import Runner
from milepost.settings import Settings

CUSTOMERS = 2_000_000
PER_CALL = 100
PGBENCH_FUNCTION = """
CREATE FUNCTION bench_issue(org bigint, customer bigint, promotion bigint) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM customers c WHERE c.org_id = org AND c.customer_id BETWEEN customer AND customer + 99;
    INSERT INTO customer_versions SELECT org, n, 1 FROM generate_series(customer, customer + 99) n;
    INSERT INTO issuals
    SELECT org, n, promotion, nextval('issual_ids'), now(), now() + interval '1 year', false, 32768
    FROM generate_series(customer, customer + 99) n;
    INSERT INTO journal
    SELECT org, n, 1, 0, now(), 'ENROLLED', 'PROMOTION_ENROLLED', NULL, NULL, NULL,
           jsonb_build_object('promotion', promotion, 'issual', n, 'expiresAt', '2027-12-31T00:00:00+00:00'),
           repeat('x', 32)
    FROM generate_series(customer, customer + 99) n;
END $$
"""
# Nobody twice.
PGBENCH_SCRIPT = "SELECT bench_issue(:org, :first + 100 * nextval('bench_calls'), :promotion)\n"


@dataclass(frozen=True)
class Place:
    """What is measured on: a service, its organisation and a promotion."""

    url: str
    owner_url: str
    account: Account
    program_id: int
    promotion_id: int


def main(connections: list[int], workers: int, calls: int, rounds: int) -> None:
    """Measure at each number of connections and print a table."""
    with tempfile.TemporaryDirectory() as folder, embedded.start(Path(folder) / "pg") as postgres:
        migrate(postgres.url)
        with running_service(postgres.url, workers) as service:
            place = _prepare(service.url, postgres.url)
            counts = asyncio.run(_statements(place))
            told = ", ".join(f"{count} for {size}" for size, count in counts.items())
            print(
                f"{os.cpu_count()} cores, {workers} worker(s), PostgreSQL 18, fsync on, "
                f"{CUSTOMERS:,} customers, median of {rounds} rounds; everything on this machine\n"
                f"SQL statements of a call by its customers: {told}",
                flush=True,
            )
            print(f"{'connections':>11} {'enrol/s':>9} {'p50 ms':>7} {'p99 ms':>7} {'issue/s':>9} "
                  f"{'p50 ms':>7} {'p99 ms':>7} {'pgbench/s':>10} {'ratio':>6}")  # fmt: skip
            next_id = FIRST_CUSTOMER + 1_000
            _load(place, "ENROL", 4, 20, next_id)  # warm-up: credentials, plans, caches
            next_id += 20 * PER_CALL
            for count in connections:
                enrolled: list[Result] = []
                issued: list[Result] = []
                limit: list[float] = []
                size = calls if count > 1 else max(calls // 10, 1)
                for _ in range(rounds):
                    enrolled.append(_load(place, "ENROL", count, size, next_id))
                    issued.append(_load(place, "EARN", count, size, next_id))
                    next_id += size * PER_CALL
                    limit.append(_pgbench(place, min(count, 16)))
                _print(count, enrolled, issued, limit)
            print(f"peak memory of the service {peak_memory_mib(service.pid):.0f} MiB", flush=True)


def _print(
    connections: int, enrolled: list[Result], issued: list[Result], limit: list[float]
) -> None:
    rates = [
        statistics.median(result.per_second for result in results) * PER_CALL
        for results in (enrolled, issued)
    ]
    p50s, p99s = (
        [statistics.median(getattr(each, name) for each in found) for found in (enrolled, issued)]
        for name in ("p50_ms", "p99_ms")
    )
    rival = statistics.median(limit) * PER_CALL
    print(
        f"{connections:>11} {rates[0]:>9,.0f} {p50s[0]:>7.1f} {p99s[0]:>7.1f} {rates[1]:>9,.0f} "
        f"{p50s[1]:>7.1f} {p99s[1]:>7.1f} {rival:>10,.0f} {rates[0] / rival:>6.2f}",
        flush=True,
    )


def _prepare(url: str, owner_url: str) -> Place:
    """An organisation with one promotion through the API, and its customers by SQL."""
    with httpx.Client(base_url=url, timeout=60) as client:
        account = new_account(client)
        headers = {"Authorization": account.authorization}

        def make(path: str, body: dict[str, Any]) -> Any:
            answer = client.post(f"/milepost/v1/{path}", json=body, headers=headers)
            answer.raise_for_status()
            return answer.json()["data"]

        program = make("programs", {"name": "Bench"})["programId"]
        promotion = make(
            "promotions",
            {
                "programId": program,
                "name": "Bench",
                "type": "LOYALTY_EARNING",
                "startDate": "2026-01-01T00:00:00Z",
                "endDate": "2099-12-31T23:59:59Z",
            },
        )["promotionId"]
    with psycopg.connect(owner_url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO customers SELECT %s, n, %s, 'loyalty', now() FROM generate_series(%s, %s) n",
            (account.org_id, account.org_id, FIRST_CUSTOMER, FIRST_CUSTOMER + CUSTOMERS - 1),
        )
        connection.execute("VACUUM ANALYZE customers")
        connection.execute("CREATE SEQUENCE bench_calls START 1")
        connection.execute(PGBENCH_FUNCTION)
        connection.execute("CHECKPOINT")
    return Place(url, owner_url, account, program, promotion)


def _load(place: Place, action: str, connections: int, calls: int, first_id: int) -> Result:
    address = urlsplit(place.url)
    load = Load(
        host=address.hostname or "",
        port=address.port or 0,
        path="/v2/promotion/bulk/enrolAndEarn",
        body=(
            f'{{"type":"CUSTOMER","bulkAction":"{action}","promotionDetails":{{"programId":'
            f'{place.program_id},"promotionId":{place.promotion_id}}},"identifierName":"id",'
            '"customers":[{items}]}'
        ),
        authorization=place.account.authorization,
        connections=connections,
        requests=calls,
        first_id=first_id,
        item='{"identifierValue":"{id}","source":"INSTORE"}',
        per_request=PER_CALL,
    )
    run = subprocess.run(
        [sys.executable, "-m", "benchmarks.load"],
        input=msgspec.json.encode(load) + b"\n",
        stdout=subprocess.PIPE,
        check=True,
    )
    result = msgspec.json.decode(run.stdout, type=Result)
    if result.refused:
        raise RuntimeError(f"{result.refused} of {result.requests} calls were refused")
    return result


def _pgbench(place: Place, clients: int) -> float:
    """Calls per second of the stored function, which has the rows of 100 customers each."""
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as script:
        script.write(PGBENCH_SCRIPT)
        script.flush()
        run = subprocess.run(
            [
                pgbench_path(), "--no-vacuum", "--client", str(clients), "--jobs", "2", "--time", "4",
                "--file", script.name, "--define", f"org={place.account.org_id}",
                "--define", f"promotion={place.promotion_id}",
                "--define", f"first={FIRST_CUSTOMER + CUSTOMERS // 2}", place.owner_url,
            ],
            capture_output=True,
            text=True,
            check=True,
        )  # fmt: skip
    found = re.search(r"tps = ([\d.]+)", run.stdout)
    if found is None:
        raise RuntimeError(run.stdout + run.stderr)
    return float(found[1])


async def _statements(place: Place) -> dict[int, int]:
    """How many statements a call sends, by the number of its customers."""
    runner = Runner(database(place.owner_url, Settings()))
    await runner.database.open()
    tenant = Tenant(place.account.org_id, place.account.org_id)
    counts: dict[int, int] = {}
    sent = 0
    execute = psycopg.AsyncCursor.execute

    async def counted(self: Any, *query: Any, **more: Any) -> Any:
        nonlocal sent
        sent += 1
        return await execute(self, *query, **more)

    psycopg.AsyncCursor.execute = counted  # type: ignore[method-assign]
    try:
        first = FIRST_CUSTOMER
        for size in (1, 1, 10, 100):  # the first one reads the definitions
            named = [
                {"identifierValue": str(first + place_), "source": "INSTORE"}
                for place_ in range(size)
            ]
            draft = CallDraft(
                "CUSTOMER", ENROL, place.program_id, place.promotion_id, None, "id", named
            )
            acts = read_call(draft, (ENROL,))
            assert isinstance(acts, list)
            sent = 0
            await runner.run(ISSUING, tenant, acts)
            counts[size] = sent
            first += size
    finally:
        psycopg.AsyncCursor.execute = execute  # type: ignore[method-assign]
        await runner.database.close()
    return counts
