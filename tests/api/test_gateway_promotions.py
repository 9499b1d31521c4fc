"""Promotions over the vendor's gateway: domain: promotions §2.1, §3.5, §4.6 (variant D)."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from itertools import count
from typing import Any

import httpx
import pytest

from tests.api.payloads import data, milestone
from tests.harness import Org, Service, contents

PREFIX = "/api_gateway/loyalty/v1/programs"
PROGRAM, OTHER = 469, 2714
NOW = "2026-06-01T06:30:00Z"
_numbers = count(1)


@pytest.fixture(scope="module")
def shop(service: Service) -> Org:
    """An organisation in Kolkata, at noon on 1 June, with two programs and a target group."""
    return open_shop(service)


def open_shop(service: Service) -> Org:
    org = service.new_org(timeZone="Asia/Kolkata", now=NOW)
    for program_id, name in ((PROGRAM, "Club"), (OTHER, "Other")):
        data(org.post("/milepost/v1/programs", {"programId": program_id, "name": name}))
    return org


@pytest.fixture
def unwritten(shop: Org, database_url: str) -> Iterator[Org]:
    """The organisation; afterwards nothing may have been written."""
    before = contents(database_url)
    yield shop
    assert contents(database_url) == before


def promotion(**fields: Any) -> dict[str, Any]:
    """The least that makes a promotion, whose name is new; `fields` replace its own."""
    return {
        "id": -1,
        "name": f"Promotion {next(_numbers)}",
        "programId": PROGRAM,
        "startDate": "2026-06-01T12:00:00+01:00",
        "endDate": "2026-06-25T12:00:00+01:00",
        "eventName": "TRANSACTIONADD",
        "pointsOfferType": "GENERIC",
        "promotionSourceType": "PROMOTION_API",
        **fields,
    }


def post(org: Org, body: Any, program: Any = PROGRAM, kind: str = "SIMPLE") -> httpx.Response:
    return org.post(f"{PREFIX}/{program}/createPromotion/{kind}", body)


def create(org: Org, program: int = PROGRAM, **fields: Any) -> dict[str, Any]:
    body = {"promotion": promotion(programId=program, **fields)}
    (made,) = answered(post(org, body, program))["data"]
    found: dict[str, Any] = made
    return found


def answered(response: httpx.Response) -> dict[str, Any]:
    """A success in the gateway's envelope."""
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    assert body["status"] == {"code": 200, "message": "success"}
    assert body["validationErrors"] is None
    return body


def refused(response: httpx.Response) -> tuple[int, str]:
    """Code and message of a business refusal in the gateway's envelope."""
    assert response.status_code == 400, response.text
    body = response.json()
    assert body.keys() == {"status", "validationErrors", "data"}
    assert body["data"] == []
    assert body["validationErrors"] == [body["status"]]
    return body["status"]["code"], body["status"]["message"]


def code(response: httpx.Response) -> int:
    return refused(response)[0]


def read(org: Org, made: dict[str, Any]) -> dict[str, Any]:
    path = f"{PREFIX}/{made['programId']}/promotions/{made['id']}/get"
    (found,) = answered(org.get(path))["data"]
    one: dict[str, Any] = found
    return one


