"""`milepost doctor`: what it looks at, and what it says to do."""

from __future__ import annotations

import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from milepost.doctor import Finding, examine
from milepost.migrate import newest_revision
from milepost.settings import Settings
from tests.conftest import Disposable
from tests.harness import contents


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    folder = tmp_path / "data"
    folder.mkdir(mode=0o700)
    (folder / "admin-token").write_text("x" * 40)
    (folder / "admin-token").chmod(0o600)
    return Settings(database_url=database_url, data_dir=folder)


@pytest.fixture
def empty_url(server_url: str) -> Iterator[str]:
    with Disposable(server_url, f"milepost_{uuid.uuid4().hex[:12]}") as url:
        yield url


def examined(settings: Settings, environment: Mapping[str, str] | None = None) -> list[Finding]:
    def opened() -> AbstractContextManager[str]:
        return nullcontext(settings.database_url)

    return list(examine(settings, environment or {}, opened))


def only(settings: Settings, level: str, environment: Mapping[str, str] | None = None) -> Finding:
    """The one finding that is not ok."""
    (found,) = [each for each in examined(settings, environment) if each.level != "ok"]
    assert found.level == level
    assert found.advice
    return found


def test_a_sound_service_has_no_finding_and_is_not_changed(settings: Settings) -> None:
    before = contents(settings.database_url)
    findings = examined(settings)
    assert {finding.level for finding in findings} == {"ok"}
    subjects = {finding.what.partition(":")[0] for finding in findings}
    assert subjects == {
        "settings", "files", "disk", "database", "connections", "clock", "role", "schema", "due work",
        "alarms",
    }  # fmt: skip
    assert contents(settings.database_url) == before


def test_settings_that_cannot_work_are_found(settings: Settings) -> None:
    typo = only(settings, "warning", {"MILEPOST_WORKER": "2", "MILEPOST_PORT": "1", "PATH": ""})
    assert "MILEPOST_WORKER is no setting" in typo.what
    assert "rate_limits" in only(replace(settings, rate_limits="GET /no=1"), "problem").what
    assert "token is short" in only(replace(settings, admin_token="secret"), "warning").what
    pool = only(replace(settings, pool_size_max=200), "problem")
    assert "up to 218" in pool.what


def test_files_that_others_may_read_are_found(settings: Settings) -> None:
    (settings.data_dir / "admin-token").chmod(0o644)
    found = only(settings, "problem")
    assert found.advice == f"chmod 600 {settings.data_dir}/admin-token"


def test_a_database_that_is_away_is_found(settings: Settings) -> None:
    away = replace(settings, database_url="postgresql://x:secret@127.0.0.1:1/x")
    found = only(away, "problem")
    assert found.what.startswith("database: ")
    assert "secret" not in str(found)


def test_pending_migrations_and_a_newer_schema_are_found(
    settings: Settings, empty_url: str, database_url: str
) -> None:
    assert "schema: empty" in only(replace(settings, database_url=empty_url), "warning").what
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0003'")
        assert "schema: 0003" in only(settings, "warning").what
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        assert "newer than this release" in only(settings, "problem").what
        connection.execute("UPDATE alembic_version SET version_num = %s", (newest_revision(),))


def test_overdue_work_and_alarms_that_did_not_ring_are_found(
    settings: Settings, database_url: str
) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO orgs (org_id, root_org_id, name, time_zone, sandbox, created_at) "
            "VALUES (1, 1, 'Late', 'UTC', false, now())"
        )
        connection.execute(
            "INSERT INTO cycle_ends VALUES (1, 7, 1, 1, now() - interval '10 minutes')"
        )
        late = only(settings, "warning")
        assert late.what == "due work: the oldest is 10 minutes late"
        connection.execute("UPDATE cycle_ends SET due_at = now() - interval '2 hours'")
        assert only(settings, "problem").what == "due work: the oldest is 120 minutes late"
        connection.execute("DELETE FROM cycle_ends")
        connection.execute("SET search_path TO jobs")
        connection.execute(
            "INSERT INTO jobs.procrastinate_jobs (queue_name, task_name, scheduled_at) "
            "VALUES ('due', 'settle', now() - interval '10 minutes')"
        )
        assert only(settings, "warning").what == "alarms: 1 of 1 should have rung"
        connection.execute("DELETE FROM jobs.procrastinate_jobs")


def test_the_command_exits_with_1_only_if_there_is_a_problem(
    database_url: str, tmp_path: Path
) -> None:
    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "milepost", "doctor", *words],
            capture_output=True,
            text=True,
            check=False,
        )

    nothing_yet = run("--data", str(tmp_path / "none"))
    assert nothing_yet.returncode == 0
    assert "database: none yet" in nothing_yet.stdout
    assert not (tmp_path / "none").exists()
    away = run("--data", str(tmp_path), "--database-url", "postgresql://127.0.0.1:1/x")
    assert away.returncode == 1
    assert "\nproblem  database: " in away.stdout
