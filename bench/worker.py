"""A worker of stage 1 that says how it is: `{"assigned_s", "carts", "bytes", "rss"}` after each assignment.

python -m bench.worker BOOTSTRAP PREFIX FOLDER [STATE_MEMORY_MB]
"""

import asyncio
import contextlib
import json
import logging
import resource
import signal
import sys
import time
from pathlib import Path
from typing import Any

from bench.made import GROUP
from cartwake import pipeline
from cartwake.settings import Settings
from cartwake.shops import Shops


def rss() -> int:
    """Bytes of memory that this process has now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


async def serve(app: Any) -> None:
    """Run until SIGTERM."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    before, restore = rss(), app.restore

    async def timed(assigned: Any) -> None:
        began = time.monotonic()
        await restore(assigned)
        tables = [p.table for p in app.partitions.values()]
        said = {
            "assigned_s": time.monotonic() - began,
            "at": time.time(),
            "partitions": len(tables),
            "carts": sum(len(table) for table in tables),
            "bytes": sum(table.bytes for table in tables),
            "rss": rss(),
            "rss_before": before,
        }
        print(json.dumps(said), flush=True)

    app.restore = timed
    await app.start()
    while not (stop.is_set() or app.failure is not None or app.should_stop):
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), 0.2)
    print(json.dumps({"rss": rss(), "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}), flush=True)
    await asyncio.wait_for(app.stop(), 15)


def main(bootstrap: str, prefix: str, folder: str, memory: str = "0") -> None:
    """Be one worker."""
    logging.basicConfig(level=logging.ERROR)
    settings = Settings(
        kafka_bootstrap=bootstrap, topic_prefix=prefix, data_dir=Path(folder), state_memory_mb=int(memory)
    )
    app = pipeline.app(settings, GROUP, [pipeline.left(Shops())], say=lambda _text: None)
    asyncio.run(serve(app))
    if app.failure is not None:
        raise app.failure


if __name__ == "__main__":
    main(*sys.argv[1:])
