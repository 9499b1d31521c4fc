"""`/v2/customers` over HTTP: contract §6, and what must not happen (contract §3)."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import psycopg
import pytest

from tests.harness import Org, Service

TABLES = ("customers", "customer_profiles", "customer_identifiers")


def body(
    *identifiers: tuple[str, str],
    source: str = "INSTORE",
    keep: int | None = None,
    **profile: Any,
) -> dict[str, Any]:
    entries = [{"type": kind, "value": value} for kind, value in identifiers]
    found: dict[str, Any] = {"profiles": [{"source": source, "identifiers": entries, **profile}]}
    if keep is not None:
        found["customerId"] = keep
    return found


def register(org: Org, sent: Any) -> int:
    response = org.post("/v2/customers", sent)
    assert response.status_code == 200, response.text
    answer = response.json()
    assert answer["errors"] == answer["sideEffects"] == []
    return int(answer["createdId"])


def look_up(org: Org, name: str, value: str, source: str = "INSTORE", **more: str) -> Any:
    query = {"source": source, "identifierName": name, "identifierValue": value, **more}
    response = org.get("/v2/customers/lookup", params=query)
    if response.status_code == 200:
        assert response.json()["warnings"] == []
        return response.json()["entity"]
    return code(response)


def code(response: httpx.Response) -> int:
    """The one error of a refusal, whose form is checked too."""
    assert response.status_code == 400, response.text
    answer = response.json()
    (item,) = answer["errors"]
    assert answer["warnings"] == []
    assert item["status"] is False
    assert item["message"]
    return int(item["code"])


def rows(database_url: str, table: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(database_url) as connection:
        return connection.execute(f"SELECT * FROM {table} ORDER BY 1, 2, 3").fetchall()


def everything(database_url: str) -> list[list[tuple[Any, ...]]]:
    return [rows(database_url, table) for table in TABLES]


def test_a_registered_customer_is_found_by_each_identifier_and_by_the_id(org: Org) -> None:
    identifiers = (
        ("mobile", "+91 99860-00586"),
        ("email", "Jo@Shop.example"),
        ("externalId", "X 1"),
    )
    created = register(org, body(*identifiers, firstName="Jo", lastName="Doe"))
    for name, value in (*identifiers, ("mobile", "919986000586"), ("email", "jo@shop.EXAMPLE")):
        assert look_up(org, name, value) == created
        assert look_up(org, name, value, "ALL") == created
        assert look_up(org, name, value, "WEBSITE") == 8015
    assert look_up(org, "id", str(created), "WEBSITE") == created
    assert look_up(org, "id", "12a") == 8015
    assert look_up(org, "id", "999999999999") == 8015
    assert look_up(org, "externalId", "x 1") == 8015


def test_all_that_was_sent_of_a_profile_is_kept(org: Org, database_url: str) -> None:
    fields = {"city": "Pune", "visits": 3, "share": 0.5, "vip": True, "tags": ["a", None]}
    channels = [{"type": "mobile", "value": "911", "primary": True, "meta": {"residence": True}}]
    sent = body(("mobile", "919000000001"), source="WECHAT", accountId="shop", fields=fields)
    sent["profiles"][0] |= {"firstName": "Jo", "lastName": "ü" * 100, "commChannels": channels}
    sent["loyaltyInfo"] = {"loyaltyType": "non_loyalty"}
    created = register(org, sent | {"extendedFields": {"gender": "?"}, "unknown": [1]})
    assert [row[2:] for row in rows(database_url, "customer_profiles") if row[1] == created] == [
        ("WECHAT", "shop", "Jo", "ü" * 100, channels, fields)
    ]
    (customer,) = [row for row in rows(database_url, "customers") if row[1] == created]
    assert customer[2:4] == (org.id, "non_loyalty")
    assert customer[4].isoformat() == "2026-06-01T00:00:00+00:00"


def test_a_null_field_is_an_absent_one(org: Org) -> None:
    names = ("accountId", "firstName", "lastName", "commChannels", "fields")
    sent = body(("mobile", "919000000002"))
    sent["profiles"][0] |= dict.fromkeys(names)
    register(org, sent | {"customerId": None, "loyaltyInfo": None})


def test_a_known_id_is_kept_and_a_taken_one_is_8006(org: Org, database_url: str) -> None:
    assert register(org, body(("mobile", "919000000003"), keep=423789336)) == 423789336
    assert register(org, body(keep=2**63 - 1)) == 2**63 - 1
    before = everything(database_url)
    response = org.post("/v2/customers", body(("mobile", "919000000004"), keep=423789336))
    assert code(response) == 8006
    assert "423789336" in response.json()["errors"][0]["message"]
    assert everything(database_url) == before
    assert look_up(org, "mobile", "919000000004") == 8015


def test_new_ids_step_over_those_that_were_moved_in(org: Org) -> None:
    next_id = register(org, body(("mobile", "919000000005")))
    for number in range(1, 40):
        register(org, body(keep=next_id + number))
    assert register(org, body(("mobile", "919000000006"))) == next_id + 40


def test_the_same_identifier_in_another_source_joins_that_customer_with_warning_8050(
    org: Org,
) -> None:
    created = register(org, body(("mobile", "919000000007")))
    sent = body(("mobile", "919000000007"), ("email", "web@shop.example"), source="WEBSITE")
    response = org.post("/v2/customers", sent)
    assert response.status_code == 200
    assert response.json() == {
        "createdId": created,
        "warnings": [
            {
                "status": False,
                "code": 8050,
                "message": "Same Customer found in other sources, Combining",
            }
        ],
        "errors": [],
        "sideEffects": [],
    }
    assert look_up(org, "mobile", "919000000007", "WEBSITE") == created
    assert look_up(org, "email", "web@shop.example", "WEBSITE") == created
    assert look_up(org, "email", "web@shop.example", "INSTORE") == 8015


def test_the_same_identifier_in_the_same_source_is_8006_with_the_id_and_nothing_is_written(
    org: Org, database_url: str
) -> None:
    created = register(org, body(("mobile", "919000000008")))
    before = everything(database_url)
    sent = body(("email", "new@shop.example"), ("mobile", "+919000000008"))
    response = org.post("/v2/customers", sent)
    assert code(response) == 8006
    assert response.json()["errors"][0]["message"] == (
        f"Add failed, Customer already exists with id {created} for same source"
    )
    assert everything(database_url) == before
    assert look_up(org, "email", "new@shop.example", "ALL") == 8015


def test_accounts_of_a_source_are_told_apart(org: Org) -> None:
    first = register(org, body(("externalId", "w"), source="WECHAT", accountId="a"))
    assert register(org, body(("externalId", "w"), source="WECHAT", accountId="b")) == first
    again = org.post("/v2/customers", body(("externalId", "w"), source="WECHAT", accountId="b"))
    assert code(again) == 8006
    assert look_up(org, "externalId", "w", "WECHAT", accountId="a") == first
    assert look_up(org, "externalId", "w", "WECHAT", accountId="c") == 8015
    assert look_up(org, "externalId", "w", "WECHAT") == first


def test_fifty_registrations_of_one_mobile_at_once_make_one_customer(
    service: Service, org: Org, database_url: str
) -> None:
    till = (org.username, org.password)
    clients = [service.connect(auth=till) for _ in range(10)]
    before = len(rows(database_url, "customers"))
    sent = [
        body(("mobile", "919000000009"), ("externalId", f"race-{number}")) for number in range(50)
    ]
    with ThreadPoolExecutor(50) as threads:
        answers = list(
            threads.map(
                lambda number: clients[number % 10].post("/v2/customers", json=sent[number]),
                range(50),
            )
        )
    accepted = [answer for answer in answers if answer.status_code == 200]
    refused = [answer for answer in answers if answer.status_code != 200]
    assert len(accepted) == 1
    assert [code(answer) for answer in refused] == [8006] * 49
    created = accepted[0].json()["createdId"]
    assert {answer.json()["errors"][0]["message"] for answer in refused} == {
        f"Add failed, Customer already exists with id {created} for same source"
    }
    assert len(rows(database_url, "customers")) == before + 1
    races = [row[2] for row in rows(database_url, "customer_identifiers") if "race-" in row[2]]
    assert len(races) == 1


def test_a_hierarchy_shares_its_customers(service: Service, org: Org) -> None:
    child, sibling = (service.new_org(parentOrgId=org.id, sandbox=None, now=None) for _ in "ab")
    created = register(child, body(("mobile", "919000000010"), keep=77))
    for member in (org, child, sibling):
        assert look_up(member, "mobile", "919000000010") == created
        assert look_up(member, "id", "77") == created
        assert code(member.post("/v2/customers", body(("mobile", "919000000010")))) == 8006
        assert code(member.post("/v2/customers", body(("email", "a@b.c"), keep=77))) == 8006
    assert register(org, body(("mobile", "919000000010"), source="LINE")) == created
    assert look_up(sibling, "mobile", "919000000010", "LINE") == created


def test_members_of_a_hierarchy_register_one_mobile_at_once_and_one_customer_is_made(
    service: Service, org: Org
) -> None:
    members = [org, *(service.new_org(parentOrgId=org.id, sandbox=None, now=None) for _ in "ab")]
    for number in range(10):
        sent = body(("mobile", f"91900000002{number}"), ("email", f"race{number}@shop.example"))
        with ThreadPoolExecutor(3) as threads:
            answers = list(
                threads.map(lambda member, sent=sent: member.post("/v2/customers", sent), members)
            )
        assert sorted(answer.status_code for answer in answers) == [200, 400, 400]


def test_two_hierarchies_may_have_the_same_identifiers_and_see_nothing_of_each_other(
    service: Service, org: Org
) -> None:
    other = service.new_org()
    same = body(("mobile", "919000000011"), ("email", "same@shop.example"), keep=78)
    assert register(org, same) == 78
    assert look_up(other, "mobile", "919000000011", "ALL") == 8015
    assert look_up(other, "id", "78", "ALL") == 8015
    assert register(other, same) == 78
    mine = register(org, body(("mobile", "919000000012")))
    theirs = register(other, body(("mobile", "919000000012")))
    assert mine != theirs
    assert look_up(other, "id", str(mine)) == 8015


@pytest.fixture(scope="module")
def shop(service: Service) -> Org:
    """An organisation for all that is refused."""
    return service.new_org()


GOOD = {"type": "mobile", "value": "919000000099"}
PROFILE = {"source": "INSTORE", "identifiers": [GOOD]}


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ({}, 8004),
        ({"profiles": []}, 8004),
        ({"profiles": [{"identifiers": [GOOD]}]}, 8004),
        ({"profiles": [{"source": "", "identifiers": [GOOD]}]}, 8004),
        ({"profiles": [{"source": "NOWHERE", "identifiers": [GOOD]}]}, 3217),
        ({"profiles": [{"source": "ALL", "identifiers": [GOOD]}]}, 3217),
        ({"profiles": [{"source": "IN\x00STORE", "identifiers": [GOOD]}]}, 400),
        ({"profiles": [{"source": "INSTORE"}]}, 8005),
        ({"profiles": [{"source": "INSTORE", "identifiers": []}]}, 8005),
        ({"profiles": [{"source": "INSTORE", "identifiers": [{}]}]}, 8005),
        (body(("fax", "919000000099")), 8005),
        (body(("mobile", "123456")), 8005),
        (body(("mobile", "1" * 16)), 8005),
        (body(("mobile", "call me")), 8005),
        (body(("email", "nobody")), 8005),
        (body(("email", "a" * 250 + "@b.example")), 8005),
        (body(("externalId", "x" * 256)), 8005),
        (body(("externalId", "a\tb")), 8005),
        (body(("mobile", "919000000099"), ("email", "nobody")), 8005),
        (body(("mobile", "919000000099"), firstName="x" * 101), 400),
        (body(("mobile", "919000000099"), firstName="a\x00b"), 400),
        (body(("mobile", "919000000099"), fields={"a": "\x00"}), 400),
        (body(("mobile", "919000000099"), fields={"\x00": "a"}), 400),
        (body(("mobile", "919000000099"), fields={"a": {"deep": 1}}), 400),
        (body(("mobile", "919000000099"), fields={"a": 10**30}), 400),
        (body(("mobile", "919000000099"), commChannels=[{"value": "\x00"}]), 400),
        (body(("mobile", "919000000099"), commChannels="none"), 400),
        (body(("externalId", "a\x00b")), 400),
        (body(("externalId", "x" * 10_001)), 400),
        ([PROFILE], 400),
        ("text", 400),
        (None, 400),
        ({"profiles": PROFILE}, 400),
        ({"profiles": [PROFILE] * 21}, 400),
        ({"profiles": [[]]}, 400),
        ({"profiles": [{"source": 1, "identifiers": [GOOD]}]}, 400),
        ({"profiles": [{"source": "INSTORE", "identifiers": GOOD}]}, 400),
        ({"profiles": [{"source": "INSTORE", "identifiers": [GOOD] * 21}]}, 400),
        (
            {
                "profiles": [
                    {"source": "INSTORE", "identifiers": [{"type": "mobile", "value": 9190}]}
                ]
            },
            400,
        ),
        ({"profiles": [PROFILE], "customerId": "7"}, 400),
        ({"profiles": [PROFILE], "customerId": True}, 400),
        ({"profiles": [PROFILE], "customerId": 1.5}, 400),
        ({"profiles": [PROFILE], "customerId": 0}, 400),
        ({"profiles": [PROFILE], "customerId": -1}, 400),
        ({"profiles": [PROFILE], "customerId": 2**63}, 400),
        ({"profiles": [PROFILE], "customerId": 10**30}, 400),
        ({"profiles": [PROFILE], "loyaltyInfo": {"loyaltyType": "gold"}}, 400),
        ({"profiles": [PROFILE], "loyaltyInfo": "loyalty"}, 400),
        (b"", 400),
        (b"{", 400),
        (b'{"profiles": [{"source": "INSTORE", "identifiers": [{"type": "\xff"}]}]}', 400),
        (b'{"profiles": [{"source": "\\ud800"}]}', 400),
        (b'{"profiles": [{"source": "\\udc00\\ud800"}]}', 400),
        (b'{"customerId": 1e400}', 400),
        (b'{"customerId": NaN}', 400),
        (b"[" * 100_000, 400),
    ],
)
def test_a_registration_that_is_wrong_is_refused_by_its_code_and_nothing_is_written(
    shop: Org, database_url: str, sent: Any, expected: int
) -> None:
    before = everything(database_url)
    assert code(shop.post("/v2/customers", sent)) == expected
    assert everything(database_url) == before


def test_a_body_is_json_whatever_its_content_type(org: Org) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", "application/xml"):
        response = org.post("/v2/customers", b"{}", headers={"Content-Type": kind})
        assert code(response) == 8004


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", 8001),
        ("source=", 8001),
        ("source=%20&identifierName=mobile&identifierValue=1234567", 8001),
        ("source=NOWHERE", 8003),
        ("source=INSTORE", 8002),
        ("source=INSTORE&identifierName=mobile", 8002),
        ("source=INSTORE&identifierName=mobile&identifierValue=", 8002),
        ("source=INSTORE&identifierValue=1234567", 8002),
        ("source=INSTORE&identifierName=fax&identifierValue=1234567", 8013),
        ("source=INSTORE&identifierName=%00&identifierValue=1234567", 8013),
        ("source=INSTORE&identifierName=mobile&identifierValue=none", 8015),
        ("source=INSTORE&identifierName=mobile&identifierValue=1234567", 8015),
        ("source=INSTORE&identifierName=id&identifierValue=abc", 8015),
        ("source=INSTORE&identifierName=id&identifierValue=1" + "0" * 30, 8015),
        ("source=INSTORE&identifierName=email&identifierValue=%00@b", 8015),
        ("source=INSTORE&identifierName=externalId&identifierValue=a%00b", 8015),
        ("source=INSTORE&identifierName=externalId&identifierValue=%ff%ed%a0%80", 8015),
        ("source=INSTORE&identifierName=externalId&identifierValue=" + "x" * 5_000, 8015),
        ("source=ALL&identifierName=externalId&identifierValue=x&accountId=%00", 8015),
    ],
)
def test_a_look_up_that_finds_nobody_says_why(shop: Org, query: str, expected: int) -> None:
    assert code(shop.get(f"/v2/customers/lookup?{query}")) == expected


def test_queries_of_the_vendor_that_say_nothing_to_milepost_are_ignored(org: Org) -> None:
    path = "/v2/customers?rawSideEffects=true&mlp_single_enroll=x"
    assert org.post(path, body(("mobile", "919000000013"))).status_code == 200
