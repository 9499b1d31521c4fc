"""`Idempotency-Key`: contract §9, sentence by sentence."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import psycopg
import pytest

from milepost.actions.retention import forget
from milepost.database import database
from milepost.runner import Runner
from milepost.settings import Settings
from tests.api.payloads import milestone, target
from tests.harness import ADMIN_TOKEN, Org, Service, contents

BIG = 10**6
Call = Callable[[Org], tuple[str, Any]]
"""Makes what a call needs, and returns its path and body."""


def key() -> dict[str, str]:
    return {"Idempotency-Key": uuid.uuid4().hex}


def ids(group: dict[str, Any]) -> tuple[int, int]:
    return group["id"], group["targets"][0]["id"]


def enrol(org: Org) -> tuple[str, Any]:
    group, target_id = ids(org.define(**milestone()))
    return f"/v3/targetGroups/{group}/targets/{target_id}/enroll", [{"customerId": org.register()}]


def unenrol(org: Org) -> tuple[str, Any]:
    path, body = enrol(org)
    assert org.post(path, body).status_code == 200
    return path.replace("enroll", "unEnroll"), body


def register(_: Org) -> tuple[str, Any]:
    number = f"9177{uuid.uuid4().int % 10**8:08d}"
    profile = {"identifiers": [{"type": "mobile", "value": number}], "source": "INSTORE"}
    return "/v2/customers", {"profiles": [profile]}


def define_group(_: Org) -> tuple[str, Any]:
    return "/v3/targetGroups", milestone()


def add_target(org: Org) -> tuple[str, Any]:
    return f"/v3/targetGroups/{org.define(**milestone())['id']}/targets", [target()]


def add_periods(org: Org) -> tuple[str, Any]:
    group = org.define(**milestone())
    more = [{"refCode": "later", "startDate": "2026-09-01", "endDate": "2026-09-02"}]
    return f"/v3/targetGroups/{group['id']}/targetPeriods", more


def record(org: Org) -> tuple[str, Any]:
    return "/milepost/v1/activities", [
        {
            "id": f"bill-{number}",
            "customerId": org.register(),
            "type": "TRANSACTION",
            "occurredAt": "2026-06-01T00:00:00Z",
            "netAmount": 12.5,
        }
        for number in range(3)
    ]


def bill(org: Org) -> tuple[str, Any]:
    customer = org.register()
    query = f"identifierName=id&identifierValue={customer}&source=INSTORE"
    body = {"type": "REGULAR", "billNumber": "b-1", "billAmount": 100}
    return f"/v2/transactions?{query}", {**body, "billingDate": "2026-06-01T00:00:00Z"}


def bills(org: Org) -> tuple[str, Any]:
    return "/v2/transactions/bulk", [
        {
            "type": "REGULAR",
            "billNumber": f"b-{number}",
            "billAmount": 100,
            "billingDate": "2026-06-01T00:00:00Z",
            "identifierType": "id",
            "identifierValue": str(org.register()),
            "source": "INSTORE",
        }
        for number in range(3)
    ]


def program(_: Org) -> tuple[str, Any]:
    return "/milepost/v1/programs", {"programId": 469, "name": "Club"}


def promotion(org: Org) -> tuple[str, Any]:
    assert org.post(*program(org)).status_code == 201
    return "/milepost/v1/promotions", {
        "programId": 469,
        "name": "Review and save",
        "type": "LOYALTY_EARNING",
        "startDate": "2026-05-01T00:00:00Z",
        "endDate": "2026-12-31T00:00:00Z",
    }


def in_bulk(org: Org) -> tuple[str, Any]:
    promotion_id = org.post(*promotion(org)).json()["data"]["promotionId"]
    return "/v2/promotion/bulk/enrolAndEarn", {
        "type": "CUSTOMER",
        "bulkAction": "ENROL",
        "promotionDetails": {"programId": 469, "promotionId": promotion_id},
        "identifierName": "id",
        "customers": [
            {"identifierValue": str(org.register()), "source": "INSTORE"} for _ in range(5)
        ],
    }


def issue(org: Org) -> tuple[str, Any]:
    details = in_bulk(org)[1]["promotionDetails"]
    query = f"identifierName=id&identifierValue={org.register()}&source=INSTORE"
    return f"/v2/promotion/issue?{query}", details


def define_event(_: Org) -> tuple[str, Any]:
    fields = [{"name": "customer_id", "type": "customer", "isRequired": True}]
    return "/v2/events", {"eventName": "runLogged", "actions": ["EMFConsumer"], "fields": fields}


def simulate(org: Org) -> tuple[str, Any]:
    group = org.define(**milestone())
    span = {"from": "2026-05-01T00:00:00Z", "to": "2026-05-02T00:00:00Z"}
    return "/milepost/v1/simulations", {**span, "targetGroupId": group["id"]}


CALLS: list[Call] = [
    enrol, unenrol, register, define_group, add_target, add_periods, record, bill, bills, program,
    promotion, in_bulk, issue, define_event, simulate,
]  # fmt: skip


@pytest.mark.parametrize("call", CALLS)
def test_the_same_request_gets_the_first_answer_again_and_has_no_second_effect(
    org: Org, database_url: str, call: Call
) -> None:
    path, body = call(org)
    named = key()
    first = org.post(path, body, headers=named)
    assert first.status_code < 300, first.text
    before = contents(database_url)
    again = org.post(path, body, headers=named)
    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert again.headers["X-Cap-Requestid"] != first.headers["X-Cap-Requestid"]
    assert again.headers["Idempotent-Replayed"] == "true"
    assert "Idempotent-Replayed" not in first.headers
    assert contents(database_url) == before


@pytest.mark.parametrize("call", CALLS)
def test_without_a_key_the_same_request_is_another_one(org: Org, call: Call) -> None:
    path, body = call(org)
    assert "Idempotent-Replayed" not in org.post(path, body).headers
    assert "Idempotent-Replayed" not in org.post(path, body).headers


def test_business_errors_are_kept_although_their_cause_is_gone(org: Org) -> None:
    path, (entry,) = enrol(org)
    stranger = entry["customerId"] + BIG
    named = key()
    first = org.post(path, [{"customerId": stranger}], headers=named)
    assert first.json()["errors"][0]["code"] == 310011
    org.register(stranger)
    again = org.post(path, [{"customerId": stranger}], headers=named)
    assert (again.status_code, again.content) == (400, first.content)
    assert org.post(path, [{"customerId": stranger}], headers=key()).status_code == 200


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'[{"customerId": "1"}]', b"\xff"])
def test_a_malformed_body_is_a_business_error_and_kept(org: Org, body: bytes) -> None:
    path, _ = enrol(org)
    named = key()
    first = org.post(path, body, headers=named)
    assert first.status_code == 400
    again = org.post(path, body, headers=named)
    assert again.content == first.content
    assert again.headers["Idempotent-Replayed"] == "true"


def test_a_request_that_does_nothing_because_there_is_nothing_to_do_is_kept(org: Org) -> None:
    named = key()
    first = org.post("/milepost/v1/activities", [], headers=named)
    assert first.json()["data"] == []
    assert "Idempotent-Replayed" in org.post("/milepost/v1/activities", [], headers=named).headers


def test_another_request_under_the_key_is_422(org: Org, database_url: str) -> None:
    path, body = enrol(org)
    named = key()
    assert org.post(path, body, headers=named).status_code == 200
    before = contents(database_url)
    customer = body[0]["customerId"]
    others: list[Callable[[], httpx.Response]] = [
        lambda: org.post(path, [{"customerId": customer, "periodName": "x"}], headers=named),
        lambda: org.post(path, [{"customerId": customer}, 1], headers=named),
        lambda: org.post(path, f'[{{"customerId":  {customer}}}]'.encode(), headers=named),
        lambda: org.post(path.replace("enroll", "unEnroll"), body, headers=named),
        lambda: org.post(path.replace("/v3/", "/v3.1/"), body, headers=named),
        lambda: org.post(f"{path}?a=1", body, headers=named),
        lambda: org.post(path, body, headers={**named, "DATA-SCOPE": "SELF"}),
        lambda: org.post("/milepost/v1/activities", [], headers=named),
    ]
    for other in others:
        response = other()
        assert response.status_code == 422
        assert response.json()["errors"][0]["code"] == 422
    v2 = org.post(*register(org), headers=named)
    assert v2.status_code == 422
    assert v2.json()["errors"][0] == {**v2.json()["errors"][0], "status": False, "code": 422}
    assert contents(database_url) == before
    assert org.post(path, body, headers=named).status_code == 200


def test_keys_are_per_organisation(service: Service, org: Org) -> None:
    named, other = key(), service.new_org()
    path, body = program(org)
    assert org.post(path, body, headers=named).status_code == 201
    answer = other.post(path, body, headers=named)
    assert answer.status_code == 201
    assert "Idempotent-Replayed" not in answer.headers


def test_another_credential_of_the_organisation_gets_the_first_answer(
    service: Service, org: Org
) -> None:
    path, body = enrol(org)
    named = key()
    first = org.post(path, body, headers=named)

    def till(access: dict[str, str]) -> httpx.Client:
        made = service.operator.post(
            "/milepost/v1/credentials", json={"orgId": org.id, "type": "TILL", "access": access}
        ).json()["data"]["till"]
        return service.connect(auth=(made["username"], made["password"]))

    again = till({"Target Loyalty": "WRITE"}).post(path, json=body, headers=named)
    assert again.json() == first.json()
    # A refusal of the transport is neither kept nor answered with what is kept.
    assert till({"Target Loyalty": "READ"}).post(path, json=body, headers=named).status_code == 403


@pytest.mark.parametrize("bad", ["", "x" * 256])
def test_a_key_has_1_to_255_characters_else_400(org: Org, bad: str) -> None:
    path, body = enrol(org)
    response = org.post(path, body, headers={"Idempotency-Key": bad})
    assert response.json()["errors"][0]["code"] == 300004
    response = org.post(*register(org), headers={"Idempotency-Key": bad})
    assert (response.status_code, response.json()["errors"][0]["code"]) == (400, 400)
    assert org.post(path, body, headers={"Idempotency-Key": "x" * 255}).status_code == 200


def test_two_keys_are_400_and_any_character_of_a_header_may_be_in_one(org: Org) -> None:
    path, body = enrol(org)
    two = [("Idempotency-Key", "a"), ("Idempotency-Key", "b")]
    assert org.client.post(path, json=body, headers=two).status_code == 400
    odd = {"Idempotency-Key": "'; DROP TABLE orgs; -- \xe9%s\\"}
    assert org.post(path, body, headers={k: v.encode("latin-1") for k, v in odd.items()}).is_success
    again = org.post(path, body, headers={k: v.encode("latin-1") for k, v in odd.items()})
    assert "Idempotent-Replayed" in again.headers


def test_transport_refusals_are_not_kept(service: Service, org: Org) -> None:
    path, body = enrol(org)
    named = key()
    assert service.connect().post(path, json=body, headers=named).status_code == 401
    too_long = b"[" + b" " * 1024 * 1024 + b"]"
    assert org.post(path, too_long, headers=named).status_code == 413
    assert org.post(path, body, headers={**named, "Content-Encoding": "gzip"}).status_code == 415
    assert org.post(path, body, headers=named).status_code == 200


def test_keys_are_ignored_on_ndjson_and_by_the_operators_routes(service: Service, org: Org) -> None:
    named = key()
    lines = b"\n"
    ndjson = {**named, "Content-Type": "application/x-ndjson"}
    for _ in range(2):
        response = org.post("/milepost/v1/activities", lines, headers=ndjson)
        assert (response.status_code, response.content) == (200, b"")
    assert org.post(*program(org), headers=named).status_code == 201
    made = {"name": "Another", "timeZone": "UTC"}
    orgs = [
        service.operator.post("/milepost/v1/orgs", json=made, headers=named).json()["data"]["orgId"]
        for _ in range(2)
    ]
    assert orgs[0] != orgs[1]


def test_keys_are_ignored_on_posts_that_only_read(org: Org) -> None:
    named = key()
    body = {"type": "TARGET_GROUP", "value": "free"}
    for _ in range(2):
        response = org.post("/v3/targetGroups/isValidName", body, headers=named)
        assert "Idempotent-Replayed" not in response.headers
    assert org.post(*program(org), headers=named).status_code == 201


@pytest.fixture
def held(database_url: str) -> Iterator[threading.Event]:
    """Holds up every enrolment until it is set: another transaction has locked their table."""
    release = threading.Event()
    locked = threading.Event()

    def hold() -> None:
        with psycopg.connect(database_url) as connection:
            connection.execute("LOCK TABLE enrolments IN SHARE MODE")
            locked.set()
            release.wait(20)

    holding = threading.Thread(target=hold)
    holding.start()
    assert locked.wait(10)
    yield release
    release.set()
    holding.join()


def test_a_key_that_is_being_worked_on_is_409(
    org: Org, database_url: str, request: pytest.FixtureRequest
) -> None:
    path, body = enrol(org)
    named = key()
    release: threading.Event = request.getfixturevalue("held")
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(org.post, path, body, headers=named)
        _await_lock(database_url)
        second = org.post(path, body, headers=named)
        assert (second.status_code, second.json()["errors"][0]["code"]) == (409, 409)
        other = org.post(path, [{**body[0], "periodName": None}], headers=named)
        assert other.status_code == 422
        release.set()
        assert first.result().status_code == 200
    again = org.post(path, body, headers=named)
    assert again.content == first.result().content


def test_two_processes_that_work_on_the_same_request_do_it_once(
    service: Service, org: Org, database_url: str, request: pytest.FixtureRequest
) -> None:
    """The other process cannot know of it: it waits for the key, and gives the first answer."""
    with Service(Settings(database_url=database_url, admin_token=ADMIN_TOKEN)) as another:
        client = another.connect(auth=(org.username, org.password))
        client.get("/milepost/v1/clock")
        group, target_id = ids(org.define(**milestone()))
        path = f"/v3/targetGroups/{group}/targets/{target_id}/enroll"
        body = [{"customerId": org.register(), "initialBalance": 5}]
        named = key()
        release: threading.Event = request.getfixturevalue("held")
        with ThreadPoolExecutor(2) as pool:
            first = pool.submit(org.post, path, body, headers=named)
            _await_lock(database_url)
            second = pool.submit(client.post, path, json=body, headers=named)
            release.set()
            answers = [first.result(), second.result()]
        assert [each.json()["data"] for each in answers] == [body[0]["customerId"]] * 2
        assert sum("Idempotent-Replayed" in each.headers for each in answers) == 1


def test_fifty_times_the_same_request_at_once_are_one(org: Org) -> None:
    path, body = in_bulk(org)
    named = key()
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: org.post(path, body, headers=named), range(50)))
    done = [each for each in answers if each.status_code == 200]
    assert {each.status_code for each in answers} <= {200, 409}
    assert len({each.content for each in done}) == 1
    assert done[0].json()["failureCount"] == 0
    assert org.post(path, body, headers=named).content == done[0].content


def test_many_keyed_requests_of_many_customers_share_batches_and_each_is_done(org: Org) -> None:
    group, target_id = ids(org.define(**milestone()))
    path = f"/v3/targetGroups/{group}/targets/{target_id}/enroll"
    customers = [org.register() for _ in range(40)]
    named = [key() for _ in customers]

    def send(place: int) -> httpx.Response:
        return org.post(path, [{"customerId": customers[place]}], headers=named[place])

    for _ in range(2):
        with ThreadPoolExecutor(16) as pool:
            answers = list(pool.map(send, range(len(customers))))
        assert [each.json()["data"] for each in answers] == customers


def test_a_keyed_call_is_done_whole_while_others_move_its_customers(org: Org) -> None:
    """Calls of the same customers, keyed or not, wait for each other and lose nothing."""
    path, body = in_bulk(org)
    customers = [int(entry["identifierValue"]) for entry in body["customers"]]

    def activity(number: int) -> dict[str, Any]:
        return {
            "id": f"a-{number}",
            "customerId": customers[number % len(customers)],
            "type": "TRANSACTION",
            "occurredAt": "2026-06-01T00:00:00Z",
            "netAmount": 1,
        }

    def send(number: int) -> httpx.Response:
        if number % 3 == 0:
            return org.post("/milepost/v1/activities", [activity(number)])
        if number % 3 == 1:
            batch = [activity(100 * number + each) for each in range(7)]
            return org.post("/milepost/v1/activities", batch, headers=key())
        return org.post(path, body, headers=key())

    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(send, range(60)))
    assert {each.status_code for each in answers} == {200}
    results = [each for answer in answers for each in answer.json().get("data", [])]
    assert {each["status"] for each in results} == {"ACCEPTED"}
    assert len(results) == 20 + 20 * 7


def test_the_answer_is_in_the_database_when_it_leaves(org: Org, database_url: str) -> None:
    path, body = enrol(org)
    named = key()
    answer = org.post(path, body, headers=named)
    with psycopg.connect(database_url) as connection:
        rows = connection.execute(
            "SELECT org_id, status, answer FROM idempotency_keys WHERE key = %s",
            (named["Idempotency-Key"],),
        ).fetchall()
    assert rows == [(org.id, 200, answer.content)]


async def test_answers_are_kept_for_as_many_days_as_the_setting_says_and_by_default_for_ever(
    org: Org, database_url: str
) -> None:
    path, body = program(org)
    old, young = key(), key()
    assert org.post(path, body, headers=old).status_code == 201
    assert org.post(path, body, headers=young).status_code == 400
    with psycopg.connect(database_url) as connection:
        connection.execute(
            "UPDATE idempotency_keys SET answered_at = now() - interval '11 days' WHERE key = %s",
            (old["Idempotency-Key"],),
        )

    async def forgetting(days: int) -> list[bool]:
        settings = Settings(database_url=database_url, idempotency_days=days)
        runner = Runner(database(database_url, settings))
        await runner.database.open()
        await forget(runner, settings)
        await runner.database.close()
        answers = [org.post(path, body, headers=each) for each in (old, young)]
        return ["Idempotent-Replayed" in each.headers for each in answers]

    assert await forgetting(0) == [True, True]
    assert await forgetting(12) == [True, True]
    assert await forgetting(10) == [False, True]


def _await_lock(database_url: str) -> None:
    """Wait until somebody waits for a lock of the test's."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        for _ in range(500):
            waiting = connection.execute(
                "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'enrolments'::regclass"
            ).fetchone()
            if waiting is not None and waiting[0]:
                return
            connection.execute("SELECT pg_sleep(0.01)")
    pytest.fail("nobody waits")
