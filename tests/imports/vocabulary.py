"""Words for importing: the command as a process, its results, and what an organisation has then."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg

TABLES = {
    "customers": "customer_id, loyalty_type",
    "customer_identifiers": "kind, value, customer_id, sources",
    "customer_profiles": "customer_id, source, account_id, first_name, last_name",
    "customer_versions": "customer_id",
    "activities": "customer_id, activity_id, net_amount, attributes, line_items",
}
PER_TARGET = {
    "enrolments": "customer_id, stint, left_at IS NULL, attempt",
    "progress": "customer_id, attempt, value, achieved_at IS NULL, own_target_value",
    "rewards": "customer_id, attempt, ordinal, name, value",
    "journal": "customer_id, what, reason, details->>'balance', details->>'stint'",
}


def words(kind: str, file: Path, org_id: int, database_url: str, *more: str) -> list[str]:
    """The command that imports a file."""
    command = [sys.executable, "-m", "milepost", "import", kind, str(file)]
    return [*command, "--org", str(org_id), "--database-url", database_url, *more]


def run_import(
    kind: str, file: Path, org_id: int, database_url: str, *more: str
) -> subprocess.CompletedProcess[str]:
    """Import a file and wait for its end."""
    return subprocess.run(
        words(kind, file, org_id, database_url, *more),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def start_import(kind: str, file: Path, org_id: int, database_url: str) -> subprocess.Popen[bytes]:
    """Begin to import a file."""
    return subprocess.Popen(
        words(kind, file, org_id, database_url),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def results_of(file: Path) -> list[tuple[int, str, list[int]]]:
    """(line, status, codes of the errors) of each row."""
    found = []
    for line in Path(f"{file}.results.ndjson").read_text().splitlines():
        result = json.loads(line)
        assert result.keys() == {"line", "status", "errors"}
        errors = [error["code"] for error in result["errors"] or ()]
        found.append((result["line"], result["status"], errors))
    return found


def statuses(file: Path) -> list[str]:
    """The status of each row."""
    return [status for _, status, _ in results_of(file)]


def write_rows(file: Path, rows: list[dict[str, Any]]) -> Path:
    """The rows as NDJSON."""
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def state(database_url: str, org_id: int) -> dict[str, list[tuple[Any, ...]]]:
    """What an organisation has, but for ids and instants: equal wherever the same has happened."""
    with psycopg.connect(database_url) as connection:
        return {
            table: connection.execute(
                f"SELECT {columns} FROM {table} WHERE org_id = %s ORDER BY {columns}".encode(),
                (org_id,),
            ).fetchall()
            for table, columns in {**TABLES, **PER_TARGET}.items()
        }


def query(database_url: str, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
    """The rows of a statement, as the owner."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        cursor = connection.execute(sql.encode(), parameters)
        return cursor.fetchall() if cursor.description else []
