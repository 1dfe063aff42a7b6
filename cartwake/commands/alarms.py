"""`cartwake alarms`: watch the checkouts of all shops, or show the alarms there were."""

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from cartwake import settings as settings_file
from cartwake.errors import SinkUnavailable, Unavailable

if TYPE_CHECKING:
    from cartwake.alarms import Alarm, Alarms
    from cartwake.model import Alert
    from cartwake.settings import Settings
    from cartwake.shops import Shop
    from cartwake.watching import Figures, Tell

_PATIENCE_S = 20.0  # for the sink: it writes twice a second
_SHOWN = 20


@click.command("alarms")
@click.option("--once", is_flag=True, help="look once at the checkout of every shop")
@click.option("--every", default="", help="stay, and look again after such a time: 1m")
@click.option("--shop", default="", help="show those of one shop")
def command(once: bool, every: str, shop: str) -> None:
    """Show the last alarms, or look whether something is wrong: with --once, or again and again with --every.

    An alarm is opened when a step of the checkout, the carts that are bought, or the orders fall far below what is
    normal at this hour and weekday, and closed when they are back. It is said on the topic `alerts`, and by mail to the
    `admins` of the shop's setting `alarms`. A line of JSON says each record.
    """
    import threading

    from cartwake.alarms import Alarms
    from cartwake.alert_log import read
    from cartwake.broker import ensure_topics
    from cartwake.durations import duration
    from cartwake.roles import stop_on_signals
    from local.stack import embedded

    if once and every:
        raise click.UsageError("either --once or --every")
    pause = duration(every).total_seconds() if every else 0.0
    configured = settings_file.load()
    with embedded(configured, kafka=True, clickhouse=once or bool(every), say=_say) as settings:
        ensure_topics(settings, say=_say, patience=None if every else 5)
        alarms = Alarms()
        read(settings, alarms)
        if not (once or every):
            for alarm in _last(alarms, shop):
                sys.stdout.write(f"{_line(alarm)}\n")
            return
        stop = stop_on_signals() if every else threading.Event()
        try:
            _watch(settings, configured, alarms, pause, stop)
        except SinkUnavailable:
            if not stop.is_set():
                raise


def _watch(settings: "Settings", configured: "Settings", alarms: "Alarms", pause: float, stop: Any) -> None:
    import time

    from cartwake import jobs
    from cartwake.arrival import Arrival
    from cartwake.clock import SystemClock
    from cartwake.metrics import serve_metrics
    from cartwake.publish import Publisher
    from cartwake.shops import Shops, follow
    from cartwake.watching import Watch
    from sinks.clickhouse import ClickHouse
    from sinks.flow import Flow
    from sinks.migrate import migrate_settings

    shops, clock = Shops(), SystemClock()
    follow(settings, shops)  # until the process ends
    connect = (
        ClickHouse.connect(settings.clickhouse_dsn, settings.clickhouse_database, stop=stop, say=_say)
        if pause
        else ClickHouse.open(settings.clickhouse_dsn, settings.clickhouse_database)
    )
    with connect as store, Publisher(settings) as publisher, Arrival(settings) as arrival:
        if not configured.clickhouse_dsn:
            migrate_settings(store, settings)  # this machine's own may be new
        watch = Watch(Flow(store), shops, alarms, publisher, _tell(settings), lambda: arrival.wait(_PATIENCE_S))
        with serve_metrics(settings, _registry(watch.figures, alarms), 3):
            while True:
                try:
                    for alert in watch.look(clock.now_ms()):
                        _say_json(alert)
                except Unavailable as exc:
                    if not pause:
                        raise
                    _say(f"cartwake: {exc}")
                if not pause or jobs.rest(settings, jobs.ALARMS, time.time() + pause, stop):
                    return


def _tell(settings: "Settings") -> "Tell":
    """What sends a mail about an alarm over the relays of the settings."""
    from cartwake.secret import secret_of
    from reminders import channels
    from reminders.alarm_mail import alarm_mail
    from reminders.channels.email import never
    from reminders.links import Links
    from reminders.outbox import deliver
    from reminders.outcomes import Failed, Later, Sent, Uncertain
    from reminders.reader import Unfit
    from reminders.render import Renderer

    render = Renderer(links=Links(settings.collector_url, secret_of(settings)), mail_from=settings.mail_from)

    async def tell(alarm: "Alarm", about: "Alert", to: str, shop: "Shop") -> tuple[bool | None, str]:
        try:
            mail = alarm_mail(alarm, about, to, shop, render, settings.staff_url)
        except (Unfit, ValueError) as exc:
            return False, str(exc)
        channel = channels.email(settings)
        try:
            result = await deliver(channel, mail, cancelled=never)
        finally:
            await channel.close()
        match result:
            case Sent(words):
                return True, words
            case Uncertain():
                return True, "Perhaps sent: the mail server took it and did not answer."
            case Later(words):
                return None, words
            case Failed():
                return False, result.words
        return None, "it was put off"

    return tell


def _registry(figures: "Figures", alarms: "Alarms") -> Any:
    from prometheus_client import CollectorRegistry
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
    from prometheus_client.registry import Collector

    class Meters(Collector):
        def collect(self) -> Iterator[Metric]:
            """What the job has done, and which alarms are open."""
            yield CounterMetricFamily("cartwake_alarms_looks", "Looks at all shops", value=figures.looks)
            yield CounterMetricFamily("cartwake_alarms_behind", "Looks put off for the sink", value=figures.behind)
            yield CounterMetricFamily("cartwake_alarms_mails", "Mails to admins", value=figures.mails)
            yield CounterMetricFamily("cartwake_alarms_mails_failed", "Mails refused", value=figures.mails_failed)
            yield GaugeMetricFamily(
                "cartwake_alarms_looked_at_seconds", "The last look, epoch", value=figures.looked_at
            )
            opened = GaugeMetricFamily("cartwake_alarms_open", "1 while an alarm of the shop is open", labels=["shop"])
            for shop_id in {alarm.shop_id for alarm in alarms}:
                last = alarms.last(shop_id)
                opened.add_metric([shop_id], int(last is not None and last.open))
            yield opened

    registry = CollectorRegistry()
    registry.register(Meters())
    return registry


def _last(alarms: "Alarms", shop: str) -> list["Alarm"]:
    found = sorted((x for x in alarms if shop in ("", x.shop_id)), key=lambda x: x.opened_at)
    return found[-_SHOWN:]


def _line(alarm: "Alarm") -> str:
    closed = alarm.closing
    end = f"… {closed.occurred_at[:16]} ({closed.reason})" if closed else "… open"
    return f"{alarm.opening.occurred_at[:16]} {end}  {alarm.shop_id}  {alarm.opening.words}"


def _say(words: str) -> None:
    click.echo(words, err=True)


def _say_json(alert: "Alert") -> None:
    from cartwake.model import encode

    sys.stdout.write(encode(alert).decode() + "\n")
    sys.stdout.flush()
