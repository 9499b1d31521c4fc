"""`make soak`: mixed load at a moderate, fixed rate for 20 minutes, and whether anything grows without bound.

A real organisation whose customers enrol, leave, buy, and are issued promotions; a sandbox whose clock moves
half a day every ten seconds, so that cycles are settled and records expire; webhooks of both to a receiver
here. Every ten seconds memory, files, connections, queues and tables are measured. Ends with 1 if any of
them has grown by more than it may.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import psycopg

from benchmarks.place import FIRST_CUSTOMER, Account, new_account, new_milestone, running_service
from benchmarks.soak_figures import judge, sample, table
from milepost import embedded
from milepost.migrate import migrate

CUSTOMERS = 1_000
SANDBOX_CUSTOMERS = 50
SAMPLE_SECONDS = 10.0
STREAM_LINES = 20
CALL_CUSTOMERS = 5
EVENTS = [
    "targetCustomerEnrolment",
    "targetValueAchieved",
    "promotionEarned",
    "targetPeriodCompleted",
]
REGISTERED = """
INSERT INTO customers SELECT %(org)s, n, %(org)s, 'loyalty', now() FROM generate_series(%(a)s, %(b)s) n;
INSERT INTO customer_identifiers
SELECT %(org)s, 'mobile', (919000000000 + n)::text, n, '{INSTORE}' FROM generate_series(%(a)s, %(b)s) n;
INSERT INTO customer_profiles (org_id, customer_id, source)
SELECT %(org)s, n, 'INSTORE' FROM generate_series(%(a)s, %(b)s) n
"""


@dataclass
class Load:
    """Who calls, and what came of it."""

    client: httpx.AsyncClient
    statuses: Counter[int] = field(default_factory=Counter)
    chance: random.Random = field(default_factory=lambda: random.Random(1))
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    async def call(
        self, account: Account, method: str, path: str, body: Any = None, **headers: str
    ) -> httpx.Response:
        """One request of an organisation."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        answer = await self.client.request(
            method,
            path,
            content=None if body is None else content,
            headers={"Authorization": account.authorization, **headers},
        )
        self.statuses[answer.status_code] += 1
        return answer

    async def post(self, account: Account, path: str, body: Any, **headers: str) -> httpx.Response:
        """POST a body."""
        return await self.call(account, "POST", path, body, **headers)

    def somebody(self, customers: int = CUSTOMERS) -> int:
        """A customer."""
        return FIRST_CUSTOMER + self.chance.randrange(customers)

    def purchase(self, customer: int, at: str) -> dict[str, Any]:
        """A purchase with an id of its own."""
        return {
            "id": f"tx-{next(self.numbers)}",
            "customerId": customer,
            "type": "TRANSACTION",
            "occurredAt": at,
            "netAmount": self.chance.randrange(1, 100),
        }


@dataclass(frozen=True)
class Shop:
    """An organisation with milestones and a promotion."""

    account: Account
    spend: dict[str, Any]
    """What purchases count in; all are enrolled."""
    visit: dict[str, Any]
    """What customers enrol in and leave."""
    program_id: int
    promotion_id: int

    def target(self, group: dict[str, Any]) -> str:
        """The path of the group's only target."""
        return f"/v3/targetGroups/{group['id']}/targets/{group['targets'][0]['id']}"

    def issue(self, action: str, customers: list[int]) -> dict[str, Any]:
        """The body of a bulk call."""
        return {
            "type": "CUSTOMER",
            "bulkAction": action,
            "promotionDetails": {"programId": self.program_id, "promotionId": self.promotion_id},
            "identifierName": "id",
            "customers": [
                {"identifierValue": str(each), "source": "INSTORE"} for each in customers
            ],
        }


