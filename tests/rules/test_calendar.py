"""The calendar against contract §4 ("Dates", "Generated periods") and every zone that shifts.

Zone facts come from the same time zone database as the code's, but are found by looking at what
clocks show from instant to instant, never by turning a local time into an instant.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from itertools import combinations, pairwise
from typing import NamedTuple, TypeVar
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from milepost.errors import INVALID_INPUT, Refusal
from milepost.rules.calendar import (
    CYCLES_MAX,
    DAYS_MAX,
    EARLIEST_AT,
    LATEST_AT,
    Interval,
    Window,
    add_days,
    generated_windows,
    interval,
    local_date,
    local_instant,
    local_midnight,
    nth_date,
    overlapping,
    parse_end,
    parse_instant,
    parse_start,
    period_status,
    written_date,
    written_end_date,
    written_instant,
    written_instant_offset,
    zone,
)

T = TypeVar("T")

ANY_TIME = settings(deadline=None)
SECOND = timedelta(seconds=1)
TICK = timedelta.resolution
BERLIN = ZoneInfo("Europe/Berlin")
KOLKATA = ZoneInfo("Asia/Kolkata")
UTC_ZONE = ZoneInfo("UTC")

DAILY, WEEKLY, MONTHLY = Interval("DAY", 1), Interval("DAY", 7), Interval("MONTH", 1)
YEARLY = Interval("MONTH", 12)


class Shift(NamedTuple):
    """The instant at which a zone's offset changes, and the offsets before and after."""

    at: datetime
    before: timedelta
    after: timedelta


def accepted(result: T | Refusal) -> T:
    assert not isinstance(result, Refusal), result.detail
    return result


def refused(result: object) -> str:
    assert isinstance(result, Refusal), result
    assert result.error is INVALID_INPUT
    return result.detail


def short(text: str) -> str:
    """A test's id for a hostile text."""
    return ascii(text[:30])


def utc(text: str) -> datetime:
    """An instant for an expectation; without an offset it is UTC."""
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def shown(at: datetime, zone: ZoneInfo) -> datetime:
    """What a clock in the zone shows, naive."""
    return at.astimezone(zone).replace(tzinfo=None)


def offset(at: datetime, zone: ZoneInfo) -> timedelta:
    return shown(at, zone) - at.replace(tzinfo=None)


@cache
def shifts(name: str) -> tuple[Shift, ...]:
    """A zone's shifts from 1970 to 2037, but for a second one within a week of another."""
    tz, found = ZoneInfo(name), []
    step, end = 7 * 86_400, int(datetime(2038, 1, 1, tzinfo=UTC).timestamp())
    before = datetime.fromtimestamp(0, tz).utcoffset()
    for stamp in range(step, end, step):
        after = datetime.fromtimestamp(stamp, tz).utcoffset()
        if after != before:
            low, high = stamp - step, stamp
            while high - low > 1:
                middle = (low + high) // 2
                if datetime.fromtimestamp(middle, tz).utcoffset() == before:
                    low = middle
                else:
                    high = middle
            at = datetime.fromtimestamp(high, UTC)
            found.append(Shift(at, offset(at - SECOND, tz), offset(at, tz)))
        before = after
    return tuple(found)


@cache
def shifting_zones() -> tuple[str, ...]:
    """One name for each history of shifts: most of the others are aliases."""
    histories: dict[tuple[Shift, ...], str] = {}
    for name in sorted(available_timezones() - {"localtime", "Factory"}):
        histories.setdefault(shifts(name), name)
    del histories[()]
    return tuple(histories.values())


def first_shown(local: datetime, zone: ZoneInfo) -> datetime:
    """The reference: walk over UTC until the clock shows the local time (whole seconds) or more."""
    at = local.replace(tzinfo=UTC) - timedelta(hours=26)
    while shown(at, zone) < local:
        at += timedelta(minutes=1)
    at -= timedelta(minutes=1)
    while shown(at, zone) < local:
        at += SECOND
    return at


shifts_anywhere = st.deferred(
    lambda: st.sampled_from(shifting_zones()).flatmap(
        lambda name: st.tuples(st.just(ZoneInfo(name)), st.sampled_from(shifts(name)))
    )
)
seconds_nearby = (
    st.sampled_from([-86_400, -3_600, -1_800, -60, -1, 0, 1, 59, 1_799, 1_800, 3_599, 3_600])
    | st.integers(-10_000, 10_000)
    | st.integers(-200_000, 200_000)
)
zones = st.deferred(lambda: st.sampled_from(shifting_zones()).map(ZoneInfo))
local_times = st.datetimes(
    datetime.fromisoformat("1901-01-01"), datetime.fromisoformat("2198-12-31")
)
instants = local_times.map(lambda local: local.replace(tzinfo=UTC))
intervals = st.builds(
    Interval,
    st.sampled_from(["DAY", "MONTH"]),
    st.sampled_from([1, 3, 6, 7, 12]) | st.integers(1, 15),
)


@st.composite
def zones_and_local_times(draw: st.DrawFn) -> tuple[ZoneInfo, datetime]:
    """A zone, and a naive whole second near one of its shifts as either offset shows it."""
    tz, shift = draw(shifts_anywhere)
    local = shift.at.replace(tzinfo=None) + draw(st.sampled_from([shift.before, shift.after]))
    return tz, local + draw(seconds_nearby) * SECOND


@st.composite
def zones_and_instants(draw: st.DrawFn) -> tuple[ZoneInfo, datetime]:
    """A zone, and a whole second near one of its shifts or anywhere."""
    tz, shift = draw(shifts_anywhere)
    near = seconds_nearby.map(lambda seconds: shift.at + seconds * SECOND)
    return tz, draw(near | instants.map(lambda at: at.replace(microsecond=0)))


# Zones


