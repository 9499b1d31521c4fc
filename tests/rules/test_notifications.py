"""Which notifications follow from an entry of the journal, and what stands in them: domain, milestones §6."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID, uuid5

import pytest

from milepost.rules.customers import Identifier, Profile
from milepost.rules.definitions import Definitions, TargetGroup
from milepost.rules.effects import Entry
from milepost.rules.envelopes import (
    Notification,
    Recipient,
    customer_identifiers,
    enriched_envelope,
    event_id,
    raw_envelope,
)
from milepost.rules.notification_blocks import Occurrence
from milepost.rules.notifications import notifications
from milepost.rules.views import user_streak_id
from tests.rules.entries import activity, changed, effect, loaded
from tests.rules.samples import GROUP, TARGET, cyclic, day, definitions, milestone, streak

ORG, CUSTOMER, ENROLMENT = 1001, 9001, 1234
RECIPIENT = Recipient(ORG, CUSTOMER, "loyalty", (), {TARGET: ENROLMENT})
STANDING: dict[str, Any] = {"attempt": 1, "value": "1200.50", "targetValue": "1000"}
DETAILS = {
    "id": TARGET,
    "name": "Spend 1000",
    "targetGroupId": GROUP,
    "targetGroupName": "Spend 1000",
    "targetPeriodId": 701,
    "targetPeriodName": "c1",
}
RUN = {**DETAILS, "name": "Daily run", "targetGroupName": "Daily run"}
VALUES = {"achievedTargetValue": "1200.500", "definedTargetValue": "1000.000"}
MEMBERS = [[70, "1200.50", "1000"], [71, "5", "5"]]
LEVEL: dict[str, Any] = {"id": 902, "name": "l2", "count": 4}
TRIGGERS = (
    {
        "id": 5, "triggerName": "half", "isActive": True, "triggerValueType": "PERCENTAGE",
        "triggerValue": "50",
    },
    {
        "id": 6, "triggerName": "off", "isActive": False, "triggerValueType": "ABSOLUTE",
        "triggerValue": "1",
    },
)  # fmt: skip


def told(
    entry: Entry, group: TargetGroup | None = None, cause: Entry | None = None
) -> list[Notification]:
    """The notifications of the entry, the third of the customer's fifth version."""
    occurrence = Occurrence(5 << 15 | 2, 5, 2, loaded(entry), cause, "req-1")
    return notifications(occurrence, RECIPIENT, definitions(group or milestone()))


def entry(what: str, reason: str, at_days: float = 5, **details: object) -> Entry:
    return Entry(day(at_days), what, reason, GROUP, TARGET, 701, details)


def data(notification: Notification) -> dict[str, Any]:
    """What the notification says beside who the customer is."""
    found = dict(notification.data)
    assert found.pop("customerIdentifiers") == {"customerId": CUSTOMER, "loyaltyType": "loyalty"}
    json.dumps(found)
    return found


def names(found: list[Notification]) -> list[str]:
    return [each.name for each in found]


def triggering(name: str, *identifiers: tuple[str, str]) -> dict[str, object]:
    return {
        "name": name,
        "identifiers": [{"key": key, "value": value} for key, value in identifiers],
        "enteredBy": {},
        "entityInformation": {"entityType": "CUSTOMER", "entityId": CUSTOMER},
        "additionalAttributes": [],
    }


def test_a_changed_value_is_notified_with_what_changed_it() -> None:
    group = changed(milestone(), milestone_triggers=TRIGGERS, description="All shops")
    (found,) = told(activity(effect("ADDED", 120.5, 600.5)), group)
    assert found.name == "targetAchievedValueUpdated"
    assert data(found) == {
        "eventName": "TransactionAdd",
        "eventId": 5 << 15 | 2,
        "targetDetails": {**DETAILS, "description": "All shops"},
        "currentEventTargetValue": "120.5",
        "achievedTargetValue": "600.500",
        "definedTargetValue": "1000.000",
        "milestoneDetails": [
            {
                "id": 5,
                "name": "half",
                "valueType": "PERCENTAGE",
                "definedValue": "50.000",
                "isAchieved": True,
                "achievedDate": "2026-06-06T00:00:00.000+0000",
            }
        ],
        "triggeringActivity": triggering("TransactionAdd", ("TransactionId", "tx-1")),
        "transactionId": "tx-1",
    }


