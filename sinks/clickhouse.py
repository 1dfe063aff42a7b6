"""ClickHouse as Cartwake uses it: statements that stand in `sql/`, rows by name, errors that say what to do.

The only place that knows clickhouse-connect, as `sinks/` is the only package that may.
"""

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any, Final, Self, TypeVar
from urllib.parse import urlsplit, urlunsplit

import clickhouse_connect
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError, Error, InterfaceError, OperationalError
from urllib3.exceptions import HTTPError

from cartwake.clock import rfc3339
from cartwake.errors import CartwakeError, ConfigurationError, Rejected, SinkUnavailable

log = logging.getLogger(__name__)

T = TypeVar("T")
Row = dict[str, Any]
Parameters = Mapping[str, object]

#: Error codes of ClickHouse that pass without anybody changing the statement (src/Common/ErrorCodes.cpp).
_PASSING: Final = frozenset(
    {
        3, 74, 75, 76, 159, 164, 173, 201, 202, 203, 209, 210, 225, 236, 241, 242, 243, 244, 252, 254, 279, 285, 286,
        289, 306, 307, 319, 335, 394, 425, 439, 499, 519, 668, 733, 999, 1000, 1002,
    }
)  # fmt: skip
_ACCESS: Final = frozenset({192, 193, 194, 497, 516})
_SCHEMA: Final = frozenset({16, 47, 60, 81})  # no such column, identifier, table, database
_LONGEST_WAIT: Final = 15.0
_PIECE: Final = 256 * 1024
_BLOCK: Final = 8_192  # rows that ClickHouse puts together at once


def _translate(exc: Exception, where: str) -> CartwakeError:
    """What `exc` means for the caller; `where` is the address without the password."""
    code = getattr(exc, "code", None)
    text = str(exc)[:500]
    if code in _ACCESS:
        return ConfigurationError(
            f"ClickHouse at {where} refuses the user or the password of clickhouse_dsn "
            f"(CARTWAKE_CLICKHOUSE_DSN=clickhouse://user:password@host:8123): {text}"
        )
    if code in _SCHEMA:
        return ConfigurationError(f"ClickHouse at {where} lacks a table or column; run `cartwake migrate`: {text}")
    if code in _PASSING or (code is None and isinstance(exc, OperationalError | InterfaceError | OSError | HTTPError)):
        return SinkUnavailable(f"ClickHouse at {where} is away: {text}")
    if code is None and "HTTPDriver" in text:
        return SinkUnavailable(f"ClickHouse at {where} did not finish its answer: {text}")
    return Rejected(f"ClickHouse at {where} said no: {text}")


