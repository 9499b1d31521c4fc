"""Changing target groups, their periods and targets: contract §4 ("Edits"), milestones §3.5, §7-12."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from itertools import count
from typing import Any

import pytest

from milepost.errors import (
    EXTENDED_FIELD_INFO_MISSING,
    INVALID_ENTITY_AND_TYPE,
    LEADERBOARD_NOT_ENABLED,
    TARGET_GROUP_NAME_TAKEN,
    TARGET_NAME_TOO_LONG,
    TARGET_NOT_FOUND,
    TARGET_PERIOD_NOT_FOUND,
    Refusal,
)
from milepost.rules.calendar import written_date, written_end_date, written_instant
from milepost.rules.definitions import RewardDefinition, Target, TargetGroup
from milepost.rules.drafts import (
    GroupDraft,
    LevelDraft,
    PeriodDraft,
    TargetDraft,
    TriggerDraft,
    UnifiedDraft,
    ValueDraft,
    ids_needed_to_add,
    ids_needed_to_edit,
)
from milepost.rules.groups import edit_group, edit_unified
from milepost.rules.periods import add_periods, edit_periods
from milepost.rules.targets import add_targets, deactivate_target, edit_target
from tests.rules.drafts import (
    ALICE,
    BOB,
    JULY,
    JUNE,
    MAY,
    POINTS,
    accepted,
    defined,
    milestone,
    organisation,
    refused,
    streak,
    target,
    unified,
    values,
)

AUGUST = PeriodDraft("August", "2031-08-01", "2031-08-31")
APRIL = PeriodDraft("April", "2031-04-01", "2031-04-30")
ZONE_7 = ({"entityType": "ZONE", "entityIds": [7]},)
HALF = TriggerDraft("Half way", "PERCENTAGE", Decimal(50))
# BOB edits on 10 June: May has ended, June is running, July has not started.


def edit(
    group: TargetGroup, draft: GroupDraft | None = None, *others: TargetGroup, **fields: Any
) -> TargetGroup | Refusal:
    """`edit_group` by Bob with a draft, or one that has only `fields`."""
    draft = replace(draft or GroupDraft(), **fields)
    return edit_group(organisation(group, *others), group, draft, count(9001), BOB)


def edited(group: TargetGroup, **fields: Any) -> TargetGroup:
    return accepted(edit(group, **fields))


def change(group: TargetGroup, draft: TargetDraft, *others: TargetGroup) -> TargetGroup | Refusal:
    """`edit_target` of the group's first target by Bob."""
    organised = organisation(group, *others)
    return edit_target(organised, group, group.targets[0].id, draft, count(9001), BOB)


def changed(group: TargetGroup, **fields: Any) -> Target:
    return accepted(change(group, TargetDraft(**fields))).targets[0]


def amounts(group: TargetGroup, index: int = 0) -> list[Decimal]:
    return [group.targets[index].values[period.id].value for period in group.periods]


def as_read(group: TargetGroup) -> GroupDraft:
    """The whole group as a caller sends it back who read it: dates without times, all ids."""
    expression = None
    if group.unified_target_expression is not None:
        threshold = Decimal(str(group.unified_target_expression["thresholdValue"]))
        expression = UnifiedDraft("SUM", threshold)
    return GroupDraft(
        name=group.name,
        tracking_type=group.tracking_type,
        evaluation_type=group.evaluation_type,
        description=group.description,
        active=group.active,
        preferred_till_id=group.preferred_till_id,
        total_periods=group.total_periods,
        frequency_type=group.frequency_type,
        frequency=group.frequency,
        recurring_cycles=group.recurring_cycles,
        from_date=written_date(group.cycle_starts_at, group.zone),
        to_date=written_end_date(group.cycle_ends_at, group.zone),
        target_cycle_start_date=written_instant(group.cycle_starts_at),
        target_cycle_end_date=written_instant(group.cycle_ends_at),
        time_zone_name=group.time_zone,
        user_created=group.user_created,
        leaderboard_enabled=group.leaderboard_enabled,
        reward_allocation=group.reward_allocation,
        track_from_enrolment_date=group.track_from_enrolment_date,
        settlement_delay_days=group.settlement_delay_days,
        carry_returns_forward=group.carry_returns_forward,
        combination_type=group.combination_type,
        unified_target_expression=expression,
        periods=tuple(
            PeriodDraft(
                period.ref_code,
                written_date(period.starts_at, group.zone),
                written_end_date(period.ends_at, group.zone),
                period.description,
                period.active,
                period.id,
            )
            for period in group.periods
        ),
        targets=tuple(target_as_read(made) for made in group.targets),
        levels=tuple(
            LevelDraft(level.name, level.target_count, level.rewards, level.id)
            for level in group.levels
        ),
    )


