"""For which till and store a call is made, what headers say of it, and who is told (contract §3)."""

import json
from dataclasses import dataclass
from typing import Any

import httpx
import psycopg
import pytest

from milepost.settings import Settings
from tests.harness import ADMIN_TOKEN, Org, Service
from tests.scenarios.vocabulary import ACCEPTED, Challenge, define_milestone

TYPE, CODE = "X-CAP-API-ATTRIBUTION-ENTITY-TYPE", "X-CAP-API-ATTRIBUTION-ENTITY-CODE"
OLDER = "X-CAP-API-ATTRIBUTION-TILL-CODE"
LOOKUP_TYPE, LOOKUP = "X-CAP-API-ATTRIBUTION-LOOKUP-TYPE", "X-CAP-API-ATTRIBUTION-LOOKUP"
V2 = "/v2/customers/lookup?source=ALL&identifierName=id&identifierValue=1"
STORE = {
    "code": "s1",
    "name": "Café Nº 1",
    "externalId": "e0",
    "externalId1": "e1",
    "externalId2": "e2",
}
PURCHASE = {"type": "TRANSACTION", "occurredAt": "2026-06-01T00:00:00Z", "netAmount": 5}


@dataclass
class Shop:
    """An organisation with a store, a till in it, another one, and a client whose default is the first."""

    service: Service
    org: Org
    milestone: Challenge
    store_id: int
    till_id: int
    till_name: str
    other_till_id: int
    other_till_name: str
    client_id: int
    client: httpx.Client
    database_url: str

    def enrol(
        self, client: httpx.Client, headers: Any = None
    ) -> tuple[int, int | None, int | None]:
        """Enrol somebody; the credential, till and store in the journal."""
        customer = self.org.register()
        path = (
            f"/v3/targetGroups/{self.milestone.group_id}/targets/{self.milestone.target_id}/enroll"
        )
        answer = client.post(path, json=[{"customerId": customer}], headers=headers)
        assert answer.status_code == 200, answer.text
        (row,) = self.journal(customer)
        return row

    def journal(self, customer: int) -> set[tuple[int, int | None, int | None]]:
        """The credentials, tills and stores in the customer's journal."""
        with psycopg.connect(self.database_url) as connection:
            return set(
                connection.execute(
                    "SELECT credential_id, till_id, store_id FROM journal "
                    "WHERE org_id = %s AND customer_id = %s",
                    (self.org.id, customer),
                ).fetchall()
            )


def made(service: Service, path: str, **body: Any) -> dict[str, Any]:
    response = service.operator.post(path, json=body)
    assert response.status_code == 201, response.text
    data: dict[str, Any] = response.json()["data"]
    return data


def with_token(service: Service, created: dict[str, Any]) -> httpx.Client:
    answer = service.connect().post("/v3/oauth/token/generate", json=created["oauth"])
    token = answer.json()["data"]["accessToken"]
    return service.connect(headers={"X-CAP-API-OAUTH-TOKEN": token})


def oauth(service: Service, org: Org, **fields: Any) -> dict[str, Any]:
    access = dict.fromkeys(("Target Loyalty", "Customer", "Transaction", "Organization"), "WRITE")
    path = "/milepost/v1/credentials"
    return made(service, path, orgId=org.id, type="OAUTH", access=access, **fields)


@pytest.fixture(scope="module")
def service_settings(database_url: str) -> Settings:
    return Settings(database_url=database_url, admin_token=ADMIN_TOKEN, credential_ttl_seconds=0.1)


@pytest.fixture(scope="module")
def shop(service: Service, database_url: str) -> Shop:
    org = service.new_org()
    store = made(service, f"/milepost/v1/orgs/{org.id}/stores", **STORE)["storeId"]
    path = "/milepost/v1/credentials"
    till = made(service, path, orgId=org.id, type="TILL", storeId=store)
    other = made(service, path, orgId=org.id, type="TILL")
    client = oauth(service, org, defaultTillId=till["credentialId"])
    return Shop(
        service,
        org,
        define_milestone(org),
        store,
        till["credentialId"],
        till["till"]["username"],
        other["credentialId"],
        other["till"]["username"],
        client["credentialId"],
        with_token(service, client),
        database_url,
    )


