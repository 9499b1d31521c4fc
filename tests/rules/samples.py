"""Short definitions, and rows kept as the store keeps them, for the tests of the rules.

Cycles are called c1, c2, …; each takes ten days and c1 begins on day 0, so c3 runs from day 20 to 30.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from milepost.errors import INVALID_INPUT, Refusal
from milepost.rules.activities import (
    EVENT,
    RETURN,
    RETURN_BILL,
    TRANSACTION,
    TRANSACTION_ADD,
    Activity,
    LineItem,
)
from milepost.rules.coverage import Enrolment, Members, enrolled_in
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
from milepost.rules.effects import (
    Changes,
    Effect,
    Entry,
    LevelAchievement,
    OwnCycleEnd,
    Progress,
    Reward,
    Stint,
)
from milepost.rules.enrolment import Enrol, Unenrol, apply
from milepost.rules.matching import Evaluate
from milepost.rules.recording import History, RecordActivity, Recorded, progress_needed, record
from milepost.rules.returns import Received

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


def with_target(group: TargetGroup, **others: object) -> TargetGroup:
    """The group with its target changed."""
    return replace(group, targets=(replace(group.targets[0], **others),))  # type: ignore[arg-type]


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


def unified(*members: str, combination: str = "ALL", **others: object) -> TargetGroup:
    """A group whose members each count one event; target ids 71, 72, … in the order of `members`."""
    group = milestone(tracking_type="UNIFIED", combination_type=combination, **others)  # type: ignore[arg-type]
    first = replace(group.targets[0], target_entity="EVENT", target_type="COUNT", rewards=())
    targets = (
        replace(first, id=first.id + number, name=event_name, event_name=event_name)
        for number, event_name in enumerate(members, 1)
    )
    return replace(group, targets=tuple(targets))


def capping(*, group_id: int = 9, asked: int = 120, **target: object) -> TargetGroup:
    """A ceiling on the promotional points of everybody."""
    group = milestone(
        group_id=group_id, asked=asked, tracking_type="CAPPING", name="Ceiling", rewards=()
    )
    kind: dict[str, object] = {
        "target_entity": "POINTS",
        "target_type": "PROMOTIONAL_POINTS",
        "enrolment_method": "TRANSACTION",
    }
    return with_target(group, **{**kind, **target})


def definitions(*groups: TargetGroup, returns_adjust_targets: bool = True) -> Definitions:
    found = {group.id: group for group in groups}
    return Definitions(1001, 1, "UTC", found, returns_adjust_targets)


def item(sku: str, net: float = 0, quantity: float = 1, **attributes: object) -> LineItem:
    """A line whose gross amount is twice its net amount."""
    return LineItem(sku, exact(quantity), exact(net), exact(net) * 2, attributes)


def sale(
    activity_id: str,
    net: float,
    at: float | datetime = 0,
    *items: LineItem,
    gross: float | None = None,
    customer: int = CUSTOMER,
    **others: object,
) -> Activity:
    """A bill of day `at`; its gross amount is the net amount where none is given."""
    amounts = (exact(net), exact(net if gross is None else gross))
    made = Activity(
        activity_id, customer, TRANSACTION, instant(at), TRANSACTION_ADD, *amounts, line_items=items
    )  # fmt: skip
    return replace(made, **others)  # type: ignore[arg-type]


def event(
    activity_id: str,
    name: str,
    at: float | datetime = 0,
    customer: int = CUSTOMER,
    **attributes: object,
) -> Activity:
    return Activity(activity_id, customer, EVENT, instant(at), name, attributes=attributes)


def refund(
    activity_id: str,
    of: str,
    net: float,
    at: float | datetime = 0,
    *items: LineItem,
    gross: float | None = None,
    customer: int = CUSTOMER,
    full: bool = False,
) -> Activity:
    """A return of day `at` of the bill with the id `of`."""
    amounts = (exact(net), exact(net if gross is None else gross))
    return Activity(
        activity_id, customer, RETURN, instant(at), RETURN_BILL, *amounts,
        line_items=items, return_of=of, full=full,
    )  # fmt: skip


def exact(number: float) -> Decimal:
    return Decimal(str(number))


def instant(at: float | datetime) -> datetime:
    return at if isinstance(at, datetime) else day(at)


Condition = Callable[[Activity, LineItem | None], bool | Refusal]
FAILURE = Refusal(INVALID_INPUT, "The expression failed.")
CONDITIONS: Mapping[str, Condition] = {
    "true": lambda activity, item: True,
    "big": lambda activity, item: activity.net_amount >= 100,
    "web": lambda activity, item: activity.attributes.get("channel") == "web",
    "book": lambda activity, item: item is not None and item.sku == "book",
    "by Borges": lambda activity, item: item is not None and item.attributes["author"] == "Borges",
    "fails": lambda activity, item: FAILURE,
}
"""Expressions by name, in place of the language they are written in."""


def evaluate(expression: str, activity: Activity, item: LineItem | None) -> bool | Refusal:
    return CONDITIONS[expression](activity, item)


def code(outcome: int | Recorded | Refusal) -> int:
    """The error's number; 0 for accepted."""
    return outcome.error.code if isinstance(outcome, Refusal) else 0


