"""What a system of the benchmark is given and what it has to say: the same for all of them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from bench.expected import ALL_KINDS

Command = list[str]


@dataclass(frozen=True, slots=True)
class Job:
    """One run's work: read `input` to its end, say the outcomes on `output`.

    Every name begins with `prefix`, so that what a run leaves on the broker can be found and removed. A program
    prints `first` when the first record reaches it; one that commits no offsets of a consumer group also prints
    `done` when everything is on the broker and its own way of committing is through.
    """

    bootstrap: str
    prefix: str
    input: str
    output: str
    group: str
    records: int
    folder: Path  # for state and logs, empty, removed afterwards
    mark: int = 0  # print `mark` after so many records: the measure begins there and not with the first

    def flags(self) -> list[str]:
        """The job as arguments of a program."""
        return [
            f"--bootstrap={self.bootstrap}",
            f"--input={self.input}",
            f"--output={self.output}",
            f"--group={self.group}",
            f"--records={self.records}",
            f"--folder={self.folder}",
            *((f"--mark={self.mark}",) if self.mark else ()),
        ]


@dataclass(frozen=True, slots=True)
class System:
    """A system that does the job: how it is started with `workers` of its kind, and what to know of it."""

    name: str
    says: str
    workers: tuple[int, ...]  # the numbers to try
    commands: Callable[[Job, int], list[Command]]  # one for each process
    ready: Callable[[], str | None] = lambda: None  # build what it needs; a reason when that can't be done here
    kinds: frozenset[str] = field(default=ALL_KINDS)  # the outcomes it is written to say
    commits: bool = True  # it commits offsets of the group
    output: str = ""  # its output topic without prefix, when it can't be told
    group: str = ""  # its group without prefix, when it can't be told
    most: int = 0  # records it gets at most, when the whole input would take too long
