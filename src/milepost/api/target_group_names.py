"""Whether a definition may have a name: `…/targetGroups/isValidName` (domain: milestones §3.5)."""

from __future__ import annotations

import msgspec
from litestar import Response, post

from milepost.api import queries, wire
from milepost.api.requests import ApiRequest
from milepost.api.routes import declare, under_all_prefixes
from milepost.api.target_group_bodies import NameBody
from milepost.errors import INVALID_INPUT, INVALID_NAME_TYPE, Refusal, Refused
from milepost.rules.names import name_is_free

_name_body = msgspec.json.Decoder(NameBody)


@post(
    under_all_prefixes("/targetGroups/isValidName"),
    status_code=200,
    opt=declare(
        "Target Loyalty",
        body=NameBody,
        answer=wire.Envelope[bool],
        errors=(INVALID_INPUT, INVALID_NAME_TYPE),
    ),
)
async def is_valid_name(request: ApiRequest) -> Response[bytes]:
    """Whether a new definition may have the name: true = free. The case of letters does not matter."""
    body = await wire.read_body(request, _name_body)
    moment = await queries.read_moment(request)
    free = name_is_free(moment.definitions, body.type, body.value)
    if isinstance(free, Refusal):
        raise Refused(free.error, free.detail)
    return wire.answer(free)


ROUTES = (is_valid_name,)
