"""Which rows a customer's view has, and what stands in them (domain: milestones §2.5, §3.4).

A row is a user target: one customer in one target and one cycle. None is stored; a row follows from
stints and progress by the rules of `rules/coverage.py`. Contract §4, "Read", has the rest.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from decimal import Decimal

from milepost.rules.activities import ZERO
from milepost.rules.coverage import Enrolment, achieved, covers, enrolled_in, target_value
from milepost.rules.definitions import (
    CYCLIC,
    PERIOD_AGNOSTIC,
    Definitions,
    Period,
    Target,
    TargetGroup,
)
from milepost.rules.effects import LevelAchievement, Progress
from milepost.rules.frozen import dataclass
from milepost.rules.own_cycles import own_bounds
from milepost.rules.streak import LevelView, level_views, run

IDS_PER_ENROLMENT = 128
"""How many ids one enrolment has for its rows: more than the 100 periods or 10 levels of a group."""

_NOT_ENROLLED = Enrolment()


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a caller asks to see; `at` is the instant whose running cycles are the current ones."""

    at: datetime
    every_cycle: bool = False
    inactive_too: bool = False
    """Also deactivated groups and targets."""
    target_id: int | None = None
    excluded_entities: frozenset[str] = frozenset()

    def takes(self, group: TargetGroup, target: Target) -> bool:
        """Whether the target's rows may be shown."""
        return (
            (self.inactive_too or (group.active and target.active))
            and self.target_id in (None, target.id)
            and target.target_entity not in self.excluded_entities
        )


@dataclass(frozen=True, slots=True)
class Threshold:
    """A sub-target of a cycle; `value` is absolute, a percentage already reckoned."""

    id: int
    name: str
    value: Decimal
    achieved: bool


@dataclass(frozen=True, slots=True)
class Row:
    """A user target. `id` and `enrolled_at` are None if the customer is not enrolled in the cycle.

    Then the value is 0 whatever is stored, and nothing is achieved. `asked` is the target value, the
    customer's own where there is one. The bounds are the customer's own in cyclic windows, once an
    activity has begun them, and the period's before that and in all others.
    """

    target: Target
    period: Period
    starts_at: datetime
    ends_at: datetime
    id: int | None
    asked: Decimal
    value: Decimal
    enrolled_at: datetime | None
    achieved_at: datetime | None
    current: bool
    thresholds: tuple[Threshold, ...]


@dataclass(frozen=True, slots=True)
class LevelRow:
    """A streak level of the customer. When it was achieved, and in which row: None before that."""

    id: int | None
    view: LevelView
    achieved_at: datetime | None = None
    achieved_in: int | None = None


@dataclass(frozen=True, slots=True)
class GroupRows:
    """What the view shows of one group: rows by cycle, then by target; all levels of a streak."""

    group: TargetGroup
    rows: tuple[Row, ...]
    levels: tuple[LevelRow, ...]


def user_target_id(enrolment_id: int, period: Period) -> int:
    """The `targetId` of a customer's view: enrolment id × 128 + number of the period.

    Stable and never reused: an enrolment keeps its id in all stints of a customer in a target, a
    period its number, which is 1 … 100.
    """
    return enrolment_id * IDS_PER_ENROLMENT + period.number


def user_streak_id(enrolment_id: int, group: TargetGroup, level_id: int) -> int:
    """The `userStreakId` of a customer's view: enrolment id × 128 + the level's place by its id, from 1.

    As stable as `user_target_id`, for a streak's levels are fixed when it is made.
    """
    ids = sorted(level.id for level in group.levels)
    return enrolment_id * IDS_PER_ENROLMENT + ids.index(level_id) + 1


def group_rows(
    definitions: Definitions,
    enrolments: Mapping[int, Enrolment],
    wanted: Wanted,
    now: datetime,
) -> list[GroupRows]:
    """The groups of a customer's view that have a row, newest first. `enrolments` is by target id.

    By default those rows of current cycles that the customer is enrolled in; with `every_cycle`, each
    period × target, enrolled in or not. The counter of a streak is that of `now`, whatever `at` is.
    """
    found = []
    for group in _newest_first(definitions):
        targets = [target for target in group.targets if wanted.takes(group, target)]
        rows = [
            row
            for target in targets
            for row in _rows(group, target, enrolments.get(target.id, _NOT_ENROLLED), wanted, now)
        ]
        if rows:
            rows.sort(key=lambda row: row.period.starts_at)
            enrolment = enrolments.get(targets[0].id, _NOT_ENROLLED)
            levels = tuple(_level_rows(group, enrolment, now)) if group.is_streak else ()
            found.append(GroupRows(group, tuple(rows), levels))
    return found


def enrolled_targets(
    definitions: Definitions, enrolments: Mapping[int, Enrolment], at: datetime
) -> Iterator[tuple[TargetGroup, Target]]:
    """The active targets that the customer has not left and that have a cycle left, newest group first.

    That is a covered cycle that has not ended at `at`, a customer's own cycles by their own dates; of
    period-agnostic ones, which have no dates, one that is not achieved.
    """
    for group in _newest_first(definitions):
        if not group.active:
            continue
        for target in group.targets:
            enrolment = enrolments.get(target.id, _NOT_ENROLLED)
            if target.active and _has_cycle_left(group, enrolment, at):
                yield group, target


