"""A target value of a customer's own: domain, milestones §4.1 and §4.5."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from milepost.errors import INVALID_INPUT, Refusal
from milepost.rules.coverage import Members
from milepost.rules.definitions import PERIOD_AGNOSTIC
from milepost.rules.effects import Stint
from milepost.rules.enrolment import Enrol, Unenrol, apply, streaks_moved, targets_beside
from milepost.rules.own_target_values import read_target_value
from milepost.rules.rebuild import Fold, fold
from tests.rules.samples import (
    CUSTOMER,
    GROUP,
    TARGET,
    Story,
    cyclic,
    day,
    definitions,
    evaluate,
    milestone,
    streak,
)


def enrol(
    story: Story,
    value: str | None,
    name: str | None = None,
    balance: int | None = None,
    *,
    reset: bool = False,
) -> int:
    own = Decimal(value) if value is not None else None
    command = Enrol(GROUP, TARGET, CUSTOMER, name, balance, reset, target_value=own)
    return story.rows.decide([command], story.now)[0]


def own_values(story: Story) -> dict[str, str]:
    """What each cycle asks of the customer alone, by its name; the journal says the same."""
    group = story.group
    rebuilt = Fold(CUSTOMER, frozenset({TARGET} if group.is_fixed and not group.is_streak else ()))
    for version, entry in enumerate(story.journal):
        fold(rebuilt, version, 0, entry)
    said = {key[1]: row for key, row in rebuilt.state.progress.items()}
    assert said == story.enrolment.progress
    periods = story.group.periods
    rows = {period.ref_code: story.row(period.ref_code) for period in periods}
    return {
        name: str(row.own_target_value)
        for name, row in rows.items()
        if row is not None and row.own_target_value is not None
    }


def noted(story: Story) -> list[tuple[str, str, str]]:
    """(cycle, target value, the one before) of each note of a changed one."""
    periods = story.group.periods_by_id
    return [
        (
            periods[entry.period_id or 0].ref_code,
            str(entry.details["targetValue"]),
            str(entry.details["earlierTargetValue"]),
        )
        for entry in story.journal
        if entry.what == "TARGET_VALUE" and entry.reason == "OWN_TARGET_VALUE"
    ]


def test_an_enrolment_sets_it_for_every_cycle_it_covers_that_has_not_ended() -> None:
    story = Story(milestone(cycles=4), day(12))
    assert enrol(story, "400") == 0
    assert own_values(story) == {"c2": "400", "c3": "400", "c4": "400"}
    assert story.value("c3") == 0


def test_a_later_named_cycle_leaves_the_earlier_ones_alone() -> None:
    story = Story(milestone(cycles=4), day(1))
    assert enrol(story, "400", "c3") == 0
    assert own_values(story) == {"c3": "400", "c4": "400"}


def test_a_first_enrolment_says_it_in_its_own_line() -> None:
    story = Story(milestone(cycles=3), day(1))
    enrol(story, "400.5")
    (entry,) = story.journal
    assert entry.details["targetValue"] == "400.5"
    assert entry.details["ownTargetValue"] == "400.5"
    assert entry.details["ownCycles"] == [period.id for period in story.group.periods]


def test_without_one_the_targets_own_value_holds() -> None:
    story = Story(milestone(), day(1))
    enrol(story, None, balance=1000)
    assert own_values(story) == {}
    assert story.achieved("c1")


@pytest.mark.parametrize(("balance", "achieved"), [(399, False), (400, True)])
def test_a_balance_is_measured_against_it(balance: int, *, achieved: bool) -> None:
    story = Story(milestone(cycles=2), day(1))
    enrol(story, "400", "c1", balance)
    assert story.achieved("c1") is achieved
    assert not story.achieved("c2")
    assert own_values(story) == {"c1": "400", "c2": "400"}


def test_zero_is_achieved_at_once_in_every_cycle_and_rewarded_once() -> None:
    story = Story(milestone(cycles=2), day(1))
    enrol(story, "0")
    assert [story.achieved(name) for name in ("c1", "c2")] == [True, True]
    once = [(name, 1, reward) for name in ("c1", "c2") for reward in ("Fifty", "Explorer")]
    assert story.rewards == once
    assert enrol(story, "0") == 0
    assert story.rewards == once


def test_who_is_enrolled_already_gets_it_without_being_enrolled_again() -> None:
    story = Story(milestone(cycles=3), day(1))
    story.enrol("c1", 300)
    story.now = day(11)
    before = story.enrolment.stints
    assert enrol(story, "500", balance=900) == 0
    assert story.enrolment.stints == before
    assert own_values(story) == {"c2": "500", "c3": "500"}
    assert story.value("c2") == 0
    assert story.attempt("c2") == 1


def test_naming_a_cycle_changes_it_and_the_later_ones_alone() -> None:
    story = Story(milestone(cycles=3), day(1))
    enrol(story, "400")
    assert enrol(story, "600", "c2") == 0
    assert own_values(story) == {"c1": "400", "c2": "600", "c3": "600"}
    assert noted(story) == [("c2", "600", "400"), ("c3", "600", "400")]


def test_each_change_is_noted_and_the_same_value_again_is_none() -> None:
    story = Story(milestone(cycles=2), day(1))
    story.enrol()
    enrol(story, "500")
    assert enrol(story, "500") == 0
    assert enrol(story, "500.00") == 0
    assert noted(story) == [("c1", "500", "1000"), ("c2", "500", "1000")]


def test_lowering_it_to_what_is_collected_achieves_the_cycle_and_grants_its_rewards() -> None:
    story = Story(milestone(cycles=2), day(1))
    story.enrol()
    story.collect("c1", 500)
    story.now = day(2)
    enrol(story, "500")
    row = story.row("c1")
    assert row is not None
    assert row.achieved_at == day(2)
    assert [reward[:2] for reward in story.rewards] == [("c1", 1), ("c1", 1)]
    assert story.reasons == [
        "ENROLLED",
        "OWN_TARGET_VALUE",
        "REACHED",
        "ACHIEVED_BY_ACTIVITY",
        "ACHIEVED_BY_ACTIVITY",
        "OWN_TARGET_VALUE",
    ]


def test_period_end_rewards_wait_for_the_settlement() -> None:
    story = Story(milestone(cycles=2, reward_allocation="PERIOD_END"), day(1))
    enrol(story, "0")
    assert story.achieved("c1")
    assert story.rewards == []


def test_achieved_stays_achieved_when_it_is_raised() -> None:
    story = Story(milestone(cycles=2), day(1))
    enrol(story, "400", "c1", 400)
    rewards = story.rewards
    assert enrol(story, "900") == 0
    assert story.achieved("c1")
    assert own_values(story)["c1"] == "900"
    enrol(story, "300")
    assert story.rewards == rewards


def test_it_outlasts_leaving_and_a_balance_on_return() -> None:
    story = Story(milestone(cycles=2), day(1))
    enrol(story, "400")
    story.unenrol()
    assert story.enrol("c1", 400) == 0
    assert own_values(story) == {"c1": "400", "c2": "400"}
    assert story.attempt("c1") == 2
    assert story.achieved("c1")


def test_a_return_may_bring_another_one_with_its_balance() -> None:
    story = Story(milestone(cycles=2), day(1))
    story.enrol("c1", 100)
    story.unenrol()
    assert enrol(story, "200", "c1", 150) == 0
    row = story.row("c1")
    assert row is not None
    assert (row.attempt, row.value, row.achieved_at) == (2, Decimal(150), None)
    assert noted(story) == [("c1", "200", "1000"), ("c2", "200", "1000")]


def test_extending_back_sets_it_from_the_earlier_cycle_on() -> None:
    story = Story(milestone(cycles=3), day(1))
    story.enrol("c3")
    assert enrol(story, "400", "c1") == 0
    assert own_values(story) == {"c1": "400", "c2": "400", "c3": "400"}
    assert story.covered == "c1 c2 c3"


def test_in_a_streak_it_holds_for_all_cycles_whatever_name_is_given() -> None:
    story = Story(streak(cycles=3), day(11))
    assert enrol(story, "400", "c3") == 0
    assert own_values(story) == {"c2": "400", "c3": "400"}


def test_in_a_streak_zero_meets_the_cycles_and_reaches_their_levels() -> None:
    defined = definitions(streak(cycles=4, levels=(2, 4)))
    members = Members({CUSTOMER: 0}, {})
    command = Enrol(GROUP, TARGET, CUSTOMER, target_value=Decimal(0))
    for _ in range(2):
        assert apply(defined, members, command, day(1), evaluate) == CUSTOMER
    changes = members.changes[CUSTOMER]
    assert [level for _, level, _ in changes.levels] == [901, 902]
    reasons = [entry.reason for entry in changes.journal]
    assert (reasons.count("LEVEL_REACHED"), reasons.count("LEVEL_REWARD")) == (2, 2)


def test_a_streaks_reset_keeps_it_in_the_new_attempt() -> None:
    story = Story(streak(cycles=2), day(1))
    enrol(story, "400")
    story.unenrol()
    assert story.enrol(reset=True) == 0
    assert own_values(story) == {"c1": "400", "c2": "400"}
    story.unenrol()
    assert enrol(story, "400", reset=True) == 0
    assert own_values(story) == {"c1": "400", "c2": "400"}
    # The upcoming one asks for it already: its new attempt begins with what counts in it.
    assert [story.attempt(name) for name in ("c1", "c2")] == [3, 1]


def test_customers_own_cycles_get_it_as_far_as_they_have_not_ended() -> None:
    story = Story(cyclic(cycles=3), day(1))
    assert enrol(story, "400") == 0
    assert own_values(story) == {"c1": "400", "c2": "400", "c3": "400"}
    (stint,) = story.enrolment.stints
    assert isinstance(stint, Stint)
    story.rows.stints[CUSTOMER, TARGET, 1] = replace(stint, anchored_at=day(1))
    story.now = day(12)
    assert enrol(story, "500") == 0
    assert own_values(story) == {"c1": "400", "c2": "500", "c3": "500"}


def test_period_agnostic_cycles_ask_the_same_of_everybody_300004() -> None:
    story = Story(cyclic(evaluation_type=PERIOD_AGNOSTIC), day(1))
    assert enrol(story, "400") == INVALID_INPUT.code
    assert story.journal == []


def test_a_cycle_that_has_ended_or_nobody_names_is_still_310019() -> None:
    story = Story(milestone(), day(12))
    assert enrol(story, "400", "c1") == 310019
    assert enrol(story, "400", "nothing") == 310019


def test_a_target_value_loads_what_an_achievement_may_move() -> None:
    unified = milestone(tracking_type="UNIFIED")
    command = Enrol(GROUP, TARGET, CUSTOMER, target_value=Decimal(1))
    assert targets_beside(definitions(unified), [command]) == {(CUSTOMER, TARGET)}
    assert streaks_moved(definitions(unified), [command]) == set()
    assert streaks_moved(definitions(streak()), [command]) == {(CUSTOMER, TARGET)}
    others: list[Enrol | Unenrol] = [
        Enrol(GROUP, TARGET, CUSTOMER),
        Unenrol(GROUP, TARGET, CUSTOMER),
    ]
    assert streaks_moved(definitions(streak()), others) == set()


@pytest.mark.parametrize(
    "sent", [True, "1", [1], -1, Decimal("NaN"), Decimal("Infinity"), 10**15, Decimal("1e-21")]
)
def test_what_is_no_exact_number_in_bounds_is_300004(sent: object) -> None:
    assert isinstance(read_target_value(sent), Refusal)


@pytest.mark.parametrize(
    ("sent", "value"),
    [(None, None), (0, Decimal(0)), (Decimal("-0"), Decimal(0)), (Decimal("0.5"), Decimal("0.5"))],
)
def test_nothing_or_an_exact_number_is_taken(sent: object, value: Decimal | None) -> None:
    assert str(read_target_value(sent)) == str(value)
