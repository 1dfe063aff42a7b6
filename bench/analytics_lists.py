"""Lists, a cart in full, and every tile of the dashboards at many carts: how long each takes to read, 95 of 100 times.

The shop is made up (bench/shop): 90 days of carts with twenty events each, inserted in the order of time. The readings
are those of the console, the dashboards and the reports, through HTTP, one after the other, with filters, searches and
places in the list drawn by a seed. A dashboard shows its own span of time, up to the end of the last day there is.
"""

import json
import random
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final

from bench import panels, python
from cartwake.clock import DAY_MS, FakeClock, to_ms
from cartwake.settings import Settings
from local import stack
from local.kafka import free_port
from sinks import rollup
from sinks.carts import Carts, cursor_of
from sinks.clickhouse import ClickHouse
from sinks.figures import renew
from sinks.migrate import migrate
from sinks.reports import run

SHOP: Final = Path(__file__).parent / "shop"
TABLES: Final = ("cart_outcomes_log", "subscriber_carts_log", "messages_log", "abandonments_log", "cart_events_log")
_AT_ONCE: Final = 50_000  # carts in one insert
_PATIENCE_MS: Final = 15_000  # after which a kind that takes long is not read again
_FEWEST: Final = 3
_STATES: Final = ("open", "reactivated", "recovered", "withdrawn")
_STAGES: Final = ("cart", "contact", "address", "shipping", "payment", "review")
_SEARCHES: Final = ("sofia.fischer42", "scarf no. 7", "ionescu", "o-123456", "nobody.at.all", "Tea Pot", "@example.net")
_REPORTS: Final = ("abandonment-rate", "abandonments", "messages", "recovered")
#: What is asked of each kind of reading, ms, 95 of 100 times.
LIMITS: Final = {"list": 100, "a cart in full": 50, "tile": 200}


def add_arguments(parser: Any) -> None:
    """Options of this benchmark."""
    parser.add_argument("--carts", type=int, nargs="+", default=[500_000, 5_000_000], help="twenty events each")
    parser.add_argument("--readings", type=int, default=60, help="of each kind")
    parser.add_argument("--keep", type=Path, help="a folder in which the shops are kept for the next time")
    parser.add_argument("--lists-json", action="store_true")
    parser.add_argument("--lists-plot", type=Path, help="write bench-lists.svg into this folder")


def main(arguments: Any) -> int:
    """Make the shops that are not there, and read."""
    found: dict[int, dict[str, tuple[float, float]]] = {}
    for carts in arguments.carts:
        with tempfile.TemporaryDirectory() as folder:
            kept = arguments.keep / str(carts) if arguments.keep else Path(folder)
            settings = Settings(data_dir=kept, clickhouse_port=free_port())
            with (
                stack.embedded(settings, clickhouse=True) as running,
                ClickHouse.open(running.clickhouse_dsn, running.clickhouse_database, timeout_s=600) as store,
            ):
                migrate(store, retention_days=900)
                make(store, carts)
                print(f"\n{carts:,} carts, {carts * 20:,} events")
                for figures in renew(store):
                    print(f"{f'figures made anew, every twenty minutes: {figures.name}':58} {figures.took_ms:,} ms")
                found[carts] = {}
                for name, readings in read(store, arguments.readings):
                    median, most = found[carts][name] = quantiles(readings)
                    limit = next((ms for start, ms in LIMITS.items() if name.startswith(start)), None)
                    said = "" if limit is None else f"   asked {limit} ms" + ("" if most <= limit else ", missed")
                    print(f"{name:58} p50 {median:8.1f} ms   p95 {most:8.1f} ms{said}", flush=True)
    if arguments.lists_json:
        print(json.dumps(found))
    if arguments.lists_plot:
        print(f"plot: {python.plot('sizes', {str(x): y for x, y in found.items()}, arguments.lists_plot)}")
    return 0


def make(store: ClickHouse, carts: int, tables: Sequence[str] = TABLES) -> None:
    """Fill those of the tables that are empty."""
    store.execute((SHOP / "carts.sql").read_text(encoding="utf-8"))
    begin = time.time_ns() // 1_000_000 // DAY_MS * DAY_MS - 90 * DAY_MS
    for table in tables:
        if store.query(f"SELECT count() AS n FROM {table}")[0]["n"]:
            continue
        statement, began = (SHOP / f"{table}.sql").read_text(encoding="utf-8"), time.monotonic()
        for first in range(0, carts, _AT_ONCE):
            some = {"first": first, "count": min(_AT_ONCE, carts - first), "begin": begin, "carts": carts}
            store.execute(statement, some)
        if table == "abandonments_log":
            first, days = begin // DAY_MS, range(-1, 92)
            rollup.count(store, {(shop, first + day) for shop in ("main", "berlin", "wien") for day in days})
        print(f"{table}: made in {time.monotonic() - began:,.0f} s", flush=True)


def read(store: ClickHouse, number: int) -> Iterator[tuple[str, list[float]]]:
    """Each kind of reading, and how long each took (ms)."""
    draw, end = random.Random(20261126), store.query("SELECT max(abandoned_at) AS end FROM abandonments_log")[0]["end"]
    carts = Carts(store, FakeClock(to_ms(end)))  # as if they were read as the last one is left, whatever time it is
    newest, last = carts.page(limit=48).rows, datetime.now(UTC).date()
    someone = [row.abandonment_id for row in newest] + [
        row.abandonment_id for row in carts.page(state="recovered").rows
    ]
    kinds: dict[str, Callable[[], object]] = {
        "list, all": lambda: carts.page(limit=48),
        "list, a shop": lambda: carts.page(shop=draw.choice(("main", "berlin", "wien")), limit=48),
        "list, a state": lambda: carts.page(state=draw.choice(_STATES), limit=48),
        "list, a stage of a shop": lambda: carts.page(shop="wien", stage=draw.choice(_STAGES), limit=48),
        "list, searched": lambda: carts.page(search=draw.choice(_SEARCHES), limit=48),
        "list, oldest first": lambda: carts.page(sort="oldest", limit=48),
        "list, somewhere": lambda: carts.page(cursor=_somewhere(draw), limit=48),
        "a cart in full": lambda: carts.detail(draw.choice(someone)),
        "tile: the figures above the list": carts.counts,
    }
    for title, statement in panels.statements(datetime.combine(last, datetime.min.time(), UTC)):
        kinds[f"tile: {title}"] = partial(store.query, statement)
    for report in _REPORTS:
        kinds[f"report {report}, 30 days"] = partial(run, store, report, from_=last - timedelta(days=30), to=last)
    for name, reading in kinds.items():
        reading()
        taken: list[float] = []
        while len(taken) < number and (sum(taken) < _PATIENCE_MS or len(taken) < _FEWEST):
            began = time.perf_counter()
            reading()
            taken.append((time.perf_counter() - began) * 1000)
        yield name, taken


def quantiles(taken: list[float]) -> tuple[float, float]:
    """(median, 95th percentile)."""
    ordered = sorted(taken)
    return ordered[len(ordered) // 2], ordered[int(len(ordered) * 0.95)]


def _somewhere(draw: random.Random) -> str:
    return cursor_of(datetime.now(UTC) - timedelta(days=draw.uniform(1, 88)), "f" * 32)
