"""What becomes of a delivery: delivered, tried again and when, or given up (domain: promotions §7).

Instants are on the organisation's clock. What is random comes in as `chance`, from 0 to below 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from milepost.rules.frozen import dataclass

PENDING, DELIVERED, DEAD = "PENDING", "DELIVERED", "DEAD"
STATUSES = (PENDING, DELIVERED, DEAD)

REFUSED_FOR_GOOD = frozenset({400, 405, 410, 413, 414, 415, 422})
"""Answers that the same request will always get."""
BACKOFF_FIRST_SECONDS = 5.0
BACKOFF_SECONDS_MAX = 3_600.0
BACKOFF_SECONDS_MIN = 1.0
PAUSE_AFTER_CUSTOMERS = 5
"""So many customers in a row whose deliveries failed: then it is the receiver, and not what is sent."""

Queue = tuple[int, int]
"""Of whom deliveries to an endpoint are in order: (customer id, the organisation where it happened)."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """A notification on its way to an endpoint. `place` is among the notifications of one entry."""

    customer_id: int
    source_org_id: int
    version: int
    ordinal: int
    place: int
    event_id: str
    event_name: str
    attempts: int
    next_attempt_at: datetime
    first_attempt_at: datetime | None = None

    @property
    def queue(self) -> Queue:
        """Whose turn it is."""
        return self.customer_id, self.source_org_id


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a try: the receiver's status, or None and in `text` why there is none."""

    status: int | None
    text: str = ""
    retry_after_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Tried:
    """A delivery after a try from `started_at` to `ended_at`."""

    delivery: Delivery
    status: str
    answer: Answer
    started_at: datetime
    ended_at: datetime
    next_attempt_at: datetime


@dataclass(frozen=True, slots=True)
class Health:
    """How an endpoint does: so many pauses one after the other, the last one until `paused_until`."""

    failures: int = 0
    paused_until: datetime | None = None


def is_success(answer: Answer) -> bool:
    """Whether the receiver has it: any 2xx."""
    return answer.status is not None and 200 <= answer.status < 300


def is_refusal(answer: Answer) -> bool:
    """Whether the receiver will never take it. A redirection is none: it is not followed, and tried again."""
    return answer.status in REFUSED_FOR_GOOD


def backoff_seconds(attempts: int, chance: float) -> float:
    """How long to wait after so many attempts: exponential, with full jitter, at most an hour."""
    top = min(BACKOFF_SECONDS_MAX, BACKOFF_FIRST_SECONDS * 2.0 ** min(attempts - 1, 20))
    return max(BACKOFF_SECONDS_MIN, top * chance)


def read_retry_after(text: str) -> float:
    """The seconds of a Retry-After header, at most an hour; 0 for a date or what is no number."""
    stripped = text.strip()
    if not stripped.isascii() or not stripped.isdigit():
        return 0.0
    return min(float(stripped[:10]), BACKOFF_SECONDS_MAX)


def after_try(
    delivery: Delivery,
    answer: Answer,
    started_at: datetime,
    now: datetime,
    retry_days: float,
    chance: float,
) -> Tried:
    """A delivery after a try that ended `now`: over, or due again until `retry_days` after the first try."""
    first = delivery.first_attempt_at or started_at
    tried = replace(delivery, attempts=delivery.attempts + 1, first_attempt_at=first)
    if is_success(answer):
        return Tried(tried, DELIVERED, answer, started_at, now, now)
    if is_refusal(answer) or now >= first + timedelta(days=retry_days):
        return Tried(tried, DEAD, answer, started_at, now, now)
    seconds = max(backoff_seconds(tried.attempts, chance), answer.retry_after_seconds)
    return Tried(tried, PENDING, answer, started_at, now, now + timedelta(seconds=seconds))


def given_up(delivery: Delivery, now: datetime) -> Tried:
    """A delivery of what is no more: its customer, or what the definitions made of its entry."""
    answer = Answer(None, "It no longer follows from the journal.")
    return Tried(delivery, DEAD, answer, now, now, now)


def health_after(
    health: Health, tried: Sequence[Tried], failing: int, now: datetime, chance: float
) -> Health:
    """How an endpoint does after some tries: well once one was answered for good.

    Paused if those of many customers are `failing` since one came through, and again if the one try after a
    pause failed.
    """
    if any(is_success(each.answer) or is_refusal(each.answer) for each in tried):
        return Health()
    if not tried or (not health.failures and failing < PAUSE_AFTER_CUSTOMERS):
        return health
    failures = health.failures + 1
    asked = min(each.answer.retry_after_seconds for each in tried)
    seconds = max(backoff_seconds(failures, chance), asked)
    return Health(failures, now + timedelta(seconds=seconds))


def by_queue(deliveries: Sequence[Delivery]) -> Mapping[Queue, Sequence[Delivery]]:
    """Deliveries by whose they are, in the order in which they come."""
    found: dict[Queue, list[Delivery]] = {}
    for delivery in deliveries:
        found.setdefault(delivery.queue, []).append(delivery)
    return found
