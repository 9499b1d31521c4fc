"""Signing keys of organisations, and tokens that were revoked. Operator transactions only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from milepost.database import Tx
from milepost.store.pipeline import ask

SELECT_KEYS = """
SELECT org_id, kid, public_key, private_key_encrypted, created_at, retired_at FROM signing_keys
"""
INSERT_KEY = """
INSERT INTO signing_keys (org_id, kid, public_key, private_key_encrypted, created_at)
VALUES (%b, %b, %b, %b, %b) ON CONFLICT DO NOTHING RETURNING kid
"""
# Its private half is of no use any more.
RETIRE_KEY = """
UPDATE signing_keys SET retired_at = %b, private_key_encrypted = NULL
WHERE org_id = %b AND kid = %b AND retired_at IS NULL
"""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key of an organisation; `private_key_encrypted` is a JWE, None once the key is retired."""

    org_id: int
    kid: str
    public_key: str
    private_key_encrypted: str | None
    created_at: datetime
    retired_at: datetime | None


async def load_current_key(tx: Tx, org_id: int) -> SigningKey | None:
    """The key that the organisation signs with; None before its first token."""
    reply = await ask(
        tx,
        f"{SELECT_KEYS} WHERE org_id = %b AND retired_at IS NULL",
        org_id,
    )
    rows = await reply.rows()
    return SigningKey(*rows[0]) if rows else None


async def load_key(tx: Tx, kid: str) -> SigningKey | None:
    """The key of this id, of whichever organisation."""
    reply = await ask(tx, f"{SELECT_KEYS} WHERE kid = %b", kid)
    rows = await reply.rows()
    return SigningKey(*rows[0]) if rows else None


async def load_keys(tx: Tx, org_id: int) -> list[SigningKey]:
    """The organisation's keys that have not been forgotten, oldest first."""
    reply = await ask(
        tx,
        f"{SELECT_KEYS} WHERE org_id = %b ORDER BY created_at, kid",
        org_id,
    )
    return [SigningKey(*row) for row in await reply.rows()]


async def insert_key(tx: Tx, key: SigningKey) -> bool:
    """Make a key the current one; False when the organisation has one already."""
    reply = await ask(
        tx,
        INSERT_KEY,
        key.org_id, key.kid, key.public_key, key.private_key_encrypted, key.created_at,
    )  # fmt: skip
    return bool(await reply.rows())


async def retire_key(tx: Tx, org_id: int, kid: str, now: datetime) -> None:
    """Sign no more with the key; nothing happens when it is retired already."""
    await ask(tx, RETIRE_KEY, now, org_id, kid)


async def delete_retired_keys(tx: Tx, org_id: int, before: datetime) -> None:
    """Forget the organisation's keys that were retired before that instant."""
    await ask(tx, "DELETE FROM signing_keys WHERE org_id = %b AND retired_at < %b", org_id, before)


async def revoke_token(tx: Tx, org_id: int, jti: str, expires_at: datetime, now: datetime) -> None:
    """Note that a token is revoked; notes of tokens that have expired before `now` go."""
    await ask(tx, "DELETE FROM revoked_tokens WHERE org_id = %b AND expires_at < %b", org_id, now)
    await ask(
        tx,
        "INSERT INTO revoked_tokens VALUES (%b, %b, %b) ON CONFLICT DO NOTHING",
        org_id,
        jti,
        expires_at,
    )


async def is_revoked(tx: Tx, org_id: int, jti: str) -> bool:
    """Whether a token of the organisation was revoked."""
    reply = await ask(
        tx, "SELECT 1 FROM revoked_tokens WHERE org_id = %b AND jti = %b", org_id, jti
    )
    return bool(await reply.rows())
