"""Statistics of a mapping network that make its search space white.

The pre-activation v of the last mapping layer is nearly Gaussian (Wulff and Torralba, arXiv:2009.06529), unlike the
style w. With mean and full covariance ``F F^T`` of v, ``u = F^-1 (v - mean)`` is standard normal: what is searched.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

SAMPLES = 50_000
"""Latents that mean and covariance are measured on."""
CHUNK = 5000
"""Latents that go through the mapping together."""
FLAT = 1e-7
"""Smallest variance of a direction, relative to the largest."""


@dataclass(frozen=True)
class Whitening:
    """Mean (style,) and factor (style, style) of v, directions of most variance first."""

    mean: Tensor
    factor: Tensor

    def to(self, device: str | torch.dtype) -> Whitening:
        """A copy on a device, or of a precision."""
        return Whitening(self.mean.to(device), self.factor.to(device))

    def colour(self, u: Tensor) -> Tensor:
        """White (..., style) to v."""
        return u @ self.factor.T + self.mean

    def whiten(self, v: Tensor) -> Tensor:
        """Inverse of `colour`."""
        square = self.factor.square().sum(0)  # the columns are orthogonal
        return (v - self.mean) @ self.factor / square

    @property
    def deviation(self) -> Tensor:
        """Standard deviation of every number of v, (style,): what a diagonal whitening knows."""
        return self.factor.square().sum(1).sqrt()


@torch.no_grad()
def measure(
    mapping: Callable[[Tensor], Tensor], latent: int, samples: int = SAMPLES, seed: int = 50_021, device: str = "cpu"
) -> Whitening:
    """Mean and covariance of v, in chunks: memory does not grow with ``samples``.

    Args:
        mapping: from z (n, latent), standard normal, to v (n, style).
        latent: numbers of z.
        samples: latents that are drawn, on the CPU.
        seed: of the draws.
        device: where the mapping lives.
    """
    draw = torch.Generator().manual_seed(seed)
    anchor: Tensor | None = None
    first = second = torch.zeros(())
    for begin in range(0, samples, CHUNK):
        z = torch.randn(min(CHUNK, samples - begin), latent, generator=draw)
        v = mapping(z.to(device)).cpu().double()
        if anchor is None:  # sums about a value in the middle lose no digits
            anchor = v.mean(0)
        v = v - anchor
        first, second = first + v.sum(0), second + v.T @ v
    if anchor is None:
        raise ValueError(f"samples={samples}: expected 2 or more")
    centred = second - torch.outer(first, first) / samples
    variance, direction = torch.linalg.eigh(centred / (samples - 1))
    scale = variance.clamp(min=float(variance[-1]) * FLAT).sqrt()
    return Whitening((anchor + first / samples).float(), (direction * scale).flip(1).float())
