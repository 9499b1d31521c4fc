"""A target value of a customer's own, in place of the target's (domain: milestones §4.1).

An enrolment brings it. 0 is met at once. It holds for the cycles that there are then: what is added to
a group later asks what it asks of everybody.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from decimal import Decimal, InvalidOperation

from milepost.errors import INVALID_INPUT, Refusal
from milepost.rules.activities import AMOUNT_DIGITS_MAX, AMOUNT_LIMIT, ZERO
from milepost.rules.book import Book, enrolment_of, note, put_progress
from milepost.rules.coverage import achieved, reaches
from milepost.rules.definitions import CYCLIC, PERIOD_AGNOSTIC, Period, Target, TargetGroup
from milepost.rules.effects import Stint
from milepost.rules.own_cycles import own_bounds
from milepost.rules.progress import set_balance, start_of


def exact_number(text: str) -> Decimal:
    """The decimal as it is written in JSON; NaN for an exponent beyond what a Decimal holds."""
    try:
        return Decimal(text)
    except InvalidOperation:
        return Decimal("NaN")


def read_target_value(sent: object) -> Decimal | Refusal | None:
    """The target value as it was decoded: an exact number from 0 to below 10^15.

    None where none was sent; 300004 for all else, a truth or a text among it.
    """
    if sent is None:
        return None
    value = Decimal(sent) if type(sent) is int else sent
    if not isinstance(value, Decimal):
        return Refusal(INVALID_INPUT, "targetValue must be a number.")
    if not value.is_finite() or not 0 <= value < AMOUNT_LIMIT:
        return Refusal(INVALID_INPUT, "targetValue must be a number from 0 to below 10^15.")
    exponent = value.as_tuple().exponent
    if isinstance(exponent, int) and -exponent > AMOUNT_DIGITS_MAX:
        detail = f"targetValue must have at most {AMOUNT_DIGITS_MAX} decimal places."
        return Refusal(INVALID_INPUT, detail)
    return value or ZERO  # not -0


def refuse_own_value(group: TargetGroup) -> Refusal | None:
    """300004 for period-agnostic windows, which ask the same of everybody (§4.5)."""
    if group.evaluation_type != PERIOD_AGNOSTIC:
        return None
    detail = "targetValue: cycles that end when they are achieved ask the same of everybody."
    return Refusal(INVALID_INPUT, detail)


def own_value_cycles(
    group: TargetGroup, stint: Stint, chosen: Period, now: datetime
) -> list[Period]:
    """The cycles that an enrolment's target value holds for, in order.

    The chosen one and every later one that the stint reaches and that has not ended; of a streak, and
    of the customer's own cycles, which no enrolment chooses from, all that have not ended.
    """
    if group.evaluation_type == CYCLIC:
        begun_at = stint.anchored_at
        return [
            period
            for period in group.periods
            if begun_at is None or own_bounds(group, begun_at, period)[1] > now
        ]
    return [
        period
        for period in group.periods
        if not period.ended(now)
        and reaches(group, stint, period)
        and (group.is_streak or period.starts_at >= chosen.starts_at)
    ]


def set_own_values(
    book: Book,
    group: TargetGroup,
    target: Target,
    chosen: Period,
    value: Decimal,
    own_before: Mapping[int, Decimal | None],
    *,
    is_first: bool,
) -> None:
    """Let the cycles of an enrolment ask `value` of its customer.

    What that achieves is rewarded as a balance is; what is achieved stays so. Each cycle whose own
    value changes is noted, but for a first enrolment, whose own line says it. `own_before`, by period
    id, is what was there before the command.
    """
    stint = enrolment_of(book, target.id).stints[-1]
    for period in own_value_cycles(group, stint, chosen, book.now):
        stored = enrolment_of(book, target.id).progress.get(period.id)
        before = start_of(group, stored, stint, period)
        earlier = own_before.get(period.id)
        if not is_first and earlier != value:
            asked = earlier if earlier is not None else target.values[period.id].value
            note(
                book, group, target, period, "TARGET_VALUE", "OWN_TARGET_VALUE",
                attempt=before.attempt,
                value=str(before.value),
                targetValue=str(value),
                earlierTargetValue=str(asked),
            )  # fmt: skip
        if before.own_target_value == value and (before is stored or before.value < value):
            continue  # it asks for that already; a new attempt begins with what counts in it
        after = replace(before, own_target_value=value)
        if achieved(before) or before.value < value:
            put_progress(book, target.id, after)
        else:
            reason = "INITIAL_BALANCE" if is_first else "REACHED"
            set_balance(book, group, target, period, replace(after, achieved_at=book.now), reason)
