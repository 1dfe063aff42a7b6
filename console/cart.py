"""One cart that was left: its lines, its person and why, what happened, the mail, and the button to remind now.

in   ClickHouse view `abandonments` and what surrounds the row
out  subscriber-events, key subscriber_id: subscriber.reminder_requested
"""

import re
import uuid
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from urllib.parse import parse_qs

import anyio
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from cartwake.clock import Clock, to_datetime
from cartwake.model import SubscriberEvent, encode
from cartwake.topics import SUBSCRIBER_EVENTS
from console import words
from console.pages import Pages
from console.reader import CartReader, EventWriter
from console.security import Forms, mail_policy, picture_sources
from sinks.carts import CartDetail, CartRow, Mail

FORM_BYTES: Final = 8 * 1024
POLL: Final = 0.25  # seconds between two looks for the outcome of a request
_PENDING: Final = frozenset({"planned", "held", "sending"})


@dataclass(frozen=True, slots=True)
class Notice:
    """What became of a reminder that was just asked for."""

    tone: str
    title: str
    words: str
    reload: str = ""


class CartPages:
    """The pages of one cart."""

    def __init__(
        self,
        reader: CartReader,
        writer: EventWriter,
        pages: Pages,
        *,
        forms: Forms,
        clock: Clock,
        patience: timedelta,
        collector_url: str,
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._pages = pages
        self._forms = forms
        self._clock = clock
        self._patience = patience
        self._mail_policy = mail_policy(picture_sources(collector_url))
        self._collector_url = collector_url

    async def show(self, request: Request) -> Response:
        """The page; with `?request=…` it waits a moment for the outcome of that reminder."""
        request_id = _uuid(request.query_params.get("request", ""))
        notice = await self._outcome(request, request_id) if request_id else None
        detail = await self._find(request)
        cookie = self._forms.cookie(request)
        response = self._pages.render(
            request,
            "cart.html",
            cart=detail.row,
            lines=detail.lines,
            timeline=detail.timeline[::-1],
            mails=detail.mails,
            written=[mail for mail in detail.mails if mail.subject or mail.html or mail.text],
            notice=notice,
            token=self._forms.token(cookie),
            no_reminder_because=why_no_reminder(detail.row),
        )
        self._forms.remember(request, response, cookie)
        return response

    async def mail(self, request: Request) -> Response:
        """The HTML of a mail as sent, for the frame of the page; `?plan=…` picks one, else the newest."""
        mails = [mail for mail in (await self._find(request)).mails if mail.html]
        plan = request.query_params.get("plan")
        chosen = next((mail for mail in mails if plan in (None, mail.plan_id)), None)
        if chosen is None:
            raise HTTPException(404)
        headers = {"content-security-policy": self._mail_policy, "x-frame-options": "SAMEORIGIN"}
        return HTMLResponse(untracked(chosen, self._collector_url), headers=headers)

    async def remind(self, request: Request) -> Response:
        """Ask for a reminder now, then show the cart with the outcome."""
        form = await _form(request)
        self._forms.check(request, form.get("token", ""))
        row = (await self._find(request)).row
        reason = why_no_reminder(row)
        if reason:
            raise HTTPException(409, reason)
        request_id = str(uuid.uuid4())
        event = SubscriberEvent(
            event_id=request_id,
            type="subscriber.reminder_requested",
            shop_id=row.shop_id,
            subscriber_id=row.subscriber_id,
            occurred_at=to_datetime(self._clock.now_ms()),
            cart_id=row.cart_id,
            request_id=request_id,
            requested_by="staff",
        )
        await run_in_threadpool(self._writer.send_and_wait, SUBSCRIBER_EVENTS, row.subscriber_id, encode(event))
        return RedirectResponse(f"/carts/{row.abandonment_id}?request={request_id}", 303)

    async def _find(self, request: Request) -> CartDetail:
        detail = await run_in_threadpool(self._reader.detail, request.path_params["abandonment_id"])
        if detail is None:
            raise HTTPException(404)
        return detail

    async def _outcome(self, request: Request, request_id: str) -> Notice:
        status: str | None = None
        why = ""
        with anyio.move_on_after(self._patience.total_seconds()):
            while status is None or status in _PENDING:
                found = await run_in_threadpool(self._reader.request_result, request_id)
                if found is not None:
                    status, why = found
                if status is None or status in _PENDING:
                    await anyio.sleep(POLL)
        return notice_of(status, why, reload=f"{request.url.path}?request={request_id}")


def why_no_reminder(row: CartRow) -> str:
    """Why the button does nothing, or nothing when it does. What else may forbid a mail is said by the answer."""
    if not row.subscriber_id:
        return "Nobody is known for this cart yet, so there is nobody to write to."
    if row.state == "recovered":
        return "This cart has been bought already."
    return ""


def notice_of(status: str | None, why: str, *, reload: str) -> Notice:
    """The outcome of a request in words; a refusal is an error."""
    if status is None or status in _PENDING:
        return Notice("busy", "Still working", "The reminder was asked for; its outcome is not here yet.", reload)
    told = words.explained(status, why)
    if status in ("sent", "opened", "clicked"):
        return Notice("good", "Reminder sent", told)
    if status == "uncertain":
        return Notice("bad", "Perhaps sent", told)
    return Notice("bad", "No reminder was sent", told)


def untracked(mail: Mail, collector_url: str) -> str:
    """The mail's HTML without our own tracking pictures: staff who look at a mail have not opened it."""
    pixel = re.compile(r"""(?i)\bsrc\s*=\s*(["']?)\s*""" + re.escape(collector_url) + r"/(?!shop/)")
    return pixel.sub(r"data-not-loaded=\1", mail.html)


def _uuid(text: str) -> str | None:
    try:
        return str(uuid.UUID(text))
    except ValueError:
        return None


async def _form(request: Request) -> dict[str, str]:
    """The fields of a form, each once; 413 when it is larger than any of ours."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > FORM_BYTES:
            raise HTTPException(413, "That form is too large.")
    fields = parse_qs(body.decode("utf-8", "replace"), max_num_fields=20)
    return {name: values[0] for name, values in fields.items()}
