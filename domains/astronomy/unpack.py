"""Decoding tile-compressed images of FITS in the child process: a file that imports nothing of gensr.

Before a tile is decoded, its place in the heap and the size that its own stream claims are compared with the tile: the
decoders of HCOMPRESS and PLIO believe their streams, and answer zeros or write beyond their memory for those that lie.
FITS standard 4.0, sections 10.1 and 10.4; PLIO as in IRAF (``pl_l2pi``).
"""

from __future__ import annotations

import math
import os
import struct
import warnings
import zlib
from functools import lru_cache
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt
from astropy.io import fits

_SIZES = {"B": 1, "I": 2, "J": 4, "K": 8, "E": 4, "D": 8}
_PACKED = ("COMPRESSED_DATA", "GZIP_COMPRESSED_DATA", "UNCOMPRESSED_DATA")


def tile_rows(path: str, index: int) -> npt.NDArray[np.int64]:
    """Length of a tile along the first axis, NumPy order.

    Args:
        path: of the file.
        index: of the HDU.
    """
    return np.asarray([_hdu(path, os.stat(path).st_mtime_ns, index).tile_shape[0]], np.int64)


def rows(path: str, index: int, start: int, stop: int) -> npt.NDArray[Any]:
    """Stored values of a range along the first axis.

    Args:
        path: of the file.
        index: of the HDU.
        start: first index.
        stop: behind the last index.

    Raises:
        ValueError: a tile lies outside the heap, or its stream is of another size.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        hdu = _hdu(path, os.stat(path).st_mtime_ns, index)
        _check(hdu, path, index, start, stop)
        return np.asarray(hdu.section[start:stop])


@lru_cache(maxsize=1)
def _hdu(path: str, changed: int, index: int) -> Any:  # noqa: ANN401
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return fits.open(path, memmap=False, do_not_scale_image_data=True)[index]


def _check(hdu: Any, path: str, index: int, start: int, stop: int) -> None:  # noqa: ANN401
    """Compare the tiles that a range meets with what is stored for them.

    Raises:
        ValueError: see `rows`.
    """
    descriptors, heap, end = _table(path, os.stat(path).st_mtime_ns, index)
    shape, tile = hdu.shape, hdu.tile_shape
    grid = [range(-(-n // t)) for n, t in zip(shape, tile, strict=True)]
    grid[0] = range(start // tile[0], -(-stop // tile[0]))
    first = grid[0].start * math.prod(map(len, grid[1:]))
    with open(path, "rb") as stream:
        for number, place in enumerate(product(*grid), first):
            sides = [int(min(t, n - p * t)) for p, t, n in zip(place, tile, shape, strict=True)]
            for name, (places, size) in descriptors.items():
                count, offset = (int(n) for n in places[number])
                if count == 0:
                    continue  # another column holds this tile
                if count < 0 or offset < 0 or heap + offset + count * size > end:
                    text = f"tile {number}: {count} values at byte {offset} lie outside the heap of {end - heap} bytes"
                    raise ValueError(text)
                codec = {"COMPRESSED_DATA": hdu.compression_type, "GZIP_COMPRESSED_DATA": "GZIP_1"}.get(name, "")
                if codec in _CHECKS:
                    stream.seek(heap + offset)
                    _CHECKS[codec](stream.read(count * size), sides, number)
                break


@lru_cache(maxsize=1)
def _table(path: str, changed: int, index: int) -> tuple[dict[str, tuple[npt.NDArray[Any], int]], int, int]:
    """Counts and offsets of the columns of packed data with the bytes of their values; begin and end of the heap."""
    with warnings.catch_warnings(), fits.open(path, memmap=False, disable_image_compression=True) as hdus:
        warnings.simplefilter("ignore")
        header, begin = hdus[index].header, hdus[index].fileinfo()["datLoc"]
        layout = np.dtype(hdus[index].columns.dtype).newbyteorder(">")
        forms = {column.name: str(column.format).lstrip("1") for column in hdus[index].columns}
    width, length = int(header["NAXIS1"]), int(header["NAXIS2"])
    if layout.itemsize != width:
        raise ValueError(f"rows of {width} bytes for columns of {layout.itemsize}")
    heap = int(header.get("THEAP", width * length))
    if heap < width * length:
        raise ValueError(f"a heap at byte {heap} inside a table of {width * length} bytes")
    end = min(begin + width * length + int(header["PCOUNT"]), os.stat(path).st_size)
    stored = np.memmap(path, layout, "r", begin, (length,))
    found = {n: (np.array(stored[n]), _SIZES.get(forms[n][1:2], 1)) for n in _PACKED if n in forms}
    if any(places.shape != (length, 2) for places, _ in found.values()):
        raise ValueError("columns of packed data that hold no descriptors")
    return found, begin + heap, end


def _gzip(data: bytes, sides: list[int], number: int) -> None:
    most, done = 8 * math.prod(sides), 0
    while data:
        stream = zlib.decompressobj(31)
        done += len(stream.decompress(data, most - done + 1))
        if done > most:
            raise ValueError(f"tile {number} of {sides} pixels unpacks to more than {most} bytes")
        if not stream.eof:
            raise ValueError(f"tile {number} ends before its gzip stream does")
        data = stream.unused_data.lstrip(b"\0")


def _hcompress(data: bytes, sides: list[int], number: int) -> None:
    if len(data) < 25 or data[:2] != b"\xdd\x99":
        raise ValueError(f"tile {number} is no stream of HCOMPRESS")
    claimed = list(struct.unpack(">ii", data[2:10]))
    if claimed != [n for n in sides if n > 1]:
        raise ValueError(f"tile {number} of {sides} pixels is a stream of {claimed}")


def _plio(data: bytes, sides: list[int], number: int) -> None:
    """A list of ranges must lie within its words, and its runs must add up to the pixels of the tile."""
    words = np.frombuffer(data[: len(data) // 2 * 2], ">i2").astype(np.int64)
    if len(words) < 3 or (words[2] <= 0 and len(words) < 5):
        raise ValueError(f"tile {number} is no list of PLIO")
    head = [int(word) for word in words[:5]]
    length, first = (head[2], 3) if head[2] > 0 else ((head[4] << 15) + head[3], head[1])
    if not (3 <= first <= length <= len(words)):
        raise ValueError(f"tile {number}: a list of {length} words from {first} in {len(words)} words")
    words = words[first:length]
    kind, spare = words >> 12, -1
    for place in np.flatnonzero(kind == 1):  # the word behind is the upper half of a value
        if place != spare:
            spare = int(place) + 1
            if spare >= len(words):
                raise ValueError(f"tile {number}: its last value is cut")
            kind[spare] = 3
    if words[kind != 3].min(initial=0) < 0:
        raise ValueError(f"tile {number}: words that are no instruction")
    runs = int((words & 4095)[np.isin(kind, (0, 4, 5))].sum() + np.isin(kind, (6, 7)).sum())
    if runs != math.prod(sides):
        raise ValueError(f"tile {number} of {sides} pixels is a list of {runs}")


_CHECKS = {"GZIP_1": _gzip, "GZIP_2": _gzip, "HCOMPRESS_1": _hcompress, "PLIO_1": _plio}
