"""Streaks: seed 000 sub-case 6, seed 003 case 2, contract §4 rules 3 and 6.

A streak has thirty cycles, c1 to c30: the days of June 2026; its levels ask for 4, 8 and 12 of them.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.harness import Org
from tests.scenarios.vocabulary import (
    ACCEPTED,
    ALREADY_ENROLLED,
    INVALID_INPUT,
    NOT_ENROLLED,
    PERIOD_NOT_FOUND,
    define_streak,
    names,
)

BENEFITS = ["Benefit of l1", "Benefit of l2"]


@pytest.mark.parametrize("name", [{}, {"periodName": "c7"}, {"periodName": "no such cycle"}])
def test_sub_case_6_point_1_no_name_is_needed_and_the_customer_is_in_all_the_cycles(
    org: Org, name: dict[str, Any]
) -> None:
    streak, ann = define_streak(org), org.register()
    assert streak.enrol(ann, **name) == ACCEPTED
    assert streak.covered(ann) == names(1, 30)
    assert streak.levels(ann) == {"l1": "INPROGRESS", "l2": "INPROGRESS", "l3": "INPROGRESS"}
    assert streak.counter(ann) == 0


def test_sub_case_6_point_2_the_initial_balance_is_not_applicable(org: Org) -> None:
    streak, ann = define_streak(org), org.register()
    assert streak.enrol(ann, initialBalance=1000) == ACCEPTED
    assert streak.values(ann) == [0] * 30
    assert streak.achieved(ann) == []
    assert streak.rewards(ann) == []


@pytest.mark.parametrize(
    "reset", [{"resetStreakStatus": False}, {}, {"resetStreakStatus": None}], ids=str
)
def test_sub_case_6_point_3_1_re_enrolled_without_reset_l1_and_l2_stay_and_l3_is_next(
    org: Org, reset: dict[str, Any]
) -> None:
    streak, ann = define_streak(org, levels=(2, 4, 6, 8)), org.register()
    assert streak.enrol(ann) == ACCEPTED
    streak.meet(ann, names(1, 4))
    org.move_clock("2026-06-05T12:00:00Z")
    achieved = {"l1": "ACHIEVED", "l2": "ACHIEVED", "l3": "INPROGRESS", "l4": "INPROGRESS"}
    assert streak.levels(ann) == achieved
    assert streak.unenrol(ann) == ACCEPTED
    # Cycles missed while unenrolled don't break the run.
    org.move_clock("2026-06-10T12:00:00Z")
    assert streak.enrol(ann, **reset) == ACCEPTED
    assert streak.levels(ann) == achieved
    assert streak.counter(ann) == 4
    assert [reward for reward, _, _ in streak.rewards(ann)] == BENEFITS
    # Two more cycles make six, the count of l3.
    streak.meet(ann, ["c10", "c11"])
    assert streak.counter(ann) == 6
    assert streak.levels(ann)["l3"] == "ACHIEVED"


def test_sub_case_6_point_3_2_re_enrolled_with_reset_l1_and_l2_must_be_achieved_again(
    org: Org,
) -> None:
    streak, ann = define_streak(org, levels=(2, 4, 6, 8)), org.register()
    assert streak.enrol(ann) == ACCEPTED
    streak.meet(ann, names(1, 4))
    org.move_clock("2026-06-05T12:00:00Z")
    assert streak.unenrol(ann) == ACCEPTED
    assert streak.enrol(ann, resetStreakStatus=True) == ACCEPTED
    assert set(streak.levels(ann).values()) == {"INPROGRESS"}
    assert streak.counter(ann) == 0
    enrolled = streak.journal(ann)[-1]
    assert (enrolled["what"], enrolled["reason"], enrolled["attempt"]) == (
        "ENROLLED",
        "RE_ENROLLED",
        2,
    )


def test_sub_case_6_point_3_3_the_same_streak_can_be_run_again_and_again(org: Org) -> None:
    streak, ann = define_streak(org, levels=(2, 4, 6, 8)), org.register()
    assert streak.enrol(ann) == ACCEPTED
    for attempt, cycles in enumerate((names(1, 4), names(5, 8), names(9, 12)), start=1):
        streak.meet(ann, cycles)
        assert streak.counter(ann) == 4
        assert len(streak.rewards(ann)) == 2 * attempt
        assert streak.rewards(ann)[-1] == ("Benefit of l2", cycles[-1], attempt)
        org.move_clock(f"2026-06-{4 * attempt + 1:02}T00:00:00Z")
        assert streak.unenrol(ann) == ACCEPTED
        assert streak.enrol(ann, resetStreakStatus=True) == ACCEPTED
        assert streak.counter(ann) == 0


def test_unenrol_case_2_sub_case_1_unenrolled_in_the_13th_cycle_of_30(org: Org) -> None:
    streak, ann = define_streak(org, cycles=30, levels=(4, 8, 12)), org.register()
    assert streak.enrol(ann) == ACCEPTED
    streak.meet(ann, names(5, 12))
    org.move_clock("2026-06-13T18:00:00Z")
    before = streak.rewards(ann)
    assert streak.unenrol(ann) == ACCEPTED
    # Point 1: the benefits of 4 and 8 were given and stay.
    assert streak.rewards(ann) == before
    assert [reward for reward, _, _ in before] == BENEFITS
    assert streak.levels(ann) == {"l1": "ACHIEVED", "l2": "ACHIEVED", "l3": "INPROGRESS"}
    # Point 2: out of c13 to c30.
    assert streak.covered(ann) == names(1, 12)
    # Point 3: a reset lets the customer achieve the levels again.
    assert streak.enrol(ann, resetStreakStatus=True) == ACCEPTED
    assert streak.covered(ann) == names(1, 30)
    assert set(streak.levels(ann).values()) == {"INPROGRESS"}
    streak.meet(ann, names(13, 16))
    assert streak.levels(ann) == {"l1": "ACHIEVED", "l2": "INPROGRESS", "l3": "INPROGRESS"}
    assert streak.rewards(ann)[-1] == ("Benefit of l1", "c16", 2)


def test_of_a_streak_all_the_cycles_are_those_that_have_not_ended(org: Org) -> None:
    streak, ann = define_streak(org), org.register()
    org.move_clock("2026-06-11T00:00:00Z")
    assert streak.enrol(ann, "c1") == ACCEPTED
    assert streak.covered(ann) == names(11, 30)


def test_cycles_that_ended_before_the_enrolment_are_not_missed_and_those_after_it_are(
    org: Org,
) -> None:
    streak, ann = define_streak(org), org.register()
    org.move_clock("2026-06-11T12:00:00Z")
    assert streak.enrol(ann) == ACCEPTED
    assert set(streak.levels(ann).values()) == {"INPROGRESS"}
    org.move_clock("2026-06-12T00:00:00Z")
    assert set(streak.levels(ann).values()) == {"DROPPED"}


def test_of_a_streak_that_is_over_no_cycle_is_left(org: Org) -> None:
    streak, ann = define_streak(org), org.register()
    org.move_clock("2026-07-01T00:00:00Z")
    assert streak.enrol(ann, "c30") == PERIOD_NOT_FOUND
    assert streak.unenrol(ann) == NOT_ENROLLED


def test_whoever_is_in_a_streak_cannot_enrol_again_whatever_is_sent(org: Org) -> None:
    streak, ann = define_streak(org), org.register()
    assert streak.enrol(ann) == ACCEPTED
    assert streak.enrol(ann) == ALREADY_ENROLLED
    assert streak.enrol(ann, "c9", initialBalance=5, resetStreakStatus=True) == ALREADY_ENROLLED


def test_what_a_streak_ignores_must_be_of_its_type_all_the_same(org: Org) -> None:
    streak, ann = define_streak(org), org.register()
    wrong: list[dict[str, Any]] = [
        {"periodName": 7},
        {"initialBalance": "5"},
        {"initialBalance": -1},
        {"resetStreakStatus": "true"},
        {"resetStreakStatus": 1},
    ]
    for fields in wrong:
        assert streak.enrol(ann, **fields) == INVALID_INPUT
    assert streak.covered(ann) == []


@pytest.mark.parametrize(("reset", "value"), [(False, 2), (True, 0)])
def test_the_running_cycles_value_is_as_it_was_or_starts_at_0_after_a_reset(
    org: Org, reset: bool, value: int
) -> None:
    streak, ann = define_streak(org, asked=2), org.register()
    assert streak.enrol(ann) == ACCEPTED
    assert streak.buy(ann) == ("c1", 0, 1, False)
    assert streak.buy(ann) == ("c1", 1, 2, True)
    assert streak.unenrol(ann) == ACCEPTED
    assert streak.enrol(ann, resetStreakStatus=reset) == ACCEPTED
    assert streak.value(ann, "c1") == value
    assert streak.achieved(ann) == (["c1"] if value else [])


def test_a_reset_on_a_first_enrolment_is_ignored(org: Org) -> None:
    streak, ann = define_streak(org), org.register()
    assert streak.enrol(ann, resetStreakStatus=True) == ACCEPTED
    (enrolled,) = streak.journal(ann)
    assert (enrolled["reason"], enrolled["attempt"]) == ("ENROLLED", 1)


def test_a_cycle_that_ends_unmet_breaks_a_streak_unless_it_is_a_non_continuous_one(
    org: Org,
) -> None:
    continuous, ann = define_streak(org, levels=(2, 4)), org.register()
    lenient = define_streak(org, levels=(2, 4), trackingType="NON_CONTINUOUS_STREAKS")
    for streak in (continuous, lenient):
        assert streak.enrol(ann) == ACCEPTED
    continuous.meet(ann, ["c1", "c2"])  # and the other one with it
    org.move_clock("2026-06-04T00:00:00Z")
    assert (continuous.counter(ann), lenient.counter(ann)) == (0, 2)
    assert continuous.levels(ann) == {"l1": "ACHIEVED", "l2": "DROPPED"}
    assert lenient.levels(ann) == {"l1": "ACHIEVED", "l2": "INPROGRESS"}
