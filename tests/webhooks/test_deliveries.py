"""Deliveries to a real receiver: each at least once, signed, each customer's in order."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest
from standardwebhooks import WebhookVerificationError

from milepost.database import DatabaseUnavailable, database
from milepost.runner import Runner
from milepost.settings import Settings
from milepost.worker.deliveries import open_post
from tests.harness import Org
from tests.scenarios.vocabulary import (
    ACCEPTED,
    Challenge,
    define_milestone,
    define_streak,
    post,
    sale,
)
from tests.webhooks.conftest import Courier, log, register, states
from tests.webhooks.receiver import Received, Receiver, Reply, expected_ids

NOON = "2026-06-01T00:00:00Z"


def life(org: Org, abc: Challenge, customers: int, sales: int = 3) -> list[int]:
    """Customers who are enrolled and buy something a few times."""
    found = [org.register() for _ in range(customers)]
    for customer in found:
        assert abc.enrol(customer, periodName="c1") == ACCEPTED
    for _ in range(sales):
        results = post(org, *(sale(customer, 10, NOON) for customer in found))
        assert {each["status"] for each in results} == {"ACCEPTED"}
    return found


def later(org: Org, **by: float) -> None:
    at = datetime.fromisoformat(org.now()) + timedelta(**by)
    org.move_clock(at.isoformat())


def by_customer(found: list[Received]) -> dict[int, list[str]]:
    ids: dict[int, list[str]] = {}
    for each in found:
        ids.setdefault(each.customer, []).append(each.headers["webhook-id"])
    return ids


async def test_everything_is_delivered_once_in_order_and_verifiable(
    org: Org, receiver: Receiver, courier: Courier
) -> None:
    abc = define_milestone(org)
    hook = register(org, receiver.url)
    customers = life(org, abc, 5)
    await courier.run(hook, org)
    expected = {customer: expected_ids(org, customer) for customer in customers}
    assert all(len(ids) == 4 for ids in expected.values())
    assert by_customer(receiver.received) == expected
    for each in receiver.received:
        each.verify(hook["secret"])
        assert each.event["eventId"] == each.headers["webhook-id"]
        assert each.headers["content-type"] == "application/json"
    assert states(org, hook) == {"DELIVERED": 20}
    await courier.run(hook, org)
    assert len(receiver.received) == 20


async def test_nothing_is_written_for_an_organisation_that_nobody_listens_to(
    service: Any, org: Org, database_url: str
) -> None:
    abc = define_milestone(org)
    life(org, abc, 2)
    assert outbox(database_url, org) == []
    hook = register(org, "http://127.0.0.1:9/")
    life(org, abc, 1)
    assert len(outbox(database_url, org)) == 4
    assert org.client.delete(f"/v3/webHooks/{hook['webHookId']}").status_code == 200
    life(org, abc, 1)
    assert len(outbox(database_url, org)) == 4


def outbox(database_url: str, org: Org) -> list[Any]:
    with psycopg.connect(database_url) as connection:
        return connection.execute(
            "SELECT customer_id, version FROM webhook_outbox WHERE org_id = %s", (org.id,)
        ).fetchall()


async def test_an_endpoint_is_told_of_the_events_that_it_names_alone(
    org: Org, receiver: Receiver, courier: Courier
) -> None:
    abc = define_milestone(org, asked=20)
    hook = register(org, receiver.url, eventNames=["targetValueAchieved"])
    life(org, abc, 2)
    await courier.run(hook, org)
    assert [each.event["eventName"] for each in receiver.received] == ["targetValueAchieved"] * 2


@pytest.mark.parametrize("status", [301, 302, 307, 308, 401, 403, 404, 429, 500, 503])
async def test_what_is_no_success_is_tried_again_and_no_redirect_is_followed(
    org: Org, receiver: Receiver, courier: Courier, status: int
) -> None:
    abc = define_milestone(org)
    hook = register(org, receiver.url)
    (customer,) = life(org, abc, 1)
    elsewhere = {"Location": f"http://127.0.0.1:{receiver.port}/elsewhere"}
    receiver.behaviour = lambda _: Reply(status, headers=elsewhere)
    await courier.run(hook, org)
    assert [each.path for each in receiver.received] == ["/hook"]
    head, *behind = log(org, hook)
    assert head["attempts"] == 1
    assert head["consumerResponse"] == f"{status} {{}}"
    assert {line["nextAttemptTimestamp"] for line in behind} == {head["nextAttemptTimestamp"]}
    await courier.run(hook, org)  # the clock stands still, so nothing is due
    assert len(receiver.received) == 1
    receiver.behaviour = lambda _: Reply()
    later(org, hours=1)
    await courier.run(hook, org)
    assert by_customer(receiver.taken) == {customer: expected_ids(org, customer)}


@pytest.mark.parametrize("status", [400, 405, 410, 413, 414, 415, 422])
async def test_what_is_refused_for_good_is_a_dead_letter_and_the_next_goes_on(
    org: Org, receiver: Receiver, courier: Courier, status: int
) -> None:
    abc = define_milestone(org)
    hook = register(org, receiver.url)
    (customer,) = life(org, abc, 1)
    first, *others = expected_ids(org, customer)
    receiver.behaviour = lambda event: Reply(status if event["eventId"] == first else 200)
    await courier.run(hook, org)
    assert by_customer(receiver.taken) == {customer: others}
    path = f"/milepost/v1/webhooks/{hook['webHookId']}/dead-letters"
    (dead,) = org.get(path).json()["data"]
    assert (dead["eventId"], dead["status"], dead["attempts"]) == (first, "DEAD", 1)
    assert dead["nextAttemptTimestamp"] is None
    receiver.behaviour = lambda _: Reply()
    response = org.post(f"/milepost/v1/webhooks/{hook['webHookId']}/replay", {})
    assert response.json()["data"] == {"replayed": 1}
    await courier.run(hook, org)
    assert receiver.received[-1].headers["webhook-id"] == first
    assert states(org, hook) == {"DELIVERED": 4}


async def test_a_receiver_that_is_away_for_an_hour_gets_everything_in_order(
    org: Org, receiver: Receiver, hurried: Courier
) -> None:
    """Connections are refused, then stall, then are slow; then all is well."""
    abc = define_milestone(org)
    hook = register(org, "http://127.0.0.1:9/hook")
    customers = life(org, abc, 12)
    await hurried.run(hook, org)
    assert not any(line["status"] == "DELIVERED" for line in log(org, hook))
    assert sum(line["attempts"] for line in log(org, hook)) <= 12
    change(org, hook, webHookUrl=receiver.url)
    receiver.behaviour = lambda _: Reply(stalls=True)
    await hurried.run(hook, org)
    later(org, minutes=30)
    receiver.behaviour = lambda _: Reply(500)
    await hurried.run(hook, org)
    later(org, minutes=30)
    receiver.behaviour = lambda _: Reply(seconds=0.01)
    await hurried.run(hook, org)
    later(org, hours=1)  # from the last failure
    await hurried.run(hook, org)
    assert by_customer(receiver.firsts()) == {c: expected_ids(org, c) for c in customers}
    assert states(org, hook) == {"DELIVERED": 48}


async def test_a_receiver_that_is_away_is_tried_with_one_delivery_at_a_time(
    org: Org, receiver: Receiver, courier: Courier
) -> None:
    abc = define_milestone(org)
    hook = register(org, receiver.url, maxAllowedConnections=4)
    life(org, abc, 30, sales=1)
    receiver.behaviour = lambda _: Reply(500)
    await courier.run(hook, org)
    tried = len(receiver.received)
    assert 5 <= tried < 5 + 4
    await courier.run(hook, org)
    assert len(receiver.received) == tried
    later(org, hours=1)
    await courier.run(hook, org)
    assert len(receiver.received) == tried + 1
    later(org, hours=1)
    receiver.behaviour = lambda _: Reply()
    await courier.run(hook, org)
    later(org, hours=1)
    await courier.run(hook, org)
    assert states(org, hook) == {"DELIVERED": 60}


async def test_one_poisoned_customer_holds_back_nobody_else(
    org: Org, receiver: Receiver, courier: Courier
) -> None:
    abc = define_milestone(org)
    hook = register(org, receiver.url)
    customers = life(org, abc, 101, sales=2)
    poisoned = customers[50]
    receiver.behaviour = lambda event: Reply(
        500 if event["data"]["customerIdentifiers"]["customerId"] == poisoned else 200
    )
    await courier.run(hook, org)
    found = by_customer(receiver.taken)
    assert set(found) == {*customers} - {poisoned}
    assert {len(ids) for ids in found.values()} == {3}
    assert found[customers[51]] == expected_ids(org, customers[51])
    post(org, *(sale(customer, 10, NOON) for customer in customers))
    await courier.run(hook, org)
    assert states(org, hook) == {"DELIVERED": 400, "PENDING": 4}
    receiver.behaviour = lambda _: Reply()
    later(org, hours=1)
    await courier.run(hook, org)
    assert by_customer(receiver.taken)[poisoned] == expected_ids(org, poisoned)


async def test_a_receiver_that_stalls_for_one_customer_keeps_the_others_going(
    org: Org, receiver: Receiver, hurried: Courier
) -> None:
    abc = define_milestone(org)
    hook = register(org, receiver.url, maxAllowedConnections=2)
    stalled, *others = life(org, abc, 20)
    receiver.behaviour = lambda event: Reply(
        stalls=event["data"]["customerIdentifiers"]["customerId"] == stalled
    )
    await hurried.run(hook, org)
    assert sorted(by_customer(receiver.taken))[1:] == sorted(others)
    (line, *_) = log(org, hook, customerId=str(stalled))
    assert line["consumerResponse"] == "No answer within 1 s."


async def test_never_more_tries_at_once_than_the_endpoint_allows(
    org: Org, receiver: Receiver, courier: Courier
) -> None:
    abc = define_milestone(org)
    hook = register(org, receiver.url, maxAllowedConnections=3)
    life(org, abc, 12, sales=1)
    receiver.behaviour = lambda _: Reply(seconds=0.02)
    await courier.run(hook, org)
    assert len(receiver.taken) == 24
    assert receiver.at_once_max == 3


async def test_after_seven_days_a_delivery_is_given_up_and_the_next_goes_on(
    org: Org, receiver: Receiver, courier: Courier
) -> None:
    abc = define_milestone(org)
    hook = register(org, receiver.url)
    (customer,) = life(org, abc, 1)
    first, *others = expected_ids(org, customer)
    receiver.behaviour = lambda event: Reply(500 if event["eventId"] == first else 200)
    await courier.run(hook, org)
    for days in (3, 3.99):
        later(org, days=days)
        await courier.run(hook, org)
    assert states(org, hook) == {"PENDING": 4}
    later(org, hours=1)
    await courier.run(hook, org)
    assert states(org, hook) == {"DELIVERED": 3, "DEAD": 1}
    assert by_customer(receiver.taken) == {customer: others}


async def test_a_receiver_may_ask_for_time(org: Org, receiver: Receiver, courier: Courier) -> None:
    abc = define_milestone(org)
    hook = register(org, receiver.url)
    life(org, abc, 1)
    receiver.behaviour = lambda _: Reply(429, headers={"Retry-After": "1800"})
    await courier.run(hook, org)
    line = log(org, hook)[0]
    assert line["nextAttemptTimestamp"] - line["eventStartTimestamp"] >= 1_800_000


async def test_an_inactive_endpoint_waits_and_a_deleted_one_is_told_nothing_more(
    org: Org, receiver: Receiver, courier: Courier
) -> None:
    abc = define_milestone(org)
    hook = register(org, receiver.url)
    (customer,) = life(org, abc, 1)
    receiver.behaviour = lambda _: Reply(500)
    await courier.run(hook, org)
    change(org, hook, active=False)
    later(org, hours=1)
    await courier.run(hook, org)
    assert len(receiver.received) == 1
    change(org, hook, active=True)
    receiver.behaviour = lambda _: Reply()
    await courier.run(hook, org)
    assert by_customer(receiver.taken) == {customer: expected_ids(org, customer)}
    life(org, abc, 1)
    org.client.delete(f"/v3/webHooks/{hook['webHookId']}")
    await courier.run(hook, org)
    assert len(receiver.taken) == 4


async def test_what_happened_from_an_instant_on_is_told_again_with_the_same_ids(
    org: Org, receiver: Receiver, courier: Courier
) -> None:
    abc = define_milestone(org)
    unheard = life(org, abc, 2, sales=1)
    later(org, hours=1)
    since = org.now()
    (seen,) = life(org, abc, 1, sales=1)
    hook = register(org, receiver.url)
    replay = f"/milepost/v1/webhooks/{hook['webHookId']}/replay"
    assert org.post(replay, {"since": since}).json()["data"] == {"replayed": 0}
    await courier.run(hook, org)
    assert by_customer(receiver.taken) == {seen: expected_ids(org, seen)}
    org.post(replay, {"since": "2026-01-01T00:00:00Z"})
    await courier.run(hook, org)
    expected = {c: expected_ids(org, c) for c in (*unheard, seen)}
    assert by_customer(receiver.firsts()) == expected
    assert by_customer(receiver.taken)[seen] == expected[seen] * 2
    org.post(replay, {"eventIds": [expected[seen][0]]})
    await courier.run(hook, org)
    assert receiver.taken[-1].headers["webhook-id"] == expected[seen][0]


async def test_a_parent_that_listens_hears_its_children(
    service: Any, org: Org, receiver: Receiver, courier: Courier
) -> None:
    child = service.new_org(now=None, sandbox=None, parentOrgId=org.id)
    hook = register(org, receiver.url, listenToChildEvents=True)
    deaf = register(org, receiver.url + "/deaf", name="deaf")
    late = service.new_org(now=None, sandbox=None, parentOrgId=org.id)
    told = {}
    for each in (child, late, org):
        (customer,) = life(each, define_milestone(each), 1, sales=1)
        told[each.id] = expected_ids(each, customer)
    await courier.run(hook, org)
    await courier.run(deaf, org)
    found: dict[int, list[str]] = {}
    for each in receiver.taken:
        if each.path == "/hook":
            found.setdefault(each.event["orgId"], []).append(each.event["eventId"])
    assert found == told
    assert {each.event["orgId"] for each in receiver.taken if "deaf" in each.path} == {org.id}
    assert org.client.delete(f"/v3/webHooks/{hook['webHookId']}").status_code == 200


async def test_a_saved_promotion_is_told_too(
    org: Org, receiver: Receiver, courier: Courier
) -> None:
    hook = register(org, receiver.url)
    org.post("/milepost/v1/programs", {"programId": 469, "name": "Ours"})
    body = {
        "programId": 469, "name": "Save", "type": "GENERIC",
        "startDate": "2026-06-01T00:00:00Z", "endDate": "2026-07-01T00:00:00Z",
    }  # fmt: skip
    assert org.post("/milepost/v1/promotions", body).status_code == 201
    await courier.run(hook, org)
    (each,) = receiver.taken
    (shown,) = org.get("/milepost/v1/notifications").json()["data"]
    assert each.event == shown
    assert log(org, hook)[0]["customerId"] is None
    org.post(f"/milepost/v1/webhooks/{hook['webHookId']}/replay", {"since": "2026-01-01T00:00:00Z"})
    await courier.run(hook, org)
    assert [found.event["eventId"] for found in receiver.taken] == [shown["eventId"]] * 2


async def test_after_a_rotation_both_secrets_verify_for_a_day(
    org: Org, receiver: Receiver, courier: Courier
) -> None:
    abc = define_milestone(org)
    hook = register(org, receiver.url)
    response = org.post(f"/milepost/v1/webhooks/{hook['webHookId']}/secret")
    renewed = response.json()["data"]
    assert renewed["oldSecretUntil"] == "2026-06-02T00:00:00.000Z"
    assert renewed["secret"].startswith("whsec_")
    life(org, abc, 1, sales=0)
    await courier.run(hook, org)
    receiver.received[-1].verify(hook["secret"])
    receiver.received[-1].verify(renewed["secret"])
    later(org, days=1)
    life(org, abc, 1, sales=0)
    await courier.run(hook, org)
    receiver.received[-1].verify(renewed["secret"])
    at_once = {"oldSecretHours": 0}
    response = org.post(f"/milepost/v1/webhooks/{hook['webHookId']}/secret", at_once)
    life(org, abc, 1, sales=0)
    await courier.run(hook, org)
    receiver.received[-1].verify(response.json()["data"]["secret"])
    assert " " not in receiver.received[-1].headers["webhook-signature"]
    with pytest.raises(WebhookVerificationError):
        receiver.received[-1].verify(hook["secret"])


async def test_headers_envelope_and_identifiers_are_the_endpoints(
    org: Org, receiver: Receiver, courier: Courier
) -> None:
    abc = define_milestone(org)
    hook = register(
        org,
        receiver.url,
        webHookHeaders={"X-Api-Key": "s3cret", "Authorization": "Basic abc"},
        envelope="enriched",
        customerIdentifiersToBeEnriched=["mobile"],
        eventNames=["targetCustomerEnrolment"],
    )
    plain = register(org, receiver.url, name="plain", eventNames=["targetCustomerEnrolment"])
    customer = org.register(mobile="919000000123")
    abc.enrol(customer, periodName="c1")
    await courier.run(hook, org)
    await courier.run(plain, org)
    enriched, raw = receiver.taken
    assert enriched.headers["x-api-key"] == "s3cret"
    assert enriched.headers["authorization"] == "Basic abc"
    assert "x-api-key" not in raw.headers
    assert enriched.event["eventType"] == f"{org.id}_targetCustomerEnrolment"
    assert enriched.event["consumerGroupId"] == hook["consumerGroupId"]
    told = enriched.event["attributes"]["data"]["customerIdentifiers"]
    assert told["instore"] == {"id": customer, "mobile": "919000000123"}
    assert raw.event["data"]["customerIdentifiers"]["instore"] == {"id": customer}


def change(org: Org, hook: dict[str, Any], **fields: Any) -> None:
    response = org.client.put(f"/v3/webHooks/{hook['webHookId']}", json=fields)
    assert response.status_code == 200, response.text


async def test_what_no_longer_follows_from_the_journal_is_a_dead_letter(
    org: Org, receiver: Receiver, courier: Courier, database_url: str
) -> None:
    abc = define_milestone(org)
    hook = register(org, receiver.url)
    (gone, there) = life(org, abc, 2, sales=0)
    receiver.behaviour = lambda _: Reply(500)
    await courier.run(hook, org)
    with psycopg.connect(database_url) as connection:
        connection.execute("DELETE FROM customers WHERE customer_id = %s", (gone,))
    receiver.behaviour = lambda _: Reply()
    later(org, hours=1)
    await courier.run(hook, org)
    assert states(org, hook) == {"DELIVERED": 1, "DEAD": 1}
    assert list(by_customer(receiver.taken)) == [there]
    (dead,) = log(org, hook, status="DEAD")
    assert dead["consumerResponse"] == "It no longer follows from the journal."


async def test_a_streak_of_promotions_and_settlements_is_told_as_it_is_shown(
    org: Org, receiver: Receiver, courier: Courier
) -> None:
    """A life with cycles that begin, end and are settled, and a streak: all of it, in the order shown."""
    abc, days = define_milestone(org, asked=20), define_streak(org, cycles=4, levels=(2, 3))
    hook = register(org, receiver.url)
    customer = org.register()
    assert abc.enrol(customer) == ACCEPTED
    assert days.enrol(customer) == ACCEPTED
    for _ in range(3):
        post(org, sale(customer, 10, org.now()))
        later(org, days=1)
    await courier.run(hook, org)
    later(org, days=40)
    await courier.run(hook, org)
    assert by_customer(receiver.taken) == {customer: expected_ids(org, customer)}
    names = {each.event["eventName"] for each in receiver.taken}
    assert names >= {
        "streakLevelAchieved",
        "streakEnd",
        "targetPeriodCompleted",
        "targetValueAchieved",
    }


async def test_of_two_who_deliver_at_once_one_does(
    org: Org, receiver: Receiver, courier: Courier, delivery_settings: Settings
) -> None:
    abc = define_milestone(org)
    hook = register(org, receiver.url)
    life(org, abc, 10)
    runner = Runner(database(delivery_settings.database_url, delivery_settings))
    await runner.database.open()
    another = Courier(open_post(runner, delivery_settings))
    await asyncio.gather(*(each.run(hook, org) for each in (courier, courier, another)))
    assert len(receiver.taken) == len(receiver.firsts()) == 40
    await another.post.close()
    await runner.database.close()


async def test_whoever_loses_the_lock_stops_and_loses_nothing(
    org: Org, receiver: Receiver, courier: Courier, database_url: str
) -> None:
    abc = define_milestone(org)
    hook = register(org, receiver.url)
    customers = life(org, abc, 4)
    receiver.behaviour = lambda _: Reply(seconds=0.2)
    running = asyncio.create_task(courier.run(hook, org))
    while not receiver.received:  # noqa: ASYNC110 - it is the receiver's thread that sees it
        await asyncio.sleep(0.01)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE application_name = 'milepost_locks' AND datname = current_database()"
        )
    with pytest.raises(DatabaseUnavailable):
        await running
    receiver.behaviour = lambda _: Reply()
    await courier.run(hook, org)
    assert by_customer(receiver.firsts()) == {c: expected_ids(org, c) for c in customers}
    assert states(org, hook) == {"DELIVERED": 16}


async def test_a_later_notification_that_seems_due_waits_for_the_one_before_it(
    org: Org, receiver: Receiver, courier: Courier, database_url: str
) -> None:
    abc = define_milestone(org)
    hook = register(org, receiver.url)
    (customer,) = life(org, abc, 1)
    receiver.behaviour = lambda _: Reply(500)
    await courier.run(hook, org)
    with psycopg.connect(database_url) as connection:
        connection.execute(
            "UPDATE deliveries SET next_attempt_at = '2026-06-01' WHERE org_id = %s AND version > 2",
            (org.id,),
        )
    await courier.run(hook, org)
    assert len(receiver.received) == 1
    assert len({line["nextAttemptTimestamp"] for line in log(org, hook)}) == 1
    post(org, sale(customer, 10, NOON))
    await courier.run(hook, org)
    assert len(receiver.received) == 1


async def test_a_registration_under_a_key_is_answered_again_with_its_secret(org: Org) -> None:
    body = {"name": "Keyed", "webHookUrl": "https://a.example/", "eventNames": ["streakStart"]}
    answers = [
        org.post("/v3/webHooks", body, headers={"Idempotency-Key": "once"}).json() for _ in range(2)
    ]
    assert answers[0] == answers[1]
    assert len(org.get("/v3/webHooks").json()["data"]) == 1


async def test_a_customer_with_much_to_be_told_keeps_nobody_waiting(
    org: Org, receiver: Receiver, courier: Courier
) -> None:
    abc = define_milestone(org)
    hook = register(org, receiver.url, maxAllowedConnections=1)
    (busy,) = life(org, abc, 1, sales=0)
    post(org, *(sale(busy, 1, NOON) for _ in range(99)))
    (other,) = life(org, abc, 1, sales=0)
    await courier.run(hook, org)
    found = [each.customer for each in receiver.received]
    assert sorted(found) == [busy] * 100 + [other]
    assert found.index(other) <= 40
    assert by_customer(receiver.taken)[busy] == expected_ids(org, busy)


async def test_what_a_receiver_said_of_an_erased_customer_goes_and_nothing_more_is_told(
    org: Org, receiver: Receiver, courier: Courier
) -> None:
    abc = define_milestone(org)
    hook = register(org, receiver.url)
    receiver.behaviour = lambda _: Reply(500, body=b"What about Wilhelmina?")
    (customer,) = life(org, abc, 1)
    await courier.run(hook, org)
    assert "Wilhelmina" in log(org, hook)[0]["consumerResponse"]
    response = org.post(f"/milepost/v1/customers/{customer}/erasure", {})
    assert response.is_success, response.text
    assert "Wilhelmina" not in str(log(org, hook))
    later(org, hours=1)
    await courier.run(hook, org)
    assert len(receiver.received) == 1
    assert states(org, hook) == {"DEAD": 4}
