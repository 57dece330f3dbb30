"""Draws of the Gaussian posterior: what a linear estimator imagines, and the noise that the network turns into detail.

An image ``x'`` of the prior and data ``y' = A x' + n'`` of it: what its linear estimate misses, ``x' - E[x' | y']``, is
a draw of the posterior less its mean (Hoffman and Ribak 1991, doi:10.1086/186160; perturb and solve). It has the
texture of the prior and leaves the data as they are, whatever the instrument, so a network has less to learn than from
white noise. Where data are, it is local: tiles agree.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from gensr.priors.observation import Observation

from .layered import layers_of
from .linear import Estimate, assumed, correction, phases_without_data
from .prior import Prior, alike, filtered, frequencies


@dataclass(frozen=True)
class Noise:
    """What makes a draw, both (n, band, rows, cols).

    Attributes:
        white: standard normal.
        imagined: a draw of the Gaussian posterior less its mean, in units of its deviation.
    """

    white: Tensor
    imagined: Tensor

    @staticmethod
    def only(white: Tensor) -> Noise:
        """For networks that are not shown what is imagined."""
        return Noise(white, torch.zeros_like(white))

    @staticmethod
    def none(like: Tensor) -> Noise:
        """Where no draw is meant."""
        zero = torch.zeros_like(like)
        return Noise(zero, zero)


def of_prior(white: Tensor, prior: Prior, periodic: bool) -> Tensor:
    """Images of the prior less its mean, of standard normal numbers (..., band, rows, cols)."""
    rows, cols = (frequencies(n, periodic, white) for n in white.shape[-2:])
    return filtered(alike(white, prior.alike), prior.power(rows, cols).sqrt(), periodic)


def of_data(white: Tensor, noise: Tensor, data: Observation, prior: Prior) -> Tensor:
    """Draws of the Gaussian posterior less its mean, generator units.

    Args:
        white: (n, band, rows, cols) standard normal.
        noise: (n, band, h, w) standard normal, for the data.
        data: instrument, noise and gaps; values do not matter.
        prior: of the image.
    """
    x = of_prior(white, prior, not data.operator.local)
    variance = assumed(data, prior)
    layers = layers_of(data.operator)
    seen = data.operator.forward(x) if layers is None else layers.over(x, [x] * len(layers.blurs))
    y = seen + variance.sqrt() * noise
    rest = torch.where(data.usable, y, 0.0)
    return x - correction(rest, variance, data.usable, data.operator, prior)


def imagine(fields: tuple[Tensor, Tensor], data: Observation, told: Estimate, prior: Prior) -> Noise:
    """The noise of a draw of a field.

    Args:
        fields: standard normal (n, band, rows, cols) each; the second is for the data, read at one pixel of each.
        data: what was observed.
        told: its linear estimate.
        prior: of the image.
    """
    fy, fx = data.operator.factor
    white, coarse = fields[0], fields[1][..., ::fy, ::fx]
    return Noise(white, of_data(white, coarse, data, prior) / told.deviation)


def freely(white: Tensor, prior: Prior) -> Noise:
    """The noise of a draw without data."""
    return Noise(white, of_prior(white, prior, False) / phases_without_data(prior))


def twice(data: Observation) -> Observation:
    """The same data once more behind themselves: for two draws at once."""
    y, variance, usable = (torch.cat([t, t]) for t in (data.y, data.variance, data.usable))
    return replace(data, y=y, variance=variance, usable=usable)
