"""Filter expressions: CEL, compiled when a target is defined (contract §4, "Expressions").

An expression may read `currentTxn`, `currentLineItem` and `currentEvent`, and call what CEL's standard
library has. A misspelt name is found here and not by a target that never counts anything.
"""

from __future__ import annotations

import re

import cel

from milepost.errors import INVALID_INPUT, Refusal

CHARACTERS_MAX = 10_000
COMPREHENSION_CHARACTERS_MAX = 1_000
"""One loop over a literal list costs the square of the length at most; two loops, the cube."""

VARIABLES = frozenset({"currentTxn", "currentLineItem", "currentEvent"})

_TYPES = frozenset({
    "int", "uint", "double", "bool", "string", "bytes", "list", "map", "null_type", "type",
    "timestamp", "duration",
})  # fmt: skip
_FUNCTIONS = frozenset({
    "size", "contains", "startsWith", "endsWith", "matches",
    "int", "uint", "double", "string", "bytes", "type", "dyn", "timestamp", "duration",
    "getFullYear", "getMonth", "getDate", "getDayOfMonth", "getDayOfWeek", "getDayOfYear",
    "getHours", "getMinutes", "getSeconds", "getMilliseconds",
})  # fmt: skip

_SYNTAX_ERROR = re.compile(r"ERROR: <input>:(\d+):(\d+): (.+)")
_REASON_CHARACTERS_MAX = 200
_NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)
# Strings and comments, which may hold anything.
_OPAQUE = re.compile(
    r"""[rR][bB]?(?:'[^'\n]*'|"[^"\n]*")"""
    r"""|'''(?:\\.|[^\\])*?'''|\"""(?:\\.|[^\\])*?\""\""""
    r"""|'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|//[^\n]*""",
    re.DOTALL,
)
_COMPREHENSION = re.compile(r"\b(?:all|exists|exists_one|map|filter)\s*\(\s*(\w*)", re.ASCII)


def refuse_expression(expression: str) -> Refusal | None:
    """300004 with the reason if the expression is not CEL over the contract's variables."""
    if len(expression) > CHARACTERS_MAX:
        return _refusal(f"it is longer than {CHARACTERS_MAX} characters")
    try:
        program = cel.compile(expression)
    except ValueError as error:
        return _refusal(_reason(str(error)))
    loops = _COMPREHENSION.findall(_OPAQUE.sub(" ", expression))
    if len(loops) > 1:
        return _refusal("it has more than one of all, exists, exists_one, filter and map")
    if loops and len(expression) > COMPREHENSION_CHARACTERS_MAX:
        return _refusal(
            "with all, exists, exists_one, filter or map it may have "
            f"{COMPREHENSION_CHARACTERS_MAX} characters"
        )
    for name in program.variables():
        if name not in VARIABLES and name not in _TYPES and name not in loops:
            return _refusal(
                f"it names {name[:60]}, which is none of {', '.join(sorted(VARIABLES))}"
            )
    for name in program.functions():
        # Operators are functions too, with names such as `_>_`.
        if _NAME.fullmatch(name) and name not in _FUNCTIONS:
            return _refusal(f"there is no function {name[:60]}")
    return None


def _reason(message: str) -> str:
    """The compiler's first complaint and where: it writes several, and draws the line."""
    found = _SYNTAX_ERROR.search(message)
    if found is None:
        return "it is not CEL"
    line, column, complaint = found.groups()
    place = f"column {column}" if line == "1" else f"line {line}, column {column}"
    return f"{place}: {complaint[:_REASON_CHARACTERS_MAX]}"


def _refusal(reason: str) -> Refusal:
    return Refusal(INVALID_INPUT, f"expression does not compile: {reason}.")
