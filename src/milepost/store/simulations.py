"""Dry runs as stored: what is simulated, how far it is, and what has been counted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import msgspec

from milepost.database import Tenant, Tx
from milepost.rules.activities import Activity
from milepost.rules.definitions import TargetGroup
from milepost.rules.simulation import CycleTally, LevelTally, RewardTally, Tally
from milepost.store.activities import read_activity
from milepost.store.pipeline import Rows, ask, tell
from milepost.store.shards import on_shards

COLUMNS = """
    simulation_id, status, target_group_id, definition ->> 'name', starts_at, ends_at, created_at, started_at,
    finished_at, step, cursor_customer_id, customers_done, customers_total
"""

ASK_ALL = f"SELECT {COLUMNS} FROM simulations WHERE org_id = %b ORDER BY simulation_id DESC"  # noqa: S608 - ours

ASK_ONE = f"""
SELECT {COLUMNS}, definition::text, tally::text FROM simulations WHERE org_id = %b AND simulation_id = %b
"""  # noqa: S608 - ours

# A queue has a length, so whoever joins it waits for whoever is joining.
TAKE_TURN = "SELECT pg_advisory_xact_lock(3, (%b::bigint & 2147483647)::integer)"

COUNT_UNFINISHED = """
SELECT count(*) FROM simulations WHERE org_id = %b AND status IN ('QUEUED', 'RUNNING')
"""

INSERT = """
INSERT INTO simulations (org_id, status, target_group_id, definition, starts_at, ends_at, created_at,
                         created_by)
VALUES (%b, 'QUEUED', %b, %b::jsonb, %b, %b, %b, %b)
RETURNING simulation_id
"""

# The oldest finished ones go when there are too many.
DROP_OLD = """
DELETE FROM simulations
WHERE org_id = %b AND status IN ('DONE', 'FAILED') AND simulation_id <= (
    SELECT simulation_id FROM simulations WHERE org_id = %b
    ORDER BY simulation_id DESC OFFSET %b LIMIT 1
)
"""

DROP = "DELETE FROM simulations WHERE org_id = %b AND simulation_id = %b RETURNING simulation_id"

HOLD = """
UPDATE simulations
SET status = 'RUNNING', held_until = %b, step = step + 1, started_at = coalesce(started_at, %b),
    customers_total = CASE WHEN status = 'QUEUED' THEN (
        SELECT count(*) FROM customer_versions v WHERE v.org_id = simulations.org_id
    ) ELSE customers_total END
WHERE org_id = %b AND simulation_id = %b AND status IN ('QUEUED', 'RUNNING')
  AND (held_until IS NULL OR held_until <= %b)
RETURNING simulation_id
"""

# Row-level security counts those of the organisation.
on_shards(HOLD, HOLD.replace(" v WHERE v.org_id = simulations.org_id", ""))

ADVANCE = """
UPDATE simulations
SET status = %b, held_until = %b, step = step + 1, cursor_customer_id = %b, customers_done = %b,
    customers_total = greatest(customers_total, %b), tally = %b::jsonb, finished_at = %b
WHERE org_id = %b AND simulation_id = %b AND step = %b
RETURNING step
"""

FAIL = """
UPDATE simulations SET status = 'FAILED', held_until = NULL, step = step + 1, tally = NULL, finished_at = %b
WHERE org_id = %b AND simulation_id = %b AND status = 'RUNNING'
RETURNING simulation_id
"""

ASK_UNFINISHED = """
SELECT o.org_id, o.root_org_id, s.simulation_id
FROM simulations s JOIN orgs o ON o.org_id = s.org_id
WHERE s.status IN ('QUEUED', 'RUNNING') AND (s.held_until IS NULL OR s.held_until <= %b)
ORDER BY s.simulation_id
"""

ASK_CUSTOMERS_AFTER = """
SELECT v.customer_id FROM customer_versions v
WHERE v.org_id = %b AND v.customer_id > %b
ORDER BY v.customer_id LIMIT %b
"""

ASK_RETURNED = """
SELECT a.customer_id, a.return_of
FROM unnest(%b::bigint[]) AS k (customer_id)
CROSS JOIN LATERAL (
    SELECT a.customer_id, a.return_of FROM activities a
    WHERE a.org_id = %b AND a.customer_id = k.customer_id AND a.return_of IS NOT NULL
      AND a.occurred_at >= %b AND a.occurred_at < %b OFFSET 0
) AS a
"""

ASK_ACTIVITIES = """
SELECT a.version, a.ordinal, a.activity_id, a.customer_id, a.type, a.occurred_at, a.event_name, a.net_amount,
       a.gross_amount, a.store_id, a.zone_id, a.concept_id, a.line_items::text, a.attributes::text,
       a.return_of, a.is_full
