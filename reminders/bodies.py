"""The body of a request from outside, bounded in size and time."""

import asyncio
from typing import Final

from starlette.requests import ClientDisconnect, Request

MAX_SECONDS: Final = 10.0


class Refused(Exception):
    """A request that is not taken: its HTTP status, and why."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


async def read(request: Request, most: int, seconds: float = MAX_SECONDS) -> bytes:
    """The body as it was sent, of at most `most` bytes and within `seconds`; raises Refused."""
    body = bytearray()
    try:
        async with asyncio.timeout(seconds):
            async for part in request.stream():
                body += part
                if len(body) > most:
                    raise Refused(413, f"a body may have {most} bytes")
    except TimeoutError as exc:
        raise Refused(408, f"the body did not arrive within {seconds:g} s") from exc
    except ClientDisconnect as exc:
        raise Refused(400, "the connection ended inside the body") from exc
    return bytes(body)
