"""Definitions over HTTP: made, read, listed, changed and deleted (domain: milestones §2, §3.5)."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import httpx
import msgspec
import pytest

from milepost.api.routes import PREFIXES
from tests.api.payloads import code, data, milestone, period, streak, target, unified
from tests.harness import Org, Service

# domain/milestones-and-streaks.md, Appendix A, as it stands there.
APPENDIX_STREAK = b"""
{"name": "Morning run", "description": "", "active": true, "preferredTillId": 11, "trackingType": "STREAKS",
 "targetEvaluationType": "FIXED_CALENDAR_WINDOW", "frequencyType": "DAILY", "frequency": 1, "totalPeriods": 2, "recurringCycles": 2,
 "periods": [{"refCode": "mr_d1", "startDate": "2031-05-01T00:00:00.000", "endDate": "2031-05-01T23:59:59.000", "active": true},
             {"refCode": "mr_d2", "startDate": "2031-05-02T00:00:00.000", "endDate": "2031-05-02T23:59:59.000", "active": true}],
 "targets": [{"name": "Morning run", "targetEntity": "EVENT", "eventName": "runLogged", "targetType": "COUNT",
              "expression": "true", "filters": [], "enrolmentMethod": "IMPORT",
              "defaultValues": [{"defaultValue": 1}, {"defaultValue": 1}]}],
 "streaks": [{"name": "Morning run_1", "targetCountOfSequence": 2}]}
