"""A transaction whose statements are sent together and answered in their order.

What is asked is written down and leaves with the next question to which an answer is waited for, so a batch
costs a few packets whatever it consists of. psycopg has a pipeline too; a statement in that costs it two
looks at the socket and a packet of its own. Here it only keeps the connection, encodes what is no column
and decodes the rows.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from logging import DEBUG, getLogger
from typing import Any, TypeVar

from psycopg import AsyncConnection, Error, OperationalError, pq
from psycopg.abc import PQGen
from psycopg.adapt import Transformer
from psycopg.errors import error_from_result
from psycopg.generators import fetch_many, send
from psycopg.pq.abc import PGconn, PGresult

from milepost.statements import Encoded, Statement, encode, read_statement

T = TypeVar("T")
Rows = Sequence[tuple[Any, ...]]

SILENCE_SECONDS = 3.0
"""How much longer than a statement may take a server may say nothing: then it is given up."""

PREPARED_MAX = 500
"""Statements that a connection keeps prepared; it forgets all when it has so many."""

statements = getLogger("milepost.statements")
"""Every statement, for whoever sets this to DEBUG: its text, never its parameters."""

_FAILED = (pq.ExecStatus.FATAL_ERROR, pq.ExecStatus.PIPELINE_ABORTED, pq.ExecStatus.BAD_RESPONSE)
_BINARY = pq.Format.BINARY


class Connection(AsyncConnection[tuple[Any, ...]]):
    """A connection that knows which statements it has prepared: text and types, with the name of each.

    It ends when its server says nothing for `silence_seconds`: PostgreSQL ends a statement that takes too
    long, but only we can end the wait for one that it never got, or whose answer was lost on the way.
    """

    silence_seconds = 30.0 + SILENCE_SECONDS

    def __init__(self, pgconn: PGconn, **more: Any) -> None:
        super().__init__(pgconn, **more)
        self.transformer = Transformer(self)
        self.prepared: dict[tuple[bytes, tuple[int, ...]], bytes] = {}
        self.prepared_count = 0
        """Ever. Names are not used again, for one whose preparation failed may exist or not."""
        self.keeps_statements = True
        """Not over a pooler, where the next transaction may be in another session."""
        self.is_distributed = False
        """Whether `milepost distribute` has distributed the database over several servers."""

    async def wait(
        self,
        gen: PQGen[T],
        interval: float = 0.1,
        timeout: float | None = None,  # noqa: ASYNC109 - the signature is psycopg's
    ) -> T:
        """As psycopg's, within `silence_seconds`; raises `OperationalError` after that."""
        began = time.monotonic()
        try:
            return await super().wait(gen, interval, timeout or self.silence_seconds)
        except OperationalError:
            if time.monotonic() - began >= self.silence_seconds:
                # An answer that comes after all would be taken for that of the next statement.
                self.pgconn.finish()
            raise


class Reply:
    """The answer to a statement."""

    __slots__ = ("_result", "_transaction")

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction
        self._result: PGresult | None = None

    async def rows(self) -> Rows:
        """Wait for the answer, and for all that was sent before it."""
        if self._result is None:
            await self._transaction.wait_for(self)
        assert self._result is not None
        return self._transaction.read_rows(self._result)

    def take(self, result: PGresult) -> None:
        """Be answered."""
        self._result = result


