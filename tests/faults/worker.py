"""A process that runs stage 1 as the role does, and is harmed: `python -m tests.faults.worker ORDERS-JSON`.

It says `assigned 0,1` when partitions change, `restoring` when a restore begins, `failed …` when it ends by itself.
An order that names `once` is followed by one life only: the first that makes that file.
"""

import asyncio
import faulthandler
import inspect
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import msgspec

from cartwake import pipeline, roles
from cartwake.errors import CartwakeError
from cartwake.settings import load
from cartwake.shops import Shops
from streams import cart_stage
from streams.runtime import App

#: Where a worker can be told to die: the method of the app, and whether before or after it.
POINTS: Final = {
    "after fold": ("_take", False),
    "before outputs": ("_flush_outputs", True),
    "after outputs": ("_flush_outputs", False),
    "before changelog": ("_write_changelog", True),
    "after changelog": ("_write_changelog", False),
    "before offsets": ("_commit_offsets", True),
    "after offsets": ("_commit_offsets", False),
}
NEVER_S: Final = 600.0


class Orders(msgspec.Struct, frozen=True):
    """What a worker is to do."""

    settings: dict[str, str]  # as environment variables
    config: dict[str, Any] = {}  # of the app, where it differs from the role's
    die: str = ""  # one of POINTS
    nth: int = 1  # time that it is passed
    stall: str = ""  # fold, commit, fetch
    once: str = ""  # a file
    forget: bool = False  # commit without writing the state: the checker must see it


def say(line: str) -> None:
    """Tell the test."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main(orders: Orders) -> None:
    """Be a worker until a signal, a failure, or the place to die."""
    faulthandler.register(signal.SIGUSR1)  # says where every thread stands
    settings = load(orders.settings, Path(os.devnull))
    stage = pipeline.left(Shops())
    app = pipeline.app(settings, "streams", [stage], say)
    if orders.config:
        app = App(replace(app.config, **orders.config), [stage])
    if orders.die:
        _die(app, *POINTS[orders.die], orders.nth, orders.once)
    if orders.stall:
        STALLS[orders.stall](app, orders.once)
    if orders.forget:
        _forget(app)
    _tell_restores(app)

    async def tell() -> None:
        held: list[int] = []
        while not app.should_stop:
            now = sorted(number for name, number in app.partitions if name == pipeline.CARTS)
            if now != held:
                held = now
                say(f"assigned {','.join(map(str, held))}")
            await asyncio.sleep(0.05)

    app.task(tell)
    asyncio.run(roles._serve(app))
    if app.failure is not None:
        say(f"failed {app.failure}")
        raise CartwakeError(f"{app.config.group} stopped: {app.failure}") from app.failure


def _first(once: str) -> bool:
    """Whether this is the life that the order is for."""
    try:
        if once:
            Path(once).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def wrap(
    owner: Any, name: str, *, before: Callable[[], Any] = lambda: None, after: Callable[[], Any] = lambda: None
) -> None:
    """Have something done around a method, which must exist."""
    if not hasattr(owner, name):
        raise SystemExit(f"{owner!r} has no {name}: tests/faults names it")
    inner = getattr(owner, name)

    if inspect.iscoroutinefunction(inner):

        async def outer(*args: Any, **more: Any) -> Any:
            if inspect.isawaitable(pause := before()):
                await pause
            result = await inner(*args, **more)
            after()
            return result
    else:

        def outer(*args: Any, **more: Any) -> Any:
            before()
            result = inner(*args, **more)
            after()
            return result

    setattr(owner, name, outer)


def _die(app: Any, name: str, early: bool, nth: int, once: str) -> None:
    left = nth

    def count() -> None:
        nonlocal left
        left -= bool(app.partitions)
        if left == 0 and _first(once):
            os.kill(os.getpid(), signal.SIGKILL)

    wrap(app, name, **{"before" if early else "after": count})


def _stall_fold(_app: Any, once: str) -> None:
    """The event loop stands still in a stage."""

    def block() -> None:
        if _first(once):
            say("stalled")
            time.sleep(NEVER_S)

    wrap(cart_stage.CartStage, "on_batch", before=block)


def _stall_commit(app: Any, once: str) -> None:
    """A commit is never answered; the rest goes on."""

    async def hang() -> None:
        if app.partitions and _first(once):
            say("stalled")
            await asyncio.sleep(NEVER_S)

    wrap(app, "_commit_offsets", before=hang)


def _stall_fetch(app: Any, once: str) -> None:
    """The thread of the consumer stands still."""

    async def stop() -> None:
        time.sleep(NEVER_S)  # noqa: ASYNC251 - this is the fault

    async def wait() -> None:
        while not app.partitions:  # noqa: ASYNC110 - the app has no event for it
            await asyncio.sleep(0.1)
        await asyncio.sleep(1)
        if _first(once):
            say("stalled")
            await app.consumer._thread.call_thread(stop)

    app.task(wait)


STALLS: Final[dict[str, Callable[[Any, str], None]]] = {
    "fold": _stall_fold, "commit": _stall_commit, "fetch": _stall_fetch,
}  # fmt: skip


def _forget(app: Any) -> None:
    if not hasattr(app, "_write_changelog"):
        raise SystemExit("the app has no _write_changelog: tests/faults names it")

    async def write_nothing(*_: Any) -> None:
        return

    app._write_changelog = write_nothing


def _tell_restores(app: Any) -> None:
    wrap(app, "_open", before=lambda: say("restoring"))


if __name__ == "__main__":
    main(msgspec.json.decode(sys.argv[1], type=Orders))
