"""The journal's details as JSON: amounts as text, effects as rows, so that nothing passes a float."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import msgspec

from milepost.rules.effects import Effect, Entry, PromotionEffect

_encode = msgspec.json.Encoder().encode


def encode_details(entry: Entry) -> str:
    """The details of an entry; those of an activity have its effects too."""
    if entry.what != "ACTIVITY":
        return _encode(entry.details).decode()
    effects: dict[str, object] = {"effects": entry.effects}
    if entry.promotion_effects:
        effects["promotions"] = entry.promotion_effects
    return _encode({**entry.details, **effects}).decode()


def decode_details(
    text: str | None,
) -> tuple[dict[str, Any], tuple[Effect, ...], tuple[PromotionEffect, ...]]:
    """What `encode_details` wrote: the details without the effects, and both kinds of effects."""
    if text is None:
        return {}, (), ()
    details: dict[str, Any] = json.loads(text, parse_float=Decimal)
    effects = tuple(_effect(row) for row in details.pop("effects", ()))
    return details, effects, tuple(PromotionEffect(*row) for row in details.pop("promotions", ()))


def _effect(row: list[Any]) -> Effect:
    group_id, target_id, period_id, reason, attempt, amount, value, asked, day = row
    return Effect(
        group_id,
        target_id,
        period_id,
        reason,
        attempt,
        Decimal(amount),
        Decimal(value),
        Decimal(asked),
        day,
    )
