"""Which lines of the explanation tell of promotions, and what stands in them: contract §5 and §7."""

from __future__ import annotations

import ast
import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from milepost.rules import redemption
from milepost.rules.definitions import (
    DIRECT,
    GENERIC,
    TARGET_COMPLETED,
    UNLIMITED,
    Promotion,
    TargetGroup,
)
from milepost.rules.effects import Entry, PromotionEffect
from milepost.rules.explanation import Explanation, explain
from milepost.rules.reasons import PROMOTION_REASONS
from tests.rules.desk import Desk
from tests.rules.entries import activity, effect, loaded
from tests.rules.promotion_samples import (
    COFFEE,
    PROMOTION,
    completion,
    offer,
    offering,
    points,
)
from tests.rules.samples import CUSTOMER, GROUP, TARGET, day, milestone, unified

OTHER = 22


def story(*parts: Promotion | TargetGroup) -> Desk:
    return Desk(offering(*parts), frozenset({CUSTOMER}))


def lines(
    desk: Desk, *, target_id: int | None = None, promotion_id: int | None = None
) -> list[Explanation]:
    return [
        line
        for _, entry in desk.journal
        for line in explain(loaded(entry), desk.defined, target_id, promotion_id)
    ]


def told(
    desk: Desk, *, target_id: int | None = None, promotion_id: int | None = None
) -> list[tuple[str, str]]:
    found = lines(desk, target_id=target_id, promotion_id=promotion_id)
    return [(line.what, line.reason) for line in found]


def of(entry: Entry, *parts: Promotion | TargetGroup, promotion_id: int | None = None) -> list[str]:
    """The reasons of an entry's lines."""
    found = explain(loaded(entry), offering(*parts), promotion_id=promotion_id)
    return [line.reason for line in found]


def test_every_step_has_a_line_with_the_ids_of_what_it_is_about() -> None:
    desk = story(offer(issuals=2, earns=2))
    desk.enrol()
    desk.enrol()
    desk.earn()
    desk.buy()
    desk.earn()
    desk.revoke_earn()
    desk.revoke_enrol()
    assert [
        (line.what, line.reason, line.issual_id, line.earn_id) for line in lines(desk)
    ] == [
        ("ENROLLED", "PROMOTION_ENROLLED", 1, None),
        ("ENROLLED", "PROMOTION_RE_ENROLLED", 2, None),
        ("ACHIEVED", "PROMOTION_EARNED", 2, 1),
        ("COUNTED", "REDEEMED", None, 1),
        ("REWARDED", "PROMOTION_REWARD", None, 1),
        ("ACHIEVED", "PROMOTION_EARNED", 2, 2),
        ("UNACHIEVED", "PROMOTION_EARN_REVOKED", None, 1),
        ("UNACHIEVED", "PROMOTION_EARN_REVOKED", None, 2),
        ("UNENROLLED", "PROMOTION_ENROLMENT_REVOKED", 2, None),
    ]  # fmt: skip
    assert {line.promotion_id for line in lines(desk)} == {PROMOTION}
    assert lines(desk) == lines(desk, promotion_id=PROMOTION)
    assert lines(desk, promotion_id=OTHER) == []
    assert lines(desk, target_id=TARGET) == []


def test_the_fields_of_a_payment_and_of_its_reward() -> None:
    desk = story(offer(GENERIC, rewards=(points(50, "Fifty"),)))
    desk.wait(3)
    desk.buy(at=1)
    paid, granted = (line.fields() for line in lines(desk))
    common = {
        "at": "2026-06-04T00:00:00.000Z",
        "targetGroupId": None,
        "targetRuleId": None,
        "periodRefCode": None,
        "streakLevel": None,
        "activityId": "a-1",
        "occurredAt": "2026-06-02T00:00:00.000Z",
        "amount": None,
        "before": None,
        "value": None,
        "targetValue": None,
        "keptRewards": None,
        "promotionId": PROMOTION,
        "issualId": None,
        "earnedId": None,
    }
    del paid["why"], granted["why"]
    assert paid == {
        **common, "what": "COUNTED", "reason": "REDEEMED", "attempt": None, "reward": None,
    }  # fmt: skip
    assert granted == {
        **common,
        "what": "REWARDED",
        "reason": "PROMOTION_REWARD",
        "attempt": 1,
        "reward": {"name": "Fifty", "type": "POINTS", "value": 50},
    }


