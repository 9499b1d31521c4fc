"""What a promotion is at an instant, and its dates: contract §4 "Dates", §7; domain: promotions §1.3."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milepost.errors import Refusal
from milepost.rules.calendar import EARLIEST_AT, LATEST_AT, local_date
from milepost.rules.definitions import Timeline
from milepost.rules.promotions import (
    STATUSES,
    day_bounds,
    event_name,
    read_end,
    read_start,
    status,
    written_end,
)
from tests.rules.promotion_samples import offer
from tests.rules.samples import TICK, day

INSTANTS = st.timedeltas(timedelta(days=1), LATEST_AT - EARLIEST_AT - timedelta(days=600)).map(
    lambda since: EARLIEST_AT + since
)


# Status


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (day(-300), "UPCOMING"),
        (day(0) - TICK, "UPCOMING"),
        (day(0), "LIVE"),
        (day(100) - TICK, "LIVE"),
        (day(100), "COMPLETED"),
        (day(900), "COMPLETED"),
    ],
)
def test_a_promotion_that_is_on_is_upcoming_live_or_completed_by_its_dates(
    now: datetime, expected: str
) -> None:
    assert status(offer(), now) == expected
    assert expected in STATUSES


@pytest.mark.parametrize("now", [-1, 0, 50, 100])
def test_what_is_switched_off_paused_or_stopped_is_inactive_whatever_its_dates(now: float) -> None:
    cases: tuple[dict[str, Any], ...] = (
        {"active": False},
        {"state": "PAUSED"},
        {"state": "STOPPED"},
    )
    for off in cases:
        assert status(offer(**off), day(now)) == "INACTIVE"
        assert not offer(**off).is_on


@pytest.mark.parametrize("state", ["DRAFT", "PENDING_APPROVAL"])
@pytest.mark.parametrize("active", [True, False])
def test_what_was_never_approved_is_pending(state: str, active: bool) -> None:
    assert status(offer(state=state, active=active), day(50)) == "PENDING"


def test_an_edit_that_waits_for_approval_changes_nothing_yet() -> None:
    edited = offer(draft=offer(state="PENDING_APPROVAL", ends=10))
    assert status(edited, day(50)) == "LIVE"


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(1, 8)), max_size=8), st.integers(-1, 21))
def test_a_timeline_knows_the_promotions_of_any_instant(
    spans: list[tuple[int, int]], at: int
) -> None:
    offers = [
        offer(promotion_id=9 - place, starts=start, ends=start + length)
        for place, (start, length) in enumerate(spans)
    ]
    timeline = Timeline(offers)
    for instant in (day(at), day(at) + TICK, day(at), day(at) - TICK):
        running = sorted(each.id for each in offers if each.starts_at <= instant < each.ends_at)
        assert [each.id for each in timeline.at(instant)] == running


# Dates


@given(INSTANTS)
def test_a_written_end_is_read_as_the_same_end(ends_at: datetime) -> None:
    assert read_end(written_end(ends_at)) == ends_at


@given(INSTANTS.map(lambda at: at.replace(microsecond=0)))
def test_an_end_on_a_whole_second_is_written_to_the_second_before_it(ends_at: datetime) -> None:
    text = written_end(ends_at)
    assert text == f"{ends_at - timedelta(seconds=1):%Y-%m-%dT%H:%M:%S}Z"
    assert read_end(text) == ends_at


@pytest.mark.parametrize(
    ("text", "ends_at"),
    [
        ("2026-12-31T23:59:59Z", "2027-01-01T00:00:00Z"),
        ("2026-12-31T23:59:59.999Z", "2027-01-01T00:00:00Z"),
        ("2026-12-31T23:59:59.999999Z", "2027-01-01T00:00:00Z"),
        ("2026-12-31T23:59Z", "2027-01-01T00:00:00Z"),
        ("2026-12-31T23:59:59+05:30", "2026-12-31T18:30:00Z"),
        ("2026-12-31T00:00:00Z", "2026-12-31T00:00:01Z"),
    ],
)
def test_an_end_is_included_at_the_precision_that_it_is_written_with(
    text: str, ends_at: str
) -> None:
    assert read_end(text) == datetime.fromisoformat(ends_at)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-12-31",
        "2026-12-31T23:59:59",
        "31/12/2026",
        "2026-02-30T00:00:00Z",
        "1899-12-31T00:00:00Z",
    ],
)
def test_a_start_or_end_is_an_instant(text: str) -> None:
    assert isinstance(read_start(text), Refusal)
    assert isinstance(read_end(text), Refusal)


def test_the_bounds_of_what_can_be_written_are_kept() -> None:
    assert read_start("1900-01-01T00:00:00Z") == EARLIEST_AT
    assert read_end("2199-12-31T23:59:59Z") == LATEST_AT
    assert isinstance(read_end("2200-01-01T00:00:00Z"), Refusal)


ZONES = st.sampled_from(
    ["UTC", "Asia/Kolkata", "Europe/Berlin", "America/New_York", "Pacific/Apia", "America/Havana"]
).map(ZoneInfo)


@given(INSTANTS, st.timedeltas(TICK, timedelta(days=500)), ZONES)
def test_day_bounds_are_the_whole_local_days_that_two_instants_lie_in(
    starts_at: datetime, length: timedelta, zone: ZoneInfo
) -> None:
    ends_at = starts_at + length
    first, last = day_bounds(starts_at, ends_at, zone)
    assert first <= starts_at < ends_at <= last
    assert local_date(first, zone) == local_date(starts_at, zone)
    assert local_date(last - TICK, zone) == local_date(ends_at - TICK, zone)
    # They are bounds already: whole days have themselves as bounds.
    assert day_bounds(first, last, zone) == (first, last)


def test_day_bounds_are_written_as_the_vendor_writes_them() -> None:
    at = datetime(2026, 6, 1, 10, tzinfo=UTC)
    starts_at, ends_at = day_bounds(at, at + timedelta(days=2), ZoneInfo("Asia/Kolkata"))
    assert starts_at == datetime(2026, 5, 31, 18, 30, tzinfo=UTC)
    assert written_end(ends_at) == "2026-06-03T18:29:59Z"


# Events


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("TransactionAdd", "TransactionAdd"),
        ("TRANSACTIONADD", "TransactionAdd"),
        ("NewBill", "TransactionAdd"),
        ("TargetCompleted", "TARGETCOMPLETED"),
        ("TARGETCOMPLETED", "TARGETCOMPLETED"),
        ("customerregistration", "CustomerRegistration"),
        ("runLogged", "runLogged"),
        ("RUNLOGGED", "RUNLOGGED"),
    ],
)
def test_the_vendors_events_are_known_in_any_case_and_an_organisations_own_as_they_are(
    written: str, name: str
) -> None:
    assert event_name(written) == name
