"""Differentiable augmentation of what the discriminator sees, with a probability that follows its over-fitting.

The idea of arXiv:2006.06676: every picture, real or made, is changed with probability p, and p grows while the
discriminator is too sure of the real ones. Here: shifts, cut-outs and colour; mirror images belong to the data.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

TARGET = 0.6
"""Mean sign of the logits of real pictures that is aimed at."""
RAMP = 100_000
"""Pictures over which the probability could rise from 0 to 1."""
MOST = 0.85
"""Largest probability: beyond it the changes leak into what is made."""
SHIFT = 1 / 8
CUT = 1 / 2


def probability(before: float, sign: float, pictures: int) -> float:
    """The next probability after ``pictures`` real pictures whose logits had this mean sign."""
    step = pictures / RAMP * (1 if sign > TARGET else -1)
    return min(MOST, max(0.0, before + step))


def augment(image: Tensor, p: float, draw: torch.Generator) -> Tensor:
    """Changed copies (n, bands, side, side), each kind of change with probability ``p`` per picture.

    Args:
        image: -1..1.
        p: 0 returns the pictures as they are.
        draw: numbers, on the CPU.
    """
    if p <= 0:
        return image
    return _cut(_shift(_colour(image, p, draw), p, draw), p, draw)


def _chosen(n: int, p: float, draw: torch.Generator) -> Tensor:
    return (torch.rand(n, generator=draw) < p).float()


def _colour(image: Tensor, p: float, draw: torch.Generator) -> Tensor:
    """Brightness, contrast and saturation."""
    n = len(image)

    def strength(deviation: float) -> Tensor:
        value = torch.randn(n, generator=draw) * deviation * _chosen(n, p, draw)
        return value.view(n, 1, 1, 1).to(image)

    image = image * strength(0.25).exp() + strength(0.15)
    if image.shape[1] == 1:
        return image
    grey = image.mean(1, keepdim=True)
    return grey + (image - grey) * strength(0.4).exp()


def _shift(image: Tensor, p: float, draw: torch.Generator) -> Tensor:
    """Whole pixels in both directions, the border mirrored."""
    n, _, side, _ = image.shape
    most = max(1, int(side * SHIFT))
    by = torch.randint(-most, most + 1, (n, 2), generator=draw) * _chosen(n, p, draw)[:, None].long()
    if not bool(by.any()):
        return image
    wide = pad(image, (most, most, most, most), mode="reflect").unbind(0)
    starts = (by + most).tolist()
    return torch.stack([x[:, r : r + side, c : c + side] for x, (r, c) in zip(wide, starts, strict=True)])


def _cut(image: Tensor, p: float, draw: torch.Generator) -> Tensor:
    """One square of half the side is set to mid-grey."""
    n, _, side, _ = image.shape
    centre = torch.rand(n, 2, generator=draw) * side
    place = torch.arange(side) + 0.5
    rows, cols = ((place - centre[:, k : k + 1]).abs() < side * CUT / 2 for k in range(2))
    hole = (rows[:, :, None] & cols[:, None, :]).float() * _chosen(n, p, draw).view(n, 1, 1)
    return image * (1 - hole)[:, None].to(image)
