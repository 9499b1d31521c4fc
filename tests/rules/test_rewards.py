"""Ceilings and targets that count points: domain milestones §4.7 and §4.10, contract §4 rule 5."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from milepost.rules.definitions import CYCLIC, RewardDefinition, TargetGroup
from tests.rules.samples import (
    BADGE,
    CUSTOMER,
    POINTS,
    TARGET,
    Rows,
    Story,
    capping,
    cyclic,
    day,
    definitions,
    event,
    milestone,
    sale,
    streak,
    with_target,
)

CEILING = 90
HUNDRED = RewardDefinition("Hundred", "POINTS", Decimal(100))


def earning(*others: TargetGroup, rewards: tuple[RewardDefinition, ...] = (HUNDRED,)) -> Story:
    """A customer who is granted points by each cycle that is met with 1000."""
    story = Story(milestone(rewards=rewards), day(0), *others)
    story.enrol()
    return story


def points_of(story: Story) -> list[int]:
    """The value of each reward of points, in order."""
    return [int(reward.value) for _, reward in story.rows.rewards if reward.type == "POINTS"]


def counted(story: Story, group_id: int, name: str = "c1") -> int | None:
    """What a target that counts points has in a cycle; None if nothing was ever counted there."""
    number = int(name[1:])
    row = story.rows.progress.get((CUSTOMER, group_id * 10, group_id * 100 + number))
    return None if row is None else int(row.value)


def counting(kind: str = "PROMOTIONAL_POINTS", *, entity: str = "POINTS", **group: Any) -> Any:
    """A milestone on points, group 8."""
    made = milestone(**{"group_id": 8, "asked": 150, "rewards": (), "name": "Earn 150", **group})
    return with_target(made, target_entity=entity, target_type=kind)


# Ceilings


@pytest.mark.parametrize(
    ("asked", "granted"),
    [(500, [100, 100, 100]), (300, [100, 100, 100]), (250, [100, 100, 50]), (30, [30, 0, 0])],
)
def test_the_grant_that_crosses_the_ceiling_gets_what_is_left(
    asked: int, granted: list[int]
) -> None:
    # The ceiling's cycle lasts a month; three cycles are met in it.
    month = capping(asked=asked)
    month = replace(month, periods=(replace(month.periods[0], ends_at=day(30)),))
    story = earning(month)
    for at in (1, 11, 21):
        story.now = day(at)
        story.spend(1000)
    assert points_of(story) == granted
    assert counted(story, 9) == sum(granted)


def test_a_ceiling_is_as_high_again_in_its_next_cycle() -> None:
    story = earning(capping(asked=70))
    for at in (1, 11):
        story.now = day(at)
        story.spend(1000)
    assert points_of(story) == [70, 70]
    assert [counted(story, 9, name) for name in ("c1", "c2")] == [70, 70]


def test_rewards_of_one_achievement_share_the_ceiling_in_their_order() -> None:
    story = earning(capping(asked=70), rewards=(POINTS, BADGE, HUNDRED))
    story.spend(1000)
    assert [(reward.name, int(reward.value)) for _, reward in story.rows.rewards] == [
        ("Fifty", 50),
        ("Explorer", 1),
        ("Hundred", 20),
    ]
    first, _, third = (entry for entry in story.journal if entry.what == "REWARDED")
    assert "uncapped" not in first.details
    assert third.details["uncapped"] == "100"


@pytest.mark.parametrize(
    ("kind", "granted"),
    [("PROMOTIONAL_POINTS", [30]), ("ALL_POINTS", [30]), ("REGULAR_POINTS", [100])],
)
def test_a_campaigns_points_are_promotional_not_regular(kind: str, granted: list[int]) -> None:
    story = earning(capping(asked=30, target_type=kind))
    story.spend(1000)
    assert points_of(story) == granted


def test_the_lowest_of_several_ceilings_holds_and_all_of_them_are_nearer() -> None:
    story = earning(capping(asked=80), capping(group_id=10, asked=60))
    story.spend(1000)
    assert points_of(story) == [60]
    assert [counted(story, 9), counted(story, 10)] == [60, 60]


def test_what_another_system_granted_is_under_the_ceiling_too() -> None:
    story = earning(capping(asked=CEILING))
    story.record(event("ev-1", "PointsEarned", 0, kind="PROMOTIONAL", amount=75))
    story.record(event("ev-2", "PointsEarned", 0, kind="REGULAR", amount=75))
    story.spend(1000)
    assert points_of(story) == [15]


def test_above_the_ceiling_nothing_is_granted_and_nothing_taken_back() -> None:
    story = earning(capping(asked=CEILING))
    story.record(event("ev-1", "PointsEarned", 0, kind="PROMOTIONAL", amount=500))
    story.spend(1000)
    assert points_of(story) == [0]
    assert counted(story, 9) == 500


@pytest.mark.parametrize("method", ["IMPORT", "TRANSACTION"])
@pytest.mark.parametrize("enrolled", [False, True])
def test_a_ceiling_holds_for_the_enrolled_or_for_everybody(method: str, enrolled: bool) -> None:
    story = earning(capping(asked=30, enrolment_method=method))
    if enrolled:
        story.enrol(target=90)
    story.spend(1000)
    assert points_of(story) == [30 if enrolled or method == "TRANSACTION" else 100]


def test_a_ceiling_that_was_left_does_not_hold() -> None:
    story = earning(capping(asked=30))
    story.enrol(target=90)
    story.unenrol(target=90)
    story.spend(1000)
    assert points_of(story) == [100]


@pytest.mark.parametrize("off", ["group", "target", "cycle", "closed"])
def test_a_ceiling_that_is_not_there_does_not_hold(off: str) -> None:
    ceiling = capping(asked=30)
    if off == "group":
        ceiling = replace(ceiling, active=False)
    elif off == "target":
        ceiling = with_target(ceiling, active=False)
    else:
        first = ceiling.periods[0]
        changed = replace(first, active=False) if off == "cycle" else replace(first, ends_at=day(0))
        ceiling = replace(ceiling, periods=(changed,))
    story = earning(ceiling)
    story.spend(1000)
    assert points_of(story) == [100]


def test_a_ceiling_of_own_cycles_begins_with_the_first_grant_and_is_refreshed() -> None:
    ceiling = with_target(
        cyclic(group_id=9, asked=30, tracking_type="CAPPING", frequency_type="WEEKLY", frequency=1),
        target_entity="POINTS",
        target_type="PROMOTIONAL_POINTS",
    )
    story = earning(ceiling)
    story.enrol(target=90)
    for at in (1, 11, 21):
        story.now = day(at)
        story.spend(1000)
    assert story.rows.enrolment(target=90).anchored_at == day(1)
    assert points_of(story) == [30, 30, 30]
    assert [counted(story, 9, name) for name in ("c1", "c2", "c3")] == [30, 30, 30]


def test_a_balance_is_capped_like_an_activity() -> None:
    story = Story(milestone(rewards=(HUNDRED,)), day(0), capping(asked=30))
    story.enrol("c1", 1000)
    assert points_of(story) == [30]
    assert {reward.cause for _, reward in story.rows.rewards} == {"ENROLMENT"}


def test_a_levels_points_are_capped_too() -> None:
    story = Story(streak(levels=(1,), rewards=(POINTS,)), day(0), capping(asked=70))
    story.enrol()
    story.spend(1000)
    assert points_of(story) == [50, 20]


def test_ceilings_are_each_customers_own() -> None:
    rows = Rows(definitions(milestone(rewards=(HUNDRED,)), capping(asked=150)), frozenset({1, 2}))
    story = Story(milestone())
    story.rows = rows
    for customer in (1, 2):
        story.enrol(customer=customer)
    rows.record([sale("tx-1", 1000, customer=c) for c in (1, 2)], day(0))
    assert [int(reward.value) for _, reward in rows.rewards] == [100, 100]


# Targets that count points


@pytest.mark.parametrize(
    ("kind", "entity", "value"),
    [
        ("PROMOTIONAL_POINTS", "POINTS", 100),
        ("PROMOTIONAL_POINTS", "REWARDS", 100),
        ("ALL_POINTS", "POINTS", 100),
        ("REGULAR_POINTS", "POINTS", None),
    ],
)
def test_points_that_are_granted_count_where_points_are_counted(
    kind: str, entity: str, value: int | None
) -> None:
    story = earning(counting(kind, entity=entity))
    story.enrol(target=80)
    story.spend(1000)
    assert counted(story, 8) == value
    effects = [(e.target_id, e.reason, int(e.amount)) for e in story.effects("tx-1")]
    assert effects == [
        (TARGET, "ADDED", 1000),
        *([(80, "POINTS_GRANTED", 100)] if value else []),
    ]


def test_only_what_was_granted_below_the_ceiling_counts() -> None:
    story = earning(counting(), capping(asked=30))
    story.enrol(target=80)
    story.spend(1000)
    assert counted(story, 8) == 30
    story.now = day(5)
    story.unenrol()
    story.enrol("c1", 1000)
    assert (points_of(story), counted(story, 8)) == ([30, 0], 30)
    # Nothing was granted the second time, so nothing is told of it.
    assert 80 not in [effect.target_id for effect in story.journal[-1].effects]


def test_points_count_for_the_enrolled_in_the_cycle_of_the_grant() -> None:
    story = earning(counting(settlement_delay_days=9))
    story.spend(1000)
    assert counted(story, 8) is None
    story.enrol(target=80)
    story.edit(replace(story.group, settlement_delay_days=9))
    story.now = day(12)
    story.spend(1000, at=11)
    assert [counted(story, 8, name) for name in ("c1", "c2")] == [None, 100]


def test_a_points_targets_own_points_are_not_counted_again() -> None:
    rewards = (HUNDRED,)
    story = earning(counting(asked=100, rewards=rewards), counting(group_id=9, rewards=rewards))
    for target in (80, 90):
        story.enrol(target=target)
    story.spend(1000)
    assert points_of(story) == [100, 100]
    assert [counted(story, group_id) for group_id in (8, 9)] == [100, 100]


def test_a_points_target_may_be_a_streak_or_have_own_cycles() -> None:
    own = cyclic(group_id=9, asked=150, rewards=(), frequency_type="WEEKLY", frequency=1)
    own = with_target(own, target_entity="POINTS", target_type="ALL_POINTS")
    run = with_target(
        streak(group_id=8, asked=100, rewards=(), levels=(2,)),
        target_entity="POINTS",
        target_type="ALL_POINTS",
    )
    assert own.evaluation_type == CYCLIC
    story = earning(run, own)
    for target in (80, 90):
        story.enrol(target=target)
    for at in (1, 11):
        story.now = day(at)
        story.spend(1000)
    assert [counted(story, 8, name) for name in ("c1", "c2")] == [100, 100]
    # The level's own points came of points, so they are not counted.
    assert points_of(story) == [100, 100, 50]
    assert story.rows.enrolment(target=90).anchored_at == day(1)
    assert [counted(story, 9, name) for name in ("c1", "c2")] == [100, 100]


def test_points_of_a_balance_are_noted_where_there_is_no_activity() -> None:
    story = Story(milestone(rewards=(HUNDRED,)), day(0), counting())
    story.enrol(target=80)
    story.enrol("c1", 1000)
    assert counted(story, 8) == 100
    (entry,) = [entry for entry in story.journal if entry.what == "ACTIVITY"]
    assert entry.reason == "POINTS"
    assert [(e.target_id, e.reason) for e in entry.effects] == [(80, "POINTS_GRANTED")]


def test_all_points_are_the_sum_of_the_ledger() -> None:
    story = earning(capping(asked=130))
    for at in (1, 2, 11):
        story.now = day(at)
        story.spend(1000)
    assert story.points == sum(points_of(story)) == 200
