"""Contract §4 rule 11 with `carryReturnsForward`: a return lowers a later cycle instead.

A milestone ABC has five cycles, c1 to c5: June to October 2026, each asking for 1000.
"""

from __future__ import annotations

import pytest

from tests.harness import Org
from tests.scenarios.vocabulary import (
    ACCEPTED,
    Challenge,
    define_milestone,
    define_streak,
    item,
    sale,
)


def test_a_rewarded_cycle_is_left_alone_and_the_next_one_is_that_much_lower(org: Org) -> None:
    abc, ann = ahead(org), org.register()
    assert abc.enrol(ann, "c1") == ACCEPTED
    assert abc.buy(ann, 1200, id="s") == ("c1", 0, 1200, True)
    assert abc.give_back(ann, "s", 500) == ("c2", 0, -500, False)
    assert abc.give_back(ann, "s", 700) == ("c2", -500, -1200, False)
    assert abc.values(ann) == [1200, -1200, 0, 0, 0]
    assert abc.achieved(ann) == ["c1"]
    assert abc.told(ann)[-2:] == [("COUNTED", "CARRIED_FORWARD")] * 2


def test_a_cycle_that_is_open_and_not_rewarded_is_lowered_itself(org: Org) -> None:
    abc, ann = ahead(org), org.register()
    assert abc.enrol(ann, "c1") == ACCEPTED
    assert abc.buy(ann, 900, id="s") == ("c1", 0, 900, False)
    assert abc.give_back(ann, "s", 500) == ("c1", 900, 400, False)


@pytest.mark.parametrize("amount", [900, 1000])
def test_a_closed_cycle_is_left_alone_rewarded_or_not(org: Org, amount: int) -> None:
    abc, ann = ahead(org, settlementDelayDays=2), org.register()
    assert abc.enrol(ann, "c1") == ACCEPTED
    assert abc.buy(ann, amount, id="s") == ("c1", 0, amount, amount == 1000)
    org.move_clock("2026-07-10T00:00:00Z")
    assert abc.buy(ann, 300) == ("c2", 0, 300, False)
    assert abc.give_back(ann, "s", 500) == ("c2", 300, -200, False)
    assert abc.value(ann, "c1") == amount


def test_with_period_end_a_cycle_is_lowered_until_its_reward_is_granted(org: Org) -> None:
    abc, ann = ahead(org, rewardAllocation="PERIOD_END"), org.register()
    assert abc.enrol(ann, "c1") == ACCEPTED
    assert abc.buy(ann, 1100, id="s") == ("c1", 0, 1100, True)
    assert abc.give_back(ann, "s", 100) == ("c1", 1100, 1000, True)
    org.move_clock("2026-07-01T00:00:00Z")
    assert abc.rewards(ann) == [("Voucher", "c1", 1)]
    assert abc.give_back(ann, "s", 100) == ("c2", 0, -100, False)


def test_the_first_later_cycle_is_enrolled_in_not_closed_and_not_rewarded(org: Org) -> None:
    abc, ann = ahead(org), org.register()
    # In c1 and from c3 on: c2 was left. c3 is rewarded by its balance.
    assert abc.enrol(ann, "c1") == ACCEPTED
    assert abc.buy(ann, 1000, id="s") == ("c1", 0, 1000, True)
    org.move_clock("2026-07-10T00:00:00Z")
    assert abc.unenrol(ann) == ACCEPTED
    assert abc.enrol(ann, "c3", initialBalance=1000) == ACCEPTED
    assert abc.covered(ann) == ["c1", "c3", "c4", "c5"]
    assert abc.give_back(ann, "s", 10) == ("c4", 0, -10, False)
    # c4 ends: it is closed, and the next one is the last.
    org.move_clock("2026-10-01T00:00:00Z")
    assert abc.give_back(ann, "s", 20) == ("c5", 0, -20, False)
    org.move_clock("2026-11-01T00:00:00Z")
    assert abc.give_back(ann, "s", 30) == "CYCLE_CLOSED"
    assert abc.values(ann) == [1000, 0, 1000, -10, -20]


