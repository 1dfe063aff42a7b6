"""Every fault by its name: a new one is a function that takes a Ground and gives a Result, named in its file's ROWS."""

from typing import Final

from tests.faults import (
    brokers,
    clickhouse,
    clocks,
    control,
    disk,
    headers,
    inputs,
    mail,
    mail_clock,
    returns,
    storm,
    unsubscribe,
    watchdog,
    workers,
)
from tests.faults.result import Fault

#: Those with a quick form, and those too long for one.
QUICK: Final[dict[str, Fault]] = {
    **control.ROWS, **workers.ROWS, **storm.ROWS, **brokers.ROWS, **disk.ROWS, **watchdog.ROWS,
    **inputs.ROWS, **clocks.ROWS, **mail.ROWS, **headers.ROWS, **unsubscribe.ROWS, **returns.ROWS, **mail_clock.ROWS,
    **clickhouse.ROWS,
}  # fmt: skip
ROWS: Final[dict[str, Fault]] = {**QUICK, **brokers.FULL}
