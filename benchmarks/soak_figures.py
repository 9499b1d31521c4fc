"""What a service takes up, sample by sample, and whether any of it grows without bound."""

from __future__ import annotations

import re
import statistics
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg

WARM_UP = 0.25
"""Of the time: caches fill, pools open, tables get their first free space."""

# Rows that are written again and again: they must stay as large as what lives in them.
HOT = (
    "customer_versions", "progress", "orgs", "promotion_usage", "rate_usage", "webhook_outbox",
    "webhooks", "cycle_ends", "jobs.procrastinate_jobs", "jobs.procrastinate_events",
)  # fmt: skip
# Rows that are kept: they may become more, each as large as ever.
KEPT = (
    "journal", "activities", "enrolments", "issuals", "earns", "redemptions", "rewards",
    "deliveries", "idempotency_keys", "passes",
)  # fmt: skip
QUEUES = {
    "webhook_outbox": "SELECT count(*) FROM webhook_outbox",
    "pending deliveries": "SELECT count(*) FROM deliveries WHERE status = 'PENDING'",
    "jobs": "SELECT count(*) FROM jobs.procrastinate_jobs WHERE scheduled_at IS NULL OR scheduled_at < now()",
    "unfinished passes": "SELECT count(*) FROM passes WHERE finished_at IS NULL",
}


@dataclass(frozen=True)
class Bound:
    """How much larger a figure may be at the end: by a factor, and by an amount on top."""

    factor: float
    more: float
    unit: str
    divisor: float = 1.0


MEMORY = Bound(1.10, 4 * 2**20, "MiB", 2**20)
COUNT = Bound(1.0, 10, "")
QUEUE = Bound(1.0, 100, "rows")
HOT_BYTES = Bound(1.25, 256 * 2**10, "KiB", 2**10)
DEAD_ROWS = Bound(1.5, 2_000, "rows")
BYTES_A_ROW = Bound(1.10, 8, "bytes a row")
GROWING = Bound(float("inf"), 0, "MiB", 2**20)


def sample(database_url: str, service: int, postmaster: int) -> dict[tuple[str, Bound], float]:
    """Every figure now, by name and bound. Memory is what each process has of its own, in bytes."""
    found: dict[tuple[str, Bound], float] = {}
    for pid in descendants(service):
        name = "due work" if b"milepost.worker" in command_line(pid) else "service"
        found[f"memory of {name}", MEMORY] = memory(pid)
        found[f"open files of {name}", COUNT] = float(len(list(Path(f"/proc/{pid}/fd").iterdir())))
    found["memory of PostgreSQL", MEMORY] = sum(map(memory, descendants(postmaster)))
    with psycopg.connect(database_url, autocommit=True) as connection:

        def one(statement: str, *given: str) -> float:
            row = connection.execute(statement.encode(), given).fetchone()
            return float(row[0] or 0) if row else 0.0

        found["connections to PostgreSQL", COUNT] = one(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        )
        for name, statement in QUEUES.items():
            found[f"queue: {name}", QUEUE] = one(statement)
        for table in HOT:
            found[f"{table}", HOT_BYTES] = one("SELECT pg_total_relation_size(%s)", table)
            found[f"{table}: dead rows", DEAD_ROWS] = one(
                "SELECT n_dead_tup FROM pg_stat_user_tables WHERE relid = %s::regclass", table
            )
        for table in KEPT:
            if rows := one(f"SELECT count(*) FROM {table}"):  # noqa: S608 - a name of ours
                size = one("SELECT pg_total_relation_size(%s)", table)
                found[f"{table}", BYTES_A_ROW] = size / rows
        found["database", GROWING] = one("SELECT pg_database_size(current_database())")
    return found


def descendants(process: int) -> list[int]:
    """A process and all below it."""
    pids, found = [process], []
    while pids:
        pid = pids.pop()
        with suppress(FileNotFoundError, ProcessLookupError):
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
            found.append(pid)
            pids += map(int, children)
    return found


def command_line(pid: int) -> bytes:
    """What a process was started with."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


def memory(pid: int) -> float:
    """Bytes that a process shares with no other; of PostgreSQL's, its buffers are not among them."""
    with suppress(FileNotFoundError, ProcessLookupError, PermissionError):
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        return sum(1024.0 * int(kib) for kib in re.findall(r"Private_\w+: +(\d+) kB", text))
    return 0.0


@dataclass(frozen=True)
class Line:
    """A figure over the time after the warm-up: its medians in the first and last third, and its slope."""

    name: str
    bound: Bound
    start: float
    end: float
    per_hour: float

    @property
    def is_bounded(self) -> bool:
        """Whether it has not grown by more than it may."""
        return self.end <= self.start * self.bound.factor + self.bound.more


def judge(
    seconds: Sequence[float], samples: Sequence[Mapping[tuple[str, Bound], float]]
) -> Iterator[Line]:
    """A line for each figure."""
    after = [number for number, at in enumerate(seconds) if at >= WARM_UP * seconds[-1]]
    third = max(1, len(after) // 3)
    names = {key: None for each in samples for key in each}
    for name, bound in names:
        points = [
            (seconds[number], samples[number][name, bound])
            for number in after
            if (name, bound) in samples[number]
        ]
        if len(points) < 3:
            continue
        values = [value for _, value in points]
        slope = statistics.linear_regression([at for at, _ in points], values).slope
        start, end = statistics.median(values[:third]), statistics.median(values[-third:])
        yield Line(name, bound, start, end, slope * 3600)


def table(lines: Sequence[Line]) -> Iterator[str]:
    """The lines as a table in Markdown."""
    yield "| figure | unit | start | end | per hour | |"
    yield "| --- | --- | ---: | ---: | ---: | --- |"
    for line in lines:
        start, end, slope = (
            f"{value / line.bound.divisor:,.1f}" for value in (line.start, line.end, line.per_hour)
        )
        verdict = "grows with what is kept" if line.bound is GROWING else "bounded"
        if not line.is_bounded:
            verdict = "GROWS"
        yield f"| {line.name} | {line.bound.unit} | {start} | {end} | {slope} | {verdict} |"
