"""Issuing and collecting under contention: two processes, one limit, and nobody refused too early."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from typing import Any

import pytest

from milepost.actions.activities import RECORD
from milepost.actions.enrolment import ENROLMENT
from milepost.actions.issuing import ISSUING
from milepost.actions.rebuild import rebuild
from milepost.actions.settlement import Settlement, settle_due
from milepost.coalescer import Coalescer
from milepost.database import Tenant, database
from milepost.errors import NO_LIVE_ISSUAL, Refusal
from milepost.rules.activities import Activity
from milepost.rules.customers import Identifier
from milepost.rules.definitions import DIRECT, GENERIC, UNLIMITED, Promotion
from milepost.rules.enrolment import Enrol
from milepost.rules.issuing import EARN, ENROL, REVOKE_EARN, REVOKE_ENROL, Acted
from milepost.rules.recording import RecordActivity, Recorded
from milepost.runner import LOST, Runner
from milepost.settings import Settings
from tests.rules.desk import calls, fate
from tests.rules.promotion_samples import at_most, completion, days, offer, points
from tests.rules.samples import day
from tests.store.offers import define
from tests.store.world import World, make_world

_promotion_ids = count(2_000)
_customer_ids = count(500_000)


@pytest.fixture(scope="module")
def world(database_url: str) -> World:
    """An organisation at 2026-06-15."""
    return make_world(database_url)


@pytest.fixture
def tenant(world: World) -> Tenant:
    return Tenant(world.org_id, world.org_id)


@asynccontextmanager
async def process(world: World, **settings: Any) -> AsyncIterator[tuple[Runner, Coalescer]]:
    """One process of the service."""
    chosen = Settings(**settings)
    runner = Runner(database(world.url, chosen))
    await runner.database.open()
    coalescer = Coalescer(runner, chosen)
    yield runner, coalescer
    await coalescer.close()
    await runner.database.close()


@pytest.fixture
async def runner(world: World) -> AsyncIterator[Runner]:
    async with process(world) as (made, _):
        yield made


def fresh(kind: str = DIRECT, **others: Any) -> Promotion:
    """A promotion of its own; it pays for an event that only it listens to."""
    number = next(_promotion_ids)
    return offer(kind, promotion_id=number, **{"event": f"event {number}", **others})


def people(world: World, number: int) -> list[int]:
    """New customers; each has a mobile."""
    found = [next(_customer_ids) for _ in range(number)]
    world.register(*found)
    world.run(
        "INSERT INTO customer_identifiers SELECT %(org)s, 'mobile', '49' || c, c, '{INSTORE}' "
        "FROM unnest(%(customers)s::bigint[]) c",
        customers=found,
    )
    return found


def mobile(customer: int) -> str:
    return f"49{customer}"


def stored(world: World, promotion: Promotion, table: str = "earns") -> Counter[int]:
    """How many rows of a promotion each customer has."""
    found = world.run(f"SELECT customer_id FROM {table} WHERE promotion_id = %(p)s", p=promotion.id)
    return Counter(int(str(row[0])) for row in found)


def used(world: World, promotion: Promotion) -> tuple[Any, ...]:
    (row,) = world.run(
        "SELECT earns, revoked_earns, redemptions, points FROM promotion_usage WHERE promotion_id = %(p)s",
        p=promotion.id,
    )
    return row


# A limit for all customers


@pytest.mark.parametrize("batch_size", [1, 7, 500])
@pytest.mark.parametrize(("customers", "limit"), [(60, 25), (60, 1), (40, 60)])
async def test_exactly_as_many_are_issued_as_the_limit_says_and_nobody_else_hears_of_it(
    world: World, runner: Runner, tenant: Tenant, batch_size: int, customers: int, limit: int
) -> None:
    here, everybody = fresh(of_all=limit), people(world, customers)
    await define(runner, tenant, here)
    async with (
        process(world, batch_size_max=batch_size) as (_, one),
        process(world, batch_size_max=batch_size) as (_, other),
    ):
        answers = await asyncio.gather(
            one.submit_all(ISSUING, tenant, calls(EARN, *everybody, promotion=here.id)),
            other.submit_all(ISSUING, tenant, calls(EARN, *everybody[::-1], promotion=here.id)),
            one.submit_all(
                ISSUING, tenant, calls(EARN, *map(mobile, everybody), promotion=here.id)
            ),
        )
    told = Counter("issued" if "e" in (text := fate(o)) else text for a in answers for o in a)
    issued = min(limit, customers)
    # Each of the others was told that a limit is used up, their own or that of all: and so it was.
    assert told == {"issued": issued, "8890": 3 * customers - issued}
    earned = stored(world, here)
    assert len(earned) == issued
    assert set(earned.values()) == {1}
    assert used(world, here) == (issued, 0, 0, 0)


async def test_revoked_records_make_room_for_others_while_they_ask(
    world: World, runner: Runner, tenant: Tenant
) -> None:
    """Where revoking gives back: never more at once than the limit, whoever comes when."""
    here, everybody = fresh(of_all=10, earns=UNLIMITED), people(world, 20)
    await define(runner, tenant, here)
    world.run(
        "UPDATE orgs SET revokes_restore_limits = true, definitions_revision = definitions_revision + 1"
    )
    try:
        async with process(world) as (_, one), process(world) as (_, other):
            for _ in range(3):
                answers = await asyncio.gather(
                    one.submit_all(ISSUING, tenant, calls(EARN, *everybody, promotion=here.id)),
                    other.submit_all(
                        ISSUING, tenant, calls(REVOKE_EARN, *everybody[5:], promotion=here.id)
                    ),
                    other.submit_all(ISSUING, tenant, calls(EARN, *everybody, promotion=here.id)),
                )
                known = {"8890", "2305"}
                assert {fate(o)[:1] for a in answers for o in a if fate(o) not in known} <= {
                    "i",
                    "-",
                }
                earned, revoked, *_ = used(world, here)
                assert earned - revoked <= 10
    finally:
        world.run(
            "UPDATE orgs SET revokes_restore_limits = false, definitions_revision = definitions_revision + 1"
        )
    live = world.run(
        "SELECT count(*) FROM earns WHERE promotion_id = %(p)s AND ended_at IS NULL", p=here.id
    )
    earned, revoked, *_ = used(world, here)
    assert live == [(earned - revoked,)]


# The limits of a customer


async def test_a_customer_who_is_named_in_many_ways_at_once_is_issued_once(
    world: World, runner: Runner, tenant: Tenant
) -> None:
    here, (ann,) = fresh(), people(world, 1)
    await define(runner, tenant, here)
    async with process(world) as (_, one), process(world) as (_, other):
        answers = await asyncio.gather(
            *(
                coalescer.submit(ISSUING, tenant, command)
                for coalescer in (one, other)
                for name in (ann, mobile(ann))
                for command in calls(EARN, *[name] * 10, promotion=here.id)
            )
        )
    assert Counter(isinstance(each, Acted) and not each.is_exhausted for each in answers) == {
        True: 1,
        False: 39,
    }
    assert stored(world, here) == {ann: 1}


async def test_what_rests_on_a_loser_is_decided_again_by_whatever_name_it_came(
    world: World, runner: Runner, tenant: Tenant
) -> None:
    """Ann is taken out by her id; by her mobile she is refused because of that, which is not done then."""
    here, other, (ann,) = fresh("LOYALTY_EARNING"), fresh(), people(world, 1)
    await define(runner, tenant, here, other)
    await runner.run(ISSUING, tenant, calls(ENROL, ann, promotion=here.id))

    class Late(type(ISSUING)):  # type: ignore[misc]
        """Ann's version is another by the time of the claim."""

        async def claim(self, *rest: object) -> set[Any]:
            await runner.run(ISSUING, tenant, calls(EARN, ann, promotion=other.id))
            return await super().claim(*rest)  # type: ignore[no-any-return]

    batch = [
        *calls(REVOKE_ENROL, ann, promotion=here.id),
        *calls(EARN, mobile(ann), promotion=here.id),
    ]
    assert await runner.run(Late(), tenant, batch) == [LOST, LOST]
    done, refused = await runner.run(ISSUING, tenant, batch)
    assert isinstance(done, Acted)
    assert isinstance(refused, Refusal)
    assert refused.error is NO_LIVE_ISSUAL


