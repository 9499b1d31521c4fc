"""What a line of the journal names, as far as it is still defined, in words and dates.

Names, dates and settings are those of today's definitions, because that is what the reader sees
elsewhere; values are those of the moment. What has been deleted since is named by its id.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from milepost.rules.activities import EVENT, RETURN
from milepost.rules.calendar import local_date, local_midnight
from milepost.rules.definitions import (
    PERIOD_AGNOSTIC,
    Definitions,
    Period,
    Promotion,
    StreakLevel,
    Target,
    TargetGroup,
)
from milepost.rules.effects import Effect, Entry, PromotionEffect
from milepost.rules.frozen import dataclass

# What `rules/redemption.py` calls the achieved target that a promotion paid for.
_COMPLETION = re.compile(r"completion of (target|group) ([0-9]+) period ([0-9]+) attempt [0-9]+")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@dataclass(frozen=True, slots=True)
class Scene:
    """An entry, or one effect of an activity's, with what is still defined of what it names.

    `group_id`, `target_id` and `period_id` are the effect's where there is one. Of what happened in a
    promotion they are those of the achieved target that it was about, if it was about one, and `earn_id`
    is the earned record; `effect` is None then.
    """

    entry: Entry
    effect: Effect | None
    reason: str
    group_id: int | None
    target_id: int | None
    period_id: int | None
    group: TargetGroup | None
    target: Target | None
    period: Period | None
    zone: ZoneInfo
    """The group's; the organisation's where no group is meant or known."""
    promotion_id: int | None = None
    promotion: Promotion | None = None
    earn_id: int | None = None

    @property
    def at(self) -> datetime:
        """When it happened, on the organisation's clock."""
        return self.entry.at

    @property
    def details(self) -> Mapping[str, object]:
        """The entry's own."""
        return self.entry.details

    @property
    def name(self) -> str:
        """The group's name, with the target's where the group has several and one is meant."""
        if self.group is None:
            if self.target_id is None:
                return f"target group {self.group_id} (deleted since)"
            if self.group_id is None:
                return f"target {self.target_id} (deleted since)"
            return f"target {self.target_id} of target group {self.group_id} (deleted since)"
        if self.target_id is None:
            return f"'{self.group.name}'"
        if self.target is None:
            return f"'{self.group.name}' (target {self.target_id})"
        if len(self.group.targets) == 1:
            return f"'{self.group.name}'"
        return f"'{self.group.name}' (target '{self.target.name}')"

    @property
    def is_streak(self) -> bool:
        """Whether the group is known to be a streak."""
        return self.group is not None and self.group.is_streak

    @property
    def is_fixed(self) -> bool:
        """Whether cycles are dated, the same for every customer."""
        if self.group is None:
            return self.period_id is not None
        return self.group.is_fixed

    @property
    def pays_at_period_end(self) -> bool:
        """Whether what the cycle earns waits for its settlement; never with a streak."""
        return (
            self.group is not None
            and not self.group.is_streak
            and self.group.evaluation_type != PERIOD_AGNOSTIC  # it ends with its achievement
            and self.group.reward_allocation == "PERIOD_END"
        )

    @property
    def cycle(self) -> str:
        """The cycle with its dates, if it has any; by its id when it is no longer known."""
        if self.group is None or self.period is None:
            return f"cycle {self.period_id}"
        if not self.group.is_fixed:
            return f"cycle {self.period.ref_code}"
        return f"cycle {self.period.ref_code} ({dates(self.period, self.zone)})"

    @property
    def short_cycle(self) -> str:
        """The cycle's name alone."""
        return self.period.ref_code if self.period is not None else f"{self.period_id}"

    @property
    def place(self) -> str:
        """The cycle of the group; the group alone where no cycle is meant."""
        return self.name if self.period_id is None else f"{self.cycle} of {self.name}"

    @property
    def value(self) -> Decimal | None:
        """The cycle's value after what happened; 0 in a cycle that nothing has touched yet."""
        if self.effect is not None:
            return self.effect.value if self.effect.period_id is not None else None
        for key in ("balance", "value"):
            found = self.decimal(key)
            if found is not None:
                return found
        return Decimal(0) if "targetValue" in self.details else None

    @property
    def asked(self) -> Decimal | None:
        """The cycle's target value then."""
        if self.effect is not None:
            return self.effect.target_value if self.effect.period_id is not None else None
        return self.decimal("targetValue")

    @property
    def amount(self) -> Decimal | None:
        """How much the value changed by an activity; 0 if it did not."""
        return self.effect.amount if self.effect is not None else self.decimal("amount")

    @property
    def standing(self) -> str:
        """The value of the target value, such as `300 of 1000`; empty if neither was noted."""
        value, asked = self.value, self.asked
        return f"{plain(value)} of {plain(asked)}" if value is not None and asked else ""

    @property
    def attempt(self) -> int | None:
        """The streak's attempt, or the cycle's of a milestone."""
        if self.effect is not None:
            return self.effect.attempt if self.effect.period_id is not None else None
        found = self.details.get("attempt")
        return found if isinstance(found, int) else None

    @property
    def as_attempt(self) -> str:
        """`, as attempt 2`; nothing for the first."""
        attempt = self.attempt
        return f", as attempt {attempt}" if attempt not in (None, 1) else ""

    @property
    def level_name(self) -> str | None:
        """The streak level's name, as it was."""
        level = self.details.get("level")
        name = level.get("name") if isinstance(level, Mapping) else None
        return str(name) if name is not None else None

    @property
    def level(self) -> StreakLevel | None:
        """The streak level as it is defined now."""
        level = self.details.get("level")
        if self.group is None or not isinstance(level, Mapping):
            return None
        return next((each for each in self.group.levels if each.id == level.get("id")), None)

    @property
    def activity_id(self) -> str | None:
        """The id of the activity that this is about or that caused it."""
        found = self.details.get("activity")
        return str(found) if found is not None else None

    @property
    def occurred_at(self) -> datetime | None:
        """The activity's own date, where the entry is of an activity."""
        return self.instant("occurredAt")

    @property
    def activity(self) -> str:
        """The activity with its date, such as `Purchase 'tx-1' of 1 Jun 2026 10:00`."""
        kind = {EVENT: f"Event '{self.details.get('eventName')}'", RETURN: "Return"}
        named = f"{kind.get(self.entry.reason, 'Purchase')} '{self.activity_id}'"
        at = self.occurred_at
        return f"{named} of {first_date(at, self.zone)}" if at is not None else named

    @property
    def by_activity(self) -> str:
        """` by activity 'tx-1'` where an activity caused it."""
        return f" by activity '{self.activity_id}'" if self.activity_id is not None else ""

    def decimal(self, key: str) -> Decimal | None:
        """An amount of the details, which are texts there."""
        text = self.details.get(key)
        return Decimal(text) if isinstance(text, str) else None

    def instant(self, key: str) -> datetime | None:
        """An instant of the details; where they have one for each of several records, the scene's."""
        text, earns = self.details.get(key), self.details.get("earns")
        if isinstance(text, list | tuple) and isinstance(earns, list | tuple):
            text = text[earns.index(self.earn_id)] if self.earn_id in earns else None
        return datetime.fromisoformat(text) if isinstance(text, str) else None


