"""All that is kept of a customer: `GET /milepost/v1/customers/{customerId}/export` (docs/privacy.md).

A line of NDJSON for each thing, read page by page and sent at the reader's pace: in bounded memory
whatever there is, and without a transaction that waits for somebody to read on.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import msgspec
from litestar import Litestar, Request, Response, get
from litestar.response.base import ASGIResponse
from litestar.types import Receive, Scope, Send
from litestar.types.asgi_types import HTTPResponseBodyEvent, HTTPResponseStartEvent

from milepost.actions.exports import note_export
from milepost.api import export_lines as lines
from milepost.api import wire
from milepost.api.requests import ApiRequest
from milepost.api.routes import PathId, caller_of, declare, reading_tenant, runner_of
from milepost.database import DatabaseUnavailable, Tenant, Tx
from milepost.errors import INVALID_INPUT, INVALID_USER, Refused
from milepost.rules.definitions import Definitions
from milepost.runner import Moment, Runner
from milepost.store.exports import (
    FIRST,
    load_activities,
    load_earns,
    load_issuals,
    load_redemptions,
)
from milepost.store.views import (
    JournalLine,
    Page,
    RewardLine,
    Standing,
    load_journal,
    load_rewards,
    load_standing,
)

NDJSON = "application/x-ndjson"
ROWS_AT_ONCE = 1_000
"""Rows that are read, and held in memory, at once."""

T = TypeVar("T")
Key = tuple[Any, ...]
"""What a page comes after."""
_encode_lines = msgspec.json.Encoder(decimal_format="number").encode_lines


class Interrupted(Exception):
    """The customer was erased while they were being exported: the answer has no last line then."""


@dataclass(frozen=True, slots=True)
class Chapter(Generic[T]):
    """One kind of rows: how the next ones after a key are loaded (None: the customer is gone), the lines
    that each comes to, and its key. `first` is before every key.
    """

    load: Callable[[Tx, Tenant, int, Key, int], Awaitable[Sequence[T] | None]]
    lines: Callable[[T, Definitions], list[object]]
    key: Callable[[T], Key]
    first: Key


async def _load_rewards(
    tx: Tx, tenant: Tenant, customer_id: int, after: Key, count: int
) -> Sequence[RewardLine] | None:
    return await load_rewards(tx, tenant, customer_id, Page(count, after=after[0]))


async def _load_journal(
    tx: Tx, tenant: Tenant, customer_id: int, after: Key, count: int
) -> Sequence[JournalLine] | None:
    return await load_journal(tx, tenant, customer_id, Page(count, after=after[0]))


CHAPTERS: Sequence[Chapter[Any]] = (
    Chapter(
        load_issuals, lines.issual_lines, lambda row: (row.promotion_id, row.id), (FIRST, FIRST)
    ),
    Chapter(load_earns, lines.earn_lines, lambda row: (row.promotion_id, row.id), (FIRST, FIRST)),
    Chapter(
        load_redemptions,
        lines.redemption_lines,
        lambda row: (row.promotion_id, row.paid_for),
        (FIRST, ""),
    ),
    Chapter(_load_rewards, lines.reward_lines, lambda row: (row.reward_id,), (FIRST,)),
    Chapter(load_activities, lines.activity_lines, lambda row: (row.id,), ("",)),
    Chapter(_load_journal, lines.explanation_lines, lambda row: (row.id,), (0,)),
)


class LineStream(Response[bytes]):
    """An answer of lines, which are made while they are sent."""

    def __init__(self, pages: AsyncIterator[bytes]) -> None:
        super().__init__(b"")
        self._pages = pages

    def to_asgi_response(
        self, app: Litestar | None, request: Request[Any, Any, Any], **_: Any
    ) -> ASGIResponse:
        """The sending, which then gets the server's own `receive` and `send`."""
        return _Sending(self._pages)


class _Sending(ASGIResponse):
    __slots__ = ("_pages",)

    def __init__(self, pages: AsyncIterator[bytes]) -> None:
        self._pages = pages

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send page after page, until there are none or nobody reads any more."""
        gone = asyncio.create_task(_gone(receive))
        start: HTTPResponseStartEvent = {
            "type": "http.response.start",
            "status": 200,
            "headers": [(b"content-type", NDJSON.encode())],
        }
        try:
            await send(start)
            with suppress(Interrupted, DatabaseUnavailable):
                async for page in self._pages:
                    if gone.done():
                        return
                    await send(_body(page, more=True))
            await send(_body(b"", more=False))
        finally:
            gone.cancel()
            with suppress(asyncio.CancelledError):
                await gone


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _body(content: bytes, *, more: bool) -> HTTPResponseBodyEvent:
    return {"type": "http.response.body", "body": content, "more_body": more}


@get(
    "/milepost/v1/customers/{customer_id:str}/export",
    opt={
        **declare("Customer", answer=lines.ExportLine, errors=(INVALID_INPUT, INVALID_USER)),
        "answer_media_type": NDJSON,
    },
)
async def export_customer(request: ApiRequest, customer_id: PathId) -> Response[Any]:
    """All that the organisation keeps of a customer, as NDJSON: a line for each thing, its `kind` first.

    The last line is of the kind `end`: an answer without it is not whole.
    """
    customer = wire.integer(customer_id, "customerId")
    tenant, runner = await reading_tenant(request), runner_of(request)
    credential = caller_of(request).credential_id

    async def read(tx: Tx, tenant: Tenant, moment: Moment) -> tuple[Standing, Moment] | None:
        standing = await load_standing(tx, tenant, customer)
        return (standing, moment) if standing is not None else None

    found = await runner.read(tenant, read)
    if found is None:
        raise Refused(INVALID_USER)
    standing, moment = found
    await note_export(runner, tenant, moment.now, credential, customer)
    first = lines.standing_lines(standing, moment.definitions)
    return LineStream(_export(runner, tenant, customer, first))


async def _export(
    runner: Runner, tenant: Tenant, customer: int, first: list[object]
) -> AsyncIterator[bytes]:
    """The export, page by page, each read in a transaction of its own."""
    count = len(first)
    yield _encode_lines(first)
    for chapter in CHAPTERS:
        after = chapter.first
        while rows := await _page(runner, tenant, customer, chapter, after):
            told, after = rows
            count += len(told)
            yield _encode_lines(told)
    yield _encode_lines([lines.EndLine(lines=count)])


async def _page(
    runner: Runner, tenant: Tenant, customer: int, chapter: Chapter[Any], after: Key
) -> tuple[list[object], Key] | None:
    """The lines of the next rows of a chapter, and the key of the last; None at its end."""

    async def read(tx: Tx, tenant: Tenant, moment: Moment) -> tuple[list[object], Key] | None:
        rows = await chapter.load(tx, tenant, customer, after, ROWS_AT_ONCE)
        if rows is None:
            raise Interrupted
        if not rows:
            return None
        told = [line for row in rows for line in chapter.lines(row, moment.definitions)]
        return told, chapter.key(rows[-1])

    return await runner.read(tenant, read)


ROUTES = (export_customer,)
