"""`/milepost/v1/clock` over HTTP: the sandbox clock of contract §2."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import httpx
import psycopg
import pytest

from tests.harness import Org, Service

START = "2026-06-01T00:00:00Z"


def put(org: Org, now: Any) -> httpx.Response:
    body = now if isinstance(now, bytes) else None
    if body is not None:
        return org.client.put("/milepost/v1/clock", content=body)
    return org.client.put("/milepost/v1/clock", json={"now": now})


def assert_invalid(response: httpx.Response) -> str:
    assert response.status_code == 400, response.text
    answer = response.json()
    assert (answer["data"], answer["warnings"]) == (None, None)
    (error,) = answer["errors"]
    assert error["code"] == 300004
    return str(error["message"])


def test_a_sandbox_clock_stands_still_until_it_is_moved(org: Org) -> None:
    assert [org.now() for _ in range(3)] == [START] * 3
    response = put(org, "2026-06-02T10:00:00.5+05:30")
    assert response.status_code == 200
    assert response.json() == {
        "data": {"now": "2026-06-02T04:30:00.500000Z"},
        "errors": None,
        "warnings": None,
    }
    assert org.now() == "2026-06-02T04:30:00.500000Z"


def test_null_at_creation_is_the_wall_clock(service: Service) -> None:
    before = datetime.now(UTC)
    org = service.new_org(now=None)
    stands_at = datetime.fromisoformat(org.now())
    assert before <= stands_at <= datetime.now(UTC)
    assert datetime.fromisoformat(org.now()) == stands_at


def test_the_same_instant_is_200_without_effect_however_it_is_written(org: Org) -> None:
    for same in (START, "2026-06-01T05:30:00+05:30", "2026-05-31T20:00:00.000-04:00"):
        response = put(org, same)
        assert (response.status_code, response.json()["data"]) == (200, {"now": START})


def test_backwards_is_300004_and_the_clock_stays(org: Org) -> None:
    for earlier in (
        "2026-05-31T23:59:59.999999Z",
        "2026-06-01T00:00:00+00:01",
        "1999-01-01T00:00:00Z",
    ):
        assert_invalid(put(org, earlier))
    assert org.now() == START


def test_a_child_reads_and_moves_its_parents_clock(service: Service, org: Org) -> None:
    child, sibling = (service.new_org(parentOrgId=org.id, sandbox=None, now=None) for _ in "ab")
    assert child.now() == START
    child.move_clock("2026-07-01T00:00:00Z")
    assert {member.now() for member in (org, child, sibling)} == {"2026-07-01T00:00:00Z"}
    assert_invalid(put(sibling, START))


def test_two_sandboxes_have_two_clocks(service: Service, org: Org) -> None:
    other = service.new_org()
    org.move_clock("2027-01-01T00:00:00Z")
    assert other.now() == START


def test_an_organisation_that_is_no_sandbox_has_no_clock_to_read_or_move(service: Service) -> None:
    real = service.new_org(sandbox=False, now=None)
    child = service.new_org(sandbox=None, now=None, parentOrgId=real.id)
    for org in (real, child):
        assert_invalid(org.get("/milepost/v1/clock"))
        assert_invalid(put(org, "2030-01-01T00:00:00Z"))


def test_the_clock_goes_as_far_as_instants_do(org: Org) -> None:
    assert_invalid(put(org, "2200-01-01T00:00:00.000001Z"))
    assert_invalid(put(org, "9999-12-31T23:59:59Z"))
    org.move_clock("2200-01-01T00:00:00Z")


@pytest.mark.parametrize(
    "now",
    [
        None,
        "",
        "tomorrow",
        "2026-06-02",
        "2026-06-02T10:00:00",
        "2026-02-30T10:00:00Z",
        "2026-06-02T10:00:00Z\x00",
        "2026-06-02T25:00:00Z",
        1_780_000_000,
        10**30,
        True,
        ["2026-06-02T10:00:00Z"],
        {"now": "2026-06-02T10:00:00Z"},
        b"",
        b"{}",
        b"[]",
        b"null",
        b'{"now": "2026-06-02T10:00:00Z"',
        b'{"now": "\\ud800"}',
        b'{"now": "\xff"}',
        b'{"now": 1e400}',
    ],
)
def test_anything_but_an_instant_with_offset_is_300004(org: Org, now: Any) -> None:
    assert_invalid(put(org, now))
    assert org.now() == START


def test_concurrent_moves_come_one_after_the_other_and_the_furthest_stays(org: Org) -> None:
    days = [f"2026-06-{day:02d}T00:00:00Z" for day in range(2, 12)]
    with ThreadPoolExecutor(10) as threads:
        answers = list(threads.map(lambda day: put(org, day), days))
    for day, answer in zip(days, answers, strict=True):
        if answer.status_code == 200:
            assert answer.json()["data"]["now"] == day
        else:
            assert_invalid(answer)
    assert answers[-1].status_code == 200
    assert org.now() == days[-1]


def test_customers_are_stamped_by_the_sandbox_clock(org: Org, database_url: str) -> None:
    org.move_clock("2031-02-03T04:05:06Z")
    created = org.register()
    with psycopg.connect(database_url) as connection:
        row = connection.execute(
            "SELECT created_at FROM customers WHERE org_id = %s AND customer_id = %s",
            (org.id, created),
        ).fetchone()
    assert row == (datetime(2031, 2, 3, 4, 5, 6, tzinfo=UTC),)
