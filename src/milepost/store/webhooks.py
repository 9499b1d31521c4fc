"""Webhook endpoints with their secrets, and the log of what was delivered to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec

from milepost.database import Tenant, Tx
from milepost.rules.deliveries import Health
from milepost.rules.webhooks import Webhook
from milepost.store.pipeline import ask, await_writers, tell

ASK_WEBHOOKS = "SELECT webhook::text FROM webhooks WHERE org_id = %b ORDER BY webhook_id"

SAVE_WEBHOOK = """
INSERT INTO webhooks (org_id, webhook_id, name_key, active, hears_children, webhook, secret)
VALUES (%b, %b, %b, %b, %b, %b::jsonb, %b)
ON CONFLICT (org_id, webhook_id) DO UPDATE
SET name_key = excluded.name_key, active = excluded.active, hears_children = excluded.hears_children,
    webhook = excluded.webhook, failures = 0, paused_until = NULL
"""

ROTATE = """
UPDATE webhooks SET old_secret = secret, old_secret_until = %b, secret = %b
WHERE org_id = %b AND webhook_id = %b
"""

DELETE_WEBHOOK = """
WITH pending AS (
    DELETE FROM deliveries WHERE org_id = %b AND webhook_id = %b AND status = 'PENDING'
), replay AS (
    DELETE FROM webhook_replays WHERE org_id = %b AND webhook_id = %b
)
DELETE FROM webhooks WHERE org_id = %b AND webhook_id = %b
"""

NOTE_WEBHOOKS = "SELECT note_webhooks()"

_LINES = """
SELECT org_id, customer_id, webhook_id, source_org_id, event_id::text, event_name, request_id, ingested_at,
       status, attempts, next_attempt_at, first_attempt_at, started_at, ended_at, response_status, response
FROM deliveries WHERE org_id = %b
"""
ASK_OF_EVENT = f"{_LINES} AND event_id = %b::uuid ORDER BY webhook_id LIMIT %b"
ASK_OF_REQUEST = f"""{_LINES} AND request_id = %b AND (%b::bigint IS NULL OR source_org_id = %b)
ORDER BY customer_id, webhook_id, source_org_id, version, ordinal, place LIMIT %b
"""
# By the key, and not by time: what is there stays where it is from one page to the next.
ASK_OF_WEBHOOK = f"""{_LINES} AND webhook_id = %b AND (%b::text IS NULL OR status = %b)
  AND (%b::bigint IS NULL OR customer_id = %b)
ORDER BY customer_id, source_org_id, version, ordinal, place LIMIT %b OFFSET %b
"""

_REVIVED = """
SET status = 'PENDING', attempts = 0, first_attempt_at = NULL, next_attempt_at = %b
"""
REPLAY_DEAD = f"""
WITH revived AS (
    UPDATE deliveries {_REVIVED}
    WHERE org_id = %b AND webhook_id = %b AND status = 'DEAD'
    RETURNING 1
)
SELECT count(*) FROM revived
"""  # noqa: S608 - ours
REPLAY_EVENTS = f"""
WITH revived AS (
    UPDATE deliveries {_REVIVED}
    WHERE org_id = %b AND webhook_id = %b AND status <> 'PENDING' AND event_id = ANY (%b::uuid[])
    RETURNING 1
)
SELECT count(*) FROM revived
"""  # noqa: S608 - ours

SAVE_REPLAY = """
INSERT INTO webhook_replays (org_id, webhook_id, since) VALUES (%b, %b, %b)
ON CONFLICT (org_id, webhook_id) DO UPDATE
SET since = excluded.since, cursor_org_id = NULL, cursor_customer_id = NULL
"""

WAKE = "UPDATE webhooks SET failures = 0, paused_until = NULL WHERE org_id = %b AND webhook_id = %b"

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Webhook).decode


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An endpoint as the worker has it. `secrets` sign, the newest first; `now` is its organisation's."""

    tenant: Tenant
    webhook: Webhook
    secrets: tuple[str, ...]
    health: Health
    now: datetime
    is_sandbox: bool = False
    """Then `now` stands still."""


