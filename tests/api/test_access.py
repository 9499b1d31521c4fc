"""What credentials may do: access groups and what inherits from them, stores, tills (contract §2)."""

import time
from typing import Any

import httpx
import psycopg
import pytest

from milepost.rules.access import RESOURCES
from milepost.settings import Settings
from tests.harness import ADMIN_TOKEN, Org, Service

LOOKUP = "/v2/customers/lookup?source=ALL&identifierName=id&identifierValue=1"
CLOCK = "/milepost/v1/clock"


@pytest.fixture(scope="module")
def service_settings(database_url: str) -> Settings:
    """What was verified is believed for so short a time that every change is seen."""
    return Settings(database_url=database_url, admin_token=ADMIN_TOKEN, credential_ttl_seconds=0.01)


@pytest.fixture(scope="module")
def shop(service: Service) -> Org:
    return service.new_org()


def made(service: Service, path: str, body: dict[str, Any]) -> dict[str, Any]:
    response = service.operator.post(path, json=body)
    assert response.status_code == 201, response.text
    data: dict[str, Any] = response.json()["data"]
    return data


def changed(service: Service, path: str, body: dict[str, Any]) -> dict[str, Any]:
    response = service.operator.put(path, json=body)
    assert response.status_code == 200, response.text
    data: dict[str, Any] = response.json()["data"]
    return data


def group(service: Service, org: Org, name: str, **access: str) -> int:
    path = f"/milepost/v1/orgs/{org.id}/access-groups"
    return int(made(service, path, {"name": name, "access": access})["accessGroupId"])


def store(service: Service, org: Org, code: str, **fields: Any) -> int:
    body = {"code": code, "name": f"Store {code}", **fields}
    return int(made(service, f"/milepost/v1/orgs/{org.id}/stores", body)["storeId"])


def credential(service: Service, org: Org, kind: str = "TILL", **fields: Any) -> dict[str, Any]:
    return made(service, "/milepost/v1/credentials", {"orgId": org.id, "type": kind, **fields})


def signed_in(service: Service, created: dict[str, Any]) -> httpx.Client:
    """A client with the new till's password, or with a token of the new OAuth client."""
    if "till" in created:
        return service.connect(auth=(created["till"]["username"], created["till"]["password"]))
    token = service.connect().post("/v3/oauth/token/generate", json=created["oauth"]).json()
    return service.connect(headers={"X-CAP-API-OAUTH-TOKEN": token["data"]["accessToken"]})


def may(client: httpx.Client) -> tuple[str, str]:
    """What the client may do with customers and with the organisation, by what the routes answer."""
    answers = (
        client.get(LOOKUP),
        client.post("/v2/customers", json={}),
        client.get(CLOCK),
        client.put(CLOCK, json={}),
    )
    allowed = [answer.status_code != 403 for answer in answers]
    assert {answer.status_code for answer in answers} <= {200, 400, 403}
    words = {(False, False): "NONE", (True, False): "READ", (True, True): "WRITE"}
    return words[allowed[0], allowed[1]], words[allowed[2], allowed[3]]


def assert_invalid(response: httpx.Response) -> None:
    assert response.status_code == 400, response.text
    assert [error["code"] for error in response.json()["errors"]] == [300004]


# Access groups.


