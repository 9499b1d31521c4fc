"""Deliveries on their way, as the worker sees them: across organisations, as operator."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from milepost.database import Tenant, Tx
from milepost.rules.deliveries import Delivery, Health, Queue, Tried
from milepost.store.pipeline import ask, tell
from milepost.store.shards import on_shards
from milepost.store.webhooks import Endpoint, decode_webhook

ASK_ENDPOINT = """
SELECT o.root_org_id, w.webhook::text, w.secret,
       CASE WHEN w.old_secret_until > clock.now THEN w.old_secret END, w.failures, w.paused_until, clock.now,
       r.sandbox
FROM webhooks w
JOIN orgs o ON o.org_id = w.org_id
JOIN orgs r ON r.org_id = o.root_org_id
CROSS JOIN LATERAL (SELECT coalesce(r.sandbox_now, %b::timestamptz) AS now OFFSET 0) AS clock
WHERE w.org_id = %b AND w.webhook_id = %b AND w.active
"""

# An organisation, and for an endpoint that hears them its children.
ASK_SOURCES = """
SELECT o.org_id, o.root_org_id, EXISTS (SELECT FROM webhook_outbox b WHERE b.org_id = o.org_id)
FROM orgs o WHERE o.org_id = %b OR %b AND o.root_org_id = %b
ORDER BY o.org_id
"""

ASK_LISTENERS = """
SELECT w.org_id, w.webhook::text
FROM webhooks w WHERE w.active AND (w.org_id = %b OR w.org_id = %b AND w.hears_children)
ORDER BY w.org_id, w.webhook_id
"""

ASK_OUTBOX = """
SELECT customer_id, version, webhook_id FROM webhook_outbox WHERE org_id = %b
ORDER BY customer_id, version, webhook_id LIMIT %b
"""

# A commit shows on the coordinator a moment before it shows on the workers, where the entries are: what
# cannot be read yet is left for the next look.
on_shards(
    ASK_OUTBOX,
    """
WITH b AS MATERIALIZED (
    SELECT org_id, customer_id, version, webhook_id FROM webhook_outbox WHERE org_id = %b
    ORDER BY customer_id, version, webhook_id LIMIT %b
), seen AS MATERIALIZED (
    SELECT DISTINCT b.customer_id, b.version FROM b
    JOIN customer_versions v ON v.org_id = b.org_id AND v.customer_id = b.customer_id
        AND v.version >= b.version
)
SELECT customer_id, version, webhook_id FROM b
WHERE customer_id = 0 OR (customer_id, version) IN (SELECT customer_id, version FROM seen)
ORDER BY customer_id, version, webhook_id
""",
)

# Whoever waits for an earlier one of the same customer is due when that is.
EXPAND = """
WITH taken AS (
    DELETE FROM webhook_outbox b
    USING unnest(%b::bigint[], %b::bigint[], %b::text[]) AS t (customer_id, version, webhook_id)
    WHERE b.org_id = %b AND b.customer_id = t.customer_id AND b.version = t.version
      AND b.webhook_id = t.webhook_id
)
INSERT INTO deliveries AS d (org_id, customer_id, webhook_id, source_org_id, version, ordinal, place,
                             event_id, event_name, request_id, ingested_at, next_attempt_at)
SELECT k.org_id, k.customer_id, k.webhook_id, %b, k.version, k.ordinal, k.place, k.event_id::uuid,
       k.event_name, k.request_id, c.now, coalesce(head.next_attempt_at, c.now)
FROM unnest(%b::bigint[], %b::bigint[], %b::text[], %b::bigint[], %b::smallint[], %b::smallint[],
            %b::text[], %b::text[], %b::text[])
    AS k (org_id, customer_id, webhook_id, version, ordinal, place, event_id, event_name, request_id)
CROSS JOIN (SELECT %b::timestamptz AS now) AS c
LEFT JOIN LATERAL (
    SELECT p.next_attempt_at FROM deliveries p
    WHERE p.org_id = k.org_id AND p.webhook_id = k.webhook_id AND p.customer_id = k.customer_id
      AND p.source_org_id = %b AND p.status = 'PENDING'
    ORDER BY p.version, p.ordinal, p.place LIMIT 1
) AS head ON true
ON CONFLICT (org_id, customer_id, webhook_id, source_org_id, version, ordinal, place) DO UPDATE
SET status = 'PENDING', attempts = 0, first_attempt_at = NULL, next_attempt_at = excluded.next_attempt_at
    WHERE d.status <> 'PENDING'
