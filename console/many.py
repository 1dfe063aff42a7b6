"""Reminders about several carts: who will be written to, the button, and an account of each.

in   ClickHouse view `abandonments`, and what is known of the people
out  subscriber-events, key subscriber_id: subscriber.reminder_requested

The account lies in its address, so it can be loaded again and shown by any console: the ids of the requests are derived
from the one of the batch and the cart. So a form that is sent twice, or again after Kafka was away, asks once.
"""

import logging
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from urllib.parse import urlencode, urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from cartwake.clock import Clock, to_datetime
from cartwake.errors import KafkaUnavailable, Rejected
from cartwake.model import encode
from cartwake.topics import SUBSCRIBER_EVENTS
from console import asking, words
from console.forecast import Chosen, foresee, people, who, why
from console.forms import read_form, uuid_of
from console.outcomes import UNASKED, Notice, notice_of, outcomes, too_long
from console.pages import Pages
from console.reader import CartReader, EventWriter
from console.security import Forms
from sinks.carts import CartRow

log = logging.getLogger(__name__)

A_DAY: Final = timedelta(days=1)


#: What is said of those that were not sent, by the kind of their notice.
_COUNTED: Final = {
    "waiting": "still under way",
    "refused": "refused",
    "perhaps": "perhaps sent",
    "unasked": "not asked for",
}


@dataclass(frozen=True, slots=True)
class Account:
    """What became of one of the chosen carts."""

    abandonment_id: str
    row: CartRow | None
    notice: Notice


