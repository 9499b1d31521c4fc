"""Bills and returns in the vendor's form: `/v2/transactions` (domain: promotions §6.1–6.3)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any

import msgspec
from litestar import Response, post
from msgspec import UNSET, UnsetType

from milepost.actions.bills import SentBill, plan_bills
from milepost.api import wire
from milepost.api.activity_bodies import ELEMENTS_MAX, read_elements
from milepost.api.activity_results import Outcome, record
from milepost.api.customers import V2Warning
from milepost.api.requests import ApiRequest
from milepost.api.routes import acting_tenant, declare, runner_of
from milepost.api.target_group_views import written_value
from milepost.api.transaction_bodies import (
    BulkTransactionBody,
    Named,
    TransactionBody,
    decode_bulk,
    sent_bill,
    transaction_body,
)
from milepost.errors import (
    AMOUNT_RETURN_AFTER_LINES,
    BAD_REQUEST,
    BILL_NUMBER_TAKEN,
    BILL_RETURNED,
    CUSTOMER_NOT_FOUND,
    FULL_RETURN_AFTER_PARTIAL,
    IDENTIFIERS_MISSING,
    INVALID_IDENTIFIER,
    INVALID_INPUT,
    INVALID_SOURCE,
    LINE_INVALID,
    LINE_NOT_ON_BILL,
    LINE_RETURN_AFTER_AMOUNT,
    PARENT_BILL_MISSING,
    QUANTITY_TOO_HIGH,
    RETURN_AMOUNT_TOO_HIGH,
    RETURN_BEFORE_SALE,
    RETURN_TYPE_INVALID,
    SOURCE_MISSING,
    Refusal,
)
from milepost.rules.activities import Activity
from milepost.rules.bills import created_id
from milepost.rules.book import CountedEffect, Paid
from milepost.rules.calendar import written_date, written_end_date
from milepost.rules.scene import plain

_ERRORS = (
    SOURCE_MISSING,
    INVALID_SOURCE,
    IDENTIFIERS_MISSING,
    INVALID_IDENTIFIER,
    CUSTOMER_NOT_FOUND,
    BILL_NUMBER_TAKEN,
    RETURN_BEFORE_SALE,
    PARENT_BILL_MISSING,
    QUANTITY_TOO_HIGH,
    RETURN_TYPE_INVALID,
    RETURN_AMOUNT_TOO_HIGH,
    AMOUNT_RETURN_AFTER_LINES,
    BILL_RETURNED,
    LINE_RETURN_AFTER_AMOUNT,
    FULL_RETURN_AFTER_PARTIAL,
    LINE_INVALID,
    LINE_NOT_ON_BILL,
)
_RAW = {"rawSideEffects": "true: also what it did to each cycle, as TARGETLOYALTY items"}


class PointsSideEffect(msgspec.Struct):
    """The points that the bill was rewarded with."""

    entityType: str
    rawAwardedPoints: Decimal
    awardedPoints: Decimal
    type: str


class TargetSideEffect(msgspec.Struct, kw_only=True):
    """What the bill did to one cycle of one target; every value is a text."""

    currentEventTargetValue: str
    definedTargetValue: str
    targetAchievedValueBeforeEvent: str
    targetAchievedValueAfterEvent: str
    periodStartDate: str
    periodEndDate: str
    periodRefCode: str
    targetEvaluationType: str
    targetGroupId: str
    targetGroupName: str
    targetName: str
    targetRuleId: str
    userId: str
    type: str = "TARGETLOYALTY"


class CustomerInfo(msgspec.Struct):
    """Whose bill it is."""

    firstName: str
    lastName: str


class TransactionCreated(msgspec.Struct):
    """A bill or a return that was taken. A return can name the bill by `createdId`."""

    createdId: int
    warnings: list[V2Warning]
    errors: list[wire.V2ErrorItem]
    sideEffects: list[PointsSideEffect]
    loyaltyDetails: list[dict[str, Any]]
    customerInfo: CustomerInfo
    rawSideEffects: list[TargetSideEffect] | UnsetType = UNSET


class BulkTransactionResult(msgspec.Struct):
    """What was taken, as it was sent."""

    id: int
    type: str | None
    billNumber: str | int | None
    returnType: str | None
    billingDate: str | None
    billAmount: Any
    identifierType: str | None
    identifierValue: str | int | None
    source: str | None
    sideEffects: list[PointsSideEffect]
    rawSideEffects: list[TargetSideEffect] | UnsetType = UNSET


class BulkTransactionItem(msgspec.Struct):
    """What became of one element: its place in the answer is its place in the call."""

    errors: list[wire.V2ErrorItem]
    warnings: list[V2Warning]
    entityId: int | UnsetType = UNSET
    result: BulkTransactionResult | UnsetType = UNSET


class BulkTransactions(msgspec.Struct):
    """What became of each element; `failureCount` have errors."""

    response: list[BulkTransactionItem]
    totalCount: int
    failureCount: int


BulkBodies = Annotated[list[BulkTransactionBody], msgspec.Meta(max_length=ELEMENTS_MAX)]


@post(
    "/v2/transactions",
    status_code=200,
    opt=declare(
        "Transaction",
        "WRITE",
        body=TransactionBody,
        answer=TransactionCreated,
        errors=_ERRORS,
        query={
            "identifierName": "id, mobile, email or externalId",
            "identifierValue": "whose bill it is",
            "source": "where the identifier is known; ALL: anywhere",
            "accountId": "the account of the source; absent: any",
            **_RAW,
        },
    ),
)
async def add_transaction(request: ApiRequest) -> Response[bytes]:
    """Record a bill or a return.

    A bill's number is unique per customer; the same return sent again is known too.
    """
    query = request.query_params
    body = await wire.read_body(request, transaction_body)
    named = Named(
        query.get("source"),
        query.get("identifierName"),
        query.get("identifierValue"),
        query.get("accountId"),
    )
    raw, path = _wants_raw(request), request.scope["path"]

    def render(done: Sequence[_Done | Refusal]) -> Response[bytes]:
        (only,) = done
        return wire.refuse(only, path) if isinstance(only, Refusal) else _created(only, raw=raw)

    return await _record(request, [sent_bill(body, named)], render)


def _created(done: _Done, *, raw: bool) -> Response[bytes]:
    created = TransactionCreated(
        done.created_id, [], [], _points(done), [], CustomerInfo(*done.name)
    )
    if raw:
        created.rawSideEffects = _targets(done)
    return wire.answer_v2(created)


@post(
    "/v2/transactions/bulk",
    status_code=200,
    opt=declare(
        "Transaction",
        "WRITE",
        body=BulkBodies,
        answer=BulkTransactions,
        errors=_ERRORS,
        query=_RAW,
    ),
)
async def add_transactions(request: ApiRequest) -> Response[bytes]:
    """Record up to 1,000 bills and returns, each by itself and in order."""
    decoded = [decode_bulk(element) for element in await read_elements(request)]
    raw = _wants_raw(request)

    def render(done: Sequence[_Done | Refusal]) -> Response[bytes]:
        items = [_item(body, each, raw=raw) for (body, _), each in zip(decoded, done, strict=True)]
        failures = sum(1 for item in items if item.errors)
        return wire.answer_v2(BulkTransactions(items, len(items), failures))

    return await _record(request, [sent for _, sent in decoded], render)


@dataclass(frozen=True, slots=True)
class _Done:
    """A bill that was taken: what it did and was paid, and first and last name of its customer."""

    created_id: int
    customer_id: int = 0
    effects: Sequence[CountedEffect] = ()
    paid: Sequence[Paid] = ()
    name: tuple[str, str] = ("", "")


async def _record(
    request: ApiRequest,
    sent: Sequence[SentBill | Refusal],
    render: Callable[[Sequence[_Done | Refusal]], Response[bytes]],
) -> Response[bytes]:
    """Record the bills, in order, and answer what `render` makes of them; raises 503 if nothing was done."""
    tenant, runner = await acting_tenant(request), runner_of(request)
    planned = await plan_bills(runner, tenant, sent)
    activities = [each for each in planned.activities if isinstance(each, Activity)]
    done: list[_Done | Refusal] = []
    doubtful: list[int] = []

    def answer(outcomes: Sequence[Outcome]) -> Response[bytes]:
        recorded = iter(outcomes)
        done.clear()
        doubtful.clear()
        for place, activity in enumerate(planned.activities):
            if not isinstance(activity, Activity):
                done.append(_not_recorded(sent[place], activity))
                continue
            outcome = next(recorded)
            if isinstance(outcome, Refusal) and outcome.error is INVALID_INPUT:
                doubtful.append(place)
                outcome = Refusal(BAD_REQUEST, outcome.detail)
            done.append(_done(activity, outcome, planned.names))
        return render(done)

    answered = await record(request, tenant, activities, answer)
    if not doubtful:
        return answered
    # Somebody else may have been quicker since these were planned: then there is a code for it.
    again = await plan_bills(runner, tenant, [sent[place] for place in doubtful])
    for place, activity in zip(doubtful, again.activities, strict=True):
        if isinstance(activity, Refusal):
            done[place] = activity
    return render(done)


def _not_recorded(bill: SentBill | Refusal, planned: Refusal | None) -> _Done | Refusal:
    """What became of a bill that is nobody's, or of one that was refused before it was recorded."""
    if planned is None and isinstance(bill, SentBill):
        return _Done(created_id(0, bill.draft.bill_number))
    assert planned is not None
    return planned


