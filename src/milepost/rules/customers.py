"""Register customers and resolve their identifiers: contract §6; domain/promotions-and-platform.md §5.

A customer belongs to a whole connected hierarchy. An identifier names one customer there, whatever
the sources it is known in: the same one in another source joins that customer, in the same source it
is refused. The id of a customer is an identifier too, but of no source.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field
from typing import NamedTuple

from milepost.errors import (
    CUSTOMER_EXISTS,
    CUSTOMER_NOT_FOUND,
    IDENTIFIERS_MISSING,
    INVALID_IDENTIFIER,
    INVALID_SOURCE,
    NO_VALID_IDENTIFIERS,
    PROFILE_SOURCE_INVALID,
    PROFILE_SOURCE_MISSING,
    SOURCE_MISSING,
    Refusal,
)
from milepost.rules.frozen import dataclass

SOURCES = (
    "FACEBOOK", "WEB_ENGAGE", "WECHAT", "INSTORE", "MARTJACK", "TMALL", "TAOBAO", "JD", "ECOMMERCE",
    "WEBSITE", "LINE", "MOBILE_APP",
)  # fmt: skip
ANY_SOURCE = "ALL"
"""In a look-up only."""
SOURCE_WITHOUT_ACCOUNTS = "INSTORE"
KINDS = ("id", "mobile", "email", "externalId")

EMAIL_CHARACTERS_MAX = 255
EXTERNAL_ID_CHARACTERS_MAX = 255
ACCOUNT_ID_CHARACTERS_MAX = 255
CUSTOMER_ID_MAX = 2**63 - 1

_QUOTED_CHARACTERS_MAX = 60
_SOURCES = ", ".join(SOURCES)
_KIND_BY_LOWER_NAME = {kind.lower(): kind for kind in KINDS}
_MOBILE = re.compile(r"[0-9]{7,15}", re.ASCII)
_EMAIL = re.compile(r"[A-Za-z0-9_+.-]+@[A-Za-z0-9_+.-]+", re.ASCII)
_ID = re.compile(r"[0-9]{1,19}", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_MOBILE_PADDING = str.maketrans("", "", " -")


class Identifier(NamedTuple):
    """What finds a customer; `value` is normalised, so that equal ones are the same customer's."""

    kind: str
    value: str


@dataclass(frozen=True, slots=True)
class ProfileDraft:
    """One entry of `profiles` as sent. `identifiers` are (type, value) pairs; None: absent."""

    source: str | None = None
    account_id: str | None = None
    identifiers: Sequence[tuple[str | None, str | None]] = ()
    first_name: str = ""
    last_name: str = ""
    comm_channels: Sequence[Mapping[str, object]] = ()
    fields: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Profile:
    """A customer in one account of one source. `account_id` is empty where there is only one."""

    source: str
    account_id: str
    identifiers: tuple[Identifier, ...]
    first_name: str = ""
    last_name: str = ""
    comm_channels: Sequence[Mapping[str, object]] = ()
    fields: Mapping[str, object] = field(default_factory=dict)

    @property
    def source_key(self) -> str:
        """The source and account in one text."""
        return f"{self.source}:{self.account_id}" if self.account_id else self.source


@dataclass(frozen=True, slots=True)
class Registration:
    """Add a customer, or a profile to the one that the identifiers name in another source.

    `customer_id` is the id to keep when moving in; None: a new one.
    """

    profiles: tuple[Profile, ...]
    customer_id: int | None = None
    loyalty_type: str = "loyalty"

    @property
    def keys(self) -> tuple[Identifier, ...]:
        """All that the registration may claim, in the order sent and the asked id last; never empty."""
        keys = [identifier for profile in self.profiles for identifier in profile.identifiers]
        if self.customer_id is not None:
            keys.append(Identifier("id", str(self.customer_id)))
        return tuple(keys)


@dataclass(frozen=True, slots=True)
class Registered:
    """An accepted registration; `combined`: the customer was known in another source (8050)."""

    customer_id: int
    combined: bool = False


@dataclass(frozen=True, slots=True)
class Known:
    """Whom an identifier names, and the `source_key` of each place that it is known in."""

    customer_id: int
    sources: frozenset[str]


@dataclass(slots=True)
class Registry:
    """What a batch of registrations loads; the fold keeps it current.

    `taken` has those of the ids asked for that exist already; `allotted` as many unused ids as there
    are commands.
    """

    known: dict[Identifier, Known]
    taken: set[int]
    allotted: deque[int]


@dataclass(slots=True, eq=False)
class Additions:
    """What registrations that share an identifier or an id add; they are saved together or not at all."""

    customers: dict[int, str] = field(default_factory=dict)
    """By id of each new customer: the loyalty type."""
    identifiers: dict[Identifier, tuple[int, frozenset[str]]] = field(default_factory=dict)
    """The customer that each names, and the sources to add to those that it is known in."""
    profiles: dict[tuple[int, str, str], Profile] = field(default_factory=dict)
    """By (customer id, source, account id). One that exists already stays as it was."""


