"""Definitions: what is saved is what is loaded, and of two edits at once neither is lost."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import psycopg
import pytest

from milepost.actions.definitions import (
    DEFINITION_EDITS,
    DefineGroup,
    DeleteGroup,
    Edited,
    EditGroup,
    EditPeriods,
)
from milepost.database import Tenant
from milepost.rules.definitions import (
    Actor,
    Definitions,
    Period,
    RewardDefinition,
    StreakLevel,
    Target,
    TargetGroup,
    TargetValue,
)
from milepost.rules.drafts import GroupDraft, PeriodDraft, TargetDraft, ValueDraft
from milepost.runner import LOST, Moment, Runner
from milepost.store.definitions import Edit, allot_ids, save_definitions
from milepost.store.pipeline import act_for, tell
from tests.store.world import World

CREATED = Actor(5, datetime(2026, 6, 1, 12, 30, 15, 123456, tzinfo=UTC))
UPDATED = Actor(6, datetime(2026, 6, 2, tzinfo=UTC))
BY = {"created": CREATED, "updated": UPDATED}


def period(group_id: int, number: int) -> Period:
    return Period(
        group_id + number,
        number,
        f"Zyklus “{number}”",
        datetime(2026, 6, number, tzinfo=UTC),
        datetime(2026, 6, number, 23, 59, 59, 1000, tzinfo=UTC),
        "ένα",
        active=number > 1,
        created=CREATED,
        updated=UPDATED,
    )


def full_group(group_id: int) -> TargetGroup:
    """A group in which no field has its default."""
    periods = (period(group_id, 1), period(group_id, 2))
    values = {
        each.id: TargetValue(each.id + 50, each.id, Decimal("0.123456") + each.number)
        for each in periods
    }
    rewards = (
        RewardDefinition("Ten", "POINTS", Decimal("10.50")),
        RewardDefinition("Badge", "BADGE", Decimal(0), "b/1"),
    )
    target = Target(
        group_id + 10,
        group_id,
        f"Straße {group_id}",
        "ALTERNATE_CURRENCIES",
        "ALL",
        "Event",
        "what",
        active=False,
        expression="currentEvent.a == 'x'",
        expression_json='{"arity": "literal"}',
        filters=({"entityType": "STORE", "entityIds": [1, 2]},),
        enrolment_method="TRANSACTION",
        extended_field_info={"programId": 2**62, "alternateCurrencyIdentifier": "miles"},
        aggregate_window={"windowType": "MAX", "windowValue": 1},
        milestone_triggers=({"id": group_id + 11, "triggerName": "Half", "triggerValue": "0.50"},),
        rewards=rewards,
        values=values,
        **BY,
    )
    return TargetGroup(
        group_id,
        f"Ünïfied {group_id}",
        "UNIFIED",
        "Asia/Kolkata",
        datetime(2026, 6, 1, tzinfo=UTC),
        datetime(2026, 6, 3, tzinfo=UTC),
        "CYCLIC_WINDOW",
        "all of it",
        active=False,
        preferred_till_id=-7,
        frequency_type="WEEKLY",
        frequency=2,
        total_periods=9,
        recurring_cycles=4,
        user_created=True,
        leaderboard_enabled=True,
        reward_allocation="PERIOD_END",
        track_from_enrolment_date=True,
        settlement_delay_days=3,
        carry_returns_forward=True,
        combination_type="ANY",
        unified_target_expression={"aggregation": "SUM", "thresholdValue": Decimal("0.1")},
        periods=periods,
        targets=(target,),
        levels=(StreakLevel(group_id + 20, f"Level {group_id}", 2, rewards, **BY),),
        **BY,
    )


async def save(runner: Runner, tenant: Tenant, edit: Edit) -> None:
    """Save an edit without deciding it, and raise the revision as a claim would."""
    async with runner.database.transaction() as tx:
        await act_for(tx, tenant)
        await tell(
            tx,
            "UPDATE orgs SET definitions_revision = definitions_revision + 1 WHERE org_id = %s",
            tenant.org_id,
        )
        await save_definitions(tx, tenant, edit)


async def load(runner: Runner, tenant: Tenant) -> Definitions:
    async def definitions(_tx: object, _tenant: object, moment: Moment) -> Definitions:
        return moment.definitions

    return await runner.read(tenant, definitions)


def saved(*groups: TargetGroup) -> Edit:
    return Edit(UPDATED.at, saved=groups)


def draft(name: str, cycles: int = 2) -> GroupDraft:
    """A milestone of daily cycles, as sent."""
    return GroupDraft(
        name=name,
        tracking_type="DEFAULT",
        frequency_type="DAILY",
        recurring_cycles=cycles,
        targets=(
            TargetDraft(
                name=name,
                target_entity="TRANSACTION",
                target_type="SALES",
                default_values=(ValueDraft(Decimal(1000)),),
            ),
        ),
    )


async def define(runner: Runner, tenant: Tenant, name: str, cycles: int = 2) -> TargetGroup:
    (edited,) = await runner.run(DEFINITION_EDITS, tenant, [DefineGroup(5, draft(name, cycles))])
    assert isinstance(edited, Edited), edited
    assert edited.after is not None
    return edited.after


async def test_a_group_is_loaded_as_it_was_saved(runner: Runner, tenant: Tenant) -> None:
    group = full_group(500_000)
    await save(runner, tenant, saved(group))
    assert (await load(runner, tenant)).groups[group.id] == group


async def test_a_group_that_was_defined_is_loaded_as_it_was_answered(
    runner: Runner, tenant: Tenant
) -> None:
    group = await define(runner, tenant, "Answered", 12)
    assert (await load(runner, tenant)).groups[group.id] == group


async def test_a_second_save_overwrites_the_first(runner: Runner, tenant: Tenant) -> None:
    group = full_group(510_000)
    await save(runner, tenant, saved(group))
    (target,) = group.targets
    changed = replace(
        group,
        active=True,
        periods=tuple(replace(each, description="later") for each in group.periods),
        targets=(replace(target, active=True, extended_field_info=None, filters=()),),
        levels=tuple(replace(level, rewards=()) for level in group.levels),
    )
    await save(runner, tenant, saved(changed))
    assert (await load(runner, tenant)).groups[group.id] == changed


async def test_one_save_may_swap_names_that_are_unique(runner: Runner, tenant: Tenant) -> None:
    one, other = full_group(520_000), full_group(530_000)
    await save(runner, tenant, saved(one, other))
    first, second = one.periods
    swapped = [
        replace(
            one,
            name=other.name,
            periods=(
                replace(first, ref_code=second.ref_code),
                replace(second, ref_code=first.ref_code),
            ),
        ),
        replace(other, name=one.name),
    ]
    await save(runner, tenant, saved(*swapped))
    groups = (await load(runner, tenant)).groups
    assert [groups[one.id], groups[other.id]] == swapped


async def test_a_deleted_group_is_gone_its_rows_stay_and_its_names_are_free(
    world: World, runner: Runner, tenant: Tenant
) -> None:
    group = full_group(540_000)
    await save(runner, tenant, saved(group))
    await save(runner, tenant, Edit(UPDATED.at, deleted=(group.id,)))
    definitions = await load(runner, tenant)
    assert group.id not in definitions.groups
    left = {target.id for other in definitions.groups.values() for target in other.targets}
    assert group.targets[0].id not in left
    for table in ("target_groups", "target_periods", "targets", "streak_levels"):
        rows = world.run(
            f"SELECT count(*) > 0 FROM {table} WHERE org_id = %(org)s AND target_group_id = %(id)s",
            id=group.id,
        )
        assert rows == [(True,)], table
    again = replace(full_group(550_000), name=group.name)
    again = replace(
        again,
        targets=(replace(again.targets[0], name=group.targets[0].name),),
        levels=(replace(again.levels[0], name=group.levels[0].name),),
    )
    await save(runner, tenant, saved(again))
    assert (await load(runner, tenant)).groups[again.id] == again


async def test_ids_are_fresh_and_ascend(runner: Runner, tenant: Tenant) -> None:
    async with runner.database.transaction() as tx:
        first, second = await allot_ids(tx, 3), await allot_ids(tx, 2)
        assert await allot_ids(tx, 0) == []
    assert [*first, *second] == sorted({*first, *second})


class Late(type(DEFINITION_EDITS)):  # type: ignore[misc]
    """An edit that lets another one commit between its load and its claim."""

    def __init__(self, runner: Runner, tenant: Tenant, other: Any) -> None:
        self._other = (runner, tenant, other)

    async def claim(self, *rest: Any) -> set[str]:
        runner, tenant, other = self._other
        (edited,) = await runner.run(DEFINITION_EDITS, tenant, [other])
        assert isinstance(edited, Edited), edited
        won: set[str] = await super().claim(*rest)
        return won


async def test_an_edit_of_definitions_that_another_has_changed_is_lost_and_writes_nothing(
    runner: Runner, tenant: Tenant
) -> None:
    group = await define(runner, tenant, "Contended")
    late = Late(runner, tenant, EditGroup(6, group.id, GroupDraft(description="first")))
    mine = EditGroup(5, group.id, GroupDraft(description="second"))
    assert await runner.run(late, tenant, [mine]) == [LOST]
    assert (await load(runner, tenant)).groups[group.id].description == "first"


async def test_two_groups_of_one_name_at_once_make_one(runner: Runner, tenant: Tenant) -> None:
    late = Late(runner, tenant, DefineGroup(6, draft("Twin")))
    mine = DefineGroup(5, draft("TWIN"))
    assert await runner.run(late, tenant, [mine]) == [LOST]
    groups = (await load(runner, tenant)).groups.values()
    assert [group.name for group in groups if group.name.lower() == "twin"] == ["Twin"]


async def test_an_edit_that_changes_nothing_does_not_raise_the_revision(
    runner: Runner, tenant: Tenant
) -> None:
    group = await define(runner, tenant, "Same")
    before = (await load(runner, tenant)).revision
    same = EditPeriods(6, group.id, (PeriodDraft(id=group.periods[0].id),))
    (edited,) = await runner.run(DEFINITION_EDITS, tenant, [same])
    assert edited.after == group
    assert (await load(runner, tenant)).revision == before


async def test_every_edit_raises_the_revision_by_one_and_is_notified_at_its_commit(
    world: World, runner: Runner, tenant: Tenant
) -> None:
    before = (await load(runner, tenant)).revision
    async with await psycopg.AsyncConnection.connect(world.url, autocommit=True) as listener:
        await listener.execute("LISTEN milepost_definitions")
        group = await define(runner, tenant, "Notified")
        await runner.run(DEFINITION_EDITS, tenant, [DeleteGroup(5, group.id)])
        heard = [note.payload async for note in listener.notifies(timeout=10, stop_after=2)]
    org = tenant.org_id
    assert heard == [f"{org} {org} {before + 1}", f"{org} {org} {before + 2}"]


async def test_a_save_for_another_organisation_than_the_transactions_is_refused(
    runner: Runner, tenant: Tenant
) -> None:
    group = full_group(560_000)

    async def save_as_another() -> None:
        async with runner.database.transaction() as tx:
            await act_for(tx, Tenant(999, 999))
            await save_definitions(tx, tenant, saved(group))

    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        await save_as_another()
    assert group.id not in (await load(runner, tenant)).groups


@pytest.mark.one_server
@pytest.mark.parametrize("cycles", [1, 100])
async def test_an_edit_takes_the_same_statements_however_large_the_group_is(
    runner: Runner, tenant: Tenant, cycles: int, statements: list[str]
) -> None:
    await load(runner, tenant)  # the definitions are cached now
    statements.clear()
    await define(runner, tenant, f"Of {cycles} cycles", cycles)
    # Tenant, moment, ids; the claim; group, periods, target and values; the alarms; who did it.
    assert len(statements) == 10


async def test_many_edits_at_once_through_one_runner_all_take_effect_or_are_lost(
    runner: Runner, tenant: Tenant
) -> None:
    outcomes = await asyncio.gather(
        *(
            runner.run(DEFINITION_EDITS, tenant, [DefineGroup(5, draft(f"Crowd {n}"))])
            for n in range(8)
        )
    )
    made = {each.after.name for (each,) in outcomes if each is not LOST}
    assert made
    names = {group.name for group in (await load(runner, tenant)).groups.values()}
    assert {name for name in names if name.startswith("Crowd")} == made
