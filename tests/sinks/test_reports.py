"""Reports: figures computed a second time in Python, and formats that nothing in a name can break."""

import csv
import io
import json
import random
from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cartwake.clock import rfc3339
from cartwake.errors import ConfigurationError
from sinks import reports
from sinks.cells import money
from sinks.clickhouse import ClickHouse
from sinks.formats import write
from sinks.heads import Definition
from sinks.reports import Report
from tests.sinks.records import HOUR, NOON, match, message, outcome, put, put_all

DAYS = {"from_": date(2026, 11, 23), "to": date(2026, 11, 25)}


def shop(client: ClickHouse, seed: int) -> list[dict[str, Any]]:
    """Sixty abandonments over five days, every record twice; returns what is true of each."""
    chance = random.Random(seed)
    truth: list[dict[str, Any]] = []
    said: list[tuple[str, Any]] = []
    for number in range(60):
        at = NOON - 36 * HOUR + chance.randrange(5 * 24) * HOUR + chance.choice([0, -1, 12 * HOUR])
        items = [
            {
                "sku": f"s{x}",
                "name": f"Product {x}",
                "quantity": chance.randint(1, 3),
                "price": f"{chance.randint(1, 9)}.10",
            }
            for x in chance.sample(range(6), 3)
        ]
        items[0].pop("quantity")
        items[1].pop("price")
        lines = [(x["sku"], int(x.get("quantity", 1)), Decimal(str(x.get("price", 0)))) for x in items]
        one = {
            "number": number,
            "day": datetime.fromtimestamp(at / 1000, UTC).date(),
            "shop": chance.choice(["main", "other"]),
            "currency": chance.choice(["EUR", "USD"]),
            "lines": lines,
            "value": sum((q * p for _, q, p in lines), Decimal(0)),
            "units": sum(q for _, q, _ in lines),
            "state": chance.choice(["open", "reactivated", "withdrawn", "recovered"]),
            "known": chance.random() < 0.5,
            "sent": chance.random() < 0.5,
        }
        truth.append(one)
        where = {"number": number, "shop_id": one["shop"]}
        first = outcome(
            **where,
            abandoned_at=rfc3339(at),
            items=items,
            value=str(one["value"]),
            units=one["units"],
            currency=one["currency"],
        )
        said.append(("cart-outcomes", first))
        if one["state"] != "open":
            said.append(("cart-outcomes", outcome(one["state"], 2, abandoned_at=rfc3339(at), **where)))
        if one["known"]:
            said.append(("subscriber-carts", match(**where)))
        if one["sent"]:
            said.append(("messages", message("sent", 1, plan=f"p{number}", **where)))
            said.append(("messages", message("expired", 9, plan=f"q{number}", **where)))
    for _ in range(2):
        put_all(client, said)
    return truth


@pytest.mark.stack
def test_figures_are_those_computed_in_python_for_all_shops_and_for_one(client: ClickHouse) -> None:
    told = shop(client, 7)
    for only in ("", "main"):
        _compare(client, told, only)


def _compare(client: ClickHouse, told: list[Any], only: str) -> None:
    truth = [x for x in told if x["state"] != "withdrawn" and (not only or x["shop"] == only)]
    truth = [x for x in truth if DAYS["from_"] <= x["day"] <= DAYS["to"]]
    assert len(truth) > 10
    days: dict[Any, list[Any]] = defaultdict(lambda: [0, 0, Decimal(0), 0, 0, 0])
    products: dict[Any, list[Any]] = defaultdict(lambda: [0, 0, Decimal(0), 0])
    for x in truth:
        day = days[x["day"], x["currency"]]
        for place, add in enumerate([1, x["units"], x["value"], x["known"], x["sent"], x["state"] == "recovered"]):
            day[place] += add
        for sku, quantity, price in x["lines"]:
            product = products[x["shop"], sku, f"Product {sku[1:]}", x["currency"]]
            for place, add in enumerate([1, quantity, quantity * price, x["state"] == "recovered"]):
                product[place] += add
    by_day = reports.run(client, "abandonments", shop=only, **DAYS)
    assert by_day.columns == tuple(by_day.definition.columns)
    assert list(by_day.rows) == [(*key, *days[key]) for key in sorted(days)]
    by_product = reports.run(client, "abandoned-products", shop=only, **DAYS)
    assert by_product.columns == tuple(by_product.definition.columns)
    assert sorted(by_product.rows) == sorted((*key, *value) for key, value in products.items())
    assert [x[6] for x in by_product.rows] == sorted((x[6] for x in by_product.rows), reverse=True)


