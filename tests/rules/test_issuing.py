"""Enrol in promotions, issue them, revoke either: contract §7; domain: promotions §1.4, §3.1–3.4, §8."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from milepost.errors import Refusal
from milepost.rules.definitions import DIRECT, ENROL_AND_ISSUE, GENERIC, UNLIMITED, Promotion
from milepost.rules.issuing import (
    EARN,
    ENROL,
    ISSUE,
    REVOKE_EARN,
    REVOKE_ENROL,
    Act,
    Acted,
    Call,
    find_promotion,
)
from tests.rules.desk import Desk, calls
from tests.rules.promotion_samples import OTHER_PROGRAM, PROGRAM, PROMOTION, days, offer, offering
from tests.rules.samples import CUSTOMER, TICK, day

ANN, BOB, CEM = 1, 2, 3
EXHAUSTED, NOT_FOUND, NOT_ENROLLED, EARNED_LIVES, WRONG_EARNS = (
    "8890",
    "8015",
    "2305",
    "8896",
    "8903",
)
ENROL_OR_EARN, REVOKE = (ENROL, EARN), (REVOKE_ENROL, REVOKE_EARN)


def desk(*offers: Promotion, restores: bool = False, zone: str = "UTC") -> Desk:
    """Ann, Bob and Cem; Ann has a mobile too."""
    defined = offering(*(offers or (offer(),)), restores=restores, zone=zone)
    return Desk(defined, frozenset({ANN, BOB, CEM}), mobiles={"4915112345": ANN})


def direct(**others: Any) -> Promotion:
    return offer(DIRECT, **others)


# What is wrong with the call: 1101, 8874, 8892, 8902, in this order


def found(
    promotion: Promotion,
    *,
    program: int = PROGRAM,
    promotion_id: int | None = PROMOTION,
    identifier: str | None = None,
    action: str | None = ENROL,
    actions: tuple[str, ...] = ENROL_OR_EARN,
    now: float = 50,
) -> str:
    """`found`, or code and message of the refusal."""
    call = Call(program, promotion_id, identifier, action, actions)
    outcome = find_promotion(offering(promotion), call, day(now))
    return (
        f"{outcome.error.code} {outcome.message}" if isinstance(outcome, Refusal) else outcome.name
    )


def test_a_call_that_is_wrong_in_everything_is_refused_for_its_program_first_and_its_action_last() -> (
    None
):
    over = offer(DIRECT, ends=10)
    wrong = {"program": 1, "promotion_id": 9, "action": ENROL}
    assert found(over, **wrong) == "1101 invalid programId passed"  # type: ignore[arg-type]
    wrong["program"] = PROGRAM
    assert found(over, **wrong) == "8874 promotion id passed is invalid"  # type: ignore[arg-type]
    wrong["promotion_id"] = PROMOTION
    assert found(over, **wrong) == "8892 promotion is inactive"  # type: ignore[arg-type]
    unfit = "8902 bulk action passed not supported for loyalty/generic promotion type"
    assert found(offer(DIRECT), **wrong) == unfit  # type: ignore[arg-type]


def test_a_promotion_of_another_program_is_as_unknown_as_one_that_there_is_not() -> None:
    assert found(offer(), program=OTHER_PROGRAM).startswith("8874 ")
    named = offer(identifier="review-and-save")
    sent = {"promotion_id": None, "identifier": "review-and-save"}
    assert found(named, **sent) == named.name  # type: ignore[arg-type]
    assert found(named, program=OTHER_PROGRAM, **sent).startswith("8874 ")  # type: ignore[arg-type]
    assert found(named, promotion_id=None, identifier="REVIEW-AND-SAVE").startswith("8874 ")


def test_where_id_and_identifier_are_sent_the_id_decides() -> None:
    named = offer(identifier="review-and-save")
    assert found(named, identifier="none such") == named.name
    assert found(named, promotion_id=9, identifier="review-and-save").startswith("8874 ")


@pytest.mark.parametrize(
    ("now", "live"), [(0 - 1e-9, False), (0, True), (99.9, True), (100 - 1e-9, True), (100, False)]
)
def test_a_promotion_is_live_from_its_start_to_before_its_end(now: float, live: bool) -> None:
    answer = found(offer(), now=now)
    assert answer == ("Offer 21" if live else "8892 promotion is inactive")


@pytest.mark.parametrize(
    "off",
    [
        {"active": False},
        {"state": "DRAFT"},
        {"state": "PENDING_APPROVAL"},
        {"state": "PAUSED"},
        {"state": "STOPPED"},
    ],
)
def test_a_promotion_that_is_not_approved_or_was_switched_off_is_inactive(off: Any) -> None:
    assert found(offer(**off)) == "8892 promotion is inactive"


@pytest.mark.parametrize(
    ("kind", "fitting"),
    [
        (GENERIC, ()),
        (DIRECT, (EARN, REVOKE_EARN, ISSUE)),
        (ENROL_AND_ISSUE, (ENROL, EARN, REVOKE_ENROL, REVOKE_EARN, ISSUE)),
    ],
)
@pytest.mark.parametrize("action", [ENROL, EARN, REVOKE_ENROL, REVOKE_EARN, ISSUE])
def test_each_type_takes_its_own_actions(kind: str, fitting: tuple[str, ...], action: str) -> None:
    answer = found(offer(kind), action=action, actions=(action,))
    word = "revoke " if action == REVOKE_EARN else ""
    text = f"8902 {word}bulk action passed not supported for loyalty/generic promotion type"
    assert answer == ("Offer 21" if action in fitting else text)


@pytest.mark.parametrize("action", [None, "", "enrol", "ISSUE", "REVOKE_EARN", "PAY"])
def test_an_action_that_the_route_does_not_take_is_none(action: str | None) -> None:
    assert found(offer(), action=action).startswith("8902 bulk action")
    assert found(offer(), action=ENROL, actions=REVOKE).startswith("8902 revoke bulk action")
    assert found(offer(DIRECT), action=action, actions=(EARN,)).startswith("8902 bulk action")


def test_a_call_that_is_wrong_does_nothing_for_anybody() -> None:
    here = desk(offer(ends=10))
    here.now = day(10)
    assert here.act(calls(ENROL, ANN, BOB)) == ["call 8892"] * 2
    assert (here.issuals, here.journal) == ({}, [])


# Enrol


def test_who_enrols_gets_an_enrolment_until_the_promotion_ends() -> None:
    here = desk()
    here.now = day(3)
    assert here.enrol() == "i1"
    issual = here.issual()
    assert (issual.issued_at, issual.expires_at) == (day(3), day(100))
    assert here.told_of() == ["PROMOTION_ENROLLED"]


def test_a_customer_who_is_not_found_is_8015_and_the_others_are_acted_on() -> None:
    here = desk()
    fates = here.act(
        [*calls(ENROL, BOB, 99, "4900000000", ANN), Act(calls(ENROL, 1)[0].call, None)]
    )
    assert fates == ["i1", NOT_FOUND, NOT_FOUND, "i2", NOT_FOUND]


def test_a_second_enrolment_is_over_the_default_limit_and_the_first_one_stays() -> None:
    here = desk()
    here.enrol()
    before = here.copy()
    here.now = day(1)
    assert here.enrol() == EXHAUSTED
    assert (here.live(), here.told()) == ("i1", before.told())


def test_who_enrols_again_has_a_new_enrolment_with_a_new_expiry_in_place_of_the_old() -> None:
    here = desk(offer(issuals=2, issual_expiry=days(10)))
    here.enrol()
    here.now = day(4)
    assert here.enrol() == "i2"
    old, new = here.issual(1), here.issual(2)
    assert (old.ended_at, old.ended_as) == (day(4), "REPLACED")
    assert (new.issued_at, new.expires_at) == (day(4), day(14))
    assert here.enrol() == EXHAUSTED
    assert here.told_of() == ["PROMOTION_ENROLLED", "PROMOTION_RE_ENROLLED"]
    assert here.journal[-1][1].details["replaces"] == 1


def test_an_expired_enrolment_used_its_limit_up_for_good() -> None:
    here = desk(offer(issual_expiry=days(5)))
    here.enrol()
    here.now = day(5)
    assert here.live() == ""
    assert here.enrol() == EXHAUSTED


def test_after_an_expired_enrolment_there_may_be_another_which_replaces_nothing() -> None:
    here = desk(offer(issuals=2, issual_expiry=days(5)))
    here.enrol()
    here.now = day(8)
    assert here.enrol() == "i2"
    ended, now = (here.issual(number) for number in (1, 2))
    assert (ended.ended_at, ended.ended_as) == (day(5), "EXPIRED")
    assert (now.issued_at, now.ended_at) == (day(8), None)
    assert here.told_of() == [
        "PROMOTION_ENROLLED",
        "PROMOTION_ENROLMENT_EXPIRED",
        "PROMOTION_RE_ENROLLED",
    ]
    assert [entry.at for _, entry in here.journal] == [day(0), day(5), day(8)]
    assert "replaces" not in here.journal[-1][1].details


@pytest.mark.parametrize("limit", [1, 3, 100])
def test_a_customer_may_enrol_as_often_as_the_limit_says_revoked_ones_included(limit: int) -> None:
    here = desk(offer(issuals=limit))
    for number in range(1, limit + 1):
        assert here.enrol() == f"i{number}"
        if number % 2:
            assert here.revoke_enrol() == f"i{number}"
    assert here.enrol() == EXHAUSTED


def test_without_a_limit_a_customer_may_enrol_again_and_again() -> None:
    here = desk(offer(issuals=UNLIMITED))
    assert [here.enrol() for _ in range(5)] == [f"i{number}" for number in range(1, 6)]
    assert here.live() == "i5"


def test_a_limit_of_enrolments_is_each_customers_own() -> None:
    here = desk()
    assert here.act(calls(ENROL, ANN, BOB, CEM)) == ["i1", "i2", "i3"]


def test_a_limit_that_is_raised_or_lowered_applies_from_then_on() -> None:
    here = desk()
    here.enrol()
    assert here.enrol() == EXHAUSTED
    here.limit(issuals_per_customer=3)
    assert here.enrol() == "i2"
    here.limit(issuals_per_customer=2)
    assert here.enrol() == EXHAUSTED
    assert here.live() == "i2"


# Earn, on enrol & issue


def test_who_is_not_enrolled_is_issued_nothing() -> None:
    here = desk()
    before = here.told()
    assert here.earn() == NOT_ENROLLED
    assert here.told() == before


def test_who_is_enrolled_is_issued_an_earned_record_of_that_enrolment() -> None:
    here = desk()
    here.enrol()
    here.now = day(2)
    assert here.earn() == "i1 e1"
    earn = here.earned()
    assert (earn.issual_id, earn.earned_at, earn.expires_at) == (1, day(2), day(100))
    assert (earn.redemptions, int(earn.points)) == (0, 0)
    assert here.paid == []  # the call itself grants nothing


def test_several_records_may_hang_off_one_enrolment() -> None:
    here = desk(offer(earns=3))
    here.enrol()
    assert [here.earn() for _ in range(4)] == ["i1 e1", "i1 e2", "i1 e3", EXHAUSTED]


def test_who_is_not_enrolled_hears_2305_even_if_a_limit_is_used_up_too() -> None:
    here = desk(offer(issual_expiry=days(5)))
    here.enrol()
    here.earn()
    assert here.earn() == EXHAUSTED
    here.now = day(5)
    assert here.earn() == NOT_ENROLLED


@pytest.mark.parametrize(
    ("at", "expected"), [(day(5) - TICK, "i1 e1"), (day(5), NOT_ENROLLED), (day(6), NOT_ENROLLED)]
)
def test_an_enrolment_is_expired_at_its_expiry_whether_that_was_noted_or_not(
    at: datetime, expected: str
) -> None:
    here = desk(offer(issual_expiry=days(5)))
    here.enrol()
    noted = here.copy()
    here.now = at
    assert here.earn() == expected
    noted.wait(at)
    assert noted.earn() == expected


def test_a_revoked_enrolment_is_none() -> None:
    here = desk()
    here.enrol()
    here.revoke_enrol()
    assert here.earn() == NOT_ENROLLED


def test_records_of_an_earlier_enrolment_live_on_after_another_with_the_expiry_they_had() -> None:
    here = desk(offer(issuals=2, earns=2, issual_expiry=days(10), earn_expiry=days(20)))
    here.enrol()
    here.earn()
    here.now = day(6)
    here.enrol()
    assert here.earn() == "i2 e2"
    assert (here.earned(1).expires_at, here.earned(2).expires_at) == (day(10), day(16))
    here.now = day(10)
    assert here.live() == "i2 e2"


# Earn, on direct issue


def test_a_direct_promotion_is_issued_with_a_dummy_enrolment_that_is_used_again() -> None:
    here = desk(direct(earns=3, issuals=1))
    assert here.act(calls(EARN, ANN, BOB)) == ["i1 e1", "i2 e2"]
    here.now = day(1)
    assert [here.earn(), here.earn()] == ["i1 e3", "i1 e4"]
    assert here.earn() == EXHAUSTED
    dummy = here.issual()
    assert dummy.is_dummy
    assert (dummy.issued_at, dummy.expires_at) == (day(0), day(100))
    assert dummy.entry_id == here.earned().entry_id


def test_a_direct_promotion_ignores_what_is_said_of_enrolments() -> None:
    here = desk(direct(issuals=1, earns=UNLIMITED, issual_expiry=days(1)))
    here.earn()
    here.now = day(5)
    assert here.earn() == "i1 e2"
    assert here.earned(2).expires_at == day(100)


def test_the_dummy_is_kept_when_the_promotion_goes_on_longer() -> None:
    here = desk(direct(earns=2))
    here.earn()
    here.edit(ends_at=day(300))
    here.now = day(200)
    assert here.earn() == "i1 e2"
    assert here.earned(2).expires_at == day(300)


def test_the_dummy_survives_that_everything_else_expires() -> None:
    here = desk(direct(earns=2, earn_expiry=days(3)))
    here.earn()
    here.wait(4)
    assert here.earned().ended_as == "EXPIRED"
    assert here.issual().ended_at is None
    assert here.earn() == "i1 e2"


# The limits of earns


def test_the_earns_of_all_customers_together_may_be_limited() -> None:
    here = desk(direct(of_all=2, earns=2))
    assert here.act(calls(EARN, ANN, BOB, CEM)) == ["i1 e1", "i2 e2", EXHAUSTED]
    assert here.earn(ANN) == EXHAUSTED
    here.limit(earns_per_promotion=3)
    assert here.earn(CEM) == "i3 e3"


def test_a_limit_of_all_that_is_set_later_counts_what_was_issued_before() -> None:
    here = desk(direct(earns=2))
    here.act(calls(EARN, ANN, BOB))
    here.limit(earns_per_promotion=3)
    assert here.act(calls(EARN, ANN, BOB, CEM)) == ["i1 e3", EXHAUSTED, EXHAUSTED]


def test_a_customers_own_limit_counts_lifetime_expired_and_revoked_ones_too() -> None:
    here = desk(direct(earns=3, earn_expiry=days(2)))
    here.earn()
    here.now = day(2)
    here.earn()
    assert here.revoke_earn() == "-e2"
    assert here.earn() == "i1 e3"
    assert here.earn() == EXHAUSTED


@pytest.mark.parametrize(
    ("restores", "again"), [(False, (EXHAUSTED, EXHAUSTED)), (True, ("i1 e2", "i2"))]
)
def test_revoking_gives_room_back_only_where_the_organisation_says_so(
    restores: bool, again: tuple[str, str]
) -> None:
    here = desk(offer(of_all=1), restores=restores)
    here.enrol()
    here.earn()
    here.revoke_earn()
    assert here.earn() == again[0]
    here.revoke_earn()
    here.revoke_enrol()
    assert here.enrol() == again[1]


def test_where_revoking_gives_room_back_others_may_have_it() -> None:
    here = desk(direct(of_all=1), restores=True)
    here.earn(ANN)
    assert here.earn(BOB) == EXHAUSTED
    here.revoke_earn(customer=ANN)
    assert here.earn(BOB) == "i2 e2"
    assert here.earn(ANN) == EXHAUSTED


def test_an_expired_record_gives_no_room_back() -> None:
    here = desk(direct(of_all=1, earn_expiry=days(2)), restores=True)
    here.earn()
    here.wait(5)
    assert here.earn() == EXHAUSTED
    assert here.earn(BOB) == EXHAUSTED


# When a record expires


@pytest.mark.parametrize(
    ("fields", "issual_until", "earn_until"),
    [
        ({}, 30, 30),
        ({"earn_expiry": days(5)}, 30, 8),
        ({"issual_expiry": days(10)}, 10, 10),
        ({"issual_expiry": days(10), "earn_expiry": days(5)}, 10, 8),
        ({"issual_expiry": days(4), "earn_expiry": days(5)}, 4, 4),
        ({"issual_expiry": days(90), "earn_expiry": days(90)}, 30, 30),
    ],
)
def test_a_record_expires_by_its_own_rule_and_with_its_enrolment_and_the_promotion_at_the_latest(
    fields: Any, issual_until: float, earn_until: float
) -> None:
    here = desk(offer(ends=30, **fields))
    here.enrol()
    here.now = day(3)
    here.earn()
    assert here.issual().expires_at == day(issual_until)
    assert here.earned().expires_at == day(earn_until)


def test_custom_days_keep_the_clock_time_of_the_organisations_zone() -> None:
    """The domain's sample: 2024-06-25T12:41:55 and five days."""
    at, until = (datetime(2024, 6, on, 7, 11, 55, tzinfo=UTC) for on in (25, 30))
    here = desk(offer(starts=-1000, issual_expiry=days(5)), zone="Asia/Kolkata")
    here.now = at
    here.enrol()
    assert here.issual().expires_at == until


