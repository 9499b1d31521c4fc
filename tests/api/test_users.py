"""A customer's view over HTTP: contract §4, "Read"; domain: milestones §2.5, §3.4, Appendix A."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import httpx
import pytest

from milepost.api.routes import PREFIXES
from tests.api.payloads import code, data, milestone, period, streak, target, unified
from tests.harness import Org, Service

EVERY_CYCLE = "?includeInactive=true"


def ids(group: Mapping[str, Any]) -> tuple[int, int]:
    """The group's id and its first target's."""
    return group["id"], group["targets"][0]["id"]


def view(org: Org, customer: int, query: str = "", *, prefix: str = "/v3") -> Any:
    return data(org.get(f"{prefix}/users/{customer}/targetGroups{query}"))


def rows(org: Org, customer: int, query: str = EVERY_CYCLE) -> list[Any]:
    """The rows of all groups that the view shows."""
    return [row for group in view(org, customer, query)["targetGroups"] for row in group["targets"]]


def enrolled(found: list[Any]) -> list[bool]:
    return [row["targetId"] is not None for row in found]


def values(found: list[Any]) -> list[float]:
    return [row["targetAchievedValue"] for row in found]


def change(org: Org, group: Mapping[str, Any], **fields: Any) -> None:
    data(org.client.put(f"/v3/targetGroups/editTargetGroup/{group['id']}", json=fields))


def epoch_milliseconds(instant: str) -> int:
    return int(datetime.fromisoformat(instant).timestamp() * 1000)


def morning_run(org: Org) -> dict[str, Any]:
    """The streak of the domain document's Appendix A."""
    return org.define(
        name="Morning run",
        preferredTillId=11,
        trackingType="STREAKS",
        targetEvaluationType="FIXED_CALENDAR_WINDOW",
        frequencyType="DAILY",
        frequency=1,
        totalPeriods=2,
        recurringCycles=2,
        periods=[
            period("mr_d1", "2031-05-01T00:00:00.000", "2031-05-01T23:59:59.000"),
            period("mr_d2", "2031-05-02T00:00:00.000", "2031-05-02T23:59:59.000"),
        ],
        targets=[
            target(
                "Morning run",
                targetEntity="EVENT",
                eventName="runLogged",
                targetType="COUNT",
                defaultValues=[{"defaultValue": 1}, {"defaultValue": 1}],
            )
        ],
        streaks=[{"name": "Morning run_1", "targetCountOfSequence": 2}],
    )


def test_the_view_has_the_shape_of_the_domain_documents_sample(service: Service) -> None:
    org = service.new_org(now="2031-04-30T08:00:00Z")
    group = morning_run(org)
    customer = org.register()
    assert org.enrol(*ids(group), customer).status_code == 200
    org.move_clock("2031-05-01T06:10:00Z")
    response = org.get(f"/v3/users/{customer}/targetGroups")
    (shown,) = data(response)["targetGroups"]
    target_id = shown["targets"][0].pop("targetId")
    streak_id = shown["streaks"][0].pop("userStreakId")
    assert isinstance(target_id, int)
    assert isinstance(streak_id, int)
    assert shown == {
        "id": group["id"],
        "attribution": group["attribution"],
        "name": "Morning run",
        "preferredTillId": 11,
        "targetEvaluationType": "FIXED_CALENDAR_WINDOW",
        "trackingType": "STREAKS",
        "targets": [
            {
                "targetRuleId": group["targets"][0]["id"],
                "periodId": group["periods"][0]["id"],
                "periodRefCode": "mr_d1",
                "periodStartDate": "2031-05-01",
                "periodEndDate": "2031-05-01",
                "periodStartDateWithTimeStamp": "2031-05-01T00:00:00.000Z",
                "periodStartDateWithTimeStampISO": "2031-05-01T00:00:00Z",
                "periodEndDateWithTimeStamp": "2031-05-01T23:59:59.000Z",
                "periodEndDateWithTimeStampISO": "2031-05-01T23:59:59Z",
                "targetValue": 1.0,
                "targetAchievedValue": 0.0,
                "targetName": "Morning run",
                "targetType": "COUNT",
                "targetEntity": "EVENT",
                "eventName": "runLogged",
                "enrolledOn": "2031-04-30T08:00:00.000+0000",
                "enrolledOnISO": "2031-04-30T08:00:00Z",
                "targetAchievedDateTime": None,
                "targetAchievedDateTimeISO": None,
                "currentPeriod": True,
                "milestones": None,
            }
        ],
        "streaks": [
            {
                "streakId": group["streaks"][0]["id"],
                "streakName": "Morning run_1",
                "status": "INPROGRESS",
                "currentCount": 0,
                "totalTargetCountOfSequence": 2,
            }
        ],
    }