FROM unnest(%b::bigint[], %b::bigint[], %b::smallint[]) AS k (customer_id, version, ordinal)
CROSS JOIN LATERAL (
    SELECT * FROM activities a
    WHERE a.org_id = %b AND a.customer_id = k.customer_id AND a.occurred_at >= %b AND a.occurred_at < %b
      AND (a.version, a.ordinal) > (k.version, k.ordinal)
    ORDER BY a.version, a.ordinal LIMIT %b OFFSET 0
) AS a
ORDER BY a.customer_id, a.version, a.ordinal
"""

on_shards(
    ASK_ACTIVITIES,
    """
SELECT version, ordinal, activity_id, customer_id, type, occurred_at, event_name, net_amount, gross_amount,
       store_id, zone_id, concept_id, line_items, attributes, return_of, is_full
FROM (
    SELECT a.version, a.ordinal, a.activity_id, a.customer_id, a.type, a.occurred_at, a.event_name,
           a.net_amount, a.gross_amount, a.store_id, a.zone_id, a.concept_id, a.line_items::text,
           a.attributes::text, a.return_of, a.is_full,
           row_number() OVER (PARTITION BY a.customer_id ORDER BY a.version, a.ordinal) AS place
    FROM unnest(%b::bigint[], %b::bigint[], %b::smallint[]) AS k (customer_id, version, ordinal)
    JOIN activities a ON a.org_id = %b AND a.customer_id = k.customer_id AND a.occurred_at >= %b
        AND a.occurred_at < %b AND (a.version, a.ordinal) > (k.version, k.ordinal)
) AS a
WHERE place <= %b
ORDER BY customer_id, version, ordinal
""",
)

_encode = msgspec.json.Encoder().encode
_decode_group = msgspec.json.Decoder(TargetGroup).decode


class _Counted(msgspec.Struct):
    """A tally as it is kept: its rows, without their keys."""

    cycles: list[CycleTally]
    levels: list[LevelTally]
    rewards: list[RewardTally]
    customers: int
    activities: int
    rejected: int


_decode_counted = msgspec.json.Decoder(_Counted).decode


@dataclass(frozen=True, slots=True)
class Simulation:
    """One dry run over [starts_at, ends_at), without what is large of it.

    `target_group_id` is None for a definition that was not saved. `cursor` is the last customer counted.
    """

    id: int
    status: str
    target_group_id: int | None
    name: str
    starts_at: datetime
    ends_at: datetime
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    step: int
    cursor: int | None
    customers_done: int
    customers_total: int


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a dry run is, to be saved over step `step`. Either `held_until` or `finished_at` is None."""

    simulation_id: int
    step: int
    cursor: int | None
    customers_done: int
    tally: Tally
    held_until: datetime | None
    finished_at: datetime | None


class Place(NamedTuple):
    """How far a customer's activities have been read."""

    version: int = 0
    ordinal: int = -1


async def take_turn(tx: Tx, tenant: Tenant) -> None:
    """Wait until no other transaction is about to join the organisation's queue."""
    await tell(tx, TAKE_TURN, tenant.org_id)


async def count_unfinished(tx: Tx, tenant: Tenant) -> int:
    """How many dry runs of the organisation wait or run."""
    count: int = (await (await ask(tx, COUNT_UNFINISHED, tenant.org_id)).rows())[0][0]
    return count


async def insert_simulation(
    tx: Tx,
    tenant: Tenant,
    target_group_id: int | None,
    group: TargetGroup,
    bounds: tuple[datetime, datetime],
    created_at: datetime,
    credential_id: int,
    kept_max: int,
) -> int:
    """Queue a dry run; returns its id. Of all, the `kept_max` newest stay."""
    reply = await ask(
        tx, INSERT, tenant.org_id, target_group_id, _encode(group).decode(), *bounds, created_at,
        credential_id,
    )  # fmt: skip
    await tell(tx, DROP_OLD, tenant.org_id, tenant.org_id, kept_max)
    simulation_id: int = (await reply.rows())[0][0]
    return simulation_id


async def drop_simulation(tx: Tx, tenant: Tenant, simulation_id: int) -> bool:
    """Take a dry run away, whatever its status; whether there was one."""
    return bool(await (await ask(tx, DROP, tenant.org_id, simulation_id)).rows())