@pytest.mark.parametrize(
    "name",
    ["UTC", "Asia/Kolkata", "Europe/Berlin", "America/Argentina/Ushuaia", "Etc/GMT+5", "EST"],
)
def test_an_iana_name_is_its_zone(name: str) -> None:
    assert accepted(zone(name)).key == name
    assert zone(name) is zone(name)


def test_every_zone_of_the_database_is_known() -> None:
    names = available_timezones() - {"localtime", "Factory"}
    assert len(names) > 400
    assert [name for name in names if isinstance(zone(name), Refusal)] == []


HOSTILE = [
    "",
    " ",
    "\u0000",
    "\n",
    "\ud800",
    "\u202e",
    "9" * 5_000,
    "\U000e0001" * 5_000,
    "None",
    "null",
    "../../etc/passwd",
    "%s%n{0}",
]


@pytest.mark.parametrize(
    "name",
    [
        *HOSTILE,
        "europe/berlin",
        "EUROPE/BERLIN",
        "utc",
        "Europe/Berlin ",
        " Europe/Berlin",
        "Europe/Berlin\n",
        "Europe/Berlin\u0000",
        "Europe\\Berlin",
        "Europe",
        "Europe/",
        "Europe/../UTC",
        "./UTC",
        "/usr/share/zoneinfo/UTC",
        "posix/UTC",
        "right/UTC",
        "localtime",
        "posixrules",
        "Factory",
        "leapseconds",
        "tzdata.zi",
        "zone1970.tab",
        "+05:30",
        "UTC+05:30",
        "CET-1CEST,M3.5.0,M10.5.0/3",
        "Mars/Olympus_Mons",
    ],
    ids=short,
)
def test_what_is_not_an_iana_name_is_no_zone(name: str) -> None:
    assert "is not an IANA time zone." in refused(zone(name))


@ANY_TIME
@given(st.text(max_size=80))
def test_any_text_is_a_zone_or_a_refusal(text: str) -> None:
    assert isinstance(zone(text), ZoneInfo | Refusal)


# Instants (contract §3): an offset or Z, else 300004


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-06-01T10:00:00+05:30", "2026-06-01T04:30:00"),
        ("2026-06-01T10:00:00+0530", "2026-06-01T04:30:00"),
        ("2026-06-01T10:00:00+05", "2026-06-01T05:00:00"),
        ("2026-06-01T10:00:00-09:30", "2026-06-01T19:30:00"),
        ("2026-06-01T10:00:00Z", "2026-06-01T10:00:00"),
        ("2026-06-01t10:00:00z", "2026-06-01T10:00:00"),
        ("2026-06-01 10:00:00Z", "2026-06-01T10:00:00"),
        ("2026-06-01T10:00Z", "2026-06-01T10:00:00"),
        ("2026-06-01T10:00:00-00:00", "2026-06-01T10:00:00"),
        ("2026-06-01T10:00:00+23:59", "2026-05-31T10:01:00"),
        ("2026-06-01T10:00:00.5Z", "2026-06-01T10:00:00.500000"),
        ("2026-06-01T10:00:00.123Z", "2026-06-01T10:00:00.123000"),
        ("2026-06-01T10:00:00.123456Z", "2026-06-01T10:00:00.123456"),
        ("2026-06-01T10:00:00.123456999Z", "2026-06-01T10:00:00.123456"),
        ("2026-06-01T23:59:59.999999999Z", "2026-06-01T23:59:59.999999"),
        ("2024-02-29T00:00:00Z", "2024-02-29T00:00:00"),
        ("1900-01-01T00:00:00Z", "1900-01-01T00:00:00"),
        ("1899-12-31T20:00:00-04:00", "1900-01-01T00:00:00"),
        ("2200-01-01T00:00:00Z", "2200-01-01T00:00:00"),
        ("2200-01-01T05:30:00+05:30", "2200-01-01T00:00:00"),
    ],
)
def test_a_date_time_with_an_offset_is_that_instant(text: str, expected: str) -> None:
    at = accepted(parse_instant(text))
    assert at == utc(expected)
    assert at.tzinfo is UTC
    assert parse_start(text, BERLIN) == at


@pytest.mark.parametrize(
    "text",
    [
        "2026-06-01",
        "2026-06-01T10:00",
        "2026-06-01T10:00:00",
        "2026-06-01T10:00:00.123456789",
    ],
)
def test_an_instant_without_an_offset_is_refused(text: str) -> None:
    assert refused(parse_instant(text)) == f"'{text}' has neither an offset nor Z."


NOT_WRITTEN_RIGHT = [
    *HOSTILE,
    "now",
    "1780300800",
    "1780300800000",
    "20260601",
    "20260601T100000Z",
    "2026-W23-1",
    "2026-152",
    "2026-6-1",
    "26-06-01",
    "02026-06-01",
    "+2026-06-01",
    "-2026-06-01",
    "01/06/2026",
    "2026/06/01",
    " 2026-06-01",
    "2026-06-01 ",
    "2026-06-01\n",
    "2026-06-01T",
    "2026-06-01Z",
    "2026-06-01+05:30",
    "2026-06-01T10Z",
    "2026-06-01T1:00:00Z",
    "2026-06-01T10:0:00Z",
    "2026-06-01T10:00:0Z",
    "2026-06-01T10:00:00,5Z",
    "2026-06-01T10:00:00.Z",
    "2026-06-01T10:00:00.1234567890Z",
    "2026-06-01T10:00.5Z",
    "2026-06-01T10:00:00Z\n",
    "2026-06-01T10:00:00Z\u0000",
    "2026-06-01T10:00:00 Z",
    "2026-06-01T10:00:00 05:30",
    "2026-06-01T10:00:0005:30",
    "2026-06-01T10:00:00ZZ",
    "2026-06-01T10:00:00UTC",
    "2026-06-01T10:00:00[Europe/Berlin]",
    "2026-06-01T10:00:00+5",
    "2026-06-01T10:00:00+05:3",
    "2026-06-01T10:00:00+24:00",
    "2026-06-01T10:00:00+05:60",
    "2026-01-01T00:00:00+99:99",
    "2026-06-01T10:00:00\u221205:30",
    "2026-06-01T24:00:00Z",
    "2026-06-01T25:00:00Z",
    "2026-06-01T10:60:00Z",
    "2026-06-01T10:00:61Z",
    "24:00:00",
    "\uff12\uff10\uff12\uff16-01-01",
    "\u0662\u0660\u0662\u0666-01-01",
    "2026-06-01T10:00:00.\u00b2Z",
    "2026\u201006\u201001",
]


