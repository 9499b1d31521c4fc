"""Enrol customers in promotions, issue them, and take either back (contract §7; domain: promotions §1.4, §3).

On the wire an enrolment is an *issual* and what was issued an *earn*; collecting from it is
`rules/redemption.py`. A call names one promotion and many customers; what is wrong with the call itself
is found first, and then nobody is acted on.
"""

from __future__ import annotations

from collections import deque
from dataclasses import field, replace
from datetime import datetime

from milepost.errors import (
    ACTION_UNSUPPORTED,
    CUSTOMER_NOT_FOUND,
    EARN_IDS_INVALID,
    INVALID_PROGRAM_ID,
    ISSUE_FAILED,
    NO_LIVE_ISSUAL,
    PROMOTION_INACTIVE,
    PROMOTION_UNKNOWN,
    Refusal,
)
from milepost.rules.book import Book, close_book, note_promotion, open_book
from milepost.rules.coverage import Members
from milepost.rules.customers import Identifier, Known, Lookup, resolve
from milepost.rules.definitions import (
    DIRECT,
    ENROL_AND_ISSUE,
    GENERIC,
    Definitions,
    Promotion,
)
from milepost.rules.effects import NOBODYS, Earn, Issual, Origin, Usage
from milepost.rules.frozen import dataclass
from milepost.rules.holdings import (
    EXPIRED,
    REPLACED,
    REVOKED,
    Holding,
    expiry,
    is_live,
    is_used_up,
    live_issual,
)
from milepost.rules.matching import Evaluate
from milepost.rules.promotions import status
from milepost.rules.redemption import use

ENROL = "ENROL"
EARN = "EARN"
REVOKE_ENROL = "REVOKE_ENROL"
REVOKE_EARN = "REVOKE_EARN"
ISSUE = "ISSUE"
"""Of the single call: to issue a direct promotion, and to enrol in an enrol & issue one."""
FITTING = {
    GENERIC: (),
    DIRECT: (EARN, REVOKE_EARN, ISSUE),
    ENROL_AND_ISSUE: (ENROL, EARN, REVOKE_ENROL, REVOKE_EARN, ISSUE),
}
"""The actions that fit each type of promotion."""
CUSTOMERS_MAX = 100
"""In one call."""


@dataclass(frozen=True, slots=True)
class Call:
    """What a caller asks for all customers of a call. `actions` are those that the route takes.

    `action` is as it was sent, None if it was not. `promotion_id` decides where both are sent.
    """

    program_id: int
    promotion_id: int | None
    identifier: str | None
    action: str | None
    actions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Act:
    """One customer of a call. `lookup` None: the identifier can be nobody's.

    `earn_ids` are those that a REVOKE_EARN names, None for all. `key` tells apart who cannot be looked up.
    """

    call: Call
    lookup: Lookup | None
    earn_ids: tuple[int, ...] | None = None
    origin: Origin = NOBODYS
    key: str = ""

    @property
    def boundary(self) -> Identifier:
        """What the customer is named by."""
        return self.lookup.identifier if self.lookup is not None else Identifier("", self.key)


@dataclass(frozen=True, slots=True)
class CallRefused:
    """The call itself is wrong: nothing was done for any of its customers."""

    refusal: Refusal


@dataclass(frozen=True, slots=True)
class Acted:
    """What was done for a customer. Without any id: a limit is used up (warning 8890), nothing was done.

    `issual_id` is the enrolment that was made, that an earn hangs off, or that was revoked.
    """

    customer_id: int
    promotion: Promotion
    issual_id: int | None = None
    earn_id: int | None = None
    revoked_earn_ids: tuple[int, ...] = ()

    @property
    def is_exhausted(self) -> bool:
        """Whether a limit was used up."""
        return self.issual_id is None and not self.revoked_earn_ids


Outcome = Acted | Refusal | CallRefused


@dataclass(slots=True)
class Cast(Members):
    """What a batch of acts loads: whom identifiers name, what they have, and unused ids in order."""

    known: dict[Identifier, Known] = field(default_factory=dict)
    issual_ids: deque[int] = field(default_factory=deque)
    earn_ids: deque[int] = field(default_factory=deque)


