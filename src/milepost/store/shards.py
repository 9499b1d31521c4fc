"""What a statement becomes on a distributed database (`distribution.py`): nothing else differs there.

On one server a statement looks its keys up one by one, behind `OFFSET 0`, whatever the planner believes of
the tables (house law 3). Over several servers each of them joins the keys with what it has: there the fence
would keep the join from being sent out, and a statement whose shape needs more than that has another text,
with the same parameters in the same order and the same rows. Both are told once more which customers they
are about, so that only the shards of these are asked.
"""

from __future__ import annotations

import re
from functools import lru_cache

from milepost.distribution import DISTRIBUTED, REFERENCE

RETURNING = " RETURNING org_id"
"""Makes a plain INSERT one that is sent to the workers as such, and not as a COPY, which row-level security
refuses."""

_others: dict[str, str] = {}
_FENCE = re.compile(r"\s+OFFSET 0\b")
_PLACEHOLDER = re.compile(r"%[bs]")
_KEYS = re.compile(r"unnest\((?P<arrays>[^)]*)\) AS k \((?P<columns>[^)]*)\)")
_OF_KEY = re.compile(r"(?P<column>\b(?:\w+\.)?customer_id) = k\.customer_id\b")
_TABLES = "|".join((*DISTRIBUTED, *REFERENCE))
_SENT_OUT = re.compile(rf"\b(?:FROM|JOIN|INTO|UPDATE) (?:{_TABLES})\b")


def on_shards(statement: str, other: str) -> None:
    """Say what a statement is on a distributed database, where leaving its fences out is not enough."""
    _others[statement] = other


@lru_cache(maxsize=2_000)
def as_on_shards(statement: str) -> str:
    """The statement for a distributed database; what concerns the coordinator alone stays as it is."""
    other = _others.get(statement, statement)
    if not _SENT_OUT.search(other):
        return other
    return _with_shards_named(_FENCE.sub("", other) if other is statement else other)


def _with_shards_named(statement: str) -> str:
    """A statement that joins with keys, and has them as values too: by these its shards are chosen."""
    keys = _KEYS.search(statement)
    columns = [name.strip() for name in keys["columns"].split(",")] if keys else []
    if keys is None or "customer_id" not in columns:
        return statement
    before = len(_PLACEHOLDER.findall(statement[: keys.start()]))
    place = before + columns.index("customer_id") + 1
    return _OF_KEY.sub(rf"\g<0> AND \g<column> = ANY (${place}::bigint[])", statement)
