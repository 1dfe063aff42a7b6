"""The body of a webhook, bounded in size and time, and all that are being read at once."""

import asyncio
from typing import Final

from starlette.requests import ClientDisconnect, Request

MAX_BODY: Final = 2 * 1024 * 1024
MAX_SECONDS: Final = 15.0
MAX_AT_ONCE: Final = 32


class Refused(Exception):
    """A request that is not taken: its HTTP status, and why."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class Bodies:
    """Reads bodies, at most MAX_AT_ONCE at a time."""

    def __init__(self) -> None:
        self._reading = 0

    async def read(self, request: Request) -> bytes:
        """The body as it was sent; raises Refused."""
        length = request.headers.get("content-length", "0")
        if not (length.isascii() and length.isdigit() and len(length) < 10) or int(length) > MAX_BODY:
            raise Refused(413, f"a body may have {MAX_BODY} bytes")
        if request.headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
            raise Refused(415, "send the body without an encoding")
        if self._reading >= MAX_AT_ONCE:
            raise Refused(503, "too much is being received at once")
        self._reading += 1
        body = bytearray()
        try:
            async with asyncio.timeout(MAX_SECONDS):
                async for part in request.stream():
                    body += part
                    if len(body) > MAX_BODY:
                        raise Refused(413, f"a body may have {MAX_BODY} bytes")
        except TimeoutError as exc:
            raise Refused(408, f"the body did not arrive within {MAX_SECONDS:g} s") from exc
        except ClientDisconnect as exc:
            raise Refused(400, "the connection ended inside the body") from exc
        finally:
            self._reading -= 1
        return bytes(body)
