"""`cartwake dlq list|replay`: records that could not be used, and a second try for them."""

import json
import sys
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import click

from cartwake import settings as settings_file
from cartwake.errors import InvalidEvent, KafkaUnavailable
from cartwake.settings import Settings

_SHOWN = 80
_PATIENCE_S = 15.0


@dataclass(frozen=True, slots=True)
class Dead:
    """A record of dead-letters, with the place it had been read from. `place` is its own: partition and offset."""

    place: tuple[int, int]
    topic: str
    partition: str
    offset: str
    stage: str
    reason: str
    at: int
    key: bytes | None
    value: bytes | None


@click.group("dlq")
def command() -> None:
    """Look at what could not be used, and send it again once the reason is gone."""


_MATCH = click.option("--match", "words", default="", help="only those whose reason contains this, in any case")
_TOPIC = click.option("--topic", default="", help="only those of this topic, with or without the prefix")


@command.command("list")
@_MATCH
@_TOPIC
@click.option("--limit", type=click.IntRange(1), default=100, show_default=True, help="the newest so many")
@click.option("--json", "as_json", is_flag=True, help="one JSON object a line, with the whole value")
def list_(words: str, topic: str, limit: int, as_json: bool) -> None:
    """Show dead letters, oldest first: where each came from, why it could not be used, and how it begins."""
    from local.stack import embedded

    newest: deque[Dead] = deque(maxlen=limit)
    count = 0
    with embedded(settings_file.load(), kafka=True, say=_say) as settings:
        for dead in read(settings, words, topic):
            newest.append(dead)
            count += 1
    for dead in newest:
        sys.stdout.write((_as_json(dead) if as_json else _as_line(dead)) + "\n")
    sys.stdout.flush()
    _say(f"{count} dead letters" + (f", the newest {limit} shown (--limit)" if count > limit else ""))


@command.command("replay")
@_MATCH
@_TOPIC
@click.option("--dry-run", is_flag=True, help="send nothing; say what would be sent")
@click.option("--force", is_flag=True, help="send also what would be refused again")
def replay(words: str, topic: str, dry_run: bool, force: bool) -> None:
    """Send dead letters back to the topics they came from, with their original key and value.

    Repeating it is safe: an event that had its effect is ignored by its event_id. The dead letters stay where they are.
    """
    from cartwake.broker import ensure_topics
    from cartwake.publish import Publisher
    from local.stack import embedded

    with embedded(settings_file.load(), kafka=True, say=_say) as settings:
        ensure_topics(settings, say=_say, patience=_PATIENCE_S)
        again, refused = sort_out(read(settings, words, topic), settings, force=force)
        for dead, why in refused:
            _say(f"not sent, {_from(dead)}: {why}")
        if not dry_run:
            with Publisher(settings) as publisher:
                _send(again, publisher, settings)
    for name, count in sorted(Counter(dead.topic for dead in again).items()):
        sys.stdout.write(f"{name}  {count}\n")
    sys.stdout.flush()
    _say(f"{len(again)} {'would be sent' if dry_run else 'sent'}, {len(refused)} not")


def read(settings: Settings, words: str = "", topic: str = "") -> Iterator[Dead]:
    """Dead letters up to the end the topic has now; raises KafkaUnavailable."""
    import confluent_kafka

    from cartwake.topics import DEAD_LETTERS

    name = settings.topic_prefix + DEAD_LETTERS.name
    consumer: Any = confluent_kafka.Consumer(
        {
            "bootstrap.servers": settings.bootstrap,
            "group.id": "cartwake-dlq",  # never joined: partitions are assigned by hand
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "log_level": 0,
        }
    )
    try:
        left = set(consumer.list_topics(name, timeout=_PATIENCE_S).topics[name].partitions)
        beginning = confluent_kafka.OFFSET_BEGINNING
        consumer.assign([confluent_kafka.TopicPartition(name, p, beginning) for p in left])
        while left:
            message = consumer.poll(_PATIENCE_S)
            if message is None:
                raise KafkaUnavailable(f"Kafka at {settings.bootstrap} stopped answering while {name} was read")
            if message.error() is not None:
                if message.error().code() != confluent_kafka.KafkaError._PARTITION_EOF:
                    raise KafkaUnavailable(f"{name} can't be read: {message.error()}")
                left.discard(message.partition())
                continue
            dead = _dead(message)
            if words.lower() in dead.reason.lower() and topic in ("", dead.topic, _short(dead.topic, settings)):
                yield dead
    except confluent_kafka.KafkaException as exc:
        raise KafkaUnavailable(f"{name} can't be read from {settings.bootstrap}: {exc}") from exc
    finally:
        consumer.close()


