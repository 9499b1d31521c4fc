"""What callers send as activities: each is decoded by itself, so a bad one harms no other (contract §5).

Numbers are exact: an integer, or the decimal as it is written. A text, a truth, NaN and infinity are no
numbers. Unknown fields are ignored, and null is absent.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, Literal

import msgspec

from milepost.api import wire
from milepost.api.requests import ApiRequest
from milepost.errors import (
    BAD_REQUEST,
    INVALID_INPUT,
    Refusal,
    Refused,
)
from milepost.rules.activities import (
    EVENT,
    LINE_ITEMS_MAX,
    RETURN,
    RETURN_BILL,
    TRANSACTION,
    TRANSACTION_ADD,
    ZERO,
    Activity,
    LineItem,
)
from milepost.rules.calendar import parse_instant

ELEMENTS_MAX = 1_000
ATTRIBUTES_BYTES_MAX = 64 * 1024
"""As written. It bounds what an activity that was read takes in memory."""

EXPONENT_MAX = 50
"""Far beyond every bound, and reckoned with in no time."""

_ABSENT = msgspec.Raw(b"null")
_ONE = Decimal(1)
_NAN = Decimal("NaN")

# Not typed as Decimal, which takes the texts "1" and "NaN" too: `decode_number` sees what was written.
Amount = Annotated[Any, msgspec.Meta(extra_json_schema={"type": ["number", "null"], "minimum": 0})]
Attributes = Annotated[msgspec.Raw, msgspec.Meta(extra_json_schema={"type": ["object", "null"]})]


class LineItemBody(msgspec.Struct):
    """One line of a bill. `quantity` is 1 where none is sent, `grossAmount` the net amount."""

    sku: str | None = None
    quantity: Amount = None
    netAmount: Amount = None
    grossAmount: Amount = None
    attributes: Attributes = msgspec.field(default_factory=_ABSENT.copy)


class ActivityBody(msgspec.Struct):
    """A TRANSACTION, an EVENT or a RETURN.

    `netAmount` is required of all but an event, `eventName` of an event, and `returnOf` of a return:
    the `id` of the transaction that it returns.
    """

    id: str
    customerId: wire.Id
    type: Literal["TRANSACTION", "EVENT", "RETURN"]
    occurredAt: str
    """An instant, with an offset or `Z`."""
    eventName: str | None = None
    returnOf: str | None = None
    netAmount: Amount = None
    grossAmount: Amount = None
    storeId: wire.Id | None = None
    zoneId: wire.Id | None = None
    conceptId: wire.Id | None = None
    lineItems: list[LineItemBody] | None = None
    attributes: Attributes = msgspec.field(default_factory=_ABSENT.copy)


class _Identity(msgspec.Struct):
    id: str | None = None


@dataclass(frozen=True, slots=True)
class Unreadable:
    """An element that is no activity, and why; `id` is None where not even that can be read."""

    id: str | None
    refusal: Refusal


def exact(text: str) -> Decimal:
    """The decoder's hook for numbers with a point or an exponent: NaN for one that a Decimal lacks."""
    try:
        return Decimal(text)
    except InvalidOperation:
        return _NAN


_elements = msgspec.json.Decoder(
    Annotated[list[msgspec.Raw], msgspec.Meta(max_length=ELEMENTS_MAX)]
)
_identity = msgspec.json.Decoder(_Identity)
_attributes = msgspec.json.Decoder(dict[str, Any] | None, float_hook=exact)
_activity_body = msgspec.json.Decoder(ActivityBody, float_hook=exact)


async def read_elements(request: ApiRequest) -> list[bytes]:
    """The elements of a body that is a JSON array of up to 1,000, each to be decoded by itself.

    Raises 300004, or 400 on a v2 route, for any other body; 413 for a long one.
    """
    wire.refuse_encoding(request)
    body = await request.body()
    try:
        return [bytes(element) for element in _elements.decode(body.decode())]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        malformed = BAD_REQUEST if wire.is_v2(request.scope["path"]) else INVALID_INPUT
        raise Refused(malformed, _reason(error)) from None


