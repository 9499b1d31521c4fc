"""The page of results: tables between two marks of docs/performance.md, and the charts beside it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from benchmarks.drawings import drawings
from benchmarks.results import FILE, Machine, Run, newest
from benchmarks.tables import Table, markdown, shown_ratio, tables

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "performance.md"
IMAGES = ROOT / "docs" / "images"
BEGIN = "<!-- benchmarks: begin. Written by `python -m benchmarks report`; edits are lost. -->\n"
END = "<!-- benchmarks: end -->\n"

ORDER = ("enrolments", "activities", "promotions", "settlement", "reads", "growth", "start")
TITLES = {
    "enrolments": "Enrolments",
    "activities": "Activities",
    "promotions": "Calls for a hundred customers",
    "settlement": "Settlement",
    "reads": "Reads",
    "growth": "Growth",
    "start": "Start and memory",
}


def write_report(
    results: Path = FILE, page: Path = PAGE, images: Path = IMAGES, *, quick: bool = False
) -> None:
    """Write the part of the page that is generated, and the charts.

    From the last run of each part; quick ones count only if asked for. Raises ValueError if there is none, or
    the page lacks its marks.
    """
    runs = newest(results, quick=quick)
    if not runs:
        raise ValueError(f"{results} has no run to report")
    text = page.read_text("utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{page} lacks the marks that the results go between")
    drawn = drawings(runs)
    for name, svg in drawn.items():
        (images / name).write_text(svg, "utf-8")
    shown = {name: Path(os.path.relpath(images / name, page.parent)) for name in drawn}
    page.write_text(before + begin + render(runs, shown) + end + after, "utf-8")


def render(runs: Mapping[str, Run], images: Mapping[str, Path]) -> str:
    """The generated part: the machine, then a section for each part that there is a run of."""
    last = max(runs.values(), key=lambda run: run.at)
    parts = ["\n", "### The machine\n\n", markdown(_of_machine(last.machine)), "\n"]
    for name in ORDER:
        if name not in runs:
            continue
        run = runs[name]
        parts.append(f"### {TITLES[name]}\n\n")
        parts += [
            f"![{TITLES[name]}: the chart of the tables below]({path.as_posix()})\n\n"
            for image, path in images.items()
            if image.startswith(f"performance-{name}")
        ]
        for table in tables(run):
            parts += [f"**{table.title}**\n\n", markdown(table), "\n"]
        parts += [f"{line}\n\n" for line in (*_grown(run), _of_run(run, last.machine))]
    return "".join(parts)


def _of_machine(machine: Machine) -> Table:
    rows = [
        ("processor", f"{machine.processor}, {machine.cores} cores"),
        ("memory", f"{machine.memory_mib / 1024:,.1f} GiB"),
        ("system", machine.system),
        ("PostgreSQL", f"{machine.postgres}, embedded, fsync on"),
        ("Python", machine.python),
    ]
    return Table("The machine", ("", ""), rows, words=2)


def _of_run(run: Run, machine: Machine) -> str:
    text = (
        f"Measured on {run.at} at commit {run.commit}, "
        f"{run.rounds} round{'s' * (run.rounds > 1)}, {run.minutes:.0f} minutes"
    )
    if run.is_quick:
        text += ", tiny, to see that it works"
    if run.changed:
        text += f", with `{run.changed}`"
    if run.machine != machine:
        other = run.machine
        text += (
            f", on another machine: {other.processor}, {other.cores} cores, "
            f"{other.memory_mib / 1024:,.1f} GiB, PostgreSQL {other.postgres}, Python {other.python}"
        )
    return f"*{text}.*"


def _grown(run: Run) -> list[str]:
    """Of growth: what is left at the largest size of the rate at the smallest."""
    if run.part != "growth":
        return []
    told = []
    for section in run.sections:
        least, most = section.lines[0], section.lines[-1]
        for small, large in zip(least.ways, most.ways, strict=True):
            left = shown_ratio(large.per_second.median / small.per_second.median)
            told.append(
                f"{small.name}, {section.things} with {most.load:,} existing enrolments to "
                f"{least.load:,}: {left}"
            )
    return ["; ".join(told) + "."]
