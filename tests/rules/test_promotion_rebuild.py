"""Rebuild: the fold of the journal is what customers have of promotions (house law 5)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from milepost.rules.coverage import Members
from milepost.rules.definitions import DIRECT, GENERIC, UNLIMITED, Definitions
from milepost.rules.effects import Entry, Issual
from milepost.rules.issuing import EARN, ENROL, REVOKE_EARN, REVOKE_ENROL
from milepost.rules.rebuild import Fold, Grant, State, compare, corrections, fold, grant_key
from milepost.store.journal import decode_details, encode_details
from tests.rules.desk import Desk, calls
from tests.rules.promotion_samples import (
    COFFEE,
    at_most,
    completion,
    days,
    offer,
    offering,
    points,
)
from tests.rules.samples import (
    CUSTOMER,
    POINTS,
    TICK,
    capping,
    cyclic,
    day,
    milestone,
    refund,
    sale,
    streak,
    unified,
    with_target,
)

BOB = 2
OF_TARGETS = (
    milestone(asked=300, reward_allocation="PERIOD_END", settlement_delay_days=2),
    streak(group_id=8, asked=200, rewards=()),
    cyclic(group_id=9, asked=200, frequency_type="DAILY", frequency=5, name="Own"),
    capping(group_id=10, asked=150),
    with_target(
        milestone(group_id=11, asked=60, rewards=(COFFEE,), name="Points"),
        target_entity="POINTS",
        target_type="PROMOTIONAL_POINTS",
    ),
    unified("run", "swim", asked=1, group_id=12),
)
OF_PROMOTIONS = (
    offer(issuals=3, earns=4, each=2, issual_expiry=days(9), earn_expiry=days(4)),
    offer(DIRECT, promotion_id=22, earns=5, of_all=6, rewards=(points(40), COFFEE)),
    offer(
        GENERIC,
        promotion_id=23,
        expression="big",
        rewards=(points(30),),
        limits=(at_most("POINTS", "CUSTOMER", 70, "WEEKLY"), at_most("TIMES", "PROMOTION", 9)),
    ),
    completion(promotion_id=24, rewards=(points(25),)),
    completion(DIRECT, promotion_id=25, earns=UNLIMITED, each=UNLIMITED, earn_expiry=days(12)),
)
DEFINED = offering(*OF_TARGETS, *OF_PROMOTIONS)
TARGETS = [target.id for group in OF_TARGETS for target in group.targets]


@dataclass
class Archive(Desk):
    """A desk that knows where each line of the journal stands."""

    lines: list[tuple[int, int, int, Entry]] = field(default_factory=list)
    """Customer, version, ordinal and entry."""

    def save(self, members: Members) -> None:
        super().save(members)
        for customer, changes in members.changes.items():
            for ordinal, entry in enumerate(changes.journal):
                self.lines.append((customer, changes.version + 1, ordinal, entry))

    def stored(self, customer: int = CUSTOMER) -> State:
        """What there is of a customer."""
        state = State(self.versions.get(customer, 0))
        state.stints = _of(self.stints, customer)
        state.progress = _of(self.progress, customer)
        state.levels = _of(self.levels, customer)
        for owner, r in self.rewards:
            if owner == customer:
                paid = (r.promotion_id, r.paid_for or "") if r.promotion_id is not None else None
                key = grant_key(
                    r.target_id, r.period_id, r.streak_level_id, r.attempt, r.ordinal, paid
                )
                assert key not in state.grants
                state.grants[key] = Grant(
                    r.target_id, r.period_id, r.name, r.type, r.value, r.granted_at
                )
        held = state.held
        held.issuals = {key[1]: row for key, row in self.issuals.items() if key[0] == customer}
        held.earns = {key[1]: row for key, row in self.earns.items() if key[0] == customer}
        held.redemptions = _of(self.redemptions, customer)
        return state

    def rebuilt(self, customer: int = CUSTOMER) -> Fold:
        """What the journal comes to."""
        dated = frozenset(
            target.id
            for group in self.defined.groups.values()
            for target in group.targets
            if group.is_fixed and not group.is_streak
        )
        under_way = Fold(customer, dated)
        for owner, version, ordinal, entry in self.lines:
            if owner == customer:
                details, effects, paid = decode_details(encode_details(entry))
                read = replace(entry, details=details, effects=effects, promotion_effects=paid)
                fold(under_way, version, ordinal, read)
        return under_way

    def differences(self, stored: State | None = None) -> list[tuple[str, str, str]]:
        """Between what is stored of the customer and what the journal comes to."""
        found = compare(stored or self.stored(), self.rebuilt(), self.defined, self.now)
        return [(each.field, each.stored, each.rebuilt) for each in found]


def _of(table: dict[Any, Any], customer: int) -> dict[Any, Any]:
    return {key[1:]: row for key, row in table.items() if key[0] == customer}


def archive(defined: Definitions = DEFINED) -> Archive:
    return Archive(defined, frozenset({CUSTOMER, BOB}))


ISSUED = st.sampled_from([21, 21, 22, 25])
WHO = st.lists(st.sampled_from([CUSTOMER, CUSTOMER, BOB]), min_size=1, max_size=3)
LATE = st.sampled_from([0, 0, 0, 1, 5])
AMOUNTS = st.sampled_from([50, 100, 200, 300])
STEPS = st.one_of(
    st.tuples(st.just("act"), st.sampled_from([ENROL, EARN, EARN]), ISSUED, WHO),
    st.tuples(st.just("act"), st.sampled_from([ENROL, EARN, EARN]), ISSUED, WHO),
    st.tuples(st.just("act"), st.sampled_from([REVOKE_EARN, REVOKE_ENROL]), ISSUED, WHO),
    st.tuples(st.just("buy"), WHO, AMOUNTS, LATE),
    st.tuples(st.just("buy"), WHO, AMOUNTS, LATE),
    st.tuples(st.just("happen"), st.sampled_from(["run", "swim"])),
    st.tuples(st.just("give back"), st.integers(0, 20), AMOUNTS),
    st.tuples(
        st.just("join"),
        st.sampled_from(TARGETS),
        st.sampled_from([None, None, "c1", "c2"]),
        st.sampled_from([None, None, 0, 300]),
        st.booleans(),
    ),
    st.tuples(st.just("leave"), st.sampled_from(TARGETS)),
    st.tuples(st.just("switch"), st.sampled_from([21, 22, 23, 24, 25])),
    st.tuples(st.just("wait"), st.sampled_from([0.3, 1, 3, 7])),
    st.tuples(st.just("wait"), st.sampled_from([0.3, 1, 3, 7])),
)


def live(here: Archive, steps: list[tuple[Any, ...]]) -> None:
    for step in steps:
        match step:
            case ["act", action, promotion, customers]:
                here.act(calls(action, *customers, promotion=promotion))
            case ["buy", customers, amount, ago]:
                at = here.now - timedelta(days=ago)
                bills = [
                    sale(f"{here.name()}-{place}", amount, at, customer=each)
                    for place, each in enumerate(customers)
                ]
                here.take(*bills)
            case ["happen", name]:
                here.happen(name)
            case ["give back", place, amount]:
                sold = [r.activity for r in here.received.values() if r.activity.return_of is None]
                if sold:
                    of = sold[place % len(sold)]
                    customer = of.customer_id
                    here.take(refund(here.name(), of.id, amount, here.now, customer=customer))
            case ["join", target, name, balance, reset]:
                here.join(target, name, balance, reset=reset)
            case ["leave", target]:
                here.leave(target)
            case ["switch", promotion]:
                here.edit(promotion, active=not here.defined.promotions[promotion].active)
            case ["wait", length]:
                here.wait(here.now + timedelta(days=length), one_by_one=length > 5)


@settings(max_examples=150, deadline=None)
@given(st.sets(st.sampled_from(TARGETS)), st.lists(STEPS, min_size=10, max_size=40))
def test_the_fold_of_the_journal_is_what_customers_have_of_promotions_whatever_they_do(
    enrolled: set[int], steps: list[tuple[Any, ...]]
) -> None:
    here = archive()
    for target in sorted(enrolled):
        here.join(target)
    live(here, steps)
    for customer in (CUSTOMER, BOB):
        stored, rebuilt = here.stored(customer), here.rebuilt(customer)
        assert compare(stored, rebuilt, here.defined, here.now) == []
        assert rebuilt.state == stored
        assert not corrections(stored, rebuilt.state)


@pytest.fixture
def here() -> Archive:
    """An enrolment that was replaced, records that were used, revoked and lapsed, and a dummy."""
    lived = archive(offering(*OF_PROMOTIONS))
    lived.enrol()
    lived.earn()
    lived.now = day(1)
    lived.buy(50)
    lived.enrol()
    lived.earn()
    lived.revoke_earn(2)
    lived.earn(promotion=22)
    lived.buy(200)
    lived.wait(7)
    assert lived.differences() == []
    return lived


Damage = Callable[[State], object]
AT = day(3) + TICK


def swap(name: str, key: Any, **changes: Any) -> Damage:
    """A row of a table with other values."""

    def damage(state: State) -> None:
        table = getattr(state.held, name)
        table[key] = replace(table[key], **changes)

    return damage


PAID = (22, "activity a-2")
DAMAGES: dict[str, tuple[Damage, list[tuple[str, str, str]]]] = {
    "an expiry": (
        swap("issuals", 2, expires_at=AT),
        [("promotion enrolment 2 expires_at", AT.isoformat(), day(10).isoformat())],
    ),
    "an end": (
        swap("issuals", 1, ended_at=None, ended_as=None),
        [
            ("promotion enrolment 1 ended_at", "nothing", day(1).isoformat()),
            ("promotion enrolment 1 ended_as", "nothing", "REPLACED"),
        ],
    ),
    "a dummy": (
        swap("issuals", 3, is_dummy=False),
        [("promotion enrolment 3 is_dummy", "False", "True")],
    ),
    "a revoked record": (
        swap("earns", 2, ended_at=None, ended_as=None),
        [
            ("earned record 2 ended_at", "nothing", day(1).isoformat()),
            ("earned record 2 ended_as", "nothing", "REVOKED"),
        ],
    ),
    "what was collected": (
        swap("earns", 3, redemptions=7, points=Decimal(9)),
        [
            ("earned record 3 redemptions", "7", "1"),
            ("earned record 3 points", "9", "40"),
        ],
    ),
    "the place in the journal": (
        swap("earns", 1, entry_id=5),
        [("earned record 1 entry_id", "5", str(2 << 15))],
    ),
    "a redemption": (
        swap("redemptions", PAID, points=Decimal(1)),
        [("redemption of promotion 22 for activity a-2 points", "1", "40")],
    ),
    "a reward": (
        lambda state: state.grants.update(
            {
                ("PROMOTION", *PAID, 1, 1): replace(
                    state.grants["PROMOTION", *PAID, 1, 1], name="Tea"
                )
            }
        ),
        [
            (
                "reward 'Coffee' of promotion 22 for activity a-2 attempt 1 ordinal 1 name",
                "Tea",
                "Coffee",
            )
        ],
    ),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_what_is_damaged_is_found_and_nothing_else(here: Archive, name: str) -> None:
    damage, expected = DAMAGES[name]
    stored = here.stored()
    damage(stored)
    assert here.differences(stored) == expected


@pytest.mark.parametrize("name", DAMAGES)
def test_enrolments_and_records_are_corrected_and_nothing_that_only_grows(
    here: Archive, name: str
) -> None:
    damage, expected = DAMAGES[name]
    stored = here.stored()
    damage(stored)
    needed = corrections(stored, here.rebuilt().state)
    mended = expected[0][0].startswith(("promotion enrolment", "earned record"))
    assert bool(needed) is mended
    stored.held.issuals.update(needed.issuals)
    stored.held.earns.update(needed.earns)
    assert here.differences(stored) == [] or not mended


def test_a_row_too_many_and_one_too_few_are_shown_whole(here: Archive) -> None:
    stored = here.stored()
    stored.held.issuals[99] = Issual(99, 21, day(0), day(1))
    del stored.held.redemptions[PAID]
    extra, missing = here.differences(stored)
    assert extra[0] == "promotion enrolment 99"
    assert extra[2] == "nothing"
    assert missing[:2] == ("redemption of promotion 22 for activity a-2", "nothing")


def test_edits_of_promotions_change_nothing_that_was_recorded(here: Archive) -> None:
    for promotion in OF_PROMOTIONS:
        here.edit(promotion.id, rewards=(POINTS,), ends_at=day(1), active=False)
    assert here.differences() == []
    here.defined = offering()
    assert here.differences() == []


def test_what_was_collected_before_an_expiry_in_the_same_batch_is_in_the_journal() -> None:
    here = archive(
        offering(
            milestone(asked=100, reward_allocation="PERIOD_END", rewards=()),
            completion(DIRECT, earn_expiry=days(11)),
        )
    )
    here.join(70)
    here.earn()
    here.buy(100)
    here.wait(30)
    assert here.earned().redemptions == 1
    assert here.differences() == []
