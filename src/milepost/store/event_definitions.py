"""Behavioural events as their organisation defined them."""

from __future__ import annotations

import json
from collections.abc import Collection
from datetime import datetime

import msgspec

from milepost.database import Tenant, Tx
from milepost.rules.events import EventDefinition, EventField
from milepost.store.pipeline import Reply, Rows, ask

ASK_EVENT_DEFINITIONS = """
SELECT event_name, description, actions::text, fields::text FROM event_definitions
WHERE org_id = %b AND (%b::text[] IS NULL OR event_name = ANY (%b::text[]))
ORDER BY created_at, event_name
"""

# Two that define the same name at once: the second gets no row, and decides again.
CLAIM_EVENT_DEFINITIONS = """
INSERT INTO event_definitions (org_id, event_name, description, actions, fields, created_at, created_by)
SELECT %b, k.event_name, k.description, k.actions::jsonb, k.fields::jsonb, %b, k.created_by
FROM unnest(%b::text[], %b::text[], %b::text[], %b::text[], %b::bigint[])
    AS k (event_name, description, actions, fields, created_by)
ORDER BY k.event_name COLLATE "C"
ON CONFLICT (org_id, event_name) DO NOTHING
RETURNING event_name
"""

_encode = msgspec.json.Encoder().encode


async def ask_event_definitions(
    tx: Tx, tenant: Tenant, names: Collection[str] | None = None
) -> Reply:
    """Those of the names that are defined, None: all; oldest first, for `read_event_definitions`."""
    wanted = None if names is None else sorted(names)
    return await ask(tx, ASK_EVENT_DEFINITIONS, tenant.org_id, wanted, wanted)


def read_event_definitions(rows: Rows) -> list[EventDefinition]:
    """The definitions of their rows."""
    return [
        EventDefinition(
            name,
            tuple(json.loads(actions)),
            tuple(EventField(**field) for field in json.loads(fields)),
            description,
        )
        for name, description, actions, fields in rows
    ]


async def claim_event_definitions(
    tx: Tx, tenant: Tenant, definitions: Collection[tuple[EventDefinition, int]], at: datetime
) -> set[str]:
    """Insert (definition, credential id); returns the names that were free."""
    rows = [
        (
            definition.name,
            definition.description,
            _encode(definition.actions).decode(),
            _encode(definition.fields).decode(),
            credential_id,
        )
        for definition, credential_id in definitions
    ]
    columns = [[row[place] for row in rows] for place in range(5)]
    made = await ask(tx, CLAIM_EVENT_DEFINITIONS, tenant.org_id, at, *columns)
    return {name for (name,) in await made.rows()}