def of_completion(org: Org) -> dict[str, Any]:
    """The vendor's sample of a user created promotion, for a target group of this organisation."""
    group = org.define(**milestone())
    return promotion(
        name=f"Challenge {next(_numbers)}",
        identifier=f"challenge-{next(_numbers)}",
        allocatePointsOn="BILL",
        eventName="TARGETCOMPLETED",
        pointsOfferType="LOYALTY",
        promotionType="BILL",
        promotionSourceType="USER_CREATED",
        limits={
            "pointsPerCustomer": -1,
            "numberOfTimesPerCustomer": -1,
            "totalPointsInPromotion": -1,
        },
        promotionRestrictions={
            "loyaltyEarningType": "ISSUE_AND_EARN",
            "isStackable": False,
            "isExclusive": False,
            "isConsideredForRanking": True,
            "targetRuleIds": [group["targets"][0]["id"]],
            "targetGroupIds": [group["id"]],
            "restrictions": {
                "redemptionRestrictions": [
                    {
                        "name": "MAX_ALLOWED_TIMES_PER_CUSTOMER",
                        "value": 3,
                        "type": "PERIOD_BASED",
                        "periodType": "MOVING_WINDOW",
                        "periodUnit": "WEEKLY",
                    }
                ],
                "issualRestrictions": [{"name": "MAX_NUMBER_OF_ISSUALS_PER_CUSTOMER", "value": 2}],
                "earnRestrictions": [{"name": "MAX_NUMBER_OF_EARNS_PER_CUSTOMER", "value": 4}],
                "expiryRestrictions": [
                    {"name": "ISSUAL_PROMOTION_EXPIRY_BASED_ON", "type": "PROMOTION", "value": 10},
                    {"name": "EARN_PROMOTION_EXPIRY_BASED_ON", "type": "CUSTOM", "value": 5},
                ],
            },
        },
        rulesetInfos=[
            {
                "id": -1,
                "contextID": 1,
                "orgID": 100737,
                "contextType": "program",
                "rules": [
                    {
                        "id": -1,
                        "exp": "currentEvent.isTargetAchievedEvent",
                        "isActive": True,
                        "priority": 1,
                        "startDate": 1726207950,
                        "caseToActions": {
                            "true": [
                                {
                                    "id": -1,
                                    "actionName": "Award points",
                                    "actionClass": "com.example.Award",
                                    "mandatoryPropertiesValues": {"points": "10"},
                                }
                            ]
                        },
                    }
                ],
                "filterInfo": [{"filterName": "LoyaltyType", "filterValues": ["loyalty"]}],
                "cappingInfo": [],
            }
        ],
        promotionMetadata=[{"key": "colour", "value": "red", "brandDefined": True}],
    )


def forever(name: str, value: int) -> dict[str, Any]:
    return {
        "name": name,
        "value": value,
        "type": "NON_PERIOD_BASED",
        "periodType": None,
        "periodUnit": None,
    }


def lapse(record: str, kind: str, value: int | None) -> dict[str, Any]:
    return {
        "name": f"{record}_PROMOTION_EXPIRY_BASED_ON",
        "value": value,
        "type": kind,
        "periodType": None,
        "periodUnit": None,
    }


# Creation


def test_the_vendors_sample_is_created_and_shown_as_it_was_sent(shop: Org) -> None:
    sent = of_completion(shop)
    (made,) = answered(post(shop, {"promotion": sent}, kind="simple"))["data"]
    asked = sent["promotionRestrictions"]
    assert made == {
        **sent,
        "id": made["id"],
        "description": "",
        "programName": "Club",
        "startDate": "2026-06-01T00:00:00+05:30",
        "endDate": "2026-06-25T23:59:59+05:30",
        "promotionStatus": "LIVE",
        "isActive": True,
        "limits": {**sent["limits"], "totalPointsPerEventLimit": -1},
        "useProportions": False,
        "promotionRestrictions": {
            **asked,
            "scope": None,
            "expiryReminder": None,
            "isAlwaysApply": False,
            "restrictions": {
                "redemptionRestrictions": [
                    forever("MAX_REDEMPTIONS_PER_EARN_PER_CUSTOMER", 100),
                    *asked["restrictions"]["redemptionRestrictions"],
                ],
                "issualRestrictions": [forever("MAX_NUMBER_OF_ISSUALS_PER_CUSTOMER", 2)],
                "earnRestrictions": [forever("MAX_NUMBER_OF_EARNS_PER_CUSTOMER", 4)],
                "expiryRestrictions": [
                    lapse("ISSUAL", "PROMOTION", None),
                    lapse("EARN", "CUSTOM", 5),
                ],
            },
        },
        "lastUpdateDate": "2026-06-01T12:00:00+05:30",
        "lastUpdatedBy": made["lastUpdatedBy"],
        "rewards": [],
    }
    assert read(shop, made) == made
    plain = data(shop.get(f"/milepost/v1/promotions/{made['id']}"))
    assert plain["criteria"] == {
        "event": "TARGETCOMPLETED",
        "expression": "currentEvent.isTargetAchievedEvent",
        "targetGroupIds": asked["targetGroupIds"],
        "targetRuleIds": asked["targetRuleIds"],
    }
    assert plain["limits"] == {
        "issualsPerCustomer": 2,
        "earnsPerCustomer": 4,
        "earnsPerPromotion": -1,
        "redemptionsPerEarn": 100,
    }
    assert (plain["startDate"], plain["endDate"]) == (
        "2026-05-31T18:30:00.000Z",
        "2026-06-25T18:29:59Z",
    )


