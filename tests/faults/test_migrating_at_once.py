"""Two services that find an old or an empty database at once: both serve, each migration is applied once."""

from __future__ import annotations

import re
import signal
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO

import httpx
import psycopg
import pytest
from alembic import command as alembic
from alembic.config import Config
from sqlalchemy import create_engine, pool

from milepost.migrate import migrations_dir, newest_revision
from tests.conftest import Disposable
from tests.test_server import NO_CERTIFICATES, command

ORG = """
INSERT INTO orgs (root_org_id, name, time_zone, sandbox, created_at) VALUES (1001, 'Old', 'UTC', false, now())
"""


@pytest.fixture
def empty_url(server_url: str) -> Iterator[str]:
    with Disposable(server_url, f"milepost_{uuid.uuid4().hex[:12]}") as url:
        yield url


def revisions() -> list[str]:
    return sorted(p.name.split("_")[0] for p in (migrations_dir() / "versions").glob("[0-9]*.sql"))


def migrate_to(url: str, revision: str) -> None:
    """Bring an empty database to where an older release left it."""
    engine = create_engine(
        "postgresql+psycopg://", creator=lambda: psycopg.connect(url), poolclass=pool.NullPool
    )
    config = Config()
    config.set_main_option("script_location", str(migrations_dir()))
    with engine.connect() as connection:
        config.attributes["connection"] = connection
        alembic.upgrade(config, revision)
    engine.dispose()


def start(stack: ExitStack, url: str, folder: Path, number: int) -> subprocess.Popen[str]:
    """A service on the database, with a data folder of its own."""
    errors: IO[str] = stack.enter_context((folder / f"{number}.log").open("w"))
    words = ("serve", "--port", "0", "--database-url", url, "--data", str(folder / str(number)))
    process = subprocess.Popen(command(*words), stdout=subprocess.PIPE, stderr=errors, text=True)
    assert process.stdout is not None
    stack.enter_context(process.stdout)
    stack.callback(process.kill)
    return process


def said(process: subprocess.Popen[str]) -> tuple[list[str], str]:
    """The migrations that it says it has applied, and where it answers."""
    assert process.stdout is not None
    applied = []
    for line in process.stdout:
        if found := re.search(r"Migrated the database to (\d+)", line):
            applied.append(found[1])
        if found := re.search(r"ready at (http://\S+)", line):
            return applied, found[1]
    raise AssertionError("it did not start")


@pytest.mark.parametrize("before", [None, revisions()[-2]], ids=["empty", "of the last release"])
def test_services_that_start_at_once_apply_each_migration_once_and_both_serve(
    empty_url: str, tmp_path: Path, before: str | None
) -> None:
    if before is not None:
        migrate_to(empty_url, before)
        with psycopg.connect(empty_url) as connection:
            connection.execute(ORG)
    missing = [each for each in revisions() if before is None or each > before]
    with ExitStack() as stack:
        services = [start(stack, empty_url, tmp_path, number) for number in range(2)]
        if (
            before is not None
        ):  # and a third one, which goes away in the middle of whatever it is at
            start(stack, empty_url, tmp_path, 2).kill()
        told = [said(each) for each in services]
        with psycopg.connect(empty_url) as connection:
            found = connection.execute("SELECT version_num FROM alembic_version").fetchall()
        assert found == [(newest_revision(),)]
        # What the killed one had finished by then, nobody else did.
        applied = [revision for done, _ in told for revision in done]
        assert len(applied) == len(set(applied))
        assert set(applied) <= set(missing)
        for _, url in told:
            token = (tmp_path / str(told.index((_, url))) / "admin-token").read_text()
            orgs = httpx.get(
                f"{url}/milepost/v1/orgs",
                headers={"Authorization": f"Bearer {token}"},
                verify=NO_CERTIFICATES,
            )
            assert orgs.status_code == 200
            assert len(orgs.json()["data"]) == (before is not None)
        for each in services:
            each.send_signal(signal.SIGTERM)
        assert [each.wait(15) for each in services] == [0, 0]
