"""`milepost doctor`: looks at settings, files, database, clock and due work, and says what to do. Changes
nothing, and may run beside a service or without one.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import stat
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, fields
from datetime import timedelta
from pathlib import Path
from typing import Literal

from milepost import clock
from milepost.api.app import check_rate_limits
from milepost.database import DatabaseUnavailable, Tx, owner_transaction
from milepost.embedded import EmbeddedPostgresError
from milepost.migrate import MigrationError, newest_revision
from milepost.settings import SettingError, Settings
from milepost.store.condition import Server, load_alarms, load_revision, load_roles, load_server
from milepost.store.passes import load_oldest_due

Level = Literal["ok", "warning", "problem"]

ROLES = ("milepost_app", "milepost_operator")
VERSION_MIN = 15
SKEW_SECONDS_MAX = 1.0
LATE_SECONDS = 5 * 60
"""Due work that is older is a warning, and alarms that should have rung."""
VERY_LATE_SECONDS = 60 * 60
FREE_BYTES_MIN = 256 * 2**20
FREE_BYTES_LOW = 2 * 2**30
OTHER_CONNECTIONS = 3
"""Of a worker, beside those for requests: two of the operator's, one that listens."""
DUE_CONNECTIONS = 15
"""Of the process for due work, deliveries included."""
KNOWN_ELSEWHERE = ("MILEPOST_TEST_",)


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: what was looked at and how it is; for a warning or problem, what to do."""

    level: Level
    what: str
    advice: str = ""

    def __str__(self) -> str:
        advice = f" -> {self.advice}" if self.advice else ""
        return f"{self.level:8} {self.what}{advice}"


def examine(
    settings: Settings,
    environment: Mapping[str, str],
    open_database: Callable[[], AbstractContextManager[str]],
) -> Iterator[Finding]:
    """Every finding, as it is made. `open_database` gives the URL of the database for a `with` block."""
    yield from _settings(settings, environment)
    yield from _files(settings)
    if settings.embedded and not (settings.data_dir / "pg").exists():
        yield Finding("ok", f"database: none yet in {settings.data_dir}; milepost serve makes it")
        return
    try:
        with open_database() as url:
            yield from asyncio.run(_database(url, settings))
    except (DatabaseUnavailable, EmbeddedPostgresError, MigrationError) as error:
        yield Finding("problem", f"database: {error}", "start it, or mend the URL")


def _settings(settings: Settings, environment: Mapping[str, str]) -> Iterator[Finding]:
    known = {f"MILEPOST_{field.name.upper()}" for field in fields(Settings)}
    unknown = [
        name
        for name in sorted(environment)
        if name.startswith("MILEPOST_")
        and name not in known
        and not name.startswith(KNOWN_ELSEWHERE)
    ]
    if unknown:
        yield Finding(
            "warning", f"settings: {', '.join(unknown)} is no setting", "mend its name, or unset it"
        )
    try:
        check_rate_limits(settings)
    except SettingError as error:
        yield Finding("problem", f"settings: {error}", "mend MILEPOST_RATE_LIMITS")
    if settings.admin_token and len(settings.admin_token) < 16:
        yield Finding("warning", "settings: the admin token is short", "use 32 random characters")
    processors = os.cpu_count() or 1
    if settings.workers > processors:
        yield Finding(
            "warning",
            f"settings: {settings.workers} workers on {processors} processors",
            "a worker uses one; leave some to PostgreSQL",
        )
    if not unknown:
        yield Finding("ok", "settings: every MILEPOST_ variable is known and within its bounds")


def _files(settings: Settings) -> Iterator[Finding]:
    folder = settings.data_dir
    if not folder.exists():
        return
    private = (("admin-token", 0o600), ("secret-key", 0o600), ("pg", 0o700))
    for path, allowed in ((folder / name, mode) for name, mode in private):
        if not path.exists():
            continue
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & ~allowed & 0o077:
            yield Finding(
                "problem", f"files: {path} is open to others, mode {mode:o}",
                f"chmod {allowed:o} {path}",
            )  # fmt: skip
        else:
            yield Finding("ok", f"files: {path} is its owner's only")
    yield _space(folder)


def _space(folder: Path) -> Finding:
    free = shutil.disk_usage(folder).free
    what = f"disk: {_size(free)} free in {folder}"
    if free < FREE_BYTES_MIN:
        return Finding("problem", what, "make room: PostgreSQL stops when there is none")
    if free < FREE_BYTES_LOW:
        return Finding("warning", what, "make room before there is none")
    return Finding("ok", what)


async def _database(url: str, settings: Settings) -> list[Finding]:
    began = clock.now()
    async with owner_transaction(url) as tx:
        ended = clock.now()
        server = await load_server(tx)
        found = [_version(server), _encoding(server), _connections(server, settings)]
        behind = (server.began_at - ended).total_seconds()
        ahead = (began - server.began_at).total_seconds()
        found.append(_skew(max(behind, ahead, 0.0)))
        found += [finding async for finding in _roles(tx)]
        found += [finding async for finding in _schema(tx)]
    return found


def _version(server: Server) -> Finding:
    what = f"database: PostgreSQL {server.version}, {_size(server.size_bytes)}"
    if int(server.version.partition(".")[0]) < VERSION_MIN:
        return Finding("problem", what, f"Milepost needs {VERSION_MIN} or newer")
    return Finding("ok", what)


def _encoding(server: Server) -> Finding:
    if server.encoding != "UTF8":
        advice = "make a database with ENCODING 'UTF8' and move the data"
        return Finding("problem", f"database: its encoding is {server.encoding}", advice)
    return Finding("ok", "database: its encoding is UTF8")


def _connections(server: Server, settings: Settings) -> Finding:
    wanted = settings.workers * (settings.pool_size_max + OTHER_CONNECTIONS) + DUE_CONNECTIONS
    what = (
        f"connections: this service opens up to {wanted}, the server takes {server.connections_max} "
        f"and has {server.connections}"
    )
    if wanted > server.connections_max:
        advice = "raise max_connections, or lower MILEPOST_POOL_SIZE_MAX or MILEPOST_WORKERS"
        return Finding("problem", what, advice)
    return Finding("ok", what)


def _skew(seconds: float) -> Finding:
    if seconds > SKEW_SECONDS_MAX:
        return Finding(
            "warning", f"clock: {seconds:.1f} s from the database's", "let both follow NTP"
        )
    return Finding("ok", "clock: it agrees with the database's")


async def _roles(tx: Tx) -> AsyncIterator[Finding]:
    for role in await load_roles(tx, ROLES):
        what = f"role: {role.name}"
        if not role.exists:
            yield Finding("warning", f"{what} is not there", "the first start makes it if it may")
        elif not role.usable:
            yield Finding("problem", f"{what} cannot be taken", f"GRANT {role.name} to the user")
        elif role.unbound:
            yield Finding(
                "problem",
                f"{what} bypasses row-level security",
                f"ALTER ROLE {role.name} NOBYPASSRLS",
            )
        else:
            yield Finding("ok", f"{what} can be taken and is bound by row-level security")


async def _schema(tx: Tx) -> AsyncIterator[Finding]:
    revision, newest = await load_revision(tx), newest_revision()
    if revision > newest:
        advice = "run the release that migrated it, or a newer one"
        yield Finding("problem", f"schema: {revision} is newer than this release, {newest}", advice)
        return
    if revision < newest:
        what = f"schema: {revision or 'empty'}, this release has {newest}"
        yield Finding("warning", what, "milepost migrate, or the next start, brings it there")
        return
    yield Finding("ok", f"schema: {revision}, the newest")
    yield await _due_work(tx)
    now = clock.now()
    overdue, alarms = await load_alarms(tx, now - timedelta(seconds=LATE_SECONDS))
    if overdue:
        yield Finding(
            "warning", f"alarms: {overdue} of {alarms} should have rung",
            "see that a service runs with MILEPOST_DUE_WORK=1",
        )  # fmt: skip
    else:
        yield Finding("ok", f"alarms: {alarms} set, none overdue")


async def _due_work(tx: Tx) -> Finding:
    now = clock.now()
    oldest = await load_oldest_due(tx, now)
    late = (now - oldest).total_seconds() if oldest is not None else 0.0
    if late < LATE_SECONDS:
        return Finding("ok", "due work: nothing is overdue")
    return Finding(
        "problem" if late > VERY_LATE_SECONDS else "warning",
        f"due work: the oldest is {late / 60:,.0f} minutes late",
        "see that a service runs with MILEPOST_DUE_WORK=1, and its log for due_work_failed",
    )


def _size(size_bytes: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if size_bytes < 1024:
            return f"{size_bytes:,.0f} {unit}"
        size_bytes /= 1024
    return f"{size_bytes:,.1f} GiB"
