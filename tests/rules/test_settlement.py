"""Due work, customer by customer: `milepost.rules.settlement` (contract §4 rules 7–11, 13)."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milepost.rules.coverage import Members
from milepost.rules.definitions import (
    Definitions,
    RewardDefinition,
    TargetGroup,
)
from milepost.rules.due import END, SETTLE, START, Due, due
from milepost.rules.effects import Changes, Entry, OwnCycleEnd, Progress, Stint
from milepost.rules.settlement import prepare, progress_needed, settle
from tests.rules.samples import (
    BADGE,
    CUSTOMER,
    FIRST_DAY,
    GROUP,
    POINTS,
    TARGET,
    TICK,
    Story,
    cyclic,
    day,
    definitions,
    evaluate,
    milestone,
    streak,
)


class Settled(Story):
    """A story whose due work is done when it is told to, once."""

    def __init__(self, group: TargetGroup, *others: TargetGroup, now: datetime = FIRST_DAY) -> None:
        super().__init__(group, now)
        self.rows.defined = definitions(group, *others)
        self.done: set[tuple[int, str]] = set()

    def move_clock(self, to: datetime) -> None:
        self.now = to
        self.settle(to)

    def settle(self, to: datetime) -> None:
        """Do what is due by `to` and was not done, late or not."""
        dues = [each for each in due(self.rows.defined, to) if each.key not in self.done]
        self.done |= {each.key for each in dues}
        members = self.rows.load()
        works = prepare(self.rows.defined, dues)
        settle(self.rows.defined, members, CUSTOMER, works, (), to, evaluate)
        self.rows.save(members)

    def told(self, *whats: str) -> list[tuple[str, str, float]]:
        """Reason, cycle and day of each line of the journal with one of these `what`."""
        names = {p.id: p.ref_code for g in self.rows.defined.groups.values() for p in g.periods}
        return [
            (entry.reason, names[entry.period_id], (entry.at - day(0)) / timedelta(days=1))
            for entry in self.journal
            if entry.what in whats and entry.period_id is not None
        ]


def pays_at_the_end(**fields: object) -> TargetGroup:
    return milestone(reward_allocation="PERIOD_END", **fields)  # type: ignore[arg-type]


def enrolled(group: TargetGroup, *others: TargetGroup) -> Settled:
    """A customer enrolled from the first cycle on, a day before it begins."""
    story = Settled(group, *others, now=day(-1))
    assert story.enrol() == 0
    return story


# Settlement: rules 7, 8, 9


def test_a_period_end_reward_is_granted_at_settlement_and_stamped_with_its_due_instant() -> None:
    story = enrolled(pays_at_the_end())
    story.collect("c1", 1000)
    story.move_clock(day(10) - TICK)
    assert story.rewards == []
    story.settle(day(14))
    assert story.rewards == [("c1", 1, "Fifty"), ("c1", 1, "Explorer")]
    (reward, _) = (each for _, each in story.rows.rewards)
    assert (reward.granted_at, reward.cause) == (day(10), "SETTLEMENT")
    assert story.told("REWARDED") == [("PERIOD_END", "c1", 10)] * 2
    assert story.told("SETTLED") == [("SETTLED_ACHIEVED", "c1", 10)]
    progress = story.row("c1")
    assert progress is not None
    assert progress.rewarded_attempt == 1


def test_every_enrolled_customer_is_settled_achieved_or_not() -> None:
    story = enrolled(pays_at_the_end())
    story.collect("c1", 999)
    story.move_clock(day(10))
    assert story.told("SETTLED", "REWARDED") == [("SETTLED_UNACHIEVED", "c1", 10)]
    (settled,) = (entry for entry in story.journal if entry.what == "SETTLED")
    assert settled.details == {"attempt": 1, "value": "999", "targetValue": "1000"}


def test_a_value_that_a_lowered_target_value_now_asks_for_is_achieved_and_paid_at_settlement() -> (
    None
):
    story = enrolled(pays_at_the_end())
    story.collect("c1", 600)
    story.edit(pays_at_the_end(asked=500))
    story.move_clock(day(10))
    assert story.told("ACHIEVED", "SETTLED") == [
        ("REACHED", "c1", 10),
        ("SETTLED_ACHIEVED", "c1", 10),
    ]
    assert story.rewards == [("c1", 1, "Fifty"), ("c1", 1, "Explorer")]


def test_a_streaks_last_settlement_says_where_the_customer_stands() -> None:
    story = enrolled(streak(cycles=2, levels=(1, 2)))
    story.collect("c1", 1000)
    story.move_clock(day(20))
    first, last = (entry.details for entry in story.journal if entry.what == "SETTLED")
    assert "counter" not in first
    assert (last["counter"], last["levels"]) == (0, [])


def test_a_cycle_in_which_nothing_was_done_is_settled_at_0() -> None:
    story = enrolled(pays_at_the_end())
    story.move_clock(day(10))
    (settled,) = (entry for entry in story.journal if entry.what == "SETTLED")
    assert (settled.reason, settled.details["value"]) == ("SETTLED_UNACHIEVED", "0")


def test_late_activity_inside_the_delay_counts_at_settlement() -> None:
    story = enrolled(pays_at_the_end(settlement_delay_days=3))
    story.move_clock(day(12))
    assert story.told("SETTLED") == []
    story.collect("c1", 1000)
    story.move_clock(day(13))
    assert story.told("SETTLED") == [("SETTLED_ACHIEVED", "c1", 13)]
    assert [name for *_, name in story.rewards] == ["Fifty", "Explorer"]


def test_immediate_rewards_are_not_granted_a_second_time() -> None:
    story = Settled(milestone())
    story.enrol("c1", 1000)
    story.move_clock(day(10))
    assert len(story.rewards) == 2
    assert story.told("SETTLED") == [("SETTLED_ACHIEVED", "c1", 10)]


def test_an_achievement_that_was_to_wait_is_paid_at_settlement_after_an_edit_to_immediate() -> None:
    story = enrolled(pays_at_the_end())
    story.collect("c1", 1000)
    story.edit(replace(story.group, reward_allocation="IMMEDIATE"))
    story.move_clock(day(10))
    assert len(story.rewards) == 2


def test_who_left_during_the_cycle_loses_its_period_end_reward() -> None:
    story = enrolled(pays_at_the_end())
    story.now = day(5)
    story.collect("c1", 1000)
    story.unenrol()
    story.move_clock(day(10))
    assert story.told("SETTLED", "REWARDED") == []


def test_who_left_and_is_enrolled_again_when_it_ends_gets_it() -> None:
    story = enrolled(pays_at_the_end())
    story.now = day(5)
    story.collect("c1", 1000)
    story.unenrol()
    story.now = day(7)
    assert story.enrol("c1") == 0
    story.move_clock(day(10))
    assert len(story.rewards) == 2


def test_who_left_in_the_first_instant_of_the_next_cycle_still_gets_it_however_late() -> None:
    """Contract §4 rule 7: settlement had not run yet when they left."""
    story = enrolled(pays_at_the_end())
    story.collect("c1", 1000)
    story.now = day(10)
    assert story.unenrol() == 0
    story.settle(day(30))
    assert [cycle for cycle, *_ in story.rewards] == ["c1", "c1"]
    assert story.told("SETTLED") == [("SETTLED_ACHIEVED", "c1", 10)]


def test_who_enrols_after_the_end_is_not_settled_for_it() -> None:
    story = Settled(pays_at_the_end(settlement_delay_days=5), now=day(10))
    assert story.enrol() == 0
    story.move_clock(day(20))
    assert story.told("SETTLED") == []


def test_a_cycle_is_settled_for_its_newest_attempt() -> None:
    story = Settled(pays_at_the_end())
    story.enrol("c1", 1000)
    story.unenrol()
    story.now = day(2)
    story.enrol("c1", 1200)
    story.move_clock(day(10))
    assert [(cycle, attempt) for cycle, attempt, _ in story.rewards] == [("c1", 2), ("c1", 2)]


def test_while_inactive_settlement_still_runs() -> None:
    story = enrolled(pays_at_the_end())
    story.collect("c1", 1000)
    asleep = replace(story.group.targets[0], active=False)
    story.edit(replace(story.group, active=False, targets=(asleep,)))
    story.move_clock(day(10))
    assert len(story.rewards) == 2
    assert story.told("SETTLED") == [("SETTLED_ACHIEVED", "c1", 10)]


def test_a_deleted_group_has_nothing_left_to_do() -> None:
    story = enrolled(pays_at_the_end())
    left = due(story.rows.defined, day(10))
    assert prepare(Definitions(1001, 2, "UTC"), left) == []


def test_on_streaks_period_end_is_ignored() -> None:
    story = enrolled(streak(reward_allocation="PERIOD_END"))
    story.collect("c1", 1000)
    story.move_clock(day(10))
    assert story.rewards == []
    assert story.told("SETTLED") == [("SETTLED_ACHIEVED", "c1", 10)]


def test_a_value_of_a_streaks_earlier_attempt_is_not_settled() -> None:
    story = enrolled(streak())
    story.collect("c1", 1000)
    story.now = day(1)
    story.unenrol()
    story.now = day(12)
    story.enrol(reset=True)
    stints = tuple(replace(stint, attempt=2) for stint in story.enrolment.stints)
    story.rows.stints[CUSTOMER, TARGET, 1] = replace(stints[0], left_at=None, enrolled_at=day(2))
    story.settle(day(10))
    (settled,) = (entry for entry in story.journal if entry.what == "SETTLED")
    assert (settled.details["attempt"], settled.details["value"]) == (2, "0")


# Unified groups


def two_targets(combination: str = "ALL") -> TargetGroup:
    group = milestone(
        tracking_type="UNIFIED", combination_type=combination, reward_allocation="PERIOD_END"
    )
    first = replace(group.targets[0], rewards=(BADGE,))
    second = replace(first, id=TARGET + 1, name="Second")
    return replace(group, targets=(first, second))


@pytest.mark.parametrize(("combination", "met"), [("ALL", False), ("ANY", True)])
def test_a_unified_group_notes_whether_its_condition_was_met(combination: str, met: bool) -> None:
    story = enrolled(two_targets(combination))
    story.collect("c1", 1000)
    story.move_clock(day(10))
    (settled,) = (entry for entry in story.journal if entry.what == "SETTLED")
    assert settled.details["unified"] is met
    assert settled.details["members"] == [[TARGET, "1000", "1000"], [TARGET + 1, "0", "1000"]]
    assert [name for *_, name in story.rewards] == ["Explorer"]  # the member's own


# The end of a streak's cycle: rule 10


def test_a_cycle_ends_a_run_that_it_was_missed_in() -> None:
    story = enrolled(streak())
    story.collect("c1", 1000)
    story.collect("c2", 999)
    story.move_clock(day(20))
    assert story.told("BROKEN") == [("CYCLE_MISSED", "c2", 20)]
    (broken,) = (entry for entry in story.journal if entry.what == "BROKEN")
    assert broken.details == {"attempt": 1, "value": "999", "targetValue": "1000", "counter": 1}


def test_only_the_first_of_several_missed_cycles_breaks_the_run() -> None:
    story = enrolled(streak())
    story.collect("c1", 1000)
    story.move_clock(day(40))
    assert story.told("BROKEN") == [("CYCLE_MISSED", "c2", 20)]
    story.collect("c5", 1000)
    assert story.told("BROKEN") == [("CYCLE_MISSED", "c2", 20)]


def test_a_run_that_began_again_can_break_again() -> None:
    story = enrolled(streak())
    story.move_clock(day(10))
    story.collect("c2", 1000)
    story.move_clock(day(30))
    assert story.told("BROKEN") == [("CYCLE_MISSED", "c1", 10), ("CYCLE_MISSED", "c3", 30)]


def test_a_break_comes_at_the_end_itself_whatever_the_delay() -> None:
    story = enrolled(streak(settlement_delay_days=4))
    story.move_clock(day(14))
    assert story.told("BROKEN", "SETTLED") == [
        ("CYCLE_MISSED", "c1", 10),
        ("SETTLED_UNACHIEVED", "c1", 14),
    ]


def test_a_non_continuous_streak_never_breaks() -> None:
    story = enrolled(streak(tracking_type="NON_CONTINUOUS_STREAKS"))
    story.move_clock(day(50))
    assert story.told("BROKEN") == []


def test_a_cycle_missed_while_unenrolled_breaks_nothing() -> None:
    story = enrolled(streak())
    story.collect("c1", 1000)
    story.now = day(12)
    story.unenrol()
    story.now = day(25)
    story.enrol()
    story.move_clock(day(30) - TICK)
    assert story.told("BROKEN") == []
    story.move_clock(day(30))
    assert story.told("BROKEN") == [("CYCLE_MISSED", "c3", 30)]


def test_a_break_is_decided_as_of_its_instant_however_late() -> None:
    story = enrolled(streak())
    story.collect("c1", 1000)
    story.collect("c3", 1000)  # recorded before the end of c2 was gone through
    story.settle(day(30))
    assert story.told("BROKEN") == [("CYCLE_MISSED", "c2", 20)]


def test_a_deactivated_cycle_breaks_nothing() -> None:
    story = enrolled(streak())
    periods = tuple(replace(each, active=each.number != 1) for each in story.group.periods)
    story.edit(replace(story.group, periods=periods))
    story.move_clock(day(10))
    assert story.told("BROKEN") == []


# The start of a cycle


def test_a_cycle_begins_for_those_enrolled_before_it() -> None:
    story = enrolled(milestone())
    story.move_clock(day(10))
    assert story.told("STARTED") == [("CYCLE_STARTED", "c1", 0), ("CYCLE_STARTED", "c2", 10)]
    (first, second) = (entry for entry in story.journal if entry.what == "STARTED")
    standing = {"attempt": 1, "value": "0", "targetValue": "1000"}
    assert first.details == {**standing, "first": True}
    assert second.details == standing


@pytest.mark.parametrize(("enrols_at", "begins"), [(day(10) - TICK, True), (day(10), False)])
def test_who_enrols_in_a_running_cycle_has_not_seen_it_begin(
    enrols_at: datetime, begins: bool
) -> None:
    story = Settled(milestone(), now=enrols_at)
    story.enrol("c2")
    story.settle(day(10))
    assert bool(story.told("STARTED")) is begins


def test_a_cycle_begins_for_who_left_during_it_though_told_late() -> None:
    story = enrolled(milestone())
    story.now = day(3)
    story.unenrol()
    story.settle(day(10))
    assert story.told("STARTED", "SETTLED") == [("CYCLE_STARTED", "c1", 0)]


@pytest.mark.parametrize("asleep", ["group", "target", "cycle"])
def test_nothing_begins_where_nothing_can_count(asleep: str) -> None:
    story = enrolled(milestone())
    group = story.group
    if asleep == "group":
        group = replace(group, active=False)
    elif asleep == "target":
        group = replace(group, targets=(replace(group.targets[0], active=False),))
    else:
        group = replace(group, periods=tuple(replace(p, active=False) for p in group.periods))
    story.edit(group)
    story.move_clock(day(10))
    assert story.told("STARTED") == []


# Order, and points that count as points


def points_target(group_id: int, cycles: int, asked: int, tracking_type: str) -> TargetGroup:
    group = milestone(
        group_id=group_id, cycles=cycles, asked=asked, name="Points", tracking_type=tracking_type
    )
    target = replace(
        group.targets[0], target_entity="POINTS", target_type="ALL_POINTS", rewards=(BADGE,)
    )
    return replace(group, targets=(target,))


def test_points_granted_at_a_settlement_count_in_the_cycle_of_its_instant() -> None:
    """c1's points come when c2 of the points target runs; it is settled achieved ten days later."""
    story = enrolled(pays_at_the_end(rewards=(POINTS,)), points_target(9, 5, 50, "DEFAULT"))
    story.rows.stints[CUSTOMER, 90, 1] = Stint(1, day(-1), 901)
    story.rows.enrolment_ids[CUSTOMER, 90] = 2000
    story.collect("c1", 1000)
    story.settle(day(20))
    members = {key: row.value for key, row in story.rows.progress.items() if key[1] == 90}
    assert members == {(CUSTOMER, 90, 902): Decimal(50)}
    settled = [
        (entry.target_id, entry.period_id, entry.reason)
        for entry in story.journal
        if entry.what == "SETTLED" and entry.target_id == 90
    ]
    assert settled == [(90, 901, "SETTLED_UNACHIEVED"), (90, 902, "SETTLED_ACHIEVED")]


