"""The service as an operator has it: a process that starts, stops, is killed, and recovers."""

from __future__ import annotations

import os
import platform
import re
import signal
import socket
import ssl
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

import httpx
import psycopg
import pytest

from milepost import embedded, metrics

DEMO = httpx.BasicAuth("demo.till", "demo-password")
ENROL = "/v3/targetGroups/29463/targets/29463/enroll"
# A client that loads certificates first takes longer than what it asks for.
NO_CERTIFICATES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
UNENROL = "/v3/targetGroups/29463/targets/29463/unEnroll"
# The sample requests of the documentation, verbatim.
ENROL_SAMPLE = """[{       
       "customerId":345651201,  
       "periodName":"PERIOD_G_29463_1",
       "initialBalance":100,
  		 "resetStreakStatus":false
  }]"""
UNENROL_SAMPLE = """[
    {
        "customerId":423789336
    }
]"""


class Running:
    """A `milepost serve` process on a free port, with its client."""

    def __init__(self, data_dir: Path, *options: str) -> None:
        self.data_dir = data_dir
        self.process = subprocess.Popen(
            command("serve", "--port", "0", "--data", str(data_dir), *options),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.said: list[str] = []
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said.append(line)
            if found := re.search(r"ready at (http://\S+)", line):
                self.client = httpx.Client(base_url=found[1], timeout=20, auth=DEMO)
                break
        else:
            assert self.process.stderr is not None
            raise AssertionError(self.process.stderr.read())

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.ended()

    def ended(self) -> int:
        code = self.process.wait(15)
        self.client.close()
        for stream in (self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()
        return code

    def enrol(self, customer: int) -> httpx.Response:
        return self.client.post(ENROL, json=[{"customerId": customer}])


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "milepost", *words]


def run(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*words),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, **environment},
    )


@contextmanager
def serving(data_dir: Path, *options: str) -> Iterator[Running]:
    service = Running(data_dir, *options)
    try:
        yield service
    finally:
        if service.process.poll() is None:
            service.stop()


def rows(url: str) -> dict[str, int]:
    """How many rows each table has."""
    with psycopg.connect(url) as connection:
        tables = connection.execute(
            "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
        ).fetchall()
        return {
            name: connection.execute(f"SELECT count(*) FROM {name}".encode()).fetchall()[0][0]
            for (name,) in tables
        }


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"


def test_the_samples_of_the_documentation_work_verbatim_and_a_restart_adds_nothing(
    data_dir: Path,
) -> None:
    with serving(data_dir, "--demo") as service:
        answer = service.client.post(ENROL, content=ENROL_SAMPLE)
        assert answer.json() == {"data": 345651201, "errors": None, "warnings": None}
        answer = service.client.post(UNENROL, content=UNENROL_SAMPLE)
        assert answer.json() == {"data": 423789336, "errors": None, "warnings": None}
        for source, name, value in (
            ("INSTORE", "mobile", "11223569865"),
            ("INSTORE", "mobile", "919986000586"),
            ("INSTORE", "id", "423926198"),
        ):
            query = {"source": source, "identifierName": name, "identifierValue": value}
            assert service.client.get("/v2/customers/lookup", params=query).json()["entity"]
        url = embedded.running_url(data_dir / "pg")
        assert url is not None
        before = rows(url)
        assert service.stop() == 0
    with serving(data_dir, "--demo") as service:
        assert not any("Migrated" in line for line in service.said)
        assert rows(url) == before
        assert service.enrol(345651201).json()["errors"][0]["code"] == 310119


def test_sigterm_answers_the_requests_in_flight_and_stops_postgresql_cleanly(
    data_dir: Path,
) -> None:
    with serving(data_dir, "--demo") as service:
        url = embedded.running_url(data_dir / "pg")
        assert url is not None
        answers: list[httpx.Response] = []
        with psycopg.connect(url) as blocking, closing(connect(url)) as watching:
            # The version row of this customer is what the enrolment must wait for.
            blocking.execute(
                "INSERT INTO customer_versions SELECT min(org_id), 555567088, 0 FROM orgs"
            )
            asking = threading.Thread(target=lambda: answers.append(service.enrol(555567088)))
            asking.start()
            await_lock(watching)
            service.process.send_signal(signal.SIGTERM)
            blocking.rollback()
        asking.join(10)
        assert answers[0].json()["data"] == 555567088
        assert service.ended() == 0
    assert "database system is shut down" in (data_dir / "pg.log").read_text()
    assert embedded.running_url(data_dir / "pg") is None