def _done(
    activity: Activity, outcome: Outcome, names: Mapping[int, tuple[str, str]]
) -> _Done | Refusal:
    if isinstance(outcome, Refusal):
        return outcome
    if outcome.status == "DUPLICATE":
        return Refusal(BILL_NUMBER_TAKEN)
    customer_id = activity.customer_id
    return _Done(
        created_id(customer_id, activity.id),
        customer_id,
        outcome.effects,
        outcome.paid,
        names.get(customer_id, ("", "")),
    )


def _item(
    body: BulkTransactionBody | None, done: _Done | Refusal, *, raw: bool
) -> BulkTransactionItem:
    if isinstance(done, Refusal):
        error = wire.V2ErrorItem(status=False, code=done.error.code, message=done.message)
        return BulkTransactionItem([error], [])
    assert body is not None
    result = BulkTransactionResult(
        done.created_id,
        body.type,
        body.billNumber,
        body.returnType,
        body.billingDate,
        body.billAmount,
        body.identifierType,
        body.identifierValue,
        body.source,
        _points(done),
    )
    if raw:
        result.rawSideEffects = _targets(done)
    return BulkTransactionItem([], [], done.created_id, result)


def _wants_raw(request: ApiRequest) -> bool:
    return request.query_params.get("rawSideEffects", "").strip().lower() == "true"