def test_an_activity_that_counts_in_targets_and_promotions_has_a_line_for_each() -> None:
    group = milestone()
    desk = story(group, offer(GENERIC), offer(GENERIC, promotion_id=OTHER, expression="big"))
    desk.join(TARGET, "c1")
    desk.buy(99)
    assert [
        (line.what, line.reason, line.target_id, line.promotion_id) for line in lines(desk)[1:]
    ] == [
        ("COUNTED", "ADDED", TARGET, None),
        ("COUNTED", "REDEEMED", None, PROMOTION),
        ("NOT_COUNTED", "CRITERIA_NOT_MET", None, OTHER),
        ("REWARDED", "PROMOTION_REWARD", None, PROMOTION),
    ]
    assert told(desk, target_id=TARGET) == [("ENROLLED", "ENROLLED"), ("COUNTED", "ADDED")]
    assert told(desk, promotion_id=OTHER) == [("NOT_COUNTED", "CRITERIA_NOT_MET")]


def paying(*reasons: str) -> Entry:
    effects = [PromotionEffect(PROMOTION + n, reason) for n, reason in enumerate(reasons)]
    return replace(activity(), promotion_effects=tuple(effects))


def test_an_activity_counts_nowhere_only_if_no_promotion_paid_for_it() -> None:
    assert of(activity(), offer()) == ["NO_TARGET"]
    assert of(paying("CRITERIA_NOT_MET"), offer()) == ["NO_TARGET", "CRITERIA_NOT_MET"]
    assert of(paying("CRITERIA_NOT_MET", "REDEEMED"), offer()) == ["CRITERIA_NOT_MET", "REDEEMED"]
    not_enrolled = replace(paying("CRITERIA_NOT_MET"), effects=(effect("NOT_ENROLLED"),))
    assert of(not_enrolled, milestone()) == ["NOT_ENROLLED", "CRITERIA_NOT_MET"]


def test_what_is_no_activity_counts_nowhere_without_being_told_so() -> None:
    group = milestone(reward_allocation="PERIOD_END", rewards=())
    desk = story(group, completion(expression="is targetName nothing"))
    desk.join(TARGET, "c1", 1000)
    desk.wait(10)
    assert [line.reason for line in lines(desk)] == [
        "ENROLLED",
        "INITIAL_BALANCE",
        "SETTLED_ACHIEVED",
        "CRITERIA_NOT_MET",
    ]
    line = lines(desk)[-1]
    assert (line.activity_id, line.occurred_at) == (None, None)


def test_what_an_achieved_target_was_paid_concerns_the_target_and_the_promotion() -> None:
    desk = story(milestone(rewards=()), completion(), offer(GENERIC, promotion_id=OTHER))
    desk.join(TARGET, "c1")
    desk.buy(1000)
    (line,) = (each for each in lines(desk) if each.reason == "REDEEMED" and each.target_id)
    assert (line.target_group_id, line.target_id, line.period_ref_code) == (GROUP, TARGET, "c1")
    assert (line.promotion_id, line.activity_id) == (PROMOTION, "a-1")
    assert told(desk, promotion_id=PROMOTION) == [
        ("COUNTED", "REDEEMED"),
        ("REWARDED", "PROMOTION_REWARD"),
    ]
    assert told(desk, target_id=TARGET) == [
        ("ENROLLED", "ENROLLED"),
        ("COUNTED", "ADDED"),
        ("COUNTED", "REDEEMED"),
        ("ACHIEVED", "REACHED"),
    ]


def test_a_unified_group_that_was_paid_is_named_without_a_target() -> None:
    desk = story(unified("run", "swim"), completion())
    for target in (71, 72):
        desk.join(target, "c1", 1000)
    (line,) = (each for each in lines(desk) if each.reason == "REDEEMED")
    assert (line.target_group_id, line.target_id, line.period_ref_code) == (GROUP, None, "c1")


