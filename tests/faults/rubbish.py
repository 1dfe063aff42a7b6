"""Values that are no events between good ones on a real broker, through the real process."""

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec

from cartwake import topics
from cartwake.model import decode_cart_event, decode_device_event, decode_order_event, encode
from tests.faults import fuzz, trials
from tests.faults.pipe import Pipe
from tests.faults.result import Ground, Result
from tests.faults.shoppers import Shoppers, now_ms
from tests.patience import Late, until

TOPICS: Final = (topics.CART_EVENTS, topics.DEVICE_EVENTS, topics.ORDER_EVENTS)
_DECODERS: Final[dict[str, Callable[[bytes | None], object]]] = {
    topics.CART_EVENTS.name: decode_cart_event,
    topics.DEVICE_EVENTS.name: decode_device_event,
    topics.ORDER_EVENTS.name: decode_order_event,
}
_TRIALS: Final[dict[str, type[Any]]] = {
    topics.CART_EVENTS.name: trials.CartTrial,
    topics.DEVICE_EVENTS.name: trials.IdentityTrial,
    topics.ORDER_EVENTS.name: trials.OrderTrial,
}


def malformed_on_kafka(ground: Ground) -> Result:
    """Rubbish between good events on three topics of a real broker, through the real process."""
    draw = random.Random(f"{ground.seed}/kafka")
    carts, odd = (1_000, 1_500) if ground.quick else (6_000, 3_600)  # 1 % of 100,000 in a partition stop the stage
    shoppers = Shoppers("good", carts)
    wrong: list[str] = []
    began = time.monotonic()
    with Pipe(ground) as pipe:
        worker = pipe.start()
        for topic, good in (
            (topics.CART_EVENTS, [*shoppers.fill(), *shoppers.buy()]),
            (topics.DEVICE_EVENTS, _seen(carts)),
            (topics.ORDER_EVENTS, _orders(carts)),
        ):
            some = list(_rubbish(draw, topic, odd if topic is topics.CART_EVENTS else odd // 5))
            _send_mixed(pipe, draw, topic, some, good)
        pipe.flush()
        try:
            until(lambda: not worker.alive or all(map(pipe.is_read, TOPICS)), "all input is committed")
        except Late as exc:
            wrong.append(f"{exc}: {pipe.committed()} of {pipe.reader(topics.CART_EVENTS).ends()}")
        ended = not worker.alive
        if ended:
            wrong.append(f"the process ended: {worker.last_words()}")
        worker.stop()
        lost, double, completed = shoppers.compare(pipe.reader(topics.CART_OUTCOMES).all())
        purchases = Counter(
            msgspec.json.decode(record.value)["order_id"]
            for record in pipe.reader(topics.SUBSCRIBER_EVENTS).all()
            if record.value is not None
        )
        bought = Counter({order: n for order, n in purchases.items() if order.startswith("good")})
        lost += carts - len(bought)
        double += bought.total() - len(bought)
        letters, about = _judge_letters(pipe)
        wrong += [] if ended else about  # the rest has not been read
        events = sum(sum(pipe.reader(topic).ends().values()) for topic in TOPICS)
        refused = pipe.refused
    return Result(
        fault="malformed on Kafka",
        runs=1,
        events=events,
        kills=0,
        lost=lost,
        double=double,
        recovered_s=(),
        seed=ground.seed,
        note=f"{completed:,} carts bought, {len(bought):,} purchases, {letters:,} dead letters with bytes, place and "
        f"reason, {refused} records refused by the broker for their size; {time.monotonic() - began:.0f} s",
        wrong=tuple(wrong[:20]),
    )


def _rubbish(draw: random.Random, topic: topics.Topic, count: int) -> Iterator[bytes | None]:
    bases = _TRIALS[topic.name]().bases()[topic.name]
    yield from (shape for _, shape in fuzz.shapes(bases[0]))
    made = 0
    while made < count:
        value = fuzz.mutant(draw, bases)
        if is_bad(topic, value) or draw.random() < 0.1:
            made += 1
            yield value


def _send_mixed(
    pipe: Pipe, draw: random.Random, topic: topics.Topic, odd: list[bytes | None], good: list[tuple[str, bytes]]
) -> None:
    """Odd values on every partition in turn, with odd keys and headers; good ones in their order between them."""
    keys = (None, b"", b"\xff\xfe\x00", b"odd-1", b"k" * 10_000)
    headers: Any = ([], [], [(topics.WATERMARK, b"input|9999999999999")], [("", None)], [(topics.FORWARDED, b"\xff")])
    due = sorted(draw.random() for _ in odd)
    for n, (key, value) in enumerate(good):
        while due and due[0] <= n / len(good):
            due.pop(0)
            pipe.send(topic, draw.choice(keys), odd.pop(), len(odd) % 4, headers=draw.choice(headers))
        pipe.send(topic, key, value)
    for number, rest in enumerate(odd):
        pipe.send(topic, None, rest, number % 4)


def _seen(devices: int) -> list[tuple[str, bytes]]:
    event = {"type": "device.identified", "how": "login", "occurred_at": now_ms()}
    return [
        (
            f"good-{n}",
            encode(event | {"event_id": f"d-{n}", "device_id": f"good-{n}", "email": f"good-{n}@example.com"}),
        )
        for n in range(devices)
    ]


def _orders(orders: int) -> list[tuple[str, bytes]]:
    return _by_person("order_id", orders, {"type": "order.placed"})


def _by_person(name: str, count: int, event: dict[str, Any]) -> list[tuple[str, bytes]]:
    """Key and value of an event for each person."""
    events = []
    for n in range(count):
        own = {"event_id": f"{name}-{n}", name: f"good-{n}", "email": f"good-{n}@example.com", "occurred_at": now_ms()}
        events.append((f"good-{n}", encode(event | own)))
    return events


def is_bad(topic: topics.Topic, value: bytes | None) -> bool:
    """Whether the model refuses it."""
    try:
        _DECODERS[topic.name](value)
    except Exception:  # InvalidEvent, if all is well; what else it may be is found by running the stage
        return True
    return False


def _judge_letters(pipe: Pipe) -> tuple[int, list[str]]:
    """Compare the dead letters with the records they are about: one for each bad one, and none for another."""
    wrong: list[str] = []
    letters: dict[tuple[str, int, int], Any] = {}
    for letter in pipe.reader(topics.DEAD_LETTERS).all():
        head = dict(letter.headers)
        place = (head["topic"].decode(), int(head["partition"]), int(head["offset"]))
        if place in letters:
            wrong.append(f"two dead letters for {place}")
        letters[place] = letter
        if not head["reason"].strip():
            wrong.append(f"no reason for {place}")
    for topic in TOPICS:
        for record in pipe.reader(topic).all():
            place = (record.topic, record.partition, record.offset)
            found = letters.pop(place, None)
            is_watermark = record.value is None and any(name == topics.WATERMARK for name, _ in record.headers)
            if is_bad(topic, record.value) != (found is not None) and not is_watermark:
                is_there = "a" if found else "no"
                wrong.append(f"{is_there} dead letter for {place}: {(record.value or b'None')[:100]!r}")
            elif found is not None and "cut" in dict(found.headers):
                if not (record.value or b"").startswith(found.value or b""):
                    wrong.append(f"other bytes than those of {place}")
            elif found is not None and (found.value, found.key) != (record.value, record.key):
                wrong.append(f"other bytes than those of {place}")
    wrong += [f"a dead letter for a record that is not there: {place}" for place in letters]
    return sum(1 for _ in pipe.reader(topics.DEAD_LETTERS).all()), wrong
