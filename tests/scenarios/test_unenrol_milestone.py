"""Unenrol from a milestone: seed 003, case 1, each sub-case and point; contract §4 rule 7.

A milestone ABC has five cycles, c1 to c5: June to October 2026.
"""

from __future__ import annotations

import pytest

from tests.harness import Org
from tests.scenarios.vocabulary import (
    ACCEPTED,
    NOT_ENROLLED,
    PERIOD_NOT_FOUND,
    define_milestone,
    names,
)


def test_sub_case_1_point_1_unenrolled_in_the_middle_of_c1_the_customer_is_out_of_all_cycles(
    org: Org,
) -> None:
    abc, ann = define_milestone(org), org.register()
    assert abc.enrol(ann, "c1") == ACCEPTED
    assert abc.covered(ann) == names(1, 5)
    org.move_clock("2026-06-15T12:00:00Z")
    assert abc.unenrol(ann) == ACCEPTED
    assert abc.covered(ann) == []
    # Time gives nothing back.
    org.move_clock("2026-11-15T12:00:00Z")
    assert abc.covered(ann) == []


def test_sub_case_1_point_2_a_customer_who_achieved_before_leaving_keeps_the_immediate_reward(
    org: Org,
) -> None:
    abc, ann = define_milestone(org, rewardAllocation="IMMEDIATE"), org.register()
    assert abc.enrol(ann, "c1", initialBalance=1000) == ACCEPTED
    assert abc.rewards(ann) == [("Voucher", "c1", 1)]
    org.move_clock("2026-06-15T12:00:00Z")
    assert abc.unenrol(ann) == ACCEPTED
    assert abc.rewards(ann) == [("Voucher", "c1", 1)]
    assert abc.covered(ann) == []
    assert abc.told(ann) == [
        ("ENROLLED", "ENROLLED"),
        ("ACHIEVED", "INITIAL_BALANCE"),
        ("REWARDED", "ACHIEVED_BY_BALANCE"),
        ("UNENROLLED", "LEFT"),
    ]


def test_sub_case_1_point_2_1_with_period_end_rewards_who_leaves_c1_gets_none_for_it(
    org: Org,
) -> None:
    abc, ann = define_milestone(org, rewardAllocation="PERIOD_END"), org.register()
    assert abc.enrol(ann, "c1", initialBalance=1000) == ACCEPTED
    assert abc.achieved(ann) == ["c1"]
    assert abc.rewards(ann) == []
    org.move_clock("2026-06-15T12:00:00Z")
    assert abc.unenrol(ann) == ACCEPTED
    org.move_clock("2026-11-15T12:00:00Z")
    assert abc.rewards(ann) == []
    left = abc.journal(ann)[-1]
    assert left["what"] == "UNENROLLED"
    assert "period-end reward for c1 is lost" in left["why"]


def test_sub_case_2_point_1_unenrolled_in_c3_the_rewards_of_c1_and_c2_stay(org: Org) -> None:
    abc, ann = define_milestone(org), org.register()
    assert abc.enrol(ann, "c2", initialBalance=1000) == ACCEPTED
    assert abc.enrol(ann, "c1", initialBalance=1200) == ACCEPTED
    org.move_clock("2026-08-15T12:00:00Z")
    before = abc.rewards(ann)
    assert sorted(before) == [("Voucher", "c1", 1), ("Voucher", "c2", 1)]
    assert abc.unenrol(ann) == ACCEPTED
    assert abc.rewards(ann) == before
    assert abc.values(ann) == [1200, 1000, 0, 0, 0]
    assert abc.achieved(ann) == ["c1", "c2"]


