"""Files that go with a mail: read within limits, named so that no mail program or file system is misled by them."""

import mimetypes
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from cartwake.errors import Rejected
from reminders.clean import line
from reminders.mime import File

MOST_FILES: Final = 10
#: Of all files of a mail together: base64 makes a third more of them, and many relays take 20 MB or less.
MOST_BYTES: Final = 10 * 1024 * 1024
#: Mail programs show these everywhere; each begins with bytes of its own.
PICTURES: Final = {"image/png": b"\x89PNG\r\n\x1a\n", "image/jpeg": b"\xff\xd8\xff", "image/gif": b"GIF8"}
_MOST_STEM: Final = 70
_MOST_SUFFIX: Final = 20
_COMPRESSED: Final = {"gzip": "application/gzip", "bzip2": "application/x-bzip2", "xz": "application/x-xz"}
# the same on every machine: without the lists of types that a system may have
_TYPES: Final = mimetypes.MimeTypes()


def attached(paths: Sequence[Path], picture: Path | None = None) -> tuple[tuple[File, ...], File | None]:
    """The files at `paths`, and the picture; raises Rejected."""
    if len(paths) > MOST_FILES:
        raise Rejected(f"{len(paths)} files; a mail may have {MOST_FILES}. Put them into one archive")
    room = MOST_BYTES
    found: list[File] = []
    for path in (*paths, *([picture] if picture else [])):
        content = _read(path, room)
        room -= len(content)
        name = file_name(path.name)
        found.append(File(name, type_of(name), content))
    if picture is None:
        return tuple(found), None
    shown = found.pop()
    if not shown.content.startswith(PICTURES.get(shown.type, b"\0")):
        raise Rejected(f"{shown.name} is no picture that every mail program shows: .png, .jpg or .gif")
    return tuple(found), shown


def file_name(name: str) -> str:
    """The name without what hides, reorders or means something to a file system; its ending stays when it is cut."""
    plain = line(name, 1_000).lstrip(". ")
    stem, dot, suffix = plain.rpartition(".")
    if not stem or len(suffix) > _MOST_SUFFIX:
        return line(plain, _MOST_STEM + _MOST_SUFFIX) or "file"
    return line(stem, _MOST_STEM) + dot + suffix


def type_of(name: str) -> str:
    """The media type that a file's ending stands for."""
    kind, compressed = _TYPES.guess_type(name)
    if compressed is not None:
        return _COMPRESSED.get(compressed, "application/octet-stream")
    return kind or "application/octet-stream"


def _read(path: Path, room: int) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(room + 1)
    except OSError as exc:
        raise Rejected(f"{path} can't be read: {exc.strerror}") from exc
    if len(content) > room:
        raise Rejected(
            f"with {path} the files are larger than {MOST_BYTES // 1024**2} MiB, and many relays take no more"
        )
    if not content:
        raise Rejected(f"{path} is empty")
    return content
