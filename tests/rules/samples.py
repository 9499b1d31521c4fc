"""Short definitions, and rows kept as the store keeps them, for the tests of the rules.

Cycles are called c1, c2, …; each takes ten days and c1 begins on day 0, so c3 runs from day 20 to 30.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from milepost.errors import Refusal
from milepost.rules.definitions import (
    CYCLIC,
    Definitions,
    Period,
    RewardDefinition,
    StreakLevel,
    Target,
    TargetGroup,
    TargetValue,
)
from milepost.rules.effects import Entry, Progress, Reward, Stint
from milepost.rules.enrolment import Enrol, Enrolment, Members, Unenrol, apply, enrolled_in

FIRST_DAY = datetime(2026, 6, 1, tzinfo=UTC)
DAYS_A_CYCLE = 10
TICK = timedelta.resolution
GROUP, TARGET, CUSTOMER = 7, 70, 1
BADGE = RewardDefinition("Explorer", "BADGE", Decimal(1), "explorer")
POINTS = RewardDefinition("Fifty", "POINTS", Decimal(50))


def day(number: float) -> datetime:
    return FIRST_DAY + timedelta(days=number)


def cycle(number: int, *, gap_days: float = 0, group_id: int = GROUP) -> Period:
    """Cycle c<number>; with a gap it ends that much before the next one begins."""
    starts_at = day(DAYS_A_CYCLE * (number - 1))
    ends_at = day(DAYS_A_CYCLE * number - gap_days)
    return Period(group_id * 100 + number, number, f"c{number}", starts_at, ends_at)


def milestone(
    *,
    group_id: int = GROUP,
    cycles: int = 5,
    gap_days: float = 0,
    asked: int = 1000,
    rewards: tuple[RewardDefinition, ...] = (POINTS, BADGE),
    name: str = "Spend 1000",
    tracking_type: str = "DEFAULT",
    **others: object,
) -> TargetGroup:
    """A group with one target, whose every cycle asks for `asked`; target id = group id × 10."""
    periods = tuple(
        cycle(number, gap_days=gap_days, group_id=group_id) for number in range(1, cycles + 1)
    )
    target = Target(
        group_id * 10,
        group_id,
        name,
        "TRANSACTION",
        "SALES",
        rewards=rewards,
        values=values_of(periods, asked),
    )
    group = TargetGroup(
        group_id,
        name,
        tracking_type,
        "UTC",
        day(0),
        day(DAYS_A_CYCLE * cycles),
        periods=periods,
        targets=(target,),
    )
    return replace(group, **others)  # type: ignore[arg-type]


def values_of(periods: Iterable[Period], asked: int) -> dict[int, TargetValue]:
    return {period.id: TargetValue(period.id, period.id, Decimal(asked)) for period in periods}


def streak(
    *,
    levels: Sequence[int] = (2, 4),
    tracking_type: str = "STREAKS",
    name: str = "Daily run",
    **others: object,
) -> TargetGroup:
    """A streak whose levels l1, l2, … are reached after so many cycles; level ids from 901."""
    made = tuple(
        StreakLevel(900 + number, f"l{number}", count, (POINTS,))
        for number, count in enumerate(levels, 1)
    )
    return milestone(tracking_type=tracking_type, name=name, levels=made, **others)  # type: ignore[arg-type]


def cyclic(*, evaluation_type: str = CYCLIC, **others: object) -> TargetGroup:
    return milestone(evaluation_type=evaluation_type, **others)  # type: ignore[arg-type]


def with_periods(group: TargetGroup, periods: Iterable[Period], asked: int = 1000) -> TargetGroup:
    """The group after an edit of its cycles; every target asks for `asked` in each."""
    in_order = tuple(sorted(periods, key=lambda period: period.starts_at))
    targets = (replace(target, values=values_of(in_order, asked)) for target in group.targets)
    return replace(group, periods=in_order, targets=tuple(targets))


def definitions(*groups: TargetGroup) -> Definitions:
    return Definitions(1001, 1, "UTC", {group.id: group for group in groups})


def code(outcome: int | Refusal) -> int:
    """The error's number; 0 for accepted."""
    return outcome.error.code if isinstance(outcome, Refusal) else 0


