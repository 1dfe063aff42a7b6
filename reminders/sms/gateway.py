"""How a gateway is asked to send, and what its answers mean: both are data, so that any HTTP gateway fits. Pure.

A `Gateway` has placeholders in its address, headers and body. Each value is put in by the rules of its place: quoted
in an address or a form, as a string in JSON; a value is never read for placeholders itself.
"""

import base64
import ipaddress
import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final, Literal
from urllib.parse import quote, urlencode, urlsplit

import msgspec
from msgspec import Meta, Struct

from cartwake.errors import ConfigurationError, MailUnavailable
from cartwake.settings import Settings
from reminders.clean import line
from reminders.outcomes import Failed, Sent, Uncertain

PLACEHOLDERS: Final = ("to", "text", "sender", "id", "callback", "account", "secret", "basic")
EXAMPLE: Final = '{"json": {"to": "{to}", "text": "{text}"}, "headers": {"Authorization": "Bearer {secret}"}}'
_PLACEHOLDER: Final = re.compile(r"\{([a-z_]+)\}")
_HEADER: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_TWILIO: Final = "https://api.twilio.com"

#: Somebody between us and the gateway lost its answer: the message may have been taken.
_ANSWER_LOST: Final = frozenset({502, 504, 520, 524})
#: To be put right in the settings, or to be waited for.
_NOT_NOW: Final = frozenset({401, 403, 404, 405, 407, 408, 425, 429})

Status = Annotated[int, Meta(ge=200, le=299)]
Pointer = Annotated[str, Meta(pattern=r"^(/[^/]*)*$")]


