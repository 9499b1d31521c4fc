"""Activities, streamed as NDJSON, between COPY of the same rows and what is usually written.

Each activity moves as many counters of a customer as there are targets: version, repetition, values, rewards,
journal. The limit is COPY of the same rows into an empty table with the same key, and nothing else. The rival
is `benchmarks/rivals/orm.py`, with one activity a request and with a list of 100. The rounds alternate.
"""

from __future__ import annotations

import random
import tempfile
import time
from collections import defaultdict
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx
import msgspec
import psycopg

from benchmarks import fill, stream
from benchmarks.load import Load, Result, send
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

COPY_TABLE = """
CREATE TABLE bench_activities (
    org_id bigint, customer_id bigint, activity_id text, occurred_at timestamptz, net_amount numeric,
    PRIMARY KEY (org_id, customer_id, activity_id)
)
"""
PER_CALL = 100
CALLING_CONNECTIONS = 8
STREAMS_PER_WORKER = 2
CALLS_PER_STREAM = 2
"""With more than one worker: a call is answered by one process, and the next one may go to another."""
CALLS_SHARE = 5
RIVAL_SHARE = 150
"""Calls and the rival are sent one of so many: it takes them long enough."""


@dataclass(frozen=True)
class Place:
    """An organisation with some milestones, and the customers who are in all of them."""

    account: Account
    customers: range