@pytest.mark.parametrize(
    ("at", "number", "until"),
    [
        # Summer time ends on 25 October 2026 and begins on 28 March 2027 in Berlin.
        ("2026-10-23T10:00:00+02:00", 5, "2026-10-28T10:00:00+01:00"),
        ("2027-03-25T10:00:00+01:00", 5, "2027-03-30T10:00:00+02:00"),
        ("2027-03-26T02:30:00+01:00", 2, "2027-03-28T03:00:00+02:00"),  # in the gap: its end
        ("2026-10-23T02:30:00+02:00", 2, "2026-10-25T02:30:00+02:00"),  # in the fold: the earlier
    ],
)
def test_custom_days_are_local_days_over_a_change_of_the_clocks(
    at: str, number: int, until: str
) -> None:
    kind = offer(starts=0, ends=1000, issual_expiry=days(number), earn_expiry=days(number))
    here = desk(kind, zone="Europe/Berlin")
    here.now = datetime.fromisoformat(at).astimezone(UTC)
    here.enrol()
    here.earn()
    assert here.issual().expires_at == here.earned().expires_at == datetime.fromisoformat(until)


def test_an_expiry_is_fixed_when_the_record_is_made() -> None:
    here = desk(offer(issual_expiry=days(10), earn_expiry=days(10)))
    here.enrol()
    here.earn()
    here.edit(issual_expiry=days(2), earn_expiry=days(2), ends_at=day(5))
    assert (here.issual().expires_at, here.earned().expires_at) == (day(10), day(10))


