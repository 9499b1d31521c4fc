"""The first answers of requests with an `Idempotency-Key` (contract §9)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from milepost.database import Tenant, Tx
from milepost.store.pipeline import Reply, ask

FORGET_ROWS_MAX = 10_000


@dataclass(frozen=True, slots=True)
class FirstAnswer:
    """What is kept of a request: `org_id` called, `fingerprint` stands for all that it asked.

    `customer_ids` are those whom it was about: once one is erased, the answer goes.
    """

    org_id: int
    key: str
    fingerprint: bytes
    status: int
    content: bytes
    customer_ids: tuple[int, ...] = ()


async def ask_keep_answers(tx: Tx, answers: Sequence[FirstAnswer], now: datetime) -> Reply:
    """Keep answers; the rows are the places of those whose key is taken: undo the transaction then."""
    return await ask(
        tx,
        "SELECT keep_answers(%b::bigint[], %b::text[], %b::bytea[], %b::smallint[], %b::bytea[], "
        "%b::text[], %b)",
        [each.org_id for each in answers],
        [each.key for each in answers],
        [each.fingerprint for each in answers],
        [each.status for each in answers],
        [each.content for each in answers],
        [_array(each.customer_ids) for each in answers],
        now,
    )


async def load_answer(tx: Tx, tenant: Tenant, key: str) -> FirstAnswer | None:
    """The first answer under a key of the organisation."""
    reply = await ask(
        tx,
        "SELECT org_id, key, fingerprint, status, answer FROM idempotency_keys "
        "WHERE org_id = %b AND key = %b",
        tenant.org_id,
        key,
    )
    rows = await reply.rows()
    return FirstAnswer(*rows[0]) if rows else None


async def forget_answers(tx: Tx, before: datetime) -> int:
    """Delete answers given before an instant, as operator; how many: at most `FORGET_ROWS_MAX`."""
    reply = await ask(
        tx,
        """
        DELETE FROM idempotency_keys k USING (
            SELECT org_id, key FROM idempotency_keys WHERE answered_at < %b LIMIT %b
        ) old
        WHERE k.org_id = old.org_id AND k.key = old.key
        RETURNING 1
        """,
        before,
        FORGET_ROWS_MAX,
    )
    return len(await reply.rows())


def _array(customer_ids: tuple[int, ...]) -> str | None:
    return f"{{{','.join(map(str, customer_ids))}}}" if customer_ids else None