def target_as_read(made: Target) -> TargetDraft:
    return TargetDraft(
        name=made.name,
        target_entity=made.target_entity,
        target_type=made.target_type,
        event_name=made.event_name,
        description=made.description,
        active=made.active,
        expression=made.expression,
        expression_json=made.expression_json,
        filters=made.filters,
        enrolment_method=made.enrolment_method,
        extended_field_info=made.extended_field_info,
        aggregate_window=made.aggregate_window,
        milestone_triggers=tuple(
            TriggerDraft(
                str(trigger["triggerName"]),
                str(trigger["triggerValueType"]),
                Decimal(str(trigger["triggerValue"])).quantize(Decimal("0.001")),
                id=int(str(trigger["id"])),
            )
            for trigger in made.milestone_triggers
        ),
        rewards=made.rewards,
        default_values=tuple(
            ValueDraft(value.value.quantize(Decimal("0.001")), value.period_id)
            for value in made.values.values()
        ),
        id=made.id,
    )


ODD_HOURS = (
    PeriodDraft("May", "2031-05-01T10:30:00", "2031-05-31T23:59:59.000"),
    PeriodDraft("June", "2031-06-01T00:00:00Z", "2031-06-30T12:00Z"),
)


# The whole group.


@pytest.mark.parametrize(
    "draft",
    [
        milestone(periods=ODD_HOURS, targets=(target(milestone_triggers=(HALF,)),)),
        streak(),
        unified(),
        GroupDraft("Bare", "DEFAULT"),
    ],
    ids=["milestone", "streak", "unified", "bare"],
)
def test_a_group_sent_back_as_it_was_read_changes_nothing(draft: GroupDraft) -> None:
    group = defined(draft)
    assert accepted(edit(group, as_read(group))) is group
    assert accepted(edit(group)) is group
    assert accepted(edit_periods(group, as_read(group).periods, BOB)) is group
    for made in group.targets:
        sent = target_as_read(made)
        after = edit_target(organisation(group), group, made.id, sent, count(9001), BOB)
        assert accepted(after) is group


def test_what_a_group_says_of_itself_may_change_and_the_change_has_its_author() -> None:
    group = defined(milestone())
    after = edited(
        group,
        name="Autumn",
        description="New",
        active=False,
        preferred_till_id=12,
        reward_allocation="period_end",
        track_from_enrolment_date=True,
        settlement_delay_days=3,
        carry_returns_forward=True,
    )
    assert (after.name, after.description, after.active) == ("Autumn", "New", False)
    assert (after.preferred_till_id, after.reward_allocation) == (12, "PERIOD_END")
    assert after.track_from_enrolment_date
    assert after.carry_returns_forward
    assert after.settlement_delay_days == 3
    assert (after.created, after.updated) == (ALICE, BOB)
    assert (after.periods, after.targets) == (group.periods, group.targets)
    assert edited(after, active=True).active


def test_a_streak_may_be_renamed_and_paused() -> None:
    after = edited(defined(streak()), name="Jog", active=False)
    assert (after.name, after.active) == ("Jog", False)


def test_a_groups_new_name_is_checked_for_uniqueness() -> None:
    group = defined(milestone())
    other = defined(milestone(name="Winter", targets=()), group)
    refused(edit(group, None, other, name="WINTER"), TARGET_GROUP_NAME_TAKEN)
    assert edited(group, name="SUMMER").name == "SUMMER"
    assert refused(edit(group, name=" Winter")).startswith("name: ")


@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("trackingType", {"tracking_type": "CAPPING"}),
        ("targetEvaluationType", {"evaluation_type": "CYCLIC_WINDOW"}),
        ("timeZoneName", {"time_zone_name": "Europe/Berlin"}),
        ("timeZoneName", {"time_zone_name": "\ud800"}),
        ("userCreated", {"user_created": True}),
        ("frequencyType", {"frequency_type": "DAILY"}),
        ("frequency", {"frequency": 2}),
        ("recurringCycles", {"recurring_cycles": 9}),
    ],
)
def test_what_a_group_froze_may_be_sent_as_it_is_and_not_otherwise(
    field: str, fields: dict[str, Any]
) -> None:
    group = defined(milestone())
    assert refused(edit(group, **fields)) == f"{field}: cannot change once the group exists."


def test_how_targets_combine_is_frozen_and_the_threshold_is_not() -> None:
    group = defined(unified())
    assert refused(edit(group, combination_type="ANY")).startswith("combinationType: ")
    by_count = edit(group, unified_target_expression=UnifiedDraft("COUNT", Decimal(1)))
    assert refused(by_count).startswith("unifiedTargetExpression.aggregation: ")
    after = edited(group, unified_target_expression=UnifiedDraft("sum", Decimal(6000)))
    assert after.unified_target_expression == {
        **(group.unified_target_expression or {}),
        "thresholdValue": "6000",
    }


def test_a_leaderboard_is_refused_on_edit_too() -> None:
    refused(edit(defined(milestone()), leaderboard_enabled=True), LEADERBOARD_NOT_ENABLED)


def test_total_periods_is_counted_on_edit() -> None:
    group = defined(milestone(total_periods=1))
    assert edited(group, description="New", total_periods=1).total_periods == 3


