"""How promotions are shown (contract §7)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from milepost.api.target_group_views import Number, View
from milepost.rules.calendar import written_instant
from milepost.rules.definitions import Expiry, Limits, Promotion, RedemptionLimit, RewardDefinition
from milepost.rules.promotions import status, written_end


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


class PageView(msgspec.Struct):
    """Which part of a list this is; pages count from 0."""

    pageNumber: int
    pageSize: int
    totalEntries: int
    pageCount: int


def page_view(number: int, size: int, total: int) -> PageView:
    """The page of that number; a size of 0 asks for the total alone."""
    return PageView(number, size, total, -(-total // size) if size else 0)


def promotion_view(promotion: Promotion, now: datetime) -> PromotionView:
    """A promotion as it is answered."""
    criteria = promotion.criteria
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
        limits_view(promotion.limits),
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
        [reward_view(reward) for reward in promotion.rewards],
        [redemption_limit_view(limit) for limit in promotion.redemption_limits],
        [dict(each) for each in promotion.metadata],
    )


def limits_view(limits: Limits) -> LimitsView:
    """`limits`."""
    return LimitsView(
        limits.issuals_per_customer,
        limits.earns_per_customer,
        limits.earns_per_promotion,
        limits.redemptions_per_earn,
    )


def redemption_limit_view(limit: RedemptionLimit) -> RedemptionLimitView:
    """One of `redemptionLimits`."""
    return RedemptionLimitView(limit.kpi, limit.on, limit.most, limit.window)


def reward_view(reward: RewardDefinition) -> PromotionRewardView:
    """One of `rewards`."""
    return PromotionRewardView(
        name=reward.name, type=reward.type, value=reward.value, reference=reward.reference
    )
