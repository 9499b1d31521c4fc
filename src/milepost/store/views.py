"""Everything of one customer that a view shows: a fixed number of statements, sent in one go.

A customer belongs to the root of the hierarchy, the rest to the organisation that asks. Each function
gives None for a customer that the hierarchy does not have.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from milepost.database import Tenant, Tx
from milepost.rules.coverage import Enrolment
from milepost.rules.customers import Identifier, Profile
from milepost.rules.effects import ORDINAL_BITS, Entry, LevelAchievement, entry_id
from milepost.rules.envelopes import Recipient
from milepost.rules.notification_blocks import EnteredBy, Occurrence
from milepost.rules.reasons import ACTIVITY, HIDDEN_WHATS, NOTIFYING_WHATS
from milepost.store.journal import decode_details
from milepost.store.members import add_progress, read_stints
from milepost.store.pipeline import Reply, Rows, ask, keep_plans
from milepost.store.shards import on_shards

ASK_CUSTOMER = """
SELECT loyalty_type, created_at FROM customers WHERE org_id = %b AND customer_id = %b
"""

ASK_PROFILES = """
SELECT source, account_id, first_name, last_name, comm_channels::text, fields::text
FROM customer_profiles WHERE org_id = %b AND customer_id = %b
ORDER BY source, account_id
"""

ASK_IDENTIFIERS = """
SELECT kind, value, sources FROM customer_identifiers WHERE org_id = %b AND customer_id = %b
ORDER BY kind, value
"""

ASK_STINTS = """
SELECT customer_id, target_id, enrolment_id, stint, enrolled_at, from_period_id, left_at, attempt,
       anchored_at
FROM enrolments WHERE org_id = %b AND customer_id = %b
ORDER BY target_id, stint
"""

ASK_PROGRESS = """
SELECT customer_id, target_id, period_id, attempt, value, achieved_at, rewarded_attempt,
       own_target_value, NULL
FROM progress WHERE org_id = %b AND customer_id = %b
"""

ASK_LEVELS = """
SELECT target_id, streak_level_id, attempt, period_id, achieved_at
FROM level_achievements WHERE org_id = %b AND customer_id = %b
"""

# Of one target, or one promotion: what names it, and the activities that it might have counted, or paid for,
# or did. An effect has its target in the second place; one in a promotion begins with that, and has the
# achieved target that was asked about in the fifth.
_JOURNAL = f"""
SELECT version, ordinal, at, what, reason, target_group_id, target_id, period_id, details::text
FROM journal
CROSS JOIN (SELECT %b::bigint AS target, %b::bigint AS promotion, %b::text[] AS events) AS asked
WHERE org_id = %b AND customer_id = %b AND what <> ALL ('{{{", ".join(HIDDEN_WHATS)}}}')
  AND (asked.target IS NULL OR target_id = asked.target OR (
    what = '{ACTIVITY}' AND (details ->> 'eventName' = ANY (asked.events) OR jsonb_path_exists(
      details, 'strict $.effects[*] ? (@[1] == $id)', jsonb_build_object('id', asked.target), true)
      OR jsonb_path_exists(
      details, 'strict $.promotions[*] ? (@[4] == $id)', jsonb_build_object('id', asked.target), true))))
  AND (asked.promotion IS NULL OR details ->> 'promotion' = asked.promotion::text OR (
    what = '{ACTIVITY}' AND (details ->> 'eventName' = ANY (asked.events) OR jsonb_path_exists(
      details, 'strict $.promotions[*] ? (@[0] == $id)', jsonb_build_object('id', asked.promotion), true))))
"""  # noqa: S608
ASK_JOURNAL_BEFORE = f"""{_JOURNAL}
  AND (version, ordinal) < (%b::bigint, %b::integer)
ORDER BY version DESC, ordinal DESC LIMIT %b
"""
ASK_JOURNAL_AFTER = f"""{_JOURNAL}
  AND (version, ordinal) > (%b::bigint, %b::integer)
