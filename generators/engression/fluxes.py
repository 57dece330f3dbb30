"""Fluxes: sums over pixels that span more than four decades, seen by the network through an asinh.

A linear estimate of the stretched data is what the network is told; what it says is brought back to fluxes, where sums
hold. A network is right to some share of a flux only; bright data, whose noise is a smaller share, correct it.
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from gensr.operators import Operator
from gensr.priors.observation import Observation
from gensr.priors.stretch import NOISE_UNIT, Stretch

from .linear import QUIET, Estimate, estimate
from .prior import Prior
from .residual import about, moved

FIRST, LAST = 0.05, 0.1
"""Deviation of what a network makes of the flux of a datum, of that flux: at factors up to 4, and from 8 on: draws
of validation fields then leave residuals of 0.97 to 1.05 of the noise."""
CLEAR = 3.0
"""Deviations of the noise from which on a datum counts as bright."""
NEIGHBOURS, SURE = 7, 2.0
"""Side of the square of data whose mean squared residual is looked at, and how often what is expected is too much."""
LEAST = 2.0 / NOISE_UNIT
"""What stands for the deviation of a pixel where training measures sums, generator units; see `score.sums`."""
NEAR = 0.15
"""Farthest from the truth that a draw counts as in sums, network units: a factor of five in bright fluxes."""


def stretched(data: Observation, prior: Prior, stretch: Stretch) -> Estimate:
    """A linear estimate of stretched values, as if the instrument averaged those.

    Args:
        data: means of fluxes, generator units.
        prior: of stretched images.
        stretch: to network units.

    Returns:
        In network units, without leeway.
    """
    u = stretch.forward(data.y)
    variance = torch.zeros_like(u) if data.exact else data.variance / torch.as_tensor(stretch.slope(u)).square()
    return replace(estimate(replace(data, y=u, variance=variance), prior), leeway=None)


def share(operator: Operator) -> float:
    """To which share of the flux of a datum a network is right.

    >>> from gensr.operators import Area
    >>> [round(share(Area(f)), 3) for f in (2, 4, 6, 16)]
    [0.05, 0.05, 0.075, 0.1]
    """
    return min(max(math.sqrt(math.prod(operator.factor)) * FIRST / 4, FIRST), LAST)


def reconciled(x: Tensor, variance: Tensor, data: Observation, white: Tensor | None = None) -> Tensor:
    """An image with what bright data say beyond the share of a flux to which a network is right.

    A residual is noise ``n`` and the network's own error ``e``. A mean keeps the share ``n / (n + e)`` of it, a sample
    a draw of the noise given the residual. Faint data, in which the noise is all, change nothing.

    Args:
        x: (n, band, rows, cols), a mean or a sample, generator units.
        variance: where a correction goes, by pixel; shape of ``x``.
        data: block means.
        white: (n, band, h, w) standard normal, for a sample; None for a mean.
    """
    operator = data.operator
    rest = torch.where(data.usable, data.y - operator.forward(x), 0.0)
    noise = data.variance.clamp(min=QUIET**2)
    own = _own(data)
    # On images of no kind that it knows a network is further off, and its residuals say so.
    found = about(rest.square(), data.usable, NEIGHBOURS)
    own = own + (found - SURE * (noise + own)).clamp(min=0)
    kept = rest * noise / (noise + own)
    if white is not None:
        kept = kept + (noise * own / (noise + own)).sqrt() * white
    return moved(x, torch.where(data.usable, rest - kept, 0.0), variance, operator)


def errors(u: Tensor, x: Tensor, stretch: Stretch) -> Tensor:
    """What images in network units are off in fluxes, no farther than `NEAR`."""
    true = stretch.forward(x)
    return stretch.inverse(true + (u - true).clamp(-NEAR, NEAR)) - x


def in_sums(data: Observation) -> Observation:
    """Data whose sums a network is asked to explain: to the share of a flux to which it can be right."""
    return replace(data, variance=data.variance + _own(data))


def _own(data: Observation) -> Tensor:
    """Variance (n, band, h, w) of what a network makes of data; none in the sky, whose noise would lead it."""
    bright = data.y - CLEAR * data.variance.clamp(min=0).sqrt()
    return (share(data.operator) * bright.clamp(min=0)).square()
