"""ClickHouse's HTTP interface over one engine of the `chdb` wheel, as a Starlette application.

Left out, with a clear answer: external data (files of a form) and brotli. `session_id` is accepted and remembers
nothing.
"""

import asyncio
import base64
import binascii
import hmac
import json
import re
import secrets
import tempfile
import uuid
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from cartwake.errors import ConfigurationError
from local import codings, reader
from local.engine import EngineError, Session
from local.statement import Statement, read

HEAD = 256 * 1024  # ClickHouse's own max_query_size
TEXT_LIMIT = 64 * 1024 * 1024
DATA_LIMIT = 2 * 1024 * 1024 * 1024
HEADERS_LIMIT = 100
FIELDS_LIMIT = 200
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


class Server:
    """ClickHouse's HTTP interface over one engine."""

    def __init__(self, folder: Path, user: str, password: str, reader_password: str) -> None:
        import chdb  # noqa: PLC0415 - 0.3 s and 500 MB of library that only this process wants

        self._connect: Callable[[], Any] = lambda: chdb.connect(str(folder))
        try:
            self._root = self._connect()
        except RuntimeError as exc:
            raise ConfigurationError(
                f"The ClickHouse engine can't open {folder}: {exc}. "
                "Name another folder: CARTWAKE_DATA_DIR=/var/lib/cartwake"
            ) from exc
        self._passwords = {user: password.encode(), reader.USER: reader_password.encode()}
        self._sessions: set[Session] = set()
        self._pool = ThreadPoolExecutor(16, thread_name_prefix="query")
        self._readers_pool = ThreadPoolExecutor(reader.AT_ONCE, thread_name_prefix="reader")
        self._table_functions = frozenset(
            self._root.query("SELECT name FROM system.table_functions", "TabSeparated").bytes().decode().split()
        )
        self._database = ""
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
        """Create database `name` if it is not there; `name` is a plain identifier. Analysts begin in it."""
        self._database = name
        self._root.query(f"CREATE DATABASE IF NOT EXISTS `{name}`", "TabSeparated")

    def close(self) -> None:
        """Close the engine; what was answered is on disk."""
        self._pool.shutdown(cancel_futures=True)
        self._readers_pool.shutdown(cancel_futures=True)
        for session in list(self._sessions):  # whose end was waiting in a pool
            self._end(session)
        self._root.close()

    async def _answer(self, request: Request) -> Response:
        query_id = request.query_params.get("query_id") or str(uuid.uuid4())
        try:
            if request.method == "GET" and not request.query_params.get("query"):
                return await _ok(request)
            response = await self._run(request, reads=self._authenticate(request) == reader.USER)
        except EngineError as exc:
            body = f"{exc} (version {self.version} (official build))\n"
            response = PlainTextResponse(body, exc.status, {"X-ClickHouse-Exception-Code": str(exc.code)})
        except ClientDisconnect:
            response = Response(status_code=499)
        response.headers["X-ClickHouse-Server-Display-Name"] = "cartwake"
        response.headers["X-ClickHouse-Query-Id"] = query_id
        response.headers["X-ClickHouse-Timezone"] = "UTC"
        return response

    def _authenticate(self, request: Request) -> str:
        """Who asks."""
        user, password = _credentials(request)
        right_password = hmac.compare_digest(password.encode(), self._passwords.get(user, secrets.token_bytes()))
        if not right_password:
            raise EngineError(
                f"{user}: Authentication failed: password is incorrect, or there is no user with such name. "
                "(AUTHENTICATION_FAILED)",
                516,
            )
        return user

    async def _run(self, request: Request, *, reads: bool) -> Response:
        fields = await _fields(request)
        body = _Body(request)
        asked = (fields.pop("query", "") or request.query_params.get("query", "")).encode()
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
        pool, settings, database = self._pool, _settings(request) | fields, _database(request)
        if reads:
            try:
                reader.check(statement.text, self._table_functions)
                settings = reader.settings(settings)
            except reader.Refused as exc:
                raise EngineError(str(exc), exc.code) from exc
            pool, database = self._readers_pool, database or self._database
        session = Session(partial(self._handle, database, settings), pool)
        self._sessions.add(session)
        try:
            if statement.data_format is not None:
                response = await self._insert(session, statement, body)
            else:
                response = await self._query(session, statement, request)
        except BaseException:
            pool.submit(self._end, session)
            raise
        if not isinstance(response, StreamingResponse):
            pool.submit(self._end, session)
        return response

    def _end(self, session: Session) -> None:
        session.end()
        self._sessions.discard(session)

    def _handle(self, database: str, settings: dict[str, str]) -> Any:
        """A connection of its own for the request, so that no setting outlives it (0.3 ms)."""
        handle = self._connect()
        try:
            if database and database != "default":
                handle.query("USE `{}`".format(database.replace("\\", "\\\\").replace("`", "\\`")))
            readonly = settings.pop("readonly", "")
            last = {"readonly": readonly} if readonly else {}  # after it nothing can be set
            for some in filter(None, (settings, last)):
                handle.query("SET " + ", ".join(_assignment(name, value) for name, value in some.items()))
        except RuntimeError as exc:  # what chdb raises
            handle.close()
            raise EngineError(str(exc)) from exc
        except BaseException:
            handle.close()
            raise
        return handle

    async def _insert(self, session: Session, statement: Statement, body: "_Body") -> Response:
        if statement.input_at is not None:
            return await self._insert_select(session, statement, body)
        await self._work(session.begin_insert, statement.text.decode(), statement.data_format)
        async for piece in body.rest(statement.data):
            await self._work(session.append, piece)
        return _written(*await self._work(session.finish))

    async def _insert_select(self, session: Session, statement: Statement, body: "_Body") -> Response:
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

    async def _query(self, session: Session, statement: Statement, request: Request) -> Response:
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
            result = await self._work(session.query, sql, name, pool=session.pool)
            headers["X-ClickHouse-Summary"] = json.dumps(
                {"read_rows": str(result.rows_read()), "read_bytes": str(result.bytes_read())}
            )
            content = result.bytes() or b""
            return Response(codings.whole(coding, content) if coding else content, headers=headers)
        # the first blocks at once: most answers are no longer, and each change of threads costs
        content, more = await self._work(session.begin_query, sql, name, pool=session.pool)
        tag = secrets.token_hex(8)
        headers["X-ClickHouse-Exception-Tag"] = tag
        if not more:
            return Response(codings.whole(coding, content) if coding else content, headers=headers)
        return StreamingResponse(self._blocks(session, content, coding, tag), headers=headers)

    async def _blocks(self, session: Session, first: bytes, coding: str | None, tag: str) -> AsyncIterator[bytes]:
        encoder = codings.Encoder(coding)
        block: bytes | None = first
        try:
            while block is not None:
                yield await self._work(encoder.add, block)
                try:
                    block = await self._work(session.fetch, pool=session.pool)
                except EngineError as exc:  # the status is sent: say it as ClickHouse 25.11 and later do
                    message = f"{exc}\n"
                    end = f"{len(message)} {tag}\r\n__exception__\r\n"
                    yield encoder.add(f"\r\n__exception__\r\n{tag}\r\n{message}{end}".encode())
                    yield encoder.end()
                    raise
            yield encoder.end()
        finally:
            session.pool.submit(self._end, session)

    async def _work(self, act: Callable[..., _T], *arguments: Any, pool: ThreadPoolExecutor | None = None) -> _T:
        """Do it in a thread, so that a slow query holds up nobody; an engine's error becomes ours."""
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(pool or self._pool, act, *arguments)
        except RuntimeError as exc:  # what chdb raises
            raise EngineError(str(exc)) from exc


