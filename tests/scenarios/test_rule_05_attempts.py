"""Contract §4 rules 4 to 6 with activities: balances, attempts, and streaks that are entered again.

A milestone ABC has five cycles, c1 to c5: June to October 2026, each asking for 1000. A streak has
thirty cycles, c1 to c30: the days of June 2026.
"""

from __future__ import annotations

import pytest

from tests.harness import Org
from tests.scenarios.vocabulary import (
    ACCEPTED,
    define_milestone,
    define_streak,
    names,
    sale,
)

VOUCHER_C1 = ("Voucher", "c1", 1)


def test_rule_4_activity_adds_to_the_balance_of_the_chosen_cycle_and_of_no_other(org: Org) -> None:
    abc, ann = define_milestone(org), org.register()
    assert abc.enrol(ann, "c2", initialBalance=900) == ACCEPTED
    assert abc.enrol(ann, "c1") == ACCEPTED
    assert abc.buy(ann, 100) == ("c1", 0, 100, False)
    org.move_clock("2026-07-10T00:00:00Z")
    assert abc.buy(ann, 100) == ("c2", 900, 1000, True)
    assert abc.values(ann) == [100, 1000, 0, 0, 0]


def test_rule_4_a_period_end_reward_of_a_balance_waits_for_the_settlement(org: Org) -> None:
    abc, ann = define_milestone(org, rewardAllocation="PERIOD_END"), org.register()
    assert abc.enrol(ann, "c2", initialBalance=1000) == ACCEPTED
    assert abc.achieved(ann) == ["c2"]
    org.move_clock("2026-07-31T23:59:59Z")
    assert abc.rewards(ann) == []
    org.move_clock("2026-08-01T00:00:00Z")
    assert abc.rewards(ann) == [("Voucher", "c2", 1)]


def test_rule_5_a_cycle_is_rewarded_once_in_an_attempt_however_far_its_value_grows(
    org: Org,
) -> None:
    abc, ann = define_milestone(org), org.register()
    assert abc.enrol(ann, "c1") == ACCEPTED
    assert abc.buy(ann, 1000) == ("c1", 0, 1000, True)
    assert abc.buy(ann, 2600) == ("c1", 1000, 3600, True)
    # Nor does leaving and coming back with what was reached begin an attempt.
    assert abc.unenrol(ann) == ACCEPTED
    assert abc.enrol(ann, "c1") == ACCEPTED
    assert abc.buy(ann, 1000) == ("c1", 3600, 4600, True)
    assert abc.rewards(ann) == [VOUCHER_C1]


def test_rule_5_re_enrolled_with_a_balance_the_chosen_cycle_can_be_achieved_and_rewarded_again(
    org: Org,
) -> None:
    abc, ann = define_milestone(org), org.register()
    assert abc.enrol(ann, "c1") == ACCEPTED
    assert abc.buy(ann, 1000) == ("c1", 0, 1000, True)
    assert abc.unenrol(ann) == ACCEPTED
    assert abc.enrol(ann, "c1", initialBalance=0) == ACCEPTED
    assert abc.achieved(ann) == []
    assert abc.buy(ann, 999) == ("c1", 0, 999, False)
    assert abc.buy(ann, 1) == ("c1", 999, 1000, True)
    assert abc.rewards(ann) == [VOUCHER_C1, ("Voucher", "c1", 2)]
    # The other cycles are in their first attempt still.
    org.move_clock("2026-07-10T00:00:00Z")
    assert abc.buy(ann, 1000) == ("c2", 0, 1000, True)
    assert abc.rewards(ann)[2:] == [("Voucher", "c2", 1)]


def test_rule_5_a_first_enrolment_with_a_balance_is_the_first_attempt(org: Org) -> None:
    abc, ann = define_milestone(org), org.register()
    assert abc.enrol(ann, "c1", initialBalance=999) == ACCEPTED
    assert abc.buy(ann, 1) == ("c1", 999, 1000, True)
    assert abc.rewards(ann) == [VOUCHER_C1]


def test_rule_5_in_each_attempt_a_period_end_reward_is_granted_once_and_only_for_the_last_one(
    org: Org,
) -> None:
    abc, ann = define_milestone(org, rewardAllocation="PERIOD_END"), org.register()
    assert abc.enrol(ann, "c1") == ACCEPTED
    assert abc.buy(ann, 1000) == ("c1", 0, 1000, True)
    assert abc.unenrol(ann) == ACCEPTED
    assert abc.enrol(ann, "c1", initialBalance=1200) == ACCEPTED
    org.move_clock("2026-07-01T00:00:00Z")
    assert abc.rewards(ann) == [("Voucher", "c1", 2)]


