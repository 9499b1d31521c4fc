"""Record an activity: what it moves and what it is paid, and why not (contract §4 rules 7–11, 13, §5, §7).

First everything is looked at, and nothing is changed: so an activity that is rejected has no effect.
Then the journal gets a line for the activity and one for each thing that followed from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field
from datetime import datetime
from typing import Literal

from milepost.errors import INVALID_INPUT, INVALID_USER, Refusal
from milepost.rules.activities import RETURN, TRANSACTION_ADD, Activity, check_activity, is_same
from milepost.rules.book import (
    NOT_ENROLLED,
    Book,
    CountedEffect,
    Paid,
    close_book,
    note,
    open_book,
    put_stint,
)
from milepost.rules.coverage import Enrolment, Members, attempt_of, enrolled_in, target_value
from milepost.rules.definitions import TARGET_COMPLETED, Definitions, Target, TargetGroup
from milepost.rules.effects import NOBODYS, Effect, Entry, Origin, PromotionEffect, Stint
from milepost.rules.frozen import dataclass
from milepost.rules.matching import Evaluate, count, counts_kind, day_change
from milepost.rules.progress import Move, move
from milepost.rules.redemption import (
    HoldingsNeeded,
    Payment,
    follow_up,
    holdings_needed,
    occasion_of,
    plan_redemptions,
    redeem,
)
from milepost.rules.returns import Received, plan_return
from milepost.rules.windows import Cycle, cycle_at, is_closed


@dataclass(frozen=True, slots=True)
class RecordActivity:
    """Take in one activity."""

    activity: Activity
    origin: Origin = NOBODYS


@dataclass(frozen=True, slots=True)
class Recorded:
    """An activity that was taken, or that had been before: then it has no effect."""

    status: Literal["ACCEPTED", "DUPLICATE"]
    effects: Sequence[CountedEffect] = ()
    paid: Sequence[Paid] = ()
    """By promotions."""


@dataclass(slots=True)
class History(Members):
    """What a batch of activities loads besides: those known already, among them the ones returned."""

    received: dict[tuple[int, str], Received] = field(default_factory=dict)
    """By (customer id, activity id)."""
    returns: dict[tuple[int, str], list[Received]] = field(default_factory=dict)
    """By (customer id, id of the transaction returned), in the order in which they came."""


def record(
    definitions: Definitions,
    history: History,
    command: RecordActivity,
    now: datetime,
    evaluate: Evaluate,
) -> Recorded | Refusal:
    """Decide one activity and fold what it changes into `history`; the next one sees it.

    The same id with the same content is a DUPLICATE; with other content, or dated after `now`, or
    wrong in itself, or a return of what is not there, or failing an expression: 300004, no effect.
    """
    activity = command.activity
    refusal = check_activity(activity)
    if refusal is not None:
        return refusal
    if activity.customer_id not in history.versions:
        return Refusal(INVALID_USER)
    key = (activity.customer_id, activity.id)
    known = history.received.get(key)
    if known is not None:
        if is_same(known.activity, activity):
            return Recorded("DUPLICATE")
        return Refusal(INVALID_INPUT, "The id is taken by an activity with other content.")
    if activity.occurred_at > now:
        return Refusal(INVALID_INPUT, "occurredAt lies in the future.")
    planned = _plan(definitions, history, activity, now, evaluate)
    if isinstance(planned, Refusal):
        return planned
    taken: Sequence[Move | Effect] = ()
    if activity.type == RETURN:
        returned = plan_return(definitions, history, activity, evaluate, now)
        if isinstance(returned, Refusal):
            return returned
        taken = returned
    payments = plan_redemptions(
        definitions, history, activity.customer_id, occasion_of(activity), evaluate
    )
    if isinstance(payments, Refusal):
        return payments
    book = open_book(
        definitions,
        history,
        activity.customer_id,
        now,
        "ACTIVITY",
        evaluate,
        command.origin,
        activity.id,
    )
    received = _write(book, activity, planned, taken, payments)
    history.received[key] = received
    if activity.return_of is not None:
        history.returns.setdefault((activity.customer_id, activity.return_of), []).append(received)
    return Recorded("ACCEPTED", book.counted, tuple(book.paid))


def promotions_needed(
    definitions: Definitions, activities: Sequence[Activity], now: datetime
) -> HoldingsNeeded:
    """What has to be loaded of promotions: for the activities, and for what they may complete now."""
    occasions = [
        (each.customer_id, each.event_name, each.occurred_at, each.occurred_at)
        for each in activities
    ]
    if definitions.rewards_completion:
        occasions += [(each.customer_id, TARGET_COMPLETED, now, now) for each in activities]
    return holdings_needed(definitions, occasions)


def progress_needed(
    definitions: Definitions, history: History, activities: Sequence[Activity]
) -> tuple[set[tuple[int, int]], set[tuple[int, int, int]], set[tuple[int, int]]]:
    """What has to be loaded before activities are recorded, once it is known who is enrolled in what.

    (customer id, target id) of which every cycle counts: a streak's, one's own cycles, what a return
    may take back, points. (customer id, target id, period id) where one cycle is enough. And of which
    the streak levels count. `history` has stints and the activities known, no progress yet.
    """
    pairs: set[tuple[int, int]] = set()
    cycles: set[tuple[int, int, int]] = set()
    streaks: set[tuple[int, int]] = set()

    def need(customer: int, group: TargetGroup, target: Target, at: datetime | None) -> None:
        if group.is_streak:
            streaks.add((customer, target.id))
        together = group.targets if group.tracking_type == "UNIFIED" else (target,)
        if at is None or group.is_streak or not group.is_fixed:
            pairs.update((customer, each.id) for each in together)
            return
        cycle = cycle_at(group, NOT_ENROLLED, at)
        if isinstance(cycle, str):
            return
        cycles.update((customer, each.id, cycle.period.id) for each in together)

    enrolled = history.enrolments.keys()
    for activity in activities:
        customer = activity.customer_id
        for group, target in definitions.listeners.get(activity.event_name, ()):
            # Who is enrolled by this may have been in other members of the unified group before.
            if (customer, target.id) in enrolled or group.tracking_type == "UNIFIED":
                need(customer, group, target, activity.occurred_at)
        if activity.type == RETURN:
            # Whatever its transaction moved, which may come in this very batch; and later cycles.
            for group, target in definitions.listeners.get(TRANSACTION_ADD, ()):
                if (customer, target.id) in enrolled:
                    need(customer, group, target, None)
        for group, target in definitions.points_targets:
            need(customer, group, target, None)
    return pairs, {key for key in cycles if key[:2] not in pairs}, streaks


def _plan(
    definitions: Definitions,
    history: History,
    activity: Activity,
    now: datetime,
    evaluate: Evaluate,
) -> list[Move | Effect] | Refusal:
    """What the activity adds to each target that listens to it, or an effect that says why nothing.

    Targets that the customer never was in are passed over, unless the activity enrols.
    """
    planned: list[Move | Effect] = []
    for group, target in definitions.listeners.get(activity.event_name, ()):
        if not counts_kind(target, activity):
            continue
        enrolment = history.enrolments.get((activity.customer_id, target.id), NOT_ENROLLED)
        enrols = not enrolment.stints
        if enrols and target.enrolment_method != "TRANSACTION":
            continue
        found = _addition(group, target, enrolment, activity, now, evaluate)
        if isinstance(found, Refusal):
            return found
        if not isinstance(found, str):
            planned.append(found)
        elif not enrols:
            planned.append(_why_not(group, target, enrolment, activity, found))
    return planned


def _addition(
    group: TargetGroup,
    target: Target,
    enrolment: Enrolment,
    activity: Activity,
    now: datetime,
    evaluate: Evaluate,
) -> Move | str | Refusal:
    """What the activity adds, or the reason code why nothing: §4.6's order, rule 8."""
    if not group.active:
        return "GROUP_INACTIVE"
    if not target.active:
        return "TARGET_INACTIVE"
    cycle = cycle_at(group, enrolment, activity.occurred_at)
    if isinstance(cycle, str):
        return cycle
    if is_closed(group, cycle, now):
        return "CYCLE_CLOSED"
    enrols = not enrolment.stints
    if enrols:
        stint = _first_stint(group, cycle, now)
        if group.is_streak and cycle.period.ended(now):
            return "NOT_ENROLLED"
    else:
        found = enrolled_in(group, enrolment, cycle.period)
        if found is None:
            return "NOT_ENROLLED"
        stint = found
        if group.track_from_enrolment_date and activity.occurred_at < stint.enrolled_at:
            return "BEFORE_ENROLMENT"
    counted = count(group, target, activity, evaluate)
    if isinstance(counted, str | Refusal):
        return counted
    before = enrolment.progress.get(cycle.period.id)
    if before is not None and before.attempt != attempt_of(group, stint, before):
        before = None
    amount = day_change(counted, before)
    if isinstance(amount, str):
        return amount
    days = None
    if counted.day is not None:
        days = {**((before.days if before is not None else None) or {})}
        days[counted.day] = counted.amount
    return Move(group, target, cycle, amount, "ADDED", counted.day, days, enrols)


