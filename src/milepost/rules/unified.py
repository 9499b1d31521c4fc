"""Unified groups: when their targets are met together (domain: milestones §2.1, §4.9).

Nothing of it is stored: it follows from the progress of the members in the cycle. A customer who is
not enrolled in a member has 0 there (§7-18).
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from milepost.rules.activities import ZERO
from milepost.rules.coverage import achieved
from milepost.rules.definitions import Period, TargetGroup
from milepost.rules.effects import Progress


def is_met(group: TargetGroup, period: Period, progress: Mapping[int, Progress | None]) -> bool:
    """Whether the group's condition holds in a cycle; `progress` is by target id.

    With an aggregation it is the threshold alone that decides: the sum of the members' values, or the
    number of members that are achieved. Without, ALL or ANY of the active members.
    """
    members = [target for target in group.targets if target.active]
    rows = [progress.get(target.id) for target in members]
    reached = sum(achieved(row) for row in rows)
    expression = group.unified_target_expression or {}
    aggregation = expression.get("aggregation")
    threshold = expression.get("thresholdValue")
    if aggregation is not None and threshold is not None:
        if str(aggregation).upper() == "COUNT":
            return reached >= Decimal(str(threshold))
        total = sum((row.value for row in rows if row is not None), ZERO)
        return total >= Decimal(str(threshold))
    return reached > 0 if group.combination_type == "ANY" else reached == len(members)


def standings(
    group: TargetGroup, period: Period, progress: Mapping[int, Progress | None]
) -> list[list[object]]:
    """The members as the journal keeps them: target id, value and target value of each."""
    found: list[list[object]] = []
    for target in group.targets:
        if target.active:
            row = progress.get(target.id)
            own = row.own_target_value if row is not None else None
            asked = own if own is not None else target.values[period.id].value
            found.append([target.id, str(row.value if row is not None else ZERO), str(asked)])
    return found
