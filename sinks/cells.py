"""Values of a report as text, for every format alike."""

import re
from datetime import datetime
from decimal import Decimal
from typing import Final

from cartwake.clock import rfc3339, to_ms

_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")

#: What XML 1.0 can't contain, escaped or not (production 2, Char).
_NOT_XML: Final = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def clean(text: str) -> str:
    """The text without what steers a terminal or turns the order of letters round."""
    return _CONTROL.sub("\ufffd", text)


def for_xml(text: str) -> str:
    """The text without what no XML document may contain; not escaped yet."""
    return _NOT_XML.sub("\ufffd", text)


def plain(value: object) -> str:
    """A value as text: money without trailing zeros beyond two places, times in RFC 3339, nothing for None."""
    if isinstance(value, Decimal):
        return money(value)
    if isinstance(value, datetime):
        return rfc3339(to_ms(value))
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def money(value: Decimal) -> str:
    """`19.99`, `5.00`, `0.125`: at least two places, no more than are needed."""
    whole, _, places = f"{value:f}".partition(".")
    return f"{whole}.{places.rstrip('0').ljust(2, '0')}"
