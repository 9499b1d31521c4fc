"""Record activities: `POST /milepost/v1/activities`, as a JSON array or as NDJSON (contract §5)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from litestar import Response, post

from milepost.api import wire
from milepost.api.activity_bodies import (
    ELEMENTS_MAX,
    ActivityBody,
    Unreadable,
    decode_activity,
    read_elements,
)
from milepost.api.activity_results import Outcome, ResultView, record, results, submit, undone
from milepost.api.activity_stream import LINE_BYTES_MAX, Line, Streamed
from milepost.api.requests import ApiRequest
from milepost.api.routes import acting_tenant, coalescer_of, declare
from milepost.coalescer import Coalescer
from milepost.database import Tenant
from milepost.errors import (
    INVALID_INPUT,
    UNAVAILABLE,
    UNSUPPORTED_MEDIA_TYPE,
    Refusal,
)
from milepost.rules.activities import Activity

PAUSES_SECONDS = (0.1, 0.2, 0.5, 1.0, 2.0, 2.0, 2.0)
"""Before each further try of what is refused with 503 in a stream, which nobody wants to send again:
a restart of the database fits in."""

Activities = Annotated[list[ActivityBody], msgspec.Meta(max_length=ELEMENTS_MAX)]

_TOO_LONG = Unreadable(
    None, Refusal(INVALID_INPUT, f"A line must have at most {LINE_BYTES_MAX:,} bytes.")
)
_encode_lines = msgspec.json.Encoder(decimal_format="number").encode_lines


@post(
    "/milepost/v1/activities",
    status_code=200,
    opt={
        **declare(
            "Transaction",
            "WRITE",
            body=Activities,
            answer=wire.Envelope[list[ResultView]],
            errors=(INVALID_INPUT, UNSUPPORTED_MEDIA_TYPE),
        ),
        "lines": (ActivityBody, ResultView),
    },
)
async def record_activities(request: ApiRequest) -> Response[Any]:
    """Record what customers did: an array of up to 1,000 activities, or any number as NDJSON.

    Each is decided on by itself, in order. NDJSON has one in a line, and is answered line by line.
    """
    if wire.is_ndjson(request):
        wire.refuse_encoding(request)
        stream = _Stream(coalescer_of(request), await acting_tenant(request))
        folder = request.app.state.services.settings.data_dir
        return Streamed(stream.answer, folder if folder.is_dir() else None)
    decoded = [decode_activity(element) for element in await read_elements(request)]
    activities = [each for each in decoded if isinstance(each, Activity)]
    tenant = await acting_tenant(request)
    return await record(
        request, tenant, activities, lambda outcomes: wire.answer(results(decoded, outcomes))
    )


class _Stream:
    """Records the lines of one call, window by window, in order."""

    def __init__(self, coalescer: Coalescer, tenant: Tenant) -> None:
        self._coalescer = coalescer
        self._tenant = tenant
        self._pauses_seconds: Sequence[float] = PAUSES_SECONDS
        self._before: asyncio.Future[frozenset[int]] = asyncio.get_running_loop().create_future()
        self._before.set_result(frozenset())

    async def answer(self, lines: Sequence[Line]) -> bytes:
        """The results of some lines, a line each."""
        decoded = [_TOO_LONG if line is None else decode_activity(line) for line in lines]
        activities = [each for each in decoded if isinstance(each, Activity)]
        before, here = self._before, asyncio.get_running_loop().create_future()
        self._before = here
        try:
            outcomes = await submit(self._coalescer, self._tenant, activities)
            here.set_result(await self._repeat(activities, outcomes, await before))
        finally:
            here.cancel()  # does nothing to one that has its result
        return _encode_lines(results(decoded, outcomes))

    async def _repeat(
        self, activities: Sequence[Activity], outcomes: list[Outcome], missed: frozenset[int]
    ) -> frozenset[int]:
        """Replace the outcomes of what was not done, after repeating it some times.

        `missed` are the customers of whom the window before had to repeat something, while this one
        was being recorded already. Returns those of this window.
        """
        repeated: set[int] = set()
        again = undone(activities, outcomes, missed)
        for seconds in self._pauses_seconds:
            if not again:
                break
            await asyncio.sleep(seconds)
            part = [activities[place] for place in again]
            repeated.update(activity.customer_id for activity in part)
            for place, outcome in zip(
                again, await submit(self._coalescer, self._tenant, part), strict=True
            ):
                outcomes[place] = outcome
            again = undone(activities, outcomes)
        for place in again:
            outcomes[place] = Refusal(UNAVAILABLE)
            repeated.add(activities[place].customer_id)
        if outcomes:
            # Who has waited in vain does not wait again before something has been done.
            in_vain = len(again) == len(outcomes)
            self._pauses_seconds = () if in_vain else PAUSES_SECONDS
        return frozenset(repeated)


ROUTES = (record_activities,)
