"""Notifications about promotions over HTTP, of customers and of the organisation: domain, promotions §7."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
import pytest

from milepost.api.notifications import NotificationView
from tests.api.payloads import code, data, milestone
from tests.harness import Org, Service
from tests.scenarios.promotion_vocabulary import DIRECT, GENERIC, Issued, Revoked, offer

OWN = "/milepost/v1/notifications"


def notified(org: Org, customer: int, query: str = "") -> list[Any]:
    found: list[Any] = data(org.get(f"/milepost/v1/customers/{customer}/notifications{query}"))
    return found


def own(org: Org, query: str = "") -> list[Any]:
    """The organisation's own."""
    found: list[Any] = data(org.get(f"{OWN}{query}"))
    return found


def names(found: list[Any]) -> list[str]:
    return [each["eventName"] for each in found]


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1000)


def test_a_customers_way_through_a_promotion_is_notified_in_order(org: Org) -> None:
    expiry = {"type": "CUSTOM", "days": 5}
    limits = {"issualsPerCustomer": 2, "earnsPerCustomer": 2}
    here = offer(
        org,
        name="Review and save",
        description="A coffee for a review",
        issualExpiry={"type": "PROMOTION"},
        earnExpiry=expiry,
        limits=limits,
    )
    ann = org.register(mobile="919800000777")
    org.move_clock("2026-06-02T10:00:00Z")
    answer = org.post("/v2/promotion/bulk/enrolAndEarn", here.body("ENROL", [_named(ann)]))
    issual = int(answer.json()["response"][0]["result"]["issualId"])
    first, second = here.earn(ann)[0], here.earn(ann)[0]
    assert isinstance(first, Issued)
    assert isinstance(second, Issued)
    purchase = {
        "id": "tx-1", "customerId": ann, "type": "TRANSACTION", "netAmount": 5, "occurredAt": org.now(),
    }  # fmt: skip
    data(org.post("/milepost/v1/activities", [purchase]))
    assert here.revoke_earn(ann) == Revoked(None, (first.earn, second.earn))  # type: ignore[arg-type]
    assert here.revoke_enrol(ann) == [Revoked(issual)]
    org.move_clock("2027-01-02T00:00:00Z")
    found = notified(org, ann)
    assert names(found) == [
        "promotionIssued",
        "promotionEarned",
        "promotionEarned",
        "revokeEarnedPromotion",
        "revokeIssuedPromotion",
    ]
    issued, earned, _, earns_revoked, revoked = (each["data"] for each in found)
    for each in (issued, earned, earns_revoked, revoked):
        assert each["customerIdentifiers"]["instore"] == {"id": ann, "mobile": "919800000777"}
        assert (each["loyaltyProgramId"], each["promotionId"]) == (here.program_id, here.id)
        assert each["promotionName"] == "Review and save"
        assert each["promotionDescription"] == "A coffee for a review"
        assert (each["promotionStartDate"], each["promotionEndDate"]) == (
            "2026-06-01",
            "2026-12-31",
        )
        assert each["redemptionRestrictions"][0]["maxLimit"] == 1
    dates = "promotionIssuedDate", "promotionIssuedExpiryDate"
    for each in (issued, revoked):
        assert [each[name] for name in dates] == ["2026-06-02", "2026-12-31"]
        assert each["issueRestrictions"][0]["maxLimit"] == 2
    assert (issued["issualId"], revoked["revokedIssualId"]) == (issual, issual)
    assert (issued["pointsOfferType"], issued["promotionEarnSource"]) == ("LOYALTY_EARNING", "API")
    assert (earned["issualId"], earned["earnedId"]) == (issual, first.earn)
    assert earned["promotionEarnedExpiryDate"] == "2026-06-07"
    assert earns_revoked["revokedEarnedPromotionDetails"] == [
        {
            "revokedEarnedId": each.earn,
            "promotionEarnedDate": "2026-06-02",
            "promotionEarnedExpiryDate": "2026-06-07",
        }
        for each in (first, second)
    ]
    assert issued["triggeringActivity"]["identifiers"] == [
        {"key": "ENROL_VIA_API", "value": answer.headers["X-Cap-Requestid"]}
    ]
    assert found[0]["apiRequestId"] == answer.headers["X-Cap-Requestid"]
    assert len({each["eventId"] for each in found}) == len(found)
    assert notified(org, ann) == found
    assert [each for page in range(5) for each in notified(
        org, ann, f"?limit=1&after={found[page - 1]['eventLogId'] if page else 0}"
    )] == found  # fmt: skip


def _named(customer: int) -> dict[str, str]:
    return {"identifierValue": str(customer), "source": "INSTORE"}


def test_q22_a_direct_promotion_is_notified_as_earned_only(org: Org) -> None:
    here, ann = offer(org, DIRECT), org.register()
    here.earn(ann)
    (found,) = notified(org, ann)
    assert found["eventName"] == "promotionEarned"
    assert found["data"]["pointsOfferType"] == "LOYALTY"  # Q23


