"""A customer's open book: what a decision reads and writes while it folds one command.

Everything that moves a value does so here: what is stored, what the journal says, and what the caller
is told stay one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Literal, NamedTuple

from milepost.rules.coverage import Enrolment, Members, target_value
from milepost.rules.definitions import Definitions, Period, Promotion, Target, TargetGroup
from milepost.rules.effects import (
    NOBODYS,
    Changes,
    Effect,
    Entry,
    LevelAchievement,
    Origin,
    OwnCycleEnd,
    Progress,
    PromotionEffect,
    Reward,
    Stint,
)
from milepost.rules.matching import Evaluate
from milepost.rules.windows import Cycle, delayed

Cause = Literal["ACTIVITY", "ENROLMENT", "SETTLEMENT"]

NOT_ENROLLED = Enrolment()


class CountedEffect(NamedTuple):
    """What an activity did in a cycle, as its sender is told. `achieved`: the value is at the target.

    `starts_at` and `ends_at` are the customer's cycle; None where it has no end. `rewards` have their
    ids once they are saved.
    """

    group: TargetGroup
    target: Target
    period: Period
    amount: Decimal
    before: Decimal
    after: Decimal
    target_value: Decimal
    achieved: bool
    rewards: Sequence[Reward]
    starts_at: datetime
    ends_at: datetime | None


class Completion(NamedTuple):
    """An achievement whose rewards are due, in its attempt; of a unified group's own, `target` is None.

    `level_names` are the streak levels that were reached with it.
    """

    group: TargetGroup
    target: Target | None
    period: Period
    attempt: int
    value: Decimal
    target_value: Decimal
    level_names: tuple[str, ...] = ()


class Paid(NamedTuple):
    """What a promotion paid, as the activity's sender is told; `rewards` have their ids once saved."""

    promotion: Promotion
    earn_id: int | None
    rewards: Sequence[Reward]


@dataclass(slots=True)
class Book:
    """One customer's book for one command. `now` stamps all that it writes; `cause` is the rewards'.

    `changes` are the customer's of the whole batch; `entries` and `effects` this command's alone.
    """

    definitions: Definitions
    members: Members
    changes: Changes
    now: datetime
    cause: Cause
    evaluate: Evaluate
    origin: Origin = NOBODYS
    activity_id: str | None = None
    entries: list[Entry] = field(default_factory=list)
    effects: list[Effect] = field(default_factory=list)
    promotion_effects: list[PromotionEffect] = field(default_factory=list)
    counted: list[CountedEffect] = field(default_factory=list)
    paid: list[Paid] = field(default_factory=list)
    points: list[Decimal] = field(default_factory=list)
    """Granted, and not yet counted by the targets that count points."""
    completions: list[Completion] = field(default_factory=list)
    """That promotions have not been asked about yet."""


def open_book(
    definitions: Definitions,
    members: Members,
    customer_id: int,
    now: datetime,
    cause: Cause,
    evaluate: Evaluate,
    origin: Origin = NOBODYS,
    activity_id: str | None = None,
) -> Book:
    """The book of a customer who exists."""
    changes = members.changes.get(customer_id)
    if changes is None:
        changes = Changes(customer_id, members.versions[customer_id])
        members.changes[customer_id] = changes
    return Book(definitions, members, changes, now, cause, evaluate, origin, activity_id)


def close_book(book: Book) -> None:
    """Write what was noted to the journal: the effects, if no activity did, then the entries."""
    if (book.effects or book.promotion_effects) and book.activity_id is None:
        note = Entry(
            book.now,
            "ACTIVITY",
            "POINTS" if book.effects else "COMPLETION",
            effects=tuple(book.effects),
            promotion_effects=tuple(book.promotion_effects),
        )
        book.entries.append(note)
    book.changes.journal.extend(book.entries)
    book.changes.origins.extend(book.origin for _ in book.entries)


def enrolment_of(book: Book, target_id: int) -> Enrolment:
    """The customer's enrolment in a target, as this batch has left it."""
    return book.members.enrolments.get((book.changes.customer_id, target_id), NOT_ENROLLED)


def put_progress(book: Book, target_id: int, progress: Progress) -> None:
    """Write a cycle's progress: in place, for a batch has its enrolments for itself."""
    _own(book, target_id).progress[progress.period_id] = progress
    book.changes.progress[target_id, progress.period_id] = progress


def put_level(book: Book, target_id: int, level: LevelAchievement) -> None:
    """Write a level that was achieved, or taken back."""
    _own(book, target_id).levels[level.level_id, level.attempt] = level
    book.changes.levels[target_id, level.level_id, level.attempt] = level


def put_stint(book: Book, target_id: int, stint: Stint) -> None:
    """Write a stint: in the place of the one with its number, or as the last."""
    enrolment = _own(book, target_id)
    kept = tuple(each for each in enrolment.stints if each.number != stint.number)
    changed = replace(enrolment, stints=(*kept, stint))
    book.members.enrolments[book.changes.customer_id, target_id] = changed
    book.changes.stints[target_id, stint.number] = stint
    if enrolment.id is not None:
        book.changes.enrolment_ids[target_id] = enrolment.id


def begin_cycles(book: Book, group: TargetGroup, target: Target, cycle: Cycle) -> None:
    """Begin the customer's own cycles where this one begins; its end falls due (cyclic windows)."""
    last = enrolment_of(book, target.id).stints[-1]
    put_stint(book, target.id, replace(last, anchored_at=cycle.starts_at))
    assert cycle.ends_at is not None
    due_at = delayed(group, cycle.ends_at)
    book.changes.cycle_ends.append(OwnCycleEnd(target.id, cycle.period.id, due_at))
    row = enrolment_of(book, target.id).progress.get(cycle.period.id)
    note(
        book, group, target, cycle.period, "STARTED", "CYCLE_STARTED",
        startsAt=cycle.starts_at.isoformat(), endsAt=cycle.ends_at.isoformat(),
        targetValue=str(target_value(target, cycle.period, row)),
    )  # fmt: skip


def note(
    book: Book,
    group: TargetGroup,
    target: Target,
    period: Period | None,
    what: str,
    reason: str,
    **details: object,
) -> None:
    """Note what happened; the activity behind it is named where there is one."""
    if book.activity_id is not None:
        details["activity"] = book.activity_id
    period_id = period.id if period is not None else None
    book.entries.append(Entry(book.now, what, reason, group.id, target.id, period_id, details))


def note_promotion(
    book: Book, promotion: Promotion, what: str, reason: str, **details: object
) -> int:
    """Note what happened in a promotion; returns the id that the line will have in the journal."""
    if book.activity_id is not None:
        details["activity"] = book.activity_id
    ordinal = len(book.changes.journal) + len(book.entries)
    book.entries.append(
        Entry(book.now, what, reason, details={"promotion": promotion.id, **details})
    )
    return book.changes.entry_id(ordinal)


def _own(book: Book, target_id: int) -> Enrolment:
    """The customer's enrolment to write to: `NOT_ENROLLED` is everybody's."""
    return book.members.enrolments.setdefault((book.changes.customer_id, target_id), Enrolment())
