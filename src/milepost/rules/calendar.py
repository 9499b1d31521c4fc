"""Dates, zones and cycles: what a written date means, and where generated cycles begin and end.

Instants are aware UTC datetimes with microseconds (house law 4); windows are half-open
[starts_at, ends_at). A local time becomes an instant by one rule (contract §4, "Dates"): the first
instant at which the zone's clock shows that time or a later one. So a time in a gap is the gap's
end, a time in a fold is the earlier of the two, and the order of local times is never reversed.

Everything here takes and gives instants from `EARLIEST_AT` to `LATEST_AT`, which leaves room for
offsets and calendar arithmetic inside what a datetime can hold. The one thing read from outside is
the IANA time zone database, once per zone.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from calendar import monthrange
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta, timezone
from functools import cache
from itertools import pairwise
from typing import Literal
from zoneinfo import ZoneInfo, available_timezones

from milepost.errors import INVALID_INPUT, Refusal
from milepost.rules.frozen import dataclass

EARLIEST_AT = datetime(1900, 1, 1, tzinfo=UTC)
LATEST_AT = datetime(2200, 1, 1, tzinfo=UTC)
CYCLES_MAX = 100
DAYS_MAX = 36_525  # for `add_days`: a hundred years

_QUOTED_CHARACTERS_MAX = 60
_RANGE = f"{EARLIEST_AT.date()} to {LATEST_AT.date()}"

# Second 60 is let through here, to be refused by its own name.
_WRITTEN = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
    r"(?P<clock>[Tt ](?:[01][0-9]|2[0-3]):[0-5][0-9]"
    r"(?::(?P<second>[0-5][0-9]|60)(?:\.(?P<fraction>[0-9]{1,9}))?)?"
    r"(?:[Zz]|[+-](?:[01][0-9]|2[0-3])(?::?[0-5][0-9])?)?)?"
)

# Frequency type on the wire -> (unit, units in one).
_FREQUENCIES: dict[str, tuple[Literal["DAY", "MONTH"], int]] = {
    "DAILY": ("DAY", 1),
    "WEEKLY": ("DAY", 7),
    "MONTHLY": ("MONTH", 1),
    "QUARTERLY": ("MONTH", 3),
    "HALF_YEARLY": ("MONTH", 6),
    "YEARLY": ("MONTH", 12),
}


def zone(name: str) -> ZoneInfo | Refusal:
    """The zone of an IANA name, spelt exactly as IANA spells it; loaded once, then kept.

    Anything else is refused: paths, other cases, and database files that are no zone.
    """
    # Only known names reach the cache, so that hostile ones cannot fill it.
    return _zone(name) if name in _zone_names() else _refusal(name, "is not an IANA time zone")


def parse_instant(text: str) -> datetime | Refusal:
    """The instant of an RFC 3339 or ISO 8601 date-time with offset or `Z` (contract §3).

    Seconds may be absent; up to nine digits of fraction are cut to microseconds. Refused: no
    offset, a leap second, and what lies outside `EARLIEST_AT` to `LATEST_AT` (both included).
    """
    written = _read(text)
    if isinstance(written, Refusal):
        return written
    if written.moment.tzinfo is None:
        return _refusal(text, "has neither an offset nor Z")
    return _within_range(text, written.moment.astimezone(UTC))


def parse_start(text: str, zone: ZoneInfo) -> datetime | Refusal:
    """The instant at which something that starts on `text` starts (contract §4, "Dates").

    A date-time with offset or `Z` is that instant; without, it is local in `zone`; a bare date is
    its local midnight. Refuses as `parse_instant` does.
    """
    written = _read(text)
    if isinstance(written, Refusal):
        return written
    return _within_range(text, _instant(written.moment, zone))


def parse_end(text: str, zone: ZoneInfo) -> datetime | Refusal:
    """The exclusive instant at which something that ends on `text` ends (contract §4, "Dates").

    The written end is included at its written precision: `…:59.999` ends 1 ms later, `…:59` 1 s,
    `…T10:30` 1 min, and a bare date at the next local midnight. A finer fraction than microseconds
    ends at the next microsecond. The text is made an instant first and lengthened afterwards, so
    the end of a date-time is always after its start; that of a bare date too, unless the zone
    skipped that date. Refuses as `parse_instant` does.
    """
    written = _read(text)
    if isinstance(written, Refusal):
        return written
    if written.precision is None:
        ends_at = local_midnight(written.moment.date() + timedelta(days=1), zone)
    else:
        ends_at = _instant(written.moment, zone) + written.precision
    return _within_range(text, ends_at)


def local_instant(local: datetime, zone: ZoneInfo) -> datetime:
    """The first instant at which the clock of `zone` shows `local` (naive) or a later time.

    That is the gap's end in a gap, the earlier of the two in a fold (contract §4, "Dates").
    """
    by_offset_before = local.replace(tzinfo=zone, fold=0).astimezone(UTC)
    by_offset_after = local.replace(tzinfo=zone, fold=1).astimezone(UTC)
    if by_offset_before <= by_offset_after:
        return by_offset_before
    # A gap: its end lies between the two, on a whole second.
    low = by_offset_after.replace(microsecond=0)
    seconds = (by_offset_before - by_offset_after) // timedelta(seconds=1)
    return low + timedelta(
        seconds=bisect_left(
            range(seconds), local, key=lambda second: _wall(low + timedelta(seconds=second), zone)
        )
    )


def local_midnight(on: date, zone: ZoneInfo) -> datetime:
    """The instant at which the local date `on` begins, by the rule of `local_instant`."""
    return local_instant(datetime.combine(on, time.min), zone)


def local_date(at: datetime, zone: ZoneInfo) -> date:
    """The date that the calendar of `zone` shows at an instant."""
    return at.astimezone(zone).date()


def add_days(at: datetime, days: int, zone: ZoneInfo) -> datetime:
    """The instant `days` calendar days later at the same local time in `zone` (contract §4).

    For settlement delays and expiries; gap and fold as in `local_instant`, but no days are no
    change, even in the second pass of a fold. `days` is within -`DAYS_MAX` to `DAYS_MAX`.
    """
    if days == 0:
        return at
    return local_instant(_wall(at, zone) + timedelta(days=days), zone)


@dataclass(frozen=True, slots=True)
class Interval:
    """The length of a cycle in calendar units: `count` (at least 1) local days or months."""

    unit: Literal["DAY", "MONTH"]
    count: int


def interval(frequency_type: str, frequency: int) -> Interval | Refusal:
    """`frequency` times the unit of a `frequencyType` (domain: milestones §2.1; contract §4).

    A week is seven days, a quarter three months. CUSTOM has no length of its own and is refused,
    as are unknown types and a frequency below 1.
    """
    if frequency_type not in _FREQUENCIES:
        return _refusal(frequency_type, "is not a frequencyType that cycles can be generated from")
    if frequency < 1:
        return Refusal(INVALID_INPUT, "frequency must be at least 1.")
    unit, units = _FREQUENCIES[frequency_type]
    return Interval(unit, units * frequency)


def nth_date(anchor: date, interval: Interval, n: int) -> date | Refusal:
    """The date `n` intervals from `anchor`, always reckoned from the anchor itself.

    A day that the month lacks is its last day, and nothing drifts: from 31 January, one month
    later is 28 or 29 February and two months later is 31 March. Refused: a result before
    1900-01-01 or after 2199-12-31.
    """
    steps = interval.count * n
    if interval.unit == "DAY":
        ordinal = anchor.toordinal() + steps
        if EARLIEST_AT.toordinal() <= ordinal < LATEST_AT.toordinal():
            return date.fromordinal(ordinal)
    else:
        year, months_before = divmod(anchor.year * 12 + anchor.month - 1 + steps, 12)
        if EARLIEST_AT.year <= year < LATEST_AT.year:
            month = months_before + 1
            return date(year, month, min(anchor.day, monthrange(year, month)[1]))
    return Refusal(
        INVALID_INPUT, f"A cycle counted from {anchor.isoformat()} would end outside {_RANGE}."
    )


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of time, half-open: `starts_at` belongs to it, `ends_at` does not; aware UTC."""

    starts_at: datetime
    ends_at: datetime


