"""Promotions over the vendor's gateway: create, list and read them (domain: promotions §3.5).

Business refusals have the gateway's own envelope, transport refusals that of v3.
"""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Sequence
from dataclasses import replace
from datetime import datetime

import msgspec
from litestar import Response, get, post

from milepost.actions.events import list_events
from milepost.actions.expressions import refuse_expression
from milepost.actions.promotions import Defined, DefinePromotion
from milepost.api import queries, wire
from milepost.api.gateway_promotion_bodies import CreatePromotionBody, gateway_draft
from milepost.api.gateway_promotion_views import (
    GatewayAnswer,
    GatewayFailure,
    answer_gateway,
    gateway_view,
    refuse_gateway,
)
from milepost.api.promotion_definitions import DEFINE_ERRORS, edit
from milepost.api.promotion_views import page_view
from milepost.api.requests import ApiRequest
from milepost.api.routes import PathId, caller_of, declare, reading_tenant, runner_of
from milepost.errors import (
    ACTION_INVALID,
    END_DATE_MISSING,
    EVENT_NAME_UNKNOWN,
    FILTER_INVALID,
    INVALID_INPUT,
    INVALID_PROGRAM_ID,
    LIST_LIMIT_INVALID,
    LIST_LIMIT_TOO_LARGE,
    LIST_OFFSET_INVALID,
    LIST_PROMOTION_INVALID,
    LIST_QUERY_INCOMPLETE,
    LIST_SOURCE_TYPE_INVALID,
    ONE_RULESET_REQUIRED,
    PROMOTION_UNKNOWN,
    RULESET_INVALID,
    SOURCE_TYPE_MISSING,
    START_DATE_MISSING,
    TARGETS_MISSING,
    Error,
    Refusal,
    Refused,
)
from milepost.logs import request_id
from milepost.rules.calendar import parse_end, parse_start
from milepost.rules.definitions import Promotion
from milepost.rules.gateway_promotions import read_gateway_draft
from milepost.rules.promotion_lists import (
    ANY_BEHAVIOURAL_EVENT,
    EVERY_EVENT,
    SOURCE_TYPES,
    PromotionFilter,
    listed_promotions,
)
from milepost.rules.promotions import KNOWN_EVENTS, STATUSES
from milepost.runner import Moment

PREFIX = "/api_gateway/loyalty/v1/programs"
LIMIT_MAX = 100

_OF_A_LIST = (
    INVALID_INPUT,
    LIST_QUERY_INCOMPLETE,
    LIST_LIMIT_INVALID,
    LIST_LIMIT_TOO_LARGE,
    LIST_OFFSET_INVALID,
    EVENT_NAME_UNKNOWN,
    INVALID_PROGRAM_ID,
)
_create_body = msgspec.json.Decoder(CreatePromotionBody)


@post(
    f"{PREFIX}/{{program_id:str}}/createPromotion/{{promotion_type:str}}",
    status_code=200,
    opt=declare(
        "Customer",
        "WRITE",
        body=CreatePromotionBody,
        answer=GatewayAnswer,
        failure=GatewayFailure,
        texts={"promotionType": "SIMPLE, in any case; RANGE and KEYWORD are not supported"},
        errors=(
            *DEFINE_ERRORS,
            START_DATE_MISSING,
            END_DATE_MISSING,
            SOURCE_TYPE_MISSING,
            TARGETS_MISSING,
            ONE_RULESET_REQUIRED,
            RULESET_INVALID,
            FILTER_INVALID,
            ACTION_INVALID,
        ),
    ),
)
async def create_gateway_promotion(
    request: ApiRequest, program_id: PathId, promotion_type: PathId
) -> Response[bytes]:
    """Create a promotion in the vendor's form."""
    return await _answered(_create(request, program_id, promotion_type))


