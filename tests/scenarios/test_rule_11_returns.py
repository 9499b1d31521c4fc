"""Contract §4 rule 11: what a return lowers, by how much, and what it takes back.

A milestone ABC has five cycles, c1 to c5: June to October 2026, each asking for 1000.
"""

from __future__ import annotations

from typing import Any

from tests.harness import Org, Service
from tests.scenarios.vocabulary import (
    ACCEPTED,
    INVALID_INPUT,
    Counted,
    Outcome,
    deed,
    define_group,
    define_milestone,
    define_streak,
    giving_back,
    item,
    months,
    names,
    post,
    sale,
    statuses,
)

LINES = [item("A", 60, 3, grossAmount=66), item("B", 40, 2, grossAmount=44)]
BILL: dict[str, Any] = {"grossAmount": 110, "lineItems": LINES}


def test_a_part_and_then_the_rest_of_a_sale_is_returned(org: Org) -> None:
    # What the sale adds, and what is left without one A of 20 net and 22 gross.
    values = {
        ("TRANSACTION", "SALES"): (100, 80),
        ("TRANSACTION", "GROSS_SALES"): (110, 88),
        ("TRANSACTION", "QUANTITY"): (5, 4),
        ("TRANSACTION", "COUNT"): (1, 1),
        ("TRANSACTION", "VISIT"): (1, 1),
        ("LINEITEM", "SALES"): (100, 80),
        ("LINEITEM", "GROSS_SALES"): (110, 88),
        ("LINEITEM", "QUANTITY"): (5, 4),
    }
    ann, challenges = org.register(), {}
    for entity, kind in values:
        target = {"targetEntity": entity, "targetType": kind}
        challenges[entity, kind] = abc = define_milestone(org, target=target)
        assert abc.enrol(ann, "c1") == ACCEPTED
    part = [item("A", 20, 1, grossAmount=22)]
    rest = [item("A", 40, 2, grossAmount=44), item("B", 40, 2, grossAmount=44)]
    sent = [
        sale(ann, 100, org.now(), id="s", **BILL),
        giving_back(ann, "s", 20, org.now(), grossAmount=22, lineItems=part),
        giving_back(ann, "s", 80, org.now(), grossAmount=88, lineItems=rest),
        giving_back(ann, "s", 1, org.now()),
    ]
    results = post(org, *sent)
    for key, (added, left) in values.items():
        lowered: Outcome = Counted("c1", added, left, achieved=False)
        done = [challenges[key].outcome_of(*pair) for pair in zip(sent, results, strict=True)]
        assert done == [
            ("c1", 0, added, False),
            lowered if left < added else "PARTLY_RETURNED",
            ("c1", left, 0, False),
            INVALID_INPUT,  # nothing is left
        ]


def test_the_gross_amount_of_a_return_is_its_net_amount_where_none_is_sent(org: Org) -> None:
    abc = define_milestone(org, target={"targetType": "GROSS_SALES"})
    ann = org.register()
    assert abc.enrol(ann, "c1") == ACCEPTED
    assert abc.buy(ann, 100, id="s", grossAmount=110) == ("c1", 0, 110, False)
    assert abc.give_back(ann, "s", 50) == ("c1", 110, 60, False)


def test_of_matching_items_only_those_that_matched_are_taken_back(org: Org) -> None:
    target = {
        "targetEntity": "LINEITEM",
        "targetType": "QUANTITY",
        "expression": "currentLineItem.sku == 'A'",
    }
    abc, ann = define_milestone(org, target=target), org.register()
    assert abc.enrol(ann, "c1") == ACCEPTED
    assert abc.buy(ann, 100, id="s", **BILL) == ("c1", 0, 3, False)
    assert abc.give_back(ann, "s", 20, lineItems=[item("B", 20, 1)]) == "NOTHING_TO_RETURN"
    both = [item("A", 40, 2), item("B", 20, 1)]
    assert abc.give_back(ann, "s", 60, lineItems=both) == ("c1", 3, 1, False)


def test_a_return_lowers_each_value_by_no_more_than_its_original_added_there(org: Org) -> None:
    abc, ann = define_milestone(org, target={"targetType": "GROSS_SALES"}), org.register()
    assert abc.enrol(ann, "c1") == ACCEPTED
    assert abc.buy(ann, 500) == ("c1", 0, 500, False)
    assert abc.buy(ann, 100, id="s", grossAmount=110) == ("c1", 500, 610, False)
    assert abc.give_back(ann, "s", 100, grossAmount=300) == ("c1", 610, 500, False)


