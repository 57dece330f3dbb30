"""Consistency with the data: the one score that needs no truth and that no generator can fake."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from gensr.operators.base import Operator


def _residual(operator: Operator, x: Tensor, y: Tensor) -> Tensor:
    return (operator.forward(x.double()) - y.double()).abs()


def _mean_square(values: Tensor, usable: Tensor | None) -> float:
    if usable is None:
        usable = torch.ones_like(values, dtype=torch.bool)
    weights = usable.expand_as(values)
    count = int(weights.sum())
    if count == 0:
        return float("nan")
    return float(torch.where(weights, values, 0.0).square().sum() / count)


def consistency_rms(
    operator: Operator, x: Tensor, y: Tensor, usable: Tensor | None = None, variance: Tensor | None = None
) -> float:
    """Root mean square of ``A x - y`` over usable pixels.

    Args:
        operator: forward operator ``A``.
        x: reconstruction (..., rows*fy, cols*fx), physical units.
        y: observation (..., rows, cols).
        usable: bool, broadcasts against ``y``; pixels that count, None for all. Others may be NaN.
        variance: noise variance, broadcasts against ``y``; then the result is in standard deviations of the noise.

    Returns:
        In the unit of ``y``, or without unit if a variance is given; NaN if no pixel is usable.

    >>> from gensr.operators import Area
    >>> consistency_rms(Area(2), torch.ones(4, 4), torch.full((2, 2), 0.5))
    0.5
    """
    residual = _residual(operator, x, y)
    if variance is not None:
        residual = residual / variance.double().sqrt()
    return math.sqrt(_mean_square(residual, usable))


def chi_square(operator: Operator, x: Tensor, y: Tensor, variance: Tensor, usable: Tensor | None = None) -> float:
    """Mean of ``(A x - y)^2 / variance`` per usable datum.

    For the true image it is 1 with standard deviation ``sqrt(2/m)`` over ``m`` data; a posterior sample has about 1,
    a posterior mean slightly less; much more means that the model does not explain the data.

    Args:
        operator: forward operator ``A``.
        x: reconstruction (..., rows*fy, cols*fx), physical units.
        y: observation (..., rows, cols).
        variance: noise variance, positive, broadcasts against ``y``.
        usable: bool, broadcasts against ``y``; None for all.

    Returns:
        Chi-square per datum; NaN if no pixel is usable.
    """
    return consistency_rms(operator, x, y, usable, variance) ** 2
