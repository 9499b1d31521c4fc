"""Explanation and rewards over HTTP: contract §5."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from milepost.api.customer_records import ExplanationView, GrantedRewardView
from tests.api.payloads import code, data, milestone, streak, target
from tests.harness import Org, Service

REWARDS = [
    {"name": "Fifty", "type": "POINTS", "value": 50},
    {"name": "Explorer", "type": "BADGE", "value": 1.5, "reference": "badge-1"},
]
LISTS = ("explanation", "rewards")
RECORDS = (*LISTS, "points")


def ids(group: Mapping[str, Any]) -> tuple[int, int]:
    return group["id"], group["targets"][0]["id"]


def explanation(org: Org, customer: int, query: str = "") -> list[Any]:
    found: list[Any] = data(org.get(f"/milepost/v1/customers/{customer}/explanation{query}"))
    return found


def rewards(org: Org, customer: int, query: str = "") -> list[Any]:
    found: list[Any] = data(org.get(f"/milepost/v1/customers/{customer}/rewards{query}"))
    return found


def purchase(org: Org, customer: int, activity_id: str, net_amount: float) -> None:
    """A transaction that is dated and received now."""
    body = {
        "id": activity_id,
        "customerId": customer,
        "type": "TRANSACTION",
        "netAmount": net_amount,
        "occurredAt": org.now(),
    }
    assert data(org.post("/milepost/v1/activities", [body]))[0]["status"] == "ACCEPTED"


def event(customer: int, activity_id: str, name: str) -> dict[str, Any]:
    return {
        "id": activity_id,
        "customerId": customer,
        "type": "EVENT",
        "eventName": name,
        "occurredAt": "2026-06-01T00:00:00Z",
    }


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
        ("2026-06-02T00:00:00.000Z", "SETTLED", "SETTLED_ACHIEVED"),
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


def test_a_levels_reward_names_the_level_and_shows_it_achieved(org: Org) -> None:
    level = {"name": f"Level of {org.id}", "targetCountOfSequence": 2, "rewards": REWARDS[:1]}
    group = org.define(**streak(streaks=[level]))
    customer = org.register()
    org.enrol(*ids(group), customer)
    purchase(org, customer, "tx-1", 1000)
    org.move_clock("2026-06-02T00:00:00Z")
    purchase(org, customer, "tx-2", 1000)
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
    line = explanation(org, customer)[-1]
    assert (line["what"], line["reason"], line["streakLevel"]) == (
        "REWARDED",
        "LEVEL_REWARD",
        level["name"],
    )


def test_a_level_without_rewards_is_shown_achieved_too(org: Org) -> None:
    level = {"name": f"Bare level of {org.id}", "targetCountOfSequence": 1}
    group = org.define(**streak(streaks=[level]))
    customer = org.register()
    org.enrol(*ids(group), customer)
    purchase(org, customer, "tx-1", 1000)
    (shown,) = data(org.get(f"/v3/users/{customer}/targetGroups"))["targetGroups"]
    assert shown["streaks"][0]["status"] == "ACHIEVED"
    assert rewards(org, customer) == []


def test_an_activity_is_explained_in_each_target_with_its_values(org: Org) -> None:
    spend, visit = rewarding(org), org.define(**milestone(targets=[target(targetType="VISIT")]))
    customer = org.register()
    for group in (spend, visit):
        org.enrol(*ids(group), customer)
    purchase(org, customer, "tx-1", 400.5)
    purchase(org, customer, "tx-2", 600)
    found = [line for line in explanation(org, customer) if line["activityId"] is not None]
    told = [
        (line["activityId"], line["targetRuleId"], line["what"], line["reason"]) for line in found
    ]
    assert told == [
        ("tx-1", ids(spend)[1], "COUNTED", "ADDED"),
        ("tx-1", ids(visit)[1], "COUNTED", "ADDED"),
        ("tx-2", ids(spend)[1], "COUNTED", "ADDED"),
        ("tx-2", ids(visit)[1], "NOT_COUNTED", "SAME_DAY"),
        ("tx-2", ids(spend)[1], "ACHIEVED", "REACHED"),
        ("tx-2", ids(spend)[1], "REWARDED", "ACHIEVED_BY_ACTIVITY"),
        ("tx-2", ids(spend)[1], "REWARDED", "ACHIEVED_BY_ACTIVITY"),
    ]
    values = ("before", "amount", "value", "targetValue", "occurredAt", "periodRefCode")
    assert [found[2][name] for name in values] == [
        400.5,
        600,
        1000.5,
        1000,
        "2026-06-01T00:00:00.000Z",
        f"PERIOD_G_{spend['id']}_1",
    ]
    assert found[0]["entryId"] == found[1]["entryId"] < found[2]["entryId"] == found[3]["entryId"]
    one_target = explanation(org, customer, f"?targetId={ids(visit)[1]}")
    assert [line["reason"] for line in one_target] == ["ENROLLED", "ADDED", "SAME_DAY"]


def test_an_activity_that_arrived_before_the_enrolment_is_explained_to_who_asks_for_the_target(
    org: Org,
) -> None:
    group = rewarding(org)
    customer = org.register()
    purchase(org, customer, "tx-1", 400)
    org.post("/milepost/v1/activities", [event(customer, "ev-1", "swum")])
    assert [(line["what"], line["reason"]) for line in explanation(org, customer)] == [
        ("NOT_COUNTED", "NO_TARGET"),
        ("NOT_COUNTED", "NO_TARGET"),
    ]
    (line,) = explanation(org, customer, f"?targetId={ids(group)[1]}")
    assert (line["what"], line["reason"], line["activityId"]) == (
        "NOT_COUNTED",
        "NOT_ENROLLED",
        "tx-1",
    )
    assert explanation(org, customer, "?targetId=4711") == []


def test_rewards_that_stay_after_a_return_are_marked(org: Org) -> None:
    group = rewarding(org)
    customer = org.register()
    org.enrol(*ids(group), customer)
    purchase(org, customer, "tx-1", 1200)
    back = {
        "id": "rt-1",
        "customerId": customer,
        "type": "RETURN",
        "returnOf": "tx-1",
        "netAmount": 300,
        "occurredAt": "2026-06-01T00:00:00Z",
    }
    assert data(org.post("/milepost/v1/activities", [back]))[0]["status"] == "ACCEPTED"
    counted, lost = explanation(org, customer)[-2:]
    assert (counted["what"], counted["reason"], counted["amount"]) == ("COUNTED", "RETURNED", -300)
    assert (lost["what"], lost["reason"], lost["value"]) == ("UNACHIEVED", "RETURNED", 900)
    assert lost["keptRewards"] == ["Fifty", "Explorer"]
    assert "'Fifty' and 'Explorer', granted before, stay" in lost["why"]
    assert len(rewards(org, customer)) == 2


def test_the_points_balance_is_the_exact_sum_of_the_points_rewards(org: Org) -> None:
    kinds = (
        {"type": "POINTS", "value": 0.1},
        {"type": "POINTS", "value": 0.2},
        {"type": "BADGE", "value": 7},
    )
    granted = [{"name": f"r{index}", **kind} for index, kind in enumerate(kinds)]
    first = org.define(**milestone(targets=[target(rewards=granted)]))
    second = rewarding(org)
    customer = org.register()
    path = f"/milepost/v1/customers/{customer}/points"
    assert data(org.get(path)) == {"balance": 0, "targets": []}
    for group in (first, second):
        org.enrol(*ids(group), customer, initialBalance=1000)
    assert b'"balance":50.3,' in org.get(path).content
    assert data(org.get(path))["targets"] == [
        {
            "targetGroupId": ids(group)[0],
            "targetRuleId": ids(group)[1],
            "promotionId": None,
            "points": points,
        }
        for group, points in ((first, 0.3), (second, 50))
    ]
    total = sum(reward["value"] for reward in rewards(org, customer) if reward["type"] == "POINTS")
    assert total == pytest.approx(50.3)


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


@pytest.mark.parametrize("route", RECORDS)
def test_an_unknown_customer_is_310011_and_a_malformed_id_300004(org: Org, route: str) -> None:
    assert code(org.get(f"/milepost/v1/customers/4711/{route}")) == 310011
    for text in ("abc", "1.0", "9" * 40):
        assert code(org.get(f"/milepost/v1/customers/{text}/{route}")) == 300004


@pytest.mark.parametrize("route", RECORDS)
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


@pytest.mark.parametrize("route", RECORDS)
def test_records_need_read_on_target_loyalty(service: Service, org: Org, route: str) -> None:
    path = f"/milepost/v1/customers/{org.register()}/{route}"
    assert service.connect().get(path).status_code == 401
    for access, status in (({"Target Loyalty": "READ"}, 200), ({"Transaction": "WRITE"}, 403)):
        body = {"orgId": org.id, "type": "TILL", "access": access}
        till = service.operator.post("/milepost/v1/credentials", json=body).json()["data"]["till"]
        client = service.connect(auth=(till["username"], till["password"]))
        assert client.get(path).status_code == status
