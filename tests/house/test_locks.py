"""The lock: what is installed is what was reviewed, from whatever index a machine uses."""

import re
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.house.tree import ROOT

RUNTIME = "requirements/runtime.txt"
DEVELOPMENT = "requirements/dev.txt"


def read_lock(name: str) -> dict[str, tuple[Requirement, list[str]]]:
    """The pins of a lock by canonical package name, each with its hashes."""
    text = (ROOT / name).read_text().replace("\\\n", " ")
    pins: dict[str, tuple[Requirement, list[str]]] = {}
    for line in text.splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        requirement, *hashes = re.split(r"\s--hash=", line.strip())
        pin = Requirement(requirement)
        pins[canonicalize_name(pin.name)] = (pin, [digest.strip() for digest in hashes])
    return pins


def read_requirements(*extras: str) -> list[Requirement]:
    """What pyproject.toml asks for: the dependencies and those of the extras, and the build's."""
    document = tomllib.loads((ROOT / "pyproject.toml").read_text())
    project = document["project"]
    wanted = [*project["dependencies"], *document["build-system"]["requires"]]
    for extra in extras:
        wanted += project["optional-dependencies"][extra]
    return [Requirement(line) for line in wanted]


@pytest.mark.parametrize(
    ("name", "extras"), [(RUNTIME, ["build"]), (DEVELOPMENT, ["build", "dev"])]
)
def test_every_dependency_of_the_project_is_locked_at_a_version_it_allows(
    name: str, extras: list[str]
) -> None:
    pins = read_lock(name)
    for wanted in read_requirements(*extras):
        assert canonicalize_name(wanted.name) in pins, f"{name} lacks {wanted}: run make lock"
        (pinned,) = pins[canonicalize_name(wanted.name)][0].specifier
        assert wanted.specifier.contains(pinned.version), f"{name} has {pinned} for {wanted}"


@pytest.mark.parametrize("name", [RUNTIME, DEVELOPMENT])
def test_every_pin_is_one_exact_version_with_sha256_hashes(name: str) -> None:
    pins = read_lock(name)
    assert pins
    for pin, hashes in pins.values():
        assert [specifier.operator for specifier in pin.specifier] == ["=="], pin
        assert hashes, f"{pin} has no hash"
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", digest) for digest in hashes), pin


@pytest.mark.parametrize("name", [RUNTIME, DEVELOPMENT])
def test_a_lock_names_no_index_and_no_address(name: str) -> None:
    text = (ROOT / name).read_text()
    assert "://" not in text
    assert not re.search(r"^\s*(-i|-f|--(extra-)?index-url|--find-links)\b", text, re.MULTILINE)


def test_development_runs_on_the_very_versions_that_are_served() -> None:
    development = {name: str(pin) for name, (pin, _) in read_lock(DEVELOPMENT).items()}
    runtime = {name: str(pin) for name, (pin, _) in read_lock(RUNTIME).items()}
    assert runtime.items() <= development.items()
