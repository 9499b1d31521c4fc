"""Programs and promotions, the plain way: `/milepost/v1/programs` and `…/promotions` (contract §7)."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any

import msgspec
from litestar import Response, get, post, put

from milepost.actions.promotions import (
    PROMOTION_EDITS,
    Command,
    Defined,
    DefineProgram,
    DefinePromotion,
    EditPromotion,
)
from milepost.api import queries, wire
from milepost.api.routes import ApiRequest, PathId, caller_of, coalescer_of, declare
from milepost.api.target_group_bodies import RewardBody, reward_definitions
from milepost.api.target_group_views import Number, View
from milepost.errors import (
    INVALID_INPUT,
    INVALID_PROGRAM_ID,
    PROMOTION_IDENTIFIER_TAKEN,
    PROMOTION_NAME_TAKEN,
    PROMOTION_UNKNOWN,
    Refusal,
    Refused,
)
from milepost.logs import request_id
from milepost.rules.calendar import written_instant
from milepost.rules.definitions import (
    Criteria,
    Expiry,
    Program,
    Promotion,
    RedemptionLimit,
    RewardDefinition,
)
from milepost.rules.promotion_edits import LimitsDraft, PromotionDraft
from milepost.rules.promotions import read_end, read_start, status, written_end

_ERRORS = (
    INVALID_INPUT,
    INVALID_PROGRAM_ID,
    PROMOTION_NAME_TAKEN,
    PROMOTION_IDENTIFIER_TAKEN,
)
Limit = Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31 - 1)]
Ids = Annotated[list[wire.Id], msgspec.Meta(max_length=1_000)]


class ProgramBody(msgspec.Struct):
    """A program; `programId` keeps the id that it has elsewhere."""

    name: wire.Text
    programId: wire.Id | None = None


class LimitsBody(msgspec.Struct):
    """How often; -1 is no limit."""

    issualsPerCustomer: Limit | None = None
    """Enrolments, ever. Default 1."""
    earnsPerCustomer: Limit | None = None
    """Times that a customer is issued it, ever. Default 1."""
    earnsPerPromotion: Limit | None = None
    """Times that all customers together are issued it. Default -1."""
    redemptionsPerEarn: Limit | None = None
    """Times that one earned record is collected from. Default 1."""


class ExpiryBody(msgspec.Struct):
    """PROMOTION: with the promotion. CUSTOM: `days` calendar days after the record is made."""

    type: wire.Text
    days: Limit | None = None


class CriteriaBody(msgspec.Struct):
    """What is paid for: an event for which the expression holds."""

    event: wire.Text
    """TransactionAdd, the name of a behavioural event, or TARGETCOMPLETED."""
    expression: bool | wire.Text | None = None
    """CEL (contract §4, "Expressions"); default true."""
    targetGroupIds: Ids | None = None
    """With TARGETCOMPLETED: only these groups."""
    targetRuleIds: Ids | None = None
    """With TARGETCOMPLETED: only these targets."""


class RedemptionLimitBody(msgspec.Struct):
    """How many redemptions (TIMES) or POINTS there may be."""

    kpi: wire.Text
    limitOn: wire.Text
    """EVENT, EARN, CUSTOMER or PROMOTION."""
    maxLimit: Number
    periodUnit: wire.Text | None = None
    """DAILY, WEEKLY or MONTHLY: within 24 hours, 7 or 30 days before each event; absent: ever."""


class PromotionBody(msgspec.Struct):
    """A promotion. When it is changed, what is absent stays."""

    programId: wire.Id | None = None
    promotionId: wire.Id | None = None
    """The id that it has elsewhere; absent: a new one."""
    name: wire.Text | None = None
    promoIdentifier: wire.Text | None = None
    type: wire.Text | None = None
    """GENERIC, LOYALTY or LOYALTY_EARNING; fixed once it is made."""
    description: wire.Text | None = None
    startDate: wire.Text | None = None
    """An instant."""
    endDate: wire.Text | None = None
    """An instant, which is included at the precision that it is written in."""
    active: bool | None = None
    limits: LimitsBody | None = None
    issualExpiry: ExpiryBody | None = None
    earnExpiry: ExpiryBody | None = None
    criteria: CriteriaBody | None = None
    rewards: list[RewardBody] | None = None
    redemptionLimits: list[RedemptionLimitBody] | None = None
    promotionMetadata: list[dict[str, Any]] | None = None
    """Custom fields: `key` and `value`."""


class ProgramView(msgspec.Struct):
    """A program."""

    programId: int
    name: str


class LimitsView(msgspec.Struct):
    """-1 is no limit."""

    issualsPerCustomer: int
    earnsPerCustomer: int
    earnsPerPromotion: int
    redemptionsPerEarn: int


class CriteriaView(msgspec.Struct):
    """What is paid for."""

    event: str
    expression: str
    targetGroupIds: list[int]
    targetRuleIds: list[int]


class PromotionRewardView(View):
    """One reward of a promotion."""

    name: str
    type: str
    value: Number
    reference: str | None


class RedemptionLimitView(msgspec.Struct):
    """How many redemptions or points there may be."""

    kpi: str
    limitOn: str
    maxLimit: Number
    periodUnit: str | None


class PromotionView(msgspec.Struct):
    """A promotion; `status` is LIVE, UPCOMING, COMPLETED, INACTIVE, or PENDING before it is approved."""

    promotionId: int
    programId: int
    name: str
    promoIdentifier: str | None
    type: str
    description: str
    startDate: str
    endDate: str
    active: bool
    status: str
    limits: LimitsView
    issualExpiry: Expiry
    earnExpiry: Expiry
    criteria: CriteriaView | None
    rewards: list[PromotionRewardView]
    redemptionLimits: list[RedemptionLimitView]
    promotionMetadata: list[dict[str, Any]]


_program_body = msgspec.json.Decoder(ProgramBody)
_promotion_body = msgspec.json.Decoder(PromotionBody)


@post(
    "/milepost/v1/programs",
    opt=declare(
        "Customer",
        "WRITE",
        body=ProgramBody,
        answer=wire.Envelope[ProgramView],
        status=201,
        errors=(INVALID_INPUT,),
    ),
)
async def create_program(request: ApiRequest) -> Response[bytes]:
    """Make a program, which promotions belong to."""
    body = await wire.read_body(request, _program_body)
    credential = caller_of(request).credential_id
    made = await edit(
        request, DefineProgram(credential, body.name, body.programId, request_id.get())
    )
    assert isinstance(made.made, Program)
    return wire.answer(_program_view(made.made), status=201)


@get(
    "/milepost/v1/programs",
    opt=declare("Customer", answer=wire.Envelope[list[ProgramView]]),
)
async def list_programs(request: ApiRequest) -> Response[bytes]:
    """List the programs."""
    definitions = (await queries.read_moment(request)).definitions
    return wire.answer([_program_view(program) for program in definitions.programs.values()])


@post(
    "/milepost/v1/promotions",
    opt=declare(
        "Customer",
        "WRITE",
        body=PromotionBody,
        answer=wire.Envelope[PromotionView],
        status=201,
        errors=_ERRORS,
    ),
)
async def create_promotion(request: ApiRequest) -> Response[bytes]:
    """Make a promotion."""
    body = await wire.read_body(request, _promotion_body)
    credential = caller_of(request).credential_id
    made = await edit(
        request, DefinePromotion(credential, _draft(body), "ACTIVE", request_id.get())
    )
    return wire.answer(_view_of(made), status=201)


@put(
    "/milepost/v1/promotions/{promotion_id:str}",
    opt=declare(
        "Customer",
        "WRITE",
        body=PromotionBody,
        answer=wire.Envelope[PromotionView],
        errors=(*_ERRORS, PROMOTION_UNKNOWN),
    ),
)
async def change_promotion(request: ApiRequest, promotion_id: PathId) -> Response[bytes]:
    """Change a promotion: what is sent, at once.

    Id, program and type stay, and so does the start once it has come.
    """
    number = wire.integer(promotion_id, "promotionId")
    body = await wire.read_body(request, _promotion_body)
    credential = caller_of(request).credential_id
    made = await edit(request, EditPromotion(credential, number, _draft(body), request_id.get()))
    return wire.answer(_view_of(made))


@get(
    "/milepost/v1/promotions",
    opt=declare(
        "Customer",
        answer=wire.Envelope[list[PromotionView]],
        errors=(INVALID_INPUT,),
        query={"programId": "only those of this program"},
    ),
)
async def list_promotions(request: ApiRequest) -> Response[bytes]:
    """List the promotions, newest id first."""
    program_id = queries.optional_integer(request, "programId")
    moment = await queries.read_moment(request)
    return wire.answer(
        [
            promotion_view(promotion, moment.now)
            for _, promotion in sorted(moment.definitions.promotions.items(), reverse=True)
            if program_id in (None, promotion.program_id)
        ]
    )


@get(
    "/milepost/v1/promotions/{promotion_id:str}",
    opt=declare(
        "Customer",
        answer=wire.Envelope[PromotionView],
        errors=(INVALID_INPUT, PROMOTION_UNKNOWN),
    ),
)
async def read_promotion(request: ApiRequest, promotion_id: PathId) -> Response[bytes]:
    """One promotion."""
    number = wire.integer(promotion_id, "promotionId")
    moment = await queries.read_moment(request)
    promotion = moment.definitions.promotions.get(number)
    if promotion is None:
        raise Refused(PROMOTION_UNKNOWN)
    return wire.answer(promotion_view(promotion, moment.now))


async def edit(request: ApiRequest, command: Command) -> Defined:
    """What an edit made; raises its refusal."""
    tenant = caller_of(request).tenant
    outcome: Defined | Refusal = await coalescer_of(request).submit(
        PROMOTION_EDITS, tenant, command
    )
    if isinstance(outcome, Refusal):
        raise Refused(outcome.error, outcome.detail)
    return outcome


def promotion_view(promotion: Promotion, now: datetime) -> PromotionView:
    """A promotion as it is answered."""
    limits, criteria = promotion.limits, promotion.criteria
    return PromotionView(
        promotion.id,
        promotion.program_id,
        promotion.name,
        promotion.identifier,
        promotion.type,
        promotion.description,
        written_instant(promotion.starts_at),
        written_end(promotion.ends_at),
        promotion.active,
        status(promotion, now),
        LimitsView(
            limits.issuals_per_customer,
            limits.earns_per_customer,
            limits.earns_per_promotion,
            limits.redemptions_per_earn,
        ),
        promotion.issual_expiry,
        promotion.earn_expiry,
        CriteriaView(
            criteria.event,
            criteria.expression,
            list(criteria.target_group_ids),
            list(criteria.target_ids),
        )
        if criteria is not None
        else None,
        [_reward_view(reward) for reward in promotion.rewards],
        [
            RedemptionLimitView(limit.kpi, limit.on, limit.most, limit.window)
            for limit in promotion.redemption_limits
        ],
        [dict(each) for each in promotion.metadata],
    )


def _view_of(made: Defined) -> PromotionView:
    assert isinstance(made.made, Promotion)
    return promotion_view(made.made, made.now)


def _program_view(program: Program) -> ProgramView:
    return ProgramView(program.id, program.name)


def _reward_view(reward: RewardDefinition) -> PromotionRewardView:
    return PromotionRewardView(
        name=reward.name, type=reward.type, value=reward.value, reference=reward.reference
    )


def _draft(body: PromotionBody) -> PromotionDraft:
    limits, criteria = body.limits or LimitsBody(), body.criteria
    return PromotionDraft(
        program_id=body.programId,
        name=body.name,
        type=body.type,
        starts_at=_instant(body.startDate, "startDate"),
        ends_at=_instant(body.endDate, "endDate"),
        identifier=body.promoIdentifier,
        description=body.description,
        active=body.active,
        limits=LimitsDraft(
            limits.issualsPerCustomer,
            limits.earnsPerCustomer,
            limits.earnsPerPromotion,
            limits.redemptionsPerEarn,
        ),
        issual_expiry=_expiry(body.issualExpiry),
        earn_expiry=_expiry(body.earnExpiry),
        criteria=_criteria(criteria) if criteria is not None else None,
        rewards=reward_definitions(body.rewards),
        redemption_limits=tuple(
            RedemptionLimit(
                each.kpi.upper(),
                each.limitOn.upper(),
                Decimal(each.maxLimit),
                each.periodUnit.upper() if each.periodUnit is not None else None,
            )
            for each in body.redemptionLimits
        )
        if body.redemptionLimits is not None
        else None,
        metadata=tuple(body.promotionMetadata) if body.promotionMetadata is not None else None,
        promotion_id=body.promotionId,
    )


def _instant(text: str | None, at: str) -> datetime | None:
    if text is None:
        return None
    read = read_start(text) if at == "startDate" else read_end(text)
    if isinstance(read, Refusal):
        raise Refused(read.error, f"{at}: {read.detail}")
    return read


def _expiry(body: ExpiryBody | None) -> Expiry | None:
    return Expiry(body.type, body.days) if body is not None else None


def _criteria(body: CriteriaBody) -> Criteria:
    expression = body.expression
    if isinstance(expression, bool):
        expression = str(expression).lower()
    if expression is None or not expression.strip():
        expression = "true"
    return Criteria(
        body.event,
        expression,
        tuple(body.targetGroupIds or ()),
        tuple(body.targetRuleIds or ()),
    )


ROUTES = (
    create_program,
    list_programs,
    create_promotion,
    change_promotion,
    list_promotions,
    read_promotion,
)
