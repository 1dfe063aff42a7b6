"""Links of a preview are as long as real ones, and lead to nobody."""

import pytest

from cartwake.errors import InvalidEvent
from cartwake.shops import Shop, ShopProfile
from reminders.links import Links
from reminders.reader import recovery_of
from reminders.short_preview import LifelikeLinks, letter_of
from tests.reminders.world import LINKS, T0


@pytest.mark.parametrize("home", ["https://shop.example.com", "https://shop.example.com/de/#start"])
@pytest.mark.parametrize("shop_id", ["main", "berlin"])
def test_links_of_a_preview_are_as_long_as_real_ones_and_lead_to_nobody(home: str, shop_id: str) -> None:
    made, real = LifelikeLinks(LINKS.base), Links(LINKS.base, "another secret of the tests")
    shop = Shop(shop_id, ShopProfile(url=home))
    letter = letter_of("sms", "cart", None, shop, now=T0)
    recovery = recovery_of(letter, shop)
    assert made.recovery_url(recovery, home).startswith(recovery.cart_url)
    assert len(made.recovery_url(recovery, home)) == len(real.recovery_url(recovery, home))
    unsubscribe = made.unsubscribe_url(letter.key)
    assert len(unsubscribe) == len(real.unsubscribe_url(letter.key))
    with pytest.raises(InvalidEvent):
        real.read_unsubscribe(unsubscribe.rpartition("/")[2])
