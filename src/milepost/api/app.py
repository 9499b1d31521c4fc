"""The application: services, routes, error rendering."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

from litestar import Litestar, Request, Response
from litestar.exceptions import HTTPException, InternalServerException
from litestar.types import ASGIApp

from milepost import traces
from milepost.actions.tokens import Keyring
from milepost.api import (
    access,
    activities,
    audit,
    behavioural_events,
    credentials,
    customer_export,
    customer_promotions,
    customer_records,
    customers,
    enrolments,
    erasure,
    gateway_promotions,
    health,
    member_promotions,
    metrics,
    milestones,
    notifications,
    oauth,
    openapi,
    operator,
    organizations,
    promotion_bulk,
    promotion_definitions,
    sandbox_clock,
    signing_keys,
    simulations,
    target_group_names,
    target_groups,
    tills,
    tracked_events,
    transactions,
    unified_promotions,
    users,
    webhook_deliveries,
    webhooks,
    wire,
)
from milepost.api.authentication import Authenticator, authorize
from milepost.api.edge import edge
from milepost.api.idempotency import IdempotencyKeys
from milepost.api.observation import observed
from milepost.api.rate_limits import RateLimits, read_limits, routes_of
from milepost.api.requests import ApiRequest
from milepost.coalescer import Coalescer
from milepost.database import DatabaseUnavailable, database
from milepost.errors import (
    BAD_REQUEST,
    INTERNAL,
    INVALID_INPUT,
    METHOD_NOT_ALLOWED,
    NOT_FOUND,
    PAYLOAD_TOO_LARGE,
    UNAVAILABLE,
    UNSUPPORTED_MEDIA_TYPE,
    Refusal,
    Refused,
)
from milepost.listener import listen
from milepost.logs import log
from milepost.runner import Runner
from milepost.settings import Settings

ROUTES = (
    *health.ROUTES,
    *openapi.ROUTES,
    *metrics.ROUTES,
    *enrolments.ROUTES,
    *target_groups.ROUTES,
    *target_group_names.ROUTES,
    *milestones.ROUTES,
    *customers.ROUTES,
    *operator.ROUTES,
    *organizations.ROUTES,
    *credentials.ROUTES,
    *access.ROUTES,
    *oauth.ROUTES,
    *signing_keys.ROUTES,
    *tills.ROUTES,
    *sandbox_clock.ROUTES,
    *users.ROUTES,
    *customer_records.ROUTES,
    *tracked_events.ROUTES,
    *notifications.ROUTES,
    *activities.ROUTES,
    *transactions.ROUTES,
    *behavioural_events.ROUTES,
    *simulations.ROUTES,
    *promotion_definitions.ROUTES,
    *promotion_bulk.ROUTES,
    *customer_promotions.ROUTES,
    *member_promotions.ROUTES,
    *gateway_promotions.ROUTES,
    *unified_promotions.ROUTES,
    *webhooks.ROUTES,
    *webhook_deliveries.ROUTES,
    *audit.ROUTES,
    *erasure.ROUTES,
    *customer_export.ROUTES,
)

CLOSE_SECONDS = 1.0

_BY_STATUS = {
    error.status: error
    for error in (NOT_FOUND, METHOD_NOT_ALLOWED, PAYLOAD_TOO_LARGE, UNSUPPORTED_MEDIA_TYPE)
}


@dataclass(frozen=True, slots=True)
class Services:
    """What the routes of one process share."""

    settings: Settings
    runner: Runner
    coalescer: Coalescer
    authenticator: Authenticator
    keys: IdempotencyKeys
    keyring: Keyring
    rate_limits: RateLimits


def create_app(settings: Settings) -> ASGIApp:
    """The ASGI application of one worker process on a migrated `settings.database_url`."""
    app = create_litestar(settings)
    services: Services = app.state.services
    return observed(edge(app, services.keys, settings))


def create_litestar(settings: Settings) -> Litestar:
    """The routes without the edge around them: for the OpenAPI document and the tests of routes."""
    runner = Runner(database(settings.database_url, settings))
    coalescer = Coalescer(runner, settings)
    keyring = Keyring(runner, settings.secret_key, settings.credential_ttl_seconds)

    @asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncIterator[None]:
        await runner.database.open()
        tasks = [
            asyncio.create_task(listen(runner)),
            asyncio.create_task(metrics.keep_levels(runner, coalescer)),
        ]
        traces.start(settings, "worker")
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.to_thread(traces.stop)
            # The server has waited for its requests; what it gave up waiting for, nobody waits for.
            with suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_SECONDS):
                    await coalescer.close()
            await runner.database.close()

    app = Litestar(
        route_handlers=list(ROUTES),
        request_class=ApiRequest,
        before_request=admit,
        lifespan=[lifespan],
        exception_handlers={Exception: render_exception},
        # Where Litestar reads a body itself; `ApiRequest.body` has the same bound.
        request_max_body_size=settings.body_bytes_max,
        openapi_config=None,
        logging_config=None,
    )
    app.state.lags = metrics.Lags()
    app.state.services = Services(
        settings,
        runner,
        coalescer,
        Authenticator(runner, settings, keyring),
        IdempotencyKeys(runner),
        keyring,
        RateLimits(runner, read_limits(settings.rate_limits, routes_of(app))),
    )
    return app


def check_rate_limits(settings: Settings) -> None:
    """Raise `SettingError` if the setting `rate_limits` names what is no route."""
    if settings.rate_limits != Settings().rate_limits:
        create_litestar(settings)


async def admit(request: Request[Any, Any, Any]) -> wire.Answer | None:
    """Before every request: may this caller do this, and has it an answer already?"""
    await authorize(request)
    caller = request.scope.get("caller")
    if caller is None:
        return None
    services: Services = request.app.state.services
    return await services.keys.begin(request, caller)  # type: ignore[arg-type]


def render_exception(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Any exception as the envelope of the path's family; a defect is logged and says nothing."""
    path = request.scope["path"]
    if isinstance(error, Refused):
        return wire.refuse(error.refusal, path)
    if isinstance(error, DatabaseUnavailable):
        return wire.refuse(Refusal(UNAVAILABLE), path)
    malformed = BAD_REQUEST if wire.is_v2(path) else INVALID_INPUT
    if isinstance(error, InternalServerException):
        # Litestar's word for a caller who went away in the middle of a body: nobody gets this answer.
        log("caller_gone", path=path[:200])
        return wire.refuse(Refusal(malformed), path)
    if isinstance(error, HTTPException) and error.status_code < 500:
        answer = wire.refuse(Refusal(_BY_STATUS.get(error.status_code, malformed)), path)
        answer.headers.update(error.headers or {})  # Allow, of a 405
        return answer
    log("defect", "error", error=error, path=path[:200])
    return wire.refuse(Refusal(INTERNAL), path)
