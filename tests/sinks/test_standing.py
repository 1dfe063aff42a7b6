"""How things stand with people whom a mail by hand may go to: what left lately, and what stands against another."""

from datetime import timedelta
from typing import Any

import pytest

from cartwake.clock import rfc3339, to_datetime
from sinks.carts import Carts, Standing
from sinks.clickhouse import ClickHouse
from tests.sinks.records import HOUR, NOON, Kept, match, message, put

pytestmark = pytest.mark.stack

ANA = ("main", "p-ana")


@pytest.fixture
def carts(client: ClickHouse) -> Carts:
    return Carts(client)


def ana(carts: Carts) -> Standing:
    return carts.standings({ANA}, since=to_datetime(NOON))[ANA]


def said(kind: str, minute: int = 1, **changes: Any) -> dict[str, Any]:
    """A record of subscriber-events about Ana."""
    return {
        "event_id": f"{kind}-{minute}",
        "type": f"subscriber.{kind}",
        "shop_id": "main",
        "subscriber_id": "p-ana",
        "occurred_at": rfc3339(NOON + minute * 60_000),
    } | changes


def test_a_stranger_has_no_standing(carts: Carts) -> None:
    assert carts.standings({ANA}, since=to_datetime(NOON)) == {}


def test_mails_that_left_since_are_counted_once_each(client: ClickHouse, carts: Carts) -> None:
    put(client, "messages", message("sent", 0, "old"), message("sent", 5, "a"), message("sent", 5, "a"))
    put(client, "messages", message("sent", 5, "a"))  # told again after a crash
    put(client, "messages", message("uncertain", 9, "b"), message("failed", 10, "c"))
    put(client, "messages", message("sent", 11, "d", channel="sms"), message("sent", 12, "e", shop_id="other"))

    known = ana(carts)

    assert (known.written, known.written_at) == (2, to_datetime(NOON) + timedelta(minutes=9))
    assert (known.against, known.cap) == ("", 1)


@pytest.mark.parametrize("reason", ["no_consent", "unsubscribed", "bounced", "complained", "erased", "blocked"])
def test_what_the_stage_last_refused_the_person_for_stands(client: ClickHouse, carts: Carts, reason: str) -> None:
    put(client, "messages", message("sent", 1, "a"), message("suppressed", 2, "b", reason=reason))
    assert ana(carts).against == reason
    put(client, "messages", message("sent", 3, "c"))
    assert ana(carts).against == ""


@pytest.mark.parametrize("reason", ["daily_limit", "holdout", "returned", "conditions"])
def test_what_was_about_that_cart_or_moment_does_not(client: ClickHouse, carts: Carts, reason: str) -> None:
    put(client, "messages", message("sent", 1, "a"), message("suppressed", 2, "b", reason=reason))
    assert ana(carts).against == ""


@pytest.mark.parametrize(
    ("kind", "more", "against"),
    [
        ("withdrawn", {}, "unsubscribed"),
        ("withdrawn", {"channels": ["email", "sms"]}, "unsubscribed"),
        ("withdrawn", {"channels": ["sms"]}, ""),
        ("complained", {}, "complained"),
        ("erased", {}, "erased"),
        ("bounced", {"reason": "550 no such user"}, "bounced"),
        ("bounced", {"reason": "soft: mailbox full"}, ""),
        ("consented", {"consent": False}, "no_consent"),
        ("consented", {"consent": {"granted": False}}, "no_consent"),
        ("profile", {"consent": False}, "no_consent"),
        ("profile", {"name": "Ana"}, ""),
        ("purchased", {"order_id": "o-1"}, ""),
    ],
)
def test_what_the_person_said_since_counts(
    client: ClickHouse, carts: Carts, kind: str, more: dict[str, Any], against: str
) -> None:
    put(client, "messages", message("sent", 1, "a"))
    put(client, "subscriber-events", said(kind, 2, **more))
    assert ana(carts).against == against


@pytest.mark.parametrize("consent", [True, {"basis": "checkbox"}, {"granted": True}])
@pytest.mark.parametrize("topic", ["subscriber-events", "subscriber-carts"])
def test_a_later_consent_lifts_it(client: ClickHouse, carts: Carts, consent: Any, topic: str) -> None:
    put(client, "messages", message("suppressed", 1, reason="no_consent"))
    later = said("consented", 2, consent=consent) if topic == "subscriber-events" else match(minute=2, consent=consent)
    put(client, topic, later)
    assert ana(carts).against == ""


@pytest.mark.parametrize("consent", [False, {"granted": False}, None])
def test_a_cart_without_consent_lifts_nothing(client: ClickHouse, carts: Carts, consent: Any) -> None:
    put(client, "messages", message("suppressed", 1, reason="no_consent"))
    put(client, "subscriber-carts", match(minute=2, consent=consent))
    assert ana(carts).against == "no_consent"


def test_the_shop_says_how_many_may_leave(client: ClickHouse, carts: Carts) -> None:
    put(client, "messages", message("sent", 1), message("sent", 1, shop_id="other"))
    for shop, rules in (("main", b'{"cap": 3}'), ("other", b'{"steps": []}')):
        value = b'{"shop_id": "%b", "name": "reminders", "value": %b}' % (shop.encode(), rules)
        put(client, "settings", Kept(value, f"{shop}/reminders".encode(), at=1))

    found = carts.standings({ANA, ("other", "p-ana")}, since=to_datetime(NOON - HOUR))

    assert {shop: x.cap for (shop, _), x in found.items()} == {"main": 3, "other": 1}
