"""Contract §5: what activities are answered, line by line; of the wire there is more in tests/api.

A milestone ABC has five cycles, c1 to c5: June to October 2026, each asking for 1000.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import httpx
import pytest

from milepost.settings import Settings
from tests.harness import Org, Service
from tests.scenarios.vocabulary import (
    ACCEPTED,
    INVALID_INPUT,
    INVALID_USER,
    VOUCHER,
    data,
    deed,
    define_milestone,
    define_streak,
    giving_back,
    item,
    post,
    sale,
    statuses,
    stream,
)

PATH = "/milepost/v1/activities"


def test_the_documented_activities_are_answered_with_what_they_did(org: Org) -> None:
    abc, ann = define_milestone(org, asked=100), org.register(345651201)
    runs = define_milestone(
        org, target={"targetEntity": "EVENT", "targetType": "COUNT", "eventName": "runLogged"}
    )
    assert abc.enrol(ann, "c1") == runs.enrol(ann, "c1") == ACCEPTED
    org.move_clock("2026-06-02T00:00:00Z")
    documented = [
        {
            "id": "tx-1",
            "customerId": 345651201,
            "type": "TRANSACTION",
            "occurredAt": "2026-06-01T10:00:00+05:30",
            "netAmount": 120.5,
            "grossAmount": 130,
            "storeId": 7,
            "lineItems": [{"sku": "A", "quantity": 2, "netAmount": 120.5, "grossAmount": 130}],
            "attributes": {"channel": "web"},
        },
        {
            "id": "ev-1",
            "customerId": 345651201,
            "type": "EVENT",
            "eventName": "runLogged",
            "occurredAt": "2026-06-01T11:00:00Z",
            "attributes": {"km": 5.2},
        },
        {
            "id": "rt-1",
            "customerId": 345651201,
            "type": "RETURN",
            "returnOf": "tx-1",
            "netAmount": 20.75,
            "occurredAt": "2026-06-01T12:00:00Z",
        },
        {"id": "tx-2", "customerId": 345651201},
    ]
    response = org.post(PATH, documented)
    assert response.status_code == 200
    body = response.json()
    assert (body["errors"], body["warnings"]) == (None, None)
    (reward,) = data(org.get(f"/milepost/v1/customers/{ann}/rewards"))

    def effect(challenge: Any, before: float, after: float, rewards: list[int]) -> dict[str, Any]:
        return {
            "targetGroupId": challenge.group_id,
            "targetRuleId": challenge.target_id,
            "periodRefCode": "c1",
            "before": before,
            "after": after,
            "achieved": challenge is abc and after >= 100,
            "rewards": rewards,
        }

    *results, rejected = body["data"]
    assert results == [
        {"id": "tx-1", "status": "ACCEPTED", "errors": None,
         "effects": [effect(abc, 0, 120.5, [reward["rewardId"]])]},
        {"id": "ev-1", "status": "ACCEPTED", "errors": None, "effects": [effect(runs, 0, 1, [])]},
        {"id": "rt-1", "status": "ACCEPTED", "errors": None,
         "effects": [effect(abc, 120.5, 99.75, [])]},
    ]  # fmt: skip
    assert rejected.keys() == {"id", "status", "errors", "effects"}
    assert (rejected["id"], rejected["status"], rejected["effects"]) == ("tx-2", "REJECTED", [])
    (error,) = rejected["errors"]
    assert (error["code"], type(error["message"])) == (INVALID_INPUT, str)


def test_the_rewards_of_an_effect_are_those_that_the_activity_granted_levels_included(
    org: Org,
) -> None:
    points = {"name": "Points", "type": "POINTS", "value": 12.5, "reference": None}
    abc = define_milestone(org, asked=1, rewards=[VOUCHER, points])
    streak = define_streak(org, levels=(1, 2))
    ann = org.register()
    assert abc.enrol(ann, "c1") == streak.enrol(ann) == ACCEPTED
    (first,) = post(org, sale(ann, 1, org.now()))
    (second,) = post(org, sale(ann, 1, org.now()))
    granted = {e["targetRuleId"]: e["rewards"] for e in first["effects"]}
    rewards = data(org.get(f"/milepost/v1/customers/{ann}/rewards"))
    ids = {each["name"]: each["rewardId"] for each in rewards}
    assert granted == {
        abc.target_id: [ids["Voucher"], ids["Points"]],
        streak.target_id: [ids["Benefit of l1"]],
    }
    assert [e["rewards"] for e in second["effects"]] == [[], []]
    assert [each["rewardId"] for each in rewards] == sorted(ids.values())


@pytest.mark.parametrize("send", [post, stream])
def test_the_same_id_again_with_the_same_content_is_a_duplicate_without_effect(
    org: Org, send: Any
) -> None:
    abc, ann, ben = define_milestone(org), org.register(), org.register()
    assert abc.enrol(ann, "c1") == abc.enrol(ben, "c1") == ACCEPTED
    org.move_clock("2026-06-02T00:00:00Z")
    bought = sale(
        ann, 120.5, "2026-06-01T10:00:00Z", grossAmount=130, storeId=7,
        lineItems=[item("A", 120.5, 2)], attributes={"channel": "web", "n": 1},
    )  # fmt: skip
    assert statuses(send(org, bought)) == ["ACCEPTED"]
    before = abc.rows(ann), abc.journal(ann)
    alike = [
        bought,
        dict(reversed(bought.items())),
        bought | {"occurredAt": "2026-06-01T15:30:00.000+05:30"},
        bought | {"grossAmount": 130.00, "attributes": {"n": 1.0, "channel": "web"}},
        bought | {"unknown": "field", "returnOf": None, "zoneId": None},
        bought | {"lineItems": [{**item("A", 120.5, 2), "grossAmount": 120.5, "colour": "red"}]},
    ]
    results = send(org, *alike)
    assert statuses(results) == ["DUPLICATE"] * len(alike)
    assert [(r["id"], r["errors"], r["effects"]) for r in results] == [
        (bought["id"], None, [])
    ] * len(alike)
    other = [
        bought | {"netAmount": 120.51},
        bought | {"grossAmount": None},
        bought | {"occurredAt": "2026-06-01T10:00:00.001Z"},
        bought | {"storeId": 8},
        bought | {"attributes": {"channel": "web", "n": True}},
        bought | {"attributes": {}},
        bought | {"lineItems": []},
        bought | {"type": "EVENT", "eventName": "runLogged"},
        giving_back(ann, bought["id"], 1, "2026-06-01T11:00:00Z", id=bought["id"]),
    ]
    results = send(org, *other)
    assert statuses(results) == [INVALID_INPUT] * len(other)
    assert (abc.rows(ann), abc.journal(ann)) == before
    # For another customer it is another activity.
    assert statuses(send(org, bought | {"customerId": ben})) == ["ACCEPTED"]
    assert abc.value(ben, "c1") == 120.5


@pytest.mark.parametrize("send", [post, stream])
def test_two_of_one_id_in_one_call_are_handled_in_order(org: Org, send: Any) -> None:
    abc, ann = define_milestone(org), org.register()
    assert abc.enrol(ann, "c1") == ACCEPTED
    first = sale(ann, 10, org.now())
    results = send(
        org,
        first | {"netAmount": -1},
        first,
        first,
        first | {"netAmount": 20},
        sale(ann, 5, org.now()),
        first,
    )
    assert statuses(results) == [
        INVALID_INPUT, "ACCEPTED", "DUPLICATE", INVALID_INPUT, "ACCEPTED", "DUPLICATE"
    ]  # fmt: skip
    assert abc.value(ann, "c1") == 15


def test_a_rejected_activity_does_not_take_its_id(org: Org) -> None:
    abc, ann = define_milestone(org), org.register()
    assert abc.enrol(ann, "c1") == ACCEPTED
    good = sale(ann, 10, org.now())
    for bad in (
        good | {"occurredAt": "2026-06-01T00:00:01Z"},
        good | {"netAmount": None},
        good | {"customerId": ann + 1},
        good | {"type": "RETURN", "returnOf": "nothing"},
    ):
        assert post(org, bad)[0]["status"] == "REJECTED"
    assert abc.send(good) == ("c1", 0, 10, False)


def test_an_unknown_customer_is_310011_and_an_organisations_own(org: Org) -> None:
    ann = org.register()
    sent = [sale(ann + 1, 10, org.now()), sale(ann, 10, org.now()), deed(-1, "x", org.now())]
    assert statuses(post(org, *sent)) == [INVALID_USER, "ACCEPTED", INVALID_USER]
    assert statuses(stream(org, *sent)) == [INVALID_USER, "DUPLICATE", INVALID_USER]


async def test_of_many_identical_activities_at_once_through_two_services_exactly_one_counts(
    service: Service, service_settings: Settings, org: Org
) -> None:
    abc, ann = define_milestone(org), org.register()
    assert abc.enrol(ann, "c1") == ACCEPTED
    same, unlike = sale(ann, 1000, org.now()), [sale(ann, 1, org.now()) for _ in range(20)]
    with Service(service_settings) as other:
        auth = (org.username, org.password)
        async with (
            httpx.AsyncClient(base_url=service.url, auth=auth, timeout=30) as here,
            httpx.AsyncClient(base_url=other.url, auth=auth, timeout=30) as there,
        ):
            answers = await asyncio.gather(
                *(
                    client.post(PATH, json=[same, each])
                    for each in unlike
                    for client in (here, there)
                )
            )
    found = Counter(tuple(statuses(data(answer))) for answer in answers)
    assert sum(found.values()) == 40
    for place in (0, 1):
        accepted = sum(n for pair, n in found.items() if pair[place] == "ACCEPTED")
        assert accepted == (1, 20)[place]
    assert {status for pair in found for status in pair} == {"ACCEPTED", "DUPLICATE"}
    assert abc.value(ann, "c1") == 1020
    assert abc.rewards(ann) == [("Voucher", "c1", 1)]


def test_rewards_are_told_oldest_first_with_what_caused_them(org: Org) -> None:
    at_once = define_milestone(org, asked=10, cycles=1)
    at_the_end = define_milestone(org, asked=10, cycles=1, rewardAllocation="PERIOD_END")
    points = {"name": "Points", "type": "POINTS", "value": 12.5, "reference": None}
    streak = define_streak(org, levels=(1,))
    balance = define_milestone(org, asked=10, cycles=1, rewards=[points])
    ann = org.register()
    assert balance.enrol(ann, "c1", initialBalance=10) == ACCEPTED
    org.move_clock("2026-06-02T00:00:00Z")
    assert at_once.enrol(ann) == at_the_end.enrol(ann) == streak.enrol(ann) == ACCEPTED
    assert at_once.buy(ann, 10) == ("c1", 0, 10, True)
    org.move_clock("2026-07-01T00:00:00Z")
    rewards = data(org.get(f"/milepost/v1/customers/{ann}/rewards"))
    assert rewards[0].keys() == {
        "rewardId", "targetGroupId", "targetRuleId", "periodRefCode", "streakLevel", "attempt",
        "promotionId", "name", "type", "value", "reference", "grantedAt", "cause",
    }  # fmt: skip
    level = data(org.get(f"/v3/targetGroups/{streak.group_id}"))["streaks"][0]
    assert [
        (r["targetRuleId"], r["periodRefCode"], r["streakLevel"], r["grantedAt"][:10], r["cause"])
        for r in rewards
    ] == [
        (balance.target_id, "c1", None, "2026-06-01", "ENROLMENT"),
        (at_once.target_id, "c1", None, "2026-06-02", "ACTIVITY"),
        (streak.target_id, "c2", level["name"], "2026-06-02", "ACTIVITY"),
        (at_the_end.target_id, "c1", None, "2026-07-01", "SETTLEMENT"),
    ]
    assert {(r["promotionId"], r["attempt"]) for r in rewards} == {(None, 1)}
    assert len({r["rewardId"] for r in rewards}) == 4
    assert data(org.get(f"/milepost/v1/customers/{ann}/points"))["balance"] == 12.5


def test_the_explanation_tells_all_that_happened_oldest_first_and_why(org: Org) -> None:
    abc, streak = define_milestone(org, cycles=1), define_streak(org, cycles=3, levels=(1,))
    ann, ben = org.register(), org.register()
    assert streak.enrol(ann) == abc.enrol(ann) == ACCEPTED
    assert abc.buy(ann, 1000, id="s") == ("c1", 0, 1000, True)
    assert abc.give_back(ann, "s", 1000) == ("c1", 1000, 0, False)
    org.move_clock("2026-06-02T12:00:00Z")
    assert abc.unenrol(ann) == ACCEPTED
    assert abc.buy(ann, 5) == "NOT_ENROLLED"
    lines = data(org.get(f"/milepost/v1/customers/{ann}/explanation"))
    assert all({"at", "what", "reason", "why"} <= line.keys() for line in lines)
    assert [line["at"] for line in lines] == sorted(line["at"] for line in lines)
    assert {line["what"] for line in lines} == {
        "ENROLLED", "UNENROLLED", "COUNTED", "NOT_COUNTED", "ACHIEVED", "UNACHIEVED", "BROKEN",
        "REWARDED", "SETTLED",
    }  # fmt: skip
    assert all(line["why"].endswith(".") for line in lines)
    assert abc.told(ann) == [
        ("ENROLLED", "ENROLLED"),
        ("COUNTED", "ADDED"),
        ("ACHIEVED", "REACHED"),
        ("REWARDED", "ACHIEVED_BY_ACTIVITY"),
        ("COUNTED", "RETURNED"),
        ("UNACHIEVED", "RETURNED"),
        ("UNENROLLED", "LEFT"),
        ("NOT_COUNTED", "NOT_ENROLLED"),
    ]
    # With a target's id it is about that alone, without one about everything.
    assert {line["targetRuleId"] for line in abc.journal(ann)} == {abc.target_id}
    assert {line["targetRuleId"] for line in lines} == {abc.target_id, streak.target_id}
    # What moves nothing is told too, of whoever it is.
    assert statuses(post(org, sale(ben, 5, org.now()))) == ["ACCEPTED"]
    (line,) = data(org.get(f"/milepost/v1/customers/{ben}/explanation"))
    assert (line["what"], line["reason"], line["targetRuleId"]) == (
        "NOT_COUNTED",
        "NO_TARGET",
        None,
    )
