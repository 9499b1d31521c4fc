"""Erasing a customer over HTTP: the person is gone from the whole database, the books are what they were."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any

import httpx
import psycopg
import pytest

from milepost.actions.demo import CUSTOMERS, ENROLLED_CUSTOMER, TILL, make_demo
from milepost.actions.erasure import Erased, erase
from milepost.database import Tenant, database
from milepost.errors import Refusal
from milepost.runner import Runner
from milepost.settings import Settings
from milepost.store.credentials import load_credential
from milepost.worker.erasures import finish_erasures_once
from tests.api.payloads import code, data, milestone, target
from tests.harness import Org, Service, assert_rebuilt

REWARD = {"name": "Fifty", "type": "POINTS", "value": 50}
_numbers = count(101)


@dataclass(frozen=True)
class Person:
    """A customer with something personal wherever the wire takes a text."""

    id: int
    mobile: str
    email: str
    secrets: tuple[str, ...]
    """What nobody may find anywhere in the database after the erasure."""


def person(org: Org) -> Person:
    number = next(_numbers)
    mobile, email = f"9177000{number:05d}", f"wilhelmina{number}@example.org"
    body = {
        "profiles": [
            {
                "firstName": f"Wilhelmina{number}",
                "lastName": f"Quackenbush{number}",
                "source": source,
                "accountId": f"account-of-wilhelmina{number}",
                "identifiers": [
                    {"type": "mobile", "value": mobile},
                    {"type": "email", "value": email},
                    {"type": "externalId", "value": f"passport-X{number}Q"},
                ],
                "commChannels": [{"type": "email", "value": f"other.{email}"}],
                "fields": {"birthday": f"1931-04-01, the birthday of {number}"},
            }
            for source in ("INSTORE", "WECHAT")
        ]
    }
    made = org.post("/v2/customers", body)
    assert made.status_code == 200, made.text
    words = (
        f"ilhelmina{number}",
        f"uackenbush{number}",
        mobile,
        f"X{number}Q",
        f"birthday of {number}",
    )
    return Person(int(made.json()["createdId"]), mobile, email, (*words, f"telltale{number}"))


def telltale(person: Person) -> str:
    return person.secrets[-1]


def purchase(org: Org, person: Person, name: str, amount: float, **fields: Any) -> None:
    body = {
        "id": name,
        "customerId": person.id,
        "type": "TRANSACTION",
        "netAmount": amount,
        "occurredAt": org.now(),
        "lineItems": [
            {
                "sku": "A",
                "quantity": 1,
                "netAmount": amount,
                "attributes": {"gift": {"note": [f"for {telltale(person)}"]}},
            }
        ],
        "attributes": {"note": f"left at the door of {telltale(person)}"},
        **fields,
    }
    (result,) = data(org.post("/milepost/v1/activities", [body]))
    assert result["status"] == "ACCEPTED", result


def everything(database_url: str) -> list[str]:
    """Every row of every table of every schema of ours, as text."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        tables = connection.execute(
            "SELECT schemaname, tablename FROM pg_tables WHERE schemaname IN ('public', 'jobs')"
        ).fetchall()
        assert len(tables) > 30
        rows = [
            f"{table}: {row[0]}"
            for schema, table in tables
            for row in connection.execute(f"SELECT t::text FROM {schema}.{table} t".encode())
        ]
        answers = connection.execute("SELECT convert_from(answer, 'UTF8') FROM idempotency_keys")
        return [*rows, *(f"idempotency_keys: {row[0]}" for row in answers)]


def found(database_url: str, person: Person) -> list[str]:
    return [
        row
        for row in everything(database_url)
        if any(secret.lower() in row.lower() for secret in person.secrets)
    ]


def erase_over_http(org: Org, customer: int) -> dict[str, Any]:
    answer: dict[str, Any] = data(org.post(f"/milepost/v1/customers/{customer}/erasure"))
    return answer


def shop(org: Org) -> dict[str, Any]:
    """A milestone that rewards at 1000, and a promotion that pays for every purchase."""
    group = org.define(**milestone(targets=[target(rewards=[REWARD])]))
    if not data(org.get("/v3/targetGroups"))[1:]:
        data(org.post("/milepost/v1/programs", {"programId": 1, "name": "Club"}))
        promotion = {
            "programId": 1,
            "name": "Each purchase",
            "type": "GENERIC",
            "startDate": "2026-05-01T00:00:00Z",
            "endDate": "2026-12-31T00:00:00Z",
            "criteria": {"event": "TransactionAdd"},
            "rewards": [REWARD],
        }
        data(org.post("/milepost/v1/promotions", promotion))
    return group