def decode_activity(element: bytes) -> Activity | Unreadable:
    """The activity of one JSON value, else 300004 with the reason. Bounds are the action's to check."""
    try:
        # As text, because the decoder does not look at the bytes of fields that it ignores.
        body = _activity_body.decode(element.decode())
        if wire.has_nul(element):
            # PostgreSQL takes none, and one in a batch would spoil its neighbours.
            raise Refused(INVALID_INPUT, "A text holds the character NUL.")
        return _activity(body)
    except Refused as refused:
        return Unreadable(_id(element), refused.refusal)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        return Unreadable(_id(element), Refusal(INVALID_INPUT, _reason(error)))


def decode_attributes(raw: msgspec.Raw, at: str) -> dict[str, Any]:
    """The JSON object of an optional field, its numbers exact; raises 300004."""
    if len(raw) > ATTRIBUTES_BYTES_MAX:
        raise Refused(INVALID_INPUT, f"{at} must have at most {ATTRIBUTES_BYTES_MAX:,} bytes.")
    try:
        return _attributes.decode(raw) or {}
    except msgspec.ValidationError as error:
        raise Refused(INVALID_INPUT, f"{error}, in {at}.") from None


def decode_number(value: object, at: str) -> Decimal | None:
    """The exact number of an untyped field, None if absent; raises 300004 for all else.

    Its bounds are the action's to check.
    """
    if value is None:
        return None
    if type(value) is int:
        return Decimal(value)
    if type(value) is not Decimal:
        raise Refused(INVALID_INPUT, f"{at} must be a number.")
    if not value.is_finite() or value.adjusted() > EXPONENT_MAX:
        raise Refused(INVALID_INPUT, f"{at} is too large a number.")
    return value or ZERO  # not -0


def _reason(error: Exception) -> str:
    """What the decoder expected and where; never raw bytes."""
    return f"{error}." if isinstance(error, msgspec.ValidationError) else "It is not JSON."


def _id(element: bytes) -> str | None:
    try:
        return _identity.decode(element.decode()).id
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def _activity(body: ActivityBody) -> Activity:
    occurred_at = parse_instant(body.occurredAt)
    if isinstance(occurred_at, Refusal):
        raise Refused(INVALID_INPUT, f"occurredAt: {occurred_at.detail}")
    returned = body.type == RETURN
    net = decode_number(body.netAmount, "netAmount")
    if net is None:
        if body.type != EVENT:
            raise Refused(INVALID_INPUT, f"A {body.type} needs netAmount.")
        net = ZERO
    gross = decode_number(body.grossAmount, "grossAmount")
    if returned and gross is not None and gross <= 0:
        raise Refused(INVALID_INPUT, "grossAmount of a RETURN must be greater than 0.")
    return Activity(
        body.id,
        body.customerId,
        body.type,
        occurred_at,
        _event_name(body),
        net,
        net if gross is None else gross,
        body.storeId,
        body.zoneId,
        body.conceptId,
        _line_items(body.lineItems, returned=returned) if body.lineItems else (),
        {} if body.attributes == _ABSENT else decode_attributes(body.attributes, "attributes"),
        body.returnOf if returned else None,
    )


def _event_name(body: ActivityBody) -> str:
    if body.type == TRANSACTION:
        return TRANSACTION_ADD
    if body.type == RETURN:
        return RETURN_BILL
    if body.eventName is None:
        raise Refused(INVALID_INPUT, "An EVENT needs eventName.")
    return body.eventName


def _line_items(bodies: list[LineItemBody], *, returned: bool) -> tuple[LineItem, ...]:
    if len(bodies) > LINE_ITEMS_MAX:
        raise Refused(INVALID_INPUT, f"lineItems must have at most {LINE_ITEMS_MAX:,} entries.")
    items = []
    for index, body in enumerate(bodies):
        at = f"lineItems[{index}]"
        quantity = decode_number(body.quantity, f"{at}.quantity")
        net = decode_number(body.netAmount, f"{at}.netAmount")
        gross = decode_number(body.grossAmount, f"{at}.grossAmount")
        if returned and any(
            number is not None and number <= 0 for number in (quantity, net, gross)
        ):
            raise Refused(INVALID_INPUT, f"{at} of a RETURN: its numbers must be greater than 0.")
        net = ZERO if net is None else net
        items.append(
            LineItem(
                body.sku or "",
                _ONE if quantity is None else quantity,
                net,
                net if gross is None else gross,
                {}
                if body.attributes == _ABSENT
                else decode_attributes(body.attributes, f"{at}.attributes"),
            )
        )
    return tuple(items)
