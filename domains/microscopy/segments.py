"""Read windows of planes: from a memory map where samples lie plainly in the file, else by strips or tiles."""

from __future__ import annotations

import threading
from collections import OrderedDict
from copy import copy
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from gensr.errors import FormatError
from gensr.scenes.decoding import decoded
from gensr.values.grid import Window

from . import unpack
from .container import Container, compression_name

CACHE_BYTES = 256 << 20
_JPEG = (6, 7, 34892, 33007)
"""Compressions that take tables from the page."""

Codes = npt.NDArray[Any]


class Planes(Protocol):
    """Windows of planes, whatever they are stored in.

    Attributes:
        pages: number of pages that hold them.
        samples: planes of a page.
        separate: whether the samples of a page are stored one after the other.
        rows: rows of a stored plane.
        cols: columns of a stored plane.
        dtype: of the codes, native byte order.
    """

    @property
    def planes(self) -> int:
        """Number of planes."""

    pages: int
    samples: int
    separate: bool
    rows: int
    cols: int
    dtype: np.dtype[Any]

    def read(self, plane: int, window: Window) -> Codes:
        """Stored codes (y, x) of a window inside a plane."""

    def crop(self, window: Window) -> Planes:
        """A reader whose planes begin at the corner of a window."""

    def close(self) -> None:
        """Forget what was unpacked."""


