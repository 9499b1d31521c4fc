"""Time: one file reads the wall clock, so that a sandbox, a test and a replay can move it."""

import ast
import re
from collections.abc import Iterator

import pytest

from tests.house.tree import modules

CLOCK = "src/milepost/clock.py"

# By the module or class they belong to. Durations are measured by `time.monotonic`, which is fine.
WALL_CLOCK = {
    "datetime": {"now", "utcnow", "today"},
    "date": {"today"},
    "time": {"time", "time_ns", "localtime", "gmtime", "ctime", "asctime"},
}
SQL_CLOCK = re.compile(
    r"\b(now|clock_timestamp|statement_timestamp|transaction_timestamp|timeofday)\s*\(\s*\)"
    r"|\b(current_(date|timestamp|time)|localtimestamp|localtime)\b",
    re.IGNORECASE,
)


def wall_clock_reads(tree: ast.AST) -> Iterator[int]:
    """The lines that name a reader of the wall clock, called or handed on."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            owner = node.value
            name = owner.attr if isinstance(owner, ast.Attribute) else getattr(owner, "id", "")
            if node.attr in WALL_CLOCK.get(name, ()):
                yield node.lineno
        elif isinstance(node, ast.Import | ast.ImportFrom):
            module = getattr(node, "module", "")
            for alias in node.names:
                hidden = alias.asname is not None and alias.name in WALL_CLOCK
                if hidden or (module == "time" and alias.name in WALL_CLOCK["time"]):
                    yield node.lineno


def sql_clock_reads(tree: ast.AST) -> Iterator[int]:
    """The lines whose text asks the database for the time; docstrings may speak of it."""
    prose = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.Constant) or id(node) in prose:
            continue
        if isinstance(node.value, str) and SQL_CLOCK.search(node.value):
            yield node.lineno


def test_only_the_clock_reads_the_wall_clock() -> None:
    reads = [
        f"{name}:{line}"
        for name, tree in modules()
        for line in wall_clock_reads(tree)
        if name != CLOCK
    ]
    assert reads == []


def test_no_statement_asks_the_database_for_the_time() -> None:
    reads = [f"{name}:{line}" for name, tree in modules() for line in sql_clock_reads(tree)]
    assert reads == []


@pytest.mark.parametrize(
    "source",
    [
        "datetime.now(UTC)",
        "datetime.datetime.utcnow()",
        "field(default_factory=datetime.now)",
        "date.today()",
        "time.time()",
        "from time import time_ns",
        "from datetime import datetime as dt",
        "import time as t",
    ],
)
def test_a_reading_of_the_wall_clock_is_found_however_it_is_written(source: str) -> None:
    assert list(wall_clock_reads(ast.parse(source)))


@pytest.mark.parametrize(
    "source",
    [
        "time.monotonic()",
        "clock.now()",
        "loop.time()",
        "datetime.fromisoformat(text)",
        "from datetime import UTC, datetime",
    ],
)
def test_durations_and_given_instants_are_no_reading_of_the_wall_clock(source: str) -> None:
    assert list(wall_clock_reads(ast.parse(source))) == []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("run('SELECT now()')", True),
        ("run('SELECT current_timestamp')", True),
        ("run(f'INSERT INTO {table} VALUES (clock_timestamp())')", True),
        ("'''What now() means.'''", False),
        ("run('SELECT known FROM clocks')", False),
    ],
)
def test_a_reading_of_the_databases_clock_is_found_in_statements_only(
    source: str, found: bool
) -> None:
    assert bool(list(sql_clock_reads(ast.parse(source)))) is found
