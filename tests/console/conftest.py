"""A console over a store in memory, and a browser in front of it."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from cartwake.clock import FakeClock, to_ms
from cartwake.settings import Settings
from console.app import create_app
from tests.console.browser import Browser
from tests.console.memory import NOON, MemoryCarts, Written

Open = Callable[..., Browser]


@pytest.fixture
def written() -> Written:
    """What the console has sent."""
    return Written()


@pytest.fixture
def opened(written: Written) -> Open:
    """Opens a console over the given carts."""

    def open_(carts: MemoryCarts, *, patience: float = 0.5, base: str = "http://127.0.0.1:8000") -> Browser:
        app = create_app(
            carts=carts,
            publisher=written,
            settings=Settings(collector_port=8001),
            hosts=["carts.shop.example"],
            clock=FakeClock(to_ms(NOON)),
            patience=timedelta(seconds=patience),
        )
        return Browser(app, base)

    return open_
