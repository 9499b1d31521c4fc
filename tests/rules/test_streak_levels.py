"""Streak levels as activity moves them: contract §4 rules 5, 6, 10 and 11; Appendix B 9–12."""

from __future__ import annotations

from dataclasses import replace

import pytest

from milepost.rules.streak import longest_run, run
from tests.rules.samples import CUSTOMER, GROUP, TARGET, Story, day, sale, streak

CONTINUOUS, NON_CONTINUOUS = "STREAKS", "NON_CONTINUOUS_STREAKS"


def runner(*levels: int, cycles: int = 12, **others: object) -> Story:
    """A customer enrolled from day 0; rewards of cycles are left out, levels grant one each."""
    group = streak(levels=levels, cycles=cycles, rewards=(), **others)  # type: ignore[arg-type]
    story = Story(group)
    story.enrol()
    return story


def walk(story: Story, facts: str, first: int = 1) -> None:
    """Meet the cycles marked M, from c<first> on, each in its middle; miss the others."""
    for number, fact in enumerate(facts, first):
        story.now = day(10 * number - 5)
        if fact == "M":
            assert story.spend(1000) == "ADDED"


def counter(story: Story) -> int:
    return run(story.group, story.enrolment, story.now).count


def told(story: Story) -> list[str]:
    """The levels reached and lost, in order: `+l1`, `-l1`."""
    found = []
    for entry in story.journal:
        if entry.reason in ("LEVEL_REACHED", "LEVEL_LOST"):
            level = entry.details["level"]
            assert isinstance(level, dict)
            found.append(f"{'+' if entry.what == 'ACHIEVED' else '-'}{level['name']}")
    return found


@pytest.mark.parametrize(
    ("facts", "continuous", "non_continuous"),
    [
        ("M", "", ""),
        ("MM", "l1", "l1"),
        ("MMMM", "l1 l2", "l1 l2"),
        ("M.M", "", "l1"),
        ("M.M.M.M", "", "l1 l2"),
        ("MM.M", "l1", "l1"),
        ("MM.MM", "l1", "l1 l2"),
        # The next level needs its full count in the new run.
        ("MM.MMM", "l1", "l1 l2"),
        ("MM.MMMM", "l1 l2", "l1 l2"),
        (".MM", "l1", "l1"),
        ("......", "", ""),
    ],
)
def test_a_level_is_reached_by_a_run_of_its_count_and_stays_over_a_break(
    facts: str, continuous: str, non_continuous: str
) -> None:
    for tracking_type, expected in ((CONTINUOUS, continuous), (NON_CONTINUOUS, non_continuous)):
        story = runner(2, 4, tracking_type=tracking_type)
        walk(story, facts)
        assert story.levels == expected
        assert story.level_rewards == [(name, 1) for name in expected.split()]
        assert told(story) == [f"+{name}" for name in expected.split()]


def test_several_levels_reached_at_once_are_reached_in_their_order() -> None:
    story = runner(1, 2, 3, settlement_delay_days=100)
    walk(story, "M.M")
    story.spend(1000, at=15)
    assert told(story) == ["+l1", "+l2", "+l3"]
    assert story.level_rewards == [("l1", 1), ("l2", 1), ("l3", 1)]


def test_late_activity_joins_the_runs_and_the_levels_reached_thereby_are_granted_then() -> None:
    story = runner(5, settlement_delay_days=30)
    walk(story, "MM.MM")
    assert (counter(story), story.levels) == (2, "")
    story.spend(1000, at=25)
    assert (counter(story), story.levels) == (5, "l1")
    assert story.rows.levels[CUSTOMER, TARGET, 901, 1].period_id == GROUP * 100 + 3
    ((_, reward),) = story.rows.rewards
    assert (reward.period_id, reward.granted_at) == (GROUP * 100 + 3, day(45))


def test_late_activity_may_lengthen_a_run_that_was_broken_after_it() -> None:
    story = runner(3, settlement_delay_days=100)
    walk(story, "M.M..M")
    story.spend(1000, at=15)
    # The first three cycles are a run of three, whatever came after.
    assert (counter(story), story.levels) == (1, "l1")


def test_a_cycle_that_is_closed_cannot_join_runs() -> None:
    story = runner(5, settlement_delay_days=5)
    walk(story, "MM.MM")
    assert story.spend(1000, at=25) == "CYCLE_CLOSED"
    assert (counter(story), story.levels) == (2, "")


def test_meeting_a_cycle_several_times_over_counts_once() -> None:
    story = runner(2)
    for _ in range(3):
        story.spend(1000)
    assert (counter(story), story.levels) == (1, "")


# Returns


