"""Sizes: past these a module is two rooms and a function is two thoughts."""

import ast

from tests.house.tree import PACKAGE, ROOT, modules

MODULE_LINES_MAX = 500
FUNCTION_LINES_MAX = 70
FOLDERS = (PACKAGE, ROOT / "benchmarks")
CATALOGUE = "errors.py"
"""A table, one entry after the other (house law 9): it grows with what callers can meet, not in thoughts."""


def test_no_module_is_longer_than_500_lines() -> None:
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text().splitlines())
        for folder in FOLDERS
        for path in folder.rglob("*.py")
        if path != PACKAGE / CATALOGUE
    }
    assert lengths
    assert [name for name, lines in lengths.items() if lines > MODULE_LINES_MAX] == []


def test_no_function_is_longer_than_70_lines() -> None:
    too_long = {
        f"{name}:{node.lineno} {node.name}"
        for folder in FOLDERS
        for name, tree in modules(folder)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or node.lineno) - node.lineno + 1 > FUNCTION_LINES_MAX
    }
    assert too_long == set()
