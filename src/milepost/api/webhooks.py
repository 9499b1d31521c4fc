"""Webhook endpoints in the vendor's form: register, list, change, delete (domain: promotions §7)."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Callable

import msgspec
from litestar import Response, delete, get, post, put

from milepost.actions.webhooks import (
    WEBHOOK_EDITS,
    Command,
    DefineWebhook,
    DeleteWebhook,
    Done,
    EditWebhook,
)
from milepost.api import wire
from milepost.api.requests import ApiRequest
from milepost.api.routes import PathId, acting_tenant, caller_of, declare, runner_of, write
from milepost.api.webhook_views import (
    CreatedWebhookView,
    WebhookView,
    created_webhook_view,
    webhook_view,
)
from milepost.database import Tenant, Tx
from milepost.errors import INVALID_INPUT, Refusal, Refused
from milepost.logs import request_id
from milepost.rules.webhooks import WebhookDraft
from milepost.runner import Moment
from milepost.store.webhooks import load_webhooks

RESOURCE = "Webhooks"
PATHS = ("/v3/webHooks", "/v3/webhooks")
"""The vendor writes both."""
ID_TEXT = {"webHookId": "the `webHookId` of an endpoint"}


class WebhookBody(msgspec.Struct):
    """An endpoint. A new one needs `name`, `webHookUrl` and `eventNames`; in a change, absent or null stays.

    The four `…EnrichmentEnabled` flags are kept and shown, and have no effect.
    """

    name: wire.Text | None = None
    """Unique in the organisation, in any case."""
    webHookUrl: wire.Text | None = None
    """Of http or https."""
    webHookType: wire.Text | None = None
    """HTTP."""
    methodType: wire.Text | None = None
    """POST."""
    webHookHeaders: dict[wire.Text, wire.Text] | None = None
    """Headers that each delivery is sent with."""
    eventNames: list[wire.Text] | None = None
    """What it is told of; a change replaces them all."""
    maxAllowedConnections: wire.Id | None = None
    """Tries at once, 1 to 100; default 10."""
    slaInSeconds: wire.Id | None = None
    """For `slaBreachTimestamp` of the log; default 3600."""
    active: bool | None = None
    """Default true. Of what happens while it is false, nothing is told; what waits, waits on."""
    tillDetailsEnrichmentEnabled: bool | None = None
    storeDetailsEnrichmentEnabled: bool | None = None
    customerIdentifiersToBeEnriched: list[wire.Text] | None = None
    """The kinds of a customer's identifiers that are told, such as mobile, email, externalId."""
    awardedReferenceEnrichmentEnabled: bool | None = None
    availablePointsBalanceEnrichmentEnabled: bool | None = None
    listenToChildEvents: bool | None = None
    """Whether it is told of what happens in connected organisations below too."""
    envelope: wire.Text | None = None
    """raw (default) or enriched."""


_body = msgspec.json.Decoder(WebhookBody)


@post(
    list(PATHS),
    opt=declare(
        RESOURCE,
        "WRITE",
        body=WebhookBody,
        answer=wire.Envelope[CreatedWebhookView],
        status=201,
        errors=(INVALID_INPUT,),
    ),
)
async def create_webhook(request: ApiRequest) -> Response[bytes]:
    """Register an endpoint. Its secret is in this answer and in no other."""
    draft = _draft(await wire.read_body(request, _body))
    caller, secret = caller_of(request), new_secret()

    def render(done: Done) -> Response[bytes]:
        assert done.webhook is not None
        org_id = caller.tenant.org_id
        view = created_webhook_view(org_id, done.webhook, done.zone, secret)
        return wire.answer(view, status=201)

    webhook_id = secrets.token_hex(12)
    command = DefineWebhook(caller.credential_id, webhook_id, secret, draft, request_id.get())
    return await edit(request, command, render)


@get(
    list(PATHS),
    opt=declare(RESOURCE, answer=wire.Envelope[list[WebhookView]]),
)
async def list_webhooks(request: ApiRequest) -> Response[bytes]:
    """List the endpoints, inactive ones too."""

    async def query(tx: Tx, tenant: Tenant, moment: Moment) -> list[WebhookView]:
        zone = moment.definitions.zone
        return [
            webhook_view(tenant.org_id, webhook, zone)
            for webhook in await load_webhooks(tx, tenant)
        ]

    return wire.answer(await runner_of(request).read(caller_of(request).tenant, query))


@put(
    [f"{path}/{{web_hook_id:str}}" for path in PATHS],
    opt=declare(
        RESOURCE,
        "WRITE",
        body=WebhookBody,
        answer=wire.Envelope[WebhookView],
        errors=(INVALID_INPUT,),
        texts=ID_TEXT,
    ),
)
async def change_webhook(request: ApiRequest, web_hook_id: PathId) -> Response[bytes]:
    """Change an endpoint. A pause that its failures brought is over."""
    draft = _draft(await wire.read_body(request, _body))
    caller = caller_of(request)

    def render(done: Done) -> Response[bytes]:
        assert done.webhook is not None
        return wire.answer(webhook_view(caller.tenant.org_id, done.webhook, done.zone))

    command = EditWebhook(caller.credential_id, web_hook_id, draft, request_id.get())
    return await edit(request, command, render)


@delete(
    [f"{path}/{{web_hook_id:str}}" for path in PATHS],
    status_code=200,
    opt=declare(
        RESOURCE, "WRITE", answer=wire.Envelope[bool], errors=(INVALID_INPUT,), texts=ID_TEXT
    ),
)
async def delete_webhook(request: ApiRequest, web_hook_id: PathId) -> Response[bytes]:
    """Delete an endpoint. What it would still have been told is dropped; the log of the rest stays."""
    command = DeleteWebhook(caller_of(request).credential_id, web_hook_id, request_id.get())
    return await edit(request, command, lambda _: wire.answer(data=True))


async def edit(
    request: ApiRequest, command: Command, render: Callable[[Done], Response[bytes]]
) -> Response[bytes]:
    """Answer what `render` makes of an edit; raises what it was refused for."""

    def render_outcome(outcome: Done | Refusal) -> Response[bytes]:
        if isinstance(outcome, Refusal):
            raise Refused(outcome.error, outcome.detail)
        return render(outcome)

    tenant = await acting_tenant(request)
    return await write(request, WEBHOOK_EDITS, tenant, command, render_outcome)


def new_secret() -> str:
    """A secret of Standard Webhooks."""
    return f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}"


def _draft(body: WebhookBody) -> WebhookDraft:
    flags = {
        "tillDetails": body.tillDetailsEnrichmentEnabled,
        "storeDetails": body.storeDetailsEnrichmentEnabled,
        "awardedReference": body.awardedReferenceEnrichmentEnabled,
        "availablePointsBalance": body.availablePointsBalanceEnrichmentEnabled,
    }
    kinds = body.customerIdentifiersToBeEnriched
    return WebhookDraft(
        name=body.name,
        url=body.webHookUrl,
        kind=body.webHookType,
        method=body.methodType,
        headers=body.webHookHeaders,
        event_names=tuple(body.eventNames) if body.eventNames is not None else None,
        connections_max=body.maxAllowedConnections,
        sla_seconds=body.slaInSeconds,
        active=body.active,
        envelope=body.envelope,
        hears_children=body.listenToChildEvents,
        enriched_identifiers=tuple(kinds) if kinds is not None else None,
        flags={name: flag for name, flag in flags.items() if flag is not None},
    )


ROUTES = (create_webhook, list_webhooks, change_webhook, delete_webhook)
