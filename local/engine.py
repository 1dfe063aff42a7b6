"""The engine's errors as ClickHouse's HTTP interface says them, and one request's connection to it."""

import contextlib
import re
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Any

from cartwake.errors import CartwakeError

# ClickHouse's exceptionCodeToHTTPStatus, without what can't happen here; the rest is 500
_STATUS = {
    **dict.fromkeys((6, 25, 26, 27, 38, 41, 53, 62, 72, 117, 167, 168, 321), 400),
    **dict.fromkeys((46, 47, 50, 56, 60, 63, 73, 81, 115), 404),
    **{48: 501, 159: 408, 192: 403, 193: 403, 209: 503, 241: 507, 516: 403},
}
_CODE = re.compile(r"Code: (\d+)\. ")


class EngineError(CartwakeError):
    """The engine said no; `code` is ClickHouse's number for the reason."""

    def __init__(self, message: str, code: int | None = None, status: int | None = None) -> None:
        found = _CODE.search(message)
        if code is None:
            code = int(found[1]) if found else 1001
        text = message[found.start() :] if found else f"Code: {code}. DB::Exception: {message}"
        super().__init__(text)
        self.code = code
        self.status = status or _STATUS.get(code, 500)


class Session:
    """One request's connection. One call at a time: chDB hangs when two threads act on one connection."""

    def __init__(self, connect: Callable[[], Any], pool: ThreadPoolExecutor) -> None:
        self._connect = connect
        self.pool = pool  # whose threads do its work
        self._open: Any = None  # a stream of rows, in or out
        self._turn = threading.Lock()

    @cached_property
    def _handle(self) -> Any:  # made with the first call, in that call's thread
        return self._connect()

    def query(self, sql: str, name: str) -> Any:
        """Do it all at once."""
        with self._turn:
            return self._handle.query(sql, name)

    def begin_query(self, sql: str, name: str) -> tuple[bytes, bool]:
        """Begin to fetch rows; the first two blocks of them, and whether there may be more."""
        with self._turn:
            self._open = self._handle.send_query(sql, name)
            first = self._fetch()
            second = None if first is None else self._fetch()
            return (first or b"") + (second or b""), second is not None

    def fetch(self) -> bytes | None:
        """The next rows; None at the end."""
        with self._turn:
            return self._fetch()

    def _fetch(self) -> bytes | None:
        block = self._open.fetch()
        return None if block is None else block.bytes()

    def begin_insert(self, sql: str, name: str) -> None:
        """Begin to insert rows."""
        with self._turn:
            self._open = self._handle.send_insert(sql, name)

    def append(self, rows: bytes) -> None:
        """Insert more rows."""
        with self._turn:
            self._open.append(rows)

    def finish(self) -> tuple[int, int]:
        """Commit the insert; how many rows and bytes it wrote."""
        with self._turn:
            done, self._open = self._open.finish(), None
            return done.rows_written, done.bytes_written

    def end(self) -> None:
        """Cancel what is open and close; waits for a call that is still going on."""
        with self._turn:
            if self._open is not None:
                with contextlib.suppress(RuntimeError):
                    self._open.cancel()
            if "_handle" in vars(self):
                self._handle.close()
