"""How much is measured: enough for figures, or just enough to see that everything works."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Sizes:
    """Counts, all of them. With one connection a tenth of it is sent, to the rivals a part."""

    rounds: int = 3
    connections: tuple[int, ...] = (1, 32, 128)
    workers: tuple[int, ...] = (1, 2)
    customers: int = 1_000_000
    """That each way of enrolling can draw from."""
    requests: int = 24_000
    """Enrolments in a round, or three times as many as reads."""
    limit_seconds: int = 3
    """Of pgbench in a round."""
    targets: tuple[int, ...] = (1, 3, 10)
    """That each activity moves."""
    activities: int = 150_000
    """Streamed in a round."""
    active_customers: int = 100_000
    """Whose activities they are."""
    calls: int = 500
    """Of 100 customers each, in a round of promotions."""
    settled: int = 1_000_000
    """Enrolments that are settled at one instant."""
    grown: tuple[int, ...] = (100_000, 1_000_000, 10_000_000)
    """Existing enrolments."""
    growth_requests: int = 10_000
    growth_activities: int = 100_000


FULL = Sizes()
QUICK = Sizes(
    rounds=1,
    connections=(1, 16),
    customers=20_000,
    requests=1_000,
    limit_seconds=1,
    targets=(1, 3),
    activities=4_000,
    active_customers=2_000,
    calls=20,
    settled=10_000,
    grown=(3_000, 30_000),
    growth_requests=400,
    growth_activities=2_000,
)
