"""What a marketer defines: target groups with their periods, targets and levels; programs and promotions.

The values here are what the rules decide with. They are built from the database once per process and
revision, shared by every batch, and never changed. Terms: domain/milestones-and-streaks.md §1, §2;
domain/promotions-and-platform.md §1, §2.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import field
from datetime import datetime
from decimal import Decimal
from functools import cached_property
from zoneinfo import ZoneInfo

from milepost.rules.activities import CURRENCY_EARNED, POINTS_EARNED, TRANSACTION_ADD
from milepost.rules.frozen import dataclass

TRACKING_TYPES = ("DEFAULT", "UNIFIED", "STREAKS", "NON_CONTINUOUS_STREAKS", "CAPPING")
STREAK_TRACKING_TYPES = ("STREAKS", "NON_CONTINUOUS_STREAKS")
FIXED = "FIXED_CALENDAR_WINDOW"
CYCLIC = "CYCLIC_WINDOW"
PERIOD_AGNOSTIC = "PERIOD_AGNOSTIC_WINDOW"
EVALUATION_TYPES = (FIXED, CYCLIC, PERIOD_AGNOSTIC)
REWARD_ALLOCATIONS = ("IMMEDIATE", "PERIOD_END")
REWARD_TYPES = ("POINTS", "COUPON", "BADGE", "CUSTOM")
POINTS_ENTITIES = ("REWARDS", "POINTS")
ENROLMENT_METHODS = ("TRANSACTION", "IMPORT", "AUDIENCE_FILTER")

GENERIC = "GENERIC"
DIRECT = "LOYALTY"
ENROL_AND_ISSUE = "LOYALTY_EARNING"
PROMOTION_TYPES = (GENERIC, DIRECT, ENROL_AND_ISSUE)
"""Who may collect: everybody, who was issued it, or who enrolled and was then issued it."""
TARGET_COMPLETED = "TARGETCOMPLETED"
"""The event that a promotion listens to which pays for an achieved target."""
UNLIMITED = -1
STRETCHES_KEPT_MAX = 100
"""Of a timeline, between two bounds: activities are dated in few of them."""


@dataclass(frozen=True, slots=True)
class Actor:
    """Who wrote a definition and when: the credential's id and an aware UTC instant."""

    credential_id: int
    at: datetime


@dataclass(frozen=True, slots=True)
class RewardDefinition:
    """One entry of `rewards` on a target or a streak level (contract §4)."""

    name: str
    type: str
    value: Decimal
    reference: str | None = None


@dataclass(frozen=True, slots=True)
class Period:
    """One dated cycle of a target group, half-open `[starts_at, ends_at)`, aware UTC.

    `number` is the order of creation in the group, 1 … 100, never reused. `ref_code` is the
    cycle's name on the wire. `closes_at` is its end plus the group's settlement delay as it was
    when that instant came; None: as the delay is now (`windows.closes_at`).
    """

    id: int
    number: int
    ref_code: str
    starts_at: datetime
    ends_at: datetime
    description: str = ""
    active: bool = True
    created: Actor | None = None
    updated: Actor | None = None
    closes_at: datetime | None = None

    def running(self, now: datetime) -> bool:
        """Whether `now` lies in the cycle."""
        return self.starts_at <= now < self.ends_at

    def ended(self, now: datetime) -> bool:
        """Whether the cycle is over; its end itself is over."""
        return self.ends_at <= now


@dataclass(frozen=True, slots=True)
class TargetValue:
    """The value to reach in one period: `defaultValues` of the wire. Always > 0."""

    id: int
    period_id: int
    value: Decimal


@dataclass(frozen=True, slots=True)
class Target:
    """A target (= target rule): what is counted, and how much of it each cycle asks for."""

    id: int
    group_id: int
    name: str
    target_entity: str
    target_type: str
    event_name: str = "TransactionAdd"
    description: str = ""
    active: bool = True
    expression: str = "true"
    expression_json: str | None = None
    filters: tuple[Mapping[str, object], ...] = ()
    enrolment_method: str = "IMPORT"
    extended_field_info: Mapping[str, object] | None = None
    aggregate_window: Mapping[str, object] | None = None
    milestone_triggers: tuple[Mapping[str, object], ...] = ()
    rewards: tuple[RewardDefinition, ...] = ()
    values: Mapping[int, TargetValue] = field(default_factory=dict)
    """By period id."""
    created: Actor | None = None
    updated: Actor | None = None


