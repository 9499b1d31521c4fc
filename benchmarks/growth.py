"""Enrolments and activities again, with ever more enrolments that are there already.

A database of its own for each size, filled by SQL as the service would have left it: customers who are each
in three milestones, with versions, stints, progress and journal. What is measured goes to customers picked
at random: half of the enrolments to some who are in the milestones, half to some who are in nothing yet.
Rounds go through the sizes in turn, so that a bad minute of the machine harms all of them.
"""

from __future__ import annotations

import tempfile
from collections import defaultdict
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
import psycopg

from benchmarks import fill
from benchmarks.activities import streamed, write
from benchmarks.enrolments import SEQUENCE, Place, enrol, make_limit, place_of
from benchmarks.pgbench import transactions_per_second
from benchmarks.place import (
    FIRST_CUSTOMER,
    Account,
    Crowd,
    Running,
    Server,
    new_account,
    new_milestone,
    running_postgres,
    running_service,
)
from benchmarks.processes import peak_mib
from benchmarks.results import LIMIT, OURS, Line, Memory, Section
from benchmarks.rounds import Measured, Meter, Part, named, note, way
from benchmarks.sizes import Sizes

TARGETS = 3
CONNECTIONS = 128
NEWCOMERS = 200_000
"""Registered, and in nothing yet."""
ON_AN_EVENT = {
    "name": "Runs", "targetEntity": "EVENT", "targetType": "COUNT", "eventName": "runLogged",
    "defaultValues": [{"defaultValue": 1000}],
}  # fmt: skip
"""Of milestones to enrol in, which the activities that are streamed leave alone."""


@dataclass
class Grown:
    """A size: what runs, its milestones to enrol in, and who comes."""

    postgres: Server
    service: Running
    account: Account
    ours: Place
    limit: Place
    there: Crowd
    newcomers: Crowd
    fill_seconds: float
    database_mib: float
    came: int = 0

    def next_ids(self, count: int) -> list[int]:
        """Whose enrolments come next, one who is there and one who is new in turn."""
        half = count // 2
        pairs = zip(
            self.there.ids(self.came, half), self.newcomers.ids(self.came, half), strict=True
        )
        self.came += half
        return [id_ for pair in pairs for id_ in pair]


def measure(sizes: Sizes) -> Part:
    """Each size in each round."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        grown = {size: _grow(stack, size) for size in sizes.grown}
        connections = min(CONNECTIONS, max(sizes.connections))
        found: defaultdict[tuple[int, str], list[Measured | float]] = defaultdict(list)
        for number in range(sizes.rounds + 1):
            note(f"round {number} of {sizes.rounds}")
            for size, each in grown.items():
                # The first one is the warm-up: credentials, plans, caches.
                share = 1 if number else 10
                requests = sizes.growth_requests // share
                meter = Meter(each.service.pid, each.postgres.pid)
                result = enrol(each.service, each.ours, connections, each.next_ids(requests))
                enrolled = meter.read(result)
                most = _at_the_limit(each, connections, requests)
                count = sizes.growth_activities // share
                customers = range(each.there.first, each.there.first + each.there.size)
                files = write(folder, f"growth-{size}-{number}", customers, count)
                moved = streamed(each.service, each.postgres, each.account, files, count)
                files[0][0].unlink()
                if number:
                    found[size, "enrolments"].append(enrolled)
                    found[size, "limit"].append(most)
                    found[size, "activities"].append(moved)
        memory = [
            Memory(f"{named(1)}: with {size:,} enrolments", peak_mib(each.service.pid))
            for size, each in grown.items()
        ]
        facts = {
            f"{size:,} enrolments": f"{each.database_mib:,.0f} MiB, filled in {each.fill_seconds:,.0f} s"
            for size, each in grown.items()
        }
    load = "existing enrolments"
    enrolments = [
        Line(
            size,
            [
                way(named(1), OURS, 1, found[size, "enrolments"]),
                way("pgbench, stored function", LIMIT, 0, found[size, "limit"]),
            ],
        )
        for size in grown
    ]
    activities = [Line(size, [way(named(1), OURS, 1, found[size, "activities"])]) for size in grown]
    return Part(
        [
            Section(f"Growth: enrolments at {connections} connections", "enrolments", load, enrolments),
            Section(f"Growth: activities of {TARGETS} targets", "activities", load, activities),
        ],
        memory,
        facts,
    )  # fmt: skip


def _at_the_limit(each: Grown, connections: int, requests: int) -> float:
    there, new = each.there.in_sql("n / 2"), each.newcomers.in_sql("n / 2")
    script = (
        f"SELECT bench_enrol(:org, CASE n % 2 WHEN 0 THEN {there} ELSE {new} END, :target, :period) "  # noqa: S608
        f"FROM (SELECT nextval('{SEQUENCE}') AS n OFFSET 0) AS came\n"
    )
    return transactions_per_second(
        each.postgres.url, script, connections, transactions=requests,
        org=each.limit.org_id, target=each.limit.target_id, period=each.limit.period_id,
    )  # fmt: skip


def _grow(stack: ExitStack, enrolments: int) -> Grown:
    """A database with so many enrolments, and a service on it."""
    postgres = stack.enter_context(running_postgres())
    with (
        running_service(postgres.url) as service,
        httpx.Client(base_url=service.url, timeout=60) as client,
    ):
        account = new_account(client)
        moved = [new_milestone(client, account, f"Bench {each}") for each in range(TARGETS)]
        ours, limit = (
            place_of(
                account.org_id,
                account.authorization,
                new_milestone(client, account, name, targets=[{**ON_AN_EVENT, "name": name}]),
            )
            for name in ("Ours", "Limit")
        )
    there = Crowd(FIRST_CUSTOMER, -(-enrolments // TARGETS))
    newcomers = Crowd(FIRST_CUSTOMER + there.size, NEWCOMERS)
    ids = [group["targets"][0]["id"] for group in moved]
    note(f"making {enrolments:,} enrolments")
    seconds = fill.enrol(postgres.url, account.org_id, there.first, there.size, ids)
    fill.register(postgres.url, account.org_id, newcomers.first, newcomers.size)
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        make_limit(connection)
        row = connection.execute("SELECT pg_database_size(current_database())").fetchone()
    note(f"made in {seconds:,.0f} s; leaving PostgreSQL nothing to do")
    fill.settle_down(postgres.url)
    return Grown(
        postgres=postgres,
        # Not the one that filled: as after a restart, with the connections and plans of a large database.
        service=stack.enter_context(running_service(postgres.url)),
        account=account,
        ours=ours,
        limit=limit,
        there=there,
        newcomers=newcomers,
        fill_seconds=seconds,
        database_mib=(row[0] if row is not None else 0) / 2**20,
    )
