"""Organisations and credentials over HTTP (contract §2), and who may call what (§3)."""

import base64
import hashlib
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import psycopg
import pytest

from milepost.rules.access import RESOURCES
from milepost.settings import Settings
from tests.harness import ADMIN_TOKEN, Org, Service

ORG = {"name": "Shop", "timeZone": "Asia/Kolkata"}
LOOKUP = "/v2/customers/lookup?source=ALL&identifierName=id&identifierValue=1"


@pytest.fixture(scope="module")
def service_settings(database_url: str) -> Settings:
    """Every request gets a line in the log; credentials are believed for half a second."""
    return Settings(
        database_url=database_url,
        admin_token=ADMIN_TOKEN,
        credential_ttl_seconds=0.5,
        log_requests="all",
    )


@pytest.fixture(scope="module")
def shop(service: Service) -> Org:
    """An organisation that no test changes."""
    return service.new_org()


def create(service: Service, **fields: Any) -> dict[str, Any]:
    response = service.operator.post("/milepost/v1/orgs", json={**ORG, **fields})
    assert response.status_code == 201, response.text
    answer = response.json()
    assert (answer["errors"], answer["warnings"]) == (None, None)
    data: dict[str, Any] = answer["data"]
    return data


def credential(service: Service, org: Org, kind: str = "TILL", **access: str) -> dict[str, Any]:
    body = {"orgId": org.id, "type": kind, "access": access}
    response = service.operator.post("/milepost/v1/credentials", json=body)
    assert response.status_code == 201, response.text
    data: dict[str, Any] = response.json()["data"]
    return data


def till(service: Service, org: Org, **access: str) -> tuple[str, str]:
    found = credential(service, org, **access)["till"]
    return found["username"], found["password"]


def listed(service: Service) -> list[dict[str, Any]]:
    response = service.operator.get("/milepost/v1/orgs")
    assert response.status_code == 200
    found: list[dict[str, Any]] = response.json()["data"]
    return found


def assert_invalid(response: httpx.Response) -> None:
    assert response.status_code == 400, response.text
    answer = response.json()
    assert (answer["data"], answer["warnings"]) == (None, None)
    assert [error["code"] for error in answer["errors"]] == [300004]


def test_a_new_organisation_is_answered_with_its_first_credentials(service: Service) -> None:
    data = create(service)
    secrets = (data.pop("till"), data.pop("oauth"))
    assert data == {
        "orgId": data["orgId"],
        "name": "Shop",
        "timeZone": "Asia/Kolkata",
        "parentOrgId": None,
        "sandbox": False,
        "returnsAdjustTargets": True,
        "revokesRestoreLimits": False,
        "defaultAccessGroupId": None,
    }
    assert [sorted(secret) for secret in secrets] == [["password", "username"], ["key", "secret"]]
    assert data in listed(service)


def test_organisations_are_listed_oldest_first_without_secrets(service: Service) -> None:
    made = [create(service, name=name)["orgId"] for name in ("One", "Two")]
    found = listed(service)
    assert [org["orgId"] for org in found] == sorted(org["orgId"] for org in found)
    assert [org["orgId"] for org in found][-2:] == made
    assert not {"till", "oauth", "password", "secret"} & set(found[-1])


def test_the_first_credentials_may_do_everything(service: Service, database_url: str) -> None:
    data = create(service, sandbox=True)
    auth = (data["till"]["username"], data["till"]["password"])
    client = service.connect(auth=auth)
    assert client.get(LOOKUP).status_code == 400
    assert client.post("/v2/customers", json={}).status_code == 400
    assert client.get("/milepost/v1/clock").status_code == 200
    with psycopg.connect(database_url) as connection:
        access = connection.execute(
            "SELECT kind, access FROM credentials WHERE org_id = %s ORDER BY kind", (data["orgId"],)
        ).fetchall()
    assert access == [("OAUTH", None), ("TILL", None)]


def test_secrets_are_kept_as_argon2_hashes_only(service: Service, database_url: str) -> None:
    data = create(service)
    secrets = (data["till"]["password"], data["oauth"]["secret"])
    with psycopg.connect(database_url) as connection:
        stored = connection.execute("SELECT * FROM credentials").fetchall()
        hashes = connection.execute("SELECT secret_hash FROM credentials").fetchall()
    assert all(found.startswith("$argon2id$") for (found,) in hashes)
    for secret in secrets:
        assert secret not in str(stored)
        assert hashlib.md5(secret.encode(), usedforsecurity=False).hexdigest() not in str(stored)


def test_a_child_takes_its_parents_sandbox_and_clock(service: Service) -> None:
    for sandbox in (True, False):
        parent = create(service, sandbox=sandbox)
        child = create(service, parentOrgId=parent["orgId"], now=None)
        assert (child["parentOrgId"], child["sandbox"]) == (parent["orgId"], sandbox)
        assert create(service, parentOrgId=parent["orgId"], sandbox=sandbox)["sandbox"] is sandbox


