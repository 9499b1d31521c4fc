"""Why a customer stands where they stand: journal entries as sentences for marketers (contract §5).

Names, dates and reward allocation are those of today's definitions, because that is what the reader
sees elsewhere; values are those of the moment, kept in the entry's details. What has been deleted
since is named by its id.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from milepost.rules.calendar import local_date, local_midnight, written_instant
from milepost.rules.definitions import Definitions, Period, Target, TargetGroup
from milepost.rules.effects import Entry

WHATS = (
    "ENROLLED",
    "UNENROLLED",
    "COUNTED",
    "NOT_COUNTED",
    "ACHIEVED",
    "UNACHIEVED",
    "BROKEN",
    "REWARDED",
    "SETTLED",
)
"""All that `what` can be: a closed list (contract §5)."""

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@dataclass(frozen=True, slots=True)
class Reason:
    """A stable reason code's `what`, and what it means: a sentence for the documentation."""

    what: str
    meaning: str


REASONS: Mapping[str, Reason] = {
    "ENROLLED": Reason("ENROLLED", "The customer was enrolled in the target for the first time."),
    "RE_ENROLLED": Reason("ENROLLED", "The customer had left the target and was enrolled again."),
    "EXTENDED_BACK": Reason(
        "ENROLLED",
        "The customer was enrolled from a later cycle on and is now enrolled from an earlier one on.",
    ),
    "LEFT": Reason(
        "UNENROLLED",
        "The customer was unenrolled: out of the running cycle and all later ones.",
    ),
    "INITIAL_BALANCE": Reason(
        "ACHIEVED", "The initial balance alone was at or above the cycle's target value."
    ),
    "ACHIEVED_BY_BALANCE": Reason(
        "REWARDED", "An immediate reward of a cycle that the initial balance achieved."
    ),
}
"""Every reason code in use; a code never changes its meaning."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """One line of a customer's explanation.

    `value` and `target_value` are the cycle's, right after what happened; None for streaks' enrolments
    and where no cycle is meant. `reward` has `name`, `type` and `value`. `attempt` is the streak's, or
    the cycle's of a milestone.
    """

    at: datetime
    what: str
    reason: str
    why: str
    target_group_id: int
    target_id: int
    period_ref_code: str | None
    attempt: int | None
    value: Decimal | None
    target_value: Decimal | None
    reward: Mapping[str, object] | None

    def fields(self) -> dict[str, object]:
        """The fields on the wire, ready for JSON but for decimals, which are numbers there."""
        return {
            "at": written_instant(self.at),
            "what": self.what,
            "reason": self.reason,
            "why": self.why,
            "targetGroupId": self.target_group_id,
            "targetRuleId": self.target_id,
            "periodRefCode": self.period_ref_code,
            "attempt": self.attempt,
            "value": self.value,
            "targetValue": self.target_value,
            "reward": self.reward,
        }


def explain(entry: Entry, definitions: Definitions) -> Explanation:
    """The entry, as loaded from the journal, in plain English; never fails on what was deleted since.

    `entry.details` may hold what JSON gives back: numbers, lists, and amounts as text. They are
    `stint`, `attempt`, `reset`; `balance` (set by the call) or `value` (as it was), `targetValue`;
    `kept`, the first and last period id of the stint that stay; a reward's `name`, `type`, `value`.
    """
    group = definitions.groups.get(entry.target_group_id)
    scene = _Scene(
        entry,
        group,
        group.targets_by_id.get(entry.target_id) if group is not None else None,
        _period(group, entry.period_id),
    )
    details = entry.details
    attempt = details.get("attempt")
    rewarded = entry.what == "REWARDED"
    sentence = _SENTENCES.get(entry.reason, _unknown)
    return Explanation(
        entry.at,
        entry.what,
        entry.reason,
        sentence(scene),
        entry.target_group_id,
        entry.target_id,
        scene.period.ref_code if scene.period is not None else None,
        attempt if isinstance(attempt, int) else None,
        None if rewarded else scene.value,
        scene.amount("targetValue"),
        _reward(scene) if rewarded else None,
    )


@dataclass(frozen=True, slots=True)
class _Scene:
    """An entry with what is still defined of the things that it names."""

    entry: Entry
    group: TargetGroup | None
    target: Target | None
    period: Period | None

    @property
    def name(self) -> str:
        """The group's name, with the target's where the group has several."""
        if self.group is None:
            entry = self.entry
            return (
                f"target {entry.target_id} of target group {entry.target_group_id} (deleted since)"
            )
        target = self.target
        if target is None:
            return f"'{self.group.name}' (target {self.entry.target_id})"
        if len(self.group.targets) == 1:
            return f"'{self.group.name}'"
        return f"'{self.group.name}' (target '{target.name}')"

    @property
    def is_streak(self) -> bool:
        return self.group is not None and self.group.is_streak

    @property
    def is_fixed(self) -> bool:
        if self.group is None:
            return self.entry.period_id is not None
        return self.group.is_fixed

    @property
    def pays_at_period_end(self) -> bool:
        """Whether what the cycle earns waits for its settlement; never with a streak."""
        return (
            self.group is not None
            and not self.group.is_streak
            and self.group.reward_allocation == "PERIOD_END"
        )

    @property
    def cycle(self) -> str:
        """The cycle with its dates, if it has any; by its id when it is no longer known."""
        if self.group is None or self.period is None:
            return f"cycle {self.entry.period_id}"
        if not self.group.is_fixed:
            return f"cycle {self.period.ref_code}"
        return f"cycle {self.period.ref_code} ({_dates(self.period, self.group.zone)})"

    @property
    def short_cycle(self) -> str:
        return self.period.ref_code if self.period is not None else f"{self.entry.period_id}"

    @property
    def value(self) -> Decimal | None:
        """The cycle's value after what happened; 0 in a cycle that nothing has touched yet."""
        for key in ("balance", "value"):
            found = self.amount(key)
            if found is not None:
                return found
        return Decimal(0) if "targetValue" in self.entry.details else None

    @property
    def standing(self) -> str:
        """The value of the target value, such as `300 of 1000`; empty if neither was noted."""
        value, asked = self.value, self.amount("targetValue")
        return f"{_plain(value)} of {_plain(asked)}" if value is not None and asked else ""

    @property
    def as_attempt(self) -> str:
        """`, as attempt 2`; nothing for the first."""
        attempt = self.entry.details.get("attempt", 1)
        return f", as attempt {attempt}" if attempt != 1 else ""

    def amount(self, key: str) -> Decimal | None:
        text = self.entry.details.get(key)
        return Decimal(text) if isinstance(text, str) else None


