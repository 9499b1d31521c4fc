"""Rows for the tests of the store, made by SQL as the owner: one organisation with one milestone."""

from __future__ import annotations

from dataclasses import dataclass

import psycopg

ORG = """
INSERT INTO orgs (org_id, root_org_id, name, time_zone, sandbox, sandbox_now, created_at)
VALUES (%(org)s, %(root)s, 'Test', 'UTC', true,
        CASE WHEN %(org)s = %(root)s THEN timestamptz '2026-06-15' END, now());
"""
MILESTONE = """
INSERT INTO target_groups
VALUES (%(org)s, %(group)s, 'g', 'g', '', true, 1, 'DEFAULT', 'FIXED_CALENDAR_WINDOW', 'MONTHLY', 1, 3, 3,
        '2026-06-01', '2026-09-01', 'UTC', false, false, 'IMMEDIATE', false, 0, false, NULL, NULL, now(), 1,
        now(), 1);
INSERT INTO target_periods
SELECT %(org)s, %(group)s, %(group)s + n, n, 'c' || n, '',
       timestamptz '2026-06-01' + (n - 1) * interval '1 month',
       timestamptz '2026-06-01' + n * interval '1 month', true, now(), 1, now(), 1
FROM generate_series(1, 3) n;
INSERT INTO targets
VALUES (%(org)s, %(group)s, %(group)s, 't', 't', '', true, 'TRANSACTION', 'SALES', 'TransactionAdd', 'true',
        NULL, '[]', 'IMPORT', NULL, NULL, '[]',
        '[{"name": "Voucher", "type": "POINTS", "value": "10", "reference": null}]', now(), 1, now(), 1);
INSERT INTO target_values SELECT %(org)s, %(group)s, %(group)s + n, n, 1000 FROM generate_series(1, 3) n;
"""


@dataclass(frozen=True)
class World:
    """An organisation whose sandbox clock stands at 2026-06-15, with a milestone of three months."""

    url: str
    org_id: int
    group_id: int

    def run(self, sql: str, **values: object) -> list[tuple[object, ...]]:
        """Run one statement as the owner; `%(org)s` and `%(group)s` are this world's."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(
                sql.encode(), {"org": self.org_id, "group": self.group_id, **values}
            )
            return cursor.fetchall() if cursor.description else []

    def register(self, *customers: int) -> None:
        """Make customers of the organisation."""
        self.run(
            "INSERT INTO customers SELECT %(org)s, c, %(org)s, 'loyalty', now() "
            "FROM unnest(%(customers)s::bigint[]) c",
            customers=list(customers),
        )


def make_world(url: str, org_id: int = 1, root_org_id: int | None = None) -> World:
    """Insert the organisation and its milestone; the group's and the target's id is 1000 × org."""
    world = World(url, org_id, org_id * 1000)
    root = root_org_id or org_id
    with psycopg.ClientCursor(psycopg.connect(url, autocommit=True)) as cursor:
        cursor.execute(ORG + MILESTONE, {"org": org_id, "root": root, "group": world.group_id})
        cursor.connection.close()
    return world