class PlaneReader:
    """Windows of the planes of a series.

    A plane is one sample of one page. Planes count pages first and samples (RGB) last, in the order of the file.

    Args:
        container: the opened file.
    """

    def __init__(self, container: Container) -> None:
        self._path, self._series, self._key = container.path, container.series, container.key
        key = self._key
        separate, _, self.rows, self.cols, contiguous = (int(n) for n in key.shaped)
        self.samples = separate * contiguous
        self.separate = separate > 1
        total = int(np.prod(container.series.shape, dtype=np.int64))
        self.pages = total // (self.samples * self.rows * self.cols)
        self.stored = np.dtype(key.dtype).newbyteorder(container.tif.byteorder)
        self.dtype = np.dtype(key.dtype).newbyteorder("=")
        self._bytes: Any = np.memmap(container.path, np.uint8, "r")
        self._cache: OrderedDict[tuple[int, int], tuple[Codes, tuple[int, ...]]] = OrderedDict()
        self._cached = 0
        self.origin = (0, 0)
        self._lock = threading.Lock()

    @property
    def planes(self) -> int:
        """Number of planes."""
        return self.pages * self.samples

    def read(self, plane: int, window: Window) -> Codes:
        """Stored codes (y, x) of a window inside the plane, in native byte order.

        Raises:
            FormatError: if a strip or tile cannot be decoded.
        """
        window = window.shift(self.origin)
        page, sample = divmod(plane, self.samples)
        offset = self._plain_offset(page)
        codes = self._decoded(page, sample, window) if offset is None else self._mapped(offset, sample, window)
        return np.ascontiguousarray(codes, self.dtype)

    def crop(self, window: Window) -> PlaneReader:
        """A reader whose planes begin at the corner of a window; it takes over the file."""
        part = copy(self)
        part.origin = (window.row, window.col)
        return part

    def close(self) -> None:
        """Forget the map and decoded segments."""
        self._cache.clear()
        self._bytes = None

    def _plain_offset(self, page: int) -> int | None:
        start = self._series.dataoffset
        if start is not None:
            skip: int = page * self.samples * self.rows * self.cols * self.stored.itemsize
            return int(start) + skip
        found = self._series[page]
        if not (found.is_final and found.is_contiguous):
            return None
        first: int = found.dataoffsets[0]
        return first

    def _mapped(self, offset: int, sample: int, window: Window) -> Codes:
        size = self.samples * self.rows * self.cols * self.stored.itemsize
        flat = self._bytes[offset : offset + size].view(self.stored)
        row, col, rows, cols = window
        cut = np.s_[row : row + rows, col : col + cols]
        if self.separate:
            return np.asarray(flat.reshape(self.samples, self.rows, self.cols)[sample][cut])
        return np.asarray(flat.reshape(self.rows, self.cols, self.samples)[cut][..., sample])

    def _decoded(self, page: int, sample: int, window: Window) -> Codes:
        out = np.zeros((window.rows, window.cols), self.dtype)
        band, inner = (sample, 0) if self.separate else (0, sample)
        for segment in self._touched(band, window):
            data, (_, _, row, col, _) = self._segment(page, segment)
            top, left = max(row, window.row), max(col, window.col)
            bottom = min(row + data.shape[1], window.row + window.rows)
            right = min(col + data.shape[2], window.col + window.cols)
            if top < bottom and left < right:
                block = data[0, top - row : bottom - row, left - col : right - col, inner]
                out[top - window.row : bottom - window.row, left - window.col : right - window.col] = block
        return out

    def _touched(self, band: int, window: Window) -> list[int]:
        """Numbers of the strips or tiles that a window meets."""
        height, width = (int(n) for n in self._key.chunks[:2])
        down, across = -(-self.rows // height), -(-self.cols // width)
        first, last = window.row // height, (window.row + window.rows - 1) // height
        left, right = window.col // width, (window.col + window.cols - 1) // width
        return [(band * down + r) * across + c for r in range(first, last + 1) for c in range(left, right + 1)]

    def _segment(self, page: int, segment: int) -> tuple[Codes, tuple[int, ...]]:
        """Decoded samples (depth, y, x, samples) and their place (sample, depth, row, column, 0)."""
        with self._lock:
            hit = self._cache.get((page, segment))
            if hit is not None:
                self._cache.move_to_end((page, segment))
                return hit
            found = self._series[page]
            start, count = int(found.dataoffsets[segment]), int(found.databytecounts[segment])
            raw = bytes(self._bytes[start : start + count])
            jpeg = int(self._key.compression) in _JPEG
            try:
                data, place, shape = self._unpacked(raw, segment, found.jpegtables if jpeg else None, jpeg)
            # Codecs raise errors of their own kinds for damaged data.
            except Exception as error:
                raise FormatError(self._damage(page, segment, error)) from error
            if data is None:
                raise FormatError(f"{self._path}: page {page}: strip or tile {segment} is empty; get an intact copy")
            data = data.reshape(-1, *data.shape[-3:])[:, : shape[1], : shape[2]]
            self._remember((page, segment), data, place)
            return data, place

    def _unpacked(self, raw: bytes, segment: int, tables: bytes | None, jpeg: bool) -> tuple[Any, Any, Any]:
        """See ``TiffPage.decode``; plain samples here, what a codec has to unpack in the child process."""
        if int(self._key.compression) == 1:
            found: tuple[Any, Any, Any] = self._key.decode(raw, segment)
            return found
        most = 2 * int(np.prod(self._key.chunks, dtype=np.int64)) * self.dtype.itemsize + 4096
        words = [str(self._path.absolute()), int(self._key.offset), segment, (tables or b"").hex() if jpeg else None]
        data, rest = decoded(unpack.segment, words, most, raw)
        if rest is None:
            return None, (), ()
        place, shape = (tuple(int(n) for n in part) for part in rest)
        if data.dtype.newbyteorder("=") != self.dtype or len(place) != 5 or len(shape) != 4:
            raise ValueError(f"unpacks to {data.dtype} of shape {data.shape}")
        return data, place, shape

    def _damage(self, page: int, segment: int, error: Exception) -> str:
        text = " ".join(str(error).split())[:120]
        if "imagecodecs" in text:
            return f"{self._path}: compression {compression_name(self._key)} needs a codec; pip install imagecodecs"
        return f"{self._path}: page {page}: strip or tile {segment} cannot be decoded ({text}); get an intact copy"

    def _remember(self, key: tuple[int, int], data: Codes, place: tuple[int, ...]) -> None:
        self._cache[key] = data, place
        self._cached += data.nbytes
        while self._cached > CACHE_BYTES and len(self._cache) > 1:
            _, (old, _) = self._cache.popitem(last=False)
            self._cached -= old.nbytes


def loop_axes(container: Container, reader: PlaneReader) -> tuple[str, tuple[int, ...]]:
    """Axes of the planes of a series and their lengths; samples that lie in a page come last."""
    series = container.series
    pairs = [(a, int(n)) for a, n in zip(series.axes, series.shape, strict=True) if a not in "YX"]
    inner = [p for p in pairs if p[0] == "S"] if not reader.separate else []
    outer = [p for p in pairs if p not in inner]
    ordered = outer + inner
    return "".join(a for a, _ in ordered), tuple(n for _, n in ordered)
