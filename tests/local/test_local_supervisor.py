"""Parts are kept running, in order, and never outlive their supervisor."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from local_probes import alive

from cartwake.errors import ConfigurationError, Unavailable
from local import guard, supervisor
from local.supervisor import Part, Supervisor
from tests.patience import until

Run = Callable[..., "subprocess.Popen[str]"]
FOREVER = "import time; time.sleep(1000)"
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(1000)"
)


def python(name: str, script: str, **more: object) -> Part:
    return Part(name, [sys.executable, "-c", script], **more)  # type: ignore[arg-type]


def test_parts_start_in_order_each_when_the_one_before_is_ready(tmp_path: Path) -> None:
    touch = "import pathlib, time; time.sleep(0.3); pathlib.Path({!r}).touch(); time.sleep(1000)"
    first, second = tmp_path / "first", tmp_path / "second"
    script = f"import pathlib; assert pathlib.Path({str(first)!r}).exists(); " + touch.format(str(second))
    parts = [
        python("one", touch.format(str(first)), ready=first.exists),
        python("two", script, ready=second.exists),
    ]
    with Supervisor(parts, tmp_path) as running:
        pids = running.pids()
        assert list(pids) == ["one", "two"]
        assert all(alive(pid) for pid in pids.values())
    assert not any(alive(pid) for pid in pids.values())


def test_parts_stop_in_reverse_order_and_the_deaf_are_killed(tmp_path: Path) -> None:
    note = (
        "import signal, sys, time, pathlib\n"
        "def bye(*_): open({0!r}, 'a').write({1!r}); sys.exit()\n"
        "signal.signal(signal.SIGTERM, bye); pathlib.Path({2!r}).touch(); time.sleep(1000)"
    )
    told = str(tmp_path / "told")
    parts = [
        python(name, note.format(told, name, str(tmp_path / name)), ready=(tmp_path / name).exists) for name in "abc"
    ]
    deaf = python("deaf", STUBBORN, stop_s=0.5)
    running = Supervisor([*parts, deaf], tmp_path).start()
    until(lambda: "deaf" in running.log("deaf").read_text())
    pids = running.pids()
    running.stop()
    assert Path(told).read_text() == "cba"
    assert not any(alive(pid) for pid in pids.values())
    running.stop()  # repeating it is safe


def test_part_that_ends_is_started_again_ever_more_slowly_and_loudly(tmp_path: Path) -> None:
    said: list[str] = []
    part = python("weak", "print('tired', flush=True); raise SystemExit(3)")
    with Supervisor([part], tmp_path, said.append) as running:
        watcher = threading.Thread(target=running.wait)
        watcher.start()
        until(lambda: len(said) >= 3)
        running.ask_to_stop()
        watcher.join(60)
    assert "weak ended with exit code 3; starting it again in 0.5 s. It said: tired" in said[0]
    assert "again in 1 s" in said[1]
    assert "again in 2 s" in said[2]
    assert str(running.log("weak")) in said[0]


def test_killed_part_is_started_again(tmp_path: Path) -> None:
    said: list[str] = []
    with Supervisor([python("p", FOREVER)], tmp_path, said.append) as running:
        watcher = threading.Thread(target=running.wait)
        watcher.start()
        first = running.pids()["p"]
        os.kill(first, signal.SIGKILL)
        until(lambda: running.pids().get("p", first) != first)
        second = running.pids()["p"]
        running.ask_to_stop()
        watcher.join(60)
    assert "was ended by SIGKILL" in said[0]
    assert not alive(second)


def test_pause_is_forgotten_after_a_minute_of_health(tmp_path: Path) -> None:
    held = supervisor._Running(python("p", FOREVER), pause_s=16.0)
    running = Supervisor([], tmp_path)
    held.process = subprocess.Popen([sys.executable, "-c", FOREVER], start_new_session=True)
    try:
        held.since = time.monotonic() - supervisor.HEALTHY_S + 5
        running._look_after(held)
        assert held.pause_s == 16.0
        held.since = time.monotonic() - supervisor.HEALTHY_S - 1
        running._look_after(held)
        assert held.pause_s == supervisor.FIRST_PAUSE_S
    finally:
        held.process.kill()
        held.process.wait()


def test_part_that_does_not_come_up_is_named_with_its_log_and_all_is_stopped(tmp_path: Path) -> None:
    parts = [
        python("good", FOREVER),
        python("bad", "raise SystemExit('no bread today')", ready=lambda: False),
        python("never", FOREVER),
    ]
    running = Supervisor(parts, tmp_path)
    with pytest.raises(Unavailable, match=r"bad ended with exit code 1 while starting\. .*no bread today.*bad\.log"):
        running.start()
    assert running.pids() == {}
    assert not running.log("never").exists()


def test_failure_of_a_part_that_is_not_started_again_ends_the_wait(tmp_path: Path) -> None:
    parts = [python("once", "pass", restart=False), python("fails", "raise SystemExit(4)", restart=False)]
    with Supervisor(parts, tmp_path) as running, pytest.raises(Unavailable, match="fails ended with exit code 4"):
        running.wait()


def test_foreign_program_on_the_port_is_not_taken_for_the_part(tmp_path: Path) -> None:
    part = python("p", FOREVER, ready=lambda: True, way_out="Take another port: X=1")
    with pytest.raises(ConfigurationError, match=r"already answers where p would\. Take another port: X=1"):
        Supervisor([part], tmp_path).start()


def test_long_log_is_put_aside_at_the_start(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "p.log"
    log.parent.mkdir()
    log.write_bytes(b"x" * (supervisor.LOG_LIMIT + 1))
    with Supervisor([python("p", "print('new', flush=True)")], tmp_path) as running:
        until(lambda: running.log("p").read_text() == "new\n")
    assert log.with_suffix(".log.1").stat().st_size == supervisor.LOG_LIMIT + 1


SUPERVISED = """
import sys
from pathlib import Path
from local.supervisor import Part, Supervisor
sleep = "import time; time.sleep(1000)"
grandchild = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {sleep!r}]); {sleep}"
parts = [Part("a", [sys.executable, "-c", grandchild]), Part("deaf", [sys.executable, "-c", sys.argv[2]], stop_s=600)]
running = Supervisor(parts, Path(sys.argv[1]))
real = running.start
def start():
    real(); print(*running.pids().values(), running._guard.pid, flush=True); return running
running.start = start
running.run()
"""


def pids_of(process: "subprocess.Popen[str]") -> list[int]:
    assert process.stdout is not None
    return [int(pid) for pid in process.stdout.readline().split()]


def test_kill_9_of_the_supervisor_ends_every_part(tmp_path: Path, run: Run) -> None:
    process = run("-c", SUPERVISED, str(tmp_path), FOREVER)
    pids = pids_of(process)
    assert len(pids) == 3
    process.kill()
    until(lambda: not any(alive(pid) for pid in pids))


def test_ctrl_c_stops_and_a_second_one_kills_at_once(tmp_path: Path, run: Run) -> None:
    process = run("-c", SUPERVISED, str(tmp_path), STUBBORN)
    pids = pids_of(process)
    until(lambda: "deaf" in (tmp_path / "logs" / "deaf.log").read_text())
    process.send_signal(signal.SIGINT)
    with pytest.raises(subprocess.TimeoutExpired):  # it waits for the deaf part
        process.wait(1)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 0
    assert not any(alive(pid) for pid in pids)


def test_guard_forgets_what_was_taken_away() -> None:
    assert guard.follow(["+12\n", "+13\n", "-12\n"]) == {13}
