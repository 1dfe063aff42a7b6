"""A day of a shop, made from a seed: the input that every system of a benchmark reads.

A cart is one or two sessions of some minutes: added, removed, replaced, looked at, checked out. Some return after
more than two hours, some are bought, before or after they were left. One event in a hundred comes twice. Last of
all, three hours later, every partition gets one harmless event, so that event time passes every deadline.
"""

import random
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final, NamedTuple

from confluent_kafka import Producer

from cartwake.clock import rfc3339
from cartwake.topics import partition_of

DAY_MS: Final = 24 * 3600 * 1000
BEGIN_MS: Final = int(datetime(2025, 11, 28, tzinfo=UTC).timestamp() * 1000)
CLOSING_MS: Final = 3 * 3600 * 1000
PARTITIONS: Final = 4
_REPEATED: Final = 0.01
_STEPS: Final = ("contact", "address", "shipping", "payment", "review")
_COLOURS: Final = "Blue Green White Black Red Grey Sand Olive Rose Navy".split()
_STUFFS: Final = "linen cotton wool denim silk fleece jersey corduroy".split()
_THINGS: Final = "shirt dress jacket scarf trousers socks cap pullover skirt coat".split()


class Sent(NamedTuple):
    """One record of the input, in the order of the topic."""

    at: int  # when it reaches the topic, epoch ms of the made day
    key: str
    value: bytes


def catalogue(rng: random.Random, size: int = 20_000) -> list[tuple[str, str, str]]:
    """Products as (sku, price in cents as text, JSON of the item without its quantity)."""
    found = []
    for number in range(size):
        thing = rng.choice(_THINGS)
        name = f"{rng.choice(_COLOURS)} {rng.choice(_STUFFS)} {thing}"
        sku, price = f"A{number:05d}", f"{rng.randrange(4, 200)}.{rng.choice(('00', '49', '90', '95', '99'))}"
        found.append((sku, price, f'"sku":"{sku}","name":"{name}","price":"{price}","category":"{thing}"'))
    return found


def day(events: int, seed: int = 1) -> list[Sent]:
    """`events` records of one day in the order of their time; the same seed makes the same bytes."""
    rng = random.Random(seed)
    products = catalogue(rng)
    made: list[Sent] = []
    number = 0
    while len(made) < events - PARTITIONS:
        made.extend(_cart(rng, f"c-{number:07d}", products))
        number += 1
    del made[events - PARTITIONS :]
    made.sort(key=lambda sent: sent.at)
    made.extend(_closing(made[-1].at + CLOSING_MS))
    return made


def _cart(rng: random.Random, cart: str, products: list[tuple[str, str, str]]) -> Iterator[Sent]:
    """All records of one cart, its repeats among them."""
    at = BEGIN_MS + int(rng.betavariate(2.2, 1.8) * DAY_MS)
    device = f"d-{rng.getrandbits(40):010x}"
    held: dict[str, int] = {}
    sessions = 1 + (rng.random() < 0.15) + (rng.random() < 0.03)
    for session in range(sessions):
        if session:
            at += rng.randrange(2 * 3600 * 1000 - 60_000, 9 * 3600 * 1000)
        bought = rng.random() < (0.25 if session == 0 else 0.4)
        head = f'"shop_id":"main","cart_id":"{cart}","session_id":"s-{rng.getrandbits(48):012x}","device_id":"{device}"'
        tail = f'"currency":"EUR","cart_url":"https://shop.example.com/cart/{cart}"'
        for kind, more in _session(rng, held, products, bought):
            at += int(rng.expovariate(1 / 45_000)) + 1
            value = (
                f'{{"event_id":"{rng.getrandbits(128):032x}","type":"{kind}",{head},'
                f'"occurred_at":"{rfc3339(at)}",{more}{tail}}}'
            ).encode()
            yield Sent(at, cart, value)
            if rng.random() < _REPEATED:
                yield Sent(at + rng.randrange(100, 5_000), cart, value)


def _session(
    rng: random.Random, held: dict[str, int], products: list[tuple[str, str, str]], bought: bool
) -> Iterator[tuple[str, str]]:
    """The (type, fields) of one session; `held` is what the shopper believes to have in the cart."""
    for _ in range(rng.randrange(4, 13)):
        dice = rng.random()
        if dice < 0.45 or not held:
            number, quantity = int(rng.random() ** 3 * len(products)), rng.choice((1, 1, 1, 2, 3))
            held[str(number)] = held.get(str(number), 0) + quantity
            yield "cart.item_added", _items(products, {str(number): quantity})
        elif dice < 0.57:
            number_text = rng.choice(list(held))
            if rng.random() < 0.5 or held[number_text] == 1:
                del held[number_text]
                yield "cart.item_removed", f'"items":[{{"sku":"{products[int(number_text)][0]}"}}],'
            else:
                held[number_text] -= 1
                yield "cart.item_removed", f'"items":[{{"sku":"{products[int(number_text)][0]}","quantity":1}}],'
        elif dice < 0.66:
            yield "cart.updated", _items(products, held)
        elif dice < 0.67:
            held.clear()
            yield "cart.cleared", ""
        else:
            yield "cart.viewed", '"page":"/cart?from=menu",'
    if bought or rng.random() < 0.3:
        for step in _STEPS[: 5 if bought else rng.randrange(1, 5)]:
            yield "checkout.step", f'"step":"{step}",'
    if bought and held:
        held.clear()
        yield "order.placed", f'"order_id":"o-{rng.getrandbits(48):012x}",'
        if rng.random() < 0.2:
            yield "cart.viewed", ""


def _items(products: list[tuple[str, str, str]], held: dict[str, int]) -> str:
    listed = ",".join(f'{{{products[int(number)][2]},"quantity":{quantity}}}' for number, quantity in held.items())
    return f'"items":[{listed}],'


def _closing(at: int) -> Iterator[Sent]:
    """One look at an empty cart for each partition."""
    missing, number = set(range(PARTITIONS)), 0
    while missing:
        cart = f"closing-{number}"
        number += 1
        if (place := partition_of(cart.encode(), PARTITIONS)) in missing:
            missing.remove(place)
            value = f'{{"event_id":"{cart}","type":"cart.viewed","cart_id":"{cart}","occurred_at":"{rfc3339(at)}"}}'
            yield Sent(at, cart, value.encode())


def send(bootstrap: str, topic: str, records: list[Sent]) -> None:
    """Write the records to `topic`, in order, as Kafka's own partitioner places them; returns when all are there."""
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "partitioner": "murmur2_random",
            "acks": "all",
            "enable.idempotence": True,
            "linger.ms": 20,
            "compression.type": "lz4",
            "log_level": 2,
            "queue.buffering.max.messages": 200_000,
        }
    )
    for record in records:
        while True:
            try:
                producer.produce(topic, record.value, record.key)
                break
            except BufferError:
                producer.poll(0.05)
    if left := producer.flush(120):
        raise TimeoutError(f"{left} records could not be written to {topic}")
