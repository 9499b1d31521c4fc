"""Whether a name is free: `isValidName` (domain: milestones §3.5, CHK)."""

from __future__ import annotations

import pytest

from tests.api.payloads import code, data, period, streak, target
from tests.harness import Org

NAMES = [
    ("targetGroupName", "weekend RUN", False),
    ("streakName", "Weekend Run", False),
    ("TARGETNAME", "weekend steps", False),
    ("streakLevelName", "bronze", False),
    ("periodName", "SAT", False),
    ("targetGroupName", "Weekend Steps", True),
    ("targetName", "Weekend Run", True),
    ("streakLevelName", "Silver", True),
    ("periodName", "Sun", True),
    ("targetGroupName", " padded", False),
    ("targetGroupName", "", False),
]


@pytest.mark.parametrize(("kind", "value", "free"), NAMES)
def test_a_name_is_valid_when_nothing_of_its_kind_has_it_in_any_case(
    org: Org, kind: str, value: str, free: bool
) -> None:
    org.define(
        **streak(
            name="Weekend Run",
            active=False,
            periods=[period("Sat", "2026-06-06", "2026-06-06")],
            targets=[target("Weekend Steps")],
            streaks=[{"name": "Bronze", "targetCountOfSequence": 1}],
        )
    )
    assert data(org.post("/v3/targetGroups/isValidName", {"type": kind, "value": value})) is free


def test_a_name_of_an_unknown_kind_is_310145(org: Org) -> None:
    for body in ({"type": "shoeSize", "value": "x"}, {"value": "x"}, {"type": None, "value": "x"}):
        assert code(org.post("/v3/targetGroups/isValidName", body)) == 310145
