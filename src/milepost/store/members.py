"""A customer's state: version, stints, progress, rewards, journal. Loaded and saved by the batch.

Lock order: `claim` takes the version rows of a batch in the order of the customer id, so two batches
never wait for each other in a circle; nothing else is locked before it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from milepost.database import Tenant, Tx
from milepost.rules.effects import Changes, Progress, Stint
from milepost.rules.enrolment import Enrolment, Members
from milepost.store.pipeline import ask, tell

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

ASK_STINTS = """
SELECT e.customer_id, e.target_id, e.enrolment_id, e.stint, e.enrolled_at, e.from_period_id, e.left_at,
       e.attempt
FROM unnest(%b::bigint[], %b::bigint[]) AS k (customer_id, target_id)
CROSS JOIN LATERAL (
    SELECT * FROM enrolments e
    WHERE e.org_id = %b AND e.customer_id = k.customer_id AND e.target_id = k.target_id OFFSET 0
) AS e
ORDER BY e.customer_id, e.target_id, e.stint
"""

ASK_PROGRESS = """
SELECT p.customer_id, p.target_id, p.period_id, p.attempt, p.value, p.achieved_at
FROM unnest(%b::bigint[], %b::bigint[]) AS k (customer_id, target_id)
CROSS JOIN LATERAL (
    SELECT * FROM progress p
    WHERE p.org_id = %b AND p.customer_id = k.customer_id AND p.target_id = k.target_id OFFSET 0
) AS p
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
                        left_at, attempt)
SELECT %b, k.customer_id, k.target_id, k.stint, coalesce(k.enrolment_id, nextval('enrolment_ids')),
       k.enrolled_at, k.from_period_id, k.left_at, k.attempt
FROM unnest(%b::bigint[], %b::bigint[], %b::smallint[], %b::bigint[], %b::timestamptz[], %b::bigint[],
            %b::timestamptz[], %b::integer[])
    AS k (customer_id, target_id, stint, enrolment_id, enrolled_at, from_period_id, left_at, attempt)
ON CONFLICT (org_id, customer_id, target_id, stint) DO UPDATE
SET enrolled_at = excluded.enrolled_at, from_period_id = excluded.from_period_id,
    left_at = excluded.left_at, attempt = excluded.attempt
"""

SAVE_PROGRESS = """
INSERT INTO progress (org_id, customer_id, target_id, period_id, attempt, value, achieved_at)
SELECT %b, k.*
FROM unnest(%b::bigint[], %b::bigint[], %b::bigint[], %b::integer[], %b::numeric[], %b::timestamptz[])
    AS k (customer_id, target_id, period_id, attempt, value, achieved_at)
ON CONFLICT (org_id, customer_id, target_id, period_id) DO UPDATE
SET attempt = excluded.attempt, value = excluded.value, achieved_at = excluded.achieved_at
"""

SAVE_REWARDS = """
INSERT INTO rewards (org_id, customer_id, target_group_id, target_id, period_id, streak_level_id, attempt,
                     ordinal, name, type, value, reference, granted_at, cause)
SELECT %b, k.*
FROM unnest(%b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[], %b::integer[],
            %b::smallint[], %b::text[], %b::text[], %b::numeric[], %b::text[], %b::timestamptz[], %b::text[])
    AS k (customer_id, target_group_id, target_id, period_id, streak_level_id, attempt, ordinal, name, type,
          value, reference, granted_at, cause)
"""

SAVE_JOURNAL = """
INSERT INTO journal (org_id, customer_id, version, ordinal, at, what, reason, target_group_id, target_id,
                     period_id, details, request_id)
SELECT %b, k.customer_id, k.version, k.ordinal, k.at, k.what, k.reason, k.target_group_id, k.target_id,
       k.period_id, k.details::jsonb, k.request_id
FROM unnest(%b::bigint[], %b::bigint[], %b::smallint[], %b::timestamptz[], %b::text[], %b::text[],
            %b::bigint[], %b::bigint[], %b::bigint[], %b::text[], %b::text[])
    AS k (customer_id, version, ordinal, at, what, reason, target_group_id, target_id, period_id, details,
          request_id)
