"""The wall clock of the service jumps, by hours and days and back: nothing is lost, settled or granted twice.

The clock is that of libfaketime, loaded into the service's processes. PostgreSQL keeps the true one, so the
two disagree as well.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import psycopg
import pytest

from milepost import clock
from tests.faults.process import Process, wait_for
from tests.harness import assert_rebuilt
from tests.scenarios.vocabulary import Challenge, data, define_milestone, period, post, sale
from tests.webhooks.conftest import register, states
from tests.webhooks.receiver import Receiver

ACHIEVED, MISSED, MOVER = 1, 2, 3


@pytest.fixture
def offset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that says how far the service's clock is from the true one."""
    spec = importlib.util.find_spec("libfaketime")  # which does nothing when it is not imported
    assert spec is not None
    assert spec.origin is not None
    library = Path(spec.origin).with_name("vendor") / "libfaketime/src/libfaketime.so.1"
    file = tmp_path / "offset"
    file.write_text("+0s")
    monkeypatch.setenv("LD_PRELOAD", str(library))
    monkeypatch.setenv("FAKETIME_TIMESTAMP_FILE", str(file))
    monkeypatch.setenv("FAKETIME_NO_CACHE", "1")
    monkeypatch.setenv("FAKETIME_DONT_FAKE_MONOTONIC", "1")
    monkeypatch.setenv("NO_FAKE_STAT", "1")
    monkeypatch.setenv("MILEPOST_SWEEP_SECONDS", "0.3")
    monkeypatch.setenv("MILEPOST_WEBHOOK_ALLOWED_NETWORKS", "127.0.0.1/32")
    return file


@pytest.fixture
def service(tmp_path: Path, offset: Path) -> Iterator[Process]:
    with Process(tmp_path / "data") as running:
        yield running


def settlements(service: Process, milestone: Challenge) -> tuple[int, int]:
    """How often the milestone's only cycle was settled for a customer, and how many rewards it granted."""
    with psycopg.connect(service.database_url) as connection:
        found = connection.execute(
            "SELECT count(*) FILTER (WHERE what = 'SETTLED'), count(*) FILTER (WHERE what = 'REWARDED') "
            "FROM journal WHERE org_id = %s AND target_id = %s",
            (milestone.org.id, milestone.target_id),
        ).fetchone()
        assert found is not None
        return found[0], found[1]


def hours_off(service: Process, milestone: Challenge, customer: int) -> float:
    """How far from the true time a customer's last enrolment is dated."""
    with psycopg.connect(service.database_url) as connection:
        found = connection.execute(
            "SELECT extract(epoch FROM max(enrolled_at) - now()) / 3600 FROM enrolments "
            "WHERE org_id = %s AND target_id = %s AND customer_id = %s",
            (milestone.org.id, milestone.target_id, customer),
        ).fetchone()
        assert found is not None
        return float(found[0])


def test_a_clock_that_jumps_settles_grants_and_forgets_nothing_twice(
    service: Process, offset: Path
) -> None:
    with Receiver() as receiver:
        org = service.new_org()
        hook = register(org, receiver.url)
        today = clock.now().date()
        cycle = [period("c1", today - timedelta(days=3), today + timedelta(days=1))]
        milestone = define_milestone(org, asked=100, rewardAllocation="PERIOD_END", periods=cycle)
        for customer in (ACHIEVED, MISSED, MOVER):
            org.register(customer)
        bought_at = (clock.now() - timedelta(days=2)).isoformat()
        purchase = {**sale(ACHIEVED, 100, bought_at), "id": "first"}
        key = {"Idempotency-Key": "k"}
        path = f"/v3/targetGroups/{milestone.group_id}/targets/{milestone.target_id}/enroll"
        first = org.post(path, [{"customerId": ACHIEVED}], headers=key)
        assert data(first) == ACHIEVED
        assert milestone.enrol(MOVER) == 200

        offset.write_text("-5h")
        assert [each["status"] for each in post(org, purchase)] == ["ACCEPTED"]
        assert milestone.enrol(MISSED) == 200
        assert -5.1 < hours_off(service, milestone, MISSED) < -4.9
        # Who leaves before having come, by the clock, has left all the same.
        assert milestone.unenrol(MOVER) == 200
        (late,) = post(org, sale(MOVER, 5, bought_at))
        assert (late["status"], late["effects"]) == ("ACCEPTED", [])
        assert milestone.enrol(MOVER, initialBalance=7) == 200

        offset.write_text("+4d")
        wait_for(lambda: settlements(service, milestone)[0] == 3)
        again = org.post(path, [{"customerId": ACHIEVED}], headers=key)
        assert (again.status_code, again.content) == (200, first.content)

        for by in ("-5h", "+4d", "+0s", "+5d"):
            offset.write_text(by)
            assert [each["status"] for each in post(org, purchase)] == ["DUPLICATE"]
            again = org.post(path, [{"customerId": ACHIEVED}], headers=key)
            assert again.content == first.content
            assert token_works(service, *oauth(service, org.id))
            service.await_ready()
        wait_for(lambda: set(states(org, hook)) == {"DELIVERED"})
        assert settlements(service, milestone) == (3, 1)
        assert len(milestone.rewards(ACHIEVED)) == 1
        assert_rebuilt(service.database_url)


def oauth(service: Process, org_id: int) -> tuple[str, str]:
    """A new client of the organisation: its key and secret."""
    made = httpx.post(
        f"{service.url}/milepost/v1/credentials",
        json={"orgId": org_id, "type": "OAUTH", "access": {"Customer": "READ"}},
        headers={"Authorization": f"Bearer {(service.data_dir / 'admin-token').read_text()}"},
    )
    found = data(made)["oauth"]
    return found["key"], found["secret"]


def token_works(service: Process, key: str, secret: str) -> bool:
    """Whether a token that is made now is taken now, although the clock has been elsewhere since."""
    asked = {"key": key, "secret": secret}
    made = httpx.post(f"{service.url}/v3/oauth/token/generate", json=asked)
    headers = {"X-CAP-API-OAUTH-TOKEN": str(data(made)["accessToken"])}
    answer = httpx.get(f"{service.url}/milepost/v1/clock", headers=headers)
    return answer.status_code != 401
