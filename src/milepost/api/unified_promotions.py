"""Unified promotions: drafted, approved, replaced, paused and stopped (domain: promotions §2.3, §3.8).

The path of a change of status is ours: the vendor publishes none.
"""

from __future__ import annotations

import msgspec
from litestar import Response, delete, get, post, put

from milepost.actions.promotions import (
    ChangeState,
    Command,
    Defined,
    DefinePromotion,
    DiscardDraft,
    ReplacePromotion,
    Review,
)
from milepost.api import queries, wire
from milepost.api.promotion_definitions import DEFINE_ERRORS, edit
from milepost.api.promotion_views import page_view
from milepost.api.requests import ApiRequest
from milepost.api.routes import PathId, caller_of, declare
from milepost.api.unified_promotion_bodies import (
    ReviewBody,
    StateBody,
    UnifiedPromotionBody,
    unified_draft,
)
from milepost.api.unified_promotion_views import (
    UnifiedPromotionsView,
    UnifiedPromotionView,
    unified_view,
)
from milepost.errors import INVALID_INPUT, PROMOTION_NOT_PUBLISHED, PROMOTION_UNKNOWN, Refused
from milepost.logs import request_id
from milepost.rules.definitions import Promotion
from milepost.rules.promotion_lists import APPROVAL_STATUSES, PromotionFilter, listed_promotions
from milepost.rules.promotions import UNIFIED_ID_DIGITS, read_unified_id

SIZE, SIZE_MAX = 10, 100
PAGE_MAX = 10**9

_OF_ONE = {"promotionId": "the 24 hexadecimal digits of `id`, or the decimal promotionId"}
_QUERY = {
    "includeDraftDetails": "true: with the draft of a published promotion (default false)",
    "includeParentDetails": "true: with `parentDetails`, which are null here: a draft is shown within "
    "its promotion (default false)",
}

_promotion_body = msgspec.json.Decoder(UnifiedPromotionBody)
_review_body = msgspec.json.Decoder(ReviewBody)
_state_body = msgspec.json.Decoder(StateBody)


@post(
    "/v3/promotions",
    opt=declare(
        "Customer",
        "WRITE",
        body=UnifiedPromotionBody,
        answer=wire.Envelope[UnifiedPromotionView],
        status=201,
        errors=DEFINE_ERRORS,
    ),
)
async def draft_promotion(request: ApiRequest) -> Response[bytes]:
    """Make a promotion as a draft, to be approved."""
    body = await wire.read_body(request, _promotion_body)
    command = DefinePromotion(_credential(request), unified_draft(body), "DRAFT", request_id.get())
    return await _edit(request, command, status=201)


@put(
    "/v3/promotions/{promotion_id:str}",
    opt=declare(
        "Customer",
        "WRITE",
        body=UnifiedPromotionBody,
        answer=wire.Envelope[UnifiedPromotionView],
        errors=(*DEFINE_ERRORS, PROMOTION_NOT_PUBLISHED),
        texts=_OF_ONE,
    ),
)
async def replace_promotion(request: ApiRequest, promotion_id: PathId) -> Response[bytes]:
    """Replace a promotion by what is sent; a published one keeps running, and this waits as its draft.

    Program, type and event stay, and so does the start once it has come.
    """
    number = _id(promotion_id)
    draft = unified_draft(await wire.read_body(request, _promotion_body))
    command = ReplacePromotion(_credential(request), number, draft, request_id.get())
    return await _edit(request, command)


@get(
    "/v3/promotions",
    opt=declare(
        "Customer",
        answer=wire.Envelope[UnifiedPromotionsView],
        errors=(INVALID_INPUT,),
        query={
            "searchText": "a part of the name or description, in any case",
            "status": f"some of {', '.join(APPROVAL_STATUSES)}, divided by commas",
            "page": "from 0 (default 0)",
            "size": f"promotions in a page, 1 to {SIZE_MAX} (default {SIZE})",
            "includeDraftDetails": f"{_QUERY['includeDraftDetails']}; then `status` finds drafts too",
        },
    ),
)
async def list_unified_promotions(request: ApiRequest) -> Response[bytes]:
    """List the promotions, newest id first."""
    with_draft = queries.flag(request, "includeDraftDetails")
    page = queries.integer(request, "page", 0, 0, PAGE_MAX)
    size = queries.integer(request, "size", SIZE, 1, SIZE_MAX)
    wanted = PromotionFilter(
        statuses=queries.words(request, "status", APPROVAL_STATUSES),
        drafts_too=with_draft,
        text=request.query_params.get("searchText", "").strip(),
    )
    moment = await queries.read_moment(request)
    found = listed_promotions(moment.definitions.promotions.values(), wanted, moment.now)
    views = [
        unified_view(moment.definitions, each, moment.now, with_draft=with_draft)
        for each in found[page * size :][:size]
    ]
    return wire.answer(UnifiedPromotionsView(views, page_view(page, size, len(found))))


