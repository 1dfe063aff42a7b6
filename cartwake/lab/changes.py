"""`--set idle=45m`, `--set reminders.cap=2`, `--set steps.1.after=2h`: changed rules, checked as settings are.

A path begins with `carts` or `reminders`, or with the name of one of their fields; steps are counted from 1, as
everywhere. A value is JSON; what is no JSON is taken as text.
"""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from msgspec import inspect

from cartwake.errors import ConfigurationError
from cartwake.model import Setting
from cartwake.rules import ReminderRules
from cartwake.shops import CartRules, Shop, Shops, checked

_KINDS: Final[dict[str, type[Any]]] = {"carts": CartRules, "reminders": ReminderRules}
_NUMBER: Final = "1"
_EXAMPLE: Final = "Examples: --set idle=45m, --set reminders.cap=2, --set reminders.steps.1.after=2h"


@dataclass(frozen=True, slots=True)
class Change:
    """One `--set`: the whole path, and the value."""

    path: tuple[str, ...]
    value: Any

    @property
    def name(self) -> str:
        """The path as it is written."""
        return ".".join(self.path)


@dataclass(frozen=True, slots=True)
class Changed:
    """What a change did to a shop, as JSON."""

    shop: str
    setting: str
    before: str
    after: str


def read(text: str) -> Change:
    """A change as it is written; raises ConfigurationError that names what is near."""
    name, equals, value = text.partition("=")
    if not equals:
        raise ConfigurationError(f"--set {text[:80]!r} has no value. {_EXAMPLE}")
    path = tuple(name.strip().split("."))
    if path[0] not in _KINDS:
        path = (next((kind for kind, type_ in _KINDS.items() if path[0] in type_.__struct_fields__), ""), *path)
    general = ".".join(_NUMBER if part.isdecimal() else part for part in path)
    known = {shown: None for kind, type_ in _KINDS.items() for shown in _paths(inspect.type_info(type_), kind)}
    if general not in known:
        asked = general.removeprefix(".")
        short = {shown.partition(".")[2]: shown for shown in known}
        near = difflib.get_close_matches(asked, [*known, *short], n=3, cutoff=0.5)
        names = list(dict.fromkeys(short.get(found, found) for found in near))
        hint = f"Did you mean {' or '.join(names)}?" if names else f"There are {', '.join(_tops())}."
        raise ConfigurationError(f"--set {name[:80]}: there is no such rule. {hint} {_EXAMPLE}")
    try:
        return Change(path, msgspec.json.decode(value.encode()))
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return Change(path, value)


def apply(changes: Sequence[Change], shops: Shops, names: Sequence[str]) -> list[Changed]:
    """Change the rules of the shops of these names; raises ConfigurationError when they would not be accepted."""
    done: list[Changed] = []
    for shop_id in names:
        before = shops.of(shop_id)
        for kind in dict.fromkeys(change.path[0] for change in changes):
            value = msgspec.to_builtins(getattr(before, kind))
            own = [change for change in changes if change.path[0] == kind]
            for change in own:
                value = _with(value, change.path[1:], change, shop_id)
            rules = msgspec.to_builtins(checked(kind, value))
            shops.apply(Setting(shop_id=shop_id, name=kind, value=rules))
        done += [_changed(change, before, shops.of(shop_id)) for change in changes]
    return done


def _with(value: Any, path: tuple[str, ...], change: Change, shop_id: str) -> Any:
    """`value` with the part at `path` in place."""
    if not path:
        return change.value
    head, rest = path[0], path[1:]
    if isinstance(value, list | tuple):
        number = int(head)
        if not 1 <= number <= len(value):
            there = f"there are {len(value)}" if value else "there is none"
            raise ConfigurationError(
                f"--set {change.name}: shop {shop_id} has no number {number} of these, {there}, counted from 1. "
                'A whole new list: --set \'reminders.steps=[{"after": "1h"}]\'; only one shop: --shop'
            )
        return [_with(one, rest, change, shop_id) if n == number else one for n, one in enumerate(value, 1)]
    known: Mapping[str, Any] = value if isinstance(value, dict) else {}
    return {**known, head: _with(known.get(head), rest, change, shop_id)}


def _changed(change: Change, before: Shop, after: Shop) -> Changed:
    was, is_ = (_shown(_at(getattr(shop, change.path[0]), change.path[1:])) for shop in (before, after))
    return Changed(before.shop_id, change.name, was, is_)


def _at(rules: Any, path: tuple[str, ...]) -> Any:
    value = msgspec.to_builtins(rules)
    for part in path:
        if isinstance(value, list | tuple):
            value = value[int(part) - 1] if int(part) <= len(value) else None
        else:
            value = value.get(part) if isinstance(value, dict) else None
    return value


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _tops() -> list[str]:
    return [f"{kind}.{field}" for kind, type_ in _KINDS.items() for field in type_.__struct_fields__]


def _paths(kind: inspect.Type, path: str) -> Iterator[str]:
    """Every path below `path`, this one included."""
    match kind:
        case inspect.UnionType(types=types):
            for one in types:
                yield from _paths(one, path)
        case inspect.VarTupleType(item_type=item):
            yield path
            if isinstance(item, inspect.StructType):
                yield from _paths(item, f"{path}.{_NUMBER}")
        case inspect.StructType(fields=fields):
            yield path
            for field in fields:
                yield from _paths(field.type, f"{path}.{field.encode_name}")
        case _:
            yield path