def open_shop(
    client: httpx.Client, database_url: str, hook: str, customers: int, **org: Any
) -> Shop:
    """Define, register and enrol; the organisation's webhooks go to `hook`."""
    account = new_account(client, **org)
    auth = {"Authorization": account.authorization}
    cycles: dict[str, Any] = {"rewardAllocation": "PERIOD_END"}
    if org.get("sandbox"):
        cycles |= {"frequencyType": "DAILY", "recurringCycles": 90, "totalPeriods": 90}
    spend = new_milestone(client, account, "Spend", **cycles)
    visit = new_milestone(client, account, "Visit", **cycles)
    here = {"org": account.org_id, "a": FIRST_CUSTOMER, "b": FIRST_CUSTOMER + customers - 1}
    with psycopg.ClientCursor(psycopg.connect(database_url, autocommit=True)) as cursor:
        for statement in REGISTERED.strip().split(";\n"):
            cursor.execute(statement.encode(), here)
        cursor.connection.close()
    now = datetime.fromisoformat(org["now"]) if org.get("now") else datetime.now(UTC)
    made = client.post("/milepost/v1/programs", json={"name": "Soak"}, headers=auth)
    program = made.raise_for_status().json()["data"]["programId"]
    promotion = {
        "programId": program,
        "name": "Soak",
        "type": "LOYALTY_EARNING",
        "startDate": now.isoformat(),
        "endDate": (now + timedelta(days=300)).isoformat(),
        "limits": {"issualsPerCustomer": -1, "earnsPerCustomer": -1, "redemptionsPerEarn": 1},
        "issualExpiry": {"type": "CUSTOM", "days": 2},
        "earnExpiry": {"type": "CUSTOM", "days": 1},
        "criteria": {"event": "TransactionAdd"},
        "rewards": [{"name": "Points", "type": "POINTS", "value": 1}],
        "redemptionLimits": [{"kpi": "POINTS", "limitOn": "PROMOTION", "maxLimit": 10**9}],
    }
    made = client.post("/milepost/v1/promotions", json=promotion, headers=auth)
    promotion_id = made.raise_for_status().json()["data"]["promotionId"]
    endpoint = {"name": "soak", "webHookUrl": hook, "eventNames": EVENTS}
    client.post("/v3/webHooks", json=endpoint, headers=auth).raise_for_status()
    shop = Shop(account, spend, visit, program, promotion_id)
    for number in range(customers):
        body = [{"customerId": FIRST_CUSTOMER + number, "initialBalance": 0}]
        client.post(f"{shop.target(spend)}/enroll", json=body, headers=auth).raise_for_status()
    return shop


async def read(load: Load, real: Shop) -> None:
    """Look at somebody."""
    customer = load.somebody()
    path = load.chance.choice(
        (
            f"/v3/users/{customer}/targetGroups",
            f"/milepost/v1/customers/{customer}/rewards",
            f"/milepost/v1/customers/{customer}/explanation?targetId={real.visit['targets'][0]['id']}",
        )
    )
    await load.call(real.account, "GET", path)


async def pass_half_a_day(load: Load, sandbox: Shop) -> None:
    """Buy and collect in the sandbox, and move its clock."""
    shown = await load.call(sandbox.account, "GET", "/milepost/v1/clock")
    at = datetime.fromisoformat(shown.json()["data"]["now"])
    some = [load.somebody(SANDBOX_CUSTOMERS) for _ in range(CALL_CUSTOMERS)]
    for action in ("ENROL", "EARN"):
        await load.post(
            sandbox.account, "/v2/promotion/bulk/enrolAndEarn", sandbox.issue(action, some)
        )
    bought = [
        load.purchase(FIRST_CUSTOMER + each, at.isoformat()) for each in range(SANDBOX_CUSTOMERS)
    ]
    await load.post(sandbox.account, "/milepost/v1/activities", bought)
    moved = {"now": (at + timedelta(hours=12)).isoformat()}
    await load.call(sandbox.account, "PUT", "/milepost/v1/clock", moved)


def habits(
    load: Load, real: Shop, sandbox: Shop
) -> list[tuple[float, Callable[[], Awaitable[Any]]]]:
    """What is done, and how often a second."""
    turns = itertools.cycle(range(FIRST_CUSTOMER, FIRST_CUSTOMER + CUSTOMERS))
    entered: list[int] = []

    def now() -> str:
        return datetime.now(UTC).isoformat()

    async def enrol() -> None:
        customer = next(turns)
        await load.post(
            real.account, f"{real.target(real.visit)}/enroll", [{"customerId": customer}]
        )
        entered.append(customer)

    async def leave() -> None:
        if entered:
            body = [{"customerId": entered.pop(0)}]
            await load.post(real.account, f"{real.target(real.visit)}/unEnroll", body)

    async def stream() -> None:
        lines = (load.purchase(load.somebody(), now()) for _ in range(STREAM_LINES))
        body = b"\n".join(json.dumps(line).encode() for line in lines)
        kind = {"Content-Type": "application/x-ndjson"}
        await load.post(real.account, "/milepost/v1/activities", body, **kind)

    async def buy() -> None:
        key = {"Idempotency-Key": f"key-{next(load.numbers)}"}
        bought = [load.purchase(load.somebody(), now())]
        await load.post(real.account, "/milepost/v1/activities", bought, **key)

    async def issue() -> None:
        some = [load.somebody() for _ in range(CALL_CUSTOMERS)]
        for action in ("ENROL", "EARN"):
            await load.post(
                real.account, "/v2/promotion/bulk/enrolAndEarn", real.issue(action, some)
            )

    return [
        (5, enrol), (5, leave), (1, stream), (5, buy), (0.5, issue),
        (5, lambda: read(load, real)), (0.1, lambda: pass_half_a_day(load, sandbox)),
    ]  # fmt: skip


