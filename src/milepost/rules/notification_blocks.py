"""What stands in the `data` of a notification, block by block (domain: milestones §6)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from milepost.rules.activities import EVENT, POINTS_EARNED, RETURN, TRANSACTION
from milepost.rules.calendar import written_instant
from milepost.rules.definitions import Target, TargetGroup
from milepost.rules.effects import Effect, Entry
from milepost.rules.envelopes import Data, Recipient
from milepost.rules.frozen import dataclass
from milepost.rules.reasons import ACTIVITY
from milepost.rules.scene import Scene, plain
from milepost.rules.views import user_streak_id

_THREE_PLACES = Decimal("0.001")
_ID_KEYS = {TRANSACTION: "TransactionId", RETURN: "ReturnId", EVENT: "EventId"}


@dataclass(frozen=True, slots=True)
class EnteredBy:
    """Who made the call behind something: a till or, where none is known, a credential, by its id.

    The till's name, and the store's code, name and external ids; None where there is none.
    """

    id: int
    till_name: str | None = None
    store_code: str | None = None
    store_name: str | None = None
    external_id: str | None = None
    external_id_1: str | None = None
    external_id_2: str | None = None


@dataclass(frozen=True, slots=True)
class Occurrence:
    """An entry of the journal with its place there; `id` rises with each entry of the customer.

    `cause` is the entry of the activity behind it, where there is one. `request_id` is that of the
    call, empty for what fell due, and `entered_by` says who made it, as far as that is known.
    """

    id: int
    version: int
    ordinal: int
    entry: Entry
    cause: Entry | None = None
    request_id: str = ""
    entered_by: EnteredBy | None = None


@dataclass(frozen=True, slots=True)
class About:
    """What every block may need beside the scene."""

    occurrence: Occurrence
    recipient: Recipient

    @property
    def activity(self) -> Entry | None:
        """The entry of the activity that this is about or that caused it."""
        entry = self.occurrence.entry
        return entry if entry.what == ACTIVITY else self.occurrence.cause


def counted(about: About, scene: Scene, amount: Decimal) -> Data:
    """What an activity, points or a balance made of the value; amounts of returns are positive too."""
    activity = about.activity
    name = activity.details.get("eventName") if activity is not None else None
    otherwise = "enrolment" if activity is None else POINTS_EARNED
    key = None
    if activity is not None and scene.activity_id is not None:
        key = (_ID_KEYS.get(activity.reason, "EventId"), scene.activity_id)
    return {
        "eventName": name or otherwise,
        "eventId": about.occurrence.id,
        "targetDetails": target_details(scene),
        "currentEventTargetValue": plain(amount),
        **values(scene),
        "triggeringActivity": triggering_activity(about, name or otherwise, key),
    }


def amount_of(about: About, scene: Scene) -> Decimal:
    """How much the activity behind an achievement added there; a balance is all of it."""
    cause = about.occurrence.cause
    for effect in cause.effects if cause is not None else ():
        if (effect.target_id, effect.period_id) == (scene.target_id, scene.period_id):
            return abs(effect.amount)
    return scene.value or Decimal(0)


def activity_id(about: About) -> Data:
    """The id under the name that its kind has."""
    activity = about.activity
    if activity is None or activity.reason not in (TRANSACTION, RETURN):
        return {}
    key = "transactionId" if activity.reason == TRANSACTION else "returnId"
    return {key: activity.details.get("activity")}


def values(scene: Scene) -> Data:
    """The achieved and the defined value of the cycle."""
    return {
        "achievedTargetValue": three(scene.value),
        "definedTargetValue": three(scene.asked),
    }


def target_details(scene: Scene) -> Data:
    """The target and its cycle, described."""
    description = scene.target.description if scene.target is not None else ""
    return {**_target_data(scene), **({"description": description} if description else {})}


def _target_data(scene: Scene) -> Data:
    group, target, period = scene.group, scene.target, scene.period
    return {
        "id": scene.target_id,
        "name": target.name if target is not None else None,
        "targetGroupId": scene.group_id,
        "targetGroupName": group.name if group is not None else None,
        "targetPeriodId": scene.period_id,
        "targetPeriodName": period.ref_code if period is not None else None,
    }


def thresholds(scene: Scene, value: Decimal | None, effect: Effect | None = None) -> list[Data]:
    """The sub-targets of the cycle. `achievedDate` is known where this very activity reached it."""
    target, asked = scene.target, scene.asked
    found = []
    for trigger in target.milestone_triggers if target is not None else ():
        if not trigger["isActive"]:
            continue
        threshold = _absolute(trigger, asked or Decimal(0))
        reached = value is not None and value >= threshold
        now = effect is not None and reached and effect.value - effect.amount < threshold
        found.append(
            {
                "id": trigger["id"],
                "name": trigger["triggerName"],
                "valueType": trigger["triggerValueType"],
                "definedValue": three(Decimal(str(trigger["triggerValue"]))),
                "isAchieved": reached,
                "achievedDate": _offset_instant(scene.at) if now else None,
            }
        )
    return found


def _absolute(trigger: Mapping[str, object], asked: Decimal) -> Decimal:
    value = Decimal(str(trigger["triggerValue"]))
    return value * asked / 100 if trigger["triggerValueType"] == "PERCENTAGE" else value


def milestone_enrolment(about: About, scene: Scene) -> Data:
    """`targetCustomerEnrolment`."""
    group, target, period = scene.group, scene.target, scene.period
    return {
        "eventId": about.occurrence.id,
        "defaultTargetValue": three(scene.asked),
        "targetId": scene.target_id,
        "targetName": target.name if target is not None else None,
        "targetGroupId": scene.group_id,
        "targetGroupName": group.name if group is not None else None,
        "source": "API" if scene.activity_id is None else "ACTIVITY",
        "targetPeriodId": scene.period_id,
        "targetPeriodName": period.ref_code if period is not None else None,
        "targetPeriodStartDate": _local(period.starts_at, scene.zone) if period else None,
        "targetCycleStartDate": _local(group.cycle_starts_at, scene.zone) if group else None,
        "description": target.description if target is not None else "",
        "milestoneDetails": thresholds(scene, scene.value),
    }


def unified(about: About, scene: Scene) -> Data:
    """A unified group's condition, and how far each of its targets had come."""
    group, period = scene.group, scene.period
    expression = (group.unified_target_expression if group is not None else None) or {}
    threshold = expression.get("thresholdValue")
    members = scene.details.get("members")
    return {
        "unifiedTargetGroupDetails": {
            "targetGroupId": scene.group_id,
            "targetGroupName": group.name if group is not None else None,
            "unifiedTargetsAchievementCondition": {
                "combinationType": group.combination_type if group is not None else None,
                "aggregation": expression.get("aggregation"),
                "thresholdValue": three(Decimal(str(threshold))) if threshold is not None else None,
                "ruleExpression": expression.get("ruleExpression"),
            },
        },
        "targetData": [
            {
                "targetId": target_id,
                "targetName": _target_name(group, target_id),
                "targetPeriodId": scene.period_id,
                "targetPeriodName": period.ref_code if period is not None else None,
                "achievedTargetValue": three(Decimal(value)),
                "definedTargetValue": three(Decimal(asked)),
            }
            for target_id, value, asked in (members if isinstance(members, list) else ())
        ],
        **activity_id(about),
    }


