"""How definitions are shown (domain: milestones §2.1–2.4, contract §4).

Dates without time are local to the group's zone; `Z` is true UTC, and each `…ISO` twin is the same
instant with the local offset. An end is shown as the last instant that it includes.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import msgspec
from msgspec import UNSET, UnsetType

from milepost.rules.calendar import (
    Window,
    period_status,
    written_date,
    written_end_date,
    written_instant,
    written_instant_offset,
)
from milepost.rules.definitions import (
    Actor,
    Period,
    RewardDefinition,
    StreakLevel,
    Target,
    TargetGroup,
)

Number = Annotated[Decimal, msgspec.Meta(description="An exact decimal, as a JSON number.")]
AnyNumber = Annotated[
    Decimal, msgspec.Meta(description="An exact decimal: a JSON number, or a text of one.")
]

_THREE_PLACES = Decimal("0.001")


def wire_name(field: str) -> str:
    """The wire's spelling of a field: `period_ref_code` → `periodRefCode`, `…_iso` → `…ISO`."""
    first, *rest = field.split("_")
    return first + "".join("ISO" if part == "iso" else part.capitalize() for part in rest)


class View(msgspec.Struct, rename=wire_name):
    """Any of the views."""


class ActorView(View):
    """Who wrote a definition: `id` is the till's credential."""

    id: int
    code: str | None = None
    description: str | None = None
    name: str | None = None
    type: str = "TILL"


class AttributionView(View):
    """When and by whom a definition was made and last changed."""

    created_on: str
    created_on_iso: str
    created_by: ActorView
    last_updated_on: str
    last_updated_on_iso: str
    last_updated_by: ActorView


class RewardView(View):
    """One entry of `rewards`."""

    name: str
    type: str
    value: Number
    reference: str | None


class PeriodView(View):
    """A period; `periodStatus` is NOT_STARTED, RUNNING or ENDED."""

    id: int
    target_group_id: int
    ref_code: str
    description: str
    start_date: str
    end_date: str
    start_date_iso: str
    end_date_iso: str
    period_status: str
    active: bool
    attribution: AttributionView


class ValueView(View):
    """The value to reach in one period, with three decimals or all that it has."""

    id: int
    period_id: int
    default_value: Number


class TriggerView(View):
    """A sub-target."""

    id: int
    trigger_name: str
    description: str
    is_active: bool
    trigger_type: str
    trigger_value_type: str
    trigger_value: Number
    target_rule_id: int


class TargetView(View, kw_only=True):
    """A target. `emfRuleSetId` means nothing here; payloads have always had it."""

    id: int
    target_group_id: int
    name: str
    description: str
    active: bool
    target_entity: str
    target_type: str
    event_name: str
    expression: str
    expression_json: str | None
    filters: list[dict[str, Any]]
    enrolment_method: str
    default_values: list[ValueView]
    target_period_default_values_map: dict[str, ValueView]
    extended_field_info: dict[str, Any] | None
    aggregate_window: dict[str, Any] | None
    target_milestone_triggers: list[TriggerView]
    target_audience_filter: list[dict[str, Any]] = []
    emf_rule_set_id: int | UnsetType = UNSET
    emf_unrolled_ruleset_id: int | UnsetType = UNSET
    rewards: list[RewardView]
    attribution: AttributionView


class LevelView(View):
    """A streak level."""

    id: int
    target_group_id: int
    name: str
    target_count_of_sequence: int
    rewards: list[RewardView]
    attribution: AttributionView


class UnifiedExpressionView(View):
    """`unifiedTargetExpression` with its `ruleExpression`, built of the target ids."""

    aggregation: str | None
    threshold_value: Number | None
    rule_expression: str | None


