"""What an activity did in a target, or why it did nothing there and what would have helped."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date

from milepost.rules.activities import EVENT, RETURN
from milepost.rules.definitions import CYCLIC, PERIOD_AGNOSTIC, Target
from milepost.rules.effects import Effect
from milepost.rules.matching import daily_window
from milepost.rules.scene import Scene, day, first_date, last_date, plain
from milepost.rules.windows import closes_at

_COUNTS = {
    "SALES": "net amounts",
    "GROSS_SALES": "gross amounts",
    "QUANTITY": "quantities of line items",
}


def tell_effect(scene: Scene) -> str:
    """The sentence of one effect of an activity."""
    if scene.reason in _COUNTED:
        return f"{_COUNTED[scene.reason](scene)}{_standing(scene)}."
    reason = _NOT_COUNTED.get(scene.reason, _unknown)
    return f"{scene.activity} did not count in {scene.place}: {reason(scene)}."


def tell_no_target(scene: Scene) -> str:
    """The sentence of an activity that met no target at all."""
    if scene.entry.reason == RETURN:
        return f"{scene.activity} counted nowhere: its sale is in no target of the customer's."
    kind = f"events '{scene.details.get('eventName')}'"
    if scene.entry.reason != EVENT:
        kind = "purchases"
    return (
        f"{scene.activity} counted nowhere: the customer had never been enrolled in a target that "
        f"counts {kind}. What arrives after an enrolment can count."
    )


def _standing(scene: Scene) -> str:
    """`, from 300 to 420.5 of 1000`."""
    value, amount = scene.value, scene.amount
    if value is None or amount is None:
        return ""
    return f", from {plain(value - amount)} to {plain(value)} of {plain(scene.asked)}"


def _added(scene: Scene) -> str:
    effect = _effect(scene)
    best = ""
    if effect.day is not None and scene.target is not None:
        window = daily_window(scene.target)
        if window is not None:
            kind = "lowest" if window == "MIN" else "highest"
            best = f" is the {kind} value of {_day(effect)} so far and"
    if effect.amount < 0:
        return f"{scene.activity}{best} took {plain(-effect.amount)} from {scene.place}"
    return f"{scene.activity}{best} added {plain(effect.amount)} to {scene.place}"


def _returned(scene: Scene) -> str:
    return f"{scene.activity} took {plain(-_effect(scene).amount)} from {scene.place}"


def _carried_forward(scene: Scene) -> str:
    return (
        f"{scene.activity} took {plain(-_effect(scene).amount)} from {scene.place}, because the cycle "
        "of its sale is rewarded or closed and is left alone"
    )


def _points_granted(scene: Scene) -> str:
    points = f"{plain(_effect(scene).amount)} points granted as a reward"
    if scene.activity_id is not None:
        points += f" for activity '{scene.activity_id}'"
    if scene.group is not None and scene.group.tracking_type == "CAPPING":
        return f"{points} were counted towards the ceiling of {scene.place}"
    return f"{points} were added to {scene.place}"


_COUNTED: Mapping[str, Callable[[Scene], str]] = {
    "ADDED": _added,
    "RETURNED": _returned,
    "CARRIED_FORWARD": _carried_forward,
    "POINTS_GRANTED": _points_granted,
}


def _group_inactive(scene: Scene) -> str:
    return (
        "the target group was inactive when it arrived. "
        "What arrives while the group is active can count"
    )


def _target_inactive(scene: Scene) -> str:
    return "the target was inactive when it arrived. What arrives while it is active can count"


def _outside_scope(scene: Scene) -> str:
    where = _places(scene.target)
    only = f"only {where} count there" if where else "only certain stores, zones or concepts count"
    return f"it happened outside the target's scope. By today's settings {only}"


def _places(target: Target | None) -> str:
    """The target's filters, such as `stores 1 and 2`; of several kinds all must hold."""
    told = []
    for each in target.filters if target is not None else ():
        ids = each.get("entityIds")
        if isinstance(ids, list | tuple):
            kind = str(each.get("entityType")).lower()
            shown = ", ".join(str(one) for one in ids[:_PLACES_MAX])
            more = f" and {len(ids) - _PLACES_MAX} more" if len(ids) > _PLACES_MAX else ""
            told.append(f"{kind}{'s' if len(ids) > 1 else ''} {shown}{more}")
    return " in ".join(told)


_PLACES_MAX = 10


def _no_cycle(scene: Scene) -> str:
    group = scene.group
    if group is None:
        return "no cycle includes its date"
    if not group.is_fixed or not group.periods:
        return f"it is dated before the group begins, on {first_date(group.cycle_starts_at, scene.zone)}"
    first = first_date(group.periods[0].starts_at, scene.zone)
    last = last_date(group.periods[-1].ends_at, scene.zone)
    return (
        "no cycle includes its date. "
        f"Today's cycles lie between {first} and {last}, and only what is dated within one counts"
    )


def _cycle_inactive(scene: Scene) -> str:
    return "the cycle of its date is deactivated. Once it is active, what arrives then can count"


