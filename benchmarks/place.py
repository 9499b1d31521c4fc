"""Where things are measured: a service of its own on a PostgreSQL of its own, both thrown away after."""

from __future__ import annotations

import base64
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from math import gcd
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
from psycopg.conninfo import conninfo_to_dict

from milepost import embedded
from milepost.migrate import migrate

ADMIN_TOKEN = "token-of-the-benchmark"  # noqa: S105 - of a throw-away service on loopback
FIRST_CUSTOMER = 1_000_000


@dataclass(frozen=True)
class Running:
    """A service that answers at `url`; `pid` is its first process."""

    url: str
    pid: int


@dataclass(frozen=True)
class Server:
    """A PostgreSQL of ours: the URL of its owner, and its first process."""

    url: str
    pid: int


@dataclass(frozen=True)
class Account:
    """An organisation and what its callers send to be let in."""

    org_id: int
    authorization: str


@contextmanager
def running_postgres() -> Iterator[Server]:
    """The embedded PostgreSQL with the current schema; its data are removed at the end."""
    with tempfile.TemporaryDirectory() as folder, embedded.start(Path(folder) / "pg") as postgres:
        migrate(postgres.url)
        assert postgres.process is not None
        yield Server(postgres.url, postgres.process.pid)


@contextmanager
def running_service(database_url: str, workers: int = 1) -> Iterator[Running]:
    """`milepost serve` on the database, stopped at the end."""
    with serving("--database-url", database_url, "--workers", str(workers)) as service:
        yield service


@contextmanager
def serving(*arguments: str) -> Iterator[Running]:
    """`milepost serve` with these arguments on a free port; ready when this begins, stopped at the end."""
    environment = {
        **os.environ,
        "MILEPOST_ADMIN_TOKEN": ADMIN_TOKEN,
        "MILEPOST_RATE_LIMITS": "none",
        "MILEPOST_LOG_LEVEL": "WARNING",
    }
    command = [sys.executable, "-m", "milepost", "serve", "--port", "0", *arguments]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if found := re.search(r"http://\S+", line):
                yield Running(found[0], process.pid)
                break
        else:
            raise RuntimeError("the service did not start: its log says why")
    finally:
        process.terminate()
        process.wait(20)


@contextmanager
def running_rival(database_url: str) -> Iterator[Running]:
    """The rival `benchmarks/rivals/orm.py` in one process, on the database; stopped at the end."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable, "-m", "uvicorn", "benchmarks.rivals.orm:app", "--port", str(port),
        "--no-access-log", "--log-level", "critical",
    ]  # fmt: skip
    # SQLAlchemy's own way of naming the driver.
    url = "postgresql+psycopg://?" + urlencode(conninfo_to_dict(database_url))
    process = subprocess.Popen(command, env={**os.environ, "RIVAL_DATABASE_URL": url})
    try:
        for _ in range(300):
            with suppress(httpx.TransportError):
                httpx.get(f"http://127.0.0.1:{port}/docs", timeout=5)
                break
            time.sleep(0.05)
        yield Running(f"http://127.0.0.1:{port}", process.pid)
    finally:
        process.terminate()
        process.wait(20)


def new_account(client: httpx.Client, **org: Any) -> Account:
    """An organisation in UTC."""
    made = client.post(
        "/milepost/v1/orgs",
        json={"name": "Bench", "timeZone": "UTC", "sandbox": False, **org},
        headers={"Authorization": f"Bearer {ADMIN_TOKEN}"},
    ).json()["data"]
    till = f"{made['till']['username']}:{made['till']['password']}"
    return Account(made["orgId"], "Basic " + base64.b64encode(till.encode()).decode())


def new_milestone(client: httpx.Client, account: Account, name: str, **group: Any) -> Any:
    """A milestone of twelve months that each ask for sales of 1,000; the group as answered."""
    target = {
        "name": name,
        "targetEntity": "TRANSACTION",
        "targetType": "SALES",
        "defaultValues": [{"defaultValue": 1000}],
        "rewards": [{"name": "Points", "type": "POINTS", "value": 10}],
    }
    body = {
        "name": name, "active": True, "trackingType": "DEFAULT", "preferredTillId": 1,
        "targetEvaluationType": "FIXED_CALENDAR_WINDOW", "frequencyType": "MONTHLY",
        "frequency": 1, "recurringCycles": 12, "totalPeriods": 12, "targets": [target], **group,
    }  # fmt: skip
    answer = client.post(
        "/v3/targetGroups", json=body, headers={"Authorization": account.authorization}
    )
    answer.raise_for_status()
    return answer.json()["data"]


@dataclass(frozen=True)
class Crowd:
    """Customers `first` … `first + size - 1`, who come in no order that an index would like, each once."""

    first: int
    size: int

    @property
    def step(self) -> int:
        """From one who comes to the next: no divisor of `size`, so that all come before one comes again."""
        found = int(self.size * 0.618) or 1
        while gcd(found, self.size) > 1:
            found += 1
        return found

    def ids(self, start: int, count: int) -> list[int]:
        """Those who come as number `start` and after; raises ValueError when they have all been."""
        if start + count > self.size:
            raise ValueError(f"of {self.size:,} customers, {start + count:,} are asked for")
        return [
            self.first + number * self.step % self.size for number in range(start, start + count)
        ]

    def in_sql(self, number: str) -> str:
        """Who comes as that number, an expression of SQL."""
        return f"{self.first} + ({number}) * {self.step} % {self.size}"
