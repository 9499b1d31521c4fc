"""What customers have of promotions, on a database: loads, saves, plans, constraints, and shared limits."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import Any

import psycopg
import pytest

from milepost.actions.activities import RECORD
from milepost.actions.issuing import ISSUING
from milepost.database import Tenant, database
from milepost.rules.activities import Activity
from milepost.rules.definitions import DIRECT, GENERIC, UNLIMITED, Definitions, Promotion
from milepost.rules.effects import Usage
from milepost.rules.holdings import Holding, Lookback, Standings
from milepost.rules.issuing import EARN, ENROL, REVOKE_EARN, Acted
from milepost.rules.recording import RecordActivity, Recorded
from milepost.rules.redemption import HoldingsNeeded
from milepost.runner import LOST, Runner
from milepost.settings import Settings
from milepost.store import holdings, members, passes
from milepost.store.pipeline import act_for
from tests.rules.desk import calls, fate
from tests.rules.promotion_samples import at_most, offer, points
from tests.rules.samples import day
from tests.store.offers import define
from tests.store.world import World, make_world

NOW = datetime(2026, 6, 15, tzinfo=UTC)
_promotion_ids = count(2_000)
_customer_ids = count(500_000)


def fresh(kind: str = DIRECT, **others: Any) -> Promotion:
    """A promotion of its own; it pays for an event that only it listens to."""
    number = next(_promotion_ids)
    return offer(kind, promotion_id=number, **{"event": f"event {number}", **others})


def people(world: World, number: int) -> list[int]:
    """New customers."""
    found = [next(_customer_ids) for _ in range(number)]
    world.register(*found)
    return found


async def act(
    runner: Runner, tenant: Tenant, action: str, promotion: Promotion, customers: Sequence[int]
) -> list[Any]:
    """A call for customers as one batch."""
    return await runner.run(ISSUING, tenant, calls(action, *customers, promotion=promotion.id))


def happens(promotion: Promotion, name: str, customer: int, at: datetime = NOW) -> RecordActivity:
    """What the promotion pays for."""
    assert promotion.criteria is not None
    return RecordActivity(Activity(name, customer, "EVENT", at, promotion.criteria.event))


def usage(world: World, promotion: Promotion) -> tuple[Any, ...]:
    """Earned, revoked, redeemed and points, as they are counted."""
    (row,) = world.run(
        "SELECT earns, revoked_earns, redemptions, points FROM promotion_usage "
        "WHERE org_id = %(org)s AND promotion_id = %(p)s",
        p=promotion.id,
    )
    return row


# What is loaded


async def test_of_a_pair_the_lifetime_counts_and_what_has_not_ended_are_loaded(
    world: World, runner: Runner, tenant: Tenant
) -> None:
    (ann, bob), here = people(world, 2), fresh("LOYALTY_EARNING", issuals=5, earns=5)
    await define(runner, tenant, here)
    for action in (ENROL, EARN, EARN, ENROL, EARN):
        await act(runner, tenant, action, here, [ann])
    first = world.run("SELECT min(earn_id) FROM earns WHERE customer_id = %(c)s", c=ann)[0][0]
    (revoke,) = calls(REVOKE_EARN, ann, promotion=here.id, earn_ids=[int(str(first))])
    await runner.run(ISSUING, tenant, [revoke])
    found = Standings()
    async with runner.database.transaction() as tx:
        await act_for(tx, tenant)
        await holdings.load_pairs(tx, tenant, found, [(ann, here.id), (bob, here.id)], [])
    holding = found.holdings[ann][here.id]
    assert (holding.issuals, holding.revoked_issuals, holding.earned, holding.revoked_earns) == (
        2, 0, 3, 1,
    )  # fmt: skip
    assert holding.issual is not None
    assert holding.issual.ended_at is None
    assert list(holding.earns) == sorted(holding.earns)
    assert len(holding.earns) == 2
    assert found.holdings[bob][here.id] == Holding()


async def test_a_dummy_counts_as_no_enrolment_and_is_loaded_as_the_open_one(
    world: World, runner: Runner, tenant: Tenant
) -> None:
    (ann,), here = people(world, 1), fresh()
    await define(runner, tenant, here)
    await act(runner, tenant, EARN, here, [ann])
    found = Standings()
    async with runner.database.transaction() as tx:
        await act_for(tx, tenant)
        await holdings.load_pairs(tx, tenant, found, [(ann, here.id)], [])
    holding = found.holding(ann, here.id)
    assert (holding.issuals, holding.earned) == (0, 1)
    assert holding.issual is not None
    assert holding.issual.is_dummy


async def test_records_are_loaded_by_the_dates_between_which_they_may_be_collected_from(
    world: World, runner: Runner, tenant: Tenant
) -> None:
    (ann,), here = people(world, 1), fresh()
    rows = [  # earned, expires, ended as
        (10, 12, None),
        (11, 13, "REVOKED"),
        (11, 14, "EXPIRED"),
        (13, 20, None),
        (15, 20, None),
    ]
    for number, (earned, expires, ended) in enumerate(rows):
        world.run(
            "INSERT INTO earns VALUES (%(org)s, %(c)s, %(p)s, %(n)s, 1, %(e)s, %(x)s, 1, 0, 0, %(a)s, %(w)s)",
            c=ann,
            p=here.id,
            n=number,
            e=day(earned),
            x=day(expires),
            a=day(30) if ended else None,
            w=ended,
        )

    async def loaded(first: float, last: float) -> list[int]:
        found = Standings()
        needed = HoldingsNeeded({ann: (day(first), day(last))}, {here.id})
        async with runner.database.transaction() as tx:
            await act_for(tx, tenant)
            await holdings.read_needed(await holdings.ask_needed(tx, tenant, needed), found)
        return list(found.holding(ann, here.id).earns)

    assert await loaded(0, 9) == []
    assert await loaded(10, 10) == [0]
    assert await loaded(12, 12) == [2]
    assert await loaded(11, 13) == [0, 2, 3]
    assert await loaded(14, 14) == [3]
    assert await loaded(20, 30) == []


async def test_redemptions_are_loaded_since_a_date_and_counted_from_the_beginning(
    world: World, runner: Runner, tenant: Tenant
) -> None:
    (ann, bob), here = people(world, 2), fresh(GENERIC)
    for number, (customer, at) in enumerate([(ann, 1), (ann, 5), (ann, 9), (bob, 6), (bob, 7)]):
        world.run(
            "INSERT INTO redemptions VALUES (%(org)s, %(c)s, %(p)s, %(n)s, NULL, %(at)s, %(at)s, 10)",
            c=customer,
            p=here.id,
            n=str(number),
            at=day(at),
        )
    found = Standings()
    needed = HoldingsNeeded(
        redeemed={(ann, here.id): day(5), (bob, here.id): day(100)},
        overall={here.id: Lookback(timedelta(days=3), 2, {(day(at), day(at)) for at in (4, 7)})},
    )
    async with runner.database.transaction() as tx:
        await act_for(tx, tenant)
        await holdings.read_needed(await holdings.ask_needed(tx, tenant, needed), found)
    of_ann, of_bob = (found.holdings[each][here.id] for each in (ann, bob))
    assert (of_ann.times, of_ann.points) == (3, Decimal(30))
    assert [each.paid_for for each in of_ann.redeemed] == ["2"]
    assert (of_bob.times, of_bob.redeemed) == (2, [])
    assert found.redeemed[here.id] == [day(6), day(7)]  # the last two after day 4; none before


async def test_ids_are_allotted_in_rising_order(runner: Runner, tenant: Tenant) -> None:
    async with runner.database.transaction() as tx:
        await act_for(tx, tenant)
        replies = await holdings.ask_ids(tx, 50)
        for reply in replies:
            ids = [row[0] for row in await reply.rows()]
            assert ids == list(range(ids[0], ids[0] + 50))


# Constraints


async def test_a_customer_has_one_open_enrolment_in_a_promotion(world: World) -> None:
    insert = (
        "INSERT INTO issuals (org_id, customer_id, promotion_id, issual_id, issued_at, expires_at, is_dummy, "
        "entry_id, ended_at, ended_as) VALUES (%(org)s, 1, 1, %(n)s, now(), now(), false, 1, %(at)s, %(as)s)"
    )
    world.run(insert, n=1, at=NOW, **{"as": "REVOKED"})
    world.run(insert, n=2, at=None, **{"as": None})
    with pytest.raises(psycopg.errors.UniqueViolation, match="issuals_open_key"):
        world.run(insert, n=3, at=None, **{"as": None})
    for at, ended_as in ((NOW, None), (None, "EXPIRED")):
        with pytest.raises(psycopg.errors.CheckViolation, match="issuals_ended"):
            world.run(insert, n=3, at=at, **{"as": ended_as})


async def test_nothing_is_paid_for_twice_by_one_promotion(world: World) -> None:
    insert = (
        "INSERT INTO redemptions VALUES (%(org)s, 1, %(p)s, 'activity a', NULL, now(), now(), 0)"
    )
    world.run(insert, p=1)
    world.run(insert, p=2)
    with pytest.raises(psycopg.errors.UniqueViolation, match="redemptions_pkey"):
        world.run(insert, p=1)


async def test_an_enrolment_that_is_replaced_in_one_batch_gives_the_open_place_to_the_next(
    world: World, runner: Runner, tenant: Tenant
) -> None:
    (ann,), here = people(world, 1), fresh("LOYALTY_EARNING", issuals=9)
    await define(runner, tenant, here)
    for _ in range(2):
        await act(runner, tenant, ENROL, here, [ann] * 3)
    ends = world.run("SELECT ended_as FROM issuals WHERE customer_id = %(c)s ORDER BY 1", c=ann)
    assert ends == [("REPLACED",)] * 5 + [(None,)]


# The use of all customers together


async def claim(
    runner: Runner, tenant: Tenant, defined: Definitions, used: dict[int, Usage], hold: float = 0
) -> set[int]:
    """Claim in a transaction of its own, which stays open for a while."""
    async with runner.database.transaction() as tx:
        await act_for(tx, tenant)
        room = await holdings.claim_usage(tx, tenant, defined, used)
        await tx.ask("SELECT pg_sleep(%s)", (hold,)).rows()
    return room


async def test_of_two_transactions_one_has_the_room_that_is_left(
    world: World, runner: Runner, tenant: Tenant
) -> None:
    here = fresh(of_all=3)
    defined = await define(runner, tenant, here)
    assert await claim(runner, tenant, defined, {here.id: Usage(earns=2)}) == {here.id}
    one = {here.id: Usage(earns=1)}
    rooms = await asyncio.gather(*(claim(runner, tenant, defined, one, 0.05) for _ in range(4)))
    assert sorted(map(len, rooms)) == [0, 0, 0, 1]
    assert usage(world, here) == (3, 0, 0, 0)


@pytest.mark.parametrize(
    ("fields", "used", "more", "fits"),
    [
        ({"of_all": 3}, Usage(earns=2), Usage(earns=1), True),
        ({"of_all": 3}, Usage(earns=2), Usage(earns=2), False),
        # Who only revokes, or collects, takes no room.
        ({"of_all": 3}, Usage(earns=3), Usage(revoked_earns=1), True),
        ({"of_all": 3}, Usage(earns=3), Usage(redemptions=1, points=Decimal(5)), True),
        ({"of_all": 3}, Usage(earns=3, revoked_earns=2), Usage(earns=1), False),
        ({"limits": (at_most("TIMES", "PROMOTION", 2),)}, Usage(redemptions=1), Usage(redemptions=1), True),
        ({"limits": (at_most("TIMES", "PROMOTION", 2),)}, Usage(redemptions=1), Usage(redemptions=2), False),
        (
            {"limits": (at_most("POINTS", "PROMOTION", 9),)},
            Usage(points=Decimal("8.5")),
            Usage(redemptions=1, points=Decimal("0.5")),
            True,
        ),
        (
            {"limits": (at_most("POINTS", "PROMOTION", 9),)},
            Usage(points=Decimal("8.5")),
            Usage(redemptions=1, points=Decimal("0.6")),
            False,
        ),
        (
            {"limits": (at_most("TIMES", "PROMOTION", 5), at_most("TIMES", "PROMOTION", 2))},
            Usage(redemptions=2),
            Usage(redemptions=1),
            False,
        ),
        # Within a window: nobody may have redeemed since it was looked at, however much room there is.
        (
            {"limits": (at_most("TIMES", "PROMOTION", 5, "DAILY"),)},
            Usage(redemptions=7),
            Usage(redemptions=1, seen=7),
            True,
        ),
        (
            {"limits": (at_most("TIMES", "PROMOTION", 5, "DAILY"),)},
            Usage(redemptions=7),
            Usage(redemptions=1, seen=6),
            False,
        ),
    ],
)  # fmt: skip
async def test_a_use_is_counted_where_every_limit_leaves_room_for_it(
    world: World,
    runner: Runner,
    tenant: Tenant,
    fields: dict[str, Any],
    used: Usage,
    more: Usage,
    fits: bool,
) -> None:
    here = fresh(**fields)
    defined = await define(runner, tenant, here)
    await claim(runner, tenant, defined, {here.id: used})
    before = usage(world, here)
    assert await claim(runner, tenant, defined, {here.id: more}) == ({here.id} if fits else set())
    assert (usage(world, here) != before) is fits


async def test_where_revoking_gives_back_what_is_revoked_leaves_room(
    world: World, runner: Runner, tenant: Tenant
) -> None:
    here = fresh(of_all=3)
    defined = replace(await define(runner, tenant, here), revokes_restore_limits=True)
    assert await claim(runner, tenant, defined, {here.id: Usage(earns=3)})
    assert not await claim(runner, tenant, defined, {here.id: Usage(earns=1)})
    assert await claim(runner, tenant, defined, {here.id: Usage(revoked_earns=1)})
    # What is revoked in the same batch counts with it.
    assert await claim(runner, tenant, defined, {here.id: Usage(earns=2, revoked_earns=1)})
    assert not await claim(runner, tenant, defined, {here.id: Usage(earns=1)})


async def test_of_several_promotions_those_without_room_are_left_as_they_were(
    world: World, runner: Runner, tenant: Tenant
) -> None:
    full, free, unlimited = fresh(of_all=1), fresh(of_all=9), fresh(of_all=2)
    defined = await define(runner, tenant, full, free, unlimited)
    assert await claim(runner, tenant, defined, {full.id: Usage(earns=1)})
    used = {each.id: Usage(earns=1) for each in (unlimited, full, free)}
    assert await claim(runner, tenant, defined, used) == {free.id, unlimited.id}
    assert [usage(world, each)[0] for each in (full, free, unlimited)] == [1, 1, 1]


@pytest.mark.parametrize("others", [0, 40, 2_000])
async def test_batches_that_use_several_promotions_never_deadlock(
    world: World, runner: Runner, tenant: Tenant, others: int
) -> None:
    """Whatever plan the planner makes of a table of this size: some read it as it lies."""
    offers = [fresh(limits=(at_most("TIMES", "PROMOTION", 10**6),)) for _ in range(6)]
    defined = await define(runner, tenant, *offers)
    world.run(
        "INSERT INTO promotion_usage SELECT %(org)s, 900000 + n, 0, 0, 0, 0 FROM generate_series(1, %(n)s) n "
        "ON CONFLICT DO NOTHING",
        n=others,
    )
    world.run("ANALYZE promotion_usage")
    contending = Runner(database(world.url, Settings()))
    await contending.database.open()
    rng = random.Random(7)
    uses = [{each.id: Usage(redemptions=1) for each in rng.sample(offers, 4)} for _ in range(150)]
    gate = asyncio.Semaphore(contending.database.app.max_size)

    async def contend(used: dict[int, Usage]) -> set[int]:
        async with gate:
            return await claim(contending, tenant, defined, used, 0.001)

    rooms = await asyncio.gather(*map(contend, uses))
    await contending.database.close()
    assert all(room == set(used) for room, used in zip(rooms, uses, strict=True))
    # The server tells of deadlocks when its sessions end.
    deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    assert world.run(deadlocks) == [(0,)]
    assert sum(usage(world, each)[2] for each in offers) == 600


async def test_who_loses_the_version_gives_back_nothing_and_used_nothing(
    world: World, runner: Runner, tenant: Tenant
) -> None:
    (ann, bob), here = people(world, 2), fresh(of_all=2, earns=9)
    await define(runner, tenant, here)

    class Late(type(ISSUING)):  # type: ignore[misc]
        """Lets another batch commit between its load and its claim."""

        async def claim(self, *rest: object) -> set[Any]:
            await act(runner, tenant, EARN, here, [ann])
            return await super().claim(*rest)  # type: ignore[no-any-return]

    outcomes = await runner.run(Late(), tenant, calls(EARN, ann, bob, promotion=here.id))
    assert outcomes[0] is LOST
    assert isinstance(outcomes[1], Acted)
    assert usage(world, here) == (2, 0, 0, 0)
    assert world.run("SELECT count(*) FROM earns WHERE promotion_id = %(p)s", p=here.id) == [(2,)]


async def test_who_has_a_version_and_no_room_gives_back_what_else_was_used(
    world: World, runner: Runner, tenant: Tenant
) -> None:
    (ann, bob), full, free = people(world, 2), fresh(of_all=1), fresh(of_all=9, earns=9)
    await define(runner, tenant, full, free)

    class Late(type(ISSUING)):  # type: ignore[misc]
        async def claim(self, *rest: object) -> set[Any]:
            await act(runner, tenant, EARN, full, [bob])
            return await super().claim(*rest)  # type: ignore[no-any-return]

    batch = [*calls(EARN, ann, promotion=free.id), *calls(EARN, ann, promotion=full.id)]
    assert await runner.run(Late(), tenant, batch) == [LOST, LOST]
    assert (usage(world, full)[0], usage(world, free)[0]) == (1, 0)
    assert world.run("SELECT FROM earns WHERE customer_id = %(c)s", c=ann) == []
    # The version was taken, without an entry; the next try has it.
    assert [fate(each) for each in await runner.run(ISSUING, tenant, batch)][1] == "8890"
    assert usage(world, free)[0] == 1


async def test_a_refusal_that_rests_on_somebody_who_loses_is_decided_again(
    world: World, runner: Runner, tenant: Tenant
) -> None:
    (ann, bob, cem), here = people(world, 3), fresh(of_all=1)
    other = fresh(earns=9)
    await define(runner, tenant, here, other)

    class Late(type(ISSUING)):  # type: ignore[misc]
        """Ann's version is another by the time of the claim, so she uses nothing up."""

        async def claim(self, *rest: object) -> set[Any]:
            await act(runner, tenant, EARN, other, [ann])
            return await super().claim(*rest)  # type: ignore[no-any-return]

    batch = calls(EARN, ann, bob, cem, promotion=here.id)
    assert await runner.run(Late(), tenant, batch) == [LOST] * 3
    assert usage(world, here) == (0, 0, 0, 0)
    assert await runner.run(ISSUING, tenant, batch[1:2])
    assert [fate(each) for each in await runner.run(ISSUING, tenant, batch)] == ["8890"] * 3


