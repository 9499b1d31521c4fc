"""House law 7, proved over every route: another organisation's ids cannot be told from unknown ones.

Each operation is called by an organisation with everything that another one has, and then with ids that
nobody has. What it answers must be the same, and the other organisation's rows must be what they were. The
tables have their proof in tests/store/test_row_level_security.py.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import httpx
import psycopg
import pytest

from tests.api.payloads import milestone, target
from tests.harness import Org, Service
from tests.house.tree import ROOT

Names = Mapping[str, str]
"""What the parts of paths, queries and bodies are filled with, by their names there."""

UNKNOWN: Names = {
    "targetGroupId": "918273645001",
    "targetId": "918273645002",
    "targetRuleId": "918273645002",
    "targetRuleIds": "918273645002",
    "periodId": "918273645003",
    "customerId": "918273645004",
    "userId": "918273645004",
    "memberId": "918273645004",
    "identifierValue": "918273645004",
    "mobile": "918273645005",
    "programId": "918273645006",
    "program": "918273645006",
    "programs": "918273645006",
    "promotionId": "918273645007",
    "promotionIdentifier": "nobodys-promotion",
    "promotionName": "Nobody's promotion",
    "simulationId": "918273645008",
    "groupName": "Nobody's group",
    "refCode": "nobodys-cycle",
    "activityId": "nobodys-activity",
    "eventName": "nobodysEvent",
    "issualId": "918273645009",
    "earnId": "918273645010",
    "storeId": "918273645011",
    "webHookId": "918273645011",
    "eventId": "91827364-5012-5d4e-9c52-1f2e3d4c5b6a",
    "requestId": "nobodys-request",
    "refId": "918273645013_nobodys-request",
}
FIXED: Names = {
    "promotionType": "SIMPLE",
    "identifierName": "id",
    "source": "INSTORE",
    "limit": "10",
    "offset": "0",
    "sourceType": "UI",
}
"""The same in both calls: they name nothing of anybody."""

AT = "2026-06-01T00:00:00Z"


@dataclass(frozen=True)
class Operation:
    method: str
    path: str
    query: tuple[str, ...]
    has_body: bool

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


def operations() -> Iterator[Operation]:
    """Every operation for callers of an organisation; of the four prefixes, two that read differently."""
    document = json.loads((ROOT / "openapi.json").read_text())
    for path, methods in document["paths"].items():
        if path.startswith(("/targetGroups", "/users", "/milestones", "/api_gateway/intouch")):
            continue
        for method, operation in methods.items():
            if "x-access" in operation:
                names = [each["name"] for each in operation["parameters"] if each["in"] == "query"]
                yield Operation(method.upper(), path, tuple(names), "requestBody" in operation)


OPERATIONS = list(operations())


def bodies(names: Names) -> dict[str, Any]:
    """By method and path without version: a body that names everything it can."""
    customer = {"identifierValue": names["customerId"], "source": "INSTORE"}
    details = {"programId": int(names["programId"]), "promotionId": int(names["promotionId"])}
    bulk = {
        "type": "CUSTOMER",
        "promotionDetails": details,
        "identifierName": "id",
        "customers": [customer],
    }
    group = milestone(name=names["groupName"], targets=[target(names["groupName"])])
    promotion = {
        "programId": int(names["programId"]),
        "promotionId": int(names["promotionId"]),
        "name": names["promotionName"],
        "promoIdentifier": names["promotionIdentifier"],
        "type": "GENERIC",
        "startDate": AT,
        "endDate": "2026-12-31T00:00:00Z",
    }
    unified = {"promotionName": names["promotionName"], "programId": int(names["programId"])}
    hook = {
        "name": "Shop",
        "webHookUrl": "https://shop.example/",
        "eventNames": ["targetCustomerEnrolment"],
    }
    period = {"refCode": names["refCode"], "startDate": "2026-06-01", "endDate": "2026-06-01"}
    bill = {
        "type": "REGULAR",
        "billNumber": names["activityId"],
        "billAmount": 10,
        "billingDate": AT,
    }
    activity = {
        "id": names["activityId"],
        "customerId": int(names["customerId"]),
        "type": "TRANSACTION",
        "occurredAt": AT,
        "netAmount": 5,
    }
    return {
        "POST /milepost/v1/activities": [activity],
        "PUT /milepost/v1/clock": {"now": AT},
        "POST /milepost/v1/programs": {"programId": int(names["programId"]), "name": "Club"},
        "POST /milepost/v1/promotions": promotion,
        "PUT /milepost/v1/promotions/{promotionId}": {"name": names["promotionName"]},
        "POST /milepost/v1/simulations": {
            "from": "2026-05-01T00:00:00Z",
            "to": AT,
            "targetGroupId": int(names["targetGroupId"]),
        },
        "POST /milepost/v1/webhooks/{webHookId}/replay": {"eventIds": [names["eventId"]]},
        "POST /milepost/v1/webhooks/{webHookId}/secret": {},
        **{
            call: hook
            for path in ("/v3/webHooks", "/v3/webhooks")
            for call in (f"POST {path}", f"PUT {path}/{{webHookId}}")
        },
        "POST /v2/customers": {
            "customerId": int(names["customerId"]),
            "profiles": [
                {
                    "source": "INSTORE",
                    "identifiers": [{"type": "mobile", "value": names["mobile"]}],
                }
            ],
        },
        "POST /v2/events": {"eventName": names["eventName"], "actions": [], "fields": []},
        "POST /v2/events/push": {
            "event_name": names["eventName"],
            "customer_id": names["customerId"],
        },
        "POST /v2/events/webhook": {},
        "POST /v2/orgEntity/till": {
            "name": "strangers.till",
            "password": "Pass123",
            "storeId": int(names["storeId"]),
        },
        "POST /v2/promotion/bulk/directEarn": bulk,
        "POST /v2/promotion/bulk/enrolAndEarn": {**bulk, "bulkAction": "ENROL"},
        "POST /v2/promotion/bulk/revokeDirectEarn": {
            **bulk,
            "customers": [{**customer, "earnIds": [int(names["earnId"])]}],
        },
        "POST /v2/promotion/bulk/revokeEnrolAndEarn": {**bulk, "bulkAction": "REVOKE_ENROL"},
        "POST /v2/promotion/issue": details,
        "POST /v2/transactions": bill,
        "POST /v2/transactions/bulk": [
            {
                **bill,
                "identifierType": "mobile",
                "identifierValue": names["mobile"],
                "source": "INSTORE",
            }
        ],
        "POST /v3/promotions": unified,
        "POST /v3/promotions/enrol": {
            "action": "ENROL",
            "programId": int(names["programId"]),
            "promotion": {"promotionId": int(names["promotionId"])},
            "customer": {**customer, "identifierName": "id"},
        },
        "PUT /v3/promotions/{promotionId}": unified,
        "POST /v3/promotions/{promotionId}/review": {"approvalStatus": "APPROVE"},
        "PUT /v3/promotions/{promotionId}/status": {"active": False},
        "POST /api_gateway/loyalty/v1/programs/{programId}/createPromotion/{promotionType}": {
            "promotion": {
                "name": names["promotionName"],
                "startDate": "2026-06-01",
                "endDate": "2026-12-31",
            }
        },
        "POST /targetGroups": group,
        "PUT /targetGroups/editTargetGroup/{targetGroupId}": group,
        "POST /targetGroups/isValidName": {"type": "TARGET_GROUP", "value": names["groupName"]},
        "POST /targetGroups/{targetGroupId}/targetPeriods": [period],
        "PUT /targetGroups/{targetGroupId}/targetPeriods": [
            {**period, "id": int(names["periodId"])}
        ],
        "POST /targetGroups/{targetGroupId}/targets": [target(names["groupName"])],
        "PUT /targetGroups/{targetGroupId}/targets/{targetId}": target(names["groupName"]),
        "POST /targetGroups/{targetGroupId}/targets/{targetId}/enroll": [
            {"customerId": int(names["customerId"]), "periodName": names["refCode"]}
        ],
        "POST /targetGroups/{targetGroupId}/targets/{targetId}/unEnroll": [
            {"customerId": int(names["customerId"])}
        ],
        "POST /targetGroups/{targetGroupId}/unifiedTargets": {"targets": []},
        "PUT /targetGroups/{targetGroupId}/unifiedTargets": {"targets": []},
    }


def body_of(operation: Operation, names: Names) -> Any:
    path = re.sub(r"^/v3(\.1)?(?=/targetGroups)", "", operation.path)
    return bodies(names)[f"{operation.method} {path}"]


@pytest.fixture(scope="module")
def owner(service: Service, database_url: str) -> tuple[Org, Names]:
    """An organisation that has one of everything, and the names of it all."""
    org = service.new_org(name="Owner")
    group = org.define(**milestone())
    group_id, target_id = group["id"], group["targets"][0]["id"]
    period = org.get(f"/v3/targetGroups/{group_id}/targetPeriods").json()["data"][0]
    mobile = "919876500001"
    customer = org.register(mobile=mobile)
    promotion = {
        "programId": 881001,
        "promotionId": 881002,
        "name": "Owner's promotion",
        "promoIdentifier": "owners-promotion",
        "type": "LOYALTY",
        "startDate": "2026-05-01T00:00:00Z",
        "endDate": "2026-12-31T00:00:00Z",
    }
    made(org.post("/milepost/v1/programs", {"programId": 881001, "name": "Club"}))
    made(org.post("/milepost/v1/promotions", promotion))
    made(org.enrol(group_id, target_id, customer))
    fields = [{"name": "customer_id", "type": "customer", "isRequired": True}]
    event = {"eventName": "ownersEvent", "actions": ["EMFConsumer"], "fields": fields}
    made(org.post("/v2/events", event))
    activity = {
        "id": "owners-activity",
        "customerId": customer,
        "type": "TRANSACTION",
        "occurredAt": AT,
        "netAmount": 50,
    }
    made(org.post("/milepost/v1/activities", [activity]))
    details = {"programId": 881001, "promotionId": 881002}
    earned = made(
        org.post(
            "/v2/promotion/bulk/directEarn",
            {
                "type": "CUSTOMER",
                "promotionDetails": details,
                "identifierName": "id",
                "customers": [{"identifierValue": str(customer), "source": "INSTORE"}],
            },
        )
    )["response"][0]["result"]
    store = {"storeId": 881003, "code": "owners", "name": "Owner's store"}
    made(service.operator.post(f"/milepost/v1/orgs/{org.id}/stores", json=store))
    span = {"from": "2026-05-01T00:00:00Z", "to": AT, "targetGroupId": group_id}
    simulation = made(org.post("/milepost/v1/simulations", span))["data"]["simulationId"]
    hook = {
        "name": "Owner's",
        "webHookUrl": "https://shop.example/",
        "eventNames": ["promotionIssued"],
    }
    webhook_id = made(org.post("/v3/webHooks", hook))["data"]["webHookId"]
    event_id = "6f1c7f0e-8a3b-5d4e-9c52-1f2e3d4c5b6a"
    with psycopg.connect(database_url) as connection:
        connection.execute(
            "INSERT INTO deliveries (org_id, customer_id, webhook_id, source_org_id, version, ordinal, "
            "place, event_id, event_name, request_id, ingested_at, next_attempt_at) VALUES (%(org)s, "
            "%(customer)s, %(hook)s, %(org)s, 1, 0, 0, %(event)s, 'e', 'owners-request', now(), now())",
            {"org": org.id, "customer": customer, "hook": webhook_id, "event": event_id},
        )
    return org, {
        "webHookId": webhook_id,
        "eventId": event_id,
        "requestId": "owners-request",
        "refId": f"{org.id}_owners-request",
        "targetGroupId": str(group_id),
        "targetId": str(target_id),
        "targetRuleId": str(target_id),
        "targetRuleIds": str(target_id),
        "periodId": str(period["id"]),
        "customerId": str(customer),
        "userId": str(customer),
        "memberId": str(customer),
        "identifierValue": str(customer),
        "mobile": mobile,
        "programId": "881001",
        "program": "881001",
        "programs": "881001",
        "promotionId": "881002",
        "promotionIdentifier": "owners-promotion",
        "promotionName": "Owner's promotion",
        "simulationId": str(simulation),
        "groupName": group["name"],
        "refCode": period["refCode"],
        "activityId": "owners-activity",
        "eventName": "ownersEvent",
        "issualId": str(earned["issualId"]),
        "earnId": str(earned["earnedId"]),
        "storeId": "881003",
    }


def made(response: httpx.Response) -> Any:
    assert response.status_code < 300, response.text
    return response.json()


def variants(operation: Operation, names: Names) -> Iterator[Names]:
    """The call with all that its query can name, and with what excludes each other apart."""
    known = {**FIXED, **names}
    yield known
    for dropped in (
        {"promotionId"},
        {"targetId"},
        {"eventName", "promotionIdentifier", "programs"},
    ):
        if not dropped.isdisjoint(operation.query):
            kept = {*known} - dropped
            kept |= set(re.findall(r"\{(\w+)\}", operation.path))
            yield {name: known[name] for name in known if name in kept or operation.has_body}
    if "identifierName" in operation.query:
        yield {**known, "identifierName": "mobile", "identifierValue": names["mobile"]}


def call(org: Org, operation: Operation, known: Names, names: Names) -> tuple[int, str]:
    """What the organisation is answered, with every name that it sent replaced by what it is a name of."""
    path = re.sub(r"\{(\w+)\}", lambda found: known[found[1]], operation.path)
    query = {name: known[name] for name in operation.query if name in known}
    body = body_of(operation, names) if operation.has_body else None
    response = org.client.request(operation.method, path, params=query, json=body)
    return response.status_code, anonymous(response.text, names)


def anonymous(text: str, names: Names) -> str:
    for name, value in sorted(names.items(), key=lambda item: -len(item[1])):
        # Whole numbers only: a short id is in many a longer one.
        text = re.sub(rf"(?<!\d){re.escape(value)}(?!\d)", f"<{name}>", text)
    # What is given out anew each time, and when.
    random = r'"webHookId":"[0-9a-f]{24}"|"consumerGroupId":"[0-9a-f-]{36}"|whsec_[\w+/=]+'
    text = re.sub(random, "", text)
    text = re.sub(r'"(\w*[iI]d|createdId|entity)":"?\d+"?', r'"\1":0', text)
    text = re.sub(r'"requestId":"\w+"|"promotionIdentifier":"[0-9a-f-]{36}"', "", text)
    text = re.sub(r"[0-9a-f]{24}", "<v3>", text)
    text = re.sub(r'PERIOD_G_\d+|"\d{7,}":', "", text)
    return re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+(Z|[+-]\d\d:?\d\d)?|Milestone \d+|Target \d+", "", text)


def rows_of(database_url: str, org_id: int) -> dict[str, str]:
    """A hash of everything that an organisation has, by table."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        tables = connection.execute(
            "SELECT table_name FROM information_schema.columns "
            "WHERE table_schema = 'public' AND column_name = 'org_id' ORDER BY 1"
        ).fetchall()
        query = " UNION ALL ".join(
            f"SELECT '{table}', coalesce(sum(hashtextextended(t::text, 0)::numeric), 0)::text "
            f"FROM {table} t WHERE org_id = {org_id}"
            for (table,) in tables
        )
        return dict(connection.execute(query.encode()).fetchall())


