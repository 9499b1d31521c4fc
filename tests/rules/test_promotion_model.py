"""Enrol, earn, collect, revoke, expire, edit and wait, in any order, against a model that writes it all down.

The model knows no versions, batches or loads. It keeps every record and every payment there ever was, and
asks contract §7 of the whole list each time. Times are whole hours.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from milepost.rules.definitions import DIRECT, ENROL_AND_ISSUE, GENERIC, Expiry, Promotion
from milepost.rules.issuing import EARN, ENROL, REVOKE_EARN, REVOKE_ENROL
from milepost.rules.recording import Recorded
from tests.rules.desk import Desk, calls
from tests.rules.promotion_samples import COFFEE, at_most, days, offer, offering, points
from tests.rules.samples import FIRST_DAY, sale

CUSTOMERS = (1, 2, 3)
GENERIC_ID, DIRECT_ID, ENROL_ID = 21, 22, 23
IDS = (GENERIC_ID, DIRECT_ID, ENROL_ID)
KINDS = {GENERIC_ID: GENERIC, DIRECT_ID: DIRECT, ENROL_ID: ENROL_AND_ISSUE}
FITTING = {
    GENERIC_ID: (),
    DIRECT_ID: (EARN, REVOKE_EARN),
    ENROL_ID: (ENROL, EARN, REVOKE_ENROL, REVOKE_EARN),
}
FIELDS = ("issuals", "earns", "of_all", "each")
NAMES = (
    "issuals_per_customer",
    "earns_per_customer",
    "earns_per_promotion",
    "redemptions_per_earn",
)
HOURS = {"DAILY": 24, "WEEKLY": 168, "MONTHLY": 720}
BIG = 100
"""What a purchase is worth at least for which the expression holds."""

EXHAUSTED, NOT_ENROLLED, EARNED_LIVES, WRONG_EARNS = "8890", "2305", "8896", "8903"


def at(hour: int) -> datetime:
    return FIRST_DAY + timedelta(hours=hour)


@dataclass
class Terms:
    """What a marketer said of a promotion; -1 is no limit, an expiry of None is the promotion's end."""

    starts: int
    ends: int
    issuals: int
    earns: int
    of_all: int
    each: int
    issual_days: int | None
    earn_days: int | None
    limits: list[tuple[str, str, int, str | None]]
    points: int
    coffee: bool
    big: bool
    on: bool = True


@dataclass
class Record:
    """An enrolment or an earned record, dead or alive."""

    id: int
    customer: int
    promotion: int
    made: int
    expires: int
    dummy: bool = False
    gone: bool = False
    """Replaced or revoked."""
    revoked: bool = False


@dataclass(frozen=True)
class Payment:
    """What was paid once: the points, and whether there was a coffee."""

    customer: int
    promotion: int
    earn: int | None
    dated: int
    points: int
    coffee: bool


