"""Processor time and memory of processes, from /proc.

Processor time says more than a rate where neighbours disturb the machine: it depends less on them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def tree(pid: int) -> Iterator[int]:
    """The process and its descendants that live."""
    pids = [pid]
    while pids:
        each = pids.pop()
        with suppress(FileNotFoundError, ProcessLookupError):
            for thread in Path(f"/proc/{each}/task").iterdir():
                pids += map(int, (thread / "children").read_text().split())
            yield each


def processor_seconds(pid: int) -> float:
    """What the process and its descendants have used so far, those that have ended included."""
    ticks = 0
    for each in tree(pid):
        with suppress(FileNotFoundError, ProcessLookupError):
            # After the name, which may hold anything: utime, stime, and both of children awaited.
            fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
            ticks += sum(map(int, fields[11:15]))
    return ticks / _TICKS_PER_SECOND


def answering(pid: int) -> list[int]:
    """The processes of a service that answer requests: its workers, or itself where it is the only one."""
    workers = [each for each in tree(pid) if "milepost.server" in _command(each)]
    return workers or [pid]


def doing_due_work(pid: int) -> list[int]:
    """The process of a service that does what falls due; empty until it has started."""
    return [each for each in tree(pid) if "milepost.worker" in _command(each)]


def postmaster(pid: int) -> int:
    """The first process of the PostgreSQL that a service has embedded; raises LookupError if it has none."""
    for each in tree(pid):
        with suppress(FileNotFoundError):
            if Path(f"/proc/{each}/comm").read_text() == "postgres\n":
                return each
    raise LookupError("the service runs no PostgreSQL")


def resident_mib(pid: int) -> float:
    """The memory of a process now, what it shares with others included."""
    return _status_mib(pid, "VmRSS")


def peak_mib(pid: int) -> float:
    """The most that any one of the processes that answer ever took."""
    return max(_status_mib(each, "VmHWM") for each in answering(pid))


def private_mib(pid: int) -> float:
    """What a process and its descendants have for themselves: of PostgreSQL all but its shared buffers."""
    found = 0
    for each in tree(pid):
        with suppress(FileNotFoundError, ProcessLookupError):
            text = Path(f"/proc/{each}/smaps_rollup").read_text()
            found += sum(map(int, re.findall(r"^Private_\w+:\s+(\d+) kB", text, re.MULTILINE)))
    return found / 1024


def _status_mib(pid: int, name: str) -> float:
    found = re.search(rf"{name}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) / 1024 if found else 0.0


def _command(pid: int) -> str:
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    return ""