def _write(
    book: Book,
    activity: Activity,
    planned: Sequence[Move | Effect],
    taken: Sequence[Move | Effect],
    payments: Sequence[Payment | PromotionEffect],
) -> Received:
    """Do what was planned, and write the activity to the journal before all that follows from it."""
    for each in planned:
        if isinstance(each, Move) and each.enrols:
            _enrol(book, each)
    place = len(book.entries)
    for each in (*planned, *taken):
        if isinstance(each, Effect):
            book.effects.append(each)
        else:
            move(book, each)
    redeem(book, payments)
    follow_up(book)
    effects = tuple(book.effects)
    details = {
        "activity": activity.id,
        "type": activity.type,
        "eventName": activity.event_name,
        "occurredAt": activity.occurred_at.isoformat(),
    }
    entry = Entry(
        book.now,
        "ACTIVITY",
        activity.type,
        details=details,
        effects=effects,
        promotion_effects=tuple(book.promotion_effects),
    )
    book.entries.insert(place, entry)
    book.changes.activities.append((activity, len(book.changes.journal) + place))
    close_book(book)
    return Received(activity, effects)


def _enrol(book: Book, addition: Move) -> None:
    """Enrol a customer by their first qualifying activity: in its cycle and every later one (§4.1-7)."""
    group, target, period = addition.group, addition.target, addition.cycle.period
    stint = _first_stint(group, addition.cycle, book.now)
    put_stint(book, target.id, stint)
    details: dict[str, object] = {"stint": stint.number, "attempt": stint.attempt}
    if not group.is_streak:
        details["targetValue"] = str(target_value(target, period))
    note(book, group, target, period, "ENROLLED", "FIRST_ACTIVITY", **details)


def _first_stint(group: TargetGroup, cycle: Cycle, now: datetime) -> Stint:
    dated = group.is_fixed and not group.is_streak
    return Stint(1, now, cycle.period.id if dated else None)


def _why_not(
    group: TargetGroup, target: Target, enrolment: Enrolment, activity: Activity, reason: str
) -> Effect:
    """An effect without a change, with where the cycle stands, if there is a cycle."""
    cycle = cycle_at(group, enrolment, activity.occurred_at)
    if isinstance(cycle, str):
        return Effect(group.id, target.id, None, reason)
    period = cycle.period
    row = enrolment.progress.get(period.id)
    asked = target_value(target, period, row)
    if row is None:
        return Effect(group.id, target.id, period.id, reason, target_value=asked)
    return Effect(
        group.id, target.id, period.id, reason, row.attempt, value=row.value, target_value=asked
    )
