"""Keeps the parts of one machine running: starts them in order, starts them again, stops them in reverse.

One thread, no events: a loop looks five times a second. Each part has a session of its own, so Ctrl-C reaches
only the supervisor; `local.guard` ends the parts when the supervisor itself is killed.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType, TracebackType
from typing import IO, Self

from cartwake.errors import ConfigurationError, Unavailable

LOOK_S = 0.2
READY_BOUND_S = 90.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 30.0
HEALTHY_S = 60.0
LOG_LIMIT = 10 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Part:
    """One process to keep running. `ready` says when the next may start; None means at once."""

    name: str
    argv: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)  # besides the supervisor's own
    ready: Callable[[], bool] | None = None
    restart: bool = True  # when it ends by itself; otherwise a failure ends everything
    stop_s: float = 20.0  # between SIGTERM and SIGKILL
    way_out: str = "Stop it, or take another port."  # when something else answers already


@dataclass(slots=True)
class _Running:
    part: Part
    process: subprocess.Popen[bytes] | None = None
    since: float = 0.0
    pause_s: float = FIRST_PAUSE_S
    again_at: float | None = None


class Supervisor:
    """Parts that live from `start()` to `stop()`; `run()` does both around `wait()`, with signals."""

    def __init__(self, parts: Sequence[Part], data_dir: Path, say: Callable[[str], None] | None = None) -> None:
        self._parts = list(parts)
        self._logs = data_dir / "logs"
        self._say = say or (lambda text: print(text, file=sys.stderr, flush=True))  # noqa: T201 - the default voice
        self._running: list[_Running] = []
        self._guard: subprocess.Popen[str] | None = None
        self._asked = False
        self._killed = False

    def log(self, name: str) -> Path:
        """Where the output of part `name` goes."""
        return self._logs / f"{name}.log"

    def pids(self) -> dict[str, int]:
        """The process of each part that is running now."""
        return {held.part.name: held.process.pid for held in self._running if held.process}

    def start(self) -> Self:
        """Start the parts in order, each when the one before is ready.

        Raises Unavailable naming the part that did not come up and its log; then nothing is left running.
        """
        self._logs.mkdir(parents=True, exist_ok=True)
        try:
            self._guard = subprocess.Popen(
                [sys.executable, "-m", "local.guard"], stdin=subprocess.PIPE, text=True, start_new_session=True
            )
            for part in self._parts:
                if self._asked:
                    break
                self._bring_up(part)
        except BaseException:
            self.stop()
            raise
        return self

    def wait(self) -> None:
        """Keep the parts running until `ask_to_stop()`.

        Raises Unavailable when a part that is not to be started again fails.
        """
        while not self._asked:
            for held in self._running:
                self._look_after(held)
            time.sleep(LOOK_S)

    def run(self) -> None:
        """Start, wait for Ctrl-C or SIGTERM, stop; a second Ctrl-C kills at once."""
        numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        before = {number: signal.signal(number, self._on_signal) for number in numbers}
        try:
            with self:
                self.wait()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def ask_to_stop(self) -> None:
        """Let `wait()` return; safe in a signal handler and from another thread."""
        self._asked = True

    def stop(self) -> None:
        """Stop the parts in reverse order, each within its bound; none is left when this returns."""
        self._asked = True
        for held in reversed(self._running):
            if held.process is not None:
                self._end(held.process, held.part.stop_s)
                held.process = None
        self._running.clear()
        guard, self._guard = self._guard, None
        if guard is not None and guard.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                guard.stdin.close()
            guard.wait()

    def kill(self) -> None:
        """Kill the parts without asking them."""
        self._killed = True
        for held in self._running:
            if held.process is not None:
                _tell_group(held.process.pid, signal.SIGKILL)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._asked:
            self.kill()
        self.ask_to_stop()

    def _bring_up(self, part: Part) -> None:
        if part.ready is not None and part.ready():
            raise ConfigurationError(f"Something else already answers where {part.name} would. {part.way_out}")
        held = _Running(part)
        self._running.append(held)
        self._spawn(held)
        until = time.monotonic() + READY_BOUND_S
        while part.ready is not None and not self._asked and not part.ready():
            code = held.process.poll() if held.process else None
            if code is not None:
                raise Unavailable(f"{part.name} {_ended(code)} while starting. {self._last_words(part)}")
            if time.monotonic() > until:
                raise Unavailable(f"{part.name} was not ready within {READY_BOUND_S:.0f} s. {self._last_words(part)}")
            time.sleep(0.05)

    def _spawn(self, held: _Running) -> None:
        with _open_log(self.log(held.part.name)) as output:
            held.process = subprocess.Popen(  # noqa: S603 - our own command lines
                list(held.part.argv),
                env={**os.environ, **held.part.env},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        held.since, held.again_at = time.monotonic(), None
        self._tell_guard(f"+{held.process.pid}\n")

    def _look_after(self, held: _Running) -> None:
        now = time.monotonic()
        if held.process is not None:
            code = held.process.poll()
            if code is None:
                if now - held.since > HEALTHY_S:
                    held.pause_s = FIRST_PAUSE_S
                return
            _tell_group(held.process.pid, signal.SIGKILL)  # what it may have left behind
            self._tell_guard(f"-{held.process.pid}\n")
            held.process = None
            if held.part.restart:
                self._say(
                    f"!! {held.part.name} {_ended(code)}; starting it again in {held.pause_s:g} s. "
                    f"{self._last_words(held.part)}"
                )
                held.again_at, held.pause_s = now + held.pause_s, min(held.pause_s * 2, LONGEST_PAUSE_S)
            elif code != 0:
                raise Unavailable(f"{held.part.name} {_ended(code)}. {self._last_words(held.part)}")
        elif held.again_at is not None and now >= held.again_at:
            try:
                self._spawn(held)
            except OSError as exc:
                held.again_at = now + LONGEST_PAUSE_S
                self._say(f"!! {held.part.name} can't be started: {exc}; trying again in {LONGEST_PAUSE_S:g} s")

    def _end(self, process: subprocess.Popen[bytes], bound_s: float) -> None:
        until = time.monotonic() + bound_s
        if not self._killed:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
        while process.poll() is None and time.monotonic() < until and not self._killed:
            time.sleep(0.02)
        _tell_group(process.pid, signal.SIGKILL)  # the part itself if it is still there, and its children
        process.wait()
        self._tell_guard(f"-{process.pid}\n")

    def _tell_guard(self, line: str) -> None:
        if self._guard is not None and self._guard.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._guard.stdin.write(line)
                self._guard.stdin.flush()

    def _last_words(self, part: Part) -> str:
        path = self.log(part.name)
        with contextlib.suppress(OSError), path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 4096))
            lines = [line for line in file.read().decode(errors="replace").splitlines() if line.strip()]
            if lines:
                return f"It said: {lines[-1].strip()} (log: {path})"
        return f"Its log: {path}"


def _open_log(path: Path) -> IO[bytes]:
    if path.exists() and path.stat().st_size > LOG_LIMIT:
        path.replace(path.with_suffix(".log.1"))
    return path.open("ab")


def _ended(code: int) -> str:
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"


def _tell_group(group: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