class ManyPages:
    """The pages of reminders about several carts."""

    def __init__(
        self,
        reader: CartReader,
        writer: EventWriter,
        pages: Pages,
        *,
        forms: Forms,
        clock: Clock,
        patience: timedelta,
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._pages = pages
        self._forms = forms
        self._clock = clock
        self._patience = patience

    async def new(self, request: Request) -> Response:
        """Who will be written to about the carts of the address and who will not; nothing is sent yet."""
        ids = few_enough(request.query_params.getlist("cart"))
        back = list_address(request.query_params.get("from", ""))
        if not ids:
            detail = "Tick the carts you want to write about, then press the button again."
            return self._pages.problem(request, 400, "No cart was chosen", detail, back=back)
        return await self._confirm(request, await self._foresee(ids), batch=str(uuid.uuid4()), back=back)

    async def send(self, request: Request) -> Response:
        """Ask for all that may be written to, then lead to the account."""
        form = await read_form(request)
        self._forms.check(request, form.one("token"))
        ids, batch, back = few_enough(form.all("cart")), uuid_of(form.one("batch")), list_address(form.one("from"))
        if not ids or batch is None:
            raise HTTPException(409, "Nothing was sent: this form is not whole. Choose the carts once more.")
        chosen, said = await self._foresee(ids), form.one("text")
        try:
            text = asking.own_words(said)
        except Rejected as exc:
            return await self._confirm(
                request, chosen, batch=batch, back=back, text=said, notice=too_long(exc), problem=f"{exc}.", status=422
            )
        left = [(one.against, one.abandonment_id) for one in chosen if one.against]
        rows = [one.row for one in chosen if one.row and not one.against]
        asked = await run_in_threadpool(self._ask, rows, batch, text)
        if rows and not asked:
            return await self._confirm(request, chosen, batch=batch, back=back, text=said, notice=UNASKED, status=503)
        left += [("away", row.abandonment_id) for row in rows[len(asked) :]]
        return RedirectResponse(address(batch, asked, left, back), 303)

    def _ask(self, rows: Sequence[CartRow], batch: str, text: str | None) -> list[str]:
        """Ask about these carts; the ids of those that are on the broker, all or the first ones."""
        asked: list[str] = []
        for row in rows:
            request_id, now = request_id_of(batch, row.abandonment_id), to_datetime(self._clock.now_ms())
            event = asking.request(row, request_id=request_id, by="staff", at=now, text=text)
            try:
                self._writer.send_and_wait(SUBSCRIBER_EVENTS, row.subscriber_id, encode(event))
            except KafkaUnavailable as exc:
                log.warning("%d of %d reminders were not asked for: %s", len(rows) - len(asked), len(rows), exc)
                break
            asked.append(row.abandonment_id)
        return asked

    async def account(self, request: Request) -> Response:
        """What became of each; it waits a moment for those whose outcome is not there yet."""
        query = request.query_params
        batch = uuid_of(query.get("batch", ""))
        if batch is None:
            raise HTTPException(404)
        asked = few_enough(query.getlist("asked"))
        reasons = [(one, code) for code, _, one in (x.partition("~") for x in query.getlist("left"))]
        left = {one: code for one, code in reasons if code in words.NOT_ASKED}
        if not few_enough([*asked, *left]):
            raise HTTPException(404)
        requests = {one: request_id_of(batch, one) for one in asked}
        found = await outcomes(self._reader, list(requests.values()), self._patience)
        rows = await run_in_threadpool(self._reader.chosen, [*asked, *left])
        accounts = [Account(one, rows.get(one), notice_of(found.get(requests[one]))) for one in asked]
        why_not = await self._reasons(rows, asked, left)
        accounts += [Account(one, rows.get(one), Notice("unasked", "Not asked for", why_not[one])) for one in left]
        return self._pages.render(
            request,
            "account.html",
            accounts=accounts,
            summary=summary(accounts, reload=f"{request.url.path}?{request.url.query}"),
            text=await self._said(rows, requests),
            back=list_address(query.get("from", "")),
        )

    async def _confirm(
        self,
        request: Request,
        chosen: Sequence[Chosen],
        *,
        batch: str,
        back: str,
        text: str = "",
        notice: Notice | None = None,
        problem: str = "",
        status: int = 200,
    ) -> Response:
        cookie = self._forms.cookie(request)
        response = self._pages.render(
            request,
            "many.html",
            status,
            chosen=chosen,
            asked=[one for one in chosen if not one.against],
            left=[one for one in chosen if one.against],
            token=self._forms.token(cookie),
            batch=batch,
            back=back,
            text=text,
            notice=notice,
            problem=problem,
        )
        self._forms.remember(request, response, cookie)
        return response

    async def _foresee(self, ids: Sequence[str]) -> tuple[Chosen, ...]:
        def read() -> tuple[Chosen, ...]:
            rows = self._reader.chosen(ids)
            since = to_datetime(self._clock.now_ms()) - A_DAY
            return foresee(ids, rows, self._reader.standings(people(rows.values()), since=since))

        return await run_in_threadpool(read)

    async def _reasons(self, rows: dict[str, CartRow], asked: Sequence[str], left: dict[str, str]) -> dict[str, str]:
        """Why the others were not asked for."""
        since = to_datetime(self._clock.now_ms()) - A_DAY
        persons = people(row for one, row in rows.items() if left.get(one) in ("limit", "same"))
        standings = await run_in_threadpool(lambda: self._reader.standings(persons, since=since))
        first = {who(row): row for one in reversed(asked) if (row := rows.get(one))}
        return {
            one: why(code, standings.get(who(row)), first.get(who(row))) if (row := rows.get(one)) else why(code, None)
            for one, code in left.items()
        }

    async def _said(self, rows: dict[str, CartRow], requests: dict[str, str]) -> str:
        """The own words that were asked with, of the first request that is known."""
        for one, request_id in requests.items():
            if row := rows.get(one):
                return await run_in_threadpool(self._reader.own_words, row.shop_id, row.subscriber_id, request_id)
        return ""


def summary(accounts: Sequence[Account], *, reload: str) -> Notice:
    """All accounts in one sentence; an error as soon as one was not sent."""
    kinds = Counter(one.notice.kind for one in accounts)
    sent, waiting = kinds["sent"], kinds["waiting"]
    if sent == len(accounts):
        title = "The reminder was sent" if sent == 1 else f"All {sent} reminders were sent"
        return Notice("sent", title, "The page of each cart shows the mail.")
    parts = [f"{kinds[kind]} {said}" for kind, said in _COUNTED.items() if kinds[kind]]
    told = f"{', '.join(parts)}. Why is said with each."
    title = f"{sent} of {len(accounts)} reminders were sent"
    return Notice("waiting", title, told, reload) if waiting else Notice("refused", title, told)


def request_id_of(batch: str, abandonment_id: str) -> str:
    """The id of the request about this cart in this batch."""
    return str(uuid.uuid5(uuid.UUID(batch), abandonment_id))


def address(batch: str, asked: Sequence[str], left: Sequence[tuple[str, str]], back: str) -> str:
    """Where the account of a batch is."""
    query = [("batch", batch), *(("asked", one) for one in asked), *(("left", f"{code}~{one}") for code, one in left)]
    return f"/reminders?{urlencode([*query, *([('from', back)] if back != '/carts' else [])])}"


def few_enough(ids: Sequence[str]) -> list[str]:
    """These carts, each once; 409 when they are more than may be asked about at once."""
    found = list(dict.fromkeys(one[:200] for one in ids if one))
    if len(found) > asking.MOST_AT_ONCE:
        raise HTTPException(409, f"{len(found)} carts are too many at once; at most {asking.MOST_AT_ONCE}.")
    return found


def list_address(text: str) -> str:
    """The page of the list that staff came from: its question and nothing else of what the browser says."""
    try:
        question = urlsplit(text[:1_000]).query
    except ValueError:
        question = ""
    return f"/carts?{question}" if question else "/carts"
