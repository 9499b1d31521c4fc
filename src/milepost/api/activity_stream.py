"""NDJSON in, NDJSON out, at the pace of both sides and in bounded memory (contract §5).

A plain ASGI conversation: one reader of `receive`, one writer of `send`. What is read waits until the
windows before it are recorded, so who sends too fast is slowed down. The answer waits on disk for who
does not read yet, as many callers don't before they have sent all; only when too much of it waits,
they are slowed down too.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import IO, Any

from litestar import Litestar, Request, Response
from litestar.response.base import ASGIResponse
from litestar.types import Receive, Scope, Send
from litestar.types.asgi_types import HTTPResponseBodyEvent, HTTPResponseStartEvent

LINE_BYTES_MAX = 1024 * 1024
WINDOW_LINES_MAX = 2_000
WINDOW_BYTES_MAX = 2 * 1024 * 1024
"""A window takes no further line from there on."""
WINDOWS_IN_FLIGHT_MAX = 2

WAITING_IN_MEMORY_BYTES_MAX = 1024 * 1024
WAITING_BYTES_MAX = 1024 * 1024 * 1024
"""Of an answer that its caller does not read: from there on, no further window is recorded."""
PIECE_BYTES_MAX = 256 * 1024
"""Read from disk at once."""

Line = bytes | None
"""Without its end; None for one that is longer than `LINE_BYTES_MAX`."""
AnswerLines = Callable[[Sequence[Line]], Awaitable[bytes]]
"""The lines that answer a window. It is called for the next window before it has answered the last."""


class Streamed(Response[bytes]):
    """The answer to NDJSON: what `answer` makes of the lines of the request, window by window.

    What cannot be held in memory waits in a nameless file in `folder`; None: where such files go.
    """

    def __init__(self, answer: AnswerLines, folder: Path | None) -> None:
        super().__init__(b"")
        self._answer = answer
        self._folder = folder

    def to_asgi_response(
        self, app: Litestar | None, request: Request[Any, Any, Any], **_: Any
    ) -> ASGIResponse:
        """The conversation, which then gets the server's own `receive` and `send`."""
        return _Conversation(self._answer, self._folder)


