"""What Twilio tells us: only what it has signed counts, a receipt names its person, a STOP goes by the number."""

import asyncio
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette

from cartwake.clock import FakeClock, rfc3339, to_datetime
from cartwake.errors import InvalidEvent, KafkaUnavailable
from cartwake.model import Setting, decode_message, decode_subscriber_event
from cartwake.shops import Shops
from cartwake.topics import MESSAGES, SUBSCRIBER_EVENTS, Topic
from reminders.fold import fold
from reminders.person import Person, is_person
from reminders.sms.callbacks import Callbacks, Receipt
from reminders.sms.webhooks import routes, signature, wants_to_stop
from tests.reminders.texts import NUMBER, PERSON, SECRET, SENDER, unhurried
from tests.reminders.world import T0

BASE = "https://t.shop.example.com"
CALLBACKS = Callbacks(BASE, "secret of the tests")
RECEIPT = Receipt("porto", PERSON, "f" * 32, "c-1")
URL = CALLBACKS.receipt_url(RECEIPT)
REPLIES = f"{BASE}/v1/sms/replies"


class Written:
    """A publisher that remembers, or is away."""

    def __init__(self) -> None:
        self.records: list[tuple[Topic, str, bytes]] = []
        self.away = False

    def send_and_wait(self, topic: Topic, key: str, value: bytes | None, *, timeout: float = 10) -> None:
        if self.away:
            raise KafkaUnavailable("away")
        assert value is not None
        self.records.append((topic, key, value))

    def on(self, topic: Topic) -> list[bytes]:
        return [value for where, _, value in self.records if where == topic]


class Site:
    """The collector's two routes."""

    def __init__(self, base: str = BASE) -> None:
        self.written = Written()
        shops = Shops()
        shops.apply(Setting(shop_id="porto", name="shop", value={"title": "Porto"}))
        callbacks = Callbacks(base, "secret of the tests")
        app = Starlette(routes=routes(callbacks, self.written, shops, SECRET, FakeClock(T0)))
        self.transport = httpx.ASGITransport(app)

    def post(self, url: str, body: bytes, **headers: str) -> httpx.Response:
        async def ask() -> httpx.Response:
            async with httpx.AsyncClient(transport=self.transport) as client:
                kind = {"Content-Type": "application/x-www-form-urlencoded"}
                sent = {name: value.encode("latin-1") for name, value in (kind | headers).items()}
                return await client.post(url, content=body, headers=[(k.encode(), v) for k, v in sent.items()])

        return asyncio.run(ask())

    def tell(self, url: str, token: str = SECRET, signed: str = "", **fields: str) -> httpx.Response:
        """A request as Twilio makes it: signed over `signed`, else over the address it is sent to."""
        right = signature(signed or url, list(fields.items()), token)
        return self.post(url, urlencode(fields).encode(), **{"X-Twilio-Signature": right})

    def receipt(self, status: str, code: str = "", url: str = URL) -> httpx.Response:
        more = {"ErrorCode": code} if code else {}
        return self.tell(url, MessageSid="SM1", MessageStatus=status, To=NUMBER, From=SENDER, **more)

    def reply(self, body: str, number: str = NUMBER, **more: str) -> httpx.Response:
        return self.tell(REPLIES, MessageSid="SM2", From=number, To=SENDER, Body=body, **more)


@pytest.fixture
def site() -> Site:
    return Site()


# -- signatures ----------------------------------------------------------------------------------------------------
def test_a_signature_is_that_of_twilios_own_example() -> None:
    fields = [
        ("CallSid", "CA1234567890ABCDE"), ("From", "+12349013030"), ("To", "+18005551212"), ("Caller", "+12349013030"),
        ("Digits", "1234"),
    ]  # fmt: skip
    url = "https://mycompany.com/myapp.php?foo=1&bar=2"
    assert signature(url, fields, "12345") == "0/KCTR6DLpKmkAf8muzZqo1nDgQ="
    assert signature(url, [*reversed(fields), fields[0]], "12345") == "0/KCTR6DLpKmkAf8muzZqo1nDgQ="


