"""What callers send to draft, review and steer unified promotions (domain: promotions §2.3, §3.8).

Beside the vendor's fields an activity has our criteria, and a promotion our limits, expiries and rewards.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from milepost.api import wire
from milepost.api.promotion_bodies import (
    CriteriaBody,
    ExpiryBody,
    Ids,
    LimitsBody,
    RedemptionLimitBody,
    criteria_of,
    end_of,
    expiry_of,
    limits_draft,
    redemption_limits_of,
    start_of,
)
from milepost.api.target_group_bodies import RewardBody, reward_definitions
from milepost.errors import INVALID_INPUT, Refusal, Refused
from milepost.rules.calendar import zone
from milepost.rules.promotion_edits import COMMENT_CHARACTERS_MAX, PromotionDraft

Comment = Annotated[str, msgspec.Meta(max_length=COMMENT_CHARACTERS_MAX)]


class UnifiedMetadataBody(msgspec.Struct):
    """What a promotion is. `status` and `orgId` are ignored: they change in other ways, or never."""

    name: wire.Text | None = None
    description: wire.Text | None = None
    programId: wire.Id | None = None
    """Fixed once the promotion is made."""
    startDate: wire.Text | None = None
    """An instant."""
    endDate: wire.Text | None = None
    """An instant, which is included at the precision that it is written in."""
    promotionType: wire.Text | None = None
    """GENERIC, LOYALTY or LOYALTY_EARNING; fixed once the promotion is made."""
    timezoneName: wire.Text | None = None
    """An IANA name; kept and shown. Days are those of the organisation's zone."""
    promoIdentifier: wire.Text | None = None
    promotionId: wire.Id | None = None
    """The id that it has elsewhere; absent or 0: a new one."""
    promotionMetadata: list[dict[str, Any]] | None = None
    """Custom fields: `key` and `value`."""


class ActivityBody(msgspec.Struct):
    """What a promotion pays for."""

    event: wire.Text
    """TransactionAdd, the name of a behavioural event, or TARGETCOMPLETED; fixed once it is set."""
    id: wire.Text | None = None
    name: wire.Text | None = None
    type: wire.Text | None = None
    """SINGLE."""
    expression: bool | wire.Text | None = None
    """CEL (contract §4, "Expressions"); default true."""
    targetGroupIds: Ids | None = None
    """With TARGETCOMPLETED: only these groups."""
    targetRuleIds: Ids | None = None
    """With TARGETCOMPLETED: only these targets."""
    milestones: list[Any] | None = None
    """None: a milestone is defined by POST /v3/targetGroups."""


class UnifiedPromotionBody(msgspec.Struct):
    """A promotion. Where one is replaced, what is absent takes its default."""

    metadata: UnifiedMetadataBody
    activities: list[ActivityBody] | None = None
    """At most one."""
    limits: LimitsBody | None = None
    issualExpiry: ExpiryBody | None = None
    earnExpiry: ExpiryBody | None = None
    redemptionLimits: list[RedemptionLimitBody] | None = None
    rewards: list[RewardBody] | None = None
    customerEnrolment: dict[str, Any] | None = None
    """Kept and shown."""
    workflowMetadata: dict[str, Any] | None = None
    """Kept and shown."""
    liabilityOwnerSplitInfo: list[Any] | None = None
    """Kept and shown."""


class ReviewBody(msgspec.Struct):
    """A decision on what waits for approval."""

    approvalStatus: Literal["APPROVE", "REJECT"]
    comment: Comment | None = None


class StateBody(msgspec.Struct):
    """The status that a promotion shall have."""

    status: wire.Text
    """PENDING_APPROVAL, ACTIVE, PAUSED or STOPPED."""
    comment: Comment | None = None


def unified_draft(body: UnifiedPromotionBody) -> PromotionDraft:
    """The draft of a promotion; raises 300004 for what has no counterpart here."""
    metadata = body.metadata
    if metadata.timezoneName is not None:
        known = zone(metadata.timezoneName)
        if isinstance(known, Refusal):
            raise Refused(known.error, f"metadata.timezoneName: {known.detail}")
    activities = body.activities or []
    if len(activities) > 1:
        raise Refused(INVALID_INPUT, "activities: must not have more than one entry.")
    activity = activities[0] if activities else None
    return PromotionDraft(
        program_id=metadata.programId,
        name=metadata.name,
        type=metadata.promotionType,
        starts_at=start_of(metadata.startDate),
        ends_at=end_of(metadata.endDate),
        identifier=metadata.promoIdentifier,
        description=metadata.description,
        limits=limits_draft(body.limits),
        issual_expiry=expiry_of(body.issualExpiry),
        earn_expiry=expiry_of(body.earnExpiry),
        criteria=criteria_of(_criteria_body(activity)) if activity is not None else None,
        rewards=reward_definitions(body.rewards),
        redemption_limits=redemption_limits_of(body.redemptionLimits),
        metadata=tuple(metadata.promotionMetadata or ()),
        vendor={
            "customerEnrolment": body.customerEnrolment,
            "workflowMetadata": body.workflowMetadata,
            "liabilityOwnerSplitInfo": body.liabilityOwnerSplitInfo,
            "timezoneName": metadata.timezoneName,
            "activity": {"id": activity.id, "name": activity.name}
            if activity is not None
            else None,
        },
        promotion_id=metadata.promotionId or None,
    )


def _criteria_body(activity: ActivityBody) -> CriteriaBody:
    if (activity.type or "SINGLE").upper() != "SINGLE":
        raise Refused(INVALID_INPUT, "activities[0].type: only SINGLE activities are supported.")
    if activity.milestones:
        raise Refused(
            INVALID_INPUT,
            "activities[0].milestones: a milestone is defined by POST /v3/targetGroups, and paid for "
            "by the event TARGETCOMPLETED with its id in targetGroupIds.",
        )
    return CriteriaBody(
        activity.event, activity.expression, activity.targetGroupIds, activity.targetRuleIds
    )