def test_who_is_in_no_later_cycle_keeps_what_was_rewarded(org: Org) -> None:
    abc, ann = define_milestone(org, cycles=1, carryReturnsForward=True), org.register()
    assert abc.enrol(ann, "c1") == ACCEPTED
    assert abc.buy(ann, 1000, id="s") == ("c1", 0, 1000, True)
    assert abc.give_back(ann, "s", 10) == "ALREADY_REWARDED"
    assert abc.achieved(ann) == ["c1"]


def test_a_later_cycle_that_is_achieved_and_not_rewarded_yet_is_un_achieved(org: Org) -> None:
    abc, ann = ahead(org, rewardAllocation="PERIOD_END"), org.register()
    assert abc.enrol(ann, "c1") == ACCEPTED
    assert abc.buy(ann, 1000, id="s") == ("c1", 0, 1000, True)
    org.move_clock("2026-07-10T00:00:00Z")
    assert abc.buy(ann, 1000) == ("c2", 0, 1000, True)
    assert abc.give_back(ann, "s", 1) == ("c2", 1000, 999, False)
    assert abc.achieved(ann) == ["c1"]
    org.move_clock("2026-08-01T00:00:00Z")
    assert abc.rewards(ann) == [("Voucher", "c1", 1)]


def test_items_are_carried_by_what_was_returned_of_them_or_by_the_bill(org: Org) -> None:
    coffee = {"targetEntity": "LINEITEM", "expression": "currentLineItem.sku == 'coffee'"}
    abc, ann = ahead(org, target=coffee, asked=100), org.register()
    assert abc.enrol(ann, "c1") == ACCEPTED
    bill = [item("coffee", 100, 10), item("milk", 200, 10)]
    assert abc.buy(ann, 300, id="s1", lineItems=bill) == ("c1", 0, 100, True)
    assert abc.give_back(ann, "s1", 30, lineItems=[item("coffee", 10), item("milk", 20)]) == (
        "c2", 0, -10, False
    )  # fmt: skip
    # In thirds of a bill, and all of it in the end.
    assert abc.buy(ann, 300, id="s2", lineItems=bill) == ("c1", 100, 200, True)
    assert abc.give_back(ann, "s2", 100) == ("c2", -10, -43.33, False)
    assert abc.give_back(ann, "s2", 100) == ("c2", -43.33, -76.67, False)
    assert abc.give_back(ann, "s2", 100) == ("c2", -76.67, -110, False)


def test_a_lowered_cycle_that_has_not_begun_begins_there(org: Org) -> None:
    abc, ann = ahead(org), org.register()
    assert abc.enrol(ann, "c1") == ACCEPTED
    assert abc.buy(ann, 1000, id="s") == ("c1", 0, 1000, True)
    assert abc.give_back(ann, "s", 250) == ("c2", 0, -250, False)
    org.move_clock("2026-07-05T00:00:00Z")
    assert abc.missing(ann, "c2") == 1250
    bought = sale(ann, 1250, org.now())
    assert abc.send(bought) == ("c2", -250, 1000, True)
    assert abc.rewards(ann) == [("Voucher", "c1", 1), ("Voucher", "c2", 1)]


def test_a_streaks_cycle_is_lowered_while_it_is_open_and_later_ones_after_that(org: Org) -> None:
    streak = define_streak(org, levels=(1, 2), asked=1, carryReturnsForward=True)
    ann = org.register()
    assert streak.enrol(ann) == ACCEPTED
    assert streak.buy(ann, id="s") == ("c1", 0, 1, True)
    org.move_clock("2026-06-02T00:00:00Z")
    assert streak.give_back(ann, "s", 1) == ("c2", 0, -1, False)
    assert streak.buy(ann) == ("c2", -1, 0, False)
    assert streak.counter(ann) == 1
    assert streak.buy(ann) == ("c2", 0, 1, True)
    assert streak.counter(ann) == 2


def ahead(org: Org, **fields: object) -> Challenge:
    """A milestone that carries returns forward."""
    group: dict[str, object] = {"carryReturnsForward": True, **fields}
    return define_milestone(org, **group)  # type: ignore[arg-type]
