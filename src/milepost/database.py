"""Connections: two pools, two roles, and what every session of either is set to.

The service logs in as the owner of the tables and takes `milepost_app` (requests: row-level security
by organisation) or `milepost_operator` (operator API, credentials, clock) as the connection's own
role at start-up, so even `RESET ROLE` stays inside it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import AsyncConnection, conninfo, sql
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from milepost.migrate import HAS_CITUS, IS_DISTRIBUTED
from milepost.settings import Settings
from milepost.transaction import SILENCE_SECONDS, Connection, Transaction

Tx = Transaction
"""An open transaction: what store functions take. They neither begin nor end it."""

# The planner decides anew with the real sizes at each execution: a plan made while the tables were
# empty is the difference between 2,000 and 9,000 enrolments a second (house law 3). Views
# of a customer are an exception: `pipeline.keep_plans`.
SESSION = {
    "plan_cache_mode": "force_custom_plan",
    "jit": "off",
    "timezone": "UTC",
    "lock_timeout": "5s",
    "idle_in_transaction_session_timeout": "30s",
}


SNAPSHOT = b"ISOLATION LEVEL REPEATABLE READ READ ONLY"
# Told to a session on a distributed database (`distribution.py`). What a transaction is set to with SET LOCAL
# holds on the workers too; writes of several customers don't wait for one another shard by shard, which only
# copies of a shard would need; and a session has one connection to each worker, so that those can be counted.
ON_SHARDS = """
SET citus.propagate_set_commands = 'local';
SET citus.all_modifications_commutative = on;
SET citus.max_adaptive_executor_pool_size = 1
"""

# A server that vanished, with its machine or the way to it, is noticed in about so long, on connections at
# rest too; on a unix socket none of this has a meaning.
PATIENCE = {
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "20000",
}
PING_SECONDS = 5.0
_checking: set[asyncio.Task[None]] = set()


class DatabaseUnavailable(Exception):
    """No connection, a broken one, or a statement over its time. Nothing secret in the text."""


@dataclass(frozen=True, slots=True)
class Tenant:
    """For whom a transaction runs: the organisation, and the root of its connected hierarchy."""

    org_id: int
    root_org_id: int


@dataclass(frozen=True, slots=True)
class Database:
    """The pools of one process. `url` is the owner's."""

    url: str
    app: AsyncConnectionPool[Connection]
    operator: AsyncConnectionPool[Connection]

    async def open(self) -> None:
        """Start both pools without waiting for a first connection."""
        await self.app.open()
        await self.operator.open()

    async def close(self) -> None:
        """Close every connection; those in use when they come back."""
        await self.app.close(timeout=2)
        await self.operator.close(timeout=2)

    def use_of_pools(self) -> dict[str, tuple[int, int, int]]:
        """By pool: connections in use, idle ones, and transactions that wait for one."""
        found = {}
        for pool in (self.app, self.operator):
            stats = pool.get_stats()
            idle = stats.get("pool_available", 0)
            used = stats.get("pool_size", 0) - idle
            found[pool.name] = (used, idle, stats.get("requests_waiting", 0))
        return found

    async def ping(self) -> None:
        """Ask the database for nothing, on a sound connection; raises `DatabaseUnavailable`."""
        asking = _beside(self._ask_for_nothing())
        # Not `asyncio.timeout`: to cancel what a silent server was asked takes as long again.
        await asyncio.wait((asking,), timeout=PING_SECONDS)
        if not asking.done():
            asking.cancel()
            raise DatabaseUnavailable("timeout")
        asking.result()

    async def _ask_for_nothing(self) -> None:
        await self.app.check()
        async with self.transaction() as tx:
            await tx.ask("SELECT").rows()

    async def _check(self) -> None:
        await asyncio.gather(self.app.check(), self.operator.check())

    async def notifications(self, channel: str) -> AsyncIterator[str]:
        """The payloads of a channel as they come; raises `DatabaseUnavailable` when that ends."""
        try:
            async with await AsyncConnection.connect(
                self.url, autocommit=True, application_name="milepost_listener", connect_timeout=5
            ) as connection:
                await connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
                async for notification in connection.notifies():
                    yield notification.payload
        except psycopg.OperationalError as error:
            raise DatabaseUnavailable(type(error).__name__) from error

    @asynccontextmanager
    async def transaction(
        self, *, operator: bool = False, snapshot: bool = False
    ) -> AsyncIterator[Tx]:
        """A transaction: committed at the end unless it was before, rolled back on any exception.

        A `snapshot` reads all of it as of one moment, and cannot write. Raises `DatabaseUnavailable` when
        there is no connection, it breaks, or a lock or statement takes too long; other database errors,
        `CONFLICTS` among them, pass through.
        """
        pool = self.operator if operator else self.app
        try:
            connection = await pool.getconn()
            try:
                tx = Transaction(connection, SNAPSHOT if snapshot else b"")
                try:
                    yield tx
                    await tx.commit()
                finally:
                    await tx.end()
            finally:
                await pool.putconn(connection)
        except (PoolTimeout, psycopg.OperationalError) as error:
            if isinstance(error, CONFLICTS):
                raise
            if not isinstance(error, PoolTimeout):
                # Its neighbours broke with it: replaced now, they fail nobody else.
                _ = _beside(self._check())
            raise DatabaseUnavailable(type(error).__name__) from error


