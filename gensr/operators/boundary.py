"""Half-sample reflection, the boundary rule of every local operator: ... x1 x0 | x0 x1 ... xN | xN xN-1 ...

Rows of an operator then sum to one at borders too, and no value is invented beyond the edge.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

IntArray = npt.NDArray[np.int64]


def reflect(index: IntArray, size: int) -> IntArray:
    """Map any integer position to the pixel of 0 .. size-1 that reflection puts there.

    >>> reflect(np.arange(-3, 6), 3).tolist()
    [2, 1, 0, 0, 1, 2, 2, 1, 0]
    """
    index = index % (2 * size)
    return np.where(index >= size, 2 * size - 1 - index, index)


def _positions(size: int, margin: int, device: torch.device) -> Tensor:
    return torch.from_numpy(reflect(np.arange(-margin, size + margin), size)).to(device)


def pad(x: Tensor, margins: tuple[int, int]) -> Tensor:
    """Extend the last two axes by (rows, cols) reflected pixels on both sides; margins may exceed the image."""
    for axis, margin in zip((-2, -1), margins, strict=True):
        x = x.index_select(axis, _positions(x.shape[axis], margin, x.device))
    return x


def fold(x: Tensor, margins: tuple[int, int]) -> Tensor:
    """The adjoint of `pad`: add every margin pixel to the pixel it was copied from."""
    for axis, margin in zip((-2, -1), margins, strict=True):
        size = x.shape[axis] - 2 * margin
        shape = list(x.shape)
        shape[axis] = size
        x = x.new_zeros(shape).index_add(axis, _positions(size, margin, x.device), x)
    return x
