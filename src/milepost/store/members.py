"""A customer's state: version, stints, progress, rewards, journal. Loaded and saved by the batch.

Lock order: `claim` takes the version rows of a batch in the order of the customer id, so two batches
never wait for each other in a circle; nothing else is locked before it.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from decimal import Decimal

import msgspec

from milepost.database import Tenant, Tx
from milepost.rules.coverage import Enrolment, Members
from milepost.rules.definitions import Definitions
from milepost.rules.effects import Changes, LevelAchievement, Progress, Stint
from milepost.rules.holdings import total_usage, winners
from milepost.store.holdings import (
    SAVE_EARNS,
    SAVE_ISSUALS,
    SAVE_REDEMPTIONS,
    claim_usage,
    earn_rows,
    give_back_usage,
    issual_rows,
    redemption_rows,
)
from milepost.store.journal import encode_details
from milepost.store.outbox import SAVE_OUTBOX, outbox_rows
from milepost.store.pipeline import Reply, Rows, ask, statement_on, tell
from milepost.store.shards import RETURNING, on_shards

# The version must be read before the rows that it guards. Under READ COMMITTED each statement sees its
# own moment: rows newer than the version lose at `claim`, rows older than it would be lost silently.
ASK_VERSIONS = """
SELECT k.customer_id, coalesce(v.version, 0)
FROM unnest(%b::bigint[]) AS k (customer_id)
CROSS JOIN LATERAL (
    SELECT FROM customers c WHERE c.org_id = %b AND c.customer_id = k.customer_id OFFSET 0
) AS known
LEFT JOIN LATERAL (
    SELECT s.version FROM customer_versions s
    WHERE s.org_id = %b AND s.customer_id = k.customer_id OFFSET 0
) AS v ON true
"""

on_shards(
    ASK_VERSIONS,
    """
SELECT k.customer_id, coalesce(v.version, 0)
FROM unnest(%b::bigint[]) AS k (customer_id)
JOIN customers c ON c.org_id = %b AND c.customer_id = k.customer_id
LEFT JOIN customer_versions v ON v.org_id = %b AND v.customer_id = c.customer_id
""",
)

# Of whoever the books have, erased customers too. Read, too, before the rows that they guard.
ASK_KEPT_VERSIONS = """
SELECT k.customer_id, coalesce(v.version, 0)
FROM unnest(%b::bigint[]) AS k (customer_id)
LEFT JOIN LATERAL (
    SELECT s.version FROM customer_versions s
    WHERE s.org_id = %b AND s.customer_id = k.customer_id OFFSET 0
) AS v ON true
"""

on_shards(
    ASK_KEPT_VERSIONS,
    """
WITH k AS MATERIALIZED (SELECT unnest(%b::bigint[]) AS customer_id)
SELECT k.customer_id, coalesce(v.version, 0)
FROM k LEFT JOIN (
    SELECT customer_id, version FROM customer_versions
    WHERE org_id = %b AND customer_id = ANY ($1::bigint[])
) AS v ON v.customer_id = k.customer_id
""",
)

ASK_STINTS = """
SELECT e.customer_id, e.target_id, e.enrolment_id, e.stint, e.enrolled_at, e.from_period_id, e.left_at,
       e.attempt, e.anchored_at
FROM unnest(%b::bigint[], %b::bigint[]) AS k (customer_id, target_id)
CROSS JOIN LATERAL (
    SELECT * FROM enrolments e
    WHERE e.org_id = %b AND e.customer_id = k.customer_id AND e.target_id = k.target_id OFFSET 0
) AS e
ORDER BY e.customer_id, e.target_id, e.stint
"""

ASK_STINTS_OF_CUSTOMERS = """
SELECT e.customer_id, e.target_id, e.enrolment_id, e.stint, e.enrolled_at, e.from_period_id, e.left_at,
       e.attempt, e.anchored_at
