"""Which target groups a list shows (domain: milestones §3.5, GAM)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from milepost.rules.definitions import STREAK_TRACKING_TYPES, TargetGroup
from milepost.rules.frozen import dataclass

STATUSES = ("LIVE", "UPCOMING", "ENDED", "STOPPED")


@dataclass(frozen=True, slots=True)
class GroupFilter:
    """What a group must have to be listed; an empty set or None asks for nothing.

    `starts_at` and `ends_at` are the half-open window that the group's own must share an instant with.
    `name` is a part of the name, in any case. `target_types` (KPIs): one target has one of them.
    """

    statuses: frozenset[str] = frozenset()
    tracking_types: frozenset[str] = frozenset()
    target_types: frozenset[str] = frozenset()
    name: str = ""
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    only_active: bool = False
    user_created_too: bool = False


def group_status(group: TargetGroup, now: datetime) -> str:
    """STOPPED while inactive, else by its window `[cycle_starts_at, cycle_ends_at)`."""
    if not group.active:
        return "STOPPED"
    if now < group.cycle_starts_at:
        return "UPCOMING"
    return "LIVE" if now < group.cycle_ends_at else "ENDED"


def listed_groups(
    groups: Iterable[TargetGroup], wanted: GroupFilter, now: datetime
) -> list[TargetGroup]:
    """The groups that a filter lets through, newest first: ids rise."""
    found = [group for group in groups if _listed(group, wanted, now)]
    return sorted(found, key=lambda group: group.id, reverse=True)


def _listed(group: TargetGroup, wanted: GroupFilter, now: datetime) -> bool:
    if group.user_created and not wanted.user_created_too:
        return False
    if wanted.only_active and not group.active:
        return False
    if wanted.statuses and group_status(group, now) not in wanted.statuses:
        return False
    if wanted.tracking_types and not _is_of(group, wanted.tracking_types):
        return False
    counted = {target.target_type for target in group.targets}
    if wanted.target_types and wanted.target_types.isdisjoint(counted):
        return False
    if wanted.name.casefold() not in group.name.casefold():
        return False
    if wanted.starts_at is not None and group.cycle_ends_at <= wanted.starts_at:
        return False
    return wanted.ends_at is None or group.cycle_starts_at < wanted.ends_at


def _is_of(group: TargetGroup, tracking_types: frozenset[str]) -> bool:
    # The filter's words know one kind of streak, so it stands for both.
    if "STREAKS" in tracking_types and group.tracking_type in STREAK_TRACKING_TYPES:
        return True
    return group.tracking_type in tracking_types
