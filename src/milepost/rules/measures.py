"""What a target counts of an activity and where: `filters`, `aggregateWindow` and `extendedFieldInfo`
(domain: milestones §2.3, §4.7).

Each is kept as it was sent, so what matching would not understand is refused here, never ignored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from milepost.errors import (
    EXTENDED_FIELD_INFO_MISSING,
    INVALID_CURRENCY,
    INVALID_PROGRAM,
    Refusal,
)
from milepost.rules.checks import INT64_MAX, INT64_MIN, check_choice, check_json, refuse
from milepost.rules.definitions import Target

SCOPES = ("STORE", "ZONE", "CONCEPT")
WINDOW_TYPES = ("MIN", "MAX")
WINDOW_TIME_UNITS = ("DAY",)
AGGREGATE_FUNCTIONS = ("SUM", "COUNT")
NAMED_TYPES = ("EVENT_ATTRIBUTE", "EXTENDED_FIELD")
"""The target types that need the name of what they count."""


def check_filters(filters: Sequence[Mapping[str, object]] | None, at: str) -> Refusal | None:
    """Entries `{entityType: STORE, ZONE or CONCEPT in any case, entityIds: [integers]}`.

    A third level's scope, `targetGroups`, is not supported.
    """
    refusal = check_json(filters, at)
    for index, entry in enumerate(filters or ()):
        refusal = refusal or _check_filter(entry, f"{at}[{index}]")
    return refusal


def check_window(window: object, at: str) -> Refusal | None:
    """None, or `{windowType: MIN or MAX, windowTimeUnit: DAY, windowValue: 1}`; the unit and the value
    may be absent.
    """
    if window is None:
        return None
    if not isinstance(window, Mapping):
        return refuse(at, "must be an object")
    if window.get("windowType") is None:
        return refuse(f"{at}.windowType", "is required")
    refusal = _check_word(window, "windowType", WINDOW_TYPES, at)
    refusal = refusal or _check_word(window, "windowTimeUnit", WINDOW_TIME_UNITS, at)
    if refusal is None and not (
        window.get("windowValue") is None or _is_one(window["windowValue"])
    ):
        return refuse(f"{at}.windowValue", "must be 1")
    return refusal


def check_extended_field(target: Target, at: str) -> Refusal | None:
    """Whether a target says what it adds up or counts, if its type needs to be told."""
    info = target.extended_field_info
    currency = target.target_entity == "ALTERNATE_CURRENCIES"
    if not info and (currency or target.target_type == "EXTENDED_FIELD"):
        return Refusal(EXTENDED_FIELD_INFO_MISSING)
    info = info or {}
    if currency and not _is_integer(info.get("programId")):
        return Refusal(INVALID_PROGRAM)
    if currency and not _says_something(info.get("alternateCurrencyIdentifier")):
        return Refusal(INVALID_CURRENCY)
    if target.target_type in NAMED_TYPES and not _says_something(info.get("name")):
        return refuse(f"{at}.name", f"is required for {target.target_type}")
    refusal = _check_word(info, "aggregateFunction", AGGREGATE_FUNCTIONS, at)
    return refusal or check_window(info.get("aggregateWindow"), f"{at}.aggregateWindow")


def _check_filter(entry: Mapping[str, object], at: str) -> Refusal | None:
    kind = entry.get("entityType")
    level = str(kind).replace("_", "").lower().startswith("targetgroup")
    if level or any(key.lower() == "targetgroups" for key in entry):
        return refuse(at, "a filter by target groups, of a third level, is not supported")
    if kind is None:
        return refuse(f"{at}.entityType", "is required")
    refusal = _check_word(entry, "entityType", SCOPES, at)
    ids = entry.get("entityIds")
    if refusal is None and not (
        isinstance(ids, list | tuple) and ids and all(map(_is_integer, ids))
    ):
        return refuse(f"{at}.entityIds", "must be a list of one id or more")
    return refusal


def _check_word(
    entry: Mapping[str, object], field: str, words: tuple[str, ...], at: str
) -> Refusal | None:
    word = entry.get(field)
    sent = word if word is None or isinstance(word, str) else ""
    return check_choice(sent, f"{at}.{field}", words)


def _says_something(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_integer(value: object) -> bool:
    return (
        isinstance(value, int) and not isinstance(value, bool) and INT64_MIN <= value <= INT64_MAX
    )


def _is_one(value: object) -> bool:
    return _is_integer(value) and value == 1