def test_values_are_numbers_with_three_decimals(org: Org) -> None:
    group = org.define(**milestone(targets=[target(defaultValues=[{"defaultValue": "12.3456"}])]))
    customer = org.register()
    org.enrol(*ids(group), customer, initialBalance=7)
    content = org.get(f"/v3/users/{customer}/targetGroups").content
    assert b'"targetValue":12.3456,"targetAchievedValue":7.000,' in content


def test_the_customer_is_shown_with_profiles_and_identifiers(org: Org) -> None:
    channel = {
        "type": "mobile",
        "value": "919800000001",
        "primary": True,
        "meta": {"residence": True},
    }
    profile = {
        "firstName": "Asha",
        "lastName": "Rao",
        "source": "INSTORE",
        "identifiers": [{"type": "mobile", "value": "919800000001"}],
        "commChannels": [channel],
        "fields": {"shoe": 38.5, "club": "north"},
    }
    shop = {
        "source": "FACEBOOK",
        "accountId": "9",
        "identifiers": [{"type": "email", "value": "asha@example.org"}],
        "fields": {"club": "south"},
    }
    body = {"loyaltyInfo": {"loyaltyType": "loyalty"}, "profiles": [profile, shop]}
    customer = org.post("/v2/customers", body).json()["createdId"]
    found = view(org, customer)
    assert found["userId"] == customer
    assert found["targetGroups"] == []
    assert found["customer"] == {
        "id": customer,
        "profiles": [
            {
                "firstName": "",
                "lastName": "",
                "identifiers": [{"type": "email", "value": "asha@example.org"}],
                "commChannels": [],
                "source": "FACEBOOK",
                "accountId": "9",
                "userId": customer,
                "orgSourceId": -1,
            },
            {
                "firstName": "Asha",
                "lastName": "Rao",
                "identifiers": [{"type": "mobile", "value": "919800000001"}],
                "commChannels": [
                    {
                        "type": "mobile",
                        "accountId": "",
                        "value": "919800000001",
                        "primary": True,
                        "verified": False,
                        "subscribed": False,
                        "attributes": {"residence": True},
                    }
                ],
                "source": "INSTORE",
                "accountId": "",
                "userId": customer,
                "orgSourceId": -1,
            },
        ],
        "loyaltyInfo": {
            "attribution": {
                "createdOn": "2026-06-01T00:00:00.000+0000",
                "createdOnISO": "2026-06-01T00:00:00Z",
            },
            "loyaltyType": "loyalty",
            "lifetimePurchases": 0,
        },
        "customFields": {"club": "south", "shoe": 38.5},
    }


@pytest.mark.parametrize("route", ["targetGroups", "enrolledTargets"])
def test_all_four_prefixes_answer_alike(org: Org, route: str) -> None:
    customer = org.register()
    org.enrol(*ids(org.define(**milestone())), customer)
    found = [data(org.get(f"{prefix}/users/{customer}/{route}")) for prefix in PREFIXES]
    for each in found if route == "targetGroups" else []:
        each["targetGroups"][0]["targets"][0].pop("orgId", None)
    assert found[0]
    assert found == [found[0]] * 4


