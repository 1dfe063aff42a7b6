"""Erasing a person, or handing over what is known of one: every row about them in every table.

in   an address or an id of the person
out  rows deleted in ClickHouse and the bytes behind them, or all of them to read; what is still on its way from Kafka
     arrives later, so repeating it is safe and wise
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import quote

import sql
from cartwake.errors import Rejected
from cartwake.model import normal_email, person_id
from sinks.clickhouse import ClickHouse
from sinks.statements import fill

_PERSON: Final = re.compile(r"^p-[0-9a-f]{24}$")
_AT_ONCE: Final = 1_000  # bytes of ids in one statement; clickhouse-connect puts up to 4 KiB into its address
_COUNT: Final = "SELECT count() AS n"
_READ: Final = "SELECT DISTINCT raw, received_at"
_READ_OTHERS: Final = {
    "cart_events": "SELECT DISTINCT record AS raw, received_at",  # its `raw` is cut, see schema/012
    "dead_letters": "SELECT DISTINCT topic, reason, key, value, received_at",
}
_LEAST_DIGITS: Final = 7  # fewer are no telephone number, and stand in many texts by chance


@dataclass(frozen=True, slots=True)
class Who:
    """A person at one shop: ids made of a mailbox, the mailbox, and the shop's own ids for it.

    `phones` are digits alone; `browsers` are addresses at push services.
    """

    shop_id: str
    persons: tuple[str, ...]
    emails: tuple[str, ...]
    aliases: tuple[str, ...]
    phones: tuple[str, ...] = ()
    browsers: tuple[str, ...] = ()

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
    found = Who(shop_id, tuple(persons), tuple(emails), tuple(sorted(x for x in ids if not _PERSON.match(x))))
    reached = client.query(sql.read("erase/reached.sql"), {"shop": shop_id, **_names(found)})
    phones = {digits for row in reached if len(digits := re.sub("[^0-9]", "", row["phone"])) >= _LEAST_DIGITS}
    browsers = {row["push"] for row in reached if row["push"]}
    return replace(found, phones=tuple(sorted(phones)), browsers=tuple(sorted(browsers)))


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


def read(client: ClickHouse, person: Who) -> dict[str, list[dict[str, Any]]]:
    """The rows about the person by table, oldest first: each record as it came, and when."""
    carts = _carts(client, person)
    found: dict[str, list[dict[str, Any]]] = {}
    for table in _tables():
        if table == "abandonments":
            continue  # made of the others
        verb = _READ_OTHERS.get(table, _READ)
        rows: dict[tuple[Any, ...], dict[str, Any]] = {}
        for asked in _parameters(person, carts, table):
            for row in client.query(fill(_statement(table), {"verb": verb}), asked):
                rows[tuple(row.values())] = row
        found[table] = sorted(rows.values(), key=lambda row: row["received_at"])
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
    asked = {"shop": person.shop_id, **_names(person)}
    return [row["cart_id"] for row in client.query(sql.read("erase/carts.sql"), asked)]


def _names(person: Who) -> dict[str, Any]:
    return {"persons": list(person.persons), "emails": list(person.emails), "aliases": list(person.aliases)}


def _tables() -> list[str]:
    return [name.removesuffix(".sql") for name in sql.names("erase/rows")]


def _statement(table: str) -> str:
    return sql.read(f"erase/rows/{table}.sql")


def _rows(client: ClickHouse, table: str, asked: dict[str, Any]) -> int:
    return int(client.query(fill(_statement(table), {"verb": _COUNT}), asked)[0]["n"])


def _parameters(person: Who, carts: Sequence[str], table: str) -> Iterator[dict[str, Any]]:
    """What to fill in: the names with the first carts, browsers and mention, then the others piece by piece."""
    names = _names(person) | {"phones": list(person.phones)}
    statement = _statement(table)
    in_pieces: dict[str, tuple[Sequence[Any], Any]] = {
        "carts": (list(_pieces(carts)), []),
        "browsers": (list(_pieces(person.browsers)), []),
        "mention": (_mentions(person), ""),
    }
    used = {name: found for name, found in in_pieces.items() if f"{{{name}:" in statement}
    for number in range(max([1, *(len(pieces) for pieces, _ in used.values())])):
        more = {name: ps[number] if number < len(ps) else none for name, (ps, none) in used.items()}
        yield {"shop": person.shop_id, **more} | (names if number == 0 else {name: [] for name in names})


def _pieces(names: Sequence[str]) -> Iterator[list[str]]:
    piece: list[str] = []
    size = 0
    for name in names:
        size += len(quote(name)) + len("%2C%27%27")
        if piece and size > _AT_ONCE:
            yield piece
            piece, size = [], len(quote(name))
        piece.append(name)
    if piece:
        yield piece


def _mentions(person: Who) -> list[str]:
    """Patterns (RE2, small letters) that find an address, a number or a browser, but not within a longer one."""
    found = []
    if person.emails:
        emails = "|".join(re.escape(x) for x in person.emails)
        found.append(f"(^|[^a-z0-9._%+-])({emails})($|[^a-z0-9.-]|[.][^a-z0-9])")
    found += [f"(^|[^0-9]){'[ ()./-]*'.join(phone)}($|[^0-9])" for phone in person.phones]
    return found + [re.escape(browser.lower()) + "($|[^a-z0-9_-])" for browser in person.browsers]
