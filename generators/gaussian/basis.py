"""The cosine basis of square windows: where a stationary remainder is diagonal."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor


@lru_cache(maxsize=8)
def cosine_matrix(side: int) -> Tensor:
    """Orthonormal DCT-II as a (side^2, side^2) float64 matrix from pixels to coefficients.

    Coefficients are ordered by the sum of their two frequencies, so the first is the mean times ``side``.
    """
    i = np.arange(side)
    line = np.sqrt(2 / side) * np.cos(np.pi * (i[None] + 0.5) * i[:, None] / side)
    line[0] /= np.sqrt(2)
    order = np.argsort(np.add.outer(i, i).ravel(), kind="stable")
    return torch.from_numpy(np.kron(line, line)[order])


def inside(side: int, window: int) -> Tensor:
    """Indices of the top left ``window`` x ``window`` pixels in a flattened ``side`` x ``side`` image."""
    keep = torch.arange(side) < window
    return torch.outer(keep, keep).flatten().nonzero()[:, 0]
