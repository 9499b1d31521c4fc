"""A streak's counter and levels, derived from what is stored: contract §4 rules 3, 6, 10 and "Read".

Nothing of a streak's run is stored. The counter follows from which cycles are met in the current
attempt, and from which ended unmet while the customer was enrolled: so late activity and returns need
no repair, and a break needs no job. Domain: milestones §4.3, §4.6.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from datetime import datetime

from milepost.rules.coverage import Enrolment, covers
from milepost.rules.definitions import Period, StreakLevel, TargetGroup
from milepost.rules.frozen import dataclass

_WITHOUT_BREAKS = "NON_CONTINUOUS_STREAKS"


@dataclass(frozen=True, slots=True)
class Run:
    """Where a customer stands in a streak.

    `count` is the counter. `dropped` holds from a break until the next met cycle, also if there was
    nothing to lose. `met` are all cycles met in the attempt, in order, those before a break included.
    """

    count: int
    dropped: bool
    met: tuple[Period, ...]


@dataclass(frozen=True, slots=True)
class LevelView:
    """A level as the customer sees it: `status` is ACHIEVED, DROPPED or INPROGRESS.

    `current_count` is the counter, the same on every level, and may exceed `total`.
    """

    level: StreakLevel
    status: str
    current_count: int
    total: int


def run(group: TargetGroup, enrolment: Enrolment, now: datetime) -> Run:
    """The counter at `now` in the enrolment's attempt (rule 10). One pass over cycles and stints.

    A cycle is met if its progress of this attempt is achieved, whether or not it was left afterwards.
    One that ended unmet breaks a continuous run if a stint of this attempt covers it: the customer
    was enrolled at its end. Cycles missed while unenrolled, before enrolment or in an earlier
    attempt neither break nor count (rules 3, 6); nor do deactivated ones, which nobody could meet.
    """
    count, dropped, met = 0, False, []
    for period, counter in _walk(group, enrolment, now, enrolment.attempt):
        count, dropped = counter, counter == 0
        if counter:
            met.append(period)
    return Run(count, dropped, tuple(met))


def longest_run(group: TargetGroup, enrolment: Enrolment, now: datetime, attempt: int) -> int:
    """The highest that the counter ever stood in an attempt, as the cycles are met by now.

    It decides on levels: one stays achieved over a break, and late activity that joins two runs
    before a break reaches what they are long enough for together (rule 10).
    """
    walk = _walk(group, enrolment, now, attempt)
    return max((counter for _, counter in walk), default=0)


def level_views(
    group: TargetGroup, run: Run, achieved_levels: Container[int] = ()
) -> tuple[LevelView, ...]:
    """Each level in order of its count ("Read"); `achieved_levels` has the ids achieved in the attempt.

    A level that was achieved stays so over a break; whether one is achieved is stored with its
    reward's key, not derived here.
    """
    unachieved = "DROPPED" if run.dropped else "INPROGRESS"
    return tuple(
        LevelView(
            level,
            "ACHIEVED" if level.id in achieved_levels else unachieved,
            run.count,
            level.target_count,
        )
        for level in group.levels
    )


def _walk(
    group: TargetGroup, enrolment: Enrolment, now: datetime, attempt: int
) -> Iterator[tuple[Period, int]]:
    """The cycles that moved the counter, in order, each with the counter after it: 0 for a break."""
    stints = [stint for stint in enrolment.stints if stint.attempt == attempt]
    breakable = group.tracking_type != _WITHOUT_BREAKS
    count = position = 0
    for period in group.periods:
        row = enrolment.progress.get(period.id)
        if row is not None and row.attempt == attempt and row.achieved_at is not None:
            count += 1
            yield period, count
        elif breakable and period.active and period.ended(now):
            # Cycles and stints are both in order of time: what was left before this end is done with.
            while position < len(stints) and not _lasts(stints[position].left_at, period):
                position += 1
            if position < len(stints) and covers(group, stints[position], period):
                count = 0
                yield period, count


def _lasts(left_at: datetime | None, period: Period) -> bool:
    """Whether a stint left at `left_at` was still open when the cycle ended."""
    return left_at is None or period.ends_at <= left_at