@get(
    f"{PREFIX}/promotions/list",
    opt=declare(
        "Customer",
        answer=GatewayAnswer,
        failure=GatewayFailure,
        errors=_OF_A_LIST,
        query={
            "limit": "entries in a page, 0 to 100; required",
            "offset": "the page, from 0; required",
            "program": "only those of this program",
            "status": "only those that are COMPLETED, LIVE, UPCOMING or INACTIVE",
            "activity": "only those that listen to this event; GenericEvent: to a behavioural one",
            "startDate": "with endDate: only those that run at some time between the two",
            "endDate": "with startDate",
            "promotionName": "a part of the name, in any case",
        },
    ),
)
async def list_gateway_promotions(request: ApiRequest) -> Response[bytes]:
    """List the promotions of all programs, newest id first."""
    return await _answered(_list(request))


@get(
    f"{PREFIX}/{{program_id:str}}/promotionsV2",
    opt=declare(
        "Customer",
        answer=GatewayAnswer,
        failure=GatewayFailure,
        errors=(*_OF_A_LIST, LIST_SOURCE_TYPE_INVALID, LIST_PROMOTION_INVALID),
        query={
            "limit": "entries, 0 to 100; required",
            "offset": "the index of the first, from 0; required",
            "sourceType": "only those from this source; required",
            "promotionId": "only this one",
            "includeInactivePromotions": "true: with those that are off or not approved (default false)",
            "eventName": "only those that listen to this event; GenericEvent: to a behavioural one",
            "startRuleIdentifier": "ignored",
        },
    ),
)
async def list_program_promotions(request: ApiRequest, program_id: PathId) -> Response[bytes]:
    """List the promotions of a program that come from one source, newest id first."""
    return await _answered(_list_of_program(request, program_id))


@get(
    f"{PREFIX}/{{program_id:str}}/promotions/{{promotion_id:str}}/get",
    opt=declare(
        "Customer",
        answer=GatewayAnswer,
        failure=GatewayFailure,
        errors=(INVALID_INPUT, INVALID_PROGRAM_ID, PROMOTION_UNKNOWN),
    ),
)
async def read_gateway_promotion(
    request: ApiRequest, program_id: PathId, promotion_id: PathId
) -> Response[bytes]:
    """One promotion of a program."""
    return await _answered(_read(request, program_id, promotion_id))


async def _answered(found: Awaitable[Response[bytes]]) -> Response[bytes]:
    """The answer, or what it was refused for in the gateway's envelope."""
    try:
        return await found
    except Refused as refused:
        if refused.refusal.error.family == "transport":
            raise
        return refuse_gateway(refused.refusal)


async def _create(request: ApiRequest, program: str, promotion_type: str) -> Response[bytes]:
    program_id = wire.integer(program, "programId")
    if promotion_type.upper() != "SIMPLE":
        raise Refused(INVALID_INPUT, "promotionType: only SIMPLE promotions are supported.")
    body = (await wire.read_body(request, _create_body)).promotion
    if body.programId not in (None, program_id):
        raise Refused(INVALID_INPUT, "programId: is another than that of the path.")
    moment = await queries.read_moment(request)
    draft = read_gateway_draft(
        gateway_draft(body, program_id, str(uuid.uuid4())),
        moment.definitions.zone,
        lambda text: refuse_expression(text) is None,
    )
    if isinstance(draft, Refusal):
        raise Refused(draft.error, draft.detail)
    credential = caller_of(request).credential_id

    def render(made: Defined) -> Response[bytes]:
        assert isinstance(made.made, Promotion)
        return answer_gateway([gateway_view(moment.definitions, made.made, made.now)])

    return await edit(
        request, DefinePromotion(credential, draft, "ACTIVE", request_id.get()), render
    )


async def _list(request: ApiRequest) -> Response[bytes]:
    size, number = _page_asked(request)
    event = _text(request, "activity")
    wanted = PromotionFilter(
        program_id=queries.optional_integer(request, "program"),
        statuses=queries.words(request, "status", STATUSES),
        event=event,
        name=_text(request, "promotionName"),
    )
    sent = _text(request, "startDate"), _text(request, "endDate")
    if any(sent) and not all(sent):
        raise Refused(INVALID_INPUT, "startDate and endDate go together.")
    moment = await _moment_for(request, event, wanted.program_id)
    if all(sent):
        zone = moment.definitions.zone
        starts_at = _read_date(parse_start(sent[0], zone), "startDate")
        ends_at = _read_date(parse_end(sent[1], zone), "endDate")
        wanted = replace(wanted, starts_at=starts_at, ends_at=ends_at)
    return _answer_list(moment, wanted, number * size, size, number)


