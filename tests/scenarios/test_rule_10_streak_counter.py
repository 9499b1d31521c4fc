"""Contract §4 rule 10: a streak's counter follows from which cycles are met.

A streak has thirty cycles, c1 to c30: the days of June 2026.
"""

from __future__ import annotations

from datetime import date

import pytest

from tests.harness import Org, Service
from tests.scenarios.vocabulary import (
    ACCEPTED,
    Challenge,
    days,
    define_streak,
    names,
    period,
)


def test_the_counter_is_the_length_of_the_run_up_to_the_last_met_cycle(org: Org) -> None:
    streak, ann = define_streak(org, levels=(3, 5)), org.register()
    assert streak.enrol(ann) == ACCEPTED
    assert streak.counter(ann) == 0
    for day in range(1, 6):
        streak.meet(ann, [f"c{day}"])
        assert streak.counter(ann) == day
    # The running cycle is unmet and nothing is broken yet.
    org.move_clock("2026-06-06T23:59:59.999Z")
    assert streak.counter(ann) == 5
    org.move_clock("2026-06-07T00:00:00Z")
    assert streak.counter(ann) == 0


def test_a_cycle_that_is_met_several_times_over_adds_only_1(org: Org) -> None:
    streak, ann = define_streak(org, levels=(2,)), org.register()
    assert streak.enrol(ann) == ACCEPTED
    for bought in range(1, 4):
        assert streak.buy(ann) == ("c1", bought - 1, bought, True)
        assert streak.counter(ann) == 1
    assert streak.rewards(ann) == []


def test_from_a_break_until_the_next_met_cycle_the_counter_is_0_and_levels_are_dropped(
    org: Org,
) -> None:
    streak, ann = define_streak(org, levels=(2, 3)), org.register()
    assert streak.enrol(ann) == ACCEPTED
    streak.meet(ann, names(1, 2))
    org.move_clock("2026-06-04T00:00:00Z")
    assert (streak.counter(ann), streak.levels(ann)) == (0, {"l1": "ACHIEVED", "l2": "DROPPED"})
    streak.meet(ann, ["c4"])
    assert (streak.counter(ann), streak.levels(ann)) == (1, {"l1": "ACHIEVED", "l2": "INPROGRESS"})
    # The next level needs its full count in the new run.
    streak.meet(ann, ["c5"])
    assert streak.levels(ann)["l2"] == "INPROGRESS"
    streak.meet(ann, ["c6"])
    assert streak.levels(ann)["l2"] == "ACHIEVED"
    assert streak.rewards(ann) == [("Benefit of l1", "c2", 1), ("Benefit of l2", "c6", 1)]


def test_a_cycle_breaks_the_run_at_its_own_end_delay_or_not(org: Org) -> None:
    streak, ann = define_streak(org, levels=(2, 4), settlementDelayDays=2), org.register()
    assert streak.enrol(ann) == ACCEPTED
    streak.meet(ann, names(1, 2))
    org.move_clock("2026-06-04T00:00:00Z")
    assert streak.counter(ann) == 0
    # At one instant a run breaks before other cycles are settled.
    broken, settled = streak.journal(ann)[-2:]
    assert (broken["reason"], broken["periodRefCode"]) == ("CYCLE_MISSED", "c3")
    assert (settled["reason"], settled["periodRefCode"]) == ("SETTLED_ACHIEVED", "c1")
    assert broken["at"] == settled["at"] == "2026-06-04T00:00:00.000Z"


def test_late_activity_inside_the_delay_joins_the_runs_and_levels_reached_thereby_come_then(
    org: Org,
) -> None:
    streak, ann = define_streak(org, levels=(2, 4), settlementDelayDays=2), org.register()
    assert streak.enrol(ann) == ACCEPTED
    streak.meet(ann, ["c1", "c2", "c4"])
    assert streak.counter(ann) == 1
    assert rewarded(streak, ann) == ["Benefit of l1"]
    org.move_clock("2026-06-05T23:59:59.999Z")
    # c5 is running; c1, c2 and c4 are met, and now c3.
    assert streak.buy(ann, on="2026-06-03T12:00:00Z") == ("c3", 0, 1, True)
    assert streak.counter(ann) == 4
    assert rewarded(streak, ann) == ["Benefit of l1", "Benefit of l2"]
    assert streak.levels(ann) == {"l1": "ACHIEVED", "l2": "ACHIEVED"}


def test_from_the_end_of_the_delay_on_nothing_joins_the_runs(org: Org) -> None:
    streak, ann = define_streak(org, levels=(2, 4), settlementDelayDays=2), org.register()
    assert streak.enrol(ann) == ACCEPTED
    streak.meet(ann, ["c1", "c2", "c4"])
    org.move_clock("2026-06-06T00:00:00Z")
    assert streak.buy(ann, on="2026-06-03T12:00:00Z") == "CYCLE_CLOSED"
    assert rewarded(streak, ann) == ["Benefit of l1"]


def test_late_activity_joins_runs_that_lie_before_a_later_break_too(org: Org) -> None:
    streak, ann = define_streak(org, levels=(3,), settlementDelayDays=10), org.register()
    assert streak.enrol(ann) == ACCEPTED
    streak.meet(ann, ["c1", "c3"])
    org.move_clock("2026-06-05T12:00:00Z")
    assert streak.counter(ann) == 0
    assert streak.buy(ann, on="2026-06-02T12:00:00Z") == ("c2", 0, 1, True)
    # The run of three was reached, and is broken by c4 all the same.
    assert (streak.counter(ann), streak.levels(ann)) == (0, {"l1": "ACHIEVED"})
    assert rewarded(streak, ann) == ["Benefit of l1"]


