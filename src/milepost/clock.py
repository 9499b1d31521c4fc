"""The wall clock. No other file reads it (ruff's DTZ and a house test hold that).

A sandbox organisation has a clock of its own, which stands still until it is moved: it is a row of
the database (`orgs.sandbox_now`), loaded with each batch, and only its fallback is here.
"""

from __future__ import annotations

from datetime import UTC, datetime


def now() -> datetime:
    """The current instant: aware, UTC, microseconds."""
    return datetime.now(UTC)
