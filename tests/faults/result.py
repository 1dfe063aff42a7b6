"""What one fault has shown: a line of the table in docs/reliability.md."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Self


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


@dataclass
class Tally:
    """What a comparison in this process has found; whoever counts more extends it."""

    events: int = 0
    lost: int = 0
    double: int = 0
    wrong: list[str] = field(default_factory=list)

    def add(self, other: Self) -> None:
        """Count `other` in."""
        for name, value in asdict(other).items():
            setattr(self, name, getattr(self, name) + value)
