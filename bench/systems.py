"""All systems by name, in the order in which a round takes them."""

import sys

from bench.job import Command, Job, System
from cartwake import topics


def _ours(job: Job, workers: int) -> list[Command]:
    return [[sys.executable, "-m", "bench.ours", *job.flags(), f"--worker={n}"] for n in range(workers)]


_ALL = (
    System(
        name="ours",
        says="Faust with partition batches; changelog and offsets committed every 0.1 s",
        workers=(1, 2, 3),
        commands=_ours,
        output=topics.CART_OUTCOMES.name,
        group="bench",
    ),
)
SYSTEMS: dict[str, System] = {system.name: system for system in _ALL}
