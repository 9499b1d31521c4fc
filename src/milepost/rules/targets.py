"""Targets of a target group: made, added, changed and deactivated (domain: milestones §2.3, §4.7).

A new target is a blank one with a draft written over it; a changed one likewise. So both go through
the same checks: of the draft's fields, then of what they make together.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal

from milepost.errors import (
    INVALID_ENTITY_AND_TYPE,
    TARGET_NAME_TOO_LONG,
    TARGET_NOT_FOUND,
    Refusal,
)
from milepost.rules.checks import (
    DESCRIPTION_CHARACTERS_MAX,
    EXPRESSION_CHARACTERS_MAX,
    EXPRESSION_JSON_CHARACTERS_MAX,
    NAME_CHARACTERS_MAX,
    check_amount,
    check_choice,
    check_count,
    check_given,
    check_json,
    check_name,
    check_rewards,
    check_text,
    placed,
    refuse,
    spelt_rewards,
)
from milepost.rules.definitions import (
    ENROLMENT_METHODS,
    Actor,
    Definitions,
    Period,
    Target,
    TargetGroup,
    TargetValue,
)
from milepost.rules.drafts import PERIODS_MAX, TARGETS_MAX, TargetDraft, ValueDraft, said
from milepost.rules.measures import check_extended_field, check_filters, check_window
from milepost.rules.names import name_key, target_names
from milepost.rules.triggers import check_triggers, written_triggers

# What each entity can be counted by (§4.7; QUANTITY of a TRANSACTION from its samples).
TARGET_TYPES: Mapping[str, tuple[str, ...]] = {
    "TRANSACTION": ("SALES", "GROSS_SALES", "QUANTITY", "COUNT", "VISIT", "EXTENDED_FIELD"),
    "LINEITEM": ("SALES", "GROSS_SALES", "QUANTITY", "EXTENDED_FIELD"),
    "EVENT": ("COUNT", "VISIT", "EVENT_ATTRIBUTE"),
    "REWARDS": ("REGULAR_POINTS", "PROMOTIONAL_POINTS", "ALL_POINTS"),
    "POINTS": ("REGULAR_POINTS", "PROMOTIONAL_POINTS", "ALL_POINTS"),
    "ALTERNATE_CURRENCIES": ("REGULAR", "PROMOTION", "ALL"),
}
ALL_TARGET_TYPES = tuple(dict.fromkeys(kind for kinds in TARGET_TYPES.values() for kind in kinds))
# Built-in customer events, which have nothing to add up (§1, §4.7).
EMF_EVENTS = frozenset(
    {
        "CustomerRegistration",
        "CustomerUpdate",
        "PointsRedemption",
        "PointsTransfer",
        "ReturnBill",
    }
)
UNIFIED_TARGETS_MIN = 2

# What a streak's target keeps for good: attribute and field (§3.5, EDS).
_STREAK_FROZEN = (
    ("name", "name"),
    ("description", "description"),
    ("target_entity", "targetEntity"),
    ("target_type", "targetType"),
    ("event_name", "eventName"),
    ("enrolment_method", "enrolmentMethod"),
    ("extended_field_info", "extendedFieldInfo"),
    ("aggregate_window", "aggregateWindow"),
    ("milestone_triggers", "targetMilestoneTriggers"),
)


def new_targets(
    definitions: Definitions,
    group: TargetGroup,
    drafts: Sequence[TargetDraft],
    periods: Sequence[Period],
    ids: Iterator[int],
    actor: Actor,
    target_ids: Sequence[int] = (),
) -> tuple[Target, ...] | Refusal:
    """A target for each draft, in order, in a group that has its `periods` already.

    `defaultValues` without period ids follow `periods`. `target_ids` are given ids for the first.
    """
    refusal = check_count((*group.targets, *drafts), "targets", TARGETS_MAX)
    if refusal is not None:
        return refusal
    taken = target_names(definitions)
    made: list[Target] = []
    for index, draft in enumerate(drafts):
        at = f"targets[{index}]"
        target_id = target_ids[index] if index < len(target_ids) else next(ids)
        target = _new_target(group, draft, periods, target_id, taken, ids, actor, at)
        if isinstance(target, Refusal):
            return placed(target, at) if len(drafts) > 1 else target
        taken[name_key(target.name)] = target.id
        made.append(target)
    return tuple(made)


def add_targets(
    definitions: Definitions,
    group: TargetGroup,
    drafts: Sequence[TargetDraft],
    ids: Iterator[int],
    actor: Actor,
) -> TargetGroup | Refusal:
    """The group with more targets (POST …/targets), in the order sent, after those it has.

    The group must have its periods by then, for a target has a value in each.
    """
    if not drafts:
        return refuse("targets", "is empty")
    if not group.periods:
        return refuse("targets", "the group has no periods yet for their defaultValues")
    made = new_targets(definitions, group, drafts, group.periods, ids, actor)
    if isinstance(made, Refusal):
        return made
    after = with_targets(group, (*group.targets, *made))
    return check_targets(after) or replace(after, updated=actor)


def edit_target(
    definitions: Definitions,
    group: TargetGroup,
    target_id: int,
    draft: TargetDraft,
    ids: Iterator[int],
    actor: Actor,
) -> TargetGroup | Refusal:
    """The group with one target changed (PUT …/targets/{targetId}); 310018 for an unknown one.

    The path names the target; the draft's own id is ignored. Absent fields stay as they are. Of a
    streak's target only the expression, its JSON, filters, values, rewards and `active` may change.
    """
    target = group.targets_by_id.get(target_id)
    if target is None:
        return Refusal(TARGET_NOT_FOUND)
    taken = target_names(definitions)
    changed = changed_target(group, target, draft, group.periods, taken, ids, actor, "targets[0]")
    if isinstance(changed, Refusal):
        return changed
    return _with_changed(group, {target_id: changed}, actor)


def deactivate_target(group: TargetGroup, target_id: int, actor: Actor) -> TargetGroup | Refusal:
    """The group with one target inactive (DELETE …/targets/{targetId}); 310018 for an unknown one.

    One that is inactive already stays so. A unified group keeps two active ones.
    """
    target = group.targets_by_id.get(target_id)
    if target is None:
        return Refusal(TARGET_NOT_FOUND)
    if not target.active:
        return group
    return _with_changed(group, {target_id: replace(target, active=False, updated=actor)}, actor)


def edited_targets(
    definitions: Definitions,
    group: TargetGroup,
    drafts: Sequence[TargetDraft],
    periods: Sequence[Period],
    ids: Iterator[int],
    actor: Actor,
    *,
    adding: bool = False,
) -> tuple[Target, ...] | Refusal:
    """The group's targets with the drafts written over those that they name; the others stay.

    A draft names a target by id, else by name; the only draft names the only target by neither. One
    that names none makes a new one if `adding`, unless it has an id: 310018.
    """
    named = [_find(group, draft, alone=len(drafts) == 1) for draft in drafts]
    # Names may change hands within one edit.
    given_up = {
        name_key(target.name)
        for target, draft in zip(named, drafts, strict=True)
        if target is not None and draft.name is not None
    }
    taken = {key: owner for key, owner in target_names(definitions).items() if key not in given_up}
    made = dict(group.targets_by_id)
    seen: set[int] = set()
    for index, (draft, target) in enumerate(zip(drafts, named, strict=True)):
        at = f"targets[{index}]"
        if target is not None and target.id in seen:
            return refuse(at, "is the same target as one before")
        after: Target | Refusal
        if target is not None:
            after = changed_target(group, target, draft, periods, taken, ids, actor, at)
        elif adding and draft.id is None:
            after = _new_target(group, draft, periods, next(ids), taken, ids, actor, at)
        else:
            after = Refusal(TARGET_NOT_FOUND)
        if isinstance(after, Refusal):
            return placed(after, at) if len(drafts) > 1 else after
        made[after.id] = after
        seen.add(after.id)
        taken[name_key(after.name)] = after.id
    return tuple(made.values())


def changed_target(
    group: TargetGroup,
    target: Target,
    draft: TargetDraft,
    periods: Sequence[Period],
    taken: Mapping[str, int],
    ids: Iterator[int],
    actor: Actor,
    at: str,
) -> Target | Refusal:
    """The target with a draft written over it; the same object if nothing differs.

    `taken` has the organisation's target names and whose they are. Positional values follow `periods`.
    """
    after = _written(target, draft, taken, ids, at)
    if isinstance(after, Refusal):
        return after
    if draft.default_values is not None:
        asked = _asked(draft.default_values, periods, f"{at}.defaultValues")
        if isinstance(asked, Refusal):
            return asked
        values = {
            period_id: replace(before, value=asked.get(period_id, before.value))
            for period_id, before in target.values.items()
        }
        after = replace(after, values=values)
    if after == target:
        return target
    refusal = check_target(group, after, at)
    if refusal is not None:
        return refusal
    if group.is_streak:
        for attribute, field in _STREAK_FROZEN:
            if getattr(after, attribute) != getattr(target, attribute):
                return refuse(f"{at}.{field}", "that of a streak is fixed")
    return replace(after, updated=actor)


def with_targets(group: TargetGroup, targets: Sequence[Target]) -> TargetGroup:
    """The group with these targets, its `ruleExpression` built anew if it is unified.

    The expression joins the ids of the active targets, by `&` for ALL and `|` for ANY (§2.1).
    """
    expression = group.unified_target_expression
    if expression is not None:
        joint = "&" if group.combination_type == "ALL" else "|"
        ids = joint.join(str(target.id) for target in targets if target.active)
        expression = {**expression, "ruleExpression": f"({ids})"}
    return replace(group, targets=tuple(targets), unified_target_expression=expression)


def check_targets(group: TargetGroup) -> Refusal | None:
    """Whether the group has as many targets as its kind needs (§1, §2.1, §4.6, §4.9, §4.11)."""
    refusal = check_count(group.targets, "targets", TARGETS_MAX)
    if refusal is not None:
        return refusal
    if group.is_streak and len(group.targets) != 1:
        return refuse("targets", "a streak has exactly one")
    active = sum(target.active for target in group.targets)
    if group.tracking_type == "UNIFIED" and active < UNIFIED_TARGETS_MIN:
        return refuse("targets", f"a unified group has at least {UNIFIED_TARGETS_MIN} active")
    if group.user_created and len(group.targets) > 1:
        return refuse("targets", "a user-created group has only one")
    return None


def check_target(group: TargetGroup, target: Target, at: str) -> Refusal | None:
    """Whether the fields of a target go together, and with its group."""
    if target.target_type not in TARGET_TYPES[target.target_entity]:
        return Refusal(INVALID_ENTITY_AND_TYPE)
    if target.target_type == "EVENT_ATTRIBUTE" and target.event_name in EMF_EVENTS:
        return Refusal(INVALID_ENTITY_AND_TYPE)
    refusal = check_extended_field(target, f"{at}.extendedFieldInfo")
    if refusal is not None:
        return refusal
    if group.user_created and target.enrolment_method != "IMPORT":
        return refuse(f"{at}.enrolmentMethod", "must be IMPORT in a user-created group")
    triggers_at = f"{at}.targetMilestoneTriggers"
    if group.tracking_type == "UNIFIED" and target.milestone_triggers:
        return refuse(triggers_at, "a unified group has no sub-targets")
    if not group.is_fixed and len({value.value for value in target.values.values()}) > 1:
        return refuse(f"{at}.defaultValues", "must be alike for every cycle unless it is dated")
    return check_triggers(target.milestone_triggers, target.target_type, triggers_at)


def _new_target(
    group: TargetGroup,
    draft: TargetDraft,
    periods: Sequence[Period],
    target_id: int,
    taken: Mapping[str, int],
    ids: Iterator[int],
    actor: Actor,
    at: str,
) -> Target | Refusal:
    refusal = (
        check_given(draft.name, f"{at}.name")
        or check_given(draft.target_entity, f"{at}.targetEntity")
        or check_given(draft.target_type, f"{at}.targetType")
        or check_given(draft.default_values, f"{at}.defaultValues")
    )
    if refusal is not None:
        return refusal
    blank = Target(target_id, group.id, "", "", "", created=actor, updated=actor)
    target = _written(blank, draft, taken, ids, at)
    if isinstance(target, Refusal):
        return target
    asked = _asked(draft.default_values or (), periods, f"{at}.defaultValues")
    if isinstance(asked, Refusal):
        return asked
    if len(asked) < len(periods):
        return refuse(f"{at}.defaultValues", "must have a value for every period")
    values = {period.id: TargetValue(next(ids), period.id, asked[period.id]) for period in periods}
    target = replace(target, values=values)
    return check_target(group, target, at) or target


def _written(
    target: Target,
    draft: TargetDraft,
    taken: Mapping[str, int],
    ids: Iterator[int],
    at: str,
) -> Target | Refusal:
    """The target with the draft's fields, values left out, each checked for itself."""
    refusal = _check_draft(draft, at)
    if refusal is not None:
        return refusal
    if draft.name is not None and taken.get(name_key(draft.name), target.id) != target.id:
        return refuse(f"{at}.name", "another target of the organisation has it")
    triggers = written_triggers(
        target.milestone_triggers,
        draft.milestone_triggers or (),
        ids,
        f"{at}.targetMilestoneTriggers",
    )
    if isinstance(triggers, Refusal):
        return triggers
    expression = _unless_blank(draft.expression, target.expression, "true")
    # A new expression sent alone leaves the old one's tree behind.
    tree = target.expression_json if expression == target.expression else None
    return replace(
        target,
        name=said(draft.name, target.name),
        target_entity=said(draft.target_entity, target.target_entity).upper(),
        target_type=said(draft.target_type, target.target_type).upper(),
        event_name=_unless_blank(draft.event_name, target.event_name, "TransactionAdd"),
        description=said(draft.description, target.description),
        active=said(draft.active, target.active),
        expression=expression,
        expression_json=tree if draft.expression_json is None else draft.expression_json,
        filters=said(draft.filters, target.filters),
        enrolment_method=said(draft.enrolment_method, target.enrolment_method).upper(),
        extended_field_info=said(draft.extended_field_info, target.extended_field_info),
        aggregate_window=said(draft.aggregate_window, target.aggregate_window),
        milestone_triggers=triggers,
        rewards=target.rewards if draft.rewards is None else spelt_rewards(draft.rewards),
    )


