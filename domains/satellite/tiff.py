"""A TIFF header read without any library: enough to recognise a file and to see that it is whole.

GDAL opens a truncated file happily and fails in the middle of a run; it also turns 64-bit nodata values into other
numbers. Both are visible in the first image file directory.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from gensr.scenes.directories import MAGIC

GEOGRAPHIC = {33550: "pixel scale", 33922: "tie points", 34264: "transformation", 34735: "geo keys", 50844: "RPC"}
COMPRESSION, SAMPLES, GEO_TEXTS, GDAL_METADATA, GDAL_NODATA = 259, 277, 34737, 42112, 42113
_OFFSETS, _COUNTS = (273, 324), (279, 325)
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_INTEGERS = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}
_MOST_ENTRIES = 4096
_OVERLAP = 1 << 20  # bytes that tags may share: some writers let equal ones point to one place


@dataclass(frozen=True)
class Tiff:
    """The first directory of a TIFF.

    Attributes:
        tags: raw bytes of every tag that lies inside the file.
        kinds: TIFF type code of every tag.
        order: ``"<"`` or ``">"``.
        size: bytes in the file.
    """

    tags: Mapping[int, bytes]
    kinds: Mapping[int, int]
    order: str
    size: int

    def georeference(self) -> list[str]:
        """Names of the geographic tags that are present."""
        return [name for tag, name in GEOGRAPHIC.items() if tag in self.tags]

    def integers(self, tag: int) -> tuple[int, ...]:
        """Values of an integer tag, empty if absent or of another type."""
        code = _INTEGERS.get(self.kinds.get(tag, 0))
        raw = self.tags.get(tag, b"")
        if code is None:
            return ()
        return struct.unpack(f"{self.order}{len(raw) // struct.calcsize(code)}{code}", raw)

    def nodata(self) -> str:
        """Text of GDAL's nodata tag as stored, empty if absent."""
        return self.tags.get(GDAL_NODATA, b"").split(b"\0")[0].decode("ascii", "replace").strip()

    def end(self) -> int:
        """First byte after the pixel data that the directory promises; 0 if it promises nothing checkable."""
        last = 0
        for offsets, counts in zip(_OFFSETS, _COUNTS, strict=True):
            pairs = zip(self.integers(offsets), self.integers(counts), strict=False)
            last = max([last, *(o + c for o, c in pairs if o)])
        return last


def read_tiff(path: Path) -> Tiff:
    """Read the first directory.

    Raises:
        ValueError: not a TIFF, or a directory that leaves the file.
    """
    with path.open("rb") as stream:
        size = stream.seek(0, 2)
        stream.seek(0)
        head = stream.read(16)
        if head[:4] not in MAGIC:
            raise ValueError("no TIFF signature")
        order = "<" if head[:2] == b"II" else ">"
        big = 43 in head[2:4]
        if len(head) < (16 if big else 8):
            raise ValueError("the file ends inside the TIFF header")
        start = struct.unpack_from(f"{order}Q" if big else f"{order}I", head, 8 if big else 4)[0]
        return _directory(stream, start, order, big, size)


def _directory(stream: BinaryIO, start: int, order: str, big: bool, size: int) -> Tiff:
    width, field, count_code = (20, 8, "Q") if big else (12, 4, "H")
    stream.seek(min(start, size))
    raw = stream.read(struct.calcsize(count_code))
    if len(raw) < struct.calcsize(count_code):
        raise ValueError(f"the first directory at byte {start} lies outside the file of {size} bytes")
    entries = struct.unpack(order + count_code, raw)[0]
    body = stream.read(min(entries, _MOST_ENTRIES) * width)
    if not 0 < entries <= _MOST_ENTRIES or len(body) < entries * width:
        raise ValueError(f"the first directory claims {entries} entries and is cut off")
    tags, kinds, total = {}, {}, 0
    for i in range(entries):
        tag, kind = struct.unpack_from(f"{order}HH", body, i * width)
        number = struct.unpack_from(order + ("Q" if big else "I"), body, i * width + 4)[0]
        length = number * _SIZES.get(kind, 1)
        place = i * width + 4 + field
        if length <= field:
            data = body[place : place + length]
        else:
            offset = struct.unpack_from(order + ("Q" if big else "I"), body, place)[0]
            if offset + length > size:
                raise ValueError(f"tag {tag} lies outside the file of {size} bytes")
            total += length
            if total > size + _OVERLAP:
                raise ValueError("its tags lie on top of one another")
            stream.seek(offset)
            data = stream.read(length)
        tags[tag], kinds[tag] = data, kind
    return Tiff(tags, kinds, order, size)
