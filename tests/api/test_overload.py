"""More than the service takes is refused at once with 503 and `Retry-After`, and nothing half done."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx
import psycopg
import pytest

from milepost.settings import Settings
from tests.harness import ADMIN_TOKEN, Org, Service


@pytest.fixture(scope="module")
def service_settings(database_url: str) -> Settings:
    return Settings(
        database_url=database_url,
        admin_token=ADMIN_TOKEN,
        queue_size_max=3,
        requests_in_flight_max=6,
    )


@contextmanager
def held_up(database_url: str) -> Iterator[None]:
    """Nobody gets past the claim of a batch: the versions are locked by somebody else."""
    with psycopg.connect(database_url) as blocking:
        blocking.execute("LOCK TABLE customer_versions IN EXCLUSIVE MODE")
        yield


def unavailable(answer: httpx.Response) -> bool:
    if answer.status_code != 503:
        return False
    assert answer.json()["errors"][0]["code"] == 503
    assert answer.headers["Retry-After"] == "1"
    assert answer.headers["X-Cap-Requestid"]
    return True


def test_a_full_queue_and_too_many_requests_answer_503_and_do_nothing(
    service: Service, org: Org, database_url: str
) -> None:
    group = org.define(
        name="Milestone",
        trackingType="DEFAULT",
        frequencyType="MONTHLY",
        frequency=1,
        recurringCycles=3,
        totalPeriods=3,
        targets=[
            {
                "name": "Milestone",
                "targetEntity": "TRANSACTION",
                "targetType": "SALES",
                "defaultValues": [{"defaultValue": 100}],
            }
        ],
    )
    target = group["targets"][0]["id"]
    customers = [org.register() for _ in range(12)]
    with ThreadPoolExecutor(12) as pool, held_up(database_url):
        asked = {
            customer: pool.submit(org.enrol, group["id"], target, customer)
            for customer in customers
        }
        refused: list[int] = []
        deadline = time.monotonic() + 4  # the lock's time-out is 5 s
        while len(refused) < 9 and time.monotonic() < deadline:
            refused = [c for c in customers if asked[c].done() and unavailable(asked[c].result())]
    accepted = [c for c in customers if asked[c].result().status_code == 200]
    assert len(accepted) == 3
    assert set(refused) | set(accepted) == set(customers)
    with psycopg.connect(database_url) as connection:
        enrolled = connection.execute("SELECT customer_id FROM enrolments").fetchall()
    assert {customer for (customer,) in enrolled} == set(accepted)
    assert org.enrol(group["id"], target, refused[0]).status_code == 200
