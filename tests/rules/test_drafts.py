"""Drafts of every kind: what any valid one becomes, and that no other one does harm."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from milepost.errors import Refusal
from milepost.rules.definitions import Actor, RewardDefinition, TargetGroup
from milepost.rules.drafts import (
    LEVELS_MAX,
    PERIODS_MAX,
    TARGETS_MAX,
    TRIGGERS_MAX,
    GroupDraft,
    LevelDraft,
    PeriodDraft,
    TargetDraft,
    TriggerDraft,
    UnifiedDraft,
    ValueDraft,
    ids_needed,
    ids_needed_to_add,
    ids_needed_to_edit,
)
from milepost.rules.groups import define_group, edit_group, edit_unified
from milepost.rules.names import name_is_free
from milepost.rules.periods import add_periods, edit_periods
from milepost.rules.targets import TARGET_TYPES, add_targets, deactivate_target, edit_target
from tests.rules.drafts import (
    ALICE,
    NOW,
    accepted,
    defined,
    milestone,
    organisation,
    streak,
    unified,
)

PATIENT = settings(deadline=None)
ZONES = ("Asia/Kolkata", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "UTC")


def check_whole(group: TargetGroup) -> None:
    """What is true of every group, however it came about."""
    period_ids = {period.id for period in group.periods}
    for made in group.targets:
        assert made.values.keys() == period_ids
        assert all(value.value > 0 for value in made.values.values())
        assert all(value.period_id == key for key, value in made.values.items())
        assert made.group_id == group.id
        assert made.target_type in TARGET_TYPES[made.target_entity]
        assert len(made.milestone_triggers) <= TRIGGERS_MAX
    for period in group.periods:
        assert period.starts_at < period.ends_at
    for one, next_one in pairwise(group.periods):
        assert one.ends_at <= next_one.starts_at
    for one_level, next_level in pairwise(group.levels):
        assert one_level.target_count < next_level.target_count
    if group.periods:
        assert group.cycle_starts_at == group.periods[0].starts_at
        assert group.cycle_ends_at == group.periods[-1].ends_at
    numbers = [period.number for period in group.periods]
    assert len(set(numbers)) == len(numbers)
    assert len({period.ref_code for period in group.periods}) == len(numbers)
    assert all(1 <= number <= PERIODS_MAX for number in numbers)
    assert len(group.targets) <= TARGETS_MAX
    assert len(group.levels) <= LEVELS_MAX
    ids = ids_of(group)
    assert len(set(ids)) == len(ids)


def ids_of(group: TargetGroup) -> list[int]:
    return [
        group.id,
        *(period.id for period in group.periods),
        *(level.id for level in group.levels),
        *(made.id for made in group.targets),
        *(value.id for made in group.targets for value in made.values.values()),
        *(int(str(t["id"])) for made in group.targets for t in made.milestone_triggers),
    ]


def expression_is_current(group: TargetGroup) -> bool:
    joint = "&" if group.combination_type == "ALL" else "|"
    ids = joint.join(str(made.id) for made in group.targets if made.active)
    return (group.unified_target_expression or {}).get("ruleExpression") == f"({ids})"


# Valid drafts.


@st.composite
def period_drafts(draw: st.DrawFn) -> tuple[PeriodDraft, ...]:
    """Periods that don't overlap, in any order, their dates written in any way."""
    on = date(2031, 1, 1) + timedelta(days=draw(st.integers(-400, 400)))
    made = []
    for n in range(draw(st.integers(1, 6))):
        start = on + timedelta(days=draw(st.integers(0, 40)))
        end = start + timedelta(days=draw(st.integers(0, 40)))
        form = draw(st.sampled_from(("{}", "{}T{}", "{}T{}.000")))
        made.append(
            PeriodDraft(f"c{n}", form.format(start, "06:30:00"), form.format(end, "23:59:59"), id=n)
        )
        on = end + timedelta(days=1)
    return tuple(draw(st.permutations(made)))