def test_expiries_are_noted_once_as_of_their_instant() -> None:
    here = desk(offer(issual_expiry=days(10), earn_expiry=days(4)))
    here.enrol()
    here.earn()
    here.wait(50)
    here.wait(60)
    issual, earn = here.issual(), here.earned()
    assert (earn.ended_at, earn.ended_as) == (day(4), "EXPIRED")
    assert (issual.ended_at, issual.ended_as) == (day(10), "EXPIRED")
    assert here.told_of()[2:] == ["PROMOTION_EARN_EXPIRED", "PROMOTION_ENROLMENT_EXPIRED"]
    assert [entry.at for _, entry in here.journal][2:] == [day(4), day(10)]


# Revoke


def test_an_enrolment_is_revoked_and_is_no_more() -> None:
    here = desk(offer(issuals=2))
    here.enrol()
    here.now = day(2)
    assert here.revoke_enrol() == "i1"
    issual = here.issual()
    assert (issual.ended_at, issual.ended_as) == (day(2), "REVOKED")
    assert here.revoke_enrol() == NOT_ENROLLED
    assert here.told_of() == ["PROMOTION_ENROLLED", "PROMOTION_ENROLMENT_REVOKED"]
    assert here.enrol() == "i2"


def test_nobody_can_be_taken_out_who_is_not_in() -> None:
    here = desk(offer(issual_expiry=days(5)))
    assert here.revoke_enrol() == NOT_ENROLLED
    here.enrol()
    here.now = day(5)
    assert here.revoke_enrol() == NOT_ENROLLED
    assert here.told_of() == ["PROMOTION_ENROLLED"]


