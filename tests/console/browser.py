"""A small browser: keeps cookies, follows our own redirects when told to, parses pages."""

import asyncio
from typing import Any

import httpx
from lxml import html
from starlette.applications import Starlette

BASE = "http://127.0.0.1:8000"


class Browser:
    """Talks to an ASGI application without a network."""

    def __init__(self, app: Starlette, base: str = BASE) -> None:
        self._app = app
        self._base = base
        self._cookies = httpx.Cookies()

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self._send("GET", path, **options)

    def post(self, path: str, **options: Any) -> httpx.Response:
        return self._send("POST", path, **options)

    def page(self, path: str) -> Any:
        """The parsed page; the answer must be 200."""
        answer = self.get(path)
        assert answer.status_code == 200, answer.text
        return parsed(answer)

    def _send(self, method: str, path: str, **options: Any) -> httpx.Response:
        async def run() -> httpx.Response:
            transport = httpx.ASGITransport(app=self._app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url=self._base, cookies=self._cookies) as client:
                answer = await client.request(method, path, **options)
                self._cookies = client.cookies
                return answer

        return asyncio.run(run())


def parsed(answer: httpx.Response) -> Any:
    """The page as a tree."""
    return html.document_fromstring(answer.text)


def words(node: Any) -> str:
    """The text of a node, with single spaces."""
    return " ".join(node.text_content().split())
