"""Enrol, re-enrol and unenrol: `…/targetGroups/{g}/targets/{t}/enroll` and `…/unEnroll`."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from litestar import Response, post

from milepost.actions.enrolment import ENROLMENT
from milepost.api import wire
from milepost.api.origins import origin
from milepost.api.requests import ApiRequest
from milepost.api.routes import PathId, acting_tenant, declare, under_all_prefixes, write
from milepost.database import Tenant
from milepost.errors import (
    ALREADY_ENROLLED,
    CONNECTED_ORGS_NOT_SET,
    DATA_SCOPE_ALL_UNSUPPORTED,
    INVALID_INPUT,
    INVALID_USER,
    NOT_ENROLLED,
    TARGET_GROUP_NOT_FOUND,
    TARGET_NOT_FOUND,
    TARGET_PERIOD_NOT_FOUND,
    Refusal,
)
from milepost.rules.activities import AMOUNT_LIMIT
from milepost.rules.enrolment import BALANCE_MAX, Enrol, Unenrol
from milepost.rules.own_target_values import exact_number, read_target_value

_ALWAYS = (
    INVALID_INPUT,
    DATA_SCOPE_ALL_UNSUPPORTED,
    CONNECTED_ORGS_NOT_SET,
    TARGET_GROUP_NOT_FOUND,
    TARGET_NOT_FOUND,
    INVALID_USER,
)


# Not typed as Decimal, which takes the texts "1" and "NaN" too: the rule sees what was written.
TargetValue = Annotated[
    Any,
    msgspec.Meta(
        extra_json_schema={
            "type": ["number", "null"],
            "minimum": 0,
            "exclusiveMaximum": int(AMOUNT_LIMIT),
        }
    ),
]


class EnrolBody(msgspec.Struct):
    """Who enrols, from which cycle, with what balance (seed 000, contract §4)."""

    customerId: wire.Id
    periodName: wire.Text | None = None
    """The `refCode` of the cycle to start with; blank or absent: the running or next one."""
    initialBalance: Annotated[int, msgspec.Meta(ge=0, le=BALANCE_MAX)] | None = None
    """The achieved value that the cycle starts with; null keeps what was there. Milestones only."""
    resetStreakStatus: bool | None = None
    """On re-enrolment into a streak: start again from nothing."""
    targetValue: TargetValue = None
    """What this customer has to reach, in place of the target's value: in the cycle and all later ones.

    0 is met at once. Who is enrolled already gets it too, and nothing else of the call then. Not in
    period-agnostic windows.
    """


class UnenrolBody(msgspec.Struct):
    """Who leaves (seed 003)."""

    customerId: wire.Id


EnrolBodies = Annotated[list[EnrolBody], msgspec.Meta(min_length=1, max_length=1)]
UnenrolBodies = Annotated[list[UnenrolBody], msgspec.Meta(min_length=1, max_length=1)]

_enrol_bodies = msgspec.json.Decoder(EnrolBodies, float_hook=exact_number)
_unenrol_bodies = msgspec.json.Decoder(UnenrolBodies)


@post(
    under_all_prefixes("/targetGroups/{target_group_id:str}/targets/{target_id:str}/enroll"),
    status_code=200,
    opt=declare(
        "Target Loyalty",
        "WRITE",
        body=EnrolBodies,
        answer=wire.Envelope[int],
        errors=(*_ALWAYS, TARGET_PERIOD_NOT_FOUND, ALREADY_ENROLLED),
    ),
)
async def enrol(request: ApiRequest, target_group_id: PathId, target_id: PathId) -> Response[bytes]:
    """Enrol or re-enrol one customer in a milestone or streak. Answers the customer's id."""
    group, target = _ids(target_group_id, target_id)
    (body,) = await wire.read_body(request, _enrol_bodies)
    target_value = read_target_value(body.targetValue)
    if isinstance(target_value, Refusal):
        return wire.refuse(target_value, request.scope["path"])
    tenant = await acting_tenant(request)
    command = Enrol(
        group,
        target,
        body.customerId,
        body.periodName,
        body.initialBalance,
        bool(body.resetStreakStatus),
        origin(),
        target_value,
    )
    return await _answer(request, tenant, command)


@post(
    under_all_prefixes("/targetGroups/{target_group_id:str}/targets/{target_id:str}/unEnroll"),
    status_code=200,
    opt=declare(
        "Target Loyalty",
        "WRITE",
        body=UnenrolBodies,
        answer=wire.Envelope[int],
        errors=(*_ALWAYS, NOT_ENROLLED),
    ),
)
async def unenrol(
    request: ApiRequest, target_group_id: PathId, target_id: PathId
) -> Response[bytes]:
    """Take one customer out of the running cycle and all later ones. Answers the customer's id."""
    group, target = _ids(target_group_id, target_id)
    (body,) = await wire.read_body(request, _unenrol_bodies)
    tenant = await acting_tenant(request)
    command = Unenrol(group, target, body.customerId, origin())
    return await _answer(request, tenant, command)


def _ids(target_group_id: str, target_id: str) -> tuple[int, int]:
    return wire.integer(target_group_id, "targetGroupId"), wire.integer(target_id, "targetId")


async def _answer(request: ApiRequest, tenant: Tenant, command: Enrol | Unenrol) -> Response[bytes]:
    path = request.scope["path"]

    def render(outcome: int | Refusal) -> Response[bytes]:
        return wire.refuse(outcome, path) if isinstance(outcome, Refusal) else wire.answer(outcome)

    return await write(request, ENROLMENT, tenant, command, render)


ROUTES = (enrol, unenrol)
