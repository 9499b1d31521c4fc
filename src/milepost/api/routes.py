"""How a route declares itself: who may call it, what its body is, which errors it may answer.

`authentication.authorize` reads the access; `openapi.py` reads the rest. The four prefixes of the
target APIs are here too; for whom a request acts or reads; and how its commands are written.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from litestar import Response
from litestar.params import FromPath

from milepost.api.authentication import OPERATOR, Caller
from milepost.api.idempotency import SCOPE_HEADERS, Render, keyed_of
from milepost.api.requests import ApiRequest
from milepost.coalescer import Coalescer
from milepost.database import Tenant, Tx
from milepost.errors import UNAVAILABLE, Error, Refusal, Refused
from milepost.rules.access import Permission
from milepost.rules.scope import (
    OWN,
    Hierarchy,
    Scope,
    read_org,
    read_orgs,
    read_scope,
    written_org,
)
from milepost.runner import KEY_TAKEN, Action, Moment, Runner
from milepost.store.orgs import load_hierarchy

C = TypeVar("C")
T = TypeVar("T")

PREFIXES = ("", "/v3", "/v3.1", "/api_gateway/intouch-api-v3/v3.1")
"""All serve the same; all but /v3 read the connected-org headers (contract §4)."""

PathId = FromPath[str]
"""An id in a path: text here, so that a bad one is 300004 and not an unknown path."""


def under_all_prefixes(path: str) -> list[str]:
    """The path behind each of the four prefixes."""
    return [prefix + path for prefix in PREFIXES]


def declare(
    resource: str,
    permission: Permission = "READ",
    *,
    body: Any = None,
    answer: Any = None,
    status: int = 200,
    errors: tuple[Error, ...] = (),
    query: dict[str, str] | None = None,
    texts: dict[str, str] | None = None,
    failure: Any = None,
    scoped: bool = True,
) -> dict[str, Any]:
    """The `opt` of a route for callers of an organisation with `permission` on `resource`.

    `body` and `answer` are msgspec types (or unions of lists of them), `query` maps each query
    parameter to its description, and `texts` each part of the path that is no integer. `failure` is the
    msgspec type of a business refusal where it is not that of the path's family. `scoped` false: the route
    knows no other organisation than the caller's, and so do those below /v3.
    """
    return {
        "access": (resource, permission),
        "idempotent": permission == "WRITE",
        "scoped": scoped,
        "body": body,
        "answer": answer,
        "answer_status": status,
        "errors": errors,
        "query": query or {},
        "texts": texts or {},
        "failure": failure,
    }


def declare_operator(**rest: Any) -> dict[str, Any]:
    """The `opt` of a route of the operator, who shows the admin token."""
    return {**declare(OPERATOR, **rest), "access": OPERATOR}


def declare_public(**rest: Any) -> dict[str, Any]:
    """The `opt` of a route that needs no credentials."""
    return {**declare("public", **rest), "access": "public"}


def caller_of(request: ApiRequest) -> Caller:
    """The verified caller of an organisation's route."""
    caller: Caller = request.scope["caller"]  # type: ignore[typeddict-item]
    return caller


def coalescer_of(request: ApiRequest) -> Coalescer:
    """The process's coalescer."""
    coalescer: Coalescer = request.app.state.services.coalescer
    return coalescer


def runner_of(request: ApiRequest) -> Runner:
    """The process's runner."""
    runner: Runner = request.app.state.services.runner
    return runner


async def acting_tenant(request: ApiRequest) -> Tenant:
    """The organisation that a write acts for, by the scope headers; raises 310141 or 310144."""
    scope = _scope_of(request)
    if scope is OWN:
        return caller_of(request).tenant
    found = written_org(scope, await _hierarchy(request))
    return _tenants(request, (found,) if isinstance(found, int) else found)[0]


async def reading_tenant(request: ApiRequest) -> Tenant:
    """The one organisation that a read reaches; raises 310141 or 310144 where it would be several."""
    scope = _scope_of(request)
    if scope is OWN:
        return caller_of(request).tenant
    found = read_org(scope, await _hierarchy(request))
    return _tenants(request, (found,) if isinstance(found, int) else found)[0]


async def read_each(
    request: ApiRequest, query: Callable[[Tx, Tenant, Moment], Awaitable[T]]
) -> list[tuple[Tenant, T]]:
    """What `query` finds in each organisation that a read reaches, the parent first; raises 310144."""
    scope, runner = _scope_of(request), runner_of(request)
    tenants = [caller_of(request).tenant]
    if scope is not OWN:
        tenants = _tenants(request, read_orgs(scope, await _hierarchy(request)))
    return [(tenant, await runner.read(tenant, query)) for tenant in tenants]


async def write(
    request: ApiRequest,
    action: Action[C],
    tenant: Tenant,
    command: C,
    render: Callable[[Any], Response[bytes]],
) -> Response[bytes]:
    """Do one command, and answer with what `render` makes of its outcome; see `write_all`."""
    return await write_all(
        request, action, tenant, (command,), lambda outcomes: render(outcomes[0])
    )


async def write_all(
    request: ApiRequest,
    action: Action[C],
    tenant: Tenant,
    commands: Sequence[C],
    render: Render,
) -> Response[bytes]:
    """Do the commands of a request, and answer with what `render` makes of their outcomes.

    `render` is pure and may raise `Refused`. Under an Idempotency-Key the commands are done in one
    transaction, which also keeps the answer; a route has one such write.
    """
    keyed = keyed_of(request.scope)
    call = None
    if keyed is not None:
        # Of what a POST may change, customers alone are known by integers.
        boundaries = {action.boundary(command) for command in commands}
        keyed.customer_ids = tuple(each for each in boundaries if isinstance(each, int))
        call = keyed.call(render)
    outcomes = await coalescer_of(request).submit_all(action, tenant, commands, call)
    if commands and outcomes[0] is KEY_TAKEN:
        return await taken_answer(request)
    return render(outcomes)


async def taken_answer(request: ApiRequest) -> Response[bytes]:
    """The first answer to a request whose key another process used meanwhile."""
    keyed, keys = keyed_of(request.scope), request.app.state.services.keys
    first: Response[bytes] | None = await keys.first_answer(keyed)
    if first is None:  # it has been swept away in between
        raise Refused(UNAVAILABLE)
    return first


def _scope_of(request: ApiRequest) -> Scope:
    """What the scope headers ask for; the routes below /v3 do not read them (contract §4)."""
    if request.scope["path"].startswith("/v3/"):
        return OWN
    scopes: list[str] = []
    orgs: list[str] = []
    for name, value in request.scope["headers"]:
        if name in SCOPE_HEADERS:
            (scopes if name == b"data-scope" else orgs).append(value.decode("latin-1"))
    if not scopes:
        return OWN
    scope = read_scope(scopes, orgs)
    if isinstance(scope, Refusal):
        raise Refused(scope.error, scope.detail)
    return scope


async def _hierarchy(request: ApiRequest) -> Hierarchy:
    """The caller's place among connected organisations, as it is now."""
    tenant = caller_of(request).tenant
    connected = await runner_of(request).operate(lambda tx: load_hierarchy(tx, tenant.root_org_id))
    children = tuple(each.org_id for each in connected if each.org_id != tenant.root_org_id)
    return Hierarchy(tenant.org_id, tenant.root_org_id, children)


def _tenants(request: ApiRequest, found: tuple[int, ...] | Refusal) -> list[Tenant]:
    if isinstance(found, Refusal):
        raise Refused(found.error, found.detail)
    root_org_id = caller_of(request).tenant.root_org_id
    return [Tenant(org_id, root_org_id) for org_id in found]