def test_what_falls_due_and_what_is_refused_is_not_notified(org: Org) -> None:
    here = offer(org, issualExpiry={"type": "CUSTOM", "days": 1})
    ann = org.register()
    here.enrol(ann)
    here.enrol(ann)  # one too many
    here.earn(ann)
    org.move_clock("2026-07-01T00:00:00Z")
    assert names(notified(org, ann)) == ["promotionIssued", "promotionEarned"]


def test_an_organisation_is_notified_of_each_promotion_that_is_saved(org: Org) -> None:
    assert own(org) == []
    group = org.define(**milestone())
    first = offer(
        org,
        GENERIC,
        name="Spring",
        promoIdentifier="spring-26",
        description="For targets",
        criteria={"event": "TARGETCOMPLETED", "targetRuleIds": [group["targets"][0]["id"]]},
        promotionMetadata=[{"key": "season", "value": "spring"}],
    )
    org.move_clock("2026-06-03T00:00:00Z")
    second = offer(org, startDate="2026-07-01T00:00:00Z")
    first.change(name="Summer", active=False)
    first.change(name="Summer")  # changes nothing
    found = own(org)
    assert names(found) == ["promotionCreated", "promotionCreated", "promotionUpdated"]
    assert [each["data"]["promotionId"] for each in found] == [first.id, second.id, first.id]
    created, upcoming, updated = (each["data"] for each in found)
    assert created == {
        "loyaltyProgramId": first.program_id,
        "promotionId": first.id,
        "promotionName": "Spring",
        "promotionStartDate": ms("2026-06-01T00:00:00+00:00"),
        "promotionEndDate": ms("2026-12-31T23:59:59.999+00:00"),
        "externalIdentifier": "spring-26",
        "type": "CUSTOMER",
        "status": "ACTIVE",
        "sourceType": "PROMOTION_API",
        "description": "For targets",
        "customFields": [{"key": "season", "value": "spring"}],
        "linkedEventId": None,
        "linkedEventName": "TargetCompleted",
        "createdOn": ms("2026-06-01T00:00:00+00:00"),
        "updatedOn": ms("2026-06-01T00:00:00+00:00"),
        "updatedBy": created["updatedBy"],
        "linkedTargetGroupVsTargetRuleIdMap": {str(group["id"]): [group["targets"][0]["id"]]},
    }
    assert (upcoming["status"], upcoming["type"]) == ("ACTIVE", "BILL")
    assert (updated["promotionName"], updated["status"]) == ("Summer", "INACTIVE")
    assert updated["createdOn"] == created["createdOn"]
    assert updated["updatedOn"] == ms("2026-06-03T00:00:00+00:00")
    assert own(org) == found
    for each in found:
        msgspec.convert(each, NotificationView)
        assert each["refId"] == f"{org.id}_{each['apiRequestId']}"


def test_the_organisations_list_can_be_walked_both_ways_in_both_envelopes(org: Org) -> None:
    for _ in range(4):
        offer(org)
    every = own(org)
    assert len(every) == 4
    logs = [each["eventLogId"] for each in every]
    assert logs == sorted(set(logs))
    assert own(org, "?limit=2") == every[-2:]
    assert own(org, f"?limit=2&before={logs[3]}") == every[1:3]
    assert own(org, f"?limit=2&after={logs[0]}") == every[1:3]
    assert own(org, f"?after={logs[-1]}") == []
    enriched = own(org, "?envelope=enriched")
    assert [each["eventId"] for each in enriched] == [each["eventId"] for each in every]
    assert [each["attributes"]["data"] for each in enriched] == [each["data"] for each in every]
    assert enriched[0]["eventType"] == f"{org.id}_promotionCreated"


@pytest.mark.parametrize(
    "query", ["envelope=other", "limit=0", "limit=10001", "before=x", "before=1&after=2"]
)
def test_what_is_malformed_is_300004(org: Org, query: str) -> None:
    assert code(org.get(f"{OWN}?{query}")) == 300004


def test_an_organisation_is_not_notified_of_anothers_promotions(service: Service, org: Org) -> None:
    offer(org)
    assert own(service.new_org()) == []
    assert own(service.new_org(now=None, parentOrgId=org.id)) == []


def test_the_organisations_notifications_need_read_on_customer(service: Service, org: Org) -> None:
    assert service.connect().get(OWN).status_code == 401
    for access, status in (({"Customer": "READ"}, 200), ({"Target Loyalty": "WRITE"}, 403)):
        body = {"orgId": org.id, "type": "TILL", "access": access}
        till = service.operator.post("/milepost/v1/credentials", json=body).json()["data"]["till"]
        client = service.connect(auth=(till["username"], till["password"]))
        assert client.get(OWN).status_code == status
