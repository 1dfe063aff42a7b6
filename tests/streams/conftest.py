"""Topics of a test's own on the run's Kafka."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.streams.world import World


@pytest.fixture
def make_world(kafka_bootstrap: str, tmp_path: Path) -> Callable[..., World]:
    """Makes a World with so many partitions."""
    return lambda partitions=1: World(kafka_bootstrap, tmp_path, partitions)


@pytest.fixture
def world(make_world: Callable[..., World]) -> World:
    """A World with one partition."""
    return make_world()
