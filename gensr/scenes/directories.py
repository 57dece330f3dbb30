"""The chain of directories of a TIFF, walked before any library does: loops, floods, and directories out of the file.

TIFF 6.0, section 2; BigTIFF as libtiff writes it.
"""

from __future__ import annotations

import mmap
import struct
from pathlib import Path

from gensr.errors import FormatError
from gensr.values.limits import within

MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
"""First bytes of a classic and a big TIFF, in both byte orders."""


def check_directories(path: Path) -> int:
    """Walk the chain of directories.

    Args:
        path: a regular file.

    Returns:
        How many directories there are; 0 if the file is no TIFF.

    Raises:
        FormatError: the chain runs in a loop, is too long, or leaves the file.
    """
    with path.open("rb") as stream:
        if stream.read(4) not in MAGIC:
            return 0
        try:
            with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
                return _walk(data, path)
        except struct.error as error:
            raise FormatError(f"{path}: the file ends inside the TIFF header; it is truncated") from error


def _walk(data: mmap.mmap, path: Path) -> int:
    order = "<" if data[:2] == b"II" else ">"
    big = 43 in data[2:4]
    count, width, pointer = (order + "Q", 20, order + "Q") if big else (order + "H", 12, order + "I")
    place = struct.unpack_from(pointer, data, 8 if big else 4)[0]
    seen: set[int] = set()
    # The first directory is for its reader to judge.
    while place:
        if place in seen:
            raise FormatError(f"{path}: its directories run in a loop at byte {place}; the file is damaged")
        seen.add(place)
        within("pages", len(seen), path)
        start = place + struct.calcsize(count)
        if start > len(data):
            if len(seen) == 1:
                break
            raise FormatError(f"{path}: directory {len(seen)} at byte {place} lies outside the file; it is truncated")
        after = start + struct.unpack_from(count, data, place)[0] * width
        if after + struct.calcsize(pointer) > len(data):
            if len(seen) == 1 or after <= len(data):  # some writers leave out the last pointer
                break
            raise FormatError(f"{path}: directory {len(seen)} at byte {place} is cut off; the file is truncated")
        place = struct.unpack_from(pointer, data, after)[0]
    return len(seen)
