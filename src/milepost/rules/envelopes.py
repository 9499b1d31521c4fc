"""Notifications as they leave: their ids, whom they are about, and both envelopes (domain: milestones §6)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha1

from milepost.rules.customers import SOURCE_WITHOUT_ACCOUNTS, Profile
from milepost.rules.frozen import dataclass

Data = dict[str, object]

# Of the ids of notifications: it must never change.
_NAMESPACE = bytes.fromhex("5f0a1c2e3b644d5e8a519c7f2d1e6b40")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
# The vendor's samples have these two without the organisation's id, and all others with it.
_BARE_TYPES = ("streakLevelAchieved", "streakLevelUnAchieved")


@dataclass(frozen=True, slots=True)
class Recipient:
    """The customer whom notifications are about, as far as they say who it is.

    `enrolment_ids` are by target id: the ids of a customer's streak levels are derived from them.
    """

    org_id: int
    customer_id: int
    loyalty_type: str
    profiles: Sequence[Profile]
    enrolment_ids: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class Notification:
    """One notification; `id` is the same whenever it is made of the same entry."""

    id: str
    name: str
    at: datetime
    entry_id: int
    request_id: str
    data: Data


def event_id(key: str) -> str:
    """The UUID, of version 5, that stands for a key: the same for ever."""
    digest = bytearray(sha1(_NAMESPACE + key.encode(), usedforsecurity=False).digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x50
    digest[8] = digest[8] & 0x3F | 0x80
    text = digest.hex()
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def raw_envelope(notification: Notification, org_id: int) -> Data:
    """The notification as it is sent without enrichment."""
    return {
        "eventName": notification.name,
        "eventLogId": notification.entry_id,
        "eventId": notification.id,
        "orgId": org_id,
        "refId": f"{org_id}_{notification.request_id}",
        "apiRequestId": notification.request_id,
        "createdAt": milliseconds(notification.at),
        "loyaltyEventId": str(notification.entry_id),
        "traceAttributes": {},
        "data": notification.data,
    }


def enriched_envelope(notification: Notification, org_id: int) -> Data:
    """The notification as it is sent with enrichment."""
    prefix = "" if notification.name in _BARE_TYPES else f"{org_id}_"
    return {
        "eventId": notification.id,
        "eventType": f"{prefix}{notification.name}",
        "consumerGroupId": None,
        "actionType": "START",
        "timeStamp": milliseconds(notification.at),
        "attributes": {
            "createdAt": milliseconds(notification.at),
            "data": notification.data,
            "loyaltyEventId": str(notification.entry_id),
            "eventName": notification.name,
            "refId": f"{org_id}_{notification.request_id}",
            "apiRequestId": notification.request_id,
            "orgId": org_id,
        },
    }


def customer_identifiers(recipient: Recipient) -> Data:
    """Who the customer is: names, and the identifiers of each source."""
    found: Data = {"customerId": recipient.customer_id}
    profiles = sorted(recipient.profiles, key=lambda each: each.source != SOURCE_WITHOUT_ACCOUNTS)
    if profiles:
        found["firstName"], found["lastName"] = profiles[0].first_name, profiles[0].last_name
    found["loyaltyType"] = recipient.loyalty_type
    for profile in profiles:
        source = profile.source.lower()
        if profile.source == SOURCE_WITHOUT_ACCOUNTS:
            known = {each.kind: each.value for each in profile.identifiers}
            found[source] = {"id": recipient.customer_id, **known}
            continue
        account = {
            "accountId": profile.account_id,
            "identifiers": [
                {"identifierType": each.kind, "identifierValue": each.value}
                for each in profile.identifiers
            ],
        }
        block = found.setdefault(source, {"accounts": []})
        assert isinstance(block, dict)
        block["accounts"].append(account)
    return found


def milliseconds(at: datetime) -> int:
    """An instant as milliseconds since 1970."""
    return (at - _EPOCH) // _MILLISECOND
