"""Returns: how much a return takes back, where, and why nothing (contract §4 rule 11; domain §4.12)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Protocol

from milepost.errors import INVALID_INPUT, Refusal
from milepost.rules.activities import TRANSACTION, ZERO, Activity, LineItem
from milepost.rules.book import NOT_ENROLLED
from milepost.rules.coverage import Enrolment, enrolled_in
from milepost.rules.definitions import Definitions, Target, TargetGroup
from milepost.rules.effects import Effect, Progress
from milepost.rules.frozen import dataclass
from milepost.rules.matching import Evaluate, lines_that_match
from milepost.rules.progress import Move
from milepost.rules.windows import Cycle, cycle_of, is_over

CENT = Decimal("0.01")
_TAKEN_BACK = ("RETURNED", "CARRIED_FORWARD")


@dataclass(frozen=True, slots=True)
class Received:
    """An activity that was accepted, with what it did."""

    activity: Activity
    effects: tuple[Effect, ...]


class Past(Protocol):
    """What a return looks at."""

    @property
    def enrolments(self) -> Mapping[tuple[int, int], Enrolment]:
        """By (customer id, target id)."""

    @property
    def received(self) -> Mapping[tuple[int, str], Received]:
        """By (customer id, activity id)."""

    @property
    def returns(self) -> Mapping[tuple[int, str], Sequence[Received]]:
        """By (customer id, id of the transaction returned)."""


@dataclass(frozen=True, slots=True)
class _Return:
    """A return with what it is of: it takes `net` of the `left` that earlier ones left of the bill."""

    activity: Activity
    original: Received
    before: Sequence[Received]
    left: Decimal
    net: Decimal


def plan_return(
    definitions: Definitions, past: Past, activity: Activity, evaluate: Evaluate, now: datetime
) -> list[Move | Effect] | Refusal:
    """What a return takes from each cycle that its transaction moved, or why nothing.

    300004: no such transaction of the customer, dated before it, or more than is left of it.
    """
    found = _check(past, activity)
    if isinstance(found, Refusal):
        return found
    planned: list[Move | Effect] = []
    for effect in found.original.effects:
        group = definitions.groups.get(effect.target_group_id)
        target = group.targets_by_id.get(effect.target_id) if group is not None else None
        if group is None or target is None or effect.reason != "ADDED":
            continue
        enrolment = past.enrolments.get((activity.customer_id, target.id), NOT_ENROLLED)
        taking: Move | str | Refusal
        if not definitions.returns_adjust_targets:
            taking = "RETURNS_IGNORED"
        else:
            taking = _taking(group, target, enrolment, effect, found, evaluate, now)
        if isinstance(taking, Refusal):
            return taking
        planned.append(
            taking if isinstance(taking, Move) else _why_not(target, enrolment, effect, taking)
        )
    return planned


def _check(past: Past, activity: Activity) -> _Return | Refusal:
    key = (activity.customer_id, activity.return_of or "")
    original = past.received.get(key)
    if original is None or original.activity.type != TRANSACTION:
        return _refusal("returnOf names no transaction of the customer")
    if activity.occurred_at < original.activity.occurred_at:
        return _refusal("the return is dated before its transaction")
    before = past.returns.get(key, ())
    left = original.activity.net_amount
    for each in before:
        left -= left if each.activity.full else each.activity.net_amount
    if left <= 0 or (activity.net_amount > left and not activity.full):
        return _refusal(f"more is returned than the {max(left, ZERO)} that are left")
    quantities = _quantities(original.activity.line_items)
    for each in (*before, Received(activity, ())):
        for sku, quantity in _quantities(each.activity.line_items).items():
            quantities[sku] = quantities.get(sku, ZERO) - quantity
    if original.activity.line_items and min(quantities.values()) < 0:
        return _refusal("more of an item is returned than is left")
    net = left if activity.full else activity.net_amount
    return _Return(activity, original, before, left, net)


def _taking(
    group: TargetGroup,
    target: Target,
    enrolment: Enrolment,
    effect: Effect,
    found: _Return,
    evaluate: Evaluate,
    now: datetime,
) -> Move | str | Refusal:
    """What is taken for one of the transaction's effects, and from which cycle, or why nothing."""
    if not group.active:
        return "GROUP_INACTIVE"
    if not target.active:
        return "TARGET_INACTIVE"
    period = group.periods_by_id.get(effect.period_id or 0)
    row = enrolment.progress.get(period.id) if period is not None else None
    cycle = cycle_of(group, enrolment, period) if period is not None else None
    if row is None or period is None or cycle is None or row.attempt != effect.attempt:
        return "EARLIER_ATTEMPT"
    if group.is_streak and row.attempt != enrolment.attempt:
        return "EARLIER_ATTEMPT"
    closed = is_over(group, cycle, row, now)
    carried = group.carry_returns_forward and (closed or _is_rewarded(row))
    # What a later cycle is lowered by in proportion is a share of what was asked, at most (§4.12).
    whole = min(effect.amount, effect.target_value) if carried else effect.amount
    amount = _amount(target, effect, whole, found, evaluate)
    if isinstance(amount, str | Refusal):
        return amount
    if effect.day is not None and row.days is not None:
        # By now the day may hold less than the sale added: a lower one is the day's since.
        amount = min(amount, row.days.get(effect.day, ZERO))
        if amount <= 0:
            return "NOTHING_TO_RETURN"
    if carried:
        later = _later(group, enrolment, cycle, now)
        if later is None:
            return "CYCLE_CLOSED" if closed else "ALREADY_REWARDED"
        return Move(group, target, later, -amount, "CARRIED_FORWARD")
    if closed:
        return "CYCLE_CLOSED"
    if enrolled_in(group, enrolment, period) is None:
        return "NOT_ENROLLED"
    days = None
    if effect.day is not None and row.days is not None:
        days = dict(row.days)
        left = days.pop(effect.day, ZERO) - amount
        if left > 0:
            days[effect.day] = left
    return Move(group, target, cycle, -amount, "RETURNED", effect.day, days)


