"""Bills and their returns, as the vendor's clients send them (domain: promotions §6.1–6.3).

A bill is a TRANSACTION whose id is its number, and so unique per customer. A return names the bill and
has no number of its own: its id follows from what it says, so that the same one sent again is known.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field
from datetime import datetime
from decimal import Decimal
from hashlib import sha256
from zoneinfo import ZoneInfo

from milepost.errors import (
    AMOUNT_RETURN_AFTER_LINES,
    BAD_REQUEST,
    BILL_NUMBER_TAKEN,
    BILL_RETURNED,
    FULL_RETURN_AFTER_PARTIAL,
    LINE_INVALID,
    LINE_NOT_ON_BILL,
    LINE_RETURN_AFTER_AMOUNT,
    PARENT_BILL_MISSING,
    QUANTITY_TOO_HIGH,
    RETURN_AMOUNT_TOO_HIGH,
    RETURN_BEFORE_SALE,
    RETURN_TYPE_INVALID,
    Refusal,
)
from milepost.rules.activities import (
    RETURN,
    RETURN_BILL,
    TRANSACTION,
    TRANSACTION_ADD,
    ZERO,
    Activity,
    LineItem,
)
from milepost.rules.calendar import parse_start
from milepost.rules.frozen import dataclass

REGULAR = "REGULAR"
NOT_INTERESTED = ("NOT_INTERESTED", "NOT_INTERESTED_RETURN")
"""Of nobody: such a bill moves nothing and is not kept."""
TYPES = (REGULAR, RETURN, *NOT_INTERESTED)
RETURN_TYPES = ("AMOUNT", "FULL", "LINE_ITEM", "CANCELLED")
BILL_NUMBER_CHARACTERS_MAX = 50

_UTC = ZoneInfo("UTC")
_CENT = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class BillLine:
    """One entry of `lineItemsV2`; None: absent."""

    item_code: str
    quantity: Decimal | None = None
    rate: Decimal | None = None
    value: Decimal | None = None
    amount: Decimal | None = None
    discount: Decimal | None = None
    type: str | None = None
    attributes: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BillDraft:
    """A bill or a return as sent; None: absent.

    `number` is what the sale answered as `createdId`: another way to name the bill of a return.
    """

    type: str | None
    bill_number: str
    return_type: str | None = None
    number: int | None = None
    billed_at: str | None = None
    purchased_at: str | None = None
    net: Decimal | None = None
    gross: Decimal | None = None
    discount: Decimal | None = None
    lines: tuple[BillLine, ...] = ()
    attributes: Mapping[str, object] = field(default_factory=dict)
    store_id: int | None = None
    zone_id: int | None = None
    concept_id: int | None = None


@dataclass(slots=True)
class Bills:
    """What is known of the customers' bills; planning adds to it, so a later draft sees an earlier one."""

    known: dict[tuple[int, str], Activity] = field(default_factory=dict)
    """By (customer id, activity id): bills and returns."""
    returns: dict[tuple[int, str], list[Activity]] = field(default_factory=dict)
    """By (customer id, the bill's activity id), in order."""
    named: dict[tuple[int, int], str] = field(default_factory=dict)
    """By (customer id, `created_id`): the bill's activity id."""

    def add(self, activity: Activity) -> None:
        """Take in a bill or a return."""
        customer_id = activity.customer_id
        self.known[customer_id, activity.id] = activity
        if activity.return_of is not None:
            self.returns.setdefault((customer_id, activity.return_of), []).append(activity)
        else:
            self.named[customer_id, created_id(customer_id, activity.id)] = activity.id


def created_id(customer_id: int, activity_id: str) -> int:
    """The number that stands for an activity where the vendor has numbers: 52 bits of a hash."""
    return int(sha256(f"{customer_id}/{activity_id}".encode()).hexdigest()[:13], 16)


def check_bill(draft: BillDraft) -> Refusal | None:
    """What can be said without the customer: 400, or 628 for a return of no known type."""
    if draft.type not in TYPES:
        return _malformed(f"type must be one of {', '.join(TYPES)}")
    if draft.type == RETURN and draft.return_type not in RETURN_TYPES:
        return Refusal(RETURN_TYPE_INVALID, f"(one of {', '.join(RETURN_TYPES)})")
    if not draft.bill_number and (draft.type != RETURN or draft.number is None):
        return _malformed("billNumber is required")
    if len(draft.bill_number) > BILL_NUMBER_CHARACTERS_MAX:
        return _malformed(f"billNumber must have at most {BILL_NUMBER_CHARACTERS_MAX} characters")
    for text in (draft.billed_at, draft.purchased_at):
        at = parse_start(text, _UTC) if text is not None else None
        if isinstance(at, Refusal):
            return Refusal(BAD_REQUEST, at.detail)
    return None


