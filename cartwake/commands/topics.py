"""`cartwake topics`: create the topics that are missing, show what is there, and say what can't work."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass

import click

from cartwake import settings as settings_file
from cartwake.settings import Settings


@dataclass(frozen=True, slots=True)
class Found:
    """A topic as the broker has it. `partitions` is 0 for one that is not there."""

    name: str
    key: str
    partitions: int
    timestamps: str = ""
    cleanup: str = ""
    retention: str = ""


@click.command("topics")
@click.option("--dry-run", is_flag=True, help="create nothing; say what is missing")
def command(dry_run: bool) -> None:
    """Create the topics that are missing, then list all of them with partitions and keys."""
    from cartwake.broker import ensure_topics
    from cartwake.topics import check_joined
    from local.stack import embedded

    with embedded(settings_file.load(), kafka=True, say=_say) as settings:
        if not dry_run:
            ensure_topics(settings, say=_say, patience=5)
        found = look(settings)
        for line in table(found):
            sys.stdout.write(line + "\n")
        sys.stdout.flush()
        for words in wrong(found, settings):
            _say(words)
        check_joined({x.name: x.partitions for x in found if x.partitions}, settings.topic_prefix)
        if dry_run and (missing := [x.name for x in found if not x.partitions]):
            _say(f"{len(missing)} missing; `cartwake topics` creates them with {settings.partitions} partitions")


def look(settings: Settings) -> list[Found]:
    """Every topic of ours as the broker has it; raises KafkaUnavailable."""
    from kafka.admin import ConfigResource
    from kafka.errors import KafkaError

    from cartwake.broker import connect
    from cartwake.errors import KafkaUnavailable
    from cartwake.topics import ALL

    admin = connect(settings, say=_say, patience=5)
    try:
        there = set(admin.list_topics())
        names = [settings.topic_prefix + x.name for x in ALL if settings.topic_prefix + x.name in there]
        counts = {x["name"]: len(x["partitions"]) for x in (admin.describe_topics(names) if names else [])}
        wanted = [ConfigResource("topic", name) for name in names]
        configs = admin.describe_configs(wanted, config_filter="all")["topic"] if wanted else {}
    except KafkaError as exc:
        raise KafkaUnavailable(f"Kafka at {settings.bootstrap} did not say what topics it has: {exc}") from exc
    finally:
        admin.close()
    return [
        _found(settings.topic_prefix + x.name, x.key, counts, configs.get(settings.topic_prefix + x.name, {}))
        for x in ALL
    ]


def table(found: list[Found]) -> list[str]:
    """One line a topic, below a head."""
    rows = [("topic", "partitions", "key", "timestamps", "kept")]
    rows += [(x.name, str(x.partitions or "missing"), x.key, x.timestamps, kept(x)) for x in found]
    widths = [max(len(row[i]) for row in rows) for i in range(5)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def kept(topic: Found) -> str:
    """How long records stay: `newest of each key`, `for ever`, `7 days`."""
    if not topic.partitions:
        return ""
    if topic.cleanup == "compact":
        return "newest of each key"
    ms = int(topic.retention or -1)
    if ms < 0:
        return "for ever"
    return f"{ms // 86_400_000} days" if ms >= 86_400_000 else f"{ms / 3_600_000:.3g} hours"


def wrong(found: list[Found], settings: Settings) -> list[str]:
    """What is no error at once but makes results depend on a client's clock, with the command that puts it right."""
    from cartwake.broker import client_times

    return [
        client_times(x.name, x.timestamps, settings) for x in found if x.partitions and x.timestamps != "LogAppendTime"
    ]


def _found(name: str, key: str, counts: Mapping[str, int], configs: Mapping[str, Mapping[str, str]]) -> Found:
    def value(option: str) -> str:
        return str(configs.get(option, {}).get("value") or "")

    return Found(
        name,
        key,
        counts.get(name, 0),
        value("message.timestamp.type"),
        value("cleanup.policy"),
        value("retention.ms"),
    )


def _say(words: str) -> None:
    click.echo(words, err=True)