@pytest.mark.parametrize("text", NOT_WRITTEN_RIGHT, ids=short)
def test_what_is_no_date_is_refused(text: str) -> None:
    for detail in readings(text):
        assert "is not a date or date-time" in detail


@pytest.mark.parametrize(
    "day", ["2026-02-30", "2026-02-29", "2100-02-29", "2026-04-31", "2026-00-01", "2026-13-01"]
)
def test_a_day_that_no_calendar_has_is_refused(day: str) -> None:
    for text in (day, f"{day}T10:00:00", f"{day}T10:00:00.5+05:30"):
        for detail in readings(text):
            assert detail == f"'{text}' is not a day of the calendar."


@pytest.mark.parametrize(
    "text", ["2016-12-31T23:59:60Z", "2016-12-31T23:59:60.5Z", "2017-01-01T05:29:60+05:30"]
)
def test_a_leap_second_is_refused(text: str) -> None:
    for detail in readings(text):
        assert "is a leap second" in detail


@pytest.mark.parametrize(
    "text",
    [
        "0000-01-01T00:00:00Z",
        "0001-01-01T00:00:00+23:59",
        "1899-12-31T23:59:59.999998Z",
        "1900-01-01T05:00:00+05:30",
        "2200-01-01T00:00:00.000001Z",
        "2199-12-31T23:00:00-05:00",
        "9999-12-31T23:59:59.999999999-23:59",
        "9999-12-31T23:59:59Z",
    ],
)
def test_an_instant_far_from_today_is_refused_with_the_range(text: str) -> None:
    for detail in readings(text):
        assert detail == f"'{text}' lies outside 1900-01-01 to 2200-01-01."


@pytest.mark.parametrize("text", ["0001-01-01", "9999-12-31", "1899-12-30", "2200-01-02"])
def test_a_date_far_from_today_is_refused_in_every_zone(text: str) -> None:
    for tz in (UTC_ZONE, ZoneInfo("Pacific/Kiritimati"), ZoneInfo("Etc/GMT+12")):
        assert "lies outside" in refused(parse_start(text, tz))
        assert "lies outside" in refused(parse_end(text, tz))


def test_an_end_may_be_the_last_instant_of_the_range() -> None:
    assert parse_end("2199-12-31", UTC_ZONE) == LATEST_AT
    assert parse_end("2199-12-31T23:59:59.999Z", BERLIN) == LATEST_AT
    assert "lies outside" in refused(parse_end("2200-01-01T00:00:00Z", BERLIN))
    assert parse_start("1900-01-01", UTC_ZONE) == EARLIEST_AT


def readings(text: str) -> list[str]:
    """The details with which all three readers refuse a text."""
    return [
        refused(parse_instant(text)),
        refused(parse_start(text, BERLIN)),
        refused(parse_end(text, BERLIN)),
    ]


def test_a_refusal_names_the_text_in_part_and_can_be_sent_and_stored() -> None:
    assert "'9999" in refused(parse_instant("9" * 5_000))
    for text in (*NOT_WRITTEN_RIGHT, "x\ud800y\u0000z"):
        for detail in (*readings(text), refused(zone(text)), refused(interval(text, 1))):
            assert detail.isprintable()
            assert detail.encode("utf-8")
            assert len(detail) < 60 * len("\\U000e0001") + 100
            assert detail.endswith(".")


@ANY_TIME
@given(
    st.text(max_size=60)
    | st.from_regex(r"[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9:.,+Zz-]{0,30})?", fullmatch=True)
)
def test_any_text_is_a_date_or_a_refusal(text: str) -> None:
    for result in (parse_instant(text), parse_start(text, BERLIN), parse_end(text, BERLIN)):
        assert isinstance(result, datetime | Refusal)


# Dates: "Without offset = local in the group's zone (in a gap: the gap's end; in a fold: the
# earlier); with offset or Z = that instant."


@pytest.mark.parametrize(
    ("text", "zone_name", "expected"),
    [
        ("2031-05-01", "Asia/Kolkata", "2031-04-30T18:30:00"),
        ("2031-05-01T00:00", "Asia/Kolkata", "2031-04-30T18:30:00"),
        ("2031-05-01T10:15:30.250", "Asia/Kolkata", "2031-05-01T04:45:30.250"),
        ("2031-05-01 10:15:30", "Europe/Berlin", "2031-05-01T08:15:30"),
        ("2031-01-01T10:15:30", "Europe/Berlin", "2031-01-01T09:15:30"),
        ("2031-01-01T10:15:30Z", "Europe/Berlin", "2031-01-01T10:15:30"),
        ("2031-01-01T10:15:30-03:00", "Europe/Berlin", "2031-01-01T13:15:30"),
    ],
)
def test_a_start_without_offset_is_local_in_the_zone(
    text: str, zone_name: str, expected: str
) -> None:
    start = accepted(parse_start(text, ZoneInfo(zone_name)))
    assert start == utc(expected)
    assert start.tzinfo is UTC


