"""What low-resolution data tell the network before the search: an interpolation, where it is known, how noisy it is."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from gensr.values.grid import Factor

CENTRE = 0.5
"""Value that images without a hint are expected to have, network units."""


@dataclass(frozen=True)
class Hint:
    """All (n, ..., rows, cols) of the image, network units.

    Attributes:
        base: (n, band, rows, cols) smooth interpolation of the data, `CENTRE` without data.
        known: (n, 1, rows, cols) share of bands whose datum is usable.
        noise: (n, 1, rows, cols) standard deviation of the noise of the datum above each pixel.
        given: (n,) 1 where there are data.
        factor: (n, 2) refinement of rows and columns, 1 without data.
    """

    base: Tensor
    known: Tensor
    noise: Tensor
    given: Tensor
    factor: Tensor

    @staticmethod
    def none(count: int, bands: int, shape: tuple[int, int], device: str | torch.device = "cpu") -> Hint:
        """No data."""
        empty = torch.zeros(count, 1, *shape, device=device)
        base = torch.full((count, bands, *shape), CENTRE, device=device)
        one = torch.ones(count, 2, device=device)
        return Hint(base, empty, empty, torch.zeros(count, device=device), one)

    def keep(self, chosen: Tensor) -> Hint:
        """The hint where ``chosen`` (n,) is true, none elsewhere."""
        wide = chosen.view(-1, 1, 1, 1)
        return Hint(
            torch.where(wide, self.base, CENTRE),
            torch.where(wide, self.known, 0.0),
            torch.where(wide, self.noise, 0.0),
            self.given * chosen,
            torch.where(chosen[:, None], self.factor, 1.0),
        )

    def to(self, device: str) -> Hint:
        """On another device."""
        tensors = (t.to(device) for t in (self.base, self.known, self.noise, self.given, self.factor))
        return Hint(*tensors)

    def crop(self, row: int, col: int, rows: int, cols: int) -> Hint:
        """A window of the image."""
        base, known, noise = (t[..., row : row + rows, col : col + cols] for t in (self.base, self.known, self.noise))
        return Hint(base, known, noise, self.given, self.factor)


def filled(y: Tensor, usable: Tensor) -> Tensor:
    """``y`` with unusable data replaced by means of what surrounds them, ever wider, at last by that of the image."""
    if bool(usable.all()):
        return y
    weight = usable.to(y)
    known = torch.where(usable, y, 0.0)
    out, sure = known, weight
    for side in (3, 7, 15):
        total = avg_pool2d(known, side, 1, side // 2, count_include_pad=False)
        share = avg_pool2d(weight, side, 1, side // 2, count_include_pad=False)
        reached = (share > 0) & (sure == 0)
        out = torch.where(reached, total / share.clamp(min=1e-6), out)
        sure = torch.where(reached, 1.0, sure)
    mean = known.sum((-2, -1), keepdim=True) / weight.sum((-2, -1), keepdim=True).clamp(min=1)
    return torch.where(sure > 0, out, mean)


def hint(y: Tensor, deviation: Tensor, usable: Tensor, factor: Factor) -> Hint:
    """The hint of data.

    Args:
        y: (n, band, h, w) means over the pixels of a datum, network units.
        deviation: shape of ``y``, standard deviation of the noise.
        usable: bool, shape of ``y``.
        factor: refinement of (rows, cols).
    """
    fy, fx = factor
    rows, cols = y.shape[-2] * fy, y.shape[-1] * fx
    base = interpolate(filled(y, usable), size=(rows, cols), mode="bicubic", align_corners=False)
    known = _spread(usable.to(y).mean(1, keepdim=True), factor)
    noise = _spread(torch.where(usable, deviation, 0.0).square().mean(1, keepdim=True).sqrt(), factor)
    factors = torch.tensor([float(fy), float(fx)], device=y.device).expand(len(y), 2)
    return Hint(base, known, noise, torch.ones(len(y), device=y.device), factors)


def _spread(x: Tensor, factor: Factor) -> Tensor:
    return x.repeat_interleave(factor[0], -2).repeat_interleave(factor[1], -1)


def local_mean(x: Tensor, side: int = 17) -> Tensor:
    """Mean over a square around each pixel."""
    rows = avg_pool2d(x, (side, 1), 1, (side // 2, 0), count_include_pad=False)
    return avg_pool2d(rows, (1, side), 1, (0, side // 2), count_include_pad=False)


def octaves(factor: Tensor) -> Tensor:
    """Binary logarithm of the mean factor, (n,)."""
    return factor.log2().mean(1)
