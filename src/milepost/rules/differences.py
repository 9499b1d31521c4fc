"""Two sides of a row, stored and rebuilt, and in what they differ, as a person reads it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields
from datetime import datetime
from decimal import Decimal
from typing import Any

from milepost.rules.frozen import dataclass
from milepost.rules.scene import plain

ABSENT = "nothing"
"""What a difference shows where one side has no such row."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not as it should be. `field` names it; both sides are texts for a person."""

    customer_id: int
    target_id: int | None
    period_id: int | None
    field: str
    stored: str
    rebuilt: str


def keys(one: Mapping[Any, Any], other: Mapping[Any, Any]) -> list[Any]:
    """The keys of either side, in order."""
    return sorted(one.keys() | other.keys())


def differing(one: Any, other: Any, name: str) -> Iterator[tuple[str, str, str]]:
    """Name and both sides of each field that differs; of the whole row, if one side has none."""
    if one is None or other is None:
        yield name, _row_text(one), _row_text(other)
        return
    for each in fields(one):
        left, right = getattr(one, each.name), getattr(other, each.name)
        if left != right:
            yield f"{name} {each.name}", _text(left), _text(right)


def _row_text(row: Any) -> str:
    if row is None:
        return ABSENT
    shown = ((each.name, getattr(row, each.name)) for each in fields(row))
    return ", ".join(f"{name} {_text(value)}" for name, value in shown if value is not None)


def _text(value: object) -> str:
    if value is None:
        return ABSENT
    if isinstance(value, Decimal):
        return plain(value)
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {_text(value[key])}" for key in sorted(value)) or "no days"
    return str(value)