def test_the_dates_of_a_group_follow_its_periods_whatever_is_sent() -> None:
    group = defined(milestone())
    after = edited(group, to_date="2040-01-01", target_cycle_start_date="2020-01-01")
    assert after is group
    assert refused(edit(group, to_date="never")).startswith("toDate: ")


def test_periods_and_targets_of_the_group_change_with_it() -> None:
    group = defined(milestone())
    july = group.periods[2]
    after = edited(
        group,
        periods=(PeriodDraft("July", end_date="2031-08-05"),),
        targets=(TargetDraft(expression="currentTxn.value > 5", default_values=values(1, 2, 3)),),
    )
    assert after.periods[:2] == group.periods[:2]
    assert after.periods[2].ends_at == july.ends_at + timedelta(days=5)
    assert after.cycle_ends_at == after.periods[2].ends_at
    assert after.targets[0].expression == "currentTxn.value > 5"
    assert amounts(after) == [1, 2, 3]
    assert (after.periods[2].updated, after.targets[0].updated, after.updated) == (BOB, BOB, BOB)


def test_default_values_follow_the_periods_as_they_are_sent_with_them() -> None:
    group = defined(milestone())
    names = ("July", "May", "June")
    after = edited(
        group,
        periods=tuple(PeriodDraft(name) for name in names),
        targets=(TargetDraft(default_values=values(7, 5, 6)),),
    )
    assert amounts(after) == [5, 6, 7]


def test_a_whole_group_adds_neither_periods_nor_targets_nor_levels() -> None:
    group = defined(milestone(targets=(target("A"), target("B"))))
    refused(edit(group, periods=(AUGUST,)), TARGET_PERIOD_NOT_FOUND)
    refused(edit(group, targets=(target("C"),)), TARGET_NOT_FOUND)
    twin = (TargetDraft("A"), TargetDraft("a"))
    assert refused(edit(group, targets=twin)).startswith("targets[1]: ")
    jog = defined(streak())
    assert refused(edit(jog, levels=(LevelDraft("Platinum", 3),))).startswith("streaks[0]: ")


def test_the_only_target_may_be_renamed_without_its_id() -> None:
    group = defined(milestone())
    assert edited(group, targets=(TargetDraft("Shop"),)).targets[0].name == "Shop"
    unknown = edit(group, targets=(TargetDraft("Shop", id=1),))
    assert refused(unknown, TARGET_NOT_FOUND) == ""
    one_too_many = edit(group, targets=(TargetDraft("Shop"), TargetDraft("Spend")))
    assert refused(one_too_many, TARGET_NOT_FOUND) == "(targets[0])"


def test_of_a_level_only_the_rewards_change() -> None:
    group = defined(streak())
    bronze, gold = group.levels
    after = edited(group, levels=(LevelDraft("Gold", 3, (POINTS,)),))
    assert after.levels == (bronze, replace(gold, rewards=(POINTS,), updated=BOB))
    assert edited(group, levels=(LevelDraft("Gold"),)) is group
    assert refused(edit(group, levels=(LevelDraft("Gold", id=1),))).startswith("streaks[0]: ")
    renamed = edit(group, levels=(LevelDraft("Silver", id=bronze.id),))
    assert refused(renamed).startswith("streaks[0].name: ")
    harder = edit(group, levels=(LevelDraft("Bronze", 2),))
    assert refused(harder).startswith("streaks[0].targetCountOfSequence: ")
    bad = RewardDefinition("", "POINTS", Decimal(1))
    assert refused(edit(group, levels=(LevelDraft("Gold", rewards=(bad,)),))).startswith(
        "streaks[0].rewards[0].name: "
    )


# Periods.


def test_added_periods_take_the_next_numbers_and_their_place_in_time() -> None:
    group = defined(milestone())
    after = accepted(add_periods(group, [AUGUST, APRIL], count(9001), BOB))
    assert [(period.ref_code, period.number) for period in after.periods] == [
        ("April", 5),
        ("May", 1),
        ("June", 2),
        ("July", 3),
        ("August", 4),
    ]
    assert after.total_periods == 5
    assert after.cycle_starts_at == after.periods[0].starts_at
    assert after.cycle_ends_at == after.periods[-1].ends_at
    assert after.periods[-1].created == after.periods[-1].updated == after.updated == BOB


def test_in_an_added_period_every_target_asks_for_what_it_asks_for_in_the_last_one() -> None:
    targets = (target("A", default_values=values(1, 2, 3)), target("B", active=False))
    group = defined(milestone(targets=targets))
    after = accepted(add_periods(group, [AUGUST, APRIL], count(9001), BOB))
    assert amounts(after, 0) == [3, 1, 2, 3, 3]
    assert amounts(after, 1) == [1000] * 5


