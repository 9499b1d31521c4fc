"""Who is in what: a customer's enrolment in a target, and the cycles that it covers (contract §4).

An enrolment is a list of stints. A stint reaches a cycle and every later one; leaving ends it, and
takes back the cycles that had not ended by then. So coverage needs no row per cycle, and periods
added to a group later are covered by whoever is enrolled in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from datetime import datetime
from decimal import Decimal

from milepost.rules.definitions import CYCLIC, PERIOD_AGNOSTIC, Period, Target, TargetGroup
from milepost.rules.effects import Changes, LevelAchievement, Progress, Stint
from milepost.rules.frozen import dataclass
from milepost.rules.holdings import Standings
from milepost.rules.own_cycles import own_bounds


@dataclass(frozen=True, slots=True)
class Enrolment:
    """All that is stored of one customer in one target. `id` is None before the first stint."""

    id: int | None = None
    stints: tuple[Stint, ...] = ()
    progress: dict[int, Progress] = field(default_factory=dict)
    """By period id."""
    levels: dict[tuple[int, int], LevelAchievement] = field(default_factory=dict)
    """By (level id, attempt)."""

    @property
    def open_stint(self) -> Stint | None:
        """The stint that has not been left, if there is one: it is always the last."""
        return self.stints[-1] if self.stints and self.stints[-1].left_at is None else None

    @property
    def attempt(self) -> int:
        """The streak's attempt, from 1."""
        return self.stints[-1].attempt if self.stints else 1

    @property
    def anchored_at(self) -> datetime | None:
        """Where the customer's own cycles begin; None while no activity has begun them."""
        return self.stints[-1].anchored_at if self.stints else None


@dataclass(slots=True)
class Members:
    """What a batch of enrolments or unenrolments loads: who exists, and what is stored of them.

    `versions` has a customer id for every customer that exists: 0 for one without any write yet.
    """

    versions: Mapping[int, int]
    enrolments: dict[tuple[int, int], Enrolment]
    """By (customer id, target id)."""
    changes: dict[int, Changes] = field(default_factory=dict)
    """By customer id: filled by `apply`."""
    standings: Standings = field(default_factory=Standings)
    """In promotions."""


def reaches(group: TargetGroup, stint: Stint, period: Period) -> bool:
    """Whether the cycle was among those that the stint started with, left or not."""
    if not group.is_fixed:
        return True
    if stint.from_period_id is None:
        return period.ends_at > stint.enrolled_at
    return period.starts_at >= group.periods_by_id[stint.from_period_id].starts_at


def covers(group: TargetGroup, stint: Stint, period: Period) -> bool:
    """Whether the customer is in the cycle by this stint: reached, and not left before its end."""
    if stint.left_at is not None:
        ends_at = period.ends_at if group.is_fixed else _own_end(group, stint, period)
        if ends_at is None or ends_at > stint.left_at:
            return False
    return reaches(group, stint, period)


def enrolled_in(group: TargetGroup, enrolment: Enrolment, period: Period) -> Stint | None:
    """The latest stint by which the customer is in the cycle, or None.

    A period-agnostic cycle ends with its achievement, so one that was achieved before the customer
    left is over and was not left.
    """
    row = enrolment.progress.get(period.id) if group.evaluation_type == PERIOD_AGNOSTIC else None
    for stint in reversed(enrolment.stints):
        if covers(group, stint, period):
            return stint
        if row is not None and row.achieved_at is not None and stint.enrolled_at <= row.achieved_at:
            return stint
    return None


def target_value(target: Target, period: Period, progress: Progress | None = None) -> Decimal:
    """What the cycle asks for: of this customer, if `progress` says so, else of everybody."""
    if progress is not None and progress.own_target_value is not None:
        return progress.own_target_value
    return target.values[period.id].value


def achieved(progress: Progress | None) -> bool:
    """Whether the cycle's target value was reached, and not lost again."""
    return progress is not None and progress.achieved_at is not None


def attempt_of(group: TargetGroup, stint: Stint, progress: Progress | None) -> int:
    """The attempt that a cycle counts for: a streak's is that of the stint, a milestone's its own."""
    if group.is_streak:
        return stint.attempt
    return progress.attempt if progress is not None else 1


def _own_end(group: TargetGroup, stint: Stint, period: Period) -> datetime | None:
    """When a customer's own cycle ends; None if it has not begun, or lasts until it is achieved."""
    if stint.anchored_at is None or group.evaluation_type != CYCLIC:
        return None
    return own_bounds(group, stint.anchored_at, period)[1]
