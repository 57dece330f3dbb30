"""Compressed FITS files: gzip, bzip2, xz and zip, unpacked in blocks so that no claim costs memory."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zipfile
from collections.abc import Iterator
from pathlib import Path

from gensr.scenes import door

KINDS = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ\0": "xz", b"PK\x03\x04": "zip"}
DAMAGE = (OSError, *door.DAMAGE)
"""What the libraries raise for damaged, truncated, encrypted or unknown content."""
STEP = 1 << 20
XZ_MEMORY = 128 << 20
"""Bytes that an xz file may ask for to be unpacked: twice what ``xz -9`` needs."""


def packing(path: Path) -> str:
    """How a file is compressed, "" if it is not.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as stream:
        head = stream.read(6)
    return next((kind for magic, kind in KINDS.items() if head.startswith(magic)), "")


def unpacked(path: Path, kind: str, step: int = STEP) -> Iterator[bytes]:
    """The content of a compressed file, in blocks of at most ``step`` bytes.

    Raises:
        ValueError: a zip that does not hold exactly one file.
        OSError: and the others of `DAMAGE`.
    """
    if kind == "xz":
        yield from _xz(path, step)
    elif kind == "zip":
        with zipfile.ZipFile(path) as archive:
            members = [m for m in archive.infolist() if not m.is_dir() and not m.filename.startswith("__MACOSX/")]
            if len(members) != 1:
                raise ValueError(f"holds {len(members)} files where one FITS file is read; unpack it")
            with archive.open(members[0]) as source:
                while block := source.read(step):
                    yield block
    else:
        with gzip.open(path, "rb") if kind == "gzip" else bz2.open(path, "rb") as source:
            while block := source.read(step):
                yield block


def _xz(path: Path, step: int) -> Iterator[bytes]:
    decoder = lzma.LZMADecompressor(memlimit=XZ_MEMORY)
    with path.open("rb") as source:
        while not decoder.eof:
            data = source.read(STEP) if decoder.needs_input else b""
            if not data and decoder.needs_input:
                raise EOFError("ends before its xz stream does")
            if block := decoder.decompress(data, step):
                yield block
