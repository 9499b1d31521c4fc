"""What callers send to define target groups, and how it becomes drafts (domain: milestones §2.1–2.4).

The structs hold types and sizes; every other limit is a rule's. As the vendor does, some fields take
two types: `expression` also a boolean, `refCode` also an integer, a value also a numeric string.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, TypeVar

import msgspec

from milepost.api import wire
from milepost.api.target_group_views import AnyNumber, Number, wire_name
from milepost.rules.definitions import RewardDefinition
from milepost.rules.drafts import (
    GroupDraft,
    LevelDraft,
    PeriodDraft,
    TargetDraft,
    TriggerDraft,
    UnifiedDraft,
    ValueDraft,
)

B = TypeVar("B")
D = TypeVar("D")

Count = Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31 - 1)]
LongText = Annotated[str, msgspec.Meta(max_length=100_000)]


class Body(msgspec.Struct, rename=wire_name, omit_defaults=True):
    """Any of the bodies: an absent field and null are the same."""


class RewardBody(Body):
    """One entry of `rewards` (contract §4)."""

    name: wire.Text
    type: wire.Text
    value: Number
    reference: wire.Text | None = None


class PeriodBody(Body):
    """A period; dates as in contract §4 ("Dates"). `periodStatus` is reckoned, never taken."""

    id: wire.Id | None = None
    ref_code: wire.Id | wire.Text | None = None
    start_date: wire.Text | None = None
    end_date: wire.Text | None = None
    description: wire.Text | None = None
    active: bool | None = None


class ValueBody(Body):
    """One entry of `defaultValues`: for the period named, else by its position."""

    default_value: AnyNumber
    period_id: wire.Id | None = None


class FilterBody(Body):
    """One entry of `filters`: `entityType` STORE, ZONE or CONCEPT."""

    entity_type: wire.Text
    entity_ids: list[wire.Id] = msgspec.field(default_factory=list)


class AggregateWindowBody(Body):
    """`aggregateWindow`: the best value of a time unit counts."""

    window_type: wire.Text | None = None
    window_time_unit: wire.Text | None = None
    window_value: Count | None = None


class ExtendedFieldInfoBody(Body):
    """`extendedFieldInfo`: what is summed or counted, for the targetTypes that need telling."""

    name: wire.Text | None = None
    aggregate_function: wire.Text | None = None
    aggregate_window: AggregateWindowBody | None = None
    alternate_currency_identifier: wire.Text | None = None
    program_id: wire.Id | None = None


class TriggerBody(Body):
    """One entry of `targetMilestoneTriggers`."""

    id: wire.Id | None = None
    trigger_name: wire.Text | None = None
    description: wire.Text | None = None
    is_active: bool | None = None
    trigger_value_type: wire.Text | None = None
    trigger_value: AnyNumber | None = None


class TargetBody(Body):
    """A target."""

    id: wire.Id | None = None
    name: wire.Text | None = None
    description: wire.Text | None = None
    active: bool | None = None
    target_entity: wire.Text | None = None
    target_type: wire.Text | None = None
    event_name: wire.Text | None = None
    expression: bool | wire.Text | None = None
    """CEL (contract §4, "Expressions")."""
    expression_json: LongText | None = None
    filters: list[FilterBody] | None = None
    enrolment_method: wire.Text | None = None
    default_values: list[ValueBody] | None = None
    extended_field_info: ExtendedFieldInfoBody | None = None
    aggregate_window: AggregateWindowBody | None = None
    target_milestone_triggers: list[TriggerBody] | None = None
    rewards: list[RewardBody] | None = None


class LevelBody(Body):
    """A streak level."""

    id: wire.Id | None = None
    name: wire.Text | None = None
    target_count_of_sequence: Count | None = None
    rewards: list[RewardBody] | None = None


class UnifiedExpressionBody(Body):
    """`unifiedTargetExpression`; its `ruleExpression` is built, never taken."""

    aggregation: wire.Text | None = None
    threshold_value: AnyNumber | None = None


class GroupBody(Body):
    """A target group with its periods, targets and streak levels."""

    name: wire.Text | None = None
    description: wire.Text | None = None
    active: bool | None = None
    preferred_till_id: wire.Id | None = None
    tracking_type: wire.Text | None = None
    target_evaluation_type: wire.Text | None = None
    total_periods: Count | None = None
    frequency_type: wire.Text | None = None
    frequency: Count | None = None
    recurring_cycles: Count | None = None
    from_date: wire.Text | None = None
    to_date: wire.Text | None = None
    target_cycle_start_date: wire.Text | None = None
    target_cycle_end_date: wire.Text | None = None
    time_zone_name: wire.Text | None = None
    user_created: bool | None = None
    leaderboard_enabled: bool | None = None
    reward_allocation: wire.Text | None = None
    track_from_enrolment_date: bool | None = None
    settlement_delay_days: Count | None = None
    carry_returns_forward: bool | None = None
    combination_type: wire.Text | None = None
    unified_target_expression: UnifiedExpressionBody | None = None
    periods: list[PeriodBody] | None = None
    targets: list[TargetBody] | None = None
    streaks: list[LevelBody] | None = None


class UnifiedTargetsBody(Body):
    """Changes to a unified group: its threshold, its targets (new ones have no id), those to stop."""

    unified_target_expression: UnifiedExpressionBody | None = None
    targets: list[TargetBody] | None = None
    deactivate_target_ids: list[wire.Id] | None = None


class NameBody(Body):
    """A name to check: `type` targetGroupName, streakName, targetName, streakLevelName, periodName."""

    value: wire.Text
    type: wire.Text | None = None


PeriodBodies = list[PeriodBody] | PeriodBody
TargetBodies = list[TargetBody] | TargetBody
OneTargetBody = Annotated[list[TargetBody], msgspec.Meta(min_length=1, max_length=1)] | TargetBody


def group_draft(body: GroupBody) -> GroupDraft:
    """The draft of a whole group."""
    unified = body.unified_target_expression
    return GroupDraft(
        name=body.name,
        tracking_type=body.tracking_type,
        evaluation_type=body.target_evaluation_type,
        description=body.description,
        active=body.active,
        preferred_till_id=body.preferred_till_id,
        total_periods=body.total_periods,
        frequency_type=body.frequency_type,
        frequency=body.frequency,
        recurring_cycles=body.recurring_cycles,
        from_date=body.from_date,
        to_date=body.to_date,
        target_cycle_start_date=body.target_cycle_start_date,
        target_cycle_end_date=body.target_cycle_end_date,
        time_zone_name=body.time_zone_name,
        user_created=body.user_created,
        leaderboard_enabled=body.leaderboard_enabled,
        reward_allocation=body.reward_allocation,
        track_from_enrolment_date=body.track_from_enrolment_date,
        settlement_delay_days=body.settlement_delay_days,
        carry_returns_forward=body.carry_returns_forward,
        combination_type=body.combination_type,
        unified_target_expression=UnifiedDraft(unified.aggregation, unified.threshold_value)
        if unified is not None
        else None,
        periods=period_drafts(body.periods or ()),
        targets=target_drafts(body.targets or ()),
        levels=tuple(
            LevelDraft(
                level.name,
                level.target_count_of_sequence,
                reward_definitions(level.rewards),
                level.id,
            )
            for level in body.streaks or ()
        ),
    )


def period_drafts(bodies: Sequence[PeriodBody] | PeriodBody) -> tuple[PeriodDraft, ...]:
    """The drafts of periods; a bare object is a list of one."""
    return tuple(
        PeriodDraft(
            ref_code=str(body.ref_code) if body.ref_code is not None else None,
            start_date=body.start_date,
            end_date=body.end_date,
            description=body.description,
            active=body.active,
            id=body.id,
        )
        for body in ([bodies] if isinstance(bodies, PeriodBody) else bodies)
    )


def target_drafts(bodies: Sequence[TargetBody] | TargetBody) -> tuple[TargetDraft, ...]:
    """The drafts of targets; a bare object is a list of one."""
    return tuple(
        _target_draft(body) for body in ([bodies] if isinstance(bodies, TargetBody) else bodies)
    )


def _target_draft(body: TargetBody) -> TargetDraft:
    return TargetDraft(
        name=body.name,
        target_entity=body.target_entity,
        target_type=body.target_type,
        event_name=body.event_name,
        description=body.description,
        active=body.active,
        expression=str(body.expression).lower()
        if isinstance(body.expression, bool)
        else body.expression,
        expression_json=body.expression_json,
        filters=_each(body.filters, _object),
        enrolment_method=body.enrolment_method,
        extended_field_info=_object(body.extended_field_info) if body.extended_field_info else None,
        aggregate_window=_object(body.aggregate_window) if body.aggregate_window else None,
        milestone_triggers=_each(body.target_milestone_triggers, _trigger),
        rewards=reward_definitions(body.rewards),
        default_values=_each(
            body.default_values, lambda value: ValueDraft(value.default_value, value.period_id)
        ),
        id=body.id,
    )


def _trigger(body: TriggerBody) -> TriggerDraft:
    return TriggerDraft(
        body.trigger_name,
        body.trigger_value_type,
        body.trigger_value,
        body.description,
        body.is_active,
        body.id,
    )


def reward_definitions(bodies: Sequence[RewardBody] | None) -> tuple[RewardDefinition, ...] | None:
    """The entries of `rewards`; None if none were sent."""
    return _each(
        bodies, lambda body: RewardDefinition(body.name, body.type, body.value, body.reference)
    )


def _each(bodies: Iterable[B] | None, draft: Callable[[B], D]) -> tuple[D, ...] | None:
    return None if bodies is None else tuple(draft(body) for body in bodies)


def _object(body: Body) -> dict[str, object]:
    """The object as it was sent, less what is unknown."""
    sent: dict[str, object] = msgspec.to_builtins(body)
    return sent