def _target_name(group: TargetGroup | None, target_id: int) -> str | None:
    target: Target | None = group.targets_by_id.get(target_id) if group is not None else None
    return target.name if target is not None else None


def level(about: About, scene: Scene, achieved_at: datetime | None) -> Data:
    """A streak level that was achieved, or taken back: then `achieved_at` is None."""
    level = scene.details["level"]
    assert isinstance(level, Mapping)
    activity = about.activity
    identifiers = [("eventLogId", str(about.occurrence.id))]
    if activity is not None:
        key = _ID_KEYS.get(activity.reason, "EventId")
        identifiers.append((key[0].lower() + key[1:], str(scene.activity_id)))
    name = activity.details.get("eventName") if activity is not None else None
    return {
        "streakData": [
            {
                "userCurrentStreakValue": _counter(scene),
                "streakLevelName": level.get("name"),
                "streakName": level.get("name"),
                "streakId": str(level.get("id")),
                "userStreakId": _user_streak_id(about, scene, level.get("id")),
                "streakLevelAchievedDate": _offset_instant(achieved_at) if achieved_at else None,
            }
        ],
        "targetData": [_target_data(scene)],
        "triggeringActivity": triggering_activity(about, name, *identifiers),
    }


def _user_streak_id(about: About, scene: Scene, level_id: object) -> str | None:
    enrolment_id = about.recipient.enrolment_ids.get(scene.target_id or 0)
    group = scene.group
    if enrolment_id is None or group is None or not isinstance(level_id, int):
        return None
    if all(level.id != level_id for level in group.levels):
        return None
    return str(user_streak_id(enrolment_id, group, level_id))


def _streak(scene: Scene) -> Data:
    """What a streak is called and which counts its levels take."""
    group = scene.group
    levels = group.levels if group is not None else ()
    return {
        "streakName": group.name if group is not None else None,
        "descriptionOfTheStreak": group.description if group is not None else None,
        "numberOfLevel": len(levels),
        "levelValues": [level.target_count for level in levels],
    }


def _streak_dates(scene: Scene) -> Data:
    group = scene.group
    return {
        "startDate": _local(group.cycle_starts_at, scene.zone) if group else None,
        "endDate": _local_end(group.cycle_ends_at, scene.zone) if group else None,
    }


