"""The machine, as the page describes it, and the commit that was measured."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from pathlib import Path

import psycopg

from benchmarks.results import Machine


def describe(database_url: str) -> Machine:
    """This machine, with the PostgreSQL of the database."""
    with psycopg.connect(database_url) as connection:
        row = connection.execute("SHOW server_version").fetchone()
    processor = re.search(r"^model name\s*:\s*(.+)$", _read("/proc/cpuinfo"), re.MULTILINE)
    memory = re.search(r"MemTotal:\s+(\d+) kB", _read("/proc/meminfo"))
    return Machine(
        processor=processor[1] if processor else platform.machine(),
        cores=len(os.sched_getaffinity(0)),
        memory_mib=int(memory[1]) // 1024 if memory else 0,
        system=f"{platform.system()} {platform.release()}",
        postgres=row[0] if row is not None else "",
        python=platform.python_version(),
    )


def commit() -> str:
    """The commit, with a plus if files differ from it; "unknown" outside a repository."""
    folder = Path(__file__).parent
    told = [
        subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=False)  # noqa: S607
        for arguments in (["rev-parse", "--short", "HEAD"], ["status", "--porcelain"])
    ]
    if any(each.returncode for each in told):
        return "unknown"
    return told[0].stdout.strip() + ("+" if told[1].stdout.strip() else "")


def _read(path: str) -> str:
    file = Path(path)
    return file.read_text() if file.exists() else ""
