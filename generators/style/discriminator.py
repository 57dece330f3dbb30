"""The discriminator: residual blocks from the Haar bands of the picture down to 4 px, with a minibatch deviation.

It is needed for training alone and never shipped.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from .network import Conv, Dense, activate, haar_split

DETAIL = 3.0
"""Gain on the detail bands, which are weak in natural pictures."""
GROUP = 4
"""Pictures whose deviation is told to the last layers."""
FINEST, WIDEST = 32, 160
"""Usual channels at the finest level, doubled from level to level, and at most."""


def widths(levels: int) -> tuple[int, ...]:
    """Usual channels of a discriminator for a generator of so many levels, the finest first."""
    return tuple(min(FINEST * 2**k, WIDEST) for k in range(levels))


class Block(nn.Module):
    """Two 3 x 3 convolutions and a halving, beside a 1 x 1 shortcut."""

    def __init__(self, inward: int, outward: int) -> None:
        super().__init__()
        self.first, self.second = Conv(inward, inward, 3), Conv(inward, outward, 3)
        self.shortcut = Conv(inward, outward, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """``x`` (n, inward, h, w); returns (n, outward, h / 2, w / 2)."""
        y = avg_pool2d(activate(self.first(x)), 2)
        out: Tensor = (activate(self.second(y)) + self.shortcut(avg_pool2d(x, 2))) * 0.5**0.5
        return out


def deviation(x: Tensor, group: int = GROUP) -> Tensor:
    """One more channel: the mean deviation of features among a group of pictures (arXiv:1710.10196)."""
    n, _, h, w = x.shape
    size = next(g for g in range(min(group, n), 0, -1) if n % g == 0)
    groups = x.float().reshape(size, n // size, -1)
    spread = (groups.var(0, unbiased=False) + 1e-8).sqrt().mean(1)
    plane = spread.repeat(size).view(n, 1, 1, 1).expand(n, 1, h, w)
    return torch.cat([x, plane.to(x.dtype)], 1)


class Discriminator(nn.Module):
    """See the module text.

    Args:
        bands: bands of the pictures.
        widths: channels of each level, the finest (half the picture's side) first, the last at 4 px.
    """

    def __init__(self, bands: int, widths: Sequence[int]) -> None:
        super().__init__()
        self.inward = Conv(4 * bands, widths[0], 1)
        self.blocks = nn.ModuleList(Block(a, b) for a, b in pairwise(widths))
        last = widths[-1]
        self.mix = Conv(last + 1, last, 3)
        self.hidden, self.score = Dense(16 * last, last), Dense(last, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Logits (n,) of pictures (n, bands, side, side), -1..1: positive for those taken as real."""
        low, detail = haar_split(image)
        x = torch.cat([low, DETAIL * detail], 1).contiguous(memory_format=torch.channels_last)
        x = activate(self.inward(x))
        for block in self.blocks:
            x = block(x)
        x = activate(self.mix(deviation(x)))
        score: Tensor = self.score(activate(self.hidden(x.flatten(1))))
        return score[:, 0]
