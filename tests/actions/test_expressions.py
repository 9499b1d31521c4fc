"""Filter expressions: what compiles, what it says of an activity, and what is refused
(contract §4, "Expressions").
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from milepost.actions.expressions import evaluate, refuse_expression, variables_of
from milepost.errors import INVALID_INPUT, Refusal
from milepost.rules.activities import EVENT, TRANSACTION, TRANSACTION_ADD, Activity, LineItem
from tests.api.payloads import code, milestone, target
from tests.harness import Org

AT = datetime(2026, 6, 1, tzinfo=UTC)
SHOE = LineItem("SHOE-1", Decimal(2), Decimal("60.25"), Decimal(65))
SOCK = LineItem("SOCK-9", Decimal("0.5"), Decimal(60), Decimal(65))


def bill(**attributes: object) -> Activity:
    """120.25 of two lines at the store 7."""
    return Activity(
        "tx-1", 1, TRANSACTION, AT, TRANSACTION_ADD, Decimal("120.25"), Decimal(130), 7,
        line_items=(SHOE, SOCK), attributes=attributes,
    )  # fmt: skip


def event(**attributes: object) -> Activity:
    return Activity("ev-1", 1, EVENT, AT, "runLogged", attributes=attributes)


def says(expression: str, activity: Activity, line: LineItem | None = None) -> bool:
    assert refuse_expression(expression) is None
    result = evaluate(expression, activity, line)
    assert isinstance(result, bool), result.detail
    return result


def failure(expression: str, activity: Activity, line: LineItem | None = None) -> str:
    result = evaluate(expression, activity, line)
    assert isinstance(result, Refusal)
    assert result.error is INVALID_INPUT
    return result.detail.removeprefix("An expression fails: ")


@pytest.mark.parametrize(
    "expression",
    [
        "true",
        "false",
        "currentTxn.value > 100",
        "currentTxn.value >= 99.5 && currentTxn.grossValue < 500.0 || currentTxn.storeId == 7",
        "currentTxn.attributes.channel == 'web'",
        "currentTxn.attributes['channel'] in ['web', 'app']",
        "has(currentTxn.attributes.channel)",
        "size(currentTxn.attributes) > 0",
        "currentLineItem.sku.startsWith('A') && currentLineItem.quantity >= 2",
        "currentLineItem.netAmount > 10.0 ? currentLineItem.grossAmount > 12.0 : false",
        "currentEvent.name == 'runLogged' && currentEvent.km > 5",
        "type(currentEvent.km) == double",
        "currentEvent.name.matches('^run.*')",
        "timestamp('2026-06-01T00:00:00Z').getFullYear() == 2026",
        "['A', 'B'].exists(prefix, currentLineItem.sku.startsWith(prefix))",
        # Strings and comments hold what they like.
        """currentEvent.name == "a.map(x, y).filter(z, 'q')" """,
        "currentEvent.name == '''all(' + ''' + \"exists(\" // map(",
        r"currentEvent.name == 'it\'s map('",
        r"currentEvent.name == r'\' || currentEvent.name == 'filter('",
        "currentEvent.filter == 'x'",
        "  true\n",
    ],
)
def test_cel_over_the_contracts_variables_is_taken(expression: str) -> None:
    assert refuse_expression(expression) is None


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("currentTxn.value >", "column 19: Syntax error"),
        ("true &&\n&& false", "line 2, column 1: "),
        ("'open", "column 1: "),
        ("true;", "column 5: "),
        ("currentTxn.value = 5", "column 18: "),
        ("currentCustomer.age > 5", "it names currentCustomer, which is none of "),
        ("curentTxn.value > 5", "it names curentTxn"),
        ("eval('1')", "there is no function eval"),
        ("currentTxn.value.between(1, 2)", "there is no function between"),
        ("[1].all(x, [2].all(y, x < y))", "more than one of all, exists"),
        ("[1].//\nall(currentTxn, [2].map //\n(currentTxn, true))", "more than one of all"),
        ("[" + "1, " * 500 + "1].exists(x, x == 2)", "it may have 1000 characters"),
        ("(" * 1_000 + "1" + ")" * 1_000, "column "),
        ("[" * 5_000, "column "),
        ("true" + " || true" * 2_000, "longer than 10000 characters"),
        ("currentTxn.valeu > 5", "it reads currentTxn.valeu; there are attributes, grossValue"),
        ("currentLineItem\n. price > 5.0", "it reads currentLineItem.price; there are "),
        ("currentTxn.value", "it gives neither true nor false"),
        ("currentTxn.value * 2 > 100", "it computes float * int; write 2.0 for 2"),
        ("currentEvent.name.matches('(')", "the pattern '(' of matches is no regular expression"),
        ("currentEvent.name.matches(currentEvent.x)", "its pattern written as a text"),
        ("currentEvent.name.matches('a' + 'b')", "its pattern written as a text"),
        (r"currentEvent.name.matches(r'\pL+')", r"matches knows no classes \p"),
        (f"currentEvent.name.matches('{'a' * 99}')", "may have 100 characters"),
        ("currentEvent.name.matches('(.{50}){40}')", "may take too long"),
        ("1" + "+1" * 4_990 + " > 0", "it may take too long to evaluate"),
        ("\ud800", "it is not CEL"),
        ("", "column 1: "),
    ],
)
def test_anything_else_is_refused_with_the_reason(expression: str, reason: str) -> None:
    refusal = refuse_expression(expression)
    assert refusal is not None
    assert refusal.error is INVALID_INPUT
    assert reason in refusal.message
    assert len(refusal.message) < 400


def test_the_longest_expression_compiles_in_bounded_depth() -> None:
    for expression in ("!" * 9_996 + "true", "-" * 9_990 + "1 < 0", "1" + "-1" * 4_990 + " < 0"):
        assert refuse_expression(expression) is None


@pytest.mark.parametrize(
    ("expression", "answer"),
    [
        ("true", True),
        ("false", False),
        ("currentTxn.value > 100", True),
        ("currentTxn.value >= 120.25", True),
        ("currentTxn.value == 120", False),
        ("currentTxn.value in [120.25, 5]", True),
        ("currentTxn.value * 2.0 - currentTxn.grossValue > 110", True),
        ("currentTxn.grossValue == 130", True),
        ("currentTxn.storeId == 7 && currentTxn.storeId in [6, 7]", True),
        ("currentTxn.storeId % 2 == 1", True),
        ("currentTxn.attributes.channel == 'web'", True),
        ("currentTxn.attributes['channel'] == 'web'", True),
        ("currentTxn.attributes.points >= 9.75 && currentTxn.attributes.visits == 3", True),
        ("currentTxn.attributes.shop.floor == 2.0", True),
        ("currentTxn.attributes.tags.exists(tag, tag == 'new')", True),
        ("currentTxn.attributes.id == 9007199254740993", True),
        ("currentTxn.attributes.id == 9007199254740992", False),
        ("has(currentTxn.attributes.channel) && !has(currentTxn.attributes.other)", True),
        ("currentTxn.attributes.nothing == null", True),
        ("size(currentTxn.attributes) == 8", True),
        ("currentTxn.attributes.exists(name, name == 'visits')", True),
        ("currentEvent.name == 'TransactionAdd'", True),
        ("currentEvent.channel.startsWith('w')", True),
        ("currentTxn.attributes.vip && currentTxn.value > 1", True),
        ("currentTxn.attributes.other == 'x' || true", True),
    ],
)
def test_an_expression_sees_a_transaction(expression: str, answer: bool) -> None:
    activity = bill(
        channel="web", points=Decimal("9.75"), visits=3, shop={"floor": 2},
        tags=["old", "new"], id=2**53 + 1, nothing=None, vip=True,
    )  # fmt: skip
    assert says(expression, activity) is answer


@pytest.mark.parametrize(
    ("expression", "answers"),
    [
        ("currentLineItem.sku == 'SHOE-1'", [True, False]),
        ("currentLineItem.sku.startsWith('SHOE') && currentTxn.value > 100", [True, False]),
        ("currentLineItem.quantity >= 2", [True, False]),
        ("currentLineItem.quantity < 1 && currentLineItem.netAmount == 60", [False, True]),
        ("currentLineItem.grossAmount > currentLineItem.netAmount * 1.08", [False, True]),
        (r"currentLineItem.sku.matches('^S[A-Z]+-\\d$')", [True, True]),
        ("['SHOE', 'BOOT'].exists(kind, currentLineItem.sku.startsWith(kind))", [True, False]),
    ],
)
def test_an_expression_of_a_line_item_target_sees_each_line(
    expression: str, answers: list[bool]
) -> None:
    assert [says(expression, bill(), line) for line in (SHOE, SOCK)] == answers


def test_an_expression_sees_the_name_and_the_attributes_of_an_event() -> None:
    run = event(km=Decimal("5.2"), name="not the event's", city="Pune")
    assert says("currentEvent.name == 'runLogged' && currentEvent.km > 5", run)
    assert says("currentEvent.km * 2.0 == 10.4 && currentEvent['city'] == 'Pune'", run)
    assert says("size(currentEvent) == 3", run)
    assert not says("has(currentEvent.steps)", run)


def test_a_transaction_without_a_store_is_at_none_of_them() -> None:
    nowhere = Activity("tx-2", 1, TRANSACTION, AT, TRANSACTION_ADD, Decimal(5), Decimal(5))
    assert not says("currentTxn.storeId == 7", nowhere)


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("currentEvent.km > 5", "it reads 'km', which is not there."),
        ("currentEvent[currentEvent.city]", "it reads a key, which is not there."),
        ("currentEvent.a.b.c == 1", "it reads 'b', which is not there."),
        ("currentTxn.value > 5", "it reads currentTxn, which is not there."),
        ("currentLineItem.quantity > 5", "it reads currentLineItem, which is not there."),
        ("currentEvent.city > 5", "it compares or joins values of different types."),
        ("currentEvent.city + 1 == 'Pune1'", "it computes string + int"),
        ("currentEvent.steps * 2 > 5", "it computes float * int; write 2.0 for 2"),
        ("currentEvent.steps", "it gives neither true nor false."),
        ("currentEvent.tags[7] == 'x'", "it reads beyond the end of a list."),
        ("1 / 0 == size(currentEvent)", "it divides by zero."),
        ("int(currentEvent.big) == 1", "a number is out of range."),
        ("timestamp(currentEvent.city) == timestamp('2026-01-01T00:00:00Z')", "it cannot be evaluated."),
        ("size(currentEvent.long.map(x, x)) > 0", "what it reads is too large for it."),
        ("this is no CEL", "expression does not compile: column 6"),
    ],
)  # fmt: skip
def test_an_expression_that_fails_says_why(expression: str, reason: str) -> None:
    activity = event(
        city="Pune", steps=7, tags=["a"], big=Decimal(10) ** 30, a={}, long=[1] * 2_000
    )
    assert failure(expression, activity).startswith(reason)


def test_a_failure_quotes_no_value_of_the_activity() -> None:
    activity = event(card="4111-1111", sum=Decimal("9.5"))
    for expression in (
        "currentEvent.card > 5", "int(currentEvent.card) == 1", "currentEvent.card + 1 == ''",
        "currentEvent.card.matches('4') == currentEvent.sum * 2", "timestamp(currentEvent.card) == 1",
    ):  # fmt: skip
        detail = failure(expression, activity)
        assert "4111" not in detail
        assert "9.5" not in detail


def test_classes_of_a_pattern_are_ascii_whatever_the_string_they_are_written_in() -> None:
    for written in (r"r'^\d+$'", r'R"^\d+$"', r"'^\\d+$'", r"""'''^\\d+$'''"""):
        matches = f"currentEvent.code.matches({written})"
        assert says(matches, event(code="42"))
        assert not says(matches, event(code="\u0664\u0662"))
    assert says(r"currentEvent.code.matches(r'^[\w.-]+@\S+$')", event(code="a.b-c@d"))
    assert says(r"currentEvent.code.matches('^\\\\d$')", event(code="\\d"))
    assert not says(r"currentEvent.code.matches(r'\s|\W|\D')", event(code="7"))


def test_what_an_expression_does_not_read_costs_it_nothing() -> None:
    activity = bill(channel="web", history=[{"km": n} for n in range(40_000)])
    assert says("currentTxn.value > 5 && currentTxn.attributes.channel == 'web'", activity)
    assert says("currentEvent.channel == 'web'", activity)
    assert (
        failure("size(currentTxn.attributes) > 0", activity) == "what it reads is too large for it."
    )


def test_a_bill_of_a_thousand_lines_is_taken_by_expressions_on_them() -> None:
    many = Activity(
        "tx-3", 1, TRANSACTION, AT, TRANSACTION_ADD, Decimal(5), Decimal(5), 7,
        line_items=(SHOE,) * 1_000, attributes={"history": ["x"] * 200},
    )  # fmt: skip
    for expression in (
        "currentLineItem.sku.startsWith('SHOE') && currentLineItem.netAmount >= 50",
        r"currentLineItem.sku.matches('^SHOE-\\d$')",
    ):
        assert says(expression, many, SHOE)
    lines = "currentTxn.attributes.history.all(x, x in currentTxn.attributes.history)"
    assert failure(lines, many, SHOE) == "what it reads is too large for it."
    assert says(lines, many)


@pytest.mark.parametrize(
    "expression",
    [
        "currentEvent.list.all(x, currentEvent.list == currentEvent.list)",
        "size(currentEvent.list.map(x, currentEvent.list)) > 0",
        "size(currentEvent.list.map(x, currentEvent.text + currentEvent.text)) > 0",
        f"size({'+'.join(['currentEvent.list'] * 60)}) > 0",
        f"({'+'.join(['currentEvent.list'] * 9)}).all(x, x in currentEvent.list)",
        f"{'&&'.join(['currentEvent.map == currentEvent.map'] * 200)}",
        "currentEvent.list.all(x, currentEvent.text.matches('^(a|b)*[^a]{20}$'))",
        "currentEvent.text.matches('(.{30}){9}b')",
    ],
)
def test_what_would_take_long_is_not_begun(expression: str) -> None:
    large = event(
        list=[Decimal(n) for n in range(5_000)],
        map={f"k{n}": n for n in range(5_000)},
        text="a" * 200_000,
    )
    assert refuse_expression(expression) is None
    assert failure(expression, large) == "what it reads is too large for it."


@pytest.mark.parametrize(
    ("expression", "variables"),
    [
        ("true", set()),
        ("currentTxn.value > 1 || currentEvent.x", {"currentTxn", "currentEvent"}),
        ("currentLineItem.sku == 'currentTxn.value'", {"currentLineItem"}),
        ("no CEL", set()),
    ],
)
def test_the_variables_that_an_expression_reads_are_known(
    expression: str, variables: set[str]
) -> None:
    assert variables_of(expression) == variables


def tree(sign: str, field: str, literal: str) -> dict[str, Any]:
    """The vendor's tree of a comparison of a transaction's field."""
    names = ({"arity": "name", "value": value} for value in ("currentTxn", field))
    return {
        "arity": "binary_operation",
        "value": sign,
        "operands": [
            {"arity": "object_dereference", "operands": list(names)},
            {"arity": "literal", "value": literal, "type": "number:primitive"},
        ],
    }


TREE = json.dumps(tree(">", "value", "500"))
UNKNOWN = json.dumps(tree(">", "basketAmountSumNonDiscounted", "25"))
TOO_LONG = json.dumps({"arity": "literal", "value": "x" * 10_001, "type": "string"})


@pytest.mark.parametrize(
    ("sent", "counts"),
    [
        ({"expressionJson": TREE}, "currentTxn.value > 500"),
        ({"expressionJson": TREE, "expression": " "}, "currentTxn.value > 500"),
        ({"expressionJson": TREE, "expression": True}, "currentTxn.value > 500"),
        ({"expressionJson": TREE, "expression": "true"}, "currentTxn.value > 500"),
        ({"expressionJson": TREE, "expression": "currentTxn.value>500"}, "currentTxn.value>500"),
        ({"expressionJson": TREE, "expression": "currentTxn.storeId==7"}, "currentTxn.storeId==7"),
        ({"expressionJson": " ", "expression": "currentTxn.value>5"}, "currentTxn.value>5"),
        ({"expressionJson": None}, "true"),
    ],
)
def test_of_expression_and_tree_the_one_that_says_something_counts(
    org: Org, sent: dict[str, Any], counts: str
) -> None:
    fields = {"expression": None, **sent}
    made = org.define(**milestone(targets=[target(**fields)]))["targets"][0]
    assert made["expression"] == counts


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        ({"expressionJson": "{"}, "targets[0].expressionJson cannot be translated: it is not JSON."),
        (
            {"expressionJson": UNKNOWN, "expression": "currentTxn.value > 5"},
            'translated: $.operands[0] reads "currentTxn.basketAmountSumNonDiscounted"',
        ),
        ({"expressionJson": TREE, "expression": "currentTxn >"}, "targets[0].expression does not"),
        ({"expressionJson": TOO_LONG}, "targets[0].expressionJson: the expression does not compile"),
        (
            {"expressionJson": '{"arity": "literal", "value": 5}'},
            "it gives neither true nor false",
        ),
        ({"expressionJson": "x" * 100_001}, "expressionJson"),
        ({"expression": "currentLineItem.quantity > 1"}, "there is no currentLineItem for TRANSACTION"),
        (
            {"targetEntity": "EVENT", "targetType": "COUNT", "eventName": "runLogged",
             "expression": "currentTxn.value > 1"},
            "there is no currentTxn for EVENT and runLogged",
        ),
    ],
)  # fmt: skip
def test_a_target_whose_expression_or_tree_is_wrong_is_refused(
    org: Org, sent: dict[str, Any], reason: str
) -> None:
    answer = org.post("/v3/targetGroups", milestone(targets=[target(**sent)]))
    assert code(answer) == INVALID_INPUT.code
    assert reason in answer.json()["errors"][0]["message"]


def test_a_tree_counts_in_every_way_to_change_a_target(org: Org) -> None:
    group = org.define(**milestone(targets=[target("Spend"), target("Other")]))
    path = f"/v3/targetGroups/{group['id']}"
    spend = group["targets"][0]["id"]
    answer = org.client.put(f"{path}/targets/{spend}", json={"expressionJson": TREE})
    assert answer.json()["data"]["expression"] == "currentTxn.value > 500"
    answer = org.client.put(
        f"/v3/targetGroups/editTargetGroup/{group['id']}",
        json={"targets": [{"id": spend, "expressionJson": json.dumps(tree("<", "storeId", "9"))}]},
    )
    assert answer.json()["data"]["targets"][0]["expression"] == "currentTxn.storeId < 9"
    added = org.post(f"{path}/targets", [target("Third", expressionJson=TREE, expression="")])
    assert added.json()["data"][-1]["expression"] == "currentTxn.value > 500"
    alone = {"targetEntity": "LINEITEM", "expression": "currentLineItem.quantity > 1"}
    answer = org.client.put(f"{path}/targets/{spend}", json=alone)
    assert answer.json()["data"].get("expressionJson") is None
