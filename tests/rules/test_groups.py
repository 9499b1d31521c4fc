"""Defining target groups: contract §4 ("Define", "Values", "Generated periods"), milestones §2, §3.5."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import Any

import pytest

from milepost.errors import (
    EXTENDED_FIELD_INFO_MISSING,
    INVALID_ENTITY_AND_TYPE,
    LEADERBOARD_NOT_ENABLED,
    LEADERBOARD_WINDOW_UNSUPPORTED,
    TARGET_GROUP_NAME_TAKEN,
    TARGET_NAME_TOO_LONG,
)
from milepost.rules.calendar import LATEST_AT
from milepost.rules.definitions import RewardDefinition
from milepost.rules.drafts import (
    GroupDraft,
    LevelDraft,
    PeriodDraft,
    TriggerDraft,
    UnifiedDraft,
    ValueDraft,
    ids_needed,
)
from milepost.rules.groups import define_group
from milepost.rules.periods import add_periods
from milepost.rules.targets import TARGET_TYPES, add_targets
from tests.rules.drafts import (
    ALICE,
    BOB,
    JULY,
    JUNE,
    MAY,
    NOW,
    accepted,
    define,
    defined,
    fresh_ids,
    milestone,
    organisation,
    refused,
    streak,
    target,
    unified,
    values,
)

INFO = {"name": "km", "programId": 469, "alternateCurrencyIdentifier": "miles"}


def days(how_many: int) -> tuple[PeriodDraft, ...]:
    return tuple(
        PeriodDraft(f"d{n}", on, on)
        for n in range(how_many)
        for on in [(NOW + timedelta(days=n)).date().isoformat()]
    )


def generated(**fields: Any) -> GroupDraft:
    return milestone(
        **{"periods": (), "frequency_type": "MONTHLY", "recurring_cycles": 3, **fields}
    )


# The group's own fields.


def test_a_group_is_made_of_what_was_sent() -> None:
    group = defined(
        milestone(
            description="Buy more",
            active=False,
            preferred_till_id=11,
            total_periods=1,
            frequency_type="CUSTOM",
            frequency=0,
            recurring_cycles=-1,
            time_zone_name="Europe/Berlin",
            reward_allocation="PERIOD_END",
            track_from_enrolment_date=True,
            settlement_delay_days=2,
            carry_returns_forward=True,
        )
    )
    assert (group.name, group.description, group.active) == ("Summer", "Buy more", False)
    assert (group.preferred_till_id, group.time_zone) == (11, "Europe/Berlin")
    assert (group.frequency_type, group.frequency, group.recurring_cycles) == ("CUSTOM", 0, -1)
    assert group.reward_allocation == "PERIOD_END"
    assert group.track_from_enrolment_date
    assert group.carry_returns_forward
    assert group.settlement_delay_days == 2
    assert group.created == group.updated == ALICE


def test_a_group_that_says_little_is_a_dated_active_one_with_immediate_rewards() -> None:
    group = defined(GroupDraft("Summer", "DEFAULT", periods=(MAY,), targets=(target(),)))
    assert group.evaluation_type == "FIXED_CALENDAR_WINDOW"
    assert group.frequency_type == "CUSTOM"
    assert group.active
    assert group.reward_allocation == "IMMEDIATE"
    assert not group.track_from_enrolment_date
    assert not group.carry_returns_forward
    assert group.settlement_delay_days == 0
    assert group.time_zone == "Asia/Kolkata"


def test_name_and_tracking_type_are_required() -> None:
    assert refused(define(milestone(name=None))) == "name: is required."
    assert refused(define(milestone(tracking_type=None))) == "trackingType: is required."


@pytest.mark.parametrize("name", ["", "  ", " Summer", "Summer\t", "x" * 201, "a\0b", "a\ud800"])
def test_a_group_name_is_trimmed_not_blank_storable_and_at_most_200_characters(name: str) -> None:
    assert refused(define(milestone(name=name))).startswith("name: ")
    assert defined(milestone(name="Été 夏 " + "x" * 194)).name.startswith("Été 夏 ")


def test_a_group_name_is_unique_whatever_its_case_and_inactive_groups_keep_theirs() -> None:
    other = defined(milestone(name="STRASSE", active=False, targets=()))
    refused(define(milestone(name="Straße"), other), TARGET_GROUP_NAME_TAKEN)
    accepted(define(milestone(name="Strasse 2"), other))


@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("trackingType", {"tracking_type": "WHATEVER"}),
        ("trackingType", {"tracking_type": "\u017fTREAKS"}),
        ("targetEvaluationType", {"evaluation_type": "ROLLING_WINDOW"}),
        ("frequencyType", {"frequency_type": "FORTNIGHTLY"}),
        ("rewardAllocation", {"reward_allocation": "NEVER"}),
        ("combinationType", {"combination_type": "SOME"}),
        ("description", {"description": "x" * 256}),
        ("preferredTillId", {"preferred_till_id": 2**63}),
        ("totalPeriods", {"total_periods": 10**30}),
        ("frequency", {"frequency": -(2**31) - 1}),
        ("recurringCycles", {"recurring_cycles": 101}),
        ("settlementDelayDays", {"settlement_delay_days": -1}),
        ("settlementDelayDays", {"settlement_delay_days": 366}),
        ("timeZoneName", {"time_zone_name": "Mars/Base"}),
        ("timeZoneName", {"time_zone_name": "../etc/passwd"}),
        ("fromDate", {"from_date": "soon"}),
        ("toDate", {"to_date": "2031-02-30"}),
        ("targetCycleStartDate", {"target_cycle_start_date": ""}),
        ("targetCycleEndDate", {"target_cycle_end_date": "\ud800"}),
    ],
)
def test_a_field_that_is_wrong_is_named(field: str, fields: dict[str, Any]) -> None:
    assert refused(define(milestone(**fields))).startswith(f"{field}: ")


def test_words_of_the_wire_are_taken_in_any_case_and_streak_means_streaks() -> None:
    group = defined(
        streak(
            tracking_type="Streak",
            evaluation_type="fixed_calendar_window",
            frequency_type="Daily",
            reward_allocation="period_end",
            targets=(
                target(
                    "Run", target_entity="event", target_type="count", enrolment_method="import"
                ),
            ),
        )
    )
    assert group.tracking_type == "STREAKS"
    assert group.evaluation_type == "FIXED_CALENDAR_WINDOW"
    assert group.frequency_type == "DAILY"
    assert group.reward_allocation == "PERIOD_END"
    made = group.targets[0]
    assert (made.target_entity, made.target_type) == ("EVENT", "COUNT")
    assert made.enrolment_method == "IMPORT"


def test_total_periods_is_echoed_as_sent_and_counted_when_absent() -> None:
    assert defined(milestone(total_periods=1)).total_periods == 1
    assert defined(milestone()).total_periods == 3


def test_a_leaderboard_needs_dated_cycles_and_an_organisation_that_has_it() -> None:
    refused(define(milestone(leaderboard_enabled=True)), LEADERBOARD_NOT_ENABLED)
    refused(
        define(milestone(leaderboard_enabled=True, evaluation_type="CYCLIC_WINDOW")),
        LEADERBOARD_WINDOW_UNSUPPORTED,
    )


def test_given_ids_are_used_for_the_group_and_its_first_targets() -> None:
    group = accepted(
        define_group(
            organisation(),
            milestone(targets=(target("A"), target("B")), periods=(), frequency_type="DAILY",
                      recurring_cycles=1),
            fresh_ids(),
            ALICE,
            group_id=71,
            target_ids=[91],
        )
    )  # fmt: skip
    assert group.id == 71
    assert group.periods[0].ref_code == "PERIOD_G_71_1"
    assert group.targets[0].id == 91
    assert group.targets[1].id > 5000
    assert {made.group_id for made in group.targets} == {71}


# Periods.


def test_periods_are_in_order_of_their_start_and_numbered_in_the_order_sent() -> None:
    group = defined(milestone(periods=(JULY, MAY, JUNE)))
    assert [period.ref_code for period in group.periods] == ["May", "June", "July"]
    assert [period.number for period in group.periods] == [2, 3, 1]


def test_the_group_lasts_from_its_first_periods_start_to_its_last_ones_end() -> None:
    group = defined(milestone(periods=(JULY, MAY), from_date="2020-01-01", to_date="2040-01-01"))
    assert group.cycle_starts_at == datetime(2031, 4, 30, 18, 30, tzinfo=UTC)
    assert group.cycle_ends_at == datetime(2031, 7, 31, 18, 30, tzinfo=UTC)


def test_a_date_without_offset_is_local_in_the_groups_zone() -> None:
    group = defined(milestone(periods=(MAY,), time_zone_name="America/New_York"))
    assert group.periods[0].starts_at == datetime(2031, 5, 1, 4, tzinfo=UTC)
    assert group.periods[0].ends_at == datetime(2031, 6, 1, 4, tzinfo=UTC)


def test_an_end_is_included_at_its_written_precision() -> None:
    written = PeriodDraft("c", "2031-05-01T09:00:00Z", "2031-05-01T23:59:59.999Z")
    ends_at = defined(milestone(periods=(written,))).periods[0].ends_at
    assert ends_at == datetime(2031, 5, 2, tzinfo=UTC)


def test_periods_of_the_past_are_accepted() -> None:
    past = PeriodDraft("c", "1999-01-01", "1999-01-31")
    assert defined(milestone(periods=(past,))).periods[0].ended(NOW)


def test_periods_that_overlap_are_refused_and_those_that_touch_are_not() -> None:
    touching = PeriodDraft("next", "2031-06-01", "2031-06-02")
    accepted(define(milestone(periods=(MAY, touching))))
    overlapping = PeriodDraft("next", "2031-05-31", "2031-06-02")
    assert refused(define(milestone(periods=(JULY, MAY, overlapping)))) == (
        "periods[2]: overlaps periods[1]."
    )


def test_an_end_written_equal_to_the_next_start_overlaps() -> None:
    first = PeriodDraft("a", "2031-05-01T00:00:00Z", "2031-05-02T00:00:00Z")
    second = PeriodDraft("b", "2031-05-02T00:00:00Z", "2031-05-03T00:00:00Z")
    refused(define(milestone(periods=(first, second))))


def test_a_ref_code_is_unique_to_the_letter_in_its_group_only() -> None:
    again = replace(JUNE, ref_code="May")
    assert refused(define(milestone(periods=(MAY, again)))).startswith("periods[1].refCode: ")
    other_case = defined(milestone(periods=(MAY, replace(JUNE, ref_code="MAY"))))
    accepted(define(milestone(name="Winter", targets=()), other_case))


@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("refCode", {"ref_code": None}),
        ("refCode", {"ref_code": " "}),
        ("refCode", {"ref_code": "x" * 201}),
        ("refCode", {"ref_code": "\0"}),
        ("startDate", {"start_date": None}),
        ("startDate", {"start_date": "1st of May"}),
        ("endDate", {"end_date": None}),
        ("endDate", {"end_date": "2031-05-32"}),
        ("endDate", {"end_date": "2031-04-30"}),
        ("description", {"description": "x" * 256}),
    ],
)
def test_a_period_that_is_wrong_is_named(field: str, fields: dict[str, Any]) -> None:
    draft = milestone(periods=(JUNE, replace(MAY, **fields)))
    assert refused(define(draft)).startswith(f"periods[1].{field}: ")


def test_a_group_has_at_most_100_periods() -> None:
    assert len(defined(milestone(periods=days(100))).periods) == 100
    assert refused(define(milestone(periods=days(101)))).startswith("periods: ")


# Generated periods.


def test_without_periods_recurring_cycles_are_generated_from_target_cycle_start_date() -> None:
    group = defined(
        generated(
            target_cycle_start_date="2031-01-31T10:30:00",
            from_date="2020-01-01",
            time_zone_name="Europe/Berlin",
        )
    )
    assert [period.ref_code for period in group.periods] == [
        f"PERIOD_G_{group.id}_{n}" for n in (1, 2, 3)
    ]
    assert [period.number for period in group.periods] == [1, 2, 3]
    assert [period.starts_at.isoformat() for period in group.periods] == [
        "2031-01-31T09:30:00+00:00",
        "2031-02-27T23:00:00+00:00",
        "2031-03-30T22:00:00+00:00",
    ]
    assert group.cycle_ends_at.isoformat() == "2031-04-29T22:00:00+00:00"


def test_generation_starts_at_from_date_else_now() -> None:
    dated = defined(generated(from_date="2031-08-01", time_zone_name="UTC"))
    assert dated.periods[0].starts_at == datetime(2031, 8, 1, tzinfo=UTC)
    undated = defined(generated(time_zone_name="UTC"))
    assert undated.periods[0].starts_at == NOW
    assert undated.periods[0].ends_at == datetime(2031, 6, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    ("reason", "fields"),
    [
        ("CUSTOM", {"frequency_type": "CUSTOM"}),
        ("CUSTOM", {"frequency_type": None}),
        ("recurringCycles", {"recurring_cycles": 0}),
        ("recurringCycles", {"recurring_cycles": -1}),
        ("recurringCycles", {"recurring_cycles": None}),
        ("frequency", {"frequency": 0}),
        ("frequency", {"frequency": -10}),
        ("outside", {"frequency": 2**31 - 1}),
    ],
)
def test_custom_and_counts_below_1_generate_nothing(reason: str, fields: dict[str, Any]) -> None:
    detail = refused(define(generated(**fields)))
    assert detail.startswith("periods: none are sent; ")
    assert reason in detail


@pytest.mark.parametrize(
    "draft",
    [
        GroupDraft("Summer", "DEFAULT", frequency_type="CUSTOM"),
        GroupDraft("Summer", "DEFAULT", frequency_type="MONTHLY"),
        GroupDraft("Summer", "DEFAULT", recurring_cycles=3),
        GroupDraft("Summer", "DEFAULT", targets=(target(),)),
        streak(periods=()),
        unified(periods=()),
    ],
)
def test_periods_are_generated_or_refused_as_soon_as_any_are_spoken_of(draft: GroupDraft) -> None:
    assert refused(define(draft)).startswith("periods: none are sent; ")


def test_generated_periods_of_cyclic_windows_say_so() -> None:
    fixed = defined(generated())
    cyclic = defined(generated(evaluation_type="CYCLIC_WINDOW"))
    agnostic = defined(generated(evaluation_type="PERIOD_AGNOSTIC_WINDOW"))
    assert {period.description for period in fixed.periods} == {""}
    assert {period.description for period in cyclic.periods} == {"CYCLIC TARGET PERIOD"}
    assert {period.description for period in agnostic.periods} == {"CYCLIC TARGET PERIOD"}


# Three calls: group, period, target.


def test_group_periods_and_targets_may_come_in_three_calls() -> None:
    group = defined(GroupDraft("Summer", "DEFAULT"))
    assert (group.periods, group.targets) == ((), ())
    organised = organisation(group)
    refused(add_targets(organised, group, [target()], fresh_ids(), ALICE))
    ids = count(6001)
    group = accepted(add_periods(group, [JUNE, MAY], ids, BOB))
    group = accepted(add_targets(organised, group, [target()], ids, BOB))
    assert [period.ref_code for period in group.periods] == ["May", "June"]
    assert group.total_periods == 2
    assert set(group.targets[0].values) == {period.id for period in group.periods}
    assert (group.created, group.updated) == (ALICE, BOB)


def test_a_group_without_periods_lasts_from_now_for_five_years_or_as_sent() -> None:
    group = defined(GroupDraft("Summer", "DEFAULT"))
    assert (group.cycle_starts_at, group.cycle_ends_at) == (NOW, NOW.replace(year=2036))
    dated = defined(GroupDraft("Summer", "DEFAULT", from_date="2031-05-01", to_date="2031-05-02"))
    assert dated.cycle_ends_at - dated.cycle_starts_at == timedelta(days=2)
    both = replace(
        GroupDraft("Summer", "DEFAULT"),
        from_date="2031-05-01",
        to_date="2031-05-02",
        target_cycle_start_date="2032-05-01",
        target_cycle_end_date="2032-05-31",
    )
    assert defined(both).cycle_starts_at == datetime(2032, 4, 30, 18, 30, tzinfo=UTC)
    assert defined(both).cycle_ends_at == datetime(2032, 5, 31, 18, 30, tzinfo=UTC)
    late = defined(GroupDraft("Summer", "DEFAULT", from_date="2199-05-01"))
    assert late.cycle_ends_at == LATEST_AT
    backwards = GroupDraft("Summer", "DEFAULT", from_date="2031-05-02", to_date="2031-05-01")
    assert refused(define(backwards)).startswith("targetCycleEndDate: ")


# Targets.


def test_a_target_is_made_of_what_was_sent() -> None:
    made = defined(
        milestone(
            targets=(
                target(
                    event_name="runLogged",
                    target_entity="EVENT",
                    target_type="EVENT_ATTRIBUTE",
                    description="All runs",
                    active=False,
                    expression="currentEvent.km > 3",
                    expression_json="{}",
                    filters=({"entityType": "STORE", "entityIds": [1, 2]},),
                    enrolment_method="TRANSACTION",
                    extended_field_info={"name": "km", "aggregateFunction": "SUM"},
                    aggregate_window={"windowType": "MAX"},
                    rewards=(RewardDefinition("Gift", "coupon", Decimal(0), "ref"),),
                ),
            )
        )
    ).targets[0]
    assert (made.event_name, made.description, made.active) == ("runLogged", "All runs", False)
    assert (made.expression, made.expression_json) == ("currentEvent.km > 3", "{}")
    assert made.filters == ({"entityType": "STORE", "entityIds": [1, 2]},)
    assert made.enrolment_method == "TRANSACTION"
    assert made.extended_field_info == {"name": "km", "aggregateFunction": "SUM"}
    assert made.aggregate_window == {"windowType": "MAX"}
    assert made.rewards == (RewardDefinition("Gift", "COUPON", Decimal(0), "ref"),)
    assert made.created == made.updated == ALICE


def test_a_target_that_says_little_counts_transactions_of_imported_customers_unfiltered() -> None:
    made = defined(milestone(targets=(target(expression="", event_name=" "),))).targets[0]
    assert (made.event_name, made.expression) == ("TransactionAdd", "true")
    assert (made.enrolment_method, made.active, made.filters) == ("IMPORT", True, ())


@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("name", {"name": None}),
        ("name", {"name": ""}),
        ("name", {"name": " Spend"}),
        ("name", {"name": "\ud800"}),
        ("targetEntity", {"target_entity": None}),
        ("targetEntity", {"target_entity": "STORE"}),
        ("targetType", {"target_type": None}),
        ("targetType", {"target_type": "MOOD"}),
        ("defaultValues", {"default_values": None}),
        ("eventName", {"event_name": "x" * 201}),
        ("description", {"description": "x" * 256}),
        ("expression", {"expression": "x" * 10_001}),
        ("expressionJson", {"expression_json": "\0"}),
        ("enrolmentMethod", {"enrolment_method": "MAGIC"}),
        ("filters", {"filters": ({"entityIds": list(range(6000))},)}),
        ("filters", {"filters": ({"entityType": "a\0"},)}),
        ("filters", {"filters": ({"a\ud800": 1},)}),
        ("extendedFieldInfo", {"extended_field_info": {"a": 10**30}}),
        ("extendedFieldInfo", {"extended_field_info": {"a": float("inf")}}),
        ("extendedFieldInfo", {"extended_field_info": {"a": "x" * 20_000}}),
        ("extendedFieldInfo", {"extended_field_info": {"a": b"bytes"}}),
        ("aggregateWindow", {"aggregate_window": {"a": [[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]}}),
    ],
)
def test_a_target_that_is_wrong_is_named(field: str, fields: dict[str, Any]) -> None:
    draft = milestone(targets=(target("Fine"), target(**fields)))
    assert refused(define(draft)).startswith(f"targets[1].{field}: ")


def test_a_target_name_is_at_most_200_characters() -> None:
    long = milestone(targets=(target("x" * 201),))
    assert refused(define(long), TARGET_NAME_TOO_LONG) == ""
    several = milestone(targets=(target("Fine"), target("x" * 201)))
    assert refused(define(several), TARGET_NAME_TOO_LONG) == "(targets[1])"
    accepted(define(milestone(targets=(target("x" * 200),))))


def test_target_names_are_unique_in_the_organisation_whatever_their_case() -> None:
    other = defined(milestone(name="Winter", targets=(target("SPEND", active=False),)))
    assert refused(define(milestone(), other)).startswith("targets[0].name: ")
    twice = milestone(targets=(target("Spend"), target("sPEND")))
    assert refused(define(twice)).startswith("targets[1].name: ")


def test_every_entity_takes_its_target_types_and_no_other() -> None:
    every_type = {kind for kinds in TARGET_TYPES.values() for kind in kinds}
    documented = {
        ("TRANSACTION", "SALES"), ("TRANSACTION", "GROSS_SALES"), ("TRANSACTION", "COUNT"),
        ("TRANSACTION", "VISIT"), ("TRANSACTION", "QUANTITY"), ("TRANSACTION", "EXTENDED_FIELD"),
        ("LINEITEM", "SALES"), ("LINEITEM", "GROSS_SALES"), ("LINEITEM", "QUANTITY"),
        ("LINEITEM", "EXTENDED_FIELD"),
        ("EVENT", "COUNT"), ("EVENT", "VISIT"), ("EVENT", "EVENT_ATTRIBUTE"),
        ("REWARDS", "REGULAR_POINTS"), ("REWARDS", "PROMOTIONAL_POINTS"), ("REWARDS", "ALL_POINTS"),
        ("POINTS", "REGULAR_POINTS"), ("POINTS", "PROMOTIONAL_POINTS"), ("POINTS", "ALL_POINTS"),
        ("ALTERNATE_CURRENCIES", "REGULAR"), ("ALTERNATE_CURRENCIES", "PROMOTION"),
        ("ALTERNATE_CURRENCIES", "ALL"),
    }  # fmt: skip
    for entity in TARGET_TYPES:
        for kind in every_type:
            draft = target(target_entity=entity, target_type=kind, extended_field_info=INFO)
            result = define(milestone(targets=(draft,)))
            if (entity, kind) in documented:
                assert accepted(result).targets[0].target_entity == entity
            else:
                refused(result, INVALID_ENTITY_AND_TYPE)


def test_a_built_in_event_has_no_attribute_to_add_up() -> None:
    event = target(target_entity="EVENT", target_type="COUNT", event_name="ReturnBill")
    accepted(define(milestone(targets=(event,))))
    summed = replace(event, target_type="EVENT_ATTRIBUTE", extended_field_info={"name": "km"})
    refused(define(milestone(targets=(summed,))), INVALID_ENTITY_AND_TYPE)


@pytest.mark.parametrize("info", [None, {}])
@pytest.mark.parametrize(
    ("entity", "kind"), [("LINEITEM", "EXTENDED_FIELD"), ("ALTERNATE_CURRENCIES", "ALL")]
)
def test_extended_fields_and_alternate_currencies_need_extended_field_info(
    entity: str, kind: str, info: dict[str, object] | None
) -> None:
    draft = target(target_entity=entity, target_type=kind, extended_field_info=info)
    refused(define(milestone(targets=(draft,))), EXTENDED_FIELD_INFO_MISSING)


def test_a_milestone_has_any_number_of_targets_to_50() -> None:
    fifty = tuple(target(f"T{n}") for n in range(50))
    assert len(defined(milestone(targets=fifty)).targets) == 50
    assert defined(milestone(targets=())).targets == ()
    detail = refused(define(milestone(targets=(*fifty, target("T50")))))
    assert detail == "targets: must not have more than 50 entries."


def test_a_user_created_group_has_one_target_that_customers_are_put_into() -> None:
    accepted(define(milestone(user_created=True)))
    two = milestone(user_created=True, targets=(target("A"), target("B")))
    assert refused(define(two)).startswith("targets: ")
    automatic = milestone(user_created=True, targets=(target(enrolment_method="TRANSACTION"),))
    assert refused(define(automatic)).startswith("targets[0].enrolmentMethod: ")


# Values.


def amounts(draft: GroupDraft) -> list[Decimal]:
    group = defined(draft)
    return [group.targets[0].values[period.id].value for period in group.periods]


def test_default_values_follow_the_periods_as_sent_before_sorting() -> None:
    draft = milestone(periods=(JULY, MAY, JUNE), targets=(target(default_values=values(7, 5, 6)),))
    assert amounts(draft) == [5, 6, 7]


def test_default_values_are_required() -> None:
    detail = refused(define(milestone(targets=(target(default_values=None),))))
    assert detail == "targets[0].defaultValues: is required."


def test_one_default_value_serves_every_cycle_and_any_other_count_is_refused() -> None:
    assert (
        amounts(milestone(targets=(target(default_values=values("2.5")),))) == [Decimal("2.5")] * 3
    )
    for wrong in ((), values(1, 2), values(1, 2, 3, 4)):
        detail = refused(define(milestone(targets=(target(default_values=wrong),))))
        assert detail == "targets[0].defaultValues: must have 1 entry or 3, one for each period."


@pytest.mark.parametrize(
    "amount",
    ["0", "-0", "-1", "NaN", "sNaN", "-NaN", "Infinity", "1E+999999", "1E-999999", "0.0000001",
     "1000000000000000.1"],
)  # fmt: skip
def test_a_default_value_is_more_than_0_exact_and_bounded(amount: str) -> None:
    draft = milestone(targets=(target(default_values=values(1, amount, 1)),))
    assert refused(define(draft)).startswith("targets[0].defaultValues[1].defaultValue: ")


def test_a_default_value_may_be_as_small_as_a_millionth_and_as_large_as_10_to_the_15() -> None:
    draft = milestone(targets=(target(default_values=values("0.000001", "1E+15", 10**15)),))
    assert amounts(draft) == [Decimal("0.000001"), 10**15, 10**15]


def test_period_ids_of_values_are_ignored_where_the_group_is_new() -> None:
    copied = (ValueDraft(Decimal(1), 301), ValueDraft(Decimal(2), 302), ValueDraft(Decimal(3), 301))
    assert amounts(milestone(targets=(target(default_values=copied),))) == [1, 2, 3]


@pytest.mark.parametrize("window", ["CYCLIC_WINDOW", "PERIOD_AGNOSTIC_WINDOW"])
def test_only_dated_cycles_ask_for_different_values(window: str) -> None:
    different = generated(evaluation_type=window, targets=(target(default_values=values(1, 2, 3)),))
    assert refused(define(different)).startswith("targets[0].defaultValues: ")
    alike = generated(evaluation_type=window, targets=(target(default_values=values(2, 2, 2)),))
    assert amounts(alike) == [2, 2, 2]


# Rewards.


@pytest.mark.parametrize(
    ("field", "reward"),
    [
        ("name", RewardDefinition(" ", "POINTS", Decimal(1))),
        ("name", RewardDefinition("x" * 201, "POINTS", Decimal(1))),
        ("type", RewardDefinition("Gift", "MONEY", Decimal(1))),
        ("value", RewardDefinition("Gift", "POINTS", Decimal(-1))),
        ("value", RewardDefinition("Gift", "POINTS", Decimal("NaN"))),
        ("value", RewardDefinition("Gift", "POINTS", Decimal(10**15 + 1))),
        ("reference", RewardDefinition("Gift", "COUPON", Decimal(1), "x" * 256)),
        ("reference", RewardDefinition("Gift", "COUPON", Decimal(1), "\0")),
    ],
)
def test_a_reward_that_is_wrong_is_named(field: str, reward: RewardDefinition) -> None:
    good = RewardDefinition("Gift", "BADGE", Decimal(0))
    on_target = milestone(targets=(target(rewards=(good, reward)),))
    assert refused(define(on_target)).startswith(f"targets[0].rewards[1].{field}: ")
    on_level = streak(levels=(LevelDraft("Gold", 1, rewards=(good, reward)),))
    assert refused(define(on_level)).startswith(f"streaks[0].rewards[1].{field}: ")


def test_a_target_has_at_most_20_rewards() -> None:
    rewards = tuple(RewardDefinition(f"R{n}", "POINTS", Decimal(n)) for n in range(21))
    assert len(defined(milestone(targets=(target(rewards=rewards[:20]),))).targets[0].rewards) == 20
    detail = refused(define(milestone(targets=(target(rewards=rewards),))))
    assert detail == "targets[0].rewards: must not have more than 20 entries."


# Sub-targets.


def test_a_sub_target_is_kept_as_the_wire_has_it() -> None:
    half = TriggerDraft("Half way", "percentage", Decimal(50))
    made = defined(milestone(targets=(target(milestone_triggers=(half,)),))).targets[0]
    (trigger,) = made.milestone_triggers
    assert trigger == {
        "id": trigger["id"],
        "triggerName": "Half way",
        "description": "",
        "isActive": True,
        "triggerType": "SYSTEM_TRIGGER",
        "triggerValueType": "PERCENTAGE",
        "triggerValue": "50",
    }


@pytest.mark.parametrize(
    ("field", "trigger"),
    [
        ("triggerName", TriggerDraft(None, "ABSOLUTE", Decimal(1))),
        ("triggerName", TriggerDraft(" ", "ABSOLUTE", Decimal(1))),
        ("triggerValueType", TriggerDraft("T", None, Decimal(1))),
        ("triggerValueType", TriggerDraft("T", "RELATIVE", Decimal(1))),
        ("triggerValue", TriggerDraft("T", "ABSOLUTE", None)),
        ("triggerValue", TriggerDraft("T", "ABSOLUTE", Decimal(0))),
        ("triggerValue", TriggerDraft("T", "PERCENTAGE", Decimal("100.1"))),
        ("description", TriggerDraft("T", "ABSOLUTE", Decimal(1), "x" * 256)),
    ],
)
def test_a_sub_target_that_is_wrong_is_named(field: str, trigger: TriggerDraft) -> None:
    draft = milestone(targets=(target(milestone_triggers=(trigger,)),))
    at = f"targets[0].targetMilestoneTriggers[0].{field}: "
    assert refused(define(draft)).startswith(at)


def test_sub_targets_are_at_most_20_and_each_has_its_own_name() -> None:
    triggers = tuple(TriggerDraft(f"T{n}", "ABSOLUTE", Decimal(n + 1)) for n in range(21))
    accepted(define(milestone(targets=(target(milestone_triggers=triggers[:20]),))))
    refused(define(milestone(targets=(target(milestone_triggers=triggers),))))
    twins = (TriggerDraft("T", "ABSOLUTE", Decimal(1)), TriggerDraft("t", "ABSOLUTE", Decimal(2)))
    refused(define(milestone(targets=(target(milestone_triggers=twins),))))


def test_a_percentage_is_at_most_100_and_an_absolute_amount_is_not() -> None:
    whole = TriggerDraft("All of it", "PERCENTAGE", Decimal(100))
    much = TriggerDraft("Much", "ABSOLUTE", Decimal(500))
    accepted(define(milestone(targets=(target(milestone_triggers=(whole, much)),))))


def test_a_percentage_is_of_a_sales_amount_only() -> None:
    half = (TriggerDraft("Half way", "PERCENTAGE", Decimal(50)),)
    accepted(
        define(milestone(targets=(target(target_type="GROSS_SALES", milestone_triggers=half),)))
    )
    counted = milestone(targets=(target(target_type="COUNT", milestone_triggers=half),))
    assert refused(define(counted)).startswith("targets[0].targetMilestoneTriggers: ")


# Streaks.


def test_a_streak_has_its_levels_in_order() -> None:
    group = defined(streak())
    assert [(level.name, level.target_count) for level in group.levels] == [
        ("Bronze", 1),
        ("Gold", 3),
    ]
    assert group.is_streak
    assert group.levels[0].created == group.levels[0].updated == ALICE


@pytest.mark.parametrize("tracking_type", ["STREAKS", "NON_CONTINUOUS_STREAKS"])
def test_a_streak_has_at_least_one_level_and_exactly_one_target(tracking_type: str) -> None:
    kind = {"tracking_type": tracking_type}
    accepted(define(streak(**kind)))
    assert refused(define(streak(**kind, levels=()))).startswith("streaks: ")
    assert refused(define(streak(**kind, targets=()))).startswith("targets: ")
    two = (target("A"), target("B"))
    assert refused(define(streak(**kind, targets=two))).startswith("targets: ")


def test_a_streak_has_at_most_10_levels() -> None:
    levels = tuple(LevelDraft(f"L{n}", n) for n in range(1, 12))
    accepted(define(streak(levels=levels[:10], periods=days(11))))
    detail = refused(define(streak(levels=levels, periods=days(11))))
    assert detail == "streaks: must not have more than 10 entries."


@pytest.mark.parametrize("counts", [(2, 1), (1, 1), (1, 3, 2)])
def test_levels_are_entered_in_ascending_order(counts: tuple[int, ...]) -> None:
    levels = tuple(LevelDraft(f"L{n}", number) for n, number in enumerate(counts))
    assert refused(define(streak(levels=levels))) == (
        f"streaks[{len(counts) - 1}].targetCountOfSequence: "
        "must be more than that of the level before."
    )


def test_the_highest_level_is_at_most_the_number_of_cycles() -> None:
    too_high = refused(define(streak(levels=(LevelDraft("Gold", 4),))))
    assert too_high == (
        "streaks[0].targetCountOfSequence: must not be more than the number of cycles, 3."
    )
    weekly = streak(periods=(), frequency_type="WEEKLY", recurring_cycles=4)
    accepted(define(replace(weekly, levels=(LevelDraft("Gold", 4),))))


@pytest.mark.parametrize(
    ("field", "level"),
    [
        ("name", LevelDraft(None, 1)),
        ("name", LevelDraft("", 1)),
        ("name", LevelDraft("Gold ", 1)),
        ("name", LevelDraft("x" * 201, 1)),
        ("targetCountOfSequence", LevelDraft("Gold", None)),
        ("targetCountOfSequence", LevelDraft("Gold", 0)),
        ("targetCountOfSequence", LevelDraft("Gold", 10**30)),
    ],
)
def test_a_level_that_is_wrong_is_named(field: str, level: LevelDraft) -> None:
    assert refused(define(streak(levels=(level,)))).startswith(f"streaks[0].{field}: ")


def test_level_names_are_unique_in_the_organisation_whatever_their_case() -> None:
    other = defined(streak())
    again = streak(name="Evening run", targets=(target("Walk"),), levels=(LevelDraft("GOLD", 1),))
    assert refused(define(again, other)).startswith("streaks[0].name: ")
    twice = (LevelDraft("Gold", 1), LevelDraft("gold", 2))
    assert refused(define(streak(levels=twice))).startswith("streaks[1].name: ")


def test_only_a_streak_has_levels() -> None:
    draft = milestone(levels=(LevelDraft("Gold", 1),))
    assert refused(define(draft)) == "streaks: only a streak has levels."


@pytest.mark.parametrize("window", ["CYCLIC_WINDOW", "PERIOD_AGNOSTIC_WINDOW"])
def test_streaks_and_unified_groups_have_dated_cycles_only(window: str) -> None:
    for draft in (streak(), streak(tracking_type="NON_CONTINUOUS_STREAKS"), unified()):
        detail = refused(define(replace(draft, evaluation_type=window)))
        assert detail.startswith("targetEvaluationType: ")


def test_period_end_is_accepted_on_a_streak() -> None:
    assert defined(streak(reward_allocation="PERIOD_END")).reward_allocation == "PERIOD_END"


# Unified groups.


def test_the_rule_expression_joins_the_target_ids() -> None:
    group = defined(unified())
    one, two = group.targets
    assert group.unified_target_expression == {
        "aggregation": "SUM",
        "thresholdValue": "5000",
        "ruleExpression": f"({one.id}&{two.id})",
    }
    either = defined(unified(combination_type="any", unified_target_expression=None))
    one, two = either.targets
    assert either.combination_type == "ANY"
    assert either.unified_target_expression == {
        "aggregation": None,
        "thresholdValue": None,
        "ruleExpression": f"({one.id}|{two.id})",
    }


def test_a_unified_group_has_two_to_fifty_active_targets() -> None:
    assert refused(define(unified(targets=(target(),)))).startswith("targets: ")
    sleeping = (target("A"), target("B", active=False))
    assert refused(define(unified(targets=sleeping))).startswith("targets: ")
    fifty = tuple(target(f"T{n}") for n in range(50))
    accepted(define(unified(targets=fifty)))
    refused(define(unified(targets=(*fifty, target("T50")))))


def test_a_unified_group_says_how_its_targets_combine() -> None:
    assert refused(define(unified(combination_type=None))).startswith("combinationType: ")


@pytest.mark.parametrize(
    ("field", "expression"),
    [
        ("thresholdValue", UnifiedDraft("SUM", None)),
        ("thresholdValue", UnifiedDraft("SUM", Decimal(0))),
        ("thresholdValue", UnifiedDraft("COUNT", Decimal("NaN"))),
        ("aggregation", UnifiedDraft("MEAN", Decimal(1))),
    ],
)
def test_an_aggregation_needs_its_threshold(field: str, expression: UnifiedDraft) -> None:
    detail = refused(define(unified(unified_target_expression=expression)))
    assert detail.startswith(f"unifiedTargetExpression.{field}: ")


def test_an_overall_target_goes_with_all_only() -> None:
    assert refused(define(unified(combination_type="ANY"))) == (
        "unifiedTargetExpression.aggregation: needs combinationType ALL."
    )


def test_a_unified_group_has_no_sub_targets() -> None:
    half = (TriggerDraft("Half way", "PERCENTAGE", Decimal(50)),)
    draft = unified(targets=(target("A"), target("B", milestone_triggers=half)))
    assert refused(define(draft)).startswith("targets[1].targetMilestoneTriggers: ")


def test_what_joins_targets_is_ignored_outside_unified_groups() -> None:
    group = defined(
        milestone(combination_type="ALL", unified_target_expression=UnifiedDraft("SUM", Decimal(1)))
    )
    assert (group.combination_type, group.unified_target_expression) == (None, None)


# Ids.


def test_the_ids_needed_are_bounded_whatever_is_sent() -> None:
    many = milestone(
        periods=(MAY,) * 1000,
        targets=(target(milestone_triggers=(TriggerDraft(),) * 1000),) * 1000,
        levels=(LevelDraft(),) * 1000,
    )
    assert ids_needed(many) == 1 + 100 + 10 + 50 * (1 + 100 + 20)
    refused(define_group(organisation(), many, iter(range(ids_needed(many))), ALICE))
    crowded = milestone(targets=tuple(target(f"T{n}") for n in range(1000)))
    refused(define_group(organisation(), crowded, iter(range(ids_needed(crowded))), ALICE))
    assert ids_needed(GroupDraft(recurring_cycles=10**30)) == 101
    assert ids_needed(GroupDraft(recurring_cycles=-(10**30))) == 1
