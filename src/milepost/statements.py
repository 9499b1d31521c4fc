"""A statement as PostgreSQL's protocol takes it: numbered parameters, each encoded as what it is cast to.

psycopg encodes any value. What a batch sends is columns, long arrays of one type, named by the cast in the
statement; an element of those costs psycopg about as much as deciding an enrolment does. So columns are
encoded here, and everything else by psycopg.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache, partial
from struct import Struct
from typing import Any

from psycopg import abc, adapters
from psycopg.adapt import PyFormat
from psycopg.pq import Format

_FORMATS = {"b": PyFormat.BINARY, "s": PyFormat.AUTO}
_PLACEHOLDER = re.compile(r"%(?:%|([bs])(?:::(\w+\[\]))?)")


@dataclass(frozen=True, slots=True)
class Statement:
    """The text with `$1` for the first parameter; of each parameter its format, and its cast to an array."""

    text: bytes
    formats: tuple[PyFormat, ...]
    casts: tuple[str | None, ...]
    is_scalar: tuple[int, ...]
    """The places of the parameters that are no columns."""


@lru_cache(maxsize=2_000)
def read_statement(sql: str) -> Statement:
    """The statement of a text with `%b` and `%s` for parameters, and `%%` for a percent sign."""
    formats: list[PyFormat] = []
    casts: list[str | None] = []

    def number(found: re.Match[str]) -> str:
        if found[1] is None:
            return "%"
        formats.append(_FORMATS[found[1]])
        casts.append(found[2] if found[2] in _COLUMNS else None)
        return f"${len(formats)}" + (f"::{found[2]}" if found[2] else "")

    text = _PLACEHOLDER.sub(number, sql).encode()
    scalars = tuple(place for place, cast in enumerate(casts) if cast is None)
    return Statement(text, tuple(formats), tuple(casts), scalars)


@dataclass(frozen=True, slots=True)
class Encoded:
    """Parameters, their types and their formats, as libpq takes them."""

    values: Sequence[Any]
    types: tuple[int, ...]
    formats: Sequence[Format]


def encode(
    statement: Statement, parameters: Sequence[object], transformer: abc.Transformer
) -> Encoded:
    """Encode the parameters; raises `TypeError` when their number is not that of the statement's."""
    if len(parameters) != len(statement.casts):
        raise TypeError(f"{len(statement.casts)} parameters expected, got {len(parameters)}")
    values: list[Any] = [None] * len(parameters)
    types = [0] * len(parameters)
    formats = [Format.BINARY] * len(parameters)
    others = []
    for place, cast in enumerate(statement.casts):
        value = parameters[place]
        if cast is None or value is None:
            others.append(place)
        else:
            types[place], values[place] = column(cast, value)  # type: ignore[arg-type]
    if others:
        scalars = transformer.dump_sequence(
            [parameters[place] for place in others], [statement.formats[place] for place in others]
        )
        of_scalars, formats_of = transformer.types or (), transformer.formats or ()
        for place, value, oid, format_ in zip(others, scalars, of_scalars, formats_of, strict=True):
            values[place], types[place], formats[place] = value, oid, format_
    return Encoded(values, tuple(types), formats)


def column(cast: str, values: Sequence[Any]) -> tuple[int, bytes]:
    """The type and the bytes of an array of one dimension; None is null."""
    array_oid, element_oid, element = _COLUMNS[cast]
    if not values:
        return array_oid, _HEAD(0, 0, element_oid)
    first, count = values[0], len(values)
    head = _HEAD(1, 1, element_oid) + _DIMENSION(count, 1)
    # Often everything in a column is the same: the target, the instant, the reason. Equal numbers may
    # have been written differently: 1 and 1.0.
    if element is not _decimal and values.count(first) == count:
        return array_oid, head + (_NULL if first is None else element(first)) * count
    if None in values:
        elements = [_NULL if value is None else element(value) for value in values]
        return array_oid, head + b"".join(elements)
    return array_oid, head + b"".join(map(element, values))


_HEAD = Struct(">iii").pack
_DIMENSION = Struct(">ii").pack
_LENGTH = Struct(">i").pack
_NULL = _LENGTH(-1)
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_timestamp = Struct(">iq").pack
_numeric = adapters.get_dumper(Decimal, PyFormat.BINARY)(Decimal).dump


def _text(value: str) -> bytes:
    data = value.encode()
    return _LENGTH(len(data)) + data


def _bytes(value: bytes) -> bytes:
    return _LENGTH(len(value)) + value


def _instant(value: datetime) -> bytes:
    since = value - _EPOCH
    return _timestamp(8, (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds)


def _decimal(value: Decimal | int) -> bytes:
    data = _numeric(value if isinstance(value, Decimal) else Decimal(value))
    assert data is not None
    return _LENGTH(len(data)) + data


# By cast: the type of the array, that of its elements, and an element with its length before it.
_COLUMNS: dict[str, tuple[int, int, Callable[[Any], bytes]]] = {
    "bigint[]": (1016, 20, partial(Struct(">iq").pack, 8)),
    "integer[]": (1007, 23, partial(Struct(">ii").pack, 4)),
    "smallint[]": (1005, 21, partial(Struct(">ih").pack, 2)),
    "boolean[]": (1000, 16, partial(Struct(">i?").pack, 1)),
    "text[]": (1009, 25, _text),
    "bytea[]": (1001, 17, _bytes),
    "timestamptz[]": (1185, 1184, _instant),
    "numeric[]": (1231, 1700, _decimal),
}
