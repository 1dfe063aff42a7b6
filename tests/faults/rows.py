"""Every fault by its name: a new one is a function that takes a Ground and gives a Result, named in its file's ROWS."""

from typing import Final

from tests.faults import control, workers
from tests.faults.result import Fault

ROWS: Final[dict[str, Fault]] = {**control.ROWS, **workers.ROWS}
