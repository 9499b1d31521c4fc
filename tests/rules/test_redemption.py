"""What promotions pay for activities, and what they don't: contract §7; domain: promotions §1.4, §1.6."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from milepost.errors import Refusal
from milepost.rules.definitions import DIRECT, ENROL_AND_ISSUE, GENERIC, UNLIMITED, Promotion
from milepost.rules.recording import Recorded
from tests.rules.desk import Desk
from tests.rules.promotion_samples import (
    COFFEE,
    PROMOTION,
    at_most,
    days,
    offer,
    offering,
    points,
)
from tests.rules.samples import (
    CUSTOMER,
    TICK,
    capping,
    day,
    event,
    milestone,
    refund,
    sale,
    with_target,
)

ANN, BOB, CEM = 1, 2, 3
REJECTED = "300004"
USED_UP, LIMIT, LIMIT_OF_ALL = (
    "REDEMPTIONS_USED_UP",
    "CUSTOMER_LIMIT_REACHED",
    "PROMOTION_LIMIT_REACHED",
)


def desk(*parts: Any, at: float = 0) -> Desk:
    return Desk(offering(*parts), frozenset({ANN, BOB, CEM}), now=day(at))


def generic(**others: Any) -> Promotion:
    return offer(GENERIC, **others)


def direct(**others: Any) -> Promotion:
    return offer(DIRECT, **others)


def issued(at: float = 0, **others: Any) -> Desk:
    """A direct promotion that Ann was issued on a day."""
    here = desk(direct(**others), at=at)
    assert here.earn() == "i1 e1"
    return here


# Generic promotions: by the date


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        (day(10) - TICK, ""),
        (day(10), "paid"),
        (day(20) - TICK, "paid"),
        (day(20), ""),
    ],
)
@pytest.mark.parametrize("arrives", [20, 30, 90])
def test_a_generic_promotion_pays_everybody_for_what_is_dated_within_it_late_or_not(
    at: datetime, arrives: float, expected: str
) -> None:
    here = desk(generic(starts=10, ends=20), at=arrives)
    assert here.buy(at=at) == expected
    assert here.buy(at=at, customer=BOB) == expected
    assert here.paid == [("Coffee", 1)] * (2 if expected else 0)


def test_a_generic_promotion_pays_for_every_activity_where_nothing_limits_it() -> None:
    here = desk(generic())
    assert [here.buy() for _ in range(3)] == ["paid"] * 3


def test_what_is_paid_is_stamped_with_when_it_arrived_and_says_for_what_and_from_what() -> None:
    here = issued()
    here.now = day(5)
    assert here.buy(at=3) == "e1"
    (reward,) = here.granted
    assert (reward.granted_at, reward.cause, reward.attempt) == (day(5), "ACTIVITY", 1)
    assert (reward.promotion_id, reward.earn_id, reward.paid_for) == (PROMOTION, 1, "activity a-1")
    assert (reward.target_group_id, reward.target_id, reward.period_id) == (None, None, None)
    assert (reward.name, reward.type, reward.reference) == ("Coffee", "COUPON", "coffee")
    (redemption,) = here.redemptions.values()
    assert (redemption.occurred_at, redemption.redeemed_at) == (day(3), day(5))


def test_the_sender_is_told_what_each_promotion_paid() -> None:
    here = desk(generic(rewards=(COFFEE, points(50))), direct(promotion_id=22))
    here.earn(promotion=22)
    (outcome,) = here.take(sale("a-1", 100))
    assert isinstance(outcome, Recorded)
    assert [(paid.promotion.id, paid.earn_id) for paid in outcome.paid] == [
        (PROMOTION, None),
        (22, 1),
    ]
    assert [[r.name for r in paid.rewards] for paid in outcome.paid] == [
        ["Coffee", "Points"],
        ["Coffee"],
    ]
    (again,) = here.take(sale("a-1", 100))
    assert again == Recorded("DUPLICATE")


# Issued promotions: by the record


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        (day(3) - TICK, ""),
        (day(3), "e1"),
        (day(8) - TICK, "e1"),
        (day(8), ""),
    ],
)
@pytest.mark.parametrize("noted", [True, False])
def test_an_issued_promotion_pays_for_what_is_dated_from_the_earn_to_before_its_expiry(
    at: datetime, noted: bool, expected: str
) -> None:
    here = issued(at=3, earn_expiry=days(5))
    if noted:
        here.wait(20)
        assert here.earned().ended_as == "EXPIRED"
    here.now = day(20)
    assert here.buy(at=at) == expected


def test_an_issued_promotion_pays_for_a_late_activity_after_it_has_ended() -> None:
    here = issued(ends=10)
    here.wait(50)
    assert here.buy(at=9) == "e1"
    assert here.buy(at=10) == ""


@pytest.mark.parametrize("kind", [DIRECT, ENROL_AND_ISSUE])
def test_who_was_not_issued_it_is_paid_nothing(kind: str) -> None:
    here = desk(offer(kind))
    assert here.buy() == ""
    if kind == ENROL_AND_ISSUE:
        here.enrol()
        assert here.buy() == ""
    here.earn()
    assert here.buy() == "e1"
    assert here.buy(customer=BOB) == ""


def test_a_record_that_was_revoked_when_the_activity_arrives_pays_nothing_whatever_its_date() -> (
    None
):
    here = issued()
    here.now = day(5)
    here.revoke_earn()
    assert here.buy(at=2) == ""


def test_what_arrived_before_the_record_was_revoked_is_paid() -> None:
    here = issued()
    here.now = day(5)
    assert here.buy(at=2) == "e1"
    here.revoke_earn()
    assert here.paid == [("Coffee", 1)]


def test_the_oldest_record_that_covers_the_date_pays_first() -> None:
    here = issued(earns=3, each=2, earn_expiry=days(10))
    here.now = day(2)
    here.earn()
    here.now = day(4)
    here.earn()
    assert [here.buy() for _ in range(7)] == ["e1", "e1", "e2", "e2", "e3", "e3", USED_UP]
    assert [earn.redemptions for earn in here.earns.values()] == [2, 2, 2]


def test_a_date_that_only_the_first_record_covers_is_paid_from_it_alone() -> None:
    here = issued(earns=2)
    here.now = day(5)
    here.earn()
    assert [here.buy(at=3), here.buy(at=3)] == ["e1", USED_UP]
    assert here.buy(at=5) == "e2"


def test_a_revoked_record_is_passed_over() -> None:
    here = issued(earns=3)
    here.earn()
    here.revoke_earn(1)
    assert [here.buy(), here.buy()] == ["e2", USED_UP]


@pytest.mark.parametrize("each", [1, 3, UNLIMITED])
def test_a_record_is_collected_from_as_often_as_redemptions_per_earn_says(each: int) -> None:
    here = issued(each=each)
    times = 5 if each == UNLIMITED else each
    assert [here.buy() for _ in range(5)] == ["e1"] * times + [USED_UP] * (5 - times)
    assert here.earned().redemptions == times


def test_redemptions_per_earn_means_nothing_to_a_generic_promotion() -> None:
    here = desk(generic(each=1))
    assert [here.buy(), here.buy()] == ["paid", "paid"]


def test_a_batch_goes_on_with_what_it_has_collected() -> None:
    here = issued(earns=2, each=2)
    here.earn()
    activities = [sale(f"a-{number}", 100) for number in range(6)]
    here.take(*activities)
    assert [here.effects_of(each) for each in activities] == ["e1", "e1", "e2", "e2"] + [
        USED_UP
    ] * 2


def test_activities_of_one_batch_are_paid_each_by_its_own_date() -> None:
    here = issued(at=3, each=UNLIMITED, earn_expiry=days(5))
    here.now = day(20)
    dates = [day(1), day(3) - TICK, day(3), day(8) - TICK, day(8), day(20)]
    activities = [sale(f"a-{place}", 1, at) for place, at in enumerate(dates)]
    here.take(*activities)
    assert [here.effects_of(each) for each in activities] == ["", "", "e1", "e1", "", ""]


# What it pays for


def test_only_the_event_of_the_criteria_pays_and_only_where_the_expression_holds() -> None:
    here = desk(generic(expression="big"), generic(promotion_id=22, event="runLogged"))
    assert [here.buy(99), here.buy(100)] == ["CRITERIA_NOT_MET", "paid"]
    assert here.happen("runLogged") == "paid"
    assert here.happen("walkLogged") == ""
    assert [reward.promotion_id for reward in here.granted] == [PROMOTION, 22]


@pytest.mark.parametrize("change", [{"event": None}, {"rewards": ()}])
@pytest.mark.parametrize("kind", [GENERIC, DIRECT])
def test_without_criteria_or_without_rewards_a_promotion_never_pays(kind: str, change: Any) -> None:
    here = desk(offer(kind, **change))
    if kind == DIRECT:
        here.earn()
    assert here.buy() == ""
    assert (here.granted, here.redemptions) == ([], {})


@pytest.mark.parametrize("name", ["TransactionAdd", "TARGETCOMPLETED", "ReturnBill"])
@pytest.mark.parametrize("kind", [GENERIC, DIRECT])
def test_a_behavioural_event_that_has_the_name_of_something_else_is_not_that(
    kind: str, name: str
) -> None:
    here = desk(offer(kind), offer(kind, promotion_id=22, event="TARGETCOMPLETED"))
    if kind == DIRECT:
        here.earn()
        here.earn(promotion=22)
    assert here.happen(name) == ""
    assert here.granted == []


@pytest.mark.parametrize("off", [{"active": False}, {"state": "PAUSED"}, {"state": "STOPPED"}])
@pytest.mark.parametrize("kind", [GENERIC, DIRECT])
def test_a_promotion_that_is_off_pays_nothing_and_is_paid_from_again_when_it_is_on(
    kind: str, off: Any
) -> None:
    here = desk(offer(kind))
    if kind == DIRECT:
        here.earn()
    here.edit(**off)
    assert here.buy() == "PROMOTION_INACTIVE"
    assert here.buy(customer=BOB) == ("PROMOTION_INACTIVE" if kind == GENERIC else "")
    here.edit(active=True, state="ACTIVE")
    assert here.buy() == ("paid" if kind == GENERIC else "e1")
    assert len(here.granted) == 1


@pytest.mark.parametrize("state", ["DRAFT", "PENDING_APPROVAL"])
def test_a_promotion_that_was_never_approved_is_not_even_told_of(state: str) -> None:
    assert desk(generic(state=state)).buy() == ""


def test_returns_take_nothing_back_and_are_paid_nothing() -> None:
    here = issued(each=2)
    here.take(sale("tx", 100))
    before = (list(here.rewards), dict(here.earns), dict(here.redemptions))
    assert here.do(refund("rt", "tx", 100)) == ""
    assert (list(here.rewards), dict(here.earns), dict(here.redemptions)) == before


def test_a_return_is_paid_nothing_whatever_a_promotion_listens_to() -> None:
    here = desk(generic(event="ReturnBill"))
    here.take(sale("tx", 100))
    assert here.do(refund("rt", "tx", 100)) == ""


def test_a_sale_and_its_return_in_one_batch_are_paid_as_the_sale_alone() -> None:
    here = desk(generic())
    here.take(sale("tx", 100), refund("rt", "tx", 100))
    assert here.paid == [("Coffee", 1)]


def test_an_edit_of_criteria_and_rewards_applies_to_what_arrives_later() -> None:
    here = issued(each=UNLIMITED)
    here.buy()
    here.edit(rewards=(points(7),))
    here.buy()
    here.edit(criteria=None)
    assert here.buy() == ""
    assert here.paid == [("Coffee", 1), ("Points", 7)]


def test_moved_dates_move_what_a_generic_promotion_pays_for_and_no_earned_record() -> None:
    here = desk(generic(), direct(promotion_id=22, each=UNLIMITED), at=0)
    here.earn(promotion=22)
    here.edit(ends_at=day(5))
    here.edit(22, ends_at=day(5))
    here.now = day(20)
    assert here.buy(at=5) == "e1"
    assert here.buy(at=4) == "paid e1"


# Failing expressions


@pytest.mark.parametrize("kind", [GENERIC, DIRECT])
def test_an_expression_that_fails_rejects_the_activity_whole(kind: str) -> None:
    parts = (
        milestone(),
        generic(promotion_id=20),
        offer(kind, expression="fails", of_all=9),
        generic(promotion_id=22),
    )
    here = desk(*parts)
    here.join(70)
    if kind == DIRECT:
        here.earn()
    before = here.told()
    (outcome,) = here.take(sale("a-1", 1000))
    assert isinstance(outcome, Refusal)
    assert str(outcome.error.code) == REJECTED
    assert outcome.detail.endswith("It is that of promotion 21, 'Offer 21'.")
    assert here.told() == before


def test_an_expression_of_a_promotion_that_does_not_concern_the_customer_rejects_nothing() -> None:
    here = desk(direct(expression="fails"), generic(promotion_id=22, ends=5, expression="fails"))
    here.now = day(6)
    assert here.buy() == ""


# Limits of redemptions


def test_a_customers_redemptions_may_be_limited_over_all_records() -> None:
    here = issued(earns=3, limits=(at_most("TIMES", "CUSTOMER", 2),))
    here.earn()
    here.earn()
    assert [here.buy() for _ in range(3)] == ["e1", "e2", LIMIT]


def test_a_customers_limit_is_of_each_customer() -> None:
    here = desk(generic(limits=(at_most("TIMES", "CUSTOMER", 1),)))
    assert [here.buy(customer=each) for each in (ANN, BOB, ANN, BOB)] == [
        "paid",
        "paid",
        LIMIT,
        LIMIT,
    ]


def test_a_limit_of_all_customers_is_used_up_by_any_of_them() -> None:
    here = desk(generic(limits=(at_most("TIMES", "PROMOTION", 2),)))
    assert [here.buy(customer=each) for each in (ANN, BOB, CEM, ANN)] == [
        "paid",
        "paid",
        LIMIT_OF_ALL,
        LIMIT_OF_ALL,
    ]


def test_a_limit_of_all_customers_that_is_set_later_counts_what_was_redeemed_before() -> None:
    here = desk(generic())
    here.buy()
    here.buy(customer=BOB)
    here.edit(redemption_limits=(at_most("TIMES", "PROMOTION", 3),))
    assert [here.buy(), here.buy()] == ["paid", LIMIT_OF_ALL]


@pytest.mark.parametrize("on", ["CUSTOMER", "PROMOTION"])
@pytest.mark.parametrize(("window", "length"), [("DAILY", 1), ("WEEKLY", 7), ("MONTHLY", 30)])
def test_a_window_looks_back_from_each_events_own_date(on: str, window: str, length: int) -> None:
    here = desk(generic(limits=(at_most("TIMES", on, 2, window),)), at=90)
    reached = LIMIT if on == "CUSTOMER" else LIMIT_OF_ALL
    first = day(10)
    span = timedelta(days=length)
    dates = [first, first + TICK, first + span - TICK, first + span, first + span + TICK]
    # At its end the window no longer has its begin; one falls out with each of the last two.
    assert [here.buy(at=at) for at in dates] == ["paid", "paid", reached, "paid", "paid"]


@pytest.mark.parametrize("on", ["CUSTOMER", "PROMOTION"])
def test_a_late_activity_is_judged_by_what_lies_before_it_and_not_by_what_came_after(
    on: str,
) -> None:
    here = desk(generic(limits=(at_most("TIMES", on, 1, "DAILY"),)), at=20)
    reached = LIMIT if on == "CUSTOMER" else LIMIT_OF_ALL
    assert here.buy(at=10) == "paid"
    assert here.buy(at=9.5) == "paid"
    assert here.buy(at=10.2) == reached
    assert here.buy(at=10) == reached


def test_a_late_activity_of_a_batch_is_limited_by_its_own_time_and_not_by_the_last_redemptions() -> (
    None
):
    here = desk(generic(limits=(at_most("TIMES", "PROMOTION", 2, "DAILY"),)), at=40)
    for at in (1, 1.1, 3, 20, 20.1, 30, 30.1, 39, 39.9):
        assert here.buy(at=at, customer=BOB) == "paid"
    dates = [1.5, 40, 3.5, 20.5, 4.1]
    activities = [sale(f"a-{place}", 1, at) for place, at in enumerate(dates)]
    here.take(*activities)
    told = [here.effects_of(each) for each in activities]
    assert told == [LIMIT_OF_ALL, "paid", "paid", LIMIT_OF_ALL, "paid"]


def test_windows_and_lifetime_limits_hold_together() -> None:
    limits = (at_most("TIMES", "CUSTOMER", 1, "DAILY"), at_most("TIMES", "CUSTOMER", 3))
    here = desk(generic(limits=limits))
    found = []
    for number in range(10):
        here.now = day(number / 2)
        found.append(here.buy())
    assert found == ["paid", LIMIT, "paid", LIMIT, "paid", *[LIMIT] * 5]


def test_a_batch_counts_its_own_redemptions_in_windows() -> None:
    here = desk(generic(limits=(at_most("TIMES", "PROMOTION", 3, "DAILY"),)), at=5)
    activities = [
        sale(f"a-{customer}-{number}", 1, at, customer=customer)
        for number, at in enumerate((1, 1.5, 2.6))
        for customer in (ANN, BOB)
    ]
    here.take(*activities)
    assert [here.effects_of(each) for each in activities] == [
        "paid", "paid", "paid", LIMIT_OF_ALL, "paid", "paid",
    ]  # fmt: skip


# Limits of points


@pytest.mark.parametrize(
    ("on", "expected"),
    [
        ("EVENT", [60, 60, 60]),
        ("EARN", [60, 40]),
        ("CUSTOMER", [60, 40]),
        ("PROMOTION", [60, 40]),
    ],
)
def test_the_redemption_that_crosses_a_limit_of_points_gets_what_is_left(
    on: str, expected: list[int]
) -> None:
    most = 60 if on == "EVENT" else 100
    here = issued(
        each=UNLIMITED,
        rewards=(points(70 if on == "EVENT" else 60),),
        limits=(at_most("POINTS", on, most),),
    )
    told = [here.buy() for _ in range(3)]
    assert [value for _, value in here.paid] == expected
    assert told[:2] == ["e1", "e1"]
    last = {"EVENT": "e1", "EARN": USED_UP, "CUSTOMER": LIMIT, "PROMOTION": LIMIT_OF_ALL}
    assert told[2] == last[on]
    assert int(here.earned().points) == sum(expected)


def test_the_points_of_one_redemption_share_what_is_left_in_their_order() -> None:
    here = desk(
        generic(
            rewards=(points(30, "a"), COFFEE, points(30, "b"), points(30, "c")),
            limits=(at_most("POINTS", "EVENT", 50),),
        )
    )
    here.buy()
    assert here.paid == [("a", 30), ("Coffee", 1), ("b", 20), ("c", 0)]


def test_what_is_not_points_is_paid_on_when_a_limit_of_points_is_used_up() -> None:
    here = desk(generic(rewards=(points(30), COFFEE), limits=(at_most("POINTS", "CUSTOMER", 30),)))
    assert [here.buy(), here.buy()] == ["paid", "paid"]
    assert here.paid == [("Points", 30), ("Coffee", 1), ("Points", 0), ("Coffee", 1)]


def test_a_record_whose_points_are_used_up_leaves_it_to_the_next_one() -> None:
    here = issued(
        earns=2, each=UNLIMITED, rewards=(points(60),), limits=(at_most("POINTS", "EARN", 100),)
    )
    here.earn()
    assert [here.buy() for _ in range(5)] == ["e1", "e1", "e2", "e2", USED_UP]
    assert [value for _, value in here.paid] == [60, 40, 60, 40]


def test_a_limit_of_times_on_a_record_is_one_more_limit_of_its_redemptions() -> None:
    here = issued(earns=2, each=5, limits=(at_most("TIMES", "EARN", 2),))
    here.earn()
    assert [here.buy() for _ in range(5)] == ["e1", "e1", "e2", "e2", USED_UP]


@pytest.mark.parametrize("window", ["DAILY", None])
def test_a_customers_points_may_be_limited_within_a_window(window: str | None) -> None:
    here = desk(
        generic(rewards=(points(60),), limits=(at_most("POINTS", "CUSTOMER", 100, window),)), at=0
    )
    assert [here.buy() for _ in range(3)] == ["paid", "paid", LIMIT]
    here.now = day(1)
    here.buy()
    assert [value for _, value in here.paid] == ([60, 40, 60] if window else [60, 40])


def test_of_several_limits_of_points_the_narrowest_decides() -> None:
    limits = (at_most("POINTS", "CUSTOMER", 100), at_most("POINTS", "PROMOTION", 130))
    here = desk(generic(rewards=(points(90),), limits=limits))
    here.buy(customer=ANN)
    here.buy(customer=BOB)
    here.buy(customer=ANN)
    assert [value for _, value in here.paid] == [90, 40]


def test_a_limit_of_points_counts_what_was_granted_and_not_what_was_promised() -> None:
    # A ceiling of 120 lets 20 of the second 100 through.
    here = desk(
        generic(rewards=(points(100),), limits=(at_most("POINTS", "CUSTOMER", 150),)), capping()
    )
    for _ in range(3):
        here.buy()
    assert [value for _, value in here.paid] == [100, 20, 0]
    here.now = day(10)  # the ceiling's next cycle
    assert here.buy() == "paid"
    assert [value for _, value in here.paid][3:] == [30]


# Points that count


def counting(**others: Any) -> Any:
    """A milestone on points, target 80; it is met with 150."""
    made = milestone(group_id=8, asked=150, name="Earn 150", **others)
    return with_target(made, target_entity="POINTS", target_type="PROMOTIONAL_POINTS")


def value(here: Desk, target: int = 80) -> int:
    row = here.progress.get((CUSTOMER, target, target * 10 + 1))
    return int(row.value) if row is not None else 0


def test_points_that_a_promotion_pays_count_in_a_target_on_points() -> None:
    here = desk(generic(rewards=(points(100),)), counting(rewards=(COFFEE,)))
    here.join(80)
    here.buy()
    assert value(here) == 100
    here.buy()
    assert value(here) == 200
    assert [reward.name for _, reward in here.rewards] == ["Points", "Points", "Coffee"]


def test_a_ceiling_holds_for_the_points_of_promotions_and_the_rest_is_lost() -> None:
    here = desk(generic(rewards=(points(70),)), capping())
    here.buy()
    here.buy()
    here.buy()
    assert [value for _, value in here.paid] == [70, 50, 0]
    last = [entry for _, entry in here.journal if entry.reason == "PROMOTION_REWARD"][-1]
    assert (last.details["value"], last.details["uncapped"]) == ("0", "70")


def test_a_rejected_activity_leaves_every_limit_as_it_was() -> None:
    limits = (at_most("TIMES", "PROMOTION", 1),)
    here = desk(generic(limits=limits), generic(promotion_id=22, expression="is km 5", event="run"))
    assert here.do(event("ev", "run")) == REJECTED
    assert here.do(replace(sale("tx", 5), net_amount=sale("tx", 5).net_amount * -1)) == REJECTED
    assert here.do(sale("later", 5, 50)) == REJECTED
    assert here.do(refund("rt", "none such", 5)) == REJECTED
    assert here.buy() == "paid"