def test_what_a_till_does_is_its_own_in_its_store_whatever_its_headers_say(shop: Shop) -> None:
    path = f"/milepost/v1/credentials?orgId={shop.org.id}"
    first = shop.service.operator.get(path).json()["data"][0]["credentialId"]
    assert shop.enrol(shop.org.client) == (first, first, None)
    for headers in ({CODE: shop.till_name}, {TYPE: "STORE_CODE", CODE: "s1"}, {TYPE: "X"}):
        assert shop.enrol(shop.org.client, headers) == (first, first, None)
    body = {"name": f"own.{shop.org.id}", "password": "Pass123", "storeId": shop.store_id}
    number = shop.org.post("/v2/orgEntity/till", body).json()["createdId"]
    till = shop.service.connect(auth=(body["name"], "Pass123"))
    assert shop.enrol(till) == (number, number, shop.store_id)


def test_what_a_client_does_is_for_its_default_till(shop: Shop) -> None:
    assert shop.enrol(shop.client) == (shop.client_id, shop.till_id, shop.store_id)
    lone = oauth(shop.service, shop.org)
    assert shop.enrol(with_token(shop.service, lone)) == (lone["credentialId"], None, None)


def test_headers_name_another_till_or_a_store(shop: Shop) -> None:
    till = (shop.client_id, shop.other_till_id, None)
    store = (shop.client_id, None, shop.store_id)
    for headers, expected in (
        ({CODE: shop.other_till_name}, till),
        ({TYPE: "TILL", CODE: shop.other_till_name}, till),
        ({TYPE: "till", CODE: f" {shop.other_till_name}"}, till),
        ({OLDER: shop.other_till_name}, till),
        ({CODE: shop.other_till_name, OLDER: shop.till_name}, till),
        ({CODE: shop.till_name}, (shop.client_id, shop.till_id, shop.store_id)),
        ({TYPE: "STORE_CODE", CODE: "s1"}, store),
        ({TYPE: "STORE_NAME", CODE: "Café Nº 1"}, store),
        ({TYPE: "STORE_EXTERNAL_ID", CODE: "e0"}, store),
        ({TYPE: "STORE_EXTERNAL_ID_1", CODE: "e1"}, store),
        ({TYPE: "STORE_EXTERNAL_ID_2", CODE: "e2"}, store),
    ):
        encoded = {name.encode(): value.strip().encode() for name, value in headers.items()}
        assert shop.enrol(shop.client, encoded) == expected, headers


UNKNOWN: list[dict[str, str]] = [
    {CODE: "nobody"},
    {OLDER: "nobody"},
    {CODE: "S1"},
    {TYPE: "STORE_CODE", CODE: "S1"},
    {TYPE: "STORE_CODE", CODE: "e0"},
    {TYPE: "STORE_EXTERNAL_ID", CODE: "e1"},
    {TYPE: "STORE_NAME", CODE: "x" * 2_000},
]
WRONG: list[dict[str, str]] = [{TYPE: "ZONE", CODE: "s1"}, {TYPE: "STORE_CODE"}, {TYPE: "TILL"}]


@pytest.mark.parametrize("headers", [*UNKNOWN, *WRONG])
def test_what_there_is_not_is_refused_with_300004_or_on_v2_with_400(
    shop: Shop, headers: dict[str, str]
) -> None:
    refused = shop.client.get("/milepost/v1/clock", headers=headers)
    assert (refused.status_code, refused.json()["errors"][0]["code"]) == (400, 300004)
    assert "X-CAP-API-ATTRIBUTION" in refused.json()["errors"][0]["message"]
    refused = shop.client.get(V2, headers=headers)
    assert (refused.status_code, refused.json()["errors"][0]["code"]) == (400, 400)
    # Who is not let in at all is told that first.
    assert shop.service.connect().get("/milepost/v1/clock", headers=headers).status_code == 401


def test_another_organisations_tills_and_stores_and_revoked_ones_are_unknown(shop: Shop) -> None:
    other = shop.service.new_org()
    made(shop.service, f"/milepost/v1/orgs/{other.id}/stores", code="theirs", name="Theirs")
    mine = made(shop.service, "/milepost/v1/credentials", orgId=shop.org.id, type="TILL")
    shop.service.operator.delete(f"/milepost/v1/credentials/{mine['credentialId']}")
    for headers in (
        {CODE: other.username},
        {TYPE: "STORE_CODE", CODE: "theirs"},
        {CODE: mine["till"]["username"]},
    ):
        assert shop.client.get("/milepost/v1/clock", headers=headers).status_code == 400


