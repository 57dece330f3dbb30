"""Training pairs: clean images, and low-resolution data of them at random factors, noise levels and gaps."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from gensr.priors.stretch import Stretch

from .hint import Hint, hint

QUIET, LOUD = 0.003, 0.12
"""Range of noise deviations, generator units."""


@dataclass(frozen=True)
class Recipe:
    """How training data are made.

    Attributes:
        factors: refinement factors and how often each is drawn.
        noisy: share of images whose data have noise.
        gaps: share with unusable data.
        smooth: share made by an anti-aliased cubic instead of the mean.
        blind: share at the noise level where the image says nothing.
        free: share without data.
        flux: whether images are fluxes, scaled by the factor (see `Generator.normaliser`) and with photon noise.
    """

    factors: tuple[tuple[int, float], ...]
    noisy: float = 0.6
    gaps: float = 0.05
    smooth: float = 0.1
    blind: float = 0.3
    free: float = 0.2
    flux: bool = False


def observe(x: Tensor, factor: int, recipe: Recipe, stretch: Stretch, draw: torch.Generator) -> Hint:
    """The hint of low-resolution data of ``x`` (n, band, rows, cols), generator units.

    Args:
        x: clean images; sides are multiples of ``factor``.
        factor: refinement of rows and columns.
        recipe: how data are made.
        stretch: from generator units to those of the network.
        draw: all choices come from here.
    """
    n = len(x)
    u = torch.rand(5, n, 1, 1, 1, generator=draw)
    y = avg_pool2d(x, factor)
    if not recipe.flux:
        cubic = interpolate(x, size=y.shape[-2:], mode="bicubic", antialias=True, align_corners=False)
        y = torch.where(u[0] < recipe.smooth, cubic, y)
    variance = torch.where(u[1] < recipe.noisy, (QUIET * (LOUD / QUIET) ** u[2]) ** 2, 0.0)
    photons = torch.where(u[3] < (0.9 if recipe.flux else 0.25), 10 ** (-4 + 1.7 * u[4]), 0.0)
    variance = variance + torch.where(variance > 0, photons, 0.0) * y.clamp(min=0)
    y = y + variance.sqrt() * torch.randn(y.shape, generator=draw)
    usable = torch.ones_like(y, dtype=torch.bool)
    for i in (torch.rand(n, generator=draw) < recipe.gaps).nonzero().flatten().tolist():
        rows, cols = y.shape[-2:]
        top, left, h, w = (int(torch.randint(0, m, (), generator=draw)) for m in (rows, cols, rows // 2, cols // 2))
        usable[i, :, top : top + 1 + h, left : left + 1 + w] = False
    v = stretch.forward(y)
    return hint(v, variance.sqrt() / stretch.slope(v), usable, (factor, factor))
