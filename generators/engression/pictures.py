"""Batches of training windows, or of aligned pictures, in generator units, varied so that what was seen differs.

Contrast, offset, gamma, negative, flips and turns, scale and blur; every choice comes from the generator that is given,
so that a step can be repeated wherever a run was stopped.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import conv2d, interpolate, pad

from gensr.values.grid import Factor

FloatArray = npt.NDArray[np.float32]
FLAT = 0.02
"""Deviation below which a window is called flat, generator units."""
KEEP_FLAT = 0.3
"""Share of flat windows that are used."""
WILDEST = 6.0
"""Largest value of a plane that is used: in a nearly empty plane percentiles say nothing."""
LARGEST_SCALE = 2.0
TRIES = 30
SIDES = (1.0, 1.0, 1.0, 0.75, 0.5)
"""Of a batch of aligned pictures, as shares of their own, each as often as it stands here."""


@dataclass(frozen=True)
class Variation:
    """How images vary: deviations of logarithms and shares.

    Attributes:
        contrast: deviation of the logarithm of a factor about the middle of the range.
        offset: deviation of what is added.
        gamma: deviation of the logarithm of the exponent.
        negative: share of negatives.
        scaled: share of windows that are reduced from larger ones.
        blurred: share with a Gaussian blur of up to 1.2 pixels.
        bands: deviation of the logarithm of a factor, and of four times what is added, of each band by itself.
    """

    contrast: float = 0.25
    offset: float = 0.04
    gamma: float = 0.2
    negative: float = 0.04
    scaled: float = 0.3
    blurred: float = 0.15
    bands: float = 0.0


class Fields:
    """Random windows of planes, drawn by the square root of their area.

    Args:
        images: (band, rows, cols) each; every band is a plane of its own, unless ``joint``.
        low, high: percentiles of a plane that become 0 and 1.
        side: of the windows.
        variation: of contrast, scale and so on.
        unit: for fluxes, the value of one generator unit instead of percentiles; they vary in brightness alone.
        joint: whether the bands of an image stay together.

    Attributes:
        largest: absolute value of all planes, generator units.
    """

    def __init__(
        self,
        images: Iterable[FloatArray],
        low: float,
        high: float,
        side: int,
        variation: Variation | None = None,
        unit: float | None = None,
        joint: bool = False,
    ) -> None:
        large = (image for image in images if min(image.shape[-2:]) >= side)
        bands = large if joint else (band[None] for image in large for band in image)
        if unit is None:
            scaled = (_scaled(band, low, high) for band in bands)
        else:
            scaled = (np.asarray(band / np.float32(unit), np.float32) for band in bands)
        self.unit, self.largest = unit, 0.0
        self.planes: list[Tensor] = []
        for plane in scaled:
            largest = float(np.abs(plane).max())
            self.largest = max(self.largest, largest)
            if unit is not None or largest <= WILDEST:
                self.planes.append(torch.from_numpy(plane).half())
        self.side, self.variation = side, variation or Variation()
        weight = torch.tensor([p.numel() for p in self.planes], dtype=torch.float64).sqrt()
        self.edges = (weight / weight.sum()).cumsum(0) if self.planes else weight

    def __len__(self) -> int:
        return len(self.planes)

    @property
    def bands(self) -> int:
        """Of every window."""
        return self.planes[0].shape[0] if self.planes else 1

    def window(self, draw: torch.Generator) -> Tensor:
        """One window (band, side, side)."""
        for attempt in range(TRIES):
            u = torch.rand(8, generator=draw).tolist()
            plane = self.planes[min(int(torch.searchsorted(self.edges, u[0])), len(self.planes) - 1)]
            side = self.side
            if u[1] < self.variation.scaled:
                side = min(*plane.shape[-2:], int(side * LARGEST_SCALE ** u[2]))
            top, left = (int(v * (n - side + 1)) for v, n in zip(u[3:5], plane.shape[-2:], strict=True))
            piece = plane[:, top : top + side, left : left + side].float()
            if float(piece.std()) > FLAT or u[5] < KEEP_FLAT or attempt == TRIES - 1:
                break
        if side > self.side:
            piece = interpolate(piece[None], (self.side, self.side), mode="bicubic", antialias=True)[0]
        turn = int(8 * u[6])
        piece = torch.rot90(piece, turn % 4, (-2, -1))
        return piece.flip(-2) if turn > 3 else piece

    def cut(self, x: Tensor, factor: Factor) -> Tensor:
        """Windows with sides that are multiples of ``factor``."""
        rows, cols = (n // s * s for n, s in zip(x.shape[-2:], factor, strict=True))
        return x[..., :rows, :cols].contiguous()

    def batch(self, count: int, draw: torch.Generator) -> Tensor:
        """(count, band, side, side)."""
        stack = torch.stack([self.window(draw) for _ in range(count)])
        if self.unit is not None:
            return stack * (self.variation.contrast * torch.randn(count, 1, 1, 1, generator=draw)).exp()
        return varied(stack, self.variation, draw)


@dataclass(frozen=True)
class Pictures:
    """Whole aligned pictures and their mirror images, all bands together; some batches smaller.

    Attributes:
        stack: (n, band, side, side), generator units, half precision.
        variation: of contrast, offset and gamma; aligned content has no other scale or sign.
        sides: see `SIDES`.
    """

    stack: Tensor
    variation: Variation
    sides: tuple[float, ...] = SIDES

    @staticmethod
    def of(
        images: Iterable[FloatArray], unit: float, variation: Variation, sides: tuple[float, ...] = SIDES
    ) -> Pictures:
        """Pictures (band, side, side) of one size; ``unit`` is full scale.

        Raises:
            ValueError: sizes differ, or pictures are not square.
        """
        stack = torch.stack([torch.from_numpy(image / np.float32(unit)).half() for image in images])
        if stack.ndim != 4 or stack.shape[-1] != stack.shape[-2]:
            raise ValueError("pictures are not square")
        return Pictures(stack, variation, sides)

    def __len__(self) -> int:
        return len(self.stack)

    def batch(self, count: int, draw: torch.Generator) -> Tensor:
        """(count, band, side, side)."""
        chosen = torch.randint(0, len(self.stack), (count,), generator=draw)
        x = self.stack[chosen].float()
        x = torch.where(torch.rand(count, 1, 1, 1, generator=draw) < 0.5, x.flip(-1), x)
        share = self.sides[int(torch.randint(0, len(self.sides), (), generator=draw))]
        side = round(share * x.shape[-1])
        return varied(_resized(x, (side, side)), self.variation, draw)

    def cut(self, x: Tensor, factor: Factor) -> Tensor:
        """Images with sides that are multiples of ``factor``, of the same field of view."""
        rows, cols = (n // s * s for n, s in zip(x.shape[-2:], factor, strict=True))
        return _resized(x, (rows, cols))


def _resized(x: Tensor, size: tuple[int, int]) -> Tensor:
    if tuple(x.shape[-2:]) == size:
        return x
    return interpolate(x, size=size, mode="bicubic", antialias=True, align_corners=False)


def varied(x: Tensor, variation: Variation, draw: torch.Generator) -> Tensor:
    """Images (n, band, rows, cols) with contrast, offset, gamma, sign and blur of their own."""
    u = torch.rand(3, len(x), 1, 1, 1, generator=draw)
    g = torch.randn(3, len(x), 1, 1, 1, generator=draw)
    x = torch.where(u[0] < variation.blurred, _blurred(x, 1.2 * u[1]), x)
    x = x.sign() * (x.abs() + 1e-6) ** (variation.gamma * g[0]).exp()
    x = torch.where(u[2] < variation.negative, 1 - x, x)
    x = 0.5 + (x - 0.5) * (variation.contrast * g[1]).exp() + variation.offset * g[2]
    if x.shape[1] == 1 or variation.bands == 0:
        return x
    own = variation.bands * torch.randn(2, *x.shape[:2], 1, 1, generator=draw)
    return x * own[0].exp() + own[1] / 4


def _blurred(x: Tensor, width: Tensor, radius: int = 4) -> Tensor:
    """Gaussian blur; ``width`` (n, 1, 1, 1) pixels."""
    at = torch.arange(-radius, radius + 1, dtype=x.dtype)
    taps = (-0.5 * (at / width.flatten()[:, None].clamp(min=0.05)).square()).exp()
    taps = taps / taps.sum(1, keepdim=True)
    n, band = x.shape[:2]
    planes = pad(x, (radius,) * 4, mode="reflect").reshape(1, n * band, x.shape[-2] + 2 * radius, -1)
    each = taps.repeat_interleave(band, 0)[:, None]
    return conv2d(conv2d(planes, each[:, :, None], groups=n * band), each[..., None], groups=n * band).view_as(x)


def _scaled(planes: FloatArray, low: float, high: float) -> FloatArray:
    """Every plane of (band, rows, cols) by its own percentiles."""
    least, most = np.percentile(planes, [low, high], axis=(-2, -1), keepdims=True)
    return np.asarray((planes - least) / np.where(most > least, most - least, 1.0), np.float32)
