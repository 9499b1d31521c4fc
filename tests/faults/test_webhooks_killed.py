"""Deliveries while the service or its PostgreSQL is killed: each comes, and each customer's in order."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.process import VICTIMS, Process, wait_for
from tests.scenarios.vocabulary import define_milestone
from tests.webhooks.conftest import register, states
from tests.webhooks.receiver import Receiver, Reply, expected_ids
from tests.webhooks.test_deliveries import by_customer, life


@pytest.mark.parametrize("victim", VICTIMS)
def test_what_was_on_its_way_comes_after_the_kill(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, victim: str
) -> None:
    monkeypatch.setenv("MILEPOST_WEBHOOK_ALLOWED_NETWORKS", "127.0.0.1/32")
    with Receiver() as receiver, Process(tmp_path / "data") as process:
        receiver.behaviour = lambda _: Reply(seconds=0.03)
        org = process.new_org(sandbox=True, now="2026-06-01T00:00:00Z")
        abc, hook = define_milestone(org), register(org, receiver.url)
        customers = life(org, abc, 20)
        wait_for(lambda: len(receiver.received) >= 20)
        process.kill(victim)
        process.recover(victim)
        process.await_ready()
        wait_for(lambda: states(org, hook) == {"DELIVERED": 80})
        assert by_customer(receiver.firsts()) == {c: expected_ids(org, c) for c in customers}
