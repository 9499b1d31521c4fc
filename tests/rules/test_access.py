"""What a credential may do, and where a till's access comes from."""

import pytest

from milepost.rules.access import (
    RESOURCES,
    Access,
    Grants,
    all_named,
    effective_access,
    exceeds,
    may,
    unknown_resource,
)

EVERYTHING = dict.fromkeys(RESOURCES, "WRITE")
OWN, STORE, DEFAULT = {"Card": "READ"}, {"Store": "READ"}, {"Staff": "READ"}


@pytest.mark.parametrize(
    ("granted", "reads", "writes"),
    [("NONE", False, False), ("READ", True, False), ("WRITE", True, True), (None, False, False)],
)
def test_to_write_is_to_read_and_what_is_not_named_is_none(
    granted: str | None, reads: bool, writes: bool
) -> None:
    access = {"Customer": granted} if granted else {}
    assert (may(access, "Customer", "READ"), may(access, "Customer", "WRITE")) == (reads, writes)
    assert not may(access, "Card", "READ")


def test_without_any_access_said_everything_may_be_done() -> None:
    assert may(None, "Customer", "WRITE")


@pytest.mark.parametrize(
    ("grants", "expected"),
    [
        (Grants(OWN), OWN),
        (Grants(OWN, store=STORE, default=DEFAULT), OWN),
        (Grants({}, store=STORE, default=DEFAULT), {}),
        (Grants(None, store=STORE, default=DEFAULT), None),
        (Grants(None, True, STORE, DEFAULT), STORE),
        (Grants(None, True, {}, DEFAULT), {}),
        (Grants(None, True, None, DEFAULT), DEFAULT),
        (Grants(None, True), None),
    ],
)
def test_a_till_has_its_own_access_else_its_stores_else_the_default_else_everything(
    grants: Grants, expected: Access | None
) -> None:
    assert effective_access(grants) == expected


@pytest.mark.parametrize(
    ("access", "other", "more"),
    [
        (None, None, False),
        (EVERYTHING, None, False),
        (None, EVERYTHING, False),
        (None, {**EVERYTHING, "Labels": "READ"}, True),
        (None, {}, True),
        ({}, {}, False),
        ({"Card": "NONE"}, {}, False),
        ({"Card": "READ"}, {}, True),
        ({"Card": "READ"}, {"Card": "WRITE"}, False),
        ({"Card": "WRITE"}, {"Card": "READ"}, True),
        ({"Card": "READ"}, {"Customer": "WRITE"}, True),
    ],
)
def test_access_exceeds_another_when_it_allows_anything_more(
    access: Access | None, other: Access | None, more: bool
) -> None:
    assert exceeds(access, other) is more


def test_resources_are_named_completely_and_unknown_ones_found() -> None:
    assert all_named(OWN) == {**dict.fromkeys(RESOURCES, "NONE"), "Card": "READ"}
    assert unknown_resource(OWN) is None
    assert unknown_resource({"Card": "READ", "Cards": "READ"}) == "Cards"
