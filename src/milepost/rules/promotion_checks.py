"""What a promotion may be: every bound of its fields, and what must be unique in its program (contract §7;
domain: promotions §1.5, §1.6, §2.1).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

from milepost.errors import (
    INVALID_PROGRAM_ID,
    PROMOTION_IDENTIFIER_TAKEN,
    PROMOTION_NAME_TAKEN,
    Refusal,
)
from milepost.rules.activities import RETURN_BILL
from milepost.rules.calendar import DAYS_MAX
from milepost.rules.checks import (
    check_amount,
    check_count,
    check_integer,
    check_json,
    check_rewards,
    check_text,
    refuse,
    spelt_rewards,
)
from milepost.rules.definitions import (
    TARGET_COMPLETED,
    UNLIMITED,
    Criteria,
    Definitions,
    Expiry,
    Limits,
    Promotion,
    RedemptionLimit,
)
from milepost.rules.holdings import WINDOWS
from milepost.rules.names import name_key

NAME_CHARACTERS_MAX = 255
DESCRIPTION_CHARACTERS_MAX = 1_000
EVENT_CHARACTERS_MAX = 200
LIMIT_MAX = 10**9
IDS_MAX = 100
REDEMPTION_LIMITS_MAX = 20
METADATA_MAX = 50
WINDOWED_TIMES_MAX = 10_000
"""Of a limit for all customers within a window: so many redemptions are looked at for one event."""

LIMIT_KPIS = ("TIMES", "POINTS")
LIMIT_SCOPES = ("EVENT", "CUSTOMER", "PROMOTION", "EARN")
EXPIRY_TYPES = ("PROMOTION", "CUSTOM")


def checked(
    definitions: Definitions, promotion: Promotion, criteria: Criteria | None = None
) -> Promotion | Refusal:
    """The promotion with its words as the wire spells them, or what is wrong with it.

    `criteria` are those that it had: they stay, even if what they name has been deleted since.
    """
    if promotion.program_id not in definitions.programs:
        return Refusal(INVALID_PROGRAM_ID)
    refusal = (
        check_promotion_label(promotion.name, "name")
        or check_promotion_label(promotion.identifier, "promoIdentifier")
        or check_text(promotion.description, "description", DESCRIPTION_CHARACTERS_MAX)
        or _check_dates(promotion)
        or _check_limits(promotion.limits)
        or _check_expiry(promotion.issual_expiry, "issualExpiry")
        or _check_expiry(promotion.earn_expiry, "earnExpiry")
        or (promotion.criteria != criteria and _check_criteria(definitions, promotion.criteria))
        or check_rewards(promotion.rewards, "rewards")
        or _check_redemption_limits(promotion.redemption_limits)
        or check_count(promotion.metadata, "promotionMetadata", METADATA_MAX)
        or check_json(promotion.metadata, "promotionMetadata")
        or check_json(promotion.vendor, "promotion")
        or _check_taken(definitions, promotion)
    )
    if refusal:
        return refusal
    return replace(promotion, rewards=spelt_rewards(promotion.rewards))


def check_promotion_label(value: str | None, at: str) -> Refusal | None:
    """1 to 255 characters that say something."""
    if value is None:
        return None
    if not value.strip():
        return refuse(at, "must not be blank")
    return check_text(value, at, NAME_CHARACTERS_MAX)


def _check_dates(promotion: Promotion) -> Refusal | None:
    if promotion.starts_at < promotion.ends_at:
        return None
    return refuse("endDate", "must not be before startDate")


def _check_limits(limits: Limits) -> Refusal | None:
    for name, limit in (
        ("issualsPerCustomer", limits.issuals_per_customer),
        ("earnsPerCustomer", limits.earns_per_customer),
        ("earnsPerPromotion", limits.earns_per_promotion),
        ("redemptionsPerEarn", limits.redemptions_per_earn),
    ):
        if limit != UNLIMITED and not 1 <= limit <= LIMIT_MAX:
            return refuse(f"limits.{name}", f"must be 1 to {LIMIT_MAX:,}, or {UNLIMITED} for none")
    return None


def _check_expiry(expiry: Expiry, at: str) -> Refusal | None:
    if expiry.type not in EXPIRY_TYPES:
        return refuse(f"{at}.type", f"must be one of {', '.join(EXPIRY_TYPES)}")
    if expiry.type == "PROMOTION":
        return None
    if expiry.days is None:
        return refuse(f"{at}.days", "is required with CUSTOM")
    return check_integer(expiry.days, f"{at}.days", 1, DAYS_MAX)


def _check_criteria(definitions: Definitions, criteria: Criteria | None) -> Refusal | None:
    if criteria is None:
        return None
    if not criteria.event:
        return refuse("criteria.event", "must not be blank")
    refusal = check_text(criteria.event, "criteria.event", EVENT_CHARACTERS_MAX)
    if refusal is not None:
        return refusal
    if criteria.event == RETURN_BILL:
        return refuse("criteria.event", "names returns, for which nothing is paid")
    groups, targets = criteria.target_group_ids, criteria.target_ids
    if (groups or targets) and criteria.event != TARGET_COMPLETED:
        return refuse("criteria", f"takes target ids with the event {TARGET_COMPLETED} only")
    refusal = check_count(groups, "criteria.targetGroupIds", IDS_MAX) or check_count(
        targets, "criteria.targetRuleIds", IDS_MAX
    )
    if refusal is not None:
        return refusal
    for group_id in groups:
        if group_id not in definitions.groups:
            return refuse("criteria.targetGroupIds", f"has {group_id}, which is no target group")
    for target_id in targets:
        group = definitions.groups_by_target.get(target_id)
        if group is None:
            return refuse("criteria.targetRuleIds", f"has {target_id}, which is no target")
        if groups and group.id not in groups:
            return refuse("criteria.targetRuleIds", f"has {target_id}, which is of another group")
    return None


def _check_redemption_limits(limits: Sequence[RedemptionLimit]) -> Refusal | None:
    refusal = check_count(limits, "redemptionLimits", REDEMPTION_LIMITS_MAX)
    if refusal is not None:
        return refusal
    for index, limit in enumerate(limits):
        at = f"redemptionLimits[{index}]"
        if limit.kpi not in LIMIT_KPIS:
            return refuse(f"{at}.kpi", f"must be one of {', '.join(LIMIT_KPIS)}")
        if limit.on not in LIMIT_SCOPES:
            return refuse(f"{at}.limitOn", f"must be one of {', '.join(LIMIT_SCOPES)}")
        if limit.window is not None and limit.window not in WINDOWS:
            return refuse(f"{at}.periodUnit", f"must be one of {', '.join(WINDOWS)}")
        refusal = check_amount(limit.most, f"{at}.maxLimit") or _check_scope(limit, at)
        if refusal is not None:
            return refusal
    return None


def _check_scope(limit: RedemptionLimit, at: str) -> Refusal | None:
    """What a limit of this scope can be."""
    if limit.kpi == "TIMES":
        if limit.most != limit.most.to_integral_value() or limit.most < Decimal(1):
            return refuse(f"{at}.maxLimit", "must be an integer from 1")
        if limit.on == "EVENT":
            return refuse(f"{at}.kpi", "must be POINTS for an EVENT, which is paid once")
    if limit.window is None:
        return None
    if limit.on in ("EVENT", "EARN"):
        return refuse(f"{at}.periodUnit", "goes with CUSTOMER and PROMOTION")
    if limit.on == "PROMOTION" and (limit.kpi == "POINTS" or limit.most > WINDOWED_TIMES_MAX):
        return refuse(
            f"{at}.periodUnit",
            f"goes with PROMOTION for up to {WINDOWED_TIMES_MAX:,} TIMES only",
        )
    return None


def _check_taken(definitions: Definitions, promotion: Promotion) -> Refusal | None:
    for other in definitions.promotions.values():
        if other.id == promotion.id or other.program_id != promotion.program_id:
            continue
        if name_key(other.name) == name_key(promotion.name):
            return Refusal(PROMOTION_NAME_TAKEN)
        if other.identifier is not None and other.identifier == promotion.identifier:
            return Refusal(PROMOTION_IDENTIFIER_TAKEN)
    return None
