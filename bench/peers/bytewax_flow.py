"""Stage 1 in Bytewax, its own way: stateful logic with a wake-up for each cart, recovery on.

`--way=stateful`: a cart is woken by the system clock two hours after its last event arrived; on a replay, where two
hours pass in seconds, the rest is said at the end of the input. `--way=session`: contents in a stateful step, the gap
by a session window on an event clock, which moves for each cart by itself.
"""

import copy
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import bytewax.operators as op
import bytewax.operators.windowing as win
import cart
import orjson
from bytewax.connectors.kafka import KafkaSinkMessage
from bytewax.connectors.kafka import operators as kop
from bytewax.dataflow import Dataflow
from bytewax.operators import StatefulLogic
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.run import cli_main
from flags import First, parse

IDLE = timedelta(milliseconds=cart.IDLE_MS)


class Logic(StatefulLogic[dict[str, Any], dict[str, Any], dict[str, Any]]):
    """One cart: woken two hours after its last event arrived, or at the end of the input."""

    def __init__(self, state: dict[str, Any] | None) -> None:
        self.state = state
        self.wake: datetime | None = None

    def on_item(self, value: dict[str, Any]) -> tuple[list[dict[str, Any]], bool]:
        if self.state is None:
            self.state = cart.new(value["cart_id"])
        said = cart.fold(self.state, value)
        self.wake = datetime.now(UTC) + IDLE if cart.waits(self.state) else None
        return said or [], StatefulLogic.RETAIN

    def on_notify(self) -> tuple[list[dict[str, Any]], bool]:
        self.wake = None
        said = [cart.fire(self.state)] if self.state is not None and cart.waits(self.state) else []
        return said, StatefulLogic.RETAIN

    def on_eof(self) -> tuple[list[dict[str, Any]], bool]:
        return self.on_notify()

    def notify_at(self) -> datetime | None:
        return self.wake

    def snapshot(self) -> dict[str, Any] | None:
        return copy.deepcopy(self.state)


def _fold(state: dict[str, Any] | None, event: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    state = copy.deepcopy(state) if state is not None else cart.new(event["cart_id"])
    said = cart.fold(state, event)
    kept = {name: state[name] for name in ("id", "lines", "last", "left", "abandoned_at")}
    return state, {
        "outcomes": [one for one in said or () if one["type"] != "cart.abandoned"],
        "cart": kept,
        "at": cart.millis(event["occurred_at"]),
        "repeated": said is None,
    }


def _by_session(events: Any) -> Any:
    folded = op.stateful_map("fold", events, _fold)
    folded = op.filter_value("new", folded, lambda step: not step["repeated"])
    said = op.flat_map_value("said", folded, lambda step: step["outcomes"])
    clock = win.EventClock(
        ts_getter=lambda step: datetime.fromtimestamp(step["at"] / 1000, UTC),
        wait_for_system_duration=timedelta(0),
    )
    closed = win.fold_window(
        "gap",
        folded,
        clock,
        win.SessionWindower(gap=IDLE),
        builder=lambda: None,
        folder=lambda _before, step: step["cart"],
        merger=lambda one, other: one if other is None or (one is not None and one["last"] > other["last"]) else other,
    )
    left = op.filter_value("left", closed.down, lambda pair: cart.waits(pair[1]))
    fired = op.map_value("fire", left, lambda pair: cart.fire(pair[1]))
    return op.merge("all", said, fired)


def flow_of(flags: Any) -> Dataflow:
    """The dataflow from topic to topic."""
    first = First()

    def decode(message: Any) -> tuple[str, dict[str, Any]]:
        first()
        value = orjson.loads(message.value)
        return value["cart_id"], value

    flow = Dataflow("carts")
    records = kop.input("in", flow, brokers=[flags.bootstrap], topics=[flags.input], tail=False, batch_size=1000)
    events = op.map("decode", records.oks, decode)
    said = op.stateful("carts", events, Logic) if flags.way == "stateful" else _by_session(events)
    messages = op.map("encode", said, lambda pair: KafkaSinkMessage(pair[0].encode(), orjson.dumps(pair[1])))
    kop.output("out", messages, brokers=[flags.bootstrap], topic=flags.output)
    return flow


def main() -> None:
    """Read the input to its end, then say `done`: everything is out, and the recovery store has the last epoch."""
    flags = parse(way="stateful", worker="0", addresses="")
    folder = Path(flags.folder) / "recovery"
    if not folder.exists() and flags.worker == "0":
        partial = folder.with_name("partial")
        partial.mkdir()
        init_db_dir(partial, 2)
        partial.rename(folder)
    addresses = flags.addresses.split(",") if flags.addresses else None
    cli_main(
        flow_of(flags),
        process_id=int(flags.worker) if addresses else None,
        addresses=addresses,
        recovery_config=RecoveryConfig(str(folder)),
        epoch_interval=timedelta(seconds=10),
    )
    print("done", flush=True)


if __name__ == "__main__":
    main()
