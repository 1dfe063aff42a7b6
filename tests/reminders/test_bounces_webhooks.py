"""Webhooks of SES, SendGrid and Postmark: who signed is heard, once Kafka has it, and nobody else."""

import asyncio
import base64
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette

from cartwake.clock import FakeClock, rfc3339, to_datetime
from cartwake.errors import ConfigurationError, InvalidEvent, Unavailable
from cartwake.model import Setting, derived_id
from cartwake.shops import Shops
from reminders.bounces import providers
from reminders.bounces.bodies import MAX_BODY
from reminders.bounces.intake import Returns
from reminders.bounces.signatures import AHEAD_MS, OLDEST_MS
from reminders.bounces.verp import ARGUMENT, Secret, make_token
from reminders.bounces.webhooks import Secrets, routes
from tests.reminders.returned import PERSON, PLAN, RETURN_PATH, SIGNER, TOKEN, Written
from tests.reminders.world import T0

TOPIC = "arn:aws:sns:eu-west-1:123456789012:ses-feedback"
PEM_URL = "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-0123456789abcdef0123456789abcdef.pem"
CONFIRM_URL = f"https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription&TopicArn={TOPIC}&Token=abc"
POSTMARK = "postmark:a password of enough letters"

AMAZON = rsa.generate_private_key(65537, 2048)
STRANGER = rsa.generate_private_key(65537, 2048)
TWILIO = ec.generate_private_key(ec.SECP256R1())


def shown(key: Any) -> str:
    """The public key as SendGrid shows it."""
    der = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(der).decode()


KEY = shown(TWILIO)


def certificate(key: Any = AMAZON, *, until: int = T0 + 1_000_000) -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.amazonaws.com")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(to_datetime(T0) - timedelta(days=100))
        .not_valid_after(to_datetime(until))
        .sign(key, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM)


class Site:
    """The routes of all three providers, with a publisher that remembers and an Amazon that answers."""

    def __init__(self, secrets: Secrets | None = None) -> None:
        self.written = Written()
        self.clock = FakeClock(T0)
        self.returns = Returns()
        self.shops = Shops()
        self.fetched: list[str] = []
        self.certificate = certificate()
        self.amazon_away = False
        every = Secrets(frozenset({TOPIC}), KEY, POSTMARK)
        made = routes(
            SIGNER, self.written, self.shops, secrets or every,
            fetch=self._fetch, clock=self.clock, returns=self.returns,
        )  # fmt: skip
        self.transport = httpx.ASGITransport(Starlette(routes=made))

    async def _fetch(self, url: str) -> bytes:
        self.fetched.append(url)
        if self.amazon_away:
            raise Unavailable("away")
        return self.certificate

    def post(
        self, provider: str, body: bytes, headers: dict[str, str] | None = None, method: str = "POST"
    ) -> httpx.Response:
        async def ask() -> httpx.Response:
            async with httpx.AsyncClient(transport=self.transport, base_url="https://t.shop.example.com") as client:
                return await client.request(method, f"/v1/mail/{provider}", content=body, headers=headers)

        return asyncio.run(ask())

    def counted(self, way: str, kind: str) -> float:
        return self.returns.registry.get_sample_value("cartwake_mail_returns_total", {"way": way, "kind": kind}) or 0

    # -- as the providers send
    def ses(self, message: Any, **changes: Any) -> httpx.Response:
        return self.post("ses", sns(message, **changes), {"content-type": "text/plain; charset=UTF-8"})

    def sendgrid(self, *events: Any) -> httpx.Response:
        body = json.dumps(list(events)).encode()
        return self.post("sendgrid", body, twilio(body))

    def postmark(self, **event: Any) -> httpx.Response:
        return self.post("postmark", json.dumps({"Metadata": {ARGUMENT: TOKEN}} | event).encode(), basic(POSTMARK))


def sns(
    message: Any,
    *,
    key: Any = AMAZON,
    version: str = "1",
    after: Callable[[dict[str, Any]], None] | None = None,
    **changes: Any,
) -> bytes:
    """What SNS posts, signed with `key`; `after` changes it when it has been signed."""
    body: dict[str, Any] = {
        "Type": "Notification", "MessageId": "m-1", "TopicArn": TOPIC, "Timestamp": rfc3339(T0),
        "Message": message if isinstance(message, str) else json.dumps(message),
        "SignatureVersion": version, "SigningCertURL": PEM_URL, "UnsubscribeURL": "https://example.com/",
    } | changes  # fmt: skip
    names = ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type")
    if body["Type"] != "Notification":
        names = ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type")
    text = "".join(f"{name}\n{body[name]}\n" for name in names if name in body)
    algorithm = hashes.SHA1() if version == "1" else hashes.SHA256()
    body["Signature"] = base64.b64encode(key.sign(text.encode(), padding.PKCS1v15(), algorithm)).decode()
    if after is not None:
        after(body)
    return json.dumps(body).encode()


