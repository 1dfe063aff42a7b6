"""The Python peers' own virtual environment, made on demand from `requirements/bench.txt` with its hashes."""

import hashlib
import json
import shutil
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any, Final

from bench.job import Command

_ROOT: Final = Path(__file__).parent.parent
_LOCK: Final = _ROOT / "requirements" / "bench.txt"
_VENV: Final = Path(".venv-bench")


def ready() -> str | None:
    """Install the peers, if that has not been done; a reason when they can't be."""
    stamp, wanted = _VENV / "built-from", hashlib.sha256(_LOCK.read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text(encoding="utf-8") == wanted:
        return None
    shutil.rmtree(_VENV, ignore_errors=True)
    print(f"installing the Python peers into {_VENV} …", file=sys.stderr, flush=True)
    venv.create(_VENV, with_pip=True)
    done = subprocess.run(
        [_python(), "-m", "pip", "install", "-q", "--disable-pip-version-check", "--require-hashes", "-r", str(_LOCK)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        words = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        return f"pip could not install it: {' '.join(words[:2])[:400] or done.stderr[-200:]}"
    stamp.write_text(wanted, encoding="utf-8")
    return None


def command(peer: str, *arguments: str) -> Command:
    """The command that runs a peer's file."""
    return [_python(), str(Path(__file__).parent / "peers" / f"{peer}.py"), *arguments]


def plot(kind: str, figures: dict[str, Any], folder: Path) -> str:
    """Draw `bars` or `lines` into `folder`: the file's path, or why there is none."""
    if (reason := ready()) is not None:
        return f"none: {reason}"
    done = subprocess.run(
        [_python(), str(Path(__file__).parent / "plot.py"), kind, str(folder)],
        input=json.dumps(figures),
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() if done.returncode == 0 else f"none: {done.stderr.strip()[-300:]}"


def _python() -> str:
    return str((_VENV / "bin" / "python").absolute())