@pytest.mark.parametrize(
    ("text", "zone_name", "expected"),
    [
        ("2026-03-29T02:00:00", "Europe/Berlin", "2026-03-29T01:00:00"),
        ("2026-03-29T02:30:00.123456", "Europe/Berlin", "2026-03-29T01:00:00"),
        ("2026-03-29T02:59:59.999999", "Europe/Berlin", "2026-03-29T01:00:00"),
        ("2026-10-04T02:15:00", "Australia/Lord_Howe", "2026-10-03T15:30:00"),
        ("2018-11-04", "America/Sao_Paulo", "2018-11-04T03:00:00"),
        ("2026-03-29", "Asia/Beirut", "2026-03-28T22:00:00"),
        ("2011-12-30", "Pacific/Apia", "2011-12-30T10:00:00"),
        ("2011-12-30T12:00:00", "Pacific/Apia", "2011-12-30T10:00:00"),
        ("1993-08-21T12:00:00", "Pacific/Kwajalein", "1993-08-21T12:00:00"),
    ],
)
def test_a_local_time_in_a_gap_is_the_gaps_end(text: str, zone_name: str, expected: str) -> None:
    assert parse_start(text, ZoneInfo(zone_name)) == utc(expected)


@pytest.mark.parametrize(
    ("text", "zone_name", "expected"),
    [
        ("2026-10-25T02:00:00", "Europe/Berlin", "2026-10-25T00:00:00"),
        ("2026-10-25T02:30:00", "Europe/Berlin", "2026-10-25T00:30:00"),
        ("2026-10-25T03:00:00", "Europe/Berlin", "2026-10-25T02:00:00"),
        ("2026-04-05T01:45:00", "Australia/Lord_Howe", "2026-04-04T14:45:00"),
        ("2018-02-17T23:30:00", "America/Sao_Paulo", "2018-02-18T01:30:00"),
        ("2026-11-01", "America/Havana", "2026-11-01T04:00:00"),
    ],
)
def test_a_local_time_in_a_fold_is_the_earlier(text: str, zone_name: str, expected: str) -> None:
    assert parse_start(text, ZoneInfo(zone_name)) == utc(expected)


# "endDate is inclusive at its written precision (…:59.999 ends 1 ms later, …:59 1 s later, a bare
# date at the next local midnight), so an endDate written equal to the next start overlaps."


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2031-05-31T23:59:59.999", "2031-06-01T00:00:00+05:30"),
        ("2031-05-31T23:59:59", "2031-06-01T00:00:00+05:30"),
        ("2031-05-31T23:59", "2031-06-01T00:00:00+05:30"),
        ("2031-05-31", "2031-06-01T00:00:00+05:30"),
        ("2031-05-31T10:30", "2031-05-31T10:31:00+05:30"),
        ("2031-05-31T00:00:00", "2031-05-31T00:00:01+05:30"),
        ("2031-05-31T00:00:00.000", "2031-05-31T00:00:00.001+05:30"),
        ("2031-05-31T10:00:00.5", "2031-05-31T10:00:00.6+05:30"),
        ("2031-05-31T10:00:00.25", "2031-05-31T10:00:00.26+05:30"),
        ("2031-05-31T10:00:00.1234", "2031-05-31T10:00:00.1235+05:30"),
        ("2031-05-31T10:00:00.999999", "2031-05-31T10:00:01+05:30"),
        ("2031-05-31T10:00:00.1234567", "2031-05-31T10:00:00.123457+05:30"),
        ("2031-05-31T10:00:00.123456789", "2031-05-31T10:00:00.123457+05:30"),
        ("2031-05-31T23:59:59.999999999", "2031-06-01T00:00:00+05:30"),
        ("2031-05-31T23:59:59.999Z", "2031-06-01T00:00:00Z"),
        ("2031-05-31T23:59:59-03:00", "2031-06-01T00:00:00-03:00"),
        ("2031-12-31", "2032-01-01T00:00:00+05:30"),
        ("2028-02-28", "2028-02-29T00:00:00+05:30"),
    ],
)
def test_an_end_is_included_at_its_written_precision(text: str, expected: str) -> None:
    end = accepted(parse_end(text, KOLKATA))
    assert end == utc(expected)
    assert end.tzinfo is UTC


def test_an_end_date_ends_at_the_next_local_midnight_even_on_days_of_other_length() -> None:
    assert parse_end("2026-03-29", BERLIN) == utc("2026-03-30T00:00:00+02:00")
    assert parse_end("2026-10-25", BERLIN) == utc("2026-10-26T00:00:00+01:00")
    assert parse_end("2018-11-03", ZoneInfo("America/Sao_Paulo")) == utc("2018-11-04T03:00:00")
    assert parse_end("2011-12-29", ZoneInfo("Pacific/Apia")) == utc("2011-12-30T10:00:00")


def test_an_end_in_a_gap_or_a_fold_is_placed_first_and_lengthened_afterwards() -> None:
    assert parse_end("2026-03-29T02:30:00.000", BERLIN) == utc("2026-03-29T01:00:00.001")
    assert parse_end("2026-10-25T02:59:59.999", BERLIN) == utc("2026-10-25T01:00:00")


def test_an_end_written_equal_to_the_next_start_overlaps_it() -> None:
    for text in ("2031-06-01", "2031-06-01T00:00:00", "2031-06-01T00:00:00.000Z"):
        end, start = accepted(parse_end(text, BERLIN)), accepted(parse_start(text, BERLIN))
        first = Window(start - timedelta(days=30), end)
        second = Window(start, start + timedelta(days=30))
        assert overlapping([first, second]) == (0, 1)


written_forms = st.sampled_from(
    [
        lambda local: local.isoformat(timespec="minutes"),
        lambda local: local.isoformat(timespec="seconds"),
        lambda local: local.isoformat(timespec="milliseconds"),
        lambda local: local.isoformat(timespec="microseconds"),
        lambda local: local.isoformat(timespec="seconds") + "Z",
        lambda local: local.isoformat(timespec="milliseconds") + "+05:30",
    ]
)


@ANY_TIME
@given(zones_and_local_times(), written_forms)
def test_an_end_is_after_the_start_of_the_same_text(
    zone_and_local: tuple[ZoneInfo, datetime], form: Callable[[datetime], str]
) -> None:
    tz, local = zone_and_local
    text = form(local)
    assert accepted(parse_start(text, tz)) < accepted(parse_end(text, tz))