ORDER BY version, ordinal LIMIT %b
"""

# The names are looked up here and not in the loaded definitions, which lack deleted groups.
_REWARDS = """
SELECT r.reward_id, r.target_group_id, r.target_id, p.ref_code, l.name, r.attempt, r.name, r.type, r.value,
       r.reference, r.granted_at, r.cause, r.promotion_id
FROM rewards r
LEFT JOIN LATERAL (
    SELECT ref_code FROM target_periods p
    WHERE p.org_id = r.org_id AND p.period_id = r.period_id OFFSET 0
) AS p ON true
LEFT JOIN LATERAL (
    SELECT name FROM streak_levels l
    WHERE l.org_id = r.org_id AND l.streak_level_id = r.streak_level_id OFFSET 0
) AS l ON true
WHERE r.org_id = %b AND r.customer_id = %b
"""
ASK_REWARDS_BEFORE = f"{_REWARDS} AND r.reward_id < %b ORDER BY r.reward_id DESC LIMIT %b"
ASK_REWARDS_AFTER = f"{_REWARDS} AND r.reward_id > %b ORDER BY r.reward_id LIMIT %b"

ASK_POINTS = """
SELECT target_group_id, target_id, sum(value), promotion_id
FROM rewards WHERE org_id = %b AND customer_id = %b AND type = 'POINTS'
GROUP BY target_group_id, target_id, promotion_id ORDER BY target_group_id, target_id, promotion_id
"""

ASK_ENROLMENT_IDS = """
SELECT DISTINCT target_id, enrolment_id FROM enrolments WHERE org_id = %b AND customer_id = %b
"""

# What brands are notified of: an activity only if it changed a value, and of what is taken back from a
# customer levels, unified groups and earned records that were revoked. Where an activity caused
# something, its own entry is looked up, for it says what kind of activity it was.
NOTIFIES = f"""(
    what = ANY ('{{{", ".join(NOTIFYING_WHATS)}}}')
    OR what = 'UNACHIEVED' AND (details ?| '{{level, members}}' OR reason = 'PROMOTION_EARN_REVOKED')
    OR what = '{ACTIVITY}' AND jsonb_path_exists(
      details, 'strict $.effects[*][5] ? (@ like_regex "^-?[0.]*[1-9]")', '{{}}', true))
"""
_NOTIFYING = f"SELECT * FROM journal WHERE org_id = %b AND customer_id = %b AND {NOTIFIES}"  # noqa: S608
_CALLER = """
LEFT JOIN LATERAL (SELECT * FROM callers WHERE credential_id = j.credential_id OFFSET 0) AS b ON true
LEFT JOIN LATERAL (SELECT * FROM callers WHERE credential_id = j.till_id OFFSET 0) AS t ON true
LEFT JOIN LATERAL (
    SELECT * FROM stores WHERE org_id = b.org_id AND store_id = j.store_id OFFSET 0
) AS s ON true
ORDER BY j.version, j.ordinal
"""
OCCURRENCES = f"""
SELECT j.version, j.ordinal, j.at, j.what, j.reason, j.target_group_id, j.target_id, j.period_id,
       j.details::text, j.request_id, c.at, c.what, c.reason, c.details::text,
       coalesce(j.till_id, b.credential_id), t.name, s.code, s.name, s.external_id, s.external_id_1,
       s.external_id_2
