"""Fixtures: a receiver on loopback, and the worker's part of deliveries in the test's own process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest

from milepost.database import database
from milepost.runner import Runner
from milepost.settings import Settings
from milepost.worker.deliveries import Post, deliver, open_post
from tests.harness import Org
from tests.scenarios.vocabulary import data
from tests.webhooks.receiver import Receiver

EVERYTHING = (
    "targetCustomerEnrolment", "targetPeriodStarted", "targetPeriodCompleted", "targetValueAchieved",
    "targetAchievedValueUpdated", "targetValueUpdated", "streakCustomerEnrolment",
    "streakCustomerUnEnrolment", "streakLevelAchieved", "streakLevelUnAchieved", "streakStart",
    "streakEnd", "promotionCreated", "promotionUpdated", "promotionIssued", "promotionEarned",
    "revokeIssuedPromotion", "revokeEarnedPromotion", "unifiedTargetsAchieved",
    "unifiedTargetsUnAchieved",
)  # fmt: skip


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as running:
        yield running


@dataclass
class Courier:
    """What the worker does, when a test says so."""

    post: Post

    async def run(self, hook: dict[str, Any], org: Org) -> None:
        """Deliver all that is due at an endpoint now."""
        await deliver(self.post, org.id, hook["webHookId"])


@pytest.fixture
def delivery_settings(database_url: str) -> Settings:
    return Settings(
        database_url=database_url,
        webhook_allowed_networks="127.0.0.0/8",
    )


@pytest.fixture
async def courier(delivery_settings: Settings) -> AsyncIterator[Courier]:
    async with carrying(delivery_settings) as made:
        yield made


@pytest.fixture
async def hurried(delivery_settings: Settings) -> AsyncIterator[Courier]:
    """Does not wait for long."""
    async with carrying(replace(delivery_settings, webhook_timeout_seconds=1.0)) as made:
        yield made


@asynccontextmanager
async def carrying(settings: Settings) -> AsyncIterator[Courier]:
    runner = Runner(database(settings.database_url, settings))
    await runner.database.open()
    post = open_post(runner, settings)
    yield Courier(post)
    await post.close()
    await runner.database.close()


def register(org: Org, url: str, **fields: Any) -> dict[str, Any]:
    """An endpoint that is told of everything, unless `fields` differ; what its creation answered."""
    body = {"name": f"hook {url}", "webHookUrl": url, "eventNames": list(EVERYTHING), **fields}
    found: dict[str, Any] = data(org.post("/v3/webHooks", body))
    return found


def log(org: Org, hook: dict[str, Any], **query: str) -> list[dict[str, Any]]:
    """The deliveries of an endpoint."""
    path = f"/milepost/v1/webhooks/{hook['webHookId']}/deliveries"
    found: list[dict[str, Any]] = data(org.get(path, params={"limit": "1000", **query}))
    return found


def states(org: Org, hook: dict[str, Any]) -> dict[str, int]:
    """How many deliveries of an endpoint are pending, delivered and dead."""
    found: dict[str, int] = {}
    for line in log(org, hook):
        found[line["status"]] = found.get(line["status"], 0) + 1
    return found
