"""A promotion in the form of the vendor's gateway: what is sent becomes a draft (domain: promotions §1.2,
§1.5, §1.6, §2.1, §3.5). How one is shown in that form is in `rules/gateway_views.py`.

The gateway says one thing in several places; what has no counterpart here is refused, unless it only has
to be kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple, TypeVar
from zoneinfo import ZoneInfo

from milepost.errors import (
    ACTION_INVALID,
    END_DATE_MISSING,
    FILTER_INVALID,
    ONE_RULESET_REQUIRED,
    RULESET_INVALID,
    SOURCE_TYPE_MISSING,
    START_DATE_MISSING,
    TARGETS_MISSING,
    Refusal,
)
from milepost.rules.checks import JSON_CHARACTERS_MAX, refuse
from milepost.rules.definitions import (
    DIRECT,
    PROMOTION_TYPES,
    UNLIMITED,
    Criteria,
    Expiry,
    RedemptionLimit,
    RewardDefinition,
)
from milepost.rules.expression_json import translate_expression_json
from milepost.rules.frozen import dataclass
from milepost.rules.holdings import WINDOWS
from milepost.rules.promotion_checks import EXPIRY_TYPES, LIMIT_MAX
from milepost.rules.promotion_edits import LimitsDraft, PromotionDraft
from milepost.rules.promotions import day_bounds, read_end, read_start

T = TypeVar("T")

USER_CREATED = "USER_CREATED"
SOURCE_TYPES_SENT = ("PROMOTION_API", "CAMPAIGN", "BADGES", USER_CREATED)
EARNING_TYPES = {
    "DIRECT": "DIRECT_EARN",
    "DIRECT_EARN": "DIRECT_EARN",
    "ISSUE_AND_EARN": "ISSUE_AND_EARN",
}
"""As sent → as kept (§8, Q16)."""
FILTER_NAMES = ("LoyaltyType", "EventSource")
"""Filters of a ruleset: kept, for what they say of an event is not known here."""
REDEMPTIONS_PER_EARN = 100
"""Of one earned record, where the gateway is told nothing (§1.6)."""

ISSUALS = "issualRestrictions"
EARNS = "earnRestrictions"
REDEMPTIONS = "redemptionRestrictions"
EXPIRIES = "expiryRestrictions"
RESTRICTIONS = (ISSUALS, EARNS, REDEMPTIONS, EXPIRIES)
PERIOD_BASED = "PERIOD_BASED"
NON_PERIOD_BASED = "NON_PERIOD_BASED"
MOVING_WINDOW = "MOVING_WINDOW"

COUNTS: Mapping[str, tuple[str, str]] = {
    "MAX_NUMBER_OF_ISSUALS_PER_CUSTOMER": (ISSUALS, "issuals_per_customer"),
    "MAX_NUMBER_OF_EARNS_PER_CUSTOMER": (EARNS, "earns_per_customer"),
    "MAX_NUMBER_OF_EARNS_PER_PROMOTION": (EARNS, "earns_per_promotion"),
    "MAX_REDEMPTIONS_PER_EARN_PER_CUSTOMER": (REDEMPTIONS, "redemptions_per_earn"),
}
"""The stored names of limits → where they are shown, and the limit (§1.6)."""
USES: Mapping[str, tuple[str, str]] = {
    "MAX_POINTS_PER_EARN_PER_CUSTOMER": ("POINTS", "EARN"),
    "MAX_ALLOWED_POINTS_PER_EVENT": ("POINTS", "EVENT"),
    "MAX_ALLOWED_POINTS_PER_CUSTOMER": ("POINTS", "CUSTOMER"),
    "MAX_ALLOWED_POINTS_PER_PROMOTION": ("POINTS", "PROMOTION"),
    "MAX_ALLOWED_TIMES_PER_CUSTOMER": ("TIMES", "CUSTOMER"),
    "MAX_ALLOWED_TIMES_PER_PROMOTION": ("TIMES", "PROMOTION"),
}
"""The stored names of limits of redemptions → what they limit, and where."""
NAMES_OF_USES = {what: name for name, what in USES.items()}
LAPSES = {
    "ISSUAL_PROMOTION_EXPIRY_BASED_ON": "issual",
    "EARN_PROMOTION_EXPIRY_BASED_ON": "earn",
}
"""The stored names of expiries → of which record (§1.5)."""
FLAT_LIMITS: Mapping[str, tuple[str, str]] = {
    "pointsPerCustomer": ("POINTS", "CUSTOMER"),
    "numberOfTimesPerCustomer": ("TIMES", "CUSTOMER"),
    "totalPointsInPromotion": ("POINTS", "PROMOTION"),
    "totalPointsPerEventLimit": ("POINTS", "EVENT"),
}
"""`limits`, which says some of the restrictions once more."""


class Restriction(NamedTuple):
    """One restriction. `value` is the limit, -1 for none; of an expiry it is a number of days."""

    name: str
    value: Decimal | None = None
    type: str | None = None
    period_type: str | None = None
    period_unit: str | None = None


@dataclass(frozen=True, slots=True)
class GatewayDraft:
    """A promotion as it is sent to the gateway; None is not said. Dates are texts.

    `restrictions` has the lists by their names, `limits` the flat limits by theirs. `rulesets` and
    `conditions` (`qualifyingConditions`) are JSON as decoded. `kept` are fields that are only kept.
    """

    program_id: int
    id: int | None = None
    name: str | None = None
    description: str | None = None
    identifier: str | None = None
    start_date: str | None = None
    end_date: str | None = None
    event: str | None = None
    offer_type: str | None = None
    source_type: str | None = None
    earning_type: str | None = None
    active: bool | None = None
    restrictions: Mapping[str, Sequence[Restriction]] = field(default_factory=dict)
    limits: Mapping[str, Decimal | None] = field(default_factory=dict)
    target_group_ids: tuple[int, ...] = ()
    target_ids: tuple[int, ...] = ()
    rulesets: object = None
    conditions: object = None
    metadata: tuple[Mapping[str, object], ...] | None = None
    rewards: tuple[RewardDefinition, ...] | None = None
    kept: Mapping[str, object] = field(default_factory=dict)


@dataclass(slots=True)
class _Limited:
    """What restrictions and limits come to."""

    counts: dict[str, int] = field(default_factory=dict)
    uses: list[RedemptionLimit] = field(default_factory=list)
    lapses: dict[str, Expiry] = field(default_factory=dict)


def read_gateway_draft(
    sent: GatewayDraft, zone: ZoneInfo, is_expression: Callable[[str], bool]
) -> PromotionDraft | Refusal:
    """The draft that is meant; dates become whole days of the organisation's `zone` (§2.1).

    `is_expression` says whether a text is a condition that can be evaluated. 4011, 4012, 4074–4080 as in
    §3.5, else 300004.
    """
    refusal = _check_said(sent)
    if refusal is not None:
        return refusal
    dates = _read_dates(sent, zone)
    if isinstance(dates, Refusal):
        return dates
    expression = _read_rulesets(sent, is_expression)
    if isinstance(expression, Refusal):
        return expression
    limited = _read_limits(sent)
    if isinstance(limited, Refusal):
        return limited
    assert sent.event is not None
    kept = {
        **sent.kept,
        "promotionSourceType": (sent.source_type or "").upper(),
        "loyaltyEarningType": EARNING_TYPES.get((sent.earning_type or "").upper()),
        "rulesetInfos": sent.rulesets,
    }
    return PromotionDraft(
        sent.program_id,
        sent.name,
        (sent.offer_type or "").upper(),
        *dates,
        sent.identifier,
        sent.description,
        sent.active,
        LimitsDraft(**limited.counts),
        limited.lapses.get("issual"),
        limited.lapses.get("earn"),
        Criteria(sent.event, expression, sent.target_group_ids, sent.target_ids),
        sent.rewards,
        tuple(limited.uses),
        sent.metadata,
        kept,
    )


def _check_said(sent: GatewayDraft) -> Refusal | None:
    """What must be said, and said in words that there are."""
    if sent.start_date is None:
        return Refusal(START_DATE_MISSING)
    if sent.end_date is None:
        return Refusal(END_DATE_MISSING)
    if (sent.source_type or "").upper() not in SOURCE_TYPES_SENT:
        choices = ", ".join(SOURCE_TYPES_SENT)
        return Refusal(SOURCE_TYPE_MISSING, f"(promotionSourceType: one of {choices})")
    is_user_created = (sent.source_type or "").upper() == USER_CREATED
    if is_user_created and not (sent.target_group_ids and sent.target_ids):
        return Refusal(TARGETS_MISSING)
    if sent.id is not None and sent.id > 0:
        return refuse("id", "must be -1, for a new promotion")
    if sent.name is None:
        return refuse("name", "is required")
    if sent.event is None:
        return refuse("eventName", "is required")
    if (sent.offer_type or "").upper() not in PROMOTION_TYPES:
        return refuse("pointsOfferType", f"must be one of {', '.join(PROMOTION_TYPES)}")
    if sent.earning_type is not None and sent.earning_type.upper() not in EARNING_TYPES:
        return refuse("loyaltyEarningType", f"must be one of {', '.join(EARNING_TYPES)}")
    if sent.conditions:
        return refuse("qualifyingConditions", "are not supported: a rule's exp is the condition")
    return None


def _read_dates(sent: GatewayDraft, zone: ZoneInfo) -> tuple[datetime, datetime] | Refusal:
    assert sent.start_date is not None
    assert sent.end_date is not None
    starts_at, ends_at = read_start(sent.start_date), read_end(sent.end_date)
    if isinstance(starts_at, Refusal):
        return Refusal(starts_at.error, f"startDate: {starts_at.detail}")
    if isinstance(ends_at, Refusal):
        return Refusal(ends_at.error, f"endDate: {ends_at.detail}")
    if ends_at <= starts_at:
        return refuse("endDate", "must not be before startDate")
    return day_bounds(starts_at, ends_at, zone)


# Rulesets


def _read_rulesets(sent: GatewayDraft, is_expression: Callable[[str], bool]) -> str | Refusal:
    """The condition of the one rule of the one ruleset; without a ruleset there is none."""
    rulesets = [] if sent.rulesets is None else sent.rulesets
    if not isinstance(rulesets, list):
        return Refusal(RULESET_INVALID, "rulesetInfos: must be a list.")
    is_user_created = (sent.source_type or "").upper() == USER_CREATED
    if len(rulesets) > 1 or (is_user_created and not rulesets):
        return Refusal(ONE_RULESET_REQUIRED)
    if not rulesets:
        return "true"
    (ruleset,) = rulesets
    if not isinstance(ruleset, Mapping):
        return Refusal(RULESET_INVALID, "rulesetInfos[0]: must be an object.")
    filters = ruleset.get("filterInfo")
    for each in filters if isinstance(filters, list) else ():
        name = each.get("filterName", each.get("name")) if isinstance(each, Mapping) else each
        if name is not None and name not in FILTER_NAMES:
            return Refusal(FILTER_INVALID, f"(one of {', '.join(FILTER_NAMES)})")
    rules = ruleset.get("rules")
    if not isinstance(rules, list) or len(rules) != 1 or not isinstance(rules[0], Mapping):
        return Refusal(RULESET_INVALID, "rulesetInfos[0].rules: must be a list of one object.")
    (rule,) = rules
    if rule.get("isActive") not in (None, True):
        return Refusal(RULESET_INVALID, "rulesetInfos[0].rules[0].isActive: must be true.")
    return _check_actions(rule.get("caseToActions")) or _read_condition(rule, is_expression)


def _check_actions(cases: object) -> Refusal | None:
    """The actions of a rule, which are kept: each has a name and its properties (4080)."""
    if cases is None:
        return None
    at = "rulesetInfos[0].rules[0].caseToActions"
    if not isinstance(cases, Mapping):
        return Refusal(RULESET_INVALID, f"{at}: must be an object.")
    for actions in cases.values():
        if not isinstance(actions, list):
            return Refusal(RULESET_INVALID, f"{at}: must have lists of actions.")
        for action in actions:
            name = action.get("actionName") if isinstance(action, Mapping) else None
            if not isinstance(name, str) or not name.strip():
                return Refusal(ACTION_INVALID, "(actionName)")
            if not isinstance(action.get("mandatoryPropertiesValues"), Mapping):
                return Refusal(ACTION_INVALID, "(mandatoryPropertiesValues)")
    return None


def _read_condition(
    rule: Mapping[str, object], is_expression: Callable[[str], bool]
) -> str | Refusal:
    """`exp` where it is an expression as they are here, else what `expJSON` says, which means the same."""
    written, tree = rule.get("exp"), rule.get("expJSON")
    if not isinstance(written, str | None) or not isinstance(tree, str | None):
        return Refusal(RULESET_INVALID, "rulesetInfos[0].rules[0]: exp and expJSON must be texts.")
    written, tree = (written or "").strip(), (tree or "").strip()
    if len(tree) > JSON_CHARACTERS_MAX:
        return Refusal(RULESET_INVALID, "rulesetInfos[0].rules[0].expJSON: is too long.")
    if not written and not tree:
        return Refusal(RULESET_INVALID, "rulesetInfos[0].rules[0]: exp or expJSON is required.")
    if not tree or (written and is_expression(written)):
        return written
    return translate_expression_json(tree)


# Limits


def _read_limits(sent: GatewayDraft) -> _Limited | Refusal:
    """What the restrictions and the flat limits say, together."""
    limited = _Limited()
    for place in RESTRICTIONS:
        for index, restriction in enumerate(sent.restrictions.get(place, ())):
            refusal = _read_restriction(limited, restriction, f"{place}[{index}]")
            if refusal is not None:
                return refusal
    for name, value in sent.limits.items():
        refusal = _add_use(limited, FLAT_LIMITS[name], value, None, f"limits.{name}")
        if refusal is not None:
            return refusal
    limited.counts.setdefault("redemptions_per_earn", REDEMPTIONS_PER_EARN)
    if (sent.offer_type or "").upper() == DIRECT:
        # The vendor speaks of its issuals where nothing but earned records is limited (§1.5, §1.6).
        if "issuals_per_customer" in limited.counts:
            limited.counts.setdefault("earns_per_customer", limited.counts["issuals_per_customer"])
        if "issual" in limited.lapses:
            limited.lapses.setdefault("earn", limited.lapses["issual"])
    return limited


def _read_restriction(limited: _Limited, restriction: Restriction, at: str) -> Refusal | None:
    name = restriction.name.upper()
    if name in LAPSES:
        expiry = _read_expiry(restriction, at)
        if isinstance(expiry, Refusal):
            return expiry
        return _say(limited.lapses, LAPSES[name], expiry, at)
    if name not in COUNTS and name not in USES:
        return refuse(f"{at}.name", "names no restriction")
    window = _read_window(restriction, at)
    if isinstance(window, Refusal):
        return window
    if restriction.value is None:
        return refuse(f"{at}.value", "is required")
    if name in USES:
        return _add_use(limited, USES[name], restriction.value, window, f"{at}.value")
    if window is not None:
        return refuse(f"{at}.type", f"must be {NON_PERIOD_BASED}")
    count = _integer(restriction.value)
    if count is None:
        return refuse(f"{at}.value", f"must be 1 to {LIMIT_MAX:,}, or {UNLIMITED} for none")
    return _say(limited.counts, COUNTS[name][1], count, at)


def _say(said: dict[str, T], name: str, value: T, at: str) -> Refusal | None:
    if said.setdefault(name, value) != value:
        return refuse(at, "says otherwise than before")
    return None


def _add_use(
    limited: _Limited, what: tuple[str, str], most: Decimal | None, window: str | None, at: str
) -> Refusal | None:
    """Limit redemptions, unless by nothing or -1; what is said twice is one limit."""
    if most is None:
        return None
    if not most.is_finite():
        return refuse(at, "must be a number")
    limit = RedemptionLimit(*what, most, window)
    if most != UNLIMITED and limit not in limited.uses:
        limited.uses.append(limit)
    return None


def _read_expiry(restriction: Restriction, at: str) -> Expiry | Refusal:
    """`value` days for CUSTOM; for PROMOTION it is ignored."""
    kind = (restriction.type or "").upper()
    if kind not in EXPIRY_TYPES:
        return refuse(f"{at}.type", f"must be one of {', '.join(EXPIRY_TYPES)}")
    if kind == "PROMOTION":
        return Expiry(kind)
    days = _integer(restriction.value) if restriction.value is not None else None
    return refuse(f"{at}.value", "must be a number of days") if days is None else Expiry(kind, days)


def _read_window(restriction: Restriction, at: str) -> str | Refusal | None:
    """The moving window of a restriction, if it has one."""
    kind = (restriction.type or "").upper()
    if kind not in ("", PERIOD_BASED, NON_PERIOD_BASED):
        return refuse(f"{at}.type", f"must be {PERIOD_BASED} or {NON_PERIOD_BASED}")
    if kind == NON_PERIOD_BASED or (not kind and restriction.period_unit is None):
        return None
    if (restriction.period_type or MOVING_WINDOW).upper() != MOVING_WINDOW:
        return refuse(f"{at}.periodType", f"must be {MOVING_WINDOW}, other windows are unsupported")
    unit = (restriction.period_unit or "").upper()
    return unit if unit in WINDOWS else refuse(f"{at}.periodUnit", f"must be {', '.join(WINDOWS)}")


def _integer(value: Decimal) -> int | None:
    """An integer from -1 to 10^9."""
    if not value.is_finite() or not UNLIMITED <= value <= LIMIT_MAX or value != int(value):
        return None
    return int(value)
