"""A customer's notifications over HTTP: domain, milestones §6."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from milepost.api.notifications import NotificationView
from tests.api.payloads import code, data, milestone, streak, target, unified
from tests.harness import Org, Service


def ids(group: Mapping[str, Any]) -> tuple[int, int]:
    return group["id"], group["targets"][0]["id"]


def notified(org: Org, customer: int, query: str = "") -> list[Any]:
    found: list[Any] = data(org.get(f"/milepost/v1/customers/{customer}/notifications{query}"))
    return found


def names(found: list[Any]) -> list[str]:
    return [each["eventName"] for each in found]


def record(org: Org, customer: int, activity_id: str, **fields: Any) -> None:
    body = {
        "id": activity_id,
        "customerId": customer,
        "type": "TRANSACTION",
        "occurredAt": org.now(),
        **fields,
    }
    response = org.post("/milepost/v1/activities", [body])
    assert response.json()["data"][0]["status"] == "ACCEPTED", response.text


def test_the_story_of_a_milestone_is_notified_in_order(org: Org) -> None:
    group = org.define(**milestone())
    customer = org.register(mobile="919800000321")
    response = org.enrol(*ids(group), customer)
    record(org, customer, "tx-1", netAmount=400)
    record(org, customer, "tx-2", netAmount=600)
    record(org, customer, "rt-1", type="RETURN", returnOf="tx-2", netAmount=100)
    org.move_clock("2026-06-02T00:00:00Z")
    org.unenrol(*ids(group), customer)
    found = notified(org, customer)
    assert names(found) == [
        "targetCustomerEnrolment",
        "targetAchievedValueUpdated",
        "targetAchievedValueUpdated",
        "targetValueAchieved",
        "targetAchievedValueUpdated",
        "targetPeriodCompleted",
        "targetPeriodStarted",
    ]
    assert found[0]["apiRequestId"] == response.headers["X-Cap-Requestid"]
    assert found[0]["refId"] == f"{org.id}_{found[0]['apiRequestId']}"
    assert found[3]["data"]["currentEventTargetValue"] == "600"
    assert found[3]["data"]["achievedTargetValue"] == "1000.000"
    assert found[3]["data"]["transactionId"] == "tx-2"
    assert found[4]["data"]["currentEventTargetValue"] == "100"
    assert found[4]["data"]["returnId"] == "rt-1"
    assert found[5]["data"]["achievedTargetValue"] == "900.000"
    for each in found:
        assert each["data"]["customerIdentifiers"]["instore"] == {
            "id": customer,
            "mobile": "919800000321",
        }
    assert len({each["eventId"] for each in found}) == len(found)
    assert notified(org, customer) == found


def test_the_story_of_a_streak_is_notified_in_order(org: Org) -> None:
    level = {"name": f"Two in a row {org.id}", "targetCountOfSequence": 2}
    group = org.define(**streak(recurringCycles=2, streaks=[level]))
    customer = org.register()
    org.enrol(*ids(group), customer)
    record(org, customer, "tx-1", netAmount=1000)
    org.move_clock("2026-06-02T10:00:00Z")
    record(org, customer, "tx-2", netAmount=1000)
    record(org, customer, "rt-1", type="RETURN", returnOf="tx-2", netAmount=1)
    org.move_clock("2026-06-03T00:00:00Z")
    found = notified(org, customer)
    assert [name for name in names(found) if name.startswith("streak")] == [
        "streakCustomerEnrolment",
        "streakStart",
        "streakLevelAchieved",
        "streakLevelUnAchieved",
        "streakEnd",
    ]
    reached = found[names(found).index("streakLevelAchieved")]["data"]
    (shown,) = data(org.get(f"/v3/users/{customer}/targetGroups?includeInactive=true"))[
        "targetGroups"
    ]
    assert reached["streakData"][0]["userStreakId"] == str(shown["streaks"][0]["userStreakId"])
    assert reached["streakData"][0]["userCurrentStreakValue"] == "2"
    assert {"key": "transactionId", "value": "tx-2"} in reached["triggeringActivity"]["identifiers"]


def test_leaving_a_streak_is_notified(org: Org) -> None:
    group = org.define(**streak())
    customer = org.register()
    org.enrol(*ids(group), customer)
    response = org.unenrol(*ids(group), customer)
    left = notified(org, customer)[-1]
    assert left["eventName"] == "streakCustomerUnEnrolment"
    assert left["data"]["triggeringActivity"]["identifiers"] == [
        {"key": "UNENROL_VIA_API", "value": response.headers["X-Cap-Requestid"]}
    ]


def test_a_unified_group_is_notified_as_met_and_as_unmet(org: Org) -> None:
    visits = target(targetType="COUNT", defaultValues=[{"defaultValue": 1}])
    group = org.define(**unified(targets=[target(), visits]))
    customer = org.register()
    for each in group["targets"]:
        org.enrol(group["id"], each["id"], customer)
    record(org, customer, "tx-1", netAmount=1000)
    record(org, customer, "rt-1", type="RETURN", returnOf="tx-1", netAmount=1000)
    org.move_clock("2026-06-02T00:00:00Z")
    found = notified(org, customer)
    assert [name for name in names(found) if name.startswith("unified")] == [
        "unifiedTargetsAchieved",
        "unifiedTargetsUnAchieved",
        "unifiedTargetsUnAchieved",
    ]
    met = found[names(found).index("unifiedTargetsAchieved")]["data"]
    condition = met["unifiedTargetGroupDetails"]["unifiedTargetsAchievementCondition"]
    assert condition["combinationType"] == "ALL"
    assert condition["ruleExpression"] == group["unifiedTargetExpression"]["ruleExpression"]
    assert [each["achievedTargetValue"] for each in met["targetData"]] == ["1000.000", "1.000"]
    assert met["transactionId"] == "tx-1"


def test_both_envelopes_have_the_same_notifications(org: Org) -> None:
    group = org.define(**milestone())
    customer = org.register()
    org.enrol(*ids(group), customer, initialBalance=1000)
    raw = notified(org, customer)
    assert notified(org, customer, "?envelope=raw") == raw
    enriched = notified(org, customer, "?envelope=enriched")
    assert [each["eventId"] for each in enriched] == [each["eventId"] for each in raw]
    assert [each["attributes"]["data"] for each in enriched] == [each["data"] for each in raw]
    assert enriched[0]["eventType"] == f"{org.id}_targetCustomerEnrolment"
    assert enriched[0]["actionType"] == "START"
    for each in raw:
        msgspec.convert(each, NotificationView)
        assert set(each) == {
            field.encode_name for field in msgspec.structs.fields(NotificationView)
        }


def test_a_list_can_be_walked_both_ways_although_some_entries_have_no_notification(
    org: Org,
) -> None:
    group = org.define(**milestone(targets=[target(expression="currentTxn.value > 1.0")]))
    customer = org.register()
    for number in range(3):
        org.enrol(*ids(group), customer)
        record(org, customer, f"tx-{number}", netAmount=2)
        for small in range(3):
            record(org, customer, f"small-{number}-{small}", netAmount=1)
        org.unenrol(*ids(group), customer)
    every = notified(org, customer)
    assert names(every) == ["targetCustomerEnrolment", "targetAchievedValueUpdated"] * 3
    forwards: list[Any] = []
    while page := notified(
        org, customer, f"?limit=1&after={forwards[-1]['eventLogId'] if forwards else 0}"
    ):
        assert len({each["eventLogId"] for each in page}) == 1
        forwards += page
    assert forwards == every
    backwards: list[Any] = []
    while page := notified(
        org, customer, f"?limit=1&before={backwards[0]['eventLogId'] if backwards else 2**62}"
    ):
        assert len({each["eventLogId"] for each in page}) == 1
        backwards = page + backwards
    assert backwards == every
    # The last two entries are the purchase and the unenrolment, which is not notified.
    assert notified(org, customer, "?limit=2") == every[-1:]


@pytest.mark.parametrize(
    "query", ["envelope=other", "limit=0", "limit=10001", "before=x", "before=1&after=2"]
)
def test_what_is_malformed_is_300004(org: Org, query: str) -> None:
    path = f"/milepost/v1/customers/{org.register()}/notifications"
    assert code(org.get(f"{path}?{query}")) == 300004


def test_an_unknown_customer_is_310011_also_that_of_another_hierarchy(
    service: Service, org: Org
) -> None:
    customer = org.register()
    assert notified(org, customer) == []
    assert code(org.get("/milepost/v1/customers/4711/notifications")) == 310011
    path = f"/milepost/v1/customers/{customer}/notifications"
    assert code(service.new_org().get(path)) == 310011


def test_a_connected_organisation_is_not_notified_of_what_another_did(
    service: Service, org: Org
) -> None:
    customer = org.register()
    org.enrol(*ids(org.define(**milestone())), customer)
    child = service.new_org(now=None, parentOrgId=org.id)
    assert notified(child, customer) == []


def test_notifications_need_read_on_target_loyalty(service: Service, org: Org) -> None:
    path = f"/milepost/v1/customers/{org.register()}/notifications"
    assert service.connect().get(path).status_code == 401
    for access, status in (({"Target Loyalty": "READ"}, 200), ({"Transaction": "WRITE"}, 403)):
        body = {"orgId": org.id, "type": "TILL", "access": access}
        till = service.operator.post("/milepost/v1/credentials", json=body).json()["data"]["till"]
        client = service.connect(auth=(till["username"], till["password"]))
        assert client.get(path).status_code == status
