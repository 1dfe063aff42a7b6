"""Reading what a browser sent us: bounded, and never a reason to fall over."""

import uuid
from typing import Final
from urllib.parse import parse_qs

from starlette.exceptions import HTTPException
from starlette.requests import Request

from console.asking import MOST_AT_ONCE

FORM_BYTES: Final = 64 * 1024  # own words of any script, percent-encoded, and the carts they are for
_FIELDS: Final = MOST_AT_ONCE + 20


class Form:
    """The fields of a form; those that were not sent are empty."""

    def __init__(self, fields: dict[str, list[str]]) -> None:
        self._fields = fields

    def one(self, name: str) -> str:
        """The first value of a field."""
        return self._fields.get(name, [""])[0]

    def all(self, name: str) -> list[str]:
        """Every value of a field."""
        return self._fields.get(name, [])


async def read_form(request: Request) -> Form:
    """The form that was sent; 413 when it is larger than any of ours."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > FORM_BYTES:
            raise HTTPException(413, "That form is too large.")
    try:
        return Form(parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=_FIELDS))
    except ValueError as exc:
        raise HTTPException(413, "That form has too many fields.") from exc


def uuid_of(text: str) -> str | None:
    """The id as we write it, or None when it is none."""
    try:
        return str(uuid.UUID(text))
    except ValueError:
        return None
