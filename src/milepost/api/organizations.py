"""An organisation and its connections: `GET /v2/organization/hierarchy` (domain: platform §4.5)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
from litestar import Response, get

from milepost import clock
from milepost.api import wire
from milepost.api.requests import ApiRequest
from milepost.api.routes import caller_of, declare, runner_of
from milepost.store.orgs import Org, load_family

NO_PARENT = -1


class OrganizationView(msgspec.Struct):
    """An organisation. `orgType` is STANDARD_ORG, SUPER_ORG (a parent) or CHILD_ORG.

    `parentId` is -1 for one that has none; `timezoneOffset` is that of now, as in `+05:30`.
    """

    id: int
    name: str
    parentId: int
    orgType: str
    relationshipType: str | None
    timezoneLabel: str
    timezoneOffset: str
    customFields: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET


class HierarchyView(msgspec.Struct):
    """The caller's organisation, and those it is connected with, the parent first."""

    baseOrganization: OrganizationView
    connectedOrganizations: list[OrganizationView]
    warnings: list[Any]
    errors: list[Any]


@get(
    "/v2/organization/hierarchy",
    opt=declare(
        "Organization",
        answer=HierarchyView,
        query={
            "fetchSiblings": "true: of a child, the other children too (default false)",
            "fetchCustomFields": "true: with `customFields`, of which there are none (default false)",
        },
        scoped=False,
    ),
)
async def read_hierarchy(request: ApiRequest) -> Response[bytes]:
    """The caller's organisation and its parent or children."""
    params = request.query_params
    siblings = params.get("fetchSiblings", "").strip().lower() == "true"
    with_fields = params.get("fetchCustomFields", "").strip().lower() == "true"
    tenant = caller_of(request).tenant
    family = await runner_of(request).operate(lambda tx: load_family(tx, tenant.root_org_id))
    base = next(each for each in family if each.org_id == tenant.org_id)
    connected = [
        each
        for each in family
        if each is not base
        and (siblings or base.parent_org_id is None or each.org_id == base.parent_org_id)
    ]
    views = [_view(each, family) for each in (base, *connected)]
    if with_fields:
        for view in views:
            view.customFields = {}
    return wire.answer_v2(HierarchyView(views[0], views[1:], [], []))


def _view(org: Org, family: Sequence[Org]) -> OrganizationView:
    kind = "STANDARD_ORG"
    if org.parent_org_id is not None:
        kind = "CHILD_ORG"
    elif len(family) > 1:
        kind = "SUPER_ORG"
    offset = (org.sandbox_now or clock.now()).astimezone(ZoneInfo(org.time_zone)).strftime("%z")
    return OrganizationView(
        org.org_id,
        org.name,
        org.parent_org_id if org.parent_org_id is not None else NO_PARENT,
        kind,
        "PARENT_CHILD" if len(family) > 1 else None,
        org.time_zone,
        f"{offset[:3]}:{offset[3:5]}",
    )


ROUTES = (read_hierarchy,)