def test_an_activity_before_the_issue_is_explained_to_who_asks_for_the_promotion() -> None:
    desk = story(offer(DIRECT, earns=UNLIMITED))
    desk.buy()
    desk.wait(1)
    desk.earn()
    desk.buy(at=0.5)
    desk.buy()
    assert told(desk, promotion_id=PROMOTION) == [
        ("NOT_COUNTED", "NOT_EARNED"),
        ("ACHIEVED", "PROMOTION_EARNED"),
        ("NOT_COUNTED", "NOT_EARNED"),
        ("COUNTED", "REDEEMED"),
        ("REWARDED", "PROMOTION_REWARD"),
    ]
    assert [reason for _, reason in told(desk)] == [
        "NO_TARGET", "PROMOTION_EARNED", "NO_TARGET", "REDEEMED", "PROMOTION_REWARD",
    ]  # fmt: skip


def test_an_activity_outside_a_generic_promotion_is_explained_to_who_asks_for_it() -> None:
    desk = story(offer(GENERIC, starts=1, ends=2))
    for at in (0.5, 1, 2):
        desk.wait(at)
        desk.buy()
    assert [reason for _, reason in told(desk, promotion_id=PROMOTION)] == [
        "OUTSIDE_PROMOTION", "REDEEMED", "PROMOTION_REWARD", "OUTSIDE_PROMOTION",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "event", "asked"),
    [
        ("TRANSACTION", "TransactionAdd", True),
        ("TRANSACTION", "runLogged", False),
        ("TRANSACTION", TARGET_COMPLETED, False),
        ("EVENT", "runLogged", True),
        ("EVENT", "swum", False),
        ("RETURN", "TransactionAdd", False),
    ],
)
def test_only_what_a_promotion_would_pay_for_is_told_as_passed_over(
    kind: str, event: str, asked: bool
) -> None:
    for promotion, reason in (
        (offer(DIRECT, event=event), "NOT_EARNED"),
        (offer(GENERIC, event=event, starts=50), "OUTSIDE_PROMOTION"),
    ):
        found = of(activity(kind=kind), promotion, promotion_id=PROMOTION)
        assert found == ([reason] if asked else [])


def test_an_event_that_bears_the_name_of_a_purchase_or_completion_is_none() -> None:
    for name in ("TransactionAdd", TARGET_COMPLETED):
        event = activity(kind="EVENT")
        event = replace(event, details={**event.details, "eventName": name})
        assert of(event, offer(GENERIC, event=name, starts=50), promotion_id=PROMOTION) == []


@pytest.mark.parametrize(
    "promotion",
    [
        offer(event=None),
        offer(rewards=()),
        offer(state="DRAFT"),
        offer(state="PENDING_APPROVAL"),
    ],
)
def test_a_promotion_that_cannot_pay_passes_nothing_over(promotion: Promotion) -> None:
    assert of(activity(), promotion, promotion_id=PROMOTION) == []


def test_a_promotion_that_is_switched_off_or_stopped_may_have_paid_before() -> None:
    for promotion in (offer(active=False), offer(state="STOPPED"), offer(state="PAUSED")):
        assert of(activity(), promotion, promotion_id=PROMOTION) == ["NOT_EARNED"]


def test_an_unknown_promotion_has_no_line() -> None:
    assert of(activity(), offer(), promotion_id=4711) == []


def test_every_reason_that_the_rules_give_for_not_paying_is_listed() -> None:
    tree = ast.parse(Path(redemption.__file__).read_text())
    texts = {each.value for each in ast.walk(tree) if isinstance(each, ast.Constant)}
    codes = {
        text for text in texts if isinstance(text, str) and re.fullmatch("[A-Z]+_[A-Z_]+", text)
    }
    assert "CRITERIA_NOT_MET" in codes
    assert codes <= PROMOTION_REASONS.keys()


def test_several_rewards_are_told_one_by_one() -> None:
    desk = story(offer(GENERIC, rewards=(COFFEE, points(5, "Five"))))
    desk.buy()
    rewards = [line.reward for line in lines(desk) if line.reward is not None]
    assert [reward["name"] for reward in rewards] == ["Coffee", "Five"]


def test_an_expiry_is_told_at_its_instant() -> None:
    desk = story(offer(DIRECT, ends=3))
    desk.earn()
    desk.wait(7)
    line = lines(desk)[-1]
    assert (line.at, line.reason, line.earn_id) == (day(3), "PROMOTION_EARN_EXPIRED", 1)
    assert line.at - day(0) == timedelta(days=3)
