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
from milepost.rules.customers import Identifier, Profile
from milepost.rules.effects import Entry, Progress, Stint
from milepost.rules.enrolment import Enrolment
from milepost.rules.views import AchievedLevel
from milepost.store.pipeline import Reply, ask

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
SELECT target_id, enrolment_id, stint, enrolled_at, from_period_id, left_at, attempt
FROM enrolments WHERE org_id = %b AND customer_id = %b
ORDER BY target_id, stint
"""

ASK_PROGRESS = """
SELECT target_id, period_id, attempt, value, achieved_at
FROM progress WHERE org_id = %b AND customer_id = %b
"""

# A level's rewards are granted together, so the first of them stands for all.
ASK_ACHIEVED_LEVELS = """
SELECT streak_level_id, attempt, period_id, granted_at
FROM rewards WHERE org_id = %b AND customer_id = %b AND streak_level_id IS NOT NULL AND ordinal = 0
"""

_JOURNAL = """
SELECT version, ordinal, at, what, reason, target_group_id, target_id, period_id, details::text
FROM journal
WHERE org_id = %b AND customer_id = %b AND (%b::bigint IS NULL OR target_id = %b)
"""
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
       r.reference, r.granted_at, r.cause
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

_ORDINAL_BITS = 15
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
    achieved_levels: Sequence[AchievedLevel]


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


async def load_standing(tx: Tx, tenant: Tenant, customer_id: int) -> Standing | None:
    """The customer with all stints, progress and streak levels: six statements, one round trip."""
    as_person = (tenant.root_org_id, customer_id)
    as_member = (tenant.org_id, customer_id)
    customer = await ask(tx, ASK_CUSTOMER, *as_person)
    profiles = await ask(tx, ASK_PROFILES, *as_person)
    identifiers = await ask(tx, ASK_IDENTIFIERS, *as_person)
    stints = await ask(tx, ASK_STINTS, *as_member)
    progress = await ask(tx, ASK_PROGRESS, *as_member)
    levels = await ask(tx, ASK_ACHIEVED_LEVELS, *as_member)

    found = await customer.rows()
    if not found:
        return None
    loyalty_type, created_at = found[0]
    known = await _profiles(profiles, identifiers)
    person = Person(customer_id, loyalty_type, created_at, known)
    enrolments = await _enrolments(stints, progress)
    return Standing(person, enrolments, [AchievedLevel(*row) for row in await levels.rows()])


async def load_enrolments(
    tx: Tx, tenant: Tenant, customer_id: int
) -> Mapping[int, Enrolment] | None:
    """The customer's stints and progress by target id: three statements, one round trip."""
    customer = await ask(tx, ASK_CUSTOMER, tenant.root_org_id, customer_id)
    stints = await ask(tx, ASK_STINTS, tenant.org_id, customer_id)
    progress = await ask(tx, ASK_PROGRESS, tenant.org_id, customer_id)
    if not await customer.rows():
        return None
    return await _enrolments(stints, progress)


async def load_journal(
    tx: Tx, tenant: Tenant, customer_id: int, page: Page, target_id: int | None = None
) -> list[JournalLine] | None:
    """A page of the customer's journal, oldest first; with `target_id` only lines of that target.

    In the order in which things were decided. Two statements, one round trip.
    """
    customer = await ask(tx, ASK_CUSTOMER, tenant.root_org_id, customer_id)
    statement, line = _cut(page, ASK_JOURNAL_BEFORE, ASK_JOURNAL_AFTER)
    journal = await ask(
        tx,
        statement,
        tenant.org_id,
        customer_id,
        target_id,
        target_id,
        line >> _ORDINAL_BITS,
        line & (2**_ORDINAL_BITS - 1),
        page.limit,
    )
    if not await customer.rows():
        return None
    lines = [_journal_line(*row) for row in await journal.rows()]
    return lines if page.after is not None else lines[::-1]


async def load_rewards(
    tx: Tx, tenant: Tenant, customer_id: int, page: Page
) -> list[RewardLine] | None:
    """A page of the customer's rewards, oldest first: two statements, one round trip."""
    customer = await ask(tx, ASK_CUSTOMER, tenant.root_org_id, customer_id)
    statement, line = _cut(page, ASK_REWARDS_BEFORE, ASK_REWARDS_AFTER)
    rewards = await ask(tx, statement, tenant.org_id, customer_id, line, page.limit)
    if not await customer.rows():
        return None
    lines = [RewardLine(*row) for row in await rewards.rows()]
    return lines if page.after is not None else lines[::-1]


def _journal_line(version: int, ordinal: int, *columns: Any) -> JournalLine:
    at, what, reason, group_id, target_id, period_id, details = columns
    entry = Entry(at, what, reason, group_id, target_id, period_id, _decode(details) or {})
    return JournalLine(version << _ORDINAL_BITS | ordinal, entry)


def _cut(page: Page, before: str, after: str) -> tuple[str, int]:
    """The statement of a page, and the line that it begins beside."""
    if page.after is not None:
        return after, page.after
    return before, page.before if page.before is not None else _LAST


async def _profiles(profiles: Reply, identifiers: Reply) -> list[Profile]:
    rows = await profiles.rows()
    known = [
        (Identifier(kind, value), sources) for kind, value, sources in await identifiers.rows()
    ]
    found = []
    for source, account_id, first_name, last_name, channels, fields in rows:
        profile = Profile(
            source, account_id, (), first_name, last_name, _decode(channels), _decode(fields)
        )
        here = tuple(each for each, sources in known if profile.source_key in sources)
        found.append(replace(profile, identifiers=here))
    return found


async def _enrolments(stints: Reply, progress: Reply) -> dict[int, Enrolment]:
    ids: dict[int, int] = {}
    stints_of: dict[int, list[Stint]] = {}
    for target_id, enrolment_id, *stint in await stints.rows():
        ids[target_id] = enrolment_id
        stints_of.setdefault(target_id, []).append(Stint(*stint))
    progress_of: dict[int, dict[int, Progress]] = {}
    for target_id, *row in await progress.rows():
        progress_of.setdefault(target_id, {})[row[0]] = Progress(*row)
    return {
        target_id: Enrolment(ids[target_id], tuple(of_target), progress_of.get(target_id, {}))
        for target_id, of_target in stints_of.items()
    }


def _decode(text: str | None) -> Any:
    return None if text is None else json.loads(text, parse_float=Decimal)