def generated_windows(
    starts_at: datetime, interval: Interval, cycles: int, zone: ZoneInfo
) -> tuple[Window, ...] | Refusal:
    """The windows of generated cycles, in order (contract §4, "Generated periods").

    The first begins at `starts_at`, at any time of day; the n-th, counted from 1, ends at local
    midnight of (local date of `starts_at`) + n intervals; each next one begins where the last
    ended. So the first may be short, and a day of a clock change has its true length. Refused:
    `cycles` outside 1 to `CYCLES_MAX`, an end that `nth_date` refuses, and a cycle without any
    time in it (a date that the zone skipped, or a start in the second pass over a midnight).
    """
    if not 1 <= cycles <= CYCLES_MAX:
        return Refusal(INVALID_INPUT, f"recurringCycles must be 1 to {CYCLES_MAX}.")
    anchor = local_date(starts_at, zone)
    bounds = [starts_at]
    for n in range(1, cycles + 1):
        ends_on = nth_date(anchor, interval, n)
        if isinstance(ends_on, Refusal):
            return ends_on
        ends_at = local_midnight(ends_on, zone)
        if ends_at <= bounds[-1]:
            return Refusal(
                INVALID_INPUT,
                f"Cycle {n}, to {ends_on.isoformat()}, would be empty in {zone.key}.",
            )
        bounds.append(ends_at)
    return tuple(Window(start, end) for start, end in pairwise(bounds))


