"""States that nobody has touched for long, on disk, with their timers: a cache of the changelog, made anew at start.

RocksDB keeps them sorted, so the timers need no index in memory:
`s` key            -> 8 bytes of time, packed state
`d` 8 bytes of time, key -> nothing
"""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from streams.runtime.timers import NEVER

_CACHE: Final = 32 * 1024 * 1024  # bytes of memory for blocks, indexes and filters of a partition
_SOME: Final = 10_000  # timers taken at once


class Spill:
    """Packed states by key, on disk, of one partition; used from one thread."""

    def __init__(self, folder: Path) -> None:
        from rocksdict import Rdict, WriteBatch  # noqa: PLC0415 - only where a limit of memory is set

        self._folder = folder
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        self._batch: Any = WriteBatch
        self._db: Any = Rdict(str(folder), _options())
        self._write = _unlogged()
        self._count = 0
        self.next_due = NEVER

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[tuple[bytes, bytes]]:
        for key, value in self._db.items(from_key=b"s"):
            yield key[1:], value[8:]

    def put(self, entries: list[tuple[bytes, bytes, int]]) -> None:
        """Keep (key, packed state, time to look at it); the keys must be new here."""
        batch = self._batch(raw_mode=True)
        for key, packed, at in entries:
            time = at.to_bytes(8, "big")
            batch.put(b"s" + key, time + packed)
            batch.put(b"d" + time + key, b"")
            self.next_due = min(self.next_due, at)
        self._db.write(batch, self._write)
        self._count += len(entries)

    def take(self, key: bytes) -> bytes | None:
        """Remove `key` and return its packed state, or None."""
        value = self._db.get(b"s" + key)
        if value is None:
            return None
        self._forget(key, value[:8])
        return bytes(value[8:])

    def take_due(self, now: int) -> list[tuple[bytes, bytes]]:
        """Remove some of what is due at `now`, and return it: (key, packed state)."""
        found: list[tuple[bytes, bytes]] = []
        while self.next_due <= now and len(found) < _SOME:
            due = [entry for _, entry in zip(range(_SOME), self._timers(now), strict=False)]
            for time, key in due:
                found.append((key, bytes(self._db[b"s" + key][8:])))
                self._forget(key, time)
            self.next_due = self._first()
        return found

    def reindex(self, wake: Callable[[bytes], int]) -> None:
        """Set all timers anew."""
        for key, packed in self:
            self.take(key)
            self.put([(key, packed, wake(packed))])
        self.next_due = self._first()

    def close(self) -> None:
        """Let go of the disk: nothing here is worth keeping."""
        self._db.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _forget(self, key: bytes, time: bytes) -> None:
        batch = self._batch(raw_mode=True)
        batch.delete(b"s" + key)
        batch.delete(b"d" + time + key)
        self._db.write(batch, self._write)
        self._count -= 1

    def _timers(self, now: int) -> Iterator[tuple[bytes, bytes]]:
        for name in self._db.keys(from_key=b"d"):
            if name[:1] != b"d" or int.from_bytes(name[1:9], "big") > now:
                return
            yield name[1:9], name[9:]

    def _first(self) -> int:
        return next((int.from_bytes(time, "big") for time, _ in self._timers(NEVER)), NEVER)


def _options() -> Any:
    from rocksdict import BlockBasedOptions, Cache, DBCompressionType, Options  # noqa: PLC0415

    table = BlockBasedOptions()
    table.set_block_cache(Cache(_CACHE))
    table.set_cache_index_and_filter_blocks(True)
    table.set_bloom_filter(10, False)
    options = Options(raw_mode=True)
    options.set_block_based_table_factory(table)
    options.set_write_buffer_size(_CACHE)
    options.set_max_write_buffer_number(2)
    options.set_compression_type(DBCompressionType.lz4())
    options.set_max_background_jobs(2)
    return options


def _unlogged() -> Any:
    from rocksdict import WriteOptions  # noqa: PLC0415

    options: Any = WriteOptions()
    options.disable_wal = True
    return options
