"""What a customer has of promotions: enrolments, earned records, and what has been redeemed (contract §7).

A record lives from the instant it was made to before its expiry, unless it was revoked or replaced. Its
expiry is fixed when it is made (domain: promotions §8, Q6).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import NamedTuple
from zoneinfo import ZoneInfo

from milepost.rules.calendar import EARLIEST_AT, add_days
from milepost.rules.definitions import UNLIMITED, Expiry, Promotion, RedemptionLimit
from milepost.rules.effects import Changes, Earn, Issual, Usage

WINDOWS = {"DAILY": timedelta(days=1), "WEEKLY": timedelta(days=7), "MONTHLY": timedelta(days=30)}
"""How far a moving window looks back from each event (domain: promotions §1.6)."""
REVOKED = "REVOKED"
REPLACED = "REPLACED"
EXPIRED = "EXPIRED"


class Redeemed(NamedTuple):
    """One redemption of a customer, as far as later ones depend on it."""

    paid_for: str
    occurred_at: datetime
    points: Decimal


@dataclass(slots=True)
class Holding:
    """What is known of one customer in one promotion, as this batch has left it.

    Counts are lifetime ones, dummies left out. `issual` is the enrolment that has not been ended; it may
    be past its expiry. `earns` are the records that a decision may be about, by id, oldest first.
    `times` and `points` are what was redeemed in all, `redeemed` the redemptions one by one as far back
    as a window may look; all three are loaded only where something depends on them.
    """

    issuals: int = 0
    revoked_issuals: int = 0
    earned: int = 0
    revoked_earns: int = 0
    issual: Issual | None = None
    earns: dict[int, Earn] = field(default_factory=dict)
    times: int = 0
    points: Decimal = Decimal(0)
    redeemed: list[Redeemed] = field(default_factory=list)

    def live_earns(self, now: datetime) -> list[Earn]:
        """The records that can be revoked and, while they last, collected from."""
        return [earn for earn in self.earns.values() if is_live(earn, now)]


@dataclass(slots=True)
class Standings:
    """What a batch loads of promotions, beside who there is."""

    holdings: dict[int, dict[int, Holding]] = field(default_factory=dict)
    """By customer id, then by promotion id."""
    usage: dict[int, Usage] = field(default_factory=dict)
    """By promotion id: of those whose use by all customers is counted."""
    seen: dict[int, int] = field(default_factory=dict)
    """By promotion id: the redemptions by all customers when that was loaded."""
    redeemed: dict[int, list[datetime]] = field(default_factory=dict)
    """By promotion id: the dates of everybody's redemptions in order, as far back as a window may look."""

    def holding(self, customer_id: int, promotion_id: int) -> Holding:
        """The customer's holding, to read and to write."""
        return self.holdings.setdefault(customer_id, {}).setdefault(promotion_id, Holding())


@dataclass(slots=True)
class Lookback:
    """Up to when windows of a promotion look back over everybody's redemptions: for occasions dated from
    the first to the last of each of `dates`, `length` at most. Of a window it is enough to know the last
    `most` redemptions: then every limit is reached.
    """

    length: timedelta
    most: int
    dates: set[tuple[datetime, datetime]] = field(default_factory=set)

    def spans(self) -> Iterator[tuple[datetime, datetime, int | None]]:
        """What has to be known: stretches without overlap, each from after its begin up to its end, and how
        many of its last redemptions are enough; None for all.

        One stretch for all dates would not do: what it has of late ones may leave out the early ones.
        """
        known = EARLIEST_AT
        for first, last in sorted(self.dates):
            if last > known:
                yield max(known, first - self.length), last, self.most if first == last else None
                known = last


def is_live(record: Issual | Earn, now: datetime) -> bool:
    """Whether a record has neither been ended nor reached its expiry."""
    return record.ended_at is None and now < record.expires_at


def live_issual(holding: Holding, now: datetime) -> Issual | None:
    """The customer's enrolment; an expired or revoked one is none, and so is a dummy."""
    issual = holding.issual
    if issual is None or issual.is_dummy or not is_live(issual, now):
        return None
    return issual


def expiry(rule: Expiry, made_at: datetime, zone: ZoneInfo, *bounds: datetime) -> datetime:
    """When a record that is made now lapses: by its own rule, and no later than any of `bounds` (Q6).

    `bounds` are the promotion's end and, of an earned record, its enrolment's expiry. Days are calendar
    days at the same local time in the organisation's `zone` (contract §4, "Dates").
    """
    ends = list(bounds)
    if rule.type == "CUSTOM" and rule.days is not None:
        ends.append(add_days(made_at, rule.days, zone))
    return min(ends)


def is_used_up(count: int, revoked: int, limit: int, *, restores: bool) -> bool:
    """Whether a limit leaves no further one. What is revoked still counts, unless revoking restores."""
    return limit != UNLIMITED and (count - revoked if restores else count) >= limit


def count_within(dates: Sequence[datetime], window: str, at: datetime) -> int:
    """How many of the dates, which are in order, a moving window of an event at `at` has: those after its
    begin, up to the event.
    """
    return bisect_right(dates, at) - bisect_right(dates, at - WINDOWS[window])


def customer_limits(promotion: Promotion) -> Sequence[RedemptionLimit]:
    """The limits for which a customer's own redemptions have to be known."""
    return [limit for limit in promotion.redemption_limits if limit.on == "CUSTOMER"]


def windows_of_all(promotion: Promotion) -> Sequence[RedemptionLimit]:
    """The limits of everybody's redemptions within a window."""
    return [
        limit
        for limit in promotion.redemption_limits
        if limit.on == "PROMOTION" and limit.window is not None
    ]


def total_usage(changes: Iterable[Changes]) -> dict[int, Usage]:
    """What the changes use of promotions, together, by promotion id."""
    total: dict[int, Usage] = {}
    for change in changes:
        for promotion_id, usage in change.usage.items():
            total.setdefault(promotion_id, Usage()).add(usage)
    return total


def winners(changes: Sequence[Changes], claimed: Container[int], full: Container[int]) -> set[int]:
    """The customers whose changes stand, once it is known whose version was `claimed` and which
    promotions are `full`.

    Who uses a full promotion loses; and so does whose refusal leans on a use that does not stand.
    """
    standing = {c.customer_id: c for c in changes if c.only_leans or c.customer_id in claimed}
    undone = {p for c in changes if c.customer_id not in standing for p in c.usage}
    while True:
        losers = [
            c
            for c in standing.values()
            if any(p in full for p in c.usage) or not c.leans_on.isdisjoint(undone)
        ]
        if not losers:
            return set(standing)
        for loser in losers:
            del standing[loser.customer_id]
            undone |= loser.usage.keys()
