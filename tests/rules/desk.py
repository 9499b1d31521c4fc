"""A desk at which promotions are issued and collected, by the rules alone.

Enrolments are called i1, i2, … and earned records e1, e2, …, in the order in which they were made.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Any, TypeVar

from milepost.errors import Refusal
from milepost.rules.activities import Activity
from milepost.rules.coverage import Members
from milepost.rules.customers import Identifier, Known, Lookup
from milepost.rules.definitions import UNLIMITED, Promotion
from milepost.rules.due import Due, due
from milepost.rules.effects import Changes, Earn, Issual, OwnCycleEnd, Redemption, Reward, Usage
from milepost.rules.enrolment import Enrol, Unenrol, apply
from milepost.rules.enrolment import promotions_needed as needed_to_enrol
from milepost.rules.holdings import Redeemed, Standings, total_usage, winners
from milepost.rules.issuing import (
    EARN,
    ENROL,
    ISSUE,
    REVOKE_EARN,
    REVOKE_ENROL,
    Act,
    Call,
    CallRefused,
    Cast,
    Outcome,
    act,
    find_promotion,
)
from milepost.rules.recording import History, RecordActivity, Recorded, record
from milepost.rules.recording import promotions_needed as needed_to_record
from milepost.rules.redemption import HoldingsNeeded
from milepost.rules.settlement import prepare, settle
from milepost.rules.settlement import promotions_needed as needed_to_settle
from tests.rules.promotion_samples import PROGRAM, PROMOTION, evaluate
from tests.rules.samples import CUSTOMER, FIRST_DAY, Rows, day, event, sale

ACTIONS = (ENROL, EARN, REVOKE_ENROL, REVOKE_EARN, ISSUE)
SOURCE = "INSTORE"

_Row = TypeVar("_Row", Issual, Earn, Redemption)
_Loaded = TypeVar("_Loaded", bound=Members)


def calls(
    action: str | None,
    *customers: int | str,
    promotion: int = PROMOTION,
    earn_ids: Sequence[int] | None = None,
) -> list[Act]:
    """A call for customers, by their ids or mobiles."""
    call = Call(PROGRAM, promotion, None, action, ACTIONS)
    named = tuple(earn_ids) if earn_ids is not None else None
    return [
        Act(
            call,
            Lookup(Identifier("mobile" if isinstance(c, str) else "id", str(c)), SOURCE),
            named,
        )
        for c in customers
    ]


def fate(outcome: Outcome) -> str:
    """What became of one customer of a call: ids of what was made or, with a minus, taken; or a code."""
    if isinstance(outcome, CallRefused):
        return f"call {outcome.refusal.error.code}"
    if isinstance(outcome, Refusal):
        return str(outcome.error.code)
    if outcome.is_exhausted:
        assert outcome.earn_id is None
        return "8890"
    if outcome.revoked_earn_ids:
        return "-" + ",".join(f"e{each}" for each in outcome.revoked_earn_ids)
    parts = [f"i{outcome.issual_id}"]
    if outcome.earn_id is not None:
        parts.append(f"e{outcome.earn_id}")
    return " ".join(parts)


@dataclass
class Desk(Rows):
    """The tables, those of promotions among them: every call is a batch of its own, at `now`.

    A batch loads what the store loads for it and no more; and what it would go on with must be what the
    next one loads.
    """

    now: datetime = FIRST_DAY
    mobiles: dict[str, int] = field(default_factory=dict)
    """Whose they are."""
    versions: dict[int, int] = field(default_factory=dict)
    issuals: dict[tuple[int, int], Issual] = field(default_factory=dict)
    """By (customer id, id)."""
    earns: dict[tuple[int, int], Earn] = field(default_factory=dict)
    """By (customer id, id)."""
    redemptions: dict[tuple[int, int, str], Redemption] = field(default_factory=dict)
    """By (customer id, promotion id, what it was paid for)."""
    usage: dict[int, Usage] = field(default_factory=dict)
    """By promotion id: of those that are counted."""
    done: set[tuple[int, str]] = field(default_factory=set)
    """The keys of the due work that was done."""

    def __post_init__(self) -> None:
        self.define(*self.defined.promotions.values())

    # Definitions

    def define(self, *promotions: Promotion) -> None:
        """Make promotions, or change them: what is counted from now on is counted now."""
        for promotion in promotions:
            before = self.defined.promotions.get(promotion.id)
            was_counted = before is not None and before.is_counted and promotion.id in self.usage
            changed = {**self.defined.promotions, promotion.id: promotion}
            self.defined = replace(self.defined, promotions=changed)
            if promotion.is_counted and not was_counted:
                self.usage[promotion.id] = self.count(promotion.id)

    def edit(self, promotion_id: int = PROMOTION, **fields: object) -> None:
        """Change a promotion."""
        before = self.defined.promotions[promotion_id]
        self.define(replace(before, **fields))  # type: ignore[arg-type]

    def limit(self, promotion_id: int = PROMOTION, **fields: int) -> None:
        """Change limits of a promotion."""
        before = self.defined.promotions[promotion_id]
        self.define(replace(before, limits=replace(before.limits, **fields)))

    def count(self, promotion_id: int) -> Usage:
        """The use of a promotion by all customers, from what there is."""
        earns = [each for each in self.earns.values() if each.promotion_id == promotion_id]
        redeemed = [each for each in self.redemptions.values() if each.promotion_id == promotion_id]
        return Usage(
            len(earns),
            sum(each.ended_as == "REVOKED" for each in earns),
            len(redeemed),
            sum((each.points for each in redeemed), Decimal(0)),
        )

    # Calls

    def act(self, commands: Sequence[Act]) -> list[str]:
        """Decide acts as one batch; what became of each."""
        named = {Identifier("id", str(each)): each for each in self.customers}
        named |= {Identifier("mobile", number): owner for number, owner in self.mobiles.items()}
        known = {key: Known(owner, frozenset({SOURCE})) for key, owner in named.items()}
        cast = Cast({}, {}, known=known)
        issuals = 1 + max((key[1] for key in self.issuals), default=0)
        earns = 1 + max((key[1] for key in self.earns), default=0)
        cast.issual_ids = deque(range(issuals, issuals + len(commands)))
        cast.earn_ids = deque(range(earns, earns + len(commands)))
        pairs: set[tuple[int, int]] = set()
        counted: set[int] = set()
        for command in commands:
            promotion = find_promotion(self.defined, command.call, self.now)
            owner = named.get(command.boundary)
            if isinstance(promotion, Promotion) and owner is not None:
                pairs.add((owner, promotion.id))
                if promotion.is_counted:
                    counted.add(promotion.id)
        cast.versions = {customer: self.versions.get(customer, 0) for customer, _ in pairs}
        self._load_pairs(cast.standings, pairs, counted)
        outcomes = [act(self.defined, cast, each, self.now, evaluate) for each in commands]
        self.save(cast)
        again = Standings()
        self._load_pairs(again, pairs, counted)
        for customer, promotion_id in pairs:
            was, now = (each.holding(customer, promotion_id) for each in (cast.standings, again))
            was.earns = {key: earn for key, earn in was.earns.items() if earn.ended_at is None}
            assert was == now
        assert cast.standings.usage == again.usage
        return [fate(outcome) for outcome in outcomes]

    def call(
        self,
        action: str | None,
        customer: int | str = CUSTOMER,
        promotion: int = PROMOTION,
        earn_ids: Sequence[int] | None = None,
    ) -> str:
        """A call for one customer."""
        return self.act(calls(action, customer, promotion=promotion, earn_ids=earn_ids))[0]

    def enrol(self, customer: int | str = CUSTOMER, promotion: int = PROMOTION) -> str:
        return self.call(ENROL, customer, promotion)

    def earn(self, customer: int | str = CUSTOMER, promotion: int = PROMOTION) -> str:
        return self.call(EARN, customer, promotion)

    def revoke_enrol(self, customer: int | str = CUSTOMER, promotion: int = PROMOTION) -> str:
        return self.call(REVOKE_ENROL, customer, promotion)

    def revoke_earn(
        self, *earn_ids: int, customer: int | str = CUSTOMER, promotion: int = PROMOTION
    ) -> str:
        """Take the records with these ids back; all live ones if none is named."""
        return self.call(REVOKE_EARN, customer, promotion, earn_ids or None)

    # Activities and targets

    def take(self, *activities: Activity) -> list[Recorded | Refusal]:
        """Take in activities as one batch, now."""
        history = self.load_history(activities)
        needed = needed_to_record(self.defined, activities, self.now)
        self._load_needed(history.standings, needed)
        outcomes = [
            record(self.defined, history, RecordActivity(each), self.now, evaluate)
            for each in activities
        ]
        self.save(history)
        self._check_needed(history.standings, needed)
        return outcomes

    def buy(
        self, net: float = 100, at: float | datetime | None = None, customer: int = CUSTOMER
    ) -> str:
        """Buy something, now or on a day that is told now; what promotions made of it."""
        return self.do(sale(self.name(), net, self.now if at is None else at, customer=customer))

    def happen(self, name: str, at: float | datetime | None = None, **attributes: Any) -> str:
        """An event; what promotions made of it."""
        return self.do(event(self.name(), name, self.now if at is None else at, **attributes))

    def do(self, activity: Activity) -> str:
        """One activity: the record that paid, or `paid`, or why nothing was, of each promotion that it
        concerned; a code if it was rejected.
        """
        (outcome,) = self.take(activity)
        if isinstance(outcome, Refusal):
            return str(outcome.error.code)
        return self.effects_of(activity)

    def effects_of(self, activity: Activity) -> str:
        """What promotions made of an activity that was taken in."""
        entry = next(
            entry
            for owner, entry in reversed(self.journal)
            if owner == activity.customer_id and entry.details.get("activity") == activity.id
            if entry.what == "ACTIVITY"
        )
        return " ".join(
            ("paid" if each.earn_id is None else f"e{each.earn_id}")
            if each.reason == "REDEEMED"
            else each.reason
            for each in entry.promotion_effects
        )

    def name(self) -> str:
        """A new activity's id."""
        return f"a-{len(self.received) + 1}"

    def join(
        self,
        target: int,
        name: str | None = None,
        balance: int | None = None,
        *,
        reset: bool = False,
        customer: int = CUSTOMER,
    ) -> int:
        """Enrol in a target."""
        command = Enrol(target // 10, target, customer, name, balance, reset)
        return self.decide([command], self.now)[0]

    def leave(self, target: int, customer: int = CUSTOMER) -> int:
        return self.decide([Unenrol(target // 10, target, customer)], self.now)[0]

    def decide(self, commands: Iterable[Enrol | Unenrol], now: datetime) -> list[int]:
        commands = list(commands)
        members = self.load()
        needed = needed_to_enrol(self.defined, commands, now)
        self._load_needed(members.standings, needed)
        outcomes = [apply(self.defined, members, each, now, evaluate) for each in commands]
        self.save(members)
        self._check_needed(members.standings, needed)
        return [each.error.code if isinstance(each, Refusal) else 0 for each in outcomes]

    def wait(self, until: float | datetime, *, one_by_one: bool = False) -> None:
        """Let what falls due by a day, or an instant, happen in one go; the clock stands there then.

        All customers are one batch, or each is one.
        """
        to = until if isinstance(until, datetime) else day(until)
        dues = [each for each in due(self.defined, to) if each.key not in self.done]
        self.done |= {each.key for each in dues}
        self.now = to
        everybody = sorted(self.customers)
        for batch in [[each] for each in everybody] if one_by_one else [everybody]:
            self._settle(batch, dues, to)

    def _settle(self, customers: Sequence[int], dues: Sequence[Due], to: datetime) -> None:
        members = self.load()
        works = prepare(self.defined, dues)
        ends: dict[int, list[OwnCycleEnd]] = {customer: [] for customer in customers}
        for key, end in list(self.cycle_ends.items()):
            if end.due_at <= to and key[0] in ends:
                ends[key[0]].append(self.cycle_ends.pop(key))
        needed = needed_to_settle(self.defined, customers, works, ends, to)
        self._load_needed(members.standings, needed)
        for customer in customers:
            expiries = [each for each in self.records(customer) if each.expires_at <= to]
            settle(self.defined, members, customer, works, ends[customer], to, evaluate, expiries)
        self.save(members)
        self._check_needed(members.standings, needed)

    # What there is

    def records(self, customer: int = CUSTOMER) -> list[Issual | Earn]:
        """What the customer has that was not ended, dummies left out; it may be past its expiry."""
        issuals = [row for key, row in self.issuals.items() if key[0] == customer]
        earns = [row for key, row in self.earns.items() if key[0] == customer]
        found: list[Issual | Earn] = [each for each in issuals if not each.is_dummy]
        return [each for each in (*found, *earns) if each.ended_at is None]

    def live(self, customer: int = CUSTOMER) -> str:
        """What the customer has now, dummies left out."""
        return " ".join(
            f"{'e' if isinstance(each, Earn) else 'i'}{each.id}"
            for each in self.records(customer)
            if self.now < each.expires_at
        )

    def issual(self, number: int = 1, customer: int = CUSTOMER) -> Issual:
        return self.issuals[customer, number]

    def earned(self, number: int = 1, customer: int = CUSTOMER) -> Earn:
        return self.earns[customer, number]

    @property
    def granted(self) -> list[Reward]:
        """The rewards of promotions, in order."""
        return [reward for _, reward in self.rewards if reward.promotion_id is not None]

    @property
    def paid(self) -> list[tuple[str, int]]:
        """Name and value of each reward of a promotion, in order."""
        return [(each.name, int(each.value)) for each in self.granted]

    def told_of(self, *reasons: str) -> list[str]:
        """The reason codes of what was noted of promotions, or only these, in order."""
        found = [entry.reason for _, entry in self.journal if "promotion" in entry.details]
        return [each for each in found if not reasons or each in reasons]

    def copy(self) -> Desk:
        copied = super().copy()
        assert isinstance(copied, Desk)
        for name in ("versions", "issuals", "earns", "redemptions", "done"):
            setattr(copied, name, getattr(self, name).copy())
        copied.usage = {key: replace(usage) for key, usage in self.usage.items()}
        return copied

    def told(self) -> list[object]:
        return [*super().told(), self.issuals, self.earns, self.redemptions, self.usage]

    # Loads and saves

    def load(self) -> Members:
        return self._at_versions(super().load())

    def load_history(self, activities: Sequence[Activity]) -> History:
        return self._at_versions(super().load_history(activities))

    def _at_versions(self, members: _Loaded) -> _Loaded:
        members.versions = {customer: self.versions.get(customer, 0) for customer in self.customers}
        return members

    def _load_pairs(
        self, standings: Standings, pairs: Iterable[tuple[int, int]], counted: Iterable[int]
    ) -> None:
        for promotion_id in counted:
            self._load_usage(standings, promotion_id)
        for customer, promotion_id in pairs:
            holding = standings.holding(customer, promotion_id)
            issuals = list(_of(self.issuals, customer, promotion_id))
            earns = list(_of(self.earns, customer, promotion_id))
            holding.issuals = sum(not each.is_dummy for each in issuals)
            holding.revoked_issuals = sum(each.ended_as == "REVOKED" for each in issuals)
            holding.earned = len(earns)
            holding.revoked_earns = sum(each.ended_as == "REVOKED" for each in earns)
            holding.issual = next((each for each in issuals if each.ended_at is None), None)
            holding.earns = {each.id: each for each in earns if each.ended_at is None}

    def _load_needed(self, standings: Standings, needed: HoldingsNeeded) -> None:
        for promotion_id in needed.counted:
            self._load_usage(standings, promotion_id)
        for (customer, _), earn in sorted(self.earns.items(), key=lambda item: item[0]):
            span = needed.spans.get(customer)
            if span is None or earn.promotion_id not in needed.promotion_ids:
                continue
            first, last = span
            if earn.ended_as != "REVOKED" and earn.earned_at <= last and earn.expires_at > first:
                standings.holding(customer, earn.promotion_id).earns[earn.id] = earn
        for (customer, promotion_id), since in needed.redeemed.items():
            holding = standings.holding(customer, promotion_id)
            found = list(_of(self.redemptions, customer, promotion_id))
            holding.times = len(found)
            holding.points = sum((each.points for each in found), Decimal(0))
            holding.redeemed = [
                Redeemed(each.paid_for, each.occurred_at, each.points)
                for each in found
                if each.occurred_at > since
            ]
        for promotion_id, lookback in needed.overall.items():
            redeemed = standings.redeemed[promotion_id] = []
            dates = [
                r.occurred_at for r in self.redemptions.values() if r.promotion_id == promotion_id
            ]
            for since, until, most in lookback.spans():
                redeemed += sorted(at for at in dates if since < at <= until)[::-1][:most]
            redeemed.sort()

    def _load_usage(self, standings: Standings, promotion_id: int) -> None:
        usage = replace(self.usage[promotion_id])
        standings.usage[promotion_id] = usage
        standings.seen[promotion_id] = usage.redemptions

    def _check_needed(self, went_on: Standings, needed: HoldingsNeeded) -> None:
        again = Standings()
        self._load_needed(again, needed)
        for customer, of_customer in went_on.holdings.items():
            for promotion_id, was in of_customer.items():
                now = again.holding(customer, promotion_id)
                assert _unended(was.earns) == _unended(now.earns)
                since = needed.redeemed.get((customer, promotion_id))
                if since is not None:
                    assert (was.times, was.points) == (now.times, now.points)
                    kept = [each for each in was.redeemed if each.occurred_at > since]
                    assert sorted(kept) == sorted(now.redeemed)
        for promotion_id, usage in again.usage.items():
            assert replace(went_on.usage[promotion_id], seen=None) == usage
        for promotion_id, dates in again.redeemed.items():
            assert Counter(dates) <= Counter(went_on.redeemed.get(promotion_id, ()))

    def save(self, members: Members) -> None:
        changed = list(members.changes.values())
        self._claim(changed)
        super().save(members)
        for changes in changed:
            if changes.journal:
                self.versions[changes.customer_id] = changes.version + 1
            else:
                assert not any((changes.issuals, changes.earns, changes.redemptions))
        open_ones = [
            (customer, each.promotion_id)
            for (customer, _), each in self.issuals.items()
            if each.ended_at is None
        ]
        assert len(set(open_ones)) == len(open_ones)
        for promotion_id, usage in self.usage.items():
            if self.defined.promotions[promotion_id].is_counted:
                assert usage == self.count(promotion_id)

    def _claim(self, changed: Sequence[Changes]) -> None:
        """Nothing is decided that the claim of a batch would refuse."""
        everybody = {changes.customer_id for changes in changed}
        assert winners(changed, everybody, set()) == everybody
        for promotion_id, used in total_usage(changed).items():
            promotion, usage = self.defined.promotions[promotion_id], self.usage[promotion_id]
            if used.seen is not None:
                assert used.seen == usage.redemptions
            usage.add(used)
            usage.seen = None
            revoked = usage.revoked_earns if self.defined.revokes_restore_limits else 0
            if used.earns and promotion.limits.earns_per_promotion != UNLIMITED:
                assert usage.earns - revoked <= promotion.limits.earns_per_promotion
            for limit in promotion.redemption_limits:
                if limit.on == "PROMOTION" and limit.window is None:
                    times = limit.kpi == "TIMES"
                    assert not used.redemptions or not times or usage.redemptions <= limit.most
                    assert not used.points or times or usage.points <= limit.most

    def save_rows(self, customer: int, changes: Changes) -> None:
        super().save_rows(customer, changes)
        for issual in changes.issuals.values():
            before = self.issuals.get((customer, issual.id), issual)
            assert replace(issual, ended_at=before.ended_at, ended_as=before.ended_as) == before
            self.issuals[customer, issual.id] = issual
        for earn in changes.earns.values():
            known = self.earns.get((customer, earn.id), earn)
            # What was collected from it is never forgotten.
            assert (earn.redemptions, earn.points) >= (known.redemptions, known.points)
            self.earns[customer, earn.id] = earn
        for each in changes.redemptions:
            key = (customer, each.promotion_id, each.paid_for)
            assert key not in self.redemptions
            self.redemptions[key] = each


def _of(table: Mapping[Any, _Row], customer: int, promotion_id: int) -> Iterator[_Row]:
    return (
        row for key, row in table.items() if key[0] == customer and row.promotion_id == promotion_id
    )


def _unended(earns: Mapping[int, Earn]) -> dict[int, Earn]:
    """That an expiry was noted changes nothing of what is paid."""
    return {key: replace(earn, ended_at=None, ended_as=None) for key, earn in earns.items()}
