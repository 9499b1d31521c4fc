"""The vendor's `expressionJson`, a rule as a serialised tree, put into CEL (domain: milestones §2.3).

A node is `{"arity", "value", "type", "operands": […]}`. What has no exact counterpart over the
contract's variables (contract §4, "Expressions") is refused by its place in the tree, never ignored.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Final

from milepost.errors import INVALID_INPUT, Refusal

DEPTH_MAX = 100
"""Of the tree; deeper than any expression that compiles."""

_KEYS = frozenset({"arity", "value", "type", "operands"})
_NUMBER = re.compile(r"-?(?:0|[1-9]\d{0,17})(?:\.\d{1,17})?", re.ASCII)
_NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_RESERVED = frozenset({
    "as", "break", "const", "continue", "else", "false", "for", "function", "if", "import", "in",
    "let", "loop", "namespace", "null", "package", "return", "true", "var", "void", "while",
})  # fmt: skip

# The contract's names; `code` and `qty` are what the vendor calls a line's SKU and quantity.
_FIELDS: Mapping[str, Mapping[str, str]] = {
    "currentTxn": {
        name: name for name in ("value", "grossValue", "storeId", "attributes")
    },
    "currentLineItem": {
        **{name: name for name in ("sku", "quantity", "netAmount", "grossAmount")},
        "code": "sku",
        "qty": "quantity",
    },
}  # fmt: skip
_EVENT = "currentEvent"
_METHODS = frozenset({"contains", "startsWith", "endsWith"})

# How tightly each operator binds: an operand that binds less is put into brackets.
_OR, _AND, _RELATION, _SUM, _PRODUCT, _SIGN, _WHOLE = range(1, 8)
_OPERATORS: Mapping[str, tuple[str, int]] = {
    "||": ("||", _OR),
    "&&": ("&&", _AND),
    **{each: (each, _RELATION) for each in ("==", "!=", "<", "<=", ">", ">=")},
    "=": ("==", _RELATION),
    **{each: (each, _SUM) for each in ("+", "-")},
    **{each: (each, _PRODUCT) for each in ("*", "/")},
}

_Text = tuple[str, int]
"""A piece of CEL and how tightly it binds."""


class _Untranslatable(Exception):
    """Carries the refusal out of the recursion; never leaves this module."""

    def __init__(self, at: str, reason: str) -> None:
        super().__init__(f"{at} {reason}")


def translate_expression_json(text: str) -> str | Refusal:
    """The CEL text of a serialised tree; 300004 naming the first node that has none.

    Nodes are named by their path from the root, such as `$.operands[0]`. The result need not compile:
    it may be too long, or no condition.
    """
    try:
        tree = json.loads(
            text, parse_int=Decimal, parse_float=Decimal, parse_constant=_refuse_constant
        )
        return _translate(tree, "$", 1)[0]
    except _Untranslatable as error:
        return Refusal(INVALID_INPUT, f"expressionJson cannot be translated: {error}.")
    except (ValueError, ArithmeticError, RecursionError):
        return Refusal(INVALID_INPUT, "expressionJson cannot be translated: it is not JSON.")


def _refuse_constant(name: str) -> object:
    raise _Untranslatable("$", f"holds {name}, which is no JSON")


def _translate(node: object, at: str, depth: int, *, decimals: bool = False) -> _Text:
    """One node. `decimals` asks for numbers as CEL doubles, for its arithmetic mixes no types."""
    if depth > DEPTH_MAX:
        raise _Untranslatable(at, f"lies deeper than {DEPTH_MAX} levels")
    if not isinstance(node, Mapping):
        raise _Untranslatable(at, "is no node")
    unknown = sorted(node.keys() - _KEYS)
    if unknown:
        raise _Untranslatable(at, f"has the unknown field {_shown(unknown[0])}")
    arity = node.get("arity")
    if arity == "literal":
        return _literal(node, at, decimals=decimals)
    translate = _ARITIES.get(arity) if isinstance(arity, str) else None
    if translate is None:
        raise _Untranslatable(at, f"has the arity {_shown(arity)}, which has no counterpart in CEL")
    return translate(node, at, depth)


def _literal(node: Mapping[str, object], at: str, *, decimals: bool) -> _Text:
    if _operands(node, at):
        raise _Untranslatable(at, "is a literal with operands")
    value, kind = node.get("value"), node.get("type")
    if isinstance(value, bool) or (_is_kind(kind, "boolean") and value in ("true", "false")):
        return str(value).lower(), _WHOLE
    if isinstance(value, Decimal) or (isinstance(value, str) and _is_kind(kind, "number", "real")):
        return _number(str(value), at, decimals=decimals)
    if isinstance(value, str) and _is_kind(kind, "string"):
        return json.dumps(value, ensure_ascii=False), _WHOLE
    raise _Untranslatable(at, f"is a literal {_shown(value)} of the type {_shown(kind)}")


def _is_kind(kind: object, *kinds: str) -> bool:
    """Whether a type such as `string:object:primitive` is one of the kinds."""
    return isinstance(kind, str) and not set(kinds).isdisjoint(kind.split(":"))


def _number(written: str, at: str, *, decimals: bool) -> _Text:
    if not _NUMBER.fullmatch(written):
        raise _Untranslatable(at, f"is a literal {_shown(written)}, which is no number")
    if decimals and "." not in written:
        written += ".0"
    return written, _SIGN if written.startswith("-") else _WHOLE


def _dereference(node: Mapping[str, object], at: str, depth: int) -> _Text:
    """`operands` are an object and the names that lead into it."""
    first, *rest = _some_operands(node, at, 2)
    path = _path(first, f"{at}.operands[0]", depth + 1)
    path += [_name(each, f"{at}.operands[{n}]") for n, each in enumerate(rest, 1)]
    root, field, *deeper = path
    if root == _EVENT:
        return root + "".join(map(_member, path[1:])), _WHOLE
    fields = _FIELDS.get(root)
    if fields is None:
        raise _Untranslatable(at, f"reads {_shown(root)}, which expressions do not see")
    if field not in fields or (deeper and field != "attributes"):
        name = ".".join(path)
        raise _Untranslatable(at, f"reads {_shown(name)}, which expressions do not see")
    return root + "".join(map(_member, (fields[field], *deeper))), _WHOLE


def _path(node: object, at: str, depth: int) -> list[str]:
    """The names of a chain of dereferences, flattened."""
    if depth > DEPTH_MAX:
        raise _Untranslatable(at, f"lies deeper than {DEPTH_MAX} levels")
    if isinstance(node, Mapping) and node.get("arity") == "object_dereference":
        first, *rest = _some_operands(node, at, 2)
        names = [_name(each, f"{at}.operands[{n}]") for n, each in enumerate(rest, 1)]
        return _path(first, f"{at}.operands[0]", depth + 1) + names
    return [_name(node, at)]


def _name(node: object, at: str) -> str:
    value = node.get("value") if isinstance(node, Mapping) else None
    if (
        not isinstance(node, Mapping)
        or node.get("arity") != "name"
        or not isinstance(value, str)
        or not value
        or node.keys() - {"arity", "value", "type"}
    ):
        raise _Untranslatable(at, "is no name")
    return value


def _member(name: str) -> str:
    plain = _NAME.fullmatch(name) and name not in _RESERVED
    return f".{name}" if plain else f"[{json.dumps(name, ensure_ascii=False)}]"


def _binary(node: Mapping[str, object], at: str, depth: int) -> _Text:
    sign = node.get("value")
    known = _OPERATORS.get(sign) if isinstance(sign, str) else None
    if known is None:
        raise _Untranslatable(
            at, f"has the operator {_shown(sign)}, which has no counterpart in CEL"
        )
    operator, binding = known
    decimals = binding in (_SUM, _PRODUCT)
    left, right = (
        _translate(each, f"{at}.operands[{n}]", depth + 1, decimals=decimals)
        for n, each in enumerate(_some_operands(node, at, 2, 2))
    )
    # `a == b == c` says something else in CEL than in most languages: always in brackets.
    left_binding = binding + 1 if binding == _RELATION else binding
    right_binding = binding if binding in (_OR, _AND) else binding + 1
    text = f"{_bracketed(left, left_binding)} {operator} {_bracketed(right, right_binding)}"
    return text, binding


def _unary(node: Mapping[str, object], at: str, depth: int) -> _Text:
    sign = node.get("value")
    if sign not in ("!", "-"):
        raise _Untranslatable(
            at, f"has the operator {_shown(sign)}, which has no counterpart in CEL"
        )
    (operand,) = _some_operands(node, at, 1, 1)
    inner = _translate(operand, f"{at}.operands[0]", depth + 1, decimals=sign == "-")
    return f"{sign}{_bracketed(inner, _WHOLE)}", _SIGN


def _group(node: Mapping[str, object], at: str, depth: int) -> _Text:
    """Brackets; the vendor also leaves what it could not parse as a group of several."""
    operands = _some_operands(node, at, 1)
    if len(operands) > 1 or node.get("value") is not None:
        raise _Untranslatable(at, "is a group that is no single expression")
    return _translate(operands[0], f"{at}.operands[0]", depth + 1)


def _method_call(node: Mapping[str, object], at: str, depth: int) -> _Text:
    """`operands` are the object, the method's name and the arguments."""
    receiver, method, *arguments = _some_operands(node, at, 2)
    name = _name(method, f"{at}.operands[1]")
    if name not in _METHODS or len(arguments) != 1 or node.get("value") is not None:
        raise _Untranslatable(at, f"calls {_shown(name)}, which has no counterpart in CEL")
    text = _translate(receiver, f"{at}.operands[0]", depth + 1)
    (argument, _) = _translate(arguments[0], f"{at}.operands[2]", depth + 1)
    return f"{_bracketed(text, _WHOLE)}.{name}({argument})", _WHOLE


