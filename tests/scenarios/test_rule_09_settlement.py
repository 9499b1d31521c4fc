"""Contract §4 rule 9: what achieved means, and what is granted at the settlement; edits beside it.

A milestone ABC has five cycles, c1 to c5: June to October 2026, each asking for 1000.
"""

from __future__ import annotations

import pytest

from tests.harness import Org
from tests.scenarios.vocabulary import (
    ACCEPTED,
    Challenge,
    data,
    define_milestone,
    define_streak,
    names,
)


@pytest.mark.parametrize("allocation", ["IMMEDIATE", "PERIOD_END"])
def test_achieved_means_at_or_above_the_target_value(org: Org, allocation: str) -> None:
    abc = define_milestone(org, asked=1000, rewardAllocation=allocation)
    amounts = {999.999: False, 1000: True, 1000.000001: True}
    customers = {org.register(): achieved for achieved in amounts.values()}
    for customer, (amount, achieved) in zip(customers, amounts.items(), strict=True):
        assert abc.enrol(customer, "c1") == ACCEPTED
        assert abc.buy(customer, amount) == ("c1", 0, amount, achieved)
    org.move_clock("2026-07-01T00:00:00Z")
    for customer, achieved in customers.items():
        assert abc.achieved(customer) == (["c1"] if achieved else [])
        assert abc.rewards(customer) == ([("Voucher", "c1", 1)] if achieved else [])
        settled = "SETTLED_ACHIEVED" if achieved else "SETTLED_UNACHIEVED"
        assert settlements(abc, customer) == [("c1", settled)]


def test_late_activity_inside_the_delay_is_included(org: Org) -> None:
    abc = define_milestone(org, rewardAllocation="PERIOD_END", settlementDelayDays=2)
    ann = org.register()
    assert abc.enrol(ann, "c1") == ACCEPTED
    assert abc.buy(ann, 999) == ("c1", 0, 999, False)
    org.move_clock("2026-07-02T23:59:59.999Z")
    assert abc.rewards(ann) == []
    assert abc.buy(ann, 1, on="2026-06-30T00:00:00Z") == ("c1", 999, 1000, True)
    assert abc.rewards(ann) == []
    org.move_clock("2026-07-20T00:00:00Z")
    (reward,) = data(org.get(f"/milepost/v1/customers/{ann}/rewards"))
    # Due things are stamped with the instant at which they fell due.
    assert reward["grantedAt"] == "2026-07-03T00:00:00.000Z"
    assert reward["cause"] == "SETTLEMENT"
    settled = abc.journal(ann)[-2:]
    assert [(line["what"], line["at"]) for line in settled] == [
        ("REWARDED", "2026-07-03T00:00:00.000Z"),
        ("SETTLED", "2026-07-03T00:00:00.000Z"),
    ]


def test_who_enrolled_after_the_end_of_a_cycle_is_not_settled_in_it(org: Org) -> None:
    abc = define_milestone(org, rewardAllocation="PERIOD_END", settlementDelayDays=5)
    ann, ben = org.register(), org.register()
    org.move_clock("2026-06-30T23:59:59.999Z")
    assert abc.enrol(ann) == ACCEPTED
    org.move_clock("2026-07-02T00:00:00Z")
    assert abc.enrol(ben) == ACCEPTED
    assert abc.buy(ann, 1000, on="2026-06-15T00:00:00Z") == ("c1", 0, 1000, True)
    assert abc.buy(ben, 1000, on="2026-06-15T00:00:00Z") == "NOT_ENROLLED"
    org.move_clock("2026-07-06T00:00:00Z")
    assert abc.rewards(ann) == [("Voucher", "c1", 1)]
    assert (abc.rewards(ben), settlements(abc, ben)) == ([], [])


def test_every_cycle_is_settled_once_for_everybody_enrolled_however_far_the_clock_is_moved(
    org: Org,
) -> None:
    abc = define_milestone(org, rewardAllocation="PERIOD_END")
    ann, ben = org.register(), org.register()
    assert abc.enrol(ann, "c2", initialBalance=1000) == ACCEPTED
    assert abc.enrol(ann, "c1", initialBalance=1000) == ACCEPTED
    assert abc.enrol(ben, "c4") == ACCEPTED
    org.move_clock("2027-06-01T00:00:00Z")
    rewards = [("Voucher", "c1", 1), ("Voucher", "c2", 1)]
    assert abc.rewards(ann) == rewards
    assert settlements(abc, ann) == [
        ("c1", "SETTLED_ACHIEVED"),
        ("c2", "SETTLED_ACHIEVED"),
        *((cycle, "SETTLED_UNACHIEVED") for cycle in names(3, 5)),
    ]
    assert [cycle for cycle, _ in settlements(abc, ben)] == names(4, 5)
    before = abc.journal(ann)
    org.move_clock("2027-06-01T00:00:00Z")
    org.move_clock("2027-07-01T00:00:00Z")
    assert (abc.rewards(ann), abc.journal(ann)) == (rewards, before)


def test_immediate_rewards_are_not_granted_a_second_time_at_the_settlement(org: Org) -> None:
    abc, ann = define_milestone(org), org.register()
    assert abc.enrol(ann, "c1") == ACCEPTED
    assert abc.buy(ann, 1000) == ("c1", 0, 1000, True)
    org.move_clock("2026-07-02T00:00:00Z")
    assert abc.rewards(ann) == [("Voucher", "c1", 1)]


