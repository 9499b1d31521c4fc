"""Which rows a customer's view has: contract §4, "Read"; domain: milestones §2.5, §3.4, §7-21."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milepost.rules.activities import ZERO
from milepost.rules.coverage import Enrolment
from milepost.rules.definitions import CYCLIC, PERIOD_AGNOSTIC, Target, TargetGroup
from milepost.rules.effects import LevelAchievement, Progress
from milepost.rules.views import (
    GroupRows,
    Row,
    Wanted,
    enrolled_targets,
    group_rows,
    user_streak_id,
    user_target_id,
)
from tests.rules.samples import (
    CUSTOMER,
    GROUP,
    TARGET,
    Story,
    cyclic,
    day,
    definitions,
    milestone,
    streak,
    values_of,
)

ENROLMENT_ID = 1001
EVERY_CYCLE = Wanted(day(0), every_cycle=True)


def view(
    groups: Iterable[TargetGroup],
    enrolments: Mapping[int, Enrolment],
    wanted: Wanted,
    *,
    now: datetime | None = None,
) -> list[GroupRows]:
    return group_rows(definitions(*groups), enrolments, wanted, now or wanted.at)


def rows(story: Story, *, every_cycle: bool = True) -> tuple[Row, ...]:
    found = view([story.group], {TARGET: story.enrolment}, Wanted(story.now, every_cycle))
    return found[0].rows if found else ()


def names(found: Iterable[Row]) -> str:
    return " ".join(row.period.ref_code for row in found)


def values(found: Iterable[Row]) -> list[int]:
    return [int(row.value) for row in found]


def enrolled(found: Iterable[Row]) -> str:
    return names(row for row in found if row.id is not None)


def with_targets(group: TargetGroup, *targets: Target) -> TargetGroup:
    return replace(group, targets=tuple(targets))


def another(group: TargetGroup, **changes: object) -> Target:
    """The group's target once more, with the next id."""
    target = group.targets[-1]
    return replace(target, id=target.id + 1, name=f"{target.name}, more", **changes)  # type: ignore[arg-type]


def test_the_default_view_has_the_running_cycle_only() -> None:
    story = Story(milestone())
    story.enrol("c1")
    story.now = day(25)
    assert names(rows(story, every_cycle=False)) == "c3"


def test_the_default_view_lacks_cycles_that_the_customer_is_not_enrolled_in() -> None:
    story = Story(milestone())
    assert rows(story, every_cycle=False) == ()
    story.enrol("c2")
    assert rows(story, every_cycle=False) == ()
    story.now = day(15)
    assert names(rows(story, every_cycle=False)) == "c2"
    story.unenrol()
    assert rows(story, every_cycle=False) == ()


def test_between_cycles_the_default_view_has_none() -> None:
    story = Story(milestone(gap_days=1))
    story.enrol("c1")
    story.now = day(9)
    assert rows(story, every_cycle=False) == ()
    story.now = day(10)
    assert names(rows(story, every_cycle=False)) == "c2"


def test_include_inactive_has_every_cycle_and_an_id_in_those_enrolled_in() -> None:
    story = Story(milestone())
    story.now = day(15)
    story.enrol("c3")
    assert names(rows(story)) == "c1 c2 c3 c4 c5"
    assert enrolled(rows(story)) == "c3 c4 c5"


def test_cycles_that_ended_while_enrolled_keep_their_id_and_value() -> None:
    story = Story(milestone())
    story.enrol("c1", 300)
    story.now = day(25)
    story.unenrol()
    assert enrolled(rows(story)) == "c1 c2"
    assert values(rows(story)) == [300, 0, 0, 0, 0]


def test_a_cycle_that_was_left_reads_nothing_whatever_is_stored() -> None:
    story = Story(milestone())
    story.enrol("c1", 1000)
    story.unenrol()
    assert story.achieved("c1")
    first = rows(story)[0]
    assert (first.id, first.value, first.achieved_at, first.enrolled_at) == (None, ZERO, None, None)
    story.enrol("c1")
    assert values(rows(story))[0] == 1000
    assert rows(story)[0].achieved_at is not None


