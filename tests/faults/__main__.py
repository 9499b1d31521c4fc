"""`make faults`, or `python -m tests.faults --help`: many random kills, a line for each."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

from tests.faults.environment import prepare
from tests.faults.kills import kill_again_and_again

parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
parser.add_argument("--kills", type=int, default=20, help="in each run, at least 6")
parser.add_argument("--seeds", type=int, nargs="+", default=range(1, 11), help="a run each")
given = parser.parse_args()
began = time.monotonic()


def say(line: str) -> None:
    """A line, with the seconds since the beginning."""
    sys.stdout.write(f"{time.monotonic() - began:7.1f} {line}\n")
    sys.stdout.flush()


prepare(os.environ.__setitem__)
for seed in given.seeds:
    with tempfile.TemporaryDirectory() as folder:
        kill_again_and_again(Path(folder), given.kills, seed, say)
