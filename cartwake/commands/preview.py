"""`cartwake preview`: how a mail looks, before anybody gets it, and what it can't do without."""

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cartwake import settings as settings_file
from cartwake.errors import CartwakeError, ConfigurationError, Rejected

if TYPE_CHECKING:
    from cartwake.settings import Settings
    from cartwake.shops import Shop
    from reminders.letter import Letter
    from reminders.outbox import Mail

_KINDS = (".html", ".eml", ".txt")
_NOBODY = "shopper@example.com"


@click.command("preview")
@click.option("--template", default="cart", show_default=True, help="cart, shipping, payment, or one of the shop's own")
@click.option("--locale", help="the reader's, as de or pt-BR; without it the shop's")
@click.option("--shop", "shop_id", help="with this shop's settings; without it with the defaults, and without Kafka")
@click.option(
    "--step", default=1, show_default=True, type=click.IntRange(1, 20), help="which reminder of the cart it is"
)
@click.option("--cart", "cart_id", help="with the contents of this abandoned cart (needs --shop)")
@click.option(
    "--draft",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="a template that is not set yet: a JSON file",
)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="write it here: .html, .eml or .txt")
@click.option("--send", metavar="ADDRESS", help="send it there through the relay, marked as a test")
def command(
    template: str,
    locale: str | None,
    shop_id: str | None,
    step: int,
    cart_id: str | None,
    draft: Path | None,
    out: Path | None,
    send: str | None,
) -> None:
    """Make a mail of sample values and say which values it can't do without.

    Without --out or --send its subject and text are shown. Nobody is in it: its links lead to the shop, and to an
    unsubscribe page that knows nobody.
    """
    from cartwake.clock import SystemClock
    from reminders.preview import NoLinks, needed, sample_letter
    from reminders.reader import Unfit
    from reminders.render import Renderer

    if out is not None and out.suffix not in _KINDS:
        raise ConfigurationError(f"--out {out}: the name says what is written. Example: --out mail{_KINDS[0]}")
    settings = settings_file.load()
    shop = _shop(settings, shop_id, template, draft)
    letter = sample_letter(template, locale, shop, to=send or _NOBODY, now=SystemClock().now_ms(), step=step)
    if cart_id is not None:
        letter = _with_cart(letter, settings, cart_id, shop.shop_id)
    render = Renderer(
        links=NoLinks(settings.collector_url), mail_from=settings.mail_from, mark="[Test] " if send else ""
    )
    try:
        mail = render(letter, shop)
        held = needed(render, letter, shop)
    except Unfit as exc:
        raise Rejected(str(exc)) from exc
    _say(f"{len(mail.html.encode()):,} bytes of HTML; mail programs cut a mail at 102 KB")
    _say(f"held where one of these is not known: {', '.join(held)}" if held else "made whatever is not known")
    for name in ("url", "postal_address"):
        if not getattr(shop.profile, name):
            _say(f"the shop has not set shop.{name}")
    if out is not None:
        out.write_bytes({".html": mail.html.encode(), ".eml": mail.wire, ".txt": mail.text.encode()}[out.suffix])
        _say(f"written to {out}")
    elif send is None:
        sys.stdout.write(f"Subject: {mail.subject}\n\n{mail.text}")
    if send is not None:
        _send(mail, settings)
        _say(f"sent to {send}")


def _shop(settings: "Settings", shop_id: str | None, template: str, draft: Path | None) -> "Shop":
    import msgspec

    from cartwake.model import Setting
    from cartwake.shops import Shops, checked, follow
    from local.stack import embedded

    shops = Shops()
    if shop_id is not None:
        with embedded(settings, kafka=True, say=_say) as running:
            follow(running, shops)()
    if draft is not None:
        try:
            value = msgspec.json.decode(draft.read_bytes())
        except (msgspec.DecodeError, UnicodeError, RecursionError) as exc:
            raise ConfigurationError(f'{draft} is no JSON: {exc}. Example: {{"subject": "Your cart"}}') from exc
        name = f"template:{template}"
        checked(name, value)
        for language in [key for key in shops.of(shop_id or "main").templates if key.startswith(f"{template}.")]:
            shops.reset(shop_id or "main", f"template:{language}")
        shops.apply(Setting(shop_id=shop_id or "main", name=name, value=value))
    return shops.of(shop_id or "main")


def _with_cart(letter: "Letter", settings: "Settings", cart_id: str, shop_id: str) -> "Letter":
    from msgspec.structs import replace

    from cartwake.commands.remind import latest
    from cartwake.model import Item
    from local.stack import embedded
    from sinks.carts import Carts, lines
    from sinks.clickhouse import ClickHouse

    with (
        embedded(settings, clickhouse=True, say=_say) as running,
        ClickHouse.open(running.clickhouse_dsn, running.clickhouse_database) as store,
    ):
        row = latest(Carts(store), cart_id, shop_id)
    return replace(
        letter,
        cart_id=row.cart_id,
        stage=row.stage or "cart",
        items=tuple(
            Item(
                sku=x.sku,
                name=x.name or None,
                quantity=x.quantity,
                price=x.price,
                url=x.url or None,
                image=x.image or None,
            )
            for x in lines(row.items)
        ),
        units=row.units,
        value=str(row.value),
        currency=row.currency or None,
        cart_url=row.cart_url or None,
        name=None,
    )


def _send(mail: "Mail", settings: "Settings") -> None:
    from cartwake.errors import MailUnavailable
    from local.stack import embedded
    from reminders import channels
    from reminders.outcomes import Failed, Uncertain

    with embedded(settings, mailbox=True, say=_say) as running:
        channel = channels.email(running)

        async def hand_over() -> object:
            try:
                return await channel.send(mail)
            finally:
                await channel.close()

        try:
            result = asyncio.run(hand_over())
        except MailUnavailable as exc:
            raise CartwakeError(f"not sent: {exc}") from exc
    if isinstance(result, Failed):
        raise Rejected(f"not sent: {result.words}")
    if isinstance(result, Uncertain):
        raise CartwakeError("handed over, but the mail server did not answer: it may or may not have been sent")


def _say(words: str) -> None:
    click.echo(words, err=True)
