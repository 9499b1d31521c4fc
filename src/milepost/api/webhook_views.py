"""How webhook endpoints, and what was delivered to them, are shown (domain: promotions §7)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

from milepost.api.target_group_views import AttributionView, View, attribution_of
from milepost.rules.deliveries import PENDING
from milepost.rules.envelopes import milliseconds
from milepost.rules.webhooks import Webhook, consumer_group_id
from milepost.store.webhooks import LogLine


class WebhookView(View):
    """An endpoint. `noOfRetryAttempts` is always 0: tries are bounded by time, not counted."""

    web_hook_id: str
    name: str
    web_hook_url: str
    web_hook_type: str
    method_type: str
    web_hook_headers: dict[str, str]
    event_names: list[str]
    max_allowed_connections: int
    sla_in_seconds: int
    active: bool
    till_details_enrichment_enabled: bool
    store_details_enrichment_enabled: bool
    customer_identifiers_to_be_enriched: list[str]
    awarded_reference_enrichment_enabled: bool
    available_points_balance_enrichment_enabled: bool
    listen_to_child_events: bool
    envelope: str
    no_of_retry_attempts: int
    consumer_group_id: str
    attribution: AttributionView


class CreatedWebhookView(WebhookView):
    """A new endpoint with the secret that its deliveries are signed with, shown once."""

    secret: str


class SecretView(View):
    """A new secret, shown once. The one before signs too until `oldSecretUntil`."""

    secret: str
    old_secret_until: str


class DeliveryView(View):
    """A notification on its way to an endpoint. Timestamps are milliseconds since 1970, on the organisation's
    clock; start, end and `consumerResponse` are of the last try, and null before the first.

    `status` is PENDING, DELIVERED or DEAD; `nextAttemptTimestamp` is of a pending one.
    """

    ref_id: str
    request_id: str
    event_name: str
    event_id: str
    consumer_group_id: str
    event_ingestion_timestamp: int
    event_start_timestamp: int | None
    event_end_timestamp: int | None
    sla_breach_timestamp: int
    consumer_response: str | None
    web_hook_id: str
    org_id: int
    customer_id: int | None
    status: str
    attempts: int
    next_attempt_timestamp: int | None


class ReplayView(View):
    """How many deliveries go again at once; with `since`, 0: they follow in the background."""

    replayed: int


def webhook_view(org_id: int, webhook: Webhook, zone: ZoneInfo) -> WebhookView:
    """An endpoint as it is shown."""
    return WebhookView(**_fields(org_id, webhook, zone))


def created_webhook_view(
    org_id: int, webhook: Webhook, zone: ZoneInfo, secret: str
) -> CreatedWebhookView:
    """A new endpoint as it is shown, once."""
    return CreatedWebhookView(**_fields(org_id, webhook, zone), secret=secret)


def _fields(org_id: int, webhook: Webhook, zone: ZoneInfo) -> dict[str, Any]:
    flags = webhook.flags
    return {
        "web_hook_id": webhook.id,
        "name": webhook.name,
        "web_hook_url": webhook.url,
        "web_hook_type": "HTTP",
        "method_type": "POST",
        "web_hook_headers": dict(webhook.headers),
        "event_names": list(webhook.event_names),
        "max_allowed_connections": webhook.connections_max,
        "sla_in_seconds": webhook.sla_seconds,
        "active": webhook.active,
        "till_details_enrichment_enabled": flags.get("tillDetails", False),
        "store_details_enrichment_enabled": flags.get("storeDetails", False),
        "customer_identifiers_to_be_enriched": list(webhook.enriched_identifiers),
        "awarded_reference_enrichment_enabled": flags.get("awardedReference", False),
        "available_points_balance_enrichment_enabled": flags.get("availablePointsBalance", False),
        "listen_to_child_events": webhook.hears_children,
        "envelope": webhook.envelope,
        "no_of_retry_attempts": 0,
        "consumer_group_id": consumer_group_id(org_id, webhook.id),
        "attribution": attribution_of(webhook.created, webhook.updated, zone),
    }


def delivery_view(line: LogLine, webhook: Webhook | None) -> DeliveryView:
    """A line of the log; its endpoint may have been deleted since."""
    sla = timedelta(seconds=webhook.sla_seconds if webhook is not None else 3_600)
    return DeliveryView(
        ref_id=f"{line.source_org_id}_{line.request_id}",
        request_id=line.request_id,
        event_name=line.event_name,
        event_id=line.event_id,
        consumer_group_id=consumer_group_id(line.org_id, line.webhook_id),
        event_ingestion_timestamp=milliseconds(line.ingested_at),
        event_start_timestamp=milliseconds(line.started_at) if line.started_at else None,
        event_end_timestamp=milliseconds(line.ended_at) if line.ended_at else None,
        sla_breach_timestamp=milliseconds(line.ingested_at + sla),
        consumer_response=_response(line),
        web_hook_id=line.webhook_id,
        org_id=line.source_org_id,
        customer_id=line.customer_id or None,
        status=line.status,
        attempts=line.attempts,
        next_attempt_timestamp=(
            milliseconds(line.next_attempt_at) if line.status == PENDING else None
        ),
    )


def _response(line: LogLine) -> str | None:
    """The receiver's status and the beginning of what it said, or why it said nothing."""
    if line.response_status is None:
        return line.response
    return f"{line.response_status} {line.response or ''}".rstrip()
