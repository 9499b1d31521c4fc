"""What falls due, when, and in which order: `milepost.rules.due` (contract §2, §4 rule 8)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milepost.rules.definitions import CYCLIC, PERIOD_AGNOSTIC, Actor, TargetGroup
from milepost.rules.due import END, SETTLE, START, due, dues_of, new_instants
from milepost.rules.periods import with_closings
from milepost.rules.windows import closes_at
from tests.rules.samples import TICK, cycle, cyclic, day, definitions, milestone, streak

NEVER = day(1000)


def told(group: TargetGroup, to: datetime = NEVER) -> list[tuple[str, str, float]]:
    """Kind, cycle and day of what falls due up to `to`."""
    names = group.periods_by_id
    return [
        (each.kind, names[each.period_id].ref_code, (each.due_at - day(0)) / timedelta(days=1))
        for each in due(definitions(group), to)
    ]


def test_a_milestones_cycle_starts_and_is_settled_at_its_end() -> None:
    assert told(milestone(cycles=1)) == [(START, "c1", 0), (SETTLE, "c1", 10)]


def test_only_a_continuous_streak_has_work_at_the_end_itself() -> None:
    kinds = [(START, "c1", 0), (END, "c1", 10), (SETTLE, "c1", 10)]
    assert told(streak(cycles=1)) == kinds
    assert END not in {kind for kind, *_ in told(streak(tracking_type="NON_CONTINUOUS_STREAKS"))}


def test_at_one_instant_cycles_end_then_are_settled_then_start() -> None:
    assert told(streak(cycles=2), day(10)) == [
        (START, "c1", 0),
        (END, "c1", 10),
        (SETTLE, "c1", 10),
        (START, "c2", 10),
    ]


def test_at_one_instant_that_holds_across_groups() -> None:
    one, other = streak(group_id=9, cycles=2), milestone(group_id=3, cycles=2)
    at_day_10 = [each for each in due(definitions(one, other), day(10)) if each.due_at == day(10)]
    assert [(each.kind, each.group_id) for each in at_day_10] == [
        (END, 9),
        (SETTLE, 3),
        (SETTLE, 9),
        (START, 3),
        (START, 9),
    ]


def test_a_settlement_delay_is_waited_for() -> None:
    group = milestone(cycles=2, settlement_delay_days=3)
    assert told(group) == [
        (START, "c1", 0),
        (START, "c2", 10),
        (SETTLE, "c1", 13),
        (SETTLE, "c2", 23),
    ]


def test_the_delay_is_calendar_days_at_the_same_local_time() -> None:
    """The night of 25 October 2026 has 25 hours in Berlin."""
    ends_at = datetime(2026, 10, 24, 22, tzinfo=UTC)
    period = replace(cycle(1), starts_at=ends_at - timedelta(days=1), ends_at=ends_at)
    group = milestone(cycles=1, time_zone="Europe/Berlin", settlement_delay_days=1)
    group = replace(group, periods=(period,))
    assert closes_at(group, period) == datetime(2026, 10, 25, 23, tzinfo=UTC)


@pytest.mark.parametrize(("to", "found"), [(day(10), 2), (day(10) - TICK, 1), (day(0) - TICK, 0)])
def test_what_is_due_at_an_instant_is_due_by_it(to: datetime, found: int) -> None:
    assert len(told(milestone(cycles=1), to)) == found


def test_what_is_finished_is_not_due_again() -> None:
    group = milestone(cycles=2)
    all_of_it = due(definitions(group), day(10))
    unfinished = {each.key for each in all_of_it[1:]}
    assert due(definitions(group), day(10), unfinished) == all_of_it[1:]


def test_a_period_made_with_past_dates_has_nothing_due_before_it_was_made() -> None:
    made = replace(cycle(1), created=Actor(5, day(4)))
    group = replace(milestone(cycles=1), periods=(made,))
    assert told(group) == [(SETTLE, "c1", 10)]
    over = replace(made, created=Actor(5, day(10)))
    assert told(replace(group, periods=(over,))) == []
    delayed = replace(group, periods=(over,), settlement_delay_days=2)
    assert told(delayed) == [(SETTLE, "c1", 12)]


@pytest.mark.parametrize("kind", [CYCLIC, PERIOD_AGNOSTIC])
def test_cycles_without_dates_of_their_own_have_no_work_in_common(kind: str) -> None:
    assert told(cyclic(evaluation_type=kind)) == []


def test_an_inactive_group_is_settled_all_the_same() -> None:
    assert told(milestone(cycles=1, active=False)) == told(milestone(cycles=1))


def test_an_edit_tells_only_instants_that_nothing_was_due_at() -> None:
    before = milestone(cycles=2)
    longer = replace(before.periods[1], ends_at=day(25))
    after = replace(before, periods=(before.periods[0], longer))
    assert new_instants(None, before) == (day(0), day(10), day(20))
    assert new_instants(before, after) == (day(25),)
    assert new_instants(after, before) == (day(20),)
    assert new_instants(before, before) == new_instants(before, None) == ()


def edited(group: TargetGroup, now: datetime, **fields: object) -> TargetGroup:
    """The group after an edit of its fields at `now`, made on its first day."""
    return with_closings(group, replace(group, **fields), now)  # type: ignore[arg-type]


def closings(group: TargetGroup) -> list[float]:
    return [(closes_at(group, each) - day(0)) / timedelta(days=1) for each in group.periods]


def test_a_new_cycle_closes_at_its_end_plus_the_delay() -> None:
    group = with_closings(None, milestone(cycles=2, settlement_delay_days=2), day(0))
    assert [period.closes_at for period in group.periods] == [day(12), day(22)]


def test_raising_the_delay_never_reopens_a_closed_cycle() -> None:
    group = with_closings(None, milestone(cycles=3, settlement_delay_days=2), day(0))
    assert closings(edited(group, day(12), settlement_delay_days=9)) == [12, 29, 39]
    assert closings(edited(group, day(12) - TICK, settlement_delay_days=9)) == [19, 29, 39]


def test_a_cycle_that_a_lower_delay_would_have_closed_before_closes_with_the_edit() -> None:
    group = with_closings(None, milestone(cycles=2, settlement_delay_days=9), day(0))
    assert closings(edited(group, day(15), settlement_delay_days=2)) == [15, 22]


def test_a_moved_end_moves_the_settlement() -> None:
    group = with_closings(None, milestone(cycles=2, settlement_delay_days=2), day(0))
    shorter = replace(group.periods[0], ends_at=day(8))
    assert closings(edited(group, day(5), periods=(shorter, group.periods[1]))) == [10, 22]


def test_an_edit_of_something_else_leaves_the_closings_alone() -> None:
    group = with_closings(None, milestone(cycles=2, settlement_delay_days=2), day(0))
    assert edited(group, day(11)) == group
    legacy = milestone(cycles=2, settlement_delay_days=2)
    assert edited(legacy, day(11)) == legacy


def test_closings_that_a_previous_release_did_not_store_are_kept_when_the_delay_is_raised() -> None:
    legacy = milestone(cycles=2, settlement_delay_days=2)
    assert closings(edited(legacy, day(12), settlement_delay_days=9)) == [12, 29]


@given(
    delays=st.lists(st.integers(0, 30), min_size=1, max_size=6),
    hours=st.lists(st.integers(0, 400), min_size=6, max_size=6),
)
def test_no_sequence_of_delays_ever_reopens_a_cycle_or_settles_it_in_the_past(
    delays: list[int], hours: list[int]
) -> None:
    group, now = with_closings(None, milestone(cycles=3), day(0)), day(0)
    for delay, passed in zip(delays, hours, strict=False):
        now += timedelta(hours=passed)
        after = edited(group, now, settlement_delay_days=delay)
        for period in group.periods:
            before_at = closes_at(group, period)
            after_at = closes_at(after, after.periods_by_id[period.id])
            assert after_at == before_at if before_at <= now else after_at >= now
        group = after


def test_every_due_work_of_a_group_has_a_key_of_its_own() -> None:
    dues = list(dues_of(streak(cycles=5, settlement_delay_days=1)))
    assert len({each.key for each in dues}) == len(dues) == 15