def test_somebody_who_never_enrolled_has_every_cycle_without_id() -> None:
    found = view([milestone()], {}, EVERY_CYCLE)[0].rows
    assert [(row.id, row.value, row.enrolled_at) for row in found] == [(None, ZERO, None)] * 5


def test_enrolled_on_is_of_the_latest_stint_that_covers_the_cycle() -> None:
    story = Story(milestone())
    story.enrol("c1")
    story.now = day(12)
    story.unenrol()
    story.now = day(25)
    story.enrol()
    assert [row.enrolled_at for row in rows(story)] == [
        day(0),
        None,
        day(25),
        day(25),
        day(25),
    ]


def test_the_running_cycle_is_the_current_one_enrolled_or_not() -> None:
    for enrolments in ({}, {TARGET: Enrolment()}):
        found = view([milestone()], enrolments, replace(EVERY_CYCLE, at=day(20)))[0].rows
        assert names(row for row in found if row.current) == "c3"


def test_a_tracking_date_chooses_the_current_cycle() -> None:
    story = Story(milestone())
    story.enrol("c1")
    story.now = day(45)
    found = view([story.group], {TARGET: story.enrolment}, Wanted(day(12)), now=story.now)
    assert names(found[0].rows) == "c2"
    assert found[0].rows[0].current


def test_a_deactivated_cycle_is_never_the_current_one() -> None:
    group = milestone()
    periods = (replace(group.periods[0], active=False), *group.periods[1:])
    story = Story(replace(group, periods=periods))
    story.enrol("c2")
    assert rows(story, every_cycle=False) == ()
    assert not any(row.current for row in rows(story))


def test_user_target_ids_are_the_enrolment_times_128_and_the_number_of_the_period() -> None:
    story = Story(milestone())
    story.enrol("c1")
    assert [row.id for row in rows(story)] == [ENROLMENT_ID * 128 + n for n in range(1, 6)]


@given(
    st.sets(st.tuples(st.integers(1, 2**40), st.integers(1, 100)), min_size=2),
)
def test_no_two_user_targets_share_an_id(keys: set[tuple[int, int]]) -> None:
    period = milestone().periods[0]
    ids = {user_target_id(enrolment, replace(period, number=number)) for enrolment, number in keys}
    assert len(ids) == len(keys)


def test_a_user_target_id_outlives_leaving_and_coming_back() -> None:
    story = Story(milestone())
    story.enrol("c1")
    before = [row.id for row in rows(story)]
    story.unenrol()
    story.enrol("c1", 5)
    assert [row.id for row in rows(story)] == before


def test_a_reset_streak_reads_0_in_the_running_cycle_and_what_was_in_ended_ones() -> None:
    story = Story(streak())
    story.enrol()
    story.collect("c1", 1200)
    story.now = day(12)
    story.collect("c2", 700)
    story.unenrol()
    story.enrol(reset=True)
    assert values(rows(story)) == [1200, 0, 0, 0, 0]
    story.collect("c2", 50)
    assert values(rows(story)) == [1200, 50, 0, 0, 0]


def test_a_reset_that_left_an_older_attempts_row_reads_0_while_the_cycle_has_not_ended() -> None:
    story = Story(streak())
    story.enrol()
    story.unenrol()
    story.now = day(5)
    story.enrol(reset=True)
    assert story.enrolment.attempt == 2
    story.rows.progress[CUSTOMER, TARGET, 701] = Progress(701, 1, Decimal(900))
    assert values(rows(story))[0] == 0
    story.now = day(10)
    assert values(rows(story))[0] == 900


def test_deactivated_groups_and_targets_are_shown_only_when_asked_for() -> None:
    group = milestone()
    halved = with_targets(group, group.targets[0], another(group, active=False))
    for given_group, default, asked in (
        (replace(group, active=False), 0, 1),
        (halved, 1, 2),
    ):
        found = view([given_group], {}, EVERY_CYCLE)
        assert sum(len(each.rows) for each in found) == 5 * default
        found = view([given_group], {}, replace(EVERY_CYCLE, inactive_too=True))
        assert sum(len(each.rows) for each in found) == 5 * asked


