"""What was delivered to webhook endpoints, and again: the log, dead letters, replay, secrets (domain:
promotions §7).
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime

import msgspec
from litestar import Response, get, post

from milepost import logs
from milepost.actions.webhooks import Done, RenewSecret, Replay, unknown_webhook
from milepost.api import queries, wire
from milepost.api.requests import ApiRequest
from milepost.api.routes import PathId, caller_of, declare, reading_tenant, runner_of
from milepost.api.webhook_views import DeliveryView, ReplayView, SecretView, delivery_view
from milepost.api.webhooks import ID_TEXT, PATHS, RESOURCE, edit, new_secret
from milepost.database import Tenant, Tx
from milepost.errors import INVALID_INPUT, Refusal, Refused
from milepost.rules.calendar import parse_instant, written_instant
from milepost.rules.deliveries import DEAD, STATUSES
from milepost.rules.webhooks import OLD_SECRET_HOURS, OLD_SECRET_HOURS_MAX
from milepost.runner import Moment
from milepost.store.webhooks import (
    LogLine,
    load_of_event,
    load_of_request,
    load_of_webhook,
    load_webhooks,
)

LINES_MAX = 1_000
LINES_DEFAULT = 100
OFFSET_MAX = 10_000_000
EVENT_IDS_MAX = 10_000
REQUEST_CHARACTERS_MAX = 200

_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII | re.IGNORECASE)
_REF = re.compile(r"([0-9]{1,18})_(.+)", re.ASCII)
_PAGE = {
    "limit": f"lines at most, 1 to {LINES_MAX:,} (default {LINES_DEFAULT})",
    "offset": "lines to leave out before (default 0)",
    "customerId": "only those about this customer",
}


class ReplayBody(msgspec.Struct):
    """What to deliver again: `eventIds`, whatever became of them; or all that happened from `since` on; or,
    with neither, all dead letters.
    """

    eventIds: list[wire.Text] | None = None
    since: wire.Text | None = None
    """An instant with an offset or `Z`."""


class SecretBody(msgspec.Struct):
    """How a secret is renewed; the body may be left out."""

    oldSecretHours: wire.Id | None = None
    """How long the one before signs too, 0 to 168; default 24."""


_secret_body = msgspec.json.Decoder(SecretBody)
_replay_body = msgspec.json.Decoder(ReplayBody)
_log = declare(
    RESOURCE,
    answer=wire.Envelope[list[DeliveryView]],
    errors=(INVALID_INPUT,),
    texts={
        "requestId": "the `X-Cap-Requestid` of the call behind the events",
        "refId": "the `refId` of an event",
        "eventId": "the `eventId` of an event",
    },
)


@get([f"{path}/eventLog/requestId/{{request_id:str}}" for path in PATHS], opt=_log)
async def request_log(request: ApiRequest, request_id: PathId) -> Response[bytes]:
    """The deliveries of what one call did: one for each event and endpoint."""
    wanted = _bounded(request_id, "requestId")

    async def lines(tx: Tx, tenant: Tenant) -> list[LogLine]:
        return await load_of_request(tx, tenant, wanted, None, LINES_MAX)

    return wire.answer(await _read(request, lines))


@get([f"{path}/eventLog/refId/{{ref_id:str}}" for path in PATHS], opt=_log)
async def ref_log(request: ApiRequest, ref_id: PathId) -> Response[bytes]:
    """The deliveries of what one call did in one organisation."""
    found = _REF.fullmatch(_bounded(ref_id, "refId"))
    if found is None:
        raise Refused(INVALID_INPUT, "refId is an organisation's id and a request's, joined by _.")

    async def lines(tx: Tx, tenant: Tenant) -> list[LogLine]:
        return await load_of_request(tx, tenant, found[2], int(found[1]), LINES_MAX)

    return wire.answer(await _read(request, lines))


@get([f"{path}/eventLog/{{event_id:str}}" for path in PATHS], opt=_log)
async def event_log(request: ApiRequest, event_id: PathId) -> Response[bytes]:
    """The deliveries of one event: one for each endpoint."""
    wanted = _uuid(event_id)

    async def lines(tx: Tx, tenant: Tenant) -> list[LogLine]:
        return await load_of_event(tx, tenant, wanted, LINES_MAX)

    return wire.answer(await _read(request, lines))


@get(
    "/milepost/v1/webhooks/{web_hook_id:str}/deliveries",
    opt=declare(
        RESOURCE,
        answer=wire.Envelope[list[DeliveryView]],
        errors=(INVALID_INPUT,),
        query={"status": "only those that are PENDING, DELIVERED or DEAD", **_PAGE},
        texts=ID_TEXT,
    ),
)
async def list_deliveries(request: ApiRequest, web_hook_id: PathId) -> Response[bytes]:
    """The deliveries of an endpoint, customer by customer, each in the order in which they go."""
    status = request.query_params.get("status", "").strip().upper() or None
    if status not in (None, *STATUSES):
        raise Refused(INVALID_INPUT, f"status must be one of {', '.join(STATUSES)}.")
    return await _page(request, web_hook_id, status)


@get(
    "/milepost/v1/webhooks/{web_hook_id:str}/dead-letters",
    opt=declare(
        RESOURCE,
        answer=wire.Envelope[list[DeliveryView]],
        errors=(INVALID_INPUT,),
        query=_PAGE,
        texts=ID_TEXT,
    ),
)
async def list_dead_letters(request: ApiRequest, web_hook_id: PathId) -> Response[bytes]:
    """What an endpoint refused for good, or has not taken for a week."""
    return await _page(request, web_hook_id, DEAD)


@post(
    "/milepost/v1/webhooks/{web_hook_id:str}/replay",
    status_code=200,
    opt=declare(
        RESOURCE,
        "WRITE",
        body=ReplayBody,
        answer=wire.Envelope[ReplayView],
        errors=(INVALID_INPUT,),
        texts=ID_TEXT,
    ),
)
async def replay_deliveries(request: ApiRequest, web_hook_id: PathId) -> Response[bytes]:
    """Deliver again, each customer's in order. The event ids stay the same."""
    body = await wire.read_body(request, _replay_body)
    if body.eventIds is not None and body.since is not None:
        raise Refused(INVALID_INPUT, "eventIds and since exclude each other.")
    event_ids = None
    if body.eventIds is not None:
        if not 1 <= len(body.eventIds) <= EVENT_IDS_MAX:
            raise Refused(INVALID_INPUT, f"eventIds must be 1 to {EVENT_IDS_MAX:,}.")
        event_ids = tuple(_uuid(each) for each in body.eventIds)
    since = _instant(body.since) if body.since is not None else None
    credential_id, call_id = caller_of(request).credential_id, logs.request_id.get()
    return await edit(
        request,
        Replay(credential_id, web_hook_id, event_ids, since, call_id),
        lambda done: wire.answer(ReplayView(replayed=done.replayed)),
    )


