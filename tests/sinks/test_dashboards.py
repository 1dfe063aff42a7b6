"""Grafana's dashboards: what they ask runs on the real engine, as the analysts' user may ask it; they are well-formed.

No Grafana runs here. Macros and variables are put in as the documentation of grafana-clickhouse-datasource says (its
query editor, "Macros"; "Template variables"); the fields of the JSON are those of Grafana's classic dashboard model.
"""

import json
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from bench import panels as panels_of
from local import reader
from sinks.clickhouse import ClickHouse
from tests.sinks.demo_data import fill
from tests.sinks.records import NOON, NOW, made_anew

FOLDER = Path(__file__).parents[2] / "deploy" / "grafana"
BOARDS: dict[str, Any] = {x.stem: json.loads(x.read_text(encoding="utf-8")) for x in sorted(FOLDER.glob("*.json"))}
PLUGIN = "grafana-clickhouse-datasource"
DAY = 86_400
FROM, TO = min(NOON, NOW) // 1000 - DAY, max(NOON, NOW) // 1000 + 3 * DAY
INTERVAL = 3600
CHOSEN = {"shop": ["demo", "o'neill"], "currency": ["EUR"]}
UNITS = {"short", "none", "percent", "s", "ms", "reqps", "dateTimeAsIso"}  # ids of Grafana's value formats


def panels() -> Iterator[tuple[str, dict[str, Any]]]:
    for name, board in BOARDS.items():
        for panel in board["panels"]:
            yield name, panel


def expanded(sql: str, *, everything: bool, span: tuple[int, int] = (FROM, TO), interval: int = INTERVAL) -> str:
    """`sql` as the plugin sends it for a span of time (s); `everything`: all shops are chosen."""
    sql = panels_of.expanded(sql, span, chosen=CHOSEN, everything=everything, interval=interval)
    assert "$" not in sql, sql
    return sql


@pytest.mark.stack
@pytest.mark.parametrize("everything", [True, False])
def test_every_panel_and_every_variable_asks_what_the_engine_answers(client: ClickHouse, everything: bool) -> None:
    fill(client)
    made_anew(client)
    for board, panel in panels():
        [target] = panel["targets"]
        sql = expanded(target["rawSql"], everything=everything)
        reader.check(sql.encode(), {"file", "url", "remote"})
        columns, rows = client.table(sql)
        assert rows, f"{board}: {panel['title']}"
        if panel["type"] == "timeseries":
            assert columns[0] == "time"
            assert all(isinstance(row[0], datetime) for row in rows)
            assert [row[0] for row in rows] == sorted(row[0] for row in rows)
            texts = [isinstance(value, str) for value in rows[0]]
            assert texts.count(True) == (1 if len(columns) == 3 and texts[1] else 0)  # the label of a series
        if panel["type"] == "stat":
            assert (len(columns), len(rows)) == (1, 1)
    for board in BOARDS.values():
        for variable in board["templating"]["list"]:
            assert client.table(variable["query"])[1], variable["name"]


@pytest.mark.stack
def test_figures_are_those_of_the_rows(client: ClickHouse) -> None:
    fill(client)
    made_anew(client)
    shown = {}
    for _, panel in panels():
        if panel["type"] == "stat":
            [[shown[panel["title"]]]] = client.table(expanded(panel["targets"][0]["rawSql"], everything=True))[1]
    assert shown["Carts left"] == 7
    assert shown["Bought after all"] == pytest.approx(100 / 7)
    assert shown["Persons known"] == pytest.approx(500 / 7)
    assert shown["Carts written to"] == 1
    assert shown["Dead letters"] == 1
    assert shown["Plans without an end"] == 0
    tables = {x["title"]: x["targets"][0]["rawSql"] for _, x in panels() if x["type"] != "stat"}
    asked = {title: client.table(expanded(sql, everything=True))[1] for title, sql in tables.items()}
    assert asked["From reminder to order, by channel"] == [("email", 1, 1, 1, 0, 1)]
    assert asked["Products left most often"][0][2:] == (14, 7)
    assert [x[1:] for x in asked["Orders that reminders led to, in ${currency}"]] == [("link", 39.98)]


@pytest.mark.parametrize(("board", "panel"), list(panels()))
def test_a_panel_says_what_it_shows_in_which_unit(board: str, panel: dict[str, Any]) -> None:
    assert panel["title"]
    assert panel["description"].endswith(".")
    [target] = panel["targets"]
    assert panel["datasource"] == target["datasource"] == {"type": PLUGIN, "uid": "cartwake"}
    series = panel["type"] == "timeseries"
    assert (target["format"], target["queryType"]) == ((0, "timeseries") if series else (1, "table"))
    assert (target["editorType"], target["refId"]) == ("sql", "A")
    defaults, overrides = panel["fieldConfig"]["defaults"], panel["fieldConfig"]["overrides"]
    units = {x["value"] for y in overrides for x in y["properties"] if x["id"] == "unit"}
    if panel["type"] != "table":
        units.add(defaults["unit"])
    assert units <= UNITS
    for override in overrides:
        assert re.search(rf"AS {override['matcher']['options']}\b", target["rawSql"])


@pytest.mark.parametrize("name", BOARDS)
def test_a_dashboard_is_of_utc_and_its_panels_lie_beside_each_other(name: str) -> None:
    board = BOARDS[name]
    assert (board["timezone"], board["uid"], board["id"]) == ("utc", f"cartwake-{name}", None)
    assert "UTC" in board["description"]
    assert len({x["id"] for x in board["panels"]}) == len(board["panels"])
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        taken |= cells
    asked = set(re.findall(r"\$\{(\w+)", json.dumps(board["panels"])))
    assert asked == {x["name"] for x in board["templating"]["list"]}
    for variable in board["templating"]["list"]:
        assert variable["datasource"]["uid"] == "cartwake"


def test_what_is_provisioned_is_what_the_dashboards_ask_for() -> None:
    [source] = yaml.safe_load((FOLDER / "datasource.yml").read_text())["datasources"]
    assert (source["uid"], source["type"], source["editable"]) == ("cartwake", PLUGIN, False)
    assert source["jsonData"]["username"] == reader.USER
    assert int(source["jsonData"]["queryTimeout"]) + 10 < reader.MOST_SECONDS
    compose = yaml.safe_load((FOLDER.parents[1] / "docker-compose.yml").read_text())
    service = compose["services"]["grafana"]
    assert source["jsonData"]["host"] in compose["services"]
    assert source["secureJsonData"]["password"].removeprefix("$") in service["environment"]
    assert service["environment"]["GF_PLUGINS_PREINSTALL_SYNC"].startswith(f"{PLUGIN}@")
    [provider] = yaml.safe_load((FOLDER / "dashboards.yml").read_text())["providers"]
    targets = {x["target"] for x in service["configs"]}
    assert {f"{provider['options']['path']}/{name}.json" for name in BOARDS} <= targets
    assert service["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"] in targets
