"""Rate limits: per credential and route, in a minute of the wall clock, for all processes together."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import psycopg
import pytest

from milepost import clock
from milepost.api.app import create_litestar
from milepost.api.rate_limits import read_limits, routes_of
from milepost.settings import SettingError, Settings
from tests.harness import ADMIN_TOKEN, Org, Service

LIMITS = (
    "POST /v2/customers=3, GET /milepost/v1/clock=2, "
    "POST /v3/targetGroups/{group}/targets/{target}/enroll=2, POST /v2/transactions=200"
)
CLOCK = "/milepost/v1/clock"


@pytest.fixture(scope="module")
def service_settings(database_url: str) -> Settings:
    return Settings(database_url=database_url, admin_token=ADMIN_TOKEN, rate_limits=LIMITS)


@pytest.fixture(autouse=True)
def _early_in_a_minute() -> None:
    """A test that would reach over the end of a minute waits for it."""
    while clock.now().second >= 57:
        time.sleep(0.05)


def refused(answer: httpx.Response) -> bool:
    if answer.status_code != 429:
        return False
    assert answer.json()["errors"][0]["code"] == 429
    assert 1 <= int(answer.headers["Retry-After"]) <= 60
    assert answer.headers["X-Cap-Requestid"]
    return True


def test_what_is_over_the_limit_is_answered_429_until_the_minute_ends(org: Org) -> None:
    answers = [org.get(CLOCK) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 429, 429]
    assert refused(answers[2])
    left = 60 - clock.now().second
    assert abs(int(answers[3].headers["Retry-After"]) - left) <= 1
    assert answers[3].json() == {
        "data": None,
        "errors": [
            {"code": 429, "message": "Too many requests. GET /milepost/v1/clock takes 2 a minute."}
        ],
        "warnings": None,
    }


def test_a_refusal_has_the_envelope_of_the_paths_family_and_does_nothing(
    org: Org, database_url: str
) -> None:
    customers = [org.register() for _ in range(3)]
    body = {
        "profiles": [
            {"identifiers": [{"type": "email", "value": "a@b.example"}], "source": "INSTORE"}
        ]
    }
    answer = org.post("/v2/customers", body)
    assert refused(answer)
    assert answer.json()["errors"][0]["status"] is False
    with psycopg.connect(database_url) as connection:
        found = connection.execute("SELECT customer_id FROM customers WHERE org_id = %s", (org.id,))
        assert {row[0] for row in found} == set(customers)


def test_the_minute_is_the_wall_clocks_also_in_a_sandbox(org: Org, database_url: str) -> None:
    assert [org.get(CLOCK).status_code for _ in range(3)] == [200, 200, 429]
    minute = clock.now().replace(second=0, microsecond=0)
    assert usage(database_url, org) == [("GET /milepost/v1/clock", minute, 3)]


def usage(database_url: str, org: Org) -> list[tuple[object, ...]]:
    with psycopg.connect(database_url) as connection:
        connection.execute("SET timezone TO 'UTC'")
        return connection.execute(
            "SELECT limit_name, minute, used FROM rate_usage WHERE org_id = %s", (org.id,)
        ).fetchall()


def test_each_credential_has_a_limit_of_its_own(service: Service, org: Org) -> None:
    body = {"orgId": org.id, "type": "TILL", "access": {"Organization": "READ"}}
    till = service.operator.post("/milepost/v1/credentials", json=body).json()["data"]["till"]
    second = service.connect(auth=(till["username"], till["password"]))
    assert [org.get(CLOCK).status_code for _ in range(3)] == [200, 200, 429]
    assert [second.get(CLOCK).status_code for _ in range(3)] == [200, 200, 429]


def test_all_prefixes_of_a_route_share_its_limit(org: Org) -> None:
    path = "/targetGroups/1/targets/2/enroll"
    prefixes = ("/v3", "", "/v3.1", "/api_gateway/intouch-api-v3/v3.1")
    answers = [org.post(prefix + path, [{"customerId": 1}]).status_code for prefix in prefixes]
    assert answers == [400, 400, 429, 429]


def test_other_routes_are_unlimited(org: Org) -> None:
    assert {org.get("/milepost/v1/simulations").status_code for _ in range(20)} == {200}


def test_who_may_not_call_a_route_is_told_so_and_uses_nothing_up(
    service: Service, org: Org, database_url: str
) -> None:
    body = {"orgId": org.id, "type": "TILL", "access": {}}
    till = service.operator.post("/milepost/v1/credentials", json=body).json()["data"]["till"]
    client = service.connect(auth=(till["username"], till["password"]))
    assert {client.get(CLOCK).status_code for _ in range(4)} == {403}
    assert {service.connect().get(CLOCK).status_code for _ in range(4)} == {401}
    assert usage(database_url, org) == []


def test_of_many_requests_at_once_exactly_the_limit_is_let_in(
    service_settings: Settings, service: Service, org: Org, database_url: str
) -> None:
    with Service(service_settings) as second, ThreadPoolExecutor(8) as pool:
        auth = (org.username, org.password)
        clients = [each.connect(auth=auth) for each in (service, second) for _ in range(4)]
        answers = list(
            pool.map(
                lambda number: clients[number % 8].post("/v2/transactions", json={}).status_code,
                range(240),
            )
        )
    assert {status: answers.count(status) for status in set(answers)} == {400: 200, 429: 40}


def test_a_process_whose_clock_is_a_little_ahead_begins_the_next_minute_for_all(
    org: Org, database_url: str
) -> None:
    assert org.get(CLOCK).status_code == 200
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("UPDATE rate_usage SET minute = minute + interval '1 minute', used = 1")
        assert [org.get(CLOCK).status_code for _ in range(2)] == [200, 429]
        connection.execute("UPDATE rate_usage SET minute = minute + interval '1 hour'")
    second = read_used(database_url, org)
    assert second == 3


def read_used(database_url: str, org: Org) -> int:
    ((_, _, used),) = usage(database_url, org)
    assert isinstance(used, int)
    return used


def test_the_vendors_table_is_the_default_and_can_be_another_regions_or_none() -> None:
    routes = routes_of(create_litestar(Settings()))

    def limits(setting: str) -> dict[str, int]:
        return {limit.name: limit.per_minute for limit in read_limits(setting, routes).values()}

    assert (
        limits("default")
        == limits("asia-1")
        == {
            "POST /v2/transactions": 1_200,
            "POST /v2/transactions/bulk": 700,
            "POST /v2/customers": 600,
        }
    )
    assert limits("emea")["POST /v2/transactions/bulk"] == 300
    assert limits("us") == limits("none") == limits("") == {}
    assert limits("POST /v2/customers = 5") == {"POST /v2/customers": 5}


@pytest.mark.parametrize(
    ("setting", "complaint"),
    [
        ("POST /v2/custommers=1", "which no route is"),
        ("GET /v2/customers=1", "which no route is"),
        ("POST /v2/customers=0", "from 1 to"),
        ("POST /v2/customers", "entries like"),
        ("mars-1", "it takes default, none, asia-1"),
        ("POST /v2/customers=1, POST /v2/customers=2", "twice"),
        ("POST /v3/targetGroups=1, POST /targetGroups=2", "twice"),
    ],
)
def test_a_limit_that_cannot_be_held_is_refused_at_the_start(setting: str, complaint: str) -> None:
    with pytest.raises(SettingError, match=complaint):
        create_litestar(Settings(rate_limits=setting))