def _amount(
    target: Target, effect: Effect, whole: Decimal, found: _Return, evaluate: Evaluate
) -> Decimal | str | Refusal:
    """How much a return takes: never more than its transaction added and others have not taken.

    `whole` is what a return of the whole bill takes in proportion.
    """
    already = sum(
        (
            -each.amount
            for received in found.before
            for each in received.effects
            if each.target_id == target.id and each.reason in _TAKEN_BACK
        ),
        ZERO,
    )
    left = effect.amount - already
    if left <= 0:
        return "NOTHING_TO_RETURN"
    kind = target.target_type
    if kind not in ("SALES", "GROSS_SALES", "QUANTITY", "COUNT", "VISIT"):
        return "NOTHING_TO_RETURN"
    if kind in ("COUNT", "VISIT"):
        return left if found.net == found.left else "PARTLY_RETURNED"
    if found.activity.full:
        return left
    wanted = _wanted(target, whole, found, evaluate)
    if isinstance(wanted, Refusal):
        return wanted
    return min(wanted, left) if wanted > 0 else "NOTHING_TO_RETURN"


def _wanted(
    target: Target, whole: Decimal, found: _Return, evaluate: Evaluate
) -> Decimal | Refusal:
    """What the return is worth in the target's terms: its amounts, or those of its matching lines.

    A line matches where the sale's line of its article does: it need not repeat what the expression
    asks about. A return without lines takes from a line-item target in proportion to the bill (domain
    §4.12), in such cents that returns of the whole bill take the whole.
    """
    activity, kind = found.activity, target.target_type
    items: Sequence[LineItem] = activity.line_items
    if target.target_entity == "LINEITEM":
        if not items and kind != "QUANTITY":
            bill = found.original.activity.net_amount
            taken = bill - found.left
            return _share(whole, taken + found.net, bill) - _share(whole, taken, bill)
        sold = lines_that_match(target, found.original.activity, evaluate)
        if isinstance(sold, Refusal):
            return sold
        articles = {item.sku for item in sold}
        items = [item for item in items if item.sku in articles]
    if kind == "QUANTITY":
        return sum((item.quantity for item in items), ZERO)
    if target.target_entity == "LINEITEM":
        return sum(
            (item.net_amount if kind == "SALES" else item.gross_amount for item in items), ZERO
        )
    return activity.net_amount if kind == "SALES" else activity.gross_amount


def _share(amount: Decimal, part: Decimal, whole: Decimal) -> Decimal:
    """The share of an amount that goes with a part of the bill, in cents; all of it with the whole."""
    if part == whole:
        return amount
    return (amount * part / whole).quantize(CENT, ROUND_HALF_UP)


def _later(group: TargetGroup, enrolment: Enrolment, cycle: Cycle, now: datetime) -> Cycle | None:
    """The first later cycle that the customer is enrolled in, not closed and not rewarded (rule 11)."""
    place = group.periods.index(cycle.period)
    for period in group.periods[place + 1 :]:
        later = cycle_of(group, enrolment, period)
        row = enrolment.progress.get(period.id)
        if later is None or not period.active or enrolled_in(group, enrolment, period) is None:
            continue
        if not _is_rewarded(row) and not is_over(group, later, row, now):
            return later
    return None


def _is_rewarded(row: Progress | None) -> bool:
    return row is not None and row.rewarded_attempt == row.attempt


def _quantities(items: Sequence[LineItem]) -> dict[str, Decimal]:
    found: dict[str, Decimal] = {}
    for item in items:
        found[item.sku] = found.get(item.sku, ZERO) + item.quantity
    return found


def _why_not(target: Target, enrolment: Enrolment, effect: Effect, reason: str) -> Effect:
    """The effect of a return that took nothing where its transaction had added something."""
    row = enrolment.progress.get(effect.period_id or 0)
    value = row.value if row is not None else ZERO
    asked = effect.target_value
    if row is not None and effect.period_id in target.values and row.own_target_value is not None:
        asked = row.own_target_value
    return Effect(
        effect.target_group_id, target.id, effect.period_id, reason, effect.attempt,
        value=value, target_value=asked,
    )  # fmt: skip


def _refusal(reason: str) -> Refusal:
    return Refusal(INVALID_INPUT, f"{reason[0].upper()}{reason[1:]}.")
