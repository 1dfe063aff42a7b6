"""A process of its own that counts, to be killed or stopped: `python worker.py BOOTSTRAP PREFIX PARTITIONS FOLDER`.

It says `restored N` when its partitions are there, and `early …` when time ran ahead of a record it had not read.
"""

import asyncio
import sys
from pathlib import Path
from typing import Any

from tests.streams.world import Tallying, World, tallying, until


def say(line: str) -> None:
    """Tell the test."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


class Watching(Tallying):
    """Says when time was told to be later than a record that came afterwards."""

    def on_restored(self) -> None:
        super().on_restored()
        say(f"restored {self.restored}")

    def take(self, record: Any) -> None:
        if self.times and self.times[-1] > record.timestamp:
            say(f"early {self.times[-1] - record.timestamp} ms")
        super().take(record)


async def main(bootstrap: str, prefix: str, partitions: str, folder: str) -> None:
    world = World(bootstrap, Path(folder), int(partitions), prefix)
    app = world.app(tallying(Watching))
    await app.start()
    await until(lambda: app.failure, patience=3600)
    say(f"failed {app.failure}")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
