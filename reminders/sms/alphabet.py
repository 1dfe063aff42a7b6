"""How long a text message is: its alphabet and the number of segments it is sent, and paid for, in. Pure.

3GPP TS 23.038: the default alphabet takes 7 bits a character (one septet), those of its extension table two septets;
a text with any other character is sent in UCS-2, 16 bits a unit. 3GPP TS 23.040: a message of several segments loses
6 octets of each to the header that joins them.
"""

import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal

BASIC: Final = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
EXTENSION: Final = frozenset("\f^{}\\[~]|€")

_SINGLE: Final = {"gsm-7": 160, "ucs-2": 70}
_JOINED: Final = {"gsm-7": 153, "ucs-2": 67}

#: Letters whose form without a mark Unicode does not know as such, and signs with an equal in the default alphabet.
_EQUALS: Final = {
    "ł": "l", "Ł": "L", "đ": "d", "Đ": "D", "ð": "d", "ħ": "h", "ı": "i", "œ": "oe", "Œ": "OE", "ẞ": "SS", "þ": "th",
    "‘": "'", "’": "'", "‚": "'", "‛": "'", "′": "'", "´": "'", "`": "'", "“": '"', "”": '"', "„": '"', "‟": '"',
    "″": '"', "«": '"', "»": '"', "‹": "'", "›": "'", "‐": "-", "‑": "-", "‒": "-", "–": "-", "—": "-", "―": "-",
    "−": "-", "…": "...", "·": "-", "•": "-", "×": "x", "÷": ":", "\t": " ",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Size:
    """`units` are septets in GSM-7 and 16-bit units in UCS-2."""

    encoding: Literal["gsm-7", "ucs-2"]
    units: int
    segments: int


def size(text: str) -> Size:
    """The size of a text on its way. A character of two units is never split between segments."""
    encoding: Literal["gsm-7", "ucs-2"] = "gsm-7" if is_gsm(text) else "ucs-2"
    costs = [_cost(character, encoding) for character in text]
    units = sum(costs)
    if units <= _SINGLE[encoding]:
        return Size(encoding, units, 1)
    segments, used, room = 1, 0, _JOINED[encoding]
    for cost in costs:
        if used + cost > room:
            segments, used = segments + 1, 0
        used += cost
    return Size(encoding, units, segments)


def is_gsm(text: str) -> bool:
    """Whether the default alphabet and its extension have every character."""
    return not outside(text)


def outside(text: str) -> str:
    """The characters that the default alphabet and its extension lack, each once."""
    return "".join(dict.fromkeys(c for c in text if c not in BASIC and c not in EXTENSION))


def transliterated(text: str) -> str:
    """The text in the GSM alphabet, each letter without the marks that it does not have; as it is if that can't be."""
    plain = "".join(map(_plain, unicodedata.normalize("NFC", text)))
    return plain if is_gsm(plain) else text


def _cost(character: str, encoding: str) -> int:
    if encoding == "gsm-7":
        return 2 if character in EXTENSION else 1
    return 2 if ord(character) > 0xFFFF else 1


@lru_cache(maxsize=4096)
def _plain(character: str) -> str:
    if character in BASIC or character in EXTENSION:
        return character
    if character in _EQUALS:
        return _EQUALS[character]
    if unicodedata.category(character) == "Zs":
        return " "
    letters = "".join(c for c in unicodedata.normalize("NFD", character) if not unicodedata.combining(c))
    return letters if is_gsm(letters) else character
