"""`make bench`, or `python -m benchmarks --help`."""

from __future__ import annotations

import argparse

from benchmarks import activities, enrolments, promotions, settlement

parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
parser.add_argument(
    "what", nargs="*", default=["enrolments", "activities", "settlement", "promotions"],
    help="enrolments, activities, settlement, promotions (default: all)",
)  # fmt: skip
parser.add_argument("--connections", type=int, nargs="+", default=[1, 32, 128])
parser.add_argument("--workers", type=int, default=1)
parser.add_argument("--requests", type=int, default=30_000, help="enrolments per round")
parser.add_argument("--rounds", type=int, default=3)
parser.add_argument("--activities", type=int, default=1_000_000, help="in one NDJSON call")
parser.add_argument("--targets", type=int, default=3, help="that each activity moves")
parser.add_argument("--enrolments", type=int, default=1_000_000, help="to settle at one instant")
parser.add_argument("--calls", type=int, default=1_000, help="of 100 customers each, per round")
given = parser.parse_args()
for what in given.what:
    if what == "enrolments":
        enrolments.main(given.connections, given.workers, given.requests, given.rounds)
    elif what == "activities":
        activities.main(given.workers, given.activities, given.targets)
    elif what == "settlement":
        settlement.main(given.enrolments)
    elif what == "promotions":
        promotions.main(given.connections, given.workers, given.calls, given.rounds)
    else:
        parser.error(f"there is no benchmark {what}")
