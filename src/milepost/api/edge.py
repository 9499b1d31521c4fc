"""The outermost layer: a request id on every answer, a bound on requests, kept answers, the line in the log.

Plain ASGI around the application, because a framework's hooks miss its own 404s and cost as much as
the rest of a small request.
"""

from __future__ import annotations

import asyncio
import os
import time
from typing import Any

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send
from litestar.types.asgi_types import HTTPResponseStartEvent

from milepost.api import wire
from milepost.api.idempotency import IdempotencyKeys, keyed_of
from milepost.errors import UNAVAILABLE, Refusal
from milepost.logs import log, request_id
from milepost.settings import Settings


def edge(app: ASGIApp, keys: IdempotencyKeys, settings: Settings) -> ASGIApp:
    """Wrap `app`; what `settings.log_requests` says is logged, and `keys` keep what leaves.

    A request beyond `settings.requests_in_flight_max` is answered 503 before anything of it is read.
    """
    log_requests = settings.log_requests
    in_flight = 0

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await app(scope, receive, send)
            return
        identity = os.urandom(16).hex()
        request_id.set(identity)
        nonlocal in_flight
        header = (b"x-cap-requestid", identity.encode())
        began = time.perf_counter()
        status = 0
        held: list[HTTPResponseStartEvent] = []

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], header]
            await send(message)

        async def send_kept(message: Message) -> None:
            """Send an answer that the caller's key keeps, once it is kept."""
            keyed = keyed_of(scope)
            if keyed is None:
                await send_with_id(message)
            elif message["type"] == "http.response.start":
                held.append(message)
            else:
                begun = held.pop()
                body = message["body"]  # type: ignore[typeddict-item]
                instead = await keys.keep(keyed, begun["status"], body)
                if instead is not None:
                    await wire.Messages(instead)(scope, receive, send_with_id)
                    return
                await send_with_id(begun)
                await send_with_id(message)

        async def refuse() -> None:
            unavailable = wire.refuse(Refusal(UNAVAILABLE), scope["path"])
            await wire.Messages(unavailable)(scope, receive, send_with_id)

        in_flight += 1
        try:
            if in_flight > settings.requests_in_flight_max:
                await refuse()
            else:
                await app(scope, receive, send_kept)
        except asyncio.CancelledError:
            # The service stops and waits no longer. Whether it was done, its caller learns by asking again.
            if status:
                raise
            await refuse()
        finally:
            in_flight -= 1
            if (keyed := keyed_of(scope)) is not None:
                keys.end(keyed)
            if log_requests != "none" and (log_requests == "all" or _noteworthy(status)):
                _log(scope, status, time.perf_counter() - began)

    return wrapped


def _noteworthy(status: int) -> bool:
    return status >= 500 or status in (0, 401, 403, 413, 429)


def _log(scope: Any, status: int, seconds: float) -> None:
    # The path without its query: a query holds identifiers of people.
    log(
        "request",
        "error" if status >= 500 and status != 503 else "info",
        method=scope["method"],
        path=scope["path"][:200],
        status=status,
        milliseconds=round(seconds * 1000, 2),
    )
