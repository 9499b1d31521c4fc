"""Which charts are drawn of which results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks.charts import Chart, Point, Series, bars, column, lines
from benchmarks.results import LIMIT, OURS, RIVAL, Line, Run, Section, Way
from benchmarks.tables import number

_OURS = (0, 1, 2)
_LATENCIES = (2, 1, 0, 5, 3)
_LIMIT = 3
_RIVALS = (4, 5)


def drawings(runs: Mapping[str, Run]) -> dict[str, str]:
    """SVG by file name, for the parts that there is a run of."""
    found: dict[str, str] = {}
    for name, run in runs.items():
        file = f"performance-{name}"
        if name in ("enrolments", "promotions", "reads"):
            found[f"{file}.svg"] = bars(_rates(run.sections[0]))
        if name == "enrolments":
            found[f"{file}-latency.svg"] = lines(_latencies(run.sections[0]))
        if name == "activities":
            found[f"{file}.svg"] = lines(_rates(run.sections[0], logarithmic=True))
        if name == "growth":
            found[f"{file}.svg"] = lines(_growth(run.sections))
    if any(run.memory for run in runs.values()):
        found["performance-start-memory.svg"] = column(_memory(runs))
    return found


def _rates(section: Section, *, logarithmic: bool = False) -> Chart:
    """Each way's rate at each load."""
    series = [
        Series(name, colour, [_rate(_way(line, name)) for line in section.lines])
        for name, colour in _colours(section.lines[0].ways)
    ]
    return Chart(
        section.title,
        section.load,
        f"{section.things} per second",
        [f"{line.load:,}" for line in section.lines],
        series,
        logarithmic,
    )


def _latencies(section: Section) -> Chart:
    """The percentiles of Milepost with one worker, and of the rival at the most connections."""
    series = []
    ours, rivals = iter(_LATENCIES), iter(_RIVALS)
    for line in section.lines:
        for way in line.ways:
            alone = way.kind == OURS and way.processes == 1
            if way.latency is None or not (
                alone or (way.kind == RIVAL and line is section.lines[-1])
            ):
                continue
            found = way.latency
            values = (found.p50_ms, found.p95_ms, found.p99_ms, found.p999_ms, found.max_ms)
            name = f"{way.name}, {line.load:,} connection{'s' * (line.load > 1)}"
            colour = next(ours if alone else rivals)
            series.append(Series(name, colour, [Point(each, number(each)) for each in values]))
    return Chart(
        f"{section.title}: latency",
        "percentile",
        "milliseconds",
        ["p50", "p95", "p99", "p99.9", "max"],
        series,
        logarithmic=True,
    )


def _growth(sections: Sequence[Section]) -> Chart:
    """Both of Milepost's rates and the limit's, by how much is there already."""
    series = []
    colours = {OURS: iter((0, 2)), LIMIT: iter((_LIMIT,)), RIVAL: iter(_RIVALS)}
    for section in sections:
        for way in section.lines[0].ways:
            name = f"{way.name}: {section.things}"
            points = [_rate(_way(line, way.name)) for line in section.lines]
            series.append(Series(name, next(colours[way.kind]), points))
    return Chart(
        "Growth",
        sections[0].load,
        "per second",
        [f"{line.load:,}" for line in sections[0].lines],
        series,
    )


def _memory(runs: Mapping[str, Run]) -> Chart:
    """What is taken when nothing is asked for, and the most that a process took in each part."""
    order = sorted(runs, key=lambda name: name != "start")
    found = [(each.what, each.mib) for name in order for each in runs[name].memory]
    series = [
        Series(name, colour, [Point(mib, f"{mib:,.0f}") if what.startswith("ORM") is theirs else None
                              for what, mib in found])
        for name, colour, theirs in (("Milepost", 0, False), ("ORM", 4, True))
    ]  # fmt: skip
    return Chart(
        "Memory in MiB: idle, after load, and the most of a process in each part",
        "",
        "MiB",
        [what for what, _ in found],
        series,
    )


def _way(line: Line, name: str) -> Way | None:
    return next((way for way in line.ways if way.name == name), None)


def _rate(way: Way | None) -> Point | None:
    if way is None:
        return None
    rate = way.per_second
    return Point(rate.median, number(rate.median), rate.low, rate.high)


def _colours(ways: Sequence[Way]) -> list[tuple[str, int]]:
    """Ours in one family, limits grey, rivals in another."""
    left = {OURS: iter(_OURS), LIMIT: iter((_LIMIT,)), RIVAL: iter(_RIVALS)}
    return [(way.name, next(left[way.kind])) for way in ways]