def test_a_promotion_without_an_identifier_gets_a_uuid(shop: Org) -> None:
    found = {create(shop)["identifier"], create(shop, identifier=None)["identifier"]}
    assert len(found) == 2
    assert all(str(uuid.UUID(each)) == each for each in found)
    assert create(shop, identifier="my own")["identifier"] == "my own"


def test_a_vendors_payload_pays_nothing_and_one_with_rewards_pays_them(service: Service) -> None:
    org = open_shop(service)
    customer = org.register()
    coffee = {"name": "Coffee", "type": "COUPON", "value": 1, "reference": "C"}
    rule = {"exp": "currentTxn.value >= 50.0", "isActive": True}
    rulesets = [{"rules": [rule]}]
    silent = create(org, rulesetInfos=rulesets)
    paying = create(org, rulesetInfos=rulesets, rewards=[coffee])
    assert (silent["rewards"], paying["rewards"]) == ([], [coffee])
    for number, amount in enumerate((49, 50)):
        sale = {
            "id": f"t{number}",
            "customerId": customer,
            "type": "TRANSACTION",
            "occurredAt": NOW,
            "netAmount": amount,
        }
        data(org.post("/milepost/v1/activities", [sale]))
    granted = data(org.get(f"/milepost/v1/customers/{customer}/rewards"))
    assert [(each["promotionId"], each["name"]) for each in granted] == [(paying["id"], "Coffee")]


def test_a_tree_is_the_condition_where_there_is_no_expression(shop: Org) -> None:
    path = ["currentTxn", "value"]
    tree = {
        "arity": "binary_operation",
        "value": ">=",
        "operands": [
            {
                "arity": "object_dereference",
                "operands": [{"arity": "name", "value": name} for name in path],
            },
            {"arity": "literal", "value": "50", "type": "number"},
        ],
    }
    for rule in (
        {"expJSON": json.dumps(tree)},
        {"exp": " ", "expJSON": json.dumps(tree)},
        {"exp": "txn is large", "expJSON": json.dumps(tree)},
    ):
        made = create(shop, rulesetInfos=[{"rules": [rule]}])
        assert made["rulesetInfos"] == [{"rules": [{"exp": "currentTxn.value >= 50"}]}]


@pytest.mark.parametrize(
    ("sent", "shown"),
    [("DIRECT", "DIRECT_EARN"), ("DIRECT_EARN", "DIRECT_EARN"), (None, "DIRECT_EARN")],
)
def test_q16_a_direct_promotion_has_one_earning_type_however_it_is_written(
    shop: Org, sent: str | None, shown: str
) -> None:
    restrictions = {"loyaltyEarningType": sent}
    made = create(shop, pointsOfferType="LOYALTY", promotionRestrictions=restrictions)
    assert made["promotionRestrictions"]["loyaltyEarningType"] == shown


def test_a_promotion_can_be_made_switched_off(shop: Org) -> None:
    made = create(shop, isActive=False)
    assert (made["isActive"], made["promotionStatus"]) == (False, "INACTIVE")


# What is refused

