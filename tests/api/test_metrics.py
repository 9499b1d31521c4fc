"""`GET /metrics`: what is counted, for whom, and with which labels."""

from __future__ import annotations

import re

import psycopg
import pytest
from prometheus_client.parser import text_string_to_metric_families

from milepost.settings import Settings
from tests.harness import ADMIN_TOKEN, Org, Service

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


@pytest.fixture(scope="module")
def service_settings(database_url: str) -> Settings:
    return Settings(database_url=database_url, admin_token=ADMIN_TOKEN, queue_size_max=100)


def scrape(service: Service) -> Samples:
    """Every sample by name and labels."""
    response = service.operator.get("/metrics")
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(response.text)
        for sample in family.samples
    }


def value(samples: Samples, name: str, **labels: str) -> float:
    return samples.get((name, tuple(sorted(labels.items()))), 0.0)


def requests(samples: Samples, method: str, route: str, status: int) -> float:
    labels = {"method": method, "route": route, "status": str(status)}
    return value(samples, "milepost_request_seconds_count", **labels)


def test_the_figures_are_the_operators(service: Service, org: Org) -> None:
    assert service.connect().get("/metrics").status_code == 401
    assert org.get("/metrics").status_code == 401


def test_requests_are_counted_by_the_template_of_their_route_and_never_by_their_path(
    service: Service, org: Org
) -> None:
    route = "/v3/targetGroups/{target_group_id}/targets/{target_id}/enroll"
    before = scrape(service)
    for number in (424_201, 424_202):
        assert org.enrol(number, 424_203, 424_204).status_code == 400
    service.connect().post("/v3/targetGroups/1/targets/2/enroll", json=[])
    service.connect().get("/no/such/path/424205")
    service.connect().request("PROPFIND", "/no/such/path/424205")
    after = scrape(service)
    assert requests(after, "POST", route, 400) - requests(before, "POST", route, 400) == 2
    assert requests(after, "POST", route, 401) - requests(before, "POST", route, 401) == 1
    assert requests(after, "GET", "none", 404) - requests(before, "GET", "none", 404) == 1
    assert requests(after, "other", "none", 404) - requests(before, "other", "none", 404) == 1
    labels = re.findall(r'"([^"]*)"', service.operator.get("/metrics").text)
    assert not any("4242" in label for label in labels)
    assert str(org.id) not in labels


def test_batches_are_counted_by_action_with_their_sizes(service: Service, org: Org) -> None:
    before = scrape(service)
    customer = org.register()
    sent = [
        {
            "id": f"a{number}",
            "customerId": customer,
            "type": "TRANSACTION",
            "occurredAt": "2026-06-01T00:00:00Z",
            "netAmount": 1,
        }
        for number in range(60)
    ]
    assert org.post("/milepost/v1/activities", sent).status_code == 200
    after = scrape(service)
    action = "record"
    for name, more in (
        ("milepost_batch_seconds_count", 1.0),
        ("milepost_batch_commands_count", 1.0),
        ("milepost_batch_commands_sum", 60.0),
    ):
        counted = value(after, name, action=action) - value(before, name, action=action)
        assert counted == more, name


def test_what_is_in_hand_and_what_is_used_is_shown(service: Service) -> None:
    samples = scrape(service)
    assert value(samples, "milepost_requests_in_flight") == 1  # this one
    for pool in ("milepost_app", "milepost_operator"):
        used, idle = (
            value(samples, "milepost_pool_connections", pool=pool, state=state)
            for state in ("used", "idle")
        )
        assert used + idle >= 1
        assert value(samples, "milepost_pool_waiting", pool=pool) == 0
    assert value(samples, "milepost_processes") == 1
    assert value(samples, "milepost_resident_memory_bytes") > 2**20


@pytest.fixture
def late_shop(service: Service, database_url: str) -> Org:
    """A real organisation in which a cycle ended an hour ago, and nobody has settled it."""
    org = service.new_org(sandbox=False, now=None)
    with psycopg.connect(database_url, autocommit=True) as connection:
        group = org.define(
            name="Late",
            trackingType="DEFAULT",
            frequencyType="MONTHLY",
            frequency=1,
            recurringCycles=1,
            totalPeriods=1,
            targets=[
                {
                    "name": "Late",
                    "targetEntity": "TRANSACTION",
                    "targetType": "SALES",
                    "defaultValues": [{"defaultValue": 100}],
                }
            ],
        )["id"]
        connection.execute(
            "UPDATE target_periods SET created_at = now() - interval '40 days', "
            "starts_at = now() - interval '31 days', ends_at = now() - interval '1 hour', "
            "closes_at = now() - interval '1 hour' WHERE target_group_id = %s",
            (group,),
        )
        connection.execute(
            "INSERT INTO passes (org_id, period_id, kind, due_at, step, finished_at) "
            "SELECT org_id, period_id, 'START', starts_at, 1, now() FROM target_periods "
            "WHERE target_group_id = %s",
            (group,),
        )
    return org


def test_the_lag_of_settlement_is_that_of_the_oldest_due_work_that_is_not_done(
    service_settings: Settings, late_shop: Org
) -> None:
    # Another service, for what the database was asked is known for a while.
    with Service(service_settings) as second:
        lag = value(scrape(second), "milepost_settlement_lag_seconds")
    assert 3_600 <= lag < 3_700


DELIVERIES = """
INSERT INTO webhooks (org_id, webhook_id, name_key, active, hears_children, webhook, secret, paused_until)
VALUES (%(org)s, 'w', 'w', true, false, '{}', '', NULL),
       (%(org)s, 'away', 'away', true, false, '{}', '', now() + interval '1 minute');
INSERT INTO deliveries (org_id, customer_id, webhook_id, source_org_id, version, ordinal, place, event_id,
                        event_name, request_id, ingested_at, status, next_attempt_at)
SELECT %(org)s, 7, w, %(org)s, n, 0, 0, gen_random_uuid(), 'e', 'r', now(),
       CASE WHEN n > 3 THEN 'DEAD' ELSE 'PENDING' END, now() + (n - 2) * late
FROM generate_series(1, 5) n, (VALUES ('w', interval '1 hour'), ('away', interval '2 hours')) AS w (w, late);
"""


def test_the_lag_of_deliveries_is_that_of_the_oldest_that_is_due_and_can_be_tried(
    service_settings: Settings, service: Service, database_url: str
) -> None:
    org = service.new_org(sandbox=False, now=None)
    with psycopg.ClientCursor(psycopg.connect(database_url, autocommit=True)) as cursor:
        cursor.execute(DELIVERIES, {"org": org.id})
        cursor.connection.close()
    with Service(service_settings) as second:
        samples = scrape(second)
    assert 3_600 <= value(samples, "milepost_webhook_delivery_lag_seconds") < 3_700
    assert value(samples, "milepost_webhook_deliveries_pending") == 6
    assert value(samples, "milepost_webhook_deliveries_dead") == 4


def test_without_the_database_the_other_figures_are_shown(database_url: str) -> None:
    nowhere = Settings(
        database_url="postgresql://nobody@127.0.0.1:1/nothing",
        admin_token=ADMIN_TOKEN,
        pool_timeout_seconds=0.2,
    )
    with Service(nowhere) as service:
        samples = scrape(service)
        assert service.connect().get("/health/live").status_code == 200
    assert value(samples, "milepost_processes") == 1
    assert not [name for name, _ in samples if "lag" in name]
