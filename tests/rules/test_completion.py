"""What promotions pay for achieved targets: contract §7, TARGETCOMPLETED; domain: milestones §4.8, §4.9."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from milepost.rules.definitions import (
    DIRECT,
    GENERIC,
    PERIOD_AGNOSTIC,
    UNLIMITED,
    Promotion,
    RewardDefinition,
    TargetGroup,
)
from milepost.rules.recording import Recorded
from tests.rules.desk import Desk
from tests.rules.promotion_samples import COFFEE, at_most, completion, days, offering, points
from tests.rules.samples import (
    BADGE,
    CUSTOMER,
    GROUP,
    POINTS,
    TARGET,
    TICK,
    capping,
    cyclic,
    day,
    event,
    milestone,
    refund,
    sale,
    streak,
    unified,
    with_periods,
    with_target,
)

BOB = 2
ENOUGH = 1000


def desk(*parts: TargetGroup | Promotion, at: float = 0) -> Desk:
    return Desk(offering(*parts), frozenset({CUSTOMER, BOB}), now=day(at))


def joined(*parts: TargetGroup | Promotion, at: float = 0) -> Desk:
    """Somebody enrolled in every target."""
    here = desk(*parts, at=at)
    for group in here.defined.groups.values():
        for target in group.targets:
            assert here.join(target.id) == 0
    return here


def plain(**others: Any) -> TargetGroup:
    """A milestone without rewards of its own."""
    return milestone(**{"rewards": (), **others})


def at_the_end(**others: Any) -> TargetGroup:
    return plain(reward_allocation="PERIOD_END", **others)


def paid_for(here: Desk) -> list[str]:
    return [each.paid_for.removeprefix("completion of ") for each in here.redemptions.values()]


# When it happens


def test_the_activity_that_achieves_a_target_is_paid_for_with_it() -> None:
    here = joined(plain(), completion())
    assert here.buy(ENOUGH - 1) == ""
    here.now = day(5)
    assert here.buy(1, at=3) == "paid"
    (reward,) = here.granted
    assert (reward.granted_at, reward.cause, reward.attempt) == (day(5), "ACTIVITY", 1)
    assert (reward.target_group_id, reward.target_id, reward.period_id) == (None, None, None)
    (redemption,) = here.redemptions.values()
    # It is dated when it happened, and not as the activity behind it.
    assert redemption.occurred_at == day(5)
    assert paid_for(here) == ["target 70 period 701 attempt 1"]


def test_its_rewards_are_told_to_the_sender_of_the_activity() -> None:
    here = joined(plain(), completion())
    (outcome,) = here.take(sale("a", ENOUGH))
    assert isinstance(outcome, Recorded)
    (paid,) = outcome.paid
    assert [reward.name for reward in paid.rewards] == ["Coffee"]
    assert outcome.effects[0].rewards == []


@pytest.mark.parametrize("name", ["c1", "c3"])
def test_a_balance_that_achieves_a_cycle_at_once_is_paid_for_even_if_that_has_not_begun(
    name: str,
) -> None:
    here = desk(plain(), completion())
    here.join(TARGET, name, ENOUGH)
    (reward,) = here.granted
    assert (reward.granted_at, reward.cause) == (day(0), "ENROLMENT")
    last = here.journal[-1][1]
    assert (last.what, last.reason) == ("ACTIVITY", "COMPLETION")
    (effect,) = last.promotion_effects
    period = here.defined.groups[GROUP].periods_by_ref_code[name].id
    assert (effect.reason, effect.target_group_id, effect.target_id, effect.period_id) == (
        "REDEEMED",
        GROUP,
        TARGET,
        period,
    )


def test_rewards_that_wait_for_the_end_of_the_period_wait_here_too() -> None:
    here = joined(at_the_end(settlement_delay_days=2), completion())
    assert here.buy(ENOUGH) == ""
    here.wait(day(12) - TICK)
    assert here.granted == []
    here.wait(40)
    (reward,) = here.granted
    assert (reward.granted_at, reward.cause) == (day(12), "SETTLEMENT")


def test_only_who_achieved_it_is_paid_at_the_settlement() -> None:
    here = joined(at_the_end(), completion())
    here.join(TARGET, customer=BOB)
    here.buy(ENOUGH - 1)
    here.buy(ENOUGH, customer=BOB)
    here.wait(10)
    assert [owner for owner, reward in here.rewards if reward.promotion_id] == [BOB]


def test_who_left_before_the_end_is_not_paid_and_who_left_after_it_is() -> None:
    here = joined(at_the_end(settlement_delay_days=5), completion())
    here.join(TARGET, customer=BOB)
    for customer in (CUSTOMER, BOB):
        here.buy(ENOUGH, customer=customer)
    here.now = day(9)
    here.leave(TARGET)
    here.wait(11)
    here.leave(TARGET, customer=BOB)
    here.wait(15)
    assert [owner for owner, reward in here.rewards if reward.promotion_id] == [BOB]


def test_a_target_value_that_was_lowered_is_paid_for_at_the_settlement() -> None:
    here = joined(plain(), completion())
    here.buy(600)
    lowered = with_periods(plain(), plain().periods, 500)
    here.defined = replace(here.defined, groups={GROUP: lowered})
    here.wait(10)
    assert [reward.cause for reward in here.granted] == ["SETTLEMENT"]


# Once per attempt


def test_a_cycle_that_is_achieved_again_after_a_return_is_not_paid_for_again() -> None:
    here = joined(plain(), completion())
    here.take(sale("tx", ENOUGH))
    here.do(refund("rt", "tx", 500))
    assert here.buy(ENOUGH) == ""
    assert len(here.granted) == 1


def test_a_new_attempt_is_paid_for_again() -> None:
    here = joined(plain(), completion())
    here.buy(ENOUGH)
    here.leave(TARGET)
    here.join(TARGET, "c1", 0)
    assert here.buy(ENOUGH) == "paid"
    here.leave(TARGET)
    here.join(TARGET, "c1", ENOUGH)
    assert [reward.attempt for reward in here.granted] == [1, 2, 3]


def test_who_leaves_and_comes_back_without_a_balance_is_still_in_the_same_attempt() -> None:
    here = joined(plain(), completion())
    here.take(sale("tx", ENOUGH))
    here.leave(TARGET)
    here.join(TARGET, "c1")
    here.do(refund("rt", "tx", 500))
    here.buy(ENOUGH)
    assert len(here.granted) == 1


def test_each_cycle_and_each_target_is_paid_for_by_itself() -> None:
    here = joined(plain(), plain(group_id=8, name="Other"), completion())
    assert here.buy(ENOUGH) == "paid paid"
    here.now = day(10)
    assert here.buy(ENOUGH) == "paid paid"
    assert len(set(paid_for(here))) == 4


def test_what_was_achieved_without_a_promotion_is_not_paid_for_by_a_later_one() -> None:
    here = joined(plain())
    here.take(sale("tx", ENOUGH))
    here.define(completion())
    here.do(refund("rt", "tx", 500))
    here.buy(ENOUGH)
    assert here.granted == []


# Which ones


@pytest.mark.parametrize(
    ("ids", "paid"),
    [
        ({}, [70, 80]),
        ({"groups": (7,)}, [70]),
        ({"groups": (7, 8)}, [70, 80]),
        ({"targets": (80,)}, [80]),
        ({"groups": (8,), "targets": (80,)}, [80]),
        ({"groups": (99,)}, []),
    ],
)
def test_groups_and_targets_may_be_named(ids: Any, paid: list[int]) -> None:
    here = joined(plain(), plain(group_id=8, name="Other"), completion(**ids))
    here.buy(ENOUGH)
    assert [int(text.split()[1]) for text in paid_for(here)] == paid


@pytest.mark.parametrize(
    ("expression", "paid"),
    [
        ("is targetName Spend", 0),
        ("is targetPeriod c1", 1),
        ("is targetGroupId 7", 1),
        ("is targetRuleId 70", 1),
        ("is achievedValue 1200", 1),
        ("is targetValue 1000", 1),
        ("is attempt 1", 1),
        ("at once", 1),
        ("is isUnifiedTargetAchievedEvent False", 1),
        ("is isStreakAchievedEvent False", 1),
    ],
)
def test_an_expression_reads_of_what_was_achieved(expression: str, paid: int) -> None:
    here = joined(plain(), completion(expression=expression))
    assert here.buy(1200) == ("paid" if paid else "CRITERIA_NOT_MET")


def test_an_expression_tells_the_achievement_from_the_settlement() -> None:
    here = joined(plain(), at_the_end(group_id=8, name="End"), completion(expression="at once"))
    assert here.buy(ENOUGH) == "paid"
    here.wait(10)
    assert paid_for(here) == ["target 70 period 701 attempt 1"]
    reasons = [e.reason for _, entry in here.journal for e in entry.promotion_effects]
    assert reasons == ["REDEEMED", "CRITERIA_NOT_MET"]


@pytest.mark.parametrize("kind", [GENERIC, DIRECT])
def test_an_expression_that_fails_for_a_completion_rejects_nothing(kind: str) -> None:
    here = joined(plain(), completion(kind, expression="fails"), completion(promotion_id=22))
    if kind == DIRECT:
        here.earn()
    assert sorted(here.buy(ENOUGH).split()) == ["EXPRESSION_FAILED", "paid"]
    assert [reward.promotion_id for reward in here.granted] == [22]


def test_a_promotion_that_is_off_does_not_pay_and_what_it_missed_it_never_pays() -> None:
    here = joined(plain(), completion(active=False))
    here.take(sale("tx", ENOUGH))
    assert here.effects_of(sale("tx", ENOUGH)) == "PROMOTION_INACTIVE"
    here.edit(active=True)
    here.do(refund("rt", "tx", 500))
    here.buy(ENOUGH)
    assert here.granted == []


def test_a_completion_has_to_lie_in_the_dates_of_a_generic_promotion() -> None:
    here = joined(
        at_the_end(), completion(starts=0, ends=10), completion(promotion_id=22, starts=10)
    )
    here.buy(ENOUGH)
    here.wait(30)
    assert [reward.promotion_id for reward in here.granted] == [22]


def test_a_ceiling_that_is_reached_is_no_achievement() -> None:
    here = joined(plain(), capping(asked=50), completion(rewards=(points(100),)))
    here.buy(ENOUGH)
    assert paid_for(here) == ["target 70 period 701 attempt 1"]
    assert here.paid == [("Points", 50)]


def test_a_balance_that_fills_a_ceiling_achieves_nothing() -> None:
    here = desk(capping(asked=50), completion())
    assert here.join(90, "c1", 50) == 0
    assert here.granted == []


# From records


def test_an_issued_promotion_pays_for_what_is_achieved_while_a_record_lasts() -> None:
    here = joined(plain(), completion(DIRECT, earn_expiry=days(12), each=UNLIMITED))
    assert here.buy(ENOUGH) == ""
    here.earn()
    here.now = day(10)
    assert here.buy(ENOUGH) == "e1"
    here.now = day(20)
    assert here.buy(ENOUGH) == ""
    assert here.earned().redemptions == 1


@pytest.mark.parametrize(("expires", "paid"), [(days(10), 0), (days(11), 1)])
def test_a_settlement_is_paid_from_a_record_that_has_not_expired_by_then(
    expires: Any, paid: int
) -> None:
    here = joined(at_the_end(), completion(DIRECT, earn_expiry=expires))
    here.earn()
    here.buy(ENOUGH)
    # Both in one go: the settlement, and the expiry at the same instant or later.
    here.wait(30)
    assert here.earned().redemptions == paid
    assert (here.earned().ended_as, len(here.granted)) == ("EXPIRED", paid)
    expired = [entry for _, entry in here.journal if entry.reason == "PROMOTION_EARN_EXPIRED"]
    assert expired[0].details["redemptions"] == paid


def test_at_one_instant_cycles_are_settled_then_records_expire_then_cycles_begin() -> None:
    here = joined(at_the_end(), completion(DIRECT, earn_expiry=days(10)))
    here.earn()
    here.wait(10)
    told = [entry.reason for _, entry in here.journal if entry.at == day(10)]
    assert told == ["SETTLED_UNACHIEVED", "PROMOTION_EARN_EXPIRED", "CYCLE_STARTED"]


def test_settlements_of_one_go_are_paid_oldest_record_first() -> None:
    here = joined(at_the_end(), completion(DIRECT, earns=3, each=1))
    for number in range(3):
        here.now = day(10 * number + 1)
        here.earn()
        here.buy(ENOUGH)
        if number < 2:
            here.done |= {(period.id, "START") for period in here.defined.groups[GROUP].periods}
    here.wait(60)
    assert [earn.redemptions for earn in here.earns.values()] == [1, 1, 1]
    assert [reward.granted_at for reward in here.granted] == [day(10), day(20), day(30)]


# Limits


def test_what_is_settled_in_one_go_is_limited_as_if_it_were_settled_one_by_one() -> None:
    limits = (at_most("TIMES", "CUSTOMER", 2), at_most("TIMES", "PROMOTION", 3))
    here = joined(at_the_end(), completion(limits=limits))
    here.join(TARGET, customer=BOB)
    for number in range(3):
        here.now = day(10 * number + 1)
        for customer in (CUSTOMER, BOB):
            here.buy(ENOUGH, customer=customer)
    here.wait(60)
    owners = [owner for owner, reward in here.rewards if reward.promotion_id]
    assert owners == [CUSTOMER, CUSTOMER, BOB]


def own_cycles_of_two_days(**others: Any) -> TargetGroup:
    return cyclic(
        reward_allocation="PERIOD_END", rewards=(), frequency_type="DAILY", frequency=2, asked=1,
        **others,
    )  # fmt: skip


@pytest.mark.parametrize("most", [1, 5])
def test_a_promotion_that_begins_while_own_cycles_are_waited_for_keeps_its_limits(
    most: int,
) -> None:
    """Of own cycles the clock passes several in one go; only the second ends within the promotion."""
    limits = (at_most("TIMES", "PROMOTION", most),)
    here = joined(own_cycles_of_two_days(), completion(limits=limits, starts=3, ends=5))
    here.join(TARGET, customer=BOB)
    for number in (0, 2):
        here.now = day(number)
        for customer in (CUSTOMER, BOB):
            here.buy(1, customer=customer)
    here.wait(30, one_by_one=True)
    owners = [owner for owner, reward in here.rewards if reward.promotion_id]
    assert owners == [CUSTOMER, BOB][:most]


def test_what_is_settled_late_is_limited_by_what_was_paid_meanwhile() -> None:
    limits = (at_most("TIMES", "CUSTOMER", 1),)
    offer = completion(limits=limits, starts=3, ends=7)
    here = joined(own_cycles_of_two_days(), plain(group_id=8, name="Spend", asked=500), offer)
    for number in (0, 2):
        here.now = day(number)
        here.buy(1)
    here.now = day(5)
    assert here.buy(500) == "paid"
    here.wait(30)
    assert paid_for(here) == ["target 80 period 801 attempt 1"]


# Streaks


def test_each_cycle_of_a_streak_is_paid_for_when_it_is_met_and_says_which_levels_it_reaches() -> (
    None
):
    here = joined(
        streak(rewards=(), levels=(2, 3)),
        completion(rewards=(points(1),)),
        completion(promotion_id=22, expression="reaches l1", rewards=(points(22),)),
        completion(promotion_id=23, expression="is isStreakAchievedEvent True"),
    )
    told = []
    for number in range(4):
        here.now = day(10 * number)
        told.append(here.buy(ENOUGH).replace("CRITERIA_NOT_MET", "-"))
    assert told == ["paid - -", "paid paid paid", "paid - paid", "paid - -"]


def test_a_streak_is_paid_at_once_whatever_its_group_says() -> None:
    here = joined(
        streak(rewards=(), reward_allocation="PERIOD_END"), completion(expression="at once")
    )
    assert here.buy(ENOUGH) == "paid"
    here.wait(10)
    assert len(here.granted) == 1


def test_a_streak_that_is_reset_is_paid_for_again() -> None:
    here = joined(streak(rewards=()), completion())
    here.buy(ENOUGH)
    here.leave(TARGET)
    here.join(TARGET, reset=True)
    assert here.buy(ENOUGH) == "paid"
    assert [reward.attempt for reward in here.granted] == [1, 2]


def test_a_level_that_a_late_activity_reaches_by_joining_two_runs_is_named_once() -> None:
    here = joined(
        streak(rewards=(), levels=(3,), settlement_delay_days=30),
        completion(expression="reaches l1"),
    )
    for number in (0, 20):
        here.wait(number)
        here.buy(ENOUGH)
    here.wait(21)
    assert here.buy(ENOUGH, at=15) == "paid"
    assert paid_for(here) == ["target 70 period 702 attempt 1"]


def test_a_level_that_is_reached_by_a_cycle_that_was_paid_for_before_is_paid_for() -> None:
    """A return took the first cycle away; it is met again after the second, and then a level is reached."""
    level = completion(promotion_id=22, expression="reaches l1", rewards=(points(22),))
    here = joined(streak(rewards=(), levels=(2,), settlement_delay_days=30), completion(), level)
    here.take(sale("tx", ENOUGH))
    here.do(refund("rt", "tx", 1))
    here.wait(12)
    here.buy(ENOUGH)
    assert [reward.promotion_id for reward in here.granted] == [21, 21]
    here.buy(ENOUGH, at=5)
    assert [reward.promotion_id for reward in here.granted] == [21, 21, 22]
    assert [r.streak_level_id for _, r in here.rewards if r.streak_level_id] == [901]


# Unified groups


def pair(**others: Any) -> TargetGroup:
    """Both have to walk and swim, once each."""
    return unified("walk", "swim", asked=1, **others)


def test_a_unified_group_is_paid_for_as_a_whole_once_it_is_met() -> None:
    here = joined(pair(), completion(groups=(GROUP,)))
    assert here.happen("walk") == ""
    assert here.happen("swim") == "paid"
    assert here.happen("walk") == ""
    assert paid_for(here) == ["group 7 period 701 attempt 1"]
    (effect,) = [e for _, entry in here.journal for e in entry.promotion_effects]
    assert (effect.target_group_id, effect.target_id, effect.period_id) == (GROUP, None, 701)


def test_members_of_a_unified_group_are_paid_for_where_they_are_named() -> None:
    here = joined(pair(), completion(targets=(72,)))
    assert here.happen("walk") == ""
    assert here.happen("swim") == "paid"
    assert paid_for(here) == ["target 72 period 701 attempt 1"]


def test_where_nothing_is_named_a_unified_group_counts_as_a_whole_and_its_members_do_not() -> None:
    here = joined(pair(), plain(group_id=8, name="Spend"), completion())
    here.happen("walk")
    here.happen("swim")
    here.buy(ENOUGH)
    assert paid_for(here) == ["group 7 period 701 attempt 1", "target 80 period 801 attempt 1"]


def test_an_expression_reads_the_sums_of_a_unified_groups_members() -> None:
    read = ("isUnifiedTargetAchievedEvent True", "achievedValue 3", "targetValue 2", "attempt 1")
    offers = [
        completion(promotion_id=30 + place, expression=f"is {text}")
        for place, text in enumerate(read)
    ]
    here = joined(pair(), *offers)
    here.happen("walk")
    here.happen("walk")
    assert here.happen("swim") == "paid paid paid paid"


def test_a_unified_group_that_pays_at_the_end_is_paid_for_at_the_settlement() -> None:
    here = joined(pair(reward_allocation="PERIOD_END"), completion(groups=(GROUP,)))
    for name in ("walk", "swim"):
        assert here.happen(name) == ""
    here.wait(10)
    (reward,) = here.granted
    assert (reward.granted_at, reward.cause) == (day(10), "SETTLEMENT")


def test_a_unified_group_that_is_not_met_at_the_end_is_not_paid_for() -> None:
    here = joined(pair(reward_allocation="PERIOD_END"), completion(groups=(GROUP,)))
    here.happen("walk")
    here.wait(10)
    assert here.granted == []


@pytest.mark.parametrize("allocation", ["IMMEDIATE", "PERIOD_END"])
def test_a_unified_group_that_lowered_target_values_meet_is_paid_for_at_the_settlement(
    allocation: str,
) -> None:
    group = unified("walk", "swim", asked=2, reward_allocation=allocation)
    here = joined(group, completion(groups=(GROUP,)))
    here.happen("walk")
    here.happen("swim")
    lowered = with_periods(group, group.periods, 1)
    here.defined = replace(here.defined, groups={GROUP: lowered})
    here.wait(10)
    assert [reward.granted_at for reward in here.granted] == [day(10)]
    assert [entry.reason for _, entry in here.journal].count("SETTLED_ACHIEVED") == 2


@pytest.mark.parametrize("kind", [GENERIC, DIRECT])
def test_a_unified_group_that_is_met_again_after_a_return_is_not_paid_for_again(kind: str) -> None:
    sales = tuple(
        replace(target, target_entity="TRANSACTION", target_type="SALES")
        for target in pair().targets
    )
    here = joined(replace(pair(), targets=sales), completion(kind, groups=(GROUP,)))
    if kind == DIRECT:
        here.earn()
    assert here.do(sale("tx", 5)) in ("paid", "e1")
    here.do(refund("rt", "tx", 5))
    assert here.do(sale("again", 5)) == ""
    assert len(here.granted) == 1


def test_a_unified_group_is_paid_for_again_in_a_new_attempt_of_a_member() -> None:
    here = joined(pair(), completion(groups=(GROUP,)))
    here.happen("walk")
    here.happen("swim")
    here.leave(71)
    here.join(71, "c1", 0)
    assert here.happen("walk") == "paid"
    assert [reward.attempt for reward in here.granted] == [1, 2]


def test_a_balance_that_meets_a_unified_group_anew_is_paid_for() -> None:
    here = joined(pair(), completion(groups=(GROUP,)))
    here.happen("walk")
    here.happen("swim")
    here.leave(71)
    here.join(71, "c1", 1)
    assert [reward.attempt for reward in here.granted] == [1, 2]


def test_a_balance_of_one_member_does_not_meet_anew_what_another_meets_all_the_while() -> None:
    here = joined(pair(combination="ANY"), completion(groups=(GROUP,)))
    here.happen("walk")
    here.happen("swim")
    here.leave(71)
    here.join(71, "c1", 1)
    assert [reward.attempt for reward in here.granted] == [1]


def test_a_unified_group_that_was_paid_for_when_it_was_met_is_not_paid_for_at_the_settlement() -> (
    None
):
    here = joined(pair(combination="ANY"), completion(groups=(GROUP,)))
    here.happen("walk")
    here.leave(72)
    here.join(72, "c1", 0)
    here.wait(10)
    assert len(here.granted) == 1


def test_leaving_a_member_begins_no_earlier_attempt_again() -> None:
    """The group was met in its second attempt; who leaves a member does not go back to the first."""
    here = joined(pair(combination="ANY"), completion(groups=(GROUP,)))
    here.leave(71)
    here.join(71, "c1", 1)
    assert [reward.attempt for reward in here.granted] == [2]
    here.leave(71)
    assert here.happen("swim") == ""
    assert len(here.granted) == 1


# Points


def counting(**others: Any) -> TargetGroup:
    made = milestone(**{"group_id": 8, "asked": 100, "name": "Earn 100", "rewards": (), **others})
    return with_target(made, target_entity="POINTS", target_type="PROMOTIONAL_POINTS")


def value(here: Desk, target: int = 80) -> int:
    row = here.progress.get((CUSTOMER, target, target * 10 + 1))
    return int(row.value) if row is not None else 0


def test_points_for_an_achieved_target_count_and_what_they_achieve_is_paid_for_too() -> None:
    here = joined(
        plain(),
        counting(),
        completion(groups=(GROUP,), rewards=(points(100),)),
        completion(promotion_id=22, groups=(8,), rewards=(points(500), COFFEE)),
    )
    assert here.buy(ENOUGH) == "paid paid"
    # What is paid for a target on points feeds none.
    assert value(here) == 100
    assert here.paid == [("Points", 100), ("Points", 500), ("Coffee", 1)]


def test_points_for_a_unified_group_of_targets_on_points_feed_none_either() -> None:
    group = counting(tracking_type="UNIFIED", combination_type="ALL")
    here = joined(plain(), group, completion(groups=(8,), rewards=(points(500),)))
    here.define(completion(promotion_id=22, groups=(GROUP,), rewards=(points(100),)))
    here.buy(ENOUGH)
    assert value(here) == 100
    assert here.paid == [("Points", 100), ("Points", 500)]


def test_a_targets_own_points_may_achieve_another_that_is_paid_for() -> None:
    here = joined(milestone(rewards=(points(150),)), counting(), completion(groups=(8,)))
    assert here.buy(ENOUGH) == "paid"
    assert paid_for(here) == ["target 80 period 801 attempt 1"]


# The vendor's way and ours


KINDS: dict[str, TargetGroup] = {
    "at once": milestone(asked=300, rewards=()),
    "at the end": milestone(
        asked=300, rewards=(), reward_allocation="PERIOD_END", settlement_delay_days=3
    ),
    "streak": streak(asked=300, levels=()),
    "own cycles": cyclic(
        asked=300, rewards=(), frequency_type="DAILY", frequency=7, reward_allocation="PERIOD_END"
    ),
    "anytime": cyclic(asked=300, rewards=(), evaluation_type=PERIOD_AGNOSTIC),
}
REWARDS: tuple[RewardDefinition, ...] = (POINTS, BADGE, COFFEE)
STEPS = st.one_of(
    st.tuples(st.just("buy"), st.sampled_from([50, 150, 300, 700]), st.sampled_from([0, 0, 1, 5])),
    st.tuples(st.just("buy"), st.sampled_from([50, 150, 300, 700]), st.sampled_from([0, 0, 1, 5])),
    st.tuples(st.just("give back"), st.integers(0, 9), st.sampled_from([40, 300])),
    st.tuples(st.just("leave")),
    st.tuples(
        st.just("join"), st.sampled_from([None, "c1", "c2"]), st.sampled_from([None, 0, 300])
    ),
    st.tuples(st.just("reset")),
    st.tuples(st.just("wait"), st.sampled_from([0.5, 3, 10])),
)


def live(here: Desk, steps: list[tuple[Any, ...]]) -> None:
    for step in steps:
        match step:
            case ["buy", amount, ago]:
                here.take(sale(here.name(), amount, here.now - timedelta(days=ago)))
            case ["give back", place, amount]:
                bills = [key[1] for key, r in here.received.items() if r.activity.return_of is None]
                if bills:
                    here.take(refund(here.name(), bills[place % len(bills)], amount, here.now))
            case ["leave"]:
                here.leave(TARGET)
            case ["join", name, balance]:
                here.join(TARGET, name, balance)
            case ["reset"]:
                here.leave(TARGET)
                here.join(TARGET, reset=True)
            case ["wait", length]:
                here.wait(here.now + timedelta(days=length))


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(sorted(KINDS)), st.lists(STEPS, max_size=25))
def test_a_promotion_for_a_target_gives_what_the_targets_own_rewards_would(
    kind: str, steps: list[tuple[Any, ...]]
) -> None:
    group = with_target(KINDS[kind], rewards=REWARDS)
    here = joined(group, completion(starts=-1, ends=1000, groups=(GROUP,), rewards=REWARDS))
    live(here, steps)
    told = [
        (r.promotion_id, r.name, r.type, r.value, r.reference, r.granted_at, r.cause, r.attempt)
        for _, r in here.rewards
    ]
    own = [each[1:] for each in told if each[0] is None]
    assert [each[1:] for each in told if each[0] is not None] == own


def test_a_completion_is_no_activity_of_the_customers() -> None:
    here = joined(plain(), completion())
    here.do(event("ev", "run"))
    here.buy(ENOUGH)
    assert {name for _, name in here.received} == {"ev", "a-2"}
