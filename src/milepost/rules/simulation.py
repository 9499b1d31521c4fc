"""Dry run: what a target group would have brought, with activities that are stored.

Each customer who has activity in the range is taken as enrolled from its beginning, and their
activities are recorded, in the order of their arrival, by the rules that record every activity, on a
state that nobody keeps. A customer's clock stands at the range's beginning and walks with the
activities: each is received when it occurred, or, where one arrived after a later one, when that one
occurred. So an activity is late by as much as the order of arrival says, and no more. Dated cycles
that end within the range are settled when they close, and customers' own cycles likewise.

The group is alone in its simulation: it counts although it is inactive, and what it grants meets no
ceiling of another group.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import field, replace
from datetime import datetime
from decimal import Decimal

from milepost.errors import Refusal
from milepost.rules.activities import ZERO, Activity
from milepost.rules.coverage import Enrolment, achieved, target_value
from milepost.rules.definitions import Definitions, RewardDefinition, Target, TargetGroup
from milepost.rules.due import SETTLE, Due
from milepost.rules.effects import OwnCycleEnd, Progress, Reward, Stint
from milepost.rules.frozen import dataclass
from milepost.rules.matching import Evaluate
from milepost.rules.recording import History, RecordActivity, record
from milepost.rules.settlement import Work, prepare, settle
from milepost.rules.windows import closes_at, delayed

BUCKETS = 10
"""Of the histogram: each is a tenth of the target value."""


@dataclass(slots=True)
class CycleTally:
    """One target's cycle: `customers` in whose value something counted, `achieved` at the end.

    `others` counts, by tenths of the target value, those who did not achieve it.
    """

    target_id: int
    period_id: int
    customers: int = 0
    achieved: int = 0
    others: list[int] = field(default_factory=lambda: [0] * BUCKETS)


@dataclass(slots=True)
class LevelTally:
    """One target's streak level: customers who had achieved it at the end."""

    target_id: int
    level_id: int
    achieved: int = 0


@dataclass(slots=True)
class RewardTally:
    """One entry of `rewards`, of a target or (`level_id`) of a streak level: grants, and their points."""

    target_id: int
    level_id: int | None
    ordinal: int
    granted: int = 0
    points: Decimal = ZERO


@dataclass(slots=True)
class Tally:
    """What came of it so far. `customers` had activity; `rejected` activities failed an expression,
    or are returns of what lies outside the range.
    """

    cycles: dict[tuple[int, int], CycleTally]
    """By (target id, period id)."""
    levels: dict[tuple[int, int], LevelTally]
    """By (target id, level id)."""
    rewards: dict[tuple[int, int | None, int], RewardTally]
    """By (target id, level id or None, ordinal)."""
    customers: int = 0
    activities: int = 0
    rejected: int = 0


@dataclass(frozen=True, slots=True)
class Plan:
    """A simulation prepared: the same for every customer."""

    definitions: Definitions
    group: TargetGroup
    starts_at: datetime
    ends_at: datetime
    works: tuple[Work, ...]
    stint: Stint | None
    """None: there is no cycle to be in."""


@dataclass(slots=True)
class Trial:
    """One customer's run under way. `returned` names the activities that a return is of."""

    customer_id: int
    returned: Container[str]
    history: History
    now: datetime
    settled: int = 0
    """How many of the plan's works are done."""
    ends: dict[tuple[int, int], OwnCycleEnd] = field(default_factory=dict)
    rewards: list[Reward] = field(default_factory=list)
    activities: int = 0
    rejected: int = 0


def plan(
    definitions: Definitions, group: TargetGroup, starts_at: datetime, ends_at: datetime
) -> Plan:
    """Prepare the simulation of a group over [starts_at, ends_at).

    `definitions` are the organisation's, of which its own settings count.
    """
    group = replace(group, active=True)
    alone = replace(definitions, groups={group.id: group}, promotions={})
    periods = [period for period in group.periods if period.ends_at > starts_at]
    first = periods[0].id if periods and group.is_fixed and not group.is_streak else None
    # Otherwise a settlement changes nothing: rewards were granted with the achievement.
    pays_then = group.is_fixed and not group.is_streak and group.reward_allocation == "PERIOD_END"
    dues = [
        Due(closes_at(group, period), SETTLE, group.id, period.id)
        for period in periods
        if pays_then and period.ends_at <= ends_at
    ]
    works = prepare(alone, sorted(dues, key=lambda each: each.due_at))
    stint = Stint(1, starts_at, first) if periods or not group.is_fixed else None
    return Plan(alone, group, starts_at, ends_at, tuple(works), stint)


def blank_tally(group: TargetGroup, starts_at: datetime, ends_at: datetime) -> Tally:
    """Nothing counted yet: every target with each of its cycles that the range touches."""
    periods = [
        period
        for period in group.periods
        if not group.is_fixed or (period.starts_at < ends_at and period.ends_at > starts_at)
    ]
    pairs = [(target.id, period.id) for target in group.targets for period in periods]
    levels = [(target.id, level.id) for target in group.targets for level in group.levels]
    rewards = [
        (target.id, level_id, ordinal)
        for target in group.targets
        for level_id, given in _rewards_of(group, target)
        for ordinal in range(len(given))
    ]
    return Tally(
        {key: CycleTally(*key) for key in pairs},
        {key: LevelTally(*key) for key in levels},
        {key: RewardTally(*key) for key in rewards},
    )