@dataclass(frozen=True, slots=True)
class StreakLevel:
    """A level of a streak: reached when `target_count` cycles are met."""

    id: int
    name: str
    target_count: int
    rewards: tuple[RewardDefinition, ...] = ()
    created: Actor | None = None
    updated: Actor | None = None


@dataclass(frozen=True)
class TargetGroup:
    """A milestone or streak. `periods` are in order of their start, `levels` of their count."""

    id: int
    name: str
    tracking_type: str
    time_zone: str
    cycle_starts_at: datetime
    cycle_ends_at: datetime
    evaluation_type: str = FIXED
    description: str = ""
    active: bool = True
    preferred_till_id: int = -1
    frequency_type: str = "CUSTOM"
    frequency: int = 1
    total_periods: int = 0
    recurring_cycles: int = -1
    user_created: bool = False
    leaderboard_enabled: bool = False
    reward_allocation: str = "IMMEDIATE"
    track_from_enrolment_date: bool = False
    settlement_delay_days: int = 0
    carry_returns_forward: bool = False
    combination_type: str | None = None
    unified_target_expression: Mapping[str, object] | None = None
    periods: tuple[Period, ...] = ()
    targets: tuple[Target, ...] = ()
    levels: tuple[StreakLevel, ...] = ()
    created: Actor | None = None
    updated: Actor | None = None

    @cached_property
    def zone(self) -> ZoneInfo:
        """The group's zone; its name was checked when the group was made."""
        return ZoneInfo(self.time_zone)

    @cached_property
    def is_streak(self) -> bool:
        """Whether achievement is counted across cycles (STREAKS, NON_CONTINUOUS_STREAKS)."""
        return self.tracking_type in STREAK_TRACKING_TYPES

    @cached_property
    def is_fixed(self) -> bool:
        """Whether the periods are dated cycles, the same for every customer."""
        return self.evaluation_type == FIXED

    @cached_property
    def starts(self) -> tuple[datetime, ...]:
        """When each period starts, in order."""
        return tuple(period.starts_at for period in self.periods)

    @cached_property
    def periods_by_id(self) -> Mapping[int, Period]:
        """Every period of the group by its id."""
        return {period.id: period for period in self.periods}

    @cached_property
    def periods_by_ref_code(self) -> Mapping[str, Period]:
        """The active periods of the group by their exact name."""
        return {period.ref_code: period for period in self.periods if period.active}

    @cached_property
    def targets_by_id(self) -> Mapping[int, Target]:
        """Every target of the group, deactivated ones included, by its id."""
        return {target.id: target for target in self.targets}


@dataclass(frozen=True, slots=True)
class Program:
    """A loyalty program: what promotions belong to."""

    id: int
    name: str
    created: Actor | None = None
    updated: Actor | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """How often a promotion may be enrolled in, issued and collected; `UNLIMITED` is no limit.

    Counts are lifetime ones. `redemptions_per_earn` is of one earned record.
    """

    issuals_per_customer: int = 1
    earns_per_customer: int = 1
    earns_per_promotion: int = UNLIMITED
    redemptions_per_earn: int = 1


@dataclass(frozen=True, slots=True)
class Expiry:
    """When a record lapses: with the promotion, or (CUSTOM) `days` calendar days after it was made."""

    type: str = "PROMOTION"
    days: int | None = None


@dataclass(frozen=True, slots=True)
class RedemptionLimit:
    """How many redemptions (TIMES) or points there may be: in an EVENT, of a CUSTOMER, in the whole
    PROMOTION, or of one earned record (EARN); with a `window`, within the time before each event.
    """

    kpi: str
    on: str
    most: Decimal
    window: str | None = None
    """DAILY, WEEKLY or MONTHLY: 24 hours, 7 or 30 days. None: ever."""


