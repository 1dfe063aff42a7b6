"""The figures as SVG, for docs/images/: `plot.py bars|lines|sizes FOLDER` with the figures as JSON on its input.

A program of its own, because matplotlib is in the environment of the peers and not in the project's.
"""

import json
import statistics
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

_OURS, _OTHERS, _INK = "#0b7285", "#adb5bd", "#343a40"


def bars(systems: dict[str, Any], folder: Path) -> Path:
    """Throughput: a bar for each system, its median with whiskers from min to max, fastest above."""
    shown = list(systems.items())
    shown.sort(key=lambda pair: pair[1]["events_per_second"]["median"])
    names = [name if s["right"] else f"{name} (outcomes wrong)" for name, s in shown]
    rates = [s["events_per_second"] for _, s in shown]
    medians = [rate["median"] for rate in rates]
    whiskers = [[r["median"] - r["min"] for r in rates], [r["max"] - r["median"] for r in rates]]
    figure, axes = _figure(height=0.5 + 0.38 * len(shown))
    axes.barh(names, medians, xerr=whiskers, color=[_OURS if n == "ours" else _OTHERS for n in names], ecolor=_INK)
    axes.set_xlabel("events per second: median, min to max")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    return _save(figure, folder / "bench-carts.svg")


def lines(costs: dict[str, dict[str, list[float]]], folder: Path) -> Path:
    """CPU of an event against the number of open carts, min to max around each median."""
    figure, axes = _figure(height=3.2)
    for name, by_text in costs.items():
        by_size = {int(size): found for size, found in by_text.items()}
        sizes = sorted(by_size)
        medians = [statistics.median(by_size[size]) for size in sizes]
        low = [median - min(by_size[size]) for size, median in zip(sizes, medians, strict=True)]
        high = [max(by_size[size]) - median for size, median in zip(sizes, medians, strict=True)]
        axes.errorbar(
            sizes,
            medians,
            yerr=[low, high],
            marker="o",
            capsize=3,
            label=name,
            color=_OURS if name == "ours" else _OTHERS,
        )
    axes.set_xscale("log")
    axes.set_ylim(bottom=0)
    axes.set_xlabel("open carts")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.set_ylabel("µs of CPU an event")
    axes.legend(frameon=False)
    return _save(figure, folder / "bench-growth.svg")


def sizes(found: dict[str, dict[str, list[float]]], folder: Path) -> Path:
    """p95 of each reading, a mark for each size of the shop, on a logarithmic scale."""
    by_carts = dict(sorted(found.items(), key=lambda pair: int(pair[0])))
    names = list(next(iter(by_carts.values())))[::-1]
    figure, axes = _figure(height=0.8 + 0.2 * len(names))
    for color, (carts, readings) in zip((_OTHERS, _OURS, _INK), by_carts.items(), strict=False):
        label = f"{int(carts) * 20:,} events"
        axes.plot([readings[name][1] for name in names], range(len(names)), "o", color=color, label=label)
    axes.set_yticks(range(len(names)), names)
    axes.grid(axis="y", color="#e9ecef")
    axes.set_axisbelow(True)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.set_xlabel("ms, p95")
    axes.set_ylim(-0.7, len(names) - 0.3)
    axes.legend(frameon=False, loc="upper right")
    return _save(figure, folder / "bench-lists.svg")


def _figure(height: float) -> tuple[Figure, Any]:
    mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "bench", "font.size": 9})
    figure = Figure(figsize=(7, height), layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _save(figure: Figure, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})
    return path


if __name__ == "__main__":
    draw = {"bars": bars, "lines": lines, "sizes": sizes}[sys.argv[1]]
    print(draw(json.load(sys.stdin), Path(sys.argv[2])))