def test_sigterm_ends_within_its_time_although_a_request_hangs(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILEPOST_STOP_TIMEOUT_SECONDS", "1")
    with serving(data_dir, "--demo") as service:
        url = embedded.running_url(data_dir / "pg")
        assert url is not None
        # Closed, not committed: the server they are connected to is gone by then.
        with closing(psycopg.connect(url)) as blocking, closing(connect(url)) as watching:
            blocking.execute("LOCK TABLE customer_versions IN EXCLUSIVE MODE")
            answers: list[httpx.Response] = []
            asking = threading.Thread(target=lambda: answers.append(service.enrol(555567088)))
            asking.start()
            await_lock(watching)
            assert service.stop() == 0
            asking.join(10)
            assert answers[0].status_code == 503
            assert answers[0].headers["retry-after"] == "1"


def connect(url: str) -> psycopg.Connection[tuple[object, ...]]:
    return psycopg.connect(url, autocommit=True)


def await_lock(watching: psycopg.Connection[tuple[object, ...]]) -> None:
    """Wait until somebody waits for a lock."""
    deadline = time.monotonic() + 20
    while not watching.execute(
        "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    ).fetchone():
        assert time.monotonic() < deadline


def test_after_kill_9_of_the_service_the_next_start_has_all_that_was_acknowledged(
    data_dir: Path,
) -> None:
    with serving(data_dir, "--demo") as service:
        assert service.enrol(345651201).status_code == 200
        service.process.kill()
        service.ended()
    with serving(data_dir, "--demo") as service:
        assert service.enrol(345651201).json()["errors"][0]["code"] == 310119


def test_after_kill_9_of_postgresql_the_service_recovers_by_itself(data_dir: Path) -> None:
    with serving(data_dir, "--demo") as service:
        assert service.enrol(345651201).status_code == 200
        pid_file = data_dir / "pg" / "postmaster.pid"
        killed = pid_file.read_text().split()[0]
        os.kill(int(killed), signal.SIGKILL)
        deadline = time.monotonic() + 20
        statuses = set()
        # Its children answer on until they notice; so the new server is waited for, then an answer of it.
        while service.client.get("/health/ready").status_code != 200 or killed in first_line(
            pid_file
        ):
            statuses.add(service.enrol(345651201).status_code)
            assert time.monotonic() < deadline
        assert statuses <= {400, 503}
        assert service.enrol(345651201).json()["errors"][0]["code"] == 310119


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc keeps freed blocks so")
def test_what_was_needed_to_verify_secrets_is_given_back(data_dir: Path) -> None:
    """argon2 takes 19 MiB, which threads would keep, one by one."""
    with serving(data_dir) as service:  # without the demo, whose credentials are hashed before
        own = Path(f"/proc/{service.process.pid}/smaps_rollup")

        def private_mib() -> float:
            found = re.findall(r"Private_\w+: +(\d+) kB", own.read_text())
            return sum(map(int, found)) / 1024

        def refused(name: str) -> int:
            stranger = httpx.BasicAuth(name, "wrong")
            return httpx.get(
                service.client.base_url.join("/milepost/v1/clock"), auth=stranger, timeout=20,
                verify=NO_CERTIFICATES,
            ).status_code  # fmt: skip

        before = private_mib()
        with ThreadPoolExecutor(8) as callers:
            assert set(callers.map(refused, map(str, range(40)))) == {401}
        assert private_mib() - before < 15


def first_line(path: Path) -> str:
    with suppress(FileNotFoundError):
        return path.read_text().partition("\n")[0]
    return ""


def test_several_workers_answer_are_replaced_and_never_outlive_their_parent(data_dir: Path) -> None:
    with serving(data_dir, "--demo", "--workers", "2") as service:
        workers = children(service.process.pid)
        assert len(workers) == 2
        with httpx.Client(base_url=service.client.base_url, auth=DEMO) as client:
            codes = {client.post(ENROL, json=[{"customerId": 1}]).status_code for _ in range(20)}
        assert codes == {400}
        tokens = {demo_token(service.client.base_url) for _ in range(4)}
        assert all(takes(service.client.base_url, token) for token in tokens)
        os.kill(workers[0], signal.SIGKILL)
        deadline = time.monotonic() + 20
        while len(now := set(children(service.process.pid)) - {workers[0]}) < 2:
            assert time.monotonic() < deadline
        service.process.kill()
        service.ended()
        deadline = time.monotonic() + 20
        while any(alive(worker) for worker in now):
            assert time.monotonic() < deadline
    with serving(data_dir, "--workers", "2") as service:
        assert service.client.get("/health/ready").status_code == 200
        assert all(takes(service.client.base_url, token) for token in tokens)
        assert service.stop() == 0


def demo_token(url: httpx.URL) -> str:
    """A token of the demo's OAuth client, over a connection of its own."""
    body = {"key": "demo-key", "secret": "demo-secret"}
    answer = httpx.post(f"{url}/v3/oauth/token/generate", json=body, timeout=30)
    return str(answer.json()["data"]["accessToken"])


def takes(url: httpx.URL, token: str) -> bool:
    """Whether the service takes the token, over several connections."""
    headers = {"X-CAP-API-OAUTH-TOKEN": token}
    answers = [httpx.get(f"{url}/milepost/v1/clock", headers=headers) for _ in range(4)]
    return {answer.status_code for answer in answers} == {200}


def alive(process: int) -> bool:
    """Whether it runs; one that ended may stay a zombie, for its new parent may never ask for it."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def children(parent: int) -> list[int]:
    """The worker processes of a service."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(FileNotFoundError, ProcessLookupError):
            its_parent = int(process.joinpath("stat").read_text().rpartition(")")[2].split()[1])
            if (
                its_parent == parent
                and b"milepost.server" in process.joinpath("cmdline").read_bytes()
            ):
                found.append(int(process.name))
    return sorted(found)


def test_the_admin_token_and_the_secret_key_are_made_once_and_readable_by_their_owner_only(
    data_dir: Path,
) -> None:
    with serving(data_dir) as service:
        path, key_path = data_dir / "admin-token", data_dir / "secret-key"
        token, key = path.read_text(), key_path.read_text()
        assert len({token, key}) == 2
        for file in (path, key_path):
            assert stat.S_IMODE(file.stat().st_mode) == 0o600
            assert len(file.read_text()) >= 32
        headers = {"Authorization": f"Bearer {token}"}
        orgs = service.client.get("/milepost/v1/orgs", headers=headers, auth=None)
        assert orgs.json() == {"data": [], "errors": None, "warnings": None}
        # Beside the running service, on its database.
        made = run("org", "create", "Acme", "--time-zone", "Asia/Kolkata", "--data", str(data_dir))
        assert '"timeZone":"Asia/Kolkata"' in made.stdout
        migrated = run("migrate", "--data", str(data_dir))
        assert "newest schema" in migrated.stdout
        listed = service.client.get("/milepost/v1/orgs", headers=headers, auth=None)
        assert [org["name"] for org in listed.json()["data"]] == ["Acme"]
        second = run("serve", "--port", "0", "--data", str(data_dir))
        assert second.returncode == 1
        assert str(data_dir) in second.stderr
    with serving(data_dir):
        assert (path.read_text(), key_path.read_text()) == (token, key)


def test_a_port_in_use_and_a_bad_setting_are_said_plainly(data_dir: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        refused = run("serve", "--port", port, "--data", str(data_dir))
    assert refused.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}" in refused.stderr
    for words, variable in (
        (("serve", "--demo", "--host", "0.0.0.0"), {}),  # noqa: S104 - refused
        (("serve",), {"MILEPOST_WORKERS": "many"}),
        (("serve",), {"MILEPOST_BATCH_SIZE_MAX": "0"}),
        (("serve",), {"MILEPOST_RATE_LIMITS": "POST /v2/nothing=1"}),
        (("serve", "--port", "70000"), {}),
        (("serve", "--port", "0", "--database-url", "postgresql://x:secret@127.0.0.1:1/x"), {}),
    ):
        refused = run(*words, "--data", str(data_dir), **variable)
        assert refused.returncode == 1, words
        assert refused.stderr.startswith("milepost: ")
        assert "secret" not in refused.stderr
    assert not data_dir.exists()


def test_any_worker_shows_the_figures_of_all_of_them_and_counts_survive_a_kill(
    data_dir: Path,
) -> None:
    route = 'method="GET",route="/milepost/v1/clock",status="200"'
    counted = re.compile(rf"milepost_request_seconds_count\{{{re.escape(route)}\}} (\d+)")

    with serving(data_dir, "--demo", "--workers", "2") as service:
        token = (data_dir / "admin-token").read_text().strip()

        def figures() -> str:
            headers = {"Authorization": f"Bearer {token}"}
            with httpx.Client(headers=headers, verify=NO_CERTIFICATES) as operator:
                return operator.get(f"{service.client.base_url}/metrics").raise_for_status().text

        with ExitStack() as stack:
            # Connections of their own, so that both workers get some.
            for _ in range(12):
                client = stack.enter_context(httpx.Client(auth=DEMO, verify=NO_CERTIFICATES))
                client.get(f"{service.client.base_url}/milepost/v1/clock").raise_for_status()
        found = {counted.search(figures())[1] for _ in range(8)}  # type: ignore[index]
        assert found == {"12"}
        folders = list(metrics.place().glob("milepost-metrics-*"))
        mine = [folder for folder in folders if any(folder.glob(f"*_{service.process.pid}.db"))]
        workers = children(service.process.pid)
        os.kill(workers[0], signal.SIGKILL)
        eventually(lambda: len(set(children(service.process.pid)) - {workers[0]}) == 2)
        assert not any(mine[0].glob(f"gauge_*_{workers[0]}.db"))
        assert counted.search(figures())[1] == "12"  # type: ignore[index]
        assert service.stop() == 0
    assert not mine[0].exists()


def eventually(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)
