"""Results as tables: plain for a terminal, Markdown for the page. Both show the same cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.results import Latency, Line, Run, Section, Way, ratio


@dataclass(frozen=True)
class Table:
    """A head and rows of as many cells; the first `words` columns are words, the others numbers."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    words: int = 1


def plain(run: Run) -> str:
    """All tables of a run, aligned, under a line about it."""
    texts = [f"{run.part}: {run.rounds} round(s), {run.minutes:.1f} min, commit {run.commit}"]
    for table in tables(run):
        widths = [
            max(len(row[column]) for row in (table.head, *table.rows))
            for column in range(len(table.head))
        ]
        lines = [
            "  ".join(
                cell.ljust(width) if column < table.words else cell.rjust(width)
                for column, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in (table.head, *table.rows)
        ]
        texts.append("\n".join([table.title, *lines]))
    return "\n\n".join(texts) + "\n"


def markdown(table: Table) -> str:
    """The table without its title."""
    rule = ["---" if column < table.words else "---:" for column in range(len(table.head))]
    return "\n".join(f"| {' | '.join(row)} |" for row in (table.head, rule, *table.rows)) + "\n"


def tables(run: Run) -> list[Table]:
    """What a run has measured."""
    found = [_of_section(section) for section in run.sections]
    if run.memory:
        rows = [(each.what, f"{each.mib:,.0f} MiB") for each in run.memory]
        found.append(Table("Memory", ("of", "memory"), rows))
    if run.facts:
        found.append(Table("Besides", ("what", "measured"), list(run.facts.items())))
    return found


def _of_section(section: Section) -> Table:
    """A row for each way at each load; columns that nobody has a value for are left out."""
    heads = (
        section.load, "way", f"{section.things}/s", "lowest–highest", "Milepost ÷ it", "p50 ms", "p95", "p99",
        "p99.9", "max", "service, µs CPU", "PostgreSQL, µs CPU", "503",
    )  # fmt: skip
    rows = [_row(line, way) for line in section.lines for way in line.ways]
    used = [column for column in range(len(heads)) if any(row[column] for row in rows)]
    return Table(
        section.title,
        [heads[column] for column in used],
        [[row[column] for column in used] for row in rows],
        words=2,
    )


def _row(line: Line, way: Way) -> list[str]:
    rate = way.per_second
    compared = ratio(line, way)
    return [
        f"{line.load:,}",
        way.name,
        number(rate.median),
        f"{number(rate.low)}–{number(rate.high)}",
        "" if compared is None else shown_ratio(compared),
        *_latencies(way.latency),
        *("" if used is None else number(used) for used in (way.service_us, way.postgres_us)),
        f"{way.busy:,}" if way.busy else "",
    ]


def _latencies(found: Latency | None) -> list[str]:
    if found is None:
        return [""] * 5
    return [
        number(each)
        for each in (found.p50_ms, found.p95_ms, found.p99_ms, found.p999_ms, found.max_ms)
    ]


def number(value: float) -> str:
    """With as many digits as mean something: 12,345 and 12.3 and 1.2."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def shown_ratio(value: float) -> str:
    """Two digits that mean something."""
    if value >= 10:
        return f"{value:.0f}×"
    if value >= 1:
        return f"{value:.1f}×"
    return f"{value:.2f}×" if value >= 0.1 else f"{value:.3f}×"
