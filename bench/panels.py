"""What the dashboards in deploy/grafana ask, with their macros and variables put in as Grafana's plugin does.

The span of time is the dashboard's own; all shops are chosen, and the currency EUR.
"""

import json
import re
from collections.abc import Iterator
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
            yield f"{path.stem}, {title}", expanded(panel["targets"][0]["rawSql"], end - span, end)


def expanded(sql: str, begin: datetime, end: datetime) -> str:
    """The statement as it reaches ClickHouse."""
    first, last = (f"toDateTime({int(at.timestamp())})" for at in (begin, end))
    step = max(60, int((end - begin).total_seconds()) // _BARS)
    sql = re.sub(rf"\$__conditionalAll\({_ARGUMENT}, \$\w+\)", "1=1", sql)
    sql = re.sub(r"\$__timeFilter\((.*?)\)", rf"\1 >= {first} AND \1 <= {last}", sql)
    interval = rf"toStartOfInterval(toDateTime(\1), INTERVAL {step} second)"
    sql = re.sub(rf"\$__timeInterval\({_ARGUMENT}\)", interval, sql)
    sql = sql.replace("$__fromTime", first).replace("$__toTime", last)
    return sql.replace("${currency:singlequote}", "'EUR'")