class _Conversation(ASGIResponse):
    __slots__ = ("_answer", "_folder")

    def __init__(self, answer: AnswerLines, folder: Path | None) -> None:
        self._answer = answer
        self._folder = folder

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read, answer and write until both directions have ended."""
        backlog = Backlog(self._folder)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(_write(backlog, send))
                await _read(receive, self._answer, backlog)
                backlog.end()
        finally:
            backlog.close()


async def _read(receive: Receive, answer: AnswerLines, backlog: Backlog) -> None:
    """Put the answers into `backlog`, in order, until the request has ended or its caller is gone.

    A window is what has come while the ones before it were recorded: a single line of a caller who
    waits for each answer, thousands of one who doesn't.
    """
    lines = Lines()
    receiving: asyncio.Future[Any] | None = None
    windows: deque[asyncio.Future[bytes]] = deque()
    try:
        while True:
            while lines.waiting and len(windows) < WINDOWS_IN_FLIGHT_MAX:
                await backlog.room()
                windows.append(asyncio.ensure_future(answer(lines.take())))
            if receiving is None and not lines.ended and not lines.full():
                receiving = asyncio.ensure_future(receive())
            awaited = [each for each in (receiving, *list(windows)[:1]) if each is not None]
            if not awaited:
                return
            await asyncio.wait(awaited, return_when=asyncio.FIRST_COMPLETED)
            if windows and windows[0].done():
                backlog.put(windows.popleft().result())
            if receiving is not None and receiving.done():
                message, receiving = receiving.result(), None
                if message["type"] == "http.disconnect":
                    return
                lines.feed(message.get("body", b""), last=not message.get("more_body", False))
    finally:
        # Of a caller who is gone, or a service that stops: what has not begun is not done.
        for task in (receiving, *windows):
            if task is not None:
                task.cancel()


async def _write(backlog: Backlog, send: Send) -> None:
    """Send what comes into `backlog`, until its end."""
    piece = await backlog.take()
    # Not sooner: who asked to be told to go on with a body takes a status for a refusal.
    start: HTTPResponseStartEvent = {
        "type": "http.response.start",
        "status": 200,
        "headers": [(b"content-type", b"application/x-ndjson")],
    }
    await send(start)
    more = True
    while more:
        more = bool(piece)
        body: HTTPResponseBodyEvent = {
            "type": "http.response.body",
            "body": piece,
            "more_body": more,
        }
        await send(body)
        if more:
            piece = await backlog.take()


class Lines:
    """The lines of a body that comes in pieces, blank ones left out; those not yet taken wait here."""

    def __init__(self) -> None:
        self.ended = False
        self.waiting: deque[Line] = deque()
        self._waiting_bytes = 0
        self._begun = bytearray()
        self._too_long = False

    def full(self) -> bool:
        """Whether there is a whole window waiting."""
        return len(self.waiting) >= WINDOW_LINES_MAX or self._waiting_bytes >= WINDOW_BYTES_MAX

    def feed(self, piece: bytes, *, last: bool) -> None:
        """Take in a piece; the last one ends its line even without a line end."""
        *ended, begun = piece.split(b"\n")
        for part in ended:
            self._go_on(part)
            self._end_line()
        self._go_on(begun)
        if last:
            self._end_line()
            self.ended = True

    def take(self) -> list[Line]:
        """The next window: at least one line, if any is waiting."""
        window: list[Line] = []
        size = 0
        while self.waiting and len(window) < WINDOW_LINES_MAX and size < WINDOW_BYTES_MAX:
            line = self.waiting.popleft()
            window.append(line)
            size += len(line or b"")
        self._waiting_bytes -= size
        return window

    def _go_on(self, part: bytes) -> None:
        if len(self._begun) + len(part) > LINE_BYTES_MAX:
            self._too_long = True
            self._begun.clear()
        if not self._too_long:
            self._begun += part

    def _end_line(self) -> None:
        if self._too_long:
            self.waiting.append(None)
            self._too_long = False
        elif self._begun and not self._begun.isspace():
            self.waiting.append(bytes(self._begun))
            self._waiting_bytes += len(self._begun)
        self._begun.clear()


class Backlog:
    """An answer on its way out: first in, first out, a little of it in memory, the rest on disk."""

    def __init__(
        self,
        folder: Path | None = None,
        *,
        memory_bytes_max: int = WAITING_IN_MEMORY_BYTES_MAX,
        bytes_max: int = WAITING_BYTES_MAX,
    ) -> None:
        self._folder = folder
        self._memory_bytes_max = memory_bytes_max
        self._bytes_max = bytes_max
        self._pieces: deque[bytes] = deque()
        self._memory_bytes = 0
        self._file: IO[bytes] | None = None
        self._file_from = 0
        self._file_to = 0
        self._ended = False
        self._changed = asyncio.Event()

    def put(self, piece: bytes) -> None:
        """Add to the end."""
        if self._file_to == 0 and self._memory_bytes < self._memory_bytes_max:
            self._pieces.append(piece)
            self._memory_bytes += len(piece)
        else:
            # Behind what is in memory, so from here on all goes to the file until that is sent.
            if self._file is None:
                self._file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115 - closed by `close`
            self._file.seek(self._file_to)
            self._file.write(piece)
            self._file_to += len(piece)
        self._changed.set()

    async def take(self) -> bytes:
        """Take from the front, waiting for it if need be; empty: that was all."""
        while not self._waiting_bytes and not self._ended:
            await self._change()
        if self._pieces:
            piece = self._pieces.popleft()
            self._memory_bytes -= len(piece)
        else:
            piece = self._read()
        self._changed.set()
        return piece

    async def room(self) -> None:
        """Wait until there may be more."""
        while self._waiting_bytes >= self._bytes_max:
            await self._change()

    def end(self) -> None:
        """Nothing more will be added."""
        self._ended = True
        self._changed.set()

    def close(self) -> None:
        """Give the disk back."""
        if self._file is not None:
            self._file.close()

    @property
    def _waiting_bytes(self) -> int:
        return self._memory_bytes + self._file_to - self._file_from

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    def _read(self) -> bytes:
        if self._file is None or self._file_from == self._file_to:
            return b""
        self._file.seek(self._file_from)
        piece = self._file.read(min(PIECE_BYTES_MAX, self._file_to - self._file_from))
        self._file_from += len(piece)
        if self._file_from == self._file_to:
            self._file_from = self._file_to = 0
            self._file.truncate(0)
        return piece