"""

_COLUMNS = """
    d.customer_id, d.source_org_id, d.version, d.ordinal, d.place, d.event_id::text, d.event_name,
    d.attempts, d.next_attempt_at, d.first_attempt_at"""

# The customers who have waited longest, and of each the first that wait: one of these may not be due yet
# while a later one is, if it was tried while that was being added.
ASK_DUE = f"""
SELECT {_COLUMNS}
FROM (
    SELECT DISTINCT customer_id, source_org_id FROM (
        SELECT w.customer_id, w.source_org_id FROM deliveries w
        WHERE w.org_id = %b AND w.webhook_id = %b AND w.status = 'PENDING' AND w.next_attempt_at <= %b
          AND NOT EXISTS (
            SELECT FROM unnest(%b::bigint[], %b::bigint[]) AS busy (customer_id, source_org_id)
            WHERE busy.customer_id = w.customer_id AND busy.source_org_id = w.source_org_id)
        ORDER BY w.next_attempt_at, w.customer_id, w.source_org_id LIMIT %b
    ) AS waiting
) AS queue
CROSS JOIN LATERAL (
    SELECT * FROM deliveries d
    WHERE d.org_id = %b AND d.webhook_id = %b AND d.customer_id = queue.customer_id
      AND d.source_org_id = queue.source_org_id AND d.status = 'PENDING'
    ORDER BY d.version, d.ordinal, d.place LIMIT %b
) AS d
"""  # noqa: S608 - ours

# Updates find their rows one by one and then take them by their place: a join of the keys with the table
# would read all that waits there, as long as the planner believes that this is little. Whoever has an
# endpoint's lock is the only one who changes what is pending there, so no row moves between the two.
SAVE_TRIED = """
UPDATE deliveries d
SET status = k.status, attempts = k.attempts, first_attempt_at = k.first_attempt_at,
    next_attempt_at = k.next_attempt_at, started_at = k.started_at, ended_at = k.ended_at,
    response_status = k.response_status, response = k.response
FROM unnest(%b::bigint[], %b::bigint[], %b::bigint[], %b::smallint[], %b::smallint[], %b::text[],
            %b::integer[], %b::timestamptz[], %b::timestamptz[], %b::timestamptz[], %b::timestamptz[],
            %b::integer[], %b::text[])
    AS k (customer_id, source_org_id, version, ordinal, place, status, attempts, first_attempt_at,
          next_attempt_at, started_at, ended_at, response_status, response)
CROSS JOIN LATERAL (
    SELECT x.ctid AS row FROM deliveries x
    WHERE x.org_id = %b AND x.webhook_id = %b AND x.customer_id = k.customer_id
      AND x.source_org_id = k.source_org_id AND x.version = k.version AND x.ordinal = k.ordinal
      AND x.place = k.place AND x.status = 'PENDING' OFFSET 0
) AS found
WHERE d.ctid = found.row AND d.status = 'PENDING'
"""

HOLD_BACK = """
UPDATE deliveries d SET next_attempt_at = k.next_attempt_at
FROM unnest(%b::bigint[], %b::bigint[], %b::timestamptz[]) AS k (customer_id, source_org_id, next_attempt_at)
CROSS JOIN LATERAL (
    SELECT x.ctid AS row FROM deliveries x
    WHERE x.org_id = %b AND x.webhook_id = %b AND x.customer_id = k.customer_id
      AND x.source_org_id = k.source_org_id AND x.status = 'PENDING'
      AND x.next_attempt_at < k.next_attempt_at OFFSET 0
) AS found
WHERE d.ctid = found.row AND d.status = 'PENDING'
"""

SAVE_HEALTH = """
UPDATE webhooks SET failures = %b, paused_until = %b
WHERE org_id = %b AND webhook_id = %b AND (failures, paused_until) IS DISTINCT FROM (%b, %b::timestamptz)
"""

RING = "SELECT jobs.ring_deliveries(%b)"

ASK_REPLAY = """
SELECT since, coalesce(cursor_org_id, 0), coalesce(cursor_customer_id, -1) FROM webhook_replays
WHERE org_id = %b AND webhook_id = %b
"""

ASK_REPLAYED_CUSTOMERS = """
SELECT org_id, customer_id FROM (
    SELECT v.org_id, v.customer_id FROM customer_versions v WHERE v.org_id = ANY (%b::bigint[])
    UNION ALL SELECT org_id, 0 FROM unnest(%b::bigint[]) AS o (org_id)
) AS c
WHERE (org_id, customer_id) > (%b::bigint, %b::bigint)
ORDER BY org_id, customer_id LIMIT %b
"""

REPLAY_PAGE = """
INSERT INTO webhook_outbox (org_id, customer_id, version, webhook_id)
SELECT DISTINCT k.org_id, k.customer_id, j.version, %b
FROM unnest(%b::bigint[], %b::bigint[]) AS k (org_id, customer_id)
CROSS JOIN LATERAL (
    SELECT version FROM journal
    WHERE org_id = k.org_id AND customer_id = k.customer_id AND at >= %b AND k.customer_id <> 0
    UNION ALL
    SELECT revision FROM promotion_changes WHERE org_id = k.org_id AND at >= %b AND k.customer_id = 0
    OFFSET 0
) AS j
ON CONFLICT DO NOTHING
"""

on_shards(
    REPLAY_PAGE,
    """
