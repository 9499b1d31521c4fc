"""What promotions leave behind, over HTTP: explanation, rewards, points, and what a sender is told."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from milepost.api.activity_results import ResultView
from milepost.api.customer_records import ExplanationView, GrantedRewardView, PointsView
from tests.api.payloads import code, data, milestone, target
from tests.harness import Org, Service, assert_rebuilt
from tests.scenarios.promotion_vocabulary import COFFEE, DIRECT, FIFTY, GENERIC, Issued, offer

START = "2026-06-01T00:00:00Z"


@pytest.fixture(scope="module", autouse=True)
def nothing_differs(database_url: str) -> Iterator[None]:
    """After the module's tests, what is stored is what the journal comes to."""
    yield
    assert_rebuilt(database_url)


def explanation(org: Org, customer: int, query: str = "") -> list[Any]:
    found: list[Any] = data(org.get(f"/milepost/v1/customers/{customer}/explanation{query}"))
    return found


def of_promotion(org: Org, customer: int, promotion: int) -> list[Any]:
    return explanation(org, customer, f"?promotionId={promotion}")


def rewards(org: Org, customer: int) -> list[Any]:
    found: list[Any] = data(org.get(f"/milepost/v1/customers/{customer}/rewards"))
    return found


def purchase(org: Org, customer: int, name: str, net_amount: float = 100, **fields: Any) -> Any:
    """A purchase that is dated now; its result."""
    body = {
        "id": name,
        "customerId": customer,
        "type": "TRANSACTION",
        "netAmount": net_amount,
        "occurredAt": org.now(),
        **fields,
    }
    (result,) = data(org.post("/milepost/v1/activities", [body]))
    assert result["status"] == "ACCEPTED", result
    return result


def test_the_story_of_a_promotion_is_explained_with_names_dates_and_ids(org: Org) -> None:
    here = offer(
        org,
        name="Review and save",
        issualExpiry={"type": "CUSTOM", "days": 5},
        earnExpiry={"type": "CUSTOM", "days": 3},
    )
    ann = org.register()
    (enrolled,), (earned,) = here.enrol(ann), here.earn(ann)
    assert isinstance(enrolled, Issued)
    assert isinstance(earned, Issued)
    org.move_clock("2026-06-02T10:00:00Z")
    purchase(org, ann, "tx-1")
    purchase(org, ann, "tx-2")
    org.move_clock("2026-06-10T00:00:00Z")
    found = explanation(org, ann)
    assert [(line["what"], line["reason"]) for line in found] == [
        ("ENROLLED", "PROMOTION_ENROLLED"),
        ("ACHIEVED", "PROMOTION_EARNED"),
        ("COUNTED", "REDEEMED"),
        ("REWARDED", "PROMOTION_REWARD"),
        ("NOT_COUNTED", "NO_TARGET"),
        ("NOT_COUNTED", "REDEMPTIONS_USED_UP"),
        ("UNACHIEVED", "PROMOTION_EARN_EXPIRED"),
        ("UNENROLLED", "PROMOTION_ENROLMENT_EXPIRED"),
    ]
    for line in found:
        assert set(line) == {field.encode_name for field in msgspec.structs.fields(ExplanationView)}
        msgspec.convert(line, ExplanationView, strict=False)
        if line["reason"] != "NO_TARGET":
            assert line["promotionId"] == here.id
            assert "promotion 'Review and save'" in line["why"]
    assert found[0]["issualId"] == found[1]["issualId"] == enrolled.issual
    assert found[1]["earnedId"] == found[2]["earnedId"] == found[3]["earnedId"] == earned.earn
    assert "until 5 Jun 2026." in found[0]["why"]
    granted = found[3]
    assert granted["reward"] == {"name": "A coffee", "type": "COUPON", "value": 1}
    assert (granted["activityId"], granted["targetRuleId"]) == ("tx-1", None)


def test_the_explanation_of_one_promotion_leaves_out_all_else(org: Org) -> None:
    group = org.define(**milestone())
    here, there = offer(org, GENERIC), offer(org, GENERIC, criteria={"event": "runLogged"})
    ann = org.register()
    org.enrol(group["id"], group["targets"][0]["id"], ann)
    purchase(org, ann, "tx-1")
    assert [line["reason"] for line in explanation(org, ann)] == [
        "ENROLLED", "ADDED", "REDEEMED", "PROMOTION_REWARD",
    ]  # fmt: skip
    told = of_promotion(org, ann, here.id)
    assert [line["reason"] for line in told] == ["REDEEMED", "PROMOTION_REWARD"]
    assert of_promotion(org, ann, there.id) == []
    assert of_promotion(org, ann, 4711) == []


