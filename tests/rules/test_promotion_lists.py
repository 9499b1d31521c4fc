"""Which promotions a list shows: domain: promotions §3.5, §3.8."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from milepost.rules.definitions import Promotion
from milepost.rules.promotion_lists import (
    APPROVAL_STATUSES,
    SOURCE_TYPES,
    PromotionFilter,
    listed_promotions,
)
from milepost.rules.promotions import STATUSES, source_type
from tests.rules.promotion_samples import OTHER_PROGRAM, PROGRAM, offer
from tests.rules.samples import TICK, day

NOW = day(50)


def listed(*promotions: Promotion, at: datetime = NOW, **wanted: Any) -> list[int]:
    return [each.id for each in listed_promotions(promotions, PromotionFilter(**wanted), at)]


def numbered(*fields: dict[str, Any]) -> list[Promotion]:
    """Promotions 1, 2, 3 … with these fields."""
    return [offer(promotion_id=number, **each) for number, each in enumerate(fields, 1)]


def test_everything_is_listed_newest_id_first() -> None:
    assert listed(offer(promotion_id=2), offer(promotion_id=9), offer(promotion_id=5)) == [9, 5, 2]
    assert listed() == []


def test_a_list_can_be_that_of_one_program_or_one_promotion() -> None:
    found = numbered({}, {"program_id": OTHER_PROGRAM}, {})
    assert listed(*found, program_id=PROGRAM) == [3, 1]
    assert listed(*found, program_id=OTHER_PROGRAM) == [2]
    assert listed(*found, promotion_id=3) == [3]
    assert listed(*found, promotion_id=3, program_id=OTHER_PROGRAM) == []


BY_STATUS = numbered(
    {"state": "DRAFT"},
    {"state": "PENDING_APPROVAL"},
    {},
    {"starts": 60},
    {"ends": 40},
    {"active": False},
    {"state": "PAUSED"},
    {"state": "STOPPED"},
    {"draft": offer(state="PENDING_APPROVAL")},
)
EXPECTED = {
    "DRAFT": [1],
    "PENDING_APPROVAL": [2],
    "ACTIVE": [9, 4, 3],
    "PAUSED": [7],
    "STOPPED": [8],
    "INACTIVE": [8, 7, 6],
    "LIVE": [9, 3],
    "UPCOMING": [4],
    "EXPIRED": [5],
    "COMPLETED": [5],
}


@pytest.mark.parametrize("word", EXPECTED)
def test_a_list_can_be_of_a_status(word: str) -> None:
    assert listed(*BY_STATUS, statuses=frozenset({word})) == EXPECTED[word]


def test_every_status_that_can_be_asked_for_finds_something() -> None:
    assert {*STATUSES, *APPROVAL_STATUSES} == EXPECTED.keys()


def test_several_statuses_are_alternatives_and_drafts_count_where_they_are_shown() -> None:
    assert listed(*BY_STATUS, statuses=frozenset({"DRAFT", "LIVE"})) == [9, 3, 1]
    waiting = frozenset({"PENDING_APPROVAL"})
    assert listed(*BY_STATUS, statuses=waiting, drafts_too=True) == [9, 2]


def test_a_list_can_leave_out_what_is_off_or_was_not_approved() -> None:
    assert listed(*BY_STATUS, only_active=True) == [9, 5, 4, 3]


BY_EVENT = numbered(
    {"event": "TransactionAdd"},
    {"event": "TARGETCOMPLETED"},
    {"event": "runLogged"},
    {"event": None},
)


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ("", [4, 3, 2, 1]),
        ("ALL", [4, 3, 2, 1]),
        ("all", [4, 3, 2, 1]),
        ("TransactionAdd", [1]),
        ("TRANSACTIONADD", [1]),
        ("NewBill", [1]),
        ("TargetCompleted", [2]),
        ("GenericEvent", [3]),
        ("runLogged", [3]),
        ("runlogged", []),
        ("PointsTransfer", []),
    ],
)
def test_a_list_can_be_by_event(event: str, expected: list[int]) -> None:
    assert listed(*BY_EVENT, event=event) == expected


def test_a_list_can_be_by_where_promotions_come_from() -> None:
    found = numbered({}, {"vendor": {"promotionSourceType": "USER_CREATED"}})
    assert [source_type(each) for each in found] == ["PROMOTION_API", "USER_CREATED"]
    by_source = {word: listed(*found, source_type=word) for word in SOURCE_TYPES}
    assert {word: ids for word, ids in by_source.items() if ids} == {
        "PROMOTION_API": [1],
        "USER_CREATED": [2],
    }


def test_a_name_is_found_by_a_part_of_it_in_any_case_and_a_text_also_in_descriptions() -> None:
    found = numbered(
        {"name": "Holiday bonus"}, {"name": "Coffee", "description": "A HOLIDAY coffee"}
    )
    assert listed(*found, name="hOLI") == [1]
    assert listed(*found, text="holi") == [2, 1]
    assert listed(*found, text="tea") == []


@pytest.mark.parametrize(
    ("starts_at", "ends_at", "expected"),
    [
        (day(0), day(10), []),
        (day(0), day(10) + TICK, [1]),
        (day(20) - TICK, day(30), [1]),
        (day(20), day(30), []),
        (day(15), day(16), [1]),
        (None, day(10), []),
        (day(20), None, []),
        (day(0), day(100), [1]),
    ],
)
def test_a_list_can_be_of_what_runs_at_some_time_within_a_window(
    starts_at: datetime | None, ends_at: datetime | None, expected: list[int]
) -> None:
    (one,) = numbered({"starts": 10, "ends": 20})
    assert listed(one, starts_at=starts_at, ends_at=ends_at) == expected
