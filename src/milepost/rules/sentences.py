"""What a line of the journal says, in a sentence or two: enrolments, achievements, rewards, settlements.

Of an activity's own lines: `rules/activity_sentences.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal

from milepost.rules.scene import Scene, period_of, plain


def tell_entry(scene: Scene) -> str:
    """The sentence of an entry that is not an activity's own.

    Its details are, where they apply: `stint`, `attempt`, `reset`; `balance` (set by the call) or
    `value` (as it was), `targetValue`; `kept`, the first and last period id of the stint that stay;
    `activity`, the id of the one that caused it; `level`; `members` of a unified group; a reward's
    `name`, `type`, `value`, and `uncapped` where a ceiling lowered it; of what was un-achieved `kept`,
    the names of the rewards that stay.
    """
    what, reason = scene.entry.what, scene.reason
    sentence = _SENTENCES.get((what, reason), _unknown)
    return sentence(scene)


def reward_of(scene: Scene) -> dict[str, object]:
    """The reward that an entry grants: `name`, `type` and `value`."""
    details = scene.details
    return {
        "name": details.get("name"),
        "type": details.get("type"),
        "value": scene.decimal("value"),
    }


def kept_rewards(scene: Scene) -> tuple[str, ...]:
    """The names of the rewards that stay with what was un-achieved."""
    names = scene.details.get("kept")
    return tuple(str(name) for name in names) if isinstance(names, list | tuple) else ()


def _enrolled(scene: Scene) -> str:
    return f"Enrolled in {scene.name} {_from_on(scene)}{_start(scene)}."


def _re_enrolled(scene: Scene) -> str:
    return f"Enrolled again in {scene.name} {_from_on(scene)}{_start(scene)}."


def _extended_back(scene: Scene) -> str:
    return f"Already enrolled in later cycles of {scene.name} and now {_from_on(scene)}{_start(scene)}."


def _enrolled_by_activity(scene: Scene) -> str:
    return (
        f"Enrolled in {scene.name} {_from_on(scene)}, because activity '{scene.activity_id}' is the "
        "first one that counts there."
    )


def _from_on(scene: Scene) -> str:
    if not scene.is_fixed:
        return "for all of the customer's own cycles"
    return f"from {scene.cycle} on"


def _start(scene: Scene) -> str:
    """What the enrolment means for the counter of a streak, or for a milestone's chosen cycle."""
    details = scene.details
    if "targetValue" not in details:
        if details.get("reset"):
            return f"; the streak starts again from nothing{scene.as_attempt}"
        if scene.reason == "RE_ENROLLED":
            return (
                "; counter and levels go on as they were, "
                "and cycles missed in between don't break the run"
            )
        return "; cycles that had ended before are neither met nor missed"
    cycle = "the cycle" if scene.is_fixed else f"the first open one, {scene.short_cycle},"
    verb = "goes on" if "value" in details else "starts"
    attempt = scene.as_attempt if "balance" in details else ""
    return f"; {cycle} {verb} at {scene.standing}{attempt}"


def _left(scene: Scene) -> str:
    period = scene.period
    if not scene.is_fixed:
        return f"Left {scene.name}: nothing counts in the customer's cycles any more."
    upcoming = period is not None and scene.at < period.starts_at
    if upcoming:
        where = f"before {scene.cycle} began"
    else:
        where = f"in {scene.cycle}" + (f" at {scene.standing}" if scene.standing else "")
    kept = _kept(scene)
    sentences = [
        f"Left {scene.name} {where}: this cycle and every later one no longer count"
        + (f"; {kept}." if kept else ".")
    ]
    if scene.is_streak:
        sentences.append("Counter and levels are kept for a return without a reset.")
    elif scene.pays_at_period_end and not upcoming:
        sentences.append(
            f"Any period-end reward for {scene.short_cycle} is lost "
            "unless the customer is enrolled again when it ends."
        )
    return " ".join(sentences)


def _kept(scene: Scene) -> str:
    """The cycles of the stint that had ended, such as `c1 and c2 stay`."""
    kept = scene.details.get("kept")
    if not isinstance(kept, list | tuple) or len(kept) != 2:
        return ""
    first, last = (period_of(scene.group, period_id) for period_id in kept)
    if first is None or last is None or scene.group is None:
        return "cycles that had ended stay"
    if first is last:
        return f"{first.ref_code} stays"
    periods = scene.group.periods
    joint = "and" if periods.index(last) - periods.index(first) == 1 else "to"
    return f"{first.ref_code} {joint} {last.ref_code} stay"


