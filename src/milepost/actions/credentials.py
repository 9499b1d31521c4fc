"""Make credentials and verify them. Secrets are shown once and kept as argon2 hashes.

A till's password travels as the hex md5 of itself, the vendor's way, or plain; what is hashed is the
md5 form, so both are verified against one hash. md5 is only the vendor's encoding on the wire: the
strength is argon2's.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field

from argon2 import PasswordHasher
from argon2.exceptions import VerificationError

from milepost import clock
from milepost.database import Tx
from milepost.errors import INVALID_INPUT, Refusal
from milepost.runner import Runner
from milepost.store.credentials import Credential, insert_credential
from milepost.store.orgs import load_org

# OWASP's first choice of parameters: 19 MiB and two passes, about 20 ms.
_hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
# Verified when the name is unknown, so that an unknown name takes as long as a wrong password.
_NOBODY = _hasher.hash(secrets.token_hex(16))
_MD5_HEX = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class NewCredential:
    """A credential before it is saved, with the secret that its owner is shown once.

    `kind` is "TILL" (`name` is the username, `secret` the password) or "OAUTH" (key and secret).
    """

    kind: str
    name: str
    secret: str = field(repr=False)
    secret_hash: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class CredentialDraft:
    """What an operator asks a credential to be. `access` has a permission per resource named."""

    org_id: int
    kind: str
    access: Mapping[str, str]


def vendor_md5(password: str) -> str:
    """The password as the vendor's Basic authentication carries it: lowercase hex md5."""
    return hashlib.md5(password.encode(), usedforsecurity=False).hexdigest()


def verify(kind: str, credential: Credential | None, secret: str) -> bool:
    """Whether `secret` is the credential's; takes as long for a credential that does not exist.

    Slow on purpose (argon2): call it in a thread, and cache what it says.
    """
    stored = credential.secret_hash if credential is not None else _NOBODY
    forms = [secret]
    if kind == "TILL":
        forms = [vendor_md5(secret)]
        if _MD5_HEX.fullmatch(secret):
            forms.insert(0, secret)
    for form in forms:
        try:
            if _hasher.verify(stored, form):
                return credential is not None
        except VerificationError:
            continue
    return False


def new_till(name: str = "", password: str = "") -> NewCredential:
    """A till, with a new name and password unless given. Slow on purpose: call it in a thread."""
    name = name or f"till.{secrets.token_hex(6)}"
    password = password or secrets.token_urlsafe(18)
    return NewCredential("TILL", name, password, _hasher.hash(vendor_md5(password)))


def new_oauth_client(key: str = "", secret: str = "") -> NewCredential:
    """An OAuth client, with a new key and secret unless given. Slow on purpose: call it in a thread."""
    key = key or secrets.token_hex(12)
    secret = secret or secrets.token_urlsafe(30)
    return NewCredential("OAUTH", key, secret, _hasher.hash(secret))


async def save_credential(
    tx: Tx, org_id: int, made: NewCredential, access: Mapping[str, str] | None
) -> int | None:
    """Save a credential of the organisation; its id, or None when the name is taken.

    `access` None: everything.
    """
    return await insert_credential(
        tx,
        org_id=org_id,
        kind=made.kind,
        name=made.name,
        secret_hash=made.secret_hash,
        access=access,
        created_at=clock.now(),
    )


async def create_credential(runner: Runner, draft: CredentialDraft) -> NewCredential | Refusal:
    """One more credential of an organisation; 300004 for one that does not exist."""
    made = await asyncio.to_thread(new_till if draft.kind == "TILL" else new_oauth_client)

    async def write(tx: Tx) -> NewCredential | Refusal:
        if await load_org(tx, draft.org_id) is None:
            return Refusal(INVALID_INPUT, "No organisation has this orgId.")
        await save_credential(tx, draft.org_id, made, draft.access)
        return made

    return await runner.operate(write)
