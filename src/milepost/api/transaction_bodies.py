"""Bills and returns as the vendor's clients send them, one by one or many at a time."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any

import msgspec

from milepost.actions.bills import SentBill
from milepost.api import wire
from milepost.api.activity_bodies import decode_number, exact
from milepost.errors import BAD_REQUEST, Refusal, Refused
from milepost.rules.activities import LINE_ITEMS_MAX
from milepost.rules.bills import NOT_INTERESTED, BillDraft, BillLine
from milepost.rules.customers import read_lookup

_NUMERIC = re.compile(r"-?[0-9]{1,30}(\.[0-9]{1,30})?", re.ASCII)
_INTEGER = re.compile(r"[0-9]{1,18}", re.ASCII)

VendorNumber = Annotated[
    Any, msgspec.Meta(extra_json_schema={"type": ["number", "string", "null"]})
]
"""As the vendor does: a number, or a text of one. Exact either way."""
Word = wire.Text | wire.Id
Fields = dict[str, Any]


class LineItemV2Body(msgspec.Struct):
    """One line of a bill: `value` is about rate × qty, `amount` is value − discount.

    A returned one needs `itemCode` and `qty`; without `amount` it is worth its share of what was bought.
    """

    itemCode: Word | None = None
    type: wire.Text | None = None
    qty: VendorNumber = None
    rate: VendorNumber = None
    value: VendorNumber = None
    amount: VendorNumber = None
    discount: VendorNumber = None
    customFields: Fields | None = None
    extendedFields: Fields | None = None


class TransactionBody(msgspec.Struct):
    """A bill (`type` REGULAR) or a return of one.

    A return names the bill by `billNumber`, or by the `id` that its sale was answered with. Custom and
    extended fields become the attributes that expressions and extended-field targets read.
    """

    type: wire.Text | None = None
    """REGULAR, RETURN, NOT_INTERESTED or NOT_INTERESTED_RETURN; the last two are not kept."""
    billNumber: Word | None = None
    id: Word | None = None
    returnType: wire.Text | None = None
    """AMOUNT, FULL, LINE_ITEM or CANCELLED."""
    billingDate: wire.Text | None = None
    """Without offset: UTC; absent: now."""
    purchaseTime: wire.Text | None = None
    billAmount: VendorNumber = None
    """Net. Absent: grossAmount − discount, else the sum of the lines."""
    grossAmount: VendorNumber = None
    discount: VendorNumber = None
    lineItemsV2: list[LineItemV2Body] | None = None
    customFields: Fields | None = None
    extendedFields: Fields | None = None
    storeId: wire.Id | None = None
    zoneId: wire.Id | None = None
    conceptId: wire.Id | None = None


class BulkTransactionBody(TransactionBody):
    """A bill or a return with what names its customer."""

    identifierType: wire.Text | None = None
    identifierValue: Word | None = None
    source: wire.Text | None = None
    accountId: Word | None = None


@dataclass(frozen=True, slots=True)
class Named:
    """What names a customer, as sent."""

    source: str | None
    kind: str | None
    value: str | None
    account_id: str | None


transaction_body = msgspec.json.Decoder(TransactionBody, float_hook=exact)
_bulk_body = msgspec.json.Decoder(BulkTransactionBody, float_hook=exact)


def sent_bill(body: TransactionBody, named: Named) -> SentBill | Refusal:
    """The bill with the look-up of its customer; 400, or the look-up's own refusals."""
    try:
        draft = _draft(body)
    except Refused as refused:
        return Refusal(BAD_REQUEST, refused.refusal.detail)
    if draft.type in NOT_INTERESTED:
        return SentBill(draft, None)
    lookup = read_lookup(named.source, named.kind, named.value, named.account_id)
    return lookup if isinstance(lookup, Refusal) else SentBill(draft, lookup)


def decode_bulk(element: bytes) -> tuple[BulkTransactionBody | None, SentBill | Refusal]:
    """One element of a bulk call, decoded by itself: as it was sent, and its bill or refusal."""
    if wire.has_nul(element):
        return None, Refusal(BAD_REQUEST, "A text holds the character NUL.")
    try:
        body = _bulk_body.decode(element)
    except (msgspec.MsgspecError, RecursionError) as error:
        return None, Refusal(BAD_REQUEST, f"{error}.")
    named = Named(
        body.source, body.identifierType, _word(body.identifierValue), _word(body.accountId)
    )
    return body, sent_bill(body, named)


def _draft(body: TransactionBody) -> BillDraft:
    lines = body.lineItemsV2 or []
    if len(lines) > LINE_ITEMS_MAX:
        raise Refused(BAD_REQUEST, f"lineItemsV2 must have at most {LINE_ITEMS_MAX:,} entries.")
    return BillDraft(
        type=body.type,
        bill_number=(_word(body.billNumber) or "").strip(),
        return_type=body.returnType,
        number=_number(body.id),
        billed_at=body.billingDate,
        purchased_at=body.purchaseTime,
        net=_amount(body.billAmount, "billAmount"),
        gross=_amount(body.grossAmount, "grossAmount"),
        discount=_amount(body.discount, "discount"),
        lines=tuple(_line(line, f"lineItemsV2[{index}]") for index, line in enumerate(lines)),
        attributes={**(body.customFields or {}), **(body.extendedFields or {})},
        store_id=body.storeId,
        zone_id=body.zoneId,
        concept_id=body.conceptId,
    )


def _line(body: LineItemV2Body, at: str) -> BillLine:
    return BillLine(
        item_code=(_word(body.itemCode) or "").strip(),
        quantity=_amount(body.qty, f"{at}.qty"),
        rate=_amount(body.rate, f"{at}.rate"),
        value=_amount(body.value, f"{at}.value"),
        amount=_amount(body.amount, f"{at}.amount"),
        discount=_amount(body.discount, f"{at}.discount"),
        type=body.type,
        attributes={**(body.customFields or {}), **(body.extendedFields or {})},
    )


def _amount(value: object, at: str) -> Decimal | None:
    if isinstance(value, str):
        if not _NUMERIC.fullmatch(value):
            raise Refused(BAD_REQUEST, f"{at} must be a number.")
        value = exact(value)
    return decode_number(value, at)


def _word(value: str | int | None) -> str | None:
    return str(value) if isinstance(value, int) else value


def _number(value: str | int | None) -> int | None:
    text = _word(value)
    if text is None or _INTEGER.fullmatch(text):
        return None if text is None else int(text)
    raise Refused(BAD_REQUEST, "id must be the number that the sale was answered with.")