def test_what_a_sale_did_not_add_its_return_does_not_lower(org: Org) -> None:
    abc, ann = define_milestone(org), org.register()
    assert abc.buy(ann, 100, id="before") == "NOT_ENROLLED"
    assert abc.enrol(ann, "c1") == ACCEPTED
    assert abc.buy(ann, 30) == ("c1", 0, 30, False)
    returned = giving_back(ann, "before", 100, org.now())
    (result,) = post(org, returned)
    assert (result["status"], result["effects"]) == ("ACCEPTED", [])
    assert abc.value(ann, "c1") == 30


def test_a_return_lowers_only_the_attempt_that_its_sale_was_added_in(org: Org) -> None:
    abc, streak, ann = define_milestone(org), define_streak(org, asked=1), org.register()
    assert abc.enrol(ann, "c1") == streak.enrol(ann) == ACCEPTED
    assert abc.buy(ann, 100, id="s") == ("c1", 0, 100, False)
    assert abc.unenrol(ann) == streak.unenrol(ann) == ACCEPTED
    assert abc.enrol(ann, "c1", initialBalance=500) == ACCEPTED
    assert streak.enrol(ann, resetStreakStatus=True) == ACCEPTED
    returned = giving_back(ann, "s", 100, org.now())
    assert abc.send(returned) == "EARLIER_ATTEMPT"
    assert streak.reason(ann, returned["id"]) == "EARLIER_ATTEMPT"
    assert (abc.value(ann, "c1"), streak.value(ann, "c1")) == (500, 0)


def test_a_return_lowers_the_cycle_of_its_original_while_that_is_open(org: Org) -> None:
    abc, ann = define_milestone(org, settlementDelayDays=2), org.register()
    assert abc.enrol(ann, "c1") == ACCEPTED
    for sale_id in ("s1", "s2"):
        abc.buy(ann, 100, id=sale_id)
    org.move_clock("2026-07-02T23:59:59Z")
    assert abc.give_back(ann, "s1", 60) == ("c1", 200, 140, False)
    org.move_clock("2026-07-03T00:00:00Z")
    assert abc.give_back(ann, "s1", 40) == "CYCLE_CLOSED"
    assert abc.give_back(ann, "s2", 100) == "CYCLE_CLOSED"
    assert abc.values(ann) == [140, 0, 0, 0, 0]


def test_a_return_un_achieves_a_cycle_and_its_reward_stays_is_marked_and_not_granted_again(
    org: Org,
) -> None:
    abc, ann = define_milestone(org), org.register()
    assert abc.enrol(ann, "c1") == ACCEPTED
    assert abc.buy(ann, 1000, id="s") == ("c1", 0, 1000, True)
    assert abc.give_back(ann, "s", 1) == ("c1", 1000, 999, False)
    assert abc.achieved(ann) == []
    assert abc.rewards(ann) == [("Voucher", "c1", 1)]
    lost = abc.journal(ann)[-1]
    assert (lost["what"], lost["reason"]) == ("UNACHIEVED", "RETURNED")
    assert lost["keptRewards"] == ["Voucher"]
    assert "Voucher" in lost["why"]
    assert abc.buy(ann, 1) == ("c1", 999, 1000, True)
    assert abc.achieved(ann) == ["c1"]
    assert abc.rewards(ann) == [("Voucher", "c1", 1)]
    assert abc.told(ann)[-2:] == [("COUNTED", "ADDED"), ("ACHIEVED", "REACHED")]


def test_a_return_that_leaves_the_value_at_the_target_value_un_achieves_nothing(org: Org) -> None:
    abc, ann = define_milestone(org), org.register()
    assert abc.enrol(ann, "c1") == ACCEPTED
    assert abc.buy(ann, 1500, id="s") == ("c1", 0, 1500, True)
    assert abc.give_back(ann, "s", 500) == ("c1", 1500, 1000, True)
    assert abc.achieved(ann) == ["c1"]


