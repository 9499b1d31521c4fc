"""Moving a value, and what that entails: contract §4 rules 9–11.

A value that reaches the target value achieves the cycle, once; rewards follow at once or at the
settlement. In a streak the counter moves with it, and levels are reached or lost; in a unified group
the members are met together, or no longer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import NamedTuple

from milepost.rules.activities import ZERO
from milepost.rules.book import (
    Book,
    Completion,
    CountedEffect,
    begin_cycles,
    enrolment_of,
    note,
    put_level,
    put_progress,
)
from milepost.rules.coverage import Enrolment, achieved, attempt_of, enrolled_in, target_value
from milepost.rules.definitions import PERIOD_AGNOSTIC, Period, StreakLevel, Target, TargetGroup
from milepost.rules.effects import Effect, LevelAchievement, Progress, Stint
from milepost.rules.rewards import GRANTED_POINTS, grant
from milepost.rules.streak import longest_run, run
from milepost.rules.unified import is_met, standings
from milepost.rules.windows import Cycle, cycle_at, is_closed


class Move(NamedTuple):
    """A change of a cycle's value that was decided on: `amount` may be negative.

    `day` is the local day that it belongs to, where days count, and `days` what the cycle's days have
    contributed then. `enrols`: the customer is not enrolled in the target before it.
    """

    group: TargetGroup
    target: Target
    cycle: Cycle
    amount: Decimal
    reason: str
    day: str | None = None
    days: Mapping[str, Decimal] | None = None
    enrols: bool = False


def move(book: Book, each: Move) -> None:
    """Change a value in the attempt that the cycle counts for, with all that follows from it."""
    group, target, period = each.group, each.target, each.cycle.period
    if each.cycle.anchors:
        begin_cycles(book, group, target, each.cycle)
    enrolment = enrolment_of(book, target.id)
    stint = enrolled_in(group, enrolment, period)
    assert stint is not None  # or nobody would have decided on it
    before = start_of(group, enrolment.progress.get(period.id), stint, period)
    value = before.value + each.amount
    asked = target_value(target, period, before)
    achieved_at = before.achieved_at
    if achieved_at is None and value >= asked:
        achieved_at = book.now
    elif achieved_at is not None and each.amount < 0 and value < asked:
        achieved_at = None
    after = Progress(
        period.id,
        before.attempt,
        value,
        achieved_at,
        before.rewarded_attempt,
        before.own_target_value,
        each.days if each.days is not None else before.days,
    )
    unified = group.tracking_type == "UNIFIED"
    was_met = unified and is_met(group, period, members_of(book, group, period))
    granted = len(book.changes.rewards)
    put_progress(book, target.id, after)
    book.effects.append(
        Effect(
            group.id,
            target.id,
            period.id,
            each.reason,
            after.attempt,
            each.amount,
            value,
            asked,
            each.day,
        )
    )
    if achieved_at is not before.achieved_at:
        if achieved_at is not None:
            reached(book, group, target, period, "REACHED")
        else:
            # What lowers a value is a return, or a lower one of a day whose lowest value counts.
            reason = "LOWER_THAT_DAY" if each.reason == "ADDED" else "RETURNED"
            _lost(book, group, target, period, reason)
    if unified:
        unify(book, group, target, period, was_met=was_met)
    book.counted.append(
        CountedEffect(
            group,
            target,
            period,
            each.amount,
            before.value,
            value,
            asked,
            value >= asked,
            book.changes.rewards[granted:],
            each.cycle.starts_at,
            each.cycle.ends_at,
        )
    )


def set_balance(
    book: Book,
    group: TargetGroup,
    target: Target,
    period: Period,
    progress: Progress,
    reason: str = "INITIAL_BALANCE",
) -> None:
    """Write the value that an enrolment sets, in its attempt; it may achieve the cycle at once (rule 4)."""
    unified = group.tracking_type == "UNIFIED"
    stored = enrolment_of(book, target.id).progress.get(period.id)
    members = members_of(book, group, period) if unified else {}
    put_progress(book, target.id, progress)
    if achieved(progress):
        reached(book, group, target, period, reason)
    if not unified:
        return
    was_met = is_met(group, period, members)
    begins = stored is not None and stored.attempt != progress.attempt
    if begins and is_met(group, period, members_of(book, group, period)):
        # What is met now owes nothing to the member's earlier attempt.
        was_met = is_met(group, period, {**members, target.id: None})
    unify(book, group, target, period, was_met=was_met)


def start_of(group: TargetGroup, stored: Progress | None, stint: Stint, period: Period) -> Progress:
    """A cycle's progress in the attempt that it counts for: a streak's reset begins it anew."""
    attempt = attempt_of(group, stint, stored)
    if stored is None:
        return Progress(period.id, attempt, ZERO)
    if stored.attempt == attempt:
        return stored
    return Progress(period.id, attempt, ZERO, own_target_value=stored.own_target_value)


def reached(book: Book, group: TargetGroup, target: Target, period: Period, reason: str) -> None:
    """Note an achievement that is written already, and grant what is due with it.

    IMMEDIATE rewards are due now, and so are a streak's and those of a period-agnostic cycle, which
    ends with its achievement; PERIOD_END ones at the settlement.
    """
    progress = enrolment_of(book, target.id).progress[period.id]
    attempt = progress.attempt
    at_once = group.reward_allocation == "IMMEDIATE" or group.is_streak
    due = (
        at_once or group.evaluation_type == PERIOD_AGNOSTIC
    ) and progress.rewarded_attempt != attempt
    details = standing(target, period, progress)
    if due:
        details["rewarded"] = True  # noted here, for there may be no reward to grant
    note(book, group, target, period, "ACHIEVED", reason, **details)
    if due:
        put_progress(book, target.id, replace(progress, rewarded_attempt=attempt))
        by = "ACHIEVED_BY_BALANCE" if reason == "INITIAL_BALANCE" else "ACHIEVED_BY_ACTIVITY"
        grant(book, group, target, period, attempt, target.rewards, by)
    level_names = _reach_levels(book, group, target, period, attempt) if group.is_streak else ()
    if due or level_names:
        complete(book, group, target, period, progress, level_names)


def complete(
    book: Book,
    group: TargetGroup,
    target: Target,
    period: Period,
    progress: Progress,
    level_names: tuple[str, ...] = (),
) -> None:
    """Tell promotions that an achieved target's rewards are due, once per attempt (contract §7).

    Of a streak's level too, which a cycle may reach that was rewarded before; each still pays once for it.
    """
    if book.definitions.rewards_completion and group.tracking_type != "CAPPING":
        asked = target_value(target, period, progress)
        book.completions.append(
            Completion(group, target, period, progress.attempt, progress.value, asked, level_names)
        )


def complete_unified(book: Book, group: TargetGroup, period: Period) -> None:
    """Tell promotions that a unified group is met in a cycle: it has no other rewards (contract §4).

    Its attempt rises with that of each member, those that the customer has left included. Value and
    target value are the members' sums.
    """
    if not book.definitions.rewards_completion:
        return
    rows = members_of(book, group, period)
    known = [enrolment_of(book, target.id).progress.get(period.id) for target in group.targets]
    attempts = [row.attempt if row is not None else 1 for row in known]
    reached_in_all = sum((row.value for row in rows.values() if row is not None), ZERO)
    asked = sum((target_value(t, period, rows[t.id]) for t in group.targets), ZERO)
    attempt = sum(attempts) - len(attempts) + 1
    book.completions.append(Completion(group, None, period, attempt, reached_in_all, asked))


def count_points(book: Book) -> None:
    """Let the targets that count points count those that were granted (domain §4.7).

    Rewards of such a target are granted here too; `rewards.grant` says why that ends.
    """
    granted, book.points = book.points, []
    for points in granted:
        for group, target in book.definitions.points_targets:
            if group.tracking_type == "CAPPING" or target.target_type not in GRANTED_POINTS:
                continue
            enrolment = enrolment_of(book, target.id)
            if points <= 0 or not enrolment.stints or not (group.active and target.active):
                continue
            cycle = cycle_at(group, enrolment, book.now)
            if isinstance(cycle, str) or is_closed(group, cycle, book.now):
                continue
            if enrolled_in(group, enrolment, cycle.period) is not None:
                move(book, Move(group, target, cycle, points, "POINTS_GRANTED"))


def _lost(book: Book, group: TargetGroup, target: Target, period: Period, reason: str) -> None:
    """Note that a cycle is no longer achieved; what was granted for it stays (rule 11)."""
    progress = enrolment_of(book, target.id).progress[period.id]
    details = standing(target, period, progress)
    if progress.rewarded_attempt == progress.attempt and target.rewards:
        details["kept"] = [reward.name for reward in target.rewards]
    note(book, group, target, period, "UNACHIEVED", reason, **details)
    if group.is_streak:
        _lose_levels(book, group, target, period, progress.attempt)


def _reach_levels(
    book: Book, group: TargetGroup, target: Target, period: Period, attempt: int
) -> tuple[str, ...]:
    """Reach the streak levels that are long enough run for, now that a cycle was met (rules 5, 10).

    A level is achieved by a run of its length, wherever it lies in the attempt: late activity may join
    two runs before a break. Its rewards are granted once per attempt, whatever is lost in between.
    Returns the names of the levels reached for the first time in the attempt.
    """
    enrolment = enrolment_of(book, target.id)
    length = longest_run(group, enrolment, book.now, attempt)
    names = []
    for level in group.levels:
        known = enrolment.levels.get((level.id, attempt))
        if length < level.target_count or (known is not None and known.achieved_at is not None):
            continue
        put_level(book, target.id, LevelAchievement(level.id, attempt, period.id, book.now))
        details = _level_standing(book, group, enrolment, level, attempt)
        note(book, group, target, period, "ACHIEVED", "LEVEL_REACHED", **details)
        if known is None:
            names.append(level.name)
            grant(book, group, target, period, attempt, level.rewards, "LEVEL_REWARD", level)
    return tuple(names)


def _lose_levels(
    book: Book, group: TargetGroup, target: Target, period: Period, attempt: int
) -> None:
    """Take back the streak levels whose run no longer has their count after a return (rule 11)."""
    enrolment = enrolment_of(book, target.id)
    length = longest_run(group, enrolment, book.now, attempt)
    for level in group.levels:
        known = enrolment.levels.get((level.id, attempt))
        if known is None or known.achieved_at is None or length >= level.target_count:
            continue
        put_level(book, target.id, replace(known, period_id=period.id, achieved_at=None))
        details = _level_standing(book, group, enrolment, level, attempt)
        details["kept"] = [reward.name for reward in level.rewards]
        note(book, group, target, period, "UNACHIEVED", "LEVEL_LOST", **details)


def _level_standing(
    book: Book, group: TargetGroup, enrolment: Enrolment, level: StreakLevel, attempt: int
) -> dict[str, object]:
    """What the journal keeps of a level that is reached or lost."""
    return {
        "attempt": attempt,
        "level": {"id": level.id, "name": level.name, "count": level.target_count},
        "counter": run(group, enrolment, book.now).count,
    }


def unify(book: Book, group: TargetGroup, target: Target, period: Period, *, was_met: bool) -> None:
    """Note that a unified group's condition is met since the last move, or no longer."""
    members = members_of(book, group, period)
    met = is_met(group, period, members)
    if met != was_met:
        what, reason = ("ACHIEVED", "UNIFIED_REACHED") if met else ("UNACHIEVED", "UNIFIED_LOST")
        note(book, group, target, period, what, reason, members=standings(group, period, members))
        if met and group.reward_allocation == "IMMEDIATE":
            complete_unified(book, group, period)


def members_of(book: Book, group: TargetGroup, period: Period) -> dict[int, Progress | None]:
    """The progress of a unified group's members in a cycle; None where the customer is not in it."""
    found: dict[int, Progress | None] = {}
    for target in group.targets:
        enrolment = enrolment_of(book, target.id)
        is_in = enrolled_in(group, enrolment, period) is not None
        found[target.id] = enrolment.progress.get(period.id) if is_in else None
    return found


def standing(target: Target, period: Period, progress: Progress) -> dict[str, object]:
    """Where a cycle stands, as the journal keeps it."""
    return {
        "attempt": progress.attempt,
        "value": str(progress.value),
        "targetValue": str(target_value(target, period, progress)),
    }
