"""The benchmarks' own reckoning: percentiles, ratios, tables and charts, from a file of results."""

from __future__ import annotations

import asyncio
import io
import math
import re
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.charts import Chart, Point, Series, bars, lines
from benchmarks.load import Load, run
from benchmarks.place import Crowd
from benchmarks.report import BEGIN, END, PAGE, write_report
from benchmarks.results import (
    LIMIT,
    OURS,
    RIVAL,
    Latency,
    Line,
    Machine,
    Memory,
    Run,
    Section,
    Way,
    append,
    latency,
    median_latency,
    newest,
    percentile,
    ratio,
    spread,
)
from benchmarks.rounds import Measured, way
from benchmarks.sizes import FULL, QUICK
from benchmarks.stream import count_statuses
from benchmarks.tables import plain

MACHINE = Machine("Bench 9000", 2, 24_576, "Linux 6", "18.4", "3.11.7")
LATENCY = Latency(1.5, 2.5, 12.0, 123.4, 2_345.6)
SVG = "{http://www.w3.org/2000/svg}"


def ways(factor: float = 1.0) -> list[Way]:
    """Milepost with one and two processes, a limit and a rival."""
    return [
        Way("Milepost, 1 worker", OURS, 1, spread([4_000 * factor]), LATENCY, 140, 57),
        Way("Milepost, 2 workers", OURS, 2, spread([6_000 * factor]), LATENCY, 150, 60),
        Way("pgbench", LIMIT, 0, spread([12_000 * factor])),
        Way("ORM & <friends>", RIVAL, 1, spread([200.0]), LATENCY, 4_000, 900),
    ]


def run_of(part: str, loads: Sequence[int] = (1, 128)) -> Run:
    """A run with a table, one line a load."""
    section = Section(
        part.title(), part, "connections", [Line(load, ways(1 + load / 100)) for load in loads]
    )
    return Run(
        part, "2026-01-31", "abc1234", MACHINE, 3, False, 4.2, [section], [Memory("service", 91.3)]
    )


@pytest.fixture
def page(tmp_path: Path) -> Path:
    """A page with the marks, and prose around them."""
    found = tmp_path / "docs" / "performance.md"
    (found.parent / "images").mkdir(parents=True)
    found.write_text(f"before\n{BEGIN}old\n{END}after\n")
    return found


@given(
    st.lists(st.floats(0, 1e6), min_size=1, max_size=200).map(sorted),
    st.sampled_from((0.5, 0.95, 0.99, 0.999, 1.0)),
)
def test_a_percentile_is_the_smallest_value_that_its_share_does_not_exceed(
    ordered: list[float], share: float
) -> None:
    found = percentile(ordered, share)
    enough = math.ceil(share * len(ordered))
    assert sum(value <= found for value in ordered) >= enough
    assert sum(value < found for value in ordered) < enough


def test_percentiles_of_a_thousand_latencies() -> None:
    found = latency([float(each) for each in range(1, 1_001)])
    assert found == Latency(500, 950, 990, 999, 1_000)
    assert latency([7.0]) == Latency(7, 7, 7, 7, 7)


def test_rounds_are_told_by_their_median_and_the_longest_wait_by_the_longest() -> None:
    rounds = [
        Measured(rate, Latency(ms, ms, ms, ms, ms), service_us=ms, postgres_us=0)
        for rate, ms in ((10.0, 3.0), (30.0, 1.0), (20.0, 8.0))
    ]
    found = way("Milepost", OURS, 1, [*rounds, replace(rounds[0], per_second=20.0, busy=2)])
    assert (found.per_second.median, found.per_second.low, found.per_second.high) == (20, 10, 30)
    assert found.latency == Latency(3, 3, 3, 3, 8)
    assert found.service_us == 3
    assert found.busy == 2
    assert median_latency([LATENCY]) == LATENCY


def test_a_limit_is_compared_to_the_best_and_a_rival_to_as_many_processes() -> None:
    one, two, limit, rival = ways()
    line = Line(1, [one, two, limit, rival])
    assert ratio(line, limit) == 0.5
    assert ratio(line, rival) == 20
    assert ratio(line, one) is None
    assert ratio(line, two) is None


@pytest.mark.parametrize("size", [1, 2, 3, 10, 12, 1_000])
def test_every_customer_of_a_crowd_comes_once(size: int) -> None:
    crowd = Crowd(50, size)
    half = size // 2
    came = crowd.ids(0, half) + crowd.ids(half, size - half)
    assert sorted(came) == list(range(50, 50 + size))
    with pytest.raises(ValueError, match="are asked for"):
        crowd.ids(0, size + 1)


