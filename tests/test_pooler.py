"""Requests over a pooler: the roles log in by themselves, and nobody is taken for one of them who is not."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from milepost.database import Tenant, Tx, database, recogniser
from milepost.runner import Moment, Runner
from milepost.settings import Settings
from milepost.transaction import Connection
from tests.store.world import make_world

LOOK = """
SELECT session_user::text, current_user::text, (SELECT count(*) FROM pg_prepared_statements),
       (SELECT count(*) FROM target_groups)
"""
ROLES = ("milepost_app", "milepost_operator")


@pytest.fixture(scope="module")
def pooled(database_url: str) -> Iterator[Settings]:
    """The settings with the server itself where the pooler would be, which lets the roles in."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        for role in ROLES:
            connection.execute(f"ALTER ROLE {role} LOGIN".encode())
        yield Settings(database_url=database_url, pooler_url=database_url)
        for role in ROLES:
            connection.execute(f"ALTER ROLE {role} NOLOGIN".encode())


@pytest.mark.one_server
async def test_over_a_pooler_no_session_is_expected_to_keep_anything(pooled: Settings) -> None:
    """Neither a role that was taken nor a statement that was prepared."""
    make_world(pooled.database_url)
    runner = Runner(database(pooled.database_url, pooled))
    await runner.database.open()
    try:

        async def look(tx: Tx, tenant: Tenant, moment: Moment) -> tuple[object, ...]:
            ((*row,),) = await tx.ask(LOOK).rows()
            return tuple(row)

        for _ in range(3):
            assert await runner.read(Tenant(1, 1), look) == ("milepost_app", "milepost_app", 0, 1)
    finally:
        await runner.database.close()


@pytest.mark.parametrize("role", ROLES)
async def test_a_connection_that_is_not_its_roles_is_refused(database_url: str, role: str) -> None:
    """A pooler that leaves start-up options out would make every request the owner's."""
    async with await Connection.connect(database_url) as connection:
        with pytest.raises(psycopg.OperationalError, match=f"not {role}'s"):
            await recogniser(role, pooled=True)(connection)
