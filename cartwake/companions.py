"""`companions`: which products a shop's customers buy together, as one record of the `settings` topic.

Roles follow that topic anyway, so what `cartwake recommend` finds at night is in stage 3 at once, without ClickHouse.
One record replaces the last as a whole: nothing of a product that is gone stays behind. The price is a limit in bytes,
within which the products that sell most often come first.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Annotated, Final

from msgspec import Meta, Struct
from msgspec.structs import replace

from cartwake.model import Item, encode

NAME: Final = "companions"
MOST: Final = 4
MOST_BYTES: Final = 900 * 1024  # a broker takes records of 1 MiB
_MOST_NAME: Final = 200

Place = Annotated[int, Meta(ge=0)]


class Companions(Struct, frozen=True, forbid_unknown_fields=True):
    """`products` are those that are proposed; `of` has for a sku the places of its companions there, the best first."""

    products: tuple[Item, ...] = ()
    of: dict[str, Annotated[tuple[Place, ...], Meta(max_length=MOST)]] = {}


def gather(found: Iterable[tuple[str, Item]], *, most_bytes: int = MOST_BYTES) -> Companions:
    """The record of (sku, companion), a sku's together and the most important skus first, as far as there is room."""
    products: list[Item] = []
    places: dict[str, int] = {}
    of: dict[str, list[int]] = {}
    room = most_bytes - 200
    for sku, item in found:
        known = of.get(sku, [])
        cost = (0 if known else len(encode(sku)) + 4) + 8
        if item.sku not in places:
            item = replace(item, name=item.name[:_MOST_NAME] if item.name else None)  # noqa: PLW2901
            cost += len(encode(item)) + 1
        if cost > room:
            break
        if len(known) == MOST:
            continue
        room -= cost
        if item.sku not in places:
            places[item.sku] = len(products)
            products.append(item)
        of.setdefault(sku, known).append(places[item.sku])
    return Companions(tuple(products), {sku: tuple(known) for sku, known in of.items()})


def beside(companions: Companions, skus: Sequence[str], most: int = MOST) -> tuple[Item, ...]:
    """What to propose beside a cart: first what goes with most of its products, and best; nothing that is in it."""
    votes: dict[int, float] = defaultdict(float)
    for sku in dict.fromkeys(skus):
        for rank, place in enumerate(companions.of.get(sku, ())):
            votes[place] += 1 / (1 + rank)
    ordered = sorted(votes, key=lambda place: -votes[place])
    products = companions.products
    wanted = (products[place] for place in ordered if place < len(products))
    return tuple(item for item in wanted if item.sku not in skus)[:most]