WITH w AS (SELECT %b::text AS webhook_id),
k AS MATERIALIZED (
    SELECT org_id, customer_id FROM unnest(%b::bigint[], %b::bigint[]) AS k (org_id, customer_id)
), j AS MATERIALIZED (
    SELECT DISTINCT j.org_id, j.customer_id, j.version
    FROM journal j JOIN k ON k.org_id = j.org_id AND k.customer_id = j.customer_id
    WHERE j.at >= %b AND k.customer_id <> 0
)
INSERT INTO webhook_outbox (org_id, customer_id, version, webhook_id)
SELECT j.org_id, j.customer_id, j.version, w.webhook_id FROM j, w
UNION ALL
SELECT p.org_id, 0, p.revision, w.webhook_id FROM promotion_changes p, w
WHERE p.at >= %b AND p.org_id IN (SELECT org_id FROM k WHERE customer_id = 0)
ON CONFLICT DO NOTHING
""",
)

MOVE_REPLAY = """
UPDATE webhook_replays SET cursor_org_id = %b, cursor_customer_id = %b WHERE org_id = %b AND webhook_id = %b
"""

END_REPLAY = "DELETE FROM webhook_replays WHERE org_id = %b AND webhook_id = %b AND since = %b"

CLEAR_LOG = """
DELETE FROM deliveries d USING (
    SELECT old.* FROM orgs o JOIN orgs r ON r.org_id = o.root_org_id
    CROSS JOIN LATERAL (
        SELECT x.org_id, x.ctid AS place FROM deliveries x
        WHERE x.org_id = o.org_id AND x.status = 'DELIVERED'
          AND x.ended_at < coalesce(r.sandbox_now, %b::timestamptz) - %b::interval
        ORDER BY x.ended_at LIMIT %b
    ) AS old
) AS gone
WHERE d.ctid = gone.place AND d.org_id = gone.org_id AND d.status = 'DELIVERED'
"""

CLEAR_OUTBOX = """
DELETE FROM webhook_outbox b USING orgs o WHERE o.org_id = b.org_id AND NOT o.is_notified
"""


@dataclass(frozen=True, slots=True)
class Source:
    """An organisation that an endpoint is told of, and whether anything there waits to be looked at."""

    tenant: Tenant
    is_waiting: bool


@dataclass(frozen=True, slots=True)
class Expected:
    """A notification that an endpoint, of `org_id`, has to be told."""

    org_id: int
    webhook_id: str
    customer_id: int
    version: int
    ordinal: int
    place: int
    event_id: str
    event_name: str
    request_id: str


async def ring_deliveries(tx: Tx, wall_now: datetime) -> None:
    """Set a job for each endpoint at which something is due, unless it has one that nobody has begun."""
    await tell(tx, RING, wall_now)


async def load_endpoint(
    tx: Tx, org_id: int, webhook_id: str, wall_now: datetime
) -> Endpoint | None:
    """An active endpoint; None if it is none, or none any more."""
    rows = await (await ask(tx, ASK_ENDPOINT, wall_now, org_id, webhook_id)).rows()
    if not rows:
        return None
    root_org_id, text, secret, old_secret, failures, paused_until, now, is_sandbox = rows[0]
    return Endpoint(
        Tenant(org_id, root_org_id),
        decode_webhook(text),
        (secret, old_secret) if old_secret is not None else (secret,),
        Health(failures, paused_until),
        now,
        is_sandbox,
    )


async def load_sources(tx: Tx, endpoint: Endpoint) -> list[Source]:
    """The organisations that an endpoint is told of."""
    org_id = endpoint.tenant.org_id
    reply = await ask(tx, ASK_SOURCES, org_id, endpoint.webhook.hears_children, org_id)
    return [Source(Tenant(org, root), waiting) for org, root, waiting in await reply.rows()]


async def load_listeners(tx: Tx, source: Tenant) -> list[tuple[int, str]]:
    """Every active endpoint that is told of an organisation: whose it is, and itself as text."""
    return list(await (await ask(tx, ASK_LISTENERS, source.org_id, source.root_org_id)).rows())


async def load_outbox(tx: Tx, source: Tenant, limit: int) -> list[tuple[int, int, str]]:
    """Customer id, version, and the endpoint if it is to be told alone; each customer's in order."""
    return list(await (await ask(tx, ASK_OUTBOX, source.org_id, limit)).rows())


