"""Single enrolments over HTTP, between a limit and a rival that do the same durable work.

All write a stint, the progress of one cycle and a journal row on the same server, committed before the
answer. The limit is pgbench calling one stored function: no HTTP, no authentication, no rules. The rival is
what is usually written, `benchmarks/rivals/orm.py`. The rounds alternate, because these machines are noisy;
the medians are compared.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import httpx
import psycopg

from benchmarks import fill
from benchmarks.load import Load, Result, send
from benchmarks.pgbench import transactions_per_second
from benchmarks.place import (
    FIRST_CUSTOMER,
    Crowd,
    Running,
    Server,
    new_account,
    new_milestone,
    running_postgres,
    running_rival,
    running_service,
)
from benchmarks.processes import peak_mib
from benchmarks.results import LIMIT, OURS, RIVAL, Line, Memory, Section
from benchmarks.rounds import Measured, Meter, Part, named, note, way
from benchmarks.sizes import Sizes

PGBENCH_FUNCTION = """
CREATE FUNCTION bench_enrol(org bigint, customer bigint, target bigint, period bigint) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    made bigint;
BEGIN
    PERFORM 1 FROM customers WHERE org_id = org AND customer_id = customer;
    INSERT INTO customer_versions AS v VALUES (org, customer, 1)
        ON CONFLICT (org_id, customer_id) DO UPDATE SET version = v.version + 1 RETURNING v.version INTO made;
    INSERT INTO enrolments (org_id, customer_id, target_id, stint, enrolment_id, enrolled_at, from_period_id,
                            attempt)
        VALUES (org, customer, target, 1, nextval('enrolment_ids'), now(), period, 1);
    INSERT INTO progress (org_id, customer_id, target_id, period_id, attempt, value)
        VALUES (org, customer, target, period, 1, 100);
    INSERT INTO journal (org_id, customer_id, version, ordinal, at, what, reason, target_group_id, target_id,
                         period_id, details, request_id)
        VALUES (org, customer, made, 0, now(), 'ENROLLED', 'ENROLLED', target, target, period,
                '{"stint":1,"attempt":1,"balance":"100","targetValue":"1000"}', repeat('x', 32));
END $$
"""
SEQUENCE = "bench_customers"
RIVAL_SHARE = 20
"""The rival is sent one of so many: it takes long enough for those."""


@dataclass(frozen=True)
class Place:
    """What is measured on: an organisation with one milestone."""

    org_id: int
    authorization: str
    group_id: int
    target_id: int
    period_id: int
    period_name: str


def measure(sizes: Sizes) -> Part:
    """At each number of connections, with each number of worker processes."""
    with ExitStack() as stack:
        postgres = stack.enter_context(running_postgres())
        services = {
            workers: stack.enter_context(running_service(postgres.url, workers))
            for workers in sizes.workers
        }
        rival = stack.enter_context(running_rival(postgres.url))
        place, ours, limit = _prepare(next(iter(services.values())).url, postgres, sizes)
        came = 0
        for each in (*services.values(), rival):  # warm-up: credentials, plans, caches
            enrol(each, place, 8, ours.ids(came, 200))
            came += 200
        lines = []
        for count in sizes.connections:
            found: dict[tuple[str, int], list[Measured]] = {}
            most: list[float] = []
            size = sizes.requests if count > 1 else max(sizes.requests // 10, 1)
            for number in range(sizes.rounds):
                note(f"{count} connection(s), round {number + 1} of {sizes.rounds}")
                for workers, service in services.items():
                    meter = Meter(service.pid, postgres.pid)
                    ids = ours.ids(came, size)
                    result = enrol(service, place, count, ids)
                    found.setdefault((OURS, workers), []).append(meter.read(result))
                    came += size
                most.append(
                    at_the_limit(postgres, place, limit, min(count, 128), sizes.limit_seconds)
                )
                # The next customers, who are in tables of its own.
                meter = Meter(rival.pid, postgres.pid)
                result = enrol(rival, place, count, ours.ids(came, max(size // RIVAL_SHARE, 1)))
                found.setdefault((RIVAL, 1), []).append(meter.read(result))
            lines.append(
                Line(
                    count,
                    [
                        *(
                            way(named(workers), OURS, workers,
                                found[OURS, workers])
                            for workers in services
                        ),
                        way("pgbench, stored function", LIMIT, 0, most),
                        way("FastAPI, SQLAlchemy ORM", RIVAL, 1, found[RIVAL, 1]),
                    ],
                )
            )  # fmt: skip
        memory = [
            Memory(f"{named(workers)}: enrolments", peak_mib(each.pid))
            for workers, each in services.items()
        ]
        memory.append(Memory("ORM: enrolments", peak_mib(rival.pid)))
        return Part([Section("Enrolments", "enrolments", "connections", lines)], memory)


def enrol(service: Running, place: Place, connections: int, ids: list[int]) -> Result:
    """One request for each of these customers."""
    return send(
        Load(
            url=service.url,
            path=f"/v3/targetGroups/{place.group_id}/targets/{place.target_id}/enroll",
            body='[{"customerId":{id},"periodName":"' + place.period_name + '","initialBalance":100}]',
            authorization=place.authorization,
            connections=connections,
            ids=ids,
        )
    )  # fmt: skip


def at_the_limit(
    postgres: Server, place: Place, crowd: Crowd, connections: int, seconds: int
) -> float:
    """Enrolments per second of the stored function."""
    who = crowd.in_sql(f"nextval('{SEQUENCE}')")
    script = f"SELECT bench_enrol(:org, {who}, :target, :period)\n"
    return transactions_per_second(
        postgres.url, script, connections, seconds,
        org=place.org_id, target=place.target_id, period=place.period_id,
    )  # fmt: skip


def make_limit(connection: psycopg.Connection[Any]) -> None:
    """The stored function, and the sequence by which its customers come."""
    connection.execute(f"CREATE SEQUENCE {SEQUENCE} MINVALUE 0 START 0 CACHE 50")
    connection.execute(PGBENCH_FUNCTION)


def place_of(account_org_id: int, authorization: str, group: Any) -> Place:
    """The place of a group as the API answered it."""
    period = group["periods"][0]
    return Place(
        account_org_id, authorization, group["id"], group["targets"][0]["id"], period["id"],
        period["refCode"],
    )  # fmt: skip


def _prepare(url: str, postgres: Server, sizes: Sizes) -> tuple[Place, Crowd, Crowd]:
    """A milestone through the API, and customers by SQL: those of ours, and those of the limit."""
    with httpx.Client(base_url=url, timeout=60) as client:
        account = new_account(client)
        group = new_milestone(client, account, "Bench")
    ours = Crowd(FIRST_CUSTOMER, sizes.customers)
    limit = Crowd(FIRST_CUSTOMER + sizes.customers, sizes.customers)
    fill.register(postgres.url, account.org_id, FIRST_CUSTOMER, 2 * sizes.customers)
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        make_limit(connection)
    fill.copy_to_rival(postgres.url, account.org_id)
    fill.settle_down(postgres.url)
    return place_of(account.org_id, account.authorization, group), ours, limit
