"""Laws of recording: against a model that writes it all down, and whatever the batches and the order.

The model extends that of enrolments. It keeps what each sale added and what was given back of it, in
which cycle and attempt, and says with contract §4 rules 5–11 what a cycle's value is then.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule, run_state_machine_as_test

from milepost.rules.activities import Activity
from milepost.rules.definitions import CYCLIC, PERIOD_AGNOSTIC, TargetGroup
from milepost.rules.enrolment import Enrol
from milepost.rules.recording import Recorded
from tests.rules.samples import (
    CUSTOMER,
    GROUP,
    TARGET,
    Rows,
    Story,
    capping,
    code,
    cyclic,
    day,
    definitions,
    event,
    item,
    milestone,
    refund,
    sale,
    streak,
    unified,
    with_target,
)
from tests.rules.test_enrolment_model import ACCEPTED, ASKED, EnrolmentMachine, Model, at

LEVELS = (2, 4)
AMOUNTS = st.sampled_from([1, 600, ASKED, ASKED])


@dataclass
class Sale:
    """What is left of a sale; where and in which attempt it added `added`, if anywhere."""

    left: int
    cycle: int | None = None
    attempt: int = 0
    added: int = 0


class RecordingModel(Model):
    """The model of enrolments, and what is bought and given back, in whole hours."""

    def __init__(self, kind: str, bounds: list[tuple[int, int]], choices: dict[str, Any]) -> None:
        super().__init__(kind, bounds)
        self.delay_hours: int = 24 * choices["settlement_delay_days"]
        self.track: bool = choices["track_from_enrolment_date"]
        self.carry: bool = choices["carry_returns_forward"]
        self.enrolled_hour = 0
        self.since: dict[int, int] = {}
        """The hour of the latest enrolment that covers each cycle."""
        self.sales: dict[str, Sale] = {}
        self.levels: set[tuple[int, int]] = set()
        """(attempt, count) of the levels achieved."""
        self.granted_levels: list[tuple[int, int]] = []

    def closed(self, cycle: int) -> bool:
        return self.hour >= self.bounds[cycle][1] + self.delay_hours

    def attempt_in(self, cycle: int) -> int:
        """The attempt that a cycle counts for: a streak's is the one that it ended in."""
        if self.streak:
            return self.in_at_end.get(cycle, self.streak_attempt)
        return self.attempt(cycle)

    def add_cycle(self, start: int, end: int) -> None:
        super().add_cycle(start, end)
        if self.enrolled:
            self.since[len(self.bounds) - 1] = self.enrolled_hour

    def enrol(self, name: str | None, balance: int | None, *, reset: bool) -> int:
        before = self.streak_attempt
        outcome = super().enrol(name, balance, reset=reset)
        if outcome == ACCEPTED:
            self.enrolled_hour = self.hour
            open_cycles = [cycle for cycle in self.inside if not self.ended(cycle)]
            self.since |= dict.fromkeys(open_cycles, self.hour)
            if self.streak_attempt > before:
                # What the running cycle was in the attempt before is written over.
                self.met = {(a, c) for a, c in self.met if a != before or self.ended(c)}
        return outcome

    def countable(self) -> list[int]:
        """The begun cycles that the customer is in and that are open."""
        return [
            cycle
            for cycle in sorted(self.inside)
            if self.bounds[cycle][0] <= self.hour and not self.closed(cycle)
        ]

    def move(self, cycle: int, amount: int) -> None:
        """Change a cycle's value, with what follows from it."""
        attempt = self.attempt_in(cycle)
        self.values[cycle] = value = self.values.get(cycle, 0) + amount
        was_met = (attempt, cycle) in self.met
        if value >= ASKED and not was_met:
            self.met.add((attempt, cycle))
            if (self.immediate or self.streak) and (cycle, attempt) not in self.granted:
                self.granted.append((cycle, attempt))
        elif value < ASKED and was_met:
            self.met.remove((attempt, cycle))
        else:
            return
        if not self.streak:
            return
        facts = self.facts(attempt)
        runs = [facts.count("M")] if not self.continuous else map(len, facts.split("x"))
        longest = max(runs)
        for count in LEVELS:
            if was_met and longest < count:
                self.levels.discard((attempt, count))
            elif not was_met and longest >= count:
                self.levels.add((attempt, count))
                if (attempt, count) not in self.granted_levels:
                    self.granted_levels.append((attempt, count))

    def spend(self, name: str, hour: int, amount: int) -> str:
        """The reason code."""
        made = self.sales[name] = Sale(amount)
        if not self.been_enrolled:
            return ""
        cycles = [c for c, (start, end) in enumerate(self.bounds) if start <= hour < end]
        if not cycles:
            return "NO_CYCLE"
        (cycle,) = cycles
        if self.closed(cycle):
            return "CYCLE_CLOSED"
        if cycle not in self.inside:
            return "NOT_ENROLLED"
        if self.track and hour < self.since[cycle]:
            return "BEFORE_ENROLMENT"
        made.cycle, made.attempt, made.added = cycle, self.attempt_in(cycle), amount
        self.move(cycle, amount)
        return "ADDED"

    def give_back(self, of: str, amount: int) -> str | None:
        """The reason code; None if it is rejected."""
        made = self.sales[of]
        if amount > made.left:
            return None
        made.left -= amount
        if made.cycle is None:
            return ""
        cycle = made.cycle
        current = self.streak_attempt if self.streak else self.attempt(cycle)
        if made.attempt != current:
            return "EARLIER_ATTEMPT"
        rewarded = (cycle, current) in self.granted
        if self.carry and (self.closed(cycle) or rewarded):
            later = [
                each
                for each in range(cycle + 1, len(self.bounds))
                if each in self.inside
                and not self.closed(each)
                and (each, self.attempt_in(each)) not in self.granted
            ]
            if not later:
                return "CYCLE_CLOSED" if self.closed(cycle) else "ALREADY_REWARDED"
            self.move(later[0], -amount)
            return "CARRIED_FORWARD"
        if self.closed(cycle):
            return "CYCLE_CLOSED"
        if cycle not in self.inside:
            return "NOT_ENROLLED"
        self.move(cycle, -amount)
        return "RETURNED"


