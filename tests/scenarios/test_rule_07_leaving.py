"""Contract §4 rule 7: what leaving does to rewards, and to what arrives afterwards.

A milestone ABC has five cycles, c1 to c5: June to October 2026, each asking for 1000.
"""

from __future__ import annotations

import pytest

from tests.harness import Org
from tests.scenarios.vocabulary import (
    ACCEPTED,
    PERIOD_NOT_FOUND,
    Challenge,
    define_milestone,
    names,
    sale,
)


def test_the_reward_of_c2_still_comes_when_the_customer_leaves_in_the_first_second_of_c3(
    org: Org,
) -> None:
    abc = define_milestone(org, settlementDelayDays=3, rewardAllocation="PERIOD_END")
    ann, ben = org.register(), org.register()
    for customer in (ann, ben):
        assert abc.enrol(customer, "c2") == ACCEPTED
    org.move_clock("2026-07-20T00:00:00Z")
    for customer in (ann, ben):
        assert abc.buy(customer, 1000) == ("c2", 0, 1000, True)
    # Ann leaves in the last second of c2, Ben in the first of c3; settlement has not run yet.
    org.move_clock("2026-07-31T23:59:59.999Z")
    assert abc.unenrol(ann) == ACCEPTED
    org.move_clock("2026-08-01T00:00:00.999Z")
    assert abc.unenrol(ben) == ACCEPTED
    org.move_clock("2026-08-03T23:59:59.999Z")
    assert abc.rewards(ann) == abc.rewards(ben) == []
    org.move_clock("2026-08-04T00:00:00Z")
    assert (abc.rewards(ann), abc.rewards(ben)) == ([], [("Voucher", "c2", 1)])
    assert abc.told(ben)[-3:] == [
        ("UNENROLLED", "LEFT"),
        ("REWARDED", "PERIOD_END"),
        ("SETTLED", "SETTLED_ACHIEVED"),
    ]


def test_who_leaves_at_the_very_end_of_c2_leaves_c3_and_keeps_c2(org: Org) -> None:
    abc, ann = (
        define_milestone(org, settlementDelayDays=1, rewardAllocation="PERIOD_END"),
        org.register(),
    )
    assert abc.enrol(ann, "c2", initialBalance=1000) == ACCEPTED
    org.move_clock("2026-08-01T00:00:00Z")
    assert abc.unenrol(ann) == ACCEPTED
    org.move_clock("2026-08-02T00:00:00Z")
    assert abc.rewards(ann) == [("Voucher", "c2", 1)]


def test_without_a_delay_the_reward_of_an_ended_cycle_is_there_when_the_next_one_begins(
    org: Org,
) -> None:
    abc, ann = define_milestone(org, rewardAllocation="PERIOD_END"), org.register()
    assert abc.enrol(ann, "c1") == ACCEPTED
    assert abc.buy(ann, 1000) == ("c1", 0, 1000, True)
    org.move_clock("2026-06-30T23:59:59.999Z")
    assert abc.rewards(ann) == []
    org.move_clock("2026-07-01T00:00:00Z")
    assert abc.rewards(ann) == [("Voucher", "c1", 1)]


def test_a_period_end_reward_is_not_lost_if_the_customer_is_enrolled_again_when_the_cycle_ends(
    org: Org,
) -> None:
    abc = define_milestone(org, rewardAllocation="PERIOD_END")
    ann, ben, cid = org.register(), org.register(), org.register()
    for customer in (ann, ben, cid):
        assert abc.enrol(customer, "c1") == ACCEPTED
        assert abc.buy(customer, 1000) == ("c1", 0, 1000, True)
        assert abc.unenrol(customer) == ACCEPTED
    org.move_clock("2026-06-20T00:00:00Z")
    assert abc.enrol(ann, "c1") == ACCEPTED  # again, with what was reached
    assert abc.enrol(ben, "c2") == ACCEPTED  # but not in c1
    assert abc.enrol(cid, "c1", initialBalance=999) == ACCEPTED  # with less than is asked
    org.move_clock("2026-07-01T00:00:00Z")
    assert abc.rewards(ann) == [("Voucher", "c1", 1)]
    assert abc.rewards(ben) == abc.rewards(cid) == []
    assert abc.covered(ben) == names(2, 5)