def test_a_return_has_a_positive_value_and_the_name_ReturnBill() -> None:  # noqa: N802
    (found,) = told(activity(effect("RETURNED", -20, 400.5), kind="RETURN"))
    told_data = data(found)
    assert (told_data["eventName"], told_data["currentEventTargetValue"]) == ("ReturnBill", "20")
    assert told_data["achievedTargetValue"] == "400.500"
    assert told_data["returnId"] == "rt-1"
    assert "transactionId" not in told_data
    assert told_data["triggeringActivity"] == triggering("ReturnBill", ("ReturnId", "rt-1"))


def test_an_event_is_named_and_has_no_transaction() -> None:
    (found,) = told(activity(effect("ADDED", 1, 1), kind="EVENT"))
    told_data = data(found)
    assert told_data["triggeringActivity"] == triggering("runLogged", ("EventId", "ev-1"))
    assert not {"transactionId", "returnId"} & set(told_data)


def test_points_without_an_activity_are_notified_as_earned_points() -> None:
    of_points = Entry(day(1), "ACTIVITY", "POINTS", effects=(effect("POINTS_GRANTED", 50, 70),))
    (found,) = told(of_points)
    assert data(found)["triggeringActivity"] == triggering("PointsEarned")
    assert data(found)["eventName"] == "PointsEarned"


def test_each_target_that_an_activity_changed_is_notified_and_no_other() -> None:
    other = replace(milestone().targets[0], id=71, name="Visits")
    group = replace(milestone(), targets=(*milestone().targets, other))
    effects = (effect("NOT_ENROLLED"), effect("ADDED", 5, 5), effect("ADDED", 1, 1, target_id=71))
    found = told(activity(*effects), group)
    assert names(found) == ["targetAchievedValueUpdated"] * 2
    assert [data(each)["targetDetails"]["id"] for each in found] == [70, 71]
    assert told(activity(effect("SAME_DAY"))) == []
    assert told(activity()) == []


@pytest.mark.parametrize(
    ("value", "reached_before", "achieved", "date"),
    [
        (499, False, False, None),
        (500, False, True, "2026-06-06T00:00:00.000+0000"),
        (700, True, True, None),
    ],
)
def test_a_sub_target_has_a_date_where_this_activity_reached_it(
    value: float, reached_before: bool, achieved: bool, date: str | None
) -> None:
    group = changed(milestone(), milestone_triggers=TRIGGERS)
    amount = 1 if reached_before else 100
    (found,) = told(activity(effect("ADDED", amount, value)), group)
    (threshold,) = data(found)["milestoneDetails"]
    assert (threshold["isAchieved"], threshold["achievedDate"]) == (achieved, date)


def test_an_achieved_cycle_is_notified_with_the_activity_behind_it() -> None:
    cause = activity(effect("ADDED", 200.5, 1200.5))
    (found,) = told(entry("ACHIEVED", "REACHED", **STANDING, activity="tx-1"), cause=cause)
    assert found.name == "targetValueAchieved"
    assert data(found) == {
        "eventName": "TransactionAdd",
        "eventId": 5 << 15 | 2,
        "targetDetails": DETAILS,
        "currentEventTargetValue": "200.5",
        **VALUES,
        "triggeringActivity": triggering("TransactionAdd", ("TransactionId", "tx-1")),
        "transactionId": "tx-1",
    }


def test_a_cycle_that_a_balance_achieved_is_notified_with_the_balance() -> None:
    (found,) = told(entry("ACHIEVED", "INITIAL_BALANCE", **STANDING))
    assert found.name == "targetValueAchieved"
    told_data = data(found)
    assert told_data["currentEventTargetValue"] == "1200.5"
    assert told_data["triggeringActivity"] == triggering("enrolment")


def test_a_changed_target_value_is_notified() -> None:
    (found,) = told(entry("TARGET_VALUE", "OWN_TARGET_VALUE", value="1200.50", targetValue="1000"))
    assert (found.name, data(found)) == ("targetValueUpdated", {"targetDetails": DETAILS, **VALUES})


def test_a_cycle_that_begins_is_notified() -> None:
    (found,) = told(entry("STARTED", "CYCLE_STARTED", **STANDING))
    assert found.name == "targetPeriodStarted"
    assert data(found) == {"targetDetails": DETAILS, "definedTargetValue": "1000.000"}


