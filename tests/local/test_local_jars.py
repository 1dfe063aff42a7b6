"""Kafka's jars: all of the lock file or nothing."""

import hashlib
from pathlib import Path

import pytest

from cartwake.errors import Unavailable
from local import jars


class Shelf:
    """A Maven repository as jgo shows it: what `content` gives, one answer after the other."""

    def __init__(self, folder: Path, *answers: bytes | Exception) -> None:
        self.cached_path = folder / "some.jar"
        self.answers = list(answers)

    @property
    def artifact(self) -> "Shelf":
        return self

    def create_dependency(self, coordinate: str) -> "Shelf":
        assert coordinate == "g:some:1"
        return self

    def resolve(self) -> Path:
        if not self.cached_path.exists():
            answer = self.answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            self.cached_path.write_bytes(answer)
        return self.cached_path


JAR = jars.Jar("g:some:1", hashlib.sha256(b"right").hexdigest())


def test_lock_file_names_the_broker_its_client_and_a_logger_of_one_version() -> None:
    coordinates = {jar.coordinate for jar in jars.locked()}
    assert f"org.apache.kafka:kafka_2.13:{jars.VERSION}" in coordinates
    assert f"org.apache.kafka:kafka-clients:{jars.VERSION}" in coordinates
    kafkas = [c for c in coordinates if c.startswith("org.apache.kafka:")]
    assert all(c.endswith(jars.VERSION) for c in kafkas)
    assert set(jars.ROOTS) <= coordinates
    assert all(len(jar.sha256) == 64 for jar in jars.locked())


def test_half_a_jar_is_fetched_again(tmp_path: Path) -> None:
    (tmp_path / "to").mkdir()
    jars._fetch_one(Shelf(tmp_path, b"ri", b"right"), JAR, tmp_path / "to")
    assert (tmp_path / "to" / "some.jar").read_bytes() == b"right"


def test_another_jar_than_the_locked_one_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"g:some:1 .*sha256.*CARTWAKE_KAFKA_BOOTSTRAP=host:9092"):
        jars._fetch_one(Shelf(tmp_path, b"evil", b"evil", b"evil"), JAR, tmp_path)


def test_repository_that_is_away_is_said_with_the_way_out(tmp_path: Path) -> None:
    away = OSError("no route to host")
    with pytest.raises(Unavailable, match=r"g:some:1 .*no route to host.*HTTPS_PROXY"):
        jars._fetch_one(Shelf(tmp_path, away, away, away), JAR, tmp_path)


def test_second_run_needs_no_network() -> None:
    assert jars.bring() == jars.folder()
    assert jars.present()
    assert len(list(jars.folder().glob("*.jar"))) == len(jars.locked())
