"""Own words for a reminder from the page of one cart: optional, counted, plain text, and not lost with a refusal."""

import uuid

import httpx
import pytest

from cartwake.errors import KafkaUnavailable, Rejected
from cartwake.model import decode_subscriber_event
from console.asking import MOST_LINES, MOST_TEXT, own_words
from reminders import clean
from tests.console.browser import BASE, Browser, Node, parsed, words
from tests.console.conftest import Open
from tests.console.memory import MemoryCarts, Written, row

FIRST = f"/carts/{1:032x}"


def say(browser: Browser, text: str) -> httpx.Response:
    """Type into the field and press the button, as a browser would."""
    [token] = browser.page(FIRST).all("input[name=token]")
    return browser.post(
        f"{FIRST}/remind",
        data={"token": token.get("value"), "text": text},
        headers={"origin": BASE, "sec-fetch-site": "same-origin"},
    )


def typed(page: Node) -> str:
    """What stands in the field, as a browser shows it."""
    [field] = page.all("textarea[name=text]")
    return field.raw.removeprefix("\n")


def asked(written: Written) -> str | None:
    [(_, _, value)] = written.records
    return decode_subscriber_event(value).message


def test_own_words_go_with_the_request(opened: Open, written: Written) -> None:
    answer = say(opened(MemoryCarts([row(1)])), "Your size is back.\r\nShall we keep it?")

    assert answer.status_code == 303
    assert asked(written) == "Your size is back.\nShall we keep it?"


@pytest.mark.parametrize("text", ["", "  \r\n "])
def test_without_own_words_the_template_speaks(opened: Open, written: Written, text: str) -> None:
    say(opened(MemoryCarts([row(1)])), text)

    assert asked(written) is None


@pytest.mark.parametrize("letter", ["x", "ж", "😀"])
def test_the_longest_own_words_of_any_script_fit(opened: Open, written: Written, letter: str) -> None:
    say(opened(MemoryCarts([row(1)])), letter * MOST_TEXT)

    assert asked(written) == letter * MOST_TEXT


def test_one_character_more_is_refused_counted_and_kept(opened: Open, written: Written) -> None:
    answer = say(opened(MemoryCarts([row(1)])), "ж" * (MOST_TEXT + 1))

    page = parsed(answer)
    assert (answer.status_code, written.records) == (422, [])
    assert "2,001 characters are too many; at most 2,000 fit." in words(page.all(".notice")[0])
    assert "2,001 characters" in words(page.all("#text-problem")[0])
    assert page.all("textarea")[0].get("aria-invalid") == "true"
    assert typed(page) == "ж" * (MOST_TEXT + 1)
    assert page.all("input[name=token]")[0].get("value")


def test_more_lines_than_a_mail_shows_are_refused() -> None:
    assert MOST_LINES == clean.MOST_LINES
    assert own_words("\r\n".join("x" * MOST_LINES)) == "\n".join("x" * MOST_LINES)
    with pytest.raises(Rejected, match="61 lines"):
        own_words("\n".join("x" * (MOST_LINES + 1)))


def test_a_line_end_counts_once() -> None:
    assert own_words("x" * 1_990 + "\r\n" * 5 + "y" * 5) == "x" * 1_990 + "\n" * 5 + "y" * 5


def test_what_is_typed_stays_text(opened: Open) -> None:
    hostile = "</textarea><script>alert(1)</script>{{ 7*7 }}\n" + "x" * MOST_TEXT
    page = parsed(say(opened(MemoryCarts([row(1)])), hostile))

    assert [x.get("src") for x in page.all("script")] == ["/static/console.js"]
    assert typed(page).startswith("</textarea><script>alert(1)</script>{{ 7*7 }}")


def test_a_line_end_at_the_beginning_is_kept(opened: Open) -> None:
    assert typed(parsed(say(opened(MemoryCarts([row(1)])), "\n" + "x" * 2_001))).startswith("\nx")


def test_when_the_cart_was_bought_meanwhile_the_words_are_kept(opened: Open, written: Written) -> None:
    carts = MemoryCarts([row(1)])
    browser = opened(carts)
    [token] = browser.page(FIRST).all("input[name=token]")
    carts.rows[0] = row(1, state="recovered")

    answer = browser.post(
        f"{FIRST}/remind", data={"token": token.get("value"), "text": "Kept."}, headers={"origin": BASE}
    )

    assert (answer.status_code, written.records) == (409, [])
    assert "has been bought already" in words(parsed(answer).all(".notice")[0])
    assert typed(parsed(answer)) == "Kept."


def test_without_kafka_the_words_are_kept(opened: Open, written: Written) -> None:
    written.broken = KafkaUnavailable("no answer")

    answer = say(opened(MemoryCarts([row(1)])), "Kept.")

    assert answer.status_code == 503
    assert "Kafka does not answer" in words(parsed(answer).all(".notice")[0])
    assert typed(parsed(answer)) == "Kept."


@pytest.mark.parametrize(
    ("outcome", "kept"),
    [
        (("suppressed", "One by email per person and day."), "Your size is back."),
        (("failed", "550 no such user"), "Your size is back."),
        (("sent", "250 ok"), ""),
        (("uncertain", "reset"), ""),
        (("planned", ""), ""),
    ],
)
def test_after_a_refusal_the_words_stand_in_the_field_again(opened: Open, outcome: tuple[str, str], kept: str) -> None:
    request = str(uuid.uuid4())
    carts = MemoryCarts([row(1)])
    carts.outcomes[request] = outcome
    carts.said["main", "p-ana", request] = "Your size is back."

    assert typed(opened(carts, patience=0.05).page(f"{FIRST}?request={request}")) == kept


def test_where_no_mail_can_go_there_is_no_field(opened: Open) -> None:
    assert not opened(MemoryCarts([row(1, state="recovered")])).page(FIRST).all("textarea")
