"""A shop whose customers chase three challenges: what they do, how it is sent, and where it leaves them.

Two shops that were sent the same have the same standing, whatever was killed on the way.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from random import Random
from typing import Any

import httpx
import psycopg

from milepost.database import database
from milepost.imports.kinds import CUSTOMERS, ENROLMENTS, Kind
from milepost.imports.running import import_file
from milepost.runner import Runner
from milepost.settings import Settings
from tests.api import payloads
from tests.faults.process import Place, Process
from tests.harness import Org
from tests.scenarios.promotion_vocabulary import Issued, Offer, offer
from tests.scenarios.vocabulary import COUNT, Challenge, days, period

FIRST_DAY = date(2026, 6, 1)
NOW = "2026-06-01T01:00:00Z"
CUSTOMER_COUNT = 240
STREAK_DAYS = 45
LINES_MAX = 300
"""Of one call."""
SETTLEMENT_DELAY_DAYS = {"Week": 2, "Streak": 10}


@dataclass(frozen=True)
class Shop:
    """A sandbox organisation, all its customers enrolled in a milestone of weeks that pays at their
    end and in a continuous streak of days with levels. Who buys is enrolled in one that pays at once.
    Promotions pay for large purchases, for achieved weeks, and everybody for each purchase while it lasts."""

    service: Process
    org: Org
    streak: Challenge

    def standing(self) -> dict[str, list[tuple[Any, ...]]]:
        """All that its customers did and got, but for ids: every counter, level, reward and entry."""
        with psycopg.connect(self.service.database_url) as connection:
            return {
                table: connection.execute(
                    f"SELECT {columns} FROM {table} AS x {_NAMES} WHERE x.org_id = %s "
                    f"ORDER BY {columns}".encode(),
                    (self.org.id,),
                ).fetchall()
                for table, columns in _STANDING.items()
            }

    def shown(self) -> list[tuple[int, dict[str, str], dict[str, float], list[Any]]]:
        """What some of its customers see: counter, levels, values and rewards."""
        return [
            (
                self.streak.counter(customer),
                self.streak.levels(customer),
                dict(zip(self.streak.covered(customer), self.streak.values(customer), strict=True)),
                self.streak.rewards(customer),
            )
            for customer in range(1, CUSTOMER_COUNT, CUSTOMER_COUNT // 10)
        ]


_NAMES = (
    "LEFT JOIN targets USING (org_id, target_id) LEFT JOIN target_periods USING (org_id, period_id)"
)
# Which of two cycles that complete a run comes last decides where a level is noted: that may differ.
_LEVELS = "('LEVEL_REACHED', 'LEVEL_LOST', 'LEVEL_REWARD')"
_STANDING = {
    "(SELECT *, NULL::bigint AS target_id, NULL::bigint AS period_id FROM activities)": (
        "customer_id, activity_id, type, occurred_at, net_amount, return_of"
    ),
    "(SELECT *, from_period_id AS period_id FROM enrolments)": (
        "customer_id, name, stint, ref_code, attempt, enrolled_at, left_at"
    ),
    "progress": (
        "customer_id, name, ref_code, attempt, value, achieved_at IS NULL, rewarded_attempt"
    ),
    "(SELECT a.*, l.name AS level FROM level_achievements a "
    "JOIN streak_levels l USING (org_id, streak_level_id))": (
        "customer_id, targets.name, level, attempt, achieved_at IS NULL"
    ),
    "(SELECT r.*, l.name AS level FROM rewards r "
    "LEFT JOIN streak_levels l USING (org_id, streak_level_id))": (
        "customer_id, targets.name, level, CASE WHEN level IS NULL THEN ref_code END, attempt, "
        "ordinal, x.name, value, granted_at, cause"
    ),
    "(SELECT e.*, NULL::bigint AS target_id, NULL::bigint AS period_id FROM earns e)": (
        "customer_id, promotion_id, earned_at, expires_at, redemptions, points, ended_at, ended_as"
    ),
    "(SELECT r.*, NULL::bigint AS target_id, NULL::bigint AS period_id FROM redemptions r "
    "WHERE paid_for LIKE 'activity %%')": "customer_id, promotion_id, paid_for, occurred_at, points",
    "(SELECT u.*, NULL::bigint AS target_id, NULL::bigint AS period_id FROM promotion_usage u)": (
        "promotion_id, earns, revoked_earns, redemptions, points"
    ),
    "journal": (
        f"customer_id, what, reason, at, name, CASE WHEN reason NOT IN {_LEVELS} THEN ref_code END, "
        "details ->> 'attempt'"
    ),
}


def open_shop(service: Process, folder: Path) -> Shop:
    """A new organisation with its challenges, and its customers enrolled; `folder` is for files."""
    org = service.new_org(sandbox=True, now=NOW)
    _define(org, "Month", [_cycle("June", 0, 30), _cycle("July", 30, 31)], 1000, "TRANSACTION")
    week = _define(
        org,
        "Week",
        [_cycle(f"w{n}", 7 * n, 7) for n in range(STREAK_DAYS // 7)],
        300,
        rewardAllocation="PERIOD_END",
    )
    levels = [
        {"name": f"l{n}", "targetCountOfSequence": n, "rewards": [_reward(f"Level {n}", 10 * n)]}
        for n in (2, 3, 5)
    ]
    streak = _define(
        org,
        "Streak",
        days(STREAK_DAYS, FIRST_DAY),
        1,
        trackingType="STREAKS",
        streaks=levels,
        **COUNT,
    )
    customers = range(1, CUSTOMER_COUNT + 1)
    import_rows(
        service, org, CUSTOMERS, folder, ({"customerId": c, "source": "INSTORE"} for c in customers)
    )
    import_rows(service, org, ENROLMENTS, folder, enrolling((week, streak), customers))
    _offer(org, 1, "GENERIC", {"event": "TransactionAdd", "expression": "currentTxn.value >= 200"})
    _offer(org, 2, "GENERIC", {"event": "TARGETCOMPLETED", "targetGroupIds": [week.group_id]})
    club = _offer(org, 3, "LOYALTY", {"event": "TransactionAdd"})
    for first in range(1, CUSTOMER_COUNT + 1, 100):
        fates = club.earn(*customers[first - 1 : first + 99])
        assert all(isinstance(fate, Issued) for fate in fates)
    return Shop(service, org, streak)


def _define(
    org: Org,
    name: str,
    periods: list[dict[str, str]],
    asked: int,
    enrolment_method: str = "IMPORT",
    **fields: Any,
) -> Challenge:
    of_target = {key: fields.pop(key) for key in COUNT if key in fields}
    target = payloads.target(
        name,
        enrolmentMethod=enrolment_method,
        defaultValues=[{"defaultValue": asked}],
        rewards=[_reward(name, asked), _reward(f"{name} too", 5)],
        **of_target,
    )
    made = org.define(
        **{
            **payloads.milestone(name=name, periods=periods, targets=[target]),
            "settlementDelayDays": SETTLEMENT_DELAY_DAYS.get(name, 0),
            **fields,
        }
    )
    cycles = {each["refCode"]: each for each in made["periods"]}
    return Challenge(org, made["id"], made["targets"][0]["id"], cycles)


def _offer(org: Org, promotion_id: int, kind: str, criteria: dict[str, Any]) -> Offer:
    """A promotion that ends while the shop is open, and of which all payments together are counted."""
    return offer(
        org,
        kind,
        promotionId=promotion_id,
        endDate=f"{FIRST_DAY + timedelta(days=STREAK_DAYS - 10)}T23:59:59Z",
        criteria=criteria,
        rewards=[_reward(f"Promotion {promotion_id}", promotion_id)],
        limits={"redemptionsPerEarn": -1},
        redemptionLimits=[{"kpi": "POINTS", "limitOn": "PROMOTION", "maxLimit": 1_000_000}],
    )


def _reward(name: str, value: int) -> dict[str, Any]:
    return {"name": name, "type": "POINTS", "value": value}


def _cycle(name: str, first: int, length: int) -> dict[str, str]:
    starts_on = FIRST_DAY + timedelta(days=first)
    return period(name, starts_on, starts_on + timedelta(days=length - 1))


def enrolling(
    challenges: Sequence[Challenge], customers: Iterable[int], **fields: Any
) -> Iterator[Any]:
    """The rows that enrol each of the customers in each of the challenges."""
    return (
        {
            "targetGroupId": each.group_id,
            "targetId": each.target_id,
            "customerId": customer,
            **fields,
        }
        for customer in customers
        for each in challenges
    )


def import_rows(service: Place, org: Org, kind: Kind, folder: Path, rows: Iterable[Any]) -> None:
    """Import rows, all of which are accepted."""
    file = folder / f"{kind.name} of {org.id}.ndjson"
    lines = [json.dumps(row) for row in rows]
    file.write_text("\n".join(lines))

    async def run() -> None:
        runner = Runner(database(service.database_url, Settings()))
        await runner.database.open()
        try:
            done = await import_file(runner, org.id, kind, file, lambda _: None)
        finally:
            await runner.database.close()
        assert done.accepted == len(lines)

    asyncio.run(run())


@dataclass
class Customers:
    """What customers do, in rounds. Within a round it makes no difference in which order it arrives."""

    random: Random
    _sold: list[dict[str, Any]] = field(default_factory=list)
    _sent: list[dict[str, Any]] = field(default_factory=list)

    def rounds(self, first_day: int, last_day: int) -> list[list[dict[str, Any]]]:
        """Purchases of some of these days, the last one's in its first hour; then returns of some."""
        bought: list[dict[str, Any]] = [
            {
                "id": f"{customer} buys {len(self._sent)}.{number}",
                "customerId": customer,
                "type": "TRANSACTION",
                "occurredAt": f"{FIRST_DAY + timedelta(days=day)}T00:{number:02d}:00Z",
                "netAmount": self.random.randint(50, 400),
            }
            for customer in range(1, CUSTOMER_COUNT + 1)
            for number, day in enumerate(self.random.choices(range(first_day, last_day + 1), k=5))
        ]
        returned = [
            {
                **sale,
                "id": f"{sale['id']} back",
                "type": "RETURN",
                "returnOf": sale["id"],
                "netAmount": sale["netAmount"] // self.random.choice((1, 1, 3)),
            }
            for sale in self.random.sample(bought, len(bought) // 4)
        ]
        return [self._with_repetitions(bought), self._with_repetitions(returned)]

    def _with_repetitions(self, activities: list[dict[str, Any]]) -> list[dict[str, Any]]:
        self._sent += activities
        count = len(activities) // 10
        again = self.random.sample(activities, count) + self.random.sample(self._sent, count)
        shuffled = activities + again
        self.random.shuffle(shuffled)
        return shuffled


def calls(
    rounds: Iterable[Sequence[dict[str, Any]]], tills: int = 1
) -> list[list[list[dict[str, Any]]]]:
    """The calls of each till, to be made one after the other; a customer always goes to the same till."""
    found: list[list[list[dict[str, Any]]]] = [[] for _ in range(tills)]
    for each in rounds:
        for till, its in enumerate(found):
            own = [activity for activity in each if activity["customerId"] % tills == till]
            its += [own[at : at + LINES_MAX] for at in range(0, len(own), LINES_MAX)]
    return found


@dataclass
class Till:
    """Streams its calls. Whenever one is not acknowledged whole, it begins again with the first.

    So it sends again all that was acknowledged, which has to be a duplicate, and all that was not.
    """

    shop: Shop
    calls: Sequence[Sequence[dict[str, Any]]]
    accepted: set[str] = field(default_factory=set)
    """Ids of what was acknowledged."""
    disturbances: int = 0

    def run(self) -> None:
        """Until every call is acknowledged."""
        position = 0
        while position < len(self.calls):
            if self._send(self.calls[position]):
                position += 1
            else:
                self.disturbances += 1
                self.shop.service.await_ready()
                position = 0

    def _send(self, activities: Sequence[dict[str, Any]]) -> bool:
        results = self._answers(activities)
        taken = [self._took(*each) for each in zip(activities, results, strict=False)]
        return len(taken) == len(activities) and all(taken)

    def _answers(self, activities: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Those that came before the connection broke, if it did."""
        found: list[dict[str, Any]] = []
        body = "\n".join(json.dumps(activity) for activity in activities)
        with (
            suppress(httpx.TransportError),
            self.shop.service.connect(self.shop.org) as client,
            client.stream(
                "POST",
                "/milepost/v1/activities",
                content=body.encode(),
                headers={"Content-Type": "application/x-ndjson"},
            ) as answer,
        ):
            if answer.status_code != 200:
                assert answer.status_code == 503
                return []
            for line in answer.iter_lines():
                found.append(json.loads(line))  # noqa: PERF401 - what came before a break is kept
            assert len(found) == len(activities)
        return found

    def _took(self, activity: dict[str, Any], result: dict[str, Any]) -> bool:
        identity, status = activity["id"], result["status"]
        assert result["id"] == identity
        if status == "REJECTED":
            assert [error["code"] for error in result["errors"]] == [503], result
            return False
        if identity in self.accepted:
            assert status == "DUPLICATE", result
        self.accepted.add(identity)
        return True
