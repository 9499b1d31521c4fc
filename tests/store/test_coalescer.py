"""Concurrent commands join one batch; whatever happens to the batch, every one of them is answered."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from milepost.actions.activities import RECORD
from milepost.actions.enrolment import ENROLMENT, Enrolment
from milepost.coalescer import Coalescer
from milepost.database import Tenant, database
from milepost.errors import ALREADY_ENROLLED, INTERNAL, UNAVAILABLE, Refusal
from milepost.rules.coverage import Members
from milepost.rules.effects import Origin
from milepost.rules.enrolment import Enrol
from milepost.runner import KeyedCall, Runner
from milepost.settings import Settings
from tests.store.test_activities import purchase
from tests.store.world import World


class Recorded(Enrolment):
    """Enrolment that notes the sizes of its batches and can be held up before it loads."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def load(self, tx: Any, tenant: Tenant, commands: Sequence[Any], moment: Any) -> Members:
        self.sizes.append(len(commands))
        await self.gate.wait()
        return await super().load(tx, tenant, commands, moment)


def enrol(world: World, customer: int, request_id: str = "") -> Enrol:
    return Enrol(world.group_id, world.group_id, customer, "c1", 100, origin=Origin(request_id))


def codes(outcomes: Sequence[Any]) -> Counter[object]:
    return Counter(o.error if isinstance(o, Refusal) else "accepted" for o in outcomes)


async def test_commands_that_arrive_together_join_one_batch(
    world: World, runner: Runner, tenant: Tenant
) -> None:
    world.register(*range(1, 101))
    action = Recorded()
    coalescer = Coalescer(runner, Settings())
    outcomes = await asyncio.gather(
        *(coalescer.submit(action, tenant, enrol(world, c)) for c in range(1, 101))
    )
    assert outcomes == list(range(1, 101))
    assert action.sizes == [100]


async def test_a_batch_is_never_larger_than_the_setting(
    world: World, runner: Runner, tenant: Tenant
) -> None:
    world.register(*range(201, 251))
    action = Recorded()
    coalescer = Coalescer(runner, Settings(batch_size_max=20))
    await asyncio.gather(
        *(coalescer.submit(action, tenant, enrol(world, c)) for c in range(201, 251))
    )
    assert sorted(action.sizes) == [10, 20, 20]


async def test_of_50_identical_enrolments_at_once_one_succeeds_and_49_are_310119(
    world: World, runner: Runner, tenant: Tenant
) -> None:
    world.register(300)
    action = Recorded()
    coalescer = Coalescer(runner, Settings(batch_size_max=7))
    outcomes = await asyncio.gather(
        *(coalescer.submit(action, tenant, enrol(world, 300)) for _ in range(50))
    )
    # One customer's commands are never in two batches at once, so none had to be tried again.
    assert sum(action.sizes) == 50
    assert codes(outcomes) == {"accepted": 1, ALREADY_ENROLLED: 49}
    assert world.run("SELECT count(*) FROM enrolments WHERE customer_id = 300") == [(1,)]


async def test_two_processes_over_the_same_customers_accept_each_once(
    world: World, runner: Runner, tenant: Tenant
) -> None:
    customers = list(range(400, 440))
    world.register(*customers)
    second = Runner(database(world.url, Settings()))
    await second.database.open()
    coalescers = [Coalescer(runner, Settings()), Coalescer(second, Settings())]
    outcomes = await asyncio.gather(
        *(c.submit(Recorded(), tenant, enrol(world, n)) for n in customers for c in coalescers * 3)
    )
    await second.database.close()
    assert codes(outcomes) == {"accepted": 40, ALREADY_ENROLLED: 200}


