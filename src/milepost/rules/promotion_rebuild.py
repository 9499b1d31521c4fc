"""Rebuild what a customer has of promotions from the journal: enrolments, earned records, redemptions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from milepost.rules.activities import ZERO
from milepost.rules.differences import differing, keys
from milepost.rules.effects import Earn, Entry, Issual, Redemption
from milepost.rules.holdings import EXPIRED, REPLACED, REVOKED


@dataclass(slots=True)
class Held:
    """What there is of one customer: stored, or rebuilt."""

    issuals: dict[int, Issual] = field(default_factory=dict)
    """By id."""
    earns: dict[int, Earn] = field(default_factory=dict)
    """By id."""
    redemptions: dict[tuple[int, str], Redemption] = field(default_factory=dict)
    """By (promotion id, what it was paid for)."""


def fold_promotion(held: Held, entry: Entry, entry_id: int) -> None:
    """Fold the next entry about a promotion."""
    step = _STEPS.get(entry.reason)
    if step is not None:
        step(held, entry, entry.details, entry_id)


def held_differences(stored: Held, rebuilt: Held) -> Iterator[tuple[str, str, str]]:
    """Name and both sides of all that differs."""
    for issual_id in keys(stored.issuals, rebuilt.issuals):
        issual, wanted = stored.issuals.get(issual_id), rebuilt.issuals.get(issual_id)
        yield from differing(issual, wanted, f"promotion enrolment {issual_id}")
    for earn_id in keys(stored.earns, rebuilt.earns):
        earn, expected = stored.earns.get(earn_id), rebuilt.earns.get(earn_id)
        yield from differing(earn, expected, f"earned record {earn_id}")
    for key in keys(stored.redemptions, rebuilt.redemptions):
        name = f"redemption of promotion {key[0]} for {key[1]}"
        yield from differing(stored.redemptions.get(key), rebuilt.redemptions.get(key), name)


def _fold_enrolled(held: Held, entry: Entry, details: Mapping[str, Any], entry_id: int) -> None:
    replaced = held.issuals.get(details.get("replaces", 0))
    if replaced is not None:
        held.issuals[replaced.id] = replace(replaced, ended_at=entry.at, ended_as=REPLACED)
    expires_at = datetime.fromisoformat(details["expiresAt"])
    held.issuals[details["issual"]] = Issual(
        details["issual"], details["promotion"], entry.at, expires_at, entry_id=entry_id
    )


def _fold_earned(held: Held, entry: Entry, details: Mapping[str, Any], entry_id: int) -> None:
    promotion, issual = details["promotion"], details["issual"]
    dummy = details.get("dummyExpiresAt")
    if dummy is not None:
        expires_at = datetime.fromisoformat(dummy)
        held.issuals[issual] = Issual(
            issual, promotion, entry.at, expires_at, is_dummy=True, entry_id=entry_id
        )
    expires_at = datetime.fromisoformat(details["expiresAt"])
    held.earns[details["earn"]] = Earn(
        details["earn"], promotion, issual, entry.at, expires_at, entry_id
    )


def _fold_enrolment_ended(
    held: Held, entry: Entry, details: Mapping[str, Any], entry_id: int
) -> None:
    issual = held.issuals.get(details["issual"])
    if issual is not None:
        ended_as = EXPIRED if entry.reason == "PROMOTION_ENROLMENT_EXPIRED" else REVOKED
        held.issuals[issual.id] = replace(issual, ended_at=entry.at, ended_as=ended_as)


def _fold_earns_ended(held: Held, entry: Entry, details: Mapping[str, Any], entry_id: int) -> None:
    ended_as = EXPIRED if entry.reason == "PROMOTION_EARN_EXPIRED" else REVOKED
    for earn_id in details["earns"]:
        earn = held.earns.get(earn_id)
        if earn is not None:
            held.earns[earn_id] = replace(earn, ended_at=entry.at, ended_as=ended_as)


def _fold_rewarded(held: Held, entry: Entry, details: Mapping[str, Any], entry_id: int) -> None:
    """The first reward of a redemption is the redemption; each adds its points."""
    key = details["promotion"], details["paidFor"]
    points = Decimal(details["value"]) if details["type"] == "POINTS" else ZERO
    earn = held.earns.get(details["earn"] or 0)
    known = held.redemptions.get(key)
    if known is None:
        occurred_at = datetime.fromisoformat(details["occurredAt"])
        known = Redemption(*key, details["earn"], occurred_at, entry.at, ZERO)
        if earn is not None:
            earn = replace(earn, redemptions=earn.redemptions + 1)
    held.redemptions[key] = replace(known, points=known.points + points)
    if earn is not None:
        held.earns[earn.id] = replace(earn, points=earn.points + points)


_STEPS = {
    "PROMOTION_ENROLLED": _fold_enrolled,
    "PROMOTION_RE_ENROLLED": _fold_enrolled,
    "PROMOTION_EARNED": _fold_earned,
    "PROMOTION_ENROLMENT_REVOKED": _fold_enrolment_ended,
    "PROMOTION_ENROLMENT_EXPIRED": _fold_enrolment_ended,
    "PROMOTION_EARN_REVOKED": _fold_earns_ended,
    "PROMOTION_EARN_EXPIRED": _fold_earns_ended,
    "PROMOTION_REWARD": _fold_rewarded,
}
