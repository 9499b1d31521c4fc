"""Define programs and promotions, change them, and take them through their approval (contract §7; domain:
promotions §1.3, §2).

Types, dates and the compiling of expressions are checked where they are read; every other bound is here and
in `rules/promotion_checks.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from milepost.errors import INVALID_INPUT, Refusal
from milepost.rules.checks import check_text, refuse
from milepost.rules.definitions import (
    PROMOTION_TYPES,
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
from milepost.rules.frozen import dataclass
from milepost.rules.promotion_checks import check_promotion_label, checked
from milepost.rules.promotions import event_name

PROGRAMS_MAX = 1_000
PROMOTIONS_MAX = 10_000
"""Per organisation, ended ones included."""
COMMENT_CHARACTERS_MAX = 150

STATES_ASKED = ("PENDING_APPROVAL", "ACTIVE", "PAUSED", "STOPPED")
"""Those that a promotion can be put into, as far as there is a step to them."""
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
    refusal = check_promotion_label(name, "name")
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
    return checked(definitions, _with(blank, draft))


def edit_promotion(
    definitions: Definitions, promotion: Promotion, draft: PromotionDraft, actor: Actor
) -> Promotion | Refusal:
    """The promotion with what the draft says; what it does not say stays.

    Id, program and type never change, the start only until it has come (domain: promotions §1.3). Limits and
    expiries may change at any time: they apply to what is made later. What waits for approval has to be
    submitted anew, for it is no longer what a reviewer has seen.
    """
    refusal = _check_kept(promotion, draft, actor)
    if refusal is not None:
        return refusal
    changed = checked(definitions, _with(promotion, draft), promotion.criteria)
    if isinstance(changed, Refusal) or changed == promotion:
        return changed
    return replace(changed, state=_edited_state(promotion), updated=actor)


def replace_promotion(
    definitions: Definitions, promotion: Promotion, draft: PromotionDraft, actor: Actor
) -> Promotion | Refusal:
    """A full replacement: what is not said takes its default (domain: promotions §3.8, PUT).

    But for what the promotion is known by, its id, program, type and identifier, for whether it is switched
    off, and for vendor fields: those not named stay. The event that it listens to does not change any more.

    Before it is published the promotion itself changes; afterwards the edit waits as its draft, which has
    to be approved.
    """
    if draft.name is None or draft.starts_at is None or draft.ends_at is None:
        return Refusal(INVALID_INPUT, "name, startDate and endDate are required.")
    if promotion.state == "STOPPED":
        return Refusal(INVALID_INPUT, "A stopped promotion cannot be changed.")
    refusal = _check_kept(promotion, draft, actor)
    if refusal is not None:
        return refusal
    blank = Promotion(
        promotion.id,
        promotion.program_id,
        draft.name,
        promotion.type,
        draft.starts_at,
        draft.ends_at,
        promotion.identifier,
        active=promotion.active,
        state="DRAFT",
        vendor=promotion.vendor,
        created=promotion.created,
        updated=actor,
    )
    edited = checked(definitions, _with(blank, draft), promotion.criteria)
    if isinstance(edited, Refusal):
        return edited
    event = edited.criteria.event if edited.criteria is not None else None
    if promotion.criteria is not None and event != promotion.criteria.event:
        return refuse("event", "cannot be changed")
    waiting = promotion.draft if promotion.is_published else promotion
    if waiting is not None and edited == replace(waiting, updated=actor):
        return promotion
    return replace(promotion, draft=edited, updated=actor) if promotion.is_published else edited


def change_state(
    promotion: Promotion, state: str, actor: Actor, comment: str | None = None
) -> Promotion | Refusal:
    """Submit for approval, pause, resume or stop; 300004 for a step that there is not.

    Of a published promotion with a draft, PENDING_APPROVAL submits the draft. To stop is for good, so the
    draft goes.
    """
    if state not in STATES_ASKED:
        return refuse("status", f"must be one of {', '.join(STATES_ASKED)}")
    refusal = check_text(comment, "comment", COMMENT_CHARACTERS_MAX)
    if refusal is not None:
        return refusal
    draft = promotion.draft
    if state == "PENDING_APPROVAL" and draft is not None:
        if draft.state != "DRAFT":
            return Refusal(INVALID_INPUT, "The draft is submitted already.")
        submitted = _commented(replace(draft, state=state, updated=actor), comment)
        return replace(promotion, draft=submitted, updated=actor)
    if (promotion.state, state) not in _STEPS:
        return Refusal(INVALID_INPUT, f"A promotion that is {promotion.state} cannot be {state}.")
    kept = None if state == "STOPPED" else draft
    return _commented(replace(promotion, state=state, draft=kept, updated=actor), comment)


def review(
    definitions: Definitions,
    promotion: Promotion,
    actor: Actor,
    *,
    approve: bool,
    comment: str | None = None,
) -> Promotion | Refusal:
    """Approve what waits for approval, which takes effect with that, or send it back to draft.

    The draft of a published promotion is checked anew, for names, dates and groups may have gone meanwhile:
    300004, 4003 or 4007.
    """
    refusal = check_text(comment, "comment", COMMENT_CHARACTERS_MAX)
    if refusal is not None:
        return refusal
    draft = promotion.draft
    if draft is None or draft.state != "PENDING_APPROVAL":
        if promotion.state != "PENDING_APPROVAL":
            return Refusal(INVALID_INPUT, "Only what is PENDING_APPROVAL can be reviewed.")
        state = "ACTIVE" if approve else "DRAFT"
        return _commented(replace(promotion, state=state, updated=actor), comment)
    if not approve:
        rejected = _commented(replace(draft, state="DRAFT", updated=actor), comment)
        return replace(promotion, draft=rejected, updated=actor)
    refusal = _check_start(promotion, draft.starts_at, actor)
    if refusal is not None:
        return refusal
    # What the draft has no word for is as it is now, not as it was when the draft was made.
    approved = replace(
        draft, state=promotion.state, active=promotion.active, draft=None, updated=actor
    )
    return checked(definitions, _commented(approved, comment), promotion.criteria)


def discard_draft(promotion: Promotion, actor: Actor) -> Promotion | Refusal:
    """Throw away the draft of a published promotion; 300004 if it has none."""
    if promotion.draft is None:
        return Refusal(INVALID_INPUT, "The promotion has no draft.")
    return replace(promotion, draft=None, updated=actor)


def _check_kept(promotion: Promotion, draft: PromotionDraft, actor: Actor) -> Refusal | None:
    """What an edit must leave as it is."""
    if draft.promotion_id not in (None, promotion.id):
        return refuse("promotionId", "is that of another promotion")
    if draft.program_id not in (None, promotion.program_id):
        return refuse("programId", "cannot be changed")
    if draft.type not in (None, promotion.type):
        return refuse("type", "cannot be changed")
    return _check_start(promotion, draft.starts_at, actor)


def _check_start(promotion: Promotion, starts_at: datetime | None, actor: Actor) -> Refusal | None:
    """The start of a published promotion changes only before it has come."""
    has_come = promotion.is_published and promotion.starts_at <= actor.at
    if has_come and starts_at not in (None, promotion.starts_at):
        return refuse("startDate", "has come and cannot be changed")
    return None


def _edited_state(promotion: Promotion) -> str:
    return "DRAFT" if promotion.state == "PENDING_APPROVAL" else promotion.state


def _commented(promotion: Promotion, comment: str | None) -> Promotion:
    """With the comment of who moved it on; the last one is kept."""
    if comment is None:
        return promotion
    return replace(promotion, vendor={**promotion.vendor, "comment": comment})


def _with(promotion: Promotion, draft: PromotionDraft) -> Promotion:
    limits, sent = promotion.limits, draft.limits
    criteria = draft.criteria
    if criteria is not None:
        criteria = replace(criteria, event=event_name(criteria.event.strip()))
    named = {**promotion.vendor, **(draft.vendor or {})}
    vendor = {name: value for name, value in named.items() if value is not None}
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
        rewards=said(draft.rewards, promotion.rewards),
        redemption_limits=said(draft.redemption_limits, promotion.redemption_limits),
        metadata=said(draft.metadata, promotion.metadata),
        vendor=vendor,
    )
