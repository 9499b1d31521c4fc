"""What customers have of promotions: expiry, limits, and whose changes stand (contract §7)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milepost.rules.definitions import UNLIMITED, Expiry
from milepost.rules.effects import Changes, Earn, Entry, Issual, Usage
from milepost.rules.holdings import (
    WINDOWS,
    Holding,
    Lookback,
    count_within,
    customer_limits,
    expiry,
    is_live,
    is_used_up,
    live_issual,
    total_usage,
    winners,
)
from tests.rules.promotion_samples import at_most, days, offer
from tests.rules.samples import TICK, day

UTC_ZONE = ZoneInfo("UTC")
BERLIN = ZoneInfo("Europe/Berlin")
P, Q, R = 21, 22, 23


# Life


def test_a_record_lives_from_when_it_was_made_to_before_its_expiry_unless_it_was_ended() -> None:
    earn = Earn(1, P, 1, day(2), day(5))
    assert is_live(earn, day(2))
    assert is_live(earn, day(5) - TICK)
    assert not is_live(earn, day(5))
    for ended_as in ("REVOKED", "EXPIRED"):
        assert not is_live(replace(earn, ended_at=day(3), ended_as=ended_as), day(4))


def test_a_dummy_is_no_enrolment() -> None:
    issual = Issual(1, P, day(0), day(9))
    assert live_issual(Holding(issual=issual), day(1)) is issual
    assert live_issual(Holding(issual=replace(issual, is_dummy=True)), day(1)) is None
    assert live_issual(Holding(issual=issual), day(9)) is None
    assert live_issual(Holding(), day(1)) is None


def test_the_live_records_are_in_the_order_in_which_they_were_made() -> None:
    made = [Earn(number, P, 1, day(0), day(9)) for number in (1, 2, 3, 4)]
    made[1] = replace(made[1], ended_at=day(1), ended_as="REVOKED")
    made[3] = replace(made[3], expires_at=day(2))
    holding = Holding(earns={earn.id: earn for earn in made})
    assert [earn.id for earn in holding.live_earns(day(2))] == [1, 3]
    assert [earn.id for earn in holding.live_earns(day(1))] == [1, 3, 4]


# Expiry


INSTANTS = st.timedeltas(timedelta(-2000), timedelta(5000)).map(lambda since: day(0) + since)


@given(INSTANTS, st.integers(1, 900), st.lists(INSTANTS, min_size=1, max_size=2))
def test_no_record_outlasts_any_of_its_bounds(
    made_at: datetime, number: int, bounds: list[datetime]
) -> None:
    assert expiry(Expiry(), made_at, BERLIN, *bounds) == min(bounds)
    found = expiry(days(number), made_at, BERLIN, *bounds)
    assert found == min(bounds) or found < min(bounds)
    alone = expiry(days(number), made_at, BERLIN, day(10**4))
    # The clock on the wall shows what it showed then, but for the hour that a change skips or repeats.
    off = alone.astimezone(BERLIN).replace(tzinfo=None) - made_at.astimezone(BERLIN).replace(
        tzinfo=None
    )
    assert off in (timedelta(days=number), timedelta(days=number) + off % timedelta(hours=1))
    assert abs(off - timedelta(days=number)) < timedelta(hours=1)


def test_days_that_are_said_of_a_promotions_end_are_ignored() -> None:
    assert expiry(Expiry("PROMOTION", 10), day(0), UTC_ZONE, day(50)) == day(50)


# Limits


@pytest.mark.parametrize(
    ("count", "revoked", "limit", "restores", "used_up"),
    [
        (0, 0, 1, False, False),
        (1, 0, 1, False, True),
        (1, 1, 1, False, True),
        (1, 1, 1, True, False),
        (3, 1, 2, True, True),
        (5, 0, 3, False, True),
        (10**6, 0, UNLIMITED, False, False),
        (10**6, 0, UNLIMITED, True, False),
    ],
)
def test_a_limit_counts_all_there_ever_were_unless_revoking_gives_back(
    count: int, revoked: int, limit: int, restores: bool, used_up: bool
) -> None:
    assert is_used_up(count, revoked, limit, restores=restores) == used_up


@pytest.mark.parametrize("window", WINDOWS)
def test_a_window_moves_with_each_event_and_does_not_have_its_own_begin(window: str) -> None:
    length = {"DAILY": 1, "WEEKLY": 7, "MONTHLY": 30}[window]
    at = day(40)
    dates = [at - timedelta(days=length), at - timedelta(days=length) + TICK, at, at + TICK]
    assert count_within(dates, window, at) == 2
    assert count_within(dates[:2], window, at) == count_within(dates[2:], window, at) == 1


HOURS = st.integers(0, 200)


@given(
    redeemed=st.lists(HOURS, max_size=40),
    dates=st.sets(HOURS.map(lambda hour: (hour, hour)) | st.tuples(HOURS, HOURS), max_size=6),
    hours=st.integers(1, 48),
    most=st.integers(1, 5),
    data=st.data(),
)
def test_what_is_looked_back_over_is_enough_for_every_date_and_nothing_is_known_twice(
    redeemed: list[int],
    dates: set[tuple[int, int]],
    hours: int,
    most: int,
    data: st.DataObject,
) -> None:
    def at(hour: int) -> datetime:
        return day(hour / 24)

    occasions = {(min(each), max(each)) for each in dates}
    lookback = Lookback(
        timedelta(hours=hours), most, {(at(first), at(last)) for first, last in occasions}
    )
    rows = sorted((at(hour) for hour in redeemed), reverse=True)
    known: list[datetime] = []
    for since, until, enough in lookback.spans():
        known += [each for each in rows if since < each <= until][:enough]
    assert not Counter(known) - Counter(rows)
    for first, last in occasions:
        date = at(data.draw(st.integers(first, last)))
        # A shorter window and a lower limit than the largest are looked at in the same redemptions.
        begin = date - timedelta(hours=data.draw(st.integers(1, hours)))
        limit = data.draw(st.integers(1, most))
        counts = [sum(begin < each <= date for each in side) for side in (known, rows)]
        assert min(counts[0], limit) == min(counts[1], limit)


def test_only_a_customers_own_limits_need_what_the_customer_redeemed() -> None:
    limits = tuple(at_most("POINTS", on, 5) for on in ("EVENT", "CUSTOMER", "PROMOTION", "EARN"))
    assert [limit.on for limit in customer_limits(offer(limits=limits))] == ["CUSTOMER"]


# Usage


def uses(
    customer: int, *promotions: int, leans: Sequence[int] = (), written: bool = True
) -> Changes:
    """Changes of a customer who uses promotions, and whose refusals lean on others' use."""
    changes = Changes(customer, 0)
    changes.usage = {promotion: Usage(earns=1) for promotion in promotions}
    changes.leans_on = set(leans)
    if written and (promotions or not leans):
        changes.journal.append(Entry(day(0), "ACHIEVED", "PROMOTION_EARNED"))
    return changes


