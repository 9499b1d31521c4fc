"""What the vendor's clients send to create a promotion over the gateway (domain: promotions §2.1).

The structs hold types and sizes; what a promotion in this form may be is in `rules/gateway_promotions.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec

from milepost.api import wire
from milepost.api.promotion_bodies import Ids
from milepost.api.target_group_bodies import RewardBody, reward_definitions
from milepost.api.target_group_views import AnyNumber
from milepost.rules.gateway_promotions import (
    EARNS,
    EXPIRIES,
    ISSUALS,
    REDEMPTIONS,
    GatewayDraft,
    Restriction,
)

# Decoded whatever they are: a wrong one has a code of its own.
Rulesets = Annotated[
    Any,
    msgspec.Meta(
        extra_json_schema={
            "type": ["array", "null"],
            "maxItems": 1,
            "items": {
                "type": "object",
                "properties": {
                    "rules": {
                        "type": "array",
                        "minItems": 1,
                        "maxItems": 1,
                        "items": {
                            "type": "object",
                            "properties": {
                                "exp": {"type": ["string", "null"]},
                                "expJSON": {"type": ["string", "null"]},
                                "isActive": {"type": ["boolean", "null"]},
                                "caseToActions": {"type": ["object", "null"]},
                            },
                        },
                    },
                    "filterInfo": {"type": ["array", "null"]},
                },
                "required": ["rules"],
            },
            "description": "`exp` of the one rule is the condition, in CEL; where it is none, `expJSON`. "
            "Actions and filters are kept and shown.",
        }
    ),
]
Conditions = Annotated[
    Any,
    msgspec.Meta(
        extra_json_schema={"type": ["array", "null"], "maxItems": 0, "description": "Unsupported."}
    ),
]
Kept = Annotated[Any, msgspec.Meta(extra_json_schema={"description": "Kept and shown."})]


class RestrictionBody(msgspec.Struct):
    """A restriction by its stored name; a `value` of -1 is none."""

    name: wire.Text
    value: AnyNumber | None = None
    """Of a CUSTOM expiry: a number of days."""
    type: wire.Text | None = None
    """PERIOD_BASED or NON_PERIOD_BASED (default); of an expiry: PROMOTION or CUSTOM."""
    periodType: wire.Text | None = None
    """MOVING_WINDOW."""
    periodUnit: wire.Text | None = None
    """DAILY, WEEKLY or MONTHLY."""


Restrictions = Annotated[list[RestrictionBody], msgspec.Meta(max_length=100)]


class RestrictionsBody(msgspec.Struct):
    """Restrictions; in which of the lists one stands doesn't matter."""

    redemptionRestrictions: Restrictions | None = None
    issualRestrictions: Restrictions | None = None
    earnRestrictions: Restrictions | None = None
    expiryRestrictions: Restrictions | None = None


class PromotionRestrictionsBody(msgspec.Struct):
    """Restrictions, the targets that are paid for (with TARGETCOMPLETED), and what is only kept."""

    restrictions: RestrictionsBody | None = None
    loyaltyEarningType: wire.Text | None = None
    """DIRECT, DIRECT_EARN or ISSUE_AND_EARN; kept beside `pointsOfferType`, which decides."""
    targetGroupIds: Ids | None = None
    targetRuleIds: Ids | None = None
    scope: Kept = None
    expiryReminder: Kept = None
    isStackable: bool | None = None
    isConsideredForRanking: bool | None = None
    isExclusive: bool | None = None
    isAlwaysApply: bool | None = None


class FlatLimitsBody(msgspec.Struct):
    """Limits that hold for ever; -1 is none."""

    pointsPerCustomer: AnyNumber | None = None
    numberOfTimesPerCustomer: AnyNumber | None = None
    totalPointsInPromotion: AnyNumber | None = None
    totalPointsPerEventLimit: AnyNumber | None = None


class GatewayPromotionBody(msgspec.Struct):
    """A promotion in the gateway's form."""

    id: wire.Id | None = None
    """-1."""
    name: wire.Text | None = None
    description: wire.Text | None = None
    programId: wire.Id | None = None
    """That of the path."""
    identifier: wire.Text | None = None
    """Absent: a new UUID."""
    startDate: wire.Text | None = None
    """An instant; the promotion starts with its local day."""
    endDate: wire.Text | None = None
    """An instant; the promotion ends with its local day."""
    eventName: wire.Text | None = None
    pointsOfferType: wire.Text | None = None
    """GENERIC, LOYALTY or LOYALTY_EARNING."""
    promotionSourceType: wire.Text | None = None
    """PROMOTION_API, CAMPAIGN, BADGES or USER_CREATED."""
    isActive: bool | None = None
    limits: FlatLimitsBody | None = None
    promotionRestrictions: PromotionRestrictionsBody | None = None
    rulesetInfos: Rulesets = None
    qualifyingConditions: Conditions = None
    promotionMetadata: list[dict[str, Any]] | None = None
    rewards: list[RewardBody] | None = None
    """What the promotion pays; without it, nothing."""
    allocatePointsOn: wire.Text | None = None
    """Kept and shown."""
    promotionType: wire.Text | None = None
    """Kept and shown."""
    useProportions: bool | None = None
    """Kept and shown."""


class CreatePromotionBody(msgspec.Struct):
    """A promotion to create."""

    promotion: GatewayPromotionBody


def gateway_draft(body: GatewayPromotionBody, program_id: int, identifier: str) -> GatewayDraft:
    """The draft of a promotion; `identifier` is that of one which has none of its own."""
    restricted = body.promotionRestrictions or PromotionRestrictionsBody()
    lists = restricted.restrictions or RestrictionsBody()
    limits = body.limits or FlatLimitsBody()
    return GatewayDraft(
        program_id,
        body.id,
        body.name,
        body.description,
        body.identifier if body.identifier is not None else identifier,
        body.startDate,
        body.endDate,
        body.eventName,
        body.pointsOfferType,
        body.promotionSourceType,
        restricted.loyaltyEarningType,
        body.isActive,
        {
            ISSUALS: _restrictions(lists.issualRestrictions),
            EARNS: _restrictions(lists.earnRestrictions),
            REDEMPTIONS: _restrictions(lists.redemptionRestrictions),
            EXPIRIES: _restrictions(lists.expiryRestrictions),
        },
        {name: getattr(limits, name) for name in limits.__struct_fields__},
        tuple(restricted.targetGroupIds or ()),
        tuple(restricted.targetRuleIds or ()),
        body.rulesetInfos,
        body.qualifyingConditions,
        tuple(body.promotionMetadata) if body.promotionMetadata is not None else None,
        reward_definitions(body.rewards),
        {
            "allocatePointsOn": body.allocatePointsOn,
            "promotionType": body.promotionType,
            "useProportions": body.useProportions,
            "promotionRestrictions": {
                "scope": restricted.scope,
                "expiryReminder": restricted.expiryReminder,
                "isStackable": restricted.isStackable,
                "isConsideredForRanking": restricted.isConsideredForRanking,
                "isExclusive": restricted.isExclusive,
                "isAlwaysApply": restricted.isAlwaysApply,
            },
        },
    )


def _restrictions(bodies: Sequence[RestrictionBody] | None) -> tuple[Restriction, ...]:
    return tuple(
        Restriction(body.name, body.value, body.type, body.periodType, body.periodUnit)
        for body in bodies or ()
    )
