"""Which promotions a list shows (domain: promotions §3.5, §3.8)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from milepost.rules.definitions import Promotion
from milepost.rules.frozen import dataclass
from milepost.rules.promotions import (
    KNOWN_EVENTS,
    approval_status,
    event_name,
    source_type,
    status,
)

SOURCE_TYPES = (
    "UI", "IMPORT", "GOODWILL", "CAMPAIGN", "POINTS_TRANSFER", "IMPORT_API", "PROMOTION_API",
    "POINTS_CONTRIBUTION_TO_GROUP", "MANUAL_POINTS_ADJUSTMENT", "BADGES", "USER_CREATED",
)  # fmt: skip
"""Those that the gateway can be asked for (§2.1); promotions come from some of them only."""
APPROVAL_STATUSES = (
    "DRAFT", "PENDING_APPROVAL", "ACTIVE", "PAUSED", "STOPPED", "INACTIVE", "LIVE", "UPCOMING",
    "EXPIRED",
)  # fmt: skip
"""Those that the list of unified promotions can be asked for."""
EVERY_EVENT = "ALL"
ANY_BEHAVIOURAL_EVENT = "GENERICEVENT"


@dataclass(frozen=True, slots=True)
class PromotionFilter:
    """What a promotion must have to be listed; an empty set or text and None ask for nothing.

    `statuses` are words of either kind, `rules/promotions.py` has both; `drafts_too` counts that of a draft
    that waits. `event` is in any case; GenericEvent is any behavioural one. `name` is a part of the name,
    `text` one of the name or description, in any case. `starts_at` and `ends_at` are the half-open window
    that the promotion's own must share an instant with.
    """

    program_id: int | None = None
    promotion_id: int | None = None
    statuses: frozenset[str] = frozenset()
    drafts_too: bool = False
    only_active: bool = False
    event: str = ""
    source_type: str = ""
    name: str = ""
    text: str = ""
    starts_at: datetime | None = None
    ends_at: datetime | None = None


def listed_promotions(
    promotions: Iterable[Promotion], wanted: PromotionFilter, now: datetime
) -> list[Promotion]:
    """The promotions that a filter lets through, newest id first."""
    found = [promotion for promotion in promotions if _listed(promotion, wanted, now)]
    return sorted(found, key=lambda promotion: promotion.id, reverse=True)


def _listed(promotion: Promotion, wanted: PromotionFilter, now: datetime) -> bool:
    if wanted.program_id not in (None, promotion.program_id):
        return False
    if wanted.promotion_id not in (None, promotion.id):
        return False
    if wanted.only_active and not promotion.is_on:
        return False
    if wanted.statuses and wanted.statuses.isdisjoint(_statuses(promotion, wanted, now)):
        return False
    if wanted.event and not _listens(promotion, wanted.event):
        return False
    if wanted.source_type and wanted.source_type != source_type(promotion):
        return False
    name = promotion.name.casefold()
    if wanted.name.casefold() not in name:
        return False
    text = wanted.text.casefold()
    if text not in name and text not in promotion.description.casefold():
        return False
    if wanted.starts_at is not None and promotion.ends_at <= wanted.starts_at:
        return False
    return wanted.ends_at is None or promotion.starts_at < wanted.ends_at


def _statuses(promotion: Promotion, wanted: PromotionFilter, now: datetime) -> set[str]:
    found: set[str] = {status(promotion, now), approval_status(promotion, now)}
    if wanted.drafts_too and promotion.draft is not None:
        found.add(promotion.draft.state)
    return found


def _listens(promotion: Promotion, event: str) -> bool:
    if event.upper() == EVERY_EVENT:
        return True
    criteria = promotion.criteria
    if criteria is None:
        return False
    if event.upper() == ANY_BEHAVIOURAL_EVENT:
        return criteria.event.upper() not in KNOWN_EVENTS
    return criteria.event == event_name(event)
