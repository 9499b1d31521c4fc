"""Enrol, unenrol, re-enrol, collect, edit and wait, in any order, against a model that writes it all down.

The model knows no stints. It keeps, cycle by cycle, what contract §4 says of a customer: whether they
are in it, its value and attempt, and for a streak whether it was met or missed in which attempt.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from milepost.rules.definitions import Period
from milepost.rules.enrolment import Enrol, Unenrol
from milepost.rules.streak import run
from tests.rules.samples import (
    CUSTOMER,
    FIRST_DAY,
    GROUP,
    POINTS,
    TARGET,
    Rows,
    Story,
    cyclic,
    day,
    definitions,
    milestone,
    streak,
    with_periods,
)

ASKED = 1000
ACCEPTED, PERIOD_NOT_FOUND, ALREADY_ENROLLED, NOT_ENROLLED = 0, 310019, 310119, 310126

KINDS = ("IMMEDIATE", "PERIOD_END", "STREAKS", "NON_CONTINUOUS_STREAKS")
NAMES = st.sampled_from([None, "", " ", "c1", "c2", "c3", "c4", "c5", "c6", "C1", "none such"])
BALANCES = st.sampled_from([None, None, 0, 150, ASKED - 1, ASKED, 10**15])
ENROLS = st.builds(Enrol, *map(st.just, (GROUP, TARGET, CUSTOMER)), NAMES, BALANCES, st.booleans())
UNENROLS = st.just(Unenrol(GROUP, TARGET, CUSTOMER))


def at(hour: int) -> datetime:
    return FIRST_DAY + timedelta(hours=hour)


class Model:
    """One customer in one group, in whole hours; cycles by their place from 0."""

    def __init__(self, kind: str, bounds: list[tuple[int, int]]) -> None:
        self.streak = "STREAKS" in kind
        self.continuous = kind == "STREAKS"
        self.immediate = kind == "IMMEDIATE"
        self.bounds = bounds
        self.hour = 0
        self.been_enrolled = False
        self.enrolled = False
        self.inside: set[int] = set()
        """The cycles that the customer is in, ended ones that were not left included."""
        self.values: dict[int, int] = {}
        self.attempts: dict[int, int] = {}
        self.balances: dict[tuple[int, int], int] = {}
        """By (attempt, cycle)."""
        self.streak_attempt = 1
        self.met: set[tuple[int, int]] = set()
        """(attempt, cycle) of what is achieved."""
        self.in_at_end: dict[int, int] = {}
        """The streak attempt of each cycle that the customer was in when it ended."""
        self.granted: list[tuple[int, int]] = []
        """(cycle, attempt) of each reward that a balance earned, in order."""

    def ended(self, cycle: int) -> bool:
        return self.hour >= self.bounds[cycle][1]

    def attempt(self, cycle: int) -> int:
        return self.streak_attempt if self.streak else self.attempts.get(cycle, 1)

    def wait(self, hour: int) -> None:
        for cycle, (_, end) in enumerate(self.bounds):
            if self.hour < end <= hour and cycle in self.inside:
                self.in_at_end[cycle] = self.streak_attempt
        self.hour = hour

    def add_cycle(self, start: int, end: int) -> None:
        self.bounds.append((start, end))
        if self.enrolled:
            self.inside.add(len(self.bounds) - 1)

    def enrol(self, name: str | None, balance: int | None, *, reset: bool) -> int:
        open_cycles = [cycle for cycle in range(len(self.bounds)) if not self.ended(cycle)]
        if not self.streak and name is not None and name.strip():
            open_cycles = [cycle for cycle in open_cycles if f"c{cycle + 1}" == name]
        if not open_cycles:
            return PERIOD_NOT_FOUND
        chosen = open_cycles[0]
        if self.enrolled and chosen in self.inside:
            return ALREADY_ENROLLED
        again = self.been_enrolled and not self.enrolled
        self.been_enrolled = self.enrolled = True
        self.inside |= set(range(chosen, len(self.bounds)))
        if self.streak:
            if again and reset:
                self.streak_attempt += 1
                self.values = {c: value for c, value in self.values.items() if self.ended(c)}
        elif balance is not None:
            if again or chosen in self.values:
                self.attempts[chosen] = self.attempt(chosen) + 1
            self.values[chosen] = self.balances[self.attempt(chosen), chosen] = balance
            if balance >= ASKED:
                # What was achieved before was so in an earlier attempt: nothing is earned twice.
                assert (self.attempt(chosen), chosen) not in self.met
                self.met.add((self.attempt(chosen), chosen))
                if self.immediate:
                    self.granted.append((chosen, self.attempt(chosen)))
        return ACCEPTED

    def unenrol(self) -> int:
        left = {cycle for cycle in self.inside if not self.ended(cycle)}
        if not self.enrolled or not left:
            return NOT_ENROLLED
        self.inside -= left
        self.enrolled = False
        return ACCEPTED

    def collectable(self) -> list[int]:
        """Begun cycles that the customer is in and that count for the attempt of today."""
        return [
            cycle
            for cycle in sorted(self.inside)
            if self.bounds[cycle][0] <= self.hour
            and (
                not self.streak
                or self.in_at_end.get(cycle, self.streak_attempt) == self.streak_attempt
            )
        ]

    def collect(self, cycle: int, amount: int) -> None:
        self.values[cycle] = self.values.get(cycle, 0) + amount
        if self.values[cycle] >= ASKED:
            self.met.add((self.attempt(cycle), cycle))

    def facts(self, attempt: int | None = None) -> str:
        """The cycles of a streak's attempt, else the newest, that matter to it: M met, x missed."""
        attempt = attempt or self.streak_attempt
        told = ""
        for cycle in range(len(self.bounds)):
            if (attempt, cycle) in self.met:
                told += "M"
            elif self.in_at_end.get(cycle) == attempt:
                told += "x"
        return told


