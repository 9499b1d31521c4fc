"""Drafts to start from, and a small organisation to decide them in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from itertools import count
from typing import Any, TypeVar

from milepost.errors import INVALID_INPUT, Error, Refusal
from milepost.rules.definitions import Actor, Definitions, RewardDefinition, TargetGroup
from milepost.rules.drafts import (
    GroupDraft,
    LevelDraft,
    PeriodDraft,
    TargetDraft,
    UnifiedDraft,
    ValueDraft,
)
from milepost.rules.groups import define_group

T = TypeVar("T")

ORG_ZONE = "Asia/Kolkata"
NOW = datetime(2031, 5, 10, 12, tzinfo=UTC)
ALICE = Actor(1, NOW)
BOB = Actor(2, datetime(2031, 6, 10, 12, tzinfo=UTC))
POINTS = RewardDefinition("Welcome", "POINTS", Decimal(100))

MAY = PeriodDraft("May", "2031-05-01", "2031-05-31")
JUNE = PeriodDraft("June", "2031-06-01", "2031-06-30")
JULY = PeriodDraft("July", "2031-07-01", "2031-07-31")


def accepted(result: T | Refusal) -> T:
    assert not isinstance(result, Refusal), result.message
    return result


def refused(result: object, error: Error = INVALID_INPUT) -> str:
    """The detail of a refusal, which must be of this error."""
    assert isinstance(result, Refusal), result
    assert result.error is error, result
    return result.detail


def fresh_ids() -> Iterator[int]:
    return count(5001)


def values(*amounts: int | str) -> tuple[ValueDraft, ...]:
    return tuple(ValueDraft(Decimal(amount)) for amount in amounts)


def target(name: str = "Spend", **fields: Any) -> TargetDraft:
    draft = TargetDraft(
        name=name, target_entity="TRANSACTION", target_type="SALES", default_values=values(1000)
    )
    return replace(draft, **fields)


def milestone(**fields: Any) -> GroupDraft:
    draft = GroupDraft(
        name="Summer",
        tracking_type="DEFAULT",
        evaluation_type="FIXED_CALENDAR_WINDOW",
        periods=(MAY, JUNE, JULY),
        targets=(target(),),
    )
    return replace(draft, **fields)


def streak(**fields: Any) -> GroupDraft:
    draft = milestone(
        name="Morning run",
        tracking_type="STREAKS",
        targets=(target("Run"),),
        levels=(LevelDraft("Bronze", 1), LevelDraft("Gold", 3)),
    )
    return replace(draft, **fields)


def unified(**fields: Any) -> GroupDraft:
    draft = milestone(
        name="Big four",
        tracking_type="UNIFIED",
        combination_type="ALL",
        unified_target_expression=UnifiedDraft("SUM", Decimal(5000)),
        targets=(target("Shoes"), target("Shirts")),
    )
    return replace(draft, **fields)


def organisation(*groups: TargetGroup) -> Definitions:
    return Definitions(1, 7, ORG_ZONE, {group.id: group for group in groups})


def define(draft: GroupDraft, *groups: TargetGroup) -> TargetGroup | Refusal:
    """What `define_group` says at `NOW`, the ids being 5001, 5002 … after those of the others."""
    start = 5001 + 1000 * len(groups)
    return define_group(organisation(*groups), draft, count(start), ALICE)


def defined(draft: GroupDraft, *groups: TargetGroup) -> TargetGroup:
    return accepted(define(draft, *groups))
