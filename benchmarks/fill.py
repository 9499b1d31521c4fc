"""Customers who are there already, made by set-based SQL as the service would have left them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import psycopg

SLICE_CUSTOMERS = 100_000
SLICES_AT_ONCE = 2

REGISTER = """
INSERT INTO customers (org_id, customer_id, registered_org_id, loyalty_type, created_at)
SELECT %(org)s, n, %(org)s, 'loyalty', now() FROM generate_series(%(a)s::bigint, %(b)s::bigint) n;
"""
# A row per customer and target, in the order of the keys: as LATERAL leans on n, n is the outer loop.
_EACH = """
FROM generate_series(%(a)s::bigint, %(b)s::bigint) n
CROSS JOIN LATERAL (
    SELECT n AS customer_id, t.* FROM unnest(%(targets)s::bigint[], %(periods)s::bigint[])
        WITH ORDINALITY AS t (target_id, period_id, place) OFFSET 0
) t;
"""
ENROL = f"""
INSERT INTO customer_versions (org_id, customer_id, version)
SELECT %(org)s, n, cardinality(%(targets)s::bigint[]) FROM generate_series(%(a)s::bigint, %(b)s::bigint) n;
INSERT INTO enrolments (org_id, customer_id, target_id, stint, enrolment_id, enrolled_at, from_period_id,
                        attempt)
SELECT %(org)s, n, t.target_id, 1, nextval('enrolment_ids'), now(), t.period_id, 1 {_EACH}
INSERT INTO progress (org_id, customer_id, target_id, period_id, attempt, value)
SELECT %(org)s, n, t.target_id, t.period_id, 1, 100 {_EACH}
INSERT INTO journal (org_id, customer_id, version, ordinal, at, what, reason, target_group_id, target_id,
                     period_id, details, request_id)
SELECT %(org)s, n, t.place, 0, now(), 'ENROLLED', 'ENROLLED', t.target_id, t.target_id, t.period_id,
       '{{"stint":1,"attempt":1,"balance":"100","targetValue":"1000"}}', repeat('x', 32) {_EACH}
"""  # noqa: S608


def register(owner_url: str, org_id: int, first: int, count: int) -> None:
    """Customers `first` … who are enrolled in nothing yet."""
    run(owner_url, REGISTER, {"org": org_id}, first, count)


def enrol(owner_url: str, org_id: int, first: int, count: int, targets: Sequence[int]) -> float:
    """Customers `first` … enrolled in the current cycle of each target with a balance of 100.

    With versions, stints, progress and journal. Gives the seconds that it took.
    """
    began = time.perf_counter()
    with psycopg.connect(owner_url) as connection:
        found = connection.execute(
            "SELECT target_id, min(period_id) FROM target_values "
            "WHERE org_id = %s AND target_id = ANY(%s) GROUP BY 1 ORDER BY 1",
            (org_id, list(targets)),
        ).fetchall()
    ids, periods = [target for target, _ in found], [period for _, period in found]
    given = {"org": org_id, "targets": ids, "periods": periods}
    run(owner_url, REGISTER + ENROL, given, first, count)
    return time.perf_counter() - began


def settle_down(owner_url: str) -> None:
    """Leave nothing to be done for what was filled in: statistics, visibility, dirty pages."""
    with psycopg.connect(owner_url, autocommit=True) as connection:
        connection.execute("VACUUM (FREEZE, ANALYZE)")
        connection.execute("CHECKPOINT")


def run(owner_url: str, statements: str, given: dict[str, object], first: int, count: int) -> None:
    """Statements about customers `a` to `b` for slices of `count` customers; `given` is the same for all."""

    def fill(start: int) -> None:
        here = {**given, "a": start, "b": min(start + SLICE_CUSTOMERS, first + count) - 1}
        with psycopg.connect(owner_url) as connection, psycopg.ClientCursor(connection) as cursor:
            for statement in statements.strip().split(";\n"):
                cursor.execute(statement.encode(), here)

    with ThreadPoolExecutor(SLICES_AT_ONCE) as slices:
        list(slices.map(fill, range(first, first + count, SLICE_CUSTOMERS)))


_RIVAL = """
INSERT INTO rival.customers SELECT customer_id FROM customers WHERE org_id = %(org)s;
INSERT INTO rival.target_groups (id, name, active)
SELECT target_group_id, name, active FROM target_groups WHERE org_id = %(org)s;
INSERT INTO rival.targets (id, group_id, name, value, active)
SELECT target_id, target_group_id, name, 1000, active FROM targets WHERE org_id = %(org)s;
INSERT INTO rival.periods (id, group_id, ref_code, starts_at, ends_at)
SELECT period_id, target_group_id, ref_code, starts_at, ends_at FROM target_periods WHERE org_id = %(org)s;
INSERT INTO rival.enrolments (customer_id, target_id, from_period_id, enrolled_at)
SELECT customer_id, target_id, from_period_id, enrolled_at FROM enrolments WHERE org_id = %(org)s;
INSERT INTO rival.progress (customer_id, target_id, period_id, value)
SELECT customer_id, target_id, period_id, value FROM progress WHERE org_id = %(org)s;
"""


def copy_to_rival(owner_url: str, org_id: int) -> None:
    """The rival's tables, which it made itself when it started, with the same customers and milestones."""
    with psycopg.connect(owner_url) as connection, psycopg.ClientCursor(connection) as cursor:
        for statement in _RIVAL.strip().split(";\n"):
            cursor.execute(statement.encode(), {"org": org_id})
