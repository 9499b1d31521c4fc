"""Contract §7, what promotions pay: for activities and for achieved targets, whom, when, and how often."""

from __future__ import annotations

from typing import Any

import pytest

from tests.harness import Org
from tests.scenarios.promotion_vocabulary import (
    COFFEE,
    DIRECT,
    ENROL_AND_ISSUE,
    EXHAUSTED,
    FIFTY,
    GENERIC,
    Issued,
    Offer,
    ledger,
    offer,
)
from tests.scenarios.vocabulary import (
    COUNT,
    INVALID_INPUT,
    before,
    data,
    days,
    deed,
    define_group,
    define_milestone,
    define_streak,
    giving_back,
    months,
    post,
    sale,
    statuses,
)

PAID = ["A coffee"]


def issued(org: Org, kind: str = DIRECT, **fields: Any) -> tuple[Offer, int]:
    """A promotion that a new customer was issued."""
    here, ann = offer(org, kind, **fields), org.register()
    if kind == ENROL_AND_ISSUE:
        assert isinstance(here.enrol(ann)[0], Issued)
    assert isinstance(here.earn(ann)[0], Issued)
    return here, ann


def buy(org: Org, customer: int, on: str | None = None, amount: float = 10, **fields: Any) -> str:
    """A purchase, dated now unless `on` says when; returns its id."""
    activity = sale(customer, amount, on or org.now(), **fields)
    assert statuses(post(org, activity)) == ["ACCEPTED"]
    return str(activity["id"])


# Whom


def test_the_earn_call_grants_nothing_and_a_purchase_after_it_does(org: Org) -> None:
    here, ann = issued(org)
    assert here.rewards(ann) == []
    buy(org, ann)
    (reward,) = here.granted(ann)
    assert reward.pop("rewardId") > 0
    assert reward == {
        "targetGroupId": None,
        "targetRuleId": None,
        "periodRefCode": None,
        "streakLevel": None,
        "attempt": 1,
        "promotionId": here.id,
        "name": "A coffee",
        "type": "COUPON",
        "value": 1,
        "reference": "COFFEE",
        "grantedAt": "2026-06-01T00:00:00.000Z",
        "cause": "ACTIVITY",
    }


def test_a_generic_promotion_pays_everybody_at_once_and_for_each_purchase(org: Org) -> None:
    here = offer(org, GENERIC)
    ann, bob = org.register(), org.register()
    buy(org, ann)
    buy(org, ann)
    buy(org, bob)
    assert here.rewards(ann) == PAID * 2
    assert here.rewards(bob) == PAID


def test_a_direct_promotion_pays_who_was_issued_it_and_nobody_else(org: Org) -> None:
    here, ann = issued(org)
    bob = org.register()
    buy(org, bob)
    assert here.rewards(bob) == []
    buy(org, ann)
    assert here.rewards(ann) == PAID


def test_an_enrol_and_issue_promotion_pays_who_enrolled_and_was_issued_it(org: Org) -> None:
    here, ann = offer(org, ENROL_AND_ISSUE), org.register()
    buy(org, ann)
    here.enrol(ann)
    buy(org, ann)
    assert here.rewards(ann) == []
    here.earn(ann)
    buy(org, ann)
    assert here.rewards(ann) == PAID


def test_without_criteria_or_rewards_a_promotion_never_pays(org: Org) -> None:
    ann = org.register()
    silent = offer(org, GENERIC, criteria=None)
    empty = offer(org, GENERIC, rewards=[])
    buy(org, ann)
    assert silent.rewards(ann) == empty.rewards(ann) == []


# When


def test_a_generic_promotion_pays_for_what_is_dated_within_it_however_late_it_arrives(
    org: Org,
) -> None:
    here = offer(org, GENERIC, startDate="2026-06-10T00:00:00Z", endDate="2026-06-19T23:59:59.999Z")
    ann = org.register()
    org.move_clock("2026-07-15T00:00:00Z")
    for instant, pays in (
        (before("2026-06-10T00:00:00Z"), False),
        ("2026-06-10T00:00:00Z", True),
        (before("2026-06-20T00:00:00Z"), True),
        ("2026-06-20T00:00:00Z", False),
    ):
        known = len(here.rewards(ann))
        buy(org, ann, instant)
        assert len(here.rewards(ann)) == known + pays


