"""Enrol, re-enrol and unenrol: contract §4 rules 1–7, 12 and 13; seeds 000 and 003.

An enrolment is a list of stints. A stint reaches a cycle and every later one; leaving ends it, and
takes back the cycles that had not ended by then. So coverage needs no row per cycle, and periods
added to a group later are covered by whoever is enrolled in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal

from milepost.errors import (
    ALREADY_ENROLLED,
    INVALID_USER,
    NOT_ENROLLED,
    TARGET_GROUP_NOT_FOUND,
    TARGET_NOT_FOUND,
    TARGET_PERIOD_NOT_FOUND,
    Refusal,
)
from milepost.rules.definitions import PERIOD_AGNOSTIC, Definitions, Period, Target, TargetGroup
from milepost.rules.effects import Changes, Entry, Progress, Reward, Stint

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Enrol:
    """Put a customer into a target. A blank `period_name` is the same as none."""

    target_group_id: int
    target_id: int
    customer_id: int
    period_name: str | None = None
    initial_balance: int | None = None
    reset_streak_status: bool = False
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class Unenrol:
    """Take a customer out of a target."""

    target_group_id: int
    target_id: int
    customer_id: int
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class Enrolment:
    """All that is stored of one customer in one target. `id` is None before the first stint."""

    id: int | None = None
    stints: tuple[Stint, ...] = ()
    progress: Mapping[int, Progress] = field(default_factory=dict)
    """By period id."""

    @property
    def open_stint(self) -> Stint | None:
        """The stint that has not been left, if there is one: it is always the last."""
        return self.stints[-1] if self.stints and self.stints[-1].left_at is None else None

    @property
    def attempt(self) -> int:
        """The streak's attempt, from 1."""
        return self.stints[-1].attempt if self.stints else 1


@dataclass(frozen=True, slots=True)
class Moved:
    """An accepted enrolment or unenrolment: what it changed."""

    stint: Stint
    entries: tuple[Entry, ...]
    progress: Progress | None = None
    rewards: tuple[Reward, ...] = ()


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


def find(
    definitions: Definitions, group_id: int, target_id: int
) -> tuple[TargetGroup, Target] | Refusal:
    """The active group and its active target, or 310017, or 310018 (contract §4, order of checks)."""
    group = definitions.groups.get(group_id)
    if group is None or not group.active:
        return Refusal(TARGET_GROUP_NOT_FOUND)
    target = group.targets_by_id.get(target_id)
    if target is None or not target.active:
        return Refusal(TARGET_NOT_FOUND)
    return group, target


def apply(
    definitions: Definitions, members: Members, command: Enrol | Unenrol, now: datetime
) -> int | Refusal:
    """Decide one command and fold what it changes into `members`; the next command sees it.

    Returns the customer's id, or the refusal, which changes nothing.
    """
    found = find(definitions, command.target_group_id, command.target_id)
    if isinstance(found, Refusal):
        return found
    version = members.versions.get(command.customer_id)
    if version is None:
        return Refusal(INVALID_USER)
    group, target = found
    key = (command.customer_id, target.id)
    enrolment = members.enrolments.get(key, Enrolment())
    if isinstance(command, Enrol):
        moved = enrol(group, target, enrolment, command, now)
    else:
        moved = unenrol(group, target, enrolment, now)
    if isinstance(moved, Refusal):
        return moved
    members.enrolments[key] = _after(enrolment, moved)
    changes = members.changes.setdefault(command.customer_id, Changes(command.customer_id, version))
    _record(changes, target.id, enrolment.id, moved, command.request_id)
    return command.customer_id


def enrol(
    group: TargetGroup, target: Target, enrolment: Enrolment, command: Enrol, now: datetime
) -> Moved | Refusal:
    """Enrol or re-enrol at `now`; 310019 or 310119 if that cannot be.

    The cycle that the command chooses (rules 1–3, 13) is where coverage starts and where a balance
    goes (rule 4). A stint that is open but starts later is extended back to it (rule 1).
    """
    chosen = choose_cycle(group, command.period_name, now)
    if isinstance(chosen, Refusal):
        return chosen
    open_stint = enrolment.open_stint
    if open_stint is not None and (not _dated(group) or covers(group, open_stint, chosen)):
        return Refusal(ALREADY_ENROLLED)
    if group.evaluation_type == PERIOD_AGNOSTIC and not group.is_streak:
        chosen = _first_unachieved(group, enrolment)
        if isinstance(chosen, Refusal):
            return chosen
    again = bool(enrolment.stints) and open_stint is None
    reset = again and group.is_streak and command.reset_streak_status
    stint = Stint(
        number=_next_number(group, enrolment),
        enrolled_at=now,
        from_period_id=chosen.id if _dated(group) else None,
        attempt=enrolment.attempt + reset,
    )
    if group.is_streak:
        progress = _restarted(group, enrolment, stint, now) if reset else None
        details: dict[str, object] = {"stint": stint.number, "attempt": stint.attempt}
        if reset:
            details["reset"] = True
    else:
        before = enrolment.progress.get(chosen.id)
        asked = target_value(target, chosen)
        progress = _with_balance(chosen, asked, before, command.initial_balance, now, again=again)
        details = _start(stint, before, progress, asked)
    reason = "RE_ENROLLED" if again else "ENROLLED" if open_stint is None else "EXTENDED_BACK"
    enrolled = _entry(group, target, chosen, now, "ENROLLED", reason, details)
    if progress is None or progress.achieved_at is None:
        return Moved(stint, (enrolled,), progress)
    return _achieved_at_once(group, target, chosen, Moved(stint, (enrolled,), progress), now)


