"""The regular jobs beside the roles: what each is started with, and the sign that it is at work.

`bounces` reads the mailbox for bounces again and again, `recommend` finds out every day what is bought together,
`alarms` looks each minute whether a checkout is broken. Each is a command that stays. It is no member of a group and
answers on no port, so it touches a file in the data folder while it waits: one that hangs, or is not there, shows by
the age of that file.
"""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from cartwake.errors import ConfigurationError
from cartwake.settings import Settings

BOUNCES, RECOMMEND, ALARMS = "bounces", "recommend", "alarms"
JOBS: Final = (BOUNCES, RECOMMEND, ALARMS)
SIGN_S: Final = 20.0  # between two signs of life
SILENT_S: Final = 600.0  # without one: no run takes so long unless it hangs


def wanted(settings: Settings) -> dict[str, tuple[str, ...]]:
    """The jobs that the settings ask for, each with the words of its command."""
    found: dict[str, tuple[str, ...]] = {}
    if settings.bounces_url:
        found[BOUNCES] = ("bounces", "fetch", "--every", settings.bounces_every)
    if settings.recommend_daily:
        found[RECOMMEND] = ("recommend", "--daily", settings.recommend_daily)
    if settings.alarms_every:
        found[ALARMS] = ("alarms", "--every", settings.alarms_every)
    return found


def said(settings: Settings) -> Iterator[tuple[str, str]]:
    """Each job with when it runs, or what has to be set so that it does."""
    yield (
        BOUNCES,
        f"the mailbox is read every {settings.bounces_every}"
        if settings.bounces_url
        else "no mailbox is set, so none is read (CARTWAKE_BOUNCES_URL, docs/mail-feedback.md)",
    )
    yield (
        RECOMMEND,
        f"what is bought together is found every day at {settings.recommend_daily} UTC"
        if settings.recommend_daily
        else "no time is set, so it does not run (CARTWAKE_RECOMMEND_DAILY=03:00)",
    )
    yield (
        ALARMS,
        f"the checkouts of all shops are looked at every {settings.alarms_every}"
        if settings.alarms_every
        else "no time is set, so no checkout is looked at (CARTWAKE_ALARMS_EVERY=1m)",
    )


def rest(settings: Settings, job: str, until: float, stop: threading.Event) -> bool:
    """Wait until that moment (seconds since the epoch), giving signs of life; whether to stop now.

    Raises ConfigurationError when the data folder can't be written.
    """
    sign = _sign(settings, job)
    while True:
        try:
            sign.parent.mkdir(parents=True, exist_ok=True)
            sign.touch()
        except OSError as exc:
            raise ConfigurationError(
                f"the job {job} can't write {sign}: {exc.strerror}. Example: CARTWAKE_DATA_DIR=/var/lib/cartwake"
            ) from exc
        left = until - time.time()
        if left <= 0:
            return stop.is_set()
        if stop.wait(min(left, SIGN_S)):
            return True


def silence(settings: Settings, job: str) -> float | None:
    """Seconds since the job's last sign of life on this data folder, or None when there is none."""
    try:
        return max(time.time() - _sign(settings, job).stat().st_mtime, 0.0)
    except FileNotFoundError:
        return None


def _sign(settings: Settings, job: str) -> Path:
    return Path(settings.data_dir) / "jobs" / job
