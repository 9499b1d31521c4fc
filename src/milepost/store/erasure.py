"""The erasure of a customer: the person at once, what the books hold of them batch by batch. As operator.

An activity's id may be anything that its sender wrote, and the books are joined by it. So another one
takes its place everywhere, which follows from it by a salt that is thrown away in the end.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from milepost.database import Tx
from milepost.store.pipeline import ask, tell
from milepost.store.shards import on_shards

ASK_ERASURE = """
SELECT erased_at, finished_at IS NOT NULL FROM erasures WHERE org_id = %b AND customer_id = %b
"""

ASK_UNFINISHED = """
SELECT org_id, customer_id FROM erasures
WHERE finished_at IS NULL AND (org_id, customer_id) > (%b::bigint, %b::bigint)
ORDER BY org_id, customer_id LIMIT %b
"""

DELETE_CUSTOMER = """
DELETE FROM customers WHERE org_id = %b AND customer_id = %b RETURNING customer_id
"""

DELETE_IDENTIFIERS = "DELETE FROM customer_identifiers WHERE org_id = %b AND customer_id = %b"

DELETE_PROFILES = "DELETE FROM customer_profiles WHERE org_id = %b AND customer_id = %b"

# What receivers of webhooks answered may name the person. What they still would have been told is given up
# by itself, for there is nobody any more whom it could be about.
SCRUB_DELIVERIES = """
UPDATE deliveries SET response = NULL
WHERE customer_id = %b AND org_id IN (SELECT org_id FROM orgs WHERE root_org_id = %b)
"""

INSERT_ERASURE = """
INSERT INTO erasures (org_id, customer_id, erased_at, salt) VALUES (%b, %b, %b, %b)
"""

LOCK_ERASURE = """
SELECT salt, coalesce(cursor_org_id, 0), cursor_version FROM erasures
WHERE org_id = %b AND customer_id = %b AND finished_at IS NULL FOR UPDATE
"""

# The next organisation of the hierarchy that has any entry left, and the version that a batch of so many
# ends with: a version is never divided, for what points to an entry may be in the same one.
ASK_STRETCH = """
SELECT o.org_id, s.last_version
FROM orgs o
CROSS JOIN LATERAL (
    SELECT max(e.version) AS last_version FROM (
        SELECT j.version FROM journal j
        WHERE j.org_id = o.org_id AND j.customer_id = %b
          AND j.version > CASE WHEN o.org_id = %b THEN %b ELSE 0 END
        ORDER BY j.version, j.ordinal LIMIT %b
    ) AS e
) AS s
WHERE o.root_org_id = %b AND o.org_id >= %b AND s.last_version IS NOT NULL
ORDER BY o.org_id LIMIT 1
"""

on_shards(
    ASK_STRETCH,
    """
WITH e AS (
    SELECT j.org_id, j.version,
           row_number() OVER (PARTITION BY j.org_id ORDER BY j.version, j.ordinal) AS place
    FROM journal j WHERE j.customer_id = %b AND j.version > CASE WHEN j.org_id = %b THEN %b ELSE 0 END
), s AS MATERIALIZED (
    SELECT org_id, max(version) AS last_version FROM e WHERE place <= %b GROUP BY org_id
)
SELECT s.org_id, s.last_version FROM s
WHERE s.org_id IN (SELECT o.org_id FROM orgs o WHERE o.root_org_id = %b AND o.org_id >= %b)
ORDER BY s.org_id LIMIT 1
""",
)

# Whoever is deciding on the customer, which only due work does, decides again.
RAISE_VERSION = """
UPDATE customer_versions SET version = version + 1 WHERE org_id = %b AND customer_id = %b
"""

_ENTRIES = """
    SELECT * FROM journal
    WHERE org_id = %b AND customer_id = %b AND version > %b AND version <= %b