@pytest.mark.parametrize(
    "fields",
    [
        {"name": ""},
        {"name": "   "},
        {"name": "x" * 201},
        {"name": "a\x00b"},
        {"name": None},
        {"name": 7},
        {"timeZone": "Mars/Olympus"},
        {"timeZone": "asia/kolkata"},
        {"timeZone": "../etc/passwd"},
        {"timeZone": ""},
        {"timeZone": None},
        {"timeZone": "+05:30"},
        {"parentOrgId": 999_999_999},
        {"parentOrgId": -1},
        {"parentOrgId": "1001"},
        {"parentOrgId": True},
        {"parentOrgId": 1.0},
        {"parentOrgId": 10**30},
        {"sandbox": "yes"},
        {"sandbox": 1},
        {"returnsAdjustTargets": "no"},
        {"now": "2026-06-01T00:00:00Z"},
        {"sandbox": False, "now": "2026-06-01T00:00:00Z"},
        {"sandbox": True, "now": "2026-06-01"},
        {"sandbox": True, "now": "2026-06-01T00:00:00"},
        {"sandbox": True, "now": "2300-06-01T00:00:00Z"},
        {"sandbox": True, "now": 1_780_000_000},
        {"sandbox": True, "now": "\x00"},
    ],
)
def test_a_bad_organisation_is_300004_and_none_is_made(
    service: Service, fields: dict[str, Any]
) -> None:
    before = listed(service)
    assert_invalid(service.operator.post("/milepost/v1/orgs", json={**ORG, **fields}))
    assert listed(service) == before


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'{"name": "Shop"}',
        b'{"name": "\\ud800", "timeZone": "UTC"}',
        b'{"name": "\xff", "timeZone": "UTC"}',
        b'{"name": "Shop", "timeZone": "UTC", "parentOrgId": 1e400}',
        b"[" * 100_000,
    ],
)
@pytest.mark.parametrize("path", ["/milepost/v1/orgs", "/milepost/v1/credentials"])
def test_a_malformed_body_is_300004(service: Service, path: str, content: bytes) -> None:
    assert_invalid(service.operator.post(path, content=content))


def test_what_contradicts_the_parent_is_300004(service: Service) -> None:
    parent = create(service, sandbox=True)["orgId"]
    child = create(service, parentOrgId=parent)["orgId"]
    before = listed(service)
    for fields in (
        {"parentOrgId": child},
        {"parentOrgId": parent, "now": "2026-06-01T00:00:00Z"},
        {"parentOrgId": parent, "sandbox": True, "now": "2026-06-01T00:00:00Z"},
        {"parentOrgId": parent, "sandbox": False},
    ):
        assert_invalid(service.operator.post("/milepost/v1/orgs", json={**ORG, **fields}))
    assert listed(service) == before


def test_name_and_settings_can_be_changed_one_by_one(service: Service) -> None:
    created = create(service, returnsAdjustTargets=False)
    assert (created["returnsAdjustTargets"], created["revokesRestoreLimits"]) == (False, False)
    path = f"/milepost/v1/orgs/{created['orgId']}"
    expected = {key: value for key, value in created.items() if key not in ("till", "oauth")}
    for change in (
        {"name": "Renamed"},
        {"returnsAdjustTargets": True},
        {"revokesRestoreLimits": True},
        {},
        {"name": None, "returnsAdjustTargets": None, "unknown": 1},
    ):
        expected |= {key: value for key, value in change.items() if key in expected and value}
        response = service.operator.put(path, json=change)
        assert (response.status_code, response.json()["data"]) == (200, expected)
        assert expected in listed(service)


@pytest.mark.parametrize(
    ("path", "change"),
    [
        ("999999999", {"name": "X"}),
        ("-1", {"name": "X"}),
        ("abc", {"name": "X"}),
        ("9" * 40, {"name": "X"}),
        ("{id}", {"name": ""}),
        ("{id}", {"name": " "}),
        ("{id}", {"name": "x" * 201}),
        ("{id}", {"name": "\x00"}),
        ("{id}", {"returnsAdjustTargets": 1}),
        ("{id}", {"revokesRestoreLimits": 0}),
        ("{id}", []),
    ],
)
def test_a_bad_change_is_300004_and_changes_nothing(
    service: Service, shop: Org, path: str, change: Any
) -> None:
    before = listed(service)
    url = f"/milepost/v1/orgs/{path.format(id=shop.id)}"
    assert_invalid(service.operator.put(url, json=change))
    assert listed(service) == before


