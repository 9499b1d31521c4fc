"""A customer's promotions: which there are, what can be done with them, and how much of them is used.

Domain: promotions §1.4 (statuses), §3.6 (the list), §3.8 (of a member).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import field
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from milepost.errors import (
    CUSTOMER_STATUS_INVALID,
    PROMOTION_DATA_FAILED,
    PROMOTION_TYPE_INVALID,
    SORT_FIELD_INVALID,
    SORT_ORDER_INVALID,
    SOURCE_TYPE_INVALID,
    Refusal,
)
from milepost.rules.calendar import EARLIEST_AT, LATEST_AT
from milepost.rules.definitions import (
    DIRECT,
    ENROL_AND_ISSUE,
    GENERIC,
    UNLIMITED,
    Definitions,
    Promotion,
)
from milepost.rules.effects import Earn, Issual, Usage
from milepost.rules.frozen import dataclass
from milepost.rules.holdings import (
    REPLACED,
    REVOKED,
    Holding,
    Standings,
    is_live,
    is_used_up,
    live_issual,
)
from milepost.rules.promotions import source_type, status
from milepost.rules.redemption import can_be_redeemed, used_of

TO_ENROL, TO_EARN, TO_REDEEM, EXPIRED = STATUSES = (
    "AVAILABLE_TO_ENROL",
    "AVAILABLE_TO_EARN",
    "AVAILABLE_TO_REDEEM",
    "EXPIRED",
)
"""What a customer can do with a promotion."""
MEMBER_STATUSES = ("PENDING_ENROLLMENT", "PENDING_OPT_IN", TO_REDEEM, "REDEEMED", EXPIRED)
"""The same in the words of the v3 calls."""
TYPES = {"GENERIC": GENERIC, "DIRECT_ISSUE": DIRECT, "ENROL_AND_ISSUE": ENROL_AND_ISSUE}
SOURCE_TYPES = {"UI": "UI", "API": "PROMOTION_API", "CAMPAIGN": "CAMPAIGN"}
_ID = re.compile(r"[0-9]{1,18}", re.ASCII)
SORT_FIELDS = ("CREATED_DATE", "END_DATE", "START_DATE", "EXPIRY_ON", "ISSUAL_DATE")


@dataclass(slots=True)
class Records:
    """What a customer has and had of promotions; `issuals` and `earns` are oldest first, ended ones too."""

    customer_id: int
    restores: bool = False
    """Whether what was revoked no longer counts against limits."""
    standings: Standings = field(default_factory=Standings)
    issuals: dict[int, list[Issual]] = field(default_factory=dict)
    earns: dict[int, list[Earn]] = field(default_factory=dict)

    def add_issual(self, issual: Issual) -> None:
        """Add the next enrolment."""
        self.issuals.setdefault(issual.promotion_id, []).append(issual)
        if issual.ended_at is None:
            self.standings.holding(self.customer_id, issual.promotion_id).issual = issual

    def add_earn(self, earn: Earn) -> None:
        """Add the next earned record."""
        self.earns.setdefault(earn.promotion_id, []).append(earn)
        if earn.ended_at is None:
            holding = self.standings.holding(self.customer_id, earn.promotion_id)
            holding.earns[earn.id] = earn

    def holding(self, promotion_id: int) -> Holding:
        """What the customer has of a promotion, to read only."""
        return self.standings.holdings.get(self.customer_id, {}).get(promotion_id) or Holding()

    def is_known(self, promotion_id: int) -> bool:
        """Whether the customer ever had anything of a promotion."""
        return promotion_id in self.standings.holdings.get(self.customer_id, {})


@dataclass(frozen=True, slots=True)
class Filter:
    """Which of a customer's promotions are asked for, and in which order; None: all, by their ids."""

    status: str | None = None
    type: str | None = None
    source: str | None = None
    identifier: str | None = None
    programs: frozenset[int] | None = None
    sort_on: str | None = None
    descending: bool = False


class Restriction(NamedTuple):
    """A limit as it is listed. `used` None: it is counted anew for each event. `window` None: ever."""

    kpi: str
    limit_on: str
    most: Decimal
    used: Decimal | None = None
    window: str | None = None


class Timeline(NamedTuple):
    """An enrolment, a dummy too, with the earned records that hang off it."""

    issual: Issual
    earns: Sequence[Earn]


