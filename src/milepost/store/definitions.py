"""Definitions: read whole, once per process and revision; a group that an edit made is saved whole.

The boundary of an edit is the organisation's definitions, and its version their revision.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec

from milepost.database import Tenant, Tx
from milepost.rules.audit import AuditEntry
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
from milepost.rules.names import name_key
from milepost.store.pipeline import Reply, ask, tell
from milepost.store.promotions import (
    ask_programs,
    ask_promotions,
    read_programs,
    read_promotions,
)

ASK_ORG = """
SELECT definitions_revision, time_zone, returns_adjust_targets, revokes_restore_limits,
       is_notified
FROM orgs WHERE org_id = %b
"""

ASK_GROUPS = """
SELECT target_group_id, name, tracking_type, time_zone, cycle_starts_at, cycle_ends_at, evaluation_type,
       description, active, preferred_till_id, frequency_type, frequency, total_periods, recurring_cycles,
       user_created, leaderboard_enabled, reward_allocation, track_from_enrolment_date,
       settlement_delay_days, carry_returns_forward, combination_type,
       unified_target_expression::text, created_by, created_at, updated_by, updated_at
FROM target_groups WHERE org_id = %b AND deleted_at IS NULL
ORDER BY target_group_id
"""

ASK_PERIODS = """
SELECT target_group_id, period_id, number, ref_code, starts_at, ends_at, description, active,
       created_by, created_at, updated_by, updated_at, closes_at
FROM target_periods WHERE org_id = %b
ORDER BY starts_at, number
"""

ASK_TARGETS = """
SELECT target_group_id, target_id, name, target_entity, target_type, event_name, description, active,
       expression, expression_json, filters::text, enrolment_method, extended_field_info::text,
       aggregate_window::text, milestone_triggers::text, rewards::text,
       created_by, created_at, updated_by, updated_at
FROM targets WHERE org_id = %b AND name_key IS NOT NULL
ORDER BY target_id
"""

ASK_VALUES = """
SELECT target_id, target_value_id, period_id, value FROM target_values WHERE org_id = %b
"""

ASK_LEVELS = """
SELECT target_group_id, streak_level_id, name, target_count, rewards::text,
       created_by, created_at, updated_by, updated_at
