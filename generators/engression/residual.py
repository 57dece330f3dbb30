"""What a draw leaves of its data: residuals that are noise, as loud as the data say that their noise is.

At the noise of training a network sees to that by itself. Where noise is fainter, pixels hardly tell how far a draw is
from its data, and it comes too near; where noise is louder it stays too far. What is left says so.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from gensr.operators import Operator
from gensr.priors.observation import Observation

from .departure import above
from .linear import QUIET

WIDE = 25
"""Side of the square of data over which residuals are looked at."""
TOLERATED = 0.15
"""Share by which the mean squared residual may differ from the noise."""
SOFT = 0.02
"""Share of the noise below which much less is added than is missing: a root at 0 would make much of roundings."""


def settled(x: Tensor, variance: Tensor, data: Observation, white: Tensor) -> Tensor:
    """A draw whose residuals are noise: shrunk by what is too much, with the noise that is missing.

    A residual too large by the variance ``e`` of the draw's own error becomes a draw of the noise ``n`` given it,
    ``n / (n + e)`` of it and the rest new; to one that is too small what is missing is added.

    Args:
        x: (n, band, rows, cols), generator units.
        variance: where a correction goes, by pixel; shape of ``x``.
        data: block means, not exact.
        white: (n, band, h, w) standard normal.
    """
    noise = data.variance.clamp(min=QUIET**2)
    rest = torch.where(data.usable, data.y - data.operator.forward(x), 0.0)
    ratio = about(rest.square() / noise, data.usable, WIDE)
    own, missing = (ratio - 1 - TOLERATED).clamp(min=0), (1 - TOLERATED - ratio).clamp(min=0)
    new = own / ((own + SOFT) * (1 + own)).sqrt() + missing / (missing + SOFT).sqrt()
    kept = rest / (1 + own) + noise.sqrt() * new * white
    return moved(x, torch.where(data.usable, rest - kept, 0.0), variance, data.operator)


def about(x: Tensor, usable: Tensor, side: int) -> Tensor:
    """Mean over the usable data (n, band, h, w) in a square around each; gaps hold 0 and say nothing."""
    side = min(side, 2 * min(x.shape[-2:]) - 1)
    sums, count = (_mean(_mean(part, (side, 1)), (1, side)) for part in (x, usable.to(x)))
    return sums / count.clamp(min=1e-6)


def _mean(x: Tensor, sides: tuple[int, int]) -> Tensor:
    return avg_pool2d(x, sides, 1, (sides[0] // 2, sides[1] // 2), count_include_pad=False)


def moved(x: Tensor, change: Tensor, variance: Tensor, operator: Operator) -> Tensor:
    """An image whose block means (n, band, h, w) change, most where ``variance`` is large."""
    return x + variance * above(change / operator.forward(variance).clamp(min=1e-20), operator)