def test_what_is_not_signed_is_refused_and_changes_nothing(site: Site) -> None:
    body = urlencode({"MessageStatus": "failed", "ErrorCode": "30005"}).encode()
    other = {"MessageStatus": "failed", "ErrorCode": "30006"}
    for wrong in ("", "x", "ü", signature(URL, list(other.items()), SECRET)):
        assert site.post(URL, body, **{"X-Twilio-Signature": wrong}).status_code == 403
    assert site.post(URL, body).status_code == 403
    assert site.tell(URL, token="another secret", MessageStatus="failed").status_code == 403
    assert site.tell(URL, signed=REPLIES, MessageStatus="failed").status_code == 403
    assert site.tell(REPLIES, token="", From=NUMBER, Body="STOP").status_code == 403
    assert site.written.records == []


def test_twilio_may_sign_the_address_with_or_without_its_port() -> None:
    url = URL.replace(BASE, BASE + ":443")
    assert Site().tell(URL, signed=url, MessageStatus="sent").status_code == 204
    other = Site(BASE + ":8443")
    assert other.tell(URL, signed=URL.replace(BASE, BASE + ":8443"), MessageStatus="sent").status_code == 204
    assert other.tell(URL, signed=URL, MessageStatus="sent").status_code == 204


def test_query_and_fields_without_a_value_are_signed_as_well(site: Site) -> None:
    assert site.tell(URL + "?a=1&b=%20", MessageStatus="sent", ErrorMessage="").status_code == 204
    assert site.tell(URL + "?a=1", signed=URL, MessageStatus="sent").status_code == 403


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"x" * 20_000, 413),
        (b"\xff=1", 400),
        (b"a", 400),
        (b"&".join([b"a=1"] * 200), 400),
        (b"", 403),
        (b"a=%FF", 403),
    ],
)
def test_a_body_that_is_no_form_is_refused(site: Site, body: bytes, status: int) -> None:
    assert site.post(REPLIES, body).status_code == status


def test_only_post_tells_us_anything(site: Site) -> None:
    async def get() -> httpx.Response:
        async with httpx.AsyncClient(transport=site.transport) as client:
            return await client.get(URL)

    assert asyncio.run(get()).status_code == 405


# -- receipts ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("status", ["queued", "sending", "sent", "delivered", "read", "", "nonsense"])
def test_a_message_on_its_way_or_there_changes_nothing(site: Site, status: str) -> None:
    assert site.receipt(status).status_code == 204
    assert site.written.records == []


@pytest.mark.parametrize("status", ["undelivered", "failed"])
@pytest.mark.parametrize("code", ["30005", "30006", "21211", "21614"])
def test_a_dead_number_is_not_written_to_again(site: Site, status: str, code: str) -> None:
    assert site.receipt(status, code).status_code == 204
    (value,) = site.written.on(SUBSCRIBER_EVENTS)
    event = decode_subscriber_event(value)
    assert (event.type, event.shop_id, event.subscriber_id) == ("subscriber.bounced", "porto", PERSON)
    assert (event.channels, event.reason, event.occurred_at) == (("sms",), f"hard: Twilio {code}", to_datetime(T0))
    standing = fold(Person(), event)
    assert (standing.on("sms").bounced, standing.on("email").bounced) == (True, False)
    (value,) = site.written.on(MESSAGES)
    message = decode_message(value)
    assert (message.type, message.plan_id, message.channel) == ("message.bounced", "f" * 32, "sms")
    assert (message.reason, message.words, message.occurred_at) == (
        "hard", f"Twilio could not deliver the message: {status} {code}", rfc3339(T0),
    )  # fmt: skip


@pytest.mark.parametrize("code", ["30003", "30007", "30008", "", "x\r\ny"])
def test_a_message_that_did_not_arrive_today_says_nothing_about_the_number(site: Site, code: str) -> None:
    assert site.receipt("undelivered", code).status_code == 204
    ((topic, key, value),) = site.written.records
    assert (topic, key, decode_message(value).reason) == (MESSAGES, PERSON, "soft")


def test_a_receipt_that_says_stop_withdraws_this_channel(site: Site) -> None:
    site.receipt("failed", "21610")
    event = decode_subscriber_event(site.written.on(SUBSCRIBER_EVENTS)[0])
    assert (event.type, event.channels, event.subscriber_id) == ("subscriber.withdrawn", ("sms",), PERSON)
    assert decode_message(site.written.on(MESSAGES)[0]).reason == "unsubscribed"


def test_a_receipt_that_comes_twice_is_the_same_record(site: Site) -> None:
    site.receipt("failed", "30005")
    site.receipt("failed", "30005")
    first, second, *others = site.written.records[::2]
    assert first == second
    assert others == []


