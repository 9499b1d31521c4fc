"""Connected organisations: contract §8, with the table of domain platform §4.5 cell by cell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from tests.api.payloads import milestone, target
from tests.harness import Org, Service

UNSUPPORTED = 310141
NOT_SET = 310144

CONNECTED = ("", "/v3.1", "/api_gateway/intouch-api-v3/v3.1")
"""The prefixes that read the scope headers."""


@dataclass(frozen=True)
class Family:
    """A parent with two children, of which each has its own milestone; and an organisation apart."""

    parent: Org
    first: Org
    second: Org
    stranger: Org
    groups: dict[int, tuple[int, int]]
    """By organisation: group and target."""

    def who(self, name: str) -> Org:
        found: Org = getattr(self, name)
        return found

    def ids(self, names: str) -> str:
        """The ids of some organisations, as a header has them."""
        return ",".join(str(self.who(name).id) for name in names.split())

    def headers(self, scope: str | None, names: str = "") -> dict[str, str]:
        headers = {} if scope is None else {"DATA-SCOPE": scope}
        return {**headers, "DATA-SCOPE-ORG": self.ids(names)} if names else headers


def grow(service: Service, children: int = 2) -> Family:
    parent = service.new_org(name="Parent")
    born = [
        service.new_org(name=f"Child {n}", now=None, sandbox=None, parentOrgId=parent.id)
        for n in range(children)
    ]
    stranger = service.new_org(name="Stranger")
    groups: dict[int, tuple[int, int]] = {}
    for org in (parent, *born, stranger):
        group = org.define(**milestone())
        groups[org.id] = (group["id"], group["targets"][0]["id"])
    return Family(parent, born[0], born[1], stranger, groups)


@pytest.fixture(scope="module")
def family(service: Service) -> Family:
    return grow(service)


def code(response: httpx.Response) -> int:
    if response.status_code == 200:
        return 200
    assert response.status_code == 400, response.text
    found: int = response.json()["errors"][0]["code"]
    return found


def enrol(family: Family, caller: Org, owner: Org, customer: int, **headers: str) -> httpx.Response:
    group, target_id = family.groups[owner.id]
    path = f"/v3.1/targetGroups/{group}/targets/{target_id}/enroll"
    return caller.post(path, [{"customerId": customer}], headers=headers)


WRITES = [
    # scope, organisations named, caller, whom it acts for or what it is refused for
    (None, "", "parent", "parent"),
    (None, "first", "parent", "parent"),
    ("SELF", "", "parent", "parent"),
    ("self", "second", "parent", "parent"),
    ("OTHER", "first", "parent", "first"),
    ("other", "second", "parent", "second"),
    ("OTHER", "", "parent", NOT_SET),
    ("OTHER", "parent", "parent", NOT_SET),
    ("OTHER", "first second", "parent", NOT_SET),
    ("OTHER", "stranger", "parent", NOT_SET),
    ("ALL", "", "parent", UNSUPPORTED),
    ("ALL", "first", "parent", UNSUPPORTED),
    ("EVERYBODY", "first", "parent", NOT_SET),
    (None, "", "first", "first"),
    ("SELF", "parent", "first", "first"),
    ("OTHER", "first", "first", NOT_SET),
    ("OTHER", "parent", "first", NOT_SET),
    ("OTHER", "second", "first", NOT_SET),
    ("ALL", "", "first", UNSUPPORTED),
    ("OTHER", "first", "stranger", NOT_SET),
    ("ALL", "", "stranger", UNSUPPORTED),
]


@pytest.mark.parametrize(("scope", "named", "caller", "expected"), WRITES)
def test_writes_are_for_oneself_or_for_exactly_one_child_with_the_parents_credentials(
    family: Family, scope: str | None, named: str, caller: str, expected: str | int
) -> None:
    who = family.who(caller)
    customer = who.register()
    for owner in ("parent", "first", "second", "stranger"):
        answer = enrol(family, who, family.who(owner), customer, **family.headers(scope, named))
        if isinstance(expected, int):
            assert code(answer) == expected, owner
        else:
            # The groups of all the others are unknown to the one that it acts for.
            assert code(answer) == (200 if owner == expected else 310017), owner


READS = [
    (None, "", "parent", "parent"),
    (None, "first", "parent", "parent"),
    ("SELF", "first", "parent", "parent"),
    ("OTHER", "first", "parent", "first"),
    ("OTHER", "first second", "parent", "first second"),
    ("OTHER", "second first", "parent", "first second"),
    ("OTHER", "", "parent", NOT_SET),
    ("OTHER", "parent", "parent", NOT_SET),
    ("OTHER", "first parent", "parent", NOT_SET),
    ("OTHER", "stranger", "parent", NOT_SET),
    ("OTHER", "first stranger", "parent", NOT_SET),
    ("ALL", "", "parent", "parent first second"),
    ("all", "first", "parent", "parent first second"),
    ("EVERYBODY", "", "parent", NOT_SET),
    (None, "", "first", "first"),
    ("OTHER", "first", "first", "first"),
    ("OTHER", "second", "first", NOT_SET),
    ("OTHER", "parent", "first", NOT_SET),
    ("OTHER", "first second", "first", NOT_SET),
    ("ALL", "", "first", "parent first"),
    ("OTHER", "first", "stranger", NOT_SET),
    ("ALL", "", "stranger", "stranger"),
]


@pytest.mark.parametrize("prefix", CONNECTED)
@pytest.mark.parametrize(("scope", "named", "caller", "expected"), READS)
def test_reads_reach_the_organisations_of_the_table(
    family: Family,
    prefix: str,
    scope: str | None,
    named: str,
    caller: str,
    expected: str | int,
) -> None:
    answer = family.who(caller).get(f"{prefix}/targetGroups", headers=family.headers(scope, named))
    if isinstance(expected, int):
        assert code(answer) == expected
        return
    orgs = [family.who(name).id for name in expected.split()]
    assert [each["orgId"] for each in answer.json()["data"]] == orgs


def test_v3_does_not_read_the_headers(family: Family) -> None:
    for scope in ("OTHER", "ALL", "EVERYBODY"):
        answer = family.parent.get("/v3/targetGroups", headers=family.headers(scope, "first"))
        assert [each["orgId"] for each in answer.json()["data"]] == [family.parent.id]


@pytest.mark.parametrize("name", ["DATA-SCOPE-ORG", "DATA-SCOPE-ORGS", "CONNECTED-ORGS"])
def test_the_organisations_may_be_named_by_any_of_three_headers(family: Family, name: str) -> None:
    headers = {"data-scope": "Other", name: str(family.first.id)}
    answer = family.parent.get("/v3.1/targetGroups", headers=headers)
    assert [each["orgId"] for each in answer.json()["data"]] == [family.first.id]


def test_headers_that_contradict_each_other_are_310144(family: Family) -> None:
    headers = family.headers("OTHER", "first")
    same = {**headers, "CONNECTED-ORGS": str(family.first.id)}
    assert code(family.parent.get("/v3.1/targetGroups", headers=same)) == 200
    differing = {**headers, "CONNECTED-ORGS": str(family.second.id)}
    assert code(family.parent.get("/v3.1/targetGroups", headers=differing)) == NOT_SET


def test_more_than_two_children_are_310144(service: Service) -> None:
    family = grow(service, children=3)
    assert code(family.parent.get("/v3.1/targetGroups", headers={"DATA-SCOPE": "ALL"})) == NOT_SET
    # A child's ALL is itself and its parent, however many siblings there are.
    answer = family.first.get("/v3.1/targetGroups", headers={"DATA-SCOPE": "ALL"})
    assert [each["orgId"] for each in answer.json()["data"]] == [family.parent.id, family.first.id]


def test_the_message_of_310141_is_the_documented_one(family: Family) -> None:
    answer = enrol(family, family.parent, family.parent, 1, **{"DATA-SCOPE": "ALL"})
    assert answer.json()["errors"] == [
        {"code": 310141, "message": "Datascope 'ALL' is not supported for this 'API'"}
    ]


def test_a_new_child_can_be_named_at_once(service: Service, family: Family) -> None:
    parent = service.new_org()
    parent.get("/milepost/v1/clock")
    child = service.new_org(now=None, sandbox=None, parentOrgId=parent.id)
    headers = {"DATA-SCOPE": "OTHER", "DATA-SCOPE-ORG": str(child.id)}
    assert code(parent.get("/v3.1/targetGroups", headers=headers)) == 200


def test_groups_enrolments_activities_and_rewards_belong_to_one_organisation_each(
    family: Family,
) -> None:
    """What a parent does on behalf of a child is the child's, as if it had done it itself."""
    parent, child = family.parent, family.first
    on_behalf = family.headers("OTHER", "first")
    made = parent.post("/v3.1/targetGroups", milestone(targets=[_paying()]), headers=on_behalf)
    assert made.status_code == 201, made.text
    group = made.json()["data"]
    assert group["orgId"] == child.id
    assert code(parent.get(f"/v3/targetGroups/{group['id']}")) == 310017
    assert code(child.get(f"/v3/targetGroups/{group['id']}")) == 200

    customer, target_id = parent.register(), group["targets"][0]["id"]
    path = f"/v3.1/targetGroups/{group['id']}/targets/{target_id}/enroll"
    assert code(parent.post(path, [{"customerId": customer}], headers=on_behalf)) == 200
    assert code(child.enrol(group["id"], target_id, customer)) == 310119
    activity = {
        "id": "bill-1",
        "customerId": customer,
        "type": "TRANSACTION",
        "occurredAt": parent.now(),
        "netAmount": 1000,
    }
    (result,) = parent.post("/milepost/v1/activities", [activity]).json()["data"]
    assert result["effects"] == []
    (result,) = parent.post("/milepost/v1/activities", [activity], headers=on_behalf).json()["data"]
    (effect,) = result["effects"]
    assert (effect["achieved"], len(effect["rewards"])) == (True, 1)

    def rewards(org: Org, **headers: str) -> list[str]:
        listed = org.get(f"/milepost/v1/customers/{customer}/rewards", headers=headers)
        return [each["name"] for each in listed.json()["data"]]

    assert rewards(parent) == []
    assert rewards(parent, **on_behalf) == rewards(child) == ["Ten points"]


