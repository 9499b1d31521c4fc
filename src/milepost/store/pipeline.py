"""The shape of a pipelined question: send now, fetch later."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from psycopg import AsyncCursor

from milepost.database import Tenant, Tx

Rows = Sequence[tuple[Any, ...]]


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
    return Reply(cursor)


async def tell(tx: Tx, sql: str, *parameters: object) -> None:
    """Send one statement whose rows nobody reads; an error shows at the next wait, or at commit."""
    await tx.cursor().execute(sql, parameters)


async def act_for(tx: Tx, tenant: Tenant) -> None:
    """Show this transaction the rows of one organisation, and its hierarchy's customers, only."""
    await tell(
        tx,
        "SELECT set_config('milepost.org_id', %s, true), set_config('milepost.root_org_id', %s, true)",
        str(tenant.org_id),
        str(tenant.root_org_id),
    )
