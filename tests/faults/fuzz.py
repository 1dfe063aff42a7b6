"""Values that are no events, or nearly: by hand, and made of good ones by chance.

`shapes` are known to be unusable wherever an event is read; what `mutant` makes may be one that can be used.
"""

import gzip
import json
import random
import zlib
from collections.abc import Callable
from typing import Any, Final

import msgspec

MB: Final = 1024 * 1024
DEEP: Final = 10_000

#: What stands where something else is wanted.
JUNK: Final[tuple[Any, ...]] = (
    None, True, False, 0, -1, 1, 2**31, 2**53 + 1, 2**63 - 1, 2**63, -(2**63) - 1, 2**64, 10**30, -0.0, 1.5, 1e308,
    253_402_300_799_999, 253_402_300_800_000, "", " ", "null", "0", "-1", "1e999999999", "1E-999999", "NaN", "sNaN",
    "Infinity", "-Infinity", "١٢٣", "19,99", "a" * 201, "a" * 2_001, "\x00", "\u202e", "\ufeff", "😀" * 60,
    "' OR 1=1 --", "<script>alert(1)</script>", "{{ 7*7 }}", "=1+1", "../../etc/passwd", "a\r\nBcc: b@example.com",
    "2026-11-23T10:15:00", "2026-11-23T10:15:00Z", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59.999999-23:59",
    "2026-02-30T00:00:00Z", "2016-12-31T23:59:60Z", "1969-12-31T23:59:59Z", [], {}, [[]], [None], [{}], {"a": {}},
    ["a", 1, None], {"": None}, {"granted": "yes"}, [{"sku": None}], [{"sku": "a", "quantity": 2**63}],
    [{"sku": "a", "price": "1e400"}], [{"sku": "a"}] * 1_001,
)  # fmt: skip

#: JSON text that no encoder of ours writes.
TOKENS: Final = (
    b"NaN", b"Infinity", b"-Infinity", b"1e999", b"-1e999", b"01", b"+1", b".5", b"0x10", b"1_000", b"9" * 400,
    b"0." + b"1" * 400, b"1e400", b"1e-400", b"nul", b"undefined", b'"\\ud800"', b'"\\udc00\\ud800"', b'"\\u0000"',
    b'"\\q"', b'"\x01"', b'"\x00"', b'"\xff\xfe"', b'"\xc0\xaf"', b'"\xed\xa0\x80"', b'"\xf4\x90\x80\x80"', b"'a'",
    b'"a', b"[" * DEEP, b"[" * DEEP + b"]" * DEEP, b'{"a":' * DEEP + b"1" + b"}" * DEEP, b"/* */ 1", b"1,", b"",
)  # fmt: skip