def test_rows_have_an_org_id_under_the_v31_prefixes_only(org: Org) -> None:
    customer = org.register()
    org.enrol(*ids(org.define(**milestone())), customer)
    for prefix in PREFIXES:
        (row,) = view(org, customer, prefix=prefix)["targetGroups"][0]["targets"]
        assert row.get("orgId") == (org.id if "v3.1" in prefix else None)
        assert ("orgId" in row) == ("v3.1" in prefix)


def test_by_default_the_running_cycle_is_shown_to_those_enrolled_in_it(org: Org) -> None:
    group = org.define(**milestone())
    customer = org.register()
    assert view(org, customer)["targetGroups"] == []
    org.enrol(*ids(group), customer, periodName=f"PERIOD_G_{group['id']}_2")
    assert view(org, customer)["targetGroups"] == []
    org.move_clock("2026-06-02T10:00:00Z")
    (row,) = rows(org, customer, "")
    assert row["periodRefCode"] == f"PERIOD_G_{group['id']}_2"
    assert row["currentPeriod"] is True


def test_moving_the_clock_moves_the_current_period(org: Org) -> None:
    org.define(**milestone())
    customer = org.register()
    for now, current in (
        ("2026-06-01T23:59:59.999Z", [True, False, False]),
        ("2026-06-02T00:00:00Z", [False, True, False]),
        ("2026-06-03T12:00:00Z", [False, False, True]),
        ("2026-06-04T00:00:00Z", [False, False, False]),
    ):
        org.move_clock(now)
        assert [row["currentPeriod"] for row in rows(org, customer)] == current


def test_include_inactive_has_an_id_exactly_for_the_cycles_enrolled_in(org: Org) -> None:
    group = org.define(**milestone(recurringCycles=5))
    customer = org.register()
    assert enrolled(rows(org, customer)) == [False] * 5
    org.move_clock("2026-06-02T09:00:00Z")
    org.enrol(*ids(group), customer, initialBalance=40)
    assert enrolled(rows(org, customer)) == [False, True, True, True, True]
    org.move_clock("2026-06-03T09:00:00Z")
    org.unenrol(*ids(group), customer)
    found = rows(org, customer)
    assert enrolled(found) == [False, True, False, False, False]
    assert values(found) == [0, 40, 0, 0, 0]


def test_a_cycle_that_was_left_reads_null_and_0_until_somebody_is_back(org: Org) -> None:
    group = org.define(**milestone())
    customer = org.register()
    org.enrol(*ids(group), customer, initialBalance=1000)
    before = rows(org, customer)
    assert before[0]["targetAchievedDateTime"] == "2026-06-01T00:00:00.000+0000"
    assert before[0]["targetAchievedDateTimeISO"] == "2026-06-01T00:00:00Z"
    org.unenrol(*ids(group), customer)
    org.move_clock("2026-06-01T08:00:00Z")
    left = rows(org, customer)
    assert enrolled(left) == [False] * 3
    assert values(left) == [0, 0, 0]
    assert left[0]["targetAchievedDateTime"] is None
    assert left[0]["enrolledOn"] == "2026-06-01T08:00:00.000+0000"
    org.enrol(*ids(group), customer)
    after = rows(org, customer)
    assert [row["targetId"] for row in after] == [row["targetId"] for row in before]
    assert values(after) == [1000, 0, 0]


def test_ids_of_rows_differ_between_customers_targets_and_cycles(org: Org) -> None:
    groups = [org.define(**milestone()), org.define(**unified())]
    customers = [org.register(), org.register()]
    for group in groups:
        for each in group["targets"]:
            for customer in customers:
                assert org.enrol(group["id"], each["id"], customer).status_code == 200
    found = [row["targetId"] for customer in customers for row in rows(org, customer)]
    assert len(set(found)) == len(found) == 2 * 3 * 3
    assert None not in found


