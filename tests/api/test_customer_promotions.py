"""A customer's promotions: `promotionData`, `actionSummary`, the v3 calls (domain: promotions §3.6–3.8)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.harness import Org
from tests.scenarios.promotion_vocabulary import (
    COFFEE,
    DIRECT,
    FIFTY,
    GENERIC,
    Issued,
    Offer,
    define_program,
    offer,
)
from tests.scenarios.vocabulary import data, post, sale, statuses

LIST = "/v2/customers/lookup/promotionData"
SUMMARY = "/v2/customers/lookup/customerPromotionDetails/actionSummary"
BADGE = {"name": "Regular", "type": "BADGE", "value": 1, "reference": "REG"}


def named(customer: int, **more: Any) -> dict[str, str]:
    """The query that names a customer by id."""
    by_id = {"source": "INSTORE", "identifierName": "id", "identifierValue": customer}
    return {name: str(value) for name, value in {**by_id, **more}.items()}


def listed(org: Org, customer: int, path: str = LIST, **more: Any) -> dict[str, Any]:
    response = org.get(path, params=named(customer, **more))
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def ids(org: Org, customer: int, **more: Any) -> list[int]:
    return [each["promotionId"] for each in listed(org, customer, **more)["promotions"]]


def error(org: Org, path: str, **params: Any) -> tuple[int, int]:
    """Status and code."""
    response = org.get(path, params={name: str(value) for name, value in params.items()} or None)
    (only,) = (response.json())["errors"]
    return response.status_code, only["code"]


def buy(org: Org, customer: int) -> None:
    assert statuses(post(org, sale(customer, 10, org.now()))) == ["ACCEPTED"]


def issue(here: Offer, customer: int) -> Issued:
    (fate,) = here.earn(customer)
    assert isinstance(fate, Issued)
    return fate


def restrictions(shown: dict[str, Any], place: str) -> list[tuple[str, ...]]:
    found = shown["promotionRestriction"][f"{place}Restrictions"]
    keys = ("kpi", "limitOn", "maxLimit", "currentCustomerUsage", "periodUnit")
    return [tuple(each[key] for key in keys if key in each) for each in found]


def test_q25_a_promotion_is_listed_with_its_limits_and_the_customers_use_of_them(org: Org) -> None:
    here = offer(
        org,
        promoIdentifier="review",
        description="Review and save",
        startDate="2026-06-01T00:00:00Z",
        endDate="2026-06-30T23:59:59Z",
        rewards=[FIFTY],
        limits={"earnsPerCustomer": 3, "earnsPerPromotion": 10, "redemptionsPerEarn": -1},
        redemptionLimits=[
            {"kpi": "POINTS", "limitOn": "EVENT", "maxLimit": 30},
            {"kpi": "TIMES", "limitOn": "CUSTOMER", "maxLimit": 5},
            {"kpi": "POINTS", "limitOn": "CUSTOMER", "maxLimit": 100, "periodUnit": "DAILY"},
            {"kpi": "POINTS", "limitOn": "PROMOTION", "maxLimit": 1000},
        ],
        promotionMetadata=[{"key": "colour", "value": "red"}],
    )
    ann = org.register()
    here.enrol(ann)
    here.earn(ann, ann)
    buy(org, ann)
    answer = listed(org, ann)
    (shown,) = answer["promotions"]
    assert answer["customerId"] == ann
    assert answer["warnings"] == []
    assert answer["pageDetails"] == {
        "pageNumber": 0,
        "pageSize": 10,
        "totalEntries": 1,
        "pageCount": 1,
    }
    assert restrictions(shown, "issual") == [("NUMBER_OF_ISSUALS", "CUSTOMER", "1", "1")]
    assert restrictions(shown, "earn") == [
        ("NUMBER_OF_EARNS", "CUSTOMER", "3", "2"),
        ("NUMBER_OF_EARNS", "PROMOTION", "10", "2"),
    ]
    assert restrictions(shown, "redemption") == [
        ("NUMBER_OF_POINTS", "EVENT", "30.000"),
        ("NUMBER_OF_TIMES", "CUSTOMER", "5", "1"),
        ("NUMBER_OF_POINTS", "CUSTOMER", "100.000", "30.000", "DAILY"),
        ("NUMBER_OF_POINTS", "PROMOTION", "1000.000", "30.000"),
    ]
    moving = shown["promotionRestriction"]["redemptionRestrictions"][2]
    assert (moving["type"], moving["periodType"]) == ("PERIOD_BASED", "MOVING_WINDOW")
    del shown["promotionRestriction"]
    assert shown == {
        "promotionId": here.id,
        "promotionName": shown["promotionName"],
        "programId": here.program_id,
        "startDate": "2026-06-01T00:00:00.000Z",
        "startDateISO": "2026-06-01T00:00:00Z",
        "endDate": "2026-06-30T23:59:59.000Z",
        "endDateISO": "2026-06-30T23:59:59Z",
        "identifier": "review",
        "description": "Review and save",
        "active": True,
        "eventName": "TransactionAdd",
        "promotionMetadata": [{"key": "colour", "value": "red"}],
        "limits": {
            "maxPointsPerEvent": "30.000",
            "pointsPerCustomer": "-1",
            "numberOFTimesPerCustomer": 5,
            "totalPointsInPromotion": "1000.000",
        },
        "customerUsage": {
            "currentPointsPerCustomer": "30.000",
            "currentNumberOfTimesPerCustomer": 1,
            "currentTotalPointsInPromotion": "30.000",
        },
        "pointsOfferType": "LOYALTY_EARNING",
    }


def test_fetch_all_usage_shows_disabled_limits_too(org: Org) -> None:
    here = offer(org, DIRECT, limits={"earnsPerCustomer": -1, "redemptionsPerEarn": 2})
    ann = org.register()
    (shown,) = listed(org, ann)["promotions"]
    assert restrictions(shown, "issual") == restrictions(shown, "earn") == []
    assert restrictions(shown, "redemption") == [
        ("NUMBER_OF_REDEMPTIONS_PER_EARN", "CUSTOMER", "2")
    ]
    issue(here, ann)
    (shown,) = listed(org, ann, fetchAllUsage="TRUE")["promotions"]
    assert restrictions(shown, "issual") == [  # of a direct promotion as the issual's
        ("NUMBER_OF_ISSUALS", "CUSTOMER", "-1", "1"),
        ("NUMBER_OF_ISSUALS", "PROMOTION", "-1", "0"),
    ]
    assert ("NUMBER_OF_POINTS", "CUSTOMER", "-1", "0") in restrictions(shown, "redemption")


def test_timelines_are_shown_where_a_status_is_asked_for(org: Org) -> None:
    here = offer(
        org,
        limits={"issualsPerCustomer": -1, "earnsPerCustomer": -1},
        issualExpiry={"type": "CUSTOM", "days": 5},
        endDate="2026-07-31T23:59:59Z",
    )
    ann = org.register()
    assert "customerPromotionTimelines" not in listed(org, ann)["promotions"][0]
    (one,) = here.enrol(ann)
    assert isinstance(one, Issued)
    earned = issue(here, ann)
    buy(org, ann)
    org.move_clock("2026-06-02T00:00:00Z")
    (two,) = here.enrol(ann)
    assert isinstance(two, Issued)
    here.revoke_earn(ann, [issue(here, ann).earn or 0])
    (shown,) = listed(org, ann, promotionStatusForCustomer="AVAILABLE_TO_ENROL")["promotions"]
    first, second = shown["customerPromotionTimelines"]
    (detail,) = first["issuedDetails"]
    assert (first.pop("enrollEventLogId") > 0, detail.pop("issualEventLogId") > 0) == (True, True)
    assert first == {
        "enrollmentId": one.issual,
        "enrollmentDate": "2026-06-01T00:00:00.000Z",
        "enrollmentDateISO": "2026-06-01T00:00:00Z",
        "enrollmentExpiryDate": "2026-06-06T00:00:00.000Z",
        "enrollmentExpiryDateISO": "2026-06-06T00:00:00Z",
        "issuedDetails": [
            {
                "issualId": earned.earn,
                "issualDate": "2026-06-01T00:00:00.000Z",
                "issualDateISO": "2026-06-01T00:00:00Z",
                "issualExpiryDate": "2026-06-06T00:00:00.000Z",
                "issualExpiryDateISO": "2026-06-06T00:00:00Z",
                "redeemedCount": 1,
            }
        ],
    }
    assert (second["enrollmentId"], second["issuedDetails"]) == (two.issual, [])  # revoked: gone


def test_a_direct_promotions_enrolment_is_a_dummy_that_lasts_as_long_as_the_promotion(
    org: Org,
) -> None:
    here, ann = offer(org, DIRECT, endDate="2026-07-31T23:59:59Z"), org.register()
    earned = issue(here, ann)
    (shown,) = listed(org, ann, promotionStatusForCustomer="AVAILABLE_TO_REDEEM")["promotions"]
    (timeline,) = shown["customerPromotionTimelines"]
    (detail,) = timeline["issuedDetails"]
    assert timeline["enrollmentId"] == earned.issual
    assert timeline["enrollmentDate"] == detail["issualDate"] == "2026-06-01T00:00:00.000Z"
    assert timeline["enrollmentExpiryDate"] == "2026-07-31T23:59:59.000Z"


def test_q24_what_a_customer_can_do_follows_the_path_through_the_promotion(org: Org) -> None:
    here, ann = offer(org, endDate="2026-06-30T23:59:59Z"), org.register()

    def can() -> list[str]:
        names = ("AVAILABLE_TO_ENROL", "AVAILABLE_TO_EARN", "AVAILABLE_TO_REDEEM", "EXPIRED")
        return [n for n in names if here.id in ids(org, ann, promotionStatusForCustomer=n)]

    assert can() == ["AVAILABLE_TO_ENROL"]
    here.enrol(ann)
    assert can() == ["AVAILABLE_TO_EARN"]  # Q24
    issue(here, ann)
    assert can() == ["AVAILABLE_TO_REDEEM"]
    buy(org, ann)
    assert can() == []
    org.move_clock("2026-07-01T00:00:00Z")
    assert can() == ["EXPIRED"]
    assert ids(org, org.register()) == []  # over, and never theirs


def test_direct_and_generic_promotions_have_shorter_paths(org: Org) -> None:
    direct, generic = offer(org, DIRECT), offer(org, GENERIC)
    mute = offer(org, GENERIC, rewards=[])
    ann = org.register()
    status = "promotionStatusForCustomer"
    assert ids(org, ann, **{status: "AVAILABLE_TO_ENROL"}) == []
    assert ids(org, ann, **{status: "AVAILABLE_TO_EARN"}) == [direct.id]
    assert ids(org, ann, **{status: "AVAILABLE_TO_REDEEM"}) == [generic.id]
    issue(direct, ann)
    assert ids(org, ann, **{status: "AVAILABLE_TO_EARN"}) == []
    assert ids(org, ann, **{status: "AVAILABLE_TO_REDEEM"}) == [direct.id, generic.id]
    assert ids(org, ann) == [direct.id, generic.id, mute.id]


def test_a_used_up_limit_over_all_customers_leaves_nothing_to_earn_or_redeem(org: Org) -> None:
    one = offer(org, DIRECT, limits={"earnsPerPromotion": 1})
    most = {"kpi": "TIMES", "limitOn": "PROMOTION", "maxLimit": 1, "periodUnit": "DAILY"}
    paid = offer(org, GENERIC, redemptionLimits=[most])
    ann, bob = org.register(), org.register()
    issue(one, ann)
    buy(org, ann)
    status = "promotionStatusForCustomer"
    assert ids(org, bob, **{status: "AVAILABLE_TO_EARN"}) == []
    assert ids(org, bob, **{status: "AVAILABLE_TO_REDEEM"}) == []
    org.move_clock("2026-06-02T00:00:00Z")
    assert ids(org, bob, **{status: "AVAILABLE_TO_REDEEM"}) == [paid.id]


def test_filters_leave_what_they_name(org: Org) -> None:
    program, other = define_program(org), define_program(org)
    direct = offer(org, DIRECT, programId=program, promoIdentifier="d")
    generic = offer(org, GENERIC, programId=other)
    ann = org.register()
    assert ids(org, ann, promotionType="DIRECT_ISSUE") == [direct.id]
    assert ids(org, ann, promotionType="generic") == [generic.id]
    assert ids(org, ann, promotionType="ENROL_AND_ISSUE") == []
    assert ids(org, ann, programs=other) == [generic.id]
    assert ids(org, ann, programs=f"{program}, {other}") == [direct.id, generic.id]
    assert ids(org, ann, promotionIdentifier="d") == [direct.id]
    assert ids(org, ann, sourceType="API") == [direct.id, generic.id]
    assert ids(org, ann, sourceType="CAMPAIGN") == []


def test_pages_are_cut_from_what_is_sorted(org: Org) -> None:
    starts = ["2026-05-03", "2026-05-01", "2026-05-02"]
    offers = [offer(org, DIRECT, startDate=f"{start}T00:00:00Z") for start in starts]
    late, early, middle = (each.id for each in offers)
    ann = org.register()
    issue(offers[2], ann)
    assert ids(org, ann) == [late, early, middle]
    assert ids(org, ann, sortOn="START_DATE") == [early, middle, late]
    assert ids(org, ann, sortOn="START_DATE", sortBy="DESC") == [late, middle, early]
    assert ids(org, ann, sortOn="ISSUAL_DATE", sortBy="DESC")[0] == middle
    assert ids(org, ann, sortOn="EXPIRY_ON")[0] == middle
    assert ids(org, ann, sortOn="CREATED_DATE", sortBy="asc") == [late, early, middle]
    assert len(ids(org, ann, sortOn="END_DATE")) == 3
    page = listed(org, ann, limit=2, offset=2, sortOn="START_DATE")
    assert [each["promotionId"] for each in page["promotions"]] == [late]
    assert page["pageDetails"] == {
        "pageNumber": 1,
        "pageSize": 2,
        "totalEntries": 3,
        "pageCount": 2,
    }
    assert ids(org, ann, offset=3) == []


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"offset": -1}, 8100),
        ({"offset": "x"}, 8100),
        ({"limit": 0}, 8101),
        ({"limit": "ten"}, 8101),
        ({"limit": 101}, 8102),
        ({"sourceType": "MAIL"}, 8103),
        ({"promotionType": "LOYALTY"}, 8104),
        ({"programs": "999999"}, 8105),
        ({"programs": "1,x"}, 8105),
        ({"promotionIdentifier": "nobody's"}, 8105),
        ({"sortOn": "NAME"}, 8110),
        ({"sortBy": "UP"}, 8111),
        ({"promotionStatusForCustomer": "available_to_enrol"}, 8125),
        ({"source": "MOON"}, 8003),
        ({"identifierName": "cuid"}, 8013),
        ({"identifierValue": 999999999}, 8015),
        ({"identifierValue": "nobody"}, 8015),
    ],
)
def test_what_is_wrong_in_a_list_is_said(org: Org, params: dict[str, Any], code: int) -> None:
    ann = org.register()
    for path in (LIST, "/v2.1/customers/lookup/promotionData"):
        assert error(org, path, **named(ann, **params)) == (400, code)


def test_v2_1_adds_the_organisation_and_the_path_may_name_the_customer(org: Org) -> None:
    here, ann = offer(org, DIRECT), org.register()
    (shown,) = listed(org, ann, path="/v2.1/customers/lookup/promotionData")["promotions"]
    assert (shown["promotionId"], shown["orgId"]) == (here.id, org.id)
    assert org.get(f"/v2/customers/{ann}/promotionData").json() == listed(org, ann)
    assert error(org, "/v2/customers/999999999/promotionData") == (400, 8015)
    assert error(org, "/v2/customers/abc/promotionData") == (400, 8015)


def test_another_organisations_promotions_and_records_are_unknown(org: Org, other: Org) -> None:
    here, ann = offer(org, DIRECT), org.register()
    issue(here, ann)
    bob = other.register()
    assert ids(other, bob) == []
    assert error(other, LIST, **named(bob, programs=here.program_id)) == (400, 8105)
    assert error(other, LIST, **named(ann)) == (400, 8015)


# What it brought


def test_the_benefits_of_a_promotion_are_summed_up(org: Org) -> None:
    here = offer(org, GENERIC, promoIdentifier="all", rewards=[FIFTY, COFFEE, BADGE])
    ann = org.register()
    asked = named(ann, programId=here.program_id, promotionId=here.id)
    empty = org.get(SUMMARY, params=asked).json()
    assert [each["code"] for each in empty["warnings"]] == [8116]
    assert empty["points"] == empty["rewards"] == empty["badges"] == []
    buy(org, ann)
    org.move_clock("2026-06-02T00:00:00Z")
    buy(org, ann)
    assert org.get(SUMMARY, params=asked).json() == {
        "orgId": org.id,
        "programId": here.program_id,
        "customerId": ann,
        "promotionId": here.id,
        "promotionIdentifier": "all",
        "points": [
            {
                "pointsCategory": "REGULAR_POINTS",
                "totalPointsIssued": "100.000",
                "numberOfTimesIssued": 2,
                "lastIssuedOn": "2026-06-02T00:00:00.000Z",
            }
        ],
        "alternateCurrencies": [],
        "rewards": [
            {
                "rewardSeriesId": "COFFEE",
                "rewardName": "A coffee",
                "rewardType": "COUPON",
                "numberOfTimesIssued": 2,
                "lastIssuedOn": "2026-06-02T00:00:00.000Z",
            }
        ],
        "badges": [
            {
                "badgeSeriesId": "REG",
                "badgeName": "Regular",
                "numberOfTimesIssued": 2,
                "lastIssuedOn": "2026-06-02T00:00:00.000Z",
            }
        ],
        "warnings": [],
    }
    by_identifier = named(ann, programId=here.program_id, promotionIdentifier="all")
    assert org.get(SUMMARY, params=by_identifier).json()["promotionId"] == here.id


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"programId": ""}, 8883),
        ({"programId": "x"}, 8883),
        ({"programId": 999999}, 8105),
        ({"promotionId": 999999}, 8874),
        ({"promotionId": ""}, 8874),
        ({"promotionId": "", "promotionIdentifier": "nobody's"}, 8874),
        ({"identifierValue": 999999999}, 8015),
    ],
)
def test_what_is_wrong_in_a_summary_is_said(org: Org, params: dict[str, Any], code: int) -> None:
    here, ann = offer(org, GENERIC), org.register()
    asked = named(ann, programId=here.program_id, promotionId=here.id)
    assert error(org, SUMMARY, **{**asked, **params}) == (400, code)


# The v3 forms


def member(org: Org, customer: int, **params: Any) -> list[tuple[int, str | None]]:
    found = data(
        org.get(f"/v3/members/{customer}/promotions", params={k: str(v) for k, v in params.items()})
    )
    assert found["memberId"] == customer
    return [(each["promotionId"], each["memberEnrollmentStatus"]) for each in found["promotions"]]


def test_a_member_sees_where_they_stand(org: Org) -> None:
    here, ann = offer(org, endDate="2026-06-30T23:59:59Z", promoIdentifier="m"), org.register()
    assert member(org, ann) == [(here.id, "PENDING_ENROLLMENT")]
    here.enrol(ann)
    assert member(org, ann) == [(here.id, None)]  # waits to be issued it
    issue(here, ann)
    assert member(org, ann) == [(here.id, "AVAILABLE_TO_REDEEM")]
    buy(org, ann)
    assert member(org, ann) == [(here.id, "REDEEMED")]
    assert member(org, ann, memberEnrollmentStatus="REDEEMED", promotionIdentifier="m") != []
    assert member(org, ann, memberEnrollmentStatus="EXPIRED") == []
    assert member(org, ann, page=1) == []
    bob = org.register()
    here.change(limits={"issualsPerCustomer": 2})
    here.enrol(bob)
    org.move_clock("2026-07-01T00:00:00Z")
    assert member(org, bob) == [(here.id, "EXPIRED")]
    one = data(org.get(f"/v3/members/{ann}/promotions/{here.id}"))
    assert data(org.get(f"/v3/members/{ann}/promotions/{one['unifiedPromotionId']}")) == one
    (timeline,) = one.pop("customerPromotionTimelines")
    assert timeline["issuedDetails"][0]["redeemedCount"] == 1
    assert one == {
        "promotionId": here.id,
        "unifiedPromotionId": f"{here.id:024x}",
        "promotionName": one["promotionName"],
        "promotionIdentifier": "m",
        "programId": here.program_id,
        "promotionType": "LOYALTY_EARNING",
        "status": "COMPLETED",
        "startDateISO": "2026-06-01T00:00:00Z",
        "endDateISO": "2026-06-30T23:59:59Z",
        "timezoneName": "UTC",
        "memberEnrollmentStatus": "REDEEMED",
        "redeemedCount": 1,
    }


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("{ann}/promotions?memberEnrollmentStatus=redeemed", 300004),
        ("{ann}/promotions?size=0", 300004),
        ("{ann}/promotions?size=101", 300004),
        ("{ann}/promotions?page=-1", 300004),
        ("{ann}/promotions?promotionIdentifier=nobodys", 310193),
        ("{ann}/promotions/999999", 310193),
        ("{ann}/promotions/{here}?memberEnrollmentStatus=EXPIRED", 310193),
        ("{ann}/promotions/abc", 300004),
        ("abc/promotions", 300004),
    ],
)
def test_what_is_wrong_of_a_member_is_said(org: Org, path: str, code: int) -> None:
    here, ann = offer(org), org.register()
    assert error(org, f"/v3/members/{path.format(ann=ann, here=here.id)}")[1] == code


def test_an_unknown_member_is_refused(org: Org) -> None:
    here = offer(org)
    for path in ("promotions", f"promotions/{here.id}"):
        response = org.get(f"/v3/members/999999999/{path}")
        assert (response.status_code, response.json()["data"]) == (400, None)


@pytest.mark.parametrize("action", ["ENROL", "OPT_IN"])
def test_a_member_is_enrolled_by_either_id(org: Org, action: str) -> None:
    here = offer(org)
    ann, bob = org.register(), org.register()

    def enrol(who: int, promotion: dict[str, Any], **more: Any) -> Any:
        body = {
            "requestId": "r-1",
            "action": action,
            "programId": here.program_id,
            "promotion": promotion,
            "customer": {
                "identifierName": "id",
                "identifierValue": str(who),
                "source": "INSTORE",
            },
            **more,
        }
        return org.post("/v3/promotions/enrol", body)

    first = enrol(ann, {"promotionId": here.id})
    assert first.status_code == 200
    assert data(first) == {
        "requestId": "r-1",
        "memberId": ann,
        "programId": here.program_id,
        "promotionId": here.id,
        "unifiedPromotionId": f"{here.id:024x}",
        "enrollmentId": data(first)["enrollmentId"],
    }
    assert isinstance(here.earn(ann)[0], Issued)
    assert data(enrol(bob, {"id": f"{here.id:024x}"}))["enrollmentId"] > 0
    again = enrol(ann, {"promotionId": here.id}).json()
    assert again["data"]["enrollmentId"] is None
    assert [each["code"] for each in again["warnings"]] == [8890]

    def refused(response: Any) -> int:
        assert 400 <= response.status_code < 500
        (only,) = response.json()["errors"]
        return int(only["code"])

    assert refused(enrol(ann, {"promotionId": here.id}, action="EARN")) == 300004
    assert refused(enrol(ann, {"id": "xyz"})) == 300004
    assert refused(enrol(ann, {})) == 8881
    assert refused(enrol(ann, {"promotionId": here.id}, programId=999999)) == 1101
    assert refused(enrol(ann, {"promotionId": 999999})) == 8874
    assert refused(enrol(999999999, {"promotionId": here.id})) == 8015
    assert refused(enrol(ann, {"promotionId": here.id}, customer=None)) == 11013
    direct = offer(org, DIRECT, programId=here.program_id)
    assert refused(enrol(ann, {"promotionId": direct.id})) == 8902
    here.change(active=False)
    assert refused(enrol(ann, {"promotionId": here.id})) == 8892


@pytest.fixture
def other(service: Any) -> Org:
    """Somebody else's organisation."""
    made: Org = service.new_org()
    return made
