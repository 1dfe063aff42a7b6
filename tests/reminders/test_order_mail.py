"""The mail of an order notice: own words in the shop's design, files as they were, nothing of a cart."""

import email
from email.policy import default
from typing import Any

import msgspec
import pytest

from cartwake.model import person_id
from cartwake.rules import MailTemplate
from cartwake.shops import Shop, ShopProfile
from reminders.mime import File
from reminders.notices import notice_id
from reminders.order_mail import Notice, order_mail
from reminders.outbox import Mail
from reminders.reader import Unfit
from reminders.render import Renderer
from tests.reminders.test_mail_render import letter
from tests.reminders.world import ANA, LINKS, T0

RENDER = Renderer(links=LINKS, mail_from="Shop <carts@shop.example.com>")
SHOP = Shop(
    "main",
    ShopProfile(title="Porto & Daughters", url="https://porto.example.com", postal_address="12 Harbour St", opens=True),
)
KEY = ("main", person_id(ANA))
RAW = bytes(range(256)) * 41
PICTURE = File("parcel.png", "image/png", b"\x89PNG\r\n\x1a\n" + RAW)
ID = notice_id(KEY, "o-7", "Your invoice")


def mail(shop: Shop = SHOP, **changes: Any) -> Mail:
    values: dict[str, Any] = {
        "key": KEY, "order_id": "o-7", "to": ANA, "subject": "Your invoice", "written_at": T0,
        "text": "Thank you.\nHere is <your> invoice.",
    }  # fmt: skip
    return order_mail(Notice(**(values | changes)), shop, RENDER, LINKS)


def parsed(written: Mail) -> Any:
    return email.message_from_bytes(written.wire, policy=default)


def test_own_words_stand_in_the_shops_design_and_nothing_of_a_cart() -> None:
    written = mail()
    for part in (written.html, written.text):
        assert "12 Harbour St" in part
        assert "/r/" not in part
        assert "/u/" not in part
        assert "{{" not in part
    assert "Porto &amp; Daughters" in written.html
    assert "Thank you.<br>Here is &lt;your&gt; invoice." in written.html
    assert written.text.startswith("Porto & Daughters\n\nThank you.\nHere is <your> invoice.\n")
    assert "/o/" not in written.html  # nobody looks over the shoulder of who reads an invoice
    assert "cart" not in written.text


def test_headers_are_those_of_a_mail_nobody_subscribed_to() -> None:
    message = parsed(mail())
    assert (message["To"], message["Subject"], message["From"]) == (
        ANA, "Your invoice", "Shop <carts@shop.example.com>",
    )  # fmt: skip
    assert message["List-Unsubscribe"] is None
    assert message["Message-ID"] == f"<{ID}@shop.example.com>"
    assert parsed(mail(again="0123456789ab"))["Message-ID"] == f"<{ID}.01234567@shop.example.com>"
    assert parsed(mail(text="other words"))["Message-ID"] == message["Message-ID"]
    for changes in ({"order_id": "o-8"}, {"subject": "Shipped"}, {"key": ("berlin", KEY[1])}):
        assert parsed(mail(**changes))["Message-ID"] != message["Message-ID"]


def test_files_arrive_byte_by_byte_and_the_picture_is_the_one_that_html_shows() -> None:
    files = (File("Rechnung für Müller.pdf", "application/pdf", RAW), File("a.csv", "text/csv", b"a,b\n"))
    message = parsed(mail(files=files, picture=PICTURE))
    assert message.get_content_type() == "multipart/mixed"
    found = [
        File(x.get_filename(), x.get_content_type(), x.get_payload(decode=True)) for x in message.iter_attachments()
    ]
    assert found == list(files)
    page = message.get_body(("related",))
    html, picture = page.iter_parts()
    assert picture.get_payload(decode=True) == PICTURE.content
    assert (picture.get_content_type(), picture.get_content_disposition()) == ("image/png", "inline")
    assert f'src="cid:{picture["Content-ID"][1:-1]}"' in html.get_content()
    assert 'alt="parcel.png"' in html.get_content()


def test_a_pictures_name_is_a_text_in_html() -> None:
    evil = File('"><script>.png', "image/png", b"x")
    assert "<script" not in mail(picture=evil).html


@pytest.mark.parametrize("language", ["bg", "de", "pl", "ro", "ar"])
def test_a_notice_in_any_language_has_the_words_it_was_given(language: str) -> None:
    written = mail(locale=language)
    assert "Thank you." in written.text
    assert f'lang="{language if language != "ar" else "en"}"' in written.html


def test_a_shop_may_have_a_template_of_its_own_for_notices() -> None:
    html = '<p>{{ words.headline }}: {{ text }}</p><a href="{{ unsubscribe_url }}">{{ shop.title }}</a>'
    own = msgspec.structs.replace(
        SHOP, templates={"notice.de": MailTemplate(html=html, subject="[{{ words.subject }}]")}
    )
    written = mail(own, locale="de")
    assert "<p>Your invoice: Thank you.<br>Here" in written.html
    assert written.subject == "[Your invoice]"
    assert "<p>Your invoice:" not in mail(own).html
    assert "<p>Your invoice:" in mail(own, locale="de-CH").html
    cartly = msgspec.structs.replace(SHOP, templates={"notice": MailTemplate(text="{{ total }}")})
    with pytest.raises(Unfit, match="total is not known"):
        mail(cartly)


def test_a_template_for_notices_is_found_as_one_of_reminders_is() -> None:
    own = {key: MailTemplate(subject=key) for key in ("notice", "notice.de", "notice.de-AT", "notice.ar-EG")}
    shop = msgspec.structs.replace(SHOP, templates=own)
    found = [mail(shop, locale=locale).subject for locale in ("de-AT", "de_CH", "de", "ro", "ar-EG", "ar", None)]
    assert found == ["notice.de-AT", "notice.de", "notice.de", "notice", "notice.ar-EG", "notice", "notice"]
    assert 'dir="rtl"' in mail(shop, locale="ar-EG").html


def test_a_reminder_is_no_notice() -> None:
    with pytest.raises(Unfit, match="no template 'notice'"):
        RENDER(letter(template="notice"), SHOP)


def test_an_unusable_sender_or_recipient_makes_no_mail() -> None:
    with pytest.raises(Unfit):
        mail(msgspec.structs.replace(SHOP, profile=ShopProfile(sender="nobody")))
    with pytest.raises(Unfit):
        mail(to="ana@example.com\r\nBcc: e@example.com")
