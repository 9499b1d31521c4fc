"""A member's promotions, and enrolling in one: the v3 forms (domain: promotions §3.8).

The vendor publishes only an outline of the answers; what it does not name is as in the v2 forms.
"""

from __future__ import annotations

import msgspec
from litestar import Response, get, post

from milepost.actions.issuing import ISSUING
from milepost.api import queries, wire
from milepost.api.customer_promotion_views import PromotionTimeline, written_timelines
from milepost.api.origins import origin
from milepost.api.requests import ApiRequest
from milepost.api.routes import PathId, caller_of, declare, runner_of, write
from milepost.database import Tenant, Tx
from milepost.errors import (
    ACTION_UNSUPPORTED,
    CUSTOMER_NOT_FOUND,
    IDENTIFIERS_EMPTY,
    INVALID_INPUT,
    INVALID_PROGRAM_ID,
    INVALID_USER,
    LIMITS_EXHAUSTED,
    PARAMETERS_MISSING,
    PROMOTION_INACTIVE,
    PROMOTION_NOT_PUBLISHED,
    PROMOTION_UNKNOWN,
    Refusal,
    Refused,
)
from milepost.rules.calendar import written_instant_offset
from milepost.rules.customer_promotions import (
    MEMBER_STATUSES,
    Filter,
    Records,
    find_promotions,
    member_status,
)
from milepost.rules.customers import Identifier
from milepost.rules.definitions import Promotion
from milepost.rules.issuing import ENROL, CallRefused, Outcome
from milepost.rules.issuing_calls import CallDraft, Named, read_single_call
from milepost.rules.promotions import last_second, read_unified_id, status, unified_id
from milepost.runner import Moment
from milepost.store.customer_promotions import load_customer_promotions
from milepost.store.customers import load_known

ENROL_ACTIONS = ("ENROL", "OPT_IN")
SIZE_MAX = 100
SIZE_DEFAULT = 10


class MemberPromotion(msgspec.Struct):
    """A promotion as it concerns a member; `memberEnrollmentStatus` null: nothing can be done now."""

    promotionId: int
    unifiedPromotionId: str
    promotionName: str
    promotionIdentifier: str | None
    programId: int
    promotionType: str
    status: str
    startDateISO: str
    endDateISO: str
    timezoneName: str
    memberEnrollmentStatus: str | None
    redeemedCount: int
    customerPromotionTimelines: list[PromotionTimeline]


class MemberPromotions(msgspec.Struct):
    """A page of a member's promotions."""

    memberId: int
    promotions: list[MemberPromotion]
    page: int
    size: int
    total: int


class PromotionRef(msgspec.Struct):
    """Which promotion: `promotionId` or, without one, the v3 `id`."""

    id: wire.Text | None = None
    promotionId: wire.Id | None = None


class MemberRef(msgspec.Struct):
    """What names the customer."""

    identifierName: wire.Text | None = None
    identifierValue: wire.Text | None = None
    source: wire.Text | None = None


class MemberEnrolBody(msgspec.Struct):
    """Who is enrolled in which promotion; both actions do the same."""

    action: wire.Text | None = None
    """ENROL or OPT_IN."""
    programId: wire.Id | None = None
    promotion: PromotionRef | None = None
    customer: MemberRef | None = None
    requestId: wire.Text | None = None
    """Answered as it is sent."""


class MemberEnrolled(msgspec.Struct):
    """The enrolment; `enrollmentId` is null where a limit is used up (warning 8890)."""

    requestId: str | None
    memberId: int
    programId: int
    promotionId: int
    unifiedPromotionId: str
    enrollmentId: int | None


_enrol_body = msgspec.json.Decoder(MemberEnrolBody)


@get(
    "/v3/members/{member_id:str}/promotions",
    opt=declare(
        "Customer",
        answer=wire.Envelope[MemberPromotions],
        query={
            "memberEnrollmentStatus": f"{', '.join(MEMBER_STATUSES)}; absent: all",
            "promotionIdentifier": "the caller's own identifier of one; absent: all",
            "page": "which page, from 0 (default 0)",
            "size": f"promotions on a page, 1 to {SIZE_MAX} (default {SIZE_DEFAULT})",
        },
        errors=(INVALID_INPUT, INVALID_USER, PROMOTION_NOT_PUBLISHED),
    ),
)
async def member_promotions(request: ApiRequest, member_id: PathId) -> Response[bytes]:
    """A member's promotions: those that are live, and those that they ever had anything of."""
    member = wire.integer(member_id, "memberId")
    page = queries.integer(request, "page", 0, 0, 1_000_000)
    size = queries.integer(request, "size", SIZE_DEFAULT, 1, SIZE_MAX)
    wanted = _status_of(request)
    identifier = request.query_params.get("promotionIdentifier", "").strip() or None
    moment, records = await _load(request, member)
    if identifier is not None and not _is_listed(moment, identifier):
        raise Refused(PROMOTION_NOT_PUBLISHED)
    found = find_promotions(moment.definitions, records, Filter(identifier=identifier), moment.now)
    assert not isinstance(found, Refusal)
    if wanted is not None:
        found = [each for each in found if member_status(each, records, moment.now) == wanted]
    shown = [_view(each, records, moment) for each in found[page * size : (page + 1) * size]]
    return wire.answer(MemberPromotions(member, shown, page, size, len(found)))


