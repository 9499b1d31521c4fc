"""The worked scenarios of the domain document's appendix B, by their number.

Rows 1 to 4 are seed 000's sub-cases 1 to 3 (test_enrol_milestone.py), rows 6 and 8 seed 003's case 1
(test_unenrol_milestone.py), rows 9 to 12 are told in test_streak.py.
"""

from __future__ import annotations

import pytest

from milepost.api.routes import PREFIXES
from tests.harness import Org, Service
from tests.scenarios.vocabulary import (
    ACCEPTED,
    ALREADY_ENROLLED,
    INVALID_INPUT,
    INVALID_USER,
    NOT_ENROLLED,
    PERIOD_NOT_FOUND,
    define_milestone,
    define_streak,
    names,
    outcome,
)


def test_scenario_1_and_2_five_cycles_enrolled_at_the_start_of_c1_and_of_c3(org: Org) -> None:
    abc, ann, ben = define_milestone(org), org.register(), org.register()
    assert abc.enrol(ann, "c1") == ACCEPTED
    assert abc.covered(ann) == ["c1", "c2", "c3", "c4", "c5"]
    org.move_clock("2026-08-01T00:00:00Z")
    assert abc.enrol(ben, "c3") == ACCEPTED
    assert abc.covered(ben) == ["c3", "c4", "c5"]


def test_scenario_13_enrolled_and_enrolled_again_in_the_same_cycle(org: Org) -> None:
    abc, ann = define_milestone(org), org.register()
    assert abc.enrol(ann, "c1") == ACCEPTED
    assert abc.enrol(ann, "c1") == ALREADY_ENROLLED


def test_scenario_14_unenrolled_without_ever_being_enrolled(org: Org) -> None:
    abc, streak, ann = define_milestone(org), define_streak(org), org.register()
    assert abc.unenrol(ann) == NOT_ENROLLED
    assert streak.unenrol(ann) == NOT_ENROLLED


def test_scenario_15_an_unknown_customer_and_an_unknown_cycle(org: Org) -> None:
    abc, ann = define_milestone(org), org.register()
    assert abc.enrol(ann + 1, "c1") == INVALID_USER
    assert abc.unenrol(ann + 1) == INVALID_USER
    assert abc.enrol(ann, "c6") == PERIOD_NOT_FOUND


@pytest.mark.parametrize("prefix", [prefix for prefix in PREFIXES if prefix != "/v3"])
def test_scenario_16_enrolment_for_all_connected_organisations(org: Org, prefix: str) -> None:
    abc, ann = define_milestone(org), org.register()
    path = f"{prefix}/targetGroups/{abc.group_id}/targets/{abc.target_id}/enroll"
    response = org.post(path, [{"customerId": ann}], headers={"DATA-SCOPE": "ALL"})
    assert outcome(response, ann) == 310141
    assert abc.covered(ann) == []


def test_scenario_19_two_objects_in_the_array(org: Org) -> None:
    abc, ann, ben = define_milestone(org), org.register(), org.register()
    path = f"/v3/targetGroups/{abc.group_id}/targets/{abc.target_id}/enroll"
    response = org.post(path, [{"customerId": ann}, {"customerId": ben}])
    assert outcome(response, ann) == INVALID_INPUT
    assert abc.covered(ann) == abc.covered(ben) == []


def test_scenario_20_a_daily_group_created_at_11_00_ends_its_first_cycle_the_same_day(
    service: Service,
) -> None:
    org = service.new_org(now="2026-06-01T11:00:00+05:30", timeZone="Asia/Kolkata")
    abc = define_milestone(org, frequencyType="DAILY", frequency=1, recurringCycles=3)
    ann = org.register()
    assert abc.enrol(ann) == ACCEPTED
    first, second, third = abc.rows(ann)
    assert first["periodRefCode"] == f"PERIOD_G_{abc.group_id}_1"
    assert first["periodStartDateWithTimeStampISO"] == "2026-06-01T11:00:00+05:30"
    assert first["periodEndDateWithTimeStampISO"] == "2026-06-01T23:59:59+05:30"
    assert (first["periodStartDate"], first["periodEndDate"]) == ("2026-06-01", "2026-06-01")
    assert second["periodStartDateWithTimeStampISO"] == "2026-06-02T00:00:00+05:30"
    assert third["periodEndDateWithTimeStampISO"] == "2026-06-03T23:59:59+05:30"
    assert len(abc.covered(ann)) == len(names(1, 3))
