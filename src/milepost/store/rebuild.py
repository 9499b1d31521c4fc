"""What a rebuild reads and repairs: customers in the order of their ids, all that there is of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from milepost.database import Tenant, Tx
from milepost.rules.coverage import Enrolment
from milepost.rules.differences import Difference
from milepost.rules.effects import Changes, Earn, Entry, Issual, LevelAchievement, Redemption
from milepost.rules.rebuild import Corrections, Grant, State, grant_key
from milepost.store.journal import decode_details
from milepost.store.members import add_progress, ask_stints_of_customers, read_stints, save_changes
from milepost.store.pipeline import Reply, ask, tell
from milepost.store.shards import on_shards

ASK_CUSTOMERS_AFTER = """
SELECT v.customer_id, v.version FROM customer_versions v
WHERE v.org_id = %b AND v.customer_id > %b
ORDER BY v.customer_id LIMIT %b
"""

ASK_VERSIONS = """
SELECT k.customer_id, v.version
FROM unnest(%b::bigint[]) AS k (customer_id)
CROSS JOIN LATERAL (
    SELECT v.version FROM customer_versions v
    WHERE v.org_id = %b AND v.customer_id = k.customer_id OFFSET 0
) AS v
"""

# Deleted groups too: what was recorded in them is still stored.
ASK_DATED_TARGETS = """
SELECT t.target_id FROM targets t JOIN target_groups g USING (org_id, target_group_id)
WHERE t.org_id = %b AND g.evaluation_type = 'FIXED_CALENDAR_WINDOW'
  AND g.tracking_type NOT IN ('STREAKS', 'NON_CONTINUOUS_STREAKS')
"""

ASK_PROGRESS = """
SELECT p.customer_id, p.target_id, p.period_id, p.attempt, p.value, p.achieved_at, p.rewarded_attempt,
       p.own_target_value, p.days::text
FROM unnest(%b::bigint[]) AS k (customer_id)
CROSS JOIN LATERAL (
    SELECT * FROM progress p WHERE p.org_id = %b AND p.customer_id = k.customer_id OFFSET 0
) AS p
"""

ASK_LEVELS = """
SELECT l.customer_id, l.target_id, l.streak_level_id, l.attempt, l.period_id, l.achieved_at
FROM unnest(%b::bigint[]) AS k (customer_id)
CROSS JOIN LATERAL (
    SELECT * FROM level_achievements l
    WHERE l.org_id = %b AND l.customer_id = k.customer_id OFFSET 0
) AS l
"""

ASK_GRANTS = """
SELECT r.customer_id, r.target_id, r.period_id, r.streak_level_id, r.promotion_id, r.paid_for, r.attempt,
       r.ordinal, r.name, r.type, r.value, r.granted_at
FROM unnest(%b::bigint[]) AS k (customer_id)
CROSS JOIN LATERAL (
    SELECT * FROM rewards r WHERE r.org_id = %b AND r.customer_id = k.customer_id OFFSET 0
) AS r
"""

ASK_ISSUALS = """
SELECT i.customer_id, i.issual_id, i.promotion_id, i.issued_at, i.expires_at, i.is_dummy, i.entry_id,
       i.ended_at, i.ended_as
FROM unnest(%b::bigint[]) AS k (customer_id)
CROSS JOIN LATERAL (
    SELECT * FROM issuals i WHERE i.org_id = %b AND i.customer_id = k.customer_id OFFSET 0
) AS i
"""

ASK_EARNS = """
SELECT e.customer_id, e.earn_id, e.promotion_id, e.issual_id, e.earned_at, e.expires_at, e.entry_id,
       e.redemptions, e.points, e.ended_at, e.ended_as
FROM unnest(%b::bigint[]) AS k (customer_id)
CROSS JOIN LATERAL (
    SELECT * FROM earns e WHERE e.org_id = %b AND e.customer_id = k.customer_id OFFSET 0
) AS e
"""

ASK_REDEMPTIONS = """
SELECT r.customer_id, r.promotion_id, r.paid_for, r.earn_id, r.occurred_at, r.redeemed_at, r.points
FROM unnest(%b::bigint[]) AS k (customer_id)
CROSS JOIN LATERAL (
    SELECT * FROM redemptions r WHERE r.org_id = %b AND r.customer_id = k.customer_id OFFSET 0
) AS r
"""

ASK_JOURNAL = """
SELECT j.customer_id, j.version, j.ordinal, j.at, j.what, j.reason, j.target_group_id, j.target_id,
       j.period_id, j.details::text
FROM unnest(%b::bigint[], %b::bigint[], %b::smallint[]) AS k (customer_id, version, ordinal)
CROSS JOIN LATERAL (
    SELECT * FROM journal j
    WHERE j.org_id = %b AND j.customer_id = k.customer_id
      AND (j.version, j.ordinal) > (k.version, k.ordinal)
    ORDER BY j.version, j.ordinal LIMIT %b OFFSET 0
) AS j
ORDER BY j.customer_id, j.version, j.ordinal
"""

on_shards(
    ASK_JOURNAL,
    """
