"""Behavioural events: their definition, and their push in the vendor's form."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.api.payloads import milestone, target
from tests.harness import Org, Service, contents

EVENTS = "/v2/events"
PUSH = "/v2/events/push"
FIELDS: list[dict[str, Any]] = [
    {"name": "mobile", "type": "customer", "isRequired": True},
    {"name": "runId", "type": "string", "isUniqueKeyField": True},
    {"name": "km", "type": "double", "isRequired": True, "isPsiData": False},
    {"name": "laps", "type": "integer"},
    {"name": "official", "type": "boolean"},
]
RUN: dict[str, Any] = {
    "eventName": "runLogged",
    "actions": ["EMFConsumer"],
    "description": "A run",
    "fields": FIELDS,
}
MOBILE = "919876543210"


def code(response: httpx.Response) -> int:
    assert response.status_code == 400, response.text
    (error,) = response.json()["errors"]
    assert response.json() == {"errors": [{**error, "status": False}], "warnings": []}
    return int(error["code"])


def push(org: Org, uri: str = PUSH, **payload: Any) -> httpx.Response:
    return org.post(uri, {"event_name": "runLogged", "mobile": MOBILE, "km": 5, **payload})


@pytest.fixture
def runner(org: Org) -> int:
    """A customer where runs are defined, and where a milestone adds up their kilometres."""
    assert org.post(EVENTS, RUN).status_code == 200
    org.define(
        **milestone(
            targets=[
                target(
                    targetEntity="EVENT",
                    targetType="EVENT_ATTRIBUTE",
                    eventName="runLogged",
                    expression="currentEvent.km > 1.0",
                    extendedFieldInfo={"name": "km", "aggregateFunction": "SUM"},
                    enrolmentMethod="TRANSACTION",
                )
            ]
        )
    )
    return org.register(mobile=MOBILE)


def value(org: Org, customer: int) -> float:
    """What the customer's runs add up to in the running cycle."""
    groups = org.get(f"/v3/users/{customer}/targetGroups").json()["data"]["targetGroups"]
    return float(sum(row["targetAchievedValue"] for group in groups for row in group["targets"]))


def test_an_event_is_defined_once_and_listed(org: Org) -> None:
    response = org.post(EVENTS, RUN)
    assert response.status_code == 200
    view = {
        "eventName": "runLogged",
        "description": "A run",
        "actions": ["EMFConsumer"],
        "fields": [
            {
                "name": field["name"],
                "type": field["type"],
                "isRequired": field.get("isRequired", False),
                "isUniqueKeyField": field.get("isUniqueKeyField", False),
            }
            for field in FIELDS
        ],
        "status": "PUBLISHED",
    }
    assert response.json() == {**view, "warnings": [], "errors": []}
    assert code(org.post(EVENTS, RUN)) == 400
    assert org.get(EVENTS).json() == {"events": [view], "warnings": [], "errors": []}


def test_of_many_definitions_of_one_name_at_once_one_is_taken(org: Org) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = [each.status_code for each in pool.map(lambda _: org.post(EVENTS, RUN), range(8))]
    assert sorted(found) == [200] + [400] * 7


def field(**change: Any) -> dict[str, Any]:
    return {"fields": [{"name": "a", "type": "string", **change}]}


BAD: dict[str, dict[str, Any]] = {
    "no name": {"eventName": None},
    "a blank name": {"eventName": " "},
    "51 characters": {"eventName": "x" * 51},
    "a null character": {"eventName": "a\0"},
    "no action": {"actions": []},
    "an unknown action": {"actions": ["Everything"]},
    "a long description": {"description": "x" * 256},
    "an unknown type": field(type="colour"),
    "a field without name": field(name=""),
    "a field with a name of its own": field(name="eventDateTime"),
    "two fields of one name": {"fields": [{"name": "a", "type": "string"}] * 2},
    "21 fields": {"fields": [{"name": f"a{n}", "type": "string"} for n in range(21)]},
    "a text as flag": field(isRequired="true"),
    "an object as fields": {"fields": {}},
}


@pytest.mark.parametrize("change", BAD.values(), ids=BAD)
def test_what_is_no_event_is_not_defined(
    org: Org, database_url: str, change: dict[str, Any]
) -> None:
    before = contents(database_url)
    assert code(org.post(EVENTS, {**RUN, **change})) == 400
    assert contents(database_url) == before


def test_a_push_is_recorded_and_answered_in_the_vendors_form(org: Org, runner: int) -> None:
    response = push(org, km=5.25, laps="3", official=True, unknown={"a": 1})
    assert response.status_code == 200
    assert response.json() == {
        "status": {"code": 1100, "message": "Event is pushed to transformation state"},
        "requestId": response.headers["X-Cap-Requestid"],
    }
    assert value(org, runner) == 5.25
    assert push(org, km="1.5").status_code == 200
    assert push(org, km=1).status_code == 200
    assert value(org, runner) == 6.75


