"""Enrol, re-enrol and unenrol: contract §4 rules 1–7, 12 and 13; seeds 000 and 003.

What an enrolment is, and which cycles it covers: `rules/coverage.py`. What a target value of the
customer's own does: `rules/own_target_values.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
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
from milepost.rules.activities import ZERO
from milepost.rules.book import close_book, open_book, put_stint
from milepost.rules.coverage import Enrolment, Members, covers, enrolled_in, target_value
from milepost.rules.definitions import (
    TARGET_COMPLETED,
    Definitions,
    Period,
    Target,
    TargetGroup,
)
from milepost.rules.effects import NOBODYS, Entry, Origin, Progress, Stint
from milepost.rules.frozen import dataclass
from milepost.rules.matching import Evaluate
from milepost.rules.own_target_values import own_value_cycles, refuse_own_value, set_own_values
from milepost.rules.progress import set_balance
from milepost.rules.redemption import HoldingsNeeded, follow_up, holdings_needed
from milepost.rules.streak import run
from milepost.rules.windows import cycle_of, is_over

BALANCE_MAX = 10**15
"""Of `initial_balance`, which is an integer from 0 (rule 4)."""


@dataclass(frozen=True, slots=True)
class Enrol:
    """Put a customer into a target. A blank `period_name` is the same as none.

    `target_value` is what this customer has to reach in the cycles that the command would cover,
    whatever the target asks of others; None leaves that as it is.
    """

    target_group_id: int
    target_id: int
    customer_id: int
    period_name: str | None = None
    initial_balance: int | None = None
    reset_streak_status: bool = False
    origin: Origin = NOBODYS
    target_value: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Unenrol:
    """Take a customer out of a target."""

    target_group_id: int
    target_id: int
    customer_id: int
    origin: Origin = NOBODYS


@dataclass(frozen=True, slots=True)
class Moved:
    """An accepted enrolment or unenrolment: what it changed. `chosen`: the cycle that it starts with.

    `stint` is None if the customer was in already, and gets a target value of their own only.
    """

    stint: Stint | None
    entries: tuple[Entry, ...]
    progress: Progress | None = None
    chosen: Period | None = None


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


def targets_beside(
    definitions: Definitions, commands: Sequence[Enrol | Unenrol]
) -> set[tuple[int, int]]:
    """(customer id, target id) of what a balance, or a target value of the customer's own, may move
    beside its own target: other members of a unified group, and targets that count the points it grants.
    """
    found: set[tuple[int, int]] = set()
    for command in commands:
        if not isinstance(command, Enrol) or not _moves_value(command):
            continue
        group = definitions.groups.get(command.target_group_id)
        if group is not None and group.tracking_type == "UNIFIED":
            found.update((command.customer_id, target.id) for target in group.targets)
        found.update((command.customer_id, target.id) for _, target in definitions.points_targets)
    return found


def streaks_moved(
    definitions: Definitions, commands: Sequence[Enrol | Unenrol]
) -> set[tuple[int, int]]:
    """(customer id, target id) of the streaks whose levels a command may reach at once.

    A streak takes no balance, so only a target value of the customer's own meets a cycle.
    """
    found: set[tuple[int, int]] = set()
    for command in commands:
        if isinstance(command, Enrol) and command.target_value is not None:
            group = definitions.groups.get(command.target_group_id)
            if group is not None and group.is_streak:
                found.add((command.customer_id, command.target_id))
    return found


def promotions_needed(
    definitions: Definitions, commands: Sequence[Enrol | Unenrol], now: datetime
) -> HoldingsNeeded:
    """What has to be loaded of promotions, which may pay for what a command achieves at once."""
    occasions = [
        (command.customer_id, TARGET_COMPLETED, now, now)
        for command in commands
        if isinstance(command, Enrol) and _moves_value(command)
    ]
    return holdings_needed(definitions, occasions)


def apply(
    definitions: Definitions,
    members: Members,
    command: Enrol | Unenrol,
    now: datetime,
    evaluate: Evaluate,
) -> int | Refusal:
    """Decide one command and fold what it changes into `members`; the next command sees it.

    Returns the customer's id, or the refusal, which changes nothing.
    """
    found = find(definitions, command.target_group_id, command.target_id)
    if isinstance(found, Refusal):
        return found
    group, target = found
    own_value = command.target_value if isinstance(command, Enrol) else None
    if own_value is not None and (refusal := refuse_own_value(group)) is not None:
        return refusal
    version = members.versions.get(command.customer_id)
    if version is None:
        return Refusal(INVALID_USER)
    key = (command.customer_id, target.id)
    enrolment = members.enrolments.get(key, Enrolment())
    is_first = not enrolment.stints
    own_before = {row.period_id: row.own_target_value for row in enrolment.progress.values()}
    if isinstance(command, Enrol):
        moved = enrol(group, target, enrolment, command, now)
    else:
        moved = unenrol(group, target, enrolment, now)
    if isinstance(moved, Refusal):
        return moved
    book = open_book(
        definitions, members, command.customer_id, now, "ENROLMENT", evaluate, command.origin
    )
    if moved.stint is not None:
        put_stint(book, target.id, moved.stint)
    book.entries.extend(moved.entries)
    if moved.progress is not None:
        period = group.periods_by_id[moved.progress.period_id]
        set_balance(book, group, target, period, moved.progress)
    if own_value is not None and moved.chosen is not None:
        set_own_values(book, group, target, moved.chosen, own_value, own_before, is_first=is_first)
    follow_up(book)
    close_book(book)
    return command.customer_id


def enrol(
    group: TargetGroup, target: Target, enrolment: Enrolment, command: Enrol, now: datetime
) -> Moved | Refusal:
    """Enrol or re-enrol at `now`; 310019 or 310119 if that cannot be.

    The cycle that the command chooses (rules 1–3, 13) is where coverage starts and where a balance
    goes (rule 4). A stint that is open but starts later is extended back to it (rule 1). Who is in
    already may get a target value of their own, and nothing else then.
    """
    chosen = choose_cycle(group, command.period_name, now)
    if isinstance(chosen, Refusal):
        return chosen
    open_stint = enrolment.open_stint
    if open_stint is not None and (not _dated(group) or covers(group, open_stint, chosen)):
        if command.target_value is None:
            return Refusal(ALREADY_ENROLLED)
        return Moved(None, (), None, chosen)
    if not group.is_fixed:
        chosen = _first_open(group, enrolment, now)
        if isinstance(chosen, Refusal):
            return chosen
    again = bool(enrolment.stints) and open_stint is None
    reset = again and group.is_streak and command.reset_streak_status
    stint = Stint(
        number=_next_number(group, enrolment),
        enrolled_at=now,
        from_period_id=chosen.id if _dated(group) else None,
        attempt=enrolment.attempt + reset,
        anchored_at=enrolment.anchored_at,
    )
    if group.is_streak:
        progress = _restarted(group, enrolment, stint, now) if reset else None
        counter = 0 if reset else run(group, enrolment, now).count
        details: dict[str, object] = {
            "stint": stint.number,
            "attempt": stint.attempt,
            "counter": counter,
        }
        if reset:
            details["reset"] = True
        if progress is not None:
            details["restarted"] = progress.period_id
    else:
        before = enrolment.progress.get(chosen.id)
        own_value = command.target_value
        asked = target_value(target, chosen, before) if own_value is None else own_value
        progress = _with_balance(chosen, asked, before, command.initial_balance, now, again=again)
        if progress is not None and own_value is not None:
            progress = replace(progress, own_target_value=own_value)
        details = _start(stint, before, progress, asked)
    if command.target_value is not None and not enrolment.stints:
        # The first one tells it in a line, for there is nothing yet that it would change.
        own = [period.id for period in own_value_cycles(group, stint, chosen, now)]
        details |= {"ownTargetValue": str(command.target_value), "ownCycles": own}
    reason = "RE_ENROLLED" if again else "ENROLLED" if open_stint is None else "EXTENDED_BACK"
    enrolled = _entry(group, target, chosen, now, "ENROLLED", reason, details)
    return Moved(stint, (enrolled,), progress, chosen)


def unenrol(
    group: TargetGroup, target: Target, enrolment: Enrolment, now: datetime
) -> Moved | Refusal:
    """Leave the running cycle and all later ones (rule 7); 310126 when there is nothing to leave."""
    stint = enrolment.open_stint
    if stint is None:
        return Refusal(NOT_ENROLLED)
    details: dict[str, object] = {"stint": stint.number}
    if group.is_streak:
        details["counter"] = run(group, enrolment, now).count
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


def _dated(group: TargetGroup) -> bool:
    """Whether coverage starts with a cycle of its own: dated milestones. All else covers all."""
    return group.is_fixed and not group.is_streak


def _first_open(group: TargetGroup, enrolment: Enrolment, now: datetime) -> Period | Refusal:
    """The first open one of a customer's own cycles (rule 13); 310019 when the last is over.

    A cyclic one is open until it closes, a period-agnostic one until it is achieved.
    """
    for period in group.periods:
        row = enrolment.progress.get(period.id)
        cycle = cycle_of(group, enrolment, period)
        if period.active and (cycle is None or not is_over(group, cycle, row, now)):
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
    if last.left_at is not None and any(
        enrolled_in(group, enrolment, period) is last for period in group.periods
    ):
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
    return replace(
        before or Progress(period.id, attempt, value),
        attempt=attempt,
        value=value,
        achieved_at=now if value >= asked else None,
        days=None,
    )


def _moves_value(command: Enrol) -> bool:
    """Whether more than the enrolment may change: a value, or what a cycle asks for."""
    return command.initial_balance is not None or command.target_value is not None


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
        "targetValue": str(target_value(target, period, row)),
    }


def _restarted(
    group: TargetGroup, enrolment: Enrolment, stint: Stint, now: datetime
) -> Progress | None:
    """The running cycle's progress after a reset: 0 in the new attempt (rule 6)."""
    for period in group.periods:
        before = enrolment.progress.get(period.id)
        if period.running(now) and before is not None:
            own = before.own_target_value
            return Progress(period.id, stint.attempt, ZERO, own_target_value=own)
    return None


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
