"""This project's stage 1 alone, as `cartwake run` runs it: one process of its consumer group.

python -m bench.ours --bootstrap=… --input=PREFIXcart-events --folder=…
"""

import argparse
import asyncio
import contextlib
import logging
import signal
from pathlib import Path
from typing import Any

from cartwake import pipeline, topics
from cartwake.settings import Settings
from cartwake.shops import Shops


def app_of(arguments: argparse.Namespace) -> Any:
    """Stage 1 as an app of the group `PREFIXbench`, on event time."""
    settings = Settings(
        kafka_bootstrap=arguments.bootstrap,
        topic_prefix=arguments.input.removesuffix(topics.CART_EVENTS.name),
        data_dir=Path(arguments.folder) / f"worker-{arguments.worker}",
        time="event",
    )
    return pipeline.app(settings, "bench", [pipeline.left(Shops())], lambda _text: None)


def read_all(app: Any) -> bool:
    """Whether nothing is left to be read on the partitions that this worker has."""
    left = [(app.end_of(t, p.partition), at) for p in app.partitions.values() for t, at in p.positions.items()]
    return bool(left) and all(end is not None and at >= end > 0 for end, at in left)


async def serve(app: Any, mark: int) -> None:
    """Run until SIGTERM, saying `first` with the first events, or `mark` after so many of them.

    It commits when it has read all, as Kafka Streams' program does by closing.
    """
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await app.start()
    said = committed = False
    while not (stop.is_set() or app.failure is not None or app.should_stop):
        if not said and app.counters["carts", "events"] > mark:
            said = True
            print("mark" if mark else "first", flush=True)
        if said and not committed and read_all(app):
            committed = await app._commit()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), 0.05 if said else 0.005)
    await asyncio.wait_for(app.stop(), 15)


def main() -> None:
    """Be one worker until SIGTERM."""
    logging.basicConfig(level=logging.ERROR)
    parser = argparse.ArgumentParser(prog="python -m bench.ours")
    for name in ("bootstrap", "input", "output", "group", "records", "folder"):
        parser.add_argument(f"--{name}", default="")
    parser.add_argument("--worker", default="0")
    parser.add_argument("--mark", type=int, default=0)
    arguments = parser.parse_args()
    app = app_of(arguments)
    asyncio.run(serve(app, arguments.mark))
    if app.failure is not None:
        raise app.failure


if __name__ == "__main__":
    main()
