"""Programs and promotions, the plain way: contract §7."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest

from tests.api.payloads import code, data, error, milestone
from tests.harness import Org, Service, contents

PROGRAM = 469
_numbers = count(1)


@pytest.fixture(scope="module")
def shop(service: Service) -> Org:
    """An organisation in Kolkata, at noon on 1 June, with programs 469 and 2714."""
    org = service.new_org(timeZone="Asia/Kolkata", now="2026-06-01T06:30:00Z")
    for program_id in (PROGRAM, 2714):
        data(org.post("/milepost/v1/programs", {"programId": program_id, "name": "Club"}))
    return org


@pytest.fixture
def unwritten(shop: Org, database_url: str) -> Iterator[Org]:
    """The organisation; afterwards nothing may have been written."""
    before = contents(database_url)
    yield shop
    assert contents(database_url) == before


def body(**fields: Any) -> dict[str, Any]:
    """The least that makes a promotion, whose name is new; `fields` replace its own."""
    return {
        "programId": PROGRAM,
        "name": f"Promotion {next(_numbers)}",
        "type": "LOYALTY_EARNING",
        "startDate": "2026-06-01T00:00:00+05:30",
        "endDate": "2026-06-30T23:59:59+05:30",
        **fields,
    }


def make(org: Org, **fields: Any) -> dict[str, Any]:
    response = org.post("/milepost/v1/promotions", body(**fields))
    assert response.status_code == 201, response.text
    made: dict[str, Any] = data(response)
    return made


def change(org: Org, promotion: dict[str, Any], **fields: Any) -> dict[str, Any]:
    path = f"/milepost/v1/promotions/{promotion['promotionId']}"
    changed: dict[str, Any] = data(org.client.put(path, json=fields))
    return changed


def read(org: Org, promotion_id: int) -> dict[str, Any]:
    found: dict[str, Any] = data(org.get(f"/milepost/v1/promotions/{promotion_id}"))
    return found


FULL: dict[str, Any] = {
    "programId": PROGRAM,
    "name": "Review and save",
    "promoIdentifier": "review-and-save",
    "type": "LOYALTY",
    "description": "Write a review, save on the next purchase",
    "startDate": "2026-06-02T00:00:00.000Z",
    "endDate": "2026-07-01T23:59:59Z",
    "active": False,
    "limits": {
        "issualsPerCustomer": -1,
        "earnsPerCustomer": 2,
        "earnsPerPromotion": 1000,
        "redemptionsPerEarn": 3,
    },
    "issualExpiry": {"type": "PROMOTION", "days": None},
    "earnExpiry": {"type": "CUSTOM", "days": 5},
    "criteria": {
        "event": "TransactionAdd",
        "expression": "currentTxn.value >= 50",
        "targetGroupIds": [],
        "targetRuleIds": [],
    },
    "rewards": [
        {"name": "Half a point", "type": "POINTS", "value": 0.5, "reference": None},
        {"name": "Coffee", "type": "COUPON", "value": 1, "reference": "COFFEE"},
    ],
    "redemptionLimits": [
        {"kpi": "TIMES", "limitOn": "CUSTOMER", "maxLimit": 3, "periodUnit": "WEEKLY"},
        {"kpi": "POINTS", "limitOn": "PROMOTION", "maxLimit": 0.125, "periodUnit": None},
    ],
    "promotionMetadata": [{"key": "colour", "value": "red"}],
}


# Programs


def test_a_program_keeps_its_id_or_is_given_one(shop: Org) -> None:
    given = data(shop.post("/milepost/v1/programs", {"name": "New"}))
    assert given == {"programId": given["programId"], "name": "New"}
    assert given["programId"] > 0
    kept = shop.post("/milepost/v1/programs", {"programId": 77, "name": "Moved in"})
    assert kept.status_code == 201
    listed = data(shop.get("/milepost/v1/programs"))
    assert {"programId": 77, "name": "Moved in"} in listed
    assert {"programId": given["programId"], "name": "New"} in listed


@pytest.mark.parametrize(
    "sent",
    [
        {},
        {"name": None},
        {"name": " "},
        {"name": "x" * 256},
        {"name": 5},
        {"name": "Club", "programId": PROGRAM},
        {"name": "Club", "programId": 0},
        {"name": "Club", "programId": "470"},
        {"name": "Club", "programId": 2**63},
        [],
    ],
    ids=str,
)
def test_what_is_no_program_is_300004_and_nothing_is_written(unwritten: Org, sent: Any) -> None:
    assert code(unwritten.post("/milepost/v1/programs", sent)) == 300004


def test_two_organisations_may_use_one_id(service: Service) -> None:
    orgs = service.new_org(), service.new_org()
    for org in orgs:
        data(org.post("/milepost/v1/programs", {"programId": PROGRAM, "name": "Club"}))
        assert make(org, promotionId=57099)["promotionId"] == 57099
        assert [each["programId"] for each in data(org.get("/milepost/v1/programs"))] == [PROGRAM]


# What is made


def test_what_is_absent_takes_the_values_of_the_contract(shop: Org) -> None:
    sent = body()
    made = data(shop.post("/milepost/v1/promotions", sent))
    assert made == {
        **sent,
        "promotionId": made["promotionId"],
        "promoIdentifier": None,
        "description": "",
        "startDate": "2026-05-31T18:30:00.000Z",
        "endDate": "2026-06-30T18:29:59Z",
        "active": True,
        "status": "LIVE",
        "limits": {
            "issualsPerCustomer": 1,
            "earnsPerCustomer": 1,
            "earnsPerPromotion": -1,
            "redemptionsPerEarn": 1,
        },
        "issualExpiry": {"type": "PROMOTION", "days": None},
        "earnExpiry": {"type": "PROMOTION", "days": None},
        "criteria": None,
        "rewards": [],
        "redemptionLimits": [],
        "promotionMetadata": [],
    }
    assert read(shop, made["promotionId"]) == made


def test_null_is_absent(shop: Org) -> None:
    sent = {name: None for name in FULL if name not in body()}
    made = make(shop, promotionId=None, **sent)
    assert made["limits"]["earnsPerPromotion"] == -1
    assert (made["active"], made["rewards"], made["criteria"]) == (True, [], None)


def test_all_that_is_sent_is_answered_and_read_again(shop: Org) -> None:
    response = shop.post("/milepost/v1/promotions", FULL)
    assert response.status_code == 201
    made = data(response)
    assert made == {**FULL, "promotionId": made["promotionId"], "status": "INACTIVE"}
    assert read(shop, made["promotionId"]) == made
    assert made in data(shop.get("/milepost/v1/promotions"))


def test_a_promotion_keeps_an_id_that_it_has_elsewhere(shop: Org) -> None:
    assert make(shop, promotionId=57099)["promotionId"] == 57099
    assert code(shop.post("/milepost/v1/promotions", body(promotionId=57099))) == 300004


def test_words_are_taken_in_any_case_where_the_wire_has_them_so(shop: Org) -> None:
    made = make(
        shop,
        rewards=[{"name": "A", "type": "points", "value": 1}],
        redemptionLimits=[
            {"kpi": "times", "limitOn": "customer", "maxLimit": 1, "periodUnit": "daily"}
        ],
        criteria={"event": "NEWBILL", "expression": True},
    )
    assert made["rewards"][0]["type"] == "POINTS"
    limit = made["redemptionLimits"][0]
    assert (limit["kpi"], limit["limitOn"], limit["periodUnit"]) == ("TIMES", "CUSTOMER", "DAILY")
    assert (made["criteria"]["event"], made["criteria"]["expression"]) == ("TransactionAdd", "true")


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("2026-06-30T23:59:59Z", "2026-06-30T23:59:59Z"),
        ("2026-06-30T23:59:59.999Z", "2026-06-30T23:59:59Z"),
        ("2026-07-01T00:00:00.000Z", "2026-07-01T00:00:00.000Z"),
        ("2026-07-01T05:29:59+05:30", "2026-06-30T23:59:59Z"),
        ("2026-06-30T23:59Z", "2026-06-30T23:59:59Z"),
        ("2026-06-30T23:59:59.9999999Z", "2026-06-30T23:59:59Z"),
    ],
)
def test_an_end_is_included_at_its_precision_and_shown_likewise(
    shop: Org, written: str, shown: str
) -> None:
    made = make(shop, endDate=written)
    assert made["endDate"] == shown
    again = change(shop, made, endDate=shown)
    assert again == made


def test_an_end_in_the_same_second_as_the_start_is_a_promotion_of_a_second(
    service: Service,
) -> None:
    org = service.new_org()
    data(org.post("/milepost/v1/programs", {"programId": PROGRAM, "name": "Club"}))
    made = make(org, startDate="2026-06-01T10:00:00Z", endDate="2026-06-01T10:00:00Z")
    found = [read(org, made["promotionId"])["status"]]
    for now in ("2026-06-01T10:00:00Z", "2026-06-01T10:00:00.999Z", "2026-06-01T10:00:01Z"):
        org.move_clock(now)
        found.append(read(org, made["promotionId"])["status"])
    assert found == ["UPCOMING", "LIVE", "LIVE", "COMPLETED"]


def test_criteria_may_name_groups_and_targets(shop: Org) -> None:
    group = shop.define(**milestone())
    criteria = {
        "event": "TargetCompleted",
        "targetGroupIds": [group["id"]],
        "targetRuleIds": [group["targets"][0]["id"]],
    }
    made = make(shop, criteria=criteria)["criteria"]
    assert made == {**criteria, "event": "TARGETCOMPLETED", "expression": "true"}


# What is refused

REFUSED: list[tuple[str, dict[str, Any], int, str]] = [
    ("no program", {"programId": None}, 300004, "required"),
    ("an unknown program", {"programId": 470}, 1101, ""),
    ("a program as text", {"programId": "469"}, 300004, "programId"),
    ("no name", {"name": None}, 300004, "required"),
    ("a blank name", {"name": " "}, 300004, "name"),
    ("a name that is a number", {"name": 5}, 300004, "name"),
    ("no type", {"type": None}, 300004, "required"),
    ("an unknown type", {"type": "GENERAL"}, 300004, "type"),
    ("a type in small letters", {"type": "generic"}, 300004, "type"),
    ("no start", {"startDate": None}, 300004, "required"),
    ("no end", {"endDate": None}, 300004, "required"),
    ("a start without offset", {"startDate": "2026-06-01T00:00:00"}, 300004, "startDate"),
    ("a bare date", {"endDate": "2026-06-30"}, 300004, "endDate"),
    ("30 February", {"startDate": "2026-02-30T00:00:00Z"}, 300004, "startDate"),
    ("the year 9999", {"endDate": "9999-12-31T00:00:00Z"}, 300004, "endDate"),
    ("a date as number", {"startDate": 1780272000}, 300004, "startDate"),
    ("an end before the start", {"endDate": "2026-05-01T00:00:00Z"}, 300004, "endDate"),
    ("an id of 0", {"promotionId": 0}, 300004, "promotionId"),
    ("an id as text", {"promotionId": "57099"}, 300004, "promotionId"),
    ("active as text", {"active": "true"}, 300004, "active"),
    ("a blank identifier", {"promoIdentifier": ""}, 300004, "promoIdentifier"),
    ("a long identifier", {"promoIdentifier": "x" * 256}, 300004, "promoIdentifier"),
    ("a long description", {"description": "x" * 1001}, 300004, "description"),
    ("a limit of 0", {"limits": {"earnsPerCustomer": 0}}, 300004, "earnsPerCustomer"),
    ("a limit of -2", {"limits": {"issualsPerCustomer": -2}}, 300004, "issualsPerCustomer"),
    ("half a limit", {"limits": {"redemptionsPerEarn": 1.5}}, 300004, "redemptionsPerEarn"),
    ("a limit as text", {"limits": {"earnsPerPromotion": "5"}}, 300004, "earnsPerPromotion"),
    ("limits as list", {"limits": []}, 300004, "limits"),
    ("an expiry without type", {"earnExpiry": {"days": 5}}, 300004, "type"),
    ("an unknown expiry", {"earnExpiry": {"type": "NEVER"}}, 300004, "earnExpiry"),
    ("an expiry without days", {"issualExpiry": {"type": "CUSTOM"}}, 300004, "issualExpiry.days"),
    ("no day", {"issualExpiry": {"type": "CUSTOM", "days": 0}}, 300004, "issualExpiry.days"),
    ("criteria without event", {"criteria": {"expression": "true"}}, 300004, "event"),
    ("a blank event", {"criteria": {"event": " "}}, 300004, "criteria.event"),
    ("returns", {"criteria": {"event": "ReturnBill"}}, 300004, "returns"),
    (
        "no CEL",
        {"criteria": {"event": "TransactionAdd", "expression": "currentTxn.value >"}},
        300004,
        "criteria: the expression",
    ),
    (
        "a number as condition",
        {"criteria": {"event": "TransactionAdd", "expression": "1 + 1"}},
        300004,
        "criteria",
    ),
    (
        "a line item",
        {"criteria": {"event": "TransactionAdd", "expression": "currentLineItem.sku == 'A'"}},
        300004,
        "currentLineItem",
    ),
    (
        "the bill of an event",
        {"criteria": {"event": "runLogged", "expression": "currentTxn.value > 1.0"}},
        300004,
        "currentTxn",
    ),
    (
        "an attribute that no completion has",
        {"criteria": {"event": "TARGETCOMPLETED", "expression": "currentEvent.km > 5"}},
        300004,
        "criteria",
    ),
    (
        "an unknown group",
        {"criteria": {"event": "TARGETCOMPLETED", "targetGroupIds": [9]}},
        300004,
        "targetGroupIds",
    ),
    (
        "an unknown target",
        {"criteria": {"event": "TARGETCOMPLETED", "targetRuleIds": [9]}},
        300004,
        "targetRuleIds",
    ),
    (
        "a group of a purchase",
        {"criteria": {"event": "TransactionAdd", "targetGroupIds": [9]}},
        300004,
        "TARGETCOMPLETED only",
    ),
    (
        "an unknown reward",
        {"rewards": [{"name": "A", "type": "CAR", "value": 1}]},
        300004,
        "rewards[0].type",
    ),
    ("a reward without value", {"rewards": [{"name": "A", "type": "POINTS"}]}, 300004, "value"),
    (
        "a limit on nothing",
        {"redemptionLimits": [{"kpi": "TIMES", "limitOn": "SHOP", "maxLimit": 1}]},
        300004,
        "redemptionLimits[0].limitOn",
    ),
    (
        "a limit without number",
        {"redemptionLimits": [{"kpi": "TIMES", "limitOn": "CUSTOMER"}]},
        300004,
        "maxLimit",
    ),
    ("a custom field as text", {"promotionMetadata": ["colour"]}, 300004, "promotionMetadata"),
    (
        "too many custom fields",
        {"promotionMetadata": [{"key": "a"}] * 51},
        300004,
        "promotionMetadata",
    ),
]


@pytest.mark.parametrize(
    ("fields", "expected", "reason"),
    [each[1:] for each in REFUSED],
    ids=[each[0] for each in REFUSED],
)
def test_what_is_no_promotion_is_refused_and_nothing_is_written(
    unwritten: Org, fields: dict[str, Any], expected: int, reason: str
) -> None:
    found, message = error(unwritten.post("/milepost/v1/promotions", body(**fields)))
    assert found == expected
    assert reason in message


def test_a_name_is_taken_in_any_case_and_an_identifier_to_the_letter(shop: Org) -> None:
    first = make(shop, promoIdentifier="mine")
    path = "/milepost/v1/promotions"
    assert code(shop.post(path, body(name=first["name"].upper()))) == 4003
    assert code(shop.post(path, body(promoIdentifier="mine"))) == 4007
    assert make(shop, promoIdentifier="Mine")["promoIdentifier"] == "Mine"
    other = make(shop, programId=2714, name=first["name"], promoIdentifier="mine")
    assert (other["name"], other["promoIdentifier"]) == (first["name"], "mine")


@pytest.mark.parametrize("sent", [b"", b"{", b"[]", b"null", b'"a"', b'{"name": "\\u0000"}'])
def test_a_body_that_is_no_object_is_300004(unwritten: Org, sent: bytes) -> None:
    assert code(unwritten.post("/milepost/v1/promotions", sent)) == 300004


# What is changed


def test_what_is_not_sent_stays(service: Service) -> None:
    org = service.new_org()
    data(org.post("/milepost/v1/programs", {"programId": PROGRAM, "name": "Club"}))
    made = data(org.post("/milepost/v1/promotions", FULL))
    assert change(org, made) == made
    assert change(org, made, active=True, limits={"earnsPerCustomer": 9}) == {
        **made,
        "active": True,
        "status": "UPCOMING",
        "limits": {**made["limits"], "earnsPerCustomer": 9},
    }
    changed = {
        "name": "Other",
        "promoIdentifier": "other",
        "description": "Else",
        "endDate": "2026-08-01T00:00:00Z",
        "issualExpiry": {"type": "CUSTOM", "days": 1},
        "earnExpiry": {"type": "PROMOTION", "days": None},
        "criteria": {
            "event": "runLogged",
            "expression": "currentEvent.km > 5.0",
            "targetGroupIds": [],
            "targetRuleIds": [],
        },
        "rewards": [],
        "redemptionLimits": [],
        "promotionMetadata": [],
        "startDate": "2026-06-03T00:00:00.000Z",
    }
    after = change(org, made, **changed)
    assert {name: after[name] for name in changed} == changed
    assert read(org, made["promotionId"]) == after


def test_id_program_and_type_never_change_and_the_start_only_before_it_has_come(shop: Org) -> None:
    made = make(shop)
    path = f"/milepost/v1/promotions/{made['promotionId']}"
    for fields in (
        {"promotionId": made["promotionId"] + 1},
        {"programId": 2714},
        {"type": "LOYALTY"},
        {"startDate": "2026-06-02T00:00:00Z"},
    ):
        assert code(shop.client.put(path, json=fields)) == 300004
    assert change(shop, made, **{name: made[name] for name in made if name != "status"}) == made
    upcoming = make(shop, startDate="2026-06-02T00:00:00Z")
    moved = change(shop, upcoming, startDate="2026-05-02T00:00:00Z")
    assert (moved["startDate"], moved["status"]) == ("2026-05-02T00:00:00.000Z", "LIVE")


def test_a_refused_change_writes_nothing(shop: Org, database_url: str) -> None:
    taken, mine = make(shop, promoIdentifier="taken"), make(shop, promoIdentifier="own")
    path = f"/milepost/v1/promotions/{mine['promotionId']}"
    before = contents(database_url)
    for fields, expected in (
        ({"name": taken["name"]}, 4003),
        ({"promoIdentifier": "taken"}, 4007),
        ({"limits": {"earnsPerCustomer": 0}}, 300004),
        ({"endDate": "2026-05-01T00:00:00Z"}, 300004),
        ({"criteria": {"event": "TransactionAdd", "expression": "("}}, 300004),
        ({"rewards": {}}, 300004),
    ):
        assert code(shop.client.put(path, json=fields)) == expected
    assert change(shop, mine, name=mine["name"]) == mine
    assert contents(database_url) == before
    assert change(shop, mine, name=mine["name"].upper())["name"] == mine["name"].upper()


@pytest.mark.parametrize(
    ("promotion_id", "expected"),
    [("1", 8874), ("-1", 8874), (str(2**63 - 1), 8874), ("abc", 300004), (str(2**63), 300004)],
)
def test_an_id_that_names_no_promotion_is_8874_and_one_that_is_none_300004(
    unwritten: Org, promotion_id: str, expected: int
) -> None:
    path = f"/milepost/v1/promotions/{promotion_id}"
    assert code(unwritten.get(path)) == expected
    assert code(unwritten.client.put(path, json={})) == expected


def test_a_promotion_of_another_organisation_is_as_one_that_there_is_not(
    service: Service, shop: Org
) -> None:
    promotion_id = make(shop)["promotionId"]
    other = service.new_org()
    assert code(other.get(f"/milepost/v1/promotions/{promotion_id}")) == 8874
    assert code(other.client.put(f"/milepost/v1/promotions/{promotion_id}", json={})) == 8874
    assert data(other.get("/milepost/v1/promotions")) == []


# Lists


def test_a_list_has_the_newest_id_first_and_can_be_that_of_a_program(service: Service) -> None:
    org = service.new_org()
    for program_id in (1, 2):
        data(org.post("/milepost/v1/programs", {"programId": program_id, "name": "Club"}))
    for promotion_id, program_id in ((10, 1), (30, 2), (20, 1)):
        make(org, promotionId=promotion_id, programId=program_id)

    def listed(**query: str) -> list[int]:
        found = data(org.get("/milepost/v1/promotions", params=query))
        return [each["promotionId"] for each in found]

    assert listed() == [30, 20, 10]
    assert [listed(programId=each) for each in ("1", "2", "3", "")] == [
        [20, 10],
        [30],
        [],
        [30, 20, 10],
    ]
    assert code(org.get("/milepost/v1/promotions", params={"programId": "x"})) == 300004


# Access


@pytest.mark.parametrize(
    ("access", "reads", "writes"), [("NONE", 403, 403), ("READ", 200, 403), ("WRITE", 200, 400)]
)
def test_reading_needs_read_and_writing_needs_write_on_customer(
    service: Service, shop: Org, access: str, reads: int, writes: int
) -> None:
    made = service.operator.post(
        "/milepost/v1/credentials",
        json={"orgId": shop.id, "type": "TILL", "access": {"Customer": access}},
    )
    till = data(made)["till"]
    client = service.connect(auth=(till["username"], till["password"]))
    for path in ("/milepost/v1/programs", "/milepost/v1/promotions"):
        assert client.get(path).status_code == reads
        assert client.post(path, json={}).status_code == writes
    assert client.put("/milepost/v1/promotions/1", json={}).status_code == writes
    assert service.connect().get("/milepost/v1/promotions").status_code == 401