REFUSED: list[tuple[str, dict[str, Any], int, str]] = [
    ("no start", {"startDate": None}, 4011, ""),
    ("no end", {"endDate": None}, 4012, ""),
    ("a date without offset", {"startDate": "2026-06-01T00:00:00"}, 300004, "startDate"),
    ("an end before the start", {"endDate": "2026-05-01T00:00:00Z"}, 300004, "endDate"),
    ("no source type", {"promotionSourceType": None}, 4079, ""),
    ("an unknown source type", {"promotionSourceType": "UI"}, 4079, "USER_CREATED"),
    ("user created without targets", {"promotionSourceType": "USER_CREATED"}, 4074, ""),
    ("two rulesets", {"rulesetInfos": [{"rules": [{"exp": "true"}]}] * 2}, 4075, ""),
    ("a ruleset without rules", {"rulesetInfos": [{}]}, 4076, "rules"),
    ("a rule without condition", {"rulesetInfos": [{"rules": [{}]}]}, 4076, "exp"),
    (
        "an unknown filter",
        {"rulesetInfos": [{"rules": [{"exp": "true"}], "filterInfo": [{"name": "Moon"}]}]},
        4078,
        "",
    ),
    (
        "an action without name",
        {"rulesetInfos": [{"rules": [{"exp": "true", "caseToActions": {"true": [{}]}}]}]},
        4080,
        "actionName",
    ),
    ("no CEL", {"rulesetInfos": [{"rules": [{"exp": "amount is large"}]}]}, 300004, "criteria"),
    ("another program", {"programId": OTHER}, 300004, "programId"),
    ("an id", {"id": 5}, 300004, "id"),
    ("no name", {"name": None}, 300004, "name"),
    ("a blank name", {"name": " "}, 300004, "name"),
    ("a long name", {"name": "x" * 256}, 300004, "name"),
    ("no event", {"eventName": None}, 300004, "eventName"),
    ("returns", {"eventName": "ReturnBill"}, 300004, "returns"),
    ("no type", {"pointsOfferType": None}, 300004, "pointsOfferType"),
    ("an unknown type", {"pointsOfferType": "LOTTERY"}, 300004, "pointsOfferType"),
    (
        "an unknown earning type",
        {"promotionRestrictions": {"loyaltyEarningType": "GIFT"}},
        300004,
        "loyaltyEarningType",
    ),
    (
        "targets of a purchase",
        {"promotionRestrictions": {"targetGroupIds": [1]}},
        300004,
        "TARGETCOMPLETED only",
    ),
    (
        "an unknown restriction",
        {"promotionRestrictions": {"restrictions": {"earnRestrictions": [{"name": "MAX"}]}}},
        300004,
        "earnRestrictions[0].name",
    ),
    ("a negative limit", {"limits": {"pointsPerCustomer": -2}}, 300004, "redemptionLimits[0]"),
    ("no number", {"limits": {"pointsPerCustomer": "sNaN"}}, 300004, "pointsPerCustomer"),
    ("conditions", {"qualifyingConditions": [{"C1": {}}]}, 300004, "qualifyingConditions"),
    ("a name as number", {"name": 5}, 300004, "name"),
    ("a program as text", {"programId": "469"}, 300004, "programId"),
    ("restrictions as list", {"promotionRestrictions": []}, 300004, "promotionRestrictions"),
    ("vendor fields without end", {"rulesetInfos": [
        {"rules": [{"exp": "true"}], "padding": "x" * 20_000}
    ]}, 300004, "longer"),
    ("an unknown reward", {"rewards": [{"name": "A", "type": "CAR", "value": 1}]}, 300004, "type"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "expected", "reason"),
    [each[1:] for each in REFUSED],
    ids=[each[0] for each in REFUSED],
)
def test_what_is_no_promotion_is_refused_in_the_gateways_envelope_and_nothing_is_written(
    unwritten: Org, fields: dict[str, Any], expected: int, reason: str
) -> None:
    found, message = refused(post(unwritten, {"promotion": promotion(**fields)}))
    assert found == expected
    assert reason in message


def test_a_user_created_promotion_needs_a_ruleset(shop: Org, database_url: str) -> None:
    sent = {**of_completion(shop), "rulesetInfos": None}
    before = contents(database_url)
    assert code(post(shop, {"promotion": sent})) == 4075
    unknown = {"targetGroupIds": [1], "targetRuleIds": [1]}
    assert code(post(shop, {"promotion": {**sent, "promotionRestrictions": unknown}})) == 4075
    sent["rulesetInfos"] = [{"rules": [{"exp": "true"}]}]
    assert code(post(shop, {"promotion": {**sent, "promotionRestrictions": unknown}})) == 300004
    assert contents(database_url) == before