class RecordingMachine(EnrolmentMachine):
    """The rules and the model, told the same."""

    model: RecordingModel

    def choose(
        self, kind: str, bounds: list[tuple[int, int]], data: st.DataObject
    ) -> tuple[Model, dict[str, Any]]:
        choices = data.draw(
            st.fixed_dictionaries(
                {
                    "settlement_delay_days": st.sampled_from([0, 1, 4]),
                    "track_from_enrolment_date": st.booleans(),
                    "carry_returns_forward": st.booleans(),
                }
            )
        )
        return RecordingModel(kind, bounds, choices), choices

    def collect(self, amount: int, data: st.DataObject) -> None:
        """What is collected is spent, here."""

    @precondition(lambda self: not self.model.enrolled)
    @rule(reset=st.booleans())
    def come_in(self, reset: bool) -> None:
        self.command([Enrol(GROUP, TARGET, CUSTOMER, None, None, reset)])

    @precondition(lambda self: self.model.been_enrolled)
    @rule(amount=AMOUNTS, hours_ago=st.integers(0, 60))
    def spend(self, amount: int, hours_ago: int) -> None:
        hour = self.model.hour - hours_ago
        name = f"tx-{len(self.story.rows.received) + 1}"
        assert self.story.spend(amount, at(hour)) == self.model.spend(name, hour, amount)

    @precondition(lambda self: self.model.countable())
    @rule(amounts=st.lists(AMOUNTS, min_size=1, max_size=3), data=st.data())
    def spend_where_it_counts(self, amounts: list[int], data: st.DataObject) -> None:
        for amount in amounts:
            cycle = data.draw(st.sampled_from(self.model.countable()))
            start, end = self.model.bounds[cycle]
            hour = data.draw(st.integers(start, min(end - 1, self.model.hour)))
            self.spend(amount, self.model.hour - hour)

    @precondition(lambda self: self.model.countable())
    @rule(cycles=st.integers(1, 5), data=st.data())
    def meet_cycles(self, cycles: int, data: st.DataObject) -> None:
        """Meet this cycle and some that follow, as time goes on."""
        for _ in range(cycles):
            if self.model.countable():
                cycle = self.model.countable()[-1]
                start, end = self.model.bounds[cycle]
                self.spend(ASKED, self.model.hour - min(max(start, self.model.hour), end - 1))
            self.wait_for_a_bound(to_end=False, data=data)

    @precondition(lambda self: any(made.left for made in self.model.sales.values()))
    @rule(part=st.sampled_from([1, None, None]), data=st.data())
    def give_back(self, part: int | None, data: st.DataObject) -> None:
        sales = self.model.sales
        # Those that have something left and that counted come first, the newest of them before all.
        names = sorted(
            sales,
            key=lambda name: (not sales[name].left, sales[name].cycle is None, -int(name[3:])),
        )
        of = data.draw(st.sampled_from(names[:3]))
        amount = part or max(sales[of].left, 1)
        name = f"rt-{len(self.story.rows.received) + 1}"
        (outcome,) = self.story.record(refund(name, of, amount, self.story.now))
        reason = self.model.give_back(of, amount)
        assert isinstance(outcome, Recorded) == (reason is not None)
        assert reason is None or self.story.reason(name) == reason

    @invariant()
    def rewards_are_granted_once_per_cycle_and_attempt(self) -> None:
        granted = [
            ((r.period_id or 0) % 100 - 1, r.attempt)
            for _, r in self.story.rows.rewards
            if r.streak_level_id is None
        ]
        assert granted == self.model.granted
        assert len(set(granted)) == len(granted)

    @invariant()
    def levels_are_the_same_and_rewarded_once_per_attempt(self) -> None:
        achieved = {
            (attempt, LEVELS[level - 901])
            for (_, _, level, attempt), row in self.story.rows.levels.items()
            if row.achieved_at is not None
        }
        assert achieved == self.model.levels
        granted = [
            (r.attempt, LEVELS[r.streak_level_id - 901])
            for _, r in self.story.rows.rewards
            if r.streak_level_id is not None
        ]
        assert granted == self.model.granted_levels

    @invariant()
    def a_value_is_its_balance_and_what_was_recorded_in_its_attempt(self) -> None:
        recorded: Counter[tuple[int, int]] = Counter()
        for received in self.story.rows.received.values():
            for effect in received.effects:
                if effect.amount:
                    assert effect.period_id is not None
                    recorded[effect.attempt, effect.period_id % 100 - 1] += int(effect.amount)
        for (_, _, period), row in self.story.rows.progress.items():
            key = (row.attempt, period % 100 - 1)
            assert row.value == self.model.balances.get(key, 0) + recorded[key]


