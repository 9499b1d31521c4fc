"""The request that routes take: Litestar's, with a body that is read without ceremony."""

from __future__ import annotations

from typing import Any

from litestar import Request
from litestar.exceptions import InternalServerException

from milepost.errors import PAYLOAD_TOO_LARGE, Refused


class ApiRequest(Request[Any, Any, Any]):
    """Reads a body straight from the server. Litestar's own way parses all headers for it first, at the cost
    of a tenth of a small request.
    """

    async def body(self) -> bytes:
        """The whole body; raises 413 as soon as more is announced or sent than `body_bytes_max`."""
        known: bytes | None = self.scope.get("body")  # type: ignore[assignment]
        if known is None:
            known = await self._read()
            self.scope["body"] = known  # type: ignore[typeddict-unknown-key]
        return known

    async def _read(self) -> bytes:
        bytes_max: int = self.app.state.services.settings.body_bytes_max
        for name, value in self.scope["headers"]:
            if name == b"content-length" and int(value) > bytes_max:
                raise Refused(PAYLOAD_TOO_LARGE)
        pieces: list[bytes] = []
        size = 0
        while True:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise InternalServerException("the caller went away")
            piece: bytes = message["body"]  # type: ignore[typeddict-item]
            size += len(piece)
            if size > bytes_max:
                raise Refused(PAYLOAD_TOO_LARGE)
            if not message.get("more_body", False):
                return b"".join((*pieces, piece)) if pieces else piece
            pieces.append(piece)
