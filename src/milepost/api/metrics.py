"""`GET /metrics`: the figures of all processes for Prometheus, with the operator's token."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from datetime import datetime

from litestar import Response, get

from milepost import clock
from milepost.api.requests import ApiRequest
from milepost.api.routes import coalescer_of, declare_operator, runner_of
from milepost.coalescer import Coalescer
from milepost.database import DatabaseUnavailable, Tx
from milepost.logs import log
from milepost.metrics import metrics, render
from milepost.runner import Runner
from milepost.store.backlog import load_backlog
from milepost.store.passes import load_oldest_due

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
LEVELS_SECONDS = 5.0
"""How old what a worker says of its queues and connections may be, when another one is asked."""
LAGS_SECONDS = 10.0
"""How old what was asked of the database may be."""

Asked = Mapping[str, tuple[str, float]]


@get("/metrics", opt={**declare_operator(), "documented": False})
async def show_metrics(request: ApiRequest) -> Response[bytes]:
    """Everything that is counted, as text. Without the figures of the database while it is away."""
    set_levels(runner_of(request), coalescer_of(request))
    lags: Lags = request.app.state.lags
    asked = await lags.read(runner_of(request))
    # In a thread, for there are as many figures as routes, statuses and processes.
    shown = await asyncio.to_thread(render, asked)
    return Response(shown, headers={"Content-Type": CONTENT_TYPE})


async def keep_levels(runner: Runner, coalescer: Coalescer) -> None:
    """Say again and again how full this worker is, for whichever of them is asked; for ever."""
    while True:
        set_levels(runner, coalescer)
        await asyncio.sleep(LEVELS_SECONDS)


def set_levels(runner: Runner, coalescer: Coalescer) -> None:
    """Say how full this worker is."""
    metrics().set_levels(coalescer.waiting_by_action(), runner.database.use_of_pools())


class Lags:
    """How far behind the service is; asked of the database, and then known for a while."""

    def __init__(self) -> None:
        self._asking = asyncio.Lock()
        self._known: Asked = {}
        self._known_at = -LAGS_SECONDS

    async def read(self, runner: Runner) -> Asked:
        """Gauges by name; none while the database is away."""
        async with self._asking:
            if time.monotonic() - self._known_at < LAGS_SECONDS:
                return self._known
            try:
                self._known = await runner.operate(_ask)
            except DatabaseUnavailable as error:
                log("lags_unavailable", "warning", cause=str(error))
                return {}
            self._known_at = time.monotonic()
            return self._known


async def _ask(tx: Tx) -> Asked:
    """Every figure that only the database knows: to add one, ask for it here."""
    now = clock.now()
    backlog = await load_backlog(tx, now)
    return {
        "milepost_settlement_lag_seconds": (
            "For how long the oldest due work of a real organisation has been due and not done.",
            _lag(now, await load_oldest_due(tx, now)),
        ),
        "milepost_webhook_delivery_lag_seconds": (
            "For how long the oldest delivery to a webhook of a real organisation has been due.",
            _lag(now, backlog.oldest_at),
        ),
        "milepost_webhook_deliveries_pending": (
            "Deliveries to webhooks that wait, for their first or their next attempt.",
            float(backlog.pending),
        ),
        "milepost_webhook_deliveries_dead": (
            "Deliveries to webhooks that were given up, and are still in the log.",
            float(backlog.dead),
        ),
    }


def _lag(now: datetime, oldest: datetime | None) -> float:
    return max(0.0, (now - oldest).total_seconds()) if oldest is not None else 0.0


ROUTES = (show_metrics,)