def test_earned_records_have_to_be_revoked_before_the_enrolment() -> None:
    here = desk()
    here.enrol()
    here.earn()
    assert here.revoke_enrol() == EARNED_LIVES
    assert here.live() == "i1 e1"
    assert here.revoke_earn() == "-e1"
    assert here.revoke_enrol() == "i1"


def test_an_expired_record_does_not_keep_an_enrolment_from_being_revoked() -> None:
    here = desk(offer(earn_expiry=days(2)))
    here.enrol()
    here.earn()
    here.now = day(2) - TICK
    assert here.revoke_enrol() == EARNED_LIVES
    here.now = day(2)
    assert here.revoke_enrol() == "i1"


def test_a_record_that_was_used_up_is_as_live_as_any() -> None:
    here = desk()
    here.enrol()
    here.earn()
    assert here.buy() == "e1"
    assert here.revoke_enrol() == EARNED_LIVES
    assert here.revoke_earn() == "-e1"
    assert here.earned().redemptions == 1


def test_a_live_record_of_an_earlier_enrolment_keeps_the_present_one_from_being_revoked() -> None:
    here = desk(offer(issuals=2))
    here.enrol()
    here.earn()
    here.enrol()
    assert here.revoke_enrol() == EARNED_LIVES


@pytest.mark.parametrize("kind", [DIRECT, ENROL_AND_ISSUE])
def test_all_live_records_are_revoked_where_none_is_named(kind: str) -> None:
    here = desk(offer(kind, earns=4, earn_expiry=days(5)))
    if kind == ENROL_AND_ISSUE:
        here.enrol()
    here.earn()
    here.now = day(4)
    for _ in range(3):
        here.earn()
    here.revoke_earn(2)
    here.now = day(5)
    assert here.revoke_earn() == "-e3,e4"
    assert here.revoke_earn() == NOT_ENROLLED
    assert {key[1]: earn.ended_as for key, earn in here.earns.items()} == {
        1: None,
        2: "REVOKED",
        3: "REVOKED",
        4: "REVOKED",
    }


