"""Killed at random moments under load: everything that was acknowledged is there, once.

The long form is a command: `make faults`.
"""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from tests.faults.environment import prepare
from tests.faults.kills import kill_again_and_again
from tests.faults.victims import VICTIMS

SEED = 1

log = logging.getLogger(__name__)


def test_each_victim_is_killed_under_load_and_nothing_acknowledged_is_lost_or_doubled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(monkeypatch.setenv)
    kill_again_and_again(tmp_path, len(VICTIMS), SEED, log.warning)