def find_promotion(definitions: Definitions, call: Call, now: datetime) -> Promotion | Refusal:
    """The promotion of a call; else, in this order, 1101, 8874, 8892 (not live), 8902 (action not fit)."""
    if call.program_id not in definitions.programs:
        return Refusal(INVALID_PROGRAM_ID)
    if call.promotion_id is not None:
        promotion = definitions.promotions.get(call.promotion_id)
    else:
        key = (call.program_id, call.identifier or "")
        promotion = definitions.promotions_by_identifier.get(key)
    if promotion is None or promotion.program_id != call.program_id:
        return Refusal(PROMOTION_UNKNOWN)
    if status(promotion, now) != "LIVE":
        return Refusal(PROMOTION_INACTIVE)
    if call.action not in call.actions or call.action not in FITTING[promotion.type]:
        revokes = REVOKE_EARN in call.actions
        return Refusal(ACTION_UNSUPPORTED, subject="revoke " if revokes else "")
    return promotion


def act(
    definitions: Definitions, cast: Cast, command: Act, now: datetime, evaluate: Evaluate
) -> Outcome:
    """Decide one act and fold what it changes into `cast`; the next one sees it.

    8015 for a customer who is not found, then what the action itself refuses.
    """
    promotion = find_promotion(definitions, command.call, now)
    if isinstance(promotion, Refusal):
        return CallRefused(promotion)
    found = (
        resolve(cast.known, command.lookup)
        if command.lookup is not None
        else Refusal(CUSTOMER_NOT_FOUND)
    )
    if isinstance(found, Refusal):
        return found
    customer_id = found
    book = open_book(definitions, cast, customer_id, now, "ENROLMENT", evaluate, command.origin)
    holding = cast.standings.holding(customer_id, promotion.id)
    action = command.call.action
    if action == ISSUE:
        action = EARN if promotion.type == DIRECT else ENROL
    outcome: Acted | Refusal
    if action == ENROL:
        outcome = _enrol(book, cast, promotion, holding)
    elif action == EARN:
        outcome = _earn(book, cast, promotion, holding)
    elif action == REVOKE_ENROL:
        outcome = _revoke_enrolment(book, promotion, holding)
    else:
        outcome = _revoke_earns(book, promotion, holding, command.earn_ids)
    close_book(book)
    return outcome


def expire(book: Book, record: Issual | Earn) -> None:
    """End a record at its expiry, at which the book stands: as this batch has left it."""
    promotion = book.definitions.promotions[record.promotion_id]
    if isinstance(record, Earn):
        record = book.changes.earns.get(record.id, record)
    ended = replace(record, ended_at=record.expires_at, ended_as=EXPIRED)
    if isinstance(ended, Issual):
        book.changes.issuals[ended.id] = ended
        note_promotion(
            book, promotion, "UNENROLLED", "PROMOTION_ENROLMENT_EXPIRED", issual=ended.id
        )
        return
    book.changes.earns[ended.id] = ended
    note_promotion(
        book, promotion, "UNACHIEVED", "PROMOTION_EARN_EXPIRED",
        earns=[ended.id], redemptions=ended.redemptions,
    )  # fmt: skip


def _enrol(book: Book, cast: Cast, promotion: Promotion, holding: Holding) -> Acted:
    """Enrol, in place of an enrolment that is live; at a used-up limit that one stays (Q9, Q10)."""
    customer_id, restores = book.changes.customer_id, book.definitions.revokes_restore_limits
    limit = promotion.limits.issuals_per_customer
    if is_used_up(holding.issuals, holding.revoked_issuals, limit, restores=restores):
        return Acted(customer_id, promotion)
    before = holding.issual
    replaces = _end_issual(book, holding, REPLACED)
    expires_at = expiry(promotion.issual_expiry, book.now, book.definitions.zone, promotion.ends_at)
    issual_id = cast.issual_ids.popleft()
    details = {"issual": issual_id, "expiresAt": expires_at.isoformat()}
    if replaces and before is not None:
        details["replaces"] = before.id
    reason = "PROMOTION_RE_ENROLLED" if holding.issuals else "PROMOTION_ENROLLED"
    entry_id = note_promotion(book, promotion, "ENROLLED", reason, **details)
    issual = Issual(issual_id, promotion.id, book.now, expires_at, entry_id=entry_id)
    holding.issual = book.changes.issuals[issual_id] = issual
    holding.issuals += 1
    return Acted(customer_id, promotion, issual_id)


