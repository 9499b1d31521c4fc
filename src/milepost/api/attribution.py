"""For which till or store a call is made: the headers that say so, and what they may say.

An OAuth client names a till or a store in them, else its default till counts. A till is itself, and what
it sends in these headers is ignored. The look-up headers of v2 are checked for everybody.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from milepost.api import wire
from milepost.errors import BAD_REQUEST, INVALID_INPUT, LOOKUP_INCOMPLETE, Refused
from milepost.store.credentials import ATTRIBUTIONS

ENTITY_TYPE = b"x-cap-api-attribution-entity-type"
ENTITY_CODE = b"x-cap-api-attribution-entity-code"
TILL_CODE = b"x-cap-api-attribution-till-code"
"""Superseded by the two above, which win."""
LOOKUP_TYPE = b"x-cap-api-attribution-lookup-type"
LOOKUP = b"x-cap-api-attribution-lookup"
HEADERS = frozenset((ENTITY_TYPE, ENTITY_CODE, TILL_CODE, LOOKUP_TYPE, LOOKUP))

LOOKUP_TYPES = ("WECHAT", "MOBILE_TRIGGER")
CODE_BYTES_MAX = 1_000


@dataclass(frozen=True, slots=True)
class WantedPlace:
    """What a caller names: `kind` is of `ATTRIBUTIONS`. `unknown` is raised when nothing has the code.

    `code` is empty when nothing can have it.
    """

    kind: str
    code: str
    unknown: Refused


def wanted_place(headers: Mapping[bytes, bytes], path: str) -> WantedPlace | None:
    """The till or store that the headers name; None when they name none.

    Raises 300004, or 400 on a v2 path, for an unknown type, or a type without a code.
    """
    error = BAD_REQUEST if wire.is_v2(path) else INVALID_INPUT
    kind = headers.get(ENTITY_TYPE, b"").strip().decode("latin-1").upper()
    code = headers.get(ENTITY_CODE, b"").strip()
    header = ENTITY_CODE
    if not kind and not code:
        code, header = headers.get(TILL_CODE, b"").strip(), TILL_CODE
        if not code:
            return None
    kind = kind or "TILL"
    if kind not in ATTRIBUTIONS:
        raise Refused(error, f"{_shown(ENTITY_TYPE)} must be one of {', '.join(ATTRIBUTIONS)}.")
    unknown = Refused(error, f"{_shown(header)} names no {_noun(kind)} of this organisation.")
    if not code:
        raise Refused(error, f"{_shown(ENTITY_TYPE)} needs {_shown(ENTITY_CODE)}.")
    text = code.decode(errors="replace") if len(code) <= CODE_BYTES_MAX else ""
    return WantedPlace(kind, "" if "\x00" in text else text, unknown)


def check_lookup(headers: Mapping[bytes, bytes], path: str) -> None:
    """Raise 1061 for one of v2's look-up headers without the other, 400 for a type that there is not."""
    if not wire.is_v2(path):
        return
    kind, value = (headers.get(name, b"").strip() for name in (LOOKUP_TYPE, LOOKUP))
    if bool(kind) != bool(value):
        raise Refused(LOOKUP_INCOMPLETE)
    if kind and kind.decode("latin-1") not in LOOKUP_TYPES:
        raise Refused(
            BAD_REQUEST, f"{_shown(LOOKUP_TYPE)} must be one of {', '.join(LOOKUP_TYPES)}."
        )


def _noun(kind: str) -> str:
    return "till" if kind == "TILL" else "store"


def _shown(header: bytes) -> str:
    return header.decode().upper()
