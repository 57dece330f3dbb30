"""Low-resolution data in generator units, and what a generator says about the images behind them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from gensr.operators.base import Operator


@dataclass(frozen=True)
class Moments:
    """A posterior in closed form.

    Attributes:
        mean: (n, band, rows, cols), generator units.
        variance: same shape, marginal variance per pixel.
    """

    mean: Tensor
    variance: Tensor


@dataclass(frozen=True)
class Observation:
    """Low-resolution data in generator units, and the instrument that took them.

    Attributes:
        y: (n, band, rows, cols).
        operator: forward operator with unit gain.
        variance: noise variance of every pixel, shape of y.
        usable: bool, shape of y; False pixels are ignored.
        at_end: whether the last row, the last column is the border of the scene (not of a tile).
        exact: whether data are explained exactly; ``variance`` is then that of rounding.
    """

    y: Tensor
    operator: Operator
    variance: Tensor
    usable: Tensor
    at_end: tuple[bool, bool] = (True, True)
    exact: bool = False

    @property
    def shape(self) -> tuple[int, int]:
        """High-resolution (rows, cols)."""
        fy, fx = self.operator.factor
        return self.y.shape[-2] * fy, self.y.shape[-1] * fx

    def filled(self) -> Tensor:
        """The data (n, band, rows, cols); what is not usable takes the mean of the rest."""
        usable = self.usable.to(self.y.dtype)
        total = torch.where(self.usable, self.y, 0.0).sum((-2, -1), keepdim=True)
        return torch.where(self.usable, self.y, total / usable.sum((-2, -1), keepdim=True).clamp(min=1))