def test_one_target_can_be_asked_for() -> None:
    group = milestone()
    group = with_targets(group, group.targets[0], another(group))
    wanted = replace(EVERY_CYCLE, target_id=TARGET + 1)
    assert {row.target.id for row in view([group], {}, wanted)[0].rows} == {TARGET + 1}
    assert view([group], {}, replace(EVERY_CYCLE, target_id=4711)) == []


def test_excluded_entities_are_left_out() -> None:
    group = milestone()
    group = with_targets(group, group.targets[0], another(group, target_entity="EVENT"))
    wanted = replace(EVERY_CYCLE, excluded_entities=frozenset({"TRANSACTION", "POINTS"}))
    assert {row.target.target_entity for row in view([group], {}, wanted)[0].rows} == {"EVENT"}


def test_rows_are_in_order_of_cycle_then_target_and_groups_newest_first() -> None:
    group = milestone(cycles=2, tracking_type="UNIFIED")
    group = with_targets(group, group.targets[0], another(group))
    newer = milestone(group_id=8, cycles=1)
    found = view([group, newer], {}, EVERY_CYCLE)
    assert [each.group.id for each in found] == [8, GROUP]
    assert [(row.period.ref_code, row.target.id) for row in found[1].rows] == [
        ("c1", 70),
        ("c1", 71),
        ("c2", 70),
        ("c2", 71),
    ]


def test_a_cyclic_customer_is_in_the_first_cycle_until_activity_begins_it() -> None:
    story = Story(cyclic(evaluation_type=CYCLIC))
    assert rows(story, every_cycle=False) == ()
    assert not any(row.current for row in rows(story))
    story.enrol(balance=20)
    story.now = day(35)
    (only,) = rows(story, every_cycle=False)
    assert (only.period.ref_code, only.value, only.current) == ("c1", Decimal(20), True)
    assert enrolled(rows(story)) == "c1 c2 c3 c4 c5"
    story.unenrol()
    assert enrolled(rows(story)) == ""


def anchored(story: Story, at: datetime) -> Enrolment:
    """The enrolment once an activity has begun the customer's own cycles at `at`."""
    stints = tuple(replace(stint, anchored_at=at) for stint in story.enrolment.stints)
    return replace(story.enrolment, stints=stints)


def test_own_cycles_have_the_customers_own_dates_once_they_have_begun() -> None:
    story = Story(cyclic(evaluation_type=CYCLIC, cycles=3, frequency_type="DAILY", frequency=10))
    story.enrol()
    (only,) = rows(story, every_cycle=False)
    assert (only.starts_at, only.ends_at) == (day(0), day(10))
    enrolments = {TARGET: anchored(story, day(4))}
    found = view([story.group], enrolments, replace(EVERY_CYCLE, at=day(20)))[0].rows
    assert [(row.starts_at, row.ends_at) for row in found] == [
        (day(4), day(14)),
        (day(14), day(24)),
        (day(24), day(34)),
    ]
    assert names(row for row in found if row.current) == "c2"


@pytest.mark.parametrize(
    ("at_days", "shown"),
    [(3.9, ""), (4, "c1"), (13.9, "c1"), (14, "c2"), (33.9, "c3"), (34, "")],
)
def test_the_current_one_of_own_cycles_runs_by_the_customers_dates(
    at_days: float, shown: str
) -> None:
    story = Story(cyclic(evaluation_type=CYCLIC, cycles=3, frequency_type="DAILY", frequency=10))
    story.enrol()
    enrolments = {TARGET: anchored(story, day(4))}
    found = view([story.group], enrolments, Wanted(day(at_days)))
    assert names(row for each in found for row in each.rows) == shown
    left = list(enrolled_targets(definitions(story.group), enrolments, day(at_days)))
    assert bool(left) == (at_days < 34)


def test_a_customers_own_target_value_is_what_the_cycle_asks_for() -> None:
    story = Story(milestone(cycles=2))
    own = Progress(701, 1, ZERO, own_target_value=Decimal(250))
    enrolled_one = replace(story.enrolment, progress={701: own})
    for enrolment in (enrolled_one, Enrolment(None, (), {701: own})):
        (found,) = view([story.group], {TARGET: enrolment}, EVERY_CYCLE)
        assert [int(row.asked) for row in found.rows] == [250, 1000]