def read_filter(
    status: str | None,
    promotion_type: str | None,
    source: str | None,
    identifier: str | None,
    programs: str | None,
    sort_on: str | None,
    sort_by: str | None,
) -> Filter | Refusal:
    """The filter of what was sent, blank being absent; else 8103, 8104, 8105 (programs), 8110, 8111, 8125.

    Only the statuses are case-sensitive.
    """
    source, kind, sort_on, sort_by = (
        (text or "").strip().upper() for text in (source, promotion_type, sort_on, sort_by)
    )
    status, identifier, programs = ((text or "").strip() for text in (status, identifier, programs))
    if source and source not in SOURCE_TYPES:
        return Refusal(SOURCE_TYPE_INVALID)
    if kind and kind not in TYPES:
        return Refusal(PROMOTION_TYPE_INVALID)
    words = [word.strip() for word in programs.split(",")] if programs else []
    if not all(_ID.fullmatch(word) for word in words):
        return Refusal(PROMOTION_DATA_FAILED)
    if sort_on and sort_on not in SORT_FIELDS:
        return Refusal(SORT_FIELD_INVALID)
    if sort_by and sort_by not in ("ASC", "DESC"):
        return Refusal(SORT_ORDER_INVALID)
    if status and status not in STATUSES:
        return Refusal(CUSTOMER_STATUS_INVALID)
    return Filter(
        status or None,
        TYPES.get(kind),
        SOURCE_TYPES.get(source),
        identifier or None,
        frozenset(map(int, words)) if words else None,
        sort_on or None,
        sort_by == "DESC",
    )


def find_promotions(
    definitions: Definitions, records: Records, wanted: Filter, now: datetime
) -> list[Promotion] | Refusal:
    """The customer's promotions that a filter leaves; 8105 if it names an unknown program or identifier.

    A customer's are those that are live, and those that they had anything of.
    """
    if wanted.programs is not None and not wanted.programs <= definitions.programs.keys():
        return Refusal(PROMOTION_DATA_FAILED)
    promotions = [
        promotion
        for promotion in definitions.promotions.values()
        if promotion.is_published
        and (wanted.identifier is None or promotion.identifier == wanted.identifier)
    ]
    if wanted.identifier is not None and not promotions:
        return Refusal(PROMOTION_DATA_FAILED)
    found = [
        promotion
        for promotion in promotions
        if (records.is_known(promotion.id) or status(promotion, now) == "LIVE")
        and (wanted.type is None or promotion.type == wanted.type)
        and (wanted.source is None or source_type(promotion) == wanted.source)
        and (wanted.programs is None or promotion.program_id in wanted.programs)
        and (wanted.status is None or wanted.status in statuses(promotion, records, now))
    ]
    return sorted(
        found,
        key=lambda promotion: (_sort_key(wanted.sort_on, promotion, records, now), promotion.id),
        reverse=wanted.descending,
    )


def statuses(promotion: Promotion, records: Records, now: datetime) -> frozenset[str]:
    """What the customer can do with a promotion now, or that it is over (§1.4; Q24)."""
    found = set()
    standing = status(promotion, now)
    if now >= promotion.ends_at:
        found.add(EXPIRED)
    holding = records.holding(promotion.id)
    if standing == "LIVE":
        restores = records.restores
        limits = promotion.limits
        enrolled = promotion.type == DIRECT or live_issual(holding, now) is not None
        if promotion.type == ENROL_AND_ISSUE and not is_used_up(
            holding.issuals, holding.revoked_issuals, limits.issuals_per_customer, restores=restores
        ):
            found.add(TO_ENROL)
        usage = records.standings.usage.get(promotion.id, Usage())
        if (
            promotion.type != GENERIC
            and enrolled
            and not is_used_up(
                holding.earned, holding.revoked_earns, limits.earns_per_customer, restores=restores
            )
            and not is_used_up(
                usage.earns, usage.revoked_earns, limits.earns_per_promotion, restores=restores
            )
        ):
            found.add(TO_EARN)
        if can_be_redeemed(promotion, holding, records.standings, now):
            found.add(TO_REDEEM)
    return frozenset(found)


def member_status(promotion: Promotion, records: Records, now: datetime) -> str | None:
    """Where a customer stands, in one word of `MEMBER_STATUSES`: what can be done now comes first.

    None: nothing can be done now, for instance while an enrolled customer waits to be issued it.
    """
    can = statuses(promotion, records, now)
    if TO_REDEEM in can:
        return TO_REDEEM
    holding = records.holding(promotion.id)
    if TO_ENROL in can and live_issual(holding, now) is None:
        return "PENDING_OPT_IN" if opts_in(promotion) else "PENDING_ENROLLMENT"
    if holding.times:
        return "REDEEMED"
    return EXPIRED if EXPIRED in can else None


def opts_in(promotion: Promotion) -> bool:
    """Whether customers enrol themselves, as far as the promotion says (§2.3)."""
    enrolment = promotion.vendor.get("customerEnrolment")
    return isinstance(enrolment, Mapping) and enrolment.get("enrolmentMethod") == "OPT_IN"


def timelines(promotion: Promotion, records: Records) -> list[Timeline]:
    """The customer's enrolments with what was earned by each, oldest first, expired ones too.

    What was revoked is left out, and an enrolment that was replaced before anything was earned.
    """
    earns: dict[int, list[Earn]] = {}
    for earn in records.earns.get(promotion.id, ()):
        if earn.ended_as != REVOKED:
            earns.setdefault(earn.issual_id, []).append(earn)
    return [
        Timeline(issual, earns.get(issual.id, ()))
        for issual in records.issuals.get(promotion.id, ())
        if issual.id in earns
        or (issual.ended_as not in (REVOKED, REPLACED) and not issual.is_dummy)
    ]


