"""Behavioural events: what an organisation defines, and what a pushed one is (domain: promotions §6.4)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from hashlib import md5
from zoneinfo import ZoneInfo

from milepost.errors import BAD_REQUEST, Refusal
from milepost.rules.activities import EVENT, Activity
from milepost.rules.calendar import EARLIEST_AT, LATEST_AT, parse_start
from milepost.rules.frozen import dataclass

ACTIONS = ("EMFConsumer", "EIConsumer")
CUSTOMER = "customer"
TEXT_TYPES = (
    CUSTOMER, "tillCode", "couponCode", "productSku", "productBrand", "productCategory", "string",
    "enum", "date",
)  # fmt: skip
NUMBER_TYPES = ("double", "integer")
FIELD_TYPES = (*TEXT_TYPES, *NUMBER_TYPES, "boolean")

DEFINITIONS_MAX = 100
FIELDS_MAX = 20
NAME_CHARACTERS_MAX = 50
DESCRIPTION_CHARACTERS_MAX = 255
TEXT_CHARACTERS_MAX = 10_000
INTEGER_MAX = 2**63 - 1
DIGITS_MAX = 50

_UTC = ZoneInfo("UTC")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NAME_KEYS = ("event_name", "eventName")
_TIME_KEY = "eventDateTime"
_CUSTOMER_KEYS = ("id", "customer_id", "customerId", "mobile", "email", "externalId", "external_id")
_NUMBER = re.compile(r"-?[0-9]{1,30}(\.[0-9]{1,30})?", re.ASCII)
_EPOCH_TIME = re.compile(r"[0-9]{9,13}", re.ASCII)
_MILLISECONDS_MIN = 10**11


@dataclass(frozen=True, slots=True)
class EventField:
    """One attribute. `unique`: it is part of what makes two events the same."""

    name: str
    type: str
    required: bool = False
    unique: bool = False


@dataclass(frozen=True, slots=True)
class EventDefinition:
    """A behavioural event; once defined it stays as it is."""

    name: str
    actions: tuple[str, ...]
    fields: tuple[EventField, ...]
    description: str = ""


def check_definition(definition: EventDefinition) -> Refusal | None:
    """400 with the reason for what cannot be defined."""
    name = _check_name(definition.name, "eventName")
    if name is not None:
        return name
    if not definition.actions or not set(definition.actions) <= set(ACTIONS):
        return _refusal(f"actions must be one or both of {', '.join(ACTIONS)}")
    if len(definition.description) > DESCRIPTION_CHARACTERS_MAX:
        return _refusal(f"description must have at most {DESCRIPTION_CHARACTERS_MAX} characters")
    if len(definition.fields) > FIELDS_MAX:
        return _refusal(f"fields must have at most {FIELDS_MAX} entries")
    if len({field.name for field in definition.fields}) < len(definition.fields):
        return _refusal("two fields have the same name")
    for index, field in enumerate(definition.fields):
        refusal = _check_name(field.name, f"fields[{index}].name")
        if refusal is not None:
            return refusal
        if field.name in (*_NAME_KEYS, _TIME_KEY):
            return _refusal(f"fields[{index}].name is taken: {field.name} has a meaning of its own")
        if field.type not in FIELD_TYPES:
            return _refusal(f"fields[{index}].type must be one of {', '.join(FIELD_TYPES)}")
    return None


def event_name(payload: Mapping[str, object]) -> str | Refusal:
    """Which event a pushed payload is of."""
    for key in _NAME_KEYS:
        name = payload.get(key)
        if isinstance(name, str) and name:
            return name
    return _refusal("event_name is required")


def customer_identifier(
    definition: EventDefinition, payload: Mapping[str, object]
) -> tuple[str, str] | Refusal:
    """Kind and value of what names the customer: a field of type customer, else one of the usual names."""
    keys = [field.name for field in definition.fields if field.type == CUSTOMER]
    for key in (*keys, *_CUSTOMER_KEYS):
        value = payload.get(key)
        if isinstance(value, str | int) and not isinstance(value, bool) and str(value).strip():
            return _identifier_kind(key), str(value)
    return _refusal(f"a customer is required: {', '.join(keys) or ', '.join(_CUSTOMER_KEYS)}")


def event_activity(
    definition: EventDefinition,
    payload: Mapping[str, object],
    customer_id: int,
    identity: str,
    now: datetime,
    *,
    unique: bool,
) -> Activity | Refusal:
    """The activity of a pushed event. Without `eventDateTime` it is of `now`, without offset in UTC.

    Its id is `identity`, or with `unique` what makes it the same as another, if the definition says so.
    """
    attributes = _attributes(definition, payload)
    if isinstance(attributes, Refusal):
        return attributes
    occurred_at = _occurred_at(payload.get(_TIME_KEY), now)
    if isinstance(occurred_at, Refusal):
        return occurred_at
    if unique:
        identity = _uniqueness(definition, customer_id, attributes) or identity
    return Activity(
        identity, customer_id, EVENT, occurred_at, definition.name, attributes=attributes
    )


def _uniqueness(
    definition: EventDefinition, customer_id: int, attributes: Mapping[str, object]
) -> str | None:
    """The md5 of `EventName_CustomerId_Attr…`; None when no attribute is part of it."""
    keys = [field.name for field in definition.fields if field.unique]
    if not keys:
        return None
    parts = (definition.name, customer_id, *(attributes.get(key, "") for key in keys))
    text = "_".join(map(str, parts))
    return md5(text.encode(), usedforsecurity=False).hexdigest()


def _attributes(
    definition: EventDefinition, payload: Mapping[str, object]
) -> dict[str, object] | Refusal:
    """The attributes that are defined, by their types; all else in the payload is ignored."""
    found: dict[str, object] = {}
    for field in definition.fields:
        value = payload.get(field.name)
        if value is None:
            if field.required:
                return _refusal(f"{field.name} is required")
            continue
        typed = _typed(field, value)
        if isinstance(typed, Refusal):
            return typed
        if field.type != CUSTOMER:  # who it is about is known by the customer's id
            found[field.name] = typed
    return found


def _typed(field: EventField, value: object) -> object:
    """A value as its field's type has it, or a refusal. Numbers and truths may be written as texts."""
    number = _number(value)
    if field.type == "boolean":
        truth = {"true": True, "false": False}.get(str(value).lower())
        return _refusal(f"{field.name} must be a boolean") if truth is None else truth
    if field.type == "double":
        return _refusal(f"{field.name} must be a number") if number is None else number
    if field.type == "integer":
        if number is None or number != number.to_integral_value() or abs(number) > INTEGER_MAX:
            return _refusal(f"{field.name} must be an integer of 64 bits")
        return int(number)
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or len(value) > TEXT_CHARACTERS_MAX:
        return _refusal(f"{field.name} must be a text of up to {TEXT_CHARACTERS_MAX:,} characters")
    return value


