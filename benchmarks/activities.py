"""Activities per second in one NDJSON call, beside COPY of the same rows without any rule.

Each activity moves three counters of one of 200,000 customers: version, repetition, three values,
journal. COPY is the limit: the same rows into an empty table with the same key, nothing else.
"""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import msgspec
import psycopg

from benchmarks.place import (
    FIRST_CUSTOMER,
    Account,
    new_account,
    new_milestone,
    peak_memory_mib,
    running_service,
)
from benchmarks.stream import Result, Stream
from milepost import embedded
from milepost.migrate import migrate

CUSTOMERS = 200_000
COPY_TABLE = """
CREATE TABLE bench_activities (
    org_id bigint, customer_id bigint, activity_id text, occurred_at timestamptz, net_amount numeric,
    PRIMARY KEY (org_id, customer_id, activity_id)
)
"""
MEMBERS = """
INSERT INTO customers SELECT %(org)s, n, %(org)s, 'loyalty', now() FROM generate_series(%(a)s, %(b)s) n;
INSERT INTO enrolments (org_id, customer_id, target_id, stint, enrolment_id, enrolled_at, from_period_id,
                        attempt)
SELECT %(org)s, n, t.target_id, 1, nextval('enrolment_ids'), now(), t.period_id, 1
FROM generate_series(%(a)s, %(b)s) n,
     (SELECT v.target_id, min(v.period_id) AS period_id FROM target_values v
      WHERE v.org_id = %(org)s GROUP BY 1) t;
INSERT INTO customer_versions SELECT %(org)s, n, 1 FROM generate_series(%(a)s, %(b)s) n;
ANALYZE;
CHECKPOINT;
"""


def main(workers: int, activities: int, targets: int) -> None:
    """Send one stream and print what it took."""
    with (
        tempfile.TemporaryDirectory() as folder,
        embedded.start(Path(folder) / "pg") as postgres,
    ):
        migrate(postgres.url)
        file = Path(folder) / "activities.ndjson"
        _write(file, activities)
        with running_service(postgres.url, workers) as service:
            with httpx.Client(base_url=service.url, timeout=60) as client:
                account = new_account(client)
                for number in range(targets):
                    new_milestone(client, account, f"Bench {number}")
            _enrol(postgres.url, account)
            result = _send(service.url, account, file)
            memory = peak_memory_mib(service.pid)
        if result.statuses != {"ACCEPTED": activities}:
            raise RuntimeError(f"not all were accepted: {result.statuses}")
        rate = activities / result.seconds
        limit = _copy(postgres.url, file)
    print(f"{activities:,} activities, {CUSTOMERS:,} customers, {targets} targets each, "
          f"{workers} worker(s): {rate:,.0f}/s, peak memory {memory:.0f} MiB; "
          f"COPY {limit:,.0f}/s; ratio {rate / limit:.4f}", flush=True)  # fmt: skip


def _write(file: Path, activities: int) -> None:
    now = datetime.now(UTC).isoformat()
    chance = random.Random(1)
    with file.open("w") as lines:
        for number in range(activities):
            customer = FIRST_CUSTOMER + chance.randrange(CUSTOMERS)
            lines.write(
                f'{{"id":"tx-{number}","customerId":{customer},"type":"TRANSACTION",'
                f'"occurredAt":"{now}","netAmount":{chance.randrange(100, 9_999) / 100},'
                f'"storeId":7,"attributes":{{"channel":"web"}}}}\n'
            )


def _enrol(owner_url: str, account: Account) -> None:
    here = {
        "org": account.org_id,
        "a": FIRST_CUSTOMER,
        "b": FIRST_CUSTOMER + CUSTOMERS - 1,
    }
    with psycopg.ClientCursor(psycopg.connect(owner_url, autocommit=True)) as cursor:
        for statement in MEMBERS.strip().split(";\n"):
            cursor.execute(statement.encode(), here)
        cursor.connection.close()


def _send(url: str, account: Account, file: Path) -> Result:
    address = urlsplit(url)
    stream = Stream(address.hostname or "", address.port or 0, account.authorization, str(file))
    run = subprocess.run(
        [sys.executable, "-m", "benchmarks.stream"],
        input=msgspec.json.encode(stream) + b"\n",
        stdout=subprocess.PIPE,
        check=True,
    )
    return msgspec.json.decode(run.stdout, type=Result)


def _copy(owner_url: str, file: Path) -> float:
    """Rows per second of COPY into an empty table with the same key."""
    rows = []
    with file.open("rb") as lines:
        for line in lines:
            row = msgspec.json.decode(line)
            rows.append(
                f"1\t{row['customerId']}\t{row['id']}\t{row['occurredAt']}\t{row['netAmount']}\n"
            )
    data = "".join(rows).encode()
    with psycopg.connect(owner_url, autocommit=True) as connection:
        connection.execute(COPY_TABLE)
        began = time.perf_counter()
        with connection.cursor().copy("COPY bench_activities FROM STDIN") as copy:
            copy.write(data)
        return len(rows) / (time.perf_counter() - began)
