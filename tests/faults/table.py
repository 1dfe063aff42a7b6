"""Running a row, and writing it as a line of the table."""

import traceback

from tests.faults.result import Ground, Result
from tests.faults.rows import ROWS
from tests.faults.scene import middle

HEAD = "| fault | runs | events | kills | lost | double | recovery, median/max s | seed | held | note |"


def run(name: str, ground: Ground) -> Result:
    """One fault; one that could not be run to its end has not held."""
    try:
        return ROWS[name](ground)
    except Exception as exc:
        traceback.print_exc()
        return Result(name, 0, 0, 0, 0, 0, (), ground.seed, wrong=(f"not run: {type(exc).__name__}: {exc}",))


def held(result: Result) -> bool:
    """Whether it went as it must: the negative control must lose."""
    return (result.lost > 0 and not result.wrong) if result.fault.startswith("negative control") else result.held


def line(result: Result) -> str:
    """The row of the table."""
    note = "; ".join([*result.wrong, *([result.note] if result.note else [])])
    cells = [
        result.fault, result.runs, f"{result.events:,}", result.kills, result.lost, result.double,
        middle(result.recovered_s), result.seed, "yes" if held(result) else "**no**", note.replace("|", "/"),
    ]  # fmt: skip
    return "| " + " | ".join(map(str, cells)) + " |"
