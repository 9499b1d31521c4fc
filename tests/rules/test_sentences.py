"""What activities did, and what followed from them, as sentences: contract §5, "explanation"."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from milepost.rules.definitions import CYCLIC, Definitions, TargetGroup
from milepost.rules.effects import Entry
from milepost.rules.explanation import explain
from milepost.rules.reasons import TARGET_REASONS
from tests.rules.entries import activity, changed, effect, loaded
from tests.rules.samples import GROUP, TARGET, cyclic, day, definitions, milestone, streak

CYCLE_1 = "cycle c1 (1 Jun 2026 – 10 Jun 2026)"


LISTED = {(what, code) for code, reason in TARGET_REASONS.items() for what in reason.whats}


def why(entry: Entry, group: TargetGroup | None = None, target_id: int | None = None) -> str:
    (line,) = explain(loaded(entry), definitions(group or milestone()), target_id)
    return line.why


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        (
            activity(effect("ADDED", 120.5, 420.5)),
            (
                f"Purchase 'tx-1' of 2 Jun 2026 10:00 added 120.5 to {CYCLE_1} of 'Spend 1000', "
                "from 300 to 420.5 of 1000."
            ),
        ),
        (
            activity(effect("ADDED", 1, 1), kind="EVENT"),
            (
                f"Event 'runLogged' 'ev-1' of 2 Jun 2026 10:00 added 1 to {CYCLE_1} of 'Spend 1000', "
                "from 0 to 1 of 1000."
            ),
        ),
        (
            activity(effect("RETURNED", -20, 400.5), kind="RETURN"),
            (
                f"Return 'rt-1' of 2 Jun 2026 10:00 took 20 from {CYCLE_1} of 'Spend 1000', "
                "from 420.5 to 400.5 of 1000."
            ),
        ),
        (
            activity(effect("CARRIED_FORWARD", -3000, -3000, period_id=702), kind="RETURN"),
            (
                "Return 'rt-1' of 2 Jun 2026 10:00 took 3000 from cycle c2 (11 Jun 2026 – 20 Jun 2026) of "
                "'Spend 1000', because the cycle of its sale is rewarded or closed and is left alone, "
                "from 0 to -3000 of 1000."
            ),
        ),
        (
            activity(effect("POINTS_GRANTED", 50, 70)),
            (
                f"50 points granted as a reward for activity 'tx-1' were added to {CYCLE_1} of 'Spend 1000', "
                "from 20 to 70 of 1000."
            ),
        ),
    ],
)
def test_an_activity_that_counts_is_told_with_its_values(entry: Entry, sentence: str) -> None:
    assert why(entry) == sentence


def test_the_best_value_of_a_day_is_called_so() -> None:
    for window, kind in (("MAX", "highest"), ("MIN", "lowest")):
        group = changed(milestone(), aggregate_window={"windowType": window})
        entry = activity(effect("ADDED", 3, 8, day="2026-06-02"), kind="EVENT")
        told = why(entry, group)
        assert f"is the {kind} value of 2 Jun 2026 so far and added 3 to {CYCLE_1}" in told
    group = changed(milestone(), aggregate_window={"windowType": "MIN"})
    entry = activity(effect("ADDED", -2, 6, day="2026-06-02"), kind="EVENT")
    told = why(entry, group)
    assert f"is the lowest value of 2 Jun 2026 so far and took 2 from {CYCLE_1}" in told


def test_points_towards_a_ceiling_are_called_so() -> None:
    group = milestone(tracking_type="CAPPING", name="At most 1000")
    entry = Entry(day(1), "ACTIVITY", "POINTS", effects=(effect("POINTS_GRANTED", 50, 70),))
    (line,) = explain(loaded(entry), definitions(group))
    assert line.why == (
        f"50 points granted as a reward were counted towards the ceiling of {CYCLE_1} of "
        "'At most 1000', from 20 to 70 of 1000."
    )
    assert (line.what, line.activity_id, line.occurred_at) == ("COUNTED", None, None)


NOT_COUNTED: dict[str, tuple[Entry, dict[str, object], dict[str, object], str]] = {
    "GROUP_INACTIVE": (
        activity(effect("GROUP_INACTIVE")),
        {},
        {},
        "the target group was inactive when it arrived. What arrives while the group is active can count.",
    ),
    "TARGET_INACTIVE": (
        activity(effect("TARGET_INACTIVE")),
        {},
        {},
        "the target was inactive when it arrived. What arrives while it is active can count.",
    ),
    "OUTSIDE_SCOPE": (
        activity(effect("OUTSIDE_SCOPE")),
        {},
        {
            "filters": (
                {"entityType": "STORE", "entityIds": [1, 2]},
                {"entityType": "ZONE", "entityIds": [9]},
            )
        },
        "it happened outside the target's scope. By today's settings only stores 1, 2 in zone 9 count there.",
    ),
    "NO_CYCLE": (
        activity(effect("NO_CYCLE", period_id=None)),
        {},
        {},
        (
            "no cycle includes its date. Today's cycles lie between 1 Jun 2026 and 20 Jul 2026, and only "
            "what is dated within one counts."
        ),
    ),
    "CYCLE_INACTIVE": (
        activity(effect("CYCLE_INACTIVE", period_id=None)),
        {},
        {},
        "the cycle of its date is deactivated. Once it is active, what arrives then can count.",
    ),
    "CYCLE_CLOSED": (
        activity(effect("CYCLE_CLOSED"), at_days=12.5),
        {"settlement_delay_days": 2},
        {},
        (
            "it arrived on 13 Jun 2026 12:00, after the cycle had closed. It would have counted if it had "
            "arrived before 13 Jun 2026."
        ),
    ),
    "NOT_ENROLLED": (
        activity(effect("NOT_ENROLLED")),
        {},
        {},
        (
            "the customer was not enrolled when it arrived. What arrives after an enrolment that covers the "
            "cycle of its date can count."
        ),
    ),
    "BEFORE_ENROLMENT": (
        activity(effect("BEFORE_ENROLMENT")),
        {},
        {},
        (
            "it is dated before the customer's enrolment, and this group tracks activity from the enrolment "
            "on. What is dated after the enrolment can count."
        ),
    ),
    "EXPRESSION_FALSE": (
        activity(effect("EXPRESSION_FALSE")),
        {},
        {"expression": "currentTxn.value > 100"},
        "it doesn't meet the target's expression. Today that is currentTxn.value > 100.",
    ),
    "NO_VALUE": (
        activity(effect("NO_VALUE"), kind="EVENT"),
        {},
        {"target_type": "EVENT_ATTRIBUTE", "extended_field_info": {"name": "km"}},
        "the target counts the field 'km', and there is none in it.",
    ),
    "SAME_DAY": (
        activity(effect("SAME_DAY", day="2026-06-02")),
        {},
        {},
        "2 Jun 2026 had counted already. Each day counts once, so a visit on another day can count.",
    ),
    "NOT_BEST": (
        activity(effect("NOT_BEST")),
        {},
        {"aggregate_window": {"windowType": "MAX"}},
        "the day has a higher value, or the same, already. Of each day the highest value counts.",
    ),
    "BEFORE_FIRST_CYCLE": (
        activity(effect("BEFORE_FIRST_CYCLE", period_id=None)),
        {},
        {},
        (
            "it is dated before the customer's first cycle, which began with the first activity that counted "
            "and does not move. What is dated later can count."
        ),
    ),
    "ALL_CYCLES_OVER": (
        activity(effect("ALL_CYCLES_OVER", period_id=None)),
        {"evaluation_type": CYCLIC},
        {},
        "the last of the customer's cycles is over; there are 5.",
    ),
    "RETURNS_IGNORED": (
        activity(effect("RETURNS_IGNORED"), kind="RETURN"),
        {},
        {},
        (
            "in this organisation returns leave targets alone. With the setting returnsAdjustTargets they "
            "lower them."
        ),
    ),
    "NOTHING_TO_RETURN": (
        activity(effect("NOTHING_TO_RETURN"), kind="RETURN"),
        {},
        {},
        "its sale had added nothing here, or nothing that is left to take back.",
    ),
    "PARTLY_RETURNED": (
        activity(effect("PARTLY_RETURNED"), kind="RETURN"),
        {},
        {},
        (
            "its sale is not returned in full yet. What is counted once per sale or day goes with the last "
            "part of it."
        ),
    ),
    "EARLIER_ATTEMPT": (
        activity(effect("EARLIER_ATTEMPT"), kind="RETURN"),
        {},
        {},
        "its sale had counted in an earlier attempt, and another has begun since.",
    ),
    "ALREADY_REWARDED": (
        activity(effect("ALREADY_REWARDED"), kind="RETURN"),
        {},
        {},
        (
            "the cycle is rewarded already, and this group leaves such a cycle alone. The next open cycle "
            "without reward that the customer is enrolled in is lowered, if there is one."
        ),
    ),
}


@pytest.mark.parametrize("code", NOT_COUNTED)
def test_an_activity_that_does_not_count_is_told_why_and_what_would_have_helped(code: str) -> None:
    entry, group, target, reason = NOT_COUNTED[code]
    defined = changed(milestone(**group), **target)  # type: ignore[arg-type]
    (line,) = explain(loaded(entry), definitions(defined))
    assert (line.what, line.reason) == ("NOT_COUNTED", code)
    subject = "Return 'rt-1'" if entry.reason == "RETURN" else "Purchase 'tx-1'"
    if entry.reason == "EVENT":
        subject = "Event 'runLogged' 'ev-1'"
    place = "'Spend 1000'" if line.period_ref_code is None else f"{CYCLE_1} of 'Spend 1000'"
    if group.get("evaluation_type"):
        place = "'Spend 1000'"
    assert line.why == f"{subject} of 2 Jun 2026 10:00 did not count in {place}: {reason}"


def test_every_reason_for_not_counting_is_among_them() -> None:
    listed = {code for code, reason in TARGET_REASONS.items() if "NOT_COUNTED" in reason.whats}
    assert set(NOT_COUNTED) == listed - {"NO_TARGET"}


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ({"target_entity": "LINEITEM"}, "the target counts net amounts, and there is none in it."),
        (
            {"target_entity": "LINEITEM", "target_type": "COUNT"},
            "the target counts line items, and there is none in it.",
        ),
        (
            {"target_entity": "POINTS", "target_type": "ALL_POINTS"},
            "there is nothing in it of what the target counts.",
        ),
    ],
)
def test_what_a_target_counts_is_named_where_there_was_none(
    target: dict[str, object], reason: str
) -> None:
    assert why(activity(effect("NO_VALUE")), changed(milestone(), **target)).endswith(reason)


def test_a_scope_of_many_places_is_not_listed_whole() -> None:
    filters = ({"entityType": "STORE", "entityIds": list(range(1, 31))},)
    told = why(activity(effect("OUTSIDE_SCOPE")), changed(milestone(), filters=filters))
    assert "only stores 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 and 20 more count there." in told
    told = why(activity(effect("OUTSIDE_SCOPE")))
    assert told.endswith("By today's settings only certain stores, zones or concepts count.")


def test_an_expression_of_line_items_is_told_as_such() -> None:
    group = changed(milestone(), target_entity="LINEITEM", expression="currentLineItem.sku == 'A'")
    assert "none of its line items meets the target's expression." in why(
        activity(effect("EXPRESSION_FALSE")), group
    )


def test_an_activity_before_a_group_of_own_cycles_is_told_when_it_begins() -> None:
    told = why(activity(effect("NO_CYCLE", period_id=None)), cyclic())
    assert told.endswith("it is dated before the group begins, on 1 Jun 2026.")


def test_an_activity_has_a_line_for_each_target_that_it_met() -> None:
    group = milestone()
    other = replace(group.targets[0], id=71, name="Visits")
    group = replace(group, targets=(*group.targets, other))
    entry = activity(effect("ADDED", 5, 5), effect("SAME_DAY", target_id=71, day="2026-06-02"))
    lines = explain(loaded(entry), definitions(group))
    assert [(line.target_id, line.what, line.reason) for line in lines] == [
        (70, "COUNTED", "ADDED"),
        (71, "NOT_COUNTED", "SAME_DAY"),
    ]
    for target_id in (70, 71):
        assert [line.target_id for line in explain(entry, definitions(group), target_id)] == [
            target_id
        ]


def test_a_line_about_an_activity_has_its_id_its_date_and_its_values() -> None:
    (line,) = explain(loaded(activity(effect("ADDED", 120.5, 420.5))), definitions(milestone()))
    fields = line.fields()
    assert {name: fields[name] for name in ("activityId", "occurredAt", "at")} == {
        "activityId": "tx-1",
        "occurredAt": "2026-06-02T10:00:00.000Z",
        "at": "2026-06-06T00:00:00.000Z",
    }
    assert [fields[name] for name in ("before", "amount", "value", "targetValue")] == [
        300,
        Decimal("120.5"),
        Decimal("420.5"),
        1000,
    ]
    (line,) = explain(activity(effect("NO_CYCLE", period_id=None)), definitions(milestone()))
    assert [line.before, line.amount, line.value, line.target_value] == [None, 0, None, None]
    (line,) = explain(activity(effect("NOT_ENROLLED", 0, 30)), definitions(milestone()))
    assert [line.before, line.amount, line.value, line.target_value] == [30, 0, 30, 1000]


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        (
            "TRANSACTION",
            (
                "Purchase 'tx-1' of 2 Jun 2026 10:00 counted nowhere: the customer had never been enrolled "
                "in a target that counts purchases. What arrives after an enrolment can count."
            ),
        ),
        (
            "EVENT",
            (
                "Event 'runLogged' 'ev-1' of 2 Jun 2026 10:00 counted nowhere: the customer had never been "
                "enrolled in a target that counts events 'runLogged'. What arrives after an "
                "enrolment can count."
            ),
        ),
        (
            "RETURN",
            "Return 'rt-1' of 2 Jun 2026 10:00 counted nowhere: its sale is in no target of the customer's.",
        ),
    ],
)
def test_an_activity_that_met_no_target_has_one_line(kind: str, sentence: str) -> None:
    (line,) = explain(loaded(activity(kind=kind)), definitions(milestone()))
    assert (line.what, line.reason, line.why) == ("NOT_COUNTED", "NO_TARGET", sentence)
    assert (line.target_group_id, line.target_id, line.value) == (None, None, None)
    assert line.activity_id is not None


def test_whoever_asks_for_a_target_learns_that_the_customer_was_not_enrolled_when_it_arrived() -> (
    None
):
    for entry in (activity(), activity(effect("ADDED", 1, 1, target_id=4711))):
        (line,) = explain(loaded(entry), definitions(milestone()), TARGET)
        assert (line.what, line.reason) == ("NOT_COUNTED", "NOT_ENROLLED")
        assert (line.target_group_id, line.target_id, line.value) == (GROUP, TARGET, None)
        assert line.why == (
            "Purchase 'tx-1' of 2 Jun 2026 10:00 did not count in 'Spend 1000': the customer was not "
            "enrolled when it arrived. What arrives after an enrolment that covers the cycle of its date "
            "can count."
        )


@pytest.mark.parametrize(
    ("kind", "target", "told"),
    [
        ("TRANSACTION", {"target_entity": "LINEITEM"}, True),
        ("TRANSACTION", {"target_entity": "EVENT", "event_name": "runLogged"}, False),
        ("EVENT", {"target_entity": "EVENT", "event_name": "runLogged"}, True),
        ("EVENT", {"target_entity": "EVENT", "event_name": "swum"}, False),
        ("EVENT", {}, False),
        ("RETURN", {}, False),
        ("RETURN", {"target_entity": "EVENT", "event_name": "ReturnBill"}, True),
    ],
)
def test_only_activities_of_the_kind_that_the_target_counts_are_told_to_who_asks_for_it(
    kind: str, target: dict[str, object], told: bool
) -> None:
    defined = definitions(changed(milestone(), **target))
    assert bool(explain(loaded(activity(kind=kind)), defined, TARGET)) == told
    assert explain(loaded(activity(kind=kind)), defined, 4711) == []


def test_other_entries_are_told_to_who_asks_for_their_target_only() -> None:
    entry = Entry(
        day(1), "ACHIEVED", "REACHED", GROUP, TARGET, 701, {"value": "1", "targetValue": "1"}
    )
    assert len(explain(entry, definitions(milestone()), TARGET)) == 1
    assert explain(entry, definitions(milestone()), 71) == []
    of_group = replace(entry, target_id=None)
    assert len(explain(of_group, definitions(milestone()), TARGET)) == 1
    assert explain(of_group, definitions(milestone()), 4711) == []


def test_what_only_notifies_is_not_explained() -> None:
    for what in ("STARTED", "TARGET_VALUE"):
        assert (
            explain(Entry(day(1), what, "ANY", GROUP, TARGET, 701), definitions(milestone())) == []
        )


LEVEL = {"id": 902, "name": "l2", "count": 4}
STANDING = {"attempt": 1, "value": "1200.50", "targetValue": "1000"}
FOLLOWED: dict[tuple[str, str], tuple[TargetGroup, dict[str, object], str]] = {
    ("ENROLLED", "FIRST_ACTIVITY"): (
        milestone(),
        {"stint": 1, "attempt": 1, "targetValue": "1000", "activity": "tx-1"},
        (f"Enrolled in 'Spend 1000' from {CYCLE_1} on, because activity 'tx-1' is the first one that "
        "counts there."),
    ),
    ("ACHIEVED", "REACHED"): (
        milestone(),
        {**STANDING, "activity": "tx-1"},
        f"Reached the target of {CYCLE_1} of 'Spend 1000' at 1200.5 of 1000 by activity 'tx-1'.",
    ),
    ("ACHIEVED", "LEVEL_REACHED"): (
        streak(),
        {"attempt": 2, "level": LEVEL, "counter": 4, "activity": "tx-1"},
        (f"Reached level 'l2' of 'Daily run' by meeting {CYCLE_1}, which takes 4 cycles in a row, as "
        "attempt 2."),
    ),
    ("ACHIEVED", "UNIFIED_REACHED"): (
        milestone(tracking_type="UNIFIED", combination_type="ALL"),
        {"members": [[70, "1200.50", "1000"], [71, "5", "5"]], "activity": "tx-1"},
        ("The targets of 'Spend 1000' in cycle c1 (1 Jun 2026 – 10 Jun 2026) met their condition (all of "
        "them) by activity 'tx-1': 'Spend 1000' 1200.5 of 1000, target 71 5 of 5."),
    ),
    ("UNACHIEVED", "RETURNED"): (
        milestone(),
        {"attempt": 1, "value": "900", "targetValue": "1000", "kept": ["Fifty"], "activity": "rt-1"},
        (f"Return 'rt-1' took {CYCLE_1} of 'Spend 1000' below its target at 900 of 1000. 'Fifty', granted "
        "before, stays, and is not granted again in the same attempt."),
    ),
    ("UNACHIEVED", "LOWER_THAT_DAY"): (
        milestone(),
        {"attempt": 1, "value": "900", "targetValue": "1000", "activity": "ev-1"},
        (f"Only a day's lowest value counts, and a lower one took {CYCLE_1} of 'Spend 1000' below its target "
        "at 900 of 1000. Nothing had been granted for it."),
    ),
    ("UNACHIEVED", "LEVEL_LOST"): (
        streak(),
        {"attempt": 1, "level": LEVEL, "counter": 3, "kept": ["A", "B", "C"], "activity": "rt-1"},
        ("After return 'rt-1' the run of 'Daily run' is too short for level 'l2'. 'A', 'B' and 'C', granted "
        "before, stay, and are not granted again in the same attempt."),
    ),
    ("UNACHIEVED", "UNIFIED_LOST"): (
        milestone(
            tracking_type="UNIFIED",
            combination_type="ALL",
            unified_target_expression={"aggregation": "SUM", "thresholdValue": Decimal("5000.0")},
        ),
        {"members": [[70, "900", "1000"]], "activity": "rt-1"},
        ("After return 'rt-1' the targets of 'Spend 1000' in cycle c1 (1 Jun 2026 – 10 Jun 2026) no longer "
        "meet their condition (at least 5000 in sum): 'Spend 1000' 900 of 1000."),
    ),
    ("BROKEN", "CYCLE_MISSED"): (
        streak(),
        {"attempt": 1, "value": "0", "targetValue": "1000"},
        ("Cycle c1 (1 Jun 2026 – 10 Jun 2026) of 'Daily run' ended unmet at 0 of 1000: the run is broken and "
        "the counter is 0 until the next met cycle. Levels that were achieved stay achieved."),
    ),
    ("REWARDED", "ACHIEVED_BY_ACTIVITY"): (
        milestone(),
        {
            "attempt": 1, "name": "Fifty", "type": "POINTS", "value": "20", "uncapped": "50",
            "activity": "tx-1",
        },
        ("Granted 'Fifty' (points, 20 instead of 50, for a ceiling on points was reached), because activity "
        f"'tx-1' reached the target of {CYCLE_1} of 'Spend 1000'."),
    ),
    ("REWARDED", "LEVEL_REWARD"): (
        streak(),
        {"attempt": 1, "name": "Mug", "type": "COUPON", "value": "1", "level": LEVEL},
        f"Granted 'Mug' (coupon, 1), because level 'l2' of 'Daily run' was reached by meeting {CYCLE_1}.",
    ),
    ("REWARDED", "PERIOD_END"): (
        milestone(reward_allocation="PERIOD_END"),
        {"attempt": 2, "name": "Fifty", "type": "POINTS", "value": "50"},
        (f"Granted 'Fifty' (points, 50), because {CYCLE_1} of 'Spend 1000' was settled as achieved, as "
        "attempt 2."),
    ),
    ("SETTLED", "SETTLED_ACHIEVED"): (
        milestone(),
        STANDING,
        "Cycle c1 (1 Jun 2026 – 10 Jun 2026) of 'Spend 1000' was settled at 1200.5 of 1000: achieved.",
    ),
    ("SETTLED", "SETTLED_UNACHIEVED"): (
        milestone(),
        {"attempt": 1, "value": "300", "targetValue": "1000"},
        ("Cycle c1 (1 Jun 2026 – 10 Jun 2026) of 'Spend 1000' was settled at 300 of 1000: not achieved, "
        "short by 700."),
    ),
}  # fmt: skip


@pytest.mark.parametrize("key", FOLLOWED, ids="-".join)
def test_what_followed_is_told_with_its_cause(key: tuple[str, str]) -> None:
    group, details, sentence = FOLLOWED[key]
    entry = Entry(day(5), *key, GROUP, TARGET, 701, details)
    (line,) = explain(loaded(entry), definitions(group))
    assert (line.what, line.reason) == key
    assert line.why == sentence
    assert line.activity_id == details.get("activity")


@pytest.mark.parametrize("key", FOLLOWED, ids="-".join)
def test_what_followed_is_told_after_its_group_or_cycles_went_and_with_no_details(
    key: tuple[str, str],
) -> None:
    group, details, _ = FOLLOWED[key]
    for defined in (
        Definitions(1001, 2, "UTC"),
        definitions(replace(group, targets=(), levels=())),
        definitions(replace(group, periods=())),
    ):
        for kept in (details, {}):
            entry = Entry(day(5), *key, GROUP, TARGET, 701, kept)
            (line,) = explain(loaded(entry), defined)
            assert line.why.endswith(".")
            if kept:
                assert "None" not in line.why


@pytest.mark.parametrize("code", NOT_COUNTED)
def test_an_activity_is_told_after_its_group_or_cycles_went(code: str) -> None:
    entry, _, _, _ = NOT_COUNTED[code]
    for defined in (
        Definitions(1001, 2, "UTC"),
        definitions(replace(milestone(), targets=())),
        definitions(replace(milestone(), periods=())),
    ):
        (line,) = explain(loaded(entry), defined)
        assert line.why.endswith(".")
        assert "None" not in line.why


@pytest.mark.parametrize(
    ("counter", "run"),
    [(0, "the run is broken"), (1, "the run of 1 cycle is"), (3, "the run of 3 cycles is")],
)
def test_a_break_says_how_long_the_run_was(counter: int, run: str) -> None:
    entry = Entry(day(5), "BROKEN", "CYCLE_MISSED", GROUP, TARGET, 701, {"counter": counter})
    assert run in why(entry, streak())


def test_a_period_end_reward_is_announced_with_the_achievement() -> None:
    entry = Entry(day(5), "ACHIEVED", "REACHED", GROUP, TARGET, 701, STANDING)
    assert why(entry, milestone(reward_allocation="PERIOD_END")).endswith(
        "at 1200.5 of 1000. Rewards follow when the cycle is settled, if the customer is enrolled at its "
        "end."
    )
    assert why(entry, cyclic(reward_allocation="PERIOD_END")).endswith(
        " Rewards follow when the cycle is settled."
    )


def test_rewards_that_stay_with_what_was_unachieved_are_marked() -> None:
    entry = Entry(
        day(5), *("UNACHIEVED", "RETURNED"), GROUP, TARGET, 701, {"kept": ["Fifty", "Mug"]}
    )
    (line,) = explain(loaded(entry), definitions(milestone()))
    assert line.fields()["keptRewards"] == ("Fifty", "Mug")
    assert "'Fifty' and 'Mug', granted before, stay, and are not granted again" in line.why
    (line,) = explain(replace(entry, details={}), definitions(milestone()))
    assert line.fields()["keptRewards"] == ()
    assert line.why.endswith("Nothing had been granted for it.")


@pytest.mark.parametrize(
    ("group", "level", "cycles"),
    [
        (streak(), LEVEL, ", which takes 4 cycles in a row."),
        (streak(tracking_type="NON_CONTINUOUS_STREAKS"), LEVEL, ", which takes 4 cycles."),
        (streak(levels=(1,)), {"id": 901, "name": "l1"}, ", which takes 1 cycle."),
        (streak(), {"id": 4711, "name": "gone"}, "(1 Jun 2026 – 10 Jun 2026)."),
    ],
)
def test_a_level_is_told_with_the_cycles_that_it_takes(
    group: TargetGroup, level: dict[str, object], cycles: str
) -> None:
    entry = Entry(day(5), "ACHIEVED", "LEVEL_REACHED", GROUP, TARGET, 701, {"level": level})
    (line,) = explain(loaded(entry), definitions(group))
    assert line.why.endswith(cycles)
    assert line.streak_level == level["name"]


@pytest.mark.parametrize(
    ("fields", "condition"),
    [
        ({"combination_type": "ANY"}, "(any of them)"),
        ({"unified_target_expression": {"aggregation": None}}, "(all of them)"),
        (
            {"unified_target_expression": {"aggregation": "COUNT", "thresholdValue": 2}},
            "(at least 2 of them)",
        ),
    ],
)
def test_a_unified_condition_is_named(fields: dict[str, object], condition: str) -> None:
    entry = Entry(day(5), "ACHIEVED", "UNIFIED_REACHED", GROUP, TARGET, 701)
    assert condition in why(entry, milestone(tracking_type="UNIFIED", **fields))  # type: ignore[arg-type]


def test_every_reason_can_be_told() -> None:
    for what, code in LISTED:
        if what in ("COUNTED", "NOT_COUNTED"):
            amount = 1 if what == "COUNTED" else 0
            entry = activity(*([effect(code, amount)] if code != "NO_TARGET" else []))
        else:
            entry = Entry(day(1), what, code, GROUP, TARGET, 701)
        (line,) = explain(entry, definitions(milestone()))
        assert (line.what, line.reason) == (what, code)
        assert f"reason {code}" not in line.why


def test_a_code_of_a_newer_release_is_told_as_it_is() -> None:
    entry = Entry(day(1), "SETTLED", "TOO_LATE", GROUP, TARGET, None)
    (line,) = explain(entry, definitions(milestone()))
    assert line.why == "Noted for 'Spend 1000': settled, reason TOO_LATE."
    assert (line.attempt, line.value, line.target_value, line.reward) == (None, None, None, None)
    entry = activity(effect("TOO_LATE"), effect("DOUBLED", 20, 40))
    first, second = explain(entry, definitions(milestone()))
    assert first.what == "NOT_COUNTED"
    assert first.why.endswith("did not count in cycle c1 (1 Jun 2026 – 10 Jun 2026) of 'Spend 1000': "
                              "reason TOO_LATE.")  # fmt: skip
    assert second.what == "COUNTED"
