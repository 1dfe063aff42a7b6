"""ClickHouse's HTTP interface over one engine of the `chdb` wheel, as a Starlette application.

Left out, with a clear answer: external data (multipart) and brotli. `session_id` is accepted and remembers nothing.
"""

import asyncio
import base64
import binascii
import contextlib
import hmac
import json
import re
import secrets
import tempfile
import threading
import uuid
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from cartwake.errors import CartwakeError, ConfigurationError
from local import codings
from local.statement import Statement, read

HEAD = 256 * 1024  # ClickHouse's own max_query_size
TEXT_LIMIT = 64 * 1024 * 1024
DATA_LIMIT = 2 * 1024 * 1024 * 1024
HEADERS_LIMIT = 100
PIECE = 1024 * 1024

_T = TypeVar("_T")
# arguments that speak to the HTTP interface, not to the engine
_TRANSPORT = frozenset(
    "query user password database default_format query_id session_id session_timeout session_check quota_key "
    "role compress decompress buffer_size wait_end_of_query client_protocol_version enable_http_compression "
    "http_zlib_compression_level send_progress_in_http_headers http_headers_progress_interval_ms "
    "cancel_http_readonly_queries_on_client_close stream_like_engine_allow_direct_select".split()
)
# each block of these is complete in itself; all others are put together first
_STREAMED = frozenset(
    "native tabseparated tsv tabseparatedraw tsvraw csv rowbinary jsoneachrow jsonlines ndjson "
    "jsoncompacteachrow tskv values".split()
)
_CONTENT_TYPES = (
    ("JSONEachRow", "application/x-ndjson; charset=UTF-8"),
    ("JSONLines", "application/x-ndjson; charset=UTF-8"),
    ("JSON", "application/json; charset=UTF-8"),
    ("CSV", "text/csv; charset=UTF-8; header=absent"),
    ("TabSeparated", "text/tab-separated-values; charset=UTF-8"),
    ("TSV", "text/tab-separated-values; charset=UTF-8"),
    ("XML", "application/xml; charset=UTF-8"),
    ("Pretty", "text/plain; charset=UTF-8"),
)
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


