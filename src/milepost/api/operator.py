"""The operator's routes: organisations (contract §2)."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import Response, get, post, put

from milepost.actions import orgs
from milepost.actions.orgs import CreatedOrg, OrgDraft
from milepost.api import wire
from milepost.api.requests import ApiRequest
from milepost.api.routes import PathId, declare_operator, runner_of
from milepost.errors import INVALID_INPUT, Refusal
from milepost.store.orgs import Org


class OrgBody(msgspec.Struct):
    """A new organisation. A child (`parentOrgId`) shares its parent's sandbox, clock and customers."""

    name: wire.Text
    timeZone: wire.Text
    """An IANA name."""
    parentOrgId: wire.Id | None = None
    sandbox: bool | None = None
    """With a clock of its own, which stands still until it is moved."""
    now: wire.Text | None = None
    """Where a sandbox's clock starts, with an offset or `Z`; null: the wall clock's instant."""
    returnsAdjustTargets: bool | None = None
    """Whether a return lowers what its sale had added; default true."""
    revokesRestoreLimits: bool | None = None
    """Whether what is revoked of a promotion no longer counts against its limits; default false."""


class OrgChangeBody(msgspec.Struct):
    """What to change; absent or null stays."""

    name: wire.Text | None = None
    returnsAdjustTargets: bool | None = None
    revokesRestoreLimits: bool | None = None
    defaultAccessGroupId: wire.Id | None = None
    """The access group of tills that inherit, where their store has none."""


class OrgView(msgspec.Struct, kw_only=True):
    """An organisation."""

    orgId: int
    name: str
    timeZone: str
    parentOrgId: int | None
    sandbox: bool
    returnsAdjustTargets: bool
    revokesRestoreLimits: bool
    defaultAccessGroupId: int | None


class TillSecret(msgspec.Struct):
    """A till's Basic credential, shown once."""

    username: str
    password: str


class OAuthSecret(msgspec.Struct):
    """An OAuth client's credential, shown once."""

    key: str
    secret: str


class CreatedOrgView(OrgView, kw_only=True):
    """A new organisation with its first credentials, which may do everything."""

    till: TillSecret
    oauth: OAuthSecret


_org_body = msgspec.json.Decoder(OrgBody)
_org_change_body = msgspec.json.Decoder(OrgChangeBody)


@post(
    "/milepost/v1/orgs",
    opt=declare_operator(
        body=OrgBody,
        answer=wire.Envelope[CreatedOrgView],
        status=201,
        errors=(INVALID_INPUT,),
    ),
)
async def create_org(request: ApiRequest) -> Response[bytes]:
    """Make an organisation and its first credentials."""
    body = await wire.read_body(request, _org_body)
    draft = OrgDraft(
        body.name,
        body.timeZone,
        body.parentOrgId,
        body.sandbox,
        body.now,
        body.returnsAdjustTargets,
        body.revokesRestoreLimits,
    )
    made = await orgs.create_org(runner_of(request), draft)
    if isinstance(made, Refusal):
        return wire.refuse(made, request.scope["path"])
    return wire.answer(created_view(made), status=201)


@get("/milepost/v1/orgs", opt=declare_operator(answer=wire.Envelope[list[OrgView]]))
async def list_orgs(request: ApiRequest) -> Response[bytes]:
    """List the organisations, oldest first."""
    found = await orgs.list_orgs(runner_of(request))
    return wire.answer([OrgView(**_fields(org)) for org in found])


@put(
    "/milepost/v1/orgs/{org_id:str}",
    opt=declare_operator(
        body=OrgChangeBody, answer=wire.Envelope[OrgView], errors=(INVALID_INPUT,)
    ),
)
async def change_org(request: ApiRequest, org_id: PathId) -> Response[bytes]:
    """Change an organisation's name and settings."""
    number = wire.integer(org_id, "orgId")
    body = await wire.read_body(request, _org_change_body)
    changed = await orgs.change_org(
        runner_of(request),
        number,
        name=body.name,
        returns_adjust_targets=body.returnsAdjustTargets,
        revokes_restore_limits=body.revokesRestoreLimits,
        default_access_group_id=body.defaultAccessGroupId,
    )
    if isinstance(changed, Refusal):
        return wire.refuse(changed, request.scope["path"])
    return wire.answer(OrgView(**_fields(changed)))


def created_view(made: CreatedOrg) -> CreatedOrgView:
    """A new organisation as its operator is shown it, once, for the secrets are in it."""
    return CreatedOrgView(
        till=TillSecret(made.till.name, made.till.secret),
        oauth=OAuthSecret(made.oauth.name, made.oauth.secret),
        **_fields(made.org),
    )


def _fields(org: Org) -> dict[str, Any]:
    return {
        "orgId": org.org_id,
        "name": org.name,
        "timeZone": org.time_zone,
        "parentOrgId": org.parent_org_id,
        "sandbox": org.sandbox,
        "returnsAdjustTargets": org.returns_adjust_targets,
        "revokesRestoreLimits": org.revokes_restore_limits,
        "defaultAccessGroupId": org.default_access_group_id,
    }


ROUTES = (create_org, list_orgs, change_org)
