"""Activities: what a customer did, as received, and whether that can be (contract §5).

A transaction, a behavioural event or a return. Amounts are exact decimals; instants aware UTC.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from datetime import datetime
from decimal import Decimal

from milepost.errors import INVALID_INPUT, Refusal
from milepost.rules.frozen import dataclass

TRANSACTION = "TRANSACTION"
EVENT = "EVENT"
RETURN = "RETURN"
TYPES = (TRANSACTION, EVENT, RETURN)

TRANSACTION_ADD = "TransactionAdd"
RETURN_BILL = "ReturnBill"
POINTS_EARNED = "PointsEarned"
CURRENCY_EARNED = "CurrencyEarned"
"""Events by which another system tells what a customer earned there (docs/api.md)."""

ID_CHARACTERS_MAX = 255
EVENT_NAME_CHARACTERS_MAX = 200
SKU_CHARACTERS_MAX = 255
LINE_ITEMS_MAX = 1_000
ATTRIBUTES_MAX = 200
ATTRIBUTES_DEPTH_MAX = 8
AMOUNT_LIMIT = Decimal(10) ** 15
"""Amounts and quantities lie below it."""
AMOUNT_DIGITS_MAX = 20
"""After the decimal point."""

NUMBER_DIGITS_MAX = 300
"""Of a number among attributes, before or after the decimal point."""

ZERO = Decimal(0)
_NUMBER_LIMIT: int = 10**NUMBER_DIGITS_MAX


@dataclass(frozen=True, slots=True)
class LineItem:
    """One line of a bill. `gross_amount` is the net amount where none was sent."""

    sku: str
    quantity: Decimal
    net_amount: Decimal
    gross_amount: Decimal
    attributes: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Activity:
    """One activity. `event_name` is the event's own, else TransactionAdd or ReturnBill.

    `full` marks a return of all that is left, whatever amount it names (the vendor's FULL and
    CANCELLED). `attributes` are JSON values with exact decimals.
    """

    id: str
    customer_id: int
    type: str
    occurred_at: datetime
    event_name: str
    net_amount: Decimal = ZERO
    gross_amount: Decimal = ZERO
    store_id: int | None = None
    zone_id: int | None = None
    concept_id: int | None = None
    line_items: tuple[LineItem, ...] = ()
    attributes: Mapping[str, object] = field(default_factory=dict)
    return_of: str | None = None
    full: bool = False


def check_activity(activity: Activity) -> Refusal | None:
    """300004 for what no activity can be: blank ids, amounts out of bounds, too much of anything.

    Types, the presence of required fields and the range of instants are checked where it is decoded.
    """
    if not activity.id.strip() or len(activity.id) > ID_CHARACTERS_MAX:
        return _refusal(f"id must have 1 to {ID_CHARACTERS_MAX} characters")
    refusal = _check_amount(activity.net_amount, "netAmount")
    refusal = refusal or _check_amount(activity.gross_amount, "grossAmount")
    refusal = refusal or _check_attributes(activity.attributes, "attributes")
    if refusal is not None:
        return refusal
    if activity.type == EVENT and (
        not activity.event_name.strip() or len(activity.event_name) > EVENT_NAME_CHARACTERS_MAX
    ):
        return _refusal(f"eventName must have 1 to {EVENT_NAME_CHARACTERS_MAX} characters")
    if activity.type == RETURN:
        if not activity.return_of or len(activity.return_of) > ID_CHARACTERS_MAX:
            return _refusal("returnOf must name the transaction that is returned")
        if activity.net_amount <= 0 and not activity.full:
            return _refusal("netAmount of a RETURN must be greater than 0")
    if len(activity.line_items) > LINE_ITEMS_MAX:
        return _refusal(f"lineItems must have at most {LINE_ITEMS_MAX:,} entries")
    for index, item in enumerate(activity.line_items):
        refusal = _check_line_item(item, f"lineItems[{index}]")
        if refusal is not None:
            return refusal
    return None


def is_same(one: Activity, other: Activity) -> bool:
    """Whether two activities have the same content: numbers by value, but true is no 1."""
    return one == other and _attributes_of(one) == _attributes_of(other)


def _attributes_of(activity: Activity) -> list[object]:
    items = (_distinct(item.attributes) for item in activity.line_items)
    return [_distinct(activity.attributes), *items]


def _distinct(value: object) -> object:
    """A JSON value whose truths differ from 0 and 1."""
    if isinstance(value, bool):
        return str(value), bool
    if isinstance(value, Mapping):
        return {key: _distinct(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_distinct(each) for each in value]
    return value


def _check_line_item(item: LineItem, at: str) -> Refusal | None:
    if len(item.sku) > SKU_CHARACTERS_MAX:
        return _refusal(f"{at}.sku must have at most {SKU_CHARACTERS_MAX} characters")
    return (
        _check_amount(item.quantity, f"{at}.quantity")
        or _check_amount(item.net_amount, f"{at}.netAmount")
        or _check_amount(item.gross_amount, f"{at}.grossAmount")
        or _check_attributes(item.attributes, f"{at}.attributes")
    )


def _check_amount(amount: Decimal, at: str) -> Refusal | None:
    if not amount.is_finite() or amount < 0 or amount >= AMOUNT_LIMIT:
        return _refusal(f"{at} must be a number from 0 to below 10^15")
    exponent = amount.as_tuple().exponent
    if isinstance(exponent, int) and -exponent > AMOUNT_DIGITS_MAX:
        return _refusal(f"{at} must have at most {AMOUNT_DIGITS_MAX} decimal places")
    return None


def _check_attributes(attributes: Mapping[str, object], at: str) -> Refusal | None:
    if len(attributes) > ATTRIBUTES_MAX:
        return _refusal(f"{at} must have at most {ATTRIBUTES_MAX} entries")
    if not all(_shallow(value, ATTRIBUTES_DEPTH_MAX) for value in attributes.values()):
        return _refusal(
            f"{at} must be nested at most {ATTRIBUTES_DEPTH_MAX} deep, of finite numbers"
        )
    return None


def _shallow(value: object, depth: int) -> bool:
    """Whether a JSON value is nested no deeper than `depth` and holds no absurd number."""
    if isinstance(value, Decimal):
        return value.is_finite() and abs(value.adjusted()) <= NUMBER_DIGITS_MAX
    if isinstance(value, int):
        return -_NUMBER_LIMIT < value < _NUMBER_LIMIT
    if isinstance(value, Mapping):
        return depth > 0 and all(_shallow(each, depth - 1) for each in value.values())
    if isinstance(value, list | tuple):
        return depth > 0 and all(_shallow(each, depth - 1) for each in value)
    return True


def _refusal(reason: str) -> Refusal:
    return Refusal(INVALID_INPUT, f"{reason}.")