def test_names_and_identifiers_are_taken_once_in_a_program(shop: Org, database_url: str) -> None:
    made = create(shop, identifier="taken")
    before = contents(database_url)
    same_name = promotion(name=made["name"].upper())
    assert code(post(shop, {"promotion": same_name})) == 4003
    assert code(post(shop, {"promotion": promotion(identifier="taken")})) == 4007
    assert contents(database_url) == before
    create(shop, OTHER, name=made["name"], identifier="taken")


@pytest.mark.parametrize("kind", ["RANGE", "KEYWORD", "range", "COMPLEX", "5"])
def test_only_simple_promotions_can_be_created(unwritten: Org, kind: str) -> None:
    found, message = refused(post(unwritten, {"promotion": promotion()}, kind=kind))
    assert (found, "SIMPLE" in message) == (300004, True)


@pytest.mark.parametrize(
    ("program", "expected"),
    [("1", 1101), ("x", 300004), (str(2**63), 300004), ("promotions", 300004)],
)
def test_a_program_in_the_path_must_be_one(unwritten: Org, program: str, expected: int) -> None:
    body = {"promotion": promotion(programId=None)}
    assert code(post(unwritten, body, program)) == expected


@pytest.mark.parametrize(
    "sent", [b"", b"{", b"[]", b"{}", b'{"promotion": null}', b'{"promotion": {"name": "\\u0000"}}']
)
def test_a_malformed_body_is_300004_in_the_gateways_envelope(unwritten: Org, sent: bytes) -> None:
    assert code(post(unwritten, sent)) == 300004


def test_transport_refusals_have_the_envelope_of_v3(service: Service, shop: Org) -> None:
    path = f"{PREFIX}/{PROGRAM}/createPromotion/SIMPLE"
    anybody = service.connect()
    gzip = {"Content-Encoding": "gzip"}
    for response, status, number in (
        (anybody.post(path, json={}), 401, 401),
        (anybody.get(f"{PREFIX}/promotions/list"), 401, 401),
        (shop.post(path, b" " * (2**20 + 1)), 413, 413),
        (shop.client.post(path, content=b"x", headers=gzip), 415, 415),
        (shop.client.put(path), 405, 405),
        (shop.get(f"{PREFIX}/promotions"), 404, 404),
    ):
        assert response.status_code == status
        body = response.json()
        assert (body["data"], body["errors"][0]["code"]) == (None, number)


@pytest.mark.parametrize(
    ("access", "reads", "writes"), [("NONE", 403, 403), ("READ", 200, 403), ("WRITE", 200, 400)]
)
def test_reading_needs_read_and_creating_needs_write_on_customer(
    service: Service, shop: Org, access: str, reads: int, writes: int
) -> None:
    made = service.operator.post(
        "/milepost/v1/credentials",
        json={"orgId": shop.id, "type": "TILL", "access": {"Customer": access}},
    )
    till = data(made)["till"]
    client = service.connect(auth=(till["username"], till["password"]))
    one = create(shop)["id"]
    for path in (
        "promotions/list?limit=1&offset=0",
        f"{PROGRAM}/promotionsV2?limit=1&offset=0&sourceType=UI",
        f"{PROGRAM}/promotions/{one}/get",
    ):
        assert client.get(f"{PREFIX}/{path}").status_code == reads
    path = f"{PREFIX}/{PROGRAM}/createPromotion/SIMPLE"
    assert client.post(path, json={}).status_code == writes


# Reading