async def hold_simulation(
    tx: Tx, tenant: Tenant, simulation_id: int, now: datetime, until: datetime
) -> bool:
    """Begin or resume a dry run, unless it is finished, gone, or held by another process."""
    reply = await ask(tx, HOLD, until, now, tenant.org_id, simulation_id, now)
    return bool(await reply.rows())


async def save_progress(tx: Tx, tenant: Tenant, progress: Progress) -> bool:
    """Compare and set the step; False when the dry run is gone or another process is at it."""
    reply = await ask(
        tx,
        ADVANCE,
        "RUNNING" if progress.finished_at is None else "DONE",
        progress.held_until,
        progress.cursor,
        progress.customers_done,
        progress.customers_done,
        _encode_tally(progress.tally),
        progress.finished_at,
        tenant.org_id,
        progress.simulation_id,
        progress.step,
    )
    return bool(await reply.rows())


async def fail_simulation(tx: Tx, tenant: Tenant, simulation_id: int, now: datetime) -> bool:
    """End a dry run without a result; False when it is not running any more."""
    return bool(await (await ask(tx, FAIL, now, tenant.org_id, simulation_id)).rows())


async def load_simulation(
    tx: Tx, tenant: Tenant, simulation_id: int
) -> tuple[Simulation, TargetGroup, Tally | None] | None:
    """One dry run with the group as it was when it was asked for, and what has been counted."""
    rows = await (await ask(tx, ASK_ONE, tenant.org_id, simulation_id)).rows()
    if not rows:
        return None
    *columns, definition, tally = rows[0]
    return Simulation(*columns), _decode_group(definition), _decode_tally(tally)


async def load_simulations(tx: Tx, tenant: Tenant) -> list[Simulation]:
    """All that are kept, newest first."""
    return [Simulation(*row) for row in await (await ask(tx, ASK_ALL, tenant.org_id)).rows()]


async def load_unfinished(tx: Tx, now: datetime) -> list[tuple[Tenant, int]]:
    """Whatever waits, or was left by a process that ended, in all organisations; as operator."""
    rows = await (await ask(tx, ASK_UNFINISHED, now)).rows()
    return [(Tenant(org_id, root_org_id), simulation) for org_id, root_org_id, simulation in rows]


async def load_customers_after(tx: Tx, tenant: Tenant, customer_id: int, count: int) -> list[int]:
    """The next customers whom anything was ever written about, in order of their ids."""
    reply = await ask(tx, ASK_CUSTOMERS_AFTER, tenant.org_id, customer_id, count)
    return [row[0] for row in await reply.rows()]


async def load_returned(
    tx: Tx, tenant: Tenant, customers: Sequence[int], bounds: tuple[datetime, datetime]
) -> dict[int, set[str]]:
    """By customer, the ids of the transactions that returns within [bounds) are of."""
    reply = await ask(tx, ASK_RETURNED, list(customers), tenant.org_id, *bounds)
    found: dict[int, set[str]] = {}
    for customer, return_of in await reply.rows():
        found.setdefault(customer, set()).add(return_of)
    return found


async def load_activities(
    tx: Tx,
    tenant: Tenant,
    read: Mapping[int, Place],
    bounds: tuple[datetime, datetime],
    count: int,
) -> list[tuple[Place, Activity]]:
    """The next activities of each customer in the order of their arrival, at most `count` of each.

    Those within [bounds), after where each was `read` to.
    """
    customers = list(read)
    reply = await ask(
        tx,
        ASK_ACTIVITIES,
        customers,
        [read[customer].version for customer in customers],
        [read[customer].ordinal for customer in customers],
        tenant.org_id,
        *bounds,
        count,
    )
    return _read_activities(await reply.rows())


def _read_activities(rows: Rows) -> list[tuple[Place, Activity]]:
    return [
        (Place(version, ordinal), read_activity(*columns)) for version, ordinal, *columns in rows
    ]


def _encode_tally(tally: Tally) -> str:
    counted = _Counted(
        list(tally.cycles.values()),
        list(tally.levels.values()),
        list(tally.rewards.values()),
        tally.customers,
        tally.activities,
        tally.rejected,
    )
    return _encode(counted).decode()


def _decode_tally(text: str | None) -> Tally | None:
    if text is None:
        return None
    counted = _decode_counted(text)
    return Tally(
        {(each.target_id, each.period_id): each for each in counted.cycles},
        {(each.target_id, each.level_id): each for each in counted.levels},
        {(each.target_id, each.level_id, each.ordinal): each for each in counted.rewards},
        counted.customers,
        counted.activities,
        counted.rejected,
    )
