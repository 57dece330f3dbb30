"""Data consistency: what is left of ``y - A x`` goes back into ``x``, smoothly and exactly.

Noise-free data only. The residual is first spread by a smooth interpolation, which adds no block pattern, and what
remains is removed by the pseudo-inverse (the range-null-space projection of DDNM, arXiv:2212.00490, eq. 8).
"""

from __future__ import annotations

import torch
from torch import Tensor

from gensr.operators import Operator

PASSES = 3
REACH = 2 * PASSES
"""Low-resolution pixels that a correction spreads to either side."""


def project(x: Tensor, y: Tensor, usable: Tensor, operator: Operator) -> Tensor:
    """The image nearest to ``x`` in a smooth sense that explains ``y`` exactly where it is usable.

    Args:
        x: (n, band, rows*fy, cols*fx).
        y: (n, band, rows, cols), same units, for an operator of unit gain.
        usable: bool, shape of y.
        operator: local operator of unit gain.
    """
    for _ in range(PASSES):
        residual = torch.where(usable, y - operator.forward(x), 0.0)
        x = x + _spread(residual, x)
    residual = torch.where(usable, y - operator.forward(x), 0.0)
    return x + operator.pseudo_inverse(residual, tolerance=1e-7)


def _spread(residual: Tensor, like: Tensor) -> Tensor:
    size = (like.shape[-2], like.shape[-1])
    return torch.nn.functional.interpolate(residual, size=size, mode="bilinear", align_corners=False)