def test_a_promotion_made_any_other_way_is_shown_too(shop: Org) -> None:
    plain = {
        "programId": PROGRAM,
        "name": f"Plain {next(_numbers)}",
        "type": "LOYALTY_EARNING",
        "startDate": "2026-07-01T10:00:00+05:30",
        "endDate": "2026-07-31T23:59:59+05:30",
        "limits": {"issualsPerCustomer": -1, "earnsPerPromotion": 500},
        "issualExpiry": {"type": "CUSTOM", "days": 3},
        "redemptionLimits": [{"kpi": "POINTS", "limitOn": "CUSTOMER", "maxLimit": 0.5}],
        "criteria": {"event": "TransactionAdd", "expression": "currentTxn.value > 1.0"},
        "rewards": [{"name": "A", "type": "POINTS", "value": 0.25, "reference": None}],
    }
    made = data(shop.post("/milepost/v1/promotions", plain))
    found = read(shop, {"programId": PROGRAM, "id": made["promotionId"]})
    assert found == {
        "id": made["promotionId"],
        "name": plain["name"],
        "description": "",
        "programId": PROGRAM,
        "programName": "Club",
        "identifier": None,
        "startDate": "2026-07-01T10:00:00+05:30",
        "endDate": "2026-07-31T23:59:59+05:30",
        "promotionStatus": "UPCOMING",
        "isActive": True,
        "eventName": "TransactionAdd",
        "allocatePointsOn": "BILL",
        "pointsOfferType": "LOYALTY_EARNING",
        "promotionType": None,
        "promotionSourceType": "PROMOTION_API",
        "limits": {
            "pointsPerCustomer": 0.5,
            "numberOfTimesPerCustomer": -1,
            "totalPointsInPromotion": -1,
            "totalPointsPerEventLimit": -1,
        },
        "useProportions": False,
        "promotionRestrictions": {
            "restrictions": {
                "redemptionRestrictions": [
                    forever("MAX_REDEMPTIONS_PER_EARN_PER_CUSTOMER", 1),
                    {**forever("MAX_ALLOWED_POINTS_PER_CUSTOMER", 1), "value": 0.5},
                ],
                "issualRestrictions": [forever("MAX_NUMBER_OF_ISSUALS_PER_CUSTOMER", -1)],
                "earnRestrictions": [
                    forever("MAX_NUMBER_OF_EARNS_PER_CUSTOMER", 1),
                    forever("MAX_NUMBER_OF_EARNS_PER_PROMOTION", 500),
                ],
                "expiryRestrictions": [
                    lapse("ISSUAL", "CUSTOM", 3),
                    lapse("EARN", "PROMOTION", None),
                ],
            },
            "scope": None,
            "isStackable": False,
            "isConsideredForRanking": False,
            "loyaltyEarningType": "ISSUE_AND_EARN",
            "expiryReminder": None,
            "isExclusive": False,
            "isAlwaysApply": False,
            "targetGroupIds": [],
            "targetRuleIds": [],
        },
        "rulesetInfos": [
            {
                "contextType": "program",
                "contextID": PROGRAM,
                "rules": [{"exp": "currentTxn.value > 1.0", "isActive": True, "priority": 1}],
            }
        ],
        "promotionMetadata": [],
        "lastUpdateDate": "2026-06-01T12:00:00+05:30",
        "lastUpdatedBy": found["lastUpdatedBy"],
        "rewards": plain["rewards"],
    }


def test_a_plain_edit_shows_over_the_gateway(shop: Org) -> None:
    made = create(shop, rulesetInfos=[{"id": 9, "rules": [{"id": 8, "exp": "true"}]}])
    changes = {
        "limits": {"redemptionsPerEarn": 7},
        "criteria": {"event": "runLogged", "expression": "currentEvent.km > 5.0"},
    }
    data(shop.client.put(f"/milepost/v1/promotions/{made['id']}", json=changes))
    found = read(shop, made)
    (first,) = found["promotionRestrictions"]["restrictions"]["redemptionRestrictions"]
    assert first == forever("MAX_REDEMPTIONS_PER_EARN_PER_CUSTOMER", 7)
    assert found["eventName"] == "runLogged"
    assert found["rulesetInfos"] == [
        {"id": 9, "rules": [{"id": 8, "exp": "currentEvent.km > 5.0"}]}
    ]


@pytest.mark.parametrize(
    ("program", "number", "expected"),
    [
        (PROGRAM, 1, 8874),
        (OTHER, None, 8874),
        (1, None, 1101),
        ("x", None, 300004),
        (PROGRAM, "x", 300004),
        (PROGRAM, str(2**63), 300004),
    ],
)
def test_a_promotion_is_read_in_its_own_program(
    shop: Org, program: Any, number: Any, expected: int
) -> None:
    made = create(shop)
    number = made["id"] if number is None else number
    assert code(shop.get(f"{PREFIX}/{program}/promotions/{number}/get")) == expected


