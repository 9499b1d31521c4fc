"""`milepost serve` as a process that is killed, or loses its database or worker, and comes back."""

from __future__ import annotations

import os
import re
import signal
import ssl
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol, Self

import httpx

from milepost import embedded
from tests.harness import Org
from tests.scenarios.vocabulary import data
from tests.test_server import command, first_line
from tests.worker.test_due_work import children

DEADLINE_SECONDS = 100.0
"""More than the worker takes between two looks for what a killed one has left (`sweep_seconds`)."""
SERVICE, POSTGRESQL = "service", "PostgreSQL"
VICTIMS = (SERVICE, POSTGRESQL)
_NO_CERTIFICATES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def wait_for(happened: Callable[[], bool]) -> None:
    """Until it has happened; fails if that takes very long."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not happened():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.005)


class Place(Protocol):
    """A service that can be called; it may answer somewhere else after a while."""

    @property
    def url(self) -> str:
        """Where it answers."""

    @property
    def database_url(self) -> str:
        """Its database, as the owner, whatever way it takes there itself."""

    def new_org(self, **fields: Any) -> Org:
        """A new organisation in UTC: a real one, unless `fields` differ."""

    def connect(self, org: Org) -> httpx.Client:
        """A client of its own with the till of an organisation."""


class Process:
    """The service on a folder of its own, its embedded PostgreSQL included.

    After a kill it answers at another `url`; the clients of its organisations follow.
    """

    def __init__(self, data_dir: Path, *, workers: int = 1) -> None:
        self.data_dir = data_dir
        self.workers = workers
        self._orgs: list[Org] = []

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        for org in self._orgs:
            org.client.close()
        killed = self._process.poll() is not None
        self._process.send_signal(signal.SIGTERM)
        self._ended()
        if killed:  # by a test that failed then: its PostgreSQL is still there
            embedded.start(self.data_dir / "pg").stop()

    @property
    def pid(self) -> int:
        """Of its first process."""
        return self._process.pid

    def postmaster(self) -> int:
        """The first process of its PostgreSQL; 0 while there is none that says so."""
        line = first_line(self._pid_file)
        return int(line) if line else 0

    @property
    def database_url(self) -> str:
        url = embedded.running_url(self.data_dir / "pg")
        assert url is not None
        return url

    def start(self) -> None:
        """Start it, and wait until it answers."""
        log = self.data_dir.with_name("service.log")
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                command(
                    *("serve", "--port", "0", "--workers", str(self.workers)),
                    *("--data", str(self.data_dir)),
                ),
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if found := re.search(r"ready at (http://\S+)", line):
                self.url = found[1]
                break
        else:
            raise AssertionError(log.read_text())
        for org in self._orgs:
            org.client.close()
            org.client = self.connect(org)

    def connect(self, org: Org) -> httpx.Client:
        """A client of its own with the till of an organisation."""
        return httpx.Client(
            base_url=self.url,
            auth=(org.username, org.password),
            verify=_NO_CERTIFICATES,
            timeout=DEADLINE_SECONDS,
        )

    def new_org(self, **fields: Any) -> Org:
        """A new organisation in UTC: a real one, unless `fields` differ."""
        made = httpx.post(
            f"{self.url}/milepost/v1/orgs",
            json={"name": "Test", "timeZone": "UTC", **fields},
            headers={"Authorization": f"Bearer {(self.data_dir / 'admin-token').read_text()}"},
            verify=_NO_CERTIFICATES,
        )
        till = data(made)["till"]
        org = Org(data(made)["orgId"], httpx.Client(), till["username"], till["password"])
        org.client.close()
        org.client = self.connect(org)
        self._orgs.append(org)
        return org

    def await_ready(self) -> None:
        """Until it answers from its database."""
        wait_for(self._ready)

    def kill(self, victim: str) -> None:
        """`kill -9` of the service or of its PostgreSQL; returns at once."""
        if victim == SERVICE:
            self._process.kill()
        else:
            self._killed = first_line(self._pid_file)
            os.kill(int(self._killed), signal.SIGKILL)

    def recover(self, victim: str) -> None:
        """Start the service again; PostgreSQL it starts again by itself."""
        if victim == SERVICE:
            self.restart()
        else:
            # The killed one's children answer on until they notice, so its successor is waited for.
            wait_for(lambda: first_line(self._pid_file) not in ("", self._killed))
            self.await_ready()

    def restart(self) -> None:
        """Start it again after its first process has ended."""
        self._ended()
        self.start()

    def worker(self) -> int | None:
        """The process that does due work, while there is one."""
        with suppress(FileNotFoundError):
            return next(iter(children(self._process.pid)), None)
        return None

    @property
    def _pid_file(self) -> Path:
        return self.data_dir / "pg" / "postmaster.pid"

    def _ready(self) -> bool:
        with suppress(httpx.TransportError):
            asked = httpx.get(f"{self.url}/health/ready", verify=_NO_CERTIFICATES)
            return asked.status_code == 200
        return False

    def _ended(self) -> None:
        self._process.wait(DEADLINE_SECONDS)
        assert self._process.stdout is not None
        self._process.stdout.close()
