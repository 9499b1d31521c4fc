"""Charts as SVG that read well on light and on dark pages: bars in groups, bars in a column, and lines.

A chart is words and numbers; where everything goes is decided here. Colours are classes with a value for
either scheme, values are written at what they belong to, and axes carry their units.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape, quoteattr

WIDTH = 960
_LEFT, _RIGHT, _TOP = 100, 24, 92
_PLOT_HEIGHT = 300
_BOTTOM = 62
_LEGEND_LINE = 22
_LABEL_LINE = 14
_CHARACTER = 7.1
"""Width of one, near enough, to set words beside one another."""

STYLE = """
    .card { fill: #ffffff; stroke: #d0d7de; }
    .grid { stroke: #e4e8ec; }
    .axis { stroke: #8c959f; }
    .ink { fill: #1f2328; }
    .muted { fill: #59636e; }
    .strong { font-weight: 600; }
    .halo { paint-order: stroke; stroke: #ffffff; stroke-width: 4px; stroke-linejoin: round; }
    .c0 { fill: #0969da; } .l0 { stroke: #0969da; }
    .c1 { fill: #54aeff; } .l1 { stroke: #54aeff; }
    .c2 { fill: #1a7f37; } .l2 { stroke: #1a7f37; }
    .c3 { fill: #8c959f; } .l3 { stroke: #8c959f; }
    .c4 { fill: #bc4c00; } .l4 { stroke: #bc4c00; }
    .c5 { fill: #eac54f; } .l5 { stroke: #bf8700; }
    .l0, .l1, .l2, .l3, .l4, .l5 { fill: none; stroke-width: 2.5; stroke-linejoin: round; }
    .whisker { stroke: #59636e; fill: none; }
    @media (prefers-color-scheme: dark) {
      .card { fill: #0d1117; stroke: #30363d; }
      .grid { stroke: #21262d; }
      .axis { stroke: #6e7681; }
      .ink { fill: #e6edf3; }
      .muted { fill: #9198a1; }
      .halo { stroke: #0d1117; }
      .c0 { fill: #4493f8; } .l0 { stroke: #4493f8; }
      .c1 { fill: #79c0ff; } .l1 { stroke: #79c0ff; }
      .c2 { fill: #3fb950; } .l2 { stroke: #3fb950; }
      .c3 { fill: #6e7681; } .l3 { stroke: #8b949e; }
      .c4 { fill: #f0883e; } .l4 { stroke: #f0883e; }
      .c5 { fill: #d29922; } .l5 { stroke: #d29922; }
      .whisker { stroke: #9198a1; }
    }
"""


@dataclass(frozen=True)
class Point:
    """A value; with `low` and `high` a whisker is drawn."""

    value: float
    label: str
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Series:
    """A row of values, one for each category, None where there is none; `colour` is 0 … 5."""

    name: str
    colour: int
    points: Sequence[Point | None]


@dataclass(frozen=True)
class Chart:
    """What is drawn: `categories` along the horizontal axis, which `across` names; `up` is the unit."""

    title: str
    across: str
    up: str
    categories: Sequence[str]
    series: Sequence[Series]
    logarithmic: bool = False


def bars(chart: Chart) -> str:
    """Bars from zero, in a group for each category."""
    scale = _Scale(chart)
    plot = WIDTH - _LEFT - _RIGHT
    group = plot / len(chart.categories)
    room = group * 0.84 / len(chart.series)
    parts = scale.frame()
    for place, each in enumerate(chart.series):
        for category, point in enumerate(each.points):
            if point is None:
                continue
            x = _LEFT + group * (category + 0.08) + room * place
            y = scale.y(point.value)
            width = min(room * 0.86, 64)
            x += (room - width) / 2
            parts.append(
                f'<rect class="c{each.colour}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" '
                f'height="{max(scale.bottom - y, 1):.1f}" rx="2"/>'
            )
            parts += _whisker(scale, x + width / 2, point)
            top = min(y, scale.y(point.high)) if point.high is not None else y
            parts.append(
                _text(x + width / 2, top - 6, point.label, "ink", size=12, anchor="middle")
            )
    for category, name in enumerate(chart.categories):
        x = _LEFT + group * (category + 0.5)
        parts.append(_text(x, scale.bottom + 22, name, "ink", anchor="middle"))
    return _document(chart, scale.height, parts)


def lines(chart: Chart) -> str:
    """A line for each series; the categories stand at equal distances."""
    scale = _Scale(chart)
    step = (WIDTH - _LEFT - _RIGHT) / len(chart.categories)
    across = [_LEFT + step * (place + 0.5) for place in range(len(chart.categories))]
    parts = scale.frame()
    labels: dict[float, list[tuple[float, str]]] = {x: [] for x in across}
    for each in chart.series:
        places = [
            (x, point) for x, point in zip(across, each.points, strict=True) if point is not None
        ]
        path = " L".join(f"{x:.1f} {scale.y(point.value):.1f}" for x, point in places)
        if len(places) > 1:
            parts.append(f'<path class="l{each.colour}" d="M{path}"/>')
        for x, point in places:
            y = scale.y(point.value)
            parts += _whisker(scale, x, point)
            parts.append(f'<circle class="c{each.colour}" cx="{x:.1f}" cy="{y:.1f}" r="4.5"/>')
            labels[x].append((y, point.label))
    for x, found in labels.items():
        parts += [
            _text(x + 10, y, label, "ink halo", size=12) for y, label in _apart(found, scale.bottom)
        ]
    for x, name in zip(across, chart.categories, strict=True):
        parts.append(_text(x, scale.bottom + 22, name, "ink", anchor="middle"))
    return _document(chart, scale.height, parts)


def column(chart: Chart) -> str:
    """A bar for each category, one below the other, from zero: of the series that has a point there."""
    words = max(len(name) for name in chart.categories) * _CHARACTER + 32
    room = WIDTH - words - 110
    most = max(point.value for each in chart.series for point in each.points if point is not None)
    top, row = 66, 28
    parts = []
    for place, name in enumerate(chart.categories):
        y = top + row * place
        series, point = next(
            (each, found) for each in chart.series if (found := each.points[place]) is not None
        )
        width = max(point.value / most * room, 1)
        parts.append(_text(words - 12, y + 15, name, "ink", anchor="end", size=13))
        parts.append(
            f'<rect class="c{series.colour}" x="{words:.1f}" y="{y}" width="{width:.1f}" height="20" rx="2"/>'
        )
        parts.append(_text(words + width + 8, y + 15, point.label, "ink", size=13))
    height = top + row * len(chart.categories) + 16
    return _document(chart, height, parts)


def _apart(labels: Sequence[tuple[float, str]], bottom: float) -> list[tuple[float, str]]:
    """The labels of one place, from the lowest up, each as near to its height as the ones below it allow."""
    found: list[tuple[float, str]] = []
    room = bottom - 4
    for y, label in sorted(labels, reverse=True):
        at = min(y - 6, room)
        found.append((at, label))
        room = at - _LABEL_LINE
    return found


class _Scale:
    """The vertical axis, and what stands around the plot."""

    def __init__(self, chart: Chart) -> None:
        self._chart = chart
        self._legend = _legend_lines(chart.series)
        self._top = _TOP + _LEGEND_LINE * (len(self._legend) - 1)
        self.bottom = self._top + _PLOT_HEIGHT
        self.height = self.bottom + _BOTTOM
        points = [point for each in chart.series for point in each.points if point is not None]
        most = max(max(point.value, point.high or 0) for point in points)
        if chart.logarithmic:
            least = min(min(point.value, point.low or math.inf) for point in points)
            self._low, self._high = (
                math.floor(math.log10(least)),
                math.ceil(math.log10(most * 1.05)),
            )
            self.ticks = [10.0**power for power in range(self._low, self._high + 1)]
        else:
            step = _round_step(most * 1.08 / 5)
            self.ticks = [step * each for each in range(math.ceil(most * 1.08 / step) + 1)]

    def y(self, value: float) -> float:
        """Where a value is."""
        if self._chart.logarithmic:
            share = (math.log10(value) - self._low) / (self._high - self._low)
        else:
            share = value / self.ticks[-1]
        return self.bottom - share * _PLOT_HEIGHT

    def frame(self) -> list[str]:
        """Legend, grid and the names of the axes."""
        parts = []
        y = 58
        for line in self._legend:
            x = 24.0
            for each in line:
                parts.append(
                    f'<rect class="c{each.colour}" x="{x:.0f}" y="{y - 11}" width="13" height="13" rx="2"/>'
                )
                parts.append(_text(x + 19, y, each.name, "ink", size=13))
                x += 19 + len(each.name) * _CHARACTER + 22
            y += _LEGEND_LINE
        for tick in self.ticks:
            at = self.y(tick)
            kind = "axis" if tick == self.ticks[0] else "grid"
            parts.append(f'<path class="{kind}" d="M{_LEFT} {at:.1f}H{WIDTH - _RIGHT}"/>')
            parts.append(_text(_LEFT - 10, at + 4, _tick(tick), "muted", size=12, anchor="end"))
        unit = self._chart.up + (", logarithmic" if self._chart.logarithmic else "")
        middle = self._top + _PLOT_HEIGHT / 2
        parts.append(
            f'<text class="muted" font-size="13" text-anchor="middle" '
            f'transform="translate(30 {middle:.0f}) rotate(-90)">{escape(unit)}</text>'
        )
        x = (_LEFT + WIDTH - _RIGHT) / 2
        parts.append(
            _text(x, self.bottom + 46, self._chart.across, "muted", size=13, anchor="middle")
        )
        return parts


def _legend_lines(series: Sequence[Series]) -> list[list[Series]]:
    """The names, as many on a line as it has room for."""
    lines: list[list[Series]] = [[]]
    used = 24.0
    for each in series:
        width = 41 + len(each.name) * _CHARACTER
        if lines[-1] and used + width > WIDTH - 24:
            lines.append([])
            used = 24.0
        lines[-1].append(each)
        used += width
    return lines


def _whisker(scale: _Scale, x: float, point: Point) -> list[str]:
    if point.low is None or point.high is None:
        return []
    low, high = scale.y(point.low), scale.y(point.high)
    if low - high < 2:
        return []
    ends = "".join(f"M{x - 4:.1f} {y:.1f}h8" for y in (low, high))
    return [f'<path class="whisker" d="M{x:.1f} {low:.1f}V{high:.1f}{ends}"/>']


def _round_step(least: float) -> float:
    """The next of 1, 2, 2.5, 5 and 10, times a power of ten."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(each * power for each in (1, 2, 2.5, 5, 10) if each * power >= least * 0.999)


def _tick(value: float) -> str:
    return f"{value:,.0f}" if value >= 1 or value == 0 else f"{value:g}"


def _text(
    x: float, y: float, text: str, kind: str, *, size: int = 14, anchor: str = "start"
) -> str:
    return (
        f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}">'
        f"{escape(text)}</text>"
    )


def _document(chart: Chart, height: float, parts: Sequence[str]) -> str:
    told = "; ".join(
        f"{each.name}: "
        + ", ".join(
            f"{name} {point.label}"
            for name, point in zip(chart.categories, each.points, strict=True)
            if point is not None
        )
        for each in chart.series
    )
    body = "\n  ".join(parts)
    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" role="img" \
aria-label={quoteattr(chart.title)} font-family="system-ui, 'Segoe UI', Helvetica, Arial, sans-serif">
  <title>{escape(chart.title)}</title>
  <desc>{escape(told)}</desc>
  <style>{STYLE}  </style>
  <rect class="card" x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1:.0f}" rx="8"/>
  <text class="ink strong" x="24" y="33" font-size="16">{escape(chart.title)}</text>
  {body}
</svg>
"""
