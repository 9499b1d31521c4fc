"""Filter expressions: CEL, compiled when a target is defined, evaluated when an activity comes in
(contract §4, "Expressions").

An expression may read `currentTxn`, `currentLineItem` and `currentEvent`, and call what CEL's standard
library has. A misspelt name is found when a target is defined and not by one that never counts.

An evaluation cannot be interrupted, so it is bounded beforehand: `Program.steps` says, from the text and
the size of what it reads, how much it can come to, and what may come to too much is not begun.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from math import prod

from milepost.actions import cel_extension as cel
from milepost.errors import INVALID_INPUT, Refusal
from milepost.rules.activities import EVENT, Activity, LineItem

CHARACTERS_MAX = 10_000
COMPREHENSION_CHARACTERS_MAX = 1_000
PATTERN_CHARACTERS_MAX = 100
"""Of a regular expression, quotes included."""
STEPS_MAX = 3_000_000
"""Of a target's expression on one activity, all line items together; a step takes up to 30 ns."""
SHORT_CHARACTERS_MAX = 500
SHORT_PROGRAMS_MAX = 2_000
LONG_PROGRAMS_MAX = 50
"""Programs kept per process; a long one takes up to 200 KiB."""

ALWAYS = "true"
FIELDS: Mapping[str, frozenset[str] | None] = {
    "currentTxn": frozenset({"value", "grossValue", "storeId", "attributes"}),
    "currentLineItem": frozenset({"sku", "quantity", "netAmount", "grossAmount"}),
    "currentEvent": None,
}
"""What each variable has; None: whatever the event has."""

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
_UNSUPPORTED = re.compile(r"Unsupported operation: (\w+ \S{1,2} \w+)\.")
_REASON_CHARACTERS_MAX = 200
_NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_OPERATION = re.compile(r"[A-Za-z_]\w*|[-+*/%<>=!&|?]", re.ASCII)
# Strings and comments, which may hold anything.
_OPAQUE = re.compile(
    r"""[rR][bB]?(?:'[^'\n]*'|"[^"\n]*")"""
    r"""|'''(?:\\.|[^\\])*?'''|\"""(?:\\.|[^\\])*?\""\""""
    r"""|'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|//[^\n]*""",
    re.DOTALL,
)
_LOOP = re.compile(r"\b(all|exists|exists_one|map|filter)\s*\(\s*(\w*)", re.ASCII)
# A variable with the field that is read of it; no field where it is taken whole.
_FIELD = r"(?:\s*\.\s*([A-Za-z_]\w*)\b(?!\s*\())?"
_READ = re.compile(rf"(\.\s*)?\b({'|'.join(FIELDS)})\b{_FIELD}", re.ASCII)
_ATTRIBUTE_READ = re.compile(rf"\bcurrentTxn\s*\.\s*attributes\b{_FIELD}", re.ASCII)
_MATCHES = re.compile(r"\bmatches\s*\((?:\s*(\"+)\s*\))?", re.ASCII)
_REPEATED = re.compile(r"\{(\d+),?(\d*)\}", re.ASCII)
# Classes of a pattern, in a raw string and in another; escaped backslashes are passed over.
_RAW_CLASS = re.compile(r"\\\\|\\([dDwWsS])")
_CLASS = re.compile(r"\\\\\\\\|\\\\([dDwWsS])")
_ASCII_CLASSES = {
    "d": "[0-9]", "D": "[^0-9]", "w": "[0-9A-Za-z_]", "W": "[^0-9A-Za-z_]",
    "s": r"[\t\n\f\r ]", "S": r"[^\t\n\f\r ]",
}  # fmt: skip

_CHARACTERS_A_STEP = 16
_STEPS_A_PATTERN_CHARACTER = 100
_STEPS_A_VALUE_READ = 40
_EXACT_INTEGER_MAX = 2**53
_INT64 = range(-(2**63), 2**63)

_SAMPLE: Mapping[str, object] = {
    "currentTxn": {"value": 1.5, "grossValue": 1.5, "storeId": 1, "attributes": {}},
    "currentLineItem": {"sku": "", "quantity": 1.5, "netAmount": 1.5, "grossAmount": 1.5},
    "currentEvent": {"name": ""},
}


