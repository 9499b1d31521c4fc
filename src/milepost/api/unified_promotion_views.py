"""How unified promotions are shown (domain: promotions §2.3, §3.8)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from milepost.api.promotion_views import (
    LimitsView,
    PageView,
    PromotionRewardView,
    RedemptionLimitView,
    limits_view,
    redemption_limit_view,
    reward_view,
)
from milepost.rules.calendar import written_instant
from milepost.rules.definitions import Definitions, Expiry, Promotion
from milepost.rules.promotions import approval_status, unified_id, written_end


class UnifiedMetadataView(msgspec.Struct):
    """What a promotion is. Instants are UTC, the end inclusive."""

    name: str
    description: str
    orgId: int
    programId: int
    startDate: str
    endDate: str
    promotionType: str
    status: str
    """DRAFT, PENDING_APPROVAL, ACTIVE, PAUSED or STOPPED; EXPIRED once it has ended, INACTIVE while it is
    switched off.
    """
    timezoneName: str
    promoIdentifier: str | None
    promotionId: int
    promotionMetadata: list[dict[str, Any]]
    createdOn: str | None
    lastModifiedOn: str | None
    lastModifiedBy: int | None


class ActivityView(msgspec.Struct):
    """What a promotion pays for."""

    id: str
    name: str
    type: str
    event: str
    expression: str
    targetGroupIds: list[int]
    targetRuleIds: list[int]
    milestones: list[Any]


class UnifiedPromotionView(msgspec.Struct):
    """A promotion. Its draft and parent are there where they are asked for; `comment` is the last one."""

    id: str
    metadata: UnifiedMetadataView
    customerEnrolment: Any
    workflowMetadata: Any
    limits: LimitsView
    issualExpiry: Expiry
    earnExpiry: Expiry
    redemptionLimits: list[RedemptionLimitView]
    activities: list[ActivityView]
    rewards: list[PromotionRewardView]
    liabilityOwnerSplitInfo: list[Any]
    comment: str | None
    draftDetails: UnifiedPromotionView | UnsetType | None = UNSET
    """What waits for approval, of a published promotion."""
    parentDetails: UnsetType | None = UNSET


class UnifiedPromotionsView(msgspec.Struct):
    """A page of promotions."""

    promotions: list[UnifiedPromotionView]
    pageDetails: PageView


def unified_view(
    definitions: Definitions, promotion: Promotion, now: datetime, *, with_draft: bool = False
) -> UnifiedPromotionView:
    """A promotion, with its draft if that is wanted."""
    vendor = promotion.vendor
    view = UnifiedPromotionView(
        unified_id(promotion.id),
        _metadata(definitions, promotion, now),
        vendor.get("customerEnrolment"),
        vendor.get("workflowMetadata"),
        limits_view(promotion.limits),
        promotion.issual_expiry,
        promotion.earn_expiry,
        [redemption_limit_view(limit) for limit in promotion.redemption_limits],
        _activities(promotion),
        [reward_view(reward) for reward in promotion.rewards],
        _list(vendor.get("liabilityOwnerSplitInfo")),
        _text(vendor.get("comment")),
    )
    if with_draft:
        draft = promotion.draft
        view.draftDetails = unified_view(definitions, draft, now) if draft is not None else None
    return view


def _metadata(definitions: Definitions, promotion: Promotion, now: datetime) -> UnifiedMetadataView:
    created, updated = promotion.created, promotion.updated
    return UnifiedMetadataView(
        promotion.name,
        promotion.description,
        definitions.org_id,
        promotion.program_id,
        written_instant(promotion.starts_at),
        written_end(promotion.ends_at),
        promotion.type,
        approval_status(promotion, now),
        _text(promotion.vendor.get("timezoneName")) or definitions.time_zone,
        promotion.identifier,
        promotion.id,
        [dict(each) for each in promotion.metadata],
        written_instant(created.at) if created is not None else None,
        written_instant(updated.at) if updated is not None else None,
        updated.credential_id if updated is not None else None,
    )


def _activities(promotion: Promotion) -> list[ActivityView]:
    """The one activity that the criteria are; those of a promotion that came otherwise have a name too."""
    criteria = promotion.criteria
    if criteria is None:
        return []
    kept = promotion.vendor.get("activity")
    named: Mapping[str, object] = kept if isinstance(kept, Mapping) else {}
    return [
        ActivityView(
            _text(named.get("id")) or f"activity_{promotion.id}",
            _text(named.get("name")) or "Activity 1",
            "SINGLE",
            criteria.event,
            criteria.expression,
            list(criteria.target_group_ids),
            list(criteria.target_ids),
            [],
        )
    ]


def _text(kept: object) -> str | None:
    return kept if isinstance(kept, str) else None


def _list(kept: object) -> list[Any]:
    return list(kept) if isinstance(kept, list | tuple) else []