class EnrolmentMachine(RuleBasedStateMachine):
    """The rules and the model, told the same."""

    @initialize(
        kind=st.sampled_from(KINDS),
        lengths=st.lists(st.integers(1, 48), min_size=1, max_size=5),
        gap=st.integers(0, 5),
        start=st.integers(-5, 5),
        data=st.data(),
    )
    def define(
        self, kind: str, lengths: list[int], gap: int, start: int, data: st.DataObject
    ) -> None:
        bounds = []
        for length in lengths:
            bounds.append((start, start + length))
            start += length + gap
        self.model, others = self.choose(kind, bounds, data)
        self.model.hour = -6
        if self.model.streak:
            group = streak(tracking_type=kind, rewards=(POINTS,))
        else:
            group = milestone(reward_allocation=kind, rewards=(POINTS,))
        self.story = Story(replace(group, **others), at(-6))
        self.draw_periods()

    def choose(
        self, kind: str, bounds: list[tuple[int, int]], data: st.DataObject
    ) -> tuple[Model, dict[str, Any]]:
        """The model, and what else the group is made with."""
        return Model(kind, bounds), {}

    def draw_periods(self) -> None:
        """Make the story's cycles those of the model; ids and numbers stay."""
        periods = [
            Period(GROUP * 100 + number, number, f"c{number}", at(start), at(end))
            for number, (start, end) in enumerate(self.model.bounds, 1)
        ]
        self.story.edit(with_periods(self.story.group, periods, ASKED))

    def tell_model(self, command: Enrol | Unenrol) -> int:
        if isinstance(command, Unenrol):
            return self.model.unenrol()
        reset = command.reset_streak_status
        return self.model.enrol(command.period_name, command.initial_balance, reset=reset)

    @rule(commands=st.lists(st.one_of(ENROLS, UNENROLS), min_size=1, max_size=3))
    def command(self, commands: list[Enrol | Unenrol]) -> None:
        one_by_one = self.story.rows.copy()
        singly = [one_by_one.decide([command], self.story.now)[0] for command in commands]
        codes = self.story.rows.decide(commands, self.story.now)
        assert codes == singly == [self.tell_model(command) for command in commands]
        assert self.story.rows.told() == one_by_one.told()

    @precondition(lambda self: self.model.enrolled)
    @rule(balance=BALANCES, reset=st.booleans())
    def leave_and_return(self, balance: int | None, reset: bool) -> None:
        again = Enrol(GROUP, TARGET, CUSTOMER, None, balance, reset)
        self.command([Unenrol(GROUP, TARGET, CUSTOMER), again])

    @rule(hours=st.integers(0, 30))
    def wait(self, hours: int) -> None:
        self.model.wait(self.model.hour + hours)
        self.story.now = at(self.model.hour)

    @rule(to_end=st.booleans(), data=st.data())
    def wait_for_a_bound(self, to_end: bool, data: st.DataObject) -> None:
        ahead = sorted({b[to_end] for b in self.model.bounds if b[to_end] > self.model.hour})
        if ahead:
            self.model.wait(data.draw(st.sampled_from(ahead[:2])))
            self.story.now = at(self.model.hour)

    @precondition(lambda self: self.model.collectable())
    @rule(amount=st.sampled_from([1, 250, 600, ASKED]), data=st.data())
    def collect(self, amount: int, data: st.DataObject) -> None:
        cycle = data.draw(st.sampled_from(self.model.collectable()))
        self.model.collect(cycle, amount)
        self.story.collect(f"c{cycle + 1}", amount)

    @rule(data=st.data())
    def move_bounds(self, data: st.DataObject) -> None:
        """Move the end of a running cycle, or both bounds of one that has not begun."""
        model = self.model
        cycle = data.draw(st.integers(0, len(model.bounds) - 1))
        if model.ended(cycle):
            return
        start, _ = model.bounds[cycle]
        latest = model.bounds[cycle + 1][0] if cycle + 1 < len(model.bounds) else start + 60
        if start > model.hour:
            earliest = model.bounds[cycle - 1][1] if cycle else start - 10
            start = data.draw(st.integers(max(earliest, model.hour), latest - 1))
        first_end = max(start, model.hour) + 1
        if first_end <= latest:
            model.bounds[cycle] = (start, data.draw(st.integers(first_end, latest)))
            self.draw_periods()

    @precondition(lambda self: len(self.model.bounds) < 6)
    @rule(gap=st.integers(0, 5), hours=st.integers(1, 48))
    def add_cycle(self, gap: int, hours: int) -> None:
        start = max(self.model.bounds[-1][1], self.model.hour) + gap
        self.model.add_cycle(start, start + hours)
        self.draw_periods()

    @invariant()
    def the_customer_is_in_the_same_cycles(self) -> None:
        assert self.story.covered == " ".join(
            f"c{cycle + 1}" for cycle in sorted(self.model.inside)
        )

    @invariant()
    def values_attempts_and_achievements_are_the_same(self) -> None:
        model, story = self.model, self.story
        current = story.enrolment.attempt
        assert current == model.streak_attempt
        for cycle in range(len(model.bounds)):
            row = story.row(f"c{cycle + 1}")
            if model.streak and row is not None and row.attempt < current:
                # Of an earlier attempt: it counts for nothing in this one.
                assert (current, cycle) not in model.met
                continue
            assert (row.value if row else 0) == model.values.get(cycle, 0)
            assert row is None or row.attempt == model.attempt(cycle)
            achieved = row is not None and row.achieved_at is not None
            assert achieved == ((model.attempt(cycle), cycle) in model.met)

    @invariant()
    def the_streaks_counter_is_the_same(self) -> None:
        if not self.model.streak:
            return
        found = run(self.story.group, self.story.enrolment, self.story.now)
        facts = self.model.facts()
        if self.model.continuous:
            assert (found.count, found.dropped) == (
                len(facts.rpartition("x")[2]),
                facts[-1:] == "x",
            )
        else:
            assert (found.count, found.dropped) == (facts.count("M"), False)
        assert len(found.met) == facts.count("M")

    @invariant()
    def rewards_are_granted_once_per_cycle_and_attempt(self) -> None:
        granted = [(int(name[1:]) - 1, attempt) for name, attempt, _ in self.story.rewards]
        assert granted == self.model.granted
        assert len(set(granted)) == len(granted)

    @invariant()
    def there_are_never_more_stints_than_cycles_plus_one(self) -> None:
        numbers = [stint.number for stint in self.story.enrolment.stints]
        assert numbers == list(range(1, len(numbers) + 1))
        assert len(numbers) <= len(self.model.bounds) + 1


