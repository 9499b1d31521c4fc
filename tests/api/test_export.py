"""All that is kept of a customer, as lines: `GET /milepost/v1/customers/{customerId}/export`."""

from __future__ import annotations

import base64
import json
import socket
from collections import Counter
from typing import Any

import msgspec
import psycopg
import pytest

from milepost.api.export_lines import ExportLine
from tests.api.payloads import code, data, milestone, streak, target
from tests.harness import Org, Service

REWARD = {"name": "Fifty", "type": "POINTS", "value": 50}
_line = msgspec.json.Decoder(ExportLine, strict=False)


def export(org: Org, customer: int) -> list[dict[str, Any]]:
    answer = org.get(f"/milepost/v1/customers/{customer}/export")
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == "application/x-ndjson"
    assert answer.content.endswith(b"\n")
    for line in answer.content.splitlines():
        _line.decode(line)
    return [json.loads(line) for line in answer.content.splitlines()]


def of_kind(lines: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [line for line in lines if line["kind"] == kind]


def full_life(org: Org) -> tuple[int, dict[str, Any]]:
    """A customer with something of every kind."""
    group = org.define(**milestone(targets=[target(rewards=[REWARD])]))
    levels = [{"name": f"First of {group['id']}", "targetCountOfSequence": 1}]
    run = org.define(**streak(streaks=levels))
    data(org.post("/milepost/v1/programs", {"programId": 1, "name": "Club"}))
    promotion = {
        "programId": 1,
        "name": "Enrol and earn",
        "promotionId": 57099,
        "type": "LOYALTY_EARNING",
        "startDate": "2026-05-01T00:00:00Z",
        "endDate": "2026-12-31T00:00:00Z",
        "criteria": {"event": "TransactionAdd"},
        "rewards": [REWARD],
    }
    data(org.post("/milepost/v1/promotions", promotion))
    profile = {
        "firstName": "Wilhelmina",
        "source": "INSTORE",
        "identifiers": [
            {"type": "mobile", "value": "919123400001"},
            {"type": "email", "value": "w@example.org"},
        ],
        "fields": {"size": "L"},
    }
    customer = int(org.post("/v2/customers", {"profiles": [profile]}).json()["createdId"])
    for each in (group, run):
        assert org.enrol(each["id"], each["targets"][0]["id"], customer).status_code == 200
    call = {
        "type": "CUSTOMER",
        "promotionDetails": {"programId": 1, "promotionId": 57099},
        "identifierName": "id",
        "customers": [{"identifierValue": str(customer), "source": "INSTORE"}],
    }
    for action in ("ENROL", "EARN"):
        made = org.post("/v2/promotion/bulk/enrolAndEarn", {**call, "bulkAction": action})
        assert made.json()["failureCount"] == 0, made.text
    activity = {
        "id": "bill-1",
        "customerId": customer,
        "type": "TRANSACTION",
        "netAmount": 1500.25,
        "occurredAt": org.now(),
        "lineItems": [{"sku": "A", "quantity": 2, "netAmount": 1500.25}],
        "attributes": {"channel": "web"},
    }
    (result,) = data(org.post("/milepost/v1/activities", [activity]))
    assert result["status"] == "ACCEPTED"
    return customer, group


def test_an_export_has_everything_that_is_kept_of_a_customer(org: Org) -> None:
    customer, group = full_life(org)
    lines = export(org, customer)
    assert set(Counter(line["kind"] for line in lines)) == {
        kind.__struct_config__.tag for kind in ExportLine.__args__
    }
    (profile,) = of_kind(lines, "profile")
    assert profile["firstName"] == "Wilhelmina"
    assert profile["identifiers"] == [
        {"type": "email", "value": "w@example.org"},
        {"type": "mobile", "value": "919123400001"},
    ]
    assert profile["fields"] == {"size": "L"}
    (activity,) = of_kind(lines, "activity")
    assert (activity["id"], activity["netAmount"]) == ("bill-1", 1500.25)
    assert activity["attributes"] == {"channel": "web"}
    assert activity["lineItems"][0]["sku"] == "A"
    progress = of_kind(lines, "progress")[0]
    assert (progress["targetGroupId"], progress["value"]) == (group["id"], 1500.25)
    assert of_kind(lines, "redemption")[0]["paidFor"] == "activity bill-1"
    assert [line["name"] for line in of_kind(lines, "reward")] == ["Fifty", "Fifty"]


def test_the_explanation_and_rewards_in_an_export_are_those_of_the_calls(org: Org) -> None:
    customer, _ = full_life(org)
    lines = export(org, customer)
    for kind, call in (("explanation", "explanation"), ("reward", "rewards")):
        told = [{key: line[key] for key in line if key != "kind"} for line in of_kind(lines, kind)]
        assert told == data(org.get(f"/milepost/v1/customers/{customer}/{call}"))


def test_the_last_line_says_how_many_there_were(org: Org) -> None:
    customer = org.register()
    lines = export(org, customer)
    assert [line["kind"] for line in lines] == ["customer", "profile", "end"]
    assert lines[-1]["lines"] == 2


def test_an_export_of_any_size_comes_page_by_page(org: Org) -> None:
    customer = org.register()
    group = org.define(**milestone())
    org.enrol(group["id"], group["targets"][0]["id"], customer)
    activities = [
        {
            "id": f"bill-{number:04d}",
            "customerId": customer,
            "type": "TRANSACTION",
            "netAmount": 1,
            "occurredAt": "2026-06-01T00:00:00Z",
        }
        for number in range(2_500)
    ]
    for first in range(0, 2_500, 1_000):
        data(org.post("/milepost/v1/activities", activities[first : first + 1_000]))
    lines = export(org, customer)
    assert [line["id"] for line in of_kind(lines, "activity")] == [
        activity["id"] for activity in activities
    ]
    # The enrolment, the achievement and each bill are told.
    assert len(of_kind(lines, "explanation")) == 2_502
    assert lines[-1] == {"kind": "end", "lines": len(lines) - 1}


def test_a_reader_that_goes_away_disturbs_nobody(service: Service, org: Org) -> None:
    customer, _ = full_life(org)
    host, _, port = service.url.removeprefix("http://").partition(":")
    till = base64.b64encode(f"{org.username}:{org.password}".encode()).decode()
    request = (
        f"GET /milepost/v1/customers/{customer}/export HTTP/1.1\r\nHost: {host}\r\n"
        f"Authorization: Basic {till}\r\n\r\n"
    )
    for _ in range(3):
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(request.encode())
            assert connection.recv(12) == b"HTTP/1.1 200"
    assert export(org, customer)[-1]["kind"] == "end"


def test_an_export_is_noted_in_the_audit_trail(org: Org) -> None:
    customer = org.register()
    export(org, customer)
    (entry,) = data(org.get("/milepost/v1/audit", params={"customerId": customer}))
    assert (entry["action"], entry["changes"]) == ("EXPORTED", [])
    assert entry["subject"] == {"type": "CUSTOMER", "id": str(customer)}
    assert entry["who"]["name"] == org.username


def test_a_child_exports_the_shared_profile_and_what_is_its_own(service: Service) -> None:
    parent = service.new_org()
    child = service.new_org(parentOrgId=parent.id, sandbox=None, now=None)
    customer, _ = full_life(parent)
    kinds = Counter(line["kind"] for line in export(child, customer))
    assert kinds == {"customer": 1, "profile": 1, "end": 1}


@pytest.mark.parametrize(
    ("customer", "refused"), [("4711", 310011), ("x", 300004), ("1.5", 300004), ("9" * 40, 300004)]
)
def test_who_is_unknown_or_no_id_is_refused(org: Org, customer: str, refused: int) -> None:
    assert code(org.get(f"/milepost/v1/customers/{customer}/export")) == refused


def test_a_customer_of_another_organisation_is_unknown(service: Service, org: Org) -> None:
    stranger = service.new_org().register()
    assert code(org.get(f"/milepost/v1/customers/{stranger}/export")) == 310011


def test_an_export_that_is_refused_leaves_no_entry(org: Org, database_url: str) -> None:
    assert code(org.get("/milepost/v1/customers/4711/export")) == 310011
    with psycopg.connect(database_url) as connection:
        query = "SELECT 1 FROM audit_entries WHERE subject_id = '4711'"
        assert connection.execute(query).fetchall() == []