def restrictions(
    promotion: Promotion, records: Records, now: datetime, *, disabled: bool = False
) -> dict[str, list[Restriction]]:
    """The limits with what is used of each, by `issual`, `earn` and `redemption`; `disabled`: those too
    that there are not.

    Of a direct promotion the limits of earned records are listed as the issual's (§1.6).
    """
    holding = records.holding(promotion.id)
    usage = records.standings.usage.get(promotion.id, Usage())
    limits = promotion.limits
    issuals = _pair(limits.issuals_per_customer, holding.issuals)
    earns = [
        ("CUSTOMER", *_pair(limits.earns_per_customer, holding.earned)),
        ("PROMOTION", *_pair(limits.earns_per_promotion, usage.earns)),
    ]
    found: dict[str, list[Restriction]] = {"issual": [], "earn": [], "redemption": []}
    if promotion.type == ENROL_AND_ISSUE:
        found["issual"] = [Restriction("NUMBER_OF_ISSUALS", "CUSTOMER", *issuals)]
        found["earn"] = [Restriction("NUMBER_OF_EARNS", *each) for each in earns]
    elif promotion.type == DIRECT:
        found["issual"] = [Restriction("NUMBER_OF_ISSUALS", *each) for each in earns]
    if promotion.type != GENERIC:
        per_earn = Decimal(limits.redemptions_per_earn)
        found["redemption"] = [Restriction("NUMBER_OF_REDEMPTIONS_PER_EARN", "CUSTOMER", per_earn)]
    found["redemption"] += _redemption_limits(promotion, holding, records.standings, now)
    if disabled:
        found["redemption"] += _absent_limits(found["redemption"], holding, usage)
        return found
    return {
        place: [each for each in listed if each.most != UNLIMITED]
        for place, listed in found.items()
    }


def limit_for_ever(promotion: Promotion, kpi: str, on: str) -> Decimal:
    """The least limit of one kind that no window bounds; -1 for none."""
    found = [
        limit.most
        for limit in promotion.redemption_limits
        if (limit.kpi, limit.on, limit.window) == (kpi, on, None)
    ]
    return min(found, default=Decimal(UNLIMITED))


def _redemption_limits(
    promotion: Promotion, holding: Holding, standings: Standings, now: datetime
) -> Iterator[Restriction]:
    for limit in promotion.redemption_limits:
        used = None
        if limit.on in ("CUSTOMER", "PROMOTION"):
            used = used_of(limit, promotion, holding, standings, now)
        yield Restriction(f"NUMBER_OF_{limit.kpi}", limit.on, limit.most, used, limit.window)


def _absent_limits(
    listed: Collection[Restriction], holding: Holding, usage: Usage
) -> Iterator[Restriction]:
    """The limits of redemptions for ever that a promotion does not have, as disabled ones."""
    there = {(each.kpi, each.limit_on) for each in listed if each.window is None}
    none = Decimal(UNLIMITED)
    for each in (
        Restriction("NUMBER_OF_POINTS", "EVENT", none),
        Restriction("NUMBER_OF_POINTS", "CUSTOMER", none, holding.points),
        Restriction("NUMBER_OF_POINTS", "PROMOTION", none, usage.points),
        Restriction("NUMBER_OF_TIMES", "CUSTOMER", none, Decimal(holding.times)),
        Restriction("NUMBER_OF_TIMES", "PROMOTION", none, Decimal(usage.redemptions)),
    ):
        if (each.kpi, each.limit_on) not in there:
            yield each


def _pair(most: int, used: int) -> tuple[Decimal, Decimal]:
    return Decimal(most), Decimal(used)


def _sort_key(
    field_name: str | None, promotion: Promotion, records: Records, now: datetime
) -> datetime:
    """What a list is sorted by. What has no such date comes first; what never expires, last."""
    match field_name:
        case "CREATED_DATE":
            return promotion.created.at if promotion.created is not None else EARLIEST_AT
        case "START_DATE":
            return promotion.starts_at
        case "END_DATE":
            return promotion.ends_at
        case "EXPIRY_ON":
            holding = records.holding(promotion.id)
            open_records: list[Issual | Earn] = [*holding.live_earns(now)]
            if holding.issual is not None and is_live(holding.issual, now):
                open_records.append(holding.issual)
            return min((record.expires_at for record in open_records), default=LATEST_AT)
        case "ISSUAL_DATE":
            earned = records.earns.get(promotion.id, ())
            return max((earn.earned_at for earn in earned), default=EARLIEST_AT)
        case _:
            return EARLIEST_AT