@dataclass
class Rows:
    """The tables: `decide` loads a batch's members from them and saves what the batch changed."""

    defined: Definitions
    customers: frozenset[int] = frozenset({CUSTOMER})
    stints: dict[tuple[int, int, int], Stint] = field(default_factory=dict)
    """By (customer id, target id, stint number)."""
    enrolment_ids: dict[tuple[int, int], int] = field(default_factory=dict)
    progress: dict[tuple[int, int, int], Progress] = field(default_factory=dict)
    """By (customer id, target id, period id)."""
    rewards: list[tuple[int, Reward]] = field(default_factory=list)
    journal: list[tuple[int, Entry]] = field(default_factory=list)

    def copy(self) -> Rows:
        return replace(
            self,
            stints=dict(self.stints),
            enrolment_ids=dict(self.enrolment_ids),
            progress=dict(self.progress),
            rewards=list(self.rewards),
            journal=list(self.journal),
        )

    def enrolment(self, customer: int = CUSTOMER, target: int = TARGET) -> Enrolment:
        stints = sorted(key for key in self.stints if key[:2] == (customer, target))
        progress = {
            key[2]: row for key, row in self.progress.items() if key[:2] == (customer, target)
        }
        found = self.enrolment_ids.get((customer, target))
        return Enrolment(found, tuple(self.stints[key] for key in stints), progress)

    def load(self) -> Members:
        enrolments = {key: self.enrolment(*key) for key in self.enrolment_ids}
        return Members(dict.fromkeys(self.customers, 0), enrolments)

    def decide(self, commands: Iterable[Enrol | Unenrol], now: datetime) -> list[int]:
        """Run the commands as one batch; an error's number for each, 0 for accepted."""
        members = self.load()
        codes = [code(apply(self.defined, members, command, now)) for command in commands]
        self.save(members)
        return codes

    def save(self, members: Members) -> None:
        for customer, changes in members.changes.items():
            assert len(changes.journal) == len(changes.request_ids)
            for (target, number), stint in changes.stints.items():
                if (customer, target) not in self.enrolment_ids:
                    self.enrolment_ids[customer, target] = 1001 + len(self.enrolment_ids)
                    assert target not in changes.enrolment_ids
                    # The store takes a new id per row: two first rows would get two.
                    assert [key for key in changes.stints if key[0] == target] == [(target, 1)]
                else:
                    # Nor would an enrolment keep its id if the rules forgot to say it.
                    assert changes.enrolment_ids[target] == self.enrolment_ids[customer, target]
                self.stints[customer, target, number] = stint
            for (target, period), row in changes.progress.items():
                self.progress[customer, target, period] = row
            self.rewards.extend((customer, reward) for reward in changes.rewards)
            self.journal.extend((customer, entry) for entry in changes.journal)
        # What a batch goes on with is what the next one loads.
        for key, enrolment in members.enrolments.items():
            assert replace(enrolment, id=self.enrolment_ids[key]) == self.enrolment(*key)


class Story:
    """One customer in one target, told in cycle names; every call is a batch of its own."""

    def __init__(self, group: TargetGroup, now: datetime = FIRST_DAY) -> None:
        self.rows = Rows(definitions(group))
        self.now = now

    @property
    def group(self) -> TargetGroup:
        return self.rows.defined.groups[GROUP]

    @property
    def enrolment(self) -> Enrolment:
        return self.rows.enrolment()

    def edit(self, group: TargetGroup) -> None:
        self.rows.defined = definitions(group)

    def enrol(
        self, name: str | None = None, balance: int | None = None, *, reset: bool = False
    ) -> int:
        command = Enrol(GROUP, TARGET, CUSTOMER, name, balance, reset)
        return self.rows.decide([command], self.now)[0]

    def unenrol(self) -> int:
        return self.rows.decide([Unenrol(GROUP, TARGET, CUSTOMER)], self.now)[0]

    def collect(self, name: str, amount: int) -> None:
        """Add to a cycle's value as an accepted activity would; for a streak, in its attempt."""
        period = self.group.periods_by_ref_code[name]
        attempt = self.enrolment.attempt if self.group.is_streak else self.attempt(name)
        before = self.enrolment.progress.get(period.id)
        counted = before is not None and before.attempt == attempt
        value = Decimal(amount) + (before.value if before is not None and counted else 0)
        asked = self.group.targets[0].values[period.id].value
        self.rows.progress[CUSTOMER, TARGET, period.id] = Progress(
            period.id, attempt, value, self.now if value >= asked else None
        )

    @property
    def covered(self) -> str:
        """The cycles that the customer is enrolled in, such as `c2 c3`."""
        group, enrolment = self.group, self.enrolment
        return " ".join(p.ref_code for p in group.periods if enrolled_in(group, enrolment, p))

    def row(self, name: str) -> Progress | None:
        return self.enrolment.progress.get(self.group.periods_by_ref_code[name].id)

    def value(self, name: str) -> int:
        row = self.row(name)
        return int(row.value) if row is not None else 0

    def attempt(self, name: str) -> int:
        row = self.row(name)
        return row.attempt if row is not None else 1

    def achieved(self, name: str) -> bool:
        row = self.row(name)
        return row is not None and row.achieved_at is not None

    @property
    def rewards(self) -> list[tuple[str, int, str]]:
        """(cycle, attempt, reward's name) of each grant, in order."""
        periods = self.group.periods_by_id
        return [(periods[r.period_id].ref_code, r.attempt, r.name) for _, r in self.rows.rewards]

    @property
    def journal(self) -> list[Entry]:
        return [entry for _, entry in self.rows.journal]

    @property
    def reasons(self) -> list[str]:
        return [entry.reason for entry in self.journal]
