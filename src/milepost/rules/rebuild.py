"""Rebuild: a customer's derived state, folded anew from what was only ever appended (house law 5).

The journal has an entry for all that ever moved a customer, with what it came to: a stint, an effect
on a value, an achievement, a reward. The fold of a customer's entries, in their order, must give what
is stored. It is no replay of the activities under today's definitions: edits apply to what arrives
later (contract §4, "Edits"), so what an activity did is a recorded fact and not decided again.

Only a streak's counter is reckoned with today's definitions, on both sides, for it is never stored.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from dataclasses import field, fields, replace
from datetime import datetime
from decimal import Decimal
from itertools import count
from typing import Any

from milepost.rules.activities import ZERO
from milepost.rules.coverage import Enrolment
from milepost.rules.definitions import Definitions
from milepost.rules.differences import Difference, differing, keys
from milepost.rules.effects import (
    Earn,
    Effect,
    Entry,
    Issual,
    LevelAchievement,
    Progress,
    Stint,
    entry_id,
)
from milepost.rules.frozen import dataclass
from milepost.rules.promotion_rebuild import Held, fold_promotion, held_differences
from milepost.rules.reasons import ACTIVITY, counted
from milepost.rules.scene import plain
from milepost.rules.streak import run

GrantKey = tuple[str, int, int | str, int, int]
"""What names a reward for good (contract §4 rule 5, §7): (CYCLE, target, period, attempt, ordinal),
(LEVEL, level, 0, attempt, ordinal), or (PROMOTION, promotion, what it was paid for, attempt, ordinal).
"""


@dataclass(frozen=True, slots=True)
class Grant:
    """A reward, as the ledger or a REWARDED entry has it. One of a promotion has no target."""

    target_id: int | None
    period_id: int | None
    name: str
    type: str
    value: Decimal
    granted_at: datetime


@dataclass(slots=True)
class State:
    """What there is of one customer: stored, or rebuilt. `version` is the customer's, 0 for none."""

    version: int = 0
    stints: dict[tuple[int, int], Stint] = field(default_factory=dict)
    """By (target id, stint number)."""
    progress: dict[tuple[int, int], Progress] = field(default_factory=dict)
    """By (target id, period id)."""
    levels: dict[tuple[int, int, int], LevelAchievement] = field(default_factory=dict)
    """By (target id, level id, attempt)."""
    grants: dict[GrantKey, Grant] = field(default_factory=dict)
    held: Held = field(default_factory=Held)
    """Of promotions."""


@dataclass(slots=True)
class Fold:
    """A fold under way: feed it a customer's entries in order, with `fold`.

    `dated` has the ids of the targets whose stints begin with a cycle: milestones of dated cycles.
    """

    customer_id: int
    dated: Container[int]
    state: State = field(default_factory=State)
    faults: list[Difference] = field(default_factory=list)
    """Where the journal contradicts itself: nobody can repair that."""
    recorded: dict[tuple[int, int], tuple[int, Decimal]] = field(default_factory=dict)
    """By (target id, period id): attempt and value as the last entry about it said."""


@dataclass(frozen=True, slots=True)
class Corrections:
    """The rows by which what is stored becomes what was rebuilt. Append-only rows are not among them."""

    progress: Mapping[tuple[int, int], Progress]
    levels: Mapping[tuple[int, int, int], LevelAchievement]
    issuals: Mapping[int, Issual]
    earns: Mapping[int, Earn]
    progress_to_drop: tuple[tuple[int, int], ...]
    levels_to_drop: tuple[tuple[int, int, int], ...]

    def __bool__(self) -> bool:
        return any(getattr(self, each.name) for each in fields(self))


def fold(under_way: Fold, version: int, ordinal: int, entry: Entry) -> None:
    """Fold the next entry, which has this place in the journal.

    Entries that move nothing (SETTLED, BROKEN, STARTED …) may pass all the same.
    """
    under_way.state.version = version
    if entry.what == ACTIVITY:
        for effect in entry.effects:
            _fold_effect(under_way, effect)
        return
    if "promotion" in entry.details:
        if entry.what == "REWARDED":
            _fold_granted(under_way, entry, entry.details)
        fold_promotion(under_way.state.held, entry, entry_id(version, ordinal))
    if entry.target_id is None:
        return
    step = _STEPS.get(entry.what)
    if step is not None:
        step(under_way, entry, entry.target_id, entry.details)


