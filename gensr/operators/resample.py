"""Interpolating upsampler: what a preview shows beside the reconstruction, and what every method must beat.

A refined pixel ``j`` sits at ``(j + 0.5)/s - 0.5`` in old pixels, so the field of view does not move. At borders the
kernel is cut and scaled to sum to one, as Pillow's ``resize`` does. Cost is linear in the output.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Literal, TypeVar

import numpy as np
import numpy.typing as npt

from gensr.errors import UsageError
from gensr.operators.bicubic import keys
from gensr.operators.lanczos import lanczos
from gensr.values.grid import Factor, as_factor

Kind = Literal["nearest", "bicubic", "lanczos"]
Float = TypeVar("Float", np.float32, np.float64)
FloatArray = npt.NDArray[np.float64]

_KERNELS: dict[str, tuple[Callable[[FloatArray], FloatArray], int]] = {"bicubic": (keys, 2), "lanczos": (lanczos, 3)}


def upsample(values: npt.NDArray[Float], factor: int | Factor, kind: Kind = "lanczos") -> npt.NDArray[Float]:
    """Refine an image by interpolation.

    Values are intensities: divide flux per pixel by the product of the factors. NaN spreads as far as the kernel
    reaches; fill invalid pixels first and mask the result.

    Args:
        values: (band, y, x) or any (..., y, x), float32 or float64, any unit.
        factor: refinement, an integer or (rows, cols).
        kind: ``nearest``, ``bicubic`` (Keys, a = -0.5) or ``lanczos`` (3 lobes).

    Returns:
        (..., y * fy, x * fx) of the same dtype, not clipped.

    Raises:
        UsageError: for an unknown kind.
        GridError: for an impossible factor.

    >>> upsample(np.array([[[0.0, 4.0]]]), (1, 2), "nearest").tolist()
    [[[0.0, 0.0, 4.0, 4.0]]]
    """
    fy, fx = as_factor(factor)
    if kind == "nearest":
        return values.repeat(fy, -2).repeat(fx, -1)
    if kind not in _KERNELS:
        raise UsageError(f"unknown interpolation {kind!r}; there are nearest, bicubic, lanczos")
    return _refine(_refine(values, fy, kind, -2), fx, kind, -1)


def _refine(values: npt.NDArray[Float], s: int, kind: str, axis: int) -> npt.NDArray[Float]:
    if s == 1:
        return values.copy()
    index, weights = _taps(values.shape[axis], s, kind)
    shape = (-1, 1) if axis == -2 else (-1,)
    refined = np.zeros_like(values, shape=np.take(values, index[:, 0], axis).shape)
    for t in range(index.shape[1]):
        refined += np.take(values, index[:, t], axis) * weights[:, t].astype(values.dtype).reshape(shape)
    return refined


@lru_cache(maxsize=64)
def _taps(size: int, s: int, kind: str) -> tuple[npt.NDArray[np.int64], FloatArray]:
    """Source pixels and weights (size * s, taps) of one axis; pixels beyond the border have weight 0."""
    kernel, support = _KERNELS[kind]
    centres = (np.arange(size * s) + 0.5) / s - 0.5
    index = np.floor(centres).astype(np.int64)[:, None] + np.arange(1 - support, support + 1)[None, :]
    weights = np.where((index >= 0) & (index < size), kernel(index - centres[:, None]), 0.0)
    return index.clip(0, size - 1), weights / weights.sum(1, keepdims=True)