@dataclass
class Model:
    """Everything that ever happened."""

    terms: dict[int, Terms]
    restores: bool
    hour: int = 0
    enrolments: list[Record] = field(default_factory=list)
    earned: list[Record] = field(default_factory=list)
    payments: list[Payment] = field(default_factory=list)

    # Records

    def alive(self, records: Sequence[Record], customer: int, promotion: int) -> list[Record]:
        return [
            each
            for each in records
            if (each.customer, each.promotion) == (customer, promotion)
            if not each.gone and not each.dummy and self.hour < each.expires
        ]

    def full(self, records: Sequence[Record], limit: int) -> bool:
        counted = [each for each in records if not (self.restores and each.revoked)]
        return limit != -1 and len(counted) >= limit

    def lapse(self, number: int | None, *bounds: int) -> int:
        return min(*bounds, self.hour + 24 * number if number is not None else min(bounds))

    # Calls

    def act(self, action: str, customer: int, promotion: int, ids: Sequence[int]) -> str:
        terms = self.terms[promotion]
        if not terms.on or not terms.starts <= self.hour < terms.ends:
            return "call 8892"
        if action not in FITTING[promotion]:
            return "call 8902"
        if action == ENROL:
            return self.enrol(customer, promotion, terms)
        if action == EARN:
            return self.earn(customer, promotion, terms)
        if action == REVOKE_ENROL:
            return self.revoke_enrolment(customer, promotion)
        return self.revoke_earned(customer, promotion, ids)

    def enrol(self, customer: int, promotion: int, terms: Terms) -> str:
        mine = [e for e in self.enrolments if (e.customer, e.promotion) == (customer, promotion)]
        if self.full(mine, terms.issuals):
            return EXHAUSTED
        for each in self.alive(self.enrolments, customer, promotion):
            each.gone = True
        return (
            f"i{self.new_enrolment(customer, promotion, self.lapse(terms.issual_days, terms.ends))}"
        )

    def new_enrolment(
        self, customer: int, promotion: int, expires: int, *, dummy: bool = False
    ) -> int:
        number = len(self.enrolments) + 1
        self.enrolments.append(Record(number, customer, promotion, self.hour, expires, dummy=dummy))
        return number

    def earn(self, customer: int, promotion: int, terms: Terms) -> str:
        bounds = [terms.ends]
        parent: int | None = None
        if promotion == ENROL_ID:
            enrolled = self.alive(self.enrolments, customer, promotion)
            if not enrolled:
                return NOT_ENROLLED
            (enrolment,) = enrolled
            parent = enrolment.id
            bounds.append(enrolment.expires)
        of_all = [each for each in self.earned if each.promotion == promotion]
        mine = [each for each in of_all if each.customer == customer]
        if self.full(mine, terms.earns) or self.full(of_all, terms.of_all):
            return EXHAUSTED
        if parent is None:
            dummies = [
                e.id
                for e in self.enrolments
                if (e.customer, e.promotion, e.dummy) == (customer, promotion, True)
            ]
            parent = (
                dummies[0]
                if dummies
                else self.new_enrolment(customer, promotion, terms.ends, dummy=True)
            )
        number = len(self.earned) + 1
        expires = self.lapse(terms.earn_days, *bounds)
        self.earned.append(Record(number, customer, promotion, self.hour, expires))
        return f"i{parent} e{number}"

    def revoke_enrolment(self, customer: int, promotion: int) -> str:
        enrolled = self.alive(self.enrolments, customer, promotion)
        if not enrolled:
            return NOT_ENROLLED
        if self.alive(self.earned, customer, promotion):
            return EARNED_LIVES
        enrolled[0].gone = enrolled[0].revoked = True
        return f"i{enrolled[0].id}"

    def revoke_earned(self, customer: int, promotion: int, ids: Sequence[int]) -> str:
        live = self.alive(self.earned, customer, promotion)
        if ids and not set(ids) <= {each.id for each in live}:
            return WRONG_EARNS
        if not live:
            return NOT_ENROLLED
        revoked = [each for each in live if not ids or each.id in ids]
        for each in revoked:
            each.gone = each.revoked = True
        order = list(dict.fromkeys(ids)) or [each.id for each in revoked]
        return "-" + ",".join(f"e{each}" for each in order)

    # Activities

    def buy(self, customer: int, net: int, dated: int) -> list[tuple[int, int | None, int, bool]]:
        """Promotion, record, points and coffee of each payment."""
        paid = []
        for promotion, terms in self.terms.items():
            payment = self.payment(customer, promotion, terms, net, dated)
            if payment is not None:
                self.payments.append(payment)
                paid.append((promotion, payment.earn, payment.points, payment.coffee))
        return paid

    def payment(
        self, customer: int, promotion: int, terms: Terms, net: int, dated: int
    ) -> Payment | None:
        if not terms.on or (terms.big and net < BIG):
            return None
        if not terms.points and not terms.coffee:
            return None
        earn: int | None = None
        if promotion == GENERIC_ID:
            if not terms.starts <= dated < terms.ends:
                return None
        else:
            usable = [
                each.id
                for each in self.earned
                if (each.customer, each.promotion) == (customer, promotion)
                if not each.revoked and each.made <= dated < each.expires
                if terms.each == -1 or len(self.paid_from(each.id)) < terms.each
                if all(room > 0 or not stops for room, stops in self.rooms(terms, each.id))
            ]
            if not usable:
                return None
            earn = usable[0]
        left = terms.points
        for kpi, on, most, window in terms.limits:
            used = [each for each in self.payments if each.promotion == promotion]
            if on == "CUSTOMER":
                used = [each for each in used if each.customer == customer]
            elif on == "EARN":
                used = self.paid_from(earn)
            elif on == "EVENT":
                used = []
            if window is not None:
                used = [each for each in used if dated - HOURS[window] < each.dated <= dated]
            if kpi == "TIMES":
                if len(used) >= most:
                    return None
                continue
            room = most - sum(each.points for each in used)
            if room <= 0 and not terms.coffee:
                return None
            left = max(0, min(left, room))
        return Payment(customer, promotion, earn, dated, left, terms.coffee)

    def paid_from(self, earn: int | None) -> list[Payment]:
        return [each for each in self.payments if earn is not None and each.earn == earn]

    def rooms(self, terms: Terms, earn: int) -> Iterator[tuple[int, bool]]:
        """What each limit of a record leaves there, and whether nothing left means nothing paid."""
        used = self.paid_from(earn)
        for kpi, on, most, _ in terms.limits:
            if on == "EARN" and kpi == "TIMES":
                yield most - len(used), True
            elif on == "EARN":
                yield most - sum(each.points for each in used), not terms.coffee


