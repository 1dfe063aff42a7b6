"""`cartwake preview`: how a message looks, before anybody gets it, and what it can't do without."""

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cartwake import settings as settings_file
from cartwake.errors import CartwakeError, ConfigurationError, Rejected

if TYPE_CHECKING:
    from cartwake.model import Channel, PushTarget
    from cartwake.settings import Settings
    from cartwake.shops import Shop
    from reminders.letter import Letter
    from reminders.outbox import Mail

_KINDS = (".html", ".eml", ".txt")
_NOBODY = "shopper@example.com"


@click.command("preview")
@click.option(
    "--channel", default="email", show_default=True, type=click.Choice(["email", "sms", "push"]), help="how it is sent"
)
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
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), help="write it here: .txt; a mail also as .html or .eml"
)
@click.option(
    "--send", metavar="TO", help="send it, marked as a test: to an address, a number, or the browser of a JSON file"
)
def command(
    channel: "Channel",
    template: str,
    locale: str | None,
    shop_id: str | None,
    step: int,
    cart_id: str | None,
    draft: Path | None,
    out: Path | None,
    send: str | None,
) -> None:
    """Make a message of sample values and say which values it can't do without, and how long it is.

    Without --out or --send it is shown. Nobody is in it: its links lead to the shop, and to an unsubscribe page that
    knows nobody.
    """
    from cartwake.clock import SystemClock
    from reminders.preview import sample_letter
    from reminders.reader import Unfit
    from reminders.short_preview import letter_of

    kinds = _KINDS if channel == "email" else (".txt",)
    if out is not None and out.suffix not in kinds:
        example = "mail.html" if channel == "email" else f"{channel}.txt"
        raise ConfigurationError(f"--out {out}: the name says what is written. Example: --out {example}")
    settings = settings_file.load()
    shop = _shop(settings, shop_id, channel, template, draft)
    now = SystemClock().now_ms()
    if channel == "email":
        letter = sample_letter(template, locale, shop, to=send or _NOBODY, now=now, step=step)
    else:
        letter = letter_of(channel, template, locale, shop, now=now, step=step)
    if cart_id is not None:
        letter = _with_cart(letter, settings, cart_id, shop.shop_id)
    try:
        if channel == "email":
            _mail(settings, letter, shop, out, send)
        else:
            _short(settings, letter, shop, out, send)
    except Unfit as exc:
        raise Rejected(str(exc)) from exc


def _mail(settings: "Settings", letter: "Letter", shop: "Shop", out: Path | None, send: str | None) -> None:
    from reminders.preview import NoLinks, needed
    from reminders.render import Renderer

    render = Renderer(
        links=NoLinks(settings.collector_url), mail_from=settings.mail_from, mark="[Test] " if send else ""
    )
    mail = render(letter, shop)
    held = needed(render.parts, letter, shop)
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
        _send_mail(mail, settings)
        _say(f"sent to {send}")


def _short(settings: "Settings", letter: "Letter", shop: "Shop", out: Path | None, send: str | None) -> None:
    from msgspec.structs import replace

    from reminders.short_preview import push_preview, sms_preview

    if send is not None:
        browser = _browser(send) if letter.channel == "push" else None
        letter = replace(letter, to=browser.endpoint if browser else send, push=browser)
    made = (sms_preview if letter.channel == "sms" else push_preview)(settings, letter, shop)
    for words in (*made.notes, *(f"warning: {warning}" for warning in made.warnings)):
        _say(words)
    if out is not None:
        out.write_text(made.text + "\n", encoding="utf-8")
        _say(f"written to {out}")
    elif send is None:
        sys.stdout.write(made.text + "\n")
    if send is not None:
        if made.message is None:
            raise Rejected(f"not sent: {made.warnings[0]}")
        _send_short(made.message, settings, letter.channel)
        _say(f"sent to {send}")


def _shop(settings: "Settings", shop_id: str | None, channel: "Channel", template: str, draft: Path | None) -> "Shop":
    import msgspec

    from cartwake.model import Setting
    from cartwake.shops import Shops, checked, follow
    from local.stack import embedded
    from reminders.reader import templates_of

    shops = Shops()
    if shop_id is not None:
        with embedded(settings, kafka=True, say=_say) as running:
            follow(running, shops)()
    if draft is not None:
        try:
            value = msgspec.json.decode(draft.read_bytes())
        except (msgspec.DecodeError, UnicodeError, RecursionError) as exc:
            raise ConfigurationError(f'{draft} is no JSON: {exc}. Example: {{"subject": "Your cart"}}') from exc
        prefix = "template" if channel == "email" else f"{channel}-template"
        name = f"{prefix}:{template}"
        checked(name, value)
        for key in [x for x in templates_of(shops.of(shop_id or "main"), channel) if x.startswith(f"{template}.")]:
            shops.reset(shop_id or "main", f"{prefix}:{key}")
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


def _browser(file: str) -> "PushTarget":
    """The browser that a subscription, as it writes itself in JSON, is of."""
    import msgspec

    from cartwake.model import PushTarget

    try:
        said = msgspec.json.decode(Path(file).read_bytes(), type=dict[str, Any])
        return msgspec.convert({"endpoint": said.get("endpoint"), **said.get("keys", {})}, PushTarget)
    except (OSError, msgspec.DecodeError, TypeError, ValueError, RecursionError) as exc:
        raise ConfigurationError(
            f"--send {file}: a push message is sent to the browser of a file that holds what "
            f"JSON.stringify(subscription) says there (docs/push.md): {exc}"
        ) from exc


def _send_mail(mail: "Mail", settings: "Settings") -> None:
    from local.stack import embedded
    from reminders import channels

    with embedded(settings, mailbox=True, say=_say) as running:
        _hand_over(channels.email(running), mail, "the mail server")


def _send_short(message: Any, settings: "Settings", channel: "Channel") -> None:
    from reminders.channels.push import PushChannel
    from reminders.channels.sms import SmsChannel
    from reminders.push.keys import keys_of

    if channel == "push":
        keys = keys_of(settings)
        _hand_over(PushChannel(keys, anywhere=settings.push_endpoints == "any"), message, "the push service")
    elif settings.sms_preset == "none":
        raise ConfigurationError(
            "no gateway for text messages is set (docs/sms.md). Example: CARTWAKE_SMS_PRESET=twilio"
        )
    else:
        _hand_over(SmsChannel(settings), message, "the SMS gateway")


def _hand_over(channel: Any, message: Any, server: str) -> None:
    from cartwake.errors import MailUnavailable
    from reminders.outcomes import Failed, Uncertain

    async def send() -> object:
        try:
            return await channel.send(message)
        finally:
            await channel.close()

    try:
        result = asyncio.run(send())
    except MailUnavailable as exc:
        raise CartwakeError(f"not sent: {exc}") from exc
    if isinstance(result, Failed):
        raise Rejected(f"not sent: {result.words}")
    if isinstance(result, Uncertain):
        raise CartwakeError(f"handed over, but {server} did not answer: it may or may not have been sent")


def _say(words: str) -> None:
    click.echo(words, err=True)
