"""A report as a chart, as its head says: bars beside names, or a line over days; for a terminal, SVG or PNG.

Figures of different currencies are never on one scale: each has a panel of its own.
"""

from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from math import ceil, floor, log10
from typing import Any, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from cartwake.errors import ConfigurationError
from sinks.cells import clean, plain
from sinks.heads import Chart, Definition
from sinks.pictures import Box, Path, Picture, Words, fitting, width_of
from sinks.reports import Report

MOST: Final = 40  # bars of a panel
_WIDTH: Final = 760
_EDGE: Final = 24
_ROW: Final = 24
_PLOT: Final = 180  # height of a line's panel
_EIGHTHS: Final = " ▏▎▍▌▋▊▉"


@dataclass(frozen=True, slots=True)
class Bar:
    """One figure: its name, its value (None: there is none), and the value as text."""

    name: str
    value: float | None
    said: str
    day: date | None = None


@dataclass(frozen=True, slots=True)
class Panel:
    """Figures on one scale; `left_out` of them are more than a chart can show."""

    name: str
    bars: tuple[Bar, ...]
    left_out: int = 0


def panels(report: Report) -> tuple[Panel, ...]:
    """The figures of a report by panel; raises ConfigurationError when the report has no chart."""
    chart = of(report.definition)
    place = {name: number for number, name in enumerate(report.columns)}
    found: dict[str, dict[str, Bar]] = {}
    sums: dict[tuple[str, str], Decimal | int] = {}
    for row in report.rows:
        each = _name(row[place[chart.each]], "no " + chart.each) if chart.each else ""
        words = [_name(row[place[x]]) for x in chart.by]
        name = " · ".join(x for x in words if x) or "(none)"
        first, value = row[place[chart.by[0]]], row[place[chart.value]]
        bars = found.setdefault(each, {})
        if name in bars:  # rows of several shops or days that the chart puts together
            assert not _is_share(chart.value), "shares can't be added up: the chart must name what tells its rows apart"
            value = sums[each, name] + (value or 0)
        sums[each, name] = value or 0
        figure = None if value is None else float(value)
        bars[name] = Bar(name, figure, _said(chart.value, value), first if isinstance(first, date) else None)
    return tuple(
        Panel(each, tuple(bars.values())[:most], max(0, len(bars) - most))
        for each, bars in found.items()
        for most in [len(bars) if chart.kind == "line" else MOST]
    )


def write(report: Report, out: Any) -> None:
    """The chart in text, for a terminal."""
    chart = of(report.definition)
    console = Console(file=out, highlight=False, width=None if out.isatty() else 100)
    console.print(Text(report.definition.title, style="bold"))
    console.print(Text(f"{chart.value}: {report.definition.columns[chart.value]}", style="dim"))
    shown = panels(report)
    if not shown:
        console.print(Text("Nothing to show."))
    for panel in shown:
        if panel.name:
            console.print(Text(f"\n{panel.name}"))
        names = min(max(len(x.name) for x in panel.bars), 36)
        figures = max(len(x.said) for x in panel.bars)
        room = max(10, console.width - names - figures - 4)
        top = max((abs(x.value) for x in panel.bars if x.value is not None), default=0) or 1
        table = Table(box=None, show_header=False, pad_edge=False)
        table.add_column(max_width=names, no_wrap=True, overflow="ellipsis")
        table.add_column(justify="right", no_wrap=True)
        table.add_column(no_wrap=True, width=room)
        for bar in panel.bars:
            color = "red" if (bar.value or 0) < 0 else "cyan"
            table.add_row(Text(bar.name), Text(bar.said), Text(_blocks(abs(bar.value or 0) / top * room), style=color))
        console.print(table)
        if panel.left_out:
            console.print(Text(_more(panel), style="dim"))


def picture(report: Report) -> Picture:
    """The chart to be drawn."""
    chart = of(report.definition)
    words = f"{chart.value}: {report.definition.columns[chart.value]}"
    room = _WIDTH - 2 * _EDGE
    things: list[Box | Path | Words] = [
        Words(_EDGE, _EDGE + 14, fitting(report.definition.title, 18, room), size=18),
        Words(_EDGE, _EDGE + 34, fitting(words, 12, room), "quiet"),
    ]
    y = _EDGE + 50.0
    shown = panels(report)
    if not shown:
        things.append(Words(_EDGE, y + 14, "Nothing to show."))
        y += _ROW
    for panel in shown:
        if panel.name:
            things.append(Words(_EDGE, y + 16, fitting(panel.name, 13, room), size=13))
            y += 26
        drawn, height = _lines(panel, y) if _is_line(chart, panel) else _bars(panel, y)
        things += drawn
        y += height + 10
        if panel.left_out:
            things.append(Words(_EDGE, y + 6, _more(panel), "quiet"))
            y += _ROW
    return Picture(_WIDTH, y + _EDGE - 10, report.definition.title, tuple(things))