@pytest.mark.parametrize(
    "named",
    [
        {"mobile": "+91 9876543210"},
        {"mobile": int(MOBILE)},
        {"mobile": None, "id": 0},
        {"mobile": None, "customer_id": "0"},
    ],
)
def test_a_customer_is_named_by_a_field_or_by_a_usual_name(
    org: Org, runner: int, named: dict[str, Any]
) -> None:
    fields = [{"name": "mobile", "type": "customer"}, {"name": "km", "type": "double"}]
    org.post(EVENTS, {**RUN, "eventName": "walkLogged", "fields": fields})
    own: dict[str, Any] = {
        key: runner if value in (0, "0") else value for key, value in named.items()
    }
    assert push(org, event_name="walkLogged", **own).status_code == 200


def test_the_event_may_have_its_own_time(org: Org, runner: int) -> None:
    for at in ("2026-06-01", "2026-06-01T00:00:00", "2026-06-01 05:30:00+05:30", 1780272000000):
        assert push(org, eventDateTime=at).status_code == 200, at
    assert value(org, runner) == 20
    assert push(org, eventDateTime="1780272000").status_code == 200
    assert value(org, runner) == 25


REFUSED: dict[str, tuple[dict[str, Any], int]] = {
    "an unknown event": ({"event_name": "swimLogged"}, 400),
    "no event": ({"event_name": None}, 400),
    "a required attribute is missing": ({"km": None}, 400),
    "a required customer is missing": ({"mobile": None}, 400),
    "nobody": ({"mobile": "919999999999"}, 8015),
    "a word as number": ({"km": "far"}, 400),
    "a truth as number": ({"km": True}, 400),
    "a huge number": ({"km": 10**400}, 400),
    "a fraction as integer": ({"laps": 1.5}, 400),
    "a number as boolean": ({"official": 1}, 400),
    "an object as text": ({"runId": {}}, 400),
    "no time": ({"eventDateTime": "soon"}, 400),
    "the future": ({"eventDateTime": "2026-06-02"}, 400),
    "an absurd time": ({"eventDateTime": "9999999999999"}, 400),
}


@pytest.mark.parametrize(("change", "expected"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_taken_is_refused_and_nothing_is_written(
    org: Org, runner: int, database_url: str, change: dict[str, Any], expected: int
) -> None:
    before = contents(database_url)
    assert code(push(org, **change)) == expected
    assert contents(database_url) == before


@pytest.mark.parametrize("body", [b"", b"[]", b"5", b"{", b'{"event_name": "a\\u0000"}'])
def test_a_push_that_is_no_object_is_400(org: Org, body: bytes) -> None:
    assert code(org.post(PUSH, body)) == 400


def test_a_push_without_uniqueness_counts_each_time(org: Org, runner: int) -> None:
    for _ in range(3):
        assert push(org, runId="r1").status_code == 200
    assert value(org, runner) == 15


def test_with_uniqueness_an_event_is_processed_once(org: Org, runner: int) -> None:
    made = org.post("/v2/events/webhook", {"uniquenessCheckEnabled": True, "tillCode": "t"})
    uri = made.json()["webHookUri"]
    assert made.json() == {"webHookUri": uri, "warnings": [], "errors": []}
    org.register(mobile="919876543211")
    assert push(org, uri, runId="r1").status_code == 200
    assert push(org, uri, runId="r1", km=7, eventDateTime="2026-06-01").status_code == 200
    assert value(org, runner) == 5
    assert push(org, uri, runId="r2").status_code == 200
    assert push(org, uri, runId="r1", mobile="919876543211").status_code == 200
    assert value(org, runner) == 10


def test_of_many_pushes_of_one_event_at_once_one_is_processed(org: Org, runner: int) -> None:
    uri = f"{PUSH}?uniquenessCheckEnabled=true"
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda number: push(org, uri, runId="r1", laps=number), range(16)))
    assert {each.status_code for each in found} == {200}
    assert value(org, runner) == 5


def test_a_uri_without_uniqueness_is_the_plain_one(org: Org) -> None:
    uri = org.post("/v2/events/webhook", {}).json()["webHookUri"]
    assert uri == f"{org.client.base_url}".rstrip("/") + PUSH


def test_another_organisations_events_are_unknown(service: Service, org: Org) -> None:
    stranger = service.new_org()
    assert stranger.post(EVENTS, RUN).status_code == 200
    assert code(push(org)) == 400
    assert org.get(EVENTS).json()["events"] == []


def test_events_need_permission_on_behavioural_events(service: Service, org: Org) -> None:
    access = {"orgId": org.id, "type": "TILL", "access": {"Behavioural Events": "READ"}}
    till = service.operator.post("/milepost/v1/credentials", json=access).json()["data"]["till"]
    client = service.connect(auth=(till["username"], till["password"]))
    assert client.get(EVENTS).status_code == 200
    for path in (EVENTS, PUSH, "/v2/events/webhook"):
        assert client.post(path, json={}).status_code == 403
