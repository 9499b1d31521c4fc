"""Limits over all customers hold however many calls come at once, through several services."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import httpx
import psycopg
import pytest

from milepost.settings import Settings
from tests.harness import Org, Service
from tests.scenarios.promotion_vocabulary import (
    DIRECT,
    ENROL_AND_ISSUE,
    EXHAUSTED,
    GENERIC,
    Issued,
    Offer,
    by_id,
    fates,
    offer,
)
from tests.scenarios.vocabulary import data, sale


async def at_once(
    settings: Settings, service: Service, org: Org, path: str, bodies: Sequence[Any]
) -> list[httpx.Response]:
    """The answers to calls that are all sent at once, by turns through two services on the database."""
    with Service(replace(settings, batches_in_flight_max=4)) as other:
        auth = (org.username, org.password)
        async with (
            httpx.AsyncClient(base_url=service.url, auth=auth, timeout=60) as here,
            httpx.AsyncClient(base_url=other.url, auth=auth, timeout=60) as there,
        ):
            return await asyncio.gather(
                *(
                    (here, there)[place % 2].post(path, json=body)
                    for place, body in enumerate(bodies)
                )
            )


def told(answers: Sequence[httpx.Response]) -> Counter[str]:
    """How many customers were issued the promotion, and how many were told that the limit is used up."""
    found: Counter[str] = Counter()
    for answer in answers:
        assert answer.status_code == 200, answer.text
        for fate in fates(answer.json()):
            found["issued" if isinstance(fate, Issued) else str(fate)] += 1
    return found


def stored(database_url: str, here: Offer) -> int:
    """How many earned records of the promotion there are."""
    with psycopg.connect(database_url) as connection:
        counted = connection.execute(
            "SELECT count(*) FROM earns WHERE promotion_id = %s AND org_id = %s",
            (here.id, here.org.id),
        ).fetchone()
    assert counted is not None
    return int(counted[0])


@pytest.mark.parametrize("kind", [DIRECT, ENROL_AND_ISSUE])
async def test_200_parallel_earns_of_a_promotion_limited_to_100_issue_exactly_100(
    service: Service, service_settings: Settings, org: Org, database_url: str, kind: str
) -> None:
    here = offer(org, kind, limits={"earnsPerPromotion": 100})
    customers = [org.register() for _ in range(200)]
    if kind == ENROL_AND_ISSUE:
        for first in (0, 100):
            here.enrol(*customers[first : first + 100])
    bodies = [here.body("EARN", [by_id(customer)]) for customer in customers]
    answers = await at_once(
        service_settings, service, org, "/v2/promotion/bulk/enrolAndEarn", bodies
    )
    assert told(answers) == {"issued": 100, str(EXHAUSTED): 100}
    assert stored(database_url, here) == 100


async def test_calls_of_many_customers_that_overlap_issue_exactly_the_limit(
    service: Service, service_settings: Settings, org: Org, database_url: str
) -> None:
    """The same forty customers in each call, so that calls lose to one another all the time."""
    here = offer(org, DIRECT, limits={"earnsPerPromotion": 60, "earnsPerCustomer": 3})
    customers = [org.register() for _ in range(40)]
    turned = [customers[n:] + customers[:n] for n in range(0, 40, 4)]
    bodies = [here.body("EARN", [by_id(customer) for customer in each]) for each in turned]
    answers = await at_once(
        service_settings, service, org, "/v2/promotion/bulk/enrolAndEarn", bodies
    )
    assert told(answers) == {"issued": 60, str(EXHAUSTED): 340}
    assert stored(database_url, here) == 60


async def test_one_customer_in_many_calls_at_once_is_issued_the_promotion_once(
    service: Service, service_settings: Settings, org: Org
) -> None:
    here, ann = offer(org, ENROL_AND_ISSUE), org.register()
    bodies = [here.body("ENROL", [by_id(ann)])] * 40
    answers = await at_once(
        service_settings, service, org, "/v2/promotion/bulk/enrolAndEarn", bodies
    )
    assert told(answers) == {"issued": 1, str(EXHAUSTED): 39}


async def test_purchases_at_once_are_paid_by_a_promotion_up_to_its_limit_and_no_further(
    service: Service, service_settings: Settings, org: Org
) -> None:
    here = offer(
        org,
        GENERIC,
        redemptionLimits=[{"kpi": "TIMES", "limitOn": "PROMOTION", "maxLimit": 50}],
    )
    customers = [org.register() for _ in range(80)]
    bodies = [[sale(customer, 10, org.now())] for customer in customers]
    answers = await at_once(service_settings, service, org, "/milepost/v1/activities", bodies)
    assert {data(answer)[0]["status"] for answer in answers} == {"ACCEPTED"}
    paid = [customer for customer in customers if here.rewards(customer)]
    assert len(paid) == 50


async def test_a_limit_that_is_set_later_counts_what_there_is_also_what_is_being_written(
    service: Service, service_settings: Settings, org: Org, database_url: str
) -> None:
    here = offer(org, DIRECT)
    customers = [org.register() for _ in range(60)]
    here.earn(*customers[:10])
    bodies = [here.body("EARN", [by_id(customer)]) for customer in customers[10:]]
    setting = asyncio.create_task(asyncio.to_thread(here.change, limits={"earnsPerPromotion": 20}))
    answers = await at_once(
        service_settings, service, org, "/v2/promotion/bulk/enrolAndEarn", bodies
    )
    await setting
    assert told(answers)["issued"] + 10 == stored(database_url, here)
    left = here.earn(*customers)
    assert stored(database_url, here) >= 20
    if stored(database_url, here) > 20:
        assert set(left) == {EXHAUSTED}  # they were issued before the limit was set
