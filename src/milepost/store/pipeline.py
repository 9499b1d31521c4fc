"""The shape of a pipelined question: send now, fetch later."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from psycopg import AsyncCursor
from psycopg.abc import PQGen
from psycopg.pq.abc import PGconn
from psycopg.waiting import Ready, Wait

from milepost.database import Tenant, Tx

Rows = Sequence[tuple[Any, ...]]

_ACT_FOR = """
SELECT set_config('milepost.org_id', %s, true), set_config('milepost.root_org_id', %s, true)"""
# Two hierarchies that share a lock, because their ids are 2^31 apart, wait for each other needlessly.
_AMONG_WRITERS = ", pg_advisory_xact_lock_shared(1, (%s::bigint & 2147483647)::integer)"


class Reply:
    """The answer of a statement that has been sent down the pipeline."""

    __slots__ = ("_cursor",)

    def __init__(self, cursor: AsyncCursor[tuple[Any, ...]]) -> None:
        self._cursor = cursor

    async def rows(self) -> Rows:
        """Wait for the answer, and for all that was sent before it. Call it once."""
        return await self._cursor.fetchall()


async def ask(tx: Tx, sql: str, *parameters: object) -> Reply:
    """Send one statement. Inside a pipeline this does not wait."""
    cursor = tx.cursor(binary=True)
    await cursor.execute(sql, parameters)
    await _send_all(tx)
    return Reply(cursor)


async def tell(tx: Tx, sql: str, *parameters: object) -> None:
    """Send one statement whose rows nobody reads; an error shows at the next wait, or at commit."""
    await tx.cursor().execute(sql, parameters)
    await _send_all(tx)


async def act_for(tx: Tx, tenant: Tenant, *, writes: bool = False) -> None:
    """Show this transaction the rows of one organisation, and its hierarchy's customers, only.

    One that writes is waited for by `await_writers`: send this before anything that reads the clock.
    """
    shown = [str(tenant.org_id), str(tenant.root_org_id)]
    if writes:
        await tell(tx, _ACT_FOR + _AMONG_WRITERS, *shown, tenant.root_org_id)
    else:
        await tell(tx, _ACT_FOR, *shown)


async def await_writers(tx: Tx, root_org_id: int) -> None:
    """Wait until everything that a hierarchy is writing now has been committed or undone.

    What begins meanwhile waits until this transaction ends. So nothing that was decided before an
    instant is still on its way when what falls due at that instant is done after this.
    """
    await tell(
        tx, "SELECT pg_advisory_xact_lock(1, (%s::bigint & 2147483647)::integer)", root_org_id
    )


async def take_turn(tx: Tx, tenant: Tenant) -> None:
    """Wait until no other transaction is in the middle of this organisation's due work."""
    await tell(
        tx, "SELECT pg_advisory_xact_lock(2, (%s::bigint & 2147483647)::integer)", tenant.org_id
    )


async def _send_all(tx: Tx) -> None:
    """Wait until the statement has left this process.

    In a pipeline psycopg tries to send once. What the socket does not take at that moment, of a large
    statement, it leaves behind, and then waits for an answer to what was never sent.
    """
    if tx.pgconn.flush():
        await tx.wait(_sending(tx.pgconn))


def _sending(connection: PGconn) -> PQGen[None]:
    while connection.flush():
        ready = yield Wait.RW
        if ready & Ready.R:
            # The server must not wait for us either, with its answers to earlier statements.
            connection.consume_input()