"""
# Of functions that are immutable, here and below: a distributed database sends no update out that has others.
_BYTES = r"decode(replace({}, '\', '\\'), 'escape')"
_STANDS_FOR = f"'erased-' || left(encode(sha256(%b::bytea || {_BYTES}), 'hex'), 32)"
_OF_ACTIVITY = "'activity ' || " + _STANDS_FOR.format("substr({}, 10)")

_SCRUBBED_ACTIVITY = f"""
SET activity_id = {_STANDS_FOR.format("activity_id")}, return_of = {_STANDS_FOR.format("return_of")},
    attributes = NULL,
    line_items = (
        SELECT ('[' || string_agg(
            (l.item || '{{"attributes": {{}}}}')::text, ',' ORDER BY l.place) || ']')::jsonb
        FROM jsonb_array_elements(line_items) WITH ORDINALITY AS l (item, place)
    )"""  # noqa: S608 - ours, here and below
SCRUB_ACTIVITIES = f"""
UPDATE activities {_SCRUBBED_ACTIVITY}
WHERE ctid = ANY (ARRAY(
    SELECT a.ctid
    FROM ({_ENTRIES}) AS j
    CROSS JOIN LATERAL (
        SELECT a.ctid FROM activities a
        WHERE a.org_id = j.org_id AND a.customer_id = j.customer_id AND j.what = 'ACTIVITY'
          AND a.activity_id = j.details ->> 'activity' OFFSET 0
    ) AS a
))
"""  # noqa: S608
on_shards(
    SCRUB_ACTIVITIES,
    f"""
UPDATE activities AS a {_SCRUBBED_ACTIVITY}
FROM ({_ENTRIES}) AS j
WHERE a.org_id = j.org_id AND a.customer_id = j.customer_id AND j.what = 'ACTIVITY'
  AND a.activity_id = j.details ->> 'activity'
""",
)

SCRUB_REDEMPTIONS = f"""
UPDATE redemptions SET paid_for = {_OF_ACTIVITY.format("paid_for")}
WHERE ctid = ANY (ARRAY(
    SELECT DISTINCT r.ctid
    FROM ({_ENTRIES}) AS j
    CROSS JOIN LATERAL (
        SELECT r.ctid FROM redemptions r
        WHERE r.org_id = j.org_id AND r.customer_id = j.customer_id
          AND r.promotion_id = (j.details ->> 'promotion')::bigint
          AND r.paid_for = j.details ->> 'paidFor' AND r.paid_for LIKE 'activity %%' OFFSET 0
    ) AS r
    WHERE j.reason = 'PROMOTION_REWARD'
))
"""  # noqa: S608

on_shards(
    SCRUB_REDEMPTIONS,
    f"""
UPDATE redemptions AS r SET paid_for = {_OF_ACTIVITY.format("paid_for")}
FROM ({_ENTRIES}) AS j
WHERE r.org_id = j.org_id AND r.customer_id = j.customer_id
  AND r.promotion_id = (j.details ->> 'promotion')::bigint AND r.paid_for = j.details ->> 'paidFor'
  AND r.paid_for LIKE 'activity %%' AND j.reason = 'PROMOTION_REWARD'
""",  # noqa: S608
)

SCRUB_REWARDS = f"""
UPDATE rewards SET paid_for = {_OF_ACTIVITY.format("paid_for")}
WHERE org_id = %b AND customer_id = %b AND paid_for LIKE 'activity %%' AND paid_for = ANY (ARRAY(
    SELECT j.details ->> 'paidFor' FROM ({_ENTRIES}) AS j WHERE j.reason = 'PROMOTION_REWARD'
))
"""  # noqa: S608

SCRUB_JOURNAL = f"""
UPDATE journal
SET details = details
    || CASE WHEN details ? 'activity' THEN
           ('{{"activity": "' || {_STANDS_FOR.format("details ->> 'activity'")} || '"}}')::jsonb
       ELSE '{{}}' END
    || CASE WHEN details ->> 'paidFor' LIKE 'activity %%' THEN
           ('{{"paidFor": "' || {_OF_ACTIVITY.format("details ->> 'paidFor'")} || '"}}')::jsonb
       ELSE '{{}}' END
WHERE org_id = %b AND customer_id = %b AND version > %b AND version <= %b
  AND (details ? 'activity' OR details ->> 'paidFor' LIKE 'activity %%')
"""  # noqa: S608

# The key stays, so the request is not done again.
SCRUB_ANSWERS = """
UPDATE idempotency_keys k
SET status = %b::smallint, customer_ids = NULL,
    answer = CASE WHEN substring(k.answer FOR 7) = '{"data"'::bytea THEN %b::bytea ELSE %b::bytea END
