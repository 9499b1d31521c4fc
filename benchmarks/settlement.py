"""Settlement of a cycle with very many enrolments, beside one transaction of SQL that writes the same rows.

A sandbox, so that the moment is ours: PUT of its clock past the instant at which a cycle closes settles it
before it answers. Cycles close a day after their end: by then the next one's beginning is noted already.
Half of the customers have achieved the cycle; each of those is granted a reward. The limit knows beforehand
who that is: it raises the versions, marks the progress and writes journal and rewards with INSERT … SELECT.
"""

from __future__ import annotations

import time
from typing import Any

import httpx
import psycopg

from benchmarks import fill
from benchmarks.place import (
    FIRST_CUSTOMER,
    Account,
    Server,
    new_account,
    new_milestone,
    running_postgres,
    running_service,
)
from benchmarks.processes import peak_mib
from benchmarks.results import LIMIT, OURS, Line, Memory, Section
from benchmarks.rounds import Measured, Meter, Part, named, note, way
from benchmarks.sizes import Sizes

LIMIT_ORG = 1
"""An organisation that Milepost does not know, with the same customers."""

MEMBERS = """
INSERT INTO customer_versions (org_id, customer_id, version)
SELECT %(org)s, n, 1 FROM generate_series(%(a)s::bigint, %(b)s::bigint) n;
INSERT INTO enrolments (org_id, customer_id, target_id, stint, enrolment_id, enrolled_at, from_period_id,
                        attempt)
SELECT %(org)s, n, %(target)s, 1, nextval('enrolment_ids'), '2026-06-01', %(period)s, 1
FROM generate_series(%(a)s::bigint, %(b)s::bigint) n;
INSERT INTO progress (org_id, customer_id, target_id, period_id, attempt, value, achieved_at)
SELECT %(org)s, n, %(target)s, p.id, 1, 500 + 1000 * (n %% 2),
       CASE WHEN n %% 2 = 1 THEN timestamptz '2026-06-02' END
FROM generate_series(%(a)s::bigint, %(b)s::bigint) n
CROSS JOIN LATERAL (SELECT n AS customer_id, id FROM unnest(%(periods)s::bigint[]) id OFFSET 0) p;
"""
SETTLE = """
UPDATE customer_versions SET version = version + 1 WHERE org_id = %(org)s;
UPDATE progress SET rewarded_attempt = 1
WHERE org_id = %(org)s AND target_id = %(target)s AND period_id = %(period)s AND achieved_at IS NOT NULL;
INSERT INTO journal (org_id, customer_id, version, ordinal, at, what, reason, target_group_id, target_id,
                     period_id, details, request_id)
SELECT org_id, customer_id, version, ordinal, now(), 'SETTLED', 'SETTLED', %(target)s, %(target)s, %(period)s,
       '{"value":"500","targetValue":"1000","attempt":1}', repeat('x', 32)
FROM customer_versions CROSS JOIN generate_series(0, 1) ordinal
WHERE org_id = %(org)s AND ordinal <= customer_id %% 2;
INSERT INTO rewards (org_id, customer_id, target_group_id, target_id, period_id, attempt, ordinal, name, type,
                     value, granted_at, cause)
SELECT %(org)s, customer_id, %(target)s, %(target)s, %(period)s, 1, 0, 'Points', 'POINTS', 10, now(),
       'SETTLEMENT'
FROM progress
WHERE org_id = %(org)s AND target_id = %(target)s AND period_id = %(period)s AND achieved_at IS NOT NULL;
"""


def measure(sizes: Sizes) -> Part:
    """Settle a cycle in each round."""
    ours: list[Measured | float] = []
    limit: list[Measured | float] = []
    with running_postgres() as postgres, running_service(postgres.url) as service:
        with httpx.Client(base_url=service.url, timeout=None) as client:  # noqa: S113 - as long as it takes
            account = new_account(client, sandbox=True, now="2026-06-01T00:00:00Z")
            group = new_milestone(
                client, account, "Bench", rewardAllocation="PERIOD_END",
                recurringCycles=sizes.rounds, totalPeriods=sizes.rounds, settlementDelayDays=1,
            )  # fmt: skip
            fill.register(postgres.url, account.org_id, FIRST_CUSTOMER, sizes.settled)
            for org_id in (account.org_id, LIMIT_ORG):
                _enrol(postgres.url, org_id, group, sizes.settled)
            fill.settle_down(postgres.url)
            for number, period in enumerate(group["periods"], 1):
                note(f"round {number} of {sizes.rounds}")
                _move(client, account, f"2026-{6 + number:02}-01T00:00:00Z")
                meter = Meter(service.pid, postgres.pid)
                seconds = _move(client, account, f"2026-{6 + number:02}-02T00:00:00Z")
                ours.append(meter.read_count(sizes.settled, sizes.settled / seconds))
                _check(postgres, account.org_id, sizes.settled, number)
                seconds = _settle_in_sql(postgres, group["targets"][0]["id"], period["id"])
                limit.append(sizes.settled / seconds)
                _check(postgres, LIMIT_ORG, sizes.settled, number)
        memory = [Memory("Milepost, 1 worker: settlement", peak_mib(service.pid))]
    line = Line(
        sizes.settled,
        [
            way(named(1), OURS, 1, ours),
            way("SQL, one transaction of INSERT … SELECT", LIMIT, 0, limit),
        ],
    )
    return Part([Section("Settlement", "enrolments", "enrolments settled", [line])], memory)


def _move(client: httpx.Client, account: Account, now: str) -> float:
    """Seconds until the sandbox has that time and all that is due by then is done."""
    began = time.perf_counter()
    answer = client.put(
        "/milepost/v1/clock", json={"now": now}, headers={"Authorization": account.authorization}
    )
    seconds = time.perf_counter() - began
    answer.raise_for_status()
    return seconds


def _settle_in_sql(postgres: Server, target_id: int, period_id: int) -> float:
    here = {"org": LIMIT_ORG, "target": target_id, "period": period_id}
    began = time.perf_counter()
    with psycopg.connect(postgres.url) as connection, psycopg.ClientCursor(connection) as cursor:
        for statement in SETTLE.strip().split(";\n"):
            cursor.execute(statement.encode(), here)
    return time.perf_counter() - began


def _check(postgres: Server, org_id: int, customers: int, cycles: int) -> None:
    """See that as many cycles are settled of every customer, and rewarded of every second one."""
    with psycopg.connect(postgres.url) as connection:
        row = connection.execute(
            "SELECT (SELECT count(*) FROM rewards WHERE org_id = %(org)s), (SELECT count(*) FROM journal "
            "WHERE org_id = %(org)s AND what IN ('SETTLED', 'REWARDED'))",
            {"org": org_id},
        ).fetchone()
    rewarded = customers // 2
    expected = (cycles * rewarded, cycles * (customers + rewarded))
    if row != expected:
        raise RuntimeError(f"rewards and entries: {row} instead of {expected}")


def _enrol(owner_url: str, org_id: int, group: dict[str, Any], count: int) -> None:
    periods = [period["id"] for period in group["periods"]]
    here = {
        "org": org_id,
        "target": group["targets"][0]["id"],
        "period": periods[0],
        "periods": periods,
    }
    fill.run(owner_url, MEMBERS, here, FIRST_CUSTOMER, count)