def twilio(body: bytes, at: str = str(T0 // 1000), key: Any = TWILIO) -> dict[str, str]:
    signature = key.sign(at.encode() + body, ec.ECDSA(hashes.SHA256()))
    return {
        "X-Twilio-Email-Event-Webhook-Signature": base64.b64encode(signature).decode(),
        "X-Twilio-Email-Event-Webhook-Timestamp": at,
        "content-type": "application/json",
    }


def basic(credentials: str) -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(credentials.encode()).decode()}


def ses_bounce(
    kind: str = "Permanent", sub: str = "General", status: str = "5.1.1", answer: str = "smtp; 550 5.1.1 unknown"
) -> dict[str, Any]:
    return {
        "notificationType": "Bounce",
        "mail": {"source": RETURN_PATH, "messageId": "x", "destination": ["ana@example.com"], "timestamp": rfc3339(T0)},
        "bounce": {
            "bounceType": kind, "bounceSubType": sub, "timestamp": rfc3339(T0 - 1000), "feedbackId": "f",
            "bouncedRecipients": [{"emailAddress": "ana@example.com", "status": status, "diagnosticCode": answer}],
        },
    }  # fmt: skip


def ses_complaint(kind: str | None = "abuse") -> dict[str, Any]:
    return {
        "eventType": "Complaint",
        "mail": {"source": "shop@example.com", "tags": {ARGUMENT: [TOKEN]}},
        "complaint": {"complaintFeedbackType": kind, "timestamp": rfc3339(T0), "complainedRecipients": []},
    }


def sendgrid_event(**changes: Any) -> dict[str, Any]:
    return {
        "email": "ana@example.com", "timestamp": T0 // 1000 - 5, "event": "bounce", "type": "bounce",
        "status": "5.1.1", "reason": "550 5.1.1 unknown", "sg_event_id": "x", ARGUMENT: TOKEN,
    } | changes  # fmt: skip


@pytest.fixture
def site() -> Site:
    return Site()


# -- SES -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("version", ["1", "2"])
def test_a_bounce_of_ses_is_taken_in(site: Site, version: str) -> None:
    assert site.ses(ses_bounce(), version=version).status_code == 200
    (event,), (message,) = site.written.events, site.written.messages
    assert (event.type, event.subscriber_id, event.at) == ("subscriber.bounced", PERSON, T0 - 1000)
    assert event.reason == "hard: SES: Permanent General: smtp; 550 5.1.1 unknown"
    assert (message.type, message.plan_id, message.reason) == ("message.bounced", PLAN, "hard")
    assert site.fetched == [PEM_URL]
    assert site.counted("ses", "hard") == 1


def test_the_certificate_is_fetched_once(site: Site) -> None:
    for _ in range(3):
        assert site.ses(ses_bounce()).status_code == 200
    assert site.fetched == [PEM_URL]


def test_a_webhook_sent_twice_says_the_same_with_the_same_ids(site: Site) -> None:
    for _ in range(2):
        site.ses(ses_bounce())
    values = [value for _, _, value in site.written.records]
    assert values[:2] == values[2:]


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (ses_bounce(), ["bounced:hard"]),
        (ses_bounce(sub="NoEmail", status="", answer=""), ["bounced:hard"]),
        (ses_bounce(sub="OnAccountSuppressionList", status="5.7.1", answer=""), ["bounced:hard"]),
        (ses_bounce(sub="UnsubscribedRecipient"), ["withdrawn:SES"]),
        (ses_bounce(status="5.7.1", answer="smtp; 550 5.7.1 blocked"), ["bounced:soft"]),
        (ses_bounce(status="5.2.2", answer="smtp; 552 5.2.2 full"), ["bounced:soft"]),
        (ses_bounce("Transient", "MailboxFull", "4.2.2", ""), ["bounced:soft"]),
        (ses_bounce("Transient", "General", "5.1.1", "smtp; 550 5.1.1 unknown"), ["bounced:soft"]),
        (ses_bounce("Undetermined", "Undetermined", "", ""), ["bounced:soft"]),
        (ses_complaint(), ["complained:SES"]),
        (ses_complaint(None), ["complained:SES"]),
        (ses_complaint("auth-failure"), []),
        (ses_complaint("not-spam"), []),
        ({"eventType": "Delivery", "mail": {"source": RETURN_PATH}}, []),
        ({"eventType": "DeliveryDelay", "mail": {"source": RETURN_PATH}, "deliveryDelay": {}}, []),
    ],
)  # fmt: skip
def test_what_ses_says_means(site: Site, message: dict[str, Any], said: list[str]) -> None:
    assert site.ses(message).status_code == 200
    assert site.written.said == said


