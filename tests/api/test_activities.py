"""`POST /milepost/v1/activities` as a JSON array (contract §5)."""

from __future__ import annotations

import gzip
import json
from typing import Any

import httpx
import pytest

from tests.harness import Org, Service, contents
from tests.scenarios.vocabulary import define_milestone

PATH = "/milepost/v1/activities"
AT = "2026-06-01T00:00:00Z"


def sale(identity: str, customer: int, net: Any = 10, **fields: Any) -> dict[str, Any]:
    return {
        "id": identity,
        "customerId": customer,
        "type": "TRANSACTION",
        "occurredAt": AT,
        "netAmount": net,
        **fields,
    }


def post(org: Org, *activities: Any) -> list[dict[str, Any]]:
    """The results of a call that is answered 200, in its envelope."""
    return results(org.post(PATH, list(activities)))


def results(response: httpx.Response) -> list[dict[str, Any]]:
    assert response.status_code == 200, response.text
    body = response.json()
    assert body == {"data": body["data"], "errors": None, "warnings": None}
    found: list[dict[str, Any]] = body["data"]
    return found


def statuses(found: list[dict[str, Any]]) -> list[str]:
    return [each["status"] for each in found]


def refused(result: dict[str, Any]) -> int:
    """The code of a REJECTED result, whose form is checked too."""
    (error,) = result["errors"]
    assert set(error) == {"code", "message"}
    assert {**result, "id": None} == {
        "id": None,
        "status": "REJECTED",
        "errors": [error],
        "effects": [],
    }
    return int(error["code"])


def whole(response: httpx.Response) -> int:
    """The code of a call that was refused as a whole."""
    assert response.headers["X-Cap-Requestid"]
    (error,) = response.json()["errors"]
    assert response.json() == {"data": None, "errors": [error], "warnings": None}
    return int(error["code"])


def test_a_result_has_the_effects_and_the_rewards_that_the_activity_granted(org: Org) -> None:
    abc = define_milestone(org, asked=100)
    customer = org.register()
    abc.enrol(customer)
    (first, second) = post(org, sale("a", customer, 60.25), sale("b", customer, 60.25))
    effect = {"targetGroupId": abc.group_id, "targetRuleId": abc.target_id, "periodRefCode": "c1"}
    assert first == {
        "id": "a",
        "status": "ACCEPTED",
        "errors": None,
        "effects": [{**effect, "before": 0, "after": 60.25, "achieved": False, "rewards": []}],
    }
    rewards = org.get(f"/milepost/v1/customers/{customer}/rewards").json()["data"]
    assert second["effects"] == [
        {
            **effect,
            "before": 60.25,
            "after": 120.5,
            "achieved": True,
            "rewards": [reward["rewardId"] for reward in rewards],
        }
    ]
    assert len(rewards) == 1


def test_amounts_are_exact(org: Org) -> None:
    abc = define_milestone(org)
    customer = org.register()
    abc.enrol(customer)
    body = "[" + ",".join(json.dumps(sale(f"a{n}", customer, 0.1)) for n in range(3)) + "]"
    response = org.post(PATH, body.encode())
    assert '"before":0.2,"after":0.3' in response.text


def test_the_same_id_and_content_is_a_duplicate_and_other_content_is_rejected(org: Org) -> None:
    customer = org.register()
    sent = sale("a", customer, 10, lineItems=[{"sku": "A", "quantity": 2}], attributes={"x": 1.5})
    otherwise = json.dumps({**sent, "unknown": 5, "grossAmount": None, "netAmount": 10.0})
    found = post(org, sent, json.loads(otherwise), sale("a", customer, 11))
    assert statuses(found) == ["ACCEPTED", "DUPLICATE", "REJECTED"]
    assert found[1] == {"id": "a", "status": "DUPLICATE", "errors": None, "effects": []}
    assert refused(found[2]) == 300004
    assert statuses(post(org, sent)) == ["DUPLICATE"]