def test_activity_and_enrolments_in_any_order_agree_with_the_model() -> None:
    run_state_machine_as_test(
        RecordingMachine, settings=settings(max_examples=700, stateful_step_count=30, deadline=None)
    )


# Whatever the batches


def everything() -> tuple[TargetGroup, ...]:
    """Groups of every kind, target id = group id × 10; all listen to bills, walks or points."""
    walks: dict[str, Any] = {"target_entity": "EVENT", "event_name": "walk"}
    kilometres = {"name": "km", "aggregateWindow": {"windowType": "MAX"}}
    late: dict[str, Any] = {"settlement_delay_days": 100, "asked": 500, "cycles": 6}
    weekly: dict[str, Any] = {"frequency_type": "WEEKLY", "frequency": 1}
    return (
        milestone(group_id=7, carry_returns_forward=True, **late),
        streak(group_id=8, **late),
        streak(group_id=10, tracking_type="NON_CONTINUOUS_STREAKS", **late),
        cyclic(group_id=11, asked=500, **weekly),
        cyclic(group_id=12, asked=500, evaluation_type=PERIOD_AGNOSTIC, carry_returns_forward=True),
        with_target(milestone(group_id=13, **late), enrolment_method="TRANSACTION"),
        with_target(milestone(group_id=14, **late), target_entity="LINEITEM", expression="book"),
        with_target(
            milestone(group_id=15, time_zone="America/New_York", **{**late, "asked": 2}),
            target_type="VISIT",
        ),
        with_target(
            milestone(group_id=16, **{**late, "asked": 9}),
            **{**walks, "target_type": "EVENT_ATTRIBUTE", "extended_field_info": kilometres},
        ),
        with_target(
            streak(group_id=17, levels=(1, 2), asked=50, cycles=6),
            target_entity="POINTS",
            target_type="PROMOTIONAL_POINTS",
        ),
        with_target(
            cyclic(group_id=18, asked=120, **weekly),
            target_entity="POINTS",
            target_type="ALL_POINTS",
        ),
        capping(group_id=19, asked=170),
        replace(
            unified("TransactionAdd", "walk", group_id=20, asked=2, settlement_delay_days=100),
            carry_returns_forward=True,
        ),
    )


