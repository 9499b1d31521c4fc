"""Who calls: a till, by Basic credentials, or an OAuth client, by a token; and what they may do.

The operator's routes take the operator's token instead. Whoever was verified is believed for
`credential_ttl_seconds`, a token at most until it expires, so argon2 is paid once per till and not per
request; what is changed or revoked stops working within that time.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import secrets
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any

from litestar import Request

from milepost import clock
from milepost.actions.credentials import verify
from milepost.actions.tokens import Claims, Keyring
from milepost.api.attribution import HEADERS as ATTRIBUTION_HEADERS
from milepost.api.attribution import check_lookup, wanted_place
from milepost.api.verified import Verified
from milepost.database import Tenant, Tx
from milepost.errors import FORBIDDEN, METHOD_NOT_ALLOWED, UNAUTHENTICATED, Refused
from milepost.rules.access import Access, Permission, effective_access, may
from milepost.runner import Runner
from milepost.settings import Settings
from milepost.store.credentials import Credential, Place, load_credential, load_place
from milepost.store.tokens import is_revoked

OPERATOR = "operator"

_AUTHORIZATION = b"authorization"
# The vendor's, the older one last.
_TOKEN_HEADERS = (b"x-cap-api-oauth-token", b"cap-api-access-token")
_HEADERS = frozenset((_AUTHORIZATION, *_TOKEN_HEADERS, *ATTRIBUTION_HEADERS))


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever a verified credential stands for. `access` None: everything.

    `till_id` and `store_id` say for which till and store the call is made, None where that is not
    known. `is_client` is true for an OAuth client, which may name others in headers.
    """

    tenant: Tenant
    credential_id: int
    access: Access | None
    till_id: int | None = None
    store_id: int | None = None
    is_client: bool = False
    falls_back_to_default: bool = False

    def may(self, resource: str, permission: Permission) -> bool:
        """Whether the caller has the permission; to write is to read too."""
        return may(self.access, resource, permission)

    def at(self, place: Place) -> Caller:
        """The same caller, for another till and store."""
        return replace(self, till_id=place.till_id, store_id=place.store_id)


calling: ContextVar[Caller | None] = ContextVar("calling", default=None)
"""The caller of the request being answered."""


class Authenticator:
    """Verifies callers and remembers them for a short, bounded time. One per process."""

    def __init__(self, runner: Runner, settings: Settings, keyring: Keyring) -> None:
        self._runner = runner
        self._keyring = keyring
        self._ttl_seconds = settings.credential_ttl_seconds
        self._admin_token = settings.admin_token
        self._tills: Verified[Caller] = Verified()
        self._tokens: Verified[Caller] = Verified()
        self._clients: Verified[Credential] = Verified()
        self._places: Verified[Place] = Verified()
        # argon2 takes a core for 20 ms. Calls for tokens have one of their own, so that a flood of
        # them, which anybody can send, leaves the tills theirs.
        self._hashing = {"TILL": asyncio.Semaphore(2), "OAUTH": asyncio.Semaphore(1)}

    async def caller(self, headers: Mapping[bytes, bytes]) -> Caller:
        """The caller behind a request's headers; raises 401, or 503 when too many are asked.

        A token in one of its own headers decides, whatever `Authorization` says.
        """
        for name in _TOKEN_HEADERS:
            token = headers.get(name, b"").strip()
            if token:
                return await self.token_caller(_without_bearer(token))
        header = headers.get(_AUTHORIZATION, b"")
        scheme, _, rest = header.partition(b" ")
        if scheme.lower() == b"bearer":
            return await self.token_caller(rest.strip())
        return await self._tills.find(header, lambda: self._till_caller(header))

    async def token_caller(self, token: bytes) -> Caller:
        """The OAuth client that a token was given to; raises 401 for one that is not valid now."""
        return await self._tokens.find(token, lambda: self._client_caller(token))

    async def client(self, key: str, secret: str) -> Credential:
        """The live OAuth client of this key and secret; raises 401, or 503 when too many ask."""
        shown = f"{len(key)}:{key}{secret}".encode()
        return await self._clients.find(shown, lambda: self._right(("OAUTH", key), secret))

    async def place(self, org_id: int, kind: str, code: str) -> Place | None:
        """The till or store of an organisation that `code` names; `kind` is of `ATTRIBUTIONS`."""

        async def load() -> tuple[Place, float]:
            found = await self._runner.operate(lambda tx: load_place(tx, org_id, kind, code))
            if found is None:
                raise LookupError
            return found, self._ttl_seconds

        try:
            return await self._places.find(f"{org_id} {kind} {code}".encode(), load)
        except LookupError:
            return None

    def forget_token(self, token: bytes) -> None:
        """Believe a token no more that has been revoked."""
        self._tokens.forget(token)

    def check_operator(self, header: bytes) -> None:
        """Raises 401 unless the header has the admin token."""
        scheme, _, token = header.partition(b" ")
        right = secrets.compare_digest(token.strip(), self._admin_token.encode())
        if scheme.lower() != b"bearer" or not self._admin_token or not right:
            raise Refused(UNAUTHENTICATED)

    async def _right(self, who: tuple[str, str], secret: str) -> tuple[Credential, float]:
        """The live credential of a kind and name, if the secret is its own; else raises 401."""
        credential = await self._runner.operate(lambda tx: load_credential(tx, *who))
        async with self._hashing[who[0]]:
            right = await asyncio.to_thread(verify, who[0], credential, secret)
        if credential is None or not right:
            raise Refused(UNAUTHENTICATED)
        return credential, self._ttl_seconds

    async def _till_caller(self, header: bytes) -> tuple[Caller, float]:
        name, secret = decode_basic(header)
        credential, seconds = await self._right(("TILL", name), secret)
        return _caller(credential), seconds

    async def _client_caller(self, token: bytes) -> tuple[Caller, float]:
        claims = await self._keyring.verify(token.decode("latin-1"))
        if claims is None:
            raise Refused(UNAUTHENTICATED)
        credential = await self._runner.operate(lambda tx: _token_owner(tx, claims))
        if credential is None:
            raise Refused(UNAUTHENTICATED)
        left_seconds = claims.exp - clock.now().timestamp()
        return _caller(credential, is_client=True), min(self._ttl_seconds, left_seconds)


