"""`/v2/transactions` and `/v2/transactions/bulk`: bills and returns of the vendor's clients."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from tests.api.test_activities import post as post_activities
from tests.api.test_activities import sale
from tests.harness import Org, Service, contents
from tests.scenarios.vocabulary import Challenge, define_milestone

PATH = "/v2/transactions"
BULK = "/v2/transactions/bulk"
LINES = [
    {"itemCode": "A", "qty": 2, "rate": 60, "value": 120, "amount": 110, "discount": 10},
    {"itemCode": "B", "qty": 1, "rate": 40},
]


@dataclass
class Shop:
    """A customer of an organisation, enrolled in a milestone of sales."""

    org: Org
    abc: Challenge
    customer: int
    mobile: str

    def post(self, raw: str = "", **bill: Any) -> httpx.Response:
        query = {"identifierName": "mobile", "identifierValue": self.mobile, "source": "INSTORE"}
        if raw:
            query["rawSideEffects"] = raw
        return self.org.post(PATH, bill, params=query)

    def sell(self, number: str, amount: Any = 150, **more: Any) -> int:
        """A bill that is taken; its `createdId`."""
        response = self.post(type="REGULAR", billNumber=number, billAmount=amount, **more)
        assert response.status_code == 200, response.text
        return int(response.json()["createdId"])

    def take_back(self, kind: str, number: str | None = None, **more: Any) -> int:
        """Send a return; 200, or the code of its refusal."""
        response = self.post(type="RETURN", returnType=kind, billNumber=number, **more)
        return 200 if response.status_code == 200 else code(response)

    @property
    def value(self) -> float:
        return self.abc.value(self.customer, "c1")


@pytest.fixture
def shop(org: Org) -> Shop:
    abc = define_milestone(
        org, asked=100, rewards=[{"name": "Points", "type": "POINTS", "value": 50.5}]
    )
    mobile = "919876543210"
    customer = org.register(mobile=mobile)
    abc.enrol(customer)
    return Shop(org, abc, customer, mobile)


def code(response: httpx.Response) -> int:
    """The code of a refusal, whose form is checked too."""
    assert response.status_code == 400, response.text
    (error,) = response.json()["errors"]
    assert response.json() == {"errors": [{**error, "status": False}], "warnings": []}
    assert set(error) == {"status", "code", "message"}
    return int(error["code"])


def test_a_bill_counts_and_is_answered_in_the_vendors_form(shop: Shop) -> None:
    response = shop.post(
        raw="true",
        type="REGULAR",
        billNumber="B1",
        billAmount=150,
        grossAmount="160.50",
        discount=10.5,
        billingDate="2026-06-01T00:00:00",
        lineItemsV2=LINES,
        paymentModes=[{"mode": "cash", "value": 150}],
        customFields={"channel": "web"},
        extendedFields={"weight": "12.5"},
    )
    assert response.status_code == 200, response.text
    body = response.json()
    assert isinstance(body["createdId"], int)
    group = shop.org.get(f"/v3/targetGroups/{shop.abc.group_id}").json()["data"]
    assert body == {
        "createdId": body["createdId"],
        "warnings": [],
        "errors": [],
        "sideEffects": [
            {
                "entityType": "USER",
                "rawAwardedPoints": 50.5,
                "awardedPoints": 50.5,
                "type": "points",
            }
        ],
        "loyaltyDetails": [],
        "customerInfo": {"firstName": "", "lastName": ""},
        "rawSideEffects": [
            {
                "type": "TARGETLOYALTY",
                "currentEventTargetValue": "150",
                "definedTargetValue": "100.000",
                "targetAchievedValueBeforeEvent": "0.000",
                "targetAchievedValueAfterEvent": "150.000",
                "periodStartDate": "2026-06-01",
                "periodEndDate": "2026-06-30",
                "periodRefCode": "c1",
                "targetEvaluationType": "FIXED_CALENDAR_WINDOW",
                "targetGroupId": str(shop.abc.group_id),
                "targetGroupName": group["name"],
                "targetName": group["targets"][0]["name"],
                "targetRuleId": str(shop.abc.target_id),
                "userId": str(shop.customer),
            }
        ],
    }
    assert shop.value == 150


def test_raw_side_effects_are_answered_when_asked_for_only(shop: Shop) -> None:
    body = shop.post(type="REGULAR", billNumber="B1", billAmount=1).json()
    assert "rawSideEffects" not in body
    assert body["sideEffects"] == []


def test_the_customer_is_answered_by_name(org: Org) -> None:
    profile = {"source": "INSTORE", "firstName": "Ada", "lastName": "L"}
    profile["identifiers"] = [{"type": "email", "value": "ada@example.org"}]  # type: ignore[assignment]
    org.post("/v2/customers", {"profiles": [profile]})
    query = {"identifierName": "email", "identifierValue": "Ada@example.org", "source": "ALL"}
    body = {"type": "REGULAR", "billNumber": "B1", "billAmount": 1}
    answer = org.post(PATH, body, params=query).json()
    assert answer["customerInfo"] == {"firstName": "Ada", "lastName": "L"}


def test_a_bill_is_the_activity_of_its_number(shop: Shop) -> None:
    shop.sell(
        "B1", 150, lineItemsV2=LINES, grossAmount=160, billingDate="2026-06-01T05:30:00+05:30"
    )
    lines = [
        {"sku": "A", "quantity": 2, "netAmount": 110, "grossAmount": 120},
        {"sku": "B", "quantity": 1, "netAmount": 40, "grossAmount": 40},
    ]
    same = sale("B1", shop.customer, 150, grossAmount=160, lineItems=lines)
    (found,) = post_activities(shop.org, same)
    assert found["status"] == "DUPLICATE"


def test_a_bill_number_is_taken_once_per_customer(shop: Shop) -> None:
    other = shop.org.register(mobile="919876543211")
    shop.sell("B1", 10)
    for amount in (10, 11):
        assert code(shop.post(type="REGULAR", billNumber="B1", billAmount=amount)) == 604
    query = {"identifierName": "id", "identifierValue": str(other), "source": "INSTORE"}
    body = {"type": "REGULAR", "billNumber": "B1", "billAmount": 10}
    assert shop.org.post(PATH, body, params=query).status_code == 200
    assert shop.value == 10


def test_of_many_identical_bills_at_once_one_is_taken(shop: Shop) -> None:
    def send(_: int) -> int:
        response = shop.post(type="REGULAR", billNumber="B1", billAmount=10)
        return 200 if response.status_code == 200 else code(response)

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(send, range(16)))
    assert sorted(found) == [200] + [604] * 15
    assert shop.value == 10


def test_without_an_amount_a_bill_is_worth_its_gross_less_discount_or_its_lines(shop: Shop) -> None:
    assert shop.post(type="REGULAR", billNumber="B1", grossAmount=30, discount=5).status_code == 200
    assert shop.value == 25
    assert shop.post(type="REGULAR", billNumber="B2", lineItemsV2=LINES).status_code == 200
    assert shop.value == 175
    assert code(shop.post(type="REGULAR", billNumber="B3")) == 400


def test_a_billing_date_without_offset_is_utc_and_none_is_now(shop: Shop) -> None:
    assert (
        code(
            shop.post(
                type="REGULAR", billNumber="B1", billAmount=1, billingDate="2026-06-01T00:00:01"
            )
        )
        == 400
    )
    for number, date in (("B1", "2026-06-01T00:00:00"), ("B2", "2026-06-01"), ("B3", None)):
        shop.sell(number, 1, billingDate=date)
    assert shop.value == 3
    shop.sell("B4", 1, billingDate="2026-06-01T00:00:00+05:30")
    assert shop.value == 3


LOOKUPS: dict[str, tuple[dict[str, str | None], int]] = {
    "nobody": ({"identifierValue": "919999999999"}, 8015),
    "an id that is no number": ({"identifierName": "id", "identifierValue": "abc"}, 8015),
    "another source": ({"source": "LINE"}, 8015),
    "no source": ({"source": None}, 8001),
    "an unknown source": ({"source": "MOON"}, 8003),
    "no name": ({"identifierName": None}, 8002),
    "no value": ({"identifierValue": ""}, 8002),
    "an unknown name": ({"identifierName": "shoe"}, 8013),
}


@pytest.mark.parametrize(("change", "expected"), LOOKUPS.values(), ids=LOOKUPS)
def test_who_cannot_be_found_has_the_look_ups_code(
    shop: Shop, change: dict[str, str | None], expected: int
) -> None:
    query = {"identifierName": "mobile", "identifierValue": shop.mobile, "source": "INSTORE"}
    query = {key: value for key, value in {**query, **change}.items() if value is not None}
    body = {"type": "REGULAR", "billNumber": "B1", "billAmount": 1}
    assert code(shop.org.post(PATH, body, params=query)) == expected


BAD: dict[str, dict[str, Any]] = {
    "no type": {"type": None},
    "an unknown type": {"type": "SALE"},
    "no number": {"billNumber": None},
    "a blank number": {"billNumber": " "},
    "a long number": {"billNumber": "x" * 51},
    "a number as date": {"billingDate": 5},
    "no date": {"billingDate": "yesterday"},
    "the future": {"billingDate": "2026-06-02"},
    "a word as amount": {"billAmount": "much"},
    "a truth as amount": {"billAmount": True},
    "below 0": {"billAmount": -1},
    "10^15": {"billAmount": 10**15},
    "10^400": {"billAmount": 10**400},
    "a gross amount below 0": {"grossAmount": -1},
    "a discount above the gross amount": {"billAmount": None, "grossAmount": 1, "discount": 2},
    "an object as lines": {"lineItemsV2": {}},
    "1,001 lines": {"lineItemsV2": [{"itemCode": "A"}] * 1_001},
    "a quantity below 0": {"lineItemsV2": [{"itemCode": "A", "qty": -1}]},
    "a list as fields": {"customFields": []},
    "a null character": {"billNumber": "\0"},
}


@pytest.mark.parametrize("change", BAD.values(), ids=BAD)
def test_what_is_no_bill_is_400_and_nothing_is_written(
    shop: Shop, database_url: str, change: dict[str, Any]
) -> None:
    before = contents(database_url)
    bill: dict[str, Any] = {"type": "REGULAR", "billNumber": "B1", "billAmount": 10, **change}
    assert code(shop.post(**bill)) == 400
    assert contents(database_url) == before


@pytest.mark.parametrize("line", [{}, {"itemCode": ""}, {"itemCode": "A", "type": "RETURN"}])
def test_a_line_needs_an_item_and_is_bought(shop: Shop, line: dict[str, str]) -> None:
    bill = shop.post(type="REGULAR", billNumber="B1", billAmount=10, lineItemsV2=[line])
    assert code(bill) == 660


def test_an_amount_is_returned_of_a_bill_by_its_number(shop: Shop) -> None:
    shop.sell("B1", 150)
    assert shop.take_back("AMOUNT", "B1", billAmount=40, purchaseTime="2026-06-01T00:00:00") == 200
    assert shop.value == 110
    assert shop.take_back("AMOUNT", "B1", billAmount=110.01) == 630
    assert shop.take_back("AMOUNT", "B1", billAmount=110) == 200
    assert shop.value == 0
    assert shop.take_back("AMOUNT", "B1", billAmount=1) == 633


def test_a_bill_is_returned_in_full_or_cancelled(shop: Shop) -> None:
    shop.sell("B1", 150)
    shop.sell("B2", 30)
    assert shop.take_back("FULL", "B1") == 200
    assert shop.value == 30
    assert shop.take_back("AMOUNT", "B2", billAmount=10) == 200
    assert shop.take_back("FULL", "B2") == 639
    assert shop.take_back("CANCELLED", "B2") == 200
    assert shop.value == 0
    for number in ("B1", "B2"):
        assert shop.take_back("CANCELLED", number, billingDate="2026-06-01T00:00:00Z") == 633


def test_lines_are_returned_at_their_share_or_at_the_amount_named(shop: Shop) -> None:
    number = shop.sell("B1", 150, lineItemsV2=LINES)
    assert shop.take_back("LINE_ITEM", id=number, lineItemsV2=[{"itemCode": "A", "qty": 1}]) == 200
    assert shop.value == 95
    for lines, expected in (
        ([{"itemCode": "A", "qty": 2}], 626),
        ([{"itemCode": "A", "qty": 1}] * 2, 626),
        ([{"itemCode": "C", "qty": 1}], 687),
        ([{"qty": 1}], 660),
        ([{"itemCode": "B", "qty": 0}], 660),
        ([], 660),
    ):
        assert shop.take_back("LINE_ITEM", id=number, lineItemsV2=lines) == expected
    lines = [{"itemCode": "A", "qty": 1, "amount": 50}, {"itemCode": "B", "qty": 1}]
    assert shop.take_back("LINE_ITEM", id=number, lineItemsV2=lines) == 200
    assert shop.value == 5


def test_lines_are_worth_no_more_than_is_left_of_their_bill(shop: Shop) -> None:
    shop.sell("B1", 120, lineItemsV2=LINES)
    lines = [{"itemCode": "A", "qty": 2}, {"itemCode": "B", "qty": 1}]
    assert shop.take_back("LINE_ITEM", "B1", lineItemsV2=lines) == 200
    assert shop.value == 0


def test_a_bill_is_returned_by_amounts_or_by_lines(shop: Shop) -> None:
    shop.sell("B1", 150, lineItemsV2=LINES)
    shop.sell("B2", 150, lineItemsV2=LINES)
    lines = [{"itemCode": "B", "qty": 1}]
    assert shop.take_back("LINE_ITEM", "B1", lineItemsV2=lines) == 200
    assert shop.take_back("AMOUNT", "B1", billAmount=1) == 632
    assert shop.take_back("AMOUNT", "B2", billAmount=1) == 200
    assert shop.take_back("LINE_ITEM", "B2", lineItemsV2=lines) == 638


def test_a_return_is_refused_without_its_bill_before_it_or_of_no_known_kind(shop: Shop) -> None:
    shop.sell("B1", 150)
    other = shop.org.register(mobile="919876543211")
    assert shop.take_back("AMOUNT", "B2", billAmount=1) == 625
    assert shop.take_back("AMOUNT", id=5, billAmount=1) == 625
    assert shop.take_back("AMOUNT", "B1", billAmount=1, billingDate="2026-05-31") == 624
    assert shop.take_back("HALF", "B1") == 628
    assert code(shop.post(type="RETURN", billNumber="B1")) == 628
    assert shop.take_back("AMOUNT", billAmount=1) == 400
    assert shop.take_back("AMOUNT", "B1") == 400
    assert shop.take_back("AMOUNT", "B1", billAmount=0) == 400
    assert shop.take_back("FULL", id="abc") == 400
    query = {"identifierName": "id", "identifierValue": str(other), "source": "INSTORE"}
    body = {"type": "RETURN", "returnType": "FULL", "billNumber": "B1"}
    assert code(shop.org.post(PATH, body, params=query)) == 625
    assert shop.value == 150


def test_the_same_return_is_taken_once(shop: Shop) -> None:
    shop.sell("B1", 150)
    assert shop.take_back("AMOUNT", "B1", billAmount=10) == 200
    assert shop.take_back("AMOUNT", "B1", billAmount="10.00") == 604
    assert shop.take_back("AMOUNT", "B1", billAmount=10, billingDate="2026-06-01") == 200
    assert shop.take_back("FULL", "B1") == 639
    assert shop.value == 130


def test_a_sale_of_another_route_can_be_returned(shop: Shop) -> None:
    post_activities(shop.org, sale("tx-1", shop.customer, 60))
    assert shop.take_back("FULL", "tx-1") == 200
    assert shop.value == 0


def test_a_bill_of_nobody_is_answered_and_not_kept(shop: Shop, database_url: str) -> None:
    before = contents(database_url)
    for kind in ("NOT_INTERESTED", "NOT_INTERESTED_RETURN"):
        body = {"type": kind, "billNumber": "B1", "billAmount": 10, "notInterestedReason": "none"}
        answer = shop.org.post(PATH, body, params={"source": "INSTORE"})
        assert answer.status_code == 200
        assert answer.json()["sideEffects"] == []
    assert contents(database_url) == before


def bulk_bill(shop: Shop, number: str, amount: Any = 10, **more: Any) -> dict[str, Any]:
    return {
        "type": "REGULAR",
        "billNumber": number,
        "billAmount": amount,
        "identifierType": "mobile",
        "identifierValue": shop.mobile,
        "source": "INSTORE",
        **more,
    }


def test_bulk_answers_each_element_by_itself_and_in_order(shop: Shop) -> None:
    back = {"type": "RETURN", "returnType": "AMOUNT"}
    sent = [
        bulk_bill(shop, "B1", 50),
        bulk_bill(shop, "B1", 4, **back),
        bulk_bill(shop, "B1", 50),
        5,
        bulk_bill(shop, "B2", identifierValue="919999999999"),
        bulk_bill(shop, "B3", "much"),
        bulk_bill(shop, "\0"),
        bulk_bill(shop, "B4", 6, identifierType="id", identifierValue=shop.customer),
        bulk_bill(shop, "B5", type="NOT_INTERESTED", identifierType=None),
        bulk_bill(shop, "B6", billingDate="2027-01-01"),
    ]
    response = shop.org.post(BULK, json.dumps(sent).encode(), params={"rawSideEffects": "TRUE"})
    assert response.status_code == 200
    body = response.json()
    found = [
        item["errors"][0]["code"] if item["errors"] else item["result"]["billNumber"]
        for item in body["response"]
    ]
    assert found == ["B1", "B1", 604, 400, 8015, 400, 400, "B4", "B5", 400]
    assert (body["totalCount"], body["failureCount"]) == (10, 6)
    first, _, duplicate, *_ = body["response"]
    assert duplicate == {
        "errors": [{"status": False, "code": 604, "message": "Duplicate transaction number"}],
        "warnings": [],
    }
    assert first["errors"] == first["warnings"] == []
    assert first["entityId"] == first["result"]["id"]
    assert first["result"]["rawSideEffects"][0]["targetAchievedValueAfterEvent"] == "50.000"
    assert shop.value == 52


def test_bulk_can_return_what_it_sold_by_its_number(shop: Shop) -> None:
    answer = shop.org.post(BULK, [bulk_bill(shop, "B1", 50)]).json()
    number = answer["response"][0]["entityId"]
    back = bulk_bill(shop, "B1", type="RETURN", returnType="FULL", id=number)
    back["billNumber"] = None
    answer = shop.org.post(BULK, [bulk_bill(shop, "B2", 1), back]).json()
    assert answer["failureCount"] == 0
    assert shop.value == 1


@pytest.mark.parametrize("body", [b"{}", b"[", b'"a"', b"null", b"[" + b"5," * 1_000 + b"5]"])
def test_a_bulk_body_that_is_no_array_of_up_to_1000_is_400(shop: Shop, body: bytes) -> None:
    assert code(shop.org.post(BULK, body)) == 400


def test_bills_need_write_on_transaction(service: Service, org: Org) -> None:
    access = {"orgId": org.id, "type": "TILL", "access": {"Transaction": "READ"}}
    till = service.operator.post("/milepost/v1/credentials", json=access).json()["data"]["till"]
    client = service.connect(auth=(till["username"], till["password"]))
    for path in (PATH, BULK):
        response = client.post(path, content=b"[]")
        assert response.status_code == 403
        assert response.json()["errors"][0]["code"] == 4000