def test_a_return_takes_back_a_level_whose_run_no_longer_has_its_count() -> None:
    story = runner(2, 4, settlement_delay_days=100)
    walk(story, "MMMM")
    story.give_back("tx-2", 1)
    assert (counter(story), story.levels) == (2, "l1")
    assert told(story) == ["+l1", "+l2", "-l2"]
    entry = story.journal[-1]
    assert (entry.reason, entry.details["kept"]) == ("LEVEL_LOST", ["Fifty"])
    assert story.rows.levels[CUSTOMER, TARGET, 902, 1].achieved_at is None
    # The reward stays.
    assert story.level_rewards == [("l1", 1), ("l2", 1)]


def test_a_level_that_another_run_has_the_count_for_stays() -> None:
    story = runner(2, settlement_delay_days=100)
    walk(story, "MM.MM")
    story.give_back("tx-1", 1)
    assert (story.levels, told(story)) == ("l1", ["+l1"])
    story.give_back("tx-4", 1)
    assert (story.levels, told(story)) == ("", ["+l1", "-l1"])


def test_a_level_reached_again_is_not_rewarded_again_in_its_attempt() -> None:
    story = runner(2, settlement_delay_days=100)
    walk(story, "MM")
    for number in (1, 2):
        story.give_back(f"tx-{2 * number}", 1)
        assert story.levels == ""
        story.spend(1)
        assert story.levels == "l1"
    assert told(story) == ["+l1", "-l1", "+l1", "-l1", "+l1"]
    assert story.level_rewards == [("l1", 1)]


def test_a_return_that_leaves_the_cycle_met_takes_no_level_back() -> None:
    story = runner(1)
    story.spend(1500)
    story.give_back("tx-1", 500)
    assert story.levels == "l1"


def test_only_a_return_takes_a_level_back() -> None:
    story = runner(2, settlement_delay_days=100)
    walk(story, "M.M")
    # An inactive cycle breaks no run; made active again, it does.
    off = replace(story.group.periods[1], active=False)
    whole = story.group.periods
    story.edit(replace(story.group, periods=(whole[0], off, *whole[2:])))
    story.now = day(35)
    story.spend(1000)
    assert story.levels == "l1"
    story.edit(replace(story.group, periods=whole))
    story.edit(replace(story.group, levels=(replace(story.group.levels[0], target_count=3),)))
    story.now = day(55)
    story.spend(1000)
    assert (story.levels, told(story)) == ("l1", ["+l1"])


# Attempts


def test_a_reset_lets_the_levels_be_reached_and_rewarded_again() -> None:
    # Appendix B 9 and 10, with levels of two and three cycles.
    story = runner(2, 3)
    walk(story, "MMM")
    story.unenrol()
    assert story.levels == "l1 l2"
    story.now = day(35)
    story.enrol(reset=True)
    assert (story.levels, counter(story)) == ("", 0)
    walk(story, "MM", first=4)
    assert (story.levels, counter(story)) == ("l1", 2)
    assert story.level_rewards == [("l1", 1), ("l2", 1), ("l1", 2)]


def test_without_a_reset_the_next_goal_is_the_next_level() -> None:
    story = runner(2, 4)
    walk(story, "MM")
    story.now = day(21)
    story.unenrol()
    story.now = day(35)
    story.enrol()
    walk(story, "MM", first=4)
    # The cycle missed while unenrolled broke nothing.
    assert (story.levels, counter(story)) == ("l1 l2", 4)
    assert story.level_rewards == [("l1", 1), ("l2", 1)]


def test_a_late_level_of_an_earlier_attempt_is_that_attempts() -> None:
    story = runner(2, settlement_delay_days=100)
    walk(story, "M.")
    story.now = day(22)
    story.unenrol()
    story.enrol(reset=True)
    story.spend(1000)
    story.spend(1000, at=15)
    # Two cycles of the first attempt are met, and one of the second.
    assert (story.levels, counter(story)) == ("", 1)
    assert story.level_rewards == [("l1", 1)]


def test_levels_are_loaded_with_the_batch_that_may_move_them() -> None:
    story = runner(1, 2)
    story.record(sale("a", 1000, 0))
    story.now = day(10)
    story.record(sale("b", 1000, 10), sale("c", 1, 10))
    assert story.level_rewards == [("l1", 1), ("l2", 1)]


# The longest run


@pytest.mark.parametrize(
    ("facts", "longest"),
    [("", 0), ("...", 0), ("MM", 2), ("MM.M", 2), ("M.MMM.", 3), ("MM.MM", 2)],
)
def test_the_longest_run_is_the_highest_that_the_counter_ever_stood(
    facts: str, longest: int
) -> None:
    story = runner(9)
    walk(story, facts)
    story.now = day(10 * len(facts) + 5)
    assert longest_run(story.group, story.enrolment, story.now, 1) == longest
    assert longest_run(story.group, story.enrolment, story.now, 2) == 0