def test_access_groups_are_made_listed_and_changed_with_all_resources_named(
    service: Service,
) -> None:
    org = service.new_org()
    path = f"/milepost/v1/orgs/{org.id}/access-groups"
    data = made(service, path, {"name": "Cashiers", "access": {"Customer": "READ"}})
    named = {**dict.fromkeys(RESOURCES, "NONE"), "Customer": "READ"}
    assert data == {"accessGroupId": data["accessGroupId"], "name": "Cashiers", "access": named}
    other = made(service, path, {"name": "Managers", "access": {}})
    assert service.operator.get(path).json()["data"] == [data, other]
    one = f"{path}/{data['accessGroupId']}"
    data = changed(service, one, {"name": "Tills", "access": {"Card": "WRITE"}})
    assert (data["name"], data["access"]["Card"], data["access"]["Customer"]) == (
        "Tills",
        "WRITE",
        "NONE",
    )
    assert service.operator.get(path).json()["data"] == [data, other]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": "A"},
        {"access": {}},
        {"name": "", "access": {}},
        {"name": "  ", "access": {}},
        {"name": "x" * 201, "access": {}},
        {"name": "Taken", "access": {}},
        {"name": "A", "access": {"Customers": "READ"}},
        {"name": "A", "access": {"Customer": "ADMIN"}},
        {"name": "A", "access": []},
    ],
)
def test_a_bad_access_group_is_300004_and_changes_nothing(
    service: Service, body: dict[str, Any]
) -> None:
    org = service.new_org()
    group(service, org, "Taken")
    number = group(service, org, "Mine")
    path = f"/milepost/v1/orgs/{org.id}/access-groups"
    before = service.operator.get(path).json()
    assert_invalid(service.operator.post(path, json=body))
    assert_invalid(service.operator.put(f"{path}/{number}", json=body))
    assert service.operator.get(path).json() == before


def test_what_belongs_to_another_organisation_is_unknown(service: Service, shop: Org) -> None:
    org = service.new_org()
    its_group, its_store = group(service, org, "Its"), store(service, org, "its")
    its_till = credential(service, org)["credentialId"]
    path = f"/milepost/v1/orgs/{shop.id}"
    body = {"name": "A", "access": {}}
    assert_invalid(service.operator.put(f"{path}/access-groups/{its_group}", json=body))
    shop_body = {"code": "x", "name": "x"}
    assert_invalid(service.operator.put(f"{path}/stores/{its_store}", json=shop_body))
    shop_body["accessGroupId"] = its_group  # type: ignore[assignment]
    assert_invalid(service.operator.post(f"{path}/stores", json=shop_body))
    assert_invalid(service.operator.put(path, json={"defaultAccessGroupId": its_group}))
    for fields in (
        {"type": "TILL", "storeId": its_store},
        {"type": "TILL", "accessGroupId": its_group},
        {"type": "OAUTH", "defaultTillId": its_till},
        {"type": "OAUTH", "defaultTillId": 999_999_999},
    ):
        asked = {"orgId": shop.id, **fields}
        assert_invalid(service.operator.post("/milepost/v1/credentials", json=asked))
    for unknown in ("999999999", "-1", "abc"):
        for kind in ("access-groups", "stores"):
            assert_invalid(service.operator.get(f"/milepost/v1/orgs/{unknown}/{kind}"))
        body = {"name": "A", "access": {}}
        assert_invalid(
            service.operator.post(f"/milepost/v1/orgs/{unknown}/access-groups", json=body)
        )
        shop_body = {"code": "x", "name": "x"}
        assert_invalid(service.operator.post(f"/milepost/v1/orgs/{unknown}/stores", json=shop_body))


def test_a_till_takes_its_access_from_itself_its_store_or_the_default(service: Service) -> None:
    org = service.new_org()
    own = group(service, org, "Own", Customer="WRITE")
    of_store = group(service, org, "Store", Customer="READ")
    default = group(service, org, "Default", Organization="READ")
    plain, grouped = store(service, org, "plain"), store(service, org, "g", accessGroupId=of_store)
    tills = {
        "itself": credential(service, org, storeId=grouped, access={"Organization": "WRITE"}),
        "its group": credential(service, org, storeId=grouped, accessGroupId=own),
        "nothing": credential(service, org, storeId=grouped, access={}),
        "its store": credential(service, org, storeId=grouped),
        "the default": credential(service, org, storeId=plain),
        "no store": credential(service, org, inheritAccess=True),
        "not asked to": credential(service, org, storeId=plain, inheritAccess=False),
    }
    expected = {
        "itself": ("NONE", "WRITE"),
        "its group": ("WRITE", "NONE"),
        "nothing": ("NONE", "NONE"),
        "its store": ("READ", "NONE"),
        "the default": ("WRITE", "WRITE"),
        "no store": ("WRITE", "WRITE"),
        "not asked to": ("NONE", "NONE"),
    }
    clients = {name: signed_in(service, till) for name, till in tills.items()}
    assert {name: may(client) for name, client in clients.items()} == expected
    assert tills["the default"]["access"] is None
    org_path = f"/milepost/v1/orgs/{org.id}"
    data = changed(service, org_path, {"defaultAccessGroupId": default})
    assert data["defaultAccessGroupId"] == default
    expected |= dict.fromkeys(("the default", "no store"), ("NONE", "READ"))
    assert {name: may(client) for name, client in clients.items()} == expected
    # A change of a group is one for all who have it; the first till still may do everything.
    body = {"name": "Store", "access": {"Organization": "WRITE"}}
    changed(service, f"{org_path}/access-groups/{of_store}", body)
    body = {"code": "plain", "name": "Plain", "accessGroupId": own}  # type: ignore[dict-item]
    changed(service, f"{org_path}/stores/{plain}", body)
    expected |= {"its store": ("NONE", "WRITE"), "the default": ("WRITE", "NONE")}
    assert {name: may(client) for name, client in clients.items()} == expected
    assert may(org.client) == ("WRITE", "WRITE")


