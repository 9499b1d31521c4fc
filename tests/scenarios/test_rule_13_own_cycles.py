"""Contract §4 rule 13 and domain §4.5: cycles that are a customer's own.

Cyclic ones begin with the customer's first qualifying activity, period-agnostic ones last until they
are achieved. ABC has three, of a week each, that ask for 100.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.harness import Org, Service
from tests.scenarios.vocabulary import (
    ACCEPTED,
    PERIOD_NOT_FOUND,
    STARTS,
    Challenge,
    data,
    define_milestone,
)

WINDOWS = ["CYCLIC_WINDOW", "PERIOD_AGNOSTIC_WINDOW"]


def test_cyclic_cycles_begin_at_the_first_qualifying_activity_after_enrolment(org: Org) -> None:
    abc, (p1, p2, p3) = cyclic(org, target={"expression": "currentTxn.value >= 10"})
    ann = org.register()
    assert abc.buy(ann, 99) == "NOT_ENROLLED"
    assert abc.enrol(ann) == ACCEPTED
    org.move_clock("2026-06-03T10:30:00Z")
    assert abc.buy(ann, 9) == "EXPRESSION_FALSE"
    org.move_clock("2026-06-04T10:30:00Z")
    assert abc.buy(ann, 40) == (p1, 0, 40, False)
    # A week of its own each, to the millisecond, one after the other.
    org.move_clock("2026-06-11T10:30:00Z")
    assert abc.buy(ann, 60) == (p2, 0, 60, False)
    assert abc.buy(ann, 60, on="2026-06-11T10:29:59.999Z") == "CYCLE_CLOSED"
    org.move_clock("2026-06-18T10:30:00Z")
    assert abc.buy(ann, 70) == (p3, 0, 70, False)
    org.move_clock("2026-06-25T10:29:59.999Z")
    assert abc.buy(ann, 20) == (p3, 70, 90, False)
    org.move_clock("2026-06-25T10:30:00Z")
    assert abc.buy(ann, 20) == "ALL_CYCLES_OVER"
    assert abc.values(ann) == [40, 60, 90]
    begins = ["2026-06-04T10:30:00.000Z", "2026-06-11T10:30:00.000Z", "2026-06-18T10:30:00.000Z"]
    assert [row[STARTS] for row in abc.rows(ann)] == begins


def test_two_customers_have_their_own_dates(org: Org) -> None:
    abc, (p1, p2, _) = cyclic(org)
    ann, ben = org.register(), org.register()
    assert abc.enrol(ann) == abc.enrol(ben) == ACCEPTED
    assert abc.buy(ann, 1) == (p1, 0, 1, False)
    org.move_clock("2026-06-08T00:00:00Z")
    assert abc.buy(ann, 1) == (p2, 0, 1, False)
    assert abc.buy(ben, 1) == (p1, 0, 1, False)


def test_a_late_activity_older_than_the_first_does_not_move_cyclic_cycles(org: Org) -> None:
    abc, (p1, p2, _) = cyclic(org, settlementDelayDays=2)
    ann = org.register()
    assert abc.enrol(ann) == ACCEPTED
    org.move_clock("2026-06-04T00:00:00Z")
    assert abc.buy(ann, 1) == (p1, 0, 1, False)
    assert abc.buy(ann, 2, on="2026-06-03T23:59:59.999Z") == "BEFORE_FIRST_CYCLE"
    # Inside the delay late activity counts in the cycle of its date.
    org.move_clock("2026-06-12T23:59:59.999Z")
    assert abc.buy(ann, 4, on="2026-06-10T00:00:00Z") == (p1, 1, 5, False)
    assert abc.buy(ann, 8, on="2026-06-11T00:00:00Z") == (p2, 0, 8, False)
    org.move_clock("2026-06-13T00:00:00Z")
    assert abc.buy(ann, 4, on="2026-06-10T00:00:00Z") == "CYCLE_CLOSED"


def test_own_cycles_are_settled_at_their_own_ends(org: Org) -> None:
    abc, (p1, p2, p3) = cyclic(org, rewardAllocation="PERIOD_END", settlementDelayDays=1)
    ann, ben = org.register(), org.register()
    assert abc.enrol(ann) == abc.enrol(ben) == ACCEPTED
    org.move_clock("2026-06-03T12:00:00Z")
    assert abc.buy(ann, 100) == (p1, 0, 100, True)
    org.move_clock("2026-06-05T12:00:00Z")
    assert abc.buy(ben, 50) == (p1, 0, 50, False)
    org.move_clock("2026-06-11T11:59:59.999Z")
    assert abc.rewards(ann) == []
    org.move_clock("2026-06-11T12:00:00Z")
    assert abc.rewards(ann) == [("Voucher", p1, 1)]
    assert abc.buy(ann, 100) == (p2, 0, 100, True)
    # However far the clock is moved, each cycle is settled once, and in order.
    org.move_clock("2026-08-01T00:00:00Z")
    assert abc.rewards(ann) == [("Voucher", p1, 1), ("Voucher", p2, 1)]
    assert settlements(abc, ann) == [
        (p1, "SETTLED_ACHIEVED", "2026-06-11T12:00:00.000Z"),
        (p2, "SETTLED_ACHIEVED", "2026-06-18T12:00:00.000Z"),
        (p3, "SETTLED_UNACHIEVED", "2026-06-25T12:00:00.000Z"),
    ]
    assert [cycle for cycle, *_ in settlements(abc, ben)] == [p1, p2, p3]
    assert abc.rewards(ben) == []


def test_of_who_left_before_the_end_of_an_own_cycle_it_is_not_settled(org: Org) -> None:
    abc, (p1, *_) = cyclic(org, rewardAllocation="PERIOD_END")
    ann, ben = org.register(), org.register()
    for customer in (ann, ben):
        assert abc.enrol(customer) == ACCEPTED
        assert abc.buy(customer, 100) == (p1, 0, 100, True)
    org.move_clock("2026-06-07T23:59:59.999Z")
    assert abc.unenrol(ann) == ACCEPTED
    org.move_clock("2026-06-08T00:00:00Z")
    assert abc.unenrol(ben) == ACCEPTED
    assert (abc.rewards(ann), abc.rewards(ben)) == ([], [("Voucher", p1, 1)])
    assert (abc.covered(ann), abc.covered(ben)) == ([], [p1])


def test_who_comes_back_goes_on_in_the_same_cyclic_cycles(org: Org) -> None:
    abc, (p1, p2, _) = cyclic(org)
    ann = org.register()
    assert abc.enrol(ann) == ACCEPTED
    assert abc.buy(ann, 30) == (p1, 0, 30, False)
    assert abc.unenrol(ann) == ACCEPTED
    assert abc.buy(ann, 30) == "NOT_ENROLLED"
    org.move_clock("2026-06-05T00:00:00Z")
    assert abc.enrol(ann) == ACCEPTED
    assert abc.buy(ann, 30) == (p1, 30, 60, False)
    org.move_clock("2026-06-08T00:00:00Z")
    assert abc.buy(ann, 30) == (p2, 0, 30, False)


def test_cyclic_months_keep_the_day_and_the_local_time(service: Service) -> None:
    org = service.new_org(now="2026-01-31T12:00:00Z")
    abc, (p1, p2, p3) = cyclic(org, frequencyType="MONTHLY", timeZoneName="Europe/Berlin")
    ann = org.register()
    assert abc.enrol(ann) == ACCEPTED
    assert abc.buy(ann, 1) == (p1, 0, 1, False)
    for ends, cycle in (("2026-02-28T12:00:00Z", p2), ("2026-03-31T11:00:00Z", p3)):
        org.move_clock(ends)
        assert abc.buy(ann, 1) == (cycle, 0, 1, False)
    org.move_clock("2026-04-30T11:00:00Z")
    assert abc.buy(ann, 1) == "ALL_CYCLES_OVER"


@pytest.mark.parametrize("window", WINDOWS)
def test_an_own_cycle_begins_no_sooner_than_its_group(org: Org, window: str) -> None:
    abc, (p1, *_) = own(org, window, targetCycleStartDate="2026-06-10")
    ann = org.register()
    assert abc.enrol(ann) == ACCEPTED
    assert abc.buy(ann, 1) == "NO_CYCLE"
    org.move_clock("2026-06-10T00:00:00Z")
    assert abc.buy(ann, 2, on="2026-06-09T23:59:59.999Z") == "NO_CYCLE"
    assert abc.buy(ann, 1) == (p1, 0, 1, False)


def test_a_period_agnostic_cycle_closes_when_it_is_achieved_and_the_next_one_opens(
    org: Org,
) -> None:
    abc, (p1, p2, p3) = agnostic(org)
    ann = org.register()
    assert abc.enrol(ann) == ACCEPTED
    assert abc.buy(ann, 60) == (p1, 0, 60, False)
    # No date ends it.
    org.move_clock("2027-06-01T00:00:00Z")
    assert abc.buy(ann, 60) == (p1, 60, 120, True)
    assert abc.buy(ann, 99) == (p2, 0, 99, False)
    assert abc.buy(ann, 1, on="2026-06-02T00:00:00Z") == (p2, 99, 100, True)
    assert abc.buy(ann, 100) == (p3, 0, 100, True)
    assert abc.buy(ann, 100) == "ALL_CYCLES_OVER"
    assert abc.rewards(ann) == [("Voucher", cycle, 1) for cycle in (p1, p2, p3)]
    assert abc.values(ann) == [120, 100, 100]
    assert abc.unenrol(ann) in (ACCEPTED, 310126)


def test_an_achieved_period_agnostic_cycle_is_over_and_stays_when_the_customer_leaves(
    org: Org,
) -> None:
    abc, (p1, p2, _) = agnostic(org)
    ann = org.register()
    assert abc.enrol(ann) == ACCEPTED
    assert abc.buy(ann, 100) == (p1, 0, 100, True)
    assert abc.buy(ann, 30) == (p2, 0, 30, False)
    assert abc.unenrol(ann) == ACCEPTED
    assert (abc.covered(ann), abc.values(ann)) == ([p1], [100, 0, 0])
    assert abc.buy(ann, 99) == "NOT_ENROLLED"
    assert abc.enrol(ann) == ACCEPTED
    assert abc.buy(ann, 50) == (p2, 30, 80, False)
    assert abc.unenrol(ann) == ACCEPTED
    assert (abc.covered(ann), abc.values(ann)) == ([p1], [100, 0, 0])


def test_a_return_of_what_a_period_agnostic_cycle_closed_with_changes_nothing(org: Org) -> None:
    abc, (p1, p2, _) = agnostic(org)
    ann = org.register()
    assert abc.enrol(ann) == ACCEPTED
    assert abc.buy(ann, 60, id="s1") == (p1, 0, 60, False)
    assert abc.give_back(ann, "s1", 20) == (p1, 60, 40, False)
    assert abc.buy(ann, 60, id="s2") == (p1, 40, 100, True)
    assert abc.give_back(ann, "s2", 20) == "CYCLE_CLOSED"
    assert abc.buy(ann, 5) == (p2, 0, 5, False)


def test_a_return_of_what_a_closed_own_cycle_had_is_carried_forward(org: Org) -> None:
    abc, (p1, p2, _) = agnostic(org, carryReturnsForward=True)
    ann = org.register()
    assert abc.enrol(ann) == ACCEPTED
    assert abc.buy(ann, 100, id="s") == (p1, 0, 100, True)
    assert abc.give_back(ann, "s", 30) == (p2, 0, -30, False)
    assert abc.buy(ann, 130) == (p2, -30, 100, True)


@pytest.mark.parametrize("window", WINDOWS)
def test_rule_13_a_balance_goes_to_the_first_open_cycle(org: Org, window: str) -> None:
    abc, (p1, p2, p3) = own(org, window)
    ann, ben = org.register(), org.register()
    assert abc.enrol(ann, p3, initialBalance=70) == ACCEPTED
    assert abc.values(ann) == [70, 0, 0]
    assert abc.buy(ann, 30) == (p1, 70, 100, True)
    assert abc.unenrol(ann) == ACCEPTED
    org.move_clock("2026-06-08T00:00:00Z")
    assert abc.enrol(ann, p1, initialBalance=20) == ACCEPTED
    assert abc.value(ann, p2) == 20
    assert abc.buy(ann, 10) == (p2, 20, 30, False)
    assert abc.enrol(ben, "no such cycle") == PERIOD_NOT_FOUND
    assert abc.enrol(ben) == ACCEPTED


def cyclic(org: Org, **fields: Any) -> tuple[Challenge, list[str]]:
    """A milestone of three own weeks that ask for 100, and the names of its cycles."""
    return own(org, "CYCLIC_WINDOW", **fields)


def agnostic(org: Org, **fields: Any) -> tuple[Challenge, list[str]]:
    """A milestone of three cycles that last until they have 100, and the names of its cycles."""
    return own(org, "PERIOD_AGNOSTIC_WINDOW", **fields)


def own(org: Org, window: str, **fields: Any) -> tuple[Challenge, list[str]]:
    group = {"frequencyType": "WEEKLY", "frequency": 1, "recurringCycles": 3, **fields}
    abc = define_milestone(org, asked=100, targetEvaluationType=window, **group)
    return abc, list(abc.periods)


def settlements(abc: Challenge, customer: int) -> list[tuple[str, str, str]]:
    """The cycles that were settled for the customer, in order, how and when."""
    path = f"/milepost/v1/customers/{customer}/explanation"
    return [
        (each["periodRefCode"], each["reason"], each["at"])
        for each in data(abc.org.get(path))
        if each["what"] == "SETTLED"
    ]
