"""The energy score of two draws, on windows of a pyramid's levels and on sums of the data.

``ES(P, x) = E|X - x| - E|X - X'|/2`` is least in expectation when P is the distribution of ``x`` (Gneiting and
Raftery, JASA 2007, section 4.2); two draws ``a, b`` estimate it without bias by ``(|a-x| + |b-x| - |a-b|)/2``
(engression, arXiv:2307.00835). Distances of whole images say little, so it is taken on small pieces: windows of 1, 3
and 7 pixels on every level of a Laplacian pyramid. Residuals of a sample must be noise at every block size: the score
of what the instrument makes of draws, in blocks of data and in units of their noise, teaches that.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from gensr.priors.observation import Observation

WINDOWS = (1, 3, 7)
BLOCKS = (1, 2, 4, 8)
"""Sides of blocks of data."""
SMOOTH = 1e-3
"""Norms below it are flat, so that gradients are finite, units of the score."""
FINEST = 0.05
"""Least unit of a datum, in deviations of a pixel: what exact data ask beyond it is left to a data step."""


def pyramid(d: Tensor) -> list[Tensor]:
    """Differences of (n, band, rows, cols) and its 2 x 2 mean on every level, and the last mean."""
    levels = []
    while min(d.shape[-2:]) >= 4:
        rows, cols = d.shape[-2] // 2 * 2, d.shape[-1] // 2 * 2
        d = d[..., :rows, :cols]
        coarse = avg_pool2d(d, 2)
        levels.append(d - interpolate(coarse, scale_factor=2.0, mode="nearest"))
        d = coarse
    return [*levels, d]


def norms(d: Tensor, side: int) -> Tensor:
    """Root mean square over bands and every window of ``side`` pixels, (n, 1, ., .)."""
    square = d.square().mean(1, keepdim=True)
    if side > 1:
        square = avg_pool2d(square, side, 1)
    return (square + SMOOTH**2).sqrt()


def pieces(first: Tensor, second: Tensor, side: int = 1) -> Tensor:
    """Energy score (n,) of two draws, given less the truth, averaged over windows."""
    whole = norms(first, side) + norms(second, side) - norms(first - second, side)
    return 0.5 * whole.mean((1, 2, 3))


def energy(first: Tensor, second: Tensor) -> Tensor:
    """Energy score (n,) of images: mean over levels and windows.

    Args:
        first: a draw less the truth, (n, band, rows, cols), in units of the linear deviation.
        second: another.
    """
    terms = [
        pieces(a, b, side)
        for a, b in zip(pyramid(first), pyramid(second), strict=True)
        for side in WINDOWS
        if side <= min(a.shape[-2:])
    ]
    return torch.stack(terms).mean(0)


def sums(images: tuple[Tensor, ...], data: Observation, deviation: Tensor) -> list[tuple[Tensor, ...]]:
    """What the instrument makes of images (less the truth), in blocks of data and in units of their noise.

    Data that are not usable count as zero; blocks without any are zero.

    Args:
        images: each (n, band, rows, cols), generator units.
        data: the instrument, its noise and its gaps.
        deviation: linear deviation of every pixel, shape of an image.

    Returns:
        Per side of blocks, one (n, band, ., .) for each image.
    """
    seen = [torch.where(data.usable, data.operator.forward(image), 0.0) for image in images]
    variance = torch.where(data.usable, data.variance, 0.0)
    share, shape = data.usable.to(variance), variance.shape[-2:]
    least = (FINEST * deviation).square().mean((1, 2, 3), keepdim=True)
    out = []
    for side in BLOCKS:
        if side > 1 and min(shape) < 2 * side:
            break
        kept = avg_pool2d(share, side).clamp(min=1e-3)
        unit = (avg_pool2d(variance, side) / kept.square() + least).sqrt() / side
        out.append(tuple(avg_pool2d(image, side) / (kept * unit) for image in seen))
    return out


def energy_of_sums(first: Tensor, second: Tensor, data: Observation, deviation: Tensor) -> Tensor:
    """Energy score (n,) of what the instrument sees: mean over sides of blocks.

    Args:
        first: a draw less the truth, (n, band, rows, cols), generator units.
        second: another.
        data: see `sums`.
        deviation: see `sums`.
    """
    return torch.stack([pieces(a, b) for a, b in sums((first, second), data, deviation)]).mean(0)


def error_of_sums(mean: Tensor, data: Observation, deviation: Tensor) -> Tensor:
    """Squared error (n,) of what the instrument sees of a mean less the truth: mean over sides of blocks."""
    return torch.stack([d.square().mean((1, 2, 3)) for (d,) in sums((mean,), data, deviation)]).mean(0)