FROM unnest(%b::bigint[]) AS k (customer_id)
CROSS JOIN LATERAL (
    SELECT * FROM enrolments e WHERE e.org_id = %b AND e.customer_id = k.customer_id OFFSET 0
) AS e
ORDER BY e.customer_id, e.target_id, e.stint
"""

ASK_PROGRESS = """
SELECT p.customer_id, p.target_id, p.period_id, p.attempt, p.value, p.achieved_at, p.rewarded_attempt,
       p.own_target_value, p.days::text
FROM unnest(%b::bigint[], %b::bigint[]) AS k (customer_id, target_id)
CROSS JOIN LATERAL (
    SELECT * FROM progress p
    WHERE p.org_id = %b AND p.customer_id = k.customer_id AND p.target_id = k.target_id OFFSET 0
) AS p
"""

ASK_PROGRESS_OF_CYCLES = """
SELECT p.customer_id, p.target_id, p.period_id, p.attempt, p.value, p.achieved_at, p.rewarded_attempt,
       p.own_target_value, p.days::text
FROM unnest(%b::bigint[], %b::bigint[], %b::bigint[]) AS k (customer_id, target_id, period_id)
CROSS JOIN LATERAL (
    SELECT * FROM progress p
    WHERE p.org_id = %b AND p.customer_id = k.customer_id AND p.target_id = k.target_id
      AND p.period_id = k.period_id OFFSET 0
) AS p
"""

ASK_LEVELS = """
SELECT l.customer_id, l.target_id, l.streak_level_id, l.attempt, l.period_id, l.achieved_at
FROM unnest(%b::bigint[], %b::bigint[]) AS k (customer_id, target_id)
CROSS JOIN LATERAL (
    SELECT * FROM level_achievements l
    WHERE l.org_id = %b AND l.customer_id = k.customer_id AND l.target_id = k.target_id OFFSET 0
) AS l
"""

ASK_REWARD_IDS = """
SELECT nextval('reward_ids') FROM generate_series(1, %b::integer)
"""

CLAIM = """
INSERT INTO customer_versions AS v (org_id, customer_id, version)
SELECT %b, k.customer_id, k.version + 1
FROM unnest(%b::bigint[], %b::bigint[]) AS k (customer_id, version)
ORDER BY k.customer_id
ON CONFLICT (org_id, customer_id) DO UPDATE SET version = excluded.version
    WHERE v.version = excluded.version - 1
RETURNING v.customer_id
"""

SAVE_STINTS = """
INSERT INTO enrolments (org_id, customer_id, target_id, stint, enrolment_id, enrolled_at, from_period_id,
                        left_at, attempt, anchored_at)
SELECT %b, k.customer_id, k.target_id, k.stint, coalesce(k.enrolment_id, nextval('enrolment_ids')),
       k.enrolled_at, k.from_period_id, k.left_at, k.attempt, k.anchored_at
FROM unnest(%b::bigint[], %b::bigint[], %b::smallint[], %b::bigint[], %b::timestamptz[], %b::bigint[],
            %b::timestamptz[], %b::integer[], %b::timestamptz[])
    AS k (customer_id, target_id, stint, enrolment_id, enrolled_at, from_period_id, left_at, attempt,
          anchored_at)
ON CONFLICT (org_id, customer_id, target_id, stint) DO UPDATE
SET enrolled_at = excluded.enrolled_at, from_period_id = excluded.from_period_id,
    left_at = excluded.left_at, attempt = excluded.attempt, anchored_at = excluded.anchored_at
"""

SAVE_PROGRESS = """
INSERT INTO progress (org_id, customer_id, target_id, period_id, attempt, value, achieved_at,
                      rewarded_attempt, own_target_value, days)
SELECT %b, k.customer_id, k.target_id, k.period_id, k.attempt, k.value, k.achieved_at, k.rewarded_attempt,
       k.own_target_value, k.days::jsonb
FROM unnest(%b::bigint[], %b::bigint[], %b::bigint[], %b::integer[], %b::numeric[], %b::timestamptz[],
            %b::integer[], %b::numeric[], %b::text[])
    AS k (customer_id, target_id, period_id, attempt, value, achieved_at, rewarded_attempt,
          own_target_value, days)