async def test_a_customer_who_cannot_be_looked_up_loses_with_nobody(
    world: World, runner: Runner, tenant: Tenant
) -> None:
    here, (ann,) = fresh(), people(world, 1)
    await define(runner, tenant, here)
    (unknown,) = calls(EARN, 1, promotion=here.id)
    nobody = replace(unknown, lookup=None, key="id abc")
    assert nobody.boundary == Identifier("", "id abc")
    outcomes = await runner.run(
        ISSUING, tenant, [nobody, *calls(EARN, 77, ann, promotion=here.id), nobody]
    )
    assert [fate(each)[:4] for each in (*outcomes[:2], outcomes[3])] == ["8015"] * 3
    assert isinstance(outcomes[2], Acted)


# Collecting


def happens(promotion: Promotion, customers: Sequence[int], name: str) -> list[RecordActivity]:
    assert promotion.criteria is not None
    return [
        RecordActivity(Activity(name, customer, "EVENT", day(14), promotion.criteria.event))
        for customer in customers
    ]


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ((at_most("TIMES", "PROMOTION", 30),), (30, 300)),
        ((at_most("TIMES", "PROMOTION", 30, "DAILY"),), (30, 300)),
        ((at_most("POINTS", "PROMOTION", 255),), (26, 255)),
        ((at_most("TIMES", "PROMOTION", 40), at_most("POINTS", "PROMOTION", 120)), (12, 120)),
    ],
)
@pytest.mark.parametrize("batch_size", [5, 2_000])
async def test_a_limit_of_what_all_collect_is_kept_and_used_to_the_last(
    world: World,
    runner: Runner,
    tenant: Tenant,
    limits: tuple[Any, ...],
    expected: tuple[int, int],
    batch_size: int,
) -> None:
    here, everybody = fresh(GENERIC, limits=limits, rewards=(points(10),)), people(world, 50)
    await define(runner, tenant, here)
    small = type("Small", (type(RECORD),), {"batch_size_max": batch_size})()
    async with process(world) as (_, one), process(world) as (_, other):
        answers = await asyncio.gather(
            one.submit_all(small, tenant, happens(here, everybody, "a")),
            other.submit_all(small, tenant, happens(here, everybody[::-1], "b")),
        )
    outcomes = [each for answer in answers for each in answer]
    assert all(isinstance(each, Recorded) for each in outcomes), Counter(
        each.error.code for each in outcomes if isinstance(each, Refusal)
    )
    paid = [reward.value for each in outcomes for one in each.paid for reward in one.rewards]
    assert (len(paid), sum(paid)) == expected
    assert used(world, here)[2:] == expected
    assert sum(stored(world, here, "redemptions").values()) == expected[0]


