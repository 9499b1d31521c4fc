"""The operator's routes: organisations and credentials (contract §2)."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from litestar import Response, get, post, put

from milepost.actions import credentials, orgs
from milepost.actions.credentials import CredentialDraft, NewCredential
from milepost.actions.orgs import CreatedOrg, OrgDraft
from milepost.api import wire
from milepost.api.authentication import RESOURCES
from milepost.api.routes import (
    ApiRequest,
    PathId,
    declare_operator,
    runner_of,
)
from milepost.errors import INVALID_INPUT, Refusal, Refused
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


class OrgView(msgspec.Struct, kw_only=True):
    """An organisation."""

    orgId: int
    name: str
    timeZone: str
    parentOrgId: int | None
    sandbox: bool
    returnsAdjustTargets: bool
    revokesRestoreLimits: bool


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


class CredentialBody(msgspec.Struct):
    """A new credential; a resource that `access` does not name is NONE."""

    orgId: wire.Id
    type: Literal["TILL", "OAUTH"]
    access: dict[wire.Text, Literal["NONE", "READ", "WRITE"]] | None = None


class CredentialView(msgspec.Struct, omit_defaults=True, kw_only=True):
    """A new credential: `till` or `oauth`, by its type."""

    orgId: int
    type: str
    access: dict[str, str]
    till: TillSecret | None = None
    oauth: OAuthSecret | None = None


_org_body = msgspec.json.Decoder(OrgBody)
_org_change_body = msgspec.json.Decoder(OrgChangeBody)
_credential_body = msgspec.json.Decoder(CredentialBody)


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
    )
    if isinstance(changed, Refusal):
        return wire.refuse(changed, request.scope["path"])
    return wire.answer(OrgView(**_fields(changed)))


@post(
    "/milepost/v1/credentials",
    opt=declare_operator(
        body=CredentialBody,
        answer=wire.Envelope[CredentialView],
        status=201,
        errors=(INVALID_INPUT,),
    ),
)
async def create_credential(request: ApiRequest) -> Response[bytes]:
    """Make one more credential of an organisation, with just the permissions named."""
    body = await wire.read_body(request, _credential_body)
    access = body.access or {}
    for resource in access:
        if resource not in RESOURCES:
            raise Refused(INVALID_INPUT, f"access knows only {', '.join(RESOURCES)}.")
    draft = CredentialDraft(body.orgId, body.type, access)
    made = await credentials.create_credential(runner_of(request), draft)
    if isinstance(made, Refusal):
        return wire.refuse(made, request.scope["path"])
    view = CredentialView(
        orgId=body.orgId,
        type=body.type,
        access={resource: access.get(resource, "NONE") for resource in RESOURCES},
    )
    if made.kind == "TILL":
        view.till = _till(made)
    else:
        view.oauth = _oauth(made)
    return wire.answer(view, status=201)


def created_view(made: CreatedOrg) -> CreatedOrgView:
    """A new organisation as its operator is shown it, once, for the secrets are in it."""
    return CreatedOrgView(till=_till(made.till), oauth=_oauth(made.oauth), **_fields(made.org))


def _fields(org: Org) -> dict[str, Any]:
    return {
        "orgId": org.org_id,
        "name": org.name,
        "timeZone": org.time_zone,
        "parentOrgId": org.parent_org_id,
        "sandbox": org.sandbox,
        "returnsAdjustTargets": org.returns_adjust_targets,
        "revokesRestoreLimits": org.revokes_restore_limits,
    }


def _till(made: NewCredential) -> TillSecret:
    return TillSecret(made.name, made.secret)


def _oauth(made: NewCredential) -> OAuthSecret:
    return OAuthSecret(made.name, made.secret)


ROUTES = (create_org, list_orgs, change_org, create_credential)
