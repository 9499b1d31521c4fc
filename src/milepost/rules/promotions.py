"""What a promotion is at an instant, and how its dates are read and written.

Contract §7; domain: promotions §1.3.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from milepost.errors import Refusal
from milepost.rules.activities import TRANSACTION_ADD
from milepost.rules.calendar import local_date, local_midnight, parse_end, parse_instant
from milepost.rules.definitions import TARGET_COMPLETED, Promotion

Status = Literal["LIVE", "UPCOMING", "COMPLETED", "INACTIVE", "PENDING"]
STATUSES = ("COMPLETED", "LIVE", "UPCOMING", "INACTIVE")
"""Those that a list can be asked for."""

UNIFIED_ID_DIGITS = 24

_UTC = ZoneInfo("UTC")
_UNIFIED_ID = re.compile(rf"[0-9a-fA-F]{{{UNIFIED_ID_DIGITS}}}", re.ASCII)
KNOWN_EVENTS = {
    name.upper(): name
    for name in (
        "TransactionAdd", "CustomerRegistration", "CustomerUpdate", "PointsTransfer", "ReturnBill",
        "PointsRedemption", "VoucherRedemption", "PointsContributionToGroup",
    )
} | {TARGET_COMPLETED: TARGET_COMPLETED, "NEWBILL": "TransactionAdd"}  # fmt: skip
"""The vendor's own events, by their names in capitals; all others are behavioural ones."""


def status(promotion: Promotion, now: datetime) -> Status:
    """Where a promotion stands: derived from its approval, its switch and its dates.

    PENDING before it is approved for the first time; INACTIVE while it is switched off, paused or
    stopped; live is `starts_at <= now < ends_at`.
    """
    if not promotion.is_published:
        return "PENDING"
    if not promotion.is_on:
        return "INACTIVE"
    if now < promotion.starts_at:
        return "UPCOMING"
    return "LIVE" if now < promotion.ends_at else "COMPLETED"


def approval_status(promotion: Promotion, now: datetime) -> str:
    """Where a promotion stands in the words of its approval (domain: promotions §1.3, v3 states).

    EXPIRED once a published one has ended; INACTIVE while it is switched off; else its state.
    """
    if not promotion.is_published or promotion.state == "STOPPED":
        return promotion.state
    if now >= promotion.ends_at:
        return "EXPIRED"
    return promotion.state if promotion.active else "INACTIVE"


def source_type(promotion: Promotion) -> str:
    """Where a promotion comes from: what the gateway was told (§2.1), else PROMOTION_API."""
    return str(promotion.vendor.get("promotionSourceType", "PROMOTION_API"))


def allocate_points_on(promotion: Promotion) -> str:
    """The level that a promotion pays on: as it was told, else BILL for purchases and CUSTOMER for all else
    (domain: promotions §1.3).
    """
    told = promotion.vendor.get("allocatePointsOn")
    if told:
        return str(told)
    criteria = promotion.criteria
    return "BILL" if criteria is not None and criteria.event == TRANSACTION_ADD else "CUSTOMER"


def event_name(written: str) -> str:
    """An event as promotions listen to it: the vendor's own names in whatever case they are sent."""
    return KNOWN_EVENTS.get(written.upper(), written)


def read_start(text: str) -> datetime | Refusal:
    """When a promotion starts: an instant, with an offset or `Z`."""
    return parse_instant(text)


def read_end(text: str) -> datetime | Refusal:
    """When it ends, exclusive: the written instant is included at its precision (contract §4, "Dates")."""
    read = parse_instant(text)
    return read if isinstance(read, Refusal) else parse_end(text, _UTC)


def day_bounds(starts_at: datetime, ends_at: datetime, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """The whole local days that two instants lie in, as the vendor's gateway normalises them (§2.1)."""
    last = local_date(ends_at - timedelta.resolution, zone)
    return (
        local_midnight(local_date(starts_at, zone), zone),
        local_midnight(last + timedelta(days=1), zone),
    )


def written_end(ends_at: datetime) -> str:
    """An exclusive end as it is written: inclusive, to the second where it is a whole one.

    `read_end` reads the same end from it: `…T23:59:59Z` for the midnight that follows.
    """
    if ends_at.microsecond == 0:
        last = ends_at - timedelta(seconds=1)
        return f"{last.astimezone(UTC):%Y-%m-%dT%H:%M:%S}Z"
    if ends_at.microsecond % 1000 == 0:
        last = ends_at - timedelta(milliseconds=1)
        return f"{last.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='milliseconds')}Z"
    last = ends_at - timedelta.resolution
    return f"{last.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='microseconds')}Z"


def last_second(ends_at: datetime) -> datetime:
    """The last second before an exclusive end, or its last instant if the end is no whole second."""
    return ends_at - (timedelta(seconds=1) if ends_at.microsecond == 0 else timedelta.resolution)


def unified_id(promotion_id: int) -> str:
    """The id of a promotion in the v3 calls: its own, as 24 hexadecimal digits."""
    return f"{promotion_id:024x}"


def read_unified_id(text: str) -> int | None:
    """The id that 24 hexadecimal digits stand for; None for any other text, or where it is no int64."""
    if not _UNIFIED_ID.fullmatch(text):
        return None
    number = int(text, 16)
    return number if number < 2**63 else None
