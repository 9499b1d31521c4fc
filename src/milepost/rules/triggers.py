"""Sub-targets: thresholds within each cycle of a target (`targetMilestoneTriggers`, §2.3, §4.8).

A target keeps them as the wire's objects, less `targetRuleId`; `triggerValue` is the decimal's text,
for a JSON number would pass through a float.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal

from milepost.errors import Refusal
from milepost.rules.checks import (
    DESCRIPTION_CHARACTERS_MAX,
    check_amount,
    check_choice,
    check_count,
    check_given,
    check_label,
    check_text,
    refuse,
)
from milepost.rules.drafts import TRIGGERS_MAX, TriggerDraft, said
from milepost.rules.names import name_key

VALUE_TYPES = ("PERCENTAGE", "ABSOLUTE")
PERCENTAGE_MAX = Decimal(100)
# The amounts that a percentage of the target value makes sense of (§4.8).
AMOUNT_TARGET_TYPES = ("SALES", "GROSS_SALES")

Trigger = Mapping[str, object]


def written_triggers(
    triggers: Sequence[Trigger], drafts: Sequence[TriggerDraft], ids: Iterator[int], at: str
) -> tuple[Trigger, ...] | Refusal:
    """A target's sub-targets with the drafts written over them; those not listed stay.

    A draft changes the one with its id, else the one with its name, else it is a new one; a kind of
    value never changes. Refused: two of one name, more than 20.
    """
    refusal = check_count(drafts, at, TRIGGERS_MAX)
    if refusal is not None:
        return refusal
    made = {int(str(trigger["id"])): trigger for trigger in triggers}
    for index, draft in enumerate(drafts):
        here = f"{at}[{index}]"
        trigger = _find(triggers, draft)
        refusal = _check_draft(draft, here, new=trigger is None)
        refusal = refusal or _check_kind(trigger, draft, here)
        if refusal is not None:
            return refusal
        after = _written(trigger, draft, ids)
        made[int(str(after["id"]))] = after
    refusal = check_count(tuple(made), at, TRIGGERS_MAX)
    if refusal is not None:
        return refusal
    if len({name_key(str(trigger["triggerName"])) for trigger in made.values()}) < len(made):
        return refuse(at, "two of them have one triggerName")
    return tuple(made.values())


def check_triggers(triggers: Sequence[Trigger], target_type: str, at: str) -> Refusal | None:
    """Whether their kinds fit what the target counts: percentages are of amounts only (§4.8)."""
    if target_type not in AMOUNT_TARGET_TYPES and any(
        trigger["triggerValueType"] == "PERCENTAGE" for trigger in triggers
    ):
        return refuse(at, f"PERCENTAGE needs a targetType of {' or '.join(AMOUNT_TARGET_TYPES)}")
    return None


def _find(triggers: Sequence[Trigger], draft: TriggerDraft) -> Trigger | None:
    for trigger in triggers:
        if trigger["id"] == draft.id:
            return trigger
    for trigger in triggers:
        if draft.name is not None and name_key(str(trigger["triggerName"])) == name_key(draft.name):
            return trigger
    return None


def _check_draft(draft: TriggerDraft, at: str, *, new: bool) -> Refusal | None:
    refusal = (
        check_label(draft.name, f"{at}.triggerName")
        or check_text(draft.description, f"{at}.description", DESCRIPTION_CHARACTERS_MAX)
        or check_choice(draft.value_type, f"{at}.triggerValueType", VALUE_TYPES)
        or check_amount(draft.value, f"{at}.triggerValue")
    )
    if refusal is not None or not new:
        return refusal
    return (
        check_given(draft.name, f"{at}.triggerName")
        or check_given(draft.value_type, f"{at}.triggerValueType")
        or check_given(draft.value, f"{at}.triggerValue")
    )


def _check_kind(trigger: Trigger | None, draft: TriggerDraft, at: str) -> Refusal | None:
    before = None if trigger is None else str(trigger["triggerValueType"])
    kind = (draft.value_type or before or "").upper()
    if before is not None and kind != before:
        return refuse(f"{at}.triggerValueType", "cannot change")
    if kind == "PERCENTAGE" and draft.value is not None and draft.value > PERCENTAGE_MAX:
        return refuse(f"{at}.triggerValue", "must be at most 100 as a PERCENTAGE")
    return None


def _written(trigger: Trigger | None, draft: TriggerDraft, ids: Iterator[int]) -> Trigger:
    before = trigger or {"id": next(ids), "description": "", "isActive": True}
    value = before.get("triggerValue")
    if draft.value is not None and (value is None or Decimal(str(value)) != draft.value):
        value = str(draft.value)
    return {
        "id": before["id"],
        "triggerName": said(draft.name, before.get("triggerName")),
        "description": said(draft.description, before["description"]),
        "isActive": said(draft.active, before["isActive"]),
        "triggerType": "SYSTEM_TRIGGER",
        "triggerValueType": before.get("triggerValueType") or (draft.value_type or "").upper(),
        "triggerValue": value,
    }
