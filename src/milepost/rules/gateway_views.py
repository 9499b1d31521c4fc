"""How a promotion is shown in the form of the vendor's gateway, whatever the form it was made in (domain:
promotions §1.2, §1.6, §2.1).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from milepost.rules.calendar import written_instant_offset
from milepost.rules.definitions import (
    DIRECT,
    ENROL_AND_ISSUE,
    GENERIC,
    UNLIMITED,
    Expiry,
    Promotion,
)
from milepost.rules.gateway_promotions import (
    COUNTS,
    EXPIRIES,
    FLAT_LIMITS,
    LAPSES,
    MOVING_WINDOW,
    NAMES_OF_USES,
    NON_PERIOD_BASED,
    PERIOD_BASED,
    REDEMPTIONS,
    RESTRICTIONS,
    Restriction,
)
from milepost.rules.promotions import last_second

_NONE = Decimal(UNLIMITED)
_EARNING_TYPES = {DIRECT: "DIRECT_EARN", ENROL_AND_ISSUE: "ISSUE_AND_EARN"}
# Shown only where there is such a limit.
_SELDOM = frozenset({"MAX_NUMBER_OF_EARNS_PER_PROMOTION"})


def shown_dates(promotion: Promotion, zone: ZoneInfo) -> tuple[str, str]:
    """Start and end with the local offset, to the second; the end is the last one that is included."""
    return (
        written_instant_offset(promotion.starts_at, zone),
        written_instant_offset(last_second(promotion.ends_at), zone),
    )


def written_update(promotion: Promotion, zone: ZoneInfo) -> str | None:
    """When a promotion was last changed, with the local offset."""
    updated: datetime | None = promotion.updated.at if promotion.updated is not None else None
    return written_instant_offset(updated, zone) if updated is not None else None


def earning_type(promotion: Promotion) -> str | None:
    """`loyaltyEarningType`: as it was sent, else what the type amounts to; None for generic promotions."""
    kept = promotion.vendor.get("loyaltyEarningType")
    return str(kept) if kept is not None else _EARNING_TYPES.get(promotion.type)


def shown_restrictions(promotion: Promotion) -> dict[str, list[Restriction]]:
    """The lists of restrictions that limits and expiries come to.

    Of a generic promotion only those of redemptions: nothing of it is issued.
    """
    shown: dict[str, list[Restriction]] = {place: [] for place in RESTRICTIONS}
    is_issued = promotion.type != GENERIC
    for name, (place, limit) in COUNTS.items():
        value = _count(promotion, limit)
        if (is_issued or place == REDEMPTIONS) and (name not in _SELDOM or value != UNLIMITED):
            shown[place].append(Restriction(name, Decimal(value), NON_PERIOD_BASED))
    shown[REDEMPTIONS] += _uses(promotion)
    if is_issued:
        expiries = {"issual": promotion.issual_expiry, "earn": promotion.earn_expiry}
        shown[EXPIRIES] = [_lapse(name, expiries[record]) for name, record in LAPSES.items()]
    return shown


def shown_limits(promotion: Promotion) -> dict[str, Decimal]:
    """The flat `limits`: those that hold for ever, -1 for none."""
    return {name: _most(promotion, *what) for name, what in FLAT_LIMITS.items()}


def shown_rulesets(promotion: Promotion) -> list[object]:
    """`rulesetInfos`: what was sent, with the condition that holds now; else one of that condition alone."""
    kept = promotion.vendor.get("rulesetInfos")
    rulesets: Sequence[object] = kept if isinstance(kept, list | tuple) else ()
    criteria = promotion.criteria
    if criteria is None:
        return list(rulesets)
    if not rulesets:
        rule = {"exp": criteria.expression, "isActive": True, "priority": 1}
        made = {"contextType": "program", "contextID": promotion.program_id, "rules": [rule]}
        return [made]
    first, *others = rulesets
    assert isinstance(first, Mapping)
    (sent,) = first["rules"]
    if (sent.get("exp") or "").strip() == criteria.expression:
        return list(rulesets)
    # Translated from the tree, or edited since: then the tree may say something else.
    said = {name: value for name, value in sent.items() if name != "expJSON"}
    return [{**first, "rules": [{**said, "exp": criteria.expression}]}, *others]


def _count(promotion: Promotion, limit: str) -> int:
    count = int(getattr(promotion.limits, limit))
    if limit != "redemptions_per_earn":
        return count
    # The plain way may limit the times of a record in two places.
    also = _most(promotion, "TIMES", "EARN")
    known = [int(each) for each in (count, also) if each != UNLIMITED]
    return min(known) if known else UNLIMITED


def _uses(promotion: Promotion) -> Iterator[Restriction]:
    for limit in promotion.redemption_limits:
        name = NAMES_OF_USES.get((limit.kpi, limit.on))
        if name is None:
            continue
        if limit.window is None:
            yield Restriction(name, limit.most, NON_PERIOD_BASED)
        else:
            yield Restriction(name, limit.most, PERIOD_BASED, MOVING_WINDOW, limit.window)


def _lapse(name: str, expiry: Expiry) -> Restriction:
    days = Decimal(expiry.days) if expiry.type == "CUSTOM" and expiry.days is not None else None
    return Restriction(name, days, expiry.type)


def _most(promotion: Promotion, kpi: str, on: str) -> Decimal:
    """The least of the limits that hold for ever; -1 for none."""
    found = [
        limit.most
        for limit in promotion.redemption_limits
        if (limit.kpi, limit.on) == (kpi, on) and limit.window is None
    ]
    return min(found) if found else _NONE
