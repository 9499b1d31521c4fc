"""Behavioural events: define them, and push them as the vendor's clients do (domain: promotions §6.4)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from litestar import Response, get, post

from milepost.actions.events import DEFINE_EVENT, DefineEvent, list_events, plan_event
from milepost.api import wire
from milepost.api.activity_bodies import exact
from milepost.api.activity_results import Outcome, record
from milepost.api.customers import V2Warning
from milepost.api.requests import ApiRequest
from milepost.api.routes import acting_tenant, caller_of, declare, reading_tenant, runner_of, write
from milepost.errors import BAD_REQUEST, CUSTOMER_NOT_FOUND, INVALID_INPUT, Refusal
from milepost.logs import request_id
from milepost.rules.activities import Activity
from milepost.rules.events import FIELDS_MAX, EventDefinition, EventField

RESOURCE = "Behavioural Events"
PUSH_PATH = "/v2/events/push"
UNIQUENESS = "uniquenessCheckEnabled"
PUSHED = 1100


class EventFieldBody(msgspec.Struct):
    """An attribute. What has `isUniqueKeyField` is part of what makes two events the same."""

    name: wire.Text
    type: wire.Text
    isRequired: bool | None = None
    isUniqueKeyField: bool | None = None


class EventBody(msgspec.Struct):
    """An event to define."""

    eventName: wire.Text
    actions: list[wire.Text]
    """EMFConsumer, EIConsumer."""
    description: wire.Text | None = None
    fields: Annotated[list[EventFieldBody], msgspec.Meta(max_length=FIELDS_MAX)] | None = None


class EventView(msgspec.Struct, kw_only=True):
    """An event that can be pushed; its attributes stay as they are."""

    eventName: str
    description: str
    actions: list[str]
    fields: list[EventFieldBody]
    status: str = "PUBLISHED"


class EventDefined(EventView, kw_only=True):
    """The event as it was defined."""

    warnings: list[V2Warning]
    errors: list[wire.V2ErrorItem]


class EventsDefined(msgspec.Struct):
    """The organisation's events, oldest first."""

    events: list[EventView]
    warnings: list[V2Warning]
    errors: list[wire.V2ErrorItem]


class WebHookBody(msgspec.Struct):
    """What a push shall do. All else that the vendor asks for is as it is with every route."""

    uniquenessCheckEnabled: bool | None = None


class WebHook(msgspec.Struct):
    """Where to push to, with the same credentials."""

    webHookUri: str
    warnings: list[V2Warning]
    errors: list[wire.V2ErrorItem]


class PushStatus(msgspec.Struct):
    """1100: it was taken."""

    code: int
    message: str


class Pushed(msgspec.Struct):
    """The answer to a push."""

    status: PushStatus
    requestId: str


_event_body = msgspec.json.Decoder(EventBody)
_web_hook_body = msgspec.json.Decoder(WebHookBody)
_payload = msgspec.json.Decoder(dict[str, Any], float_hook=exact)


@post(
    "/v2/events",
    status_code=200,
    opt=declare(RESOURCE, "WRITE", body=EventBody, answer=EventDefined),
)
async def define_event(request: ApiRequest) -> Response[bytes]:
    """Define a behavioural event. It can be pushed at once and does not change any more."""
    body = await wire.read_body(request, _event_body)
    definition = EventDefinition(
        body.eventName,
        tuple(body.actions),
        tuple(
            EventField(field.name, field.type, bool(field.isRequired), bool(field.isUniqueKeyField))
            for field in body.fields or ()
        ),
        body.description or "",
    )
    caller = caller_of(request)
    path = request.scope["path"]

    def render(made: EventDefinition | Refusal) -> Response[bytes]:
        if isinstance(made, Refusal):
            return wire.refuse(made, path)
        return wire.answer_v2(EventDefined(**_fields(made), warnings=[], errors=[]))

    command = DefineEvent(definition, caller.credential_id)
    return await write(request, DEFINE_EVENT, await acting_tenant(request), command, render)


@get("/v2/events", opt=declare(RESOURCE, answer=EventsDefined))
async def list_defined_events(request: ApiRequest) -> Response[bytes]:
    """List the behavioural events, oldest first."""
    found = await list_events(runner_of(request), await reading_tenant(request))
    return wire.answer_v2(EventsDefined([EventView(**_fields(each)) for each in found], [], []))


@post(
    "/v2/events/webhook",
    status_code=200,
    opt=declare(RESOURCE, "WRITE", body=WebHookBody, answer=WebHook, scoped=False),
)
async def make_web_hook(request: ApiRequest) -> Response[bytes]:
    """Ask for the URI to push events to."""
    body = await wire.read_body(request, _web_hook_body)
    query = f"?{UNIQUENESS}=true" if body.uniquenessCheckEnabled else ""
    uri = f"{str(request.base_url).rstrip('/')}{PUSH_PATH}{query}"
    return wire.answer_v2(WebHook(uri, [], []))


@post(
    PUSH_PATH,
    status_code=200,
    opt=declare(
        RESOURCE,
        "WRITE",
        body=dict[str, Any],
        answer=Pushed,
        errors=(BAD_REQUEST, CUSTOMER_NOT_FOUND),
        query={UNIQUENESS: "true: an event whose unique attributes are known is not counted again"},
    ),
)
async def push_event(request: ApiRequest) -> Response[bytes]:
    """Push a behavioural event: `event_name`, what names the customer, `eventDateTime` and attributes.

    When this answers, the event is recorded. One that is not defined is refused.
    """
    payload = await wire.read_body(request, _payload)
    tenant, runner = await acting_tenant(request), runner_of(request)
    unique = request.query_params.get(UNIQUENESS, "").strip().lower() == "true"
    identity = request_id.get()
    planned = await plan_event(runner, tenant, payload, identity, unique=unique)
    path = request.scope["path"]
    if not isinstance(planned, Activity):
        return _pushed(planned, identity, path)
    refused: list[Refusal] = []

    def render(outcomes: Sequence[Outcome]) -> Response[bytes]:
        (outcome,) = outcomes
        refusal = outcome if isinstance(outcome, Refusal) else None
        if refusal is not None and refusal.error is INVALID_INPUT:
            refusal = Refusal(BAD_REQUEST, refusal.detail)
        refused[:] = [refusal] if refusal is not None else []
        return _pushed(refusal, identity, path)

    answered = await record(request, tenant, [planned], render)
    if refused and refused[0].error is BAD_REQUEST:
        # The same event may have been quicker: then it is known by now.
        again = await plan_event(runner, tenant, payload, identity, unique=unique)
        if again is None:
            return _pushed(None, identity, path)
    return answered


def _pushed(refusal: Refusal | None, identity: str, path: str) -> Response[bytes]:
    if refusal is not None:
        return wire.refuse(refusal, path)
    status = PushStatus(PUSHED, "Event is pushed to transformation state")
    return wire.answer_v2(Pushed(status, identity))


def _fields(definition: EventDefinition) -> dict[str, Any]:
    return {
        "eventName": definition.name,
        "description": definition.description,
        "actions": list(definition.actions),
        "fields": [
            EventFieldBody(field.name, field.type, field.required, field.unique)
            for field in definition.fields
        ],
    }


ROUTES = (define_event, list_defined_events, make_web_hook, push_event)
