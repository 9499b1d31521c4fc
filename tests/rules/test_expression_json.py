"""The vendor's expression trees in CEL: what is translated, and how the rest is named (milestones §2.3)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milepost.errors import INVALID_INPUT, Refusal
from milepost.rules.expression_json import translate_expression_json

Node = dict[str, Any]

# As the vendor's streak sample has it.
OVER_500 = (
    '{"arity":"binary_operation","value":">","type":"boolean:primitive","operands":['
    '{"arity":"object_dereference","type":"real:object:primitive","operands":['
    '{"arity":"name","value":"currentTxn","type":"tx:object:primitive"},'
    '{"arity":"name","value":"value","type":"real:object:primitive"}]},'
    '{"arity":"literal","value":"500","type":"number:primitive"}]}'
)


def name(value: str) -> Node:
    return {"arity": "name", "value": value, "type": "string:object:primitive"}


def read(*names: str) -> Node:
    return {"arity": "object_dereference", "operands": [name(each) for each in names]}


def number(value: object) -> Node:
    return {"arity": "literal", "value": value, "type": "number:primitive"}


def text(value: str) -> Node:
    return {"arity": "literal", "value": value, "type": "string:object:primitive"}


def binary(sign: str, left: object, right: object) -> Node:
    operands = [left, right]
    return {"arity": "binary_operation", "value": sign, "type": "x", "operands": operands}


def call(receiver: Node, method: str, *arguments: Node) -> Node:
    return {"arity": "method_call", "operands": [receiver, name(method), *arguments]}


TRUE = {"arity": "literal", "value": "true", "type": "boolean:primitive"}
KM, SPENT = read("currentEvent", "km"), read("currentTxn", "value")


def translated(node: object) -> str:
    result = translate_expression_json(json.dumps(node))
    assert isinstance(result, str), result.detail
    return result


def refused(node: object) -> str:
    result = translate_expression_json(json.dumps(node))
    assert isinstance(result, Refusal), result
    assert result.error is INVALID_INPUT
    assert result.detail.startswith("expressionJson cannot be translated: ")
    return result.detail.removeprefix("expressionJson cannot be translated: ")


def test_the_vendors_samples_are_translated() -> None:
    assert translate_expression_json(OVER_500) == "currentTxn.value > 500"
    spaced = '\n{\n  "arity":"literal",\n  "value":"true",\n  "type":"boolean:primitive"\n}'
    assert translate_expression_json(spaced) == "true"
    equal = binary("==", read("currentEvent", "targetName"), text("Gatekeeper T&C Accepted"))
    assert translated(equal) == 'currentEvent.targetName == "Gatekeeper T&C Accepted"'


@pytest.mark.parametrize(
    ("node", "expression"),
    [
        (TRUE, "true"),
        ({"arity": "literal", "value": False}, "false"),
        (binary("=", KM, number(5)), "currentEvent.km == 5"),
        (binary("!=", KM, number("5.20")), "currentEvent.km != 5.20"),
        (binary("<=", KM, number("-5")), "currentEvent.km <= -5"),
        (binary("&&", TRUE, binary("||", TRUE, TRUE)), "true && (true || true)"),
        (binary("||", binary("&&", TRUE, TRUE), TRUE), "true && true || true"),
        (binary("&&", binary("&&", TRUE, TRUE), binary("&&", TRUE, TRUE)),
         "true && true && true && true"),
        (binary("-", KM, binary("-", KM, number(1))), "currentEvent.km - (currentEvent.km - 1.0)"),
        (binary("-", binary("-", KM, KM), number(1)), "currentEvent.km - currentEvent.km - 1.0"),
        (binary(">", binary("*", SPENT, number(2)), number(9)), "currentTxn.value * 2.0 > 9"),
        (binary("/", binary("+", KM, number("-1")), number("0.5")),
         "(currentEvent.km + -1.0) / 0.5"),
        (binary("==", binary(">", KM, number(1)), binary(">", KM, number(2))),
         "(currentEvent.km > 1) == (currentEvent.km > 2)"),
        ({"arity": "unary_operation", "value": "!", "operands": [binary(">", KM, KM)]},
         "!(currentEvent.km > currentEvent.km)"),
        ({"arity": "unary_operation", "value": "-", "operands": [number(1)]}, "-1.0"),
        ({"arity": "group", "operands": [TRUE]}, "true"),
        (call(read("currentLineItem", "code"), "startsWith", text("A")),
         'currentLineItem.sku.startsWith("A")'),
        (call(text("abc"), "contains", read("currentLineItem", "sku")),
         '"abc".contains(currentLineItem.sku)'),
        (read("currentLineItem", "qty"), "currentLineItem.quantity"),
        (read("currentTxn", "attributes", "shop", "name"), "currentTxn.attributes.shop.name"),
        ({"arity": "object_dereference",
          "operands": [read("currentTxn", "attributes"), name("channel")]},
         "currentTxn.attributes.channel"),
        (read("currentEvent", "in"), 'currentEvent["in"]'),
        (read("currentEvent", 'two "words'), 'currentEvent["two \\"words"]'),
        (text('say "no"\\\n'), '"say \\"no\\"\\\\\\n"'),
    ],
)  # fmt: skip
def test_a_tree_becomes_the_expression_that_it_stands_for(node: Node, expression: str) -> None:
    assert translated(node) == expression


@pytest.mark.parametrize(
    ("node", "reason"),
    [
        ({}, "$ has the arity (none), which has no counterpart in CEL."),
        ([], "$ is no node."),
        (5, "$ is no node."),
        ({"arity": "lambda"}, '$ has the arity "lambda", which has no counterpart in CEL.'),
        ({**TRUE, "negated": True}, '$ has the unknown field "negated".'),
        ({**TRUE, "operands": [TRUE]}, "$ is a literal with operands."),
        (binary("&&", TRUE, {}), "$.operands[1] has the arity (none)"),
        (binary("%", KM, KM), '$ has the operator "%", which has no counterpart in CEL.'),
        ({"arity": "binary_operation", "value": ">", "operands": [KM]},
         "$ has 1 operands instead of 2."),
        ({"arity": "binary_operation", "value": ">"}, "$ has 0 operands instead of 2."),
        ({"arity": "binary_operation", "value": ">", "operands": {}},
         "$ has operands that are no list."),
        ({"arity": "unary_operation", "value": "~", "operands": [KM]}, '$ has the operator "~"'),
        (binary(">", read("currentTxn", "basketAmountSumNonDiscounted"), number(25)),
         '$.operands[0] reads "currentTxn.basketAmountSumNonDiscounted", which expressions do not'),
        (read("currentTxn", "value", "cents"), '$ reads "currentTxn.value.cents"'),
        (read("currentLineItem", "value"), '$ reads "currentLineItem.value"'),
        (read("currentCustomer", "name"), '$ reads "currentCustomer", which expressions do not see.'),
        (binary(">", name("currentTxn"), number(1)), '$.operands[0] names "currentTxn" alone'),
        ({"arity": "object_dereference", "operands": [TRUE, name("x")]},
         "$.operands[0] is no name."),
        ({"arity": "object_dereference", "operands": [name("currentEvent"), TRUE]},
         "$.operands[1] is no name."),
        (call(read("currentLineItem", "doesItemMatch"), "x"), '$ calls "x"'),
        (call(name("currentLineItem"), "doesItemMatch", text("sku_code"), text("221900")),
         '$ calls "doesItemMatch", which has no counterpart in CEL.'),
        ({"arity": "group", "operands": [TRUE, TRUE]}, "$ is a group that is no single expression."),
        ({"arity": "literal", "value": "x"}, '$ is a literal "x" of the type (none).'),
        ({"arity": "literal", "value": "2026-01-01", "type": "date:object:primitive"},
         '$ is a literal "2026-01-01" of the type "date:object:primitive".'),
        ({"arity": "literal", "value": "yes", "type": "boolean:primitive"}, '$ is a literal "yes"'),
        (number("5 || true"), '$ is a literal "5 || true", which is no number.'),
        (number("1e9"), '$ is a literal "1e9", which is no number.'),
        (number("٥"), "which is no number."),
    ],
)  # fmt: skip
def test_what_has_no_counterpart_is_refused_by_its_place_in_the_tree(
    node: object, reason: str
) -> None:
    assert reason in refused(node)


@pytest.mark.parametrize(
    "written",
    ["", "{", "nul", '{"arity": NaN}', '{"value": 1e99999999999999999999}', "[" * 100_000],
)
def test_what_is_no_json_is_refused(written: str) -> None:
    result = translate_expression_json(written)
    assert isinstance(result, Refusal)
    assert result.error is INVALID_INPUT


def test_a_tree_without_end_is_refused() -> None:
    node: Node = TRUE
    for _ in range(120):
        node = {"arity": "group", "operands": [node]}
    assert "lies deeper than 100 levels" in refused(node)
    path: Node = name("currentEvent")
    for _ in range(120):
        path = {"arity": "object_dereference", "operands": [path, name("x")]}
    assert "lies deeper than 100 levels" in refused(path)


def test_a_long_text_is_shown_in_part() -> None:
    assert len(refused({"arity": "x" * 10_000})) < 200


SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5),
    st.sampled_from(("literal", "name", "object_dereference", "binary_operation", "method_call",
                     "group", "currentTxn", "value", "number:primitive", "&&", "!")),
)  # fmt: skip
TREES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(("arity", "value", "type", "operands")), inner, max_size=4),
        st.fixed_dictionaries(
            {"arity": st.sampled_from(("binary_operation", "group", "method_call"))},
            optional={
                "operands": st.lists(inner, max_size=3),
                "value": st.sampled_from((">", "&&")),
            },
        ),
    ),
    max_leaves=10,
)


@given(TREES)
def test_any_json_is_translated_or_refused(tree: object) -> None:
    result = translate_expression_json(json.dumps(tree))
    assert isinstance(result, str) or result.error is INVALID_INPUT
