"""What waits to be delivered to webhook endpoints, for the figures. Operator transactions only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from milepost.database import Tx
from milepost.store.pipeline import ask

COUNTED_MAX = 100_000
"""There are not counted more than these: a figure must not cost more than what it tells of."""

# By endpoint, whose index gives the oldest at once. What waits because its receiver is away is not late.
BACKLOG = """
SELECT
    (SELECT min(d.next_attempt_at)
     FROM webhooks w
     JOIN orgs o ON o.org_id = w.org_id AND NOT o.sandbox
     CROSS JOIN LATERAL (
         SELECT d.next_attempt_at FROM deliveries d
         WHERE d.org_id = w.org_id AND d.webhook_id = w.webhook_id AND d.status = 'PENDING'
         ORDER BY d.next_attempt_at LIMIT 1
     ) AS d
     WHERE w.active AND (w.paused_until IS NULL OR w.paused_until <= %b) AND d.next_attempt_at <= %b),
    (SELECT count(*) FROM (SELECT FROM deliveries WHERE status = 'PENDING' LIMIT %b) AS d),
    (SELECT count(*) FROM (SELECT FROM deliveries WHERE status = 'DEAD' LIMIT %b) AS d)
"""


@dataclass(frozen=True, slots=True)
class Backlog:
    """`oldest_at`: since when the oldest delivery of a real organisation that is due has been due, at
    endpoints that are not paused.

    `pending` and `dead` are of all organisations, and at most `COUNTED_MAX`.
    """

    oldest_at: datetime | None
    pending: int
    dead: int


async def load_backlog(tx: Tx, now: datetime) -> Backlog:
    """What waits at `now`."""
    reply = await ask(tx, BACKLOG, now, now, COUNTED_MAX, COUNTED_MAX)
    return Backlog(*(await reply.rows())[0])