def _unless_blank(value: str | None, before: str, default: str) -> str:
    return before if value is None else value if value.strip() else default


def _check_draft(draft: TargetDraft, at: str) -> Refusal | None:
    return (
        check_name(draft.name, f"{at}.name", too_long=TARGET_NAME_TOO_LONG)
        or check_choice(draft.target_entity, f"{at}.targetEntity", TARGET_TYPES)
        or check_choice(draft.target_type, f"{at}.targetType", ALL_TARGET_TYPES)
        or check_text(draft.event_name, f"{at}.eventName", NAME_CHARACTERS_MAX)
        or check_text(draft.description, f"{at}.description", DESCRIPTION_CHARACTERS_MAX)
        or check_text(draft.expression, f"{at}.expression", EXPRESSION_CHARACTERS_MAX)
        or check_text(draft.expression_json, f"{at}.expressionJson", EXPRESSION_JSON_CHARACTERS_MAX)
        or check_filters(draft.filters, f"{at}.filters")
        or check_choice(draft.enrolment_method, f"{at}.enrolmentMethod", ENROLMENT_METHODS)
        or check_json(draft.extended_field_info, f"{at}.extendedFieldInfo")
        or check_json(draft.aggregate_window, f"{at}.aggregateWindow")
        or check_window(draft.aggregate_window, f"{at}.aggregateWindow")
        or check_rewards(draft.rewards, f"{at}.rewards")
        or _check_values(draft.default_values, f"{at}.defaultValues")
    )