def _number(value: object) -> Decimal | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int) or (isinstance(value, str) and _NUMBER.fullmatch(value)):
        return Decimal(value)
    fits = isinstance(value, Decimal) and value.is_finite() and abs(value.adjusted()) <= DIGITS_MAX
    return value if isinstance(value, Decimal) and fits else None


def _occurred_at(written: object, now: datetime) -> datetime | Refusal:
    """An ISO 8601 time, in UTC without an offset, or seconds or milliseconds since 1970."""
    if written is None or written == "":
        return now
    text = str(written)
    if _EPOCH_TIME.fullmatch(text):
        count = int(text)
        unit = "milliseconds" if count >= _MILLISECONDS_MIN else "seconds"
        at = _EPOCH + timedelta(**{unit: count})
        return at if EARLIEST_AT <= at <= LATEST_AT else _refusal(f"{_TIME_KEY} is absurd")
    parsed = parse_start(text, _UTC)
    return _refusal(f"{_TIME_KEY}: {parsed.detail}") if isinstance(parsed, Refusal) else parsed


def _identifier_kind(key: str) -> str:
    """Which identifier a field's name says that it holds; the customer's id if it says none."""
    plain = key.lower().replace("_", "")
    for kind in ("mobile", "email", "externalId"):
        if kind.lower() in plain:
            return kind
    return "id"


def _check_name(name: str, at: str) -> Refusal | None:
    if not name.strip() or len(name) > NAME_CHARACTERS_MAX:
        return _refusal(f"{at} must have 1 to {NAME_CHARACTERS_MAX} characters")
    return None


def _refusal(reason: str) -> Refusal:
    return Refusal(BAD_REQUEST, f"{reason.removesuffix('.')}.")