class ClickHouse:
    """A client for one database, safe to share between threads.

    Every method raises SinkUnavailable (try again), Rejected (never will) or ConfigurationError (stop).
    """

    def __init__(self, client: Client, where: str, database: str) -> None:
        self._client = client
        self.where = where
        self.database = database

    @classmethod
    def open(cls, dsn: str, database: str, *, timeout_s: float = 60.0) -> Self:
        """A client of the server at `dsn`; raises SinkUnavailable at once when it does not answer.

        The database of the DSN does not count and `database` need not exist yet: `migrate` makes it.
        """
        for noisy in ("clickhouse_connect", "urllib3"):  # what they warn of is raised, and said by whoever waits
            logging.getLogger(noisy).setLevel(logging.ERROR)
        parts = urlsplit(dsn)
        if parts.scheme not in {"clickhouse", "clickhouses", "http", "https"}:
            raise ConfigurationError(
                f"clickhouse_dsn (CARTWAKE_CLICKHOUSE_DSN): {parts.scheme or 'no'}:// is not understood. "
                "Example: CARTWAKE_CLICKHOUSE_DSN=clickhouse://user:password@host:8123"
            )
        try:
            where = f"{parts.hostname}:{parts.port or 8123}"
            client = clickhouse_connect.get_client(
                dsn=urlunsplit(parts._replace(path="")),
                connect_timeout=10,
                send_receive_timeout=timeout_s,
                autogenerate_session_id=False,
                query_retries=0,
                compress=False,
            )
        except ClickHouseError as exc:
            raise _translate(exc, where) from exc
        except (ValueError, OSError) as exc:
            raise ConfigurationError(
                f"clickhouse_dsn (CARTWAKE_CLICKHOUSE_DSN): {exc}. Example: clickhouse://user:password@host:8123"
            ) from exc
        client.database = database
        return cls(client, where, database)

    @classmethod
    def connect(
        cls,
        dsn: str,
        database: str,
        *,
        stop: threading.Event | None = None,
        say: Callable[[str], None] = log.warning,
    ) -> Self:
        """As `open`, but waits for the server, saying so; raises SinkUnavailable once `stop` is set."""
        stop = stop or threading.Event()
        pause = 0.2
        while True:
            try:
                return cls.open(dsn, database)
            except SinkUnavailable as exc:
                say(f"waiting for ClickHouse, next try in {pause:.1f} s: {exc}")
                if stop.wait(pause):
                    raise
                pause = min(pause * 2, _LONGEST_WAIT)

    def execute(self, statement: str, parameters: Parameters | None = None) -> None:
        """Run a statement that gives no rows. `{name:Type}` in it are filled by the server."""
        self._call(lambda: self._client.command(statement, parameters=_as_dict(parameters)))

    def command(self, statement: str, parameters: Parameters | None = None) -> object:
        """Run a statement outside of the database, which may not exist yet, and return its one value if it has one."""
        return self._call(lambda: self._client.command(statement, parameters=_as_dict(parameters), use_database=False))

    def insert(self, statement: str, body: bytes, *, token: str) -> None:
        """Insert `body` by an `INSERT … FORMAT Native` of `sql/ingest`.

        Repeating a call with the same token and body is safe: ClickHouse drops what it already has
        (`insert_deduplication_token`, within the window of the table). Repeats within a batch are left to merges and
        FINAL: to collapse them as they are written would take as long as all the rest.
        """
        settings = {
            "insert_deduplication_token": token,
            "deduplicate_blocks_in_dependent_materialized_views": 1,  # what a view missed in a crash, it gets now
            "max_partitions_per_insert_block": 0,
            "async_insert": 0,
            "optimize_on_insert": 0,
        }
        self._call(lambda: self._client.command(statement, data=body, settings=settings))

    def query(self, statement: str, parameters: Parameters | None = None) -> list[Row]:
        """All rows of a query, each a dict by column name; times are aware UTC, money Decimal."""
        return self._call(lambda: list(self._run(statement, parameters).named_results()))

    def table(self, statement: str, parameters: Parameters | None = None) -> tuple[list[str], list[tuple[Any, ...]]]:
        """Column names and rows of a query, also when there is no row."""

        def read() -> tuple[list[str], list[tuple[Any, ...]]]:
            result = self._run(statement, parameters)
            return list(result.column_names), [tuple(row) for row in result.result_rows]

        return self._call(read)

    def raw(self, statement: str, parameters: Parameters | None, format_: str) -> bytes:
        """The rows of a query in a format of ClickHouse, as it writes them."""

        def read() -> bytes:
            answer = self._client.raw_query(statement, parameters=_as_dict(parameters), fmt=format_)
            return bytes(answer)

        return self._call(read)

    def pieces(self, statement: str, parameters: Parameters | None, format_: str) -> Iterator[bytes]:
        """The same as it comes, in bounded memory; to close it hangs up, which ends the query."""
        asked, known = _as_dict(parameters), self._client.server_settings.get("max_block_size")
        # a user who may change nothing gets larger blocks
        settings = {"max_block_size": _BLOCK} if known is not None and not known.readonly else {}
        opened: Any = self._call(
            lambda: self._client.raw_stream(statement, parameters=asked, settings=settings, fmt=format_)
        )
        with opened:
            while piece := self._call(lambda: bytes(opened.read(_PIECE))):
                yield piece

    def stream(self, statement: str, parameters: Parameters | None = None) -> Iterator[Row]:
        """The rows of a query one after the other, in bounded memory."""
        try:
            opened = self._client.query_rows_stream(statement, parameters=_as_dict(parameters), tz_mode="aware")
            with opened:
                source: Any = opened.source
                columns = source.column_names
                for row in opened:
                    yield dict(zip(columns, row, strict=True))
        except (Error, OSError) as exc:
            raise _translate(exc, self.where) from exc

    def alive(self) -> bool:
        """Whether the server answers a ping now."""
        return bool(self._client.ping())

    def close(self) -> None:
        """Give the connections back."""
        with suppress(ClickHouseError, OSError):
            self._client.close()

    def _run(self, statement: str, parameters: Parameters | None) -> Any:
        return self._client.query(statement, parameters=_as_dict(parameters), tz_mode="aware")

    def _call(self, act: Callable[[], T]) -> T:
        try:
            return act()
        except (ClickHouseError, OSError, HTTPError) as exc:
            raise _translate(exc, self.where) from exc

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def moments(times: Iterable[int]) -> list[str]:
    """Epoch milliseconds as a parameter of type Array(DateTime64(3, 'UTC')), each once, in order.

    As values of the column's own type they are found by the sort key; as numbers to be converted they are not.
    """
    return [rfc3339(at).removesuffix("Z") for at in sorted(set(times))]


def _as_dict(parameters: Parameters | None) -> dict[str, Any] | None:
    return dict(parameters) if parameters is not None else None
