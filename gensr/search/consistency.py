"""Data consistency: what is left of ``y - A x`` goes back into ``x``, as far as the noise allows.

Windows that overlap are averaged, and the average of exact posteriors is not quite a posterior: bright spots in the
corner of a window lose a little. The residual tells. With noise it is returned by the Bayes step of a prior whose
covariance is the posterior variance itself; without noise it is first spread by a smooth interpolation, which adds no
block pattern, and what remains is removed by the pseudo-inverse (the range-null-space projection of DDNM,
arXiv:2212.00490, eq. 8). Never hard onto noisy data: that costs more than a decibel.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate, pad

from gensr.operators import Operator
from gensr.operators.linear import conjugate
from gensr.priors.observation import Observation

LOCAL = 5
"""Side of the neighbourhood in which a residual must exceed the noise, low-resolution pixels."""
ITERATIONS, TOLERANCE = 30, 1e-3
PASSES = 3
REACH = 2 * PASSES
"""Low-resolution pixels that an exact correction spreads to either side."""
ROUNDS = 8
"""Steps in which the coefficients of a smooth correction are found: each leaves at most 0.61 of the residual."""
TAPS = 5
"""Data on which the mean of cubic interpolation over a datum depends, along an axis."""
SMOOTH_REACH = TAPS // 2 * (ROUNDS + 1)
"""Low-resolution pixels that a smooth correction spreads to either side."""
BROAD = 17
"""Width of what is smoothed when sums are returned, data."""
BROAD_REACH = BROAD // 2
"""Low-resolution pixels that it spreads to either side."""


def update(x: Tensor, variance: Tensor, data: Observation) -> Tensor:
    """``x + V A^T (A V A^T + N)^-1 w (y - A x)`` with diagonal ``V``.

    The residual is returned only where it is larger than noise: ``w = max(0, 1 - 1/c)`` with ``c`` the local mean of
    the squared residual in units of the noise. Different data of area integration share no pixel, so ``A V A^T`` is
    diagonal. Of other instruments it is not: there conjugate gradients solve, and ``V`` is widened where the residual
    is larger than ``A V A^T + N`` allows, since a prior that does not know the optics may be surer than it is right.

    Args:
        x: (n, band, rows*fy, cols*fx).
        variance: posterior variance, shape of ``x``.
        data: what was observed.
    """
    operator = data.operator
    residual = torch.where(data.usable, data.y - operator.forward(x), 0.0)
    energy = operator.row_energy(data.y)
    spread = operator.forward(variance) * energy + data.variance
    # Photon noise without read noise has no variance where nothing was counted.
    chi2 = residual.square() / data.variance.clamp(min=torch.finfo(residual.dtype).tiny)
    weight = (1 - 1 / _local(chi2).clamp(min=1.0)).to(residual)
    if operator.local and operator.reach == 0:
        return x + variance * operator.adjoint(weight * residual / spread)
    excess = _local(residual.square() / spread.clamp(min=torch.finfo(residual.dtype).tiny)).clamp(min=1.0)
    wide = variance * excess.to(x).repeat_interleave(operator.factor[0], -2).repeat_interleave(operator.factor[1], -1)
    mask = data.usable.to(x)

    def normal(u: Tensor) -> Tensor:
        return mask * operator.forward(wide * operator.adjoint(mask * u)) + data.variance * u

    near = 1 / (operator.forward(wide) * energy + data.variance).clamp(min=torch.finfo(residual.dtype).tiny)
    u = conjugate(normal, weight * residual, near, ITERATIONS, TOLERANCE, 2)
    return x + wide * operator.adjoint(mask * u)


def broad(x: Tensor, data: Observation) -> Tensor:
    """A mean with what its residual still says over wide areas: sums of noisy data that hold.

    Over 17 data the noise is a ninth of that of a datum, and no prior knows a mean that well: the smoothed residual is
    returned whole. On validation images this changes no squared error by more than 0.3 %, while an empty sky, which
    one-evaluation means raise by 0.05 to 0.11 of the noise of a datum, moves by 0.01.

    Args:
        x: posterior mean, (n, band, rows*fy, cols*fx).
        data: what was observed, with noise, by an operator of unit gain.
    """
    precision = data.usable / data.variance.clamp(min=torch.finfo(data.variance.dtype).tiny).to(x)
    precision = precision / precision.amax((-2, -1), keepdim=True).clamp(min=torch.finfo(x.dtype).tiny)
    residual = torch.where(data.usable, data.y - data.operator.forward(x), 0.0)
    weight = _smooth(precision).clamp(min=torch.finfo(x.dtype).tiny)
    return x + _spread(_smooth(precision * residual) / weight, x)


def _smooth(x: Tensor) -> Tensor:
    """A triangle of `BROAD` data a side, cut at borders."""
    side = (BROAD + 1) // 2
    for _ in range(2):
        x = avg_pool2d(x, (side, 1), 1, (side // 2, 0), count_include_pad=False)
        x = avg_pool2d(x, (1, side), 1, (0, side // 2), count_include_pad=False)
    return x


def _local(x: Tensor) -> Tensor:
    """Mean over a neighbourhood of `LOCAL` data."""
    return avg_pool2d(x, LOCAL, 1, LOCAL // 2, count_include_pad=False)


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
    return interpolate(residual, size=_size(like), mode="bilinear", align_corners=False)


def project_smoothly(x: Tensor, y: Tensor, usable: Tensor, factor: tuple[int, int]) -> Tensor:
    """An image that explains means over pixels, its correction without a trace of their borders.

    `project` is for what a prior made, which has details of the size of a datum. Where nothing but interpolation lies
    beside it, what its few steps leave to each datum by itself shows as squares. Here the correction is the cubic
    interpolation whose means are the residual; its coefficients are found on the grid of the data (Richardson's
    iteration), so that a large factor costs no more.

    Args:
        x: (n, band, rows*fy, cols*fx).
        y: (n, band, rows, cols), means over pixels, same units.
        usable: bool, shape of y: the data to explain; nothing changes elsewhere.
        factor: fy, fx.
    """
    residual = torch.where(usable, y - _means(x, factor), 0.0)
    coefficients = residual
    for _ in range(ROUNDS - 1):
        coefficients = coefficients + torch.where(usable, residual - _cubic_means(coefficients, factor), 0.0)
    smooth = interpolate(coefficients, size=_size(x), mode="bicubic", align_corners=False)
    x = x + torch.where(_finely(usable, factor), smooth, 0.0)
    return x + _finely(torch.where(usable, y - _means(x, factor), 0.0), factor)


def _cubic_means(coefficients: Tensor, factor: tuple[int, int]) -> Tensor:
    """Means over every datum of the cubic interpolation, without making it."""
    for axis, times in zip((-2, -1), factor, strict=True):
        reach, length = TAPS // 2, coefficients.shape[axis]
        widths = (0, 0, reach, reach) if axis == -2 else (reach, reach, 0, 0)
        wide = pad(coefficients, widths, mode="replicate")  # what the interpolation does beyond a border
        coefficients = torch.zeros_like(coefficients)
        for k, weight in enumerate(_taps(times)):
            coefficients.add_(wide.narrow(axis, k, length), alpha=weight)
    return coefficients


@lru_cache
def _taps(times: int) -> tuple[float, ...]:
    """Share of each of `TAPS` neighbours in the mean of cubic interpolation over the middle one."""
    ones = torch.eye(TAPS, dtype=torch.float64)[:, None, :, None].expand(-1, -1, -1, TAPS)
    fine = interpolate(ones, size=(TAPS * times, TAPS), mode="bicubic", align_corners=False)[:, 0, :, 0]
    return tuple(fine.reshape(TAPS, TAPS, times).mean(-1)[:, TAPS // 2].tolist())


def _means(x: Tensor, factor: tuple[int, int]) -> Tensor:
    return avg_pool2d(x, factor)


def _finely(x: Tensor, factor: tuple[int, int]) -> Tensor:
    return x.repeat_interleave(factor[0], -2).repeat_interleave(factor[1], -1)


def _size(like: Tensor) -> tuple[int, int]:
    return like.shape[-2], like.shape[-1]
