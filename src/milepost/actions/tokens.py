"""Tokens of OAuth clients: signed with a key of the client's organisation, verified, revoked.

A token is a JWT, signed with RS256. Each organisation has signing keys of its own, made at its first
token: one that signs, and those before it, which go on verifying until the last token that they signed
has expired. Tokens follow the wall clock, in sandboxes too.
"""

from __future__ import annotations

import asyncio
import base64
import re
import secrets
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey

from milepost import clock
from milepost.actions.audit import note_change
from milepost.actions.sealing import Seal
from milepost.database import Tx
from milepost.errors import INVALID_INPUT, UNAVAILABLE, Refusal, Refused
from milepost.logs import log
from milepost.runner import Runner
from milepost.store.credentials import Credential
from milepost.store.orgs import load_org
from milepost.store.tokens import (
    SigningKey,
    delete_retired_keys,
    insert_key,
    load_current_key,
    load_key,
    load_keys,
    retire_key,
    revoke_token,
)

ISSUER: Final = "Milepost"
TOKEN_USE: Final = "token_access"  # noqa: S105 - the name of a kind
TTL_SECONDS_MIN, TTL_SECONDS_MAX = 60, 3_600
RETIRED_FOR: Final = timedelta(seconds=TTL_SECONDS_MAX + 60)
"""How long a retired key verifies: the longest token, and a minute for one that was just being signed."""
TOKEN_CHARACTERS_MAX: Final = 4_096
KEYS_MAX = 1_000
"""Keys that one process keeps in memory, of each half."""
LOOKUPS_MAX = 16
"""How many unknown key ids may be looked up in the database at once."""

_ALGORITHM = "RS256"
_KEY_BITS = 2_048
_KID = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Token:
    """A new token; `ttl_seconds` is how long it is valid."""

    text: str = field(repr=False)
    ttl_seconds: int


class Claims(msgspec.Struct, forbid_unknown_fields=False):
    """What a token says. `exp` and `iat` are seconds since 1970; `sub` and `client_id` the client's key."""

    iss: str
    sub: str
    client_id: str
    org_id: int
    token_use: str
    jti: str
    iat: int
    exp: int