def test_streak_rewards_are_immediate_whatever_the_group_says(org: Org) -> None:
    streak = define_streak(org, levels=(1, 2), rewardAllocation="PERIOD_END")
    ann = org.register()
    assert streak.enrol(ann) == ACCEPTED
    assert streak.buy(ann) == ("c1", 0, 1, True)
    assert streak.rewards(ann) == [("Benefit of l1", "c1", 1)]
    org.move_clock("2026-06-02T00:00:00Z")
    assert len(streak.rewards(ann)) == 1
    streak.meet(ann, ["c2"])
    assert streak.rewards(ann)[1:] == [("Benefit of l2", "c2", 1)]


def test_an_inactive_group_counts_nothing_and_is_settled_all_the_same(org: Org) -> None:
    abc, ann = define_milestone(org, rewardAllocation="PERIOD_END"), org.register()
    assert abc.enrol(ann, "c1") == ACCEPTED
    assert abc.buy(ann, 1000, id="s") == ("c1", 0, 1000, True)
    abc.change(active=False)
    assert abc.buy(ann, 5) == "GROUP_INACTIVE"
    assert abc.give_back(ann, "s", 5) == "GROUP_INACTIVE"
    org.move_clock("2026-07-01T00:00:00Z")
    assert abc.rewards(ann) == [("Voucher", "c1", 1)]
    abc.change(active=True)
    # What arrived meanwhile is lost; what arrives from now on counts.
    assert abc.value(ann, "c1") == 1000
    assert abc.buy(ann, 5) == ("c2", 0, 5, False)


def test_in_an_inactive_target_nothing_counts(org: Org) -> None:
    abc, ann = define_milestone(org), org.register()
    assert abc.enrol(ann, "c1") == ACCEPTED
    path = f"/v3/targetGroups/{abc.group_id}/targets/{abc.target_id}"
    data(org.client.delete(path))
    assert abc.buy(ann, 5) == "TARGET_INACTIVE"
    data(org.client.put(path, json={"active": True}))
    assert abc.buy(ann, 6) == ("c1", 0, 6, False)


def test_a_moved_end_moves_the_settlement_earlier_or_later(org: Org) -> None:
    longer, shorter = (define_milestone(org, cycles=1, rewardAllocation="PERIOD_END") for _ in "ab")
    ann = org.register()
    for abc in (longer, shorter):
        assert abc.enrol(ann, "c1", initialBalance=1000) == ACCEPTED
    longer.move_end("c1", "2026-07-10")
    shorter.move_end("c1", "2026-06-20")
    org.move_clock("2026-06-21T00:00:00Z")
    assert (longer.rewards(ann), shorter.rewards(ann)) == ([], [("Voucher", "c1", 1)])
    assert shorter.buy(ann, 1, on="2026-06-20T12:00:00Z") == "CYCLE_CLOSED"
    org.move_clock("2026-07-10T12:00:00Z")
    assert longer.rewards(ann) == []
    assert longer.buy(ann, 1) == ("c1", 1001, 1002, True)
    org.move_clock("2026-07-11T00:00:00Z")
    assert longer.rewards(ann) == [("Voucher", "c1", 1)]


def test_achieved_stays_achieved_when_more_is_asked_for_and_what_arrives_later_has_to_reach_it(
    org: Org,
) -> None:
    abc = define_milestone(org, asked=1000, rewardAllocation="PERIOD_END")
    ann, ben = org.register(), org.register()
    for customer in (ann, ben):
        assert abc.enrol(customer, "c1") == ACCEPTED
    assert abc.buy(ann, 1000) == ("c1", 0, 1000, True)
    path = f"/v3/targetGroups/{abc.group_id}/targets/{abc.target_id}"
    data(org.client.put(path, json={"defaultValues": [{"defaultValue": 1500}]}))
    # `achieved` of an effect says whether the value is at the target value, as it is now.
    assert abc.buy(ann, 1) == ("c1", 1000, 1001, False)
    assert abc.buy(ben, 1000) == ("c1", 0, 1000, False)
    assert (abc.achieved(ann), abc.achieved(ben)) == (["c1"], [])
    org.move_clock("2026-07-01T00:00:00Z")
    assert (len(abc.rewards(ann)), len(abc.rewards(ben))) == (1, 0)


@pytest.mark.parametrize("allocation", ["IMMEDIATE", "PERIOD_END"])
def test_what_is_at_a_lowered_target_value_by_the_settlement_is_achieved_then(
    org: Org, allocation: str
) -> None:
    abc, ann = define_milestone(org, rewardAllocation=allocation), org.register()
    assert abc.enrol(ann, "c1") == ACCEPTED
    assert abc.buy(ann, 900) == ("c1", 0, 900, False)
    path = f"/v3/targetGroups/{abc.group_id}/targets/{abc.target_id}"
    data(org.client.put(path, json={"defaultValues": [{"defaultValue": 800}]}))
    assert (abc.achieved(ann), abc.rewards(ann)) == ([], [])
    org.move_clock("2026-07-01T00:00:00Z")
    assert abc.achieved(ann) == ["c1"]
    assert abc.rewards(ann) == [("Voucher", "c1", 1)]
    assert settlements(abc, ann) == [("c1", "SETTLED_ACHIEVED")]


def settlements(abc: Challenge, customer: int) -> list[tuple[str, str]]:
    """The cycles that were settled for the customer, in order, and how."""
    return [
        (each["periodRefCode"], each["reason"])
        for each in abc.journal(customer)
        if each["what"] == "SETTLED"
    ]