async def _token_owner(tx: Tx, claims: Claims) -> Credential | None:
    """The live client that a verified token was given to; None when either has been revoked."""
    credential = await load_credential(tx, "OAUTH", claims.client_id)
    if credential is None or credential.org_id != claims.org_id:
        return None
    return None if await is_revoked(tx, claims.org_id, claims.jti) else credential


def _caller(credential: Credential, *, is_client: bool = False) -> Caller:
    return Caller(
        Tenant(credential.org_id, credential.root_org_id),
        credential.credential_id,
        effective_access(credential.grants),
        credential.place.till_id,
        credential.place.store_id,
        is_client,
        credential.falls_back_to_default,
    )


def decode_basic(header: bytes) -> tuple[str, str]:
    """Name and secret of a Basic header; raises 401 for anything else."""
    scheme, _, encoded = header.partition(b" ")
    try:
        if scheme.lower() != b"basic" or len(encoded) > 1_024:
            raise ValueError
        name, colon, secret = (
            base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
        )
        if not colon or not name or "\x00" in name:
            raise ValueError
    except (ValueError, binascii.Error):
        raise Refused(UNAUTHENTICATED) from None
    return name, secret


def _without_bearer(token: bytes) -> bytes:
    scheme, _, rest = token.partition(b" ")
    return rest.strip() if scheme.lower() == b"bearer" else token


async def authorize(request: Request[Any, Any, Any]) -> None:
    """Before every request: 401, then 403, by the `access` that its route declares, then 429, then 400 for
    headers that attribute the call to what there is not.

    A route without a declaration is a defect, and refused. (Not a guard of Litestar, which copies the
    whole handler for each guard and request.)
    """
    access = request.route_handler.opt.get("access")
    if access is None:
        # Litestar answers OPTIONS by handlers of its own; contract §3 knows only what is documented.
        raise Refused(METHOD_NOT_ALLOWED if request.method == "OPTIONS" else FORBIDDEN)
    if access == "public":
        return
    headers: dict[bytes, bytes] = {}
    for name, value in request.scope["headers"]:
        if name in _HEADERS:
            headers.setdefault(name, value)
    authenticator: Authenticator = request.app.state.services.authenticator
    if access == OPERATOR:
        authenticator.check_operator(headers.get(_AUTHORIZATION, b""))
        return
    resource, permission = access
    caller = await authenticator.caller(headers)
    if not caller.may(resource, permission):
        raise Refused(FORBIDDEN)
    await request.app.state.services.rate_limits.check(request, caller)
    if not ATTRIBUTION_HEADERS.isdisjoint(headers):
        caller = await _attributed(authenticator, caller, headers, request.scope["path"])
    request.scope["caller"] = caller  # type: ignore[typeddict-unknown-key]
    calling.set(caller)


async def _attributed(
    authenticator: Authenticator, caller: Caller, headers: Mapping[bytes, bytes], path: str
) -> Caller:
    """The caller, for the till or store that its headers name; a till is always itself."""
    check_lookup(headers, path)
    wanted = wanted_place(headers, path) if caller.is_client else None
    if wanted is None:
        return caller
    place = None
    if wanted.code:
        place = await authenticator.place(caller.tenant.org_id, wanted.kind, wanted.code)
    if place is not None:
        return caller.at(place)
    if caller.falls_back_to_default:
        return caller
    raise wanted.unknown
