"""The list of carts as a file, from the console."""

import asyncio
import csv
import io
import socket
import threading
from collections.abc import Generator, Iterator
from typing import Any

import httpx
import pytest
import uvicorn
from lxml import etree

from cartwake.errors import SinkUnavailable
from cartwake.settings import Settings
from console.app import create_app
from sinks.carts import Carts
from sinks.clickhouse import ClickHouse
from tests.console.browser import Browser, parsed
from tests.console.conftest import Open
from tests.console.memory import MemoryCarts, Written, row
from tests.patience import until
from tests.sinks.records import outcome, put

MARK = "\ufeff"


def table(answer: httpx.Response) -> list[dict[str, str]]:
    assert answer.status_code == 200, answer.text
    assert answer.text.startswith(MARK)
    return list(csv.DictReader(io.StringIO(answer.text.removeprefix(MARK), newline="")))


def test_the_page_leads_to_its_own_list_as_a_file(opened: Open) -> None:
    rows = [row(1), row(2, state="recovered"), row(3, state="recovered", shop_id="outlet", stage="payment")]
    browser = opened(MemoryCarts(rows))

    for asked, found in (("", "321"), ("?state=recovered&q=c-3&stage=payment&shop=outlet", "3")):
        links = [x.get("href") or "" for x in browser.page(f"/carts{asked}").all(".files a")]
        assert [x.partition("?")[0] for x in links] == ["/carts.csv", "/carts.xml"]
        assert [x["cart_id"] for x in table(browser.get(links[0]))] == [f"c-{n}" for n in found]
        document = etree.fromstring(browser.get(links[1]).content)
        assert [x.findtext("cart_id") for x in document] == [f"c-{n}" for n in found]
    assert browser.page("/carts?q=nothing").all(".files") == []


def test_a_file_has_more_than_a_page(opened: Open) -> None:
    browser = opened(MemoryCarts([row(n) for n in range(1, 121)]))
    second = browser.page("/carts").all(".paging a[rel=next]")[0].get("href") or ""

    for page in ("/carts", second):
        link = browser.page(page).all(".files a")[0].get("href") or ""
        assert "cursor" not in link
        assert len(table(browser.get(link))) == 120


def test_a_file_has_a_name_and_is_kept_nowhere(opened: Open) -> None:
    browser = opened(MemoryCarts([row(1)]))
    for format_, media in (("csv", "text/csv; charset=utf-8; header=present"), ("xml", "application/xml")):
        for answer in (browser.get(f"/carts.{format_}?q=c-1"), browser._send("HEAD", f"/carts.{format_}")):
            assert answer.headers["content-disposition"] == f'attachment; filename="carts-2026-11-23.{format_}"'
            assert answer.headers["content-type"] == media
            assert answer.headers["cache-control"] == "no-store"
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert "default-src 'none'" in answer.headers["content-security-policy"]


def test_a_question_about_a_file_reads_nothing(opened: Open) -> None:
    carts = MemoryCarts([row(1)])
    assert opened(carts)._send("HEAD", "/carts.csv").status_code == 200
    assert carts.files == []


def test_who_may_not_see_the_page_gets_no_file(opened: Open) -> None:
    browser = opened(MemoryCarts([row(1)]), base="http://elsewhere.example.com")
    assert browser.get("/carts").status_code == browser.get("/carts.csv").status_code == 421
    assert opened(MemoryCarts([row(1)])).post("/carts.csv").status_code == 405


@pytest.mark.parametrize("query", ["state=nonsense", "stage=%00", "view=x", "cursor=%ff..%27", "back=x", "format=xml"])
def test_what_the_query_cannot_mean_is_ignored(opened: Open, query: str) -> None:
    assert len(table(opened(MemoryCarts([row(1)])).get(f"/carts.csv?{query}"))) == 1


