"""The directions of imports, and what "pure" means for the rules."""

import ast
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.house.tree import PACKAGE, ROOT, modules

# The parts of the standard library that wait, talk, guess or keep state: no rule needs them.
IMPURE = {
    "asyncio",
    "concurrent",
    "contextvars",
    "ctypes",
    "fileinput",
    "ftplib",
    "getpass",
    "http",
    "io",
    "logging",
    "multiprocessing",
    "os",
    "pathlib",
    "random",
    "secrets",
    "selectors",
    "shutil",
    "signal",
    "smtplib",
    "socket",
    "sqlite3",
    "ssl",
    "subprocess",
    "sys",
    "tempfile",
    "threading",
    "time",
    "urllib",
    "uuid",
    "warnings",
}
PURE = sys.stdlib_module_names - IMPURE
SPEECH = {"breakpoint", "input", "open", "print"}


def imported(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Every imported module with its line; `from milepost import errors` is `milepost.errors`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            names = [alias.name for alias in node.names] if module == "milepost" else [""]
            yield from ((node.lineno, f"{module}.{name}".rstrip(".")) for name in names)


def is_pure(module: str) -> bool:
    """Whether a rule may import the module: pure standard library, other rules, the catalogue."""
    if module.startswith("milepost"):
        return module in {"milepost.errors", "milepost.rules"} or module.startswith(
            "milepost.rules."
        )
    return module.partition(".")[0] in PURE


def impurities(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Everything in a module that a pure rule does not have: line and what it is."""
    yield from ((line, module) for line, module in imported(tree) if not is_pure(module))
    for node in ast.walk(tree):
        if isinstance(node, ast.AsyncFunctionDef | ast.Await | ast.AsyncFor | ast.AsyncWith):
            yield getattr(node, "lineno", 0), "async"
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") in SPEECH:
            yield node.lineno, ast.unparse(node.func)


def test_imports_run_one_way() -> None:
    check = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports())",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert check.returncode == 0, check.stdout + check.stderr


def test_rules_are_pure_and_neither_synchronous_nor_asynchronous() -> None:
    found = [
        f"{name}:{line} {what}"
        for name, tree in modules(PACKAGE / "rules")
        for line, what in impurities(tree)
    ]
    assert found == []


@pytest.mark.parametrize(
    "source",
    [
        "import psycopg",
        "from msgspec import Struct",
        "import os.path",
        "from time import monotonic",
        "from milepost import clock",
        "from milepost.store import customers",
        "async def enrol(): ...",
        "print(1)",
    ],
)
def test_an_impurity_is_found_however_it_is_written(source: str) -> None:
    assert list(impurities(ast.parse(source)))


@pytest.mark.parametrize(
    "source",
    [
        "from zoneinfo import ZoneInfo",
        "from collections.abc import Iterator",
        "from milepost import errors",
        "from milepost.errors import Refusal",
        "from milepost.rules.calendar import Window",
    ],
)
def test_the_standard_library_the_catalogue_and_other_rules_are_pure(source: str) -> None:
    assert list(impurities(ast.parse(source))) == []