def shapes(good: bytes) -> list[tuple[str, bytes | None]]:
    """Name and value of what is no event, though it may be made of a good one."""
    text = good.decode()
    bomb = gzip.compress(bytes(10 * MB), mtime=0)
    cuts = [(f"cut at {n}", good[:n]) for n in (1, 2, len(good) // 4, len(good) // 2, len(good) - 1)]
    return [
        *cuts,
        ("no value", None),
        ("an empty value", b""),
        ("blanks", b" \r\n\t"),
        ("a byte order mark", b"\xef\xbb\xbf" + good),
        ("UTF-16 with a mark", text.encode("utf-16")),
        ("UTF-16, little end first", text.encode("utf-16-le")),
        ("UTF-16, big end first", text.encode("utf-16-be")),
        ("UTF-32", text.encode("utf-32")),
        ("EBCDIC", text.encode("cp037")),
        ("a NUL before", b"\x00" + good),
        ("a NUL after", good + b"\x00"),
        ("NULs", bytes(1_000)),
        ("bad UTF-8", good.replace(b'"event_id":"', b'"event_id":"\xff\xfe', 1)),
        ("an overlong slash", good.replace(b'"event_id":"', b'"event_id":"\xc0\xaf', 1)),
        ("a surrogate as UTF-8", good.replace(b'"event_id":"', b'"event_id":"\xed\xa0\x80', 1)),
        ("half a surrogate pair", good.replace(b'"event_id":"', b'"event_id":"\\ud800', 1)),
        ("10 MB of one letter", b"x" * (10 * MB)),
        ("10 MB of blanks around", good + b" " * (10 * MB)),
        ("10 MB in one field", good[:-1] + b',"note":"' + b"x" * (10 * MB) + b'"}'),
        ("10 MB of lists", b"[" * (10 * MB)),
        ("2^63 as a time", _with(good, occurred_at=2**63)),
        ("-2^63-1 as a time", _with(good, occurred_at=-(2**63) - 1)),
        ("2^64 as a time", _with(good, occurred_at=2**64)),
        ("a time before 1970", _with(good, occurred_at=-1)),
        ("a time after 9999", _with(good, occurred_at=253_402_300_800_000)),
        ("a time without offset", _with(good, occurred_at="2026-11-23T10:15:00")),
        ("NaN as a time", _raw(good, "occurred_at", b"NaN")),
        ("Infinity as a time", _raw(good, "occurred_at", b"Infinity")),
        ("-Infinity as a time", _raw(good, "occurred_at", b"-Infinity")),
        ("400 digits as a time", _raw(good, "occurred_at", b"9" * 400)),
        (f"{DEEP} lists", b"[" * DEEP + b"]" * DEEP),
        (f"{DEEP} objects", b'{"a":' * DEEP + b"1" + b"}" * DEEP),
        (f"{DEEP} lists as a type", _raw(good, "type", b"[" * DEEP + b"]" * DEEP)),
        ("a gzip bomb", bomb),
        ("a gzip bomb's gzip", gzip.compress(bomb * 20, mtime=0)),
        ("the event, gzipped", gzip.compress(good, mtime=0)),
        ("the event, deflated", zlib.compress(good)),
        ("MessagePack", msgspec.msgpack.encode(json.loads(good))),
        ("Avro with a schema id", b"\x00\x00\x00\x00\x07" + good),
        ("a pickle", b"\x80\x04\x95\x0b\x00\x00\x00\x00\x00\x00\x00\x8c\x07builtin\x94."),
        ("XML", b"<?xml version='1.0'?><event/>"),
        ("a list of events", b"[" + good + b"]"),
        ("two events", good + b"\n" + good),
        ("a comma too many", good[:-1] + b",}"),
        ("single quotes", text.replace('"', "'").encode()),
        ("a string of JSON", json.dumps(text).encode()),
        ("a number", b"42"),
        ("null", b"null"),
        ("an empty object", b"{}"),
        *((f"no {name}", _without(good, name)) for name in ("event_id", "type", "occurred_at")),
        *((f"{name} null", _with(good, **{name: None})) for name in ("event_id", "type", "occurred_at", "shop_id")),
        *((f"{name} a list", _with(good, **{name: ["a"]})) for name in ("event_id", "type", "shop_id")),
        *((f"{name} a number", _with(good, **{name: 5})) for name in ("event_id", "type", "shop_id")),
        ("an unknown type", _with(good, type="cart.exploded")),
        ("an empty id", _with(good, event_id="")),
        ("a long id", _with(good, event_id="x" * 201)),
        *_odd_lines(good),
    ]


def _odd_lines(good: bytes) -> list[tuple[str, bytes | None]]:
    """The event, if it has items, with a line that no cart can hold, also beside one that is the same otherwise."""
    found: list[tuple[str, bytes | None]] = []
    for item in (json.loads(good).get("items") or [])[:1]:
        for price in ("NaN", "sNaN", "Infinity", "-0.01", "1e400", "1e13", "0.0000001", "1,50", [], True):
            odd = item | {"price": price}
            found.append((f"{price} as a price", _with(good, items=[odd])))
            found.append((f"{price} as the price of one of two", _with(good, items=[item, odd])))
        for quantity in (0, -1, 2**63, 1.5, "2", True):
            found.append((f"{quantity} as a quantity", _with(good, items=[item | {"quantity": quantity}])))
        found.append(("an item without a sku", _with(good, items=[{"quantity": 1}])))
        found.append(("more items than a cart has", _with(good, items=[item] * 1_001)))
    return found


def in_every_field(good: bytes) -> list[bytes]:
    """The event with each kind of junk in each of its fields, and in each field of an item."""
    event = json.loads(good)
    values = [json.dumps(event | {name: junk}).encode() for name in event for junk in JUNK]
    values += [_raw(good, name, token) for name in event for token in TOKENS]
    for item in (event.get("items") or [])[:1]:
        odd = [item | {name: junk} for name in item for junk in JUNK]
        values += [json.dumps(event | {"items": [one]}).encode() for one in odd]
        # beside a good one that is the same otherwise: a comparison must not fail
        values += [json.dumps(event | {"items": [item, one]}).encode() for one in odd]
        for name in item:
            values += [_raw(json.dumps(event | {"items": [item]}).encode(), name, token) for token in TOKENS]
    return values


def mutant(draw: random.Random, good: list[bytes]) -> bytes | None:
    """A good value changed by chance, or chance alone."""
    return draw.choice(_CHANGES)(draw, draw.choice(good), good)


# -- ways to change a value ------------------------------------------------------------------------------------
def _with(good: bytes, **changes: Any) -> bytes:
    return json.dumps(json.loads(good) | changes).encode()


def _without(good: bytes, name: str) -> bytes:
    return json.dumps({key: value for key, value in json.loads(good).items() if key != name}).encode()


def _raw(good: bytes, name: str, token: bytes) -> bytes:
    """The first field of this name holds `token`, which need not be JSON."""

    def mark(value: Any) -> bool:
        if isinstance(value, dict):
            if name in value:
                value[name] = "@@"
                return True
            return any(mark(inner) for inner in value.values())
        return isinstance(value, list) and any(mark(inner) for inner in value)

    event = json.loads(good)
    mark(event)
    return json.dumps(event).encode().replace(b'"@@"', token)


def _flip(draw: random.Random, value: bytes, _all: list[bytes]) -> bytes:
    changed = bytearray(value)
    for _ in range(draw.choice((1, 1, 1, 2, 8))):
        changed[draw.randrange(len(changed))] ^= 1 << draw.randrange(8)
    return bytes(changed)


def _insert(draw: random.Random, value: bytes, _all: list[bytes]) -> bytes:
    place = draw.randrange(len(value) + 1)
    return value[:place] + draw.choice((draw.randbytes(draw.randint(1, 8)), draw.choice(TOKENS))) + value[place:]


def _delete(draw: random.Random, value: bytes, _all: list[bytes]) -> bytes:
    place = draw.randrange(len(value))
    return value[:place] + value[place + draw.choice((1, 1, 2, 20, len(value))) :]


def _repeat(draw: random.Random, value: bytes, _all: list[bytes]) -> bytes:
    start = draw.randrange(len(value))
    part = value[start : start + draw.choice((1, 4, 40))]
    return value[:start] + part * draw.choice((2, 2, 50)) + value[start:]


def _splice(draw: random.Random, value: bytes, every: list[bytes]) -> bytes:
    other = draw.choice(every)
    return value[: draw.randrange(len(value))] + other[draw.randrange(len(other)) :]


def _swap_token(draw: random.Random, value: bytes, _all: list[bytes]) -> bytes:
    """Put a token in place of whatever follows a colon."""
    places = [place for place, byte in enumerate(value) if byte == ord(":")]
    if not places:
        return value
    start = draw.choice(places) + 1
    end = min((at for mark in (b",", b"}", b"]") if (at := value.find(mark, start)) >= 0), default=len(value))
    return value[:start] + draw.choice(TOKENS) + value[end:]


def _change_json(draw: random.Random, value: bytes, _all: list[bytes]) -> bytes:
    """Replace, drop, rename or add something anywhere in the object."""
    event = msgspec.json.decode(value)
    holder: Any = event
    while True:
        name = draw.choice(list(holder)) if isinstance(holder, dict) else draw.randrange(len(holder))
        inner = holder[name]
        if not (isinstance(inner, dict | list) and inner and draw.random() < 0.7):
            break
        holder = inner
    kind = draw.randrange(6)
    if kind == 0:
        del holder[name]
    elif kind == 1 and isinstance(holder, dict):
        holder[draw.choice(("", "x", "Event_id", "occurred_at", "items", "cart_id"))] = holder.pop(name)
    elif kind == 2 and isinstance(holder, dict):
        holder[draw.choice(("x", "__proto__", "constructor", "into_cart_id", "consent", "total"))] = draw.choice(JUNK)
    else:
        holder[name] = draw.choice(JUNK)
    return json.dumps(event).encode()


def _noise(draw: random.Random, _value: bytes, _all: list[bytes]) -> bytes | None:
    return draw.choice((None, b"", draw.randbytes(draw.randint(1, 300)), json.dumps(draw.choice(JUNK)).encode()))


_CHANGES: Final[tuple[Callable[[random.Random, bytes, list[bytes]], bytes | None], ...]] = (
    _flip, _flip, _insert, _delete, _repeat, _splice, _swap_token, _swap_token,
    _change_json, _change_json, _change_json, _change_json, _change_json, _noise,
)  # fmt: skip