def scene_of(
    entry: Entry, definitions: Definitions, effect: Effect | PromotionEffect | None = None
) -> Scene:
    """The entry, or one of its effects, beside what is defined of it now."""
    about = effect or _promotion_effect(entry, definitions) or entry
    group_id, target_id = about.target_group_id, about.target_id
    group = definitions.groups.get(group_id) if group_id is not None else None
    target = group.targets_by_id.get(target_id) if group and target_id is not None else None
    in_promotion = about if isinstance(about, PromotionEffect) else None
    promotion_id = in_promotion.promotion_id if in_promotion is not None else None
    return Scene(
        entry,
        effect if isinstance(effect, Effect) else None,
        about.reason,
        group_id,
        target_id,
        about.period_id,
        group,
        target,
        period_of(group, about.period_id),
        group.zone if group is not None else definitions.zone,
        promotion_id,
        definitions.promotions.get(promotion_id) if promotion_id is not None else None,
        in_promotion.earn_id if in_promotion is not None else None,
    )


def records_of(scene: Scene) -> list[Scene]:
    """The scene of an entry; a scene for each earned record where it is about several."""
    earns = scene.details.get("earns")
    if scene.promotion_id is None or not isinstance(earns, list | tuple):
        return [scene]
    return [replace(scene, earn_id=earn_id) for earn_id in earns]


def _promotion_effect(entry: Entry, definitions: Definitions) -> PromotionEffect | None:
    """What an entry that is no activity's says of a promotion, as if it were an effect."""
    promotion_id, earn_id = entry.details.get("promotion"), entry.details.get("earn")
    if not isinstance(promotion_id, int):
        return None
    effect = PromotionEffect(
        promotion_id, entry.reason, earn_id if isinstance(earn_id, int) else None
    )
    completion = _COMPLETION.fullmatch(str(entry.details.get("paidFor")))
    if completion is None:
        return effect
    number, period_id = int(completion[2]), int(completion[3])
    if completion[1] == "group":
        return effect._replace(target_group_id=number, period_id=period_id)
    group = definitions.groups_by_target.get(number)
    return effect._replace(
        target_group_id=group.id if group is not None else None,
        target_id=number,
        period_id=period_id,
    )


def period_of(group: TargetGroup | None, period_id: object) -> Period | None:
    """The group's period by its id, if both are still there."""
    if group is None or not isinstance(period_id, int):
        return None
    return group.periods_by_id.get(period_id)


def dates(period: Period, zone: ZoneInfo) -> str:
    """First and last local date of a cycle; a bound that is no local midnight shows its time."""
    first, last = first_date(period.starts_at, zone), last_date(period.ends_at, zone)
    return first if first == last else f"{first} – {last}"


def first_date(at: datetime, zone: ZoneInfo) -> str:
    """The local date of an instant, with its time unless the day begins then."""
    on = local_date(at, zone)
    return day(on) if at == local_midnight(on, zone) else f"{day(on)} {at.astimezone(zone):%H:%M}"


def last_date(ends_at: datetime, zone: ZoneInfo) -> str:
    """The last local date that an exclusive end includes; with its time unless a day begins then."""
    if ends_at != local_midnight(local_date(ends_at, zone), zone):
        return first_date(ends_at, zone)
    return day(local_date(ends_at - datetime.resolution, zone))


def day(on: date) -> str:
    """A local date, such as `1 Jun 2026`."""
    return f"{on.day} {_MONTHS[on.month - 1]} {on.year}"


def plain(amount: Decimal | None) -> str:
    """An amount without exponent or trailing zeros; the digits before the point stay."""
    if amount is None:
        return ""
    text = f"{amount:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