def test_a_ceiling_limits_what_a_settlement_grants() -> None:
    story = enrolled(pays_at_the_end(rewards=(POINTS,)), points_target(9, 5, 30, "CAPPING"))
    story.rows.stints[CUSTOMER, 90, 1] = Stint(1, day(-1), 901)
    story.rows.enrolment_ids[CUSTOMER, 90] = 2000
    story.collect("c1", 1000)
    story.settle(day(10))
    (reward,) = (each for _, each in story.rows.rewards)
    assert reward.value == 30


def test_what_has_to_be_loaded_is_named() -> None:
    group, daily = pays_at_the_end(), streak(group_id=8)
    ceiling = points_target(9, 5, 30, "CAPPING")
    defined = definitions(group, daily, ceiling)
    members = Members({1: 0, 2: 0}, {})
    story = enrolled(group)
    members.enrolments.update({(1, TARGET): story.enrolment, (2, 80): story.enrolment})
    works = prepare(defined, [Due(day(10), SETTLE, GROUP, 701), Due(day(10), END, 8, 801)])
    pairs, cycles, levels = progress_needed(defined, members, works, {})
    assert pairs == {(2, 80), (1, 90), (2, 90)}
    assert cycles == {(1, TARGET, 701)}
    assert levels == set()
    starts = prepare(defined, [Due(day(0), START, GROUP, 701)])
    assert progress_needed(defined, members, starts, {}) == (set(), {(1, TARGET, 701)}, set())