def _check_values(drafts: Sequence[ValueDraft] | None, at: str) -> Refusal | None:
    refusal = check_count(drafts or (), at, PERIODS_MAX)
    for index, draft in enumerate(drafts or ()):
        refusal = refusal or check_amount(draft.value, f"{at}[{index}].defaultValue")
    return refusal


def _asked(
    drafts: Sequence[ValueDraft], periods: Sequence[Period], at: str
) -> dict[int, Decimal] | Refusal:
    """What is asked by period id: entries name their periods, or follow `periods` (contract §4).

    Without names one entry serves every cycle and any other count must be the periods'.
    """
    named = [draft.period_id is not None for draft in drafts]
    if all(named) and named:
        by_period = {draft.period_id or 0: draft.value for draft in drafts}
        if len(by_period) < len(drafts) or by_period.keys() - {period.id for period in periods}:
            return refuse(at, "each periodId must be one of the group's, and once")
        return by_period
    if any(named):
        return refuse(at, "either every entry has a periodId or none has")
    if len(drafts) not in (1, len(periods)):
        return refuse(at, f"must have 1 entry or {len(periods)}, one for each period")
    values = [draft.value for draft in drafts] * (1 if len(drafts) > 1 else len(periods))
    return {period.id: value for period, value in zip(periods, values, strict=True)}


def _find(group: TargetGroup, draft: TargetDraft, *, alone: bool) -> Target | None:
    if draft.id is not None:
        return group.targets_by_id.get(draft.id)
    if alone and len(group.targets) == 1:
        return group.targets[0]
    return next(
        (
            target
            for target in group.targets
            if draft.name is not None and name_key(target.name) == name_key(draft.name)
        ),
        None,
    )


def _with_changed(
    group: TargetGroup, changed: Mapping[int, Target], actor: Actor
) -> TargetGroup | Refusal:
    after = with_targets(group, [changed.get(target.id, target) for target in group.targets])
    refusal = check_targets(after)
    if refusal is not None:
        return refusal
    return replace(after, updated=actor) if after != group else group