def measure(sizes: Sizes) -> Part:
    """For each number of matching targets, with each number of worker processes."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        postgres = stack.enter_context(running_postgres())
        services = {
            workers: stack.enter_context(running_service(postgres.url, workers))
            for workers in sizes.workers
        }
        rival = stack.enter_context(running_rival(postgres.url))
        places = _prepare(next(iter(services.values())).url, postgres, sizes)
        lines = []
        for targets, place in places.items():
            found: defaultdict[str, list[Measured | float]] = defaultdict(list)
            for number in range(sizes.rounds + 1):
                note(f"{targets} target(s), round {number} of {sizes.rounds}")
                # The first one is the warm-up: credentials, plans, caches.
                # Many targets take long enough with fewer activities.
                size = sizes.activities // (1 + targets // 4)
                count = size if number else max(size // 20, 100)
                for name, measured in _round(
                    folder, f"{targets}-{number}", postgres, services, rival, place, count
                ):
                    if number:
                        found[name].append(measured)
            _check(postgres.url, place.account.org_id, targets)
            lines.append(_line(targets, services, found))
        memory = [
            Memory(f"{named(workers)}: activities", peak_mib(each.pid))
            for workers, each in services.items()
        ]
        memory.append(Memory("ORM: activities", peak_mib(rival.pid)))
        return Part([Section("Activities", "activities", "matching targets", lines)], memory)


def _check(owner_url: str, org_id: int, targets: int) -> None:
    """Raise if not every activity moved every counter: what moves nothing is recorded sooner."""
    with psycopg.connect(owner_url) as connection:
        row = connection.execute(
            "SELECT count(*), sum((SELECT count(*) FROM jsonb_array_elements(details->'effects') e "
            "WHERE e->>3 = 'ADDED')) FROM journal WHERE org_id = %s AND what = 'ACTIVITY'",
            (org_id,),
        ).fetchone()
    activities, moved = row if row is not None else (0, 0)
    if not activities or moved != activities * targets:
        raise RuntimeError(f"{activities:,} activities moved {moved or 0:,} counters")


def _round(
    folder: Path,
    name: str,
    postgres: Server,
    services: dict[int, Running],
    rival: Running,
    place: Place,
    count: int,
) -> list[tuple[str, Measured | float]]:
    """Each way once."""
    found: list[tuple[str, Measured | float]] = []
    files: list[list[Path]] = []
    for workers, service in services.items():
        streams = 1 if workers == 1 else STREAMS_PER_WORKER * workers
        files = write(folder, f"{name}-{workers}", place.customers, count, streams)
        found.append(
            (f"stream {workers}", streamed(service, postgres, place.account, files, count))
        )
    called = max(count // CALLS_SHARE, PER_CALL) // PER_CALL * PER_CALL
    first = next(iter(services.values()))
    meter = Meter(first.pid, postgres.pid)
    path = "/milepost/v1/activities"
    result = _call(first, path, place, f"{name}-call", called, PER_CALL)
    found.append(("calls", meter.read(result, PER_CALL)))
    found.append(("copy", _copy(postgres.url, [file for each in files for file in each])))
    few = max(count // RIVAL_SHARE, CALLING_CONNECTIONS)
    meter = Meter(rival.pid, postgres.pid)
    found.append(("one", meter.read(_call(rival, "/activities", place, f"{name}-one", few, 1))))
    many = max(few // PER_CALL, 4) * PER_CALL
    meter = Meter(rival.pid, postgres.pid)
    result = _call(rival, "/activities", place, f"{name}-many", many, PER_CALL)
    found.append(("many", meter.read(result, PER_CALL)))
    for file in folder.iterdir():
        file.unlink()
    return found


def _line(
    targets: int, services: dict[int, Running], found: dict[str, list[Measured | float]]
) -> Line:
    ours = [
        way(
            f"{named(workers)}, "
            + ("1 stream" if workers == 1 else f"{STREAMS_PER_WORKER * workers} streams"),
            OURS, workers, found[f"stream {workers}"],
        )
        for workers in services
    ]  # fmt: skip
    first = next(iter(services))
    return Line(
        targets,
        [
            *ours,
            way(f"{named(first)}, calls of {PER_CALL}", OURS, first, found["calls"]),
            way("COPY of the rows", LIMIT, 0, found["copy"]),
            way(f"FastAPI, SQLAlchemy ORM, {PER_CALL} a request", RIVAL, 1, found["many"]),
            way("FastAPI, SQLAlchemy ORM, one a request", RIVAL, 1, found["one"]),
        ],
    )


def streamed(
    service: Running, postgres: Server, account: Account, files: list[list[Path]], count: int
) -> Measured:
    """Send these files, which have so many activities."""
    meter = Meter(service.pid, postgres.pid)
    names = [[str(file) for file in each] for each in files]
    result = stream.send(stream.Stream(service.url, account.authorization, names), count)
    return meter.read_count(count, count / result.seconds)


def write(
    folder: Path, name: str, customers: range, count: int, streams: int = 1
) -> list[list[Path]]:
    """Files with activities of random customers, for each stream those that it sends one after the other.

    A stream has customers of its own, as a partition of a topic does; the only stream sends one file.
    """
    calls = 1 if streams == 1 else CALLS_PER_STREAM
    files = [[folder / f"{name}-{each}-{call}" for call in range(calls)] for each in range(streams)]
    lines: dict[Path, list[str]] = {file: [] for each in files for file in each}
    now = datetime.now(UTC).isoformat()
    chance = random.Random(name)
    for number in range(count):
        customer = chance.choice(customers)
        file = files[customer % streams][number * calls // count]
        lines[file].append(
            f'{{"id":"{name}-{number}","customerId":{customer},"type":"TRANSACTION",'
            f'"occurredAt":"{now}","netAmount":{chance.randrange(100, 9_999) / 100},'
            '"storeId":7,"attributes":{"channel":"web"}}\n'
        )
    for file, text in lines.items():
        file.write_text("".join(text))
    return files


def _call(
    service: Running, path: str, place: Place, name: str, count: int, per_request: int
) -> Result:
    """Activities of random customers, one or several a request."""
    now = datetime.now(UTC).isoformat()
    item = (
        f'{{"id":"{name}-{{number}}","customerId":{{id}},"type":"TRANSACTION","occurredAt":"{now}",'
        '"netAmount":45.5,"storeId":7,"attributes":{"channel":"web"}}'
    )
    return send(
        Load(
            url=service.url,
            path=path,
            body="[{items}]" if per_request > 1 else item,
            item=item if per_request > 1 else "",
            per_request=per_request,
            authorization=place.account.authorization,
            connections=CALLING_CONNECTIONS,
            ids=random.Random(name).choices(place.customers, k=count),
        )
    )


def _copy(owner_url: str, files: list[Path]) -> float:
    """Rows per second of COPY into an empty table with the same key."""
    rows = []
    for file in files:
        with file.open("rb") as lines:
            for line in lines:
                row = msgspec.json.decode(line)
                rows.append(
                    f"1\t{row['customerId']}\t{row['id']}\t{row['occurredAt']}\t{row['netAmount']}\n"
                )
    data = "".join(rows).encode()
    with psycopg.connect(owner_url, autocommit=True) as connection:
        connection.execute("DROP TABLE IF EXISTS bench_activities")
        connection.execute(COPY_TABLE)
        began = time.perf_counter()
        with connection.cursor().copy("COPY bench_activities FROM STDIN") as copy:
            copy.write(data)
        return len(rows) / (time.perf_counter() - began)


def _prepare(url: str, postgres: Server, sizes: Sizes) -> dict[int, Place]:
    """By the number of targets: an organisation with so many, and customers who are in all of them."""
    places = {}
    first = FIRST_CUSTOMER
    with httpx.Client(base_url=url, timeout=60) as client:
        for targets in sizes.targets:
            account = new_account(client)
            groups = [new_milestone(client, account, f"Bench {each}") for each in range(targets)]
            ids = [group["targets"][0]["id"] for group in groups]
            fill.enrol(postgres.url, account.org_id, first, sizes.active_customers, ids)
            fill.copy_to_rival(postgres.url, account.org_id)
            places[targets] = Place(account, range(first, first + sizes.active_customers))
            first += sizes.active_customers
    fill.settle_down(postgres.url)
    return places
