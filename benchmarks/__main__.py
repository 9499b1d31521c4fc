"""`make bench`, or `python -m benchmarks --help`."""

from __future__ import annotations

import argparse

from benchmarks import enrolments

parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
parser.add_argument("--connections", type=int, nargs="+", default=[1, 32, 128])
parser.add_argument("--workers", type=int, default=1)
parser.add_argument("--requests", type=int, default=30_000, help="per round")
parser.add_argument("--rounds", type=int, default=3)
given = parser.parse_args()
enrolments.main(given.connections, given.workers, given.requests, given.rounds)
