"""What is counted and traced of every request: plain ASGI around all else, refusals of the edge included."""

from __future__ import annotations

import time

from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send

from milepost import traces
from milepost.logs import request_id
from milepost.metrics import metrics


def observed(app: ASGIApp) -> ASGIApp:
    """Wrap `app`: each request is counted by its route's template and, if that is configured, traced."""
    counts = metrics()

    async def counted(scope: HTTPScope, receive: Receive, send: Send) -> int:
        """Answer a request; returns its status, 0 if it has got none."""
        status = 0

        async def send_and_look(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        began = time.perf_counter()
        counts.requests_in_flight += 1
        try:
            await app(scope, receive, send_and_look)
        finally:
            counts.requests_in_flight -= 1
            seconds = time.perf_counter() - began
            counts.observe_request(scope["method"], _route(scope), status, seconds)
        return status

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await app(scope, receive, send)
        elif traces.tracing():
            with traces.request_span(scope["headers"]) as opened:
                status = await counted(scope, receive, send)
                traces.describe_request(
                    opened, scope["method"], _route(scope), status, request_id.get()
                )
        else:
            await counted(scope, receive, send)

    return wrapped


def _route(scope: HTTPScope) -> str:
    """The template that Litestar found; empty where none was looked for or found."""
    return scope.get("path_template", "")
