"""Due work, customer by customer: runs break, cycles are settled, records of promotions expire, cycles
begin (contract §2, §4 rules 8–10, §7).

Everything is stamped with the instant at which it fell due, and decided as of it: what customers did
later does not matter, however late the work is done.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from heapq import heapify, heappop, heappush

from milepost.rules.book import Book, close_book, enrolment_of, note, open_book, put_progress
from milepost.rules.coverage import Enrolment, Members, achieved, enrolled_in, reaches, target_value
from milepost.rules.definitions import (
    TARGET_COMPLETED,
    Definitions,
    Period,
    Target,
    TargetGroup,
)
from milepost.rules.due import END, EXPIRE, KINDS, SETTLE, Due
from milepost.rules.effects import Earn, Issual, OwnCycleEnd, Stint
from milepost.rules.frozen import dataclass
from milepost.rules.issuing import expire
from milepost.rules.matching import Evaluate
from milepost.rules.own_cycles import own_bounds
from milepost.rules.progress import (
    complete,
    complete_unified,
    members_of,
    standing,
    start_of,
    unify,
)
from milepost.rules.redemption import HoldingsNeeded, follow_up, holdings_needed
from milepost.rules.rewards import grant
from milepost.rules.streak import run
from milepost.rules.unified import is_met, standings
from milepost.rules.windows import delayed


@dataclass(frozen=True, slots=True)
class Work:
    """Due work with what it is about. `before` and `through` are the group as if the period had not
    come yet, and as if it were the last.
    """

    due_at: datetime
    kind: str
    group: TargetGroup
    period: Period
    before: TargetGroup
    through: TargetGroup


def prepare(definitions: Definitions, dues: Iterable[Due]) -> list[Work]:
    """The work behind each of `dues`, in their order; that of deleted groups is left out."""
    found = []
    for due in dues:
        group = definitions.groups.get(due.group_id)
        period = group.periods_by_id.get(due.period_id) if group is not None else None
        if group is not None and period is not None:
            place = group.periods.index(period)
            before = replace(group, periods=group.periods[:place])
            through = replace(group, periods=group.periods[: place + 1])
            found.append(Work(due.due_at, due.kind, group, period, before, through))
    return found


def settle(
    definitions: Definitions,
    members: Members,
    customer_id: int,
    works: Sequence[Work],
    ends: Iterable[OwnCycleEnd],
    until: datetime,
    evaluate: Evaluate,
    expiries: Iterable[Issual | Earn] = (),
) -> None:
    """Do the work for one customer and fold what it changes into `members`, in due order.

    `works` are in order and due up to `until`, included, and so are `ends`, the ends of the customer's
    own cycles, and `expiries`, what expires of promotions. A cycle of their own that is settled is
    followed by the next, here if that is due by `until` too, else noted in the changes' `cycle_ends`.
    """
    queue: list[tuple[datetime, int, int, Work | OwnCycleEnd | Issual | Earn]] = [
        (work.due_at, KINDS.index(work.kind), place, work) for place, work in enumerate(works)
    ]
    # At one instant a customer's own cycles come after the settlements of the dated ones.
    for end in ends:
        queue.append((end.due_at, KINDS.index(SETTLE), len(queue), end))
    # An enrolment goes after the records that hang off it.
    for record in sorted(expiries, key=lambda record: isinstance(record, Issual)):
        queue.append((record.expires_at, KINDS.index(EXPIRE), len(queue), record))
    place = len(queue)
    heapify(queue)
    while queue:
        due_at, _, _, work = heappop(queue)
        if isinstance(work, Work) and not any(
            _known(members, customer_id, target) for target in work.group.targets
        ):
            continue
        book = open_book(definitions, members, customer_id, due_at, "SETTLEMENT", evaluate)
        following = None
        if isinstance(work, Work):
            _DO[work.kind](book, work)
        elif isinstance(work, OwnCycleEnd):
            following = _settle_own(book, work)
        else:
            expire(book, work)
        close_book(book)
        if following is None:
            continue
        if following.due_at <= until:
            heappush(queue, (following.due_at, KINDS.index(SETTLE), place, following))
            place += 1
        else:
            book.changes.cycle_ends.append(following)


def promotions_needed(
    definitions: Definitions,
    customers: Iterable[int],
    works: Sequence[Work],
    ends: Mapping[int, Sequence[OwnCycleEnd]],
    until: datetime,
) -> HoldingsNeeded:
    """What has to be loaded of promotions, which may pay for what is settled."""
    if not definitions.rewards_completion:
        return HoldingsNeeded()
    settled = {work.due_at for work in works if work.kind == SETTLE}
    occasions = []
    for customer in customers:
        occasions += [(customer, TARGET_COMPLETED, at, at) for at in settled]
        own = [end.due_at for end in ends.get(customer, ())]
        if own:
            # A cycle of one's own may be followed by others until then.
            occasions.append((customer, TARGET_COMPLETED, min(own), until))
    return holdings_needed(definitions, occasions)


def progress_needed(
    definitions: Definitions,
    members: Members,
    works: Sequence[Work],
    ends: Mapping[int, Iterable[OwnCycleEnd]],
) -> tuple[set[tuple[int, int]], set[tuple[int, int, int]], set[tuple[int, int]]]:
    """What has to be loaded before `settle`, once it is known who is enrolled in what.

    (customer id, target id) of which every cycle counts: a streak's, one's own cycles, points that may
    be granted or are limited by what was. (customer id, target id, period id) where one cycle is
    enough. And of which the streak levels count. `members` has stints and no progress yet.
    """
    whole = {t.id for work in works if work.group.is_streak for t in work.group.targets}
    whole |= {end.target_id for of_customer in ends.values() for end in of_customer}
    grants = bool(ends) or any(work.kind == SETTLE for work in works)
    points = definitions.points_targets if grants else ()
    streaks = {target.id for group, target in points if group.is_streak}
    streaks |= {
        target.id
        for work in works
        if work.kind == SETTLE and work.group.is_streak and work.period is work.group.periods[-1]
        for target in work.group.targets
    }
    periods: dict[int, set[int]] = {}
    for work in works:
        for target in work.group.targets:
            periods.setdefault(target.id, set()).add(work.period.id)
    pairs = {key for key in members.enrolments if key[1] in whole}
    # A ceiling may hold for who is not enrolled in it.
    pairs |= {(customer, target.id) for customer in members.versions for _, target in points}
    cycles = {
        (*key, period_id)
        for key in members.enrolments
        if key not in pairs
        for period_id in periods.get(key[1], ())
    }
    return pairs, cycles, {key for key in members.enrolments if key[1] in streaks}


def _known(members: Members, customer_id: int, target: Target) -> bool:
    return (customer_id, target.id) in members.enrolments


def _end(book: Book, work: Work) -> None:
    """The run of an enrolled customer who missed the cycle breaks, unless it was broken before."""
    for target in work.group.targets:
        enrolment = enrolment_of(book, target.id)
        if not run(work.through, enrolment, work.due_at).dropped:
            continue
        before = run(work.before, enrolment, work.due_at)
        if before.dropped:
            continue
        row = enrolment.progress.get(work.period.id)
        value = row.value if row is not None and row.attempt == enrolment.attempt else 0
        note(
            book, work.group, target, work.period, "BROKEN", "CYCLE_MISSED",
            attempt=enrolment.attempt, value=str(value),
            targetValue=str(target_value(target, work.period, row)), counter=before.count,
        )  # fmt: skip


def _settle(book: Book, work: Work) -> None:
    """Grant and note what each customer has in the cycle who was enrolled in it at its end (rule 9)."""
    group, period = work.group, work.period
    settled = [
        (target, stint)
        for target in group.targets
        if (stint := enrolled_in(group, enrolment_of(book, target.id), period)) is not None
    ]
    for target, stint in settled:
        _catch_up(book, group, target, period, stint)
    details: dict[str, object] = {}
    if settled and group.tracking_type == "UNIFIED":
        rows = members_of(book, group, period)
        details["unified"] = is_met(group, period, rows)
        details["members"] = standings(group, period, rows)
    for target, stint in settled:
        _settle_cycle(book, group, target, period, stint, details)
        details.pop("members", None)  # once is enough
    if details.get("unified") and group.reward_allocation == "PERIOD_END":
        complete_unified(book, group, period)
    follow_up(book)


def _settle_own(book: Book, end: OwnCycleEnd) -> OwnCycleEnd | None:
    """Settle one of a customer's own cycles; returns what follows: the next one's end, if there is one.

    A cycle whose delay was raised meanwhile is not closed yet: it falls due again.
    """
    found = _own_cycle(book, end)
    if found is None:
        return None
    group, target, period, enrolment = found
    assert enrolment.anchored_at is not None
    _, ends_at = own_bounds(group, enrolment.anchored_at, period)
    closes_at = delayed(group, ends_at)
    if closes_at > end.due_at:
        return replace(end, due_at=closes_at)
    stint = _enrolled_at(group, enrolment, period, ends_at)
    if stint is not None:
        _catch_up(book, group, target, period, stint)
        _settle_cycle(book, group, target, period, stint, {})
        follow_up(book)
    place = group.periods.index(period) + 1
    if place == len(group.periods):
        return None
    following = group.periods[place]
    starts_at, ends_at = own_bounds(group, enrolment.anchored_at, following)
    if group.active and target.active and enrolment.open_stint is not None:
        note(
            book, group, target, following, "STARTED", "CYCLE_STARTED",
            startsAt=starts_at.isoformat(), endsAt=ends_at.isoformat(),
            targetValue=str(target_value(target, following, enrolment.progress.get(following.id))),
        )  # fmt: skip
    return OwnCycleEnd(target.id, following.id, delayed(group, ends_at))


def _own_cycle(
    book: Book, end: OwnCycleEnd
) -> tuple[TargetGroup, Target, Period, Enrolment] | None:
    """What an own cycle's end is about; None for what has been deleted since."""
    enrolment = enrolment_of(book, end.target_id)
    if enrolment.anchored_at is None:
        return None
    group = book.definitions.groups_by_target.get(end.target_id)
    period = group.periods_by_id.get(end.period_id) if group is not None else None
    if group is None or period is None:
        return None
    return group, group.targets_by_id[end.target_id], period, enrolment