FROM ({{}}) AS j
LEFT JOIN LATERAL (
    SELECT version, ordinal FROM activities a
    WHERE a.org_id = j.org_id AND a.customer_id = j.customer_id
      AND a.activity_id = j.details ->> 'activity' AND j.what <> 'ACTIVITY' OFFSET 0
) AS a ON true
LEFT JOIN LATERAL (
    SELECT * FROM journal c
    WHERE c.org_id = j.org_id AND c.customer_id = j.customer_id AND c.version = a.version
      AND c.ordinal = a.ordinal OFFSET 0
) AS c ON true{_CALLER}"""  # noqa: S608 - ours
# Customers are on the workers, who calls is on the coordinator: one after the other.
OCCURRENCES_ON_SHARDS = f"""
WITH j AS MATERIALIZED ({{}}), c AS MATERIALIZED (
    SELECT DISTINCT a.org_id, a.customer_id, a.activity_id, c.at, c.what, c.reason, c.details::text AS details
    FROM j
    JOIN activities a ON a.org_id = j.org_id AND a.customer_id = j.customer_id
        AND a.activity_id = j.details ->> 'activity' AND j.what <> 'ACTIVITY'
    JOIN journal c ON c.org_id = a.org_id AND c.customer_id = a.customer_id AND c.version = a.version
        AND c.ordinal = a.ordinal
)
SELECT j.version, j.ordinal, j.at, j.what, j.reason, j.target_group_id, j.target_id, j.period_id,
       j.details::text, j.request_id, c.at, c.what, c.reason, c.details,
       coalesce(j.till_id, b.credential_id), t.name, s.code, s.name, s.external_id, s.external_id_1,
       s.external_id_2
FROM j
LEFT JOIN c ON c.org_id = j.org_id AND c.customer_id = j.customer_id
    AND c.activity_id = j.details ->> 'activity' AND j.what <> 'ACTIVITY'{_CALLER}"""  # noqa: S608 - ours
_BEFORE = (
    f"{_NOTIFYING} AND (version, ordinal) < (%b::bigint, %b::integer)"
    " ORDER BY version DESC, ordinal DESC LIMIT %b"
)
_AFTER = (
    f"{_NOTIFYING} AND (version, ordinal) > (%b::bigint, %b::integer)"
    " ORDER BY version, ordinal LIMIT %b"
)
ASK_OCCURRENCES_BEFORE = OCCURRENCES.format(_BEFORE)
ASK_OCCURRENCES_AFTER = OCCURRENCES.format(_AFTER)
on_shards(ASK_OCCURRENCES_BEFORE, OCCURRENCES_ON_SHARDS.format(_BEFORE))
on_shards(ASK_OCCURRENCES_AFTER, OCCURRENCES_ON_SHARDS.format(_AFTER))

_LAST = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Person:
    """A customer as registered in the hierarchy."""

    id: int
    loyalty_type: str
    created_at: datetime
    profiles: Sequence[Profile]
    """Each with those of the customer's identifiers that are known there."""


@dataclass(frozen=True, slots=True)
class Standing:
    """A customer, and where they stand in every target of the organisation that they ever were in."""

    person: Person
    enrolments: Mapping[int, Enrolment]
    """By target id."""


@dataclass(frozen=True, slots=True)
class Page:
    """Which part of a list that grows: at most `limit` lines, in the order in which they came.

    The last ones before the line `before`, or the first ones after the line `after`; the last ones of
    all if neither is given, and never both.
    """

    limit: int
    before: int | None = None
    after: int | None = None


@dataclass(frozen=True, slots=True)
class Focus:
    """The target or the promotion that a reader of the journal asks for, and the events of activities that
    it counts or pays for.
    """

    target_id: int | None = None
    event_names: Sequence[str] = ()
    promotion_id: int | None = None


@dataclass(frozen=True, slots=True)
class JournalLine:
    """A line of the journal with its id, which rises with each line of a customer."""

    id: int
    entry: Entry


@dataclass(frozen=True, slots=True)
class RewardLine:
    """A reward that was granted, with the names of its cycle and level. The id rises likewise."""

    reward_id: int
    target_group_id: int | None
    target_id: int | None
    period_ref_code: str | None
    streak_level: str | None
    attempt: int
    name: str
    type: str
    value: Decimal
    reference: str | None
    granted_at: datetime
    cause: str
    promotion_id: int | None = None


