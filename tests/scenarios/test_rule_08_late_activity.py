"""Contract §4 rule 8: late activity counts in the cycle of its own date, until that is closed.

A milestone ABC has five cycles, c1 to c5: June to October 2026, each asking for 1000.
"""

from __future__ import annotations

from datetime import date

import pytest

from tests.harness import Org, Service
from tests.scenarios.vocabulary import (
    ACCEPTED,
    INVALID_INPUT,
    before,
    days,
    define_milestone,
    define_streak,
    sale,
)

# Zone, a local date on whose night the clocks change, its first instant, and that of the next date.
NIGHTS = [
    ("Europe/Berlin", date(2026, 3, 29), "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"),
    ("Europe/Berlin", date(2026, 10, 25), "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"),
    ("America/New_York", date(2026, 3, 8), "2026-03-08T05:00:00Z", "2026-03-09T04:00:00Z"),
    ("America/New_York", date(2026, 11, 1), "2026-11-01T04:00:00Z", "2026-11-02T05:00:00Z"),
    ("Australia/Lord_Howe", date(2026, 4, 5), "2026-04-04T13:00:00Z", "2026-04-05T13:30:00Z"),
    ("Australia/Lord_Howe", date(2026, 10, 4), "2026-10-03T13:30:00Z", "2026-10-04T13:00:00Z"),
]


def test_an_activity_at_the_exact_end_counts_in_the_next_cycle_and_a_millisecond_before_in_this(
    org: Org,
) -> None:
    abc, ann = define_milestone(org, settlementDelayDays=1), org.register()
    assert abc.enrol(ann, "c1") == ACCEPTED
    org.move_clock("2026-07-01T00:00:00Z")
    assert abc.buy(ann, 1, on="2026-06-30T23:59:59.999Z") == ("c1", 0, 1, False)
    assert abc.buy(ann, 10, on="2026-07-01T00:00:00Z") == ("c2", 0, 10, False)
    assert abc.buy(ann, 1, on="2026-06-30T23:59:59.999999Z") == ("c1", 1, 2, False)
    assert abc.buy(ann, 10, on="2026-07-01T05:30:00+05:30") == ("c2", 10, 20, False)
    # The first instant of the first cycle, and what lies before it.
    assert abc.buy(ann, 1, on="2026-06-01T00:00:00Z") == ("c1", 2, 3, False)
    assert abc.buy(ann, 1, on="2026-05-31T23:59:59.999Z") == "NO_CYCLE"


def test_of_the_last_cycle_the_exact_end_is_in_no_cycle(org: Org) -> None:
    abc, ann = define_milestone(org, cycles=1, settlementDelayDays=1), org.register()
    assert abc.enrol(ann, "c1") == ACCEPTED
    org.move_clock("2026-07-01T00:00:00Z")
    assert abc.buy(ann, 1, on="2026-07-01T00:00:00Z") == "NO_CYCLE"
    assert abc.buy(ann, 1, on="2026-06-30T23:59:59.999Z") == ("c1", 0, 1, False)


@pytest.mark.parametrize(
    ("zone", "on", "starts", "ends"), NIGHTS, ids=[f"{n[0]} {n[1]}" for n in NIGHTS]
)
def test_a_cycle_ends_on_a_night_on_which_the_clocks_change(
    service: Service, zone: str, on: date, starts: str, ends: str
) -> None:
    org = service.new_org(now="2026-01-01T00:00:00Z")
    abc, ann = define_milestone(org, periods=days(3, on), timeZoneName=zone), org.register()
    assert abc.enrol(ann) == ACCEPTED
    org.move_clock(starts)
    assert abc.buy(ann, 1, on=starts) == ("c1", 0, 1, False)
    assert abc.buy(ann, 1, on=before(starts)) == "NO_CYCLE"
    org.move_clock(before(ends))
    assert abc.buy(ann, 1) == ("c1", 1, 2, False)
    org.move_clock(ends)
    assert abc.buy(ann, 1) == ("c2", 0, 1, False)
    assert abc.buy(ann, 1, on=before(ends)) == "CYCLE_CLOSED"


