"""What an activity adds to a target, by its entity and type (domain §4.7), its filters, and its
expression (contract §4, "Expressions").

A milestone ABC has five cycles, c1 to c5: June to October 2026, each asking for 1000.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.harness import Org, Service
from tests.scenarios.vocabulary import (
    ACCEPTED,
    INVALID_INPUT,
    Challenge,
    data,
    deed,
    define_milestone,
    giving_back,
    item,
    post,
    sale,
    statuses,
)

LINES = [
    item("A", 60, 3, grossAmount=66, attributes={"weight": 1.5}),
    item("B", 40, 2, attributes={"weight": 0.25}),
    item("C", 10.5),
]
BILL: dict[str, Any] = {"grossAmount": 120, "lineItems": LINES, "attributes": {"tip": 4.75}}


def test_what_a_transaction_adds(org: Org) -> None:
    added = {
        ("TRANSACTION", "SALES"): 110.5,
        ("TRANSACTION", "GROSS_SALES"): 120,
        ("TRANSACTION", "COUNT"): 1,
        ("TRANSACTION", "VISIT"): 1,
        ("TRANSACTION", "QUANTITY"): 6,
        ("LINEITEM", "SALES"): 110.5,
        ("LINEITEM", "GROSS_SALES"): 116.5,
        ("LINEITEM", "QUANTITY"): 6,
    }
    ann = org.register()
    challenges = {kind: counting(org, *kind, ann)[0] for kind in added}
    bought = sale(ann, 110.5, org.now(), **BILL)
    (result,) = post(org, bought)
    assert {kind: abc.outcome_of(bought, result) for kind, abc in challenges.items()} == {
        kind: ("c1", 0, value, False) for kind, value in added.items()
    }


def test_of_line_items_only_those_that_the_expression_holds_for_count(org: Org) -> None:
    ann = org.register()
    expression = "currentLineItem.sku in ['A', 'C']"
    for kind, added in (("SALES", 70.5), ("GROSS_SALES", 76.5), ("QUANTITY", 4)):
        abc, _ = counting(org, "LINEITEM", kind, ann, expression=expression)
        assert abc.buy(ann, 110.5, **BILL) == ("c1", 0, added, False)
        assert abc.buy(ann, 40, lineItems=[item("B", 40, 2)]) == "EXPRESSION_FALSE"
        assert abc.buy(ann, 40) == "NO_VALUE"


@pytest.mark.parametrize(
    ("entity", "info", "added"),
    [
        ("TRANSACTION", {"name": "tip"}, 4.75),
        ("TRANSACTION", {"name": "tip", "aggregateFunction": "COUNT"}, 1),
        ("LINEITEM", {"name": "weight", "aggregateFunction": "SUM"}, 1.75),
        ("LINEITEM", {"name": "weight", "aggregateFunction": "COUNT"}, 2),
    ],
)
def test_an_extended_field_is_added_up_or_counted(
    org: Org, entity: str, info: dict[str, Any], added: float
) -> None:
    abc, ann = counting(org, entity, "EXTENDED_FIELD", extendedFieldInfo=info)
    assert abc.buy(ann, 110.5, **BILL) == ("c1", 0, added, False)
    assert abc.buy(ann, 5, lineItems=[item("A", 5)]) == "NO_VALUE"


def test_an_event_is_counted_or_its_attribute_is_added_up(org: Org) -> None:
    times, ann = counting(org, "EVENT", "COUNT", eventName="runLogged")
    info = {"name": "km", "aggregateFunction": "SUM"}
    distance, _ = counting(
        org, "EVENT", "EVENT_ATTRIBUTE", ann, eventName="runLogged", extendedFieldInfo=info
    )
    run = deed(ann, "runLogged", org.now(), km=5.2)
    (result,) = post(org, run)
    assert times.outcome_of(run, result) == ("c1", 0, 1, False)
    assert distance.outcome_of(run, result) == ("c1", 0, 5.2, False)
    # Its name is compared exactly, and what is no number adds nothing.
    assert distance.do(ann, "runLogged", km="5.2") == "NO_VALUE"
    assert distance.do(ann, "runLogged") == "NO_VALUE"
    other = deed(ann, "RunLogged", org.now(), km=1)
    assert statuses(post(org, other)) == ["ACCEPTED"]
    assert (times.value(ann, "c1"), distance.value(ann, "c1")) == (3, 5.2)


def test_an_event_target_may_count_returns(org: Org) -> None:
    abc, ann = counting(org, "EVENT", "COUNT", eventName="ReturnBill")
    assert statuses(post(org, sale(ann, 10, org.now(), id="s"))) == ["ACCEPTED"]
    assert abc.give_back(ann, "s", 4) == ("c1", 0, 1, False)


@pytest.mark.parametrize("entity", ["TRANSACTION", "EVENT"])
def test_visits_are_distinct_local_days(service: Service, entity: str) -> None:
    org = service.new_org(timeZone="Asia/Kolkata", now="2026-06-10T00:00:00+05:30")
    abc, ann = counting(org, entity, "VISIT", eventName="checkIn")
    visits = [
        ("2026-06-05T00:00:00+05:30", (0, 1)),
        ("2026-06-05T23:59:59.999+05:30", None),
        ("2026-06-06T00:00:00+05:30", (1, 2)),
        # The day before in UTC, and the same local day.
        ("2026-06-05T18:30:00Z", None),
        ("2026-06-04T18:29:59Z", (2, 3)),
        # A late one may come before all others.
        ("2026-06-01T00:00:00+05:30", (3, 4)),
        ("2026-05-31T18:30:00Z", None),
    ]
    for on, change in visits:
        came = abc.buy(ann, 1, on=on) if entity == "TRANSACTION" else abc.do(ann, "checkIn", on=on)
        assert came == (("c1", *change, False) if change else "SAME_DAY")


def test_a_return_takes_a_visit_back_and_another_may_count_on_that_day(org: Org) -> None:
    abc, ann = counting(org, "TRANSACTION", "VISIT")
    assert abc.buy(ann, 10, id="s1") == ("c1", 0, 1, False)
    assert abc.buy(ann, 10, id="s2") == "SAME_DAY"
    assert abc.give_back(ann, "s1", 10) == ("c1", 1, 0, False)
    assert abc.buy(ann, 10) == ("c1", 0, 1, False)


@pytest.mark.parametrize(
    ("window", "values"), [("MAX", [3, 7, 7, 7, 12]), ("MIN", [3, 3, 2, 2, 7])]
)
def test_of_a_daily_window_only_the_best_or_lowest_value_of_each_day_counts(
    org: Org, window: str, values: list[float]
) -> None:
    best = {"windowType": window, "windowTimeUnit": "DAY", "windowValue": 1}
    info = {"name": "points", "aggregateFunction": "SUM"}
    abc, ann = counting(
        org, "EVENT", "EVENT_ATTRIBUTE", eventName="played", extendedFieldInfo=info,
        aggregateWindow=best,
    )  # fmt: skip
    org.move_clock("2026-06-03T00:00:00Z")
    games = [("01", 3), ("01", 7), ("01", 2), ("01", 5), ("02", 5)]
    before = 0.0
    for (day, points), value in zip(games, values, strict=True):
        played = abc.do(ann, "played", on=f"2026-06-{day}T12:00:00Z", points=points)
        assert played == (("c1", before, value, False) if value != before else "NOT_BEST")
        before = value


def test_points_and_currencies_that_another_system_says_were_earned(org: Org) -> None:
    regular, ann = counting(org, "POINTS", "REGULAR_POINTS")
    promotional, _ = counting(org, "POINTS", "PROMOTIONAL_POINTS", ann)
    every, _ = counting(org, "REWARDS", "ALL_POINTS", ann)
    info = {"alternateCurrencyIdentifier": "miles", "programId": 469}
    miles, _ = counting(org, "ALTERNATE_CURRENCIES", "ALL", ann, extendedFieldInfo=info)
    for kind, amount in (("REGULAR", 30), ("PROMOTIONAL", 12)):
        earned = deed(ann, "PointsEarned", org.now(), kind=kind, amount=amount)
        assert statuses(post(org, earned)) == ["ACCEPTED"]
    assert miles.do(ann, "CurrencyEarned", currency="miles", amount=7) == ("c1", 0, 7, False)
    assert miles.do(ann, "CurrencyEarned", currency="stars", amount=7) == "NO_VALUE"
    found = [each.value(ann, "c1") for each in (regular, promotional, every, miles)]
    assert found == [30, 12, 42, 7]


def test_filters_restrict_stores_zones_and_concepts(org: Org) -> None:
    filters = [
        {"entityType": "STORE", "entityIds": [7, 8]},
        {"entityType": "ZONE", "entityIds": [1]},
    ]
    abc, ann = counting(org, "TRANSACTION", "SALES", filters=filters)
    assert abc.buy(ann, 10, storeId=7, zoneId=1) == ("c1", 0, 10, False)
    assert abc.buy(ann, 10, storeId=8, zoneId=1, conceptId=3) == ("c1", 10, 20, False)
    for where in ({"storeId": 9, "zoneId": 1}, {"storeId": 7, "zoneId": 2}, {"zoneId": 1}, {}):
        assert abc.send(sale(ann, 10, org.now()) | where) == "OUTSIDE_SCOPE"


@pytest.mark.parametrize(
    ("expression", "counts", "does_not"),
    [
        ("currentTxn.value >= 100", {"netAmount": 100}, {"netAmount": 99.99}),
        ("currentTxn.grossValue > 50.0", {"grossAmount": 50.01}, {"grossAmount": 50}),
        ("currentTxn.storeId == 7", {"storeId": 7}, {"storeId": 8}),
        (
            "currentTxn.attributes.channel == 'web'",
            {"attributes": {"channel": "web"}},
            {"attributes": {"channel": "shop"}},
        ),
        (
            "'channel' in currentTxn.attributes && currentTxn.value > 1.0",
            {"attributes": {"channel": None}},
            {"attributes": {}},
        ),
    ],
)
def test_an_expression_on_a_transaction(
    org: Org, expression: str, counts: dict[str, Any], does_not: dict[str, Any]
) -> None:
    abc, ann = counting(org, "TRANSACTION", "COUNT", expression=expression)
    assert abc.send(sale(ann, 10, org.now()) | counts) == ("c1", 0, 1, False)
    assert abc.send(sale(ann, 10, org.now()) | does_not) == "EXPRESSION_FALSE"


def test_an_expression_on_an_event(org: Org) -> None:
    expression = "currentEvent.name == 'runLogged' && currentEvent.km >= 5.0"
    abc, ann = counting(org, "EVENT", "COUNT", eventName="runLogged", expression=expression)
    assert abc.do(ann, "runLogged", km=5) == ("c1", 0, 1, False)
    assert abc.do(ann, "runLogged", km=4.99) == "EXPRESSION_FALSE"


def test_an_expression_on_line_items(org: Org) -> None:
    expression = (
        "currentLineItem.quantity >= 2.0 && currentLineItem.netAmount < 60.0 "
        "&& currentLineItem.grossAmount > 1.0"
    )
    abc, ann = counting(org, "LINEITEM", "SALES", expression=expression)
    assert abc.buy(ann, 110.5, **BILL) == ("c1", 0, 40, False)


def test_a_failing_expression_rejects_its_own_activity_and_no_other(org: Org) -> None:
    abc, ann = counting(
        org, "TRANSACTION", "SALES", expression="currentTxn.attributes.channel == 'web'"
    )
    beside, _ = counting(org, "TRANSACTION", "SALES", ann)
    other = org.register()
    assert abc.enrol(other) == ACCEPTED
    web = {"attributes": {"channel": "web"}}
    sent = [
        sale(ann, 1, org.now(), **web),
        sale(ann, 10, org.now(), id="no channel"),
        sale(other, 100, org.now()),
        sale(ann, 1000, org.now(), **web),
    ]
    results = post(org, *sent)
    assert statuses(results) == ["ACCEPTED", INVALID_INPUT, INVALID_INPUT, "ACCEPTED"]
    assert "channel" in results[1]["errors"][0]["message"]
    assert (abc.value(ann, "c1"), beside.value(ann, "c1")) == (1001, 1001)
    # Its id is free, and who is in no such target has nothing to fail.
    assert abc.send(sent[1] | web) == ("c1", 1001, 1011, True)
    nobody = org.register()
    assert statuses(post(org, sale(nobody, 1, org.now()))) == ["ACCEPTED"]


def test_an_edited_expression_applies_to_what_arrives_later(org: Org) -> None:
    abc, ann = counting(org, "TRANSACTION", "SALES", expression="currentTxn.value >= 100")
    assert abc.buy(ann, 150, id="s") == ("c1", 0, 150, False)
    path = f"/v3/targetGroups/{abc.group_id}/targets/{abc.target_id}"
    data(org.client.put(path, json={"expression": "currentTxn.value >= 200"}))
    assert abc.buy(ann, 150) == "EXPRESSION_FALSE"
    assert abc.buy(ann, 200) == ("c1", 150, 350, False)
    # What was added is taken back all the same.
    assert abc.send(giving_back(ann, "s", 50, org.now())) == ("c1", 350, 300, False)


def test_cycles_have_target_values_of_their_own(org: Org) -> None:
    values = [{"defaultValue": value} for value in (10, 20, 30, 40, 50)]
    abc, ann = counting(org, "TRANSACTION", "SALES", defaultValues=values)
    assert abc.buy(ann, 10) == ("c1", 0, 10, True)
    org.move_clock("2026-07-15T00:00:00Z")
    assert abc.buy(ann, 19) == ("c2", 0, 19, False)
    assert abc.buy(ann, 1) == ("c2", 19, 20, True)


def counting(
    org: Org, entity: str, kind: str, customer: int | None = None, **target: Any
) -> tuple[Challenge, int]:
    """A milestone of the organisation's zone, and a customer who is in it."""
    fields = {"targetEntity": entity, "targetType": kind, **target}
    abc = define_milestone(org, target=fields)
    customer = customer or org.register()
    assert abc.enrol(customer, "c1") == ACCEPTED
    return abc, customer