ENROLLED = [group_id * 10 for group_id in (7, 8, 10, 11, 12, 14, 15, 16, 17, 18)] + [201]
"""Whoever is enrolled at all: one target enrols by itself, and one member of a group is left out."""

DAYS = st.sampled_from([0, 0.5, 3, 9.99, 10, 14, 15, 19.2, 27, 33, 40])
IDS = st.sampled_from([f"a{number}" for number in range(6)])
ACTIVITIES = st.one_of(
    st.builds(
        lambda name, net, at, customer, books: sale(
            name, net, at, item("book", books), item("pen", 5), customer=customer
        ),
        IDS,
        st.sampled_from([100, 500, 500, 900]),
        DAYS,
        st.sampled_from([1, 1, 1, 2, 3]),
        st.sampled_from([0, 250, 500]),
    ),
    st.builds(lambda name, at, km: event(name, "walk", at, km=km), IDS, DAYS, st.integers(0, 9)),
    st.builds(
        lambda name, amount: event(name, "PointsEarned", 40, kind="PROMOTIONAL", amount=amount),
        IDS,
        st.sampled_from([10, 60]),
    ),
    st.builds(
        lambda name, of, net, full: refund(name, of, net, 40, full=full),
        st.sampled_from(["r1", "r2", "r3", "r4"]),
        IDS,
        st.sampled_from([50, 100, 500]),
        st.booleans(),
    ),
)
BATCHES = st.lists(st.lists(ACTIVITIES, max_size=6), min_size=1, max_size=4)
NOW = day(40)


def enrolled_everywhere() -> Rows:
    rows = Rows(definitions(*everything()), frozenset({1, 2}))
    story = Story(milestone())
    story.rows = rows
    for customer in (1, 2):
        for target in ENROLLED:
            assert story.enrol(target=target, customer=customer) == 0
    return rows


@settings(max_examples=150, deadline=None)
@given(batches=BATCHES)
def test_batches_may_be_cut_anywhere(batches: list[list[Activity]]) -> None:
    whole, cut, singly = (enrolled_everywhere() for _ in range(3))
    activities = [activity for batch in batches for activity in batch]
    outcomes = whole.record(activities, NOW)
    pieces = [outcome for batch in batches for outcome in cut.record(batch, NOW)]
    alone = [outcome for activity in activities for outcome in singly.record([activity], NOW)]
    assert told(outcomes) == told(pieces) == told(alone)
    assert whole.told() == cut.told() == singly.told()


def told(outcomes: Sequence[object]) -> list[object]:
    """What each sender is told: a status or a code, and what moved how far."""
    return [
        (
            outcome.status,
            [(e.target.id, e.period.id, e.before, e.after, e.achieved) for e in outcome.effects],
        )
        if isinstance(outcome, Recorded)
        else code(outcome)  # type: ignore[arg-type]
        for outcome in outcomes
    ]


@settings(max_examples=100, deadline=None)
@given(batches=BATCHES)
def test_everything_that_was_taken_is_a_duplicate_when_it_comes_again(
    batches: list[list[Activity]],
) -> None:
    rows = enrolled_everywhere()
    for batch in batches:
        rows.record(batch, NOW)
    before = rows.told()
    taken = [received.activity for received in rows.received.values()]
    assert rows.record(taken, NOW) == [Recorded("DUPLICATE")] * len(taken)
    assert rows.told() == before


@settings(max_examples=100, deadline=None)
@given(batches=BATCHES)
def test_a_customers_activities_move_nobody_elses_rows(batches: list[list[Activity]]) -> None:
    together, apart = enrolled_everywhere(), enrolled_everywhere()
    activities = [activity for batch in batches for activity in batch]
    together.record(activities, NOW)
    for customer in (3, 2, 1):
        apart.record([a for a in activities if a.customer_id == customer], NOW)
    assert together.told() == apart.told()