@pytest.mark.parametrize(
    ("limits", "refused"),
    [
        ((at_most("TIMES", "PROMOTION", 1),), "PROMOTION_LIMIT_REACHED"),
        ((at_most("POINTS", "PROMOTION", 90),), "REDEEMED"),  # of what Ann leaves
    ],
)
async def test_a_payment_that_rests_on_somebody_who_loses_is_decided_again(
    world: World, runner: Runner, tenant: Tenant, limits: tuple[Any, ...], refused: str
) -> None:
    (ann, bob), here, other = (
        people(world, 2),
        fresh(GENERIC, limits=limits, rewards=(points(60),)),
        fresh(),
    )
    await define(runner, tenant, here, other)

    class Late(type(RECORD)):  # type: ignore[misc]
        """Ann's version is another by the time of the claim, so she collects nothing."""

        async def claim(self, tx: Any, tenant: Tenant, changes: Any, moment: Any) -> set[int]:
            (effect,) = changes[bob].journal[0].promotion_effects
            assert effect.reason == refused
            await act(runner, tenant, EARN, other, [ann])
            return await super().claim(tx, tenant, changes, moment)  # type: ignore[no-any-return]

    batch = [happens(here, "a", customer) for customer in (ann, bob)]
    assert await runner.run(Late(), tenant, batch) == [LOST, LOST]
    assert usage(world, here) == (0, 0, 0, 0)
    # Bob is the first now, and is paid in full.
    outcomes = await runner.run(RECORD, tenant, batch[::-1])
    assert [reward.value for paid in outcomes[0].paid for reward in paid.rewards] == [60]


