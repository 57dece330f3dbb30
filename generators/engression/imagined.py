"""Draws of the Gaussian posterior: what a linear estimator imagines.

An image ``x'`` of the prior and data ``y' = A x' + n'`` of it: what its linear estimate misses, ``x' - E[x' | y']``, is
a draw of the posterior less its mean (Hoffman and Ribak 1991, doi:10.1086/186160; perturb and solve). It has the
texture of the prior and leaves the data as they are, whatever the instrument: an answer where no network has one.
"""

from __future__ import annotations

import torch
from torch import Tensor

from gensr.priors.observation import Observation

from .layered import layers_of
from .linear import assumed, correction
from .prior import Prior, alike, filtered, frequencies


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
