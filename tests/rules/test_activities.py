"""What no activity can be, and when two are the same: contract §5."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from milepost.errors import Refusal
from milepost.rules.activities import (
    AMOUNT_DIGITS_MAX,
    AMOUNT_LIMIT,
    Activity,
    LineItem,
    check_activity,
    is_same,
)
from tests.rules.samples import code, event, item, refund, sale

SALE = sale("tx-1", 100, 0, item("book", 60), item("pen", 40))
EVENT = event("ev-1", "runLogged", km=Decimal("5.2"))
RETURN = refund("rt-1", "tx-1", 20)
FINEST = Decimal(1).scaleb(-AMOUNT_DIGITS_MAX)
AMOUNT_MAX = AMOUNT_LIMIT - FINEST


def refused(activity: Activity) -> str:
    """Why it is refused; blank if it is not."""
    refusal = check_activity(activity)
    assert refusal is None or code(refusal) == 300004
    return refusal.detail or "" if isinstance(refusal, Refusal) else ""


@pytest.mark.parametrize("activity", [SALE, EVENT, RETURN], ids=["sale", "event", "return"])
def test_an_activity_within_its_bounds_is_taken(activity: Activity) -> None:
    assert not refused(activity)


@pytest.mark.parametrize("activity_id", ["", " ", "\t", "x" * 256])
def test_an_id_has_1_to_255_characters(activity_id: str) -> None:
    assert refused(replace(SALE, id=activity_id)) == "id must have 1 to 255 characters."


@pytest.mark.parametrize("activity_id", ["1", "x" * 255, "türkis 1", " padded "])
def test_an_id_may_be_any_text_that_is_not_blank(activity_id: str) -> None:
    assert not refused(replace(SALE, id=activity_id))


@pytest.mark.parametrize(
    "amount",
    [
        "-0.01",
        "-1E+400",
        "NaN",
        "sNaN",
        "Infinity",
        "-Infinity",
        "1E+15",
        "1E+400",
        str(FINEST / 10),
    ],
)
@pytest.mark.parametrize(
    "place", ["net", "gross", "quantity of a line", "net of a line", "gross of a line"]
)
def test_amounts_and_quantities_are_exact_from_0_to_below_10_to_the_15th(
    amount: str, place: str
) -> None:
    assert refused(with_amount(Decimal(amount), place))


@pytest.mark.parametrize("amount", ["0", "0E+3", str(FINEST), "120.500", str(AMOUNT_MAX)])
@pytest.mark.parametrize(
    "place", ["net", "gross", "quantity of a line", "net of a line", "gross of a line"]
)
def test_amounts_and_quantities_may_have_so_many_decimal_places(amount: str, place: str) -> None:
    assert not refused(with_amount(Decimal(amount), place))


def with_amount(amount: Decimal, place: str) -> Activity:
    lines: dict[str, dict[str, Any]] = {
        "quantity of a line": {"quantity": amount},
        "net of a line": {"net_amount": amount},
        "gross of a line": {"gross_amount": amount},
    }
    if place in lines:
        return replace(SALE, line_items=(item("pen", 1), replace(item("book", 1), **lines[place])))
    return (
        replace(SALE, net_amount=amount) if place == "net" else replace(SALE, gross_amount=amount)
    )


@pytest.mark.parametrize("name", ["", "  ", "n" * 201])
def test_the_name_of_an_event_has_1_to_200_characters(name: str) -> None:
    assert refused(replace(EVENT, event_name=name)) == "eventName must have 1 to 200 characters."


def test_a_returns_amount_is_greater_than_0() -> None:
    assert refused(replace(RETURN, net_amount=Decimal(0)))
    assert not refused(replace(SALE, net_amount=Decimal(0)))


def test_a_full_return_needs_no_amount() -> None:
    assert not refused(refund("rt-1", "tx-1", 0, full=True))


@pytest.mark.parametrize("of", [None, "", "x" * 256])
def test_a_return_names_what_it_returns(of: str | None) -> None:
    assert refused(replace(RETURN, return_of=of))


def test_a_bill_has_at_most_1000_lines() -> None:
    assert not refused(replace(SALE, line_items=(item("pen"),) * 1000))
    assert refused(replace(SALE, line_items=(item("pen"),) * 1001))


def test_a_lines_sku_has_at_most_255_characters() -> None:
    assert not refused(replace(SALE, line_items=(item(""), item("s" * 255))))
    refusal = refused(replace(SALE, line_items=(item("pen"), item("s" * 256))))
    assert refusal == "lineItems[1].sku must have at most 255 characters."


def nested(depth: int) -> object:
    value: object = "bottom"
    for level in range(depth):
        value = [value] if level % 2 else {"in": value}
    return value


@pytest.mark.parametrize("of_a_line", [False, True])
@pytest.mark.parametrize(
    ("attributes", "fits"),
    [
        ({f"a{number}": number for number in range(200)}, True),
        ({f"a{number}": number for number in range(201)}, False),
        ({"deep": nested(8)}, True),
        ({"deep": nested(9)}, False),
        ({"number": Decimal("1E+300")}, True),
        ({"number": Decimal("1E-300")}, True),
        ({"number": Decimal("1E+301")}, False),
        ({"number": Decimal("NaN")}, False),
        ({"in": [{"here": Decimal("Infinity")}]}, False),
        ({"anything": [None, True, -1, "text", {}]}, True),
    ],
)
def test_attributes_are_few_shallow_and_of_finite_numbers(
    attributes: dict[str, object], fits: bool, of_a_line: bool
) -> None:
    line = LineItem("pen", Decimal(1), Decimal(1), Decimal(1), attributes)
    activity = (
        replace(SALE, line_items=(line,)) if of_a_line else replace(SALE, attributes=attributes)
    )
    assert (not refused(activity)) == fits


# The same content


@pytest.mark.parametrize(
    "other",
    [
        replace(SALE, net_amount=Decimal("100.00")),
        replace(SALE, attributes={}),
        replace(EVENT, attributes={"km": Decimal("5.20")}),
        replace(EVENT, attributes=dict(EVENT.attributes)),
    ],
)
def test_numbers_are_the_same_by_value(other: Activity) -> None:
    assert is_same(SALE if other.type == SALE.type else EVENT, other)


@pytest.mark.parametrize(
    "changes",
    [
        {"net_amount": Decimal(101)},
        {"gross_amount": Decimal(101)},
        {"occurred_at": sale("tx-1", 1, 1).occurred_at},
        {"store_id": 7},
        {"line_items": SALE.line_items[::-1]},
        {"line_items": ()},
        {"attributes": {"channel": "web"}},
        {"type": "EVENT"},
    ],
)
def test_any_field_makes_another_content(changes: dict[str, Any]) -> None:
    assert not is_same(SALE, replace(SALE, **changes))


@pytest.mark.parametrize(
    ("one", "other"), [(True, 1), (False, 0), ([True], [1]), ({"a": [False]}, {"a": [0]})]
)
def test_a_truth_is_no_number(one: object, other: object) -> None:
    assert not is_same(
        replace(SALE, attributes={"it": one}), replace(SALE, attributes={"it": other})
    )
    lines = [(item("pen", 1, 1, it=value),) for value in (one, other)]
    assert not is_same(*(replace(SALE, line_items=each) for each in lines))
    assert is_same(replace(SALE, attributes={"it": one}), replace(SALE, attributes={"it": one}))
