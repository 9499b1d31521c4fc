"""Bodies in, envelopes out: what all routes of a family share (contract §3).

Bodies are decoded from the raw bytes by msgspec's strict decoder, whatever the Content-Type: a string
or a fraction is no integer, a bool is no number. Every struct bounds its numbers and texts.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Generic, TypeVar

import msgspec
from litestar import Litestar, Request, Response
from litestar.response.base import ASGIResponse
from litestar.types import Receive, Scope, Send
from litestar.types.asgi_types import HTTPResponseBodyEvent, HTTPResponseStartEvent

from milepost.errors import (
    BAD_REQUEST,
    INVALID_INPUT,
    UNSUPPORTED_MEDIA_TYPE,
    Refusal,
    Refused,
)

T = TypeVar("T")

NDJSON = b"application/x-ndjson"
INT64_MAX = 2**63 - 1
Id = Annotated[int, msgspec.Meta(ge=-(2**63), le=INT64_MAX)]
"""An id in a body: any int64; one that names nothing is the business of the rule."""
Text = Annotated[str, msgspec.Meta(max_length=10_000)]

# An escape that stands for the character NUL: its backslash is not itself escaped.
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
_INTEGER = re.compile(r"-?[0-9]{1,19}", re.ASCII)

encode = msgspec.json.Encoder(decimal_format="number").encode


class ErrorItem(msgspec.Struct):
    """One error of the v3 family."""

    code: int
    message: str


class WarningItem(msgspec.Struct):
    """One warning of the v3 family."""

    code: int | None
    message: str


class Envelope(msgspec.Struct, Generic[T]):
    """What every v3, v3.1 and `/milepost/v1` route answers."""

    data: T | None
    errors: list[ErrorItem] | None = None
    warnings: list[WarningItem] | None = None


class V2ErrorItem(msgspec.Struct):
    """One error of the v2 family; `status` is always false."""

    status: bool
    code: int
    message: str


class V2Failure(msgspec.Struct):
    """What a v2 route answers when it refuses."""

    errors: list[V2ErrorItem]
    warnings: list[Any]


class Answer(Response[bytes]):
    """JSON that is encoded already. It goes straight to the server: Litestar's own way merges layers
    of headers and cookies that no route here has, at a tenth of the cost of a small request.
    """

    def to_asgi_response(
        self, app: Litestar | None, request: Request[Any, Any, Any], **_: Any
    ) -> ASGIResponse:
        """The answer as the messages that the server takes."""
        return Messages(self)


class Messages(ASGIResponse):
    """An answer on its way to the server."""

    __slots__ = ("_answer",)

    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the two messages of a whole answer."""
        answer = self._answer
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(answer.content)).encode()),
        ]
        headers += [(name.lower().encode(), text.encode()) for name, text in answer.headers.items()]
        start: HTTPResponseStartEvent = {
            "type": "http.response.start",
            "status": answer.status_code or 200,
            "headers": headers,
        }
        body: HTTPResponseBodyEvent = {
            "type": "http.response.body",
            "body": answer.content,
            "more_body": False,
        }
        await send(start)
        await send(body)


def is_v2(path: str) -> bool:
    """Whether the path is of the v2 family, v2.1 included."""
    return path.startswith(("/v2/", "/v2.1/")) or path in ("/v2", "/v2.1")


def is_ndjson(request: Request[Any, Any, Any]) -> bool:
    """Whether the body is said to be NDJSON: the only Content-Type that anything depends on."""
    for name, value in request.scope["headers"]:
        if name == b"content-type":
            media_type: bytes = value.partition(b";")[0].strip().lower()
            return media_type == NDJSON
    return False


def integer(text: str, name: str) -> int:
    """A path or query integer of the v3 family; raises 300004 for all that is not an int64."""
    if _INTEGER.fullmatch(text):
        value = int(text)
        if -INT64_MAX - 1 <= value <= INT64_MAX:
            return value
    raise Refused(INVALID_INPUT, f"{name} must be an integer of 64 bits.")


async def read_body(request: Request[Any, Any, Any], decoder: msgspec.json.Decoder[T]) -> T:
    """The body as `decoder`'s type; raises 300004, or 400 on a v2 route, saying where it is wrong.

    415 for a compressed body.
    """
    refuse_encoding(request)
    malformed = BAD_REQUEST if is_v2(request.scope["path"]) else INVALID_INPUT
    body = await request.body()
    if has_nul(body):
        # PostgreSQL takes none, and one in a batch would spoil its neighbours.
        raise Refused(malformed, "A text holds the character NUL.")
    try:
        # As text, because the decoder does not look at the bytes of fields that it ignores.
        return decoder.decode(body.decode())
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        # A validation message says what was expected and where; the others may hold raw bytes.
        detail = (
            str(error) if isinstance(error, msgspec.ValidationError) else "The body is not JSON"
        )
        raise Refused(malformed, f"{detail}.") from None


def refuse_encoding(request: Request[Any, Any, Any]) -> None:
    """Raise 415 for a compressed body: its size says nothing of what it would unpack to."""
    for name, value in request.scope["headers"]:
        if name == b"content-encoding" and value.strip().lower() not in (b"", b"identity"):
            raise Refused(UNSUPPORTED_MEDIA_TYPE)


def has_nul(body: bytes) -> bool:
    """Whether a JSON text holds the character NUL, which is only possible as an escape."""
    return b"\\u0000" in body and _NUL.search(body) is not None


def answer(data: object, *, status: int = 200, warnings: object = None) -> Response[bytes]:
    """A v3 success."""
    return Answer(encode({"data": data, "errors": None, "warnings": warnings}), status_code=status)


def answer_v2(fields: object, *, status: int = 200) -> Response[bytes]:
    """A v2 success: the fields themselves."""
    return Answer(encode(fields), status_code=status)


def refuse(refusal: Refusal, path: str) -> Answer:
    """The refusal in the envelope of the path's family."""
    error, message = refusal.error, refusal.message
    body: dict[str, Any]
    if is_v2(path):
        item = {"status": False, "code": error.code, "message": message}
        body = {"errors": [item], "warnings": []}
    else:
        body = {
            "data": None,
            "errors": [{"code": error.code, "message": message}],
            "warnings": None,
        }
    return Answer(encode(body), status_code=error.status, headers=_headers(refusal))


def _headers(refusal: Refusal) -> dict[str, str]:
    if refusal.error.status in (429, 503):
        return {"Retry-After": str(refusal.retry_after_seconds)}
    if refusal.error.status == 401:
        return {"WWW-Authenticate": 'Basic realm="milepost", charset="UTF-8"'}
    return {}