def test_a_group_of_100_cycles_is_shown_whole(org: Org) -> None:
    group = org.define(**milestone(recurringCycles=100))
    customer = org.register()
    org.enrol(*ids(group), customer, periodName=f"PERIOD_G_{group['id']}_100")
    found = rows(org, customer)
    assert [row["periodRefCode"] for row in found] == [
        f"PERIOD_G_{group['id']}_{number}" for number in range(1, 101)
    ]
    assert enrolled(found) == [False] * 99 + [True]


def test_a_deactivated_group_is_shown_only_when_asked_for(org: Org) -> None:
    group = org.define(**milestone())
    customer = org.register()
    org.enrol(*ids(group), customer, initialBalance=5)
    change(org, group, active=False)
    for query in ("", EVERY_CYCLE):
        assert rows(org, customer, query) == []
    assert values(rows(org, customer, "?includeInactiveTargets=true")) == [5]
    assert values(rows(org, customer, f"{EVERY_CYCLE}&includeInactiveTargets=true")) == [5, 0, 0]
    change(org, group, active=True)
    assert values(rows(org, customer, "")) == [5]


def test_a_deactivated_target_is_shown_only_when_asked_for(org: Org) -> None:
    group = org.define(**milestone())
    customer = org.register()
    org.enrol(*ids(group), customer)
    group_id, target_id = ids(group)
    data(org.client.delete(f"/v3/targetGroups/{group_id}/targets/{target_id}"))
    assert rows(org, customer, "") == []
    assert len(rows(org, customer, "?includeInactiveTargets=true")) == 1


def test_a_deleted_group_is_never_shown(org: Org) -> None:
    group = org.define(**milestone())
    customer = org.register()
    org.enrol(*ids(group), customer)
    data(org.client.delete(f"/v3/targetGroups/{group['id']}"))
    assert rows(org, customer, f"{EVERY_CYCLE}&includeInactiveTargets=true") == []
    assert data(org.get(f"/v3/users/{customer}/enrolledTargets")) == []


def test_an_edit_is_shown_by_the_next_read(org: Org) -> None:
    group = org.define(**milestone())
    customer = org.register()
    org.enrol(*ids(group), customer)
    view(org, customer)
    change(org, group, name="Another name")
    assert view(org, customer)["targetGroups"][0]["name"] == "Another name"


def test_one_target_can_be_asked_for_and_entities_left_out(org: Org) -> None:
    first, second = org.define(**milestone()), org.define(**streak())
    customer = org.register()
    target_id = first["targets"][0]["id"]
    found = rows(org, customer, f"{EVERY_CYCLE}&targetRuleId={target_id}")
    assert {row["targetRuleId"] for row in found} == {target_id}
    assert rows(org, customer, f"{EVERY_CYCLE}&targetRuleId={second['id']}") == []
    assert rows(org, customer, f"{EVERY_CYCLE}&excludedEntities=event,TRANSACTION") == []
    assert len(rows(org, customer, f"{EVERY_CYCLE}&excludedEntities=EVENT")) == 6


def test_a_tracking_date_chooses_the_cycle(org: Org) -> None:
    group = org.define(**milestone())
    customer = org.register()
    org.enrol(*ids(group), customer)
    at = epoch_milliseconds("2026-06-03T00:00:00+00:00")
    for milliseconds, number in ((at - 1, 2), (at, 3)):
        (row,) = rows(org, customer, f"?trackingDate={milliseconds}")
        assert row["periodRefCode"].endswith(f"_{number}")
        assert row["currentPeriod"] is True