def test_a_rejected_activity_does_not_take_its_id(org: Org) -> None:
    customer = org.register()
    found = post(org, sale("a", customer, -1), sale("a", customer, 1))
    assert statuses(found) == ["REJECTED", "ACCEPTED"]


def test_an_id_is_the_customers_own(org: Org) -> None:
    found = post(org, sale("a", org.register()), sale("a", org.register()))
    assert statuses(found) == ["ACCEPTED", "ACCEPTED"]


def test_an_unknown_customer_is_310011(org: Org) -> None:
    known = org.register()
    found = post(org, sale("a", 1), sale("b", -5), sale("c", 2**63 - 1), sale("d", known))
    assert [refused(each) for each in found[:3]] == [310011] * 3
    assert found[3]["status"] == "ACCEPTED"


def test_an_event_of_any_name_needs_no_definition_and_no_amount(org: Org) -> None:
    customer = org.register()
    event = {
        "id": "e",
        "customerId": customer,
        "type": "EVENT",
        "eventName": "runLogged",
        "occurredAt": AT,
        "attributes": {"km": 5.2},
    }
    assert statuses(post(org, event)) == ["ACCEPTED"]


def test_a_return_takes_back_and_names_its_sale(org: Org) -> None:
    abc = define_milestone(org)
    customer = org.register()
    abc.enrol(customer)
    back = {**sale("r", customer, 20), "type": "RETURN", "returnOf": "a"}
    found = post(org, sale("a", customer, 50), back, {**back, "id": "r2", "returnOf": "nothing"})
    assert statuses(found) == ["ACCEPTED", "ACCEPTED", "REJECTED"]
    assert [(each["before"], each["after"]) for each in found[1]["effects"]] == [(50, 30)]
    assert refused(found[2]) == 300004


ELEMENTS: dict[str, Any] = {
    "a number": 5,
    "null": None,
    "a text": "a",
    "an array": [],
    "nothing": {},
}


@pytest.mark.parametrize("element", ELEMENTS.values(), ids=ELEMENTS)
def test_what_is_no_activity_is_rejected_and_its_neighbours_are_not(org: Org, element: Any) -> None:
    customer = org.register()
    found = post(org, sale("a", customer), element, sale("b", customer))
    assert statuses(found) == ["ACCEPTED", "REJECTED", "ACCEPTED"]
    assert refused(found[1]) == 300004
    assert found[1]["id"] is None


