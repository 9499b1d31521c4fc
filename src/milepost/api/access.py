"""The operator's routes for access groups and stores."""

from __future__ import annotations

from typing import Annotated

import msgspec
from litestar import Response, get, post, put

from milepost.actions import access
from milepost.api import wire
from milepost.api.credentials import AccessBody, check_access
from milepost.api.requests import ApiRequest
from milepost.api.routes import PathId, declare_operator, runner_of
from milepost.errors import INVALID_INPUT, Refusal, Refused
from milepost.rules.access import all_named
from milepost.store.access import AccessGroup, Store, StoreFields

GROUPS_PATH = "/milepost/v1/orgs/{org_id:str}/access-groups"
STORES_PATH = "/milepost/v1/orgs/{org_id:str}/stores"

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
Code = Annotated[str, msgspec.Meta(max_length=200)]
StoreId = Annotated[int, msgspec.Meta(ge=1, le=wire.INT64_MAX)]


class AccessGroupBody(msgspec.Struct):
    """An access group, whole; a resource that `access` does not name is NONE."""

    name: Name
    access: AccessBody


class AccessGroupView(msgspec.Struct):
    """An access group with all resources."""

    accessGroupId: int
    name: str
    access: dict[str, str]


class StoreBody(msgspec.Struct):
    """A store, whole. Code, name and external ids each name one store of the organisation."""

    code: Name
    name: Name
    externalId: Code | None = None
    externalId1: Code | None = None
    externalId2: Code | None = None
    accessGroupId: wire.Id | None = None
    """Of its tills that inherit; null: the organisation's default."""


class NewStoreBody(StoreBody):
    """A new store; `storeId` to keep a known id, as in the `storeId` of activities."""

    storeId: StoreId | None = None


class StoreView(msgspec.Struct):
    """A store."""

    storeId: int
    code: str
    name: str
    externalId: str | None
    externalId1: str | None
    externalId2: str | None
    accessGroupId: int | None


_group_body = msgspec.json.Decoder(AccessGroupBody)
_store_body = msgspec.json.Decoder(StoreBody)
_new_store_body = msgspec.json.Decoder(NewStoreBody)


@get(
    GROUPS_PATH,
    opt=declare_operator(answer=wire.Envelope[list[AccessGroupView]], errors=(INVALID_INPUT,)),
)
async def list_access_groups(request: ApiRequest, org_id: PathId) -> Response[bytes]:
    """List an organisation's access groups, oldest first."""
    found = await access.list_groups(runner_of(request), wire.integer(org_id, "orgId"))
    if isinstance(found, Refusal):
        return wire.refuse(found, request.scope["path"])
    return wire.answer([_group(each) for each in found])


@post(
    GROUPS_PATH,
    opt=declare_operator(
        body=AccessGroupBody,
        answer=wire.Envelope[AccessGroupView],
        status=201,
        errors=(INVALID_INPUT,),
    ),
)
async def create_access_group(request: ApiRequest, org_id: PathId) -> Response[bytes]:
    """Make an access group, for credentials, stores and the organisation's default to point to."""
    number = wire.integer(org_id, "orgId")
    body = await _read_group(request)
    made = await access.create_group(runner_of(request), number, body.name, body.access)
    if isinstance(made, Refusal):
        return wire.refuse(made, request.scope["path"])
    return wire.answer(_group(made), status=201)


@put(
    GROUPS_PATH + "/{group_id:str}",
    opt=declare_operator(
        body=AccessGroupBody, answer=wire.Envelope[AccessGroupView], errors=(INVALID_INPUT,)
    ),
)
async def change_access_group(
    request: ApiRequest, org_id: PathId, group_id: PathId
) -> Response[bytes]:
    """Replace an access group's name and permissions, for everybody who has it."""
    org, group = wire.integer(org_id, "orgId"), wire.integer(group_id, "groupId")
    body = await _read_group(request)
    found = await access.change_group(runner_of(request), org, group, body.name, body.access)
    if isinstance(found, Refusal):
        return wire.refuse(found, request.scope["path"])
    return wire.answer(_group(found))


@get(
    STORES_PATH,
    opt=declare_operator(answer=wire.Envelope[list[StoreView]], errors=(INVALID_INPUT,)),
)
async def list_stores(request: ApiRequest, org_id: PathId) -> Response[bytes]:
    """List an organisation's stores, by their ids."""
    found = await access.list_stores(runner_of(request), wire.integer(org_id, "orgId"))
    if isinstance(found, Refusal):
        return wire.refuse(found, request.scope["path"])
    return wire.answer([_store(each) for each in found])


@post(
    STORES_PATH,
    opt=declare_operator(
        body=NewStoreBody, answer=wire.Envelope[StoreView], status=201, errors=(INVALID_INPUT,)
    ),
)
async def create_store(request: ApiRequest, org_id: PathId) -> Response[bytes]:
    """Make a store of an organisation."""
    number = wire.integer(org_id, "orgId")
    body = await wire.read_body(request, _new_store_body)
    made = await access.create_store(runner_of(request), number, body.storeId, _draft(body))
    if isinstance(made, Refusal):
        return wire.refuse(made, request.scope["path"])
    return wire.answer(_store(made), status=201)


@put(
    STORES_PATH + "/{store_id:str}",
    opt=declare_operator(body=StoreBody, answer=wire.Envelope[StoreView], errors=(INVALID_INPUT,)),
)
async def change_store(request: ApiRequest, org_id: PathId, store_id: PathId) -> Response[bytes]:
    """Replace all that is said of a store; what is absent is nothing then."""
    org, store = wire.integer(org_id, "orgId"), wire.integer(store_id, "storeId")
    body = await wire.read_body(request, _store_body)
    found = await access.change_store(runner_of(request), org, store, _draft(body))
    if isinstance(found, Refusal):
        return wire.refuse(found, request.scope["path"])
    return wire.answer(_store(found))


async def _read_group(request: ApiRequest) -> AccessGroupBody:
    body = await wire.read_body(request, _group_body)
    check_access(body.access)
    _check_blank("name", body.name)
    return body


def _draft(body: StoreBody) -> StoreFields:
    """The store's fields without blanks around them; a blank external id is none. Raises 300004."""
    _check_blank("code", body.code)
    _check_blank("name", body.name)
    return StoreFields(
        body.code.strip(),
        body.name.strip(),
        _text(body.externalId),
        _text(body.externalId1),
        _text(body.externalId2),
        body.accessGroupId,
    )


def _text(text: str | None) -> str | None:
    return (text or "").strip() or None


def _check_blank(name: str, text: str) -> None:
    if not text.strip():
        raise Refused(INVALID_INPUT, f"{name} must not be blank.")


def _group(group: AccessGroup) -> AccessGroupView:
    return AccessGroupView(group.access_group_id, group.name, all_named(group.access))


def _store(store: Store) -> StoreView:
    fields = store.fields
    return StoreView(
        store.store_id,
        fields.code,
        fields.name,
        fields.external_id,
        fields.external_id_1,
        fields.external_id_2,
        fields.access_group_id,
    )


ROUTES = (
    list_access_groups,
    create_access_group,
    change_access_group,
    list_stores,
    create_store,
    change_store,
)