def test_only_named_records_are_revoked_each_once() -> None:
    here = desk(direct(earns=3))
    for _ in range(3):
        here.earn()
    assert here.revoke_earn(3, 1, 3) == "-e3,e1"
    assert here.live() == "e2"
    revoked = here.journal[-1][1]
    assert (revoked.reason, revoked.details["earns"]) == ("PROMOTION_EARN_REVOKED", [3, 1])


def test_records_are_revoked_all_or_none_of_those_named() -> None:
    here = desk(direct(earns=4, earn_expiry=days(5)))
    here.earn(BOB)
    here.earn()
    here.now = day(4)
    here.earn()
    here.earn()
    here.revoke_earn(3)
    here.now = day(5)
    # Another customer's, an expired one, one that was revoked, one that there is not, none.
    for named in ((1,), (2,), (3,), (77,), (4, 77), (4, -1)):
        assert here.revoke_earn(*named) == WRONG_EARNS
    assert here.act(calls(REVOKE_EARN, ANN, earn_ids=())) == [WRONG_EARNS]
    assert here.live() == "e4"
    assert here.revoke_earn(4) == "-e4"


def test_a_record_of_another_promotion_is_none_of_this_one() -> None:
    here = desk(direct(), direct(promotion_id=22))
    here.earn()
    here.earn(promotion=22)
    assert here.revoke_earn(2) == WRONG_EARNS
    assert here.revoke_earn(2, promotion=22) == "-e2"