def test_an_added_period_overlaps_none_and_has_its_own_ref_code() -> None:
    group = defined(milestone())
    again = replace(AUGUST, ref_code="May")
    assert refused(add_periods(group, [again], count(9001), BOB)).startswith("periods[0].refCode: ")
    early = replace(AUGUST, start_date="2031-07-31")
    assert refused(add_periods(group, [early], count(9001), BOB)) == (
        "periods[0]: overlaps another period of the group."
    )
    assert refused(add_periods(group, [], count(9001), BOB)) == "periods: is empty."


def test_a_group_never_has_more_than_100_periods() -> None:
    group = defined(milestone(periods=(), frequency_type="DAILY", recurring_cycles=99))
    after = accepted(add_periods(group, [APRIL], count(9001), BOB))
    assert max(period.number for period in after.periods) == 100
    year_later = PeriodDraft("x", "2032-08-01", "2032-08-31")
    refused(add_periods(after, [year_later], count(9001), BOB))


def move(group: TargetGroup, *drafts: PeriodDraft) -> TargetGroup | Refusal:
    return edit_periods(group, drafts, BOB)


def test_of_a_running_period_only_the_end_moves_and_never_into_the_past() -> None:
    group = defined(milestone())
    after = accepted(move(group, PeriodDraft("June", "2031-06-01", "2031-06-10T17:30:00")))
    assert after.periods[1].ends_at == BOB.at + timedelta(seconds=1)
    assert [period.updated for period in after.periods] == [ALICE, BOB, ALICE]
    assert after.updated == BOB
    for end in ("2031-06-09", "2031-06-10T11:59:59Z", "2031-05-01"):
        detail = refused(move(group, PeriodDraft("June", end_date=end)))
        assert detail == "periods[0].endDate: cannot move into the past."
    start = refused(move(group, PeriodDraft("June", "2031-06-02")))
    assert start == "periods[0].startDate: the period is running, so only its end may move."


def test_of_a_period_that_has_not_started_both_dates_move() -> None:
    group = defined(milestone())
    after = accepted(move(group, PeriodDraft("July", "2031-07-05", "2031-08-05")))
    assert written_date(after.periods[2].starts_at, group.zone) == "2031-07-05"
    assert written_end_date(after.periods[2].ends_at, group.zone) == "2031-08-05"
    assert after.cycle_ends_at == after.periods[2].ends_at
    backwards = move(group, PeriodDraft("July", "2031-07-05", "2031-07-04"))
    assert refused(backwards) == "periods[0].endDate: must be after startDate."


def test_of_a_period_that_has_ended_no_date_moves() -> None:
    group = defined(milestone())
    for draft in (PeriodDraft("May", "2031-05-02"), PeriodDraft("May", end_date="2031-05-30")):
        assert refused(move(group, draft)) == "periods[0]: has ended, so its dates cannot change."
    assert refused(move(group, PeriodDraft("May", active=False))).startswith("periods[0].active: ")
    described = accepted(move(group, PeriodDraft("May", "2031-05-01", "2031-05-31", "Spring")))
    assert described.periods[0].description == "Spring"


@pytest.mark.parametrize(
    ("field", "draft"),
    [
        ("refCode", PeriodDraft(" ")),
        ("startDate", PeriodDraft(start_date="soon")),
        ("endDate", PeriodDraft(end_date="2031-02-30")),
        ("description", PeriodDraft(description="x" * 256)),
    ],
)
def test_a_changed_period_is_checked_as_a_new_one(field: str, draft: PeriodDraft) -> None:
    group = defined(milestone())
    july = replace(draft, id=group.periods[2].id)
    assert refused(move(group, july)).startswith(f"periods[0].{field}: ")


def test_a_period_may_be_inactive_until_it_has_ended() -> None:
    group = defined(milestone(periods=(MAY, replace(JUNE, active=False), JULY)))
    after = accepted(
        move(group, PeriodDraft("June", active=True), PeriodDraft("July", active=False))
    )
    assert [period.active for period in after.periods] == [True, True, False]


def test_a_period_that_starts_at_this_instant_has_started() -> None:
    group = defined(milestone(periods=(PeriodDraft("c", "2031-06-10T12:00:00Z", "2031-06-30"),)))
    assert group.periods[0].starts_at == BOB.at
    refused(move(group, PeriodDraft("d", id=group.periods[0].id)))
    refused(move(group, PeriodDraft("c", "2031-06-11")))


def test_a_period_that_ends_at_this_instant_has_ended() -> None:
    ending = PeriodDraft("c", "2031-06-01", "2031-06-10T11:59:59.999Z")
    group = defined(milestone(periods=(ending,)))
    assert group.periods[0].ends_at == BOB.at
    refused(move(group, PeriodDraft("c", end_date="2031-06-30")))


