"""What a target counts and where: filters, daily windows, extended fields (milestones §2.3, §4.7, §5)."""

from __future__ import annotations

from typing import Any

import pytest

from milepost.errors import (
    EXTENDED_FIELD_INFO_MISSING,
    INVALID_CURRENCY,
    INVALID_PROGRAM,
    Refusal,
)
from milepost.rules.definitions import TargetGroup
from milepost.rules.drafts import TargetDraft
from tests.rules.drafts import accepted, define, milestone, refused, target

KM: dict[str, object] = {"name": "km"}
MILES: dict[str, object] = {"programId": 469, "alternateCurrencyIdentifier": "miles"}
BEST_OF_DAY = {"windowType": "MAX", "windowTimeUnit": "DAY", "windowValue": 1}


def made(draft: TargetDraft) -> TargetGroup | Refusal:
    return define(milestone(targets=(draft,)))


def attribute(**fields: Any) -> TargetDraft:
    """A target that adds up an attribute of an event."""
    defaults = {"target_entity": "EVENT", "target_type": "EVENT_ATTRIBUTE", "event_name": "run"}
    return target(**{**defaults, "extended_field_info": KM, **fields})


def currency(info: object) -> TargetDraft:
    return target(target_entity="ALTERNATE_CURRENCIES", target_type="ALL", extended_field_info=info)


@pytest.mark.parametrize(
    "filters",
    [
        [],
        [{"entityType": "STORE", "entityIds": [50679757, 50679770]}],
        [{"entityType": "zone", "entityIds": [0]}, {"entityType": "Concept", "entityIds": [-1]}],
    ],
)
def test_filters_name_stores_zones_and_concepts_in_any_case(filters: list[Any]) -> None:
    group = accepted(made(target(filters=tuple(filters))))
    assert group.targets[0].filters == tuple(filters)


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ({"entityType": "TILL", "entityIds": [1]}, ".entityType: must be one of STORE, ZONE"),
        ({"entityIds": [1]}, ".entityType: is required."),
        ({"entityType": 5, "entityIds": [1]}, ".entityType: must be one of"),
        ({"entityType": "STORE"}, ".entityIds: must be a list of one id or more."),
        ({"entityType": "STORE", "entityIds": []}, ".entityIds: must be a list"),
        ({"entityType": "STORE", "entityIds": "7"}, ".entityIds: must be a list"),
        ({"entityType": "STORE", "entityIds": ["7"]}, ".entityIds: must be a list"),
        ({"entityType": "STORE", "entityIds": [True]}, ".entityIds: must be a list"),
        ({"entityType": "targetGroups", "entityIds": [7]}, ": a filter by target groups"),
        ({"entityType": "TARGET_GROUP", "entityIds": [7]}, ": a filter by target groups"),
        (
            {"entityType": "STORE", "entityIds": [7], "targetGroups": [8]},
            ": a filter by target groups, of a third level, is not supported.",
        ),
    ],
)
def test_any_other_filter_is_refused_and_not_ignored(entry: dict[str, Any], reason: str) -> None:
    good = {"entityType": "STORE", "entityIds": [1]}
    assert f"targets[0].filters[1]{reason}" in refused(made(target(filters=(good, entry))))


@pytest.mark.parametrize("window", [BEST_OF_DAY, {"windowType": "min"}, None])
def test_a_window_is_the_best_or_lowest_value_of_a_day(window: dict[str, Any] | None) -> None:
    beside = accepted(made(attribute(aggregate_window=window)))
    assert beside.targets[0].aggregate_window == window
    within = {**KM, "aggregateFunction": "SUM", "aggregateWindow": window}
    accepted(made(attribute(extended_field_info=within)))


@pytest.mark.parametrize(
    ("window", "reason"),
    [
        ({}, ".windowType: is required."),
        ({"windowType": "AVG"}, ".windowType: must be one of MIN, MAX."),
        ({"windowType": ["MAX"]}, ".windowType: must be one of MIN, MAX."),
        ({**BEST_OF_DAY, "windowTimeUnit": "WEEK"}, ".windowTimeUnit: must be one of DAY."),
        ({**BEST_OF_DAY, "windowValue": 2}, ".windowValue: must be 1."),
        ({**BEST_OF_DAY, "windowValue": True}, ".windowValue: must be 1."),
    ],
)
def test_any_other_window_is_refused(window: dict[str, Any], reason: str) -> None:
    detail = refused(made(attribute(aggregate_window=window)))
    assert detail == f"targets[0].aggregateWindow{reason}"
    within = attribute(extended_field_info={**KM, "aggregateWindow": window})
    assert refused(made(within)) == f"targets[0].extendedFieldInfo.aggregateWindow{reason}"


def test_a_window_that_is_no_object_is_refused() -> None:
    within = attribute(extended_field_info={**KM, "aggregateWindow": "MAX"})
    assert "aggregateWindow: must be an object" in refused(made(within))


@pytest.mark.parametrize("info", [None, {}, {"name": None}, {"name": " "}, {"name": 5}])
def test_a_sum_of_an_event_attribute_needs_its_name(info: dict[str, Any] | None) -> None:
    detail = refused(made(attribute(extended_field_info=info)))
    assert detail == "targets[0].extendedFieldInfo.name: is required for EVENT_ATTRIBUTE."


@pytest.mark.parametrize("entity", ["TRANSACTION", "LINEITEM"])
def test_an_extended_field_needs_its_name(entity: str) -> None:
    field = target(target_entity=entity, target_type="EXTENDED_FIELD")
    refused(made(field), EXTENDED_FIELD_INFO_MISSING)
    unnamed = target(
        target_entity=entity,
        target_type="EXTENDED_FIELD",
        extended_field_info={"aggregateFunction": "SUM"},
    )
    assert refused(made(unnamed)) == (
        "targets[0].extendedFieldInfo.name: is required for EXTENDED_FIELD."
    )


@pytest.mark.parametrize("function", ["SUM", "count", None])
def test_an_extended_field_is_summed_or_counted(function: str | None) -> None:
    accepted(made(attribute(extended_field_info={**KM, "aggregateFunction": function})))


@pytest.mark.parametrize("function", ["AVG", "", 1])
def test_any_other_aggregate_function_is_refused(function: object) -> None:
    detail = refused(made(attribute(extended_field_info={**KM, "aggregateFunction": function})))
    assert detail == "targets[0].extendedFieldInfo.aggregateFunction: must be one of SUM, COUNT."


def test_an_event_that_is_counted_may_carry_an_attribute_all_the_same() -> None:
    info = {"name": "points", "aggregateFunction": "SUM"}
    accepted(made(attribute(target_type="COUNT", extended_field_info=info)))


def test_a_target_on_a_currency_needs_extended_field_info() -> None:
    accepted(made(currency(MILES)))
    refused(made(currency(None)), EXTENDED_FIELD_INFO_MISSING)


@pytest.mark.parametrize("program", [None, "469", True, 1.5, 2**63])
def test_a_target_on_a_currency_needs_its_program(program: object) -> None:
    refused(made(currency({"alternateCurrencyIdentifier": "miles"})), INVALID_PROGRAM)
    result = made(currency({**MILES, "programId": program}))
    assert isinstance(result, Refusal)
    assert result.error is INVALID_PROGRAM or "64 bits" in result.detail


@pytest.mark.parametrize("identifier", [None, "", "  ", 5])
def test_a_target_on_a_currency_needs_its_identifier(identifier: object) -> None:
    refused(made(currency({**MILES, "alternateCurrencyIdentifier": identifier})), INVALID_CURRENCY)
