"""What the worker does about deliveries, but for sending them: find whom to tell of what, and make payloads.

Nothing is decided twice and nothing kept: a notification is made of the journal whenever it is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

import msgspec

from milepost import clock
from milepost.database import Tenant, Tx
from milepost.rules.deliveries import Delivery
from milepost.rules.envelopes import Notification, Recipient, enriched_envelope, raw_envelope
from milepost.rules.notifications import notifications
from milepost.rules.promotion_notifications import promotion_saved
from milepost.rules.webhooks import consumer_group_id, told_recipient
from milepost.runner import Moment, Runner
from milepost.store import deliveries as store
from milepost.store.deliveries import Expected
from milepost.store.occurrences import Told, load_told
from milepost.store.webhooks import Endpoint, decode_webhook

OUTBOX_MAX = 500
"""Versions of customers that are looked at together."""

Place = tuple[int, int, int, int, int]
"""Of a notification: source organisation, customer, version, ordinal, and place in its entry."""

_encode = msgspec.json.Encoder(decimal_format="number").encode


def place_of(delivery: Delivery) -> Place:
    """Where a delivery's notification is."""
    return (
        delivery.source_org_id,
        delivery.customer_id,
        delivery.version,
        delivery.ordinal,
        delivery.place,
    )


async def expand_outbox(runner: Runner, source: Tenant) -> bool:
    """Make deliveries of the next versions in an organisation's outbox; returns whether there were any.

    Of one organisation by one caller at a time, or a customer's may come out of order.
    """

    async def look(tx: Tx) -> tuple[list[tuple[int, int, str]], list[tuple[int, str]]]:
        return await store.load_outbox(tx, source, OUTBOX_MAX), await store.load_listeners(
            tx, source
        )

    taken, listeners = await runner.operate(look)
    if not taken:
        return False
    webhooks = [(org_id, decode_webhook(text)) for org_id, text in listeners]
    alone: dict[tuple[int, int], set[str]] = {}
    for customer, version, webhook_id in taken:
        alone.setdefault((customer, version), set()).add(webhook_id)
    found, moment = await _read(runner, source, list(alone), lambda recipient: recipient)
    expected = [
        Expected(
            org_id,
            webhook.id,
            customer,
            version,
            ordinal,
            place,
            told.id,
            told.name,
            told.request_id,
        )
        for (_, customer, version, ordinal, place), told in found.items()
        for org_id, webhook in webhooks
        if told.name in webhook.event_names and {"", webhook.id} & alone[customer, version]
    ]

    async def write(tx: Tx) -> None:
        await store.expand(tx, source, taken, expected, moment.now)

    await runner.operate(write)
    return True


async def payloads(
    runner: Runner, endpoint: Endpoint, due: Collection[Delivery]
) -> Mapping[Place, bytes]:
    """The body of each delivery, as its endpoint wants it; what there is no more has none."""
    keys: dict[int, set[tuple[int, int]]] = {}
    for delivery in due:
        keys.setdefault(delivery.source_org_id, set()).add((delivery.customer_id, delivery.version))
    bodies: dict[Place, bytes] = {}
    for org_id, of_org in keys.items():
        source = Tenant(org_id, endpoint.tenant.root_org_id)
        found, _ = await _read(
            runner,
            source,
            sorted(of_org),
            lambda recipient: told_recipient(endpoint.webhook, recipient),
        )
        for place, told in found.items():
            bodies[place] = _encode(_envelope(endpoint, told, org_id))
    return bodies


def _envelope(endpoint: Endpoint, told: Notification, org_id: int) -> Mapping[str, object]:
    if endpoint.webhook.envelope == "raw":
        return raw_envelope(told, org_id)
    group = consumer_group_id(endpoint.tenant.org_id, endpoint.webhook.id)
    return {**enriched_envelope(told, org_id), "consumerGroupId": group}


async def _read(
    runner: Runner,
    source: Tenant,
    keys: Sequence[tuple[int, int]],
    seen: Callable[[Recipient], Recipient],
) -> tuple[Mapping[Place, Notification], Moment]:
    """The notifications of some versions of customers, in order, and the moment of the organisation."""

    async def query(tx: Tx, tenant: Tenant, moment: Moment) -> tuple[Told, Moment]:
        return await load_told(tx, tenant, keys), moment

    told, moment = await runner.read(source, query)
    return dict(_made(source.org_id, told, moment, seen)), moment


def _made(
    org_id: int, told: Told, moment: Moment, seen: Callable[[Recipient], Recipient]
) -> Iterator[tuple[Place, Notification]]:
    recipients = {customer: seen(recipient) for customer, recipient in told.recipients.items()}
    for customer, occurrence in told.occurrences:
        recipient = recipients.get(customer)
        if recipient is None:  # gone since
            continue
        made = notifications(occurrence, recipient, moment.definitions)
        for place, notification in enumerate(made):
            yield (
                (org_id, customer, occurrence.version, occurrence.ordinal, place),
                notification,
            )
    for change in told.changes:
        yield (
            (org_id, 0, change.revision, 0, 0),
            promotion_saved(
                moment.definitions,
                change.promotion,
                change.what,
                change.revision,
                change.at,
                change.request_id,
            ),
        )


async def load_endpoint(runner: Runner, org_id: int, webhook_id: str) -> Endpoint | None:
    """An active endpoint as it is now."""

    async def read(tx: Tx) -> Endpoint | None:
        return await store.load_endpoint(tx, org_id, webhook_id, clock.now())

    return await runner.operate(read)