def test_what_was_collected_stays_when_the_record_is_revoked() -> None:
    here = desk(direct())
    here.earn()
    here.buy()
    here.revoke_earn()
    assert here.paid == [("Coffee", 1)]


# The single call


def test_a_single_call_issues_a_direct_promotion_and_enrols_in_the_other_kind() -> None:
    here = desk(direct(), offer(promotion_id=22))
    assert here.call(ISSUE) == "i1 e1"
    assert here.call(ISSUE, promotion=22) == "i2"
    assert here.call(ISSUE) == EXHAUSTED
    assert here.call(ISSUE, promotion=22) == EXHAUSTED


# Batches


def test_duplicates_within_a_batch_are_decided_one_after_the_other() -> None:
    here = desk(offer(earns=2))
    batch = [*calls(EARN, ANN), *calls(ENROL, ANN, ANN), *calls(EARN, ANN, ANN, ANN)]
    assert here.act(batch) == [NOT_ENROLLED, "i1", EXHAUSTED, "i1 e1", "i1 e2", EXHAUSTED]


def test_several_identifiers_of_one_customer_are_one_customer() -> None:
    here = desk(direct())
    assert here.act(calls(EARN, "4915112345", ANN, BOB)) == ["i1 e1", EXHAUSTED, "i2 e2"]
    assert here.versions == {ANN: 1, BOB: 1}