@dataclass(frozen=True, slots=True)
class PointsLine:
    """The points that the customer was granted in one target, or by one promotion."""

    target_group_id: int | None
    target_id: int | None
    points: Decimal
    promotion_id: int | None = None


async def load_standing(tx: Tx, tenant: Tenant, customer_id: int) -> Standing | None:
    """The customer with all stints, progress and streak levels: seven statements, one round trip."""
    as_person = (tenant.root_org_id, customer_id)
    as_member = (tenant.org_id, customer_id)
    customer = await _ask_customer(tx, tenant, customer_id)
    profiles = await ask(tx, ASK_PROFILES, *as_person)
    identifiers = await ask(tx, ASK_IDENTIFIERS, *as_person)
    stints = await ask(tx, ASK_STINTS, *as_member)
    progress = await ask(tx, ASK_PROGRESS, *as_member)
    levels = await ask(tx, ASK_LEVELS, *as_member)

    found = await customer.rows()
    if not found:
        return None
    loyalty_type, created_at = found[0]
    known = read_profiles(await profiles.rows(), await identifiers.rows())
    person = Person(customer_id, loyalty_type, created_at, known)
    return Standing(person, await _enrolments(stints, progress, levels))


async def load_enrolments(
    tx: Tx, tenant: Tenant, customer_id: int
) -> Mapping[int, Enrolment] | None:
    """The customer's stints and progress by target id: four statements, one round trip."""
    customer = await _ask_customer(tx, tenant, customer_id)
    stints = await ask(tx, ASK_STINTS, tenant.org_id, customer_id)
    progress = await ask(tx, ASK_PROGRESS, tenant.org_id, customer_id)
    if not await customer.rows():
        return None
    return await _enrolments(stints, progress)


async def load_journal(
    tx: Tx, tenant: Tenant, customer_id: int, page: Page, focus: Focus | None = None
) -> list[JournalLine] | None:
    """A page of what the customer's journal explains, oldest first; with `focus` of one target or promotion.

    In the order in which things were decided. Three statements, one round trip.
    """
    customer = await _ask_customer(tx, tenant, customer_id)
    statement, line = _cut(page, ASK_JOURNAL_BEFORE, ASK_JOURNAL_AFTER)
    asked = focus or Focus()
    journal = await ask(
        tx,
        statement,
        asked.target_id,
        asked.promotion_id,
        list(asked.event_names),
        tenant.org_id,
        customer_id,
        line >> ORDINAL_BITS,
        line & (2**ORDINAL_BITS - 1),
        page.limit,
    )
    if not await customer.rows():
        return None
    lines = [_journal_line(*row) for row in await journal.rows()]
    return lines if page.after is not None else lines[::-1]


async def load_rewards(
    tx: Tx, tenant: Tenant, customer_id: int, page: Page
) -> list[RewardLine] | None:
    """A page of the customer's rewards, oldest first: three statements, one round trip."""
    customer = await _ask_customer(tx, tenant, customer_id)
    statement, line = _cut(page, ASK_REWARDS_BEFORE, ASK_REWARDS_AFTER)
    rewards = await ask(tx, statement, tenant.org_id, customer_id, line, page.limit)
    if not await customer.rows():
        return None
    lines = [RewardLine(*row) for row in await rewards.rows()]
    return lines if page.after is not None else lines[::-1]


async def load_points(tx: Tx, tenant: Tenant, customer_id: int) -> list[PointsLine] | None:
    """The points of the customer's ledger, by target and promotion: three statements, one round trip."""
    customer = await _ask_customer(tx, tenant, customer_id)
    points = await ask(tx, ASK_POINTS, tenant.org_id, customer_id)
    if not await customer.rows():
        return None
    return [PointsLine(*row) for row in await points.rows()]


