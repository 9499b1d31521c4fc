"""`isValidName` (milestones §3.5, CHK): which names are free in an organisation."""

from __future__ import annotations

import pytest

from milepost.errors import INVALID_NAME_TYPE
from milepost.rules.names import name_is_free, name_key
from tests.rules.drafts import accepted, defined, milestone, organisation, refused, streak, target

RUN = defined(streak())
SALE = defined(
    milestone(name="Straße", active=False, user_created=True, targets=(target(active=False),)), RUN
)
ORGANISATION = organisation(RUN, SALE)


@pytest.mark.parametrize(
    ("kind", "taken"),
    [
        ("targetGroupName", ["Morning run", "MORNING RUN", "STRASSE"]),
        ("streakName", ["morning RUN", "straße"]),
        ("targetName", ["Run", "SPEND"]),
        ("streakLevelName", ["bronze", "GOLD"]),
        ("periodName", ["May", "JUNE"]),
    ],
)
def test_a_name_is_taken_whatever_its_case_by_inactive_and_user_created_groups_too(
    kind: str, taken: list[str]
) -> None:
    for name in taken:
        assert name_is_free(ORGANISATION, kind, name) is False
    assert name_is_free(ORGANISATION, kind, "Something else") is True


def test_names_of_one_kind_are_free_for_another() -> None:
    assert name_is_free(ORGANISATION, "targetGroupName", "Spend") is True
    assert name_is_free(ORGANISATION, "targetName", "Gold") is True
    assert name_is_free(ORGANISATION, "streakLevelName", "Run") is True


@pytest.mark.parametrize("kind", ["targetGroupName", "streakName", "targetName", "streakLevelName"])
@pytest.mark.parametrize("name", ["", " ", " New", "New ", "x" * 201, "a\0b", "\ud800"])
def test_a_name_that_no_definition_may_have_is_not_free(kind: str, name: str) -> None:
    assert name_is_free(ORGANISATION, kind, name) is False


def test_a_period_name_may_have_blanks_around_it_but_not_only_those() -> None:
    assert name_is_free(ORGANISATION, "periodName", " May ") is True
    assert name_is_free(ORGANISATION, "periodName", " ") is False


@pytest.mark.parametrize("kind", [None, "", "name", "targetGroup", "target name", "\ud800"])
def test_an_unknown_kind_of_name_is_refused(kind: str | None) -> None:
    refused(name_is_free(ORGANISATION, kind, "New"), INVALID_NAME_TYPE)


def test_the_kind_is_taken_in_any_case() -> None:
    assert accepted(name_is_free(ORGANISATION, "TARGETNAME", "New"))


def test_the_key_of_a_name_forgets_its_case_only() -> None:
    assert name_key("Straße") == name_key("STRASSE")
    assert name_key("Spend") != name_key("Spend ")