def test_what_was_returned_before_the_settlement_has_no_period_end_reward(org: Org) -> None:
    abc = define_milestone(org, rewardAllocation="PERIOD_END", settlementDelayDays=3)
    ann, ben = org.register(), org.register()
    for customer in (ann, ben):
        assert abc.enrol(customer, "c1") == ACCEPTED
        assert abc.buy(customer, 1000, id="s") == ("c1", 0, 1000, True)
    org.move_clock("2026-07-02T00:00:00Z")
    assert abc.give_back(ann, "s", 100) == ("c1", 1000, 900, False)
    assert abc.give_back(ben, "s", 100) == ("c1", 1000, 900, False)
    assert abc.buy(ben, 100, on="2026-06-30T00:00:00Z") == ("c1", 900, 1000, True)
    org.move_clock("2026-07-04T00:00:00Z")
    assert (abc.rewards(ann), abc.rewards(ben)) == ([], [("Voucher", "c1", 1)])


def test_a_return_takes_a_level_back_whose_run_no_longer_has_its_count(org: Org) -> None:
    streak, ann = define_streak(org, levels=(2, 3), settlementDelayDays=20), org.register()
    assert streak.enrol(ann) == ACCEPTED
    for day in (1, 2, 3):
        org.move_clock(f"2026-06-0{day}T10:00:00Z")
        assert streak.buy(ann, id=f"s{day}") == (f"c{day}", 0, 1, True)
    assert streak.levels(ann) == {"l1": "ACHIEVED", "l2": "ACHIEVED"}
    granted = streak.rewards(ann)
    # Without c3 the run of c1 and c2 has the count of l1 still.
    assert streak.give_back(ann, "s3", 1) == ("c3", 1, 0, False)
    assert streak.levels(ann) == {"l1": "ACHIEVED", "l2": "INPROGRESS"}
    assert streak.counter(ann) == 2
    lost = streak.journal(ann)[-1]
    assert (lost["what"], lost["reason"]) == ("UNACHIEVED", "LEVEL_LOST")
    assert lost["keptRewards"] == ["Benefit of l2"]
    # Without c2 there are runs of one.
    assert streak.give_back(ann, "s2", 1) == ("c2", 1, 0, False)
    assert set(streak.levels(ann).values()) == {"DROPPED"}
    assert streak.rewards(ann) == granted
    # Met again, levels are achieved again and not rewarded a second time in this attempt.
    assert streak.buy(ann, on="2026-06-02T10:00:00Z") == ("c2", 0, 1, True)
    assert streak.buy(ann, on="2026-06-03T10:00:00Z") == ("c3", 0, 1, True)
    assert streak.levels(ann) == {"l1": "ACHIEVED", "l2": "ACHIEVED"}
    assert streak.rewards(ann) == granted


def test_what_a_return_names_must_be_a_sale_of_the_customer_with_that_much_left(org: Org) -> None:
    abc, ann, ben = define_milestone(org), org.register(), org.register()
    org.move_clock("2026-06-10T00:00:00Z")
    for customer in (ann, ben):
        assert abc.enrol(customer, "c1") == ACCEPTED
    assert abc.buy(ann, 100, id="s", on="2026-06-05T00:00:00Z") == ("c1", 0, 100, False)
    assert statuses(post(org, deed(ann, "reviewed", org.now()) | {"id": "no sale"})) == ["ACCEPTED"]
    before = abc.journal(ann), abc.journal(ben)
    for refused in (
        giving_back(ann, "unknown", 10, org.now()),
        giving_back(ann, "S", 10, org.now()),
        giving_back(ann, "no sale", 10, org.now()),
        giving_back(ben, "s", 10, org.now()),
        giving_back(ann, "s", 10, "2026-06-04T23:59:59.999Z"),
        giving_back(ann, "s", 100.01, org.now()),
        giving_back(ann, "s", 10, org.now(), lineItems=[item("A", 10)]) | {"returnOf": ""},
    ):
        assert abc.send(refused) == INVALID_INPUT
    assert (abc.journal(ann), abc.journal(ben)) == before
    returned = giving_back(ann, "s", 30, "2026-06-05T00:00:00Z")
    assert abc.send(returned) == ("c1", 100, 70, False)
    assert abc.send(returned) == "DUPLICATE"
    assert abc.send(giving_back(ann, returned["id"], 10, org.now())) == INVALID_INPUT
    assert abc.give_back(ann, "s", 70.01) == INVALID_INPUT
    assert abc.give_back(ann, "s", 70) == ("c1", 70, 0, False)