@pytest.mark.stack
@pytest.mark.parametrize("name", reports.names())
def test_columns_are_those_of_the_head_also_without_rows(client: ClickHouse, name: str) -> None:
    report = reports.run(client, name, **DAYS)
    assert report.columns == tuple(report.definition.columns)
    assert set(report.definition.parameters) >= {"from", "to", "shop"}
    assert report.rows == ()
    for format_ in ("table", "csv", "xml", "json", *(["chart", "svg"] if report.definition.chart else [])):
        write(report, format_, io.StringIO())


@pytest.mark.stack
def test_day_begins_and_ends_at_midnight_utc(client: ClickHouse) -> None:
    midnight = NOON - 12 * HOUR
    for number, at in enumerate([midnight - 1, midnight, midnight + 24 * HOUR - 1, midnight + 24 * HOUR]):
        put(client, "cart-outcomes", outcome(number=number, abandoned_at=rfc3339(at)))
    day = date(2026, 11, 23)
    [row] = reports.run(client, "abandonments", from_=day, to=day).rows
    assert row[2] == 2


def test_unknown_report_names_those_that_are_near() -> None:
    with pytest.raises(ConfigurationError, match="Did you mean abandonments"):
        reports.load("abandonment")
    with pytest.raises(ConfigurationError, match="abandoned-products"):
        reports.load("../schema/001_events")


def test_days_in_the_wrong_order_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="--to 2026-11-22 is before --from 2026-11-23"):
        reports.run(None, "abandonments", from_=DAYS["from_"], to=DAYS["from_"] - timedelta(days=1))  # type: ignore[arg-type]


def report(*values: object) -> Report:
    columns = tuple(f"c{x}" for x in range(len(values)))
    return Report(Definition("r", "A < B & C", "About.", {}, dict.fromkeys(columns, ""), ""), columns, (values,))


def written(format_: str, *values: object) -> str:
    out = io.StringIO(newline="")
    write(report(*values), format_, out)
    return out.getvalue()


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1"])
def test_csv_runs_no_formula(name: str) -> None:
    [_, row] = csv.reader(io.StringIO(written("csv", name), newline=""))
    assert row == ["'" + name]


def test_csv_leaves_numbers_and_harmless_texts_alone() -> None:
    [_, row] = csv.reader(
        io.StringIO(written("csv", -5, Decimal("-1.500000"), "Hat - blue", 'a "b", c', None), newline="")
    )
    assert row == ["-5", "-1.50", "Hat - blue", 'a "b", c', ""]


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_every_format_is_read_back_whatever_the_name(name: str) -> None:
    root = ElementTree.fromstring(written("xml", name, 5))
    assert root.attrib["title"] == "A < B & C"
    found = root.findtext("row/c0") or ""
    assert [x for x, y in zip(found, name, strict=True) if x != y] == ["\ufffd"] * sum(
        x != y for x, y in zip(found, name, strict=True)
    )
    assert json.loads(written("json", name, 5)) == [{"c0": name, "c1": 5}]
    [_, [cell, _]] = csv.reader(io.StringIO(written("csv", name, 5), newline=""))
    assert cell in (name, "'" + name)
    assert "\x1b" not in written("table", name, 5)


def test_json_keeps_money_as_text_and_times_as_rfc_3339() -> None:
    values = (Decimal("19.990000"), date(2026, 11, 23), datetime(2026, 11, 23, 12, tzinfo=UTC), None, True)
    assert list(json.loads(written("json", *values))[0].values()) == [
        "19.99", "2026-11-23", "2026-11-23T12:00:00.000Z", None, True,
    ]  # fmt: skip


def test_money_has_at_least_two_places() -> None:
    assert [money(Decimal(x)) for x in ("5", "0.125000", "1E+3", "-2.5", "0E-6")] == [
        "5.00",
        "0.125",
        "1000.00",
        "-2.50",
        "0.00",
    ]


def test_unknown_format_names_the_known_ones() -> None:
    with pytest.raises(ConfigurationError, match="table, csv, xml, json, chart, svg"):
        write(report(1), "xlsx", io.StringIO())


def test_a_report_of_many_columns_stands_upright_and_nothing_of_it_is_cut() -> None:
    wide = report(*(f"value {x} of many" for x in range(30)))
    wide = Report(wide.definition, wide.columns, wide.rows * 20)
    out = io.StringIO()
    write(wide, "table", out)
    lines = [x for x in out.getvalue().splitlines() if "│" in x]
    assert max(map(len, out.getvalue().splitlines())) <= 160
    assert sum(x.count("value 29 of many") for x in lines) == 20
    assert all(x.split("│")[1].strip().startswith("c") for x in lines)