def _achieved_by_balance(scene: Scene) -> str:
    return (
        f"The initial balance reached the target of {scene.place} "
        f"at {scene.standing}{scene.as_attempt}.{_when_rewarded(scene)}"
    )


def _reached(scene: Scene) -> str:
    return (
        f"Reached the target of {scene.place} at {scene.standing}{scene.by_activity}"
        f"{scene.as_attempt}.{_when_rewarded(scene)}"
    )


def _when_rewarded(scene: Scene) -> str:
    if not scene.pays_at_period_end:
        return ""
    if not scene.is_fixed:
        return " Rewards follow when the cycle is settled."
    return " Rewards follow when the cycle is settled, if the customer is enrolled at its end."


def _level_reached(scene: Scene) -> str:
    cycles = _cycles(scene, scene.level.target_count if scene.level is not None else None)
    needed = f", which takes {cycles}" if cycles else ""
    return (
        f"Reached level '{scene.level_name}' of {scene.name} by meeting {scene.cycle}{needed}"
        f"{scene.as_attempt}."
    )


def _cycles(scene: Scene, count: int | None) -> str:
    """`2 cycles in a row`, or just `2 cycles` in a streak without breaks; empty if unknown."""
    if count is None:
        return ""
    text = "1 cycle" if count == 1 else f"{count} cycles"
    continuous = scene.group is not None and scene.group.tracking_type == "STREAKS"
    return f"{text} in a row" if continuous and count > 1 else text


def _unified_reached(scene: Scene) -> str:
    return (
        f"The targets of {_group_cycle(scene)} met {_condition(scene)}{scene.by_activity}"
        f"{_members(scene)}."
    )


def _unified_lost(scene: Scene) -> str:
    return (
        f"After {_return(scene)} the targets of {_group_cycle(scene)} no longer meet "
        f"{_condition(scene)}{_members(scene)}."
    )


def _group_cycle(scene: Scene) -> str:
    """The cycle of the group, whichever of its targets was moved."""
    group = f"'{scene.group.name}'" if scene.group is not None else f"group {scene.group_id}"
    return f"{group} in {scene.cycle}"


def _condition(scene: Scene) -> str:
    """What a unified group asks for, such as `their condition (all of them)`."""
    group = scene.group
    if group is None:
        return "their condition"
    expression = group.unified_target_expression or {}
    aggregation, threshold = expression.get("aggregation"), expression.get("thresholdValue")
    if aggregation is not None and threshold is not None:
        unit = "of them" if str(aggregation).upper() == "COUNT" else "in sum"
        return f"their condition (at least {plain(Decimal(str(threshold)))} {unit})"
    return f"their condition ({'any' if group.combination_type == 'ANY' else 'all'} of them)"


def _members(scene: Scene) -> str:
    """How far each target of the group had come, such as `: 'Spend' 5 of 3, 'Visits' 1 of 1`."""
    members = scene.details.get("members")
    if not isinstance(members, list | tuple):
        return ""
    told = []
    for target_id, value, asked in members:
        target = scene.group.targets_by_id.get(target_id) if scene.group is not None else None
        name = f"'{target.name}'" if target is not None else f"target {target_id}"
        told.append(f"{name} {plain(Decimal(str(value)))} of {plain(Decimal(str(asked)))}")
    return f": {', '.join(told)}" if told else ""


def _unachieved(scene: Scene) -> str:
    at = f" at {scene.standing}" if scene.standing else ""
    return (
        f"{_capital(_return(scene))} took {scene.place} below its target{at}{scene.as_attempt}."
        f"{_kept_rewards(scene)}"
    )


def _lower_that_day(scene: Scene) -> str:
    at = f" at {scene.standing}" if scene.standing else ""
    return (
        f"Only a day's lowest value counts, and a lower one took {scene.place} below its "
        f"target{at}{scene.as_attempt}.{_kept_rewards(scene)}"
    )


def _level_lost(scene: Scene) -> str:
    return (
        f"After {_return(scene)} the run of {scene.name} is too short for level "
        f"'{scene.level_name}'{scene.as_attempt}.{_kept_rewards(scene)}"
    )


