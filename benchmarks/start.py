"""Time to ready and memory, idle and loaded, of the service as it is installed: PostgreSQL embedded."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from statistics import median

import httpx

from benchmarks import fill
from benchmarks.activities import streamed, write
from benchmarks.enrolments import enrol, place_of
from benchmarks.place import (
    FIRST_CUSTOMER,
    Running,
    Server,
    new_account,
    new_milestone,
    running_postgres,
    running_rival,
    serving,
)
from benchmarks.processes import (
    answering,
    doing_due_work,
    postmaster,
    private_mib,
    resident_mib,
)
from benchmarks.results import Memory, spread
from benchmarks.rounds import Part
from benchmarks.sizes import Sizes
from milepost import embedded

IDLE_SECONDS = 4
"""After the start, by when the process for due work has started too and has looked for what is due."""
CONNECTIONS = 128
BATCHES = 4


def measure(sizes: Sizes) -> Part:
    """Start anew, start again, and load what then runs."""
    first: list[float] = []
    again: list[float] = []
    theirs: list[float] = []
    memory: dict[str, list[float]] = {}
    for _ in range(sizes.rounds):
        with tempfile.TemporaryDirectory() as folder:
            data = Path(folder) / "data"
            for seconds in (first, again):
                began = time.perf_counter()
                with serving("--data", str(data)) as service:
                    httpx.get(f"{service.url}/health/ready").raise_for_status()
                    seconds.append(time.perf_counter() - began)
            with serving("--data", str(data)) as service:
                time.sleep(IDLE_SECONDS)
                _note(memory, service, "idle")
                _load(service, data, sizes)
                _note(memory, service, "after load")
        with running_postgres() as postgres:
            began = time.perf_counter()
            with running_rival(postgres.url) as rival:
                theirs.append(time.perf_counter() - began)
                memory.setdefault("ORM: idle", []).append(resident_mib(rival.pid))
    facts = {
        "first start, from nothing to ready": _told(first),
        "restart, to ready": _told(again),
        "ORM: start, to the first answer": _told(theirs),
    }
    return Part([], [Memory(what, median(found)) for what, found in memory.items()], facts)


def _told(seconds: list[float]) -> str:
    found = spread(seconds)
    return f"{found.median:.2f} s ({found.low:.2f}–{found.high:.2f})"


def _note(memory: dict[str, list[float]], service: Running, when: str) -> None:
    """What the processes of a service take now."""
    found = {
        "service": sum(map(resident_mib, answering(service.pid))),
        "due work": sum(map(resident_mib, doing_due_work(service.pid))),
        "PostgreSQL, private": private_mib(postmaster(service.pid)),
    }
    for what, mib in found.items():
        memory.setdefault(f"{what}: {when}", []).append(mib)


def _load(service: Running, data: Path, sizes: Sizes) -> None:
    """Enrolments at 128 connections, then activities of the enrolled, a few times."""
    url = embedded.running_url(data / "pg")
    assert url is not None
    postgres = Server(url, postmaster(service.pid))
    count = sizes.growth_requests
    with httpx.Client(base_url=service.url, timeout=60) as client:
        account = new_account(client)
        place = place_of(
            account.org_id, account.authorization, new_milestone(client, account, "Bench")
        )
    fill.register(url, account.org_id, FIRST_CUSTOMER, count * BATCHES)
    with tempfile.TemporaryDirectory() as folder:
        for number in range(BATCHES):
            customers = range(
                FIRST_CUSTOMER + number * count, FIRST_CUSTOMER + (number + 1) * count
            )
            enrol(service, place, CONNECTIONS, list(customers))
            files = write(Path(folder), f"start-{number}", customers, count)
            streamed(service, postgres, account, files, count)