@pytest.mark.parametrize("path", ["/carts.xlsx", "/carts.", "/carts.csv/x", "/carts.CSV"])
def test_another_format_is_not_there(opened: Open, path: str) -> None:
    assert opened(MemoryCarts([row(1)])).get(path).status_code == 404


def test_a_store_that_is_away_is_a_page_and_no_file(opened: Open) -> None:
    carts = MemoryCarts([row(1)])
    carts.broken = SinkUnavailable("ClickHouse at 127.0.0.1:8123 is away")
    answer = opened(carts).get("/carts.csv")

    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert "content-disposition" not in answer.headers
    assert "none is lost" in parsed(answer).text


class Endless(MemoryCarts):
    """A list that has no end; `closed` says that nobody reads it any more."""

    def __init__(self, fails_after: int = -1) -> None:
        super().__init__([row(1)])
        self.closed = threading.Event()
        self._fails_after = fails_after

    def file(self, format_: str, **asked: Any) -> Generator[bytes]:
        self.files.append(self._lines())
        return self.files[-1]

    def _lines(self) -> Generator[bytes]:
        try:
            yield b"cart_id\r\n"
            left = self._fails_after
            while left:
                yield b'"c-1"\r\n' * 10_000
                left -= 1
            raise SinkUnavailable("ClickHouse went away")
        finally:
            self.closed.set()


@pytest.fixture
def served(written: Written) -> Iterator[Any]:
    """Serves a console over the given carts on a port, which it returns."""
    running: list[tuple[uvicorn.Server, threading.Thread]] = []

    def serve(carts: MemoryCarts) -> int:
        app = create_app(carts=carts, publisher=written, settings=Settings())
        listener = socket.create_server(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan="off"))
        thread = threading.Thread(target=asyncio.run, args=(server.serve([listener]),))
        thread.start()
        running.append((server, thread))
        port: int = listener.getsockname()[1]
        return port

    yield serve
    for server, thread in running:
        server.should_exit = True
        thread.join(60)
        assert not thread.is_alive()


def test_whoever_goes_away_ends_the_query(served: Any) -> None:
    carts = Endless()
    with socket.create_connection(("127.0.0.1", served(carts)), 30) as peer:
        peer.sendall(b"GET /carts.csv HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert peer.recv(4096).startswith(b"HTTP/1.1 200 OK")
        assert not carts.closed.is_set()

    until(carts.closed.is_set, "the list is closed", within=60)


def test_a_list_that_breaks_off_is_seen_to_be_broken(served: Any) -> None:
    carts = Endless(fails_after=3)
    with pytest.raises(httpx.RemoteProtocolError):
        httpx.get(f"http://127.0.0.1:{served(carts)}/carts.csv")
    assert carts.closed.is_set()


@pytest.mark.stack
def test_clickhouse_gives_the_file_and_knows_no_query_more_when_nobody_reads_it(
    settings: Settings, migrated: str, written: Written, served: Any
) -> None:
    with ClickHouse.open(settings.clickhouse_dsn, migrated) as client:
        name = '=cmd|"/c calc"!A1 ' + "and so on " * 1000
        items = [{"sku": "A1", "name": name, "quantity": 1, "price": "1.00"}]
        put(client, "cart-outcomes", *(outcome(number=-n, items=items) for n in range(1, 400)))
        found = table(Browser(create_app(carts=Carts(client), publisher=written, settings=settings)).get("/carts.csv"))
        assert [x["cart_id"] for x in found] == [f"c-{n}" for n in range(399, 0, -1)]
        assert {x["products"] for x in found} == {f"'{name}"}

        with socket.create_connection(("127.0.0.1", served(Carts(client))), 30) as peer:  # type: ignore[arg-type]
            peer.sendall(b"GET /carts.csv HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            assert peer.recv(4096).startswith(b"HTTP/1.1 200 OK")
        asking = (
            "SELECT query FROM system.processes WHERE query LIKE '%abandonments_log%' AND query NOT LIKE '%processes%'"
        )
        until(lambda: not client.query(asking), "no query is left", within=60)