class Gateway(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One kind of request and its answers. `…_at` are JSON pointers (RFC 6901) into the answer.

    An answer is a yes when its status is one of `accepted` and, if `success_at` is set, what stands there is one of
    `success` (if that is empty: is anything at all). `gone` and `unsubscribed` are codes (at `error_at`) of numbers
    that must not be written to again; `later` those of what passes or has to be put right by us. `idempotent`: the
    gateway takes a message of the same `{id}` once, however often it is sent.
    """

    url: str = ""
    method: Literal["POST", "PUT", "GET"] = "POST"
    headers: dict[str, str] = {}
    form: dict[str, str] | None = None
    json: Any = None
    accepted: tuple[Status, ...] = (200, 201, 202)
    success_at: Pointer = ""
    success: tuple[str, ...] = ()
    error_at: Pointer = ""
    words_at: Pointer = ""
    gone: tuple[str, ...] = ()
    unsubscribed: tuple[str, ...] = ()
    later: tuple[str, ...] = ()
    idempotent: bool = False


class Request(Struct, frozen=True):
    """What goes over the wire."""

    method: str
    url: str
    headers: dict[str, str]
    body: bytes


def gateway_of(settings: Settings) -> Gateway:
    """The gateway that is set; raises ConfigurationError that names the setting and an example."""
    gateway = _twilio(settings) if settings.sms_preset == "twilio" else _generic(settings)
    for name in ("sms_account", "sms_secret", "sms_sender"):
        value = getattr(settings, name)
        if not (value.isascii() and value.isprintable()):
            raise _wrong(name, "has characters that no header may have", "AC0123456789abcdef0123456789abcdef")
    _check(gateway, settings)
    return gateway


# -- asking ----------------------------------------------------------------------------------------------------------
def values_of(settings: Settings, *, to: str, text: str, message_id: str, callback: str = "") -> dict[str, str]:
    """What stands for each placeholder of one message."""
    pair = f"{settings.sms_account}:{settings.sms_secret}".encode()
    return {
        "to": to,
        "text": text,
        "sender": settings.sms_sender,
        "id": message_id,
        "callback": callback,
        "account": settings.sms_account,
        "secret": settings.sms_secret,
        "basic": base64.b64encode(pair).decode("ascii"),
    }


def request(gateway: Gateway, values: Mapping[str, str]) -> Request:
    """The request of one message. A form's fields and JSON's members that come out empty are left out."""
    headers = {name: _fill(value, values) for name, value in gateway.headers.items()}
    url = _fill(gateway.url, values, lambda value: quote(value, safe=""))
    body = b""
    if gateway.form is not None:
        form = {name: _fill(value, values) for name, value in gateway.form.items()}
        body = urlencode({name: value for name, value in form.items() if value}).encode("ascii")
        headers.setdefault("Content-Type", "application/x-www-form-urlencoded")
    elif gateway.json is not None:
        body = msgspec.json.encode(_filled(gateway.json, values))
        headers.setdefault("Content-Type", "application/json")
    headers.setdefault("Accept", "application/json")
    return Request(gateway.method, url, headers, body)


def _fill(template: str, values: Mapping[str, str], escape: Callable[[str], str] = str) -> str:
    return _PLACEHOLDER.sub(lambda match: escape(values[match[1]]), template)


def _filled(template: Any, values: Mapping[str, str]) -> Any:
    match template:
        case str():
            return _fill(template, values)
        case dict():
            filled = {name: _filled(value, values) for name, value in template.items()}
            return {name: value for name, value in filled.items() if value != "" or template[name] == ""}
        case list():
            return [_filled(value, values) for value in template]
        case _:
            return template


# -- being answered --------------------------------------------------------------------------------------------------
def judge(
    gateway: Gateway, status: int, body: bytes, *, message_id: str, hidden: tuple[str, ...] = ()
) -> Sent | Failed | Uncertain:
    """What an answer means; raises MailUnavailable when the message was certainly not taken and may be later.

    `hidden` are secrets, which no words of a gateway may give away.
    """
    for secret in hidden:
        body = body.replace(secret.encode(), b"***")
    said = _json(body)
    code, words = _text_at(said, gateway.error_at), _words(gateway, status, body, said)
    if status in gateway.accepted:
        found = _text_at(said, gateway.success_at) if gateway.success_at else "yes"
        if found and (not gateway.success or found in gateway.success):
            return Sent(line(f"{status} {found if gateway.success_at else ''}", 100))
        if not found and not code:
            return Uncertain(message_id)  # taken, it seems, but not in words that were agreed on
    elif status < 300 or status in _ANSWER_LOST:
        return Uncertain(message_id)
    if code and code in gateway.gone:
        return Failed("bounced", f"The gateway says that the number can't be written to: {words}", bounced=True)
    if code and code in gateway.unsubscribed:
        return Failed("unsubscribed", f"The person told the gateway to stop: {words}", bounced=True)
    if 300 <= status < 400:
        raise MailUnavailable(f"the SMS gateway answered {status}, a redirect, which is not followed: set its address")
    if status in _NOT_NOW or status >= 500 or (code and code in gateway.later):
        raise MailUnavailable(f"the SMS gateway answered {words}")
    return Failed("refused", f"The gateway refused the message: {words}")


def _json(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError):
        return None


def _text_at(said: Any, pointer: str) -> str:
    """What stands at a JSON pointer, as text; empty where nothing does."""
    if not pointer:
        return ""
    for part in pointer.split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(said, dict):
            said = said.get(name)
        elif isinstance(said, list) and name.isascii() and name.isdigit() and len(name) < 6 and int(name) < len(said):
            said = said[int(name)]
        else:
            return ""
    if isinstance(said, bool):
        return "true" if said else "false"
    return str(said) if isinstance(said, str | int | float) else ""


def _words(gateway: Gateway, status: int, body: bytes, said: Any) -> str:
    told = _text_at(said, gateway.words_at) or body[:500].decode("utf-8", "replace")
    return line(f"{status} {_text_at(said, gateway.error_at)} {told}", 250)


# -- setting up ------------------------------------------------------------------------------------------------------
def _twilio(settings: Settings) -> Gateway:
    """Twilio's Messages resource, 2010-04-01, and whoever speaks the same at another address."""
    if not re.fullmatch(r"[A-Za-z0-9-]{2,64}", settings.sms_account):
        raise _wrong("sms_account", "the account's SID is needed", "AC0123456789abcdef0123456789abcdef")
    if not settings.sms_secret:
        raise _wrong("sms_secret", "the account's auth token is needed", "…")
    if not settings.sms_sender:
        raise _wrong("sms_sender", "a number, a name or a messaging service is needed", "+15005550006")
    if settings.sms_request:
        raise _wrong("sms_request", "is for the preset generic; twilio brings its own", "")
    sender = "MessagingServiceSid" if settings.sms_sender.startswith("MG") else "From"
    base = settings.sms_gateway.rstrip("/") or _TWILIO
    return Gateway(
        url=f"{base}/2010-04-01/Accounts/{settings.sms_account}/Messages.json",
        headers={"Authorization": "Basic {basic}"},
        form={"To": "{to}", sender: "{sender}", "Body": "{text}", "StatusCallback": "{callback}"},
        accepted=(201,),
        success_at="/sid",
        error_at="/code",
        words_at="/message",
        gone=TWILIO_GONE,
        unsubscribed=TWILIO_STOPPED,
        # log-in and account, queue full, sender not ours or not able to
        later=("20003", "20005", "20404", "20429", "21212", "21603", "21606", "21611", "21659", "21660", "21661",
               "21701", "21703", "30001", "30002"),
    )  # fmt: skip


#: Not a number, not one for text messages, not known any more, a fixed line.
TWILIO_GONE: Final = ("21211", "21217", "21614", "30005", "30006")
TWILIO_STOPPED: Final = ("21610",)


def _generic(settings: Settings) -> Gateway:
    if not settings.sms_gateway:
        raise _wrong("sms_gateway", "the gateway's address is needed", "https://sms.example.com/v1/messages")
    try:
        gateway = msgspec.json.decode(settings.sms_request or "{}", type=Gateway)
    except (msgspec.DecodeError, RecursionError, ValueError) as exc:  # ValueError: bytes that are no UTF-8
        raise _wrong("sms_request", str(exc), EXAMPLE) from exc
    if gateway.url:
        raise _wrong("sms_request", "`url` stands in sms_gateway", EXAMPLE)
    return msgspec.structs.replace(gateway, url=settings.sms_gateway)


def _check(gateway: Gateway, settings: Settings) -> None:
    _check_url(gateway.url)
    in_headers = _names(list(gateway.headers.values()))
    used = _names(gateway.url) | in_headers | _names(gateway.form) | _names(gateway.json)
    unknown = "".join(sorted(used - set(PLACEHOLDERS))[:1])
    bodies = [body for body in (gateway.form, gateway.json) if body is not None]
    coded = gateway.gone or gateway.unsubscribed or gateway.later
    headers = gateway.headers.items()
    for wrong, words in (
        (unknown, f"{{{unknown}}} is no placeholder; there are {', '.join(PLACEHOLDERS)}"),
        (not {"to", "text"} <= used, "{to} and {text} are needed in the address or the body"),
        ("text" in in_headers, "{text} can't stand in a header"),
        (len(bodies) > 1, "either `form` or `json`"),
        (gateway.method == "GET" and bodies, "GET has no body"),
        (gateway.idempotent and "id" not in used, "idempotent needs {id} in the request"),
        (not all(_HEADER.fullmatch(name) for name, _ in headers), "a header's name can't be sent"),
        (not all(value.isascii() and value.isprintable() for _, value in headers), "a header's value can't be sent"),
        (gateway.success and not gateway.success_at, "success needs success_at"),
        (coded and not gateway.error_at, "codes need error_at"),
    ):
        if wrong:
            raise _wrong("sms_request", words, EXAMPLE)
    for name in ("account", "secret", "sender"):
        if (name in used or ("basic" in used and name != "sender")) and not getattr(settings, f"sms_{name}"):
            raise _wrong(f"sms_{name}", "is empty, and the request needs it", "…")


def _check_url(url: str) -> None:
    name, example = "sms_gateway", "https://sms.example.com/v1/messages"
    plain = _PLACEHOLDER.sub("x", url)
    try:
        parts, raw = urlsplit(plain), urlsplit(url)
        parts.port  # noqa: B018 - raises ValueError for a port that is none
    except ValueError as exc:
        raise _wrong(name, "is no web address", example) from exc
    if not parts.hostname or parts.scheme not in ("http", "https") or not plain.isascii() or not plain.isprintable():
        raise _wrong(name, "is no web address", example)
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise _wrong(name, "https is needed for any host but this machine", example)
    if parts.username is not None or parts.fragment or any(x in plain for x in ' "<>\\^`|'):
        raise _wrong(name, "has parts that it may not have; user and secret are settings of their own", example)
    if raw.netloc != parts.netloc or raw.scheme != parts.scheme or "{text}" in raw.path:
        raise _wrong(name, "placeholders may stand in the query, and but for {text} in the path", example)
    if {"secret", "basic"} & _names(url):
        raise _wrong(name, "addresses get into logs: put the secret into a header or the body", example)


def is_loopback(host: str) -> bool:
    """Whether a host is this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _names(template: Any) -> set[str]:
    """The placeholders in a template and all its parts."""
    match template:
        case str():
            return set(_PLACEHOLDER.findall(template))
        case dict():
            return set().union(*map(_names, template.values()))
        case list():
            return set().union(*map(_names, template))
        case _:
            return set()


def _wrong(name: str, reason: str, example: str) -> ConfigurationError:
    variable = f"CARTWAKE_{name.upper()}"
    return ConfigurationError(f"setting {name} ({variable}): {reason}. Example: {variable}={example}")
