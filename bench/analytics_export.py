"""Export of carts as CSV and XML: carts in a second, and the memory of the command and of ClickHouse.

The shop is made up (bench/shop). Each run is the command `cartwake export carts` with the usual columns, from its start
to the end of its file, CSV and XML in turns. ClickHouse is started anew when the shop is made, so that its memory is
that of the exports.
"""

import contextlib
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from bench.analytics_ground import listener
from bench.analytics_lists import make
from bench.run import cpu_seconds
from cartwake.settings import Settings
from local import stack
from local.kafka import free_port
from sinks.clickhouse import ClickHouse
from sinks.export import FORMATS
from sinks.migrate import migrate

_LINE: Final = {"csv": b"\r\n", "xml": b"</cart>\n"}
_MIB: Final = 1024 * 1024


def add_arguments(parser: Any) -> None:
    """Options of this benchmark."""
    parser.add_argument("--export-carts", type=int, default=1_000_000)
    parser.add_argument("--export-rounds", type=int, default=3)
    parser.add_argument("--export-json", action="store_true")


@dataclass
class Figures:
    """What the runs of one format showed."""

    rates: list[float] = field(default_factory=list)
    cpu_command: list[float] = field(default_factory=list)
    cpu_server: list[float] = field(default_factory=list)
    peak_command: int = 0  # MiB
    peak_server: int = 0
    size: int = 0


def main(arguments: Any) -> int:
    """Make the shop, and write it to files again and again."""
    found = {name: Figures() for name in FORMATS}
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(data_dir=Path(folder), clickhouse_port=free_port())
        with serving(settings) as running, opened(running) as store:
            migrate(store, retention_days=900)
            make(store, arguments.export_carts, tables=("abandonments_log",))
        with serving(settings) as running:
            server = listener(settings.clickhouse_port)
            with opened(running) as store:
                store.query("SELECT count() FROM abandonments")
            before = resident(server)
            for _ in range(arguments.export_rounds):
                for name, figures in found.items():
                    export(running, server, name, Path(folder) / f"carts.{name}", arguments.export_carts, figures)
    tell(found, before, arguments)
    return 0


@contextmanager
def serving(settings: Settings) -> Iterator[Settings]:
    """A ClickHouse on the data folder."""
    with stack.embedded(settings, clickhouse=True) as running:
        yield running


def opened(settings: Settings) -> ClickHouse:
    """A client that waits long."""
    return ClickHouse.open(settings.clickhouse_dsn, settings.clickhouse_database, timeout_s=600)


def export(settings: Settings, server: int, format_: str, file: Path, carts: int, figures: Figures) -> None:
    """One run; raises SystemExit when not all carts are in the file."""
    forget_peak(server)
    command = [sys.executable, "-m", "cartwake", "export", "carts", "--format", format_, "--output", str(file)]
    used, own, began = cpu_seconds(server), children(), time.perf_counter()
    process = subprocess.Popen(command, env=os.environ | settings.environment())
    while process.poll() is None:  # what a process has used at most is gone with it
        figures.peak_command = max(figures.peak_command, resident(process.pid, "VmHWM"))
        time.sleep(0.005)
    took = time.perf_counter() - began
    lines = count(file, _LINE[format_]) - (format_ == "csv")
    if process.returncode or lines != carts:
        raise SystemExit(f"the command ended with {process.returncode}, {lines:,} of {carts:,} carts are in its file")
    figures.rates.append(carts / took)
    figures.cpu_command.append(children() - own)
    figures.cpu_server.append(cpu_seconds(server) - used)
    figures.peak_server = max(figures.peak_server, resident(server, "VmHWM"))
    figures.size = file.stat().st_size
    file.unlink()


def count(file: Path, end: bytes) -> int:
    """How often `end` is in a file, which is read a piece at a time; no text of this shop has it."""
    found, rest = 0, b""
    with file.open("rb") as source:
        while piece := source.read(16 * _MIB):
            found += (rest + piece).count(end)
            rest = (rest + piece)[-len(end) + 1 :]
    return found


def children() -> float:
    """CPU time of the processes that were started here and have ended, in seconds."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def resident(pid: int, which: str = "VmRSS") -> int:
    """Memory of a process in MiB, now or (`VmHWM`) at most since `forget_peak`; 0 where there is no /proc."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError, ValueError):  # one that has ended has no such line
        words = Path(f"/proc/{pid}/status").read_text().split()
        return int(words[words.index(f"{which}:") + 1]) // 1024
    return 0


def forget_peak(pid: int) -> None:
    """Let the most memory of a process be what it has now (proc(5), clear_refs)."""
    with contextlib.suppress(FileNotFoundError):
        Path(f"/proc/{pid}/clear_refs").write_text("5")


def tell(found: dict[str, Figures], before: int, arguments: Any) -> None:
    """The table."""
    print(f"{arguments.export_carts:,} carts; ClickHouse had {before:,} MiB before")
    print(f"{'':24}carts/s{'':29}CPU s{'':14}MiB at most, of the")
    print(
        f"{'':6}{'min':>12}{'median':>12}{'max':>12}{'command':>12}{'ClickHouse':>12}{'command':>12}{'ClickHouse':>12}{'file':>8}"
    )
    summaries: dict[str, Any] = {}
    for name, x in found.items():
        rates = [round(y) for y in (min(x.rates), statistics.median(x.rates), max(x.rates))]
        command, server = statistics.median(x.cpu_command), statistics.median(x.cpu_server)
        print(
            f"{name:6}{rates[0]:>12,}{rates[1]:>12,}{rates[2]:>12,}{command:>12.2f}{server:>12.2f}"
            f"{x.peak_command:>12,}{x.peak_server:>12,}{x.size // _MIB:>8,}"
        )
        summaries[name] = {
            "carts_per_second": rates,
            "cpu_s_command": round(command, 2),
            "cpu_s_clickhouse": round(server, 2),
            "mib_command": x.peak_command,
            "mib_clickhouse": x.peak_server,
        }
    if arguments.export_json:
        print(json.dumps({"mib_clickhouse_before": before, "formats": summaries}))
