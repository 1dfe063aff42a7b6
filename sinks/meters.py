"""The sink's figures for Prometheus."""

from collections.abc import Callable, Iterator, Mapping

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector


class Meters(Collector):
    """Reads the sink's counters when it is asked."""

    def __init__(self, counters: Callable[[], Mapping[str, int]]) -> None:
        self.registry = CollectorRegistry()
        self._counters = counters
        self.registry.register(self)

    def collect(self) -> Iterator[Metric]:
        """One counter with a label, as the sink names its counters."""
        found = CounterMetricFamily("cartwake_sink", "What the sink counts", labels=["what"])
        for what, n in self._counters().items():
            found.add_metric([what], n)
        yield found