def _bars(panel: Panel, y: float) -> tuple[list[Box | Path | Words], float]:
    things: list[Box | Path | Words] = []
    names = min(max(width_of(x.name, 12) for x in panel.bars) + 12, 280)
    figures = max(width_of(x.said, 12) for x in panel.bars) + 16
    values = [x.value for x in panel.bars if x.value is not None]
    low, high = min([0.0, *values]), max([0.0, *values])
    left = _EDGE + names + (figures if low < 0 else 0)
    scale = (_WIDTH - _EDGE - figures - left) / ((high - low) or 1)
    zero = left - low * scale
    height = _ROW * len(panel.bars)
    for number, bar in enumerate(panel.bars):
        base = y + number * _ROW + 16
        things.append(Words(_EDGE + names - 12, base, fitting(bar.name, 12, names - 12), anchor="end"))
        length = (bar.value or 0) * scale
        things.append(Box(min(zero, zero + length), base - 12, abs(length), 16))
        if length < 0:
            things.append(Words(zero + length - 6, base, bar.said, "quiet", anchor="end"))
        else:
            things.append(Words(zero + length + 6, base, bar.said, "quiet"))
    things.append(Path(((zero, y), (zero, y + height)), "rule", 1))
    return things, height


def _lines(panel: Panel, y: float) -> tuple[list[Box | Path | Words], float]:
    things: list[Box | Path | Words] = []
    points = sorted((x.day, x.value) for x in panel.bars if x.day is not None and x.value is not None)
    first, last = points[0][0], points[-1][0]
    ticks = _ticks(max(value for _, value in points))
    marks = [f"{x:,.10g}" for x in ticks]
    left = _EDGE + max(width_of(x, 12) for x in marks) + 12
    right, foot = _WIDTH - _EDGE - 20, y + _PLOT
    for tick, mark in zip(ticks, marks, strict=True):
        at = foot - tick / ticks[-1] * (_PLOT - 12)
        things.append(Path(((left, at), (right, at)), "rule", 1))
        things.append(Words(left - 8, at + 4, mark, "quiet", anchor="end"))
    days = max(1, (last - first).days)

    def across(day: date) -> float:
        return left + (day - first).days / days * (right - left) if last > first else (left + right) / 2

    count = min(6, days + 1) if last > first else 1
    for number in range(count):
        day = first + timedelta(days=round(number * days / max(1, count - 1)))
        things.append(Words(across(day), foot + 18, day.isoformat()[5:], "quiet", anchor="middle"))
    drawn = tuple((across(day), foot - value / ticks[-1] * (_PLOT - 12)) for day, value in points)
    if len(drawn) > 1:
        things.append(Path(drawn))
    things += [Path((point,), width=3) for point in drawn] if len(drawn) <= MOST else []
    return things, _PLOT + 26


def _ticks(top: float) -> list[float]:
    """Round figures from 0 to at least `top`, at most six of them."""
    if top <= 0:
        return [0.0, 1.0]
    rough = top / 4
    ten = 10.0 ** floor(log10(rough))
    step = next(x * ten for x in (1, 2, 2.5, 5, 10) if x * ten >= rough * 0.999)
    return [number * step for number in range(ceil(top / step * 0.999_999) + 1)]


def of(definition: Definition) -> Chart:
    """How the report is drawn; raises ConfigurationError when it has no chart."""
    if definition.chart is None:
        raise ConfigurationError(f"the report {definition.name} has no chart; take --format table")
    return definition.chart


def _is_line(chart: Chart, panel: Panel) -> bool:
    return chart.kind == "line" and any(x.day is not None and x.value is not None for x in panel.bars)


def _name(value: object, otherwise: str = "") -> str:
    return clean(plain(value)) or otherwise


def _is_share(column: str) -> bool:
    return column.endswith(("_percent", "_points")) or column == "percent"


def _said(column: str, value: Decimal | int | None) -> str:
    if value is None:
        return "–"
    if _is_share(column):
        return f"{value:.1f} {'%' if column.endswith('percent') else 'points'}"
    return f"{value:,.2f}" if isinstance(value, Decimal) else f"{value:,}"


def _blocks(length: float) -> str:
    whole, part = divmod(round(length * 8), 8)
    return "█" * whole + _EIGHTHS[part].strip()


def _more(panel: Panel) -> str:
    return f"… and {panel.left_out} more; --format csv has all."