def target_drafts(name: str, cycles: int) -> st.SearchStrategy[TargetDraft]:
    amounts = st.decimals("0.001", 10**15, places=3).map(ValueDraft)
    pairs = [(entity, kind) for entity, kinds in TARGET_TYPES.items() for kind in kinds]
    triggers = st.integers(0, 3).map(
        lambda n: tuple(TriggerDraft(f"T{i}", "ABSOLUTE", Decimal(i + 1)) for i in range(n))
    )
    return st.builds(
        lambda pair, default_values, some: TargetDraft(
            name,
            pair[0],
            pair[1],
            extended_field_info={
                "name": "km",
                "programId": 1,
                "alternateCurrencyIdentifier": "miles",
            },
            milestone_triggers=some,
            default_values=tuple(default_values),
        ),
        st.sampled_from(pairs),
        st.one_of(
            st.lists(amounts, min_size=1, max_size=1),
            st.lists(amounts, min_size=cycles, max_size=cycles),
        ),
        triggers,
    )


@st.composite
def group_drafts(draw: st.DrawFn) -> GroupDraft:
    sent = draw(st.one_of(st.just(()), period_drafts()))
    cycles = len(sent) or draw(st.integers(1, 8))
    kind = draw(st.sampled_from(("DEFAULT", "UNIFIED", "streaks", "NON_CONTINUOUS_STREAKS")))
    least, most = {"DEFAULT": (0, 4), "UNIFIED": (2, 4)}.get(kind, (1, 1))
    targets = [
        draw(target_drafts(f"Target {n}", cycles)) for n in range(draw(st.integers(least, most)))
    ]
    if kind == "UNIFIED":
        targets = [replace(draft, milestone_triggers=()) for draft in targets]
    counts = draw(st.sets(st.integers(1, cycles), min_size=1, max_size=10))
    return GroupDraft(
        name="Summer",
        tracking_type=kind,
        frequency_type=draw(st.sampled_from(("daily", "WEEKLY", "MONTHLY", "YEARLY"))),
        frequency=draw(st.integers(1, 3)),
        recurring_cycles=cycles,
        from_date=draw(st.dates(date(1990, 1, 1), date(2060, 1, 1))).isoformat(),
        time_zone_name=draw(st.sampled_from(ZONES)),
        combination_type=draw(st.sampled_from(("ALL", "any"))),
        periods=sent,
        targets=tuple(targets),
        levels=tuple(LevelDraft(f"L{n}", n) for n in sorted(counts)) if "streaks" in kind.lower()
        else (),
    )  # fmt: skip


@PATIENT
@given(group_drafts())
def test_any_valid_draft_becomes_a_group_in_which_every_target_has_a_value_for_every_period(
    draft: GroupDraft,
) -> None:
    ids = iter(range(1, ids_needed(draft) + 1))
    group = accepted(define_group(organisation(), draft, ids, ALICE))
    check_whole(group)
    assert len(group.periods) == (len(draft.periods) or draft.recurring_cycles)
    assert len(group.targets) == len(draft.targets)
    assert group.tracking_type == (draft.tracking_type or "").upper()
    assert group.unified_target_expression is None or expression_is_current(group)
    for sent, made in zip(draft.targets, group.targets, strict=True):
        asked = [value.value for value in sent.default_values or ()]
        in_order_sent = sorted(group.periods, key=lambda period: period.number)
        got = [made.values[period.id].value for period in in_order_sent]
        assert got == (asked if len(asked) > 1 else asked * len(got))


# Any edits, one after another.

EDITORS = tuple(Actor(9, NOW + timedelta(days=days)) for days in (0, 20, 35, 60, 400))
SMALL = st.integers(-1, 12)
DAYS = st.dates(date(2031, 4, 1), date(2031, 12, 31)).map(date.isoformat)
NAMES = st.sampled_from(("Spend", "Shoes", "Shirts", "Run", "New", "May", "June", "July", "x"))


