"""The error catalogue: a number means one thing and is written once."""

import ast
from collections import Counter

from milepost import errors
from milepost.errors import CATALOGUE
from tests.house.tree import modules

# Shorter numbers are statuses, sizes and years as well.
UNMISTAKABLE_NUMBER_MIN = 100_000


def test_every_number_of_the_catalogue_is_used_once() -> None:
    uses = Counter(entry.code for entry in CATALOGUE)
    assert [code for code, count in uses.items() if count > 1] == []


def test_every_entry_of_the_module_is_in_the_catalogue() -> None:
    entries = [value for value in vars(errors).values() if isinstance(value, errors.Error)]
    assert entries
    assert entries == list(CATALOGUE)


def test_every_entry_says_what_happened_and_when_and_has_a_failure_status() -> None:
    for entry in CATALOGUE:
        assert entry.message.strip(), entry
        assert entry.when.strip(), entry
        assert 400 <= entry.status <= 599, entry


def test_an_error_number_is_written_in_the_catalogue_and_nowhere_else() -> None:
    numbers = {entry.code for entry in CATALOGUE if entry.code >= UNMISTAKABLE_NUMBER_MIN}
    written = [
        f"{name}:{node.lineno} {node.value}"
        for name, tree in modules()
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and type(node.value) is int
        and node.value in numbers
        and name != "src/milepost/errors.py"
    ]
    assert written == []