@dataclass(frozen=True, slots=True)
class Criteria:
    """What a promotion pays for: an event for which the expression holds.

    The ids narrow TARGET_COMPLETED to groups and targets; none is any.
    """

    event: str
    expression: str = "true"
    target_group_ids: tuple[int, ...] = ()
    target_ids: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Promotion:
    """A loyalty promotion, half-open `[starts_at, ends_at)`; `state` is where its approval stands.

    `identifier` is the caller's own, unique in the program, as the name is. `vendor` has fields of the
    wire that are kept and mean nothing here; `draft` is what an edit that waits for approval makes of it.
    """

    id: int
    program_id: int
    name: str
    type: str
    starts_at: datetime
    ends_at: datetime
    identifier: str | None = None
    description: str = ""
    active: bool = True
    state: str = "ACTIVE"
    limits: Limits = Limits()
    issual_expiry: Expiry = Expiry()
    earn_expiry: Expiry = Expiry()
    criteria: Criteria | None = None
    rewards: tuple[RewardDefinition, ...] = ()
    redemption_limits: tuple[RedemptionLimit, ...] = ()
    metadata: tuple[Mapping[str, object], ...] = ()
    vendor: Mapping[str, object] = field(default_factory=dict)
    draft: Promotion | None = None
    created: Actor | None = None
    updated: Actor | None = None

    @property
    def is_published(self) -> bool:
        """Whether it has been approved once; from then on edits that need approval wait as its draft."""
        return self.state not in ("DRAFT", "PENDING_APPROVAL")

    @property
    def is_on(self) -> bool:
        """Whether it is approved and not switched off, whatever its dates."""
        return self.active and self.state == "ACTIVE"

    @property
    def pays(self) -> bool:
        """Whether anything can be collected from it."""
        return self.criteria is not None and bool(self.rewards)

    @property
    def is_counted(self) -> bool:
        """Whether the use of all customers together is limited, and so has to be counted."""
        return self.limits.earns_per_promotion != UNLIMITED or any(
            limit.on == "PROMOTION" for limit in self.redemption_limits
        )


class Timeline:
    """Promotions by their dates. What runs between two neighbouring bounds is looked for once."""

    def __init__(self, promotions: Iterable[Promotion]) -> None:
        self._promotions = sorted(promotions, key=lambda promotion: promotion.id)
        self._by_start = sorted(self._promotions, key=lambda promotion: promotion.starts_at)
        self._starts = [promotion.starts_at for promotion in self._by_start]
        self._bounds = sorted({at for p in self._promotions for at in (p.starts_at, p.ends_at)})
        self._running: dict[int, tuple[Promotion, ...]] = {}

    def at(self, instant: datetime) -> tuple[Promotion, ...]:
        """The promotions whose dates include the instant, oldest first."""
        place = bisect_right(self._bounds, instant)
        running = self._running.get(place)
        if running is None:
            if len(self._running) >= STRETCHES_KEPT_MAX:
                self._running.clear()
            running = self._running[place] = tuple(
                p for p in self._promotions if p.starts_at <= instant < p.ends_at
            )
        return running

    def between(self, first: datetime, last: datetime) -> tuple[Promotion, ...]:
        """The promotions whose dates include an instant from `first` to `last`, both included."""
        begun, come = bisect_right(self._starts, first), bisect_right(self._starts, last)
        return (*self.at(first), *self._by_start[begun:come])


