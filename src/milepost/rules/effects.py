"""What a decision about one customer changes: the rows that the store then makes true.

`Changes` is filled by folding the commands of one customer, in order, within one batch; it holds the
last value of each row, so a row is written once however many commands touched it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from milepost.rules.activities import Activity


@dataclass(frozen=True, slots=True)
class Stint:
    """One uninterrupted enrolment of a customer in a target.

    `from_period_id` is the first cycle it reaches; None: every cycle that had not ended at
    `enrolled_at` (streaks), or all of the customer's own cycles (cyclic windows). `left_at` is None
    while it is open. `attempt` is the streak's; a milestone's attempts are per cycle, in `Progress`.
    `anchored_at` is where the customer's own cycles begin (cyclic windows; the same in every stint).
    """

    number: int
    enrolled_at: datetime
    from_period_id: int | None = None
    left_at: datetime | None = None
    attempt: int = 1
    anchored_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """The achieved value of a customer in one cycle of a target, and the attempt that it counts for.

    `achieved_at` is the instant at which `value` reached the target value; None while it has not.
    `rewarded_attempt` is the last attempt whose rewards are done with: granted, or there were none.
    `own_target_value` is what this customer has to reach, where that is not the target's own value.
    `days` has what each local day (`yyyy-MM-dd`) contributed, where that decides what the next
    activity of the day adds: visits, and the best value of a day.
    """

    period_id: int
    attempt: int
    value: Decimal
    achieved_at: datetime | None = None
    rewarded_attempt: int | None = None
    own_target_value: Decimal | None = None
    days: Mapping[str, Decimal] | None = None


@dataclass(frozen=True, slots=True)
class LevelAchievement:
    """A streak level in an attempt: achieved at `achieved_at` by meeting a cycle.

    `achieved_at` is None after a return took the level back. Its rewards were granted all the same,
    so whoever has an achievement, taken back or not, is not rewarded again in the attempt (rule 11).
    """

    level_id: int
    attempt: int
    period_id: int
    achieved_at: datetime | None


@dataclass(slots=True, eq=False)
class Reward:
    """A reward granted; (target, period, attempt, ordinal) or (level, attempt, ordinal) is its key.

    `id` is allotted when it is saved: 0 before.
    """

    target_group_id: int
    target_id: int
    period_id: int
    attempt: int
    ordinal: int
    name: str
    type: str
    value: Decimal
    reference: str | None
    granted_at: datetime
    cause: str
    streak_level_id: int | None = None
    id: int = 0


class Effect(NamedTuple):
    """What one activity did in one cycle of one target, or why it did nothing there.

    `reason` is a code of `rules/explanation.py`, which says whether it counted. `amount` is how much
    the value changed, `value` the value then, `target_value` what was asked. `day` is the local day of
    a visit or a daily best.
    """

    target_group_id: int
    target_id: int
    period_id: int | None
    reason: str
    attempt: int = 1
    amount: Decimal = Decimal(0)
    value: Decimal = Decimal(0)
    target_value: Decimal = Decimal(0)
    day: str | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the journal: what happened to a customer and the stable reason code.

    `what` and `reason` are listed in `rules/explanation.py`, which also makes the sentence; `at` is
    on the organisation's clock. The entry of an activity is ACTIVITY and has a line per effect.
    """

    at: datetime
    what: str
    reason: str
    target_group_id: int | None = None
    target_id: int | None = None
    period_id: int | None = None
    details: Mapping[str, object] = field(default_factory=dict)
    effects: Sequence[Effect] = ()
    """Of an activity, whose entry is of no target by itself."""


@dataclass(frozen=True, slots=True)
class OwnCycleEnd:
    """An own cycle of a customer that has to be settled at `due_at` (cyclic windows)."""

    target_id: int
    period_id: int
    due_at: datetime


@dataclass(slots=True)
class Changes:
    """Everything a batch changes for one customer; `version` is the one that was loaded."""

    customer_id: int
    version: int
    stints: dict[tuple[int, int], Stint] = field(default_factory=dict)
    """By (target id, stint number)."""
    enrolment_ids: dict[int, int] = field(default_factory=dict)
    """By target id: the id of an enrolment that exists already."""
    progress: dict[tuple[int, int], Progress] = field(default_factory=dict)
    """By (target id, period id)."""
    levels: dict[tuple[int, int, int], LevelAchievement] = field(default_factory=dict)
    """By (target id, level id, attempt)."""
    rewards: list[Reward] = field(default_factory=list)
    cycle_ends: list[OwnCycleEnd] = field(default_factory=list)
    activities: list[tuple[Activity, int]] = field(default_factory=list)
    """Each with the place of its entry in `journal`."""
    journal: list[Entry] = field(default_factory=list)
    request_ids: list[str] = field(default_factory=list)
    """Of the commands behind `journal`, entry by entry."""