@ANY_TIME
@given(zones_and_local_times())
def test_an_end_date_is_after_the_same_start_date_unless_the_zone_skipped_it(
    zone_and_local: tuple[ZoneInfo, datetime],
) -> None:
    tz, local = zone_and_local
    start = accepted(parse_start(local.date().isoformat(), tz))
    end = accepted(parse_end(local.date().isoformat(), tz))
    assert (start < end) == (local_date(start, tz) == local.date())
    assert start <= end


# Local times in every zone that shifts


def test_every_shift_of_every_zone_follows_the_gap_and_fold_rule() -> None:
    count = 0
    for name in shifting_zones():
        tz = ZoneInfo(name)
        for at, before, after in shifts(name):
            clock = at.replace(tzinfo=None)
            low, high = sorted((clock + before, clock + after))
            last = high - TICK
            for local in (low, low + (high - low) / 3, last):
                expected = at if before < after else (local - before).replace(tzinfo=UTC)
                assert local_instant(local, tz) == expected, (name, local)
            assert local_instant(high, tz) == at + (high - clock - after), (name, high)
            assert local_instant(low - TICK, tz) == at + (low - TICK - clock - before), (name, low)
            count += 1
    assert count > 10_000


@settings(deadline=None, max_examples=200)
@given(zones_and_local_times())
def test_a_local_time_is_the_first_instant_at_which_the_clock_shows_it_or_more(
    zone_and_local: tuple[ZoneInfo, datetime],
) -> None:
    tz, local = zone_and_local
    assert local_instant(local, tz) == first_shown(local, tz)


@ANY_TIME
@given(zones, local_times)
def test_a_local_time_between_shifts_is_what_the_clock_shows_then(
    tz: ZoneInfo, local: datetime
) -> None:
    at = local_instant(local, tz)
    assert shown(at - TICK, tz) < local <= shown(at, tz)


@ANY_TIME
@given(zones_and_local_times(), st.integers(0, 200_000))
def test_a_later_local_time_is_never_an_earlier_instant(
    zone_and_local: tuple[ZoneInfo, datetime], seconds: int
) -> None:
    tz, local = zone_and_local
    assert local_instant(local, tz) <= local_instant(local + seconds * SECOND, tz)


@pytest.mark.parametrize(
    ("zone_name", "on", "hours"),
    [
        ("Europe/Berlin", "2026-03-28", 24),
        ("Europe/Berlin", "2026-03-29", 23),
        ("Europe/Berlin", "2026-10-25", 25),
        ("America/Sao_Paulo", "2018-11-04", 23),
        ("America/Sao_Paulo", "2018-02-17", 25),
        ("Asia/Beirut", "2026-03-29", 23),
        ("Asia/Beirut", "2026-10-24", 25),
        ("America/Havana", "2026-11-01", 25),
        ("Australia/Lord_Howe", "2026-10-04", 23.5),
        ("Australia/Lord_Howe", "2026-04-05", 24.5),
        ("Antarctica/Troll", "2026-03-29", 22),
        ("Asia/Pyongyang", "2018-05-04", 23.5),
        ("Asia/Kathmandu", "1986-01-01", 23.75),
        ("Pacific/Apia", "2011-12-30", 0),
        ("Pacific/Apia", "2011-12-31", 24),
        ("Pacific/Kwajalein", "1993-08-21", 0),
        ("Pacific/Kiritimati", "1994-12-31", 0),
    ],
)
def test_a_local_day_lasts_as_long_as_its_clock_says(zone_name: str, on: str, hours: float) -> None:
    tz, day = ZoneInfo(zone_name), date.fromisoformat(on)
    length = local_midnight(day + timedelta(days=1), tz) - local_midnight(day, tz)
    assert length == timedelta(hours=hours)


def test_every_day_with_a_shift_inside_is_shorter_or_longer_by_it() -> None:
    for name in shifting_zones():
        tz = ZoneInfo(name)
        for at, before, after in shifts(name):
            day = shown(at - SECOND, tz).date()
            start, end = local_midnight(day, tz), local_midnight(day + timedelta(days=1), tz)
            inside = start < at and shown(at, tz).date() == day
            if inside and offset(start, tz) == before and offset(end, tz) == after:
                assert end - start == timedelta(days=1) - (after - before), (name, day)


@ANY_TIME
@given(zones_and_instants())
def test_an_instant_lies_within_its_local_date(at_zone: tuple[ZoneInfo, datetime]) -> None:
    tz, at = at_zone
    on = local_date(at, tz)
    assert on == shown(at, tz).date()
    assert local_midnight(on, tz) <= at


# "settlementDelayDays and expiry days are calendar days at the same local time"


@pytest.mark.parametrize(
    ("at", "days", "expected"),
    [
        ("2026-03-28T12:00:00+01:00", 1, "2026-03-29T12:00:00+02:00"),
        ("2026-10-24T12:00:00+02:00", 1, "2026-10-25T12:00:00+01:00"),
        ("2026-03-01T00:00:00+01:00", 30, "2026-03-31T00:00:00+02:00"),
        ("2026-03-28T02:30:00.25+01:00", 1, "2026-03-29T03:00:00+02:00"),
        ("2026-10-24T02:30:00+02:00", 1, "2026-10-25T02:30:00+02:00"),
        ("2026-10-25T02:30:00+01:00", 1, "2026-10-26T02:30:00+01:00"),
        ("2026-10-25T02:30:00+01:00", 0, "2026-10-25T02:30:00+01:00"),
        ("2026-03-30T12:00:00+02:00", -2, "2026-03-28T12:00:00+01:00"),
        ("2026-01-31T12:00:00+01:00", 365, "2027-01-31T12:00:00+01:00"),
    ],
)
def test_days_are_added_at_the_same_local_time(at: str, days: int, expected: str) -> None:
    assert add_days(utc(at), days, BERLIN) == utc(expected)


