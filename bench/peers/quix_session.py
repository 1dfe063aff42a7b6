"""Stage 1 in Quix Streams, its own way: contents in a stateful step, the gap by a session window.

The window says the abandonment when it closes; the step before it says the rest. `--closing` is Quix's closing
strategy: `key`, its default, closes a window when a later event of the same cart comes, `partition` when one of any
cart of the partition does.
"""

from datetime import timedelta
from pathlib import Path
from typing import Any

import cart
from flags import First, parse
from quixstreams import Application, State


def main() -> None:
    """Run until SIGTERM."""
    flags = parse(closing="key", worker="0")
    first = First()
    app = Application(
        broker_address=flags.bootstrap,
        consumer_group=flags.group,
        auto_offset_reset="earliest",
        state_dir=Path(flags.folder) / f"state-{flags.worker}",
        commit_interval=1.0,
        producer_extra_config={"compression.type": "lz4"},
        loglevel="ERROR",
    )
    source = app.topic(
        flags.input,
        key_deserializer="str",
        value_deserializer="json",
        timestamp_extractor=lambda value, *_: cart.millis(value["occurred_at"]),
    )
    outcomes = app.topic(flags.output, key_serializer="str", value_serializer="json")

    def fold(event: dict[str, Any], state: State) -> dict[str, Any] | None:
        first()
        known = state.get("cart") or cart.new(event["cart_id"])
        said = cart.fold(known, event)
        if said is None:
            return None
        state.set("cart", known)
        return {
            "outcomes": [one for one in said if one["type"] != "cart.abandoned"],
            "cart": {name: known[name] for name in ("id", "lines", "last", "left", "abandoned_at")},
        }

    folded = app.dataframe(source).apply(fold, stateful=True)
    folded = folded.filter(lambda step: step is not None)
    folded.apply(lambda step: step["outcomes"], expand=True).to_topic(outcomes, key=lambda one: one["cart_id"])
    left = (
        folded.session_window(inactivity_gap_ms=timedelta(milliseconds=cart.IDLE_MS))
        .reduce(
            initializer=lambda step: step["cart"],
            reducer=lambda _before, step: step["cart"],
            merger=lambda one, other: max(one, other, key=lambda state: state["last"]),
        )
        .final(closing_strategy=flags.closing)
    )
    left = left.filter(lambda window: cart.waits(window["value"]))
    left.apply(lambda window: cart.fire(window["value"])).to_topic(outcomes, key=lambda one: one["cart_id"])
    app.run()


if __name__ == "__main__":
    main()