def test_an_earned_record_pays_for_what_is_dated_from_the_earn_to_before_its_expiry(
    org: Org,
) -> None:
    org.move_clock("2026-06-05T12:00:00Z")
    here, ann = issued(
        org, earnExpiry={"type": "CUSTOM", "days": 5}, limits={"redemptionsPerEarn": -1}
    )
    org.move_clock("2026-06-20T00:00:00Z")
    for instant, pays in (
        (before("2026-06-05T12:00:00Z"), False),
        ("2026-06-05T12:00:00Z", True),
        (before("2026-06-10T12:00:00Z"), True),
        ("2026-06-10T12:00:00Z", False),
    ):
        known = len(here.rewards(ann))
        buy(org, ann, instant)  # late, for the record has expired long since
        assert len(here.rewards(ann)) == known + pays


def test_a_record_that_was_revoked_when_the_purchase_arrives_pays_nothing(org: Org) -> None:
    here, ann = issued(org)
    org.move_clock("2026-06-10T00:00:00Z")
    here.revoke_earn(ann)
    buy(org, ann, "2026-06-05T00:00:00Z")
    buy(org, ann)
    assert here.rewards(ann) == []


def test_a_record_pays_on_after_its_enrolment_was_replaced(org: Org) -> None:
    here = offer(org, ENROL_AND_ISSUE, limits={"issualsPerCustomer": 2})
    ann = org.register()
    here.enrol(ann)
    here.earn(ann)
    here.enrol(ann)
    buy(org, ann)
    assert here.rewards(ann) == PAID


def test_while_a_promotion_is_switched_off_it_pays_nothing_and_afterwards_again(org: Org) -> None:
    here, ann = issued(org)
    here.change(active=False)
    buy(org, ann)
    assert here.rewards(ann) == []
    here.change(active=True)
    buy(org, ann)
    assert here.rewards(ann) == PAID


def test_an_expiry_is_fixed_when_the_record_is_made_and_edits_apply_to_later_ones(org: Org) -> None:
    here = offer(org, DIRECT, earnExpiry={"type": "CUSTOM", "days": 10})
    ann, bob = org.register(), org.register()
    here.earn(ann)
    here.change(earnExpiry={"type": "CUSTOM", "days": 2})
    here.earn(bob)
    org.move_clock("2026-06-05T00:00:00Z")
    for customer in (ann, bob):
        buy(org, customer)
    assert here.rewards(ann) == PAID
    assert here.rewards(bob) == []


def test_expiry_days_are_calendar_days_at_the_same_local_time(service: Any) -> None:
    org = service.new_org(timeZone="Europe/Berlin", now="2026-10-24T12:00:00Z")  # 14:00 there
    here, ann = issued(org, earnExpiry={"type": "CUSTOM", "days": 1})
    # The clocks go back in the night, so the day has 25 hours.
    org.move_clock("2026-10-25T13:00:00Z")
    buy(org, ann, before("2026-10-25T13:00:00Z"))
    assert here.rewards(ann) == PAID
    there, bob = issued(org, earnExpiry={"type": "CUSTOM", "days": 1})
    org.move_clock("2026-10-26T13:00:00Z")
    buy(org, bob)
    assert there.rewards(bob) == []


# For what


def test_the_criteria_are_an_event_and_an_expression(org: Org) -> None:
    here = offer(
        org,
        GENERIC,
        criteria={
            "event": "TransactionAdd",
            "expression": "currentTxn.value >= 50 && has(currentTxn.attributes.channel) && "
            'currentTxn.attributes.channel == "web"',
        },
    )
    ann = org.register()
    buy(org, ann, amount=60)
    buy(org, ann, amount=49, attributes={"channel": "web"})
    assert here.rewards(ann) == []
    buy(org, ann, amount=50, attributes={"channel": "web"})
    assert here.rewards(ann) == PAID