@ANY_TIME
@given(zones_and_instants(), st.integers(1, 3) | st.integers(1, DAYS_MAX))
def test_added_days_keep_the_local_time_unless_it_falls_in_a_gap(
    at_zone: tuple[ZoneInfo, datetime], days: int
) -> None:
    tz, at = at_zone
    later = add_days(at, days, tz)
    wanted = shown(at, tz) + timedelta(days=days)
    assert at < later
    assert later.tzinfo is UTC
    assert shown(later - TICK, tz) < wanted <= shown(later, tz)
    if shown(later, tz) != wanted:
        assert offset(later - TICK, tz) < offset(later, tz)


@ANY_TIME
@given(zones_and_instants())
def test_no_days_added_are_no_change(at_zone: tuple[ZoneInfo, datetime]) -> None:
    tz, at = at_zone
    assert add_days(at, 0, tz) == at


# Intervals

UNPRINTABLE = 10**5_000  # more digits than Python turns into text


@pytest.mark.parametrize(
    ("frequency_type", "frequency", "expected"),
    [
        ("DAILY", 1, Interval("DAY", 1)),
        ("DAILY", 10, Interval("DAY", 10)),
        ("WEEKLY", 2, Interval("DAY", 14)),
        ("MONTHLY", 1, Interval("MONTH", 1)),
        ("QUARTERLY", 1, Interval("MONTH", 3)),
        ("HALF_YEARLY", 1, Interval("MONTH", 6)),
        ("YEARLY", 2, Interval("MONTH", 24)),
    ],
)
def test_an_interval_is_frequency_times_its_type(
    frequency_type: str, frequency: int, expected: Interval
) -> None:
    assert interval(frequency_type, frequency) == expected


@pytest.mark.parametrize("frequency_type", ["CUSTOM", "daily", "HOURLY", *HOSTILE], ids=short)
def test_custom_and_unknown_frequencies_generate_nothing(frequency_type: str) -> None:
    assert "is not a frequencyType" in refused(interval(frequency_type, 1))


def test_a_frequency_below_one_is_refused() -> None:
    for frequency in (0, -1, -10, -UNPRINTABLE):
        assert refused(interval("DAILY", frequency)) == "frequency must be at least 1."


@pytest.mark.parametrize(
    ("anchor", "every", "n", "expected"),
    [
        ("2026-01-31", MONTHLY, 0, "2026-01-31"),
        ("2026-01-31", MONTHLY, 1, "2026-02-28"),
        ("2026-01-31", MONTHLY, 2, "2026-03-31"),
        ("2026-01-31", MONTHLY, 3, "2026-04-30"),
        ("2026-01-31", MONTHLY, 12, "2027-01-31"),
        ("2028-01-31", MONTHLY, 1, "2028-02-29"),
        ("2026-01-30", MONTHLY, 1, "2026-02-28"),
        ("2026-01-30", MONTHLY, 2, "2026-03-30"),
        ("2026-12-31", MONTHLY, 2, "2027-02-28"),
        ("2026-12-04", MONTHLY, 1, "2027-01-04"),
        ("2025-11-30", Interval("MONTH", 3), 1, "2026-02-28"),
        ("2025-08-31", Interval("MONTH", 6), 1, "2026-02-28"),
        ("2025-08-31", Interval("MONTH", 6), 2, "2026-08-31"),
        ("2028-02-29", YEARLY, 1, "2029-02-28"),
        ("2028-02-29", YEARLY, 3, "2031-02-28"),
        ("2028-02-29", YEARLY, 4, "2032-02-29"),
        ("2096-02-29", YEARLY, 4, "2100-02-28"),
        ("2026-02-03", WEEKLY, 1, "2026-02-10"),
        ("2028-02-28", DAILY, 2, "2028-03-01"),
        ("2199-12-30", DAILY, 1, "2199-12-31"),
    ],
)
def test_the_nth_date_is_reckoned_from_the_anchor(
    anchor: str, every: Interval, n: int, expected: str
) -> None:
    assert nth_date(date.fromisoformat(anchor), every, n) == date.fromisoformat(expected)


@pytest.mark.parametrize(
    ("every", "n"),
    [
        (DAILY, 10**6),
        (DAILY, -(10**6)),
        (MONTHLY, 10**4),
        (YEARLY, -1_000),
        (Interval("DAY", 10**30), 1),
        (Interval("MONTH", 10**30), 100),
        (Interval("MONTH", UNPRINTABLE), 100),
    ],
)
def test_a_date_out_of_range_is_refused(every: Interval, n: int) -> None:
    detail = refused(nth_date(date(2026, 1, 31), every, n))
    assert detail == "A cycle counted from 2026-01-31 would end outside 1900-01-01 to 2200-01-01."


def test_dates_reach_from_the_start_of_1900_to_the_end_of_2199() -> None:
    first, last = date(1900, 1, 1), date(2199, 12, 31)
    for every in (DAILY, MONTHLY):
        assert nth_date(first, every, 0) == first
        assert nth_date(last, every, 0) == last
        assert "would end outside" in refused(nth_date(last, every, 1))
        assert "would end outside" in refused(nth_date(first, every, -1))


@ANY_TIME
@given(st.dates(date(2000, 1, 1), date(2040, 12, 31)), intervals, st.integers(0, 100))
def test_month_ends_never_drift(anchor: date, every: Interval, n: int) -> None:
    on = accepted(nth_date(anchor, every, n))
    if every.unit == "DAY":
        assert on - anchor == timedelta(days=every.count * n)
    else:
        months = (on.year - anchor.year) * 12 + on.month - anchor.month
        assert months == every.count * n
        month_is_over = (on + timedelta(days=1)).month != on.month
        assert on.day == anchor.day or (on.day < anchor.day and month_is_over)


# Generated periods: "the n-th ends at local midnight of start date + n times interval, so the first
# may be short"


