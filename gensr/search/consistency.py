"""Data consistency: what is left of ``y - A x`` goes back into ``x``, as far as the noise allows.

Windows that overlap are averaged, and the average of exact posteriors is not quite a posterior: bright spots in the
corner of a window lose a little. The residual tells. With noise it is returned by the Bayes step of a prior whose
covariance is the posterior variance itself; without noise it is first spread by a smooth interpolation, which adds no
block pattern, and what remains is removed by the pseudo-inverse (the range-null-space projection of DDNM,
arXiv:2212.00490, eq. 8). Never hard onto noisy data: that costs more than a decibel.
"""

from __future__ import annotations

import torch
from torch import Tensor

from gensr.operators import Operator
from gensr.priors.observation import Observation

LOCAL = 5
"""Side of the neighbourhood in which a residual must exceed the noise, low-resolution pixels."""
PASSES = 3
REACH = 2 * PASSES
"""Low-resolution pixels that a correction spreads to either side."""


def update(x: Tensor, variance: Tensor, data: Observation) -> Tensor:
    """``x + V A^T (A V A^T + N)^-1 w (y - A x)`` with diagonal ``V``, and the diagonal of ``A V A^T``.

    Exact for area integration, where different data share no pixel. The residual is returned only where it is larger
    than noise: ``w = max(0, 1 - 1/c)`` with ``c`` the local mean of the squared residual in units of the noise.

    Args:
        x: (n, band, rows*fy, cols*fx).
        variance: posterior variance, shape of ``x``.
        data: what was observed.
    """
    operator = data.operator
    residual = torch.where(data.usable, data.y - operator.forward(x), 0.0)
    spread = operator.forward(variance) * operator.row_energy(data.y) + data.variance
    # Photon noise without read noise has no variance where nothing was counted.
    chi2 = residual.square() / data.variance.clamp(min=torch.finfo(residual.dtype).tiny)
    local = torch.nn.functional.avg_pool2d(chi2, LOCAL, 1, LOCAL // 2, count_include_pad=False)
    weight = (1 - 1 / local.clamp(min=1.0)).to(residual)
    return x + variance * operator.adjoint(weight * residual / spread)


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