def _earn(book: Book, cast: Cast, promotion: Promotion, holding: Holding) -> Acted | Refusal:
    """Issue. Of an enrol & issue promotion only to who is enrolled: 2305 (Q4)."""
    customer_id, direct = book.changes.customer_id, promotion.type == DIRECT
    issual = holding.issual if direct else live_issual(holding, book.now)
    if issual is None and not direct:
        return Refusal(NO_LIVE_ISSUAL)
    restores = book.definitions.revokes_restore_limits
    limits = promotion.limits
    if is_used_up(
        holding.earned, holding.revoked_earns, limits.earns_per_customer, restores=restores
    ):
        return Acted(customer_id, promotion)
    usage = cast.standings.usage.get(promotion.id, Usage())
    if is_used_up(usage.earns, usage.revoked_earns, limits.earns_per_promotion, restores=restores):
        book.changes.leans_on.add(promotion.id)
        return Acted(customer_id, promotion)
    bounds = [promotion.ends_at]
    if issual is not None and not issual.is_dummy:
        bounds.append(issual.expires_at)
    expires_at = expiry(promotion.earn_expiry, book.now, book.definitions.zone, *bounds)
    earn_id = cast.earn_ids.popleft()
    dummy_id = cast.issual_ids.popleft() if issual is None else None
    details: dict[str, object] = {"earn": earn_id, "expiresAt": expires_at.isoformat()}
    details["issual"] = issual.id if issual is not None else dummy_id
    if dummy_id is not None:
        details["dummyExpiresAt"] = promotion.ends_at.isoformat()
    entry_id = note_promotion(book, promotion, "ACHIEVED", "PROMOTION_EARNED", **details)
    if issual is None:
        assert dummy_id is not None
        issual = Issual(
            dummy_id, promotion.id, book.now, promotion.ends_at, is_dummy=True, entry_id=entry_id
        )
        holding.issual = book.changes.issuals[dummy_id] = issual
    earn = Earn(earn_id, promotion.id, issual.id, book.now, expires_at, entry_id)
    holding.earns[earn_id] = book.changes.earns[earn_id] = earn
    holding.earned += 1
    if promotion.is_counted:
        use(book, promotion.id, Usage(earns=1))
    return Acted(customer_id, promotion, issual.id, earn_id)


def _revoke_enrolment(book: Book, promotion: Promotion, holding: Holding) -> Acted | Refusal:
    """Take the enrolment back: 2305 without one, 8896 while an earned record is live (Q11)."""
    issual = live_issual(holding, book.now)
    if issual is None:
        return Refusal(NO_LIVE_ISSUAL)
    if holding.live_earns(book.now):
        return Refusal(ISSUE_FAILED)
    _end_issual(book, holding, REVOKED)
    holding.revoked_issuals += 1
    note_promotion(
        book, promotion, "UNENROLLED", "PROMOTION_ENROLMENT_REVOKED",
        issual=issual.id, issuedAt=issual.issued_at.isoformat(),
        expiresAt=issual.expires_at.isoformat(),
    )  # fmt: skip
    return Acted(book.changes.customer_id, promotion, issual.id)


def _revoke_earns(
    book: Book, promotion: Promotion, holding: Holding, earn_ids: tuple[int, ...] | None
) -> Acted | Refusal:
    """Take earned records back, all live ones or those named; 2305 if there is none, 8903 for a wrong one."""
    live = {earn.id: earn for earn in holding.live_earns(book.now)}
    if earn_ids is None:
        revoked = list(live.values())
        if not revoked:
            return Refusal(NO_LIVE_ISSUAL)
    else:
        if not earn_ids or not all(earn_id in live for earn_id in earn_ids):
            return Refusal(EARN_IDS_INVALID)
        revoked = [live[earn_id] for earn_id in dict.fromkeys(earn_ids)]
    for earn in revoked:
        ended = replace(earn, ended_at=book.now, ended_as=REVOKED)
        holding.earns[earn.id] = book.changes.earns[earn.id] = ended
    holding.revoked_earns += len(revoked)
    if promotion.is_counted:
        use(book, promotion.id, Usage(revoked_earns=len(revoked)))
    note_promotion(
        book, promotion, "UNACHIEVED", "PROMOTION_EARN_REVOKED",
        earns=[earn.id for earn in revoked],
        earnedAt=[earn.earned_at.isoformat() for earn in revoked],
        expiresAt=[earn.expires_at.isoformat() for earn in revoked],
    )  # fmt: skip
    return Acted(
        book.changes.customer_id,
        promotion,
        revoked_earn_ids=tuple(earn.id for earn in revoked),
    )


def _end_issual(book: Book, holding: Holding, ended_as: str) -> bool:
    """End the open enrolment, if there is one: as said while it is live, else as expired (False)."""
    issual = holding.issual
    if issual is None:
        return False
    live = is_live(issual, book.now)
    if live:
        ended = replace(issual, ended_at=book.now, ended_as=ended_as)
        book.changes.issuals[issual.id] = ended
    else:
        _note_expired(book, issual)
    holding.issual = None
    return live


def _note_expired(book: Book, issual: Issual) -> None:
    """An enrolment that has expired, and whose expiry nobody has noted yet, is ended as of then."""
    now, book.now = book.now, issual.expires_at
    expire(book, issual)
    book.now = now
