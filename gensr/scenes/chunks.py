"""Windows of chunked arrays: every chunk is unpacked once for the windows that meet it, in bounded memory."""

from __future__ import annotations

import itertools
import threading
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gensr.errors import FormatError
from gensr.scenes.stores import brief
from gensr.scenes.zarrays import Facts

CACHE_BYTES = 256 << 20

Codes = npt.NDArray[Any]


class ChunkReader:
    """Windows of an array whose last two axes are rows and columns.

    Args:
        path: for messages.
        array: indexed by slices.
        facts: its shape, chunks and type.
    """

    def __init__(self, path: Path, array: Any, facts: Facts) -> None:  # noqa: ANN401
        self._path, self._array, self._facts = path, array, facts
        self.dtype = facts.dtype.newbyteorder("=")
        self._cache: OrderedDict[tuple[int, ...], Codes] = OrderedDict()
        self._cached = 0
        self._lock = threading.Lock()

    def read(self, index: tuple[int, ...], row: int, col: int, rows: int, cols: int) -> Codes:
        """Codes (rows, cols) at an index of the other axes.

        Raises:
            FormatError: a chunk cannot be unpacked.
        """
        out = np.empty((rows, cols), self.dtype)
        high, wide = self._facts.chunks[-2:]
        outer = tuple(i // c for i, c in zip(index, self._facts.chunks, strict=False))
        inner = tuple(i % c for i, c in zip(index, self._facts.chunks, strict=False))
        for r, c in itertools.product(
            range(row // high, (row + rows - 1) // high + 1), range(col // wide, (col + cols - 1) // wide + 1)
        ):
            block = self._chunk((*outer, r, c))[inner]
            top, left = max(r * high, row), max(c * wide, col)
            bottom, right = min(r * high + block.shape[0], row + rows), min(c * wide + block.shape[1], col + cols)
            cut = block[top - r * high : bottom - r * high, left - c * wide : right - c * wide]
            out[top - row : bottom - row, left - col : right - col] = cut
        return out

    def close(self) -> None:
        """Forget what was unpacked."""
        self._cache.clear()

    def _chunk(self, number: tuple[int, ...]) -> Codes:
        with self._lock:
            if number in self._cache:
                self._cache.move_to_end(number)
                return self._cache[number]
            place = tuple(slice(n * c, (n + 1) * c) for n, c in zip(number, self._facts.chunks, strict=True))
            try:
                block = np.asarray(self._array[place]).astype(self.dtype, copy=False)
            except Exception as error:  # codecs raise errors of their own kinds for damaged data
                raise FormatError(
                    f"{self._path}: chunk {number} of array {self._facts.name!r} cannot be unpacked ({brief(error)}); "
                    "get an intact copy"
                ) from error
            self._cache[number] = block
            self._cached += block.nbytes
            while self._cached > CACHE_BYTES and len(self._cache) > 1:
                self._cached -= self._cache.popitem(last=False)[1].nbytes
            return block
