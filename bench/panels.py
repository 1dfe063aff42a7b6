"""What the dashboards in deploy/grafana ask, with their macros and variables put in as Grafana's plugin does.

Macros and variables are those of grafana-clickhouse-datasource's documentation (its query editor, "Macros"; "Template
variables"). For the benchmark the span of time is the dashboard's own; all shops are chosen, and the currency EUR.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

_BOARDS: Final = Path(__file__).parents[1] / "deploy" / "grafana"
_UNITS: Final = {"h": "hours", "d": "days"}
_BARS: Final = 500  # about as many as fit beside each other
_ARGUMENT: Final = r"((?:[^()]|\([^()]*\))*)"


def statements(end: datetime) -> Iterator[tuple[str, str]]:
    """(title, statement) of each panel, up to `end`."""
    for path in sorted(_BOARDS.glob("*.json")):
        board = json.loads(path.read_text(encoding="utf-8"))
        number, unit = re.fullmatch(r"now-(\d+)([hd])", board["time"]["from"]).groups()  # type: ignore[union-attr]
        span = timedelta(**{_UNITS[unit]: int(number)})
        for panel in board["panels"]:
            title = panel["title"].replace("${currency}", "EUR")
            chosen = {"currency": ["EUR"]}
            asked = expanded(panel["targets"][0]["rawSql"], _seconds(end - span, end), chosen=chosen, everything=True)
            yield f"{path.stem}, {title}", asked


def expanded(
    sql: str,
    span: tuple[int, int],
    *,
    chosen: Mapping[str, Sequence[str]],
    everything: bool,
    interval: int | None = None,
) -> str:
    """`sql` as it reaches ClickHouse for a span of time (epoch seconds), with the values `chosen` of the variables.

    `everything`: all shops are chosen. `interval` is the width of a bar, seconds.
    """
    first, last = (f"toDateTime({at})" for at in span)
    wide = interval or max(60, (span[1] - span[0]) // _BARS)

    def all_or(match: re.Match[str]) -> str:
        return "1=1" if everything else match[1]

    sql = re.sub(rf"\$__conditionalAll\({_ARGUMENT}, \$shop\)", all_or, sql)
    sql = re.sub(r"\$__timeFilter\((.*?)\)", rf"\1 >= {first} AND \1 <= {last}", sql)
    step = rf"toStartOfInterval(toDateTime(\1), INTERVAL {wide} second)"
    sql = re.sub(rf"\$__timeInterval\({_ARGUMENT}\)", step, sql)
    sql = sql.replace("$__fromTime", first).replace("$__toTime", last)
    for name, values in chosen.items():
        quoted = ",".join("'" + value.replace("'", "\\'") + "'" for value in values)
        sql = sql.replace(f"${{{name}:singlequote}}", quoted)
    return sql


def _seconds(begin: datetime, end: datetime) -> tuple[int, int]:
    return int(begin.timestamp()), int(end.timestamp())