def compare(
    stored: State, rebuilt: Fold, definitions: Definitions, now: datetime
) -> list[Difference]:
    """All that differs between what is stored of a customer and what the fold came to.

    The journal's contradictions are among them. Counters are compared as of `now`, where the stints
    agree: a counter follows from them and from the cycles met.
    """
    state, customer = rebuilt.state, rebuilt.customer_id
    found = list(rebuilt.faults)
    if state.version > stored.version:
        found.append(
            Difference(customer, None, None, "version", str(stored.version), str(state.version))
        )
    for target, number in keys(stored.stints, state.stints):
        one, other = stored.stints.get((target, number)), state.stints.get((target, number))
        for name, *sides in differing(one, other, f"stint {number}"):
            found.append(Difference(customer, target, None, name, *sides))
    for target, period in keys(stored.progress, state.progress):
        row, wanted = stored.progress.get((target, period)), state.progress.get((target, period))
        for name, *sides in differing(row, wanted, "progress"):
            found.append(Difference(customer, target, period, name, *sides))
    for key in keys(stored.levels, state.levels):
        level, expected = stored.levels.get(key), state.levels.get(key)
        of = expected or level
        period_id = of.period_id if of is not None else None
        for name, *sides in differing(level, expected, f"level {key[1]} attempt {key[2]}"):
            found.append(Difference(customer, key[0], period_id, name, *sides))
    found.extend(_reward_differences(customer, stored, state))
    for name, *sides in held_differences(stored.held, state.held):
        found.append(Difference(customer, None, None, name, *sides))
    found.extend(_counter_differences(customer, stored, state, definitions, now))
    return found


def corrections(stored: State, rebuilt: State) -> Corrections:
    """The rows of progress and of levels to write, and to drop, so that nothing there differs; and the rows
    of enrolments in promotions and of earned records to write.
    """
    return Corrections(
        {key: row for key, row in rebuilt.progress.items() if stored.progress.get(key) != row},
        {key: row for key, row in rebuilt.levels.items() if stored.levels.get(key) != row},
        {
            key: row
            for key, row in rebuilt.held.issuals.items()
            if stored.held.issuals.get(key) != row
        },
        {key: row for key, row in rebuilt.held.earns.items() if stored.held.earns.get(key) != row},
        tuple(key for key in stored.progress if key not in rebuilt.progress),
        tuple(key for key in stored.levels if key not in rebuilt.levels),
    )


def grant_key(
    target_id: int | None,
    period_id: int | None,
    level_id: int | None,
    attempt: int,
    ordinal: int,
    paid: tuple[int, str] | None = None,
) -> GrantKey:
    """The natural key of a reward: of a streak level's whatever the cycle.

    `paid` are the promotion's id and what it was paid for, of a promotion's.
    """
    if paid is not None:
        return "PROMOTION", *paid, attempt, ordinal
    if level_id is not None:
        return "LEVEL", level_id, 0, attempt, ordinal
    return "CYCLE", target_id or 0, period_id or 0, attempt, ordinal


def _fold_effect(under_way: Fold, effect: Effect) -> None:
    """Add what an activity changed; the value before must be what earlier entries came to."""
    if not counted(effect.reason) or effect.period_id is None:
        return
    key = effect.target_id, effect.period_id
    row = _row(under_way, key, effect.attempt)
    attempt, value = under_way.recorded.get(key, (effect.attempt, ZERO))
    before = effect.value - effect.amount
    # After a repair the values go on from the repaired one.
    if before not in (row.value, value if attempt == effect.attempt else ZERO):
        under_way.faults.append(
            Difference(under_way.customer_id, *key, "journal", plain(before), plain(row.value))
        )
    days = row.days
    if effect.day is not None and effect.reason == "ADDED":
        known = days or {}
        days = {**known, effect.day: known.get(effect.day, ZERO) + effect.amount}
    elif effect.day is not None and days is not None:
        left = days.get(effect.day, ZERO) + effect.amount
        days = {day: amount for day, amount in days.items() if day != effect.day}
        if left > 0:
            days[effect.day] = left
    under_way.state.progress[key] = replace(row, value=row.value + effect.amount, days=days)
    under_way.recorded[key] = effect.attempt, effect.value