def read_registration(
    drafts: Sequence[ProfileDraft], customer_id: int | None = None, loyalty_type: str = "loyalty"
) -> Registration | Refusal:
    """The command of what was sent, normalised. The caller has bounded the id, names and fields.

    Refuses with 8004 (a profile without a source, or no profile), 3217 (an unknown one), 8005 (no
    identifier, or one that cannot be registered). A `customer_id` is an identifier, so with one there
    need be no other.
    """
    if not drafts or any(not (draft.source or "").strip() for draft in drafts):
        return Refusal(PROFILE_SOURCE_MISSING)
    profiles = []
    for draft in drafts:
        source = _source(draft.source)
        if source not in SOURCES:
            return Refusal(
                PROFILE_SOURCE_INVALID, f"{_quoted(draft.source)} is none of {_SOURCES}."
            )
        account_id = _account(source, draft.account_id)
        if _CONTROL.search(account_id) or len(account_id) > ACCOUNT_ID_CHARACTERS_MAX:
            return Refusal(PROFILE_SOURCE_INVALID, "Its accountId is too long or not plain text.")
        identifiers = _read_identifiers(draft.identifiers)
        if isinstance(identifiers, Refusal):
            return identifiers
        profiles.append(
            Profile(
                source,
                account_id,
                identifiers,
                draft.first_name,
                draft.last_name,
                draft.comm_channels,
                draft.fields,
            )
        )
    if customer_id is None and not any(profile.identifiers for profile in profiles):
        return Refusal(NO_VALID_IDENTIFIERS, "A mobile, email or externalId is needed.")
    return Registration(tuple(profiles), customer_id, loyalty_type)


def normalise(kind: str, value: str) -> str | None:
    """The form of an identifier's value that is stored and compared; None: it can be nobody's.

    id: digits, leading zeros dropped, within 64 bits. mobile: digits with the country code, 7 to
    15 of them; a leading plus, spaces and dashes are dropped. email: lower case. externalId: as it
    is, without blanks around it.
    """
    value = value.strip()
    match kind:
        case "id":
            number = int(value) if _ID.fullmatch(value) else 0
            return str(number) if 0 < number <= CUSTOMER_ID_MAX else None
        case "mobile":
            value = value.removeprefix("+").translate(_MOBILE_PADDING)
            return value if _MOBILE.fullmatch(value) else None
        case "email":
            right = len(value) <= EMAIL_CHARACTERS_MAX and _EMAIL.fullmatch(value)
            return value.lower() if right else None
        case "externalId":
            plain = 0 < len(value) <= EXTERNAL_ID_CHARACTERS_MAX and not _CONTROL.search(value)
            return value if plain else None
    return None


def register(
    registry: Registry, commands: Sequence[Registration]
) -> tuple[list[Registered | Refusal], list[Additions]]:
    """Decide the commands in order, each seeing what those before it added.

    Returns the outcome and the additions of each command; commands that share an identifier or an
    id, themselves or over others, share the additions.
    """
    additions = _connect(commands)
    outcomes = [
        _register(registry, command, to) for command, to in zip(commands, additions, strict=True)
    ]
    return outcomes, additions


def _register(
    registry: Registry, command: Registration, additions: Additions
) -> Registered | Refusal:
    refusal = _refuse(registry, command)
    if refusal is not None:
        return refusal
    owners = (registry.known.get(key) for key in command.keys)
    owner = next((known.customer_id for known in owners if known is not None), None)
    if owner is not None:
        customer_id = owner
    else:
        customer_id = command.customer_id or registry.allotted.popleft()
        registry.taken.add(customer_id)
        additions.customers[customer_id] = command.loyalty_type
    for profile in command.profiles:
        place = (customer_id, profile.source, profile.account_id)
        additions.profiles.setdefault(place, profile)
        here = frozenset((profile.source_key,))
        for identifier in profile.identifiers:
            known = registry.known.get(identifier, Known(customer_id, frozenset()))
            registry.known[identifier] = Known(customer_id, known.sources | here)
            _, added = additions.identifiers.get(identifier, (customer_id, frozenset()))
            additions.identifiers[identifier] = (customer_id, added | here)
    return Registered(customer_id, combined=owner is not None)


