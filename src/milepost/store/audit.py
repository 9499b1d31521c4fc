"""The audit trail: entries join the transaction of what they tell of, and are only ever added.

What callers did to a customer is in the customer's journal; who asks for one customer gets both.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec

from milepost import clock
from milepost.database import Tenant, Tx
from milepost.rules.audit import JOURNAL_ACTIONS, AuditEntry, Change, act_of_journal
from milepost.rules.calendar import EARLIEST_AT, LATEST_AT
from milepost.rules.effects import ORDINAL_BITS
from milepost.store.pipeline import ask, tell

_encode = msgspec.json.Encoder(decimal_format="number").encode

INSERT = """
INSERT INTO audit_entries (org_id, at, recorded_at, credential_id, request_id, action, subject_type,
                           subject_id, changes)
SELECT k.org_id, k.at, %b, k.credential_id, k.request_id, k.action, k.subject_type, k.subject_id,
       k.changes::json
FROM unnest(%b::bigint[], %b::timestamptz[], %b::bigint[], %b::text[], %b::text[], %b::text[], %b::text[],
            %b::text[])
    AS k (org_id, at, credential_id, request_id, action, subject_type, subject_id, changes)
"""

# A page, newest first: of the audit trail, and with it of one customer's journal. At one instant an entry
# of the trail comes after one of the journal.
_ENTRIES = """
SELECT 1 AS source, audit_id AS id, at, recorded_at, credential_id, request_id, action, subject_type,
       subject_id, changes::text
FROM audit_entries
WHERE org_id = %b AND (%b::bigint IS NULL OR credential_id = %b)
  AND (%b::text IS NULL OR subject_type = %b) AND (%b::text IS NULL OR subject_id = %b)
  AND at >= %b AND at < %b AND at <= %b AND (at, 1, audit_id) < (%b, %b::integer, %b::bigint)
ORDER BY at DESC, audit_id DESC LIMIT %b
"""
_ACTS = f"""
SELECT 0, version << {ORDINAL_BITS} | ordinal, at, NULL, credential_id, coalesce(request_id, ''), reason,
       'CUSTOMER', customer_id::text,
       json_build_object('targetGroupId', target_group_id, 'targetId', target_id, 'periodId', period_id,
                         'details', details)::text
FROM journal
WHERE org_id = %b AND customer_id = %b AND reason = ANY (%b::text[])
  AND (%b::bigint IS NULL OR credential_id = %b)
  AND at >= %b AND at < %b AND at <= %b
  AND (at, 0, version << {ORDINAL_BITS} | ordinal) < (%b, %b::integer, %b::bigint)