def test_moved_periods_neither_overlap_nor_pass_one_another() -> None:
    group = defined(milestone(periods=(MAY, JUNE, JULY, AUGUST)))
    longer = move(group, PeriodDraft("June", end_date="2031-07-01"))
    assert refused(longer) == "periods[0]: overlaps another period of the group."
    both = move(
        group, PeriodDraft("June", end_date="2031-07-01"), PeriodDraft("July", "2031-07-02")
    )
    assert accepted(both).periods[1].ends_at == accepted(both).periods[2].starts_at
    past = move(group, PeriodDraft("July", "2031-09-01", "2031-09-30"))
    assert refused(past) == "periods[0]: cannot move past another period of the group."
    summer = defined(milestone(periods=(JULY, AUGUST)))
    before = move(summer, PeriodDraft("August", "2031-06-15", "2031-06-20"))
    assert refused(before) == "periods[0]: cannot move past another period of the group."


def test_a_ref_code_changes_only_while_the_period_has_not_started() -> None:
    group = defined(milestone(periods=(MAY, JUNE, JULY, AUGUST)))
    july = group.periods[2].id
    after = accepted(move(group, PeriodDraft("Jul", id=july)))
    assert after.periods[2].ref_code == "Jul"
    running = move(group, PeriodDraft("Jun", id=group.periods[1].id))
    assert refused(running).startswith("periods[0].refCode: ")
    taken = move(group, PeriodDraft("May", id=july))
    assert refused(taken) == "periods[0].refCode: another period of the group has it."
    swapped = accepted(
        move(group, PeriodDraft("August", id=july), PeriodDraft("July", id=group.periods[3].id))
    )
    assert [period.ref_code for period in swapped.periods[2:]] == ["August", "July"]
    twins = move(group, PeriodDraft("x", id=july), PeriodDraft("x", id=group.periods[3].id))
    assert refused(twins) == "periods[1].refCode: another period of the group has it."


def test_an_unknown_period_is_not_found_and_none_is_changed_twice() -> None:
    group = defined(milestone())
    assert refused(move(group, PeriodDraft("May", id=1)), TARGET_PERIOD_NOT_FOUND) == ""
    refused(move(group, PeriodDraft("MAY")), TARGET_PERIOD_NOT_FOUND)
    refused(move(group, PeriodDraft()), TARGET_PERIOD_NOT_FOUND)
    several = move(group, PeriodDraft("May"), PeriodDraft("Mai"))
    assert refused(several, TARGET_PERIOD_NOT_FOUND) == "(periods[1])"
    twice = move(group, PeriodDraft("May"), PeriodDraft(id=group.periods[0].id))
    assert refused(twice) == "periods[1]: is the same period as periods[0]."


def test_the_periods_of_a_streak_are_fixed() -> None:
    group = defined(streak())
    refused(add_periods(group, [AUGUST], count(9001), BOB))
    assert refused(move(group, PeriodDraft("July", end_date="2031-08-05"))) == (
        "periods[0]: a streak's periods are fixed."
    )


# Targets.


def test_a_target_is_changed_in_what_is_sent_and_in_nothing_else() -> None:
    group = defined(milestone(targets=(target(), target("Other"))))
    before = group.targets[0]
    after = accepted(
        change(
            group,
            TargetDraft(
                name="Shop",
                target_type="COUNT",
                description="New",
                active=False,
                expression="currentTxn.value > 5",
                expression_json="{}",
                filters=ZONE_7,
                enrolment_method="TRANSACTION",
                rewards=(POINTS,),
                default_values=values(5),
            ),
        )
    )
    made = after.targets[0]
    assert (made.id, made.name, made.target_type) == (before.id, "Shop", "COUNT")
    assert (made.description, made.active, made.expression_json) == ("New", False, "{}")
    assert (made.filters, made.enrolment_method) == (ZONE_7, "TRANSACTION")
    assert made.rewards == (POINTS,)
    assert amounts(after) == [5, 5, 5]
    assert {value.id for value in made.values.values()} == {
        value.id for value in before.values.values()
    }
    assert (made.created, made.updated, after.updated) == (ALICE, BOB, BOB)
    assert after.targets[1] == group.targets[1]
    assert changed(group, description="New") == replace(before, description="New", updated=BOB)


def test_a_blank_expression_or_event_is_the_default_again() -> None:
    group = defined(milestone(targets=(target(expression="false", event_name="x"),)))
    assert changed(group, expression=" ").expression == "true"
    assert changed(group, event_name="").event_name == "TransactionAdd"


def test_a_changed_target_is_checked_as_a_new_one() -> None:
    group = defined(milestone(targets=(target(milestone_triggers=(HALF,)), target("Other"))))
    other = defined(milestone(name="Winter", targets=(target("Ski"),)), group)
    for name in ("OTHER", "ski"):
        assert refused(change(group, TargetDraft(name), other)).startswith("targets[0].name: ")
    assert changed(group, name="SPEND").name == "SPEND"
    refused(change(group, TargetDraft("x" * 201)), TARGET_NAME_TOO_LONG)
    refused(change(group, TargetDraft(target_type="ALL_POINTS")), INVALID_ENTITY_AND_TYPE)
    refused(change(group, TargetDraft(target_type="EXTENDED_FIELD")), EXTENDED_FIELD_INFO_MISSING)
    percent = change(group, TargetDraft(target_type="COUNT"))
    assert refused(percent).startswith("targets[0].targetMilestoneTriggers: ")
    zero = change(group, TargetDraft(default_values=values(0)))
    assert refused(zero).startswith("targets[0].defaultValues[0].defaultValue: ")


