"""A small browser: keeps cookies, follows our own redirects when told to, parses pages."""

import asyncio
import re
from typing import Any

import httpx
from lxml import html
from starlette.applications import Starlette

BASE = "http://127.0.0.1:8000"


class Browser:
    """Talks to an ASGI application without a network."""

    def __init__(self, app: Starlette, base: str = BASE) -> None:
        self.app = app
        self._base = base
        self._cookies = httpx.Cookies()

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self._send("GET", path, **options)

    def post(self, path: str, **options: Any) -> httpx.Response:
        return self._send("POST", path, **options)

    def page(self, path: str) -> "Node":
        """The parsed page; the answer must be 200."""
        answer = self.get(path)
        assert answer.status_code == 200, answer.text
        return parsed(answer)

    def _send(self, method: str, path: str, **options: Any) -> httpx.Response:
        async def run() -> httpx.Response:
            transport = httpx.ASGITransport(app=self.app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url=self._base, cookies=self._cookies) as client:
                answer = await client.request(method, path, **options)
                self._cookies = client.cookies
                return answer

        return asyncio.run(run())


class Node:
    """An element of a page, and its text with single spaces."""

    def __init__(self, element: Any) -> None:
        self._element = element
        self.text = " ".join(element.text_content().split())

    @property
    def raw(self) -> str:
        """The text as it stands in the page."""
        text: str = self._element.text_content()
        return text

    def all(self, selector: str) -> list["Node"]:
        """What a style sheet's selector of tags, classes, ids and attributes means, in document order."""
        steps = "".join(f"//{_step(part)}" for part in selector.split())
        return [Node(found) for found in self._element.xpath(f".{steps}")]

    def get(self, name: str) -> str | None:
        """An attribute."""
        value: str | None = self._element.get(name)
        return value


def _step(part: str) -> str:
    tag = re.match(r"[\w-]*", part)
    assert tag is not None
    tests = [f"[contains(concat(' ', @class, ' '), ' {name} ')]" for name in re.findall(r"\.([\w-]+)", part)]
    tests += [f"[@id='{name}']" for name in re.findall(r"#([\w-]+)", part)]
    tests += [f"[@{name}='{value}']" for name, value in re.findall(r"\[([\w-]+)=([\w-]+)\]", part)]
    return (tag[0] or "*") + "".join(tests)


def parsed(answer: httpx.Response) -> Node:
    """The page as a tree."""
    return Node(html.document_fromstring(answer.text))


def words(node: Node) -> str:
    """The text of a node, with single spaces."""
    return node.text