FIELDS: dict[str, str] = {
    "no customer": '"customerId": null',
    "a text as customer": '"customerId": "5"',
    "a truth as customer": '"customerId": true',
    "a fraction as customer": '"customerId": 5.5',
    "a customer with a point": '"customerId": 5.0',
    "a huge customer": '"customerId": 9223372036854775808',
    "an unknown type": '"type": "SALE"',
    "a type in lower case": '"type": "transaction"',
    "no type": '"type": null',
    "an event without name": '"type": "EVENT"',
    "an event with a blank name": '"type": "EVENT", "eventName": " "',
    "an event with a long name": f'"type": "EVENT", "eventName": "{"x" * 201}"',
    "a return of nothing": '"type": "RETURN"',
    "no time": '"occurredAt": null',
    "no offset": '"occurredAt": "2026-06-01T00:00:00"',
    "a date": '"occurredAt": "2026-05-01"',
    "a number as time": '"occurredAt": 1780272000000',
    "the future": '"occurredAt": "2026-06-01T00:00:00.001Z"',
    "the distant past": '"occurredAt": "0001-01-01T00:00:00Z"',
    "no day": '"occurredAt": "2026-02-30T00:00:00Z"',
    "no amount": '"netAmount": null',
    "a text as amount": '"netAmount": "10"',
    "NaN as text": '"netAmount": "NaN"',
    "a truth as amount": '"netAmount": true',
    "a list as amount": '"netAmount": [10]',
    "below 0": '"netAmount": -0.01',
    "10^15": '"netAmount": 1000000000000000',
    "10^30": '"netAmount": 1e30',
    "1e999999": '"netAmount": 1e999999',
    "1e-999999": '"netAmount": 1e-999999',
    "an exponent that no decimal has": '"netAmount": 1e99999999999999999999',
    "5,000 digits": f'"netAmount": {"9" * 5_000}',
    "21 decimal places": '"netAmount": 0.000000000000000000001',
    "a gross amount below 0": '"grossAmount": -1',
    "a text as gross amount": '"grossAmount": "1"',
    "a text as store": '"storeId": "7"',
    "an object as lines": '"lineItems": {}',
    "null in lines": '"lineItems": [null]',
    "a quantity below 0": '"lineItems": [{"sku": "A", "quantity": -1}]',
    "a text as quantity": '"lineItems": [{"sku": "A", "quantity": "1"}]',
    "an infinite line": '"lineItems": [{"sku": "A", "netAmount": 1e400}]',
    "a number as article": '"lineItems": [{"sku": 5}]',
    "a long article": f'"lineItems": [{{"sku": "{"x" * 256}"}}]',
    "10,000 lines": f'"lineItems": [{",".join(["{}"] * 10_000)}]',
    "attributes of a line that are none": '"lineItems": [{"attributes": 5}]',
    "a list as attributes": '"attributes": []',
    "deep attributes": f'"attributes": {{"a": {"[" * 50}{"]" * 50}}}',
    "a huge number among attributes": '"attributes": {"a": 1e99999999999999999999}',
    "an integer of 5,000 digits among attributes": f'"attributes": {{"a": {"9" * 5_000}}}',
    "201 attributes": '"attributes": {' + ",".join(f'"a{n}": 1' for n in range(201)) + "}",
    "attributes of more than 64 KiB": f'"attributes": {{"a": "{"x" * 65_536}"}}',
    "a null character": r'"attributes": {"a": "b\u0000"}',
    "a null character in a name": r'"attributes": {"a\u0000": "b"}',
    "a null character in what is ignored": r'"ignored": "\u0000"',
}


@pytest.mark.parametrize("field", FIELDS.values(), ids=FIELDS)
def test_a_bad_field_rejects_its_own_activity_only(org: Org, database_url: str, field: str) -> None:
    customer = org.register()
    good = json.dumps(sale("good", customer)).encode()
    # The last of two members of a name is the one that counts.
    bad = json.dumps(sale("bad", customer)).encode()[:-1] + b", " + field.encode() + b"}"
    assert statuses(results(org.post(PATH, b"[" + good + b"]"))) == ["ACCEPTED"]
    before = contents(database_url)
    found = results(org.post(PATH, b"[" + good + b"," + bad + b"," + good + b"]"))
    assert statuses(found) == ["DUPLICATE", "REJECTED", "DUPLICATE"]
    assert refused(found[1]) == 300004
    assert found[1]["id"] == "bad"
    assert contents(database_url) == before


@pytest.mark.parametrize("identity", ["", " ", "x" * 256])
def test_an_id_has_1_to_255_characters(org: Org, identity: str) -> None:
    customer = org.register()
    found = post(org, sale(identity, customer), sale("x" * 255, customer))
    assert statuses(found) == ["REJECTED", "ACCEPTED"]
    assert found[0]["id"] == identity


@pytest.mark.parametrize("identity", [5, None, True, ["a"], {"a": 1}])
def test_an_id_that_is_no_text_is_answered_as_null(org: Org, identity: Any) -> None:
    (found,) = post(org, {**sale("a", org.register()), "id": identity})
    assert refused(found) == 300004
    assert found["id"] is None


@pytest.mark.parametrize("amount", ["netAmount", "grossAmount"])
def test_the_amounts_of_a_return_are_above_0(org: Org, amount: str) -> None:
    customer = org.register()
    back = {**sale("r", customer, 5), "type": "RETURN", "returnOf": "a", amount: 0}
    line = {**sale("l", customer, 5), "type": "RETURN", "returnOf": "a"}
    line["lineItems"] = [{"sku": "A", "quantity": 0}]
    found = post(org, sale("a", customer, 10), back, line)
    assert statuses(found) == ["ACCEPTED", "REJECTED", "REJECTED"]


