"""`milepost rebuild`: what it prints and how it exits (contract §1)."""

from __future__ import annotations

import asyncio

import pytest
from typer.testing import CliRunner

from milepost.cli import app
from milepost.database import Tenant, database
from milepost.runner import Runner
from milepost.settings import Settings
from tests.rules.promotion_samples import PROMOTION, offer
from tests.store.offers import define
from tests.store.world import World, make_world


@pytest.fixture(scope="module")
def world(database_url: str) -> World:
    made = make_world(database_url)
    made.register(7)
    made.run("INSERT INTO customer_versions VALUES (%(org)s, 7, 1)")
    return made


def rebuild(world: World, *options: str) -> tuple[int, list[str]]:
    """Exit code and lines."""
    arguments = ["rebuild", "--database-url", world.url, *options]
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    return result.exit_code, result.output.splitlines()


def test_where_nothing_differs_it_says_so_and_exits_0(world: World) -> None:
    assert rebuild(world, "--check") == (
        0,
        ["Customers compared: 1; differences: 0; left: 0."],
    )
    assert rebuild(world) == (0, ["Customers compared: 1; differences: 0; left: 0."])


def test_what_differs_is_listed_and_exits_1_until_it_is_repaired(world: World) -> None:
    world.run("INSERT INTO progress VALUES (%(org)s, 7, 1000, 1002, 1, 5)")
    line = (
        "org 1, customer 7, target 1000, cycle 1002 (c2): progress: "
        "stored period_id 1002, attempt 1, value 5; rebuilt nothing"
    )
    checked = [line, "Customers compared: 1; differences: 1; left: 1."]
    assert rebuild(world, "--check") == (1, checked)
    assert rebuild(world, "--check", "--org", "1") == (1, checked)
    assert rebuild(world) == (0, [line, "Customers compared: 1; differences: 1; left: 0."])
    assert rebuild(world, "--check")[0] == 0


def test_what_cannot_be_repaired_exits_1_and_stays(world: World) -> None:
    world.run("INSERT INTO enrolments VALUES (%(org)s, 7, 1000, 1, 1, now(), 1001, NULL, 1)")
    assert rebuild(world)[0] == 1
    assert rebuild(world, "--check")[0] == 1
    world.run("DELETE FROM enrolments")


def test_an_unknown_organisation_is_no_success(world: World) -> None:
    assert rebuild(world, "--check", "--org", "99") == (
        1,
        ["milepost: there is no organisation 99"],
    )


def test_how_much_a_promotion_is_used_is_counted_anew(database_url: str) -> None:
    other = make_world(database_url, 2)

    async def make() -> None:
        runner = Runner(database(other.url, Settings()))
        await runner.database.open()
        await define(runner, Tenant(other.org_id, other.org_id), offer(of_all=5))
        await runner.database.close()

    asyncio.run(make())
    assert rebuild(other, "--check", "--org", "2")[0] == 0
    other.run("UPDATE promotion_usage SET earns = 3 WHERE org_id = %(org)s")
    line = (
        f"org 2, promotion {PROMOTION}: earned, revoked, redeemed, points: "
        "stored 3, 0, 0, 0; rebuilt 0, 0, 0, 0"
    )
    counted = "Customers compared: 0; differences: 1; left: {}."
    assert rebuild(other, "--check", "--org", "2") == (1, [line, counted.format(1)])
    assert rebuild(other, "--org", "2") == (0, [line, counted.format(0)])
    assert rebuild(other, "--check", "--org", "2")[0] == 0