def test_the_first_cycle_may_begin_mid_day_and_ends_at_local_midnight() -> None:
    windows = accepted(generated_windows(utc("2026-02-03T12:28:00+05:30"), WEEKLY, 2, KOLKATA))
    assert windows == (
        Window(utc("2026-02-03T12:28:00+05:30"), utc("2026-02-10T00:00:00+05:30")),
        Window(utc("2026-02-10T00:00:00+05:30"), utc("2026-02-17T00:00:00+05:30")),
    )


def test_a_daily_cycle_created_at_eleven_has_thirteen_hours() -> None:
    (window,) = accepted(generated_windows(utc("2026-06-01T11:00:00+05:30"), DAILY, 1, KOLKATA))
    assert window.ends_at - window.starts_at == timedelta(hours=13)


def test_the_start_date_is_the_local_one() -> None:
    (window,) = accepted(generated_windows(utc("2026-06-01T20:00:00Z"), DAILY, 1, KOLKATA))
    assert window.ends_at == utc("2026-06-03T00:00:00+05:30")


def test_daily_cycles_over_a_clock_change_last_23_and_25_hours() -> None:
    def hours(start: str) -> list[float]:
        windows = accepted(generated_windows(utc(start), DAILY, 3, BERLIN))
        return [(each.ends_at - each.starts_at) / timedelta(hours=1) for each in windows]

    assert hours("2026-03-28T00:00:00+01:00") == [24, 23, 24]
    assert hours("2026-10-24T00:00:00+02:00") == [24, 25, 24]


def test_monthly_cycles_from_the_31st_end_on_each_months_last_day() -> None:
    windows = accepted(generated_windows(utc("2026-01-31T00:00:00Z"), MONTHLY, 4, UTC_ZONE))
    ends = [written_date(each.ends_at, UTC_ZONE) for each in windows]
    assert ends == ["2026-02-28", "2026-03-31", "2026-04-30", "2026-05-31"]


def test_cycles_where_midnight_does_not_exist_meet_at_the_gaps_end() -> None:
    sao_paulo = ZoneInfo("America/Sao_Paulo")
    windows = accepted(generated_windows(utc("2018-11-03T03:00:00"), DAILY, 2, sao_paulo))
    assert windows[0].ends_at == windows[1].starts_at == utc("2018-11-04T01:00:00-02:00")
    assert windows[1].ends_at == utc("2018-11-05T00:00:00-02:00")


def test_cycles_are_one_to_a_hundred() -> None:
    start = utc("2026-01-01T00:00:00")
    for cycles in (0, -1, 101, -UNPRINTABLE, UNPRINTABLE):
        result = generated_windows(start, DAILY, cycles, UTC_ZONE)
        assert refused(result) == "recurringCycles must be 1 to 100."
    assert len(accepted(generated_windows(start, DAILY, 100, UTC_ZONE))) == 100


def test_cycles_beyond_the_range_are_refused_whole() -> None:
    detail = refused(
        generated_windows(utc("2026-01-01T00:00:00"), Interval("MONTH", 24), 100, BERLIN)
    )
    assert detail == "A cycle counted from 2026-01-01 would end outside 1900-01-01 to 2200-01-01."


def test_a_cycle_on_a_date_that_the_zone_skipped_is_refused() -> None:
    apia = ZoneInfo("Pacific/Apia")
    start = utc("2011-12-29T00:00:00-10:00")
    assert refused(generated_windows(start, DAILY, 2, apia)) == (
        "Cycle 2, to 2011-12-31, would be empty in Pacific/Apia."
    )
    (short,) = accepted(generated_windows(start, Interval("DAY", 2), 1, apia))
    assert short.ends_at - short.starts_at == timedelta(days=1)


def test_a_cycle_from_the_second_pass_over_a_midnight_is_refused() -> None:
    # At 00:01 on 7 November 2010 the clocks of St. John's went back to 23:01.
    st_johns = ZoneInfo("America/St_Johns")
    detail = refused(generated_windows(utc("2010-11-07T03:00:00"), DAILY, 1, st_johns))
    assert detail == "Cycle 1, to 2010-11-07, would be empty in America/St_Johns."


def has_empty_days(starts_at: datetime, ends: list[date | Refusal], tz: ZoneInfo) -> bool:
    """Whether two bounds of cycles are one instant, or the first is over when it starts."""
    midnights = [datetime.combine(accepted(on), time.min) for on in ends]
    # Clocks that went back across midnight in the last hours show the day before once more.
    latest = max(shown(starts_at - timedelta(minutes=n), tz) for n in range(180))
    first_over = shown(starts_at, tz) < midnights[0] <= latest
    skipped = [on for on in midnights if local_date(local_instant(on, tz), tz) > on.date()]
    return first_over or bool(skipped)


@settings(deadline=None, max_examples=200)
@given(zones_and_instants(), intervals, st.integers(1, CYCLES_MAX))
def test_generated_windows_are_contiguous_and_end_at_the_midnights_counted_from_the_anchor(
    at_zone: tuple[ZoneInfo, datetime], every: Interval, cycles: int
) -> None:
    tz, starts_at = at_zone
    windows = generated_windows(starts_at, every, cycles, tz)
    anchor = shown(starts_at, tz).date()
    if isinstance(windows, Refusal):
        ends = [nth_date(anchor, every, n) for n in range(1, cycles + 1)]
        assert "would end outside" in windows.detail or has_empty_days(starts_at, ends, tz)
        return
    assert len(windows) == cycles
    assert windows[0].starts_at == starts_at
    assert all(one.ends_at == two.starts_at for one, two in pairwise(windows))
    assert overlapping(windows) is None
    for n, window in enumerate(windows, start=1):
        assert window.starts_at < window.ends_at
        midnight = datetime.combine(accepted(nth_date(anchor, every, n)), time.min)
        before, after = shown(window.ends_at - TICK, tz), shown(window.ends_at, tz)
        assert before < midnight <= after
        assert after == midnight or after - before > TICK  # else it fell in a gap: its end
        assert parse_end(written_end_date(window.ends_at, tz), tz) == window.ends_at