# A customer's own cycles: rule 13


def own(
    story: Story, ends: list[OwnCycleEnd], until: datetime
) -> tuple[Changes, list[tuple[str, str, float]]]:
    """Settle own cycles; the customer's changes, and reason, cycle and day of what was told."""
    members = story.rows.load()
    settle(story.rows.defined, members, CUSTOMER, (), ends, until, evaluate)
    changes = members.changes[CUSTOMER]
    names = story.group.periods_by_id
    told = [
        (e.reason, names[e.period_id or 0].ref_code, (e.at - day(0)) / timedelta(days=1))
        for e in changes.journal
    ]
    return changes, told


def anchored(group: TargetGroup, left_at: datetime | None = None) -> Story:
    """A customer whose own cycles, ten days each, began on day 3."""
    story = Story(group)
    story.rows.stints[CUSTOMER, TARGET, 1] = Stint(1, day(0), None, left_at, 1, day(3))
    story.rows.enrolment_ids[CUSTOMER, TARGET] = 1001
    return story


def own_cycles(**fields: Any) -> TargetGroup:
    return cyclic(frequency_type="DAILY", frequency=10, reward_allocation="PERIOD_END", **fields)


def test_an_own_cycle_is_settled_at_its_own_end_and_the_next_one_begins() -> None:
    story = anchored(own_cycles())
    story.rows.progress[CUSTOMER, TARGET, 701] = Progress(701, 1, Decimal(1000), day(5))
    changes, told = own(story, [OwnCycleEnd(TARGET, 701, day(13))], day(13))
    assert told == [
        ("PERIOD_END", "c1", 13),
        ("PERIOD_END", "c1", 13),
        ("SETTLED_ACHIEVED", "c1", 13),
        ("CYCLE_STARTED", "c2", 13),
    ]
    assert changes.cycle_ends == [OwnCycleEnd(TARGET, 702, day(23))]