async def test_who_has_lost_to_another_lane_goes_first_and_the_others_wait_for_it(
    world: World, runner: Runner, tenant: Tenant
) -> None:
    world.register(271, 272, 273)
    coalescer = Coalescer(runner, Settings())
    later: list[asyncio.Task[Any]] = []

    def buy(number: str, customer: int) -> asyncio.Task[Any]:
        return asyncio.create_task(coalescer.submit(RECORD, tenant, purchase(number, customer)))

    class Late(type(ENROLMENT)):  # type: ignore[misc]
        """Its first claim finds that the customer has bought; its second lets nobody else buy."""

        name = "late"
        claims = 0

        async def claim(self, *rest: object) -> set[int]:
            self.claims += 1
            if self.claims == 1:
                await buy("before", 271)
            else:
                later.extend([buy("after", 271), buy("too", 271)])
                await buy("whoever", 273)  # of others nobody is held
                await asyncio.sleep(0.05)
                assert not any(task.done() for task in later)
            return await super().claim(*rest)  # type: ignore[no-any-return]

    late = Late()
    call = KeyedCall(lambda _: None)
    commands = [enrol(world, 271), enrol(world, 272)]
    async with asyncio.timeout(10):
        assert await coalescer.submit_all(late, tenant, commands, call) == [271, 272]
        assert late.claims == 2
        bought = await asyncio.gather(*later)
        assert [each.status for each in bought] == ["ACCEPTED", "ACCEPTED"]
        assert (await buy("at last", 272)).status == "ACCEPTED"


async def test_a_full_queue_refuses_at_once_and_does_nothing(
    world: World, runner: Runner, tenant: Tenant
) -> None:
    world.register(*range(500, 520))
    action = Recorded()
    action.gate.clear()
    coalescer = Coalescer(runner, Settings(queue_size_max=10))
    waiting = [
        asyncio.create_task(coalescer.submit(action, tenant, enrol(world, c)))
        for c in range(500, 510)
    ]
    while not action.sizes:  # noqa: ASYNC110 - until the batch is in the database
        await asyncio.sleep(0)
    assert await coalescer.submit(action, tenant, enrol(world, 510)) == Refusal(UNAVAILABLE)
    action.gate.set()
    assert await asyncio.gather(*waiting) == list(range(500, 510))
    assert world.run("SELECT FROM customer_versions WHERE customer_id = 510") == []
    assert await coalescer.submit(action, tenant, enrol(world, 510)) == 510


async def test_one_poisoned_command_harms_nobody_else(
    world: World, runner: Runner, tenant: Tenant
) -> None:
    """PostgreSQL takes no NUL character, and refuses the whole statement."""
    world.register(600, 601, 602)
    coalescer = Coalescer(runner, Settings())
    action = Recorded()
    commands = [
        enrol(world, 600),
        enrol(world, 601, request_id="\x00"),
        enrol(world, 602),
    ]
    outcomes = await asyncio.gather(*(coalescer.submit(action, tenant, c) for c in commands))
    assert outcomes == [600, Refusal(INTERNAL), 602]
    assert world.run("SELECT FROM enrolments WHERE customer_id = 601") == []


async def test_killed_connections_answer_503_and_the_next_command_succeeds(
    world: World, runner: Runner, tenant: Tenant
) -> None:
    world.register(*range(700, 720))
    action = Recorded()
    action.gate.clear()
    coalescer = Coalescer(runner, Settings())
    waiting = [
        asyncio.create_task(coalescer.submit(action, tenant, enrol(world, c)))
        for c in range(700, 720)
    ]
    while not action.sizes:  # noqa: ASYNC110 - until the batch is in the database
        await asyncio.sleep(0)
    world.run(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
        "WHERE application_name = 'milepost_app' AND datname = current_database()"
    )
    action.gate.set()
    outcomes = await asyncio.wait_for(asyncio.gather(*waiting), 20)
    assert codes(outcomes) == {UNAVAILABLE: 20}
    assert world.run("SELECT FROM enrolments WHERE customer_id BETWEEN 700 AND 719") == []
    assert await coalescer.submit(action, tenant, enrol(world, 700)) == 700