LIMIT = st.sampled_from([1, 2, 3, -1])
DAYS = st.sampled_from([None, None, 1, 3, 10])
REDEMPTION_LIMITS = st.lists(
    st.sampled_from([
        ("TIMES", "CUSTOMER", 2, None), ("TIMES", "CUSTOMER", 1, "DAILY"),
        ("TIMES", "CUSTOMER", 2, "WEEKLY"), ("TIMES", "PROMOTION", 3, None),
        ("TIMES", "PROMOTION", 2, "DAILY"), ("TIMES", "PROMOTION", 4, "MONTHLY"),
        ("TIMES", "EARN", 2, None), ("POINTS", "CUSTOMER", 50, None),
        ("POINTS", "CUSTOMER", 45, "WEEKLY"), ("POINTS", "PROMOTION", 100, None),
        ("POINTS", "EARN", 45, None), ("POINTS", "EVENT", 20, None),
    ]),
    max_size=2,
    unique=True,
)  # fmt: skip
TERMS = st.builds(
    lambda start, length, *rest: Terms(start, start + length, *rest),
    st.integers(-100, 0) | st.integers(-100, 20),
    st.integers(48, 900),
    LIMIT,
    LIMIT,
    LIMIT | st.integers(2, 6),
    LIMIT,
    DAYS,
    DAYS,
    REDEMPTION_LIMITS,
    st.sampled_from([30, 30, 30, 0]),
    st.booleans(),
    st.booleans(),
)
ACTS = st.one_of(
    st.tuples(
        st.sampled_from([ENROL, ENROL, EARN, EARN, EARN, REVOKE_EARN, REVOKE_ENROL]),
        st.sampled_from(CUSTOMERS),
        st.just(ENROL_ID),
    ),
    st.tuples(
        st.sampled_from([EARN, EARN, EARN, REVOKE_EARN]),
        st.sampled_from(CUSTOMERS),
        st.just(DIRECT_ID),
    ),
    st.tuples(
        st.sampled_from([ENROL, EARN, REVOKE_ENROL, REVOKE_EARN]),
        st.sampled_from(CUSTOMERS),
        st.sampled_from(IDS),
    ),
)