def _fold_enrolled(
    under_way: Fold, entry: Entry, target_id: int, details: Mapping[str, Any]
) -> None:
    """A stint begins, in the place of the one with its number; a balance or a reset sets a cycle's value."""
    stints = under_way.state.stints
    number, is_streak = details["stint"], "targetValue" not in details
    last = stints.get((target_id, number)) or stints.get((target_id, number - 1))
    stints[target_id, number] = Stint(
        number,
        entry.at,
        entry.period_id if target_id in under_way.dated else None,
        attempt=details["attempt"] if is_streak else 1,
        anchored_at=last.anchored_at if last is not None else None,
    )
    progress = under_way.state.progress
    balance, restarted = details.get("balance"), details.get("restarted")
    if balance is not None and entry.period_id is not None:
        before = _known(under_way, (target_id, entry.period_id))
        progress[target_id, entry.period_id] = row = replace(
            before,
            attempt=details["attempt"],
            value=Decimal(balance),
            achieved_at=None,
            days=None,
        )
        under_way.recorded[target_id, entry.period_id] = row.attempt, row.value
    elif restarted is not None:
        key = target_id, restarted
        progress[key] = row = _row(under_way, key, details["attempt"])
        under_way.recorded[key] = row.attempt, row.value
    for period_id in details.get("ownCycles", ()):
        key = target_id, period_id
        own = Decimal(details["ownTargetValue"])
        progress[key] = replace(_known(under_way, key), own_target_value=own)


def _fold_unenrolled(
    under_way: Fold, entry: Entry, target_id: int, details: Mapping[str, Any]
) -> None:
    key = target_id, details["stint"]
    stint = under_way.state.stints.get(key)
    if stint is not None:
        under_way.state.stints[key] = replace(stint, left_at=entry.at)


def _fold_started(
    under_way: Fold, entry: Entry, target_id: int, details: Mapping[str, Any]
) -> None:
    """The first of a customer's own cycles anchors them; dated cycles have no start of their own."""
    if "startsAt" not in details:
        return
    keys = [key for key in under_way.state.stints if key[0] == target_id]
    stint = under_way.state.stints[max(keys)] if keys else None
    if stint is not None and stint.anchored_at is None:
        starts_at = datetime.fromisoformat(details["startsAt"])
        under_way.state.stints[max(keys)] = replace(stint, anchored_at=starts_at)


def _fold_achieved(
    under_way: Fold, entry: Entry, target_id: int, details: Mapping[str, Any]
) -> None:
    if _is_level(entry):
        _put_level(under_way, entry, target_id, details, entry.at)
    elif entry.reason != "UNIFIED_REACHED" and entry.period_id is not None:
        key = target_id, entry.period_id
        row = replace(_row(under_way, key, details["attempt"]), achieved_at=entry.at)
        if details.get("rewarded"):
            row = replace(row, rewarded_attempt=row.attempt)
        under_way.state.progress[key] = row


def _fold_unachieved(
    under_way: Fold, entry: Entry, target_id: int, details: Mapping[str, Any]
) -> None:
    if _is_level(entry):
        _put_level(under_way, entry, target_id, details, None)
    elif entry.reason != "UNIFIED_LOST" and entry.period_id is not None:
        key = target_id, entry.period_id
        row = _row(under_way, key, details["attempt"])
        under_way.state.progress[key] = replace(row, achieved_at=None)


def _fold_settled(
    under_way: Fold, entry: Entry, target_id: int, details: Mapping[str, Any]
) -> None:
    """What an achieved cycle earns is done with, at the latest now."""
    if entry.reason == "SETTLED_ACHIEVED" and entry.period_id is not None:
        key = target_id, entry.period_id
        row = _row(under_way, key, details["attempt"])
        under_way.state.progress[key] = replace(row, rewarded_attempt=row.attempt)


def _fold_rewarded(
    under_way: Fold, entry: Entry, target_id: int, details: Mapping[str, Any]
) -> None:
    """A reward is granted, once. Entries of the first release name no ordinal: they came in order."""
    level, period_id, attempt = details.get("level"), entry.period_id or 0, details["attempt"]
    level_id = level["id"] if level is not None else None
    grants, progress = under_way.state.grants, under_way.state.progress

    def named(ordinal: int) -> GrantKey:
        return grant_key(target_id, period_id, level_id, attempt, ordinal)

    ordinal = details.get("ordinal")
    if ordinal is None:
        ordinal = next(place for place in count() if named(place) not in grants)
    key = named(ordinal)
    if key in grants:
        name = reward_name(key, details["name"])
        under_way.faults.append(
            Difference(under_way.customer_id, target_id, period_id, name, "twice", "once")
        )
    grants[key] = Grant(
        target_id,
        period_id,
        details["name"],
        details["type"],
        Decimal(details["value"]),
        entry.at,
    )
    if level is None:
        row = _row(under_way, (target_id, period_id), attempt)
        progress[target_id, period_id] = replace(row, rewarded_attempt=attempt)


