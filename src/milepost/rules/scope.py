"""Connected organisations: on whose behalf a request acts, and whose rows it reads (contract §8).

A parent has children and no parent; sharing is vertical only, so no child reaches another. What the scope
headers ask for is read once; whom it reaches depends on the caller and on whether it writes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from milepost.errors import CONNECTED_ORGS_NOT_SET, DATA_SCOPE_ALL_UNSUPPORTED, Refusal
from milepost.rules.frozen import dataclass

SELF, OTHER, ALL = "SELF", "OTHER", "ALL"
READ_CHILDREN_MAX = 2
"""Children that one read may reach."""

_ID = re.compile(r"[0-9]{1,18}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Scope:
    """What the headers ask for: `word` is SELF, OTHER or ALL, `org_ids` whom OTHER names, each once."""

    word: str = SELF
    org_ids: tuple[int, ...] = ()


OWN = Scope()


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """A caller's place: its root (itself, unless it is a child) and the root's children, oldest first."""

    org_id: int
    root_org_id: int
    child_ids: tuple[int, ...]


def read_scope(scopes: Sequence[str], orgs: Sequence[str]) -> Scope | Refusal:
    """What the values of DATA-SCOPE and of the headers that name organisations ask for.

    DATA-SCOPE is case-insensitive; absent or blank = SELF, which ignores `orgs`. An unknown scope, several
    that differ, `orgs` that differ or are no ids → 310144.
    """
    words = {word.strip().upper() for word in scopes} - {""}
    if words <= {SELF}:
        return OWN
    if words == {ALL}:
        return Scope(ALL)
    if words != {OTHER}:
        return Refusal(CONNECTED_ORGS_NOT_SET)
    named = [[part.strip() for part in text.split(",") if part.strip()] for text in orgs]
    if any(not _ID.fullmatch(part) for ids in named for part in ids):
        return Refusal(CONNECTED_ORGS_NOT_SET)
    lists = {tuple(sorted({int(part) for part in ids})) for ids in named} - {()}
    if len(lists) != 1:
        return Refusal(CONNECTED_ORGS_NOT_SET)
    return Scope(OTHER, lists.pop())


def written_org(scope: Scope, hierarchy: Hierarchy) -> int | Refusal:
    """The organisation that a write acts for.

    OTHER: the parent's caller names exactly one child. ALL → 310141, anything else → 310144.
    """
    if scope.word == SELF:
        return hierarchy.org_id
    if scope.word == ALL:
        return Refusal(DATA_SCOPE_ALL_UNSUPPORTED)
    if len(scope.org_ids) == 1 and scope.org_ids[0] in _children(hierarchy):
        return scope.org_ids[0]
    return Refusal(CONNECTED_ORGS_NOT_SET)


def read_orgs(scope: Scope, hierarchy: Hierarchy) -> tuple[int, ...] | Refusal:
    """The organisations that a read reaches, the parent first.

    OTHER: one or two children of the caller, or the caller itself if it is a child. ALL: the parent and its
    children, should it have any; of a child, itself and its parent. More than two children → 310144.
    """
    is_child = hierarchy.org_id != hierarchy.root_org_id
    if scope.word == SELF:
        return (hierarchy.org_id,)
    if scope.word == ALL:
        if is_child:
            return (hierarchy.root_org_id, hierarchy.org_id)
        if len(hierarchy.child_ids) <= READ_CHILDREN_MAX:
            return (hierarchy.org_id, *hierarchy.child_ids)
        return Refusal(CONNECTED_ORGS_NOT_SET)
    reachable = (hierarchy.org_id,) if is_child else hierarchy.child_ids
    if len(scope.org_ids) <= READ_CHILDREN_MAX and set(scope.org_ids) <= set(reachable):
        return scope.org_ids
    return Refusal(CONNECTED_ORGS_NOT_SET)


def read_org(scope: Scope, hierarchy: Hierarchy) -> int | Refusal:
    """The organisation that a read of only one reaches. ALL → 310141, two children → 310144."""
    if scope.word == ALL:
        return Refusal(DATA_SCOPE_ALL_UNSUPPORTED)
    reached = read_orgs(scope, hierarchy)
    if isinstance(reached, Refusal):
        return reached
    return reached[0] if len(reached) == 1 else Refusal(CONNECTED_ORGS_NOT_SET)


def _children(hierarchy: Hierarchy) -> tuple[int, ...]:
    """Those that the caller may act for: a child has none."""
    return hierarchy.child_ids if hierarchy.org_id == hierarchy.root_org_id else ()