def test_a_behavioural_event_pays_by_its_name_and_attributes(org: Org) -> None:
    here = offer(
        org, GENERIC, criteria={"event": "runLogged", "expression": "currentEvent.km > 5.0"}
    )
    ann = org.register()
    post(org, deed(ann, "runLogged", org.now(), km=4.9))
    post(org, deed(ann, "swimLogged", org.now(), km=9))
    assert here.rewards(ann) == []
    post(org, deed(ann, "runLogged", org.now(), km=5.1))
    assert here.rewards(ann) == PAID


def test_the_vendors_event_names_are_known_in_whatever_case(org: Org) -> None:
    here = offer(org, GENERIC, criteria={"event": "TRANSACTIONADD"})
    ann = org.register()
    buy(org, ann)
    assert here.rewards(ann) == PAID


def test_an_expression_that_fails_rejects_the_activity_and_nothing_of_it_is_done(org: Org) -> None:
    abc, ann = define_milestone(org, asked=100), org.register()
    here = offer(
        org,
        GENERIC,
        criteria={
            "event": "TransactionAdd",
            "expression": 'currentTxn.attributes.channel == "web"',
        },
    )
    abc.enrol(ann)
    activity = sale(ann, 100, org.now())
    (result,) = post(org, activity)
    assert (result["status"], result["effects"]) == ("REJECTED", [])
    (error,) = result["errors"]
    assert error["code"] == INVALID_INPUT
    assert f"promotion {here.id}" in error["message"]
    assert abc.value(ann, "c1") == 0
    assert statuses(post(org, {**activity, "attributes": {"channel": "web"}})) == ["ACCEPTED"]
    assert here.rewards(ann) == PAID


def test_an_expression_is_not_asked_where_nothing_could_be_paid(org: Org) -> None:
    """A promotion that concerns nobody here must not reject anybody's purchases."""
    offer(
        org,
        DIRECT,
        criteria={
            "event": "TransactionAdd",
            "expression": 'currentTxn.attributes.channel == "web"',
        },
    )
    ann = org.register()
    buy(org, ann)


def test_the_same_activity_sent_again_pays_once(org: Org) -> None:
    here, ann = offer(org, GENERIC), org.register()
    activity = sale(ann, 10, org.now())
    assert statuses(post(org, activity, activity)) == ["ACCEPTED", "DUPLICATE"]
    assert statuses(post(org, activity)) == ["DUPLICATE"]
    assert here.rewards(ann) == PAID


def test_returns_take_nothing_back_and_are_paid_nothing(org: Org) -> None:
    here, ann = offer(org, GENERIC, rewards=[FIFTY]), org.register()
    bought = buy(org, ann)
    assert statuses(post(org, giving_back(ann, bought, 10, org.now()))) == ["ACCEPTED"]
    assert here.rewards(ann) == ["Fifty points"]
    balance = data(org.get(f"/milepost/v1/customers/{ann}/points"))["balance"]
    assert balance == 50


# How often


def test_a_record_pays_redemptions_per_earn_times_by_default_once(org: Org) -> None:
    once, ann = issued(org)
    thrice = offer(org, DIRECT, limits={"redemptionsPerEarn": 3})
    thrice.earn(ann)
    for _ in range(5):
        buy(org, ann)
    assert once.rewards(ann) == PAID
    assert thrice.rewards(ann) == PAID * 3


def test_the_oldest_record_pays_first(org: Org) -> None:
    here = offer(
        org,
        DIRECT,
        limits={"earnsPerCustomer": 2},
        earnExpiry={"type": "CUSTOM", "days": 5},
    )
    ann = org.register()
    here.earn(ann)
    org.move_clock("2026-06-04T00:00:00Z")
    here.earn(ann)
    buy(org, ann)  # the first one's, which has two days left
    org.move_clock("2026-06-08T00:00:00Z")
    buy(org, ann)  # the second one's, for the first one is over
    buy(org, ann)
    assert here.rewards(ann) == PAID * 2


