"""The mail of an order notice: the staff's own words in the shop's design, with its files.

It has no cart, no recovery link, no List-Unsubscribe and no pixel: nobody subscribed to it.
"""

from typing import Any, Final

from markupsafe import Markup
from msgspec import Struct

from cartwake.shops import Shop
from cartwake.templating import Missing, missing
from reminders.clean import in_html, line, lines, web_url
from reminders.links import Links
from reminders.mime import File
from reminders.notices import notice_id
from reminders.outbox import Mail
from reminders.person import Key
from reminders.reader import speech_in
from reminders.render import Renderer, of_shop
from reminders.words import Speech

#: The template: a shop may have its own of it, as of those of reminders.
NOTICE: Final = "notice"
_PICTURE: Final = Markup('{}<br><br><img src="cid:{}" alt="{}" style="max-width:100%;height:auto">')
#: Of the words of a reminder those that a notice does not say.
_UNSAID: Final[dict[str, Missing]] = {
    name: missing(f"words.{name}")
    for name in (
        "lead", "button", "more", "total", "code", "until", "products", "help", "note", "reason", "unsubscribe",
    )
}  # fmt: skip


class Notice(Struct, frozen=True, kw_only=True):
    """What is to be said about an order. `again` marks a mail that is sent once more, under another Message-ID."""

    key: Key
    order_id: str
    to: str
    subject: str
    text: str
    written_at: int
    locale: str | None = None
    files: tuple[File, ...] = ()
    picture: File | None = None  # shown below the words
    again: str = ""  # the request's id


def order_mail(notice: Notice, shop: Shop, render: Renderer, links: Links) -> Mail:
    """The mail of a notice; raises Unfit.

    Its Message-ID follows from shop, person, order and subject: a mailbox that gets it twice can tell.
    """
    plan_id = notice_id(notice.key, notice.order_id, notice.subject)
    name = f"{plan_id}.{notice.again[:8]}" if notice.again else plan_id
    words = in_html(notice.text)
    files = notice.files
    if notice.picture is not None:
        content_id = f"picture.{name}@{render.sender(shop)[1].rpartition('@')[2]}"
        picture = notice.picture
        words = _PICTURE.format(words, content_id, line(picture.name, 100))
        files = (*files, File(picture.name, picture.type, picture.content, content_id))
    speech = speech_in(notice.locale, NOTICE, "email", shop)
    parts = render.compose(NOTICE, speech, _values(notice, shop, speech, links), shop, words)
    return render.mail(
        parts, shop, key=notice.key, plan_id=plan_id, to=notice.to, at=notice.written_at, unsubscribe_url=None,
        name=name, files=files,
    )  # fmt: skip


def _values(notice: Notice, shop: Shop, speech: Speech, links: Links) -> dict[str, Any]:
    """Every value a template may use; those of a cart are empty or not known."""
    text = lines(notice.text)
    subject = line(notice.subject, 150)
    return {
        "template": NOTICE,
        "language": speech.language,
        "direction": speech.direction,
        "step": 0,
        "stage": "cart",
        "to": notice.to,
        "shop": of_shop(shop),
        "text": "\n".join(text),
        "items": [],
        "more": 0,
        "units": 0,
        "products": [],
        "recovery_url": web_url(shop.profile.url) or missing("recovery_url"),
        "unsubscribe_url": links.unsubscribe_url(notice.key),
        "words": {
            "subject": subject,
            "preview": line(text[0], 150),
            "headline": subject,
            "hello": speech.say("mail", "hello_all"),
            **_UNSAID,
        },
        **{name: missing(name) for name in ("name", "total", "left_on", "gift")},
    }