FROM (
    SELECT i.org_id, i.key FROM idempotency_keys i
    WHERE i.customer_ids @> ARRAY[%b::bigint]
      AND i.org_id IN (SELECT o.org_id FROM orgs o WHERE o.root_org_id = %b)
    LIMIT %b
) AS named
WHERE k.org_id = named.org_id AND k.key = named.key
RETURNING 1
"""

ADVANCE = """
UPDATE erasures SET cursor_org_id = %b, cursor_version = %b WHERE org_id = %b AND customer_id = %b
"""

FINISH = """
UPDATE erasures SET salt = NULL, finished_at = %b WHERE org_id = %b AND customer_id = %b
"""


@dataclass(frozen=True, slots=True)
class Gone:
    """What is answered in place of a first answer that named an erased customer: status, and the bodies of
    the v3 and of the other families.
    """

    status: int
    v3: bytes
    v2: bytes


@dataclass(frozen=True, slots=True)
class Erasure:
    """When a customer was erased, by the organisation's clock, and whether the books are done with."""

    erased_at: datetime
    finished: bool


async def load_erasure(tx: Tx, root_org_id: int, customer_id: int) -> Erasure | None:
    """The erasure of a customer; None for one who is not erased."""
    rows = await (await ask(tx, ASK_ERASURE, root_org_id, customer_id)).rows()
    return Erasure(*rows[0]) if rows else None


async def load_unfinished(tx: Tx, after: tuple[int, int], count: int) -> list[tuple[int, int]]:
    """The next erasures, by (root organisation, customer), of which the books are not done with."""
    return [(*row,) for row in await (await ask(tx, ASK_UNFINISHED, *after, count)).rows()]


async def erase_person(
    tx: Tx, root_org_id: int, customer_id: int, erased_at: datetime, salt: bytes
) -> bool:
    """Delete who the customer is, and begin the erasure; False: the hierarchy has no such customer.

    No other transaction of the hierarchy may be writing.
    """
    reply = await ask(tx, DELETE_CUSTOMER, root_org_id, customer_id)
    if not await reply.rows():
        return False
    await tell(tx, DELETE_IDENTIFIERS, root_org_id, customer_id)
    await tell(tx, DELETE_PROFILES, root_org_id, customer_id)
    await tell(tx, SCRUB_DELIVERIES, customer_id, root_org_id)
    await tell(tx, INSERT_ERASURE, root_org_id, customer_id, erased_at, salt)
    return True


async def scrub_entries(
    tx: Tx, root_org_id: int, customer_id: int, count: int, gone: Gone, now: datetime
) -> bool:
    """Take out of the next `count` entries of the journal, or a few more, and of what they tell of, all
    that may be personal; then of first answers. True once there is nothing left, `now` by the wall clock.
    """
    erasure = await (await ask(tx, LOCK_ERASURE, root_org_id, customer_id)).rows()
    if not erasure:
        return True
    salt, at_org, at_version = erasure[0]
    reply = await ask(tx, ASK_STRETCH, customer_id, at_org, at_version, count, root_org_id, at_org)
    stretch = await reply.rows()
    if not stretch:
        bodies = (gone.status, gone.v3, gone.v2)
        answers = await ask(tx, SCRUB_ANSWERS, *bodies, customer_id, root_org_id, count)
        if await answers.rows():
            return False
        await tell(tx, FINISH, now, root_org_id, customer_id)
        return True
    org_id, last_version = stretch[0]
    first_version = at_version if org_id == at_org else 0
    entries = (org_id, customer_id, first_version, last_version)
    await tell(tx, RAISE_VERSION, org_id, customer_id)
    # The journal last: it says which rows of the others are meant.
    await tell(tx, SCRUB_ACTIVITIES, salt, salt, *entries)
    await tell(tx, SCRUB_REDEMPTIONS, salt, *entries)
    await tell(tx, SCRUB_REWARDS, salt, org_id, customer_id, *entries)
    await tell(tx, SCRUB_JOURNAL, salt, salt, *entries)
    await tell(tx, ADVANCE, org_id, last_version, root_org_id, customer_id)
    return False
