"""Pictures of the demo shop's goods, drawn from polygons: SVG for the page, PNG for mail programs.

Mail programs show no SVG (Gmail and Outlook drop it), so the same shapes are also filled pixel by pixel.
"""

import math
import struct
import zlib
from dataclasses import dataclass
from typing import Final

SIZE: Final = 240
_ROWS: Final = 4  # sample rows in a pixel; columns are exact

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Shape:
    """A filled polygon; `color` is `#rrggbb`."""

    points: tuple[Point, ...]
    color: str


def box(x: float, y: float, width: float, height: float, color: str, *, round_by: float = 0) -> Shape:
    """A rectangle with round corners."""
    if not round_by:
        return Shape(((x, y), (x + width, y), (x + width, y + height), (x, y + height)), color)
    corners = ((x + width, y, -90), (x + width, y + height, 0), (x, y + height, 90), (x, y, 180))
    points: list[Point] = []
    for cx, cy, start in corners:
        mx = cx - round_by if cx > x else cx + round_by
        my = cy - round_by if cy > y else cy + round_by
        points += _arc(mx, my, round_by, round_by, start=start, end=start + 90)
    return Shape(tuple(points), color)


def oval(cx: float, cy: float, rx: float, ry: float, color: str) -> Shape:
    """An ellipse."""
    return Shape(tuple(_arc(cx, cy, rx, ry, start=0, end=360)), color)


def ring(
    cx: float, cy: float, rx: float, ry: float, width: float, *, color: str, start: int = 0, end: int = 360
) -> Shape:
    """An arc of an ellipse, `width` thick, from `start` to `end` degrees (clockwise from the right)."""
    outer = _arc(cx, cy, rx, ry, start=start, end=end)
    inner = _arc(cx, cy, rx - width, ry - width, start=start, end=end)
    return Shape(tuple(outer + inner[::-1]), color)


def area(color: str, *points: Point) -> Shape:
    """A polygon."""
    return Shape(points, color)


def leaf(x: float, y: float, length: float, width: float, angle: float, *, color: str) -> Shape:
    """A leaf that starts at (x, y) and points to `angle` degrees."""
    a = math.radians(angle)
    points: list[Point] = []
    for side in (1, -1):
        for step in range(13)[::side]:
            t = step / 12
            off = side * width / 2 * math.sin(math.pi * t)
            points.append(
                (x + t * length * math.cos(a) - off * math.sin(a), y + t * length * math.sin(a) + off * math.cos(a))
            )
    return Shape(tuple(points), color)


def svg(shapes: tuple[Shape, ...], title: str) -> bytes:
    """The shapes as an SVG document; `title` must need no escaping."""
    drawn = "".join(
        f'<polygon fill="{shape.color}" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in shape.points)}"/>'
        for shape in shapes
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {SIZE} {SIZE}" role="img">'
        f"<title>{title}</title>{drawn}</svg>"
    ).encode()


def png(shapes: tuple[Shape, ...], scale: float = 1.0) -> bytes:
    """The shapes on white as a PNG file of `SIZE * scale` pixels a side (W3C PNG, third edition)."""
    side = round(SIZE * scale)
    rows = [bytearray(b"\xff" * 3 * side) for _ in range(side)]
    for shape in shapes:
        _fill(rows, [(x * scale, y * scale) for x, y in shape.points], bytes.fromhex(shape.color[1:]))
    raw = b"".join(b"\0" + row for row in rows)
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(raw, 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


def _arc(cx: float, cy: float, rx: float, ry: float, *, start: float, end: float) -> list[Point]:
    steps = max(6, round(abs(end - start) / 6))
    turns = [math.radians(start + (end - start) * i / steps) for i in range(steps + 1)]
    return [(cx + rx * math.cos(t), cy + ry * math.sin(t)) for t in turns]


def _fill(rows: list[bytearray], points: list[Point], color: bytes) -> None:
    edges = list(zip(points, points[1:] + points[:1], strict=True))
    side = len(rows)
    first = max(0, math.floor(min(y for _, y in points)))
    last = min(side - 1, math.floor(max(y for _, y in points)))
    for number in range(first, last + 1):
        covered = [0.0] * side
        for sample in range(_ROWS):
            y = number + (sample + 0.5) / _ROWS
            crossings = sorted(
                x1 + (y - y1) * (x2 - x1) / (y2 - y1) for (x1, y1), (x2, y2) in edges if (y1 <= y) != (y2 <= y)
            )
            for left, right in zip(crossings[::2], crossings[1::2], strict=True):
                _cover(covered, max(0.0, left), min(float(side), right))
        _blend(rows[number], covered, color)


def _cover(covered: list[float], left: float, right: float) -> None:
    for x in range(math.floor(left), math.ceil(right)):
        covered[x] += (min(right, x + 1) - max(left, x)) / _ROWS


def _blend(row: bytearray, covered: list[float], color: bytes) -> None:
    for x, part in enumerate(covered):
        if part > 0:
            for channel in range(3):
                old = row[3 * x + channel]
                row[3 * x + channel] = round(old + (color[channel] - old) * min(part, 1.0))