def test_a_period_agnostic_customer_is_in_the_first_cycle_that_is_not_achieved() -> None:
    story = Story(cyclic(evaluation_type=PERIOD_AGNOSTIC, cycles=2))
    story.enrol(balance=1000)
    assert names(rows(story, every_cycle=False)) == "c2"
    assert values(rows(story)) == [1000, 0]
    story.collect("c2", 1000)
    assert rows(story, every_cycle=False) == ()


def test_every_level_of_a_streak_that_is_shown_is_there() -> None:
    story = Story(streak(levels=(2, 4)))
    story.enrol()
    story.collect("c1", 1000)
    (found,) = view([story.group], {TARGET: story.enrolment}, Wanted(story.now))
    assert [
        (row.view.level.name, row.view.status, row.view.current_count) for row in found.levels
    ] == [
        ("l1", "INPROGRESS", 1),
        ("l2", "INPROGRESS", 1),
    ]
    assert [row.id for row in found.levels] == [ENROLMENT_ID * 128 + 1, ENROLMENT_ID * 128 + 2]


def test_a_streak_that_the_customer_never_joined_shows_its_levels_without_id() -> None:
    (found,) = view([streak()], {}, EVERY_CYCLE)
    assert [(row.id, row.view.status, row.view.current_count) for row in found.levels] == [
        (None, "INPROGRESS", 0),
        (None, "INPROGRESS", 0),
    ]


def test_a_milestone_has_no_levels() -> None:
    assert view([milestone()], {}, EVERY_CYCLE)[0].levels == ()


def with_level(enrolment: Enrolment, achieved_at: datetime | None) -> Enrolment:
    """Level l1 achieved in the first attempt by meeting c2, or taken back since."""
    return replace(enrolment, levels={(901, 1): LevelAchievement(901, 1, 702, achieved_at)})


def test_a_level_is_achieved_in_its_attempt_only() -> None:
    story = Story(streak(levels=(2, 4)))
    story.enrol()
    enrolments = {TARGET: with_level(story.enrolment, day(5))}
    (found,) = view([story.group], enrolments, Wanted(day(5)))
    first, second = found.levels
    assert (first.view.status, first.achieved_at, first.achieved_in) == (
        "ACHIEVED",
        day(5),
        ENROLMENT_ID * 128 + 2,
    )
    assert (second.view.status, second.achieved_at, second.achieved_in) == (
        "INPROGRESS",
        None,
        None,
    )
    story.unenrol()
    story.enrol(reset=True)
    enrolments = {TARGET: with_level(story.enrolment, day(5))}
    (found,) = view([story.group], enrolments, Wanted(day(5)))
    assert {row.view.status for row in found.levels} == {"INPROGRESS"}


def test_a_level_that_a_return_took_back_is_not_achieved() -> None:
    story = Story(streak(levels=(2, 4)))
    story.enrol()
    enrolments = {TARGET: with_level(story.enrolment, None)}
    (found,) = view([story.group], enrolments, Wanted(day(5)))
    first = found.levels[0]
    assert (first.view.status, first.achieved_at, first.achieved_in) == ("INPROGRESS", None, None)


def test_the_counter_is_of_now_whatever_the_tracking_date() -> None:
    story = Story(streak())
    story.enrol()
    story.collect("c1", 1000)
    story.now = day(25)
    wanted = Wanted(day(5))
    (found,) = view([story.group], {TARGET: story.enrolment}, wanted, now=story.now)
    assert {(row.view.status, row.view.current_count) for row in found.levels} == {("DROPPED", 0)}


def test_a_user_streak_id_does_not_depend_on_the_order_of_the_counts() -> None:
    group = streak(levels=(2, 4))
    turned = replace(group, levels=group.levels[::-1])
    for level in group.levels:
        assert user_streak_id(5, group, level.id) == user_streak_id(5, turned, level.id)