@pytest.mark.parametrize(
    "left_at", ["2026-08-01T00:00:00Z", "2026-08-15T12:00:00Z", "2026-08-31T23:59:59.999Z"]
)
def test_sub_case_2_point_2_unenrolled_in_c3_the_customer_is_out_of_c3_to_the_end(
    org: Org, left_at: str
) -> None:
    abc, ann = define_milestone(org), org.register()
    assert abc.enrol(ann, "c1") == ACCEPTED
    org.move_clock(left_at)
    assert abc.unenrol(ann) == ACCEPTED
    assert abc.covered(ann) == ["c1", "c2"]


@pytest.mark.parametrize(
    ("allocation", "granted"), [("IMMEDIATE", [("Voucher", "c3", 1)]), ("PERIOD_END", [])]
)
def test_sub_case_2_point_3_what_was_achieved_in_c3_is_kept_or_lost_as_in_sub_case_1(
    org: Org, allocation: str, granted: list[tuple[str, str, int]]
) -> None:
    abc, ann = define_milestone(org, rewardAllocation=allocation), org.register()
    org.move_clock("2026-08-03T00:00:00Z")
    assert abc.enrol(ann, "c3", initialBalance=1000) == ACCEPTED
    assert abc.rewards(ann) == granted
    assert abc.unenrol(ann) == ACCEPTED
    assert abc.rewards(ann) == granted
    assert abc.covered(ann) == []


def test_leaving_between_two_cycles_keeps_the_one_that_ended_and_leaves_the_next(org: Org) -> None:
    spring = {"refCode": "spring", "startDate": "2026-06-01", "endDate": "2026-06-30"}
    autumn = {"refCode": "autumn", "startDate": "2026-09-01", "endDate": "2026-09-30"}
    abc, ann = define_milestone(org, periods=[spring, autumn]), org.register()
    assert abc.enrol(ann, "spring", initialBalance=700) == ACCEPTED
    org.move_clock("2026-07-15T00:00:00Z")
    assert abc.unenrol(ann) == ACCEPTED
    assert abc.covered(ann) == ["spring"]
    assert abc.values(ann) == [700, 0]


def test_who_enrolled_ahead_of_time_can_leave_before_the_cycle_begins(org: Org) -> None:
    abc, ann = define_milestone(org), org.register()
    assert abc.enrol(ann, "c4") == ACCEPTED
    assert abc.unenrol(ann) == ACCEPTED
    assert abc.covered(ann) == []


def test_who_comes_back_later_has_the_cycles_before_and_after_and_none_in_between(
    org: Org,
) -> None:
    abc, ann = define_milestone(org), org.register()
    assert abc.enrol(ann, "c1", initialBalance=10) == ACCEPTED
    org.move_clock("2026-07-10T00:00:00Z")
    assert abc.unenrol(ann) == ACCEPTED
    org.move_clock("2026-08-10T00:00:00Z")
    # c2 has ended: it was left, and nothing brings it back.
    assert abc.enrol(ann, "c2") == PERIOD_NOT_FOUND
    assert abc.enrol(ann, "c4", initialBalance=40) == ACCEPTED
    assert abc.covered(ann) == ["c1", "c4", "c5"]
    assert abc.values(ann) == [10, 0, 0, 40, 0]
    assert abc.enrol(ann, "c3", initialBalance=30) == ACCEPTED
    assert abc.covered(ann) == ["c1", "c3", "c4", "c5"]
    assert abc.values(ann) == [10, 0, 30, 40, 0]


def test_with_nothing_left_to_leave_or_never_enrolled_it_is_310126(org: Org) -> None:
    abc, ann, ben = define_milestone(org), org.register(), org.register()
    assert abc.unenrol(ann) == NOT_ENROLLED
    assert abc.enrol(ann, "c1") == ACCEPTED
    assert abc.unenrol(ann) == ACCEPTED
    assert abc.unenrol(ann) == NOT_ENROLLED
    assert abc.enrol(ben, "c1") == ACCEPTED
    org.move_clock("2026-11-01T00:00:00Z")
    assert abc.unenrol(ben) == NOT_ENROLLED
    assert abc.covered(ben) == names(1, 5)
