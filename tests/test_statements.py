"""What is sent is what PostgreSQL reads: columns come back as they were."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import psycopg
import pytest

from milepost.database import Database, DatabaseUnavailable, database
from milepost.settings import Settings
from milepost.statements import read_statement

INSTANT = datetime(2026, 2, 28, 23, 59, 59, 999_999, tzinfo=UTC)
COLUMNS: list[tuple[str, list[Any]]] = [
    ("bigint", [0, 1, -1, 2**63 - 1, -(2**63)]),
    ("integer", [0, -(2**31), 2**31 - 1]),
    ("smallint", [0, -(2**15), 2**15 - 1]),
    ("boolean", [True, False]),
    ("text", ["", "a", "\u00e9\U0001f600", "NULL", '{"a":1}', "a,b"]),
    ("bytea", [b"", b"\x00\xff"]),
    ("timestamptz", [INSTANT, datetime(1, 1, 1, tzinfo=UTC), datetime(1999, 12, 31, tzinfo=UTC)]),
    ("numeric", [Decimal(0), Decimal("1.0"), Decimal(1), Decimal("-0.000001"), Decimal(10**20), 7]),
]


@pytest.fixture
async def reached(database_url: str) -> AsyncIterator[Database]:
    made = database(database_url, Settings())
    await made.open()
    yield made
    await made.close()


@pytest.mark.parametrize(("cast", "values"), COLUMNS, ids=[cast for cast, _ in COLUMNS])
async def test_a_column_comes_back_as_it_was_sent(
    reached: Database, cast: str, values: list[Any]
) -> None:
    async with reached.transaction() as tx:
        for sent in (
            [],
            values,
            [None, *values, None],
            [values[0]] * 300,
            [None, None],
            *([value] for value in values),
        ):
            ((back,),) = await tx.ask(f"SELECT %b::{cast}[]", (sent,)).rows()
            assert back == sent
            assert [str(each) for each in back] == [str(each) for each in sent]


async def test_an_instant_of_another_zone_is_the_same_instant(reached: Database) -> None:
    from zoneinfo import ZoneInfo  # noqa: PLC0415

    there = INSTANT.astimezone(ZoneInfo("Asia/Kolkata"))
    async with reached.transaction() as tx:
        ((back,),) = await tx.ask(
            "SELECT %b::timestamptz[]", ([there, INSTANT + timedelta(1)],)
        ).rows()
        assert back == [INSTANT, INSTANT + timedelta(1)]


def test_a_statement_is_read_with_its_casts_and_percent_signs() -> None:
    statement = read_statement("SELECT 5 %% 2, %b, %s::text, %b::bigint[] WHERE a LIKE 'x%%'")
    assert statement.text == b"SELECT 5 % 2, $1, $2::text, $3::bigint[] WHERE a LIKE 'x%'"
    assert statement.casts == (None, None, "bigint[]")


async def test_the_number_of_parameters_is_checked(reached: Database) -> None:
    async with reached.transaction() as tx:
        with pytest.raises(TypeError, match="1 parameters expected, got 2"):
            tx.ask("SELECT %b", (1, 2))
        assert await tx.ask("SELECT %b", (1,)).rows() == [(1,)]


async def test_an_error_is_raised_where_an_answer_after_it_is_waited_for(reached: Database) -> None:
    async def attempt() -> None:
        async with reached.transaction() as tx:
            before = tx.ask("SELECT 1")
            tx.ask("SELECT 1 / %b", (0,))
            after = tx.ask("SELECT %b::text", ("never prepared",))
            assert await before.rows() == [(1,)]
            await after.rows()

    for _ in range(3):
        with pytest.raises(psycopg.errors.DivisionByZero):
            await attempt()
    async with reached.transaction() as tx:
        assert await tx.ask("SELECT %b::text", ("prepared now",)).rows() == [("prepared now",)]


async def test_what_fails_unread_fails_the_commit(reached: Database) -> None:
    async def attempt() -> None:
        async with reached.transaction() as tx:
            tx.ask("SELECT 1 / %b", (0,))

    with pytest.raises(psycopg.errors.DivisionByZero):
        await attempt()
    assert reached.app.get_stats().get("connections_lost", 0) == 0


async def test_an_error_that_was_caught_does_not_let_the_transaction_commit(
    reached: Database,
) -> None:
    async def attempt() -> None:
        async with reached.transaction() as tx:
            with pytest.raises(psycopg.errors.DivisionByZero):
                await tx.ask("SELECT 1 / %b", (0,)).rows()

    with pytest.raises(DatabaseUnavailable):
        await attempt()


async def test_who_gives_up_waiting_gets_the_connection_back_to_rest(reached: Database) -> None:
    async def long() -> None:
        async with reached.transaction() as tx:
            await tx.ask("SELECT pg_sleep(30)").rows()

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(long(), 0.2)
    async with reached.transaction() as tx:
        assert await tx.ask("SELECT 1").rows() == [(1,)]


async def test_a_connection_forgets_its_statements_before_they_are_too_many(
    reached: Database,
) -> None:
    for number in range(520):
        async with reached.transaction() as tx:
            assert await tx.ask(f"SELECT {number} + %b", (number,)).rows() == [(2 * number,)]
    async with reached.transaction() as tx:
        ((kept,),) = await tx.ask("SELECT count(*) FROM pg_prepared_statements").rows()
    assert kept <= 500


async def test_a_snapshot_cannot_write(reached: Database) -> None:
    async def attempt() -> None:
        async with reached.transaction(snapshot=True) as tx:
            tx.ask("CREATE TEMP TABLE t ()")

    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        await attempt()
