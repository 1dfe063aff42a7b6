"""The e-mail channel's figures for Prometheus."""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from reminders.channels.email import EmailChannel


class MailMeters(Collector):
    """Reads a channel when it is asked; register it with the registry of the role."""

    def __init__(self, channel: EmailChannel) -> None:
        self._channel = channel

    def collect(self) -> Iterator[Metric]:
        """Whether mails are paused, and how each relay stands."""
        channel = self._channel
        yield GaugeMetricFamily("cartwake_mail_paused", "1 while no relay can be used", value=int(channel.paused))
        yield CounterMetricFamily("cartwake_mail_pauses", "How often no relay could be used", value=channel.pauses)
        failing = GaugeMetricFamily("cartwake_mail_relay_failures", "Outages since it last worked", labels=["relay"])
        opened = CounterMetricFamily("cartwake_mail_connections", "Connections opened", labels=["relay"])
        for station in channel.stations:
            failing.add_metric([str(station.relay)], station.health.failures)
            opened.add_metric([str(station.relay)], station.connections)
        yield failing
        yield opened