def test_daily_cycles_over_every_shift_of_every_zone_are_contiguous() -> None:
    for name in shifting_zones():
        tz = ZoneInfo(name)
        for at, _, _ in shifts(name)[:: max(1, len(shifts(name)) // 12)]:
            starts_at = local_midnight(shown(at, tz).date() - timedelta(days=2), tz)
            windows = generated_windows(starts_at, DAILY, 4, tz)
            if isinstance(windows, Refusal):
                skipped = shown(at, tz) - shown(at - TICK, tz)
                assert skipped >= timedelta(days=1), (name, at)
                continue
            days = [written_date(each.starts_at, tz) for each in windows]
            assert days == sorted(set(days)), (name, at)
            assert [written_end_date(each.ends_at, tz) for each in windows] == days, (name, at)


# "Overlapping periods … → 300004"


def window(start: int, end: int) -> Window:
    return Window(EARLIEST_AT + start * SECOND, EARLIEST_AT + end * SECOND)


@pytest.mark.parametrize(
    ("spans", "expected"),
    [
        ([], None),
        ([(0, 5)], None),
        ([(0, 5), (5, 9)], None),
        ([(5, 9), (0, 5)], None),
        ([(0, 5), (7, 9)], None),
        ([(0, 6), (5, 9)], (0, 1)),
        ([(5, 9), (0, 6)], (0, 1)),
        ([(0, 5), (0, 5)], (0, 1)),
        ([(20, 30), (0, 19), (9, 10)], (1, 2)),
        ([(20, 30), (25, 40), (9, 10), (0, 10)], (2, 3)),
    ],
)
def test_periods_overlap_when_they_share_an_instant_and_not_when_they_touch(
    spans: list[tuple[int, int]], expected: tuple[int, int] | None
) -> None:
    assert overlapping([window(*span) for span in spans]) == expected


@ANY_TIME
@given(
    st.lists(st.builds(lambda at, n: window(at, at + n), st.integers(0, 99), st.integers(1, 20)))
)
def test_an_overlap_is_found_exactly_when_there_is_one(windows: list[Window]) -> None:
    pairs = {
        (i, j)
        for (i, one), (j, two) in combinations(enumerate(windows), 2)
        if one.starts_at < two.ends_at and two.starts_at < one.ends_at
    }
    found = overlapping(windows)
    assert found in pairs if pairs else found is None


def test_a_period_runs_from_its_start_included_to_its_end_excluded() -> None:
    period = window(10, 20)
    assert period_status(period, period.starts_at - TICK) == "NOT_STARTED"
    assert period_status(period, period.starts_at) == "RUNNING"
    assert period_status(period, period.ends_at - TICK) == "RUNNING"
    assert period_status(period, period.ends_at) == "ENDED"


# "Response dates without time are the group's local dates, Z is true UTC."


def test_a_response_date_is_the_groups_local_date() -> None:
    at = utc("2031-04-30T18:30:00")
    assert written_date(at, KOLKATA) == "2031-05-01"
    assert written_date(at, UTC_ZONE) == "2031-04-30"


def test_a_response_end_date_is_the_last_date_included() -> None:
    midnight = utc("2031-06-01T00:00:00+05:30")
    assert written_end_date(midnight, KOLKATA) == "2031-05-31"
    assert written_end_date(midnight + timedelta(milliseconds=1), KOLKATA) == "2031-06-01"
    assert written_end_date(midnight + timedelta(hours=10), KOLKATA) == "2031-06-01"
    assert (
        written_end_date(utc("2018-11-04T03:00:00"), ZoneInfo("America/Sao_Paulo")) == "2018-11-03"
    )


def test_z_is_true_utc_in_milliseconds() -> None:
    assert written_instant(utc("2031-05-01T00:00:00+05:30")) == "2031-04-30T18:30:00.000Z"
    assert written_instant(utc("2031-05-01T00:00:00.123999")) == "2031-05-01T00:00:00.123Z"
    local = utc("2031-05-01T00:00:00").astimezone(KOLKATA)
    assert written_instant(local) == "2031-05-01T00:00:00.000Z"


@pytest.mark.parametrize(
    ("at", "zone_name", "expected"),
    [
        ("2031-05-01T00:00:00+05:30", "Asia/Kolkata", "2031-05-01T00:00:00+05:30"),
        ("2031-05-01T00:00:00.999", "America/St_Johns", "2031-04-30T21:30:00-02:30"),
        ("2026-10-25T00:30:00", "Europe/Berlin", "2026-10-25T02:30:00+02:00"),
        ("2026-10-25T01:30:00", "Europe/Berlin", "2026-10-25T02:30:00+01:00"),
        ("2026-01-01T00:00:00", "Europe/London", "2026-01-01T00:00:00Z"),
        ("1971-01-01T00:00:00", "Africa/Monrovia", "1970-12-31T23:15:00-00:45"),
    ],
)
def test_an_iso_twin_carries_the_local_offset(at: str, zone_name: str, expected: str) -> None:
    assert written_instant_offset(utc(at), ZoneInfo(zone_name)) == expected


@ANY_TIME
@given(zones_and_instants(), st.integers(0, 999))
def test_what_is_written_is_read_back(
    at_zone: tuple[ZoneInfo, datetime], milliseconds: int
) -> None:
    tz, second = at_zone
    at = second + timedelta(milliseconds=milliseconds)
    assert parse_instant(written_instant(at)) == at
    assert parse_start(written_instant(at), tz) == at
    assert parse_start(written_instant_offset(at, tz), tz) == second
    assert parse_start(written_date(at, tz), tz) == local_midnight(local_date(at, tz), tz)
    assert parse_end(written_instant(at), tz) == at + timedelta(milliseconds=1)
