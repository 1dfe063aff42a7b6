"""The collector over HTTP: what is accepted, what is refused and how, what it promises when Kafka is away."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from cartwake.errors import ConfigurationError, KafkaUnavailable
from cartwake.model import MAX_BYTES
from cartwake.settings import Settings
from cartwake.shops import Shops
from ingest.batches import MAX_EVENTS
from ingest.bodies import MAX_BODY
from ingest.collector import check_address, create_app, server
from tests.ingest.shop_events import RecordingPublisher, event, raw

JSON = {"Content-Type": "application/json"}
GZIP = JSON | {"Content-Encoding": "gzip"}


@pytest.fixture
def publisher() -> RecordingPublisher:
    return RecordingPublisher()


def app_for(publisher: RecordingPublisher, token: str = "", **kind: Any) -> Starlette:
    kind = {"ready": lambda: None, "answer_within": timedelta(milliseconds=50)} | kind
    return create_app(Settings(ingest_token=token), publisher, Shops(), **kind)


def ask(app: Starlette, method: str, path: str, **more: Any) -> httpx.Response:
    async def asking() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://collector.example.com") as client:
            return await client.request(method, path, **more)

    return asyncio.run(asking())


def post(
    publisher: RecordingPublisher, body: Any, headers: dict[str, str] | None = None, **kind: Any
) -> httpx.Response:
    return ask(app_for(publisher, **kind), "POST", "/v1/events", content=body, headers=headers or JSON)


# -- devices ---------------------------------------------------------------------------------------------------
PHONE = {"User-Agent": "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Mobile/15E148"}
PAGE = JSON | PHONE | {"Origin": "https://shop.example.com"}


def kinds(publisher: RecordingPublisher) -> list[Any]:
    return [json.loads(value).get("device_kind") for _, _, value in publisher.records]


def test_a_cart_event_of_a_page_gets_the_kind_of_its_device_unless_it_says_one(publisher: RecordingPublisher) -> None:
    sent = [event(), event(device_kind="app"), event() | {"device_kind": None}]
    assert post(publisher, json.dumps(sent), PAGE).json() == {"accepted": 3}
    assert kinds(publisher) == ["mobile", "app", None]


def test_nothing_is_added_to_what_a_server_sends_nor_to_other_events(publisher: RecordingPublisher) -> None:
    sent = raw()
    post(publisher, sent, JSON | PHONE)
    post(publisher, raw(type="device.identified", device_id="d1", email="a@example.com"), PAGE)
    assert publisher.records[0][2] == sent
    assert kinds(publisher) == [None, None]


def test_an_event_that_just_fits_is_not_made_too_large(publisher: RecordingPublisher) -> None:
    size = MAX_BYTES - len(raw(filler="")) - 1
    assert post(publisher, raw(filler="x" * size), PAGE).status_code == 202
    assert kinds(publisher) == [None]


# -- accepted ------------------------------------------------------------------------------------------------
def test_one_event_is_accepted_and_its_own_bytes_are_in_kafka(publisher: RecordingPublisher) -> None:
    sent = b'  { "unknown" : 1.10, ' + raw()[1:] + b"\n"
    answer = post(publisher, sent)
    assert (answer.status_code, answer.json()) == (202, {"accepted": 1})
    assert publisher.records == [("cart-events", "c-81", sent.strip())]


def test_an_array_goes_to_the_topics_of_its_types(publisher: RecordingPublisher) -> None:
    device = raw(type="device.identified", device_id="d-9", customer_id="7")
    answer = post(publisher, b"[" + raw() + b" , " + device + b"]")
    assert (answer.status_code, answer.json()) == (202, {"accepted": 2})
    assert publisher.records == [("cart-events", "c-81", raw()), ("device-events", "d-9", device)]


def test_an_empty_array_is_nothing_to_refuse(publisher: RecordingPublisher) -> None:
    assert post(publisher, b"[]").json() == {"accepted": 0}


def test_the_others_are_accepted_beside_a_bad_one_which_is_named(publisher: RecordingPublisher) -> None:
    bad = raw(event_id="e-2", type="cart.lost")
    answer = post(publisher, b"[" + b",".join([raw(), bad, b"7", raw(event_id="e-3")]) + b"]")
    assert answer.status_code == 202
    said = answer.json()
    assert said["accepted"] == len(publisher.records) == 2
    assert [(x["index"], x["event_id"]) for x in said["rejected"]] == [(1, "e-2"), (2, None)]
    assert "cart.lost" in said["rejected"][0]["error"]


def test_a_beacon_is_text_plain(publisher: RecordingPublisher) -> None:
    assert post(publisher, raw(), {"Content-Type": "text/plain;charset=UTF-8"}).status_code == 202


def test_a_gzip_body_is_unpacked(publisher: RecordingPublisher) -> None:
    assert post(publisher, gzip.compress(raw()), GZIP).status_code == 202
    assert publisher.values == [raw()]


def test_as_many_events_as_allowed_are_accepted(publisher: RecordingPublisher) -> None:
    answer = post(publisher, b"[" + b",".join([raw()] * MAX_EVENTS) + b"]")
    assert answer.json() == {"accepted": MAX_EVENTS}


# -- refused -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (raw(event_id=None), 422, "event_id is missing"),
        (raw(note="x" * 300_000), 413, "262144"),
        (raw()[:-1], 422, "truncated"),
        (b"[" + raw(), 400, "truncated"),
        (b"", 400, "empty"),
        (b"7", 400, "a JSON object or an array"),
        (b"\xef\xbb\xbf" + raw(), 400, "byte order mark"),
        (raw().decode().encode("utf-16"), 400, "UTF-16"),
        (raw()[:-1] + b',"u":"\xff"}', 422, "not UTF-8"),
        (raw()[:-1] + b',"u":"\\ud800x"}', 422, "surrogate"),
        (raw()[:-1] + b',"u":NaN}', 422, "NaN is no JSON number"),
        (b"[" + raw()[:-1] + b',"u":NaN}]', 400, "NaN is no JSON number"),
        (raw(occurred_at=2**63), 422, "1970"),
        (raw(note="\0"), 422, "NUL"),
        (raw()[:-1] + b',"u":"\0"}', 422, "NUL"),
        (b"[" * 100_000, 400, "nested"),
        (raw()[:-1] + b',"u":' + b"[" * 10_000, 422, "nested"),
        (b"[" + b",".join([raw()] * (MAX_EVENTS + 1)) + b"]", 413, "more than 1000"),
        (b"[" + b"1," * (MAX_BODY // 2 - 2) + b"1]", 413, "more than 1000"),
        (b" " * (MAX_BODY + 1), 413, str(MAX_BODY)),
    ],
)
def test_bad_bodies_get_a_clear_answer_and_nothing_is_in_kafka(
    publisher: RecordingPublisher, body: bytes, status: int, words: str
) -> None:
    answer = post(publisher, body)
    said = answer.json()
    assert answer.status_code == status
    assert words in (said.get("error") or said["rejected"][0]["error"])
    assert said["accepted"] == 0
    assert publisher.records == []


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "application/xml"},
        {"Content-Type": ""},
        {"Content-Type": "application/json; charset=utf-16"},
        JSON | {"Content-Encoding": "br"},
    ],
)
def test_other_media_types_are_415(publisher: RecordingPublisher, headers: dict[str, str]) -> None:
    assert post(publisher, raw(), headers).status_code == 415


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (gzip.compress(b" " * 200 * MAX_BODY, 9), 413),  # a bomb: 1 GB in 1 MB
        (gzip.compress(gzip.compress(b" " * 50 * MAX_BODY)), 400),  # what it unpacks to is no JSON
        (raw(), 400),
        (gzip.compress(raw())[:-9], 400),
        (gzip.compress(raw()) + b"more", 400),
        (gzip.compress(raw()) + gzip.compress(raw()), 400),
        (b"", 400),
    ],
)
def test_gzip_is_bounded_by_what_it_unpacks_to_and_must_be_whole(
    publisher: RecordingPublisher, body: bytes, status: int
) -> None:
    assert post(publisher, body, GZIP).status_code == status
    assert publisher.records == []


def test_a_body_without_a_length_is_cut_off_at_the_limit(publisher: RecordingPublisher) -> None:
    read = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal read
        while True:
            read += 65_536
            yield b" " * 65_536

    async def asking() -> int:
        chunks = endless()
        messages: list[Any] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": await anext(chunks), "more_body": True}

        async def send(message: Any) -> None:
            messages.append(message)

        headers = [(b"content-type", b"application/json")]
        scope = {"type": "http", "method": "POST", "path": "/v1/events", "headers": headers, "query_string": b""}
        await app_for(publisher)(scope, receive, send)
        return int(messages[0]["status"])

    assert asyncio.run(asking()) == 413
    assert read <= MAX_BODY + 2 * 65_536


@given(body=st.binary(max_size=200) | st.binary(max_size=30).map(lambda x: b"[" + raw()[:-1] + b"," + x + b"}]"))
def test_no_bytes_are_answered_with_a_server_error(body: bytes) -> None:
    for headers in (JSON, GZIP):
        assert post(RecordingPublisher(), body, headers).status_code in (202, 400, 413, 422)


@given(st.recursive(st.none() | st.floats() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)))
def test_no_values_in_the_place_of_ours_are_answered_with_a_server_error(value: Any) -> None:
    for name in (*event(), "email", "consent", "currency", "total", "shop_id", "subscriber_id"):
        body = json.dumps(event() | {name: value}).encode()
        assert post(RecordingPublisher(), body).status_code in (202, 413, 422)


# -- who may -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("given_", [None, "", "Bearer", "Bearer wrong", "Basic right", "Bearer right2", "Bearer \xff"])
def test_without_the_token_nothing_is_taken(publisher: RecordingPublisher, given_: str | None) -> None:
    headers: Any = JSON if given_ is None else JSON | {"Authorization": given_.encode("latin-1")}
    answer = post(publisher, raw(), headers, token="right")
    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert publisher.records == []


def test_with_the_token_events_are_taken(publisher: RecordingPublisher) -> None:
    headers = JSON | {"Authorization": "Bearer right"}
    assert post(publisher, raw(), headers, token="right").status_code == 202


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "collector.example.com", ""])
def test_an_address_others_reach_needs_a_token(publisher: RecordingPublisher, host: str) -> None:
    with pytest.raises(ConfigurationError, match="CARTWAKE_INGEST_TOKEN="):
        create_app(Settings(host=host), publisher, Shops())
    with pytest.raises(ConfigurationError):
        server(app_for(publisher), Settings(host=host))
    check_address(Settings(host=host, ingest_token="t"))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_this_machine_alone_needs_none(host: str) -> None:
    check_address(Settings(host=host))


def test_a_page_of_any_shop_may_send_but_never_with_credentials(publisher: RecordingPublisher) -> None:
    allowed = ask(app_for(publisher, token="right"), "OPTIONS", "/v1/events", headers={"Origin": "https://s.example"})
    assert allowed.status_code == 204
    assert "POST" in allowed.headers["Access-Control-Allow-Methods"]
    for answer in (allowed, post(publisher, raw()), post(publisher, b"")):
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert "Access-Control-Allow-Credentials" not in answer.headers


# -- Kafka away ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("fault", ["away", "failing", "refusing"])
def test_nothing_is_claimed_accepted_that_kafka_did_not_take(publisher: RecordingPublisher, fault: str) -> None:
    setattr(publisher, fault, True)
    answer = post(publisher, b"[" + raw() + b"," + raw(event_id="e-2") + b",7]")
    assert (answer.status_code, answer.json()["accepted"]) == (503, 0)
    assert int(answer.headers["Retry-After"]) > 0


def test_a_collector_takes_events_again_when_kafka_is_back(publisher: RecordingPublisher) -> None:
    app = app_for(publisher)
    publisher.away = True
    assert ask(app, "POST", "/v1/events", content=raw(), headers=JSON).status_code == 503
    publisher.away = False
    publisher.poll()
    assert ask(app, "POST", "/v1/events", content=raw(), headers=JSON).status_code == 202


# -- beside it -----------------------------------------------------------------------------------------------
def test_health_says_the_process_lives_and_readiness_that_kafka_answers(publisher: RecordingPublisher) -> None:
    def away() -> None:
        raise KafkaUnavailable("no")

    assert ask(app_for(publisher, ready=away), "GET", "/healthz").status_code == 200
    assert ask(app_for(publisher, ready=away), "GET", "/readyz").status_code == 503
    assert ask(app_for(publisher), "GET", "/readyz").status_code == 200


def test_figures_count_what_was_accepted_and_rejected_by_reason(publisher: RecordingPublisher) -> None:
    app = app_for(publisher)
    body = b"[" + raw() + b"," + raw(type="x") + b"," + raw(event_id=None) + b"]"
    ask(app, "POST", "/v1/events", content=body, headers=JSON)
    ask(app, "POST", "/v1/events", content=b"", headers=JSON)
    text = ask(app, "GET", "/metrics").text
    for line in (
        'cartwake_ingest_events_accepted_total{topic="cart-events"} 1.0',
        'cartwake_ingest_events_rejected_total{reason="type"} 1.0',
        'cartwake_ingest_events_rejected_total{reason="field"} 1.0',
        'cartwake_ingest_requests_refused_total{reason="json"} 1.0',
        'cartwake_ingest_requests_total{status="202"} 1.0',
        f"cartwake_ingest_bytes_total {float(len(raw()))}",
        "cartwake_ingest_waiting 0.0",
    ):
        assert line in text


def test_extra_routes_answer_beside_it_with_the_headers_they_did_not_set(publisher: RecordingPublisher) -> None:
    async def tag(request: Request) -> Response:
        assert isinstance(request.app.state.shops, Shops)
        return PlainTextResponse("js", headers={"Cache-Control": "max-age=60"})

    answer = ask(app_for(publisher, extra_routes=[Route("/t.js", tag)]), "GET", "/t.js")
    assert answer.headers["Cache-Control"] == "max-age=60"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