def _points(done: _Done) -> list[PointsSideEffect]:
    """One item with the points granted, by targets and promotions, if there were any."""
    granted = (
        *(each.rewards for each in done.effects),
        *(each.rewards for each in done.paid),
    )
    points = sum(
        (reward.value for rewards in granted for reward in rewards if reward.type == "POINTS"),
        Decimal(0),
    )
    return [PointsSideEffect("USER", points, points, "points")] if points else []


def _targets(done: _Done) -> list[TargetSideEffect]:
    return [_target(done.customer_id, effect) for effect in done.effects]


def _target(customer_id: int, effect: CountedEffect) -> TargetSideEffect:
    zone = effect.group.zone
    return TargetSideEffect(
        # Positive even for a return, as in notifications.
        currentEventTargetValue=plain(abs(effect.amount)),
        definedTargetValue=_text(effect.target_value),
        targetAchievedValueBeforeEvent=_text(effect.before),
        targetAchievedValueAfterEvent=_text(effect.after),
        periodStartDate=written_date(effect.starts_at, zone),
        periodEndDate=written_end_date(effect.ends_at, zone) if effect.ends_at else "",
        periodRefCode=effect.period.ref_code,
        targetEvaluationType=effect.group.evaluation_type,
        targetGroupId=str(effect.group.id),
        targetGroupName=effect.group.name,
        targetName=effect.target.name,
        targetRuleId=str(effect.target.id),
        userId=str(customer_id),
    )


def _text(value: Decimal) -> str:
    """With three decimals, or with all it has if they are more."""
    return f"{written_value(value):f}"


ROUTES = (add_transaction, add_transactions)
