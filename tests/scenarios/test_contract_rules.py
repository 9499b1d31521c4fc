"""Contract §4, rules 1, 2, 4, 5, 12 and 13: what the seeds' sub-cases leave open.

A milestone ABC has five cycles, c1 to c5: June to October 2026. Rules 3 and 6 are in test_streak.py,
rule 7 in test_unenrol_milestone.py.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace

import httpx
import pytest

from milepost.settings import Settings
from tests.harness import Org, Service
from tests.scenarios.vocabulary import (
    ACCEPTED,
    ALREADY_ENROLLED,
    INVALID_INPUT,
    PERIOD_NOT_FOUND,
    define_milestone,
    names,
    outcome,
)


def test_rule_1_a_cycle_that_is_covered_already_is_310119_and_nothing_changes(org: Org) -> None:
    abc, ann = define_milestone(org), org.register()
    assert abc.enrol(ann, "c2", initialBalance=100) == ACCEPTED
    before = abc.rows(ann), abc.journal(ann)
    for cycle in names(2, 5):
        assert abc.enrol(ann, cycle, initialBalance=1000) == ALREADY_ENROLLED
    assert (abc.rows(ann), abc.journal(ann)) == before


def test_rule_2_without_a_name_who_is_enrolled_ahead_is_extended_back_to_the_running_cycle(
    org: Org,
) -> None:
    abc, ann = define_milestone(org), org.register()
    assert abc.enrol(ann, "c4") == ACCEPTED
    org.move_clock("2026-07-15T00:00:00Z")
    assert abc.enrol(ann, initialBalance=20) == ACCEPTED
    assert abc.covered(ann) == names(2, 5)
    assert abc.values(ann) == [0, 20, 0, 0, 0]
    assert abc.enrol(ann) == ALREADY_ENROLLED


def test_rule_1_who_is_enrolled_from_a_later_cycle_and_names_an_earlier_one_is_extended_back(
    org: Org,
) -> None:
    abc, ann = define_milestone(org), org.register()
    assert abc.enrol(ann, "c4", initialBalance=40) == ACCEPTED
    assert abc.covered(ann) == names(4, 5)
    org.move_clock("2026-07-15T00:00:00Z")
    assert abc.enrol(ann, "c3") == ACCEPTED
    assert abc.enrol(ann, "c2", initialBalance=20) == ACCEPTED
    assert abc.covered(ann) == names(2, 5)
    assert abc.values(ann) == [0, 20, 0, 40, 0]
    assert abc.enrol(ann, "c1") == PERIOD_NOT_FOUND
    assert abc.told(ann) == [
        ("ENROLLED", "ENROLLED"),
        ("ENROLLED", "EXTENDED_BACK"),
        ("ENROLLED", "EXTENDED_BACK"),
    ]


def test_rule_1_names_match_exactly_and_an_unknown_one_is_310019(org: Org) -> None:
    abc, ann = define_milestone(org), org.register()
    for name in ("c9", "C3", "c3 ", " c3", "ABC", "c3\n", "ｃ3"):
        assert abc.enrol(ann, name) == PERIOD_NOT_FOUND
    assert abc.covered(ann) == []
    assert abc.journal(ann) == []


def test_rule_1_a_cycle_that_has_ended_is_310019(org: Org) -> None:
    abc, ann = define_milestone(org), org.register()
    org.move_clock("2026-08-10T00:00:00Z")
    assert abc.enrol(ann, "c1") == PERIOD_NOT_FOUND
    assert abc.enrol(ann, "c2") == PERIOD_NOT_FOUND
    assert abc.enrol(ann, "c3") == ACCEPTED
    assert abc.covered(ann) == names(3, 5)


def test_rule_1_a_name_in_another_script_is_a_name_like_any_other(org: Org) -> None:
    summer = {"refCode": "été 🌞 '; --", "startDate": "2026-06-01", "endDate": "2026-06-30"}
    abc, ann = define_milestone(org, periods=[summer]), org.register()
    assert abc.enrol(ann, "ete 🌞 '; --") == PERIOD_NOT_FOUND
    assert abc.enrol(ann, summer["refCode"]) == ACCEPTED
    assert abc.covered(ann) == [summer["refCode"]]


def test_rule_4_a_balance_is_an_integer_from_0_to_10_to_the_15(org: Org) -> None:
    abc, ann = define_milestone(org), org.register()
    for balance in (-1, 10**15 + 1, 10**30, 1.5, "100", True, [100]):
        assert abc.enrol(ann, "c1", initialBalance=balance) == INVALID_INPUT
    assert abc.covered(ann) == []


def test_rule_4_the_largest_balance_is_kept_to_the_last_digit(org: Org) -> None:
    abc, ann = define_milestone(org), org.register()
    assert abc.enrol(ann, "c1", initialBalance=10**15) == ACCEPTED
    assert abc.value(ann, "c1") == 10**15


@pytest.mark.parametrize(
    ("balance", "achieved"), [(0, []), (999, []), (1000, ["c3"]), (1001, ["c3"])]
)
def test_rule_4_at_or_above_the_target_value_the_cycle_is_achieved_at_once_even_an_upcoming_one(
    org: Org, balance: int, achieved: list[str]
) -> None:
    abc, ann = define_milestone(org, asked=1000), org.register()
    assert abc.enrol(ann, "c3", initialBalance=balance) == ACCEPTED
    assert abc.achieved(ann) == achieved
    assert abc.rewards(ann) == [("Voucher", cycle, 1) for cycle in achieved]
    instants = {row["targetAchievedDateTimeISO"] for row in abc.rows(ann)}
    assert instants == ({None, org.now()} if achieved else {None})


def test_rule_4_each_cycle_is_measured_by_its_own_target_value(org: Org) -> None:
    values = [{"defaultValue": value} for value in (100, 200, "300.5", 400, 500)]
    abc = define_milestone(org, target={"defaultValues": values})
    for customer, balance, achieved in ((11, 300, []), (12, 301, ["c3"])):
        org.register(customer)
        assert abc.enrol(customer, "c3", initialBalance=balance) == ACCEPTED
        assert abc.achieved(customer) == achieved


def test_rule_4_a_balance_sets_the_chosen_cycle_and_other_cycles_keep_their_values(
    org: Org,
) -> None:
    abc, ann = define_milestone(org), org.register()
    assert abc.enrol(ann, "c3", initialBalance=30) == ACCEPTED
    assert abc.enrol(ann, "c1", initialBalance=10) == ACCEPTED
    assert abc.unenrol(ann) == ACCEPTED
    assert abc.values(ann) == [0] * 5  # a cycle that was left reads 0
    assert abc.enrol(ann, "c1", initialBalance=11) == ACCEPTED
    assert abc.values(ann) == [11, 0, 30, 0, 0]
    assert abc.unenrol(ann) == ACCEPTED
    assert abc.enrol(ann, "c2") == ACCEPTED
    assert abc.values(ann) == [0, 0, 30, 0, 0]
    assert abc.enrol(ann, "c1") == ACCEPTED
    assert abc.values(ann) == [11, 0, 30, 0, 0]


def test_rule_5_every_entry_of_the_rewards_is_granted_once_per_cycle_and_attempt(org: Org) -> None:
    voucher = {"name": "Voucher", "type": "COUPON", "value": 5, "reference": "SUMMER"}
    points = {"name": "Points", "type": "POINTS", "value": 12.5, "reference": None}
    abc, ann = define_milestone(org, rewards=[voucher, points]), org.register()
    assert abc.enrol(ann, "c1", initialBalance=1000) == ACCEPTED
    assert abc.rewards(ann) == [("Voucher", "c1", 1), ("Points", "c1", 1)]
    # Null keeps the value and the attempt, so nothing is granted again.
    assert abc.unenrol(ann) == ACCEPTED
    assert abc.enrol(ann, "c1") == ACCEPTED
    assert abc.achieved(ann) == ["c1"]
    assert len(abc.rewards(ann)) == 2
    # An explicit balance on re-enrolment is the next attempt.
    assert abc.unenrol(ann) == ACCEPTED
    assert abc.enrol(ann, "c1", initialBalance=0) == ACCEPTED
    assert abc.achieved(ann) == []
    assert abc.unenrol(ann) == ACCEPTED
    assert abc.enrol(ann, "c1", initialBalance=2000) == ACCEPTED
    assert abc.rewards(ann)[2:] == [("Voucher", "c1", 3), ("Points", "c1", 3)]
    attempts = [line["attempt"] for line in abc.journal(ann) if line["what"] == "ENROLLED"]
    assert attempts == [1, 1, 2, 3]


def test_rule_5_a_milestones_attempt_is_that_of_the_chosen_cycle_alone(org: Org) -> None:
    abc, ann = define_milestone(org), org.register()
    assert abc.enrol(ann, "c1", initialBalance=1000) == ACCEPTED
    assert abc.unenrol(ann) == ACCEPTED
    assert abc.enrol(ann, "c2", initialBalance=1000) == ACCEPTED
    assert abc.unenrol(ann) == ACCEPTED
    assert abc.enrol(ann, "c1", initialBalance=1000, resetStreakStatus=True) == ACCEPTED
    assert [attempt for _, cycle, attempt in abc.rewards(ann) if cycle == "c1"] == [1, 2]


def test_a_reward_is_recorded_with_all_that_was_defined(org: Org) -> None:
    abc, ann = define_milestone(org), org.register()
    org.move_clock("2026-06-07T08:09:10Z")
    assert abc.enrol(ann, "c1", initialBalance=1000) == ACCEPTED
    (reward,) = org.get(f"/milepost/v1/customers/{ann}/rewards").json()["data"]
    assert reward.pop("rewardId") > 0
    assert reward.pop("grantedAt").startswith("2026-06-07T08:09:10")
    assert reward == {
        "targetGroupId": abc.group_id,
        "targetRuleId": abc.target_id,
        "periodRefCode": "c1",
        "streakLevel": None,
        "attempt": 1,
        "promotionId": None,
        "name": "Voucher",
        "type": "COUPON",
        "value": 5,
        "reference": "SUMMER",
        "cause": "ENROLMENT",
    }


async def test_rule_12_of_many_identical_enrolments_through_two_services_exactly_one_succeeds(
    service: Service, service_settings: Settings, org: Org
) -> None:
    abc, ann = define_milestone(org), org.register()
    path = f"/v3/targetGroups/{abc.group_id}/targets/{abc.target_id}/enroll"
    body = [{"customerId": ann, "periodName": "c1", "initialBalance": 1000}]
    with Service(replace(service_settings, batches_in_flight_max=4)) as other:
        auth = (org.username, org.password)
        async with (
            httpx.AsyncClient(base_url=service.url, auth=auth, timeout=30) as here,
            httpx.AsyncClient(base_url=other.url, auth=auth, timeout=30) as there,
        ):
            answers = await asyncio.gather(
                *(client.post(path, json=body) for client in (here, there) for _ in range(20))
            )
    assert Counter(outcome(answer, ann) for answer in answers) == {
        ACCEPTED: 1,
        ALREADY_ENROLLED: 39,
    }
    assert abc.rewards(ann) == [("Voucher", "c1", 1)]
    assert [line["what"] for line in abc.journal(ann)] == ["ENROLLED", "ACHIEVED", "REWARDED"]


@pytest.mark.parametrize("window", ["CYCLIC_WINDOW", "PERIOD_AGNOSTIC_WINDOW"])
@pytest.mark.parametrize("named", [None, 1, 3])
def test_rule_13_in_windows_of_the_customers_own_any_existing_name_or_none_covers_all_cycles(
    org: Org, window: str, named: int | None
) -> None:
    abc = define_milestone(
        org, targetEvaluationType=window, frequencyType="MONTHLY", frequency=1, recurringCycles=3
    )
    cycles = [f"PERIOD_G_{abc.group_id}_{n}" for n in (1, 2, 3)]
    assert list(abc.periods) == cycles
    ann = org.register()
    assert abc.enrol(ann, "no such cycle") == PERIOD_NOT_FOUND
    name = cycles[named - 1] if named else None
    assert abc.enrol(ann, name, initialBalance=300) == ACCEPTED
    assert abc.covered(ann) == cycles
    # The balance goes to the first open one, whatever was named.
    assert abc.values(ann) == [300, 0, 0]
    for again in (*cycles, None):
        assert abc.enrol(ann, again) == ALREADY_ENROLLED
    # These cycles are the customer's own: dates of the definition end none of them.
    org.move_clock("2027-06-01T00:00:00Z")
    assert abc.unenrol(ann) == ACCEPTED
    assert abc.covered(ann) == []
    assert abc.enrol(ann, name) == ACCEPTED
    assert abc.covered(ann) == cycles
    assert abc.values(ann) == [300, 0, 0]


def test_rule_13_a_balance_goes_to_the_first_cycle_that_is_not_achieved_yet(org: Org) -> None:
    abc = define_milestone(
        org,
        targetEvaluationType="PERIOD_AGNOSTIC_WINDOW",
        frequencyType="MONTHLY",
        frequency=1,
        recurringCycles=2,
    )
    first, second = abc.periods
    ann = org.register()
    assert abc.enrol(ann, initialBalance=1000) == ACCEPTED
    assert abc.unenrol(ann) == ACCEPTED
    assert abc.enrol(ann, first, initialBalance=1100) == ACCEPTED
    assert abc.values(ann) == [1000, 1100]
    assert abc.rewards(ann) == [("Voucher", first, 1), ("Voucher", second, 2)]
    # Every cycle has been achieved: none is left to enrol in.
    assert abc.unenrol(ann) == ACCEPTED
    assert abc.enrol(ann) == PERIOD_NOT_FOUND
