"""The worked scenarios of the domain document's appendix B, 1 to 20, by their number.

A milestone ABC has five cycles, c1 to c5: June to October 2026, each asking for 1000. A streak has
thirty cycles, c1 to c30: the days of June 2026; its levels ask for 4, 8 and 12 of them.
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
    VOUCHER,
    Challenge,
    define_milestone,
    define_streak,
    item,
    names,
    outcome,
)

JANUARY_TO_MARCH = [
    {"refCode": "January", "startDate": "2026-01-01", "endDate": "2026-01-31"},
    {"refCode": "February", "startDate": "2026-02-01", "endDate": "2026-02-28"},
    {"refCode": "March", "startDate": "2026-03-01", "endDate": "2026-03-31"},
]


def test_scenario_1_and_2_five_cycles_enrolled_at_the_start_of_c1_and_of_c3(org: Org) -> None:
    abc, ann, ben = define_milestone(org), org.register(), org.register()
    assert abc.enrol(ann, "c1") == ACCEPTED
    assert abc.covered(ann) == ["c1", "c2", "c3", "c4", "c5"]
    assert abc.buy(ann, 10) == ("c1", 0, 10, False)
    org.move_clock("2026-08-01T00:00:00Z")
    assert abc.enrol(ben, "c3") == ACCEPTED
    assert abc.covered(ben) == ["c3", "c4", "c5"]
    # Each cycle starts from nothing.
    assert abc.buy(ann, 30) == ("c3", 0, 30, False)
    assert abc.buy(ben, 40) == ("c3", 0, 40, False)
    assert (abc.values(ann), abc.values(ben)) == ([10, 0, 30, 0, 0], [0, 0, 40, 0, 0])


def test_scenario_3_1000_are_asked_for_300_is_the_balance_and_700_are_spent(org: Org) -> None:
    abc, ann = define_milestone(org, asked=1000), org.register()
    assert abc.enrol(ann, "c1", initialBalance=300) == ACCEPTED
    assert abc.missing(ann, "c1") == 700
    assert abc.buy(ann, 700) == ("c1", 300, 1000, True)
    assert abc.achieved(ann) == ["c1"]
    assert abc.rewards(ann) == [("Voucher", "c1", 1)]


@pytest.mark.parametrize(("balance", "value"), [(0, 0), (150, 150), (None, 250)])
def test_scenario_4_re_enrolled_in_c4_where_250_was_reached(
    org: Org, balance: int | None, value: int
) -> None:
    abc, ann = define_milestone(org), org.register()
    org.move_clock("2026-09-10T00:00:00Z")
    assert abc.enrol(ann, "c4") == ACCEPTED
    assert abc.buy(ann, 250) == ("c4", 0, 250, False)
    org.move_clock("2026-09-15T00:00:00Z")
    assert abc.unenrol(ann) == ACCEPTED
    assert abc.enrol(ann, "c4", initialBalance=balance) == ACCEPTED
    assert abc.value(ann, "c4") == value
    assert abc.buy(ann, 750) == ("c4", value, value + 750, value == 250)


@pytest.mark.parametrize("tracked_from_enrolment", [False, True])
def test_scenario_5_enrolled_in_the_middle_of_c1_and_an_earlier_purchase_comes_as_a_retro_event(
    org: Org, tracked_from_enrolment: bool
) -> None:
    abc = define_milestone(org, trackFromEnrolmentDate=tracked_from_enrolment)
    ann = org.register()
    org.move_clock("2026-06-15T00:00:00Z")
    assert abc.enrol(ann, "c1") == ACCEPTED
    retro = abc.buy(ann, 100, on="2026-06-10T12:00:00Z")
    assert retro == ("BEFORE_ENROLMENT" if tracked_from_enrolment else ("c1", 0, 100, False))
    before = abc.value(ann, "c1")
    assert abc.buy(ann, 5, on="2026-06-15T00:00:00Z") == ("c1", before, before + 5, False)


@pytest.mark.parametrize(
    ("allocation", "granted"), [("IMMEDIATE", [("Voucher", "c1", 1)]), ("PERIOD_END", [])]
)
def test_scenario_6_and_7_reached_in_c1_and_unenrolled_in_the_middle_of_it(
    org: Org, allocation: str, granted: list[tuple[str, str, int]]
) -> None:
    abc, ann = define_milestone(org, rewardAllocation=allocation), org.register()
    assert abc.enrol(ann, "c1") == ACCEPTED
    assert abc.buy(ann, 1000) == ("c1", 0, 1000, True)
    org.move_clock("2026-06-15T12:00:00Z")
    assert abc.unenrol(ann) == ACCEPTED
    assert abc.rewards(ann) == granted
    assert abc.covered(ann) == []
    org.move_clock("2026-11-15T00:00:00Z")
    assert abc.rewards(ann) == granted
    assert abc.covered(ann) == []


@pytest.mark.parametrize("allocation", ["IMMEDIATE", "PERIOD_END"])
def test_scenario_8_unenrolled_in_c3_with_every_cycle_reached(org: Org, allocation: str) -> None:
    abc, ann = define_milestone(org, rewardAllocation=allocation), org.register()
    assert abc.enrol(ann, "c1") == ACCEPTED
    for on in ("2026-06-10T00:00:00Z", "2026-07-10T00:00:00Z", "2026-08-10T00:00:00Z"):
        org.move_clock(on)
        abc.buy(ann, 1000)
    kept = [("Voucher", cycle, 1) for cycle in ("c1", "c2", "c3")]
    if allocation == "PERIOD_END":
        kept.pop()
    assert abc.rewards(ann) == kept
    assert abc.unenrol(ann) == ACCEPTED
    assert abc.covered(ann) == ["c1", "c2"]
    assert abc.achieved(ann) == ["c1", "c2"]
    org.move_clock("2026-11-15T00:00:00Z")
    assert abc.rewards(ann) == kept


def test_scenario_9_a_streak_with_4_and_8_achieved_is_left_in_its_13th_cycle(org: Org) -> None:
    streak, ann = _with_4_and_8_achieved(org)
    assert streak.unenrol(ann) == ACCEPTED
    assert [name for name, *_ in streak.rewards(ann)] == ["Benefit of l1", "Benefit of l2"]
    assert streak.covered(ann) == names(1, 12)
    assert streak.buy(ann) == "NOT_ENROLLED"


@pytest.mark.parametrize("reset", [False, True])
def test_scenario_10_re_enrolled_the_next_goal_is_12_or_after_a_reset_4(
    org: Org, reset: bool
) -> None:
    streak, ann = _with_4_and_8_achieved(org)
    assert streak.unenrol(ann) == ACCEPTED
    assert streak.enrol(ann, resetStreakStatus=reset) == ACCEPTED
    assert streak.covered(ann) == names(1, 30)
    assert streak.counter(ann) == (0 if reset else 8)
    streak.meet(ann, names(13, 16))
    reached = ("Benefit of l1", "c16", 2) if reset else ("Benefit of l3", "c16", 1)
    assert streak.rewards(ann)[2:] == [reached]
    assert streak.counter(ann) == (4 if reset else 12)


def test_scenario_11_one_cycle_of_a_continuous_streak_unmet(org: Org) -> None:
    streak, ann = define_streak(org), org.register()
    assert streak.enrol(ann) == ACCEPTED
    streak.meet(ann, names(1, 3))
    org.move_clock("2026-06-04T23:59:59.999Z")
    assert streak.counter(ann) == 3
    org.move_clock("2026-06-05T00:00:00Z")
    assert streak.counter(ann) == 0
    assert ("BROKEN", "CYCLE_MISSED") in streak.told(ann)


def test_scenario_12_one_cycle_of_a_non_continuous_streak_unmet_and_a_later_one_met(
    org: Org,
) -> None:
    streak = define_streak(org, trackingType="NON_CONTINUOUS_STREAKS")
    ann = org.register()
    assert streak.enrol(ann) == ACCEPTED
    streak.meet(ann, names(1, 3))
    org.move_clock("2026-06-05T00:00:00Z")
    assert streak.counter(ann) == 3
    streak.meet(ann, ["c5"])
    assert streak.counter(ann) == 4
    assert streak.rewards(ann) == [("Benefit of l1", "c5", 1)]
    assert "BROKEN" not in dict(streak.told(ann))


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


@pytest.mark.parametrize("rewards", [[VOUCHER], []], ids=["with a reward", "without"])
def test_scenario_17_6500_spent_in_january_and_a_bill_of_3000_returned_february_starts_at_minus_3000(
    service: Service, rewards: list[dict[str, object]]
) -> None:
    org = service.new_org(now="2026-01-10T00:00:00Z")
    abc = define_milestone(
        org, asked=5000, periods=JANUARY_TO_MARCH, carryReturnsForward=True, rewards=rewards
    )
    ann = org.register()
    assert abc.enrol(ann) == ACCEPTED
    assert abc.buy(ann, 3500) == ("January", 0, 3500, False)
    assert abc.buy(ann, 3000, id="the bill") == ("January", 3500, 6500, True)
    org.move_clock("2026-01-20T00:00:00Z")
    assert abc.give_back(ann, "the bill", 3000) == ("February", 0, -3000, False)
    # January, which is rewarded, is left alone.
    assert abc.values(ann) == [6500, -3000, 0]
    assert abc.achieved(ann) == ["January"]
    org.move_clock("2026-02-10T00:00:00Z")
    assert abc.missing(ann, "February") == 8000
    assert abc.buy(ann, 7999) == ("February", -3000, 4999, False)
    assert abc.buy(ann, 1) == ("February", 4999, 5000, True)
    months = ("January", "February") if rewards else ()
    assert abc.rewards(ann) == [("Voucher", month, 1) for month in months]


def test_scenario_18_with_line_items_1750_of_6500_returned_february_starts_at_minus_1346_15(
    service: Service,
) -> None:
    org = service.new_org(now="2026-01-10T00:00:00Z")
    abc = define_milestone(
        org,
        asked=5000,
        periods=JANUARY_TO_MARCH,
        carryReturnsForward=True,
        target={"targetEntity": "LINEITEM", "expression": "currentLineItem.sku == 'coffee'"},
    )
    ann = org.register()
    assert abc.enrol(ann) == ACCEPTED
    bill = [item("coffee", 5000), item("milk", 1500)]
    assert abc.buy(ann, 6500, id="b", lineItems=bill) == ("January", 0, 5000, True)
    # What was returned is not known: 5000 × 1750 / 6500 of it.
    assert abc.give_back(ann, "b", 1750) == ("February", 0, -1346.15, False)
    assert abc.values(ann) == [5000, -1346.15, 0]
    org.move_clock("2026-02-10T00:00:00Z")
    coffee = [item("coffee", 6346.15)]
    bought = abc.buy(ann, 6346.15, lineItems=coffee)
    assert bought == ("February", -1346.15, 5000, True)


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
    org.move_clock("2026-06-02T12:00:00+05:30")
    assert abc.buy(ann, 5, on="2026-06-01T23:59:59.999+05:30") == "CYCLE_CLOSED"
    assert abc.buy(ann, 5, on="2026-06-02T00:00:00+05:30") == (
        second["periodRefCode"], 0, 5, False
    )  # fmt: skip


def _with_4_and_8_achieved(org: Org) -> tuple[Challenge, int]:
    """A streak and a customer in its 13th cycle, who missed c1 to c4 and met c5 to c12."""
    streak, ann = define_streak(org, cycles=30, levels=(4, 8, 12)), org.register()
    assert streak.enrol(ann) == ACCEPTED
    streak.meet(ann, names(5, 12))
    org.move_clock("2026-06-13T06:00:00Z")
    assert streak.levels(ann) == {"l1": "ACHIEVED", "l2": "ACHIEVED", "l3": "INPROGRESS"}
    return streak, ann
