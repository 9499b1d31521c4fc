"""The sandbox clock: `/milepost/v1/clock` (contract §2)."""

from __future__ import annotations

from datetime import datetime

import msgspec
from litestar import Response, get, put

from milepost.actions.sandbox_clock import read_clock, set_clock
from milepost.api import wire
from milepost.api.requests import ApiRequest
from milepost.api.routes import caller_of, declare, runner_of
from milepost.errors import INVALID_INPUT, Refusal
from milepost.rules.calendar import parse_instant


class Clock(msgspec.Struct):
    """Where the clock of a sandbox stands, as an instant."""

    now: datetime


class ClockBody(msgspec.Struct):
    """Where to move it: an instant with an offset or `Z`, not before the clock's own."""

    now: wire.Text


_clock_body = msgspec.json.Decoder(ClockBody)


@get(
    "/milepost/v1/clock",
    opt=declare("Organization", answer=wire.Envelope[Clock], errors=(INVALID_INPUT,), scoped=False),
)
async def get_clock(request: ApiRequest) -> Response[bytes]:
    """Read the clock of a sandbox organisation; a child shares its parent's."""
    return _answer(request, await read_clock(runner_of(request), caller_of(request).tenant))


@put(
    "/milepost/v1/clock",
    opt=declare(
        "Organization",
        "WRITE",
        body=ClockBody,
        answer=wire.Envelope[Clock],
        errors=(INVALID_INPUT,),
        scoped=False,
    ),
)
async def put_clock(request: ApiRequest) -> Response[bytes]:
    """Move the clock of a sandbox organisation, and of its whole hierarchy, forward.

    What falls due on the way has happened when this answers.
    """
    body = await wire.read_body(request, _clock_body)
    to = parse_instant(body.now)
    if not isinstance(to, Refusal):
        caller = caller_of(request)
        to = await set_clock(runner_of(request), caller.tenant, to, caller.credential_id)
    return _answer(request, to)


def _answer(request: ApiRequest, now: datetime | Refusal) -> Response[bytes]:
    if isinstance(now, Refusal):
        return wire.refuse(now, request.scope["path"])
    return wire.answer(Clock(now))


ROUTES = (get_clock, put_clock)
