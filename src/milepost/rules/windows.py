"""Which cycle an instant falls in, and until when something may count there (contract §4 rules 8, 13).

Dated cycles are the same for everybody. A customer's own cycles (cyclic windows) begin at their first
qualifying activity and follow one another without a gap; period-agnostic ones last until they are
achieved. Domain: milestones §4.5.
"""

from __future__ import annotations

from bisect import bisect_right
from datetime import datetime
from typing import NamedTuple

from milepost.rules.calendar import add_days
from milepost.rules.coverage import Enrolment, achieved
from milepost.rules.definitions import CYCLIC, Period, TargetGroup
from milepost.rules.effects import Progress
from milepost.rules.own_cycles import bound, own_bounds


class Cycle(NamedTuple):
    """A cycle of a customer, half-open `[starts_at, ends_at)`; `anchors` if it begins their own cycles.

    The end of a period-agnostic one is not known: None.
    """

    period: Period
    starts_at: datetime
    ends_at: datetime | None
    anchors: bool = False


def cycle_at(group: TargetGroup, enrolment: Enrolment, at: datetime) -> Cycle | str:
    """The customer's cycle that an activity dated `at` counts in, or the reason code why there is none.

    NO_CYCLE: between, before or after the dated ones, or before the group's first day.
    BEFORE_FIRST_CYCLE: before the customer's own cycles, which a late activity does not move (§4.5).
    ALL_CYCLES_OVER: after the last of them.
    """
    if group.is_fixed:
        return _dated_cycle(group, at)
    if at < group.cycle_starts_at:
        return "NO_CYCLE"
    if group.evaluation_type == CYCLIC:
        return _own_cycle(group, enrolment, at)
    for period in group.periods:
        if period.active and not achieved(enrolment.progress.get(period.id)):
            return Cycle(period, group.cycle_starts_at, None)
    return "ALL_CYCLES_OVER"


def closes_at(group: TargetGroup, period: Period) -> datetime:
    """From when on nothing counts in a dated cycle any more and its settlement is due (rule 8).

    The end plus the settlement delay. It is kept with the period, so that a delay that is raised
    later opens no cycle again.
    """
    return period.closes_at or delayed(group, period.ends_at)


def delayed(group: TargetGroup, ends_at: datetime) -> datetime:
    """An end plus the group's settlement delay: calendar days at the same local time."""
    return add_days(ends_at, group.settlement_delay_days, group.zone)


def is_closed(group: TargetGroup, cycle: Cycle, now: datetime) -> bool:
    """Whether nothing counts in the cycle any more. A period-agnostic one closes with its achievement."""
    if cycle.ends_at is None or now < cycle.ends_at:
        return False
    if group.is_fixed:
        return now >= closes_at(group, cycle.period)
    return now >= delayed(group, cycle.ends_at)


def is_over(group: TargetGroup, cycle: Cycle, row: Progress | None, now: datetime) -> bool:
    """Whether a cycle is closed, with what was reached in it: a period-agnostic one is once achieved."""
    return is_closed(group, cycle, now) or (cycle.ends_at is None and achieved(row))


def cycle_of(group: TargetGroup, enrolment: Enrolment, period: Period) -> Cycle | None:
    """A cycle by its period; None for an own one that has no dates because none has begun yet."""
    if group.is_fixed:
        return Cycle(period, period.starts_at, period.ends_at)
    if group.evaluation_type != CYCLIC:
        return Cycle(period, group.cycle_starts_at, None)
    anchored_at = enrolment.anchored_at
    return None if anchored_at is None else Cycle(period, *own_bounds(group, anchored_at, period))


def _dated_cycle(group: TargetGroup, at: datetime) -> Cycle | str:
    place = bisect_right(group.starts, at) - 1
    if place < 0 or group.periods[place].ends_at <= at:
        return "NO_CYCLE"
    period = group.periods[place]
    return Cycle(period, period.starts_at, period.ends_at) if period.active else "CYCLE_INACTIVE"


def _own_cycle(group: TargetGroup, enrolment: Enrolment, at: datetime) -> Cycle | str:
    anchored_at = enrolment.anchored_at
    if anchored_at is None:
        anchored_at = at
    elif at < anchored_at:
        return "BEFORE_FIRST_CYCLE"
    ends = [bound(group, anchored_at, place + 1) for place in range(len(group.periods))]
    place = bisect_right(ends, at)
    if place == len(ends):
        return "ALL_CYCLES_OVER"
    period = group.periods[place]
    if not period.active:
        return "CYCLE_INACTIVE"
    return Cycle(
        period,
        bound(group, anchored_at, place),
        ends[place],
        anchors=enrolment.anchored_at is None,
    )
