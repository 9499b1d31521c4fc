"""A poisoned activity among good ones: it alone is refused, whoever sent the others and however they came."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from tests.harness import Org, Service, assert_rebuilt
from tests.scenarios.vocabulary import Challenge, define_milestone, post, sale, stream

POISON = 13
"""The customer of whom nothing can be stored."""
CUSTOMERS = range(1, 41)

# What PostgreSQL may say of a row. (What takes too long is 503 for its whole batch: nobody knows why it did.)
POISONS = {
    "a constraint": "IF NEW.customer_id = 13 THEN RAISE check_violation; END IF;",
    "a computation": "IF NEW.customer_id = 13 THEN PERFORM 1 / (NEW.customer_id - 13); END IF;",
}


@contextmanager
def poisoned(database_url: str, body: str) -> Iterator[None]:
    """Until the end of the block, PostgreSQL refuses what is recorded of the one customer."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            f"CREATE FUNCTION poison() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} "
            "RETURN NEW; END $$".encode()
        )
        connection.execute(
            "CREATE TRIGGER poison BEFORE INSERT ON activities FOR EACH ROW EXECUTE FUNCTION poison()"
        )
        yield
        connection.execute("DROP TRIGGER poison ON activities")
        connection.execute("DROP FUNCTION poison()")


@pytest.fixture
def challenge(org: Org) -> Challenge:
    made = define_milestone(org)
    for customer in CUSTOMERS:
        org.register(customer)
        assert made.enrol(customer) == 200
    return made


def statuses(results: list[dict[str, Any]]) -> dict[str, list[int]]:
    """By status, how many there are."""
    found: dict[str, list[int]] = {}
    for customer, result in zip(CUSTOMERS, results, strict=True):
        found.setdefault(result["status"], []).append(customer)
    return found


EXPECTED = {"REJECTED": [POISON], "ACCEPTED": [each for each in CUSTOMERS if each != POISON]}


@pytest.mark.parametrize("poison", POISONS)
def test_it_alone_is_refused_in_a_list_in_a_stream_and_among_other_callers(
    service: Service, org: Org, challenge: Challenge, database_url: str, poison: str
) -> None:
    now = org.now()
    with poisoned(database_url, POISONS[poison]):
        listed = post(org, *(sale(customer, 1, now) for customer in CUSTOMERS))
        streamed = stream(org, *(sale(customer, 2, now) for customer in CUSTOMERS))
        with ThreadPoolExecutor(8) as callers:
            alone = list(
                callers.map(
                    lambda customer: post(org, sale(customer, 4, now))[0],
                    CUSTOMERS,
                )
            )
        for results in (listed, streamed, alone):
            assert statuses(results) == EXPECTED, json.dumps(results)
    (mended,) = post(org, sale(POISON, 1, now))
    assert mended["status"] == "ACCEPTED"
    values = {customer: challenge.value(customer, "c1") for customer in CUSTOMERS}
    assert values == {customer: 1 if customer == POISON else 7 for customer in CUSTOMERS}
    assert_rebuilt(database_url)


def test_an_expression_that_fails_for_one_activity_refuses_it_alone(
    service: Service, org: Org
) -> None:
    # No number for one of them: the rule cannot say whether it counts.
    expression = "currentTxn.attributes.points > 1"
    picky = define_milestone(org, target={"expression": expression})
    for customer in CUSTOMERS:
        org.register(customer)
        assert picky.enrol(customer) == 200
    now = org.now()
    results = post(
        org,
        *(
            sale(customer, 1, now, attributes={"points": "many" if customer == POISON else 2})
            for customer in CUSTOMERS
        ),
    )
    assert statuses(results) == EXPECTED
    counted = [customer for customer in CUSTOMERS if picky.value(customer, "c1") == 1]
    assert counted == [each for each in CUSTOMERS if each != POISON]