def plan_bill(
    bills: Bills, draft: BillDraft, customer_id: int, now: datetime
) -> Activity | Refusal:
    """The activity of a bill or return that `check_bill` let pass, added to `bills`; or why there is none.

    Without `billingDate` it is of `now`. Codes as in domain/promotions-and-platform.md §6.3.
    """
    billed_at = parse_start(draft.billed_at, _UTC) if draft.billed_at is not None else now
    if isinstance(billed_at, Refusal):
        return billed_at
    planned = (
        _plan_return(bills, draft, customer_id, billed_at)
        if draft.type == RETURN
        else _plan_sale(bills, draft, customer_id, billed_at)
    )
    if isinstance(planned, Activity):
        bills.add(planned)
    return planned


def _plan_sale(
    bills: Bills, draft: BillDraft, customer_id: int, billed_at: datetime
) -> Activity | Refusal:
    if (customer_id, draft.bill_number) in bills.known:
        return Refusal(BILL_NUMBER_TAKEN)
    items = []
    for line in draft.lines:
        item = _sold(line)
        if isinstance(item, Refusal):
            return item
        items.append(item)
    net = draft.net
    if net is None and draft.gross is not None:
        net = draft.gross - (draft.discount or ZERO)
    if net is None and items:
        net = sum((item.net_amount for item in items), ZERO)
    if net is None:
        return _malformed("billAmount is required")
    return Activity(
        draft.bill_number,
        customer_id,
        TRANSACTION,
        billed_at,
        TRANSACTION_ADD,
        net,
        net if draft.gross is None else draft.gross,
        draft.store_id,
        draft.zone_id,
        draft.concept_id,
        tuple(items),
        draft.attributes,
    )


def _sold(line: BillLine) -> LineItem | Refusal:
    """A line that was bought: `value` is about rate × quantity, `amount` is value − discount."""
    if line.type not in (None, REGULAR):
        return Refusal(LINE_INVALID, "(a bill takes lines of type REGULAR only)")
    if not line.item_code:
        return Refusal(LINE_INVALID, "(itemCode is required)")
    quantity = Decimal(1) if line.quantity is None else line.quantity
    value = line.value
    if value is None and line.rate is not None:
        value = line.rate * quantity
    net = line.amount
    if net is None and value is not None:
        net = value - (line.discount or ZERO)
    net = ZERO if net is None else net
    return LineItem(line.item_code, quantity, net, net if value is None else value, line.attributes)


def _plan_return(
    bills: Bills, draft: BillDraft, customer_id: int, billed_at: datetime
) -> Activity | Refusal:
    bill_id: str | None = draft.bill_number
    if draft.number is not None:
        bill_id = bills.named.get((customer_id, draft.number))
    bill = bills.known.get((customer_id, bill_id or ""))
    if bill is None or bill.type != TRANSACTION:
        return Refusal(PARENT_BILL_MISSING)
    identity = _return_id(bill, draft)
    if (customer_id, identity) in bills.known:
        return Refusal(BILL_NUMBER_TAKEN)
    before = bills.returns.get((customer_id, bill.id), ())
    refusal = _refuse_return(bill, before, draft, billed_at)
    if refusal is not None:
        return refusal
    left = _left(bill, before)
    items: tuple[LineItem, ...] = ()
    full = draft.return_type in ("FULL", "CANCELLED")
    if full:
        net = left
    elif draft.return_type == "AMOUNT":
        if draft.net is None:
            return _malformed("billAmount is required")
        net = draft.net
    else:
        returned = _returned_items(bill, before, draft.lines)
        if isinstance(returned, Refusal):
            return returned
        items = returned
        # A discount on the whole bill makes it worth less than its lines.
        net = min(sum((item.net_amount for item in items), ZERO), left)
    if net > left:
        return Refusal(RETURN_AMOUNT_TOO_HIGH, f"({left} are left)")
    if net <= 0 and not full:
        return _malformed("a return must be of more than 0")
    gross = sum((item.gross_amount for item in items), ZERO) if items else draft.gross
    return Activity(
        identity,
        customer_id,
        RETURN,
        billed_at,
        RETURN_BILL,
        net,
        net if gross is None or full else gross,
        draft.store_id,
        draft.zone_id,
        draft.concept_id,
        items,
        draft.attributes,
        bill.id,
        full,
    )