class GroupView(View, kw_only=True):
    """A target group. `periods` only when asked for, `activePeriod` only while one runs."""

    id: int
    org_id: int
    name: str
    description: str
    active: bool
    preferred_till_id: int
    tracking_type: str
    target_evaluation_type: str
    total_periods: int
    frequency_type: str
    frequency: int
    recurring_cycles: int
    from_date: str
    to_date: str
    target_cycle_start_date: str
    target_cycle_start_date_iso: str
    target_cycle_end_date: str
    target_cycle_end_date_iso: str
    time_zone_name: str
    user_created: bool
    leaderboard_enabled: bool
    reward_allocation: str
    track_from_enrolment_date: bool
    settlement_delay_days: int
    carry_returns_forward: bool
    created_on: int
    periods: list[PeriodView] | UnsetType = UNSET
    active_period: PeriodView | UnsetType = UNSET
    targets: list[TargetView]
    streaks: list[LevelView]
    combination_type: str | UnsetType = UNSET
    unified_target_expression: UnifiedExpressionView | UnsetType = UNSET
    attribution: AttributionView


class UnifiedTargetsView(View):
    """What an edit of a unified group answers: the threshold and the targets that it named."""

    unified_target_expression: UnifiedExpressionView
    targets: list[TargetView]
    deactivate_target_ids: list[int]


def group_view(
    group: TargetGroup, org_id: int, now: datetime, *, with_periods: bool = True
) -> GroupView:
    """A group as of `now`."""
    last_at = _last_instant(group.cycle_ends_at)
    running = next((period for period in group.periods if period.running(now)), None)
    expression = group.unified_target_expression
    return GroupView(
        id=group.id,
        org_id=org_id,
        name=group.name,
        description=group.description,
        active=group.active,
        preferred_till_id=group.preferred_till_id,
        tracking_type=group.tracking_type,
        target_evaluation_type=group.evaluation_type,
        total_periods=group.total_periods,
        frequency_type=group.frequency_type,
        frequency=group.frequency,
        recurring_cycles=group.recurring_cycles,
        from_date=written_date(group.cycle_starts_at, group.zone),
        to_date=written_end_date(group.cycle_ends_at, group.zone),
        target_cycle_start_date=written_instant(group.cycle_starts_at),
        target_cycle_start_date_iso=written_instant_offset(group.cycle_starts_at, group.zone),
        target_cycle_end_date=written_instant(last_at),
        target_cycle_end_date_iso=written_instant_offset(last_at, group.zone),
        time_zone_name=group.time_zone,
        user_created=group.user_created,
        leaderboard_enabled=group.leaderboard_enabled,
        reward_allocation=group.reward_allocation,
        track_from_enrolment_date=group.track_from_enrolment_date,
        settlement_delay_days=group.settlement_delay_days,
        carry_returns_forward=group.carry_returns_forward,
        created_on=_epoch_milliseconds(group.created),
        periods=[period_view(group, period, now) for period in group.periods]
        if with_periods
        else UNSET,
        active_period=UNSET if running is None else period_view(group, running, now),
        targets=[target_view(group, target) for target in group.targets],
        streaks=[_level_view(group, level) for level in group.levels],
        combination_type=group.combination_type or UNSET,
        unified_target_expression=UNSET if expression is None else unified_view(expression),
        attribution=attribution_of(group.created, group.updated, group.zone),
    )


def period_view(group: TargetGroup, period: Period, now: datetime) -> PeriodView:
    """A period of the group as of `now`."""
    return PeriodView(
        id=period.id,
        target_group_id=group.id,
        ref_code=period.ref_code,
        description=period.description,
        start_date=written_date(period.starts_at, group.zone),
        end_date=written_end_date(period.ends_at, group.zone),
        start_date_iso=written_instant_offset(period.starts_at, group.zone),
        end_date_iso=written_instant_offset(_last_instant(period.ends_at), group.zone),
        period_status=period_status(Window(period.starts_at, period.ends_at), now),
        active=period.active,
        attribution=attribution_of(period.created, period.updated, group.zone),
    )


