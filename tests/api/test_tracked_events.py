"""The events behind a customer's values in a target: domain, milestones §3.4 (GTE)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from milepost.api.routes import PREFIXES
from tests.api.payloads import code, milestone, target
from tests.harness import Org, Service


def ids(group: Mapping[str, Any]) -> tuple[int, int]:
    return group["id"], group["targets"][0]["id"]


def tracked(org: Org, customer: int, target_id: int, query: str = "", prefix: str = "/v3") -> Any:
    response = org.get(f"{prefix}/users/{customer}/trackedTargetEvents/{target_id}{query}")
    assert response.status_code == 200, response.text
    return response.json()


def names(page: Mapping[str, Any]) -> list[str]:
    return [event["eventName"] for event in page["data"]]


def record(org: Org, customer: int, activity_id: str, **fields: Any) -> None:
    body = {"id": activity_id, "customerId": customer, "occurredAt": org.now(), **fields}
    response = org.post("/milepost/v1/activities", [body])
    assert response.json()["data"][0]["status"] == "ACCEPTED", response.text


def purchase(org: Org, customer: int, activity_id: str, amount: float, **fields: Any) -> None:
    record(org, customer, activity_id, type="TRANSACTION", netAmount=amount, **fields)


def test_the_page_has_the_documented_fields_and_envelope(service: Service) -> None:
    org = service.new_org(now="2026-06-01T00:00:00Z", timeZone="Asia/Kolkata")
    group = org.define(**milestone())
    customer = org.register()
    org.enrol(*ids(group), customer)
    org.move_clock("2026-06-01T04:30:00.120Z")
    purchase(org, customer, "tx-1", 120.5, occurredAt="2026-06-01T09:00:00.000+05:30")
    page = tracked(org, customer, ids(group)[1])
    assert page["pagination"] == {"limit": 10, "offset": 0, "total": 2}
    assert (page["errors"], page["warnings"]) == ([], [])
    event = page["data"][1]
    assert isinstance(event.pop("eventLogId"), int)
    assert event == {
        "eventName": "ADD_TRANSACTION",
        "customerId": customer,
        "eventDisplayName": "TransactionAdd",
        "uniqueId": "tx-1",
        "eventDate": "2026-06-01 09:00:00.0",
        "eventDateISO": "2026-06-01T09:00:00+05:30",
        "eventProcessedDate": "2026-06-01 10:00:00.12",
        "eventProcessedDateISO": "2026-06-01T10:00:00+05:30",
        "periodId": group["periods"][0]["id"],
        "targetGroupId": group["id"],
        "targetRuleId": ids(group)[1],
        "targetValue": 120.5,
    }


def test_every_kind_of_event_has_its_name_in_order_of_the_dates(org: Org) -> None:
    spend = org.define(**milestone())
    runs = org.define(
        **milestone(
            targets=[target(targetEntity="EVENT", eventName="runLogged", targetType="COUNT")]
        )
    )
    customer = org.register()
    for group in (spend, runs):
        org.enrol(*ids(group), customer)
    org.move_clock("2026-06-01T06:00:00Z")
    purchase(org, customer, "tx-2", 20)
    purchase(org, customer, "tx-1", 30, occurredAt="2026-06-01T05:00:00Z")
    record(org, customer, "ev-1", type="EVENT", eventName="runLogged")
    record(org, customer, "rt-1", type="RETURN", returnOf="tx-2", netAmount=5)
    org.unenrol(*ids(spend), customer)
    page = tracked(org, customer, ids(spend)[1])
    assert [(event["eventName"], event["targetValue"]) for event in page["data"]] == [
        ("ENROL", 0),
        ("ADD_TRANSACTION", 30),
        ("ADD_TRANSACTION", 20),
        ("RETURN_BILL", -5),
        ("UNENROL", 0),
    ]
    assert [event["uniqueId"] for event in page["data"]][1:4] == ["tx-1", "tx-2", "rt-1"]
    assert [event["eventDisplayName"] for event in page["data"]] == [
        "Enrolment",
        "TransactionAdd",
        "TransactionAdd",
        "ReturnBill",
        "Unenrolment",
    ]
    page = tracked(org, customer, ids(runs)[1])
    assert names(page) == ["ENROL", "GENERIC_EVENT"]
    assert page["data"][1]["eventDisplayName"] == "runLogged"


def test_an_enrolment_is_known_by_its_request_and_brings_its_balance(org: Org) -> None:
    group = org.define(**milestone())
    customer = org.register()
    response = org.enrol(*ids(group), customer, initialBalance=300)
    (event,) = tracked(org, customer, ids(group)[1])["data"]
    assert event["uniqueId"] == response.headers["X-Cap-Requestid"]
    assert (event["eventName"], event["targetValue"]) == ("ENROL", 300)
    assert event["periodId"] == group["periods"][0]["id"]


def test_what_did_not_count_is_no_event_of_the_target(org: Org) -> None:
    group = org.define(**milestone(targets=[target(expression="currentTxn.value > 100.0")]))
    customer = org.register()
    org.enrol(*ids(group), customer)
    purchase(org, customer, "tx-1", 50)
    purchase(org, customer, "tx-2", 150)
    page = tracked(org, customer, ids(group)[1])
    assert [event["uniqueId"] for event in page["data"]][1:] == ["tx-2"]


def test_one_cycle_can_be_asked_for(org: Org) -> None:
    group = org.define(**milestone())
    customer = org.register()
    org.enrol(*ids(group), customer)
    purchase(org, customer, "tx-1", 1)
    org.move_clock("2026-06-02T09:00:00Z")
    purchase(org, customer, "tx-2", 2)
    first, second, third = (period["id"] for period in group["periods"])
    for period_id, expected in (
        (first, ["ENROL", "ADD_TRANSACTION"]),
        (second, ["ADD_TRANSACTION"]),
    ):
        page = tracked(org, customer, ids(group)[1], f"?periodId={period_id}")
        assert names(page) == expected
        assert page["pagination"]["total"] == len(expected)
    assert tracked(org, customer, ids(group)[1], f"?periodId={third}")["data"] == []


def test_offset_is_the_number_of_the_page_and_total_counts_records(org: Org) -> None:
    group = org.define(**milestone())
    customer = org.register()
    org.enrol(*ids(group), customer)
    for number in range(12):
        purchase(org, customer, f"tx-{number}", 1)
    every = tracked(org, customer, ids(group)[1], "?limit=1000")["data"]
    assert len(every) == 13
    assert len({event["eventLogId"] for event in every}) == 13
    for query, expected, limit, offset in (
        ("", every[:10], 10, 0),
        ("?offset=1", every[10:], 10, 1),
        ("?limit=5&offset=1", every[5:10], 5, 1),
        ("?limit=5&offset=9", [], 5, 9),
    ):
        page = tracked(org, customer, ids(group)[1], query)
        assert page["data"] == expected
        assert page["pagination"] == {"limit": limit, "offset": offset, "total": 13}


def test_all_four_prefixes_answer_alike(org: Org) -> None:
    group = org.define(**milestone())
    customer = org.register()
    org.enrol(*ids(group), customer)
    found = [tracked(org, customer, ids(group)[1], prefix=prefix) for prefix in PREFIXES]
    assert found == [found[0]] * 4


def test_the_refusals_come_in_their_order(org: Org) -> None:
    group = org.define(**milestone())
    target_id = ids(group)[1]
    customer, stranger = org.register(), org.register()
    org.enrol(*ids(group), customer)

    def refused(path: str, **options: Any) -> int:
        return code(org.get(f"/v3.1/users/{path}", **options))

    assert refused("4711/trackedTargetEvents/4711?periodId=1") == 310018
    assert refused(f"4711/trackedTargetEvents/{target_id}?periodId=1") == 310011
    assert refused(f"{stranger}/trackedTargetEvents/{target_id}?periodId=1") == 310019
    assert refused(f"{stranger}/trackedTargetEvents/{target_id}") == 310149
    path = f"{customer}/trackedTargetEvents/{target_id}"
    assert refused(path, headers={"DATA-SCOPE": "EVERYBODY"}) == 310144
    assert refused(path, headers={"DATA-SCOPE": "OTHER"}) == 310144
    assert org.get(f"/v3.1/users/{path}", headers={"DATA-SCOPE": "ALL"}).status_code == 200
    assert org.get(f"/v3/users/{path}", headers={"DATA-SCOPE": "OTHER"}).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "1/trackedTargetEvents/x",
        "x/trackedTargetEvents/1",
        "1/trackedTargetEvents/1?periodId=x",
        "1/trackedTargetEvents/1?limit=0",
        "1/trackedTargetEvents/1?limit=1001",
        "1/trackedTargetEvents/1?offset=-1",
        f"1/trackedTargetEvents/{'9' * 40}",
    ],
)
def test_what_is_malformed_is_300004(org: Org, path: str) -> None:
    assert code(org.get(f"/v3/users/{path}")) == 300004


def test_the_events_of_a_deactivated_target_are_still_there(org: Org) -> None:
    group = org.define(**milestone())
    customer = org.register()
    org.enrol(*ids(group), customer)
    response = org.client.delete(f"/v3/targetGroups/{group['id']}/targets/{ids(group)[1]}")
    assert response.status_code == 200
    assert names(tracked(org, customer, ids(group)[1])) == ["ENROL"]


def test_another_organisation_knows_neither_the_target_nor_the_events(
    service: Service, org: Org
) -> None:
    group = org.define(**milestone())
    customer = org.register()
    org.enrol(*ids(group), customer)
    child = service.new_org(now=None, parentOrgId=org.id)
    path = f"/v3/users/{customer}/trackedTargetEvents/{ids(group)[1]}"
    assert code(child.get(path)) == 310018
    assert code(service.new_org().get(path)) == 310018