def _cycle_closed(scene: Scene) -> str:
    if scene.group is not None and scene.group.evaluation_type == PERIOD_AGNOSTIC:
        return "the cycle had closed when it was achieved, and stays as it was"
    came = f"it arrived on {first_date(scene.at, scene.zone)}, after the cycle had closed"
    group, period = scene.group, scene.period
    if group is None or period is None or not group.is_fixed:
        return (
            f"{came}. What arrives by the end of its cycle, or within the settlement delay, counts"
        )
    until = first_date(closes_at(group, period), scene.zone)
    return f"{came}. It would have counted if it had arrived before {until}"


def _not_enrolled(scene: Scene) -> str:
    return (
        "the customer was not enrolled when it arrived. "
        "What arrives after an enrolment that covers the cycle of its date can count"
    )


def _before_enrolment(scene: Scene) -> str:
    return (
        "it is dated before the customer's enrolment, and this group tracks activity from the "
        "enrolment on. What is dated after the enrolment can count"
    )


def _expression_false(scene: Scene) -> str:
    target = scene.target
    if target is None:
        return "it doesn't meet the target's expression"
    who = (
        "none of its line items meets" if target.target_entity == "LINEITEM" else "it doesn't meet"
    )
    return f"{who} the target's expression. Today that is {target.expression}"


def _no_value(scene: Scene) -> str:
    target = scene.target
    if target is None:
        return "there is nothing in it of what the target counts"
    counts = _COUNTS.get(target.target_type)
    if target.target_type in ("EXTENDED_FIELD", "EVENT_ATTRIBUTE"):
        counts = f"the field '{(target.extended_field_info or {}).get('name')}'"
    elif counts is None and target.target_entity == "LINEITEM":
        counts = "line items"
    if counts is None:
        return "there is nothing in it of what the target counts"
    return f"the target counts {counts}, and there is none in it"


def _same_day(scene: Scene) -> str:
    return (
        f"{_day(_effect(scene))} had counted already. "
        "Each day counts once, so a visit on another day can count"
    )


def _not_best(scene: Scene) -> str:
    lowest = scene.target is not None and daily_window(scene.target) == "MIN"
    better, best = ("lower", "lowest") if lowest else ("higher", "highest")
    return (
        f"{_day(_effect(scene))} has a {better} value, or the same, already. "
        f"Of each day the {best} value counts"
    )


def _before_first_cycle(scene: Scene) -> str:
    return (
        "it is dated before the customer's first cycle, which began with the first activity that "
        "counted and does not move. What is dated later can count"
    )


def _all_cycles_over(scene: Scene) -> str:
    group = scene.group
    if group is None:
        return "the last of the customer's cycles is over"
    last = "over" if group.evaluation_type == CYCLIC else "achieved"
    return f"the last of the customer's cycles is {last}; there are {len(group.periods)}"


def _returns_ignored(scene: Scene) -> str:
    return (
        "in this organisation returns leave targets alone. "
        "With the setting returnsAdjustTargets they lower them"
    )


def _nothing_to_return(scene: Scene) -> str:
    return "its sale had added nothing here, or nothing that is left to take back"


def _partly_returned(scene: Scene) -> str:
    return (
        "its sale is not returned in full yet. "
        "What is counted once per sale or day goes with the last part of it"
    )


def _earlier_attempt(scene: Scene) -> str:
    return "its sale had counted in an earlier attempt, and another has begun since"


def _already_rewarded(scene: Scene) -> str:
    return (
        "the cycle is rewarded already, and this group leaves such a cycle alone. "
        "The next open cycle without reward that the customer is enrolled in is lowered, if there is one"
    )


def _unknown(scene: Scene) -> str:
    """For a code that a newer release wrote."""
    return f"reason {scene.reason}"


_NOT_COUNTED: Mapping[str, Callable[[Scene], str]] = {
    "GROUP_INACTIVE": _group_inactive,
    "TARGET_INACTIVE": _target_inactive,
    "OUTSIDE_SCOPE": _outside_scope,
    "NO_CYCLE": _no_cycle,
    "CYCLE_INACTIVE": _cycle_inactive,
    "CYCLE_CLOSED": _cycle_closed,
    "NOT_ENROLLED": _not_enrolled,
    "BEFORE_ENROLMENT": _before_enrolment,
    "EXPRESSION_FALSE": _expression_false,
    "NO_VALUE": _no_value,
    "SAME_DAY": _same_day,
    "NOT_BEST": _not_best,
    "BEFORE_FIRST_CYCLE": _before_first_cycle,
    "ALL_CYCLES_OVER": _all_cycles_over,
    "RETURNS_IGNORED": _returns_ignored,
    "NOTHING_TO_RETURN": _nothing_to_return,
    "PARTLY_RETURNED": _partly_returned,
    "EARLIER_ATTEMPT": _earlier_attempt,
    "ALREADY_REWARDED": _already_rewarded,
}


def _effect(scene: Scene) -> Effect:
    assert scene.effect is not None
    return scene.effect


def _day(effect: Effect) -> str:
    """The effect's local day; `the day` if it was not noted."""
    return day(date.fromisoformat(effect.day)) if effect.day is not None else "the day"
