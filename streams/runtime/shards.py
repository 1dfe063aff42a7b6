"""A dict that does not stand still when it grows: one of millions of keys would for a quarter of a second.

What is there at first lies in one dict, in its order, which is the order in memory and so the fastest to go through.
What is new later goes into many small ones.
"""

from collections.abc import ItemsView, Iterator, MutableMapping, ValuesView
from itertools import chain
from typing import Any, Final, cast

_PARTS: Final = 256


class Shards(MutableMapping[bytes, bytes]):
    """Bytes by bytes."""

    def __init__(self) -> None:
        self.first: dict[bytes, bytes] = {}  # may be filled directly, before anything else is done
        self._parts: list[dict[bytes, bytes]] = [{} for _ in range(_PARTS)]

    def _of(self, key: bytes) -> dict[bytes, bytes]:
        return self.first if key in self.first else self._parts[hash(key) % _PARTS]

    def __getitem__(self, key: bytes) -> bytes:
        return self._of(key)[key]

    def __setitem__(self, key: bytes, value: bytes) -> None:
        self._of(key)[key] = value

    def __delitem__(self, key: bytes) -> None:
        del self._of(key)[key]

    def __contains__(self, key: object) -> bool:
        return key in self._of(cast(bytes, key))

    def __iter__(self) -> Iterator[bytes]:
        return chain(self.first, *self._parts)

    def __len__(self) -> int:
        return len(self.first) + sum(map(len, self._parts))

    def get(self, key: bytes, default: Any = None) -> Any:
        """The value of `key`, or `default`."""
        return self._of(key).get(key, default)

    def items(self) -> ItemsView[bytes, bytes]:
        """Every key with its value; to be gone through once."""
        return cast(ItemsView[bytes, bytes], chain(self.first.items(), *(part.items() for part in self._parts)))

    def values(self) -> ValuesView[bytes]:
        """Every value; to be gone through once."""
        return cast(ValuesView[bytes], chain(self.first.values(), *(part.values() for part in self._parts)))
