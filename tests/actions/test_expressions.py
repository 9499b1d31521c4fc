"""Filter expressions: what compiles, and why the rest does not (contract §4, "Expressions")."""

from __future__ import annotations

import pytest

from milepost.actions.expressions import refuse_expression
from milepost.errors import INVALID_INPUT


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
    for expression in ("!" * 9_996 + "true", "-" * 9_999 + "1", "1" + "+1" * 4_999):
        assert refuse_expression(expression) is None
