"""Structured logs: one JSON object per line on standard error, with the request id when there is one.

Nothing secret is ever passed here: no header, no body, no password, no connection string. Nor anything
personal: of an exception only its type and where it came from is written, because a database's error
quotes the row.
"""

from __future__ import annotations

import logging
import sys
import traceback
from contextlib import suppress
from contextvars import ContextVar
from types import TracebackType

import msgspec

from milepost import clock

request_id: ContextVar[str] = ContextVar("request_id", default="")
"""The `X-Cap-Requestid` of the request being answered."""

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
_threshold = LEVELS["info"]
_encode = msgspec.json.Encoder(enc_hook=str).encode


def configure(level: str) -> None:
    """Write lines of `level` ("DEBUG", "INFO", "WARNING", "ERROR") and above; libraries' from WARNING."""
    global _threshold  # noqa: PLW0603 - one process, one log
    _threshold = LEVELS.get(level.lower(), LEVELS["info"])
    root = logging.getLogger()
    root.handlers[:] = [_Handler(level=logging.WARNING)]
    root.setLevel(logging.WARNING)
    sys.excepthook = _log_end


def log(event: str, level: str = "info", **fields: object) -> None:
    """Write one line. `error=` an exception adds its type and where it came from, not its values."""
    if LEVELS[level] < _threshold:
        return
    line: dict[str, object] = {"at": clock.now(), "level": level, "event": event}
    if known := request_id.get():
        line["requestId"] = known
    error = fields.pop("error", None)
    if isinstance(error, BaseException):
        frames = traceback.extract_tb(error.__traceback__)
        line["error"] = type(error).__name__
        line["trace"] = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
    # Its disk may be full, its reader gone: a request that is done all the same must not fail of that.
    with suppress(OSError):
        sys.stderr.buffer.write(_encode(line | fields) + b"\n")
        sys.stderr.buffer.flush()


def _log_end(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """What ends the process: as a line, where Python would print the message of the exception too."""
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
    else:
        log("process_ended", "error", error=error)


class _Handler(logging.Handler):
    """Brings what libraries log into the same shape; of a message the first line, for what follows it may
    quote an exception.
    """

    def emit(self, record: logging.LogRecord) -> None:
        level = record.levelname.lower()
        error = record.exc_info[1] if record.exc_info else None
        log(
            record.name,
            level if level in LEVELS else "error",
            message=record.getMessage().partition("\n")[0],
            error=error,
        )