class Server:
    """ClickHouse's HTTP interface over one engine."""

    def __init__(self, folder: Path, user: str, password: str) -> None:
        import chdb  # noqa: PLC0415 - 0.3 s and 500 MB of library that only this process wants

        self._connect: Callable[[], Any] = lambda: chdb.connect(str(folder))
        try:
            self._root = self._connect()
        except RuntimeError as exc:
            raise ConfigurationError(
                f"The ClickHouse engine can't open {folder}: {exc}. "
                "Name another folder: CARTWAKE_DATA_DIR=/var/lib/cartwake"
            ) from exc
        self._user, self._password = user.encode(), password.encode()
        self._pool = ThreadPoolExecutor(16, thread_name_prefix="query")
        self.version = self._root.query("SELECT version()", "TabSeparated").bytes().decode().strip()
        everything = ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"]
        self.app = Starlette(
            routes=[
                Route("/ping", _ok),
                Route("/replicas_status", _ok),
                Route("/", self._answer, methods=everything),
            ]
        )

    def make_database(self, name: str) -> None:
        """Create database `name` if it is not there; `name` is a plain identifier."""
        self._root.query(f"CREATE DATABASE IF NOT EXISTS `{name}`", "TabSeparated")

    def close(self) -> None:
        """Close the engine; what was answered is on disk."""
        self._pool.shutdown(cancel_futures=True)
        self._root.close()

    async def _answer(self, request: Request) -> Response:
        query_id = request.query_params.get("query_id") or str(uuid.uuid4())
        try:
            if request.method == "GET" and not request.query_params.get("query"):
                return await _ok(request)
            self._authenticate(request)
            response = await self._run(request)
        except EngineError as exc:
            body = f"{exc} (version {self.version} (official build))\n"
            response = PlainTextResponse(body, exc.status, {"X-ClickHouse-Exception-Code": str(exc.code)})
        except ClientDisconnect:
            response = Response(status_code=499)
        response.headers["X-ClickHouse-Server-Display-Name"] = "cartwake"
        response.headers["X-ClickHouse-Query-Id"] = query_id
        response.headers["X-ClickHouse-Timezone"] = "UTC"
        return response

    def _authenticate(self, request: Request) -> None:
        user, password = _credentials(request)
        right_user = hmac.compare_digest(user.encode(), self._user)
        right_password = hmac.compare_digest(password.encode(), self._password)
        if not (right_user and right_password):
            raise EngineError(
                f"{user}: Authentication failed: password is incorrect, or there is no user with such name. "
                "(AUTHENTICATION_FAILED)",
                516,
            )

    async def _run(self, request: Request) -> Response:
        body = _Body(request)
        asked = request.query_params.get("query", "").encode()
        head = asked if asked.strip() else await body.take(HEAD)
        statement = read(head)
        if statement.data_format is None:
            limit = TEXT_LIMIT
            rest = await body.take(limit + 1)
            if len(rest) > limit:
                raise EngineError(f"The statement is longer than {limit} bytes (QUERY_IS_TOO_LARGE)", 223, 413)
            text = asked + b"\n" + rest if asked.strip() and rest else head + rest
            statement = statement._replace(text=text) if statement.verb == b"INSERT" else read(text)
        if statement.several:
            raise EngineError("Multi-statements are not allowed (SYNTAX_ERROR)", 62)
        if not statement.text.strip():
            raise EngineError("Empty query (SYNTAX_ERROR)", 62)
        session = _Session(await self._work(self._handle, request))
        try:
            if statement.data_format is not None:
                response = await self._insert(session, statement, body)
            else:
                response = await self._query(session, statement, request)
        except BaseException:
            self._pool.submit(session.end)
            raise
        if not isinstance(response, StreamingResponse):
            await self._work(session.end)
        return response

    def _handle(self, request: Request) -> Any:
        """A connection of its own for the request, so that no setting outlives it (0.3 ms)."""
        handle = self._connect()
        try:
            arguments = dict(request.query_params)
            database = arguments.get("database") or request.headers.get("x-clickhouse-database")
            if database and database != "default":
                handle.query("USE `{}`".format(database.replace("\\", "\\\\").replace("`", "\\`")))
            if request.method == "GET":
                arguments["readonly"] = arguments.get("readonly", "0").replace("0", "2")
            settings = {k: v for k, v in arguments.items() if k not in _TRANSPORT}
            readonly = settings.pop("readonly", None)
            for name, value in [*settings.items(), *([("readonly", readonly)] if readonly else [])]:
                if not re.fullmatch(r"\w+", name):
                    raise EngineError(f"Setting {name!r} is neither a builtin nor a custom one", 115)
                handle.query("SET {} = '{}'".format(name, value.replace("\\", "\\\\").replace("'", "\\'")))
        except RuntimeError as exc:  # what chdb raises
            handle.close()
            raise EngineError(str(exc)) from exc
        except BaseException:
            handle.close()
            raise
        return handle

    async def _insert(self, session: "_Session", statement: Statement, body: "_Body") -> Response:
        if statement.input_at is not None:
            return await self._insert_select(session, statement, body)
        await self._work(session.begin_insert, statement.text.decode(), statement.data_format)
        async for piece in body.rest(statement.data):
            await self._work(session.append, piece)
        return _written(*await self._work(session.finish))

    async def _insert_select(self, session: "_Session", statement: Statement, body: "_Body") -> Response:
        """`INSERT … SELECT … FROM input(…)`: the engine reads the rows from a file instead."""
        at, name = statement.input_at or 0, statement.data_format
        with tempfile.NamedTemporaryFile(suffix=".rows") as file:
            async for piece in body.rest(statement.data):
                await self._work(file.write, piece)
            file.flush()
            source = f"file('{file.name}', '{name}', ".encode()
            text = statement.text[:at] + re.sub(rb"(?i)input\s*\(", lambda _: source, statement.text[at:], count=1)
            result = await self._work(session.query, text.decode(), "TabSeparated")
        return _written(result.rows_read(), result.bytes_read())

    async def _query(self, session: "_Session", statement: Statement, request: Request) -> Response:
        name = statement.answer or (
            request.query_params.get("default_format") or request.headers.get("x-clickhouse-format") or "TabSeparated"
        )
        media = next((media for start, media in _CONTENT_TYPES if name.startswith(start)), "text/plain")
        if name.startswith(("Native", "RowBinary", "Parquet", "Arrow", "ORC")):
            media = "application/octet-stream"
        headers = {"X-ClickHouse-Format": name, "Content-Type": media}
        coding = None
        if request.query_params.get("enable_http_compression") == "1":
            coding = codings.accepted(request.headers.get("accept-encoding", ""))
        if coding:
            headers["Content-Encoding"] = coding
        sql = statement.text.decode(errors="surrogateescape")
        if not statement.gives_rows or name.lower() not in _STREAMED:
            result = await self._work(session.query, sql, name)
            headers["X-ClickHouse-Summary"] = json.dumps(
                {"read_rows": str(result.rows_read()), "read_bytes": str(result.bytes_read())}
            )
            content = result.bytes() or b""
            return Response(codings.whole(coding, content) if coding else content, headers=headers)
        await self._work(session.begin_query, sql, name)
        first = await self._work(session.fetch)
        tag = secrets.token_hex(8)
        headers["X-ClickHouse-Exception-Tag"] = tag
        return StreamingResponse(self._blocks(session, first, coding, tag), headers=headers)

    async def _blocks(
        self, session: "_Session", block: bytes | None, coding: str | None, tag: str
    ) -> AsyncIterator[bytes]:
        encoder = codings.Encoder(coding)
        try:
            while block is not None:
                yield await self._work(encoder.add, block)
                try:
                    block = await self._work(session.fetch)
                except EngineError as exc:  # the status is sent: say it as ClickHouse 25.11 and later do
                    message = f"{exc}\n"
                    end = f"{len(message)} {tag}\r\n__exception__\r\n"
                    yield encoder.add(f"\r\n__exception__\r\n{tag}\r\n{message}{end}".encode())
                    yield encoder.end()
                    raise
            yield encoder.end()
        finally:
            self._pool.submit(session.end)

    async def _work(self, act: Callable[..., _T], *arguments: Any) -> _T:
        """Do it in a thread, so that a slow query holds up nobody; an engine's error becomes ours."""
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._pool, act, *arguments)
        except RuntimeError as exc:  # what chdb raises
            raise EngineError(str(exc)) from exc