def test_more_of_an_item_than_is_left_is_rejected(org: Org) -> None:
    abc, ann = define_milestone(org), org.register()
    assert abc.enrol(ann, "c1") == ACCEPTED
    assert abc.buy(ann, 100, id="s", **BILL) == ("c1", 0, 100, False)
    assert abc.give_back(ann, "s", 20, lineItems=[item("A", 20, 4)]) == INVALID_INPUT
    assert abc.give_back(ann, "s", 20, lineItems=[item("C", 20, 1)]) == INVALID_INPUT
    assert abc.give_back(ann, "s", 20, lineItems=[item("A", 20, 2)]) == ("c1", 100, 80, False)
    assert abc.give_back(ann, "s", 20, lineItems=[item("A", 20, 2)]) == INVALID_INPUT


def test_a_return_needs_an_amount_above_0(org: Org) -> None:
    abc, ann = define_milestone(org), org.register()
    assert abc.enrol(ann, "c1") == ACCEPTED
    assert abc.buy(ann, 100, id="s") == ("c1", 0, 100, False)
    for amount in (0, -1, -0.0):
        assert abc.give_back(ann, "s", amount) == INVALID_INPUT
    without = giving_back(ann, "s", 1, org.now())
    del without["netAmount"]
    assert abc.send(without) == INVALID_INPUT


def test_a_sale_and_its_return_may_come_in_one_call(org: Org) -> None:
    abc, ann = define_milestone(org), org.register()
    assert abc.enrol(ann, "c1") == ACCEPTED
    bought = sale(ann, 1000, org.now())
    returned = giving_back(ann, bought["id"], 400, org.now())
    early, *results = post(org, returned | {"id": "too early"}, bought, returned)
    assert early["status"] == "REJECTED"
    done = [abc.outcome_of(*pair) for pair in zip((bought, returned), results, strict=True)]
    assert done == [("c1", 0, 1000, True), ("c1", 1000, 600, False)]


def test_what_was_left_is_not_lowered_by_what_arrives_while_unenrolled(org: Org) -> None:
    abc, ann = define_milestone(org), org.register()
    assert abc.enrol(ann, "c1") == ACCEPTED
    assert abc.buy(ann, 100, id="s") == ("c1", 0, 100, False)
    assert abc.unenrol(ann) == ACCEPTED
    assert abc.give_back(ann, "s", 60) == "NOT_ENROLLED"
    assert abc.enrol(ann, "c1") == ACCEPTED
    assert abc.value(ann, "c1") == 100
    assert abc.give_back(ann, "s", 40) == ("c1", 100, 60, False)


def test_in_an_organisation_whose_returns_dont_adjust_targets_returns_never_touch_them(
    service: Service,
) -> None:
    org = service.new_org(returnsAdjustTargets=False)
    abc = define_milestone(org)
    ahead = define_milestone(org, carryReturnsForward=True)
    ann = org.register()
    assert abc.enrol(ann, "c1") == ahead.enrol(ann, "c1") == ACCEPTED
    assert abc.buy(ann, 1000, id="s") == ("c1", 0, 1000, True)
    assert abc.give_back(ann, "s", 400, id="r1") == "RETURNS_IGNORED"
    assert ahead.reason(ann, "r1") == "RETURNS_IGNORED"
    assert abc.values(ann) == ahead.values(ann) == [1000, 0, 0, 0, 0]
    # It is a return all the same: more than is left cannot be returned.
    assert abc.give_back(ann, "s", 601) == INVALID_INPUT
    org_path = f"/milepost/v1/orgs/{org.id}"
    changed = service.operator.put(org_path, json={"returnsAdjustTargets": True})
    assert changed.status_code == 200
    assert abc.give_back(ann, "s", 300) == ("c1", 1000, 700, False)


def test_a_return_lowers_every_target_that_its_sale_was_counted_in(org: Org) -> None:
    sales, count = define_group(
        org, 1000,
        {"targetEntity": "TRANSACTION", "targetType": "SALES"},
        {"targetEntity": "TRANSACTION", "targetType": "COUNT"},
        trackingType="UNIFIED", combinationType="ALL", periods=months(2),
    )  # fmt: skip
    ann = org.register()
    assert sales.enrol(ann) == count.enrol(ann) == ACCEPTED
    assert sales.buy(ann, 100, id="s") == ("c1", 0, 100, False)
    returned = giving_back(ann, "s", 100, org.now())
    (result,) = post(org, returned)
    assert sales.outcome_of(returned, result) == ("c1", 100, 0, False)
    assert count.outcome_of(returned, result) == ("c1", 1, 0, False)
    assert [row["targetAchievedValue"] for row in sales.rows(ann)] == [0] * len(names(1, 2))