def test_a_period_end_reward_is_lost_when_who_came_back_leaves_again(org: Org) -> None:
    abc, ann = define_milestone(org, rewardAllocation="PERIOD_END"), org.register()
    for _ in range(2):
        assert abc.enrol(ann, "c1", initialBalance=1000) == ACCEPTED
        assert abc.unenrol(ann) == ACCEPTED
    org.move_clock("2026-07-02T00:00:00Z")
    assert abc.rewards(ann) == []
    assert abc.enrol(ann, "c1") == PERIOD_NOT_FOUND


def test_what_arrives_while_unenrolled_never_counts_in_the_cycle_that_was_left(org: Org) -> None:
    abc, ann = define_milestone(org), org.register()
    assert abc.enrol(ann, "c1") == ACCEPTED
    assert abc.buy(ann, 100) == ("c1", 0, 100, False)
    org.move_clock("2026-06-10T00:00:00Z")
    assert abc.unenrol(ann) == ACCEPTED
    # Dated before or after leaving: it arrives now.
    outside = [sale(ann, 30, on) for on in ("2026-06-05T00:00:00Z", "2026-06-10T00:00:00Z")]
    assert [abc.send(each) for each in outside] == ["NOT_ENROLLED", "NOT_ENROLLED"]
    org.move_clock("2026-06-12T00:00:00Z")
    assert abc.enrol(ann, "c1") == ACCEPTED
    assert abc.value(ann, "c1") == 100
    assert [abc.send(each) for each in outside] == ["DUPLICATE", "DUPLICATE"]
    assert abc.value(ann, "c1") == 100
    # What first arrives now counts, though it is dated in the days outside.
    assert abc.buy(ann, 7, on="2026-06-11T00:00:00Z") == ("c1", 100, 107, False)


def test_in_an_ended_cycle_that_was_not_left_what_arrives_late_while_unenrolled_counts(
    org: Org,
) -> None:
    abc, ann = (
        define_milestone(org, settlementDelayDays=5, rewardAllocation="PERIOD_END"),
        org.register(),
    )
    assert abc.enrol(ann, "c1") == ACCEPTED
    assert abc.buy(ann, 600) == ("c1", 0, 600, False)
    org.move_clock("2026-07-02T00:00:00Z")
    assert abc.unenrol(ann) == ACCEPTED
    assert abc.buy(ann, 400, on="2026-07-01T12:00:00Z") == "NOT_ENROLLED"
    assert abc.buy(ann, 500, id="s", on="2026-06-30T12:00:00Z") == ("c1", 600, 1100, True)
    assert abc.give_back(ann, "s", 100) == ("c1", 1100, 1000, True)
    org.move_clock("2026-07-06T00:00:00Z")
    assert abc.rewards(ann) == [("Voucher", "c1", 1)]


@pytest.mark.parametrize("cycle", ["c1", "c2"])
def test_who_left_before_a_cycle_ended_is_not_settled_in_it(org: Org, cycle: str) -> None:
    abc, ann = define_milestone(org, cycles=2, rewardAllocation="PERIOD_END"), org.register()
    assert abc.enrol(ann, cycle, initialBalance=1000) == ACCEPTED
    if cycle == "c2":
        org.move_clock("2026-07-10T00:00:00Z")
    assert abc.unenrol(ann) == ACCEPTED
    org.move_clock("2026-08-10T00:00:00Z")
    assert settled(abc, ann) == []


def test_who_leaves_in_c3_is_settled_in_c1_and_c2_and_in_no_later_cycle(org: Org) -> None:
    abc, ann = define_milestone(org), org.register()
    assert abc.enrol(ann, "c1") == ACCEPTED
    org.move_clock("2026-08-10T00:00:00Z")
    assert settled(abc, ann) == ["c1", "c2"]
    assert abc.unenrol(ann) == ACCEPTED
    org.move_clock("2026-11-10T00:00:00Z")
    assert settled(abc, ann) == ["c1", "c2"]


def settled(abc: Challenge, customer: int) -> list[str]:
    """The cycles that were settled for the customer, in order."""
    return [each["periodRefCode"] for each in abc.journal(customer) if each["what"] == "SETTLED"]
