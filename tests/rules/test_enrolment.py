"""Enrol, re-enrol and unenrol, sentence by sentence: contract §4 rules 1–7, 12, 13, order of checks."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from milepost.errors import Refusal
from milepost.rules.coverage import covers, reaches, target_value
from milepost.rules.definitions import CYCLIC, PERIOD_AGNOSTIC
from milepost.rules.effects import Origin, Progress
from milepost.rules.enrolment import Enrol, Unenrol, apply, choose_cycle, find
from tests.rules.samples import (
    BADGE,
    CUSTOMER,
    GROUP,
    POINTS,
    TARGET,
    TICK,
    Rows,
    Story,
    cycle,
    cyclic,
    day,
    definitions,
    evaluate,
    milestone,
    streak,
    values_of,
    with_periods,
)

ACCEPTED = 0
INVALID_USER, GROUP_NOT_FOUND, TARGET_NOT_FOUND = 310011, 310017, 310018
PERIOD_NOT_FOUND, ALREADY_ENROLLED, NOT_ENROLLED = 310019, 310119, 310126


def left_in_c4_at_250(**group: Any) -> Story:
    """Enrolled from c1, 250 collected in c4, left in the middle of c4."""
    story = Story(milestone(**group))
    assert story.enrol("c1") == ACCEPTED
    story.now = day(35)
    story.collect("c4", 250)
    assert story.unenrol() == ACCEPTED
    return story


# Rule 1


@pytest.mark.parametrize(
    ("name", "covered"),
    [
        ("c1", "c1 c2 c3 c4 c5"),
        ("c2", "c2 c3 c4 c5"),
        ("c3", "c3 c4 c5"),
        ("c4", "c4 c5"),
        ("c5", "c5"),
    ],
)
def test_naming_a_cycle_covers_it_and_every_later_one(name: str, covered: str) -> None:
    story = Story(milestone())
    assert story.enrol(name) == ACCEPTED
    assert story.covered == covered


@pytest.mark.parametrize("now", [day(20), day(25), day(30) - TICK])
def test_naming_a_running_cycle_at_any_moment_of_it_covers_the_whole_cycle(now: Any) -> None:
    story = Story(milestone(), now)
    assert story.enrol("c3") == ACCEPTED
    assert story.covered == "c3 c4 c5"


def test_a_cycle_added_later_is_covered_by_whoever_is_enrolled() -> None:
    story = Story(milestone())
    story.enrol("c2")
    story.edit(with_periods(story.group, [*story.group.periods, cycle(6)]))
    assert story.covered == "c2 c3 c4 c5 c6"


def test_a_moved_end_of_a_running_cycle_and_moved_later_cycles_stay_covered() -> None:
    story = Story(milestone(), day(15))
    story.enrol("c2")
    c1, c2, c3, *_ = story.group.periods
    moved = [c1, replace(c2, ends_at=day(16)), replace(c3, starts_at=day(17), ends_at=day(40))]
    story.edit(with_periods(story.group, moved))
    assert story.covered == "c2 c3"
    story.now = day(50)
    assert story.covered == "c2 c3"


@pytest.mark.parametrize("name", ["c1", "c2", "c5", None])
def test_naming_a_cycle_that_is_already_covered_is_310119_and_changes_nothing(
    name: str | None,
) -> None:
    story = Story(milestone())
    story.enrol("c1", 300)
    before = story.rows.copy()
    assert story.enrol(name, 1000) == ALREADY_ENROLLED
    assert story.rows == before


def test_ten_calls_for_ten_cycles_succeed_once_and_answer_310119_for_the_others() -> None:
    story = Story(milestone(cycles=10))
    codes = [story.enrol(f"c{number}") for number in range(1, 11)]
    assert codes == [ACCEPTED] + [ALREADY_ENROLLED] * 9


@pytest.mark.parametrize(
    ("name", "covered"),
    [("c1", "c1 c2 c3 c4 c5"), ("c2", "c2 c3 c4 c5"), ("c3", "c3 c4 c5"), (None, "c1 c2 c3 c4 c5")],
)
def test_naming_an_earlier_cycle_that_has_not_ended_extends_coverage_back(
    name: str | None, covered: str
) -> None:
    story = Story(milestone(), day(5))
    story.enrol("c4", 400)
    story.now = day(6)
    assert story.enrol(name, 100) == ACCEPTED
    assert story.covered == covered
    assert (story.value(name or "c1"), story.value("c4")) == (100, 400)
    (stint,) = story.enrolment.stints
    assert (stint.number, stint.enrolled_at, stint.left_at) == (1, day(6), None)
    assert story.reasons == ["ENROLLED", "EXTENDED_BACK"]


def test_an_extended_enrolment_covers_its_cycles_like_any_other() -> None:
    story = Story(milestone())
    story.enrol("c4")
    story.enrol("c2")
    assert [story.enrol(name) for name in ("c2", "c3", "c4", "c5")] == [ALREADY_ENROLLED] * 4
    assert story.enrol("c1") == ACCEPTED


@pytest.mark.parametrize(
    ("name", "now", "expected"),
    [
        ("c1", day(10) - TICK, ACCEPTED),
        ("c1", day(10), PERIOD_NOT_FOUND),
        ("c1", day(45), PERIOD_NOT_FOUND),
        ("c5", day(50) - TICK, ACCEPTED),
        ("c5", day(50), PERIOD_NOT_FOUND),
    ],
)
def test_naming_a_cycle_that_has_ended_is_310019_and_its_end_is_the_first_such_instant(
    name: str, now: Any, expected: int
) -> None:
    assert Story(milestone(), now).enrol(name) == expected


def test_naming_a_cycle_in_the_gap_after_it_is_310019() -> None:
    assert Story(milestone(gap_days=2), day(9)).enrol("c1") == PERIOD_NOT_FOUND


@pytest.mark.parametrize("name", ["c9", "C1", " c1", "c1 ", "c", "c1\u200b", "\uff431"])
def test_a_name_that_is_not_exactly_a_ref_code_is_310019(name: str) -> None:
    story = Story(milestone())
    assert story.enrol(name) == PERIOD_NOT_FOUND
    assert story.covered == ""


def test_a_ref_code_with_blanks_around_it_is_matched_as_it_is() -> None:
    group = milestone()
    first, *others = group.periods
    story = Story(with_periods(group, [replace(first, ref_code=" c1 "), *others]))
    assert story.enrol("c1") == PERIOD_NOT_FOUND
    assert story.enrol(" c1 ") == ACCEPTED


def test_a_deactivated_cycle_can_neither_be_named_nor_chosen() -> None:
    group = milestone()
    first, *others = group.periods
    story = Story(with_periods(group, [replace(first, active=False), *others]))
    assert story.enrol("c1") == PERIOD_NOT_FOUND
    assert story.enrol() == ACCEPTED
    assert story.covered == "c2 c3 c4 c5"


# Rule 2


@pytest.mark.parametrize("blank", [None, "", " ", "\t\n", "\u00a0"])
@pytest.mark.parametrize(
    ("now", "covered"),
    [
        (day(-3), "c1 c2 c3 c4 c5"),
        (day(0), "c1 c2 c3 c4 c5"),
        (day(7), "c1 c2 c3 c4 c5"),
        (day(8), "c2 c3 c4 c5"),
        (day(10), "c2 c3 c4 c5"),
        (day(42), "c5"),
    ],
)
def test_without_a_name_the_running_cycle_is_chosen_else_the_nearest_upcoming(
    blank: str | None, now: Any, covered: str
) -> None:
    story = Story(milestone(gap_days=2), now)
    assert story.enrol(blank) == ACCEPTED
    assert story.covered == covered


@pytest.mark.parametrize("now", [day(48), day(60)])
def test_without_a_name_and_without_any_cycle_left_it_is_310019(now: Any) -> None:
    assert Story(milestone(gap_days=2), now).enrol() == PERIOD_NOT_FOUND


def test_a_group_without_cycles_is_310019() -> None:
    assert Story(milestone(cycles=0)).enrol() == PERIOD_NOT_FOUND


# Rule 3


@pytest.mark.parametrize("name", [None, "", "c4", "no such cycle"])
@pytest.mark.parametrize("balance", [None, 0, 5000])
def test_a_streak_ignores_the_name_and_the_balance(name: str | None, balance: int | None) -> None:
    story = Story(streak())
    assert story.enrol(name, balance) == ACCEPTED
    assert story.covered == "c1 c2 c3 c4 c5"
    assert story.enrolment.progress == {}
    assert story.rewards == []


@pytest.mark.parametrize("tracking_type", ["STREAKS", "NON_CONTINUOUS_STREAKS"])
@pytest.mark.parametrize(
    ("now", "covered"),
    [
        (day(-3), "c1 c2 c3 c4 c5"),
        (day(10) - TICK, "c1 c2 c3 c4 c5"),
        (day(10), "c2 c3 c4 c5"),
        (day(49), "c5"),
    ],
)
def test_a_streak_covers_all_cycles_that_have_not_ended_and_none_that_has(
    now: Any, covered: str, tracking_type: str
) -> None:
    story = Story(streak(tracking_type=tracking_type), now)
    assert story.enrol("c1") == ACCEPTED
    assert story.covered == covered


def test_a_streak_without_any_cycle_left_is_310019() -> None:
    assert Story(streak(), day(50)).enrol() == PERIOD_NOT_FOUND


@pytest.mark.parametrize("name", [None, "c1", "c5"])
def test_a_streak_that_the_customer_is_in_is_310119_whatever_cycle_is_named(
    name: str | None,
) -> None:
    story = Story(streak(), day(5))
    story.enrol()
    story.now = day(15)
    before = story.rows.copy()
    assert story.enrol(name, reset=True) == ALREADY_ENROLLED
    assert story.rows == before


# Rule 4


@pytest.mark.parametrize("name", ["c1", "c3", None])
def test_a_balance_is_the_achieved_value_of_the_chosen_cycle_and_of_no_other(
    name: str | None,
) -> None:
    story = Story(milestone())
    story.enrol(name, 300)
    chosen = name or "c1"
    assert {p.ref_code: story.value(p.ref_code) for p in story.group.periods} == {
        p.ref_code: 300 if p.ref_code == chosen else 0 for p in story.group.periods
    }


@pytest.mark.parametrize("balance", [None, 0])
def test_a_first_enrolment_with_a_balance_of_null_or_0_starts_at_0(balance: int | None) -> None:
    story = Story(milestone())
    story.enrol("c1", balance)
    assert (story.value("c1"), story.attempt("c1"), story.achieved("c1")) == (0, 1, False)


@pytest.mark.parametrize(("balance", "value"), [(0, 0), (150, 150), (None, 250)])
@pytest.mark.parametrize("name", ["c4", None])
def test_re_enrolled_where_250_was_left_0_and_150_replace_it_and_null_resumes_it(
    balance: int | None, value: int, name: str | None
) -> None:
    story = left_in_c4_at_250()
    assert story.enrol(name, balance) == ACCEPTED
    assert story.value("c4") == value
    assert story.covered == "c1 c2 c3 c4 c5"


def test_other_cycles_keep_their_values_when_a_balance_sets_one() -> None:
    story = left_in_c4_at_250()
    story.collect("c1", 77)
    story.enrol("c5", 500)
    assert (story.value("c1"), story.value("c4"), story.value("c5")) == (77, 250, 500)


@pytest.mark.parametrize(
    ("balance", "achieved"), [(0, False), (999, False), (1000, True), (1001, True), (10**15, True)]
)
def test_a_balance_at_or_above_the_target_value_achieves_the_cycle_at_once(
    balance: int, achieved: bool
) -> None:
    story = Story(milestone(), day(3))
    story.enrol("c1", balance)
    at, rewarded = (day(3), 1) if achieved else (None, None)
    assert story.row("c1") == Progress(701, 1, Decimal(balance), at, rewarded)
    assert story.reasons[1:] == (
        ["INITIAL_BALANCE", "ACHIEVED_BY_BALANCE", "ACHIEVED_BY_BALANCE"] if achieved else []
    )


def test_each_cycle_is_measured_by_its_own_target_value() -> None:
    group = milestone()
    (target,) = group.targets
    values = {**target.values, **values_of(group.periods[2:3], 2000)}
    story = Story(replace(group, targets=(replace(target, values=values),)))
    story.enrol("c3", 1999)
    assert not story.achieved("c3")
    story.enrol("c1", 1999)
    assert story.achieved("c1")


def test_a_balance_achieves_an_upcoming_cycle_and_is_rewarded_at_once() -> None:
    story = Story(milestone(), day(-1))
    story.enrol("c4", 1000)
    assert story.achieved("c4")
    assert story.rewards == [("c4", 1, "Fifty"), ("c4", 1, "Explorer")]


def test_every_entry_of_the_rewards_is_granted_with_its_place_its_cause_and_its_instant() -> None:
    story = Story(milestone(rewards=(BADGE, POINTS, BADGE)), day(3))
    story.enrol("c1", 1200)
    granted = [reward for _, reward in story.rows.rewards]
    assert [(r.ordinal, r.name, r.type, r.value, r.reference) for r in granted] == [
        (0, "Explorer", "BADGE", Decimal(1), "explorer"),
        (1, "Fifty", "POINTS", Decimal(50), None),
        (2, "Explorer", "BADGE", Decimal(1), "explorer"),
    ]
    assert {(r.cause, r.granted_at, r.streak_level_id) for r in granted} == {
        ("ENROLMENT", day(3), None)
    }
    assert {(r.target_group_id, r.target_id) for r in granted} == {(GROUP, TARGET)}


def test_a_balance_achieves_but_grants_nothing_before_settlement_when_rewards_are_period_end() -> (
    None
):
    story = Story(milestone(reward_allocation="PERIOD_END"))
    story.enrol("c1", 1000)
    assert story.achieved("c1")
    assert story.rewards == []
    assert story.reasons == ["ENROLLED", "INITIAL_BALANCE"]


def test_an_achieved_cycle_stays_achieved_when_its_value_is_resumed() -> None:
    story = Story(milestone())
    story.enrol("c1", 1000)
    achieved = story.row("c1")
    story.unenrol()
    story.now = day(2)
    story.enrol("c1")
    assert story.row("c1") == achieved
    assert len(story.rewards) == 2


# Rule 5


def test_a_milestones_attempt_rises_with_each_balance_on_re_enrolment_and_only_then() -> None:
    story = Story(milestone())
    seen = []
    for balance in (300, None, 0, None, 10, 10):
        assert story.enrol("c2", balance) == ACCEPTED
        seen.append((story.attempt("c2"), story.value("c2")))
        story.unenrol()
    assert seen == [(1, 300), (1, 300), (2, 0), (2, 0), (3, 10), (4, 10)]


def test_a_balance_starts_the_next_attempt_of_the_chosen_cycle_and_of_no_other() -> None:
    story = left_in_c4_at_250()
    story.collect("c5", 5)
    story.enrol("c4", 0)
    assert [story.attempt(f"c{number}") for number in range(1, 6)] == [1, 1, 1, 2, 1]


def test_a_re_enrolment_with_a_balance_is_the_next_attempt_though_nothing_was_collected() -> None:
    story = Story(milestone())
    story.enrol("c1")
    story.unenrol()
    story.enrol("c1", 1000)
    assert story.rewards == [("c1", 2, "Fifty"), ("c1", 2, "Explorer")]


@pytest.mark.parametrize("between", ["c3", "c5", None])
def test_an_enrolment_in_between_does_not_make_the_attempt_forgotten(between: str | None) -> None:
    story = Story(milestone())
    story.enrol("c1")
    story.unenrol()
    story.enrol(between)
    story.unenrol()
    story.enrol("c1", 0)
    assert story.attempt("c1") == 2


def test_extending_back_is_no_re_enrolment_and_a_balance_there_is_the_first_attempt() -> None:
    story = Story(milestone())
    story.enrol("c4", 10)
    story.enrol("c2", 1000)
    assert story.rewards == [("c2", 1, "Fifty"), ("c2", 1, "Explorer")]


def test_extending_back_into_a_cycle_that_was_left_with_a_value_is_its_next_attempt() -> None:
    story = Story(milestone())
    story.enrol("c1", 1000)
    story.unenrol()
    story.enrol("c3")
    assert story.enrol("c1", 1000) == ACCEPTED
    assert story.attempt("c1") == 2
    assert len(set(story.rewards)) == len(story.rewards) == 4


def test_each_reward_is_granted_once_per_attempt_and_again_in_the_next() -> None:
    story = Story(milestone(rewards=(POINTS,)))
    for balance in (1000, None, 1000, None, 0, 1000):
        story.enrol("c1", balance)
        story.unenrol()
    assert story.rewards == [("c1", 1, "Fifty"), ("c1", 2, "Fifty"), ("c1", 4, "Fifty")]


def test_a_streaks_attempt_rises_with_a_reset_on_re_enrolment_and_only_then() -> None:
    story = Story(streak())
    seen = []
    for reset in (True, False, True, False, True):
        story.enrol(reset=reset)
        seen.append(story.enrolment.attempt)
        story.unenrol()
    assert seen == [1, 1, 2, 2, 3]


def test_a_streaks_attempt_is_of_the_whole_streak_over_cycles_and_stints() -> None:
    story = Story(streak())
    story.enrol()
    story.now = day(15)
    story.unenrol()
    story.enrol(reset=True)
    story.now = day(25)
    story.unenrol()
    story.now = day(35)
    story.enrol()
    assert [stint.attempt for stint in story.enrolment.stints] == [1, 2, 2]
    assert story.enrolment.attempt == 2


def test_reset_means_nothing_to_a_milestone() -> None:
    story = left_in_c4_at_250()
    story.enrol("c4", reset=True)
    assert (story.value("c4"), story.attempt("c4"), story.enrolment.attempt) == (250, 1, 1)


# Rule 6 (the counter itself: test_streak.py)


def test_a_streak_re_enrolled_without_reset_keeps_the_running_cycles_value() -> None:
    story = Story(streak(), day(5))
    story.enrol()
    story.collect("c1", 400)
    story.unenrol()
    story.enrol()
    assert story.row("c1") == Progress(story.group.periods[0].id, 1, Decimal(400))
    assert story.enrolment.attempt == 1


def test_a_streak_re_enrolled_with_reset_starts_the_running_cycle_at_0_in_the_next_attempt() -> (
    None
):
    story = Story(streak(), day(5))
    story.enrol()
    story.collect("c1", 1000)
    story.now = day(15)
    story.collect("c2", 1000)
    story.unenrol()
    story.enrol(reset=True)
    first, second, *_ = story.group.periods
    assert story.row("c2") == Progress(second.id, 2, Decimal(0))
    assert story.row("c1") == Progress(first.id, 1, Decimal(1000), day(5))


def test_a_reset_while_no_cycle_runs_touches_no_value() -> None:
    story = Story(streak(gap_days=2), day(5))
    story.enrol()
    story.collect("c1", 1000)
    story.now = day(8)
    story.unenrol()
    story.enrol(reset=True)
    assert (story.attempt("c1"), story.value("c1"), story.enrolment.attempt) == (1, 1000, 2)


def test_a_reset_on_a_first_enrolment_is_ignored() -> None:
    story = Story(streak())
    story.enrol(reset=True)
    assert story.enrolment.attempt == 1
    assert story.reasons == ["ENROLLED"]


# Rule 7


@pytest.mark.parametrize("group", [milestone(), streak()], ids=["milestone", "streak"])
@pytest.mark.parametrize(
    ("now", "kept"),
    [
        (day(0), ""),
        (day(5), ""),
        (day(10) - TICK, ""),
        (day(10), "c1"),
        (day(25), "c1 c2"),
        (day(49), "c1 c2 c3 c4"),
    ],
)
def test_unenrol_takes_out_of_the_running_cycle_and_all_later_ones(
    group: Any, now: Any, kept: str
) -> None:
    story = Story(group)
    story.enrol("c1")
    story.now = now
    assert story.unenrol() == ACCEPTED
    assert story.covered == kept


@pytest.mark.parametrize("group", [milestone(), streak()], ids=["milestone", "streak"])
def test_cycles_that_were_left_stay_left_when_they_end(group: Any) -> None:
    story = Story(group)
    story.enrol("c1")
    story.now = day(15)
    story.unenrol()
    story.now = day(100)
    assert story.covered == "c1"


def test_unenrol_leaves_an_enrolment_that_has_not_begun() -> None:
    story = Story(milestone())
    story.enrol("c4")
    assert story.unenrol() == ACCEPTED
    assert story.covered == ""


def test_unenrol_in_a_gap_keeps_the_cycle_before_and_leaves_the_next() -> None:
    story = Story(milestone(gap_days=2))
    story.enrol("c1")
    story.now = day(9)
    assert story.unenrol() == ACCEPTED
    assert story.covered == "c1"
    assert story.journal[-1].period_id == story.group.periods[1].id


def test_immediate_rewards_and_values_stay_when_the_customer_leaves() -> None:
    story = Story(milestone())
    story.enrol("c1", 1000)
    row, rewards = story.row("c1"), story.rewards
    story.unenrol()
    assert (story.row("c1"), story.rewards) == (row, rewards)


def test_who_re_enrols_in_the_running_cycle_is_enrolled_at_its_end_again() -> None:
    story = left_in_c4_at_250()
    story.enrol("c4")
    story.now = day(45)
    story.unenrol()
    assert story.covered == "c1 c2 c3 c4"


def test_who_re_enrols_from_a_later_cycle_does_not_get_the_left_cycle_back() -> None:
    story = left_in_c4_at_250()
    story.enrol("c5")
    assert story.covered == "c1 c2 c3 c5"


@pytest.mark.parametrize("group", [milestone(), streak()], ids=["milestone", "streak"])
def test_a_cycle_that_passed_while_unenrolled_is_not_covered_after_re_enrolment(group: Any) -> None:
    story = Story(group)
    story.enrol("c1")
    story.now = day(15)
    story.unenrol()
    story.now = day(35)
    assert story.enrol() == ACCEPTED
    assert story.covered == "c1 c4 c5"


@pytest.mark.parametrize("group", [milestone(), streak(), cyclic()], ids=["ms", "streak", "cyclic"])
def test_unenrol_of_somebody_never_enrolled_or_gone_already_is_310126(group: Any) -> None:
    story = Story(group)
    assert story.unenrol() == NOT_ENROLLED
    story.enrol()
    assert story.unenrol() == ACCEPTED
    before = story.rows.copy()
    assert story.unenrol() == NOT_ENROLLED
    assert story.rows == before


@pytest.mark.parametrize("group", [milestone(), streak()], ids=["milestone", "streak"])
@pytest.mark.parametrize(("now", "expected"), [(day(50) - TICK, ACCEPTED), (day(50), NOT_ENROLLED)])
def test_unenrol_with_no_cycle_left_to_leave_is_310126(group: Any, now: Any, expected: int) -> None:
    story = Story(group)
    story.enrol("c1")
    story.now = now
    assert story.unenrol() == expected


def test_whoever_comes_and_goes_within_a_cycle_uses_one_stint() -> None:
    story = Story(milestone(), day(15))
    for name in ("c2", "c4", None, "c3") * 5:
        assert story.enrol(name) == ACCEPTED
        assert story.unenrol() == ACCEPTED
    assert [stint.number for stint in story.enrolment.stints] == [1]
    assert len(story.journal) == 40


def test_a_stint_that_covers_an_ended_cycle_is_never_overwritten() -> None:
    story = Story(milestone())
    story.enrol("c1")
    story.now = day(10)
    story.unenrol()
    for _ in range(3):
        story.enrol()
        story.unenrol()
    assert [stint.number for stint in story.enrolment.stints] == [1, 2]
    assert story.covered == "c1"


# Rule 12


@pytest.mark.parametrize("group", [milestone(), streak(), cyclic()], ids=["ms", "streak", "cyclic"])
@pytest.mark.parametrize("left", [False, True], ids=["enrol", "re-enrol"])
def test_fifty_identical_enrolments_in_one_batch_succeed_exactly_once(
    group: Any, left: bool
) -> None:
    rows = Rows(definitions(group))
    if left:
        rows.decide([Enrol(GROUP, TARGET, CUSTOMER), Unenrol(GROUP, TARGET, CUSTOMER)], day(1))
    entries, rewards = len(rows.journal), len(rows.rewards)
    command = Enrol(GROUP, TARGET, CUSTOMER, None, 1000, reset_streak_status=True)
    assert rows.decide([command] * 50, day(2)) == [ACCEPTED] + [ALREADY_ENROLLED] * 49
    assert len(rows.stints) == 1
    assert len(rows.rewards) - rewards == (0 if group.is_streak else 2)
    assert len(rows.journal) - entries == (1 if group.is_streak else 4)


def test_a_later_command_of_a_batch_sees_what_an_earlier_one_did() -> None:
    rows = Rows(definitions(milestone(), milestone(group_id=8)), frozenset({1, 2}))
    commands: list[Enrol | Unenrol] = [
        Enrol(GROUP, TARGET, 1, "c2", 300),
        Unenrol(GROUP, TARGET, 2),
        Enrol(8, 80, 1, "c1"),
        Unenrol(GROUP, TARGET, 1),
        Enrol(GROUP, TARGET, 1, "c2"),
        Enrol(GROUP, TARGET, 2, "c1"),
        Enrol(8, 80, 1, "c5"),
    ]
    assert rows.decide(commands, day(1)) == [0, NOT_ENROLLED, 0, 0, 0, 0, ALREADY_ENROLLED]
    assert sorted(rows.stints) == [(1, TARGET, 1), (1, 80, 1), (2, TARGET, 1)]
    assert [(customer, entry.target_id, entry.what) for customer, entry in rows.journal] == [
        (1, TARGET, "ENROLLED"),
        (1, 80, "ENROLLED"),
        (1, TARGET, "UNENROLLED"),
        (1, TARGET, "ENROLLED"),
        (2, TARGET, "ENROLLED"),
    ]


def test_values_and_attempts_are_kept_while_a_batch_goes_on() -> None:
    story = Story(milestone())
    story.enrol("c1", 10)
    story.unenrol()
    story.enrol("c1", 20)
    commands: list[Enrol | Unenrol] = [
        Unenrol(GROUP, TARGET, CUSTOMER),
        Enrol(GROUP, TARGET, CUSTOMER, "c2", 30),
        Enrol(GROUP, TARGET, CUSTOMER, "c1", 40),
    ]
    assert story.rows.decide(commands, day(1)) == [ACCEPTED] * 3
    assert [(story.attempt(name), story.value(name)) for name in ("c1", "c2")] == [(3, 40), (2, 30)]


def test_the_journal_knows_the_request_behind_each_entry() -> None:
    members = Rows(definitions(milestone())).load()
    rows = Rows(definitions(milestone()))
    apply(
        rows.defined,
        members,
        Enrol(GROUP, TARGET, CUSTOMER, "c1", 1000, origin=Origin("a")),
        day(1),
        evaluate,
    )
    apply(
        rows.defined,
        members,
        Enrol(GROUP, TARGET, CUSTOMER, "c1", origin=Origin("b")),
        day(1),
        evaluate,
    )
    apply(rows.defined, members, Unenrol(GROUP, TARGET, CUSTOMER, Origin("c")), day(1), evaluate)
    origins = members.changes[CUSTOMER].origins
    assert origins == [Origin(request) for request in ("a", "a", "a", "a", "c")]


# Rule 13


@pytest.mark.parametrize("evaluation_type", [CYCLIC, PERIOD_AGNOSTIC])
@pytest.mark.parametrize("name", [None, " ", "c1", "c4"])
@pytest.mark.parametrize("now", [day(-5), day(25), day(500)])
def test_any_existing_name_or_none_covers_all_the_customers_cycles(
    evaluation_type: str, name: str | None, now: Any
) -> None:
    story = Story(cyclic(evaluation_type=evaluation_type), now)
    assert story.enrol(name, 300) == ACCEPTED
    assert story.covered == "c1 c2 c3 c4 c5"
    assert [story.value(f"c{number}") for number in range(1, 6)] == [300, 0, 0, 0, 0]
    assert [story.enrol(other) for other in (None, "c1", "c5")] == [ALREADY_ENROLLED] * 3


@pytest.mark.parametrize("evaluation_type", [CYCLIC, PERIOD_AGNOSTIC])
@pytest.mark.parametrize("enrolled", [False, True])
def test_an_unknown_name_is_310019_in_windows_of_the_customers_own_too(
    evaluation_type: str, enrolled: bool
) -> None:
    story = Story(cyclic(evaluation_type=evaluation_type))
    if enrolled:
        story.enrol()
    assert story.enrol("c9") == PERIOD_NOT_FOUND


def test_leaving_windows_of_the_customers_own_leaves_them_all_and_re_enrolment_gives_them_back() -> (
    None
):
    story = Story(cyclic())
    story.enrol("c2", 300)
    assert story.unenrol() == ACCEPTED
    assert story.covered == ""
    assert story.enrol("c5") == ACCEPTED
    assert story.covered == "c1 c2 c3 c4 c5"
    assert (story.value("c1"), story.attempt("c1")) == (300, 1)
    assert [stint.number for stint in story.enrolment.stints] == [1]


def test_leaving_windows_of_the_customers_own_leaves_them_whatever_dates_their_placeholders_have() -> (
    None
):
    story = Story(cyclic())
    story.enrol()
    story.now = day(500)
    assert story.unenrol() == ACCEPTED
    assert story.covered == ""


def test_a_period_agnostic_balance_goes_to_the_first_cycle_that_is_not_achieved() -> None:
    story = Story(cyclic(evaluation_type=PERIOD_AGNOSTIC, cycles=2))
    story.enrol("c2", 1000)
    story.unenrol()
    assert story.enrol("c1", 300) == ACCEPTED
    assert (story.value("c1"), story.value("c2")) == (1000, 300)
    story.collect("c2", 700)
    assert story.enrol() == ALREADY_ENROLLED
    story.unenrol()
    assert story.enrol() == PERIOD_NOT_FOUND


# The order of checks


@pytest.mark.parametrize(
    ("group_id", "target_id", "customer", "name", "expected"),
    [
        (99, 99, 99, "no", GROUP_NOT_FOUND),
        (9, 90, 99, "no", GROUP_NOT_FOUND),
        (GROUP, 99, 99, "no", TARGET_NOT_FOUND),
        (GROUP, 71, 99, "no", TARGET_NOT_FOUND),
        (GROUP, 80, 99, "no", TARGET_NOT_FOUND),
        (GROUP, TARGET, 99, "no", INVALID_USER),
        (GROUP, TARGET, 99, "c1", INVALID_USER),
        (GROUP, TARGET, CUSTOMER, "no", PERIOD_NOT_FOUND),
        (GROUP, TARGET, CUSTOMER, "c1", PERIOD_NOT_FOUND),
        (GROUP, TARGET, CUSTOMER, "c2", ALREADY_ENROLLED),
        (8, 80, CUSTOMER, "c2", ACCEPTED),
    ],
    ids=[
        "unknown group",
        "inactive group",
        "unknown target",
        "inactive target",
        "target of another group",
        "unknown customer, unknown cycle",
        "unknown customer",
        "enrolled, unknown cycle",
        "enrolled, ended cycle",
        "enrolled",
        "all well",
    ],
)
def test_group_target_customer_cycle_and_state_are_checked_in_this_order(
    group_id: int, target_id: int, customer: int, name: str, expected: int
) -> None:
    group = milestone()
    deactivated = replace(group.targets[0], id=71, active=False)
    rows = Rows(
        definitions(
            replace(group, targets=(*group.targets, deactivated)),
            milestone(group_id=8),
            milestone(group_id=9, active=False),
        )
    )
    rows.decide([Enrol(GROUP, TARGET, CUSTOMER, "c1")], day(1))
    before = rows.copy()
    assert rows.decide([Enrol(group_id, target_id, customer, name)], day(15)) == [expected]
    # Whoever is not there has nothing to leave, and unenrol knows no cycle.
    if expected in {GROUP_NOT_FOUND, TARGET_NOT_FOUND, INVALID_USER}:
        assert rows.decide([Unenrol(group_id, target_id, customer)], day(15)) == [expected]
    if expected != ACCEPTED:
        assert rows == before


# The public leaves


def test_reaches_remembers_what_a_stint_began_with_and_covers_what_is_left_of_it() -> None:
    story = Story(milestone())
    story.enrol("c2")
    story.now = day(25)
    story.unenrol()
    (stint,) = story.enrolment.stints
    group = story.group
    assert [p.ref_code for p in group.periods if reaches(group, stint, p)] == [
        "c2",
        "c3",
        "c4",
        "c5",
    ]
    assert [p.ref_code for p in group.periods if covers(group, stint, p)] == ["c2"]


def test_find_and_choose_cycle_answer_with_the_definition_itself() -> None:
    group = milestone()
    assert find(definitions(group), GROUP, TARGET) == (group, group.targets[0])
    assert choose_cycle(group, "c3", day(0)) is group.periods[2]
    assert isinstance(choose_cycle(group, "c3", day(30)), Refusal)
    assert target_value(group.targets[0], group.periods[0]) == Decimal(1000)