async def load_occurrences(
    tx: Tx, tenant: Tenant, customer_id: int, page: Page
) -> tuple[Recipient, list[Occurrence]] | None:
    """A page of what the customer's brands are notified of, oldest first, with whom it is about.

    Six statements, one round trip.
    """
    as_person = (tenant.root_org_id, customer_id)
    customer = await _ask_customer(tx, tenant, customer_id)
    profiles = await ask(tx, ASK_PROFILES, *as_person)
    identifiers = await ask(tx, ASK_IDENTIFIERS, *as_person)
    enrolments = await ask(tx, ASK_ENROLMENT_IDS, tenant.org_id, customer_id)
    statement, line = _cut(page, ASK_OCCURRENCES_BEFORE, ASK_OCCURRENCES_AFTER)
    place = (line >> ORDINAL_BITS, line & (2**ORDINAL_BITS - 1))
    occurrences = await ask(tx, statement, tenant.org_id, customer_id, *place, page.limit)
    found = await customer.rows()
    if not found:
        return None
    known = read_profiles(await profiles.rows(), await identifiers.rows())
    ids: dict[int, int] = dict(await enrolments.rows())
    recipient = Recipient(tenant.org_id, customer_id, found[0][0], known, ids)
    return recipient, [read_occurrence(*row) for row in await occurrences.rows()]


def read_occurrence(version: int, ordinal: int, *columns: Any) -> Occurrence:
    """An occurrence of a row of `OCCURRENCES`."""
    about, (request_id, caused_at, what, reason, details) = columns[:7], columns[7:12]
    line = _journal_line(version, ordinal, *about)
    cause = None
    if caused_at is not None:
        cause = _journal_line(0, 0, caused_at, what, reason, None, None, None, details).entry
    by = EnteredBy(*columns[12:]) if columns[12] is not None else None
    return Occurrence(line.id, version, ordinal, line.entry, cause, request_id or "", by)


def _journal_line(version: int, ordinal: int, *columns: Any) -> JournalLine:
    at, what, reason, group_id, target_id, period_id, text = columns
    entry = Entry(at, what, reason, group_id, target_id, period_id, *decode_details(text))
    return JournalLine(entry_id(version, ordinal), entry)


def _cut(page: Page, before: str, after: str) -> tuple[str, int]:
    """The statement of a page, and the line that it begins beside."""
    if page.after is not None:
        return after, page.after
    return before, page.before if page.before is not None else _LAST


def read_profiles(rows: Rows, identifiers: Rows) -> list[Profile]:
    """Profiles of one customer, each with the identifiers that are known there."""
    known = [(Identifier(kind, value), sources) for kind, value, sources in identifiers]
    found = []
    for source, account_id, first_name, last_name, channels, fields in rows:
        profile = Profile(
            source, account_id, (), first_name, last_name, _decode(channels), _decode(fields)
        )
        here = tuple(each for each, sources in known if profile.source_key in sources)
        found.append(replace(profile, identifiers=here))
    return found


async def _ask_customer(tx: Tx, tenant: Tenant, customer_id: int) -> Reply:
    """A row if there is the customer. What is asked after it goes by keys too, so plans are kept."""
    await keep_plans(tx)
    return await ask(tx, ASK_CUSTOMER, tenant.root_org_id, customer_id)


async def _enrolments(
    stints: Reply, progress: Reply, levels: Reply | None = None
) -> dict[int, Enrolment]:
    found = read_stints(await stints.rows())
    add_progress(found, await progress.rows())
    enrolments = {target_id: enrolment for (_, target_id), enrolment in found.items()}
    achieved: dict[int, dict[tuple[int, int], LevelAchievement]] = {}
    for target_id, *columns in await levels.rows() if levels is not None else ():
        level = LevelAchievement(*columns)
        achieved.setdefault(target_id, {})[level.level_id, level.attempt] = level
    for target_id, of_target in achieved.items():
        enrolments[target_id] = replace(enrolments[target_id], levels=of_target)
    return enrolments


def _decode(text: str | None) -> Any:
    return None if text is None else json.loads(text, parse_float=Decimal)