def test_a_streak_that_is_shown_has_all_its_levels(org: Org) -> None:
    levels = [
        {"name": f"Level {count} of {org.id}", "targetCountOfSequence": count}
        for count in (1, 2, 3)
    ]
    group = org.define(**streak(streaks=levels))
    customer = org.register()
    (before,) = view(org, customer, EVERY_CYCLE)["targetGroups"]
    assert [level["userStreakId"] for level in before["streaks"]] == [None] * 3
    org.enrol(*ids(group), customer)
    for query in ("", EVERY_CYCLE):
        (shown,) = view(org, customer, query)["targetGroups"]
        assert [level["totalTargetCountOfSequence"] for level in shown["streaks"]] == [1, 2, 3]
        assert {level["status"] for level in shown["streaks"]} == {"INPROGRESS"}
        assert len({level["userStreakId"] for level in shown["streaks"]} - {None}) == 3


def test_a_streak_whose_cycle_ended_unmet_is_dropped(org: Org) -> None:
    group = org.define(**streak())
    customer = org.register()
    org.enrol(*ids(group), customer)
    org.move_clock("2026-06-02T00:00:00Z")
    (shown,) = view(org, customer)["targetGroups"]
    assert [(level["status"], level["currentCount"]) for level in shown["streaks"]] == [
        ("DROPPED", 0)
    ]


def test_a_milestone_has_no_streaks(org: Org) -> None:
    org.define(**milestone())
    (shown,) = view(org, org.register(), EVERY_CYCLE)["targetGroups"]
    assert "streaks" not in shown


def test_sub_targets_are_shown_absolute_with_whether_they_are_achieved(org: Org) -> None:
    triggers = [
        {"triggerName": "half", "triggerValueType": "PERCENTAGE", "triggerValue": 50},
        {"triggerName": "most", "triggerValueType": "ABSOLUTE", "triggerValue": 900},
    ]
    group = org.define(**milestone(targets=[target(targetMilestoneTriggers=triggers)]))
    customer = org.register()
    org.enrol(*ids(group), customer, initialBalance=500)
    (row,) = rows(org, customer, "")
    made = group["targets"][0]["targetMilestoneTriggers"]
    assert row["milestones"] == [
        {"id": made[0]["id"], "triggerName": "half", "triggerValue": 500, "isAchieved": True},
        {"id": made[1]["id"], "triggerName": "most", "triggerValue": 900, "isAchieved": False},
    ]


def test_a_target_on_a_currency_says_which(org: Org) -> None:
    info = {"alternateCurrencyIdentifier": "miles", "programId": 469}
    currency = target(targetEntity="ALTERNATE_CURRENCIES", targetType="ALL", extendedFieldInfo=info)
    org.define(**milestone(targets=[currency]))
    row = rows(org, org.register())[0]
    assert (row["programId"], row["alternateCurrencyIdentifier"]) == (469, "miles")


def test_dates_are_local_to_the_group_and_instants_true_utc(org: Org) -> None:
    org.define(
        **milestone(
            timeZoneName="America/New_York",
            periods=[period("spring", "2027-03-14", "2027-03-14")],
        )
    )
    row = rows(org, org.register())[0]
    assert (row["periodStartDate"], row["periodEndDate"]) == ("2027-03-14", "2027-03-14")
    assert row["periodStartDateWithTimeStamp"] == "2027-03-14T05:00:00.000Z"
    assert row["periodEndDateWithTimeStamp"] == "2027-03-15T03:59:59.999Z"
    assert row["periodStartDateWithTimeStampISO"] == "2027-03-14T00:00:00-05:00"
    assert row["periodEndDateWithTimeStampISO"] == "2027-03-14T23:59:59-04:00"
    assert row["enrolledOn"] == "2026-06-01T00:00:00.000+0000"
    assert row["enrolledOnISO"] == "2026-05-31T20:00:00-04:00"