@dataclass
class Rows:
    """The tables: a batch loads what it needs from them, decides, and saves what it changed."""

    defined: Definitions
    customers: frozenset[int] = frozenset({CUSTOMER})
    stints: dict[tuple[int, int, int], Stint] = field(default_factory=dict)
    """By (customer id, target id, stint number)."""
    enrolment_ids: dict[tuple[int, int], int] = field(default_factory=dict)
    progress: dict[tuple[int, int, int], Progress] = field(default_factory=dict)
    """By (customer id, target id, period id)."""
    levels: dict[tuple[int, int, int, int], LevelAchievement] = field(default_factory=dict)
    """By (customer id, target id, level id, attempt)."""
    cycle_ends: dict[tuple[int, int, int], OwnCycleEnd] = field(default_factory=dict)
    """By (customer id, target id, period id)."""
    received: dict[tuple[int, str], Received] = field(default_factory=dict)
    """By (customer id, activity id), in the order of arrival."""
    rewards: list[tuple[int, Reward]] = field(default_factory=list)
    journal: list[tuple[int, Entry]] = field(default_factory=list)

    def copy(self) -> Rows:
        return replace(
            self,
            stints=dict(self.stints),
            enrolment_ids=dict(self.enrolment_ids),
            progress=dict(self.progress),
            levels=dict(self.levels),
            cycle_ends=dict(self.cycle_ends),
            received=dict(self.received),
            rewards=list(self.rewards),
            journal=list(self.journal),
        )

    def told(self) -> list[object]:
        """All that is stored but the ids of enrolments, for comparison: the logs customer by customer."""
        return [
            self.stints,
            self.progress,
            self.levels,
            self.cycle_ends,
            self.received,
            sorted(((c, asdict(reward)) for c, reward in self.rewards), key=lambda row: row[0]),
            sorted(self.journal, key=lambda row: row[0]),
        ]

    def enrolment(self, customer: int = CUSTOMER, target: int = TARGET) -> Enrolment:
        pair = (customer, target)
        stints = sorted(key for key in self.stints if key[:2] == pair)
        return Enrolment(
            self.enrolment_ids.get(pair),
            tuple(self.stints[key] for key in stints),
            {key[2]: row for key, row in self.progress.items() if key[:2] == pair},
            {key[2:]: row for key, row in self.levels.items() if key[:2] == pair},
        )

    def load(self) -> Members:
        keys = self.enrolment_ids.keys() | {key[:2] for key in self.progress}
        enrolments = {key: self.enrolment(*key) for key in keys}
        return Members(dict.fromkeys(self.customers, 0), enrolments)

    def load_history(self, activities: Sequence[Activity]) -> History:
        """What the store loads for a batch of activities: of progress, no more than is needed."""
        history = History(dict.fromkeys(self.customers, 0), {})
        for key in self.enrolment_ids:
            history.enrolments[key] = replace(self.enrolment(*key), progress={}, levels={})
        ids = {(each.customer_id, each.id) for each in activities}
        returned = {(a.customer_id, a.return_of) for a in activities if a.return_of is not None}
        for (customer, name), received in self.received.items():
            if (customer, name) in ids | returned:
                history.received[customer, name] = received
            original = (customer, received.activity.return_of or "")
            if original in returned:
                history.returns.setdefault(original, []).append(received)
        pairs, cycles, streaks = progress_needed(self.defined, history, activities)
        for cycle, row in self.progress.items():
            if cycle[:2] in pairs or cycle in cycles:
                enrolment = history.enrolments.setdefault(cycle[:2], Enrolment())
                enrolment.progress[cycle[2]] = row
        for pair in streaks & history.enrolments.keys():
            history.enrolments[pair].levels.update(self.enrolment(*pair).levels)
        return history

    def decide(self, commands: Iterable[Enrol | Unenrol], now: datetime) -> list[int]:
        """Run the commands as one batch; an error's number for each, 0 for accepted."""
        members = self.load()
        codes = [code(apply(self.defined, members, command, now, evaluate)) for command in commands]
        self.save(members)
        return codes

    def record(
        self, activities: Sequence[Activity], now: datetime, evaluate: Evaluate = evaluate
    ) -> list[Recorded | Refusal]:
        """Take in the activities as one batch."""
        history = self.load_history(activities)
        outcomes = [
            record(self.defined, history, RecordActivity(each), now, evaluate)
            for each in activities
        ]
        self.save(history)
        return outcomes

    def save(self, members: Members) -> None:
        for customer, changes in members.changes.items():
            assert len(changes.journal) == len(changes.origins)
            self.save_rows(customer, changes)
            for activity, place in changes.activities:
                effects = tuple(changes.journal[place].effects)
                # Exactly once: the activity's id is a key.
                assert (customer, activity.id) not in self.received
                self.received[customer, activity.id] = Received(activity, effects)
            self.rewards.extend((customer, reward) for reward in changes.rewards)
            self.journal.extend((customer, entry) for entry in changes.journal)
        keys = [
            (c, r.target_id, r.streak_level_id or -(r.period_id or 0), r.promotion_id, r.paid_for,
             r.attempt, r.ordinal)
            for c, r in self.rewards
        ]  # fmt: skip
        assert len(set(keys)) == len(keys)
        # What a batch goes on with is what the next one loads.
        for key, enrolment in members.enrolments.items():
            stored = self.enrolment(*key)
            assert enrolment.stints == stored.stints
            assert enrolment.progress.items() <= stored.progress.items()
            assert enrolment.levels.items() <= stored.levels.items()

    def save_rows(self, customer: int, changes: Changes) -> None:
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
        for (target, level, attempt), achievement in changes.levels.items():
            self.levels[customer, target, level, attempt] = achievement
        for end in changes.cycle_ends:
            self.cycle_ends[customer, end.target_id, end.period_id] = end


