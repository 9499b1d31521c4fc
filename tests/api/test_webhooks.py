"""The calls around webhook endpoints: registration, the log, dead letters, replay, secrets."""

from __future__ import annotations

import re
from typing import Any

import httpx
import psycopg
import pytest

from milepost import clock
from milepost.database import database
from milepost.runner import Runner
from milepost.settings import Settings
from milepost.store.deliveries import clear
from milepost.worker.deliveries import deliver, open_post
from tests.harness import Org, Service
from tests.scenarios.vocabulary import ACCEPTED, data, define_milestone

BOTH = ("/v3/webHooks", "/v3/webhooks")
BODY: dict[str, Any] = {
    "name": "Shop",
    "webHookUrl": "https://shop.example/hook",
    "webHookType": "HTTP",
    "methodType": "POST",
    "webHookHeaders": {"X-Key": "abc"},
    "eventNames": ["targetCustomerEnrolment", "transactionAdded"],
    "maxAllowedConnections": 5,
    "slaInSeconds": 60,
    "active": True,
    "tillDetailsEnrichmentEnabled": True,
    "storeDetailsEnrichmentEnabled": False,
    "customerIdentifiersToBeEnriched": ["mobile"],
    "awardedReferenceEnrichmentEnabled": False,
    "availablePointsBalanceEnrichmentEnabled": True,
    "listenToChildEvents": False,
}
NOBODY = "0" * 24


def create(org: Org, **fields: Any) -> dict[str, Any]:
    found: dict[str, Any] = data(org.post("/v3/webHooks", {**BODY, **fields}))
    return found


def refused(response: httpx.Response) -> str:
    assert response.status_code == 400, response.text
    (error,) = response.json()["errors"]
    assert error["code"] == 300004
    return str(error["message"])


@pytest.mark.parametrize("path", BOTH)
def test_an_endpoint_is_registered_shown_changed_and_deleted(org: Org, path: str) -> None:
    response = org.post(path, BODY)
    assert response.status_code == 201
    made = data(response)
    assert {name: made[name] for name in BODY} == BODY
    assert re.fullmatch("[0-9a-f]{24}", made["webHookId"])
    assert (made["noOfRetryAttempts"], made["envelope"]) == (0, "raw")
    assert re.fullmatch("[0-9a-f-]{36}", made["consumerGroupId"])
    assert made["attribution"]["createdOn"] == "2026-06-01T00:00:00.000+0000"
    secret = made.pop("secret")
    assert secret.startswith("whsec_")
    assert data(org.get(path)) == [made]
    change = {"eventNames": ["streakStart"], "active": False, "envelope": "enriched"}
    changed = data(org.client.put(f"{path}/{made['webHookId']}", json=change))
    assert changed == {**made, **change, "attribution": changed["attribution"]}
    assert data(org.client.delete(f"{path}/{made['webHookId']}")) is True
    assert data(org.get(path)) == []


def test_a_name_is_unique_in_the_organisation_alone(service: Service, org: Org) -> None:
    create(org)
    assert "another webhook" in refused(org.post("/v3/webHooks", {**BODY, "name": "SHOP"}))
    create(service.new_org())


def test_a_secret_is_shown_once_and_is_in_no_log(
    org: Org, capfd: pytest.CaptureFixture[str]
) -> None:
    made = create(org)
    shown = data(org.post(f"/milepost/v1/webhooks/{made['webHookId']}/secret"))
    assert shown["secret"] != made["secret"]
    assert "secret" not in data(org.get("/v3/webHooks"))[0]
    said = "".join(capfd.readouterr())
    assert made["secret"] not in said
    assert shown["secret"] not in said


@pytest.mark.parametrize(
    "change",
    [
        {"name": None}, {"name": ""}, {"name": 5}, {"webHookUrl": None},
        {"webHookUrl": "ftp://shop.example"}, {"webHookUrl": "https://a:b@shop.example/"},
        {"webHookUrl": "https://shop.example/" + "x" * 3_000}, {"webHookUrl": ["https://shop.example"]},
        {"webHookType": "KAFKA"}, {"methodType": "PUT"}, {"webHookHeaders": []},
        {"webHookHeaders": {"X-Key": 5}}, {"webHookHeaders": {"X-Key": "a\r\nb: c"}},
        {"webHookHeaders": {"Connection": "close"}}, {"webHookHeaders": {"webhook-id": "a"}},
        {"eventNames": None}, {"eventNames": []}, {"eventNames": ["nothing"]}, {"eventNames": "streakStart"},
        {"eventNames": [None]}, {"maxAllowedConnections": 0}, {"maxAllowedConnections": 101},
        {"maxAllowedConnections": "5"}, {"maxAllowedConnections": 10**30}, {"slaInSeconds": -1},
        {"active": "true"}, {"active": 1}, {"listenToChildEvents": "no"}, {"envelope": "xml"},
        {"customerIdentifiersToBeEnriched": "mobile"}, {"customerIdentifiersToBeEnriched": [""]},
    ],
    ids=str,
)  # fmt: skip
def test_a_bad_endpoint_is_300004_and_none_is_made(org: Org, change: dict[str, Any]) -> None:
    refused(org.post("/v3/webHooks", {**BODY, **change}))
    assert data(org.get("/v3/webHooks")) == []