def test_of_several_recipients_all_have_to_be_dead() -> None:
    message = ses_bounce()
    message["bounce"]["bouncedRecipients"].append({"emailAddress": "b@example.com", "status": "5.2.2"})
    assert providers.ses(message)[0].verdict.kind == "soft"


def test_what_a_topic_says_when_it_is_set_up_need_not_be_sent_again(site: Site) -> None:
    answer = site.ses("Successfully validated SNS topic for Amazon SES event publishing.")
    assert (answer.status_code, site.counted("ses", "invalid"), site.written.records) == (200, 1, [])


def test_a_subscription_of_our_topic_is_confirmed_and_no_other(site: Site) -> None:
    confirm = {"Type": "SubscriptionConfirmation", "Token": "abc", "SubscribeURL": CONFIRM_URL}
    assert site.ses("You have chosen to subscribe", **confirm).status_code == 200
    assert site.fetched == [PEM_URL, CONFIRM_URL]
    assert site.ses("x", **confirm, key=STRANGER).status_code == 401
    for url in (
        "https://evil.example.com/",
        "http://sns.eu-west-1.amazonaws.com/",
        "https://sns.eu-west-1.amazonaws.com@evil.example.com/",
    ):
        assert site.ses("x", **(confirm | {"SubscribeURL": url})).status_code == 401
    assert site.fetched == [PEM_URL, CONFIRM_URL]
    assert site.ses("x", **(confirm | {"Type": "UnsubscribeConfirmation"})).status_code == 200
    assert site.fetched == [PEM_URL, CONFIRM_URL]


def changed(name: str, value: Any) -> Callable[[dict[str, Any]], None]:
    return lambda body: body.update({name: value})


@pytest.mark.parametrize(
    "changes",
    [
        {"key": STRANGER},
        {"after": changed("Message", json.dumps(ses_complaint()))},
        {"after": changed("Subject", "added")},
        {"after": changed("Signature", "")}, {"after": changed("Signature", "%%%")},
        {"after": changed("Signature", None)},
        {"after": changed("Signature", "A" * 100_000)}, {"after": changed("Signature", "ä")},
        {"after": changed("SignatureVersion", "2")}, {"after": changed("SignatureVersion", "3")},
        {"after": changed("Type", "SubscriptionConfirmation")}, {"after": changed("Type", "Other")},
        {"after": changed("Message", {"mail": {}})}, {"after": changed("Message", None)},
        {"Timestamp": rfc3339(T0 - OLDEST_MS - 1)}, {"Timestamp": rfc3339(T0 + AHEAD_MS + 1)}, {"Timestamp": "now"},
    ],
)  # fmt: skip
def test_what_amazon_did_not_sign_just_now_is_refused(site: Site, changes: dict[str, Any]) -> None:
    answer = site.ses(ses_bounce(), **changes)
    assert (answer.status_code, site.written.records, site.counted("ses", "unsigned")) == (401, [], 1)


@pytest.mark.parametrize(
    "changes",
    [
        {"TopicArn": "arn:aws:sns:eu-west-1:666666666666:ses-feedback"},
        {"TopicArn": None},
        {"SigningCertURL": PEM_URL.replace("https:", "http:")},
        {"SigningCertURL": PEM_URL.replace("amazonaws.com/", "amazonaws.com.evil.example.com/")},
        {"SigningCertURL": PEM_URL.replace("sns.eu-west-1", "evil")},
        {"SigningCertURL": PEM_URL.replace("sns.eu-west-1", "sns.us-east-1")},
        {"SigningCertURL": PEM_URL.replace("sns.", "x@sns.")},
        {"SigningCertURL": PEM_URL.replace(".com/", ".com:8443/")},
        {"SigningCertURL": PEM_URL.replace(".com/", ".com:x/")},
        {"SigningCertURL": "https://sns.eu-west-1.amazonaws.com/bucket/SimpleNotificationService-0123456789abcdef.pem"},
        {"SigningCertURL": "https://evil.example.com/#sns.eu-west-1.amazonaws.com/"},
        {"SigningCertURL": "https://[/"}, {"SigningCertURL": None}, {"SigningCertURL": "file:///etc/passwd"},
    ],
)  # fmt: skip
def test_a_certificate_is_fetched_from_amazon_for_our_topics_only(site: Site, changes: dict[str, Any]) -> None:
    assert site.ses(ses_bounce(), **changes).status_code == 401
    assert site.fetched == []