async def test_a_connection_that_is_done_may_be_closed_before_the_others_are() -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
    gone = asyncio.Event()

    async def answered(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if b"/slow/1 " in head:
            await gone.wait()
        is_busy = b"/slow/3 " in head
        writer.write(answer.replace(b"200 OK", b"503 Busy") if is_busy else answer)
        await writer.drain()
        writer.close()
        if b"/slow/2 " in head:
            asyncio.get_running_loop().call_later(0.1, gone.set)

    async with await asyncio.start_server(answered, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        load = Load(
            url=f"http://{host}:{port}", method="GET", path="/slow/{id}", authorization="", connections=3,
            ids=[1, 2, 3],
        )  # fmt: skip
        result = await asyncio.to_thread(run, load)
    assert (result.requests, result.busy, result.refused) == (3, 1, 0)
    assert result.latency.max_ms >= 100


def test_statuses_are_counted_wherever_the_chunks_end() -> None:
    lines = b'{"id":"a","status":"ACCEPTED"}\n{"id":"b","status":"DUPLICATE"}\n' * 3
    for size in range(1, len(lines)):
        pieces = [lines[start : start + size] for start in range(0, len(lines), size)]
        body = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
        assert count_statuses(io.BytesIO(body)) == {"ACCEPTED": 3, "DUPLICATE": 3}


def test_a_report_has_the_last_run_of_each_part_and_leaves_the_prose(
    page: Path, tmp_path: Path
) -> None:
    results = tmp_path / "results" / "runs.jsonl"
    parts = ("enrolments", "activities", "promotions", "reads", "growth")
    append(replace_commit(run_of("enrolments"), "0000000"), results)
    for part in parts:
        append(run_of(part), results)
    append(
        Run("start", "2026-01-30", "abc1234", MACHINE, 1, False, 1, [], [], {"restart": "0.4 s"}),
        results,
    )
    images = page.parent / "images"

    write_report(results, page, images)

    text = page.read_text()
    assert text.startswith(f"before\n{BEGIN}")
    assert text.endswith(f"{END}after\n")
    assert "old" not in text
    assert "Bench 9000, 2 cores" in text
    assert "| 128 | pgbench | 27,360 | 27,360–27,360 | 0.50× |" in text
    assert "| 0.4 s |" in text
    assert "0000000" not in text
    assert "with 128 existing enrolments to 1: 2.3×" in text
    shown = re.findall(r"!\[[^]]*\]\(images/([^)]*)\)", text)
    assert sorted(shown) == sorted(path.name for path in images.iterdir())
    assert len(shown) == 7
    for path in images.iterdir():
        check_drawing(path.read_text())

    write_report(results, page, images)
    assert page.read_text() == text


def test_a_quick_run_is_reported_only_if_asked_for(page: Path, tmp_path: Path) -> None:
    results = tmp_path / "runs.jsonl"
    append(run_of("reads"), results)
    sections = run_of("reads").sections
    quick = Run(
        "reads", "2026-02-01", "abc1234", MACHINE, 1, True, 1, sections, [], {}, "--rounds 1"
    )
    append(quick, results)
    assert newest(results)["reads"].rounds == 3
    assert newest(results, quick=True)["reads"] == quick

    write_report(results, page, page.parent / "images", quick=True)
    assert "tiny, to see that it works, with `--rounds 1`" in page.read_text()
    write_report(results, page, page.parent / "images")
    assert "tiny" not in page.read_text()

    only_quick = tmp_path / "quick.jsonl"
    append(quick, only_quick)
    with pytest.raises(ValueError, match="no run to report"):
        write_report(only_quick, page, page.parent / "images")


def test_a_page_without_marks_is_left_alone(tmp_path: Path) -> None:
    results, page = tmp_path / "runs.jsonl", tmp_path / "page.md"
    append(run_of("reads"), results)
    page.write_text("prose\n")
    with pytest.raises(ValueError, match="lacks the marks"):
        write_report(results, page, tmp_path)
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".svg"] == []


def test_the_page_of_the_documentation_has_the_marks() -> None:
    text = PAGE.read_text("utf-8")
    assert text.index(BEGIN) < text.index(END)


def test_the_terminal_shows_the_same_cells_aligned() -> None:
    text = plain(run_of("enrolments"))
    (head,) = (line for line in text.splitlines() if line.startswith("connections"))
    (row,) = (line for line in text.splitlines() if line.startswith("128 ") and "ORM" in line)
    assert "46×" in row
    assert head.index("p50 ms") + len("p50 ms") == row.index("1.5") + len("1.5")


def test_bars_stand_in_proportion_and_lines_rise_by_the_power() -> None:
    points = [Point(10, "10"), Point(100, "100"), Point(1_000, "1,000")]
    chart = Chart("T", "across", "up", ["a", "b", "c"], [Series("s", 0, points)])
    drawn = drawing(bars(chart))
    heights = [
        float(each.get("height", 0))
        for each in drawn.iter(f"{SVG}rect")
        if each.get("class") == "c0"
    ]
    assert heights[-1] / heights[-2] == pytest.approx(10, rel=0.01)

    drawn = drawing(lines(replace(chart, logarithmic=True)))
    low, middle, high = (float(each.get("cy", 0)) for each in drawn.iter(f"{SVG}circle"))
    assert low - middle == pytest.approx(middle - high)


def test_quick_sizes_are_smaller_than_those_of_a_full_run() -> None:
    assert QUICK.rounds < FULL.rounds
    assert max(QUICK.grown) < max(FULL.grown)
    # Half of what is sent to each size goes to customers who are in three milestones there.
    for sizes in (QUICK, FULL):
        asked = (sizes.rounds + 1) * sizes.growth_requests // 2
        assert asked <= min(sizes.grown) // 3


def check_drawing(svg: str) -> None:
    """Well-formed, with a title, a scheme for dark pages, and nothing outside."""
    drawn = drawing(svg)
    _, _, width, height = map(float, drawn.get("viewBox", "").split())
    assert drawn.find(f"{SVG}title") is not None
    assert "prefers-color-scheme: dark" in svg
    for each in drawn.iter():
        assert 0 <= float(each.get("x", 0)) <= width
        assert 0 <= float(each.get("y", 0)) <= height
        if each.tag == f"{SVG}rect":
            assert float(each.get("x", 0)) + float(each.get("width", 0)) <= width
            assert float(each.get("y", 0)) + float(each.get("height", 0)) <= height


def drawing(svg: str) -> ET.Element:
    return ET.fromstring(svg)  # noqa: S314 - of our own making


def replace_commit(run: Run, commit: str) -> Run:
    """The same run, measured at another commit."""
    return Run(
        run.part, run.at, commit, run.machine, run.rounds, run.is_quick, run.minutes, run.sections
    )
