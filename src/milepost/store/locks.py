"""Locks of this process among all that share a database: whoever dies has lost them at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import psycopg

from milepost.database import DatabaseUnavailable
from milepost.transaction import Connection

ASK_LOCK = "SELECT pg_try_advisory_lock(hashtextextended(%s, 7))"
GIVE_BACK = "SELECT pg_advisory_unlock(hashtextextended(%s, 7))"


@dataclass(frozen=True, slots=True)
class Lock:
    """A lock that is held as long as its connection lasts."""

    _connection: Connection

    async def check(self) -> None:
        """Raise `DatabaseUnavailable` if it is lost."""
        await _ask(self._connection, "SELECT %s::text IS NOT NULL", "")


@dataclass
class Locks:
    """Named locks, all on one connection; with it they are lost."""

    url: str
    _taken: set[str] = field(default_factory=set)
    """By tasks of this process, which for the database are all one."""
    _connection: Connection | None = None
    _connecting: asyncio.Lock = field(default_factory=asyncio.Lock)

    @asynccontextmanager
    async def held(self, name: str) -> AsyncIterator[Lock | None]:
        """The lock, for the block; None if another process or another task of this one has it.

        Raises `DatabaseUnavailable`.
        """
        if name in self._taken:
            yield None
            return
        self._taken.add(name)
        try:
            connection = await self._connect()
            if not await _ask(connection, ASK_LOCK, name):
                yield None
                return
            try:
                yield Lock(connection)
            finally:
                if not connection.closed:
                    await asyncio.shield(_ask(connection, GIVE_BACK, name))
        finally:
            self._taken.remove(name)

    async def close(self) -> None:
        """Give everything back."""
        if self._connection is not None:
            await self._connection.close()

    async def _connect(self) -> Connection:
        async with self._connecting:
            if self._connection is None or self._connection.closed:
                try:
                    self._connection = await Connection.connect(
                        self.url,
                        autocommit=True,
                        application_name="milepost_locks",
                        connect_timeout=5,
                    )
                except psycopg.OperationalError as error:
                    raise DatabaseUnavailable(type(error).__name__) from error
            return self._connection


async def _ask(connection: Connection, statement: str, name: str) -> bool:
    try:
        cursor = await connection.execute(statement.encode(), (name,))
        row = await cursor.fetchone()
    except psycopg.OperationalError as error:
        raise DatabaseUnavailable(type(error).__name__) from error
    return row is not None and bool(row[0])