# Settlements


@pytest.mark.parametrize("limit", [1, 60, 200])
async def test_a_settlement_pays_as_many_as_the_limit_says_in_however_many_batches(
    world: World, runner: Runner, limit: int
) -> None:
    """Batch by batch through the enrolled, in two processes at once."""
    org_id = 100 + limit
    own = make_world(world.url, org_id)
    tenant = Tenant(org_id, org_id)
    own.run("UPDATE target_groups SET reward_allocation = 'PERIOD_END' WHERE org_id = %(org)s")
    own.run("UPDATE target_periods SET created_at = '2026-05-01' WHERE org_id = %(org)s")
    here = completion(
        promotion_id=next(_promotion_ids), limits=(at_most("TIMES", "PROMOTION", limit),)
    )
    await define(runner, tenant, here)
    everybody = people(own, 130)
    target = own.group_id
    await runner.run(ENROLMENT, tenant, [Enrol(target, target, c, "c1", 1000) for c in everybody])
    end = datetime(2026, 7, 1, tzinfo=UTC)
    async with process(own) as (one, _), process(own) as (other, _):
        await asyncio.gather(
            settle_due(one, tenant, end, Settlement(customers_max=20)),
            settle_due(other, tenant, end, Settlement(customers_max=20)),
        )
    paid = stored(own, here, "redemptions")
    assert (len(paid), set(paid.values())) == (min(limit, 130), {1})
    assert used(own, here)[2] == len(paid)
    settled = own.run(
        "SELECT count(*) FROM journal WHERE org_id = %(org)s AND reason = 'SETTLED_ACHIEVED'"
    )
    assert settled == [(130,)]


async def test_expiries_are_noted_once_by_whoever_comes_first(world: World, runner: Runner) -> None:
    own = make_world(world.url, 99)
    tenant, everybody = Tenant(99, 99), people(own, 120)
    here = fresh("LOYALTY_EARNING", issual_expiry=days(3), earn_expiry=days(2), issuals=2)
    await define(runner, tenant, here)
    for action in (ENROL, EARN):
        await runner.run(ISSUING, tenant, calls(action, *everybody, promotion=here.id))
    end = datetime(2026, 6, 20, tzinfo=UTC)
    own.run("UPDATE orgs SET sandbox_now = %(at)s WHERE org_id = 99", at=end)
    async with process(own) as (one, enrolling), process(own) as (other, _):
        answers, *_ = await asyncio.gather(
            # Who enrols again notes the expiry of the first enrolment, if nobody has yet.
            enrolling.submit_all(ISSUING, tenant, calls(ENROL, *everybody, promotion=here.id)),
            settle_due(one, tenant, end, Settlement(customers_max=20)),
            settle_due(other, tenant, end, Settlement(customers_max=20)),
        )
    assert all(isinstance(each, Acted) and not each.is_exhausted for each in answers)
    told = own.run(
        "SELECT reason, count(*), count(DISTINCT customer_id) FROM journal "
        "WHERE org_id = %(org)s AND reason LIKE '%%EXPIRED' GROUP BY 1 ORDER BY 1"
    )
    assert told == [
        ("PROMOTION_EARN_EXPIRED", 120, 120),
        ("PROMOTION_ENROLMENT_EXPIRED", 120, 120),
    ]
    lines: list[str] = []
    assert await rebuild(runner, lines.append, org_id=99, repair=False) is not None
    assert lines == []