def test_a_bad_change_is_300004_and_changes_nothing(org: Org) -> None:
    made = create(org)
    changes: list[dict[str, Any]] = [
        {"eventNames": []}, {"webHookUrl": "x"}, {"name": " "}, {"slaInSeconds": 10**9}
    ]  # fmt: skip
    for change in changes:
        refused(org.client.put(f"/v3/webHooks/{made['webHookId']}", json=change))
    del made["secret"]
    assert data(org.get("/v3/webHooks")) == [made]


def test_what_nobody_has_and_what_another_organisation_has_are_alike(
    service: Service, org: Org
) -> None:
    theirs = create(service.new_org())["webHookId"]
    for webhook_id in (NOBODY, theirs, "x", "%00", "1" * 5_000, "%F0%9F%98%80"):
        ours = f"/milepost/v1/webhooks/{webhook_id}"
        answers = [
            org.client.put(f"/v3/webHooks/{webhook_id}", json={"name": "Other"}),
            org.client.delete(f"/v3/webHooks/{webhook_id}"),
            org.get(f"{ours}/deliveries"),
            org.get(f"{ours}/dead-letters"),
            org.post(f"{ours}/replay", {}),
            org.post(f"{ours}/secret"),
        ]
        assert {refused(answer) for answer in answers} == {"Invalid input. No webhook has this id."}


def test_a_replay_that_cannot_be_is_300004(org: Org) -> None:
    path = f"/milepost/v1/webhooks/{create(org)['webHookId']}/replay"
    bodies: list[Any] = [
        {"eventIds": []}, {"eventIds": ["x"]}, {"eventIds": [5]}, {"since": "yesterday"},
        {"since": "2026-06-01T00:00:00"}, {"since": 5}, [],
        {"eventIds": [f"{NOBODY}{NOBODY}"]}, {"eventIds": ["1" * 36] * 10_001},
        {"since": "2026-06-01T00:00:00Z", "eventIds": ["6f1c7f0e-8a3b-5d4e-9c52-1f2e3d4c5b6a"]},
    ]  # fmt: skip
    for body in bodies:
        refused(org.post(path, body))
    unknown = {"eventIds": ["6f1c7f0e-8a3b-5d4e-9c52-1f2e3d4c5b6a"]}
    assert data(org.post(path, unknown)) == {"replayed": 0}


def test_a_secret_is_renewed_with_a_bounded_overlap(org: Org) -> None:
    path = f"/milepost/v1/webhooks/{create(org)['webHookId']}/secret"
    for hours in (-1, 169, "1", 10**30, [1]):
        refused(org.post(path, {"oldSecretHours": hours}))
    refused(org.post(path, b"{"))
    refused(org.post(path, b"[]"))
    for content, until in ((b"", "02T00"), (b"{}", "02T00"), (b'{"oldSecretHours": 5}', "01T05")):
        shown = data(org.post(path, content))
        assert shown["oldSecretUntil"] == f"2026-06-{until}:00:00.000Z"


def test_a_query_of_the_log_that_cannot_be_is_300004(org: Org) -> None:
    path = f"/milepost/v1/webhooks/{create(org)['webHookId']}/deliveries"
    for query in (
        {"status": "LOST"}, {"limit": "0"}, {"limit": "1001"}, {"limit": "x"}, {"offset": "-1"},
        {"customerId": "1.5"}, {"customerId": str(2**63)},
    ):  # fmt: skip
        refused(org.get(path, params=query))
    for log in BOTH:
        refused(org.get(f"{log}/eventLog/refId/x"))
        refused(org.get(f"{log}/eventLog/refId/{'9' * 30}_x"))
        refused(org.get(f"{log}/eventLog/not-a-uuid"))
        refused(org.get(f"{log}/eventLog/requestId/{'x' * 201}"))
        assert data(org.get(f"{log}/eventLog/requestId/unknown")) == []