"""  # noqa: E501 - verbatim


def whole(org: Org, group_id: int) -> Any:
    return data(org.get(f"/v3/targetGroups/{group_id}?includePeriods=true"))


def edit(org: Org, group_id: int, **fields: Any) -> httpx.Response:
    return org.client.put(f"/v3/targetGroups/editTargetGroup/{group_id}", json=fields)


def test_the_domain_documents_streak_is_created_and_answered_with_what_it_gains(org: Org) -> None:
    response = org.post("/v3/targetGroups", APPENDIX_STREAK)
    assert response.status_code == 201
    group = response.json()["data"]
    first, second = group["periods"]
    assert [first["refCode"], first["startDate"], first["endDate"]] == [
        "mr_d1",
        "2031-05-01",
        "2031-05-01",
    ]
    assert second["endDate"] == "2031-05-02"
    assert {first["periodStatus"], second["periodStatus"]} == {"NOT_STARTED"}
    (found,) = group["targets"]
    assert [value["periodId"] for value in found["defaultValues"]] == [first["id"], second["id"]]
    assert found["targetPeriodDefaultValuesMap"][str(first["id"])] == found["defaultValues"][0]
    assert found["emfRuleSetId"]
    (level,) = group["streaks"]
    assert (level["name"], level["targetCountOfSequence"]) == ("Morning run_1", 2)
    for part in (first, second, found, level):
        assert part["targetGroupId"] == group["id"]
        assert part["attribution"]["createdBy"]["type"] == "TILL"
    assert b'"defaultValue":1.000' in response.content
    assert "activePeriod" not in group
    assert group["orgId"] == org.id


def test_what_was_created_is_what_is_read(org: Org) -> None:
    made = org.define(**milestone(description="Über alles", preferredTillId=-1))
    assert whole(org, made["id"]) == made
    without = data(org.get(f"/v3/targetGroups/{made['id']}"))
    assert without == {key: value for key, value in made.items() if key != "periods"}
    assert data(org.get(f"/v3/targetGroups/{made['id']}/targetPeriods")) == made["periods"]
    assert data(org.get(f"/v3/targetGroups/{made['id']}/targets")) == made["targets"]


@pytest.mark.parametrize("prefix", PREFIXES)
def test_all_four_prefixes_serve_the_configuration_alike(org: Org, prefix: str) -> None:
    base = f"{prefix}/targetGroups"
    group = data(org.post(base, unified()))
    one = f"{base}/{group['id']}"
    assert data(org.get(base))[0]["id"] == group["id"]
    assert data(org.get(one))["name"] == group["name"]
    assert data(org.client.put(f"{base}/editTargetGroup/{group['id']}", json={"description": "x"}))
    assert len(data(org.get(f"{one}/targetPeriods"))) == 3
    late = period("late", "2026-07-01", "2026-07-02")
    (added,) = data(org.post(f"{one}/targetPeriods", [late]))
    assert data(org.client.put(f"{one}/targetPeriods", json=[{"id": added["id"]}])) == [added]
    assert len(data(org.get(f"{one}/targets"))) == 2
    (third,) = data(org.post(f"{one}/targets", [target()]))
    assert data(org.client.put(f"{one}/targets/{third['id']}", json={"description": "y"}))
    assert data(org.client.put(f"{one}/unifiedTargets", json={})) is not None
    assert data(org.client.delete(f"{one}/targets/{third['id']}")) is True
    assert org.get(f"{prefix}/milestones").json()["pagination"]["total"] == 1
    free = {"type": "targetGroupName", "value": group["name"]}
    assert data(org.post(f"{base}/isValidName", free)) is False
    assert data(org.client.delete(one)) is True


def test_the_older_style_of_three_calls_makes_the_same_group(org: Org) -> None:
    group = org.define(name="Three calls", trackingType="DEFAULT", totalPeriods=1)
    assert (group["frequencyType"], group["periods"], group["targets"]) == ("CUSTOM", [], [])
    one = f"/v3/targetGroups/{group['id']}"
    body = period("p1", "2026-06-01T00:00:00.000", "2026-06-30T23:59:59.000")
    (made,) = data(org.post(f"{one}/targetPeriods", [body]))
    (found,) = data(org.post(f"{one}/targets", target("Three calls", targetGroupId=group["id"])))
    assert found["defaultValues"][0]["periodId"] == made["id"]
    customer = org.register()
    assert org.enrol(group["id"], found["id"], customer, periodName="p1").status_code == 200
    after = whole(org, group["id"])
    assert (after["targets"], after["periods"]) == ([found], [made])
    assert (after["fromDate"], after["toDate"]) == ("2026-06-01", "2026-06-30")


def test_values_are_answered_with_three_decimals_or_all_they_have_and_nothing_is_rounded(
    org: Org,
) -> None:
    sent = b'[{"defaultValue": 1000}, {"defaultValue": "0.5"}, {"defaultValue": 999999999999999.123456}]'
    body = msgspec.json.encode(
        milestone(targets=[{**target(), "defaultValues": msgspec.Raw(sent)}])
    )
    response = org.post("/v3/targetGroups", body)
    values = msgspec.json.decode(response.content, type=dict[str, Any])["data"]["targets"][0][
        "defaultValues"
    ]
    assert len(values) == 3
    for written in (b"1000.000", b"0.500", b"999999999999999.123456"):
        assert b'"defaultValue":' + written + b"}" in response.content
    again = org.get(f"/v3/targetGroups/{response.json()['data']['id']}")
    assert b'"defaultValue":999999999999999.123456}' in again.content


def test_quirks_of_vendor_payloads_are_taken(org: Org) -> None:
    periods = [
        period("b", "2026-07-01T00:00:00.000", "2026-07-31T23:59:59.000", periodStatus="ENDED"),
        {**period("x", "2026-06-01T00:00:00.000Z", "2026-06-30T23:59:59.999+00:00"), "refCode": 7},
    ]
    first = target(
        expression=True,
        targetEntity="transaction",
        targetType="sales",
        enrolmentMethod=None,
        defaultValues=[{"defaultValue": 20}, {"defaultValue": "10"}],
        unknownField={"a": [1]},
    )
    body = milestone(
        trackingType="default",
        targetEvaluationType=None,
        frequencyType=None,
        recurringCycles=-1,
        frequency=0,
        totalPeriods=9,
        periods=periods,
        targets=[first],
        streaks=None,
        futureField=True,
    )
    group = org.define(**body)
    june, july = group["periods"]
    assert [june["refCode"], july["refCode"]] == ["7", "b"]  # in order of their start
    assert [june["periodStatus"], july["periodStatus"]] == ["RUNNING", "NOT_STARTED"]
    assert group["activePeriod"] == june
    (found,) = group["targets"]
    assert found["expression"] == "true"
    assert (found["targetEntity"], found["enrolmentMethod"]) == ("TRANSACTION", "IMPORT")
    assert found["eventName"] == "TransactionAdd"
    # Positional values follow the periods as they were sent.
    values = found["targetPeriodDefaultValuesMap"]
    assert values[str(july["id"])]["defaultValue"] == 20
    assert values[str(june["id"])]["defaultValue"] == 10
    assert (group["trackingType"], group["frequencyType"]) == ("DEFAULT", "CUSTOM")
    assert group["targetEvaluationType"] == "FIXED_CALENDAR_WINDOW"
    assert (group["totalPeriods"], group["frequency"], group["recurringCycles"]) == (9, 0, -1)


def test_the_contracts_extra_fields_are_taken_and_answered(org: Org) -> None:
    rewards = [
        {"name": "Ten", "type": "points", "value": 10.5, "reference": None},
        {"name": "Cap", "type": "CUSTOM", "value": 0, "reference": "cap-1"},
    ]
    extras = {
        "timeZoneName": "Asia/Kolkata",
        "rewardAllocation": "PERIOD_END",
        "trackFromEnrolmentDate": True,
        "settlementDelayDays": 2,
        "carryReturnsForward": True,
    }
    group = org.define(**milestone(**extras, targets=[target(rewards=rewards)]))
    assert {key: group[key] for key in extras} == extras
    rewards[0]["type"] = "POINTS"
    assert group["targets"][0]["rewards"] == rewards
    plain = org.define(**milestone())
    assert [plain[key] for key in extras] == ["UTC", "IMMEDIATE", False, 0, False]
    levels = [{"name": "Two", "targetCountOfSequence": 2, "rewards": rewards}]
    assert org.define(**streak(streaks=levels))["streaks"][0]["rewards"] == rewards


def test_dates_are_the_groups_local_ones_and_z_is_true_utc(org: Org) -> None:
    body = milestone(
        timeZoneName="Asia/Kolkata",
        periods=[period("june", "2026-06-01T00:00:00.000", "2026-06-30T23:59:59.000")],
    )
    group = org.define(**body)
    assert (group["fromDate"], group["toDate"]) == ("2026-06-01", "2026-06-30")
    assert group["targetCycleStartDate"] == "2026-05-31T18:30:00.000Z"
    assert group["targetCycleStartDateISO"] == "2026-06-01T00:00:00+05:30"
    assert group["targetCycleEndDate"] == "2026-06-30T18:29:59.000Z"
    assert group["targetCycleEndDateISO"] == "2026-06-30T23:59:59+05:30"
    (june,) = group["periods"]
    assert (june["startDate"], june["endDate"]) == ("2026-06-01", "2026-06-30")
    assert june["startDateISO"] == "2026-06-01T00:00:00+05:30"
    assert group["createdOn"] == 1_780_272_000_000
    assert group["attribution"]["createdOn"] == "2026-06-01T00:00:00.000+0000"
    assert group["attribution"]["createdOnISO"] == "2026-06-01T05:30:00+05:30"


GENERATED = {
    "DAILY": ("2026-01-31", 1, ["2026-02-01", "2026-02-02", "2026-02-03"]),
    "WEEKLY": ("2026-01-31", 1, ["2026-02-07", "2026-02-14", "2026-02-21"]),
    "MONTHLY": ("2026-01-31", 1, ["2026-02-28", "2026-03-31", "2026-04-30"]),
    "QUARTERLY": ("2026-01-31", 1, ["2026-04-30", "2026-07-31", "2026-10-31"]),
    "HALF_YEARLY": ("2026-01-31", 1, ["2026-07-31", "2027-01-31", "2027-07-31"]),
    "YEARLY": ("2024-02-29", 1, ["2025-02-28", "2026-02-28", "2027-02-28"]),
}


@pytest.mark.parametrize("frequency_type", GENERATED)
def test_cycles_are_generated_as_anchor_plus_n_intervals(org: Org, frequency_type: str) -> None:
    start, frequency, next_starts = GENERATED[frequency_type]
    body = milestone(
        frequencyType=frequency_type, frequency=frequency, targetCycleStartDate=f"{start}T10:00:00"
    )
    group = org.define(**body)
    periods = group["periods"]
    assert [each["refCode"] for each in periods] == [
        f"PERIOD_G_{group['id']}_{n}" for n in (1, 2, 3)
    ]
    # The first begins at its time of day, so it may be short; all end at a local midnight.
    assert periods[0]["startDateISO"] == f"{start}T10:00:00Z"
    assert [each["startDate"] for each in periods] == [start, *next_starts[:2]]
    assert [each["endDateISO"][10:] for each in periods] == ["T23:59:59Z"] * 3


def test_generated_days_over_a_clock_change_have_their_true_length(org: Org) -> None:
    body = milestone(timeZoneName="Europe/Berlin", fromDate="2026-10-24T00:00:00.000")
    days = org.define(**body)["periods"]
    assert [day["startDateISO"] for day in days] == [
        "2026-10-24T00:00:00+02:00",
        "2026-10-25T00:00:00+02:00",  # lasts 25 hours
        "2026-10-26T00:00:00+01:00",
    ]


def test_generated_cycles_begin_now_when_no_date_is_sent(org: Org) -> None:
    org.move_clock("2026-06-03T11:00:00Z")
    group = org.define(**milestone())
    assert group["activePeriod"]["startDateISO"] == "2026-06-03T11:00:00Z"
    assert group["activePeriod"]["endDateISO"] == "2026-06-03T23:59:59Z"


def test_groups_are_listed_newest_first_with_periods_when_asked_for(org: Org) -> None:
    ids = [org.define(**milestone())["id"] for _ in range(3)]
    listed = data(org.get("/v3/targetGroups"))
    assert [group["id"] for group in listed] == ids[::-1]
    assert all("periods" not in group and group["targets"] for group in listed)
    assert all(
        len(group["periods"]) == 3
        for group in data(org.get("/v3/targetGroups?includePeriods=true"))
    )


def test_user_created_and_inactive_groups_are_listed_as_the_flags_say(org: Org) -> None:
    plain = org.define(**milestone())["id"]
    created = org.define(**milestone(userCreated=True))["id"]
    inactive = org.define(**milestone(active=False))["id"]

    def listed(query: str) -> set[int]:
        return {group["id"] for group in data(org.get(f"/v3/targetGroups{query}"))}

    assert listed("") == {plain, inactive}
    assert listed("?includeOnlyActive=TRUE") == {plain}
    assert listed("?includeUserCreatedTargetGroups=true") == {plain, created, inactive}
    assert code(org.get("/v3/targetGroups?includePeriods=maybe")) == 300004
    assert data(org.get(f"/v3/targetGroups/{created}"))["userCreated"] is True
    assert code(org.get(f"/v3/targetGroups/{inactive}?includeOnlyActive=true")) == 310017


def test_an_edit_changes_what_it_names_and_leaves_the_rest(org: Org) -> None:
    group = org.define(**milestone())
    org.move_clock("2026-06-01T12:00:00Z")
    answered = data(edit(org, group["id"], name="New name", preferredTillId=3))
    assert (answered["name"], answered["preferredTillId"]) == ("New name", 3)
    assert answered["attribution"]["lastUpdatedOnISO"] == "2026-06-01T12:00:00Z"
    assert answered["attribution"]["createdOnISO"] == "2026-06-01T00:00:00Z"
    assert answered == whole(org, group["id"])
    same = ("id", "targets", "periods", "createdOn", "timeZoneName")
    assert {key: answered[key] for key in same} == {key: group[key] for key in same}


def test_a_group_that_was_read_can_be_sent_back_unchanged(org: Org) -> None:
    for body in (milestone(timeZoneName="America/St_Johns"), streak(), unified()):
        group = org.define(**body)
        assert data(edit(org, group["id"], **group)) == group


def test_an_edit_of_a_target_is_answered_as_it_was_sent_object_or_array(org: Org) -> None:
    group = org.define(**milestone())
    (before,) = group["targets"]
    path = f"/v3/targetGroups/{group['id']}/targets/{before['id']}"
    body = {"expression": "currentTxn.value > 100.0", "defaultValues": [{"defaultValue": 2}]}
    one = data(org.client.put(path, json=body))
    assert one["expression"] == "currentTxn.value > 100.0"
    assert [value["defaultValue"] for value in one["defaultValues"]] == [2, 2, 2]
    assert one["name"] == before["name"]
    assert data(org.client.put(path, json=[{"description": "y"}])) == [{**one, "description": "y"}]


def test_a_running_periods_end_may_move_and_a_later_periods_start_and_end(org: Org) -> None:
    periods = [
        period("may", "2026-05-01", "2026-05-31"),
        period("june", "2026-06-01", "2026-06-30"),
        period("july", "2026-07-10", "2026-07-31"),
    ]
    group = org.define(**milestone(periods=periods))
    path = f"/v3/targetGroups/{group['id']}/targetPeriods"
    may, june, july = (each["id"] for each in group["periods"])
    moved = [
        {"id": june, "startDate": "2026-06-01", "endDate": "2026-07-02T12:00:00.000"},
        {"refCode": "july", "startDate": "2026-07-05", "endDate": "2026-08-01"},
    ]
    answered = data(org.client.put(path, json=moved))
    assert [each["id"] for each in answered] == [june, july]
    assert [each["endDate"] for each in answered] == ["2026-07-02", "2026-08-01"]
    assert whole(org, group["id"])["toDate"] == "2026-08-01"
    for refused in (
        {"id": may, "endDate": "2026-05-30"},
        {"id": june, "startDate": "2026-06-02"},
        {"id": july, "startDate": "2026-07-02T12:00:00.000"},
    ):
        assert code(org.client.put(path, json=[refused])) == 300004, refused
    assert code(org.client.put(path, json=[{"id": 5, "endDate": "2026-08-01"}])) == 310019


def test_a_unified_group_builds_its_rule_expression_from_its_active_targets(org: Org) -> None:
    expression = {"aggregation": "SUM", "thresholdValue": 5000, "ruleExpression": "mine"}
    group = org.define(**unified(unifiedTargetExpression=expression))
    one, two = (each["id"] for each in group["targets"])
    built = {"aggregation": "SUM", "thresholdValue": 5000, "ruleExpression": f"({one}&{two})"}
    assert group["unifiedTargetExpression"] == built
    assert group["combinationType"] == "ALL"
    answered = data(
        org.client.put(
            f"/v3/targetGroups/{group['id']}/unifiedTargets",
            json={
                "unifiedTargetExpression": {"thresholdValue": "70.5"},
                "targets": [{"id": two, "description": "changed"}, target("Third")],
                "deactivateTargetIds": [one],
            },
        )
    )
    three = answered["targets"][1]["id"]
    assert [each["id"] for each in answered["targets"]] == [two, three]
    assert answered["deactivateTargetIds"] == [one]
    assert answered["unifiedTargetExpression"] == {
        "aggregation": "SUM",
        "thresholdValue": Decimal("70.5"),
        "ruleExpression": f"({two}&{three})",
    }
    after = whole(org, group["id"])
    assert [each["active"] for each in after["targets"]] == [False, True, True]
    again = org.post(f"/v3/targetGroups/{group['id']}/unifiedTargets", {"deactivateTargetIds": []})
    assert data(again)["targets"] == []


def test_sub_targets_are_kept_and_shown(org: Org) -> None:
    trigger = {"triggerName": "Half", "triggerValueType": "PERCENTAGE", "triggerValue": 50}
    group = org.define(**milestone(targets=[target(targetMilestoneTriggers=[trigger])]))
    (found,) = group["targets"]
    (shown,) = found["targetMilestoneTriggers"]
    assert shown["id"] > 0
    assert shown["targetRuleId"] == found["id"]
    assert (shown["triggerValue"], shown["triggerType"]) == (50, "SYSTEM_TRIGGER")
    assert whole(org, group["id"]) == group


def test_a_deactivated_target_is_shown_and_nobody_enrols_in_it(org: Org) -> None:
    group = org.define(**milestone(targets=[target(), target()]))
    first, second = (each["id"] for each in group["targets"])
    path = f"/v3/targetGroups/{group['id']}/targets"
    assert data(org.client.delete(f"{path}/{first}")) is True
    assert [each["active"] for each in data(org.get(path))] == [False, True]
    customer = org.register()
    assert code(org.enrol(group["id"], first, customer)) == 310018
    assert data(org.enrol(group["id"], second, customer)) == customer
    assert data(org.client.put(f"{path}/{first}", json={"active": True}))["active"] is True
    assert data(org.enrol(group["id"], first, customer)) == customer


def test_nobody_enrols_in_an_inactive_group_but_it_is_read_edited_and_made_active_again(
    org: Org,
) -> None:
    group = org.define(**milestone(active=False))
    target_id, customer = group["targets"][0]["id"], org.register()
    assert code(org.enrol(group["id"], target_id, customer)) == 310017
    assert whole(org, group["id"])["active"] is False
    assert data(edit(org, group["id"], active=True))["active"] is True
    # The edit is what the next enrolment is decided with, in a process that had cached the old one.
    assert data(org.enrol(group["id"], target_id, customer)) == customer
    edit(org, group["id"], active=False)
    assert code(org.unenrol(group["id"], target_id, customer)) == 310017


def test_a_deleted_group_is_unknown_afterwards_and_its_names_are_free(org: Org) -> None:
    body = streak(name="Gone")
    group = org.define(**body)
    path = f"/v3/targetGroups/{group['id']}"
    assert data(org.client.delete(path)) is True
    assert code(org.get(path)) == 310017
    assert code(org.client.delete(path)) == 310017
    assert code(edit(org, group["id"], name="x")) == 310017
    assert code(org.enrol(group["id"], group["targets"][0]["id"], org.register())) == 310017
    assert data(org.get("/v3/targetGroups")) == []
    assert org.define(**body)["id"] != group["id"]


def test_another_organisation_sees_and_touches_nothing(service: Service, org: Org) -> None:
    other = service.new_org()
    group = org.define(**milestone(name="Shared name"))
    path = f"/v3/targetGroups/{group['id']}"
    target_path = f"{path}/targets/{group['targets'][0]['id']}"
    put = other.client.put
    assert data(other.get("/v3/targetGroups")) == []
    assert other.get("/v3/milestones").json()["data"] == []
    for response in (
        other.get(path),
        other.get(f"{path}/targetPeriods"),
        other.get(f"{path}/targets"),
        edit(other, group["id"], name="Stolen"),
        other.post(f"{path}/targetPeriods", [period("p", "2027-01-01", "2027-01-02")]),
        put(f"{path}/targetPeriods", json=[{"id": group["periods"][0]["id"]}]),
        other.post(f"{path}/targets", [target()]),
        put(target_path, json={"description": "x"}),
        put(f"{path}/unifiedTargets", json={}),
        other.client.delete(target_path),
        other.client.delete(path),
    ):
        assert code(response) == 310017
    assert whole(org, group["id"]) == group
    assert other.define(**milestone(name="Shared name"))["orgId"] == other.id
