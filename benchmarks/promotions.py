"""Customers per second through bulk calls of 100, beside pgbench: stored functions with the same rows.

Each call enrols 100 customers in a promotion, or issues it to them: version, record and journal of each,
committed before the answer. pgbench is the limit: the rows of 100 customers in one call, without HTTP,
authentication or rules. The rounds alternate, because these machines are noisy; the medians are compared.
"""

from __future__ import annotations

from collections import defaultdict
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
    Account,
    Running,
    Server,
    new_account,
    running_postgres,
    running_service,
)
from benchmarks.processes import peak_mib
from benchmarks.results import LIMIT, OURS, Line, Memory, Section
from benchmarks.rounds import Measured, Meter, Part, named, note, way
from benchmarks.sizes import Sizes

PER_CALL = 100

_WRITE = """
CREATE FUNCTION {name}(org bigint, customer bigint, promotion bigint) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM {read} c WHERE c.org_id = org AND c.customer_id BETWEEN customer AND customer + 99;
    INSERT INTO customer_versions AS v SELECT org, n, 1 FROM generate_series(customer, customer + 99) n
        ON CONFLICT (org_id, customer_id) DO UPDATE SET version = v.version + 1;
    {record}
    FROM generate_series(customer, customer + 99) n;
    INSERT INTO journal (org_id, customer_id, version, ordinal, at, what, reason, details, request_id)
    SELECT org, n, {version}, 0, now(), '{what}', '{reason}', jsonb_build_object('promotion', promotion,
           '{key}', n, 'expiresAt', '2027-12-31T00:00:00+00:00'), repeat('x', 32)
    FROM generate_series(customer, customer + 99) n;
END $$
"""
FUNCTIONS = (
    _WRITE.format(
        name="bench_enrol_all", read="customers", version=1, what="ENROLLED", key="issual",
        reason="PROMOTION_ENROLLED",
        record="INSERT INTO issuals (org_id, customer_id, promotion_id, issual_id, issued_at, expires_at, "
        "is_dummy, entry_id) SELECT org, n, promotion, nextval('issual_ids'), now(), "
        "now() + interval '1 year', false, 32768",
    ),
    _WRITE.format(
        name="bench_issue_all", read="issuals", version=2, what="EARNED", key="earn",
        reason="PROMOTION_EARNED",
        record="INSERT INTO earns (org_id, customer_id, promotion_id, earn_id, issual_id, earned_at, "
        "expires_at, entry_id, redemptions, points) SELECT org, n, promotion, nextval('earn_ids'), n, "
        "now(), now() + interval '1 year', 65536, 0, 0",
    ),
)  # fmt: skip
# Nobody twice.
SCRIPTS = {
    "ENROL": "SELECT bench_enrol_all(:org, :first + 100 * nextval('bench_enrolled'), :promotion)\n",
    "EARN": "SELECT bench_issue_all(:org, :first + 100 * nextval('bench_issued'), :promotion)\n",
}
TITLES = {"ENROL": "Enrolling in a promotion", "EARN": "Issuing a promotion"}


@dataclass(frozen=True)
class Place:
    """What is measured on: an organisation and a promotion."""

    account: Account
    program_id: int
    promotion_id: int
    limit_from: int
    """The first customer of the limit."""


def measure(sizes: Sizes) -> Part:
    """At each number of connections, with each number of worker processes."""
    with ExitStack() as stack:
        postgres = stack.enter_context(running_postgres())
        services = {
            workers: stack.enter_context(running_service(postgres.url, workers))
            for workers in sizes.workers
        }
        place = _prepare(next(iter(services.values())).url, postgres, sizes)
        came = FIRST_CUSTOMER
        for each in services.values():  # warm-up: credentials, plans, caches
            for action in TITLES:
                _load(each, place, action, 4, range(came, came + 4 * PER_CALL))
            came += 4 * PER_CALL
        lines: dict[str, list[Line]] = {action: [] for action in TITLES}
        for count in sizes.connections:
            found: defaultdict[tuple[str, int], list[Measured | float]] = defaultdict(list)
            size = sizes.calls if count > 1 else max(sizes.calls // 10, 1)
            for number in range(sizes.rounds):
                note(f"{count} connection(s), round {number + 1} of {sizes.rounds}")
                for workers, service in services.items():
                    customers = range(came, came + size * PER_CALL)
                    for action in TITLES:
                        meter = Meter(service.pid, postgres.pid)
                        result = _load(service, place, action, count, customers)
                        found[action, workers].append(meter.read(result, PER_CALL))
                    came = customers.stop
                for action in TITLES:
                    found[action, 0].append(_at_the_limit(postgres, place, action, count, sizes))
            for action, shown in lines.items():
                ours = [
                    way(named(workers), OURS, workers, found[action, workers])
                    for workers in services
                ]
                limit = way("pgbench, stored function", LIMIT, 0, found[action, 0])
                shown.append(Line(count, [*ours, limit]))
        memory = [
            Memory(f"{named(workers)}: promotions", peak_mib(each.pid))
            for workers, each in services.items()
        ]
    sections = [
        Section(title, "customers", "connections", lines[action])
        for action, title in TITLES.items()
    ]
    return Part(sections, memory)


def _prepare(url: str, postgres: Server, sizes: Sizes) -> Place:
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
    rounds = len(sizes.connections) * sizes.rounds * len(sizes.workers) + 1
    ours = (rounds * sizes.calls + 100) * PER_CALL
    limit = 2_500_000 if sizes.limit_seconds > 1 else 200_000
    fill.register(postgres.url, account.org_id, FIRST_CUSTOMER, ours + limit)
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        for name in ("bench_enrolled", "bench_issued"):
            connection.execute(f"CREATE SEQUENCE {name} MINVALUE 0 START 0")
        for function in FUNCTIONS:
            connection.execute(function.encode())
    fill.settle_down(postgres.url)
    return Place(account, program, promotion, FIRST_CUSTOMER + ours)


def _load(
    service: Running, place: Place, action: str, connections: int, customers: range
) -> Result:
    return send(
        Load(
            url=service.url,
            path="/v2/promotion/bulk/enrolAndEarn",
            body=(
                f'{{"type":"CUSTOMER","bulkAction":"{action}","promotionDetails":{{"programId":'
                f'{place.program_id},"promotionId":{place.promotion_id}}},"identifierName":"id",'
                '"customers":[{items}]}'
            ),
            authorization=place.account.authorization,
            connections=connections,
            ids=list(customers),
            item='{"identifierValue":"{id}","source":"INSTORE"}',
            per_request=PER_CALL,
        )
    )


def _at_the_limit(postgres: Server, place: Place, action: str, clients: int, sizes: Sizes) -> float:
    """Customers per second of the stored function, which has the rows of 100 each."""
    calls = transactions_per_second(
        postgres.url, SCRIPTS[action], min(clients, 16), sizes.limit_seconds,
        org=place.account.org_id, promotion=place.promotion_id, first=place.limit_from,
    )  # fmt: skip
    return calls * PER_CALL