def test_sub_targets_are_absolute_and_achieved_by_the_cycles_own_value() -> None:
    group = milestone(asked=500)
    triggers = (
        _trigger(1, "half", "PERCENTAGE", "50"),
        _trigger(2, "some", "ABSOLUTE", "251"),
        _trigger(3, "off", "ABSOLUTE", "1", active=False),
    )
    story = Story(with_targets(group, replace(group.targets[0], milestone_triggers=triggers)))
    story.enrol("c1", 250)
    first, second, *_ = rows(story)
    assert [(each.id, each.name, each.value, each.achieved) for each in first.thresholds] == [
        (1, "half", Decimal(250), True),
        (2, "some", Decimal(251), False),
    ]
    assert not any(each.achieved for each in second.thresholds)
    story.unenrol()
    assert not any(each.achieved for each in rows(story)[0].thresholds)


def _trigger(
    number: int, name: str, kind: str, value: str, *, active: bool = True
) -> dict[str, object]:
    return {
        "id": number,
        "triggerName": name,
        "isActive": active,
        "triggerValueType": kind,
        "triggerValue": value,
    }


def test_each_cycle_shows_its_own_target_value() -> None:
    group = milestone(cycles=2)
    asked = {**values_of(group.periods[:1], 10), **values_of(group.periods[1:], 20)}
    group = with_targets(group, replace(group.targets[0], values=asked))
    assert [row.asked for row in view([group], {}, EVERY_CYCLE)[0].rows] == [10, 20]


def left_to_end(story: Story, at: datetime | None = None) -> bool:
    found = enrolled_targets(definitions(story.group), {TARGET: story.enrolment}, at or story.now)
    return bool(list(found))


def test_a_target_is_enrolled_in_while_a_covered_cycle_has_not_ended() -> None:
    story = Story(milestone())
    assert not left_to_end(story)
    story.enrol("c5")
    assert left_to_end(story)
    assert left_to_end(story, day(49.5))
    assert not left_to_end(story, day(50))
    story.unenrol()
    assert not left_to_end(story)


def test_a_cyclic_target_is_enrolled_in_until_it_is_left() -> None:
    story = Story(cyclic())
    story.enrol()
    assert left_to_end(story, day(5000))
    story.unenrol()
    assert not left_to_end(story)


def test_a_period_agnostic_target_is_enrolled_in_until_every_cycle_is_achieved() -> None:
    story = Story(cyclic(evaluation_type=PERIOD_AGNOSTIC, cycles=2))
    story.enrol(balance=1000)
    assert left_to_end(story, day(5000))
    story.collect("c2", 1000)
    assert not left_to_end(story)


@pytest.mark.parametrize("off", ["group", "target"])
def test_enrolled_targets_are_active_ones(off: str) -> None:
    story = Story(milestone())
    story.enrol()
    if off == "group":
        story.edit(replace(story.group, active=False))
    else:
        story.edit(with_targets(story.group, replace(story.group.targets[0], active=False)))
    assert not left_to_end(story)


moves = st.tuples(
    st.integers(0, 12),
    st.sampled_from(["enrol", "enrol c1", "enrol c3", "enrol c5", "reset", "unenrol"]),
    st.none() | st.integers(0, 1500),
)


@given(st.lists(moves, max_size=12), st.booleans())
def test_an_id_stands_exactly_where_the_customer_is_enrolled_and_nothing_where_not(
    told: list[tuple[int, str, int | None]], of_streak: bool
) -> None:
    story = Story(streak() if of_streak else milestone())
    for days, move, balance in told:
        story.now = story.now + (day(days) - day(0))
        verb, _, name = move.partition(" ")
        if verb == "unenrol":
            story.unenrol()
        else:
            story.enrol(name or None, balance, reset=verb == "reset")
        every = rows(story)
        assert enrolled(every) == story.covered
        for row in every:
            assert (row.id is None) == (row.enrolled_at is None)
            assert row.id is not None or (row.value, row.achieved_at) == (ZERO, None)
        assert rows(story, every_cycle=False) == tuple(
            row for row in every if row.current and row.id is not None
        )