def enrol(org: Org, group: dict[str, Any], customer: int) -> None:
    assert org.enrol(group["id"], group["targets"][0]["id"], customer).status_code == 200


def a_life(org: Org, who: Person) -> dict[str, Any]:
    """Enrolled, with purchases, a return and an event, rewarded by a target and a promotion."""
    group = shop(org)
    enrol(org, group, who.id)
    purchase(org, who, f"bill of {telltale(who)}", 900)
    purchase(org, who, f"second bill of {telltale(who)}", 300)
    body = [
        {
            "id": f"return of {telltale(who)}",
            "customerId": who.id,
            "type": "RETURN",
            "returnOf": f"bill of {telltale(who)}",
            "netAmount": 100,
            "occurredAt": org.now(),
        },
        {
            "id": f"run of {telltale(who)}",
            "customerId": who.id,
            "type": "EVENT",
            "eventName": "runLogged",
            "occurredAt": org.now(),
            "attributes": {"with": telltale(who)},
        },
    ]
    for result in data(org.post("/milepost/v1/activities", body)):
        assert result["status"] == "ACCEPTED", result
    return group


def books(database_url: str, customer: int) -> dict[str, list[Any]]:
    """The rows of a customer in the books that an erasure must not change."""
    queries = {
        "progress": "SELECT * FROM progress WHERE customer_id = %s ORDER BY org_id, target_id",
        "enrolments": "SELECT * FROM enrolments WHERE customer_id = %s ORDER BY org_id, target_id",
        "rewards": "SELECT org_id, reward_id, name, type, value, granted_at, promotion_id "
        "FROM rewards WHERE customer_id = %s ORDER BY 1, 2",
        "redemptions": "SELECT org_id, promotion_id, redeemed_at, points FROM redemptions "
        "WHERE customer_id = %s ORDER BY 1, 2, 3",
        "activities": "SELECT org_id, type, occurred_at, net_amount, is_full, version FROM activities "
        "WHERE customer_id = %s ORDER BY org_id, version, ordinal",
        "journal": "SELECT org_id, version, ordinal, what, reason, details - 'activity' - 'paidFor' "
        "FROM journal WHERE customer_id = %s ORDER BY 1, 2, 3",
    }
    with psycopg.connect(database_url) as connection:
        return {
            name: connection.execute(query.encode(), [customer]).fetchall()
            for name, query in queries.items()
        }


def test_an_erased_customer_is_nowhere_in_the_database_and_the_books_are_what_they_were(
    org: Org, database_url: str
) -> None:
    who, other = person(org), person(org)
    a_life(org, who)
    a_life(org, other)
    before, others = books(database_url, who.id), found(database_url, other)
    assert len({row.partition(":")[0] for row in found(database_url, who)}) >= 6
    assert erase_over_http(org, who.id) == {
        "customerId": who.id,
        "erasedAt": "2026-06-01T00:00:00.000Z",
        "status": "DONE",
    }
    assert found(database_url, who) == []
    assert books(database_url, who.id) == before
    assert found(database_url, other) == others
    assert_rebuilt(database_url)


def test_a_return_still_names_its_purchase(org: Org, database_url: str) -> None:
    who = person(org)
    a_life(org, who)
    erase_over_http(org, who.id)
    with psycopg.connect(database_url) as connection:
        joined = connection.execute(
            "SELECT s.net_amount FROM activities r JOIN activities s USING (org_id, customer_id) "
            "WHERE r.customer_id = %s AND s.activity_id = r.return_of",
            [who.id],
        ).fetchall()
    assert joined == [(900,)]


def test_an_erased_customer_is_unknown_to_every_call(org: Org) -> None:
    who = person(org)
    group = a_life(org, who)
    erase_over_http(org, who.id)
    ids = group["id"], group["targets"][0]["id"]
    assert code(org.enrol(*ids, who.id)) == 310011
    assert code(org.unenrol(*ids, who.id)) == 310011
    for read in ("explanation", "rewards", "points", "notifications", "export"):
        assert code(org.get(f"/milepost/v1/customers/{who.id}/{read}")) == 310011, read
    assert code(org.get(f"/v3/users/{who.id}/targetGroups")) == 310011
    for name, value in (("id", str(who.id)), ("mobile", who.mobile), ("email", who.email)):
        query = {"source": "ALL", "identifierName": name, "identifierValue": value}
        missing = org.get("/v2/customers/lookup", params=query)
        assert missing.json()["errors"][0]["code"] == 8015, name
    activity = {
        "id": "new",
        "customerId": who.id,
        "type": "TRANSACTION",
        "netAmount": 1,
        "occurredAt": org.now(),
    }
    (result,) = data(org.post("/milepost/v1/activities", [activity]))
    assert (result["status"], result["errors"][0]["code"]) == ("REJECTED", 310011)


