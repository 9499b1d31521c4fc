"""Enrol in promotions, issue them, and revoke either: the `/v2/promotion/…` calls.

Seed 004; domain: promotions §3.1–3.4.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import msgspec
from litestar import Response, post
from msgspec import UNSET, UnsetType

from milepost.actions.issuing import ISSUING
from milepost.api import wire
from milepost.api.customers import V2Warning
from milepost.api.origins import origin
from milepost.api.requests import ApiRequest
from milepost.api.routes import acting_tenant, declare, write, write_all
from milepost.errors import (
    ACTION_UNSUPPORTED,
    BATCH_TOO_LARGE,
    CUSTOMER_NOT_FOUND,
    EARN_IDS_INVALID,
    ENTITY_TYPE_INVALID,
    ENTITY_TYPE_UNKNOWN,
    IDENTIFIERS_EMPTY,
    INTERNAL,
    INVALID_PROGRAM_ID,
    ISSUE_FAILED,
    LIMITS_EXHAUSTED,
    NO_LIVE_ISSUAL,
    PARAMETERS_MISSING,
    PROMOTION_INACTIVE,
    PROMOTION_UNKNOWN,
    UNAVAILABLE,
    USER_GROUP_REFUSED,
    Refusal,
    Refused,
)
from milepost.rules.issuing import (
    CUSTOMERS_MAX,
    EARN,
    ENROL,
    ISSUE,
    REVOKE_EARN,
    REVOKE_ENROL,
    Act,
    Acted,
    Call,
    CallRefused,
    Outcome,
)
from milepost.rules.issuing_calls import (
    BULK_SOURCES,
    IDENTIFIER_KINDS,
    CallDraft,
    Named,
    read_call,
    read_single_call,
)

_CALL_ERRORS = (
    ENTITY_TYPE_UNKNOWN,
    USER_GROUP_REFUSED,
    PARAMETERS_MISSING,
    IDENTIFIERS_EMPTY,
    BATCH_TOO_LARGE,
    INVALID_PROGRAM_ID,
    PROMOTION_UNKNOWN,
    PROMOTION_INACTIVE,
    ACTION_UNSUPPORTED,
)


# Decoded whatever they are, for a wrong one has a code of its own; documented as they should be.
_ID = {"type": ["integer", "string", "null"]}
Kind = Annotated[Any, msgspec.Meta(extra_json_schema={"type": "string", "enum": ["CUSTOMER"]})]
ActionName = Annotated[
    Any,
    msgspec.Meta(
        extra_json_schema={
            "type": ["string", "null"],
            "description": "ENROL or EARN; REVOKE_ENROL or REVOKE_EARN where it is revoked",
        }
    ),
]
ProgramId = Annotated[Any, msgspec.Meta(extra_json_schema={"type": "integer"})]
PromotionId = Annotated[Any, msgspec.Meta(extra_json_schema=_ID)]
Details = Annotated[
    Any,
    msgspec.Meta(
        extra_json_schema={
            "type": "object",
            "properties": {
                "programId": {"type": "integer"},
                "promotionId": _ID,
                "promoIdentifier": {"type": ["string", "null"]},
            },
            "required": ["programId"],
            "description": "which promotion: by its id or, without one, by the caller's own identifier",
        }
    ),
]
IdentifierName = Annotated[
    Any, msgspec.Meta(extra_json_schema={"type": "string", "enum": list(IDENTIFIER_KINDS)})
]
Customers = Annotated[
    Any,
    msgspec.Meta(
        extra_json_schema={
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "properties": {
                    "identifierValue": {"type": ["string", "integer"]},
                    "source": {"type": "string", "enum": list(BULK_SOURCES)},
                    "earnIds": {
                        "type": ["array", "null"],
                        "items": {"type": ["integer", "string"]},
                        "description": "when revoking: only these earned records",
                    },
                },
                "required": ["identifierValue", "source"],
            },
            "description": f"up to {CUSTOMERS_MAX}",
        }
    ),
]


class BulkBody(msgspec.Struct):
    """What shall be done with a promotion for each of some customers."""

    type: Kind = None
    bulkAction: ActionName = None
    promotionDetails: Details = None
    identifierName: IdentifierName = None
    customers: Customers = None


class IssueBody(msgspec.Struct):
    """Which promotion is issued to the customer of the query."""

    programId: ProgramId = None
    promotionId: PromotionId = None


class BulkResult(msgspec.Struct, kw_only=True):
    """What was done for a customer; no id of a record where a limit is used up (warning 8890)."""

    entityType: str
    entityId: int
    promotionId: int
    promoIdentifier: str | UnsetType = UNSET
    programId: int
    issualId: str | UnsetType = UNSET
    earnedId: str | UnsetType = UNSET
    revokedIssualId: int | UnsetType = UNSET
    revokedEarnIds: list[int] | UnsetType = UNSET


class BulkItem(msgspec.Struct, kw_only=True):
    """One customer, in the place that they have in the call. A failed one has no `result`."""

    result: BulkResult | UnsetType = UNSET
    errors: list[wire.V2ErrorItem]
    warnings: list[V2Warning]


class BulkAnswer(msgspec.Struct):
    """An item for each customer; a single one if the call itself is refused."""

    response: list[BulkItem]
    totalCount: int
    failureCount: int


class IssueSideEffect(msgspec.Struct):
    """What was issued: of an enrol & issue promotion the enrolment, of a direct one the earned record too."""

    programId: int
    issualId: int
    promotionId: int
    type: str
    earnedId: int | UnsetType = UNSET


class Issued(msgspec.Struct):
    """`sideEffects` are empty where a limit is used up (warning 8890)."""

    warnings: list[V2Warning]
    errors: list[wire.V2ErrorItem]
    sideEffects: list[IssueSideEffect]


_bulk_body = msgspec.json.Decoder(BulkBody)
_issue_body = msgspec.json.Decoder(IssueBody)


@post(
    "/v2/promotion/bulk/enrolAndEarn",
    status_code=200,
    opt=declare(
        "Customer",
        "WRITE",
        body=BulkBody,
        answer=BulkAnswer,
        errors=(*_CALL_ERRORS, CUSTOMER_NOT_FOUND, NO_LIVE_ISSUAL),
    ),
)
async def enrol_and_earn(request: ApiRequest) -> Response[bytes]:
    """Enrol up to 100 customers in a promotion (ENROL), or issue it to them (EARN).

    HTTP 200 also when everything is refused: the items say what became of each customer.
    """
    return await _bulk(request, (ENROL, EARN))


@post(
    "/v2/promotion/bulk/revokeEnrolAndEarn",
    status_code=200,
    opt=declare(
        "Customer",
        "WRITE",
        body=BulkBody,
        answer=BulkAnswer,
        errors=(*_CALL_ERRORS, CUSTOMER_NOT_FOUND, NO_LIVE_ISSUAL, ISSUE_FAILED, EARN_IDS_INVALID),
    ),
)
async def revoke_enrol_and_earn(request: ApiRequest) -> Response[bytes]:
    """Take enrolments of up to 100 customers back (REVOKE_ENROL), or what they were issued (REVOKE_EARN).

    REVOKE_EARN takes the live earned records of a customer, or those in `earnIds`: all of them or none.
    """
    return await _bulk(request, (REVOKE_ENROL, REVOKE_EARN))


@post(
    "/v2/promotion/bulk/directEarn",
    status_code=200,
    opt=declare(
        "Customer",
        "WRITE",
        body=BulkBody,
        answer=BulkAnswer,
        errors=(*_CALL_ERRORS, CUSTOMER_NOT_FOUND, NO_LIVE_ISSUAL),
    ),
)
async def direct_earn(request: ApiRequest) -> Response[bytes]:
    """Issue a promotion to customers: the older form of EARN. `bulkAction` is not needed."""
    settings = request.app.state.services.settings
    return await _bulk(request, (EARN,), EARN, settings.direct_earn_customers_max)


@post(
    "/v2/promotion/bulk/revokeDirectEarn",
    status_code=200,
    opt=declare(
        "Customer",
        "WRITE",
        body=BulkBody,
        answer=BulkAnswer,
        errors=(*_CALL_ERRORS, CUSTOMER_NOT_FOUND, NO_LIVE_ISSUAL, EARN_IDS_INVALID),
    ),
)
async def revoke_direct_earn(request: ApiRequest) -> Response[bytes]:
    """Take back what customers were issued: the older form of REVOKE_EARN. `bulkAction` is not needed."""
    return await _bulk(request, (REVOKE_EARN,), REVOKE_EARN)


@post(
    "/v2/promotion/issue",
    status_code=200,
    opt=declare(
        "Customer",
        "WRITE",
        body=IssueBody,
        answer=Issued,
        errors=(
            ENTITY_TYPE_INVALID,
            USER_GROUP_REFUSED,
            IDENTIFIERS_EMPTY,
            PARAMETERS_MISSING,
            INVALID_PROGRAM_ID,
            PROMOTION_UNKNOWN,
            PROMOTION_INACTIVE,
            ACTION_UNSUPPORTED,
            CUSTOMER_NOT_FOUND,
        ),
        query={
            "identifierName": "id, mobile, email or externalId",
            "identifierValue": "who the customer is",
            "source": "where the identifier is known",
            "accountId": "the account of the source; absent: any",
            "type": "CUSTOMER (default)",
        },
    ),
)
async def issue(request: ApiRequest) -> Response[bytes]:
    """Issue a direct promotion to one customer, or enrol them in an enrol & issue one."""
    body = await wire.read_body(request, _issue_body)
    query = request.query_params
    draft = CallDraft(query.get("type"), ISSUE, body.programId, body.promotionId, None, None, None)
    named = Named(
        query.get("source"),
        query.get("identifierName"),
        query.get("identifierValue"),
        query.get("accountId"),
    )
    act = read_single_call(draft, named, ISSUE, origin())
    if isinstance(act, Refusal):
        return wire.refuse(act, request.scope["path"])
    path = request.scope["path"]
    tenant = await acting_tenant(request)
    return await write(request, ISSUING, tenant, act, lambda outcome: _issued(outcome, path))


def _issued(outcome: Outcome, path: str) -> Response[bytes]:
    if isinstance(outcome, CallRefused):
        outcome = outcome.refusal
    if isinstance(outcome, Refusal):
        return wire.refuse(_unexpected(outcome), path)
    if outcome.is_exhausted:
        return wire.answer_v2(Issued([_exhausted()], [], []))
    assert outcome.issual_id is not None
    effect = IssueSideEffect(
        outcome.promotion.program_id, outcome.issual_id, outcome.promotion.id, "Points promotion"
    )
    if outcome.earn_id is not None:
        effect.earnedId = outcome.earn_id
    return wire.answer_v2(Issued([], [], [effect]))


async def _bulk(
    request: ApiRequest,
    actions: tuple[str, ...],
    action: str | None = None,
    customers_max: int = CUSTOMERS_MAX,
) -> Response[bytes]:
    """Do a bulk call; `action` is the one that is meant where none is sent."""
    body = await wire.read_body(request, _bulk_body)
    details = body.promotionDetails if isinstance(body.promotionDetails, Mapping) else {}
    draft = CallDraft(
        body.type,
        action if body.bulkAction is None else body.bulkAction,
        details.get("programId"),
        details.get("promotionId"),
        details.get("promoIdentifier"),
        body.identifierName,
        body.customers,
    )
    acts = read_call(draft, actions, origin(), customers_max)
    if isinstance(acts, Refusal):
        return _answer([_failed(acts)])
    tenant = await acting_tenant(request)
    return await write_all(request, ISSUING, tenant, acts, lambda outcomes: _acted(acts, outcomes))


def _acted(acts: Sequence[Act], outcomes: Sequence[Outcome]) -> Response[bytes]:
    if all(isinstance(each, Refusal) and each.error is UNAVAILABLE for each in outcomes):
        raise Refused(UNAVAILABLE)
    first = outcomes[0]
    if isinstance(first, CallRefused) and all(isinstance(each, CallRefused) for each in outcomes):
        return _answer([_failed(first.refusal)])
    return _answer([_item(act, each) for act, each in zip(acts, outcomes, strict=True)])


def _answer(items: list[BulkItem]) -> Response[bytes]:
    failures = sum(1 for item in items if item.errors)
    return wire.answer_v2(BulkAnswer(items, len(items), failures))


def _item(act: Act, outcome: Outcome) -> BulkItem:
    if isinstance(outcome, CallRefused):
        outcome = outcome.refusal
    if isinstance(outcome, Refusal):
        return _failed(_unexpected(outcome))
    result = _result(act.call, outcome)
    warnings = [_exhausted()] if outcome.is_exhausted else []
    return BulkItem(result=result, errors=[], warnings=warnings)


def _result(call: Call, acted: Acted) -> BulkResult:
    promotion = acted.promotion
    by_identifier = call.promotion_id is None and call.identifier is not None
    result = BulkResult(
        entityType="CUSTOMER",
        entityId=acted.customer_id,
        promotionId=promotion.id,
        programId=promotion.program_id,
    )
    if by_identifier and call.identifier is not None:
        result.promoIdentifier = call.identifier
    if acted.revoked_earn_ids:
        result.revokedEarnIds = list(acted.revoked_earn_ids)
    elif call.action == REVOKE_ENROL and acted.issual_id is not None:
        result.revokedIssualId = acted.issual_id
    elif acted.issual_id is not None:
        result.issualId = str(acted.issual_id)
    if acted.earn_id is not None:
        result.earnedId = str(acted.earn_id)
    return result


def _failed(refusal: Refusal) -> BulkItem:
    error = wire.V2ErrorItem(status=False, code=refusal.error.code, message=refusal.message)
    return BulkItem(errors=[error], warnings=[])


def _exhausted() -> V2Warning:
    return V2Warning(status=False, code=LIMITS_EXHAUSTED.code, message=LIMITS_EXHAUSTED.message)


def _unexpected(refusal: Refusal) -> Refusal:
    """What failed by a defect of ours has a code in these calls (domain: promotions §8, Q3)."""
    return Refusal(ISSUE_FAILED) if refusal.error is INTERNAL else refusal


ROUTES = (enrol_and_earn, revoke_enrol_and_earn, direct_earn, revoke_direct_earn, issue)
