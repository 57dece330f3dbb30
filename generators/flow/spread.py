"""How far samples spread: a multiplier of the starting noise under which they leave the mean as far as truths do.

What a network has not learned it answers with the mean, so its samples spread too little. Starting a little further
out along the deterministic flow carries over into the sample. Measured once after training, kept in the weights file.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from gensr.generator import Observation
from gensr.operators import Area
from gensr.random import Stream

from .generator import Flow

FACTORS = (4, 8)
TRIED = (1.0, 1.02, 1.04)
LEAST, MOST = 1.0, 1.06
WILDEST = 4.0
"""Ratios above count as this: an image that is nearly flat must not decide."""
FEWEST = 4
"""Data on a side below which a factor is not tried."""


def temperature(flow: Flow, images: Tensor) -> float:
    """The multiplier.

    Args:
        flow: trained.
        images: (n, band, rows, cols) in generator units, better not those of training.
    """
    found = [_fitted(flow, images, factor) for factor in FACTORS if min(images.shape[-2:]) // factor >= FEWEST]
    return sum(found) / len(found) if found else 1.0


def _fitted(flow: Flow, images: Tensor, factor: int) -> float:
    ratios = [spread_ratio(flow.tempered(t), images, factor) for t in TRIED]
    for (low, a), (high, b) in pairwise(zip(TRIED, ratios, strict=True)):
        if a <= 1 < b:
            return low + (high - low) * (1 - a) / (b - a)
    return LEAST if ratios[0] > 1 else MOST


def spread_ratio(flow: Flow, images: Tensor, factor: int) -> float:
    """Mean over images of the variance of two samples over the squared error of the mean, noise-free data."""
    rows, cols = (n // factor * factor for n in images.shape[-2:])
    x = images[..., :rows, :cols] * (factor if flow.flux else 1)
    y = avg_pool2d(x, factor)
    data = Observation(y, Area((factor, factor)), torch.zeros_like(y), torch.ones_like(y, dtype=torch.bool), exact=True)
    with torch.no_grad():
        see = flow.stretch.forward
        error = (see(flow.posterior(data).mean) - see(x)).square().flatten(1).mean(1)
        first, second = (
            see(flow.draw(data, lambda step, k=k: Stream(k).child("spread", step).normal(tuple(x.shape))))  # type: ignore[misc]
            for k in range(2)
        )
        variance = (first - second).square().flatten(1).mean(1) / 2
    return float((variance / error.clamp(min=1e-12)).clamp(max=WILDEST).mean())


def fitted(flow: Flow, images: Tensor) -> Flow:
    """The flow with its multiplier."""
    return flow.tempered(round(temperature(flow, images), 4))
