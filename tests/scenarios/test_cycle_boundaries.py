"""Where one cycle ends and the next begins: local midnight of the group's zone, to the millisecond."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import pytest

from tests.harness import Org, Service
from tests.scenarios.vocabulary import (
    ACCEPTED,
    NOT_ENROLLED,
    PERIOD_NOT_FOUND,
    Challenge,
    before,
    days,
    define_milestone,
)

# Zone, a local date, its first instant and that of the next date, and its length in hours.
DAYS = [
    ("UTC", date(2026, 6, 15), "2026-06-15T00:00:00Z", "2026-06-16T00:00:00Z", 24),
    ("Asia/Kolkata", date(2026, 6, 15), "2026-06-14T18:30:00Z", "2026-06-15T18:30:00Z", 24),
    ("Pacific/Kiritimati", date(2026, 6, 15), "2026-06-14T10:00:00Z", "2026-06-15T10:00:00Z", 24),
    # The night on which clocks go forward, and the one on which they go back.
    ("Europe/Berlin", date(2026, 3, 29), "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z", 23),
    ("Europe/Berlin", date(2026, 10, 25), "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z", 25),
    ("America/New_York", date(2026, 11, 1), "2026-11-01T04:00:00Z", "2026-11-02T05:00:00Z", 25),
    (
        "Australia/Lord_Howe",
        date(2026, 10, 4),
        "2026-10-03T13:30:00Z",
        "2026-10-04T13:00:00Z",
        23.5,
    ),
    # There is no midnight on this date: clocks go from 23:59:59 to 1:00.
    ("America/Havana", date(2026, 3, 8), "2026-03-08T05:00:00Z", "2026-03-09T04:00:00Z", 23),
]


@pytest.mark.parametrize(
    ("zone", "on", "starts", "ends", "hours"), DAYS, ids=[f"{d[0]} {d[1]}" for d in DAYS]
)
def test_who_enrols_a_millisecond_before_a_days_end_is_in_it_and_who_enrols_at_its_end_is_not(
    service: Service, zone: str, on: date, starts: str, ends: str, hours: float
) -> None:
    org = service.new_org(now=before(starts))
    abc = define_milestone(org, periods=days(3, on), timeZoneName=zone)
    customers = [org.register() for _ in range(6)]
    early, at_start, last, late, leaver, stayer = customers

    # A millisecond before the day begins, no cycle runs: the day is the nearest upcoming one.
    assert current(abc, early) == []
    assert abc.enrol(early) == ACCEPTED
    assert abc.covered(early) == ["c1", "c2", "c3"]
    org.move_clock(starts)
    assert current(abc, at_start) == ["c1"]
    assert abc.enrol(at_start) == ACCEPTED
    assert abc.covered(at_start) == ["c1", "c2", "c3"]

    org.move_clock(before(ends))
    assert abc.enrol(last) == ACCEPTED
    assert abc.covered(last) == ["c1", "c2", "c3"]
    assert abc.enrol(leaver, "c1") == ACCEPTED
    assert abc.enrol(stayer, "c1") == ACCEPTED
    assert abc.unenrol(leaver) == ACCEPTED
    assert abc.covered(leaver) == []

    org.move_clock(ends)
    assert current(abc, late) == ["c2"]
    assert abc.enrol(late, "c1") == PERIOD_NOT_FOUND
    assert abc.enrol(late) == ACCEPTED
    assert abc.covered(late) == ["c2", "c3"]
    assert abc.unenrol(stayer) == ACCEPTED
    assert abc.covered(stayer) == ["c1"]
    assert length_hours(abc, last) == hours


@pytest.mark.parametrize(
    ("zone", "on", "starts", "ends", "hours"), DAYS, ids=[f"{d[0]} {d[1]}" for d in DAYS]
)
def test_a_generated_day_ends_at_the_next_local_midnight_whenever_it_began(
    service: Service, zone: str, on: date, starts: str, ends: str, hours: float
) -> None:
    began = datetime.fromisoformat(starts) + timedelta(hours=11)
    org = service.new_org(now=began.isoformat(), timeZone=zone)
    abc = define_milestone(org, frequencyType="DAILY", frequency=1, recurringCycles=2)
    first, second = abc.periods
    last, late = org.register(), org.register()
    org.move_clock(before(ends))
    assert abc.enrol(last) == ACCEPTED
    assert abc.covered(last) == [first, second]
    org.move_clock(ends)
    assert abc.enrol(late) == ACCEPTED
    assert abc.covered(late) == [second]


def test_the_last_cycle_ends_at_its_end_and_not_a_millisecond_earlier(org: Org) -> None:
    abc = define_milestone(org, cycles=1, timeZoneName="America/Los_Angeles")
    ann, ben = org.register(), org.register()
    assert abc.enrol(ben, "c1") == ACCEPTED
    org.move_clock("2026-07-01T06:59:59.999Z")
    assert abc.enrol(ann) == ACCEPTED
    assert abc.unenrol(ann) == ACCEPTED
    org.move_clock("2026-07-01T07:00:00Z")
    assert abc.enrol(ann) == PERIOD_NOT_FOUND
    assert abc.enrol(ann, "c1") == PERIOD_NOT_FOUND
    assert abc.unenrol(ben) == NOT_ENROLLED
    assert abc.covered(ben) == ["c1"]


def test_an_end_is_inclusive_at_the_precision_it_is_written_with(org: Org) -> None:
    written = [
        ("minute", "2026-06-01T00:00", "2026-06-01T11:59"),
        ("second", "2026-06-01T12:00:00", "2026-06-01T12:59:59"),
        ("thousandth", "2026-06-01T13:00:00.000", "2026-06-01T13:59:59.999"),
        ("offset", "2026-06-01T16:00:00+02:00", "2026-06-01T15:59:59+01:00"),
        ("day", "2026-06-01T15:00:00Z", "2026-06-01"),
        ("next", "2026-06-02", "2026-06-02"),
    ]
    cycles = [{"refCode": n, "startDate": start, "endDate": end} for n, start, end in written]
    abc, ann = define_milestone(org, periods=cycles), org.register()
    for (name, *_), (following, *_), ends in zip(
        written, written[1:], ("12:00", "13:00", "14:00", "15:00", "24:00"), strict=False
    ):
        ends_at = f"2026-06-01T{ends}:00Z" if ends != "24:00" else "2026-06-02T00:00:00Z"
        org.move_clock(before(ends_at))
        assert current(abc, ann) == [name]
        org.move_clock(ends_at)
        assert current(abc, ann) == [following]


def current(abc: Challenge, customer: int) -> list[str]:
    """The name of the running cycle, if one runs."""
    return [row["periodRefCode"] for row in abc.rows(customer) if row["currentPeriod"]]


def length_hours(abc: Challenge, customer: int) -> float:
    """The length of c1, from the bounds that the customer's view shows."""
    first, second, _ = (row["periodStartDateWithTimeStamp"] for row in abc.rows(customer))
    return (datetime.fromisoformat(second) - datetime.fromisoformat(first)) / timedelta(hours=1)