def sort_out(found: Iterator[Dead], settings: Settings, *, force: bool) -> tuple[list[Dead], list[tuple[Dead, str]]]:
    """Those to send again, each content once, and those not, with the reason."""
    from cartwake.topics import ALL, DEAD_LETTERS

    ours = {settings.topic_prefix + x.name for x in ALL if x is not DEAD_LETTERS}
    again: list[Dead] = []
    refused: list[tuple[Dead, str]] = []
    seen: set[tuple[str, bytes | None, bytes | None]] = set()
    for dead in found:
        content = (dead.topic, dead.key, dead.value)
        if content in seen:
            continue
        seen.add(content)
        if dead.topic not in ours:
            refused.append((dead, f"{dead.topic or 'no topic'} is none of ours"))
        elif not force and (why := _still_wrong(dead, settings)):
            refused.append((dead, f"it would be refused again ({why}); --force sends it all the same"))
        else:
            again.append(dead)
    return again, refused


def _still_wrong(dead: Dead, settings: Settings) -> str:
    """Why the stage would refuse it again; empty when it would not, as far as can be said here."""
    from cartwake import model

    readers: dict[str, Callable[[bytes | None], object]] = {
        "cart-events": model.decode_cart_event,
        "device-events": model.decode_device_event,
        "order-events": model.decode_order_event,
        "subscriber-events": model.decode_subscriber_event,
    }
    reader = readers.get(_short(dead.topic, settings))
    if reader is None:
        return ""
    try:
        reader(dead.value)
    except InvalidEvent as exc:
        return str(exc)
    return ""


def _send(again: list[Dead], publisher: Any, settings: Settings) -> None:
    from cartwake.topics import ALL

    topics = {settings.topic_prefix + x.name: x for x in ALL}
    for dead in again:
        publisher.send(topics[dead.topic], dead.key, dead.value)
    publisher.flush()


def _dead(message: Any) -> Dead:
    said = {name: (value or b"").decode("utf-8", "replace") for name, value in message.headers() or ()}
    return Dead(
        place=(message.partition(), message.offset()),
        topic=said.get("topic", ""),
        partition=said.get("partition", "?"),
        offset=said.get("offset", "?"),
        stage=said.get("stage", ""),
        reason=said.get("reason", ""),
        at=message.timestamp()[1],
        key=message.key(),
        value=message.value(),
    )


def _short(topic: str, settings: Settings) -> str:
    return topic.removeprefix(settings.topic_prefix)


def _from(dead: Dead) -> str:
    return f"{dead.topic or '?'}[{dead.partition}]@{dead.offset}"


def _as_line(dead: Dead) -> str:
    return f"{_plain(_from(dead))}  {_plain(dead.reason)}\n    {_plain(_text(dead.value)[:_SHOWN])}"


def _as_json(dead: Dead) -> str:
    from cartwake.clock import rfc3339

    return json.dumps(
        {
            "at": rfc3339(max(dead.at, 0)),
            "topic": dead.topic,
            "partition": dead.partition,
            "offset": dead.offset,
            "stage": dead.stage,
            "reason": dead.reason,
            "key": None if dead.key is None else _text(dead.key),
            "value": None if dead.value is None else _text(dead.value),
        }
    )


def _text(value: bytes | None) -> str:
    return "(no value)" if value is None else value.decode("utf-8", "backslashreplace")


def _plain(text: str) -> str:
    """Strangers wrote it: nothing in it may steer a terminal."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def _say(words: str) -> None:
    click.echo(_plain(words), err=True)