async def test_no_connection_within_the_time_out_answers_503(world: World, tenant: Tenant) -> None:
    unreachable = psycopg.conninfo.make_conninfo(world.url, dbname="there_is_no_such_database")
    settings = Settings(pool_timeout_seconds=0.2)
    runner = Runner(database(unreachable, settings))
    await runner.database.open()
    coalescer = Coalescer(runner, settings)
    outcomes = await asyncio.gather(
        *(coalescer.submit(Recorded(), tenant, enrol(world, c)) for c in range(10))
    )
    await runner.database.close()
    assert codes(outcomes) == {UNAVAILABLE: 10}


async def test_closing_answers_what_was_taken_and_takes_no_more(
    world: World, runner: Runner, tenant: Tenant
) -> None:
    world.register(800, 801)
    coalescer = Coalescer(runner, Settings())
    taken = asyncio.create_task(coalescer.submit(Recorded(), tenant, enrol(world, 800)))
    await asyncio.sleep(0)
    await coalescer.close()
    assert await taken == 800
    assert await coalescer.submit(Recorded(), tenant, enrol(world, 801)) == Refusal(UNAVAILABLE)


async def test_a_caller_who_goes_away_before_the_batch_begins_has_no_effect(
    world: World, runner: Runner, tenant: Tenant
) -> None:
    world.register(900, 901)
    coalescer = Coalescer(runner, Settings())
    action = Recorded()
    gone = asyncio.create_task(coalescer.submit(action, tenant, enrol(world, 900)))
    stays = asyncio.create_task(coalescer.submit(action, tenant, enrol(world, 901)))
    await asyncio.sleep(0)
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    assert await stays == 901
    replaced = replace(enrol(world, 900), period_name=None)
    assert await coalescer.submit(action, tenant, replaced) == 900


async def test_a_caller_of_many_who_goes_away_takes_back_all_that_no_batch_has_begun(
    world: World, runner: Runner, tenant: Tenant
) -> None:
    world.register(910, 911, 912)
    coalescer = Coalescer(runner, Settings())
    action = Recorded()
    many = [enrol(world, 910), enrol(world, 911)]
    gone = asyncio.create_task(coalescer.submit_all(action, tenant, many))
    stays = asyncio.create_task(coalescer.submit(action, tenant, enrol(world, 912)))
    await asyncio.sleep(0)
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    assert await stays == 912
    assert await coalescer.submit_all(action, tenant, many) == [910, 911]


async def test_all_lanes_together_have_only_so_many_batches_in_the_database(
    world: World, runner: Runner, tenant: Tenant
) -> None:
    world.register(*range(2900, 2904))
    actions = [Recorded() for _ in range(4)]
    for number, action in enumerate(actions):
        action.name = f"enrolment {number}"  # a lane of its own
        action.gate.clear()
    coalescer = Coalescer(runner, Settings(concurrent_batches_max=2, pool_timeout_seconds=20))
    waiting = [
        asyncio.create_task(coalescer.submit(action, tenant, enrol(world, 2900 + number)))
        for number, action in enumerate(actions)
    ]
    async with asyncio.timeout(20):
        while sum(len(action.sizes) for action in actions) < 2:  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.01)
    await runner.database.ping()  # there is a connection for whoever reads
    assert [action.sizes for action in actions] == [[1], [1], [], []]
    for action in actions:
        action.gate.set()
    assert await asyncio.gather(*waiting) == [2900, 2901, 2902, 2903]


async def test_a_batch_that_gets_no_place_is_answered_503_and_has_done_nothing(
    world: World, runner: Runner, tenant: Tenant
) -> None:
    world.register(2910, 2911)
    slow, other = Recorded(), Recorded()
    slow.gate.clear()
    other.name = "another enrolment"
    coalescer = Coalescer(runner, Settings(concurrent_batches_max=1, pool_timeout_seconds=0.2))
    held = asyncio.create_task(coalescer.submit(slow, tenant, enrol(world, 2910)))
    await asyncio.sleep(0)  # it is the first in the line
    assert await coalescer.submit(other, tenant, enrol(world, 2911)) == Refusal(UNAVAILABLE)
    assert other.sizes == []
    slow.gate.set()
    assert await held == 2910
    assert await coalescer.submit(other, tenant, enrol(world, 2911)) == 2911