ORDER BY at DESC, version DESC, ordinal DESC LIMIT %b
"""  # noqa: S608 - a constant of ours
ASK_ENTRIES = _ENTRIES
ASK_ENTRIES_AND_ACTS = f"""
SELECT * FROM (({_ENTRIES}) UNION ALL ({_ACTS})) AS lines
ORDER BY at DESC, source DESC, id DESC LIMIT %b
"""  # noqa: S608 - ours

ASK_PLACE = "SELECT at FROM audit_entries WHERE org_id = %b AND audit_id = %b"
ASK_PLACE_IN_JOURNAL = """
SELECT at FROM journal WHERE org_id = %b AND customer_id = %b AND version = %b AND ordinal = %b
"""

ASK_CREDENTIAL_NAMES = """
SELECT credential_id, kind, name FROM credentials
WHERE credential_id = ANY (%b::bigint[]) AND org_id = ANY (%b::bigint[])
"""


@dataclass(frozen=True, slots=True)
class AuditId:
    """Names an entry: of the audit trail, or of the journal of the customer who is asked for."""

    of_journal: bool
    number: int

    def __str__(self) -> str:
        return f"{'j' if self.of_journal else 'a'}{self.number}"


@dataclass(frozen=True, slots=True)
class AuditQuery:
    """Which entries are asked for; None is any. By the organisation's clock, `since` included.

    With a `customer_id`, of that customer alone, and what the journal says that callers did.
    `before` is the id of an entry: only older ones.
    """

    limit: int
    subject_type: str | None = None
    subject_id: str | None = None
    credential_id: int | None = None
    customer_id: int | None = None
    since: datetime = EARLIEST_AT
    until: datetime = LATEST_AT
    before: AuditId | None = None


@dataclass(frozen=True, slots=True)
class AuditLine:
    """An entry as it is read. `recorded_at`, of the wall clock, is None for one of the journal."""

    id: AuditId
    at: datetime
    recorded_at: datetime | None
    credential_id: int | None
    request_id: str
    action: str
    subject_type: str
    subject_id: str
    changes: Mapping[str, Change]


async def insert_audit(tx: Tx, entries: Sequence[AuditEntry]) -> None:
    """Add entries, in a transaction of their organisation or of the operator; nothing for none."""
    if not entries:
        return
    await tell(
        tx,
        INSERT,
        clock.now(),
        [entry.org_id for entry in entries],
        [entry.at for entry in entries],
        [entry.credential_id for entry in entries],
        [entry.request_id for entry in entries],
        [entry.action for entry in entries],
        [entry.subject_type for entry in entries],
        [entry.subject_id for entry in entries],
        [_encode(entry.changes).decode() for entry in entries],
    )


async def load_audit(tx: Tx, tenant: Tenant, asked: AuditQuery) -> list[AuditLine]:
    """A page of entries, newest first; none before one that there is not."""
    place = await _place(tx, tenant, asked)
    if place is None:
        return []
    of_customer = asked.customer_id is not None
    subject = (
        ("CUSTOMER", str(asked.customer_id))
        if of_customer
        else (asked.subject_type, asked.subject_id)
    )
    about = [each for each in subject for _ in range(2)]
    by = (asked.credential_id, asked.credential_id)
    when = (asked.since, asked.until, place[0], *place, asked.limit)
    entries = (tenant.org_id, *by, *about, *when)
    if of_customer:
        reasons = list(JOURNAL_ACTIONS)
        acts = (tenant.org_id, asked.customer_id, reasons, *by, *when)
        reply = await ask(tx, ASK_ENTRIES_AND_ACTS, *entries, *acts, asked.limit)
    else:
        reply = await ask(tx, ASK_ENTRIES, *entries)
    return [_line(*row) for row in await reply.rows()]


async def _place(tx: Tx, tenant: Tenant, asked: AuditQuery) -> tuple[datetime, int, int] | None:
    """Where a page ends in the order of all lines; None: there is no such line."""
    before = asked.before
    if before is None:
        return LATEST_AT, 2, 0
    if before.of_journal:
        version, ordinal = before.number >> ORDINAL_BITS, before.number & (2**ORDINAL_BITS - 1)
        where = (tenant.org_id, asked.customer_id, version, ordinal)
        reply = await ask(tx, ASK_PLACE_IN_JOURNAL, *where)
    else:
        reply = await ask(tx, ASK_PLACE, tenant.org_id, before.number)
    rows = await reply.rows()
    return (rows[0][0], int(not before.of_journal), before.number) if rows else None


async def load_credential_names(
    tx: Tx, tenant: Tenant, credential_ids: Collection[int]
) -> dict[int, tuple[str, str]]:
    """Kind and name by id of those credentials, revoked ones too, that are the organisation's own or its
    root's; as operator.
    """
    orgs = [tenant.org_id, tenant.root_org_id]
    reply = await ask(tx, ASK_CREDENTIAL_NAMES, sorted(credential_ids), orgs)
    return {credential_id: (kind, name) for credential_id, kind, name in await reply.rows()}


def _line(source: int, number: int, *columns: Any) -> AuditLine:
    at, recorded_at, credential_id, request_id, action, subject_type, subject_id, text = columns
    told: dict[str, Any] = json.loads(text, parse_float=Decimal)
    changes: Mapping[str, Change]
    if source:
        changes = {key: (was, now) for key, (was, now) in told.items()}
    else:
        action, changes = act_of_journal(action, told.pop("details") or {}, told)
    return AuditLine(
        AuditId(not source, number),
        at,
        recorded_at,
        credential_id,
        request_id,
        action,
        subject_type,
        subject_id,
        changes,
    )
