"""How the audit trail tells a change: field by field, in the wire's names."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

from milepost.rules.audit import (
    CHANGES_MAX,
    JOURNAL_ACTIONS,
    act_of_journal,
    action_of,
    changed,
    group_entry,
)
from milepost.rules.definitions import (
    Actor,
    Limits,
    Period,
    Promotion,
    RewardDefinition,
    Target,
    TargetGroup,
    TargetValue,
)
from milepost.rules.reasons import REASONS

AT = datetime(2026, 6, 1, tzinfo=UTC)
LATER = datetime(2026, 7, 1, tzinfo=UTC)
ACTOR = Actor(17, AT)
PERIOD = Period(5, 1, "c1", AT, LATER, created=ACTOR, updated=ACTOR)
TARGET = Target(
    7, 3, "Spend", "TRANSACTION", "SALES", values={5: TargetValue(9, 5, Decimal(1000))},
    created=ACTOR, updated=ACTOR,
)  # fmt: skip
GROUP = TargetGroup(
    3, "Spend", "DEFAULT", "UTC", AT, LATER, periods=(PERIOD,), targets=(TARGET,),
    created=ACTOR, updated=ACTOR,
)  # fmt: skip
PROMOTION = Promotion(57099, 469, "Review", "GENERIC", AT, LATER)


def test_only_what_differs_is_told() -> None:
    after = replace(GROUP, description="New", updated=Actor(18, LATER))
    assert changed(GROUP, after) == {"description": (None, "New")}
    assert changed(GROUP, GROUP) == {}


def test_the_parts_of_a_group_are_told_by_their_ids() -> None:
    target = replace(TARGET, active=False, values={5: TargetValue(9, 5, Decimal("1000.5"))})
    period = replace(PERIOD, ends_at=datetime(2026, 8, 1, tzinfo=UTC))
    assert changed(GROUP, replace(GROUP, targets=(target,), periods=(period,))) == {
        "periods.5.endsAt": ("2026-07-01T00:00:00Z", "2026-08-01T00:00:00Z"),
        "targets.7.active": (True, False),
        "targets.7.values.5.value": (Decimal(1000), Decimal("1000.5")),
    }


def test_what_is_new_or_gone_has_nothing_on_the_other_side() -> None:
    second = replace(TARGET, id=8, name="More", values={})
    told = changed(GROUP, replace(GROUP, targets=(TARGET, second)))
    assert told["targets.8.name"] == (None, "More")
    assert changed(replace(GROUP, targets=(TARGET, second)), GROUP)["targets.8.name"] == (
        "More",
        None,
    )


def test_a_record_within_a_record_is_told_by_its_fields_and_a_list_as_a_whole() -> None:
    after = replace(
        PROMOTION,
        limits=Limits(issuals_per_customer=3),
        rewards=(RewardDefinition("Fifty", "POINTS", Decimal(50)),),
    )
    fifty = {"name": "Fifty", "type": "POINTS", "value": Decimal(50), "reference": None}
    assert changed(PROMOTION, after) == {
        "limits.issualsPerCustomer": (1, 3),
        "rewards": (None, [fifty]),
    }


def test_true_is_not_1() -> None:
    assert changed({"a": True}, {"a": 1}) == {"a": (True, 1)}


def test_the_keys_of_a_callers_own_object_stay_as_they_are() -> None:
    assert changed({}, {"snake_case": {"x_y": 1}}) == {"snake_case.x_y": (None, 1)}


def test_an_entry_tells_of_so_many_fields_and_says_how_many_more_there_were() -> None:
    told = changed(None, {str(number): 1 for number in range(CHANGES_MAX + 5)})
    assert len(told) == CHANGES_MAX + 1
    assert told["…"] == (None, 5)


def test_the_action_says_whether_it_was_made_changed_deactivated_or_deleted() -> None:
    off = replace(GROUP, active=False)
    assert action_of(None, GROUP) == "CREATED"
    assert action_of(GROUP, replace(GROUP, name="Other")) == "CHANGED"
    assert action_of(GROUP, off) == "DEACTIVATED"
    assert action_of(off, GROUP) == "CHANGED"
    assert action_of(GROUP, None) == "DELETED"


def test_of_a_deleted_group_the_name_is_told() -> None:
    entry = group_entry(1, Actor(17, LATER), "r", GROUP, None)
    assert (entry.action, entry.subject_type, entry.subject_id) == ("DELETED", "TARGET_GROUP", "3")
    assert (entry.at, entry.credential_id, entry.request_id) == (LATER, 17, "r")
    assert entry.changes == {"name": ("Spend", None)}


def test_the_acts_that_the_journal_tells_of_are_reasons_of_the_journal() -> None:
    assert set(JOURNAL_ACTIONS) <= {*REASONS, "OWN_TARGET_VALUE"}


def test_what_the_journal_says_was_given_is_new_and_what_was_taken_is_gone() -> None:
    named = {"targetGroupId": 3, "targetId": 7, "periodId": None}
    assert act_of_journal("ENROLLED", {"stint": 1}, named) == (
        "ENROLLED",
        {"targetGroupId": (None, 3), "targetId": (None, 7)},
    )
    assert act_of_journal("LEFT", {}, named) == (
        "UNENROLLED",
        {"targetGroupId": (3, None), "targetId": (7, None)},
    )
    nowhere = dict.fromkeys(named)
    assert act_of_journal("PROMOTION_EARN_REVOKED", {"promotion": 1, "earns": [2]}, nowhere) == (
        "REVOKED",
        {"promotionId": (1, None), "earnedId": ([2], None)},
    )


def test_a_target_value_of_ones_own_is_told_with_the_one_before() -> None:
    named = {"targetGroupId": 3, "targetId": 7, "periodId": 5}
    action, told = act_of_journal(
        "OWN_TARGET_VALUE", {"earlierTargetValue": "1000", "targetValue": "500"}, named
    )
    assert action == "TARGET_VALUE_SET"
    assert told["targetValue"] == ("1000", "500")
    assert told["targetId"] == (7, 7)
