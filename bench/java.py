"""Builds the Java peers with Maven, on demand, outside of the source: a peer is built again when its source changed."""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from bench.job import Command

_PEERS: Final = Path(__file__).parent / "peers"
_BUILDS: Final = Path(".cartwake/bench")
_JVM: Final = (
    "-Xmx3g",
    "-XX:+UseParallelGC",
    "--add-opens=java.base/java.util=ALL-UNNAMED",  # Flink's serialisers look into these
    "--add-opens=java.base/java.lang=ALL-UNNAMED",
)


def ready(peer: str) -> str | None:
    """Build `peer`, if that has not been done; a reason when it can't be."""
    if shutil.which("java") is None or shutil.which("javac") is None or shutil.which("mvn") is None:
        return "needs a JDK of 17 or newer and Maven (`javac` and `mvn` on the PATH)"
    target = _target(peer)
    stamp, wanted = target / "built-from", _digest(peer)
    if stamp.exists() and stamp.read_text(encoding="utf-8") == wanted:
        return None
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    print(f"building {peer} with Maven …", file=sys.stderr, flush=True)
    done = subprocess.run(
        ["mvn", "-q", "-B", "compile", f"-Dout={target}"],
        cwd=_PEERS / peer,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        words = [line for line in done.stdout.splitlines() if "ERROR" in line]
        return f"Maven could not build it: {' '.join(words[:2])[:400] or done.stderr[-200:]}"
    stamp.write_text(wanted, encoding="utf-8")
    return None


def command(peer: str, main: str, *arguments: str) -> Command:
    """The command that runs `main` of a peer that is ready."""
    target = _target(peer)
    return ["java", *_JVM, "-cp", f"{target / 'classes'}:{target / 'dependency'}/*", main, *arguments]


def _target(peer: str) -> Path:
    return (_BUILDS / peer).resolve()


def _digest(peer: str) -> str:
    found = hashlib.sha256()
    for folder in (peer, "java-cart"):
        for path in sorted((_PEERS / folder).rglob("*")):
            if path.suffix in {".java", ".xml"}:
                found.update(path.relative_to(_PEERS).as_posix().encode() + path.read_bytes())
    return found.hexdigest()
