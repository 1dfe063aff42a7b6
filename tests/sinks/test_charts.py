"""Charts of reports: what is drawn, how it looks as text, SVG and PNG, and that no name breaks it."""

import io
import struct
from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cartwake.errors import ConfigurationError
from sinks import charts, reports
from sinks.formats import check_chart, drawn, write
from sinks.heads import Chart, Definition, define
from sinks.pictures import TONES, Box, Path, Words, fitting, width_of
from sinks.reports import Report

SVG = "{http://www.w3.org/2000/svg}"


def report(chart: Chart | None, *rows: tuple[Any, ...]) -> Report:
    columns = {"name": "a name", "currency": "its money", "figure": "a figure"}
    return Report(Definition("r", "A title", "About.", {}, columns, "", chart), tuple(columns), rows)


BARS = Chart(kind="bar", value="figure", by=("name",), each="currency")
LINE = Chart(kind="line", value="figure", by=("name",))


def written(format_: str, told: Report) -> str:
    out = io.StringIO()
    write(told, format_, out)
    return out.getvalue()


def test_each_currency_has_a_scale_of_its_own() -> None:
    told = report(BARS, ("a", "EUR", 10), ("b", "EUR", 5), ("a", "JPY", 9_000))
    euro, yen = charts.panels(told)
    assert [(x.name, x.value) for x in euro.bars] == [("a", 10.0), ("b", 5.0)]
    longest = [x for x in charts.picture(told).things if isinstance(x, Box)]
    assert longest[0].width == pytest.approx(2 * longest[1].width)
    assert [x.name for x in yen.bars] == ["a"]
    assert longest[2].width > 300


def test_figures_of_rows_that_the_chart_does_not_tell_apart_are_added_up_but_shares_never() -> None:
    told = report(BARS, ("a", "EUR", Decimal("1.10")), ("a", "EUR", Decimal("2.20")), ("a", "EUR", None))
    assert [x.said for x in charts.panels(told)[0].bars] == ["3.30"]
    share = Definition(
        "r", "t", "d", {}, {"name": "", "a_percent": ""}, "", Chart(kind="bar", value="a_percent", by=("name",))
    )
    with pytest.raises(AssertionError, match="shares"):
        charts.panels(Report(share, ("name", "a_percent"), (("a", Decimal(1)), ("a", Decimal(2)))))


def test_negative_figures_go_to_the_left_of_zero() -> None:
    plus, minus = (x for x in charts.picture(report(BARS, ("a", "", 3), ("b", "", -1))).things if isinstance(x, Box))
    assert minus.x + minus.width == pytest.approx(plus.x)


def test_what_does_not_fit_is_said() -> None:
    told = report(BARS, *((f"n{x}", "EUR", x) for x in range(50)))
    assert "… and 10 more" in written("chart", told)
    assert "… and 10 more" in written("svg", told)


def test_days_are_where_they_belong_also_when_some_are_missing() -> None:
    days = [date(2026, 11, 1) + timedelta(days=x) for x in (0, 1, 4)]
    told = report(LINE, *((day, "", x) for x, day in enumerate(days)))
    [line] = [x for x in charts.picture(told).things if isinstance(x, Path) and len(x.points) == 3]
    (a, _), (b, _), (c, _) = line.points
    assert c - a == pytest.approx(4 * (b - a))


@pytest.mark.parametrize("rows", [[], [("a", "EUR", None)], [("a", "EUR", 0)], [("", None, Decimal("1e12"))]])
@pytest.mark.parametrize("chart", [BARS, LINE])
def test_nothing_and_little_can_be_drawn(rows: list[tuple[Any, ...]], chart: Chart) -> None:
    told = report(chart, *rows)
    ElementTree.fromstring(written("svg", told))
    assert written("chart", told)
    drawn(told)


@pytest.mark.parametrize("values", [[0], [5], [0, 0, 0], [1, None, 3]])
def test_one_day_and_days_without_figures_can_be_drawn(values: list[int | None]) -> None:
    told = report(LINE, *((date(2026, 11, 1) + timedelta(days=x), "", y) for x, y in enumerate(values)))
    ElementTree.fromstring(written("svg", told))
    drawn(told, "dark")


@pytest.mark.parametrize(("top", "last"), [(1, 1), (7, 8), (0.03, 0.03), (3_942, 4_000), (1e12, 1e12)])
def test_the_axis_ends_at_or_just_above_the_highest_figure(top: float, last: float) -> None:
    told = report(LINE, (date(2026, 11, 1), "", top))
    axis = [x for x in charts.picture(told).things if isinstance(x, Words) and x.anchor == "end"]
    assert float(axis[-1].text.replace(",", "")) == pytest.approx(last)
    assert len(axis) <= 6


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_name_is_read_back_from_the_picture_and_steers_no_terminal(name: str) -> None:
    told = report(BARS, (name, name, 5))
    root = ElementTree.fromstring(written("svg", told))
    assert root.findtext(f"{SVG}title") == "A title"
    assert "\x1b" not in written("chart", told)


def test_the_svg_follows_its_reader_and_the_png_what_is_asked_for() -> None:
    told = report(BARS, ("Žluťoučký → кон – 商品", "EUR", 5))
    text = written("svg", told)
    dark = text.partition("prefers-color-scheme: dark")[2]
    assert all(color in dark for color in TONES["dark"].values())
    light_png, dark_png = drawn(told), drawn(told, "dark")
    assert light_png != dark_png
    picture = charts.picture(told)
    for png in (light_png, dark_png):
        assert png.startswith(b"\x89PNG")
        assert struct.unpack(">II", png[16:24]) == (picture.width * 2, round(picture.height * 2))


def test_colours_can_be_told_apart_in_both_themes() -> None:
    def light(color: str) -> float:
        parts = [int(color[x : x + 2], 16) / 255 for x in (1, 3, 5)]
        linear = [x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    for tones in TONES.values():
        for tone, least in (("ink", 7), ("quiet", 4.5), ("figure", 3)):
            high, low = sorted((light(tones[tone]), light(tones["paper"])), reverse=True)
            assert (high + 0.05) / (low + 0.05) >= least, tone


def test_a_long_name_is_shortened_to_its_place() -> None:
    assert fitting("short", 12, 200) == "short"
    short = fitting("x" * 500, 12, 200)
    assert short.endswith("…")
    assert width_of(short, 12) <= 200


def test_a_report_without_a_chart_says_so() -> None:
    with pytest.raises(ConfigurationError, match="has no chart; take --format table"):
        check_chart(reports.load("conservation"))


HEAD = "-- title: T\n-- description: D\n-- column a: words\n"


@pytest.mark.parametrize("said", ["pie: a by a", "bar: a", "bar: a by b", "bar: a by a for each b", "bar: b by a"])
def test_a_chart_of_what_is_no_column_is_refused(said: str) -> None:
    with pytest.raises(ConfigurationError, match="chart"):
        define("r", f"{HEAD}-- chart {said}\nSELECT 1")


@pytest.mark.parametrize("name", reports.names())
def test_every_report_says_what_it_is_a_share_of_and_what_it_asks_for(name: str) -> None:
    definition = reports.load(name)
    text = reports.statement(definition)
    assert {"from", "to", "shop"} <= set(definition.parameters)
    if any(x.endswith("percent") for x in definition.columns):
        assert "denominator" in definition.description
    for parameter in definition.parameters.values():
        kind = "UInt32" if parameter.most else "Date32" if parameter.name in {"from", "to"} else "String"
        assert f"{{{parameter.name}:{kind}}}" in text
        assert parameter.least <= int(parameter.otherwise or 0) <= parameter.most if parameter.most else True
