"""Statistics of a trained mapping network that make its search space white, and a bank of starts for a search.

The pre-activation v of the last mapping layer is nearly Gaussian (Wulff and Torralba, arXiv:2009.06529), unlike the
style w. With mean and full covariance ``F F^T`` of v, ``u = F^-1 (v - mean)`` is standard normal: what is searched.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from .network import MappingNetwork, Network, style_of

SAMPLES = 50_000
"""Latents that mean and covariance are measured on."""
FLAT = 1e-7
"""Smallest variance of a direction, relative to the largest."""
BANK = 480
"""Starts in the bank."""
SEEN = 8
"""Side of the bank's pictures, pixels."""
CHUNK = 60


@dataclass(frozen=True)
class Whitening:
    """Mean (style,) and factor (style, style) of v, directions of most variance first."""

    mean: Tensor
    factor: Tensor

    def to(self, device: str) -> Whitening:
        """A copy on a device."""
        return Whitening(self.mean.to(device), self.factor.to(device))

    def colour(self, u: Tensor) -> Tensor:
        """White (..., style) to v."""
        return u @ self.factor.T + self.mean

    def whiten(self, v: Tensor) -> Tensor:
        """Inverse of `colour`."""
        square = self.factor.square().sum(0)  # the columns are orthogonal
        return (v - self.mean) @ self.factor / square


@dataclass(frozen=True)
class Bank:
    """Starts: white styles (count, style), and their pictures at a small side (count, bands, s, s), 0..1."""

    style: Tensor
    picture: Tensor

    def to(self, device: str) -> Bank:
        """A copy on a device."""
        return Bank(self.style.to(device), self.picture.to(device))

    def nearest(self, y: Tensor, usable: Tensor, count: int = 1) -> Tensor:
        """The entries whose pictures are closest to each of the data, best first, (n * count, style).

        Args:
            y: (n, bands, h, w), 0..1; data and pictures are compared at the coarser of both samplings.
            usable: bool, shape of y; other pixels are not compared.
            count: entries for each of the data; more than there are begin again with the best.
        """
        size = (min(y.shape[-2], self.picture.shape[-2]), min(y.shape[-1], self.picture.shape[-1]))
        share = adaptive_avg_pool2d(usable.to(y), size)
        mean = adaptive_avg_pool2d(torch.where(usable, y, torch.zeros_like(y)), size) / share.clamp(min=1e-6)
        pool = adaptive_avg_pool2d(self.picture.to(y), size).flatten(1)
        weight, seen = share.flatten(1), mean.flatten(1)
        # sum of w (s - p)^2 over pixels, written out; the first term does not depend on p
        distance = weight @ pool.square().T - 2 * (weight * seen) @ pool.T
        order = distance.argsort(stable=True, dim=1)
        return self.style[order[:, torch.arange(count, device=order.device) % len(self.style)].flatten()]


@torch.no_grad()
def measure(mapping: MappingNetwork, latent: int, samples: int = SAMPLES, seed: int = 50_021) -> Whitening:
    """Mean and covariance of v over ``samples`` latents."""
    draw = torch.Generator().manual_seed(seed)
    parts = torch.randn(samples, latent, generator=draw).split(5000)
    wide = torch.cat([mapping(z).double() for z in parts])
    mean = wide.mean(0)
    centred = wide - mean
    variance, direction = torch.linalg.eigh(centred.T @ centred / (len(wide) - 1))
    scale = variance.clamp(min=float(variance[-1]) * FLAT).sqrt()
    return Whitening(mean.float(), (direction * scale).flip(1).float())


@torch.no_grad()
def bank(network: Network, whitening: Whitening, count: int = BANK, seed: int = 50_023) -> Bank:
    """Random styles and the pictures that they give, without noise."""
    draw = torch.Generator().manual_seed(seed)
    u = torch.randn(count, network.shape.style, generator=draw)
    found = []
    for part in u.split(CHUNK):
        w = style_of(whitening.colour(part))[:, None].expand(-1, network.shape.layers, -1)
        image = network.synthesis(w, network.noise(len(part), None, "cpu"))
        found.append(adaptive_avg_pool2d((image + 1) / 2, SEEN).clamp(0, 1))
    return Bank(u, torch.cat(found))
