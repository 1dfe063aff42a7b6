"""A picture made of few kinds of things, as SVG or PNG.

The SVG needs nothing else and follows the reader's choice of light or dark. The PNG is drawn by Pillow with a font of
the system that has the letters of Europe, where there is one; Pillow's own has those of the West alone.
"""

import io
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Literal
from unicodedata import combining, east_asian_width, normalize
from xml.sax.saxutils import escape

from sinks.cells import for_xml

Tone = Literal["paper", "ink", "quiet", "rule", "figure"]
Theme = Literal["light", "dark"]

#: Contrast of ink and quiet with paper is at least 4.5, of figure at least 3 (WCAG 2.2, 1.4.3 and 1.4.11).
TONES: Final[dict[Theme, dict[Tone, str]]] = {
    "light": {"paper": "#ffffff", "ink": "#1f2933", "quiet": "#5f6b7a", "rule": "#dde2e8", "figure": "#0b7285"},
    "dark": {"paper": "#14181d", "ink": "#e6e9ed", "quiet": "#9aa5b1", "rule": "#303842", "figure": "#3bb3c9"},
}
_FONT: Final = "system-ui, 'Segoe UI', 'Helvetica Neue', Arial, sans-serif"
_FONTS: Final = ("NotoSans-Regular.ttf", "DejaVuSans.ttf", "LiberationSans-Regular.ttf", "Arial.ttf")
_ANCHORS: Final = {"start": "ls", "middle": "ms", "end": "rs"}
_SCALE: Final = 2  # pixels of a PNG for each of the picture
_FINER: Final = 2  # it is drawn so much larger first: Pillow's lines have steps


@dataclass(frozen=True, slots=True)
class Box:
    """A filled rectangle."""

    x: float
    y: float
    width: float
    height: float
    tone: Tone = "figure"


@dataclass(frozen=True, slots=True)
class Path:
    """A line through points; one point is a dot."""

    points: tuple[tuple[float, float], ...]
    tone: Tone = "figure"
    width: float = 2


@dataclass(frozen=True, slots=True)
class Words:
    """Text on a baseline."""

    x: float
    y: float
    text: str
    tone: Tone = "ink"
    size: float = 12
    anchor: Literal["start", "middle", "end"] = "start"


@dataclass(frozen=True, slots=True)
class Picture:
    """What is drawn, in this order; `title` is read out to those who can't see it."""

    width: float
    height: float
    title: str
    things: tuple[Box | Path | Words, ...]


def width_of(text: str, size: float) -> float:
    """About how wide a text is; wide characters of East Asia count double."""
    return sum(1.05 if east_asian_width(x) in "WF" else 0.56 for x in text) * size


def fitting(text: str, size: float, width: float) -> str:
    """The text, shortened to about that width."""
    if width_of(text, size) <= width:
        return text
    while text and width_of(text + "…", size) > width:
        text = text[:-1]
    return text + "…"


def svg(picture: Picture) -> str:
    """The picture as a file of its own."""
    light, dark = (
        "".join(f".{'f' if kind == 'fill' else 's'}-{tone}{{{kind}:{color}}}" for tone, color in TONES[theme].items()
                for kind in ("fill", "stroke"))
        for theme in ("light", "dark")
    )  # fmt: skip
    size = f"{picture.width:g} {picture.height:g}"
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size}" width="{picture.width:g}" '
        f'height="{picture.height:g}" role="img" font-family="{_FONT}">',
        f"<title>{escape(for_xml(picture.title))}</title>",
        f"<style>{light}@media (prefers-color-scheme: dark){{{dark}}}</style>",
        f'<rect class="f-paper" width="{picture.width:g}" height="{picture.height:g}"/>',
        *(_element(x) for x in picture.things),
        "</svg>\n",
    ]
    return "\n".join(lines)


def _element(thing: Box | Path | Words) -> str:
    if isinstance(thing, Box):
        return (
            f'<rect class="f-{thing.tone}" x="{thing.x:.1f}" y="{thing.y:.1f}" width="{thing.width:.1f}" '
            f'height="{thing.height:.1f}"/>'
        )
    if isinstance(thing, Words):
        return (
            f'<text class="f-{thing.tone}" x="{thing.x:.1f}" y="{thing.y:.1f}" font-size="{thing.size:g}" '
            f'text-anchor="{thing.anchor}">{escape(for_xml(thing.text))}</text>'
        )
    if len(thing.points) == 1:
        [(x, y)] = thing.points
        return f'<circle class="f-{thing.tone}" cx="{x:.1f}" cy="{y:.1f}" r="{thing.width:g}"/>'
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in thing.points)
    return (
        f'<polyline class="s-{thing.tone}" points="{points}" fill="none" stroke-width="{thing.width:g}" '
        'stroke-linejoin="round" stroke-linecap="round"/>'
    )


def png(picture: Picture, theme: Theme = "light") -> bytes:
    """The picture in pixels, twice as many as its size so that it is sharp on fine screens."""
    from PIL import Image, ImageDraw  # noqa: PLC0415 - 20 MB that nothing else needs

    by = _SCALE * _FINER
    tones = TONES[theme]
    image = Image.new("RGB", (round(picture.width * by), round(picture.height * by)), tones["paper"])
    draw = ImageDraw.Draw(image)
    for thing in picture.things:
        color = tones[thing.tone]
        if isinstance(thing, Box):
            if thing.width > 0 and thing.height > 0:
                box = (thing.x, thing.y, thing.x + thing.width, thing.y + thing.height)
                draw.rectangle([round(x * by) for x in box], fill=color)
        elif isinstance(thing, Words):
            font, text = _font(thing.size * by), thing.text
            if font.getname()[0] == "Aileron":
                text = _western(text)
            draw.text((thing.x * by, thing.y * by), text, color, font, _ANCHORS[thing.anchor])
        elif len(thing.points) == 1:
            [(x, y)] = thing.points
            draw.circle((x * by, y * by), thing.width * by, fill=color)
        else:
            scaled = [(x * by, y * by) for x, y in thing.points]
            draw.line(scaled, fill=color, width=round(thing.width * by), joint="curve")
    out = io.BytesIO()
    image.reduce(_FINER).save(out, "PNG", optimize=True)
    return out.getvalue()


@lru_cache(maxsize=16)
def _font(size: float) -> Any:
    from PIL import ImageFont  # noqa: PLC0415 - as in `png`

    for name in _FONTS:
        with suppress(OSError):  # the system has no such font
            return ImageFont.truetype(name, size)
    return ImageFont.load_default(size)


def _western(text: str) -> str:
    """The text with plain letters where Pillow's own font has no others."""
    return "".join(x for x in normalize("NFKD", text.replace("→", ">").replace("–", "-")) if not combining(x))