@post(
    "/milepost/v1/webhooks/{web_hook_id:str}/secret",
    status_code=200,
    opt=declare(
        RESOURCE,
        "WRITE",
        body=SecretBody,
        answer=wire.Envelope[SecretView],
        errors=(INVALID_INPUT,),
        texts=ID_TEXT,
    ),
)
async def renew_secret(request: ApiRequest, web_hook_id: PathId) -> Response[bytes]:
    """Make a new secret. Until the one before ends, each delivery has the signatures of both."""
    body = SecretBody()
    if (await request.body()).strip():
        body = await wire.read_body(request, _secret_body)
    hours = OLD_SECRET_HOURS if body.oldSecretHours is None else body.oldSecretHours
    if not 0 <= hours <= OLD_SECRET_HOURS_MAX:
        raise Refused(INVALID_INPUT, f"oldSecretHours must be 0 to {OLD_SECRET_HOURS_MAX}.")
    secret = new_secret()

    def render(done: Done) -> Response[bytes]:
        assert done.old_secret_until is not None
        until = written_instant(done.old_secret_until)
        return wire.answer(SecretView(secret=secret, old_secret_until=until))

    credential_id, call_id = caller_of(request).credential_id, logs.request_id.get()
    command = RenewSecret(credential_id, web_hook_id, secret, hours, call_id)
    return await edit(request, command, render)


async def _page(request: ApiRequest, webhook_id: str, status: str | None) -> Response[bytes]:
    limit = queries.integer(request, "limit", LINES_DEFAULT, 1, LINES_MAX)
    offset = queries.integer(request, "offset", 0, 0, OFFSET_MAX)
    customer = queries.optional_integer(request, "customerId")

    async def lines(tx: Tx, tenant: Tenant) -> list[LogLine]:
        return await load_of_webhook(tx, tenant, webhook_id, status, customer, limit, offset)

    return wire.answer(await _read(request, lines, webhook_id))


async def _read(
    request: ApiRequest,
    lines: Callable[[Tx, Tenant], Awaitable[Sequence[LogLine]]],
    webhook_id: str | None = None,
) -> list[DeliveryView]:
    """Lines of the log; 300004 if they are to be of an endpoint that there is not."""

    async def query(tx: Tx, tenant: Tenant, moment: Moment) -> list[DeliveryView] | None:
        webhooks = {webhook.id: webhook for webhook in await load_webhooks(tx, tenant)}
        if webhook_id is not None and webhook_id not in webhooks:
            return None
        return [
            delivery_view(line, webhooks.get(line.webhook_id)) for line in await lines(tx, tenant)
        ]

    found = await runner_of(request).read(await reading_tenant(request), query)
    if found is None:
        refusal = unknown_webhook()
        raise Refused(refusal.error, refusal.detail)
    return found


def _uuid(text: str) -> str:
    if _UUID.fullmatch(text) is None:
        raise Refused(INVALID_INPUT, "eventId must be a UUID.")
    return text.lower()


def _bounded(text: str, name: str) -> str:
    if len(text) > REQUEST_CHARACTERS_MAX or "\x00" in text:
        raise Refused(INVALID_INPUT, f"{name} must not be longer than {REQUEST_CHARACTERS_MAX}.")
    return text


def _instant(text: str) -> datetime:
    at = parse_instant(text)
    if isinstance(at, Refusal):
        raise Refused(at.error, f"since: {at.detail}")
    return at


ROUTES = (
    request_log,
    ref_log,
    event_log,
    list_deliveries,
    list_dead_letters,
    replay_deliveries,
    renew_secret,
)
