"""Unified groups: domain milestones §2.1, §4.9 and §7-18."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from milepost.rules.definitions import TargetGroup
from milepost.rules.effects import Progress
from milepost.rules.unified import is_met, standings
from tests.rules.samples import POINTS, Story, day, event, unified

MEMBERS = ("walk", "swim", "ride")


def progress(group: TargetGroup, *values: int | None) -> dict[int, Progress | None]:
    """A row per member that reached 2 or did not; None where there is none."""
    return {
        target.id: None
        if value is None
        else Progress(701, 1, Decimal(value), day(1) if value >= 2 else None)
        for target, value in zip(group.targets, values, strict=True)
    }


def threshold(aggregation: str | None, value: Any) -> dict[str, Any]:
    return {"unified_target_expression": {"aggregation": aggregation, "thresholdValue": value}}


@pytest.mark.parametrize(
    ("changes", "values", "met"),
    [
        ({}, (2, 2, 2), True),
        ({}, (2, 2, 1), False),
        ({}, (2, 2, None), False),
        ({"combination": "ANY"}, (0, None, 2), True),
        ({"combination": "ANY"}, (1, 1, 1), False),
        # A threshold alone decides, of the sum of the values or the number of members achieved.
        (threshold("SUM", 5), (5, None, None), True),
        (threshold("SUM", 5), (2, 1, 1), False),
        (threshold("SUM", "4.5"), (2, 2, 0), False),
        (threshold("SUM", "4.5"), (2, 2, 1), True),
        (threshold("COUNT", 2), (2, 9, None), True),
        (threshold("COUNT", 2), (9, 1, 1), False),
        (threshold("count", 1), (2, 0, 0), True),
        (threshold("SUM", None), (9, 9, 1), False),
        (threshold(None, 1), (2, 2, 1), False),
    ],
)
def test_all_or_any_of_the_members_or_a_threshold_over_them(
    changes: dict[str, Any], values: tuple[int | None, ...], met: bool
) -> None:
    group = unified(*MEMBERS, asked=2, **changes)
    assert is_met(group, group.periods[0], progress(group, *values)) == met


def test_a_deactivated_member_is_none() -> None:
    group = unified(*MEMBERS, asked=2)
    *kept, last = group.targets
    group = replace(group, targets=(*kept, replace(last, active=False)))
    assert is_met(group, group.periods[0], progress(group, 2, 2, 0))
    summed = replace(group, **threshold("SUM", 5))
    assert not is_met(summed, group.periods[0], progress(group, 2, 2, 9))


def test_the_standings_name_each_active_member_with_its_value_and_target_value() -> None:
    group = unified("walk", "swim", asked=2)
    rows = progress(group, 3, None)
    row = rows[71]
    assert row is not None
    rows[71] = replace(row, own_target_value=Decimal(7))
    assert standings(group, group.periods[0], rows) == [[71, "3", "7"], [72, "0", "2"]]


def story_of(*members: str, **others: Any) -> Story:
    story = Story(unified(*members, asked=1, **others))
    for number in range(len(members)):
        assert story.enrol(target=71 + number) == 0
    return story


def told(story: Story) -> list[str]:
    return [entry.reason for entry in story.journal if entry.reason.startswith("UNIFIED")]


@pytest.mark.parametrize(("combination", "after"), [("ANY", 1), ("ALL", 3)])
def test_it_is_told_once_when_the_condition_is_met(combination: str, after: int) -> None:
    story = story_of(*MEMBERS, combination=combination)
    for number, name in enumerate((*MEMBERS, "walk"), 1):
        story.record(event(f"ev-{number}", name))
        assert told(story) == ["UNIFIED_REACHED"] * (number >= after)


def test_each_cycle_meets_it_for_itself() -> None:
    story = story_of("walk", "swim")
    for at in (0, 10):
        story.now = day(at)
        for name in ("walk", "swim"):
            story.record(event(f"{name} {at}", name, at))
    story.record(event("late", "walk", 10))
    assert told(story) == ["UNIFIED_REACHED"] * 2


def test_it_is_told_after_the_member_that_met_it_with_how_all_stand() -> None:
    story = story_of("walk", "swim")
    story.record(event("ev-1", "walk"), event("ev-2", "walk"), event("ev-3", "swim"))
    reached = story.journal[-1]
    assert (reached.what, reached.reason, reached.target_id) == ("ACHIEVED", "UNIFIED_REACHED", 72)
    assert reached.details == {"members": [[71, "2", "1"], [72, "1", "1"]], "activity": "ev-3"}
    assert story.journal[-2].reason == "REACHED"


def test_a_member_that_nobody_enrolled_in_is_missing() -> None:
    story = Story(unified("walk", "swim", asked=1))
    story.enrol(target=71)
    story.record(event("ev-1", "walk"), event("ev-2", "swim"))
    assert told(story) == []


def test_members_are_rewarded_singly() -> None:
    group = unified("walk", "swim", asked=1)
    rewarded = replace(group.targets[0], rewards=(POINTS,))
    story = Story(replace(group, targets=(rewarded, group.targets[1])))
    story.enrol(target=71)
    story.record(event("ev-1", "walk"))
    assert [reward.target_id for _, reward in story.rows.rewards] == [71]


def test_a_balance_may_meet_it() -> None:
    story = Story(unified("walk", "swim", asked=5, combination="ANY"))
    story.enrol("c1", 5, target=71)
    assert told(story) == ["UNIFIED_REACHED"]


def test_a_balance_may_lose_it() -> None:
    story = Story(unified("walk", "swim", asked=5, combination="ANY"))
    story.enrol("c1", 5, target=71)
    story.unenrol(target=71)
    story.enrol("c1", 4, target=71)
    assert told(story) == ["UNIFIED_REACHED", "UNIFIED_LOST"]


def test_the_sum_of_the_members_may_meet_it_without_any_of_them() -> None:
    story = Story(unified("walk", "swim", asked=5, **threshold("SUM", 4)))
    for target in (71, 72):
        story.enrol(target=target)
    for number, name in enumerate(("walk", "swim", "walk", "swim")):
        assert told(story) == []
        story.record(event(f"ev-{number}", name))
    assert told(story) == ["UNIFIED_REACHED"]
    assert "REACHED" not in story.reasons