@pytest.mark.parametrize(
    ("zone", "on", "starts", "ends"), NIGHTS, ids=[f"{n[0]} {n[1]}" for n in NIGHTS]
)
def test_a_delay_of_a_day_ends_at_the_same_local_time_after_a_night_of_23_or_25_hours(
    service: Service, zone: str, on: date, starts: str, ends: str
) -> None:
    org = service.new_org(now="2026-01-01T00:00:00Z")
    yesterday = date.fromordinal(on.toordinal() - 1)
    abc = define_milestone(
        org, periods=days(1, yesterday), timeZoneName=zone, settlementDelayDays=1, asked=2,
        rewardAllocation="PERIOD_END",
    )  # fmt: skip
    ann = org.register()
    assert abc.enrol(ann) == ACCEPTED
    org.move_clock(before(ends))
    assert abc.buy(ann, 1, on=before(starts)) == ("c1", 0, 1, False)
    assert abc.buy(ann, 1, on=before(starts)) == ("c1", 1, 2, True)
    assert abc.rewards(ann) == []
    org.move_clock(ends)
    assert abc.buy(ann, 1, on=before(starts)) == "CYCLE_CLOSED"
    assert abc.rewards(ann) == [("Voucher", "c1", 1)]


def test_a_cycle_is_open_until_its_end_plus_the_delay_and_closed_from_that_instant_on(
    org: Org,
) -> None:
    abc, ann = define_milestone(org, settlementDelayDays=3), org.register()
    assert abc.enrol(ann, "c1") == ACCEPTED
    org.move_clock("2026-07-03T23:59:59.999Z")
    assert abc.buy(ann, 5, on="2026-06-02T00:00:00Z") == ("c1", 0, 5, False)
    assert abc.buy(ann, 6, on="2026-07-02T00:00:00Z") == ("c2", 0, 6, False)
    org.move_clock("2026-07-04T00:00:00Z")
    assert abc.buy(ann, 5, on="2026-06-02T00:00:00Z") == "CYCLE_CLOSED"
    assert abc.values(ann)[:2] == [5, 6]
    assert ("SETTLED", "SETTLED_UNACHIEVED") in abc.told(ann)


def test_arrival_order_decides_so_what_came_before_the_enrolment_never_counts(org: Org) -> None:
    abc, ann = define_milestone(org), org.register()
    first, second = (sale(ann, 10, org.now()) for _ in range(2))
    assert abc.send(first) == "NOT_ENROLLED"
    assert abc.enrol(ann, "c1") == ACCEPTED
    # The clock stands still: all three are of the same instant.
    assert abc.send(second) == ("c1", 0, 10, False)
    assert abc.send(first) == "DUPLICATE"
    assert abc.value(ann, "c1") == 10


def test_what_came_before_an_enrolment_that_was_extended_back_counts_in_neither_cycle(
    org: Org,
) -> None:
    abc, ann = define_milestone(org), org.register()
    assert abc.enrol(ann, "c2") == ACCEPTED
    early = sale(ann, 10, org.now())
    assert abc.send(early) == "NOT_ENROLLED"
    assert abc.enrol(ann, "c1") == ACCEPTED
    assert abc.send(early) == "DUPLICATE"
    assert abc.buy(ann, 20) == ("c1", 0, 20, False)


@pytest.mark.parametrize("tracked_from_enrolment", [False, True])
def test_with_track_from_enrolment_date_an_activity_is_dated_at_or_after_the_latest_enrolment(
    org: Org, tracked_from_enrolment: bool
) -> None:
    abc = define_milestone(org, trackFromEnrolmentDate=tracked_from_enrolment)
    ann = org.register()
    assert abc.enrol(ann, "c1") == ACCEPTED
    org.move_clock("2026-06-10T00:00:00Z")
    assert abc.buy(ann, 1, on="2026-06-05T00:00:00Z") == ("c1", 0, 1, False)
    assert abc.unenrol(ann) == ACCEPTED
    org.move_clock("2026-06-15T00:00:00Z")
    assert abc.enrol(ann, "c1") == ACCEPTED
    # Dated in the first enrolment, but received in the second.
    late = abc.buy(ann, 2, on="2026-06-14T23:59:59.999Z")
    assert late == ("BEFORE_ENROLMENT" if tracked_from_enrolment else ("c1", 1, 3, False))
    value = 1 if tracked_from_enrolment else 3
    assert abc.buy(ann, 4, on="2026-06-15T00:00:00Z") == ("c1", value, value + 4, False)


