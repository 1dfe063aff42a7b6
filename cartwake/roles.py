"""The processes of a pipeline: what each role does from its start to a signal.

Each role waits for its parts with a message, ends by SIGTERM or Ctrl-C with everything committed, and ends with an
error when it can't go on, so that a supervisor starts it again.
"""

import asyncio
import contextlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Final

from cartwake import alert_log
from cartwake.alarms import Alarms
from cartwake.broker import ensure_topics
from cartwake.durations import duration
from cartwake.errors import CartwakeError, SinkUnavailable
from cartwake.metrics import serve_metrics
from cartwake.publish import Publisher
from cartwake.settings import Settings
from cartwake.shops import Shops, follow

log = logging.getLogger(__name__)

STOP_BOUND_S: Final = 15.0


def streams(settings: Settings) -> None:
    """Stages 1 and 2."""
    from cartwake import pipeline

    shops = _shops(settings)
    _run_app(pipeline.streams(settings, shops, say=log.warning), settings, 0)


def reminders(settings: Settings) -> None:
    """Stage 3."""
    from cartwake import pipeline

    shops, alarms = _shops(settings), Alarms()
    alert_log.follow(settings, alarms)  # until the process ends
    _run_app(pipeline.reminders(settings, shops, alarms=alarms, say=log.warning), settings, 1)


def sink(settings: Settings) -> None:
    """Every topic into ClickHouse."""
    from sinks.clickhouse import ClickHouse
    from sinks.meters import Meters
    from sinks.migrate import migrate_settings
    from sinks.rollup import Rollup
    from sinks.sink import Sink

    ensure_topics(settings, say=log.warning)
    stop = stop_on_signals()  # not before: who waits for Kafka just ends
    try:
        store = ClickHouse.connect(settings.clickhouse_dsn, settings.clickhouse_database, stop=stop)
    except SinkUnavailable:
        if stop.is_set():
            return
        raise
    with store:
        try:
            migrate_settings(store, settings, stop=stop)
        except SinkUnavailable:
            if stop.is_set():
                return
            raise
        role = Sink(settings, store, rollup=Rollup(store))
        with serve_metrics(settings, Meters(lambda: asdict(role.counters)).registry, 2):
            role.run(stop)


def collector(settings: Settings) -> None:
    """Events over HTTP, the addresses of our messages, and the demo's shop if that is set."""
    from starlette.routing import Mount

    from cartwake.current_cart import CurrentCarts
    from ingest import collector as hearing
    from ingest import shop
    from reminders import web

    shops = Shops()
    # in the background: without Kafka it answers, and says 503
    threading.Thread(target=_keep_shops, args=(settings, shops), name="shops", daemon=True).start()
    with Publisher(settings) as publisher:
        routes, figures = web.routes(settings, publisher, shops, CurrentCarts(settings, shops))
        if settings.demo_idle:
            page = shop.routes(
                idle=duration(settings.demo_idle),
                mailbox_url=settings.mailbox_url,
                console_url=settings.console_url,
            )
            routes.append(Mount("/shop", routes=page))
        app = hearing.create_app(settings, publisher, shops, extra_routes=routes, figures=figures)
        hearing.server(app, settings).run()


def console(settings: Settings) -> None:
    """The staff's pages."""
    import uvicorn

    from console.app import create_app
    from sinks.carts import Carts
    from sinks.clickhouse import ClickHouse

    ensure_topics(settings, say=log.warning)
    with (
        ClickHouse.connect(settings.clickhouse_dsn, settings.clickhouse_database) as store,
        Publisher(settings) as publisher,
    ):
        hosts = [name for part in settings.console_hosts.split(",") if (name := part.strip())]
        app = create_app(carts=Carts(store), publisher=publisher, settings=settings, hosts=hosts)
        uvicorn.run(
            app,
            host=settings.host,
            port=settings.console_port,
            log_level=settings.log_level,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=5,
        )


ROLES: Final[dict[str, Callable[[Settings], None]]] = {
    "streams": streams,
    "reminders": reminders,
    "sink": sink,
    "collector": collector,
    "console": console,
}


def run(role: str, settings: Settings) -> None:
    """Be one role until a signal comes; raises CartwakeError when it can't go on."""
    logging.getLogger().setLevel(settings.log_level.upper())
    for chatty in ("aiokafka", "faust", "mode", "kafka"):
        logging.getLogger(chatty).setLevel(logging.ERROR if settings.log_level != "debug" else logging.DEBUG)
    ROLES[role](settings)


def _shops(settings: Settings) -> Shops:
    shops = Shops()
    _keep_shops(settings, shops)
    return shops


def _keep_shops(settings: Settings, shops: Shops) -> None:
    ensure_topics(settings, say=log.warning)
    follow(settings, shops)  # until the process ends


def _run_app(app: Any, settings: Settings, number: int) -> None:
    with serve_metrics(settings, app.metrics.registry, number):
        asyncio.run(_serve(app))
    if app.failure is not None:
        raise CartwakeError(f"{app.config.group} stopped: {app.failure}") from app.failure


async def _serve(app: Any) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await app.start()
    while not (stop.is_set() or app.failure is not None or app.should_stop):
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), 0.2)
    try:
        await asyncio.wait_for(app.stop(), STOP_BOUND_S)
    except TimeoutError:
        log.critical("did not stop within %.0f s; what was not committed will be read again", STOP_BOUND_S)
        sys.stderr.flush()
        os._exit(1)


def stop_on_signals() -> threading.Event:
    """What SIGTERM and Ctrl-C set from now on."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop
