"""Stage 1 in stock Faust: an agent, a table in memory with its changelog, an index of deadlines beside it."""

import heapq
import logging
from collections import defaultdict
from pathlib import Path
from typing import Any

import cart
import faust  # noqa: TID251 - the peer is Faust
from flags import First, parse


def main() -> None:
    """Run until SIGTERM."""
    flags = parse()
    app = faust.App(
        flags.group,
        broker=f"kafka://{flags.bootstrap}",
        datadir=str(Path(flags.folder) / "faust"),
        store="memory://",
        topic_partitions=4,
        web_enabled=False,
        consumer_auto_offset_reset="earliest",
        broker_commit_interval=1.0,
    )
    events = app.topic(flags.input, key_serializer="raw", value_serializer="json")
    outcomes = app.topic(flags.output, key_serializer="raw", value_serializer="json")
    carts = app.Table("carts", partitions=4)
    due: dict[int, list[tuple[int, str]]] = defaultdict(list)
    now: dict[int, int] = defaultdict(int)
    first = First()

    def wait_for(partition: int, state: dict[str, Any]) -> None:
        heapq.heappush(due[partition], (state["last"] + cart.IDLE_MS, state["id"]))

    @app.agent(events)
    async def fold(stream: Any) -> None:
        async for event in stream.events():
            first()
            value, partition = event.value, event.message.partition
            state = carts.get(value["cart_id"]) or cart.new(value["cart_id"])
            waited = cart.waits(state)
            said = cart.fold(state, value)
            if said is None:
                continue
            carts[state["id"]] = state
            if cart.waits(state) and not waited:
                wait_for(partition, state)
            now[partition] = max(now[partition], cart.millis(value["occurred_at"]))
            while due[partition] and due[partition][0][0] <= now[partition]:
                left = carts.get(heapq.heappop(due[partition])[1])
                if left is None or not cart.waits(left):
                    continue
                if left["last"] + cart.IDLE_MS > now[partition]:
                    wait_for(partition, left)
                else:
                    said.append(cart.fire(left))
                    carts[left["id"]] = left
            for one in said:
                await outcomes.send(key=one["cart_id"].encode(), value=one)

    faust.Worker(app, loglevel=logging.ERROR, redirect_stdouts=False).execute_from_commandline()


if __name__ == "__main__":
    main()
