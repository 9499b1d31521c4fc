"""`make bench`, or `python -m benchmarks --help`."""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import (
    activities,
    enrolments,
    growth,
    machine,
    promotions,
    reads,
    settlement,
    start,
    tables,
)
from benchmarks.place import running_postgres
from benchmarks.report import write_report
from benchmarks.results import FILE, Machine, Run, append
from benchmarks.rounds import Part
from benchmarks.sizes import FULL, QUICK, Sizes

PARTS: dict[str, Callable[[Sizes], Part]] = {
    "enrolments": enrolments.measure,
    "activities": activities.measure,
    "promotions": promotions.measure,
    "settlement": settlement.measure,
    "reads": reads.measure,
    "growth": growth.measure,
    "start": start.measure,
}


def main() -> None:
    """Measure what is asked for, print it, and keep it; or write the page of what was kept."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "what", nargs="*", default=list(PARTS),
        help=f"{', '.join(PARTS)} (default: all), or report: docs/performance.md from the results",
    )  # fmt: skip
    parser.add_argument("--quick", action="store_true", help="tiny, to see that everything works")
    parser.add_argument("--results", type=Path, default=FILE, help="a file of JSON lines")
    for each in fields(Sizes):
        parser.add_argument(
            f"--{each.name.replace('_', '-')}",
            type=int,
            nargs="+" if isinstance(each.default, tuple) else None,
            help=f"default {each.default}",
        )
    given = parser.parse_args()
    if given.what == ["report"]:
        write_report(given.results, quick=given.quick)
        return
    if unknown := [each for each in given.what if each not in PARTS]:
        parser.error(f"there is no benchmark {', '.join(unknown)}")
    chosen: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in vars(given).items()
        if name in {each.name for each in fields(Sizes)} and value is not None
    }
    sizes = replace(QUICK if given.quick else FULL, **chosen)
    with running_postgres() as postgres:
        here = machine.describe(postgres.url)
    # A part that fails need not take the minutes of the others with it.
    failed = [each for each in given.what if not _measure(each, sizes, here, given)]
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


def _measure(name: str, sizes: Sizes, here: Machine, given: argparse.Namespace) -> bool:
    """Measure a part, print it and keep it; False if that failed, which is told."""
    sys.stdout.write(f"Measuring {name} …\n")
    sys.stdout.flush()
    began, commit = time.monotonic(), machine.commit()
    try:
        part = PARTS[name](sizes)
    except Exception:  # noqa: BLE001 - whatever it is, it is told
        traceback.print_exc()
        return False
    run = Run(
        part=name,
        at=datetime.now(UTC).date().isoformat(),
        commit=commit,
        machine=here,
        rounds=sizes.rounds,
        is_quick=given.quick,
        minutes=(time.monotonic() - began) / 60,
        sections=part.sections,
        memory=part.memory,
        facts=part.facts,
        changed=_changed(sizes, QUICK if given.quick else FULL),
    )
    append(run, given.results)
    sys.stdout.write(tables.plain(run) + "\n")
    sys.stdout.flush()
    return True


def _changed(sizes: Sizes, usual: Sizes) -> str:
    """The options that make of the usual sizes these."""
    told = []
    for each in fields(Sizes):
        value = getattr(sizes, each.name)
        if value != getattr(usual, each.name):
            values = value if isinstance(value, tuple) else (value,)
            told.append(" ".join([f"--{each.name.replace('_', '-')}", *map(str, values)]))
    return " ".join(told)


if __name__ == "__main__":
    main()
