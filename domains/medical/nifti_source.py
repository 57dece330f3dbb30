"""Bytes of a NIfTI file, plain or gzip-compressed, with every size checked before it is read."""

from __future__ import annotations

import gzip
import shutil
import tempfile
import zlib
from pathlib import Path
from typing import IO

from gensr.errors import FormatError
from gensr.values.limits import within

_STEP = 1 << 20
_BROKEN = (OSError, EOFError, zlib.error)


def is_gzip(path: Path) -> bool:
    """Whether a file starts as gzip data.

    Raises:
        FormatError: the file cannot be opened.
    """
    try:
        with path.open("rb") as stream:
            return stream.read(2) == b"\x1f\x8b"
    except OSError as error:
        raise FormatError(f"{path.name}: cannot be opened ({error.strerror}); check the path") from error


def head(path: Path, compressed: bool, size: int) -> bytes:
    """The first ``size`` bytes, after inflation.

    Raises:
        FormatError: the file is shorter or its compression is damaged.
    """
    try:
        if compressed:
            with gzip.open(path) as stream:
                data = stream.read(size)
        else:
            with path.open("rb") as stream:
                data = stream.read(size)
    except _BROKEN as error:
        raise FormatError(f"{path.name}: damaged gzip data before byte {size}; copy the file again") from error
    if len(data) < size:
        raise FormatError(f"{path.name}: ends after {len(data)} of {size} header bytes; the file is truncated")
    return data


def voxel_file(path: Path, compressed: bool, end: int) -> Path | IO[bytes]:
    """A file to map voxels from: the input itself, or an unnamed temporary copy of the first ``end`` inflated bytes.

    Raises:
        FormatError: the file holds fewer bytes than its header says, more than the limit, or does not fit the disk.
    """
    if not compressed:
        size = path.stat().st_size
        if size < end:
            raise FormatError(f"{path.name}: {size} bytes, its header says {end}; the file is truncated")
        return path
    within("scene", end, path.name)
    # Deflate cannot shrink below 1 : 1032, so a small file with a huge header is known to be short before inflating.
    if path.stat().st_size * 1100 + 4096 < end:
        raise FormatError(f"{path.name}: too small to inflate to the {end} bytes its header says; the file is damaged")
    free = shutil.disk_usage(tempfile.gettempdir()).free
    if free < end:
        raise FormatError(f"{path.name}: needs {end} bytes in the temporary folder, {free} are free; set TMPDIR")
    return _inflate(path, end)


def _inflate(path: Path, end: int) -> IO[bytes]:
    copy = tempfile.TemporaryFile()  # noqa: SIM115 - the caller maps it and closes it
    done = 0
    try:
        with gzip.open(path) as stream:
            while done < end and (block := stream.read(min(_STEP, end - done))):
                copy.write(block)
                done += len(block)
            # The checksum comes after the last byte: read on a little, so that it is verified.
            stream.read(_STEP)
    except _BROKEN as error:
        copy.close()
        raise FormatError(f"{path.name}: gzip data are damaged or cut after {done} of {end} bytes") from error
    if done < end:
        copy.close()
        raise FormatError(f"{path.name}: inflates to {done} bytes, its header says {end}; the file is truncated")
    copy.flush()
    return copy