@dataclass(frozen=True)
class Definitions:
    """All definitions of one organisation at one `revision`, with what the rules need of the
    organisation itself. `groups` holds inactive groups, not deleted ones.
    """

    org_id: int
    revision: int
    time_zone: str
    groups: Mapping[int, TargetGroup] = field(default_factory=dict)
    returns_adjust_targets: bool = True
    """Whether returns change targets at all (contract §4 rule 11)."""
    programs: Mapping[int, Program] = field(default_factory=dict)
    promotions: Mapping[int, Promotion] = field(default_factory=dict)
    """Drafts and ended ones too: a promotion is never deleted."""
    revokes_restore_limits: bool = False
    """Whether what is revoked no longer counts towards the limits (domain: promotions §8, Q13)."""
    is_notified: bool = False
    """Whether an endpoint, of the organisation or its parent, is told of what happens here."""

    @cached_property
    def zone(self) -> ZoneInfo:
        """The organisation's zone; its name was checked when the organisation was made."""
        return ZoneInfo(self.time_zone)

    @cached_property
    def listeners(self) -> Mapping[str, tuple[tuple[TargetGroup, Target], ...]]:
        """By the name of an event, TransactionAdd and ReturnBill among them: the targets it may move.

        Those of inactive groups too: why nothing counts there is part of the explanation.
        """
        found: dict[str, list[tuple[TargetGroup, Target]]] = {}
        for group in self.groups.values():
            for target in group.targets:
                for name in listened_events(target):
                    found.setdefault(name, []).append((group, target))
        return {name: tuple(pairs) for name, pairs in found.items()}

    @cached_property
    def promotions_by_identifier(self) -> Mapping[tuple[int, str], Promotion]:
        """The promotions that have one by (program id, identifier)."""
        return {
            (promotion.program_id, promotion.identifier): promotion
            for promotion in self.promotions.values()
            if promotion.identifier is not None
        }

    @cached_property
    def generic_promotions(self) -> Mapping[str, Timeline]:
        """By the name of an event, TARGET_COMPLETED among them: the promotions that pay everybody for it."""
        found: dict[str, list[Promotion]] = {}
        for promotion in self._paying_promotions:
            if promotion.type == GENERIC and promotion.criteria is not None:
                found.setdefault(promotion.criteria.event, []).append(promotion)
        return {name: Timeline(promotions) for name, promotions in found.items()}

    @cached_property
    def issued_promotions(self) -> Mapping[str, frozenset[int]]:
        """By the name of an event: the ids of the promotions that pay for it those who were issued them."""
        found: dict[str, set[int]] = {}
        for promotion in self._paying_promotions:
            if promotion.type != GENERIC and promotion.criteria is not None:
                found.setdefault(promotion.criteria.event, set()).add(promotion.id)
        return {name: frozenset(ids) for name, ids in found.items()}

    @cached_property
    def _paying_promotions(self) -> tuple[Promotion, ...]:
        """Those that may pay, or did before they were switched off."""
        return tuple(p for p in self.promotions.values() if p.pays and p.is_published)

    @cached_property
    def promotions_paid_by_key(self) -> frozenset[int]:
        """The ids of promotions that may meet what they paid for again, in the same attempt.

        A unified group is met again after a return, and a cycle of a streak that was paid for may reach a
        level when it is met again. Nothing but the key of the earlier redemption says so.
        """
        found = set()
        for promotion in self._paying_promotions:
            criteria = promotion.criteria
            if criteria is None or criteria.event != TARGET_COMPLETED:
                continue
            groups = [self.groups_by_target.get(target_id) for target_id in criteria.target_ids]
            if not groups:
                groups = [
                    self.groups.get(each) for each in criteria.target_group_ids or self.groups
                ]
            if any(
                (group.tracking_type == "UNIFIED" and not criteria.target_ids) or group.levels
                for group in groups
                if group is not None
            ):
                found.add(promotion.id)
        return frozenset(found)

    @property
    def rewards_completion(self) -> bool:
        """Whether any promotion pays for achieved targets."""
        return (
            TARGET_COMPLETED in self.generic_promotions
            or TARGET_COMPLETED in self.issued_promotions
        )

    @cached_property
    def groups_by_target(self) -> Mapping[int, TargetGroup]:
        """The group of each target, by the target's id."""
        return {target.id: group for group in self.groups.values() for target in group.targets}

    @cached_property
    def points_targets(self) -> tuple[tuple[TargetGroup, Target], ...]:
        """The targets that count points, ceilings (CAPPING) among them."""
        return tuple(
            (group, target)
            for group in self.groups.values()
            for target in group.targets
            if target.target_entity in POINTS_ENTITIES
        )


def listened_events(target: Target) -> tuple[str, ...]:
    """The names of the events that a target may count (§4.7)."""
    if target.target_entity in ("TRANSACTION", "LINEITEM"):
        return (TRANSACTION_ADD,)
    if target.target_entity in POINTS_ENTITIES:
        return (POINTS_EARNED,)
    if target.target_entity == "ALTERNATE_CURRENCIES":
        return (CURRENCY_EARNED,)
    return (target.event_name,)