def test_a_customers_targets_can_be_read_of_all_with_the_organisation_of_each(
    family: Family,
) -> None:
    customer = family.second.register()
    for org in (family.parent, family.first):
        assert code(org.enrol(*family.groups[org.id], customer)) == 200
    path = f"/users/{customer}/targetGroups"

    def orgs(caller: Org, scope: str | None, names: str = "") -> list[int]:
        answer = caller.get(f"/v3.1{path}", headers=family.headers(scope, names))
        assert answer.json()["data"]["userId"] == customer
        groups = answer.json()["data"]["targetGroups"]
        return [row["orgId"] for group in groups for row in group["targets"]]

    assert orgs(family.parent, None) == [family.parent.id]
    assert orgs(family.parent, "ALL") == [family.parent.id, family.first.id]
    assert orgs(family.parent, "OTHER", "first second") == [family.first.id]
    assert orgs(family.first, "ALL") == [family.parent.id, family.first.id]
    assert orgs(family.second, "SELF") == []
    assert code(family.stranger.get(f"/v3.1{path}")) == 310011


def test_a_customers_promotions_can_be_read_of_all_with_the_organisation_of_each(
    family: Family,
) -> None:
    customer = family.parent.register()
    for number, org in enumerate((family.parent, family.first)):
        org.post("/milepost/v1/programs", {"programId": 7, "name": "Club"})
        promotion = {
            "programId": 7,
            "promotionId": 70 + number,
            "name": f"Promotion {number}",
            "type": "GENERIC",
            "startDate": "2026-05-01T00:00:00Z",
            "endDate": "2026-12-31T00:00:00Z",
        }
        assert org.post("/milepost/v1/promotions", promotion).status_code == 201
    query = {"source": "INSTORE", "identifierName": "id", "identifierValue": str(customer)}

    def listed(caller: Org, scope: str | None, **paging: str) -> tuple[list[tuple[int, int]], int]:
        answer = caller.get(
            "/v2.1/customers/lookup/promotionData",
            params={**query, **paging},
            headers=family.headers(scope),
        ).json()
        found = [(each["orgId"], each["promotionId"]) for each in answer["promotions"]]
        return found, answer["pageDetails"]["totalEntries"]

    here, there = (family.parent.id, 70), (family.first.id, 71)
    assert listed(family.parent, None) == ([here], 1)
    assert listed(family.first, "SELF") == ([there], 1)
    assert listed(family.parent, "ALL") == ([here, there], 2)
    assert listed(family.first, "ALL", limit="1", offset="1") == ([there], 2)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v2/promotion/bulk/enrolAndEarn", {}),
        ("/v2/customers", {}),
        ("/v2/transactions", {}),
    ],
)
def test_v2_answers_the_scope_errors_in_its_own_envelope(
    family: Family, path: str, body: Any
) -> None:
    answer = family.parent.post(path, body, headers=family.headers("EVERYBODY"))
    if code(answer) == NOT_SET:
        assert set(answer.json()) == {"errors", "warnings"}
        assert answer.json()["errors"][0]["status"] is False


