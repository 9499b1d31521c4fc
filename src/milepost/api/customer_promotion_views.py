"""How a customer's promotions are shown (domain: promotions §3.6)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from milepost.rules.calendar import written_instant, written_instant_offset
from milepost.rules.customer_promotions import (
    Records,
    Restriction,
    limit_for_ever,
    restrictions,
    timelines,
)
from milepost.rules.definitions import Promotion
from milepost.rules.promotions import last_second, written_end
from milepost.runner import Moment


class ListedLimits(msgspec.Struct):
    """The limits of what is collected, ever; -1 for none."""

    maxPointsPerEvent: str
    pointsPerCustomer: str
    numberOFTimesPerCustomer: int
    totalPointsInPromotion: str


class CustomerUsage(msgspec.Struct):
    """What was collected. By all customers only where that is limited, and so counted; else null."""

    currentPointsPerCustomer: str
    currentNumberOfTimesPerCustomer: int
    currentTotalPointsInPromotion: str | None


class RestrictionItem(msgspec.Struct):
    """A limit with what is used of it; without `currentCustomerUsage` if each event is counted anew."""

    kpi: str
    maxLimit: str
    limitOn: str
    currentCustomerUsage: str | UnsetType = UNSET
    type: str | UnsetType = UNSET
    periodType: str | UnsetType = UNSET
    periodUnit: str | UnsetType = UNSET


class PromotionRestriction(msgspec.Struct):
    """Limits of enrolments, earned records and redemptions."""

    issualRestrictions: list[RestrictionItem]
    earnRestrictions: list[RestrictionItem]
    redemptionRestrictions: list[RestrictionItem]


class IssuedDetail(msgspec.Struct):
    """An earned record: `issualId` is the `earnedId` of the calls that issue."""

    issualId: int
    issualDate: str
    issualDateISO: str
    issualExpiryDate: str
    issualExpiryDateISO: str
    issualEventLogId: int
    redeemedCount: int


class PromotionTimeline(msgspec.Struct):
    """An enrolment: `enrollmentId` is the `issualId` of the calls that enrol."""

    enrollmentId: int
    enrollmentDate: str
    enrollmentDateISO: str
    enrollmentExpiryDate: str
    enrollmentExpiryDateISO: str
    enrollEventLogId: int
    issuedDetails: list[IssuedDetail]


class CustomerPromotion(msgspec.Struct):
    """A promotion as far as it concerns a customer; timelines are shown where a status is asked for."""

    promotionId: int
    promotionName: str
    programId: int
    startDate: str
    startDateISO: str
    endDate: str
    endDateISO: str
    identifier: str | None
    description: str
    active: bool
    eventName: str | None
    promotionMetadata: list[dict[str, Any]]
    limits: ListedLimits
    customerUsage: CustomerUsage
    pointsOfferType: str
    promotionRestriction: PromotionRestriction
    customerPromotionTimelines: list[PromotionTimeline] | UnsetType = UNSET
    orgId: int | UnsetType = UNSET


def written_timelines(
    promotion: Promotion, records: Records, moment: Moment
) -> list[PromotionTimeline]:
    """The customer's enrolments in a promotion, with what was earned by each."""
    zone = moment.definitions.zone

    def both(at: datetime) -> tuple[str, str]:
        return written_instant(at), written_instant_offset(at, zone)

    def both_ends(at: datetime) -> tuple[str, str]:
        """What expires with the promotion is shown as this is: its last second."""
        if at != promotion.ends_at:
            return both(at)
        return _whole(written_end(at)), written_instant_offset(last_second(at), zone)

    return [
        PromotionTimeline(
            issual.id,
            *both(issual.issued_at),
            *both_ends(issual.expires_at),
            issual.entry_id,
            [
                IssuedDetail(
                    earn.id,
                    *both(earn.earned_at),
                    *both_ends(earn.expires_at),
                    earn.entry_id,
                    earn.redemptions,
                )
                for earn in earns
            ],
        )
        for issual, earns in timelines(promotion, records)
    ]


def promotion_view(
    promotion: Promotion, records: Records, moment: Moment, *, disabled: bool
) -> CustomerPromotion:
    """A promotion as a customer's list has it; `disabled`: limits too that there are not."""
    zone = moment.definitions.zone
    holding = records.holding(promotion.id)
    usage = records.standings.usage.get(promotion.id)
    listed = restrictions(promotion, records, moment.now, disabled=disabled)
    return CustomerPromotion(
        promotion.id,
        promotion.name,
        promotion.program_id,
        written_instant(promotion.starts_at),
        written_instant_offset(promotion.starts_at, zone),
        _whole(written_end(promotion.ends_at)),
        written_instant_offset(last_second(promotion.ends_at), zone),
        promotion.identifier,
        promotion.description,
        promotion.is_on,
        promotion.criteria.event if promotion.criteria is not None else None,
        [dict(each) for each in promotion.metadata],
        ListedLimits(
            amount(limit_for_ever(promotion, "POINTS", "EVENT")),
            amount(limit_for_ever(promotion, "POINTS", "CUSTOMER")),
            int(limit_for_ever(promotion, "TIMES", "CUSTOMER")),
            amount(limit_for_ever(promotion, "POINTS", "PROMOTION")),
        ),
        CustomerUsage(
            amount(holding.points),
            holding.times,
            amount(usage.points) if usage is not None else None,
        ),
        promotion.type,
        PromotionRestriction(
            _items(listed["issual"]), _items(listed["earn"]), _items(listed["redemption"])
        ),
    )


def _items(found: Sequence[Restriction]) -> list[RestrictionItem]:
    items = []
    for each in found:
        written = amount if each.kpi == "NUMBER_OF_POINTS" else _count
        item = RestrictionItem(each.kpi, written(each.most), each.limit_on)
        if each.used is not None:
            item.currentCustomerUsage = written(each.used)
        if each.kpi in ("NUMBER_OF_TIMES", "NUMBER_OF_POINTS"):
            item.type = "NON_PERIOD_BASED"
            if each.window is not None:
                item.type, item.periodType, item.periodUnit = (
                    "PERIOD_BASED",
                    "MOVING_WINDOW",
                    each.window,
                )
        items.append(item)
    return items


def _count(number: Decimal) -> str:
    return str(int(number))


def amount(number: Decimal) -> str:
    """An amount as the vendor writes it: `0`, -1 for none, else with three decimals."""
    return str(int(number)) if number in (0, -1) else f"{number:.3f}"


def _whole(written: str) -> str:
    """`…:59Z` with milliseconds, as the other dates of the list are."""
    return written if "." in written else f"{written[:-1]}.000Z"