def limited(on: str, most: int, kpi: str = "TIMES", unit: str | None = None) -> dict[str, Any]:
    """One limit of redemptions."""
    return {"kpi": kpi, "limitOn": on, "maxLimit": most, "periodUnit": unit}


def test_redemptions_are_limited_by_customer_and_over_all_customers(org: Org) -> None:
    here = offer(org, GENERIC, redemptionLimits=[limited("CUSTOMER", 2), limited("PROMOTION", 3)])
    ann, bob = org.register(), org.register()
    for _ in range(3):
        buy(org, ann)
    for _ in range(3):
        buy(org, bob)
    assert here.rewards(ann) == PAID * 2
    assert here.rewards(bob) == PAID


@pytest.mark.parametrize(("unit", "days_back"), [("DAILY", 1), ("WEEKLY", 7), ("MONTHLY", 30)])
@pytest.mark.parametrize("on", ["CUSTOMER", "PROMOTION"])
def test_a_moving_window_looks_back_from_the_date_of_each_event(
    org: Org, on: str, unit: str, days_back: int
) -> None:
    here = offer(
        org,
        GENERIC,
        startDate="2026-01-01T00:00:00Z",
        redemptionLimits=[limited(on, 1, unit=unit)],
    )
    ann = org.register()
    org.move_clock("2026-09-01T12:00:00Z")
    buy(org, ann, "2026-07-01T12:00:00Z")
    same = {1: "2026-07-02", 7: "2026-07-08", 30: "2026-07-31"}[days_back]
    buy(org, ann, before(f"{same}T12:00:00Z"))
    assert here.rewards(ann) == PAID
    buy(org, ann, f"{same}T12:00:00Z")
    assert here.rewards(ann) == PAID * 2
    # What came later by its date does not matter to an earlier one.
    buy(org, ann, "2026-06-01T12:00:00Z")
    assert here.rewards(ann) == PAID * 3


def test_points_are_paid_up_to_what_a_limit_leaves(org: Org) -> None:
    by_customer = offer(
        org, GENERIC, rewards=[FIFTY], redemptionLimits=[limited("CUSTOMER", 120, "POINTS")]
    )
    by_event = offer(
        org, GENERIC, rewards=[FIFTY, FIFTY], redemptionLimits=[limited("EVENT", 70, "POINTS")]
    )
    by_all = offer(
        org, GENERIC, rewards=[FIFTY], redemptionLimits=[limited("PROMOTION", 60, "POINTS")]
    )
    ann, bob = org.register(), org.register()
    for _ in range(4):
        buy(org, ann)
    buy(org, bob)
    values = {
        each.id: [reward["value"] for reward in each.granted(ann)]
        for each in (by_customer, by_event, by_all)
    }
    assert values[by_customer.id] == [50, 50, 20]
    assert values[by_event.id] == [50, 20] * 4
    assert values[by_all.id] == [50, 10]
    assert by_all.rewards(bob) == []


def test_points_of_one_earned_record_are_limited(org: Org) -> None:
    here, ann = issued(
        org,
        rewards=[FIFTY],
        limits={"redemptionsPerEarn": -1, "earnsPerCustomer": 2},
        redemptionLimits=[limited("EARN", 80, "POINTS")],
    )
    for _ in range(3):
        buy(org, ann)
    assert [reward["value"] for reward in here.granted(ann)] == [50, 30]


