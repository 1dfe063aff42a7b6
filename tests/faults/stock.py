"""Faust as it comes: an agent that counts by key in a table and says each event's id. `stock.py BOOTSTRAP NAME FOLDER`.

It is the negative control: what loses nothing here, under the kills of the other faults, proves nothing elsewhere.
"""

import asyncio
import sys
from pathlib import Path
from typing import Any

import faust  # noqa: TID251 - the thing that is compared with

WORK_S = 0.002  # what an agent takes that does a little more than this one


def make(bootstrap: str, name: str, folder: str) -> Any:
    """The app, as its documentation shows it, with time-outs short enough to be killed often."""
    app = faust.App(
        name,
        broker=f"kafka://{bootstrap}",
        datadir=Path(folder),
        store="memory://",
        web_enabled=False,
        topic_partitions=8,
        topic_disable_leader=True,
        broker_session_timeout=6.0,
        broker_heartbeat_interval=1.0,
        broker_commit_interval=0.5,
        consumer_auto_offset_reset="earliest",
    )
    heard = app.topic(f"{name}.in", key_type=str, value_type=str)
    said = app.topic(f"{name}.out", key_type=str, value_type=str)
    counts = app.Table("counts", default=int)

    @app.agent(heard)  # type: ignore[untyped-decorator]
    async def count(events: Any) -> None:
        async for key, value in events.items():
            counts[key] += 1
            await asyncio.sleep(WORK_S)
            await said.send(key=key, value=value)

    return app


if __name__ == "__main__":
    _worker = faust.Worker(make(*sys.argv[1:4]), loglevel="ERROR")
    _worker.execute_from_commandline()