def overlapping(windows: Sequence[Window]) -> tuple[int, int] | None:
    """The positions of the first two windows in time that share an instant, the lower one first.

    Windows that only touch don't overlap. Each window must have some time in it.
    """
    in_order = sorted(range(len(windows)), key=lambda index: windows[index].starts_at)
    # If any two overlap, so do some two that are neighbours by their starts.
    for one, next_one in pairwise(in_order):
        if windows[next_one].starts_at < windows[one].ends_at:
            return min(one, next_one), max(one, next_one)
    return None


def period_status(window: Window, now: datetime) -> Literal["NOT_STARTED", "RUNNING", "ENDED"]:
    """Where `now` lies: running from the start, included, to the end, excluded (§2.2)."""
    if now < window.starts_at:
        return "NOT_STARTED"
    return "RUNNING" if now < window.ends_at else "ENDED"


def written_date(at: datetime, zone: ZoneInfo) -> str:
    """The local date of an instant, `yyyy-MM-dd`: a response date without time (contract §4)."""
    return local_date(at, zone).isoformat()


def written_end_date(ends_at: datetime, zone: ZoneInfo) -> str:
    """The last local date that an exclusive end includes, `yyyy-MM-dd`."""
    return written_date(ends_at - timedelta.resolution, zone)


def written_instant(at: datetime) -> str:
    """An instant in true UTC, cut to milliseconds: `2031-05-01T00:00:00.000Z` (contract §4)."""
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def written_instant_offset(at: datetime, zone: ZoneInfo) -> str:
    """An instant with its local offset, cut to seconds: `2031-05-01T00:00:00+05:30`.

    For the `…ISO` twins of older fields, in their form `yyyy-MM-ddTHH:mm:ssXXX`, which writes no
    offset as `Z` (domain: promotions §4.8). Old local mean times had offsets with seconds, which
    RFC 3339 lacks: they are cut to minutes and the time is written at that offset, so the text is
    still this instant.
    """
    minutes = (_wall(at, zone) - _wall(at, UTC)) // timedelta(minutes=1)
    local = at.astimezone(timezone(timedelta(minutes=minutes)))
    return local.isoformat(timespec="seconds").replace("+00:00", "Z")


@dataclass(frozen=True, slots=True)
class _Written:
    """A text as read: its moment, naive if local, and its precision, None if it is a bare date."""

    moment: datetime
    precision: timedelta | None


def _read(text: str) -> _Written | Refusal:
    """What a text says, before any zone; a year near the ends of datetime's range is refused."""
    match = _WRITTEN.fullmatch(text)
    if match is None:
        return _refusal(text, "is not a date or date-time such as 2031-05-01T00:00:00+05:30")
    if match["second"] == "60":
        return _refusal(text, "is a leap second, which clocks here don't have")
    # An offset moves an instant by less than a day, so out of or into its year by one at most.
    if not EARLIEST_AT.year - 1 <= int(text[:4]) <= LATEST_AT.year:
        return _refusal(text, f"lies outside {_RANGE}")
    try:
        moment = datetime.fromisoformat(text.upper())
    except ValueError:
        return _refusal(text, "is not a day of the calendar")
    return _Written(moment, _precision(match))


def _precision(match: re.Match[str]) -> timedelta | None:
    if match["fraction"] is not None:
        return timedelta(microseconds=10 ** max(0, 6 - len(match["fraction"])))
    if match["second"] is not None:
        return timedelta(seconds=1)
    return timedelta(minutes=1) if match["clock"] is not None else None


def _instant(moment: datetime, zone: ZoneInfo) -> datetime:
    return local_instant(moment, zone) if moment.tzinfo is None else moment.astimezone(UTC)


def _wall(at: datetime, zone: ZoneInfo | timezone) -> datetime:
    """What a clock on the wall of `zone` shows at an instant, naive."""
    return at.astimezone(zone).replace(tzinfo=None)


def _within_range(text: str, at: datetime) -> datetime | Refusal:
    return at if EARLIEST_AT <= at <= LATEST_AT else _refusal(text, f"lies outside {_RANGE}")


def _refusal(text: str, reason: str) -> Refusal:
    """INVALID_INPUT about a caller's text, quoted in part and with nothing unprintable in it.

    Escaped because a lone surrogate cannot be sent and a null byte cannot be stored.
    """
    quoted = text
    if len(text) > _QUOTED_CHARACTERS_MAX:
        quoted = text[: _QUOTED_CHARACTERS_MAX - 3] + "..."
    return Refusal(INVALID_INPUT, f"{quoted!r} {reason}.")


@cache
def _zone_names() -> frozenset[str]:
    # An IANA name begins with a capital; a machine adds files for its own zone and default rules,
    # which don't. "Factory" is IANA's mark of a machine that was never told where it is.
    return frozenset(name for name in available_timezones() if name[0].isupper()) - {"Factory"}


@cache
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)