def test_an_unknown_target_is_not_found() -> None:
    group = defined(milestone())
    refused(
        edit_target(organisation(group), group, 1, TargetDraft(), count(9001), BOB),
        TARGET_NOT_FOUND,
    )
    refused(deactivate_target(group, 1, BOB), TARGET_NOT_FOUND)


def test_values_may_name_their_periods_and_the_others_stay() -> None:
    group = defined(milestone(targets=(target(default_values=values(1, 2, 3)),)))
    may, june, july = (period.id for period in group.periods)
    one = accepted(change(group, TargetDraft(default_values=(ValueDraft(Decimal(9), june),))))
    assert amounts(one) == [1, 9, 3]
    two = (ValueDraft(Decimal(7), july), ValueDraft(Decimal(5), may))
    assert amounts(accepted(change(group, TargetDraft(default_values=two)))) == [5, 2, 7]
    for wrong in (
        (ValueDraft(Decimal(9), june), ValueDraft(Decimal(9), june)),
        (ValueDraft(Decimal(9), 1),),
        (ValueDraft(Decimal(9), june), ValueDraft(Decimal(9)), ValueDraft(Decimal(9))),
        (),
        values(1, 2),
    ):
        detail = refused(change(group, TargetDraft(default_values=wrong)))
        assert detail.startswith("targets[0].defaultValues: ")


def test_a_value_of_a_cyclic_group_changes_for_all_cycles_or_none() -> None:
    group = defined(
        milestone(
            evaluation_type="CYCLIC_WINDOW", periods=(), frequency_type="DAILY", recurring_cycles=2
        )
    )
    assert amounts(accepted(change(group, TargetDraft(default_values=values(7))))) == [7, 7]
    first = ValueDraft(Decimal(7), group.periods[0].id)
    refused(change(group, TargetDraft(default_values=(first,))))


@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("name", {"name": "Walk"}),
        ("description", {"description": "New"}),
        ("targetEntity", {"target_entity": "LINEITEM"}),
        ("targetType", {"target_type": "COUNT"}),
        ("eventName", {"event_name": "walkLogged"}),
        ("enrolmentMethod", {"enrolment_method": "TRANSACTION"}),
        ("extendedFieldInfo", {"extended_field_info": {"name": "km"}}),
        ("aggregateWindow", {"aggregate_window": {"windowType": "MAX"}}),
        ("targetMilestoneTriggers", {"milestone_triggers": (HALF,)}),
    ],
)
def test_of_a_streaks_target_everything_else_is_fixed(field: str, fields: dict[str, Any]) -> None:
    group = defined(streak())
    detail = refused(change(group, TargetDraft(**fields)))
    assert detail == f"targets[0].{field}: that of a streak is fixed."


def test_of_a_streaks_target_expression_filters_values_rewards_and_active_change() -> None:
    group = defined(streak())
    made = changed(
        group,
        expression="false",
        expression_json="{}",
        filters=ZONE_7,
        default_values=values(1, 2, 3),
        rewards=(POINTS,),
        active=False,
    )
    assert (made.expression, made.expression_json, made.filters) == ("false", "{}", ZONE_7)
    assert (made.rewards, made.active) == ((POINTS,), False)
    assert sorted(value.value for value in made.values.values()) == [1, 2, 3]


def test_a_new_expression_sent_alone_leaves_no_tree_of_the_old_one() -> None:
    group = defined(milestone(targets=(target(expression="true", expression_json="{}"),)))
    assert changed(group, expression="true", description="New").expression_json == "{}"
    assert changed(group, expression="currentTxn.value > 5").expression_json is None
    assert changed(group, expression="false", expression_json="[]").expression_json == "[]"


def test_a_sub_target_keeps_its_kind_and_changes_its_amount() -> None:
    group = defined(milestone(targets=(target(milestone_triggers=(HALF,)),)))
    (before,) = group.targets[0].milestone_triggers
    later = TriggerDraft("HALF WAY", value=Decimal(60), active=False)
    (after,) = changed(group, milestone_triggers=(later,)).milestone_triggers
    assert after == {
        **before,
        "triggerName": "HALF WAY",
        "triggerValue": "60",
        "isActive": False,
    }
    by_id = TriggerDraft("Middle", id=int(str(before["id"])))
    (after,) = changed(group, milestone_triggers=(by_id,)).milestone_triggers
    assert after == {**before, "triggerName": "Middle"}
    kind = change(group, TargetDraft(milestone_triggers=(replace(HALF, value_type="ABSOLUTE"),)))
    assert refused(kind) == (
        "targets[0].targetMilestoneTriggers[0].triggerValueType: cannot change."
    )
    much = change(group, TargetDraft(milestone_triggers=(replace(HALF, value=Decimal(101)),)))
    assert refused(much).startswith("targets[0].targetMilestoneTriggers[0].triggerValue: ")


