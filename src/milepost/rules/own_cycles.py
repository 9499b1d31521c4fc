"""A customer's own cycles, in cyclic windows: where each begins and ends (domain: milestones §4.5).

They begin with the customer's first qualifying activity and follow one another without a gap.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from milepost.errors import Refusal
from milepost.rules.calendar import LATEST_AT, interval, local_date, local_instant, nth_date
from milepost.rules.definitions import Period, TargetGroup


def own_bounds(
    group: TargetGroup, anchored_at: datetime, period: Period
) -> tuple[datetime, datetime]:
    """Begin and end of a customer's own cycle, reckoned from where the first begins.

    Days and weeks are multiples of 24 hours; months keep the local day and time. A group without a
    frequency has the lengths of its periods.
    """
    place = group.periods.index(period)
    return bound(group, anchored_at, place), bound(group, anchored_at, place + 1)


def bound(group: TargetGroup, anchored_at: datetime, cycles: int) -> datetime:
    """The instant after so many own cycles, which is where the next one begins."""
    length = interval(group.frequency_type, group.frequency)
    if isinstance(length, Refusal):
        lengths = (period.ends_at - period.starts_at for period in group.periods[:cycles])
        return anchored_at + sum(lengths, timedelta())
    if length.unit == "DAY":
        return anchored_at + timedelta(days=length.count * cycles)
    on = nth_date(local_date(anchored_at, group.zone), length, cycles)
    if isinstance(on, Refusal):
        return LATEST_AT
    at_the_time = anchored_at.astimezone(group.zone).time()
    return local_instant(datetime.combine(on, at_the_time), group.zone)