async def test_a_refusal_that_rests_on_nobody_stands_beside_those_who_write(
    world: World, runner: Runner, tenant: Tenant
) -> None:
    (ann, bob, cem), used_up, free = people(world, 3), fresh(of_all=1), fresh()
    await define(runner, tenant, used_up, free)
    await act(runner, tenant, EARN, used_up, [ann])
    batch = [*calls(EARN, bob, promotion=used_up.id), *calls(EARN, cem, promotion=free.id)]
    refused, issued = await runner.run(ISSUING, tenant, batch)
    assert fate(refused) == "8890"
    assert isinstance(issued, Acted)
    assert issued.earn_id is not None


# What is limited later


async def test_what_there_is_is_counted_when_a_limit_is_set_later(
    world: World, runner: Runner, tenant: Tenant
) -> None:
    customers = people(world, 4)
    here = fresh(each=UNLIMITED, rewards=(points(7),))
    await define(runner, tenant, here)
    await act(runner, tenant, EARN, here, customers)
    await act(runner, tenant, REVOKE_EARN, here, customers[:1])
    paid = [happens(here, f"a{n}", customers[1 + n % 3]) for n in range(5)]
    await runner.run(RECORD, tenant, paid)
    assert world.run("SELECT FROM promotion_usage WHERE promotion_id = %(p)s", p=here.id) == []
    limited = replace(here, limits=replace(here.limits, earns_per_promotion=9))
    await define(runner, tenant, limited)
    assert usage(world, here) == (4, 1, 5, 35)
    await runner.run(RECORD, tenant, [happens(here, "b", customers[1])])
    assert usage(world, here) == (4, 1, 6, 42)
    # Unlimited for a while: nothing is counted, and the next limit counts it all anew.
    await define(runner, tenant, here)
    await runner.run(RECORD, tenant, [happens(here, "c", customers[1])])
    assert usage(world, here) == (4, 1, 6, 42)
    await define(runner, tenant, limited)
    assert usage(world, here) == (4, 1, 7, 49)