class _Session:
    """One request's connection. One call at a time: chDB hangs when two threads act on one connection."""

    def __init__(self, handle: Any) -> None:
        self._handle = handle
        self._open: Any = None  # a stream of rows, in or out
        self._turn = threading.Lock()

    def query(self, sql: str, name: str) -> Any:
        """Do it all at once."""
        with self._turn:
            return self._handle.query(sql, name)

    def begin_query(self, sql: str, name: str) -> None:
        """Begin to fetch rows."""
        with self._turn:
            self._open = self._handle.send_query(sql, name)

    def fetch(self) -> bytes | None:
        """The next rows; None at the end."""
        with self._turn:
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
            self._handle.close()


class _Body:
    """A request's body, decoded, in pieces of one size however the network cut it."""

    def __init__(self, request: Request) -> None:
        if request.headers.get("content-type", "").startswith("multipart/"):
            raise EngineError("External data (multipart) is not supported here (NOT_IMPLEMENTED)", 48)
        if len(request.headers) > HEADERS_LIMIT:
            raise EngineError(f"More than {HEADERS_LIMIT} headers", 36, 431)
        try:
            self._decoder = codings.Decoder(request.headers.get("content-encoding"))
        except ValueError as exc:
            raise EngineError(f"{exc} (NOT_IMPLEMENTED)", 48) from exc
        self._chunks = request.stream()
        self._held = bytearray()
        self._size = 0

    async def take(self, size: int) -> bytes:
        """The next `size` bytes, fewer only at the end."""
        while len(self._held) < size:
            chunk = await anext(self._chunks, None)
            if chunk is None:
                break
            try:
                self._held += self._decoder.add(chunk)
            except ValueError as exc:
                raise EngineError(f"The body can't be decompressed: {exc} (INCORRECT_DATA)", 117) from exc
        taken = bytes(self._held[:size])
        del self._held[:size]
        self._size += len(taken)
        if self._size > DATA_LIMIT:
            raise EngineError(f"The body is longer than {DATA_LIMIT} bytes (QUERY_IS_TOO_LARGE)", 223, 413)
        return taken

    async def rest(self, before: bytes) -> AsyncIterator[bytes]:
        """`before` and all that is left, in pieces."""
        if before:
            yield before
        while piece := await self.take(PIECE):
            yield piece


def _written(rows: int, size: int) -> Response:
    summary = json.dumps({"written_rows": str(rows), "written_bytes": str(size), "read_rows": str(rows)})
    return Response(headers={"X-ClickHouse-Summary": summary})


async def _ok(_: Request) -> Response:
    return PlainTextResponse("Ok.\n")


def _credentials(request: Request) -> tuple[str, str]:
    kind, _, value = request.headers.get("authorization", "").partition(" ")
    if kind.lower() == "basic":
        try:
            user, _, password = base64.b64decode(value, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return "", ""
        return user, password
    if "x-clickhouse-user" in request.headers:
        return request.headers["x-clickhouse-user"], request.headers.get("x-clickhouse-key", "")
    return request.query_params.get("user", "default"), request.query_params.get("password", "")
