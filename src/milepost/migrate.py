"""Bring a database to the newest schema, safely beside running services.

Only one process migrates at a time (advisory lock), and no migration waits long for a table lock, so a
running service is never stuck behind a migration that is itself stuck (lock time-out).
"""

from __future__ import annotations

from pathlib import Path

import psycopg
from psycopg import sql

LOCK_KEY = 0x4D696C65  # "Mile"
LOCK_WAIT_SECONDS = 120
SERVER_VERSION_MIN = 15
HAS_CITUS = "SELECT to_regclass('pg_catalog.pg_dist_partition') IS NOT NULL"
IS_DISTRIBUTED = "SELECT EXISTS (SELECT FROM pg_catalog.pg_dist_partition)"
"""Both have to hold; the second can be asked only where the first does."""


class MigrationError(RuntimeError):
    """The database cannot be brought to the newest schema; the message says what to do."""


def migrations_dir() -> Path:
    """The folder of the migrations: in the installed package, or at the root of a checkout."""
    package = Path(__file__).parent
    installed = package / "migrations"
    return installed if installed.is_dir() else package.parents[1] / "migrations"


def newest_revision() -> str:
    """The number of the last migration."""
    return max(
        path.name.split("_")[0] for path in (migrations_dir() / "versions").glob("[0-9]*.sql")
    )


def migrate(url: str) -> list[str]:
    """Apply what is missing to the database at `url`, as its owner; returns the revisions applied.

    Raises `MigrationError` when the server cannot be reached or is too old, the schema is newer than
    this release, or another process migrates for longer than two minutes.
    """
    try:
        connecting = psycopg.connect(url, autocommit=True, connect_timeout=10)
    except psycopg.Error as error:
        raise MigrationError(f"cannot reach the database: {why(error)}") from None
    with connecting as connection:
        if connection.info.server_version < SERVER_VERSION_MIN * 10_000:
            raise MigrationError(
                f"PostgreSQL {connection.info.server_version // 10_000} is too old: "
                f"Milepost needs {SERVER_VERSION_MIN} or newer"
            )
        if _revision(connection) == newest_revision():
            return []
        connection.execute(
            sql.SQL("SET lock_timeout = {}").format(sql.Literal(f"{LOCK_WAIT_SECONDS}s"))
        )
        try:
            connection.execute("SELECT pg_advisory_lock(%s)", (LOCK_KEY,))
        except psycopg.errors.LockNotAvailable:
            raise MigrationError("another process has been migrating for two minutes") from None
        before = _revision(connection)
        if before is not None and before > newest_revision():
            raise MigrationError(
                f"the database is at {before}, newer than this release ({newest_revision()}): "
                "run the release that migrated it, or a newer one"
            )
        if before != newest_revision():
            _upgrade(url, propagated=_is_distributed(connection))
    return [
        path.stem
        for path in sorted((migrations_dir() / "versions").glob("[0-9]*.sql"))
        if before is None or path.name.split("_")[0] > before
    ]


def why(error: psycopg.Error) -> str:
    """What the error says, unless that may quote the password of the URL, which cannot be read then."""
    text = str(error).strip()
    answered = text.startswith(("connection failed:", "connection timeout"))
    if answered or (text.startswith("failed to resolve host") and "@" not in text):
        return text
    return (
        "its URL cannot be read (in the password, write each of @ : / ? # [ ] % and each blank as "
        "%40 and the like)"
    )


def _revision(connection: psycopg.Connection[tuple[object, ...]]) -> str | None:
    try:
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except psycopg.errors.UndefinedTable:
        return None
    return str(row[0]) if row else None


def answer_of(
    connection: psycopg.Connection[tuple[object, ...]], question: str, *given: object
) -> object:
    """The first column of the first row; None if there is no row."""
    row = connection.execute(question.encode(), given).fetchone()
    return row[0] if row else None


def _is_distributed(connection: psycopg.Connection[tuple[object, ...]]) -> bool:
    return bool(answer_of(connection, HAS_CITUS) and answer_of(connection, IS_DISTRIBUTED))


def _upgrade(url: str, *, propagated: bool) -> None:
    # Imported only when there is something to do: a restart shall not pay for it.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415
    from sqlalchemy import create_engine, pool  # noqa: PLC0415

    options = "-c lock_timeout=4s -c statement_timeout=0"
    if not propagated:
        # Where there is Citus but nothing is distributed yet, nothing of it is the workers' business either;
        # and some of what the job queue brings they would not take. Elsewhere the setting is nobody's.
        options += " -c citus.enable_ddl_propagation=off"

    def connect() -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(url, options=options)

    engine = create_engine("postgresql+psycopg://", creator=connect, poolclass=pool.NullPool)
    config = Config()
    config.set_main_option("script_location", str(migrations_dir()).replace("%", "%%"))
    with engine.connect() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    engine.dispose()
