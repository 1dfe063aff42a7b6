"""What mails and pages say, by language: one file `templates/words/<language>.toml` each, apart from their design.

A new language is one file more. Every file has the sections and keys of `en.toml`; the tests hold them to it.
"""

import tomllib
from dataclasses import dataclass
from datetime import date, datetime, tzinfo
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from babel import Locale, UnknownLocaleError
from babel.dates import format_date, format_time
from babel.numbers import format_currency, format_decimal

WORDS: Final = Path(__file__).parent / "templates" / "words"
DEFAULT_LANGUAGE: Final = "en"

#: A word, or its plural forms.
Word = str | dict[str, str]


@lru_cache(maxsize=1)
def catalogues() -> dict[str, dict[str, dict[str, Word]]]:
    """Every language's words: catalogues()[language][section][key]."""
    return {file.stem: tomllib.loads(file.read_text(encoding="utf-8")) for file in sorted(WORDS.glob("*.toml"))}


@lru_cache(maxsize=256)
def locale_of(text: str) -> Locale | None:
    """The locale that is written like this, `de-AT` or `de_AT`, or None."""
    try:
        return Locale.parse(text.replace("-", "_"))
    except (ValueError, TypeError, UnknownLocaleError):
        return None


@lru_cache(maxsize=256)
def speech_of(text: str) -> "Speech | None":
    """How one speaks to somebody of this locale, or None for a locale that is none."""
    locale = locale_of(text)
    return None if locale is None else Speech(locale, catalogues().get(locale.language, catalogues()[DEFAULT_LANGUAGE]))


@dataclass(frozen=True, eq=False)
class Speech:
    """A locale's words, money, numbers and dates. Where there are no words of the language they are English."""

    locale: Locale
    words: dict[str, dict[str, Word]]

    @property
    def language(self) -> str:
        """Its language, as `lang` in HTML has it."""
        return str(self.locale.language)

    @property
    def direction(self) -> str:
        """`ltr` or `rtl`."""
        return str(self.locale.text_direction)

    def say(self, section: str, key: str, **values: str) -> str:
        """The word, filled in."""
        word = self.words[section][key]
        assert isinstance(word, str), "plural forms are for `count`"
        return word.format_map(values) if values else word

    def count(self, section: str, key: str, number: int) -> str:
        """The word in the plural form for `number`."""
        forms = self.words[section][key]
        assert isinstance(forms, dict), "one form only is for `say`"
        form = self.locale.plural_form(number)
        return forms.get(form, forms["other"]).format(n=self.number(number))

    @lru_cache(maxsize=4096)  # noqa: B019 - there are as many as locales
    def money(self, value: Decimal, currency: str) -> str:
        """An amount as the reader writes it."""
        return str(format_currency(value, currency, locale=self.locale))

    @lru_cache(maxsize=1024)  # noqa: B019
    def number(self, value: int) -> str:
        """A number as the reader writes it."""
        return str(format_decimal(value, locale=self.locale))

    @lru_cache(maxsize=1024)  # noqa: B019
    def date(self, day: date) -> str:
        """A day in words."""
        return str(format_date(day, "long", locale=self.locale))

    def moment(self, at: datetime, zone: tzinfo) -> str:
        """A day and time in words."""
        there = at.astimezone(zone)
        return f"{self.date(there.date())}, {format_time(there.timetz(), 'short', locale=self.locale)}"


def preferred(accepted: str) -> list[str]:
    """The languages of an `Accept-Language` header (RFC 9110, 12.5.4), most wanted first; at most ten."""
    found: list[tuple[float, int, str]] = []
    for place, entry in enumerate(accepted[:500].split(",")[:10]):
        name, _, weight = entry.partition(";")
        number: Any = weight.strip().removeprefix("q=") or "1"
        try:
            number = float(number)
        except ValueError:
            continue
        if name.strip() and 0 < number <= 1:
            found.append((-number, place, name.strip()))
    return [name for _, _, name in sorted(found)]