@pytest.fixture
async def hook(org: Org, database_url: str) -> dict[str, Any]:
    """An endpoint on a port where nobody listens, which could not be told of an enrolment."""
    abc = define_milestone(org)
    made = create(org, webHookUrl="http://127.0.0.1:9/hook")
    assert abc.enrol(org.register(), periodName="c1") == ACCEPTED
    settings = Settings(database_url=database_url, webhook_allowed_networks="127.0.0.1/32")
    runner = Runner(database(database_url, settings))
    await runner.database.open()
    post = open_post(runner, settings)
    await deliver(post, org.id, made["webHookId"])
    await post.close()
    await runner.database.close()
    return made


async def test_the_log_is_found_by_event_call_and_endpoint(
    service: Service, org: Org, hook: dict[str, Any]
) -> None:
    (line,) = data(org.get(f"/milepost/v1/webhooks/{hook['webHookId']}/deliveries"))
    assert set(line) == {
        "refId", "requestId", "eventName", "eventId", "consumerGroupId", "eventIngestionTimestamp",
        "eventStartTimestamp", "eventEndTimestamp", "slaBreachTimestamp", "consumerResponse",
        "webHookId", "orgId", "customerId", "status", "attempts", "nextAttemptTimestamp",
    }  # fmt: skip
    assert line["refId"] == f"{org.id}_{line['requestId']}"
    assert line["slaBreachTimestamp"] - line["eventIngestionTimestamp"] == 60_000
    assert line["eventEndTimestamp"] >= line["eventStartTimestamp"]
    assert line["consumerResponse"].startswith("ConnectError")
    assert (line["status"], line["attempts"]) == ("PENDING", 1)
    stranger = service.new_org()
    for path in BOTH:
        for what in (
            f"requestId/{line['requestId']}",
            f"refId/{line['refId']}",
            line["eventId"],
            line["eventId"].upper(),
        ):
            assert data(org.get(f"{path}/eventLog/{what}")) == [line], what
            assert data(stranger.get(f"{path}/eventLog/{what}")) == []
    page = f"/milepost/v1/webhooks/{hook['webHookId']}/deliveries"
    assert data(org.get(page, params={"status": "pending", "customerId": line["customerId"]})) == [
        line
    ]
    assert data(org.get(page, params={"status": "DEAD"})) == []
    assert data(org.get(page, params={"offset": "1"})) == []


async def test_what_is_delivered_leaves_the_log_after_its_days(
    org: Org, hook: dict[str, Any], database_url: str
) -> None:
    page = f"/milepost/v1/webhooks/{hook['webHookId']}/deliveries"
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            "UPDATE deliveries SET status = 'DELIVERED' WHERE org_id = %s", (org.id,)
        )
    runner = Runner(database(database_url, Settings()))
    await runner.database.open()
    for days, left in (("2026-07-01T00:00:00Z", 1), ("2026-07-01T00:01:00Z", 0)):
        org.move_clock(days)
        await runner.operate(lambda tx: clear(tx, clock.now(), 30, 100))
        assert len(data(org.get(page))) == left
    await runner.database.close()


def test_without_the_permission_it_is_403(service: Service, org: Org) -> None:
    made = create(org)
    body = {"orgId": org.id, "type": "TILL", "access": {"Webhooks": "READ"}}
    till = data(service.operator.post("/milepost/v1/credentials", json=body))["till"]
    reader = service.connect(auth=(till["username"], till["password"]))
    assert reader.get("/v3/webHooks").status_code == 200
    ours = f"/milepost/v1/webhooks/{made['webHookId']}"
    for response in (
        reader.post("/v3/webHooks", json=BODY),
        reader.put(f"/v3/webHooks/{made['webHookId']}", json={}),
        reader.delete(f"/v3/webHooks/{made['webHookId']}"),
        reader.post(f"{ours}/replay", json={}),
        reader.post(f"{ours}/secret"),
    ):
        assert response.status_code == 403


def test_who_did_what_with_an_endpoint_is_in_the_audit_trail_without_secrets(org: Org) -> None:
    made = create(org, webHookUrl="https://shop.example/hook?token=abcdef")
    path = f"/v3/webHooks/{made['webHookId']}"
    org.client.put(path, json={"active": False, "webHookHeaders": {"X-Key": "other-value"}})
    org.post(f"/milepost/v1/webhooks/{made['webHookId']}/secret")
    org.post(f"/milepost/v1/webhooks/{made['webHookId']}/replay", {})
    org.client.delete(path)
    response = org.get("/milepost/v1/audit", params={"subjectType": "WEBHOOK"})
    found = data(response)
    assert sorted(each["action"] for each in found) == [
        "CREATED", "DEACTIVATED", "DELETED", "REPLAYED", "SECRET_RENEWED"
    ]  # fmt: skip
    assert {each["subject"]["id"] for each in found} == {made["webHookId"]}
    for secret in ("whsec_", "abcdef", "other-value"):
        assert secret not in response.text
