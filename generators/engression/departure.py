"""What the data allow of a departure from the linear mean, whatever network makes it.

What the data see of it must be of the size that their noise hides; the rest is free. This is known of any linear
instrument before anything is learned, so that residuals are right in size at every scale.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, max_pool2d

from gensr.operators import Operator

from .layered import layered_correction, layers_of
from .prior import Prior, filtered
from .response import response

ROUGH = 0.01
"""Least deviation of the noise, generator units, to which departures are held where data are missing, or the response
is not symmetric: borders of gaps are fine detail that no image has, and undoing optics would blow it up."""
SKEW_STEPS = 3
"""Steps in which departures are made to fit data of a response that is not symmetric."""
WHITE = Prior(0.0, 1.0, 0.5, 0.0)
"""Of departures as networks make them."""
MOST_GAIN = 4.0
"""Largest gain of what data see of a departure."""
SMOOTH = 7
"""Side of the square of data over which a gain is smoothed."""
FEATHER = 2
"""Data over which a gap fades out."""


@dataclass(frozen=True)
class Leeway:
    """Which departures from the linear mean the data allow.

    Attributes:
        operator: the instrument.
        level: (n, band, 1, 1) typical noise variance of the usable data.
        usable: bool (n, band, h, w).
        spread: (n, band, 1, 1) mean of the posterior variance of pixels above usable data.
    """

    operator: Operator
    level: Tensor
    usable: Tensor
    spread: Tensor

    def each(self, change: Callable[[Tensor], Tensor]) -> Leeway:
        """Every tensor changed."""
        return Leeway(self.operator, change(self.level), change(self.usable), change(self.spread))

    def held(self, departure: Tensor, prior: Prior, gain: Tensor | None = None) -> Tensor:
        """A departure (n, band, rows, cols) with what the data see of it brought to the size that their noise allows.

        A departure that is white, with the variance of the posterior's pixels, comes out with the Gaussian posterior's
        variance in every mode of the data, ``s n / (s + n)`` for variance ``s`` of a mode and ``n`` of its noise.
        Whatever a network says is then right in scale where data speak, and free where they do not.

        Args:
            departure: from the linear mean, generator units.
            prior: of the image.
            gain: logarithm of a factor on what is seen, shape of ``departure``, for noise that is not quite such.
        """
        layers = layers_of(self.operator)
        if layers is not None:
            seen = torch.where(self.usable, layers.over(departure, [departure] * len(layers.blurs)), 0.0)
            return departure - layered_correction(seen, self.level.expand_as(seen), self.usable, layers, prior)
        weight = feathered(self.usable)
        over = above(weight, self.operator)
        seen = weight * self.operator.forward(over * departure)
        own = response(self.operator, prior, (seen.shape[-2], seen.shape[-1]), seen)
        # Two modes that share a cosine: in several steps, for none too long, since they are told apart by the operator.
        steps, data = (1, own.data) if own.symmetric else (SKEW_STEPS, 2 * own.data)
        whole = self.usable.all(-1, True).all(-2, True) & own.symmetric
        level = self.level.maximum((~whole).to(self.level) * ROUGH**2)
        total = data + level
        white = self.spread * response(self.operator, WHITE, (seen.shape[-2], seen.shape[-1]), seen).data
        allowed = (own.data * level / (total * white)).sqrt().clamp(max=MOST_GAIN if own.symmetric else 1.0)
        factor = torch.ones_like(seen)
        if gain is not None:  # smooth: borders would be fine detail that undoing optics blows up
            factor = pooled(avg_pool2d(gain, self.operator.factor), SMOOTH).exp()
        if not own.symmetric:
            factor = factor.clamp(max=1.0)
        for step in range(steps):
            if step:
                seen = weight * self.operator.forward(over * departure)
            off = filtered(seen - factor * filtered(seen, allowed, own.periodic), 1 / total, own.periodic)
            departure = departure - filtered(self.operator.adjoint(off), own.image, own.periodic)
        return departure


def feathered(usable: Tensor) -> Tensor:
    """1 where data are, 0 in gaps and next to them, and in between something smooth."""
    gaps = (~usable).float()
    if not bool(gaps.any()):
        return 1 - gaps
    return 1 - avg_pool2d(max_pool2d(gaps, 2 * FEATHER + 1, 1, FEATHER), 2 * FEATHER + 1, 1, FEATHER)


def above(x: Tensor, operator: Operator) -> Tensor:
    """What belongs to data (..., h, w), on the pixels above each: (..., rows, cols)."""
    return x.repeat_interleave(operator.factor[0], -2).repeat_interleave(operator.factor[1], -1)


def pooled(x: Tensor, side: int) -> Tensor:
    """Mean over a square around each datum, with zeros beyond the border."""
    rows = avg_pool2d(x, (side, 1), 1, (side // 2, 0))
    return avg_pool2d(rows, (1, side), 1, (0, side // 2))
