"""How the vendor's gateway shows promotions, and its envelope (domain: promotions §2.1, §3.5, §4.6 D)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec
from litestar import Response
from msgspec import UNSET, UnsetType

from milepost.api import wire
from milepost.api.promotion_views import PageView, PromotionRewardView, reward_view
from milepost.api.target_group_views import Number
from milepost.errors import Refusal
from milepost.rules.definitions import Definitions, Promotion
from milepost.rules.gateway_promotions import Restriction
from milepost.rules.gateway_views import (
    earning_type,
    shown_dates,
    shown_limits,
    shown_restrictions,
    shown_rulesets,
    written_update,
)
from milepost.rules.promotions import allocate_points_on, source_type, status


class RestrictionView(msgspec.Struct):
    """A restriction by its stored name; `value` -1 is none, and of an expiry a number of days."""

    name: str
    value: Number | None
    type: str | None
    periodType: str | None
    periodUnit: str | None


class RestrictionsView(msgspec.Struct):
    """What limits and expiries the promotion has, whatever the form in which it was made."""

    redemptionRestrictions: list[RestrictionView]
    issualRestrictions: list[RestrictionView]
    earnRestrictions: list[RestrictionView]
    expiryRestrictions: list[RestrictionView]


class PromotionRestrictionsView(msgspec.Struct):
    """Restrictions, the targets that are paid for, and what was kept."""

    restrictions: RestrictionsView
    scope: Any
    isStackable: bool
    isConsideredForRanking: bool
    loyaltyEarningType: str | None
    """DIRECT_EARN or ISSUE_AND_EARN."""
    expiryReminder: Any
    isExclusive: bool
    isAlwaysApply: bool
    targetGroupIds: list[int]
    targetRuleIds: list[int]


class FlatLimitsView(msgspec.Struct):
    """Limits that hold for ever; -1 is none."""

    pointsPerCustomer: Number
    numberOfTimesPerCustomer: Number
    totalPointsInPromotion: Number
    totalPointsPerEventLimit: Number


class GatewayPromotionView(msgspec.Struct):
    """A promotion. Dates are local with their offset, the end inclusive."""

    id: int
    name: str
    description: str
    programId: int
    programName: str | None
    identifier: str | None
    startDate: str
    endDate: str
    promotionStatus: str
    """LIVE, UPCOMING, COMPLETED or INACTIVE; PENDING before it is approved."""
    isActive: bool
    eventName: str | None
    allocatePointsOn: str
    """BILL, LINEITEM or CUSTOMER."""
    pointsOfferType: str
    promotionType: Any
    promotionSourceType: str
    limits: FlatLimitsView
    useProportions: bool
    promotionRestrictions: PromotionRestrictionsView
    rulesetInfos: list[Any]
    promotionMetadata: list[dict[str, Any]]
    lastUpdateDate: str | None
    lastUpdatedBy: int | None
    rewards: list[PromotionRewardView]


class StatusView(msgspec.Struct):
    """200, or the code of what was refused."""

    code: int
    message: str


class GatewayAnswer(msgspec.Struct):
    """What every route of the gateway answers."""

    status: StatusView
    validationErrors: list[wire.ErrorItem] | None
    data: list[GatewayPromotionView]
    pageDetails: PageView | UnsetType = UNSET


class GatewayFailure(msgspec.Struct):
    """What a route of the gateway answers when it refuses."""

    status: StatusView
    validationErrors: list[wire.ErrorItem]
    data: list[GatewayPromotionView]


def answer_gateway(
    views: list[GatewayPromotionView], page: PageView | UnsetType = UNSET
) -> Response[bytes]:
    """A success of the gateway."""
    return wire.Answer(
        wire.encode(GatewayAnswer(StatusView(200, "success"), None, views, page)), status_code=200
    )


def refuse_gateway(refusal: Refusal) -> Response[bytes]:
    """A business refusal of the gateway."""
    code, message = refusal.error.code, refusal.message
    failure = GatewayFailure(StatusView(code, message), [wire.ErrorItem(code, message)], [])
    return wire.Answer(wire.encode(failure), status_code=refusal.error.status)


def gateway_view(
    definitions: Definitions, promotion: Promotion, now: datetime
) -> GatewayPromotionView:
    """A promotion as the gateway shows it."""
    vendor, criteria, zone = promotion.vendor, promotion.criteria, definitions.zone
    program = definitions.programs.get(promotion.program_id)
    starts_on, ends_on = shown_dates(promotion, zone)
    return GatewayPromotionView(
        promotion.id,
        promotion.name,
        promotion.description,
        promotion.program_id,
        program.name if program is not None else None,
        promotion.identifier,
        starts_on,
        ends_on,
        status(promotion, now),
        promotion.is_on,
        criteria.event if criteria is not None else None,
        allocate_points_on(promotion),
        promotion.type,
        vendor.get("promotionType"),
        source_type(promotion),
        FlatLimitsView(**shown_limits(promotion)),
        bool(vendor.get("useProportions")),
        _restrictions_view(promotion),
        shown_rulesets(promotion),
        [dict(each) for each in promotion.metadata],
        written_update(promotion, zone),
        promotion.updated.credential_id if promotion.updated is not None else None,
        [reward_view(reward) for reward in promotion.rewards],
    )


def _restrictions_view(promotion: Promotion) -> PromotionRestrictionsView:
    lists = {
        name: [_restriction_view(each) for each in restrictions]
        for name, restrictions in shown_restrictions(promotion).items()
    }
    kept = promotion.vendor.get("promotionRestrictions")
    flags: Mapping[str, Any] = kept if isinstance(kept, Mapping) else {}
    criteria = promotion.criteria
    return PromotionRestrictionsView(
        RestrictionsView(**lists),
        flags.get("scope"),
        bool(flags.get("isStackable")),
        bool(flags.get("isConsideredForRanking")),
        earning_type(promotion),
        flags.get("expiryReminder"),
        bool(flags.get("isExclusive")),
        bool(flags.get("isAlwaysApply")),
        list(criteria.target_group_ids) if criteria is not None else [],
        list(criteria.target_ids) if criteria is not None else [],
    )


def _restriction_view(restriction: Restriction) -> RestrictionView:
    return RestrictionView(
        restriction.name,
        restriction.value,
        restriction.type,
        restriction.period_type,
        restriction.period_unit,
    )