def test_an_oauth_client_has_a_group_or_access_of_its_own_and_inherits_nothing(
    service: Service,
) -> None:
    org = service.new_org()
    number = group(service, org, "Clients", Customer="READ")
    changed(service, f"/milepost/v1/orgs/{org.id}", {"defaultAccessGroupId": number})
    granted = {
        "group": credential(service, org, "OAUTH", accessGroupId=number),
        "own": credential(service, org, "OAUTH", access={"Organization": "READ"}),
        "nothing": credential(service, org, "OAUTH"),
    }
    found = {name: may(signed_in(service, created)) for name, created in granted.items()}
    assert found == {
        "group": ("READ", "NONE"),
        "own": ("NONE", "READ"),
        "nothing": ("NONE", "NONE"),
    }


@pytest.mark.parametrize(
    "fields",
    [
        {"type": "TILL", "access": {}, "accessGroupId": 1},
        {"type": "TILL", "access": {}, "inheritAccess": True},
        {"type": "TILL", "accessGroupId": 1, "inheritAccess": True},
        {"type": "TILL", "tokenTtlSeconds": 300},
        {"type": "TILL", "defaultTillId": 1},
        {"type": "TILL", "fallBackToDefaultTill": False},
        {"type": "OAUTH", "storeId": 1},
        {"type": "OAUTH", "inheritAccess": False},
        {"type": "OAUTH", "accessGroupId": 999_999_999},
        {"type": "TILL", "accessGroupId": 999_999_999},
        {"type": "TILL", "storeId": 999_999_999},
        {"type": "TILL", "storeId": "1"},
    ],
)
def test_a_credential_that_contradicts_itself_is_300004(
    service: Service, shop: Org, fields: dict[str, Any]
) -> None:
    body = {"orgId": shop.id, **fields}
    assert_invalid(service.operator.post("/milepost/v1/credentials", json=body))


# The list of credentials, and their end.


