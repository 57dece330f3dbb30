"""Writing FITS files larger than memory: reserve an HDU, fill it window by window, then seal the checksums."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from astropy.io import fits

from .headers import cut_comments
from .pixels import BITPIX, Index
from .structure import BLOCK

_STRUCTURE = re.compile(
    r"^(SIMPLE|XTENSION|BITPIX|NAXIS\d*|EXTEND|PCOUNT|GCOUNT|GROUPS|CHECKSUM|DATASUM|ZDITHER0|NEXTEND|INHERIT|END)$"
)
_CHUNK = 1 << 24


@dataclass(frozen=True)
class Slot:
    """A reserved image array; one of an empty file takes no values."""

    path: Path
    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    empty: bool = False

    def put(self, index: Index, codes: npt.NDArray[Any]) -> None:
        """Store a window. The mapping lives only for the call, so written pages do not count as our memory."""
        if self.empty:
            return
        np.memmap(self.path, self.dtype, "r+", self.offset, self.shape)[index] = codes


class FitsStream:
    """A FITS file written HDU by HDU.

    Args:
        path: the new file.
        empty: write headers alone; arrays are holes that take no disk.
    """

    def __init__(self, path: Path, empty: bool = False) -> None:
        self.path, self.empty = path, empty
        self._hdus: list[tuple[Any, int, int, int]] = []  # header, header offset, data offset, padded data size
        path.write_bytes(b"")

    def image(self, header: Any, shape: tuple[int, ...], bitpix: int) -> Slot:  # noqa: ANN401
        """Reserve an image HDU, the first one as primary.

        Args:
            header: cards without structure; structural cards in it are replaced.
            shape: NumPy order.
            bitpix: FITS code of the stored type.
        """
        dtype = np.dtype(BITPIX[bitpix])
        cards: list[Any] = [("SIMPLE", True, "conforms to FITS standard")]
        if self._hdus:
            cards = [("XTENSION", "IMAGE", "Image extension")]
        cards += [("BITPIX", bitpix, "array data type"), ("NAXIS", len(shape), "number of array dimensions")]
        cards += [(f"NAXIS{i + 1}", n) for i, n in enumerate(reversed(shape))]
        cards += [("PCOUNT", 0), ("GCOUNT", 1)] if self._hdus else [("EXTEND", True)]
        offset = self._append(_with_structure(cards, header), math.prod(shape) * dtype.itemsize)
        return Slot(self.path, offset, shape, dtype, self.empty)

    def array(self, header: Any, values: npt.NDArray[Any], bitpix: int) -> None:  # noqa: ANN401
        """Write a small image HDU at once."""
        self.image(header, values.shape, bitpix).put((), values)

    def copy_image(self, header: Any, shape: tuple[int, ...], bitpix: int, source: Path, offset: int) -> None:  # noqa: ANN401
        """Write an image HDU whose codes are bytes of another file."""
        slot = self.image(header, shape, bitpix)
        self._copy(source, offset, math.prod(shape) * slot.dtype.itemsize, slot.offset)

    def copy_table(self, header: Any, source: Path, offset: int, size: int) -> None:  # noqa: ANN401
        """Write a table HDU, bytes unchanged."""
        start = self._append(_sealed(header), size)
        self._copy(source, offset, size, start)

    def table(self, hdu: Any) -> None:  # noqa: ANN401
        """Write a small table HDU made by astropy."""
        data = hdu.data.tobytes()
        start = self._append(_sealed(hdu.header), len(data))
        with self.path.open("r+b") as stream:
            stream.seek(start)
            stream.write(data)

    def seal(self) -> None:
        """Fill in DATASUM and CHECKSUM of every HDU (FITS standard 4.0, appendix J)."""
        with self.path.open("r+b") as stream:
            for header, place, start, size in self._hdus:
                stream.seek(start)
                total, left = 0, 0 if self.empty else size
                while left and (block := stream.read(min(left, _CHUNK))):
                    total, left = ones_sum(block, total), left - len(block)
                header["DATASUM"] = (str(total), "data unit checksum")
                header["CHECKSUM"] = ("0" * 16, "HDU checksum")
                header["CHECKSUM"] = (encode_sum(ones_sum(_bytes(header), total)), "HDU checksum")
                stream.seek(place)
                stream.write(_bytes(header))

    def _append(self, header: Any, size: int) -> int:  # noqa: ANN401
        text = _bytes(header)
        padded = -(-size // BLOCK) * BLOCK
        with self.path.open("r+b") as stream:
            place = stream.seek(0, 2)
            stream.write(text)
            stream.truncate(place + len(text) + padded)
        self._hdus.append((header, place, place + len(text), padded))
        return place + len(text)

    def _copy(self, source: Path, offset: int, size: int, target: int) -> None:
        if self.empty:
            return
        with source.open("rb") as read, self.path.open("r+b") as write:
            read.seek(offset)
            write.seek(target)
            while size and (block := read.read(min(size, _CHUNK))):
                write.write(block)
                size -= len(block)


def ones_sum(block: bytes, start: int = 0) -> int:
    """Ones' complement sum of big-endian 32-bit words."""
    total = int(np.frombuffer(block, ">u4").sum(dtype=np.uint64)) + start
    while total >> 32:
        total = (total & 0xFFFFFFFF) + (total >> 32)
    return total


def encode_sum(total: int) -> str:
    """The 16 characters that make the sum of the whole HDU all ones; letters and digits only."""
    value = ~total & 0xFFFFFFFF
    out = [0] * 16
    for i in range(4):
        byte = (value >> (24 - 8 * i)) & 0xFF
        four = [byte // 4 + ord("0")] * 4
        four[0] += byte % 4
        while any(not chr(c).isalnum() for c in four):
            for j in (0, 2):
                if not (chr(four[j]).isalnum() and chr(four[j + 1]).isalnum()):
                    four[j] += 1
                    four[j + 1] -= 1
        for j in range(4):
            out[4 * j + i] = four[j]
    return "".join(map(chr, out[-1:] + out[:-1]))


def _with_structure(cards: list[Any], header: Any) -> Any:  # noqa: ANN401
    built = fits.Header(cards)
    for card in header.cards:
        if not _STRUCTURE.match(card.keyword):
            built.append(card, end=True)
    return _sealed(built)


def _sealed(header: Any) -> Any:  # noqa: ANN401
    """A copy with room for both checksum cards, so that sealing does not move any byte."""
    copied = header.copy()
    copied["DATASUM"] = ("0" * 10, "data unit checksum")
    copied["CHECKSUM"] = ("0" * 16, "HDU checksum")
    return copied


def _bytes(header: Any) -> bytes:  # noqa: ANN401
    with cut_comments():
        return str(header.tostring()).encode("ascii")
