"""The content codings of HTTP that ClickHouse's clients use: gzip, deflate, lz4 and zstd, piece by piece."""

import importlib
import sys
import zlib
from collections.abc import Callable
from typing import Any

_lz4: Any = importlib.import_module("lz4.frame")
_zstd: Any = importlib.import_module("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd")
_DECODERS: dict[str, Callable[[], Any]] = {
    "gzip": lambda: zlib.decompressobj(31),
    "deflate": zlib.decompressobj,
    "lz4": _lz4.LZ4FrameDecompressor,
    "zstd": _zstd.ZstdDecompressor,
}


def accepted(header: str) -> str | None:
    """The coding to answer with, of those an Accept-Encoding header names; None for none."""
    offered = {part.partition(";")[0].strip().lower() for part in header.split(",")}
    return next((coding for coding in ("lz4", "zstd", "gzip", "deflate") if coding in offered), None)


def whole(coding: str, data: bytes) -> bytes:
    """All of `data` at once."""
    encoder = Encoder(coding)
    return encoder.add(data) + encoder.end()


class Decoder:
    """Decodes a body as it arrives; frames may follow one another. Raises ValueError for an unknown coding."""

    def __init__(self, coding: str | None) -> None:
        name = (coding or "identity").strip().lower()
        if name != "identity" and name not in _DECODERS:
            raise ValueError(f"Unknown Content-Encoding {name}; these are known: {', '.join(_DECODERS)}")
        self._make = _DECODERS.get(name)
        self._frame: Any = None

    def add(self, chunk: bytes) -> bytes:
        """What `chunk` says; raises ValueError when it is damaged."""
        if self._make is None:
            return chunk
        out = bytearray()
        try:
            while chunk:
                if self._frame is None or self._frame.eof:
                    self._frame = self._make()
                out += self._frame.decompress(chunk)
                chunk = (self._frame.unused_data or b"") if self._frame.eof else b""
        except (zlib.error, RuntimeError, _zstd.ZstdError) as exc:
            raise ValueError(str(exc)) from exc
        return bytes(out)


class Encoder:
    """Encodes an answer as it is made, each piece readable when it arrives; None passes it on as it is."""

    def __init__(self, coding: str | None) -> None:
        self._begin = b""
        if coding == "lz4":
            frame = _lz4.LZ4FrameCompressor(auto_flush=True)
            self._begin, self._add, self._end = frame.begin(), frame.compress, frame.flush
        elif coding == "zstd":
            packer = _zstd.ZstdCompressor(level=1)
            self._add = lambda piece: packer.compress(piece, packer.FLUSH_BLOCK)
            self._end = packer.flush
        elif coding in ("gzip", "deflate"):
            zipper = zlib.compressobj(1, zlib.DEFLATED, 31 if coding == "gzip" else 15)
            self._add = lambda piece: zipper.compress(piece) + zipper.flush(zlib.Z_SYNC_FLUSH)
            self._end = zipper.flush
        else:
            self._add, self._end = (lambda piece: piece), (lambda: b"")

    def add(self, piece: bytes) -> bytes:
        """`piece` encoded."""
        begin, self._begin = self._begin, b""
        return begin + bytes(self._add(piece))

    def end(self) -> bytes:
        """What closes the answer."""
        begin, self._begin = self._begin, b""
        return begin + bytes(self._end())
