"""Where things are measured: a service of its own on a PostgreSQL of its own, both thrown away after."""

from __future__ import annotations

import base64
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
from psycopg.conninfo import conninfo_to_dict

ADMIN_TOKEN = "token-of-the-benchmark"  # noqa: S105 - of a throw-away service on loopback
FIRST_CUSTOMER = 1_000_000


@dataclass(frozen=True)
class Running:
    """A service that answers at `url`; `pid` is its first process."""

    url: str
    pid: int


@dataclass(frozen=True)
class Account:
    """An organisation and what its callers send to be let in."""

    org_id: int
    authorization: str


@contextmanager
def running_service(database_url: str, workers: int = 1) -> Iterator[Running]:
    """`milepost serve` on the database, stopped at the end."""
    command = [
        sys.executable, "-m", "milepost", "serve", "--port", "0", "--workers", str(workers),
        "--database-url", database_url,
    ]  # fmt: skip
    environment = {
        **os.environ,
        "MILEPOST_ADMIN_TOKEN": ADMIN_TOKEN,
        "MILEPOST_RATE_LIMITS": "none",
    }
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if found := re.search(r"http://\S+", line):
                yield Running(found[0], process.pid)
                break
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
        "--no-access-log", "--log-level", "warning",
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


def peak_memory_mib(pid: int) -> float:
    """The largest that any one of a process and its descendants ever was, PostgreSQL's left out."""
    pids, found = [pid], 0.0
    while pids:
        each = pids.pop()
        folder = Path(f"/proc/{each}")
        try:
            children = (folder / "task" / str(each) / "children").read_text().split()
            status = (folder / "status").read_text()
        except FileNotFoundError:
            continue
        pids += map(int, children)
        if "postgres" not in status.partition("\n")[0]:
            peak = re.search(r"VmHWM:\s+(\d+) kB", status)
            found = max(found, int(peak[1]) / 1024 if peak else 0.0)
    return found
