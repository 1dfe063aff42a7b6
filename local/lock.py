"""Who has a data folder and a port: a folder is taken for exactly as long as its process lives."""

import errno
import fcntl
import os
import socket
from pathlib import Path

from cartwake.errors import ConfigurationError


def take(path: Path, port: int, what: str) -> int:
    """Lock `path`, note `port` in it, and return the descriptor: the lock ends when its last holder closes it.

    Raises ConfigurationError when another process has it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as exc:
        other = os.read(descriptor, 16).decode(errors="replace").strip() or "?"
        os.close(descriptor)
        raise ConfigurationError(
            f"{what} is already running on {path.parent} (port {other}). Stop it first, "
            "or name another folder: CARTWAKE_DATA_DIR=/var/lib/cartwake"
        ) from exc
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{port}\n".encode(), 0)
    return descriptor


def holder(path: Path) -> int | None:
    """The port of the process that holds the lock on `path`; None when nobody does."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        text = os.read(descriptor, 16).decode(errors="replace").strip()
        return int(text) if text.isdigit() else None
    finally:
        os.close(descriptor)
    return None


def refuse_taken(port: int, what: str, example: str) -> None:
    """Raise ConfigurationError, with `example` as the way out, when something listens on loopback's `port`."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as exc:
            reason = "is in use" if exc.errno == errno.EADDRINUSE else f"can't be had ({exc.strerror})"
            raise ConfigurationError(f"Port {port} for {what} {reason}. Take another one: {example}") from exc
