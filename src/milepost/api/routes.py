"""How a route declares itself: who may call it, what its body is, which errors it may answer.

`authentication.authorize` reads the access; `openapi.py` reads the rest. The four prefixes of the
target APIs are here too, and the scope headers that three of them read.
"""

from __future__ import annotations

from typing import Any

from litestar import Request
from litestar.params import FromPath

from milepost.api.authentication import OPERATOR, Caller, Permission
from milepost.coalescer import Coalescer
from milepost.errors import Error, Refused
from milepost.rules.scope import refuse_scope
from milepost.runner import Runner

PREFIXES = ("", "/v3", "/v3.1", "/api_gateway/intouch-api-v3/v3.1")
"""All serve the same; all but /v3 read the connected-org headers (contract §4)."""

PathId = FromPath[str]
"""An id in a path: text here, so that a bad one is 300004 and not an unknown path."""

ApiRequest = Request[Any, Any, Any]


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
) -> dict[str, Any]:
    """The `opt` of a route for callers of an organisation with `permission` on `resource`.

    `body` and `answer` are msgspec types (or unions of lists of them), `query` maps each query
    parameter to its description, and `texts` each part of the path that is no integer. `failure` is the
    msgspec type of a business refusal where it is not that of the path's family.
    """
    return {
        "access": (resource, permission),
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


def check_scope(request: ApiRequest) -> None:
    """Raise 310141 or 310144 for scope headers that ask for more than the caller itself."""
    if request.scope["path"].startswith("/v3/"):
        return
    scopes, orgs = [], []
    for name, value in request.scope["headers"]:
        if name == b"data-scope":
            scopes.append(value.decode("latin-1"))
        elif name in (b"data-scope-org", b"data-scope-orgs", b"connected-orgs"):
            orgs.append(value.decode("latin-1"))
    refusal = refuse_scope(", ".join(scopes), orgs)
    if refusal is not None:
        raise Refused(refusal.error, refusal.detail)
