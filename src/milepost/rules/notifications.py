"""Which notifications follow from what happened (domain: milestones §6; promotions §7).

They follow from the journal alone, entry by entry, so they can be made again at any time and are then
the same, ids included. Names and dates are those of today's definitions; what was deleted since is
named by its id, its name is null.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from milepost.rules import notification_blocks as blocks
from milepost.rules.definitions import Definitions
from milepost.rules.effects import Entry
from milepost.rules.envelopes import Data, Notification, Recipient, customer_identifiers, event_id
from milepost.rules.notification_blocks import About, Occurrence
from milepost.rules.promotion_notifications import of_promotion
from milepost.rules.reasons import ACTIVITY, NOTIFYING_WHATS
from milepost.rules.scene import Scene, scene_of

Named = Iterator[tuple[str, Data]]


def notifications(
    occurrence: Occurrence, recipient: Recipient, definitions: Definitions
) -> list[Notification]:
    """The notifications of one entry, in order; most entries have one, some none or several."""
    entry = occurrence.entry
    about = About(occurrence, recipient)
    found = [
        (name, data)
        for effect in (entry.effects if entry.what == ACTIVITY else (None,))
        for name, data in _of(about, scene_of(entry, definitions, effect))
    ]
    identifiers = customer_identifiers(recipient)
    key = f"{recipient.org_id}/{recipient.customer_id}/{occurrence.version}/{occurrence.ordinal}"
    return [
        Notification(
            event_id(f"{key}/{index}"),
            name,
            entry.at,
            occurrence.id,
            occurrence.request_id or str(occurrence.id),
            {"customerIdentifiers": identifiers, **data},
        )
        for index, (name, data) in enumerate(found)
    ]


def may_notify(entry: Entry) -> bool:
    """Whether an entry may have notifications; it may have none all the same."""
    if entry.what == ACTIVITY:
        return any(effect.amount != 0 for effect in entry.effects)
    return entry.what in NOTIFYING_WHATS or entry.what == "UNACHIEVED"


def _of(about: About, scene: Scene) -> Named:
    if scene.promotion_id is not None:
        return of_promotion(about, scene)
    make = _MAKERS.get(scene.entry.what)
    return make(about, scene) if make is not None else iter(())


def _value_updated(about: About, scene: Scene) -> Named:
    if scene.effect is not None and scene.effect.amount != 0:
        yield (
            "targetAchievedValueUpdated",
            {
                **blocks.counted(about, scene, abs(scene.effect.amount)),
                "milestoneDetails": blocks.thresholds(scene, scene.value, scene.effect),
                **blocks.activity_id(about),
            },
        )


def _achieved(about: About, scene: Scene) -> Named:
    if "level" in scene.details:
        yield "streakLevelAchieved", blocks.level(about, scene, scene.at)
    elif "members" in scene.details:
        yield "unifiedTargetsAchieved", blocks.unified(about, scene)
    else:
        amount = blocks.amount_of(about, scene)
        yield (
            "targetValueAchieved",
            {**blocks.counted(about, scene, amount), **blocks.activity_id(about)},
        )


def _unachieved(about: About, scene: Scene) -> Named:
    if "level" in scene.details:
        yield "streakLevelUnAchieved", blocks.level(about, scene, None)
    elif "members" in scene.details:
        yield "unifiedTargetsUnAchieved", blocks.unified(about, scene)


def _target_value_updated(about: About, scene: Scene) -> Named:
    yield (
        "targetValueUpdated",
        {"targetDetails": blocks.target_details(scene), **blocks.values(scene)},
    )


def _enrolled(about: About, scene: Scene) -> Named:
    if not scene.is_streak:
        yield "targetCustomerEnrolment", blocks.milestone_enrolment(about, scene)
        return
    yield "streakCustomerEnrolment", blocks.streak_enrolment(about, scene)
    # Whoever is enrolled, or begins anew, within a cycle: the streak begins with that.
    begins = scene.reason != "RE_ENROLLED" or bool(scene.details.get("reset"))
    if begins and scene.period is not None and scene.period.starts_at <= scene.at:
        yield "streakStart", blocks.streak_start(about, scene, scene.at)


def _unenrolled(about: About, scene: Scene) -> Named:
    if scene.is_streak:
        yield "streakCustomerUnEnrolment", blocks.streak_unenrolment(about, scene)


def _started(about: About, scene: Scene) -> Named:
    yield (
        "targetPeriodStarted",
        {
            "targetDetails": blocks.target_details(scene),
            "definedTargetValue": blocks.three(scene.asked),
        },
    )
    first = bool(scene.details.get("first"))
    if scene.group is not None and scene.period is not None:
        first |= scene.period is scene.group.periods[0]
    if first and scene.is_streak:
        yield "streakStart", blocks.streak_start(about, scene, scene.at)


def _settled(about: About, scene: Scene) -> Named:
    yield (
        "targetPeriodCompleted",
        {
            "targetDetails": blocks.target_details(scene),
            **blocks.values(scene),
            "milestoneDetails": blocks.thresholds(scene, scene.value),
        },
    )
    if "members" in scene.details and not scene.details.get("unified"):
        yield "unifiedTargetsUnAchieved", blocks.unified(about, scene)
    group, period = scene.group, scene.period
    if group is not None and group.is_streak and period is not None and period is group.periods[-1]:
        yield "streakEnd", blocks.streak_end(about, scene, period.ends_at)


_MAKERS: Mapping[str, Callable[[About, Scene], Named]] = {
    ACTIVITY: _value_updated,
    "ACHIEVED": _achieved,
    "UNACHIEVED": _unachieved,
    "TARGET_VALUE": _target_value_updated,
    "ENROLLED": _enrolled,
    "UNENROLLED": _unenrolled,
    "STARTED": _started,
    "SETTLED": _settled,
}
