"""Entries of the journal as the store gives them back, for the tests of what is told of them."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal

from milepost.rules.definitions import TargetGroup
from milepost.rules.effects import Effect, Entry
from tests.rules.samples import GROUP, TARGET
from tests.rules.samples import day as day_of_june


def loaded(entry: Entry) -> Entry:
    """The entry as the journal gives it back: details have been through JSON."""
    return replace(entry, details=json.loads(json.dumps(entry.details)))


def activity(*effects: Effect, kind: str = "TRANSACTION", at_days: float = 5) -> Entry:
    """The journal's entry of a purchase, event or return of 2 June 2026, 10:00, that arrived later."""
    ids = {"TRANSACTION": "tx-1", "EVENT": "ev-1", "RETURN": "rt-1"}
    names = {"TRANSACTION": "TransactionAdd", "EVENT": "runLogged", "RETURN": "ReturnBill"}
    details = {
        "activity": ids[kind],
        "type": kind,
        "eventName": names[kind],
        "occurredAt": "2026-06-02T10:00:00+00:00",
    }
    return Entry(day_of_june(at_days), "ACTIVITY", kind, details=details, effects=effects)


def effect(
    reason: str,
    amount: float = 0,
    value: float = 0,
    *,
    period_id: int | None = 701,
    target_id: int = TARGET,
    day: str | None = None,
) -> Effect:
    """What happened in a cycle that asks for 1000."""
    amounts = (Decimal(str(amount)), Decimal(str(value)), Decimal(1000))
    return Effect(GROUP, target_id, period_id, reason, 1, *amounts, day)


def changed(group: TargetGroup, **target: object) -> TargetGroup:
    """The group with another target."""
    return replace(group, targets=(replace(group.targets[0], **target),))  # type: ignore[arg-type]