def _fold_granted(under_way: Fold, entry: Entry, details: Mapping[str, Any]) -> None:
    """A promotion's reward is granted, once for what it is paid for."""
    paid = details["promotion"], details["paidFor"]
    key = grant_key(None, None, None, details["attempt"], details["ordinal"], paid)
    under_way.state.grants[key] = Grant(
        None, None, details["name"], details["type"], Decimal(details["value"]), entry.at
    )


def _fold_target_value(
    under_way: Fold, entry: Entry, target_id: int, details: Mapping[str, Any]
) -> None:
    """What this customer has to reach, in place of what everybody has to."""
    if entry.period_id is not None:
        key = target_id, entry.period_id
        row = _row(under_way, key, details["attempt"])
        own = Decimal(details["targetValue"])
        under_way.state.progress[key] = replace(row, own_target_value=own)


_STEPS = {
    "ENROLLED": _fold_enrolled,
    "UNENROLLED": _fold_unenrolled,
    "STARTED": _fold_started,
    "ACHIEVED": _fold_achieved,
    "UNACHIEVED": _fold_unachieved,
    "SETTLED": _fold_settled,
    "REWARDED": _fold_rewarded,
    "TARGET_VALUE": _fold_target_value,
}


def _known(under_way: Fold, key: tuple[int, int]) -> Progress:
    """A cycle's progress in whatever attempt it is; the first if there is none."""
    return under_way.state.progress.get(key) or Progress(key[1], 1, ZERO)


def _row(under_way: Fold, key: tuple[int, int], attempt: int) -> Progress:
    """A cycle's progress in an attempt. A new one begins at 0; what was asked of the customer stays."""
    known = _known(under_way, key)
    if known.attempt == attempt:
        return known
    return Progress(key[1], attempt, ZERO, own_target_value=known.own_target_value)


def _is_level(entry: Entry) -> bool:
    return entry.reason in ("LEVEL_REACHED", "LEVEL_LOST")


def _put_level(
    under_way: Fold,
    entry: Entry,
    target_id: int,
    details: Mapping[str, Any],
    achieved_at: datetime | None,
) -> None:
    level, attempt = details["level"]["id"], details["attempt"]
    under_way.state.levels[target_id, level, attempt] = LevelAchievement(
        level, attempt, entry.period_id or 0, achieved_at
    )


def _reward_differences(customer: int, stored: State, rebuilt: State) -> Iterator[Difference]:
    """Every row of the ledger has its REWARDED entry, and every entry its row."""
    for key in keys(stored.grants, rebuilt.grants):
        row, wanted = stored.grants.get(key), rebuilt.grants.get(key)
        of = wanted or row
        assert of is not None
        for name, *sides in differing(row, wanted, reward_name(key, of.name)):
            yield Difference(customer, of.target_id, of.period_id, name, *sides)


def reward_name(key: GrantKey, name: str) -> str:
    """How a difference names a reward."""
    of = {"LEVEL": f" of level {key[1]}", "PROMOTION": f" of promotion {key[1]} for {key[2]}"}
    return f"reward {name!r}{of.get(key[0], '')} attempt {key[3]} ordinal {key[4]}"


def _counter_differences(
    customer: int, stored: State, rebuilt: State, definitions: Definitions, now: datetime
) -> Iterator[Difference]:
    """Each streak's counter, and whether it is broken."""
    enrolled = {target for target, _ in rebuilt.stints}
    for group in definitions.groups.values():
        for target in group.targets if group.is_streak else ():
            if target.id not in enrolled:
                continue
            one, other = _enrolment(stored, target.id), _enrolment(rebuilt, target.id)
            if one.stints != other.stints or one.progress == other.progress:
                continue
            counters = [run(group, side, now) for side in (one, other)]
            found, wanted = (f"{each.count}{' dropped' * each.dropped}" for each in counters)
            if found != wanted:
                yield Difference(customer, target.id, None, "counter", found, wanted)


def _enrolment(state: State, target_id: int) -> Enrolment:
    return Enrolment(
        None,
        tuple(stint for key, stint in sorted(state.stints.items()) if key[0] == target_id),
        {period: row for (target, period), row in state.progress.items() if target == target_id},
    )