def test_a_promotion_of_another_organisation_is_as_one_that_there_is_not(
    service: Service, shop: Org
) -> None:
    other = open_shop(service)
    assert code(other.get(f"{PREFIX}/{PROGRAM}/promotions/{create(shop)['id']}/get")) == 8874
    assert answered(other.get(f"{PREFIX}/promotions/list?limit=5&offset=0"))["data"] == []


# Lists


@pytest.fixture(scope="module")
def listing(service: Service) -> Org:
    """An organisation with promotions of every status, 1 to 7, in two programs."""
    org = open_shop(service)
    event = {"eventName": "swimLogged", "actions": ["EMFConsumer"]}
    assert org.post("/v2/events", event).status_code == 200
    for name, fields in (
        ("1 live", {}),
        ("2 upcoming", {"startDate": "2026-06-10T00:00:00Z"}),
        ("3 over", {"startDate": "2026-04-01T00:00:00Z", "endDate": "2026-04-30T00:00:00Z"}),
        ("4 off", {"isActive": False}),
        ("5 of an event", {"eventName": "runLogged", "promotionSourceType": "BADGES"}),
    ):
        create(org, name=name, **fields)
    create(org, OTHER, name="6 of another program")
    draft = {
        "metadata": {
            "name": "7 draft",
            "programId": PROGRAM,
            "promotionType": "GENERIC",
            "startDate": NOW,
            "endDate": "2026-06-30T00:00:00Z",
        }
    }
    data(org.post("/v3/promotions", draft))
    return org


def names(response: httpx.Response) -> str:
    """The numbers of the promotions in a list."""
    return " ".join(each["name"].split()[0] for each in answered(response)["data"])


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, "7 6 5 4 3 2 1"),
        ({"program": str(OTHER)}, "6"),
        ({"status": "LIVE"}, "6 5 1"),
        ({"status": "live"}, "6 5 1"),
        ({"status": "UPCOMING"}, "2"),
        ({"status": "COMPLETED"}, "3"),
        ({"status": "INACTIVE"}, "4"),
        ({"activity": "ALL"}, "7 6 5 4 3 2 1"),
        ({"activity": "NewBill"}, "6 4 3 2 1"),
        ({"activity": "TransactionAdd", "status": "LIVE"}, "6 1"),
        ({"activity": "GenericEvent"}, "5"),
        ({"activity": "runLogged"}, "5"),
        ({"activity": "PointsTransfer"}, ""),
        ({"activity": "swimLogged"}, ""),
        ({"promotionName": "OF A"}, "6 5"),
        ({"promotionName": "moon"}, ""),
        ({"startDate": "2026-04-30", "endDate": "2026-05-01"}, "3"),
        ({"startDate": "2026-05-01", "endDate": "2026-05-31"}, ""),
        ({"startDate": "2026-06-01T00:00:00+05:30", "endDate": "2026-06-01T01:00:00Z"}, "6 5 4 1"),
    ],
)
def test_the_list_of_all_programs_can_be_narrowed(
    listing: Org, query: dict[str, str], expected: str
) -> None:
    query = {"limit": "100", "offset": "0", **query}
    assert names(listing.get(f"{PREFIX}/promotions/list", params=query)) == expected


