"""The cosine basis of square windows: where a stationary remainder is diagonal."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor


@lru_cache(maxsize=16)
def cosine_line(side: int) -> Tensor:
    """Orthonormal DCT-II of one axis, (side, side) float64 from samples to coefficients."""
    i = torch.arange(side, dtype=torch.float64)
    line: Tensor = (2 / side) ** 0.5 * torch.cos(torch.pi * (i[None] + 0.5) * i[:, None] / side)
    line[0] /= 2**0.5
    return line


@lru_cache(maxsize=8)
def cosine_matrix(side: int) -> Tensor:
    """Orthonormal DCT-II as a (side^2, side^2) float64 matrix from pixels to coefficients.

    Coefficients are ordered by the sum of their two frequencies, so the first is the mean times ``side``.
    """
    i = np.arange(side)
    line = cosine_line(side).numpy()
    order = np.argsort(np.add.outer(i, i).ravel(), kind="stable")
    return torch.from_numpy(np.kron(line, line)[order])


def inside(side: int, window: int) -> Tensor:
    """Indices of the top left ``window`` x ``window`` pixels in a flattened ``side`` x ``side`` image."""
    keep = torch.arange(side) < window
    return torch.outer(keep, keep).flatten().nonzero()[:, 0]
