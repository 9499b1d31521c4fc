"""Whether everything that was acknowledged is there, and once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg


@dataclass(frozen=True)
class Check:
    """For each acknowledged id, how many rows of the database say so: it has to be one.

    `columns` name the parts of an id, with their types; `rows` is a FROM and WHERE that names them as k.….
    """

    what: str
    columns: Mapping[str, str]
    rows: str


_OF_PROMOTION = {
    "action": "text", "promotion_id": "bigint", "customer_id": "bigint", "id": "bigint",
}  # fmt: skip
CHECKS: Mapping[str, Sequence[Check]] = {
    "enrolments": (
        Check(
            "stints", {"customer_id": "bigint"},
            "enrolments x WHERE x.org_id = %(org)s AND x.target_id = %(target)s "
            "AND x.customer_id = k.customer_id",
        ),
        Check(
            "entries of enrolments", {"customer_id": "bigint"},
            "journal x WHERE x.org_id = %(org)s AND x.target_id = %(target)s "
            "AND x.customer_id = k.customer_id AND x.what = 'ENROLLED'",
        ),
    ),
    "activities": (
        Check(
            "activities and their entries", {"customer_id": "bigint", "id": "text"},
            "activities x JOIN journal j USING (org_id, customer_id, version, ordinal) "
            "WHERE x.org_id = %(org)s AND x.customer_id = k.customer_id AND x.activity_id = k.id",
        ),
    ),
    "issues": (
        Check(
            "enrolments in promotions and earned records", _OF_PROMOTION,
            "(SELECT org_id, customer_id, promotion_id, issual_id AS id, 'ENROL' AS action FROM issuals "
            " WHERE NOT is_dummy "
            " UNION ALL SELECT org_id, customer_id, promotion_id, earn_id, 'EARN' FROM earns) x "
            "WHERE x.org_id = %(org)s AND x.customer_id = k.customer_id "
            "AND x.promotion_id = k.promotion_id AND x.action = k.action",
        ),
        Check(
            "those with the acknowledged id", _OF_PROMOTION,
            "(SELECT org_id, customer_id, promotion_id, issual_id AS id, 'ENROL' AS action FROM issuals "
            " UNION ALL SELECT org_id, customer_id, promotion_id, earn_id, 'EARN' FROM earns) x "
            "WHERE x.org_id = %(org)s AND x.customer_id = k.customer_id "
            "AND x.promotion_id = k.promotion_id AND x.action = k.action AND x.id = k.id",
        ),
    ),
    "customers": (
        Check(
            "customers", {"mobile": "text", "customer_id": "bigint"},
            "customer_identifiers x JOIN customers c USING (org_id, customer_id) "
            "WHERE x.org_id = %(org)s AND x.kind = 'mobile' AND x.value = k.mobile "
            "AND x.customer_id = k.customer_id",
        ),
    ),
    "keys": (
        Check(
            "kept answers", {"key": "text", "answer": "bytea"},
            "idempotency_keys x WHERE x.org_id = %(org)s AND x.key = k.key AND x.answer = k.answer",
        ),
    ),
}  # fmt: skip
"""By the kind of what was acknowledged."""


def astray(
    connection: psycopg.Connection[Any],
    checks: Iterable[Check],
    ids: Sequence[tuple[Any, ...]],
    parameters: Mapping[str, Any],
) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
    """Of the ids, those of which there is no row, and those of which there are several."""
    lost: list[tuple[Any, ...]] = []
    doubled: list[tuple[Any, ...]] = []
    for check in checks if ids else ():
        names = ", ".join(check.columns)
        arrays = ", ".join(f"%({name})s::{kind}[]" for name, kind in check.columns.items())
        given = zip(check.columns, map(list, zip(*ids, strict=True)), strict=True)
        found = connection.execute(
            f"SELECT * FROM (SELECT {names}, (SELECT count(*) FROM {check.rows}) AS found "
            f"FROM unnest({arrays}) AS k({names})) counted WHERE found <> 1".encode(),
            {**parameters, **dict(given)},
        )
        for *identity, rows in found:
            (doubled if rows else lost).append((check.what, *identity))
    return lost, doubled
