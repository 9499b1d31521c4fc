"""Unified promotions, and their way through approval: domain: promotions §1.3 (v3 states), §2.3, §3.8."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import httpx
import pytest

from tests.api.payloads import code, data, error, milestone
from tests.harness import Org, Service, contents

PATH = "/v3/promotions"
PROGRAM, OTHER = 469, 2714
_numbers = count(1)


@pytest.fixture(scope="module")
def shop(service: Service) -> Org:
    """An organisation in Kolkata, at noon on 1 June, with two programs."""
    return open_shop(service)


def open_shop(service: Service) -> Org:
    org = service.new_org(timeZone="Asia/Kolkata", now="2026-06-01T06:30:00Z")
    for program_id in (PROGRAM, OTHER):
        data(org.post("/milepost/v1/programs", {"programId": program_id, "name": "Club"}))
    return org


@pytest.fixture
def unwritten(shop: Org, database_url: str) -> Iterator[Org]:
    """The organisation; afterwards nothing may have been written."""
    before = contents(database_url)
    yield shop
    assert contents(database_url) == before


def body(activity: Any = None, metadata: Any = None, **fields: Any) -> dict[str, Any]:
    """The least that makes a promotion, whose name is new, for purchases; `fields` are added."""
    return {
        "metadata": {
            "name": f"Promotion {next(_numbers)}",
            "programId": PROGRAM,
            "startDate": "2026-06-01T00:00:00+05:30",
            "endDate": "2026-06-30T23:59:59+05:30",
            "promotionType": "GENERIC",
            **(metadata or {}),
        },
        "activities": [{"event": "TransactionAdd", **(activity or {})}],
        **fields,
    }


def draft(org: Org, sent: dict[str, Any] | None = None, **metadata: Any) -> dict[str, Any]:
    """A new draft."""
    response = org.post(PATH, sent or body(metadata=metadata))
    assert response.status_code == 201, response.text
    made: dict[str, Any] = data(response)
    assert made["metadata"]["status"] == "DRAFT"
    return made


def put(org: Org, made: dict[str, Any], sent: Any) -> httpx.Response:
    return org.client.put(f"{PATH}/{made['id']}", json=sent)


def replaced(org: Org, made: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    """The promotion replaced by what it says itself, but for some of its metadata."""
    kept = {name: made[name] for name in ("activities", "limits", "rewards")}
    found: dict[str, Any] = data(
        put(org, made, {**kept, "metadata": {**made["metadata"], **metadata}})
    )
    return found


def move(org: Org, made: dict[str, Any], status: str, **fields: Any) -> httpx.Response:
    return org.client.put(f"{PATH}/{made['id']}/status", json={"status": status, **fields})


def review(org: Org, made: dict[str, Any], decision: str, **fields: Any) -> httpx.Response:
    return org.post(f"{PATH}/{made['id']}/review", {"approvalStatus": decision, **fields})


def publish(org: Org, made: dict[str, Any]) -> dict[str, Any]:
    data(move(org, made, "PENDING_APPROVAL"))
    found: dict[str, Any] = data(review(org, made, "APPROVE"))
    assert found["metadata"]["status"] in ("ACTIVE", "EXPIRED")
    return found


def published(org: Org, **metadata: Any) -> dict[str, Any]:
    return publish(org, draft(org, **metadata))


def read(org: Org, made: dict[str, Any], **query: str) -> dict[str, Any]:
    found: dict[str, Any] = data(org.get(f"{PATH}/{made['id']}", params=query))
    return found


def statuses(made: dict[str, Any]) -> tuple[str, str | None]:
    """That of the promotion and that of its draft."""
    waiting = made["draftDetails"]
    return made["metadata"]["status"], waiting["metadata"]["status"] if waiting else None


# What is made

FULL: dict[str, Any] = {
    "metadata": {
        "name": "Daily perks",
        "description": "Spend 50, get points",
        "programId": PROGRAM,
        "startDate": "2026-06-01T00:00:00+05:30",
        "endDate": "2026-06-30T23:59:59+05:30",
        "promotionType": "LOYALTY_EARNING",
        "timezoneName": "Europe/Paris",
        "promoIdentifier": "daily-perks",
        "promotionMetadata": [{"key": "colour", "value": "red", "brandDefined": True}],
    },
    "customerEnrolment": {"enrolmentMethod": "TRANSACTION", "other": [1, 2.5, None]},
    "workflowMetadata": {"optin": {"optInStartDate": "2026-06-01T00:00:00Z"}},
    "liabilityOwnerSplitInfo": [{"owner": "A", "percent": 50}],
    "limits": {
        "issualsPerCustomer": 2,
        "earnsPerCustomer": 3,
        "earnsPerPromotion": 400,
        "redemptionsPerEarn": -1,
    },
    "issualExpiry": {"type": "CUSTOM", "days": 5},
    "earnExpiry": {"type": "PROMOTION", "days": None},
    "redemptionLimits": [
        {"kpi": "TIMES", "limitOn": "CUSTOMER", "maxLimit": 1, "periodUnit": "DAILY"}
    ],
    "activities": [
        {
            "id": "activity_1",
            "name": "Spend",
            "type": "SINGLE",
            "event": "TransactionAdd",
            "expression": "currentTxn.value >= 50",
            "targetGroupIds": [],
            "targetRuleIds": [],
            "milestones": [],
        }
    ],
    "rewards": [{"name": "Points", "type": "POINTS", "value": 100, "reference": None}],
}


def test_a_draft_is_shown_as_it_was_sent(shop: Org) -> None:
    response = shop.post(PATH, FULL)
    assert response.status_code == 201
    made = data(response)
    number = made["metadata"]["promotionId"]
    assert made == {
        **FULL,
        "id": f"{number:024x}",
        "metadata": {
            **FULL["metadata"],
            "orgId": shop.id,
            "startDate": "2026-05-31T18:30:00.000Z",
            "endDate": "2026-06-30T18:29:59Z",
            "status": "DRAFT",
            "promotionId": number,
            "createdOn": "2026-06-01T06:30:00.000Z",
            "lastModifiedOn": "2026-06-01T06:30:00.000Z",
            "lastModifiedBy": made["metadata"]["lastModifiedBy"],
        },
        "comment": None,
        "draftDetails": None,
    }
    assert read(shop, made, includeDraftDetails="true") == made


def test_what_is_absent_takes_the_defaults_of_the_plain_way(shop: Org) -> None:
    made = draft(shop, {"metadata": body()["metadata"]})
    found = {name: made[name] for name in FULL if name != "metadata"}
    assert found == {
        "customerEnrolment": None,
        "workflowMetadata": None,
        "liabilityOwnerSplitInfo": [],
        "limits": {
            "issualsPerCustomer": 1,
            "earnsPerCustomer": 1,
            "earnsPerPromotion": -1,
            "redemptionsPerEarn": 1,
        },
        "issualExpiry": {"type": "PROMOTION", "days": None},
        "earnExpiry": {"type": "PROMOTION", "days": None},
        "redemptionLimits": [],
        "activities": [],
        "rewards": [],
    }
    metadata = made["metadata"]
    assert (metadata["timezoneName"], metadata["promoIdentifier"]) == ("Asia/Kolkata", None)


def test_status_and_organisation_in_a_body_are_ignored_and_an_id_of_0_is_none(shop: Org) -> None:
    made = draft(shop, status="ACTIVE", orgId=7, promotionId=0)
    assert (made["metadata"]["status"], made["metadata"]["orgId"]) == ("DRAFT", shop.id)
    assert made["metadata"]["promotionId"] > 0
    kept = draft(shop, promotionId=90_001)
    assert (kept["id"], kept["metadata"]["promotionId"]) == (f"{90_001:024x}", 90_001)


def test_an_activity_pays_for_targets(shop: Org) -> None:
    group = shop.define(**milestone())
    activity = {
        "event": "TargetCompleted",
        "targetGroupIds": [group["id"]],
        "targetRuleIds": [group["targets"][0]["id"]],
    }
    (shown,) = draft(shop, body(activity))["activities"]
    assert shown["event"] == "TARGETCOMPLETED"
    assert shown["targetGroupIds"] == activity["targetGroupIds"]
    assert shown["targetRuleIds"] == activity["targetRuleIds"]
    assert (shown["expression"], shown["type"], shown["name"]) == ("true", "SINGLE", "Activity 1")


REFUSED: list[tuple[str, dict[str, Any], int, str]] = [
    ("no metadata", {"metadata": None}, 300004, "metadata"),
    ("no name", body(metadata={"name": None}), 300004, "name"),
    ("a blank name", body(metadata={"name": " "}), 300004, "name"),
    ("no program", body(metadata={"programId": None}), 300004, "programId"),
    ("an unknown program", body(metadata={"programId": 1}), 1101, ""),
    ("a program as text", body(metadata={"programId": "469"}), 300004, "programId"),
    ("no type", body(metadata={"promotionType": None}), 300004, "type"),
    ("an unknown type", body(metadata={"promotionType": "BROADCAST"}), 300004, "type"),
    ("no start", body(metadata={"startDate": None}), 300004, "startDate"),
    ("no end", body(metadata={"endDate": None}), 300004, "endDate"),
    ("a date without offset", body(metadata={"endDate": "2026-06-30"}), 300004, "endDate"),
    ("a zone that is none", body(metadata={"timezoneName": "Mars/Base"}), 300004, "timezoneName"),
    ("two activities", {**body(), "activities": [{"event": "a"}] * 2}, 300004, "activities"),
    ("a group of activities", body({"type": "GROUP"}), 300004, "SINGLE"),
    ("an activity without event", {**body(), "activities": [{}]}, 300004, "event"),
    ("a blank event", body({"event": " "}), 300004, "event"),
    ("a milestone", body({"milestones": [{"name": "M"}]}), 300004, "POST /v3/targetGroups"),
    ("no CEL", body({"expression": "currentTxn.value >"}), 300004, "expression"),
    (
        "an unknown group",
        body({"event": "TARGETCOMPLETED", "targetGroupIds": [9]}),
        300004,
        "group",
    ),
    ("a limit of 0", body(limits={"earnsPerCustomer": 0}), 300004, "limits.earnsPerCustomer"),
    ("an unknown reward", body(rewards=[{"name": "A", "type": "CAR", "value": 1}]), 300004, "type"),
    ("an enrolment as text", body(customerEnrolment="TRANSACTION"), 300004, "customerEnrolment"),
    ("vendor fields without end", body(customerEnrolment={"a": "x" * 20_000}), 300004, "longer"),
]


@pytest.mark.parametrize(
    ("sent", "expected", "reason"),
    [each[1:] for each in REFUSED],
    ids=[each[0] for each in REFUSED],
)
def test_what_is_no_promotion_is_refused_and_nothing_is_written(
    unwritten: Org, sent: dict[str, Any], expected: int, reason: str
) -> None:
    found, message = error(unwritten.post(PATH, sent))
    assert found == expected
    assert reason in message


def test_names_and_identifiers_are_taken_by_drafts_too(shop: Org, database_url: str) -> None:
    made = draft(shop, promoIdentifier="taken")
    before = contents(database_url)
    same = made["metadata"]["name"].upper()
    assert code(shop.post(PATH, body(metadata={"name": same}))) == 4003
    assert code(shop.post(PATH, body(metadata={"promoIdentifier": "taken"}))) == 4007
    assert contents(database_url) == before


# Approval


def test_a_promotion_pays_only_once_it_is_approved(service: Service) -> None:
    org = open_shop(service)
    customer = org.register()
    made = draft(org, {**FULL, "metadata": {**FULL["metadata"], "promotionType": "GENERIC"}})

    def points(number: int) -> int:
        sale = {
            "id": f"t{number}",
            "customerId": customer,
            "type": "TRANSACTION",
            "occurredAt": f"2026-06-0{number}T06:30:00Z",
            "netAmount": 60,
        }
        org.move_clock(f"2026-06-0{number}T06:30:00Z")
        data(org.post("/milepost/v1/activities", [sale]))
        return len(data(org.get(f"/milepost/v1/customers/{customer}/rewards")))

    found = [points(1)]
    steps: tuple[tuple[Callable[..., httpx.Response], str], ...] = (
        (move, "PENDING_APPROVAL"),
        (review, "APPROVE"),
        (move, "PAUSED"),
        (move, "ACTIVE"),
        (move, "STOPPED"),
    )
    for number, (step, word) in enumerate(steps, 2):
        data(step(org, made, word))
        found.append(points(number))
    assert found == [0, 0, 1, 1, 2, 2]


def test_approval_goes_step_by_step(shop: Org) -> None:
    made = draft(shop)
    assert code(review(shop, made, "APPROVE")) == 300004
    for status in ("ACTIVE", "PAUSED", "STOPPED"):
        assert code(move(shop, made, status)) == 300004
    assert statuses(data(move(shop, made, "PENDING_APPROVAL"))) == ("PENDING_APPROVAL", None)
    assert code(move(shop, made, "PENDING_APPROVAL")) == 300004
    assert statuses(data(review(shop, made, "REJECT"))) == ("DRAFT", None)
    data(move(shop, made, "PENDING_APPROVAL"))
    assert statuses(data(review(shop, made, "APPROVE"))) == ("ACTIVE", None)
    assert code(review(shop, made, "APPROVE")) == 300004
    assert statuses(data(move(shop, made, "PAUSED"))) == ("PAUSED", None)
    assert statuses(data(move(shop, made, "ACTIVE"))) == ("ACTIVE", None)
    assert statuses(data(move(shop, made, "STOPPED"))) == ("STOPPED", None)
    for status in ("PENDING_APPROVAL", "ACTIVE", "PAUSED", "STOPPED"):
        assert code(move(shop, made, status)) == 300004
    assert code(put(shop, made, body())) == 300004


@pytest.mark.parametrize(
    ("path", "sent"),
    [
        ("review", {}),
        ("review", {"approvalStatus": "approve"}),
        ("review", {"approvalStatus": "MAYBE"}),
        ("review", {"approvalStatus": None}),
        ("review", {"approvalStatus": "APPROVE", "comment": "x" * 151}),
        ("review", {"approvalStatus": "APPROVE", "comment": 5}),
        ("review", []),
        ("status", {}),
        ("status", {"status": "DRAFT"}),
        ("status", {"status": "LIVE"}),
        ("status", {"status": 5}),
        ("status", {"status": "PENDING_APPROVAL", "comment": "x" * 151}),
    ],
)
def test_a_step_that_is_none_is_300004_and_changes_nothing(
    shop: Org, database_url: str, path: str, sent: Any
) -> None:
    made = draft(shop)
    if path == "review":
        data(move(shop, made, "PENDING_APPROVAL"))
    before = contents(database_url)
    method = "POST" if path == "review" else "PUT"
    assert code(shop.client.request(method, f"{PATH}/{made['id']}/{path}", json=sent)) == 300004
    assert contents(database_url) == before


def test_the_last_comment_is_shown(shop: Org) -> None:
    made = draft(shop)
    assert data(move(shop, made, "PENDING_APPROVAL", comment="Ready"))["comment"] == "Ready"
    assert data(review(shop, made, "REJECT", comment="x" * 150))["comment"] == "x" * 150
    assert read(shop, made)["comment"] == "x" * 150


def test_a_promotion_ends_as_expired_and_one_that_is_switched_off_is_inactive(
    service: Service,
) -> None:
    org = open_shop(service)
    live, paused = published(org), published(org)
    off, waiting = published(org), draft(org)
    data(move(org, paused, "PAUSED"))
    plain = f"/milepost/v1/promotions/{off['metadata']['promotionId']}"
    data(org.client.put(plain, json={"active": False}))

    def found() -> list[str]:
        return [read(org, each)["metadata"]["status"] for each in (live, paused, off, waiting)]

    assert found() == ["ACTIVE", "PAUSED", "INACTIVE", "DRAFT"]
    org.move_clock("2026-06-30T18:30:00Z")
    assert found() == ["EXPIRED", "EXPIRED", "EXPIRED", "DRAFT"]


# Replacement


def test_a_draft_is_replaced_whole(shop: Org) -> None:
    sent = {**FULL, "metadata": {**FULL["metadata"], "name": "Whole", "promoIdentifier": "whole"}}
    made = draft(shop, sent)
    name = f"Other {next(_numbers)}"
    metadata = {
        "name": name,
        "startDate": "2026-06-05T00:00:00.000Z",
        "endDate": "2026-06-20T00:00:00.000Z",
    }
    found = data(put(shop, made, {"metadata": metadata, "activities": [{"event": "NewBill"}]}))
    bare = draft(shop, body())
    assert found == {
        **bare,
        "id": made["id"],
        "metadata": {
            **bare["metadata"],
            **metadata,
            "promotionType": "LOYALTY_EARNING",
            "promoIdentifier": "whole",
            "promotionId": made["metadata"]["promotionId"],
        },
        "activities": [{**bare["activities"][0], "id": found["activities"][0]["id"]}],
    }
    assert read(shop, made, includeDraftDetails="true") == found


def test_what_is_read_can_be_sent_back(shop: Org) -> None:
    metadata = {**FULL["metadata"], "name": "Again", "promoIdentifier": "again"}
    made = draft(shop, {**FULL, "metadata": metadata})
    assert data(put(shop, made, made)) == made


def test_an_edit_of_what_waits_for_approval_makes_it_a_draft_again(shop: Org) -> None:
    made = draft(shop)
    data(move(shop, made, "PENDING_APPROVAL"))
    assert statuses(replaced(shop, made, description="New")) == ("DRAFT", None)


def test_a_published_promotion_goes_on_until_its_draft_is_approved(shop: Org) -> None:
    live = published(shop)
    old = live["metadata"]["name"]
    waiting = replaced(shop, live, name="Better")
    assert statuses(waiting) == ("ACTIVE", "DRAFT")
    assert waiting["metadata"]["name"] == old
    assert waiting["draftDetails"]["metadata"]["name"] == "Better"
    assert waiting["draftDetails"]["id"] == live["id"]
    submitted = data(move(shop, live, "PENDING_APPROVAL", comment="Please"))
    assert statuses(submitted) == ("ACTIVE", "PENDING_APPROVAL")
    assert (submitted["comment"], submitted["draftDetails"]["comment"]) == (None, "Please")
    assert statuses(data(review(shop, live, "REJECT"))) == ("ACTIVE", "DRAFT")
    data(move(shop, live, "PENDING_APPROVAL"))
    approved = data(review(shop, live, "APPROVE"))
    assert statuses(approved) == ("ACTIVE", None)
    assert approved["metadata"]["name"] == "Better"
    assert read(shop, live, includeDraftDetails="true") == approved


def test_the_draft_of_a_published_promotion_can_be_discarded(shop: Org) -> None:
    live = published(shop)
    waiting = replaced(shop, live, description="Never")
    assert statuses(waiting) == ("ACTIVE", "DRAFT")
    response = shop.client.delete(f"{PATH}/{live['id']}")
    assert response.status_code == 200
    assert statuses(data(response)) == ("ACTIVE", None)
    assert code(shop.client.delete(f"{PATH}/{live['id']}")) == 300004
    assert code(shop.client.delete(f"{PATH}/{draft(shop)['id']}")) == 300004


def test_stopping_takes_the_draft_away(shop: Org) -> None:
    live = published(shop)
    replaced(shop, live, description="Never")
    assert statuses(data(move(shop, live, "STOPPED"))) == ("STOPPED", None)


def test_a_refused_replacement_writes_nothing(shop: Org, database_url: str) -> None:
    live, other = published(shop), draft(shop, promoIdentifier="other's")
    before = contents(database_url)
    for changes, expected in (
        ({"programId": OTHER}, 300004),
        ({"promotionType": "LOYALTY"}, 300004),
        ({"promotionId": other["metadata"]["promotionId"]}, 300004),
        ({"startDate": "2026-06-02T00:00:00Z"}, 300004),
        ({"endDate": "2026-05-02T00:00:00Z"}, 300004),
        ({"name": None}, 300004),
        ({"name": other["metadata"]["name"]}, 4003),
        ({"promoIdentifier": "other's"}, 4007),
    ):
        sent = {**live, "metadata": {**live["metadata"], **changes}}
        assert code(put(shop, live, sent)) == expected
    for activities in (
        [],
        [{"event": "runLogged"}],
        [{"event": "TransactionAdd", "expression": "("}],
    ):
        assert code(put(shop, live, {**live, "activities": activities})) == 300004
    assert contents(database_url) == before


def test_a_draft_that_lost_its_name_meanwhile_cannot_be_approved(shop: Org) -> None:
    live = published(shop)
    wanted = f"Wanted {next(_numbers)}"
    replaced(shop, live, name=wanted)
    data(move(shop, live, "PENDING_APPROVAL"))
    draft(shop, name=wanted.lower())
    assert code(review(shop, live, "APPROVE")) == 4003
    assert statuses(read(shop, live, includeDraftDetails="true")) == ("ACTIVE", "PENDING_APPROVAL")
    data(review(shop, live, "REJECT"))


def test_what_the_gateway_made_keeps_its_fields_through_a_replacement(shop: Org) -> None:
    sent = {
        "name": f"Gateway {next(_numbers)}",
        "startDate": "2026-06-01T00:00:00Z",
        "endDate": "2026-06-30T00:00:00Z",
        "eventName": "TransactionAdd",
        "pointsOfferType": "GENERIC",
        "promotionSourceType": "CAMPAIGN",
        "allocatePointsOn": "LINEITEM",
    }
    prefix = "/api_gateway/loyalty/v1/programs"
    path = f"{prefix}/{PROGRAM}/createPromotion/SIMPLE"
    (made,) = shop.post(path, {"promotion": sent}).json()["data"]
    live = read(shop, {"id": made["id"]})
    replaced(shop, live, name=f"Gateway {next(_numbers)}")
    approved = publish(shop, live)
    (found,) = shop.get(f"{prefix}/{PROGRAM}/promotions/{made['id']}/get").json()["data"]
    assert found == {
        **made,
        "name": approved["metadata"]["name"],
        "promotionRestrictions": found["promotionRestrictions"],
        "lastUpdateDate": found["lastUpdateDate"],
    }


# Reading


def test_a_promotion_is_found_by_either_id(shop: Org) -> None:
    made = draft(shop)
    number = made["metadata"]["promotionId"]
    without = {name: value for name, value in made.items() if name != "draftDetails"}
    for text in (made["id"], made["id"].upper(), str(number)):
        assert data(shop.get(f"{PATH}/{text}")) == without
        assert data(shop.client.put(f"{PATH}/{text}", json=made)) == made


def test_details_are_there_where_they_are_asked_for(shop: Org) -> None:
    live = published(shop)
    replaced(shop, live, description="New")
    plain = read(shop, live)
    assert not {"draftDetails", "parentDetails"} & plain.keys()
    both = read(shop, live, includeDraftDetails="TRUE", includeParentDetails="true")
    assert both["draftDetails"]["metadata"]["description"] == "New"
    assert both["parentDetails"] is None
    for name in ("includeDraftDetails", "includeParentDetails"):
        assert code(shop.get(f"{PATH}/{live['id']}", params={name: "yes"})) == 300004


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1", 310193),
        ("-1", 310193),
        (f"{1:024x}", 310193),
        ("f" * 24, 310193),
        ("6903253184daf5486232dec9", 310193),
        ("x", 300004),
        ("6903253184daf5486232dec", 300004),
        (str(2**63), 300004),
        ("1.0", 300004),
    ],
)
def test_an_id_that_names_no_promotion_is_310193_and_one_that_is_none_300004(
    unwritten: Org, text: str, expected: int
) -> None:
    path = f"{PATH}/{text}"
    found = [
        code(unwritten.get(path)),
        code(unwritten.client.put(path, json=body())),
        code(unwritten.client.delete(path)),
        code(unwritten.post(f"{path}/review", {"approvalStatus": "APPROVE"})),
        code(unwritten.client.put(f"{path}/status", json={"status": "PAUSED"})),
    ]
    assert found == [expected] * 5


def test_a_promotion_of_another_organisation_is_as_one_that_there_is_not(
    service: Service, shop: Org
) -> None:
    made = draft(shop)
    other = open_shop(service)
    assert code(other.get(f"{PATH}/{made['id']}")) == 310193
    assert code(put(other, made, body())) == 310193
    assert data(other.get(PATH))["promotions"] == []


@pytest.fixture(scope="module")
def listing(service: Service) -> Org:
    """An organisation with promotions of every status, named 1 to 8."""
    org = open_shop(service)
    draft(org, name="1 draft", description="Holiday plans")
    data(move(org, draft(org, name="2 pending"), "PENDING_APPROVAL"))
    published(org, name="3 live")
    published(org, name="4 upcoming", startDate="2026-06-20T00:00:00Z")
    published(
        org, name="5 expired", startDate="2026-01-01T00:00:00Z", endDate="2026-01-31T00:00:00Z"
    )
    data(move(org, published(org, name="6 paused"), "PAUSED"))
    data(move(org, published(org, name="7 stopped"), "STOPPED"))
    replaced(org, published(org, name="8 with a HOLIDAY draft"), description="Draft")
    return org


def names(response: httpx.Response) -> str:
    """The numbers of the promotions in a list."""
    return " ".join(each["metadata"]["name"].split()[0] for each in data(response)["promotions"])


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, "8 7 6 5 4 3 2 1"),
        ({"status": "DRAFT"}, "1"),
        ({"status": "DRAFT", "includeDraftDetails": "true"}, "8 1"),
        ({"status": "PENDING_APPROVAL"}, "2"),
        ({"status": "ACTIVE"}, "8 4 3"),
        ({"status": "LIVE, upcoming"}, "8 4 3"),
        ({"status": "UPCOMING"}, "4"),
        ({"status": "EXPIRED"}, "5"),
        ({"status": "PAUSED,STOPPED"}, "7 6"),
        ({"status": "INACTIVE"}, "7 6"),
        ({"searchText": " holiday "}, "8 1"),
        ({"searchText": "holiday", "status": "ACTIVE"}, "8"),
        ({"searchText": "moon"}, ""),
        ({"size": "3"}, "8 7 6"),
        ({"size": "3", "page": "2"}, "2 1"),
        ({"size": "3", "page": "3"}, ""),
        ({"page": "1000000000"}, ""),
    ],
)
def test_the_list_can_be_narrowed_and_has_pages(
    listing: Org, query: dict[str, str], expected: str
) -> None:
    assert names(listing.get(PATH, params=query)) == expected


def test_a_page_says_which_it_is_and_has_ten_promotions_unless_told(listing: Org) -> None:
    found = data(listing.get(PATH))["pageDetails"]
    assert found == {"pageNumber": 0, "pageSize": 10, "totalEntries": 8, "pageCount": 1}
    found = data(listing.get(PATH, params={"page": "1", "size": "3", "status": "ACTIVE"}))
    assert found["promotions"] == []
    assert found["pageDetails"] == {
        "pageNumber": 1,
        "pageSize": 3,
        "totalEntries": 3,
        "pageCount": 1,
    }


def test_a_list_has_drafts_where_they_are_asked_for(listing: Org) -> None:
    plain, *_ = data(listing.get(PATH))["promotions"]
    assert "draftDetails" not in plain
    full, other, *_ = data(listing.get(PATH, params={"includeDraftDetails": "true"}))["promotions"]
    assert full["draftDetails"]["metadata"]["description"] == "Draft"
    assert other["draftDetails"] is None


@pytest.mark.parametrize(
    "query",
    [
        {"status": "SNAPSHOT"},
        {"page": "-1"},
        {"page": "x"},
        {"page": "1000000001"},
        {"size": "0"},
        {"size": "101"},
        {"size": "1.0"},
        {"includeDraftDetails": "1"},
    ],
)
def test_a_list_that_cannot_be_is_300004(listing: Org, query: dict[str, str]) -> None:
    assert code(listing.get(PATH, params=query)) == 300004


# Access


@pytest.mark.parametrize(
    ("access", "reads", "writes"), [("NONE", 403, 403), ("READ", 200, 403), ("WRITE", 200, 400)]
)
def test_reading_needs_read_and_everything_else_write_on_customer(
    service: Service, shop: Org, access: str, reads: int, writes: int
) -> None:
    made = service.operator.post(
        "/milepost/v1/credentials",
        json={"orgId": shop.id, "type": "TILL", "access": {"Customer": access}},
    )
    till = data(made)["till"]
    client = service.connect(auth=(till["username"], till["password"]))
    one = f"{PATH}/{draft(shop)['id']}"
    assert [client.get(path).status_code for path in (PATH, one)] == [reads] * 2
    found = [
        client.post(PATH, json={}),
        client.put(one, json={}),
        client.post(f"{one}/review", json={}),
        client.put(f"{one}/status", json={}),
        client.delete(one),
    ]
    assert [each.status_code for each in found] == [writes] * 5
    assert service.connect().get(PATH).status_code == 401
