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
from dataclasses import dataclass, field

from argon2 import PasswordHasher
from argon2.exceptions import VerificationError

from milepost import clock
from milepost.actions.audit import note_change
from milepost.database import Tenant, Tx
from milepost.errors import FORBIDDEN, INVALID_INPUT, STORE_INVALID, TILL_NAME_TAKEN, Refusal
from milepost.rules.access import Access, effective_access, exceeds
from milepost.runner import KEY_TAKEN, KeyedCall, KeyTaken, Runner
from milepost.store.access import load_group, load_inherited, load_store
from milepost.store.credentials import (
    Credential,
    ListedCredential,
    insert_credential,
    load_credentials,
    load_listed,
    revoke,
)
from milepost.store.idempotency import ask_keep_answers
from milepost.store.orgs import load_org
from milepost.store.pipeline import act_for

LISTED_MAX = 10_000
TOKEN_TTL_SECONDS = 300

# OWASP's first choice of parameters: 19 MiB and two passes, about 20 ms.
_hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
# Verified when the name is unknown, so that an unknown name takes as long as a wrong password.
_NOBODY = _hasher.hash(secrets.token_hex(16))
_MD5_HEX = re.compile(r"[0-9a-f]{32}")


class _KeyTaken(Exception):
    """Undoes what was done for a call that was answered meanwhile."""


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
    """What an operator asks a credential to be; `kind` is "TILL" or "OAUTH".

    What it may do is said by one of `access` (a permission per resource named), `access_group_id` and
    `inherits`, or else is nothing; a till in a store inherits unless something is said. Only tills have
    a store and inherit, only OAuth clients have what comes behind.
    """

    org_id: int
    kind: str
    access: Access | None = None
    access_group_id: int | None = None
    inherits: bool | None = None
    store_id: int | None = None
    token_ttl_seconds: int | None = None
    default_till_id: int | None = None
    falls_back_to_default: bool | None = None


@dataclass(frozen=True, slots=True)
class TillDraft:
    """A till that an organisation makes for one of its stores, with a name and password of its choice.

    It inherits what it may do from the store and the organisation.
    """

    name: str
    password: str = field(repr=False)
    store_id: int
    description: str = ""
    billable: bool = True


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
    tx: Tx,
    org_id: int,
    made: NewCredential,
    access: Access | None,
    default_till_id: int | None = None,
) -> int | None:
    """Save a credential of the organisation; its id, or None when the name is taken.

    `access` None: everything. `default_till_id` is only an OAuth client's.
    """
    credential_id = await insert_credential(
        tx,
        org_id=org_id,
        kind=made.kind,
        name=made.name,
        secret_hash=made.secret_hash,
        access=access,
        created_at=clock.now(),
        default_till_id=default_till_id,
    )
    if credential_id is not None:
        await _note_made(tx, credential_id)
    return credential_id


async def create_credential(
    runner: Runner, draft: CredentialDraft
) -> tuple[NewCredential, ListedCredential] | Refusal:
    """One more credential of an organisation, with its secret.

    300004 for what contradicts itself or the kind, and for an organisation, group, store or till that
    does not exist.
    """
    refusal = _contradiction(draft)
    if refusal is not None:
        return refusal
    made = await asyncio.to_thread(new_till if draft.kind == "TILL" else new_oauth_client)
    said = draft.access is not None or draft.access_group_id is not None
    inherits = draft.inherits
    if inherits is None:
        inherits = draft.store_id is not None and not said

    async def write(tx: Tx) -> tuple[NewCredential, ListedCredential] | Refusal:
        refusal = await _unknown(tx, draft)
        if refusal is not None:
            return refusal
        credential_id = await insert_credential(
            tx,
            org_id=draft.org_id,
            kind=made.kind,
            name=made.name,
            secret_hash=made.secret_hash,
            access=draft.access or {},
            created_at=clock.now(),
            access_group_id=draft.access_group_id,
            inherits=inherits,
            store_id=draft.store_id,
            token_ttl_seconds=draft.token_ttl_seconds or TOKEN_TTL_SECONDS,
            default_till_id=draft.default_till_id,
            falls_back_to_default=draft.falls_back_to_default is True,
        )
        assert credential_id is not None, "a random name was taken"
        await _note_made(tx, credential_id)
        listed = await load_listed(tx, credential_id)
        assert listed is not None
        return made, listed

    return await runner.operate(write)