"""

_encode = msgspec.json.Encoder().encode


async def load_members(tx: Tx, tenant: Tenant, keys: Iterable[tuple[int, int]]) -> Members:
    """What is stored of the given (customer id, target id) pairs: three statements, one round trip."""
    pairs = sorted(set(keys))
    customers = sorted({customer for customer, _ in pairs})
    of_pairs = ([customer for customer, _ in pairs], [target for _, target in pairs], tenant.org_id)
    versions = await ask(tx, ASK_VERSIONS, customers, tenant.root_org_id, tenant.org_id)
    stints = await ask(tx, ASK_STINTS, *of_pairs)
    progress = await ask(tx, ASK_PROGRESS, *of_pairs)

    known: dict[int, int] = dict(await versions.rows())
    ids: dict[tuple[int, int], int] = {}
    stints_of: dict[tuple[int, int], list[Stint]] = {}
    for customer, target, enrolment_id, number, at, first, left, attempt in await stints.rows():
        ids[customer, target] = enrolment_id
        stints_of.setdefault((customer, target), []).append(Stint(number, at, first, left, attempt))
    progress_of: dict[tuple[int, int], dict[int, Progress]] = {}
    for customer, target, period, attempt, value, achieved_at in await progress.rows():
        row = Progress(period, attempt, value, achieved_at)
        progress_of.setdefault((customer, target), {})[period] = row
    enrolments = {
        key: Enrolment(ids[key], tuple(of_key), progress_of.get(key, {}))
        for key, of_key in stints_of.items()
    }
    return Members(known, enrolments)


async def claim(tx: Tx, tenant: Tenant, changes: Sequence[Changes]) -> set[int]:
    """Compare and set the versions, in the order of the customer id; returns the ids that won.

    A customer that another transaction changed since the load loses and is not locked.
    """
    reply = await ask(
        tx,
        CLAIM,
        tenant.org_id,
        [change.customer_id for change in changes],
        [change.version for change in changes],
    )
    return {row[0] for row in await reply.rows()}


async def save_changes(tx: Tx, tenant: Tenant, changes: Sequence[Changes]) -> None:
    """Send what changed: one statement, with a branch for each table that has rows.

    The customers must be claimed. One statement, because each one costs the client about as much as
    the rows of three enrolments; the branches share nothing, so the planner has nothing to decide.
    """
    org = tenant.org_id
    stints = [
        (c.customer_id, target, s.number, c.enrolment_ids.get(target), s.enrolled_at,
         s.from_period_id, s.left_at, s.attempt)
        for c in changes
        for (target, _), s in c.stints.items()
    ]  # fmt: skip
    progress = [
        (c.customer_id, target, p.period_id, p.attempt, p.value, p.achieved_at)
        for c in changes
        for (target, _), p in c.progress.items()
    ]
    rewards = [
        (c.customer_id, r.target_group_id, r.target_id, r.period_id, r.streak_level_id, r.attempt,
         r.ordinal, r.name, r.type, r.value, r.reference, r.granted_at, r.cause)
        for c in changes
        for r in c.rewards
    ]  # fmt: skip
    journal = [
        (c.customer_id, c.version + 1, ordinal, e.at, e.what, e.reason, e.target_group_id,
         e.target_id, e.period_id, _encode(e.details).decode(), request_id)
        for c in changes
        for ordinal, (e, request_id) in enumerate(zip(c.journal, c.request_ids, strict=True))
    ]  # fmt: skip
    branches: list[str] = []
    parameters: list[object] = []
    for statement, rows in (
        (SAVE_STINTS, stints),
        (SAVE_PROGRESS, progress),
        (SAVE_REWARDS, rewards),
        (SAVE_JOURNAL, journal),
    ):
        if rows:
            branches.append(f"branch_{len(branches)} AS ({statement})")
            parameters += [org, *map(list, zip(*rows, strict=True))]
    await tell(tx, f"WITH {', '.join(branches)} SELECT", *parameters)