async def _list_of_program(request: ApiRequest, program: str) -> Response[bytes]:
    program_id = wire.integer(program, "programId")
    size, first = _page_asked(request, "sourceType")
    source_type = _text(request, "sourceType").upper()
    if source_type not in SOURCE_TYPES:
        raise Refused(LIST_SOURCE_TYPE_INVALID, f"(one of {', '.join(SOURCE_TYPES)})")
    promotion = _text(request, "promotionId")
    event = _text(request, "eventName")
    wanted = PromotionFilter(
        program_id=program_id,
        promotion_id=_number(promotion, LIST_PROMOTION_INVALID) if promotion else None,
        only_active=not queries.flag(request, "includeInactivePromotions"),
        event=event,
        source_type=source_type,
    )
    moment = await _moment_for(request, event, program_id)
    return _answer_list(moment, wanted, first, size, first // size if size else 0)


async def _read(request: ApiRequest, program: str, promotion: str) -> Response[bytes]:
    program_id = wire.integer(program, "programId")
    promotion_id = wire.integer(promotion, "promotionId")
    moment = await _moment_for(request, "", program_id)
    found = moment.definitions.promotions.get(promotion_id)
    if found is None or found.program_id != program_id:
        raise Refused(PROMOTION_UNKNOWN)
    return answer_gateway([gateway_view(moment.definitions, found, moment.now)])


def _answer_list(
    moment: Moment, wanted: PromotionFilter, first: int, size: int, number: int
) -> Response[bytes]:
    definitions = moment.definitions
    found: Sequence[Promotion] = listed_promotions(
        definitions.promotions.values(), wanted, moment.now
    )
    views = [gateway_view(definitions, promotion, moment.now) for promotion in found[first:][:size]]
    return answer_gateway(views, page_view(number, size, len(found)))


def _page_asked(request: ApiRequest, *others: str) -> tuple[int, int]:
    """`limit` and `offset`; raises 4086 if they or `others` are missing, 4082, 4055 or 4083."""
    missing = [name for name in ("limit", "offset", *others) if not _text(request, name)]
    if missing:
        raise Refused(LIST_QUERY_INCOMPLETE, f"({', '.join(missing)})")
    size = _number(_text(request, "limit"), LIST_LIMIT_INVALID)
    if size > LIMIT_MAX:
        raise Refused(LIST_LIMIT_TOO_LARGE)
    return size, _number(_text(request, "offset"), LIST_OFFSET_INVALID)


async def _moment_for(request: ApiRequest, event: str, program_id: int | None) -> Moment:
    """What a list answers for; raises 4027 for an event, 1101 for a program that there is not."""
    moment = await queries.read_moment(request)
    if event and not await _is_event(request, moment, event):
        raise Refused(EVENT_NAME_UNKNOWN)
    if program_id is not None and program_id not in moment.definitions.programs:
        raise Refused(INVALID_PROGRAM_ID)
    return moment


async def _is_event(request: ApiRequest, moment: Moment, name: str) -> bool:
    """Whether it is an event of the vendor's, one that a promotion listens to, or one that is defined."""
    if name.upper() in {EVERY_EVENT, ANY_BEHAVIOURAL_EVENT, *KNOWN_EVENTS}:
        return True
    criteria = (each.criteria for each in moment.definitions.promotions.values())
    if any(each is not None and each.event == name for each in criteria):
        return True
    defined = await list_events(runner_of(request), await reading_tenant(request))
    return any(each.name == name for each in defined)


def _read_date(read: datetime | Refusal, name: str) -> datetime:
    if isinstance(read, Refusal):
        raise Refused(read.error, f"{name}: {read.detail}")
    return read


def _text(request: ApiRequest, name: str) -> str:
    """A parameter without blanks around it; absent = empty."""
    return str(request.query_params.get(name, "")).strip()


def _number(text: str, error: Error) -> int:
    """An integer from 0 on; raises `error` for all else."""
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise Refused(error)
    return int(text)


ROUTES = (
    create_gateway_promotion,
    list_gateway_promotions,
    list_program_promotions,
    read_gateway_promotion,
)