def test_credentials_are_listed_without_secrets_and_revoked_by_their_id(service: Service) -> None:
    org = service.new_org()
    number = store(service, org, "s")
    till = credential(service, org, storeId=number)
    oauth = credential(
        service,
        org,
        "OAUTH",
        access={"Customer": "READ"},
        tokenTtlSeconds=60,
        defaultTillId=till["credentialId"],
        fallBackToDefaultTill=True,
    )
    assert oauth["tokenTtlSeconds"] == 60
    path = f"/milepost/v1/credentials?orgId={org.id}"
    response = service.operator.get(path)
    first_till, first_oauth, listed_till, listed_oauth = response.json()["data"]
    assert (first_till["type"], first_till["name"], first_till["access"]) == (
        "TILL",
        org.username,
        None,
    )
    assert (first_oauth["type"], first_oauth["access"]) == ("OAUTH", None)
    assert listed_till == {
        "credentialId": till["credentialId"],
        "orgId": org.id,
        "type": "TILL",
        "access": None,
        "accessGroupId": None,
        "inheritAccess": True,
        "storeId": number,
        "name": till["till"]["username"],
        "tokenTtlSeconds": None,
        "defaultTillId": None,
        "fallBackToDefaultTill": False,
        "description": "",
        "billable": True,
        "createdAt": listed_till["createdAt"],
        "revokedAt": None,
    }
    assert listed_oauth["access"] == {**dict.fromkeys(RESOURCES, "NONE"), "Customer": "READ"}
    assert listed_oauth["defaultTillId"] == till["credentialId"]
    assert (listed_oauth["tokenTtlSeconds"], listed_oauth["fallBackToDefaultTill"]) == (60, True)
    for secret in (till["till"]["password"], oauth["oauth"]["secret"], "argon2"):
        assert secret not in response.text
    client = signed_in(service, till)
    assert client.get(CLOCK).status_code == 200
    ended = service.operator.delete(f"/milepost/v1/credentials/{till['credentialId']}")
    assert ended.status_code == 200
    assert ended.json()["data"]["revokedAt"] is not None
    again = service.operator.delete(f"/milepost/v1/credentials/{till['credentialId']}")
    assert again.json() == ended.json()
    time.sleep(0.01)
    assert client.get(CLOCK).status_code == 401
    assert service.operator.get(path).json()["data"][2] == ended.json()["data"]


def test_a_list_without_an_organisation_or_an_unknown_credential_is_300004(
    service: Service,
) -> None:
    for query in ("", "?orgId=", "?orgId=abc", "?orgId=999999999"):
        assert_invalid(service.operator.get(f"/milepost/v1/credentials{query}"))
    for number in ("999999999", "abc", "9" * 40):
        assert_invalid(service.operator.delete(f"/milepost/v1/credentials/{number}"))


# Stores.


def test_stores_are_made_listed_and_replaced(service: Service) -> None:
    org = service.new_org()
    path = f"/milepost/v1/orgs/{org.id}/stores"
    first = made(service, path, {"code": " a ", "name": "A", "externalId": "e", "externalId1": " "})
    assert first == {
        "storeId": first["storeId"],
        "code": "a",
        "name": "A",
        "externalId": "e",
        "externalId1": None,
        "externalId2": None,
        "accessGroupId": None,
    }
    second = made(service, path, {"storeId": 7, "code": "b", "name": "B", "externalId2": "e2"})
    assert second["storeId"] == 7
    assert service.operator.get(path).json()["data"] == [second, first]
    second = changed(service, f"{path}/7", {"code": "c", "name": "B", "externalId1": "e1"})
    assert (second["code"], second["externalId1"], second["externalId2"]) == ("c", "e1", None)
    assert service.operator.get(path).json()["data"] == [second, first]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"code": "new"},
        {"name": "New"},
        {"code": "", "name": "New"},
        {"code": " ", "name": "New"},
        {"code": "new", "name": " "},
        {"code": "new", "name": 5},
        {"code": "x" * 201, "name": "New"},
        {"code": "new", "name": "New", "accessGroupId": 999_999_999},
        {"code": "taken", "name": "New"},
        {"code": "new", "name": "Store taken"},
        {"code": "new", "name": "New", "externalId": "0"},
        {"code": "new", "name": "New", "externalId1": "1"},
        {"code": "new", "name": "New", "externalId2": "2"},
    ],
)
def test_a_bad_store_or_one_that_is_known_by_anothers_code_is_300004(
    service: Service, body: dict[str, Any]
) -> None:
    org = service.new_org()
    ids = {"externalId": "0", "externalId1": "1", "externalId2": "2"}
    number = store(service, org, "taken", **ids)
    mine = store(service, org, "mine")
    path = f"/milepost/v1/orgs/{org.id}/stores"
    before = service.operator.get(path).json()
    assert_invalid(service.operator.post(path, json=body))
    assert_invalid(service.operator.put(f"{path}/{mine}", json=body))
    taken = {"code": "fresh", "name": "Fresh", "storeId": number}
    assert_invalid(service.operator.post(path, json=taken))
    assert service.operator.get(path).json() == before
    # What a store itself is known by is not taken.
    changed(service, f"{path}/{number}", {"code": "taken", "name": "Other", **ids})


# Tills of an organisation's own.


