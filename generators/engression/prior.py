"""A stationary Gaussian prior with a power-law spectrum, and the transforms in which it is diagonal.

Local instruments continue an image by half-sample reflection, so the prior lives on reflected images: its covariance is
diagonal in the cosines ``cos(pi k (i + 1/2) / n)`` (DCT-II). K-space instruments are periodic: there it is diagonal in
the Fourier basis. Natural images have spectra close to a power law (Field 1987, doi:10.1364/JOSAA.4.002379).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

NARROWEST, WIDEST = 1e-4, 0.5
"""Range of the corner, cycles per pixel."""


@dataclass(frozen=True)
class Prior:
    """``P(f) = level (f^2 + corner^2)^(-slope/2)``: eigenvalues of the covariance of pixels, about a constant mean.

    Attributes:
        mean: of all pixels, generator units.
        level: generator units squared.
        corner: cycles per pixel below which the spectrum is flat.
        slope: of the spectrum above the corner; 2 is that of cartoons, 0 that of white noise.
        alike: correlation of the bands of what the prior imagines; estimates take bands one by one.

    Raises:
        ValueError: no such prior.
    """

    mean: float = 0.5
    level: float = 1e-3
    corner: float = 0.01
    slope: float = 2.5
    alike: float = 0.0

    def __post_init__(self) -> None:
        numbers = (self.mean, self.level, self.corner, self.slope, self.alike)
        fits = self.level > 0 and NARROWEST <= self.corner <= WIDEST and 0 <= self.slope <= 6 and 0 <= self.alike <= 1
        if not (all(math.isfinite(v) for v in numbers) and fits):
            raise ValueError(
                f"{self} is no prior: give a positive level, a corner in (0, 0.5], a slope of 0 to 6, and bands alike "
                "from 0 to 1"
            )

    def power(self, rows: Tensor, cols: Tensor) -> Tensor:
        """Eigenvalues at frequencies (m,) and (n,), cycles per pixel: (m, n)."""
        return self.level * (rows[:, None].square() + cols.square() + self.corner**2) ** (-self.slope / 2)

    def to_config(self) -> dict[str, float]:
        """As JSON-able dictionary."""
        return {"mean": self.mean, "level": self.level, "corner": self.corner, "slope": self.slope, "alike": self.alike}

    @staticmethod
    def from_config(config: Mapping[str, Any]) -> Prior:
        """Inverse of `to_config`.

        Raises:
            KeyError, ValueError, TypeError: no such prior.
        """
        mean, level, corner, slope = (float(config[name]) for name in ("mean", "level", "corner", "slope"))
        return Prior(mean, level, corner, slope, float(config.get("alike", 0.0)))


def fit(images: Tensor, mean: float | None = None) -> Prior:
    """The prior of images (n, band, side, side), from their mean periodogram under a Hann window.

    Corner by search, level and slope by least squares on rings of equal frequency, in logarithms; Nyquist's corners
    are left out.

    Args:
        images: at least 16 pixels a side, generator units.
        mean: of all pixels; that of the images if None.
    """
    side = images.shape[-1]
    centre = float(images.mean()) if mean is None else mean
    hann = (math.pi * (torch.arange(side, dtype=torch.float64) + 0.5) / side).sin().square()
    window = hann[:, None] * hann
    power = torch.fft.fft2((images.double() - centre) * window).abs().square().mean((0, 1)) / window.square().sum()
    f = torch.fft.fftfreq(side, dtype=torch.float64)
    radius = (f[:, None].square() + f.square()).sqrt()
    ring = (radius * side).round().long()
    rings = torch.arange(1, side // 2)
    level = torch.stack([power[ring == r].mean() for r in rings.tolist()]).clamp(min=1e-12).log()
    at = torch.stack([radius[ring == r].mean() for r in rings.tolist()])
    best, found, alike = math.inf, Prior(centre), _alike(images)
    for corner in torch.logspace(-2.5, -1, 31, dtype=torch.float64).tolist():
        axis = -0.5 * (at.square() + corner**2).log()
        slope = float(((axis - axis.mean()) * (level - level.mean())).sum() / (axis - axis.mean()).square().sum())
        slope = min(max(slope, 0.1), 6.0)
        offset = float((level - slope * axis).mean())
        miss = float((level - slope * axis - offset).square().sum())
        if miss < best:
            best, found = miss, Prior(centre, math.exp(offset), corner, slope, alike)
    return found


def _alike(images: Tensor) -> float:
    """Correlation of the finest detail of bands, at most 0.98, so that none is certain of another."""
    if images.shape[1] == 1:
        return 0.0
    detail = (images - avg_pool2d(images, 3, 1, 1, count_include_pad=False)).double()
    own = detail.square().mean()
    shared = detail.mean(1).square().mean()  # own (1 + (b - 1) alike) / b
    bands = images.shape[1]
    return min(max(float((bands * shared / own.clamp(min=1e-30) - 1) / (bands - 1)), 0.0), 0.98)


def alike(white: Tensor, correlation: float) -> Tensor:
    """Standard normal (..., band, rows, cols) with that correlation of any two bands."""
    bands = white.shape[-3]
    if correlation == 0 or bands == 1:
        return white
    common = white.mean(-3, keepdim=True)
    return math.sqrt(1 - correlation) * (white - common) + math.sqrt(1 + (bands - 1) * correlation) * common


def cosines(x: Tensor, dim: int) -> Tensor:
    """DCT-II along an axis by one real FFT of the same length (Makhoul 1980, doi:10.1109/TASSP.1980.1163351)."""
    x = x.movedim(dim, -1)
    n = x.shape[-1]
    turned = torch.fft.rfft(torch.cat([x[..., ::2], x[..., 1::2].flip(-1)], -1)) * _phase(n, x).conj()
    high = -turned.imag[..., 1 : (n + 1) // 2].flip(-1)
    modes: Tensor = torch.cat([turned.real, high], -1).movedim(-1, dim)
    return modes


def from_cosines(modes: Tensor, dim: int) -> Tensor:
    """Inverse of `cosines`."""
    modes = modes.movedim(dim, -1)
    n = modes.shape[-1]
    low = modes[..., : n // 2 + 1]
    mirrored = torch.cat([torch.zeros_like(modes[..., :1]), modes[..., 1:].flip(-1)], -1)[..., : n // 2 + 1]
    mixed: Tensor = torch.fft.irfft(torch.complex(low, -mirrored) * _phase(n, modes), n=n)
    first = (n + 1) // 2
    out = torch.empty_like(mixed)
    out[..., ::2], out[..., 1::2] = mixed[..., :first], mixed[..., first:].flip(-1)
    back: Tensor = out.movedim(-1, dim)
    return back


def _phase(n: int, like: Tensor) -> Tensor:
    angle = math.pi * torch.arange(n // 2 + 1, dtype=like.dtype, device=like.device) / (2 * n)
    return torch.polar(torch.ones_like(angle), angle)


def filtered(x: Tensor, gain: Tensor, periodic: bool) -> Tensor:
    """``x`` (..., rows, cols) with its modes multiplied by ``gain`` (..., rows, cols).

    Args:
        x: an image, or data.
        gain: by cosine, or by Fourier frequency where ``periodic`` (even in both axes together).
        periodic: whether opposite borders touch.
    """
    n = x.shape[-1]
    kept = gain[..., : n // 2 + 1] if periodic else gain
    return of_modes(kept * modes(x, periodic), periodic, n)


def modes(x: Tensor, periodic: bool) -> Tensor:
    """Cosines, or Fourier coefficients of half the plane where ``periodic``, as `filtered` weighs them."""
    found: Tensor = torch.fft.rfft2(x) if periodic else cosines(cosines(x, -1), -2)
    return found


def of_modes(found: Tensor, periodic: bool, cols: int) -> Tensor:
    """Inverse of `modes`; ``cols`` of the image."""
    if not periodic:
        return from_cosines(from_cosines(found, -1), -2)
    out: Tensor = torch.fft.irfft2(found, s=(found.shape[-2], cols))
    return out


def frequencies(count: int, periodic: bool, like: Tensor) -> Tensor:
    """Frequency (count,) of every mode of an axis, cycles per pixel."""
    whole = torch.fft.fftfreq(count, dtype=like.dtype, device=like.device)
    return whole if periodic else torch.arange(count, dtype=like.dtype, device=like.device) / (2 * count)
