"""The two scripts of web push in a real Chromium: `pytest tests/reminders/push_in_browser.py`.

It is no part of `make test`, which needs no browser. The push service is left out, because Chromium knows only that of
its maker: what it would hand over is handed over by the debugger, and a subscription is one that this file makes.
"""

import asyncio
import json
import shutil
import socket
import subprocess
import threading
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from cartwake.clock import SystemClock
from cartwake.model import Setting, SubscriberEvent, decode_subscriber_event, person_id
from cartwake.settings import Settings
from cartwake.shops import Shops
from reminders.push.keys import keys_of
from reminders.push.message import Push, PushRenderer
from reminders.push.routes import routes
from reminders.push.tokens import Tokens
from tests.patience import until
from tests.reminders.push_service import Browser
from tests.reminders.test_push_message import SHOP, letter
from tests.reminders.test_tracking_links import Written
from tests.reminders.world import ANA, LINKS

KEYS = keys_of(Settings(secret="a secret of the tests"))
TOKENS = Tokens("a secret of the tests")
RENDER = PushRenderer(links=LINKS)
TARGET = Browser().at("https://push.example.com/send/")

#: In place of the push service: subscriptions with endpoints 1, 2, 3 …, kept in this tab.
KEYS_OF_IT = f'{{ p256dh: "{TARGET.p256dh}", auth: "{TARGET.auth}" }}'
SUBSCRIPTIONS = (
    f'const endpoint = "{TARGET.endpoint}", keys = {KEYS_OF_IT};'
    + """
const made = (n, key) => ({
  endpoint: endpoint + n,
  options: { applicationServerKey: key },
  toJSON() { return { endpoint: this.endpoint, expirationTime: null, keys } },
  async unsubscribe() { current = null; ended.push(this.endpoint); return true },
});
const bytes = (text) =>
  Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0)).buffer;
let current = null, number = 0;
globalThis.ended = [];
PushManager.prototype.subscribe = async function (options) {
  if (!options.userVisibleOnly) throw new Error("userVisibleOnly");
  return current = made(++number, bytes(options.applicationServerKey));
};
PushManager.prototype.getSubscription = async () => current;
"""
)


# -- the two servers -------------------------------------------------------------------------------------------------
@dataclass
class Site:
    """A collector, and a shop on another origin."""

    written: Written
    shop: str
    collector: str

    @property
    def events(self) -> list[SubscriberEvent]:
        """What was recorded."""
        return [decode_subscriber_event(value) for _, _, value in self.written.records]


def serve(app: Starlette, port: int) -> Callable[[], None]:
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="error", ws="none"))
    thread = threading.Thread(target=server.run)
    thread.start()
    until(lambda: server.started, "the server has started", within=60)

    def stop() -> None:
        server.should_exit = True
        thread.join(60)

    return stop


def two_ports() -> tuple[int, int]:
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        return one.getsockname()[1], other.getsockname()[1]


@pytest.fixture
def site() -> Iterator[Site]:
    shop_port, collector_port = two_ports()
    shop, collector = f"http://localhost:{shop_port}", f"http://127.0.0.1:{collector_port}"
    written, shops = Written(), Shops()
    shops.apply(Setting(shop_id="main", name="shop", value={"url": shop}))

    async def page(_request: Request) -> Response:
        return HTMLResponse(f'<title>shop</title><script src="{collector}/push/push.js"></script>')

    async def worker(_request: Request) -> Response:
        return Response(f'importScripts("{collector}/push/sw.js");', media_type="text/javascript")

    push = routes(base=collector, keys=KEYS, tokens=TOKENS, ingest_token="x", publisher=written, shops=shops)
    stops = [
        serve(Starlette(routes=[*push]), collector_port),
        serve(Starlette(routes=[Route("/", page), Route("/cartwake-worker.js", worker)]), shop_port),
    ]
    yield Site(written, shop, collector)
    for stop in stops:
        stop()