def test_a_change_is_notified_with_organisation_root_and_revision(
    service: Service, database_url: str
) -> None:
    parent = create(service)["orgId"]
    child = create(service, parentOrgId=parent)["orgId"]
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("LISTEN milepost_definitions")
        assert service.operator.put(f"/milepost/v1/orgs/{child}", json={"name": "B"}).is_success
        (heard,) = connection.notifies(timeout=10, stop_after=1)
    assert heard.payload == f"{child} {parent} 1"


# Credentials.


def test_unnamed_resources_are_none(service: Service, shop: Org) -> None:
    data = credential(service, shop, Customer="READ")
    assert data.pop("till").keys() == {"username", "password"}
    assert data == {
        "credentialId": data["credentialId"],
        "orgId": shop.id,
        "type": "TILL",
        "access": {**dict.fromkeys(RESOURCES, "NONE"), "Customer": "READ"},
        "accessGroupId": None,
        "inheritAccess": False,
        "storeId": None,
    }
    oauth = credential(service, shop, "OAUTH")
    assert oauth["oauth"].keys() == {"key", "secret"}
    assert "till" not in oauth
    assert set(oauth["access"].values()) == {"NONE"}


@pytest.mark.parametrize(
    "access", [{}, {"Customer": "NONE"}, {"Transaction": "WRITE"}, {"Customer": "READ"}]
)
def test_what_a_credential_may_not_do_is_403_with_4000(
    service: Service, shop: Org, access: dict[str, str]
) -> None:
    client = service.connect(auth=till(service, shop, **access))
    refused = client.post("/v2/customers", json={})
    assert refused.status_code == 403
    assert refused.json() == {
        "errors": [{"status": False, "code": 4000, "message": "Not authorized. Access is denied!"}],
        "warnings": [],
    }
    assert client.get(LOOKUP).status_code == (400 if "READ" in access.values() else 403)
    clock = client.get("/milepost/v1/clock")
    assert clock.status_code == 403
    assert clock.json() == {
        "data": None,
        "errors": [{"code": 4000, "message": "Not authorized. Access is denied!"}],
        "warnings": None,
    }


def test_who_may_write_may_read(service: Service, shop: Org) -> None:
    client = service.connect(auth=till(service, shop, Customer="WRITE", Organization="READ"))
    assert client.get(LOOKUP).status_code == 400
    assert client.post("/v2/customers", json={}).status_code == 400
    assert client.get("/milepost/v1/clock").status_code == 200
    assert client.put("/milepost/v1/clock", json={}).status_code == 403


@pytest.mark.parametrize(
    "fields",
    [
        {"orgId": 999_999_999},
        {"orgId": None},
        {"orgId": "1"},
        {"orgId": 10**30},
        {"type": "BASIC"},
        {"type": "till"},
        {"type": None},
        {"access": {"Customers": "READ"}},
        {"access": {"\x00": "READ"}},
        {"access": {"Customer": "ADMIN"}},
        {"access": {"Customer": "read"}},
        {"access": {"Customer": None}},
        {"access": {"Customer": True}},
        {"access": ["Customer"]},
        {"access": "all"},
    ],
)
def test_a_bad_credential_is_300004_and_none_is_made(
    service: Service, shop: Org, database_url: str, fields: dict[str, Any]
) -> None:
    body = {"orgId": shop.id, "type": "TILL", "access": {}, **fields}
    with psycopg.connect(database_url, autocommit=True) as connection:
        count = "SELECT count(*) FROM credentials"
        before = connection.execute(count).fetchone()
        assert_invalid(service.operator.post("/milepost/v1/credentials", json=body))
        assert connection.execute(count).fetchone() == before


# Who is who.


def assert_unauthenticated(response: httpx.Response) -> None:
    assert response.status_code == 401, response.text
    answer = response.json()
    assert [error["code"] for error in answer["errors"]] == [401]
    assert answer["warnings"] == ([] if response.url.path.startswith("/v2/") else None)
    assert response.headers["X-Cap-Requestid"]


def basic(name: str, secret: str) -> str:
    return "Basic " + base64.b64encode(f"{name}:{secret}".encode()).decode()


def test_a_till_signs_in_with_its_password_or_the_md5_of_it(service: Service, shop: Org) -> None:
    md5 = hashlib.md5(shop.password.encode(), usedforsecurity=False).hexdigest()
    for secret in (shop.password, md5):
        client = service.connect(auth=(shop.username, secret))
        assert client.get("/milepost/v1/clock").status_code == 200
    wrong = hashlib.md5(md5.encode(), usedforsecurity=False).hexdigest()
    for secret in ("", "wrong", md5.upper(), wrong, f"{shop.password} "):
        client = service.connect(auth=(shop.username, secret))
        assert_unauthenticated(client.get("/milepost/v1/clock"))