FROM streak_levels WHERE org_id = %b AND name_key IS NOT NULL
ORDER BY target_count, streak_level_id
"""


async def load_definitions(tx: Tx, tenant: Tenant) -> Definitions:
    """Everything that one organisation has defined, deleted groups left out: eight statements.

    The revision is read first: should an edit commit in between, what follows is newer than the
    number says, and the next batch loads again.
    """
    org = await ask(tx, ASK_ORG, tenant.org_id)
    groups = await ask(tx, ASK_GROUPS, tenant.org_id)
    periods = await ask(tx, ASK_PERIODS, tenant.org_id)
    targets = await ask(tx, ASK_TARGETS, tenant.org_id)
    values = await ask(tx, ASK_VALUES, tenant.org_id)
    levels = await ask(tx, ASK_LEVELS, tenant.org_id)
    programs = await ask_programs(tx, tenant)
    promotions = await ask_promotions(tx, tenant)

    revision, time_zone, *switches = (await org.rows())[0]
    returns_adjust_targets, revokes_restore_limits, is_notified = switches
    group_rows = await groups.rows()
    periods_of = await _by_first(periods, _period)
    values_of = await _by_first(values, TargetValue)
    targets_of: dict[int, list[Target]] = {}
    for row in await targets.rows():
        target = _target(row, values_of.get(row[1], []))
        targets_of.setdefault(target.group_id, []).append(target)
    levels_of = await _by_first(levels, _level)
    found = {
        row[0]: _group(
            row, periods_of.get(row[0], []), targets_of.get(row[0], []), levels_of.get(row[0], [])
        )
        for row in group_rows
    }
    return Definitions(
        tenant.org_id,
        revision,
        time_zone,
        found,
        returns_adjust_targets,
        read_programs(await programs.rows()),
        read_promotions(await promotions.rows()),
        revokes_restore_limits,
        is_notified,
    )


def _decode(text: str | None) -> Any:
    """A JSON column, read as text so that its fractions are exact decimals."""
    return None if text is None else json.loads(text, parse_float=Decimal)


async def _by_first(reply: Reply, make: Any) -> dict[int, list[Any]]:
    found: dict[int, list[Any]] = {}
    for first, *rest in await reply.rows():
        found.setdefault(first, []).append(make(*rest))
    return found


def _actors(columns: Sequence[Any]) -> tuple[Actor, Actor]:
    """Who made and who last changed it: the last four columns of a definition."""
    created_by, created_at, updated_by, updated_at = columns
    return Actor(created_by, created_at), Actor(updated_by, updated_at)


def _rewards(text: str) -> tuple[RewardDefinition, ...]:
    return tuple(
        RewardDefinition(row["name"], row["type"], Decimal(row["value"]), row["reference"])
        for row in _decode(text)
    )


def _period(*row: Any) -> Period:
    *columns, closes_at = row
    period_id, number, ref_code, starts_at, ends_at, description, active, *actors = columns
    return Period(
        period_id, number, ref_code, starts_at, ends_at, description, active, *_actors(actors), closes_at
    )  # fmt: skip


def _level(*row: Any) -> StreakLevel:
    level_id, name, count, rewards, *actors = row
    return StreakLevel(level_id, name, count, _rewards(rewards), *_actors(actors))


def _target(row: Sequence[Any], values: Sequence[TargetValue]) -> Target:
    (group_id, target_id, name, entity, kind, event_name, description, active, expression,
     expression_json, filters, method, extended_field_info, aggregate_window, triggers, rewards,
     *actors) = row  # fmt: skip
    return Target(
        target_id, group_id, name, entity, kind, event_name, description, active, expression,
        expression_json, tuple(_decode(filters)), method, _decode(extended_field_info),
        _decode(aggregate_window), tuple(_decode(triggers)), _rewards(rewards),
        {value.period_id: value for value in values},
        *_actors(actors),
    )  # fmt: skip


def _group(
    row: Sequence[Any],
    periods: Sequence[Period],
    targets: Sequence[Target],
    levels: Sequence[StreakLevel],
) -> TargetGroup:
    created, updated = _actors(row[22:])
    return replace(
        TargetGroup(*row[:21]),
        unified_target_expression=_decode(row[21]),
        periods=tuple(periods),
        targets=tuple(targets),
        levels=tuple(levels),
        created=created,
        updated=updated,
    )


@dataclass(frozen=True, slots=True)
class Edit:
    """What one edit saves: groups as they shall be, and the ids of those that are deleted at `at`.

    `alarms` are the instants at which something will fall due that would not have before, `audit` tells
    who made the edit.
    """

    at: datetime
    saved: tuple[TargetGroup, ...] = ()
    deleted: tuple[int, ...] = ()
    alarms: tuple[datetime, ...] = ()
    audit: AuditEntry | None = None


# Each table's columns after org_id, with the types of the arrays that their values travel in. JSON
# travels as text. What begins an entry of `_KEYS` is the key; a save overwrites everything else.
_ACTORS = {
    "created_by": "bigint",
    "created_at": "timestamptz",
    "updated_by": "bigint",
    "updated_at": "timestamptz",
}
_COLUMNS = {
    "target_groups": {
        "target_group_id": "bigint",
        "name": "text",
        "name_key": "text",
        "tracking_type": "text",
        "time_zone": "text",
        "cycle_starts_at": "timestamptz",
        "cycle_ends_at": "timestamptz",
        "evaluation_type": "text",
        "description": "text",
        "active": "boolean",
        "preferred_till_id": "bigint",
        "frequency_type": "text",
        "frequency": "integer",
        "total_periods": "integer",
        "recurring_cycles": "integer",
        "user_created": "boolean",
        "leaderboard_enabled": "boolean",
        "reward_allocation": "text",
        "track_from_enrolment_date": "boolean",
        "settlement_delay_days": "integer",
        "carry_returns_forward": "boolean",
        "combination_type": "text",
        "unified_target_expression": "jsonb",
        **_ACTORS,
    },
    "target_periods": {
        "period_id": "bigint",
        "target_group_id": "bigint",
        "number": "smallint",
        "ref_code": "text",
        "starts_at": "timestamptz",
        "ends_at": "timestamptz",
        "description": "text",
        "active": "boolean",
        **_ACTORS,
        "closes_at": "timestamptz",
    },
    "targets": {
        "target_id": "bigint",
        "target_group_id": "bigint",
        "name": "text",
        "name_key": "text",
        "target_entity": "text",
        "target_type": "text",
        "event_name": "text",
        "description": "text",
        "active": "boolean",
        "expression": "text",
        "expression_json": "text",
        "filters": "jsonb",
        "enrolment_method": "text",
        "extended_field_info": "jsonb",
        "aggregate_window": "jsonb",
        "milestone_triggers": "jsonb",
        "rewards": "jsonb",
        **_ACTORS,
    },
    "target_values": {
        "target_id": "bigint",
        "period_id": "bigint",
        "target_value_id": "bigint",
        "value": "numeric",
    },
    "streak_levels": {
        "streak_level_id": "bigint",
        "target_group_id": "bigint",
        "name": "text",
        "name_key": "text",
        "target_count": "integer",
        "rewards": "jsonb",
        **_ACTORS,
    },
}
_KEYS = {
    "target_groups": ("target_group_id",),
    "target_periods": ("period_id",),
    "targets": ("target_id",),
    "target_values": ("target_id", "period_id"),
    "streak_levels": ("streak_level_id",),
}


def _save_statement(table: str) -> str:
    columns = _COLUMNS[table]
    names = ", ".join(columns)
    values = ", ".join(f"k.{name}{'::jsonb' * (kind == 'jsonb')}" for name, kind in columns.items())
    arrays = ", ".join(f"%b::{'text' if kind == 'jsonb' else kind}[]" for kind in columns.values())
    others = ", ".join(f"{name} = excluded.{name}" for name in columns if name not in _KEYS[table])
    return (
        f"INSERT INTO {table} (org_id, {names}) SELECT %b, {values} "  # noqa: S608 - names above
        f"FROM unnest({arrays}) AS k ({names}) "
        f"ON CONFLICT (org_id, {', '.join(_KEYS[table])}) DO UPDATE SET {others}"
    )


_SAVE = {table: _save_statement(table) for table in _COLUMNS}

ASK_IDS = """
SELECT nextval('definition_ids') FROM generate_series(1, %b::integer)
"""

CLAIM = """
UPDATE orgs SET definitions_revision = %b::bigint + 1
WHERE org_id = %b AND definitions_revision = %b
RETURNING pg_notify('milepost_definitions', org_id || ' ' || root_org_id || ' ' || definitions_revision)
"""

DELETE_GROUPS = """
UPDATE target_groups SET deleted_at = %b, active = false, name_key = NULL
WHERE org_id = %b AND target_group_id = ANY (%b::bigint[])
"""

FREE_TARGET_NAMES = """
UPDATE targets SET name_key = NULL WHERE org_id = %b AND target_group_id = ANY (%b::bigint[])
"""

FREE_LEVEL_NAMES = """
UPDATE streak_levels SET name_key = NULL WHERE org_id = %b AND target_group_id = ANY (%b::bigint[])
"""

# Numbers, not texts, so that a reader of the table sees what the wire had.
_encode = msgspec.json.Encoder(decimal_format="number").encode


async def allot_ids(tx: Tx, count: int) -> list[int]:
    """`count` fresh ids of definitions, ascending. What is not used is lost."""
    if not count:
        return []
    return [row[0] for row in await (await ask(tx, ASK_IDS, count)).rows()]


async def claim_definitions(tx: Tx, tenant: Tenant, revision: int) -> bool:
    """Raise the revision from the one that the edit was decided with; False: it was no longer that.

    The other processes are told at the commit.
    """
    return bool(await (await ask(tx, CLAIM, revision, tenant.org_id, revision)).rows())


async def save_definitions(tx: Tx, tenant: Tenant, edit: Edit) -> None:
    """Make the edit's groups true, one statement per table. The definitions must be claimed.

    Nothing of a deleted group goes, for rewards and journal name it; its names become free.
    """
    groups, org = edit.saved, tenant.org_id
    targets = [target for group in groups for target in group.targets]
    rows: dict[str, list[tuple[Any, ...]]] = {
        "target_groups": [_group_row(group) for group in groups],
        "target_periods": [_period_row(group, p) for group in groups for p in group.periods],
        "targets": [_target_row(target) for target in targets],
        "target_values": [
            (target.id, value.period_id, value.id, value.value)
            for target in targets
            for value in target.values.values()
        ],
        "streak_levels": [_level_row(group, level) for group in groups for level in group.levels],
    }
    for table, of_table in rows.items():
        if of_table:
            columns = [list(column) for column in zip(*of_table, strict=True)]
            await tell(tx, _SAVE[table], org, *columns)
    if edit.deleted:
        await tell(tx, DELETE_GROUPS, edit.at, org, list(edit.deleted))
        await tell(tx, FREE_TARGET_NAMES, org, list(edit.deleted))
        await tell(tx, FREE_LEVEL_NAMES, org, list(edit.deleted))


def _group_row(group: TargetGroup) -> tuple[Any, ...]:
    return (
        group.id, group.name, name_key(group.name), group.tracking_type, group.time_zone,
        group.cycle_starts_at, group.cycle_ends_at, group.evaluation_type, group.description,
        group.active, group.preferred_till_id, group.frequency_type, group.frequency,
        group.total_periods, group.recurring_cycles, group.user_created, group.leaderboard_enabled,
        group.reward_allocation, group.track_from_enrolment_date, group.settlement_delay_days,
        group.carry_returns_forward, group.combination_type,
        _text(group.unified_target_expression), *_actor_columns(group.created, group.updated),
    )  # fmt: skip


def _period_row(group: TargetGroup, period: Period) -> tuple[Any, ...]:
    return (
        period.id, group.id, period.number, period.ref_code, period.starts_at, period.ends_at,
        period.description, period.active, *_actor_columns(period.created, period.updated),
        period.closes_at,
    )  # fmt: skip


def _target_row(target: Target) -> tuple[Any, ...]:
    return (
        target.id, target.group_id, target.name, name_key(target.name), target.target_entity,
        target.target_type, target.event_name, target.description, target.active,
        target.expression, target.expression_json, _text(target.filters), target.enrolment_method,
        _text(target.extended_field_info), _text(target.aggregate_window),
        _text(target.milestone_triggers), _text(target.rewards),
        *_actor_columns(target.created, target.updated),
    )  # fmt: skip


def _level_row(group: TargetGroup, level: StreakLevel) -> tuple[Any, ...]:
    return (
        level.id, group.id, level.name, name_key(level.name), level.target_count,
        _text(level.rewards), *_actor_columns(level.created, level.updated),
    )  # fmt: skip


def _actor_columns(created: Actor | None, updated: Actor | None) -> tuple[Any, ...]:
    if created is None or updated is None:
        raise ValueError("a definition without its author")
    return created.credential_id, created.at, updated.credential_id, updated.at


def _text(value: object) -> str | None:
    return None if value is None else _encode(value).decode()
