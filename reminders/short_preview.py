"""A text message or a push as it would look: its length, what it can't do without, and what would go wrong with it.

Links have the length of real ones, because a text message is paid for by its length, and still lead to nobody.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal

from msgspec.structs import replace

from cartwake.model import PushTarget
from cartwake.settings import Settings
from cartwake.shops import Shop
from cartwake.short_templates import THANKS
from reminders.letter import Letter
from reminders.links import Links, Recovery
from reminders.person import Gift, Key
from reminders.preview import NoLinks, needed, sample_letter
from reminders.push.message import MOST_BYTES, MOST_TITLE, MOST_WORDS, Push, PushRenderer
from reminders.reader import Unfit
from reminders.sms.alphabet import outside
from reminders.sms.render import Sms, SmsRenderer

MARK: Final = "[Test] "
#: A mobile number and a browser of nobody.
NUMBER: Final = "+40721234567"
BROWSER: Final = PushTarget("https://push.example.com/nobody", "A" * 87, "A" * 22)
_ANY: Final = 1_000  # segments


@dataclass(frozen=True, slots=True)
class Preview:
    """`text` is what one reads, `message` what a test sends; it is None where nothing would be sent."""

    text: str
    message: Sms | Push | None
    notes: tuple[str, ...]
    warnings: tuple[str, ...]


class LifelikeLinks(NoLinks):
    """Links that lead to nobody, as long as those that lead to somebody."""

    def __init__(self, base: str) -> None:
        super().__init__(base)
        self._real = Links(base, "made for its length alone")

    def unsubscribe_url(self, key: Key) -> str:
        """An address whose page says that the link is not known."""
        return _as_long(super().unsubscribe_url(key), self._real.unsubscribe_url(key))

    def recovery_url(self, recovery: Recovery, home: str | None = None) -> str:
        """The cart."""
        url = super().recovery_url(recovery, home)
        return _as_long(url if "#" in url else url + "#", self._real.recovery_url(recovery, home))


def letter_of(
    channel: Literal["sms", "push"], template: str, locale: str | None, shop: Shop, *, now: int, step: int = 1
) -> Letter:
    """A letter with everything in it that a short one can have."""
    to = {"sms": NUMBER, "push": BROWSER.endpoint}[channel]
    letter = sample_letter(template, locale, shop, to=to, now=now, step=step, channel=channel)
    gift = letter.gift and replace(letter.gift, text="10 %")
    return replace(letter, gift=gift, push=BROWSER if channel == "push" else None)


def sms_preview(settings: Settings, letter: Letter, shop: Shop) -> Preview:
    """The text message of a letter with sample values; raises Unfit."""
    most = settings.sms_segments
    whole, fitted = (_texts(settings, segments) for segments in (_ANY, most))
    letter, notes = _shown(whole, letter, shop)
    long = sms = whole(letter, shop)
    warnings = []
    try:
        sms = fitted(letter, shop)
    except Unfit as exc:
        if exc.reason != "too_long":
            raise
        warnings.append(str(exc))
    size = sms.size
    said = [f"{size.encoding.upper()}, {size.units} characters, {size.segments} of {most} segments"]
    if sms.text != long.text:
        said.append(f"shortened: with all of its values it has {long.size.segments} segments")
    if strange := outside(sms.text):
        said.append(f"not in the GSM alphabet: {strange[:40]} (a segment has 70 characters in place of 160)")
    notes = [*said, *notes, _held(needed(whole, letter, shop))]
    marked = None if warnings else dataclasses.replace(sms, text=MARK + sms.text)
    return Preview(sms.text, marked, tuple(notes), tuple(warnings))


def push_preview(settings: Settings, letter: Letter, shop: Shop) -> Preview:
    """The push message of a letter with sample values; raises Unfit."""
    links = LifelikeLinks(settings.collector_url)
    plain, marked = PushRenderer(links=links), PushRenderer(links=links, mark=MARK)
    letter, notes = _shown(plain.words, letter, shop)
    push = _pushed(plain, letter, shop)
    parts = zip(("title", "body"), plain.words(letter, shop), (MOST_TITLE, MOST_WORDS), strict=True)
    lengths = [(part, len(text), most) for part, text, most in parts]
    said = [f"{part}: {length} of {most} characters" for part, length, most in lengths]
    said.append(f"{len(push.payload):,} of {MOST_BYTES:,} bytes, with the links")
    notes = [*said, *notes, _held(needed(plain.words, letter, shop))]
    warnings = [
        f"the {part} is cut at {most} of its {length} characters" for part, length, most in lengths if length > most
    ]
    return Preview(f"{push.title}\n{push.body}", _pushed(marked, letter, shop), tuple(notes), tuple(warnings))


def warnings_of(settings: Settings, shop: Shop, name: str, *, now: int) -> tuple[str, ...]:
    """What sample values say against the template that the shop has in setting `name`."""
    prefix, _, key = name.partition(":")
    template, _, locale = key.partition(".")
    try:
        if prefix == "sms-template":
            return sms_preview(settings, letter_of("sms", template, locale or None, shop, now=now), shop).warnings
        if prefix == "push-template":
            return push_preview(settings, letter_of("push", template, locale or None, shop, now=now), shop).warnings
    except Unfit as exc:
        return (f"a message of sample values would be held: {exc}",)
    return ()


def _texts(settings: Settings, segments: int) -> SmsRenderer:
    return SmsRenderer(
        links=LifelikeLinks(settings.collector_url),
        sender=settings.sms_sender,
        segments=segments,
        transliterate=settings.sms_transliterate,
    )


def _pushed(render: PushRenderer, letter: Letter, shop: Shop) -> Push:
    return (render.replacement if letter.template == THANKS else render)(letter, shop)


def _shown(make: Callable[[Letter, Shop], Any], letter: Letter, shop: Shop) -> tuple[Letter, list[str]]:
    """The letter, without its offer where the template has no place for one, and what there is to say about that."""
    offered = replace(letter, gift=letter.gift or Gift(code="SAMPLE", until=letter.expires_at, text="10 %"))
    try:
        make(offered, shop)
    except Unfit as exc:
        if exc.reason != "missing_value":
            raise
        return replace(letter, gift=None), [f"held where the step has an offer: {exc}"]
    return letter, []


def _held(names: list[str]) -> str:
    return f"held where one of these is not known: {', '.join(names)}" if names else "made whatever is not known"


def _as_long(url: str, real: str) -> str:
    """The address, filled up to the length of a real one."""
    return url + ("-test" * len(real))[: max(len(real) - len(url), 0)]