def maybe(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(st.none(), strategy)


SOME_AMOUNT = st.integers(1, 5).map(Decimal)
SOME_VALUES = st.lists(st.builds(ValueDraft, SOME_AMOUNT), max_size=4).map(tuple)
PERIOD_EDIT = st.builds(
    PeriodDraft, maybe(NAMES), maybe(DAYS), maybe(DAYS), active=maybe(st.booleans())
)
TARGET_EDIT = st.builds(
    TargetDraft,
    name=maybe(NAMES),
    target_entity=maybe(st.sampled_from(("TRANSACTION", "EVENT"))),
    target_type=maybe(st.sampled_from(("SALES", "COUNT"))),
    active=maybe(st.booleans()),
    milestone_triggers=maybe(
        st.lists(st.builds(TriggerDraft, NAMES, st.just("ABSOLUTE"), SOME_AMOUNT), max_size=3).map(
            tuple
        )
    ),
    default_values=maybe(SOME_VALUES),
)
PERIOD_EDITS = st.lists(PERIOD_EDIT, max_size=3).map(tuple)
TARGET_EDITS = st.lists(TARGET_EDIT, max_size=3).map(tuple)
EDITS = st.lists(
    st.tuples(
        st.sampled_from(
            ("group", "add_periods", "periods", "add_targets", "target", "deactivate", "unified")
        ),
        st.sampled_from(EDITORS),
        PERIOD_EDITS,
        TARGET_EDITS,
    ),
    min_size=1,
    max_size=8,
)


def apply(
    group: TargetGroup,
    verb: str,
    actor: Actor,
    periods: tuple[PeriodDraft, ...],
    targets: tuple[TargetDraft, ...],
    first_id: int,
) -> TargetGroup | Refusal:
    """One edit with exactly as many ids as it says that it needs."""

    def ids(number: int) -> Any:
        return iter(range(first_id, first_id + number))

    organised = organisation(group)
    first = group.targets[0].id if group.targets else 1
    edits: Mapping[str, Callable[[], TargetGroup | Refusal]] = {
        "group": lambda: edit_group(
            organised, group, GroupDraft(periods=periods, targets=targets),
            ids(ids_needed_to_edit(targets)), actor,
        ),
        "add_periods": lambda: add_periods(
            group, periods, ids(ids_needed_to_add(periods=periods)), actor
        ),
        "periods": lambda: edit_periods(group, periods, actor),
        "add_targets": lambda: add_targets(
            organised, group, targets, ids(ids_needed_to_add(targets=targets)), actor
        ),
        "target": lambda: edit_target(
            organised, group, first, (*targets, TargetDraft())[0],
            ids(ids_needed_to_edit(targets[:1])), actor,
        ),
        "deactivate": lambda: deactivate_target(group, first, actor),
        "unified": lambda: edit_unified(
            organised, group, Decimal(7), targets, [first] if periods else [],
            ids(ids_needed_to_add(targets=targets)), actor,
        ),
    }  # fmt: skip
    return edits[verb]()


@PATIENT
@given(st.sampled_from((milestone(), streak(), unified())), EDITS)
def test_any_edits_leave_a_whole_group_whose_frozen_and_past_parts_are_as_they_were(
    draft: GroupDraft, edits: list[Any]
) -> None:
    group = defined(draft)
    for n, (verb, actor, periods, targets) in enumerate(sorted(edits, key=lambda e: e[1].at)):
        result = apply(group, verb, actor, periods, targets, 10**6 * (n + 1))
        if isinstance(result, Refusal):
            continue
        check_whole(result)
        assert result.total_periods == len(result.periods)
        assert result.unified_target_expression is None or expression_is_current(result)
        frozen = ("id", "tracking_type", "evaluation_type", "time_zone", "user_created", "created")
        assert all(getattr(result, name) == getattr(group, name) for name in frozen)
        assert (result is group) == (result == group)
        assert result is group or result.updated == actor
        order = {period.id: place for place, period in enumerate(result.periods)}
        assert [order[p.id] for p in group.periods] == sorted(order[p.id] for p in group.periods)
        for before in group.periods:
            after = result.periods_by_id[before.id]
            assert after.number == before.number
            if before.ended(actor.at):
                assert (after.starts_at, after.ends_at) == (before.starts_at, before.ends_at)
            else:
                assert after.ends_at > actor.at
            if before.running(actor.at):
                assert after.starts_at == before.starts_at
        assert result.targets_by_id.keys() >= group.targets_by_id.keys()
        if group.is_streak:
            assert result.periods == group.periods
            assert [made.name for made in result.targets] == [made.name for made in group.targets]
        group = result


# Garbage.

TEXTS = st.one_of(
    st.text(st.characters(), max_size=20),
    st.sampled_from(
        (
            "", " ", "\0", "\ud800", "x" * 201, "STREAKS", "streak", "UNIFIED", "SUM",
            "DEFAULT", "FIXED_CALENDAR_WINDOW", "CYCLIC_WINDOW", "MONTHLY", "CUSTOM", "DAILY", "ALL",
            "2031-05-01", "2031-05-31T10:00:00Z", "9999-12-31", "0000-00-00", "2199-12-31", "UTC",
            "Asia/Kolkata", "TRANSACTION", "SALES", "EVENT", "COUNT", "PERCENTAGE", "ABSOLUTE",
            "IMMEDIATE", "POINTS", "May", "June", "Spend", "Summer", "ß", "İ",
        )
    ),
)  # fmt: skip
INTEGERS = st.one_of(
    st.integers(), st.integers(-2, 12), st.just(10**5000), st.sampled_from((5001, 5002, 5005))
)
DECIMALS = st.one_of(
    st.decimals(),
    st.integers(1, 1000).map(Decimal),
    st.sampled_from(tuple(map(Decimal, ("sNaN", "1E+999999", "1E-999999", "-0", "Infinity")))),
)
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), TEXTS, st.binary(max_size=2)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=3)),
    max_leaves=6,
)
OBJECTS = st.dictionaries(TEXTS, JSON, max_size=3)
BOOLEANS = st.booleans()