def test_what_all_changes_use_is_added_up_by_promotion() -> None:
    first, second = Changes(1, 0), Changes(2, 0)
    first.usage = {P: Usage(1, 0, 2, Decimal(3)), Q: Usage(revoked_earns=4)}
    second.usage = {P: Usage(10, 1, 20, Decimal(30), seen=7)}
    total = total_usage([first, second])
    assert total == {P: Usage(11, 1, 22, Decimal(33), seen=7), Q: Usage(revoked_earns=4)}
    assert first.usage[P] == Usage(1, 0, 2, Decimal(3))


# Winners


def test_who_was_claimed_and_uses_nothing_that_is_full_wins() -> None:
    changes = [uses(1, P), uses(2), uses(3, Q)]
    assert winners(changes, {1, 2, 3}, set()) == {1, 2, 3}
    assert winners(changes, {1, 3}, set()) == {1, 3}
    assert winners(changes, {1, 2, 3}, {P}) == {2, 3}
    assert winners(changes, set(), {P}) == set()


def test_a_refusal_stands_where_those_it_leans_on_do() -> None:
    changes = [uses(1, P), uses(2, leans=[P])]
    assert winners(changes, {1}, set()) == {1, 2}
    # Whoever used it up did not after all.
    assert winners(changes, set(), set()) == set()
    assert winners(changes, {1}, {P}) == set()


def test_a_refusal_that_leans_on_what_nobody_of_the_batch_uses_stands() -> None:
    assert winners([uses(1, leans=[P]), uses(2, Q)], {2}, set()) == {1, 2}


def test_who_loses_by_one_promotion_takes_those_who_lean_on_another_along() -> None:
    chain = [
        uses(1, P),
        uses(2, Q, leans=[P]),
        uses(3, R, leans=[Q]),
        uses(4, leans=[R]),
        uses(5, R),
    ]
    assert winners(chain, {1, 2, 3, 5}, set()) == {1, 2, 3, 4, 5}
    assert winners(chain, {2, 3, 5}, set()) == {5}
    assert winners(chain, {1, 2, 3, 5}, {P}) == {5}
    assert winners(chain, {1, 2, 3, 5}, {R}) == {1, 2}


def test_those_who_lean_on_each_other_stand_together() -> None:
    pair = [uses(1, P, leans=[Q]), uses(2, Q, leans=[P])]
    assert winners(pair, {1, 2}, set()) == {1, 2}
    assert winners(pair, {1}, set()) == set()


IDS = st.sets(st.sampled_from([P, Q, R]), max_size=2)


@given(st.lists(st.tuples(IDS, IDS), max_size=7), st.data())
def test_the_winners_are_the_largest_set_in_which_nobody_rests_on_a_loser(
    people: list[tuple[set[int], set[int]]], data: st.DataObject
) -> None:
    changes = [
        uses(customer, *used, leans=sorted(leans)) for customer, (used, leans) in enumerate(people)
    ]
    claimed = data.draw(st.sets(st.sampled_from(range(len(people)))) if people else st.just(set()))
    full = data.draw(IDS)
    won = winners(changes, claimed, full)

    def rests(candidates: set[int]) -> bool:
        lost = {p for c in changes if c.customer_id not in candidates for p in c.usage}
        return all(
            (c.only_leans or c.customer_id in claimed)
            and not c.usage.keys() & full
            and not c.leans_on & lost
            for c in changes
            if c.customer_id in candidates
        )

    assert rests(won)
    everybody = range(len(people))
    for number in range(2 ** len(people)):
        candidates = {each for each in everybody if number >> each & 1}
        assert candidates <= won or not rests(candidates)
