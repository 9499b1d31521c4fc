"""A streak's counter and levels: contract §4 rules 3, 6, 10 and "Read"; domain §4.3, §4.6."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from decimal import Decimal

import pytest

from milepost.rules.coverage import Enrolment
from milepost.rules.effects import Progress, Stint
from milepost.rules.streak import Run, level_views, run
from tests.rules.samples import CUSTOMER, TARGET, TICK, Story, day, streak, with_periods

CONTINUOUS, NON_CONTINUOUS = "STREAKS", "NON_CONTINUOUS_STREAKS"


def walked(facts: str, tracking_type: str = CONTINUOUS, *, cycles: int = 10) -> Story:
    """A customer enrolled from day 0 who meets each cycle with an M and misses each with a dot.

    The clock stands in the middle of the cycle after the last fact.
    """
    story = Story(streak(tracking_type=tracking_type, cycles=cycles))
    story.enrol()
    for number, fact in enumerate(facts, 1):
        story.now = day(10 * number - 5)
        if fact == "M":
            story.collect(f"c{number}", 1000)
    story.now = day(10 * len(facts) + 5)
    return story


def standing(story: Story) -> Run:
    return run(story.group, story.enrolment, story.now)


def counted(story: Story) -> tuple[int, bool]:
    found = standing(story)
    return found.count, found.dropped


# The counter


@pytest.mark.parametrize(
    ("facts", "count", "dropped"),
    [
        ("", 0, False),
        ("M", 1, False),
        ("MMM", 3, False),
        ("MM.", 0, True),
        ("MM...", 0, True),
        ("MM.M", 1, False),
        ("M.MM", 2, False),
        ("M.MM.", 0, True),
        (".", 0, True),
        (".M", 1, False),
        ("..MMM", 3, False),
        ("M.M.M.M", 1, False),
    ],
)
def test_a_continuous_streak_counts_the_run_up_to_the_last_met_cycle_and_0_from_a_break(
    facts: str, count: int, dropped: bool
) -> None:
    assert counted(walked(facts)) == (count, dropped)


@pytest.mark.parametrize(
    ("facts", "count"), [("", 0), (".", 0), ("MM.", 2), ("MM.M", 3), ("M.M.M.M", 4), ("...M", 1)]
)
def test_a_non_continuous_streak_counts_every_met_cycle_and_never_drops(
    facts: str, count: int
) -> None:
    assert counted(walked(facts, NON_CONTINUOUS)) == (count, False)


@pytest.mark.parametrize("tracking_type", [CONTINUOUS, NON_CONTINUOUS])
def test_the_met_cycles_of_the_attempt_are_told_in_order_whatever_broke_in_between(
    tracking_type: str,
) -> None:
    met = standing(walked("MM.M", tracking_type)).met
    assert [period.ref_code for period in met] == ["c1", "c2", "c4"]


@pytest.mark.parametrize("delay_days", [0, 7])
@pytest.mark.parametrize(
    ("now", "expected"),
    [(day(20) - TICK, (1, False)), (day(20), (0, True)), (day(20) + TICK, (0, True))],
)
def test_a_cycle_breaks_the_run_at_its_own_end_delay_or_not(
    now: datetime, expected: tuple[int, bool], delay_days: int
) -> None:
    story = walked("M")
    story.edit(replace(story.group, settlement_delay_days=delay_days))
    story.now = now
    assert counted(story) == expected


def test_a_running_or_upcoming_cycle_that_is_unmet_breaks_nothing() -> None:
    story = walked("MM")
    story.collect("c3", 999)
    assert counted(story) == (2, False)


def test_the_running_cycle_counts_from_the_moment_it_is_met() -> None:
    story = walked("MM")
    story.collect("c3", 1000)
    assert counted(story) == (3, False)


def test_meeting_a_cycle_several_times_over_counts_once() -> None:
    story = walked("M")
    story.collect("c1", 5000)
    assert counted(story) == (1, False)


def test_late_activity_that_meets_a_missed_cycle_joins_the_runs() -> None:
    story = walked("MM.MM")
    assert counted(story) == (2, False)
    story.collect("c3", 1000)
    assert counted(story) == (5, False)


def test_late_activity_that_meets_the_last_missed_cycle_undoes_the_break() -> None:
    story = walked("MM.")
    assert counted(story) == (0, True)
    story.collect("c3", 1000)
    assert counted(story) == (3, False)


def test_a_cycle_that_a_return_un_achieved_is_not_met() -> None:
    story = walked("MMM")
    second = story.group.periods[1]
    story.rows.progress[CUSTOMER, TARGET, second.id] = Progress(second.id, 1, Decimal(900))
    assert counted(story) == (1, False)


def test_a_value_that_an_edit_of_the_target_put_within_reach_is_not_met_by_itself() -> None:
    story = walked(".")
    story.collect("c1", 600)
    story.edit(with_periods(story.group, story.group.periods, asked=500))
    assert counted(story) == (0, True)


def test_who_was_never_enrolled_stands_at_nothing() -> None:
    assert run(streak(), Enrolment(), day(100)) == Run(0, False, ())


def test_a_deactivated_cycle_breaks_nothing() -> None:
    story = walked("MM.M")
    first, second, third, *others = story.group.periods
    inactive = replace(third, active=False)
    story.edit(with_periods(story.group, [first, second, inactive, *others]))
    assert counted(story) == (3, False)


# Which cycles the customer was enrolled in at their end


def test_cycles_that_ended_before_enrolment_are_neither_met_nor_missed() -> None:
    story = Story(streak(), day(25))
    story.enrol()
    assert counted(story) == (0, False)
    story.collect("c3", 1000)
    assert counted(story) == (1, False)


def test_the_cycle_in_which_the_customer_enrols_can_be_missed() -> None:
    story = Story(streak(), day(30) - TICK)
    story.enrol()
    story.now = day(30)
    assert counted(story) == (0, True)


@pytest.mark.parametrize(
    ("left_at", "expected"), [(day(30) - TICK, (2, False)), (day(30), (0, True))]
)
def test_an_unmet_cycle_that_was_left_before_its_end_breaks_nothing(
    left_at: datetime, expected: tuple[int, bool]
) -> None:
    story = walked("MM")
    story.now = left_at
    story.unenrol()
    story.now = day(100)
    assert counted(story) == expected


def test_a_met_cycle_that_was_left_still_counts() -> None:
    story = walked("MMM")
    story.now = day(29)
    story.unenrol()
    assert counted(story) == (3, False)


def test_cycles_missed_while_unenrolled_do_not_break_the_run() -> None:
    story = walked("MM")
    story.unenrol()
    story.now = day(55)
    story.enrol()
    assert counted(story) == (2, False)
    story.collect("c6", 1000)
    assert counted(story) == (3, False)


def test_a_cycle_left_and_entered_again_before_its_end_can_be_missed() -> None:
    story = walked("MM")
    story.unenrol()
    story.now = day(28)
    story.enrol()
    story.now = day(30)
    assert counted(story) == (0, True)


def test_the_next_cycle_missed_after_coming_back_breaks_the_run() -> None:
    story = walked("MM")
    story.unenrol()
    story.now = day(45)
    story.enrol()
    story.now = day(50)
    assert counted(story) == (0, True)


def test_a_break_from_before_leaving_lasts_until_the_next_met_cycle() -> None:
    story = walked("MM.")
    story.unenrol()
    story.now = day(75)
    assert counted(story) == (0, True)
    story.enrol()
    assert counted(story) == (0, True)
    story.collect("c8", 1000)
    assert counted(story) == (1, False)


# Attempts


def test_re_enrolled_without_reset_the_counter_is_as_it_was() -> None:
    story = walked("MMM")
    story.unenrol()
    story.now = day(65)
    story.enrol(reset=False)
    assert counted(story) == (3, False)


def test_after_a_reset_the_counter_starts_again() -> None:
    story = walked("MMM")
    story.unenrol()
    story.enrol(reset=True)
    assert standing(story) == Run(0, False, ())
    story.collect("c4", 1000)
    assert counted(story) == (1, False)


@pytest.mark.parametrize("facts", ["MM.", "M..", "..."])
def test_a_cycle_missed_in_an_earlier_attempt_does_not_break_the_new_one(facts: str) -> None:
    story = walked(facts)
    story.unenrol()
    story.enrol(reset=True)
    assert counted(story) == (0, False)
    story.now = day(40)
    assert counted(story) == (0, True)


def test_a_running_cycle_met_before_a_reset_must_be_met_again() -> None:
    story = walked("MM")
    story.collect("c3", 1000)
    assert counted(story) == (3, False)
    story.unenrol()
    story.enrol(reset=True)
    assert counted(story) == (0, False)
    story.collect("c3", 999)
    assert counted(story) == (0, False)
    story.collect("c3", 1)
    assert counted(story) == (1, False)


def test_late_activity_in_a_cycle_of_an_earlier_attempt_does_not_count_in_the_new_one() -> None:
    story = walked("M.")
    story.unenrol()
    story.enrol(reset=True)
    second = story.group.periods[1]
    story.rows.progress[CUSTOMER, TARGET, second.id] = Progress(
        second.id, 1, Decimal(1000), story.now
    )
    assert standing(story) == Run(0, False, ())


def test_a_second_stint_of_an_attempt_after_a_reset_is_counted_with_the_first() -> None:
    story = walked("M")
    story.unenrol()
    story.enrol(reset=True)
    story.collect("c2", 1000)
    story.now = day(25)
    story.unenrol()
    story.now = day(45)
    story.enrol()
    story.collect("c5", 1000)
    assert counted(story) == (2, False)
    story.now = day(60)
    assert counted(story) == (0, True)


def test_a_hundred_cycles_each_left_and_entered_again_are_told_apart() -> None:
    group = streak(cycles=100)
    stints = tuple(
        Stint(number, day(10 * number - 9), None, day(10 * number + (number % 3 == 0)))
        for number in range(1, 100, 2)
    )
    # Odd cycles are covered at their end, by one stint each; those with a multiple of 5 are met.
    progress = {
        period.id: Progress(period.id, 1, Decimal(1000), day(0))
        for period in group.periods
        if period.number % 5 == 0
    }
    found = run(group, Enrolment(1, stints, progress), day(2000))
    assert found.count == 1
    assert [period.number for period in found.met] == list(range(5, 101, 5))
    assert run(group, Enrolment(1, stints[:45], progress), day(2000)).count == 3


# Levels


def test_every_level_shows_the_counter_and_its_own_total_in_the_order_of_the_group() -> None:
    story = walked("MMM")
    views = level_views(story.group, standing(story))
    assert [(v.level.name, v.status, v.current_count, v.total) for v in views] == [
        ("l1", "INPROGRESS", 3, 2),
        ("l2", "INPROGRESS", 3, 4),
    ]


@pytest.mark.parametrize(
    ("facts", "achieved", "statuses"),
    [
        ("", (), ["INPROGRESS", "INPROGRESS"]),
        ("MM", (901,), ["ACHIEVED", "INPROGRESS"]),
        ("MM.", (901,), ["ACHIEVED", "DROPPED"]),
        ("MM.M", (901,), ["ACHIEVED", "INPROGRESS"]),
        ("MMMM.", (901, 902), ["ACHIEVED", "ACHIEVED"]),
        (".", (), ["DROPPED", "DROPPED"]),
        (".M", (), ["INPROGRESS", "INPROGRESS"]),
        ("M.M.", (), ["DROPPED", "DROPPED"]),
    ],
)
def test_a_level_is_achieved_else_dropped_from_a_break_until_the_next_met_cycle_else_in_progress(
    facts: str, achieved: tuple[int, ...], statuses: list[str]
) -> None:
    story = walked(facts)
    views = level_views(story.group, standing(story), dict.fromkeys(achieved, day(1)))
    assert [view.status for view in views] == statuses
    assert {view.current_count for view in views} == {standing(story).count}


def test_a_group_without_levels_has_no_views() -> None:
    assert level_views(streak(levels=()), Run(0, False, ())) == ()