@pytest.mark.parametrize("window", ["CYCLIC_WINDOW", "PERIOD_AGNOSTIC_WINDOW"])
def test_who_is_enrolled_in_own_cycles_is_in_the_first(org: Org, window: str) -> None:
    group = org.define(**milestone(targetEvaluationType=window))
    customer = org.register()
    org.enrol(*ids(group), customer, initialBalance=30)
    org.move_clock("2026-09-01T00:00:00Z")
    (row,) = rows(org, customer, "")
    assert row["periodRefCode"] == f"PERIOD_G_{group['id']}_1"
    assert (row["targetAchievedValue"], row["currentPeriod"]) == (30, True)


@pytest.mark.parametrize("route", ["targetGroups", "enrolledTargets"])
def test_an_unknown_customer_is_310011(org: Org, route: str) -> None:
    for customer in (4711, 0, -5, 2**63 - 1):
        assert code(org.get(f"/v3/users/{customer}/{route}")) == 310011


@pytest.mark.parametrize("route", ["targetGroups", "enrolledTargets"])
def test_another_hierarchys_customer_is_unknown(service: Service, org: Org, route: str) -> None:
    customer = service.new_org().register()
    assert code(org.get(f"/v3/users/{customer}/{route}")) == 310011


def test_a_connected_organisation_shares_the_customer_and_nothing_else(
    service: Service, org: Org
) -> None:
    customer = org.register()
    org.enrol(*ids(org.define(**milestone())), customer)
    child = service.new_org(now=None, parentOrgId=org.id)
    found = view(child, customer, EVERY_CYCLE)
    assert found["customer"]["id"] == customer
    assert found["targetGroups"] == []
    assert data(child.get(f"/v3/users/{customer}/enrolledTargets")) == []


@pytest.mark.parametrize("route", ["targetGroups", "enrolledTargets"])
@pytest.mark.parametrize("customer", ["abc", "1.0", "9" * 40, "1e3", "%00", "true"])
def test_a_user_id_that_is_no_integer_is_300004(org: Org, route: str, customer: str) -> None:
    assert code(org.get(f"/v3/users/{customer}/{route}")) == 300004


@pytest.mark.parametrize(
    ("route", "query"),
    [
        ("targetGroups", "includeInactive=perhaps"),
        ("targetGroups", "includeInactive=1"),
        ("targetGroups", "includeInactiveTargets=yes"),
        ("targetGroups", "targetRuleId=abc"),
        ("targetGroups", "targetRuleId=1.0"),
        ("targetGroups", f"targetRuleId={'9' * 30}"),
        ("targetGroups", "trackingDate=2026-06-01"),
        ("targetGroups", f"trackingDate={2**63 - 1}"),
        ("targetGroups", f"trackingDate={-(2**62)}"),
        ("targetGroups", "excludedEntities=NOTHING"),
        ("enrolledTargets", "targetRuleIds=1,b"),
        ("enrolledTargets", f"targetRuleIds={','.join(map(str, range(1001)))}"),
        ("enrolledTargets", "trackingDate=now"),
        ("enrolledTargets", "includeOnlyUserCreated=maybe"),
    ],
)
def test_a_query_of_a_wrong_type_is_300004(org: Org, route: str, query: str) -> None:
    assert code(org.get(f"/v3/users/{org.register()}/{route}?{query}")) == 300004


def test_blank_and_unknown_query_parameters_are_ignored(org: Org) -> None:
    org.define(**milestone())
    query = f"{EVERY_CYCLE}&targetRuleId=&trackingDate=%20&excludedEntities=,&nonsense=1"
    assert len(rows(org, org.register(), query)) == 3


@pytest.mark.parametrize("route", ["targetGroups", "enrolledTargets"])
@pytest.mark.parametrize("prefix", PREFIXES)
def test_scope_headers_are_read_under_all_prefixes_but_v3(
    org: Org, route: str, prefix: str
) -> None:
    path = f"{prefix}/users/{org.register()}/{route}"
    assert data(org.get(path, headers={"DATA-SCOPE": "self"})) is not None
    for scope, refused in (("ALL", 200), ("OTHER", 310144), ("EVERYBODY", 310144)):
        response = org.get(path, headers={"DATA-SCOPE": scope, "DATA-SCOPE-ORG": "7"})
        assert (200 if prefix == "/v3" else refused) == _code_or_status(response)


