"""The journal as sentences: contract §5, "explanation"."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from milepost import rules
from milepost.rules.definitions import CYCLIC, Definitions, Period, RewardDefinition
from milepost.rules.effects import Entry
from milepost.rules.explanation import Explanation, explain
from milepost.rules.reasons import ACTIVITY, HIDDEN_WHATS, REASONS, WHATS
from tests.rules.entries import loaded
from tests.rules.samples import (
    GROUP,
    TARGET,
    Story,
    cyclic,
    day,
    definitions,
    milestone,
    streak,
    with_periods,
)


def explained(story: Story) -> list[Explanation]:
    return [line for entry in story.journal for line in explain(loaded(entry), story.rows.defined)]


def last(story: Story) -> str:
    return explained(story)[-1].why


def left(group_changes: Mapping[str, object], *, at_days: float, collected: int = 0) -> Story:
    """Enrolled from c1 on day 0, left on a day of c3 or before c1."""
    story = Story(milestone(**group_changes), day(min(0, at_days)))  # type: ignore[arg-type]
    story.enrol("c1")
    story.now = day(at_days)
    if collected:
        story.collect("c3", collected)
    assert story.unenrol() == 0
    return story


def test_what_is_the_closed_list_of_the_contract() -> None:
    contract = "ENROLLED UNENROLLED COUNTED NOT_COUNTED ACHIEVED UNACHIEVED BROKEN REWARDED SETTLED"
    assert " ".join(WHATS) == contract


def test_every_reason_has_a_what_of_the_list_and_a_sentence_for_the_documentation() -> None:
    for code, reason in REASONS.items():
        assert code == code.upper()
        assert reason.whats
        assert set(reason.whats) <= set(WHATS)
        assert reason.meaning[0].isupper()
        assert reason.meaning.endswith(".")


def test_every_reason_is_documented_with_its_meaning() -> None:
    page = (Path(__file__).parents[2] / "docs" / "api.md").read_text()
    for code, reason in REASONS.items():
        assert f"| `{code}` | {', '.join(reason.whats)} | {reason.meaning} |" in page


def test_every_reason_that_the_rules_note_is_listed() -> None:
    noted = set(notes())
    assert noted
    listed = {(what, code) for code, reason in REASONS.items() for what in reason.whats}
    assert {each for each in noted if each[0] not in (*HIDDEN_WHATS, ACTIVITY)} <= listed


def notes() -> Iterator[tuple[str, str]]:
    """The literal (what, reason) of every call that writes an entry, in all rules."""
    for module in Path(rules.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(module.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                texts = [each.value for each in node.args if isinstance(each, ast.Constant)]
                codes = [text for text in texts if isinstance(text, str) and text.isupper()]
                noting = ("note", "note_promotion", "_entry", "Entry")
                if node.func.id in noting and len(codes) == 2:
                    yield codes[0], codes[1]


ENROLMENTS: list[tuple[str, Callable[[], Story], str]] = []


def tells(sentence: str) -> Callable[[Callable[[], Story]], Callable[[], Story]]:
    """Add a story with the sentence of its last entry to the table below."""

    def add(story: Callable[[], Story]) -> Callable[[], Story]:
        ENROLMENTS.append((story.__name__, story, sentence))
        return story

    return add


@tells(
    "Enrolled in 'Spend 1000' from cycle c2 (11 Jun 2026 – 20 Jun 2026) on; "
    "the cycle starts at 300 of 1000."
)
def first_enrolment_with_a_balance() -> Story:
    story = Story(milestone())
    story.enrol("c2", 300)
    return story


@tells(
    "Enrolled in 'Spend 1000' from cycle c1 (1 Jun 2026 – 10 Jun 2026) on; "
    "the cycle starts at 0 of 1000."
)
def first_enrolment_without_a_balance() -> Story:
    story = Story(milestone())
    story.enrol()
    return story


@tells(
    "Enrolled again in 'Spend 1000' from cycle c3 (21 Jun 2026 – 30 Jun 2026) on; "
    "the cycle goes on at 250 of 1000."
)
def re_enrolment_that_resumes() -> Story:
    story = left({}, at_days=25, collected=250)
    story.enrol("c3")
    return story


@tells(
    "Enrolled again in 'Spend 1000' from cycle c3 (21 Jun 2026 – 30 Jun 2026) on; "
    "the cycle starts at 150 of 1000, as attempt 2."
)
def re_enrolment_with_a_balance() -> Story:
    story = left({}, at_days=25, collected=250)
    story.enrol("c3", 150)
    return story


@tells(
    "Already enrolled in later cycles of 'Spend 1000' and now from cycle c1 "
    "(1 Jun 2026 – 10 Jun 2026) on; the cycle starts at 5 of 1000."
)
def extension() -> Story:
    story = Story(milestone())
    story.enrol("c4")
    story.enrol("c1", 5)
    return story


@tells(
    "Left 'Spend 1000' in cycle c3 (21 Jun 2026 – 30 Jun 2026) at 250 of 1000: this cycle and every "
    "later one no longer count; c1 and c2 stay."
)
def leaving_in_the_third_cycle() -> Story:
    return left({}, at_days=25, collected=250)


@tells(
    "Left 'Spend 1000' in cycle c3 (21 Jun 2026 – 30 Jun 2026) at 0 of 1000: this cycle and every later "
    "one no longer count; c1 and c2 stay. Any period-end reward for c3 is lost unless the customer is "
    "enrolled again when it ends."
)
def leaving_where_rewards_are_period_end() -> Story:
    return left({"reward_allocation": "PERIOD_END"}, at_days=25)


@tells(
    "Left 'Spend 1000' before cycle c1 (1 Jun 2026 – 10 Jun 2026) began: this cycle and every later one "
    "no longer count."
)
def leaving_before_the_first_cycle() -> Story:
    return left({"reward_allocation": "PERIOD_END"}, at_days=-2)


@tells(
    "Left 'Spend 1000' in cycle c2 (11 Jun 2026 – 20 Jun 2026) at 0 of 1000: this cycle and every later "
    "one no longer count; c1 stays."
)
def leaving_in_the_second_cycle() -> Story:
    return left({}, at_days=15)


@tells(
    "Left 'Spend 1000' in cycle c5 (11 Jul 2026 – 20 Jul 2026) at 0 of 1000: this cycle and every later "
    "one no longer count; c1 to c4 stay."
)
def leaving_in_the_last_cycle() -> Story:
    return left({}, at_days=45)


@tells(
    "The initial balance reached the target of cycle c1 (1 Jun 2026 – 10 Jun 2026) of 'Spend 1000' at "
    "1200 of 1000. Rewards follow when the cycle is settled, if the customer is enrolled at its end."
)
def achievement_with_period_end_rewards() -> Story:
    story = Story(milestone(reward_allocation="PERIOD_END"))
    story.enrol("c1", 1200)
    return story


@tells(
    "The initial balance reached the target of cycle c1 (1 Jun 2026 – 10 Jun 2026) of 'Spend 1000' at "
    "1000 of 1000, as attempt 2."
)
def achievement_in_the_second_attempt() -> Story:
    story = Story(milestone(rewards=()))
    story.enrol("c1")
    story.unenrol()
    story.enrol("c1", 1000)
    return story


@tells(
    "Granted 'Ten off' (coupon, 10.5), because the initial balance reached the target of cycle c1 "
    "(1 Jun 2026 – 10 Jun 2026) of 'Spend 1000'."
)
def reward() -> Story:
    story = Story(milestone(rewards=(RewardDefinition("Ten off", "COUPON", Decimal("10.50")),)))
    story.enrol("c1", 1000)
    return story


@tells(
    "Enrolled in 'Daily run' from cycle c1 (1 Jun 2026 – 10 Jun 2026) on; cycles that had ended before "
    "are neither met nor missed."
)
def enrolment_in_a_streak() -> Story:
    story = Story(streak())
    story.enrol("c4", 300)
    return story


@tells(
    "Enrolled again in 'Daily run' from cycle c1 (1 Jun 2026 – 10 Jun 2026) on; counter and levels go on "
    "as they were, and cycles missed in between don't break the run."
)
def re_enrolment_in_a_streak() -> Story:
    story = enrolment_in_a_streak()
    story.unenrol()
    story.enrol()
    return story


@tells(
    "Enrolled again in 'Daily run' from cycle c1 (1 Jun 2026 – 10 Jun 2026) on; the streak starts again "
    "from nothing, as attempt 2."
)
def reset_of_a_streak() -> Story:
    story = enrolment_in_a_streak()
    story.unenrol()
    story.enrol(reset=True)
    return story


@tells(
    "Left 'Daily run' in cycle c2 (11 Jun 2026 – 20 Jun 2026) at 400 of 1000: this cycle and every later "
    "one no longer count; c1 stays. Counter and levels are kept for a return without a reset."
)
def leaving_a_streak() -> Story:
    story = enrolment_in_a_streak()
    story.now = day(15)
    story.collect("c2", 400)
    story.unenrol()
    return story


@tells(
    "Enrolled in 'Spend 1000' for all of the customer's own cycles; the first open one, c1, starts at "
    "300 of 1000."
)
def enrolment_in_own_cycles() -> Story:
    story = Story(cyclic())
    story.enrol("c3", 300)
    return story


@tells("Left 'Spend 1000': nothing counts in the customer's cycles any more.")
def leaving_own_cycles() -> Story:
    story = Story(cyclic())
    story.enrol()
    story.unenrol()
    return story


@pytest.mark.parametrize(
    ("story", "sentence"), [row[1:] for row in ENROLMENTS], ids=[row[0] for row in ENROLMENTS]
)
def test_the_sentence_says_what_happened_and_what_it_means(
    story: Callable[[], Story], sentence: str
) -> None:
    assert last(story()) == sentence


def test_the_fields_are_those_of_the_wire() -> None:
    story = Story(milestone(rewards=(RewardDefinition("Fifty", "POINTS", Decimal(50)),)), day(0.5))
    story.enrol("c2", 1200)
    common = {
        "at": "2026-06-01T12:00:00.000Z",
        "targetGroupId": GROUP,
        "targetRuleId": TARGET,
        "periodRefCode": "c2",
        "streakLevel": None,
        "attempt": 1,
        "activityId": None,
        "occurredAt": None,
        "amount": None,
        "before": None,
        "keptRewards": None,
        "promotionId": None,
        "issualId": None,
        "earnedId": None,
    }
    fields = [line.fields() for line in explained(story)]
    reached = {"value": 1200, "targetValue": 1000, "reward": None}
    given = {"name": "Fifty", "type": "POINTS", "value": 50}
    assert [{name: line[name] for name in line if name != "why"} for line in fields] == [
        {**common, **reached, "what": "ENROLLED", "reason": "ENROLLED"},
        {**common, **reached, "what": "ACHIEVED", "reason": "INITIAL_BALANCE"},
        {
            **common,
            "what": "REWARDED",
            "reason": "ACHIEVED_BY_BALANCE",
            "value": None,
            "targetValue": None,
            "reward": given,
        },
    ]
    assert all(isinstance(line["why"], str) for line in fields)
    json.dumps(fields, default=float)


def test_a_streaks_enrolment_has_its_attempt_and_no_value() -> None:
    line = explained(reset_of_a_streak())[-1]
    assert (line.attempt, line.value, line.target_value) == (2, None, None)


def test_the_value_of_an_earlier_attempt_of_a_streak_is_not_told() -> None:
    story = enrolment_in_a_streak()
    story.collect("c2", 800)
    story.unenrol()
    story.enrol(reset=True)
    story.now = day(15)
    story.unenrol()
    line = explained(story)[-1]
    assert line.what == "UNENROLLED"
    assert (line.attempt, line.value) == (2, Decimal(0))


def test_values_are_those_of_the_moment_and_names_those_of_today() -> None:
    story = first_enrolment_with_a_balance()
    renamed = replace(story.group, name="Spend more")
    story.edit(with_periods(renamed, story.group.periods, asked=2000))
    assert last(story) == (
        "Enrolled in 'Spend more' from cycle c2 (11 Jun 2026 – 20 Jun 2026) on; "
        "the cycle starts at 300 of 1000."
    )


def test_the_target_is_named_where_a_group_has_several() -> None:
    group = milestone()
    other = replace(group.targets[0], id=71, name="Visits")
    story = Story(replace(group, targets=(*group.targets, other)))
    story.enrol()
    assert last(story).startswith("Enrolled in 'Spend 1000' (target 'Spend 1000') from cycle c1 ")


@pytest.mark.parametrize(
    ("story", "opening"),
    [
        (
            first_enrolment_with_a_balance,
            "Enrolled in target 70 of target group 7 (deleted since) from cycle 702 on; the cycle starts",
        ),
        (
            leaving_in_the_third_cycle,
            "Left target 70 of target group 7 (deleted since) in cycle 703 at 250 of 1000: this cycle",
        ),
        (
            leaving_own_cycles,
            "Left target 70 of target group 7 (deleted since): nothing counts",
        ),
    ],
)
def test_what_was_deleted_since_is_named_by_its_ids(
    story: Callable[[], Story], opening: str
) -> None:
    told = story()
    told.rows.defined = Definitions(1001, 2, "UTC")
    line = explained(told)[-1]
    assert line.why.startswith(opening)
    assert (line.target_group_id, line.target_id, line.period_ref_code) == (GROUP, TARGET, None)


@pytest.mark.parametrize("row", ENROLMENTS, ids=[row[0] for row in ENROLMENTS])
def test_every_entry_is_still_explained_after_the_group_the_target_or_the_cycles_went(
    row: tuple[str, Callable[[], Story], str],
) -> None:
    story = row[1]()
    for defined in (
        Definitions(1001, 2, "UTC"),
        definitions(replace(story.group, targets=())),
        definitions(replace(story.group, periods=())),
    ):
        for entry in story.journal:
            (line,) = explain(loaded(entry), defined)
            assert line.why.endswith(".")
            assert "None" not in line.why


@pytest.mark.parametrize(
    ("zone", "starts_at", "ends_at", "dates"),
    [
        ("UTC", "2026-06-01", "2026-07-01", "1 Jun 2026 – 30 Jun 2026"),
        ("UTC", "2026-12-31", "2027-01-01", "31 Dec 2026"),
        ("Asia/Kolkata", "2026-05-31T18:30", "2026-06-30T18:30", "1 Jun 2026 – 30 Jun 2026"),
        ("America/New_York", "2026-06-01T04:00", "2026-06-02T04:00", "1 Jun 2026"),
        ("UTC", "2026-06-01T11:00", "2026-06-08", "1 Jun 2026 11:00 – 7 Jun 2026"),
        ("UTC", "2026-06-01", "2026-06-08T09:30", "1 Jun 2026 – 8 Jun 2026 09:30"),
        # Cairo's clocks go from 00:00 to 01:00 on 24 April 2026, so that day begins at 01:00.
        ("Africa/Cairo", "2026-04-23T22:00", "2026-04-24T21:00", "24 Apr 2026"),
    ],
)
def test_dates_are_the_groups_local_ones_and_the_last_day_is_included(
    zone: str, starts_at: str, ends_at: str, dates: str
) -> None:
    start, end = (datetime.fromisoformat(text).replace(tzinfo=UTC) for text in (starts_at, ends_at))
    group = milestone(time_zone=zone)
    story = Story(with_periods(group, [Period(1, 1, "c1", start, end)]), start)
    assert story.enrol() == 0
    assert f"from cycle c1 ({dates}) on;" in last(story)


def test_the_journal_needs_few_details() -> None:
    story = first_enrolment_with_a_balance()
    story.now = day(25)
    story.unenrol()
    story.enrol()
    assert [dict(entry.details) for entry in story.journal] == [
        {"stint": 1, "attempt": 1, "balance": "300", "targetValue": "1000"},
        {"stint": 1, "kept": [702, 702], "attempt": 1, "value": "0", "targetValue": "1000"},
        {"stint": 2, "attempt": 1, "targetValue": "1000"},
    ]


def test_a_number_is_written_out_without_exponent_and_without_zeros_behind() -> None:
    story = Story(milestone(asked=10**15))
    story.enrol("c1", 10**15)
    assert "1000000000000000 of 1000000000000000" in explained(story)[0].why
    details = {"stint": 1, "attempt": 1, "balance": "1E+3", "targetValue": "1500.500"}
    entry = Entry(day(0) + timedelta(1), "ENROLLED", "ENROLLED", GROUP, TARGET, 701, details)
    (line,) = explain(entry, story.rows.defined)
    assert line.why.endswith("at 1000 of 1500.5.")


def test_own_cycles_show_no_dates_because_theirs_differ_from_customer_to_customer() -> None:
    story = Story(cyclic(evaluation_type=CYCLIC, rewards=()))
    story.enrol("c1", 1000)
    assert last(story) == (
        "The initial balance reached the target of cycle c1 of 'Spend 1000' at 1000 of 1000."
    )
