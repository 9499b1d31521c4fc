"""Who changed what: the audit trail of an organisation, for itself and for the operator."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from litestar import Response, get

from milepost.api import queries, wire
from milepost.api.requests import ApiRequest
from milepost.api.routes import PathId, declare, declare_operator, reading_tenant, runner_of
from milepost.api.target_group_views import View
from milepost.database import Tenant, Tx
from milepost.errors import INVALID_INPUT, Refusal, Refused
from milepost.rules.calendar import EARLIEST_AT, LATEST_AT, parse_instant, written_instant
from milepost.runner import Moment
from milepost.store.audit import (
    AuditId,
    AuditLine,
    AuditQuery,
    load_audit,
    load_credential_names,
)
from milepost.store.orgs import load_org

LIMIT_MAX = 1_000
LIMIT_DEFAULT = 100
TEXT_CHARACTERS_MAX = 200

_ID = re.compile(r"(?P<source>[aj])(?P<number>[0-9]{1,19})", re.ASCII)
_QUERY = {
    "subjectType": "only what was done to such a thing, as `TARGET_GROUP` (default: everything)",
    "subjectId": "only what was done to this one; with `subjectType`",
    "credentialId": "only what this credential did",
    "customerId": "only what was done to this customer, their enrolments and promotions included; "
    "not with `subjectType`",
    "from": "an instant by the organisation's clock: from then on",
    "to": "an instant: before then",
    "before": "an `auditId`: the entries before it",
    "limit": f"entries at most, 1 to {LIMIT_MAX:,} (default {LIMIT_DEFAULT})",
}


class WhoView(View):
    """Who did it. Of the operator, and of a credential of another organisation, only `type` is known;
    of what was imported, or done by a release that kept no names, nothing is.
    """

    credential_id: int | None
    type: str | None
    name: str | None


class SubjectView(View):
    """What it was done to."""

    type: str
    id: str


class ChangeView(View, rename={"came_from": "from"}):
    """One field: what it was and what it is; null: nothing."""

    field: str
    came_from: Any
    to: Any


class AuditView(View):
    """One act. `auditId` is the cursor of `before`. `at` is by the organisation's clock, `recordedAt` by the
    wall clock (null: the act is told by the customer's journal, which has the former alone).
    """

    audit_id: str
    at: str
    recorded_at: str | None
    who: WhoView
    request_id: str | None
    action: str
    subject: SubjectView
    changes: list[ChangeView]


@get(
    "/milepost/v1/audit",
    opt=declare(
        "Organization",
        answer=wire.Envelope[list[AuditView]],
        errors=(INVALID_INPUT,),
        query=_QUERY,
    ),
)
async def read_audit(request: ApiRequest) -> Response[bytes]:
    """Who changed what in the organisation, newest first."""
    return await _answer(request, await reading_tenant(request))


@get(
    "/milepost/v1/orgs/{org_id:str}/audit",
    opt=declare_operator(
        answer=wire.Envelope[list[AuditView]], errors=(INVALID_INPUT,), query=_QUERY
    ),
)
async def read_audit_of_org(request: ApiRequest, org_id: PathId) -> Response[bytes]:
    """Who changed what in an organisation, newest first."""
    number = wire.integer(org_id, "orgId")
    org = await runner_of(request).operate(lambda tx: load_org(tx, number))
    if org is None:
        raise Refused(INVALID_INPUT, "No organisation has this id.")
    return await _answer(request, Tenant(org.org_id, org.root_org_id))


async def _answer(request: ApiRequest, tenant: Tenant) -> Response[bytes]:
    asked = _asked(request)

    async def read(tx: Tx, tenant: Tenant, _: Moment) -> list[AuditLine]:
        return await load_audit(tx, tenant, asked)

    lines = await runner_of(request).read(tenant, read)
    ids = {line.credential_id for line in lines if line.credential_id is not None}
    names = {}
    if ids:
        names = await runner_of(request).operate(lambda tx: load_credential_names(tx, tenant, ids))
    return wire.answer([_view(line, names) for line in lines])


def _asked(request: ApiRequest) -> AuditQuery:
    """What the query asks for; raises 300004 for what it cannot be."""
    subject_type, subject_id = _text(request, "subjectType"), _text(request, "subjectId")
    customer_id = queries.optional_integer(request, "customerId")
    if subject_id is not None and subject_type is None:
        raise Refused(INVALID_INPUT, "subjectId needs a subjectType.")
    if subject_type is not None and customer_id is not None:
        raise Refused(INVALID_INPUT, "subjectType and customerId exclude each other.")
    before = _text(request, "before")
    return AuditQuery(
        queries.integer(request, "limit", LIMIT_DEFAULT, 1, LIMIT_MAX),
        subject_type.upper() if subject_type is not None else None,
        subject_id,
        queries.optional_integer(request, "credentialId"),
        customer_id,
        _instant(request, "from") or EARLIEST_AT,
        _instant(request, "to") or LATEST_AT,
        _audit_id(before, customer_id) if before is not None else None,
    )


def _text(request: ApiRequest, name: str) -> str | None:
    text: str = request.query_params.get(name, "").strip()
    if len(text) > TEXT_CHARACTERS_MAX or "\x00" in text:
        raise Refused(INVALID_INPUT, f"{name} must have at most {TEXT_CHARACTERS_MAX} characters.")
    return text or None


def _instant(request: ApiRequest, name: str) -> Any:
    text = _text(request, name)
    found = parse_instant(text) if text is not None else None
    if isinstance(found, Refusal):
        raise Refused(found.error, found.detail)
    return found


def _audit_id(text: str, customer_id: int | None) -> AuditId:
    found = _ID.fullmatch(text)
    number = int(found["number"]) if found is not None else -1
    if found is None or number > wire.INT64_MAX:
        raise Refused(INVALID_INPUT, "before must be an auditId.")
    of_journal = found["source"] == "j"
    if of_journal and customer_id is None:
        raise Refused(INVALID_INPUT, "before is an auditId that only customerId shows.")
    return AuditId(of_journal, number)


def _view(line: AuditLine, names: Mapping[int, tuple[str, str]]) -> AuditView:
    kind, name = None, None
    if line.credential_id is not None:
        kind, name = names.get(line.credential_id, (None, None))
    elif not line.id.of_journal:
        kind = "OPERATOR"
    return AuditView(
        audit_id=str(line.id),
        at=written_instant(line.at),
        recorded_at=written_instant(line.recorded_at) if line.recorded_at is not None else None,
        who=WhoView(credential_id=line.credential_id, type=kind, name=name),
        request_id=line.request_id or None,
        action=line.action,
        subject=SubjectView(type=line.subject_type, id=line.subject_id),
        changes=[
            ChangeView(field=field, came_from=was, to=now)
            for field, (was, now) in line.changes.items()
        ],
    )


ROUTES = (read_audit, read_audit_of_org)
