"""Webhook endpoints: what one is, and what may be asked of it (domain: promotions §7)."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import field, replace
from typing import TypeVar

from milepost.errors import INVALID_INPUT, Refusal
from milepost.rules.definitions import Actor
from milepost.rules.envelopes import Recipient, event_id
from milepost.rules.frozen import dataclass

NAME_CHARACTERS_MAX = 200
URL_CHARACTERS_MAX = 2_048
HEADERS_MAX = 50
HEADER_CHARACTERS_MAX = 4_096
CONNECTIONS_MAX = 100
SLA_SECONDS_MAX = 7 * 24 * 3_600
KINDS_MAX = 20
WEBHOOKS_MAX = 100
"""Of one organisation."""
ENVELOPES = ("raw", "enriched")
OLD_SECRET_HOURS, OLD_SECRET_HOURS_MAX = 24, 168
"""How long the secret before goes on signing too, once there is a new one: by default, and at most."""

SENT_EVENTS = (
    "promotionCreated", "promotionUpdated", "promotionIssued", "promotionEarned",
    "revokeIssuedPromotion", "revokeEarnedPromotion",
    "targetCustomerEnrolment", "targetPeriodStarted", "targetPeriodCompleted", "targetValueAchieved",
    "targetAchievedValueUpdated", "targetValueUpdated",
    "unifiedTargetsAchieved", "unifiedTargetsUnAchieved",
    "streakCustomerEnrolment", "streakCustomerUnEnrolment", "streakLevelAchieved",
    "streakLevelUnAchieved", "streakStart", "streakEnd",
)  # fmt: skip
"""Every name that a notification can have."""
FOREIGN_EVENTS = (
    "customerAdded", "customerUpdated", "transactionAdded", "transactionUpdated", "pointsIssued",
    "pointsRedeemed", "tierUpgraded", "tierDowngraded", "tierRenewed",
    "targetLoyaltyCustomerEnrollment",
)  # fmt: skip
"""The vendor's, which an endpoint that is moved here may name; they are never sent."""

_URL = re.compile(
    r"https?://(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?\.?)"
    r"(?::(?P<port>[0-9]{1,5}))?(?:[/?][!\"$-\[\]-~]*)?",
    re.ASCII | re.IGNORECASE,
)
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}", re.ASCII)
_HEADER_VALUE = re.compile(r"[!-~](?:[\t -~]*[!-~])?|", re.ASCII)
# Those that say how the request is sent, which is not the endpoint's business.
_RESERVED_HEADERS = frozenset(
    {
        "connection", "content-encoding", "content-length", "content-type", "cookie", "expect", "host",
        "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer",
        "transfer-encoding", "upgrade", "user-agent",
    }
)  # fmt: skip

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Webhook:
    """An endpoint that is told of events. `id` is of 24 hexadecimal digits.

    `connections_max` bounds the tries at once; `hears_children`: also of what happens in connected
    organisations below. `enriched_identifiers` are the kinds of a customer's identifiers that are told.
    The flags are the vendor's: kept, and without effect.
    """

    id: str
    name: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    event_names: tuple[str, ...] = ()
    connections_max: int = 10
    sla_seconds: int = 3_600
    active: bool = True
    envelope: str = "raw"
    hears_children: bool = False
    enriched_identifiers: tuple[str, ...] = ()
    flags: Mapping[str, bool] = field(default_factory=dict)
    created: Actor | None = None
    updated: Actor | None = None


@dataclass(frozen=True, slots=True)
class WebhookDraft:
    """What a caller asks an endpoint to be; None: absent, so the default or what there was."""

    name: str | None = None
    url: str | None = None
    kind: str | None = None
    method: str | None = None
    headers: Mapping[str, str] | None = None
    event_names: tuple[str, ...] | None = None
    connections_max: int | None = None
    sla_seconds: int | None = None
    active: bool | None = None
    envelope: str | None = None
    hears_children: bool | None = None
    enriched_identifiers: tuple[str, ...] | None = None
    flags: Mapping[str, bool] = field(default_factory=dict)


