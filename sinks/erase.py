"""Erasing a person: every row about them in every table, and the bytes behind it.

in   an address or an id of the person
out  rows deleted in ClickHouse; what is still on its way from Kafka arrives later, so repeating it is safe and wise
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

import sql
from cartwake.errors import Rejected
from cartwake.model import normal_email, person_id
from sinks.clickhouse import ClickHouse
from sinks.migrate import fill

_PERSON: Final = re.compile(r"^p-[0-9a-f]{24}$")
_AT_ONCE: Final = 1_000  # bytes of cart ids in one statement; clickhouse-connect puts up to 4 KiB into its address
_COUNT: Final = "SELECT count() AS n"


@dataclass(frozen=True, slots=True)
class Who:
    """A person at one shop: ids made of a mailbox, the mailbox, and the shop's own ids for it."""

    shop_id: str
    persons: tuple[str, ...]
    emails: tuple[str, ...]
    aliases: tuple[str, ...]

    @property
    def subscriber_id(self) -> str:
        """The id under which the stages know the person."""
        return (*self.persons, *self.aliases)[0]


def who(client: ClickHouse, shop_id: str, name: str) -> Who:
    """The person that an address, a subscriber_id or a shop's own id stands for, with the other names of it.

    An address or id that no row knows is a person all the same, with that one name. Raises Rejected for an empty one.
    """
    if not name.strip():
        raise Rejected("whom? Give an e-mail address or a subscriber_id, for example: cartwake erase ana@example.com")
    emails = [normal_email(name)] if "@" in name else _mailbox(_known(client, shop_id, [name], []), name)
    persons = [person_id(email) for email in emails] or ([name] if _PERSON.match(name) else [])
    rows = _known(client, shop_id, persons or [name], emails)
    ids = {x for row in rows if row["email"] in ("", *emails) for x in (row["subscriber_id"], row["customer_id"]) if x}
    ids |= {name} if "@" not in name else set()
    return Who(shop_id, tuple(persons), tuple(emails), tuple(sorted(x for x in ids if not _PERSON.match(x))))


def count(client: ClickHouse, person: Who) -> dict[str, int]:
    """Rows about the person by table, nothing changed; of people with dozens of carts some rows may count twice."""
    carts = _carts(client, person)
    found = dict.fromkeys(_tables(), 0)
    for table in found:
        for asked in _parameters(person, carts, table):
            found[table] += _rows(client, table, asked)
    return found


def erase(client: ClickHouse, person: Who) -> dict[str, int]:
    """Delete the rows about the person; how many there were, by table. Repeating it is safe."""
    carts = _carts(client, person)
    found = dict.fromkeys(_tables(), 0)
    for table in found:
        for asked in _parameters(person, carts, table):
            if n := _rows(client, table, asked):
                found[table] += n
                client.execute(fill(_statement(table), {"verb": "DELETE"}), asked)
        if found[table]:
            client.execute(fill(sql.read("erase/apply.sql"), {"database": client.database, "table": table}))
    return found


def _known(client: ClickHouse, shop_id: str, ids: Sequence[str], emails: Sequence[str]) -> list[dict[str, Any]]:
    return client.query(sql.read("erase/known.sql"), {"shop": shop_id, "ids": list(ids), "emails": list(emails)})


def _mailbox(rows: Sequence[dict[str, Any]], name: str) -> list[str]:
    """The newest address known for an id: that of the mailbox it is made of, else the one the shop said last."""
    said = [row["email"] for row in rows if row["email"]]
    if _PERSON.match(name):
        said = [email for email in said if person_id(email) == name]
    return said[-1:]


def _carts(client: ClickHouse, person: Who) -> list[str]:
    asked = {
        "shop": person.shop_id,
        "persons": list(person.persons),
        "emails": list(person.emails),
        "aliases": list(person.aliases),
    }
    return [row["cart_id"] for row in client.query(sql.read("erase/carts.sql"), asked)]


def _tables() -> list[str]:
    return [name.removesuffix(".sql") for name in sql.names("erase/rows")]


def _statement(table: str) -> str:
    return sql.read(f"erase/rows/{table}.sql")


def _rows(client: ClickHouse, table: str, asked: dict[str, Any]) -> int:
    return int(client.query(fill(_statement(table), {"verb": _COUNT}), asked)[0]["n"])


def _parameters(person: Who, carts: Sequence[str], table: str) -> Iterator[dict[str, Any]]:
    """What to fill in: the names with the first carts, then the other carts piece by piece."""
    names = {"persons": list(person.persons), "emails": list(person.emails), "aliases": list(person.aliases)}
    pieces = list(_pieces(carts)) if "{carts:" in _statement(table) else []
    for number, piece in enumerate(pieces or [[]]):
        first = number == 0
        yield {"shop": person.shop_id, "carts": piece, "mention": _mention(person.emails) if first else ""} | (
            names if first else {name: [] for name in names}
        )


def _pieces(carts: Sequence[str]) -> Iterator[list[str]]:
    piece: list[str] = []
    size = 0
    for cart in carts:
        size += len(quote(cart)) + len("%2C%27%27")
        if piece and size > _AT_ONCE:
            yield piece
            piece, size = [], len(quote(cart))
        piece.append(cart)
    if piece:
        yield piece


def _mention(emails: Sequence[str]) -> str:
    """A pattern (RE2) that finds one of the addresses, but not within a longer one."""
    if not emails:
        return ""
    return f"(^|[^a-z0-9._%+-])({'|'.join(re.escape(x) for x in emails)})($|[^a-z0-9.-]|[.][^a-z0-9])"