@pytest.mark.parametrize("reason", ["SETTLED_ACHIEVED", "SETTLED_UNACHIEVED"])
def test_a_settled_cycle_is_notified_achieved_or_not(reason: str) -> None:
    group = changed(milestone(), milestone_triggers=TRIGGERS)
    (found,) = told(entry("SETTLED", reason, **STANDING), group)
    assert found.name == "targetPeriodCompleted"
    told_data = data(found)
    (threshold,) = told_data.pop("milestoneDetails")
    assert (threshold["isAchieved"], threshold["achievedDate"]) == (True, None)
    assert told_data == {"targetDetails": DETAILS, **VALUES}


@pytest.mark.parametrize("reason", ["ENROLLED", "RE_ENROLLED", "EXTENDED_BACK"])
def test_an_enrolment_in_a_milestone_is_notified(reason: str) -> None:
    group = changed(milestone(time_zone="Asia/Kolkata"), description="All shops")
    (found,) = told(entry("ENROLLED", reason, attempt=1, balance="300", targetValue="1000"), group)
    assert found.name == "targetCustomerEnrolment"
    assert data(found) == {
        "eventId": 5 << 15 | 2,
        "defaultTargetValue": "1000.000",
        "targetId": TARGET,
        "targetName": "Spend 1000",
        "targetGroupId": GROUP,
        "targetGroupName": "Spend 1000",
        "source": "API",
        "targetPeriodId": 701,
        "targetPeriodName": "c1",
        "targetPeriodStartDate": "2026-06-01 05:30:00",
        "targetCycleStartDate": "2026-06-01 05:30:00",
        "description": "All shops",
        "milestoneDetails": [],
    }


def test_an_enrolment_by_an_activity_says_so() -> None:
    first: dict[str, Any] = {"attempt": 1, "targetValue": "1000", "activity": "tx-1"}
    (found,) = told(entry("ENROLLED", "FIRST_ACTIVITY", **first), cause=activity())
    assert data(found)["source"] == "ACTIVITY"
    found, _ = told(entry("ENROLLED", "FIRST_ACTIVITY", **first), streak(), activity())
    assert data(found)["triggeringActivity"] == triggering(
        "enrolmentIntoStreak", ("ENROL_VIA_ACTIVITY", "tx-1")
    )


def test_leaving_a_milestone_is_not_notified() -> None:
    assert told(entry("UNENROLLED", "LEFT", **STANDING)) == []


STREAK_DATA = {
    "streakName": "Daily run",
    "descriptionOfTheStreak": "Every day",
    "numberOfLevel": 2,
    "levelValues": [2, 4],
}
STREAK_DATES = {"startDate": "2026-06-01 00:00:00", "endDate": "2026-07-20 23:59:59"}


def test_an_enrolment_in_a_streak_is_notified_and_the_streak_begins() -> None:
    group = streak(description="Every day")
    enrolment, start = told(entry("ENROLLED", "ENROLLED", stint=1, attempt=1), group)
    assert (enrolment.name, start.name) == ("streakCustomerEnrolment", "streakStart")
    assert data(enrolment) == {
        "streakEnrolmentData": [
            {
                **STREAK_DATA,
                **STREAK_DATES,
                "streakValueWhenEnrolled": "0",
                "enrolledDate": "2026-06-06 00:00:00",
            }
        ],
        "targetData": [RUN],
        "triggeringActivity": triggering("enrolmentIntoStreak", ("ENROL_VIA_API", "req-1")),
    }
    assert data(start) == {
        "targetDetails": RUN,
        "streakStartData": [
            {
                **STREAK_DATA,
                "userStreakValueAtTheStart": "0",
                "startDate": "2026-06-06 00:00:00",
            }
        ],
        "triggeringActivity": triggering("streakStartEvent", ("TargetRuleId", str(TARGET))),
    }


@pytest.mark.parametrize(
    ("reason", "at_days", "details", "begins"),
    [
        ("ENROLLED", 5, {}, True),
        ("ENROLLED", 0, {}, True),
        ("ENROLLED", -1, {}, False),
        ("RE_ENROLLED", 5, {"counter": 3}, False),
        ("RE_ENROLLED", 5, {"reset": True}, True),
    ],
)
def test_a_streak_begins_with_the_enrolment_within_a_cycle_unless_it_goes_on(
    reason: str, at_days: float, details: dict[str, Any], begins: bool
) -> None:
    found = told(entry("ENROLLED", reason, at_days, **details), streak())
    assert names(found) == ["streakCustomerEnrolment", *(["streakStart"] if begins else [])]
    (enrolment,) = data(found[0])["streakEnrolmentData"]
    assert enrolment["streakValueWhenEnrolled"] == str(details.get("counter", 0))