def _return(scene: Scene) -> str:
    return f"return '{scene.activity_id}'" if scene.activity_id is not None else "a return"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _kept_rewards(scene: Scene) -> str:
    """What becomes of the rewards of something un-achieved (rule 11)."""
    names = kept_rewards(scene)
    if not names:
        return " Nothing had been granted for it."
    told = " and ".join(
        part for part in (", ".join(f"'{name}'" for name in names[:-1]), f"'{names[-1]}'") if part
    )
    stays = "stays, and is" if len(names) == 1 else "stay, and are"
    return f" {told}, granted before, {stays} not granted again in the same attempt."


def _broken(scene: Scene) -> str:
    at = f" at {scene.standing}" if scene.standing else ""
    counter = scene.details.get("counter")
    run = "the run"
    if isinstance(counter, int) and counter > 0:
        run = f"the run of {counter} cycle{'s' if counter > 1 else ''}"
    return (
        f"{_capital(scene.cycle)} of {scene.name} ended unmet{at}: {run} is broken and the counter is 0 "
        f"until the next met cycle. Levels that were achieved stay achieved{scene.as_attempt}."
    )


def _rewarded_by_balance(scene: Scene) -> str:
    return _granted(scene, f"the initial balance reached the target of {scene.place}")


def _rewarded_by_activity(scene: Scene) -> str:
    by = f"activity '{scene.activity_id}'" if scene.activity_id is not None else "an activity"
    return _granted(scene, f"{by} reached the target of {scene.place}")


def _rewarded_by_level(scene: Scene) -> str:
    level = f"level '{scene.level_name}'" if scene.level_name is not None else "a level"
    return _granted(scene, f"{level} of {scene.name} was reached by meeting {scene.cycle}")


def _rewarded_at_period_end(scene: Scene) -> str:
    return _granted(scene, f"{scene.place} was settled as achieved")


def _granted(scene: Scene, because: str) -> str:
    reward = reward_of(scene)
    value, uncapped = scene.decimal("value"), scene.decimal("uncapped")
    capped = ""
    if uncapped is not None and uncapped != value:
        capped = f" instead of {plain(uncapped)}, for a ceiling on points was reached"
    return (
        f"Granted '{reward['name']}' ({str(reward['type']).lower()}, {plain(value)}{capped}), "
        f"because {because}{scene.as_attempt}."
    )


def _settled_achieved(scene: Scene) -> str:
    return f"{_capital(scene.cycle)} of {scene.name} was settled at {scene.standing}: achieved."


def _settled_unachieved(scene: Scene) -> str:
    value, asked = scene.value, scene.asked
    missing = f", short by {plain(asked - value)}" if value is not None and asked else ""
    at = f" at {scene.standing}" if scene.standing else ""
    return f"{_capital(scene.cycle)} of {scene.name} was settled{at}: not achieved{missing}."


def _unknown(scene: Scene) -> str:
    """For a code that a newer release wrote."""
    what = scene.entry.what.lower().replace("_", " ")
    return f"Noted for {scene.name}: {what}, reason {scene.reason}."


_SENTENCES: Mapping[tuple[str, str], Callable[[Scene], str]] = {
    ("ENROLLED", "ENROLLED"): _enrolled,
    ("ENROLLED", "RE_ENROLLED"): _re_enrolled,
    ("ENROLLED", "EXTENDED_BACK"): _extended_back,
    ("ENROLLED", "FIRST_ACTIVITY"): _enrolled_by_activity,
    ("UNENROLLED", "LEFT"): _left,
    ("ACHIEVED", "INITIAL_BALANCE"): _achieved_by_balance,
    ("ACHIEVED", "REACHED"): _reached,
    ("ACHIEVED", "LEVEL_REACHED"): _level_reached,
    ("ACHIEVED", "UNIFIED_REACHED"): _unified_reached,
    ("UNACHIEVED", "RETURNED"): _unachieved,
    ("UNACHIEVED", "LOWER_THAT_DAY"): _lower_that_day,
    ("UNACHIEVED", "LEVEL_LOST"): _level_lost,
    ("UNACHIEVED", "UNIFIED_LOST"): _unified_lost,
    ("BROKEN", "CYCLE_MISSED"): _broken,
    ("REWARDED", "ACHIEVED_BY_BALANCE"): _rewarded_by_balance,
    ("REWARDED", "ACHIEVED_BY_ACTIVITY"): _rewarded_by_activity,
    ("REWARDED", "LEVEL_REWARD"): _rewarded_by_level,
    ("REWARDED", "PERIOD_END"): _rewarded_at_period_end,
    ("SETTLED", "SETTLED_ACHIEVED"): _settled_achieved,
    ("SETTLED", "SETTLED_UNACHIEVED"): _settled_unachieved,
}