def test_points_of_promotions_count_in_targets_on_points_and_meet_ceilings(org: Org) -> None:
    counting = define_milestone(
        org,
        asked=1000,
        target={"targetEntity": "POINTS", "targetType": "PROMOTIONAL_POINTS"},
    )
    define_group(
        org,
        80,
        {
            "targetEntity": "POINTS",
            "targetType": "PROMOTIONAL_POINTS",
            "enrolmentMethod": "TRANSACTION",
        },
        trackingType="CAPPING",
        periods=months(1),
    )
    here, ann = offer(org, GENERIC, rewards=[FIFTY]), org.register()
    counting.enrol(ann)
    for _ in range(3):
        buy(org, ann)
    assert [reward["value"] for reward in here.granted(ann)] == [50, 30, 0]
    assert counting.value(ann, "c1") == 80


# Achieved targets


def completing(org: Org, kind: str = GENERIC, **criteria: Any) -> Offer:
    """A promotion that pays for achieved targets."""
    return offer(
        org, kind, criteria={"event": "TARGETCOMPLETED", **criteria}, rewards=[FIFTY, COFFEE]
    )


def test_a_milestone_with_a_promotion_gives_the_same_as_the_milestones_own_rewards(
    org: Org,
) -> None:
    """Granted at once, and at the settlement: name, type, value, instant and cause."""
    rewards = [FIFTY, COFFEE]
    for allocation in ("IMMEDIATE", "PERIOD_END"):
        own = define_milestone(org, asked=100, rewards=rewards, rewardAllocation=allocation)
        bare = define_milestone(org, asked=100, rewards=[], rewardAllocation=allocation)
        here = completing(org, targetGroupIds=[bare.group_id], targetRuleIds=[bare.target_id])
        ann, bob = org.register(), org.register()
        for customer in (ann, bob):
            own.enrol(customer)
            bare.enrol(customer)
        start = org.now()
        buy(org, ann, amount=60)
        buy(org, ann, amount=60)
        buy(org, bob, amount=99)
        month = int(start[5:7])
        org.move_clock(f"2026-{month + 1:02}-02T00:00:00Z")
        facts = ("name", "type", "value", "reference", "grantedAt", "cause", "attempt")
        of_own, of_promotion = (
            [tuple(each[fact] for fact in facts) for each in found]
            for found in (
                [r for r in ledger(org, ann) if r["targetRuleId"] == own.target_id],
                here.granted(ann),
            )
        )
        assert of_own == of_promotion
        assert len(of_own) == 2
        assert ledger(org, bob) == []


def test_a_completion_is_paid_to_who_was_issued_a_direct_promotion(org: Org) -> None:
    abc = define_milestone(org, asked=100, rewards=[])
    here = completing(org, DIRECT, targetGroupIds=[abc.group_id])
    ann, bob = org.register(), org.register()
    for customer in (ann, bob):
        abc.enrol(customer)
    here.earn(ann)
    for customer in (ann, bob):
        buy(org, customer, amount=100)
    assert here.rewards(ann) == ["Fifty points", "A coffee"]
    assert here.rewards(bob) == []


def test_only_the_targets_and_groups_that_are_linked_are_paid_for(org: Org) -> None:
    one, other = (define_milestone(org, asked=100, rewards=[]) for _ in range(2))
    by_group = completing(org, targetGroupIds=[one.group_id])
    by_target = completing(org, targetRuleIds=[other.target_id])
    both = completing(org)
    ann = org.register()
    one.enrol(ann)
    buy(org, ann, amount=100)
    assert (len(by_group.rewards(ann)), len(by_target.rewards(ann))) == (2, 0)
    other.enrol(ann)
    buy(org, ann, amount=100)
    assert (len(by_group.rewards(ann)), len(by_target.rewards(ann))) == (2, 2)
    assert len(both.rewards(ann)) == 4


def test_a_balance_that_achieves_at_once_is_a_completion(org: Org) -> None:
    abc = define_milestone(org, asked=100, rewards=[])
    here = completing(org, targetGroupIds=[abc.group_id])
    ann = org.register()
    abc.enrol(ann, "c3", initialBalance=100)
    granted = here.granted(ann)
    assert [each["cause"] for each in granted] == ["ENROLMENT"] * 2


