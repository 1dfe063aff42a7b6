"""One cart that was left: its lines, its person and why, what happened, the mail, and the button to remind now.

in   ClickHouse view `abandonments` and what surrounds the row
out  subscriber-events, key subscriber_id: subscriber.reminder_requested
"""

import logging
import re
import uuid
from datetime import timedelta

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from cartwake.clock import Clock, to_datetime
from cartwake.errors import KafkaUnavailable, Rejected
from cartwake.model import encode
from cartwake.topics import SUBSCRIBER_EVENTS
from console import asking
from console.forms import read_form, uuid_of
from console.outcomes import UNASKED, Notice, notice_of, outcomes, refused, too_long
from console.pages import Pages
from console.reader import CartReader, EventWriter
from console.security import Forms, mail_policy, picture_sources
from sinks.carts import CartDetail, Mail

log = logging.getLogger(__name__)


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
        request_id, notice, text = uuid_of(request.query_params.get("request", "")), None, ""
        if request_id:
            found = await outcomes(self._reader, [request_id], self._patience)
            notice = notice_of(found.get(request_id), reload=f"{request.url.path}?request={request_id}")
        detail = await self._find(request)
        if request_id and notice and notice.kind == "refused":  # what was written is not lost with the refusal
            row = detail.row
            text = await run_in_threadpool(self._reader.own_words, row.shop_id, row.subscriber_id, request_id)
        return self._page(request, detail, notice=notice, text=text)

    def _page(
        self,
        request: Request,
        detail: CartDetail,
        *,
        notice: Notice | None,
        text: str,
        problem: str = "",
        status: int = 200,
    ) -> Response:
        cookie = self._forms.cookie(request)
        response = self._pages.render(
            request,
            "cart.html",
            status,
            cart=detail.row,
            lines=detail.lines,
            timeline=detail.timeline[::-1],
            mails=detail.mails,
            written=[mail for mail in detail.mails if mail.subject or mail.html or mail.text],
            notice=notice,
            token=self._forms.token(cookie),
            text=text,
            problem=problem,
            no_reminder_because=asking.why_no_reminder(detail.row),
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
        """Ask for a reminder now, then show the cart with the outcome; what was typed stays when nothing is asked."""
        form = await read_form(request)
        self._forms.check(request, form.one("token"))
        detail = await self._find(request)
        row, said = detail.row, form.one("text")
        try:
            text = asking.own_words(said)
        except Rejected as exc:
            return self._page(request, detail, notice=too_long(exc), text=said, problem=f"{exc}.", status=422)
        if reason := asking.why_no_reminder(row):
            return self._page(request, detail, notice=refused(reason), text=said, status=409)
        now, request_id = to_datetime(self._clock.now_ms()), str(uuid.uuid4())
        event = asking.request(row, request_id=request_id, by="staff", at=now, text=text)
        try:
            await run_in_threadpool(self._writer.send_and_wait, SUBSCRIBER_EVENTS, row.subscriber_id, encode(event))
        except KafkaUnavailable as exc:
            log.warning("a reminder was not asked for: %s", exc)
            return self._page(request, detail, notice=UNASKED, text=said, status=503)
        return RedirectResponse(f"/carts/{row.abandonment_id}?request={request_id}", 303)

    async def _find(self, request: Request) -> CartDetail:
        detail = await run_in_threadpool(self._reader.detail, request.path_params["abandonment_id"])
        if detail is None:
            raise HTTPException(404)
        return detail


def untracked(mail: Mail, collector_url: str) -> str:
    """The mail's HTML without our own tracking pictures: staff who look at a mail have not opened it."""
    pixel = re.compile(r"""(?i)\bsrc\s*=\s*(["']?)\s*""" + re.escape(collector_url) + r"/(?!shop/)")
    return pixel.sub(r"data-not-loaded=\1", mail.html)
