"""The worker's process delivers by itself, and being killed at any moment loses nothing."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from milepost import clock
from milepost.child import start_child
from milepost.settings import Settings
from tests.harness import Org, Service
from tests.scenarios.vocabulary import ACCEPTED, define_milestone
from tests.webhooks.conftest import log, register, states
from tests.webhooks.receiver import Receiver, Reply, expected_ids
from tests.webhooks.test_deliveries import by_customer, later, life

DEADLINE_SECONDS = 40.0


def wait_for(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not happened():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


@contextmanager
def worker(settings: Settings) -> Iterator[subprocess.Popen[bytes]]:
    """A worker's process, told to end afterwards unless it was killed."""
    child = start_child("milepost.worker", settings)
    assert child.stdin is not None
    assert child.stdout is not None
    try:
        yield child
        child.stdin.close()
        child.wait(10)
    finally:
        child.kill()
        child.wait()
        child.stdin.close()
        child.stdout.close()


def test_it_delivers_as_it_happens_and_retries_when_a_sandbox_is_moved(
    org: Org, receiver: Receiver, delivery_settings: Settings
) -> None:
    abc = define_milestone(org)
    hook = register(org, receiver.url)
    with worker(delivery_settings):
        (customer,) = life(org, abc, 1)
        wait_for(lambda: len(receiver.taken) == 4)
        receiver.behaviour = lambda _: Reply(503)
        (other,) = life(org, abc, 1)
        wait_for(lambda: any(line["attempts"] for line in log(org, hook, status="PENDING")))
        receiver.behaviour = lambda _: Reply()
        later(org, hours=1)
        wait_for(lambda: states(org, hook) == {"DELIVERED": 8})
    expected = {each: expected_ids(org, each) for each in (customer, other)}
    assert by_customer(receiver.taken) == expected


def test_killed_in_the_middle_of_deliveries_it_loses_none_and_keeps_their_order(
    org: Org, receiver: Receiver, delivery_settings: Settings
) -> None:
    abc = define_milestone(org)
    hook = register(org, receiver.url)
    customers = life(org, abc, 40, sales=3)
    receiver.behaviour = lambda _: Reply(seconds=0.02)
    for received in (20, 60, 100):
        with worker(delivery_settings) as child:
            wait_for(lambda received=received: len(receiver.received) >= received)  # type: ignore[misc]
            child.kill()
            child.wait()
    assert states(org, hook).get("PENDING", 0) > 0
    with worker(delivery_settings), worker(delivery_settings):
        wait_for(lambda: states(org, hook) == {"DELIVERED": 160})
    assert by_customer(receiver.firsts()) == {c: expected_ids(org, c) for c in customers}


def test_a_real_organisation_is_told_by_the_wall_clock(
    service: Service, receiver: Receiver, delivery_settings: Settings
) -> None:
    org = service.new_org(now=None, sandbox=False)
    first = clock.now().date()
    abc = define_milestone(
        org,
        periods=[
            {
                "refCode": "c1",
                "startDate": f"{first - timedelta(days=9)}",
                "endDate": f"{first + timedelta(days=9)}",
            }
        ],
    )
    hook = register(org, receiver.url)
    with worker(delivery_settings):
        customer = org.register()
        assert abc.enrol(customer) == ACCEPTED
        wait_for(lambda: states(org, hook) == {"DELIVERED": 1})
    (received,) = receiver.received
    received.verify(hook["secret"])
    (line,) = log(org, hook)
    assert (
        line["eventEndTimestamp"] >= line["eventStartTimestamp"] >= line["eventIngestionTimestamp"]
    )