def till_body(store_id: int, name: str, **fields: Any) -> dict[str, Any]:
    return {"name": name, "password": "Pass123", "storeId": store_id, **fields}


def test_an_organisation_makes_a_till_in_its_store_that_inherits(
    service: Service, database_url: str
) -> None:
    org = service.new_org()
    number = store(service, org, "s", accessGroupId=group(service, org, "G", Customer="READ"))
    name = f"store123.{org.id}"
    response = org.post("/v2/orgEntity/till", till_body(number, name, description="At the door"))
    assert response.status_code == 200, response.text
    assert response.json() == {"createdId": response.json()["createdId"], "warnings": []}
    assert may(service.connect(auth=(name, "Pass123"))) == ("READ", "NONE")
    with psycopg.connect(database_url) as connection:
        row = connection.execute(
            "SELECT org_id, store_id, description, billable FROM credentials WHERE name = %s",
            (name,),
        ).fetchone()
    assert row == (org.id, number, "At the door", True)


def test_a_till_is_made_once_under_an_idempotency_key(service: Service, database_url: str) -> None:
    org = service.new_org()
    body = till_body(store(service, org, "s"), f"once.{org.id}")
    key = {"Idempotency-Key": "till-1"}
    first, again = (org.post("/v2/orgEntity/till", body, headers=key) for _ in range(2))
    assert first.status_code == 200
    assert (again.status_code, again.json()) == (200, first.json())
    other = org.post("/v2/orgEntity/till", {**body, "name": "other"}, headers=key)
    assert other.status_code == 422
    with psycopg.connect(database_url) as connection:
        made = connection.execute(
            "SELECT count(*) FROM credentials c JOIN idempotency_keys k "
            "ON k.org_id = c.org_id AND k.xmin = c.xmin WHERE c.org_id = %s AND name LIKE 'once%%'",
            (org.id,),
        )
        assert made.fetchone() == (1,)  # in one transaction


def test_a_taken_name_is_1207_and_a_bad_store_1214(service: Service, shop: Org) -> None:
    mine = store(service, shop, "of tills")
    other = service.new_org()
    its = store(service, other, "its")
    for store_id, name, number in (
        (mine, shop.username, 1207),
        (mine, other.username, 1207),
        (its, "new.till", 1214),
        (999_999_999, "new.till", 1214),
    ):
        refused = shop.post("/v2/orgEntity/till", till_body(store_id, name))
        assert refused.status_code == 400
        (error,) = refused.json()["errors"]
        assert (error["status"], error["code"]) == (False, number)


@pytest.mark.parametrize(
    "changes",
    [
        {"name": None},
        {"name": ""},
        {"name": "  "},
        {"name": "a:b"},
        {"name": "a\nb"},
        {"name": "x" * 201},
        {"password": ""},
        {"password": None},
        {"password": 5},
        {"storeId": None},
        {"storeId": "7"},
        {"billable": "yes"},
        {"description": 5},
    ],
)
def test_a_malformed_till_is_400(service: Service, shop: Org, changes: dict[str, Any]) -> None:
    refused = shop.post("/v2/orgEntity/till", {**till_body(1, "new.till"), **changes})
    assert (refused.status_code, refused.json()["errors"][0]["code"]) == (400, 400)


def test_nobody_makes_a_till_that_may_do_more_than_they(service: Service) -> None:
    org = service.new_org()
    number = store(service, org, "s")
    maker = signed_in(
        service, credential(service, org, access={"Organization": "WRITE", "Customer": "READ"})
    )
    path = "/v2/orgEntity/till"
    refused = maker.post(path, json=till_body(number, f"more.{org.id}"))
    assert (refused.status_code, refused.json()["errors"][0]["code"]) == (403, 4000)
    for name, access, status in (
        ("Less", {"Customer": "READ"}, 200),
        ("More", {"Card": "READ"}, 403),
    ):
        default = group(service, org, name, **access)
        changed(service, f"/milepost/v1/orgs/{org.id}", {"defaultAccessGroupId": default})
        made_till = maker.post(path, json=till_body(number, f"{name}.{org.id}"))
        assert made_till.status_code == status
