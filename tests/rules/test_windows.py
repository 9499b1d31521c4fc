"""Which cycle an instant falls in and until when it is open: contract §4 rules 8 and 13, domain §4.5."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milepost.rules.coverage import Enrolment
from milepost.rules.definitions import CYCLIC, PERIOD_AGNOSTIC, TargetGroup
from milepost.rules.effects import OwnCycleEnd, Progress, Stint
from milepost.rules.windows import Cycle, closes_at, cycle_at, cycle_of, is_closed, is_over
from tests.rules.samples import (
    CUSTOMER,
    TARGET,
    TICK,
    Story,
    cyclic,
    day,
    exact,
    milestone,
    sale,
    with_periods,
)

NOBODY = Enrolment()


def found(cycle: Cycle | str) -> str:
    """The name of the cycle, or why there is none."""
    return cycle if isinstance(cycle, str) else cycle.period.ref_code


def anchored(at_days: float) -> Enrolment:
    return Enrolment(1001, (Stint(1, day(0), anchored_at=day(at_days)),))


# Dated cycles


@pytest.mark.parametrize(
    ("at", "name"),
    [
        (day(0) - TICK, "NO_CYCLE"),
        (day(0), "c1"),
        (day(9), "c1"),
        (day(10) - timedelta(milliseconds=1), "c1"),
        (day(10) - TICK, "c1"),
        (day(10), "c2"),
        (day(50) - TICK, "c5"),
        (day(50), "NO_CYCLE"),
    ],
)
def test_a_dated_cycle_holds_its_start_and_not_its_end(at: datetime, name: str) -> None:
    assert found(cycle_at(milestone(), NOBODY, at)) == name


@pytest.mark.parametrize(
    ("at_days", "name"), [(7.999, "c1"), (8, "NO_CYCLE"), (9.999, "NO_CYCLE"), (10, "c2")]
)
def test_nothing_is_tracked_in_a_gap(at_days: float, name: str) -> None:
    assert found(cycle_at(milestone(gap_days=2), NOBODY, day(at_days))) == name


def test_nothing_counts_in_a_deactivated_cycle() -> None:
    group = milestone()
    periods = [replace(p, active=p.ref_code != "c2") for p in group.periods]
    assert found(cycle_at(with_periods(group, periods), NOBODY, day(15))) == "CYCLE_INACTIVE"


@pytest.mark.parametrize(
    ("zone", "delay_days", "closes"),
    [
        # Three days at the same local time, over a night of 23, 24 and 25 hours.
        ("America/New_York", 3, "2026-03-10T04:00Z"),
        ("Europe/Paris", 0, "2026-03-07T05:00Z"),
        ("Asia/Kolkata", 3, "2026-03-10T05:00Z"),
    ],
)
def test_the_delay_is_calendar_days_at_the_same_local_time(
    zone: str, delay_days: int, closes: str
) -> None:
    ends_at = datetime(2026, 3, 7, 5, tzinfo=UTC)
    group = milestone(cycles=1, time_zone=zone, settlement_delay_days=delay_days)
    group = with_periods(group, [replace(group.periods[0], ends_at=ends_at)])
    (period,) = group.periods
    assert closes_at(group, period) == datetime.fromisoformat(closes)
    cycle = cycle_of(group, NOBODY, period)
    assert cycle is not None
    assert not is_closed(group, cycle, closes_at(group, period) - TICK)
    assert is_closed(group, cycle, closes_at(group, period))


def test_a_delay_that_is_raised_later_opens_no_cycle_again() -> None:
    group = milestone(settlement_delay_days=5)
    first = replace(group.periods[0], closes_at=day(10))
    assert closes_at(group, first) == day(10)
    assert closes_at(group, group.periods[1]) == day(25)


# Cyclic windows


@pytest.mark.parametrize(
    ("at_days", "name"),
    [
        (3.999, "BEFORE_FIRST_CYCLE"),
        (4, "c1"),
        (10.999, "c1"),
        (11, "c2"),
        (24.999, "c3"),
        (25, "ALL_CYCLES_OVER"),
    ],
)
def test_own_cycles_follow_one_another_from_where_they_began(at_days: float, name: str) -> None:
    group = cyclic(cycles=3, frequency_type="WEEKLY", frequency=1)
    cycle = cycle_at(group, anchored(4), day(at_days))
    assert found(cycle) == name
    assert isinstance(cycle, str) or not cycle.anchors


def test_the_first_activity_begins_the_cycles_where_it_is_dated() -> None:
    group = cyclic(cycles=3, frequency_type="DAILY", frequency=7)
    cycle = cycle_at(group, NOBODY, day(4.5))
    assert cycle == Cycle(group.periods[0], day(4.5), day(11.5), anchors=True)


def test_nothing_begins_before_the_groups_first_day() -> None:
    for kind in (CYCLIC, PERIOD_AGNOSTIC):
        group = cyclic(evaluation_type=kind)
        assert found(cycle_at(group, NOBODY, day(0) - TICK)) == "NO_CYCLE"
        assert found(cycle_at(group, NOBODY, day(0))) == "c1"


def test_without_a_frequency_own_cycles_are_as_long_as_the_groups() -> None:
    group = cyclic(cycles=2)
    longer = replace(group.periods[1], ends_at=day(25))
    group = with_periods(group, [group.periods[0], longer])
    assert cycle_of(group, anchored(3), longer) == Cycle(longer, day(13), day(28))


ZONES = ("America/New_York", "Europe/Paris", "Australia/Lord_Howe")


@pytest.mark.parametrize("zone", ZONES)
def test_own_days_are_24_hours_and_own_months_keep_the_local_day_and_time(zone: str) -> None:
    anchored_at = datetime(2026, 1, 31, 18, 30, tzinfo=ZoneInfo(zone))
    enrolment = Enrolment(1001, (Stint(1, day(0), anchored_at=anchored_at.astimezone(UTC)),))
    days = cyclic(cycles=5, time_zone=zone, frequency_type="DAILY", frequency=60)
    last = cycle_of(days, enrolment, days.periods[-1])
    assert last is not None
    assert last.starts_at == anchored_at.astimezone(UTC) + timedelta(days=240)

    months = cyclic(cycles=12, time_zone=zone, frequency_type="MONTHLY", frequency=1)
    starts = []
    for period in months.periods:
        cycle = cycle_of(months, enrolment, period)
        assert cycle is not None
        starts.append(cycle.starts_at.astimezone(ZoneInfo(zone)))
    assert {at.time() for at in starts} == {anchored_at.time()}
    assert [at.day for at in starts] == [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]


@given(
    anchor_hours=st.integers(0, 24 * 800),
    at_hours=st.integers(0, 24 * 3000),
    kind=st.sampled_from(["DAILY", "WEEKLY", "MONTHLY", "QUARTERLY", "YEARLY", "CUSTOM"]),
    frequency=st.integers(1, 5),
    zone=st.sampled_from(ZONES),
)
def test_an_instant_is_in_the_one_own_cycle_that_holds_it(
    anchor_hours: int, at_hours: int, kind: str, frequency: int, zone: str
) -> None:
    group = cyclic(
        cycles=6,
        cycle_starts_at=day(0),
        frequency_type=kind,
        frequency=frequency,
        time_zone=zone,
    )
    enrolment, at = anchored(anchor_hours / 24), day(at_hours / 24)
    cycles = [cycle_of(group, enrolment, period) for period in group.periods]
    holding = []
    for before, after in pairwise(cycles):
        assert before is not None
        assert after is not None
        assert before.ends_at == after.starts_at
    for cycle in cycles:
        assert cycle is not None
        assert cycle.ends_at is not None
        if cycle.starts_at <= at < cycle.ends_at:
            holding.append(cycle)
    answer = cycle_at(group, enrolment, at)
    if holding:
        assert [answer] == holding
    elif at_hours < anchor_hours:
        assert answer == "BEFORE_FIRST_CYCLE"
    else:
        assert answer == "ALL_CYCLES_OVER"


def test_an_own_cycle_has_the_groups_delay_too() -> None:
    group = cyclic(frequency_type="DAILY", frequency=10, settlement_delay_days=2)
    cycle = cycle_of(group, anchored(3), group.periods[0])
    assert cycle is not None
    assert not is_closed(group, cycle, day(15) - TICK)
    assert is_closed(group, cycle, day(15))


def test_own_cycles_have_no_dates_before_they_begin() -> None:
    group = cyclic()
    assert cycle_of(group, NOBODY, group.periods[0]) is None


def cyclic_weeks(**others: object) -> TargetGroup:
    return cyclic(cycles=3, frequency_type="WEEKLY", frequency=1, **others)  # type: ignore[arg-type]


def test_cycles_begin_at_the_first_qualifying_activity_after_enrolment() -> None:
    story = Story(cyclic_weeks(), day(2))
    assert story.spend(100) == ""
    story.enrol()
    story.now = day(5)
    assert story.spend(100) == "ADDED"
    assert story.enrolment.anchored_at == day(5)
    assert story.rows.cycle_ends == {
        (CUSTOMER, TARGET, 701): OwnCycleEnd(TARGET, 701, day(12)),
    }
    assert story.reasons[-1] == "CYCLE_STARTED"


def test_what_does_not_qualify_begins_nothing() -> None:
    story = Story(cyclic_weeks(), day(2))
    story.edit(replace(story.group, targets=(replace(story.group.targets[0], expression="big"),)))
    story.enrol()
    assert story.spend(99) == "EXPRESSION_FALSE"
    assert story.enrolment.anchored_at is None


def test_a_late_activity_older_than_the_first_does_not_move_the_cycles() -> None:
    story = Story(cyclic_weeks(), day(0))
    story.enrol()
    story.now = day(6)
    story.spend(100)
    assert story.spend(100, at=4) == "BEFORE_FIRST_CYCLE"
    assert (story.enrolment.anchored_at, story.value("c1")) == (day(6), 100)


def test_own_cycles_count_one_after_the_other_and_then_no_more() -> None:
    story = Story(cyclic_weeks(asked=100), day(0))
    story.enrol()
    found = []
    for at_days in (1, 7.999, 8, 21.999, 22):
        story.now = day(at_days)
        found.append(story.spend(60))
    assert found == ["ADDED"] * 4 + ["ALL_CYCLES_OVER"]
    assert [story.value(name) for name in ("c1", "c2", "c3")] == [120, 60, 60]
    assert story.rewards == [("c1", 1, "Fifty"), ("c1", 1, "Explorer")]


def test_an_own_cycle_takes_late_activity_until_it_closes() -> None:
    story = Story(cyclic_weeks(settlement_delay_days=2), day(0))
    story.enrol()
    story.spend(10)
    story.now = day(9) - TICK
    assert story.spend(10, at=6) == "ADDED"
    story.now = day(9)
    assert story.spend(10, at=6) == "CYCLE_CLOSED"


def test_re_enrolment_goes_on_in_the_same_own_cycles() -> None:
    story = Story(cyclic_weeks(), day(0))
    story.enrol()
    story.spend(100)
    story.now = day(8)
    story.unenrol()
    # The first cycle had ended, so it was not left.
    assert story.covered == "c1"
    assert story.spend(50) == "NOT_ENROLLED"
    story.now = day(10)
    story.enrol()
    assert story.spend(50) == "ADDED"
    assert (story.value("c1"), story.value("c2")) == (100, 50)


@pytest.mark.parametrize(
    ("delay_days", "now_days", "chosen"), [(0, 8, "c2"), (2, 8, "c1"), (2, 9, "c2"), (0, 14, "c3")]
)
def test_a_balance_goes_to_the_first_open_one_of_own_cycles(
    delay_days: int, now_days: float, chosen: str
) -> None:
    story = Story(cyclic_weeks(settlement_delay_days=delay_days), day(0))
    story.enrol()
    story.spend(100)
    story.unenrol()
    story.now = day(now_days)
    assert story.enrol("c1", 300) == 0
    assert (story.value(chosen), story.attempt(chosen)) == (300, 2)
    assert sum(story.value(name) for name in ("c1", "c2", "c3")) == 300 + 100 * (chosen != "c1")


def test_when_all_own_cycles_are_over_there_is_none_to_enrol_in() -> None:
    story = Story(cyclic_weeks(), day(0))
    story.enrol()
    story.spend(100)
    story.unenrol()
    story.now = day(21)
    assert story.enrol() == 310019


# Period-agnostic windows


def test_a_period_agnostic_cycle_closes_when_it_is_achieved_and_the_next_opens() -> None:
    story = Story(cyclic(evaluation_type=PERIOD_AGNOSTIC, cycles=2, asked=100), day(3))
    story.enrol()
    assert [story.spend(60) for _ in range(5)] == ["ADDED"] * 4 + ["ALL_CYCLES_OVER"]
    assert [story.value("c1"), story.value("c2")] == [120, 120]
    assert story.rewards == [
        (name, 1, reward) for name in ("c1", "c2") for reward in ("Fifty", "Explorer")
    ]


def test_a_period_agnostic_cycle_has_no_end_of_its_own() -> None:
    group = cyclic(evaluation_type=PERIOD_AGNOSTIC, cycles=2)
    cycle = cycle_at(group, NOBODY, day(900))
    assert isinstance(cycle, Cycle)
    assert (cycle.period.ref_code, cycle.ends_at, cycle.anchors) == ("c1", None, False)
    assert not is_closed(group, cycle, day(9000))
    open_row, achieved_row = (Progress(701, 1, exact(10), at) for at in (None, day(1)))
    assert not is_over(group, cycle, open_row, day(9000))
    assert is_over(group, cycle, achieved_row, day(1))


def test_period_end_rewards_of_a_period_agnostic_cycle_come_with_its_end() -> None:
    story = Story(
        cyclic(evaluation_type=PERIOD_AGNOSTIC, asked=100, reward_allocation="PERIOD_END"), day(3)
    )
    story.enrol()
    story.spend(100)
    assert story.rewards == [("c1", 1, "Fifty"), ("c1", 1, "Explorer")]


def test_bills_of_one_batch_begin_the_cycles_once() -> None:
    story = Story(cyclic_weeks(), day(5))
    story.enrol()
    story.record(sale("tx-1", 10, 5), sale("tx-2", 10, 5), sale("tx-3", 10, 4))
    assert [story.reason(f"tx-{n}") for n in (1, 2, 3)] == ["ADDED", "ADDED", "BEFORE_FIRST_CYCLE"]
    assert story.reasons.count("CYCLE_STARTED") == 1
