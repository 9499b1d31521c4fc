"""Tills that an organisation makes for itself: `POST /v2/orgEntity/till`, the vendor's call."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from litestar import Response, post

from milepost.actions.credentials import TillDraft, create_till
from milepost.api import wire
from milepost.api.idempotency import keyed_of
from milepost.api.requests import ApiRequest
from milepost.api.routes import caller_of, declare, runner_of, taken_answer
from milepost.errors import BAD_REQUEST, STORE_INVALID, TILL_NAME_TAKEN, Refusal, Refused

Short = Annotated[str, msgspec.Meta(max_length=200)]


class TillBody(msgspec.Struct):
    """A new till; `name` and `password` are what it signs in with."""

    name: Short
    password: Short
    storeId: wire.Id
    description: wire.Text | None = None
    billable: bool | None = None
    """Default true; kept, and of no meaning here."""


class TillCreated(msgspec.Struct):
    """The till's id."""

    createdId: int
    warnings: list[Any]


_till_body = msgspec.json.Decoder(TillBody)


@post(
    "/v2/orgEntity/till",
    status_code=200,
    opt=declare(
        "Organization",
        "WRITE",
        body=TillBody,
        answer=TillCreated,
        errors=(STORE_INVALID, TILL_NAME_TAKEN),
    ),
)
async def create_org_till(request: ApiRequest) -> Response[bytes]:
    """Make a till in one of the organisation's stores; it inherits what it may do.

    It must not be allowed more than the caller is: 403.
    """
    body = await wire.read_body(request, _till_body)
    if not body.name.strip() or ":" in body.name or not body.name.isprintable():
        raise Refused(BAD_REQUEST, "name must be printable, not blank, and without a colon.")
    if not body.password.strip():
        raise Refused(BAD_REQUEST, "password must not be blank.")
    caller = caller_of(request)
    draft = TillDraft(
        body.name,
        body.password,
        body.storeId,
        body.description or "",
        body.billable is not False,
    )
    keyed = keyed_of(request.scope)
    call = keyed.call(lambda outcomes: _created(outcomes[0])) if keyed is not None else None
    made = await create_till(
        runner_of(request), caller.tenant, caller.access, caller.credential_id, draft, call
    )
    if isinstance(made, Refusal):
        return wire.refuse(made, request.scope["path"])
    if isinstance(made, int):
        return _created(made)
    return await taken_answer(request)


def _created(till_id: int) -> Response[bytes]:
    return wire.answer_v2(TillCreated(till_id, []))


ROUTES = (create_org_till,)