def test_reads_of_one_organisation_take_no_all(family: Family) -> None:
    customer = family.parent.register()
    path = f"/milepost/v1/customers/{customer}/explanation"
    assert code(family.parent.get(path, headers={"DATA-SCOPE": "ALL"})) == UNSUPPORTED
    two = family.headers("OTHER", "first second")
    assert code(family.parent.get(path, headers=two)) == NOT_SET
    assert code(family.parent.get(path, headers=family.headers("OTHER", "first"))) == 200


def test_an_idempotency_key_is_the_callers_whomever_it_acts_for(family: Family) -> None:
    parent, customer = family.parent, family.parent.register()
    key = {"Idempotency-Key": "the-parents"}
    on_behalf = {**key, **family.headers("OTHER", "first")}
    first = enrol(family, parent, family.first, customer, **on_behalf)
    assert code(first) == 200
    again = enrol(family, parent, family.first, customer, **on_behalf)
    assert (again.content, "Idempotent-Replayed" in again.headers) == (first.content, True)
    assert enrol(family, parent, family.parent, customer, **key).status_code == 422
    # The child has keys of its own.
    assert code(enrol(family, family.first, family.first, customer, **key)) == 310119


def test_the_hierarchy_names_the_parent_and_its_children(family: Family) -> None:
    def shown(caller: Org, **query: str) -> tuple[dict[str, Any], list[int]]:
        answer = caller.get("/v2/organization/hierarchy", params=query).json()
        return answer["baseOrganization"], [each["id"] for each in answer["connectedOrganizations"]]

    base, connected = shown(family.parent)
    assert base == {
        "id": family.parent.id,
        "name": "Parent",
        "parentId": -1,
        "orgType": "SUPER_ORG",
        "relationshipType": "PARENT_CHILD",
        "timezoneLabel": "UTC",
        "timezoneOffset": "+00:00",
    }
    assert connected == [family.first.id, family.second.id]
    base, connected = shown(family.first)
    assert (base["orgType"], base["parentId"]) == ("CHILD_ORG", family.parent.id)
    assert connected == [family.parent.id]
    assert shown(family.first, fetchSiblings="true")[1] == [family.parent.id, family.second.id]
    base, connected = shown(family.stranger, fetchCustomFields="true")
    assert (base["orgType"], base["relationshipType"], connected) == ("STANDARD_ORG", None, [])
    assert base["customFields"] == {}


def _paying() -> dict[str, Any]:
    points = {"name": "Ten points", "type": "POINTS", "value": 10, "reference": None}
    return target(rewards=[points])
