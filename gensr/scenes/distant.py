"""Arrays in files whose numbers are decoded in the child process, one window after another."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from gensr.scenes.decoding import decoded


class DistantArray:
    """An array of known shape and type, indexed by whole numbers and slices.

    Args:
        function: of a file of the child; it gets the words, and first index and the one behind the last of every axis.
        words: its first arguments, JSON-able.
        shape: of the array.
        dtype: of its numbers.
    """

    def __init__(
        self, function: Callable[..., Any], words: Sequence[Any], shape: tuple[int, ...], dtype: np.dtype[Any]
    ) -> None:
        self._function, self._words = function, list(words)
        self.shape, self.dtype, self.ndim = tuple(shape), np.dtype(dtype), len(shape)

    def __getitem__(self, index: Any) -> npt.NDArray[Any]:  # noqa: ANN401
        """A part.

        Raises:
            DecodingError: it cannot be decoded.
            ValueError: it decodes to another shape or type.
        """
        places: list[list[int]] = []
        inner: list[slice | int] = []
        for wanted, size in zip(self._whole(index), self.shape, strict=True):
            numbers = range(size)[wanted] if isinstance(wanted, slice) else [range(size)[wanted]]
            ends = sorted((numbers[0], numbers[-1])) if numbers else [0, -1]
            low, high = ends[0], ends[1] + 1
            places.append([low, high])
            step = numbers.step if isinstance(numbers, range) else 1
            local = slice(None, None, step) if step > 0 else slice(high - low - 1, None, step)
            inner.append(local if isinstance(wanted, slice) else 0)
        shape = tuple(stop - start for start, stop in places)
        if 0 in shape:
            return np.empty(shape, self.dtype)[tuple(inner)]
        found, _ = decoded(self._function, [*self._words, places], math.prod(shape) * self.dtype.itemsize)
        if found.shape != shape or found.dtype.newbyteorder("=") != self.dtype.newbyteorder("="):
            raise ValueError(f"decodes to {found.dtype} {found.shape}, expected {self.dtype} {shape}")
        return np.asarray(found[tuple(inner)], self.dtype)

    def _whole(self, index: Any) -> list[Any]:  # noqa: ANN401
        given = list(index) if isinstance(index, tuple) else [index]
        if Ellipsis in given:
            place = given.index(Ellipsis)
            given[place : place + 1] = [slice(None)] * (self.ndim - len(given) + 1)
        return given + [slice(None)] * (self.ndim - len(given))
