"""The statements of the audit trail and of erasures: their plans, whatever the tables' sizes."""

from __future__ import annotations

from datetime import UTC, datetime

import psycopg
import pytest

from milepost.database import SESSION
from milepost.rules.audit import JOURNAL_ACTIONS
from milepost.store import audit, erasure, exports
from tests.store.world import World

AT = datetime(2026, 6, 1, tzinfo=UTC)
PAGE = (AT, AT, AT, AT, 2, 0, 100)


def plan(world: World, statement: str, *parameters: object) -> str:
    """The plan as the service gets it: made for the values themselves, of a table without statistics."""
    with psycopg.connect(world.url, autocommit=True) as connection:
        for name, value in SESSION.items():
            connection.execute("SELECT set_config(%s, %s, false)", (name, value))
        rows = connection.execute(f"EXPLAIN {statement}".encode(), parameters).fetchall()
    return "\n".join(row[0] for row in rows)


def test_a_page_of_the_trail_is_read_in_the_order_of_its_index(world: World) -> None:
    entries = (world.org_id, None, None, None, None, None, None, *PAGE)
    found = plan(world, audit.ASK_ENTRIES, *entries)
    assert "Index Scan Backward using audit_entries_at" in found
    assert "Sort" not in found


@pytest.mark.one_server
def test_the_entries_of_a_subject_are_found_by_it(world: World) -> None:
    about = ("CUSTOMER", "CUSTOMER", "7", "7")
    acts = (world.org_id, 7, list(JOURNAL_ACTIONS), None, None, *PAGE)
    found = plan(
        world,
        audit.ASK_ENTRIES_AND_ACTS,
        *(world.org_id, None, None, *about, *PAGE),
        *acts,
        100,
    )
    assert "using audit_entries_subject" in found
    assert "journal_pkey" in found
    assert "Seq Scan" not in found


@pytest.mark.one_server
def test_an_erasure_reaches_the_books_by_their_keys(world: World) -> None:
    entries = (world.org_id, 7, 0, 100)
    salt = b"salt"
    # Some pages of others: a table of one page, PostgreSQL 15 reads rather than look anything up.
    activities = "type, occurred_at, event_name, net_amount, gross_amount, version, ordinal"
    for columns, values in (
        (
            f"activities (org_id, customer_id, activity_id, {activities})",
            "'a', 'EVENT', now(), 'e', 0, 0, 1, 0",
        ),
        (
            "redemptions (org_id, customer_id, promotion_id, paid_for, occurred_at, redeemed_at, points)",
            "1, 'p', now(), now(), 0",
        ),
        (
            "rewards (org_id, customer_id, attempt, ordinal, name, type, value, granted_at, cause)",
            "1, 0, 'r', 'POINTS', 1, now(), 'ACTIVITY'",
        ),
        (
            "journal (org_id, customer_id, version, ordinal, at, what, reason)",
            "1, 0, now(), 'w', 'r'",
        ),
    ):
        world.run(
            f"INSERT INTO {columns} SELECT %(org)s, 1000 + n, {values} FROM generate_series(1, 20000) n"
        )
    for statement, parameters in (
        (erasure.SCRUB_ACTIVITIES, (salt, salt, *entries)),
        (erasure.SCRUB_REDEMPTIONS, (salt, *entries)),
        (erasure.SCRUB_REWARDS, (salt, world.org_id, 7, *entries)),
        (erasure.SCRUB_JOURNAL, (salt, salt, *entries)),
        (erasure.ASK_STRETCH, (7, 0, 0, 100, world.org_id, 0)),
    ):
        found = plan(world, statement, *parameters)
        for table in ("activities", "redemptions", "rewards", "journal"):
            assert f"Seq Scan on {table}" not in found, found


def test_first_answers_are_found_by_their_customers(world: World) -> None:
    found = plan(world, erasure.SCRUB_ANSWERS, 400, b"", b"", 7, world.org_id, 100)
    assert "idempotency_keys_customers" in found
    assert "Seq Scan on idempotency_keys" not in found


@pytest.mark.one_server
def test_an_export_is_read_in_the_order_of_the_primary_keys(world: World) -> None:
    for statement, after in (
        (exports.ASK_ACTIVITIES, ("",)),
        (exports.ASK_ISSUALS, (0, 0)),
        (exports.ASK_EARNS, (0, 0)),
        (exports.ASK_REDEMPTIONS, (0, "")),
    ):
        found = plan(world, statement, world.org_id, 7, *after, 1000)
        assert "Index" in found, found
        assert "Seq Scan" not in found, found
