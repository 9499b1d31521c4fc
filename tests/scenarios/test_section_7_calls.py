"""Contract §7, the calls: what is refused as a whole, in which order, and what becomes of each customer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.harness import Org, Service, contents
from tests.scenarios.promotion_vocabulary import (
    CUSTOMER_NOT_FOUND,
    DIRECT,
    ENROL_AND_ISSUE,
    EXHAUSTED,
    GENERIC,
    LIVE_EARNS,
    NO_END,
    NOT_ENROLLED,
    WRONG_EARN_IDS,
    Issued,
    Offer,
    Revoked,
    bulk,
    by_id,
    define_program,
    fates,
    offer,
    refusal,
)
from tests.scenarios.vocabulary import before, outcome, post, sale, statuses

UNKNOWN_TYPE = (8901, "invalid entity type passed")
USER_GROUP = (8899, "Cannot enrol/issue to the user group")
INSUFFICIENT = (
    8881,
    "insufficient parameters passed, program id and one of promotion id/identifier are required",
)
EMPTY = (11013, "identifierName, identifierValue, source can not be empty")
TOO_MANY = (1060, "Batch limit size exceeded.")
NO_PROGRAM = (1101, "invalid programId passed")
NO_PROMOTION = (8874, "promotion id passed is invalid")
INACTIVE = (8892, "promotion is inactive")
UNFIT = (8902, "bulk action passed not supported for loyalty/generic promotion type")
UNFIT_TO_REVOKE = (8902, f"revoke {UNFIT[1]}")


# What is refused as a whole


def faults(
    program: int, ended: int, direct: int
) -> Iterator[tuple[dict[str, Any], tuple[int, str]]]:
    """Changes to a good call, each with the refusal; every one is found before all that follow."""
    details = {"programId": program, "promotionId": direct}
    many = [by_id(1)] * 101
    yield {"type": "STORE"}, UNKNOWN_TYPE
    yield {"type": "USERGROUP2"}, USER_GROUP
    yield {"promotionDetails": {"programId": program}}, INSUFFICIENT
    yield {"identifierName": "cardnumber"}, EMPTY
    yield {"customers": many}, TOO_MANY
    yield {"promotionDetails": {"programId": 1, "promotionId": direct}}, NO_PROGRAM
    yield {"promotionDetails": {"programId": program, "promotionId": 1}}, NO_PROMOTION
    yield {"promotionDetails": {"programId": program, "promotionId": ended}}, INACTIVE
    yield {"promotionDetails": details, "bulkAction": "ENROL"}, UNFIT


def test_a_call_that_is_wrong_in_several_ways_is_refused_for_the_first_of_them_in_the_order_of_the_contract(
    org: Org, database_url: str
) -> None:
    ended = offer(org, DIRECT, endDate="2026-06-02T00:00:00Z")
    direct = offer(org, DIRECT, programId=ended.program_id)
    ann = org.register()
    org.move_clock("2026-06-03T00:00:00Z")
    written = contents(database_url)
    changes = list(faults(ended.program_id, ended.id, direct.id))
    good = direct.body("EARN", [by_id(ann)])
    for place, (change, expected) in enumerate(changes):
        alone = {**good, **change}
        assert refusal(bulk(org, alone)) == expected
        for later, _ in changes[place + 1 :]:
            # What both change is left as the earlier one has it.
            assert refusal(bulk(org, {**good, **later, **change})) == expected
    assert contents(database_url) == written


@pytest.mark.parametrize(
    "details",
    [
        None,
        [],
        "469",
        {},
        {"promotionId": 1},
        {"programId": None, "promotionId": 1},
        {"programId": "469", "promotionId": 1},
        {"programId": 469.5, "promotionId": 1},
        {"programId": True, "promotionId": 1},
        {"programId": 10**30, "promotionId": 1},
        {"programId": 469, "promotionId": None},
        {"programId": 469, "promotionId": "abc"},
        {"programId": 469, "promotionId": 1.5},
        {"programId": 469, "promotionId": True, "promoIdentifier": 7},
        {"programId": 469, "promoIdentifier": ""},
        {"programId": 469, "promoIdentifier": "  "},
    ],
)
def test_8881_the_program_or_both_ways_to_name_the_promotion_are_absent_or_of_a_wrong_type(
    org: Org, details: object
) -> None:
    sent = {**offer(org).body("ENROL", [by_id(1)]), "promotionDetails": details}
    assert refusal(bulk(org, sent)) == INSUFFICIENT


@pytest.mark.parametrize(
    "change",
    [
        {"identifierName": None},
        {"identifierName": ""},
        {"identifierName": "externalId"},
        {"identifierName": 5},
        {"customers": None},
        {"customers": []},
        {"customers": {}},
        {"customers": "1"},
        {"customers": 1},
        {"customers": ["1"]},
        {"customers": [None]},
        {"customers": [{"source": "INSTORE"}]},
        {"customers": [{"identifierValue": "1"}]},
        {"customers": [{"identifierValue": "", "source": "INSTORE"}]},
        {"customers": [{"identifierValue": "  ", "source": "INSTORE"}]},
        {"customers": [{"identifierValue": None, "source": "INSTORE"}]},
        {"customers": [{"identifierValue": True, "source": "INSTORE"}]},
        {"customers": [{"identifierValue": ["1"], "source": "INSTORE"}]},
        {"customers": [{"identifierValue": "1", "source": ""}]},
        {"customers": [{"identifierValue": "1", "source": "WECHAT"}]},
        {"customers": [{"identifierValue": "1", "source": "MOON"}]},
        {"customers": [by_id(1), {"identifierValue": "1"}]},
    ],
)
def test_11013_the_identifiers_are_absent_blank_or_unknown_or_there_are_no_customers(
    org: Org, change: dict[str, Any]
) -> None:
    ann = org.register()
    here = offer(org)
    assert refusal(bulk(org, {**here.body("ENROL", [by_id(ann)]), **change})) == EMPTY
    assert here.told(ann) == []


def test_1060_a_hundred_customers_are_taken_and_one_more_is_refused(org: Org) -> None:
    here, ann = offer(org), org.register()
    hundred = [by_id(ann), *(by_id(n) for n in range(1, 100))]
    assert refusal(here.send("ENROL", [*hundred, by_id(ann)])) == TOO_MANY
    assert here.told(ann) == []
    answer = here.send("ENROL", hundred)
    assert (answer["totalCount"], answer["failureCount"]) == (100, 99)


def test_q2_a_call_that_is_refused_is_one_item_however_many_customers_it_has(org: Org) -> None:
    here = offer(org)
    answer = here.send("NONE", [by_id(1), by_id(2), by_id(3)])
    assert (answer["totalCount"], answer["failureCount"]) == (1, 1)
    assert refusal(answer) == UNFIT


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'"ENROL"', b"7", b"null", b'{"type": "\\u0000"}']
)
def test_a_body_that_is_no_json_object_is_400_with_code_400(org: Org, body: bytes) -> None:
    for path in ("enrolAndEarn", "revokeEnrolAndEarn", "directEarn", "revokeDirectEarn"):
        response = org.post(f"/v2/promotion/bulk/{path}", body)
        assert response.status_code == 400
        (error,) = response.json()["errors"]
        assert (error["status"], error["code"]) == (False, 400)


def test_q14_a_promotion_that_has_not_begun_is_over_or_is_switched_off_is_not_live(
    org: Org,
) -> None:
    ann = org.register()
    here = offer(org, startDate="2026-06-10T00:00:00Z", endDate="2026-06-19T23:59:59Z")
    for instant, live in (
        (before("2026-06-10T00:00:00Z"), False),
        ("2026-06-10T00:00:00Z", True),
        (before("2026-06-20T00:00:00Z"), True),
        ("2026-06-20T00:00:00Z", False),
    ):
        org.move_clock(instant)
        answer = here.send("ENROL", [by_id(ann)])
        if not live:
            assert refusal(answer) == INACTIVE  # Q14
    assert (
        len(here.told(ann)) == 1 + 1
    )  # the first one, and its expiry; the second was one too many


# What becomes of each customer


def test_ids_are_texts_and_come_in_the_order_of_the_call(org: Org) -> None:
    customers = [org.register() for _ in range(5)]
    here = offer(org)
    shuffled = [customers[n] for n in (3, 0, 4, 1, 2)]
    enrolled = here.enrol(*shuffled)
    issuals = [each.issual for each in enrolled if isinstance(each, Issued)]
    assert issuals == sorted(issuals)
    earned = here.earn(*shuffled)
    assert [each.issual for each in earned if isinstance(each, Issued)] == issuals
    earns = [each.earn for each in earned if isinstance(each, Issued)]
    assert earns == sorted(earns, key=lambda earn: earn or 0)


def test_q7_good_customers_are_served_although_others_fail(org: Org) -> None:
    ann, bob = org.register(), org.register()
    here = offer(org)
    first, second, third, fourth = here.enrol(ann, 1, bob, 2)
    assert isinstance(first, Issued)
    assert isinstance(third, Issued)
    assert (second, fourth) == (CUSTOMER_NOT_FOUND, CUSTOMER_NOT_FOUND)


def test_duplicates_in_one_call_are_done_one_after_the_other(org: Org) -> None:
    ann = org.register()
    here = offer(org, limits={"issualsPerCustomer": 2, "earnsPerCustomer": 2})
    first, second, third = here.enrol(ann, ann, ann)
    assert isinstance(first, Issued)
    assert isinstance(second, Issued)
    assert first.issual < second.issual
    assert third == EXHAUSTED
    one, other, none = here.earn(ann, ann, ann)
    assert isinstance(one, Issued)
    assert isinstance(other, Issued)
    # Both hang off the enrolment that replaced the first.
    assert one.issual == other.issual == second.issual
    assert one.earn != other.earn
    assert none == EXHAUSTED


def test_q27_customers_are_found_by_mobile_and_email_in_the_source_that_is_named_or_in_all(
    org: Org,
) -> None:
    ann = org.register(mobile="919800000001")
    profile = {"identifiers": [{"type": "email", "value": "Bob@Example.com"}], "source": "LINE"}
    bob = org.post("/v2/customers", {"profiles": [profile]}).json()["createdId"]
    here = offer(org, limits={"issualsPerCustomer": -1})

    def enrol(kind: str, value: str, source: str) -> Any:
        entry = {"identifierValue": value, "source": source}
        (item,) = here.send("ENROL", [entry], identifierName=kind)["response"]
        return item["result"]["entityId"] if "result" in item else item["errors"][0]["code"]

    assert enrol("mobile", "+91 98000-00001", "INSTORE") == ann
    assert enrol("mobile", "919800000001", "instore") == ann
    assert enrol("mobile", "919800000001", "LINE") == CUSTOMER_NOT_FOUND
    assert enrol("mobile", "919800000001", "ALL") == ann  # Q27
    assert enrol("email", "bob@example.com", "LINE") == bob
    assert enrol("email", "bob@example.com", "INSTORE") == CUSTOMER_NOT_FOUND
    # The source of an id is checked, and not compared.
    assert enrol("id", str(bob), "INSTORE") == bob
    assert enrol("id", "919800000001", "INSTORE") == CUSTOMER_NOT_FOUND
    assert enrol("mobile", "not a number", "INSTORE") == CUSTOMER_NOT_FOUND
    assert enrol("id", "12abc", "INSTORE") == CUSTOMER_NOT_FOUND  # not numeric: 8015


def test_identifiers_of_another_kind_than_the_call_says_find_nobody(org: Org) -> None:
    ann = org.register(mobile="919800000002")
    here = offer(org)
    entries = [by_id(ann), {"identifierValue": "919800000002", "source": "INSTORE"}]
    first, second = fates(here.send("ENROL", entries, identifierName="id"))
    assert isinstance(first, Issued)
    assert second == CUSTOMER_NOT_FOUND


def test_two_identifiers_of_one_customer_in_calls_of_their_own_are_one_customers(org: Org) -> None:
    ann = org.register(mobile="919800000003")
    here = offer(org)
    mobile = {"identifierValue": "919800000003", "source": "INSTORE"}
    (first,) = fates(here.send("ENROL", [mobile], identifierName="mobile"))
    assert isinstance(first, Issued)
    assert here.enrol(ann) == [EXHAUSTED]


def test_the_result_has_the_promotions_id_always_and_its_identifier_when_the_caller_used_it(
    org: Org,
) -> None:
    ann = org.register()
    here = offer(org, promoIdentifier="summer-2026", limits={"issualsPerCustomer": -1})
    result = {"entityType": "CUSTOMER", "entityId": ann, "programId": here.program_id}

    def enrol(**details: Any) -> dict[str, Any]:
        sent = here.body("ENROL", [by_id(ann)])
        sent["promotionDetails"] = {"programId": here.program_id, **details}
        (item,) = bulk(org, sent)["response"]
        assert item["result"].pop("issualId")
        found: dict[str, Any] = item["result"]
        return found

    by_number = {**result, "promotionId": here.id}
    assert enrol(promotionId=here.id) == by_number
    assert enrol(promotionId=str(here.id)) == by_number
    assert enrol(promotionId=here.id, promoIdentifier="another") == by_number  # the id decides
    named = {**by_number, "promoIdentifier": "summer-2026"}
    assert enrol(promoIdentifier="summer-2026") == named
    assert enrol(promotionId=None, promoIdentifier="summer-2026") == named


def test_an_identifier_is_one_of_its_program(org: Org) -> None:
    one = offer(org, promoIdentifier="same")
    other = offer(org, promoIdentifier="same")
    ann = org.register()
    for each in (one, other):
        sent = each.body("ENROL", [by_id(ann)])
        sent["promotionDetails"] = {"programId": each.program_id, "promoIdentifier": "same"}
        (item,) = bulk(org, sent)["response"]
        assert item["result"]["promotionId"] == each.id
    unknown = one.body("ENROL", [by_id(ann)])
    unknown["promotionDetails"] = {"programId": one.program_id, "promoIdentifier": "none"}
    assert refusal(bulk(org, unknown)) == NO_PROMOTION


# Enrol and earn


def test_q4_to_earn_without_a_live_enrolment_is_2305_and_nothing_is_written(
    org: Org, database_url: str
) -> None:
    here, ann = offer(org), org.register()
    written = contents(database_url)
    assert here.earn(ann) == [NOT_ENROLLED]
    assert contents(database_url) == written
    assert isinstance(here.enrol(ann)[0], Issued)
    assert isinstance(here.earn(ann)[0], Issued)


def test_an_expired_or_a_revoked_enrolment_is_none(org: Org) -> None:
    here = offer(org, issualExpiry={"type": "CUSTOM", "days": 5})
    ann, bob = org.register(), org.register()
    here.enrol(ann, bob)
    assert isinstance(here.revoke_enrol(bob)[0], Revoked)
    assert here.earn(bob) == [NOT_ENROLLED]
    org.move_clock(before("2026-06-06T00:00:00Z"))
    assert isinstance(here.earn(ann)[0], Issued)
    org.move_clock("2026-06-06T00:00:00Z")
    assert here.earn(ann) == [NOT_ENROLLED]


def test_q3_8015_comes_before_2305_and_2305_before_the_limit(org: Org) -> None:
    here = offer(org, limits={"earnsPerPromotion": 1})
    ann, bob, cid = org.register(), org.register(), org.register()
    here.enrol(ann, bob)
    assert isinstance(here.earn(ann)[0], Issued)
    assert here.earn(1, cid, bob) == [CUSTOMER_NOT_FOUND, NOT_ENROLLED, EXHAUSTED]


def test_the_default_limits_are_one_enrolment_and_one_earn_of_each_customer(org: Org) -> None:
    here, ann = offer(org), org.register()
    assert isinstance(here.enrol(ann)[0], Issued)
    assert here.enrol(ann) == [EXHAUSTED]
    assert isinstance(here.earn(ann)[0], Issued)
    assert here.earn(ann) == [EXHAUSTED]


def test_q9_a_used_up_limit_is_a_warning_with_a_result_without_ids_and_no_failure(org: Org) -> None:
    here, ann = offer(org), org.register()
    here.enrol(ann)
    assert here.send("ENROL", [by_id(ann)]) == {
        "response": [
            {
                "result": {
                    "entityType": "CUSTOMER",
                    "entityId": ann,
                    "promotionId": here.id,
                    "programId": here.program_id,
                },
                "errors": [],
                "warnings": [
                    {
                        "status": False,
                        "code": 8890,
                        "message": "promotion not issued due to config issues or customer exhausted limits",
                    }
                ],
            }
        ],
        "totalCount": 1,
        "failureCount": 0,
    }


def test_q10_to_enrol_again_takes_one_more_and_replaces_the_enrolment_with_a_new_expiry(
    org: Org,
) -> None:
    here = offer(
        org,
        limits={"issualsPerCustomer": 2},
        issualExpiry={"type": "CUSTOM", "days": 5},
    )
    ann = org.register()
    (first,) = here.enrol(ann)
    org.move_clock("2026-06-04T00:00:00Z")
    (second,) = here.enrol(ann)
    assert isinstance(first, Issued)
    assert isinstance(second, Issued)
    assert second.issual != first.issual
    assert here.enrol(ann) == [EXHAUSTED]  # and the old enrolment stays
    org.move_clock("2026-06-08T00:00:00Z")  # the first one's time would be over
    (earned,) = here.earn(ann)
    assert isinstance(earned, Issued)
    assert earned.issual == second.issual


def test_enrolments_that_have_expired_count_towards_the_limit(org: Org) -> None:
    here = offer(org, issualExpiry={"type": "CUSTOM", "days": 1})
    ann = org.register()
    here.enrol(ann)
    org.move_clock("2026-06-20T00:00:00Z")
    assert here.enrol(ann) == [EXHAUSTED]


@pytest.mark.parametrize(
    ("earn_days", "issual_days", "end"),
    [(3, 9, NO_END), (9, 3, NO_END), (9, 9, "2026-06-03T23:59:59Z")],
)
def test_q6_a_record_lapses_by_its_own_rule_with_its_enrolment_or_with_the_promotion(
    org: Org, earn_days: int, issual_days: int, end: str
) -> None:
    """Whichever is first; seen by what it still pays for."""
    here = offer(
        org,
        issualExpiry={"type": "CUSTOM", "days": issual_days},
        earnExpiry={"type": "CUSTOM", "days": earn_days},
        endDate=end,
        limits={"redemptionsPerEarn": -1},
    )
    ann, last = org.register(), "2026-06-04T00:00:00Z"
    here.enrol(ann)
    here.earn(ann)
    org.move_clock(last)
    assert statuses(post(org, sale(ann, 1, before(last)), sale(ann, 1, last))) == ["ACCEPTED"] * 2
    assert here.rewards(ann) == ["A coffee"]


# Direct promotions


def test_on_a_direct_promotion_only_the_earns_limit_and_expiry_govern(org: Org) -> None:
    here = offer(
        org,
        DIRECT,
        limits={"issualsPerCustomer": 1, "earnsPerCustomer": 3},
        issualExpiry={"type": "CUSTOM", "days": 1},
    )
    ann = org.register()
    first, second = here.earn(ann, ann)
    org.move_clock("2026-06-10T00:00:00Z")
    (third,) = here.earn(ann)
    assert all(isinstance(each, Issued) for each in (first, second, third))
    assert here.earn(ann) == [EXHAUSTED]


def test_q15_the_dummy_issual_of_a_direct_promotion_is_one_for_each_customer(org: Org) -> None:
    here = offer(org, DIRECT, limits={"earnsPerCustomer": -1})
    ann, bob = org.register(), org.register()
    first, second, other = here.earn(ann, ann, bob)
    assert isinstance(first, Issued)
    assert isinstance(second, Issued)
    assert isinstance(other, Issued)
    assert first.issual == second.issual != other.issual
    assert len({first.earn, second.earn, other.earn}) == 3


# Revoking


def test_q5_revoke_enrol_answers_the_id_as_a_number(org: Org) -> None:
    here, ann = offer(org), org.register()
    (enrolled,) = here.enrol(ann)
    assert isinstance(enrolled, Issued)
    (item,) = here.send("REVOKE_ENROL", [by_id(ann)])["response"]
    assert item["result"]["revokedIssualId"] == enrolled.issual  # Q5
    assert "issualId" not in item["result"]
    assert here.revoke_enrol(ann) == [NOT_ENROLLED]
    assert here.told(ann) == [
        ("ENROLLED", "PROMOTION_ENROLLED"),
        ("UNENROLLED", "PROMOTION_ENROLMENT_REVOKED"),
    ]


def test_q11_an_enrolment_is_not_revoked_while_an_earned_record_is_live(org: Org) -> None:
    here = offer(org, earnExpiry={"type": "CUSTOM", "days": 2}, limits={"issualsPerCustomer": 2})
    ann = org.register()
    here.enrol(ann)
    here.earn(ann)
    assert here.revoke_enrol(ann) == [LIVE_EARNS]
    org.move_clock("2026-06-03T00:00:00Z")  # the record has expired
    assert isinstance(here.revoke_enrol(ann)[0], Revoked)


def test_earned_records_are_revoked_all_together_or_by_their_ids(org: Org) -> None:
    here = offer(org, DIRECT, limits={"earnsPerCustomer": 5})
    ann = org.register()
    earns = [each.earn for each in here.earn(*[ann] * 4) if isinstance(each, Issued)]
    one, two, three, four = (earn or 0 for earn in earns)
    assert here.revoke_earn(ann, [two]) == Revoked(earns=(two,))
    assert here.revoke_earn(ann, [two]) == WRONG_EARN_IDS  # already revoked
    assert here.revoke_earn(ann, [one, 7]) == WRONG_EARN_IDS  # and the good one stays
    assert here.revoke_earn(ann, []) == WRONG_EARN_IDS
    assert here.revoke_earn(ann) == Revoked(earns=(one, three, four))
    assert here.revoke_earn(ann) == NOT_ENROLLED


def test_records_of_another_customer_or_promotion_are_wrong_ids(org: Org) -> None:
    ann, bob = org.register(), org.register()
    here = offer(org, DIRECT)
    there = offer(org, DIRECT, programId=here.program_id)
    (anns,), (bobs,), (elsewhere,) = here.earn(ann), here.earn(bob), there.earn(ann)
    for each in (bobs, elsewhere):
        assert isinstance(each, Issued)
        assert here.revoke_earn(ann, [each.earn or 0]) == WRONG_EARN_IDS
    assert isinstance(anns, Issued)
    assert here.revoke_earn(ann, [anns.earn or 0]) == Revoked(earns=(anns.earn or 0,))


@pytest.mark.parametrize("earn_ids", ["7", 7, {}, [None], ["x"], [1.5], [True]])
def test_earn_ids_that_are_none_are_8903_and_nothing_is_revoked(org: Org, earn_ids: Any) -> None:
    here, ann = offer(org, DIRECT), org.register()
    here.earn(ann)
    assert here.revoke_earn(ann, earn_ids) == WRONG_EARN_IDS
    assert isinstance(here.revoke_earn(ann), Revoked)


def test_q12_a_direct_promotion_takes_revoke_earn_only_and_a_generic_one_nothing(org: Org) -> None:
    direct, generic = offer(org, DIRECT), offer(org, GENERIC)
    ann = org.register()
    direct.earn(ann)
    assert refusal(direct.send("REVOKE_ENROL", [by_id(ann)])) == UNFIT_TO_REVOKE
    for action in ("REVOKE_ENROL", "REVOKE_EARN"):
        assert refusal(generic.send(action, [by_id(ann)])) == UNFIT_TO_REVOKE
    assert isinstance(direct.revoke_earn(ann), Revoked)


def test_the_actions_of_one_route_are_none_of_the_other(org: Org) -> None:
    here, ann = offer(org), org.register()
    here.enrol(ann)
    for action in ("ENROL", "EARN"):
        sent = here.body(action, [by_id(ann)])
        assert refusal(bulk(org, sent, "revokeEnrolAndEarn")) == UNFIT_TO_REVOKE
    for action in ("REVOKE_ENROL", "REVOKE_EARN"):
        sent = here.body(action, [by_id(ann)])
        assert refusal(bulk(org, sent, "enrolAndEarn")) == UNFIT


def test_q13_what_was_revoked_still_counts_towards_the_limits(org: Org) -> None:
    here = offer(org, limits={"earnsPerPromotion": 1, "earnsPerCustomer": -1})
    ann = org.register()
    here.enrol(ann)
    here.earn(ann)
    here.revoke_earn(ann)
    assert here.earn(ann) == [EXHAUSTED]
    here.revoke_enrol(ann)
    assert here.enrol(ann) == [EXHAUSTED]


def test_q13_in_an_organisation_whose_revokes_restore_limits_it_no_longer_does(
    service: Service,
) -> None:
    org = service.new_org()
    here = offer(org, limits={"earnsPerPromotion": 1, "earnsPerCustomer": 1})
    ann, bob = org.register(), org.register()
    here.enrol(ann, bob)
    here.earn(ann)
    here.revoke_earn(ann)
    assert here.earn(bob) == [EXHAUSTED]
    path = f"/milepost/v1/orgs/{org.id}"
    changed = service.operator.put(path, json={"revokesRestoreLimits": True})
    assert changed.json()["data"]["revokesRestoreLimits"] is True
    assert isinstance(here.earn(bob)[0], Issued)
    assert here.earn(ann) == [EXHAUSTED]  # bob has it
    here.revoke_earn(bob)
    assert isinstance(here.earn(ann)[0], Issued)
    assert isinstance(here.revoke_enrol(bob)[0], Revoked)
    assert isinstance(here.enrol(bob)[0], Issued)


# The older calls


def test_direct_earn_is_an_earn_without_an_action(org: Org) -> None:
    here, ann = offer(org, DIRECT, limits={"earnsPerCustomer": -1}), org.register()
    sent = here.body("", [by_id(ann), by_id(ann)])
    del sent["bulkAction"]
    first, second = fates(bulk(org, sent, "directEarn"))
    assert isinstance(first, Issued)
    assert isinstance(second, Issued)
    assert first.issual == second.issual
    assert refusal(bulk(org, {**sent, "bulkAction": "ENROL"}, "directEarn")) == UNFIT


def test_q8_direct_earn_takes_more_than_a_hundred_customers(org: Org) -> None:
    here, ann = offer(org, DIRECT), org.register()
    sent = here.body("EARN", [by_id(ann), *(by_id(n) for n in range(1, 250))])
    answer = bulk(org, sent, "directEarn")
    assert (answer["totalCount"], answer["failureCount"]) == (250, 249)


@pytest.mark.parametrize("kind", [DIRECT, ENROL_AND_ISSUE])
def test_revoke_direct_earn_takes_back_what_was_issued_of_either_type(org: Org, kind: str) -> None:
    here, ann = offer(org, kind), org.register()
    if kind == ENROL_AND_ISSUE:
        here.enrol(ann)
    (issued,) = here.earn(ann)
    assert isinstance(issued, Issued)
    sent = here.body("", [by_id(ann)])
    del sent["bulkAction"]
    assert fates(bulk(org, sent, "revokeDirectEarn")) == [Revoked(earns=(issued.earn or 0,))]
    assert fates(bulk(org, sent, "revokeDirectEarn")) == [NOT_ENROLLED]


def single(org: Org, here: Offer, customer: int, **query: str) -> Any:
    """The answer of the single issue call."""
    named = {"identifierName": "id", "identifierValue": str(customer), "source": "INSTORE", **query}
    return org.post(
        "/v2/promotion/issue",
        {"programId": here.program_id, "promotionId": here.id},
        params=named,
    )


def test_issue_enrols_in_an_enrol_and_issue_promotion_and_earns_a_direct_one(org: Org) -> None:
    ann = org.register()
    enrolling, direct = offer(org), offer(org, DIRECT)
    enrolled = single(org, enrolling, ann).json()
    (effect,) = enrolled["sideEffects"]
    assert enrolled == {"warnings": [], "errors": [], "sideEffects": [effect]}
    assert isinstance(effect.pop("issualId"), int)
    assert effect == {
        "programId": enrolling.program_id,
        "promotionId": enrolling.id,
        "type": "Points promotion",
    }
    (effect,) = single(org, direct, ann).json()["sideEffects"]
    assert isinstance(effect["issualId"], int)
    assert isinstance(effect["earnedId"], int)
    again = single(org, direct, ann)
    assert again.status_code == 200
    (warning,) = again.json()["warnings"]
    assert (warning["code"], again.json()["sideEffects"]) == (EXHAUSTED, [])


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"type": "STORE"}, 1212),
        ({"type": "USERGROUP2"}, 8899),  # Q28
        ({"identifierName": ""}, 11013),
        ({"identifierName": "cardnumber"}, 11013),
        ({"identifierValue": " "}, 11013),
        ({"source": ""}, 11013),
        ({"source": "ALL"}, 11013),
        ({"source": "MOON"}, 11013),
        ({"identifierValue": "1"}, CUSTOMER_NOT_FOUND),
        ({"identifierValue": "abc"}, CUSTOMER_NOT_FOUND),
        ({"identifierName": "externalId"}, CUSTOMER_NOT_FOUND),
    ],
)
def test_q1_issue_refuses_with_400_and_its_codes(
    org: Org, query: dict[str, str], code: int
) -> None:
    here, ann = offer(org), org.register()
    response = single(org, here, ann, **query)
    assert response.status_code == 400
    body = response.json()
    (error,) = body["errors"]
    assert body == {"errors": [error], "warnings": []}
    assert (error["status"], error["code"]) == (False, code)


def test_issue_refuses_a_wrong_program_promotion_or_type_of_promotion(org: Org) -> None:
    here, ann, generic = offer(org), org.register(), offer(org, GENERIC)
    paused = offer(org, active=False)

    def code(**body: Any) -> int:
        named = {"identifierName": "id", "identifierValue": str(ann), "source": "INSTORE"}
        response = org.post("/v2/promotion/issue", body, params=named)
        assert response.status_code == 400
        return int(response.json()["errors"][0]["code"])

    assert code() == 8881
    assert code(programId=here.program_id) == 8881
    assert code(programId=1, promotionId=here.id) == 1101
    assert code(programId=here.program_id, promotionId=1) == 8874
    assert code(programId=here.program_id, promotionId=paused.id) == 8874
    assert code(programId=paused.program_id, promotionId=paused.id) == 8892
    assert code(programId=generic.program_id, promotionId=generic.id) == 8902


# Whose they are


def test_another_organisations_programs_promotions_and_customers_are_unknown(
    org: Org, service: Any
) -> None:
    other = service.new_org()
    here, there = offer(org), offer(other)
    ann, bob = org.register(), other.register()
    assert refusal(bulk(org, there.body("ENROL", [by_id(ann)]))) == NO_PROGRAM
    program = define_program(org)
    mixed = there.body("ENROL", [by_id(ann)])
    mixed["promotionDetails"]["programId"] = program
    assert refusal(bulk(org, mixed)) == NO_PROMOTION
    assert here.enrol(bob) == [CUSTOMER_NOT_FOUND]
    assert outcome(org.enrol(1, 1, bob), bob) != 200


def test_the_calls_need_permission_to_write_on_customer(org: Org, service: Any) -> None:
    made = service.operator.post(
        "/milepost/v1/credentials",
        json={
            "orgId": org.id,
            "type": "TILL",
            "access": {"Customer": "READ", "Target Loyalty": "WRITE"},
        },
    ).json()["data"]["till"]
    reader = service.connect(auth=(made["username"], made["password"]))
    here = offer(org)
    sent = here.body("ENROL", [by_id(1)])
    for path in ("bulk/enrolAndEarn", "bulk/revokeEnrolAndEarn", "bulk/directEarn", "issue"):
        response = reader.post(f"/v2/promotion/{path}", json=sent)
        assert response.status_code == 403
        assert response.json()["errors"][0]["code"] == 4000
    assert reader.post("/milepost/v1/promotions", json={}).status_code == 403
    assert reader.get("/milepost/v1/promotions").status_code == 200