def test_enrolments_in_any_order_agree_with_the_model() -> None:
    run_state_machine_as_test(
        EnrolmentMachine, settings=settings(max_examples=300, stateful_step_count=25, deadline=None)
    )


GROUPS = (milestone(), streak(group_id=8), cyclic(group_id=9))
MANY = st.lists(
    st.one_of(
        st.builds(
            lambda group, *rest: Enrol(group, group * 10, *rest),
            st.sampled_from([7, 8, 9, 10]),
            st.sampled_from([1, 2, 3]),
            NAMES,
            BALANCES,
            st.booleans(),
        ),
        st.builds(
            lambda group, customer: Unenrol(group, group * 10, customer),
            st.sampled_from([7, 8, 9, 10]),
            st.sampled_from([1, 2, 3]),
        ),
    ),
    max_size=12,
)


@settings(max_examples=100, deadline=None)
@given(before=MANY, batch=MANY, hours=st.integers(0, 1300))
def test_a_batch_of_many_customers_and_targets_is_the_same_as_one_command_at_a_time(
    before: list[Enrol | Unenrol], batch: list[Enrol | Unenrol], hours: int
) -> None:
    together = Rows(definitions(*GROUPS), frozenset({1, 2}))
    together.decide(before, day(5))
    singly = together.copy()
    now = day(5) + timedelta(hours=hours)
    codes = together.decide(batch, now)
    assert codes == [singly.decide([command], now)[0] for command in batch]
    assert together.told() == singly.told()
    assert together.enrolment_ids.keys() == singly.enrolment_ids.keys()