def test_own_cycles_that_are_over_are_settled_one_after_the_other() -> None:
    changes, told = own(anchored(own_cycles()), [OwnCycleEnd(TARGET, 701, day(13))], day(50))
    assert [each for each in told if each[0].startswith("SETTLED")] == [
        ("SETTLED_UNACHIEVED", f"c{n}", 3 + 10 * n) for n in (1, 2, 3, 4)
    ]
    assert changes.cycle_ends == [OwnCycleEnd(TARGET, 705, day(53))]


def test_after_the_last_own_cycle_nothing_falls_due() -> None:
    changes, told = own(anchored(own_cycles()), [OwnCycleEnd(TARGET, 705, day(53))], day(60))
    assert told == [("SETTLED_UNACHIEVED", "c5", 53)]
    assert changes.cycle_ends == []


def test_an_own_cycle_waits_for_the_delay_also_if_it_was_raised_meanwhile() -> None:
    story = anchored(own_cycles(settlement_delay_days=4))
    changes, told = own(story, [OwnCycleEnd(TARGET, 701, day(13))], day(14))
    assert told == []
    assert changes.cycle_ends == [OwnCycleEnd(TARGET, 701, day(17))]


@pytest.mark.parametrize(("left_at", "settled"), [(day(13) - TICK, False), (day(13), True)])
def test_who_left_before_an_own_cycle_ended_is_not_settled_for_it(
    left_at: datetime, settled: bool
) -> None:
    story = anchored(own_cycles(settlement_delay_days=2), left_at)
    changes, told = own(story, [OwnCycleEnd(TARGET, 701, day(15))], day(15))
    assert bool(told) is settled
    # They may come back into the next one, which begins where it would have.
    assert changes.cycle_ends == [OwnCycleEnd(TARGET, 702, day(25))]


