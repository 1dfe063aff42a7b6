"""What these tests look at the machine with."""

import os
import random
import socket
from pathlib import Path


def free_port() -> int:
    while True:  # outside of what the system gives to clients, which could take it before a server does
        port = random.randrange(12_000, 24_000)
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)):
                return port


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")  # a zombie is no process any more
    return not (stat.exists() and stat.read_text().rpartition(")")[2].split()[0] == "Z")
