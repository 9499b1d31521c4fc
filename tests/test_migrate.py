"""Migrations: applied once, by one process at a time, and never backwards."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator

import psycopg
import pytest

from milepost.migrate import MigrationError, migrate, newest_revision
from tests.conftest import Disposable


@pytest.fixture
def empty_url(server_url: str) -> Iterator[str]:
    with Disposable(server_url, f"milepost_{uuid.uuid4().hex[:12]}") as url:
        yield url


def test_migrating_twice_applies_nothing_the_second_time(empty_url: str) -> None:
    assert migrate(empty_url)[-1].startswith(newest_revision())
    assert migrate(empty_url) == []


def test_services_that_migrate_at_once_apply_each_migration_once(empty_url: str) -> None:
    applied: list[list[str]] = []
    threads = [
        threading.Thread(target=lambda: applied.append(migrate(empty_url))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(applied) == 4
    with psycopg.connect(empty_url) as connection:
        found = connection.execute("SELECT version_num FROM alembic_version").fetchall()
    assert found == [(newest_revision(),)]


def test_a_schema_newer_than_this_release_is_refused(empty_url: str) -> None:
    migrate(empty_url)
    with psycopg.connect(empty_url) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(MigrationError, match="9999"):
        migrate(empty_url)
