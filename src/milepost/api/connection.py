"""One connection: uvicorn's, with bounds on the head of a request and on the patience of the server.

uvicorn hands every header on to the application and waits for ever. Here a request's line and headers are
bounded, and a connection is closed when its caller does not send the rest of a request or does not take
an answer, or sends a body too slowly. A connection has one timer, which looks a few times within the shortest
time-out; a request costs two comparisons.
"""

from __future__ import annotations

import asyncio
import os
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from milepost.api import wire
from milepost.errors import (
    BAD_REQUEST,
    HEADERS_TOO_LARGE,
    UNAVAILABLE,
    URI_TOO_LONG,
    Error,
    Refusal,
)
from milepost.settings import Settings

HEAD_BYTES_MAX = 64 * 1024
"""Of names and values of all headers together."""
HEADERS_MAX = 200
URL_BYTES_MAX = 8 * 1024
PIECE_BYTES_MAX = 256 * 1024
"""What one read of the socket may bring: a head can be larger by this before it is looked at."""
LOOKS = 4
"""How often the timer looks within the shortest time-out; that much later than it may a connection close."""


def connections(settings: Settings) -> type[Connection]:
    """The connections of a service with these settings."""

    class Bounded(Connection):
        head_timeout_seconds = settings.head_timeout_seconds
        stall_timeout_seconds = settings.stall_timeout_seconds
        body_bytes_per_second_min = settings.body_bytes_per_second_min
        connections_max = settings.connections_max

    return Bounded


class Connection(HttpToolsProtocol):
    """A connection, from the first byte to the last."""

    head_timeout_seconds: float
    stall_timeout_seconds: float
    body_bytes_per_second_min: int
    connections_max: int

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._error: Error | None = None
        self._in_head = True
        """Between requests too: from the end of a body to the end of the next head."""
        self._head_bytes = 0
        """Received of the head, or a little of what follows it."""
        now = self.loop.time()
        self._head_from: float | None = now
        self._heard_at = now
        self._taken_at = now
        self._untaken_bytes = 0
        self._answered_at: float | None = None
        """When a request was answered that has not ended yet."""
        self._body_from: float | None = None
        """When the body began that has not ended yet."""
        self._body_bytes = 0
        shortest = min(self.head_timeout_seconds, self.stall_timeout_seconds)
        self._look_seconds = shortest / LOOKS
        self._looking = self.loop.call_later(self._look_seconds, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop looking."""
        self._looking.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take in what has come; refuse a head that has grown too large without ending."""
        self._heard_at = self.loop.time()
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_from is None:
                self._head_from = self._heard_at
        else:
            self._body_bytes += len(data)
        if self._error is not None or self.parser is None:
            return  # already refused: the rest of it is of no interest
        super().data_received(data)
        if self._in_head and self._head_bytes > HEAD_BYTES_MAX + PIECE_BYTES_MAX:
            self._refuse(HEADERS_TOO_LARGE)

    def on_headers_complete(self) -> None:
        """Let the request begin, unless its head is too large."""
        large = self._head_bytes > URL_BYTES_MAX
        self._in_head, self._head_from, self._head_bytes = False, None, 0
        self._body_from, self._body_bytes = self._heard_at, 0
        if len(self.connections) > self.connections_max:
            self._fail(UNAVAILABLE)
        if len(self.headers) > HEADERS_MAX or (large and self._head_size() > HEAD_BYTES_MAX):
            self._fail(HEADERS_TOO_LARGE)
        if large and len(self.url) > URL_BYTES_MAX:
            self._fail(URI_TOO_LONG)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Wait for the next request."""
        super().on_message_complete()
        self._in_head = True
        self._answered_at = self._body_from = None

    def on_response_complete(self) -> None:
        """Wait for the next request, or a while for the rest of this one, of which nobody wants to know."""
        if not self._in_head:
            self._answered_at = self.loop.time()
        super().on_response_complete()

    def resume_writing(self) -> None:
        """The caller has taken most of what was sent."""
        self._taken_at = self.loop.time()
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is not HTTP, or what was found to be too much while it was read."""
        self._refuse(self._error or BAD_REQUEST)

    def _is_stream(self) -> bool:
        """Whether the body is taken as it comes, so that its caller may send it as it happens."""
        kinds = [value for name, value in self.headers if name == b"content-type"]
        return any(kind.partition(b";")[0].strip().lower() == wire.NDJSON for kind in kinds)

    def _head_size(self) -> int:
        return sum(len(name) + len(value) for name, value in self.headers)

    def _fail(self, error: Error) -> None:
        """End the parser's work; uvicorn then asks for `send_400_response`."""
        self._error = error
        raise ValueError(error.message)

    def _refuse(self, error: Error) -> None:
        """Answer in the connection's own name and close it."""
        self._error = error
        if self.transport.is_closing():
            return
        if self.cycle is not None and not self.cycle.response_complete:
            # The request before this one is still being answered. After that it ends.
            self.cycle.keep_alive = False
            self.pipeline.clear()
            return
        self.transport.write(_render(error, (self.url or b"").decode("latin-1")))
        self.transport.close()

    def _look(self) -> None:
        """Close the connection if its caller lets it wait too long."""
        now = self.loop.time()
        if self._is_stalled(now):
            self.transport.abort()
        else:
            self._looking = self.loop.call_later(self._look_seconds, self._look)

    def _is_stalled(self, now: float) -> bool:
        untaken = self.transport.get_write_buffer_size()
        if untaken == 0 or untaken < self._untaken_bytes:
            self._taken_at = now
        self._untaken_bytes = untaken
        if untaken:
            # Who still sends a stream may read what is answered to it later.
            return now - max(self._taken_at, self._heard_at) > self.stall_timeout_seconds
        if self._head_from is not None:
            return now - self._head_from > self.head_timeout_seconds
        if self._answered_at is not None:
            return now - self._answered_at > self.head_timeout_seconds
        if self._in_head:
            return False
        if self.flow.read_paused:
            # While this side does not read, the caller is not to blame.
            if self._body_from is not None:
                self._body_from += self._look_seconds
            return False
        return now - self._heard_at > self.stall_timeout_seconds or self._dribbles(now)

    def _dribbles(self, now: float) -> bool:
        """Whether a body has taken longer than its bytes may, a stall's time on top."""
        if self._body_from is None or not self.body_bytes_per_second_min or self._is_stream():
            return False
        allowed = self._body_bytes / self.body_bytes_per_second_min + self.stall_timeout_seconds
        return now - self._body_from > allowed


def _render(error: Error, url: str) -> bytes:
    """A whole answer, with a request id as every other."""
    answer = wire.refuse(Refusal(error), url.partition("?")[0])
    head: dict[str, Any] = {
        "content-type": "application/json",
        "content-length": len(answer.content),
        "connection": "close",
        "x-cap-requestid": os.urandom(16).hex(),
        **answer.headers,
    }
    lines = [f"HTTP/1.1 {error.status} {HTTPStatus(error.status).phrase}"]
    lines += [f"{name}: {value}" for name, value in head.items()]
    return "\r\n".join([*lines, "", ""]).encode() + answer.content
