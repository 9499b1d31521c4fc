"""What the calls say that enrol, issue and revoke: read, and refused as a whole where they are wrong.

The order of the checks is contract §7's; those that need the definitions follow in `rules/issuing.py`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from milepost.errors import (
    BATCH_TOO_LARGE,
    CUSTOMER_NOT_FOUND,
    ENTITY_TYPE_INVALID,
    ENTITY_TYPE_UNKNOWN,
    IDENTIFIERS_EMPTY,
    PARAMETERS_MISSING,
    USER_GROUP_REFUSED,
    Refusal,
)
from milepost.rules.customers import (
    ANY_SOURCE,
    SOURCES,
    Identifier,
    Lookup,
    normalise,
    read_lookup,
)
from milepost.rules.effects import NOBODYS, Origin
from milepost.rules.frozen import dataclass
from milepost.rules.issuing import CUSTOMERS_MAX, Act, Call

CUSTOMER = "CUSTOMER"
USER_GROUP = "USERGROUP2"
IDENTIFIER_KINDS = ("id", "mobile", "email")
"""By which bulk calls name customers."""
BULK_SOURCES = (*(s for s in SOURCES if s not in ("WECHAT", "MOBILE_APP")), ANY_SOURCE)
EARN_IDS_MAX = 1_000

_INT64 = range(-(2**63), 2**63)
_NOBODYS = "an integer beyond 64 bits"  # Python writes out no number of any length
_INTEGER = re.compile(r"[0-9]{1,18}", re.ASCII)
_KEY_CHARACTERS_MAX = 300


@dataclass(frozen=True, slots=True)
class CallDraft:
    """The fields of a bulk call as decoded from JSON, None where they are absent."""

    type: object
    action: object
    program_id: object
    promotion_id: object
    identifier: object
    identifier_name: object
    customers: object


class Named(NamedTuple):
    """What names the customer of a single call, as sent."""

    source: str | None
    kind: str | None
    value: str | None
    account_id: str | None


def read_call(
    draft: CallDraft,
    actions: tuple[str, ...],
    origin: Origin = NOBODYS,
    customers_max: int = CUSTOMERS_MAX,
) -> list[Act] | Refusal:
    """The acts of a bulk call, a customer each in the order sent.

    Else, in this order: 8901 or 8899, 8881, 11013, 1060. `actions` are those that the route takes; a wrong
    one is found when the promotion is known. `customers_max` 0 is no bound.
    """
    refusal = _refuse_type(draft.type)
    if refusal is not None:
        return refusal
    call = _read_promotion(draft, actions)
    if isinstance(call, Refusal):
        return call
    named = _read_customers(draft.identifier_name, draft.customers)
    if isinstance(named, Refusal):
        return named
    if customers_max and len(named) > customers_max:
        return Refusal(BATCH_TOO_LARGE)
    return [
        Act(
            call,
            _lookup(kind, value, source),
            _earn_ids(customer.get("earnIds")),
            origin,
            f"{kind} {value}"[:_KEY_CHARACTERS_MAX],
        )
        for kind, value, source, customer in named
    ]


def read_single_call(
    draft: CallDraft,
    named: Named,
    action: str,
    origin: Origin = NOBODYS,
) -> Act | Refusal:
    """The act of a single issue call; else 1212 or 8899, 11013, 8881, in this order."""
    if draft.type == USER_GROUP:
        return Refusal(USER_GROUP_REFUSED)
    if draft.type not in (None, "", CUSTOMER):
        return Refusal(ENTITY_TYPE_INVALID)
    lookup = read_lookup(*named)
    if (named.source or "").strip().upper() == ANY_SOURCE or (
        isinstance(lookup, Refusal) and lookup.error is not CUSTOMER_NOT_FOUND
    ):
        return Refusal(IDENTIFIERS_EMPTY)
    call = _read_promotion(draft, (action,))
    if isinstance(call, Refusal):
        return call
    if isinstance(lookup, Refusal):
        key = f"{named.kind} {named.value}"[:_KEY_CHARACTERS_MAX]
        return Act(call, None, None, origin, key)
    return Act(call, lookup, None, origin)


def _refuse_type(kind: object) -> Refusal | None:
    if kind == USER_GROUP:
        return Refusal(USER_GROUP_REFUSED)
    return None if kind == CUSTOMER else Refusal(ENTITY_TYPE_UNKNOWN)


def _read_promotion(draft: CallDraft, actions: tuple[str, ...]) -> Call | Refusal:
    """Program and promotion: an id that is a number, as a text too, else the caller's own identifier."""
    promotion_id = _integer(draft.promotion_id, or_text=True)
    identifier = draft.identifier
    if not isinstance(identifier, str) or not identifier.strip():
        identifier = None
    program_id = _integer(draft.program_id, or_text=False)
    if program_id is None or (promotion_id is None and identifier is None):
        return Refusal(PARAMETERS_MISSING)
    action = draft.action if isinstance(draft.action, str) else None
    return Call(program_id, promotion_id, identifier, action, actions)


def _read_customers(
    name: object, customers: object
) -> list[tuple[str, str, str, Mapping[str, object]]] | Refusal:
    """Kind, value and source of each customer, with what else was said; 11013 if any of it is missing."""
    kind = name.strip().lower() if isinstance(name, str) else ""
    if kind not in IDENTIFIER_KINDS or not isinstance(customers, list) or not customers:
        return Refusal(IDENTIFIERS_EMPTY)
    named = []
    for customer in customers:
        if not isinstance(customer, Mapping):
            return Refusal(IDENTIFIERS_EMPTY)
        value, source = customer.get("identifierValue"), customer.get("source")
        if isinstance(value, int) and not isinstance(value, bool):
            value = str(value) if value in _INT64 else _NOBODYS
        if not isinstance(value, str) or not value.strip() or not isinstance(source, str):
            return Refusal(IDENTIFIERS_EMPTY)
        source = source.strip().upper()
        if source not in BULK_SOURCES:
            return Refusal(IDENTIFIERS_EMPTY)
        named.append((kind, value, source, customer))
    return named


def _lookup(kind: str, value: str, source: str) -> Lookup | None:
    normal = normalise(kind, value)
    return Lookup(Identifier(kind, normal), source) if normal is not None else None


def _earn_ids(sent: object) -> tuple[int, ...] | None:
    """The ids that are sent; None for none. What is no list of ids is an id that nobody has."""
    if sent is None:
        return None
    if not isinstance(sent, Sequence) or isinstance(sent, str) or len(sent) > EARN_IDS_MAX:
        return ()
    ids = [_integer(each, or_text=True) for each in sent]
    return tuple(each for each in ids if each is not None) if None not in ids else ()


def _integer(value: object, *, or_text: bool) -> int | None:
    if or_text and isinstance(value, str) and _INTEGER.fullmatch(value.strip()):
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool) and value in _INT64:
        return value
    return None
