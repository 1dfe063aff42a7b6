"""What a worker tells Prometheus: what it counted while it worked, and how it stands when it is asked."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from streams.runtime.app import App

_SHORT: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_LONG: Final = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 5, 30, 60, 300, 1800, 7200)


class Metrics:
    """The histograms of one app, in a registry of its own."""

    def __init__(self, app: "App") -> None:
        self.registry = CollectorRegistry()
        self.batch = Histogram(
            "cartwake_batch_seconds", "To take one partition batch", ["stage"], buckets=_SHORT, registry=self.registry
        )
        self.commit = Histogram(
            "cartwake_commit_seconds", "Outputs, changelog and offsets", buckets=_SHORT, registry=self.registry
        )
        self.restore = Histogram(
            "cartwake_restore_seconds", "To read one changelog", ["stage"], buckets=_LONG, registry=self.registry
        )
        self.lateness = Histogram(
            "cartwake_timer_lateness_seconds",
            "How long after its time, by the broker's clock, a timer was looked at",
            ["stage"],
            buckets=_LONG,
            registry=self.registry,
        )
        self.registry.register(_Standing(app))


class _Standing(Collector):
    """How the app stands. Read from another thread while the loop works: each figure is right for itself."""

    def __init__(self, app: "App") -> None:
        self._app = app

    def describe(self) -> list[Metric]:
        """Nothing is known before the app runs."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Counters of the stages, then partitions."""
        app = self._app
        counted = CounterMetricFamily("cartwake_stage", "What the stages count", labels=["stage", "what"])
        for (stage, what), n in list(app.counters.items()):
            counted.add_metric([stage, what], n)
        yield counted
        partitions = list(app.partitions.values())
        yield _gauge("states", "States held", partitions, lambda p: len(p.table))
        yield _gauge("state_memory_bytes", "Packed states in memory", partitions, lambda p: p.table.bytes)
        yield _gauge("progress_seconds", "How far time has come (epoch)", partitions, lambda p: p.progress / 1000)
        lag = GaugeMetricFamily("cartwake_lag_records", "Records not taken yet", labels=["stage", "partition", "topic"])
        for partition in partitions:
            for topic, position in list(partition.positions.items()):
                end = app.end_of(topic, partition.partition)
                if end is not None:
                    lag.add_metric([partition.stage.name, str(partition.partition), topic], max(0, end - position))
        yield lag
        moved = GaugeMetricFamily("cartwake_moved_seconds", "When it last moved (monotonic)", labels=["what"])
        for what, at in list(app.moved.items()):
            moved.add_metric([what], at)
        yield moved


def _gauge(name: str, says: str, partitions: list[Any], figure: Any) -> Metric:
    found = GaugeMetricFamily(f"cartwake_{name}", says, labels=["stage", "partition"])
    for partition in partitions:
        found.add_metric([partition.stage.name, str(partition.partition)], figure(partition))
    return found