def test_ids_rise_in_the_order_of_the_call() -> None:
    here = desk(offer(issuals=2, earns=2))
    assert here.act(calls(ENROL, CEM, ANN, BOB)) == ["i1", "i2", "i3"]
    assert here.act(calls(EARN, BOB, CEM, ANN, CEM)) == ["i3 e1", "i1 e2", "i2 e3", "i1 e4"]


def test_what_is_enrolled_and_revoked_in_one_batch_is_kept_as_it_was() -> None:
    here = desk(offer(issuals=3))
    batch = [*calls(ENROL, ANN, ANN), *calls(REVOKE_ENROL, ANN), *calls(ENROL, ANN)]
    assert here.act(batch) == ["i1", "i2", "i2", "i3"]
    assert [issual.ended_as for issual in here.issuals.values()] == ["REPLACED", "REVOKED", None]


@pytest.mark.parametrize("kind", [DIRECT, ENROL_AND_ISSUE])
def test_each_line_in_the_journal_is_the_one_that_its_record_names(kind: str) -> None:
    here = desk(offer(kind, issuals=2, earns=2))
    start = calls(ENROL, ANN) if kind == ENROL_AND_ISSUE else []
    here.act([*start, *calls(EARN, ANN)])
    here.act([*start, *calls(EARN, ANN)])
    lines = {
        (place + 1) * 2**15 + ordinal: entry
        for place, batch in enumerate(_batches(here))
        for ordinal, entry in enumerate(batch)
    }
    for issual in here.issuals.values():
        assert lines[issual.entry_id].details["issual"] == issual.id
    for earn in here.earns.values():
        assert lines[earn.entry_id].details["earn"] == earn.id


def _batches(here: Desk) -> list[list[Any]]:
    """The journal of two batches that wrote as many lines each."""
    entries = [entry for _, entry in here.journal]
    half = len(entries) // 2
    return [entries[:half], entries[half:]]


def test_an_outcome_is_exhausted_where_nothing_was_made_or_taken() -> None:
    acted = Acted(CUSTOMER, offer())
    assert acted.is_exhausted
    assert not replace(acted, issual_id=1).is_exhausted
    assert not replace(acted, revoked_earn_ids=(1,)).is_exhausted


def test_no_amount_of_waiting_gives_a_limit_back() -> None:
    here = desk(direct(earn_expiry=days(1)))
    here.earn()
    for number in range(2, 40, 7):
        here.wait(number)
        assert here.earn() == EXHAUSTED
    assert here.earned().points == Decimal(0)
    assert here.now - day(0) == timedelta(days=37)
