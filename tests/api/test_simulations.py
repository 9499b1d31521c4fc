"""Dry runs over HTTP: asked for, looked at, cancelled (docs/api.md)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from milepost.actions.simulations import run_simulation, unfinished_simulations
from milepost.database import database
from milepost.runner import Runner
from milepost.settings import Settings
from tests.api.payloads import code, data, milestone, period, streak, target, unified
from tests.harness import Org, Service, contents

PATH = "/milepost/v1/simulations"
JUNE = {"from": "2026-06-01T00:00:00Z", "to": "2026-07-01T00:00:00Z"}
POINTS = {"name": "Fifty", "type": "POINTS", "value": 50}


def months(**fields: Any) -> dict[str, Any]:
    """A milestone of June and July that nobody needs to save."""
    made = milestone(
        periods=[
            period("june", "2026-06-01", "2026-06-30"),
            period("july", "2026-07-01", "2026-07-31"),
        ],
        **fields,
    )
    return {key: value for key, value in made.items() if key != "recurringCycles"}


def run_all(database_url: str) -> None:
    """Do what the worker does."""

    async def run() -> None:
        runner = Runner(database(database_url, Settings()))
        await runner.database.open()
        try:
            for tenant, simulation_id in await unfinished_simulations(runner):
                await run_simulation(runner, tenant, simulation_id)
        finally:
            await runner.database.close()

    asyncio.run(run())


def buy(org: Org, customer: int, *amounts: int) -> None:
    bills = [
        {
            "id": f"tx-{number}",
            "customerId": customer,
            "type": "TRANSACTION",
            "occurredAt": "2026-06-01T00:00:00Z",
            "netAmount": amount,
        }
        for number, amount in enumerate(amounts)
    ]
    results = data(org.post("/milepost/v1/activities", bills))
    assert {each["status"] for each in results} == {"ACCEPTED"}


def queue(org: Org) -> int:
    """Ask for a simulation of a group that is not saved; its id."""
    response = org.post(PATH, {**JUNE, "targetGroup": months()})
    assert response.status_code == 202, response.text
    return int(response.json()["data"]["simulationId"])


def simulate(org: Org, database_url: str, **body: Any) -> Any:
    """The result of a simulation of June."""
    response = org.post(PATH, {**JUNE, **body})
    assert response.status_code == 202, response.text
    run_all(database_url)
    view = data(org.get(f"{PATH}/{response.json()['data']['simulationId']}"))
    assert view["status"] == "DONE"
    return view["result"]


def test_a_simulation_is_queued_run_and_shows_its_result(org: Org, database_url: str) -> None:
    ann, ben = org.register(), org.register()
    buy(org, ann, 1200)
    buy(org, ben, 250, 100)
    group = months(targets=[target("Spend", rewards=[POINTS])])
    response = org.post(PATH, {**JUNE, "targetGroup": group})
    assert response.status_code == 202
    queued = response.json()["data"]
    assert queued["status"] == "QUEUED"
    assert queued["targetGroupId"] is None
    assert queued["targetGroupName"] == group["name"]
    assert (queued["from"], queued["to"]) == (JUNE["from"], JUNE["to"])
    assert queued["startedAt"] is queued["finishedAt"] is queued["result"] is None
    simulation = f"{PATH}/{queued['simulationId']}"
    assert data(org.get(simulation)) == queued

    run_all(database_url)
    done = data(org.get(simulation))
    assert (done["status"], done["progress"]) == ("DONE", {"customersDone": 2, "customersTotal": 2})
    assert done["startedAt"] <= done["finishedAt"]
    result = done["result"]
    assert (result["customers"], result["activities"], result["rejectedActivities"]) == (2, 3, 0)
    (june,) = result["cycles"]
    others = june.pop("others")
    assert june == {
        "targetRuleId": None,
        "targetName": "Spend",
        "periodRefCode": "june",
        "targetValue": 1000,
        "customers": 2,
        "achieved": 1,
    }
    assert [each["customers"] for each in others] == [0, 0, 0, 1, 0, 0, 0, 0, 0, 0]
    assert others[3] == {"fromPercent": 30, "toPercent": 40, "customers": 1}
    assert result["rewards"] == [
        {
            "targetRuleId": None,
            "targetName": "Spend",
            "streakLevel": None,
            "name": "Fifty",
            "type": "POINTS",
            "granted": 1,
            "points": 50,
        }
    ]
    assert result["points"] == 50


def test_a_saved_group_is_simulated_by_its_id_and_stays_as_it_is(
    org: Org, database_url: str
) -> None:
    buy(org, org.register(), 1000)
    made = data(org.post("/v3/targetGroups", months(active=False)))
    before = contents(database_url)
    result = simulate(org, database_url, targetGroupId=made["id"])
    assert result["cycles"][0]["targetRuleId"] == made["targets"][0]["id"]
    assert result["cycles"][0]["achieved"] == 1
    after = contents(database_url)
    assert {table for table in after if after[table] != before[table]} == {"simulations"}


def test_cycles_are_generated_from_the_beginning_of_the_range_and_reward_levels(
    org: Org, database_url: str
) -> None:
    buy(org, org.register(), 1000)
    group = streak(targets=[target("Run")])
    group["streaks"] = [{"name": "One", "targetCountOfSequence": 1, "rewards": [POINTS]}]
    result = simulate(org, database_url, targetGroup=group)
    assert [each["periodRefCode"] for each in result["cycles"]] == [
        f"PERIOD_G_0_{number}" for number in (1, 2, 3)
    ]
    assert result["streakLevels"] == [
        {
            "targetRuleId": None,
            "targetName": "Run",
            "streakLevel": "One",
            "targetCountOfSequence": 1,
            "achieved": 1,
        }
    ]
    assert result["rewards"][0]["streakLevel"] == "One"
    assert result["points"] == 50


def test_a_unified_group_has_its_targets_side_by_side(org: Org, database_url: str) -> None:
    buy(org, org.register(), 1000)
    result = simulate(org, database_url, targetGroup=unified())
    assert len({each["targetName"] for each in result["cycles"]}) == 2


def test_they_are_listed_newest_first_without_results(org: Org, database_url: str) -> None:
    first, second = queue(org), queue(org)
    run_all(database_url)
    listed = data(org.get(PATH))
    assert [each["simulationId"] for each in listed] == [second, first]
    assert {each["result"] for each in listed} == {None}
    assert {each["status"] for each in listed} == {"DONE"}


@pytest.mark.parametrize("finished", [True, False])
def test_one_that_is_cancelled_is_gone(org: Org, database_url: str, finished: bool) -> None:
    simulation = queue(org)
    if finished:
        run_all(database_url)
    assert data(org.client.delete(f"{PATH}/{simulation}")) is True
    for response in (org.get(f"{PATH}/{simulation}"), org.client.delete(f"{PATH}/{simulation}")):
        assert code(response) == 300004
        assert str(simulation) in response.text
    assert data(org.get(PATH)) == []


def test_another_organisations_simulations_are_unknown(org: Org, service: Service) -> None:
    simulation = queue(org)
    other = service.new_org()
    assert code(other.get(f"{PATH}/{simulation}")) == 300004
    assert code(other.client.delete(f"{PATH}/{simulation}")) == 300004
    assert data(other.get(PATH)) == []
    group = data(org.post("/v3/targetGroups", months()))["id"]
    assert code(other.post(PATH, {**JUNE, "targetGroupId": group})) == 310017


BAD_REQUESTS: dict[str, tuple[dict[str, Any], int]] = {
    "neither group nor definition": ({}, 300004),
    "both": ({"targetGroupId": 1, "targetGroup": {"name": "g"}}, 300004),
    "no beginning": ({"from": None}, 300004),
    "no instant": ({"to": "2026-07-01"}, 300004),
    "no range": ({"from": JUNE["to"], "to": JUNE["from"]}, 300004),
    "an empty range": ({"from": JUNE["to"]}, 300004),
    "more than 400 days": ({"from": "2025-05-01T00:00:00Z"}, 300004),
    "a text for a group": ({"targetGroupId": "1"}, 300004),
    "an unknown group": ({"targetGroupId": 1}, 310017),
    "a definition without a name": ({"targetGroup": {"trackingType": "DEFAULT"}}, 300004),
    "a definition of another type": ({"targetGroup": []}, 300004),
}


@pytest.mark.parametrize("name", BAD_REQUESTS)
def test_what_cannot_be_simulated_is_refused(org: Org, name: str) -> None:
    changes, expected = BAD_REQUESTS[name]
    if "range" in name or "400" in name or "instant" in name:
        changes = {"targetGroup": months(), **changes}
    assert code(org.post(PATH, {**JUNE, **changes})) == expected
    assert data(org.get(PATH)) == []


BAD_DEFINITIONS: dict[str, dict[str, Any]] = {
    "expression that does not compile": {"targets": [target("T", expression="currentTxn.value >")]},
    "expression that never holds": {"targets": [target("T", expression="currentLineItem.sku == 'A'")]},
    "pair that is not valid": {"targets": [target("T", targetType="POINTS_EARNED")]},
    "frequency that is not known": {"frequencyType": "HOURLY"},
    "kind that is not known": {"trackingType": "OTHER"},
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_DEFINITIONS)
def test_a_definition_is_refused_as_on_its_creation(org: Org, name: str) -> None:
    group = {**milestone(), **BAD_DEFINITIONS[name]}
    created = org.post("/v3/targetGroups", group)
    simulated = org.post(PATH, {**JUNE, "targetGroup": group})
    assert created.status_code == simulated.status_code == 400
    assert simulated.json() == created.json()


def test_a_name_that_is_taken_is_refused_as_on_creation(org: Org) -> None:
    group = months()
    data(org.post("/v3/targetGroups", group))
    assert org.post(PATH, {**JUNE, "targetGroup": group}).json() == (
        org.post("/v3/targetGroups", group).json()
    )


def test_the_queue_has_a_length(org: Org) -> None:
    group = data(org.post("/v3/targetGroups", months()))["id"]
    for _ in range(5):
        assert org.post(PATH, {**JUNE, "targetGroupId": group}).status_code == 202
    response = org.post(PATH, {**JUNE, "targetGroupId": group})
    assert code(response) == 300004
    assert "5 simulations" in response.text


def test_to_simulate_takes_the_permission_to_write(org: Org, service: Service) -> None:
    body = {"orgId": org.id, "type": "TILL", "access": {"Target Loyalty": "READ"}}
    till = data(service.operator.post("/milepost/v1/credentials", json=body))["till"]
    reader = service.connect(auth=(till["username"], till["password"]))
    simulation = queue(org)
    assert reader.get(f"{PATH}/{simulation}").status_code == 200
    assert reader.get(PATH).status_code == 200
    assert reader.post(PATH, json={**JUNE, "targetGroup": months()}).status_code == 403
    assert reader.delete(f"{PATH}/{simulation}").status_code == 403