async def test_who_is_issued_a_promotion_while_a_limit_is_set_is_counted_too(
    world: World, runner: Runner, tenant: Tenant
) -> None:
    here = fresh(earns=UNLIMITED)
    await define(runner, tenant, here)
    customers = people(world, 20)
    limited = replace(here, limits=replace(here.limits, earns_per_promotion=10_000))

    async def issue() -> None:
        for customer in customers:
            await act(runner, tenant, EARN, here, [customer])

    await asyncio.gather(issue(), issue(), define(runner, tenant, limited))
    earns = world.run("SELECT count(*) FROM earns WHERE promotion_id = %(p)s", p=here.id)
    assert earns[0][0] == usage(world, here)[0]


# Statements and plans


@pytest.mark.one_server
@pytest.mark.parametrize("size", [1, 10, 100])
async def test_the_statements_of_a_call_do_not_depend_on_its_customers(
    world: World, runner: Runner, tenant: Tenant, size: int, statements: list[str]
) -> None:
    here = fresh("LOYALTY_EARNING", of_all=10_000, each=UNLIMITED)
    await define(runner, tenant, here)
    customers = people(world, size)
    statements.clear()
    await act(runner, tenant, ENROL, here, customers)
    # Tenant, moment; ids twice, who; usage, version, counts, enrolments, records; claim; the save.
    assert len(statements) == 13
    statements.clear()
    await act(runner, tenant, EARN, here, customers)
    # One more: to count what is limited for all.
    assert len(statements) == 14
    # The version before all that it guards: what is newer than it loses then.
    version = statements.index(members.ASK_VERSIONS)
    for guarded in (holdings.ASK_COUNTS, holdings.ASK_OPEN_ISSUALS, holdings.ASK_OPEN_EARNS):
        assert version < statements.index(guarded)
    statements.clear()
    outcomes = await act(runner, tenant, EARN, here, customers)
    # Nothing is written where every limit is used up.
    assert (len(statements), {fate(each) for each in outcomes}) == (11, {"8890"})
    statements.clear()
    commands = [happens(here, "a", customer) for customer in customers]
    outcomes = await runner.run(RECORD, tenant, commands)
    assert all(isinstance(each, Recorded) and each.paid for each in outcomes)
    # Tenant, moment; who, where enrolled, which activities; usage, records; claim, reward ids, usage; save.
    assert len(statements) == 11


