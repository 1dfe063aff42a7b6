"""What one fault has shown: a line of the table in docs/reliability.md."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Ground:
    """Where a fault runs: folders of its own, a seed that repeats its choices, and whether to be brief.

    `bootstrap` is a Kafka that others use too; a fault that harms brokers starts its own.
    """

    bootstrap: str
    folder: Path
    seed: int
    quick: bool


@dataclass(frozen=True)
class Result:
    """Figures of one fault, all its runs together."""

    fault: str
    runs: int
    events: int
    kills: int
    lost: int
    double: int
    recovered_s: tuple[float, ...]  # how long each recovery took
    seed: int
    note: str = ""
    wrong: tuple[str, ...] = field(default=())  # what else should not have been; empty when all held

    @property
    def held(self) -> bool:
        """Whether nothing was lost, doubled or otherwise wrong."""
        return not (self.lost or self.double or self.wrong)


Fault = Callable[[Ground], Result]
