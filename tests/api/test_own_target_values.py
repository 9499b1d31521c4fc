"""`targetValue` on the enrol call: what one customer has to reach (domain, milestones §4.1)."""

from __future__ import annotations

from decimal import Decimal

import psycopg
import pytest

from milepost.errors import INVALID_INPUT
from tests.api import payloads
from tests.harness import Org


@pytest.fixture
def target(org: Org) -> tuple[int, int]:
    """The ids of a milestone's group and target; customer 1 is registered."""
    group = org.define(**payloads.milestone())
    org.register(1)
    return group["id"], group["targets"][0]["id"]


def own_values(org: Org, database_url: str) -> list[tuple[Decimal | None, bool]]:
    with psycopg.connect(database_url) as connection:
        return connection.execute(
            "SELECT own_target_value, achieved_at IS NOT NULL FROM progress "
            "WHERE org_id = %s ORDER BY period_id",
            (org.id,),
        ).fetchall()


def test_the_customer_gets_a_target_value_of_their_own(
    org: Org, target: tuple[int, int], database_url: str
) -> None:
    answer = org.enrol(*target, 1, targetValue=40.25, initialBalance=41)
    assert payloads.data(answer) == 1
    own = Decimal("40.25")
    assert own_values(org, database_url) == [(own, True), (own, False), (own, False)]


def test_who_is_enrolled_already_gets_one_without_310119(
    org: Org, target: tuple[int, int], database_url: str
) -> None:
    assert org.enrol(*target, 1).status_code == 200
    assert org.enrol(*target, 1, targetValue=0).status_code == 200
    assert own_values(org, database_url) == [(Decimal(0), True)] * 3
    assert payloads.code(org.enrol(*target, 1, targetValue=None)) == 310119


def test_an_activity_is_measured_against_it(
    org: Org, target: tuple[int, int], database_url: str
) -> None:
    org.enrol(*target, 1, targetValue=100)
    sale = {
        "id": "tx-1",
        "customerId": 1,
        "type": "TRANSACTION",
        "occurredAt": org.now(),
        "netAmount": 100,
    }
    (result,) = payloads.data(org.post("/milepost/v1/activities", [sale]))
    assert result["effects"][0]["achieved"] is True


@pytest.mark.parametrize(
    "sent", [b"-1", b"true", b'"1"', b"[]", b"1e15", b"1e-21", b"1e999999999999999999999", b"-0.5"]
)
def test_what_is_no_exact_number_in_bounds_is_300004(
    org: Org, target: tuple[int, int], database_url: str, sent: bytes
) -> None:
    path = "/v3/targetGroups/{}/targets/{}/enroll".format(*target)
    answer = org.post(path, b'[{"customerId": 1, "targetValue": %s}]' % sent)
    assert payloads.code(answer) == INVALID_INPUT.code
    assert own_values(org, database_url) == []


def test_levels_that_are_met_by_it_are_granted_once(org: Org, database_url: str) -> None:
    group = org.define(**payloads.streak())
    ids = group["id"], group["targets"][0]["id"]
    org.register(1)
    for value in (0, 5, 0):
        assert org.enrol(*ids, 1, targetValue=value).status_code == 200
    with psycopg.connect(database_url) as connection:
        levels = connection.execute(
            "SELECT count(*) FROM level_achievements WHERE org_id = %s", (org.id,)
        ).fetchone()
    assert levels == (1,)
