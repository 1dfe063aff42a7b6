"""The quick form of every fault, some of them beside each other: they mostly wait for time-outs."""

import gc
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from tests.faults.result import Ground, Result
from tests.faults.rows import QUICK
from tests.faults.table import held, line, run

pytestmark = [
    pytest.mark.stack,
    # kafka-python leaves the sockets that a killed broker has refused to the garbage collector
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]

SEED = 20261123
AT_ONCE = 5
CONTROLS = ("control", "control state")


@pytest.fixture(scope="module")
def results(
    request: pytest.FixtureRequest, kafka_bootstrap: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Future[Result]]]:
    """What will come of each fault that was asked for."""
    names = [item.callspec.params["name"] for item in request.session.items if item.path == request.path]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {
            name: pool.submit(run, name, Ground(kafka_bootstrap, tmp_path_factory.mktemp("fault"), SEED, quick=True))
            for name in names
        }
    gc.collect()  # those sockets now, while they are no error: at the end of the session they would be one


@pytest.mark.parametrize("name", [name for name in QUICK if name not in CONTROLS])
def test_nothing_is_lost_or_doubled_by(name: str, results: dict[str, Future[Result]]) -> None:
    result = results[name].result()
    assert held(result), line(result)


@pytest.mark.parametrize("name", CONTROLS)
def test_the_same_kills_are_seen_to_lose_events_of(name: str, results: dict[str, Future[Result]]) -> None:
    result = results[name].result()
    assert not result.held, line(result)
    assert held(result), line(result)
