"""Databases that are distributed, for tests that run against `MILEPOST_TEST_CITUS_URL`.

It names, as a superuser, a database of a coordinator that knows its workers. Each database here is made on
all of these servers, and dropped from them.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import psycopg
from psycopg import conninfo, sql

from milepost.distribution import distribute
from milepost.migrate import migrate

SHARDS = 4


@contextmanager
def citus_database(given: str) -> Iterator[str]:
    """The coordinator's URL of a new database with the extension and its workers, and nothing else in it."""
    with psycopg.connect(given, autocommit=True) as connection:
        nodes = connection.execute(
            "SELECT nodename, nodeport, groupid = 0 FROM pg_dist_node ORDER BY groupid"
        ).fetchall()
    name = f"milepost_{uuid.uuid4().hex[:12]}"
    servers = [conninfo.make_conninfo(given, host=host, port=port) for host, port, _ in nodes]
    try:
        for server in servers:
            _run(
                server,
                sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name)),
            )
            _run(_named(server, name), sql.SQL("CREATE EXTENSION citus"))
        url = _named(servers[0], name)
        with psycopg.connect(url, autocommit=True) as connection:
            for host, port, is_coordinator in nodes:
                add = "citus_set_coordinator_host" if is_coordinator else "citus_add_node"
                connection.execute(f"SELECT {add}(%s, %s)".encode(), (host, port))
        yield url
    finally:
        _drop(servers, name)


@contextmanager
def distributed_database(given: str) -> Iterator[str]:
    """The URL of a migrated, distributed, empty database."""
    with citus_database(given) as url:
        migrate(url)
        for _ in distribute(url, shards=SHARDS):
            pass
        yield url


def _drop(servers: Sequence[str], name: str) -> None:
    for server in servers:
        _run(
            server, sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
        )


def _named(server: str, name: str) -> str:
    return conninfo.make_conninfo(server, dbname=name)


def _run(url: str, statement: sql.SQL | sql.Composed) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement)