@pytest.mark.one_server
async def test_who_is_refused_by_what_all_have_used_up_waits_for_no_claim(
    world: World, runner: Runner, tenant: Tenant, statements: list[str]
) -> None:
    here, customers = fresh(of_all=1), people(world, 4)
    await define(runner, tenant, here)
    await act(runner, tenant, EARN, here, customers[:1])
    versions = "SELECT count(*) FROM customer_versions WHERE customer_id = ANY (%(c)s)"
    statements.clear()
    outcomes = await act(runner, tenant, EARN, here, customers[1:])
    assert (len(statements), {fate(each) for each in outcomes}) == (11, {"8890"})
    assert world.run(versions, c=customers) == [(1,)]


@pytest.mark.parametrize(
    ("fields", "more"),
    [
        (None, 0),
        ({}, 0),
        ({"limits": (at_most("TIMES", "CUSTOMER", 10**6),)}, 1),
        ({"limits": (at_most("TIMES", "PROMOTION", 10**6),)}, 2),
        ({"limits": (at_most("TIMES", "PROMOTION", 10**4, "DAILY"),)}, 3),
    ],
)
@pytest.mark.one_server
async def test_recording_an_activity_asks_of_promotions_only_what_they_depend_on(
    world: World,
    runner: Runner,
    tenant: Tenant,
    fields: dict[str, Any] | None,
    more: int,
    statements: list[str],
) -> None:
    here = fresh(GENERIC, **(fields or {}))
    await define(runner, tenant, here if fields is not None else fresh(GENERIC))
    customers = people(world, 3)
    statements.clear()
    await runner.run(RECORD, tenant, [happens(here, "a", customer) for customer in customers])
    paid = 1 if fields is not None else 0  # the ids of the rewards
    # Tenant, moment; who, where enrolled, which activities; claim; the save.
    assert len(statements) == 7 + paid + more