def test_sub_targets_that_are_not_listed_stay_and_new_ones_join() -> None:
    group = defined(milestone(targets=(target(milestone_triggers=(HALF,)),)))
    nearly = TriggerDraft("Nearly", "PERCENTAGE", Decimal(90))
    names = [
        trigger["triggerName"]
        for trigger in changed(group, milestone_triggers=(nearly,)).milestone_triggers
    ]
    assert names == ["Half way", "Nearly"]
    nameless = change(group, TargetDraft(milestone_triggers=(TriggerDraft(value=Decimal(1)),)))
    assert refused(nameless).endswith(".triggerName: is required.")


def test_a_sub_target_is_found_by_its_id_before_its_name() -> None:
    nearly = TriggerDraft("Nearly", "PERCENTAGE", Decimal(90))
    group = defined(milestone(targets=(target(milestone_triggers=(HALF, nearly)),)))
    half, second = group.targets[0].milestone_triggers
    renamed = TriggerDraft("Almost", id=int(str(second["id"])))
    assert changed(group, milestone_triggers=(renamed,)).milestone_triggers == (
        half,
        {**second, "triggerName": "Almost"},
    )
    stale = TriggerDraft("Nearly", value=Decimal(95), id=1)
    assert changed(group, milestone_triggers=(stale,)).milestone_triggers == (
        half,
        {**second, "triggerValue": "95"},
    )
    twin = TriggerDraft("half WAY", id=int(str(second["id"])))
    refused(change(group, TargetDraft(milestone_triggers=(twin,))))


def test_sub_targets_old_and_new_are_at_most_20() -> None:
    def some(first: int, last: int) -> tuple[TriggerDraft, ...]:
        return tuple(TriggerDraft(f"T{n}", "ABSOLUTE", Decimal(n)) for n in range(first, last + 1))

    group = defined(milestone(targets=(target(milestone_triggers=some(1, 15)),)))
    accepted(change(group, TargetDraft(milestone_triggers=some(10, 20))))
    refused(change(group, TargetDraft(milestone_triggers=some(10, 21))))


def test_added_targets_follow_those_there_are() -> None:
    group = defined(milestone())
    sent = [target("B", default_values=values(1, 2, 3)), target("A")]
    after = accepted(add_targets(organisation(group), group, sent, count(9001), BOB))
    assert [made.name for made in after.targets] == ["Spend", "B", "A"]
    assert after.targets[0] == group.targets[0]
    assert amounts(after, 1) == [1, 2, 3]
    assert after.targets[1].created == after.updated == BOB


def test_values_of_an_added_target_may_name_their_periods_but_all_of_them() -> None:
    group = defined(milestone())
    by_period = tuple(ValueDraft(Decimal(n), p.id) for n, p in enumerate(group.periods, 1))
    sent = [target("B", default_values=by_period[::-1])]
    after = accepted(add_targets(organisation(group), group, sent, count(9001), BOB))
    assert amounts(after, 1) == [1, 2, 3]
    partly = [target("B", default_values=by_period[:2])]
    detail = refused(add_targets(organisation(group), group, partly, count(9001), BOB))
    assert detail == "targets[0].defaultValues: must have a value for every period."


def test_added_targets_are_as_many_as_the_group_can_have() -> None:
    def add(group: TargetGroup, *drafts: TargetDraft) -> TargetGroup | Refusal:
        return add_targets(organisation(group), group, drafts, count(9001), BOB)

    group = defined(milestone())
    assert refused(add(group)) == "targets: is empty."
    refused(add(group, *(target(f"T{n}") for n in range(50))))
    accepted(add(group, *(target(f"T{n}") for n in range(49))))
    refused(add(defined(streak()), target("B")))
    refused(add(defined(milestone(user_created=True)), target("B")))
    assert refused(add(group, target("B"), target("SPEND"))).startswith("targets[1].name: ")


def test_an_added_target_joins_the_rule_expression() -> None:
    group = defined(unified())
    after = accepted(add_targets(organisation(group), group, [target("C")], count(9001), BOB))
    ids = "&".join(str(made.id) for made in after.targets)
    assert (after.unified_target_expression or {})["ruleExpression"] == f"({ids})"


def test_a_target_is_deactivated_once_and_may_come_back() -> None:
    group = defined(milestone())
    after = accepted(deactivate_target(group, group.targets[0].id, BOB))
    assert not after.targets[0].active
    assert after.targets[0].updated == after.updated == BOB
    assert accepted(deactivate_target(after, group.targets[0].id, ALICE)) is after
    assert changed(after, active=True).active
    jog = defined(streak())
    assert not accepted(deactivate_target(jog, jog.targets[0].id, BOB)).targets[0].active


