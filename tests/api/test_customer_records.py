"""Explanation and rewards over HTTP: contract §5."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import psycopg
import pytest

from milepost.api.customer_records import ExplanationView, GrantedRewardView
from tests.api.payloads import code, data, milestone, streak, target
from tests.harness import Org, Service

REWARDS = [
    {"name": "Fifty", "type": "POINTS", "value": 50},
    {"name": "Explorer", "type": "BADGE", "value": 1.5, "reference": "badge-1"},
]
LISTS = ("explanation", "rewards")


def ids(group: Mapping[str, Any]) -> tuple[int, int]:
    return group["id"], group["targets"][0]["id"]


def explanation(org: Org, customer: int, query: str = "") -> list[Any]:
    found: list[Any] = data(org.get(f"/milepost/v1/customers/{customer}/explanation{query}"))
    return found


def rewards(org: Org, customer: int, query: str = "") -> list[Any]:
    found: list[Any] = data(org.get(f"/milepost/v1/customers/{customer}/rewards{query}"))
    return found


def rewarding(org: Org, **fields: Any) -> dict[str, Any]:
    """A milestone with two immediate rewards at 1000."""
    return org.define(**milestone(targets=[target(rewards=REWARDS)], **fields))


def test_the_explanation_tells_what_happened_oldest_first(org: Org) -> None:
    group = rewarding(org)
    customer = org.register()
    org.enrol(*ids(group), customer, initialBalance=1000)
    org.move_clock("2026-06-02T12:00:00Z")
    org.unenrol(*ids(group), customer)
    found = explanation(org, customer)
    assert [(line["at"], line["what"], line["reason"]) for line in found] == [
        ("2026-06-01T00:00:00.000Z", "ENROLLED", "ENROLLED"),
        ("2026-06-01T00:00:00.000Z", "ACHIEVED", "INITIAL_BALANCE"),
        ("2026-06-01T00:00:00.000Z", "REWARDED", "ACHIEVED_BY_BALANCE"),
        ("2026-06-01T00:00:00.000Z", "REWARDED", "ACHIEVED_BY_BALANCE"),
        ("2026-06-02T12:00:00.000Z", "UNENROLLED", "LEFT"),
    ]
    for line in found:
        assert (line["targetGroupId"], line["targetRuleId"]) == ids(group)
        assert group["name"] in line["why"]
    assert found[0]["periodRefCode"] == f"PERIOD_G_{group['id']}_1"
    assert (found[0]["value"], found[0]["targetValue"], found[0]["attempt"]) == (1000, 1000, 1)
    assert found[3]["reward"] == {"name": "Explorer", "type": "BADGE", "value": 1.5}


def test_every_line_has_the_documented_fields(org: Org) -> None:
    group = rewarding(org)
    customer = org.register()
    org.enrol(*ids(group), customer, initialBalance=1000)
    for line, kind in (
        (explanation(org, customer)[-1], ExplanationView),
        (rewards(org, customer)[-1], GrantedRewardView),
    ):
        assert set(line) == {field.encode_name for field in msgspec.structs.fields(kind)}
        msgspec.convert(line, kind, strict=False)


def test_the_explanation_of_one_target_leaves_out_the_others(org: Org) -> None:
    first, second = org.define(**milestone()), org.define(**streak())
    customer = org.register()
    for group in (first, second):
        org.enrol(*ids(group), customer)
    assert len(explanation(org, customer)) == 2
    for group in (first, second):
        (line,) = explanation(org, customer, f"?targetId={ids(group)[1]}")
        assert line["targetRuleId"] == ids(group)[1]
    assert explanation(org, customer, "?targetId=4711") == []


def test_a_refused_call_leaves_no_trace(org: Org) -> None:
    group = org.define(**milestone())
    customer = org.register()
    org.enrol(*ids(group), customer)
    assert code(org.enrol(*ids(group), customer)) == 310119
    assert len(explanation(org, customer)) == 1


def test_rewards_have_exactly_the_contracts_fields_oldest_first(org: Org) -> None:
    group = rewarding(org)
    customer = org.register()
    assert rewards(org, customer) == []
    org.enrol(*ids(group), customer, initialBalance=1000)
    org.move_clock("2026-06-01T06:00:00Z")
    org.unenrol(*ids(group), customer)
    org.enrol(*ids(group), customer, initialBalance=1000)
    found = rewards(org, customer)
    reward_ids = [reward.pop("rewardId") for reward in found]
    assert reward_ids == sorted(set(reward_ids))
    assert [(reward["name"], reward["attempt"], reward["grantedAt"]) for reward in found] == [
        ("Fifty", 1, "2026-06-01T00:00:00.000Z"),
        ("Explorer", 1, "2026-06-01T00:00:00.000Z"),
        ("Fifty", 2, "2026-06-01T06:00:00.000Z"),
        ("Explorer", 2, "2026-06-01T06:00:00.000Z"),
    ]
    assert found[1] == {
        "targetGroupId": group["id"],
        "targetRuleId": group["targets"][0]["id"],
        "periodRefCode": f"PERIOD_G_{group['id']}_1",
        "streakLevel": None,
        "attempt": 1,
        "promotionId": None,
        "name": "Explorer",
        "type": "BADGE",
        "value": 1.5,
        "reference": "badge-1",
        "grantedAt": "2026-06-01T00:00:00.000Z",
        "cause": "ENROLMENT",
    }


def test_a_levels_reward_names_the_level_and_shows_it_achieved(service: Service, org: Org) -> None:
    level = {"name": f"Level of {org.id}", "targetCountOfSequence": 2}
    group = org.define(**streak(streaks=[level]))
    customer = org.register()
    org.enrol(*ids(group), customer)
    # Levels are achieved by activities: the row is made as one would make it.
    with psycopg.connect(service.settings.database_url, autocommit=True) as owner:
        owner.execute(
            "INSERT INTO rewards (org_id, customer_id, target_group_id, target_id, period_id,"
            " streak_level_id, attempt, ordinal, name, type, value, granted_at, cause)"
            " VALUES (%s, %s, %s, %s, %s, %s, 1, 0, 'r', 'POINTS', 5, '2026-06-02', 'ACTIVITY')",
            (
                org.id,
                customer,
                *ids(group),
                group["periods"][1]["id"],
                group["streaks"][0]["id"],
            ),
        )
    (found,) = rewards(org, customer)
    assert found["streakLevel"] == level["name"]
    assert found["periodRefCode"] == f"PERIOD_G_{group['id']}_2"
    (shown,) = data(org.get(f"/v3/users/{customer}/targetGroups?includeInactive=true"))[
        "targetGroups"
    ]
    assert shown["streaks"][0]["status"] == "ACHIEVED"
    assert shown["streaks"][0]["streakAchievedUserTargetId"] == shown["targets"][1]["targetId"]
    assert shown["streaks"][0]["streakAchievedDateTime"] == "2026-06-02T00:00:00.000+0000"
    assert shown["streaks"][0]["streakAchievedDateTimeISO"] == "2026-06-02T00:00:00Z"


def test_records_outlive_the_group_that_they_are_about(org: Org) -> None:
    group = rewarding(org)
    customer = org.register()
    org.enrol(*ids(group), customer, initialBalance=1000)
    data(org.client.delete(f"/v3/targetGroups/{group['id']}"))
    assert len(explanation(org, customer)) == 4
    assert str(group["id"]) in explanation(org, customer)[0]["why"]
    assert {reward["periodRefCode"] for reward in rewards(org, customer)} == {
        f"PERIOD_G_{group['id']}_1"
    }


@pytest.mark.parametrize(("route", "cursor"), [("explanation", "entryId"), ("rewards", "rewardId")])
def test_a_list_is_bounded_and_can_be_walked_both_ways(org: Org, route: str, cursor: str) -> None:
    group = rewarding(org)
    customer = org.register()
    for _ in range(3):
        org.enrol(*ids(group), customer, initialBalance=1000)
        org.unenrol(*ids(group), customer)
    path = f"/milepost/v1/customers/{customer}/{route}"
    every = data(org.get(path))
    assert len(every) >= 6
    lines = [line[cursor] for line in every]
    assert lines == sorted(lines)
    assert data(org.get(f"{path}?limit=2")) == every[-2:]
    assert data(org.get(f"{path}?limit=2&before={lines[-2]}")) == every[-4:-2]
    assert data(org.get(f"{path}?limit=2&after={lines[0]}")) == every[1:3]
    assert data(org.get(f"{path}?after={lines[-1]}")) == []
    assert data(org.get(f"{path}?before={lines[0]}")) == []
    walked: list[Any] = []
    while page := data(org.get(f"{path}?limit=4&after={walked[-1][cursor] if walked else 0}")):
        walked += page
    assert walked == every


@pytest.mark.parametrize("route", LISTS)
@pytest.mark.parametrize(
    "query", ["limit=0", "limit=10001", "limit=ten", "before=x", "after=1.5", "before=1&after=2"]
)
def test_a_bad_page_is_300004(org: Org, route: str, query: str) -> None:
    path = f"/milepost/v1/customers/{org.register()}/{route}"
    assert code(org.get(f"{path}?{query}")) == 300004


def test_a_target_id_that_is_no_integer_is_300004(org: Org) -> None:
    path = f"/milepost/v1/customers/{org.register()}/explanation"
    for text in ("abc", "1.0", "9" * 30):
        assert code(org.get(f"{path}?targetId={text}")) == 300004


@pytest.mark.parametrize("route", LISTS)
def test_an_unknown_customer_is_310011_and_a_malformed_id_300004(org: Org, route: str) -> None:
    assert code(org.get(f"/milepost/v1/customers/4711/{route}")) == 310011
    for text in ("abc", "1.0", "9" * 40):
        assert code(org.get(f"/milepost/v1/customers/{text}/{route}")) == 300004


@pytest.mark.parametrize("route", LISTS)
def test_another_hierarchy_does_not_know_the_customer(
    service: Service, org: Org, route: str
) -> None:
    customer = org.register()
    path = f"/milepost/v1/customers/{customer}/{route}"
    assert code(service.new_org().get(path)) == 310011


@pytest.mark.parametrize("route", LISTS)
def test_a_connected_organisation_sees_nothing_of_what_another_did(
    service: Service, org: Org, route: str
) -> None:
    customer = org.register()
    org.enrol(*ids(rewarding(org)), customer, initialBalance=1000)
    child = service.new_org(now=None, parentOrgId=org.id)
    assert data(child.get(f"/milepost/v1/customers/{customer}/{route}")) == []
    group = rewarding(child)
    child.enrol(*ids(group), customer, initialBalance=1000)
    path = f"/milepost/v1/customers/{customer}/{route}"
    assert {line["targetGroupId"] for line in data(child.get(path))} == {group["id"]}
    assert group["id"] not in {line["targetGroupId"] for line in data(org.get(path))}


@pytest.mark.parametrize("route", LISTS)
def test_records_need_read_on_target_loyalty(service: Service, org: Org, route: str) -> None:
    path = f"/milepost/v1/customers/{org.register()}/{route}"
    assert service.connect().get(path).status_code == 401
    for access, status in (({"Target Loyalty": "READ"}, 200), ({"Transaction": "WRITE"}, 403)):
        body = {"orgId": org.id, "type": "TILL", "access": access}
        till = service.operator.post("/milepost/v1/credentials", json=body).json()["data"]["till"]
        client = service.connect(auth=(till["username"], till["password"]))
        assert client.get(path).status_code == status