def target_view(group: TargetGroup, target: Target) -> TargetView:
    """A target of the group, its values in the order of the periods."""
    in_order = [target.values[period.id] for period in group.periods if period.id in target.values]
    values = [
        ValueView(id=value.id, period_id=value.period_id, default_value=written_value(value.value))
        for value in in_order
    ]
    # The vendor's capping and currency targets have no rule set.
    ruled = group.tracking_type != "CAPPING" and target.target_entity != "ALTERNATE_CURRENCIES"
    return TargetView(
        id=target.id,
        target_group_id=group.id,
        name=target.name,
        description=target.description,
        active=target.active,
        target_entity=target.target_entity,
        target_type=target.target_type,
        event_name=target.event_name,
        expression=target.expression,
        expression_json=target.expression_json,
        filters=[dict(each) for each in target.filters],
        enrolment_method=target.enrolment_method,
        default_values=values,
        target_period_default_values_map={str(value.period_id): value for value in values},
        extended_field_info=_optional_dict(target.extended_field_info),
        aggregate_window=_optional_dict(target.aggregate_window),
        target_milestone_triggers=[
            _trigger_view(target, trigger) for trigger in target.milestone_triggers
        ],
        emf_rule_set_id=target.id if ruled else UNSET,
        emf_unrolled_ruleset_id=(target.id if target.target_entity == "LINEITEM" else 0)
        if ruled
        else UNSET,
        rewards=_reward_views(target.rewards),
        attribution=attribution_of(target.created, target.updated, group.zone),
    )


def unified_view(expression: Mapping[str, Any]) -> UnifiedExpressionView:
    """A group's stored `unifiedTargetExpression`."""
    threshold = expression.get("thresholdValue")
    return UnifiedExpressionView(
        aggregation=expression.get("aggregation"),
        threshold_value=None if threshold is None else written_value(Decimal(threshold)),
        rule_expression=expression.get("ruleExpression"),
    )


def written_value(value: Decimal) -> Decimal:
    """A value with three decimals, or with all it has if they are more; nothing is rounded."""
    exponent = value.as_tuple().exponent
    if isinstance(exponent, int) and exponent >= -3:
        return value.quantize(_THREE_PLACES)
    return value


def _level_view(group: TargetGroup, level: StreakLevel) -> LevelView:
    return LevelView(
        id=level.id,
        target_group_id=group.id,
        name=level.name,
        target_count_of_sequence=level.target_count,
        rewards=_reward_views(level.rewards),
        attribution=attribution_of(level.created, level.updated, group.zone),
    )


def _trigger_view(target: Target, trigger: Mapping[str, Any]) -> TriggerView:
    return TriggerView(
        id=trigger["id"],
        trigger_name=trigger["triggerName"],
        description=trigger["description"],
        is_active=trigger["isActive"],
        trigger_type=trigger["triggerType"],
        trigger_value_type=trigger["triggerValueType"],
        trigger_value=written_value(Decimal(trigger["triggerValue"])),
        target_rule_id=target.id,
    )


def _reward_views(rewards: tuple[RewardDefinition, ...]) -> list[RewardView]:
    return [
        RewardView(
            name=reward.name, type=reward.type, value=reward.value, reference=reward.reference
        )
        for reward in rewards
    ]


def attribution_of(created: Actor | None, updated: Actor | None, zone: ZoneInfo) -> AttributionView:
    """Who made a definition and who changed it last; a stored one always has both."""
    assert created is not None
    assert updated is not None
    return AttributionView(
        created_on=attribution_instant(created.at),
        created_on_iso=written_instant_offset(created.at, zone),
        created_by=ActorView(id=created.credential_id),
        last_updated_on=attribution_instant(updated.at),
        last_updated_on_iso=written_instant_offset(updated.at, zone),
        last_updated_by=ActorView(id=updated.credential_id),
    )


def attribution_instant(at: datetime) -> str:
    """`2031-04-30T08:00:00.000+0000`: how attributions have always been written."""
    return written_instant(at).removesuffix("Z") + "+0000"


def _epoch_milliseconds(actor: Actor | None) -> int:
    assert actor is not None
    return int(actor.at.timestamp()) * 1000 + actor.at.microsecond // 1000


def _last_instant(ends_at: datetime) -> datetime:
    return ends_at - timedelta.resolution


def _optional_dict(value: Mapping[str, object] | None) -> dict[str, Any] | None:
    return None if value is None else dict(value)
