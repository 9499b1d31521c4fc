"""What falls due: the instants at which cycles start, end and are settled (contract §2, §4 rules 8–10).

Each is *due work* of a period: who is enrolled in its group is gone through, once. Only dated cycles
have it; a customer's own cycles (cyclic windows) and what a customer has of promotions fall due one by
one (`effects.OwnCycleEnd`, `effects.Issual`, `effects.Earn`).
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from datetime import datetime

from milepost.rules.definitions import Definitions, TargetGroup
from milepost.rules.frozen import dataclass
from milepost.rules.windows import closes_at

END = "END"
SETTLE = "SETTLE"
EXPIRE = "EXPIRE"
START = "START"
KINDS = (END, SETTLE, EXPIRE, START)
"""In the order in which they are done where they fall due at one instant (contract §2)."""


@dataclass(frozen=True, slots=True)
class Due:
    """The work of a period that falls due at `due_at`; done as of that instant, however late.

    START tells the enrolled that the cycle begins, END breaks the runs of those who missed it, SETTLE
    closes it and grants what was to wait for that.
    """

    due_at: datetime
    kind: str
    group_id: int
    period_id: int

    @property
    def key(self) -> tuple[int, str]:
        """What names the work for good: its instant may move before it has come."""
        return self.period_id, self.kind


def dues_of(group: TargetGroup) -> Iterator[Due]:
    """All the due work that a group ever has as it is defined now, period by period.

    What lay in the past when the period was made never falls due: nobody was enrolled then. Inactive
    groups have theirs too (contract §4, "Edits"). Only a continuous run can break at an END.
    """
    if not group.is_fixed:
        return
    for period in group.periods:
        instants = [(START, period.starts_at), (SETTLE, closes_at(group, period))]
        if group.tracking_type == "STREAKS":
            instants.append((END, period.ends_at))
        for kind, due_at in instants:
            if period.created is None or period.created.at < due_at:
                yield Due(due_at, kind, group.id, period.id)


def new_instants(before: TargetGroup | None, after: TargetGroup | None) -> tuple[datetime, ...]:
    """The instants at which an edited group has due work and had none before, in order."""
    known = {each.due_at for each in dues_of(before)} if before is not None else set()
    now = {each.due_at for each in dues_of(after)} if after is not None else set()
    return tuple(sorted(now - known))


def due(
    definitions: Definitions, to: datetime, unfinished: Container[tuple[int, str]] | None = None
) -> list[Due]:
    """The work of an organisation that falls due up to `to`, included, in the order of doing it.

    By instant; at one instant ends, then settlements, then starts. Only that whose key is in
    `unfinished`, unless that is None.
    """
    found = [
        each
        for group in definitions.groups.values()
        for each in dues_of(group)
        if each.due_at <= to and (unfinished is None or each.key in unfinished)
    ]
    return sorted(found, key=_order)


def _order(each: Due) -> tuple[datetime, int, int, int]:
    return each.due_at, KINDS.index(each.kind), each.group_id, each.period_id