def _bare_name(node: Mapping[str, object], at: str, depth: int) -> _Text:
    name = _name(node, at)
    raise _Untranslatable(at, f"names {_shown(name)} alone, which is no value")


def _bracketed(text: _Text, binding: int) -> str:
    return text[0] if text[1] >= binding else f"({text[0]})"


def _operands(node: Mapping[str, object], at: str) -> list[object]:
    operands = node.get("operands")
    if operands is None:
        return []
    if not isinstance(operands, list):
        raise _Untranslatable(at, "has operands that are no list")
    return operands


def _some_operands(
    node: Mapping[str, object], at: str, low: int, high: int | None = None
) -> list[object]:
    operands = _operands(node, at)
    if len(operands) < low or (high is not None and len(operands) > high):
        asked = f"{low}" if low == high else f"at least {low}"
        raise _Untranslatable(at, f"has {len(operands)} operands instead of {asked}")
    return operands


def _shown(value: object) -> str:
    if isinstance(value, str):
        return json.dumps(value if len(value) <= 60 else f"{value[:60]}…")
    return "(none)" if value is None else "(no text)"


_ARITIES: Final[Mapping[str, Callable[[Mapping[str, object], str, int], _Text]]] = {
    "name": _bare_name,
    "object_dereference": _dereference,
    "binary_operation": _binary,
    "unary_operation": _unary,
    "group": _group,
    "method_call": _method_call,
}
