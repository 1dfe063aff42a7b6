"""The body of a request, bounded in size, in time, and in what it unpacks to."""

import asyncio
import zlib
from collections.abc import AsyncIterator
from typing import Final

from starlette.requests import ClientDisconnect, Request

MAX_BODY: Final = 5 * 1024 * 1024
MAX_SECONDS: Final = 30.0
MAX_IN_MEMORY: Final = 256 * 1024 * 1024
_TYPES: Final = ("application/json", "text/plain")  # text/plain is what a browser's sendBeacon sends


class BadBody(Exception):
    """A body that is not taken: the HTTP status, one word for figures, and the reason."""

    def __init__(self, status: int, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.kind = kind


class Bodies:
    """Reads bodies, and keeps all that are being read or worked on within MAX_IN_MEMORY."""

    def __init__(self) -> None:
        self._held = 0

    async def read(self, request: Request) -> bytes:
        """The body, unpacked; raises BadBody. Its size counts as held until `release`."""
        gzipped = _check_headers(request)
        body = bytearray()
        unpack = zlib.decompressobj(wbits=31) if gzipped else None
        try:
            async with asyncio.timeout(MAX_SECONDS):
                async for part in _parts(request):
                    piece = _unpacked(unpack, part, MAX_BODY - len(body)) if unpack else part
                    if len(body) + len(piece) > MAX_BODY:
                        raise BadBody(413, "size", f"a body may have {MAX_BODY} bytes")
                    if self._held + len(piece) > MAX_IN_MEMORY:
                        raise BadBody(503, "unavailable", "too much is being received at once")
                    self._held += len(piece)
                    body += piece
            if unpack and (not unpack.eof or unpack.unused_data):
                raise BadBody(400, "encoding", "the gzip data ends too early or has something after its end")
        except BaseException as exc:
            self.release(len(body))
            if isinstance(exc, TimeoutError):
                raise BadBody(408, "slow", f"the body did not arrive within {MAX_SECONDS:g} s") from exc
            raise
        return bytes(body)

    def release(self, size: int) -> None:
        """A body of that size is done with."""
        self._held -= size


async def _parts(request: Request) -> AsyncIterator[bytes]:
    try:
        async for part in request.stream():
            if part:  # the last one is empty
                yield part
    except ClientDisconnect as exc:
        raise BadBody(400, "encoding", "the connection ended inside the body") from exc


def _unpacked(unpack: "zlib._Decompress", part: bytes, room: int) -> bytes:
    if unpack.eof:
        raise BadBody(400, "encoding", "something after the end of the gzip data")
    try:
        return unpack.decompress(part, room + 1)  # one byte over the limit is enough to know
    except zlib.error as exc:
        raise BadBody(400, "encoding", f"not gzip: {exc}") from exc


def _check_headers(request: Request) -> bool:
    """Whether the body is gzip; raises BadBody for what can be refused before it is read."""
    media, _, parameters = request.headers.get("content-type", "").lower().partition(";")
    if media.strip() not in _TYPES:
        raise BadBody(415, "media_type", f"Content-Type must be {' or '.join(_TYPES)}")
    charset = parameters.partition("charset=")[2].partition(";")[0].strip(' "')
    if charset not in ("", "utf-8", "utf8"):
        raise BadBody(415, "media_type", f"charset {charset[:40]!r}: send UTF-8")
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("", "identity", "gzip"):
        raise BadBody(415, "media_type", f"Content-Encoding {encoding[:40]!r}: send gzip or none")
    length = request.headers.get("content-length", "0")
    if length.isascii() and length.isdigit() and (len(length) > 9 or int(length) > MAX_BODY):
        raise BadBody(413, "size", f"a body may have {MAX_BODY} bytes")
    return encoding == "gzip"
