"""Granting rewards: each once per key, points no further than their ceilings (contract §4 rule 5).

A ceiling is a CAPPING group: its target counts the points that a customer is granted in a cycle, and
its target value is how many there may be. The grant that crosses it gets what is left (domain §4.10).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal

from milepost.rules.activities import ZERO
from milepost.rules.book import (
    Book,
    begin_cycles,
    enrolment_of,
    note,
    note_promotion,
    put_progress,
)
from milepost.rules.coverage import attempt_of, enrolled_in, target_value
from milepost.rules.definitions import (
    POINTS_ENTITIES,
    Period,
    Promotion,
    RewardDefinition,
    StreakLevel,
    Target,
    TargetGroup,
)
from milepost.rules.effects import Effect, Progress, Reward
from milepost.rules.windows import Cycle, cycle_at, is_closed

GRANTED_POINTS = ("PROMOTIONAL_POINTS", "ALL_POINTS")
"""The kinds of points targets that count what Milepost grants: a campaign's, not a programme's."""


def grant(
    book: Book,
    group: TargetGroup,
    target: Target,
    period: Period,
    attempt: int,
    rewards: Sequence[RewardDefinition],
    reason: str,
    level: StreakLevel | None = None,
) -> None:
    """Grant the rewards of a cycle, or of a streak level, in an attempt that was not rewarded yet."""
    for ordinal, definition in enumerate(rewards):
        value = _value(book, definition, definition.value, counts=counts_points_of(target))
        book.changes.rewards.append(
            Reward(
                group.id,
                target.id,
                period.id,
                attempt,
                ordinal,
                definition.name,
                definition.type,
                value,
                definition.reference,
                book.now,
                book.cause,
                level.id if level is not None else None,
            )
        )
        details = _granted(definition, value, attempt, ordinal)
        if level is not None:
            details["level"] = {"id": level.id, "name": level.name}
        note(book, group, target, period, "REWARDED", reason, **details)


def grant_of_promotion(
    book: Book,
    promotion: Promotion,
    earn_id: int | None,
    paid_for: str,
    occurred_at: datetime,
    attempt: int,
    points_left: Decimal | None,
    *,
    counts: bool,
) -> tuple[list[Reward], Decimal]:
    """Grant a promotion's rewards for one thing; also answers how many points they were.

    `points_left` is what the promotion's own limits leave, None for all. `counts`: whether targets on
    points count them.
    """
    granted: list[Reward] = []
    points = ZERO
    for ordinal, definition in enumerate(promotion.rewards):
        value = definition.value
        if definition.type == "POINTS":
            if points_left is not None:
                value = max(ZERO, min(value, points_left - points))
            value = _value(book, definition, value, counts=counts)
            points += value
        reward = Reward(
            None,
            None,
            None,
            attempt,
            ordinal,
            definition.name,
            definition.type,
            value,
            definition.reference,
            book.now,
            book.cause,
            promotion_id=promotion.id,
            earn_id=earn_id,
            paid_for=paid_for,
        )
        book.changes.rewards.append(reward)
        granted.append(reward)
        details = _granted(definition, value, attempt, ordinal)
        note_promotion(
            book,
            promotion,
            "REWARDED",
            "PROMOTION_REWARD",
            earn=earn_id,
            paidFor=paid_for,
            occurredAt=occurred_at.isoformat(),
            **details,
        )
    return granted, points


def counts_points_of(target: Target | None) -> bool:
    """Whether points that are granted for a target may count in targets on points.

    Those of a points target may not: they would feed themselves.
    """
    return target is None or target.target_entity not in POINTS_ENTITIES


def _value(book: Book, definition: RewardDefinition, value: Decimal, *, counts: bool) -> Decimal:
    """What is granted of a reward: of points, what ceilings leave, which targets on points may count."""
    if definition.type == "POINTS" and book.definitions.points_targets:
        value = _up_to_ceilings(book, value)
        if counts:
            book.points.append(value)
    return value


def _granted(
    definition: RewardDefinition, value: Decimal, attempt: int, ordinal: int
) -> dict[str, object]:
    """What the journal keeps of a reward."""
    details: dict[str, object] = {
        "attempt": attempt,
        "name": definition.name,
        "type": definition.type,
        "value": str(value),
        "ordinal": ordinal,
    }
    if value != definition.value:
        details["uncapped"] = str(definition.value)
    return details


def _up_to_ceilings(book: Book, value: Decimal) -> Decimal:
    """As much of `value` as every ceiling of the customer leaves; each is that much nearer then."""
    ceilings = [
        found
        for group, target in book.definitions.points_targets
        if group.tracking_type == "CAPPING" and target.target_type in GRANTED_POINTS
        if (found := _ceiling(book, group, target)) is not None
    ]
    for _, target, cycle, before in ceilings:
        value = max(ZERO, min(value, target_value(target, cycle.period, before) - before.value))
    for group, target, cycle, before in ceilings:
        if cycle.anchors and enrolment_of(book, target.id).stints:
            begin_cycles(book, group, target, cycle)
        after = replace(before, value=before.value + value)
        put_progress(book, target.id, after)
        book.effects.append(
            Effect(
                group.id,
                target.id,
                before.period_id,
                "POINTS_GRANTED",
                after.attempt,
                value,
                after.value,
                target_value(target, cycle.period, before),
            )
        )
    return value


def _ceiling(
    book: Book, group: TargetGroup, target: Target
) -> tuple[TargetGroup, Target, Cycle, Progress] | None:
    """The cycle of a ceiling that holds for the customer now, with what is counted there."""
    enrolment = enrolment_of(book, target.id)
    if not (group.active and target.active):
        return None
    cycle = cycle_at(group, enrolment, book.now)
    if isinstance(cycle, str) or is_closed(group, cycle, book.now):
        return None
    everybody = target.enrolment_method == "TRANSACTION" and not enrolment.stints
    stint = enrolled_in(group, enrolment, cycle.period)
    if stint is None and not everybody:
        return None
    before = enrolment.progress.get(cycle.period.id)
    attempt = attempt_of(group, stint, before) if stint is not None else 1
    if before is None or before.attempt != attempt:
        before = Progress(cycle.period.id, attempt, ZERO)
    return group, target, cycle, before