def test_the_identifiers_are_free_again_and_the_id_is_not(org: Org) -> None:
    who = person(org)
    erase_over_http(org, who.id)
    body: dict[str, Any] = {
        "profiles": [
            {"source": "INSTORE", "identifiers": [{"type": "mobile", "value": who.mobile}]}
        ]
    }
    taken = org.post("/v2/customers", {**body, "customerId": who.id})
    assert taken.json()["errors"][0]["code"] == 8006
    again = org.post("/v2/customers", body).json()
    assert (again["createdId"] != who.id, again["warnings"]) == (True, [])


def test_a_new_customer_never_gets_the_id_of_an_erased_one(org: Org, database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        (last,) = connection.execute("SELECT last_value FROM customer_ids").fetchall()
    ahead = int(last[0]) + 3
    org.register(ahead)
    erase_over_http(org, ahead)
    made = [org.register() for _ in range(5)]
    assert ahead not in made
    assert max(made) > ahead


def test_erasing_again_is_safe_and_nobody_unknown_is_erased(service: Service, org: Org) -> None:
    who = person(org)
    first = erase_over_http(org, who.id)
    org.move_clock("2026-06-05T00:00:00Z")
    assert erase_over_http(org, who.id) == first
    acts = data(org.get("/milepost/v1/audit", params={"customerId": who.id}))
    assert [entry["action"] for entry in acts] == ["ERASED"]
    stranger = person(service.new_org())
    for unknown in ("4711", str(stranger.id)):
        assert code(org.post(f"/milepost/v1/customers/{unknown}/erasure")) == 310011
    for malformed in ("x", "1.5", "9" * 40):
        assert code(org.post(f"/milepost/v1/customers/{malformed}/erasure")) == 300004


def test_erasing_needs_permission_to_write_customers(service: Service, org: Org) -> None:
    who = person(org)
    body = {"orgId": org.id, "type": "TILL", "access": {"Customer": "READ"}}
    till = data(service.operator.post("/milepost/v1/credentials", json=body))["till"]
    reader = service.connect(auth=(till["username"], till["password"]))
    refused = reader.post(f"/milepost/v1/customers/{who.id}/erasure")
    assert (refused.status_code, refused.json()["errors"][0]["code"]) == (403, 4000)
    assert reader.get(f"/milepost/v1/customers/{who.id}/export").status_code == 200


def test_a_customer_is_erased_in_the_whole_hierarchy_whoever_of_it_asks(
    service: Service, database_url: str
) -> None:
    parent = service.new_org()
    children = [service.new_org(parentOrgId=parent.id, sandbox=None, now=None) for _ in range(2)]
    for asking in (parent, children[0]):
        who = person(parent)
        for org in (parent, *children):
            a_life(org, who)
        before = books(database_url, who.id)
        assert erase_over_http(asking, who.id)["status"] == "DONE"
        assert found(database_url, who) == []
        assert books(database_url, who.id) == before
        for org in (parent, *children):
            (entry,) = data(
                org.get("/milepost/v1/audit", params={"customerId": who.id, "limit": 1})
            )
            assert entry["action"] == "ERASED"
            # Of a sibling's credential the name is not told.
            assert (entry["who"]["name"] is None) == (asking is children[0] and org != asking)
    assert_rebuilt(database_url)


def test_what_falls_due_for_an_erased_customer_is_still_done(org: Org, database_url: str) -> None:
    """Else it would be due for ever, and the counts would be of others than those enrolled."""
    reward = {**REWARD, "name": "At the end"}
    group = org.define(
        **milestone(rewardAllocation="PERIOD_END", targets=[target(rewards=[reward])])
    )
    cyclic = org.define(
        **milestone(targetEvaluationType="CYCLIC_WINDOW", totalPeriods=2, recurringCycles=2)
    )
    data(org.post("/milepost/v1/programs", {"programId": 1, "name": "Club"}))
    promotion = {
        "programId": 1,
        "name": "Expires",
        "type": "LOYALTY_EARNING",
        "startDate": "2026-05-01T00:00:00Z",
        "endDate": "2026-06-10T00:00:00Z",
    }
    promotion_id = data(org.post("/milepost/v1/promotions", promotion))["promotionId"]
    who = person(org)
    enrol(org, group, who.id)
    enrol(org, cyclic, who.id)
    call = {
        "type": "CUSTOMER",
        "promotionDetails": {"programId": 1, "promotionId": promotion_id},
        "identifierName": "mobile",
        "customers": [{"identifierValue": who.mobile, "source": "INSTORE"}],
    }
    for action in ("ENROL", "EARN"):
        made = org.post("/v2/promotion/bulk/enrolAndEarn", {**call, "bulkAction": action})
        assert made.json()["failureCount"] == 0, made.text
    purchase(org, who, "one", 1500)
    erase_over_http(org, who.id)
    org.move_clock("2026-07-01T00:00:00Z")
    with psycopg.connect(database_url) as connection:
        granted = connection.execute(
            "SELECT name, cause FROM rewards WHERE customer_id = %s", [who.id]
        ).fetchall()
        live = connection.execute(
            "SELECT 1 FROM earns WHERE customer_id = %s AND ended_at IS NULL", [who.id]
        ).fetchall()
        ends = connection.execute(
            "SELECT 1 FROM cycle_ends WHERE customer_id = %s AND due_at <= '2026-07-01'", [who.id]
        ).fetchall()
    assert granted == [("At the end", "SETTLEMENT")]
    assert (live, ends) == ([], [])
    assert_rebuilt(database_url)


def test_first_answers_that_name_the_customer_go_and_their_keys_stay(
    org: Org, database_url: str
) -> None:
    who, other = person(org), person(org)
    bill: dict[str, Any] = {
        "type": "REGULAR",
        "billAmount": "10",
        "billNumber": f"bill of {telltale(who)}",
        "billingDate": "2026-06-01T00:00:00Z",
    }
    both = [
        {
            "id": f"{telltale(each)} {number}",
            "customerId": each.id,
            "type": "EVENT",
            "eventName": "runLogged",
            "occurredAt": "2026-06-01T00:00:00Z",
        }
        for number, each in enumerate((who, other))
    ]
    named = f"identifierName=mobile&identifierValue={who.mobile}&source=INSTORE"
    calls = ((f"/v2/transactions?{named}", bill), ("/milepost/v1/activities", both))

    def call(key: str = "") -> list[httpx.Response]:
        return [
            org.post(path, body, headers={"Idempotency-Key": f"{number}{key}"})
            for number, (path, body) in enumerate(calls)
        ]

    first, again, duplicates = call(), call(), call("again")
    assert [each.content for each in first] == [each.content for each in again]
    assert "ilhelmina" in first[0].text
    assert "DUPLICATE" in duplicates[1].text
    kept = [row for row in found(database_url, who) if row.startswith("idempotency_keys")]
    assert len(kept) >= 3
    erase_over_http(org, who.id)
    assert found(database_url, who) == []
    before = books(database_url, other.id)
    v2, v3 = call()
    assert (v2.status_code, v2.json()["errors"][0]["code"]) == (400, 300004)
    assert code(v3) == 300004
    assert books(database_url, other.id) == before


@contextmanager
def a_runner(database_url: str) -> Iterator[tuple[asyncio.Runner, Runner]]:
    runner = Runner(database(database_url, Settings()))
    with asyncio.Runner() as loop:
        loop.run(runner.database.open())
        try:
            yield loop, runner
        finally:
            loop.run(runner.database.close())


def test_an_erasure_that_was_interrupted_is_finished_by_the_worker(
    org: Org, database_url: str
) -> None:
    who = person(org)
    group = shop(org)
    enrol(org, group, who.id)
    for number in range(6):
        purchase(org, who, f"{number} of {telltale(who)}", 200)
        if number:
            body = {
                "id": f"return {number} of {telltale(who)}",
                "customerId": who.id,
                "type": "RETURN",
                "returnOf": f"0 of {telltale(who)}",
                "netAmount": 1,
                "occurredAt": org.now(),
            }
            data(org.post("/milepost/v1/activities", [body]))
    before = books(database_url, who.id)
    with a_runner(database_url) as (loop, runner):
        tenant = Tenant(org.id, org.id)
        begun = loop.run(erase(runner, tenant, who.id, 1, entries_at_once=2, batches_max=2))
        assert isinstance(begun, Erased)
        assert begun.status == "RUNNING"
        # The person is gone at once, and nothing is out of joint while the rest goes on.
        assert [row for row in found(database_url, who) if who.mobile in row] == []
        assert code(org.get(f"/milepost/v1/customers/{who.id}/export")) == 310011
        left = found(database_url, who)
        assert left
        assert_rebuilt(database_url)
        again = loop.run(erase(runner, tenant, who.id, 1, entries_at_once=2, batches_max=2))
        assert isinstance(again, Erased)
        assert 0 < len(found(database_url, who)) < len(left)
        loop.run(finish_erasures_once(runner))
        done = loop.run(erase(runner, tenant, who.id, 1))
    assert isinstance(done, Erased)
    assert (done.status, done.erased_at) == ("DONE", begun.erased_at)
    assert found(database_url, who) == []
    assert books(database_url, who.id) == before
    assert_rebuilt(database_url)


def test_the_salt_of_the_ids_is_thrown_away(org: Org, database_url: str) -> None:
    """So nobody can try out which activity an id stands for."""
    who = person(org)
    a_life(org, who)
    erase_over_http(org, who.id)
    with psycopg.connect(database_url) as connection:
        kept = connection.execute(
            "SELECT salt, finished_at IS NOT NULL FROM erasures WHERE customer_id = %s", [who.id]
        ).fetchall()
    assert kept == [(None, True)]


def test_the_demo_is_made_once_also_if_its_customers_are_erased(database_url: str) -> None:
    settings = Settings(demo=True)
    with a_runner(database_url) as (loop, runner):
        loop.run(make_demo(runner, settings))
        found = loop.run(runner.operate(lambda tx: load_credential(tx, "TILL", TILL)))
        assert found is not None
        tenant = Tenant(found.org_id, found.root_org_id)
        for customer in filter(None, (customer_id for customer_id, _ in CUSTOMERS)):
            assert isinstance(loop.run(erase(runner, tenant, customer, 1)), Erased)
        loop.run(make_demo(runner, settings))
        again = loop.run(erase(runner, tenant, ENROLLED_CUSTOMER, 1))
    assert isinstance(again, Erased)
    assert_rebuilt(database_url)


@pytest.mark.parametrize("seed", range(3))
def test_activities_and_registrations_at_the_same_time_bring_nothing_back(
    org: Org, database_url: str, seed: int
) -> None:
    who = person(org)
    group = shop(org)
    enrol(org, group, who.id)

    def act(number: int) -> httpx.Response:
        if number == 20 + seed:
            return org.post(f"/milepost/v1/customers/{who.id}/erasure")
        if number % 3 == 0:
            identifiers = [
                {"type": "mobile", "value": who.mobile},
                {"type": "externalId", "value": f"{number} of {telltale(who)}"},
            ]
            profile = {
                "source": "WEBSITE",
                "accountId": f"account {number}",
                "firstName": telltale(who),
                "identifiers": identifiers,
            }
            return org.post("/v2/customers", {"profiles": [profile]})
        activity = {
            "id": f"{number} of {telltale(who)}",
            "customerId": who.id,
            "type": "TRANSACTION",
            "netAmount": 10,
            "occurredAt": "2026-06-01T00:00:00Z",
            "attributes": {"note": telltale(who)},
        }
        return org.post("/milepost/v1/activities", [activity])

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(act, range(60)))
    assert {answer.status_code for answer in answers} <= {200, 400}
    with psycopg.connect(database_url) as connection:
        for table in ("customers", "customer_profiles", "customer_identifiers"):
            rows = connection.execute(
                f"SELECT 1 FROM {table} WHERE customer_id = %s".encode(), [who.id]
            ).fetchall()
            assert rows == [], table
        kept = connection.execute(
            "SELECT activity_id, attributes FROM activities WHERE customer_id = %s", [who.id]
        ).fetchall()
    assert all(name.startswith("erased-") and not attributes for name, attributes in kept)
    assert_rebuilt(database_url)


def test_two_erasures_at_once_are_one(org: Org, database_url: str) -> None:
    who = person(org)
    a_life(org, who)
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: erase_over_http(org, who.id), range(4)))
    assert {answer["erasedAt"] for answer in answers} == {"2026-06-01T00:00:00.000Z"}
    assert found(database_url, who) == []
    acts = data(org.get("/milepost/v1/audit", params={"customerId": who.id}))
    assert [entry["action"] for entry in acts].count("ERASED") == 1


def test_an_unknown_customer_is_refused_without_a_trace(org: Org, database_url: str) -> None:
    with a_runner(database_url) as (loop, runner):
        outcome = loop.run(erase(runner, Tenant(org.id, org.id), 4711, 1))
    assert isinstance(outcome, Refusal)
    with psycopg.connect(database_url) as connection:
        assert (
            connection.execute("SELECT 1 FROM erasures WHERE customer_id = 4711").fetchall() == []
        )