@dataclass(frozen=True, slots=True)
class Text:
    """What is written in an expression, or in a part of it, as far as it costs anything.

    `items` are those of literal lists and maps, a long text being several.
    """

    operations: int
    items: int
    pluses: int
    pattern_steps: int

    def largest(self, size: int) -> int:
        """The size of the largest value that it can make of values of this size: `+` joins lists."""
        return (1 + self.pluses) * (1 + size + self.items)

    def steps(self, size: int) -> int:
        """How much it comes to at most, once."""
        largest = self.largest(size)
        return self.operations * largest + self.pattern_steps * (1 + largest // 20)


@dataclass(frozen=True, slots=True)
class Program:
    """A compiled expression, what it reads and what is written in it, within its loop and outside.

    `attributes` and `event_fields` are the names that it reads of `currentTxn.attributes` and of
    `currentEvent`, None where it may read any. `builds`: its loop makes a list.
    """

    compiled: cel.Program
    variables: frozenset[str]
    attributes: frozenset[str] | None
    event_fields: frozenset[str] | None
    outside: Text
    inside: Text
    builds: bool

    def steps(self, size: int) -> int:
        """How much an evaluation comes to at most when what it reads has this size.

        A list that a loop makes is copied with each turn.
        """
        turns = self.outside.largest(size)
        made = turns * self.inside.largest(size) if self.builds else 0
        run = self.outside.steps(size + made) + turns * (self.inside.steps(size) + made)
        return run + size * _STEPS_A_VALUE_READ


def refuse_expression(expression: str) -> Refusal | None:
    """300004 with the reason if the expression is no CEL condition over the contract's variables."""
    program = _program(expression)
    return None if isinstance(program, Program) else _uncompiled(program)


def variables_of(expression: str) -> frozenset[str]:
    """Which of the contract's variables an expression reads; none if it does not compile."""
    program = _program(expression)
    return program.variables if isinstance(program, Program) else frozenset()


def evaluate(expression: str, activity: Activity, line_item: LineItem | None) -> bool | Refusal:
    """Whether the expression holds for an activity and, of a line-item target, for one of its lines.

    300004 if it fails: what it reads is missing or of another type, or too large for it, or the result
    is no boolean. It sees numbers as doubles, the nearest to the exact decimal, for CEL mixes no types in
    arithmetic; `storeId` (null where there is none) and integers beyond 2^53 are integers, so that ids
    compare exactly. `currentEvent` has the event's attributes and, over any of them, its `name`.
    """
    if expression == ALWAYS:
        return True
    program = _program(expression)
    if not isinstance(program, Program):
        return _uncompiled(program)
    variables = dict(_variables(program, activity, line_item))
    turns = 1 if line_item is None else len(activity.line_items)
    if program.steps(_size(variables)) * turns > STEPS_MAX:
        return _failed("what it reads is too large for it")
    try:
        result = program.compiled.execute(variables)
    except Exception as error:  # noqa: BLE001 - whatever fails in it rejects its own activity only
        return _failed(_cause(error, expression))
    return result if isinstance(result, bool) else _failed("it gives neither true nor false")


def _program(expression: str) -> Program | str:
    """The compiled expression, or why it does not compile."""
    if len(expression) > CHARACTERS_MAX:
        return f"it is longer than {CHARACTERS_MAX} characters"
    short = len(expression) <= SHORT_CHARACTERS_MAX
    return _short_program(expression) if short else _long_program(expression)


@lru_cache(SHORT_PROGRAMS_MAX)
def _short_program(expression: str) -> Program | str:
    return _compiled(expression)


@lru_cache(LONG_PROGRAMS_MAX)
def _long_program(expression: str) -> Program | str:
    return _compiled(expression)


def _compiled(expression: str) -> Program | str:
    try:
        compiled = cel.compile_expression(expression)
    except ValueError as error:
        return _complaint(str(error))
    masked = _OPAQUE.sub(_mask, expression)
    loops = list(_LOOP.finditer(masked))
    patterns = [found.span(1) for found in _MATCHES.finditer(masked)]
    reason = (
        _wrong_loop(loops, expression)
        or _wrong_name(compiled, {loop[2] for loop in loops})
        or _wrong_field(masked)
        or _wrong_pattern(expression, patterns)
    )
    if reason is not None:
        return reason
    plain = expression
    for start, end in reversed(patterns):
        plain = plain[:start] + _with_ascii_classes(plain[start:end]) + plain[end:]
    start, end = _body(masked, loops[0].end(1)) if loops else (0, 0)
    program = Program(
        compiled=cel.compile_expression(plain) if patterns else compiled,
        variables=frozenset(FIELDS) & frozenset(compiled.variables()),
        attributes=_attributes_read(masked),
        event_fields=_fields_read(masked, "currentEvent"),
        outside=_text(expression[:start] + expression[end:], masked[:start] + masked[end:]),
        inside=_text(expression[start:end], masked[start:end]),
        builds=any(loop[1] in ("map", "filter") for loop in loops),
    )
    if program.steps(_size(_SAMPLE)) > STEPS_MAX:
        return "it may take too long to evaluate"
    return _wrong_on_sample(program) or program


def _mask(found: re.Match[str]) -> str:
    """Quotes in place of a string, blanks in place of a comment, as long as it was."""
    return (" " if found[0].startswith("//") else '"') * len(found[0])


def _complaint(message: str) -> str:
    """The compiler's first complaint and where: it writes several, and draws the line."""
    found = _SYNTAX_ERROR.search(message)
    if found is None:
        return "it is not CEL"
    line, column, complaint = found.groups()
    place = f"column {column}" if line == "1" else f"line {line}, column {column}"
    return f"{place}: {complaint[:_REASON_CHARACTERS_MAX]}"


def _body(masked: str, start: int) -> tuple[int, int]:
    """Where the brackets that open after `start` begin and end."""
    depth = 0
    for place in range(start, len(masked)):
        depth += (masked[place] == "(") - (masked[place] == ")")
        if depth == 0 and masked[place] == ")":
            return start, place + 1
    return start, len(masked)


def _text(written: str, masked: str) -> Text:
    return Text(
        operations=len(_OPERATION.findall(masked)),
        items=masked.count(",") + masked.count('"') // _CHARACTERS_A_STEP,
        pluses=masked.count("+"),
        pattern_steps=sum(
            _pattern_steps(written[found.start(1) : found.end(1)])
            for found in _MATCHES.finditer(masked)
        ),
    )


def _wrong_loop(loops: list[re.Match[str]], expression: str) -> str | None:
    if len(loops) > 1:
        return "it has more than one of all, exists, exists_one, filter and map"
    if loops and len(expression) > COMPREHENSION_CHARACTERS_MAX:
        return (
            "with all, exists, exists_one, filter or map it may have "
            f"{COMPREHENSION_CHARACTERS_MAX} characters"
        )
    return None


def _wrong_name(compiled: cel.Program, bound: set[str]) -> str | None:
    for name in compiled.variables():
        if name not in FIELDS and name not in _TYPES and name not in bound:
            return f"it names {name[:60]}, which is none of {', '.join(sorted(FIELDS))}"
    for name in compiled.functions():
        # Operators are functions too, with names such as `_>_`.
        if _NAME.fullmatch(name) and name not in _FUNCTIONS:
            return f"there is no function {name[:60]}"
    return None


def _wrong_field(masked: str) -> str | None:
    for member, variable, field in _READ.findall(masked):
        fields = FIELDS[variable]
        if field and not member and fields is not None and field not in fields:
            return f"it reads {variable}.{field[:60]}; there are {', '.join(sorted(fields))}"
    return None


def _wrong_pattern(expression: str, patterns: list[tuple[int, int]]) -> str | None:
    """Why a regular expression is none, or none whose cost its text tells."""
    for start, end in patterns:
        if start < 0:
            return "matches needs its pattern written as a text"
        pattern = expression[start:end]
        if len(pattern) > PATTERN_CHARACTERS_MAX:
            return f"a pattern of matches may have {PATTERN_CHARACTERS_MAX} characters"
        if re.search(r"\\[pP]", pattern):
            return r"matches knows no classes \p"
        try:
            cel.evaluate(f"''.matches({_with_ascii_classes(pattern)})")
        except (ValueError, RuntimeError):
            return f"the pattern {pattern} of matches is no regular expression"
    return None


def _with_ascii_classes(pattern: str) -> str:
    r"""The pattern, quotes and all, with `\d`, `\w` and `\s` for ASCII, as CEL has them.

    The module takes them for all of Unicode, and half a millisecond to compile each.
    """
    classes = _RAW_CLASS if pattern[0] in "rR" else _CLASS
    return classes.sub(lambda found: _ASCII_CLASSES[found[1]] if found[1] else found[0], pattern)


def _pattern_steps(pattern: str) -> int:
    """A pattern is compiled with each evaluation; `(…){n}` repeats what may be repeated already."""
    repeated = [max(int(low), int(high or 0)) for low, high in _REPEATED.findall(pattern)]
    length = len(pattern) * prod(repeated) if "){" in pattern else len(pattern) + sum(repeated)
    return length * _STEPS_A_PATTERN_CHARACTER


def _fields_read(masked: str, variable: str) -> frozenset[str] | None:
    """The fields read of a variable, None if it is taken whole anywhere."""
    fields = frozenset(field for _, name, field in _READ.findall(masked) if name == variable)
    return None if "" in fields else fields


def _attributes_read(masked: str) -> frozenset[str] | None:
    fields = frozenset(_ATTRIBUTE_READ.findall(masked))
    return None if "" in fields or _fields_read(masked, "currentTxn") is None else fields


def _wrong_on_sample(program: Program) -> str | None:
    """What a first evaluation shows: a number as its result, or amounts in arithmetic with integers."""
    try:
        result = program.compiled.execute(dict(_SAMPLE))
    except TypeError as error:
        return _cause(error, "") if _UNSUPPORTED.match(str(error)) else None
    except Exception:  # noqa: BLE001 - an attribute that the sample lacks, mostly
        return None
    return None if isinstance(result, bool) else "it gives neither true nor false"


def _variables(
    program: Program, activity: Activity, line_item: LineItem | None
) -> Iterator[tuple[str, object]]:
    """What the program reads, and no more: each value costs a microsecond to pass."""
    if "currentTxn" in program.variables and activity.type != EVENT:
        yield (
            "currentTxn",
            {
                "value": float(activity.net_amount),
                "grossValue": float(activity.gross_amount),
                "storeId": activity.store_id,
                "attributes": _read(activity.attributes, program.attributes),
            },
        )
    if "currentEvent" in program.variables:
        fields = _read(activity.attributes, program.event_fields)
        yield "currentEvent", {**fields, "name": activity.event_name}
    if "currentLineItem" in program.variables and line_item is not None:
        yield (
            "currentLineItem",
            {
                "sku": line_item.sku,
                "quantity": float(line_item.quantity),
                "netAmount": float(line_item.net_amount),
                "grossAmount": float(line_item.gross_amount),
            },
        )


def _read(attributes: Mapping[str, object], names: frozenset[str] | None) -> dict[str, object]:
    if names is None:
        return {name: _plain(value) for name, value in attributes.items()}
    return {name: _plain(attributes[name]) for name in names if name in attributes}


def _plain(value: object) -> object:
    """A JSON value as CEL has it; see `evaluate` for numbers."""
    if isinstance(value, bool | str) or value is None:
        return value
    if isinstance(value, int) and abs(value) > _EXACT_INTEGER_MAX and value in _INT64:
        return value
    if isinstance(value, int | float | Decimal):
        return float(value)
    if isinstance(value, Mapping):
        return {str(name): _plain(part) for name, part in value.items()}
    return [_plain(part) for part in value] if isinstance(value, list | tuple) else str(value)


def _size(value: object) -> int:
    """How many values a value is of, a long text being several."""
    if isinstance(value, str):
        return 1 + len(value) // _CHARACTERS_A_STEP
    if isinstance(value, Mapping):
        return 1 + sum(
            1 + len(name) // _CHARACTERS_A_STEP + _size(part) for name, part in value.items()
        )
    return 1 + sum(map(_size, value)) if isinstance(value, list) else 1


def _cause(error: Exception, expression: str) -> str:
    """In our words, for the module's messages may quote values; a key only if it is written there."""
    message = str(error)
    if isinstance(error, KeyError):
        written = message.strip("'") in expression
        return f"it reads {message[:60] if written else 'a key'}, which is not there"
    unsupported = _UNSUPPORTED.match(message)
    if unsupported is not None:
        hint = "; write 2.0 for 2 and double(size(x)) for size(x)"
        return f"it computes {unsupported[1]}{hint if 'float' in unsupported[1] else ''}"
    if isinstance(error, TypeError):
        return "it compares or joins values of different types"
    if isinstance(error, ZeroDivisionError):
        return "it divides by zero"
    if isinstance(error, OverflowError):
        return "a number is out of range"
    if isinstance(error, IndexError):
        return "it reads beyond the end of a list"
    for variable in FIELDS:
        if f"'{variable}'" in message:
            return f"it reads {variable}, which is not there"
    return "it cannot be evaluated"


def _uncompiled(reason: str) -> Refusal:
    return Refusal(INVALID_INPUT, f"expression does not compile: {reason}.")


def _failed(reason: str) -> Refusal:
    return Refusal(INVALID_INPUT, f"An expression fails: {reason}.")
