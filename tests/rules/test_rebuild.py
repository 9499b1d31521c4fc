"""Rebuild: the fold of the journal is what is stored, whatever customers do (house law 5)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from milepost.rules.effects import Effect, Entry, LevelAchievement, Progress, Stint
from milepost.rules.rebuild import Corrections, Fold, Grant, State, corrections, fold
from tests.rules.life import DATED, DEFINED, TARGETS, Life, targets_of
from tests.rules.samples import CUSTOMER, GROUP, TARGET, TICK, cycle, day

C1 = cycle(1).id
A_LEVEL, AN_ATTEMPT = 901, 1

target_ids = st.sampled_from(TARGETS)
names = st.sampled_from([None, None, "c1", "c2", "c3"])
balances = st.sampled_from([None, None, 0, 50, 250, 1000])
own_values = st.sampled_from([None, None, None, 0, 120, 500])
amounts = st.integers(0, 400)
late = st.sampled_from([0, 0, 0, 1, 4, 11])
STEPS = st.one_of(
    st.tuples(st.just("enrol"), target_ids, names, balances, st.booleans(), own_values),
    st.tuples(st.just("unenrol"), target_ids),
    st.tuples(st.just("buy"), amounts, late),
    st.tuples(st.just("buy"), amounts, late),
    st.tuples(st.just("run"), amounts, late),
    st.tuples(st.just("give_back"), st.integers(0, 20), st.integers(1, 300), st.booleans()),
    st.tuples(st.just("wait"), st.sampled_from([0.3, 1, 3, 7, 10])),
)


def live(life: Life, steps: list[tuple[Any, ...]]) -> None:
    for verb, *arguments in steps:
        match verb:
            case "enrol":
                target, name, balance, reset, own_value = arguments
                life.enrol(target, name, balance, reset=reset, own_value=own_value)
            case "give_back":
                place, amount, full = arguments
                life.give_back(place, amount, full=full)
            case _:
                getattr(life, verb)(*arguments)


@settings(max_examples=150, deadline=None)
@given(st.sets(target_ids), st.lists(STEPS, min_size=12, max_size=40))
def test_the_fold_of_the_journal_is_what_is_stored_whatever_customers_do(
    enrolled: set[int], steps: list[tuple[Any, ...]]
) -> None:
    life = Life()
    for target in sorted(enrolled):
        life.enrol(target, None, None, reset=False)
    live(life, steps)
    assert life.differences == []
    assert life.rebuilt.state == life.stored
    assert not corrections(life.stored, life.rebuilt.state)


@pytest.fixture
def life() -> Life:
    """Somebody with two cycles met of a streak with a level, a balance, visits and a closed cycle."""
    lived = Life()
    for target in (TARGET, 90, 100, 170):
        lived.enrol(target, None, 50 if target == TARGET else None, reset=False)
    lived.buy(400, 0)
    lived.wait(10)
    lived.buy(150, 0)
    lived.wait(5)
    assert lived.differences == []
    return lived


AT = day(3)
Damage = Callable[[State], object]
DAMAGES: dict[str, tuple[Damage, list[tuple[int | None, int | None, str]]]] = {
    "value": (
        lambda s: s.progress.update({(70, C1): replace(s.progress[70, C1], value=Decimal(7))}),
        [(70, C1, "progress value")],
    ),
    "attempt": (
        lambda s: s.progress.update({(70, C1): replace(s.progress[70, C1], attempt=2)}),
        [(70, C1, "progress attempt")],
    ),
    "achieved_at": (
        lambda s: s.progress.update({(70, C1): replace(s.progress[70, C1], achieved_at=AT)}),
        [(70, C1, "progress achieved_at")],
    ),
    "rewarded_attempt": (
        lambda s: s.progress.update({(90, 901): replace(s.progress[90, 901], rewarded_attempt=9)}),
        [(90, 901, "progress rewarded_attempt")],
    ),
    "own_target_value": (
        lambda s: s.progress.update(
            {(70, C1): replace(s.progress[70, C1], own_target_value=Decimal(5))}
        ),
        [(70, C1, "progress own_target_value")],
    ),
    "days": (
        lambda s: s.progress.update(
            {(170, 1701): replace(s.progress[170, 1701], days={"2026-06-02": Decimal(1)})}
        ),
        [(170, 1701, "progress days")],
    ),
    "a row too many": (
        lambda s: s.progress.update({(70, 703): Progress(703, 1, Decimal(1))}),
        [(70, 703, "progress")],
    ),
    "a row too few": (lambda s: s.progress.pop((70, C1)), [(70, C1, "progress")]),
    "a cycle of a streak": (
        lambda s: s.progress.update(
            {(100, 1001): replace(s.progress[100, 1001], achieved_at=None)}
        ),
        [(100, 1001, "progress achieved_at"), (100, None, "counter")],
    ),
    "a level taken back": (
        lambda s: s.levels.update(
            {
                (100, A_LEVEL, AN_ATTEMPT): LevelAchievement(A_LEVEL, AN_ATTEMPT, 1002, None),
            }
        ),
        [(100, 1002, "level 901 attempt 1 achieved_at")],
    ),
    "a level too many": (
        lambda s: s.levels.update({(100, 902, 1): LevelAchievement(902, 1, 1002, AT)}),
        [(100, 1002, "level 902 attempt 1")],
    ),
    "a stint left": (
        lambda s: s.stints.update({(70, 1): replace(s.stints[70, 1], left_at=AT)}),
        [(70, None, "stint 1 left_at")],
    ),
    "a stint too many": (
        lambda s: s.stints.update({(80, 1): Stint(1, AT, 801)}),
        [(80, None, "stint 1")],
    ),
    "a reward's value": (
        lambda s: s.grants.update(
            {("CYCLE", 70, C1, 1, 0): replace(s.grants["CYCLE", 70, C1, 1, 0], value=Decimal(49))}
        ),
        [(70, C1, "reward 'Fifty' attempt 1 ordinal 0 value")],
    ),
    "a reward too few": (
        lambda s: s.grants.pop(("LEVEL", A_LEVEL, 0, 1, 0)),
        [(100, 1002, "reward 'Fifty' of level 901 attempt 1 ordinal 0")],
    ),
    "a reward too many": (
        lambda s: s.grants.update(
            {("CYCLE", 70, C1, 2, 0): Grant(70, C1, "Fifty", "POINTS", Decimal(50), AT)}
        ),
        [(70, C1, "reward 'Fifty' attempt 2 ordinal 0")],
    ),
    "a version of the past": (lambda s: setattr(s, "version", 1), [(None, None, "version")]),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_what_is_damaged_is_found_and_nothing_else(life: Life, name: str) -> None:
    damage, expected = DAMAGES[name]
    damage(life.stored)
    assert [difference[:3] for difference in life.differences] == expected


@pytest.mark.parametrize("name", DAMAGES)
def test_progress_and_levels_are_corrected_and_nothing_that_only_grows(
    life: Life, name: str
) -> None:
    damage, expected = DAMAGES[name]
    damage(life.stored)
    needed = corrections(life.stored, life.rebuilt.state)
    mended = "progress" in expected[0][2] or "level 9" in expected[0][2][:7]
    assert bool(needed) is mended
    repair(life.stored, needed)
    assert life.differences == [] or not mended


def repair(stored: State, needed: Corrections) -> None:
    stored.progress.update(needed.progress)
    stored.levels.update(needed.levels)
    for key in needed.progress_to_drop:
        del stored.progress[key]
    for level in needed.levels_to_drop:
        del stored.levels[level]


def test_a_difference_shows_both_sides() -> None:
    lived = Life()
    lived.enrol(TARGET, "c1", 120, reset=False)
    lived.stored.progress[TARGET, C1] = replace(
        lived.stored.progress[TARGET, C1], value=Decimal("1E+2")
    )
    assert lived.differences == [(TARGET, C1, "progress value", "100", "120")]
    del lived.stored.progress[TARGET, C1]
    (missing,) = lived.differences
    assert missing[3:] == ("nothing", f"period_id {C1}, attempt 1, value 120")


def test_a_value_that_activities_built_on_while_it_was_damaged_is_what_they_added() -> None:
    lived = Life()
    lived.enrol(80, "c1", 10, reset=False)
    row = lived.stored.progress[80, 801]
    lived.stored.progress[80, 801] = replace(row, value=Decimal(90))
    lived.buy(20, 0)
    assert lived.differences == [
        (80, 801, "journal", "90", "10"),
        (80, 801, "progress value", "110", "30"),
    ]
    repair(lived.stored, corrections(lived.stored, lived.rebuilt.state))
    lived.buy(5, 0)
    # What the journal once said stays said; what is stored is right again.
    assert lived.differences == [(80, 801, "journal", "90", "10")]
    assert lived.stored.progress[80, 801].value == 35


def test_edits_of_definitions_change_nothing_that_was_recorded(life: Life) -> None:
    edited = {
        key: targets_of(
            replace(group, reward_allocation="PERIOD_END", levels=group.levels[:1]),
            values={},
            rewards=(),
        )
        for key, group in DEFINED.groups.items()
    }
    life.defined = replace(DEFINED, groups=edited)
    assert life.differences == []
    life.defined = replace(DEFINED, groups={})
    assert life.differences == []


def test_a_target_value_of_ones_own_is_the_last_one_said() -> None:
    lived = Life()
    lived.enrol(80, "c2", None, reset=False, own_value=50)
    lived.enrol(80, "c3", None, reset=False, own_value=70)
    own = {key[1]: row.own_target_value for key, row in lived.rebuilt.state.progress.items()}
    assert own == {802: 50, 803: 70, 804: 70, 805: 70}
    assert lived.differences == []


def test_a_reward_that_the_journal_has_twice_is_reported() -> None:
    rebuilt = Fold(CUSTOMER, DATED)
    details = {"attempt": 1, "name": "Fifty", "type": "POINTS", "value": "50", "ordinal": 0}
    given = Entry(day(0), "REWARDED", "PERIOD_END", GROUP, TARGET, C1, details)
    fold(rebuilt, 1, 0, given)
    assert rebuilt.faults == []
    fold(rebuilt, 2, 0, given)
    assert [(fault.field, fault.stored) for fault in rebuilt.faults] == [
        ("reward 'Fifty' attempt 1 ordinal 0", "twice")
    ]


def test_rewards_of_the_first_release_which_named_no_ordinal_came_in_their_order() -> None:
    rebuilt = Fold(CUSTOMER, DATED)
    details = {"attempt": 1, "name": "Fifty", "type": "POINTS", "value": "50"}
    for version in (1, 2):
        fold(rebuilt, version, 0, Entry(day(0), "REWARDED", "x", GROUP, TARGET, C1, details))
    assert list(rebuilt.state.grants) == [("CYCLE", TARGET, C1, 1, 0), ("CYCLE", TARGET, C1, 1, 1)]
    assert rebuilt.state.progress[TARGET, C1].rewarded_attempt == 1
    assert rebuilt.faults == []


def test_what_did_not_count_moves_nothing() -> None:
    rebuilt = Fold(CUSTOMER, DATED)
    effect = Effect(GROUP, TARGET, C1, "CYCLE_CLOSED", 1, value=Decimal(30))
    fold(rebuilt, 1, 0, Entry(day(0), "ACTIVITY", "TRANSACTION", effects=(effect,)))
    assert rebuilt.state == State(version=1)


def test_the_first_of_ones_own_cycles_anchors_them_and_later_ones_do_not() -> None:
    lived = Life()
    lived.enrol(130, None, None, reset=False)
    lived.now += TICK
    lived.buy(10, 0)
    anchored_at = lived.now
    lived.wait(20)
    started = [entry for entry in lived.journal if entry.reason == "CYCLE_STARTED"]
    assert len([entry for entry in started if entry.target_id == 130]) > 1
    assert lived.rebuilt.state.stints[130, 1].anchored_at == anchored_at
    assert lived.differences == []
