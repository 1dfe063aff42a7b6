"""The body of a webhook, bounded in size and time, and all that are being read at once."""

from typing import Final

from starlette.requests import Request

from reminders.bodies import Refused, read

MAX_BODY: Final = 2 * 1024 * 1024
MAX_SECONDS: Final = 15.0
MAX_AT_ONCE: Final = 32


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
        try:
            return await read(request, MAX_BODY, MAX_SECONDS)
        finally:
            self._reading -= 1
