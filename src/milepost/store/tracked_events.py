"""What a target counted of one customer, event by event: a fixed number of statements, sent in one go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from milepost.database import Tenant, Tx
from milepost.rules.effects import entry_id
from milepost.rules.reasons import ACTIVITY, COUNTED
from milepost.store.pipeline import ask
from milepost.store.views import ASK_CUSTOMER

# An activity is one event of a target in a cycle, however many amounts it brought there.
_TRACKED = f"""
SELECT version, ordinal, at, reason AS kind, details ->> 'eventName' AS name,
       details ->> 'activity' AS unique_id, (details ->> 'occurredAt')::timestamptz AS occurred_at,
       e.period_id, e.amount
FROM journal j
CROSS JOIN LATERAL (
    SELECT (effect ->> 2)::bigint AS period_id, sum((effect ->> 5)::numeric) AS amount
    FROM jsonb_array_elements(j.details -> 'effects') AS effect
    WHERE (effect ->> 1)::bigint = %b AND effect ->> 3 = ANY ('{{{", ".join(COUNTED)}}}')
    GROUP BY 1 OFFSET 0
) AS e
WHERE j.org_id = %b AND j.customer_id = %b AND j.what = '{ACTIVITY}'
UNION ALL
SELECT version, ordinal, at, what, NULL, request_id, at, period_id,
       coalesce((details ->> 'balance')::numeric, 0)
FROM journal
WHERE org_id = %b AND customer_id = %b AND target_id = %b AND what IN ('ENROLLED', 'UNENROLLED')
"""  # noqa: S608
ASK_TRACKED_EVENTS = f"""
WITH tracked AS (
    SELECT * FROM ({_TRACKED}) AS t WHERE %b::bigint IS NULL OR period_id = %b
)
SELECT (SELECT count(*) FROM tracked), page.*
FROM (VALUES (1)) AS one
LEFT JOIN LATERAL (
    SELECT * FROM tracked ORDER BY coalesce(occurred_at, at), version, ordinal, period_id
    LIMIT %b OFFSET %b
) AS page ON true
"""  # noqa: S608
ASK_ENROLLED_ONCE = """
SELECT FROM enrolments WHERE org_id = %b AND customer_id = %b AND target_id = %b LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class TrackedEvent:
    """An event that a target counted, or an enrolment in it or unenrolment from it.

    `kind` is the activity's type, else ENROLLED or UNENROLLED. `unique_id` is the activity's id, else
    that of the request. `occurred_at` is its own date, `at` when it was received.
    """

    id: int
    at: datetime
    kind: str
    name: str | None
    unique_id: str | None
    occurred_at: datetime
    period_id: int | None
    amount: Decimal


@dataclass(frozen=True, slots=True)
class TrackedPage:
    """One page of a target's events; `total` counts those of all pages."""

    events: Sequence[TrackedEvent]
    total: int
    enrolled: bool
    """Whether the customer ever was in the target."""


async def load_tracked_events(
    tx: Tx,
    tenant: Tenant,
    customer_id: int,
    target_id: int,
    period_id: int | None,
    limit: int,
    offset: int,
) -> TrackedPage | None:
    """`limit` of a target's events for the customer after the first `offset`, by their dates.

    Those of one cycle, unless `period_id` is None. Three statements, one round trip.
    """
    member = (tenant.org_id, customer_id)
    customer = await ask(tx, ASK_CUSTOMER, tenant.root_org_id, customer_id)
    enrolled = await ask(tx, ASK_ENROLLED_ONCE, *member, target_id)
    events = await ask(
        tx,
        ASK_TRACKED_EVENTS,
        target_id,
        *member,
        *member,
        target_id,
        period_id,
        period_id,
        limit,
        offset,
    )
    if not await customer.rows():
        return None
    rows = await events.rows()
    return TrackedPage(
        [_tracked_event(*row) for _, *row in rows if row[0] is not None],
        rows[0][0],
        bool(await enrolled.rows()),
    )


def _tracked_event(version: int, ordinal: int, at: datetime, *columns: Any) -> TrackedEvent:
    kind, name, unique_id, occurred_at, period_id, amount = columns
    line_id = entry_id(version, ordinal)
    return TrackedEvent(line_id, at, kind, name, unique_id, occurred_at or at, period_id, amount)
