"""The list of carts as a file: all of its pages, by the filters of the page as they are.

in   ClickHouse view `abandonments`
"""

from collections.abc import Generator, Iterator
from typing import Any, Final

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from console.carts import read
from console.pages import Pages
from console.reader import CartReader

_TYPES: Final = {"csv": "text/csv; charset=utf-8; header=present", "xml": "application/xml"}
_MARK: Final = b"\xef\xbb\xbf"  # by which Excel knows that a CSV is UTF-8


async def send(reader: CartReader, pages: Pages, request: Request) -> Response:
    """The file, streamed. What the query can't mean is ignored, as on the page; so is the place in the list."""
    format_ = request.path_params["format"]
    if format_ not in _TYPES:
        raise HTTPException(404)
    headers = {"content-disposition": f'attachment; filename="carts-{pages.now():%Y-%m-%d}.{format_}"'}
    if request.method == "HEAD":
        return Response(headers=headers, media_type=_TYPES[format_])
    asked = read(request.query_params, "")
    pieces = reader.file(
        format_,
        shop=asked.shop or None,
        search=asked.q or None,
        state=asked.state or None,
        stage=asked.stage or None,
    )
    first = await run_in_threadpool(next, pieces, b"")  # an answer that can't be had is a page that says so
    begin = (_MARK + first) if format_ == "csv" else first
    return _File(begin, pieces, headers=headers, media_type=_TYPES[format_])


class _File(StreamingResponse):
    """Streams `begin` and `pieces`. Whoever goes away ends the query."""

    def __init__(self, begin: bytes, pieces: Generator[bytes], **options: Any) -> None:
        super().__init__(_joined(begin, pieces), **options)
        self._pieces = pieces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._pieces.close()


def _joined(begin: bytes, pieces: Iterator[bytes]) -> Iterator[bytes]:
    yield begin
    yield from pieces
