"""The repository: what a newcomer reads is there, and nothing is left lying about."""

import os
import re
from pathlib import Path

import pytest

from tests.house.tree import ROOT, ignored, repository_texts

# Written in two halves, so that this file does not contain what it forbids.
REGISTRIES = [
    "pypi" + ".org",
    "pythonhosted" + ".org",
    "registry." + "npmjs",
    "deb." + "debian.org",
]
UNFINISHED = re.compile(r"\b(" + "TO" + "DO|FIX" + "ME|X" + r"XX)\b")
# Assets of other projects that are served as they are.
FOREIGN = {".js", ".css", ".map"}


def test_no_file_names_a_package_registry() -> None:
    found = {
        name: registry
        for name, text in repository_texts().items()
        for registry in REGISTRIES
        if registry in text
    }
    assert found == {}


def test_nothing_is_left_unfinished() -> None:
    found = {
        f"{name}: {match.group()}"
        for name, text in repository_texts().items()
        if Path(name).suffix not in FOREIGN and (match := UNFINISHED.search(text))
    }
    assert found == set()


def test_the_readme_shows_the_two_commands() -> None:
    readme = repository_texts()["README.md"]
    assert "make run" in readme
    assert "make test" in readme


def test_the_glossary_exists() -> None:
    assert "docs/glossary.md" in repository_texts()


def test_every_decision_record_gives_its_context_decision_and_consequences() -> None:
    records = {
        name: text
        for name, text in repository_texts().items()
        if re.fullmatch(r"docs/adr/\d{4}-.*\.md", name)
    }
    assert records
    for name, text in records.items():
        headings = re.findall(r"^## (\w+)", text, re.MULTILINE)
        assert {"Context", "Decision", "Consequences"} <= set(headings), name


@pytest.mark.parametrize(
    "generated",
    [
        ".venv/bin/python",
        ".milepost/pg/PG_VERSION",
        ".milepost/admin-token",
        "src/milepost/__pycache__/clock.cpython-311.pyc",
        ".hypothesis/examples/1",
        ".mypy_cache/1",
        ".pytest_cache/1",
        ".ruff_cache/1",
        ".import_linter_cache/1",
        "dist/milepost.whl",
        "openapi.json.new",
    ],
)
def test_what_is_generated_is_ignored(generated: str) -> None:
    assert ignored().match_file(generated)


@pytest.mark.parametrize(
    "written", ["src/milepost/clock.py", "openapi.json", "requirements/lock", ".ci/run"]
)
def test_what_is_written_is_not_ignored(written: str) -> None:
    assert not ignored().match_file(written)


@pytest.mark.parametrize("script", [".ci/run", "requirements/lock"])
def test_a_script_can_be_run_as_it_is(script: str) -> None:
    assert os.access(ROOT / script, os.X_OK)