def test_the_enrolment_that_decides_is_the_latest_one_that_covers_the_cycle(org: Org) -> None:
    abc = define_milestone(org, trackFromEnrolmentDate=True, settlementDelayDays=90)
    ann = org.register()
    org.move_clock("2026-06-05T00:00:00Z")
    assert abc.enrol(ann, "c1") == ACCEPTED
    org.move_clock("2026-07-10T00:00:00Z")
    assert abc.unenrol(ann) == ACCEPTED
    org.move_clock("2026-08-10T00:00:00Z")
    assert abc.enrol(ann, "c3") == ACCEPTED
    assert abc.covered(ann) == ["c1", "c3", "c4", "c5"]
    # Of c1 it is the first one, whatever came since; c2 was left, and c3 was entered in its middle.
    assert abc.buy(ann, 1, on="2026-06-04T23:59:59.999Z") == "BEFORE_ENROLMENT"
    assert abc.buy(ann, 1, on="2026-06-05T00:00:00Z") == ("c1", 0, 1, False)
    assert abc.buy(ann, 1, on="2026-07-05T00:00:00Z") == "NOT_ENROLLED"
    assert abc.buy(ann, 1, on="2026-08-09T00:00:00Z") == "BEFORE_ENROLMENT"
    assert abc.buy(ann, 1, on="2026-08-10T00:00:00Z") == ("c3", 0, 1, False)


def test_cycles_that_had_ended_take_no_late_activity_from_an_enrolment(org: Org) -> None:
    abc = define_milestone(org, settlementDelayDays=90)
    streak = define_streak(org, levels=(2,), settlementDelayDays=90)
    ann = org.register()
    org.move_clock("2026-06-03T12:00:00Z")
    assert streak.enrol(ann) == ACCEPTED
    assert streak.buy(ann, on="2026-06-02T12:00:00Z") == "NOT_ENROLLED"
    assert streak.buy(ann, on="2026-06-03T00:00:00Z") == ("c3", 0, 1, True)
    org.move_clock("2026-07-10T00:00:00Z")
    assert abc.enrol(ann, "c3") == ACCEPTED
    assert abc.buy(ann, 1, on="2026-06-10T00:00:00Z") == "NOT_ENROLLED"
    # Enrolled from c3 on: in c2, which is running, neither.
    assert abc.buy(ann, 1) == "NOT_ENROLLED"


def test_an_activity_dated_after_now_is_rejected_and_can_be_sent_when_its_time_has_come(
    org: Org,
) -> None:
    abc, ann = define_milestone(org), org.register()
    assert abc.enrol(ann, "c1") == ACCEPTED
    early = sale(ann, 10, "2026-06-01T00:00:00.001Z")
    assert abc.send(early) == INVALID_INPUT
    assert abc.told(ann) == [("ENROLLED", "ENROLLED")]
    org.move_clock("2026-06-01T00:00:00.001Z")
    assert abc.send(early) == ("c1", 0, 10, False)


def test_a_longer_delay_opens_no_cycle_that_is_closed_and_keeps_others_open(org: Org) -> None:
    abc, ann = define_milestone(org), org.register()
    assert abc.enrol(ann, "c1") == ACCEPTED
    org.move_clock("2026-07-02T00:00:00Z")
    assert abc.buy(ann, 1, on="2026-06-10T00:00:00Z") == "CYCLE_CLOSED"
    abc.change(settlementDelayDays=10)
    assert abc.buy(ann, 1, on="2026-06-10T00:00:00Z") == "CYCLE_CLOSED"
    org.move_clock("2026-08-05T00:00:00Z")
    assert abc.buy(ann, 1, on="2026-07-10T00:00:00Z") == ("c2", 0, 1, False)
    org.move_clock("2026-08-11T00:00:00Z")
    assert abc.buy(ann, 1, on="2026-07-10T00:00:00Z") == "CYCLE_CLOSED"
