"""Web push through stage 3: a plan becomes a message in a browser, and a browser that is gone is forgotten."""

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from cartwake.model import Consent, person_id
from cartwake.settings import Settings
from reminders.channels.push import PushChannel
from reminders.outbox import Medium
from reminders.person import Person
from reminders.push.keys import keys_of
from reminders.push.message import PushRenderer
from reminders.subscribers import Reminders
from tests.reminders.push_service import Browser, Service
from tests.reminders.world import ANA, DAY, LINKS, T0, KeptTable, World, cart, event

BROWSER = Browser()
KEYS = keys_of(Settings(secret="a secret of the tests"))


class PushWorld(World):
    """Stage 3 with web push."""

    def _start(self) -> None:
        self.table = KeptTable(self.durable)
        self.effects = []
        media = {"push": Medium(PushRenderer(links=LINKS), PushChannel(KEYS, anywhere=True))}
        self.task = Reminders(self, shops=self.shops, media=media, links=LINKS)
        self.table.restore()
        self.task.on_restored()

    @property
    def person(self) -> Person:
        """Whom it is about."""
        state = self.table.get(("main", person_id(ANA)))
        assert isinstance(state, Person)
        return state


@pytest.fixture
def service() -> Iterator[Service]:
    """A push service in a thread of its own, for each sending here has an event loop of its own."""
    service, ready, loop = Service(), threading.Event(), asyncio.new_event_loop()

    def run() -> None:
        server = loop.run_until_complete(service.start())
        ready.set()
        loop.run_forever()
        server.close()
        loop.run_until_complete(loop.shutdown_asyncgens())

    thread = threading.Thread(target=run)
    thread.start()
    assert ready.wait(60)
    yield service
    loop.call_soon_threadsafe(loop.stop)
    thread.join(60)
    loop.close()


def answers(status: str) -> bytes:
    return f"HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n".encode()


def subscribed(service: Service, at: int = 0, **changes: Any) -> Any:
    target = BROWSER.at(f"http://127.0.0.1:{service.port}/send/1")
    return event("consented", at, consent=Consent(channels=("push",)), push=target, **changes)


def test_a_cart_that_was_left_becomes_a_message_in_the_browser(service: Service) -> None:
    service.answer = answers("201 Created")
    world = PushWorld(steps=[{"after": "0s", "channel": "push"}])
    world.hear(subscribed(service), cart(), at=T0).work()
    assert world.said == ["sent"]
    (asked,) = service.asked
    said = BROWSER.read(asked.body)
    assert "Blue shirt" in str(said["body"])
    sent = world.ends[0]
    assert (sent.channel, sent.to, sent.subject) == ("push", "127.0.0.1", said["title"])
    assert "send/1" not in str(sent)


def test_a_browser_that_is_gone_is_forgotten_and_not_written_to_again(service: Service) -> None:
    service.answer = answers("410 Gone")
    world = PushWorld(steps=[{"after": "0s", "channel": "push"}])
    world.hear(subscribed(service), cart(), at=T0).work()
    assert world.said == ["failed:gone"]
    assert world.person.push == ()
    later = T0 + 2 * DAY
    world.hear(cart(later, cart_id="c-2", abandonment_id="ab-2"), at=later).work()
    assert world.said == ["failed:gone", "suppressed:no_address"]
    assert len(service.asked) == 1
    world.loop_back().hear(subscribed(service, later), at=later)
    assert len(world.person.push) == 1


def test_consent_to_mails_is_none_to_push_messages(service: Service) -> None:
    world = PushWorld(steps=[{"after": "0s", "channel": "push"}])
    target = BROWSER.at(f"http://127.0.0.1:{service.port}/send/1")
    world.hear(event("consented", 0, push=target), cart(consent=True), at=T0).work()
    assert world.said == ["suppressed:no_consent"]
    assert service.asked == []