def test_no_credential_a_wrong_or_broken_one_or_one_of_the_wrong_kind_is_401(
    service: Service, shop: Org
) -> None:
    oauth = credential(service, shop, "OAUTH", Customer="WRITE", Organization="WRITE")["oauth"]
    headers = [
        {},
        {"Authorization": ""},
        {"Authorization": "Basic"},
        {"Authorization": "Basic !!!"},
        {"Authorization": "Basic " + base64.b64encode(b"no colon").decode()},
        {"Authorization": "Basic " + base64.b64encode(b"\xff:\xff").decode()},
        {"Authorization": basic("a\x00b", "c")},
        {"Authorization": basic(shop.username, "\x00")},
        {"Authorization": basic("x" * 2_000, "y")},
        {"Authorization": basic("nobody", shop.password)},
        {"Authorization": basic(oauth["key"], oauth["secret"])},
        {"Authorization": f"Bearer {shop.password}"},
        {"Authorization": f"Bearer {ADMIN_TOKEN}"},
        {"Authorization": "Digest username=x"},
    ]
    client = service.connect()
    for header in headers:
        for path in (LOOKUP, "/milepost/v1/clock"):
            assert_unauthenticated(client.get(path, headers=header))
        assert_unauthenticated(client.post("/v2/customers", json={}, headers=header))


def test_the_operators_routes_take_the_operators_token_only(service: Service, shop: Org) -> None:
    client = service.connect()
    for header in (
        {},
        {"Authorization": basic(shop.username, shop.password)},
        {"Authorization": "Bearer"},
        {"Authorization": f"Bearer {ADMIN_TOKEN}x"},
        {"Authorization": f"Basic {ADMIN_TOKEN}"},
        {"Authorization": ADMIN_TOKEN},
    ):
        assert_unauthenticated(client.get("/milepost/v1/orgs", headers=header))
        assert_unauthenticated(client.post("/milepost/v1/orgs", json=ORG, headers=header))
        path = f"/milepost/v1/orgs/{shop.id}"
        assert_unauthenticated(client.put(path, json={"name": "Mine"}, headers=header))
        body = {"orgId": shop.id, "type": "TILL"}
        assert_unauthenticated(client.post("/milepost/v1/credentials", json=body, headers=header))
    assert "Mine" not in [org["name"] for org in listed(service)]


def test_a_revoked_credential_stops_working_within_the_time_that_it_is_believed(
    service: Service, shop: Org, database_url: str
) -> None:
    name, password = till(service, shop, Organization="READ")
    client = service.connect(auth=(name, password))
    assert client.get("/milepost/v1/clock").status_code == 200
    with psycopg.connect(database_url) as connection:
        connection.execute("UPDATE credentials SET revoked_at = now() WHERE name = %s", (name,))
    deadline = time.monotonic() + 10
    while client.get("/milepost/v1/clock").status_code == 200:
        assert time.monotonic() < deadline
    assert_unauthenticated(client.get("/milepost/v1/clock"))


def test_many_callers_with_a_credential_not_yet_known_are_all_let_in(
    service: Service, shop: Org
) -> None:
    client = service.connect(auth=till(service, shop, Organization="READ"))
    with ThreadPoolExecutor(20) as threads:
        answers = list(threads.map(lambda _: client.get("/milepost/v1/clock"), range(40)))
    assert [answer.status_code for answer in answers] == [200] * 40


def test_no_secret_is_ever_logged(service: Service, capfd: pytest.CaptureFixture[str]) -> None:
    data = create(service, sandbox=True)
    org_id, password, key = data["orgId"], data["till"]["password"], data["oauth"]["secret"]
    md5 = hashlib.md5(password.encode(), usedforsecurity=False).hexdigest()
    body = {"orgId": org_id, "type": "TILL", "access": {"Customer": "WRITE"}}
    more = service.operator.post("/milepost/v1/credentials", json=body).json()["data"]["till"]
    header = basic(data["till"]["username"], password)
    client = service.connect()
    sent = {
        "profiles": [
            {"source": "INSTORE", "identifiers": [{"type": "email", "value": "jo@e.example"}]}
        ]
    }
    for authorization in (header, header[:-2], f"Bearer {key}", basic(more["username"], md5)):
        client.post("/v2/customers", json=sent, headers={"Authorization": authorization})
    path = "/v2/customers/lookup?source=ALL&identifierName=email&identifierValue=jo@e.example"
    assert client.get(path, headers={"Authorization": header}).status_code == 200
    logged = ""
    deadline = time.monotonic() + 10
    while logged.count("/v2/customers") < 5:  # a line follows its answer
        logged += capfd.readouterr().err
        assert time.monotonic() < deadline
    for secret in (password, md5, key, more["password"], ADMIN_TOKEN, header[6:], "jo@e.example"):
        assert secret not in logged
