"""What can be wrong with JSON as bytes, beyond what its decoder notices, in words for the shop's developer."""

import codecs
import re
from itertools import accumulate
from typing import Final

import msgspec

MAX_DEPTH: Final = 64
#: What a msgspec decoder raises for a text that it can't read.
UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

_STRING: Final = re.compile(rb'"(?:[^"\\]|\\.)*+"?', re.DOTALL)  # an unclosed one too: linear in any input
_NUL: Final = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
_SURROGATE: Final = re.compile(rb"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")
_NOT_A_NUMBER: Final = re.compile(rb"[:,\[\s]-?(NaN|Infinity)\b")
_BACKSLASH: Final = ord("\\")  # an int: `in` finds it four times as fast as bytes
_STEP: Final = {ord("{"): 1, ord("["): 1, ord("}"): -1, ord("]"): -1}
_NO_BRACKET: Final = bytes(x for x in range(256) if x not in _STEP)
_UTF16: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def flaw(raw: bytes) -> str | None:
    """What a decoder that skips unknown fields would let through: bad UTF-8, NUL, depth. None when all is well."""
    if not raw.isascii():
        try:
            raw.decode()
        except UnicodeDecodeError as exc:
            return why_unreadable(raw, exc)
    if _BACKSLASH in raw and _NUL.search(raw):
        return "a NUL character (\\u0000) in a text"
    # fewer brackets than this can't be nested deeper; strings are looked into only when there are more
    if raw.count(b"{") + raw.count(b"[") > MAX_DEPTH and depth(raw) > MAX_DEPTH:
        return f"nested more than {MAX_DEPTH} deep"
    return None


def depth(raw: bytes) -> int:
    """How deep the objects and arrays of a JSON text are nested."""
    brackets = _STRING.sub(b"", raw).translate(None, _NO_BRACKET)
    return max(accumulate(map(_STEP.__getitem__, brackets)), default=0)


def why_unreadable(raw: bytes, exc: Exception) -> str:
    """Why `exc` was raised for `raw`, as its cause rather than its symptom."""
    number, half = _NOT_A_NUMBER.search(raw), _SURROGATE.search(raw)
    for applies, words in (
        (not raw.strip(), "empty"),
        (raw.startswith(codecs.BOM_UTF8), "starts with a byte order mark: send UTF-8 without one"),
        (raw.startswith(_UTF16) or b"\0" in raw, "NUL bytes or UTF-16: send UTF-8"),
        (isinstance(exc, RecursionError), f"nested more than {MAX_DEPTH} deep"),
        (isinstance(exc, UnicodeDecodeError), f"not UTF-8: {exc}"),
        (number, f"{number and number[1].decode()} is no JSON number"),
        (
            half and ("surrogate" in str(exc) or "truncated" in str(exc)),
            f"not JSON: {exc}; perhaps half of a surrogate pair (\\ud800 … \\udfff) in a text",
        ),
    ):
        if applies:
            return words
    return f"not JSON: {exc}"