def test_rule_5_a_level_is_rewarded_once_in_an_attempt_whatever_the_cycle(org: Org) -> None:
    streak, ann = define_streak(org, levels=(2, 4)), org.register()
    assert streak.enrol(ann) == ACCEPTED
    streak.meet(ann, names(1, 2))
    # c3 is missed; the run of c4 and c5 has the count of l1 again.
    streak.meet(ann, names(4, 5))
    assert streak.rewards(ann) == [("Benefit of l1", "c2", 1)]
    assert streak.unenrol(ann) == ACCEPTED
    assert streak.enrol(ann) == ACCEPTED
    streak.meet(ann, names(6, 7))
    assert streak.rewards(ann)[1:] == [("Benefit of l2", "c7", 1)]


def test_rule_6_without_a_reset_the_running_cycle_goes_on_and_is_met_once(org: Org) -> None:
    streak, ann = define_streak(org, levels=(1, 2), asked=2), org.register()
    assert streak.enrol(ann) == ACCEPTED
    assert streak.buy(ann) == ("c1", 0, 1, False)
    assert streak.unenrol(ann) == ACCEPTED
    assert streak.buy(ann) == "NOT_ENROLLED"
    assert streak.enrol(ann) == ACCEPTED
    assert streak.buy(ann) == ("c1", 1, 2, True)
    assert streak.counter(ann) == 1
    assert streak.buy(ann) == ("c1", 2, 3, True)
    assert streak.counter(ann) == 1
    assert streak.rewards(ann) == [("Benefit of l1", "c1", 1)]


def test_rule_6_cycles_missed_while_unenrolled_dont_break_the_run_and_the_one_missed_after_does(
    org: Org,
) -> None:
    streak, ann = define_streak(org, levels=(4,)), org.register()
    assert streak.enrol(ann) == ACCEPTED
    streak.meet(ann, names(1, 3))
    assert streak.unenrol(ann) == ACCEPTED
    org.move_clock("2026-06-10T00:00:00Z")
    assert streak.enrol(ann) == ACCEPTED
    assert streak.counter(ann) == 3
    org.move_clock("2026-06-11T00:00:00Z")
    assert streak.counter(ann) == 0
    assert streak.levels(ann) == {"l1": "DROPPED"}


def test_rule_6_who_is_out_at_the_end_of_an_unmet_cycle_keeps_the_run(org: Org) -> None:
    streak, ann = define_streak(org, levels=(4,)), org.register()
    assert streak.enrol(ann) == ACCEPTED
    streak.meet(ann, names(1, 3))
    org.move_clock("2026-06-04T23:59:59Z")
    assert streak.unenrol(ann) == ACCEPTED
    org.move_clock("2026-06-05T00:00:00Z")
    assert streak.enrol(ann) == ACCEPTED
    streak.meet(ann, ["c5"])
    assert streak.counter(ann) == 4
    assert streak.rewards(ann) == [("Benefit of l1", "c5", 1)]


def test_rule_6_after_a_reset_the_running_cycle_starts_at_0_and_levels_are_rewarded_again(
    org: Org,
) -> None:
    streak, ann = define_streak(org, levels=(1, 2)), org.register()
    assert streak.enrol(ann) == ACCEPTED
    bought = sale(ann, 1, org.now())
    assert streak.send(bought) == ("c1", 0, 1, True)
    assert streak.unenrol(ann) == ACCEPTED
    assert streak.enrol(ann, resetStreakStatus=True) == ACCEPTED
    assert (streak.value(ann, "c1"), streak.counter(ann)) == (0, 0)
    # What counted in the first attempt never counts again.
    assert streak.send(bought) == "DUPLICATE"
    assert streak.buy(ann) == ("c1", 0, 1, True)
    streak.meet(ann, ["c2"])
    assert streak.rewards(ann) == [
        ("Benefit of l1", "c1", 1),
        ("Benefit of l1", "c1", 2),
        ("Benefit of l2", "c2", 2),
    ]


@pytest.mark.parametrize("reset", [False, True])
def test_rule_6_a_reset_forgets_a_break_and_none_keeps_it(org: Org, reset: bool) -> None:
    streak, ann = define_streak(org, levels=(2,)), org.register()
    assert streak.enrol(ann) == ACCEPTED
    org.move_clock("2026-06-02T12:00:00Z")
    assert streak.levels(ann) == {"l1": "DROPPED"}
    assert streak.unenrol(ann) == ACCEPTED
    assert streak.enrol(ann, resetStreakStatus=reset) == ACCEPTED
    assert streak.levels(ann) == {"l1": "INPROGRESS" if reset else "DROPPED"}
    streak.meet(ann, ["c2"])
    assert streak.levels(ann) == {"l1": "INPROGRESS"}