async def expand(
    tx: Tx,
    source: Tenant,
    taken: Sequence[tuple[int, int, str]],
    expected: Sequence[Expected],
    now: datetime,
) -> None:
    """Make deliveries of what was taken from the outbox; those that there are go again."""
    of_taken = [list(column) for column in zip(*taken, strict=True)]
    columns = [
        [each.org_id for each in expected],
        [each.customer_id for each in expected],
        [each.webhook_id for each in expected],
        [each.version for each in expected],
        [each.ordinal for each in expected],
        [each.place for each in expected],
        [each.event_id for each in expected],
        [each.event_name for each in expected],
        [each.request_id for each in expected],
    ]
    await tell(tx, EXPAND, *of_taken, source.org_id, source.org_id, *columns, now, source.org_id)


async def load_due(
    tx: Tx, endpoint: Endpoint, busy: Collection[Queue], limit: int, each_limit: int
) -> list[Delivery]:
    """The first deliveries of those who have one due, by customer, in order; not of those that are `busy`."""
    key = (endpoint.tenant.org_id, endpoint.webhook.id)
    reply = await ask(
        tx,
        ASK_DUE,
        *key,
        endpoint.now,
        [queue[0] for queue in busy],
        [queue[1] for queue in busy],
        limit,
        *key,
        each_limit,
    )
    return [Delivery(*row) for row in await reply.rows()]


async def save_tried(tx: Tx, endpoint: Endpoint, tried: Sequence[Tried]) -> None:
    """What came of the tries."""
    columns = [
        (
            each.delivery.customer_id, each.delivery.source_org_id, each.delivery.version,
            each.delivery.ordinal, each.delivery.place, each.status, each.delivery.attempts,
            each.delivery.first_attempt_at, each.next_attempt_at, each.started_at,
            each.ended_at, each.answer.status, each.answer.text,
        )
        for each in tried
    ]  # fmt: skip
    if columns:
        of_key = (endpoint.tenant.org_id, endpoint.webhook.id)
        await tell(tx, SAVE_TRIED, *map(list, zip(*columns, strict=True)), *of_key)


async def hold_back(tx: Tx, endpoint: Endpoint, until: Sequence[tuple[Queue, datetime]]) -> None:
    """Let those who wait behind another be due when that is: then nobody looks at them before."""
    if until:
        await tell(
            tx,
            HOLD_BACK,
            [queue[0] for queue, _ in until],
            [queue[1] for queue, _ in until],
            [at for _, at in until],
            endpoint.tenant.org_id,
            endpoint.webhook.id,
        )


async def save_health(tx: Tx, endpoint: Endpoint, health: Health) -> None:
    """How the endpoint does now."""
    values = (health.failures, health.paused_until)
    await tell(tx, SAVE_HEALTH, *values, endpoint.tenant.org_id, endpoint.webhook.id, *values)


async def load_replay(tx: Tx, endpoint: Endpoint) -> tuple[datetime, int, int] | None:
    """Since when everything is to be told again, and behind which organisation and customer to go on."""
    reply = await ask(tx, ASK_REPLAY, endpoint.tenant.org_id, endpoint.webhook.id)
    rows = await reply.rows()
    return rows[0] if rows else None


async def replay_page(
    tx: Tx,
    endpoint: Endpoint,
    sources: Sequence[Tenant],
    replay: tuple[datetime, int, int],
    limit: int,
) -> None:
    """Put what happened to the next customers into the outbox again, for this endpoint alone."""
    since, cursor_org_id, cursor_customer_id = replay
    key = (endpoint.tenant.org_id, endpoint.webhook.id)
    org_ids = [source.org_id for source in sources]
    reply = await ask(
        tx, ASK_REPLAYED_CUSTOMERS, org_ids, org_ids, cursor_org_id, cursor_customer_id, limit
    )
    page = await reply.rows()
    if page:
        columns = ([org for org, _ in page], [customer for _, customer in page])
        await tell(tx, REPLAY_PAGE, endpoint.webhook.id, *columns, since, since)
        await tell(tx, MOVE_REPLAY, *page[-1], *key)
    if len(page) < limit:
        await tell(tx, END_REPLAY, *key, since)


async def clear(tx: Tx, wall_now: datetime, log_days: float, limit: int) -> None:
    """Forget what was delivered long ago, `limit` of each organisation at most, and what nobody hears."""
    await tell(tx, CLEAR_LOG, wall_now, timedelta(days=log_days), limit)
    await tell(tx, CLEAR_OUTBOX)
