"""Callers that are slow, half-open or only there: others are served meanwhile, and memory is bounded."""

from __future__ import annotations

import json
import resource
import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.api.test_connections import head, posting
from tests.faults.process import Process, wait_for
from tests.harness import Org
from tests.scenarios.vocabulary import define_milestone

IDLE = 2_000
SLOW = 20
"""Of each kind."""
KIB_OF_A_CONNECTION = 64
"""The most that one which does nothing may take of the service's memory."""


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Process]:
    monkeypatch.setenv("MILEPOST_STALL_TIMEOUT_SECONDS", "3")
    monkeypatch.setenv("MILEPOST_HEAD_TIMEOUT_SECONDS", "600")
    with Process(tmp_path / "data") as running:
        yield running


@pytest.fixture
def many_files() -> Iterator[None]:
    """This process may open as many connections as it wants to; so may the service, its child."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * IDLE
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def resident_kib(pid: int) -> int:
    """The memory of a process."""
    line = next(
        line
        for line in Path(f"/proc/{pid}/status").read_text().splitlines()
        if line.startswith("VmRSS")
    )
    return int(line.split()[1])


def connect(
    stack: ExitStack, service: Process, *, receives_bytes: int | None = None
) -> socket.socket:
    address = urlsplit(service.url)
    made = stack.enter_context(closing(socket.socket()))
    if receives_bytes is not None:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receives_bytes)
    made.settimeout(10)
    made.connect((address.hostname or "", address.port or 0))
    return made


def open_files(pid: int) -> int:
    """How many files a process has open, connections among them."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def test_among_thousands_who_are_idle_stall_dribble_or_never_read_others_are_served(
    many_files: None, service: Process
) -> None:
    org = service.new_org(sandbox=True, now="2026-06-01T00:00:00Z")
    abc = define_milestone(org)
    customers = [org.register() for _ in range(3)]
    assert abc.enrol(customers[0]) == 200
    before = resident_kib(service.pid)
    with ExitStack() as stack:
        for _ in range(IDLE):
            connect(stack, service)
        wait_for(lambda: open_files(service.pid) > IDLE)
        assert abc.enrol(customers[1]) == 200
        grown = resident_kib(service.pid) - before
        assert grown < IDLE * KIB_OF_A_CONNECTION
        among_idle = open_files(service.pid)
        slow = [*stalling(stack, service, org), *reading_nothing(stack, service)]
        wait_for(lambda: open_files(service.pid) > among_idle + len(slow) // 2)
        assert abc.enrol(customers[2]) == 200
        wait_for(lambda: open_files(service.pid) <= among_idle + SLOW)
        assert abc.unenrol(customers[2]) == 200


def stalling(stack: ExitStack, service: Process, org: Org) -> Iterator[socket.socket]:
    """Callers who end in the middle: of a head, a body, a line of a stream."""
    line = json.dumps({"id": "x", "customerId": 1})[:10].encode()
    beginnings = (
        posting(org, "/v3/targetGroups", "application/json", "1000") + b"{",
        posting(org, "/milepost/v1/activities", "application/x-ndjson")
        + b"%x\r\n%s\r\n" % (len(line), line),
    )
    for beginning in beginnings:
        for _ in range(SLOW):
            raw = connect(stack, service)
            raw.sendall(beginning)
            yield raw


def reading_nothing(stack: ExitStack, service: Process) -> Iterator[socket.socket]:
    """Callers who ask for much and take nothing of it."""
    for _ in range(SLOW):
        raw = connect(stack, service, receives_bytes=4_096)
        raw.sendall(head(path="/openapi.json") * 8)
        yield raw