async def repeat(per_second: float, act: Callable[[], Awaitable[Any]], until: float) -> None:
    """Do it so often, whatever it takes; what could not be done in time is left out."""
    while (began := time.monotonic()) < until:
        await act()
        await asyncio.sleep(max(0.0, 1 / per_second - (time.monotonic() - began)))


async def receive(received: Counter[str]) -> asyncio.Server:
    """A receiver of webhooks that thanks for everything."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = head.lower().partition(b"content-length:")[2].split(b"\r\n")[0]
                await reader.readexactly(int(length))
                received["deliveries"] += 1
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            writer.close()

    return await asyncio.start_server(answer, "127.0.0.1", 0)


async def soak(url: str, pid: int, postgres: embedded.EmbeddedPostgres, minutes: float) -> bool:
    """Run the load; print the table; whether all is bounded."""
    received: Counter[str] = Counter()
    receiver = await receive(received)
    hook = f"http://127.0.0.1:{receiver.sockets[0].getsockname()[1]}/"

    def prepare() -> tuple[Shop, Shop]:
        with httpx.Client(base_url=url, timeout=60) as client:
            real = open_shop(client, postgres.url, hook, CUSTOMERS)
            now = "2026-06-01T00:00:00+00:00"
            return real, open_shop(
                client, postgres.url, hook, SANDBOX_CUSTOMERS, sandbox=True, now=now
            )

    real, sandbox = await asyncio.to_thread(prepare)
    assert postgres.process is not None
    postmaster = postgres.process.pid
    began = time.monotonic()
    until = began + minutes * 60
    seconds, samples = [], []
    async with httpx.AsyncClient(base_url=url, timeout=60) as client:
        load = Load(client)
        running = [
            asyncio.create_task(repeat(per_second, act, until))
            for per_second, act in habits(load, real, sandbox)
        ]
        while time.monotonic() < until:
            await asyncio.sleep(SAMPLE_SECONDS)
            seconds.append(time.monotonic() - began)
            samples.append(await asyncio.to_thread(sample, postgres.url, pid, postmaster))
        await asyncio.gather(*running)
    receiver.close()
    lines = list(judge(seconds, samples))
    for line in table(lines):
        print(line)
    statuses = ", ".join(f"{count:,} × {status}" for status, count in sorted(load.statuses.items()))
    print(f"\n{minutes:g} minutes; answers: {statuses}; deliveries: {received['deliveries']:,}")
    wrong = [line.name for line in lines if not line.is_bounded]
    failed = sum(count for status, count in load.statuses.items() if status >= 500)
    print(f"{'grows: ' + ', '.join(wrong) if wrong else 'nothing grows without bound'}; "
          f"{failed} answers were 5xx", flush=True)  # fmt: skip
    return not wrong and not failed


def main() -> None:
    """Soak a service of its own on an embedded PostgreSQL of its own, both thrown away after."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=20)
    minutes = parser.parse_args().minutes
    os.environ["MILEPOST_WEBHOOK_ALLOWED_NETWORKS"] = "127.0.0.1/32"
    with (
        tempfile.TemporaryDirectory() as folder,
        embedded.start(Path(folder) / "pg") as postgres,
    ):
        migrate(postgres.url)
        with running_service(postgres.url) as service:
            is_bounded = asyncio.run(soak(service.url, service.pid, postgres, minutes))
    sys.exit(not is_bounded)


if __name__ == "__main__":
    main()