def test_a_client_may_fall_back_to_its_default_till(shop: Shop) -> None:
    created = oauth(shop.service, shop.org, defaultTillId=shop.till_id, fallBackToDefaultTill=True)
    client = with_token(shop.service, created)
    default = (created["credentialId"], shop.till_id, shop.store_id)
    for headers in UNKNOWN:
        assert shop.enrol(client, headers) == default
    assert shop.enrol(client, {CODE: shop.other_till_name})[1] == shop.other_till_id
    for headers in WRONG:
        assert client.get("/milepost/v1/clock", headers=headers).status_code == 400


def test_the_lookup_headers_of_v2_come_together_and_have_a_known_type(shop: Shop) -> None:
    for client in (shop.client, shop.org.client):
        for headers, code in (
            ({LOOKUP_TYPE: "WECHAT"}, 1061),
            ({LOOKUP: "x"}, 1061),
            ({LOOKUP_TYPE: "", LOOKUP: "x"}, 1061),
            ({LOOKUP_TYPE: "FAX", LOOKUP: "x"}, 400),
            ({LOOKUP_TYPE: "wechat", LOOKUP: "x"}, 400),
            ({LOOKUP_TYPE: "WECHAT", LOOKUP: "x"}, 8015),
            ({LOOKUP_TYPE: "MOBILE_TRIGGER", LOOKUP: "x"}, 8015),
        ):
            refused = client.get(V2, headers=headers)
            assert (refused.status_code, refused.json()["errors"][0]["code"]) == (400, code)
        alone = client.get("/milepost/v1/clock", headers={LOOKUP: "x"})
        assert alone.status_code == 200  # not v2


# What is recorded, and told.


def test_activities_and_promotion_acts_are_recorded_for_who_made_them(shop: Shop) -> None:
    headers = {CODE: shop.other_till_name}
    expected = {(shop.client_id, shop.other_till_id, None)}
    buyer = shop.org.register()
    sent = {**PURCHASE, "id": "tx-1", "customerId": buyer}
    path = "/milepost/v1/activities"
    assert "ACCEPTED" in shop.client.post(path, json=[sent], headers=headers).text
    line = json.dumps({**sent, "id": "tx-2"}) + "\n"
    lines = {**headers, "Content-Type": "application/x-ndjson"}
    assert "ACCEPTED" in shop.client.post(path, content=line, headers=lines).text
    assert shop.journal(buyer) == expected
    member = shop.org.register()
    program = shop.org.post("/milepost/v1/programs", {"name": "P"}).json()["data"]["programId"]
    promotion = shop.org.post(
        "/milepost/v1/promotions",
        {
            "programId": program,
            "name": "Review",
            "type": "LOYALTY_EARNING",
            "startDate": "2026-05-01T00:00:00Z",
            "endDate": "2026-12-31T00:00:00Z",
        },
    ).json()["data"]["promotionId"]
    act = {
        "type": "CUSTOMER",
        "promotionDetails": {"programId": program, "promotionId": promotion},
        "bulkAction": "ENROL",
        "identifierName": "id",
        "customers": [{"identifierValue": str(member), "source": "INSTORE"}],
    }
    done = shop.client.post("/v2/promotion/bulk/enrolAndEarn", json=act, headers=headers)
    assert done.json()["failureCount"] == 0, done.text
    assert shop.journal(member) == expected


def test_notifications_say_which_till_and_store_entered_it(shop: Shop) -> None:
    till = {"code": shop.till_name, "name": shop.till_name}
    other = {"code": shop.other_till_name, "name": shop.other_till_name}
    for headers, expected in (
        ({}, {"id": shop.till_id, "till": till, "store": STORE}),
        ({TYPE: "STORE_CODE", CODE: "s1"}, {"id": shop.client_id, "store": STORE}),
        ({CODE: shop.other_till_name}, {"id": shop.other_till_id, "till": other}),
    ):
        customer = shop.org.register()
        assert shop.milestone.enrol(customer) == ACCEPTED
        bought = {**PURCHASE, "id": "tx", "customerId": customer}
        shop.client.post("/milepost/v1/activities", json=[bought], headers=headers)
        path = f"/milepost/v1/customers/{customer}/notifications"
        enrolled, updated = shop.org.get(path).json()["data"]
        assert enrolled["eventName"] == "targetCustomerEnrolment"
        assert updated["data"]["triggeringActivity"]["enteredBy"] == expected
