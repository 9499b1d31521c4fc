"""Returns: contract §4 rule 11, domain milestones §4.12 and Appendix B 17 and 18."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from milepost.errors import Refusal
from milepost.rules.activities import Activity
from milepost.rules.definitions import PERIOD_AGNOSTIC, TargetGroup
from milepost.rules.recording import Recorded
from tests.rules.samples import (
    CUSTOMER,
    TARGET,
    Rows,
    Story,
    code,
    cyclic,
    day,
    definitions,
    event,
    exact,
    item,
    milestone,
    refund,
    sale,
    streak,
    unified,
    with_target,
)

LINES = (item("book", 60, 2, author="Borges"), item("pen", 40, 4, author="none"))


def enrolled(group: TargetGroup | None = None, at: float = 0, **others: Any) -> Story:
    story = Story(group or milestone(**others), day(at))
    assert story.enrol() == 0
    return story


def bought(entity: str, kind: str, *lines: Any, net: float = 100, **target: Any) -> Story:
    """A customer with one bill of 100 net and 200 gross, counted by entity and kind."""
    story = enrolled(
        with_target(milestone(), target_entity=entity, target_type=kind, **target), at=1
    )
    story.record(sale("tx-1", net, 1, *lines, gross=2 * net))
    return story


def value(story: Story, name: str = "c1") -> Decimal:
    row = story.row(name)
    return row.value if row is not None else Decimal(0)


def refused(outcome: Recorded | Refusal) -> bool:
    return isinstance(outcome, Refusal) and outcome.error.code == 300004


# How much


@pytest.mark.parametrize(
    ("entity", "kind", "returned", "left"),
    [
        ("TRANSACTION", "SALES", refund("rt-1", "tx-1", 30, 1), 70),
        ("TRANSACTION", "SALES", refund("rt-1", "tx-1", 30, 1, gross=90), 70),
        ("TRANSACTION", "SALES", refund("rt-1", "tx-1", 100, 1), 0),
        ("TRANSACTION", "GROSS_SALES", refund("rt-1", "tx-1", 30, 1, gross=90), 110),
        ("TRANSACTION", "GROSS_SALES", refund("rt-1", "tx-1", 30, 1), 170),
        ("TRANSACTION", "GROSS_SALES", refund("rt-1", "tx-1", 100, 1), 100),
        ("TRANSACTION", "GROSS_SALES", refund("rt-1", "tx-1", 100, 1, gross=500), 0),
        ("TRANSACTION", "QUANTITY", refund("rt-1", "tx-1", 30, 1, item("pen", 30, 3)), 3),
        ("TRANSACTION", "QUANTITY", refund("rt-1", "tx-1", 30, 1), 6),
        ("TRANSACTION", "COUNT", refund("rt-1", "tx-1", 99.99, 1), 1),
        ("TRANSACTION", "COUNT", refund("rt-1", "tx-1", 100, 1), 0),
        ("TRANSACTION", "VISIT", refund("rt-1", "tx-1", 99.99, 1), 1),
        ("TRANSACTION", "VISIT", refund("rt-1", "tx-1", 100, 1), 0),
        ("LINEITEM", "SALES", refund("rt-1", "tx-1", 30, 1, item("book", 30, 1)), 30),
        ("LINEITEM", "SALES", refund("rt-1", "tx-1", 10, 1, item("pen", 10, 1)), 60),
        ("LINEITEM", "GROSS_SALES", refund("rt-1", "tx-1", 30, 1, item("book", 30, 1)), 60),
        ("LINEITEM", "QUANTITY", refund("rt-1", "tx-1", 30, 1, item("book", 30, 1)), 1),
        ("LINEITEM", "QUANTITY", refund("rt-1", "tx-1", 30, 1), 2),
    ],
)
def test_a_return_lowers_by_net_by_gross_by_its_lines_or_by_one_once_it_is_whole(
    entity: str, kind: str, returned: Activity, left: int
) -> None:
    expression = "book" if entity == "LINEITEM" else "true"
    story = bought(entity, kind, *LINES, expression=expression)
    before = value(story)
    (outcome,) = story.record(returned)
    assert isinstance(outcome, Recorded)
    assert value(story) == left
    told = [number for each in outcome.effects for number in (each.before, each.after)]
    assert told == ([before, left] if before != left else [])


@pytest.mark.parametrize(("entity", "kind"), [("TRANSACTION", "COUNT"), ("EVENT", "VISIT")])
def test_what_counts_once_goes_with_the_last_part(entity: str, kind: str) -> None:
    story = bought(entity, kind)
    reasons = [story.give_back("tx-1", amount) for amount in (50, 49, 1)]
    assert reasons == ["PARTLY_RETURNED", "PARTLY_RETURNED", "RETURNED"]
    assert value(story) == 0


@pytest.mark.parametrize("kind", ["SALES", "GROSS_SALES", "QUANTITY", "COUNT", "VISIT"])
def test_a_full_return_takes_all_that_is_left_whatever_amount_it_names(kind: str) -> None:
    story = bought("TRANSACTION", kind, *LINES)
    story.give_back("tx-1", 10)
    assert story.give_back("tx-1", 100, full=True) == "RETURNED"
    assert value(story) == 0
    (outcome,) = story.record(refund("rt-9", "tx-1", 1, 1))
    assert refused(outcome)


@pytest.mark.parametrize(
    ("entity", "kind", "info"),
    [("TRANSACTION", "EXTENDED_FIELD", "tip"), ("LINEITEM", "EXTENDED_FIELD", "weight")],
)
def test_other_types_are_not_lowered(entity: str, kind: str, info: str) -> None:
    group = with_target(
        milestone(), target_entity=entity, target_type=kind, extended_field_info={"name": info}
    )
    story = enrolled(group)
    line = item("book", 60, 2, weight=5)
    story.record(replace(sale("tx-1", 100, 0, line), attributes={"tip": 5}))
    assert story.give_back("tx-1", 100) == "NOTHING_TO_RETURN"
    assert value(story) == 5


def test_a_sale_that_added_nothing_has_nothing_to_take_back() -> None:
    story = Story(milestone())
    story.spend(100)
    story.enrol()
    assert story.give_back("tx-1", 50) == ""
    assert value(story) == 0


def test_a_second_visit_of_a_day_has_nothing_to_take_back_and_the_day_can_count_again() -> None:
    story = bought("TRANSACTION", "VISIT")
    story.spend(10)
    assert story.give_back("tx-2", 10) == ""
    assert story.give_back("tx-1", 100) == "RETURNED"
    assert value(story) == 0
    assert story.spend(10) == "ADDED"


def test_a_day_gives_no_more_back_than_it_contributed() -> None:
    window = {"windowType": "MIN"}
    story = enrolled(with_target(milestone(), aggregate_window=window), at=1)
    story.spend(100)
    story.spend(60)
    assert value(story) == 60
    assert story.give_back("tx-2", 60) == "NOTHING_TO_RETURN"
    assert story.give_back("tx-1", 100) == "RETURNED"
    assert value(story) == 0


def test_a_days_best_gives_back_what_it_added_over_the_one_before() -> None:
    story = enrolled(with_target(milestone(), aggregate_window={"windowType": "MAX"}), at=1)
    story.spend(60)
    story.spend(100)
    assert story.give_back("tx-2", 100) == "RETURNED"
    assert value(story) == 60
    assert story.spend(80) == "ADDED"
    assert value(story) == 80


def test_a_returned_line_need_not_repeat_what_the_expression_asks_about() -> None:
    story = bought("LINEITEM", "QUANTITY", *LINES, expression="by Borges")
    assert story.give_back("tx-1", 30, item("book", 30, 1)) == "RETURNED"
    assert value(story) == 1
    assert story.give_back("tx-1", 10, item("pen", 10, 1)) == "NOTHING_TO_RETURN"


def test_what_the_expression_asks_of_the_bill_is_asked_of_the_bill_not_of_the_return() -> None:
    story = bought("LINEITEM", "SALES", *LINES, expression="big")
    assert story.give_back("tx-1", 30, item("book", 30, 1)) == "RETURNED"
    assert value(story) == 70


@pytest.mark.parametrize("carry", [False, True])
def test_several_returns_together_take_no_more_than_the_sale_added(carry: bool) -> None:
    story = enrolled(
        with_target(milestone(asked=200, carry_returns_forward=carry), target_type="GROSS_SALES")
    )
    story.record(sale("tx-1", 100, 0, gross=200))
    reasons = [story.give_back("tx-1", 10, gross=150) for _ in range(3)]
    assert reasons == ["CARRIED_FORWARD" if carry else "RETURNED"] * 2 + ["NOTHING_TO_RETURN"]
    assert value(story, "c2" if carry else "c1") == (-200 if carry else 0)


# Rejections


@pytest.mark.parametrize(
    "wrong",
    [
        refund("rt-1", "none", 10, 2),
        refund("rt-1", "ev-1", 10, 2),
        refund("rt-1", "rt-0", 10, 2),
        refund("rt-1", "tx-1", 10, 0.99),
        refund("rt-1", "tx-1", 90.01, 2),
        refund("rt-1", "tx-1", 10, 2, item("book", 10, 3)),
        refund("rt-1", "tx-1", 10, 2, item("bag", 10, 1)),
        refund("rt-1", "tx-1", 10, 2, customer=2),
    ],
    ids=["unknown", "event", "return", "early", "too much", "too many", "not sold", "others'"],
)
def test_what_cannot_be_returned_is_rejected(wrong: Activity) -> None:
    story = enrolled(at=3)
    story.rows.customers = frozenset({1, 2})
    story.record(
        sale("tx-1", 100, 1, *LINES), event("ev-1", "runLogged"), refund("rt-0", "tx-1", 10, 2)
    )
    before = story.rows.told()
    (outcome,) = story.record(wrong)
    assert refused(outcome)
    assert story.rows.told() == before
    (outcome,) = story.record(refund("rt-1", "tx-1", 90, 1))
    assert isinstance(outcome, Recorded)


def test_more_than_is_left_is_rejected_however_it_is_split() -> None:
    story = enrolled(at=1)
    outcomes = story.record(
        sale("tx-1", 100, 1),
        *(refund(f"rt-{number}", "tx-1", 40, 1) for number in (1, 2, 3)),
        refund("rt-4", "tx-1", 20, 1),
        refund("rt-5", "tx-1", 0.01, 1),
    )
    assert [code(outcome) for outcome in outcomes] == [0, 0, 0, 300004, 0, 300004]
    assert value(story) == 0


def test_the_same_return_again_is_a_duplicate() -> None:
    story = enrolled()
    story.spend(100)
    first, again = story.record(refund("rt-1", "tx-1", 60), refund("rt-1", "tx-1", 60))
    assert isinstance(first, Recorded)
    assert again == Recorded("DUPLICATE")
    assert value(story) == 40


def test_the_sale_may_come_in_the_same_batch_but_not_after_its_return() -> None:
    story = enrolled()
    outcomes = story.record(
        refund("rt-1", "tx-1", 60), sale("tx-1", 100), refund("rt-1", "tx-1", 60)
    )
    assert [code(outcome) for outcome in outcomes] == [300004, 0, 0]
    assert value(story) == 40


# Where: the original's cycle, while it is open and in the current attempt


def test_the_originals_cycle_is_lowered_whenever_the_return_is_dated() -> None:
    story = enrolled(settlement_delay_days=9)
    story.spend(100)
    story.now = day(12)
    story.spend(100)
    assert story.give_back("tx-1", 30) == "RETURNED"
    assert [value(story, "c1"), value(story, "c2")] == [70, 100]


@pytest.mark.parametrize(("delay_days", "reason"), [(0, "CYCLE_CLOSED"), (1, "RETURNED")])
def test_a_closed_cycle_is_left_alone(delay_days: int, reason: str) -> None:
    story = enrolled(settlement_delay_days=delay_days)
    story.spend(100)
    story.now = day(10)
    assert story.give_back("tx-1", 30) == reason
    assert value(story) == (70 if delay_days else 100)


def test_what_an_earlier_attempt_added_stays_out_of_the_current_one() -> None:
    story = enrolled()
    story.spend(100)
    story.unenrol()
    story.enrol("c1", 500)
    assert story.give_back("tx-1", 100) == "EARLIER_ATTEMPT"
    assert value(story) == 500


def test_a_re_enrolment_that_keeps_the_value_keeps_it_returnable() -> None:
    story = enrolled()
    story.spend(100)
    story.unenrol()
    story.enrol("c1")
    assert story.give_back("tx-1", 30) == "RETURNED"
    assert value(story) == 70


def test_a_cycle_that_was_left_is_not_lowered() -> None:
    story = enrolled()
    story.spend(100)
    story.unenrol()
    assert story.give_back("tx-1", 30) == "NOT_ENROLLED"
    story.enrol("c1")
    assert value(story) == 100
    # Its sale added 100 of which nothing was taken: only what is returned now is.
    assert story.give_back("tx-1", 70) == "RETURNED"
    assert value(story) == 30


def test_a_balance_is_never_given_back() -> None:
    story = Story(milestone())
    story.enrol("c1", 50)
    story.spend(100)
    story.give_back("tx-1", 100)
    assert value(story) == 50


@pytest.mark.parametrize("carry", [False, True])
def test_after_a_reset_the_attempt_before_is_over_for_returns_too(carry: bool) -> None:
    story = enrolled(streak(settlement_delay_days=9, carry_returns_forward=carry))
    story.spend(1000)
    story.now = day(12)
    story.unenrol()
    story.enrol(reset=True)
    story.spend(400)
    assert story.give_back("tx-1", 1000) == "EARLIER_ATTEMPT"
    assert [value(story, "c1"), value(story, "c2")] == [1000, 400]


@pytest.mark.parametrize("off", ["group", "target"])
def test_while_inactive_a_return_changes_nothing(off: str) -> None:
    story = enrolled()
    story.spend(100)
    if off == "group":
        story.edit(replace(story.group, active=False))
    else:
        story.edit(with_target(story.group, active=False))
    assert story.give_back("tx-1", 30) == f"{off.upper()}_INACTIVE"
    assert value(story) == 100


def test_an_organisation_may_keep_returns_away_from_targets() -> None:
    story = Story(milestone(), day(0), returns_adjust_targets=False)
    story.enrol()
    story.spend(100)
    assert story.give_back("tx-1", 100) == "RETURNS_IGNORED"
    assert value(story) == 100
    # It is a return all the same.
    (outcome,) = story.record(refund("rt-9", "tx-1", 1))
    assert refused(outcome)


def test_a_return_counts_for_a_target_that_counts_returns() -> None:
    group = with_target(
        milestone(), target_entity="EVENT", target_type="COUNT", event_name="ReturnBill"
    )
    story = enrolled(group)
    story.spend(100)
    assert story.give_back("tx-1", 30) == "ADDED"
    assert value(story) == 1


# What follows: un-achieving


def test_a_return_un_achieves_a_cycle_and_the_reward_stays_and_is_not_granted_again() -> None:
    story = enrolled()
    story.spend(1000)
    granted = list(story.rewards)
    story.give_back("tx-1", 1)
    assert not story.achieved("c1")
    (entry,) = [entry for entry in story.journal if entry.what == "UNACHIEVED"]
    assert entry.reason == "RETURNED"
    assert entry.details["kept"] == ["Fifty", "Explorer"]
    story.spend(1)
    assert story.achieved("c1")
    assert story.rewards == granted
    assert [e.what for e in story.journal if e.reason in ("REACHED", "RETURNED")] == [
        "ACHIEVED",
        "UNACHIEVED",
        "ACHIEVED",
    ]


def test_a_return_that_leaves_enough_takes_nothing_back() -> None:
    story = enrolled()
    story.spend(1500)
    story.give_back("tx-1", 500)
    assert story.achieved("c1")
    assert not [entry for entry in story.journal if entry.what == "UNACHIEVED"]


def test_what_is_reached_again_in_a_new_attempt_is_rewarded_again() -> None:
    story = enrolled()
    story.spend(1000)
    story.give_back("tx-1", 1000)
    story.unenrol()
    story.enrol("c1", 0)
    story.spend(1000)
    assert [attempt for _, attempt, _ in story.rewards] == [1, 1, 2, 2]


def test_a_period_end_reward_is_lost_with_the_value() -> None:
    story = enrolled(reward_allocation="PERIOD_END")
    story.spend(1000)
    story.give_back("tx-1", 1)
    row = story.row("c1")
    assert row is not None
    assert (row.achieved_at, row.rewarded_attempt) == (None, None)


def test_a_unified_condition_is_lost_with_a_member() -> None:
    group = unified("TransactionAdd", "other", combination="ANY", asked=1)
    story = Story(group)
    story.enrol(target=71)
    story.spend(10)
    story.give_back("tx-1", 10)
    assert [e.reason for e in story.journal if e.reason.startswith("UNIFIED")] == [
        "UNIFIED_REACHED",
        "UNIFIED_LOST",
    ]


# Carried forward


def monthly(**others: Any) -> Story:
    """5000 a cycle, with returns carried forward; 6500 were spent in January, which is c1."""
    story = enrolled(milestone(asked=5000, carry_returns_forward=True, **others))
    story.spend(6500)
    assert len(story.rewards) == 2
    return story


def test_appendix_b_17_a_rewarded_january_is_left_alone_and_february_starts_at_minus_3000() -> None:
    story = monthly()
    assert story.give_back("tx-1", 3000) == "CARRIED_FORWARD"
    assert [value(story, "c1"), value(story, "c2")] == [6500, -3000]
    assert story.achieved("c1")
    story.now = day(11)
    story.spend(7999)
    assert not story.achieved("c2")
    story.spend(1)
    assert story.achieved("c2")


def test_appendix_b_18_line_items_are_prorated_and_february_starts_at_minus_1346_15() -> None:
    group = with_target(
        milestone(asked=5000, carry_returns_forward=True),
        target_entity="LINEITEM",
        expression="book",
    )
    story = enrolled(group)
    story.record(sale("tx-1", 6500, 0, item("book", 5000), item("pen", 1500)))
    assert story.give_back("tx-1", 1750) == "CARRIED_FORWARD"
    assert [value(story, "c1"), value(story, "c2")] == [5000, exact(-1346.15)]


def test_what_is_carried_in_proportion_is_a_share_of_the_target_value_where_more_was_added() -> (
    None
):
    group = milestone(asked=5000, carry_returns_forward=True)
    story = enrolled(with_target(group, target_entity="LINEITEM"))
    story.record(sale("tx-1", 6500, 0, item("book", 6500)))
    assert story.give_back("tx-1", 1750) == "CARRIED_FORWARD"
    assert [value(story, "c1"), value(story, "c2")] == [6500, exact(-1346.15)]
    assert story.give_back("tx-1", 4750) == "CARRIED_FORWARD"
    assert value(story, "c2") == -5000


def test_prorated_returns_of_a_whole_bill_take_the_whole() -> None:
    story = bought(
        "LINEITEM", "SALES", item("book", 10), item("pen", 20), net=30, expression="book"
    )
    left = []
    for _ in range(3):
        story.give_back("tx-1", 10)
        left.append(value(story))
    assert left == [exact(6.67), exact(3.33), 0]


def test_without_the_setting_nothing_is_carried() -> None:
    story = enrolled(asked=5000)
    story.spend(6500)
    assert story.give_back("tx-1", 3000) == "RETURNED"
    assert value(story) == 3500
    assert story.row("c2") is None


def test_a_cycle_that_is_open_and_not_rewarded_drops_itself() -> None:
    story = enrolled(asked=5000, carry_returns_forward=True)
    story.spend(4000)
    assert story.give_back("tx-1", 3000) == "RETURNED"
    assert value(story) == 1000
    assert story.row("c2") is None


def test_a_closed_cycle_carries_forward_rewarded_or_not() -> None:
    story = enrolled(asked=5000, carry_returns_forward=True)
    story.spend(4000)
    story.now = day(12)
    assert story.give_back("tx-1", 3000) == "CARRIED_FORWARD"
    assert [value(story, "c1"), value(story, "c2")] == [4000, -3000]


def test_it_goes_to_the_first_later_cycle_that_is_open_not_rewarded_and_not_left() -> None:
    story = monthly()
    story.now = day(11)
    story.spend(5000)
    story.give_back("tx-1", 100)
    assert [value(story, name) for name in ("c2", "c3")] == [5000, -100]
    story.now = day(31)
    story.give_back("tx-1", 100)
    assert [value(story, name) for name in ("c3", "c4", "c5")] == [-100, -100, 0]


def test_returns_carried_forward_add_up_in_one_batch_and_in_several() -> None:
    story = monthly()
    story.give_back("tx-1", 1000)
    story.record(
        sale("tx-2", 500, 0), refund("rt-8", "tx-2", 500, 0), refund("rt-9", "tx-1", 1000, 0)
    )
    assert value(story, "c2") == -2500
    (outcome,) = story.record(refund("rt-10", "tx-1", 4500.01, 0))
    assert refused(outcome)


@pytest.mark.parametrize(("now", "reason"), [(41, "ALREADY_REWARDED"), (51, "CYCLE_CLOSED")])
def test_without_a_later_cycle_nothing_is_carried(now: float, reason: str) -> None:
    story = Story(milestone(carry_returns_forward=True), day(41))
    story.enrol()
    story.spend(1000)
    story.now = day(now)
    assert story.give_back("tx-1", 10) == reason
    assert value(story, "c5") == 1000


def test_a_cycle_that_the_customer_left_takes_nothing_over() -> None:
    story = monthly()
    story.now = day(11)
    story.unenrol()
    assert story.give_back("tx-1", 10) == "CYCLE_CLOSED"
    story.enrol("c4")
    assert story.give_back("tx-1", 10) == "CARRIED_FORWARD"
    assert value(story, "c4") == -10


def test_an_achieved_cycle_that_waits_for_its_period_end_reward_drops_itself() -> None:
    story = enrolled(carry_returns_forward=True, reward_allocation="PERIOD_END")
    story.spend(1000)
    assert story.give_back("tx-1", 10) == "RETURNED"
    assert not story.achieved("c1")


def test_an_achieved_period_agnostic_cycle_is_over_and_the_next_one_is_lower() -> None:
    kind: dict[str, Any] = {"evaluation_type": PERIOD_AGNOSTIC, "asked": 100}
    story = enrolled(cyclic(**kind))
    story.spend(100)
    assert story.give_back("tx-1", 30) == "CYCLE_CLOSED"
    carrying = enrolled(cyclic(carry_returns_forward=True, **kind))
    carrying.spend(100)
    assert carrying.give_back("tx-1", 30) == "CARRIED_FORWARD"
    assert [value(carrying, name) for name in ("c1", "c2")] == [100, -30]


def test_own_cycles_carry_forward_by_the_customers_dates() -> None:
    group = cyclic(frequency_type="WEEKLY", frequency=1, carry_returns_forward=True)
    story = enrolled(group, at=3)
    story.spend(100)
    story.now = day(10)
    assert story.give_back("tx-1", 30) == "CARRIED_FORWARD"
    assert [value(story, name) for name in ("c1", "c2")] == [100, -30]


def test_returns_are_each_customers_own() -> None:
    rows = Rows(definitions(milestone()), frozenset({1, 2}))
    story = Story(milestone())
    story.rows = rows
    story.enrol(customer=1)
    story.enrol(customer=2)
    for customer in (1, 2):
        rows.record([sale("tx-1", 100, customer=customer)], day(0))
    rows.record([refund("rt-1", "tx-1", 40, customer=2)], day(0))
    periods = [rows.enrolment(customer, TARGET).progress[701] for customer in (1, 2)]
    assert [row.value for row in periods] == [100, 60]
    assert (CUSTOMER, "rt-1") not in rows.received
