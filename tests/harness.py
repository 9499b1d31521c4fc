"""A running service for tests: real HTTP on loopback, a real PostgreSQL, organisations of their own."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from dataclasses import dataclass, field
from typing import Any, Self

import httpx
import psycopg

from milepost.actions.rebuild import rebuild
from milepost.child import asyncio_run
from milepost.database import database
from milepost.runner import Runner
from milepost.server import answer
from milepost.settings import Settings

ADMIN_TOKEN = "token-of-the-tests"
START = "2026-06-01T00:00:00Z"
# Everything is plain HTTP, and a client that loads certificates first takes longer than most tests.
_NO_CERTIFICATES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


@dataclass
class Org:
    """A sandbox organisation as its integration developer has it: an HTTP client with its till."""

    id: int
    client: httpx.Client
    username: str
    password: str

    def now(self) -> str:
        """The organisation's clock."""
        return str(self.client.get("/milepost/v1/clock").json()["data"]["now"])

    def move_clock(self, now: str) -> None:
        """Move the clock forward; what falls due on the way has happened when this returns."""
        response = self.client.put("/milepost/v1/clock", json={"now": now})
        assert response.status_code == 200, response.text

    def get(self, path: str, **options: Any) -> httpx.Response:
        """GET as the till."""
        return self.client.get(path, **options)

    def post(self, path: str, body: Any = None, **options: Any) -> httpx.Response:
        """POST a JSON body as the till; raw bytes go as they are."""
        if isinstance(body, bytes):
            return self.client.post(path, content=body, **options)
        return self.client.post(path, json=body, **options)

    def register(self, customer_id: int | None = None, *, mobile: str | None = None) -> int:
        """A new customer; returns the id."""
        mobile = mobile or f"91{next(_mobiles):010d}"
        body: dict[str, Any] = {
            "profiles": [
                {"identifiers": [{"type": "mobile", "value": mobile}], "source": "INSTORE"}
            ]
        }
        if customer_id is not None:
            body["customerId"] = customer_id
        response = self.post("/v2/customers", body)
        assert response.status_code == 200, response.text
        return int(response.json()["createdId"])

    def define(self, **group: Any) -> dict[str, Any]:
        """Create a target group; returns its `data`."""
        response = self.post("/v3/targetGroups", group)
        assert response.status_code == 201, response.text
        data: dict[str, Any] = response.json()["data"]
        return data

    def enrol(self, group: int, target: int, customer: int, **fields: Any) -> httpx.Response:
        """Enrol by the v3 path; `fields` are the wire's (`periodName`, …)."""
        return self.post(
            f"/v3/targetGroups/{group}/targets/{target}/enroll",
            [{"customerId": customer, **fields}],
        )

    def unenrol(self, group: int, target: int, customer: int) -> httpx.Response:
        """Unenrol by the v3 path."""
        return self.post(
            f"/v3/targetGroups/{group}/targets/{target}/unEnroll", [{"customerId": customer}]
        )


def _count() -> Any:
    number = 1_000_000
    while True:
        number += 1
        yield number


_mobiles = _count()


@dataclass
class Service:
    """One worker of Milepost, answering in a thread of the test process."""

    settings: Settings
    url: str = ""
    operator: httpx.Client = field(default_factory=httpx.Client)
    _clients: list[httpx.Client] = field(default_factory=list)
    _ready: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None
    _stop: Any = None
    _loop: Any = None

    def __enter__(self) -> Self:
        listening = socket.socket()
        listening.bind(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        self._thread = threading.Thread(target=lambda: asyncio_run(self._answer(listening)))
        self._thread.start()
        if not self._ready.wait(20):
            raise RuntimeError("the service did not start")
        self.operator = self.connect(headers={"Authorization": f"Bearer {ADMIN_TOKEN}"})
        return self

    def __exit__(self, *_: object) -> None:
        for client in self._clients:
            client.close()
        self._loop.call_soon_threadsafe(self._stop.set)
        assert self._thread is not None
        self._thread.join(20)

    async def _answer(self, listening: socket.socket) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        await answer(self.settings, listening, self._stop, self._ready.set)

    def connect(self, **options: Any) -> httpx.Client:
        """An HTTP client of this service, closed with it."""
        client = httpx.Client(base_url=self.url, timeout=30, verify=_NO_CERTIFICATES, **options)
        self._clients.append(client)
        return client

    def new_org(self, *, now: str | None = START, **fields: Any) -> Org:
        """A new organisation: a sandbox in UTC whose clock stands at `now`, unless `fields` differ."""
        body = {"name": "Test", "timeZone": "UTC", "sandbox": True, "now": now, **fields}
        response = self.operator.post("/milepost/v1/orgs", json=body)
        assert response.status_code == 201, response.text
        data = response.json()["data"]
        till = data["till"]
        client = self.connect(auth=(till["username"], till["password"]))
        return Org(data["orgId"], client, till["username"], till["password"])


def contents(database_url: str) -> dict[str, tuple[int, str]]:
    """Every table of the database with its number of rows and a hash of all they hold, as the owner.

    Two that are equal: nothing was written in between. How often somebody called is no effect of a call.
    """
    with psycopg.connect(database_url, autocommit=True) as connection:
        tables = connection.execute(
            "SELECT tablename FROM pg_tables "
            "WHERE schemaname = 'public' AND tablename <> 'rate_usage' ORDER BY 1"
        ).fetchall()
        query = " UNION ALL ".join(
            f"SELECT '{table}', count(*), "
            f"coalesce(sum(hashtextextended(t::text, 0)::numeric), 0)::text FROM {table} t"
            for (table,) in tables
        )
        return {name: (rows, hashed) for name, rows, hashed in connection.execute(query.encode())}


def assert_rebuilt(database_url: str) -> None:
    """Fail if anything stored is not what the journal comes to: `milepost rebuild --check` (house law 5)."""
    lines: list[str] = []

    async def check() -> None:
        runner = Runner(database(database_url, Settings()))
        await runner.database.open()
        try:
            await rebuild(runner, lines.append, repair=False)
        finally:
            await runner.database.close()

    asyncio.run(check())
    assert lines == []