def test_a_streak_begins_with_the_customers_first_cycle() -> None:
    first = entry("STARTED", "CYCLE_STARTED", 0, **STANDING)
    assert names(told(first, streak())) == ["targetPeriodStarted", "streakStart"]
    assert names(told(first, milestone())) == ["targetPeriodStarted"]
    second = replace(first, period_id=702)
    assert names(told(second, streak())) == ["targetPeriodStarted"]
    marked = replace(second, details={**STANDING, "first": True})
    assert names(told(marked, streak())) == ["targetPeriodStarted", "streakStart"]


def test_leaving_a_streak_is_notified() -> None:
    (found,) = told(
        entry("UNENROLLED", "LEFT", counter=3, **STANDING), streak(description="Every day")
    )
    assert found.name == "streakCustomerUnEnrolment"
    assert data(found) == {
        "streakUnEnrolmentData": [
            {
                **STREAK_DATA,
                **STREAK_DATES,
                "streakValueWhenUnEnrolled": "3",
                "unEnrolledDate": "2026-06-06 00:00:00",
            }
        ],
        "targetData": [RUN],
        "triggeringActivity": triggering("streak unenrollment", ("UNENROL_VIA_API", "req-1")),
    }


def test_a_streak_ends_with_the_settlement_of_its_last_cycle() -> None:
    group = streak(description="Every day")
    last = replace(
        entry("SETTLED", "SETTLED_ACHIEVED", 50, **STANDING, counter=5, levels=["l1", "l2"]),
        period_id=705,
    )
    completed, end = told(last, group)
    assert (completed.name, end.name) == ("targetPeriodCompleted", "streakEnd")
    assert data(end) == {
        "targetDetails": {**RUN, "targetPeriodId": 705, "targetPeriodName": "c5"},
        "streakEndData": [
            {
                **STREAK_DATA,
                "numberOfLevelsAchievedByTheUser": 2,
                "levelsAchievedByTheUser": ["l1", "l2"],
                "userStreakValueByTheEnd": "5",
                "endDate": "2026-07-20 23:59:59",
            }
        ],
        "triggeringActivity": triggering("streakEndEvent", ("TargetRuleId", str(TARGET))),
    }
    assert names(told(replace(last, period_id=704), group)) == ["targetPeriodCompleted"]
    assert names(told(last, milestone())) == ["targetPeriodCompleted"]


@pytest.mark.parametrize(
    ("what", "reason", "name", "date", "kind", "identifiers"),
    [
        (
            "ACHIEVED", "LEVEL_REACHED", "streakLevelAchieved", "2026-06-06T00:00:00.000+0000",
            "TRANSACTION", ("TransactionAdd", ("transactionId", "tx-1")),
        ),
        (
            "UNACHIEVED", "LEVEL_LOST", "streakLevelUnAchieved", None,
            "RETURN", ("ReturnBill", ("returnId", "rt-1")),
        ),
    ],
)  # fmt: skip
def test_a_level_reached_or_lost_is_notified(
    what: str,
    reason: str,
    name: str,
    date: str | None,
    kind: str,
    identifiers: tuple[str, tuple[str, str]],
) -> None:
    group = streak()
    about = entry(what, reason, attempt=1, level=LEVEL, counter=4, activity=identifiers[1][1])
    (found,) = told(about, group, activity(kind=kind))
    assert found.name == name
    assert data(found) == {
        "streakData": [
            {
                "userCurrentStreakValue": "4",
                "streakLevelName": "l2",
                "streakName": "l2",
                "streakId": "902",
                "userStreakId": str(user_streak_id(ENROLMENT, group, 902)),
                "streakLevelAchievedDate": date,
            }
        ],
        "targetData": [RUN],
        "triggeringActivity": triggering(
            identifiers[0], ("eventLogId", str(5 << 15 | 2)), identifiers[1]
        ),
    }