def test_a_completion_happens_once_per_attempt(org: Org) -> None:
    abc = define_milestone(org, asked=100, rewards=[])
    here = completing(org, targetGroupIds=[abc.group_id])
    ann = org.register()
    abc.enrol(ann)
    bought = buy(org, ann, amount=100)
    post(org, giving_back(ann, bought, 100, org.now()))
    buy(org, ann, amount=100)
    assert len(here.rewards(ann)) == 2
    abc.unenrol(ann)
    abc.enrol(ann, "c1", initialBalance=100)
    assert [each["attempt"] for each in here.granted(ann)] == [1, 1, 2, 2]


def test_a_period_end_target_is_paid_at_its_settlement_only_if_it_is_achieved_then(
    org: Org,
) -> None:
    abc = define_milestone(
        org, asked=100, rewards=[], rewardAllocation="PERIOD_END", settlementDelayDays=2
    )
    here = completing(org, targetGroupIds=[abc.group_id])
    ann, bob = org.register(), org.register()
    bought = {}
    for customer in (ann, bob):
        abc.enrol(customer)
        bought[customer] = buy(org, customer, amount=100)
    post(org, giving_back(bob, bought[bob], 1, org.now()))
    assert here.rewards(ann) == []
    org.move_clock(before("2026-07-03T00:00:00Z"))
    assert here.rewards(ann) == []
    org.move_clock("2026-07-03T00:00:00Z")
    granted = here.granted(ann)
    assert [each["cause"] for each in granted] == ["SETTLEMENT"] * 2
    assert {each["grantedAt"] for each in granted} == {"2026-07-03T00:00:00.000Z"}
    assert here.rewards(bob) == []


def test_each_achieved_cycle_of_a_streak_is_a_completion_and_levels_can_be_asked_for(
    org: Org,
) -> None:
    daily = define_streak(org, cycles=5, levels=(2, 4))
    every = completing(org, targetGroupIds=[daily.group_id])
    level = completing(
        org, targetGroupIds=[daily.group_id], expression="currentEvent.isStreakAchievedEvent"
    )
    ann = org.register()
    daily.enrol(ann)
    daily.meet(ann, ["c1", "c2", "c3", "c4"])
    assert len(every.rewards(ann)) == 2 * 4
    assert len(level.rewards(ann)) == 2 * 2


@pytest.mark.parametrize("allocation", ["IMMEDIATE", "PERIOD_END"])
def test_a_unified_groups_own_achievement_is_rewarded_through_a_promotion_of_its_group(
    org: Org, allocation: str
) -> None:
    walk, run = define_group(
        org,
        1,
        {**COUNT, "targetEntity": "EVENT", "eventName": "walked", "rewards": []},
        {**COUNT, "targetEntity": "EVENT", "eventName": "ran", "rewards": []},
        trackingType="UNIFIED",
        combinationType="ALL",
        rewardAllocation=allocation,
        periods=days(2),
    )
    whole = completing(org, targetGroupIds=[walk.group_id])
    member = completing(org, targetRuleIds=[run.target_id])
    ann, bob = org.register(), org.register()
    for customer in (ann, bob):
        walk.enrol(customer)
        run.enrol(customer)
    post(org, deed(ann, "walked", org.now()), deed(bob, "walked", org.now()))
    post(org, deed(ann, "ran", org.now()))
    post(org, deed(ann, "ran", org.now()))
    if allocation == "PERIOD_END":
        assert whole.rewards(ann) == []
        org.move_clock("2026-06-02T00:00:00Z")
    assert whole.rewards(ann) == member.rewards(ann) == ["Fifty points", "A coffee"]
    assert whole.rewards(bob) == []


