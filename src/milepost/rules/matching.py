"""Whether a target counts an activity, and how much of it (domain: milestones §4.7).

The order is §4.7's: scope first, then the expression, then the amount. Expressions are CEL; how they
are evaluated is the caller's (`Evaluate`), for rules know no third party.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import NamedTuple

from milepost.errors import Refusal
from milepost.rules.activities import (
    AMOUNT_DIGITS_MAX,
    AMOUNT_LIMIT,
    RETURN,
    TRANSACTION,
    ZERO,
    Activity,
    LineItem,
)
from milepost.rules.calendar import written_date
from milepost.rules.definitions import POINTS_ENTITIES, Target, TargetGroup
from milepost.rules.effects import Progress

Evaluate = Callable[[str, Activity, LineItem | None], bool | Refusal]
"""Whether an expression holds for an activity and, of a line-item target, one of its lines.

A refusal says that it failed: then the activity is rejected.
"""

ALWAYS = "true"
_ONE = Decimal(1)


class Counted(NamedTuple):
    """What an activity adds. `best_of_day` makes it the day's candidate for the best or lowest value."""

    amount: Decimal
    day: str | None = None
    best_of_day: str | None = None


def count(
    group: TargetGroup, target: Target, activity: Activity, evaluate: Evaluate
) -> Counted | str | Refusal:
    """What the activity adds to the target, or the reason code why nothing, or the failed expression.

    An activity of another kind than the target's must not come here (`Definitions.listeners`).
    """
    if not in_scope(target.filters, activity):
        return "OUTSIDE_SCOPE"
    by_line = target.target_entity == "LINEITEM"
    items: Sequence[LineItem] = activity.line_items
    if by_line:
        matching = lines_that_match(target, activity, evaluate)
        if isinstance(matching, Refusal):
            return matching
        if not matching:
            return "EXPRESSION_FALSE" if items else "NO_VALUE"
        items = matching
    elif target.expression != ALWAYS:
        holds = _holds(target, activity, None, evaluate)
        if isinstance(holds, Refusal):
            return holds
        if not holds:
            return "EXPRESSION_FALSE"
    if target.target_type == "VISIT":
        return Counted(_ONE, written_date(activity.occurred_at, group.zone))
    amount = _amount(target, activity, items, by_line=by_line)
    if amount is None:
        return "NO_VALUE"
    window = daily_window(target)
    if window is None:
        return Counted(amount)
    return Counted(amount, written_date(activity.occurred_at, group.zone), window)


def lines_that_match(
    target: Target, activity: Activity, evaluate: Evaluate
) -> tuple[LineItem, ...] | Refusal:
    """The lines of a bill or of a return for which the target's expression holds."""
    if target.expression == ALWAYS:
        return activity.line_items
    found = []
    for item in activity.line_items:
        holds = _holds(target, activity, item, evaluate)
        if isinstance(holds, Refusal):
            return holds
        if holds:
            found.append(item)
    return tuple(found)


def _holds(
    target: Target, activity: Activity, item: LineItem | None, evaluate: Evaluate
) -> bool | Refusal:
    """Whether the target's expression holds; a failure says whose it is."""
    holds = evaluate(target.expression, activity, item)
    if isinstance(holds, Refusal):
        detail = f"{holds.detail} It is that of target {target.id}, '{target.name}'."
        return replace(holds, detail=detail)
    return holds


def in_scope(filters: Sequence[Mapping[str, object]], activity: Activity) -> bool:
    """Whether the activity's store, zone and concept are among those of the target; [] is everywhere.

    Filters of one kind are alternatives, those of different kinds must all hold.
    """
    if not filters:
        return True
    allowed: dict[str, set[object]] = {}
    for each in filters:
        ids = each.get("entityIds")
        if isinstance(ids, list | tuple):
            allowed.setdefault(str(each.get("entityType")).upper(), set()).update(ids)
    where = {
        "STORE": activity.store_id,
        "ZONE": activity.zone_id,
        "CONCEPT": activity.concept_id,
    }
    return all(where.get(kind) in ids for kind, ids in allowed.items())