def test_what_a_promotion_passed_over_is_explained_to_who_asks_for_it(org: Org) -> None:
    direct = offer(org, DIRECT)
    later = offer(org, GENERIC, startDate="2026-06-05T00:00:00Z", criteria={"event": "runLogged"})
    ann = org.register()
    purchase(org, ann, "tx-1")
    purchase(org, ann, "ev-1", type="EVENT", eventName="runLogged")
    org.move_clock("2026-06-02T00:00:00Z")
    direct.earn(ann)
    purchase(org, ann, "tx-2", occurredAt=START)
    assert [(line["reason"], line["activityId"]) for line in of_promotion(org, ann, direct.id)] == [
        ("NOT_EARNED", "tx-1"),
        ("PROMOTION_EARNED", None),
        ("NOT_EARNED", "tx-2"),
    ]
    (line,) = of_promotion(org, ann, later.id)
    assert (line["what"], line["reason"]) == ("NOT_COUNTED", "OUTSIDE_PROMOTION")
    assert line["why"] == (
        "Event 'runLogged' 'ev-1' of 1 Jun 2026 was not paid by promotion "
        f"'{data(org.get(f'/milepost/v1/promotions/{later.id}'))['name']}': it is dated outside the "
        "promotion, which runs from 5 Jun 2026 to 31 Dec 2026."
    )


def test_the_explanation_of_a_promotion_can_be_walked_both_ways(org: Org) -> None:
    here, ann = offer(org, GENERIC), org.register()
    for number in range(6):
        purchase(org, ann, f"tx-{number}")
    every = of_promotion(org, ann, here.id)
    assert len(every) == 12
    path = f"?promotionId={here.id}&limit=3"
    walked: list[Any] = []
    while page := explanation(org, ann, f"{path}&after={walked[-1]['entryId'] if walked else 0}"):
        walked += page
    assert walked == every
    assert explanation(org, ann, f"{path}&before={every[-4]['entryId']}") == every[-7:-4]


@pytest.mark.parametrize(
    "query", ["targetId=1&promotionId=1", "promotionId=x", "promotionId=1.5", "promotionId=1e3"]
)
def test_a_target_and_a_promotion_exclude_each_other_and_both_are_integers(
    org: Org, query: str
) -> None:
    assert code(org.get(f"/milepost/v1/customers/{org.register()}/explanation?{query}")) == 300004


def test_another_organisations_promotion_cannot_be_told_from_an_unknown_one(
    service: Service, org: Org
) -> None:
    here, ann = offer(org, DIRECT), org.register()
    here.earn(ann)
    child = service.new_org(now=None, parentOrgId=org.id)
    purchase(child, ann, "tx-1")
    assert of_promotion(child, ann, here.id) == []


def test_a_promotions_rewards_have_its_id_and_null_target_fields(org: Org) -> None:
    here, ann = offer(org, DIRECT, rewards=[FIFTY, COFFEE]), org.register()
    here.earn(ann)
    result = purchase(org, ann, "tx-1")
    points, coffee = rewards(org, ann)
    assert {key: value for key, value in coffee.items() if key != "rewardId"} == {
        "targetGroupId": None,
        "targetRuleId": None,
        "periodRefCode": None,
        "streakLevel": None,
        "attempt": 1,
        "promotionId": here.id,
        "name": "A coffee",
        "type": "COUPON",
        "value": 1,
        "reference": "COFFEE",
        "grantedAt": "2026-06-01T00:00:00.000Z",
        "cause": "ACTIVITY",
    }
    msgspec.convert(coffee, GrantedRewardView, strict=False)
    assert result["promotions"][0]["rewards"] == [points["rewardId"], coffee["rewardId"]]


