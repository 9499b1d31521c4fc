"""What a decision about one customer changes: the rows that the store then makes true.

`Changes` is filled by folding the commands of one customer, in order, within one batch; it holds the
last value of each row, so a row is written once however many commands touched it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class Stint:
    """One uninterrupted enrolment of a customer in a target.

    `from_period_id` is the first cycle it reaches; None: every cycle that had not ended at
    `enrolled_at` (streaks), or all of the customer's own cycles (cyclic windows). `left_at` is None
    while it is open. `attempt` is the streak's; a milestone's attempts are per cycle, in `Progress`.
    """

    number: int
    enrolled_at: datetime
    from_period_id: int | None = None
    left_at: datetime | None = None
    attempt: int = 1


@dataclass(frozen=True, slots=True)
class Progress:
    """The achieved value of a customer in one cycle of a target, and the attempt that it counts for.

    `achieved_at` is the instant at which `value` reached the target value; None while it has not.
    """

    period_id: int
    attempt: int
    value: Decimal
    achieved_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Reward:
    """A reward granted; (target, period, attempt, ordinal) or (level, attempt, ordinal) is its key."""

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


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the journal: what happened to a customer and the stable reason code.

    `what` and `reason` are listed in `rules/explanation.py`, which also makes the sentence; `at` is
    on the organisation's clock.
    """

    at: datetime
    what: str
    reason: str
    target_group_id: int
    target_id: int
    period_id: int | None = None
    details: Mapping[str, object] = field(default_factory=dict)


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
    rewards: list[Reward] = field(default_factory=list)
    journal: list[Entry] = field(default_factory=list)
    request_ids: list[str] = field(default_factory=list)
    """Of the commands behind `journal`, entry by entry."""
