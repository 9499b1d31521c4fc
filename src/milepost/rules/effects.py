"""What a decision about one customer changes: the rows that the store then makes true.

`Changes` is filled by folding the commands of one customer, in order, within one batch; it holds the
last value of each row, so a row is written once however many commands touched it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from milepost.rules.activities import Activity
from milepost.rules.frozen import dataclass


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


@dataclass(frozen=True, slots=True)
class Issual:
    """An enrolment of a customer in a promotion; `is_dummy` of a direct one, which takes no enrolment.

    It is live from `issued_at` to before `expires_at` or `ended_at`. `entry_id` is of the line in the
    journal that tells of it. `ended_as` is REVOKED, REPLACED or EXPIRED.
    """

    id: int
    promotion_id: int
    issued_at: datetime
    expires_at: datetime
    is_dummy: bool = False
    entry_id: int = 0
    ended_at: datetime | None = None
    ended_as: str | None = None


@dataclass(frozen=True, slots=True)
class Earn:
    """A promotion that a customer was issued and may collect from: an earned record.

    It pays for what is dated from `earned_at` to before `expires_at`, unless `ended_as` is REVOKED when
    that arrives; EXPIRED only says that the expiry was noted. `redemptions` and `points` are what it
    has paid so far.
    """

    id: int
    promotion_id: int
    issual_id: int
    earned_at: datetime
    expires_at: datetime
    entry_id: int = 0
    redemptions: int = 0
    points: Decimal = Decimal(0)
    ended_at: datetime | None = None
    ended_as: str | None = None


@dataclass(frozen=True, slots=True)
class Redemption:
    """What a promotion paid for one thing; (customer, promotion, paid_for) is its key.

    `occurred_at` is the date of the thing, `redeemed_at` when it was paid, `points` how many.
    """

    promotion_id: int
    paid_for: str
    earn_id: int | None
    occurred_at: datetime
    redeemed_at: datetime
    points: Decimal


@dataclass(slots=True)
class Usage:
    """How much a promotion has been used by all customers together, or is used more by a change.

    `seen`, of a change that rests on what lies within a window: the redemptions that there were then.
    """

    earns: int = 0
    revoked_earns: int = 0
    redemptions: int = 0
    points: Decimal = Decimal(0)
    seen: int | None = None

    def add(self, other: Usage) -> None:
        """Count what `other` has too."""
        self.earns += other.earns
        self.revoked_earns += other.revoked_earns
        self.redemptions += other.redemptions
        self.points += other.points
        self.seen = other.seen if self.seen is None else self.seen


@dataclass(slots=True, eq=False)
class Reward:
    """A reward granted; (target, period, attempt, ordinal) or (level, attempt, ordinal) is its key.

    One of a promotion has its id and no target; its `Redemption` has the key. `id` is allotted when it
    is saved: 0 before.
    """

    target_group_id: int | None
    target_id: int | None
    period_id: int | None
    attempt: int
    ordinal: int
    name: str
    type: str
    value: Decimal
    reference: str | None
    granted_at: datetime
    cause: str
    streak_level_id: int | None = None
    promotion_id: int | None = None
    earn_id: int | None = None
    paid_for: str | None = None
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


class PromotionEffect(NamedTuple):
    """What one activity, or the completion of a target, did in a promotion, or why it did nothing there.

    `reason` is a code as in `Effect`. Group, target and period are of a completion; `target_id` is None
    for that of a unified group.
    """

    promotion_id: int
    reason: str
    earn_id: int | None = None
    target_group_id: int | None = None
    target_id: int | None = None
    period_id: int | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the journal: what happened to a customer and the stable reason code.

    `what` and `reason` are listed in `rules/reasons.py`, `rules/explanation.py` makes the sentence; `at`
    is on the organisation's clock. The entry of an activity is ACTIVITY and has a line per effect.
    What happened in a promotion has its id as `promotion` in the details, and no target.
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
    promotion_effects: Sequence[PromotionEffect] = ()


@dataclass(frozen=True, slots=True)
class OwnCycleEnd:
    """An own cycle of a customer that has to be settled at `due_at` (cyclic windows)."""

    target_id: int
    period_id: int
    due_at: datetime


@dataclass(frozen=True, slots=True)
class Origin:
    """Whose call a command is: its request id, and for which till and store a credential made it.

    Empty and None where that is not known, and for what fell due.
    """

    request_id: str = ""
    credential_id: int | None = None
    till_id: int | None = None
    store_id: int | None = None


NOBODYS = Origin()
"""What nobody called for."""


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
    issuals: dict[int, Issual] = field(default_factory=dict)
    """By id."""
    earns: dict[int, Earn] = field(default_factory=dict)
    """By id."""
    redemptions: list[Redemption] = field(default_factory=list)
    usage: dict[int, Usage] = field(default_factory=dict)
    """By the id of each promotion whose use is counted: what is added to it."""
    leans_on: set[int] = field(default_factory=set)
    """Promotions of which something was refused because others of this batch use them up."""
    activities: list[tuple[Activity, int]] = field(default_factory=list)
    """Each with the place of its entry in `journal`."""
    journal: list[Entry] = field(default_factory=list)
    origins: list[Origin] = field(default_factory=list)
    """Of the commands behind `journal`, entry by entry."""
    is_notified: bool = False
    """Whether anybody listens to what happens in the organisation; the claim says so."""

    @property
    def only_leans(self) -> bool:
        """Whether nothing is written, and only a refusal rests on others of the batch."""
        return bool(self.leans_on) and not self.journal

    def entry_id(self, ordinal: int) -> int:
        """The id that the entry with this place in `journal` will have."""
        return entry_id(self.version + 1, ordinal)


ORDINAL_BITS = 15


def entry_id(version: int, ordinal: int) -> int:
    """The id of a line of a customer's journal, which rises from line to line."""
    return version << ORDINAL_BITS | ordinal
