"""What holds after every scenario, whatever it told."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.harness import assert_rebuilt


@pytest.fixture(scope="module", autouse=True)
def nothing_differs(database_url: str) -> Iterator[None]:
    """After a module's stories, what is stored is what the journal comes to (house law 5)."""
    yield
    assert_rebuilt(database_url)
