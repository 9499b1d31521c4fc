"""Fixtures of the store's tests: a world of rows, and a runner on it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from milepost.database import Tenant, database
from milepost.runner import Runner
from milepost.settings import Settings
from tests.store.world import World, make_world


@pytest.fixture(scope="module")
def world(database_url: str) -> World:
    """The module's organisation."""
    return make_world(database_url)


@pytest.fixture
def tenant(world: World) -> Tenant:
    """For whom the runner runs."""
    return Tenant(world.org_id, world.org_id)


@pytest.fixture
async def runner(world: World) -> AsyncIterator[Runner]:
    """A runner on the module's database."""
    made = Runner(database(world.url, Settings()))
    await made.database.open()
    yield made
    await made.database.close()
