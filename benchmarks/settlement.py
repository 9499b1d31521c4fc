"""Settlement of one cycle with very many enrolments: how many a second, and the memory it takes.

A sandbox, so that the moment is ours: PUT of its clock past the end of the cycle settles it before it
answers. Half of the customers have achieved the cycle; each is granted one reward.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import httpx
import psycopg

from benchmarks.place import (
    FIRST_CUSTOMER,
    Account,
    new_account,
    new_milestone,
    peak_memory_mib,
    running_service,
)
from milepost import embedded
from milepost.migrate import migrate

MEMBERS = """
INSERT INTO enrolments (org_id, customer_id, target_id, stint, enrolment_id, enrolled_at, from_period_id,
                        attempt)
SELECT %(org)s, n, %(target)s, 1, nextval('enrolment_ids'), '2026-06-01', %(period)s, 1
FROM generate_series(%(a)s, %(b)s) n;
INSERT INTO customers SELECT %(org)s, n, %(org)s, 'loyalty', now() FROM generate_series(%(a)s, %(b)s) n;
INSERT INTO progress (org_id, customer_id, target_id, period_id, attempt, value, achieved_at)
SELECT %(org)s, n, %(target)s, %(period)s, 1, 500 + 1000 * (n %% 2),
       CASE WHEN n %% 2 = 1 THEN timestamptz '2026-06-02' END
FROM generate_series(%(a)s, %(b)s) n;
INSERT INTO customer_versions SELECT %(org)s, n, 1 FROM generate_series(%(a)s, %(b)s) n;
ANALYZE;
CHECKPOINT;
"""


def main(enrolments: int) -> None:
    """Settle one cycle and print what it took."""
    with (
        tempfile.TemporaryDirectory() as folder,
        embedded.start(Path(folder) / "pg") as postgres,
    ):
        migrate(postgres.url)
        with running_service(postgres.url) as service:
            with httpx.Client(base_url=service.url, timeout=None) as client:  # noqa: S113 - as long as it takes
                account = new_account(client, sandbox=True, now="2026-06-01T00:00:00Z")
                group = new_milestone(
                    client, account, "Bench", rewardAllocation="PERIOD_END", recurringCycles=1
                )
                _enrol(postgres.url, account, group, enrolments)
                began = time.perf_counter()
                answer = client.put(
                    "/milepost/v1/clock",
                    json={"now": "2026-07-01T00:00:00Z"},
                    headers={"Authorization": account.authorization},
                )
                seconds = time.perf_counter() - began
                answer.raise_for_status()
            memory = peak_memory_mib(service.pid)
        with psycopg.connect(postgres.url) as connection:
            row = connection.execute("SELECT count(*) FROM rewards").fetchone()
    granted = row[0] if row is not None else 0
    if granted != enrolments // 2:
        raise RuntimeError(f"{granted:,} rewards instead of {enrolments // 2:,}")
    print(f"settlement of {enrolments:,} enrolments, {granted:,} rewards: {enrolments / seconds:,.0f}/s, "
          f"peak memory {memory:.0f} MiB", flush=True)  # fmt: skip


def _enrol(owner_url: str, account: Account, group: dict[str, object], count: int) -> None:
    periods, targets = group["periods"], group["targets"]
    assert isinstance(periods, list)
    assert isinstance(targets, list)
    here = {
        "org": account.org_id,
        "target": targets[0]["id"],
        "period": periods[0]["id"],
        "a": FIRST_CUSTOMER,
        "b": FIRST_CUSTOMER + count - 1,
    }
    with psycopg.ClientCursor(psycopg.connect(owner_url, autocommit=True)) as cursor:
        for statement in MEMBERS.strip().split(";\n"):
            cursor.execute(statement.encode(), here)
        cursor.connection.close()
