"""The way to PostgreSQL is cut, falls silent, or loses an answer: 503 meanwhile, nothing lost or doubled."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import httpx
import pytest

from milepost.settings import Settings
from tests.faults.kills import calling, compare, open_shop
from tests.faults.process import wait_for
from tests.faults.proxy import Proxy
from tests.harness import ADMIN_TOKEN, Org, Service, assert_rebuilt
from tests.scenarios.vocabulary import ALREADY_ENROLLED, define_milestone

SEED = 1
ROUNDS = 4

log = logging.getLogger(__name__)


@pytest.fixture(scope="module")
def proxy(database_url: str) -> Iterator[Proxy]:
    with Proxy(database_url) as running:
        yield running


@pytest.fixture(scope="module")
def service_settings(proxy: Proxy) -> Settings:
    return Settings(
        database_url=proxy.url,
        admin_token=ADMIN_TOKEN,
        pool_timeout_seconds=0.3,
        statement_timeout_seconds=2,
        rate_limits="none",
    )


@pytest.fixture(autouse=True)
def whole(service: Service) -> None:
    """Each test begins with connections that are sound."""
    wait_for(lambda: service.operator.get("/milepost/v1/orgs").status_code == 200)
    wait_for(lambda: service.operator.get("/health/ready").status_code == 200)


@dataclass
class Beyond:
    """The service, and its database by a way of the test's own."""

    service: Service
    database_url: str

    @property
    def url(self) -> str:
        return self.service.url

    def new_org(self, **fields: Any) -> Org:
        return self.service.new_org(**{"sandbox": False, "now": None, **fields})

    def connect(self, org: Org) -> httpx.Client:
        return self.service.connect(auth=(org.username, org.password))


def test_while_the_way_is_cut_or_silent_it_is_503_and_nothing_acknowledged_is_lost_or_doubled(
    service: Service, proxy: Proxy, database_url: str, tmp_path: Path
) -> None:
    random = Random(SEED)
    log.warning("seed %d", SEED)
    busy = open_shop(Beyond(service, database_url), None, tmp_path, ROUNDS)
    lost_before = proxy.commits_lost
    with calling(busy) as look:
        for number in range(ROUNDS):
            time.sleep(random.uniform(0, 0.3))
            proxy.lose_a_commit()
            wait_for(lambda n=number: proxy.commits_lost > lost_before + n)  # type: ignore[misc]
            time.sleep(random.uniform(0, 0.3))
            if number == ROUNDS - 1:
                proxy.fall_silent()
            else:
                proxy.cut()
            refused = sum(caller.refusals for caller in busy.callers)
            wait_for(
                lambda n=refused: sum(caller.refusals for caller in busy.callers) > n  # type: ignore[misc]
            )
            proxy.resume()
            look()
            busy.check()
        wait_for(lambda: len(busy.acknowledged()["issues"]) > 0)
    compare(busy)
    assert_rebuilt(database_url)


def test_what_was_committed_without_an_answer_is_known_when_it_is_sent_again(
    service: Service, proxy: Proxy, org: Org
) -> None:
    abc = define_milestone(org)
    keyed, plain = org.register(), org.register()
    path = f"/v3/targetGroups/{abc.group_id}/targets/{abc.target_id}/enroll"

    def enrol(customer: int, **headers: str) -> httpx.Response:
        return org.post(path, [{"customerId": customer}], headers=headers)

    proxy.lose_a_commit()
    assert enrol(plain).status_code == 503
    again = enrol(plain)
    assert (again.status_code, again.json()["errors"][0]["code"]) == (400, ALREADY_ENROLLED)
    proxy.lose_a_commit(after=1)  # that of looking the key up
    key = {"Idempotency-Key": "once"}
    assert enrol(keyed, **key).status_code == 503
    again = enrol(keyed, **key)
    assert (again.status_code, again.json()["data"]) == (200, keyed)
    assert again.headers["idempotent-replayed"] == "true"


def test_a_server_that_says_nothing_any_more_is_given_up_and_the_next_one_is_asked(
    service: Service, proxy: Proxy, org: Org
) -> None:
    abc = define_milestone(org)
    customer = org.register()
    proxy.fall_silent()
    path = f"/v3/targetGroups/{abc.group_id}/targets/{abc.target_id}/enroll"
    # The harness's client would wait for 30 s: neither writing, reading nor looking takes that long.
    with ThreadPoolExecutor(3) as threads:
        answers = [
            threads.submit(org.post, path, [{"customerId": customer}]),
            threads.submit(org.get, f"/v3/users/{customer}/targetGroups"),
            threads.submit(org.get, "/health/ready"),
        ]
        assert [each.result().status_code for each in answers] == [503, 503, 503]
    assert org.get("/health/live").status_code == 200
    proxy.resume()
    wait_for(lambda: org.get("/health/ready").status_code == 200)
    assert abc.enrol(customer) == 200