@pytest.mark.parametrize("operation", OPERATIONS, ids=str)
def test_another_organisations_ids_cannot_be_told_from_unknown_ones(
    service: Service, database_url: str, owner: tuple[Org, Names], operation: Operation
) -> None:
    org, names = owner
    before = rows_of(database_url, org.id)
    # Two strangers, for what the first call makes the second would find.
    answers = []
    for theirs in (names, UNKNOWN):
        stranger = service.new_org(name="Stranger")
        answers.append(
            [call(stranger, operation, known, theirs) for known in variants(operation, theirs)]
        )
    assert answers[0] == answers[1]
    assert all(status < 500 for status, _ in answers[0])
    assert rows_of(database_url, org.id) == before


@pytest.mark.parametrize("operation", OPERATIONS, ids=str)
def test_the_owner_is_answered_by_the_same_calls(
    owner: tuple[Org, Names], operation: Operation
) -> None:
    """That the calls above reach anything at all: whoever owns the ids is told more than a stranger."""
    org, names = owner
    if operation.method == "GET" and "{" in operation.path:
        answers = [call(org, operation, known, names) for known in variants(operation, names)]
        answers.append(call(org, replace(operation, query=()), {**FIXED, **names}, names))
        assert 200 in [status for status, _ in answers]


@pytest.mark.parametrize("operation", OPERATIONS, ids=str)
def test_every_operation_is_in_the_walk(operation: Operation) -> None:
    """A new route says here what its path and body name."""
    for name in re.findall(r"\{(\w+)\}", operation.path):
        assert name in {**FIXED, **UNKNOWN}
    if operation.has_body:
        body_of(operation, UNKNOWN)
