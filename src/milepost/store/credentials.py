"""Credentials of organisations: tills and OAuth clients. Operator transactions only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from milepost.database import Tx
from milepost.store.pipeline import ask


@dataclass(frozen=True, slots=True)
class Credential:
    """A live credential. `access` is None for an organisation's first ones: everything."""

    credential_id: int
    org_id: int
    root_org_id: int
    secret_hash: str
    access: Mapping[str, str] | None


async def load_credential(tx: Tx, kind: str, name: str) -> Credential | None:
    """The live credential of this kind ("TILL" or "OAUTH") and name."""
    reply = await ask(
        tx,
        """
        SELECT c.credential_id, c.org_id, o.root_org_id, c.secret_hash, c.access
        FROM credentials c JOIN orgs o ON o.org_id = c.org_id
        WHERE c.kind = %b AND c.name = %b AND c.revoked_at IS NULL
        """,
        kind,
        name,
    )
    rows = await reply.rows()
    return Credential(*rows[0]) if rows else None


async def insert_credential(
    tx: Tx,
    *,
    org_id: int,
    kind: str,
    name: str,
    secret_hash: str,
    access: Mapping[str, str] | None,
    created_at: datetime,
) -> int | None:
    """Make a credential; returns its id, or None when the name is taken."""
    reply = await ask(
        tx,
        """
        INSERT INTO credentials (org_id, kind, name, secret_hash, access, created_at)
        VALUES (%b, %b, %b, %b, %s::jsonb, %b)
        ON CONFLICT ON CONSTRAINT credentials_name_key DO NOTHING
        RETURNING credential_id
        """,
        org_id, kind, name, secret_hash,
        msgspec.json.encode(access).decode() if access is not None else None, created_at,
    )  # fmt: skip
    rows: Any = await reply.rows()
    return rows[0][0] if rows else None
