"""The shape of a question: write it down now, wait for its answer later."""

from __future__ import annotations

from milepost.database import Tenant, Tx
from milepost.store.shards import as_on_shards
from milepost.transaction import Reply, Rows

__all__ = (
    "Reply",
    "Rows",
    "act_for",
    "ask",
    "await_writers",
    "keep_plans",
    "statement_on",
    "take_turn",
    "tell",
)

_ACT_FOR = """
SELECT set_config('milepost.org_id', %s, true), set_config('milepost.root_org_id', %s, true)"""
_KEEP_PLANS = "SELECT set_config('plan_cache_mode', 'auto', true)"
# Two hierarchies that share a lock, because their ids are 2^31 apart, wait for each other needlessly.
_AMONG_WRITERS = "pg_advisory_xact_lock_shared(1, (%s::bigint & 2147483647)::integer)"


async def ask(tx: Tx, sql: str, *parameters: object) -> Reply:
    """Write one statement down. It is sent with the next answer that is waited for."""
    return tx.ask(statement_on(tx, sql), parameters)


async def tell(tx: Tx, sql: str, *parameters: object) -> None:
    """The same for a statement whose rows nobody reads; an error shows at the next wait, or at commit."""
    tx.ask(statement_on(tx, sql), parameters)


def statement_on(tx: Tx, sql: str) -> str:
    """The statement as it is on the database of the transaction, be it one server or several."""
    return as_on_shards(sql) if tx.is_distributed else sql


async def act_for(tx: Tx, tenant: Tenant, *, writes: bool = False) -> None:
    """Show this transaction the rows of one organisation, and its hierarchy's customers, only.

    One that writes is waited for by `await_writers`: send this before anything that reads the clock.
    """
    if tx.is_distributed:
        # The workers are told what SET LOCAL says, and not what set_config() does.
        tx.set_local("milepost.org_id", tenant.org_id)
        tx.set_local("milepost.root_org_id", tenant.root_org_id)
        if writes:
            await tell(tx, f"SELECT {_AMONG_WRITERS}", tenant.root_org_id)
        return
    shown = [str(tenant.org_id), str(tenant.root_org_id)]
    if writes:
        await tell(tx, f"{_ACT_FOR}, {_AMONG_WRITERS}", *shown, tenant.root_org_id)
    else:
        await tell(tx, _ACT_FOR, *shown)


async def keep_plans(tx: Tx) -> None:
    """From here to the transaction's end PostgreSQL may plan a statement once for all its parameters.

    For lookups of a few rows by key, whose plan is one and the same with any statistics and takes longer to
    find than the rows. On shards each statement is planned where it is done, as ever.
    """
    if not tx.is_distributed:
        await tell(tx, _KEEP_PLANS)


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