SELECT customer_id, version, ordinal, at, what, reason, target_group_id, target_id, period_id, details
FROM (
    SELECT j.customer_id, j.version, j.ordinal, j.at, j.what, j.reason, j.target_group_id, j.target_id,
           j.period_id, j.details::text,
           row_number() OVER (PARTITION BY j.customer_id ORDER BY j.version, j.ordinal) AS place
    FROM unnest(%b::bigint[], %b::bigint[], %b::smallint[]) AS k (customer_id, version, ordinal)
    JOIN journal j ON j.org_id = %b AND j.customer_id = k.customer_id
        AND (j.version, j.ordinal) > (k.version, k.ordinal)
) AS j
WHERE place <= %b
ORDER BY customer_id, version, ordinal
""",
)

# Activities that don't point to their entry, and entries whose activity is not there.
ASK_STRAY_ACTIVITIES = """
SELECT a.customer_id, a.activity_id, 'version ' || a.version || ' ordinal ' || a.ordinal, NULL
FROM unnest(%b::bigint[]) AS k (customer_id)
CROSS JOIN LATERAL (
    SELECT * FROM activities a WHERE a.org_id = %b AND a.customer_id = k.customer_id OFFSET 0
) AS a
LEFT JOIN LATERAL (
    SELECT j.what, j.reason, j.details FROM journal j
    WHERE j.org_id = a.org_id AND j.customer_id = a.customer_id AND j.version = a.version
      AND j.ordinal = a.ordinal OFFSET 0
) AS j ON true
WHERE (j.what = 'ACTIVITY' AND j.reason = a.type AND j.details ->> 'activity' = a.activity_id
       AND j.details ->> 'eventName' = a.event_name
       AND (j.details ->> 'occurredAt')::timestamptz = a.occurred_at) IS NOT TRUE
UNION ALL
SELECT j.customer_id, j.activity_id, NULL, 'version ' || j.version || ' ordinal ' || j.ordinal
FROM unnest(%b::bigint[]) AS k (customer_id)
CROSS JOIN LATERAL (
    SELECT *, j.details ->> 'activity' AS activity_id FROM journal j
    WHERE j.org_id = %b AND j.customer_id = k.customer_id AND j.what = 'ACTIVITY' OFFSET 0
) AS j
LEFT JOIN LATERAL (
    SELECT a.activity_id FROM activities a
    WHERE a.org_id = j.org_id AND a.customer_id = j.customer_id AND a.activity_id = j.activity_id OFFSET 0
) AS a ON true
WHERE j.activity_id IS NOT NULL AND a.activity_id IS NULL
ORDER BY 1, 2
"""

on_shards(
    ASK_STRAY_ACTIVITIES,
    """
SELECT a.customer_id, a.activity_id, 'version ' || a.version || ' ordinal ' || a.ordinal, NULL
FROM unnest(%b::bigint[]) AS k (customer_id)
JOIN activities a ON a.org_id = %b AND a.customer_id = k.customer_id
LEFT JOIN journal j ON j.org_id = a.org_id AND j.customer_id = a.customer_id AND j.version = a.version
    AND j.ordinal = a.ordinal
WHERE (j.what = 'ACTIVITY' AND j.reason = a.type AND j.details ->> 'activity' = a.activity_id
       AND j.details ->> 'eventName' = a.event_name
       AND (j.details ->> 'occurredAt')::timestamptz = a.occurred_at) IS NOT TRUE
UNION ALL
SELECT j.customer_id, j.details ->> 'activity', NULL, 'version ' || j.version || ' ordinal ' || j.ordinal
FROM unnest(%b::bigint[]) AS k (customer_id)
JOIN journal j ON j.org_id = %b AND j.customer_id = k.customer_id AND j.what = 'ACTIVITY'
LEFT JOIN activities a ON a.org_id = j.org_id AND a.customer_id = j.customer_id
    AND a.activity_id = j.details ->> 'activity'
WHERE j.details ->> 'activity' IS NOT NULL AND a.activity_id IS NULL
ORDER BY 1, 2
""",
)

DROP_PROGRESS = """
DELETE FROM progress p USING unnest(%b::bigint[], %b::bigint[], %b::bigint[])
    AS k (customer_id, target_id, period_id)
WHERE p.org_id = %b AND p.customer_id = k.customer_id AND p.target_id = k.target_id
  AND p.period_id = k.period_id
"""

DROP_LEVELS = """
DELETE FROM level_achievements l
USING unnest(%b::bigint[], %b::bigint[], %b::bigint[], %b::integer[])
    AS k (customer_id, target_id, level_id, attempt)
WHERE l.org_id = %b AND l.customer_id = k.customer_id AND l.target_id = k.target_id
  AND l.streak_level_id = k.level_id AND l.attempt = k.attempt
"""


class Place(NamedTuple):
    """How far a customer's journal has been read."""

    version: int = 0
    ordinal: int = -1


class Line(NamedTuple):
    """An entry of a customer's journal, with where it stands."""

    customer_id: int
    place: Place
    entry: Entry