def _period(group: TargetGroup | None, period_id: object) -> Period | None:
    if group is None or not isinstance(period_id, int):
        return None
    return group.periods_by_id.get(period_id)


def _enrolled(scene: _Scene) -> str:
    return f"Enrolled in {scene.name} {_from_on(scene)}{_start(scene)}."


def _re_enrolled(scene: _Scene) -> str:
    return f"Enrolled again in {scene.name} {_from_on(scene)}{_start(scene)}."


def _extended_back(scene: _Scene) -> str:
    return f"Already enrolled in later cycles of {scene.name} and now {_from_on(scene)}{_start(scene)}."


def _from_on(scene: _Scene) -> str:
    if not scene.is_fixed:
        return "for all of the customer's own cycles"
    return f"from {scene.cycle} on"


def _start(scene: _Scene) -> str:
    """What the enrolment means for the counter of a streak, or for a milestone's chosen cycle."""
    details = scene.entry.details
    if "targetValue" not in details:
        if details.get("reset"):
            return f"; the streak starts again from nothing{scene.as_attempt}"
        if scene.entry.reason == "RE_ENROLLED":
            return (
                "; counter and levels go on as they were, "
                "and cycles missed in between don't break the run"
            )
        return "; cycles that had ended before are neither met nor missed"
    cycle = "the cycle" if scene.is_fixed else f"the first open one, {scene.short_cycle},"
    verb = "goes on" if "value" in details else "starts"
    attempt = scene.as_attempt if "balance" in details else ""
    return f"; {cycle} {verb} at {scene.standing}{attempt}"


