"""The topics: their keys, which of them are joined and so need equal partition counts, and where a key lies."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from cartwake.errors import ConfigurationError

DEAD_LETTER_BYTES: Final = 2 * 1024 * 1024  # an oversized record must fit with its context


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic by its name without the prefix; `config` is what it needs beyond the broker's defaults."""

    name: str
    key: str
    config: Mapping[str, str]


_LOG: Final = {"message.timestamp.type": "LogAppendTime", "compression.type": "producer"}


def _topic(name: str, key: str, **config: str) -> Topic:
    return Topic(name, key, _LOG | {option.replace("_", "."): value for option, value in config.items()})


CART_EVENTS: Final = _topic("cart-events", "cart_id")
DEVICE_EVENTS: Final = _topic("device-events", "device_id")
ORDER_EVENTS: Final = _topic("order-events", "order_id")
SUBSCRIBER_EVENTS: Final = _topic("subscriber-events", "subscriber_id")
CART_OUTCOMES: Final = _topic("cart-outcomes", "device_id, else cart_id")
SUBSCRIBER_CARTS: Final = _topic("subscriber-carts", "subscriber_id")
MESSAGES: Final = _topic("messages", "subscriber_id")
ALERTS: Final = _topic("alerts", "shop_id", retention_ms="-1")
OFFER_CODES: Final = _topic("offer-codes", "code", retention_ms="-1")
SETTINGS: Final = _topic("settings", "shop_id/name", cleanup_policy="compact")
DEAD_LETTERS: Final = _topic("dead-letters", "the original key", max_message_bytes=str(DEAD_LETTER_BYTES))

ALL: Final = (
    CART_EVENTS, DEVICE_EVENTS, ORDER_EVENTS, SUBSCRIBER_EVENTS, CART_OUTCOMES, SUBSCRIBER_CARTS, MESSAGES,
    OFFER_CODES, ALERTS, SETTINGS, DEAD_LETTERS,
)  # fmt: skip

#: Topics that one stage joins by key: partition n of one meets partition n of the other.
JOINED: Final = (
    (CART_OUTCOMES, DEVICE_EVENTS),
    (SUBSCRIBER_CARTS, SUBSCRIBER_EVENTS, OFFER_CODES, MESSAGES),
)

#: Header of a record that we moved to its key's partition; it is not moved again.
FORWARDED: Final = "cartwake-forwarded"
#: Header of a watermark: "nothing older than this will come from this source" (event time only).
WATERMARK: Final = "cartwake-watermark"


def check_joined(counts: Mapping[str, int], prefix: str, bootstrap: str = "host:9092") -> None:
    """Raise ConfigurationError when joined topics differ in partitions; `counts` is by full topic name."""
    for group in JOINED:
        found = {prefix + t.name: counts[prefix + t.name] for t in group if prefix + t.name in counts}
        if len(set(found.values())) > 1:
            most = max(found.values())
            listed = ", ".join(f"{name} has {n}" for name, n in found.items())
            repair = "; ".join(
                f"kafka-topics.sh --bootstrap-server {bootstrap} --alter --topic {name} --partitions {most}"
                for name, n in found.items()
                if n < most
            )
            raise ConfigurationError(
                f"joined topics need the same number of partitions, but {listed}. Stop all roles, then: {repair}. "
                "Keys move when partitions are added: let the topics be read to their end first"
            )


def partition_of(key: bytes, partitions: int) -> int:
    """The partition Kafka's own partitioner gives `key` (murmur2, as in org.apache.kafka…Utils.murmur2)."""
    length = len(key)
    h = (0x9747B28C ^ length) & 0xFFFFFFFF
    whole = length & ~3
    for i in range(0, whole, 4):
        k = int.from_bytes(key[i : i + 4], "little") * 0x5BD1E995 & 0xFFFFFFFF
        k = (k ^ k >> 24) * 0x5BD1E995 & 0xFFFFFFFF
        h = (h * 0x5BD1E995 ^ k) & 0xFFFFFFFF
    if length & 3:
        h = (h ^ int.from_bytes(key[whole:], "little")) * 0x5BD1E995 & 0xFFFFFFFF
    h = (h ^ h >> 13) * 0x5BD1E995 & 0xFFFFFFFF
    h ^= h >> 15
    return (h & 0x7FFFFFFF) % partitions