def test_non_continuous_streaks_count_every_met_cycle(org: Org) -> None:
    streak = define_streak(
        org, levels=(2, 4), trackingType="NON_CONTINUOUS_STREAKS", settlementDelayDays=5
    )
    ann = org.register()
    assert streak.enrol(ann) == ACCEPTED
    streak.meet(ann, ["c1", "c4", "c9"])
    assert streak.counter(ann) == 3
    assert streak.rewards(ann) == [("Benefit of l1", "c4", 1)]
    assert streak.buy(ann, on="2026-06-07T00:00:00Z") == ("c7", 0, 1, True)
    assert streak.counter(ann) == 4
    assert rewarded(streak, ann) == ["Benefit of l1", "Benefit of l2"]
    org.move_clock("2026-07-15T00:00:00Z")
    assert streak.counter(ann) == 4
    assert streak.levels(ann) == {"l1": "ACHIEVED", "l2": "ACHIEVED"}


def test_a_streak_of_days_counts_the_29th_of_february(service: Service) -> None:
    org = service.new_org(now="2028-02-27T00:00:00Z")
    streak = define_streak(org, levels=(4,), periods=days(4, date(2028, 2, 27)))
    ann, ben = org.register(), org.register()
    for customer in (ann, ben):
        assert streak.enrol(customer) == ACCEPTED
    streak.meet(ben, names(1, 2))
    org.move_clock("2028-02-28T12:00:00Z")
    assert streak.buy(ann, on="2028-02-27T12:00:00Z") == "CYCLE_CLOSED"
    assert streak.buy(ann) == ("c2", 0, 1, True)
    streak.meet(ben, ["c3"])
    assert org.now().startswith("2028-02-29T00:00:00")
    org.move_clock("2028-02-29T23:59:59.999Z")
    assert streak.buy(ann) == ("c3", 0, 1, True)
    streak.meet(ben, ["c4"])
    assert org.now().startswith("2028-03-01T00:00:00")
    # Ann has missed nothing since the 28th, nor has Ben; only he has four days.
    assert (streak.counter(ann), streak.counter(ben)) == (2, 4)
    assert streak.rewards(ben) == [("Benefit of l1", "c4", 1)]


def test_generated_months_that_start_on_the_31st_and_years_that_start_on_a_29th_of_february(
    service: Service,
) -> None:
    org = service.new_org(now="2028-01-31T00:00:00Z")
    months, years = (
        define_streak(org, levels=(3,), periods=[], frequencyType=kind, frequency=1,
                      recurringCycles=3, targetCycleStartDate=on)
        for kind, on in (("MONTHLY", "2028-01-31"), ("YEARLY", "2028-02-29"))
    )  # fmt: skip
    ann = org.register()
    assert months.enrol(ann) == years.enrol(ann) == ACCEPTED
    assert starts(months, ann) == ["2028-01-31", "2028-02-29", "2028-03-31"]
    assert starts(years, ann) == ["2028-02-29", "2029-02-28", "2030-02-28"]
    org.move_clock("2028-02-29T00:00:00Z")
    second = list(months.periods)[1]
    assert months.buy(ann, on="2028-02-28T23:59:59.999Z") == "CYCLE_CLOSED"
    assert months.buy(ann) == (second, 0, 1, True)
    assert years.counter(ann) == 1
    years.meet(ann, list(years.periods)[1:])
    assert years.counter(ann) == 3
    assert rewarded(years, ann) == ["Benefit of l1"]
    assert months.counter(ann) == 0


@pytest.mark.parametrize(
    ("zone", "first"),
    [
        ("Europe/Berlin", date(2026, 10, 24)),
        ("America/New_York", date(2026, 10, 31)),
        ("Australia/Lord_Howe", date(2026, 10, 3)),
    ],
)
def test_a_streak_runs_over_a_night_on_which_the_clocks_change(
    org: Org, zone: str, first: date
) -> None:
    streak = define_streak(org, levels=(3,), periods=days(3, first), timeZoneName=zone)
    ann = org.register()
    assert streak.enrol(ann) == ACCEPTED
    streak.meet(ann, names(1, 3))
    assert streak.rewards(ann) == [("Benefit of l1", "c3", 1)]


def test_gaps_between_cycles_break_nothing(org: Org) -> None:
    weekends = [
        period(f"c{n}", date(2026, 6, 6 + 7 * (n - 1)), date(2026, 6, 7 + 7 * (n - 1)))
        for n in (1, 2, 3)
    ]
    streak, ann = define_streak(org, levels=(3,), periods=weekends), org.register()
    assert streak.enrol(ann) == ACCEPTED
    org.move_clock("2026-06-05T12:00:00Z")
    assert streak.buy(ann) == "NO_CYCLE"
    streak.meet(ann, names(1, 2))
    org.move_clock("2026-06-18T12:00:00Z")
    assert streak.buy(ann) == "NO_CYCLE"
    assert streak.counter(ann) == 2
    streak.meet(ann, ["c3"])
    assert rewarded(streak, ann) == ["Benefit of l1"]


def rewarded(streak: Challenge, customer: int) -> list[str]:
    """The names of the rewards, oldest first."""
    return [name for name, *_ in streak.rewards(customer)]


def starts(streak: Challenge, customer: int) -> list[str]:
    """The local dates on which the cycles start."""
    return [row["periodStartDate"] for row in streak.rows(customer)]