@pytest.mark.parametrize(
    ("limit", "page", "expected", "pages"),
    [(3, 0, "7 6 5", 3), (3, 1, "4 3 2", 3), (3, 2, "1", 3), (3, 3, "", 3), (0, 0, "", 0),
     (100, 0, "7 6 5 4 3 2 1", 1), (7, 10**17, "", 1)],
)  # fmt: skip
def test_the_list_of_all_programs_has_pages(
    listing: Org, limit: int, page: int, expected: str, pages: int
) -> None:
    query = {"limit": str(limit), "offset": str(page)}
    response = listing.get(f"{PREFIX}/promotions/list", params=query)
    assert names(response) == expected
    assert response.json()["pageDetails"] == {
        "pageNumber": page,
        "pageSize": limit,
        "totalEntries": 7,
        "pageCount": pages,
    }


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, "3 2 1"),
        ({"sourceType": "promotion_api"}, "3 2 1"),
        ({"sourceType": "BADGES"}, "5"),
        ({"sourceType": "GOODWILL"}, ""),
        ({"includeInactivePromotions": "true"}, "7 4 3 2 1"),
        ({"includeInactivePromotions": "false"}, "3 2 1"),
        ({"eventName": "NewBill"}, "3 2 1"),
        ({"eventName": "runLogged"}, ""),
        ({"eventName": "runLogged", "sourceType": "BADGES"}, "5"),
        ({"promotionId": "1"}, ""),
        ({"startRuleIdentifier": "anything"}, "3 2 1"),
        ({"limit": "1", "offset": "1"}, "2"),
        ({"limit": "5", "offset": "1"}, "2 1"),
        ({"limit": "0"}, ""),
        ({"offset": "999999999999999999"}, ""),
    ],
)
def test_the_list_of_a_program_is_of_one_source_and_can_be_narrowed(
    listing: Org, query: dict[str, str], expected: str
) -> None:
    query = {"limit": "100", "offset": "0", "sourceType": "PROMOTION_API", **query}
    assert names(listing.get(f"{PREFIX}/{PROGRAM}/promotionsV2", params=query)) == expected


def test_the_list_of_a_program_begins_at_an_index(listing: Org) -> None:
    path = f"{PREFIX}/{PROGRAM}/promotionsV2"
    query = {"limit": "2", "offset": "1", "sourceType": "PROMOTION_API"}
    response = listing.get(path, params=query)
    assert names(response) == "2 1"
    assert response.json()["pageDetails"] == {
        "pageNumber": 0,
        "pageSize": 2,
        "totalEntries": 3,
        "pageCount": 2,
    }
    (first, *_) = response.json()["data"]
    only = {**query, "offset": "0", "promotionId": str(first["id"])}
    assert names(listing.get(path, params=only)) == "2"


LISTS_REFUSED = [
    ({"limit": None}, 4086),
    ({"offset": None}, 4086),
    ({"limit": " "}, 4086),
    ({"limit": "101"}, 4055),
    ({"limit": "-1"}, 4082),
    ({"limit": "ten"}, 4082),
    ({"limit": "1.0"}, 4082),
    ({"limit": "²"}, 4082),
    ({"limit": "9" * 40}, 4082),
    ({"offset": "-1"}, 4083),
    ({"offset": "first"}, 4083),
]
OF_A_PROGRAM_REFUSED = [
    ({"sourceType": None}, 4086),
    ({"sourceType": "MOON"}, 4084),
    ({"promotionId": "x"}, 4085),
    ({"promotionId": "-5"}, 4085),
    ({"eventName": "moonRise"}, 4027),
    ({"includeInactivePromotions": "yes"}, 300004),
]
OF_ALL_REFUSED = [
    ({"status": "PENDING"}, 300004),
    ({"program": "x"}, 300004),
    ({"program": "1"}, 1101),
    ({"activity": "moonRise"}, 4027),
    ({"startDate": "2026-06-01"}, 300004),
    ({"endDate": "2026-06-01"}, 300004),
    ({"startDate": "soon", "endDate": "2026-06-01"}, 300004),
]


@pytest.mark.parametrize(
    ("path", "query", "expected"),
    [
        *((f"{PROGRAM}/promotionsV2", *each) for each in LISTS_REFUSED + OF_A_PROGRAM_REFUSED),
        *(("promotions/list", *each) for each in LISTS_REFUSED + OF_ALL_REFUSED),
    ],
)
def test_a_list_that_cannot_be_is_refused_by_its_own_code(
    listing: Org, path: str, query: dict[str, str | None], expected: int
) -> None:
    asked = {"limit": "10", "offset": "0", "sourceType": "UI", **query}
    params = {name: value for name, value in asked.items() if value is not None}
    assert code(listing.get(f"{PREFIX}/{path}", params=params)) == expected


def test_a_list_of_an_unknown_program_is_1101(listing: Org) -> None:
    query = {"limit": "10", "offset": "0", "sourceType": "UI"}
    assert code(listing.get(f"{PREFIX}/1/promotionsV2", params=query)) == 1101
    assert code(listing.get(f"{PREFIX}/x/promotionsV2", params=query)) == 300004
