"""What callers send to define promotions, and how it becomes drafts (contract §7).

The structs hold types and sizes; every other limit is a rule's.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any

import msgspec

from milepost.api import wire
from milepost.api.target_group_bodies import RewardBody, reward_definitions
from milepost.api.target_group_views import Number
from milepost.errors import Refusal, Refused
from milepost.rules.definitions import Criteria, Expiry, RedemptionLimit
from milepost.rules.promotion_edits import LimitsDraft, PromotionDraft
from milepost.rules.promotions import read_end, read_start

Limit = Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31 - 1)]
Ids = Annotated[list[wire.Id], msgspec.Meta(max_length=1_000)]


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


def promotion_draft(body: PromotionBody) -> PromotionDraft:
    """The draft of a promotion; raises 300004 for dates that are no instants."""
    return PromotionDraft(
        program_id=body.programId,
        name=body.name,
        type=body.type,
        starts_at=start_of(body.startDate),
        ends_at=end_of(body.endDate),
        identifier=body.promoIdentifier,
        description=body.description,
        active=body.active,
        limits=limits_draft(body.limits),
        issual_expiry=expiry_of(body.issualExpiry),
        earn_expiry=expiry_of(body.earnExpiry),
        criteria=criteria_of(body.criteria),
        rewards=reward_definitions(body.rewards),
        redemption_limits=redemption_limits_of(body.redemptionLimits),
        metadata=tuple(body.promotionMetadata) if body.promotionMetadata is not None else None,
        promotion_id=body.promotionId,
    )


def start_of(text: str | None) -> datetime | None:
    """The instant of a startDate; None if none was sent."""
    return None if text is None else _read(read_start(text), "startDate")


def end_of(text: str | None) -> datetime | None:
    """The exclusive end that an endDate stands for; None if none was sent."""
    return None if text is None else _read(read_end(text), "endDate")


def limits_draft(body: LimitsBody | None) -> LimitsDraft:
    """`limits` as sent."""
    if body is None:
        return LimitsDraft()
    return LimitsDraft(
        body.issualsPerCustomer,
        body.earnsPerCustomer,
        body.earnsPerPromotion,
        body.redemptionsPerEarn,
    )


def expiry_of(body: ExpiryBody | None) -> Expiry | None:
    """An expiry; None if none was sent."""
    return Expiry(body.type, body.days) if body is not None else None


def redemption_limits_of(
    bodies: Sequence[RedemptionLimitBody] | None,
) -> tuple[RedemptionLimit, ...] | None:
    """`redemptionLimits`, their words in any case; None if none were sent."""
    if bodies is None:
        return None
    return tuple(
        RedemptionLimit(
            each.kpi.upper(),
            each.limitOn.upper(),
            Decimal(each.maxLimit),
            each.periodUnit.upper() if each.periodUnit is not None else None,
        )
        for each in bodies
    )


def criteria_of(body: CriteriaBody | None) -> Criteria | None:
    """Criteria; None if none were sent. An expression that is absent or blank is true."""
    if body is None:
        return None
    expression = body.expression
    if isinstance(expression, bool):
        expression = str(expression).lower()
    if expression is None or not expression.strip():
        expression = "true"
    return Criteria(
        body.event, expression, tuple(body.targetGroupIds or ()), tuple(body.targetRuleIds or ())
    )


def _read(read: datetime | Refusal, at: str) -> datetime:
    if isinstance(read, Refusal):
        raise Refused(read.error, f"{at}: {read.detail}")
    return read
