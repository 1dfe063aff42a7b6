"""The collector's figures for Prometheus."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest


class Meters:
    """Counts what was accepted and what was not; each app has its own."""

    def __init__(self, waiting: Callable[[], float]) -> None:
        self._registry = CollectorRegistry()
        self.accepted = Counter(
            "cartwake_ingest_events_accepted", "Events that Kafka has, by topic", ["topic"], registry=self._registry
        )
        self.rejected = Counter(
            "cartwake_ingest_events_rejected", "Events refused, by kind of reason", ["reason"], registry=self._registry
        )
        self.requests = Counter(
            "cartwake_ingest_requests", "Answers to /v1/events, by status", ["status"], registry=self._registry
        )
        self.refused = Counter(
            "cartwake_ingest_requests_refused", "Requests refused whole, by kind", ["reason"], registry=self._registry
        )
        self.bytes = Counter("cartwake_ingest_bytes", "Bytes of accepted events", registry=self._registry)
        waits = Gauge("cartwake_ingest_waiting", "Events that Kafka has not answered for", registry=self._registry)
        waits.set_function(waiting)

    def text(self) -> bytes:
        """All figures in the Prometheus text format."""
        return generate_latest(self._registry)
