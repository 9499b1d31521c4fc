"""Locks of this process among all that share a database: whoever dies has lost them at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import psycopg

from milepost.database import DatabaseUnavailable, Tx

ASK_LOCK = "SELECT pg_try_advisory_lock(hashtextextended(%s, 7))"
GIVE_BACK = "SELECT pg_advisory_unlock(hashtextextended(%s, 7))"


@dataclass
class Locks:
    """Named locks, all on one connection; with it they are lost, which `check` tells."""

    url: str
    _held: dict[str, Tx] = field(default_factory=dict)
    _connection: Tx | None = None
    _connecting: asyncio.Lock = field(default_factory=asyncio.Lock)

    @asynccontextmanager
    async def held(self, name: str) -> AsyncIterator[bool]:
        """Whether the block has the lock; if not, another process or another task of this one has it.

        Raises `DatabaseUnavailable`.
        """
        if name in self._held:
            yield False
            return
        connection = await self._connect()
        self._held[name] = connection
        try:
            if not await _ask(connection, ASK_LOCK, name):
                yield False
                return
            try:
                yield True
            finally:
                if not connection.closed:
                    await asyncio.shield(_ask(connection, GIVE_BACK, name))
        finally:
            del self._held[name]

    async def check(self, name: str) -> None:
        """Raise `DatabaseUnavailable` if a lock that was had is lost."""
        await _ask(self._held[name], "SELECT %s::text IS NOT NULL", name)

    async def close(self) -> None:
        """Give everything back."""
        if self._connection is not None:
            await self._connection.close()

    async def _connect(self) -> Tx:
        async with self._connecting:
            if self._connection is None or self._connection.closed:
                try:
                    self._connection = await psycopg.AsyncConnection.connect(
                        self.url,
                        autocommit=True,
                        application_name="milepost_locks",
                        connect_timeout=5,
                    )
                except psycopg.OperationalError as error:
                    raise DatabaseUnavailable(type(error).__name__) from error
            return self._connection


async def _ask(connection: Tx, statement: str, name: str) -> bool:
    try:
        cursor = await connection.execute(statement.encode(), (name,))
        row = await cursor.fetchone()
    except psycopg.OperationalError as error:
        raise DatabaseUnavailable(type(error).__name__) from error
    return row is not None and bool(row[0])