class _Body:
    """A request's body, decoded, in pieces of one size however the network cut it."""

    def __init__(self, request: Request) -> None:
        if len(request.headers) > HEADERS_LIMIT:
            raise EngineError(f"More than {HEADERS_LIMIT} headers", 36, 431)
        try:
            self._decoder = codings.Decoder(request.headers.get("content-encoding"))
        except ValueError as exc:
            raise EngineError(f"{exc} (NOT_IMPLEMENTED)", 48) from exc
        self._chunks = _nothing() if _is_form(request) else request.stream()
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


def _is_form(request: Request) -> bool:
    return request.headers.get("content-type", "").startswith("multipart/")


async def _fields(request: Request) -> dict[str, str]:
    """The statement and its parameters as fields of a form: so clients send what is too long for an address."""
    if not _is_form(request):
        return {}
    try:
        async with request.form(max_files=0, max_fields=FIELDS_LIMIT, max_part_size=TEXT_LIMIT) as form:
            return {name: value for name, value in form.items() if isinstance(value, str)}
    except HTTPException as exc:
        said = f"External data is not supported here, nor is this form: {exc.detail} (NOT_IMPLEMENTED)"
        raise EngineError(said, 48) from exc


async def _nothing() -> AsyncIterator[bytes]:
    yield b""


def _written(rows: int, size: int) -> Response:
    summary = json.dumps({"written_rows": str(rows), "written_bytes": str(size), "read_rows": str(rows)})
    return Response(headers={"X-ClickHouse-Summary": summary})


async def _ok(_: Request) -> Response:
    return PlainTextResponse("Ok.\n")


def _assignment(name: str, value: str) -> str:
    if not re.fullmatch(r"\w+", name):
        raise EngineError(f"Setting {name!r} is neither a builtin nor a custom one", 115)
    return "{} = '{}'".format(name, value.replace("\\", "\\\\").replace("'", "\\'"))


def _database(request: Request) -> str:
    return request.query_params.get("database") or request.headers.get("x-clickhouse-database") or ""


def _settings(request: Request) -> dict[str, str]:
    """The settings of the engine that the request names; GET changes nothing."""
    settings = {k: v for k, v in request.query_params.items() if k not in _TRANSPORT}
    if request.method == "GET":
        settings["readonly"] = settings.get("readonly", "0").replace("0", "2")
    return settings


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
