"""Levels of a streak: made, and changed (domain: milestones §2.4, §4.6)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

from milepost.errors import Refusal
from milepost.rules.checks import (
    INT32_MAX,
    check_count,
    check_given,
    check_integer,
    check_name,
    check_rewards,
    refuse,
    spelt_rewards,
)
from milepost.rules.definitions import Actor, Definitions, StreakLevel, TargetGroup
from milepost.rules.drafts import LEVELS_MAX, LevelDraft
from milepost.rules.names import level_names, name_key


def new_levels(
    definitions: Definitions, drafts: Sequence[LevelDraft], ids: Iterator[int], actor: Actor
) -> tuple[StreakLevel, ...] | Refusal:
    """A level for each draft, in order. `check_levels` says whether a group can have them."""
    refusal = check_count(drafts, "streaks", LEVELS_MAX)
    if refusal is not None:
        return refusal
    taken = set(level_names(definitions))
    made = []
    for index, draft in enumerate(drafts):
        at = f"streaks[{index}]"
        refusal = (
            check_given(draft.name, f"{at}.name")
            or check_given(draft.target_count_of_sequence, f"{at}.targetCountOfSequence")
            or _check_draft(draft, at)
        )
        if refusal is not None:
            return refusal
        name, count = draft.name or "", draft.target_count_of_sequence or 0
        if name_key(name) in taken:
            return refuse(f"{at}.name", "another streak level of the organisation has it")
        taken.add(name_key(name))
        rewards = spelt_rewards(draft.rewards or ())
        made.append(StreakLevel(next(ids), name, count, rewards, created=actor, updated=actor))
    return tuple(made)


def check_levels(group: TargetGroup) -> Refusal | None:
    """Whether the group's levels fit it: a streak has 1 to 10, in ascending order and within reach of
    its cycles; nothing else has any.
    """
    counts = [level.target_count for level in group.levels]
    if not group.is_streak:
        return refuse("streaks", "only a streak has levels") if counts else None
    if not counts:
        return refuse("streaks", "a streak has at least one level")
    for index, (one, next_one) in enumerate(pairwise(counts), start=1):
        if next_one <= one:
            at = f"streaks[{index}].targetCountOfSequence"
            return refuse(at, "must be more than that of the level before")
    if counts[-1] > len(group.periods):
        at = f"streaks[{len(counts) - 1}].targetCountOfSequence"
        return refuse(at, f"must not be more than the number of cycles, {len(group.periods)}")
    return None


def edited_levels(
    group: TargetGroup, drafts: Sequence[LevelDraft], actor: Actor
) -> tuple[StreakLevel, ...] | Refusal:
    """The group's levels after an edit: only their rewards may change (§3.5, EDS).

    A draft names its level by id, else by name; those not listed stay.
    """
    changed = {level.id: level for level in group.levels}
    for index, draft in enumerate(drafts):
        at = f"streaks[{index}]"
        refusal = _check_draft(draft, at)
        if refusal is not None:
            return refusal
        level = _find(group, draft)
        if level is None:
            return refuse(at, "is no level of the group, and those of a streak are fixed")
        if draft.name not in (None, level.name):
            return refuse(f"{at}.name", "that of a streak is fixed")
        if draft.target_count_of_sequence not in (None, level.target_count):
            return refuse(f"{at}.targetCountOfSequence", "that of a streak is fixed")
        if draft.rewards is not None and spelt_rewards(draft.rewards) != level.rewards:
            rewards = spelt_rewards(draft.rewards)
            changed[level.id] = replace(level, rewards=rewards, updated=actor)
    return tuple(changed.values())


def _check_draft(draft: LevelDraft, at: str) -> Refusal | None:
    return (
        check_name(draft.name, f"{at}.name")
        or check_integer(
            draft.target_count_of_sequence, f"{at}.targetCountOfSequence", 1, INT32_MAX
        )
        or check_rewards(draft.rewards, f"{at}.rewards")
    )


def _find(group: TargetGroup, draft: LevelDraft) -> StreakLevel | None:
    for level in group.levels:
        if draft.id == level.id or (draft.id is None and draft.name == level.name):
            return level
    return None
