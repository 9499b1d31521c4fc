"""Fixtures: a PostgreSQL per test process, a database per test module, an organisation per test.

`MILEPOST_TEST_DATABASE_URL` names another server (its superuser) to run against instead of the
embedded one. `MILEPOST_TEST_CITUS_URL` names the coordinator of a Citus cluster (a database of its
superuser's that knows the workers): then every test has a distributed database.
"""

from __future__ import annotations

import logging
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from hypothesis import settings as hypothesis_settings
from psycopg import conninfo, sql

from milepost import embedded
from milepost.migrate import migrate
from milepost.settings import Settings
from tests.citus import distributed_database
from tests.harness import ADMIN_TOKEN, Org, Service

hypothesis_settings.register_profile("ci", derandomize=True, deadline=None)
hypothesis_settings.load_profile("ci" if os.environ.get("CI") else "default")


@pytest.fixture
def statements() -> Iterator[list[str]]:
    """The text of each SQL statement that this process asks from now on, in order."""
    texts: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            texts.append(record.msg)

    logger, listener = logging.getLogger("milepost.statements"), Listener()
    logger.addHandler(listener)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    yield texts
    logger.removeHandler(listener)
    logger.setLevel(logging.NOTSET)
    logger.propagate = True


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is about one server where there are several, and the other way round."""
    other = "one_server" if "MILEPOST_TEST_CITUS_URL" in os.environ else "citus"
    left_out = [item for item in items if item.get_closest_marker(other)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


@pytest.fixture(scope="session")
def server_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a PostgreSQL server, as its superuser."""
    if given := os.environ.get("MILEPOST_TEST_DATABASE_URL"):
        yield given
        return
    folder: Path = tmp_path_factory.mktemp("postgres")
    with embedded.start(folder / "pg") as postgres:
        yield postgres.url


@pytest.fixture(scope="session")
def template(server_url: str) -> Iterator[str]:
    """The name of a migrated, empty database to clone."""
    name = f"milepost_template_{uuid.uuid4().hex[:12]}"
    with Disposable(server_url, name) as url:
        migrate(url)
        _leave_statistics_to_tests(url)
        yield name


def _leave_statistics_to_tests(url: str) -> None:
    """Let no autovacuum look at a table in the middle of a test of plans."""
    with psycopg.connect(url, autocommit=True) as connection:
        tables = connection.execute(
            "SELECT oid::regclass::text FROM pg_class "
            "WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
        ).fetchall()
        for (table,) in tables:
            connection.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = off)".encode())


@pytest.fixture(scope="module")
def database_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """A migrated, empty database of this test module, as its owner."""
    if citus := os.environ.get("MILEPOST_TEST_CITUS_URL"):
        with distributed_database(citus) as url:
            yield url
        return
    server_url, template = (request.getfixturevalue(name) for name in ("server_url", "template"))
    with Disposable(server_url, f"milepost_{uuid.uuid4().hex[:12]}", template=template) as url:
        yield url


@pytest.fixture(scope="module")
def service_settings(database_url: str) -> Settings:
    """The settings of `service`; a module overrides this fixture to change them."""
    return Settings(database_url=database_url, admin_token=ADMIN_TOKEN, credential_ttl_seconds=1.0)


@pytest.fixture(scope="module")
def service(service_settings: Settings) -> Iterator[Service]:
    """A running service on the module's database."""
    with Service(service_settings) as running:
        yield running


@pytest.fixture
def org(service: Service) -> Org:
    """A new sandbox organisation in UTC, its clock at 2026-06-01T00:00:00Z."""
    return service.new_org()


class Disposable:
    """Makes a database for a `with` block, and drops it whoever is still connected."""

    def __init__(self, server_url: str, name: str, template: str = "template1") -> None:
        self._server_url, self._name, self._template = server_url, name, template

    def __enter__(self) -> str:
        self._run(
            "CREATE DATABASE {} TEMPLATE {}",
            sql.Identifier(self._name),
            sql.Identifier(self._template),
        )
        return conninfo.make_conninfo(self._server_url, dbname=self._name)

    def __exit__(self, *_: object) -> None:
        self._run("DROP DATABASE {} WITH (FORCE)", sql.Identifier(self._name))

    def _run(self, statement: str, *names: sql.Identifier) -> None:
        with psycopg.connect(self._server_url, autocommit=True) as connection:
            connection.execute(sql.SQL(statement).format(*names))