@get(
    "/v3/members/{member_id:str}/promotions/{promotion_id:str}",
    opt=declare(
        "Customer",
        answer=wire.Envelope[MemberPromotion],
        query={"memberEnrollmentStatus": "only if that is where the member stands"},
        errors=(INVALID_INPUT, INVALID_USER, PROMOTION_NOT_PUBLISHED),
        texts={"promotion_id": "the promotion's id, as a number or as the 24 digits of v3"},
    ),
)
async def member_promotion(
    request: ApiRequest, member_id: PathId, promotion_id: PathId
) -> Response[bytes]:
    """One of a member's promotions."""
    member = wire.integer(member_id, "memberId")
    number = read_unified_id(promotion_id)
    if number is None:
        number = wire.integer(promotion_id, "promotionId")
    wanted = _status_of(request)
    moment, records = await _load(request, member)
    promotion = moment.definitions.promotions.get(number)
    if promotion is None or not promotion.is_published:
        raise Refused(PROMOTION_NOT_PUBLISHED)
    if wanted is not None and member_status(promotion, records, moment.now) != wanted:
        raise Refused(PROMOTION_NOT_PUBLISHED)
    return wire.answer(_view(promotion, records, moment))


@post(
    "/v3/promotions/enrol",
    status_code=200,
    opt=declare(
        "Customer",
        "WRITE",
        body=MemberEnrolBody,
        answer=wire.Envelope[MemberEnrolled],
        errors=(
            INVALID_INPUT,
            IDENTIFIERS_EMPTY,
            PARAMETERS_MISSING,
            INVALID_PROGRAM_ID,
            PROMOTION_UNKNOWN,
            PROMOTION_INACTIVE,
            ACTION_UNSUPPORTED,
            CUSTOMER_NOT_FOUND,
        ),
    ),
)
async def enrol_member(request: ApiRequest) -> Response[bytes]:
    """Enrol one customer in an enrol & issue promotion."""
    body = await wire.read_body(request, _enrol_body)
    if body.action not in ENROL_ACTIONS:
        raise Refused(INVALID_INPUT, f"action must be {' or '.join(ENROL_ACTIONS)}.")
    promotion = body.promotion or PromotionRef()
    promotion_id = promotion.promotionId
    if promotion_id is None and promotion.id is not None:
        promotion_id = read_unified_id(promotion.id)
        if promotion_id is None:
            raise Refused(INVALID_INPUT, "promotion.id must have 24 hexadecimal digits.")
    named = body.customer or MemberRef()
    act = read_single_call(
        CallDraft(None, ENROL, body.programId, promotion_id, None, None, None),
        Named(named.source, named.identifierName, named.identifierValue, None),
        ENROL,
        origin(),
    )
    if isinstance(act, Refusal):
        return wire.refuse(act, request.scope["path"])
    request_key, path = body.requestId, request.scope["path"]
    return await write(
        request,
        ISSUING,
        caller_of(request).tenant,
        act,
        lambda outcome: _enrolled(outcome, request_key, path),
    )


def _enrolled(outcome: Outcome, request_key: str | None, path: str) -> Response[bytes]:
    if isinstance(outcome, CallRefused):
        outcome = outcome.refusal
    if isinstance(outcome, Refusal):
        return wire.refuse(outcome, path)
    enrolled = MemberEnrolled(
        request_key,
        outcome.customer_id,
        outcome.promotion.program_id,
        outcome.promotion.id,
        unified_id(outcome.promotion.id),
        outcome.issual_id,
    )
    exhausted = [wire.WarningItem(LIMITS_EXHAUSTED.code, LIMITS_EXHAUSTED.message)]
    return wire.answer(enrolled, warnings=exhausted if outcome.is_exhausted else None)


async def _load(request: ApiRequest, member: int) -> tuple[Moment, Records]:
    """What a member has, as of now; raises the error of an unknown one."""

    async def query(tx: Tx, tenant: Tenant, moment: Moment) -> tuple[Moment, Records] | None:
        if not await load_known(tx, tenant, [Identifier("id", str(member))]):
            return None
        records = await load_customer_promotions(tx, tenant, member, moment.definitions, moment.now)
        return moment, records

    found = await runner_of(request).read(caller_of(request).tenant, query)
    if found is None:
        raise Refused(INVALID_USER)
    return found


def _status_of(request: ApiRequest) -> str | None:
    """`memberEnrollmentStatus`, which is case-sensitive; raises 300004 for an unknown one."""
    text = request.query_params.get("memberEnrollmentStatus", "").strip()
    if text and text not in MEMBER_STATUSES:
        detail = f"memberEnrollmentStatus must be one of {', '.join(MEMBER_STATUSES)}."
        raise Refused(INVALID_INPUT, detail)
    return text or None


def _is_listed(moment: Moment, identifier: str) -> bool:
    """Whether a promotion that has been approved bears the identifier."""
    promotions = moment.definitions.promotions.values()
    return any(each.identifier == identifier and each.is_published for each in promotions)


def _view(promotion: Promotion, records: Records, moment: Moment) -> MemberPromotion:
    zone = moment.definitions.zone
    return MemberPromotion(
        promotion.id,
        unified_id(promotion.id),
        promotion.name,
        promotion.identifier,
        promotion.program_id,
        promotion.type,
        status(promotion, moment.now),
        written_instant_offset(promotion.starts_at, zone),
        written_instant_offset(last_second(promotion.ends_at), zone),
        moment.definitions.time_zone,
        member_status(promotion, records, moment.now),
        records.holding(promotion.id).times,
        written_timelines(promotion, records, moment),
    )


ROUTES = (member_promotions, member_promotion, enrol_member)
