"""A long story of promotions, on a database and by the rules alone: loads and saves make no difference."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from milepost.actions.activities import RECORD
from milepost.actions.enrolment import ENROLMENT
from milepost.actions.issuing import ISSUING
from milepost.actions.settlement import settle_due
from milepost.database import Tenant
from milepost.rules.activities import Activity
from milepost.rules.definitions import DIRECT, GENERIC, UNLIMITED, Definitions
from milepost.rules.effects import Usage
from milepost.rules.enrolment import Enrol, Unenrol
from milepost.rules.issuing import EARN, ENROL, REVOKE_EARN, REVOKE_ENROL, Act, Acted
from milepost.rules.recording import RecordActivity, Recorded
from milepost.runner import Runner
from tests.rules.desk import Desk, calls, fate
from tests.rules.promotion_samples import COFFEE, at_most, completion, days, offer, points
from tests.rules.samples import sale
from tests.store.offers import define
from tests.store.world import World

NOW = datetime(2026, 6, 15, tzinfo=UTC)

STORY = (
    offer(issuals=3, earns=4, each=2, issual_expiry=days(9), earn_expiry=days(4)),
    offer(DIRECT, promotion_id=22, earns=6, of_all=9, rewards=(points(40), COFFEE)),
    offer(
        GENERIC,
        promotion_id=23,
        rewards=(points(30),),
        limits=(at_most("POINTS", "CUSTOMER", 100, "WEEKLY"), at_most("TIMES", "PROMOTION", 12)),
    ),
    offer(
        GENERIC,
        promotion_id=24,
        rewards=(COFFEE,),
        limits=(at_most("TIMES", "PROMOTION", 2, "DAILY"), at_most("TIMES", "CUSTOMER", 4)),
    ),
    completion(promotion_id=25, rewards=(points(25),)),
    completion(DIRECT, promotion_id=26, earns=UNLIMITED, each=UNLIMITED, earn_expiry=days(12)),
)


class Labels:
    """The numbers that the desk gives: ids of the database in the order in which they were made."""

    def __init__(self) -> None:
        self.issuals: dict[int, int] = {}
        self.earns: dict[int, int] = {}

    def fate(self, outcome: Any) -> str:
        if isinstance(outcome, Acted):
            outcome = replace(
                outcome,
                issual_id=self._label(self.issuals, outcome.issual_id),
                earn_id=self._label(self.earns, outcome.earn_id),
                revoked_earn_ids=tuple(self.earns[each] for each in outcome.revoked_earn_ids),
            )
        return fate(outcome)

    @staticmethod
    def _label(known: dict[int, int], number: int | None) -> int | None:
        return None if number is None else known.setdefault(number, len(known) + 1)


class Story:
    """The same commands for the database and for a desk."""

    def __init__(self, world: World, runner: Runner, tenant: Tenant, defined: Definitions) -> None:
        self.world, self.runner, self.tenant = world, runner, tenant
        self.customers = [101, 102, 103, 104]
        world.register(*self.customers)
        self.desk = Desk(defined, frozenset(self.customers), now=NOW)
        self.labels = Labels()

    async def act(self, commands: list[Act]) -> None:
        outcomes = await self.runner.run(ISSUING, self.tenant, commands)
        assert [self.labels.fate(each) for each in outcomes] == self.desk.act(commands)

    async def take(self, activities: list[Activity]) -> None:
        commands = [RecordActivity(each) for each in activities]
        there = await self.runner.run(RECORD, self.tenant, commands)
        here = self.desk.take(*activities)
        for one, other in zip(there, here, strict=True):
            assert isinstance(one, Recorded)
            assert isinstance(other, Recorded)
            assert [
                (p.promotion.id, self.labels.earns.get(p.earn_id or 0), _worth(p.rewards))
                for p in one.paid
            ] == [(p.promotion.id, p.earn_id, _worth(p.rewards)) for p in other.paid]

    async def move(self, commands: list[Enrol | Unenrol]) -> None:
        outcomes = await self.runner.run(ENROLMENT, self.tenant, commands)
        codes = [0 if isinstance(each, int) else each.error.code for each in outcomes]
        assert codes == self.desk.decide(commands, self.desk.now)

    async def wait(self, to: datetime) -> None:
        await settle_due(self.runner, self.tenant, to)
        self.world.run("UPDATE orgs SET sandbox_now = %(to)s WHERE org_id = %(org)s", to=to)
        self.desk.wait(to)

    def compare(self) -> None:
        """Every row that there is of the customers."""
        issuals, earns = self.labels.issuals, self.labels.earns
        found = self._rows(
            "customer_id, issual_id, promotion_id, issued_at, expires_at, is_dummy, entry_id, ended_at, "
            "ended_as FROM issuals"
        )
        assert sorted((row[0], issuals[row[1]], *row[2:]) for row in found) == sorted(
            (customer, i.id, i.promotion_id, i.issued_at, i.expires_at, i.is_dummy, i.entry_id,
             i.ended_at, i.ended_as)
            for (customer, _), i in self.desk.issuals.items()
        )  # fmt: skip
        found = self._rows(
            "customer_id, earn_id, issual_id, promotion_id, earned_at, expires_at, entry_id, redemptions, "
            "points, ended_at, ended_as FROM earns"
        )
        assert sorted((row[0], earns[row[1]], issuals[row[2]], *row[3:]) for row in found) == sorted(
            (customer, e.id, e.issual_id, e.promotion_id, e.earned_at, e.expires_at, e.entry_id,
             e.redemptions, e.points, e.ended_at, e.ended_as)
            for (customer, _), e in self.desk.earns.items()
        )  # fmt: skip
        found = self._rows(
            "customer_id, promotion_id, paid_for, earn_id, occurred_at, redeemed_at, points FROM redemptions"
        )
        told = [(*row[:3], earns.get(row[3]) if row[3] else None, *row[4:]) for row in found]
        assert sorted(told) == sorted(
            (
                customer,
                r.promotion_id,
                r.paid_for,
                r.earn_id,
                r.occurred_at,
                r.redeemed_at,
                r.points,
            )
            for (customer, _, _), r in self.desk.redemptions.items()
        )
        assert dict(self._rows("customer_id, version FROM customer_versions")) == self.desk.versions
        for promotion_id, counted in self.desk.usage.items():
            rows: Any = self.world.run(
                "SELECT earns, revoked_earns, redemptions, points FROM promotion_usage "
                "WHERE org_id = %(org)s AND promotion_id = %(p)s",
                p=promotion_id,
            )
            (row,) = rows
            assert Usage(*row) == counted

    def _rows(self, columns: str) -> Any:
        return self.world.run(
            f"SELECT {columns} WHERE org_id = %(org)s AND customer_id = ANY (%(customers)s)",
            customers=self.customers,
        )


def _worth(rewards: Sequence[Any]) -> list[tuple[str, Decimal]]:
    return [(each.name, each.value) for each in rewards]


async def test_a_long_story_goes_on_the_database_as_it_does_by_the_rules_alone(
    world: World, runner: Runner, tenant: Tenant
) -> None:
    """The desk of the rules' tests loads no more than it should: here the store does the same."""
    world.run("UPDATE target_periods SET created_at = '2026-05-01'")
    defined = await define(runner, tenant, *STORY)
    story = Story(world, runner, tenant, defined)
    rng = random.Random(20260615)
    target = world.group_id
    for step in range(220):
        who = rng.choices(story.customers, k=rng.randint(1, 4))
        match rng.choice(["act", "act", "act", "take", "take", "take", "move", "wait"]):
            case "act":
                action = rng.choice([ENROL, ENROL, EARN, EARN, EARN, REVOKE_EARN, REVOKE_ENROL])
                await story.act(calls(action, *who, promotion=rng.choice([21, 21, 22, 26])))
            case "take":
                ago = timedelta(days=rng.choice([0, 0, 0, 1, 5]))
                net = rng.choice([300, 700])
                await story.take([
                    sale(f"tx-{step}-{place}", net, story.desk.now - ago, customer=customer)
                    for place, customer in enumerate(who)
                ])  # fmt: skip
            case "move":
                command: Enrol | Unenrol = Unenrol(target, target, who[0])
                if rng.random() < 0.7:
                    balance = rng.choice([None, None, 0, 1000])
                    command = Enrol(target, target, who[0], None, balance)
                await story.move([command])
            case _:
                await story.wait(story.desk.now + timedelta(days=rng.choice([0.3, 1, 2])))
        if step % 20 == 0:
            story.compare()
    story.compare()
    ended = {each.ended_as for each in story.desk.issuals.values()}
    assert ended == {None, "REPLACED", "REVOKED", "EXPIRED"}
    assert {key[1] for key in story.desk.redemptions} == {each.id for each in STORY}
