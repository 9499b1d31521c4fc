"""Who calls: Basic credentials of a till, or the operator's token; and what they may do.

A verified `Authorization` header is believed for `credential_ttl_seconds`, so argon2 is paid once per
till and not per request; a changed or revoked credential stops working within that time. The header
itself is not kept: the key is its keyed hash, made anew with each process.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import secrets
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from litestar import Request

from milepost.actions.credentials import verify
from milepost.database import Tenant
from milepost.errors import FORBIDDEN, METHOD_NOT_ALLOWED, UNAUTHENTICATED, UNAVAILABLE, Refused
from milepost.runner import Runner
from milepost.settings import Settings
from milepost.store.credentials import load_credential

Permission = Literal["READ", "WRITE"]
RESOURCES = (
    "Customer", "Card", "Coupon", "Images", "Leads", "OTP", "Organization",
    "Organization Data Fields", "Partner Program", "Partners", "Points", "Product", "Requests",
    "Staff", "Store", "Survey", "Task", "Transaction", "User Groups", "Activity Sessions",
    "User Targets", "Target Loyalty", "Webhooks", "Event Simulation", "Behavioural Events",
    "Companies", "Communications", "Labels",
)  # fmt: skip
"""The vendor's, to which access can be given (domain/promotions-and-platform.md §4.4). The operator's
routes take the admin token instead."""
OPERATOR = "operator"

CALLERS_MAX = 10_000
VERIFICATIONS_MAX = 64
"""How many may wait for argon2 at once; two are computed at a time."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever a verified credential stands for. `access` None: everything."""

    tenant: Tenant
    credential_id: int
    access: Mapping[str, str] | None

    def may(self, resource: str, permission: Permission) -> bool:
        """Whether the caller has the permission; to write is to read too."""
        if self.access is None:
            return True
        granted = self.access.get(resource, "NONE")
        return granted in ("WRITE", permission)


class Authenticator:
    """Verifies callers and remembers them for a short, bounded time. One per process."""

    def __init__(self, runner: Runner, settings: Settings) -> None:
        self._runner = runner
        self._ttl_seconds = settings.credential_ttl_seconds
        self._admin_token = settings.admin_token
        self._callers: OrderedDict[bytes, tuple[float, Caller]] = OrderedDict()
        self._salt = secrets.token_bytes(32)
        self._hashing = asyncio.Semaphore(2)
        self._verifying: dict[bytes, asyncio.Task[Caller]] = {}

    async def caller(self, header: bytes) -> Caller:
        """The caller behind an `Authorization` header; raises 401, or 503 when too many are asked."""
        key = hashlib.blake2b(header, key=self._salt, digest_size=32).digest()
        known = self._callers.get(key)
        if known is not None and known[0] > time.monotonic():
            return known[1]
        # Requests that meet an unknown header together wait for one verification.
        verifying = self._verifying.get(key)
        if verifying is None:
            if len(self._verifying) >= VERIFICATIONS_MAX:
                raise Refused(UNAVAILABLE)
            verifying = self._verifying[key] = asyncio.create_task(self._verify(key, header))
        return await asyncio.shield(verifying)

    def check_operator(self, header: bytes) -> None:
        """Raises 401 unless the header has the admin token."""
        scheme, _, token = header.partition(b" ")
        right = secrets.compare_digest(token.strip(), self._admin_token.encode())
        if scheme.lower() != b"bearer" or not self._admin_token or not right:
            raise Refused(UNAUTHENTICATED)

    async def _verify(self, key: bytes, header: bytes) -> Caller:
        try:
            name, secret = _basic(header)
            credential = await self._runner.operate(lambda tx: load_credential(tx, "TILL", name))
            async with self._hashing:
                right = await asyncio.to_thread(verify, "TILL", credential, secret)
        finally:
            del self._verifying[key]
        if credential is None or not right:
            raise Refused(UNAUTHENTICATED)
        tenant = Tenant(credential.org_id, credential.root_org_id)
        caller = Caller(tenant, credential.credential_id, credential.access)
        self._callers[key] = (time.monotonic() + self._ttl_seconds, caller)
        self._callers.move_to_end(key)
        while len(self._callers) > CALLERS_MAX:
            self._callers.popitem(last=False)
        return caller


def _basic(header: bytes) -> tuple[str, str]:
    """Till name and password of a Basic header; raises 401 for anything else."""
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


async def authorize(request: Request[Any, Any, Any]) -> None:
    """Before every request: 401, then 403, by the `access` that its route declares.

    A route without a declaration is a defect, and refused. (Not a guard of Litestar, which copies the
    whole handler for each guard and request.)
    """
    access = request.route_handler.opt.get("access")
    if access is None:
        # Litestar answers OPTIONS by handlers of its own; contract §3 knows only what is documented.
        raise Refused(METHOD_NOT_ALLOWED if request.method == "OPTIONS" else FORBIDDEN)
    if access == "public":
        return
    header = b""
    for name, value in request.scope["headers"]:
        if name == b"authorization":
            header = value
            break
    authenticator: Authenticator = request.app.state.services.authenticator
    if access == OPERATOR:
        authenticator.check_operator(header)
        return
    resource, permission = access
    caller = await authenticator.caller(header)
    if not caller.may(resource, permission):
        raise Refused(FORBIDDEN)
    request.scope["caller"] = caller  # type: ignore[typeddict-unknown-key]
