"""What is kept for a time only, and forgotten after it: rows of the service, not of customers."""

from __future__ import annotations

from datetime import timedelta

from milepost import clock
from milepost.runner import Runner
from milepost.settings import Settings
from milepost.store.idempotency import FORGET_ROWS_MAX, forget_answers


async def forget(runner: Runner, settings: Settings) -> None:
    """Delete what is older than its setting allows, by the wall clock, in transactions of bounded size."""
    if settings.idempotency_days:
        before = clock.now() - timedelta(days=settings.idempotency_days)
        while await runner.operate(lambda tx: forget_answers(tx, before)) == FORGET_ROWS_MAX:
            pass
