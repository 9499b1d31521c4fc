"""Connected organisations: on whose behalf a request acts (contract §8)."""

from __future__ import annotations

from collections.abc import Sequence

from milepost.errors import CONNECTED_ORGS_NOT_SET, DATA_SCOPE_ALL_UNSUPPORTED, Refusal


def refuse_scope(scope: str, orgs: Sequence[str]) -> Refusal | None:
    """Why the scope headers cannot be honoured, or None: only the caller's own organisation can.

    `scope` is DATA-SCOPE, case-insensitive, blank = absent = SELF, which ignores `orgs`.
    ALL → 310141; anything else → 310144.
    """
    match scope.strip().upper():
        case "" | "SELF":
            return None
        case "ALL":
            return Refusal(DATA_SCOPE_ALL_UNSUPPORTED)
        case _:
            return Refusal(CONNECTED_ORGS_NOT_SET)