ON CONFLICT (org_id, customer_id, target_id, period_id) DO UPDATE
SET attempt = excluded.attempt, value = excluded.value, achieved_at = excluded.achieved_at,
    rewarded_attempt = excluded.rewarded_attempt, own_target_value = excluded.own_target_value,
    days = excluded.days
"""

SAVE_REWARDS = """
INSERT INTO rewards (org_id, customer_id, reward_id, target_group_id, target_id, period_id, streak_level_id,
                     attempt, ordinal, name, type, value, reference, granted_at, cause, promotion_id,
                     earn_id, paid_for)
SELECT %b, k.*
FROM unnest(%b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[],
            %b::integer[], %b::smallint[], %b::text[], %b::text[], %b::numeric[], %b::text[],
            %b::timestamptz[], %b::text[], %b::bigint[], %b::bigint[], %b::text[])
    AS k (customer_id, reward_id, target_group_id, target_id, period_id, streak_level_id, attempt,
          ordinal, name, type, value, reference, granted_at, cause, promotion_id, earn_id, paid_for)
"""

SAVE_LEVELS = """
INSERT INTO level_achievements (org_id, customer_id, target_id, streak_level_id, attempt, period_id,
                                achieved_at)
SELECT %b, k.*
FROM unnest(%b::bigint[], %b::bigint[], %b::bigint[], %b::integer[], %b::bigint[], %b::timestamptz[])
    AS k (customer_id, target_id, streak_level_id, attempt, period_id, achieved_at)
ON CONFLICT (org_id, customer_id, target_id, streak_level_id, attempt) DO UPDATE
SET period_id = excluded.period_id, achieved_at = excluded.achieved_at
"""

SAVE_CYCLE_ENDS = """
INSERT INTO cycle_ends (org_id, customer_id, target_id, period_id, due_at)
SELECT %b, k.*
FROM unnest(%b::bigint[], %b::bigint[], %b::bigint[], %b::timestamptz[])
    AS k (customer_id, target_id, period_id, due_at)
ON CONFLICT (org_id, customer_id, target_id, period_id) DO UPDATE SET due_at = excluded.due_at
"""

SAVE_ACTIVITIES = """
INSERT INTO activities (org_id, customer_id, activity_id, type, occurred_at, event_name, net_amount,
                        gross_amount, store_id, zone_id, concept_id, line_items, attributes, return_of,
                        is_full, version, ordinal)
SELECT %b, k.customer_id, k.activity_id, k.type, k.occurred_at, k.event_name, k.net_amount,
       k.gross_amount, k.store_id, k.zone_id, k.concept_id, k.line_items::jsonb, k.attributes::jsonb,
       k.return_of, k.is_full, k.version, k.ordinal
FROM unnest(%b::bigint[], %b::text[], %b::text[], %b::timestamptz[], %b::text[], %b::numeric[],
            %b::numeric[], %b::bigint[], %b::bigint[], %b::bigint[], %b::text[], %b::text[], %b::text[],
            %b::boolean[], %b::bigint[], %b::smallint[])
    AS k (customer_id, activity_id, type, occurred_at, event_name, net_amount, gross_amount, store_id,
          zone_id, concept_id, line_items, attributes, return_of, is_full, version, ordinal)
"""

SAVE_JOURNAL = """
INSERT INTO journal (org_id, customer_id, version, ordinal, at, what, reason, target_group_id, target_id,
                     period_id, details, request_id, credential_id, till_id, store_id)
SELECT %b, k.customer_id, k.version, k.ordinal, k.at, k.what, k.reason, k.target_group_id, k.target_id,
       k.period_id, k.details::jsonb, k.request_id, k.credential_id, k.till_id, k.store_id