def some(strategy: st.SearchStrategy[Any], most: int = 4) -> st.SearchStrategy[Any]:
    return st.lists(strategy, max_size=most).map(tuple)


def drafts_of(kind: type, **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Drafts with any of these fields absent."""
    return st.builds(kind, **{name: maybe(strategy) for name, strategy in fields.items()})


REWARDS = some(st.builds(RewardDefinition, TEXTS, TEXTS, DECIMALS, maybe(TEXTS)), 2)
PERIODS = drafts_of(
    PeriodDraft,
    ref_code=TEXTS,
    start_date=TEXTS,
    end_date=TEXTS,
    description=TEXTS,
    active=BOOLEANS,
    id=INTEGERS,
)
TARGETS = drafts_of(
    TargetDraft,
    name=TEXTS,
    target_entity=TEXTS,
    target_type=TEXTS,
    event_name=TEXTS,
    description=TEXTS,
    active=BOOLEANS,
    expression=TEXTS,
    expression_json=TEXTS,
    filters=some(OBJECTS, 2),
    enrolment_method=TEXTS,
    extended_field_info=OBJECTS,
    aggregate_window=OBJECTS,
    milestone_triggers=some(
        drafts_of(
            TriggerDraft,
            name=TEXTS,
            value_type=TEXTS,
            value=DECIMALS,
            description=TEXTS,
            active=BOOLEANS,
            id=INTEGERS,
        ),
        2,
    ),
    rewards=REWARDS,
    default_values=some(st.builds(ValueDraft, DECIMALS, maybe(INTEGERS))),
    id=INTEGERS,
)
LEVELS = drafts_of(
    LevelDraft, name=TEXTS, target_count_of_sequence=INTEGERS, rewards=REWARDS, id=INTEGERS
)
GROUP_FIELDS: dict[str, st.SearchStrategy[Any]] = {
    **dict.fromkeys(
        (
            "name", "tracking_type", "evaluation_type", "description", "frequency_type", "from_date",
            "to_date", "target_cycle_start_date", "target_cycle_end_date", "time_zone_name",
            "reward_allocation", "combination_type",
        ),
        TEXTS,
    ),
    **dict.fromkeys(
        (
            "preferred_till_id", "total_periods", "frequency", "recurring_cycles",
            "settlement_delay_days",
        ),
        INTEGERS,
    ),
    **dict.fromkeys(
        (
            "active", "user_created", "leaderboard_enabled", "track_from_enrolment_date",
            "carry_returns_forward",
        ),
        BOOLEANS,
    ),
    "unified_target_expression": drafts_of(
        UnifiedDraft, aggregation=TEXTS, threshold_value=DECIMALS
    ),
    "periods": some(PERIODS, 3),
    "targets": some(TARGETS, 3),
    "levels": some(LEVELS, 3),
}  # fmt: skip


@st.composite
def spoilt(draw: st.DrawFn) -> GroupDraft:
    """A valid draft of a group with a few of its fields replaced by anything."""
    draft = draw(st.sampled_from((milestone(), streak(), unified(), GroupDraft())))
    names = draw(st.lists(st.sampled_from(sorted(GROUP_FIELDS)), max_size=3, unique=True))
    return replace(draft, **{name: draw(GROUP_FIELDS[name]) for name in names})


def check_answer(result: TargetGroup | Refusal | bool) -> None:
    if isinstance(result, Refusal):
        result.message.encode()
        assert "\0" not in result.message
    elif isinstance(result, TargetGroup):
        check_whole(result)


@PATIENT
@given(spoilt())
def test_no_group_draft_makes_the_rules_raise(draft: GroupDraft) -> None:
    ids = iter(range(1, ids_needed(draft) + 1))
    check_answer(define_group(organisation(), draft, ids, ALICE))
    group = defined(milestone())
    ids = iter(range(10**6, 10**6 + ids_needed_to_edit(draft.targets)))
    check_answer(edit_group(organisation(group), group, draft, ids, ALICE))


@PATIENT
@given(
    st.sampled_from((milestone(), streak(), unified())),
    some(PERIODS, 3),
    some(TARGETS, 3),
    DECIMALS,
    some(INTEGERS),
)
def test_no_period_or_target_draft_makes_the_rules_raise(
    draft: GroupDraft,
    periods: tuple[PeriodDraft, ...],
    targets: tuple[TargetDraft, ...],
    threshold: Decimal,
    leaving: tuple[int, ...],
) -> None:
    group = defined(draft)
    for verb in ("add_periods", "periods", "add_targets", "target", "unified"):
        check_answer(apply(group, verb, ALICE, periods, targets, 10**6))
    nothing: Any = iter(())
    check_answer(edit_unified(organisation(group), group, threshold, (), leaving, nothing, ALICE))
    for target_id in leaving:
        check_answer(deactivate_target(group, target_id, ALICE))


@PATIENT
@given(maybe(TEXTS), TEXTS)
def test_no_name_makes_the_rules_raise(kind: str | None, value: str) -> None:
    check_answer(name_is_free(organisation(defined(streak())), kind, value))


def test_the_latest_and_earliest_dates_are_bounded() -> None:
    for text in ("0001-01-01", "9999-12-31T23:59:59.999Z", "2199-12-31T23:59:59-23:59"):
        check_answer(
            define_group(
                organisation(),
                GroupDraft("Far", "DEFAULT", target_cycle_start_date=text),
                iter(range(9)),
                Actor(1, datetime(2031, 1, 1, tzinfo=UTC)),
            )
        )
