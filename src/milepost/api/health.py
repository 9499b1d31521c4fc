"""`/health/live` and `/health/ready`: for whoever keeps the service running. No credentials."""

from __future__ import annotations

import msgspec
from litestar import Response, get

from milepost.api import wire
from milepost.api.requests import ApiRequest
from milepost.api.routes import declare_public, runner_of
from milepost.database import DatabaseUnavailable
from milepost.errors import UNAVAILABLE, Refused


class Health(msgspec.Struct):
    """`status` is "live" or "ready"."""

    status: str


@get("/health/live", opt=declare_public(answer=wire.Envelope[Health]))
async def live(request: ApiRequest) -> Response[bytes]:
    """The process answers."""
    return wire.answer(Health("live"))


@get("/health/ready", opt=declare_public(answer=wire.Envelope[Health], errors=(UNAVAILABLE,)))
async def ready(request: ApiRequest) -> Response[bytes]:
    """The process answers and reaches its database; 503 otherwise."""
    try:
        await runner_of(request).database.ping()
    except DatabaseUnavailable:
        raise Refused(UNAVAILABLE) from None
    return wire.answer(Health("ready"))


ROUTES = (live, ready)