@pytest.mark.parametrize(
    ("about", "name", "position"),
    [
        (entry("ACHIEVED", "UNIFIED_REACHED", members=MEMBERS), "unifiedTargetsAchieved", 0),
        (entry("UNACHIEVED", "UNIFIED_LOST", members=MEMBERS), "unifiedTargetsUnAchieved", 0),
        (
            entry("SETTLED", "SETTLED_UNACHIEVED", **STANDING, unified=False, members=MEMBERS),
            "unifiedTargetsUnAchieved",
            1,
        ),
    ],
)
def test_a_unified_condition_met_or_not_is_notified(about: Entry, name: str, position: int) -> None:
    group = milestone(
        tracking_type="UNIFIED",
        combination_type="ALL",
        unified_target_expression={
            "aggregation": "SUM",
            "thresholdValue": "5000",
            "ruleExpression": "(70 & 71)",
        },
    )
    group = replace(
        group, targets=(*group.targets, replace(group.targets[0], id=71, name="Visits"))
    )
    found = told(about, group)[position]
    assert found.name == name
    assert data(found) == {
        "unifiedTargetGroupDetails": {
            "targetGroupId": GROUP,
            "targetGroupName": "Spend 1000",
            "unifiedTargetsAchievementCondition": {
                "combinationType": "ALL",
                "aggregation": "SUM",
                "thresholdValue": "5000.000",
                "ruleExpression": "(70 & 71)",
            },
        },
        "targetData": [
            {
                "targetId": 70,
                "targetName": "Spend 1000",
                "targetPeriodId": 701,
                "targetPeriodName": "c1",
                "achievedTargetValue": "1200.500",
                "definedTargetValue": "1000.000",
            },
            {
                "targetId": 71,
                "targetName": "Visits",
                "targetPeriodId": 701,
                "targetPeriodName": "c1",
                "achievedTargetValue": "5.000",
                "definedTargetValue": "5.000",
            },
        ],
    }


def test_a_unified_group_that_was_met_in_time_is_not_notified_as_unmet() -> None:
    settled = entry("SETTLED", "SETTLED_ACHIEVED", **STANDING, unified=True, members=MEMBERS)
    assert names(told(settled)) == ["targetPeriodCompleted"]
    settled = entry("SETTLED", "SETTLED_UNACHIEVED", **STANDING, unified=False)
    assert names(told(settled)) == ["targetPeriodCompleted"]


def test_the_transaction_behind_a_unified_achievement_is_named() -> None:
    met = entry("ACHIEVED", "UNIFIED_REACHED", members=MEMBERS, activity="tx-1")
    (found,) = told(met, cause=activity(effect("ADDED", 1, 1)))
    assert found.data["transactionId"] == "tx-1"


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ("REWARDED", "LEVEL_REWARD"),
        ("BROKEN", "CYCLE_MISSED"),
        ("UNACHIEVED", "RETURNED"),
        ("NEW", "X"),
    ],
)
def test_other_entries_are_not_notified(what: str, reason: str) -> None:
    assert told(entry(what, reason, **STANDING)) == []


def test_own_cycles_are_notified_like_others() -> None:
    started = entry("STARTED", "CYCLE_STARTED", startsAt="x", endsAt="y", targetValue="1000")
    assert names(told(started, cyclic())) == ["targetPeriodStarted"]


@pytest.mark.parametrize(
    "about",
    [
        activity(effect("ADDED", 1, 1)),
        entry("ACHIEVED", "REACHED", **STANDING),
        entry("ACHIEVED", "LEVEL_REACHED", level=LEVEL),
        entry("ACHIEVED", "UNIFIED_REACHED", members=MEMBERS),
        entry("ENROLLED", "ENROLLED", **STANDING),
        entry("STARTED", "CYCLE_STARTED", **STANDING),
        entry("SETTLED", "SETTLED_ACHIEVED", **STANDING),
        entry("TARGET_VALUE", "OWN_TARGET_VALUE", **STANDING),
    ],
    ids=lambda about: f"{about.what} {about.reason}",
)
def test_what_was_deleted_since_is_named_by_its_ids(about: Entry) -> None:
    for defined in (
        Definitions(ORG, 2, "UTC"),
        definitions(replace(streak(), targets=(), levels=())),
        definitions(replace(milestone(), periods=())),
    ):
        found = notifications(Occurrence(1, 0, 1, loaded(about)), RECIPIENT, defined)
        assert found
        for each in found:
            assert str(TARGET) in json.dumps(each.data)


def test_ids_are_those_of_version_5_of_the_place_in_the_journal_and_never_change() -> None:
    both = (effect("ADDED", 1, 1), effect("ADDED", 2, 3))
    first, second = told(activity(*both))
    assert [first.id, second.id] == [each.id for each in told(activity(*both))]
    namespace = UUID("5f0a1c2e-3b64-4d5e-8a51-9c7f2d1e6b40")
    assert first.id == str(uuid5(namespace, "1001/9001/5/2/0"))
    assert second.id == str(uuid5(namespace, "1001/9001/5/2/1"))
    assert event_id("1001/9001/5/2/0") == first.id