async def load_customers_after(
    tx: Tx, tenant: Tenant, customer_id: int, count: int
) -> dict[int, int]:
    """The next customers whom anything was ever written about, in order of their ids: id → version."""
    reply = await ask(tx, ASK_CUSTOMERS_AFTER, tenant.org_id, customer_id, count)
    return dict(await reply.rows())


async def load_versions(tx: Tx, tenant: Tenant, customers: Sequence[int]) -> dict[int, int]:
    """The versions of customers. Read them before what they guard."""
    return dict(await (await ask(tx, ASK_VERSIONS, list(customers), tenant.org_id)).rows())


async def load_dated_targets(tx: Tx, tenant: Tenant) -> frozenset[int]:
    """The ids of all milestones of dated cycles, those of deleted groups included."""
    return frozenset(
        row[0] for row in await (await ask(tx, ASK_DATED_TARGETS, tenant.org_id)).rows()
    )


async def load_states(tx: Tx, tenant: Tenant, versions: Mapping[int, int]) -> dict[int, State]:
    """What is stored of customers: seven statements, one round trip."""
    keys = list(versions)
    states = {customer: State(version) for customer, version in versions.items()}
    stints = await ask_stints_of_customers(tx, tenant, keys)
    progress = await ask(tx, ASK_PROGRESS, keys, tenant.org_id)
    levels = await ask(tx, ASK_LEVELS, keys, tenant.org_id)
    grants = await ask(tx, ASK_GRANTS, keys, tenant.org_id)
    issuals = await ask(tx, ASK_ISSUALS, keys, tenant.org_id)
    earns = await ask(tx, ASK_EARNS, keys, tenant.org_id)
    redemptions = await ask(tx, ASK_REDEMPTIONS, keys, tenant.org_id)
    enrolments: dict[tuple[int, int], Enrolment] = read_stints(await stints.rows())
    add_progress(enrolments, await progress.rows())
    for (customer, target), enrolment in enrolments.items():
        state = states[customer]
        state.stints.update({(target, stint.number): stint for stint in enrolment.stints})
        state.progress.update({(target, key): row for key, row in enrolment.progress.items()})
    for customer, target, level, attempt, *columns in await levels.rows():
        states[customer].levels[target, level, attempt] = LevelAchievement(level, attempt, *columns)
    for customer, target, period, level, promotion, paid_for, *columns in await grants.rows():
        attempt, ordinal, *granted = columns
        paid = (promotion, paid_for) if promotion is not None else None
        key = grant_key(target, period, level, attempt, ordinal, paid)
        states[customer].grants[key] = Grant(target, period, *granted)
    for customer, *row in await issuals.rows():
        states[customer].held.issuals[row[0]] = Issual(*row)
    for customer, *row in await earns.rows():
        states[customer].held.earns[row[0]] = Earn(*row)
    for customer, *row in await redemptions.rows():
        states[customer].held.redemptions[row[0], row[1]] = Redemption(*row)
    return states


async def load_journal(tx: Tx, tenant: Tenant, read: Mapping[int, Place], count: int) -> list[Line]:
    """The next entries of each customer's journal, at most `count` each, after where it was `read` to."""
    customers = list(read)
    reply = await ask(
        tx,
        ASK_JOURNAL,
        customers,
        [read[customer].version for customer in customers],
        [read[customer].ordinal for customer in customers],
        tenant.org_id,
        count,
    )
    lines = []
    for customer, version, ordinal, *columns, details in await reply.rows():
        at, what, reason, group, target, period = columns
        entry = Entry(at, what, reason, group, target, period, *decode_details(details))
        lines.append(Line(customer, Place(version, ordinal), entry))
    return lines


async def ask_stray_activities(tx: Tx, tenant: Tenant, customers: Sequence[int]) -> Reply:
    """Activities and entries of the journal that don't belong together, for `read_strays`."""
    keys, org = list(customers), tenant.org_id
    return await ask(tx, ASK_STRAY_ACTIVITIES, keys, org, keys, org)


async def read_strays(reply: Reply) -> list[Difference]:
    """A difference for each."""
    return [
        Difference(
            customer,
            None,
            None,
            f"activity {activity!r}",
            stored or "nothing",
            entry or "no such entry",
        )
        for customer, activity, stored, entry in await reply.rows()
    ]


async def save_corrections(
    tx: Tx, tenant: Tenant, versions: Mapping[int, int], found: Mapping[int, Corrections]
) -> None:
    """Write and drop rows of progress and of levels; write those of enrolments and earned records.

    The customers must be claimed.
    """
    changes = [
        Changes(
            customer,
            versions[customer],
            progress=dict(each.progress),
            levels=dict(each.levels),
            issuals=dict(each.issuals),
            earns=dict(each.earns),
        )
        for customer, each in found.items()
    ]
    await save_changes(tx, tenant, changes)
    progress = [(customer, *key) for customer, c in found.items() for key in c.progress_to_drop]
    levels = [(customer, *key) for customer, c in found.items() for key in c.levels_to_drop]
    for statement, rows in ((DROP_PROGRESS, progress), (DROP_LEVELS, levels)):
        if rows:
            columns = map(list, zip(*rows, strict=True))
            await tell(tx, statement, *columns, tenant.org_id)