class Transaction:
    """A transaction on a connection, from `BEGIN` to the answer to `COMMIT` or `ROLLBACK`.

    Errors of PostgreSQL are raised where an answer is waited for that comes after them, at the latest by
    `commit`. Not for two tasks at once.
    """

    __slots__ = ("_answers", "_connection", "_ended", "_pgconn", "_syncs")

    def __init__(self, connection: Connection, mode: bytes = b"") -> None:
        """Begin; `mode` is what follows BEGIN. Nothing is sent yet."""
        self._connection = connection
        self._pgconn = connection.pgconn
        self._answers: deque[Reply | tuple[bytes, tuple[int, ...]] | None] = deque()
        """What each answer to come is for: a statement, the preparation of one, or nobody."""
        self._syncs = 0
        """Of these, how many are unanswered: each one ends what an error makes the server skip."""
        self._ended = False
        self._pgconn.enter_pipeline_mode()
        if len(connection.prepared) >= PREPARED_MAX:
            connection.prepared.clear()
            self._command(b"DEALLOCATE ALL")
        self._command(b"BEGIN " + mode)

    def ask(self, sql: str, parameters: Sequence[object] = ()) -> Reply:
        """Write one statement down, to be sent with the next that is waited for."""
        if statements.isEnabledFor(DEBUG):
            statements.debug(sql)
        statement = read_statement(sql)
        encoded = encode(statement, parameters, self._connection.transformer)
        if self._connection.keeps_statements:
            name = self._prepare(statement, encoded)
            self._pgconn.send_query_prepared(
                name, encoded.values, param_formats=encoded.formats, result_format=_BINARY
            )
        else:
            self._pgconn.send_query_params(
                statement.text, encoded.values, encoded.types, encoded.formats, _BINARY
            )
        reply = Reply(self)
        self._answers.append(reply)
        return reply

    @property
    def is_distributed(self) -> bool:
        """Whether the database is distributed over several servers."""
        return self._connection.is_distributed

    def set_local(self, name: str, value: int) -> None:
        """Write down a setting that holds until the transaction ends, on every server."""
        self._command(f"SET LOCAL {name} = '{value:d}'".encode())

    def _prepare(self, statement: Statement, encoded: Encoded) -> bytes:
        """The name of the statement, prepared now if it was not before."""
        key = (statement.text, encoded.types)
        connection = self._connection
        name = connection.prepared.get(key)
        if name is None:
            connection.prepared_count += 1
            name = connection.prepared[key] = b"m%d" % connection.prepared_count
            self._pgconn.send_prepare(name, statement.text, param_types=encoded.types)
            self._answers.append(key)
        return name

    def _command(self, command: bytes) -> None:
        self._pgconn.send_query_params(command, None)
        self._answers.append(None)

    def read_rows(self, result: PGresult) -> Rows:
        """The rows of an answer."""
        transformer = self._connection.transformer
        transformer.set_pgresult(result)
        return transformer.load_rows(0, result.ntuples, tuple)

    async def wait_for(self, reply: Reply) -> None:
        """Send what is written down, and take in the answers up to that one."""
        count = self._answers.index(reply) + 1
        self._pgconn.send_flush_request()
        await self._connection.wait(self._take(count))

    async def commit(self) -> None:
        """Commit, unless that was done; when this returns, what was written is on disk."""
        if self._ended:
            return
        self._command(b"COMMIT")
        self._sync()
        await self._connection.wait(self._take(len(self._answers)))
        await self._connection.wait(self._rest())
        self._leave()

    async def end(self) -> None:
        """Undo what was not committed. A connection that cannot be brought to rest is closed."""
        if self._ended:
            return
        try:
            await self._connection.wait(self._undo())
            self._leave()
        except Error:
            await self._connection.close()

    def _leave(self) -> None:
        self._ended = True
        self._pgconn.exit_pipeline_mode()

    def _take(self, count: int) -> PQGen[None]:
        yield from send(self._pgconn)
        for _ in range(count):
            results = yield from fetch_many(self._pgconn)
            for_whom = self._answers.popleft()
            (result,) = results
            if result.status in _FAILED:
                self._forget(for_whom)
                raise _error(result, self._pgconn)
            if isinstance(for_whom, Reply):
                for_whom.take(result)

    def _forget(self, failed: Any) -> None:
        """What was to be prepared and may not have been, is not."""
        for each in (failed, *self._answers):
            if isinstance(each, tuple):
                self._connection.prepared.pop(each, None)

    def _undo(self) -> PQGen[None]:
        self._forget(None)
        # What failed is skipped up to the first of these; only what follows it is done.
        self._sync()
        self._pgconn.send_query_params(b"ROLLBACK", None)
        self._sync()
        yield from send(self._pgconn)
        yield from self._rest()

    def _sync(self) -> None:
        self._pgconn.pipeline_sync()
        self._syncs += 1

    def _rest(self) -> PQGen[None]:
        """Take in all that is still to come, whatever it is."""
        while self._syncs:
            results = yield from fetch_many(self._pgconn)
            if not results:
                raise OperationalError("the connection was lost")
            self._syncs -= results[0].status == pq.ExecStatus.PIPELINE_SYNC


def _error(result: PGresult, pgconn: PGconn) -> Error:
    if result.status == pq.ExecStatus.FATAL_ERROR:
        return error_from_result(result)
    return OperationalError("the pipeline was broken off")