async def create_till(
    runner: Runner,
    tenant: Tenant,
    caller_access: Access | None,
    credential_id: int,
    draft: TillDraft,
    call: KeyedCall | None = None,
) -> int | Refusal | KeyTaken:
    """A till of the caller's organisation, made by the credential; its id.

    1214 for an unknown store, 4000 when the till could do what its maker may not, 1207 for a name that
    is taken. The answer of a `call` is kept with the till, unless its key has one already.
    """
    org_id = tenant.org_id
    made = await asyncio.to_thread(new_till, draft.name, draft.password)

    async def write(tx: Tx) -> int | Refusal:
        inherited = await load_inherited(tx, org_id, draft.store_id)
        if inherited is None:
            return Refusal(STORE_INVALID)
        if exceeds(effective_access(inherited), caller_access):
            return Refusal(FORBIDDEN, "The till would be allowed more than its maker.")
        till_id = await insert_credential(
            tx,
            org_id=org_id,
            kind=made.kind,
            name=made.name,
            secret_hash=made.secret_hash,
            access={},
            created_at=clock.now(),
            inherits=True,
            store_id=draft.store_id,
            description=draft.description,
            billable=draft.billable,
        )
        if till_id is None:
            return Refusal(TILL_NAME_TAKEN)
        await _note_made(tx, till_id, credential_id)
        answer = call.answer([till_id]) if call is not None else None
        if answer is not None:
            await act_for(tx, tenant)
            if await (await ask_keep_answers(tx, [answer], clock.now())).rows():
                # The till must not stay: an exception undoes the transaction.
                raise _KeyTaken
        return till_id

    try:
        return await runner.operate(write)
    except _KeyTaken:
        return KEY_TAKEN


async def list_credentials(runner: Runner, org_id: int) -> list[ListedCredential] | Refusal:
    """The credentials of an organisation, revoked ones too, oldest first; 300004 if there is none such."""

    async def read(tx: Tx) -> list[ListedCredential] | Refusal:
        if await load_org(tx, org_id) is None:
            return _no_org()
        return await load_credentials(tx, org_id, LISTED_MAX)

    return await runner.operate(read)


async def revoke_credential(runner: Runner, credential_id: int) -> ListedCredential | Refusal:
    """End a credential, and with it the tokens of an OAuth client; again: no effect. 300004 if unknown."""

    async def write(tx: Tx) -> ListedCredential | None:
        before = await load_listed(tx, credential_id)
        await revoke(tx, credential_id, clock.now())
        after = await load_listed(tx, credential_id)
        if before is not None and after is not None and before.revoked_at is None:
            await note_change(
                tx,
                after.org_id,
                "CREDENTIAL",
                credential_id,
                {"name": before.name},
                None,
                action="REVOKED",
            )
        return after

    found = await runner.operate(write)
    return found or Refusal(INVALID_INPUT, "No credential has this id.")


async def _note_made(tx: Tx, credential_id: int, by: int | None = None) -> None:
    """Note a new credential, made by another one or by the operator: all that its owner may know again."""
    made = await load_listed(tx, credential_id)
    assert made is not None
    told = {
        "type": made.kind,
        "name": made.name,
        "access": made.grants.own,
        "accessGroupId": made.access_group_id,
        "storeId": made.store_id,
        "defaultTillId": made.default_till_id,
    }
    await note_change(tx, made.org_id, "CREDENTIAL", credential_id, None, told, credential_id=by)


def _contradiction(draft: CredentialDraft) -> Refusal | None:
    """Why the draft cannot be, whatever there is in the database."""
    if draft.kind == "TILL":
        of_others = {
            "tokenTtlSeconds": draft.token_ttl_seconds,
            "defaultTillId": draft.default_till_id,
            "fallBackToDefaultTill": draft.falls_back_to_default,
        }
    else:
        of_others = {"storeId": draft.store_id, "inheritAccess": draft.inherits}
    for name, value in of_others.items():
        if value is not None:
            return Refusal(INVALID_INPUT, f"{name} is not for the type {draft.kind}.")
    said = (draft.access is not None, draft.access_group_id is not None, draft.inherits is True)
    if sum(said) > 1:
        return Refusal(
            INVALID_INPUT, "Only one of access, accessGroupId and inheritAccess can decide."
        )
    return None


async def _unknown(tx: Tx, draft: CredentialDraft) -> Refusal | None:
    """300004 for what the draft names and the organisation does not have."""
    if await load_org(tx, draft.org_id) is None:
        return _no_org()
    if (
        draft.access_group_id is not None
        and await load_group(tx, draft.org_id, draft.access_group_id) is None
    ):
        return Refusal(INVALID_INPUT, "No access group of the organisation has this accessGroupId.")
    if draft.store_id is not None and await load_store(tx, draft.org_id, draft.store_id) is None:
        return Refusal(INVALID_INPUT, "No store of the organisation has this storeId.")
    if draft.default_till_id is not None:
        till = await load_listed(tx, draft.default_till_id)
        if till is None or (till.org_id, till.kind) != (draft.org_id, "TILL") or till.revoked_at:
            return Refusal(
                INVALID_INPUT, "No live till of the organisation has this defaultTillId."
            )
    return None


def _no_org() -> Refusal:
    return Refusal(INVALID_INPUT, "No organisation has this orgId.")
