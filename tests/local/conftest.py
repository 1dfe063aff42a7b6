"""Ports and processes of real local parts."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest
from local_probes import free_port


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def run() -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    """Starts `python …` and ends it with the test."""
    started: list[subprocess.Popen[str]] = []

    def start(*argv: str, **more: str) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, *argv],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, **more},
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()
