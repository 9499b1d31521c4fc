"""What a caller sends to define or change a target group, as plain values, before any rule.

A draft holds texts and numbers as they were sent; None stands for an absent or null field everywhere,
so that a change can tell "not said" from "said". The rules make definitions of drafts:
`rules/groups.py` (a whole group, and the unified part), `rules/periods.py`, `rules/targets.py` and
`rules/names.py`. Fields and limits: domain/milestones-and-streaks.md §2.1–2.4, contract §4 ("Define").
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import TypeVar

from milepost.rules.definitions import RewardDefinition
from milepost.rules.frozen import dataclass

PERIODS_MAX = 100
"""Per group and over its life: a period's number is never reused."""
TARGETS_MAX = 50
"""Per group, deactivated ones included."""
LEVELS_MAX = 10
TRIGGERS_MAX = 20
REWARDS_MAX = 20

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class PeriodDraft:
    """One entry of `periods`. Dates are texts as `rules/calendar.py` reads them.

    `id` names the period to change, else its `ref_code` does; both are ignored where one is made.
    """

    ref_code: str | None = None
    start_date: str | None = None
    end_date: str | None = None
    description: str | None = None
    active: bool | None = None
    id: int | None = None


@dataclass(frozen=True, slots=True)
class ValueDraft:
    """One entry of `defaultValues`: for the period `period_id`, or by its position."""

    value: Decimal
    period_id: int | None = None


@dataclass(frozen=True, slots=True)
class TriggerDraft:
    """One entry of `targetMilestoneTriggers`: a sub-target of each cycle."""

    name: str | None = None
    value_type: str | None = None
    value: Decimal | None = None
    description: str | None = None
    active: bool | None = None
    id: int | None = None


@dataclass(frozen=True, slots=True)
class TargetDraft:
    """One entry of `targets`. Mappings are JSON objects as decoded."""

    name: str | None = None
    target_entity: str | None = None
    target_type: str | None = None
    event_name: str | None = None
    description: str | None = None
    active: bool | None = None
    expression: str | None = None
    expression_json: str | None = None
    filters: tuple[Mapping[str, object], ...] | None = None
    enrolment_method: str | None = None
    extended_field_info: Mapping[str, object] | None = None
    aggregate_window: Mapping[str, object] | None = None
    milestone_triggers: tuple[TriggerDraft, ...] | None = None
    rewards: tuple[RewardDefinition, ...] | None = None
    default_values: tuple[ValueDraft, ...] | None = None
    id: int | None = None


@dataclass(frozen=True, slots=True)
class LevelDraft:
    """One entry of `streaks`."""

    name: str | None = None
    target_count_of_sequence: int | None = None
    rewards: tuple[RewardDefinition, ...] | None = None
    id: int | None = None


@dataclass(frozen=True, slots=True)
class UnifiedDraft:
    """`unifiedTargetExpression` as sent; its `ruleExpression` is the rules' to build."""

    aggregation: str | None = None
    threshold_value: Decimal | None = None


@dataclass(frozen=True, slots=True)
class GroupDraft:
    """A target group as sent, with the contract's extra fields."""

    name: str | None = None
    tracking_type: str | None = None
    evaluation_type: str | None = None
    description: str | None = None
    active: bool | None = None
    preferred_till_id: int | None = None
    total_periods: int | None = None
    frequency_type: str | None = None
    frequency: int | None = None
    recurring_cycles: int | None = None
    from_date: str | None = None
    to_date: str | None = None
    target_cycle_start_date: str | None = None
    target_cycle_end_date: str | None = None
    time_zone_name: str | None = None
    user_created: bool | None = None
    leaderboard_enabled: bool | None = None
    reward_allocation: str | None = None
    track_from_enrolment_date: bool | None = None
    settlement_delay_days: int | None = None
    carry_returns_forward: bool | None = None
    combination_type: str | None = None
    unified_target_expression: UnifiedDraft | None = None
    periods: tuple[PeriodDraft, ...] = ()
    targets: tuple[TargetDraft, ...] = ()
    levels: tuple[LevelDraft, ...] = ()


def said(value: T | None, otherwise: T) -> T:
    """What was sent, else what there was."""
    return otherwise if value is None else value


def ids_needed(draft: GroupDraft) -> int:
    """How many ids `define_group` may take for this draft, at most; bounded whatever was sent.

    One for the group and for each period, generated ones included, target, sub-target, level and
    target value.
    """
    periods = len(draft.periods) or max(0, said(draft.recurring_cycles, 0))
    periods = min(periods, PERIODS_MAX)
    levels = min(len(draft.levels), LEVELS_MAX)
    targets = draft.targets[:TARGETS_MAX]
    return 1 + periods + levels + len(targets) * (1 + periods) + ids_needed_to_edit(targets)


def ids_needed_to_add(
    periods: Sequence[PeriodDraft] = (), targets: Sequence[TargetDraft] = ()
) -> int:
    """How many ids `add_periods`, `add_targets` and `edit_unified` may take for these drafts, at most.

    Bounded whatever was sent, and enough whatever the group is like: a new period has a value for
    each target, a new target one for each period.
    """
    return min(len(periods), PERIODS_MAX) * (1 + TARGETS_MAX) + (
        min(len(targets), TARGETS_MAX) * (1 + PERIODS_MAX) + ids_needed_to_edit(targets)
    )


def ids_needed_to_edit(targets: Sequence[TargetDraft]) -> int:
    """How many ids `edit_target` and `edit_group` may take, at most: for new sub-targets."""
    return sum(
        min(len(target.milestone_triggers or ()), TRIGGERS_MAX) for target in targets[:TARGETS_MAX]
    )
