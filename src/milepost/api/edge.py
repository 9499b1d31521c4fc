"""The outermost layer: a request id on every answer, whoever makes it, and the line in the log.

Plain ASGI around the application, because a framework's hooks miss its own 404s and cost as much as
the rest of a small request.
"""

from __future__ import annotations

import os
import time
from typing import Any

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from milepost.logs import log, request_id


def edge(app: ASGIApp, log_requests: str) -> ASGIApp:
    """Wrap `app`; `log_requests` is "all", "errors" (5xx, 401, 403, 413, 429) or "none"."""

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await app(scope, receive, send)
            return
        identity = os.urandom(16).hex()
        request_id.set(identity)
        header = (b"x-cap-requestid", identity.encode())
        began = time.perf_counter()
        status = 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], header]
            await send(message)

        try:
            await app(scope, receive, send_with_id)
        finally:
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