@pytest.mark.parametrize(
    "pem",
    [
        certificate(until=T0 - 1000), b"", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        certificate(ec.generate_private_key(ec.SECP256R1())),
    ],
)  # fmt: skip
def test_a_certificate_that_is_none_or_has_expired_proves_nothing_and_is_not_kept(site: Site, pem: bytes) -> None:
    site.certificate = pem
    assert site.ses(ses_bounce()).status_code == 401
    site.certificate = certificate()
    assert site.ses(ses_bounce()).status_code == 200


def test_sns_is_asked_to_come_back_while_its_certificate_can_not_be_had(site: Site) -> None:
    site.amazon_away = True
    answer = site.ses(ses_bounce())
    assert (answer.status_code, "retry-after" in answer.headers) == (503, True)


# -- SendGrid ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("event", "said"),
    [
        ({}, ["bounced:hard"]),
        ({"status": "", "reason": "unknown", "bounce_classification": "Invalid Address"}, ["bounced:hard"]),
        ({"status": "5.7.1", "reason": "550 5.7.1 spam", "bounce_classification": "Invalid Address"}, ["bounced:soft"]),
        ({"status": "", "reason": "550 no such user"}, ["bounced:hard"]),
        ({"status": "5.0.0", "reason": "500 no", "bounce_classification": "Reputation"}, ["bounced:soft"]),
        ({"status": "5.2.2", "reason": "mailbox full"}, ["bounced:soft"]),
        ({"type": "blocked"}, ["bounced:soft"]),
        ({"event": "dropped", "reason": "Bounced Address"}, ["bounced:hard"]),
        ({"event": "dropped", "reason": "Spam Reporting Address"}, ["complained:SendGrid"]),
        ({"event": "dropped", "reason": "Unsubscribed Address"}, ["withdrawn:SendGrid"]),
        ({"event": "dropped", "reason": "Recipient List over Package Quota"}, []),
        ({"event": "spamreport"}, ["complained:SendGrid"]),
        ({"event": "group_unsubscribe"}, ["withdrawn:SendGrid"]),
        ({"event": "deferred"}, []), ({"event": "delivered"}, []), ({"event": "open"}, []),
        ({ARGUMENT: ""}, []), ({ARGUMENT: make_token(Secret("x"), ("main", PERSON), PLAN)}, []),
    ],
)  # fmt: skip
def test_what_sendgrid_says_means(site: Site, event: dict[str, Any], said: list[str]) -> None:
    assert site.sendgrid(sendgrid_event(**event)).status_code == 200
    assert [x.partition(" ")[0] for x in site.written.said] == said


def test_one_odd_event_of_a_batch_does_not_hold_up_the_others(site: Site) -> None:
    odd = [
        None,
        1,
        "x",
        [],
        {},
        {"event": 1},
        sendgrid_event(timestamp="x"),
        sendgrid_event(cartwake=["x"]),
    ]
    answer = site.sendgrid(*odd, sendgrid_event(), *odd, sendgrid_event(event="spamreport"))
    assert (answer.status_code, site.written.said) == (200, ["bounced:hard", "complained:SendGrid"])
    assert site.counted("sendgrid", "invalid") == 16


