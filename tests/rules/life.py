"""Whole lives of one customer, by the rules alone: what is stored, and what the journal says of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from milepost.actions.expressions import evaluate
from milepost.rules.activities import EVENT, RETURN, RETURN_BILL, TRANSACTION, Activity
from milepost.rules.coverage import Enrolment
from milepost.rules.definitions import PERIOD_AGNOSTIC, Definitions, StreakLevel, TargetGroup
from milepost.rules.due import due
from milepost.rules.effects import Entry, OwnCycleEnd
from milepost.rules.enrolment import Enrol, Unenrol, apply
from milepost.rules.rebuild import Fold, Grant, State, compare, fold, grant_key
from milepost.rules.recording import History, RecordActivity, record
from milepost.rules.returns import Received
from milepost.rules.settlement import prepare, settle
from milepost.store.journal import decode_details, encode_details
from tests.rules.samples import (
    BADGE,
    CUSTOMER,
    FIRST_DAY,
    POINTS,
    cyclic,
    definitions,
    milestone,
    streak,
)


def targets_of(group: TargetGroup, **others: Any) -> TargetGroup:
    """The group with each target changed."""
    return replace(group, targets=tuple(replace(target, **others) for target in group.targets))


def unified(group_id: int) -> TargetGroup:
    """A unified group of two targets, both to be met."""
    group = milestone(
        group_id=group_id, name="Both", asked=200, tracking_type="UNIFIED", combination_type="ALL"
    )
    (first,) = group.targets
    second = replace(first, id=first.id + 1, name="Other", target_type="COUNT")
    return replace(group, targets=(first, second))


DEFINED = definitions(
    targets_of(milestone(asked=300), enrolment_method="TRANSACTION"),
    milestone(group_id=8, name="Later", asked=300, rewards=(), carry_returns_forward=True),
    milestone(
        group_id=9,
        name="End",
        asked=200,
        reward_allocation="PERIOD_END",
        settlement_delay_days=3,
        rewards=(BADGE, POINTS),
    ),
    streak(group_id=10, asked=100),
    milestone(
        group_id=11,
        asked=100,
        tracking_type="NON_CONTINUOUS_STREAKS",
        name="Loose",
        levels=(StreakLevel(911, "m1", 3, (BADGE,)),),
    ),
    unified(12),
    targets_of(
        cyclic(group_id=13, name="Own", asked=200, frequency_type="DAILY", frequency=7),
        enrolment_method="TRANSACTION",
    ),
    cyclic(group_id=14, name="Anytime", asked=200, evaluation_type=PERIOD_AGNOSTIC),
    targets_of(
        milestone(group_id=15, name="Ceiling", asked=120, tracking_type="CAPPING", rewards=()),
        target_entity="REWARDS",
        target_type="ALL_POINTS",
        enrolment_method="TRANSACTION",
    ),
    targets_of(
        milestone(group_id=16, name="Points", asked=60, rewards=(BADGE,)),
        target_entity="REWARDS",
        target_type="PROMOTIONAL_POINTS",
    ),
    targets_of(milestone(group_id=17, name="Visits", asked=3), target_type="VISIT"),
    targets_of(
        milestone(group_id=18, name="Lowest", asked=100),
        target_entity="EVENT",
        target_type="EVENT_ATTRIBUTE",
        event_name="run",
        extended_field_info={"name": "km"},
        aggregate_window={"windowType": "MIN"},
    ),
)
TARGETS = [target.id for group in DEFINED.groups.values() for target in group.targets]
DATED = frozenset(
    target.id
    for group in DEFINED.groups.values()
    for target in group.targets
    if group.is_fixed and not group.is_streak
)


@dataclass
class Life:
    """One customer's: every step is a batch of its own, saved, and its journal folded."""

    defined: Definitions = DEFINED
    now: datetime = FIRST_DAY
    stored: State = field(default_factory=State)
    rebuilt: Fold = field(default_factory=lambda: Fold(CUSTOMER, DATED))
    received: dict[tuple[int, str], Received] = field(default_factory=dict)
    returns: dict[tuple[int, str], list[Received]] = field(default_factory=dict)
    ends: dict[tuple[int, int], OwnCycleEnd] = field(default_factory=dict)
    done: set[tuple[int, str]] = field(default_factory=set)
    ids: dict[int, int] = field(default_factory=dict)
    journal: list[Entry] = field(default_factory=list)

    def enrol(
        self,
        target: int,
        name: str | None,
        balance: int | None,
        *,
        reset: bool,
        own_value: int | None = None,
    ) -> None:
        asked = Decimal(own_value) if own_value is not None else None
        command = Enrol(target // 10, target, CUSTOMER, name, balance, reset, target_value=asked)
        self._batch(lambda history: apply(self.defined, history, command, self.now, evaluate))

    def unenrol(self, target: int) -> None:
        command = Unenrol(target // 10, target, CUSTOMER)
        self._batch(lambda history: apply(self.defined, history, command, self.now, evaluate))

    def buy(self, amount: int, days_ago: int) -> None:
        at = self.now - timedelta(days=days_ago)
        bill = Activity(
            f"tx-{len(self.received)}", CUSTOMER, TRANSACTION, at, "TransactionAdd",
            Decimal(amount), Decimal(amount),
        )  # fmt: skip
        self.receive(bill)

    def run(self, km: int, days_ago: int) -> None:
        at = self.now - timedelta(days=days_ago)
        event = Activity(
            f"ev-{len(self.received)}", CUSTOMER, EVENT, at, "run", attributes={"km": km}
        )
        self.receive(event)

    def give_back(self, place: int, amount: int, *, full: bool) -> None:
        bills = [key[1] for key, r in self.received.items() if r.activity.type == TRANSACTION]
        if bills:
            back = Activity(
                f"rt-{len(self.received)}", CUSTOMER, RETURN, self.now, RETURN_BILL,
                Decimal(amount), Decimal(amount), return_of=bills[place % len(bills)], full=full,
            )  # fmt: skip
            self.receive(back)

    def wait(self, days: float) -> None:
        until = self.now + timedelta(days=days)
        works = [each for each in due(self.defined, until) if each.key not in self.done]
        ends = [end for end in self.ends.values() if end.due_at <= until]
        for end in ends:
            del self.ends[end.target_id, end.period_id]
        self.done |= {each.key for each in works}
        self.now = until
        self._batch(
            lambda history: settle(
                self.defined, history, CUSTOMER, prepare(self.defined, works), ends, until, evaluate
            )
        )

    def receive(self, activity: Activity) -> None:
        command = RecordActivity(activity)
        self._batch(lambda history: record(self.defined, history, command, self.now, evaluate))

    def _batch(self, decide: Callable[[History], object]) -> None:
        history = History(
            {CUSTOMER: self.stored.version},
            {(CUSTOMER, target): self._enrolment(target) for target in self.ids},
            received=self.received,
            returns=self.returns,
        )
        decide(history)
        changes = history.changes.get(CUSTOMER)
        if changes is None:
            return
        self.ends |= {(end.target_id, end.period_id): end for end in changes.cycle_ends}
        if not changes.journal:
            assert not any((changes.stints, changes.progress, changes.levels, changes.rewards))
            return
        self.stored.version += 1
        for (target, number), stint in changes.stints.items():
            self.ids.setdefault(target, 1001 + len(self.ids))
            self.stored.stints[target, number] = stint
        for key, row in changes.progress.items():
            self.ids.setdefault(key[0], 1001 + len(self.ids))
            self.stored.progress[key] = row
        self.stored.levels.update(changes.levels)
        for reward in changes.rewards:
            named = grant_key(
                reward.target_id, reward.period_id, reward.streak_level_id, reward.attempt,
                reward.ordinal,
            )  # fmt: skip
            assert named not in self.stored.grants
            self.stored.grants[named] = Grant(
                reward.target_id, reward.period_id, reward.name, reward.type, reward.value,
                reward.granted_at,
            )  # fmt: skip
        for ordinal, entry in enumerate(changes.journal):
            details, effects, paid = decode_details(encode_details(entry))
            read = replace(entry, details=details, effects=effects, promotion_effects=paid)
            self.journal.append(read)
            fold(self.rebuilt, self.stored.version, ordinal, read)

    def _enrolment(self, target: int) -> Enrolment:
        stints = sorted(key for key in self.stored.stints if key[0] == target)
        return Enrolment(
            self.ids[target],
            tuple(self.stored.stints[key] for key in stints),
            {key[1]: row for key, row in self.stored.progress.items() if key[0] == target},
            {key[1:]: row for key, row in self.stored.levels.items() if key[0] == target},
        )

    @property
    def differences(self) -> list[tuple[int | None, int | None, str, str, str]]:
        """Without the customer."""
        return [
            (d.target_id, d.period_id, d.field, d.stored, d.rebuilt)
            for d in compare(self.stored, self.rebuilt, self.defined, self.now)
        ]