def defined(promotion_id: int, terms: Terms) -> Promotion:
    rewards = ((points(terms.points),) if terms.points else ()) + (
        (COFFEE,) if terms.coffee else ()
    )
    return offer(
        KINDS[promotion_id],
        promotion_id=promotion_id,
        starts=terms.starts / 24,
        ends=terms.ends / 24,
        expression="big" if terms.big else "true",
        issuals=terms.issuals,
        earns=terms.earns,
        of_all=terms.of_all,
        each=terms.each,
        limits=tuple(at_most(*limit) for limit in terms.limits),
        rewards=rewards,
        active=terms.on,
        starts_at=at(terms.starts),
        ends_at=at(terms.ends),
        issual_expiry=days(terms.issual_days) if terms.issual_days is not None else Expiry(),
        earn_expiry=days(terms.earn_days) if terms.earn_days is not None else Expiry(),
    )


class PromotionMachine(RuleBasedStateMachine):
    """The rules and the model, told the same."""

    steps = 0

    @initialize(
        terms=st.tuples(TERMS, TERMS, TERMS), restores=st.sampled_from([False, False, True])
    )
    def define(self, terms: tuple[Terms, Terms, Terms], restores: bool) -> None:
        self.model = Model(dict(zip(IDS, terms, strict=True)), restores)
        offers = [defined(*each) for each in self.model.terms.items()]
        self.desk = Desk(offering(*offers, restores=restores), frozenset(CUSTOMERS))

    @rule(acts=st.lists(ACTS, min_size=1, max_size=4))
    def call(self, acts: list[tuple[str, int, int]]) -> None:
        batch = [
            command
            for action, customer, promotion in acts
            for command in calls(action, customer, promotion=promotion)
        ]
        expected = [self.model.act(*each, ()) for each in acts]
        assert self.desk.act(batch) == expected

    @rule(customer=st.sampled_from(CUSTOMERS), promotion=st.sampled_from([ENROL_ID, DIRECT_ID]))
    def enrol_and_earn(self, customer: int, promotion: int) -> None:
        self.call([(ENROL, customer, promotion), (EARN, customer, promotion)])

    @rule(
        customer=st.sampled_from(CUSTOMERS),
        promotion=st.sampled_from([ENROL_ID, DIRECT_ID]),
        data=st.data(),
    )
    def revoke_named(self, customer: int, promotion: int, data: st.DataObject) -> None:
        live = [each.id for each in self.model.alive(self.model.earned, customer, promotion)]
        anybodys = [each.id for each in self.model.earned][-2:]
        known = st.sampled_from([*live, *live, *anybodys, 99])
        ids = data.draw(st.lists(known, min_size=1, max_size=2))
        batch = calls(REVOKE_EARN, customer, promotion=promotion, earn_ids=ids)
        assert self.desk.act(batch) == [self.model.act(REVOKE_EARN, customer, promotion, ids)]

    @rule(
        bills=st.lists(
            st.tuples(
                st.sampled_from(CUSTOMERS),
                st.sampled_from([BIG, BIG, BIG - 1]),
                st.sampled_from([0, 0, 0, 1, 24, 30, 100]),
            ),
            min_size=1,
            max_size=4,
        )
    )
    def buy(self, bills: list[tuple[int, int, int]]) -> None:
        hour = self.model.hour
        batch = [
            sale(f"{self.desk.name()}-{place}", net, at(hour - ago), customer=customer)
            for place, (customer, net, ago) in enumerate(bills)
        ]
        for bill, outcome in zip(bills, self.desk.take(*batch), strict=True):
            assert isinstance(outcome, Recorded)
            paid = [
                (
                    each.promotion.id,
                    each.earn_id,
                    sum(int(r.value) for r in each.rewards if r.type == "POINTS"),
                    any(r.type == "COUPON" for r in each.rewards),
                )
                for each in outcome.paid
            ]
            customer, net, ago = bill
            assert paid == self.model.buy(customer, net, hour - ago)

    @rule(data=st.data(), times=st.integers(1, 3))
    def collect(self, data: st.DataObject, times: int) -> None:
        """Buy something dated at a bound of an earned record, or between its bounds."""
        hour, known = self.model.hour, self.model.earned[-4:]
        if known:
            record = data.draw(st.sampled_from(known))
            bounds = [record.made - 1, record.made, record.expires - 1, record.expires, hour]
            dated = data.draw(st.sampled_from([each for each in bounds if each <= hour]))
            self.buy([(record.customer, BIG, hour - dated)] * times)

    @rule(hours=st.sampled_from([0, 1, 5, 24, 47]), noted=st.booleans(), singly=st.booleans())
    def wait(self, hours: int, noted: bool, singly: bool) -> None:
        """Expiries are noted when their work is done, or not yet: it makes no difference."""
        self.model.hour += hours
        if noted:
            self.desk.wait(at(self.model.hour), one_by_one=singly)
        self.desk.now = at(self.model.hour)

    @rule(data=st.data(), noted=st.booleans())
    def wait_for_an_expiry(self, data: st.DataObject, noted: bool) -> None:
        records = [*self.model.enrolments, *self.model.earned]
        ahead = sorted({r.expires for r in records if r.expires > self.model.hour})
        if ahead:
            hour = data.draw(st.sampled_from(ahead[:2])) - data.draw(st.integers(0, 1))
            self.wait(max(0, hour - self.model.hour), noted, singly=False)

    @rule(promotion=st.sampled_from(IDS), name=st.sampled_from(FIELDS), limit=LIMIT)
    def edit_a_limit(self, promotion: int, name: str, limit: int) -> None:
        setattr(self.model.terms[promotion], name, limit)
        self.desk.limit(promotion, **{NAMES[FIELDS.index(name)]: limit})

    @rule(promotion=st.sampled_from(IDS), data=st.data())
    def edit(self, promotion: int, data: st.DataObject) -> None:
        """Move the end, switch it, or limit its redemptions otherwise."""
        terms = self.model.terms[promotion]
        match data.draw(st.sampled_from(["end", "switch", "limits"])):
            case "end":
                hours = data.draw(st.sampled_from([-20, 1, 30, 100, 500]))
                terms.ends = max(terms.starts + 1, self.model.hour + hours)
            case "switch":
                terms.on = not terms.on or data.draw(st.booleans())
            case _:
                terms.limits = data.draw(REDEMPTION_LIMITS)
        self.desk.define(defined(promotion, terms))

    @invariant()
    def what_everybody_has_is_the_same(self) -> None:
        PromotionMachine.steps += 1
        for customer in CUSTOMERS:
            alive = [
                f"{letter}{record.id}"
                for letter, records in (("i", self.model.enrolments), ("e", self.model.earned))
                for record in records
                if record
                in [
                    each
                    for promotion in IDS
                    for each in self.model.alive(records, customer, promotion)
                ]
            ]
            assert self.desk.live(customer) == " ".join(alive)

    @invariant()
    def every_record_was_paid_from_as_often(self) -> None:
        for (_, number), earn in self.desk.earns.items():
            paid = self.model.paid_from(number)
            assert (earn.redemptions, int(earn.points)) == (
                len(paid),
                sum(each.points for each in paid),
            )

    @invariant()
    def the_ledger_has_every_payment(self) -> None:
        told: Any = [
            (customer, reward.promotion_id, reward.earn_id, reward.type)
            for customer, reward in self.desk.rewards
        ]
        expected: Any = [
            (each.customer, each.promotion, each.earn, kind)
            for each in self.model.payments
            for kind in self.kinds(each)
        ]
        key = repr
        assert sorted(told, key=key) == sorted(expected, key=key)

    def kinds(self, payment: Payment) -> list[str]:
        has_points = self.model.terms[payment.promotion].points > 0
        return ["POINTS"] * has_points + ["COUPON"] * payment.coffee


def test_promotions_in_any_order_agree_with_the_model() -> None:
    PromotionMachine.steps = 0
    run_state_machine_as_test(
        PromotionMachine, settings=settings(max_examples=500, stateful_step_count=40, deadline=None)
    )
    assert PromotionMachine.steps >= 10_000
