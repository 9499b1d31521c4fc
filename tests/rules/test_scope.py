"""On whose behalf a request acts, and whose rows it reads: contract §8, domain: platform §4.5."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milepost.errors import (
    CONNECTED_ORGS_NOT_SET,
    DATA_SCOPE_ALL_UNSUPPORTED,
    Error,
    Refusal,
)
from milepost.rules.scope import (
    OWN,
    Hierarchy,
    Scope,
    read_org,
    read_orgs,
    read_scope,
    written_org,
)

NOT_SET, UNSUPPORTED = CONNECTED_ORGS_NOT_SET, DATA_SCOPE_ALL_UNSUPPORTED
PARENT = Hierarchy(1, 1, (2, 3))
CHILD = Hierarchy(2, 1, (2, 3))
LARGE_PARENT = Hierarchy(1, 1, (2, 3, 4))
CHILD_OF_LARGE = Hierarchy(3, 1, (2, 3, 4))
ALONE = Hierarchy(9, 9, ())
ALL = Scope("ALL")


def other(*org_ids: int) -> Scope:
    return Scope("OTHER", org_ids)


def error_of(found: object) -> object:
    return found.error if isinstance(found, Refusal) else found


@pytest.mark.parametrize(
    ("scopes", "orgs", "expected"),
    [
        ([], [], OWN),
        ([""], [], OWN),
        ([" self "], ["nonsense", "7"], OWN),
        (["SELF", ""], [], OWN),
        (["all"], ["1,2"], ALL),
        (["Other"], ["2"], other(2)),
        (["OTHER"], [" 2 , 3 ,"], other(2, 3)),
        (["OTHER"], ["3,2,3"], other(2, 3)),
        (["OTHER", "other"], ["2"], other(2)),
        (["OTHER"], ["2", "2"], other(2)),
        (["OTHER"], ["2", ""], other(2)),
        (["OTHER"], ["2", "3"], NOT_SET),
        (["OTHER"], [], NOT_SET),
        (["OTHER"], [" , "], NOT_SET),
        (["OTHER"], ["two"], NOT_SET),
        (["OTHER"], ["-2"], NOT_SET),
        (["OTHER"], ["२"], NOT_SET),
        (["OTHER"], ["9" * 40], NOT_SET),
        (["SELF", "ALL"], [], NOT_SET),
        (["EVERYBODY"], [], NOT_SET),
    ],
)
def test_the_scope_headers(scopes: list[str], orgs: list[str], expected: Scope | Error) -> None:
    assert error_of(read_scope(scopes, orgs)) == expected


@pytest.mark.parametrize(
    ("scope", "hierarchy", "expected"),
    [
        (OWN, PARENT, 1),
        (OWN, CHILD, 2),
        (OWN, ALONE, 9),
        (other(2), PARENT, 2),
        (other(3), LARGE_PARENT, 3),
        (other(1), PARENT, NOT_SET),
        (other(9), PARENT, NOT_SET),
        (other(2, 3), PARENT, NOT_SET),
        (other(2), CHILD, NOT_SET),
        (other(3), CHILD, NOT_SET),
        (other(1), CHILD, NOT_SET),
        (other(9), ALONE, NOT_SET),
        (ALL, PARENT, UNSUPPORTED),
        (ALL, CHILD, UNSUPPORTED),
        (ALL, ALONE, UNSUPPORTED),
    ],
)
def test_a_write_acts_for_the_caller_or_for_exactly_one_child_of_it(
    scope: Scope, hierarchy: Hierarchy, expected: int | Error
) -> None:
    assert error_of(written_org(scope, hierarchy)) == expected


READS = [
    (OWN, PARENT, (1,)),
    (OWN, CHILD, (2,)),
    (other(2), PARENT, (2,)),
    (other(2, 3), PARENT, (2, 3)),
    (other(2, 3, 4), LARGE_PARENT, NOT_SET),
    (other(1), PARENT, NOT_SET),
    (other(2, 9), PARENT, NOT_SET),
    (other(2), CHILD, (2,)),
    (other(3), CHILD, NOT_SET),
    (other(1), CHILD, NOT_SET),
    (other(2, 3), CHILD, NOT_SET),
    (other(9), ALONE, NOT_SET),
    (ALL, PARENT, (1, 2, 3)),
    (ALL, LARGE_PARENT, NOT_SET),
    (ALL, CHILD, (1, 2)),
    (ALL, CHILD_OF_LARGE, (1, 3)),
    (ALL, ALONE, (9,)),
]


@pytest.mark.parametrize(("scope", "hierarchy", "expected"), READS)
def test_a_read_reaches_the_organisations_of_the_table(
    scope: Scope, hierarchy: Hierarchy, expected: tuple[int, ...] | Error
) -> None:
    assert error_of(read_orgs(scope, hierarchy)) == expected


@pytest.mark.parametrize(("scope", "hierarchy", "expected"), READS)
def test_a_read_of_one_organisation_takes_one_and_no_all(
    scope: Scope, hierarchy: Hierarchy, expected: tuple[int, ...] | Error
) -> None:
    if scope == ALL:
        wanted: object = UNSUPPORTED
    else:
        wanted = expected[0] if isinstance(expected, tuple) and len(expected) == 1 else NOT_SET
    assert error_of(read_org(scope, hierarchy)) == wanted


@given(
    st.sampled_from([OWN, ALL])
    | st.sets(st.integers(1, 9), min_size=1).map(lambda ids: other(*sorted(ids))),
    st.sampled_from([PARENT, CHILD, LARGE_PARENT, CHILD_OF_LARGE, ALONE]),
)
def test_nobody_reaches_past_the_own_branch(scope: Scope, hierarchy: Hierarchy) -> None:
    is_child = hierarchy.org_id != hierarchy.root_org_id
    branch = {hierarchy.org_id, hierarchy.root_org_id}
    branch |= set() if is_child else set(hierarchy.child_ids)
    reached = read_orgs(scope, hierarchy)
    if not isinstance(reached, Refusal):
        assert reached
        assert branch.issuperset(reached)
    written = written_org(scope, hierarchy)
    if not isinstance(written, Refusal):
        assert written in branch
        assert not is_child or written == hierarchy.org_id