# Whatever the order: what commutes, and what does not


def standing(rows: Rows) -> object:
    """Values, achievements and days of each cycle; a number is one whatever made it."""
    return {
        key: (row.attempt, row.value, row.achieved_at is not None, row.days)
        for key, row in rows.progress.items()
    }


def granted(rows: Rows) -> object:
    """The rewards by their natural keys, and the levels achieved."""
    keys = Counter(
        (c, r.target_id, r.streak_level_id or r.period_id, r.attempt, r.ordinal, r.value)
        if r.streak_level_id is None
        else (c, r.target_id, -r.streak_level_id, r.attempt, r.ordinal, r.value)
        for c, r in rows.rewards
    )
    levels = {key for key, row in rows.levels.items() if row.achieved_at is not None}
    return keys, levels


COMMUTING = {7, 8, 10, 14, 15, 16, 20}
"""Dated cycles of the enrolled, whatever is counted: sums, days, and the best of each day."""


def dated_only() -> Rows:
    rows = enrolled_everywhere()
    groups = {key: group for key, group in rows.defined.groups.items() if key in COMMUTING}
    rows.defined = replace(rows.defined, groups=groups)
    return rows


SALES = st.lists(
    ACTIVITIES.filter(lambda activity: activity.type != "RETURN"),
    unique_by=lambda activity: (activity.customer_id, activity.id),
    max_size=10,
)


@settings(max_examples=150, deadline=None)
@given(sales=SALES, random=st.randoms(use_true_random=False))
def test_bills_and_events_of_dated_cycles_commute(sales: list[Activity], random: Random) -> None:
    one, other = dated_only(), dated_only()
    shuffled = random.sample(sales, len(sales))
    one.record(sales, NOW)
    other.record(shuffled, NOW)
    assert standing(one) == standing(other)
    assert granted(one) == granted(other)


@settings(max_examples=150, deadline=None)
@given(
    nets=st.lists(st.tuples(st.sampled_from([100, 500, 500, 900]), DAYS), min_size=2, max_size=6),
    parts=st.lists(st.tuples(st.integers(0, 5), st.integers(1, 33)), min_size=1, max_size=6),
    random=st.randoms(use_true_random=False),
)
def test_returns_after_their_sales_commute_in_values_and_achievements(
    nets: list[tuple[int, float]], parts: list[tuple[int, int]], random: Random
) -> None:
    # A third of a bill at most, and three returns of it: whatever the order, none is too much.
    bills = [sale(f"a{n}", net, at, item("book", 50)) for n, (net, at) in enumerate(nets)]
    taken: Counter[str] = Counter()
    refunds = []
    for number, (bill, part) in enumerate(parts):
        of = bills[bill % len(bills)]
        taken[of.id] += 1
        if taken[of.id] <= 3:
            refunds.append(refund(f"r{number}", of.id, part, NOW))
    one, other = dated_only(), dated_only()
    for rows in (one, other):
        groups = {
            k: replace(g, carry_returns_forward=False) for k, g in rows.defined.groups.items()
        }
        rows.defined = replace(rows.defined, groups=groups)
    one.record([*bills, *refunds], NOW)
    other.record(after_their_sales([*bills, *refunds], random), NOW)
    assert standing(one) == standing(other)
    levels = [{k for k, row in rows.levels.items() if row.achieved_at} for rows in (one, other)]
    assert levels[0] == levels[1]


def after_their_sales(activities: Sequence[Activity], random: Random) -> list[Activity]:
    """Another order, in which no return comes before its sale."""
    shuffled = random.sample(activities, len(activities))
    ordered: list[Activity] = []
    for activity in shuffled:
        if activity.return_of is None:
            ordered.append(activity)
            waiting = [a for a in shuffled if a.return_of == activity.id]
            place = shuffled.index(activity)
            ordered += [a for a in waiting if shuffled.index(a) < place]
        elif any(done.id == activity.return_of for done in ordered):
            ordered.append(activity)
    return ordered