def test_the_points_balance_has_what_promotions_paid(org: Org) -> None:
    group = org.define(**milestone(targets=[target(rewards=[{**FIFTY, "value": 5}])]))
    ids = group["id"], group["targets"][0]["id"]
    first, second = (offer(org, GENERIC, rewards=[FIFTY, COFFEE]) for _ in range(2))
    ann = org.register()
    org.enrol(*ids, ann)
    purchase(org, ann, "tx-1", 1000)
    purchase(org, ann, "tx-2", 1)
    found = data(org.get(f"/milepost/v1/customers/{ann}/points"))
    nowhere = {"targetGroupId": None, "targetRuleId": None}
    assert found == {
        "balance": 205,
        "targets": [
            {"targetGroupId": ids[0], "targetRuleId": ids[1], "promotionId": None, "points": 5},
            {**nowhere, "promotionId": first.id, "points": 100},
            {**nowhere, "promotionId": second.id, "points": 100},
        ],
    }
    msgspec.convert(found, PointsView, strict=False)


def test_a_sender_is_told_what_promotions_paid_and_nothing_where_none_did(org: Org) -> None:
    everybody, issued = offer(org, GENERIC, rewards=[FIFTY]), offer(org, DIRECT)
    ann, ben = org.register(), org.register()
    (earned,) = issued.earn(ann)
    assert isinstance(earned, Issued)
    result = purchase(org, ann, "tx-1")
    fifty, coffee = (each["rewardId"] for each in rewards(org, ann))
    assert result == {
        "id": "tx-1",
        "status": "ACCEPTED",
        "errors": None,
        "effects": [],
        "promotions": [
            {"promotionId": everybody.id, "earnedId": None, "rewards": [fifty]},
            {"promotionId": issued.id, "earnedId": earned.earn, "rewards": [coffee]},
        ],
    }
    msgspec.convert(result, ResultView)
    again = {
        "id": "tx-1",
        "customerId": ann,
        "type": "TRANSACTION",
        "netAmount": 100,
        "occurredAt": START,
    }
    event = {**again, "id": "ev-1", "type": "EVENT", "eventName": "runLogged", "customerId": ben}
    rejected = {**again, "id": "tx-1", "netAmount": 3}
    for result in data(org.post("/milepost/v1/activities", [again, event, rejected])):
        assert set(result) == {"id", "status", "errors", "effects"}


def test_a_target_that_is_achieved_with_it_is_paid_in_the_same_result(org: Org) -> None:
    group = org.define(**milestone())
    criteria = {"event": "TARGETCOMPLETED", "targetGroupIds": [group["id"]]}
    here, ann = offer(org, GENERIC, criteria=criteria), org.register()
    org.enrol(group["id"], group["targets"][0]["id"], ann)
    result = purchase(org, ann, "tx-1", 1000)
    (coffee,) = rewards(org, ann)
    assert result["effects"][0]["rewards"] == []
    assert result["promotions"] == [
        {"promotionId": here.id, "earnedId": None, "rewards": [coffee["rewardId"]]}
    ]
    (line,) = (each for each in of_promotion(org, ann, here.id) if each["what"] == "COUNTED")
    assert line["targetGroupId"] == group["id"]
    assert line["why"].startswith(
        f"The completion of cycle {line['periodRefCode']} (1 Jun 2026) of "
    )
    told = explanation(org, ann, f"?targetId={group['targets'][0]['id']}")
    assert [each["reason"] for each in told] == ["ENROLLED", "ADDED", "REDEEMED", "REACHED"]


def test_a_bills_side_effects_have_the_points_of_promotions_in_their_sum(org: Org) -> None:
    group = org.define(**milestone(targets=[target(rewards=[{**FIFTY, "value": 0.5}])]))
    for _ in range(2):
        offer(org, GENERIC, rewards=[FIFTY, COFFEE])
    ann = org.register()
    org.enrol(group["id"], group["targets"][0]["id"], ann)
    query = f"?source=INSTORE&identifierName=id&identifierValue={ann}"
    bill = {"type": "REGULAR", "billNumber": "B-1", "billAmount": 1000}
    answer = org.post(f"/v2/transactions{query}", bill)
    assert answer.status_code == 200, answer.text
    assert answer.json()["sideEffects"] == [
        {"entityType": "USER", "rawAwardedPoints": 100.5, "awardedPoints": 100.5, "type": "points"}
    ]
    bulk = {
        **bill, "billNumber": "B-2", "identifierType": "id", "identifierValue": str(ann),
        "source": "INSTORE",
    }  # fmt: skip
    (item,) = org.post("/v2/transactions/bulk", [bulk]).json()["response"]
    assert [each["awardedPoints"] for each in item["result"]["sideEffects"]] == [100]