@dataclass(frozen=True, slots=True)
class LogLine:
    """A delivery as the log shows it; instants are on the organisation's clock.

    `attempts` and `first_attempt_at` begin anew when it is replayed; `started_at`, `ended_at` and the
    response are of the last try.
    """

    org_id: int
    customer_id: int
    webhook_id: str
    source_org_id: int
    event_id: str
    event_name: str
    request_id: str
    ingested_at: datetime
    status: str
    attempts: int
    next_attempt_at: datetime
    first_attempt_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None
    response_status: int | None
    response: str | None


async def load_webhooks(tx: Tx, tenant: Tenant) -> list[Webhook]:
    """The organisation's endpoints, inactive ones too."""
    rows = await (await ask(tx, ASK_WEBHOOKS, tenant.org_id)).rows()
    return [_decode(text) for (text,) in rows]


async def save_webhook(tx: Tx, tenant: Tenant, webhook: Webhook, secret: str) -> None:
    """Make an endpoint true; the secret counts for a new one only. The definitions must be claimed.

    Whoever is deciding without knowing of it is waited for, so that it is told of all that happens
    once this is committed.
    """
    text = _encode(webhook).decode()
    await await_writers(tx, tenant.root_org_id)
    await tell(
        tx,
        SAVE_WEBHOOK,
        tenant.org_id,
        webhook.id,
        webhook.name.casefold(),
        webhook.active,
        webhook.hears_children,
        text,
        secret,
    )
    await tell(tx, NOTE_WEBHOOKS)


async def save_secret(
    tx: Tx, tenant: Tenant, webhook_id: str, secret: str, old_secret_until: datetime
) -> None:
    """Sign with a new secret from now on, and with the one before up to an instant."""
    await tell(tx, ROTATE, old_secret_until, secret, tenant.org_id, webhook_id)


async def delete_webhook(tx: Tx, tenant: Tenant, webhook_id: str) -> None:
    """Take an endpoint away, with what it would still have been told; the log of what it was told stays."""
    key = (tenant.org_id, webhook_id)
    await tell(tx, DELETE_WEBHOOK, *key, *key, *key)
    await tell(tx, NOTE_WEBHOOKS)


async def load_of_event(tx: Tx, tenant: Tenant, event_id: str, limit: int) -> list[LogLine]:
    """The deliveries of an event, one for each endpoint; `event_id` must be a UUID."""
    rows = await (await ask(tx, ASK_OF_EVENT, tenant.org_id, event_id, limit)).rows()
    return [LogLine(*row) for row in rows]


async def load_of_request(
    tx: Tx, tenant: Tenant, request_id: str, source_org_id: int | None, limit: int
) -> list[LogLine]:
    """The deliveries of what a call did, in one organisation or, None, wherever it happened."""
    source = (source_org_id, source_org_id)
    rows = await (await ask(tx, ASK_OF_REQUEST, tenant.org_id, request_id, *source, limit)).rows()
    return [LogLine(*row) for row in rows]


async def load_of_webhook(
    tx: Tx,
    tenant: Tenant,
    webhook_id: str,
    status: str | None,
    customer_id: int | None,
    limit: int,
    offset: int,
) -> list[LogLine]:
    """A page of an endpoint's deliveries, by customer and in the order in which a customer's go."""
    reply = await ask(
        tx,
        ASK_OF_WEBHOOK,
        tenant.org_id,
        webhook_id,
        status,
        status,
        customer_id,
        customer_id,
        limit,
        offset,
    )
    return [LogLine(*row) for row in await reply.rows()]


async def replay(
    tx: Tx,
    tenant: Tenant,
    webhook_id: str,
    now: datetime,
    event_ids: Sequence[str] | None,
    since: datetime | None,
) -> int:
    """Deliver again: what is named, whatever became of it, or else all dead letters.

    Returns how many deliveries are due again. What happened from `since` on follows in its own time.
    """
    await tell(tx, WAKE, tenant.org_id, webhook_id)
    if since is not None:
        await tell(tx, SAVE_REPLAY, tenant.org_id, webhook_id, since)
        return 0
    named = (now, tenant.org_id, webhook_id)
    if event_ids is not None:
        reply = await ask(tx, REPLAY_EVENTS, *named, list(event_ids))
    else:
        reply = await ask(tx, REPLAY_DEAD, *named)
    return int((await reply.rows())[0][0])


def decode_webhook(text: str) -> Webhook:
    """An endpoint as it is stored."""
    return _decode(text)