def test_what_can_not_be_recorded_is_said_so_that_it_comes_again(site: Site) -> None:
    site.written.away = True
    answer = site.receipt("failed", "30005")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "60")
    assert site.reply("STOP").status_code == 503


# -- tokens --------------------------------------------------------------------------------------------------------
def test_a_token_of_somebody_else_is_not_found(site: Site) -> None:
    forged = Callbacks(BASE, "another secret").receipt_url(RECEIPT)
    assert site.receipt("failed", "30005", url=forged).status_code == 404
    assert site.receipt("failed", "30005", url=f"{BASE}/v1/sms/receipts/x").status_code == 404
    assert site.written.records == []


@unhurried
@given(st.text(max_size=60), st.binary(min_size=1, max_size=4), st.integers(0, 60))
def test_no_token_but_ours_is_read(text: str, change: bytes, at: int) -> None:
    token = URL.rpartition("/")[2]
    bent = token[:at] + change.hex() + token[at + len(change.hex()) :]
    for wrong in [text] + ([bent] if bent != token else []):
        with pytest.raises(InvalidEvent):
            CALLBACKS.read_receipt(wrong)


@unhurried
@given(st.builds(Receipt, st.text(max_size=20), st.text(max_size=30), st.text(max_size=32), st.text(max_size=200)))
def test_what_a_token_says_is_read_again(receipt: Receipt) -> None:
    assert CALLBACKS.read_receipt(CALLBACKS.receipt_url(receipt).rpartition("/")[2]) == receipt


# -- replies -------------------------------------------------------------------------------------------------------
def test_a_stop_silences_the_number_at_every_shop(site: Site) -> None:
    answer = site.reply("Stop.")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/xml; charset=utf-8")
    assert answer.text.endswith("<Response></Response>")  # Twilio says good-bye itself
    events = [decode_subscriber_event(value) for value in site.written.on(SUBSCRIBER_EVENTS)]
    assert [event.shop_id for event in events] == ["main", "porto"]
    assert len({event.event_id for event in events}) == 2
    for event in events:
        assert (event.type, event.channels) == ("subscriber.withdrawn", ("sms",))
        assert event.subscriber_id == CALLBACKS.number_id(NUMBER)
        assert fold(Person(), event).on("sms").withdrawn_at == T0
    assert {key for _, key, _ in site.written.records} == {CALLBACKS.number_id(NUMBER)}


def test_the_id_of_a_number_is_one_of_a_shops_own_ids_and_tells_nothing() -> None:
    found = CALLBACKS.number_id(NUMBER)
    assert not is_person(found)
    assert NUMBER[1:] not in found
    assert found != Callbacks(BASE, "another secret").number_id(NUMBER)
    assert found != CALLBACKS.number_id("+491701234568")


def test_what_twilio_took_for_a_stop_is_one(site: Site) -> None:
    site.reply("bitte nicht mehr", OptOutType="STOP")
    assert len(site.written.records) == 2


@pytest.mark.parametrize(
    "text",
    [
        "STOP",
        "stop",
        " Stop! ",
        "\u200bSTOP",
        "Stopp",
        "STOP ALL",
        "stop please",
        "Unsubscribe",
        "Opt-out",
        "СТОП",
        "abmelden",
    ],
)
def test_words_that_stop(text: str) -> None:
    assert wants_to_stop(text)


@pytest.mark.parametrize(
    "text", ["", "?", "Start", "Please don't stop", "stopwatch?", "Cancel my order A-7", "the end", "ok"]
)
def test_words_that_do_not(site: Site, text: str) -> None:
    assert not wants_to_stop(text)
    assert site.reply(text).status_code == 200
    assert site.written.records == []


@pytest.mark.parametrize("number", ["", "Porto", "+1", "x" * 10_000, "whatsapp:+491701234567"])
def test_a_stop_from_what_is_no_number_is_answered_and_ignored(site: Site, number: str) -> None:
    assert site.reply("STOP", number=number).status_code == 200
    assert site.written.records == []


@unhurried
@given(st.dictionaries(st.text(max_size=10), st.text(max_size=40), max_size=6))
def test_whatever_is_signed_is_answered(fields: dict[str, Any]) -> None:
    site = Site()
    for url in (URL, REPLIES):
        assert site.tell(
            url, **{name: value for name, value in fields.items() if name not in ("url", "token", "signed")}
        )
