"""One system, one run: start its processes, watch the clock, check what came out.

The time of a run is the same for all: it begins when the first record reaches any of the processes and ends when
the committed offsets of the group have reached the end of the input and the last outcome is on the output topic
(its broker time), whichever is later. Start of a process is not in it, the warm-up of a JVM is. A system with a long
commit interval is not made to wait for it: it stops after the last record, which commits. One that keeps its offsets
elsewhere says `done` itself.
"""

import json
import os
import queue
import signal
import subprocess
import threading
import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, TopicPartition

from bench.expected import Outcome, outcome_of
from bench.job import Job, System

_TICKS = os.sysconf("SC_CLK_TCK")
_SILENCE_S = 5.0  # an outcome that has not come so long after the end is missing


class Broken(Exception):
    """A system that did not get through, with its last words."""


@dataclass(frozen=True, slots=True)
class Run:
    """What one run showed; `missing` and `extra` against the expected outcomes of the kinds the system says."""

    events_per_second: float
    cpu_us_per_event: float | None
    missing: int
    extra: int


def cpu_seconds(pid: int) -> float:
    """CPU time of a process so far; raises FileNotFoundError where there is no /proc."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


class Processes:
    """The processes of one system; what they say arrives in `words` with its time."""

    def __init__(self, commands: list[list[str]], folder: Path) -> None:
        self.words: queue.SimpleQueue[tuple[str, float]] = queue.SimpleQueue()
        self._folder = folder
        self._all: list[subprocess.Popen[str]] = []
        for number, command in enumerate(commands):
            with (folder / f"{number}.log").open("wb") as log:
                process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    text=True,
                    start_new_session=True,
                )
            self._all.append(process)
            threading.Thread(target=self._listen, args=(process,), daemon=True).start()

    def _listen(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            self.words.put((line.strip(), time.time()))

    def cpu_seconds(self) -> float | None:
        """CPU time of all of them so far; None where there is no /proc."""
        used = 0.0
        for process in self._all:
            try:
                used += cpu_seconds(process.pid)
            except FileNotFoundError:
                return None
        return used

    def check(self) -> None:
        """Raise Broken when one ended with an error."""
        for number, process in enumerate(self._all):
            if process.poll():
                words = (self._folder / f"{number}.log").read_text(errors="replace").strip().splitlines()
                raise Broken(f"ended with {process.returncode}: {' / '.join(words[-3:])[-600:] or 'no words'}")

    def stop(self) -> None:
        """End all of them, with SIGTERM first."""
        for process in self._all:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        until = time.monotonic() + 20
        for process in self._all:
            try:
                process.wait(max(0.1, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def run(system: System, workers: int, job: Job, truth: Counter[Outcome]) -> Run:
    """Do the job once with `workers`; raises Broken when it does not get to the end in time."""
    ends = _ends(job)
    commands = system.commands(job, workers)
    processes = Processes(commands, job.folder)
    offsets = Consumer({"bootstrap.servers": job.bootstrap, "group.id": job.group, "log_level": 2})
    until = time.monotonic() + max(180.0, job.records / 500)
    began, cpu_before, done = 0.0, 0.0, 0
    try:
        while True:
            processes.check()
            while not processes.words.empty():
                word, at = processes.words.get()
                if word == ("mark" if job.mark else "first") and not began:
                    began, cpu_before = at, processes.cpu_seconds() or 0.0
                done += word == "done"
            if began and (_through(offsets, ends) if system.commits else done == len(commands)):
                break
            if time.monotonic() > until:
                raise Broken("was not through in time")
            time.sleep(0.02)
        ended = time.time()
        cpu = processes.cpu_seconds()
        found, last = outcomes(job, sum(n for outcome, n in truth.items() if outcome.kind in system.kinds))
    finally:
        offsets.close()
        processes.stop()
    wanted = Counter({outcome: n for outcome, n in truth.items() if outcome.kind in system.kinds})
    return Run(
        events_per_second=(job.records - job.mark) / (max(ended, last) - began),
        cpu_us_per_event=None if cpu is None else (cpu - cpu_before) * 1e6 / (job.records - job.mark),
        missing=(wanted - found).total(),
        extra=(found - wanted).total(),
    )


def _ends(job: Job) -> list[TopicPartition]:
    """The end of every partition of the input."""
    with _reader(job) as reader:
        partitions = reader.list_topics(job.input, timeout=30).topics[job.input].partitions
        return [
            TopicPartition(job.input, n, reader.get_watermark_offsets(TopicPartition(job.input, n), 30)[1])
            for n in partitions
        ]


def _through(offsets: Any, ends: list[TopicPartition]) -> bool:
    asked = offsets.committed([TopicPartition(end.topic, end.partition) for end in ends], 30)
    committed = {tp.partition: tp.offset for tp in asked}
    return all(committed[end.partition] >= end.offset for end in ends)


def _reader(job: Job) -> "closing[Any]":
    """A consumer outside of every group, which reads only what is committed."""
    return closing(
        Consumer(
            {
                "bootstrap.servers": job.bootstrap,
                "group.id": f"{job.prefix}reader",
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "log_level": 2,
            }
        )
    )


def outcomes(job: Job, enough: int) -> tuple[Counter[Outcome], float]:
    """All that is on the output topic, and the broker's time of the last one in seconds.

    It reads on until nothing more has come for a while, or half a second when there are `enough` of them.
    """
    found: Counter[Outcome] = Counter()
    last = 0.0
    with _reader(job) as reader:
        partitions = reader.list_topics(job.output, timeout=30).topics[job.output].partitions
        reader.assign([TopicPartition(job.output, n, 0) for n in partitions])
        heard = time.monotonic()
        while time.monotonic() - heard < (0.5 if found.total() >= enough else _SILENCE_S):
            for message in reader.consume(1000, 0.1):
                if message.error() is None and message.value() is not None:  # ours marks time with empty records
                    found[outcome_of(json.loads(message.value()))] += 1
                    last = max(last, message.timestamp()[1] / 1000)
                    heard = time.monotonic()
    return found, last