def _beside(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """A task that somebody may, and nobody need, wait for."""
    task = asyncio.create_task(work)
    _checking.add(task)

    def ended(task: asyncio.Task[None]) -> None:
        _checking.discard(task)
        if not task.cancelled():
            task.exception()  # that is enough to say that it is known

    task.add_done_callback(ended)
    return task


@asynccontextmanager
async def owner_transaction(url: str) -> AsyncIterator[Tx]:
    """A transaction on a connection of its own, in no role but the owner's, that can only read.

    Raises `DatabaseUnavailable`.
    """
    try:
        async with await Connection.connect(
            url, autocommit=True, application_name="milepost_doctor", connect_timeout=5
        ) as connection:
            await _recognise(connection)
            tx = Transaction(connection, SNAPSHOT)
            try:
                yield tx
            finally:
                await tx.end()
    except psycopg.Error as error:
        raise DatabaseUnavailable(str(error).strip() or type(error).__name__) from error


CONFLICTS = (psycopg.errors.SerializationFailure, psycopg.errors.DeadlockDetected)
"""Operational errors that say: begin the transaction anew. Nothing of it was done."""


def database(url: str, settings: Settings) -> Database:
    """The pools for `url`, not yet open."""
    url = patient(url)
    return Database(
        url,
        app=_pool(url, "milepost_app", settings.pool_size_max, settings),
        operator=_pool(url, "milepost_operator", 2, settings),
    )


def jobs_pool(url: str, settings: Settings) -> AsyncConnectionPool[Connection]:
    """The connections of the worker's job queue, which lives in a schema of its own; not yet open."""
    return _pool(patient(url), "milepost_operator", 2, settings, search_path="jobs")


def patient(url: str) -> str:
    """The URL with bounds on how long a vanished server is believed in, where it says nothing of its own."""
    return conninfo.make_conninfo("", **{**PATIENCE, **conninfo.conninfo_to_dict(url)})


def _pool(
    url: str, role: str, size_max: int, settings: Settings, **more: str
) -> AsyncConnectionPool[Connection]:
    """The connections of a role; through the pooler if there is one, unless they need `more` of a session."""
    pooled = bool(settings.pooler_url) and not more
    if pooled:
        # Whoever shares sessions by transaction passes nothing of a session on: the role itself logs in, and
        # brings its settings; a statement that was prepared may be another session's.
        info = conninfo.make_conninfo(
            patient(settings.pooler_url), user=role, application_name=role
        )
    else:
        info = _direct(url, role, settings, more)

    class Bounded(Connection):
        silence_seconds = settings.statement_timeout_seconds + SILENCE_SECONDS

    return AsyncConnectionPool(
        info,
        connection_class=Bounded,
        configure=recogniser(role, pooled=pooled),
        kwargs={"prepare_threshold": None if pooled else 5, "connect_timeout": 5},
        min_size=1,
        max_size=size_max,
        max_waiting=1_000,
        timeout=settings.pool_timeout_seconds,
        max_lifetime=30 * 60,
        reconnect_timeout=60,
        open=False,
        name=role,
    )


def _direct(url: str, role: str, settings: Settings, more: dict[str, str]) -> str:
    session = {
        **SESSION,
        "role": role,
        "statement_timeout": f"{int(settings.statement_timeout_seconds * 1000)}ms",
        **more,
    }
    options = " ".join(f"-c {name}={value}" for name, value in session.items())
    given = conninfo.conninfo_to_dict(url)
    if given.get("options"):
        options = f"{given['options']} {options}"
    return conninfo.make_conninfo(url, options=options, application_name=role)


def recogniser(role: str, *, pooled: bool) -> Callable[[Connection], Awaitable[None]]:
    """What each new connection of a pool is asked."""

    async def recognise(connection: Connection) -> None:
        await connection.set_autocommit(True)
        # As the owner, nothing would be hidden from anybody: a pooler may leave start-up options out.
        if (user := await _ask(connection, "SELECT current_user::text")) != role:
            raise psycopg.OperationalError(f"the connection is {user}'s and not {role}'s")
        connection.keeps_statements = not pooled
        await _recognise(connection, pooled=pooled)
        await connection.set_autocommit(False)

    return recognise


async def _recognise(connection: Connection, *, pooled: bool = False) -> None:
    """Find out whether a new connection's database is distributed, and set the session to it."""
    if await _ask(connection, HAS_CITUS) and await _ask(connection, IS_DISTRIBUTED):
        connection.is_distributed = True
        for setting in () if pooled else ON_SHARDS.split(";"):
            await connection.execute(setting.encode())


async def _ask(connection: Connection, question: str) -> object:
    row = await (await connection.execute(question.encode())).fetchone()
    return row[0] if row else None
