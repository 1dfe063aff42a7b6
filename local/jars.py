"""Brings the jars of Apache Kafka beside the Python packages: `python -m local.jars`.

Every jar's coordinate and sha256 stand in `kafka.lock`, so nothing is resolved and nothing unknown is run.
`python -m local.jars --lock` resolves `ROOTS` anew and rewrites that file.
"""

import argparse
import fcntl
import hashlib
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from cartwake.errors import CartwakeError, ConfigurationError, Unavailable

_T = TypeVar("_T")
VERSION = "4.4.0"
ROOTS = (f"org.apache.kafka:kafka_2.13:{VERSION}", "org.apache.logging.log4j:log4j-slf4j-impl:2.25.5")
LOCK = Path(__file__).with_name("kafka.lock")
_WAY_OUT = (
    "Behind a proxy set HTTPS_PROXY (and REQUESTS_CA_BUNDLE for its certificate) and run the same command "
    "again; with a Kafka of your own set CARTWAKE_KAFKA_BOOTSTRAP=host:9092."
)


class Jar(NamedTuple):
    """One line of the lock file."""

    coordinate: str  # group:artifact:version
    sha256: str


def folder() -> Path:
    """Where the jars are kept: inside the virtual environment, one folder a version."""
    return Path(sys.prefix) / "share" / f"kafka-{VERSION}"


def present() -> bool:
    """Whether all that the lock file names has been brought and verified."""
    done = folder() / LOCK.name
    return done.exists() and done.read_bytes() == LOCK.read_bytes()


def locked() -> list[Jar]:
    """The jars of the lock file, in its order."""
    lines = LOCK.read_text(encoding="utf-8").splitlines()
    return [Jar(*line.split()) for line in lines if line and not line.startswith("#")]


def bring() -> Path:
    """The folder of the jars, after fetching what is not there yet; shows its progress.

    A broken attempt leaves nothing behind. Raises Unavailable or ConfigurationError with the way out.
    """
    target = folder()
    if present():
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _one_at_a_time(target.parent / ".kafka-jars"):
            if not present():
                _fetch(locked(), target)
    except PermissionError as exc:
        raise ConfigurationError(
            f"Kafka's jars can't be written to {target.parent}: {exc.strerror}. "
            "Use a virtual environment, as `make demo` does."
        ) from exc
    return target


def _fetch(wanted: list[Jar], target: Path) -> None:
    partial = target.with_name(target.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    with tempfile.TemporaryDirectory(dir=partial.parent, prefix=".maven-") as cache:
        context = _repository(Path(cache))
        with ThreadPoolExecutor(6) as pool:
            jobs = [pool.submit(_fetch_one, context, jar, partial) for jar in wanted]
            try:
                for job in _shown(as_completed(jobs), len(jobs)):
                    job.result()
            except BaseException:
                pool.shutdown(cancel_futures=True)
                shutil.rmtree(partial, ignore_errors=True)
                raise
    shutil.copyfile(LOCK, partial / LOCK.name)
    shutil.rmtree(target, ignore_errors=True)
    partial.rename(target)


def _fetch_one(context: Any, jar: Jar, into: Path) -> None:
    artifact = context.create_dependency(jar.coordinate).artifact
    for attempt in (1, 2, 3):
        try:
            path = Path(artifact.resolve())
            found = hashlib.sha256(path.read_bytes()).hexdigest()
            if found == jar.sha256:
                path.replace(into / path.name)
                return
            reason: Exception = ValueError(f"its sha256 is {found}, {LOCK.name} says {jar.sha256}")
        except (OSError, RuntimeError) as exc:  # what requests and jgo raise
            reason = exc
        artifact.cached_path.unlink(missing_ok=True)  # jgo would take half a file for a whole one
        if attempt == 3:
            raise Unavailable(f"Kafka's jar {jar.coordinate} can't be had: {reason}. {_WAY_OUT}") from reason


def _repository(cache: Path) -> Any:
    """Jgo's Python resolver with a cache of its own: no Java, no Maven, no ~/.m2."""
    from jgo.maven import MavenContext, PythonResolver  # noqa: PLC0415 - slow, and needed once

    return MavenContext(resolver=PythonResolver(), repo_cache=cache, local_repos=[], timeout=30)


def _shown(items: Iterable[_T], total: int) -> Iterator[_T]:
    """Hand on `items` with a bar on a terminal, else with one line."""
    from rich.console import Console  # noqa: PLC0415 - needed once
    from rich.progress import track  # noqa: PLC0415

    console = Console(stderr=True)
    what = f"Kafka {VERSION}: fetching {total} jars (about 45 MB, once)"
    if console.is_terminal:
        yield from track(items, what, total=total, console=console, transient=True)
    else:
        console.print(what, highlight=False)
        yield from items


@contextmanager
def _one_at_a_time(path: Path) -> Iterator[None]:
    """Hold a lock on `path`: of two set-ups at the same time the second finds the first one's jars."""
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def write_lock() -> int:
    """Resolve `ROOTS` anew, write `kafka.lock` and say how many jars it names.

    Each root by itself, the first one's versions win: together, the logger's list of managed versions would
    bring an older Kafka client.
    """
    found: dict[str, Jar] = {}
    with tempfile.TemporaryDirectory() as cache:
        context = _repository(Path(cache))
        try:
            for root in ROOTS:
                resolved, more = context.resolver.resolve([context.create_dependency(root)])
                for dependency in [*resolved, *more]:
                    name = f"{dependency.groupId}:{dependency.artifactId}"
                    if name not in found:
                        content = Path(dependency.artifact.resolve()).read_bytes()
                        found[name] = Jar(f"{name}:{dependency.version}", hashlib.sha256(content).hexdigest())
        except (OSError, RuntimeError) as exc:
            raise Unavailable(f"Kafka's jars can't be resolved: {exc}. {_WAY_OUT}") from exc
    head = "# Kafka's jars: coordinate and sha256. Written by `python -m local.jars --lock`.\n"
    LOCK.write_text(
        head + "".join(f"{jar.coordinate} {jar.sha256}\n" for jar in sorted(found.values())), encoding="utf-8"
    )
    return len(found)


def main() -> int:
    """Bring the jars, or rewrite the lock file."""
    parser = argparse.ArgumentParser(prog="python -m local.jars", description=__doc__.splitlines()[0])
    parser.add_argument("--lock", action="store_true", help="resolve anew and rewrite kafka.lock")
    arguments = parser.parse_args()
    try:
        if arguments.lock:
            sys.stdout.write(f"{LOCK.name}: {write_lock()} jars\n")
        else:
            sys.stdout.write(f"Kafka {VERSION}: {bring()}\n")
    except CartwakeError as exc:
        sys.stderr.write(f"{exc}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