def test_the_raw_envelope_is_the_documented_one() -> None:
    (found,) = told(entry("STARTED", "CYCLE_STARTED", **STANDING))
    assert raw_envelope(found, ORG) == {
        "eventName": "targetPeriodStarted",
        "eventLogId": 5 << 15 | 2,
        "eventId": found.id,
        "orgId": ORG,
        "refId": "1001_req-1",
        "apiRequestId": "req-1",
        "createdAt": 1780704000000,
        "loyaltyEventId": str(5 << 15 | 2),
        "traceAttributes": {},
        "data": found.data,
    }


@pytest.mark.parametrize(
    ("about", "event_type"),
    [
        (entry("STARTED", "CYCLE_STARTED", **STANDING), "1001_targetPeriodStarted"),
        (entry("ACHIEVED", "LEVEL_REACHED", level=LEVEL), "streakLevelAchieved"),
        (entry("UNACHIEVED", "LEVEL_LOST", level=LEVEL), "streakLevelUnAchieved"),
    ],
)
def test_the_enriched_envelope_is_the_documented_one(about: Entry, event_type: str) -> None:
    (found,) = told(about)
    assert enriched_envelope(found, ORG) == {
        "eventId": found.id,
        "eventType": event_type,
        "consumerGroupId": None,
        "actionType": "START",
        "timeStamp": 1780704000000,
        "attributes": {
            "createdAt": 1780704000000,
            "data": found.data,
            "loyaltyEventId": str(5 << 15 | 2),
            "eventName": found.name,
            "refId": "1001_req-1",
            "apiRequestId": "req-1",
            "orgId": ORG,
        },
    }


def test_what_fell_due_without_a_request_refers_to_its_entry() -> None:
    occurrence = Occurrence(77, 1, 1, entry("STARTED", "CYCLE_STARTED", **STANDING))
    (found,) = notifications(occurrence, RECIPIENT, definitions(milestone()))
    assert raw_envelope(found, ORG)["refId"] == "1001_77"


def test_the_customer_is_identified_by_every_source() -> None:
    profiles = (
        Profile("WECHAT", "b", (Identifier("mobile", "911"),), "Ann", ""),
        Profile("WECHAT", "a", (Identifier("externalId", "x"), Identifier("email", "a@b.c"))),
        Profile(
            "INSTORE",
            "",
            (Identifier("mobile", "911"), Identifier("externalId", "x")),
            "Asha",
            "Rao",
        ),
    )
    assert customer_identifiers(replace(RECIPIENT, profiles=profiles)) == {
        "customerId": CUSTOMER,
        "firstName": "Asha",
        "lastName": "Rao",
        "loyaltyType": "loyalty",
        "instore": {"id": CUSTOMER, "mobile": "911", "externalId": "x"},
        "wechat": {
            "accounts": [
                {
                    "accountId": "b",
                    "identifiers": [{"identifierType": "mobile", "identifierValue": "911"}],
                },
                {
                    "accountId": "a",
                    "identifiers": [
                        {"identifierType": "externalId", "identifierValue": "x"},
                        {"identifierType": "email", "identifierValue": "a@b.c"},
                    ],
                },
            ]
        },
    }


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("1", "1.000"),
        ("1E+3", "1000.000"),
        ("0.1234", "0.1234"),
        ("-3000", "-3000.000"),
        ("0.5", "0.500"),
    ],
)
def test_values_have_three_decimals_or_as_many_as_they_need(value: str, written: str) -> None:
    (found,) = told(entry("SETTLED", "SETTLED_ACHIEVED", value=value, targetValue="1"))
    assert found.data["achievedTargetValue"] == written


def test_instants_are_written_in_their_documented_forms() -> None:
    at = datetime.fromisoformat("2026-03-29T00:30:00.123456+00:00")
    group = replace(streak(), time_zone="Europe/Madrid")
    left = replace(entry("UNENROLLED", "LEFT", **STANDING), at=at)
    (found,) = told(left, group)
    (unenrolment,) = data(found)["streakUnEnrolmentData"]
    assert unenrolment["unEnrolledDate"] == "2026-03-29 01:30:00"
    reached = replace(entry("ACHIEVED", "LEVEL_REACHED", level=LEVEL), at=at)
    (found,) = told(reached, group)
    (level,) = data(found)["streakData"]
    assert level["streakLevelAchievedDate"] == "2026-03-29T00:30:00.123+0000"
    assert raw_envelope(found, ORG)["createdAt"] == 1774744200123