def test_what_sendgrid_did_not_sign_just_now_is_refused(site: Site) -> None:
    body = json.dumps([sendgrid_event()]).encode()
    good = twilio(body)
    name, stamp = list(good)[:2]
    for headers in (
        {}, {name: good[name]}, {stamp: good[stamp]}, good | {stamp: str(T0 // 1000 + 1)},
        good | {name: "x"}, good | {name: "AAAA"},
        good | {stamp: "-1"}, good | {stamp: "1e9"}, good | {stamp: "9" * 5_000},
        twilio(body, key=ec.generate_private_key(ec.SECP256R1())), twilio(body + b" "),
        twilio(body, str((T0 - OLDEST_MS) // 1000 - 1)), twilio(body, str((T0 + AHEAD_MS) // 1000 + 1)),
    ):  # fmt: skip
        assert site.post("sendgrid", body, headers).status_code == 401
    assert site.written.records == []
    assert site.post("sendgrid", body, good).status_code == 200


def test_the_age_of_a_webhook_counts_to_the_second(site: Site) -> None:
    body = json.dumps([]).encode()
    for at in ((T0 - OLDEST_MS) // 1000 + 1, (T0 + AHEAD_MS) // 1000):
        assert site.post("sendgrid", body, twilio(body, str(at))).status_code == 200


# -- Postmark ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("event", "said"),
    [
        ({"RecordType": "Bounce", "Type": "HardBounce", "Details": "smtp;550 5.1.1 unknown"}, ["bounced:hard"]),
        ({"RecordType": "Bounce", "Type": "HardBounce", "Details": None}, ["bounced:hard"]),
        ({"RecordType": "Bounce", "Type": "HardBounce", "Details": "smtp;550 5.7.1 blocked"}, ["bounced:soft"]),
        ({"RecordType": "Bounce", "Type": "BadEmailAddress"}, ["bounced:hard"]),
        ({"RecordType": "Bounce", "Type": "SoftBounce", "Details": "5.1.1"}, ["bounced:soft"]),
        ({"RecordType": "Bounce", "Type": "Blocked"}, ["bounced:soft"]),
        ({"RecordType": "Bounce", "Type": "NewOne"}, ["bounced:soft"]),
        ({"RecordType": "Bounce", "Type": "AutoResponder"}, []),
        ({"RecordType": "Bounce", "Type": "ManuallyDeactivated"}, []),
        ({"RecordType": "Bounce", "Type": "SpamComplaint"}, ["complained:Postmark"]),
        ({"RecordType": "SpamComplaint", "Type": "SpamComplaint"}, ["complained:Postmark"]),
        ({"RecordType": "SubscriptionChange", "SuppressSending": True, "SuppressionReason": "ManualSuppression"},
         ["withdrawn:Postmark"]),
        ({"RecordType": "SubscriptionChange", "SuppressSending": False}, []),
        ({"RecordType": "Open"}, []),
        ({"RecordType": "SpamComplaint", "Metadata": {"CARTWAKE": TOKEN}}, ["complained:Postmark"]),
        ({"RecordType": "SpamComplaint", "Metadata": None}, []),
        ({"RecordType": "SpamComplaint", "Metadata": {"other": TOKEN}}, []),
    ],
)  # fmt: skip
def test_what_postmark_says_means(site: Site, event: dict[str, Any], said: list[str]) -> None:
    assert site.postmark(**event).status_code == 200
    assert [x.partition(" ")[0] for x in site.written.said] == said


@pytest.mark.parametrize(
    "headers",
    [
        {}, basic(POSTMARK + "x"), basic(POSTMARK[:-1]), basic(""), {"authorization": "Basic"},
        {"authorization": "Basic %%%"},
        {"authorization": "Bearer " + basic(POSTMARK)["authorization"][6:]}, {"authorization": "Basic " + "A" * 50_000},
    ],
)  # fmt: skip
def test_postmark_has_to_know_its_password(site: Site, headers: dict[str, str]) -> None:
    body = json.dumps({"RecordType": "SpamComplaint", "Metadata": {ARGUMENT: TOKEN}}).encode()
    answer = site.post("postmark", body, headers)
    assert (answer.status_code, site.written.records) == (401, [])
    assert "password" not in answer.text


def test_a_password_is_shown_nowhere() -> None:
    assert POSTMARK not in repr(Secrets(postmark=POSTMARK))


# -- all of them ---------------------------------------------------------------------------------------------------
def send(site: Site, provider: str) -> httpx.Response:
    match provider:
        case "ses":
            return site.ses(ses_bounce())
        case "sendgrid":
            return site.sendgrid(sendgrid_event())
        case _:
            return site.postmark(RecordType="SpamComplaint")


@pytest.mark.parametrize("provider", ["ses", "sendgrid", "postmark"])
def test_nothing_is_taken_while_kafka_is_away(site: Site, provider: str) -> None:
    site.written.away = True
    answer = send(site, provider)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "30")
    site.written.away = False
    assert send(site, provider).status_code == 200
    assert len(site.written.events) == 1


@pytest.mark.parametrize("provider", ["ses", "sendgrid", "postmark"])
def test_a_body_has_a_limit_and_no_encoding(site: Site, provider: str) -> None:
    assert site.post(provider, b"x" * (MAX_BODY + 1)).status_code == 413
    for length in (str(MAX_BODY + 1), "9" * 11, "-1", "x"):
        assert site.post(provider, b"x", {"content-length": length}).status_code == 413
    assert site.post(provider, b"x", {"content-encoding": "gzip"}).status_code == 415
    assert site.post(provider, b"", method="GET").status_code == 405


def test_a_body_that_tells_no_length_has_the_same_limit(site: Site) -> None:
    async def endless() -> Any:
        for _ in range(MAX_BODY // 65_536 + 2):
            yield b"x" * 65_536

    async def ask() -> int:
        async with httpx.AsyncClient(transport=site.transport, base_url="https://t.shop.example.com") as client:
            return (await client.post("/v1/mail/postmark", content=endless(), headers=basic(POSTMARK))).status_code

    assert asyncio.run(ask()) == 413


HOSTILE = [
    b"", b"{", b"[]", b"null", b"1", b'"x"', b"\xff", b"\xef\xbb\xbf{}", b"[" * 100_000, b'{"a":' * 50_000, b"{}",
    b'{"RecordType": 1}', b'{"RecordType": "Bounce", "Metadata": [1]}',
    b'{"RecordType": "Bounce", "Metadata": {"a": 1}}',
    b'{"TopicArn": 1}', b'{"a": 1e999999}', b'{"RecordType": "\\ud800"}',
]  # fmt: skip


@pytest.mark.parametrize("body", HOSTILE)
def test_a_body_that_is_no_event_is_refused_and_nothing_breaks(site: Site, body: bytes) -> None:
    assert site.post("ses", body).status_code in (400, 401)
    assert site.post("postmark", body, basic(POSTMARK)).status_code == 400
    assert site.post("sendgrid", body, twilio(body)).status_code == (200 if body == b"[]" else 400)
    assert site.written.records == []


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from("mail bounce complaint source tags event type status RecordType Type Metadata".split()),
        inner, max_size=5,
    ),
    max_leaves=12,
)  # fmt: skip


@given(json_values)
def test_any_json_is_an_event_or_none(value: Any) -> None:
    for meaning in (providers.ses, providers.sendgrid, providers.postmark):
        try:
            heard: Any = meaning(value)
        except InvalidEvent:
            continue
        assert all(x.verdict.words for x in (heard[0] if isinstance(heard, tuple) else heard))


def test_the_token_of_another_shop_is_read_when_the_shop_is_known(site: Site) -> None:
    token = make_token(SIGNER, ("berlin", PERSON), derived_id("plan", 1))
    site.sendgrid(sendgrid_event(cartwake=token))
    assert (site.counted("sendgrid", "foreign"), site.written.records) == (1, [])
    site.shops.apply(Setting(shop_id="berlin", name="shop", value={"title": "Berlin"}))
    site.sendgrid(sendgrid_event(cartwake=token))
    assert [x.shop_id for x in site.written.events] == ["berlin"]


def test_a_provider_without_a_secret_has_no_route() -> None:
    site = Site(Secrets(sendgrid_key=KEY))
    assert site.post("ses", b"{}").status_code == 404
    assert site.post("postmark", b"{}").status_code == 404
    assert site.sendgrid(sendgrid_event()).status_code == 200


@pytest.mark.parametrize(
    ("secrets", "words"),
    [
        (Secrets(frozenset({"ses-feedback"})), "no SNS topic"),
        (Secrets(sendgrid_key="MFkw"), "can't be read"),
        (Secrets(sendgrid_key="ä"), "can't be read"),
        (Secrets(sendgrid_key=shown(AMAZON)), "elliptic"),
        (Secrets(postmark="postmark"), "16 characters"), (Secrets(postmark="postmark:short"), "16 characters"),
        (Secrets(postmark=":a password of enough letters"), "16 characters"),
    ],
)  # fmt: skip
def test_a_secret_that_can_not_be_is_said_with_an_example(secrets: Secrets, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        Site(secrets)


def test_times_of_events_are_believed_within_reason(site: Site) -> None:
    for stamp, at in ((T0 // 1000 - 5, T0 - 5000), (0, T0), (T0 // 1000 + 500, T0), (-(10**15), T0), (10**30, T0)):
        site.sendgrid(sendgrid_event(timestamp=stamp))
        assert site.written.events[-1].at == at
