"""Files of a mail: within limits, under names that mislead nobody, with the type of their ending."""

from pathlib import Path

import pytest

from cartwake.errors import Rejected
from reminders import files
from reminders.files import MOST_BYTES, MOST_FILES, attached, file_name, type_of
from reminders.mime import File

PNG = b"\x89PNG\r\n\x1a\n rest"


def made(folder: Path, name: str, content: bytes = b"x") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def test_files_are_read_as_they_are_and_the_picture_apart(tmp_path: Path) -> None:
    raw = bytes(range(256)) * 5
    found, picture = attached([made(tmp_path, "a.pdf", raw), made(tmp_path, "b")], made(tmp_path, "c.PNG", PNG))
    assert found == (File("a.pdf", "application/pdf", raw), File("b", "application/octet-stream", b"x"))
    assert picture == File("c.PNG", "image/png", PNG)
    assert attached([]) == ((), None)


@pytest.mark.parametrize(
    ("name", "clean"),
    [
        ("invoice 7.pdf", "invoice 7.pdf"),
        ("a\r\nBcc: x.pdf", "a Bcc: x.pdf"),
        ("fdp.\u202eexe.pdf", "fdp. exe.pdf"),
        ("..", "file"),
        (".bashrc", "bashrc"),
        ("\u200b", "file"),
        ("=?utf-8?q?x?=.pdf", "= ?utf-8?q?x?=.pdf"),
        ("r" * 200 + ".pdf", "r" * 69 + "….pdf"),
        ("s." + "e" * 200, "s." + "e" * 87 + "…"),
        ("Rechnung für Müller.pdf", "Rechnung für Müller.pdf"),
    ],
)
def test_a_name_hides_nothing_and_keeps_its_ending(name: str, clean: str) -> None:
    assert file_name(name) == clean


@pytest.mark.parametrize(
    ("name", "kind"),
    [("a.pdf", "application/pdf"), ("a.JPG", "image/jpeg"), ("a.csv", "text/csv"), ("a", "application/octet-stream"),
     ("a.tar.gz", "application/gzip"), ("a.svg.gz", "application/gzip"), ("a.Z", "application/octet-stream"),
     ("a.unheard-of", "application/octet-stream")],
)  # fmt: skip
def test_the_type_follows_from_the_ending(name: str, kind: str) -> None:
    assert type_of(name) == kind


def test_all_files_together_have_so_many_bytes_and_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MOST_BYTES", 100)
    first, second = made(tmp_path, "a", b"x" * 60), made(tmp_path, "b.png", PNG.ljust(40))
    assert attached([first], second)[1] is not None
    with pytest.raises(Rejected, match="larger than"):
        attached([first, made(tmp_path, "c")], second)
    assert MOST_BYTES == 10 * 1024 * 1024


def test_what_can_not_go_with_a_mail_is_refused_by_name(tmp_path: Path) -> None:
    one = made(tmp_path, "a.txt")
    with pytest.raises(Rejected, match="may have 10"):
        attached([one] * (MOST_FILES + 1))
    with pytest.raises(Rejected, match="empty"):
        attached([made(tmp_path, "e.txt", b"")])
    with pytest.raises(Rejected, match="can't be read"):
        attached([tmp_path / "nowhere"])
    for name, content in (("a.svg", b"<svg/>"), ("a.png", b"<html>"), ("a.gif", PNG), ("a.webp", b"RIFF")):
        with pytest.raises(Rejected, match=r"\.png, \.jpg or \.gif"):
            attached([], made(tmp_path, name, content))