FROM unnest(%b::bigint[], %b::bigint[], %b::smallint[], %b::timestamptz[], %b::text[], %b::text[],
            %b::bigint[], %b::bigint[], %b::bigint[], %b::text[], %b::text[], %b::bigint[], %b::bigint[],
            %b::bigint[])
    AS k (customer_id, version, ordinal, at, what, reason, target_group_id, target_id, period_id, details,
          request_id, credential_id, till_id, store_id)
"""

for _statement in (SAVE_REWARDS, SAVE_ACTIVITIES, SAVE_JOURNAL, SAVE_REDEMPTIONS):
    on_shards(_statement, _statement + RETURNING)

_encode = msgspec.json.Encoder().encode
_encode_numbers = msgspec.json.Encoder(decimal_format="number").encode


async def load_members(tx: Tx, tenant: Tenant, keys: Iterable[tuple[int, int]]) -> Members:
    """What is stored of the given (customer id, target id) pairs: three statements, one round trip."""
    pairs = sorted(set(keys))
    customers = sorted({customer for customer, _ in pairs})
    versions = await ask_versions(tx, tenant, customers)
    stints = await ask(tx, ASK_STINTS, *_columns(pairs, 2), tenant.org_id)
    progress = await ask(tx, ASK_PROGRESS, *_columns(pairs, 2), tenant.org_id)
    known: dict[int, int] = dict(await versions.rows())
    enrolments = read_stints(await stints.rows())
    add_progress(enrolments, await progress.rows())
    return Members(known, enrolments)


async def load_more_members(
    tx: Tx, tenant: Tenant, members: Members, keys: Iterable[tuple[int, int]]
) -> None:
    """Add what is stored of further (customer id, target id) pairs: three statements, one round trip."""
    pairs = sorted(set(keys))
    stints = await ask(tx, ASK_STINTS, *_columns(pairs, 2), tenant.org_id)
    progress = await ask(tx, ASK_PROGRESS, *_columns(pairs, 2), tenant.org_id)
    levels = await ask(tx, ASK_LEVELS, *_columns(pairs, 2), tenant.org_id)
    more = read_stints(await stints.rows())
    add_progress(more, await progress.rows())
    _add_levels(more, await levels.rows())
    members.enrolments.update(more)


async def load_progress(
    tx: Tx,
    tenant: Tenant,
    enrolments: dict[tuple[int, int], Enrolment],
    pairs: Collection[tuple[int, int]],
    cycles: Collection[tuple[int, int, int]],
    streaks: Collection[tuple[int, int]],
) -> None:
    """Add progress to enrolments: of all cycles of `pairs`, of the single `cycles`, levels of `streaks`.

    (customer id, target id), with the period id of a single cycle. At most three statements, none for
    what is empty, one round trip.
    """
    org = tenant.org_id
    of_pairs = await ask(tx, ASK_PROGRESS, *_columns(pairs, 2), org) if pairs else None
    of_cycles = await ask(tx, ASK_PROGRESS_OF_CYCLES, *_columns(cycles, 3), org) if cycles else None
    levels = await ask(tx, ASK_LEVELS, *_columns(streaks, 2), org) if streaks else None
    for reply in (of_pairs, of_cycles):
        if reply is not None:
            add_progress(enrolments, await reply.rows())
    if levels is not None:
        _add_levels(enrolments, await levels.rows())


async def ask_versions(tx: Tx, tenant: Tenant, customers: Sequence[int]) -> Reply:
    """Rows of (customer id, version) for each customer that exists. Ask it before what it guards."""
    return await ask(tx, ASK_VERSIONS, customers, tenant.root_org_id, tenant.org_id)


async def ask_kept_versions(tx: Tx, tenant: Tenant, customers: Sequence[int]) -> Reply:
    """Rows of (customer id, version) for customers of whom there is anything: erased ones too, whose due
    work goes on. Ask it before what it guards.
    """
    return await ask(tx, ASK_KEPT_VERSIONS, customers, tenant.org_id)


async def ask_stints_of_customers(tx: Tx, tenant: Tenant, customers: Sequence[int]) -> Reply:
    """All stints of the customers, for `read_stints`."""
    return await ask(tx, ASK_STINTS_OF_CUSTOMERS, customers, tenant.org_id)


def read_stints(rows: Rows) -> dict[tuple[int, int], Enrolment]:
    """Enrolments by (customer id, target id), without progress, of rows in the order of the stints."""
    found: dict[tuple[int, int], Enrolment] = {}
    for customer, target, enrolment_id, *columns in rows:
        before = found.get((customer, target))
        stints = before.stints if before is not None else ()
        found[customer, target] = Enrolment(enrolment_id, (*stints, Stint(*columns)), {})
    return found


def add_progress(enrolments: dict[tuple[int, int], Enrolment], rows: Rows) -> None:
    """Put rows of progress into the enrolments that they belong to."""
    for customer, target, period, attempt, value, achieved_at, rewarded, own, days in rows:
        enrolment = enrolments.get((customer, target))
        if enrolment is None:
            enrolment = enrolments[customer, target] = Enrolment(None, (), {})
        by_day = _decode_days(days) if days is not None else None
        enrolment.progress[period] = Progress(
            period, attempt, value, achieved_at, rewarded, own, by_day
        )


def _add_levels(enrolments: dict[tuple[int, int], Enrolment], rows: Rows) -> None:
    found: dict[tuple[int, int], dict[tuple[int, int], LevelAchievement]] = {}
    for customer, target, level, attempt, *columns in rows:
        of_target = found.setdefault((customer, target), {})
        of_target[level, attempt] = LevelAchievement(level, attempt, *columns)
    for key, levels in found.items():
        enrolments[key] = replace(enrolments[key], levels=levels)


def _decode_days(text: str) -> dict[str, Decimal]:
    return {day: Decimal(amount) for day, amount in json.loads(text).items()}


def _columns(rows: Collection[tuple[int, ...]], count: int) -> list[list[int]]:
    return [list(column) for column in zip(*rows, strict=True)] or [[] for _ in range(count)]


async def claim(
    tx: Tx, tenant: Tenant, changes: Sequence[Changes], definitions: Definitions
) -> set[int]:
    """Compare and set the versions, in the order of the customer id; returns the ids that won.

    A customer that another transaction changed since the load loses and is not locked. Rewards get
    their ids in the same round trip. Who uses a promotion that is limited for all customers together
    wins only if there is room, which takes one more; a version may be higher then without an entry.
    """
    writing = [change for change in changes if not change.only_leans]
    if not writing:
        return winners(changes, set(), set())
    reply = await ask(
        tx,
        CLAIM,
        tenant.org_id,
        [change.customer_id for change in writing],
        [change.version for change in writing],
    )
    if definitions.is_notified:
        for change in writing:
            change.is_notified = True
    rewards = [reward for change in changes for reward in change.rewards]
    ids = await ask(tx, ASK_REWARD_IDS, len(rewards)) if rewards else None
    won = {row[0] for row in await reply.rows()}
    if ids is not None:
        for reward, (reward_id,) in zip(rewards, await ids.rows(), strict=True):
            reward.id = reward_id
    if any(change.usage or change.leans_on for change in changes):
        return await _claim_usage(tx, tenant, changes, definitions, won)
    return won


async def _claim_usage(
    tx: Tx, tenant: Tenant, changes: Sequence[Changes], definitions: Definitions, claimed: set[int]
) -> set[int]:
    """Count what those who were claimed use of promotions; returns the winners."""
    used = total_usage(change for change in changes if change.customer_id in claimed)
    room = await claim_usage(tx, tenant, definitions, used) if used else set()
    won = winners(changes, claimed, used.keys() - room)
    lost = total_usage(c for c in changes if c.customer_id in claimed - won)
    back = {promotion_id: usage for promotion_id, usage in lost.items() if promotion_id in room}
    if back:
        await give_back_usage(tx, tenant, back)
    return won


async def save_changes(tx: Tx, tenant: Tenant, changes: Sequence[Changes]) -> None:
    """Send what changed: one statement, with a branch for each table that has rows.

    The customers must be claimed. One statement, because each one costs the client about as much as
    the rows of three enrolments; the branches share nothing, so the planner has nothing to decide.
    """
    branches: list[str] = []
    parameters: list[object] = []
    for statement, rows in (
        (SAVE_STINTS, _stint_rows(changes)),
        (SAVE_PROGRESS, _progress_rows(changes)),
        (SAVE_LEVELS, _level_rows(changes)),
        (SAVE_REWARDS, _reward_rows(changes)),
        (SAVE_CYCLE_ENDS, _cycle_end_rows(changes)),
        (SAVE_ACTIVITIES, _activity_rows(changes)),
        (SAVE_ISSUALS, issual_rows(changes)),
        (SAVE_EARNS, earn_rows(changes)),
        (SAVE_REDEMPTIONS, redemption_rows(changes)),
        (SAVE_JOURNAL, _journal_rows(changes)),
        (SAVE_OUTBOX, outbox_rows(changes)),
    ):
        if rows:
            branches.append(f"branch_{len(branches)} AS ({statement_on(tx, statement)})")
            parameters += [tenant.org_id, *map(list, zip(*rows, strict=True))]
    if branches:
        await tell(tx, f"WITH {', '.join(branches)} SELECT", *parameters)


Row = tuple[object, ...]


def _stint_rows(changes: Sequence[Changes]) -> list[Row]:
    return [
        (c.customer_id, target, s.number, c.enrolment_ids.get(target), s.enrolled_at,
         s.from_period_id, s.left_at, s.attempt, s.anchored_at)
        for c in changes
        for (target, _), s in c.stints.items()
    ]  # fmt: skip


def _progress_rows(changes: Sequence[Changes]) -> list[Row]:
    return [
        (c.customer_id, target, p.period_id, p.attempt, p.value, p.achieved_at, p.rewarded_attempt,
         p.own_target_value, _encode(p.days).decode() if p.days is not None else None)
        for c in changes
        for (target, _), p in c.progress.items()
    ]  # fmt: skip


def _level_rows(changes: Sequence[Changes]) -> list[Row]:
    return [
        (c.customer_id, target, a.level_id, a.attempt, a.period_id, a.achieved_at)
        for c in changes
        for (target, _, _), a in c.levels.items()
    ]


def _reward_rows(changes: Sequence[Changes]) -> list[Row]:
    return [
        (c.customer_id, r.id, r.target_group_id, r.target_id, r.period_id, r.streak_level_id,
         r.attempt, r.ordinal, r.name, r.type, r.value, r.reference, r.granted_at, r.cause,
         r.promotion_id, r.earn_id, r.paid_for)
        for c in changes
        for r in c.rewards
    ]  # fmt: skip


def _cycle_end_rows(changes: Sequence[Changes]) -> list[Row]:
    return [
        (c.customer_id, end.target_id, end.period_id, end.due_at)
        for c in changes
        for end in c.cycle_ends
    ]


def _activity_rows(changes: Sequence[Changes]) -> list[Row]:
    return [
        (c.customer_id, a.id, a.type, a.occurred_at, a.event_name, a.net_amount, a.gross_amount,
         a.store_id, a.zone_id, a.concept_id,
         _encode_numbers(a.line_items).decode() if a.line_items else None,
         _encode_numbers(a.attributes).decode() if a.attributes else None,
         a.return_of, a.full, c.version + 1, ordinal)
        for c in changes
        for a, ordinal in c.activities
    ]  # fmt: skip


def _journal_rows(changes: Sequence[Changes]) -> list[Row]:
    return [
        (c.customer_id, c.version + 1, ordinal, e.at, e.what, e.reason, e.target_group_id,
         e.target_id, e.period_id, encode_details(e), o.request_id, o.credential_id, o.till_id,
         o.store_id)
        for c in changes
        for ordinal, (e, o) in enumerate(zip(c.journal, c.origins, strict=True))
    ]  # fmt: skip
