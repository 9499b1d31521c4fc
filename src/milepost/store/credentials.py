"""Credentials of organisations: tills and OAuth clients. Operator transactions only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from milepost.database import Tx
from milepost.rules.access import Grants
from milepost.store.pipeline import ask

# Where access comes from: a group decides; what is the credential's own counts where it has none and
# doesn't inherit. `t` is the till that a call is made for, unless it says otherwise.
GRANTED = """
    coalesce(g.access, CASE WHEN NOT c.inherits THEN c.access END), c.inherits, sg.access, dg.access
FROM credentials c JOIN orgs o ON o.org_id = c.org_id
LEFT JOIN access_groups g ON g.org_id = c.org_id AND g.access_group_id = c.access_group_id
LEFT JOIN stores s ON s.org_id = c.org_id AND s.store_id = c.store_id
LEFT JOIN access_groups sg ON sg.org_id = s.org_id AND sg.access_group_id = s.access_group_id
LEFT JOIN access_groups dg ON dg.org_id = o.org_id AND dg.access_group_id = o.default_access_group_id
LEFT JOIN credentials t ON t.org_id = c.org_id AND t.kind = 'TILL' AND t.revoked_at IS NULL
    AND t.credential_id = CASE c.kind WHEN 'TILL' THEN c.credential_id ELSE c.default_till_id END
"""
VERIFIED_COLUMNS = """
    c.credential_id, c.org_id, o.root_org_id, c.name, c.secret_hash, c.token_ttl_seconds,
    c.falls_back_to_default, t.credential_id, t.store_id
"""
LISTED_COLUMNS = """
    c.credential_id, c.org_id, c.kind, c.name, c.access_group_id, c.store_id, c.token_ttl_seconds,
    c.default_till_id, c.falls_back_to_default, c.description, c.billable, c.created_at, c.revoked_at
"""

# By the name of the header that says for whom: what it is compared with.
_TILL = """
SELECT credential_id, store_id FROM credentials
WHERE org_id = %b AND name = %b AND kind = 'TILL' AND revoked_at IS NULL
"""
_STORE = "SELECT NULL::bigint, store_id FROM stores WHERE org_id = %b AND "
ATTRIBUTIONS = {
    "TILL": _TILL,
    "STORE_CODE": f"{_STORE} code = %b",
    "STORE_NAME": f"{_STORE} name = %b",
    "STORE_EXTERNAL_ID": f"{_STORE} external_id = %b",
    "STORE_EXTERNAL_ID_1": f"{_STORE} external_id_1 = %b",
    "STORE_EXTERNAL_ID_2": f"{_STORE} external_id_2 = %b",
}
"""By kind: the statement that finds a till (with its store) or a store by a code."""


@dataclass(frozen=True, slots=True)
class Place:
    """For which till and store something is done; None: not known."""

    till_id: int | None = None
    store_id: int | None = None


@dataclass(frozen=True, slots=True)
class Credential:
    """A live credential, as it is verified.

    `place` is the till itself and its store, or an OAuth client's default till and that one's store.
    """

    place: Place
    grants: Grants
    credential_id: int
    org_id: int
    root_org_id: int
    name: str
    secret_hash: str
    token_ttl_seconds: int
    falls_back_to_default: bool


@dataclass(frozen=True, slots=True)
class ListedCredential:
    """A credential as its operator sees it, revoked or not: no secret, and no hash of one."""

    grants: Grants
    credential_id: int
    org_id: int
    kind: str
    name: str
    access_group_id: int | None
    store_id: int | None
    token_ttl_seconds: int
    default_till_id: int | None
    falls_back_to_default: bool
    description: str
    billable: bool
    created_at: datetime
    revoked_at: datetime | None


async def load_credential(tx: Tx, kind: str, name: str) -> Credential | None:
    """The live credential of this kind ("TILL" or "OAUTH") and name."""
    reply = await ask(
        tx,
        f"SELECT {VERIFIED_COLUMNS}, {GRANTED} WHERE c.kind = %b AND c.name = %b AND c.revoked_at IS NULL",
        kind,
        name,
    )
    rows: Any = await reply.rows()
    if not rows:
        return None
    row = rows[0]
    return Credential(Place(*row[7:9]), Grants(*row[9:]), *row[:7])


async def load_credentials(tx: Tx, org_id: int, limit: int) -> list[ListedCredential]:
    """An organisation's credentials, revoked ones too, oldest first: at most `limit`."""
    reply = await ask(
        tx,
        f"SELECT {LISTED_COLUMNS}, {GRANTED} WHERE c.org_id = %b ORDER BY c.credential_id LIMIT %b",
        org_id,
        limit,
    )
    return [_listed(row) for row in await reply.rows()]


async def load_listed(tx: Tx, credential_id: int) -> ListedCredential | None:
    """One credential, revoked or not."""
    reply = await ask(
        tx, f"SELECT {LISTED_COLUMNS}, {GRANTED} WHERE c.credential_id = %b", credential_id
    )
    rows = await reply.rows()
    return _listed(rows[0]) if rows else None


async def load_place(tx: Tx, org_id: int, kind: str, code: str) -> Place | None:
    """The live till or the store of an organisation that `code` names; `kind` is of `ATTRIBUTIONS`."""
    rows = await (await ask(tx, ATTRIBUTIONS[kind], org_id, code)).rows()
    return Place(*rows[0]) if rows else None


async def insert_credential(
    tx: Tx,
    *,
    org_id: int,
    kind: str,
    name: str,
    secret_hash: str,
    access: Mapping[str, str] | None,
    created_at: datetime,
    access_group_id: int | None = None,
    inherits: bool = False,
    store_id: int | None = None,
    description: str = "",
    billable: bool = True,
    token_ttl_seconds: int = 300,
    default_till_id: int | None = None,
    falls_back_to_default: bool = False,
) -> int | None:
    """Make a credential; returns its id, or None when the name is taken."""
    reply = await ask(
        tx,
        """
        INSERT INTO credentials (org_id, kind, name, secret_hash, access, created_at, access_group_id,
                                 inherits, store_id, description, billable, token_ttl_seconds,
                                 default_till_id, falls_back_to_default)
        VALUES (%b, %b, %b, %b, %s::jsonb, %b, %b, %b, %b, %b, %b, %b, %b, %b)
        ON CONFLICT ON CONSTRAINT credentials_name_key DO NOTHING
        RETURNING credential_id
        """,
        org_id, kind, name, secret_hash,
        msgspec.json.encode(access).decode() if access is not None else None, created_at,
        access_group_id, inherits, store_id, description, billable, token_ttl_seconds,
        default_till_id, falls_back_to_default,
    )  # fmt: skip
    rows: Any = await reply.rows()
    return rows[0][0] if rows else None


async def revoke(tx: Tx, credential_id: int, now: datetime) -> None:
    """End a credential; one that has ended keeps the instant at which it did."""
    await ask(
        tx,
        "UPDATE credentials SET revoked_at = coalesce(revoked_at, %b) WHERE credential_id = %b",
        now,
        credential_id,
    )


def _listed(row: Any) -> ListedCredential:
    return ListedCredential(Grants(*row[13:]), *row[:13])
