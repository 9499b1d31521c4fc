"""What a run of a benchmark leaves: one line of JSON, from which the page and its charts are written.

Rates are per second, latencies in milliseconds, processor time in microseconds, memory in MiB.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from pathlib import Path

import msgspec

FOLDER = Path(__file__).parent / "results"
FILE = FOLDER / "runs.jsonl"


class Spread(msgspec.Struct, frozen=True):
    """The median of the rounds, with the lowest and the highest."""

    median: float
    low: float
    high: float


class Latency(msgspec.Struct, frozen=True):
    """Percentiles in milliseconds: each the median of the rounds, `max_ms` the highest of all."""

    p50_ms: float
    p95_ms: float
    p99_ms: float
    p999_ms: float
    max_ms: float


class Way(msgspec.Struct, frozen=True):
    """One way of doing the work: Milepost, what limits it, or what one would write instead."""

    name: str
    kind: str
    """OURS, LIMIT or RIVAL."""
    processes: int
    per_second: Spread
    latency: Latency | None = None
    service_us: float | None = None
    """Processor time of the processes that answer, for one thing."""
    postgres_us: float | None = None
    busy: int = 0
    """Of all rounds: how many were answered 503, try again."""


class Line(msgspec.Struct, frozen=True):
    """All ways at one load, in the same rounds."""

    load: int
    ways: list[Way]


class Section(msgspec.Struct, frozen=True):
    """A table: ways by load."""

    title: str
    things: str
    """What the rate counts."""
    load: str
    """What the load is: connections, matching targets, existing enrolments."""
    lines: list[Line]


class Memory(msgspec.Struct, frozen=True):
    """How much memory something took, and when."""

    what: str
    mib: float


class Machine(msgspec.Struct, frozen=True):
    """Where it was measured."""

    processor: str
    cores: int
    memory_mib: int
    system: str
    postgres: str
    python: str


class Run(msgspec.Struct, frozen=True):
    """One part of the benchmarks, measured once."""

    part: str
    at: str
    """A date, UTC."""
    commit: str
    machine: Machine
    rounds: int
    is_quick: bool
    minutes: float
    sections: list[Section]
    memory: list[Memory] = []
    facts: dict[str, str] = {}
    """What else one has to know, by its name."""
    changed: str = ""
    """The sizes that were not the usual ones, as they were given."""


OURS, LIMIT, RIVAL = "OURS", "LIMIT", "RIVAL"


def spread(values: Sequence[float]) -> Spread:
    """Of the rounds' rates; there must be one."""
    return Spread(statistics.median(values), min(values), max(values))


def percentile(ordered: Sequence[float], share: float) -> float:
    """The smallest of the ordered values that at least this share of them does not exceed."""
    return ordered[max(math.ceil(share * len(ordered)) - 1, 0)]


def latency(ordered_ms: Sequence[float]) -> Latency:
    """The percentiles of one round's latencies, which are in order."""
    p50, p95, p99, p999 = (percentile(ordered_ms, each) for each in (0.5, 0.95, 0.99, 0.999))
    return Latency(p50, p95, p99, p999, ordered_ms[-1])


def median_latency(rounds: Sequence[Latency]) -> Latency:
    """Of each percentile the median of the rounds; of the highest the highest."""
    p50, p95, p99, p999 = (
        statistics.median(getattr(each, name) for each in rounds)
        for name in ("p50_ms", "p95_ms", "p99_ms", "p999_ms")
    )
    return Latency(p50, p95, p99, p999, max(each.max_ms for each in rounds))


def ratio(line: Line, way: Way) -> float | None:
    """Milepost's rate to this one's; None for Milepost's own.

    A limit is compared to the best number of worker processes; a rival to as many as it has itself.
    """
    if way.kind == OURS:
        return None
    ours = [
        each.per_second.median
        for each in line.ways
        if each.kind == OURS and (way.kind == LIMIT or each.processes == way.processes)
    ]
    return max(ours) / way.per_second.median if ours else None


def append(run: Run, file: Path = FILE) -> None:
    """Add a run to the end of the file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("ab") as lines:
        lines.write(msgspec.json.encode(run) + b"\n")


def newest(file: Path = FILE, *, quick: bool = False) -> dict[str, Run]:
    """The last run of each part; quick ones only if asked for."""
    found: dict[str, Run] = {}
    with file.open("rb") as lines:
        for line in lines:
            run = msgspec.json.decode(line, type=Run)
            if quick or not run.is_quick:
                found[run.part] = run
    return found