def current_period(group: TargetGroup, enrolment: Enrolment, at: datetime) -> Period | None:
    """The cycle that the customer is in at `at`, or would be if enrolled; None between cycles.

    Dated: the running one, also in cyclic windows, by the customer's own dates. Those begin with
    activity: until then it is the first. Period-agnostic ones last until they are achieved: the first
    that isn't.
    """
    begun = group.is_fixed or enrolment.anchored_at is not None
    for period in group.periods:
        if not period.active:
            continue
        if group.evaluation_type == PERIOD_AGNOSTIC:
            if not achieved(enrolment.progress.get(period.id)):
                return period
        elif not begun:
            return period
        else:
            starts_at, ends_at = bounds(group, enrolment, period)
            if starts_at <= at < ends_at:
                return period
    return None


def bounds(group: TargetGroup, enrolment: Enrolment, period: Period) -> tuple[datetime, datetime]:
    """Begin and end of the cycle: the customer's own in cyclic windows that have begun."""
    if group.evaluation_type == CYCLIC and enrolment.anchored_at is not None:
        return own_bounds(group, enrolment.anchored_at, period)
    return period.starts_at, period.ends_at


def _newest_first(definitions: Definitions) -> Iterable[TargetGroup]:
    return sorted(definitions.groups.values(), key=lambda group: group.id, reverse=True)


def _has_cycle_left(group: TargetGroup, enrolment: Enrolment, at: datetime) -> bool:
    stint = enrolment.open_stint
    if stint is None:
        return False
    if group.evaluation_type == PERIOD_AGNOSTIC:
        return any(not achieved(enrolment.progress.get(period.id)) for period in group.periods)
    if group.evaluation_type == CYCLIC and enrolment.anchored_at is None:
        return True
    return any(
        bounds(group, enrolment, period)[1] > at and covers(group, stint, period)
        for period in group.periods
    )


def _rows(
    group: TargetGroup, target: Target, enrolment: Enrolment, wanted: Wanted, now: datetime
) -> Iterator[Row]:
    current = current_period(group, enrolment, wanted.at)
    for period in group.periods if wanted.every_cycle else [current]:
        if period is None:
            continue
        stint = enrolled_in(group, enrolment, period)
        starts_at, ends_at = bounds(group, enrolment, period)
        asked = target_value(target, period, enrolment.progress.get(period.id))
        if stint is None:
            if wanted.every_cycle:
                yield Row(
                    target, period, starts_at, ends_at, None, asked, ZERO, None, None,
                    group.is_fixed and period is current, tuple(_thresholds(target, asked, ZERO)),
                )  # fmt: skip
            continue
        progress = _progress(group, enrolment, period, now)
        value = progress.value if progress is not None else ZERO
        yield Row(
            target,
            period,
            starts_at,
            ends_at,
            user_target_id(enrolment.id, period) if enrolment.id is not None else None,
            asked,
            value,
            stint.enrolled_at,
            progress.achieved_at if progress is not None else None,
            period is current,
            tuple(_thresholds(target, asked, value)),
        )


def _progress(
    group: TargetGroup, enrolment: Enrolment, period: Period, now: datetime
) -> Progress | None:
    """What is stored of a cycle, unless a streak's reset has made it void: it spares ended cycles."""
    row = enrolment.progress.get(period.id)
    if row is not None and group.is_streak and row.attempt != enrolment.attempt:
        return row if period.ended(now) else None
    return row


def _thresholds(target: Target, asked: Decimal, value: Decimal) -> Iterator[Threshold]:
    for trigger in target.milestone_triggers:
        if not trigger["isActive"]:
            continue
        threshold = Decimal(str(trigger["triggerValue"]))
        if trigger["triggerValueType"] == "PERCENTAGE":
            threshold = threshold * asked / 100
        yield Threshold(
            int(str(trigger["id"])), str(trigger["triggerName"]), threshold, value >= threshold
        )


def _level_rows(group: TargetGroup, enrolment: Enrolment, now: datetime) -> Iterator[LevelRow]:
    achieved_levels = {
        level_id: level
        for (level_id, attempt), level in enrolment.levels.items()
        if attempt == enrolment.attempt and level.achieved_at is not None
    }
    for view in level_views(group, run(group, enrolment, now), achieved_levels):
        if enrolment.id is None:
            yield LevelRow(None, view)
            continue
        found: LevelAchievement | None = achieved_levels.get(view.level.id)
        period = group.periods_by_id.get(found.period_id) if found is not None else None
        yield LevelRow(
            user_streak_id(enrolment.id, group, view.level.id),
            view,
            found.achieved_at if found is not None else None,
            user_target_id(enrolment.id, period) if period is not None else None,
        )
