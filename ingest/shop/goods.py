"""What the demo shop sells: eight things for a quiet kitchen, with their pictures."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Final

from ingest.shop.drawing import Shape, area, box, leaf, oval, png, ring, svg


@dataclass(frozen=True, slots=True)
class Product:
    """A thing on sale; the picture's first shape is its background."""

    sku: str
    name: str
    about: str
    category: str
    price: Decimal
    shapes: tuple[Shape, ...]


CURRENCY: Final = "EUR"


def _ground(color: str) -> Shape:
    return box(0, 0, 240, 240, color)


_MUG = (
    _ground("#f6e9d8"), oval(120, 190, 66, 9, "#e6d3ba"), ring(158, 126, 32, 34, 13, color="#c8553d"),
    box(72, 78, 90, 112, "#d9674d", round_by=14), box(72, 78, 20, 112, "#e27f66", round_by=10),
    box(72, 118, 90, 10, "#f3c9a9"), oval(117, 80, 45, 9, "#8f3524"), oval(117, 82, 38, 6, "#5b3a29"),
)  # fmt: skip
_TEAPOT = (
    _ground("#dfe9e4"), oval(120, 190, 76, 9, "#c8d8d0"),
    ring(184, 132, 36, 34, 12, color="#2f6f62", start=-110, end=110),
    area("#2f6f62", (70, 118), (30, 96), (40, 86), (58, 92), (84, 158)), oval(120, 138, 66, 52, "#3a8475"),
    oval(98, 122, 20, 14, "#549c8d"), oval(120, 92, 40, 11, "#2f6f62"), oval(120, 88, 36, 8, "#4a9687"),
    oval(120, 76, 9, 9, "#e9b44c"),
)  # fmt: skip
_PLANT = (
    _ground("#e8eddc"), oval(120, 204, 56, 8, "#d3dcc0"), leaf(120, 142, 96, 38, -140, color="#5d8f4e"),
    leaf(120, 142, 96, 38, -40, color="#5d8f4e"), leaf(120, 144, 104, 36, -112, color="#74a860"),
    leaf(120, 144, 104, 36, -68, color="#74a860"), leaf(120, 146, 112, 30, -90, color="#8cbd74"),
    area("#c77b4f", (82, 142), (158, 142), (148, 204), (92, 204)), box(76, 134, 88, 18, "#d98e61", round_by=5),
)  # fmt: skip
_CANDLE = (
    _ground("#efe3ee"), oval(120, 198, 58, 9, "#dcc9da"), leaf(120, 96, 52, 26, -90, color="#f4b942"),
    leaf(120, 94, 32, 14, -90, color="#fde9a9"), box(118, 84, 4, 22, "#4a3b47"),
    box(76, 104, 88, 94, "#f9f4ec", round_by=10), box(76, 104, 22, 94, "#fffdf8", round_by=10),
    oval(120, 106, 44, 8, "#ead9c5"), box(88, 138, 64, 36, "#9a6b94", round_by=4), box(98, 152, 44, 4, "#efe3ee"),
)  # fmt: skip
_NOTEBOOK = (
    _ground("#dde6f0"), box(70, 52, 112, 148, "#c3d0e0", round_by=8), box(62, 46, 112, 148, "#f8f6f0", round_by=8),
    box(58, 42, 112, 148, "#33527a", round_by=8), box(58, 42, 20, 148, "#27405f", round_by=8),
    box(96, 74, 56, 34, "#f1e5cf", round_by=3), box(104, 84, 40, 4, "#33527a"), box(104, 94, 26, 4, "#33527a"),
    box(150, 42, 7, 148, "#e0a13c"),
)  # fmt: skip
_TOTE = (
    _ground("#f3e6e0"), oval(120, 206, 70, 8, "#e2cfc6"),
    ring(120, 92, 36, 52, 8, color="#a89473", start=180, end=360),
    area("#e7d8bd", (58, 90), (182, 90), (192, 204), (48, 204)),
    area("#d8c6a5", (58, 90), (76, 90), (70, 204), (48, 204)), leaf(120, 176, 54, 24, -90, color="#5d8f4e"),
    leaf(120, 170, 40, 18, -150, color="#74a860"), leaf(120, 170, 40, 18, -30, color="#74a860"),
)  # fmt: skip
_LAMP = (
    _ground("#e3e1ee"), oval(120, 206, 54, 8, "#cfcce0"),
    area("#fff3c9", (84, 120), (156, 120), (206, 206), (34, 206)), box(116, 120, 8, 78, "#54506b"),
    oval(120, 200, 40, 9, "#54506b"), oval(120, 197, 40, 8, "#6c6788"),
    area("#f2c14e", (94, 46), (146, 46), (176, 122), (64, 122)),
    area("#f7d57f", (94, 46), (110, 46), (92, 122), (64, 122)),
)  # fmt: skip
_SCARF = (
    _ground("#dcebee"), ring(120, 84, 62, 40, 30, color="#2d6a80"), ring(120, 80, 58, 34, 8, color="#4389a0"),
    area("#2d6a80", (120, 98), (160, 106), (176, 200), (132, 200)),
    area("#4389a0", (84, 104), (126, 98), (118, 186), (76, 186)),
    area("#f0e2c8", (79, 156), (120, 156), (119, 168), (77, 168)),
    area("#f0e2c8", (133, 172), (171, 172), (173, 184), (133, 184)),
    *(box(78 + 9 * i, 186, 4, 16, "#4389a0") for i in range(5)),
    *(box(134 + 9 * i, 200, 4, 16, "#2d6a80") for i in range(5)),
)  # fmt: skip

PRODUCTS: Final = tuple(
    Product(sku, name, about, category, Decimal(price), shapes)
    for sku, name, about, category, price, shapes in (
        ("MUG-TERRA", "Terracotta mug", "Holds 350 ml and the morning.", "Kitchen", "16.90", _MUG),
        ("POT-FERN", "Fern green teapot", "Pours without a drip. We tried.", "Kitchen", "49.00", _TEAPOT),
        ("PLANT-HERB", "Window sill fern", "Forgives a missed watering.", "Plants", "22.50", _PLANT),
        ("CANDLE-FIG", "Fig & cedar candle", "Forty quiet evenings.", "Home", "19.00", _CANDLE),
        ("NOTE-BLUE", "Dotted notebook", "192 pages, lies flat.", "Paper", "14.50", _NOTEBOOK),
        ("TOTE-LINEN", "Linen market bag", "Carries more than it should.", "Bags", "27.00", _TOTE),
        ("LAMP-DUSK", "Dusk table lamp", "Warm light, no flicker.", "Home", "89.00", _LAMP),
        ("SCARF-SEA", "Lambswool scarf", "Woven by the sea, smells of nothing.", "Wear", "64.90", _SCARF),
    )
)
BY_SKU: Final[Mapping[str, Product]] = {product.sku: product for product in PRODUCTS}


@lru_cache(maxsize=64)
def picture(sku: str, kind: str) -> bytes:
    """The product's picture as `svg` or `png`; raises KeyError when there is no such product."""
    product = BY_SKU[sku]
    if kind == "png":
        return png(product.shapes)
    return svg(product.shapes, product.name.replace("&", "&amp;"))