def drafted_webhook(
    draft: WebhookDraft, before: Webhook, others: Collection[Webhook], actor: Actor
) -> Webhook | Refusal:
    """The endpoint that a draft makes of `before`, which for a new one has nothing but an id.

    300004 for a name, URL, header, event or number that cannot be, a name that another endpoint of the
    organisation has in any case, and for too many endpoints.
    """
    after = replace(
        before,
        name=_kept(draft.name, before.name).strip(),
        url=_kept(draft.url, before.url).strip(),
        headers=_kept(draft.headers, before.headers),
        event_names=tuple(dict.fromkeys(_kept(draft.event_names, before.event_names))),
        connections_max=_kept(draft.connections_max, before.connections_max),
        sla_seconds=_kept(draft.sla_seconds, before.sla_seconds),
        active=_kept(draft.active, before.active),
        envelope=_kept(draft.envelope, before.envelope).lower(),
        hears_children=_kept(draft.hears_children, before.hears_children),
        enriched_identifiers=_kept(draft.enriched_identifiers, before.enriched_identifiers),
        flags={**before.flags, **draft.flags},
        created=before.created or actor,
        updated=actor,
    )
    detail = _problem(after, draft)
    if detail is None and any(
        each.id != after.id and each.name.casefold() == after.name.casefold() for each in others
    ):
        detail = "name: another webhook has it."
    if detail is None and before.created is None and len(others) >= WEBHOOKS_MAX:
        detail = f"An organisation has at most {WEBHOOKS_MAX} webhooks."
    return after if detail is None else Refusal(INVALID_INPUT, detail)


def _kept(sent: T | None, before: T) -> T:
    return before if sent is None else sent


def _problem(webhook: Webhook, draft: WebhookDraft) -> str | None:
    """What is wrong with an endpoint, or None."""
    if not webhook.name or len(webhook.name) > NAME_CHARACTERS_MAX:
        return f"name must have 1 to {NAME_CHARACTERS_MAX} characters."
    if (detail := _url_problem(webhook.url)) is not None:
        return detail
    if draft.kind is not None and draft.kind.upper() != "HTTP":
        return "webHookType must be HTTP."
    if draft.method is not None and draft.method.upper() != "POST":
        return "methodType must be POST."
    if (detail := _headers_problem(webhook.headers)) is not None:
        return detail
    known = {*SENT_EVENTS, *FOREIGN_EVENTS}
    unknown = [name for name in webhook.event_names if name not in known]
    if unknown:
        return f"eventNames: there is no {unknown[0][:100]}."
    if not webhook.event_names:
        return "eventNames must name at least one event."
    if not 1 <= webhook.connections_max <= CONNECTIONS_MAX:
        return f"maxAllowedConnections must be 1 to {CONNECTIONS_MAX}."
    if not 1 <= webhook.sla_seconds <= SLA_SECONDS_MAX:
        return f"slaInSeconds must be 1 to {SLA_SECONDS_MAX}."
    if webhook.envelope not in ENVELOPES:
        return f"envelope must be one of {', '.join(ENVELOPES)}."
    kinds = webhook.enriched_identifiers
    if len(kinds) > KINDS_MAX or any(not kind.strip() or len(kind) > 100 for kind in kinds):
        return f"customerIdentifiersToBeEnriched must be at most {KINDS_MAX} kinds of identifiers."
    return None


def _url_problem(url: str) -> str | None:
    if len(url) > URL_CHARACTERS_MAX:
        return f"webHookUrl must not be longer than {URL_CHARACTERS_MAX} characters."
    found = _URL.fullmatch(url)
    if found is None or int(found["port"] or 1) not in range(1, 65_536):
        return "webHookUrl must be an http or https URL with a host, and without user, blank or fragment."
    return None


def _headers_problem(headers: Mapping[str, str]) -> str | None:
    if len(headers) > HEADERS_MAX:
        return f"webHookHeaders must be at most {HEADERS_MAX}."
    for name, value in headers.items():
        lower = name.lower()
        if _HEADER_NAME.fullmatch(name) is None:
            return "webHookHeaders: a name is not one of HTTP."
        if lower in _RESERVED_HEADERS or lower.startswith("webhook-"):
            return f"webHookHeaders: {name} is set by Milepost alone."
        if len(value) > HEADER_CHARACTERS_MAX or _HEADER_VALUE.fullmatch(value) is None:
            return f"webHookHeaders: the value of {name} is not printable ASCII on one line."
    if len({name.lower() for name in headers}) < len(headers):
        return "webHookHeaders: a name is there twice."
    return None


def told_recipient(webhook: Webhook, recipient: Recipient) -> Recipient:
    """The customer as an endpoint is told of it: with those identifiers alone that it enriches."""
    kinds = {kind.strip().casefold() for kind in webhook.enriched_identifiers}
    profiles = [
        replace(
            profile,
            identifiers=tuple(
                each for each in profile.identifiers if each.kind.casefold() in kinds
            ),
        )
        for profile in recipient.profiles
    ]
    return replace(recipient, profiles=profiles)


def consumer_group_id(org_id: int, webhook_id: str) -> str:
    """What the vendor calls the queue of an endpoint: a UUID, always the same."""
    return event_id(f"{org_id}/webhook/{webhook_id}")