class Story:
    """One customer in one target, told in cycle names; every call is a batch of its own."""

    def __init__(
        self,
        group: TargetGroup,
        now: datetime = FIRST_DAY,
        *others: TargetGroup,
        returns_adjust_targets: bool = True,
    ) -> None:
        defined = definitions(group, *others, returns_adjust_targets=returns_adjust_targets)
        self.rows = Rows(defined)
        self.now = now

    @property
    def group(self) -> TargetGroup:
        return self.rows.defined.groups[GROUP]

    @property
    def enrolment(self) -> Enrolment:
        return self.rows.enrolment()

    def edit(self, group: TargetGroup) -> None:
        groups = {**self.rows.defined.groups, group.id: group}
        self.rows.defined = replace(self.rows.defined, groups=groups)

    def enrol(
        self,
        name: str | None = None,
        balance: int | None = None,
        *,
        reset: bool = False,
        target: int = TARGET,
        customer: int = CUSTOMER,
    ) -> int:
        command = Enrol(target // 10, target, customer, name, balance, reset)
        return self.rows.decide([command], self.now)[0]

    def unenrol(self, target: int = TARGET) -> int:
        return self.rows.decide([Unenrol(target // 10, target, CUSTOMER)], self.now)[0]

    def record(self, *activities: Activity) -> list[Recorded | Refusal]:
        """Take in activities as one batch."""
        return self.rows.record(activities, self.now)

    def spend(self, amount: float, at: float | datetime | None = None) -> str:
        """Buy for `amount`, now or on an earlier day that is told now; why it counts, or does not.

        The bills are called tx-1, tx-2, …
        """
        name = f"tx-{len(self.rows.received) + 1}"
        (outcome,) = self.record(sale(name, amount, self.now if at is None else at))
        assert isinstance(outcome, Recorded), outcome
        return self.reason(name)

    def give_back(self, of: str, amount: float, *items: LineItem, **others: Any) -> str:
        """Return part of a bill now; why it counts, or does not. Returns are numbered with the bills."""
        name = f"rt-{len(self.rows.received) + 1}"
        (outcome,) = self.record(refund(name, of, amount, self.now, *items, **others))
        assert isinstance(outcome, Recorded), outcome
        return self.reason(name)

    def effects(self, name: str) -> tuple[Effect, ...]:
        """What an activity did, target by target."""
        return self.rows.received[CUSTOMER, name].effects

    def reason(self, name: str) -> str:
        """The reason code of what an activity did in the story's target; blank if that is nothing."""
        return "".join(each.reason for each in self.effects(name) if each.target_id == TARGET)

    def collect(self, name: str, amount: int) -> None:
        """Add to a cycle's value, whatever its dates; for a streak, in its attempt."""
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
        return [
            (periods[r.period_id or 0].ref_code, r.attempt, r.name) for _, r in self.rows.rewards
        ]

    @property
    def level_rewards(self) -> list[tuple[str, int]]:
        """(level, attempt) of each reward of a streak level, in order."""
        names = {level.id: level.name for level in self.group.levels}
        return [
            (names[r.streak_level_id], r.attempt) for _, r in self.rows.rewards if r.streak_level_id
        ]

    @property
    def levels(self) -> str:
        """The levels achieved in the streak's attempt, such as `l1 l2`."""
        levels, attempt = self.enrolment.levels, self.enrolment.attempt
        return " ".join(
            level.name
            for level in self.group.levels
            if (known := levels.get((level.id, attempt))) is not None
            and known.achieved_at is not None
        )

    @property
    def points(self) -> Decimal:
        """All points granted."""
        return sum((r.value for _, r in self.rows.rewards if r.type == "POINTS"), Decimal(0))

    @property
    def journal(self) -> list[Entry]:
        return [entry for _, entry in self.rows.journal]

    @property
    def reasons(self) -> list[str]:
        return [entry.reason for entry in self.journal]