@get(
    "/v3/promotions/{promotion_id:str}",
    opt=declare(
        "Customer",
        answer=wire.Envelope[UnifiedPromotionView],
        errors=(INVALID_INPUT, PROMOTION_NOT_PUBLISHED),
        query=_QUERY,
        texts=_OF_ONE,
    ),
)
async def read_unified_promotion(request: ApiRequest, promotion_id: PathId) -> Response[bytes]:
    """One promotion, whatever its status."""
    number = _id(promotion_id)
    with_draft = queries.flag(request, "includeDraftDetails")
    with_parent = queries.flag(request, "includeParentDetails")
    moment = await queries.read_moment(request)
    promotion = moment.definitions.promotions.get(number)
    if promotion is None:
        raise Refused(PROMOTION_NOT_PUBLISHED)
    view = unified_view(moment.definitions, promotion, moment.now, with_draft=with_draft)
    if with_parent:
        view.parentDetails = None
    return wire.answer(view)


@post(
    "/v3/promotions/{promotion_id:str}/review",
    status_code=200,
    opt=declare(
        "Customer",
        "WRITE",
        body=ReviewBody,
        answer=wire.Envelope[UnifiedPromotionView],
        errors=(*DEFINE_ERRORS, PROMOTION_NOT_PUBLISHED),
        texts=_OF_ONE,
    ),
)
async def review_promotion(request: ApiRequest, promotion_id: PathId) -> Response[bytes]:
    """Approve what waits for approval, or send it back to draft.

    Of a published promotion that is its draft, which then takes effect.
    """
    number = _id(promotion_id)
    body = await wire.read_body(request, _review_body)
    command = Review(
        _credential(request),
        number,
        body.approvalStatus == "APPROVE",
        body.comment,
        request_id.get(),
    )
    return await _edit(request, command)


@put(
    "/v3/promotions/{promotion_id:str}/status",
    opt=declare(
        "Customer",
        "WRITE",
        body=StateBody,
        answer=wire.Envelope[UnifiedPromotionView],
        errors=(INVALID_INPUT, PROMOTION_NOT_PUBLISHED),
        texts=_OF_ONE,
    ),
)
async def change_promotion_status(request: ApiRequest, promotion_id: PathId) -> Response[bytes]:
    """Submit a draft for approval, pause a promotion, resume it, or stop it for good.

    PENDING_APPROVAL submits the draft of a published promotion, if it has one. Stopping takes it away.
    """
    number = _id(promotion_id)
    body = await wire.read_body(request, _state_body)
    command = ChangeState(_credential(request), number, body.status, body.comment, request_id.get())
    return await _edit(request, command)


@delete(
    "/v3/promotions/{promotion_id:str}",
    status_code=200,
    opt=declare(
        "Customer",
        "WRITE",
        answer=wire.Envelope[UnifiedPromotionView],
        errors=(INVALID_INPUT, PROMOTION_NOT_PUBLISHED),
        texts=_OF_ONE,
    ),
)
async def discard_promotion_draft(request: ApiRequest, promotion_id: PathId) -> Response[bytes]:
    """Throw away the draft of a published promotion; answers the promotion, which goes on as it is."""
    command = DiscardDraft(_credential(request), _id(promotion_id), request_id.get())
    return await _edit(request, command)


async def _edit(request: ApiRequest, command: Command, status: int = 200) -> Response[bytes]:
    """Answer the promotion with its draft, as the edit left it.

    One that there is not has a code of its own here.
    """
    definitions = (await queries.read_moment(request)).definitions

    def render(made: Defined) -> Response[bytes]:
        assert isinstance(made.made, Promotion)
        view = unified_view(definitions, made.made, made.now, with_draft=True)
        return wire.answer(view, status=status)

    try:
        return await edit(request, command, render)
    except Refused as refused:
        if refused.refusal.error is PROMOTION_UNKNOWN:
            raise Refused(PROMOTION_NOT_PUBLISHED) from None
        raise


def _id(text: str) -> int:
    """The id of a promotion, however it is written; raises 310193, or 300004 for what is no id at all."""
    number = read_unified_id(text)
    if number is not None:
        return number
    if len(text) == UNIFIED_ID_DIGITS:
        # As the vendor's own ids, which are no numbers of ours.
        raise Refused(PROMOTION_NOT_PUBLISHED)
    return wire.integer(text, "promotionId")


def _credential(request: ApiRequest) -> int:
    return caller_of(request).credential_id


ROUTES = (
    draft_promotion,
    replace_promotion,
    list_unified_promotions,
    read_unified_promotion,
    review_promotion,
    change_promotion_status,
    discard_promotion_draft,
)
