"""What the transport refuses, in the envelope of each family (contract §3)."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest

from milepost.api.routes import PREFIXES
from tests.harness import ADMIN_TOKEN, Org, Service
from tests.scenarios.vocabulary import Challenge, data, define_milestone

MESSAGES = {
    401: "Authentication failed. Please check username and password.",
    404: "Resource not found.",
    405: "Method not allowed.",
    413: "Payload too large.",
    415: "Unsupported media type.",
    4000: "Not authorized. Access is denied!",
}
# What must stay inside: traces, SQL, names of modules, and the database's own words.
INSIDE = re.compile(
    r"Traceback|File \"|\.py\b|psycopg|litestar|msgspec|SELECT |INSERT |relation|constraint|postgres",
    re.IGNORECASE,
)


@pytest.fixture(scope="module")
def shop(service: Service) -> Org:
    return service.new_org()


@pytest.fixture(scope="module")
def abc(shop: Org) -> Challenge:
    return define_milestone(shop)


def v3(number: int) -> dict[str, Any]:
    """The v3 failure."""
    return {
        "data": None,
        "errors": [{"code": number, "message": MESSAGES[number]}],
        "warnings": None,
    }


def v2(number: int) -> dict[str, Any]:
    """The v2-single failure."""
    error = {"status": False, "code": number, "message": MESSAGES[number]}
    return {"errors": [error], "warnings": []}


def check(response: httpx.Response, status: int, body: dict[str, Any]) -> None:
    """The answer is just this, with a request id, and nothing from inside."""
    assert (response.status_code, response.json()) == (status, body)
    assert response.headers["content-type"] == "application/json"
    assert re.fullmatch(r"[0-9a-f]{32}", response.headers["x-cap-requestid"])
    assert not INSIDE.search(response.text)


V3_UNKNOWN = [
    "/",
    "/v3",
    "/nothing",
    "/v3/nothing",
    "/v4/targetGroups",
    "/v3.1/customers",
    "/milepost/v1/nothing",
    "/milepost/v2/orgs",
    "/v3/targetGroups/1/targets/2/ENROLL",
    "/v3/targetGroups/1/targets/2/unenroll",
    "/v3/targetGroups/1/targets/2/enroll/3",
    "/v3/targetGroups/1/targets/2/%65nrol",
    "/v3/targetGroups/1/targets/2/enroll%00",
    "/v3/../../etc/passwd",
    "/api_gateway/intouch-api-v3/v3/targetGroups",
    "/V3/targetGroups",
]
V2_UNKNOWN = ["/v2", "/v2/", "/v2/nothing", "/v2/targetGroups", "/v2/customers/5/6/7"]


@pytest.mark.parametrize("path", V3_UNKNOWN)
def test_an_unknown_path_is_404_in_the_v3_envelope(service: Service, shop: Org, path: str) -> None:
    for client in (shop.client, service.connect()):
        check(client.post(path, json=[]), 404, v3(404))


@pytest.mark.parametrize("path", V2_UNKNOWN)
def test_an_unknown_path_of_v2_is_404_in_the_v2_envelope(
    service: Service, shop: Org, path: str
) -> None:
    for client in (shop.client, service.connect()):
        check(client.post(path, json=[]), 404, v2(404))


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
def test_another_method_on_a_known_path_is_405(shop: Org, abc: Challenge, method: str) -> None:
    for prefix in PREFIXES:
        path = f"{prefix}/targetGroups/{abc.group_id}/targets/{abc.target_id}/enroll"
        check(shop.client.request(method, path), 405, v3(405))
    check(shop.client.request(method, "/v2/customers"), 405, v2(405))


@pytest.mark.parametrize("method", ["OPTIONS", "TRACE", "PROPFIND"])
def test_a_method_that_no_route_has_is_405_with_or_without_a_credential(
    service: Service, shop: Org, method: str
) -> None:
    for client in (shop.client, service.connect()):
        check(client.request(method, "/v3/targetGroups"), 405, v3(405))
        check(client.request(method, "/v2/customers"), 405, v2(405))


def test_a_body_over_the_limit_is_413_in_the_envelope_of_its_family(
    shop: Org, abc: Challenge
) -> None:
    body = b" " * (2**20 + 1)
    for prefix in PREFIXES:
        path = f"{prefix}/targetGroups/{abc.group_id}/targets/{abc.target_id}/unEnroll"
        check(shop.post(path, body), 413, v3(413))
    check(shop.post("/v2/customers", body), 413, v2(413))


def test_a_compressed_body_is_415_in_the_envelope_of_its_family(shop: Org) -> None:
    headers = {"Content-Encoding": "deflate"}
    check(shop.post("/v3/targetGroups", b"{}", headers=headers), 415, v3(415))
    check(shop.post("/v2/customers", b"{}", headers=headers), 415, v2(415))


READS = [
    ("GET", "/v3/targetGroups"),
    ("GET", "/targetGroups/1"),
    ("GET", "/v3.1/targetGroups/1/targets"),
    ("GET", "/v3/milestones"),
    ("GET", "/v3/users/1/targetGroups"),
    ("GET", "/v3/users/1/enrolledTargets"),
    ("GET", "/milepost/v1/customers/1/explanation"),
    ("GET", "/milepost/v1/customers/1/rewards"),
    ("GET", "/milepost/v1/clock"),
    ("GET", "/v2/customers/lookup"),
]
WRITES = [
    ("POST", "/v3/targetGroups/1/targets/2/enroll"),
    ("POST", "/targetGroups/1/targets/2/unEnroll"),
    ("POST", "/v3.1/targetGroups"),
    ("POST", "/v3/targetGroups/isValidName"),
    ("PUT", "/v3/targetGroups/1/targetPeriods"),
    ("DELETE", "/v3/targetGroups/1"),
    ("PUT", "/milepost/v1/clock"),
    ("POST", "/v2/customers"),
]
OPERATORS = [
    ("GET", "/milepost/v1/orgs"),
    ("POST", "/milepost/v1/orgs"),
    ("PUT", "/milepost/v1/orgs/1"),
    ("POST", "/milepost/v1/credentials"),
]


@pytest.mark.parametrize(("method", "path"), [*READS, *WRITES, *OPERATORS])
def test_no_credential_is_401_in_the_envelope_of_the_family(
    service: Service, method: str, path: str
) -> None:
    response = service.connect().request(method, path)
    check(response, 401, (v2 if path.startswith("/v2/") else v3)(401))
    assert response.headers["www-authenticate"].startswith("Basic ")


@pytest.mark.parametrize(("method", "path"), [*READS, *WRITES])
def test_a_credential_without_access_is_403_with_code_4000_in_the_envelope_of_the_family(
    nobody: httpx.Client, method: str, path: str
) -> None:
    response = nobody.request(method, path)
    check(response, 403, (v2 if path.startswith("/v2/") else v3)(4000))


@pytest.fixture(scope="module")
def nobody(service: Service, shop: Org) -> httpx.Client:
    """A client whose access is NONE everywhere."""
    access = {"Target Loyalty": "NONE", "Customer": "NONE"}
    made = service.operator.post(
        "/milepost/v1/credentials", json={"orgId": shop.id, "type": "TILL", "access": access}
    )
    till = data(made)["till"]
    return service.connect(auth=(till["username"], till["password"]))


@pytest.mark.parametrize(("method", "path"), OPERATORS)
def test_a_till_is_nobody_on_the_operators_routes(shop: Org, method: str, path: str) -> None:
    check(shop.client.request(method, path), 401, v3(401))


@pytest.mark.parametrize(("method", "path"), [*READS, *WRITES])
def test_the_operator_is_nobody_on_an_organisations_routes(
    service: Service, method: str, path: str
) -> None:
    headers = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
    response = service.connect().request(method, path, headers=headers)
    check(response, 401, (v2 if path.startswith("/v2/") else v3)(401))


def test_a_permission_is_that_of_the_resource_and_to_write_is_to_read(
    service: Service, shop: Org
) -> None:
    expected = {
        "READ": {"read": 200, "write": 403, "customer": 403},
        "WRITE": {"read": 200, "write": 400, "customer": 403},
    }
    for permission, answers in expected.items():
        access = {"Target Loyalty": permission}
        made = service.operator.post(
            "/milepost/v1/credentials", json={"orgId": shop.id, "type": "TILL", "access": access}
        )
        till = data(made)["till"]
        client = service.connect(auth=(till["username"], till["password"]))
        assert {
            "read": client.get("/v3/targetGroups").status_code,
            "write": client.post("/v3/targetGroups", json={}).status_code,
            "customer": client.post("/v2/customers", json={}).status_code,
        } == answers


def test_no_error_says_anything_from_inside(shop: Org, abc: Challenge) -> None:
    path = f"/v3/targetGroups/{abc.group_id}/targets/{abc.target_id}/enroll"
    bodies = [
        b"[",
        b"[{}]",
        b'[{"customerId": "x"}]',
        b"[" * 100_000,
        b'[{"customerId": 1, "periodName": "\\u0000"}]',
        b"\xff",
        b'[{"customerId": 1}]',
        b'[{"customerId": 1e400}]',
    ]
    for body in bodies:
        response = shop.post(path, body)
        assert response.status_code == 400
        assert not INSIDE.search(response.text), response.text
    for body in (b"{", b"{}", b'{"customerId": 1e400}', b'{"profiles": 5}'):
        response = shop.post("/v2/customers", body)
        assert response.status_code == 400
        assert not INSIDE.search(response.text), response.text
