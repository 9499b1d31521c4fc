"""Groups of other kinds than a plain milestone: automatic enrolment, unified groups, sub-targets,
ceilings and points (domain §2.3, §4.1, §4.8–4.11).

A milestone ABC has five cycles, c1 to c5: June to October 2026, each asking for 1000.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.harness import Org, Service
from tests.scenarios.vocabulary import (
    ACCEPTED,
    ALREADY_ENROLLED,
    COUNT,
    INVALID_INPUT,
    SALES,
    Challenge,
    data,
    define_group,
    define_milestone,
    define_streak,
    item,
    months,
    names,
    post,
    sale,
)

AUTOMATIC = {"enrolmentMethod": "TRANSACTION"}
POINTS_100 = {"name": "100 points", "type": "POINTS", "value": 100}


def test_the_first_qualifying_activity_enrols_from_its_cycle_on(org: Org) -> None:
    expression = {"expression": "currentTxn.value >= 10"}
    abc = define_milestone(org, target={**AUTOMATIC, **expression}, settlementDelayDays=5)
    ann, ben = org.register(), org.register()
    org.move_clock("2026-07-03T00:00:00Z")
    assert abc.buy(ann, 9) == "NOT_ENROLLED"
    assert abc.covered(ann) == []
    assert abc.buy(ann, 10) == ("c2", 0, 10, False)
    assert abc.covered(ann) == names(2, 5)
    assert abc.told(ann)[-2:] == [("ENROLLED", "FIRST_ACTIVITY"), ("COUNTED", "ADDED")]
    assert abc.enrol(ann) == ALREADY_ENROLLED
    # A late one enrols in the cycle of its own date.
    assert abc.buy(ben, 1000, on="2026-06-30T00:00:00Z") == ("c1", 0, 1000, True)
    assert abc.covered(ben) == names(1, 5)
    assert abc.rewards(ben) == [("Voucher", "c1", 1)]


def test_who_has_left_is_not_enrolled_automatically_again(org: Org) -> None:
    abc, ann = define_milestone(org, target=AUTOMATIC), org.register()
    assert abc.buy(ann, 10) == ("c1", 0, 10, False)
    assert abc.unenrol(ann) == ACCEPTED
    assert abc.buy(ann, 10) == "NOT_ENROLLED"
    assert abc.enrol(ann, "c1") == ACCEPTED
    assert abc.buy(ann, 10) == ("c1", 10, 20, False)


def test_an_activity_that_is_rejected_enrols_nobody(org: Org) -> None:
    expression = {"expression": "currentTxn.attributes.channel == 'web'"}
    abc, ann = define_milestone(org, target={**AUTOMATIC, **expression}), org.register()
    assert abc.buy(ann, 10) == INVALID_INPUT
    assert abc.covered(ann) == []


def test_an_automatic_streak_is_entered_by_an_activity_in_a_cycle_that_has_not_ended(
    org: Org,
) -> None:
    streak = define_streak(org, levels=(2,), target=AUTOMATIC, settlementDelayDays=5)
    ann = org.register()
    org.move_clock("2026-06-02T12:00:00Z")
    # The first cycle has ended: it is neither met nor missed.
    assert streak.buy(ann, on="2026-06-01T12:00:00Z") == "NOT_ENROLLED"
    assert streak.buy(ann) == ("c2", 0, 1, True)
    assert streak.covered(ann) == names(2, 30)
    streak.meet(ann, ["c3"])
    assert streak.rewards(ann) == [("Benefit of l1", "c3", 1)]


def test_a_unified_group_is_met_when_all_its_targets_are(org: Org) -> None:
    sales, count = unified(org, "ALL", asked=(100, 2))
    ann = org.register()
    assert sales.enrol(ann) == count.enrol(ann) == ACCEPTED
    assert sales.buy(ann, 100, id="s") == ("c1", 0, 100, True)
    assert together(sales, ann) == []
    assert sales.buy(ann, 1) == ("c1", 100, 101, True)
    assert together(sales, ann) == [("ACHIEVED", "UNIFIED_REACHED")]
    assert sales.give_back(ann, "s", 50) == ("c1", 101, 51, False)
    assert together(sales, ann)[1:] == [("UNACHIEVED", "UNIFIED_LOST")]
    assert sales.buy(ann, 49) == ("c1", 51, 100, True)
    assert together(sales, ann)[2:] == [("ACHIEVED", "UNIFIED_REACHED")]
    # Its members are rewarded for themselves.
    assert {name for name, *_ in sales.rewards(ann)} == {"Sales"}
    assert {name for name, *_ in count.rewards(ann)} == {"Count"}


def test_a_unified_group_is_met_when_any_of_its_targets_is(org: Org) -> None:
    sales, count = unified(org, "ANY", asked=(100, 3))
    ann = org.register()
    assert count.enrol(ann) == ACCEPTED
    for bought in (1, 2, 3):
        assert count.buy(ann, 1000) == ("c1", bought - 1, bought, bought == 3)
    # Who is not in a member has 0 there.
    assert sales.covered(ann) == []
    assert together(count, ann) == [("ACHIEVED", "UNIFIED_REACHED")]


@pytest.mark.parametrize(
    ("aggregation", "threshold", "bought"),
    [
        # Net and gross amounts, each of which is to come to 100.
        ("SUM", 250, [(100, 0), (0, 149), (1, 0)]),
        ("COUNT", 2, [(99, 0), (0, 1000), (1, 0)]),
    ],
)
def test_an_overall_target_is_a_threshold_over_the_members(
    org: Org, aggregation: str, threshold: int, bought: list[tuple[int, int]]
) -> None:
    net, gross = define_group(
        org, 100, SALES, {"targetEntity": "TRANSACTION", "targetType": "GROSS_SALES"},
        trackingType="UNIFIED", combinationType="ALL", periods=months(2),
        unifiedTargetExpression={"aggregation": aggregation, "thresholdValue": threshold},
    )  # fmt: skip
    ann = org.register()
    assert net.enrol(ann) == gross.enrol(ann) == ACCEPTED
    for amount, gross_amount in bought:
        assert together(net, ann) == []
        net.buy(ann, amount, grossAmount=gross_amount)
    assert together(net, ann) == [("ACHIEVED", "UNIFIED_REACHED")]


def test_sub_targets_are_reached_on_the_way(org: Org) -> None:
    triggers = [
        {"triggerName": "half", "triggerValueType": "PERCENTAGE", "triggerValue": 50},
        {"triggerName": "nearly", "triggerValueType": "PERCENTAGE", "triggerValue": 90},
    ]
    abc, ann = define_milestone(org, target={"targetMilestoneTriggers": triggers}), org.register()
    assert abc.enrol(ann, "c1") == ACCEPTED

    def reached() -> list[tuple[str, float, bool]]:
        first = abc.rows(ann)[0]
        return [(m["triggerName"], m["triggerValue"], m["isAchieved"]) for m in first["milestones"]]

    assert reached() == [("half", 500, False), ("nearly", 900, False)]
    assert abc.buy(ann, 500, id="s") == ("c1", 0, 500, False)
    assert reached() == [("half", 500, True), ("nearly", 900, False)]
    assert abc.buy(ann, 400) == ("c1", 500, 900, False)
    assert reached() == [("half", 500, True), ("nearly", 900, True)]
    assert abc.give_back(ann, "s", 500) == ("c1", 900, 400, False)
    assert reached() == [("half", 500, False), ("nearly", 900, False)]


def test_sub_targets_of_a_count_are_absolute(org: Org) -> None:
    trigger = {"triggerName": "three", "triggerValueType": "ABSOLUTE", "triggerValue": 3}
    target = {**COUNT, "targetMilestoneTriggers": [trigger]}
    abc, ann = define_milestone(org, target=target), org.register()
    assert abc.enrol(ann, "c1", initialBalance=2) == ACCEPTED
    assert [m["isAchieved"] for m in abc.rows(ann)[0]["milestones"]] == [False]
    assert abc.buy(ann) == ("c1", 2, 3, False)
    assert [m["isAchieved"] for m in abc.rows(ann)[0]["milestones"]] == [True]
    assert [m["isAchieved"] for m in abc.rows(ann)[1]["milestones"]] == [False]


def test_points_are_granted_up_to_their_ceiling_and_the_grant_that_crosses_it_gets_the_rest(
    org: Org,
) -> None:
    ceiling = define_ceiling(org, 250)
    ann, ben = org.register(), org.register()
    assert ceiling.enrol(ann) == ACCEPTED
    milestones = [define_milestone(org, asked=10, rewards=[POINTS_100]) for _ in range(4)]
    for abc in milestones:
        for customer in (ann, ben):
            assert abc.enrol(customer, "c1", initialBalance=10) == ACCEPTED
    assert points(org, ann) == [100, 100, 50, 0]
    assert ceiling.value(ann, "c1") == 250
    # Who is not in it has no ceiling.
    assert points(org, ben) == [100] * 4
    # In the next cycle it begins anew.
    org.move_clock("2026-07-01T00:00:00Z")
    assert milestones[0].buy(ann, 10) == ("c2", 0, 10, True)
    assert points(org, ann)[4:] == [100, 100, 50, 0]


def test_a_ceiling_for_all_customers_holds_for_who_never_enrolled(org: Org) -> None:
    define_ceiling(org, 150, **AUTOMATIC)
    abc, ann = define_milestone(org, asked=10, rewards=[POINTS_100]), org.register()
    assert abc.enrol(ann, "c1", initialBalance=10) == ACCEPTED
    second = define_milestone(org, asked=10, rewards=[POINTS_100, {**POINTS_100, "type": "COUPON"}])
    assert second.enrol(ann, "c1", initialBalance=10) == ACCEPTED
    # It limits points and nothing else.
    assert points(org, ann) == [100, 50]
    assert len(second.rewards(ann)) == 2


def test_the_lowest_of_several_ceilings_decides(org: Org) -> None:
    high, low = define_ceiling(org, 500), define_ceiling(org, 70)
    abc, ann = define_milestone(org, asked=10, rewards=[POINTS_100]), org.register()
    assert high.enrol(ann) == low.enrol(ann) == ACCEPTED
    assert abc.enrol(ann, "c1", initialBalance=10) == ACCEPTED
    assert points(org, ann) == [70]
    assert (high.value(ann, "c1"), low.value(ann, "c1")) == (70, 70)


def test_points_that_are_granted_count_in_targets_on_points(org: Org) -> None:
    target = {"targetEntity": "POINTS", "targetType": "ALL_POINTS"}
    saver, ann = define_milestone(org, asked=150, target=target), org.register()
    abc = define_milestone(org, asked=10, rewards=[POINTS_100])
    assert saver.enrol(ann) == abc.enrol(ann, "c1") == ACCEPTED
    sent = sale(ann, 10, org.now())
    (result,) = post(org, sent)
    assert abc.outcome_of(sent, result) == ("c1", 0, 10, True)
    assert saver.outcome_of(sent, result) == ("c1", 0, 100, False)
    org.move_clock("2026-06-10T00:00:00Z")
    again = define_milestone(org, asked=10, rewards=[POINTS_100], rewardAllocation="PERIOD_END")
    assert again.enrol(ann, "c1", initialBalance=10) == ACCEPTED
    assert saver.value(ann, "c1") == 100
    org.move_clock("2026-07-01T00:00:00Z")
    # Granted at the settlement, so it counts in the cycle of that instant.
    assert saver.values(ann) == [100, 100, 0, 0, 0]


def test_a_user_created_challenge_is_joined_and_counted_like_any_other(org: Org) -> None:
    abc, ann = define_milestone(org, userCreated=True), org.register()
    assert abc.enrol(ann, "c1") == ACCEPTED
    assert abc.buy(ann, 1000) == ("c1", 0, 1000, True)
    assert abc.rewards(ann) == [("Voucher", "c1", 1)]


def test_an_activity_moves_only_groups_of_the_organisation_that_it_was_posted_for(
    service: Service, org: Org
) -> None:
    child = service.new_org(now=None, sandbox=None, parentOrgId=org.id)
    ours, theirs = define_milestone(org), define_milestone(child)
    ann = org.register()
    assert ours.enrol(ann, "c1") == theirs.enrol(ann, "c1") == ACCEPTED
    assert ours.buy(ann, 10, id="s") == ("c1", 0, 10, False)
    assert theirs.values(ann) == [0] * 5
    assert theirs.journal(ann)[1:] == []
    # Ids are each organisation's own too: this is no duplicate, and no sale to return there.
    assert theirs.give_back(ann, "s", 10) == INVALID_INPUT
    assert theirs.buy(ann, 1000, id="s") == ("c1", 0, 1000, True)
    assert (ours.value(ann, "c1"), ours.rewards(ann)) == (10, [])
    assert theirs.rewards(ann) == [("Voucher", "c1", 1)]
    org.move_clock("2026-07-01T00:00:00Z")
    assert [line["what"] for line in theirs.journal(ann)][-1] == "SETTLED"


def test_one_activity_moves_every_target_that_counts_it(org: Org) -> None:
    ann = org.register()
    coffee = {"targetEntity": "LINEITEM", "expression": "currentLineItem.sku == 'coffee'"}
    all_of_it = [
        define_milestone(org),
        define_milestone(org, target=coffee),
        define_streak(org, levels=(1,)),
        define_milestone(org, target=AUTOMATIC),
    ]
    for abc in all_of_it[:3]:
        assert abc.enrol(ann) == ACCEPTED
    bought = sale(ann, 30, org.now(), lineItems=[item("coffee", 12), item("milk", 18)])
    (result,) = post(org, bought)
    assert [abc.outcome_of(bought, result) for abc in all_of_it] == [
        ("c1", 0, 30, False),
        ("c1", 0, 12, False),
        ("c1", 0, 1, True),
        ("c1", 0, 30, False),
    ]


def unified(org: Org, combination: str, asked: tuple[int, int]) -> tuple[Challenge, ...]:
    """A unified group of two months whose targets count sales and bills."""
    drafts = [
        {
            **kind,
            "defaultValues": [{"defaultValue": value}],
            "rewards": [{"name": name, "type": "BADGE", "value": 1}],
        }
        for kind, value, name in zip((SALES, COUNT), asked, ("Sales", "Count"), strict=True)
    ]
    group = {"trackingType": "UNIFIED", "combinationType": combination, "periods": months(2)}
    return define_group(org, 1, *drafts, **group)


def together(member: Challenge, customer: int) -> list[tuple[str, str]]:
    """When the members of a unified group met its condition together, and no longer."""
    told = data(member.org.get(f"/milepost/v1/customers/{customer}/explanation"))
    return [
        (line["what"], line["reason"])
        for line in told
        if line["targetGroupId"] == member.group_id and line["reason"].startswith("UNIFIED")
    ]


def define_ceiling(org: Org, most: int, **target: Any) -> Challenge:
    """A ceiling on the points of a month."""
    fields = {"targetEntity": "POINTS", "targetType": "ALL_POINTS", **target}
    (ceiling,) = define_group(org, most, fields, trackingType="CAPPING", periods=months(2))
    return ceiling


def points(org: Org, customer: int) -> list[float]:
    """The points of each reward, oldest first."""
    rewards = data(org.get(f"/milepost/v1/customers/{customer}/rewards"))
    return [each["value"] for each in rewards if each["type"] == "POINTS"]