def streak_enrolment(about: About, scene: Scene) -> Data:
    """`streakCustomerEnrolment`."""
    by = ("ENROL_VIA_API", request_id(about))
    if scene.activity_id is not None:
        by = ("ENROL_VIA_ACTIVITY", scene.activity_id)
    enrolment = {
        **_streak(scene),
        **_streak_dates(scene),
        "streakValueWhenEnrolled": _counter(scene),
        "enrolledDate": _local(scene.at, scene.zone),
    }
    return {
        "streakEnrolmentData": [enrolment],
        "targetData": [_target_data(scene)],
        "triggeringActivity": triggering_activity(about, "enrolmentIntoStreak", by),
    }


def streak_unenrolment(about: About, scene: Scene) -> Data:
    """`streakCustomerUnEnrolment`."""
    unenrolment = {
        **_streak(scene),
        **_streak_dates(scene),
        "streakValueWhenUnEnrolled": _counter(scene),
        "unEnrolledDate": _local(scene.at, scene.zone),
    }
    by = ("UNENROL_VIA_API", request_id(about))
    return {
        "streakUnEnrolmentData": [unenrolment],
        "targetData": [_target_data(scene)],
        "triggeringActivity": triggering_activity(about, "streak unenrollment", by),
    }


def streak_start(about: About, scene: Scene, at: datetime) -> Data:
    """`streakStart`."""
    start = {
        **_streak(scene),
        "userStreakValueAtTheStart": _counter(scene),
        "startDate": _local(at, scene.zone),
    }
    by = ("TargetRuleId", str(scene.target_id))
    return {
        "targetDetails": target_details(scene),
        "streakStartData": [start],
        "triggeringActivity": triggering_activity(about, "streakStartEvent", by),
    }


def streak_end(about: About, scene: Scene, ends_at: datetime) -> Data:
    """`streakEnd`."""
    names = scene.details.get("levels")
    achieved = list(names) if isinstance(names, list | tuple) else []
    end = {
        **_streak(scene),
        "numberOfLevelsAchievedByTheUser": len(achieved),
        "levelsAchievedByTheUser": achieved,
        "userStreakValueByTheEnd": _counter(scene),
        "endDate": _local_end(ends_at, scene.zone),
    }
    by = ("TargetRuleId", str(scene.target_id))
    return {
        "targetDetails": target_details(scene),
        "streakEndData": [end],
        "triggeringActivity": triggering_activity(about, "streakEndEvent", by),
    }


def triggering_activity(
    about: About, name: object, *identifiers: tuple[str, object] | None
) -> Data:
    """What caused a notification: its name, and what identifies it."""
    return {
        "name": name,
        "identifiers": [{"key": each[0], "value": each[1]} for each in identifiers if each],
        "enteredBy": _entered_by(about.occurrence.entered_by),
        "entityInformation": {
            "entityType": "CUSTOMER",
            "entityId": about.recipient.customer_id,
        },
        "additionalAttributes": [],
    }


def _entered_by(by: EnteredBy | None) -> Data:
    """Who made the call, with till and store where they are known; nothing for what fell due."""
    if by is None:
        return {}
    found: Data = {"id": by.id}
    if by.till_name is not None:
        found["till"] = {"code": by.till_name, "name": by.till_name}
    if by.store_code is not None:
        found["store"] = {
            "code": by.store_code,
            "name": by.store_name,
            "externalId": by.external_id,
            "externalId1": by.external_id_1,
            "externalId2": by.external_id_2,
        }
    return found


def _counter(scene: Scene) -> str:
    """The streak's counter then; a streak that begins is at 0."""
    return str(scene.details.get("counter", 0))


def request_id(about: About) -> str:
    """The id of the call behind it; the entry's where something fell due."""
    return about.occurrence.request_id or str(about.occurrence.id)


def three(value: Decimal | None) -> str | None:
    """A value with three decimals, or with all it has if they are more."""
    if value is None:
        return None
    exponent = value.as_tuple().exponent
    if isinstance(exponent, int) and exponent >= -3:
        value = value.quantize(_THREE_PLACES)
    return f"{value:f}"


def _offset_instant(at: datetime) -> str:
    """`2031-05-02T06:05:00.000+0000`."""
    return written_instant(at).removesuffix("Z") + "+0000"


def _local(at: datetime, zone: ZoneInfo) -> str:
    """`2031-05-02 06:05:00` on the group's clock."""
    return f"{at.astimezone(zone):%Y-%m-%d %H:%M:%S}"


def _local_end(ends_at: datetime, zone: ZoneInfo) -> str:
    """The last second that an exclusive end includes."""
    return _local(ends_at - timedelta.resolution, zone)