def test_a_completion_is_dated_when_it_happens(org: Org) -> None:
    """A late purchase that achieves an ended, open cycle completes it when it arrives."""
    abc = define_milestone(org, asked=100, rewards=[], settlementDelayDays=10)
    ended = offer(
        org, GENERIC, criteria={"event": "TARGETCOMPLETED"}, endDate="2026-06-30T23:59:59Z"
    )
    going_on = offer(org, GENERIC, criteria={"event": "TARGETCOMPLETED"})
    ann = org.register()
    abc.enrol(ann)
    org.move_clock("2026-07-05T00:00:00Z")
    buy(org, ann, "2026-06-15T00:00:00Z", amount=100)
    assert abc.achieved(ann) == ["c1"]
    assert ended.rewards(ann) == []
    assert going_on.rewards(ann) == PAID


def test_promotions_move_only_with_activities_of_their_own_organisation(
    org: Org, service: Any
) -> None:
    other = service.new_org()
    here, there = offer(org, GENERIC), offer(other, GENERIC)
    ann = org.register(4711)
    other.register(4711)
    buy(other, 4711)
    assert here.rewards(ann) == []
    assert there.rewards(4711) == PAID


# Expiry as due work


def test_expiries_fall_due_in_order_with_all_else_and_are_told_as_of_their_instant(
    org: Org,
) -> None:
    here = offer(
        org,
        ENROL_AND_ISSUE,
        issualExpiry={"type": "CUSTOM", "days": 3},
        earnExpiry={"type": "CUSTOM", "days": 2},
    )
    ann = org.register()
    here.enrol(ann)
    here.earn(ann)
    org.move_clock("2026-06-30T00:00:00Z")
    found = data(
        org.get(f"/milepost/v1/customers/{ann}/explanation", params={"promotionId": str(here.id)})
    )
    assert [(line["at"], line["what"], line["reason"]) for line in found] == [
        ("2026-06-01T00:00:00.000Z", "ENROLLED", "PROMOTION_ENROLLED"),
        ("2026-06-01T00:00:00.000Z", "ACHIEVED", "PROMOTION_EARNED"),
        ("2026-06-03T00:00:00.000Z", "UNACHIEVED", "PROMOTION_EARN_EXPIRED"),
        ("2026-06-04T00:00:00.000Z", "UNENROLLED", "PROMOTION_ENROLMENT_EXPIRED"),
    ]


def test_a_promotion_that_ends_lets_everything_of_it_expire(org: Org) -> None:
    here = offer(org, ENROL_AND_ISSUE, endDate="2026-06-09T23:59:59Z")
    customers = [org.register() for _ in range(3)]
    here.enrol(*customers)
    here.earn(customers[0])
    org.move_clock("2026-06-10T00:00:00Z")
    for customer in customers:
        assert here.told(customer)[-1] == ("UNENROLLED", "PROMOTION_ENROLMENT_EXPIRED")
    assert ("UNACHIEVED", "PROMOTION_EARN_EXPIRED") in here.told(customers[0])


# The stories of the seed


def test_the_seeds_story_of_enrol_and_issue(org: Org) -> None:
    """Enrolled for a purchase of 5,000; who reviews it then gets a voucher for the next purchase."""
    voucher = {"name": "Discount voucher", "type": "COUPON", "value": 500, "reference": None}
    here = offer(org, ENROL_AND_ISSUE, rewards=[voucher])
    ann = org.register()
    buy(org, ann, amount=5000)
    here.enrol(ann)
    here.earn(ann)  # the review was written
    assert here.rewards(ann) == []
    buy(org, ann, amount=700)
    buy(org, ann, amount=800)
    assert here.rewards(ann) == ["Discount voucher"]


def test_the_seeds_story_of_direct_issue(org: Org) -> None:
    """Five purchases, then the promotion is issued, and a free item is earned."""
    free = {"name": "A free item", "type": "CUSTOM", "value": 1, "reference": None}
    here, ann = offer(org, DIRECT, rewards=[free]), org.register()
    for _ in range(5):
        buy(org, ann)
    here.earn(ann)
    assert here.earn(ann) == [EXHAUSTED]
    buy(org, ann)
    assert here.rewards(ann) == ["A free item"]