def test_amounts_of_0_unknown_fields_and_nulls_are_taken(org: Org) -> None:
    customer = org.register()
    optional = ("grossAmount", "storeId", "lineItems", "attributes", "eventName", "returnOf")
    found = post(
        org,
        sale("a", customer, 0, unknown={"deep": [1]}, **dict.fromkeys(optional)),
        sale("b", customer, 0.0, lineItems=[], attributes={}),
        sale("c", customer, lineItems=[{"sku": "A", "quantity": None, "netAmount": None}]),
    )
    assert statuses(found) == ["ACCEPTED"] * 3


WHOLE = {
    "an object": (b"{}", 300004),
    "a text": (b'"a"', 300004),
    "null": (b"null", 300004),
    "nothing": (b"", 300004),
    "cut short": (b"[{}", 300004),
    "deep": (b"[" * 100_000, 300004),
    "no text": (b'["\xff"]', 300004),
    "1,001 elements": (b"[" + b",".join([b"{}"] * 1_001) + b"]", 300004),
    "more than a mebibyte": (b"[" + b" " * 2**20 + b"]", 413),
}


@pytest.mark.parametrize(("body", "expected"), WHOLE.values(), ids=WHOLE)
def test_what_is_no_array_of_up_to_1000_is_refused_as_a_whole(
    org: Org, body: bytes, expected: int
) -> None:
    response = org.post(PATH, body)
    assert whole(response) == expected
    assert response.status_code == (413 if expected == 413 else 400)


def test_nothing_of_1001_elements_is_done(org: Org, database_url: str) -> None:
    customer = org.register()
    before = contents(database_url)
    many = [sale(f"a{number}", customer, 1) for number in range(1_001)]
    assert whole(org.post(PATH, many)) == 300004
    assert contents(database_url) == before


def test_1000_elements_are_taken_and_none_is_answered_by_none(org: Org) -> None:
    abc = define_milestone(org)
    customer = org.register()
    abc.enrol(customer)
    found = post(org, *(sale(f"a{number}", customer, 1) for number in range(1_000)))
    assert statuses(found) == ["ACCEPTED"] * 1_000
    assert abc.value(customer, "c1") == 1_000
    assert post(org) == []


def test_a_compressed_body_is_415(org: Org) -> None:
    for kind in ("application/json", "application/x-ndjson"):
        headers = {"Content-Encoding": "gzip", "Content-Type": kind}
        response = org.post(PATH, gzip.compress(b"[]"), headers=headers)
        assert response.status_code == 415
        assert whole(response) == 415


def test_a_body_is_json_whatever_its_content_type_says(org: Org) -> None:
    for kind in ("text/plain", "application/xml", "application/json; charset=latin-1", ""):
        assert results(org.post(PATH, b"[]", headers={"Content-Type": kind})) == []


@pytest.mark.parametrize("kind", ["application/json", "application/x-ndjson"])
def test_activities_need_write_on_transaction(service: Service, org: Org, kind: str) -> None:
    headers = {"Content-Type": kind}
    assert service.connect().post(PATH, content=b"[]", headers=headers).status_code == 401
    for access, expected in (
        ({"Transaction": "READ", "Target Loyalty": "WRITE", "Customer": "WRITE"}, 403),
        ({"Transaction": "WRITE"}, 200),
    ):
        body = {"orgId": org.id, "type": "TILL", "access": access}
        till = service.operator.post("/milepost/v1/credentials", json=body).json()["data"]["till"]
        client = service.connect(auth=(till["username"], till["password"]))
        response = client.post(PATH, content=b"[]", headers=headers)
        assert response.status_code == expected
        assert response.headers["X-Cap-Requestid"]


def test_another_organisations_customers_are_unknown(service: Service, org: Org) -> None:
    stranger = service.new_org().register()
    (found,) = post(org, sale("a", stranger))
    assert refused(found) == 310011
