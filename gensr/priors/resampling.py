"""Resampling of feature maps by short filters, in plain PyTorch: no compiled extension.

``upsample, filter, downsample`` as StyleGAN's networks do it: zeros between the samples, zeros around (or samples cut
off where the padding is negative), a filter, every n-th sample kept.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import conv2d, conv_transpose2d, pad

BINOMIAL = (1.0, 3.0, 3.0, 1.0)
"""Usual filter of StyleGAN2."""
SHORT = 4
"""Taps up to which one pass over both axes is faster than two."""
SEPARABLE = 1e-6
"""Largest departure of a filter from a product of two, relative to its largest tap, that is rounding."""


def separated(taps: Tensor) -> Tensor:
    """A filter of two axes as one of one axis where it is the product of one with itself, else as it is.

    >>> separated(torch.tensor([[1.0, 2.0], [2.0, 4.0]])).tolist()
    [1.0, 2.0]
    """
    if taps.ndim == 1 or taps.shape[0] != taps.shape[1]:
        return taps
    total = float(taps.double().sum())
    line = taps.double().sum(0) / max(total, 1e-30) ** 0.5
    off = (torch.outer(line, line) - taps.double()).abs().max()
    return line.to(taps.dtype) if float(off) <= SEPARABLE * float(taps.abs().max()) else taps


def resample(x: Tensor, taps: Tensor, up: int = 1, down: int = 1, padding: Sequence[int] = (0, 0)) -> Tensor:
    """Filter at a multiple of the sampling, keep every n-th sample.

    Args:
        x: (n, c, h, w).
        taps: (k,) for both axes in turn, or (k, k); the filter is convolved, not correlated.
        up: multiple of the sampling.
        down: of the samples, one is kept.
        padding: zeros before and after, at the finer sampling; negative numbers cut samples off.

    Returns:
        (n, c, rows, cols); means are divided by the square of ``up``, as zeros were put in.
    """
    if taps.ndim == 1 and len(taps) <= SHORT:
        taps = torch.outer(taps, taps)
    if taps.ndim == 1:
        x = _filter(x, taps[:, None], (up, 1), (down, 1), (padding, (0, 0)))
        return _filter(x, taps[None], (1, up), (1, down), ((0, 0), padding))
    return _filter(x, taps, (up, up), (down, down), (padding, padding))


def _filter(
    x: Tensor, taps: Tensor, up: tuple[int, int], down: tuple[int, int], padding: Sequence[Sequence[int]]
) -> Tensor:
    """One filter (kh, kw) on both axes."""
    c = x.shape[1]
    kernel = taps.to(x.dtype).expand(c, 1, *taps.shape)
    if up == (1, 1):
        (top, bottom), (left, right) = padding
        wide = x if not any((top, bottom, left, right)) else pad(x, (left, right, top, bottom))
        return conv2d(wide, kernel.flip(2, 3), stride=down, groups=c)
    full = conv_transpose2d(x, kernel, stride=up, groups=c)  # every sample spreads: the convolution with zeros between
    spans = []
    for axis in (0, 1):
        size, k, (before, after) = x.shape[2 + axis], taps.shape[axis], padding[axis]
        count = size * up[axis] + before + after - k + 1
        start = k - 1 - before
        spans.append((start, start + count, full.shape[2 + axis]))
    (top, bottom, rows), (left, right, cols) = spans
    return pad(full, (-left, right - cols, -top, bottom - rows))[:, :, :: down[0], :: down[1]]
