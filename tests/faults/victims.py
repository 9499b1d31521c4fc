"""What can be killed of a running service, and when it is whole again."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random

from tests.faults.process import Process, wait_for

SERVICE = "service"
"""Its first process; the children end by themselves, its PostgreSQL stays behind."""
WORKER = "worker"
"""One of the processes that answer."""
DUE_WORKER = "due work"
POSTMASTER = "postmaster"
BACKEND = "backend"
"""One of PostgreSQL's processes that answer the service: PostgreSQL then ends all the others."""
EVERYTHING = "everything"
"""All processes of the service and of its PostgreSQL, as when the power fails."""
VICTIMS = (SERVICE, WORKER, DUE_WORKER, POSTMASTER, BACKEND, EVERYTHING)


@dataclass(frozen=True)
class Found:
    """A process: its parent, and its command line or the title that it gave itself."""

    pid: int
    parent: int
    title: str


def family(process: int) -> list[Found]:
    """A process and all its descendants, ancestors first; no zombies."""
    everybody: dict[int, list[Found]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(FileNotFoundError, ProcessLookupError):
            state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
            title = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            if state != "Z":
                each = Found(int(folder.name), int(parent), title)
                everybody.setdefault(each.parent, []).append(each)
    found = [each for siblings in everybody.values() for each in siblings if each.pid == process]
    for each in found:
        found += everybody.get(each.pid, ())
    return found


def named(found: Sequence[Found], text: str) -> list[int]:
    """The ids of those with a text in their title."""
    return [each.pid for each in found if text in each.title]


def kill(service: Process, victim: str, random: Random) -> Callable[[], None]:
    """`kill -9`; returns what brings the service back, or waits until it has come back by itself."""
    everybody = family(service.pid)
    if victim == SERVICE:
        killed = [service.pid]
    elif victim == EVERYTHING:
        killed = [each.pid for each in everybody]
    elif victim == POSTMASTER:
        killed = [service.postmaster()]
    else:
        title = {WORKER: "-m milepost.server", DUE_WORKER: "-m milepost.worker"}.get(
            victim, "postgres: milepost: milepost milepost"
        )
        killed = [random.choice(named(everybody, title))]
    for pid in killed:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

    def recover() -> None:
        if victim in (SERVICE, EVERYTHING):
            service.restart()
        else:
            wait_for(lambda: is_whole(service, killed[0]))
        service.await_ready()

    return recover


def is_whole(service: Process, killed: int) -> bool:
    """Whether the service has all its processes, and the killed one is gone with all that it took along."""
    now = family(service.pid)
    backends = named(now, "postgres: milepost: milepost milepost")
    return (
        killed not in {each.pid for each in now}
        and len(named(now, "-m milepost.server")) == service.workers
        and len(named(now, "-m milepost.worker")) == 1
        and service.postmaster() in {each.pid for each in now}
        and len(backends) > 0
    )


def seconds_to(act: Callable[[], None]) -> float:
    """How long something took."""
    began = time.monotonic()
    act()
    return time.monotonic() - began