def _refuse_return(
    bill: Activity, before: Sequence[Activity], draft: BillDraft, billed_at: datetime
) -> Refusal | None:
    """Whether the bill can be returned in this way at all."""
    if billed_at < bill.occurred_at:
        return Refusal(RETURN_BEFORE_SALE)
    if _left(bill, before) <= 0:
        return Refusal(BILL_RETURNED)
    if draft.return_type == "FULL" and before:
        return Refusal(FULL_RETURN_AFTER_PARTIAL)
    if draft.return_type == "AMOUNT" and any(each.line_items for each in before):
        return Refusal(AMOUNT_RETURN_AFTER_LINES)
    if draft.return_type == "LINE_ITEM" and any(not each.line_items for each in before):
        return Refusal(LINE_RETURN_AFTER_AMOUNT)
    return None


def _returned_items(
    bill: Activity, before: Sequence[Activity], lines: Sequence[BillLine]
) -> tuple[LineItem, ...] | Refusal:
    """The lines of a LINE_ITEM return: each is worth what it says, else its share of the bill's lines."""
    if not lines:
        return Refusal(LINE_INVALID, "(a LINE_ITEM return needs lineItemsV2)")
    bought = _by_article(bill.line_items)
    returned = _by_article(item for each in before for item in each.line_items)
    items = []
    for line in lines:
        quantity = Decimal(1) if line.quantity is None else line.quantity
        if not line.item_code or quantity <= 0:
            return Refusal(LINE_INVALID, "(a returned line needs itemCode, and qty greater than 0)")
        if line.item_code not in bought:
            return Refusal(LINE_NOT_ON_BILL)
        all_of_it, net_of_all, gross_of_all = bought[line.item_code]
        taken = returned.get(line.item_code, (ZERO, ZERO, ZERO))
        if taken[0] + quantity > all_of_it:
            return Refusal(QUANTITY_TOO_HIGH, f"({all_of_it - taken[0]} are left)")
        net = line.amount if line.amount is not None else line.value
        if net is None:
            net = _share(net_of_all, quantity, all_of_it)
        gross = line.value if line.value is not None else _share(gross_of_all, quantity, all_of_it)
        returned[line.item_code] = (taken[0] + quantity, taken[1] + net, taken[2] + gross)
        items.append(LineItem(line.item_code, quantity, net, gross, line.attributes))
    return tuple(items)


def _by_article(items: Iterable[LineItem]) -> dict[str, tuple[Decimal, Decimal, Decimal]]:
    """Quantity, net and gross of each article."""
    found: dict[str, tuple[Decimal, Decimal, Decimal]] = {}
    for item in items:
        quantity, net, gross = found.get(item.sku, (ZERO, ZERO, ZERO))
        found[item.sku] = (
            quantity + item.quantity,
            net + item.net_amount,
            gross + item.gross_amount,
        )
    return found


def _share(amount: Decimal, part: Decimal, whole: Decimal) -> Decimal:
    return amount if part == whole else (amount * part / whole).quantize(_CENT)


def _left(bill: Activity, before: Sequence[Activity]) -> Decimal:
    if any(each.full for each in before):
        return ZERO
    return bill.net_amount - sum((each.net_amount for each in before), ZERO)


def _return_id(bill: Activity, draft: BillDraft) -> str:
    """The same for the same return, and no bill number of anybody's."""
    said = (
        draft.return_type,
        draft.billed_at,
        _plain(draft.net),
        [(line.item_code, _plain(line.quantity), _plain(line.amount)) for line in draft.lines],
    )
    return f"{bill.id}:return:{sha256(repr(said).encode()).hexdigest()[:16]}"


def _plain(amount: Decimal | None) -> str | None:
    """An amount as text, however many zeros it was written with."""
    return None if amount is None else str(amount.normalize())


def _malformed(reason: str) -> Refusal:
    return Refusal(BAD_REQUEST, f"{reason[0].upper()}{reason[1:]}.")