def begin(plan: Plan, customer_id: int, returned: Container[str]) -> Trial:
    """A customer at the beginning of the range, enrolled in every target."""
    stints = (plan.stint,) if plan.stint is not None else ()
    enrolments = {
        (customer_id, target.id): Enrolment(1, stints)
        for target in plan.group.targets
        if plan.stint is not None
    }
    history = History({customer_id: 0}, enrolments)
    return Trial(customer_id, returned, history, plan.starts_at)


def take(plan: Plan, trial: Trial, activity: Activity, evaluate: Evaluate) -> None:
    """Record the customer's next activity, after what falls due until it is received."""
    trial.activities += 1
    trial.now = max(trial.now, activity.occurred_at)
    _settle_until(plan, trial, trial.now, evaluate)
    outcome = record(plan.definitions, trial.history, RecordActivity(activity), trial.now, evaluate)
    if isinstance(outcome, Refusal):
        trial.rejected += 1
    if activity.id not in trial.returned:
        # Nobody asks for it again.
        trial.history.received.pop((trial.customer_id, activity.id), None)
    _clear(trial)


def finish(plan: Plan, trial: Trial, tally: Tally, evaluate: Evaluate) -> None:
    """Settle what ended within the range, and add what became of the customer to the tally."""
    if not trial.activities:
        return
    closing = delayed(plan.group, plan.ends_at)
    _settle_until(plan, trial, closing, evaluate, to_the_end=True)
    tally.customers += 1
    tally.activities += trial.activities
    tally.rejected += trial.rejected
    _count_cycles(plan, trial, tally)
    _count_levels(plan, trial, tally)
    _count_rewards(trial, tally)


def _settle_until(
    plan: Plan, trial: Trial, until: datetime, evaluate: Evaluate, *, to_the_end: bool = False
) -> None:
    """Do the settlements that fall due; `to_the_end`, those that close later than `until` as well."""
    last = trial.settled
    while last < len(plan.works) and (to_the_end or plan.works[last].due_at <= until):
        last += 1
    works, trial.settled = plan.works[trial.settled : last], last
    ends = [end for end in trial.ends.values() if end.due_at <= until]
    if not works and not ends:
        return
    for end in ends:
        del trial.ends[end.target_id, end.period_id]
    settle(plan.definitions, trial.history, trial.customer_id, works, ends, until, evaluate)
    _clear(trial)


def _clear(trial: Trial) -> None:
    """Keep of the last decision what the next one or the tally needs."""
    changes = trial.history.changes.pop(trial.customer_id, None)
    if changes is not None:
        trial.rewards += changes.rewards
        for end in changes.cycle_ends:
            trial.ends[end.target_id, end.period_id] = end


def _count_cycles(plan: Plan, trial: Trial, tally: Tally) -> None:
    for target in plan.group.targets:
        for period_id, row in _enrolment(trial, target.id).progress.items():
            cycle = tally.cycles.get((target.id, period_id))
            if cycle is None:
                continue
            cycle.customers += 1
            if achieved(row):
                cycle.achieved += 1
            else:
                cycle.others[_bucket(plan.group, cycle, row)] += 1


def _bucket(group: TargetGroup, cycle: CycleTally, row: Progress) -> int:
    """The tenth of the target value that a value lies in; what lies outside, in the nearest one."""
    period = group.periods_by_id[cycle.period_id]
    asked = target_value(group.targets_by_id[cycle.target_id], period, row)
    return min(max(int(row.value * BUCKETS / asked), 0), BUCKETS - 1)


def _count_levels(plan: Plan, trial: Trial, tally: Tally) -> None:
    for target in plan.group.targets if plan.group.levels else ():
        for level in _enrolment(trial, target.id).levels.values():
            if level.achieved_at is not None:
                tally.levels[target.id, level.level_id].achieved += 1


def _count_rewards(trial: Trial, tally: Tally) -> None:
    for reward in trial.rewards:
        assert reward.target_id is not None  # of no promotion, for there are none here
        of = tally.rewards[reward.target_id, reward.streak_level_id, reward.ordinal]
        of.granted += 1
        if reward.type == "POINTS":
            of.points += reward.value


def _enrolment(trial: Trial, target_id: int) -> Enrolment:
    return trial.history.enrolments.get((trial.customer_id, target_id), Enrolment())


def _rewards_of(
    group: TargetGroup, target: Target
) -> Sequence[tuple[int | None, Sequence[RewardDefinition]]]:
    return [(None, target.rewards), *((level.id, level.rewards) for level in group.levels)]


def points_of(tally: Tally) -> Decimal:
    """All points that would have been granted."""
    return sum((each.points for each in tally.rewards.values()), ZERO)


def reward_definition(group: TargetGroup, tally: RewardTally) -> RewardDefinition:
    """The entry of `rewards` that a tally is of."""
    by_owner: Mapping[int | None, Sequence[RewardDefinition]] = dict(
        _rewards_of(group, group.targets_by_id[tally.target_id])
    )
    return by_owner[tally.level_id][tally.ordinal]
