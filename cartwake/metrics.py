"""`/metrics` of a role that has no other HTTP side."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, start_http_server

from cartwake.settings import Settings

log = logging.getLogger(__name__)


@contextmanager
def serve_metrics(settings: Settings, registry: CollectorRegistry, number: int) -> Iterator[None]:
    """Serve `registry` at `metrics_port` + `number` while the block runs; nothing where the setting is 0.

    A port that is taken (by a second worker of this role) is said, and stops nobody.
    """
    if settings.metrics_port == 0:
        yield
        return
    port = settings.metrics_port + number
    try:
        server, thread = start_http_server(port, settings.host, registry)
    except OSError as exc:
        log.warning("no metrics here: port %d: %s. Set CARTWAKE_METRICS_PORT, or 0 for none", port, exc.strerror)
        yield
        return
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
