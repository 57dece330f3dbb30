"""What a mixture of low-rank Gaussians is made of, and small helpers of its windows."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

LEVEL_DEVIATION = 2.0
"""Prior standard deviation of the level of a window, generator units: about flat over the value range."""
LEVEL_MEAN = 0.5
FLOOR = 1e-4
"""Smallest noise deviation assumed in a window, generator units: below it single precision decides, not data."""


@dataclass(frozen=True)
class MixtureParameters:
    """Weights (k,), means (k, d), directions (k, d, r), remainders (k, d), float32, cosine coefficients with level."""

    side: int
    weight: Tensor
    mean: Tensor
    directions: Tensor
    remainder: Tensor

    @staticmethod
    def with_level(
        side: int, weight: Tensor, mean: Tensor, directions: Tensor, remainder: Tensor, level: float = LEVEL_DEVIATION
    ) -> MixtureParameters:
        """Add the nearly free level coefficient to parameters of the other ``side^2 - 1`` coefficients."""
        k, _, r = directions.shape
        first = torch.full((k, 1), LEVEL_MEAN * side)
        return MixtureParameters(
            side,
            weight.float() / weight.float().sum(),
            torch.cat([first, mean.float()], 1),
            torch.cat([torch.zeros(k, 1, r), directions.float()], 1),
            torch.cat([torch.full((k, 1), (level * side) ** 2), remainder.float()], 1),
        )

    def to(self, device: str) -> MixtureParameters:
        """A copy on a device."""
        tensors = (t.to(device) for t in (self.weight, self.mean, self.directions, self.remainder))
        return MixtureParameters(self.side, *tensors)


def noise_levels(variance: Tensor) -> tuple[list[float], Tensor]:
    """Group variances into few levels: their exact value if all agree, else steps of a factor of the square root of 2.

    Returns:
        The levels, and for every element the index of its level.
    """
    low, high = float(variance.min()), float(variance.max())
    if high <= low * (1 + 1e-6) + 1e-30:
        return [low], torch.zeros_like(variance, dtype=torch.long)
    step = (2 * variance.clamp(min=FLOOR**2).log2()).round()
    values, which = step.unique(return_inverse=True)
    return [2.0 ** (v / 2) for v in values.tolist()], which


def reflect(x: Tensor, down: int, right: int) -> Tensor:
    """Continue an image by reflection beyond its end, as often as needed."""
    h, w = x.shape[-2:]
    r, c = torch.arange(h + down) % (2 * h), torch.arange(w + right) % (2 * w)
    r, c = torch.where(r >= h, 2 * h - 1 - r, r), torch.where(c >= w, 2 * w - 1 - c, c)
    return x[..., r, :][..., c]