def daily_window(target: Target) -> str | None:
    """MIN or MAX if only the lowest or best value of each local day counts, else None (§2.3)."""
    window = target.aggregate_window or (target.extended_field_info or {}).get("aggregateWindow")
    kind = window.get("windowType") if isinstance(window, Mapping) else None
    return str(kind).upper() if kind is not None else None


def day_change(counted: Counted, before: Progress | None) -> Decimal | str:
    """How much a day's visit or candidate changes the value, or why not at all."""
    if counted.day is None:
        return counted.amount
    known = (before.days or {}).get(counted.day) if before is not None else None
    if known is None:
        return counted.amount
    if counted.best_of_day is None:
        return "SAME_DAY"
    better = counted.amount < known if counted.best_of_day == "MIN" else counted.amount > known
    return counted.amount - known if better else "NOT_BEST"


def _amount(
    target: Target, activity: Activity, items: Sequence[LineItem], *, by_line: bool
) -> Decimal | None:
    kind = target.target_type
    if target.target_entity in POINTS_ENTITIES or target.target_entity == "ALTERNATE_CURRENCIES":
        return _earned(target, activity)
    if kind == "COUNT":
        return _ONE
    if kind == "QUANTITY":
        return sum((item.quantity for item in items), ZERO) if items else None
    if kind == "SALES":
        return sum((i.net_amount for i in items), ZERO) if by_line else activity.net_amount
    if kind == "GROSS_SALES":
        return sum((i.gross_amount for i in items), ZERO) if by_line else activity.gross_amount
    sources = [item.attributes for item in items] if by_line else [activity.attributes]
    return _field(target, sources)


def _field(target: Target, sources: Sequence[Mapping[str, object]]) -> Decimal | None:
    """An extended field or event attribute, added up or counted; None if nothing has it (§2.3)."""
    info = target.extended_field_info or {}
    found = [source.get(str(info.get("name"))) for source in sources]
    present = [value for value in found if value is not None]
    if str(info.get("aggregateFunction") or "SUM").upper() == "COUNT":
        return Decimal(len(present)) if present else None
    numbers = [number for value in present if (number := _number(value)) is not None]
    return sum(numbers, ZERO) if numbers else None


def _earned(target: Target, activity: Activity) -> Decimal | None:
    """Points or an alternate currency that another system says were earned (docs/api.md)."""
    kind = str(activity.attributes.get("kind") or "REGULAR").upper()
    wanted = target.target_type.removesuffix("_POINTS")
    if wanted != "ALL" and kind.removesuffix("AL") != wanted.removesuffix("AL"):
        return None
    if target.target_entity == "ALTERNATE_CURRENCIES":
        info = target.extended_field_info or {}
        if activity.attributes.get("currency") != info.get("alternateCurrencyIdentifier"):
            return None
    return _number(activity.attributes.get("amount"))


def _number(value: object) -> Decimal | None:
    """A JSON number as a decimal ≥ 0, to as many places as amounts have; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return None
    number = Decimal(str(value)) if isinstance(value, float) else Decimal(value)
    if not number.is_finite() or not 0 <= number < AMOUNT_LIMIT:
        return None
    exponent = number.as_tuple().exponent
    is_finer = isinstance(exponent, int) and -exponent > AMOUNT_DIGITS_MAX
    return round(number, AMOUNT_DIGITS_MAX) if is_finer else number


def counts_kind(target: Target, activity: Activity) -> bool:
    """Whether an activity is of the kind that a target counts, whatever its scope and expression."""
    entity = target.target_entity
    if entity in ("TRANSACTION", "LINEITEM"):
        return activity.type == TRANSACTION
    if activity.type == RETURN:
        return entity == "EVENT" and target.event_name == activity.event_name
    return True
