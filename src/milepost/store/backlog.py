"""What waits to be delivered to webhook endpoints, for the figures. Operator transactions only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from milepost.database import Tx
from milepost.store.pipeline import ask

COUNTED_MAX = 100_000
"""There are not counted more than these: a figure must not cost more than what it tells of."""

BACKLOG = """
SELECT
    (SELECT min(d.next_attempt_at) FROM deliveries d
     WHERE d.status = 'PENDING' AND d.next_attempt_at <= %b
       AND NOT (SELECT o.sandbox FROM orgs o WHERE o.org_id = d.org_id)),
    (SELECT count(*) FROM (SELECT FROM deliveries WHERE status = 'PENDING' LIMIT %b) AS d),
    (SELECT count(*) FROM (SELECT FROM deliveries WHERE status = 'DEAD' LIMIT %b) AS d)
"""


@dataclass(frozen=True, slots=True)
class Backlog:
    """`oldest_at`: since when the oldest delivery of a real organisation that is due has been due.

    `pending` and `dead` are of all organisations, and at most `COUNTED_MAX`.
    """

    oldest_at: datetime | None
    pending: int
    dead: int


async def load_backlog(tx: Tx, now: datetime) -> Backlog | None:
    """What waits at `now`; None where there are no webhooks yet."""
    found = await (await ask(tx, "SELECT to_regclass('public.deliveries') IS NOT NULL")).rows()
    if not found[0][0]:
        return None
    return Backlog(*(await (await ask(tx, BACKLOG, now, COUNTED_MAX, COUNTED_MAX)).rows())[0])