# -- the browser -----------------------------------------------------------------------------------------------------
@dataclass
class Chromium:
    """One browser, spoken to over the DevTools protocol."""

    socket: aiohttp.ClientWebSocketResponse
    events: list[dict[str, Any]] = field(default_factory=list)
    at_work: str = ""  # the session of the shop's service worker
    _number: int = 0

    async def ask(self, method: str, session: str | None = None, **params: Any) -> dict[str, Any]:
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        await self.socket.send_json(message | ({"sessionId": session} if session else {}))
        async with asyncio.timeout(30):
            while True:
                said = json.loads(await self.socket.receive_str())
                if said.get("id") == self._number:
                    assert "error" not in said, (method, said["error"])
                    result: dict[str, Any] = said["result"]
                    return result
                self.events.append(said)

    async def run(self, session: str, code: str) -> Any:
        """The value of a promise in the page or worker."""
        said = await self.ask(
            "Runtime.evaluate", session, expression=f"(async () => {{{code}}})()", awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in said, said["exceptionDetails"]["exception"].get("description")
        return said["result"].get("value")

    async def attach(self, target: str) -> str:
        return str((await self.ask("Target.attachToTarget", targetId=target, flatten=True))["sessionId"])

    async def worker(self) -> str:
        """A session of the shop's service worker, which counts in `done` what it has shown."""

        async def found() -> list[str]:
            targets = (await self.ask("Target.getTargets"))["targetInfos"]
            return [t["targetId"] for t in targets if t["type"] == "service_worker"]

        session = await self.attach((await soon(found))[0])
        await self.run(session, COUNTING)
        return session


async def soon(ask: Callable[[], Awaitable[Any]]) -> Any:
    """What `ask` says once that is true."""
    async with asyncio.timeout(20):
        while not (said := await ask()):  # noqa: ASYNC110 - another process decides it
            await asyncio.sleep(0.05)
        return said


def in_browser(site: Site, folder: Path, do: Callable[[Chromium, str], Awaitable[None]]) -> None:
    """Run `do` with a browser and a session of a page of the shop that may show notifications."""
    program = shutil.which("chromium") or shutil.which("google-chrome")
    assert program, "needs Chromium. On Debian: apt install chromium"
    arguments = [
        "--headless=new",
        "--no-sandbox",
        "--remote-debugging-port=0",
        f"--user-data-dir={folder}",
        "about:blank",
    ]
    process = subprocess.Popen([program, *arguments], stderr=subprocess.DEVNULL)

    async def talk() -> None:
        port, path = (folder / "DevToolsActivePort").read_text().split()
        async with (
            aiohttp.ClientSession() as http,
            http.ws_connect(f"ws://127.0.0.1:{port}{path}", max_msg_size=0) as ws,
        ):
            chromium = Chromium(ws)
            await chromium.ask("Browser.grantPermissions", origin=site.shop, permissions=["notifications"])
            target = await chromium.ask("Target.createTarget", url="about:blank")
            page = await chromium.attach(target["targetId"])
            await chromium.ask("Page.enable", page)
            await chromium.ask("ServiceWorker.enable", page)
            await chromium.ask("Page.addScriptToEvaluateOnNewDocument", page, source=SUBSCRIPTIONS)
            await open_shop(chromium, page, site)
            await do(chromium, page)
            await chromium.ask("Browser.close")

    try:
        port = folder / "DevToolsActivePort"
        until(lambda: port.exists() and port.read_text().count("\n") == 1, "the browser listens", within=60)
        asyncio.run(talk())
    finally:
        process.kill()
        process.wait(60)


async def open_shop(chromium: Chromium, page: str, site: Site) -> None:
    await chromium.ask("Page.navigate", page, url=site.shop + "/")
    there = "return globalThis.cartwakePush !== undefined && document.title === 'shop'"
    await soon(lambda: chromium.run(page, there))
    await chromium.run(page, "await cartwakePush.ready")


async def subscribe(chromium: Chromium, page: str, email: str = ANA) -> str:
    token = TOKENS.make(("main", person_id(email)), "subscribe", now=SystemClock().now_ms())
    said = await chromium.run(page, f"return cartwakePush.subscribe({json.dumps({'token': token, 'text': 'Yes'})})")
    if not chromium.at_work:
        chromium.at_work = await chromium.worker()
    return str(said)


async def hand_over(chromium: Chromium, page: str, site: Site, data: str) -> None:
    """What the push service would do with a message."""
    updates = [
        e["params"]["registrations"]
        for e in chromium.events
        if e["method"] == "ServiceWorker.workerRegistrationUpdated"
    ]
    (registration,) = {r["registrationId"] for update in updates for r in update if r["scopeURL"] == site.shop + "/"}
    await chromium.ask(
        "ServiceWorker.deliverPushMessage", page, origin=site.shop, registrationId=registration, data=data
    )


COUNTING = """
  const show = registration.showNotification.bind(registration);
  globalThis.done = 0;
  registration.showNotification = async (...given) => { await show(...given); done += 1 };
"""

SHOWN = """
  const registration = await navigator.serviceWorker.ready;
  return (await registration.getNotifications()).map(({ title, body, tag, silent, data, icon }) =>
    ({ title, body, tag, silent, data, icon }));
"""


async def pushed(chromium: Chromium, page: str, site: Site, message: Push | dict[str, Any]) -> list[dict[str, Any]]:
    """The notifications on show after a message has come."""
    worker = chromium.at_work
    data = message.payload.decode() if isinstance(message, Push) else json.dumps(message)
    before = await chromium.run(worker, "return done")
    await hand_over(chromium, page, site, data)
    # asking for notifications meanwhile would make Chromium lose the one that is coming
    await soon(lambda: chromium.run(worker, f"return done > {before}"))
    return list(await chromium.run(page, SHOWN))


# -- tests -----------------------------------------------------------------------------------------------------------
def test_a_page_subscribes_its_shopper(site: Site, tmp_path: Path) -> None:
    async def do(chromium: Chromium, page: str) -> None:
        assert await subscribe(chromium, page) == "subscribed"
        (event,) = site.events
        assert (event.type, event.subscriber_id) == ("subscriber.consented", person_id(ANA))
        assert event.push is not None
        assert event.push.endpoint == TARGET.endpoint + "1"
        await subscribe(chromium, page)
        assert site.events[1].push == event.push, "the same person keeps his subscription"
        await subscribe(chromium, page, "eve@example.com")
        assert site.events[2].push is not None
        assert site.events[2].push.endpoint == TARGET.endpoint + "2"
        assert await chromium.run(page, "return ended") == [TARGET.endpoint + "1"], "another one's ends the first"

    in_browser(site, tmp_path, do)


def test_logging_out_ends_the_subscription(site: Site, tmp_path: Path) -> None:
    async def do(chromium: Chromium, page: str) -> None:
        await subscribe(chromium, page)
        await chromium.run(page, "await cartwakePush.forget()")
        assert await chromium.run(page, "return ended") == [TARGET.endpoint + "1"]
        assert await chromium.run(page, "return caches.has('cartwake-push')") is False

    in_browser(site, tmp_path, do)


def test_a_subscription_that_is_gone_is_made_anew_on_the_next_page_without_a_consent(
    site: Site, tmp_path: Path
) -> None:
    async def do(chromium: Chromium, page: str) -> None:
        await subscribe(chromium, page)
        await open_shop(chromium, page, site)  # the tab's subscriptions begin anew with it: there is none
        renewed = site.events[1]
        assert (renewed.type, renewed.consent) == ("subscriber.updated", None)
        assert renewed.push is not None

    in_browser(site, tmp_path, do)


def test_messages_are_shown_and_one_about_the_same_cart_takes_the_place_of_the_last(site: Site, tmp_path: Path) -> None:
    async def do(chromium: Chromium, page: str) -> None:
        await subscribe(chromium, page)
        first, second = RENDER(letter(), SHOP), RENDER(letter(step=2, plan_id="e" * 32), SHOP)
        other, thanks = RENDER(letter(cart_id="c-2", locale="bg"), SHOP), RENDER.replacement(letter(), SHOP)

        (one,) = await pushed(chromium, page, site, first)
        said = json.loads(first.payload)
        assert one == {
            "title": first.title, "body": first.body, "tag": first.topic, "silent": False,
            "data": {"cartwake": said["url"]}, "icon": said["image"],
        }  # fmt: skip
        assert [n["title"] for n in await pushed(chromium, page, site, second)] == [second.title]
        both = await pushed(chromium, page, site, other)
        assert {n["title"] for n in both} == {second.title, other.title}
        both = await pushed(chromium, page, site, thanks)
        assert {n["title"]: n["silent"] for n in both} == {thanks.title: True, other.title: False}

    in_browser(site, tmp_path, do)


def test_what_is_no_message_of_ours_is_left_alone(site: Site, tmp_path: Path) -> None:
    async def do(chromium: Chromium, page: str) -> None:
        await subscribe(chromium, page)
        for data in (
            "",
            "junk",
            "null",
            "[]",
            '{"cartwake": 2, "title": "x"}',
            '{"title": "another service", "tag": "x"}',
        ):
            await hand_over(chromium, page, site, data)
        found = await pushed(chromium, page, site, RENDER(letter(), SHOP))
        assert "another service" not in [n["title"] for n in found]
        assert [n["title"] for n in found if n["data"]] == ["Still thinking it over?"]

    in_browser(site, tmp_path, do)


CLICK = """
  const [notification] = await registration.getNotifications({ tag: "%s" });
  globalThis.opened ??= [];
  clients.openWindow = async (url) => { opened.push(url) };
  let done;
  const event = new NotificationEvent("notificationclick", { notification });
  Object.defineProperty(event, "waitUntil", { value: (promise) => { done = promise } });
  self.dispatchEvent(event);
  await done;
  return [opened, (await registration.getNotifications()).length];
"""


def test_a_tap_leads_to_the_cart_and_nowhere_but_to_the_web(site: Site, tmp_path: Path) -> None:
    async def do(chromium: Chromium, page: str) -> None:
        await subscribe(chromium, page)
        message = RENDER(letter(), SHOP)
        assert len(await pushed(chromium, page, site, message)) == 1
        url = json.loads(message.payload)["url"]
        assert await chromium.run(chromium.at_work, CLICK % message.topic) == [[url], 0]
        for n, bad in enumerate(("javascript:alert(1)", "data:text/html,x", "file:///etc/passwd", "//x", "", None, 5)):
            said = {"cartwake": 1, "title": "t", "tag": f"bad-{n}", "url": bad}
            assert f"bad-{n}" in [x["tag"] for x in await pushed(chromium, page, site, said)]
            opened, _ = await chromium.run(chromium.at_work, CLICK % f"bad-{n}")
            assert opened == [url]

    in_browser(site, tmp_path, do)


CHANGE = (
    f'const endpoint = "{TARGET.endpoint}new", keys = {KEYS_OF_IT};'
    + """
  const event = new ExtendableEvent("pushsubscriptionchange");
  let done;
  for (const [name, value] of Object.entries({
    newSubscription: { endpoint, toJSON: () => ({ endpoint, keys }) }, waitUntil: (promise) => { done = promise },
  })) Object.defineProperty(event, name, { value });
  self.dispatchEvent(event);
  await done;
  return (await (await (await caches.open("cartwake-push")).match("/cartwake-push")).json()).endpoint;
"""
)


def test_a_subscription_that_the_browser_changes_is_told(site: Site, tmp_path: Path) -> None:
    async def do(chromium: Chromium, page: str) -> None:
        await subscribe(chromium, page)
        assert await chromium.run(chromium.at_work, CHANGE) == TARGET.endpoint + "new"
        changed = site.events[1]
        assert (changed.type, changed.subscriber_id, changed.consent) == ("subscriber.updated", person_id(ANA), None)
        assert changed.push is not None
        assert (changed.push.endpoint, changed.push_gone) == (TARGET.endpoint + "new", TARGET.endpoint + "1")

    in_browser(site, tmp_path, do)
