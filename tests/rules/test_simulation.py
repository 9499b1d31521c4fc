"""Dry runs: the rules that record activities, on a state that nobody keeps."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from milepost.actions.expressions import evaluate
from milepost.rules.activities import RETURN, RETURN_BILL, TRANSACTION, Activity
from milepost.rules.definitions import CYCLIC, PERIOD_AGNOSTIC, TargetGroup
from milepost.rules.simulation import (
    Tally,
    Trial,
    begin,
    blank_tally,
    finish,
    plan,
    points_of,
    reward_definition,
    take,
)
from tests.rules.life import DEFINED, Life, targets_of
from tests.rules.samples import (
    BADGE,
    CUSTOMER,
    FIRST_DAY,
    POINTS,
    TICK,
    cyclic,
    day,
    definitions,
    milestone,
    streak,
)

TO = day(50)


def bill(name: str, amount: int, at: datetime) -> Activity:
    money = Decimal(amount)
    return Activity(name, CUSTOMER, TRANSACTION, at, "TransactionAdd", money, money)


def back(name: str, of: str, amount: int, at: datetime) -> Activity:
    money = Decimal(amount)
    return Activity(name, CUSTOMER, RETURN, at, RETURN_BILL, money, money, return_of=of)


def bills(*sales: tuple[float, int]) -> list[Activity]:
    """(day, amount) of each."""
    return [bill(f"tx-{n}", amount, day(on)) for n, (on, amount) in enumerate(sales)]


def run(
    group: TargetGroup,
    lives: Iterable[Sequence[Activity]],
    starts_at: datetime = FIRST_DAY,
    ends_at: datetime = TO,
) -> Tally:
    """Each of `lives` is a customer of their own."""
    prepared = plan(definitions(group), group, starts_at, ends_at)
    tally = blank_tally(group, starts_at, ends_at)
    for activities in lives:
        trial = tried(group, activities, starts_at, ends_at)
        finish(prepared, trial, tally, evaluate)
    return tally


def tried(
    group: TargetGroup,
    activities: Sequence[Activity],
    starts_at: datetime = FIRST_DAY,
    ends_at: datetime = TO,
) -> Trial:
    prepared = plan(definitions(group), group, starts_at, ends_at)
    returned = {each.return_of for each in activities if each.return_of is not None}
    trial = begin(prepared, CUSTOMER, returned)
    for activity in activities:
        take(prepared, trial, activity, evaluate)
    return trial


def achieved(tally: Tally, group: TargetGroup) -> dict[str, tuple[int, int]]:
    """By cycle: (customers, achieved), of those in which something counted."""
    names = group.periods_by_id
    return {
        names[each.period_id].ref_code: (each.customers, each.achieved)
        for each in tally.cycles.values()
        if each.customers
    }


def granted(tally: Tally, group: TargetGroup) -> dict[str, tuple[int, int]]:
    """By reward: (grants, points)."""
    return {
        reward_definition(group, each).name: (each.granted, int(each.points))
        for each in tally.rewards.values()
        if each.granted
    }


def test_each_cycle_counts_who_took_part_and_who_achieved_it_and_how_far_the_others_got() -> None:
    group = milestone()
    lives = [bills((1, 1000)), bills((1, 999), (12, 500)), bills((2, 100)), bills((2, 99))]
    tally = run(group, lives)
    assert (tally.customers, tally.activities, tally.rejected) == (4, 5, 0)
    assert achieved(tally, group) == {"c1": (4, 1), "c2": (1, 0)}
    first, second = list(tally.cycles.values())[:2]
    assert first.others == [1, 1, 0, 0, 0, 0, 0, 0, 0, 1]
    assert second.others == [0, 0, 0, 0, 0, 1, 0, 0, 0, 0]
    assert granted(tally, group) == {"Fifty": (1, 50), "Explorer": (1, 0)}
    assert points_of(tally) == 50


def test_who_has_no_activity_in_the_range_is_no_customer_of_it() -> None:
    assert run(milestone(), [[]]).customers == 0


def test_everybody_is_enrolled_from_the_beginning_of_the_range_and_in_no_cycle_before_it() -> None:
    group = milestone(track_from_enrolment_date=True)
    tally = run(group, [bills((15, 400), (16, 600))], starts_at=day(10))
    assert achieved(tally, group) == {"c2": (1, 1)}
    assert {each.period_id for each in tally.cycles.values()} == {702, 703, 704, 705}
    assert run(group, [bills((55, 400))], day(50), day(60)).cycles == {}


def test_the_cycles_that_a_range_touches_are_listed_and_no_others() -> None:
    tally = run(milestone(), [], day(10), day(20) + TICK)
    assert [each.period_id for each in tally.cycles.values()] == [702, 703]
    own = run(cyclic(), [], day(10), day(20))
    assert len(own.cycles) == 5


def test_an_inactive_group_counts_and_its_inactive_targets_and_cycles_do_not() -> None:
    assert achieved(run(milestone(active=False), [bills((1, 1000))]), milestone()) == {"c1": (1, 1)}
    stopped = targets_of(milestone(), active=False)
    assert achieved(run(stopped, [bills((1, 1000))]), stopped) == {}
    group = milestone()
    silent = replace(group, periods=(replace(group.periods[0], active=False), *group.periods[1:]))
    assert achieved(run(silent, [bills((1, 1000), (11, 7))]), silent) == {"c2": (1, 0)}


def test_an_activity_is_late_when_it_arrived_after_a_later_one_and_not_else() -> None:
    group = milestone(settlement_delay_days=2)
    in_time = bills((9, 400), (11.9, 1), (8, 600))
    assert achieved(run(group, [in_time]), group) == {"c1": (1, 1), "c2": (1, 0)}
    too_late = bills((9, 400), (12, 1), (8, 600))
    assert achieved(run(group, [too_late]), group) == {"c1": (1, 0), "c2": (1, 0)}


def test_period_end_rewards_are_granted_for_cycles_that_end_in_the_range_and_no_others() -> None:
    group = milestone(reward_allocation="PERIOD_END", settlement_delay_days=5, rewards=(POINTS,))
    sales = bills((1, 1000), (11, 1000))
    for ends_at, points in ((day(20) - TICK, 50), (day(20), 100), (day(21), 100)):
        tally = run(group, [sales], ends_at=ends_at)
        assert achieved(tally, group) == {"c1": (1, 1), "c2": (1, 1)}
        assert points_of(tally) == points


def test_what_is_returned_before_the_settlement_earns_nothing() -> None:
    group = milestone(reward_allocation="PERIOD_END", rewards=(POINTS,))
    returned = [*bills((1, 1000)), back("rt", "tx-0", 1, day(9))]
    tally = run(group, [returned])
    assert achieved(tally, group) == {"c1": (1, 0)}
    assert points_of(tally) == 0
    late = [*bills((1, 1000)), back("rt", "tx-0", 1, day(10))]
    tally = run(group, [late])
    assert achieved(tally, group) == {"c1": (1, 1)}
    assert points_of(tally) == 50


def test_a_value_below_0_is_in_the_first_bucket() -> None:
    group = milestone(carry_returns_forward=True)
    returned = [*bills((1, 1000)), back("rt", "tx-0", 400, day(11))]
    tally = run(group, [returned])
    assert achieved(tally, group) == {"c1": (1, 1), "c2": (1, 0)}
    assert list(tally.cycles.values())[1].others[0] == 1


def test_a_return_of_what_lies_outside_the_range_and_a_failing_expression_are_rejected() -> None:
    group = milestone()
    tally = run(group, [[back("rt", "before", 5, day(3))]])
    assert (tally.activities, tally.rejected, tally.customers) == (1, 1, 1)
    reading = targets_of(group, expression="currentTxn.attributes.channel == 'web'")
    tally = run(reading, [bills((1, 5), (2, 6))])
    assert (tally.activities, tally.rejected) == (2, 2)
    assert achieved(tally, group) == {}


def test_a_streak_counts_levels_and_their_rewards() -> None:
    group = streak(asked=1, levels=(2, 4), rewards=())
    lives = [
        bills((1, 1), (11, 1)),
        bills((1, 1), (11, 1), (21, 1), (31, 1)),
        bills((1, 1), (21, 1)),
    ]
    tally = run(group, lives)
    assert [each.achieved for each in tally.levels.values()] == [2, 1]
    assert [(each.level_id, each.granted) for each in tally.rewards.values()] == [
        (901, 2),
        (902, 1),
    ]
    assert points_of(tally) == 150


def test_a_level_that_a_return_took_back_is_not_achieved_and_its_reward_stays() -> None:
    group = streak(asked=10, levels=(1,), rewards=())
    tally = run(group, [[*bills((1, 10)), back("rt", "tx-0", 5, day(2))]])
    assert [each.achieved for each in tally.levels.values()] == [0]
    assert points_of(tally) == 50


def test_ones_own_cycles_begin_with_the_first_activity_and_are_settled_where_they_end() -> None:
    group = cyclic(
        frequency_type="DAILY", frequency=7, reward_allocation="PERIOD_END", rewards=(BADGE,)
    )
    sales = bills((3, 1000), (12, 1000), (17.5, 1000))
    tally = run(group, [sales], ends_at=day(24) - TICK)
    assert achieved(tally, group) == {"c1": (1, 1), "c2": (1, 1), "c3": (1, 1)}
    assert granted(tally, group) == {"Explorer": (2, 0)}
    assert granted(run(group, [sales], ends_at=day(24)), group) == {"Explorer": (3, 0)}


def test_only_what_a_return_needs_is_remembered() -> None:
    activities = [*bills((1, 1), (2, 2), (3, 3)), back("rt", "tx-1", 1, day(4))]
    trial = tried(milestone(), activities)
    assert list(trial.history.received) == [(CUSTOMER, "tx-1")]
    assert trial.history.changes == {}


@pytest.mark.parametrize("group_id", [7, 8, 9, 10, 11, 12, 17])
@settings(max_examples=30, deadline=None)
@given(
    sales=st.lists(st.tuples(st.integers(0, 49), st.integers(0, 300)), max_size=14),
    returns=st.lists(st.tuples(st.integers(0, 20), st.integers(1, 200)), max_size=3),
)
def test_a_dry_run_comes_to_what_would_have_been_stored(
    group_id: int, sales: list[tuple[int, int]], returns: list[tuple[int, int]]
) -> None:
    """Somebody enrolled at the beginning, whose activities arrive when they occur."""
    group = DEFINED.groups[group_id]
    activities = bills(*sales)
    for number, (place, amount) in enumerate(returns):
        if sales:
            sale = activities[place % len(sales)]
            at = min(sale.occurred_at + timedelta(days=place), TO - TICK)
            activities.append(back(f"rt-{number}", sale.id, amount, at))
    activities.sort(key=lambda activity: activity.occurred_at)

    life = Life(definitions(group))
    for target in group.targets:
        life.enrol(target.id, None, None, reset=False)
    for activity in activities:
        wait_until(life, activity.occurred_at)
        life.receive(activity)
    wait_until(life, TO + timedelta(days=3))

    tally = run(group, [activities])
    rows: dict[Any, Any] = life.stored.progress
    assert {key for key, each in tally.cycles.items() if each.customers} == rows.keys()
    met = {key for key, row in rows.items() if row.achieved_at is not None}
    assert {key for key, each in tally.cycles.items() if each.achieved} == met
    levels = sum(row.achieved_at is not None for row in life.stored.levels.values())
    assert sum(each.achieved for each in tally.levels.values()) == levels
    assert sum(each.granted for each in tally.rewards.values()) == len(life.stored.grants)
    points = (each.value for each in life.stored.grants.values() if each.type == "POINTS")
    assert points_of(tally) == sum(points)


def wait_until(life: Life, at: datetime) -> None:
    if at > life.now:
        life.wait((at - life.now) / timedelta(days=1))
        life.now = at


@pytest.mark.parametrize("evaluation_type", [CYCLIC, PERIOD_AGNOSTIC])
def test_the_cycles_of_every_window_are_counted(evaluation_type: str) -> None:
    group = cyclic(evaluation_type=evaluation_type, asked=10)
    assert achieved(run(group, [bills((1, 10), (11, 5))]), group) == {"c1": (1, 1), "c2": (1, 0)}
