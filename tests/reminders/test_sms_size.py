"""What a text message costs: its alphabet and its segments."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reminders.sms.alphabet import BASIC, EXTENSION, Size, is_gsm, size, transliterated
from tests.reminders.texts import unhurried


def test_the_alphabet_has_127_characters_beside_the_escape_and_its_extension_ten() -> None:
    assert (len(BASIC), len(EXTENSION), BASIC & EXTENSION) == (127, 10, set())


@pytest.mark.parametrize(
    ("text", "encoding", "units", "segments"),
    [
        ("", "gsm-7", 0, 1),
        ("a" * 160, "gsm-7", 160, 1),
        ("a" * 161, "gsm-7", 161, 2),
        ("a" * 306, "gsm-7", 306, 2),
        ("a" * 307, "gsm-7", 307, 3),
        ("a" * 459, "gsm-7", 459, 3),
        ("€" * 80, "gsm-7", 160, 1),
        ("€" * 81, "gsm-7", 162, 2),
        ("äöüß@£\n", "gsm-7", 7, 1),
        ("я" * 70, "ucs-2", 70, 1),
        ("я" * 71, "ucs-2", 71, 2),
        ("я" * 134, "ucs-2", 134, 2),
        ("я" * 135, "ucs-2", 135, 3),
        ("ș" + "a" * 69, "ucs-2", 70, 1),
        ("🛒" * 35, "ucs-2", 70, 1),
        ("🛒" * 36, "ucs-2", 72, 2),
        ("ç", "ucs-2", 1, 1),  # Ç is in the alphabet, ç is not
    ],
)
def test_segments_are_counted_as_they_are_sent(text: str, encoding: str, units: int, segments: int) -> None:
    assert size(text) == Size(encoding, units, segments)  # type: ignore[arg-type]


def test_no_segment_ends_within_a_character() -> None:
    assert size("a" * 152 + "€" + "a" * 152).segments == 3  # 306 septets, but the € does not fit behind the 152
    assert size("a" * 151 + "€" + "a" * 153).segments == 2
    assert size("я" * 66 + "🛒" + "я" * 66).segments == 3
    assert size("я" * 65 + "🛒" + "я" * 67).segments == 2


@unhurried
@given(st.text(max_size=400))
def test_a_size_agrees_with_what_python_encodes(text: str) -> None:
    found = size(text)
    if found.encoding == "ucs-2":
        assert found.units == len(text.encode("utf-16-be", "surrogatepass")) // 2
        single, joined = 70, 67
    else:
        assert found.units == len(text) + sum(text.count(c) for c in EXTENSION)
        single, joined = 160, 153
    assert found.segments == 1 if found.units <= single else found.segments >= -(-found.units // joined)


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("Ați lăsat în coș", "Ati lasat in cos"),
        ("Zażółć gęślą jaźń, Łódź", "Zazolc gesla jazn, Lodz"),
        ("Grüße, à bientôt", "Grüße, à bientot"),  # what the alphabet has stays
        ("„so“ – 5\u00a0€…", '"so" - 5 €...'),
        ("s\u0326", "s"),
        ("Œuvre ×2", "OEuvre x2"),
    ],
)
def test_letters_lose_only_the_marks_that_the_alphabet_lacks(text: str, plain: str) -> None:
    assert transliterated(text) == plain
    assert is_gsm(plain)


@pytest.mark.parametrize("text", ["Здравейте, ș", "Coș 🛒", "カート ă"])
def test_a_text_that_stays_outside_the_alphabet_is_left_as_it_is(text: str) -> None:
    assert transliterated(text) == text


@unhurried
@given(st.text(max_size=100))
def test_transliterating_twice_changes_nothing_more(text: str) -> None:
    once = transliterated(text)
    assert transliterated(once) == once
    assert once == text or is_gsm(once)
