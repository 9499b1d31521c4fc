"""What becomes of a delivery after a try, and of an endpoint whose tries fail."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milepost.rules.deliveries import (
    DEAD,
    DELIVERED,
    PENDING,
    Answer,
    Delivery,
    Health,
    Tried,
    after_try,
    backoff_seconds,
    by_queue,
    given_up,
    health_after,
    read_retry_after,
)

NOW = datetime(2026, 6, 1, tzinfo=UTC)
WEEK = 7.0


def delivery(customer: int = 1, attempts: int = 0, first: datetime | None = None) -> Delivery:
    return Delivery(customer, 9, 1, 0, 0, "id", "streakStart", attempts, NOW, first)


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_any_2xx_is_delivered(status: int) -> None:
    tried = after_try(delivery(), Answer(status), NOW, NOW, WEEK, 0.5)
    assert (tried.status, tried.delivery.attempts) == (DELIVERED, 1)


@pytest.mark.parametrize("status", [400, 405, 410, 413, 414, 415, 422])
def test_what_the_receiver_will_never_take_is_dead_at_once(status: int) -> None:
    assert after_try(delivery(), Answer(status), NOW, NOW, WEEK, 0.5).status == DEAD


@pytest.mark.parametrize(
    "status",
    [None, 100, 199, 300, 301, 302, 304, 307, 308, 401, 403, 404, 407, 408, 409, 425, 429, 451,
     499, 500, 501, 502, 503, 504, 599, 999],
)  # fmt: skip
def test_everything_else_is_tried_again(status: int | None) -> None:
    tried = after_try(delivery(), Answer(status), NOW, NOW, WEEK, 0.5)
    assert tried.status == PENDING
    assert tried.next_attempt_at == NOW + timedelta(seconds=2.5)


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True))
def test_the_wait_grows_with_full_jitter_from_five_seconds_to_an_hour(
    attempts: int, chance: float
) -> None:
    seconds = backoff_seconds(attempts, chance)
    assert 1 <= seconds <= max(1, min(3_600, 5 * 2 ** (attempts - 1)))


def test_the_wait_doubles_up_to_an_hour() -> None:
    top = [backoff_seconds(attempts, 0.9999999) for attempts in range(1, 13)]
    assert [round(each) for each in top] == [
        5, 10, 20, 40, 80, 160, 320, 640, 1280, 2560, 3600, 3600
    ]  # fmt: skip


def test_after_seven_days_from_the_first_try_it_is_given_up() -> None:
    first = NOW - timedelta(days=7)
    before = NOW - timedelta(seconds=1)
    early = after_try(delivery(first=first, attempts=200), Answer(500), before, before, WEEK, 0)
    assert early.status == PENDING
    assert after_try(delivery(first=first), Answer(500), NOW, NOW, WEEK, 0).status == DEAD
    assert after_try(delivery(first=first), Answer(200), NOW, NOW, WEEK, 0).status == DELIVERED


def test_the_wait_begins_when_the_try_has_failed() -> None:
    tried = after_try(delivery(), Answer(None), NOW, NOW + timedelta(seconds=10), WEEK, 0.5)
    assert tried.delivery.first_attempt_at == tried.started_at == NOW
    assert tried.next_attempt_at - tried.ended_at == timedelta(seconds=2.5)


def test_retry_after_lengthens_the_wait_up_to_an_hour() -> None:
    tried = after_try(delivery(), Answer(429, "", read_retry_after("120")), NOW, NOW, WEEK, 0.5)
    assert tried.next_attempt_at == NOW + timedelta(seconds=120)
    wanted = {
        "0": 0, "7": 7, " 60 ": 60, "3600": 3600, "3601": 3600, "9" * 400: 3600, "-5": 0, "1.5": 0,
        "soon": 0, "Wed, 21 Oct 2026 07:28:00 GMT": 0, "²": 0, "": 0,
    }  # fmt: skip
    assert {text: read_retry_after(text) for text in wanted} == wanted


def failed(*customers: int) -> list[Tried]:
    return [after_try(delivery(each), Answer(503), NOW, NOW, WEEK, 0.5) for each in customers]


def test_a_few_customers_whose_deliveries_fail_pause_nothing() -> None:
    tried = failed(1, 2, 3, 4)
    assert health_after(Health(), tried, 4, NOW, 0.5) == Health()
    assert health_after(Health(), [], 4, NOW, 0.5) == Health()


def test_five_in_a_row_pause_the_endpoint_and_each_failed_try_doubles_the_pause() -> None:
    health = health_after(Health(), failed(5), 5, NOW, 0.5)
    assert health == Health(1, NOW + timedelta(seconds=2.5))
    again = health_after(health, failed(6), 1, NOW, 0.5)
    assert again == Health(2, NOW + timedelta(seconds=5))


@pytest.mark.parametrize("status", [200, 400])
def test_a_receiver_that_answers_for_good_is_well_again(status: int) -> None:
    tried = [after_try(delivery(), Answer(status), NOW, NOW, WEEK, 0)]
    assert health_after(Health(7, NOW), tried, 1, NOW, 0) == Health()


def test_what_is_given_up_after_a_week_does_not_make_the_receiver_well() -> None:
    late = delivery(first=NOW - timedelta(days=8))
    tried = [after_try(late, Answer(503), NOW, NOW, WEEK, 0)]
    assert health_after(Health(7, NOW), tried, 1, NOW, 0.5).failures == 8


def test_what_no_longer_follows_is_a_dead_letter_that_says_so() -> None:
    tried = given_up(delivery(), NOW)
    assert (tried.status, tried.answer.status) == (DEAD, None)
    assert "journal" in tried.answer.text


def test_deliveries_are_queued_by_customer_and_organisation_in_order() -> None:
    first, second, third = delivery(1), delivery(2), delivery(1, attempts=3)
    assert by_queue([first, second, third]) == {(1, 9): [first, third], (2, 9): [second]}