def unenrol(
    group: TargetGroup, target: Target, enrolment: Enrolment, now: datetime
) -> Moved | Refusal:
    """Leave the running cycle and all later ones (rule 7); 310126 when there is nothing to leave."""
    stint = enrolment.open_stint
    if stint is None:
        return Refusal(NOT_ENROLLED)
    details: dict[str, object] = {"stint": stint.number}
    first_left = None
    if group.is_fixed:
        kept = []
        for period in group.periods:
            if not covers(group, stint, period):
                continue
            if not period.ended(now):
                first_left = period
                break
            kept.append(period.id)
        if first_left is None:
            return Refusal(NOT_ENROLLED)
        if kept:
            details["kept"] = [kept[0], kept[-1]]
        details |= _reached(group, target, enrolment, first_left)
    entry = _entry(group, target, first_left, now, "UNENROLLED", "LEFT", details)
    return Moved(replace(stint, left_at=now), (entry,))


def choose_cycle(group: TargetGroup, name: str | None, now: datetime) -> Period | Refusal:
    """The cycle that an enrolment at `now` starts with, or 310019.

    Milestone: the named one if it has not ended; without a name the running one, else the nearest
    upcoming one (rules 1, 2). Streak: the same without a name, for the name is ignored (rule 3).
    Cyclic and period-agnostic: the first, whatever existing name is given (rule 13).
    """
    if name is not None and name.strip() and not group.is_streak:
        named = group.periods_by_ref_code.get(name)
        if named is None or (group.is_fixed and named.ended(now)):
            return Refusal(TARGET_PERIOD_NOT_FOUND)
        if group.is_fixed:
            return named
    # In order of their start and without overlap, so the first that has not ended is the one.
    for period in group.periods:
        if period.active and not (group.is_fixed and period.ended(now)):
            return period
    return Refusal(TARGET_PERIOD_NOT_FOUND)


def reaches(group: TargetGroup, stint: Stint, period: Period) -> bool:
    """Whether the cycle was among those that the stint started with, left or not."""
    if not group.is_fixed:
        return True
    if stint.from_period_id is None:
        return period.ends_at > stint.enrolled_at
    return period.starts_at >= group.periods_by_id[stint.from_period_id].starts_at


def covers(group: TargetGroup, stint: Stint, period: Period) -> bool:
    """Whether the customer is in the cycle by this stint: reached, and not left before its end."""
    if stint.left_at is not None and (not group.is_fixed or period.ends_at > stint.left_at):
        return False
    return reaches(group, stint, period)


def enrolled_in(group: TargetGroup, enrolment: Enrolment, period: Period) -> Stint | None:
    """The latest stint by which the customer is in the cycle, or None."""
    return next((s for s in reversed(enrolment.stints) if covers(group, s, period)), None)


def target_value(target: Target, period: Period) -> Decimal:
    """What the cycle asks for."""
    return target.values[period.id].value


def _dated(group: TargetGroup) -> bool:
    """Whether coverage starts with a cycle of its own: dated milestones. All else covers all."""
    return group.is_fixed and not group.is_streak


def _first_unachieved(group: TargetGroup, enrolment: Enrolment) -> Period | Refusal:
    """The first open one of a customer's period-agnostic cycles, which last until they are achieved.

    310019 when the last has been.
    """
    for period in group.periods:
        row = enrolment.progress.get(period.id)
        if period.active and (row is None or row.achieved_at is None):
            return period
    return Refusal(TARGET_PERIOD_NOT_FOUND)


def _next_number(group: TargetGroup, enrolment: Enrolment) -> int:
    """The number of the new stint; that of the last one if nothing would be lost with it.

    An open stint is extended in place: none of its cycles has begun, or an earlier one would not be
    left to name. One that was left before any of its cycles ended covers nothing any more. So there
    are never more stints than cycles, however often somebody comes and goes; the journal remembers
    them all.
    """
    if not enrolment.stints:
        return 1
    last = enrolment.stints[-1]
    if last.left_at is not None and any(covers(group, last, period) for period in group.periods):
        return last.number + 1
    return last.number