def _catch_up(book: Book, group: TargetGroup, target: Target, period: Period, stint: Stint) -> None:
    """Achieve a cycle whose target value was lowered after the last activity: it is settled by today's."""
    stored = enrolment_of(book, target.id).progress.get(period.id)
    progress = start_of(group, stored, stint, period)
    if group.is_streak or group.tracking_type == "CAPPING" or achieved(progress):
        return
    if progress.value < target_value(target, period, progress):
        return
    unified = group.tracking_type == "UNIFIED"
    was_met = unified and is_met(group, period, members_of(book, group, period))
    progress = replace(progress, achieved_at=book.now)
    put_progress(book, target.id, progress)
    details = standing(target, period, progress)
    note(book, group, target, period, "ACHIEVED", "REACHED", **details)
    if unified:
        unify(book, group, target, period, was_met=was_met)


def _settle_cycle(
    book: Book,
    group: TargetGroup,
    target: Target,
    period: Period,
    stint: Stint,
    details: dict[str, object],
) -> None:
    """Grant what is due with an achieved cycle and was not granted in its attempt; then note it."""
    stored = enrolment_of(book, target.id).progress.get(period.id)
    progress = start_of(group, stored, stint, period)
    met = achieved(progress)
    if met and not group.is_streak and progress.rewarded_attempt != progress.attempt:
        progress = replace(progress, rewarded_attempt=progress.attempt)
        put_progress(book, target.id, progress)
        grant(book, group, target, period, progress.attempt, target.rewards, "PERIOD_END")
        complete(book, group, target, period, progress)
    if group.is_streak and period is group.periods[-1]:
        details = {**details, **_end_of_streak(book, group, target)}
    note(
        book, group, target, period, "SETTLED", "SETTLED_ACHIEVED" if met else "SETTLED_UNACHIEVED",
        **standing(target, period, progress), **details,
    )  # fmt: skip


