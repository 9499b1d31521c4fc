"""Define programs and promotions, change them, and take them through their approval (contract §7; domain:
promotions §1.3, §2).

Types, dates and the compiling of expressions are checked where they are read; every other bound is here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from milepost.errors import (
    INVALID_INPUT,
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
    PROMOTION_TYPES,
    TARGET_COMPLETED,
    UNLIMITED,
    Actor,
    Criteria,
    Definitions,
    Expiry,
    Limits,
    Program,
    Promotion,
    RedemptionLimit,
    RewardDefinition,
)
from milepost.rules.drafts import said
from milepost.rules.holdings import WINDOWS
from milepost.rules.names import name_key
from milepost.rules.promotions import event_name

NAME_CHARACTERS_MAX = 255
DESCRIPTION_CHARACTERS_MAX = 1_000
EVENT_CHARACTERS_MAX = 200
LIMIT_MAX = 10**9
IDS_MAX = 100
REDEMPTION_LIMITS_MAX = 20
METADATA_MAX = 50
PROGRAMS_MAX = 1_000
PROMOTIONS_MAX = 10_000
"""Per organisation, ended ones included."""
WINDOWED_TIMES_MAX = 10_000
"""Of a limit for all customers within a window: so many redemptions are looked at for one event."""

LIMIT_KPIS = ("TIMES", "POINTS")
LIMIT_SCOPES = ("EVENT", "CUSTOMER", "PROMOTION", "EARN")
_EXPIRY_TYPES = ("PROMOTION", "CUSTOM")
# From → to, on the way of a promotion that needs approval (domain: promotions §1.3).
_STEPS = {
    ("DRAFT", "PENDING_APPROVAL"),
    ("ACTIVE", "PAUSED"),
    ("PAUSED", "ACTIVE"),
    ("ACTIVE", "STOPPED"),
    ("PAUSED", "STOPPED"),
}


@dataclass(frozen=True, slots=True)
class LimitsDraft:
    """`limits` as sent."""

    issuals_per_customer: int | None = None
    earns_per_customer: int | None = None
    earns_per_promotion: int | None = None
    redemptions_per_earn: int | None = None


@dataclass(frozen=True, slots=True)
class PromotionDraft:
    """A promotion as sent; None is not said. Instants are read already."""

    program_id: int | None = None
    name: str | None = None
    type: str | None = None
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    identifier: str | None = None
    description: str | None = None
    active: bool | None = None
    limits: LimitsDraft = LimitsDraft()
    issual_expiry: Expiry | None = None
    earn_expiry: Expiry | None = None
    criteria: Criteria | None = None
    rewards: tuple[RewardDefinition, ...] | None = None
    redemption_limits: tuple[RedemptionLimit, ...] | None = None
    metadata: tuple[Mapping[str, object], ...] | None = None
    vendor: Mapping[str, object] | None = None
    promotion_id: int | None = None


def define_program(
    definitions: Definitions, name: str, program_id: int, actor: Actor
) -> Program | Refusal:
    """A new program; 300004 for a bad name or an id that is taken."""
    refusal = _check_label(name, "name")
    if refusal is not None:
        return refusal
    if program_id in definitions.programs:
        return refuse("programId", "is taken")
    if program_id < 1:
        return refuse("programId", "must be above 0")
    if len(definitions.programs) >= PROGRAMS_MAX:
        return Refusal(INVALID_INPUT, f"An organisation has at most {PROGRAMS_MAX:,} programs.")
    return Program(program_id, name, actor, actor)


def define_promotion(
    definitions: Definitions,
    draft: PromotionDraft,
    promotion_id: int,
    actor: Actor,
    state: str = "ACTIVE",
) -> Promotion | Refusal:
    """A new promotion; 300004, 1101 for an unknown program, 4003 or 4007 for what is taken."""
    if draft.program_id is None or draft.name is None or draft.type is None:
        return Refusal(INVALID_INPUT, "programId, name and type are required.")
    if draft.starts_at is None or draft.ends_at is None:
        return Refusal(INVALID_INPUT, "startDate and endDate are required.")
    if draft.type not in PROMOTION_TYPES:
        return refuse("type", f"must be one of {', '.join(PROMOTION_TYPES)}")
    if promotion_id < 1:
        return refuse("promotionId", "must be above 0")
    if promotion_id in definitions.promotions:
        return refuse("promotionId", "is taken")
    if len(definitions.promotions) >= PROMOTIONS_MAX:
        return Refusal(INVALID_INPUT, f"An organisation has at most {PROMOTIONS_MAX:,} promotions.")
    blank = Promotion(
        promotion_id,
        draft.program_id,
        draft.name,
        draft.type,
        draft.starts_at,
        draft.ends_at,
        active=said(draft.active, otherwise=True),
        state=state,
        created=actor,
        updated=actor,
    )
    return _checked(definitions, _with(blank, draft))


def edit_promotion(
    definitions: Definitions, promotion: Promotion, draft: PromotionDraft, actor: Actor
) -> Promotion | Refusal:
    """The promotion with what the draft says; what it does not say stays.

    Id, program and type never change, the start only until it has come (domain: promotions §1.3). Limits and
    expiries may change at any time: they apply to what is made later.
    """
    if draft.promotion_id not in (None, promotion.id):
        return refuse("promotionId", "is that of another promotion")
    if draft.program_id not in (None, promotion.program_id):
        return refuse("programId", "cannot be changed")
    if draft.type not in (None, promotion.type):
        return refuse("type", "cannot be changed")
    started = promotion.starts_at <= actor.at and promotion.state != "DRAFT"
    if started and draft.starts_at not in (None, promotion.starts_at):
        return refuse("startDate", "has come and cannot be changed")
    changed = _checked(definitions, _with(promotion, draft), promotion.criteria)
    if isinstance(changed, Refusal) or changed == promotion:
        return changed
    return replace(changed, updated=actor)


def replace_promotion(
    definitions: Definitions, promotion: Promotion, draft: PromotionDraft, actor: Actor
) -> Promotion | Refusal:
    """A full replacement: what is not said takes its default (domain: promotions §3.8, PUT).

    Before it is published the promotion itself changes; afterwards the edit waits as its draft, which has
    to be approved. The event it listens to does not change any more.
    """
    if draft.name is None or draft.starts_at is None or draft.ends_at is None:
        return Refusal(INVALID_INPUT, "name, startDate and endDate are required.")
    blank = Promotion(
        promotion.id,
        promotion.program_id,
        draft.name,
        promotion.type,
        promotion.starts_at,
        draft.ends_at,
        promotion.identifier,
        state=promotion.state,
        created=promotion.created,
        updated=promotion.updated,
    )
    edited = edit_promotion(definitions, blank, draft, actor)  # its criteria are checked anew
    if isinstance(edited, Refusal):
        return edited
    event = edited.criteria.event if edited.criteria is not None else None
    before = promotion.criteria.event if promotion.criteria is not None else None
    if event != before:
        return refuse("event", "cannot be changed")
    edited = replace(edited, updated=actor)
    if promotion.state in ("DRAFT", "PENDING_APPROVAL"):
        return replace(edited, state="DRAFT")
    if promotion.state == "STOPPED":
        return Refusal(INVALID_INPUT, "A stopped promotion cannot be changed.")
    return replace(promotion, draft=replace(edited, state="DRAFT"), updated=actor)


def change_state(promotion: Promotion, state: str, actor: Actor) -> Promotion | Refusal:
    """Submit for approval, pause, resume or stop; 300004 for a step that there is not.

    Of a published promotion with a draft, PENDING_APPROVAL submits the draft.
    """
    if state == "PENDING_APPROVAL" and promotion.draft is not None:
        if promotion.draft.state != "DRAFT":
            return Refusal(INVALID_INPUT, "The draft is submitted already.")
        return replace(promotion, draft=replace(promotion.draft, state=state), updated=actor)
    if (promotion.state, state) not in _STEPS:
        return Refusal(INVALID_INPUT, f"A promotion that is {promotion.state} cannot be {state}.")
    return replace(promotion, state=state, updated=actor)


def review(
    definitions: Definitions, promotion: Promotion, actor: Actor, *, approve: bool
) -> Promotion | Refusal:
    """Approve what waits for approval, which takes effect with that, or send it back to draft."""
    draft = promotion.draft
    if draft is not None and draft.state == "PENDING_APPROVAL":
        if not approve:
            return replace(promotion, draft=replace(draft, state="DRAFT"), updated=actor)
        applied = replace(
            draft, state=promotion.state, created=promotion.created, updated=actor, draft=None
        )
        return _checked(definitions, applied, promotion.criteria)
    if promotion.state != "PENDING_APPROVAL":
        return Refusal(INVALID_INPUT, "Only what is PENDING_APPROVAL can be reviewed.")
    return replace(promotion, state="ACTIVE" if approve else "DRAFT", updated=actor)


def discard_draft(promotion: Promotion, actor: Actor) -> Promotion | Refusal:
    """Throw away the draft of a published promotion; 300004 if it has none."""
    if promotion.draft is None:
        return Refusal(INVALID_INPUT, "The promotion has no draft.")
    return replace(promotion, draft=None, updated=actor)


def _with(promotion: Promotion, draft: PromotionDraft) -> Promotion:
    limits, sent = promotion.limits, draft.limits
    criteria = draft.criteria
    if criteria is not None:
        criteria = replace(criteria, event=event_name(criteria.event.strip()))
    rewards = promotion.rewards if draft.rewards is None else draft.rewards
    return replace(
        promotion,
        name=said(draft.name, promotion.name),
        starts_at=said(draft.starts_at, promotion.starts_at),
        ends_at=said(draft.ends_at, promotion.ends_at),
        identifier=said(draft.identifier, promotion.identifier),
        description=said(draft.description, promotion.description),
        active=said(draft.active, promotion.active),
        limits=Limits(
            said(sent.issuals_per_customer, limits.issuals_per_customer),
            said(sent.earns_per_customer, limits.earns_per_customer),
            said(sent.earns_per_promotion, limits.earns_per_promotion),
            said(sent.redemptions_per_earn, limits.redemptions_per_earn),
        ),
        issual_expiry=said(draft.issual_expiry, promotion.issual_expiry),
        earn_expiry=said(draft.earn_expiry, promotion.earn_expiry),
        criteria=said(criteria, promotion.criteria),
        rewards=rewards,
        redemption_limits=said(draft.redemption_limits, promotion.redemption_limits),
        metadata=said(draft.metadata, promotion.metadata),
        vendor={**promotion.vendor, **(draft.vendor or {})},
    )


def _checked(
    definitions: Definitions, promotion: Promotion, criteria: Criteria | None = None
) -> Promotion | Refusal:
    """The promotion with its words as the wire spells them, or what is wrong with it.

    `criteria` are those that it had: they stay, even if what they name has been deleted since.
    """
    if promotion.program_id not in definitions.programs:
        return Refusal(INVALID_PROGRAM_ID)
    refusal = (
        _check_label(promotion.name, "name")
        or _check_label(promotion.identifier, "promoIdentifier")
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


def _check_label(value: str | None, at: str) -> Refusal | None:
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
    if expiry.type not in _EXPIRY_TYPES:
        return refuse(f"{at}.type", f"must be one of {', '.join(_EXPIRY_TYPES)}")
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
