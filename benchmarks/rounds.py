"""Rounds: what one of them measured, and what their median says."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

from benchmarks.load import Result
from benchmarks.processes import processor_seconds
from benchmarks.results import Latency, Memory, Section, Way, median_latency, spread


def note(text: str) -> None:
    """Tell who waits how far it is."""
    sys.stderr.write(f"  {text} …\n")
    sys.stderr.flush()


@dataclass(frozen=True)
class Part:
    """What a part of the benchmarks has measured."""

    sections: list[Section]
    memory: list[Memory] = field(default_factory=list)
    facts: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Measured:
    """One round of one way."""

    per_second: float
    latency: Latency | None
    service_us: float
    """Processor time of the processes that answer, for one thing."""
    postgres_us: float
    busy: int = 0
    """Answered 503: try again."""


class Meter:
    """The processor time of a service and its PostgreSQL from now on."""

    def __init__(self, service_pid: int, postgres_pid: int) -> None:
        self._pids = (service_pid, postgres_pid)
        self._before = [processor_seconds(pid) for pid in self._pids]

    def read(self, result: Result, things_per_request: int = 1) -> Measured:
        """The round that has just ended."""
        count = result.requests * things_per_request
        rate = result.per_second * things_per_request
        return self.read_count(count, rate, result.latency, result.busy)

    def read_count(
        self, count: int, per_second: float, latency: Latency | None = None, busy: int = 0
    ) -> Measured:
        """The round that has just ended and was of so many things."""
        service, postgres = (
            (processor_seconds(pid) - before) / count * 1e6
            for pid, before in zip(self._pids, self._before, strict=True)
        )
        return Measured(per_second, latency, service, postgres, busy)


def named(workers: int) -> str:
    """Milepost with so many processes that answer."""
    return f"Milepost, {workers} worker{'s' * (workers > 1)}"


def way(name: str, kind: str, processes: int, rounds: Sequence[Measured | float]) -> Way:
    """The medians of the rounds; a number is a rate of which nothing else is known."""
    measured = [each for each in rounds if isinstance(each, Measured)]
    rates = [each.per_second if isinstance(each, Measured) else each for each in rounds]
    latencies = [each.latency for each in measured if each.latency is not None]
    return Way(
        name=name,
        kind=kind,
        processes=processes,
        per_second=spread(rates),
        latency=median_latency(latencies) if latencies else None,
        service_us=median(each.service_us for each in measured) if measured else None,
        postgres_us=median(each.postgres_us for each in measured) if measured else None,
        busy=sum(each.busy for each in measured),
    )
