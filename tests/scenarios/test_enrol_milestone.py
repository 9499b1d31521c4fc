"""Enrol and re-enrol in a milestone: seed 000, sub-cases 1 to 5, each of their points.

A milestone ABC has five cycles, c1 to c5: June to October 2026.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.harness import Org
from tests.scenarios.vocabulary import (
    ACCEPTED,
    ALREADY_ENROLLED,
    PERIOD_NOT_FOUND,
    define_milestone,
    names,
)


def test_sub_case_1_point_1_enrolled_in_c1_from_its_beginning_the_customer_is_in_all_cycles(
    org: Org,
) -> None:
    abc, ann = define_milestone(org), org.register()
    assert org.now() == "2026-06-01T00:00:00Z"
    assert abc.enrol(ann, "c1") == ACCEPTED
    assert abc.covered(ann) == names(1, 5)
    assert abc.values(ann) == [0, 0, 0, 0, 0]


@pytest.mark.parametrize("from_enrolment_on", [False, True])
def test_sub_case_1_point_2_enrolled_in_the_middle_of_c1_the_customer_is_in_it_and_all_later_ones(
    org: Org, from_enrolment_on: bool
) -> None:
    abc = define_milestone(org, trackFromEnrolmentDate=from_enrolment_on)
    ann = org.register()
    org.move_clock("2026-06-17T09:30:00Z")
    assert abc.enrol(ann, "c1", initialBalance=120) == ACCEPTED
    assert abc.covered(ann) == names(1, 5)
    # Whatever the setting says of earlier activity, the balance is what the customer starts with.
    assert abc.values(ann) == [120, 0, 0, 0, 0]
    assert {row["enrolledOnISO"] for row in abc.rows(ann)} == {"2026-06-17T09:30:00Z"}


def test_sub_case_2_point_1_enrolled_at_the_very_start_of_c3_the_customer_is_in_all_from_c3(
    org: Org,
) -> None:
    abc, ann = define_milestone(org), org.register()
    org.move_clock("2026-08-01T00:00:00Z")
    assert abc.enrol(ann, "c3") == ACCEPTED
    assert abc.covered(ann) == names(3, 5)


@pytest.mark.parametrize("from_enrolment_on", [False, True])
def test_sub_case_2_point_2_enrolled_in_the_middle_of_c3_it_is_as_with_c1(
    org: Org, from_enrolment_on: bool
) -> None:
    abc = define_milestone(org, trackFromEnrolmentDate=from_enrolment_on)
    ann = org.register()
    org.move_clock("2026-08-20T23:59:59.999Z")
    assert abc.enrol(ann, "c3", initialBalance=120) == ACCEPTED
    assert abc.covered(ann) == names(3, 5)
    assert abc.values(ann) == [0, 0, 120, 0, 0]


@pytest.mark.parametrize("cycle", names(1, 5))
def test_sub_case_3_point_1_with_an_initial_balance_of_300_just_700_of_1000_are_missing(
    org: Org, cycle: str
) -> None:
    abc, ann = define_milestone(org, asked=1000), org.register()
    assert abc.enrol(ann, cycle, initialBalance=300) == ACCEPTED
    assert abc.value(ann, cycle) == 300
    assert abc.missing(ann, cycle) == 700
    later = names(int(cycle[1:]) + 1, 5)
    assert [abc.missing(ann, each) for each in later] == [1000] * len(later)
    assert abc.rewards(ann) == []


@pytest.mark.parametrize(
    ("point", "balance", "value"), [("3.1", 0, 0), ("3.2", 150, 150), ("3.3", None, 250)]
)
def test_sub_case_3_point_3_unenrolled_in_c4_at_250_a_balance_replaces_it_and_null_resumes_it(
    org: Org, point: str, balance: int | None, value: int
) -> None:
    abc, ann = define_milestone(org), org.register()
    org.move_clock("2026-09-05T12:00:00Z")
    assert abc.enrol(ann, "c4", initialBalance=250) == ACCEPTED
    org.move_clock("2026-09-12T12:00:00Z")
    assert abc.unenrol(ann) == ACCEPTED
    assert abc.covered(ann) == []
    org.move_clock("2026-09-20T12:00:00Z")
    assert abc.enrol(ann, "c4", initialBalance=balance) == ACCEPTED
    assert abc.value(ann, "c4") == value
    assert abc.missing(ann, "c4") == 1000 - value
    assert abc.covered(ann) == ["c4", "c5"]


def test_sub_case_3_point_3_an_absent_balance_resumes_as_null_does(org: Org) -> None:
    abc, ann = define_milestone(org), org.register()
    assert abc.enrol(ann, "c1", initialBalance=250) == ACCEPTED
    assert abc.unenrol(ann) == ACCEPTED
    assert abc.enrol(ann, "c1") == ACCEPTED
    assert abc.value(ann, "c1") == 250


def test_sub_case_4_nobody_can_be_enrolled_in_c3_alone(org: Org) -> None:
    abc, ann = define_milestone(org), org.register()
    assert abc.enrol(ann, "c3") == ACCEPTED
    assert abc.covered(ann) == names(3, 5)
    # Leaving takes c3 along with the rest, until it has ended.
    assert abc.unenrol(ann) == ACCEPTED
    assert abc.covered(ann) == []


PERIOD_NAMES: list[dict[str, Any]] = [
    {},
    {"periodName": None},
    {"periodName": ""},
    {"periodName": " \t "},
]


@pytest.mark.parametrize("name", PERIOD_NAMES, ids=["absent", "null", "empty", "blank"])
def test_sub_case_5_point_1_without_a_name_on_23_july_the_customer_is_in_c2_to_c5(
    org: Org, name: dict[str, Any]
) -> None:
    abc, ann = define_milestone(org), org.register()
    org.move_clock("2026-07-23T00:00:00Z")
    assert abc.enrol(ann, **name, initialBalance=40) == ACCEPTED
    assert abc.covered(ann) == names(2, 5)
    assert abc.values(ann) == [0, 40, 0, 0, 0]


WITH_GAPS = [
    {"refCode": "spring", "startDate": "2026-04-01", "endDate": "2026-04-30"},
    {"refCode": "summer", "startDate": "2026-07-01", "endDate": "2026-07-31"},
    {"refCode": "autumn", "startDate": "2026-10-01", "endDate": "2026-10-31"},
]


@pytest.mark.parametrize("name", PERIOD_NAMES, ids=["absent", "null", "empty", "blank"])
def test_sub_case_5_point_2_without_a_name_and_no_cycle_running_it_is_the_nearest_upcoming_one(
    org: Org, name: dict[str, Any]
) -> None:
    abc = define_milestone(org, periods=WITH_GAPS)
    ann, ben = org.register(), org.register()
    assert abc.enrol(ann, **name, initialBalance=40) == ACCEPTED
    assert abc.covered(ann) == ["summer", "autumn"]
    assert abc.value(ann, "summer") == 40
    org.move_clock("2026-08-01T00:00:00Z")
    assert abc.enrol(ben, **name) == ACCEPTED
    assert abc.covered(ben) == ["autumn"]


@pytest.mark.parametrize("name", PERIOD_NAMES, ids=["absent", "null", "empty", "blank"])
def test_sub_case_5_point_2_1_without_a_name_and_no_upcoming_cycle_either_it_is_an_error(
    org: Org, name: dict[str, Any]
) -> None:
    abc, ann = define_milestone(org), org.register()
    org.move_clock("2026-11-01T00:00:00Z")
    assert abc.enrol(ann, **name) == PERIOD_NOT_FOUND
    assert abc.covered(ann) == []


def test_of_ten_calls_for_ten_cycles_the_first_succeeds_and_the_others_change_nothing(
    org: Org,
) -> None:
    abc, ann = define_milestone(org, cycles=10), org.register()
    outcomes = [abc.enrol(ann, cycle, initialBalance=n) for n, cycle in enumerate(names(1, 10))]
    assert outcomes == [ACCEPTED] + [ALREADY_ENROLLED] * 9
    assert abc.covered(ann) == names(1, 10)
    assert abc.values(ann) == [0] * 10
    assert abc.told(ann) == [("ENROLLED", "ENROLLED")]
