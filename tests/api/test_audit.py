"""Who changed what, over HTTP: `GET /milepost/v1/audit`."""

from __future__ import annotations

from typing import Any

import httpx
import psycopg
import pytest

from tests.api.payloads import code, data, milestone, target
from tests.harness import Org, Service

PROMOTION = {
    "programId": 469,
    "name": "Review and save",
    "type": "LOYALTY_EARNING",
    "startDate": "2026-05-01T00:00:00Z",
    "endDate": "2026-12-31T00:00:00Z",
}


def audit(org: Org, **query: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = data(org.get("/milepost/v1/audit", params=query))
    return found


def changes(entry: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    return {each["field"]: (each["from"], each["to"]) for each in entry["changes"]}


def acts(entries: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(entry["action"], entry["subject"]["type"]) for entry in entries]


def test_an_edit_is_told_with_who_made_it_and_what_it_changed(org: Org) -> None:
    group = org.define(**milestone(description="Old"))
    edited = org.client.put(
        f"/v3/targetGroups/editTargetGroup/{group['id']}", json={"description": "New"}
    )
    entry = audit(org)[0]
    assert entry["action"] == "CHANGED"
    assert entry["subject"] == {"type": "TARGET_GROUP", "id": str(group["id"])}
    assert changes(entry) == {"description": ("Old", "New")}
    assert entry["requestId"] == edited.headers["X-Cap-Requestid"]
    assert (entry["who"]["type"], entry["who"]["name"]) == ("TILL", org.username)
    assert isinstance(entry["who"]["credentialId"], int)
    assert entry["at"] == "2026-06-01T00:00:00.000Z"
    assert entry["recordedAt"] > entry["at"]


def test_everything_that_is_defined_leaves_an_entry_newest_first(org: Org) -> None:
    group = org.define(**milestone())
    targets = f"/v3/targetGroups/{group['id']}/targets"
    assert org.post(targets, [target("Second")]).status_code == 200
    second = data(org.get(targets))[-1]["id"]
    org.client.delete(f"{targets}/{second}").raise_for_status()
    org.client.delete(f"/v3/targetGroups/{group['id']}").raise_for_status()
    data(org.post("/milepost/v1/programs", {"programId": 469, "name": "Club"}))
    promotion = data(org.post("/milepost/v1/promotions", PROMOTION))["promotionId"]
    data(org.client.put(f"/milepost/v1/promotions/{promotion}", json={"active": False}))
    event = {"eventName": "runLogged", "actions": ["EMFConsumer"], "fields": []}
    assert org.post("/v2/events", event).status_code == 200
    found = audit(org)
    assert acts(found) == [
        ("CREATED", "EVENT_DEFINITION"),
        ("DEACTIVATED", "PROMOTION"),
        ("CREATED", "PROMOTION"),
        ("CREATED", "PROGRAM"),
        ("DELETED", "TARGET_GROUP"),
        ("CHANGED", "TARGET_GROUP"),
        ("CHANGED", "TARGET_GROUP"),
        ("CREATED", "TARGET_GROUP"),
        ("CREATED", "CREDENTIAL"),
        ("CREATED", "CREDENTIAL"),
        ("CREATED", "ORGANISATION"),
    ]
    assert changes(found[1]) == {"active": (True, False)}
    assert changes(found[5])[f"targets.{second}.active"] == (True, False)
    assert changes(found[6])[f"targets.{second}.name"] == (None, "Second")
    assert all(entry["who"]["type"] == "TILL" for entry in found[:8])


def test_what_is_refused_or_changes_nothing_leaves_no_entry(org: Org) -> None:
    group = org.define(**milestone(description="Old"))
    before = audit(org)
    edit = f"/v3/targetGroups/editTargetGroup/{group['id']}"
    assert code(org.client.put(edit, json={"name": " "})) == 300004
    assert org.client.put(edit, json={"description": "Old"}).status_code == 200
    assert audit(org) == before


def test_the_operators_acts_are_the_operators(service: Service, org: Org) -> None:
    path = f"/milepost/v1/orgs/{org.id}"
    data(service.operator.put(path, json={"name": "Renamed", "returnsAdjustTargets": False}))
    body = {"orgId": org.id, "type": "OAUTH", "access": {"Customer": "READ"}}
    made = data(service.operator.post("/milepost/v1/credentials", json=body))
    credential, settings, *_ = audit(org)
    assert settings["subject"] == {"type": "ORGANISATION", "id": str(org.id)}
    assert changes(settings) == {"name": ("Test", "Renamed"), "returnsAdjustTargets": (True, False)}
    assert credential["who"] == {"credentialId": None, "type": "OPERATOR", "name": None}
    assert changes(credential) == {
        "type": (None, "OAUTH"),
        "name": (None, made["oauth"]["key"]),
        "access.Customer": (None, "READ"),
    }
    assert data(service.operator.get(f"{path}/audit", params={"limit": 2})) == [
        credential,
        settings,
    ]


def test_what_decides_on_access_is_told(service: Service, org: Org) -> None:
    operator, path = service.operator, f"/milepost/v1/orgs/{org.id}"
    group = data(
        operator.post(
            f"{path}/access-groups", json={"name": "Readers", "access": {"Customer": "READ"}}
        )
    )["accessGroupId"]
    data(
        operator.put(
            f"{path}/access-groups/{group}", json={"name": "Readers", "access": {"Store": "READ"}}
        )
    )
    store = data(operator.post(f"{path}/stores", json={"code": "s-1", "name": "Main street"}))
    changed_store = {"code": "s-1", "name": "Main street", "accessGroupId": group}
    data(operator.put(f"{path}/stores/{store['storeId']}", json=changed_store))
    till = {"name": "till.made", "password": "made-password", "storeId": store["storeId"]}
    made = org.post("/v2/orgEntity/till", till)
    assert made.status_code == 200, made.text
    created = made.json()["createdId"]
    for _ in range(2):
        data(operator.delete(f"/milepost/v1/credentials/{created}"))
    data(operator.post(f"{path}/signing-keys", json={}))
    found = audit(org)
    assert acts(found)[:7] == [
        ("ROTATED", "SIGNING_KEY"),
        ("REVOKED", "CREDENTIAL"),
        ("CREATED", "CREDENTIAL"),
        ("CHANGED", "STORE"),
        ("CREATED", "STORE"),
        ("CHANGED", "ACCESS_GROUP"),
        ("CREATED", "ACCESS_GROUP"),
    ]
    assert found[2]["who"]["name"] == org.username
    assert changes(found[2])["storeId"] == (None, store["storeId"])
    assert changes(found[3]) == {"accessGroupId": (None, group)}
    assert changes(found[5]) == {"access.Customer": ("READ", None), "access.Store": (None, "READ")}
    assert "made-password" not in str(found)


def test_an_entry_never_holds_a_secret_or_its_hash(
    service: Service, org: Org, database_url: str
) -> None:
    made = data(
        service.operator.post("/milepost/v1/credentials", json={"orgId": org.id, "type": "TILL"})
    )
    with psycopg.connect(database_url) as connection:
        kept = str(connection.execute("SELECT audit_entries::text FROM audit_entries").fetchall())
        hashes = connection.execute("SELECT secret_hash FROM credentials").fetchall()
    assert made["till"]["username"] in kept
    for secret in (made["till"]["password"], org.password, *(row[0] for row in hashes)):
        assert secret not in kept


def test_a_move_of_the_clock_is_told_to_the_whole_hierarchy(service: Service) -> None:
    parent = service.new_org()
    child = service.new_org(parentOrgId=parent.id, sandbox=None, now=None)
    parent.move_clock("2026-06-02T00:00:00Z")
    parent.move_clock("2026-06-02T00:00:00Z")  # no move
    (entry,) = audit(parent, subjectType="CLOCK")
    assert entry["action"] == "MOVED"
    assert changes(entry) == {"now": ("2026-06-01T00:00:00Z", "2026-06-02T00:00:00Z")}
    (told,) = audit(child, subjectType="clock")
    assert told["who"] == entry["who"]


def test_the_entries_of_a_customer_have_what_callers_did_by_the_journal(org: Org) -> None:
    group = org.define(**milestone())
    ids = group["id"], group["targets"][0]["id"]
    data(org.post("/milepost/v1/programs", {"programId": 469, "name": "Club"}))
    promotion = data(org.post("/milepost/v1/promotions", PROMOTION))["promotionId"]
    mobile = "919876500001"
    customer = org.register(mobile=mobile)
    enrolled = org.enrol(*ids, customer)
    org.move_clock("2026-06-01T01:00:00Z")
    assert org.unenrol(*ids, customer).status_code == 200
    call: dict[str, Any] = {
        "type": "CUSTOMER",
        "promotionDetails": {"programId": 469, "promotionId": promotion},
        "identifierName": "mobile",
        "customers": [{"identifierValue": mobile, "source": "INSTORE"}],
    }
    for action in ("ENROL", "EARN"):
        made = org.post("/v2/promotion/bulk/enrolAndEarn", {**call, "bulkAction": action})
        assert made.json()["failureCount"] == 0, made.text
    found = audit(org, customerId=customer)
    assert [entry["action"] for entry in found] == ["ISSUED", "ENROLLED", "UNENROLLED", "ENROLLED"]
    first = found[-1]
    assert first["subject"] == {"type": "CUSTOMER", "id": str(customer)}
    assert first["requestId"] == enrolled.headers["X-Cap-Requestid"]
    assert all(entry["who"]["name"] == org.username for entry in found)
    assert changes(first)["targetId"] == (None, ids[1])
    assert changes(found[2])["targetId"] == (ids[1], None)
    assert changes(found[0])["promotionId"] == (None, promotion)
    assert audit(org, customerId=customer + 1) == []


def test_pages_of_a_customers_entries_join(org: Org) -> None:
    group = org.define(**milestone())
    ids = group["id"], group["targets"][0]["id"]
    customer = org.register()
    for number in range(4):
        assert org.enrol(*ids, customer).status_code == 200
        assert org.unenrol(*ids, customer).status_code == 200
        assert org.get(f"/milepost/v1/customers/{customer}/export").status_code == 200
        org.move_clock(f"2026-06-01T0{number + 1}:00:00Z")
    whole = audit(org, customerId=customer)
    assert len(whole) == 12
    pages, before = [], ""
    while page := audit(org, customerId=customer, limit=5, before=before):
        pages += page
        before = page[-1]["auditId"]
    assert pages == whole
    assert [entry["at"] for entry in whole] == sorted(
        (entry["at"] for entry in whole), reverse=True
    )


def test_pages_of_all_entries_join(org: Org) -> None:
    for _ in range(4):
        org.define(**milestone())
    whole, pages, before = audit(org), [], ""
    while page := audit(org, limit=3, before=before):
        pages += page
        before = page[-1]["auditId"]
    assert pages == whole
    assert len(whole) == 7


def test_entries_are_found_by_who_when_and_what(service: Service, org: Org) -> None:
    first = org.define(**milestone())
    org.move_clock("2026-06-02T00:00:00Z")
    body = {"orgId": org.id, "type": "TILL", "access": {"Target Loyalty": "WRITE"}}
    till = data(service.operator.post("/milepost/v1/credentials", json=body))["till"]
    other = Org(org.id, service.connect(auth=(till["username"], till["password"])), "", "")
    second = other.define(**milestone())
    assert code_of(other.get("/milepost/v1/audit")) == (403, 4000)
    groups = audit(org, subjectType="TARGET_GROUP")
    assert [entry["subject"]["id"] for entry in groups] == [str(second["id"]), str(first["id"])]
    assert audit(org, subjectType="TARGET_GROUP", subjectId=first["id"]) == groups[1:]
    assert audit(org, credentialId=groups[0]["who"]["credentialId"]) == groups[:1]
    assert audit(org, **{"from": "2026-06-02T00:00:00Z"})[-1]["action"] == "CREATED"
    early = audit(org, to="2026-06-01T00:00:00.001Z")
    assert groups[1] in early
    assert groups[0] not in early


def test_another_organisations_entries_do_not_show(service: Service, org: Org) -> None:
    other = service.new_org()
    group = other.define(**milestone())
    (entry,) = audit(other, subjectType="TARGET_GROUP")
    assert audit(org, subjectType="TARGET_GROUP") == []
    assert audit(org, subjectId=group["id"], subjectType="TARGET_GROUP") == []
    assert audit(org, credentialId=entry["who"]["credentialId"]) == []
    assert audit(org, before=entry["auditId"]) == []


@pytest.mark.parametrize(
    "query",
    [
        {"limit": "0"},
        {"limit": "1001"},
        {"limit": "x"},
        {"credentialId": "x"},
        {"customerId": "1.5"},
        {"customerId": "9" * 19},
        {"from": "yesterday"},
        {"to": "2026-06-01"},
        {"before": "17"},
        {"before": "j17"},
        {"before": "a" + "9" * 19},
        {"subjectId": "1"},
        {"subjectType": "CUSTOMER", "customerId": "1"},
        {"subjectType": "\x00"},
        {"subjectType": "X" * 201},
    ],
)
def test_a_query_that_cannot_be_is_refused(org: Org, query: dict[str, str]) -> None:
    assert code(org.get("/milepost/v1/audit", params=query)) == 300004


def test_the_operator_asks_for_an_organisation_that_there_is(service: Service) -> None:
    assert code(service.operator.get("/milepost/v1/orgs/999999/audit")) == 300004
    assert code(service.operator.get("/milepost/v1/orgs/x/audit")) == 300004


def code_of(response: httpx.Response) -> tuple[int, int]:
    return response.status_code, response.json()["errors"][0]["code"]