class Keyring:
    """Signs and verifies with the keys of all organisations. One per process.

    What it keeps in memory of the database is looked at again after `ttl_seconds`, so that a key that
    was taken away stops verifying.
    """

    def __init__(self, runner: Runner, secret_key: str, ttl_seconds: float) -> None:
        self._runner = runner
        self._seal = Seal(secret_key, "signing keys")
        self._ttl_seconds = ttl_seconds
        self._private: OrderedDict[str, RSAKey] = OrderedDict()
        self._public: OrderedDict[str, tuple[float, SigningKey, RSAKey]] = OrderedDict()
        self._making: dict[int, asyncio.Lock] = {}
        self._lookups = 0

    async def issue(self, client: Credential) -> Token:
        """A new token of the client, signed with the current key of its organisation."""
        kid, key = await self._current(client.org_id)
        now = int(clock.now().timestamp())
        claims = {
            "iss": ISSUER,
            "sub": client.name,
            "client_id": client.name,
            "org_id": client.org_id,
            "token_use": TOKEN_USE,
            "jti": secrets.token_hex(16),
            "iat": now,
            "exp": now + client.token_ttl_seconds,
        }
        # 0.3 ms: a thread would cost the loop about as much.
        text = jwt.encode({"alg": _ALGORITHM, "kid": kid}, claims, key, algorithms=[_ALGORITHM])
        return Token(text, client.token_ttl_seconds)

    async def verify(self, text: str) -> Claims | None:
        """The claims of a token that an organisation's key signed and that is valid now; else None.

        Whether the client and the token still count is for the caller to look up. Raises 503 when too
        many ask for keys that are not known here.
        """
        kid = _kid(text)
        found = await self._verifying(kid) if kid is not None else None
        if found is None:
            return None
        record, key = found
        try:
            payload = jwt.decode(text, key, algorithms=[_ALGORITHM]).claims
            claims = msgspec.convert(payload, Claims)
        except (JoseError, msgspec.MsgspecError, ValueError, TypeError, RecursionError):
            return None
        now = clock.now().timestamp()
        right = (
            claims.iss == ISSUER
            and claims.token_use == TOKEN_USE
            and claims.org_id == record.org_id
            and now < claims.exp <= claims.iat + TTL_SECONDS_MAX
        )
        return claims if right else None

    async def rotate(self, org_id: int, *, end_others: bool) -> list[SigningKey] | Refusal:
        """Make a new key, which signs from now on; all keys of the organisation then, oldest first.

        The ones before verify until their last token has expired or, with `end_others`, no more.
        300004 for an organisation that does not exist.
        """
        made = await asyncio.to_thread(self._make, org_id)

        async def write(tx: Tx) -> list[SigningKey] | Refusal:
            if await load_org(tx, org_id) is None:
                return Refusal(INVALID_INPUT, "No organisation has this id.")
            await _replace(tx, await load_current_key(tx, org_id), made)
            if end_others:
                await delete_retired_keys(tx, org_id, clock.now() + RETIRED_FOR)
            told = {"endOthers": end_others}
            await note_change(tx, org_id, "SIGNING_KEY", made.kid, {}, told, action="ROTATED")
            return await load_keys(tx, org_id)

        kept = await self._runner.operate(write)
        if isinstance(kept, list):
            self._forget(org_id)
        return kept

    async def list_keys(self, org_id: int) -> list[SigningKey] | Refusal:
        """The keys of an organisation that still verify, oldest first; 300004 if there is none such."""

        async def read(tx: Tx) -> list[SigningKey] | Refusal:
            if await load_org(tx, org_id) is None:
                return Refusal(INVALID_INPUT, "No organisation has this id.")
            return await load_keys(tx, org_id)

        found = await self._runner.operate(read)
        if isinstance(found, Refusal):
            return found
        return [key for key in found if verifies(key, clock.now())]

    async def _current(self, org_id: int) -> tuple[str, RSAKey]:
        """The id and the private half of the key to sign with, made if there is none that can be read."""
        current = await self._runner.operate(lambda tx: load_current_key(tx, org_id))
        found = self._readable(current)
        if found is not None:
            return found
        async with self._making.setdefault(org_id, asyncio.Lock()):
            current = await self._runner.operate(lambda tx: load_current_key(tx, org_id))
            found = self._readable(current)
            if found is not None:
                return found
            if current is not None:
                log("signing_key_unreadable", "warning", org_id=org_id, kid=current.kid)
            made = await asyncio.to_thread(self._make, org_id)
            kept = await self._runner.operate(lambda tx: _replace(tx, current, made))
        found = self._readable(kept)
        if found is None:
            # Another service made it at this moment, with another secret key.
            raise Refused(UNAVAILABLE)
        return found

    def _make(self, org_id: int) -> SigningKey:
        """A new key, not yet saved; some 50 ms of another thread."""
        key = RSAKey.generate_key(_KEY_BITS, private=True)
        return SigningKey(
            org_id,
            secrets.token_hex(16),
            key.as_pem(private=False).decode(),
            self._seal.seal(key.as_pem(private=True).decode()),
            clock.now(),
            None,
        )

    def _readable(self, record: SigningKey | None) -> tuple[str, RSAKey] | None:
        if record is None or record.private_key_encrypted is None:
            return None
        key = self._private.get(record.kid)
        if key is None:
            pem = self._seal.open(record.private_key_encrypted)
            if pem is None:
                return None
            key = RSAKey.import_key(pem)
            _keep(self._private, record.kid, key)
        return record.kid, key

    async def _verifying(self, kid: str) -> tuple[SigningKey, RSAKey] | None:
        """The key of this id if it still verifies, from memory or the database."""
        known = self._public.get(kid)
        if known is None or known[0] < time.monotonic():
            # Anybody can ask for ids that there are not: that must not keep out those that there are.
            if known is None and self._lookups >= LOOKUPS_MAX:
                raise Refused(UNAVAILABLE)
            self._lookups += 1
            try:
                record = await self._runner.operate(lambda tx: load_key(tx, kid))
            finally:
                self._lookups -= 1
            if record is None:
                self._public.pop(kid, None)
                return None
            until = time.monotonic() + self._ttl_seconds
            known = (until, record, RSAKey.import_key(record.public_key))
            _keep(self._public, kid, known)
        _, record, key = known
        return (record, key) if verifies(record, clock.now()) else None

    def _forget(self, org_id: int) -> None:
        """Look the organisation's keys up again when they are next met."""
        for kid in [kid for kid, known in self._public.items() if known[1].org_id == org_id]:
            del self._public[kid]


async def revoke(runner: Runner, claims: Claims) -> None:
    """End a verified token before its time, in all processes."""
    expires_at = datetime.fromtimestamp(claims.exp, UTC)
    await runner.operate(
        lambda tx: revoke_token(tx, claims.org_id, claims.jti, expires_at, clock.now())
    )


async def _replace(tx: Tx, current: SigningKey | None, made: SigningKey) -> SigningKey | None:
    """Retire `current` and save `made`; returns the key that signs then.

    That is another one than `made` if somebody else was quicker: theirs must not be retired.
    """
    now = clock.now()
    if current is not None:
        await retire_key(tx, current.org_id, current.kid, now)
    await delete_retired_keys(tx, made.org_id, now - RETIRED_FOR)
    await insert_key(tx, made)
    return await load_current_key(tx, made.org_id)


def verifies(key: SigningKey, now: datetime) -> bool:
    """Whether tokens that the key signed are valid at `now`."""
    return key.retired_at is None or now < key.retired_at + RETIRED_FOR


def _kid(text: str) -> str | None:
    """The key id in the header of a token, None where it cannot be one of ours.

    The last characters of a signature stand for fewer bits than they have: a text that differs in
    those alone would be another token that verifies, so only the one way to write it is taken.
    """
    if len(text) > TOKEN_CHARACTERS_MAX or not text.isascii() or text.count(".") != 2:
        return None
    head, _, signature = text.split(".")
    try:
        header: Any = msgspec.json.decode(_decoded(head))
        strict = base64.urlsafe_b64encode(_decoded(signature)).rstrip(b"=").decode() == signature
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    if not strict or not isinstance(header, Mapping):
        return None
    kid = header.get("kid")
    right = header.get("alg") == _ALGORITHM and isinstance(kid, str) and _KID.fullmatch(kid)
    return kid if right else None


def _decoded(part: str) -> bytes:
    return base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)


def _keep(known: OrderedDict[str, Any], kid: str, value: object) -> None:
    known[kid] = value
    while len(known) > KEYS_MAX:
        known.popitem(last=False)