def test_a_unified_group_keeps_two_active_targets() -> None:
    group = defined(unified(targets=(target("A"), target("B"), target("C"))))
    one, two, three = group.targets
    after = accepted(deactivate_target(group, two.id, BOB))
    assert (after.unified_target_expression or {})["ruleExpression"] == f"({one.id}&{three.id})"
    assert refused(deactivate_target(after, one.id, BOB)).startswith("targets: ")
    asleep = edit(after, targets=(TargetDraft(id=one.id, active=False),))
    assert refused(asleep).startswith("targets: ")
    assert refused(change(after, TargetDraft(active=False))).startswith("targets: ")


# The unified part.


def unify(group: TargetGroup, *drafts: TargetDraft, **fields: Any) -> TargetGroup | Refusal:
    return edit_unified(
        organisation(group),
        group,
        fields.get("threshold"),
        drafts,
        fields.get("leaving", ()),
        count(9001),
        BOB,
    )


def test_a_unified_group_changes_threshold_and_targets_in_one_call() -> None:
    group = defined(unified())
    one, two = group.targets
    after = accepted(
        unify(
            group,
            TargetDraft("Boots", id=one.id, default_values=values(9)),
            target("Hats"),
            threshold=Decimal(7000),
            leaving=(two.id,),
        )
    )
    boots, shirts, hats = after.targets
    assert (boots.id, boots.name, shirts.active, hats.name) == (one.id, "Boots", False, "Hats")
    assert amounts(after) == [9, 9, 9]
    assert amounts(after, 2) == [1000] * 3
    assert after.unified_target_expression == {
        "aggregation": "SUM",
        "thresholdValue": "7000",
        "ruleExpression": f"({boots.id}&{hats.id})",
    }
    assert shirts.updated == after.updated == BOB
    assert accepted(unify(after, leaving=(two.id,))) is after


def test_the_unified_part_is_left_as_it_is_by_an_edit_that_says_nothing() -> None:
    group = defined(unified())
    assert accepted(unify(group)) is group
    assert accepted(unify(group, TargetDraft("shoes"), threshold=Decimal("5000.00"))) == replace(
        group,
        targets=(replace(group.targets[0], name="shoes", updated=BOB), group.targets[1]),
        updated=BOB,
    )


def test_the_unified_part_is_refused_whole() -> None:
    group = defined(unified())
    one = group.targets[0]
    assert refused(unify(defined(milestone()))).startswith("trackingType: ")
    refused(unify(group, leaving=(one.id,)))
    refused(unify(group, leaving=(one.id, 1)), TARGET_NOT_FOUND)
    refused(unify(group, TargetDraft(id=1)), TARGET_NOT_FOUND)
    refused(unify(group, threshold=Decimal(0)))
    refused(unify(group, threshold=Decimal("NaN")))
    refused(unify(group, *(target(f"T{n}") for n in range(49))))
    refused(unify(group, leaving=range(51)))
    twice = unify(group, TargetDraft(id=one.id), TargetDraft(one.name))
    assert refused(twice) == "targets[1]: is the same target as one before."


def test_names_change_hands_within_one_edit_and_are_still_unique_after_it() -> None:
    group = defined(unified())
    one, two = group.targets
    swap = (TargetDraft("Shirts", id=one.id), TargetDraft("Shoes", id=two.id))
    assert [made.name for made in accepted(unify(group, *swap)).targets] == ["Shirts", "Shoes"]
    new = unify(group, TargetDraft("Boots", id=one.id), target("Shoes", id=None))
    assert refused(new) == "targets[1]: is the same target as one before."
    twins = (TargetDraft("Boots", id=one.id), TargetDraft("BOOTS", id=two.id))
    assert refused(unify(group, *twins)).startswith("targets[1].name: ")
    kept = unify(group, TargetDraft("Shirts", id=one.id))
    assert refused(kept).startswith("targets[0].name: ")
    again = (TargetDraft("Shoes", id=one.id, expression="false"), TargetDraft("Shoes", id=two.id))
    assert refused(unify(group, *again)).startswith("targets[1].name: ")


def test_no_more_ids_are_taken_than_were_said_to_be_needed() -> None:
    group = defined(unified())
    crowd = [target(f"T{n}") for n in range(1000)]
    ids = iter(range(ids_needed_to_add(targets=crowd)))
    detail = refused(edit_unified(organisation(group), group, None, crowd, (), ids, BOB))
    assert detail == "targets: must not have more than 50 entries."
    detail = refused(add_targets(organisation(group), group, crowd, ids, BOB))
    assert detail == "targets: must not have more than 50 entries."
    shop = defined(milestone())
    halves = TargetDraft(milestone_triggers=(HALF,) * 1000)
    ids = iter(range(ids_needed_to_edit([halves])))
    refused(edit_target(organisation(shop), shop, shop.targets[0].id, halves, ids, BOB))


def test_definitions_that_were_there_are_never_changed_themselves() -> None:
    group = defined(milestone())
    copy = replace(group)
    edited(group, name="Autumn", periods=(PeriodDraft("July", end_date="2031-08-05"),))
    add_periods(group, [AUGUST], count(9001), BOB)
    assert group == copy
