"""A bank of starts for a search: random styles, and the small pictures that they give."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from gensr.priors.whitening import Whitening

from .network import Network, style_of

BANK = 480
"""Starts in the bank."""
SEEN = 8
"""Side of the bank's pictures, pixels."""
CHUNK = 60


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
