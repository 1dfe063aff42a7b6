"""`cartwake offers add|list|secret`: the pools of codes that steps with an offer give away, one code to one person."""

import sys
from collections.abc import Iterator
from dataclasses import asdict
from typing import BinaryIO

import click

from cartwake import settings as settings_file
from cartwake.errors import ConfigurationError, InvalidEvent, Rejected, Unavailable
from cartwake.settings import Settings

MOST_CODE = 100
_MOST_LINE = 1024  # bytes; what is longer is no code, whatever follows


@click.group("offers")
def command() -> None:
    """Add codes to the pools of a shop's offers, and see how many are left."""


@command.command("secret")
@click.option("--shop", default="main", show_default=True, help="the shop whose offers they are")
def secret(shop: str) -> None:
    """Show what the requests to a shop's own callback are signed with: for the shop, and for nobody else."""
    from cartwake.secret import secret_of
    from cartwake.signing import shop_secret

    click.echo(shop_secret(secret_of(settings_file.load()), shop, "offers"))


@command.command("add")
@click.argument("pool")
@click.argument("file", type=click.File("rb"), default="-")
@click.option("--shop", default="main", show_default=True, help="the shop whose offers they are")
def add(pool: str, file: BinaryIO, shop: str) -> None:
    """Add the codes of FILE, one a line, to POOL; `-` or nothing reads standard input.

    Adding a code twice is harmless. Lines that can't be codes are named and left out; the exit code is then 1.
    """
    from cartwake.broker import ensure_topics
    from cartwake.model import OfferCode, encode
    from cartwake.publish import Publisher
    from cartwake.topics import OFFER_CODES
    from local.stack import embedded
    from sinks.offers import fingerprint

    _check_pool(pool)
    sent, there, refused = set[str](), 0, 0
    with embedded(settings_file.load(), kafka=True, clickhouse=True, say=_say) as settings:
        known = _known(settings, shop)
        elsewhere = {x: name for name, codes in (known or {}).items() if name != pool for x in codes}
        ensure_topics(settings, say=_say, patience=15)
        with Publisher(settings) as publisher:
            for number, line in _lines(file):
                try:
                    code = code_of(line)
                    mark = fingerprint(shop, code)
                    if mark in elsewhere:
                        raise InvalidEvent(f"it is in the pool {elsewhere[mark]} already and would be given twice")
                except InvalidEvent as exc:
                    refused += 1
                    _say(f"line {number} is left out: {exc}")
                    continue
                if code in sent:
                    continue
                sent.add(code)
                there += known is not None and mark in known.get(pool, ())
                publisher.send(OFFER_CODES, code, encode(OfferCode(shop_id=shop, pool=pool, code=code)))
    if known is None:
        sys.stdout.write(f"{len(sent)} codes sent to pool {pool} of shop {shop}; how many are new is not known\n")
    else:
        sys.stdout.write(f"{len(sent) - there} codes added to pool {pool} of shop {shop}; {there} were there already\n")
    sys.stdout.flush()
    if refused:
        raise Rejected(f"{refused} lines were left out: put them right and add the file again, which is harmless")


@command.command("list")
@click.option("--shop", default="", help="one shop; all of them when not given")
@click.option("--json", "as_json", is_flag=True, help="a JSON array")
def list_(shop: str, as_json: bool) -> None:
    """Show the pools: codes in all, given to somebody, and free."""
    import msgspec

    from local.stack import embedded
    from sinks import offers
    from sinks.clickhouse import ClickHouse
    from sinks.migrate import migrate_settings

    configured = settings_file.load()
    with (
        embedded(configured, clickhouse=True, say=_say) as settings,
        ClickHouse.open(settings.clickhouse_dsn, settings.clickhouse_database) as store,
    ):
        if not configured.clickhouse_dsn:
            migrate_settings(store, settings)  # this machine's own may be new
        found = offers.pools(store, shop)
    if as_json:
        sys.stdout.write(msgspec.json.encode([asdict(x) for x in found]).decode() + "\n")
    else:
        sys.stdout.write(f"{'shop':<20}{'pool':<30}{'total':>10}{'given':>10}{'free':>10}\n")
        for x in found:
            sys.stdout.write(f"{_plain(x.shop_id):<20}{_plain(x.pool):<30}{x.total:>10}{x.given:>10}{x.free:>10}\n")
    sys.stdout.flush()


def code_of(line: bytes) -> str:
    """The code on a line; raises InvalidEvent, without the line in its words, for what can be none."""
    if len(line) > _MOST_LINE:
        raise InvalidEvent(f"it is longer than a code may be ({MOST_CODE} characters)")
    try:
        code = line.decode("utf-8").strip(" \t\r\n")
    except UnicodeDecodeError as exc:
        raise InvalidEvent("it is no UTF-8") from exc
    if not code:
        raise InvalidEvent("it is empty")
    if len(code) > MOST_CODE:
        raise InvalidEvent(f"it is longer than a code may be ({MOST_CODE} characters)")
    if not code.isprintable() or any(x.isspace() for x in code):
        raise InvalidEvent("it holds a space or a character that can't be seen")
    return code


def _lines(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """The lines with their numbers, a blank end of the file left out; of one that is too long its beginning alone."""
    number, blank = 0, 0
    while line := file.readline(_MOST_LINE + 2):
        number += 1
        rest = line
        while len(rest) > _MOST_LINE and not rest.endswith(b"\n"):
            rest = file.readline(_MOST_LINE + 2)
        if number == 1:
            line = line.removeprefix(b"\xef\xbb\xbf")
        if not line.strip():
            blank += 1
            continue
        yield from ((n, b"") for n in range(number - blank, number))
        blank = 0
        yield number, line


def _known(settings: Settings, shop: str) -> dict[str, set[str]] | None:
    """The fingerprints of the shop's codes by pool, or None when ClickHouse can't say."""
    from sinks import offers
    from sinks.clickhouse import ClickHouse

    try:
        with ClickHouse.open(settings.clickhouse_dsn, settings.clickhouse_database) as store:
            return offers.known(store, shop)
    except (Unavailable, ConfigurationError) as exc:
        _say(f"codes that are there already can't be told apart: {exc}")
        return None


def _check_pool(pool: str) -> None:
    import msgspec

    from cartwake.rules import Name

    try:
        msgspec.convert(pool, Name)
    except msgspec.ValidationError as exc:
        raise ConfigurationError(
            f"pool {pool[:60]!r}: a name is 1 to 40 small letters, digits and hyphens. Example: spring-10"
        ) from exc


def _plain(text: str) -> str:
    """Strangers wrote it: nothing in it may steer a terminal."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def _say(words: str) -> None:
    click.echo(_plain(words), err=True)