def both_orders(group: TargetGroup, *activities: Activity, now: datetime = NOW) -> list[Story]:
    """The activities in order, and backwards."""
    stories = []
    for order in (activities, activities[::-1]):
        story = Story(group)
        if group.targets[0].enrolment_method == "IMPORT":
            story.enrol()
        story.now = now
        story.record(*order)
        stories.append(story)
    return stories


def test_order_matters_to_cycles_that_end_when_they_are_achieved() -> None:
    group = cyclic(evaluation_type=PERIOD_AGNOSTIC, asked=100)
    one, other = both_orders(group, sale("tx-1", 60), sale("tx-2", 200))
    assert (one.value("c1"), other.value("c1"), other.value("c2")) == (260, 200, 60)


def test_order_matters_to_where_own_cycles_begin() -> None:
    group = cyclic(evaluation_type=CYCLIC, frequency_type="DAILY", frequency=50)
    one, other = both_orders(group, sale("tx-1", 60, 5), sale("tx-2", 200, 8))
    assert (one.value("c1"), other.value("c1")) == (260, 200)
    assert other.reason("tx-1") == "BEFORE_FIRST_CYCLE"


def test_order_matters_to_the_cycle_in_which_an_activity_enrols() -> None:
    group = with_target(milestone(settlement_delay_days=50), enrolment_method="TRANSACTION")
    one, other = both_orders(group, sale("tx-1", 60, 5), sale("tx-2", 200, 15))
    assert (one.covered, other.covered) == ("c1 c2 c3 c4 c5", "c2 c3 c4 c5")


def test_order_matters_to_what_the_lowest_value_of_a_day_achieves_on_the_way() -> None:
    group = with_target(milestone(asked=100), aggregate_window={"windowType": "MIN"})
    one, other = both_orders(group, sale("tx-1", 100), sale("tx-2", 60), now=day(1))
    assert one.value("c1") == other.value("c1") == 60
    assert [len(story.rewards) for story in (one, other)] == [2, 0]


def test_order_matters_to_a_return_which_comes_after_its_sale() -> None:
    one, other = both_orders(milestone(), sale("tx-1", 100), refund("rt-1", "tx-1", 40), now=day(1))
    assert (one.value("c1"), other.value("c1")) == (60, 100)


@pytest.mark.parametrize("carry", [False, True])
def test_order_matters_to_what_is_rewarded_before_a_return(carry: bool) -> None:
    stories = []
    for order in ((0, 1, 2), (0, 2, 1)):
        activities = [sale("tx-1", 600), refund("rt-1", "tx-1", 600), sale("tx-2", 600)]
        story = Story(milestone(carry_returns_forward=carry))
        story.enrol()
        story.record(*(activities[place] for place in order))
        stories.append(story)
    assert [len(story.rewards) for story in stories] == [0, 2]
    # A rewarded cycle is left alone where returns are carried forward; else values are the same.
    assert [story.value("c1") for story in stories] == [600, 1200 if carry else 600]


def test_order_matters_to_which_of_two_grants_a_ceiling_cuts() -> None:
    found = []
    for order in ((0, 1), (1, 0)):
        other = milestone(group_id=8, settlement_delay_days=50)
        story = Story(milestone(settlement_delay_days=50), NOW, other, capping(asked=80))
        story.now = day(0)
        for target in (TARGET, 80):
            story.enrol(target=target)
        story.edit(with_target(story.rows.defined.groups[8], target_type="GROSS_SALES"))
        story.record(
            *[(sale("tx-1", 1000, gross=0), sale("tx-2", 0, gross=1000))[n] for n in order]
        )
        found.append({r.target_id: int(r.value) for _, r in story.rows.rewards if r.ordinal == 0})
    assert found == [{TARGET: 50, 80: 30}, {TARGET: 30, 80: 50}]


def test_order_matters_to_the_cycle_that_completes_a_level() -> None:
    one, other = both_orders(
        streak(settlement_delay_days=50), sale("tx-1", 1000, 0), sale("tx-2", 1000, 10), now=day(20)
    )
    assert one.levels == other.levels == "l1"
    assert [
        story.rows.levels[CUSTOMER, TARGET, 901, 1].period_id % 100 for story in (one, other)
    ] == [2, 1]
