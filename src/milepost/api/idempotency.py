"""`Idempotency-Key`: the first answer again, and never a second effect (contract §9).

A call that has an effect keeps its answer in the transaction of that effect (`routes.write`); one that was
refused keeps it before the answer leaves, at the edge of the service. So the two halves of this module stand
around every route.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from litestar import Request, Response
from litestar.types import Scope

from milepost import clock
from milepost.api import wire
from milepost.api.authentication import Caller
from milepost.database import DatabaseUnavailable, Tenant, Tx
from milepost.errors import (
    BAD_REQUEST,
    INVALID_INPUT,
    KEY_IN_USE,
    KEY_OF_ANOTHER_REQUEST,
    Refused,
)
from milepost.logs import log
from milepost.runner import KeyedCall, Moment, Runner
from milepost.store.idempotency import FirstAnswer, ask_keep_answers, load_answer

KEY_CHARACTERS_MAX = 255
SCOPE_HEADERS = frozenset({b"data-scope", b"data-scope-org", b"data-scope-orgs", b"connected-orgs"})

Render = Callable[[Sequence[Any]], Response[bytes]]
"""What a route makes of the outcomes of its commands: pure, for it may be asked twice."""


@dataclass(slots=True)
class KeyedRequest:
    """A request that has a key. `is_repeated`: it has its first answer already, and gets that one."""

    tenant: Tenant
    """The caller's own organisation, whomever it acts for."""
    path: str
    key: str
    fingerprint: bytes
    is_repeated: bool = False
    customer_ids: tuple[int, ...] = ()
    """Whom its commands are about."""
    with_effect: FirstAnswer | None = None
    """What the last try would keep with the effect: a try that is undone has none, whatever it rendered."""

    def call(self, render: Render) -> KeyedCall:
        """The call that keeps what `render` makes of the outcomes with their effect."""

        def answer(outcomes: Sequence[Any]) -> FirstAnswer | None:
            try:
                rendered = render(outcomes)
            except Refused as refused:
                rendered = wire.refuse(refused.refusal, self.path)
            status = rendered.status_code or 200
            self.with_effect = self.kept(status, rendered.content) if _is_kept(status) else None
            return self.with_effect

        return KeyedCall(answer)

    def kept(self, status: int, content: bytes) -> FirstAnswer:
        """The answer as it is kept."""
        return FirstAnswer(
            self.tenant.org_id, self.key, self.fingerprint, status, content, self.customer_ids
        )


@dataclass(frozen=True, slots=True)
class IdempotencyKeys:
    """The keys of the requests that this process is working on. One per process."""

    runner: Runner
    _in_use: dict[tuple[int, str], KeyedRequest] = field(default_factory=dict)

    async def begin(self, request: Request[Any, Any, Any], caller: Caller) -> wire.Answer | None:
        """The first answer to this request, if it had one; else nothing, and its key is in use until `end`.

        Raises 400 for a bad key, 409 for one that is in use, 422 for one of another request.
        """
        key = _key_of(request)
        if key is None:
            return None
        used = (caller.tenant.org_id, key)
        keyed = KeyedRequest(caller.tenant, request.scope["path"], key, await _fingerprint(request))
        if (other := self._in_use.get(used)) is not None:
            same = other.fingerprint == keyed.fingerprint
            raise Refused(KEY_IN_USE if same else KEY_OF_ANOTHER_REQUEST)
        self._in_use[used] = keyed
        # From here on the edge ends it, whatever happens.
        request.scope["keyed"] = keyed  # type: ignore[typeddict-unknown-key]
        return await self.first_answer(keyed)

    async def first_answer(self, keyed: KeyedRequest) -> wire.Answer | None:
        """The answer that is kept under the key; raises 422 if it is that of another request."""

        async def query(tx: Tx, tenant: Tenant, _: Moment) -> FirstAnswer | None:
            return await load_answer(tx, tenant, keyed.key)

        found = await self.runner.read(keyed.tenant, query)
        if found is None:
            return None
        keyed.is_repeated = True
        if found.fingerprint != keyed.fingerprint:
            raise Refused(KEY_OF_ANOTHER_REQUEST)
        return wire.Answer(
            found.content, status_code=found.status, headers={"Idempotent-Replayed": "true"}
        )

    async def keep(self, keyed: KeyedRequest, status: int, content: bytes) -> wire.Answer | None:
        """Keep an answer that is about to leave, unless it is the one that was kept with its effect.

        Returns the one to send in its place, if the request has another answer already: that of another
        process, whose effect is what this one met and was refused for; or that of its own effect, if the
        route would answer more exactly than it could then.
        """
        answer = keyed.kept(status, content)
        if keyed.is_repeated or not _is_kept(status) or answer == keyed.with_effect:
            return None

        async def write(tx: Tx) -> bool:
            return bool(await (await ask_keep_answers(tx, [answer], clock.now())).rows())

        try:
            taken = await self.runner.write(keyed.tenant, write)
            return await self.first_answer(keyed) if taken else None
        except Refused as refused:
            return wire.refuse(refused.refusal, keyed.path)
        except DatabaseUnavailable as error:
            # Sent again, the request is refused again.
            log("answer_not_kept", "warning", cause=str(error))
            return None

    def end(self, keyed: KeyedRequest) -> None:
        """The request is answered: its key is not in use any more."""
        self._in_use.pop((keyed.tenant.org_id, keyed.key), None)


def keyed_of(scope: Scope) -> KeyedRequest | None:
    """The key of a request, once it is in use."""
    keyed: KeyedRequest | None = scope.get("keyed")  # type: ignore[assignment]
    return keyed


def _key_of(request: Request[Any, Any, Any]) -> str | None:
    """The key of a request that can have one; raises 400 for a key that cannot be."""
    if request.method != "POST":
        return None
    keys = [value for name, value in request.scope["headers"] if name == b"idempotency-key"]
    if not keys or not request.route_handler.opt["idempotent"] or wire.is_ndjson(request):
        return None
    if len(set(keys)) > 1 or not 1 <= len(keys[0]) <= KEY_CHARACTERS_MAX:
        malformed = BAD_REQUEST if wire.is_v2(request.scope["path"]) else INVALID_INPUT
        raise Refused(malformed, f"Idempotency-Key must have 1 to {KEY_CHARACTERS_MAX} characters.")
    return keys[0].decode("latin-1")


async def _fingerprint(request: Request[Any, Any, Any]) -> bytes:
    """Stands for method, path, query, scope headers and body."""
    hashed = hashlib.blake2b(digest_size=32)
    scope = request.scope
    headers = sorted((name, value) for name, value in scope["headers"] if name in SCOPE_HEADERS)
    parts = [scope["method"].encode(), scope["raw_path"], scope["query_string"]]
    parts += [part for header in headers for part in header]
    parts.append(await request.body())
    for part in parts:
        # With their lengths, or two requests could be cut from the same bytes.
        hashed.update(len(part).to_bytes(8, "big"))
        hashed.update(part)
    return hashed.digest()


def _is_kept(status: int) -> bool:
    """Whether an answer is a success or a business error: of all others, the caller tries again."""
    return 200 <= status < 300 or status == 400
