"""The way to PostgreSQL, which can be cut, fall silent, or lose the one answer that matters most."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Self, TypeVar

from psycopg import conninfo

T = TypeVar("T")
PIECE_BYTES = 65_536
COMMITTED = b"COMMIT\0"
"""The end of PostgreSQL's message that a transaction is committed."""


class Proxy:
    """Listens on loopback and passes bytes on to a PostgreSQL, until told otherwise.

    `database_url` is the server's; `url` leads to the same database through the proxy.
    """

    def __init__(self, database_url: str) -> None:
        self._target = conninfo.conninfo_to_dict(database_url)
        self._is_open = True
        self._is_silent = False
        self._commits_to_lose = 0
        self._commits_to_pass = 0
        self.commits_lost = 0
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)

    def __enter__(self) -> Self:
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(
            asyncio.start_server(self._serve, "127.0.0.1", 0), self._loop
        ).result(10)
        port = self._server.sockets[0].getsockname()[1]
        self.url = conninfo.make_conninfo(
            host="127.0.0.1",
            port=port,
            dbname=str(self._target["dbname"]),
            user=str(self._target["user"]),
            sslmode="disable",
            gssencmode="disable",
        )
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()
        self._do(self._server.close)
        self._do(self._cancel)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def cut(self) -> None:
        """Break every connection, and take none."""
        self._is_open = False
        self._do(self._abort)

    def fall_silent(self) -> None:
        """Keep every connection and take new ones; whatever is sent, on either side, is not passed on."""
        self._is_silent = True

    def resume(self) -> None:
        """Pass on what comes over new connections. Those from before are broken, or silent for ever."""
        self._is_open, self._is_silent = True, False

    def lose_a_commit(self, *, after: int = 0) -> None:
        """Let a transaction be committed, and break its connection in place of the answer.

        It is the next one but for so many that are let pass, those that only read among them.
        """
        self._commits_to_pass = after
        self._commits_to_lose += 1

    def _do(self, act: Callable[[], T]) -> T:
        async def done() -> T:
            return act()

        return asyncio.run_coroutine_threadsafe(done(), self._loop).result(10)

    def _abort(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    def _cancel(self) -> None:
        for task in asyncio.all_tasks(self._loop):
            if task is not asyncio.current_task(self._loop):
                task.cancel()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self._is_open:
            writer.transport.abort()
            return
        their_reader, their_writer = await self._connect()
        self._writers |= {writer, their_writer}
        silenced: list[bool] = []
        directions = [
            asyncio.create_task(self._pass_on(reader, their_writer, silenced, answers=False)),
            asyncio.create_task(self._pass_on(their_reader, writer, silenced, answers=True)),
        ]
        try:
            await asyncio.wait(directions, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in directions:
                each.cancel()
            self._writers -= {writer, their_writer}
            for end in (writer, their_writer):
                end.transport.abort()

    async def _connect(self) -> Any:
        host, port = str(self._target["host"]), int(self._target.get("port") or 5432)
        if host.startswith("/"):
            return await asyncio.open_unix_connection(f"{host}/.s.PGSQL.{port}")
        return await asyncio.open_connection(host, port)

    async def _pass_on(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        silenced: list[bool],
        *,
        answers: bool,
    ) -> None:
        with suppress(ConnectionError):
            while piece := await reader.read(PIECE_BYTES):
                if self._is_silent:
                    silenced.append(True)
                if silenced:
                    continue
                if answers and COMMITTED in piece and self._is_lost():
                    break
                writer.write(piece)
                await writer.drain()

    def _is_lost(self) -> bool:
        """Whether the answer to a commit that has just come is to be lost."""
        if self._commits_to_pass or not self._commits_to_lose:
            self._commits_to_pass = max(0, self._commits_to_pass - 1)
            return False
        self._commits_to_lose -= 1
        self.commits_lost += 1
        return True