def _refuse(registry: Registry, command: Registration) -> Refusal | None:
    """8006 if the id is taken, an identifier is known in the same source, or those known are of
    several customers or of another than the id asked for.
    """
    if command.customer_id in registry.taken:
        return Refusal(CUSTOMER_EXISTS, subject=command.customer_id)
    owners: list[int] = []
    for profile in command.profiles:
        for identifier in profile.identifiers:
            known = registry.known.get(identifier)
            if known is None:
                continue
            if profile.source_key in known.sources:
                return Refusal(CUSTOMER_EXISTS, subject=known.customer_id)
            owners.append(known.customer_id)
    if len(set(owners)) > 1:
        detail = "The identifiers belong to different customers."
        return Refusal(CUSTOMER_EXISTS, detail, owners[0])
    if owners and command.customer_id is not None:
        detail = "An identifier belongs to that customer, who keeps the id."
        return Refusal(CUSTOMER_EXISTS, detail, owners[0])
    return None


def _connect(commands: Sequence[Registration]) -> list[Additions]:
    """Additions for each command, the same for commands that share a key, themselves or over others."""
    leader: dict[Identifier, Identifier] = {}

    def find(key: Identifier) -> Identifier:
        while leader.setdefault(key, key) != key:
            leader[key] = leader[leader[key]]
            key = leader[key]
        return key

    keys = [command.keys for command in commands]
    for first, *rest in keys:
        for key in rest:
            leader[find(key)] = find(first)
    of_leader: dict[Identifier, Additions] = {}
    return [of_leader.setdefault(find(first), Additions()) for first, *_ in keys]


@dataclass(frozen=True, slots=True)
class Lookup:
    """Whose identifier is it? `source` may be `ANY_SOURCE`; an empty `account_id` is any account."""

    identifier: Identifier
    source: str
    account_id: str = ""


def read_lookup(
    source: str | None, name: str | None, value: str | None, account_id: str | None = None
) -> Lookup | Refusal:
    """The look-up of what was sent; blank is the same as absent.

    Refuses with 8001 (no source), 8003 (an unknown one), 8002 (no name or no value), 8013 (an
    unknown name) and 8015 (a value that can be nobody's, such as a non-numeric id).
    """
    if not (source or "").strip():
        return Refusal(SOURCE_MISSING)
    wanted = _source(source)
    if wanted not in SOURCES and wanted != ANY_SOURCE:
        return Refusal(INVALID_SOURCE, f"{_quoted(source)} is none of {_SOURCES}, {ANY_SOURCE}.")
    name, value = (name or "").strip(), (value or "").strip()
    if not name or not value:
        return Refusal(IDENTIFIERS_MISSING)
    kind = _KIND_BY_LOWER_NAME.get(name.lower())
    if kind is None:
        return Refusal(INVALID_IDENTIFIER, f"{_quoted(name)} is none of {', '.join(KINDS)}.")
    normal = normalise(kind, value)
    if normal is None:
        return Refusal(CUSTOMER_NOT_FOUND)
    return Lookup(Identifier(kind, normal), wanted, _account(wanted, account_id))


def resolve(known: Mapping[Identifier, Known], lookup: Lookup) -> int | Refusal:
    """The customer that a look-up finds, or 8015. The source does not matter to an id."""
    found = known.get(lookup.identifier)
    if found is not None and (
        lookup.identifier.kind == "id"
        or lookup.source == ANY_SOURCE
        or any(_matches(lookup, source_key) for source_key in found.sources)
    ):
        return found.customer_id
    return Refusal(CUSTOMER_NOT_FOUND)


def _matches(lookup: Lookup, source_key: str) -> bool:
    source, _, account_id = source_key.partition(":")
    return source == lookup.source and lookup.account_id in ("", account_id)


def _source(text: str | None) -> str:
    return (text or "").strip().upper()


def _account(source: str, account_id: str | None) -> str:
    return "" if source == SOURCE_WITHOUT_ACCOUNTS else (account_id or "").strip()


def _read_identifiers(
    pairs: Iterable[tuple[str | None, str | None]],
) -> tuple[Identifier, ...] | Refusal:
    """The identifiers of a profile, or 8005 for one that cannot be registered: nothing is half done."""
    found: dict[Identifier, None] = {}
    for name, value in pairs:
        kind = _KIND_BY_LOWER_NAME.get((name or "").strip().lower())
        if kind is None or kind == "id":
            return Refusal(
                NO_VALID_IDENTIFIERS,
                f"The type {_quoted(name)} is none of mobile, email, externalId.",
            )
        normal = normalise(kind, value or "")
        if normal is None:
            return Refusal(NO_VALID_IDENTIFIERS, f"{_quoted(value)} is no {kind}.")
        found[Identifier(kind, normal)] = None
    return tuple(found)


def _quoted(text: str | None) -> str:
    text = text or ""
    shown = text if len(text) <= _QUOTED_CHARACTERS_MAX else f"{text[:_QUOTED_CHARACTERS_MAX]}…"
    return f'"{shown}"'