def test_own_cycles_of_a_deleted_group_are_forgotten() -> None:
    story = anchored(own_cycles())
    story.rows.defined = definitions()
    members = story.rows.load()
    settle(
        story.rows.defined,
        members,
        CUSTOMER,
        (),
        [OwnCycleEnd(TARGET, 701, day(13))],
        day(13),
        evaluate,
    )
    changes = members.changes[CUSTOMER]
    assert (changes.journal, changes.cycle_ends) == ([], [])


# Together


@given(steps=st.lists(st.integers(1, 400), max_size=12), met=st.sets(st.integers(1, 5)))
def test_it_does_not_matter_in_how_many_steps_the_clock_is_moved(
    steps: list[int], met: set[int]
) -> None:
    def tell(stops: list[datetime]) -> list[Entry]:
        story = enrolled(streak(settlement_delay_days=3))
        for number in met:
            story.collect(f"c{number}", 1000)
        for stop in stops:
            story.move_clock(stop)
        story.move_clock(day(100))
        return story.journal

    stops = [day(0) + timedelta(hours=sum(steps[: n + 1])) for n in range(len(steps))]
    assert tell(stops) == tell([])


def test_a_settlement_grants_the_rewards_as_they_are_defined_then() -> None:
    story = enrolled(pays_at_the_end(rewards=()))
    story.collect("c1", 1000)
    more = replace(story.group.targets[0], rewards=(RewardDefinition("Late", "BADGE", Decimal(1)),))
    story.edit(replace(story.group, targets=(more,)))
    story.move_clock(day(10))
    assert story.rewards == [("c1", 1, "Late")]
    assert story.told("REWARDED", "SETTLED") == [
        ("PERIOD_END", "c1", 10),
        ("SETTLED_ACHIEVED", "c1", 10),
    ]
