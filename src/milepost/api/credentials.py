"""The operator's routes for credentials: make, list, revoke (contract §2)."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from litestar import Response, delete, get, post

from milepost.actions import credentials
from milepost.actions.credentials import CredentialDraft
from milepost.actions.tokens import TTL_SECONDS_MAX, TTL_SECONDS_MIN
from milepost.api import queries, wire
from milepost.api.operator import OAuthSecret, TillSecret
from milepost.api.requests import ApiRequest
from milepost.api.routes import PathId, declare_operator, runner_of
from milepost.errors import INVALID_INPUT, Refusal, Refused
from milepost.rules.access import (
    RESOURCES,
    Access,
    all_named,
    effective_access,
    unknown_resource,
)
from milepost.store.credentials import ListedCredential

AccessBody = dict[wire.Text, Literal["NONE", "READ", "WRITE"]]
TtlSeconds = Annotated[int, msgspec.Meta(ge=TTL_SECONDS_MIN, le=TTL_SECONDS_MAX)]


class CredentialBody(msgspec.Struct):
    """A new credential. What it may do is said by `access`, `accessGroupId` or `inheritAccess`; else nothing.

    A resource that `access` does not name is NONE.
    """

    orgId: wire.Id
    type: Literal["TILL", "OAUTH"]
    access: AccessBody | None = None
    accessGroupId: wire.Id | None = None
    inheritAccess: bool | None = None
    """TILL: what its store's access group allows, else the organisation's default, else everything.
    Default: true for a till with a store of which nothing else is said."""
    storeId: wire.Id | None = None
    """TILL: the store that it stands in."""
    tokenTtlSeconds: TtlSeconds | None = None
    """OAUTH: how long its tokens are valid; default 300."""
    defaultTillId: wire.Id | None = None
    """OAUTH: the `credentialId` of the till that its calls are made for, unless a header names another."""
    fallBackToDefaultTill: bool | None = None
    """OAUTH: take the default till where a header names an unknown one, rather than refuse; default false."""


class CredentialFields(msgspec.Struct, kw_only=True):
    """A credential without its secret. `access` is what it may do now; null: everything."""

    credentialId: int
    orgId: int
    type: str
    access: dict[str, str] | None
    accessGroupId: int | None
    inheritAccess: bool
    storeId: int | None


class CreatedCredentialView(CredentialFields, omit_defaults=True, kw_only=True):
    """A new credential: `till` or `oauth`, by its type, with the secret, which is shown once."""

    tokenTtlSeconds: int | None = None
    till: TillSecret | None = None
    oauth: OAuthSecret | None = None


class CredentialView(CredentialFields, kw_only=True):
    """A credential as it is listed. `name` is a till's user name or an OAuth client's key."""

    name: str
    tokenTtlSeconds: int | None
    defaultTillId: int | None
    fallBackToDefaultTill: bool
    description: str
    billable: bool
    createdAt: datetime
    revokedAt: datetime | None


_credential_body = msgspec.json.Decoder(CredentialBody)


@post(
    "/milepost/v1/credentials",
    opt=declare_operator(
        body=CredentialBody,
        answer=wire.Envelope[CreatedCredentialView],
        status=201,
        errors=(INVALID_INPUT,),
    ),
)
async def create_credential(request: ApiRequest) -> Response[bytes]:
    """Make one more credential of an organisation, with just the permissions named."""
    body = await wire.read_body(request, _credential_body)
    draft = CredentialDraft(
        body.orgId,
        body.type,
        check_access(body.access) if body.access is not None else None,
        body.accessGroupId,
        body.inheritAccess,
        body.storeId,
        body.tokenTtlSeconds,
        body.defaultTillId,
        body.fallBackToDefaultTill,
    )
    made = await credentials.create_credential(runner_of(request), draft)
    if isinstance(made, Refusal):
        return wire.refuse(made, request.scope["path"])
    secret, listed = made
    view = CreatedCredentialView(**_fields(listed))
    if secret.kind == "TILL":
        view.till = TillSecret(secret.name, secret.secret)
    else:
        view.oauth = OAuthSecret(secret.name, secret.secret)
        view.tokenTtlSeconds = listed.token_ttl_seconds
    return wire.answer(view, status=201)


@get(
    "/milepost/v1/credentials",
    opt=declare_operator(
        answer=wire.Envelope[list[CredentialView]],
        errors=(INVALID_INPUT,),
        query={"orgId": "the organisation; required"},
    ),
)
async def list_credentials(request: ApiRequest) -> Response[bytes]:
    """List an organisation's credentials without their secrets, oldest first; revoked ones too."""
    org_id = queries.optional_integer(request, "orgId")
    if org_id is None:
        raise Refused(INVALID_INPUT, "orgId is required.")
    found = await credentials.list_credentials(runner_of(request), org_id)
    if isinstance(found, Refusal):
        return wire.refuse(found, request.scope["path"])
    return wire.answer([_view(each) for each in found])


@delete(
    "/milepost/v1/credentials/{credential_id:str}",
    status_code=200,
    opt=declare_operator(answer=wire.Envelope[CredentialView], errors=(INVALID_INPUT,)),
)
async def revoke_credential(request: ApiRequest, credential_id: PathId) -> Response[bytes]:
    """Revoke a credential, and with it the tokens of an OAuth client. Again: no effect."""
    number = wire.integer(credential_id, "credentialId")
    found = await credentials.revoke_credential(runner_of(request), number)
    if isinstance(found, Refusal):
        return wire.refuse(found, request.scope["path"])
    return wire.answer(_view(found))


def check_access(access: Access) -> Access:
    """The access as it was sent; raises 300004 for a resource that there is not."""
    if unknown_resource(access) is not None:
        raise Refused(INVALID_INPUT, f"access knows only {', '.join(RESOURCES)}.")
    return access


def _view(listed: ListedCredential) -> CredentialView:
    return CredentialView(
        **_fields(listed),
        name=listed.name,
        tokenTtlSeconds=listed.token_ttl_seconds if listed.kind == "OAUTH" else None,
        defaultTillId=listed.default_till_id,
        fallBackToDefaultTill=listed.falls_back_to_default,
        description=listed.description,
        billable=listed.billable,
        createdAt=listed.created_at,
        revokedAt=listed.revoked_at,
    )


def _fields(listed: ListedCredential) -> dict[str, Any]:
    access = effective_access(listed.grants)
    return {
        "credentialId": listed.credential_id,
        "orgId": listed.org_id,
        "type": listed.kind,
        "access": all_named(access) if access is not None else None,
        "accessGroupId": listed.access_group_id,
        "inheritAccess": listed.grants.inherits,
        "storeId": listed.store_id,
    }


ROUTES = (create_credential, list_credentials, revoke_credential)
