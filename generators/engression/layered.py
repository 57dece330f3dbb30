"""Layers that move apart: their linear estimate, all layers at once, and what it is unsure of.

With ``y = sum_l A_l x_l + n`` and the same prior for every layer, ``u = (sum_l A_l C A_l^T + N)^-1 (y - m)`` and layer
``l`` is ``m + C A_l^T u``: the background behind people is found with what is seen of it through them, and people are
not blamed for what is not known of it. The picture is the sum of layers in their visible shares.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from gensr.operators import Layered, Operator
from gensr.operators.linear import conjugate
from gensr.operators.scaled import Scaled

from .prior import Prior, filtered, frequencies
from .response import phases

ITERATIONS, TOLERANCE = 100, 1e-4
NOTHING = 1e3
"""Variance, generator units, of a datum that is not usable."""


def layers_of(operator: Operator) -> Layered | None:
    """The layers of an operator; None where it has none."""
    bare = operator.operator if isinstance(operator, Scaled) else operator
    return bare if isinstance(bare, Layered) else None


def trust(operator: Operator, like: Tensor) -> Tensor | float:
    """How far a network may bend the linear estimate (rows, cols): not where two layers were seen through each other.

    It learned instruments that are the same everywhere, and takes such a border for detail.
    """
    layers = layers_of(operator)
    if layers is None:
        return 1.0
    mixed = sum((4 * seen * (1 - seen) for seen in layers.seen), torch.zeros_like(layers.visible))
    return (1 - mixed).clamp(0, 1).to(like)


def layered_correction(rest: Tensor, variance: Tensor, usable: Tensor, operator: Layered, prior: Prior) -> Tensor:
    """What data explain of a picture with the residual ``rest``; see `gensr.generators.engression.linear`."""
    kind, rest = rest.dtype, rest.double()
    noise = torch.where(usable, variance.double(), NOTHING)
    grid = [frequencies(n, False, rest) for n in rest.shape[-2:]]
    power = prior.power(*grid)
    layers = [(share.to(rest), blur, shown.to(rest)) for share, blur, shown in operator.layers]

    def behind(u: Tensor) -> list[Tensor]:
        return [filtered(share * blur.adjoint(shown * u), power, False) for share, blur, shown in layers]

    typical = torch.where(usable, variance.double(), 0.0).sum((-2, -1), True) / usable.sum((-2, -1), True).clamp(min=1)
    seen = torch.stack([_transfer(blur.psf, grid) for _, blur, _ in layers]).mean(0)
    root = (power * seen + typical).rsqrt()

    def half(v: Tensor) -> Tensor:
        return filtered(v, root, False)

    def normal(v: Tensor) -> Tensor:
        u = half(v)
        found = noise * u
        for (share, blur, shown), x in zip(layers, behind(u), strict=True):
            found = found + shown * blur.forward(share * x)
        return half(found)

    u = half(conjugate(normal, half(rest), 1.0, ITERATIONS, TOLERANCE, 2))
    shares = [operator.visible.to(rest), *(share for share, _, _ in layers[1:])]
    return sum((s * x for s, x in zip(shares, behind(u), strict=True)), torch.zeros_like(rest)).to(kind)


def layered_variance(variance: Tensor, usable: Tensor, operator: Layered, prior: Prior) -> Tensor:
    """Posterior variance (n, band, rows, cols): that of each layer's blur where it is seen."""
    count = usable.sum((-2, -1)).clamp(min=1)
    level = (torch.where(usable, variance, 0.0).sum((-2, -1)) / count).double().flatten()
    total = torch.zeros_like(variance, dtype=torch.float64)
    hidden = torch.full_like(total, 0.0)
    shares = [operator.visible, *operator.shares]
    for share, (_, blur, shown) in zip(shares, operator.layers, strict=True):
        told = phases(blur, prior, variance)
        own = told.variance(level)[:, 0, 0].view(*variance.shape[:2], 1, 1)
        # A layer that is partly hidden has fewer data: towards nothing it is as uncertain as the prior.
        open_ = blur.forward(shown).clamp(0, 1).to(total)
        hidden = hidden + share.to(total) * (1 - open_) * (told.prior - own)
        total = total + share.to(total) * own
    gap = (~usable) * (phases(operator.background, prior, variance).prior - total)
    return (total + hidden.clamp(min=0) + gap.clamp(min=0)).to(torch.float64)


def _transfer(psf: npt.NDArray[np.float64], grid: list[Tensor]) -> Tensor:
    """Power transfer of a kernel at frequencies of cosines, mean of the two that share one."""
    kernel = torch.from_numpy(np.array(psf)).to(grid[0])
    rows, cols = (torch.arange(n, dtype=grid[0].dtype, device=grid[0].device) - n // 2 for n in kernel.shape)
    down = torch.exp(-2j * torch.pi * grid[0][:, None] * rows)
    total = torch.zeros(len(grid[0]), len(grid[1]), dtype=grid[0].dtype, device=grid[0].device)
    for sign in (1, -1):
        across = torch.exp(-2j * torch.pi * sign * grid[1][:, None] * cols)
        total += (down @ kernel.to(down.dtype) @ across.mT).abs().square() / 2
    return total
