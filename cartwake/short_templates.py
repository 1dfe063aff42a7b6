"""Templates of text messages and pushes as a shop's staff may write them: what they may use, and their check. Pure.

They are of the same part of Jinja2 as those of mails (`cartwake.templating`) and know the values of a short message:
one product, no lists. The built-in ones in `reminders/templates/` are held to the same.
"""

from functools import lru_cache
from typing import Any, Final

from jinja2 import Template

from cartwake.errors import ConfigurationError
from cartwake.rules import PushTemplate, SmsTemplate
from cartwake.templating import SHORT, checked, tried

#: Characters that a template writes at most, before they are fitted to the channel; what is longer never fits.
MOST_SHORT: Final = 4_000
#: What takes the place of a push message once the cart was bought: nothing is known of the cart then.
THANKS: Final = "thanks"

_SHARED: Final[dict[str, Any]] = {
    "template": "cart", "language": "en", "shop": {"title": "Our shop", "url": "https://shop.example.com"},
    "name": "Ana",
}  # fmt: skip
_CART: Final[dict[str, Any]] = {
    "step": 1, "stage": "payment", "again": False, "others": 2, "units": 18, "total": "€359.82",
    "item": {"name": "Blue shirt", "quantity": 2, "count": "2", "price": "€19.99", "amount": "€39.98"},
    "gift": {"code": "WELCOME-7K2P", "text": "10% off your order", "until": "11/30/26"},
}  # fmt: skip
#: Every name that a template may use, with values as they look.
SMS_SAMPLE: Final[dict[str, Any]] = {
    **_SHARED, **_CART, "text": "Own words of the shop", "recovery_url": "https://t.shop.example.com/r/" + "x" * 150,
    "unsubscribe_url": "https://t.shop.example.com/u/" + "x" * 27, "stop": "Reply STOP to opt out",
}  # fmt: skip
PUSH_SAMPLE: Final[dict[str, Any]] = {**_SHARED, **_CART}
THANKS_SAMPLE: Final[dict[str, Any]] = _SHARED


@lru_cache(maxsize=1024)
def ready(source: str, known: frozenset[str]) -> Template | ConfigurationError:
    """The template, ready to run, or why it can't be. Made once for the same source."""
    try:
        return checked(SHORT, source, known)
    except ConfigurationError as exc:
        return exc


def check(name: str, template: SmsTemplate | PushTemplate) -> None:
    """Raise ConfigurationError, naming part and line, unless template `name` can make a message of the sample."""
    if isinstance(template, SmsTemplate):
        if template.text and SMS_SAMPLE["recovery_url"] not in _tried("text", template.text, SMS_SAMPLE):
            raise ConfigurationError("text: {{ recovery_url }} is not in it: nobody would find the way to the cart")
        return
    values = THANKS_SAMPLE if name == THANKS else PUSH_SAMPLE
    if template.title and not _tried("title", template.title, values).strip():
        raise ConfigurationError("title: it is empty, and a notification has to have one")
    if template.body:
        _tried("body", template.body, values)


def _tried(part: str, source: str, values: dict[str, Any]) -> str:
    try:
        return tried(SHORT, source, values, MOST_SHORT)
    except ConfigurationError as exc:
        raise ConfigurationError(f"{part}: {exc}") from exc