def _code_or_status(response: httpx.Response) -> int:
    return 200 if response.status_code == 200 else code(response)


@pytest.mark.parametrize("route", ["targetGroups", "enrolledTargets"])
def test_reading_needs_read_on_target_loyalty(service: Service, org: Org, route: str) -> None:
    path = f"/v3/users/{org.register()}/{route}"
    assert service.connect().get(path).status_code == 401
    for access, status in (
        ({"Target Loyalty": "READ"}, 200),
        ({"Target Loyalty": "WRITE"}, 200),
        ({"Customer": "WRITE"}, 403),
    ):
        body = {"orgId": org.id, "type": "TILL", "access": access}
        till = service.operator.post("/milepost/v1/credentials", json=body).json()["data"]["till"]
        client = service.connect(auth=(till["username"], till["password"]))
        assert client.get(path).status_code == status


def enrolled_targets(org: Org, customer: int, query: str = "") -> list[int]:
    found = data(org.get(f"/v3/users/{customer}/enrolledTargets{query}"))
    return [each["id"] for each in found]


def test_enrolled_targets_are_the_target_rules_without_the_map_of_values(org: Org) -> None:
    group = org.define(**milestone())
    customer = org.register()
    assert data(org.get(f"/v3/users/{customer}/enrolledTargets")) == []
    org.enrol(*ids(group), customer)
    (found,) = data(org.get(f"/v3/users/{customer}/enrolledTargets"))
    assert found == {**group["targets"][0], "targetPeriodDefaultValuesMap": {}}


def test_enrolled_targets_have_a_cycle_left_that_was_not_left(org: Org) -> None:
    group, other = org.define(**milestone()), org.define(**streak())
    customer = org.register()
    org.enrol(*ids(group), customer)
    org.enrol(*ids(other), customer)
    assert enrolled_targets(org, customer) == [ids(other)[1], ids(group)[1]]
    org.unenrol(*ids(other), customer)
    assert enrolled_targets(org, customer) == [ids(group)[1]]
    end = epoch_milliseconds("2026-06-04T00:00:00+00:00")
    assert enrolled_targets(org, customer, f"?trackingDate={end - 1}") == [ids(group)[1]]
    assert enrolled_targets(org, customer, f"?trackingDate={end}") == []
    org.move_clock("2026-06-04T00:00:00Z")
    assert enrolled_targets(org, customer) == []


def test_enrolled_targets_can_be_chosen_by_id_method_and_creator(org: Org) -> None:
    plain = org.define(**milestone())
    own = org.define(**milestone(userCreated=True))
    open_to_all = org.define(**milestone(targets=[target(enrolmentMethod="TRANSACTION")]))
    customer = org.register()
    for group in (plain, own, open_to_all):
        org.enrol(*ids(group), customer)
    first, second, third = (ids(group)[1] for group in (plain, own, open_to_all))
    for query, found in (
        ("", {first, second, third}),
        (f"?targetRuleIds={first},%20{third},4711", {first, third}),
        ("?targetRuleIds=", {first, second, third}),
        ("?includeOnlyUserCreated=true", {second}),
        ("?enrollmentType=TRANSACTION", {third}),
        ("?enrollmentType=import", {first, second}),
        ("?enrollmentType=AUDIENCE_FILTER", set()),
    ):
        assert set(enrolled_targets(org, customer, query)) == found


def test_an_unknown_enrolment_type_is_310130(org: Org) -> None:
    path = f"/v3/users/{org.register()}/enrolledTargets"
    assert code(org.get(f"{path}?enrollmentType=SIGNUP")) == 310130
