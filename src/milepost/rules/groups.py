"""Target groups: defined, and changed as a whole (domain: milestones §2.1, §3.5, §4.5, §4.9).

A new group is a blank one with a draft written over it, a changed one likewise; its periods, targets
and levels are made by the rules of their own files.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from milepost.errors import (
    LEADERBOARD_NOT_ENABLED,
    LEADERBOARD_WINDOW_UNSUPPORTED,
    TARGET_GROUP_NAME_TAKEN,
    TARGET_NOT_FOUND,
    Refusal,
)
from milepost.rules.calendar import LATEST_AT, Interval, local_date, local_instant, nth_date, zone
from milepost.rules.checks import (
    DESCRIPTION_CHARACTERS_MAX,
    INT32_MAX,
    INT32_MIN,
    INT64_MAX,
    INT64_MIN,
    check_amount,
    check_choice,
    check_count,
    check_given,
    check_integer,
    check_name,
    check_text,
    refuse,
)
from milepost.rules.definitions import (
    EVALUATION_TYPES,
    FIXED,
    REWARD_ALLOCATIONS,
    TRACKING_TYPES,
    Actor,
    Definitions,
    Period,
    TargetGroup,
)
from milepost.rules.drafts import (
    PERIODS_MAX,
    TARGETS_MAX,
    GroupDraft,
    PeriodDraft,
    TargetDraft,
    UnifiedDraft,
    said,
)
from milepost.rules.levels import check_levels, edited_levels, new_levels
from milepost.rules.names import group_names, name_key
from milepost.rules.periods import (
    edit_periods,
    find_period,
    generated_periods,
    new_periods,
    read_end,
    read_start,
    with_periods,
)
from milepost.rules.targets import (
    check_targets,
    edited_targets,
    new_targets,
    with_targets,
)

FREQUENCY_TYPES = ("DAILY", "WEEKLY", "MONTHLY", "QUARTERLY", "HALF_YEARLY", "YEARLY", "CUSTOM")
COMBINATION_TYPES = ("ALL", "ANY")
AGGREGATIONS = ("SUM", "COUNT")
SETTLEMENT_DELAY_DAYS_MAX = 365
# The window of a group that has no periods yet and names none (§2.1).
_WINDOW = Interval("MONTH", 60)

# What a group keeps for good: attribute and field (§2.1, §3.5).
_FROZEN = (
    ("tracking_type", "trackingType"),
    ("evaluation_type", "targetEvaluationType"),
    ("time_zone", "timeZoneName"),
    ("user_created", "userCreated"),
    ("frequency_type", "frequencyType"),
    ("frequency", "frequency"),
    ("recurring_cycles", "recurringCycles"),
    ("combination_type", "combinationType"),
)


def define_group(
    definitions: Definitions,
    draft: GroupDraft,
    ids: Iterator[int],
    actor: Actor,
    *,
    group_id: int | None = None,
    target_ids: Sequence[int] = (),
) -> TargetGroup | Refusal:
    """The target group that a draft describes (POST /targetGroups), or the first thing wrong with it.

    `actor.at` is now. `ids` gives at least `ids_needed(draft)` fresh ids; ids in the draft are
    ignored. `group_id` and `target_ids` (the first targets', in order) are given ids, for demo data.

    A group may come without periods to get them by `add_periods`, and its targets after them (§3.5,
    "three calls"): if it has neither targets nor `frequencyType` nor `recurringCycles`. Otherwise
    periods that are not sent are generated.
    """
    refusal = (
        check_given(draft.name, "name")
        or check_given(draft.tracking_type, "trackingType")
        or _check_draft(definitions, draft, None)
    )
    if refusal is not None:
        return refusal
    zone_name = said(draft.time_zone_name, definitions.time_zone)
    group_zone = zone(zone_name)
    if isinstance(group_zone, Refusal):
        return replace(group_zone, detail=f"timeZoneName: {group_zone.detail}")
    window = _read_window(draft, group_zone, actor.at)
    if isinstance(window, Refusal):
        return window
    blank = TargetGroup(
        next(ids) if group_id is None else group_id, "", "", zone_name, *window,
        created=actor, updated=actor,
    )  # fmt: skip
    group = _written(blank, draft)
    refusal = _check_group(group)
    if refusal is not None:
        return refusal
    periods = _periods_of(draft, group, ids, actor)
    if isinstance(periods, Refusal):
        return periods
    group = with_periods(group, periods)
    targets = new_targets(
        definitions, group, _positional(draft.targets), periods, ids, actor, target_ids
    )
    if isinstance(targets, Refusal):
        return targets
    levels = new_levels(definitions, draft.levels, ids, actor)
    if isinstance(levels, Refusal):
        return levels
    group = replace(
        with_targets(group, targets),
        levels=levels,
        total_periods=said(draft.total_periods, len(periods)),
    )
    return check_targets(group) or check_levels(group) or group


def edit_group(
    definitions: Definitions,
    group: TargetGroup,
    draft: GroupDraft,
    ids: Iterator[int],
    actor: Actor,
) -> TargetGroup | Refusal:
    """The group as changed by a whole group object (PUT /targetGroups/editTargetGroup/{id}).

    Absent fields stay as they are; what is not listed in `periods`, `targets` or `levels` does too.
    Those listed are changed as `edit_periods`, `edit_target` and `edited_levels` would; a new one is
    refused, for there are calls that add. A target is named by id, else by name, and the only one of
    a group by neither. What `_FROZEN` lists may only be sent as it is. The group's dates follow its
    periods and `totalPeriods` is counted, whatever is sent.
    """
    refusal = _check_draft(definitions, draft, group)
    if refusal is not None:
        return refusal
    window = _read_window(draft, group.zone, group.cycle_starts_at)
    if isinstance(window, Refusal):
        return window
    after = replace(_written(group, draft), time_zone=said(draft.time_zone_name, group.time_zone))
    refusal = _check_frozen(group, after) or _check_group(after)
    if refusal is not None:
        return refusal
    moved = edit_periods(after, draft.periods, actor)
    if isinstance(moved, Refusal):
        return moved
    order = _order_sent(group, draft.periods)
    targets = edited_targets(definitions, moved, draft.targets, order, ids, actor)
    if isinstance(targets, Refusal):
        return targets
    levels = edited_levels(group, draft.levels, actor)
    if isinstance(levels, Refusal):
        return levels
    after = replace(with_targets(moved, targets), levels=levels, total_periods=len(moved.periods))
    refusal = check_targets(after)
    if refusal is not None:
        return refusal
    return replace(after, updated=actor) if after != group else group


def edit_unified(
    definitions: Definitions,
    group: TargetGroup,
    threshold_value: Decimal | None,
    targets: Sequence[TargetDraft],
    deactivate_target_ids: Sequence[int],
    ids: Iterator[int],
    actor: Actor,
) -> TargetGroup | Refusal:
    """The unified group with changed, new and deactivated targets (PUT …/unifiedTargets, UUT).

    A target with an id is changed, 310018 if it is not the group's; one without is new. Two active
    ones must remain. `ids` as for `ids_needed_to_add(targets=targets)`.
    """
    if group.tracking_type != "UNIFIED":
        return refuse("trackingType", "the group is not UNIFIED")
    refusal = (
        check_amount(threshold_value, "unifiedTargetExpression.thresholdValue")
        or check_count(targets, "targets", TARGETS_MAX)
        or check_count(deactivate_target_ids, "deactivateTargetIds", TARGETS_MAX)
    )
    if refusal is not None:
        return refusal
    after = _with_expression(group, UnifiedDraft(threshold_value=threshold_value))
    edited = edited_targets(definitions, after, targets, group.periods, ids, actor, adding=True)
    if isinstance(edited, Refusal):
        return edited
    leaving = set(deactivate_target_ids)
    if leaving - group.targets_by_id.keys():
        return Refusal(TARGET_NOT_FOUND)
    left = {target.id for target in edited if target.id in leaving and target.active}
    after = with_targets(
        after,
        [
            replace(target, active=False, updated=actor) if target.id in left else target
            for target in edited
        ],
    )
    refusal = check_targets(after)
    if refusal is not None:
        return refusal
    return replace(after, updated=actor) if after != group else group


def _check_draft(
    definitions: Definitions, draft: GroupDraft, group: TargetGroup | None
) -> Refusal | None:
    """What is wrong with single fields of the draft; `group` is the one it changes, if any."""
    refusal = check_name(draft.name, "name")
    if refusal is not None:
        return refusal
    owner = None if draft.name is None else group_names(definitions).get(name_key(draft.name))
    if owner is not None and (group is None or owner != group.id):
        return Refusal(TARGET_GROUP_NAME_TAKEN)
    expression = said(draft.unified_target_expression, UnifiedDraft())
    expression_at = "unifiedTargetExpression"
    return (
        check_choice(draft.tracking_type, "trackingType", (*TRACKING_TYPES, "STREAK"))
        or check_choice(draft.evaluation_type, "targetEvaluationType", EVALUATION_TYPES)
        or check_text(draft.description, "description", DESCRIPTION_CHARACTERS_MAX)
        or check_integer(draft.preferred_till_id, "preferredTillId", INT64_MIN, INT64_MAX)
        or check_integer(draft.total_periods, "totalPeriods", INT32_MIN, INT32_MAX)
        or check_choice(draft.frequency_type, "frequencyType", FREQUENCY_TYPES)
        or check_integer(draft.frequency, "frequency", INT32_MIN, INT32_MAX)
        or check_integer(draft.recurring_cycles, "recurringCycles", INT32_MIN, PERIODS_MAX)
        or check_choice(draft.reward_allocation, "rewardAllocation", REWARD_ALLOCATIONS)
        or check_integer(
            draft.settlement_delay_days, "settlementDelayDays", 0, SETTLEMENT_DELAY_DAYS_MAX
        )
        or check_choice(draft.combination_type, "combinationType", COMBINATION_TYPES)
        or check_choice(expression.aggregation, f"{expression_at}.aggregation", AGGREGATIONS)
        or check_amount(expression.threshold_value, f"{expression_at}.thresholdValue")
    )


def _written(group: TargetGroup, draft: GroupDraft) -> TargetGroup:
    """The group with the checked draft's fields; periods, targets, levels and dates left out."""
    tracking_type = said(draft.tracking_type, group.tracking_type).upper()
    after = replace(
        group,
        name=said(draft.name, group.name),
        tracking_type="STREAKS" if tracking_type == "STREAK" else tracking_type,
        evaluation_type=said(draft.evaluation_type, group.evaluation_type).upper(),
        description=said(draft.description, group.description),
        active=said(draft.active, group.active),
        preferred_till_id=said(draft.preferred_till_id, group.preferred_till_id),
        frequency_type=said(draft.frequency_type, group.frequency_type).upper(),
        frequency=said(draft.frequency, group.frequency),
        recurring_cycles=said(draft.recurring_cycles, group.recurring_cycles),
        user_created=said(draft.user_created, group.user_created),
        leaderboard_enabled=said(draft.leaderboard_enabled, group.leaderboard_enabled),
        reward_allocation=said(draft.reward_allocation, group.reward_allocation).upper(),
        track_from_enrolment_date=said(
            draft.track_from_enrolment_date, group.track_from_enrolment_date
        ),
        settlement_delay_days=said(draft.settlement_delay_days, group.settlement_delay_days),
        carry_returns_forward=said(draft.carry_returns_forward, group.carry_returns_forward),
    )
    if after.tracking_type != "UNIFIED":
        return after
    combination_type = after.combination_type
    if draft.combination_type is not None:
        combination_type = draft.combination_type.upper()
    return _with_expression(
        replace(after, combination_type=combination_type),
        said(draft.unified_target_expression, UnifiedDraft()),
    )


def _with_expression(group: TargetGroup, draft: UnifiedDraft) -> TargetGroup:
    """The unified group with its expression's fields; `ruleExpression` is left to `with_targets`.

    `thresholdValue` is kept as the decimal's text, for a JSON number would pass through a float.
    """
    before = group.unified_target_expression or {}
    aggregation, value = before.get("aggregation"), before.get("thresholdValue")
    if draft.aggregation is not None:
        aggregation = draft.aggregation.upper()
    asked = draft.threshold_value
    if asked is not None and (value is None or Decimal(str(value)) != asked):
        value = str(asked)
    expression = {
        "aggregation": aggregation,
        "thresholdValue": value,
        "ruleExpression": before.get("ruleExpression", "()"),
    }
    return replace(group, unified_target_expression=expression)


def _check_group(group: TargetGroup) -> Refusal | None:
    """Whether the fields of a group go together."""
    if group.leaderboard_enabled:
        return Refusal(
            LEADERBOARD_NOT_ENABLED if group.is_fixed else LEADERBOARD_WINDOW_UNSUPPORTED
        )
    unified = group.tracking_type == "UNIFIED"
    if (unified or group.is_streak) and not group.is_fixed:
        return refuse("targetEvaluationType", f"{group.tracking_type} needs {FIXED}")
    if not unified:
        return None
    if group.combination_type is None:
        return refuse("combinationType", "is required for UNIFIED")
    expression = group.unified_target_expression or {}
    if expression.get("aggregation") is not None:
        if expression.get("thresholdValue") is None:
            return refuse("unifiedTargetExpression.thresholdValue", "aggregation needs it")
        if group.combination_type != "ALL":
            return refuse("unifiedTargetExpression.aggregation", "needs combinationType ALL")
    return None


def _check_frozen(group: TargetGroup, after: TargetGroup) -> Refusal | None:
    for attribute, field in _FROZEN:
        if getattr(after, attribute) != getattr(group, attribute):
            return refuse(field, "cannot change once the group exists")
    before = group.unified_target_expression or {}
    expression = after.unified_target_expression or {}
    if expression.get("aggregation") != before.get("aggregation"):
        return refuse("unifiedTargetExpression.aggregation", "cannot change once the group exists")
    return None


def _read_window(
    draft: GroupDraft, group_zone: ZoneInfo, now: datetime
) -> tuple[datetime, datetime] | Refusal:
    """What the group's own dates say: `targetCycle…Date`, else `fromDate` and `toDate`, else from
    `now` on and for five years (§2.1). All that are sent must be dates.
    """
    dates = (
        (draft.target_cycle_start_date, "targetCycleStartDate", read_start),
        (draft.from_date, "fromDate", read_start),
        (draft.target_cycle_end_date, "targetCycleEndDate", read_end),
        (draft.to_date, "toDate", read_end),
    )
    read = []
    for text, field, reader in dates:
        at = None if text is None else reader(text, group_zone, field)
        if isinstance(at, Refusal):
            return at
        read.append(at)
    starts_at = read[0] or read[1] or now
    return starts_at, read[2] or read[3] or _five_years_after(starts_at, group_zone)


def _five_years_after(at: datetime, group_zone: ZoneInfo) -> datetime:
    on = nth_date(local_date(at, group_zone), _WINDOW, 1)
    if isinstance(on, Refusal):
        return LATEST_AT
    return local_instant(datetime.combine(on, at.astimezone(group_zone).time()), group_zone)


def _periods_of(
    draft: GroupDraft, group: TargetGroup, ids: Iterator[int], actor: Actor
) -> tuple[Period, ...] | Refusal:
    """The periods of a new group: those sent, else generated ones, else none yet."""
    if draft.periods:
        return new_periods(draft.periods, group.zone, ids, actor)
    asked = draft.frequency_type is not None or draft.recurring_cycles is not None
    if asked or draft.targets:
        return generated_periods(group, group.cycle_starts_at, ids, actor)
    if group.cycle_ends_at <= group.cycle_starts_at:
        return refuse("targetCycleEndDate", "must be after targetCycleStartDate")
    return ()


def _positional(drafts: Sequence[TargetDraft]) -> tuple[TargetDraft, ...]:
    """The drafts with values by position alone: a group that is being made has no period ids."""
    return tuple(
        draft
        if draft.default_values is None
        else replace(
            draft,
            default_values=tuple(replace(entry, period_id=None) for entry in draft.default_values),
        )
        for draft in drafts
    )


def _order_sent(group: TargetGroup, drafts: Sequence[PeriodDraft]) -> Sequence[Period]:
    """The group's periods in the order sent, if all of them were, else in their own."""
    sent = [find_period(group, draft) for draft in drafts]
    in_order = tuple(period for period in sent if period is not None)
    return in_order if len(in_order) == len(group.periods) else group.periods
