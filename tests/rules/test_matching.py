"""What a target counts of an activity: domain milestones §4.7, pair by pair."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from milepost.errors import Refusal
from milepost.rules.activities import AMOUNT_DIGITS_MAX, Activity
from milepost.rules.definitions import Target
from milepost.rules.effects import Progress
from milepost.rules.matching import Counted, count, counts_kind, day_change, in_scope
from milepost.rules.targets import TARGET_TYPES
from tests.rules.samples import (
    FAILURE,
    Story,
    day,
    evaluate,
    event,
    exact,
    item,
    milestone,
    refund,
    sale,
    with_target,
)

GROUP_OF_ONE = milestone()
FINEST = Decimal(1).scaleb(-AMOUNT_DIGITS_MAX)

BILL = sale(
    "tx-1",
    120.5,
    0.5,
    item("book", 100, 2, author="Borges", weight=Decimal("0.5")),
    item("pen", 20.5, 3, author="none", weight=Decimal("0.25")),
    gross=130,
    store_id=7,
    attributes={"channel": "web", "tip": Decimal("4.5")},
)
RUN = event("ev-1", "runLogged", 0.5, km=Decimal("5.2"))
EARNED = event("ev-2", "PointsEarned", 0.5, kind="REGULAR", amount=40)
PROMOTED = event("ev-3", "PointsEarned", 0.5, kind="PROMOTIONAL", amount=25)
MILES = event("ev-4", "CurrencyEarned", 0.5, currency="miles", amount=9)
CURRENCY = {"alternateCurrencyIdentifier": "miles", "programId": 1}


def target(entity: str, kind: str, **others: Any) -> Target:
    if entity == "EVENT":
        others = {"event_name": "runLogged", **others}
    return replace(GROUP_OF_ONE.targets[0], target_entity=entity, target_type=kind, **others)


def counted(found: Target, activity: Activity, zone: str = "UTC") -> Counted | str | Refusal:
    return count(replace(GROUP_OF_ONE, time_zone=zone), found, activity, evaluate)


def amount(found: Target, activity: Activity) -> Decimal | str:
    """What it adds, or why nothing."""
    outcome = counted(found, activity)
    assert not isinstance(outcome, Refusal)
    return outcome if isinstance(outcome, str) else outcome.amount


ADDED_BY_PAIR: dict[tuple[str, str], tuple[dict[str, Any], Activity, float]] = {
    ("TRANSACTION", "SALES"): ({}, BILL, 120.5),
    ("TRANSACTION", "GROSS_SALES"): ({}, BILL, 130),
    ("TRANSACTION", "QUANTITY"): ({}, BILL, 5),
    ("TRANSACTION", "COUNT"): ({}, BILL, 1),
    ("TRANSACTION", "VISIT"): ({}, BILL, 1),
    ("TRANSACTION", "EXTENDED_FIELD"): ({"extended_field_info": {"name": "tip"}}, BILL, 4.5),
    ("LINEITEM", "SALES"): ({"expression": "book"}, BILL, 100),
    ("LINEITEM", "GROSS_SALES"): ({"expression": "book"}, BILL, 200),
    ("LINEITEM", "QUANTITY"): ({"expression": "book"}, BILL, 2),
    ("LINEITEM", "EXTENDED_FIELD"): ({"extended_field_info": {"name": "weight"}}, BILL, 0.75),
    ("EVENT", "COUNT"): ({}, RUN, 1),
    ("EVENT", "VISIT"): ({}, RUN, 1),
    ("EVENT", "EVENT_ATTRIBUTE"): ({"extended_field_info": {"name": "km"}}, RUN, 5.2),
    ("REWARDS", "REGULAR_POINTS"): ({}, EARNED, 40),
    ("REWARDS", "PROMOTIONAL_POINTS"): ({}, PROMOTED, 25),
    ("REWARDS", "ALL_POINTS"): ({}, PROMOTED, 25),
    ("POINTS", "REGULAR_POINTS"): ({}, EARNED, 40),
    ("POINTS", "PROMOTIONAL_POINTS"): ({}, PROMOTED, 25),
    ("POINTS", "ALL_POINTS"): ({}, EARNED, 40),
    ("ALTERNATE_CURRENCIES", "REGULAR"): ({"extended_field_info": CURRENCY}, MILES, 9),
    ("ALTERNATE_CURRENCIES", "PROMOTION"): (
        {"extended_field_info": CURRENCY},
        event("ev-5", "CurrencyEarned", 0.5, currency="miles", kind="PROMOTION", amount=9),
        9,
    ),
    ("ALTERNATE_CURRENCIES", "ALL"): ({"extended_field_info": CURRENCY}, MILES, 9),
}


@pytest.mark.parametrize(("entity", "kind"), ADDED_BY_PAIR)
def test_each_pair_of_entity_and_type_adds_what_it_counts(entity: str, kind: str) -> None:
    others, activity, added = ADDED_BY_PAIR[entity, kind]
    assert amount(target(entity, kind, **others), activity) == exact(added)


def test_there_is_a_row_for_each_valid_pair() -> None:
    valid = {(entity, kind) for entity, kinds in TARGET_TYPES.items() for kind in kinds}
    assert ADDED_BY_PAIR.keys() == valid


@pytest.mark.parametrize(("entity", "kind"), ADDED_BY_PAIR)
def test_each_pair_counts_it_for_a_customer_who_is_enrolled(entity: str, kind: str) -> None:
    others, activity, added = ADDED_BY_PAIR[entity, kind]
    made = target(entity, kind, **others)
    story = Story(replace(GROUP_OF_ONE, targets=(made,)), day(1))
    story.enrol()
    story.record(activity)
    row = story.row("c1")
    assert row is not None
    assert (story.reason(activity.id), row.value) == ("ADDED", exact(added))


@pytest.mark.parametrize(
    ("others", "activity"),
    [
        ({"target_entity": "EVENT", "target_type": "COUNT", "event_name": "other"}, RUN),
        ({"target_entity": "TRANSACTION", "target_type": "COUNT"}, RUN),
        ({"target_entity": "POINTS", "target_type": "ALL_POINTS"}, RUN),
        ({"target_entity": "EVENT", "target_type": "COUNT", "event_name": "runLogged"}, BILL),
        ({"target_entity": "TRANSACTION"}, event("ev-9", "TransactionAdd")),
        ({"target_entity": "LINEITEM"}, event("ev-9", "TransactionAdd")),
    ],
)
def test_an_activity_of_another_kind_is_none_of_the_targets_business(
    others: dict[str, Any], activity: Activity
) -> None:
    story = Story(with_target(GROUP_OF_ONE, **others), day(1))
    story.enrol()
    story.record(activity)
    assert story.effects(activity.id) == ()


def test_an_event_target_may_count_bills_and_returns() -> None:
    bills, returns = (
        target("EVENT", "COUNT", event_name=name) for name in ("TransactionAdd", "ReturnBill")
    )
    assert counts_kind(bills, BILL)
    assert counts_kind(returns, refund("rt-1", "tx-1", 20))
    assert not counts_kind(target("TRANSACTION", "COUNT"), refund("rt-1", "tx-1", 20))


# The order of §4.7: scope, then expression, then amount


@pytest.mark.parametrize(
    ("filters", "where", "inside"),
    [
        ([], {}, True),
        ([], {"store_id": 7}, True),
        ([("STORE", [7, 8])], {"store_id": 7}, True),
        ([("STORE", [7, 8])], {"store_id": 9}, False),
        ([("STORE", [7])], {}, False),
        ([("STORE", [7])], {"zone_id": 7}, False),
        ([("store", [7])], {"store_id": 7}, True),
        ([("ZONE", [3])], {"zone_id": 3}, True),
        ([("CONCEPT", [4])], {"concept_id": 4}, True),
        ([("STORE", [7]), ("STORE", [8])], {"store_id": 8}, True),
        ([("STORE", [7]), ("ZONE", [3])], {"store_id": 7, "zone_id": 3}, True),
        ([("STORE", [7]), ("ZONE", [3])], {"store_id": 7}, False),
        ([("STORE", [7]), ("ZONE", [3])], {"store_id": 7, "zone_id": 4}, False),
        ([("GALAXY", [1])], {"store_id": 1}, False),
    ],
)
def test_filters_of_one_kind_are_alternatives_and_those_of_different_kinds_all_hold(
    filters: list[tuple[str, list[int]]], where: dict[str, int], inside: bool
) -> None:
    scope = tuple({"entityType": kind, "entityIds": ids} for kind, ids in filters)
    activity = replace(BILL, **{"store_id": None, **where})  # type: ignore[arg-type]
    assert in_scope(scope, activity) == inside
    expected: Decimal | str = Decimal("120.5") if inside else "OUTSIDE_SCOPE"
    assert amount(target("TRANSACTION", "SALES", filters=scope), activity) == expected


def test_outside_the_scope_the_expression_is_not_asked() -> None:
    scope = ({"entityType": "STORE", "entityIds": [99]},)
    made = target("TRANSACTION", "SALES", filters=scope, expression="fails")
    assert counted(made, BILL) == "OUTSIDE_SCOPE"


@pytest.mark.parametrize(("expression", "added"), [("big", "120.5"), ("web", "120.5")])
def test_an_expression_that_holds_lets_the_activity_count(expression: str, added: str) -> None:
    assert amount(target("TRANSACTION", "SALES", expression=expression), BILL) == Decimal(added)


def test_an_expression_that_does_not_hold_keeps_it_from_counting() -> None:
    small = replace(BILL, net_amount=Decimal(99))
    for kind in TARGET_TYPES["TRANSACTION"]:
        made = target("TRANSACTION", kind, expression="big")
        assert counted(made, small) == "EXPRESSION_FALSE"


def test_an_expression_that_fails_is_a_refusal_that_says_whose_it_is() -> None:
    detail = f"{FAILURE.detail} It is that of target 70, 'Spend 1000'."
    for entity in ("TRANSACTION", "LINEITEM"):
        found = counted(target(entity, "SALES", expression="fails"), BILL)
        assert found == replace(FAILURE, detail=detail)


def test_a_line_item_target_counts_the_lines_for_which_the_expression_holds() -> None:
    made = target("LINEITEM", "QUANTITY", expression="book")
    assert amount(made, BILL) == 2
    no_book = replace(BILL, line_items=BILL.line_items[1:])
    assert amount(made, no_book) == "EXPRESSION_FALSE"


@pytest.mark.parametrize("kind", TARGET_TYPES["LINEITEM"])
def test_a_bill_without_lines_has_nothing_for_a_line_item_target(kind: str) -> None:
    info = {"name": "weight"}
    assert amount(target("LINEITEM", kind, extended_field_info=info), sale("tx-2", 10)) == (
        "NO_VALUE"
    )


# Amounts


@pytest.mark.parametrize(
    ("value", "added"),
    [
        (5, "5"),
        (Decimal("5.2"), "5.2"),
        (0, "0"),
        (1.5, "1.5"),
        (1 + FINEST * Decimal("1.4"), str(1 + FINEST)),
        (Decimal("1E-300"), "0"),
        (Decimal("999999999999999.9"), "999999999999999.9"),
        ("5", "NO_VALUE"),
        (True, "NO_VALUE"),
        (None, "NO_VALUE"),
        (-1, "NO_VALUE"),
        (10**15, "NO_VALUE"),
        ([5], "NO_VALUE"),
        ({}, "NO_VALUE"),
    ],
)
def test_an_attribute_counts_if_it_is_a_number_that_an_amount_can_be(
    value: object, added: str
) -> None:
    made = target("EVENT", "EVENT_ATTRIBUTE", extended_field_info={"name": "km"})
    found = amount(made, event("ev-1", "runLogged", km=value))
    assert found == (added if added == "NO_VALUE" else Decimal(added))


def test_an_attribute_that_is_not_there_adds_nothing() -> None:
    made = target("EVENT", "EVENT_ATTRIBUTE", extended_field_info={"name": "km"})
    assert amount(made, event("ev-1", "runLogged", miles=5)) == "NO_VALUE"


@pytest.mark.parametrize(
    ("entity", "function", "added"),
    [("TRANSACTION", "SUM", "4.5"), ("TRANSACTION", "COUNT", "1"), ("TRANSACTION", "sum", "4.5")],
)
def test_an_extended_field_is_added_up_or_counted(entity: str, function: str, added: str) -> None:
    info = {"name": "tip", "aggregateFunction": function}
    assert amount(target(entity, "EXTENDED_FIELD", extended_field_info=info), BILL) == (
        Decimal(added)
    )


def test_an_extended_field_of_lines_is_counted_once_for_each_that_has_it() -> None:
    info = {"name": "author", "aggregateFunction": "COUNT"}
    made = target("LINEITEM", "EXTENDED_FIELD", extended_field_info=info)
    third = item("bag", 1, 1)
    assert amount(made, replace(BILL, line_items=(*BILL.line_items, third))) == 2
    assert amount(made, replace(BILL, line_items=(third,))) == "NO_VALUE"


@pytest.mark.parametrize(
    ("kind", "attributes", "added"),
    [
        ("REGULAR_POINTS", {"amount": 5}, 5),
        ("REGULAR_POINTS", {"amount": 5, "kind": "regular"}, 5),
        ("REGULAR_POINTS", {"amount": 5, "kind": "PROMOTIONAL"}, None),
        ("PROMOTIONAL_POINTS", {"amount": 5, "kind": "PROMOTION"}, 5),
        ("PROMOTIONAL_POINTS", {"amount": 5}, None),
        ("ALL_POINTS", {"amount": 5, "kind": "anything"}, 5),
        ("ALL_POINTS", {"amount": "5"}, None),
        ("ALL_POINTS", {}, None),
    ],
)
def test_points_count_by_their_kind(
    kind: str, attributes: dict[str, object], added: int | None
) -> None:
    found = amount(target("POINTS", kind), replace(EARNED, attributes=attributes))
    assert found == ("NO_VALUE" if added is None else added)


def test_only_the_targets_own_currency_counts() -> None:
    made = target("ALTERNATE_CURRENCIES", "ALL", extended_field_info=CURRENCY)
    coins = event("ev-1", "CurrencyEarned", currency="coins", amount=9)
    assert amount(made, coins) == "NO_VALUE"


# Visits by the local day, in zones of which one has a day of 25 hours and one of 23


@pytest.mark.parametrize(
    ("zone", "first", "second", "visits"),
    [
        # The clocks go back: 25 hours are one day.
        ("America/New_York", "2026-11-01T00:00-04:00", "2026-11-01T23:59-05:00", 1),
        ("America/New_York", "2026-11-01T23:59-05:00", "2026-11-02T00:00-05:00", 2),
        # 1:30 comes twice, an hour apart: one day all the same.
        ("America/New_York", "2026-11-01T01:30-04:00", "2026-11-01T01:30-05:00", 1),
        # The clocks go forward: 23 hours.
        ("Europe/Paris", "2026-03-29T00:00+01:00", "2026-03-29T23:59+02:00", 1),
        ("Europe/Paris", "2026-03-28T23:59+01:00", "2026-03-29T00:00+01:00", 2),
        # A day of UTC that is two local days, and a local day that is two of UTC.
        ("Asia/Kolkata", "2026-06-01T18:29Z", "2026-06-01T18:30Z", 2),
        ("Asia/Kolkata", "2026-06-01T18:30Z", "2026-06-02T18:29Z", 1),
    ],
)
def test_a_visit_is_counted_once_a_local_day(
    zone: str, first: str, second: str, visits: int
) -> None:
    group = with_target(
        milestone(cycles=1, time_zone=zone), target_entity="TRANSACTION", target_type="VISIT"
    )
    year = replace(
        group.periods[0],
        starts_at=datetime(2026, 1, 1, tzinfo=UTC),
        ends_at=datetime(2027, 1, 1, tzinfo=UTC),
    )
    for order in ((first, second), (second, first)):
        story = Story(replace(group, periods=(year,)), datetime(2026, 12, 1, tzinfo=UTC))
        story.enrol()
        reasons = [story.spend(10, at=datetime.fromisoformat(at)) for at in order]
        assert story.value("c1") == visits
        assert reasons == ["ADDED", "ADDED" if visits == 2 else "SAME_DAY"]


def test_the_day_of_a_visit_is_the_groups_and_is_kept() -> None:
    at = datetime(2026, 6, 1, 20, tzinfo=UTC)
    found = counted(target("TRANSACTION", "VISIT"), sale("tx-1", 1, at), "Asia/Kolkata")
    assert found == Counted(Decimal(1), "2026-06-02")
    assert at.astimezone(ZoneInfo("Asia/Kolkata")).day == 2


# The best or lowest value of each day


@pytest.mark.parametrize(
    ("window", "by_day", "value", "reasons"),
    [
        ("MAX", [(0.1, 5), (0.2, 8), (0.3, 6)], 8, ["ADDED", "ADDED", "NOT_BEST"]),
        ("MAX", [(0.1, 5), (1.1, 8), (1.2, 9), (0.9, 7)], 16, ["ADDED"] * 4),
        ("MAX", [(0.1, 5), (0.2, 5)], 5, ["ADDED", "NOT_BEST"]),
        ("MIN", [(0.1, 5), (0.2, 8), (0.3, 3)], 3, ["ADDED", "NOT_BEST", "ADDED"]),
        ("MIN", [(0.1, 5), (1.1, 8), (1.2, 6)], 11, ["ADDED"] * 3),
        ("MIN", [(0.1, 5), (0.2, 5)], 5, ["ADDED", "NOT_BEST"]),
        ("min", [(0.1, 5), (0.2, 8)], 5, ["ADDED", "NOT_BEST"]),
    ],
)
def test_of_each_day_the_best_or_lowest_value_counts(
    window: str, by_day: list[tuple[float, int]], value: int, reasons: list[str]
) -> None:
    info = {"name": "km", "aggregateWindow": {"windowType": window, "windowTimeUnit": "DAY"}}
    made = target("EVENT", "EVENT_ATTRIBUTE", extended_field_info=info)
    story = Story(replace(GROUP_OF_ONE, targets=(made,)), day(2))
    story.enrol()
    for number, (at, km) in enumerate(by_day):
        story.record(event(f"ev-{number}", "runLogged", at, km=km))
    assert [story.reason(f"ev-{number}") for number in range(len(by_day))] == reasons
    assert story.value("c1") == value


def test_a_lower_value_of_a_day_that_unachieves_a_cycle_is_told_as_such() -> None:
    info = {"name": "km", "aggregateWindow": {"windowType": "MIN", "windowTimeUnit": "DAY"}}
    made = target("EVENT", "EVENT_ATTRIBUTE", extended_field_info=info)
    story = Story(replace(GROUP_OF_ONE, targets=(made,)), day(2))
    story.enrol()
    asked = int(made.values[story.group.periods[0].id].value)
    story.record(event("ev-1", "runLogged", 0.1, km=asked))
    story.record(event("ev-2", "runLogged", 0.2, km=asked - 1))
    told = [(entry.what, entry.reason) for entry in story.journal if "ACHIEVED" in entry.what]
    assert told == [("ACHIEVED", "REACHED"), ("UNACHIEVED", "LOWER_THAT_DAY")]


def test_the_window_may_stand_beside_the_field_too() -> None:
    made = target(
        "EVENT",
        "EVENT_ATTRIBUTE",
        extended_field_info={"name": "km"},
        aggregate_window={"windowType": "MAX", "windowTimeUnit": "DAY", "windowValue": 1},
    )
    assert counted(made, RUN) == Counted(Decimal("5.2"), "2026-06-01", "MAX")


def test_what_a_day_contributed_decides_what_the_next_of_the_day_adds() -> None:
    before = Progress(701, 1, Decimal(9), days={"2026-06-01": Decimal(9)})
    best = Counted(Decimal(12), "2026-06-01", "MAX")
    assert day_change(best, before) == 3
    assert day_change(best, None) == 12
    assert day_change(replace_day(best, "2026-06-02"), before) == 12
    assert day_change(Counted(Decimal(12)), before) == 12
    assert day_change(Counted(Decimal(1), "2026-06-01"), before) == "SAME_DAY"


def replace_day(counted: Counted, day: str) -> Counted:
    return counted._replace(day=day)