def _with_balance(
    period: Period,
    asked: Decimal,
    before: Progress | None,
    balance: int | None,
    now: datetime,
    *,
    again: bool,
) -> Progress | None:
    """The chosen cycle's progress after an explicit balance; None leaves it as it was (rule 4).

    On re-enrolment the balance starts the cycle's next attempt (rule 5). It also does where the cycle
    holds a value already: the customer had left it, came back from a later one on, and now extends
    back to it. So what is achieved twice is never the same attempt.
    """
    if balance is None:
        return None
    attempt = before.attempt if before is not None else 1
    if again or before is not None:
        attempt += 1
    value = Decimal(balance)
    return Progress(period.id, attempt, value, now if value >= asked else None)


def _start(
    stint: Stint, before: Progress | None, progress: Progress | None, asked: Decimal
) -> dict[str, object]:
    """How a milestone's chosen cycle starts, for the journal: with a `balance`, or a `value` it had."""
    row = progress or before
    details: dict[str, object] = {"stint": stint.number, "attempt": row.attempt if row else 1}
    if row is not None:
        details["value" if progress is None else "balance"] = str(row.value)
    details["targetValue"] = str(asked)
    return details


def _reached(
    group: TargetGroup, target: Target, enrolment: Enrolment, period: Period
) -> dict[str, object]:
    """How far the customer came in a cycle, for the journal."""
    row = enrolment.progress.get(period.id)
    if group.is_streak and row is not None and row.attempt != enrolment.attempt:
        row = None
    attempt = enrolment.attempt if group.is_streak else row.attempt if row else 1
    return {
        "attempt": attempt,
        "value": str(row.value) if row is not None else "0",
        "targetValue": str(target_value(target, period)),
    }


def _restarted(
    group: TargetGroup, enrolment: Enrolment, stint: Stint, now: datetime
) -> Progress | None:
    """The running cycle's progress after a reset: 0 in the new attempt (rule 6)."""
    for period in group.periods:
        if period.running(now) and period.id in enrolment.progress:
            return Progress(period.id, stint.attempt, ZERO)
    return None


def _achieved_at_once(
    group: TargetGroup, target: Target, period: Period, moved: Moved, now: datetime
) -> Moved:
    """Add the achievement that the balance itself brought, and its rewards when they are immediate."""
    assert moved.progress is not None
    attempt = moved.progress.attempt
    details = {
        "attempt": attempt,
        "value": str(moved.progress.value),
        "targetValue": str(target_value(target, period)),
    }
    entries = [
        *moved.entries,
        _entry(group, target, period, now, "ACHIEVED", "INITIAL_BALANCE", details),
    ]
    rewards: list[Reward] = []
    if group.reward_allocation == "IMMEDIATE":
        for ordinal, reward in enumerate(target.rewards):
            rewards.append(
                Reward(
                    group.id,
                    target.id,
                    period.id,
                    attempt,
                    ordinal,
                    reward.name,
                    reward.type,
                    reward.value,
                    reward.reference,
                    now,
                    "ENROLMENT",
                )
            )
            given: dict[str, object] = {
                "attempt": attempt,
                "name": reward.name,
                "type": reward.type,
                "value": str(reward.value),
            }
            entries.append(
                _entry(group, target, period, now, "REWARDED", "ACHIEVED_BY_BALANCE", given)
            )
    return replace(moved, entries=tuple(entries), rewards=tuple(rewards))


def _entry(
    group: TargetGroup,
    target: Target,
    period: Period | None,
    now: datetime,
    what: str,
    reason: str,
    details: Mapping[str, object],
) -> Entry:
    return Entry(
        now, what, reason, group.id, target.id, period.id if period is not None else None, details
    )


def _after(enrolment: Enrolment, moved: Moved) -> Enrolment:
    """The enrolment with what moved: the stint replaces its number's, or comes last."""
    kept = tuple(stint for stint in enrolment.stints if stint.number != moved.stint.number)
    progress = enrolment.progress
    if moved.progress is not None:
        progress = {**progress, moved.progress.period_id: moved.progress}
    return replace(enrolment, stints=(*kept, moved.stint), progress=progress)


def _record(
    changes: Changes, target_id: int, enrolment_id: int | None, moved: Moved, request_id: str
) -> None:
    changes.stints[target_id, moved.stint.number] = moved.stint
    if enrolment_id is not None:
        changes.enrolment_ids[target_id] = enrolment_id
    if moved.progress is not None:
        changes.progress[target_id, moved.progress.period_id] = moved.progress
    changes.rewards.extend(moved.rewards)
    changes.journal.extend(moved.entries)
    changes.request_ids.extend(request_id for _ in moved.entries)
