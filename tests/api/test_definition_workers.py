"""Definitions edited and read through two workers at once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack

import httpx
import pytest

from tests.api.payloads import code, data, milestone, target
from tests.harness import Org, Service


@pytest.fixture(scope="module")
def second(service: Service) -> Iterator[Service]:
    """Another worker on the same database."""
    with Service(service.settings) as running:
        yield running


async def test_of_edits_at_once_in_two_workers_none_is_lost(
    service: Service, second: Service, org: Org
) -> None:
    group = org.define(**milestone(targets=[target() for _ in range(10)]))
    path = f"/v3/targetGroups/{group['id']}/targets"
    only_one = milestone(name="Only one")
    async with AsyncExitStack() as stack:
        workers = [
            await stack.enter_async_context(
                httpx.AsyncClient(base_url=url, auth=(org.username, org.password), timeout=30)
            )
            for url in (service.url, second.url)
        ]
        responses = await asyncio.gather(
            *(
                workers[n % 2].put(f"{path}/{each['id']}", json={"description": f"edit {n}"})
                for n, each in enumerate(group["targets"])
            ),
            *(worker.post("/v3/targetGroups", json=only_one) for worker in workers * 2),
        )
    edits, creations = responses[:10], responses[10:]
    assert [response.status_code for response in edits] == [200] * 10
    shown = [each["description"] for each in data(org.get(path))]
    assert shown == [f"edit {n}" for n in range(10)]
    assert sorted(response.status_code for response in creations) == [201, 400, 400, 400]
    assert {code(each) for each in creations if each.status_code == 400} == {310069}


def test_a_worker_decides_and_reads_by_what_another_worker_has_just_edited(
    second: Service, org: Org
) -> None:
    group = org.define(**milestone())
    target_id, customer = group["targets"][0]["id"], org.register()
    elsewhere = Org(
        org.id,
        second.connect(auth=(org.username, org.password)),
        org.username,
        org.password,
    )
    edited = f"/v3/targetGroups/editTargetGroup/{group['id']}"
    for turn in range(5):
        active = bool(turn % 2)
        assert data(org.client.put(edited, json={"active": active}))["active"] is active
        assert data(elsewhere.get(f"/v3/targetGroups/{group['id']}"))["active"] is active
        response = elsewhere.enrol(group["id"], target_id, customer)
        if turn == 1:
            assert data(response) == customer
        else:
            assert code(response) == (310119 if active else 310017)