@pytest.fixture(scope="module")
def full_tables(database_url: str) -> World:
    """Another organisation with much in every table, of which the planner knows nothing."""
    world = make_world(database_url, org_id=9)
    people_of_it = "generate_series(1000000, 1020000) c"
    world.run(
        f"INSERT INTO issuals SELECT %(org)s, c, 1, c, now(), now(), c %% 2 = 0, 1 FROM {people_of_it}"
    )
    world.run(
        f"INSERT INTO earns SELECT %(org)s, c, 1, c, c, now(), now(), 1, 0, 0 FROM {people_of_it}"
    )
    world.run(
        "INSERT INTO redemptions "
        "SELECT %(org)s, c, 1, 'activity a', NULL, now() - c * interval '1 s', now(), 0 "
        f"FROM {people_of_it}"
    )
    world.run(
        "INSERT INTO promotion_usage SELECT %(org)s, n, 1, 0, 0, 0 FROM generate_series(1, 10000) n"
    )
    return world


TABLES = ("issuals", "earns", "redemptions", "promotion_usage", "cycle_ends")
KEYS = list(range(1_000_000, 1_001_000))
ONES = [1] * len(KEYS)
ORG = 9
SINCE, UNTIL = [NOW - timedelta(days=1)], [NOW]
FEW = [1, 5, 900]
ZEROS = [0] * 3
STATEMENTS: dict[str, tuple[str, tuple[Any, ...]]] = {
    "counts": (holdings.ASK_COUNTS, (KEYS, ONES, ORG, ORG)),
    "open enrolments": (holdings.ASK_OPEN_ISSUALS, (KEYS, ONES, ORG)),
    "open records": (holdings.ASK_OPEN_EARNS, (KEYS, ONES, ORG)),
    "records within": (
        holdings.ASK_EARNS_WITHIN,
        (KEYS, SINCE * len(KEYS), UNTIL * len(KEYS), ORG, [1, 2]),
    ),
    "redeemed": (holdings.ASK_REDEEMED, (KEYS, ONES, SINCE * len(KEYS), ORG, ORG)),
    "redeemed by all": (holdings.ASK_REDEEMED_BY_ALL, ([1], SINCE, UNTIL, [10_000], ORG)),
    "due records": (holdings.ASK_DUE_EARNS, (KEYS, ORG, NOW)),
    "due enrolments": (holdings.ASK_DUE_ISSUALS, (KEYS, ORG, NOW)),
    "usage": (holdings.ASK_USAGE, (ORG, FEW)),
    "claim": (
        holdings.CLAIM_USAGE,
        (FEW, ZEROS, ZEROS, ZEROS, ZEROS, ZEROS, ZEROS, ZEROS, ZEROS, ORG, ORG, False),
    ),
    "give back": (holdings.GIVE_BACK_USAGE, (FEW, ZEROS, ZEROS, ZEROS, ZEROS, ORG)),
    "customers with due work": (passes.ASK_CUSTOMERS_WITH_OWN, (*(ORG, NOW, 50) * 3, 50)),
}


@pytest.mark.one_server
@pytest.mark.parametrize("name", STATEMENTS)
@pytest.mark.parametrize("known", [False, True])
async def test_every_statement_walks_indexes_whatever_the_statistics_say(
    full_tables: World, runner: Runner, name: str, known: bool
) -> None:
    """Planned while the tables were empty or full, each key is one index scan (house law 3)."""
    if known:
        full_tables.run("ANALYZE issuals, earns, redemptions, promotion_usage")
    statement, parameters = STATEMENTS[name]
    async with runner.database.transaction() as tx:
        await act_for(tx, Tenant(ORG, ORG))
        rows = await tx.ask("EXPLAIN " + statement, parameters).rows()
    plan = "\n".join(row[0] for row in rows)
    scans = re.findall(r"([A-Z][\w ]* Scan)(?: Backward)?(?: using \w+)? on (\w+)", plan)
    kinds = {kind for kind, table in scans if table in TABLES}
    assert kinds, plan
    assert kinds <= {"Index Scan", "Index Only Scan", "Bitmap Heap Scan"}, plan
    if KEYS in parameters:  # a customer's rows are found by the customer
        assert not re.search(r"_due|_of_promotion", plan), plan