def _left(scene: _Scene) -> str:
    entry, period = scene.entry, scene.period
    if not scene.is_fixed:
        return f"Left {scene.name}: nothing counts in the customer's cycles any more."
    upcoming = period is not None and entry.at < period.starts_at
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


def _kept(scene: _Scene) -> str:
    """The cycles of the stint that had ended, such as `c1 and c2 stay`."""
    kept = scene.entry.details.get("kept")
    if not isinstance(kept, list | tuple) or len(kept) != 2:
        return ""
    first, last = (_period(scene.group, period_id) for period_id in kept)
    if first is None or last is None or scene.group is None:
        return "cycles that had ended stay"
    if first is last:
        return f"{first.ref_code} stays"
    periods = scene.group.periods
    joint = "and" if periods.index(last) - periods.index(first) == 1 else "to"
    return f"{first.ref_code} {joint} {last.ref_code} stay"


def _achieved_by_balance(scene: _Scene) -> str:
    sentence = (
        f"The initial balance reached the target of {scene.cycle} of {scene.name} "
        f"at {scene.standing}{scene.as_attempt}."
    )
    if scene.pays_at_period_end:
        sentence += (
            " Rewards follow when the cycle is settled, if the customer is enrolled at its end."
        )
    return sentence


def _rewarded_by_balance(scene: _Scene) -> str:
    reward = _reward(scene)
    return (
        f"Granted '{reward['name']}' ({str(reward['type']).lower()}, {_plain(scene.amount('value'))}), "
        f"because the initial balance reached the target of {scene.cycle} of {scene.name}"
        f"{scene.as_attempt}."
    )


def _unknown(scene: _Scene) -> str:
    """For a code that a newer release wrote."""
    what = scene.entry.what.lower().replace("_", " ")
    return f"Noted for {scene.name}: {what}, reason {scene.entry.reason}."


_SENTENCES: Mapping[str, Callable[[_Scene], str]] = {
    "ENROLLED": _enrolled,
    "RE_ENROLLED": _re_enrolled,
    "EXTENDED_BACK": _extended_back,
    "LEFT": _left,
    "INITIAL_BALANCE": _achieved_by_balance,
    "ACHIEVED_BY_BALANCE": _rewarded_by_balance,
}


def _reward(scene: _Scene) -> dict[str, object]:
    details = scene.entry.details
    return {
        "name": details.get("name"),
        "type": details.get("type"),
        "value": scene.amount("value"),
    }


def _dates(period: Period, zone: ZoneInfo) -> str:
    """First and last local date of a cycle; a bound that is no local midnight shows its time."""
    first, last = _date(period.starts_at, zone), _last_date(period.ends_at, zone)
    return first if first == last else f"{first} – {last}"


def _date(at: datetime, zone: ZoneInfo) -> str:
    on = local_date(at, zone)
    text = f"{on.day} {_MONTHS[on.month - 1]} {on.year}"
    if at == local_midnight(on, zone):
        return text
    return f"{text} {at.astimezone(zone):%H:%M}"


def _last_date(ends_at: datetime, zone: ZoneInfo) -> str:
    on = local_date(ends_at, zone)
    if ends_at != local_midnight(on, zone):
        return _date(ends_at, zone)
    before = local_date(ends_at - datetime.resolution, zone)
    return _date(local_midnight(before, zone), zone)


def _plain(amount: Decimal | None) -> str:
    """An amount without exponent or trailing zeros; the digits before the point stay."""
    if amount is None:
        return ""
    text = f"{amount:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
