"""Which target groups a list shows (domain: milestones §3.5, GAM)."""

from __future__ import annotations

from dataclasses import replace

from milepost.rules.listing import GroupFilter, group_status, listed_groups
from tests.rules.samples import TICK, day, milestone

GROUP = replace(milestone(cycles=3), cycle_starts_at=day(0), cycle_ends_at=day(30))


def test_a_group_is_live_from_its_start_included_to_its_end_excluded() -> None:
    instants = (day(0) - TICK, day(0), day(30) - TICK, day(30))
    assert [group_status(GROUP, now) for now in instants] == ["UPCOMING", "LIVE", "LIVE", "ENDED"]


def test_an_inactive_group_is_stopped_whenever() -> None:
    stopped = replace(GROUP, active=False)
    assert {group_status(stopped, day(number)) for number in (-1, 1, 31)} == {"STOPPED"}


def test_windows_that_only_touch_share_no_instant() -> None:
    def listed(**window: object) -> bool:
        return bool(listed_groups([GROUP], GroupFilter(**window), day(1)))  # type: ignore[arg-type]

    assert not listed(ends_at=day(0))
    assert listed(ends_at=day(0) + TICK)
    assert listed(starts_at=day(30) - TICK)
    assert not listed(starts_at=day(30))
    assert listed(starts_at=day(10), ends_at=day(11))