def _start(book: Book, work: Work) -> None:
    """Note that the cycle began, where it can count: for who was enrolled before it and still is."""
    group, period = work.group, work.period
    if not (group.active and period.active):
        return
    for target in group.targets:
        enrolment = enrolment_of(book, target.id)
        stint = _enrolled_at(group, enrolment, period, period.starts_at)
        if stint is not None and target.active:
            progress = start_of(group, enrolment.progress.get(period.id), stint, period)
            details = standing(target, period, progress)
            earlier = group.periods[: group.periods.index(period)]
            if not any(enrolled_in(group, enrolment, each) for each in earlier):
                details["first"] = True
            note(book, group, target, period, "STARTED", "CYCLE_STARTED", **details)


def _enrolled_at(
    group: TargetGroup, enrolment: Enrolment, period: Period, at: datetime
) -> Stint | None:
    """The stint by which the customer was in the cycle right before `at`, its start or its end."""
    for stint in reversed(enrolment.stints):
        lasted = stint.enrolled_at < at and (stint.left_at is None or at <= stint.left_at)
        if lasted and reaches(group, stint, period):
            return stint
    return None


def _end_of_streak(book: Book, group: TargetGroup, target: Target) -> dict[str, object]:
    """Where the customer stands when the streak's last cycle is settled: for `streakEnd`."""
    enrolment = enrolment_of(book, target.id)
    achieved_levels = [
        level.name
        for level in group.levels
        if (known := enrolment.levels.get((level.id, enrolment.attempt))) is not None
        and known.achieved_at is not None
    ]
    return {"counter": run(group, enrolment, book.now).count, "levels": achieved_levels}


_DO = {END: _end, SETTLE: _settle, "START": _start}
