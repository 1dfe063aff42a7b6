"""Every role and embedded part of one machine, as processes under one supervisor."""

import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from cartwake import jobs
from cartwake.secret import secret_of
from cartwake.settings import Settings
from local import stack
from local.supervisor import Part, Supervisor

ROLES = ("sink", "streams", "reminders", "collector", "console")


def group_of(
    settings: Settings, roles: Sequence[str] = ROLES, say: Callable[[str], None] | None = None
) -> tuple[Supervisor, Settings]:
    """A supervisor of the embedded parts, `roles` and the regular jobs, and the settings that they run with."""
    running = stack.addressed(settings)
    parts = stack.parts(settings)
    for role in roles:
        workers = settings.streams_workers if role == "streams" else 1
        parts += [role_part(role, running, worker) for worker in range(workers)]
    parts += [job_part(job, words, running) for job, words in jobs.wanted(settings).items()]
    return Supervisor(parts, settings.data_dir, say), running


@contextmanager
def kept(parts: Sequence[Part], data_dir: Path, say: Callable[[str], None] | None = None) -> Iterator[None]:
    """Keep `parts` running, starting again what fails, while the caller does something else."""
    with Supervisor(parts, data_dir, say) as supervisor:
        watch = threading.Thread(target=supervisor.wait, name="supervisor", daemon=True)
        watch.start()
        try:
            yield
        finally:
            supervisor.ask_to_stop()
            watch.join()


def role_part(role: str, settings: Settings, worker: int = 0) -> Part:
    """The process of one role; of several workers each has a number, and metrics of its own."""
    if worker and settings.metrics_port:
        settings = msgspec.structs.replace(settings, metrics_port=settings.metrics_port + 10 * worker)
    pages = {"collector": settings.collector_port, "console": settings.console_port}
    port = pages.get(role)
    return Part(
        f"{role}-{worker + 1}" if worker else role,
        [sys.executable, "-m", "cartwake", "run", role],
        env=settings.environment(),
        ready=None if port is None else lambda: answers(f"http://127.0.0.1:{port}/healthz"),
        way_out=f"Stop it, or take another port: CARTWAKE_{role.upper()}_PORT={(port or 8000) + 10_000}",
    )


def job_part(job: str, words: Sequence[str], settings: Settings) -> Part:
    """The process of one regular job. It is handed the secret, which `bounces` would not make: roles sign with it."""
    running = msgspec.structs.replace(settings, secret=secret_of(settings))
    return Part(job, [sys.executable, "-m", "cartwake", *words], env=running.environment())


def answers(url: str) -> bool:
    """Whether an HTTP server answers there."""
    try:
        with urllib.request.urlopen(url, timeout=1):  # noqa: S310 - loopback, our own
            return True
    except (urllib.error.URLError, OSError):
        return False
