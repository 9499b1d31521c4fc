"""Reads of a customer's progress, between one SELECT of the same rows by pgbench and what is usually written.

A customer is in three milestones. Milepost's view, as on the wire, tells the current cycles with all that is
defined of them; its explanation tells what happened, in sentences. The rounds alternate.
"""

from __future__ import annotations

import random
from collections import defaultdict
from contextlib import ExitStack
from dataclasses import dataclass

import httpx

from benchmarks import fill
from benchmarks.load import Load, Result, send
from benchmarks.pgbench import transactions_per_second
from benchmarks.place import (
    FIRST_CUSTOMER,
    Account,
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

TARGETS = 3
RIVAL_SHARE = 10


@dataclass(frozen=True)
class View:
    """What is read: a path of ours, and the statement that has the same rows."""

    title: str
    path: str
    statement: str
    has_rival: bool


VIEWS = (
    View(
        "Reading a customer's target groups",
        "/v3/users/{id}/targetGroups",
        "SELECT c.loyalty_type, c.created_at, e.*, p.* FROM customers c "
        "LEFT JOIN enrolments e USING (org_id, customer_id) "
        "LEFT JOIN progress p USING (org_id, customer_id, target_id) "
        "WHERE c.org_id = :org AND c.customer_id = :customer;\n",
        has_rival=True,
    ),
    View(
        "Reading a customer's explanation",
        "/milepost/v1/customers/{id}/explanation",
        "SELECT j.* FROM customers c JOIN journal j USING (org_id, customer_id) "
        "WHERE c.org_id = :org AND c.customer_id = :customer ORDER BY version, ordinal;\n",
        has_rival=False,
    ),
)


def measure(sizes: Sizes) -> Part:
    """At each number of connections, with each number of worker processes."""
    with ExitStack() as stack:
        postgres = stack.enter_context(running_postgres())
        services = {
            workers: stack.enter_context(running_service(postgres.url, workers))
            for workers in sizes.workers
        }
        rival = stack.enter_context(running_rival(postgres.url))
        customers = range(FIRST_CUSTOMER, FIRST_CUSTOMER + sizes.active_customers)
        account = _prepare(next(iter(services.values())).url, postgres, customers)
        sections = []
        for view in VIEWS:
            for each in (*services.values(), rival) if view.has_rival else services.values():
                _read(each, account, view, 8, customers, 200)  # warm-up
            lines = []
            for count in sizes.connections:
                found: defaultdict[str, list[Measured | float]] = defaultdict(list)
                size = max(sizes.requests // (3 if count > 1 else 30), 1)
                for number in range(sizes.rounds):
                    note(f"{count} connection(s), round {number + 1} of {sizes.rounds}")
                    for workers, service in services.items():
                        meter = Meter(service.pid, postgres.pid)
                        result = _read(service, account, view, count, customers, size)
                        found[f"{workers}"].append(meter.read(result))
                    found["limit"].append(
                        _at_the_limit(postgres, account, view, count, customers, sizes)
                    )
                    if view.has_rival:
                        meter = Meter(rival.pid, postgres.pid)
                        few = max(size // RIVAL_SHARE, 1)
                        result = _read(rival, account, view, count, customers, few)
                        found["rival"].append(meter.read(result))
                lines.append(_line(count, services, found))
            sections.append(Section(view.title, "reads", "connections", lines))
        memory = [
            Memory(f"{named(workers)}: reads", peak_mib(each.pid))
            for workers, each in services.items()
        ]
        return Part(sections, memory)


def _line(
    connections: int, services: dict[int, Running], found: dict[str, list[Measured | float]]
) -> Line:
    ways = [way(named(workers), OURS, workers, found[f"{workers}"]) for workers in services]
    ways.append(way("pgbench, one SELECT", LIMIT, 0, found["limit"]))
    if "rival" in found:
        ways.append(way("FastAPI, SQLAlchemy ORM", RIVAL, 1, found["rival"]))
    return Line(connections, ways)


def _read(
    service: Running, account: Account, view: View, connections: int, customers: range, count: int
) -> Result:
    return send(
        Load(
            url=service.url,
            method="GET",
            path=view.path,
            authorization=account.authorization,
            connections=connections,
            ids=random.choices(customers, k=count),
        )
    )


def _at_the_limit(
    postgres: Server, account: Account, view: View, clients: int, customers: range, sizes: Sizes
) -> float:
    pick = f"\\set customer random({customers.start}, {customers.stop - 1})\n"
    return transactions_per_second(
        postgres.url, pick + view.statement, clients, sizes.limit_seconds, org=account.org_id
    )


def _prepare(url: str, postgres: Server, customers: range) -> Account:
    with httpx.Client(base_url=url, timeout=60) as client:
        account = new_account(client)
        groups = [new_milestone(client, account, f"Bench {each}") for each in range(TARGETS)]
    ids = [group["targets"][0]["id"] for group in groups]
    fill.enrol(postgres.url, account.org_id, customers.start, len(customers), ids)
    fill.copy_to_rival(postgres.url, account.org_id)
    fill.settle_down(postgres.url)
    return account
