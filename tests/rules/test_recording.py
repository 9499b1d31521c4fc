"""Recording activities: contract §4 rules 5, 7–10 and 13, §5; domain milestones §4.1–4.6."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from milepost.errors import Refusal
from milepost.rules.activities import Activity
from milepost.rules.definitions import PERIOD_AGNOSTIC
from milepost.rules.effects import Effect
from milepost.rules.recording import Recorded
from tests.rules.samples import (
    CUSTOMER,
    GROUP,
    POINTS,
    TARGET,
    TICK,
    Rows,
    Story,
    capping,
    code,
    cyclic,
    day,
    definitions,
    event,
    item,
    milestone,
    refund,
    sale,
    streak,
    unified,
    with_periods,
    with_target,
)

INVALID, UNKNOWN_CUSTOMER = 300004, 310011
BOTH = [("c1", 1, "Fifty"), ("c1", 1, "Explorer")]


def enrolled(at: float = 0, **others: Any) -> Story:
    story = Story(milestone(**others), day(at))
    assert story.enrol() == 0
    return story


def why(outcome: Recorded | Refusal) -> str:
    """Why an activity was rejected."""
    assert isinstance(outcome, Refusal)
    assert outcome.error.code == INVALID
    return outcome.detail or ""


# Rule 8: late activity, and which cycle it counts in


def test_activity_counts_in_the_cycle_of_its_own_date() -> None:
    story = enrolled(settlement_delay_days=30)
    story.now = day(25)
    assert [story.spend(amount, at) for amount, at in ((5, 3), (7, 12), (9, 25))] == ["ADDED"] * 3
    assert [story.value(name) for name in ("c1", "c2", "c3")] == [5, 7, 9]


@pytest.mark.parametrize(
    ("at", "name"),
    [
        (day(10) - timedelta(milliseconds=1), "c1"),
        (day(10) - TICK, "c1"),
        (day(10), "c2"),
    ],
)
def test_an_activity_at_the_exact_end_is_of_the_next_cycle(at: datetime, name: str) -> None:
    story = enrolled(settlement_delay_days=1)
    story.now = day(10)
    assert story.spend(100, at) == "ADDED"
    assert story.value(name) == 100


@pytest.mark.parametrize(
    ("delay_days", "now", "reason"),
    [
        (0, day(10) - TICK, "ADDED"),
        (0, day(10), "CYCLE_CLOSED"),
        (3, day(13) - TICK, "ADDED"),
        (3, day(13), "CYCLE_CLOSED"),
    ],
)
def test_a_cycle_stays_open_until_its_end_plus_the_delay(
    delay_days: int, now: datetime, reason: str
) -> None:
    story = enrolled(settlement_delay_days=delay_days)
    story.now = now
    assert story.spend(100, at=9) == reason
    assert story.value("c1") == (100 if reason == "ADDED" else 0)


@pytest.mark.parametrize(
    ("track_from", "at", "reason"),
    [
        (False, day(5) - TICK, "ADDED"),
        (False, day(0), "ADDED"),
        (True, day(5) - TICK, "BEFORE_ENROLMENT"),
        (True, day(5), "ADDED"),
    ],
)
def test_activity_before_the_enrolment_counts_unless_it_is_tracked_from_there(
    track_from: bool, at: datetime, reason: str
) -> None:
    # Appendix B 5: an earlier purchase, re-sent after a mid-cycle enrolment.
    story = enrolled(5, track_from_enrolment_date=track_from)
    story.now = day(6)
    assert story.spend(100, at) == reason


def test_what_was_received_before_the_enrolment_never_counts_later() -> None:
    story = Story(milestone(), day(5))
    (first,) = story.record(sale("tx-1", 100, 4))
    story.enrol()
    (again,) = story.record(sale("tx-1", 100, 4))
    assert (first, again) == (Recorded("ACCEPTED", []), Recorded("DUPLICATE"))
    assert story.value("c1") == 0


def test_arrival_order_decides_so_equal_instants_are_no_tie() -> None:
    before, after = Story(milestone(), day(5)), Story(milestone(), day(5))
    before.spend(100)
    before.enrol()
    after.enrol()
    after.spend(100)
    assert (before.value("c1"), after.value("c1")) == (0, 100)


def test_it_must_have_arrived_after_the_latest_enrolment_that_covers_the_cycle() -> None:
    story = enrolled(track_from_enrolment_date=True)
    story.now = day(3)
    story.unenrol()
    story.now = day(5)
    story.enrol()
    story.now = day(6)
    assert story.spend(100, at=2) == "BEFORE_ENROLMENT"
    assert story.spend(100, at=5) == "ADDED"


@pytest.mark.parametrize("delay_days", [0, 10])
def test_an_activity_dated_after_now_is_rejected_and_does_not_take_its_id(delay_days: int) -> None:
    story = enrolled(5, settlement_delay_days=delay_days)
    (outcome,) = story.record(sale("tx-1", 100, day(5) + TICK))
    assert why(outcome) == "occurredAt lies in the future."
    assert not story.rows.received
    story.now += TICK
    (outcome,) = story.record(sale("tx-1", 100, day(5) + TICK))
    assert isinstance(outcome, Recorded)
    assert story.value("c1") == 100


# Rule 7: what arrives while unenrolled


def test_what_arrives_while_unenrolled_never_counts_in_a_cycle_that_was_left() -> None:
    story = enrolled(settlement_delay_days=9)
    story.now = day(5)
    story.unenrol()
    assert story.spend(100) == "NOT_ENROLLED"
    story.enrol()
    assert story.spend(50) == "ADDED"
    (again,) = story.record(sale("tx-1", 100, 5))
    assert again == Recorded("DUPLICATE")
    assert story.value("c1") == 50


def test_in_an_ended_cycle_that_was_not_left_rule_8_alone_decides() -> None:
    story = enrolled(settlement_delay_days=9)
    story.now = day(12)
    story.unenrol()
    assert [story.spend(100, 8), story.spend(100, 11)] == ["ADDED", "NOT_ENROLLED"]
    assert (story.value("c1"), story.value("c2")) == (100, 0)


def test_a_reward_earned_late_is_granted_although_the_customer_has_left_since() -> None:
    story = enrolled(settlement_delay_days=9)
    story.now = day(12)
    story.unenrol()
    story.spend(1000, 8)
    assert story.rewards == BOTH


# Rule 9 and 5: achieved, and rewarded once


@pytest.mark.parametrize(("amount", "achieved"), [(999.99, False), (1000, True), (1000.01, True)])
def test_achieved_means_at_least_the_target_value(amount: float, achieved: bool) -> None:
    story = enrolled()
    story.spend(amount)
    assert story.achieved("c1") == achieved
    assert story.rewards == (BOTH if achieved else [])


def test_a_balance_and_what_is_spent_add_up() -> None:
    # Appendix B 3: 300 of 1000 to begin with, then 700.
    story = Story(milestone())
    story.enrol("c1", 300)
    story.spend(699)
    assert not story.achieved("c1")
    story.spend(1)
    assert (story.value("c1"), story.rewards) == (1000, BOTH)


def test_the_value_grows_past_the_target_and_is_rewarded_once() -> None:
    story = enrolled()
    for _ in range(3):
        story.spend(1000)
    assert (story.value("c1"), story.rewards) == (3000, BOTH)
    assert story.reasons.count("REACHED") == 1


def test_each_cycle_is_rewarded_for_itself() -> None:
    story = enrolled()
    for at in (1, 11, 21):
        story.now = day(at)
        story.spend(1000)
    assert [name for name, _, reward in story.rewards if reward == "Fifty"] == ["c1", "c2", "c3"]


def test_period_end_rewards_wait_for_the_settlement() -> None:
    story = enrolled(reward_allocation="PERIOD_END")
    story.spend(1000)
    row = story.row("c1")
    assert row is not None
    assert (story.achieved("c1"), row.rewarded_attempt, story.rewards) == (True, None, [])


@pytest.mark.parametrize(("balance", "attempt", "granted"), [(0, 2, 2), (None, 1, 1)])
def test_only_a_balance_of_a_re_enrolment_lets_a_cycle_be_rewarded_again(
    balance: int | None, attempt: int, granted: int
) -> None:
    story = enrolled()
    story.spend(1000)
    story.unenrol()
    story.enrol("c1", balance)
    story.spend(1000)
    assert story.attempt("c1") == attempt
    assert len(story.rewards) == 2 * granted
    assert story.value("c1") == (1000 if balance == 0 else 2000)


def test_a_streaks_rewards_are_immediate_whatever_the_allocation() -> None:
    story = Story(streak(reward_allocation="PERIOD_END"))
    story.enrol()
    story.spend(1000)
    assert story.rewards == BOTH


def test_a_value_at_its_target_is_told_with_the_rewards_it_earned() -> None:
    story = enrolled()
    story.spend(400)
    (outcome,) = story.record(sale("tx-9", 600))
    assert isinstance(outcome, Recorded)
    (effect,) = outcome.effects
    assert (effect.group.id, effect.target.id, effect.period.ref_code) == (GROUP, TARGET, "c1")
    assert list(map(int, (effect.amount, effect.before, effect.after))) == [600, 400, 1000]
    assert effect.target_value == 1000
    assert effect.achieved
    assert (effect.starts_at, effect.ends_at) == (day(0), day(10))
    assert list(effect.rewards) == [reward for _, reward in story.rows.rewards]
    (outcome,) = story.record(sale("tx-10", 1))
    assert isinstance(outcome, Recorded)
    assert (outcome.effects[0].achieved, outcome.effects[0].rewards) == (True, [])


def test_an_edit_applies_to_what_arrives_later_and_achieved_stays_achieved() -> None:
    story = enrolled()
    story.spend(1000)
    story.edit(with_periods(story.group, story.group.periods, 5000))
    story.spend(1)
    assert story.achieved("c1")
    story.edit(with_target(story.group, expression="big"))
    assert story.spend(1) == "EXPRESSION_FALSE"
    assert story.value("c1") == 1001


def test_a_target_value_that_was_lowered_is_reached_by_what_arrives_next() -> None:
    story = enrolled()
    story.spend(600)
    story.edit(with_periods(story.group, story.group.periods, 500))
    assert not story.achieved("c1")
    story.spend(1)
    assert story.rewards == BOTH


# Why nothing counts: the reason code says the first that stands in the way


@pytest.mark.parametrize(
    ("changes", "of_target", "reason"),
    [
        ({"active": False}, {"active": False}, "GROUP_INACTIVE"),
        ({}, {"active": False, "expression": "fails"}, "TARGET_INACTIVE"),
        ({"periods": ()}, {}, "NO_CYCLE"),
        ({}, {"filters": ({"entityType": "STORE", "entityIds": [1]},)}, "OUTSIDE_SCOPE"),
        ({}, {"expression": "big"}, "EXPRESSION_FALSE"),
        ({}, {"target_entity": "LINEITEM"}, "NO_VALUE"),
    ],
)
def test_while_inactive_or_out_of_bounds_nothing_counts(
    changes: dict[str, Any], of_target: dict[str, Any], reason: str
) -> None:
    story = enrolled()
    story.edit(with_target(replace(story.group, **changes), **of_target))
    assert story.spend(99) == reason
    assert not story.rows.progress


def test_what_does_not_count_says_where_the_cycle_stands() -> None:
    story = enrolled()
    story.spend(400)
    story.edit(with_target(story.group, expression="big"))
    story.spend(99)
    (effect,) = story.effects("tx-2")
    assert effect == Effect(
        GROUP, TARGET, 701, "EXPRESSION_FALSE", 1, Decimal(0), Decimal(400), Decimal(1000)
    )


def test_a_target_that_the_customer_never_was_in_is_not_mentioned() -> None:
    story = Story(milestone())
    story.spend(100)
    assert story.effects("tx-1") == ()
    assert [entry.what for entry in story.journal] == ["ACTIVITY"]


# Automatic enrolment


def test_the_first_qualifying_activity_enrols_in_its_cycle_and_every_later_one() -> None:
    story = Story(with_target(milestone(), enrolment_method="TRANSACTION"), day(12))
    assert story.spend(100) == "ADDED"
    assert (story.covered, story.value("c2")) == ("c2 c3 c4 c5", 100)
    assert [(entry.what, entry.reason) for entry in story.journal] == [
        ("ENROLLED", "FIRST_ACTIVITY"),
        ("ACTIVITY", "TRANSACTION"),
    ]


def test_an_activity_that_does_not_qualify_does_not_enrol() -> None:
    group = with_target(milestone(), enrolment_method="TRANSACTION", expression="big")
    story = Story(group, day(12))
    assert story.spend(99) == ""
    assert story.spend(100, at=5) == ""
    assert (story.covered, story.rows.progress) == ("", {})
    assert story.spend(100) == "ADDED"


def test_who_has_left_is_not_enrolled_again_by_an_activity() -> None:
    story = Story(with_target(milestone(), enrolment_method="TRANSACTION"))
    story.spend(100)
    story.unenrol()
    assert story.spend(100) == "NOT_ENROLLED"
    assert story.covered == ""


def test_a_streak_enrols_by_an_activity_of_a_cycle_that_has_not_ended() -> None:
    story = Story(
        with_target(streak(settlement_delay_days=9), enrolment_method="TRANSACTION"), day(12)
    )
    assert story.spend(1000, at=5) == ""
    assert story.spend(1000, at=11) == "ADDED"
    assert story.covered == "c2 c3 c4 c5"


@pytest.mark.parametrize("method", ["IMPORT", "AUDIENCE_FILTER"])
def test_other_methods_wait_for_an_enrolment(method: str) -> None:
    story = Story(with_target(milestone(), enrolment_method=method))
    assert story.spend(100) == ""
    assert not story.rows.stints


def test_a_cyclic_target_enrols_and_begins_with_the_first_activity() -> None:
    group = with_target(
        cyclic(frequency_type="WEEKLY", frequency=1), enrolment_method="TRANSACTION"
    )
    story = Story(group, day(3))
    story.spend(100)
    assert story.reasons == ["FIRST_ACTIVITY", "TRANSACTION", "CYCLE_STARTED"]
    assert story.enrolment.anchored_at == day(3)


def test_the_activity_that_enrols_in_a_unified_member_meets_what_others_had_met_before() -> None:
    group = unified("first", "second", asked=1)
    group = replace(
        group, targets=tuple(replace(t, enrolment_method="TRANSACTION") for t in group.targets)
    )
    story = Story(group)
    story.record(event("ev-1", "first"))
    story.record(event("ev-2", "second"))
    assert story.reasons.count("UNIFIED_REACHED") == 1


# §5: the same id, rejections, neighbours


def test_the_same_id_with_the_same_content_is_a_duplicate_without_effect() -> None:
    story = enrolled()
    story.spend(600)
    before = story.rows.told()
    (outcome,) = story.record(sale("tx-1", 600.00, 0, customer=CUSTOMER))
    assert outcome == Recorded("DUPLICATE")
    assert story.rows.told() == before


@pytest.mark.parametrize(
    "other",
    [
        sale("tx-1", 601),
        sale("tx-1", 600, gross=601),
        sale("tx-1", 600, 0, item("book")),
        event("tx-1", "runLogged"),
        refund("tx-1", "tx-1", 600),
        replace(sale("tx-1", 600), attributes={"channel": "web"}),
    ],
)
def test_the_same_id_with_other_content_is_rejected(other: Activity) -> None:
    story = enrolled()
    story.spend(600)
    before = story.rows.told()
    (outcome,) = story.record(other)
    assert why(outcome) == "The id is taken by an activity with other content."
    assert story.rows.told() == before


def test_an_id_is_a_customers_own() -> None:
    rows = Rows(definitions(milestone()), frozenset({1, 2}))
    outcomes = rows.record([sale("tx-1", 5, customer=1), sale("tx-1", 6, customer=2)], day(0))
    assert [code(outcome) for outcome in outcomes] == [0, 0]


def test_two_of_one_id_in_one_batch_are_handled_in_order() -> None:
    story = enrolled()
    outcomes = story.record(sale("tx-1", 10), sale("tx-1", 10), sale("tx-1", 11))
    assert [o.status if isinstance(o, Recorded) else code(o) for o in outcomes] == [
        "ACCEPTED",
        "DUPLICATE",
        INVALID,
    ]
    assert story.value("c1") == 10


def test_a_rejected_activity_does_not_take_its_id() -> None:
    story = enrolled()
    outcomes = story.record(sale("tx-1", -1), sale("tx-1", 10))
    assert [code(outcome) for outcome in outcomes] == [INVALID, 0]
    assert story.value("c1") == 10


def test_an_unknown_customer_is_310011() -> None:
    story = enrolled()
    (outcome,) = story.record(sale("tx-1", 10, customer=99))
    assert code(outcome) == UNKNOWN_CUSTOMER
    assert not story.rows.received


def test_what_no_activity_can_be_is_refused_before_the_customer_is_looked_up() -> None:
    (outcome,) = enrolled().record(sale("", 10, customer=99))
    assert code(outcome) == INVALID


def test_a_failing_expression_rejects_its_own_activity_and_nothing_of_it_stays() -> None:
    broken = with_target(milestone(group_id=8), expression="fails")
    automatic = with_target(milestone(group_id=9), enrolment_method="TRANSACTION")
    story = Story(milestone(), day(0), automatic, broken)
    story.enrol()
    story.enrol(target=80)
    before = story.rows.told()
    outcomes = story.record(sale("tx-1", 10), event("ev-1", "runLogged"))
    assert [code(outcome) for outcome in outcomes] == [INVALID, 0]
    story.rows.journal.pop()
    del story.rows.received[CUSTOMER, "ev-1"]
    assert story.rows.told() == before


def test_one_bad_activity_never_harms_its_neighbours() -> None:
    story = enrolled()
    outcomes = story.record(
        sale("tx-1", 10),
        sale("tx-2", 10, 99),
        refund("rt-1", "none", 5),
        sale("tx-3", 10, customer=99),
        sale("tx-4", 10),
    )
    assert [code(outcome) for outcome in outcomes] == [0, INVALID, INVALID, UNKNOWN_CUSTOMER, 0]
    assert story.value("c1") == 20


# The journal


def test_the_activity_comes_before_what_followed_from_it() -> None:
    story = enrolled()
    story.spend(1000)
    entries = story.journal[1:]
    assert [(entry.what, entry.reason) for entry in entries] == [
        ("ACTIVITY", "TRANSACTION"),
        ("ACHIEVED", "REACHED"),
        ("REWARDED", "ACHIEVED_BY_ACTIVITY"),
        ("REWARDED", "ACHIEVED_BY_ACTIVITY"),
    ]
    assert {entry.details["activity"] for entry in entries} == {"tx-1"}
    assert [entry.period_id for entry in entries] == [None, 701, 701, 701]
    assert entries[0].details == {
        "activity": "tx-1",
        "type": "TRANSACTION",
        "eventName": "TransactionAdd",
        "occurredAt": "2026-06-01T00:00:00+00:00",
    }
    (effect,) = entries[0].effects
    assert effect == Effect(
        GROUP, TARGET, 701, "ADDED", 1, Decimal(1000), Decimal(1000), Decimal(1000)
    )


def test_one_activity_moves_every_target_that_listens() -> None:
    others = [milestone(group_id=8, asked=10), with_target(milestone(group_id=9), active=False)]
    story = Story(milestone(), day(0), *others)
    for target in (TARGET, 80):
        story.enrol(target=target)
    story.spend(10)
    assert [(each.target_id, each.reason) for each in story.effects("tx-1")] == [
        (TARGET, "ADDED"),
        (80, "ADDED"),
    ]
    assert [reward.target_id for _, reward in story.rows.rewards] == [80, 80]


def test_an_activity_of_another_customer_moves_nothing_of_this_one() -> None:
    rows = Rows(definitions(milestone(), capping()), frozenset({1, 2}))
    story = Story(milestone())
    story.rows = rows
    story.enrol(customer=1)
    story.enrol(customer=2)
    rows.record([sale("tx-1", 1000, customer=2)], day(0))
    assert (rows.enrolment(1).progress, [c for c, _ in rows.rewards]) == ({}, [2, 2])


# Rule 6 and 10: a streak that was reset


def test_after_a_reset_activity_counts_from_0_in_the_new_attempt() -> None:
    story = Story(streak(rewards=(POINTS,)))
    story.enrol()
    story.spend(1000)
    story.unenrol()
    story.enrol(reset=True)
    assert story.value("c1") == 0
    story.spend(1000)
    assert story.rewards[:1] + story.rewards[-1:] == [("c1", 1, "Fifty"), ("c1", 2, "Fifty")]


def test_after_a_reset_a_day_counts_again() -> None:
    story = Story(with_target(streak(), target_type="VISIT"))
    story.enrol()
    assert [story.spend(10), story.spend(10)] == ["ADDED", "SAME_DAY"]
    story.unenrol()
    story.enrol(reset=True)
    assert [story.spend(10), story.spend(10)] == ["ADDED", "SAME_DAY"]
    assert story.value("c1") == 1


def test_a_cycle_that_ended_before_the_reset_goes_on_in_its_own_attempt() -> None:
    story = Story(streak(levels=(1,), settlement_delay_days=9, rewards=()))
    story.enrol()
    story.now = day(12)
    story.unenrol()
    story.enrol(reset=True)
    assert story.spend(1000, at=5) == "ADDED"
    row = story.row("c1")
    assert row is not None
    assert row.attempt == 1
    # It reaches the earlier attempt's level, and none of the new one.
    assert (story.level_rewards, story.levels) == ([("l1", 1)], "")


# Rule 13


def test_an_agnostic_customer_moves_on_with_the_first_activity_after_the_target_was_reached() -> (
    None
):
    story = Story(cyclic(evaluation_type=PERIOD_AGNOSTIC, cycles=3, asked=100))
    story.enrol("c3", 40)
    story.spend(60)
    story.spend(1)
    assert [story.value(name) for name in ("c1", "c2", "c3")] == [100, 1, 0]
