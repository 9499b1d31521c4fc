"""Nothing secret and nothing personal is ever logged, whatever goes wrong."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psycopg
import pytest
from psycopg import conninfo

from milepost.migrate import MigrationError, migrate
from tests.api.payloads import data
from tests.test_server import command

ADMIN_TOKEN = "admin-token-that-nobody-may-read"
DATABASE_PASSWORD = "database-password-that-nobody-may-read"
WRONG = "wrong-password-that-nobody-may-read"
TOKEN = "bearer-token-that-nobody-may-read"
PERSONAL = "wilhelmina-quackenbush"
MOBILE = "919812345670"
DEADLINE_SECONDS = 60.0


@dataclass
class Watched:
    """A service that logs all it can, and what it said."""

    client: httpx.Client
    log: Path
    secrets: list[str] = field(default_factory=list)

    def lines(self) -> list[dict[str, object]]:
        """Every line of the log; that each is JSON shows that nothing else prints there."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def events(self) -> set[object]:
        return {line["event"] for line in self.lines()}

    def await_event(self, event: str) -> None:
        deadline = time.monotonic() + DEADLINE_SECONDS
        while event not in self.events():
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.02)


@pytest.fixture(scope="module")
def watched(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    folder = tmp_path_factory.mktemp("watched")
    log = folder / "service.log"
    environment = {
        **os.environ,
        "MILEPOST_LOG_LEVEL": "DEBUG",
        "MILEPOST_LOG_REQUESTS": "all",
        "MILEPOST_ADMIN_TOKEN": ADMIN_TOKEN,
        "MILEPOST_POOL_TIMEOUT_SECONDS": "0.5",
        "MILEPOST_DATABASE_URL": conninfo.make_conninfo(database_url, password=DATABASE_PASSWORD),
        "MILEPOST_DUE_WORK": "false",
    }
    with log.open("wb") as errors:
        process = subprocess.Popen(
            command("serve", "--port", "0", "--data", str(folder / "data")),
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=environment,
        )
    assert process.stdout is not None
    said = []
    for line in process.stdout:
        said.append(line)
        if found := re.search(r"ready at (http://\S+)", line):
            break
    else:
        raise AssertionError(log.read_text())
    with httpx.Client(base_url=found[1], timeout=20) as client:
        watching = Watched(client, log, [ADMIN_TOKEN, DATABASE_PASSWORD, WRONG, TOKEN])
        yield watching
    process.send_signal(signal.SIGTERM)
    said += process.stdout.readlines()
    process.stdout.close()
    assert process.wait(20) == 0
    assert_nowhere("".join(said) + log.read_text(), watching.secrets)


def assert_nowhere(text: str, secrets: list[str]) -> None:
    """None of the secrets is in the text, as it is or as it travels."""
    for secret in [*secrets, PERSONAL, MOBILE]:
        md5 = hashlib.md5(secret.encode(), usedforsecurity=False).hexdigest()
        forms = [secret, md5, base64.b64encode(secret.encode()).decode().rstrip("=")]
        assert [form for form in forms if form in text] == [], secret


def test_nothing_that_a_caller_sends_or_is_shown_is_logged(watched: Watched) -> None:
    client, operator = watched.client, {"Authorization": f"Bearer {ADMIN_TOKEN}"}
    org = {"name": "Test", "timeZone": "UTC", "sandbox": True}
    made = data(client.post("/milepost/v1/orgs", json=org, headers=operator))
    till, oauth = made["till"], made["oauth"]
    watched.secrets += [till["password"], oauth["secret"]]
    right = (till["username"], till["password"])
    for basic in (right, (till["username"], WRONG), (WRONG, WRONG)):
        client.get("/milepost/v1/clock", auth=basic)
    for header in (
        {"Authorization": f"Bearer {TOKEN}"},
        {"Authorization": f"Basic {TOKEN}"},
        {"X-CAP-API-OAUTH-TOKEN": TOKEN},
        {"Cookie": f"session={TOKEN}"},
    ):
        client.get("/milepost/v1/clock", headers=header)
        client.get("/milepost/v1/orgs", headers=header)
    pair = {"key": oauth["key"], "secret": oauth["secret"]}
    token = data(client.post("/v3/oauth/token/generate", json=pair))["accessToken"]
    watched.secrets.append(token)
    for header in ({"X-CAP-API-OAUTH-TOKEN": token}, {"Authorization": f"Bearer {token}x"}):
        client.get("/milepost/v1/clock", headers=header)
    form = {"grant_type": "client_credentials", "client_id": oauth["key"]}
    for secret in (oauth["secret"], WRONG):
        client.post("/oauth/token", data={**form, "client_secret": secret})
    client.post("/oauth/revoke", data={"token": token}, auth=(oauth["key"], oauth["secret"]))
    bodies = (
        f'{{"password": "{TOKEN}"'.encode(),
        f'{{"profiles": "{PERSONAL}"}}'.encode(),
        f'["{PERSONAL}", \xff]'.encode("latin-1"),
        f'{{"profiles": [{{"source": "{PERSONAL}", "identifiers": []}}]}}'.encode(),
        b'{"x": "' + PERSONAL.encode() + b"\\u0000" + b'"}',
        PERSONAL.encode() * 100_000,
    )
    for path in ("/v2/customers", "/v3/targetGroups", "/milepost/v1/activities", "/v2/events"):
        for body in bodies:
            client.post(path, content=body, auth=right)
    query = {"source": "ALL", "identifierName": "email", "identifierValue": f"{PERSONAL}@x.org"}
    client.get("/v2/customers/lookup", params=query, auth=right)
    client.get("/milepost/v1/audit", params={"subjectType": TOKEN}, auth=right)
    assert "request" in watched.events()


@contextmanager
def spoilt(database_url: str, table: str, condition: str) -> Iterator[None]:
    """While a table takes no row for which the condition fails: PostgreSQL then quotes the row."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            f"ALTER TABLE {table} ADD CONSTRAINT spoilt CHECK ({condition}) NOT VALID".encode()
        )
        try:
            yield
        finally:
            connection.execute(f"ALTER TABLE {table} DROP CONSTRAINT spoilt".encode())


def test_a_defect_is_logged_without_what_it_happened_to(
    watched: Watched, database_url: str
) -> None:
    client = watched.client
    operator = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
    org = {"name": "Test", "timeZone": "UTC", "sandbox": True}
    made = data(client.post("/milepost/v1/orgs", json=org, headers=operator))
    till = made["till"]
    watched.secrets += [till["password"], made["oauth"]["secret"]]
    right = (till["username"], till["password"])
    profile = {
        "firstName": PERSONAL,
        "source": "INSTORE",
        "identifiers": [{"type": "mobile", "value": MOBILE}],
    }
    with spoilt(database_url, "customer_profiles", "first_name = ''"):
        failed = client.post("/v2/customers", json={"profiles": [profile]}, auth=right)
    assert failed.status_code == 500
    assert PERSONAL not in failed.text
    watched.await_event("command_failed")
    with spoilt(database_url, "credentials", f"org_id < {made['orgId']}"):
        body = {"orgId": made["orgId"], "type": "TILL"}
        failed = client.post("/milepost/v1/credentials", json=body, headers=operator)
    assert failed.status_code == 500
    watched.await_event("defect")


def test_a_database_that_is_away_is_logged_without_its_password(
    watched: Watched, database_url: str, server_url: str
) -> None:
    name = conninfo.conninfo_to_dict(database_url)["dbname"]
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false".encode())
        try:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name]
            )
            asked = watched.client.get("/milepost/v1/clock", auth=("nobody", WRONG))
            assert asked.status_code == 503
            watched.await_event("psycopg.pool")
        finally:
            connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true".encode())


@pytest.mark.parametrize(
    "url",
    [
        "milepost:{}@host/db",
        "postgresql://u:{}/x@127.0.0.1/db",
        "postgresql://u:x@{}@127.0.0.1/db",
        "postgresql://u:{}%zz@127.0.0.1/db",
        "postgresql://u:{}@127.0.0.1:1/db",
        "postgresql://u:{}@127.0.0.1:99999/db",
        "host=127.0.0.1 port=1 password=x {}",
    ],
)
def test_a_database_url_that_cannot_be_used_is_not_shown(url: str) -> None:
    with pytest.raises(MigrationError, match="cannot reach the database") as told:
        migrate(url.format(DATABASE_PASSWORD))
    assert_nowhere(str(told.value), [DATABASE_PASSWORD])
    assert told.value.__suppress_context__


def test_what_ends_a_process_is_logged_without_its_message() -> None:
    program = f"""
from milepost.logs import configure
configure("DEBUG")
raise ValueError("{PERSONAL}")
"""
    told = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert json.loads(told.stderr)["event"] == "process_ended"
    assert json.loads(told.stderr)["error"] == "ValueError"
    assert_nowhere(told.stderr, [])


def test_a_task_that_nobody_waited_for_is_logged_without_its_exception() -> None:
    program = f"""
import asyncio, gc
from milepost.logs import configure
configure("DEBUG")
async def fail():
    raise ValueError("{PERSONAL}")
async def main():
    task = asyncio.create_task(fail())
    await asyncio.sleep(0)
    del task
    gc.collect()
asyncio.run(main())
"""
    told = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    line = json.loads(told.stderr)
    assert (line["event"], line["error"]) == ("asyncio", "ValueError")
    assert_nowhere(told.stderr, [])
